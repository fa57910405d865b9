//! A lowered model with its data and a machine: the steps of an iteration.

mod product;

use crate::dataset::Dataset;
use lvmc_loops::ir::{BufId, Program};
use lvmc_loops::lower::START_SPREAD;
use lvmc_loops::lowered::{ChainSlot, Lowered, MomentSlot};
pub use lvmc_loops::scan::path::IMPOSSIBLE;
use lvmc_loops::scan::{self, Scan, path};
use lvmc_loops::{AlignedVec, Machine, Memory, RowLayout, Sweep, sweep};
use lvmc_term::{Array, SymId};
use product::Product;
use std::sync::Arc;

/// Parameters' values, in the order of [`Lowered::params`].
pub type Values = Vec<Vec<f64>>;

/// What engines of one fit share.
#[derive(Clone, Copy)]
pub struct Compiled<'a> {
    /// The lowered model.
    pub lowered: &'a Lowered,
    /// Its program.
    pub program: &'a Arc<Program>,
    /// What runs it.
    pub machine: &'a dyn Machine,
    /// Values of the model's constants.
    pub consts: &'a [(SymId, Array)],
    /// The relative variance floor.
    pub floor: f64,
}

/// What scans along a chain need besides memory.
struct Chain {
    starts: Vec<usize>,
    /// One per sequence.
    weights: Vec<f64>,
    scratch: scan::Scratch,
    log_likelihood: f64,
}

impl Chain {
    fn new(data: &Dataset) -> Self {
        let starts = data.order.starts.clone();
        let firsts = &starts[..starts.len().saturating_sub(1)];
        Self {
            weights: firsts.iter().map(|&row| data.weight_of(row)).collect(),
            starts,
            scratch: scan::Scratch::default(),
            log_likelihood: 0.0,
        }
    }
}

/// What is known of the latents of every row.
#[derive(Debug, Clone, Default)]
pub struct Posteriors {
    /// Marginals of the finite variables, `[row][value]` each.
    pub marginals: Vec<Vec<f64>>,
    /// E[z] and E[z²] of the continuous latents, `[row][element]` each.
    pub moments: Vec<[Vec<f64>; 2]>,
    /// E[x] and E[x²] of the variables with missing cells, as if none of the row's were observed.
    pub imputed: Vec<[Vec<f64>; 2]>,
    /// Log-likelihoods of the rows, at the means of the effects of their groups.
    pub scores: Vec<f64>,
    /// The part of the log-likelihood that belongs to no row.
    pub shared: f64,
}

impl Posteriors {
    /// Puts row `rows[i]` at place i.
    pub fn rearrange(&mut self, rows: &[usize]) {
        let moved = |values: &mut Vec<f64>| {
            let cols = values.len() / rows.len().max(1);
            *values = rows
                .iter()
                .flat_map(|&r| values[r * cols..(r + 1) * cols].to_vec())
                .collect();
        };
        self.marginals.iter_mut().for_each(moved);
        self.moments.iter_mut().flatten().for_each(moved);
        self.imputed.iter_mut().flatten().for_each(moved);
        moved(&mut self.scores);
    }
}

/// The steps of an iteration on one data set.
pub struct Engine<'a> {
    compiled: Compiled<'a>,
    memory: Memory,
    threads: usize,
    weighted: bool,
    prepare: Option<usize>,
    update: Option<usize>,
    backtrack: Option<usize>,
    /// Of every chain; of a Gaussian chain one.
    potentials: Vec<Sweep>,
    sweep: Option<Sweep>,
    seed: Option<Sweep>,
    /// Of every chain, where there are some.
    score: Vec<Sweep>,
    posterior: Option<Sweep>,
    chain: Chain,
    product: Product,
}

impl<'a> Engine<'a> {
    /// An engine over `data`; computes what depends on data alone.
    #[must_use]
    pub fn new(compiled: Compiled<'a>, data: &Dataset, threads: usize) -> Self {
        let (lowered, program) = (compiled.lowered, compiled.program);
        let mut memory = Memory::new(program.clone(), data.rows, data.columns.clone());
        for slot in &lowered.columns {
            let Some(m) = data.moments.get(&slot.name) else {
                continue;
            };
            for (buf, values) in [(slot.centre, &m.centre), (slot.scale, &m.scale)] {
                if let Some(buf) = buf {
                    copy(memory.flat_mut(buf), values);
                }
            }
        }
        for slot in &lowered.consts {
            if let Some((_, value)) = compiled.consts.iter().find(|(s, _)| *s == slot.sym) {
                copy(memory.flat_mut(slot.buf), &value.data);
            }
        }
        copy(memory.flat_mut(lowered.settings), &[compiled.floor, data.weight_sum]);
        if let Some(alpha) = lowered.alpha {
            copy(memory.flat_mut(alpha), &[1.0]);
        }
        let named = |name: &str, finish: &str| {
            Sweep::named(program, name, finish).map(|s| Sweep {
                weighted: data.weighted,
                ..s
            })
        };
        let of_chains = |name: &str| {
            let first = named(name, "");
            let later = (1..lowered.chains.len()).filter_map(|m| named(&format!("{name}.{m}"), ""));
            first.into_iter().chain(later).collect()
        };
        let mut engine = Self {
            memory,
            threads,
            weighted: data.weighted,
            prepare: program.func("prepare"),
            update: program.func("update"),
            backtrack: program.func("backtrack"),
            potentials: of_chains("potentials"),
            sweep: named("sweep", "finish"),
            seed: named("seed", "finish"),
            score: of_chains("score"),
            posterior: named("posterior", ""),
            chain: Chain::new(data),
            product: Product {
                offsets: named("offsets", ""),
                weights: named("weights", ""),
                seed: named("weights_seed", ""),
                ..Product::default()
            },
            compiled,
        };
        // features may read tables of constants and centres
        engine.call(engine.prepare);
        if let Some(features) = named("features", "") {
            // what depends on data may stand beside tables of constants
            engine.call(engine.prepare);
            engine.pass(&features);
        }
        engine
    }

    fn pass(&mut self, what: &Sweep) {
        sweep(self.compiled.machine, &mut self.memory, what, self.threads);
    }

    fn call(&mut self, func: Option<usize>) {
        if let Some(func) = func {
            self.memory.call(self.compiled.machine, func);
        }
    }

    fn number(&self, buf: BufId) -> f64 {
        self.memory.flat(buf).first().copied().unwrap_or(0.0)
    }

    /// The lowered model.
    #[must_use]
    pub fn lowered(&self) -> &'a Lowered {
        self.compiled.lowered
    }

    /// Rows with weights other than 1.
    #[must_use]
    pub fn weighted(&self) -> bool {
        self.weighted
    }

    /// Sets the parameters.
    pub fn set_params(&mut self, values: &Values) {
        for (slot, v) in self.compiled.lowered.params.iter().zip(values) {
            copy(self.memory.flat_mut(slot.buf), v);
        }
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> Values {
        self.compiled
            .lowered
            .params
            .iter()
            .map(|s| self.memory.flat(s.buf).to_vec())
            .collect()
    }

    /// Tables from parameters, then a pass over the rows; returns the objective of these parameters.
    pub fn evaluate(&mut self) -> f64 {
        self.call(self.prepare);
        if self.is_product() {
            self.settle();
        } else if !self.potentials.is_empty() {
            self.want_chain();
            self.chain.log_likelihood = self.scans(Scan::Fit);
        }
        if let Some(s) = self.sweep.clone() {
            self.pass(&s);
        }
        self.objective()
    }

    /// The objective at the parameters that were last evaluated.
    #[must_use]
    pub fn objective(&self) -> f64 {
        self.log_likelihood() + self.log_prior()
    }

    /// The objective without the prior.
    #[must_use]
    pub fn log_likelihood(&self) -> f64 {
        let l = self.compiled.lowered;
        self.number(l.objective) + self.number(l.constant) + self.chain.log_likelihood + self.log_shared()
    }

    /// The log density of the parameters under their priors.
    #[must_use]
    pub fn log_prior(&self) -> f64 {
        self.number(self.compiled.lowered.log_prior)
    }

    /// Posterior means and variances of the effects of groups at the present parameters.
    pub fn effects(&mut self) -> Vec<[Vec<f64>; 2]> {
        self.call(self.prepare);
        let lowered = self.compiled.lowered;
        let slot = |g: &lvmc_loops::lowered::GroupSlot| [g.mean, g.variance].map(|buf| self.memory.flat(buf).to_vec());
        lowered.groups.iter().map(slot).collect()
    }

    /// The part of the log-likelihood that belongs to no row: of the effects of groups.
    #[must_use]
    pub fn log_shared(&self) -> f64 {
        self.number(self.compiled.lowered.log_shared)
    }

    /// New parameters from the statistics of the last pass; a full step of blocks that ascend.
    pub fn update(&mut self) {
        if let Some(alpha) = self.compiled.lowered.alpha {
            copy(self.memory.flat_mut(alpha), &[1.0]);
        }
        if self.is_product() {
            let weights = self.product_weights().into_iter();
            let copies = weights.map(|w| AlignedVec::copy_of(self.memory.rows(w.0).unwrap_or_default()));
            self.product.anchor = Some(copies.collect());
        }
        self.call(self.update);
    }

    /// Ascending blocks at their old value plus `alpha` times their step.
    pub fn backtrack(&mut self, alpha: f64) {
        if let Some(buf) = self.compiled.lowered.alpha {
            copy(self.memory.flat_mut(buf), &[alpha]);
        }
        self.call(self.backtrack);
    }

    /// Floors active in the last update.
    #[must_use]
    pub fn floors(&self) -> f64 {
        self.number(self.compiled.lowered.floors)
    }

    /// Pivots or directions that failed.
    #[must_use]
    pub fn failures(&self) -> f64 {
        self.number(self.compiled.lowered.failures)
    }

    /// Sets the marginal of latent number `latent` to `value(row, k)`.
    pub fn set_marginal(&mut self, latent: usize, value: impl FnMut(usize, usize) -> f64) {
        if let Some(slot) = self.compiled.lowered.latents.get(latent) {
            self.fill(slot.marginal, slot.size, value);
        }
    }

    /// Sets the starting mean of continuous latent number `start` to `value(row, column)`.
    pub fn set_start(&mut self, start: usize, value: impl FnMut(usize, usize) -> f64) {
        if let Some(slot) = self.compiled.lowered.starts.get(start) {
            self.fill(slot.buf, slot.cols, value);
        }
    }

    /// Stores columns of a buffer; padding repeats the last row.
    fn fill(&mut self, buf: BufId, cols: usize, mut value: impl FnMut(usize, usize) -> f64) {
        let layout = self.memory.layout();
        let data = self.memory.want(buf);
        for row in 0..layout.blocks() * layout.block {
            for c in 0..cols {
                data[layout.at(cols, row, c)] = value(row.min(layout.rows.saturating_sub(1)), c);
            }
        }
    }

    /// Parameters from the marginals as they were set: the statistics, and updates until blocks agree.
    ///
    /// The means of continuous latents that were set count as nearly known: with the spread that the default parameters
    /// give them, the statistics would say little of the start.
    pub fn seed(&mut self) {
        self.call(self.prepare);
        for &buf in &self.compiled.lowered.spreads {
            self.memory.flat_mut(buf).iter_mut().for_each(|l| *l *= START_SPREAD);
        }
        if let Some(s) = self.potentials.first().cloned() {
            self.want_chain();
            if self.compiled.lowered.gaussian_chain.is_some() {
                // what is observed of latents stands in their place
                self.pass(&s);
                self.chain.log_likelihood = self.gaussian_scan(Scan::Independent);
            }
            self.independent_states();
            for m in 0..self.compiled.lowered.chains.len() {
                self.scan(m, Scan::Independent);
            }
        }
        self.seed_product();
        if let Some(s) = self.seed.clone() {
            self.pass(&s);
            let times = if self.compiled.lowered.iterated { 5 } else { 1 };
            for _ in 0..times {
                self.update();
            }
        }
    }

    /// Forgets the finite part of q: the next evaluation starts from weights that say nothing.
    pub fn forget(&mut self) {
        self.product.anchor = None;
    }

    /// Makes the chain's buffers present.
    fn want_chain(&mut self) {
        if let Some(mf) = &self.compiled.lowered.mean_field {
            for buf in mf.outs() {
                self.memory.want(buf);
            }
        }
        if let Some(chain) = &self.compiled.lowered.gaussian_chain {
            for buf in chain.outs() {
                self.memory.want(buf);
            }
        }
        for slot in &self.compiled.lowered.chains {
            self.memory.want(slot.scan.rows);
            if let Some(pairs) = slot.scan.pairs {
                self.memory.want(pairs);
            }
            for &(buf, ..) in &slot.early {
                self.memory.want(buf);
            }
        }
    }

    /// Potentials and posteriors, chain by chain; returns Σ weight · the logs of the normalisers, less what several chains
    /// count.
    fn scans(&mut self, scan: Scan) -> f64 {
        let passes = if scan == Scan::Score {
            &self.score
        } else {
            &self.potentials
        };
        let passes = passes.clone();
        if self.compiled.lowered.gaussian_chain.is_some() {
            passes.iter().for_each(|s| self.pass(s));
            return self.gaussian_scan(scan);
        }
        let mut total = 0.0;
        if self.compiled.lowered.mean_field.is_none() {
            self.product.rows.clear();
            self.product.rows.resize(self.rows(), 0.0);
        }
        for (m, pass) in passes.iter().enumerate() {
            self.pass(pass);
            total += self.scan(m, scan);
        }
        total
    }

    fn gaussian_scan(&mut self, scan: Scan) -> f64 {
        let Some(chain) = &self.compiled.lowered.gaussian_chain else {
            return 0.0;
        };
        let Chain { starts, weights, .. } = &self.chain;
        scan::gaussian::run(chain, &mut self.memory, starts, weights, scan)
    }

    /// Posteriors of a chain's states from their potentials.
    fn scan(&mut self, m: usize, scan: Scan) -> f64 {
        let Some(slot) = self.compiled.lowered.chains.get(m) else {
            return 0.0;
        };
        let Chain {
            starts,
            weights,
            scratch,
            ..
        } = &mut self.chain;
        let total = scan::run(
            &slot.scan,
            &mut self.memory,
            starts,
            weights,
            scan,
            scratch,
            self.threads,
        );
        if slot.early.is_empty() || scan == Scan::Independent {
            return total;
        }
        let rows = &mut self.product.rows;
        let before: Vec<f64> = rows.clone();
        for &early in &slot.early {
            scan::take_early(early, &self.memory, rows);
        }
        let taken = rows.iter().zip(&before).map(|(now, before)| now - before);
        let taken: Vec<f64> = taken.collect();
        let sequences = starts.windows(2).zip(weights.iter()).filter(|s| *s.1 != 0.0);
        total
            + sequences
                .map(|(s, w)| w * taken[s[0]..s[1]].iter().sum::<f64>())
                .sum::<f64>()
    }

    /// The states' potentials as the marginals were set.
    fn independent_states(&mut self) {
        let lowered = self.compiled.lowered;
        for slot in &lowered.chains {
            let layout = self.memory.layout();
            let marginals: Vec<Option<Vec<f64>>> = slot
                .state
                .iter()
                .map(|v| {
                    let latent = &lowered.latents[v.latent?];
                    Some(row_major(self.memory.rows(latent.marginal), layout, latent.size))
                })
                .collect();
            self.fill(slot.scan.rows, slot.scan.states, |row, state| {
                let mut rest = state;
                let mut log = 0.0;
                for (v, m) in slot.state.iter().zip(&marginals).rev() {
                    let value = rest % v.size;
                    rest /= v.size;
                    log += m.as_ref().map_or(0.0, |m| m[row * v.size + value].ln());
                }
                log
            });
        }
    }

    /// Posteriors of the latents and log-likelihoods of the rows at the present parameters.
    pub fn posterior(&mut self) -> Posteriors {
        let lowered = self.compiled.lowered;
        let mut wanted: Vec<BufId> = lowered.latents.iter().map(|slot| slot.marginal).collect();
        let both = lowered.moments.iter().chain(&lowered.imputed);
        wanted.extend(both.flat_map(|m| [m.mean, m.square]));
        wanted.push(lowered.row_score);
        for &buf in &wanted {
            self.memory.want(buf);
        }
        self.call(self.prepare);
        self.want_chain();
        self.settle();
        match self.posterior.clone() {
            Some(s) => {
                self.scans(Scan::Score);
                self.pass(&s);
            }
            None => self.score.clone().iter().for_each(|s| self.pass(s)),
        }
        let layout = self.memory.layout();
        let own = self.product.rows.iter().enumerate();
        let out = self.memory.want(lowered.row_score);
        own.for_each(|(row, h)| out[layout.at(1, row, 0)] += h);
        let marginals = lowered
            .latents
            .iter()
            .map(|slot| row_major(self.memory.rows(slot.marginal), layout, slot.size))
            .collect();
        let scores = row_major(self.memory.rows(lowered.row_score), layout, 1);
        let read = |slots: &[MomentSlot]| -> Vec<[Vec<f64>; 2]> {
            let both = |m: &MomentSlot| [m.mean, m.square].map(|buf| row_major(self.memory.rows(buf), layout, m.cols));
            slots.iter().map(both).collect()
        };
        let (moments, imputed) = (read(&lowered.moments), read(&lowered.imputed));
        // stored only while asked for: they are as large as the data
        for buf in wanted {
            self.memory.take(buf);
        }
        Posteriors {
            marginals,
            moments,
            imputed,
            scores,
            shared: self.log_shared(),
        }
    }

    /// What is to be read of every chain's log potentials at the present parameters, chain by chain; where q is a product the
    /// potentials are those of q given q of the others.
    fn with_potentials<T>(&mut self, mut read: impl FnMut(&mut Self, &ChainSlot) -> T) -> Vec<T> {
        let lowered = self.compiled.lowered;
        self.call(self.prepare);
        self.want_chain();
        self.settle();
        let several = lowered.chains.len() > 1;
        let passes = self.potentials.clone();
        let mut out = vec![];
        for (slot, pass) in lowered.chains.iter().zip(&passes) {
            let kept = several.then(|| {
                let of = [Some(slot.scan.rows), slot.scan.pairs].into_iter().flatten();
                of.map(|buf| (buf, AlignedVec::copy_of(self.memory.rows(buf).unwrap_or_default())))
                    .collect::<Vec<_>>()
            });
            self.pass(pass);
            out.push(read(self, slot));
            // the others' potentials read the posterior
            for (buf, values) in kept.into_iter().flatten() {
                copy(self.memory.want(buf), &values);
            }
        }
        out
    }

    /// The jointly most probable path of a chain's finite states, for every latent of the chain: its value in every row,
    /// [`IMPOSSIBLE`] in a sequence of density 0. Of several chains the path of each is that of its part of q.
    pub fn path(&mut self) -> Vec<(usize, Vec<u32>)> {
        let paths = self.with_potentials(|engine, slot| {
            let states = path::most_probable(&slot.scan, &engine.memory, &engine.chain.starts, engine.threads);
            values(slot, &states)
        });
        paths.concat()
    }

    /// Draws of the chains' finite states given all rows, each as [`Engine::path`] has its one; `uniform(draw, row)` is a
    /// number from [0, 1), `uniform(count · chain + draw, row)` of a chain after the first.
    pub fn paths(&mut self, count: usize, uniform: &dyn Fn(usize, usize) -> f64) -> Vec<Vec<(usize, Vec<u32>)>> {
        let mut out = vec![vec![]; count];
        let mut first = 0;
        let drawn = self.with_potentials(|engine, slot| {
            let number = |draw: usize, row: usize| uniform(first + draw, row);
            let all = path::draws(&slot.scan, &engine.memory, &engine.chain.starts, count, &number);
            first += count;
            all.iter().map(|states| values(slot, states)).collect::<Vec<_>>()
        });
        for of_chain in drawn {
            for (to, own) in out.iter_mut().zip(of_chain) {
                to.extend(own);
            }
        }
        out
    }

    /// What is known of the chain's latents at the last row of every sequence, once [`Engine::posterior`] has been called.
    #[must_use]
    pub fn ends(&self) -> Vec<End> {
        let last = self.chain.starts.windows(2).map(|w| w[1] - 1);
        let states = |row: usize| {
            let chains = self.compiled.lowered.chains.iter();
            chains.map(|c| self.read_row(c.scan.rows, c.scan.states, row)).collect()
        };
        last.map(|row| End {
            states: states(row),
            parts: self.smoothed(row),
        })
        .collect()
    }

    /// What is known of the Gaussian latents that a row of a chain knows, once [`Engine::posterior`] has been called.
    #[must_use]
    pub fn smoothed(&self, row: usize) -> Vec<PartEnd> {
        let lowered = self.compiled.lowered;
        let product = lowered.mean_field.as_ref().map(|m| &m.frame);
        let chain = lowered.gaussian_chain.as_ref().or(product);
        let mut before: Vec<usize> = vec![];
        let part = |p: &lvmc_loops::scan::Part| {
            before.push(p.size);
            let moves = p.moves.iter().zip(&before);
            PartEnd {
                mean: self.read_row(p.mean, p.size, row),
                moves: moves.map(|(&buf, n)| self.read_row(buf, n * p.size, row)).collect(),
            }
        };
        chain.iter().flat_map(|g| &g.parts).map(part).collect()
    }

    fn read_row(&self, buf: BufId, cols: usize, row: usize) -> Vec<f64> {
        let layout = self.memory.layout();
        let data = self.memory.rows(buf).unwrap_or_default();
        let at = |c: usize| data.get(layout.at(cols, row, c)).copied();
        (0..cols).map(|c| at(c).unwrap_or(f64::NAN)).collect()
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.memory.layout().rows
    }
}

/// A chain's latents, by their places in [`Lowered::latents`], from numbers of states.
fn values(slot: &ChainSlot, states: &[u32]) -> Vec<(usize, Vec<u32>)> {
    let mut below = 1;
    let mut out = vec![];
    for v in slot.state.iter().rev() {
        if let Some(latent) = v.latent {
            let value = |&state: &u32| match state {
                IMPOSSIBLE => IMPOSSIBLE,
                s => (s as usize / below % v.size) as u32,
            };
            out.push((latent, states.iter().map(value).collect()));
        }
        below *= v.size;
    }
    out.reverse();
    out
}

/// What is known of a chain's latents at a row.
#[derive(Debug, Clone)]
pub struct End {
    /// Of every chain the posterior of its states; none of a Gaussian chain.
    pub states: Vec<Vec<f64>>,
    /// Of a Gaussian chain's parts; none of a finite one.
    pub parts: Vec<PartEnd>,
}

/// What is known of a part of a Gaussian chain.
#[derive(Debug, Clone)]
pub struct PartEnd {
    /// Its mean.
    pub mean: Vec<f64>,
    /// How far it moves with each earlier part's noise and its own: `[noise][element]`.
    pub moves: Vec<Vec<f64>>,
}

fn copy(to: &mut [f64], from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t = *f);
}

fn row_major(data: Option<&[f64]>, layout: RowLayout, cols: usize) -> Vec<f64> {
    let Some(data) = data else { return Vec::new() };
    let mut out = Vec::with_capacity(layout.rows * cols);
    for row in 0..layout.rows {
        out.extend((0..cols).filter_map(|c| data.get(layout.at(cols, row, c)).copied()));
    }
    out
}
