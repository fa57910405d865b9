//! A data file with its missing cells filled by what a fit says of them: posterior means given what is observed of the
//! row, the most probable value of what is finite, or draws from the posterior.

use crate::apply::{ApplyError, Model, rebind};
use crate::bind::{Binding, Bound};
use crate::data::{Cells, DataError, NO_TEXT, Table, show_number};
use crate::dataset::Dataset;
use crate::drawer::Drawer;
use lvmc_derive::Plan;
use lvmc_loops::lowered::{ColumnSlot, LatentSlot, Lowered, MomentSlot};
use lvmc_term::{Array, Support, SymId};
use std::collections::HashMap;
use std::io::Write;

/// What to write.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `--bind` of columns that have other names than in the fit.
    pub binds: Vec<String>,
    /// A column of standard deviations after every column of numbers with missing cells.
    pub sd: bool,
    /// That many completed files instead of one of means, one after the other, numbered by a column `draw`.
    pub draws: usize,
    /// Everything random depends on it.
    pub seed: u64,
}

/// What is known of one column's missing cells.
pub(crate) struct Filled {
    /// By row: what stands in a missing cell.
    pub text: HashMap<usize, String>,
    /// By row; none of what is finite.
    pub sd: Option<HashMap<usize, f64>>,
}

/// Fills a table and writes it as CSV, its columns as they are; returns how many cells were filled, and how many stay
/// missing (of columns that no variable of the model is).
///
/// # Errors
/// Data that do not fit the model, or a model whose posterior has no draws.
pub fn impute(
    model: Model<'_>,
    plan: &Plan,
    mut table: Table,
    request: &Request,
    to: impl Write,
) -> Result<(usize, usize), ApplyError> {
    let binding = rebind(model.graph, model.fit, &table, &request.binds)?;
    let data = model.load(table.clone(), &binding, true)?;
    table.columns.retain(|c| !crate::nested::is_added(model.graph, &c.name));
    let mut out = csv::Writer::from_writer(to);
    if request.draws == 0 {
        let filled = means(model, &binding, &data, &table)?;
        write(&mut out, &table, &filled, None, request.sd, true)?;
        out.flush()?;
        return Ok(count(&table, &filled));
    }
    let drawer = Drawer::new(model, plan, &binding, &data, (request.draws, request.seed))?;
    let mut counts = (0, 0);
    for draw in 0..request.draws {
        let filled = drawn(model.lowered, &binding, &data, &table, &drawer, draw)?;
        write(&mut out, &table, &filled, Some(draw + 1), false, draw == 0)?;
        counts = count(&table, &filled);
    }
    out.flush()?;
    Ok(counts)
}

pub(crate) fn is_missing(table: &Table, column: usize, row: usize) -> bool {
    table.columns.get(column).is_some_and(|c| c.is_missing(row))
}

pub(crate) fn count(table: &Table, filled: &HashMap<usize, Filled>) -> (usize, usize) {
    let done = filled.values().map(|f| f.text.len()).sum();
    let all: usize = table.columns.iter().map(|c| c.missing().0).sum();
    (done, all.saturating_sub(done))
}

pub(crate) fn write(
    out: &mut csv::Writer<impl Write>,
    table: &Table,
    filled: &HashMap<usize, Filled>,
    draw: Option<usize>,
    sd: bool,
    header: bool,
) -> csv::Result<()> {
    let spread = |c: usize| filled.get(&c).and_then(|f| f.sd.as_ref()).filter(|_| sd);
    if header {
        let mut names: Vec<String> = draw.iter().map(|_| "draw".to_owned()).collect();
        for (c, column) in table.columns.iter().enumerate() {
            names.push(column.name.clone());
            names.extend(spread(c).map(|_| format!("{}_sd", column.name)));
        }
        out.write_record(&names)?;
    }
    for row in 0..table.rows {
        let mut cells: Vec<String> = draw.iter().map(ToString::to_string).collect();
        for (c, column) in table.columns.iter().enumerate() {
            let own = filled.get(&c).and_then(|f| f.text.get(&row)).cloned();
            cells.push(match own {
                Some(text) => text,
                None if column.is_missing(row) => String::new(),
                None => written(&column.cells, row),
            });
            if let Some(sd) = spread(c) {
                cells.push(sd.get(&row).map(|x| show_number(*x)).unwrap_or_default());
            }
        }
        out.write_record(&cells)?;
    }
    Ok(())
}

/// A cell as it was read.
fn written(cells: &Cells, row: usize) -> String {
    match cells {
        Cells::Numbers(xs) => show_number(xs.get(row).unwrap_or(f64::NAN)),
        Cells::Text { codes, words, .. } => codes
            .get(row)
            .filter(|c| *c != NO_TEXT)
            .and_then(|c| words.get(c as usize).cloned())
            .unwrap_or_default(),
    }
}

/// What the posterior says of every missing cell.
fn means(
    model: Model<'_>,
    binding: &Binding,
    data: &Dataset,
    table: &Table,
) -> Result<HashMap<usize, Filled>, ApplyError> {
    let found = model.posterior(data)?;
    let mut out = HashMap::new();
    for (slot, [mean, square]) in model.lowered.imputed.iter().zip(&found.imputed) {
        let Some(bound) = binding.var(slot.sym) else { continue };
        numbers(&mut out, model, (slot, bound), (mean, square), table);
    }
    for (slot, marginal) in model.lowered.latents.iter().zip(&found.marginals) {
        let Some(bound) = binding.var(slot.sym).filter(|_| slot.observed) else {
            continue;
        };
        let Some(&column) = bound.columns.first() else { continue };
        let gone = (0..table.rows).filter(|&row| is_missing(table, column, row));
        let text = gone
            .map(|row| (row, most_probable(slot, bound, marginal, row)))
            .collect();
        out.insert(column, Filled { text, sd: None });
    }
    known(model.lowered, binding, table, &out)?;
    Ok(out)
}

/// Refuses missing cells whose moments no rule gives.
fn known(
    lowered: &Lowered,
    binding: &Binding,
    table: &Table,
    filled: &HashMap<usize, Filled>,
) -> Result<(), ApplyError> {
    for slot in lowered.columns.iter().filter(|c| c.may_miss()) {
        let Some(bound) = binding.var(slot.sym) else { continue };
        let unknown = bound
            .columns
            .iter()
            .find(|c| !filled.contains_key(*c) && table.columns.get(**c).is_some_and(|column| column.missing().0 > 0));
        if let Some(&c) = unknown {
            return Err(DataError::Missing {
                column: table.columns[c].name.clone(),
                count: table.columns[c].missing().0,
                row: table.columns[c].missing().1.unwrap_or(0) + 1,
                variable: slot.name.clone(),
                help: "its mean given the rest of a row has no closed form; --draws N draws the cells instead".into(),
            }
            .into());
        }
    }
    Ok(())
}

fn numbers(
    out: &mut HashMap<usize, Filled>,
    model: Model<'_>,
    (slot, bound): (&MomentSlot, &Bound),
    (mean, square): (&[f64], &[f64]),
    table: &Table,
) {
    let binary = model.graph.store.sym(slot.sym).support == Support::Binary;
    for (c, &column) in bound.columns.iter().enumerate() {
        let (mut text, mut sd) = (HashMap::new(), HashMap::new());
        for row in (0..table.rows).filter(|&row| is_missing(table, column, row)) {
            let (m, s) = (mean[row * slot.cols + c], square[row * slot.cols + c]);
            let value = if binary { f64::from(u8::from(m > 0.5)) } else { m };
            text.insert(row, show_number(value));
            sd.insert(row, (s - m * m).max(0.0).sqrt());
        }
        if !text.is_empty() {
            let sd = (!binary).then_some(sd);
            out.insert(column, Filled { text, sd });
        }
    }
}

fn most_probable(slot: &LatentSlot, bound: &Bound, marginal: &[f64], row: usize) -> String {
    let p = marginal.get(row * slot.size..(row + 1) * slot.size).unwrap_or_default();
    let mut best = 0;
    for (c, x) in p.iter().enumerate() {
        if *x > p[best] {
            best = c;
        }
    }
    shown(bound, slot.first, best)
}

/// A finite value's label, or its number.
pub(crate) fn shown(bound: &Bound, first: i64, code: usize) -> String {
    match &bound.labels {
        Some(labels) => labels.show(code),
        None => i64::try_from(code).map_or_else(|_| code.to_string(), |c| (c + first).to_string()),
    }
}

/// One draw of every missing cell.
fn drawn(
    lowered: &Lowered,
    binding: &Binding,
    data: &Dataset,
    table: &Table,
    drawer: &Drawer<'_>,
    draw: usize,
) -> Result<HashMap<usize, Filled>, ApplyError> {
    let mut out: HashMap<usize, Filled> = HashMap::new();
    let may_miss = |b: &&Bound| {
        let slot = lowered.columns.iter().find(|c| c.sym == b.sym);
        b.missing > 0 && slot.is_some_and(ColumnSlot::may_miss)
    };
    let bound: Vec<&Bound> = binding.vars.iter().filter(may_miss).collect();
    let whole = drawer.begin(draw)?;
    for row in 0..data.rows {
        let at = data.table_row(row);
        let gone = |b: &&Bound| b.columns.iter().any(|&c| is_missing(table, c, at));
        let wanted: Vec<SymId> = bound.iter().filter(|b| gone(b)).map(|b| b.sym).collect();
        if wanted.is_empty() {
            continue;
        }
        let values: Vec<(SymId, Array)> = drawer.row(&whole, row, &wanted)?;
        for b in bound.iter().filter(|b| gone(b)) {
            let Some((_, value)) = values.iter().find(|d| d.0 == b.sym) else {
                continue;
            };
            for (i, &column) in b.columns.iter().enumerate() {
                if is_missing(table, column, at) {
                    let x = value.data.get(i).copied().unwrap_or(f64::NAN);
                    let filled = out.entry(column).or_insert_with(|| Filled {
                        text: HashMap::new(),
                        sd: None,
                    });
                    filled.text.insert(at, cell_text(b, x));
                }
            }
        }
    }
    Ok(out)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn cell_text(b: &Bound, x: f64) -> String {
    if matches!(b.support, Support::Category(_)) && x >= 0.0 {
        shown(b, 1, x as usize)
    } else {
        show_number(x)
    }
}
