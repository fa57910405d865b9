//! Fits by gradients: models with nets or a guide.

pub mod apply;
pub mod chain;
pub mod checkpoint;
pub mod data;
pub mod exact;
pub mod impute;
mod lbfgs;
pub mod outcome;
pub mod predict;
pub mod problem;
pub mod score;
pub mod settings;
pub mod start;
pub mod train;

use crate::data::DataError;
use crate::random::{Purpose, keyed, shuffle};
use data::Data;
use exact::{Native, Refiner};
use lvmc_base::{Bug, Exit};
use lvmc_dense::Executor;
use lvmc_dense::ir::{Precision, Program};
use lvmc_derive::guided::{self, Guided};
use lvmc_model::graph::ModelGraph;
use miette::Diagnostic;
use problem::{Problem, ProblemError};
use score::{Score, Scorer};
use settings::{Aim, Optimiser, SettingError, Settings};
use std::collections::BTreeMap;
use thiserror::Error;
use train::{Ended, State, Trainer, Watch};

/// Makes an executor: of a program, with room for that many rows, in that precision, with a seed.
pub type Make<'a> = &'a dyn Fn(Program, usize, Precision, u64) -> Result<Box<dyn Executor>, Bug>;

/// Rows that are scored at once.
const SCORED: usize = 512;

/// Why a fit by gradients has no result.
#[derive(Debug, Error, Diagnostic)]
pub enum GradientError {
    /// An option.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Setting(#[from] SettingError),
    /// The data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// An objective that the model does not have.
    #[error("{what}")]
    #[diagnostic(code(lvm::fit::objective), help("{help}"))]
    Objective {
        /// What is asked.
        what: String,
        /// What there is.
        help: String,
    },
    /// A term that cannot be computed over a batch.
    #[error("{what}")]
    #[diagnostic(
        code(lvm::fit::unsupported),
        help("write the statement with vectors and matrices that all rows share; rows may have vectors of their own")
    )]
    Unsupported {
        /// What.
        what: String,
    },
    /// A chain away from the data without a density.
    #[error("the guide's chain has no posterior: {what}")]
    #[diagnostic(
        code(lvm::fit::chain),
        help("every step x[t] ~ Normal(a[t] * x[t-1], s[t] * I) has finite numbers a[t] and s[t] > 0, t = 1 … T")
    )]
    Chain {
        /// Which number.
        what: String,
    },
    /// The objective is not finite where the fit starts.
    #[error("the objective is not finite at the start, in batches of {batch} rows")]
    #[diagnostic(code(lvm::fit::start), help("{help}"))]
    Start {
        /// Rows of a batch.
        batch: usize,
        /// What to try.
        help: String,
    },
    /// A state to go on from whose parameters have other sizes.
    #[error("the fit to go on from has parameters of other sizes")]
    #[diagnostic(
        code(lvm::fit::resume),
        help("go on with the data, the bindings and the --set of that fit, or begin anew without --resume")
    )]
    Resume,
    /// Every learning rate that was tried fails within the first epoch.
    #[error(
        "the fit diverges: after steps with the learning rate {rate:e}, and with ones down to {smallest:.1e}, the objective is not finite"
    )]
    #[diagnostic(code(lvm::fit::diverges), help("{help}"))]
    Diverges {
        /// As chosen.
        rate: f64,
        /// The last that was tried.
        smallest: f64,
        /// What to try.
        help: String,
    },
    /// A bug of ours.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bug(#[from] Bug),
}

impl GradientError {
    /// The exit code of the command line.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Setting(_) | Self::Objective { .. } | Self::Resume => Exit::Usage,
            Self::Data(e) => e.exit(),
            Self::Unsupported { .. } | Self::Chain { .. } => Exit::Model,
            Self::Start { .. } | Self::Diverges { .. } => Exit::Numerical,
            Self::Bug(_) => Exit::Bug,
        }
    }
}

impl From<ProblemError> for GradientError {
    fn from(e: ProblemError) -> Self {
        match e {
            ProblemError::Aim(what) => Self::Objective {
                what: what.into(),
                help: "objective = elbo is there for every model".into(),
            },
            ProblemError::Chain(what) => Self::Chain { what },
            ProblemError::Lower(e) => Self::Unsupported { what: e.to_string() },
            ProblemError::Bug(b) => Self::Bug(b),
        }
    }
}

/// What a fit by gradients found.
#[derive(Debug)]
pub struct Fitted {
    /// Where it ended, to go on from.
    pub state: State,
    /// How.
    pub ended: Ended,
    /// The parameters that were chosen: the best by the held-out score, or the last. Free coordinates.
    pub params: Vec<Vec<f64>>,
    /// The objective of all rows there.
    pub score: Score,
    /// Of the rows held out.
    pub held: Option<Score>,
    /// Rows held out.
    pub held_rows: usize,
    /// The derivation and its programs.
    pub problem: Problem,
}

/// Fits a derivation to rows.
///
/// # Errors
/// Objectives that the model lacks, terms that cannot be computed over a batch, a start that is not finite.
pub fn fit(
    graph: &ModelGraph,
    guided: Guided,
    sizes: &BTreeMap<lvmc_term::DimId, usize>,
    data: &Data,
    settings: &Settings,
    from: Option<State>,
    make: Make<'_>,
    native: Option<Native<'_>>,
    watch: Watch<'_>,
) -> Result<Fitted, GradientError> {
    let aim = match settings.aim {
        Aim::Elbo => guided::Aim::Bound,
        Aim::Importance { draws } => guided::Aim::Importance { draws },
        Aim::Beta { .. } => guided::Aim::Weighted,
        Aim::Simple => guided::Aim::Simple,
    };
    let problem = Problem::new(graph, guided, sizes, aim, settings.draws, data.weights.is_some())?;
    let (rows, held) = split(data.rows, settings);
    let mut bound = Scorer::new(graph, &problem, settings, make, SCORED.min(data.rows.max(1)))?;
    let capacity = match settings.optimiser {
        Optimiser::Lbfgs { .. } => SCORED,
        _ => settings.batch,
    }
    .min(rows.len())
    .max(1);
    let mut executor = make(
        problem.step.lowered.program.clone(),
        capacity,
        settings.precision,
        settings.seed,
    )?;
    if problem.guided.steps() && matches!(settings.optimiser, Optimiser::Lbfgs { .. }) {
        return Err(GradientError::Objective {
            what: "lbfgs walks along one function, and the gradient of a discrete latent of q is that of no function of fixed draws"
                .into(),
            help: "fit { optimizer = adam(lr = 1e-2) } averages over draws".into(),
        });
    }
    let mut refiner = match native {
        Some(native) => Refiner::new(graph, &problem, settings, make, native, rows.len())?,
        None => None,
    };
    let fresh = from.is_none();
    let begin = start::start(graph, &problem, settings.seed);
    let sizes = |params: &[Vec<f64>]| -> Vec<usize> { params.iter().map(Vec::len).collect() };
    if from.as_ref().is_some_and(|s| sizes(&s.params) != sizes(&begin)) {
        return Err(GradientError::Resume);
    }
    let mut state = from.unwrap_or_else(|| State {
        params: begin,
        factor: 1.0,
        ..State::default()
    });
    let mut trainer = Trainer::new(&problem.step, &mut *executor, data, &rows, settings);
    let mut score_held =
        |params: &[Vec<f64>]| (!held.is_empty()).then(|| bound.score(&problem, params, data, &held, 1).mean());
    let ended = match settings.optimiser {
        Optimiser::Lbfgs { memory } => lbfgs::run(&mut trainer, &mut state, memory, watch),
        _ => {
            let mut refine = |params: &mut Vec<Vec<f64>>, epoch: u64| match &mut refiner {
                Some(refiner) => refiner.update(params, data, &rows, epoch),
                None => Ok(()),
            };
            trainer.run(&mut state, watch, &mut score_held, &mut refine)?
        }
    };
    if ended == Ended::Diverged && fresh && state.step == 0 {
        if state.start.is_some() {
            let smallest = settings.rate * state.factor;
            return Err(GradientError::Diverges {
                rate: settings.rate,
                smallest,
                help: format!(
                    "begin smaller, as in optimizer = adam(lr = 1e-3), clip gradients (clip = 1), or standardise the columns; \
                     {:.0e} is still too large here",
                    smallest
                ),
            });
        }
        return Err(GradientError::Start {
            batch: capacity,
            help: "scale the columns (standardise them), or begin with a smaller learning rate: optimizer = adam(lr = 1e-4)"
                .into(),
        });
    }
    let params = if state.best_params.is_empty() {
        state.params.clone()
    } else {
        state.best_params.clone()
    };
    let repeats = bound.repeats();
    let score = bound.score(&problem, &params, data, &rows, repeats);
    let held_score = (!held.is_empty()).then(|| bound.score(&problem, &params, data, &held, repeats));
    Ok(Fitted {
        state,
        ended,
        params,
        score,
        held: held_score,
        held_rows: held.len(),
        problem,
    })
}

/// Rows to fit and rows to hold out.
#[must_use]
pub fn split(rows: usize, settings: &Settings) -> (Vec<u32>, Vec<u32>) {
    let mut all: Vec<u32> = (0..rows as u32).collect();
    let Some(share) = settings.holdout else {
        return (all, vec![]);
    };
    let mut rng = keyed(settings.seed, Purpose::Holdout, 0);
    shuffle(&mut rng, &mut all);
    let n = ((rows as f64 * share).round() as usize).clamp(1, rows.saturating_sub(1).max(1));
    let mut held = all.split_off(rows.saturating_sub(n));
    all.sort_unstable();
    held.sort_unstable();
    (all, held)
}
