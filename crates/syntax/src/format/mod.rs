//! The formatter. It works on tokens, so that comments, blank lines, the author's line breaks and the spelling of
//! numbers stay; it decides blanks, indentation, alignment and redundant separators.

mod align;
mod lines;
mod space;

use crate::error::{SyntaxError, bug};
use crate::parse::text as parse_text;
use crate::scan::{Mark, Scan};
use crate::show::print_ast;
use crate::token::Kind;
use lines::Line;
use space::Spacing;

/// Formats a model: two blanks of indentation, one blank around operators and none in indices, aligned declarations,
/// at most one blank line. Formatting twice gives the same text, and the model means the same.
///
/// # Errors
/// Whatever keeps the text from being a model.
pub fn format(text: &str) -> Result<String, SyntaxError> {
    let (model, scan) = parse_text("the model", text)?;
    let out = layout(text, &scan);
    // A formatter that changes what a file says would be worse than none.
    let (again, _) = parse_text("the formatted model", &out)?;
    if print_ast(&again) != print_ast(&model) {
        return Err(bug("formatting would change the model"));
    }
    Ok(out)
}

fn layout(text: &str, scan: &Scan) -> String {
    let spacing = Spacing::new(text, scan);
    let mut lines = lines::lines(text, scan);
    indent(&mut lines, scan);
    let pads = align::pads(&lines, scan, &spacing);
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for (line, pads) in lines.iter().zip(&pads) {
        if line.blank_before {
            out.push('\n');
        }
        out.extend(std::iter::repeat_n(' ', line.indent));
        out.push_str(spacing.render(&line.pieces, pads).trim_end());
        out.push('\n');
    }
    out
}

/// A bracket that a line left open.
struct Open {
    /// The indentation of the line that opened it.
    indent: usize,
    brace: bool,
}

/// Sets every line's indentation: two more than the line that opened the innermost bracket, and two more again for a
/// line that goes on with a statement.
fn indent(lines: &mut [Line<'_>], scan: &Scan) {
    let mut open: Vec<Open> = Vec::new();
    for line in lines {
        let closers = line
            .pieces
            .iter()
            .take_while(|p| scan.tokens[p.token].kind == Kind::Close)
            .count();
        line.indent = if closers > 0 {
            let level = open.len().saturating_sub(closers);
            open.get(level).map_or(0, |o| o.indent)
        } else {
            let inside = open.last().map_or(0, |o| o.indent + 2);
            let goes_on = line.continues && open.last().is_none_or(|o| o.brace);
            inside + if goes_on { 2 } else { 0 }
        };
        for piece in &line.pieces {
            match scan.tokens[piece.token].kind {
                Kind::Open => {
                    let brace = matches!(scan.marks[piece.token], Mark::Block | Mark::List);
                    open.push(Open {
                        indent: line.indent,
                        brace,
                    });
                }
                Kind::Close => {
                    open.pop();
                }
                _ => {}
            }
        }
    }
}
