//! Building blocks of the samplers. Arguments outside their range give NaN, which callers find before they draw.

use crate::Array;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// N(0, 1).
pub(crate) fn normal(rng: &mut dyn rand::Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Uniform on (0, 1].
pub(crate) fn uniform(rng: &mut dyn rand::Rng) -> f64 {
    1.0 - rng.random::<f64>()
}

/// Gamma(a, 1).
pub(crate) fn gamma(rng: &mut dyn rand::Rng, a: f64) -> f64 {
    log_gamma(rng, a).exp().max(f64::MIN_POSITIVE)
}

/// The log of a draw from Gamma(a, 1): for a small shape the draw itself would often round to 0.
/// X ~ Gamma(a + 1), U uniform: X U^(1/a) ~ Gamma(a).
pub(crate) fn log_gamma(rng: &mut dyn rand::Rng, a: f64) -> f64 {
    let boosted = a < 1.0;
    let Ok(g) = rand_distr::Gamma::new(if boosted { a + 1.0 } else { a }, 1.0) else {
        return f64::NAN;
    };
    let x: f64 = g.sample(rng).ln();
    if !boosted {
        x
    } else if a > 0.0 {
        x + uniform(rng).ln() / a
    } else {
        f64::NAN
    }
}

/// The number of successes in n trials of probability p.
pub(crate) fn binomial(rng: &mut dyn rand::Rng, n: f64, p: f64) -> f64 {
    if !(n >= 0.0 && n.fract() == 0.0 && n < 2.0_f64.powi(53)) {
        return f64::NAN;
    }
    match rand_distr::Binomial::new(n as u64, p) {
        Ok(d) => d.sample(rng) as f64,
        Err(_) => f64::NAN,
    }
}

/// A position drawn with the given probabilities; the last possible one takes what rounding leaves.
pub(crate) fn category(rng: &mut dyn rand::Rng, p: &[f64]) -> usize {
    let mut left = rng.random::<f64>() * p.iter().sum::<f64>();
    let mut chosen = 0;
    for (k, &pk) in p.iter().enumerate() {
        if pk > 0.0 {
            chosen = k;
            left -= pk;
            if left < 0.0 {
                break;
            }
        }
    }
    chosen
}

/// A lower-triangular L with L Lᵀ = A for a covariance that may be singular (a zero variance is a point).
pub(crate) fn root(a: &Array) -> Array {
    let n = a.rows();
    let top = (0..n).map(|i| a.at2(i, i)).fold(0.0, f64::max);
    let mut l = Array::filled(&[n, n], 0.0);
    for j in 0..n {
        let pivot = a.at2(j, j) - (0..j).map(|k| l.at2(j, k).powi(2)).sum::<f64>();
        if pivot.is_nan() || pivot < -1e-9 * top {
            return Array::filled(&[n, n], f64::NAN);
        }
        if pivot <= 1e-14 * top {
            continue;
        }
        l.data[j * n + j] = pivot.sqrt();
        for i in j + 1..n {
            let s: f64 = (0..j).map(|k| l.at2(i, k) * l.at2(j, k)).sum();
            l.data[i * n + j] = (a.at2(i, j) - s) / pivot.sqrt();
        }
    }
    l
}

/// L⁻ᵀ b for a lower-triangular L and a vector b.
pub(crate) fn solve_upper(l: &Array, b: &Array) -> Array {
    let n = l.rows();
    let mut x = b.clone();
    for i in (0..n).rev() {
        let s: f64 = (i + 1..n).map(|k| l.at2(k, i) * x.data[k]).sum();
        x.data[i] = (x.data[i] - s) / l.at2(i, i);
    }
    x
}
