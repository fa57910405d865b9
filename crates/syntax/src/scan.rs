//! The checks that come before the grammar: brackets match, nothing is nested too deep for a recursive parser, and the
//! marks of other languages are named. What is learnt on the way serves layout and the formatter.

use crate::error::SyntaxError;
use crate::slips;
use crate::token::{Kind, Token, tokens};

/// The deepest nesting of brackets, prefix operators, powers and `if`s together.
pub const MAX_NESTING: usize = 256;

/// What the surroundings of a token make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Plain,
    /// A line break that is a blank.
    Joined,
    /// A minus with one operand.
    Prefix,
    /// A square bracket after what it indexes.
    Index,
    /// A brace of `fit` or `match`, in which commas and line breaks separate alike.
    List,
    /// A brace around statements.
    Block,
    /// The `in` of a range.
    In,
}

/// A scanned text.
#[derive(Debug)]
pub(crate) struct Scan {
    pub tokens: Vec<Token>,
    /// One for each token.
    pub marks: Vec<Mark>,
}

/// An open bracket, or the file itself.
struct Frame {
    /// The bracket's token; `None` for the file.
    open: Option<usize>,
    mark: Mark,
    /// First token of the statement, arm or setting at hand.
    first: Option<usize>,
    /// `match`es whose brace is still to come.
    matches: usize,
    /// `if`s at hand; they nest to the right.
    ifs: usize,
    /// Prefix operators and powers since the last operator that binds weaker.
    tight: usize,
    /// `~` or `=` was met in the statement at hand.
    defined: bool,
    /// A line break was met inside the bracket.
    broken: bool,
}

impl Frame {
    fn new(open: Option<usize>, mark: Mark) -> Self {
        Self {
            open,
            mark,
            first: None,
            matches: 0,
            ifs: 0,
            tight: 0,
            defined: false,
            broken: false,
        }
    }
    /// A separator was met.
    fn restart(&mut self) {
        (self.first, self.matches, self.ifs, self.tight, self.defined) = (None, 0, 0, 0, false);
    }
    fn weight(&self) -> usize {
        self.ifs + self.tight
    }
    /// Whether line breaks separate here.
    fn separates(&self) -> bool {
        matches!(self.mark, Mark::Block | Mark::List)
    }
}

/// Scans a text, or says what in it cannot be right whatever the grammar.
pub(crate) fn scan(text: &str) -> Result<Scan, SyntaxError> {
    let mut s = Scanner {
        text,
        scan: prepare(text),
        frames: vec![Frame::new(None, Mark::Block)],
        nested: 0,
        last: None,
    };
    let next = s.next_significant();
    for (i, next) in next.into_iter().enumerate() {
        s.step(i, next)?;
    }
    match s.frames.last().and_then(|f| f.open) {
        Some(open) => Err(slips::unclosed(text, s.scan.tokens[open], None)),
        None => Ok(s.scan),
    }
}

fn prepare(text: &str) -> Scan {
    let tokens = tokens(text);
    let marks = vec![Mark::Plain; tokens.len()];
    Scan { tokens, marks }
}

struct Scanner<'a> {
    text: &'a str,
    scan: Scan,
    frames: Vec<Frame>,
    /// The weights of all frames but the innermost, and one for each bracket.
    nested: usize,
    /// The last significant token, unless a separator came after it.
    last: Option<usize>,
}

impl Scanner<'_> {
    /// For every token, the first significant one after it.
    fn next_significant(&self) -> Vec<Option<usize>> {
        let mut next = None;
        let mut out = vec![None; self.scan.tokens.len()];
        for (i, t) in self.scan.tokens.iter().enumerate().rev() {
            out[i] = next;
            if t.significant() {
                next = Some(i);
            }
        }
        out
    }

    fn word(&self, i: usize) -> &str {
        self.scan.tokens[i].text(self.text)
    }

    /// The innermost frame; the file's own is never popped.
    fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::new(None, Mark::Block));
        }
        let top = self.frames.len() - 1;
        &mut self.frames[top]
    }

    fn step(&mut self, i: usize, next: Option<usize>) -> Result<(), SyntaxError> {
        let token = self.scan.tokens[i];
        slips::foreign(self.text, &self.scan.tokens, i)?;
        match token.kind {
            Kind::Comment => return Ok(()),
            Kind::Newline => {
                self.newline(i, next);
                return Ok(());
            }
            Kind::Open => self.open(i),
            Kind::Close => self.close(i)?,
            Kind::Keyword => self.keyword(i),
            Kind::Symbol => self.symbol(i)?,
            Kind::Name => self.name(i),
            Kind::Number | Kind::Unknown => self.last = Some(i),
        }
        let separator = self.last == Some(i) && self.frame().separates() && self.ends_item(i);
        if separator {
            self.frame().restart();
            self.last = None;
        } else if token.kind != Kind::Open {
            self.frame().first.get_or_insert(i);
        }
        let depth = self.nested + self.frame().weight();
        if depth > MAX_NESTING {
            return Err(SyntaxError::Nesting {
                span: token.span(),
                limit: MAX_NESTING,
            });
        }
        Ok(())
    }

    /// Whether a mark ends a statement, an arm or a setting.
    fn ends_item(&mut self, i: usize) -> bool {
        let list = self.frame().mark == Mark::List;
        self.word(i) == ";" || (list && self.word(i) == ",")
    }

    fn newline(&mut self, i: usize, next: Option<usize>) {
        let goes_on = next.is_some_and(|n| matches!(self.word(n), "then" | "else" | "->"))
            || self.last.is_some_and(|l| self.wants_more(l));
        let joins = goes_on && self.last.is_some();
        let frame = self.frame();
        frame.broken = true;
        if !frame.separates() || joins {
            self.scan.marks[i] = Mark::Joined;
        } else {
            frame.restart();
            self.last = None;
        }
    }

    /// Whether a line that ends in this token goes on in the next.
    fn wants_more(&mut self, i: usize) -> bool {
        match self.scan.tokens[i].kind {
            Kind::Keyword => matches!(self.word(i), "if" | "then" | "else" | "match" | "and" | "or" | "not"),
            Kind::Symbol => self.word(i) != ";",
            _ => false,
        }
    }

    fn open(&mut self, i: usize) {
        let after_operand = self
            .last
            .is_some_and(|l| self.scan.tokens[l].ends_operand() && self.scan.marks[l] != Mark::In);
        let last = self.last;
        let word_before = last.map(|l| self.word(l).to_owned());
        let brace = self.word(i) == "{";
        let square = self.word(i) == "[";
        let frame = self.frame();
        let mark = if brace && (frame.matches > 0 || (word_before.as_deref() == Some("fit") && frame.first == last)) {
            frame.matches = frame.matches.saturating_sub(1);
            Mark::List
        } else if brace {
            Mark::Block
        } else if square && after_operand {
            Mark::Index
        } else {
            Mark::Plain
        };
        frame.first.get_or_insert(i);
        self.nested += frame.weight() + 1;
        self.scan.marks[i] = mark;
        self.frames.push(Frame::new(Some(i), mark));
        self.last = if brace { None } else { Some(i) };
    }

    fn close(&mut self, i: usize) -> Result<(), SyntaxError> {
        let frame = self.frames.pop();
        let Some(open) = frame.and_then(|f| f.open) else {
            return Err(slips::closes_nothing(self.text, self.scan.tokens[i]));
        };
        let closes = match self.word(open) {
            "(" => ")",
            "[" => "]",
            _ => "}",
        };
        if self.word(i) != closes {
            return Err(slips::unclosed(
                self.text,
                self.scan.tokens[open],
                Some(self.scan.tokens[i]),
            ));
        }
        self.scan.marks[i] = self.scan.marks[open];
        let weight = self.frame().weight();
        self.nested = self.nested.saturating_sub(weight + 1);
        self.last = Some(i);
        Ok(())
    }

    fn keyword(&mut self, i: usize) {
        let (is_if, is_match, is_not) = (self.word(i) == "if", self.word(i) == "match", self.word(i) == "not");
        let frame = self.frame();
        if is_if || is_match {
            // What stands before it as a prefix holds all of it.
            frame.ifs += frame.tight + usize::from(is_if);
            frame.matches += usize::from(is_match);
        }
        frame.tight = if is_not { frame.tight + 1 } else { 0 };
        self.last = Some(i);
    }

    fn name(&mut self, i: usize) {
        let after_name = self.last.filter(|&l| self.scan.tokens[l].kind == Kind::Name);
        let (first, separates) = (self.frame().first, self.frame().separates());
        // Two names side by side: in brackets that is `k in`, outside them `chain t in` is the only one.
        let chain = first.is_some_and(|f| self.word(f) == "chain") && after_name != first;
        if self.word(i) == "in" && after_name.is_some() && (chain || !separates) {
            self.scan.marks[i] = Mark::In;
            // A range is an expression, in which `==` compares.
            self.frame().defined = true;
        }
        self.last = Some(i);
    }

    fn symbol(&mut self, i: usize) -> Result<(), SyntaxError> {
        let operand = self
            .last
            .is_some_and(|l| self.scan.tokens[l].ends_operand() && self.scan.marks[l] != Mark::In);
        let token = self.scan.tokens[i];
        let frame = self.frame();
        let undefined = frame.mark == Mark::Block && !frame.defined;
        let (open, broken_bracket) = (frame.open, !frame.separates() && frame.broken);
        match self.word(i) {
            "-" if !operand => {
                self.scan.marks[i] = Mark::Prefix;
                self.frame().tight += 1;
            }
            "^" => self.frame().tight += 1,
            // `~` never stands inside a bracket: where lines were joined by one, it was not closed.
            "~" if broken_bracket => {
                if let Some(open) = open {
                    return Err(slips::unclosed(self.text, self.scan.tokens[open], Some(token)));
                }
            }
            "==" if undefined && operand => return Err(slips::equality(token)),
            "<" if undefined && operand && self.text[token.end..].starts_with('-') => {
                return Err(slips::arrow(token));
            }
            "~" | "=" => {
                let frame = self.frame();
                (frame.defined, frame.tight) = (true, 0);
            }
            "," => {
                let frame = self.frame();
                (frame.ifs, frame.tight) = (0, 0);
            }
            _ => self.frame().tight = 0,
        }
        self.last = Some(i);
        Ok(())
    }
}
