//! Rows kept aside: a share of the units of a model, drawn by keyed random numbers.
//!
//! A unit is what is independent of the rest given the parameters: a row, or all rows of a group or of a sequence. Each unit
//! has a random number of its own, by (seed, unit), and those with the smallest are held out: the same rows whatever is
//! fitted to the others. Where the units are too few for the share (crossed groups are one), rows are held out instead, and
//! what they are scored by is log p(held out | fitted rows) = log p(all) − log p(fitted), which takes from the fitted rows
//! what these say of the effects that both share.

mod shared;

use crate::bind::Binding;
use crate::data::{DataError, Table};
use crate::random::{Purpose, keyed, uniform};
use crate::sequences::Order;
use lvmc_base::Exit;
use lvmc_model::graph::{ModelGraph, Plate};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why nothing can be held out.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum HoldoutError {
    /// Fewer than two units.
    #[error("{units} cannot be split into those that are fitted and those that are held out")]
    #[diagnostic(code(lvm::data::holdout), help("{help}"))]
    FewUnits {
        /// How many of what.
        units: String,
        /// What to do.
        help: String,
    },
    /// Columns that name or order sequences.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
}

impl HoldoutError {
    /// The exit code of the command line.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::FewUnits { .. } => Exit::Data,
            Self::Data(e) => e.exit(),
        }
    }
}

/// How a fit does on rows that it has not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holdout {
    /// The share that was asked for.
    pub share: f64,
    /// Rows held out.
    pub rows: usize,
    /// The sum of their weights.
    pub weight_sum: f64,
    /// Their log-likelihood; `None` where some row has density 0.
    pub log_likelihood: Option<f64>,
    /// The figures of each row are of a lower bound.
    #[serde(default)]
    pub bound: bool,
    /// The log-likelihood is given the rows fitted, with which those held out share latents.
    #[serde(default)]
    pub given_fitted: bool,
    /// The same per row, weights counted.
    pub per_row: Option<f64>,
    /// The log-likelihood per row of those that were fitted.
    pub training_per_row: Option<f64>,
}

/// The unit of every row, numbered from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Units {
    /// By row.
    pub of_row: Vec<usize>,
    /// Units share latents: those held out are not independent of those fitted.
    pub dependent: bool,
}

/// The units of a table, such that a share of them can be held out.
///
/// # Errors
/// The rows are one sequence, or their order is not there.
pub fn units(graph: &ModelGraph, binding: &Binding, table: &Table, share: f64) -> Result<Units, HoldoutError> {
    let one_sequence = || HoldoutError::FewUnits {
        units: "one sequence".into(),
        help: "a chain inside `for each COLUMN { }` has a sequence for each value, and whole ones are held out".into(),
    };
    if let Some(chain) = &graph.chain {
        let order = Order::new(chain, binding, table)?;
        if order.starts.len() < 3 {
            return Err(one_sequence());
        }
        let mut of_row = vec![0; table.rows];
        for (unit, w) in order.starts.windows(2).enumerate() {
            for row in w[0]..w[1] {
                of_row[order.rows.as_ref().map_or(row, |r| r[row])] = unit;
            }
        }
        let dependent = false;
        return Ok(Units { of_row, dependent });
    }
    let rows_in_order = |p: &Plate| matches!(p, Plate::Chain { range: None, .. });
    if graph.plates.iter().any(rows_in_order) {
        return Err(one_sequence());
    }
    let of_row = shared::units(graph, binding, table);
    let count = of_row.iter().max().map_or(0, |m| m + 1);
    // a share below half a unit would be none at all
    #[allow(clippy::cast_precision_loss)]
    let dependent = count < table.rows && share.min(1.0 - share) * (count as f64) < 0.5;
    let of_row = if dependent { (0..table.rows).collect() } else { of_row };
    Ok(Units { of_row, dependent })
}

/// Which rows are fitted and which are held out, in order.
///
/// # Errors
/// Fewer than two units.
pub fn split(units: &[usize], share: f64, seed: u64) -> Result<(Vec<usize>, Vec<usize>), HoldoutError> {
    let count = units.iter().max().map_or(0, |m| m + 1);
    if count < 2 {
        return Err(HoldoutError::FewUnits {
            units: if count == 0 {
                "no rows".into()
            } else {
                "one row, group or sequence".into()
            },
            help: "two at least are needed: one to fit, one to hold out".into(),
        });
    }
    let mut drawn: Vec<(f64, usize)> = (0..count)
        .map(|u| (uniform(&mut keyed(seed, Purpose::Holdout, u as u64)), u))
        .collect();
    drawn.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let out = ((share * count as f64).round() as usize).clamp(1, count - 1);
    let mut held = vec![false; count];
    drawn.iter().take(out).for_each(|d| held[d.1] = true);
    Ok((0..units.len()).partition(|&row| !held[units[row]]))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn groups_stay_whole_and_the_share_is_kept() {
        let units: Vec<usize> = (0..100).map(|row| row / 4).collect();
        let (fitted, held) = split(&units, 0.2, 7).unwrap();
        assert_eq!((fitted.len(), held.len()), (80, 20));
        assert!(held.iter().all(|h| fitted.iter().all(|f| units[*f] != units[*h])));
        assert_eq!(split(&units, 0.2, 7).unwrap().1, held);
        assert_ne!(split(&units, 0.2, 8).unwrap().1, held);
        // never nothing, never all
        assert_eq!(split(&[0, 1], 0.01, 1).unwrap().1.len(), 1);
        assert_eq!(split(&[0, 1], 0.99, 1).unwrap().1.len(), 1);
        assert!(split(&[0, 0], 0.5, 1).is_err() && split(&[], 0.5, 1).is_err());
    }
}
