//! The tokens of a text, comments and line breaks included.
//!
//! pest parses characters, not tokens; these serve what a grammar does badly: bracket matching, limits, layout, the
//! words of a diagnostic, and the formatter.

use lvmc_base::Span;
use pest::unicode::{XID_CONTINUE, XID_START};

/// Words that are never names. The grammar has the same list (`reserved`), and a test holds them together.
pub(crate) const RESERVED: [&str; 14] = [
    "dim", "const", "param", "latent", "data", "given", "for", "if", "then", "else", "match", "and", "or", "not",
];

/// Words that begin a statement, for suggestions.
pub(crate) const STATEMENT_WORDS: [&str; 15] = [
    "model", "dim", "const", "param", "latent", "data", "given", "noise", "global", "net", "for", "chain", "guide",
    "fit", "weight",
];

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or a contextual keyword.
    Name,
    /// A reserved word.
    Keyword,
    Number,
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// An operator or a mark; also the marks of other languages that [`crate::scan`] refuses.
    Symbol,
    Comment,
    Newline,
    /// A character that has no place in the language.
    Unknown,
}

/// A token with its place; its text is the source's slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    pub(crate) fn span(self) -> Span {
        Span::new(self.start, self.end)
    }
    pub(crate) fn text(self, source: &str) -> &str {
        source.get(self.start..self.end).unwrap_or("")
    }
    /// Whether an operand can end here, so that what follows is an operator or a mark.
    pub(crate) fn ends_operand(self) -> bool {
        matches!(self.kind, Kind::Name | Kind::Number | Kind::Close)
    }
    /// Whether it counts for the grammar.
    pub(crate) fn significant(self) -> bool {
        !matches!(self.kind, Kind::Comment | Kind::Newline)
    }
}

/// Longest first. The marks that are not the language's own are read as one token so that they can be named in a
/// diagnostic; none of them can be written side by side in a correct text.
const SYMBOLS: [&str; 36] = [
    "..=", "..<", "...", "**", "~~", ":=", "//", "/*", "&&", "||", "..", "->", "=>", "==", "!=", "<=", ">=", "~", "=",
    ":", ",", ";", "+", "-", "*", "/", "^", "<", ">", ".", "!", "&", "|", "%", "@", "$",
];

/// Whether a character is a blank: white space of any script that does not end a line, and the byte order mark.
pub(crate) fn is_blank(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && !is_line_break(c))
}

/// Whether a character ends a line. A lone carriage return does; one before a line feed is a blank.
fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{b}' | '\u{c}')
}

/// Splits a text into tokens. Never fails: what is not understood is [`Kind::Unknown`].
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, len) = if rest.starts_with("\r\n") {
            (Some(Kind::Newline), 2)
        } else if is_line_break(c) {
            (Some(Kind::Newline), c.len_utf8())
        } else if is_blank(c) {
            (None, c.len_utf8())
        } else if c == '#' {
            (Some(Kind::Comment), rest.find(is_line_break).unwrap_or(rest.len()))
        } else if c == '_' || XID_START(c) {
            let len = rest.find(|c| !XID_CONTINUE(c)).unwrap_or(rest.len());
            (
                Some(if RESERVED.contains(&&rest[..len]) {
                    Kind::Keyword
                } else {
                    Kind::Name
                }),
                len,
            )
        } else if c.is_ascii_digit() {
            (Some(Kind::Number), number(rest))
        } else if "([{".contains(c) {
            (Some(Kind::Open), 1)
        } else if ")]}".contains(c) {
            (Some(Kind::Close), 1)
        } else if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            (Some(Kind::Symbol), symbol.len())
        } else {
            (Some(Kind::Unknown), c.len_utf8())
        };
        if let Some(kind) = kind {
            out.push(Token {
                kind,
                start: at,
                end: at + len,
            });
        }
        at += len;
    }
    out
}

/// The length of the number that a text begins with: as the grammar's `number`, so that `1..T` is `1` and `..`.
fn number(text: &str) -> usize {
    let digits = |from: usize| {
        text[from..]
            .find(|c: char| !c.is_ascii_digit())
            .map_or(text.len(), |n| from + n)
    };
    let mut end = digits(0);
    if text[end..].starts_with('.') && text[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        if text[end + 1 + sign..].starts_with(|c: char| c.is_ascii_digit()) {
            end = digits(end + 1 + sign);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|t| t.text(text)).collect()
    }

    #[test]
    fn splits_like_the_grammar() {
        assert_eq!(
            texts("a[1..T]^2e-3e"),
            ["a", "[", "1", "..", "T", "]", "^", "2e-3", "e"]
        );
        assert_eq!(
            texts("μ1=Σ_2\r\n# a b\n;"),
            ["μ1", "=", "Σ_2", "\r\n", "# a b", "\n", ";"]
        );
        assert_eq!(texts("1e+ 1.5.2"), ["1", "e", "+", "1.5", ".", "2"]);
        assert_eq!(texts("\u{feff}x\u{a0}:= é"), ["x", ":=", "é"]);
    }

    #[test]
    fn every_byte_is_blank_or_in_a_token() {
        let text = "x ~ f(a, b) # c\n\u{2028}\u{0}§ 3..=4 {}";
        let mut at = 0;
        for t in tokens(text) {
            assert!(text[at..t.start].chars().all(is_blank));
            at = t.end;
        }
        assert!(text[at..].chars().all(is_blank));
    }
}
