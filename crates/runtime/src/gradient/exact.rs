//! Exact updates between gradient steps: the columns that their model reads, and EM on it.

use super::data::Data;
use super::outcome::{constrained, free};
use super::problem::{Known, Problem};
use super::settings::Settings;
use super::{GradientError, Make};
use crate::bind::{Binding, Bound};
use crate::data::{Column, DataError, Table};
use crate::dataset::{self, Dataset, LoadOptions};
use crate::engine::{Compiled, Engine, Values};
use crate::fit::{self, FitError, Outcome, Suspicion, Until, climb, has_hidden, suspicions};
use lvmc_base::Bug;
use lvmc_dense::{Executor, Lowered, Root};
use lvmc_derive::guided::{Exact, Free, Random, Source};
use lvmc_loops::ir::Program;
use lvmc_loops::lowered::Lowered as Loops;
use lvmc_loops::machine::Machine;
use lvmc_model::graph::{Factor, ModelGraph, Role};
use lvmc_term::{Array, Support, SymId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Iterations of EM between two epochs: what they leave the next ones take.
const UNTIL: Until = Until {
    iterations: 20,
    tol: 1e-9,
};
/// Gradient steps before which the distribution of codes stays as it starts. At first codes say nothing of the data; the
/// distribution that is best for them then has them say nothing ever after.
const HELD: u64 = 100;
/// Epochs between searches where a component stays collapsed.
const AGAIN: u64 = 8;
/// Starts of EM, and iterations of the best, where its maxima are searched for.
const STARTS: usize = 5;
/// See [`STARTS`].
const SEARCHED: usize = 50;

/// The native program of the exact updates.
#[derive(Clone, Copy)]
pub struct Native<'a> {
    /// Their model, lowered.
    pub lowered: &'a Loops,
    /// Its program.
    pub program: &'a Arc<Program>,
    /// What runs it.
    pub machine: &'a dyn Machine,
    /// The relative variance floor.
    pub floor: f64,
}

/// EM on the model of the exact updates.
pub struct Maximiser<'a> {
    native: Native<'a>,
    exact: Exact,
    free: Vec<Free>,
    known: Known,
    /// Where each of the model's parameters stands among all.
    places: Vec<usize>,
    /// Parameters of the statements that know a finite latent, and those that stand with them in a statement.
    of_components: BTreeSet<SymId>,
    threads: usize,
    seed: u64,
}

/// Whether several starts are made where a finite latent is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// In place of going on from the present parameters.
    First,
    /// Where a component collapses.
    AfterCollapse,
    /// Not at all.
    Never,
}

/// What a variable's rows hold: numbers of a row, and all of them, row-major.
pub type Cells<'a> = &'a dyn Fn(SymId) -> Option<(usize, Vec<f64>)>;

/// Makes exact updates between epochs.
pub struct Refiner<'a> {
    maximiser: Maximiser<'a>,
    columns: Lowered,
    executor: Box<dyn Executor>,
    /// Steps of an epoch.
    per_epoch: u64,
    /// Parameters of the distribution of codes, and those that stand with them in a statement.
    of_codes: BTreeSet<SymId>,
}

/// See [`Refiner::of_codes`]: of latents and of columns that hold their draws.
fn of_codes(exact: &Exact) -> BTreeSet<SymId> {
    let graph = &exact.graph;
    closure(exact, |f| {
        let var = graph.var(f.var);
        var.role == Role::Latent || exact.rows.iter().any(|r| r.sym == var.sym)
    })
}

/// See [`Maximiser::of_components`].
fn of_components(exact: &Exact) -> BTreeSet<SymId> {
    let graph = &exact.graph;
    let finite: Vec<SymId> = exact
        .plan
        .finite
        .iter()
        .filter(|f| !f.observed)
        .map(|f| f.sym)
        .collect();
    let knows = |f: &Factor, x: SymId| graph.var(f.var).sym == x || f.dist.mentions(&graph.store, x);
    closure(exact, |f| finite.iter().any(|&x| knows(f, x)))
}

/// Parameters of some statements, and of those that share one with them.
fn closure(exact: &Exact, wanted: impl Fn(&Factor) -> bool) -> BTreeSet<SymId> {
    let graph = &exact.graph;
    let of = |f: &Factor| -> BTreeSet<SymId> {
        let here = exact.params.iter().filter(|&&p| f.dist.mentions(&graph.store, p));
        here.copied().collect()
    };
    let mut found: BTreeSet<SymId> = graph.factors.iter().filter(|f| wanted(f)).flat_map(of).collect();
    loop {
        let before = found.len();
        for here in graph.factors.iter().map(of) {
            if !here.is_disjoint(&found) {
                found.extend(here);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn bug(message: impl std::fmt::Display) -> Bug {
    Bug {
        stage: "exact updates",
        message: message.to_string(),
        ir: String::new(),
    }
}

fn a_bug(e: FitError) -> Bug {
    match e {
        FitError::Bug(b) => b,
        other => bug(other),
    }
}

impl<'a> Refiner<'a> {
    /// Of a problem whose derivation has exact updates.
    ///
    /// # Errors
    /// A column that cannot be computed over a batch.
    pub fn new(
        graph: &ModelGraph,
        problem: &Problem,
        settings: &Settings,
        make: Make<'_>,
        native: Native<'a>,
        rows: usize,
    ) -> Result<Option<Self>, GradientError> {
        let mut guided = problem.guided.clone();
        let Some(exact) = guided.exact.clone() else {
            return Ok(None);
        };
        let mut noise: Vec<Source> = guided.noise.clone();
        let mut roots = vec![];
        for row in &exact.rows {
            // dropout as in the steps between
            let (open, masks) = graph.expand_nets(&mut guided.store, row.term);
            noise.extend(masks.into_iter().map(|sym| Source {
                sym,
                random: Random::Uniform,
            }));
            roots.push(Root {
                name: guided.store.sym(row.sym).name.clone(),
                term: guided.evaluated(graph, open, &problem.written.free),
            });
        }
        let columns = problem
            .known
            .lower(&mut guided.store, &roots, &noise, &[])
            .map_err(super::ProblemError::Lower)?;
        let mut executor = make(
            columns.program.clone(),
            super::SCORED.min(rows.max(1)),
            settings.precision,
            settings.seed ^ 0xE8AC,
        )?;
        columns.set_constants(&mut *executor);
        Ok(Some(Self {
            of_codes: of_codes(&exact),
            maximiser: Maximiser::new(problem, exact, native, settings.threads, settings.seed)?,
            columns,
            executor,
            per_epoch: (rows.div_ceil(settings.batch.max(1))).max(1) as u64,
        }))
    }

    /// Maximises over the exact parameters, at the draws of an epoch (from 1).
    ///
    /// # Errors
    /// Bugs.
    pub fn update(
        &mut self,
        params: &mut [Vec<f64>],
        data: &Data,
        rows: &[u32],
        epoch: u64,
    ) -> Result<(), GradientError> {
        let early = epoch * self.per_epoch < HELD;
        let m = &self.maximiser;
        let moves = |k: &usize| !early || !self.of_codes.contains(&m.free[m.places[*k]].param);
        let moving: Vec<usize> = (0..m.places.len()).filter(moves).collect();
        if moving.is_empty() {
            return Ok(());
        }
        let values = self.rows(params, data, rows, epoch);
        let m = &self.maximiser;
        let cells = |sym: SymId| match m.exact.rows.iter().position(|r| r.sym == sym) {
            Some(i) => Some((values[i].len() / rows.len().max(1), values[i].clone())),
            None => {
                let (width, all) = data.numbers(sym)?;
                let part = rows.iter().flat_map(|&r| &all[r as usize * width..][..width]);
                Some((width, part.copied().collect()))
            }
        };
        let weights = data.weights.as_ref();
        let weights = weights.map(|w| rows.iter().map(|&r| w[r as usize]).collect());
        let dataset = m.dataset(&cells, weights, rows.len())?;
        // the first time with codes that mean something: a search. A run that goes on from there has searched before
        let first = epoch * self.per_epoch < HELD + self.per_epoch;
        let how = match (early, first) {
            (false, true) => Search::First,
            (false, false) if epoch.is_multiple_of(AGAIN) => Search::AfterCollapse,
            _ => Search::Never,
        };
        if let Some(found) = m.maximise(params, &dataset, UNTIL, how)? {
            for k in moving {
                params[m.places[k]].clone_from(&found[k]);
            }
        }
        Ok(())
    }

    /// What the columns hold at some parameters, by column, row-major.
    fn rows(&mut self, params: &[Vec<f64>], data: &Data, rows: &[u32], epoch: u64) -> Vec<Vec<f64>> {
        for (f, values) in self.maximiser.free.iter().zip(params) {
            if let Some(&id) = self.columns.symbols.get(&f.free) {
                self.executor.set(id, values);
            }
        }
        let mut out = vec![vec![]; self.columns.roots.len()];
        for (k, chunk) in rows.chunks(self.executor.capacity().max(1)).enumerate() {
            for m in &data.variables {
                if let Some(&id) = self.columns.symbols.get(&m.sym) {
                    self.executor.set_rows_from(id, &m.columns(), chunk);
                }
            }
            self.executor.run(chunk.len(), epoch << 32 | k as u64);
            for (root, values) in self.columns.roots.iter().zip(&mut out) {
                values.extend(self.executor.get(*root));
            }
        }
        out
    }
}

impl<'a> Maximiser<'a> {
    /// Of a problem with its exact updates.
    ///
    /// # Errors
    /// A [`Bug`]: a parameter of theirs that the fit does not have.
    pub fn new(problem: &Problem, exact: Exact, native: Native<'a>, threads: usize, seed: u64) -> Result<Self, Bug> {
        let free = problem.written.free.clone();
        let place = |sym: SymId| free.iter().position(|f| f.param == sym);
        let places = native.lowered.params.iter().map(|p| place(p.sym));
        let places = places
            .collect::<Option<Vec<usize>>>()
            .ok_or_else(|| bug("a parameter that the fit does not have"))?;
        Ok(Self {
            native,
            of_components: of_components(&exact),
            exact,
            free,
            known: problem.known.clone(),
            places,
            threads: threads.max(1),
            seed,
        })
    }

    /// Where each of the model's parameters stands among all.
    #[must_use]
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// The model's parameters, shares with the sum 1 that their rounding to single precision took.
    fn shares(&self, params: &[Vec<f64>]) -> Values {
        let slots = self.native.lowered.params.iter().zip(&self.places);
        let own = slots.map(|(slot, &place)| {
            let mut values = params[place].clone();
            if slot.support == Support::Simplex {
                for member in values.chunks_mut(slot.shape.last().copied().unwrap_or(1).max(1)) {
                    let sum: f64 = member.iter().sum();
                    member.iter_mut().for_each(|x| *x /= sum);
                }
            }
            values
        });
        own.collect()
    }

    /// The model's objective at some parameters.
    ///
    /// # Errors
    /// A [`Bug`]: a constant that is none.
    pub fn objective(&self, params: &[Vec<f64>], dataset: &Dataset) -> Result<f64, Bug> {
        let consts = self.constants(params)?.ok_or_else(|| bug("a covariance has no root"))?;
        let mut engine = Engine::new(self.compiled(&consts), dataset, self.threads);
        engine.set_params(&self.places.iter().map(|&i| params[i].clone()).collect());
        Ok(engine.evaluate())
    }

    fn compiled<'c>(&self, consts: &'c [(SymId, Array)]) -> Compiled<'c>
    where
        'a: 'c,
    {
        Compiled {
            lowered: self.native.lowered,
            program: self.native.program,
            machine: self.native.machine,
            consts,
            floor: self.native.floor,
        }
    }

    /// Better values of the model's parameters, in its order; none where EM finds nothing better. Where what is better is the
    /// collapse of a component, those that components share stay, or are searched for.
    ///
    /// # Errors
    /// Bugs.
    pub fn maximise(
        &self,
        params: &[Vec<f64>],
        dataset: &Dataset,
        until: Until,
        how: Search,
    ) -> Result<Option<Values>, Bug> {
        // a covariance that is none: the steps have failed, which is found elsewhere
        let Some(consts) = self.constants(params)? else {
            return Ok(None);
        };
        let compiled = self.compiled(&consts);
        let mut engine = Engine::new(compiled, dataset, self.threads);
        engine.set_params(&self.shares(params));
        let begin = engine.evaluate();
        let better = |out: &Outcome| out.objective.is_finite() && (begin.is_nan() || out.objective >= begin);
        let collapsed = |out: &Outcome| {
            suspicions(&compiled, dataset, out, false)
                .iter()
                .any(Suspicion::is_degenerate)
        };
        let hidden = has_hidden(&compiled, dataset);
        let climbed = if how == Search::First && hidden {
            None
        } else {
            Some(climb(&mut engine, dataset.weight_sum, until, None).map_err(a_bug)?).filter(better)
        };
        // what is summed over has many maxima: at first, and where a component collapses, they are searched for
        let again = climbed
            .as_ref()
            .is_some_and(|out| how == Search::AfterCollapse && collapsed(out));
        if hidden && (how == Search::First || again) {
            let settings = fit::Settings {
                seed: self.seed,
                floor: self.native.floor,
                threads: self.threads,
                rounds: 1,
                starts: STARTS,
                tol: until.tol,
                max_iter: SEARCHED,
                ..fit::Settings::default()
            };
            match fit::fit(compiled, dataset, &settings, fit::Hooks::default()) {
                Ok(found) if better(&found.outcome) && !collapsed(&found.outcome) => {
                    return Ok(Some(found.outcome.values));
                }
                Err(FitError::Bug(b)) => return Err(b),
                _ => {}
            }
        }
        let Some(out) = climbed else { return Ok(None) };
        // a component that closes in on few draws of codes has no maximum; the rest of the model knows nothing of it
        let keep = collapsed(&out);
        let slots = self.native.lowered.params.iter().zip(&self.places).zip(out.values);
        let values = slots.map(|((slot, &place), value)| {
            if keep && self.of_components.contains(&slot.sym) {
                params[place].clone()
            } else {
                value
            }
        });
        Ok(Some(values.collect()))
    }

    /// Constants: the model's, and terms of the other parameters; none where a covariance has no root.
    fn constants(&self, params: &[Vec<f64>]) -> Result<Option<Vec<(SymId, Array)>>, Bug> {
        let store = &self.exact.graph.store;
        let mut env = self.known.environment();
        for (f, values) in self.free.iter().zip(params) {
            let sym = store.sym(f.param);
            let shape: Result<Vec<usize>, _> = sym.shape.iter().map(|n| self.known.size(store, n)).collect();
            let shape = shape.map_err(bug)?;
            let data = natural(f, &sym.support, &shape, values);
            env.set(f.param, Array { shape, data });
        }
        let mut out = self.known.constants.clone();
        for f in &self.exact.fixed {
            let mut value = store.eval(f.term, &env).map_err(bug)?;
            if f.rooted {
                let Some(root) = value.cholesky() else { return Ok(None) };
                value = root.transposed();
            }
            out.push((f.sym, value));
        }
        Ok(Some(out))
    }

    /// Rows in the layout of the loops.
    ///
    /// # Errors
    /// Too much memory; a [`Bug`] where a column is not there.
    pub fn dataset(&self, cells: Cells<'_>, weights: Option<Vec<f64>>, rows: usize) -> Result<Dataset, DataError> {
        let graph = &self.exact.graph;
        let mut table = Table {
            source: String::new(),
            columns: vec![],
            rows,
        };
        let mut vars = vec![];
        for slot in &self.native.lowered.columns {
            let first = table.columns.len();
            let (width, cells) = cells(slot.sym).ok_or_else(|| bug(format!("no column of {}", slot.name)))?;
            for j in 0..width {
                let column = cells.iter().skip(j).step_by(width.max(1)).copied();
                table
                    .columns
                    .push(Column::numbers(format!("{} {j}", slot.name), column));
            }
            vars.push(Bound {
                sym: slot.sym,
                name: slot.name.clone(),
                role: Role::Data,
                support: graph.store.sym(slot.sym).support.clone(),
                columns: (first..first + width).collect(),
                column_names: vec![],
                shape: vec![width],
                labels: None,
                missing: 0,
                automatic: false,
            });
        }
        let weight = weights.map(|w| {
            table.columns.push(Column::numbers("weight", w));
            table.columns.len() - 1
        });
        let binding = Binding {
            vars,
            absent: vec![],
            weight,
            roles: vec![],
            sizes: self.known.sizes.clone(),
            rows,
            remarks: vec![],
        };
        dataset::load(self.native.lowered, graph, &binding, table, &LoadOptions::default())
    }
}

/// Values of a parameter from its coordinates.
#[must_use]
pub fn natural(f: &Free, support: &Support, shape: &[usize], coordinates: &[f64]) -> Vec<f64> {
    if f.is_itself() {
        coordinates.to_vec()
    } else {
        constrained(support, shape, coordinates)
    }
}

/// The coordinates of a parameter's values.
#[must_use]
pub fn coordinates(f: &Free, support: &Support, shape: &[usize], values: &[f64]) -> Vec<f64> {
    if f.is_itself() {
        values.to_vec()
    } else {
        free(support, shape, values)
    }
}
