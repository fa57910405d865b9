//! What a derivation produces: the objects that are printed, certified and lowered.

use crate::chain::Lagged;
use lvmc_base::Span;
use lvmc_model::graph::When;
use lvmc_term::{IxId, Size, Store, SymId, Term};

/// A variable with finitely many values that the E-step sums over: a finite latent, or an observed or given category
/// that other statements refer to (its value is then evidence; a missing cell of a data variable is summed over).
#[derive(Debug, Clone)]
pub struct Finite {
    /// Its symbol.
    pub sym: SymId,
    /// The bound index that stands for its value in factor terms.
    pub ix: IxId,
    /// How many values.
    pub size: Size,
    /// The cells of the symbol are read as evidence where present.
    pub observed: bool,
    /// First value as the user counts: 1 for categories, 0 for binaries.
    pub first: i64,
    /// It is another finite variable's value of an earlier row.
    pub lag: Option<Lagged>,
}

/// One case of a row factor: what it is where some finite variables have given values.
#[derive(Debug, Clone)]
pub struct Case {
    /// (finite variable, value): holds there only.
    pub fixed: Vec<(usize, usize)>,
    /// (finite variable, value): does not hold there.
    pub excluded: Vec<(usize, usize)>,
    /// log density, with `Ix` of the finite variables of the scope that are not fixed.
    pub term: Term,
}

/// A factor of one row's joint density.
#[derive(Debug, Clone)]
pub struct RowFactor {
    /// Position of the statement in the graph's factors.
    pub factor: usize,
    /// Finite variables that it depends on, ascending.
    pub scope: Vec<usize>,
    /// Its cases: disjoint, and together all values of the scope.
    pub cases: Vec<Case>,
    /// In which rows of a chain it holds.
    pub when: When,
    /// The data symbol it is the density of, where its cell may be missing and the factor then drops out.
    pub value: SymId,
    /// Place of the statement.
    pub span: Span,
}

/// A prior: a factor of the global joint density.
#[derive(Debug, Clone)]
pub struct Prior {
    /// Position of the statement in the graph's factors.
    pub factor: usize,
    /// Indices it is summed over.
    pub ranges: Vec<IxId>,
    /// log density.
    pub term: Term,
    /// Place of the statement.
    pub span: Span,
}

/// What an iteration computes from the current parameters, before anything else reads it.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The symbol that stands for it: the ranges' axes, then its own.
    pub sym: SymId,
    /// Indices it is computed for.
    pub ranges: Vec<IxId>,
    /// What it is.
    pub value: Value,
    /// The symbol at its ranges.
    pub atom: Term,
    /// The rule that gave it.
    pub rule: &'static str,
    /// How far a latent spreads around its mean: 0 where the latent is known.
    pub spread: bool,
}

/// What a definition computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// The term, flat or of a row.
    Term(Term),
    /// A matrix R with Rᵀ R = Λ⁻¹ for a flat Λ: C⁻¹ of Λ = C Cᵀ.
    InverseRoot(Term),
    /// What the smoother of a Gaussian chain gives every row: see [`LinearGaussian`].
    Smoothed,
}

impl Value {
    /// The term it is computed from, where there is one.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        match *self {
            Self::Term(t) | Self::InverseRoot(t) => Some(t),
            Self::Smoothed => None,
        }
    }
}

/// A data variable with missing cells: which are observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    /// The variable.
    pub of: SymId,
    /// A row's symbol of the variable's shape, or a scalar where a row has all of it or none: 1 or 0.
    pub sym: SymId,
    /// The variable is a latent whose observed elements are known without noise: of a Gaussian chain, where its elements
    /// depend on each other.
    pub completed: bool,
}

/// Missing cells of a vector whose elements depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The variable.
    pub of: SymId,
    /// δ, a latent of its shape: how far a missing cell is from what is stored there, and standard normal noise without a
    /// part in anything where a cell is observed.
    pub sym: SymId,
    /// 1 where a cell is missing.
    pub open: Term,
    /// o, 1 where a cell is observed.
    pub mask: Term,
}

/// The posterior of a continuous latent, for those who ask: given the finite variables, and the definitions.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// The latent.
    pub sym: SymId,
    /// The rule that found it.
    pub rule: &'static str,
    /// E[z].
    pub mean: Term,
    /// E[z²], element by element.
    pub square: Term,
}

/// Factors of the data set as a whole: the global latents' part of the density.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// Priors of the global latents.
    pub complete: Vec<Prior>,
    /// What they add to the marginal density, at the posterior means.
    pub marginal: Vec<Prior>,
    /// Their expectation.
    pub expected: Vec<Prior>,
}

/// The posterior of a global latent, for those who ask.
#[derive(Debug, Clone)]
pub struct GroupPosterior {
    /// The latent.
    pub sym: SymId,
    /// The rule that found it.
    pub rule: &'static str,
    /// The given category that picks its members; `None` where it has none.
    pub code: Option<SymId>,
    /// The mean of a member: a definition, at its indices.
    pub mean: Term,
    /// The variance of a member, element by element: a definition, at its indices.
    pub variance: Term,
}

/// One step of variable elimination: sum `var` out of the product of everything that mentions it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clique {
    /// The finite variable summed out.
    pub var: usize,
    /// The others in the clique, ascending: the scope of the message.
    pub others: Vec<usize>,
    /// Row factors multiplied in here.
    pub factors: Vec<usize>,
    /// Earlier cliques whose messages are multiplied in here.
    pub children: Vec<usize>,
    /// The later clique that receives the message; `None` for a root.
    pub parent: Option<usize>,
    /// The chain to whose part of the posterior it belongs; `None` where it touches no chain.
    pub chain: Option<usize>,
}

/// The finite states of a chain over the rows, and what joins one row's to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The index as written.
    pub index: String,
    /// The state's variables, by their places among the finite ones.
    pub state: Vec<usize>,
    /// For each of them, the variable that holds its value one row before.
    pub previous: Vec<usize>,
    /// Factors over the chain's variables alone.
    pub factors: Vec<usize>,
    /// Factors in which other chains stand too: their expectation over q of the others is multiplied in (see
    /// [`crate::factorial`]).
    pub shared: Vec<usize>,
    /// Finite variables of a row alone that belong to its part of a q that is a product.
    pub beside: Vec<usize>,
    /// Cliques whose messages are multiplied in.
    pub children: Vec<usize>,
    /// From this position on every row has the same tables.
    pub regimes: usize,
    /// The 0/1 symbols of a row that say where statements hold.
    pub marks: Vec<(SymId, When)>,
}

/// A chain whose state is Gaussian: what a row's statements say of the latents that it knows.
///
/// The latents e that a row knows are those of earlier rows that it refers to, then its own. Given the rows up to its
/// own, e is Gaussian, and p(row | rows before) with it; the smoother gives its mean and a root of its covariance.
#[derive(Debug, Clone)]
pub struct LinearGaussian {
    /// The index as written.
    pub index: String,
    /// e in its parts, each after those that its statement refers to.
    pub parts: Vec<Part>,
    /// Statements of the latents in the order of `parts`, then the observations'.
    pub statements: Vec<Linear>,
    /// From this position on the same statements hold.
    pub regimes: usize,
    /// Loadings of observations are estimated: without a start nothing says which way the latents point.
    pub loadings: bool,
    /// Statements depend on finite latents: q is a product, of the finite latents' and the Gaussian ones' (see
    /// `posterior::structured`).
    pub mean_field: bool,
}

/// A latent that a row knows.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its symbol in the row.
    pub sym: SymId,
    /// It is an earlier row's.
    pub lagged: bool,
    /// The part of the next row that it becomes.
    pub next: Option<usize>,
    /// Its smoothed mean, a definition.
    pub mean: SymId,
    /// For each part up to this one, how far this one moves with that one's noise: ℓ_p in rows, definitions.
    pub moves: Vec<SymId>,
}

/// A statement x ~ Normal(Σ B z + c, S) of a row, affine in the latents z that it knows.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Position of the statement in the graph's factors.
    pub factor: usize,
    /// In which rows it holds.
    pub when: When,
    /// Finite variables on which it depends, ascending; their indices stand in the terms below.
    pub scope: Vec<usize>,
    /// (finite variable, value): holds there only.
    pub fixed: Vec<(usize, usize)>,
    /// (finite variable, value): does not hold there.
    pub excluded: Vec<(usize, usize)>,
    /// The part that it is the density of; `None` for an observation.
    pub of: Option<usize>,
    /// c for a part; x − c for an observation.
    pub offset: Term,
    /// B, by part.
    pub slopes: Vec<(usize, Term)>,
    /// S: a variance, a vector of variances, or a matrix.
    pub covariance: Term,
    /// Of an observation with missing cells: 1 where one is observed.
    pub mask: Option<SymId>,
}

/// How the maximising value of a block of parameters is found.
#[derive(Debug, Clone)]
pub enum Solution {
    /// `targets[i] = values[i]`, each a term over statistics (`RowSum` leaves), constants and other parameters.
    Explicit(Vec<Term>),
    /// β = H⁻¹ g: the targets laid end to end (a vector, or the columns of a matrix) solve a weighted least-squares
    /// problem.
    Linear {
        /// p×p.
        h: Term,
        /// p, or p×m for a matrix of coefficients (one column of the right side per output).
        g: Term,
        /// Width of each target in β, in order.
        widths: Vec<Size>,
    },
    /// The unknowns (elementwise, one independent problem per element) solve ∂f/∂θ = 0 for
    /// f = Σⱼ coefficientⱼ · functionⱼ(θ).
    Newton {
        /// (statistic, function of the unknowns).
        parts: Vec<(Term, Term)>,
    },
    /// A Newton step on Q at the current parameters, taken from one sweep: δ = H⁻¹ g with the negative Hessian H.
    Ascent {
        /// Rows' affine predictor η: a scalar or a vector.
        predictor: Term,
        /// The symbol that stands for η in `score` and `curvature`.
        eta: SymId,
        /// ∂η/∂target for a scalar predictor, one design term per target (a scalar or a vector). For a vector
        /// predictor the design of one element, the same for all, the targets' leading axis being the element.
        designs: Vec<Term>,
        /// ∂f/∂η, the posterior expectation written out: a row term of η's shape.
        score: Term,
        /// −∂²f/∂η∂ηᵀ: a row term, a scalar or a matrix.
        curvature: Term,
        /// Per target: gradient and negative diagonal Hessian of its prior, terms of the target's shape.
        priors: Vec<Option<(Term, Term)>>,
    },
    /// A step H⁻¹ g in free coordinates, H the sum of the rows' scores' outer products.
    Gradient {
        /// One entry per parameter.
        blocks: Vec<GradientBlock>,
    },
}

impl Solution {
    /// One step per sweep, rather than the maximum of Q: the runtime halves it until the objective does not fall.
    #[must_use]
    pub fn is_step(&self) -> bool {
        matches!(self, Solution::Ascent { .. } | Solution::Gradient { .. })
    }
}

/// A parameter that moves along its scores, element by element, in free coordinates: log θ (positive), logit θ (unit),
/// the logits of a softmax (simplex) or θ itself.
#[derive(Debug, Clone)]
pub struct GradientBlock {
    /// The parameter.
    pub sym: SymId,
    /// Indices of its axes.
    pub ranges: Vec<IxId>,
    /// The row's score of the element, the posterior expectation written out.
    pub score: Term,
    /// Gradient and negative curvature of the log prior at the element.
    pub prior: Option<(Term, Term)>,
}

/// An update of a block of parameters.
#[derive(Debug, Clone)]
pub struct Update {
    /// The unknowns: `Sym` or `At(Sym, indices)` with the indices of `ranges`.
    pub targets: Vec<Term>,
    /// Target indices: one independent problem for each of their values.
    pub ranges: Vec<IxId>,
    /// Name of the rule.
    pub rule: &'static str,
    /// The stationarity condition or the function that is maximised, as the rule states it.
    pub condition: Condition,
    /// The solution.
    pub solution: Solution,
    /// Parameters of other blocks that the solution mentions: blocks are then iterated.
    pub uses: Vec<SymId>,
}

/// What an update satisfies.
#[derive(Debug, Clone)]
pub enum Condition {
    /// Maximises the term under the support's constraint.
    Maximises(Term),
    /// The term is zero.
    Zero(Term),
}

/// What the objective is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectiveKind {
    /// The log-likelihood of the observed data: the bound is tight.
    LogLikelihood,
    /// Log-likelihood plus log prior.
    Penalised,
    /// A lower bound of the log-likelihood: q is a product.
    Bound {
        /// Plus log prior.
        penalised: bool,
    },
}

impl ObjectiveKind {
    /// It includes the log prior of the parameters.
    #[must_use]
    pub fn is_penalised(self) -> bool {
        matches!(self, Self::Penalised | Self::Bound { penalised: true })
    }

    /// It is a lower bound, not the log-likelihood.
    #[must_use]
    pub fn is_bound(self) -> bool {
        matches!(self, Self::Bound { .. })
    }
}

impl Plan {
    /// The factorisation of q where it is a product: `q(z) q(s)`; `None` where the posterior is exact.
    #[must_use]
    pub fn factorisation(&self) -> Option<String> {
        if !self.objective.is_bound() {
            return None;
        }
        let name = |x: SymId| self.store.sym(x).name.as_str();
        let Some(chain) = &self.gaussian_chain else {
            let parts = (0..self.chains.len()).map(|c| format!("q({})", self.hidden_of(c).join(",")));
            return Some(parts.collect::<Vec<_>>().join(" "));
        };
        let finite = self.finite.iter().filter(|f| f.lag.is_none() && !f.observed);
        let finite: Vec<&str> = finite.map(|f| name(f.sym)).collect();
        let own: Vec<&str> = chain.parts.iter().filter(|p| !p.lagged).map(|p| name(p.sym)).collect();
        Some(format!("q({}) q({})", finite.join(","), own.join(",")))
    }

    /// The hidden variables of a chain's part of the posterior.
    #[must_use]
    pub fn hidden_of(&self, chain: usize) -> Vec<&str> {
        let chain = &self.chains[chain];
        let own = chain.state.iter().chain(&chain.beside).copied();
        let hidden = |v: &usize| {
            let f = &self.finite[*v];
            f.lag.is_none() && self.store.sym(f.sym).kind == lvmc_term::SymKind::Latent
        };
        own.filter(hidden)
            .map(|v| self.store.sym(self.finite[v].sym).name.as_str())
            .collect()
    }

    /// The place among the chains of the one to whose part of the posterior a finite variable belongs.
    #[must_use]
    pub fn chain_with(&self, v: usize) -> Option<usize> {
        let own = |c: &Chain| c.axes().contains(&v) || c.beside.contains(&v);
        self.chains.iter().position(own)
    }
}

/// One line of the derivation.
#[derive(Debug, Clone)]
pub struct Step {
    /// The section it belongs to.
    pub section: Section,
    /// What is defined, as printed on the left of `=` (empty for a bare statement).
    pub left: Left,
    /// The right side.
    pub right: Term,
    /// The rule that gave the line.
    pub rule: &'static str,
    /// What the right side satisfies.
    pub condition: Option<Condition>,
    /// Side conditions, in words.
    pub remark: String,
}

/// Sections of a derivation, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// log p of one row.
    Joint,
    /// log p(θ).
    Prior,
    /// Complete-data log-likelihood.
    Complete,
    /// The posterior of the finite variables.
    EStep,
    /// The expected complete-data log-likelihood Q.
    Expected,
    /// The bound.
    Elbo,
    /// Updates.
    MStep,
}

/// Left sides.
#[derive(Debug, Clone)]
pub enum Left {
    /// log p of those variables, of one row or of all.
    Density {
        /// The variables.
        of: Vec<SymId>,
        /// One row's.
        row: bool,
    },
    /// A word: `Q`, `H`.
    Word(&'static str),
    /// A term.
    Term(Term),
    /// Coefficients side by side, transposed: `[W, μ]ᵀ`.
    Beside(Vec<Term>),
}

/// The plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Terms (the graph's store, grown).
    pub store: Store,
    /// Finite variables of a row.
    pub finite: Vec<Finite>,
    /// Factors of a row's density as written, the continuous latents in them.
    pub complete: Vec<RowFactor>,
    /// Factors of a row's marginal density: the continuous latents integrated out.
    pub factors: Vec<RowFactor>,
    /// Factors of Q: the expectation of `complete` over the continuous latents, given the finite ones.
    pub expected: Vec<RowFactor>,
    /// What the posteriors of the continuous latents define, in the order of computation.
    pub definitions: Vec<Definition>,
    /// Posteriors of the continuous latents.
    pub posteriors: Vec<Posterior>,
    /// Posteriors of the global latents.
    pub group_posteriors: Vec<GroupPosterior>,
    /// Factors of the data set as a whole.
    pub shared: Shared,
    /// Data variables with missing cells.
    pub masks: Vec<Mask>,
    /// Those whose elements depend on each other.
    pub gaps: Vec<Gap>,
    /// E[x] and E[x²] of a variable with missing cells, as if none of its row's were observed.
    pub imputed: Vec<Posterior>,
    /// Latents that may be rotated with their loadings.
    pub rotations: Vec<crate::symmetry::Rotation>,
    /// Latents whose labels may be permuted.
    pub labels: Vec<crate::labels::Labels>,
    /// Priors on parameters.
    pub priors: Vec<Prior>,
    /// Variable elimination, in order; a chain's variables stay.
    pub cliques: Vec<Clique>,
    /// Chains of states, each a part of the posterior: one, or several whose q is a product.
    pub chains: Vec<Chain>,
    /// The chain of Gaussian states.
    pub gaussian_chain: Option<LinearGaussian>,
    /// Updates, in the order they run.
    pub updates: Vec<Update>,
    /// Parameters that no factor mentions (they keep their starting values).
    pub unused: Vec<SymId>,
    /// The objective.
    pub objective: ObjectiveKind,
    /// The derivation.
    pub steps: Vec<Step>,
    /// Remarks for `check`: which factor broke a closed form, and what edit restores it.
    pub remarks: Vec<Declined>,
}

/// Rules that declined a parameter before the one that took it.
#[derive(Debug, Clone)]
pub struct Declined {
    /// The parameter.
    pub param: SymId,
    /// (rule, why), in the order tried.
    pub reasons: Vec<(&'static str, String)>,
    /// The rule that took it, if any.
    pub taken: Option<&'static str>,
}
