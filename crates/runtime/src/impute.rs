//! A data file with its missing cells filled by what a fit says of them: posterior means given what is observed of the
//! row, the most probable value of what is finite, or draws from the posterior.

use crate::apply::{ApplyError, Model, rebind, sizes};
use crate::bind::{Binding, Bound};
use crate::data::{Cells, DataError, NO_TEXT, Table, show_number};
use crate::dataset::Dataset;
use crate::random::{Purpose, keyed, weighted};
use crate::rowmodel::{RowModel, row_values};
use lvmc_base::Bug;
use lvmc_derive::Plan;
use lvmc_derive::posterior::evaluate;
use lvmc_loops::lowered::{LatentSlot, Lowered, MomentSlot};
use lvmc_term::{Array, Env, Support, SymId};
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::io::Write;

/// Combinations of a row's finite values that are enumerated, at most.
const COMBINATIONS: usize = 4_096;

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
struct Filled {
    /// By row: what stands in a missing cell.
    text: HashMap<usize, String>,
    /// By row; none of what is finite.
    sd: Option<HashMap<usize, f64>>,
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
    let drawer = Drawer::new(model, plan, &binding, &data)?;
    let mut counts = (0, 0);
    for draw in 0..request.draws {
        let filled = drawer.fill(&table, request.seed, draw)?;
        write(&mut out, &table, &filled, Some(draw + 1), false, draw == 0)?;
        counts = count(&table, &filled);
    }
    out.flush()?;
    Ok(counts)
}

fn is_missing(table: &Table, column: usize, row: usize) -> bool {
    table.columns.get(column).is_some_and(|c| c.is_missing(row))
}

fn count(table: &Table, filled: &HashMap<usize, Filled>) -> (usize, usize) {
    let done = filled.values().map(|f| f.text.len()).sum();
    let all: usize = table.columns.iter().map(|c| c.missing().0).sum();
    (done, all.saturating_sub(done))
}

fn write(
    out: &mut csv::Writer<impl Write>,
    table: &Table,
    filled: &HashMap<usize, Filled>,
    draw: Option<usize>,
    sd: bool,
    header: bool,
) -> Result<(), ApplyError> {
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
fn shown(bound: &Bound, first: i64, code: usize) -> String {
    match &bound.labels {
        Some(labels) => labels.show(code),
        None => i64::try_from(code).map_or_else(|_| code.to_string(), |c| (c + first).to_string()),
    }
}

/// Draws of the missing cells of rows, exact: the finite variables by enumeration of the marginal density, the Gaussian
/// latents by Matheron's rule (a draw (z*, x*) of the model moves by the difference of the posterior means of the data and
/// of x*), the cells from their distribution.
struct Drawer<'a> {
    model: Model<'a>,
    plan: &'a Plan,
    binding: &'a Binding,
    data: &'a Dataset,
    rows: RowModel,
    /// Finite variables and their numbers of values.
    finite: Vec<usize>,
}

fn bug(e: impl std::fmt::Display) -> Bug {
    Bug {
        stage: "impute",
        message: e.to_string(),
        ir: String::new(),
    }
}

impl<'a> Drawer<'a> {
    fn new(model: Model<'a>, plan: &'a Plan, binding: &'a Binding, data: &'a Dataset) -> Result<Self, ApplyError> {
        let all = sizes(model.graph, model.fit);
        let rows = RowModel::new(model.graph, model.fit, &all)?;
        let env = rows.environment();
        let finite: Result<Vec<usize>, Bug> = plan
            .finite
            .iter()
            .map(|f| env.size(&plan.store, &f.size).map_err(bug))
            .collect();
        let finite = finite?;
        let count = finite.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
        let curved = plan
            .posteriors
            .iter()
            .find(|p| plan.store.sym(p.sym).support != Support::Real);
        let why = if plan.chain.is_some() || plan.gaussian_chain.is_some() {
            Some("the rows of a chain are not independent given the parameters".to_owned())
        } else if !plan.group_posteriors.is_empty() {
            Some("rows share the effects of their groups".to_owned())
        } else if count.is_none_or(|n| n > COMBINATIONS) {
            Some("a row has too many combinations of hidden values to draw from".to_owned())
        } else {
            curved.map(|p| format!("the latent `{}` is not Gaussian", plan.store.sym(p.sym).name))
        };
        if let Some(why) = why {
            return Err(DataError::Unbound {
                variable: "--draws".into(),
                help: format!("{why}; without --draws the means are written"),
            }
            .into());
        }
        Ok(Self {
            model,
            plan,
            binding,
            data,
            rows,
            finite,
        })
    }

    fn fill(&self, table: &Table, seed: u64, draw: usize) -> Result<HashMap<usize, Filled>, ApplyError> {
        let mut out: HashMap<usize, Filled> = HashMap::new();
        let may_miss = |b: &&Bound| {
            let slot = self.model.lowered.columns.iter().find(|c| c.sym == b.sym);
            b.missing > 0 && slot.is_some_and(lvmc_loops::lowered::ColumnSlot::may_miss)
        };
        let bound: Vec<&Bound> = self.binding.vars.iter().filter(may_miss).collect();
        for row in 0..table.rows {
            let gone = |b: &&Bound| b.columns.iter().any(|&c| is_missing(table, c, row));
            if !bound.iter().any(gone) {
                continue;
            }
            let mut rng = keyed(seed.wrapping_add(draw as u64), Purpose::Sample, row as u64);
            let drawn = self.row(row, &mut rng)?;
            for b in bound.iter().filter(|b| gone(b)) {
                let Some((_, value)) = drawn.iter().find(|d| d.0 == b.sym) else {
                    continue;
                };
                for (i, &column) in b.columns.iter().enumerate() {
                    if is_missing(table, column, row) {
                        let x = value.data.get(i).copied().unwrap_or(f64::NAN);
                        let filled = out.entry(column).or_insert_with(|| Filled {
                            text: HashMap::new(),
                            sd: None,
                        });
                        filled.text.insert(row, self.text(b, x));
                    }
                }
            }
        }
        Ok(out)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn text(&self, b: &Bound, x: f64) -> String {
        if matches!(b.support, Support::Category(_)) && x >= 0.0 {
            shown(b, 1, x as usize)
        } else {
            show_number(x)
        }
    }

    /// Values of a row's hidden variables, those of the observed cells among them drawn too.
    fn row(&self, row: usize, rng: &mut StdRng) -> Result<Vec<(SymId, Array)>, ApplyError> {
        let mut env = self.rows.environment();
        let seen = row_values(self.model.graph, self.model.lowered, self.binding, self.data, row);
        let set_seen = |env: &mut Env<'_>| {
            for (sym, value) in &seen {
                env.set(*sym, value.clone());
            }
        };
        set_seen(&mut env);
        let store = &self.plan.store;
        evaluate(store, &self.plan.definitions, &mut env, 1).map_err(bug)?;
        let combination = self.combination(&mut env, &seen, rng)?;
        let mut hidden: Vec<(SymId, Array)> = vec![];
        for (f, &value) in self.plan.finite.iter().zip(&combination) {
            env.set_index(f.ix, value);
            #[allow(clippy::cast_precision_loss)]
            hidden.push((f.sym, Array::scalar(value as f64)));
        }
        let means = |env: &Env<'_>| -> Result<Vec<Array>, Bug> {
            let all = self.plan.posteriors.iter();
            all.map(|p| store.eval(p.mean, env).map_err(bug)).collect()
        };
        let here = means(&env)?;
        for (sym, value) in &hidden {
            env.set(*sym, value.clone());
        }
        let given: Vec<SymId> = hidden.iter().map(|h| h.0).collect();
        if !here.is_empty() {
            let mut star = self.rows.draw(&mut env, rng, 0, &given)?;
            // of the drawn row itself nothing is missing
            for gap in &self.plan.gaps {
                if let Some(x) = star.iter().find(|s| s.0 == gap.of) {
                    star.push((gap.sym, Array::filled(&x.1.shape, 0.0)));
                }
            }
            for (sym, value) in &star {
                env.set(*sym, value.clone());
            }
            evaluate(store, &self.plan.definitions, &mut env, 1).map_err(bug)?;
            // the definitions ran over all values of the finite variables
            for (f, &value) in self.plan.finite.iter().zip(&combination) {
                env.set_index(f.ix, value);
            }
            let there = means(&env)?;
            for ((p, here), there) in self.plan.posteriors.iter().zip(&here).zip(&there) {
                let Some((_, z)) = star.iter().find(|s| s.0 == p.sym) else {
                    continue;
                };
                let moved = z.zip(here, |z, m| z + m).zip(there, |z, m| z - m);
                hidden.push((p.sym, moved));
            }
            set_seen(&mut env);
            for (sym, value) in &hidden {
                env.set(*sym, value.clone());
            }
        }
        let given: Vec<SymId> = hidden.iter().map(|h| h.0).collect();
        let drawn = self.rows.draw(&mut env, rng, 0, &given)?;
        for gap in &self.plan.gaps {
            let own = |list: &[(SymId, Array)], sym| list.iter().find(|v| v.0 == sym).map(|v| v.1.clone());
            if let (Some(x), Some(d)) = (own(&seen, gap.of), own(&hidden, gap.sym)) {
                hidden.push((gap.of, x.zip(&d, |x, d| x + d)));
            }
        }
        hidden.extend(drawn);
        Ok(hidden)
    }

    /// The finite variables, drawn from their posterior.
    fn combination(
        &self,
        env: &mut Env<'_>,
        seen: &[(SymId, Array)],
        rng: &mut StdRng,
    ) -> Result<Vec<usize>, ApplyError> {
        let mut all: Vec<(f64, Vec<usize>)> = vec![];
        for mut number in 0..self.finite.iter().product::<usize>() {
            let mut values = vec![];
            for &k in &self.finite {
                values.push(number % k);
                number /= k;
            }
            #[allow(clippy::cast_precision_loss)]
            let agrees = self.plan.finite.iter().zip(&values).all(|(f, &v)| {
                let cell = seen.iter().find(|s| s.0 == f.sym).map(|s| s.1.as_scalar());
                cell.is_none_or(|x| x.is_nan() || x == v as f64)
            });
            if !agrees {
                continue;
            }
            for (f, &v) in self.plan.finite.iter().zip(&values) {
                env.set_index(f.ix, v);
            }
            let mut log = 0.0;
            for factor in &self.plan.factors {
                let holds = |c: &&lvmc_derive::plan::Case| {
                    c.fixed.iter().all(|&(v, x)| values[v] == x) && c.excluded.iter().all(|&(v, x)| values[v] != x)
                };
                for case in factor.cases.iter().filter(holds) {
                    log += self.plan.store.eval_scalar(case.term, env).map_err(bug)?;
                }
            }
            all.push((log, values));
        }
        let top = all.iter().map(|a| a.0).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = all.iter().map(|a| (a.0 - top).exp()).collect();
        let pick = weighted(rng, &weights);
        Ok(all.swap_remove(pick).1)
    }
}
