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

/// Steps of pest for a byte of text; a test finds at most half as many, in nests of calls.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps that pest takes for a text, by trying.
    fn steps(text: &str) -> usize {
        let (mut low, mut high) = (0, 1 << 30);
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            pest::set_call_limit(NonZeroUsize::new(middle));
            let stopped = matches!(Grammar::parse(Rule::file, text), Err(e)
                if matches!(e.variant, pest::error::ErrorVariant::CustomError { .. }));
            if stopped { low = middle } else { high = middle }
        }
        high
    }

    /// The scanner and the grammar agree on what is never a name.
    #[test]
    fn reserved_words_are_the_same() {
        let grammar = include_str!("../../../grammar/lvm.pest");
        let rule = grammar
            .split("reserved = _{")
            .nth(1)
            .and_then(|r| r.split('}').next())
            .unwrap_or("");
        let words: Vec<&str> = rule.split('|').map(|w| w.trim().trim_matches('"')).collect();
        assert_eq!(words, crate::token::RESERVED);
    }

    /// Linear in the text, so that no alternative is tried twice at every level, and far from the limit.
    #[test]
    fn steps_grow_with_the_text() {
        let statements = [
            "a = 1\n",
            "x ~ N(a[1], b)\n",
            "param a, b : c[d]\n",
            "net f(x : y) -> z : w { a = b }\n",
            "chain t in 1..2 { }\n",
            "weight = fit\n",
            ";",
        ];
        let nests = [
            "f(",
            "(",
            "x[",
            "[",
            "f(a = ",
            "if c then ",
            "match a { 1 => ",
            "-",
            "not ",
            "a + ",
            "a^",
            "f(b, ",
        ];
        let texts = |n: usize| {
            let nested = nests.map(|p| format!("x = {}", p.repeat(n)));
            let blocks = "for each a {".repeat(n);
            statements
                .map(|p| p.repeat(n))
                .into_iter()
                .chain(nested)
                .chain([blocks])
                .collect::<Vec<_>>()
        };
        for (short, long) in texts(20).iter().zip(texts(40)) {
            let (a, b) = (steps(short), steps(&long));
            assert!(b <= 2 * a + 100, "{long}: {a} steps become {b}");
            assert!(
                b <= long.len() * STEPS_PER_BYTE / 2,
                "{long}: {b} steps for {} bytes",
                long.len()
            );
        }
    }
}
