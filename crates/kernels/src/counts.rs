//! Counts as functions of one uniform number u: u is used up by the probabilities of the values, from the mode outwards, so
//! that a draw takes about as many steps as the distribution has standard deviations of values.

use crate::special::lgamma;

/// Larger means are not drawn: NaN.
const LARGEST: f64 = 1e10;

/// The value at which u is used up. `up` and `down` give P(k + 1)/P(k) and P(k − 1)/P(k).
fn outwards(u: f64, mode: f64, mass: f64, up: impl Fn(f64) -> f64, down: impl Fn(f64) -> f64) -> f64 {
    let (mut left, mut above, mut below) = (u - mass, (mode, mass), (mode, mass));
    loop {
        if left < 0.0 {
            return above.0;
        }
        above = (above.0 + 1.0, above.1 * up(above.0));
        left -= above.1;
        if left < 0.0 {
            return above.0;
        }
        if below.0 > 0.0 {
            below = (below.0 - 1.0, below.1 * down(below.0));
            left -= below.1;
            if left < 0.0 {
                return below.0;
            }
        } else {
            below.1 = 0.0;
        }
        // what rounding leaves
        if above.1 <= f64::MIN_POSITIVE && below.1 <= f64::MIN_POSITIVE {
            return mode;
        }
    }
}

/// A draw of Poisson(λ) from a uniform number. NaN for a λ that is negative, not a number, or above 10¹⁰.
#[must_use]
pub fn poisson(rate: f64, u: f64) -> f64 {
    if !((0.0..=LARGEST).contains(&rate) && (0.0..1.0).contains(&u)) {
        return f64::NAN;
    }
    if rate == 0.0 {
        return 0.0;
    }
    let mode = rate.floor();
    let mass = (mode * rate.ln() - rate - lgamma(mode + 1.0)).exp();
    outwards(u, mode, mass, |k| rate / (k + 1.0), |k| k / rate)
}

/// A draw of Binomial(n, p) from a uniform number. NaN where n is no count up to 10¹⁰, or p no probability.
#[must_use]
pub fn binomial(n: f64, p: f64, u: f64) -> f64 {
    if !((0.0..=LARGEST).contains(&n) && n.fract() == 0.0 && (0.0..=1.0).contains(&p) && (0.0..1.0).contains(&u)) {
        return f64::NAN;
    }
    if p == 0.0 || n == 0.0 {
        return 0.0;
    }
    if p == 1.0 {
        return n;
    }
    let (q, mode) = (1.0 - p, ((n + 1.0) * p).floor().min(n));
    let choose = lgamma(n + 1.0) - lgamma(mode + 1.0) - lgamma(n - mode + 1.0);
    let mass = (choose + mode * p.ln() + (n - mode) * (-p).ln_1p()).exp();
    outwards(
        u,
        mode,
        mass,
        |k| (n - k).max(0.0) / (k + 1.0) * (p / q),
        |k| k / (n - k + 1.0) * (q / p),
    )
}
