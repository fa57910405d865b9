//! Functions of one f32 without branches, so that a loop over a slice becomes vector code.
//!
//! Within about two units in the last place, measured against f64 by the tests. `F` says whether the machine fuses
//! multiply and add. Denormals count as 0.

// coefficients are written with the digits of their sources
#![allow(clippy::excessive_precision)]

/// a b + c, fused where the machine can.
#[inline(always)]
pub(super) fn fma<const F: bool>(a: f32, b: f32, c: f32) -> f32 {
    if F { a.mul_add(b, c) } else { a * b + c }
}

/// Adding this to |n| < 2²² rounds to the nearest integer, which then stands in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// c₀ + c₁ x + …
#[inline(always)]
fn horner<const F: bool, const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut p = c[N - 1];
    for i in (0..N - 1).rev() {
        p = fma::<F>(p, x, c[i]);
    }
    p
}

/// 2ⁱ for −127 < i < 128.
#[inline(always)]
fn power(i: i32) -> f32 {
    f32::from_bits(((i + 127) << 23) as u32)
}

/// n and p of eˣ = 2ⁿ p, n in the low bits of the first (beside those of [`MAGIC`]), 1/√2 ≤ p ≤ √2.
#[inline(always)]
fn parts_of_exp<const F: bool>(x: f32) -> (i32, f32) {
    let shifted = fma::<F>(x, std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    // log 2 in two parts, the first with trailing zeros
    let r = fma::<F>(n, -0.693_145_75, x);
    let r = fma::<F>(n, -1.428_606_8e-6, r);
    let p = horner::<F, 6>(
        r,
        [
            0.500_000_012,
            0.166_666_655,
            0.041_665_796,
            0.008_333_452,
            0.001_398_2,
            0.000_198_756_915,
        ],
    );
    let p = fma::<F>(p * r, r, r) + 1.0;
    ((shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32), p)
}

/// eˣ: 0 below −104, ∞ above 88.8, NaN stays.
#[inline(always)]
pub(super) fn exp<const F: bool>(x: f32) -> f32 {
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let (i, p) = parts_of_exp::<F>(x);
    let half = i >> 1;
    p * power(half) * power(i - half)
}

/// e⁻ᵗ for t ≥ 0: in (0, 1], 0 from where it is no normal number on, NaN stays.
#[inline(always)]
fn decay<const F: bool>(t: f32) -> f32 {
    const END: f32 = 87.336_54;
    let (i, p) = parts_of_exp::<F>(-(if t > END { END } else { t }));
    let e = p * power(i);
    if t > END { 0.0 } else { e }
}

/// n/(d + δ) for 1 ≤ d ≤ 3 and what rounding took from d: a polynomial for 1/d, and Newton's steps, which take less than a
/// division where they are fused.
#[inline(always)]
fn quotient<const F: bool>(n: f32, d: f32, lost: f32) -> f32 {
    if !F {
        let q = n / d;
        return q - lost * q / d;
    }
    // 1 − d y is a multiple of the Chebyshev polynomial T₄ on [1, 3]: at most 0.0103
    let y = horner::<F, 4>(d, [2.309_278_35, -1.896_907_22, 0.659_793_814, -0.082_474_226_8]);
    let y = fma::<F>(y, fma::<F>(-d, y, 1.0), y);
    let q = n * y;
    let rest = fma::<F>(-lost, q, fma::<F>(-d, q, n));
    fma::<F>(y, rest, q)
}

/// log x: −∞ at 0, NaN below, ∞ at ∞.
#[inline(always)]
pub(super) fn log<const F: bool>(x: f32) -> f32 {
    // mantissa into [√½, √2)
    let bits = (x.to_bits() as i32).wrapping_sub(0x3f35_04f3);
    let k = (bits >> 23) as f32;
    let f = f32::from_bits(((bits & 0x007f_ffff) + 0x3f35_04f3) as u32) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * horner::<F, 4>(z, [0.666_666_6, 0.400_009_72, 0.284_987_87, 0.242_790_79]);
    let half = 0.5 * f * f;
    let low = fma::<F>(s, half + r, k * 9.058_001e-6);
    let value = fma::<F>(k, 0.693_138_1, f - (half - low));
    let value = if x < f32::INFINITY { value } else { x };
    let edge = if x < 0.0 { f32::NAN } else { f32::NEG_INFINITY };
    if x < f32::MIN_POSITIVE { edge } else { value }
}

/// log(1 + x), relatively accurate near 0.
#[inline(always)]
pub(super) fn log1p<const F: bool>(x: f32) -> f32 {
    let u = 1.0 + x;
    let lost = (x - (u - 1.0)) / u;
    let value = log::<F>(u);
    // at −1 and ∞ what was lost is not a number
    if u > 0.0 && u < f32::INFINITY {
        value + lost
    } else {
        value
    }
}

/// 1 / (1 + e⁻ˣ), relatively accurate on both sides.
#[inline(always)]
pub(super) fn sigmoid<const F: bool>(x: f32) -> f32 {
    let e = decay::<F>(x.abs());
    let d = 1.0 + e;
    quotient::<F>(if x < 0.0 { e } else { 1.0 }, d, e - (d - 1.0))
}

/// log(1 + eˣ): max(x, 0) and log(1 + e) for e = e^−|x|, which is 2 artanh s for s = e / (2 + e) ≤ 1/3.
#[inline(always)]
pub(super) fn softplus<const F: bool>(x: f32) -> f32 {
    let e = decay::<F>(x.abs());
    let d = 2.0 + e;
    let s = quotient::<F>(e, d, e - (d - 2.0));
    let z = s * s;
    // (2 artanh s − 2 s) / s³, at Chebyshev's points of 0 ≤ s² ≤ 1/9
    let rest = horner::<F, 4>(z, [0.666_666_403, 0.400_075_606, 0.282_366_198, 0.268_514_98]);
    let log = fma::<F>(s * z, rest, s + s);
    (if x < 0.0 { 0.0 } else { x }) + log
}

/// tanh x, relatively accurate near 0.
#[inline(always)]
pub(super) fn tanh<const F: bool>(x: f32) -> f32 {
    let t = x.abs();
    let z = x * x;
    let near = fma::<F>(
        t * z,
        horner::<F, 5>(
            z,
            [
                -0.333_332_8,
                0.133_314_42,
                -0.053_739_715,
                0.020_639_09,
                -0.005_704_988_7,
            ],
        ),
        t,
    );
    let far = 1.0 - 2.0 / (exp::<F>(t + t) + 1.0);
    (if t < 0.625 { near } else { far }).copysign(x)
}

/// Arguments beyond which [`sin`] and [`cos`] leave it to the library.
pub(super) const MAX_ANGLE: f32 = 1e6;

/// (sin r, cos r, quarters) for x = r + quarters · π/2; reduced in f64, which keeps every digit up to [`MAX_ANGLE`].
#[inline(always)]
fn quarters<const F: bool>(x: f32) -> (f32, f32, i32) {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let x = f64::from(x);
    let shifted = x * std::f64::consts::FRAC_2_PI + MAGIC;
    let r = (x - (shifted - MAGIC) * std::f64::consts::FRAC_PI_2) as f32;
    let z = r * r;
    let sin = fma::<F>(
        r * z,
        horner::<F, 3>(z, [-0.166_666_55, 8.332_161e-3, -1.951_529_6e-4]),
        r,
    );
    let cos = fma::<F>(
        z * z,
        horner::<F, 3>(z, [4.166_664_6e-2, -1.388_731_6e-3, 2.443_315_7e-5]),
        fma::<F>(z, -0.5, 1.0),
    );
    (sin, cos, shifted.to_bits() as i32)
}

/// sin x for |x| up to [`MAX_ANGLE`].
#[inline(always)]
pub(super) fn sin<const F: bool>(x: f32) -> f32 {
    let (sin, cos, q) = quarters::<F>(x);
    let value = if q & 1 == 0 { sin } else { cos };
    if q & 2 == 0 { value } else { -value }
}

/// cos x for |x| up to [`MAX_ANGLE`].
#[inline(always)]
pub(super) fn cos<const F: bool>(x: f32) -> f32 {
    let (sin, cos, q) = quarters::<F>(x);
    let value = if q & 1 == 0 { cos } else { sin };
    if (q + 1) & 2 == 0 { value } else { -value }
}
