//! Special functions of one number, accurate to a few units in the last place.
//!
//! They never panic: outside a domain the answer is NaN, on its edge the one-sided limit. Every function propagates NaN.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

/// Euler's constant γ = −ψ(1).
pub const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// log |Γ(x)|. `lgamma(0) = lgamma(−n) = lgamma(±∞) = ∞`.
#[must_use]
pub fn lgamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// The zero of ψ on the positive axis, as an unevaluated sum.
const PSI_ROOT: [f64; 2] = [1.461_632_144_968_362_3, 9.549_995_429_965_697e-17];

/// ψ(x) / (x − root) on [1, 2] in powers of 2x − 3 (Chebyshev fit, error 1e-17).
const PSI_NEAR_ROOT: [f64; 23] = [
    0.9510558760318328,
    -0.2118137106407303,
    0.06013562106019684,
    -0.018550615381735008,
    0.005936795278301761,
    -0.0019350666648613071,
    0.0006368880303865817,
    -0.00021074841138175561,
    6.995018825112794e-05,
    -2.3258242519113285e-05,
    7.741234508636364e-06,
    -2.578093954045772e-06,
    8.589060721930695e-07,
    -2.863161166883193e-07,
    9.543298288278275e-08,
    -3.162911147408454e-08,
    1.0527692435026686e-08,
    -3.7083753242807277e-09,
    1.2469984616707403e-09,
    -2.7580994814377e-10,
    8.734528429142953e-11,
    -8.50550766013261e-11,
    2.918622732168261e-11,
];

/// Bernoulli numbers B₂, B₄, …, B₁₆.
const BERNOULLI: [f64; 8] = [
    1.0 / 6.0,
    -1.0 / 30.0,
    1.0 / 42.0,
    -1.0 / 30.0,
    5.0 / 66.0,
    -691.0 / 2730.0,
    7.0 / 6.0,
    -3617.0 / 510.0,
];

/// From here on the asymptotic series with eight Bernoulli numbers is exact to rounding.
const ASYMPTOTIC: f64 = 12.0;

/// ψ(x) = d log Γ / dx. `digamma(0) = −∞` (the limit from above), NaN at negative integers and −∞, ∞ at ∞.
/// Accurate relatively also next to its root 1.4616….
#[must_use]
pub fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x < 0.0 {
        return if x == x.floor() {
            f64::NAN
        } else {
            digamma(1.0 - x) - PI / tan_pi(x)
        };
    }
    if x >= ASYMPTOTIC {
        let inverse = 1.0 / x;
        let square = inverse * inverse;
        let mut series = 0.0;
        for (i, b) in BERNOULLI.iter().enumerate().rev() {
            series = (series + b / (2.0 * (i as f64 + 1.0))) * square;
        }
        return x.ln() - 0.5 * inverse - series;
    }
    let (mut at, mut shift) = (x, 0.0);
    if at < 1.0 {
        shift = -1.0 / at;
        at += 1.0;
    }
    while at > 2.0 {
        at -= 1.0;
        shift += 1.0 / at;
    }
    let t = 2.0 * at - 3.0;
    let ratio = PSI_NEAR_ROOT.iter().rev().fold(0.0, |sum, c| sum * t + c);
    ((at - PSI_ROOT[0]) - PSI_ROOT[1]) * ratio + shift
}

/// ψ′(x). `trigamma(0) = trigamma(−n) = ∞`, 0 at ∞, NaN at −∞.
#[must_use]
pub fn trigamma(x: f64) -> f64 {
    if x <= 0.0 {
        if x == f64::NEG_INFINITY {
            return f64::NAN;
        }
        if x == x.floor() {
            return f64::INFINITY;
        }
        let s = PI / sin_pi(x);
        return s * s - trigamma(1.0 - x);
    }
    if x == f64::INFINITY {
        return 0.0;
    }
    let (mut at, mut shift) = (x, 0.0);
    while at < ASYMPTOTIC {
        shift += 1.0 / (at * at);
        at += 1.0;
    }
    let inverse = 1.0 / at;
    let square = inverse * inverse;
    let series = BERNOULLI.iter().rev().fold(0.0, |sum, b| (sum + b) * square);
    shift + inverse * (1.0 + 0.5 * inverse + series)
}

/// ψ″(x). `tetragamma(0) = −∞` (the limit from above), NaN at negative integers and −∞, 0 at ∞.
#[must_use]
pub fn tetragamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x < 0.0 {
        if x == x.floor() {
            return f64::NAN;
        }
        // ψ(1 − x) − ψ(x) = π cot πx, differentiated twice
        let sin = PI / sin_pi(x);
        return tetragamma(1.0 - x) - 2.0 * sin * sin * PI / tan_pi(x);
    }
    if x == f64::INFINITY {
        return 0.0;
    }
    let (mut at, mut shift) = (x, 0.0);
    while at < ASYMPTOTIC + 2.0 {
        shift += 2.0 / (at * at * at);
        at += 1.0;
    }
    let inverse = 1.0 / at;
    let square = inverse * inverse;
    let mut series = 0.0;
    for (i, b) in BERNOULLI.iter().enumerate().rev() {
        series = (series + b * (2.0 * (i as f64 + 1.0) + 1.0)) * square;
    }
    -shift - square * (1.0 + inverse + series)
}

/// sin πx with the argument reduced exactly.
fn sin_pi(x: f64) -> f64 {
    let nearest = x.round();
    let s = (PI * (x - nearest)).sin();
    if nearest % 2.0 == 0.0 { s } else { -s }
}

/// tan πx with the argument reduced exactly.
fn tan_pi(x: f64) -> f64 {
    let rest = x - x.round();
    // next to the pole the complement is exact where the rest is not
    if rest.abs() > 0.25 {
        rest.signum() / (PI * (0.5 - rest.abs())).tan()
    } else {
        (PI * rest).tan()
    }
}

/// The error function.
#[must_use]
pub fn erf(x: f64) -> f64 {
    libm::erf(x)
}

/// The complementary error function 1 − erf(x), accurate in the upper tail.
#[must_use]
pub fn erfc(x: f64) -> f64 {
    libm::erfc(x)
}

/// Φ(x), the standard normal distribution function, relatively accurate in the lower tail until it underflows (x < −38).
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    // −x/√2 as an unevaluated sum: in the tail a rounded argument alone would cost x²·ε
    const INV_SQRT2_LOW: f64 = -4.833_646_656_726_457e-17;
    let high = -x * FRAC_1_SQRT_2;
    let tail = libm::erfc(high);
    if !(1.0..27.3).contains(&high) {
        return 0.5 * tail;
    }
    let low = (-x).mul_add(FRAC_1_SQRT_2, -high) - x * INV_SQRT2_LOW;
    0.5 * (tail - FRAC_2_SQRT_PI * (-high * high).exp() * low)
}

/// log Φ(x), finite wherever x is.
#[must_use]
pub fn log_normal_cdf(x: f64) -> f64 {
    if x > -30.0 {
        // above 0 the logarithm is near 0: use the upper tail
        return if x > 0.0 {
            (-normal_cdf(-x)).ln_1p()
        } else {
            normal_cdf(x).ln()
        };
    }
    if x == f64::NEG_INFINITY {
        return x;
    }
    let s = 1.0 / (x * x);
    let series = 1.0 - s * (1.0 - 3.0 * s * (1.0 - 5.0 * s * (1.0 - 7.0 * s * (1.0 - 9.0 * s))));
    -0.5 * x * x - 0.918_938_533_204_672_8 - (-x).ln() + series.ln()
}

/// log(1 + eˣ), the softplus. 0 at −∞, ∞ at ∞.
#[must_use]
pub fn log1p_exp(x: f64) -> f64 {
    if x > 0.0 {
        x + (-x).exp().ln_1p()
    } else {
        x.exp().ln_1p()
    }
}

/// 1 / (1 + e⁻ˣ), relatively accurate on both sides.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// log(eᵃ + eᵇ) without overflow; −∞ where both are.
#[must_use]
pub fn log_add_exp(a: f64, b: f64) -> f64 {
    if a == b {
        a + std::f64::consts::LN_2
    } else {
        a.max(b) + (-(a - b).abs()).exp().ln_1p()
    }
}

/// log Σ exp; −∞ for an empty slice or where all are −∞.
#[must_use]
pub fn log_sum_exp(values: &[f64]) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return top;
    }
    top + values.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
}
