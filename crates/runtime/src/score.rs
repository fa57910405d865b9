//! The log-likelihood of new data under a fit.

use crate::apply::{ApplyError, Model, rebind};
use crate::data::{DataError, Table};
use std::io::Write;

/// Log-likelihoods.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Of every row; where groups have effects, at the means of their posterior given these rows.
    pub rows: Vec<f64>,
    /// Of the table: Σ weight × row, and what belongs to no row.
    pub total: f64,
    /// Σ weights.
    pub weight_sum: f64,
    /// The factorisation of q, where these are parts of a lower bound and no log-likelihoods.
    pub bound: Option<String>,
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
    let found = model.posterior(&data)?;
    let rows = found.scores;
    let order = data.by_table();
    let total: f64 = rows
        .iter()
        .enumerate()
        .map(|(i, l)| (data.weight_of(order[i]), l))
        .filter(|(w, _)| *w != 0.0)
        .map(|(w, l)| w * l)
        .sum::<f64>()
        + found.shared;
    Ok(Scores {
        rows,
        total,
        weight_sum: data.weight_sum,
        bound: model.lowered.bound.clone(),
    })
}

impl Scores {
    /// As CSV: `row,log_likelihood`, or `row,elbo` where that is a bound.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, to: impl Write) -> Result<(), ApplyError> {
        let mut out = csv::Writer::from_writer(to);
        let name = if self.bound.is_some() { "elbo" } else { "log_likelihood" };
        out.write_record(["row", name])?;
        for (i, l) in self.rows.iter().enumerate() {
            out.write_record([(i + 1).to_string(), l.to_string()])?;
        }
        Ok(out.flush()?)
    }
}
