//! Which tokens stand on which line.

use crate::scan::{Mark, Scan};
use crate::token::Kind;

/// A token as it will be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Its position in the scan.
    pub token: usize,
    pub text: &'a str,
}

/// A line of the formatted text.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub pieces: Vec<Piece<'a>>,
    pub blank_before: bool,
    /// It goes on with the statement of the line before.
    pub continues: bool,
    pub indent: usize,
    /// The innermost bracket at its beginning.
    pub inside: Option<usize>,
}

/// For each token, the innermost bracket that holds it; a bracket's own token lies outside.
pub(super) fn enclosing(scan: &Scan) -> Vec<Option<usize>> {
    let mut open = Vec::new();
    let mut out = Vec::with_capacity(scan.tokens.len());
    for (i, token) in scan.tokens.iter().enumerate() {
        if token.kind == Kind::Close {
            open.pop();
        }
        out.push(open.last().copied());
        if token.kind == Kind::Open {
            open.push(i);
        }
    }
    out
}

/// Whether each opening brace has a line break before its closing one. Such braces stand at the ends of lines.
fn broken(scan: &Scan) -> Vec<bool> {
    let mut out = vec![false; scan.tokens.len()];
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut breaks = 0;
    for (i, token) in scan.tokens.iter().enumerate() {
        match token.kind {
            Kind::Newline => breaks += 1,
            Kind::Open => open.push((i, breaks)),
            Kind::Close => {
                if let Some((o, before)) = open.pop()
                    && matches!(scan.marks[o], Mark::Block | Mark::List)
                {
                    out[o] = breaks > before;
                    out[i] = out[o];
                }
            }
            _ => {}
        }
    }
    out
}

/// Splits the tokens into lines: at the author's line breaks, after `{` and before `}` of braces that hold any.
/// Separators that separate nothing are left out.
pub(super) fn lines<'a>(text: &'a str, scan: &Scan) -> Vec<Line<'a>> {
    let enclosing = enclosing(scan);
    let broken = broken(scan);
    let mut b = Builder {
        text,
        scan,
        enclosing: &enclosing,
        done: Vec::new(),
        line: Line::default(),
        breaks: 0,
    };
    for (i, token) in scan.tokens.iter().enumerate() {
        match token.kind {
            Kind::Newline => {
                b.end();
                b.breaks += 1;
                b.line.continues = scan.marks[i] == Mark::Joined;
            }
            Kind::Close if broken[i] => {
                b.end();
                b.line.continues = false;
                b.push(i);
            }
            Kind::Symbol if b.separates(i) => b.separator(i),
            _ => {
                if b.after_broken_brace(&broken) && token.kind != Kind::Comment {
                    b.end();
                    b.line.continues = false;
                }
                b.push(i);
            }
        }
    }
    b.end();
    b.done
}

struct Builder<'a, 's> {
    text: &'a str,
    scan: &'s Scan,
    enclosing: &'s [Option<usize>],
    done: Vec<Line<'a>>,
    line: Line<'a>,
    /// Line breaks since the last line that is not empty.
    breaks: usize,
}

impl<'a> Builder<'a, '_> {
    fn is_symbol(&self, i: usize) -> bool {
        self.scan.tokens[i].kind == Kind::Symbol
    }

    fn push(&mut self, i: usize) {
        let token = self.scan.tokens[i];
        if token.kind == Kind::Close || token.kind == Kind::Comment {
            self.drop_separators();
        }
        let text = token.text(self.text).trim_end();
        self.add(Piece { token: i, text });
    }

    fn add(&mut self, piece: Piece<'a>) {
        if self.line.pieces.is_empty() {
            let closes = self.scan.tokens[piece.token].kind == Kind::Close;
            let opened = self.done.last().and_then(|l| {
                l.pieces
                    .iter()
                    .rev()
                    .map(|p| self.scan.tokens[p.token])
                    .find(|t| t.kind != Kind::Comment)
            });
            let after_open = opened.is_some_and(|t| t.kind == Kind::Open);
            self.line.blank_before = self.breaks > 1 && !closes && !after_open && !self.done.is_empty();
            self.line.inside = self.enclosing[piece.token];
            self.breaks = 0;
        }
        self.line.pieces.push(piece);
    }

    /// Whether the line at hand ends in a brace after which a new one begins.
    fn after_broken_brace(&self, broken: &[bool]) -> bool {
        self.line
            .pieces
            .iter()
            .rev()
            .find(|p| self.scan.tokens[p.token].kind != Kind::Comment)
            .is_some_and(|p| self.scan.tokens[p.token].kind == Kind::Open && broken[p.token])
    }

    /// Whether a symbol separates statements, arms or settings.
    fn separates(&self, i: usize) -> bool {
        let list = self.enclosing[i].is_some_and(|o| self.scan.marks[o] == Mark::List);
        let text = self.scan.tokens[i].text(self.text);
        text == ";" || (list && text == ",")
    }

    /// A separator is written where something stands before it on its line; what follows decides whether it stays.
    fn separator(&mut self, i: usize) {
        let redundant = match self.line.pieces.last() {
            None => true,
            Some(p) => {
                let token = self.scan.tokens[p.token];
                token.kind == Kind::Open || token.kind == Kind::Comment || self.separates(p.token)
            }
        };
        if redundant {
            return;
        }
        let list = self.enclosing[i].is_some_and(|o| self.scan.marks[o] == Mark::List);
        self.add(Piece {
            token: i,
            text: if list { "," } else { ";" },
        });
    }

    /// Takes back a separator that a line end, a comment or a closing bracket makes needless.
    fn drop_separators(&mut self) {
        while self
            .line
            .pieces
            .last()
            .is_some_and(|p| self.is_symbol(p.token) && self.separates(p.token))
        {
            self.line.pieces.pop();
        }
    }

    fn end(&mut self) {
        self.drop_separators();
        let line = std::mem::take(&mut self.line);
        if !line.pieces.is_empty() {
            self.done.push(line);
        }
    }
}
