//! The parser that pest makes of `grammar/lvm.pest`, held to a number of steps that grows with the text.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use pest::Parser;
use pest::error::Error;
use pest::iterators::Pairs;
use pest_derive::Parser;

/// The generated parser.
#[derive(Parser)]
#[grammar = "../../grammar/lvm.pest"]
struct Grammar;

/// Steps of pest for a byte of text. Measured: 25 for the language's files, at most 70 for nests of brackets.
const STEPS_PER_BYTE: usize = 400;

/// Steps for any text.
const STEPS: usize = 100_000;

/// pest's limit is the process's. It only ever grows here, so that a parse on another thread is never cut short.
static LIMIT: Mutex<usize> = Mutex::new(0);

/// Parses a text that [`crate::layout`] has prepared.
pub(crate) fn parse(text: &str) -> Result<Pairs<'_, Rule>, Box<Error<Rule>>> {
    let needed = STEPS + STEPS_PER_BYTE * text.len();
    {
        let mut limit = LIMIT.lock().unwrap_or_else(PoisonError::into_inner);
        if *limit < needed {
            *limit = needed;
            pest::set_call_limit(NonZeroUsize::new(needed));
        }
    }
    Grammar::parse(Rule::file, text).map_err(Box::new)
}
