//! From pest's error to a diagnostic in human words: what was expected, what was found, and the fix to type.

mod advice;
mod context;
mod expected;

use lvmc_base::{Limit, Span};
use pest::error::{Error, ErrorVariant, InputLocation};

use crate::error::SyntaxError;
use crate::grammar::Rule;
use crate::scan::Scan;
use context::Context;

/// Puts pest's error into words.
pub(crate) fn explain(text: &str, scan: &Scan, error: &Error<Rule>) -> SyntaxError {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let positives = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        // pest gives up by its number of steps or its stack.
        ErrorVariant::CustomError { message } => {
            return SyntaxError::Limit(Limit {
                what: "the work to read this model".into(),
                found: message.clone(),
                limit: "proportional to its length".into(),
                advice: "name inner parts in statements of their own: a = ..., then use a".into(),
            });
        }
    };
    let context = Context::new(text, scan, at, expected::words(positives));
    if let Some(known) = advice::advice(&context) {
        return known;
    }
    unexpected(&context, None, None)
}

/// The general diagnostic.
fn unexpected(c: &Context<'_>, continued: Option<Span>, help: Option<String>) -> SyntaxError {
    let expected = c.expected();
    let label = if c.at_end() {
        "nothing follows this".into()
    } else {
        format!("expected {expected}")
    };
    SyntaxError::Unexpected {
        expected,
        found: c.found_words(),
        span: c.span(),
        label,
        continued,
        help,
    }
}
