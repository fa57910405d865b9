//! The predefined functions: one row each.

use lvmc_term::{Fun, Support};

/// How the shape of the result follows from the arguments'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shapes {
    /// A number, whatever goes in; two arguments have equal shapes.
    Scalar,
    /// That of the first argument.
    Same,
    /// Arguments of equal shape, or scalars.
    Elementwise,
    /// Lengths add up.
    Concat,
    /// Axes reversed.
    Transpose,
    /// Vector to matrix, matrix to vector.
    Diag,
    /// u vᵀ.
    Outer,
}

/// What a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// Elementwise, one node.
    Fun(Fun),
    Logit,
    Square,
    Softmax,
    LogSumExp,
    Dot,
    Sum,
    Mean,
    Prod,
    Max,
    Min,
    Pow,
    Concat,
    Inv,
    LogDet,
    Trace,
    Transpose,
    Diag,
    Outer,
}

/// One predefined function.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub name: &'static str,
    pub arity: (usize, usize),
    /// Rank of the arguments where only one will do.
    pub rank: Option<usize>,
    pub shapes: Shapes,
    pub op: Op,
    /// What it gives, where that is always so.
    pub gives: Option<Support>,
}

const fn elementwise(name: &'static str, f: Fun, gives: Option<Support>) -> Function {
    Function {
        name,
        arity: (1, 1),
        rank: None,
        shapes: Shapes::Same,
        op: Op::Fun(f),
        gives,
    }
}

const fn row(name: &'static str, arity: (usize, usize), rank: Option<usize>, shapes: Shapes, op: Op) -> Function {
    Function {
        name,
        arity,
        rank,
        shapes,
        op,
        gives: None,
    }
}

const MANY: usize = 10_000;

/// All of them.
pub(crate) const FUNCTIONS: &[Function] = &[
    elementwise("exp", Fun::Exp, Some(Support::Positive)),
    elementwise("log", Fun::Log, None),
    elementwise("log1p", Fun::Log1p, None),
    elementwise("sqrt", Fun::Sqrt, None),
    elementwise("abs", Fun::Abs, Some(Support::NonNegative)),
    elementwise("floor", Fun::Floor, None),
    elementwise("sigmoid", Fun::Sigmoid, Some(Support::Unit)),
    elementwise("softplus", Fun::Softplus, Some(Support::Positive)),
    elementwise("tanh", Fun::Tanh, None),
    elementwise("sin", Fun::Sin, None),
    elementwise("cos", Fun::Cos, None),
    elementwise("relu", Fun::Relu, Some(Support::NonNegative)),
    elementwise("lgamma", Fun::Lgamma, None),
    elementwise("digamma", Fun::Digamma, None),
    elementwise("normal_cdf", Fun::NormalCdf, Some(Support::Unit)),
    row("logit", (1, 1), None, Shapes::Same, Op::Logit),
    row("square", (1, 1), None, Shapes::Same, Op::Square),
    Function {
        name: "softmax",
        arity: (1, 1),
        rank: Some(1),
        shapes: Shapes::Same,
        op: Op::Softmax,
        gives: Some(Support::Simplex),
    },
    row("logsumexp", (1, 1), Some(1), Shapes::Scalar, Op::LogSumExp),
    row("dot", (2, 2), Some(1), Shapes::Scalar, Op::Dot),
    row("sum", (1, 1), None, Shapes::Scalar, Op::Sum),
    row("mean", (1, 1), None, Shapes::Scalar, Op::Mean),
    row("prod", (1, 1), None, Shapes::Scalar, Op::Prod),
    row("max", (2, 2), None, Shapes::Elementwise, Op::Max),
    row("min", (2, 2), None, Shapes::Elementwise, Op::Min),
    row("pow", (2, 2), None, Shapes::Elementwise, Op::Pow),
    row("concat", (1, MANY), None, Shapes::Concat, Op::Concat),
    row("inv", (1, 1), Some(2), Shapes::Same, Op::Inv),
    row("logdet", (1, 1), Some(2), Shapes::Scalar, Op::LogDet),
    row("trace", (1, 1), Some(2), Shapes::Scalar, Op::Trace),
    row("transpose", (1, 1), Some(2), Shapes::Transpose, Op::Transpose),
    row("diag", (1, 1), None, Shapes::Diag, Op::Diag),
    row("outer", (2, 2), Some(1), Shapes::Outer, Op::Outer),
];

/// Functions of nets' bodies only.
pub(crate) const NET_FUNCTIONS: [&str; 14] = [
    "dense",
    "silu",
    "gelu",
    "identity",
    "layernorm",
    "sinusoidal",
    "dropout",
    "residual",
    "embed",
    "embedding",
    "conv2d",
    "conv_transpose2d",
    "flatten",
    "reshape",
];

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name)
}
