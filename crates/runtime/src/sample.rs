//! New rows drawn from a fit.

use crate::apply::{ApplyError, sizes};
use crate::bind::{self, Binding, Options};
use crate::data::{Column, DataError, Table, show_number};
use crate::random::{Purpose, keyed};
use crate::result::Fit;
use crate::rowmodel::RowModel;
use crate::sequences::Order;
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_term::{Array, Support, SymId};
use std::io::Write;

/// What to draw.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Number of rows; with covariates, theirs.
    pub rows: usize,
    /// Everything random depends on it.
    pub seed: u64,
    /// Latent variables become columns as well.
    pub latents: bool,
    /// `--bind` of the covariates' columns.
    pub binds: Vec<String>,
}

/// Draws rows and writes them as CSV with a header: covariates, data, and latents where asked for. Row i depends on the
/// seed and i alone.
///
/// # Errors
/// Covariates that are needed and not there, or do not fit; what the writer says.
pub fn sample(
    graph: &ModelGraph,
    fit: &Fit,
    given: Option<&Table>,
    request: &Request,
    to: impl Write,
) -> Result<(), ApplyError> {
    let all_sizes = sizes(graph, fit);
    let needs_given = graph
        .vars
        .iter()
        .find(|v| v.role == Role::Given && fit.binding.iter().any(|b| b.0 == v.name) && is_used(graph, v.sym));
    let binding = match (given, needs_given) {
        (Some(table), _) => Some((bind_given(graph, fit, table, request)?, table)),
        (None, None) => None,
        (None, Some(v)) => {
            return Err(DataError::Unbound {
                variable: v.name.clone(),
                help: "the model is given covariates, and draws need them: --given DATA".into(),
            }
            .into());
        }
    };
    let rows = RowModel::new(graph, fit, &all_sizes)?;
    let n = binding.as_ref().map_or(request.rows, |b| b.1.rows);
    let order: Vec<SymId> = graph
        .vars
        .iter()
        .filter(|v| match v.role {
            Role::Given => binding.as_ref().is_some_and(|b| b.0.var(v.sym).is_some()),
            Role::Data => true,
            Role::Latent => request.latents && graph.store.sym(v.sym).per_row,
            _ => false,
        })
        .map(|v| v.sym)
        .collect();
    let sequences = match (&graph.chain, &binding) {
        (Some(chain), Some((binding, table))) => Order::new(chain, binding, table)?,
        _ => Order::plain(n),
    };
    let helpers = helper_columns(graph, binding.as_ref());
    let mut lines: Vec<(usize, Vec<String>)> = Vec::with_capacity(n);
    let mut header: Vec<String> = helpers.iter().map(|c| c.name.clone()).collect();
    let mut env = rows.environment();
    rows.draw_globals(&mut env, &mut keyed(request.seed, Purpose::Globals, 0))?;
    let mut before: Vec<Vec<(SymId, Array)>> = vec![];
    for (i, position) in sequences.positions().enumerate() {
        let row = sequences.rows.as_ref().map_or(i, |r| r[i]);
        let mut values: Vec<(SymId, Array)> = Vec::new();
        if let Some((binding, table)) = &binding {
            let given = binding.vars.iter().filter(|b| b.role == Role::Given);
            for b in given.filter(|b| b.has_values(table)) {
                let value = given_value(b, table, row)?;
                env.set(b.sym, value.clone());
                values.push((b.sym, value));
            }
        }
        let mut rng = keyed(request.seed, Purpose::Sample, row as u64);
        if position == 0 {
            before.clear();
        }
        rows.enter(&mut env, position, &before);
        values.extend(rows.draw(&mut env, &mut rng, position, &[])?);
        let find = |s: &SymId| values.iter().find(|v| v.0 == *s).map(|v| &v.1);
        if i == 0 {
            let own = order.iter();
            header.extend(
                own.filter_map(|s| Some(names(graph, fit, *s, find(s)?.data.len())))
                    .flatten(),
            );
        }
        let own = order.iter().filter_map(|s| Some(texts(graph, fit, *s, find(s)?)));
        let cells = helpers.iter().map(|c| c.show(row)).chain(own.flatten()).collect();
        lines.push((row, cells));
        before.push(values);
        if before.len() > rows.reach() {
            before.remove(0);
        }
    }
    lines.sort_by_key(|l| l.0);
    let mut out = csv::Writer::from_writer(to);
    out.write_record(&header)?;
    for (_, cells) in &lines {
        out.write_record(cells)?;
    }
    Ok(out.flush()?)
}

/// A statement mentions it: it does not only order a chain.
fn is_used(graph: &ModelGraph, sym: SymId) -> bool {
    let by = graph.chain.as_ref().and_then(|c| c.by.as_ref());
    let orders = by.is_some_and(|by| *by == graph.store.sym(sym).name);
    let mentioned = graph.factors.iter().any(|f| f.dist.mentions(&graph.store, sym));
    // a column that data are computed from is not needed to draw them
    let source = graph
        .vars
        .iter()
        .any(|v| v.observed_as.is_some_and(|t| graph.store.depends_on_sym(t, sym)));
    mentioned || !(orders || source)
}

/// Columns that name or order sequences and are no variables of the model.
fn helper_columns<'t>(graph: &ModelGraph, binding: Option<&(Binding, &'t Table)>) -> Vec<&'t Column> {
    let (Some(_), Some((binding, table))) = (&graph.chain, binding) else {
        return vec![];
    };
    let bound = |at: &usize| {
        let mut vars = binding.vars.iter();
        vars.any(|b| b.columns.contains(at) && b.has_values(table))
    };
    let columns = binding.roles.iter().map(|r| r.1).filter(|at| !bound(at));
    columns.filter_map(|at| table.columns.get(at)).collect()
}

fn bind_given(graph: &ModelGraph, fit: &Fit, table: &Table, request: &Request) -> Result<Binding, DataError> {
    // data columns of the table, if any, are drawn anew
    let mut graph = graph.clone();
    graph.weight = None;
    let data: Vec<&str> = graph
        .vars
        .iter()
        .filter(|v| v.role == Role::Data)
        .map(|v| v.name.as_str())
        .collect();
    let columns = fit
        .binding
        .iter()
        .filter(|b| !data.contains(&b.0.as_str()))
        .cloned()
        .collect();
    let options = Options {
        binds: request.binds.clone(),
        weights: None,
        columns,
        sizes: sizes(&graph, fit),
        labels: fit.labels.clone(),
        data_may_be_absent: true,
    };
    bind::bind(&graph, table, &options)
}

pub(crate) fn given_value(b: &bind::Bound, table: &Table, row: usize) -> Result<Array, DataError> {
    let mut data = Vec::with_capacity(b.columns.len());
    for column in b.columns.iter().filter_map(|&c| table.columns.get(c)) {
        let x = match &b.labels {
            Some(labels) => {
                let code = labels.texts.iter().position(|t| *t == column.show(row));
                #[allow(clippy::cast_precision_loss)]
                code.map(|c| c as f64).ok_or_else(|| unseen(column, row, &b.name))?
            }
            None => column.as_numbers().and_then(|xs| xs.get(row)).unwrap_or(f64::NAN),
        };
        if x.is_nan() {
            return Err(DataError::Missing {
                column: column.name.clone(),
                count: column.missing().0,
                row: row + 1,
                variable: b.name.clone(),
                help: "fill the cell or remove its row".into(),
            });
        }
        data.push(x);
    }
    Ok(Array {
        shape: b.shape.clone(),
        data,
    })
}

fn unseen(column: &Column, row: usize, variable: &str) -> DataError {
    DataError::UnseenCategory {
        variable: variable.into(),
        cell: Box::new(crate::data::Cell {
            row: row + 1,
            column: column.name.clone(),
            value: column.show(row),
        }),
        known: "those of the fit".into(),
    }
}

/// The columns' names in the fit, or the variable's own, numbered.
fn names(graph: &ModelGraph, fit: &Fit, sym: SymId, n: usize) -> Vec<String> {
    let name = &graph.store.sym(sym).name;
    match fit.binding.iter().find(|b| b.0 == *name && b.1.len() == n) {
        Some((_, names)) => names.clone(),
        None if n == 1 => vec![name.clone()],
        None => (1..=n).map(|i| format!("{name}_{i}")).collect(),
    }
}

/// Values as cells; categories by their labels, or counted from 1.
fn texts(graph: &ModelGraph, fit: &Fit, sym: SymId, value: &Array) -> Vec<String> {
    let s = graph.store.sym(sym);
    let labels = fit.labels.get(&s.name).cloned().unwrap_or_default();
    let category = matches!(s.support, Support::Category(_));
    value
        .data
        .iter()
        .map(|&x| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            if category && x >= 0.0 {
                labels.show(x as usize)
            } else {
                show_number(x)
            }
        })
        .collect()
}
