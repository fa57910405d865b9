//! What a fitted chain says of the rows after its last: moments of the data, marginals of the states.
//!
//! Where every data variable may be missing, the future rows stand in the table with all of their cells missing. They drop
//! out of the posterior, which is then exactly p(future | past): a finite chain's last filtered state moves through its
//! transitions, a Gaussian chain predicts as its filter does; the moments of a cell are those of a mixture over the states,
//! or of the state's moments. Nothing is simulated.
//!
//! Where statements read earlier data (`y[t-1]`), or Gaussian states depend on finite ones, the future's distribution has no
//! closed form: it is a mixture that grows with every row. The last row's joint posterior of the states (of a q that is a
//! product, q) is then drawn from, and the rows after it from the model, so many times that the answer's error is small beside
//! its standard deviation; how many is said.

use crate::apply::{ApplyError, Model, rebind, sizes};
use crate::bind::Binding;
use crate::data::{DataError, Table};
use crate::dataset::Dataset;
use crate::engine::End;
use crate::future::Future;
use crate::predict::{Cell, Predictions, moment_columns, posterior_columns};
use crate::random::{Purpose, keyed, normal, weighted};
use crate::rowmodel::{RowModel, row_values, values_of};
use lvmc_derive::Plan;
use lvmc_derive::chain::latent_lags;
use lvmc_loops::lowered::{LatentSlot, Lowered, MomentSlot};
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_term::{Array, Support, SymId};
use rand::rngs::StdRng;
use std::collections::BTreeMap;

/// How futures are simulated, where they must be.
#[derive(Debug, Clone, Copy)]
pub struct Simulation {
    /// Futures of every sequence.
    pub draws: usize,
    /// Everything random depends on it.
    pub seed: u64,
}

/// The data variables' symbols.
fn data_variables(graph: &ModelGraph) -> impl Iterator<Item = SymId> + '_ {
    let made = |sym: SymId| crate::sequences::made(graph, sym).is_some();
    let vars = graph.vars.iter().filter(|v| v.role == Role::Data);
    vars.map(|v| v.sym).filter(move |&s| !made(s))
}

/// Why the future cannot be had by leaving all of its cells out, if it cannot.
#[must_use]
pub fn obstacle(graph: &ModelGraph) -> Option<String> {
    data_variables(graph).find_map(|sym| {
        let why = lvmc_derive::missing::refusal(graph, sym, lvmc_derive::Gaps::Whole)?;
        Some(format!("`{}`: {why}", graph.store.sym(sym).name))
    })
}

/// The same of a plan: why leaving cells out does not give the future.
#[must_use]
pub fn obstacle_in(plan: &Plan) -> Option<String> {
    let product = plan.gaussian_chain.as_ref().is_some_and(|c| c.mean_field);
    let parts = plan.factorisation().filter(|_| product)?;
    Some(format!(
        "q = {parts} is a product, and is drawn from at the last row alone: rows without data would change it"
    ))
}

/// Moments of every data variable are known in closed form in this program, which was made for the future's table.
#[must_use]
pub fn has_moments(graph: &ModelGraph, lowered: &Lowered) -> bool {
    let known = |sym: SymId| {
        let finite = lowered.latents.iter().any(|l| l.sym == sym);
        finite || lowered.imputed.iter().any(|m| m.sym == sym)
    };
    data_variables(graph).all(known)
}

/// The exact forecast.
///
/// # Errors
/// Data that do not fit the model.
pub fn exact(model: Model<'_>, future: &Future, binds: &[String]) -> Result<Predictions, ApplyError> {
    let table = future.table.clone();
    let binding = rebind(model.graph, model.fit, &table, binds)?;
    let rows = table.rows - future.first;
    let data = model.load(table, &binding, false)?;
    let found = model.posterior(&data)?;
    let mut out = empty(future, rows);
    let after = |values: &[f64], cols: usize| values.get(future.first * cols..).unwrap_or_default().to_vec();
    for (slot, m) in model.lowered.latents.iter().zip(&found.marginals) {
        posterior_columns(&mut out, model, slot, &after(m, slot.size));
    }
    let hidden = |slot: &MomentSlot| model.graph.var_of(slot.sym).is_some();
    let named = model.lowered.moments.iter().zip(&found.moments);
    let named = named.filter(|m| hidden(m.0));
    let cells = model.lowered.imputed.iter().zip(&found.imputed);
    for (slot, [mean, square]) in named.chain(cells) {
        let names = names(model, &slot.name, slot.cols);
        moment_columns(&mut out, &names, &after(mean, slot.cols), &after(square, slot.cols));
    }
    Ok(out)
}

fn empty(future: &Future, rows: usize) -> Predictions {
    let mut out = Predictions {
        header: vec![],
        columns: vec![],
        rows,
    };
    for (name, cells) in &future.labels {
        out.header.push(name.clone());
        out.columns.push(cells.clone());
    }
    out
}

/// The columns' names in the fit, or the variable's own, numbered.
fn names(model: Model<'_>, name: &str, n: usize) -> Vec<String> {
    match model.fit.binding.iter().find(|b| b.0 == name && b.1.len() == n) {
        Some((_, names)) => names.clone(),
        None if n == 1 => vec![name.to_owned()],
        None => (1..=n).map(|i| format!("{name}_{i}")).collect(),
    }
}

/// The forecast by simulation; the program is that of the table without its future.
///
/// # Errors
/// Data that do not fit the model, effects of groups.
pub fn simulated(
    model: Model<'_>,
    plan: &Plan,
    past: Table,
    future: &Future,
    binds: &[String],
    how: Simulation,
) -> Result<Predictions, ApplyError> {
    if !model.lowered.groups.is_empty() {
        return Err(DataError::Ahead {
            what: "rows share the effects of their groups, and the model reads its own past".into(),
            help: "a forecast of such a model is not there yet".into(),
        }
        .into());
    }
    let binding = rebind(model.graph, model.fit, &past, binds)?;
    let data = model.load(past, &binding, false)?;
    let ends = model.with_engine(&data, |e| {
        e.posterior();
        e.ends()
    })?;
    let later = rebind(model.graph, model.fit, &future.table, binds)?;
    let simulator = Simulator {
        model,
        plan,
        rows: RowModel::new(model.graph, model.fit, &sizes(model.graph, model.fit))?,
        lags: latent_lags(model.graph),
        future,
        later: &later,
    };
    let rows = future.last.len() * future.ahead;
    let mut tallies = vec![Tally::default(); rows];
    for (i, end) in ends.iter().enumerate() {
        let s = data.order.starts[i]..data.order.starts[i + 1];
        let past = simulator.past(&binding, &data, &s);
        for draw in 0..how.draws {
            let seed = how.seed.wrapping_add(draw as u64);
            let mut rng = keyed(seed, Purpose::Path, future.last[i] as u64);
            let own = &mut tallies[i * future.ahead..(i + 1) * future.ahead];
            simulator.one(
                end,
                past.clone(),
                (s.len(), future.first + i * future.ahead),
                own,
                &mut rng,
            )?;
        }
    }
    let mut out = empty(future, rows);
    simulator.columns(&mut out, &tallies);
    Ok(out)
}

/// Values of one row's variables.
type Row = Vec<(SymId, Array)>;

struct Simulator<'a> {
    model: Model<'a>,
    plan: &'a Plan,
    rows: RowModel,
    /// (lagged latent, latent, how many rows before).
    lags: Vec<(SymId, SymId, usize)>,
    future: &'a Future,
    /// Of the table with its future.
    later: &'a Binding,
}

impl Simulator<'_> {
    /// The last rows of a sequence, as many as a row looks back.
    fn past(&self, binding: &Binding, data: &Dataset, s: &std::ops::Range<usize>) -> Vec<Row> {
        let from = s.end.saturating_sub(self.rows.reach()).max(s.start);
        let row = |row| row_values(self.model.graph, self.model.lowered, binding, data, row);
        (from..s.end).map(row).collect()
    }

    /// One future of a sequence that has `length` rows, whose future begins at a row of the table.
    fn one(
        &self,
        end: &End,
        mut before: Vec<Row>,
        (length, first): (usize, usize),
        tallies: &mut [Tally],
        rng: &mut StdRng,
    ) -> Result<(), ApplyError> {
        for (sym, by, value) in self.state(end, rng) {
            let row = before.len().checked_sub(by + 1).and_then(|i| before.get_mut(i));
            if let Some(row) = row {
                row.push((sym, value));
            }
        }
        let mut env = self.rows.environment();
        for (h, tally) in tallies.iter_mut().enumerate() {
            let mut values: Row = vec![];
            for b in self.later.vars.iter().filter(|b| b.role == Role::Given) {
                let own = self.model.graph.var_of(b.sym);
                if own.is_some_and(|v| self.model.graph.var(v).role == Role::Given) {
                    values.push((b.sym, crate::sample::given_value(b, &self.future.table, first + h)?));
                }
            }
            for (sym, value) in &values {
                env.set(*sym, value.clone());
            }
            self.rows.enter(&mut env, length + h, &before);
            values.extend(self.rows.draw(&mut env, rng, length + h, &[])?);
            for (sym, value) in &values {
                tally.add(*sym, value);
            }
            before.push(values);
            if before.len() > self.rows.reach() {
                before.remove(0);
            }
        }
        Ok(())
    }

    /// A draw of the last row's latents, and of those of rows before that later ones know: symbol, how many rows before
    /// the last, value.
    fn state(&self, end: &End, rng: &mut StdRng) -> Vec<(SymId, usize, Array)> {
        let mut out = vec![];
        let chains = self.plan.chains.iter().zip(&self.model.lowered.chains);
        for ((chain, slot), states) in chains.zip(&end.states).filter(|c| !c.0.0.previous.is_empty()) {
            let mut number = weighted(rng, states);
            for (&v, var) in chain.state.iter().zip(&slot.state).rev() {
                let f = &self.plan.finite[v];
                let (of, by) = f.lag.map_or((f.sym, 0), |l| (self.plan.finite[l.of].sym, l.by));
                #[allow(clippy::cast_precision_loss)]
                out.push((of, by, Array::scalar((number % var.size) as f64)));
                number /= var.size;
            }
        }
        if let Some(chain) = &self.plan.gaussian_chain {
            let mut noises: Vec<Vec<f64>> = vec![];
            for (part, known) in chain.parts.iter().zip(&end.parts) {
                let n = known.mean.len();
                noises.push((0..n).map(|_| normal(rng)).collect());
                let mut z = known.mean.clone();
                for (moves, noise) in known.moves.iter().zip(&noises) {
                    for (row, e) in moves.chunks(n).zip(noise) {
                        z.iter_mut().zip(row).for_each(|(z, m)| *z += m * e);
                    }
                }
                let lag = self.lags.iter().find(|l| l.0 == part.sym);
                let (of, by) = lag.map_or((part.sym, 0), |l| (l.1, l.2));
                let scalar = self.model.graph.store.sym(of).shape.is_empty();
                let value = if scalar { Array::scalar(z[0]) } else { Array::vector(z) };
                out.push((of, by, value));
            }
        }
        out
    }

    fn columns(&self, out: &mut Predictions, tallies: &[Tally]) {
        let (graph, all) = (self.model.graph, sizes(self.model.graph, self.model.fit));
        let of_role = |role: Role| {
            graph
                .vars
                .iter()
                .filter(move |v| v.role == role && graph.store.sym(v.sym).per_row)
        };
        for var in of_role(Role::Latent).chain(of_role(Role::Data)) {
            let Some(known) = tallies.first().and_then(|t| t.of.get(&var.sym)) else {
                continue;
            };
            let sums = |i: usize| tallies.iter().filter_map(move |t| t.of.get(&var.sym)?.get(i));
            if let Some(size) = values_of(graph, var.sym, &all) {
                let marginal: Vec<f64> = sums(0)
                    .flat_map(|s| (0..size).map(|k| s.counts.get(k).copied().unwrap_or(0.0) / s.n))
                    .collect();
                let slot = LatentSlot {
                    sym: var.sym,
                    name: var.name.clone(),
                    marginal: self.model.lowered.row_score,
                    size,
                    first: i64::from(graph.store.sym(var.sym).support != Support::Binary),
                    observed: var.role == Role::Data,
                };
                posterior_columns(out, self.model, &slot, &marginal);
                continue;
            }
            for (i, name) in names(self.model, &var.name, known.len()).into_iter().enumerate() {
                out.header.push(name.clone());
                out.columns.push(sums(i).map(|s| Cell::Number(s.mean)).collect());
                out.header.push(format!("{name}_sd"));
                let sd = sums(i).map(|s| Cell::Number((s.square / s.n).sqrt()));
                out.columns.push(sd.collect());
            }
        }
    }
}

/// What the draws say of a row.
#[derive(Debug, Clone, Default)]
struct Tally {
    of: BTreeMap<SymId, Vec<Sums>>,
}

/// Of one element (Welford 1962).
#[derive(Debug, Clone, Default)]
struct Sums {
    n: f64,
    mean: f64,
    /// Σ (x − mean)².
    square: f64,
    /// Of small whole numbers, how often each came.
    counts: Vec<f64>,
}

/// Values that are counted one by one.
const COUNTED: f64 = 4096.0;

impl Tally {
    fn add(&mut self, sym: SymId, value: &Array) {
        let sums = self
            .of
            .entry(sym)
            .or_insert_with(|| vec![Sums::default(); value.data.len()]);
        for (s, &x) in sums.iter_mut().zip(&value.data) {
            s.n += 1.0;
            let before = x - s.mean;
            s.mean += before / s.n;
            s.square += before * (x - s.mean);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            if x >= 0.0 && x.fract() == 0.0 && x < COUNTED {
                let k = x as usize;
                if s.counts.len() <= k {
                    s.counts.resize(k + 1, 0.0);
                }
                s.counts[k] += 1.0;
            }
        }
    }
}
