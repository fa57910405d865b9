//! Elementwise functions of numbers.

use crate::node::Fun;

/// f(x) of one number.
pub(crate) fn apply(f: Fun, x: f64) -> f64 {
    match f {
        Fun::Log => x.ln(),
        Fun::Exp => x.exp(),
        Fun::Log1p => x.ln_1p(),
        Fun::Sqrt => x.sqrt(),
        Fun::Abs => x.abs(),
        Fun::Sign => f64::from(i8::from(x > 0.0) - i8::from(x < 0.0)),
        Fun::Floor => x.floor(),
        Fun::Lgamma => lvmc_kernels::special::lgamma(x),
        Fun::Digamma => lvmc_kernels::special::digamma(x),
        Fun::Trigamma => lvmc_kernels::special::trigamma(x),
        Fun::Tetragamma => lvmc_kernels::special::tetragamma(x),
        Fun::Sigmoid => {
            if x >= 0.0 {
                1.0 / (1.0 + (-x).exp())
            } else {
                x.exp() / (1.0 + x.exp())
            }
        }
        Fun::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Fun::Tanh => x.tanh(),
        Fun::Sin => x.sin(),
        Fun::Cos => x.cos(),
        Fun::Relu => x.max(0.0),
        Fun::NormalCdf => lvmc_kernels::special::normal_cdf(x),
        Fun::Not => f64::from(u8::from(x == 0.0)),
    }
}
