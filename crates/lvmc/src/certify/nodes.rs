//! Integrals over the continuous latents of a row, by means that know nothing of the rules.
//!
//! Real latents: the log density is asked at a handful of points, which determine a quadratic; its integral is that of a
//! Gaussian, and 2P points at √P times the columns of a root of its covariance give every expectation of a quadratic. A
//! quadratic that misses the density at a further point is reported: the density is not Gaussian there. One positive or
//! unit latent: the trapezoidal rule in log u or logit u, which converges exponentially.

use crate::failure::Failure;
use lvmc_term::{Array, Support};

/// Points of the trapezoidal rule.
const POINTS: usize = 240;
/// What the log density may fall by from its top before the rest is left out.
const DROP: f64 = 60.0;

/// Weights below this add nothing.
const LEAST: f64 = 1e-25;

/// A continuous latent.
#[derive(Debug, Clone)]
pub struct Latent {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its support.
    pub support: Support,
}

/// log ∫ and points that stand for the posterior.
#[derive(Debug, Clone)]
pub struct Integral {
    /// log ∫ exp f.
    pub log: f64,
    /// Weight, and a value for each latent. Weights sum to 1.
    pub nodes: Vec<(f64, Vec<Array>)>,
}

/// The integral of a density that is 0: what is observed has probability 0 under the finite variables' values.
const NOTHING: Integral = Integral {
    log: f64::NEG_INFINITY,
    nodes: vec![],
};

/// Integrates exp f over the latents.
///
/// # Errors
/// f cannot be evaluated, or the latents are of a kind that this does not integrate.
pub fn integrate(latents: &[Latent], f: &mut dyn FnMut(&[Array]) -> Result<f64, Failure>) -> Result<Integral, Failure> {
    if latents.is_empty() {
        let nodes = vec![(1.0, vec![])];
        return Ok(Integral { log: f(&[])?, nodes });
    }
    if latents.iter().all(|l| l.support == Support::Real) {
        return gaussian(latents, f);
    }
    match latents {
        [one] if one.shape.is_empty() => trapezoid(one, f),
        _ => Err(Failure::usage(
            "the certificate integrates real latents, or one positive or unit latent",
            "certify the model with fewer latents",
        )),
    }
}

fn shaped(latents: &[Latent], flat: &[f64]) -> Vec<Array> {
    let mut at = 0;
    latents
        .iter()
        .map(|l| {
            let n: usize = l.shape.iter().product();
            let data = flat[at..at + n].to_vec();
            at += n;
            Array {
                shape: l.shape.clone(),
                data,
            }
        })
        .collect()
}

fn gaussian(latents: &[Latent], f: &mut dyn FnMut(&[Array]) -> Result<f64, Failure>) -> Result<Integral, Failure> {
    let n: usize = latents.iter().map(|l| l.shape.iter().product::<usize>()).sum();
    let mut at = |flat: &[f64]| f(&shaped(latents, flat));
    let mut mean = vec![0.0; n];
    let (mut log, mut root) = (0.0, Array::eye(n));
    // the second pass is around the mean, where the gradient is rounding
    for _ in 0..2 {
        let here = at(&mean)?;
        if here == f64::NEG_INFINITY {
            return Ok(NOTHING);
        }
        let moved = |steps: &[(usize, f64)]| {
            let mut z = mean.clone();
            steps.iter().for_each(|&(i, by)| z[i] += by);
            z
        };
        let (mut up, mut down) = (vec![], vec![]);
        for i in 0..n {
            up.push(at(&moved(&[(i, 1.0)]))?);
            down.push(at(&moved(&[(i, -1.0)]))?);
        }
        let mut precision = Array::filled(&[n, n], 0.0);
        for i in 0..n {
            precision.data[i * n + i] = 2.0 * here - up[i] - down[i];
            for j in 0..i {
                let both = at(&moved(&[(i, 1.0), (j, 1.0)]))?;
                let cross = -(both - up[i] - up[j] + here);
                precision.data[i * n + j] = cross;
                precision.data[j * n + i] = cross;
            }
        }
        let gradient = Array::vector((0..n).map(|i| 0.5 * (up[i] - down[i])).collect());
        let Some(l) = precision.cholesky() else {
            return Ok(Integral {
                log: f64::NAN,
                nodes: vec![],
            });
        };
        root = l.solve_lower(&Array::eye(n));
        let white = root.matmul(&gradient);
        let step = root.transposed().matmul(&white);
        let log_det: f64 = (0..n).map(|i| l.at2(i, i).ln()).sum();
        let square: f64 = white.data.iter().map(|x| x * x).sum();
        log = here + 0.5 * square + 0.5 * n as f64 * (2.0 * std::f64::consts::PI).ln() - log_det;
        // a quadratic of that curvature, at a point that none of the above was
        let far: Vec<f64> = mean
            .iter()
            .enumerate()
            .map(|(i, m)| m + 0.7 * (1.3 * i as f64).cos())
            .collect();
        let e = Array::vector(far.iter().zip(&mean).map(|(a, b)| a - b).collect());
        let bent = l.transposed().matmul(&e);
        let linear: f64 = e.data.iter().zip(&gradient.data).map(|(a, b)| a * b).sum();
        let want = here + linear - 0.5 * bent.data.iter().map(|x| x * x).sum::<f64>();
        if (at(&far)? - want).abs() > 1e-7 * (1.0 + want.abs()) {
            log = f64::NAN;
        }
        mean.iter_mut().zip(&step.data).for_each(|(m, s)| *m += s);
    }
    let scale = (n as f64).sqrt();
    let mut nodes = vec![];
    for p in 0..n {
        for sign in [scale, -scale] {
            let z: Vec<f64> = (0..n).map(|i| mean[i] + sign * root.at2(p, i)).collect();
            nodes.push((0.5 / n as f64, shaped(latents, &z)));
        }
    }
    Ok(Integral { log, nodes })
}

/// u and log du/dv at v.
fn curve(support: &Support, v: f64) -> (f64, f64) {
    if *support == Support::Unit {
        let u = 1.0 / (1.0 + (-v).exp());
        // u (1 − u)
        (u, -v.abs() - 2.0 * (-v.abs()).exp().ln_1p())
    } else {
        (v.exp(), v)
    }
}

fn trapezoid(latent: &Latent, f: &mut dyn FnMut(&[Array]) -> Result<f64, Failure>) -> Result<Integral, Failure> {
    let mut at = |v: f64| -> Result<(f64, f64), Failure> {
        let (u, slope) = curve(&latent.support, v);
        Ok((u, f(&[Array::scalar(u)])? + slope))
    };
    let (mut low, mut high) = (-60.0, 60.0);
    // the bracket narrows to where the integrand is
    for _ in 0..4 {
        let step = (high - low) / POINTS as f64;
        let mut values = vec![];
        for i in 0..=POINTS {
            values.push(at(low + step * i as f64)?.1);
        }
        let finite = |x: &f64| if x.is_nan() { f64::NEG_INFINITY } else { *x };
        let top = values.iter().map(finite).fold(f64::NEG_INFINITY, f64::max);
        let inside: Vec<usize> = (0..=POINTS).filter(|&i| finite(&values[i]) > top - DROP).collect();
        let (Some(&first), Some(&last)) = (inside.first(), inside.last()) else {
            break;
        };
        (low, high) = (
            low + step * (first as f64 - 1.0).max(0.0),
            low + step * (last as f64 + 1.0).min(POINTS as f64),
        );
    }
    let step = (high - low) / POINTS as f64;
    let mut values = vec![];
    for i in 0..=POINTS {
        values.push(at(low + step * i as f64)?);
    }
    let top = values.iter().map(|v| v.1).fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return Ok(NOTHING);
    }
    let sum: f64 = values.iter().map(|v| (v.1 - top).exp()).sum();
    // where u rounds to an end of its support the density is 0, and its log no number
    let nodes = values
        .iter()
        .map(|(u, log)| ((log - top).exp() / sum, vec![Array::scalar(*u)]))
        .filter(|(w, _)| *w > LEAST)
        .collect();
    Ok(Integral {
        log: top + (sum * step).ln(),
        nodes,
    })
}

#[cfg(test)]
mod tests {
    use super::{Latent, integrate};
    use lvmc_term::{Array, Support};

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
}
