//! Slips of the hand that can be named without the grammar: brackets, and the marks of other languages.

use crate::error::SyntaxError;
use crate::token::{Kind, Token};

/// Characters that look like, or stand for, one of the language's: with what to type instead.
const LOOKALIKES: [(char, &str); 34] = [
    ('−', "-"),
    ('–', "-"),
    ('—', "-"),
    ('×', "*"),
    ('·', "*"),
    ('⋅', "*"),
    ('∗', "*"),
    ('÷', "/"),
    ('∕', "/"),
    ('≤', "<="),
    ('≥', ">="),
    ('≠', "!="),
    ('∼', "~"),
    ('˜', "~"),
    ('～', "~"),
    ('＝', "="),
    ('≔', "="),
    ('←', "="),
    ('→', "->"),
    ('⇒', "=>"),
    ('…', ".."),
    ('∈', "in"),
    ('∧', "and"),
    ('∨', "or"),
    ('¬', "not"),
    ('²', "^2"),
    ('³', "^3"),
    ('¹', "^1"),
    ('½', "1/2"),
    ('，', ","),
    ('；', ";"),
    ('：', ":"),
    ('（', "("),
    ('）', ")"),
];

/// A bracket that is never closed, or not by its own kind.
pub(crate) fn unclosed(text: &str, open: Token, noticed: Option<Token>) -> SyntaxError {
    let (bracket, closing) = match open.text(text) {
        "(" => ("(", ")"),
        "[" => ("[", "]"),
        _ => ("{", "}"),
    };
    let before = noticed.map(|t| t.text(text));
    let (message, help) = match before {
        Some("~") => (
            format!("`{bracket}` is not closed before the next statement"),
            format!("put `{closing}` at the end of its expression"),
        ),
        Some(other) => (
            format!("`{bracket}` is not closed before `{other}`"),
            format!("put `{closing}` before `{other}`, or make the two of one kind"),
        ),
        None => (
            format!("`{bracket}` is never closed"),
            format!("put `{closing}` where it ends"),
        ),
    };
    SyntaxError::Bracket {
        message,
        span: open.span(),
        label: "opened here".into(),
        noticed: noticed.map(Token::span),
        help,
    }
}

/// A closing bracket with nothing open.
pub(crate) fn closes_nothing(text: &str, close: Token) -> SyntaxError {
    let bracket = close.text(text);
    SyntaxError::Bracket {
        message: format!("`{bracket}` closes nothing"),
        span: close.span(),
        label: "nothing is open here".into(),
        noticed: None,
        help: "take it out, or open its bracket before it".into(),
    }
}

/// `x == 3` as a statement.
pub(crate) fn equality(token: Token) -> SyntaxError {
    operator(
        "`==` does not define",
        token,
        "=",
        "`==` compares; `=` defines, and `~` gives a distribution",
    )
}

/// `x <- 3` as a statement.
pub(crate) fn arrow(less: Token) -> SyntaxError {
    let token = Token {
        end: less.end + 1,
        ..less
    };
    operator(
        "`<-` does not define",
        token,
        "=",
        "`=` defines a value, and `~` gives a distribution",
    )
}

fn operator(message: &str, token: Token, instead: &str, help: &str) -> SyntaxError {
    SyntaxError::Operator {
        message: message.into(),
        span: token.span(),
        instead: instead.into(),
        help: help.into(),
    }
}

/// Refuses a token that no correct text holds.
pub(crate) fn foreign(text: &str, tokens: &[Token], i: usize) -> Result<(), SyntaxError> {
    let token = tokens[i];
    match token.kind {
        Kind::Symbol => symbol(text, tokens, i),
        Kind::Unknown => Err(character(text, token)),
        // Text that is shown in another order than it is read can hide anything, in a comment too.
        Kind::Comment => match token.text(text).char_indices().find(|(_, c)| is_bidi_control(*c)) {
            Some((at, c)) => {
                let start = token.start + at;
                Err(character(
                    text,
                    Token {
                        kind: Kind::Unknown,
                        start,
                        end: start + c.len_utf8(),
                    },
                ))
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn symbol(text: &str, tokens: &[Token], i: usize) -> Result<(), SyntaxError> {
    let token = tokens[i];
    let found = token.text(text);
    let (instead, help) = match found {
        "//" | "/*" => {
            let help = "write `# ...`, to the end of the line; `/` is division";
            return Err(SyntaxError::Comment {
                span: token.span(),
                help: help.into(),
            });
        }
        "." => return Err(dot(text, tokens, i)),
        "|" | "$" | "%" => return Err(character(text, token)),
        "**" => ("^", "`a ^ b` is a power"),
        "~~" => ("~", "one `~` gives a distribution"),
        ":=" => ("=", "`=` defines a value, and `~` gives a distribution"),
        "&&" | "&" => ("and", "conditions are joined by the words `and`, `or` and `not`"),
        "||" => ("or", "conditions are joined by the words `and`, `or` and `not`"),
        "!" => ("not", "conditions are joined by the words `and`, `or` and `not`"),
        "@" => ("*", "`*` multiplies matrices and vectors too"),
        "..=" | "..." => ("..", "`a..b` includes both ends"),
        "..<" => ("..", "`a..b` includes both ends: to leave out the last, write `a..b-1`"),
        _ => return Ok(()),
    };
    Err(operator(
        &format!("`{found}` is not an operator of the language"),
        token,
        instead,
        help,
    ))
}

/// A lone dot: half a number, or part of a name in other languages.
fn dot(text: &str, tokens: &[Token], i: usize) -> SyntaxError {
    let token = tokens[i];
    let touching = |t: &&Token| t.kind == Kind::Number && (t.end == token.start || t.start == token.end);
    let before = i.checked_sub(1).and_then(|j| tokens.get(j)).filter(touching);
    let after = tokens.get(i + 1).filter(touching);
    match (before, after) {
        (Some(a), None) => number(
            "a number does not end in a dot",
            Token {
                start: a.start,
                ..token
            },
            format!("write {}.0 or {}", a.text(text), a.text(text)),
        ),
        (None, Some(b)) => number(
            "a number begins with a digit",
            Token { end: b.end, ..token },
            format!("write 0.{}", b.text(text)),
        ),
        (Some(a), Some(b)) => number(
            "a number has one dot",
            Token {
                start: a.start,
                end: b.end,
                ..token
            },
            "write one number, or an operator or a comma between two".into(),
        ),
        (None, None) => SyntaxError::Character {
            found: "`.`".into(),
            span: token.span(),
            help: "a name holds letters, digits and `_`; a range is `a..b`".into(),
        },
    }
}

fn number(message: &str, token: Token, help: String) -> SyntaxError {
    SyntaxError::Number {
        message: message.into(),
        span: token.span(),
        help,
    }
}

fn character(text: &str, token: Token) -> SyntaxError {
    let c = token.text(text).chars().next().unwrap_or('?');
    let found = if c.is_control() || is_bidi_control(c) {
        format!("the control character U+{:04X}", u32::from(c))
    } else {
        format!("`{c}`")
    };
    let help = match LOOKALIKES.iter().find(|(wrong, _)| *wrong == c) {
        Some(('²' | '³' | '¹', power)) => format!("write `{power}` for a power; in a name, a plain digit"),
        Some((_, right)) => format!("write `{right}`"),
        None => match c {
            '"' | '\'' | '`' | '“' | '”' | '‘' | '’' => {
                "the language has no quotes: columns are named as variables are".into()
            }
            '|' => "`or` joins conditions; a distribution's parameters are its arguments".into(),
            '%' => "a comment begins with `#`".into(),
            '?' => "write: if condition then a else b".into(),
            '₀'..='₉' => "write a plain digit; an index stands in brackets: x[1]".into(),
            '√' => "write `sqrt(...)`".into(),
            '∞' => "the language has no infinity".into(),
            _ => "take it out".into(),
        },
    };
    SyntaxError::Character {
        found,
        span: token.span(),
        help,
    }
}
