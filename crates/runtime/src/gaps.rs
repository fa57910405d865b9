//! Which variables have missing cells in a table.

use crate::bind::{Binding, Bound};
use crate::data::{DataError, Pieces, Table};
use lvmc_derive::Gaps;
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_term::SymId;
use std::collections::BTreeMap;

/// Data variables with missing cells, and those without columns.
#[must_use]
pub fn gaps(graph: &ModelGraph, binding: &Binding, table: &Table) -> BTreeMap<SymId, Gaps> {
    let mut out = BTreeMap::new();
    for v in graph.vars.iter().filter(|v| v.role == Role::Data) {
        let inputs: Vec<&Bound> = match (binding.var(v.sym), v.observed_as) {
            (Some(b), _) => vec![b],
            (None, Some(t)) => graph.store.symbols(t).iter().filter_map(|x| binding.var(*x)).collect(),
            (None, None) => vec![],
        };
        if inputs.is_empty() {
            out.insert(v.sym, Gaps::Whole);
        } else if inputs.iter().any(|b| b.missing > 0) {
            out.insert(v.sym, pattern(&inputs, table));
        }
    }
    out
}

fn pattern(inputs: &[&Bound], table: &Table) -> Gaps {
    let columns: Vec<_> = inputs
        .iter()
        .flat_map(|b| &b.columns)
        .filter_map(|&c| table.columns.get(c))
        .collect();
    let mixed = |row: usize| {
        let missing = columns.iter().filter(|c| c.is_missing(row)).count();
        missing > 0 && missing < columns.len()
    };
    if (0..table.rows).any(mixed) {
        Gaps::Cells
    } else {
        Gaps::Whole
    }
}

/// What is missing of columns.
#[must_use]
pub fn gaps_of(columns: &[Pieces<f64>]) -> Gaps {
    let rows = columns.first().map_or(0, |c| c.iter().count());
    let mut seen = vec![0usize; rows];
    for xs in columns {
        seen.iter_mut()
            .zip(xs.iter())
            .for_each(|(n, x)| *n += usize::from(x.is_nan()));
    }
    if seen.iter().all(|&n| n == 0 || n == columns.len()) {
        Gaps::Whole
    } else {
        Gaps::Cells
    }
}

/// Refuses columns of data variables that hold no value at all: there is nothing to learn from.
///
/// # Errors
/// The first of them.
pub fn refuse_empty(binding: &Binding, table: &Table) -> Result<(), DataError> {
    for b in binding
        .vars
        .iter()
        .filter(|b| b.role == Role::Data && b.missing >= table.rows)
    {
        for column in b.columns.iter().filter_map(|&c| table.columns.get(c)) {
            if table.rows > 0 && (0..table.rows).all(|row| column.is_missing(row)) {
                return Err(DataError::NoValue {
                    column: column.name.clone(),
                    variable: b.name.clone(),
                });
            }
        }
    }
    Ok(())
}
