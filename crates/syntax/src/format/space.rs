//! The blanks between tokens.

use super::lines::{Piece, enclosing};
use crate::scan::{Mark, Scan};
use crate::token::Kind;

pub(super) struct Spacing<'a> {
    text: &'a str,
    scan: &'a Scan,
    /// Tokens among which `+ - * /` have no blanks: those of an index, and of a chain's range.
    tight: Vec<bool>,
}

impl<'a> Spacing<'a> {
    pub(super) fn new(text: &'a str, scan: &'a Scan) -> Self {
        let enclosing = enclosing(scan);
        let mut tight: Vec<bool> = enclosing
            .iter()
            .map(|o| o.is_some_and(|o| scan.marks[o] == Mark::Index))
            .collect();
        // `chain t in a..b {` up to its brace.
        let mut header = None;
        for i in 0..scan.tokens.len() {
            let token = scan.tokens[i];
            if token.text(text) == "chain" && scan.tokens.get(i + 1).is_some_and(|t| t.kind == Kind::Name) {
                header = Some(enclosing[i]);
            } else if matches!(token.text(text), "{" | ";") || token.kind == Kind::Newline {
                header = None;
            }
            if header == Some(enclosing[i]) {
                tight[i] = true;
            }
        }
        Self { text, scan, tight }
    }

    /// A line's text without its indentation; `pads` are additional blanks before some of its pieces.
    pub(super) fn render(&self, pieces: &[Piece<'_>], pads: &[(usize, usize)]) -> String {
        let mut out = String::new();
        let mut before: Option<&Piece<'_>> = None;
        for (k, piece) in pieces.iter().enumerate() {
            if let Some(before) = before {
                let blanks = if self.scan.tokens[piece.token].kind == Kind::Comment {
                    2
                } else {
                    usize::from(self.between(before, piece))
                };
                out.extend(std::iter::repeat_n(' ', blanks));
            }
            for (_, n) in pads.iter().filter(|(at, _)| *at == k) {
                out.extend(std::iter::repeat_n(' ', *n));
            }
            out.push_str(piece.text);
            before = Some(piece);
        }
        out
    }

    /// The width of a line up to a piece, without the blank before it.
    pub(super) fn width(&self, pieces: &[Piece<'_>], upto: usize) -> usize {
        self.render(&pieces[..upto], &[]).chars().count()
    }

    /// Whether a blank stands between two tokens of a line.
    fn between(&self, a: &Piece<'_>, b: &Piece<'_>) -> bool {
        let (ka, kb) = (self.scan.tokens[a.token].kind, self.scan.tokens[b.token].kind);
        let (ma, mb) = (self.scan.marks[a.token], self.scan.marks[b.token]);
        match (a.text, b.text) {
            ("(" | "[", _) | (_, ")" | "]" | "," | ";") => false,
            ("," | ";" | "{", _) | (_, "}" | "{") => true,
            ("^" | "..", _) | (_, "^" | "..") => false,
            _ if ma == Mark::Prefix => false,
            (_, "(") => ka != Kind::Name || ma == Mark::In,
            (_, "[") => mb != Mark::Index,
            _ if kb == Kind::Symbol && self.closes_up(b.token) => false,
            _ if ka == Kind::Symbol && self.closes_up(a.token) => false,
            _ => true,
        }
    }

    /// Whether an operator stands without blanks. Before another minus it has them, since `--` is hard to read.
    fn closes_up(&self, i: usize) -> bool {
        let arithmetic = matches!(self.scan.tokens[i].text(self.text), "+" | "-" | "*" | "/");
        let next = (i + 1..self.scan.tokens.len()).find(|&j| self.scan.tokens[j].significant());
        arithmetic
            && self.tight[i]
            && self.scan.marks[i] != Mark::Prefix
            && next.is_none_or(|j| self.scan.marks[j] != Mark::Prefix)
    }
}
