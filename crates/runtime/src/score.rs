//! The log-likelihood of new data under a fit.

use crate::apply::{ApplyError, Model, rebind};
use crate::data::{DataError, Table};
use std::io::Write;

/// Log-likelihoods.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Of every row.
    pub rows: Vec<f64>,
    /// Σ weight × row.
    pub total: f64,
    /// Σ weights.
    pub weight_sum: f64,
}

/// Scores a table.
///
/// # Errors
/// Data that do not fit the model; every `data` variable must have its columns.
pub fn score(model: Model<'_>, table: Table, binds: &[String]) -> Result<Scores, ApplyError> {
    let binding = rebind(model.graph, model.fit, &table, binds)?;
    let needed = |slot: &&lvmc_loops::lowered::ColumnSlot| {
        binding.absent.contains(&slot.sym) && !slot.may_miss() && slot.mask_of().is_none()
    };
    if let Some(slot) = model.lowered.columns.iter().find(needed) {
        return Err(DataError::Unbound {
            variable: slot.name.clone(),
            help: format!("a likelihood needs it: --bind {}=COLUMN", slot.name),
        }
        .into());
    }
    let data = model.load(table, &binding, false)?;
    let rows = model.posterior(&data)?.scores;
    let total = rows
        .iter()
        .enumerate()
        .map(|(i, l)| (data.weight_of(i), l))
        .filter(|(w, _)| *w != 0.0)
        .map(|(w, l)| w * l)
        .sum();
    Ok(Scores {
        rows,
        total,
        weight_sum: data.weight_sum,
    })
}

impl Scores {
    /// As CSV: `row,log_likelihood`.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, to: impl Write) -> Result<(), ApplyError> {
        let mut out = csv::Writer::from_writer(to);
        out.write_record(["row", "log_likelihood"])?;
        for (i, l) in self.rows.iter().enumerate() {
            out.write_record([(i + 1).to_string(), l.to_string()])?;
        }
        Ok(out.flush()?)
    }
}
