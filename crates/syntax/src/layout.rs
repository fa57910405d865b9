//! What line breaks mean: the one rule that the grammar leaves to its reader.

use crate::scan::{Mark, Scan};
use crate::token::Kind;

/// The text that the grammar reads: of the same length, so that every position keeps its meaning. Comments, unusual
/// blanks and line breaks that separate nothing are blanks; every other line break is a line feed.
pub(crate) fn layout(text: &str, scan: &Scan) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (token, mark) in scan.tokens.iter().zip(&scan.marks) {
        blank(&mut out, token.start - at);
        let len = token.end - token.start;
        match token.kind {
            Kind::Comment => blank(&mut out, len),
            Kind::Newline if *mark == Mark::Joined => blank(&mut out, len),
            Kind::Newline => {
                out.push('\n');
                blank(&mut out, len - 1);
            }
            _ => out.push_str(token.text(text)),
        }
        at = token.end;
    }
    blank(&mut out, text.len() - at);
    out
}

fn blank(out: &mut String, n: usize) {
    out.extend(std::iter::repeat_n(' ', n));
}
