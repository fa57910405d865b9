//! Groups inside groups: a column of text for the combinations of several columns.

use crate::data::{Cells, Column, DataError, NO_TEXT, Pieces, Table};
use lvmc_model::graph::ModelGraph;
use std::collections::HashMap;

/// Adds the columns that nested groups are read from: `north/3` where `school` is north and `class` is 3, missing where one
/// of them is. `binds` (`school=SCHOOL`), then `known` (of a fit), say which columns are meant.
///
/// # Errors
/// A column that is not there.
pub fn add_columns(
    graph: &ModelGraph,
    table: &mut Table,
    binds: &[String],
    known: &[(String, Vec<String>)],
) -> Result<(), DataError> {
    for nested in &graph.nested {
        let name = graph.var(nested.var).name.clone();
        if table.lookup(&name).is_some() {
            continue;
        }
        let mut parts = vec![];
        for column in &nested.columns {
            let bound = binds.iter().find_map(|b| b.split_once('=').filter(|b| b.0 == column));
            let fitted = known.iter().find(|k| k.0 == *column).and_then(|k| k.1.first());
            let column = bound.map(|b| b.1).or(fitted.map(String::as_str)).unwrap_or(column);
            parts.push(table.find(column, &name)?);
        }
        let cells = combined(table, &parts);
        table.columns.push(Column { name, cells });
    }
    Ok(())
}

/// The columns that [`add_columns`] has added.
#[must_use]
pub fn is_added(graph: &ModelGraph, name: &str) -> bool {
    graph.nested.iter().any(|n| graph.var(n.var).name == name)
}

fn combined(table: &Table, parts: &[usize]) -> Cells {
    let (mut codes, mut words) = (Pieces::default(), vec![]);
    let mut known: HashMap<String, u32> = HashMap::new();
    for row in 0..table.rows {
        if parts.iter().any(|&c| table.columns[c].is_missing(row)) {
            codes.push(NO_TEXT);
            continue;
        }
        let shown: Vec<String> = parts.iter().map(|&c| table.columns[c].show(row)).collect();
        let word = shown.join("/");
        let code = *known.entry(word.clone()).or_insert_with(|| {
            words.push(word);
            u32::try_from(words.len() - 1).unwrap_or(NO_TEXT)
        });
        codes.push(code);
    }
    Cells::Text { codes, words, first: 0 }
}
