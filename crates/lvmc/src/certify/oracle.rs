//! What a plan is held against: the densities as written, enumerated and evaluated term by term.

use super::nodes::{Integral, Latent, integrate};
use super::paths::Paths;
use super::smoother::Smoother;
use super::structured::Found;
use crate::failure::Failure;
use crate::pipeline;
use lvmc_base::Bug;
use lvmc_derive::plan::{Definition, Left, Section};
use lvmc_derive::{Missing, Plan};
use lvmc_loops::lowered::{Lowered, ParamSlot};
use lvmc_model::ModelGraph;
use lvmc_model::graph::Plate;
use lvmc_runtime::bind::Binding;
use lvmc_runtime::dataset::Dataset;
use lvmc_runtime::engine::Values;
use lvmc_runtime::rowmodel::row_values;
use lvmc_term::{Array, Env, Store, Support, SymId, Term};
use std::collections::BTreeMap;

/// Combinations of a row's values beyond which nothing is enumerated.
const COMBINATIONS: usize = 4096;
/// Step of finite differences.
const STEP: f64 = 1e-3;

/// The oracle of one model on one data set.
pub struct Oracle<'a> {
    lowered: &'a Lowered,
    pub(super) store: Store,
    /// log densities of a row, as written.
    pub(super) written: Vec<Term>,
    /// The printed Q and the log priors.
    objective: Term,
    /// The log priors.
    priors: Term,
    pub(super) finite: Vec<(SymId, usize)>,
    rows: usize,
    sizes: BTreeMap<lvmc_term::DimId, usize>,
    fixed: Vec<(SymId, Array)>,
    columns: Vec<(SymId, Vec<Array>)>,
    pub(super) continuous: Vec<(SymId, Latent)>,
    definitions: Vec<Definition>,
    /// Of a chain.
    paths: Option<Paths>,
    /// Of a Gaussian chain.
    smoother: Option<Smoother>,
    /// q is a product.
    mean_field: bool,
    /// q is a product over chains: the part of every finite variable.
    parts: Option<Vec<Option<usize>>>,
    /// What is found of the bound where q is one.
    pub(super) product: Found,
    /// (lagged finite variable, the one it is of, how many rows before).
    pub(super) finite_lags: Vec<(usize, usize, usize)>,
    /// What the values of a posterior's points are of: continuous latents, then those of rows before.
    held: Vec<SymId>,
    /// Where sequences begin.
    pub(super) starts: Vec<usize>,
    /// Global latents.
    effects: Vec<(SymId, Latent)>,
    /// Their log priors, as written, over all members.
    effect_priors: Term,
    /// log ∫ over the global latents of everything, and points that stand for their posterior.
    shared: Integral,
    /// Per row: log p(x), the posterior of every combination, and points that stand for that of the continuous latents.
    posterior: Vec<Known>,
    /// Of a chain: log densities of the rows by combination.
    densities: Vec<Vec<f64>>,
    /// Data variables that are latents where cells are missing, and their masks.
    completed: Vec<(SymId, SymId)>,
}

/// A row's log p(x) and posterior.
pub(super) struct Known {
    pub(super) log: f64,
    /// Of every combination.
    pub(super) weights: Vec<f64>,
    /// For every combination: weights and values of the continuous latents.
    pub(super) nodes: Vec<Vec<(f64, Vec<Array>)>>,
    /// For every combination what the nodes leave out of E[u] and E[u²].
    pub(super) tails: Vec<[f64; 2]>,
}

pub(super) fn bug(what: impl std::fmt::Display) -> Failure {
    Failure::from(Bug {
        stage: "certify",
        message: what.to_string(),
        ir: String::new(),
    })
}

impl<'a> Oracle<'a> {
    /// The oracle of a plan.
    ///
    /// # Errors
    /// The model cannot be enumerated.
    pub fn new(
        graph: &ModelGraph,
        missing: &Missing,
        plan: &Plan,
        lowered: &'a Lowered,
        binding: &Binding,
        data: &Dataset,
        consts: &[(SymId, Array)],
    ) -> Result<Self, Failure> {
        let joint = pipeline::joint(graph, missing)?;
        let row = |factor: usize| !matches!(graph.plates[graph.factors[factor].plate.index()], Plate::Global);
        let written = joint
            .written
            .iter()
            .filter(|w| row(w.0))
            .map(|w| w.1)
            .collect::<Vec<_>>();
        // two stores: terms of the joint are evaluated in the joint's, those of the plan in the plan's, which grew from
        // the same graph in the same way, so that the plan's holds both
        let mut store = plan.store.clone();
        let q = plan
            .steps
            .iter()
            .find(|s| matches!((s.section, &s.left), (Section::Expected, Left::Word("Q"))));
        let complete = plan.steps.iter().find(|s| s.section == Section::Complete);
        let q = q
            .or(complete)
            .map(|s| s.right)
            .ok_or_else(|| bug("the derivation has no Q"))?;
        let priors: Vec<Term> = plan
            .priors
            .iter()
            .map(|p| p.ranges.iter().rev().fold(p.term, |t, &i| store.ix_sum(i, t)))
            .collect();
        let priors = store.sum(&priors);
        let objective = store.add(q, priors);
        let mut effect_priors = vec![];
        for p in &joint.global {
            let written = joint.written.iter().find(|w| w.0 == p.factor).map_or(p.term, |w| w.1);
            effect_priors.push(p.ranges.iter().rev().fold(written, |t, &i| store.ix_sum(i, t)));
        }
        let effect_priors = store.sum(&effect_priors);
        let mut columns: Vec<(SymId, Vec<Array>)> = vec![];
        for r in 0..data.rows {
            for (sym, value) in row_values(graph, lowered, binding, data, r) {
                match columns.iter_mut().find(|c| c.0 == sym) {
                    Some(c) => c.1.push(value),
                    None => columns.push((sym, vec![value])),
                }
            }
        }
        let mut env = Env::new();
        for (&d, &n) in &binding.sizes {
            env.set_dim(d, n);
        }
        let mut finite = vec![];
        for f in &plan.finite {
            finite.push((f.sym, env.size(&store, &f.size).map_err(bug)?));
        }
        let mut continuous = vec![];
        for p in &plan.posteriors {
            let sym = store.sym(p.sym).clone();
            let mut shape = vec![];
            for n in &sym.shape {
                shape.push(env.size(&store, n).map_err(bug)?);
            }
            let support = sym.support;
            continuous.push((p.sym, Latent { shape, support }));
        }
        let mut completed = vec![];
        for m in plan.masks.iter().filter(|m| m.completed) {
            let shape = store.sym(m.of).shape.clone();
            let shape = shape
                .iter()
                .map(|n| env.size(&store, n).map_err(bug))
                .collect::<Result<_, _>>()?;
            let support = Support::Real;
            continuous.push((m.of, Latent { shape, support }));
            completed.push((m.of, m.sym));
        }
        let finite_sizes: Vec<usize> = finite.iter().map(|f| f.1).collect();
        let mut effects = vec![];
        for p in &plan.group_posteriors {
            let sym = store.sym(p.sym).clone();
            let mut shape = vec![];
            for n in &sym.shape {
                shape.push(env.size(&store, n).map_err(bug)?);
            }
            let support = sym.support;
            effects.push((p.sym, Latent { shape, support }));
        }
        let combinations = finite
            .iter()
            .try_fold(1usize, |n, f| n.checked_mul(f.1))
            .unwrap_or(usize::MAX);
        if combinations > COMBINATIONS {
            return Err(Failure::usage(
                format!("{combinations} combinations of a row's values are too many to enumerate"),
                "set smaller sizes: --set K=2",
            ));
        }
        let latents: Vec<SymId> = continuous.iter().map(|c| c.0).collect();
        let smoother = Smoother::new(plan, &latents);
        let lags = smoother.iter().flat_map(|s| s.lags.iter().map(|l| l.0));
        Ok(Self {
            held: latents.iter().copied().chain(lags).collect(),
            smoother,
            mean_field: plan.gaussian_chain.as_ref().is_some_and(|c| c.mean_field),
            parts: plan
                .chains
                .iter()
                .any(|c| !c.shared.is_empty())
                .then(|| super::factorial::parts(plan)),
            product: Found::default(),
            finite_lags: plan
                .finite
                .iter()
                .enumerate()
                .filter_map(|(v, f)| f.lag.map(|l| (v, l.of, l.by)))
                .collect(),
            lowered,
            store,
            written,
            objective,
            priors,
            finite,
            continuous,
            definitions: plan.definitions.clone(),
            paths: Paths::new(plan, &finite_sizes),
            starts: data.order.starts.clone(),
            effects,
            effect_priors,
            shared: Integral::new(0.0, vec![]),
            rows: data.rows,
            sizes: binding.sizes.clone(),
            fixed: consts.to_vec(),
            columns,
            posterior: vec![],
            densities: vec![],
            completed,
        })
    }

    pub(super) fn environment<'e>(&self, values: &Values) -> Env<'e> {
        let mut env = Env::new();
        for (&d, &n) in &self.sizes {
            env.set_dim(d, n);
        }
        for (sym, value) in &self.fixed {
            env.set(*sym, value.clone());
        }
        for (slot, v) in self.lowered.params.iter().zip(values) {
            env.set(
                slot.sym,
                Array {
                    shape: slot.shape.clone(),
                    data: v.clone(),
                },
            );
        }
        for (sym, rows) in &self.columns {
            env.set_rows(*sym, rows.clone());
        }
        env.set_row_count(self.rows);
        env
    }

    /// The values of a combination, one per finite variable.
    pub(super) fn combination(&self, mut number: usize) -> Vec<usize> {
        self.finite
            .iter()
            .map(|&(_, n)| {
                let value = number % n;
                number /= n;
                value
            })
            .collect()
    }

    /// Enumerates every row at these parameters.
    ///
    /// # Errors
    /// A density that the evaluator cannot compute.
    pub fn enumerate(&mut self, values: &Values) -> Result<(), Failure> {
        if let (Some(smoother), true) = (&self.smoother, self.mean_field) {
            (self.posterior, self.product) = self.product(smoother, values)?;
            return Ok(());
        }
        if let Some(parts) = self.parts.clone() {
            self.product = self.factorial(&parts, values)?;
            return Ok(());
        }
        if let Some(smoother) = &self.smoother {
            self.posterior = self.sequences(smoother, values)?;
            return Ok(());
        }
        let mut env = self.environment(values);
        let latents: Vec<Latent> = self.effects.iter().map(|e| e.1.clone()).collect();
        self.shared = integrate(&latents, &mut |z| {
            self.set_effects(&mut env, z);
            if z.is_empty() {
                return Ok(0.0);
            }
            let mut log = self.store.eval_scalar(self.effect_priors, &env).map_err(bug)?;
            log += self.rows(&mut env)?.iter().map(|k| k.log).sum::<f64>();
            Ok(log)
        })?;
        // no latent of a row depends on the effects: any value will do
        if let Some((_, z)) = self.shared.nodes.first() {
            self.set_effects(&mut env, z);
        }
        (self.posterior, self.densities) = self.rows_with_densities(&mut env)?;
        Ok(())
    }

    /// What is known of every row.
    pub(super) fn settle_on(&mut self, posterior: Vec<Known>, densities: Vec<Vec<f64>>) {
        (self.posterior, self.densities) = (posterior, densities);
    }

    /// How much less the log density of a path is than the best one's, of the worst sequence.
    #[must_use]
    pub fn short_of_best(&self, path: &[(SymId, Vec<u32>)]) -> f64 {
        let Some(paths) = &self.paths else { return 0.0 };
        let place = |sym: SymId| self.finite.iter().position(|f| f.0 == sym).unwrap_or(0);
        let mut worst: f64 = 0.0;
        for s in self.starts.windows(2) {
            let rows: Vec<&[f64]> = self.densities[s[0]..s[1]].iter().map(Vec::as_slice).collect();
            let own = |p: &(SymId, Vec<u32>)| (place(p.0), p.1[s[0]..s[1]].iter().map(|&x| x as usize).collect());
            let short = paths.short_of_best(&rows, &path.iter().map(own).collect::<Vec<_>>());
            worst = if short.is_nan() {
                f64::INFINITY
            } else {
                worst.max(short)
            };
        }
        worst
    }

    /// The value of a latent in a row: its observed elements are what they are. Returns their log density under the
    /// standard normal, which stands for them in an integral over all elements.
    pub(super) fn complete(&self, sym: SymId, row: usize, z: &mut Array) -> f64 {
        let cells = |x: SymId| self.columns.iter().find(|c| c.0 == x).map(|c| &c.1[row]);
        let Some((values, mask)) = self
            .completed
            .iter()
            .find(|c| c.0 == sym)
            .and_then(|c| Some((cells(c.0)?, cells(c.1)?)))
        else {
            return 0.0;
        };
        let mut log = 0.0;
        for (i, z) in z.data.iter_mut().enumerate() {
            if mask.data[i.min(mask.data.len() - 1)] != 0.0 {
                log -= 0.5 * (*z * *z + std::f64::consts::TAU.ln());
                *z = values.data[i];
            }
        }
        log
    }

    fn set_effects(&self, env: &mut Env<'_>, z: &[Array]) {
        for (&(sym, _), z) in self.effects.iter().zip(z) {
            env.set(sym, z.clone());
        }
    }

    /// log p of everything, the global latents integrated out.
    #[must_use]
    pub fn log_likelihood(&self) -> f64 {
        if self.effects.is_empty() {
            self.scores().iter().sum()
        } else {
            self.shared.log
        }
    }

    /// Means and variances of the members of a global latent.
    #[must_use]
    pub fn effect(&self, sym: SymId) -> [Vec<f64>; 2] {
        let at = self.effects.iter().position(|e| e.0 == sym).unwrap_or(0);
        let n: usize = self.effects[at].1.shape.iter().product();
        let mut out = [vec![0.0; n], vec![0.0; n]];
        for (w, z) in &self.shared.nodes {
            for (i, z) in z[at].data.iter().enumerate() {
                out[0][i] += w * z;
            }
        }
        for (w, z) in &self.shared.nodes {
            for (i, z) in z[at].data.iter().enumerate() {
                let d = z - out[0][i];
                out[1][i] += w * d * d;
            }
        }
        out
    }

    fn rows(&self, env: &mut Env<'_>) -> Result<Vec<Known>, Failure> {
        Ok(self.rows_with_densities(env)?.0)
    }

    /// Every row at the parameters and effects of an environment, and its log density by combination.
    pub(super) fn rows_with_densities(&self, env: &mut Env<'_>) -> Result<(Vec<Known>, Vec<Vec<f64>>), Failure> {
        let count: usize = self.finite.iter().map(|f| f.1).product();
        let mut out = Vec::with_capacity(self.rows);
        let mut densities: Vec<Vec<f64>> = Vec::with_capacity(self.rows);
        let latents: Vec<Latent> = self.continuous.iter().map(|c| c.1.clone()).collect();
        for row in 0..self.rows {
            env.set_row(row);
            let (mut logs, mut nodes, mut tails) = (vec![], vec![], vec![]);
            for number in 0..count {
                if !self.set_combination(env, row, number) {
                    logs.push(f64::NEG_INFINITY);
                    nodes.push(vec![]);
                    tails.push([0.0; 2]);
                    continue;
                }
                let found = integrate(&latents, &mut |z| {
                    for (&(sym, _), z) in self.continuous.iter().zip(z) {
                        env.set(sym, z.clone());
                    }
                    let mut log = 0.0;
                    for &t in &self.written {
                        log += self.store.eval_scalar(t, env).map_err(bug)?;
                    }
                    Ok(log)
                })?;
                logs.push(found.log);
                nodes.push(found.nodes);
                tails.push(found.tail);
            }
            let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logs.iter().map(|l| (l - most).exp()).sum();
            out.push(Known {
                log: most + sum.ln(),
                weights: logs.iter().map(|l| (l - most).exp() / sum).collect(),
                nodes,
                tails,
            });
            densities.push(logs);
        }
        if let Some(paths) = &self.paths {
            for s in self.starts.windows(2) {
                let rows: Vec<&[f64]> = densities[s[0]..s[1]].iter().map(Vec::as_slice).collect();
                for (known, row) in out[s[0]..s[1]].iter_mut().zip(paths.sum(&rows)) {
                    known.log = row.log;
                    known.weights = row.weights;
                }
            }
        }
        Ok((out, densities))
    }

    /// Sets the finite variables of a row to a combination; false where the data contradict it.
    pub(super) fn set_combination(&self, env: &mut Env<'_>, row: usize, number: usize) -> bool {
        let mut possible = true;
        for (&(sym, _), value) in self.finite.iter().zip(self.combination(number)) {
            let seen = self.columns.iter().find(|c| c.0 == sym).map(|c| c.1[row].as_scalar());
            possible &= seen.is_none_or(|x| x.is_nan() || x == value as f64);
            if seen.is_none() || self.summed(sym) {
                env.set(sym, Array::scalar(value as f64));
            }
        }
        possible
    }

    /// Some of its cells are missing: its value is that of the combination, which agrees with the cells that are there.
    fn summed(&self, sym: SymId) -> bool {
        let cells = self.columns.iter().find(|c| c.0 == sym);
        cells.is_some_and(|c| c.1.iter().any(|x| x.as_scalar().is_nan()))
    }

    /// Marginal posteriors of a finite variable, row after row.
    #[must_use]
    pub fn marginals(&self, sym: SymId, size: usize) -> Vec<f64> {
        let at = self.finite.iter().position(|f| f.0 == sym).unwrap_or(0);
        let mut out = vec![0.0; self.rows * size];
        for (row, known) in self.posterior.iter().enumerate() {
            for (number, p) in known.weights.iter().enumerate() {
                out[row * size + self.combination(number)[at]] += p;
            }
        }
        out
    }

    /// Log-likelihoods of the rows.
    #[must_use]
    pub fn scores(&self) -> Vec<f64> {
        self.posterior.iter().map(|p| p.log).collect()
    }

    /// E[log p] under the enumerated posterior, plus log priors, at other parameters: Q by its definition.
    ///
    /// # Errors
    /// A density that the evaluator cannot compute.
    pub fn expected(&self, values: &Values) -> Result<f64, Failure> {
        let mut env = self.environment(values);
        let mut sum = self.store.eval_scalar(self.priors, &env).map_err(bug)?;
        let one = vec![(1.0, vec![])];
        let shared = if self.effects.is_empty() {
            &one
        } else {
            &self.shared.nodes
        };
        for (weight, z) in shared {
            self.set_effects(&mut env, z);
            if !z.is_empty() {
                sum += weight * self.store.eval_scalar(self.effect_priors, &env).map_err(bug)?;
            }
            sum += weight * self.expected_rows(&mut env)?;
        }
        Ok(sum)
    }

    /// Σ E[log p(row)] at the parameters and effects of an environment.
    fn expected_rows(&self, env: &mut Env<'_>) -> Result<f64, Failure> {
        let mut sum = 0.0;
        for (row, known) in self.posterior.iter().enumerate() {
            env.set_row(row);
            // what has probability 0 adds nothing, whatever its density
            for (number, &p) in known.weights.iter().enumerate().filter(|(_, p)| **p > 0.0) {
                for (&(sym, _), value) in self.finite.iter().zip(self.combination(number)) {
                    if !self.columns.iter().any(|c| c.0 == sym) || self.summed(sym) {
                        env.set(sym, Array::scalar(value as f64));
                    }
                }
                for (w, z) in &known.nodes[number] {
                    for (&sym, z) in self.held.iter().zip(z) {
                        env.set(sym, z.clone());
                    }
                    for &t in &self.written {
                        sum += p * w * self.store.eval_scalar(t, env).map_err(bug)?;
                    }
                }
            }
        }
        Ok(sum)
    }

    /// The printed Q with the enumerated posterior, plus log priors; `None` where a value of probability 0 has density
    /// 0 as well, which the evaluator has no rule for.
    ///
    /// # Errors
    /// The evaluator cannot compute it.
    pub fn printed(&self, values: &Values) -> Result<Option<f64>, Failure> {
        let weight = |row: usize, wanted: &[(SymId, usize)]| -> f64 {
            let places: Vec<(usize, usize)> = wanted
                .iter()
                .filter_map(|&(sym, v)| self.finite.iter().position(|f| f.0 == sym).map(|at| (at, v)))
                .collect();
            let matches = |number: usize| {
                let c = self.combination(number);
                places.iter().all(|&(at, v)| c[at] == v)
            };
            self.posterior[row]
                .weights
                .iter()
                .enumerate()
                .filter(|(i, _)| matches(*i))
                .map(|(_, p)| p)
                .sum()
        };
        let mut env = self.environment(values);
        if let Some(smoother) = &self.smoother {
            smoother.define(&self.held, &self.posterior, &mut env);
        }
        lvmc_derive::posterior::evaluate(&self.store, &self.definitions, &mut env, self.rows).map_err(bug)?;
        env.set_resp(&weight);
        let value = self.store.eval_scalar(self.objective, &env).map_err(bug)?;
        Ok((!value.is_nan()).then_some(value))
    }

    /// E[z] and E[z²] of a continuous latent, element by element, row after row.
    #[must_use]
    pub fn moments(&self, sym: SymId) -> [Vec<f64>; 2] {
        let at = self.continuous.iter().position(|c| c.0 == sym).unwrap_or(0);
        let n: usize = self.continuous[at].1.shape.iter().product();
        let mut out = [vec![0.0; n * self.rows], vec![0.0; n * self.rows]];
        for (row, known) in self.posterior.iter().enumerate() {
            for ((p, nodes), tail) in known.weights.iter().zip(&known.nodes).zip(&known.tails) {
                // a single number where there is a tail
                if *p > 0.0 && tail.iter().any(|&t| t > 0.0) {
                    out[0][row] += p * tail[0];
                    out[1][row] += p * tail[1];
                }
                for (w, z) in nodes {
                    for (i, z) in z[at].data.iter().enumerate() {
                        out[0][row * n + i] += p * w * z;
                        out[1][row * n + i] += p * w * z * z;
                    }
                }
            }
        }
        out
    }

    /// What a step along some direction of one parameter could still gain in Q, per row: g² / (2 |h|) by differences.
    ///
    /// # Errors
    /// Q cannot be evaluated.
    pub fn gain(&self, values: &Values, param: usize) -> Result<f64, Failure> {
        let slot = &self.lowered.params[param];
        let here = self.expected(values)?;
        let mut worst: f64 = 0.0;
        for direction in 0..4 {
            let at = |step: f64| -> Result<f64, Failure> {
                let mut moved = values.clone();
                moved[param] = shifted(slot, &values[param], direction, step);
                self.expected(&moved)
            };
            let (up, down) = (at(STEP)?, at(-STEP)?);
            let slope = (up - down) / (2.0 * STEP);
            let curvature = (up + down - 2.0 * here) / (STEP * STEP);
            // noise of the differences themselves
            let noise = 1e-15 * here.abs() / (STEP * STEP);
            let gain = slope * slope / (2.0 * curvature.abs().max(noise).max(1e-12));
            let uphill = if curvature > 10.0 * noise.max(1e-6 * here.abs()) {
                f64::INFINITY
            } else {
                0.0
            };
            let found = gain.max(uphill) / self.rows as f64;
            worst = if found.is_nan() {
                f64::INFINITY
            } else {
                worst.max(found)
            };
        }
        Ok(worst)
    }
}

/// A number between −1 and 1 for every element and direction.
fn wave(i: usize, direction: usize) -> f64 {
    ((1.0 + i as f64) * (1.7 + direction as f64) * 2.399).sin()
}

/// The parameter moved along a curve inside its support.
fn shifted(slot: &ParamSlot, value: &[f64], direction: usize, step: f64) -> Vec<f64> {
    let last = slot.shape.last().copied().unwrap_or(1).max(1);
    let plain = |i: usize| step * wave(i, direction);
    let mut out: Vec<f64> = value.to_vec();
    match slot.support {
        Support::Positive | Support::NonNegative => {
            out.iter_mut().enumerate().for_each(|(i, x)| *x *= plain(i).exp());
        }
        Support::Unit => {
            out.iter_mut().enumerate().for_each(|(i, x)| {
                let odds = *x / (1.0 - *x) * plain(i).exp();
                *x = odds / (1.0 + odds);
            });
        }
        Support::Simplex => {
            out.iter_mut().enumerate().for_each(|(i, x)| *x *= plain(i).exp());
            for part in out.chunks_mut(last) {
                let sum: f64 = part.iter().sum();
                part.iter_mut().for_each(|x| *x /= sum);
            }
        }
        Support::Cov | Support::Corr => {
            for (m, part) in out.chunks_mut(last * last).enumerate() {
                let old = Array::matrix(last, last, part.to_vec());
                let root = Array::from_fn(&[last, last], |i| {
                    f64::from(u8::from(i / last == i % last)) + plain(m * last * last + i)
                });
                part.copy_from_slice(&root.matmul(&old).matmul(&root.transposed()).data);
            }
        }
        _ => out
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x += plain(i) * (1.0 + x.abs())),
    }
    out
}
