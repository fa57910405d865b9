//! Where an error stands: the tokens around it, the statement and the bracket that hold it.

use lvmc_base::Span;

use super::expected::{NAME, OPERATOR, list};
use crate::scan::{Mark, Scan};
use crate::token::{Kind, Token};

pub(super) struct Context<'a> {
    pub text: &'a str,
    scan: &'a Scan,
    /// The token found; `None` at the end of the file.
    pub found: Option<usize>,
    /// The token before it in the same statement.
    pub before: Option<usize>,
    /// The statement's first token, where one comes before the one found.
    pub first: Option<usize>,
    /// The innermost bracket open.
    pub bracket: Option<usize>,
    /// The last token of the last line of the statement that goes on outside any bracket.
    pub continued: Option<usize>,
    /// What could have stood there.
    pub words: Vec<&'static str>,
}

impl<'a> Context<'a> {
    pub(super) fn new(text: &'a str, scan: &'a Scan, at: usize, words: Vec<&'static str>) -> Self {
        let found = (0..scan.tokens.len()).find(|&i| scan.tokens[i].end > at && counts(scan, i));
        let mut c = Self {
            text,
            scan,
            found,
            before: None,
            first: None,
            bracket: None,
            continued: None,
            words,
        };
        // What each open bracket interrupted.
        let mut outer = Vec::new();
        for i in (0..found.unwrap_or(scan.tokens.len())).filter(|&i| scan.tokens[i].kind != Kind::Comment) {
            let (kind, mark) = (scan.tokens[i].kind, scan.marks[i]);
            let in_list = c.bracket.is_some_and(|b| scan.marks[b] == Mark::List);
            match kind {
                Kind::Newline if mark == Mark::Joined => {
                    if c.bracket.is_none_or(|b| c.text_of(b) == "{") {
                        c.continued = c.before;
                    }
                }
                Kind::Newline => (c.before, c.first, c.continued) = (None, None, None),
                Kind::Symbol if c.text_of(i) == ";" || (in_list && c.text_of(i) == ",") => {
                    (c.before, c.first, c.continued) = (None, None, None);
                }
                Kind::Open => {
                    c.first.get_or_insert(i);
                    outer.push((c.first, c.bracket, c.continued));
                    c.bracket = Some(i);
                    c.before = Some(i);
                    if mark == Mark::Block || mark == Mark::List {
                        (c.before, c.first, c.continued) = (None, None, None);
                    }
                }
                Kind::Close => {
                    if let Some(o) = outer.pop() {
                        (c.first, c.bracket, c.continued) = o;
                    }
                    c.before = Some(i);
                }
                _ => {
                    c.first.get_or_insert(i);
                    c.before = Some(i);
                }
            }
        }
        c
    }

    pub(super) fn token(&self, i: usize) -> Token {
        self.scan.tokens[i]
    }
    pub(super) fn mark(&self, i: usize) -> Mark {
        self.scan.marks[i]
    }
    /// The text of a token.
    pub(super) fn text_of(&self, i: usize) -> &'a str {
        self.scan.tokens[i].text(self.text)
    }
    /// The text of the token found; empty at the end of the file.
    pub(super) fn found_text(&self) -> &'a str {
        self.found.map_or("", |i| self.text_of(i))
    }
    pub(super) fn found_kind(&self) -> Option<Kind> {
        self.found.map(|i| self.token(i).kind)
    }
    /// The text of the token before; empty where there is none in the statement.
    pub(super) fn before_text(&self) -> &'a str {
        self.before.map_or("", |i| self.text_of(i))
    }
    pub(super) fn first_text(&self) -> &'a str {
        self.first.map_or("", |i| self.text_of(i))
    }
    /// The text of the innermost bracket.
    pub(super) fn bracket_text(&self) -> &'a str {
        self.bracket.map_or("", |i| self.text_of(i))
    }
    /// The next token on the line after the one found.
    pub(super) fn after_text(&self) -> &'a str {
        self.found
            .and_then(|i| self.scan.tokens.get(i + 1))
            .map_or("", |t| t.text(self.text))
    }
    /// Whether all tokens of the statement before the one found are words.
    pub(super) fn only_words(&self) -> bool {
        let (Some(first), Some(before)) = (self.first, self.before) else {
            return false;
        };
        (first..=before).all(|i| matches!(self.token(i).kind, Kind::Name | Kind::Keyword))
    }
    /// Whether a token of that text comes before in the statement.
    pub(super) fn has(&self, text: &str) -> bool {
        let (Some(first), Some(before)) = (self.first, self.before) else {
            return false;
        };
        (first..=before).any(|i| self.text_of(i) == text)
    }
    pub(super) fn expects(&self, word: &str) -> bool {
        self.words.contains(&word)
    }
    /// Whether the two words beside each other lie on one line.
    pub(super) fn on_one_line(&self) -> bool {
        let (Some(before), Some(found)) = (self.before, self.found) else {
            return false;
        };
        (before..found).all(|i| self.token(i).kind != Kind::Newline)
    }

    /// What could have stood there, as one phrase.
    pub(super) fn expected(&self) -> String {
        if self.before_text() == ":" && self.expects(NAME) {
            return "a type, such as real, positive or simplex[K]".into();
        }
        // A contextual word could have been a name, but hardly was meant so.
        if self.first.is_some() && self.first == self.before {
            match self.before_text() {
                "model" | "weight" | "chain" | "net" => return NAME.into(),
                "fit" | "guide" => return "`{`".into(),
                _ => {}
            }
        }
        // After an operand, what could go on with it is noise beside what must come.
        let after_operand = self.before.is_some_and(|i| self.token(i).ends_operand());
        let (tilde, operator) = (self.expects("`~`"), self.expects(OPERATOR));
        let noise = |w: &str| match w {
            "`(`" | "`[`" => after_operand,
            "`,`" => tilde,
            "`=`" => operator,
            _ => false,
        };
        let words: Vec<&str> = self.words.iter().copied().filter(|w| !noise(w)).collect();
        list(if words.is_empty() { &self.words } else { &words })
    }

    /// Whether the line or the file ends where something was expected.
    pub(super) fn at_end(&self) -> bool {
        matches!(self.found_kind(), None | Some(Kind::Newline))
    }

    /// What stands there.
    pub(super) fn found_words(&self) -> String {
        let text = self.found_text();
        match self.found_kind() {
            None => "the end of the file".into(),
            Some(Kind::Newline) => "the end of the line".into(),
            Some(Kind::Keyword) => format!("the word `{text}`"),
            Some(_) => format!("`{}`", short(text)),
        }
    }

    /// The token found; at an end, the last one before it, since an end has no width to show.
    pub(super) fn span(&self) -> Span {
        let last = || {
            (0..self.found.unwrap_or(self.scan.tokens.len()))
                .rev()
                .find(|&i| self.token(i).significant())
        };
        let shown = if self.at_end() { last() } else { self.found };
        shown.map_or_else(Span::default, |i| self.token(i).span())
    }

    /// The text of the first token of the lines that follow, where the line ends here.
    pub(super) fn next_line(&self) -> &'a str {
        let from = self.found.filter(|_| self.at_end()).unwrap_or(self.scan.tokens.len());
        (from..self.scan.tokens.len())
            .find(|&i| self.token(i).significant())
            .map_or("", |i| self.text_of(i))
    }
}

fn counts(scan: &Scan, i: usize) -> bool {
    scan.tokens[i].significant() || (scan.tokens[i].kind == Kind::Newline && scan.marks[i] != Mark::Joined)
}

/// A token's text, for a message.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= 40 {
        return text.into();
    }
    text.chars().take(39).chain(['…']).collect()
}
