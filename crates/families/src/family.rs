//! What a distribution states about itself; everything else is derived from it and tested against quadrature.

pub use lvmc_term::Array;
use lvmc_term::{Size, Store, Support, Term};

/// The event a family's density speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// One number. A vector value then means independent elements (`x : binary[D] ~ Bernoulli(p[z])`), parameters
    /// broadcast.
    Scalar,
    /// A whole vector (Dirichlet, Normal with a covariance).
    Vector,
    /// A whole matrix (InverseWishart).
    Matrix,
}

/// One argument of one way to write a family.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Its name, for `name=` and messages (`mean`, `var`, `sd`).
    pub name: &'static str,
    /// The rank of the argument for one event: 0 scalar, 1 vector, 2 matrix.
    pub rank: usize,
    /// What values it may take: the type a free name in that place is given (`Cov` for the rank-2 `var` of Normal).
    pub support: fn() -> Support,
}

/// One way to write a family: `Normal(mean, var)`, `Normal(mean, sd=…)`. Arguments are positional in this order where
/// `positional` is true; others must be named.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// The event this way of writing speaks of.
    pub event: Event,
    /// The arguments.
    pub args: &'static [Arg],
    /// How many leading arguments may be given by position.
    pub positional: usize,
}

/// A distribution. One small file each; the list is `registry::FAMILIES`.
///
/// `signature` arguments below are positions in `signatures()`; `args` are terms in the order of that signature.
pub trait Family: Sync + Send + std::fmt::Debug {
    /// As written in models: `Normal`.
    fn name(&self) -> &'static str;
    /// One line for the language reference and for messages.
    fn doc(&self) -> &'static str;
    /// The ways to write it; overloads on event (scalar and vector Normal) and on argument names.
    fn signatures(&self) -> &'static [Signature];
    /// The values it can produce, given its arguments.
    fn support(&self, store: &mut Store, signature: usize, args: &[Term]) -> Support;
    /// log p(x | args) of ONE event, as a term (a scalar). For scalar events of vector values the caller wraps
    /// `Total` around the elementwise term that this same function gives for vector `x` and broadcast arguments, so it
    /// must be written with elementwise operators there. Boundary conventions: `XLogY` for `y log λ` (0·(−∞) = 0).
    fn log_density(&self, store: &mut Store, signature: usize, x: Term, args: &[Term]) -> Term;
    /// How many values a finite-support family takes (Categorical(p): the length of p; Bernoulli: 2), else `None`.
    fn finite_support(&self, _store: &Store, _signature: usize, _args: &[Term]) -> Option<Size> {
        None
    }
    /// The largest count that has mass, where there is one (`Binomial(n, p)`: n).
    fn largest(&self, _signature: usize, _args: &[Term]) -> Option<Term> {
        None
    }
    /// E[x | args] as a term, where it has one in closed form: for `predict` and for moment tests.
    fn mean(&self, _store: &mut Store, _signature: usize, _args: &[Term]) -> Option<Term> {
        None
    }
    /// Mean and covariance, where the distribution is Gaussian: a variance for a number, a matrix for a vector.
    fn gaussian(&self, _store: &mut Store, _signature: usize, _args: &[Term]) -> Option<(Term, Term)> {
        None
    }
    /// Where the elements of a vector event are independent given the arguments: the signature of one element, and the
    /// arguments of all of them as vectors (`Normal(m, diag(v))` is D numbers). Any part of such a vector has the
    /// density of its elements, so that missing ones drop out.
    fn elements(&self, _store: &mut Store, _signature: usize, _args: &[Term]) -> Option<(usize, Vec<Term>)> {
        None
    }
    /// Var[x | args] as a term of the mean's shape (a vector's variances), where it has one in closed form.
    fn variance(&self, _store: &mut Store, _signature: usize, _args: &[Term]) -> Option<Term> {
        None
    }
    /// Sufficient statistics T(x) as terms, natural parameters η and log-normaliser A(η-arguments), where it is an
    /// exponential family: log p = Σ η·T − A + h(x). Tested: ∇A = E[T].
    fn exponential(&self, _store: &mut Store, _signature: usize, _x: Term, _args: &[Term]) -> Option<Exponential> {
        None
    }
    /// The noise that a draw of one event is a function of ([`Family::draw_from`]), if it is one: arrays of the event's
    /// shape, none for a point. Elements of an array have noise of their own.
    fn noise(&self, _signature: usize) -> Option<&'static [Noise]> {
        None
    }
    /// x as a function of its arguments and of noise: x = g(args, ε) has the density of the family. On a continuous support
    /// g is smooth in the arguments, so that gradients pass through a draw; on a discrete one it steps.
    fn draw_from(&self, _store: &mut Store, _signature: usize, _args: &[Term], _noise: &[Term]) -> Option<Term> {
        None
    }
    /// True where the density integrates to one; an improper distribution has no draws (`sample` gives NaN).
    fn is_proper(&self) -> bool {
        true
    }
    /// Draws one event. `args` are evaluated; `len` is the event's length for vector events. Category codes are 0-based.
    fn sample(&self, rng: &mut dyn rand::Rng, signature: usize, args: &[Array]) -> Array;
}

/// What a draw is a function of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noise {
    /// Normal(0, 1).
    Normal,
    /// Uniform on (0, 1).
    Uniform,
}

/// An exponential-family form: log p(x) = Σᵢ ηᵢ·Tᵢ(x) − A + log h(x).
#[derive(Debug, Clone)]
pub struct Exponential {
    /// Natural parameters, functions of the arguments.
    pub natural: Vec<Term>,
    /// Sufficient statistics, functions of x, matching `natural` in shape.
    pub statistics: Vec<Term>,
    /// The log-normaliser A as a function of the arguments.
    pub log_normaliser: Term,
    /// log h(x).
    pub log_base: Term,
}
