//! Elementwise operations over n adjacent numbers, and ordered sums.

use super::math;
use super::simd::{LANES, Simd};
use crate::special;

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
}

/// Operations of three operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ternary {
    /// a b + c
    Fma,
    /// a ≠ 0 ? b : c
    Select,
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
const BINARY: [Binary; 10] = [
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

/// Vector by vector, the last one through a buffer. `K` operands, of which those with their bit set in `scalar` are one
/// number.
///
/// # Safety
/// Operands hold n numbers (or one) and `out` n; an operand may be `out`, but not overlap it otherwise.
#[inline(always)]
unsafe fn map<S: Simd, const K: usize>(
    n: usize,
    out: *mut f64,
    from: [*const f64; K],
    scalar: usize,
    f: impl Fn([S::V; K]) -> S::V,
) {
    // SAFETY: the caller vouches for the operands; the buffers hold W ≤ 8 numbers
    unsafe {
        let mut v = [S::set(0.0); K];
        for k in 0..K {
            if scalar >> k & 1 != 0 {
                v[k] = S::set(*from[k]);
            }
        }
        let mut i = 0;
        while i + S::W <= n {
            for k in 0..K {
                if scalar >> k & 1 == 0 {
                    v[k] = S::load(from[k].add(i));
                }
            }
            S::store(out.add(i), f(v));
            i += S::W;
        }
        if i < n {
            let mut buffer = [1.0; LANES];
            for k in 0..K {
                if scalar >> k & 1 == 0 {
                    from[k].add(i).copy_to_nonoverlapping(buffer.as_mut_ptr(), n - i);
                    v[k] = S::load(buffer.as_ptr());
                }
            }
            S::store(buffer.as_mut_ptr(), f(v));
            buffer.as_ptr().copy_to_nonoverlapping(out.add(i), n - i);
        }
    }
}

/// `out = op(a)`.
///
/// # Safety
/// `a` and `out` hold n numbers and are the same or apart.
#[inline(always)]
pub(crate) unsafe fn run1<S: Simd>(op: usize, n: usize, out: *mut f64, a: *const f64) {
    macro_rules! vector {
        ($f:expr) => {
            // SAFETY: the caller vouches for the operands
            unsafe { map::<S, 1>(n, out, [a], 0, |[v]| $f(v)) }
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
        ($f:expr) => {
            // SAFETY: the caller vouches for the operands
            unsafe {
                match scalar {
                    0 => map::<S, 2>(n, out, [a, b], 0, |[x, y]| $f(x, y)),
                    1 => map::<S, 2>(n, out, [a, b], 1, |[x, y]| $f(x, y)),
                    2 => map::<S, 2>(n, out, [a, b], 2, |[x, y]| $f(x, y)),
                    _ => map::<S, 2>(n, out, [a, b], 3, |[x, y]| $f(x, y)),
                }
            }
        };
    }
    let Some(&op) = BINARY.get(op) else { return };
    let (zero, one) = (S::set(0.0), S::set(1.0));
    match op {
        Binary::Add => vector!(S::add),
        Binary::Sub => vector!(S::sub),
        Binary::Mul => vector!(S::mul),
        Binary::Div => vector!(S::div),
        Binary::Min => vector!(|x, y| nan_or::<S>(x, S::min(x, y))),
        Binary::Max => vector!(|x, y| nan_or::<S>(x, S::max(x, y))),
        Binary::Lt => vector!(|x, y| S::if_lt(x, y, one, zero)),
        Binary::Le => vector!(|x, y| S::if_le(x, y, one, zero)),
        Binary::Eq => vector!(|x, y| S::if_eq(x, y, one, zero)),
        Binary::Pow => {
            for i in 0..n {
                // SAFETY: i < n, and one-number operands are read at 0
                unsafe {
                    let x = *a.add(if scalar & 1 == 0 { i } else { 0 });
                    let y = *b.add(if scalar & 2 == 0 { i } else { 0 });
                    *out.add(i) = x.powf(y);
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
            (0, 0) => map::<S, 3>(n, out, from, 0, |[a, b, c]| S::fma(a, b, c)),
            (0, _) => map::<S, 3>(n, out, from, scalar, |[a, b, c]| S::fma(a, b, c)),
            _ => map::<S, 3>(n, out, from, scalar, |[a, b, c]| S::if_eq(a, zero, c, b)),
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
    unsafe { reduce::<S, H>(n, [a, a], out, |[x, _], acc| S::add(acc, x)) }
}

/// Adds Σ a b to `out[0]`, in eight lanes.
///
/// # Safety
/// `a` and `b` hold n numbers, `out` one.
#[inline(always)]
pub(crate) unsafe fn dot<S: Simd, const H: usize>(n: usize, a: *const f64, b: *const f64, out: *mut f64) {
    // SAFETY: the caller vouches for the operands
    unsafe { reduce::<S, H>(n, [a, b], out, |[x, y], acc| S::fma(x, y, acc)) }
}

/// # Safety
/// `a` and `b` hold n numbers, `out` one.
#[inline(always)]
unsafe fn reduce<S: Simd, const H: usize>(
    n: usize,
    [a, b]: [*const f64; 2],
    out: *mut f64,
    f: impl Fn([S::V; 2], S::V) -> S::V,
) {
    // SAFETY: the caller vouches for the operands; the buffers hold the last n % 8 numbers and zeros
    unsafe {
        let mut acc = [S::set(0.0); H];
        let mut i = 0;
        while i + LANES <= n {
            for h in 0..H {
                let at = i + h * S::W;
                acc[h] = f([S::load(a.add(at)), S::load(b.add(at))], acc[h]);
            }
            i += LANES;
        }
        if i < n {
            let mut last = [[0.0; LANES]; 2];
            a.add(i).copy_to_nonoverlapping(last[0].as_mut_ptr(), n - i);
            b.add(i).copy_to_nonoverlapping(last[1].as_mut_ptr(), n - i);
            for h in 0..H {
                let [a, b] = &last;
                acc[h] = f(
                    [S::load(a.as_ptr().add(h * S::W)), S::load(b.as_ptr().add(h * S::W))],
                    acc[h],
                );
            }
        }
        *out += S::fold(&acc);
    }
}
