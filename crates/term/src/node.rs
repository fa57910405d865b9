//! The nodes of the algebra.

use crate::shape::{Shape, Size};
use lvmc_base::id;
use std::sync::Arc;

id!(
    /// A term: equal ids are equal terms (of one [`crate::Store`]).
    Term
);
id!(
    /// A leaf symbol: a variable of the model or a quantity that a derivation introduces.
    SymId
);
id!(
    /// A bound index, such as `k` in `Σₖ`.
    IxId
);

/// A finite f64 as a hashable constant (`-0.0` is stored as `0.0`; infinities are allowed, NaN is not).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Num(u64);

impl Num {
    /// Wraps a number.
    #[must_use]
    pub fn new(x: f64) -> Self {
        Self((if x == 0.0 { 0.0 } else { x }).to_bits())
    }
    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// What a symbol stands for. Only `Data`, `Given`, `Latent`, `Noise` and `Stat` may vary by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SymKind {
    /// A point estimate, the same for every row.
    Param,
    /// A constant of the model, set with `--set` or computed from sizes.
    Const,
    /// An observed variable with a distribution.
    Data,
    /// A covariate.
    Given,
    /// An unobserved variable with a posterior.
    Latent,
    /// An auxiliary variable of a guide.
    Noise,
    /// A quantity introduced by a derivation (an abbreviation such as `n_k`, a centre, a table).
    Aux,
}

impl SymKind {
    /// Its place among symbols in a formula: data before latents before parameters before constants.
    pub(crate) fn place(self) -> u8 {
        match self {
            SymKind::Data => 0,
            SymKind::Given => 1,
            SymKind::Latent => 2,
            SymKind::Noise => 3,
            SymKind::Param | SymKind::Aux => 4,
            SymKind::Const => 5,
        }
    }
}

/// A leaf symbol's facts. The shape is family sizes first, then the type's own: `mu[K] : real[D]` is `[K, D]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sym {
    /// As the user wrote it; printers turn `mu` into μ.
    pub name: String,
    /// What it stands for.
    pub kind: SymKind,
    /// Family sizes first, then the type's own sizes.
    pub shape: Shape,
    /// How many leading entries of `shape` are family indices.
    pub family: usize,
    /// It has one value per row (otherwise one for the whole data set, or one per group).
    pub per_row: bool,
    /// Which values it may take.
    pub support: Support,
}

/// Supports: constraints on values, shared by types, parameters and distributions. They speak of one element of an
/// array (`positive[D]` is D positive numbers), but for `Simplex`, `Ordered`, `Cov` and `Corr`, which bind the whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Support {
    /// ℝ.
    Real,
    /// (0, ∞).
    Positive,
    /// [0, ∞): the closure a Poisson rate or a variance may reach.
    NonNegative,
    /// [0, 1].
    Unit,
    /// ℤ.
    Int,
    /// 0, 1, 2, ….
    Count,
    /// 0 or 1.
    Binary,
    /// A category of that many values; stored as 0-based codes, written from 1.
    Category(Size),
    /// Non-negative, sums to 1.
    Simplex,
    /// Increasing.
    Ordered,
    /// Symmetric positive definite.
    Cov,
    /// A correlation matrix.
    Corr,
}

/// Elementwise functions of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Fun {
    Log,
    Exp,
    Log1p,
    Sqrt,
    Abs,
    Sign,
    Floor,
    /// ln Γ.
    Lgamma,
    /// ψ = (ln Γ)′.
    Digamma,
    /// ψ′.
    Trigamma,
    /// ψ″.
    Tetragamma,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// log(1 + eˣ).
    Softplus,
    Tanh,
    Sin,
    Cos,
    /// max(x, 0).
    Relu,
    /// The standard normal distribution function (for gelu and probit).
    NormalCdf,
    /// 1 where the argument is not 0, otherwise 0.
    Not,
}

/// Comparisons; the value is 1 or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Cmp {
    Lt,
    Le,
    Eq,
}

/// Draws as functions of parameters and noise, element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Draw {
    /// log F⁻¹(Φ(ε); a) of a shape a and a standard normal ε, F the distribution function of Gamma(a, 1): the log of a draw.
    LogGamma,
    /// The derivative in a of such a log l, of (a, l): −∂F/∂a / (z p(z)) at z = eˡ.
    LogGammaSlope,
    /// Of a rate and a uniform number. It steps: its derivative is 0.
    Poisson,
    /// Of trials, a probability, and a uniform number. It steps too.
    Binomial,
}

/// In the map of a [`Node::Pick`]: no element, but 0.
pub const NOWHERE: u32 = u32::MAX;

/// One node. Elementwise operators broadcast scalars, and nothing else: operands have equal shapes or are scalars.
/// Constructors on [`crate::Store`] check shapes and rewrite as they build, so that equal terms get equal ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A number.
    Num(Num),
    /// A size as a number: the D of `D log s`.
    Size(Size),
    /// A leaf symbol as a whole (a family is its stacked array).
    Sym(SymId),
    /// A bound index's value, 0-based.
    Ix(IxId),
    /// `base[i, j]`: leading axes of `base` picked by scalar, 0-based, integer-valued terms.
    At(Term, Box<[Term]>),
    /// `base[a..b]` along the first axis, 0-based, both ends included; its length is the size given.
    Slice(Term, Term, Size),
    /// Elementwise sum of two or more.
    Add(Box<[Term]>),
    /// Elementwise product of two or more.
    Mul(Box<[Term]>),
    /// Elementwise power.
    Pow(Term, Term),
    /// Elementwise function.
    Fun(Fun, Term),
    /// A draw, elementwise.
    Draw(Draw, Box<[Term]>),
    /// Equal to its argument, with derivative 0.
    Fixed(Term),
    /// `y · log x` with `0 · (−∞) = 0`: what densities need at the boundary of a parameter.
    XLogY(Term, Term),
    /// Elementwise comparison, 1 or 0.
    Cmp(Cmp, Term, Term),
    /// `if c then a else b`, elementwise; the branch not taken is not evaluated (it may be infinite).
    Select(Term, Term, Term),
    /// Sum of all elements.
    Total(Term),
    /// Product of all elements.
    Product(Term),
    /// Inner product of two vectors.
    Dot(Term, Term),
    /// Matrix times vector.
    MatVec(Term, Term),
    /// Matrix times matrix.
    MatMul(Term, Term),
    /// u vᵀ.
    Outer(Term, Term),
    /// Aᵀ.
    Transpose(Term),
    /// The diagonal matrix of a vector.
    Diag(Term),
    /// The diagonal of a matrix.
    DiagOf(Term),
    /// The identity matrix of that size.
    Eye(Size),
    /// A scalar repeated into that shape.
    Fill(Term, Shape),
    /// A⁻¹ of a symmetric positive definite matrix (of a scalar: use `Pow(·, −1)`).
    Inv(Term),
    /// log |A| of a symmetric positive definite matrix.
    LogDet(Term),
    /// vᵀ S⁻¹ v for a covariance S and a vector v.
    Quad(Term, Term),
    /// tr A.
    Trace(Term),
    /// Scalars and vectors laid end to end into a vector; or equal-length vectors into the rows of a matrix when
    /// `rows` is true.
    Stack {
        /// Rows of a matrix, rather than parts of a vector.
        rows: bool,
        /// The parts.
        parts: Box<[Term]>,
    },
    /// The same numbers in row-major order, in another shape.
    Reshape(Term, Shape),
    /// Elements picked by position: `out[j] = of[map[j]]`, both in row-major order; [`NOWHERE`] gives 0. Patches of
    /// an image, a channel's bias at every pixel, another order of axes.
    Pick {
        /// From.
        of: Term,
        /// One position of `of` for each element of the result.
        map: Arc<[u32]>,
        /// Shape of the result.
        shape: Shape,
    },
    /// The transpose of a pick: `out[map[j]] += of[j]`, both in row-major order, of an `out` of zeros; [`NOWHERE`] is left
    /// out.
    Unpick {
        /// From.
        of: Term,
        /// One position of the result for each element of `of`.
        map: Arc<[u32]>,
        /// Shape of the result.
        shape: Shape,
    },
    /// log Σ exp of a vector.
    LogSumExp(Term),
    /// Softmax of a vector.
    Softmax(Term),
    /// Output `output` of a net applied to arguments; opaque here.
    Net {
        /// The net's position in the graph's table.
        net: u32,
        /// Which output.
        output: u32,
        /// Inputs.
        args: Box<[Term]>,
        /// Shape of the output.
        shape: Shape,
    },
    /// Σₙ over the rows, each counted with its weight.
    RowSum(Term),
    /// Σ over a bound index.
    IxSum(IxId, Term),
    /// The posterior probability of a row's finite latents taking those values: r_{nk}.
    Resp(Box<[(SymId, Term)]>),
    /// An opaque grouping: equal to its argument, but never expanded through.
    Hold(Term),
}
