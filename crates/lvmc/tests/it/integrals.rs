//! Integrals that the certificates take, against known ones.

use lvmc::certify::nodes::{Latent, integrate};
use lvmc_term::{Array, Env, Store, Support};

#[test]
fn known_integrals() {
    let real = |shape: &[usize]| Latent {
        shape: shape.to_vec(),
        support: Support::Real,
    };
    // ∫ exp(−½ (z₁² + z₂² + z₁z₂) + z₁) dz
    let mut f = |z: &[Array]| {
        let z = &z[0].data;
        Ok(-0.5 * (z[0] * z[0] + z[1] * z[1] + z[0] * z[1]) + z[0])
    };
    let found = integrate(&[real(&[2])], &mut f).unwrap();
    let want = (2.0 * std::f64::consts::PI).ln() - 0.5 * 0.75f64.ln() + 0.5 / 0.75;
    assert!((found.log - want).abs() < 1e-12, "{} {want}", found.log);
    // ∫ u² e^(−3u) du = 2/27
    let positive = Latent {
        shape: vec![],
        support: Support::Positive,
    };
    let found = integrate(&[positive], &mut |u| Ok(2.0 * u[0].data[0].ln() - 3.0 * u[0].data[0])).unwrap();
    assert!((found.log - (2.0f64 / 27.0).ln()).abs() < 1e-12, "{}", found.log);
    let mean: f64 = found.nodes.iter().map(|(w, u)| w * u[0].data[0]).sum();
    assert!((mean - 1.0).abs() < 1e-11, "{mean}");
}

/// ∫ Π p_d^(a_d − 1) dp = Π Γ(a_d) / Γ(Σ a_d), here of whole numbers and halves.
#[test]
fn probabilities() {
    let pi = std::f64::consts::PI;
    let cases = [
        (vec![0.5, 0.5], pi),
        (vec![3.0, 4.0], 12.0 / 720.0),
        (vec![0.5, 0.5, 1.0], pi),
        (vec![3.0, 4.0, 9.0], 2.0 * 6.0 * 40320.0 / 1_307_674_368_000.0),
    ];
    for (a, want) in cases {
        let latent = Latent {
            shape: vec![a.len()],
            support: Support::Simplex,
        };
        let mut f = |p: &[Array]| Ok(p[0].data.iter().zip(&a).map(|(p, a)| (a - 1.0) * p.ln()).sum());
        let found = integrate(&[latent], &mut f).unwrap();
        assert!(
            (found.log - f64::ln(want)).abs() < 1e-10,
            "{a:?}: {} {}",
            found.log,
            want.ln()
        );
        let mean: f64 = found.nodes.iter().map(|(w, p)| w * p[0].data[1]).sum();
        let exact = a[1] / a.iter().sum::<f64>();
        assert!((mean - exact).abs() < 1e-10, "{a:?}: {mean} {exact}");
    }
}

/// Inverse gammas of shape a and scale 1: E[u] = 1/(a − 1) and E[u²] = 1/((a − 1)(a − 2)), near the shapes from which on
/// they exist, on both sides.
#[test]
fn moments_of_heavy_tails() {
    for a in [0.8, 0.999, 1.001, 1.2, 1.9, 1.999, 2.001, 2.05, 2.3, 3.0, 7.0, 40.0] {
        let latent = Latent {
            shape: vec![],
            support: Support::Positive,
        };
        let mut f = |u: &[Array]| Ok(-(a + 1.0) * u[0].data[0].ln() - 1.0 / u[0].data[0]);
        let found = integrate(&[latent], &mut f).unwrap();
        let mut s = Store::new();
        let shape = s.num(a);
        let log = s.lgamma(shape);
        let log = s.eval_scalar(log, &Env::new()).unwrap();
        assert!((found.log - log).abs() < 1e-11, "shape {a}: {} {log}", found.log);
        let first = if a > 1.0 { 1.0 / (a - 1.0) } else { f64::INFINITY };
        let second = if a > 2.0 { first / (a - 2.0) } else { f64::INFINITY };
        for (power, want) in [(1, first), (2, second)] {
            let inside: f64 = found.nodes.iter().map(|(w, u)| w * u[0].data[0].powi(power)).sum();
            let got = inside + found.tail[power as usize - 1];
            let same = got == want || (got - want).abs() < 1e-9 * (1.0 + want);
            assert!(same, "shape {a}, power {power}: {got} {want}");
        }
    }
}
