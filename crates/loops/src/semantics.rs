//! What every scalar operation means, in one place: constant folding, the interpreter and the run-time helpers of the
//! compiled code all call these. The definitions themselves are those of the block kernels.

use lvmc_kernels::block::{self, Binary, Ternary, Unary};

use crate::ir::{Bin, Un};

/// The kernels' name for an operation of one operand.
#[must_use]
pub fn unary(op: Un) -> Unary {
    match op {
        Un::Neg => Unary::Neg,
        Un::Abs => Unary::Abs,
        Un::Sqrt => Unary::Sqrt,
        Un::Floor => Unary::Floor,
        Un::Exp => Unary::Exp,
        Un::Log => Unary::Log,
        Un::Log1p => Unary::Log1p,
        Un::Lgamma => Unary::Lgamma,
        Un::Digamma => Unary::Digamma,
        Un::Trigamma => Unary::Trigamma,
        Un::Tetragamma => Unary::Tetragamma,
        Un::Sigmoid => Unary::Sigmoid,
        Un::Softplus => Unary::Softplus,
        Un::Tanh => Unary::Tanh,
        Un::Sin => Unary::Sin,
        Un::Cos => Unary::Cos,
        Un::NormalCdf => Unary::NormalCdf,
        Un::Sign => Unary::Sign,
    }
}

/// The kernels' name for an operation of two operands.
#[must_use]
pub fn binary(op: Bin) -> Binary {
    match op {
        Bin::Add => Binary::Add,
        Bin::Sub => Binary::Sub,
        Bin::Mul => Binary::Mul,
        Bin::Div => Binary::Div,
        Bin::Min => Binary::Min,
        Bin::Max => Binary::Max,
        Bin::Pow => Binary::Pow,
        Bin::Lt => Binary::Lt,
        Bin::Le => Binary::Le,
        Bin::Eq => Binary::Eq,
    }
}

/// The value of an operation of one operand.
#[must_use]
pub fn un(op: Un, x: f64) -> f64 {
    block::unary(unary(op), x)
}

/// The value of an operation of two operands. `NaN` from either stays in `Min` and `Max`; comparisons with it give 0.
#[must_use]
pub fn bin(op: Bin, a: f64, b: f64) -> f64 {
    block::binary(binary(op), a, b)
}

/// `c != 0 ? a : b`; a `NaN` condition is not 0.
#[must_use]
pub fn select(c: f64, a: f64, b: f64) -> f64 {
    block::ternary(Ternary::Select, c, a, b)
}

/// `clamp(round(x), 0, extent − 1)`, halves up; 0 for `NaN`.
#[must_use]
pub fn index_of(x: f64, extent: usize) -> usize {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, and sends NaN to 0
    let index = (x + 0.5) as usize;
    index.min(extent.saturating_sub(1))
}
