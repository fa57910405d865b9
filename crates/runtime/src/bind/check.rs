//! Values against types: every violation with its row, column and value.

use super::Bound;
use crate::data::{Cell, Cells, Column, DataError, Table};
use lvmc_term::Support;

/// A type in words.
fn wanted(support: &Support) -> &'static str {
    match support {
        Support::Real | Support::Ordered | Support::Cov | Support::Corr => "a real number",
        Support::Positive => "positive",
        Support::NonNegative => "not negative",
        Support::Unit => "between 0 and 1",
        Support::Int => "a whole number",
        Support::Count => "a count: 0, 1, 2, …",
        Support::Binary => "binary: 0 or 1",
        Support::Category(_) => "a category: text or whole numbers",
        Support::Simplex => "shares between 0 and 1 that sum to 1",
    }
}

/// What is wrong with a finite number, if anything.
pub(crate) fn fault(support: &Support, x: f64) -> Option<&'static str> {
    let whole = x.fract() == 0.0;
    match support {
        _ if x.is_nan() => None, // a missing cell
        Support::Positive if x == 0.0 => Some("zero"),
        Support::Positive | Support::NonNegative | Support::Count if x < 0.0 => Some("negative"),
        Support::Unit | Support::Simplex if x < 0.0 => Some("negative"),
        Support::Unit | Support::Simplex if x > 1.0 => Some("above 1"),
        Support::Int | Support::Count if !whole => Some("not a whole number"),
        Support::Binary if x != 0.0 && x != 1.0 => Some("neither 0 nor 1"),
        _ => None,
    }
}

fn advice(support: &Support, variable: &str, x: f64) -> String {
    match support {
        Support::Unit if x > 1.0 => {
            format!("scale it in the model: data {variable} : unit = column / 255, or declare {variable} : real")
        }
        Support::Count => format!("declare {variable} : real if it is no count, or bind another column"),
        Support::Binary => format!("write 0 and 1, or declare {variable} : category[K]"),
        Support::Positive => {
            format!("declare {variable} : real if values of zero and below belong there, or bind another column")
        }
        _ => format!("bind another column: --bind {variable}=COLUMN"),
    }
}

/// Checks the values of a bound variable; missing cells pass (whether they may be missing is the lowered model's to say).
pub(super) fn values(bound: &Bound, table: &Table) -> Result<(), DataError> {
    if matches!(bound.support, Support::Category(_)) {
        return Ok(()); // checked where its labels were made
    }
    for &c in &bound.columns {
        let Some(column) = table.columns.get(c) else { continue };
        numbers(column, &bound.support, &bound.name)?;
    }
    if bound.support == Support::Simplex {
        shares(bound, table)?;
    }
    Ok(())
}

fn cell(column: &Column, row: usize) -> Box<Cell> {
    Box::new(Cell {
        row: row + 1,
        column: column.name.clone(),
        value: column.show(row),
    })
}

fn numbers(column: &Column, support: &Support, variable: &str) -> Result<(), DataError> {
    let xs = match &column.cells {
        Cells::Numbers(xs) => xs,
        Cells::Text { first, words, .. } => {
            let help = if *support == Support::Binary && words.len() == 2 {
                format!(
                    "write 1 and 0 for {} and {}, or declare {variable} : category[2]",
                    words[0], words[1]
                )
            } else if column.show(*first).contains(',') {
                "write a decimal point, not a comma".into()
            } else {
                "an empty cell, NA or NaN is a missing value; other text belongs to a category".into()
            };
            return Err(DataError::Text {
                cell: cell(column, *first),
                variable: variable.into(),
                wanted: match wanted(support) {
                    w @ ("positive" | "not negative" | "between 0 and 1") => format!("a number that is {w}"),
                    w => w.into(),
                },
                help,
            });
        }
    };
    for (row, x) in xs.iter().enumerate() {
        if x.is_infinite() {
            return Err(DataError::Infinite {
                cell: cell(column, row),
                variable: variable.into(),
            });
        }
        if let Some(what) = fault(support, x) {
            return Err(DataError::Range {
                cell: cell(column, row),
                fault: what.into(),
                variable: variable.into(),
                wanted: wanted(support).into(),
                help: advice(support, variable, x),
            });
        }
    }
    Ok(())
}

/// Rows of a simplex sum to 1.
fn shares(bound: &Bound, table: &Table) -> Result<(), DataError> {
    let columns: Vec<&Column> = bound.columns.iter().filter_map(|&c| table.columns.get(c)).collect();
    for row in 0..table.rows {
        let sum: f64 = columns.iter().filter_map(|c| c.as_numbers()?.get(row)).sum();
        if !sum.is_nan() && (sum - 1.0).abs() > 1e-6 {
            return Err(DataError::Range {
                cell: Box::new(Cell {
                    row: row + 1,
                    column: bound.column_names.join(" + "),
                    value: format!("{sum}"),
                }),
                fault: "not 1".into(),
                variable: bound.name.clone(),
                wanted: wanted(&bound.support).into(),
                help: "divide every row by its sum".into(),
            });
        }
    }
    Ok(())
}

/// Weights are finite, not negative, and not all zero.
pub(super) fn weights(c: usize, table: &Table) -> Result<(), DataError> {
    let Some(column) = table.columns.get(c) else {
        return Ok(());
    };
    let bad = |row: usize, fault: &str| DataError::Weight {
        cell: cell(column, row),
        fault: fault.into(),
    };
    let xs = match &column.cells {
        Cells::Numbers(xs) => xs,
        Cells::Text { first, .. } => return Err(bad(*first, "not a number")),
    };
    let mut sum = 0.0;
    for (row, x) in xs.iter().enumerate() {
        if x.is_nan() {
            return Err(bad(row, "missing"));
        }
        if x.is_infinite() {
            return Err(bad(row, "infinite"));
        }
        if x < 0.0 {
            return Err(bad(row, "negative"));
        }
        sum += x;
    }
    if sum > 0.0 {
        Ok(())
    } else {
        Err(DataError::NoWeight {
            column: column.name.clone(),
        })
    }
}

/// Things that are allowed and worth a look.
pub(super) fn remark(vars: &[Bound], table: &Table, remarks: &mut Vec<String>) {
    for b in vars
        .iter()
        .filter(|b| matches!(b.support, Support::Real | Support::Positive | Support::Unit))
    {
        let mut constant: Vec<(&str, f64)> = vec![];
        for column in b.columns.iter().filter_map(|&c| table.columns.get(c)) {
            if let Some(values) = column.distinct(1)
                && values.len() == 1
                && table.rows > 1
            {
                constant.push((&column.name, values[0]));
            }
        }
        match constant[..] {
            [] => {}
            [(column, value)] => remarks.push(format!(
                "column `{column}` of `{}` is constant ({value}): it says nothing, and a variance of it can only shrink to \
                 its floor",
                b.name
            )),
            _ => remarks.push(format!(
                "columns {} of `{}` are constant: they say nothing, and a variance of one can only shrink to its floor",
                crate::data::listed(constant.iter().map(|c| c.0), 8),
                b.name
            )),
        }
    }
    for b in vars.iter().filter(|b| b.missing > 0) {
        remarks.push(format!("`{}` has {} missing cells", b.name, b.missing));
    }
}
