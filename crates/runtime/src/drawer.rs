//! Draws of the missing cells of rows, exact.
//!
//! The finite variables of a row by enumeration of the marginal density, those of a chain first, by forward filtering and
//! backward sampling along its sequence; the Gaussian latents by Matheron's rule (a draw (z*, x*) of the model moves by the
//! difference of the posterior means of the data and of x*), the cells from their distribution.
//!
//! Along a Gaussian chain Matheron's rule holds for the cells themselves: with (s*, x*) drawn from the model along the
//! sequence and the same cells of x* taken away, x*_missing + E[x_missing | x_seen] − E[x*_missing | x*_seen] has the
//! distribution of x_missing given x_seen, because both means are the same affine function of what is seen, and what is
//! left, x* − E[x* | x*_seen], depends on nothing that is (Durbin & Koopman 2002). The same holds for responses that share
//! effects of groups.
//!
//! Of a q that is a product, q(z) q(s), a draw is one of q: a path of z, and the states of a whole sequence from q(s), row
//! after row: that of a row's latents given those of the rows before is read off their root, which is triangular in the
//! order of the parts. The cells are then drawn from their distribution given both.

use crate::apply::{ApplyError, Model, sizes};
use crate::bind::Binding;
use crate::data::DataError;
use crate::dataset::Dataset;
use crate::engine::{IMPOSSIBLE, PartEnd};
use crate::random::{Purpose, keyed, normal, uniform, weighted};
use crate::rowmodel::{RowModel, row_values};
use crate::sequences::{Made, made};
use lvmc_base::Bug;
use lvmc_derive::Plan;
use lvmc_derive::chain::latent_lags;
use lvmc_derive::plan::{Part, RowFactor};
use lvmc_derive::posterior::evaluate;
use lvmc_loops::{Padding, RowLayout};
use lvmc_model::graph::{Factor, Role};
use lvmc_term::{Array, Env, Support, SymId};
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::sync::Arc;

/// Combinations of a row's finite values that are enumerated, at most.
const COMBINATIONS: usize = 4_096;

/// Draws from the posterior of a table's rows.
pub struct Drawer<'a> {
    model: Model<'a>,
    plan: &'a Plan,
    binding: &'a Binding,
    data: &'a Dataset,
    rows: RowModel,
    /// Numbers of values of the plan's finite variables.
    finite: Vec<usize>,
    seed: u64,
    /// The position of every row in its sequence.
    positions: Vec<usize>,
    /// By draw: the values of a chain's finite latents, by place among the plan's variables.
    paths: Vec<HashMap<usize, Vec<u32>>>,
    gaussian: Option<Gaussian>,
    /// Of a q that is a product, by row: means and roots of the Gaussian latents that it knows.
    smoothed: Vec<Vec<PartEnd>>,
}

/// What a draw has decided for all rows.
pub struct Whole {
    draw: usize,
    /// Values of a Gaussian chain's observations, `[row][element]` in the order of the data.
    cells: HashMap<SymId, Vec<f64>>,
    /// By row: values of the Gaussian latents that it knows, where q is a product.
    states: Vec<Vec<Array>>,
}

/// A Gaussian chain, or the responses that share effects of groups.
struct Gaussian {
    /// Latents and observations: what is drawn together.
    own: Vec<SymId>,
    /// Everything else that has a distribution.
    others: Vec<SymId>,
    /// Means of the observations' cells given what is seen, in the order of the data.
    means: HashMap<SymId, Vec<f64>>,
}

fn bug(e: impl std::fmt::Display) -> Bug {
    Bug {
        stage: "impute",
        message: e.to_string(),
        ir: String::new(),
    }
}

impl<'a> Drawer<'a> {
    /// Of so many draws, everything random in them by a seed.
    ///
    /// # Errors
    /// A model whose posterior has no draws.
    pub fn new(
        model: Model<'a>,
        plan: &'a Plan,
        binding: &'a Binding,
        data: &'a Dataset,
        (draws, seed): (usize, u64),
    ) -> Result<Self, ApplyError> {
        let all = sizes(model.graph, model.fit);
        let rows = RowModel::new(model.graph, model.fit, &all)?;
        let env = rows.environment();
        let finite: Result<Vec<usize>, Bug> = plan
            .finite
            .iter()
            .map(|f| env.size(&plan.store, &f.size).map_err(bug))
            .collect();
        let finite = finite?;
        refuse(plan, &finite)?;
        let mut out = Self {
            model,
            plan,
            binding,
            data,
            rows,
            finite,
            seed,
            positions: data.order.positions().collect(),
            paths: vec![],
            gaussian: None,
            smoothed: vec![],
        };
        out.paths = out.draw_paths(draws)?;
        if plan.gaussian_chain.as_ref().is_some_and(|c| c.mean_field) {
            out.smoothed = model.with_engine(data, |e| {
                e.posterior();
                (0..e.rows()).map(|row| e.smoothed(row)).collect()
            })?;
        }
        out.gaussian = out.gaussian()?;
        out.refuse_beside_effects()?;
        Ok(out)
    }

    /// Missing cells of what reads no effect, in a model with effects of groups.
    fn refuse_beside_effects(&self) -> Result<(), DataError> {
        if self.plan.group_posteriors.is_empty() {
            return Ok(());
        }
        let drawn = |sym: SymId| self.gaussian.as_ref().is_some_and(|g| g.own.contains(&sym));
        let mut missing = self
            .binding
            .vars
            .iter()
            .filter(|b| b.role == Role::Data && b.missing > 0);
        match missing.find(|b| !drawn(b.sym)) {
            Some(b) => Err(DataError::Draws {
                why: format!(
                    "rows share the effects of their groups, and `{}` does not depend on them",
                    b.name
                ),
            }),
            None => Ok(()),
        }
    }

    fn rng(&self, draw: usize, purpose: Purpose, row: usize) -> StdRng {
        let seed = self.seed.wrapping_add(draw as u64);
        keyed(seed, purpose, self.data.table_row(row) as u64)
    }

    /// Forward filtering, backward sampling.
    fn draw_paths(&self, draws: usize) -> Result<Vec<HashMap<usize, Vec<u32>>>, ApplyError> {
        if self.plan.chains.is_empty() {
            return Ok(vec![]);
        }
        let number = |draw: usize, row: usize| uniform(&mut self.rng(draw, Purpose::Path, row));
        let all = self.model.with_engine(self.data, |e| e.paths(draws, &number))?;
        let place = |latent: usize| {
            let sym = self.model.lowered.latents[latent].sym;
            self.plan.finite.iter().position(|f| f.sym == sym && f.lag.is_none())
        };
        let by_place = |path: Vec<(usize, Vec<u32>)>| path.into_iter().filter_map(|(l, v)| Some((place(l)?, v)));
        Ok(all.into_iter().map(|path| by_place(path).collect()).collect())
    }

    /// The states of every sequence from q(s): values of the latents that each row knows.
    fn draw_states(&self, draw: usize) -> Vec<Vec<Array>> {
        let Some(chain) = self.plan.gaussian_chain.as_ref().filter(|_| !self.smoothed.is_empty()) else {
            return vec![];
        };
        // of a part that is an earlier row's: which part it is there, and how many rows before
        let lags = latent_lags(self.model.graph);
        let of = |p: &Part| {
            let lag = lags.iter().find(|l| l.0 == p.sym)?;
            Some((chain.parts.iter().position(|own| own.sym == lag.1)?, lag.2))
        };
        let of: Vec<Option<(usize, usize)>> = chain.parts.iter().map(of).collect();
        let mut out: Vec<Vec<Array>> = vec![];
        for (row, parts) in self.smoothed.iter().enumerate() {
            let mut rng = self.rng(draw, Purpose::State, row);
            let (mut noises, mut values): (Vec<Vec<f64>>, Vec<Array>) = (vec![], vec![]);
            for ((known, of), part) in parts.iter().zip(&of).zip(&chain.parts) {
                let n = known.mean.len();
                let mut z = known.mean.clone();
                for (moves, noise) in known.moves.iter().zip(&noises) {
                    add_moves(&mut z, moves, noise);
                }
                let root = known.moves.last().map_or(&[][..], Vec::as_slice);
                let before = of.filter(|of| of.1 <= self.positions[row]);
                let noise = match before.and_then(|(part, by)| out.get(row - by)?.get(part)) {
                    // it has been drawn: the noise that made it so
                    Some(value) => noise_of(&value.data, &z, root),
                    None => (0..n).map(|_| normal(&mut rng)).collect(),
                };
                add_moves(&mut z, root, &noise);
                noises.push(noise);
                let scalar = self.plan.store.sym(part.sym).shape.is_empty();
                values.push(if scalar { Array::scalar(z[0]) } else { Array::vector(z) });
            }
            out.push(values);
        }
        out
    }

    /// What the scan says of a row, where q is a product: means and roots, or values that are known.
    fn set_smoothed(&self, env: &mut Env<'_>, row: usize, values: Option<&[Array]>) {
        let Some((chain, own)) = self.plan.gaussian_chain.as_ref().zip(self.smoothed.get(row)) else {
            return;
        };
        let vector = |x: SymId| !self.plan.store.sym(x).shape.is_empty();
        for (i, (part, known)) in chain.parts.iter().zip(own).enumerate() {
            let n = known.mean.len();
            let shape = if vector(part.sym) { vec![n] } else { vec![] };
            let mean = match values {
                Some(values) => values[i].data.clone(),
                None => known.mean.clone(),
            };
            let array = |shape: &[usize], data: Vec<f64>| Array {
                shape: shape.to_vec(),
                data,
            };
            env.set(part.mean, array(&shape, mean));
            for ((&sym, moves), by) in part.moves.iter().zip(&known.moves).zip(&chain.parts) {
                let noise = vector(by.sym).then(|| moves.len() / n);
                let shape: Vec<usize> = noise.into_iter().chain(shape.iter().copied()).collect();
                let still = values.is_some();
                let data = if still { vec![0.0; moves.len()] } else { moves.clone() };
                env.set(sym, array(&shape, data));
            }
        }
    }

    /// What the path says of a row's finite variables.
    fn on_path(&self, draw: usize, row: usize) -> Vec<Option<usize>> {
        let Some(path) = self.paths.get(draw) else {
            return vec![None; self.finite.len()];
        };
        let value = |v: usize, row: usize| match path.get(&v).and_then(|p| p.get(row)) {
            Some(&IMPOSSIBLE) => Some(0),
            found => found.map(|&x| x as usize),
        };
        let one = |(v, f): (usize, &lvmc_derive::plan::Finite)| match f.lag {
            None => value(v, row),
            // a row that does not exist has the first value: no statement that holds asks for it
            Some(lag) if self.positions[row] < lag.by => Some(0),
            Some(lag) => value(lag.of, row - lag.by),
        };
        self.plan.finite.iter().enumerate().map(one).collect()
    }

    fn gaussian(&self) -> Result<Option<Gaussian>, ApplyError> {
        let graph = self.model.graph;
        let mut own: Vec<SymId> = vec![];
        if let Some(chain) = self.plan.gaussian_chain.as_ref().filter(|c| !c.mean_field) {
            own.extend(chain.parts.iter().filter(|p| !p.lagged).map(|p| p.sym));
            let seen = chain.statements.iter().filter(|s| s.of.is_none());
            own.extend(seen.map(|s| graph.var(graph.factors[s.factor].var).sym));
        }
        let effects: Vec<SymId> = self.plan.group_posteriors.iter().map(|p| p.sym).collect();
        let reads = |f: &&Factor| effects.iter().any(|&u| f.dist.mentions(&graph.store, u));
        let responses = graph.factors.iter().filter(reads).map(|f| graph.var(f.var));
        own.extend(responses.filter(|v| v.role == Role::Data).map(|v| v.sym));
        if own.is_empty() {
            return Ok(None);
        }
        let random = |role| matches!(role, Role::Data | Role::Latent);
        let others = graph.vars.iter().filter(|v| random(v.role) && !own.contains(&v.sym));
        Ok(Some(Gaussian {
            others: others.map(|v| v.sym).collect(),
            means: self.imputed(self.data)?,
            own,
        }))
    }

    /// Means of the cells of variables with missing ones, in the order of the data.
    fn imputed(&self, data: &Dataset) -> Result<HashMap<SymId, Vec<f64>>, ApplyError> {
        let found = self.model.with_engine(data, |e| e.posterior())?;
        let slots = self.model.lowered.imputed.iter();
        Ok(slots.zip(found.imputed).map(|(s, [mean, _])| (s.sym, mean)).collect())
    }

    /// Begins a draw.
    ///
    /// # Errors
    /// A [`Bug`] where a term cannot be evaluated.
    pub fn begin(&self, draw: usize) -> Result<Whole, ApplyError> {
        let mut cells = HashMap::new();
        if let Some(g) = &self.gaussian {
            let star = self.simulate(g, draw)?;
            let data = self.replaced(&star);
            let there = self.imputed(&data)?;
            for (sym, here) in &g.means {
                let (Some(star), Some(there)) = (star.get(sym), there.get(sym)) else {
                    continue;
                };
                let moved = star.iter().zip(here).zip(there).map(|((x, h), t)| x + (h - t));
                cells.insert(*sym, moved.collect());
            }
        }
        let states = self.draw_states(draw);
        Ok(Whole { draw, cells, states })
    }

    /// A Gaussian chain's latents and observations drawn along every sequence, or effects and responses: `[row][element]`.
    fn simulate(&self, g: &Gaussian, draw: usize) -> Result<HashMap<SymId, Vec<f64>>, ApplyError> {
        let mut out: HashMap<SymId, Vec<f64>> = HashMap::new();
        let mut env = self.rows.environment();
        let seed = self.seed.wrapping_add(draw as u64);
        self.rows
            .draw_globals(&mut env, &mut keyed(seed, Purpose::Globals, 0))?;
        let mut before: Vec<Vec<(SymId, Array)>> = vec![];
        for (row, &position) in self.positions.iter().enumerate() {
            if position == 0 {
                before.clear();
            }
            let mut values = self.seen(row);
            values.retain(|v| !g.own.contains(&v.0));
            for (sym, value) in &values {
                env.set(*sym, value.clone());
            }
            self.rows.enter(&mut env, position, &before);
            let mut rng = self.rng(draw, Purpose::Path, row);
            let drawn = self.rows.draw(&mut env, &mut rng, position, &g.others)?;
            for (sym, value) in &drawn {
                out.entry(*sym).or_default().extend(&value.data);
            }
            values.extend(drawn);
            before.push(values);
            if before.len() > self.rows.reach() {
                before.remove(0);
            }
        }
        Ok(out)
    }

    fn seen(&self, row: usize) -> Vec<(SymId, Array)> {
        row_values(self.model.graph, self.model.lowered, self.binding, self.data, row)
    }

    /// The data with other values of some variables, and of those that are theirs some rows before; masks stay.
    fn replaced(&self, values: &HashMap<SymId, Vec<f64>>) -> Dataset {
        let mut out = self.data.clone();
        let layout = RowLayout {
            rows: out.rows,
            block: out.block,
        };
        for slot in &self.model.lowered.columns {
            let (sym, by) = match made(self.model.graph, slot.sym) {
                Some(Made::Lag(of, by)) => (self.model.graph.var(of).sym, by),
                _ => (slot.sym, 0),
            };
            let Some(new) = values.get(&sym).filter(|v| v.len() == out.rows * slot.cols) else {
                continue;
            };
            let centre = out
                .moments
                .get(&slot.name)
                .map(|m| m.centre.clone())
                .unwrap_or_default();
            let old = |row: usize, c: usize| self.data.stored(slot.buf, slot.cols, row, c);
            let value = |row: usize, c: usize| match self.positions[row].checked_sub(by) {
                Some(_) => new[(row - by) * slot.cols + c] - centre.get(c).copied().unwrap_or(0.0),
                None => old(row, c),
            };
            let data = layout.fill(slot.cols, Padding::LastRow, value);
            out.columns.insert(slot.buf, Arc::new(data));
        }
        out
    }

    /// Values of those variables of a row, in the order of the data; observed elements are drawn too.
    ///
    /// # Errors
    /// A [`Bug`] where a term cannot be evaluated.
    pub fn row(&self, whole: &Whole, row: usize, wanted: &[SymId]) -> Result<Vec<(SymId, Array)>, ApplyError> {
        let mut out: Vec<(SymId, Array)> = vec![];
        for &sym in wanted {
            if let Some(values) = whole.cells.get(&sym) {
                let cols = values.len() / self.data.rows.max(1);
                out.push((sym, Array::vector(values[row * cols..(row + 1) * cols].to_vec())));
            }
        }
        if out.len() < wanted.len() {
            let mut rng = self.rng(whole.draw, Purpose::Sample, row);
            let rest = self.independent(whole, row, &mut rng)?;
            out.extend(rest.into_iter().filter(|r| !whole.cells.contains_key(&r.0)));
        }
        Ok(out)
    }

    /// Values of a row's hidden variables, given what is drawn of the chains.
    fn independent(&self, whole: &Whole, row: usize, rng: &mut StdRng) -> Result<Vec<(SymId, Array)>, ApplyError> {
        let position = self.positions[row];
        let mut env = self.rows.environment();
        let seen = self.seen(row);
        let set_seen = |env: &mut Env<'_>| {
            for (sym, value) in &seen {
                env.set(*sym, value.clone());
            }
        };
        set_seen(&mut env);
        self.rows.enter(&mut env, position, &[]);
        let store = &self.plan.store;
        self.set_smoothed(&mut env, row, None);
        evaluate(store, &self.plan.definitions, &mut env, 1).map_err(bug)?;
        let path = self.on_path(whole.draw, row);
        let combination = self.combination(&mut env, &seen, &path, rng)?;
        let mut hidden: Vec<(SymId, Array)> = vec![];
        for (f, &value) in self.plan.finite.iter().zip(&combination) {
            env.set_index(f.ix, value);
            #[allow(clippy::cast_precision_loss)]
            hidden.push((f.sym, Array::scalar(value as f64)));
        }
        let mut chained: Vec<SymId> = self.gaussian.as_ref().map_or(vec![], |g| g.own.clone());
        if let (Some(chain), Some(states)) = (&self.plan.gaussian_chain, whole.states.get(row)) {
            let drawn = chain.parts.iter().zip(states);
            chained.extend(chain.parts.iter().map(|p| p.sym));
            hidden.extend(drawn.map(|(p, z)| (p.sym, z.clone())));
        }
        let posteriors = || self.plan.posteriors.iter().filter(|p| !chained.contains(&p.sym));
        let means = |env: &Env<'_>| -> Result<Vec<Array>, Bug> {
            posteriors().map(|p| store.eval(p.mean, env).map_err(bug)).collect()
        };
        if let Some(states) = whole.states.get(row) {
            self.set_smoothed(&mut env, row, Some(states));
            evaluate(store, &self.plan.definitions, &mut env, 1).map_err(bug)?;
            for (f, &value) in self.plan.finite.iter().zip(&combination) {
                env.set_index(f.ix, value);
            }
        }
        let here = means(&env)?;
        for (sym, value) in &hidden {
            env.set(*sym, value.clone());
        }
        let given = |hidden: &[(SymId, Array)]| -> Vec<SymId> {
            hidden.iter().map(|h| h.0).chain(chained.iter().copied()).collect()
        };
        if !here.is_empty() {
            let mut star = self.rows.draw(&mut env, rng, position, &given(&hidden))?;
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
            for ((p, here), there) in posteriors().zip(&here).zip(&there) {
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
        let known = given(&hidden);
        let drawn = self.rows.draw(&mut env, rng, position, &known)?;
        for gap in &self.plan.gaps {
            let own = |list: &[(SymId, Array)], sym| list.iter().find(|v| v.0 == sym).map(|v| v.1.clone());
            if let (Some(x), Some(d)) = (own(&seen, gap.of), own(&hidden, gap.sym)) {
                hidden.push((gap.of, x.zip(&d, |x, d| x + d)));
            }
        }
        hidden.extend(drawn);
        Ok(hidden)
    }

    /// The finite variables, drawn from their posterior given those of a path.
    fn combination(
        &self,
        env: &mut Env<'_>,
        seen: &[(SymId, Array)],
        path: &[Option<usize>],
        rng: &mut StdRng,
    ) -> Result<Vec<usize>, ApplyError> {
        let fixed = |f: &&RowFactor| !f.scope.is_empty() && f.scope.iter().all(|&v| path[v].is_some());
        let factors: Vec<&RowFactor> = self.plan.factors.iter().filter(|f| !fixed(f)).collect();
        let free: Vec<usize> = (0..path.len()).filter(|&v| path[v].is_none()).collect();
        let mut all: Vec<(f64, Vec<usize>)> = vec![];
        for mut number in 0..free.iter().map(|&v| self.finite[v]).product::<usize>() {
            let mut values: Vec<usize> = path.iter().map(|v| v.unwrap_or(0)).collect();
            for &v in &free {
                values[v] = number % self.finite[v];
                number /= self.finite[v];
            }
            if free.is_empty() {
                return Ok(values);
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
            for factor in &factors {
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

/// z + Σ_p noise_p ℓ_p, of rows ℓ_p.
fn add_moves(z: &mut [f64], moves: &[f64], noise: &[f64]) {
    for (row, e) in moves.chunks(z.len().max(1)).zip(noise) {
        z.iter_mut().zip(row).for_each(|(z, m)| *z += m * e);
    }
}

/// The noise with which z becomes the value, of rows ℓ_p that move the elements from p on.
fn noise_of(value: &[f64], z: &[f64], root: &[f64]) -> Vec<f64> {
    let n = z.len();
    let mut noise = vec![0.0; n];
    for i in 0..n {
        let known: f64 = (0..i).map(|p| noise[p] * root[p * n + i]).sum();
        let own = root[i * n + i];
        noise[i] = if own == 0.0 {
            0.0
        } else {
            (value[i] - z[i] - known) / own
        };
    }
    noise
}

/// Posteriors that have no draws.
fn refuse(plan: &Plan, finite: &[usize]) -> Result<(), DataError> {
    let in_chain = |v: usize| {
        let mut chains = plan.chains.iter();
        chains.any(|c| c.axes().contains(&v)) || plan.finite[v].lag.is_some()
    };
    let mut free = (0..finite.len()).filter(|&v| !in_chain(v)).map(|v| finite[v]);
    let count = free.try_fold(1usize, |n, k| n.checked_mul(k));
    let curved = plan
        .posteriors
        .iter()
        .find(|p| plan.store.sym(p.sym).support != Support::Real);
    let rows_own = !plan.posteriors.is_empty() || plan.finite.iter().any(|f| !f.observed);
    let why = if !plan.group_posteriors.is_empty() && rows_own {
        Some("rows share the effects of their groups beside latents of their own".to_owned())
    } else if count.is_none_or(|n| n > COMBINATIONS) {
        Some("a row has too many combinations of hidden values to draw from".to_owned())
    } else {
        curved.map(|p| format!("the latent `{}` is not Gaussian", plan.store.sym(p.sym).name))
    };
    match why {
        Some(why) => Err(DataError::Draws { why }),
        None => Ok(()),
    }
}
