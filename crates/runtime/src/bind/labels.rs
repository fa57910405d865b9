//! Categories: the label of each code.

use super::Options;
use super::need::Need;
use super::sizes;
use crate::data::{Cell, Cells, Column, DataError, NO_TEXT, Table, listed, show_number};
use lvmc_model::graph::ModelGraph;
use lvmc_term::{DimId, Size, Support};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The labels of a category's values: code 0 is the first. Values beyond the labels have their number as label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Labels {
    /// In the order of the codes.
    pub texts: Vec<String>,
}

impl Labels {
    /// The label of a code.
    #[must_use]
    pub fn show(&self, code: usize) -> String {
        self.texts.get(code).cloned().unwrap_or_else(|| (code + 1).to_string())
    }

    /// The codes of a column, NaN where missing. With `open` a value that is none of the labels has the code after the last.
    ///
    /// # Errors
    /// A value that is none of the labels.
    pub fn codes(&self, column: &Column, variable: &str, open: bool) -> Result<Vec<f64>, DataError> {
        let known: HashMap<&str, usize> = self.texts.iter().enumerate().map(|(i, t)| (t.as_str(), i)).collect();
        let unseen = |row: usize| DataError::UnseenCategory {
            variable: variable.into(),
            cell: Box::new(Cell {
                row: row + 1,
                column: column.name.clone(),
                value: column.show(row),
            }),
            known: listed(self.texts.iter().map(String::as_str), 12),
        };
        #[allow(clippy::cast_precision_loss)]
        let as_code = |c: usize| c as f64;
        match &column.cells {
            Cells::Numbers(xs) => {
                let mut cache: HashMap<u64, f64> = HashMap::new();
                let mut out = Vec::with_capacity(xs.len());
                for (row, x) in xs.iter().enumerate() {
                    if x.is_nan() {
                        out.push(f64::NAN);
                        continue;
                    }
                    let code = match cache.get(&x.to_bits()) {
                        Some(&c) => c,
                        None => {
                            let c = match known.get(show_number(x + 0.0).as_str()) {
                                Some(&c) => c,
                                None if open => self.texts.len(),
                                None => return Err(unseen(row)),
                            };
                            cache.insert(x.to_bits(), as_code(c));
                            as_code(c)
                        }
                    };
                    out.push(code);
                }
                Ok(out)
            }
            Cells::Text { codes, words, .. } => {
                let map: Vec<Option<usize>> = words.iter().map(|w| known.get(w.as_str()).copied()).collect();
                codes
                    .iter()
                    .enumerate()
                    .map(|(row, c)| {
                        if c == NO_TEXT {
                            return Ok(f64::NAN);
                        }
                        map.get(c as usize)
                            .copied()
                            .flatten()
                            .or(open.then_some(self.texts.len()))
                            .map(as_code)
                            .ok_or_else(|| unseen(row))
                    })
                    .collect()
            }
        }
    }
}

/// The labels of a categorical variable, and the size they say. Variables over the same size share their labels.
pub(super) fn labels(
    graph: &ModelGraph,
    need: &Need,
    needs: &[Need],
    columns: &[usize],
    table: &Table,
    size_of: &mut BTreeMap<DimId, usize>,
    options: &Options,
) -> Result<Option<Labels>, DataError> {
    let Support::Category(size) = &need.support else {
        return Ok(None);
    };
    if let Some(known) = options.labels.get(&need.name) {
        return Ok(Some(known.clone()));
    }
    let mut cols: Vec<usize> = columns.to_vec();
    // categories that share a size share a dictionary
    if matches!(size, Size::Dim(_)) {
        for other in needs.iter().filter(|n| n.sym != need.sym && n.support == need.support) {
            cols.extend(table.lookup(&other.name));
        }
    }
    let mut numbers: BTreeSet<u64> = BTreeSet::new();
    let mut words: BTreeSet<&str> = BTreeSet::new();
    for c in cols.iter().filter_map(|&c| table.columns.get(c)) {
        match &c.cells {
            Cells::Text { words: ws, .. } => words.extend(ws.iter().map(String::as_str)),
            Cells::Numbers(_) => {
                for x in c.distinct(usize::MAX).unwrap_or_default() {
                    if x.fract() != 0.0 || !x.is_finite() {
                        return Err(not_a_label(c, x, &need.name));
                    }
                    numbers.insert(x.to_bits());
                }
            }
        }
    }
    let mut whole: Vec<f64> = numbers.into_iter().map(f64::from_bits).collect();
    whole.sort_by(f64::total_cmp);
    let declared = sizes::value(size, size_of);
    let found = whole.len() + words.len();
    let texts: Vec<String> = if words.is_empty() {
        declared
            .filter(|&k| k >= found)
            .and_then(|k| numbered(&whole, k))
            .unwrap_or_else(|| whole.iter().map(|&x| show_number(x)).collect())
    } else {
        whole
            .iter()
            .map(|&x| show_number(x))
            .chain(words.into_iter().map(String::from))
            .collect()
    };
    let size_name = match size {
        Size::Dim(d) => graph.store.dim(*d).name.clone(),
        _ => "the number of its categories".into(),
    };
    match (declared, size) {
        (Some(k), _) if found > k => Err(DataError::Categories {
            variable: need.name.clone(),
            found,
            size: size_name,
            declared: k,
            help: format!("its values are {}", listed(texts.iter().map(String::as_str), 12)),
        }),
        (None, Size::Dim(d)) => {
            if found == 0 {
                return Err(DataError::Size {
                    name: size_name,
                    example: 2,
                });
            }
            size_of.insert(*d, found);
            Ok(Some(Labels { texts }))
        }
        _ => Ok(Some(Labels { texts })),
    }
}

/// Labels that are the codes themselves, from 1 or from 0: all k of them, seen or not.
fn numbered(whole: &[f64], k: usize) -> Option<Vec<String>> {
    #[allow(clippy::cast_precision_loss)]
    let last = k as f64;
    let (low, high) = (whole.first()?, whole.last()?);
    if *low >= 1.0 && *high <= last {
        Some((1..=k).map(|i| i.to_string()).collect())
    } else if *low >= 0.0 && *high < last {
        Some((0..k).map(|i| i.to_string()).collect())
    } else {
        None
    }
}

fn not_a_label(column: &Column, x: f64, variable: &str) -> DataError {
    let row = column
        .as_numbers()
        .and_then(|xs| xs.iter().position(|y| y.to_bits() == x.to_bits() || y == x));
    DataError::Range {
        cell: Box::new(Cell {
            row: row.unwrap_or(0) + 1,
            column: column.name.clone(),
            value: show_number(x),
        }),
        fault: if x.is_finite() {
            "not a whole number"
        } else {
            "infinite"
        }
        .into(),
        variable: variable.into(),
        wanted: "a category: text or whole numbers".into(),
        help: format!("bind another column: --bind {variable}=COLUMN"),
    }
}
