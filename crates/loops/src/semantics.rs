//! What every scalar operation means, in one place: constant folding, the interpreter and the run-time helpers of the
//! compiled code all call these.

use crate::ir::{Bin, Un};

/// The value of an operation of one operand.
#[must_use]
pub fn un(op: Un, x: f64) -> f64 {
    match op {
        Un::Neg => -x,
        Un::Abs => x.abs(),
        Un::Sqrt => x.sqrt(),
        Un::Floor => x.floor(),
        Un::Exp => x.exp(),
        Un::Log => x.ln(),
        Un::Log1p => x.ln_1p(),
        Un::Lgamma => special::lgamma(x),
        Un::Digamma => special::digamma(x),
        Un::Trigamma => special::trigamma(x),
        Un::Tetragamma => special::tetragamma(x),
        Un::Sigmoid => special::sigmoid(x),
        Un::Softplus => special::softplus(x),
        Un::Tanh => x.tanh(),
        Un::Sin => x.sin(),
        Un::Cos => x.cos(),
        Un::NormalCdf => special::normal_cdf(x),
        Un::Sign => f64::from(i8::from(x > 0.0) - i8::from(x < 0.0)),
    }
}

/// The value of an operation of two operands. `Min` and `Max` give the second operand where the two do not compare, as
/// the machine's instructions do.
#[must_use]
pub fn bin(op: Bin, a: f64, b: f64) -> f64 {
    match op {
        Bin::Add => a + b,
        Bin::Sub => a - b,
        Bin::Mul => a * b,
        Bin::Div => a / b,
        Bin::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
        Bin::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
        Bin::Pow => a.powf(b),
        Bin::Lt => f64::from(a < b),
        Bin::Le => f64::from(a <= b),
        Bin::Eq => f64::from(a == b),
    }
}

/// `c != 0 ? a : b`; a `NaN` condition is not 0.
#[must_use]
pub fn select(c: f64, a: f64, b: f64) -> f64 {
    if c != 0.0 { a } else { b }
}

/// `clamp(round(x), 0, extent − 1)`, halves to even; 0 for `NaN`.
#[must_use]
pub fn index_of(x: f64, extent: usize) -> usize {
    let last = extent.saturating_sub(1);
    #[allow(clippy::cast_precision_loss)] // extents are sizes of buffers, far below 2^53
    let clamped = x.round_ties_even().max(0.0).min(last as f64);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 0..=last by the clamp
    let index = clamped as usize;
    index.min(last)
}

/// Stands in until `lvmc_kernels::special` is there.
mod special {
    pub fn lgamma(_: f64) -> f64 {
        f64::NAN
    }
    pub use lgamma as digamma;
    pub use lgamma as trigamma;
    pub use lgamma as tetragamma;
    pub use lgamma as normal_cdf;
    pub fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }
    pub fn softplus(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }
}
