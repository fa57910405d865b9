//! Vector exponentials and logarithms.
//!
//! The polynomials have a relative error near 1e-17; results are within about one unit in the last place.

use super::simd::{MAGIC, Simd};
use std::f64::consts::LOG2_E;

/// eʳ on |r| ≤ ½ log 2 by powers, minimax.
const EXP: [f64; 12] = [
    1.0,
    1.0,
    0.5000000000000019,
    0.1666666666666668,
    0.04166666666648795,
    0.008333333333319589,
    0.0013888888952352863,
    0.00019841269890076403,
    2.4801485441561313e-5,
    2.755724088722987e-6,
    2.763265472252779e-7,
    2.5110049204818658e-8,
];
/// log 2 in two parts; the first has trailing zeros, so that n times it is exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// x = n log 2 + r: (n + [`MAGIC`], n, r).
#[inline(always)]
fn reduce<S: Simd>(x: S::V) -> (S::V, S::V, S::V) {
    let shifted = S::fma(x, S::set(LOG2_E), S::set(MAGIC));
    let n = S::sub(shifted, S::set(MAGIC));
    let r = S::fnma(n, S::set(LN2_HIGH), x);
    (shifted, n, S::fnma(n, S::set(LN2_LOW), r))
}

/// eʳ for a reduced r: even and odd powers apart, the cheapest split that still overlaps.
#[inline(always)]
fn exp_reduced<S: Simd>(r: S::V) -> S::V {
    let square = S::mul(r, r);
    let mut even = S::set(EXP[10]);
    let mut odd = S::set(EXP[11]);
    for i in (0..5).rev() {
        even = S::fma(even, square, S::set(EXP[2 * i]));
        odd = S::fma(odd, square, S::set(EXP[2 * i + 1]));
    }
    S::fma(odd, r, even)
}

/// [`exp_scaled`] gives 0 below 2 to minus this: a thousandth of what rounding does to a sum near 1.
const EXP_BITS: u64 = 64;

/// What [`exp_scaled`] multiplies by: 2⁻⁹⁵⁹. The exponent that is left for n > −64 is what decides between a number and 0.
pub(crate) const EXP_SCALE: f64 = f64::from_bits(EXP_BITS << 52);

/// Arguments at which [`exp_scaled`] is certain to give 0.
pub(crate) const EXP_ZERO: f64 = -44.5;

/// 2⁻⁹⁵⁹ eˣ for x ≤ 0 (or NaN), exactly 0 where eˣ < 2⁻⁶⁴ or so: no denormals, −∞ gives 0. `R` vectors in step share the
/// constants, of which there are more than registers, and hide the latency of a plain Horner scheme.
#[inline(always)]
pub(crate) fn exp_scaled<S: Simd, const R: usize>(mut x: [S::V; R]) -> [S::V; R] {
    let mut scale = x;
    let mut p = [S::set(EXP[11]); R];
    for r in 0..R {
        // at the clamp n is −64, and the biased exponent 0: the factor 2ⁿ⁻⁹⁵⁹ becomes +0
        x[r] = S::max(S::set(EXP_ZERO), x[r]);
        let (shifted, _, rest) = reduce::<S>(x[r]);
        scale[r] = S::add_shl52(S::set(EXP_SCALE), shifted);
        x[r] = rest;
    }
    for c in EXP[..11].iter().rev() {
        for r in 0..R {
            p[r] = S::fma(p[r], x[r], S::set(*c));
        }
        p = S::in_step(p);
    }
    for r in 0..R {
        p[r] = S::mul(p[r], scale[r]);
    }
    p
}

/// eˣ for every x: 0 below −745.2, denormals between, ∞ above 709.8, NaN stays.
#[inline(always)]
pub(crate) fn exp<S: Simd>(x: S::V) -> S::V {
    let x = S::max(S::set(-746.0), S::min(S::set(710.0), x));
    let (_, n, r) = reduce::<S>(x);
    // 2ⁿ in two factors: n reaches beyond the exponents at both ends
    let half = S::fma(n, S::set(0.5), S::set(MAGIC));
    let rest = S::add(S::sub(n, S::sub(half, S::set(MAGIC))), S::set(MAGIC));
    let p = S::mul(exp_reduced::<S>(r), S::add_shl52(S::set(1.0), half));
    S::mul(p, S::add_shl52(S::set(1.0), rest))
}

/// eˣ − 1 for −745 < x ≤ 0, relatively accurate near 0.
#[inline(always)]
pub(crate) fn exp_m1_nonpositive<S: Simd>(x: S::V) -> S::V {
    let x = S::max(S::set(-100.0), x);
    let (shifted, _, r) = reduce::<S>(x);
    let mut p = S::set(EXP[11]);
    for i in (2..11).rev() {
        p = S::fma(p, r, S::set(EXP[i]));
    }
    let minus = S::fma(S::mul(r, r), p, r);
    let scale = S::add_shl52(S::set(1.0), shifted);
    S::fma(scale, minus, S::sub(scale, S::set(1.0)))
}

/// log(1 + f) as s (½ f² + R) around s = f / (2 + f); fdlibm's coefficients.
const LOG: [f64; 7] = [
    6.666666666666735e-1,
    3.999999999940942e-1,
    2.857142874366239e-1,
    2.2222198432149784e-1,
    1.818357216161805e-1,
    1.5313837699209373e-1,
    1.479819860511658_6e-1,
];

/// log x: −∞ at 0, NaN below, ∞ at ∞; denormals included.
#[inline(always)]
pub(crate) fn log<S: Simd>(x: S::V) -> S::V {
    let tiny = S::set(f64::MIN_POSITIVE);
    let scaled = S::if_lt(x, tiny, S::mul(x, S::set(18_014_398_509_481_984.0)), x);
    let offset = S::if_lt(x, tiny, S::set(-1023.0 - 54.0), S::set(-1023.0));
    // an integer below 2⁵² in the low bits of 2⁵² is itself after subtracting 2⁵²
    let pow52 = S::set(4_503_599_627_370_496.0);
    let exponent = S::add(S::sub(S::or(S::shr52(scaled), pow52), pow52), offset);
    let mantissa = S::or(
        S::and(scaled, S::set(f64::from_bits(0x000f_ffff_ffff_ffff))),
        S::set(1.0),
    );
    // mantissa into [√½, √2)
    let root = S::set(std::f64::consts::SQRT_2);
    let one = S::set(1.0);
    let half_mantissa = S::mul(mantissa, S::set(0.5));
    let k = S::if_le(root, mantissa, S::add(exponent, one), exponent);
    let f = S::sub(S::if_le(root, mantissa, half_mantissa, mantissa), one);
    let s = S::div(f, S::add(f, S::set(2.0)));
    let z = S::mul(s, s);
    let mut r = S::set(LOG[6]);
    for c in LOG[..6].iter().rev() {
        r = S::fma(r, z, S::set(*c));
    }
    let r = S::mul(r, z);
    let half = S::mul(S::mul(f, f), S::set(0.5));
    let low = S::fma(s, S::add(half, r), S::mul(k, S::set(LN2_LOW)));
    let value = S::fma(k, S::set(LN2_HIGH), S::sub(f, S::sub(half, low)));
    let inf = S::set(f64::INFINITY);
    let value = S::if_lt(x, inf, value, x); // ∞ and NaN
    let edge = S::if_eq(x, S::set(0.0), S::set(f64::NEG_INFINITY), S::set(f64::NAN));
    S::if_le(x, S::set(0.0), edge, value)
}

/// log(1 + x), relatively accurate near 0: −∞ at −1, NaN below.
#[inline(always)]
pub(crate) fn log1p<S: Simd>(x: S::V) -> S::V {
    let one = S::set(1.0);
    let u = S::add(x, one);
    let lost = S::div(S::sub(x, S::sub(u, one)), u);
    let value = S::add(log::<S>(u), lost);
    let value = S::if_lt(x, S::set(f64::INFINITY), value, x);
    S::if_eq(u, S::set(0.0), S::set(f64::NEG_INFINITY), value)
}

/// |x|
#[inline(always)]
pub(crate) fn abs<S: Simd>(x: S::V) -> S::V {
    S::and(x, S::set(f64::from_bits(0x7fff_ffff_ffff_ffff)))
}

/// −x, also of 0.
#[inline(always)]
pub(crate) fn neg<S: Simd>(x: S::V) -> S::V {
    S::mul(x, S::set(-1.0))
}

/// 1 / (1 + e⁻ˣ), relatively accurate on both sides.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(x: S::V) -> S::V {
    let e = exp::<S>(neg::<S>(abs::<S>(x)));
    let one = S::set(1.0);
    S::div(S::if_lt(x, S::set(0.0), e, one), S::add(one, e))
}

/// log(1 + eˣ)
#[inline(always)]
pub(crate) fn softplus<S: Simd>(x: S::V) -> S::V {
    let e = exp::<S>(neg::<S>(abs::<S>(x)));
    S::add(S::max(S::set(0.0), x), log1p::<S>(e))
}

/// tanh x, relatively accurate near 0.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(x: S::V) -> S::V {
    let e = exp_m1_nonpositive::<S>(S::mul(abs::<S>(x), S::set(-2.0)));
    let value = S::div(neg::<S>(e), S::add(S::set(2.0), e));
    S::or(value, S::and(x, S::set(-0.0)))
}
