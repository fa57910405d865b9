//! A fit: starts, restarts, convergence, and what to think of the result.

mod accelerate;
mod canonical;
mod climb;
mod errors;
pub mod free;
mod information;
pub mod labels;
mod pace;
mod search;
mod suspect;

use crate::dataset::Dataset;
use crate::engine::{Compiled, Engine, Values};
use crate::init;
use lvmc_base::{Bug, Exit};
use miette::Diagnostic;
use std::sync::atomic::AtomicBool;
use thiserror::Error;

pub use canonical::remark as rotation_remark;
pub use climb::{Outcome, Until, climb};
pub use errors::{Errors, When, standard_errors};
pub use labels::described as label_order;
pub use suspect::{Suspicion, suspicions};

/// Why a fit has no result.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum FitError {
    /// Nothing but NaN.
    #[error("the objective is {value} at every start")]
    #[diagnostic(code(lvm::fit::numerical), help("{help}"))]
    Numerical {
        /// The objective found.
        value: String,
        /// What to try.
        help: String,
        /// The parameters there.
        at: Option<Values>,
    },
    /// Starting values that do not fit the model.
    #[error("the starting values do not fit the model: {reason}")]
    #[diagnostic(code(lvm::fit::init), help("{help}"))]
    Init {
        /// Why.
        reason: String,
        /// What to do.
        help: String,
    },
    /// A bug of ours.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bug(#[from] Bug),
}

impl FitError {
    /// The exit code of the command line.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Numerical { .. } => Exit::Numerical,
            Self::Init { .. } => Exit::Usage,
            Self::Bug(_) => Exit::Bug,
        }
    }
}

/// What may be chosen of a fit.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Everything random depends on it.
    pub seed: u64,
    /// The share of 1 + |objective| that may be left to gain; 0 runs exactly `max_iter` iterations.
    pub tol: f64,
    /// The most iterations of the final run.
    pub max_iter: usize,
    /// Variances stay above this share of the data's.
    pub floor: f64,
    /// Threads; the result does not depend on it.
    pub threads: usize,
    /// The most rounds of restarts; 1 is one round.
    pub rounds: usize,
    /// Starts per round.
    pub starts: usize,
    /// Starting values: one run from there, and no restarts.
    pub init: Option<Values>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            tol: 1e-9,
            max_iter: 10_000,
            floor: 1e-6,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            rounds: 10,
            starts: 20,
            init: None,
        }
    }
}

/// What a fit reports while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Starts so far.
    pub starts: usize,
    /// The best objective so far.
    pub best: f64,
}

/// Hooks into a running fit.
#[derive(Clone, Copy, Default)]
pub struct Hooks<'a> {
    /// Called between rounds.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// Set to stop: the best so far is the result.
    pub stop: Option<&'a AtomicBool>,
}

/// A fitted model, before it is put into words.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The final run; `iterations` and `trace` count from its start.
    pub outcome: Outcome,
    /// Starts made.
    pub starts: usize,
    /// Starts that reached the best objective.
    pub reached: usize,
    /// Objectives of the runs that were finished, best first.
    pub restarts: Vec<f64>,
    /// What is wrong with the result, if anything.
    pub suspicions: Vec<Suspicion>,
    /// Means and variances of the effects of groups, in the order of [`lvmc_loops::lowered::Lowered::groups`].
    pub effects: Vec<[Vec<f64>; 2]>,
}

/// True where the model has finite variables whose value is hidden in some row, so that the start matters.
#[must_use]
pub fn has_hidden(compiled: &Compiled<'_>, data: &Dataset) -> bool {
    compiled.lowered.latents.iter().any(|slot| {
        let missing = || {
            let column = compiled.lowered.columns.iter().find(|c| c.sym == slot.sym);
            column.and_then(|c| data.missing.get(&c.buf)).copied().unwrap_or(0)
        };
        slot.size > 1 && (!slot.observed || missing() > 0)
    })
}

/// Fits the model to the data.
///
/// # Errors
/// No start gives a number, or a bug of ours.
pub fn fit(compiled: Compiled<'_>, data: &Dataset, settings: &Settings, hooks: Hooks<'_>) -> Result<Fitted, FitError> {
    let until = Until {
        iterations: settings.max_iter,
        tol: settings.tol,
    };
    if let Some(values) = &settings.init {
        check_init(&compiled, values)?;
        return single(compiled, data, values.clone(), until, settings, hooks);
    }
    if !has_hidden(&compiled, data) {
        if !compiled.lowered.starts.is_empty() {
            return from_components(compiled, data, until, settings, hooks);
        }
        let values = init::defaults(compiled.lowered, data);
        return single(compiled, data, values, until, settings, hooks);
    }
    search::search(compiled, data, settings, hooks)
}

/// The best of two runs: from the principal components of the standardised columns as the means of the continuous
/// latents, and from those of the columns as they are. (With one noise variance for all columns the second start spans
/// the maximum's subspace; with one for each the first is near it.)
fn from_components(
    compiled: Compiled<'_>,
    data: &Dataset,
    until: Until,
    settings: &Settings,
    hooks: Hooks<'_>,
) -> Result<Fitted, FitError> {
    let lowered = compiled.lowered;
    let points = init::Points::new(lowered, data);
    let raw = points.unscaled();
    let mut runs: Vec<Outcome> = vec![];
    for points in [points, raw] {
        let mut engine = Engine::new(compiled, data, settings.threads);
        engine.set_params(&init::defaults(lowered, data));
        init::start_scores(&mut engine, &points.components(lowered));
        engine.seed();
        runs.push(climb(&mut engine, data.weight_sum, until, hooks.stop)?);
    }
    runs.sort_by(|a, b| b.rank().total_cmp(&a.rank()));
    let objectives: Vec<f64> = runs.iter().map(|r| r.objective).collect();
    let best = runs.swap_remove(0);
    let reached = objectives.iter().filter(|&&o| search::same(o, best.objective)).count();
    finished(compiled, data, settings, objectives, 2, reached.max(1), best)
}

fn check_init(compiled: &Compiled<'_>, values: &Values) -> Result<(), FitError> {
    for (slot, v) in compiled.lowered.params.iter().zip(values) {
        let wanted: usize = slot.shape.iter().product();
        if v.len() != wanted || v.iter().any(|x| !x.is_finite()) {
            return Err(FitError::Init {
                reason: format!("`{}` needs {wanted} finite numbers and has {}", slot.name, v.len()),
                help: format!("its shape is {:?}, row-major", slot.shape),
            });
        }
    }
    if values.len() == compiled.lowered.params.len() {
        Ok(())
    } else {
        Err(FitError::Init {
            reason: format!(
                "{} parameters where the model has {}",
                values.len(),
                compiled.lowered.params.len()
            ),
            help: "give a value for every parameter".into(),
        })
    }
}

/// One run from given values.
fn single(
    compiled: Compiled<'_>,
    data: &Dataset,
    values: Values,
    until: Until,
    settings: &Settings,
    hooks: Hooks<'_>,
) -> Result<Fitted, FitError> {
    let mut engine = Engine::new(compiled, data, settings.threads);
    engine.set_params(&values);
    let outcome = climb(&mut engine, data.weight_sum, until, hooks.stop)?;
    finished(compiled, data, settings, vec![outcome.objective], 1, 1, outcome)
}

/// What to say where the objective is −∞: the first row of density 0.
fn no_density(compiled: Compiled<'_>, data: &Dataset, settings: &Settings, values: &Values) -> String {
    let mut engine = Engine::new(compiled, data, settings.threads);
    engine.set_params(values);
    let scores = engine.posterior().scores;
    let outside = |(row, score): &(usize, &f64)| **score == f64::NEG_INFINITY && data.weight_of(*row) > 0.0;
    let in_table = |row: usize| data.order.rows.as_ref().map_or(row, |r| r[row]) + 1;
    let mut rows: Vec<usize> = scores
        .iter()
        .enumerate()
        .filter(outside)
        .map(|r| in_table(r.0))
        .collect();
    rows.sort_unstable();
    let which = match &rows[..] {
        [] => "some row has".to_owned(),
        [one] => format!("row {one} has"),
        [first, rest @ ..] => format!("row {first} (and {} more) has", rest.len()),
    };
    format!("{which} density 0 under every start: a value outside the distribution's support, such as 5 of 3?")
}

/// The result in its final form.
fn finished(
    compiled: Compiled<'_>,
    data: &Dataset,
    settings: &Settings,
    mut restarts: Vec<f64>,
    starts: usize,
    reached: usize,
    mut outcome: Outcome,
) -> Result<Fitted, FitError> {
    if settings.tol > 0.0 {
        if settings.init.is_none() {
            labels::arrange(compiled, data, settings.threads, &mut outcome.values);
        }
        canonical::canonical(compiled.lowered, &mut outcome.values);
    }
    if !outcome.objective.is_finite() {
        return Err(FitError::Numerical {
            value: format!("{}", outcome.objective),
            help: if outcome.objective == f64::NEG_INFINITY {
                no_density(compiled, data, settings, &outcome.values)
            } else {
                "look for columns of very different sizes, or give starting values: --init FILE".into()
            },
            at: Some(outcome.values),
        });
    }
    restarts.sort_by(|a, b| b.total_cmp(a));
    let suspicions = suspicions(&compiled, data, &outcome, settings.tol > 0.0);
    let effects = if compiled.lowered.groups.is_empty() {
        vec![]
    } else {
        let mut engine = Engine::new(compiled, data, settings.threads);
        engine.set_params(&outcome.values);
        engine.effects()
    };
    Ok(Fitted {
        effects,
        outcome,
        starts,
        reached,
        restarts,
        suspicions,
    })
}
