//! Models with a guide or with nets: the evidence lower bound as one term of a row, for gradients.
//!
//! log p(x) ≥ E_q[log p(x, z) − log q(z | x)]. Each expectation is taken by the first rule that applies, from the last
//! factor of the guide to its first: a sum over the values of a finite latent (`enumeration`), moments where the term is
//! linear or quadratic in a Gaussian one (`gaussian-expectation`) or linear in the statistics of another one
//! (`exponential-family`), its point (`point`), and else one draw written as a function of noise: smooth on a continuous
//! support (`reparametrisation`), so that gradients pass through it, and with the score of q beside it on a discrete one
//! (`score-function`). What is left has parameters, data and noise; its gradient is a term too.

mod average;
mod build;
pub mod exact;
mod expect;
mod free;
pub(crate) mod gaps;
pub mod noising;
mod objective;
mod order;
mod score;
mod statistics;

use crate::plan::{Mask, Plan};
use lvmc_base::Span;
use lvmc_model::graph::ModelGraph;
use lvmc_term::{IxId, Size, Store, SymId, Term};

pub use build::{derive, derive_with};
pub use free::{Free, Positions, coordinate};
pub use noising::Noising;

/// What the objective is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The log-likelihood: nothing is latent.
    LogLikelihood,
    /// The evidence lower bound, or one draw of it.
    Elbo,
    /// log p(x | z) at a point of z: there is no bound on the evidence.
    Point,
}

/// How an expectation was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// There was nothing to average.
    Plain,
    /// The latent is a point.
    Point,
    /// A sum over the values of a finite latent.
    Enumerated,
    /// Moments of a Gaussian.
    Moments,
    /// Sufficient statistics, mean and variance of another distribution.
    Statistics,
    /// One draw, a function of noise.
    Drawn,
    /// One draw that steps, with the score of q for its gradient.
    Scored,
}

impl Taken {
    /// The rule's name.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Point => "point",
            Self::Enumerated => "enumeration",
            Self::Moments => "gaussian-expectation",
            Self::Statistics => "exponential-family",
            Self::Drawn => "reparametrisation",
            Self::Scored => "score-function",
        }
    }
}

/// One statement's part of the bound.
#[derive(Debug, Clone)]
pub struct BoundTerm {
    /// The variable it is the density of.
    pub of: SymId,
    /// A factor of q, which is subtracted.
    pub guide: bool,
    /// log density as written.
    pub written: Term,
    /// Its expectation under q, nets not written out.
    pub expected: Term,
    /// How, the least exact of its parts.
    pub taken: Taken,
    /// What is 0 but for its gradient, that of the draws' distribution; none where every draw is smooth.
    pub surrogate: Option<Term>,
    /// What of it depends on each latent with a score, drawn.
    pub signals: Vec<(SymId, Term)>,
}

/// The score of a latent that gradients do not pass through: ∇ E_q[f] = E_q[∇f + (f − c) ∇ log q].
#[derive(Debug, Clone, Copy)]
pub struct Score {
    /// log q of the latent, of the latents before it, and of it.
    pub log_q: Term,
    /// log q less itself fixed: 0 with the gradient of log q, everything drawn.
    pub change: Term,
    /// c, the mean of f over other draws.
    pub baseline: SymId,
}

/// The distribution of noise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Random {
    /// Normal(0, 1).
    Normal,
    /// Uniform on (0, 1).
    Uniform,
    /// A step of a chain of n positions: one of 0 … n − 2, equally likely.
    Step(Size),
}

/// Noise that a draw is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The symbol.
    pub sym: SymId,
    /// Its distribution.
    pub random: Random,
}

/// What is maximised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aim {
    /// The bound (or what there is in its place).
    #[default]
    Bound,
    /// The bound of several weighted draws.
    Importance {
        /// Draws.
        draws: usize,
    },
    /// The bound with its divergence times a number that the caller sets.
    Weighted,
    /// The unweighted squared error of what the net of a noising chain predicts.
    Simple,
}

/// A latent and its factor of q.
#[derive(Debug, Clone)]
pub struct Latent {
    /// The variable.
    pub sym: SymId,
    /// A draw (or the point), a function of data, noise, and latents before it.
    pub draw: Term,
    /// Mean and variance of q, given the latents before it; none where q has none in closed form.
    pub moments: Option<(Term, Option<Term>)>,
    /// One of that many values.
    pub finite: Option<(Size, IxId)>,
    /// q of the value that the index names, where it is finite.
    pub mass: Option<Term>,
    /// Has a density: counts in importance weights. An auxiliary variable of the guide has none.
    pub auxiliary: bool,
    /// It is a point.
    pub point: bool,
    /// It is discrete and drawn.
    pub score: Option<Score>,
    /// Its statement.
    pub span: Span,
}

/// A finite latent that the guide leaves out: it is summed out of the joint, log Σₖ p(…, k).
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// The variable.
    pub sym: SymId,
    /// Its values.
    pub size: Size,
    /// Their probabilities, given the data and the latents of the guide; none where another one is summed out after it.
    pub posterior: Option<Term>,
    /// Its statement.
    pub span: Span,
}

/// A column of the model of the exact updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its symbol there.
    pub sym: SymId,
    /// What it holds: a term of a row, latents at their draws.
    pub term: Term,
    /// The same of the latents.
    pub written: Term,
}

/// A constant of the model of the exact updates: a term of parameters that take gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// Its symbol there.
    pub sym: SymId,
    /// What it is.
    pub term: Term,
    /// It is Lᵀ of the term L Lᵀ.
    pub rooted: bool,
}

/// Parameters that are maximised in closed form between the gradient steps of the others.
#[derive(Debug, Clone)]
pub struct Exact {
    /// The model of the bound's terms that they stand in.
    pub graph: ModelGraph,
    /// Its plan.
    pub plan: Plan,
    /// The parameters.
    pub params: Vec<SymId>,
    /// Columns that its rows have besides the data's.
    pub rows: Vec<Row>,
    /// Constants.
    pub fixed: Vec<Fixed>,
}

/// The derivation of a model that is fitted by gradients.
#[derive(Debug, Clone)]
pub struct Guided {
    /// Terms (the graph's store, grown).
    pub store: Store,
    /// What the objective is.
    pub objective: Objective,
    /// Its parts.
    pub terms: Vec<BoundTerm>,
    /// The log prior density of the parameters, once; nets not written out.
    pub prior: Vec<Term>,
    /// Latents, in the order in which q draws them.
    pub latents: Vec<Latent>,
    /// Finite latents that are summed out exactly.
    pub left_out: Vec<LeftOut>,
    /// Noise of the draws.
    pub noise: Vec<Source>,
    /// log p(x, z) − log q(z | x) of the draw, where that is what the objective averages.
    pub weight: Option<Term>,
    /// Parameters that the objective has, nets' weights among them.
    pub params: Vec<SymId>,
    /// Data variables with missing cells. The guide reads the mean of a column where its cell is missing.
    pub masks: Vec<Mask>,
    /// Covariances that draws are made with, and the symbols of their roots L, S = L Lᵀ.
    pub roots: Vec<(SymId, SymId)>,
    /// The guide is a fixed chain away from the data.
    pub noising: Option<Noising>,
    /// Parameters that take no gradients.
    pub exact: Option<Exact>,
}

/// A row's objective, written out for lowering.
#[derive(Debug, Clone)]
pub struct Written {
    /// Of a row.
    pub row: Term,
    /// Once.
    pub prior: Term,
    /// Free coordinates of the parameters.
    pub free: Vec<Free>,
    /// Constants that they use.
    pub positions: Vec<Positions>,
    /// Noise of the draws and of the nets.
    pub noise: Vec<Source>,
    /// The divergence's weight, held once, where the aim has one.
    pub beta: Option<SymId>,
}

/// True where a model is fitted by gradients: it has a guide or a net.
#[must_use]
pub fn needs_gradients(graph: &ModelGraph) -> bool {
    graph.guide.is_some() || !graph.nets.is_empty()
}
