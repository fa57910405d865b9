//! The sequences of a chain: which rows follow which.
//!
//! Rows are sorted by sequence (in the order in which the sequences first appear) and, where the chain has an ordering
//! column, by that inside each. Outputs are in the order of the table.

use crate::bind::Binding;
use crate::data::{Cells, Column, DataError, Pieces, Table};
use lvmc_model::graph::{ModelGraph, RowChain, VarId, When};
use lvmc_term::SymId;
use std::cmp::Ordering;
use std::collections::HashMap;

/// The order of a data set's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The table's row of every row of the data; `None` where they are the same.
    pub rows: Option<Vec<usize>>,
    /// Where sequences begin, and the number of rows.
    pub starts: Vec<usize>,
}

impl Order {
    /// Rows as they stand, each a sequence of its own only in name.
    #[must_use]
    pub fn plain(rows: usize) -> Self {
        Self {
            rows: None,
            starts: vec![0, rows],
        }
    }

    /// The order of a chain's rows.
    ///
    /// # Errors
    /// A missing cell in a column that groups or orders, two rows of a sequence at one place.
    pub fn new(chain: &RowChain, binding: &Binding, table: &Table) -> Result<Self, DataError> {
        let column = |name: &str| {
            let at = binding.roles.iter().find(|r| r.0 == name).map(|r| r.1);
            at.and_then(|c| table.columns.get(c))
        };
        let groups: Vec<&Column> = chain.groups.iter().filter_map(|g| column(g)).collect();
        let by = chain.by.as_deref().and_then(column);
        for (c, what) in groups
            .iter()
            .map(|c| (*c, "names sequences"))
            .chain(by.map(|c| (c, "orders a chain")))
        {
            if let Some(row) = (0..table.rows).find(|&r| is_missing(c, r)) {
                return Err(DataError::Helper {
                    column: c.name.clone(),
                    row: row + 1,
                    what: what.into(),
                });
            }
        }
        let mut numbers: HashMap<Vec<Key>, usize> = HashMap::new();
        let sequence: Vec<usize> = (0..table.rows)
            .map(|r| {
                let next = numbers.len();
                *numbers
                    .entry(groups.iter().map(|c| key(c, r)).collect())
                    .or_insert(next)
            })
            .collect();
        let mut rows: Vec<usize> = (0..table.rows).collect();
        let place = |a: usize, b: usize| by.map_or(Ordering::Equal, |c| compare(c, a, b));
        rows.sort_by(|&a, &b| sequence[a].cmp(&sequence[b]).then(place(a, b)));
        if let Some(by) = by
            && let Some(w) = rows.windows(2).find(|w| {
                let same = sequence[w[0]] == sequence[w[1]];
                same && place(w[0], w[1]) == Ordering::Equal
            })
        {
            return Err(DataError::Tie {
                column: by.name.clone(),
                value: by.show(w[0]),
                first: w[0].min(w[1]) + 1,
                second: w[0].max(w[1]) + 1,
            });
        }
        let begins = |&i: &usize| i == 0 || sequence[rows[i]] != sequence[rows[i - 1]];
        let mut starts: Vec<usize> = (0..rows.len()).filter(begins).collect();
        starts.push(rows.len());
        let same = rows.iter().enumerate().all(|(i, &r)| i == r);
        Ok(Self {
            rows: (!same).then_some(rows),
            starts,
        })
    }

    /// A column of the table in the order of the data.
    #[must_use]
    pub fn sorted(&self, column: Pieces<f64>) -> Pieces<f64> {
        match &self.rows {
            Some(rows) => rows.iter().filter_map(|&r| column.get(r)).collect(),
            None => column,
        }
    }

    /// The position of every row in its sequence.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.starts.windows(2).flat_map(|w| 0..w[1] - w[0])
    }

    /// A sorted column some rows later: what a row knows of those before it; NaN where there is none.
    #[must_use]
    pub fn lagged(&self, column: &Pieces<f64>, by: usize) -> Pieces<f64> {
        let value = |(row, position): (usize, usize)| {
            let at = (position >= by).then(|| column.get(row - by));
            at.flatten().unwrap_or(f64::NAN)
        };
        self.positions().enumerate().map(value).collect()
    }
}

/// What a chain makes of its rows, for one variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The position.
    Position,
    /// 1 where statements hold.
    Mark(When),
    /// Another variable's value some rows before.
    Lag(VarId, usize),
}

/// What a symbol is, where a chain makes it.
#[must_use]
pub fn made(graph: &ModelGraph, sym: SymId) -> Option<Made> {
    let (chain, var) = (graph.chain.as_ref()?, graph.var_of(sym)?);
    if chain.position == Some(var) {
        return Some(Made::Position);
    }
    let mark = chain.marks.iter().find(|m| m.var == var).map(|m| Made::Mark(m.when));
    mark.or_else(|| {
        let lag = chain.lags.iter().find(|l| l.var == var)?;
        Some(Made::Lag(lag.of, lag.by))
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Number(u64),
    Text(u32),
}

fn key(c: &Column, row: usize) -> Key {
    match &c.cells {
        Cells::Numbers(xs) => Key::Number((xs.get(row).unwrap_or(f64::NAN) + 0.0).to_bits()),
        Cells::Text { codes, .. } => Key::Text(codes.get(row).unwrap_or_default()),
    }
}

fn is_missing(c: &Column, row: usize) -> bool {
    match &c.cells {
        Cells::Numbers(xs) => xs.get(row).is_none_or(f64::is_nan),
        Cells::Text { codes, words, .. } => codes.get(row).is_none_or(|c| c as usize >= words.len()),
    }
}

/// Numbers by size, text by its letters (dates written year first are in order).
fn compare(c: &Column, a: usize, b: usize) -> Ordering {
    match &c.cells {
        Cells::Numbers(xs) => {
            let x = |r| xs.get(r).unwrap_or(f64::NAN);
            x(a).total_cmp(&x(b))
        }
        Cells::Text { codes, words, .. } => {
            let x = |r| codes.get(r).and_then(|c| words.get(c as usize));
            x(a).cmp(&x(b))
        }
    }
}
