//! Parameters as tables: what is indexed by a component stands side by side.

use crate::layout::{Align, pad, width};
use crate::numbers::{error, row, short};
use lvmc_runtime::result::Parameter;

/// Columns of a page.
const PAGE: usize = 100;
/// Rows of one parameter beyond which the rest is left to JSON.
const LONGEST: usize = 24;

/// A block of the page: a label, and cells for each component (each with one or more numbers).
struct Block {
    /// Column labels of the components, or of one matrix.
    header: Vec<String>,
    lines: Vec<Line>,
}

impl Block {
    /// Numbers side by side in a cell.
    fn numbers(&self) -> usize {
        self.lines
            .iter()
            .flat_map(|l| l.cells.iter().map(Vec::len))
            .max()
            .unwrap_or(1)
    }
}

struct Line {
    label: String,
    /// Per component, its numbers on this line.
    cells: Vec<Vec<String>>,
}

/// All parameters; each number with its standard error in brackets, where they are known and asked for.
#[must_use]
pub fn parameters(list: &[Parameter], errors: bool) -> String {
    let list: Vec<Parameter> = list
        .iter()
        .map(|p| Parameter {
            errors: p.errors.clone().filter(|_| errors),
            ..p.clone()
        })
        .collect();
    let list = &list[..];
    let shared = family_axes(list);
    let mut blocks: Vec<Block> = vec![];
    for p in list {
        let block = block(p, &shared);
        match blocks.last_mut() {
            Some(last) if last.header == block.header && last.numbers() == block.numbers() => {
                last.lines.extend(block.lines);
            }
            _ => blocks.push(block),
        }
    }
    let label = blocks
        .iter()
        .flat_map(|b| &b.lines)
        .map(|l| width(&l.label))
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for (i, b) in blocks.iter().enumerate() {
        let same = i > 0 && blocks[i - 1].header == b.header;
        let text = page(b, label, same);
        let headed = text.starts_with("      ");
        if i > 0 && (headed || !(same && b.numbers() > 1)) {
            out.push('\n');
        }
        out.push_str(&text);
    }
    out
}

/// Labels of the family axes: a vector along one of them is set beside the family's members.
fn family_axes(list: &[Parameter]) -> Vec<Vec<String>> {
    list.iter()
        .filter(|p| p.family > 0)
        .filter_map(|p| p.axes.first().cloned())
        .collect()
}

/// Numbers with their standard errors, from `first` on.
fn with_errors(p: &Parameter, first: usize, texts: Vec<String>) -> Vec<String> {
    let Some(errors) = &p.errors else { return texts };
    let shown: Vec<String> = (first..)
        .zip(&texts)
        .map(|(i, _)| format!("({})", error(errors.get(i).copied().flatten())))
        .collect();
    let width = shown.iter().map(|t| width(t)).max().unwrap_or(0);
    texts
        .into_iter()
        .zip(shown)
        .map(|(t, e)| format!("{t} {}", pad(&e, width, Align::Left)))
        .collect()
}

fn block(p: &Parameter, shared: &[Vec<String>]) -> Block {
    let across = p.family == 1 || (p.family == 0 && p.shape.len() == 1 && shared.contains(&p.axes[0]));
    match (across, p.shape.len() - usize::from(across)) {
        (_, own) if own > 2 => {
            let shape: Vec<String> = p.shape.iter().map(ToString::to_string).collect();
            let label = format!("{} has the shape {}: --json shows it", p.name, shape.join(" × "));
            Block {
                header: vec![],
                lines: vec![Line { label, cells: vec![] }],
            }
        }
        (true, 0) => {
            let cells = with_errors(p, 0, row(&p.values)).into_iter().map(|c| vec![c]).collect();
            Block {
                header: p.axes[0].clone(),
                lines: vec![Line {
                    label: p.name.clone(),
                    cells,
                }],
            }
        }
        (true, own) => family(p, own),
        (false, 0) => {
            let cells = vec![with_errors(p, 0, row(&p.values))];
            Block {
                header: vec![],
                lines: vec![Line {
                    label: p.name.clone(),
                    cells,
                }],
            }
        }
        (false, 1) => vector(p),
        (false, _) => matrix(p),
    }
}

/// A vector or matrix per component.
fn family(p: &Parameter, own: usize) -> Block {
    let members = p.shape[0];
    let rows = p.shape[1];
    let cols = if own == 2 { p.shape[2] } else { 1 };
    let mut lines = vec![Line {
        label: p.name.clone(),
        cells: vec![],
    }];
    for r in 0..rows.min(LONGEST) {
        let at = |m: usize| &p.values[(m * rows + r) * cols..(m * rows + r + 1) * cols];
        let all: Vec<f64> = (0..members).flat_map(|m| at(m).to_vec()).collect();
        let texts: Vec<String> = if cols > 1 {
            all.iter().map(|&x| short(x)).collect()
        } else {
            row(&all)
        };
        let cells = texts
            .chunks(cols)
            .enumerate()
            .map(|(m, t)| with_errors(p, (m * rows + r) * cols, t.to_vec()))
            .collect();
        lines.push(Line {
            label: format!("  {}", p.axes[1][r]),
            cells,
        });
    }
    more(&mut lines, rows);
    Block {
        header: p.axes[0].clone(),
        lines,
    }
}

fn vector(p: &Parameter) -> Block {
    let n = p.shape[0];
    let mut lines = vec![Line {
        label: p.name.clone(),
        cells: vec![],
    }];
    let texts = with_errors(p, 0, row(&p.values));
    for (label, text) in p.axes[0].iter().zip(texts).take(LONGEST) {
        lines.push(Line {
            label: format!("  {label}"),
            cells: vec![vec![text]],
        });
    }
    more(&mut lines, n);
    Block { header: vec![], lines }
}

fn matrix(p: &Parameter) -> Block {
    let (rows, cols) = (p.shape[0], p.shape[1]);
    let mut lines = vec![Line {
        label: p.name.clone(),
        cells: vec![],
    }];
    for r in 0..rows.min(LONGEST) {
        let texts = p.values[r * cols..(r + 1) * cols].iter().map(|&x| short(x)).collect();
        let cells = vec![with_errors(p, r * cols, texts)];
        lines.push(Line {
            label: format!("  {}", p.axes[0][r]),
            cells,
        });
    }
    more(&mut lines, rows);
    Block { header: vec![], lines }
}

fn more(lines: &mut Vec<Line>, rows: usize) {
    if rows > LONGEST {
        lines.push(Line {
            label: format!("  … {} more, with --json", rows - LONGEST),
            cells: vec![],
        });
    }
}

/// Components side by side, as many as fit; then the next ones below.
fn page(b: &Block, label: usize, same: bool) -> String {
    let members = b.header.len().max(1);
    let numbers = b.numbers();
    let cell = b
        .lines
        .iter()
        .flat_map(|l| l.cells.iter().flatten())
        .chain(b.header.iter().filter(|_| numbers == 1))
        .map(|t| width(t))
        .max()
        .unwrap_or(0);
    let block = numbers * (cell + 2);
    let gap = if numbers > 1 && members > 1 { 3 } else { 0 };
    let fit = ((PAGE.saturating_sub(label + 2) + gap) / (block + gap).max(1)).clamp(1, members);
    let mut out = String::new();
    for first in (0..members).step_by(fit) {
        let last = (first + fit).min(members);
        if first > 0 {
            out.push('\n');
        }
        // components in the order of the block above need no second header
        if !b.header.is_empty() && (!same || fit != members) {
            let mut line = " ".repeat(label + 2);
            for (m, name) in b.header[first..last].iter().enumerate() {
                line.push_str(&" ".repeat(if m > 0 { gap } else { 0 }));
                line.push_str(&pad(name, block, Align::Right));
            }
            push(&mut out, &line);
        }
        for l in &b.lines {
            let mut line = format!("  {}", pad(&l.label, label, Align::Left));
            for (m, numbers) in l.cells.iter().enumerate().take(last).skip(first) {
                if m > first && gap > 0 {
                    line.push_str(if numbers.len() > 1 { "  │" } else { "   " });
                }
                let mut text = String::new();
                for n in numbers {
                    text.push_str("  ");
                    text.push_str(&pad(n, cell, Align::Right));
                }
                line.push_str(&pad(&text, block, Align::Right));
            }
            push(&mut out, &line);
        }
    }
    out
}

fn push(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, shape: &[usize], family: usize, values: &[f64]) -> Parameter {
        let axes = shape
            .iter()
            .map(|&n| (1..=n).map(|i| i.to_string()).collect())
            .collect();
        Parameter {
            name: name.into(),
            shape: shape.to_vec(),
            family,
            values: values.to_vec(),
            axes,
            errors: None,
        }
    }

    #[test]
    fn components_stand_side_by_side() {
        let mut mu = parameter("mu", &[2, 2], 1, &[4.29, 79.968, 2.036, 54.479]);
        mu.axes[1] = vec!["eruptions".into(), "waiting".into()];
        let text = parameters(&[parameter("pi", &[2], 0, &[0.644, 0.356]), mu], false);
        let expected = "                    1       2\n  \
                          pi           0.6440  0.3560\n  \
                          mu\n    \
                            eruptions   4.290   2.036\n    \
                            waiting     79.97   54.48\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn standard_errors_stand_in_brackets() {
        let mut mu = parameter("mu", &[2], 0, &[10.0, -2.0]);
        mu.errors = Some(vec![Some(0.123), None]);
        assert_eq!(
            parameters(&[mu.clone()], true),
            "  mu\n    1  10.00 (0.12)\n    2  −2.00 (–)\n"
        );
        assert_eq!(parameters(&[mu], false), "  mu\n    1  10.00\n    2  −2.00\n");
    }

    #[test]
    fn scalars_and_vectors_are_columns() {
        let text = parameters(
            &[parameter("b", &[], 0, &[1.5]), parameter("w", &[2], 0, &[10.0, -2.0])],
            false,
        );
        assert_eq!(text, "  b    1.500\n  w\n    1  10.00\n    2  −2.00\n");
    }

    #[test]
    fn many_components_go_on_below() {
        let values: Vec<f64> = (0..40).map(f64::from).collect();
        let text = parameters(&[parameter("s", &[40], 1, &values)], false);
        assert!(text.lines().all(|l| width(l) <= PAGE), "{text}");
        assert_eq!(text.split_whitespace().filter(|w| w.contains('.')).count(), 40);
    }
}
