//! Draws as functions of noise: the Gamma quantile and its slope, and counts.

use lvmc_kernels::counts::{binomial, poisson};
use lvmc_kernels::gamma::{log_quantile, log_quantile_slope};
use lvmc_kernels::special::{lgamma, log_normal_cdf};

fn shapes() -> impl Iterator<Item = f64> {
    let decades = (-8..=9).map(|k| 10f64.powi(k));
    decades
        .flat_map(|d| [d, 2.3 * d, 6.1 * d])
        .chain([0.999_999, 1.0, 1.000_001, 9.999, 10.001])
}

#[test]
fn slopes_are_the_derivatives_of_quantiles() {
    for a in shapes() {
        for i in -16..=16 {
            // the tail beyond holds next to nothing of a small shape's mass near 0, and a difference loses its digits
            let e = f64::from(i) * if a < 0.1 { 0.125 } else { 0.5 };
            let at = |h: f64| log_quantile(a * (1.0 + h), e);
            // fourth order
            let h = 2e-3;
            let difference = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h * a);
            let slope = log_quantile_slope(a, at(0.0));
            assert!(
                (difference - slope).abs() <= 2e-9 * slope.abs(),
                "{a} {e}: {difference} {slope}"
            );
        }
    }
}

/// F by its power series, of a moderate shape.
fn below(a: f64, z: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0 / a, 0.0, 0.0);
    while term > 1e-18 * sum {
        sum += term;
        k += 1.0;
        term *= z / (a + k);
    }
    (a * z.ln() - z - lgamma(a)).exp() * sum
}

#[test]
fn quantiles_invert_the_distribution_function() {
    for a in shapes().filter(|a| (1e-3..400.0).contains(a)) {
        for i in -10..=4 {
            let e = f64::from(i) * 0.5;
            let (l, u) = (log_quantile(a, e), log_normal_cdf(e).exp());
            if l < -700.0 {
                continue;
            }
            let found = below(a, l.exp());
            assert!((found - u).abs() <= 3e-13 * u, "{a} {e}: {found} {u}");
        }
    }
}

#[test]
fn exponential_quantiles() {
    for i in -60..=60 {
        let e = f64::from(i) * 0.125;
        let exact = (-log_normal_cdf(-e)).ln();
        assert!(
            (log_quantile(1.0, e) - exact).abs() < 4e-15 * (1.0 + exact.abs()),
            "{e}"
        );
    }
}

#[test]
fn edges() {
    for a in [1e-300, 1e-30, 1e15, 1e100, 1e300] {
        for e in [-8.6, 0.0, 8.6] {
            let l = log_quantile(a, e);
            assert!(!l.is_nan() && (l - a.ln()).is_finite(), "{a} {e}: {l}");
            assert!(!log_quantile_slope(a, l).is_nan(), "{a} {e}");
        }
    }
    for a in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(log_quantile(a, 0.3).is_nan() && log_quantile_slope(a, 0.3).is_nan());
    }
}

/// The shares of values over a fine grid of u, against log probabilities.
fn shares(draw: impl Fn(f64) -> f64, log_mass: impl Fn(f64) -> f64, to: u32) {
    let n = 200_000;
    let mut seen = vec![0.0; to as usize + 1];
    for i in 0..n {
        let x = draw((f64::from(i) + 0.5) / f64::from(n));
        if x <= f64::from(to) {
            seen[x as usize] += 1.0 / f64::from(n);
        }
    }
    for (k, share) in seen.into_iter().enumerate() {
        let mass = log_mass(k as f64).exp();
        assert!((share - mass).abs() <= 1.01 / f64::from(n), "{k}: {share} {mass}");
    }
}

#[test]
fn counts_have_their_probabilities() {
    for rate in [1e-3_f64, 0.7, 3.0, 41.5] {
        shares(|u| poisson(rate, u), |k| k * rate.ln() - rate - lgamma(k + 1.0), 100);
    }
    for (n, p) in [(1.0_f64, 0.3_f64), (7.0, 0.5), (12.0, 0.97), (90.0, 0.02)] {
        let log = |k: f64| {
            let choose = lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
            choose + k * p.ln() + (n - k) * (1.0 - p).ln()
        };
        shares(|u| binomial(n, p, u), log, n as u32);
    }
    assert_eq!(
        [poisson(0.0, 0.4), binomial(5.0, 1.0, 0.2), binomial(5.0, 0.0, 0.2)],
        [0.0, 5.0, 0.0]
    );
    assert!(poisson(-1.0, 0.4).is_nan() && binomial(2.5, 0.5, 0.4).is_nan() && poisson(f64::NAN, 0.4).is_nan());
}
