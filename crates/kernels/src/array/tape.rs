//! Element-wise operations over slices of f32, compiled for each instruction set.

use super::math;
use crate::block::{self, Binary, Ternary, Unary};

/// What stands in for a loop's operand: a slice, or one number.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Slice(&'a [f32]),
    Number(f32),
}

/// `n` numbers of an operand, or one.
///
/// # Safety
/// `p` is valid for them.
#[inline(always)]
unsafe fn operand<'a>(p: *const f32, n: usize, number: bool) -> Operand<'a> {
    // SAFETY: the caller vouches for it
    unsafe {
        if number {
            Operand::Number(*p)
        } else {
            Operand::Slice(std::slice::from_raw_parts(p, n))
        }
    }
}

/// An operation of one operand on one number, from the f64 of [`block::unary`].
#[inline]
fn in_f64(op: Unary, x: f32) -> f32 {
    block::unary(op, f64::from(x)) as f32
}

#[inline(always)]
fn unary<const F: bool>(op: Unary, out: &mut [f32], a: &[f32]) {
    macro_rules! each {
        (|$x:ident| $e:expr) => {
            for (out, &$x) in out.iter_mut().zip(a) {
                *out = $e;
            }
        };
    }
    match op {
        Unary::Neg => each!(|x| -x),
        Unary::Abs => each!(|x| x.abs()),
        Unary::Sqrt => each!(|x| x.sqrt()),
        Unary::Floor => each!(|x| x.floor()),
        Unary::Exp => each!(|x| math::exp::<F>(x)),
        Unary::Log => each!(|x| math::log::<F>(x)),
        Unary::Log1p => each!(|x| math::log1p::<F>(x)),
        Unary::Sigmoid => each!(|x| math::sigmoid::<F>(x)),
        Unary::Softplus => each!(|x| math::softplus::<F>(x)),
        Unary::Tanh => each!(|x| math::tanh::<F>(x)),
        Unary::Sign => each!(|x| if x > 0.0 {
            1.0
        } else if x < 0.0 {
            -1.0
        } else {
            x * 0.0
        }),
        Unary::Sin if small(a) => each!(|x| math::sin::<F>(x)),
        Unary::Cos if small(a) => each!(|x| math::cos::<F>(x)),
        // the same function for every element: its size alone decides
        Unary::Sin => each!(|x| if x.abs() < math::MAX_ANGLE {
            math::sin::<F>(x)
        } else {
            in_f64(op, x)
        }),
        Unary::Cos => each!(|x| if x.abs() < math::MAX_ANGLE {
            math::cos::<F>(x)
        } else {
            in_f64(op, x)
        }),
        Unary::Lgamma | Unary::Digamma | Unary::Trigamma | Unary::Tetragamma | Unary::NormalCdf => {
            each!(|x| in_f64(op, x));
        }
    }
}

/// Whether all are angles that the vector code reduces.
#[inline(always)]
fn small(a: &[f32]) -> bool {
    a.iter().fold(true, |small, x| small & (x.abs() < math::MAX_ANGLE))
}

#[inline(always)]
fn binary(op: Binary, out: &mut [f32], a: Operand<'_>, b: Operand<'_>) {
    macro_rules! each {
        (|$x:ident, $y:ident| $e:expr) => {
            match (a, b) {
                (Operand::Slice(a), Operand::Slice(b)) => {
                    for ((out, &$x), &$y) in out.iter_mut().zip(a).zip(b) {
                        *out = $e;
                    }
                }
                (Operand::Slice(a), Operand::Number($y)) => {
                    for (out, &$x) in out.iter_mut().zip(a) {
                        *out = $e;
                    }
                }
                (Operand::Number($x), Operand::Slice(b)) => {
                    for (out, &$y) in out.iter_mut().zip(b) {
                        *out = $e;
                    }
                }
                (Operand::Number($x), Operand::Number($y)) => out.fill($e),
            }
        };
    }
    let truth = |t: bool| if t { 1.0 } else { 0.0 };
    match op {
        Binary::Add => each!(|x, y| x + y),
        Binary::Sub => each!(|x, y| x - y),
        Binary::Mul => each!(|x, y| x * y),
        Binary::Div => each!(|x, y| x / y),
        Binary::Min => each!(|x, y| if x.is_nan() | (x < y) { x } else { y }),
        Binary::Max => each!(|x, y| if x.is_nan() | (x > y) { x } else { y }),
        Binary::Lt => each!(|x, y| truth(x < y)),
        Binary::Le => each!(|x, y| truth(x <= y)),
        Binary::Eq => each!(|x, y| truth(x == y)),
        Binary::Pow | Binary::LogGamma | Binary::LogGammaSlope | Binary::Poisson => {
            each!(|x, y| block::binary(op, f64::from(x), f64::from(y)) as f32)
        }
    }
}

#[inline(always)]
fn ternary<const F: bool>(op: Ternary, out: &mut [f32], from: [Operand<'_>; 3]) {
    let [a, b, c] = from;
    macro_rules! each {
        (|$x:ident, $y:ident, $z:ident| $e:expr) => {
            match (a, b, c) {
                (Operand::Slice(a), Operand::Slice(b), Operand::Slice(c)) => {
                    for (((out, &$x), &$y), &$z) in out.iter_mut().zip(a).zip(b).zip(c) {
                        *out = $e;
                    }
                }
                (Operand::Slice(a), Operand::Number($y), Operand::Slice(c)) => {
                    for ((out, &$x), &$z) in out.iter_mut().zip(a).zip(c) {
                        *out = $e;
                    }
                }
                (Operand::Slice(a), Operand::Slice(b), Operand::Number($z)) => {
                    for ((out, &$x), &$y) in out.iter_mut().zip(a).zip(b) {
                        *out = $e;
                    }
                }
                (Operand::Slice(a), Operand::Number($y), Operand::Number($z)) => {
                    for (out, &$x) in out.iter_mut().zip(a) {
                        *out = $e;
                    }
                }
                _ => {
                    let at = |o: Operand<'_>, i: usize| match o {
                        Operand::Slice(s) => s[i],
                        Operand::Number(x) => x,
                    };
                    for (i, out) in out.iter_mut().enumerate() {
                        let ($x, $y, $z) = (at(a, i), at(b, i), at(c, i));
                        *out = $e;
                    }
                }
            }
        };
    }
    match op {
        Ternary::Fma => each!(|x, y, z| math::fma::<F>(x, y, z)),
        Ternary::Select => each!(|x, y, z| if x == 0.0 { z } else { y }),
        Ternary::Binomial => each!(|x, y, z| block::ternary(op, x.into(), y.into(), z.into()) as f32),
    }
}

/// Lanes of sums, on every machine.
const LANES: usize = 16;

/// Σ a: sixteen lanes in f32, folded in f64.
#[inline(always)]
fn sum(a: &[f32]) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let groups = a.chunks_exact(LANES);
    let rest = groups.remainder();
    for group in groups {
        for l in 0..LANES {
            lanes[l] += group[l];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    lanes.iter().map(|&x| f64::from(x)).sum()
}

/// to += a, in f64.
#[inline(always)]
fn add_up(to: &mut [f64], a: &[f32]) {
    for (to, &a) in to.iter_mut().zip(a) {
        *to += f64::from(a);
    }
}

/// Σ a², in f64.
#[inline(always)]
fn squares(a: &[f32]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let groups = a.chunks_exact(LANES);
    let rest = groups.remainder();
    for group in groups {
        for l in 0..LANES {
            lanes[l] += f64::from(group[l]) * f64::from(group[l]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(x) * f64::from(x);
    }
    lanes.iter().sum()
}

/// Operations on f32 for one instruction set.
///
/// # Safety
/// `out` and operands hold `n` numbers (or one, where a bit of `scalar` says so); `out` overlaps no operand.
pub struct Tape {
    /// `op, n, out, a`
    pub unary: unsafe fn(Unary, usize, *mut f32, *const f32),
    /// `op, n, out, a, b, scalar`: bit 0 of `scalar`: a is one number, bit 1: b is.
    pub binary: unsafe fn(Binary, usize, *mut f32, *const f32, *const f32, usize),
    /// `op, n, out, [a, b, c], scalar`
    pub ternary: unsafe fn(Ternary, usize, *mut f32, [*const f32; 3], usize),
    /// Σ a.
    pub sum: unsafe fn(&[f32]) -> f64,
    /// to += a.
    pub add_up: unsafe fn(&mut [f64], &[f32]),
    /// Σ a².
    pub squares: unsafe fn(&[f32]) -> f64,
}

macro_rules! width {
    ($name:ident, $fused:literal $(, #[$feature:meta])?) => {
        mod $name {
            use super::*;

            $(#[$feature])?
            unsafe fn unary(op: Unary, n: usize, out: *mut f32, a: *const f32) {
                // SAFETY: the caller vouches for the operands
                unsafe {
                    let (out, a) = (std::slice::from_raw_parts_mut(out, n), std::slice::from_raw_parts(a, n));
                    super::unary::<$fused>(op, out, a);
                }
            }

            $(#[$feature])?
            unsafe fn binary(op: Binary, n: usize, out: *mut f32, a: *const f32, b: *const f32, scalar: usize) {
                // SAFETY: as above
                unsafe {
                    let out = std::slice::from_raw_parts_mut(out, n);
                    super::binary(op, out, operand(a, n, scalar & 1 != 0), operand(b, n, scalar & 2 != 0));
                }
            }

            $(#[$feature])?
            unsafe fn ternary(op: Ternary, n: usize, out: *mut f32, from: [*const f32; 3], scalar: usize) {
                // SAFETY: as above
                unsafe {
                    let out = std::slice::from_raw_parts_mut(out, n);
                    let from = std::array::from_fn(|i| operand(from[i], n, scalar >> i & 1 != 0));
                    super::ternary::<$fused>(op, out, from);
                }
            }

            $(#[$feature])?
            unsafe fn sum(a: &[f32]) -> f64 {
                super::sum(a)
            }

            $(#[$feature])?
            unsafe fn add_up(to: &mut [f64], a: &[f32]) {
                super::add_up(to, a);
            }

            $(#[$feature])?
            unsafe fn squares(a: &[f32]) -> f64 {
                super::squares(a)
            }

            pub(super) static TAPE: Tape = Tape { unary, binary, ternary, sum, add_up, squares };
        }
    };
}

width!(portable, false);
#[cfg(target_arch = "x86_64")]
width!(avx2, true, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
width!(avx512, true, #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]);

/// The operations of the same instruction set as [`block::kernels`].
pub fn tape() -> &'static Tape {
    match block::kernels().name {
        #[cfg(target_arch = "x86_64")]
        "avx512" if is_x86_feature_detected!("avx512vl") => &avx512::TAPE,
        #[cfg(target_arch = "x86_64")]
        "avx512" | "avx2" => &avx2::TAPE,
        _ => &portable::TAPE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units of the last place of the truth.
    fn ulps(found: f32, truth: f64) -> f64 {
        let near = truth as f32;
        if found == near || found.is_nan() && near.is_nan() || near.abs() < f32::MIN_POSITIVE && found == 0.0 {
            return 0.0;
        }
        let unit = f64::from(f32::from_bits(near.abs().to_bits() + 1)) - f64::from(near.abs());
        (f64::from(found) - truth).abs() / unit
    }

    #[test]
    fn functions_are_accurate() {
        let functions = [
            (Unary::Exp, 2.0),
            (Unary::Log, 2.0),
            (Unary::Log1p, 2.5),
            (Unary::Sigmoid, 3.0),
            (Unary::Softplus, 2.5),
            (Unary::Tanh, 2.5),
            (Unary::Sin, 2.0),
            (Unary::Cos, 2.0),
        ];
        let mut x: Vec<f32> = (-20_000..20_000).map(|i| i as f32 * 0.0051).collect();
        x.extend((-20_000..20_000).map(|i| i as f32 * 0.000_051));
        x.extend((0..400).map(|i| 10f32.powf(i as f32 * 0.1 - 20.0)));
        x.extend([0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
        for tape in [&portable::TAPE, tape()] {
            for (op, limit) in functions {
                let mut out = vec![0.0; x.len()];
                // SAFETY: both hold as many numbers
                unsafe { (tape.unary)(op, x.len(), out.as_mut_ptr(), x.as_ptr()) };
                for (&x, &found) in x.iter().zip(&out) {
                    let truth = block::unary(op, f64::from(x));
                    // near a root of sin and cos the unit is that of a number near 1
                    let close = matches!(op, Unary::Sin | Unary::Cos) && (f64::from(found) - truth).abs() < 1e-7;
                    assert!(
                        close || ulps(found, truth) <= limit,
                        "{op:?}({x}) = {found}, not {truth}"
                    );
                }
            }
        }
    }
}
