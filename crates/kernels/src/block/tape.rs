//! Elementwise operations over n adjacent numbers, and ordered sums.

use super::math;
use super::simd::{LANES, Simd};
use crate::{counts, gamma, special};

/// Operations of one operand; as in the loop IR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    Abs,
    Sqrt,
    Floor,
    Exp,
    Log,
    Log1p,
    Lgamma,
    Digamma,
    Trigamma,
    Tetragamma,
    Sigmoid,
    Softplus,
    Tanh,
    Sin,
    Cos,
    NormalCdf,
    Sign,
}

/// Operations of two operands; comparisons give 1 or 0; as in the loop IR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Pow,
    Lt,
    Le,
    Eq,
    /// log F⁻¹(Φ(y); x), F of Gamma(x, 1).
    LogGamma,
    /// The derivative of that in x, where y is its value.
    LogGammaSlope,
    /// A draw of Poisson(x) from a uniform y.
    Poisson,
}

/// Operations of three operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ternary {
    /// a b + c
    Fma,
    /// a ≠ 0 ? b : c
    Select,
    /// A draw of Binomial(a, b) from a uniform c.
    Binomial,
}

/// Numbering: `op as usize`.
const UNARY: [Unary; 18] = [
    Unary::Neg,
    Unary::Abs,
    Unary::Sqrt,
    Unary::Floor,
    Unary::Exp,
    Unary::Log,
    Unary::Log1p,
    Unary::Lgamma,
    Unary::Digamma,
    Unary::Trigamma,
    Unary::Tetragamma,
    Unary::Sigmoid,
    Unary::Softplus,
    Unary::Tanh,
    Unary::Sin,
    Unary::Cos,
    Unary::NormalCdf,
    Unary::Sign,
];

/// Numbering: `op as usize`.
const BINARY: [Binary; 13] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Min,
    Binary::Max,
    Binary::Pow,
    Binary::Lt,
    Binary::Le,
    Binary::Eq,
    Binary::LogGamma,
    Binary::LogGammaSlope,
    Binary::Poisson,
];

/// `op` applied to two numbers, as the kernel does it (NaN from either operand stays in `Min` and `Max`).
#[must_use]
pub fn binary(op: Binary, x: f64, y: f64) -> f64 {
    match op {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div => x / y,
        Binary::Min if x.is_nan() || x < y => x,
        Binary::Max if x.is_nan() || x > y => x,
        Binary::Min | Binary::Max => y,
        Binary::Pow => x.powf(y),
        Binary::Lt => f64::from(x < y),
        Binary::Le => f64::from(x <= y),
        Binary::Eq => f64::from(x == y),
        Binary::LogGamma => gamma::log_quantile(x, y),
        Binary::LogGammaSlope => gamma::log_quantile_slope(x, y),
        Binary::Poisson => counts::poisson(x, y),
    }
}

/// `op` applied to three numbers; the product is fused.
#[must_use]
pub fn ternary(op: Ternary, a: f64, b: f64, c: f64) -> f64 {
    match op {
        Ternary::Fma => a.mul_add(b, c),
        Ternary::Select => {
            if a == 0.0 {
                c
            } else {
                b
            }
        }
        Ternary::Binomial => counts::binomial(a, b, c),
    }
}

/// `op` applied to one number, from the standard library and [`special`]: the kernel agrees to the last digits.
#[must_use]
pub fn unary(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sqrt => x.sqrt(),
        Unary::Floor => x.floor(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Lgamma => special::lgamma(x),
        Unary::Digamma => special::digamma(x),
        Unary::Trigamma => special::trigamma(x),
        Unary::Tetragamma => special::tetragamma(x),
        Unary::Sigmoid => special::sigmoid(x),
        Unary::Softplus => special::log1p_exp(x),
        Unary::Tanh => x.tanh(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::NormalCdf => special::normal_cdf(x),
        Unary::Sign => sign(x),
    }
}

/// −1, 0 or 1; NaN stays.
fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x * 0.0
    }
}

/// Vector by vector, the last one through a buffer: `map!(S, n, out, [operands], scalar, |v| expression)`, where v holds
/// a vector of each operand; those with their bit set in `scalar` are one number. A macro, as a closure would not be
/// inlined into the function that has the vector instructions.
///
/// Operands hold n numbers (or one) and `out` n; an operand may be `out`, but not overlap it otherwise.
macro_rules! map {
    ($s:ident, $n:expr, $out:expr, $from:expr, $scalar:expr, |$v:ident| $e:expr) => {{
        let (n, out, from, scalar): (usize, *mut f64, _, usize) = ($n, $out, $from, $scalar);
        let mut $v = from.map(|_| $s::set(0.0));
        for k in 0..from.len() {
            if scalar >> k & 1 != 0 {
                $v[k] = $s::set(*from[k]);
            }
        }
        let mut i = 0;
        while i + $s::W <= n {
            for k in 0..from.len() {
                if scalar >> k & 1 == 0 {
                    $v[k] = $s::load(from[k].add(i));
                }
            }
            $s::store(out.add(i), $e);
            i += $s::W;
        }
        if i < n {
            let mut buffer = [1.0; LANES];
            for k in 0..from.len() {
                if scalar >> k & 1 == 0 {
                    from[k].add(i).copy_to_nonoverlapping(buffer.as_mut_ptr(), n - i);
                    $v[k] = $s::load(buffer.as_ptr());
                }
            }
            $s::store(buffer.as_mut_ptr(), $e);
            buffer.as_ptr().copy_to_nonoverlapping(out.add(i), n - i);
        }
    }};
}

/// `out = op(a)`.
///
/// # Safety
/// `a` and `out` hold n numbers and are the same or apart.
#[inline(always)]
pub(crate) unsafe fn run1<S: Simd>(op: usize, n: usize, out: *mut f64, a: *const f64) {
    macro_rules! vector {
        ($f:expr) => {
            // SAFETY: the caller vouches for the operands; the buffer holds W ≤ 8 numbers
            unsafe { map!(S, n, out, [a], 0, |v| $f(v[0])) }
        };
    }
    let Some(&op) = UNARY.get(op) else { return };
    match op {
        Unary::Neg => vector!(math::neg::<S>),
        Unary::Abs => vector!(math::abs::<S>),
        Unary::Sqrt => vector!(S::sqrt),
        Unary::Floor => vector!(S::floor),
        Unary::Exp => vector!(math::exp::<S>),
        Unary::Log => vector!(math::log::<S>),
        Unary::Log1p => vector!(math::log1p::<S>),
        Unary::Sigmoid => vector!(math::sigmoid::<S>),
        Unary::Softplus => vector!(math::softplus::<S>),
        Unary::Tanh => vector!(math::tanh::<S>),
        _ => {
            for i in 0..n {
                // SAFETY: i < n
                unsafe { *out.add(i) = unary(op, *a.add(i)) };
            }
        }
    }
}

/// `out = a op b`; bit 0 of `scalar`: a is one number, bit 1: b is.
///
/// # Safety
/// Operands hold n numbers (or one) and `out` n; an operand may be `out`, but not overlap it otherwise.
#[inline(always)]
pub(crate) unsafe fn run2<S: Simd>(op: usize, n: usize, out: *mut f64, a: *const f64, b: *const f64, scalar: usize) {
    macro_rules! vector {
        (|$x:ident, $y:ident| $e:expr) => {
            vector!(|$x, $y| $e, 0 1 2)
        };
        (|$x:ident, $y:ident| $e:expr, $($scalar:literal)*) => {
            // SAFETY: the caller vouches for the operands; the buffer holds W ≤ 8 numbers
            unsafe {
                match scalar {
                    $($scalar => map!(S, n, out, [a, b], $scalar, |v| { let [$x, $y] = v; $e }),)*
                    _ => map!(S, n, out, [a, b], 3, |v| { let [$x, $y] = v; $e }),
                }
            }
        };
    }
    let Some(&op) = BINARY.get(op) else { return };
    let (zero, one) = (S::set(0.0), S::set(1.0));
    match op {
        Binary::Add => vector!(|x, y| S::add(x, y)),
        Binary::Sub => vector!(|x, y| S::sub(x, y)),
        Binary::Mul => vector!(|x, y| S::mul(x, y)),
        Binary::Div => vector!(|x, y| S::div(x, y)),
        Binary::Min => vector!(|x, y| nan_or::<S>(x, S::min(x, y))),
        Binary::Max => vector!(|x, y| nan_or::<S>(x, S::max(x, y))),
        Binary::Lt => vector!(|x, y| S::if_lt(x, y, one, zero)),
        Binary::Le => vector!(|x, y| S::if_le(x, y, one, zero)),
        Binary::Eq => vector!(|x, y| S::if_eq(x, y, one, zero)),
        Binary::Pow | Binary::LogGamma | Binary::LogGammaSlope | Binary::Poisson => {
            for i in 0..n {
                // SAFETY: i < n, and one-number operands are read at 0
                unsafe {
                    let x = *a.add(if scalar & 1 == 0 { i } else { 0 });
                    let y = *b.add(if scalar & 2 == 0 { i } else { 0 });
                    *out.add(i) = binary(op, x, y);
                }
            }
        }
    }
}

/// x where it is NaN, else y (which is NaN where the other operand was).
#[inline(always)]
fn nan_or<S: Simd>(x: S::V, y: S::V) -> S::V {
    S::if_eq(x, x, y, x)
}

/// `out = op(a, b, c)`; bits 0 to 2 of `scalar`: operands that are one number.
///
/// # Safety
/// As [`run2`].
#[inline(always)]
pub(crate) unsafe fn run3<S: Simd>(op: usize, n: usize, out: *mut f64, from: [*const f64; 3], scalar: usize) {
    let zero = S::set(0.0);
    // SAFETY: the caller vouches for the operands
    unsafe {
        match (op, scalar) {
            (0, 0) => map!(S, n, out, from, 0, |v| S::fma(v[0], v[1], v[2])),
            (0, _) => map!(S, n, out, from, scalar, |v| S::fma(v[0], v[1], v[2])),
            (1, _) => map!(S, n, out, from, scalar, |v| S::if_eq(v[0], zero, v[2], v[1])),
            _ => {
                for i in 0..n {
                    let at = |k: usize| *from[k].add(if scalar >> k & 1 == 0 { i } else { 0 });
                    *out.add(i) = ternary(Ternary::Binomial, at(0), at(1), at(2));
                }
            }
        }
    }
}

/// Adds Σ a to `out[0]`, in eight lanes.
///
/// # Safety
/// `a` holds n numbers, `out` one.
#[inline(always)]
pub(crate) unsafe fn sum<S: Simd, const H: usize>(n: usize, a: *const f64, out: *mut f64) {
    // SAFETY: the caller vouches for the operands
    unsafe { reduce::<S, H, false>(n, [a, a], out) }
}

/// Adds Σ a b to `out[0]`, in eight lanes.
///
/// # Safety
/// `a` and `b` hold n numbers, `out` one.
#[inline(always)]
pub(crate) unsafe fn dot<S: Simd, const H: usize>(n: usize, a: *const f64, b: *const f64, out: *mut f64) {
    // SAFETY: the caller vouches for the operands
    unsafe { reduce::<S, H, true>(n, [a, b], out) }
}

/// # Safety
/// `a` and `b` hold n numbers, `out` one.
#[inline(always)]
unsafe fn reduce<S: Simd, const H: usize, const DOT: bool>(n: usize, [a, b]: [*const f64; 2], out: *mut f64) {
    // SAFETY: the caller vouches for the operands; the buffers hold the last n % 8 numbers and zeros
    unsafe {
        let mut acc = [S::set(0.0); H];
        let mut i = 0;
        while i + LANES <= n {
            for h in 0..H {
                let at = i + h * S::W;
                let x = S::load(a.add(at));
                acc[h] = if DOT {
                    S::fma(x, S::load(b.add(at)), acc[h])
                } else {
                    S::add(acc[h], x)
                };
            }
            i += LANES;
        }
        if i < n {
            let mut last = [[0.0; LANES]; 2];
            a.add(i).copy_to_nonoverlapping(last[0].as_mut_ptr(), n - i);
            b.add(i).copy_to_nonoverlapping(last[1].as_mut_ptr(), n - i);
            for h in 0..H {
                let [x, y] = [&last[0], &last[1]].map(|last| S::load(last.as_ptr().add(h * S::W)));
                acc[h] = if DOT { S::fma(x, y, acc[h]) } else { S::add(acc[h], x) };
            }
        }
        *out += S::fold(&acc);
    }
}
