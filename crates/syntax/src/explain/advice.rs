//! Known slips, each told by the tokens around the error: the first that fits gives the diagnostic.

use lvmc_base::closest;

use super::context::{Context, short};
use super::expected::{END, EXPRESSION, NAME, OPERATOR};
use super::unexpected;
use crate::error::SyntaxError;
use crate::scan::Mark;
use crate::token::{Kind, STATEMENT_WORDS};

const TYPES: [&str; 11] = [
    "real", "positive", "unit", "int", "count", "binary", "category", "simplex", "ordered", "cov", "corr",
];

/// Words of other languages, and ours.
const SYNONYMS: [(&str, &str); 22] = [
    ("parameter", "param"),
    ("parameters", "param"),
    ("estimate", "param"),
    ("observed", "data"),
    ("observe", "data"),
    ("obs", "data"),
    ("hidden", "latent"),
    ("random", "latent"),
    ("covariate", "given"),
    ("input", "given"),
    ("predictor", "given"),
    ("constant", "const"),
    ("let", "const"),
    ("hyper", "const"),
    ("size", "dim"),
    ("plate", "for each"),
    ("foreach", "for each"),
    ("network", "net"),
    ("function", "net"),
    ("def", "net"),
    ("fn", "net"),
    ("sequence", "chain"),
];

type Slip = fn(&Context<'_>) -> Option<SyntaxError>;

const SLIPS: [Slip; 15] = [
    operator_first,
    brace_below,
    line_goes_on,
    reserved_name,
    statement_word,
    for_without_each,
    missing_tilde,
    wrong_mark,
    wrong_bracket,
    missing_between,
    two_statements,
    half_condition,
    several_constants,
    empty_brackets,
    matrix_rows,
];

pub(super) fn advice(c: &Context<'_>) -> Option<SyntaxError> {
    SLIPS.iter().find_map(|slip| slip(c))
}

fn keyword(c: &Context<'_>, at: usize, message: String, label: String, help: String) -> SyntaxError {
    SyntaxError::Keyword {
        message,
        span: c.token(at).span(),
        label,
        help,
    }
}

/// A line that begins with the operator that should have ended the one before.
fn operator_first(c: &Context<'_>) -> Option<SyntaxError> {
    let text = c.found_text();
    let goes_on = matches!(c.found_kind(), Some(Kind::Symbol)) || matches!(text, "and" | "or" | "{");
    if c.before.is_some() || !goes_on || text == ";" {
        return None;
    }
    let help = format!("a line goes on where it ends in an operator: move `{text}` to the end of the line before");
    Some(unexpected(c, None, Some(help)))
}

/// A brace on a line of its own.
fn brace_below(c: &Context<'_>) -> Option<SyntaxError> {
    if c.next_line() != "{" || !c.expects("`{`") {
        return None;
    }
    Some(unexpected(
        c,
        None,
        Some("the brace stands on the same line: put `{` at its end".into()),
    ))
}

/// `dim K = 3,` and a statement in the next line, which the comma has made part of this one.
fn line_goes_on(c: &Context<'_>) -> Option<SyntaxError> {
    let last = c.continued?;
    let begins = STATEMENT_WORDS.contains(&c.found_text()) || matches!(c.found_text(), "~" | "=" | ":");
    if !begins || c.bracket_text() == "(" || c.bracket_text() == "[" {
        return None;
    }
    let help = format!(
        "`{}` at the end of a line makes the next one part of it",
        c.text_of(last)
    );
    Some(unexpected(c, Some(c.token(last).span()), Some(help)))
}

/// A word of the language as a name.
fn reserved_name(c: &Context<'_>) -> Option<SyntaxError> {
    let (found, word) = (c.found?, c.found_text());
    let structural = matches!(word, "if" | "then" | "else" | "match" | "and" | "or" | "not");
    if c.found_kind() != Some(Kind::Keyword)
        || !(c.expects(NAME) || c.expects(EXPRESSION))
        || (structural && c.expects(EXPRESSION))
    {
        return None;
    }
    let message = format!("`{word}` is a word of the language and cannot be a name");
    Some(keyword(
        c,
        found,
        message,
        "not a name".into(),
        format!("choose another, such as {word}_1"),
    ))
}

/// `parm a : real`, `guid {`.
fn statement_word(c: &Context<'_>) -> Option<SyntaxError> {
    let before = c.before?;
    if !c.only_words() || !c.on_one_line() || c.token(before).kind != Kind::Name {
        return None;
    }
    let (word, found) = (c.text_of(before), c.found_text());
    let right = match (c.found_kind()?, found) {
        (Kind::Name, _) if TYPES.contains(&word) => {
            let help = format!("the type comes after the name: {} : {word}", short(found));
            return Some(unexpected(c, None, Some(help)));
        }
        (Kind::Name, _) => SYNONYMS
            .iter()
            .find(|(other, _)| word.eq_ignore_ascii_case(other))
            .map(|(_, ours)| *ours)
            .or_else(|| closest(word, STATEMENT_WORDS))?,
        (Kind::Open, "{") => closest(word, ["guide", "fit"])?,
        _ => return None,
    };
    let message = format!("`{}` does not begin a statement", short(word));
    Some(keyword(
        c,
        before,
        message,
        format!("did you mean `{right}`?"),
        format!("write `{right} {}`", short(found)),
    ))
}

/// `for doc {`, `for k in 1..K`.
fn for_without_each(c: &Context<'_>) -> Option<SyntaxError> {
    if !c.expects("`each`") {
        return None;
    }
    let help = "groups: for each COLUMN { ... }; a family has its range in brackets: mu[k in 1..K] ~ ...";
    Some(unexpected(c, None, Some(help.into())))
}

/// `z Categorical(pi)`, `x : real Normal(0, 1)`.
fn missing_tilde(c: &Context<'_>) -> Option<SyntaxError> {
    if !c.expects("`~`") || c.found_kind() != Some(Kind::Name) || c.after_text() != "(" {
        return None;
    }
    let help = format!("`~` stands before a distribution: ~ {}(...)", short(c.found_text()));
    Some(unexpected(c, None, Some(help)))
}

/// A mark of another language where ours has its own.
fn wrong_mark(c: &Context<'_>) -> Option<SyntaxError> {
    let list = c.bracket.is_some_and(|b| c.mark(b) == Mark::List);
    let (instead, help) = match c.found_text() {
        ":" if c.expects("`..`") || c.bracket_text() == "[" => ("..", "a range is written a..b, both ends included"),
        ":" if c.bracket_text() == "(" && !c.has("net") => ("=", "an argument is named with `=`: adam(lr = 1e-3)"),
        ":" | "->" | "=" if c.expects("`=>`") => ("=>", "an arm is written: pattern => value"),
        ":" if list => ("=", "a setting is written: name = value"),
        "=" if c.has("if") && c.expects(OPERATOR) => ("==", "`==` compares; `=` defines"),
        _ => return None,
    };
    Some(SyntaxError::Operator {
        message: format!("`{}` does not stand here", c.found_text()),
        span: c.span(),
        instead: instead.into(),
        help: help.into(),
    })
}

/// `simplex(K)`, `mu(k) ~ ...`, `vector<lower=0>`.
fn wrong_bracket(c: &Context<'_>) -> Option<SyntaxError> {
    let before = c.before.filter(|i| c.token(*i).kind == Kind::Name)?;
    let word = short(c.text_of(before));
    let help = match c.found_text() {
        "(" if c.expects("`[`") && !c.expects("`(`") => {
            format!("sizes and indices stand in square brackets: {word}[...]")
        }
        "<" if c.has(":") && c.expects("`[`") => {
            "a constraint is a type: positive, unit, simplex[K], ordered[K]".into()
        }
        _ => return None,
    };
    Some(unexpected(c, None, Some(help)))
}

/// Two operands in a row.
fn missing_between(c: &Context<'_>) -> Option<SyntaxError> {
    let before = c.before.filter(|i| c.token(*i).ends_operand())?;
    let begins = matches!(c.found_kind()?, Kind::Name | Kind::Number | Kind::Open) && c.found_text() != "{";
    if !begins || !c.expects(OPERATOR) {
        return None;
    }
    let (a, b) = (short(c.text_of(before)), short(c.found_text()));
    let product = c.token(before).kind == Kind::Number && c.token(before).end == c.token(c.found?).start;
    let dims = c.bracket_text() != "(" && c.bracket_text() != "[" && c.first_text() == "dim" && c.after_text() == "=";
    let in_brackets = matches!(c.bracket_text(), "(" | "[") || c.bracket.is_some_and(|b| c.mark(b) == Mark::List);
    let (mark, message) = if in_brackets && !product || dims {
        (",", "a comma is missing between two values")
    } else if product || !begins_statement(c) {
        ("*", "an operator is missing between two values")
    } else {
        return None;
    };
    let gap = if mark == "*" { " * " } else { ", " };
    let help = if a.len() == 1 && ")]}".contains(&a) {
        format!("put `{mark}` before `{b}`")
    } else {
        format!("write {a}{gap}{b}")
    };
    Some(SyntaxError::Comma {
        message: message.into(),
        span: c.span(),
        label: format!("`{mark}` is missing before this"),
        help,
    })
}

/// Whether a name is followed by what a statement has after its name.
fn begins_statement(c: &Context<'_>) -> bool {
    matches!(c.after_text(), "~" | "=" | ":" | "[" | "," | "{") || STATEMENT_WORDS.contains(&c.found_text())
}

/// A statement that begins on the line of another.
fn two_statements(c: &Context<'_>) -> Option<SyntaxError> {
    let before = c.before.filter(|i| c.token(*i).ends_operand())?;
    let word = matches!(c.found_kind()?, Kind::Name | Kind::Keyword);
    if !word || !c.expects(END) || c.only_words() || c.token(before).kind == Kind::Keyword {
        return None;
    }
    match c.found_text() {
        "if" => return Some(unexpected(c, None, Some("write: if condition then a else b".into()))),
        "then" | "else" => return None,
        _ => {}
    }
    Some(SyntaxError::Comma {
        message: "two statements on one line, with nothing between them".into(),
        span: c.span(),
        label: "`;` or a line break is missing before this".into(),
        help: format!("write `; {}`, or begin a new line", short(c.found_text())),
    })
}

/// `if` without `then` or `else`.
fn half_condition(c: &Context<'_>) -> Option<SyntaxError> {
    let help = match c.found_text() {
        "then" | "else" if !c.expects("`then`") && !c.expects("`else`") => "it belongs to: if condition then a else b",
        _ if c.expects("`then`") || c.expects("`else`") => "an `if` has both: if condition then a else b",
        _ => return None,
    };
    Some(unexpected(c, None, Some(help.into())))
}

/// `const a = 1, b = 2`.
fn several_constants(c: &Context<'_>) -> Option<SyntaxError> {
    if c.first_text() != "const" || c.found_text() != "," {
        return None;
    }
    Some(unexpected(
        c,
        None,
        Some("one constant in each statement: const a = 1; const b = 2".into()),
    ))
}

/// `x[]`.
fn empty_brackets(c: &Context<'_>) -> Option<SyntaxError> {
    if c.before_text() != "[" || c.found_text() != "]" {
        return None;
    }
    Some(unexpected(
        c,
        None,
        Some("an index or a size stands in the brackets; or leave them out".into()),
    ))
}

/// `[1, 0; 0, 1]`.
fn matrix_rows(c: &Context<'_>) -> Option<SyntaxError> {
    if c.found_text() != ";" {
        return None;
    }
    let help = match c.bracket_text() {
        "[" => "a matrix is an array of its rows: [[1, 0], [0, 1]]",
        "(" => "`;` ends a statement: is `)` missing before it?",
        _ => return None,
    };
    Some(unexpected(c, None, Some(help.into())))
}
