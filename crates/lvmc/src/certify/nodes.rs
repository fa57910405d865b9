//! Integrals over the continuous latents of a row, by means that know nothing of the rules.
//!
//! Real latents: the log density is asked at a handful of points, which determine a quadratic; its integral is that of a
//! Gaussian, and 2P points at √P times the columns of a root of its covariance give every expectation of a quadratic. A
//! quadratic that misses the density at a further point is reported: the density is not Gaussian there. One positive or
//! unit latent: the trapezoidal rule in log u or logit u, which converges exponentially. Two or three probabilities: a
//! double-exponential rule for each stick that is broken off.
//!
//! A tail u^(−s) is a straight line in log u. Cut where its mass is nothing, it may still hold much of E[u²] (infinitely
//! much, where s ≤ 3): the points beyond the last are a geometric series, summed as one, and ∞ where it
//! diverges.

use crate::failure::Failure;
use lvmc_term::{Array, Support};

/// Points of the trapezoidal rule.
const POINTS: usize = 240;
/// The widest step in log u: the rule's error for a gamma or an inverse gamma is about exp(−π²/step).
const WIDEST: f64 = 0.25;
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
    /// What lies beyond the last node adds to E[u] and E[u²] of a single positive latent; ∞ where there is no such moment.
    pub tail: [f64; 2],
}

impl Integral {
    /// An integral without a tail.
    #[must_use]
    pub fn new(log: f64, nodes: Vec<(f64, Vec<Array>)>) -> Self {
        let tail = [0.0; 2];
        Self { log, nodes, tail }
    }
}

/// The integral of a density that is 0: what is observed has probability 0 under the finite variables' values.
const NOTHING: Integral = Integral {
    log: f64::NEG_INFINITY,
    nodes: vec![],
    tail: [0.0; 2],
};

/// Integrates exp f over the latents.
///
/// # Errors
/// f cannot be evaluated, or the latents are of a kind that this does not integrate.
pub fn integrate(latents: &[Latent], f: &mut dyn FnMut(&[Array]) -> Result<f64, Failure>) -> Result<Integral, Failure> {
    if latents.is_empty() {
        let nodes = vec![(1.0, vec![])];
        return Ok(Integral::new(f(&[])?, nodes));
    }
    if latents.iter().all(|l| l.support == Support::Real) {
        return gaussian(latents, f);
    }
    match latents {
        [one] if one.shape.is_empty() => trapezoid(one, f),
        [one] if one.support == Support::Simplex && one.shape[..] == [2] => sticks(1, f),
        [one] if one.support == Support::Simplex && one.shape[..] == [3] => sticks(2, f),
        _ => Err(Failure::usage(
            "the certificate integrates real latents, one positive or unit latent, or two or three probabilities",
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
            return Ok(Integral::new(f64::NAN, vec![]));
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
    Ok(Integral::new(log, nodes))
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
    // long tails take more points
    let points = POINTS.max(((high - low) / WIDEST).ceil() as usize);
    let step = (high - low) / points as f64;
    let mut values = vec![];
    for i in 0..=points {
        values.push(at(low + step * i as f64)?);
    }
    let top = values.iter().map(|v| v.1).fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return Ok(NOTHING);
    }
    let sum: f64 = values.iter().map(|v| (v.1 - top).exp()).sum();
    // where u rounds to an end of its support the density is 0, and its log no number; a positive u may weigh nothing and
    // still add to E[u²]
    let bounded = latent.support == Support::Unit;
    let least = if bounded { LEAST } else { 0.0 };
    let nodes = values
        .iter()
        .map(|(u, log)| ((log - top).exp() / sum, vec![Array::scalar(*u)]))
        .filter(|(w, _)| *w > least)
        .collect();
    let logs: Vec<f64> = values.iter().map(|v| v.1 - top - sum.ln()).collect();
    let tail = if bounded {
        [0.0; 2]
    } else {
        [1.0, 2.0].map(|power| beyond(&logs, power, high, step))
    };
    Ok(Integral {
        log: top + (sum * step).ln(),
        nodes,
        tail,
    })
}

/// Points over which the slope at the end is taken: rounding of the logs over them is small beside AGREE times a margin.
const SLOPE: usize = 8;

/// Σ over the points v = high + j·step, j ≥ 1, of weight times e^(power·v), where log weights go on as a straight line:
/// with q the ratio of two neighbours, last · q / (1 − q).
fn beyond(logs: &[f64], power: f64, high: f64, step: f64) -> f64 {
    let last = logs[logs.len() - 1];
    let before = logs[logs.len() - 1 - SLOPE];
    if last == f64::NEG_INFINITY || last.is_nan() {
        return 0.0;
    }
    let log_q = (last - before) / SLOPE as f64 + power * step;
    if log_q < 0.0 {
        (last + power * high + log_q).exp() / -log_q.exp_m1()
    } else {
        f64::INFINITY
    }
}

/// Step of the double-exponential rule u = 1/(1 + exp(−π sinh t)), which converges as fast as a trapezoid on the line.
const STICK_STEP: f64 = 0.125;
/// Points on either side.
const STICK_POINTS: i32 = 30;

/// One or two sticks broken off: p = (x, (1 − x) y, (1 − x)(1 − y)) with the Jacobian 1 − x, each of them in (0, 1).
fn sticks(count: usize, f: &mut dyn FnMut(&[Array]) -> Result<f64, Failure>) -> Result<Integral, Failure> {
    // u, 1 − u and log du/dt
    let line: Vec<(f64, f64, f64)> = (-STICK_POINTS..=STICK_POINTS)
        .map(|i| {
            let t = STICK_STEP * f64::from(i);
            let v = std::f64::consts::PI * t.sinh();
            let (u, slope) = curve(&Support::Unit, v);
            (u, 1.0 / (1.0 + v.exp()), slope + (std::f64::consts::PI * t.cosh()).ln())
        })
        .collect();
    let mut values = vec![];
    for &(x, rest, slope) in &line {
        if count == 1 {
            let p = Array::vector(vec![x, rest]);
            values.push((f(std::slice::from_ref(&p))? + slope, p));
            continue;
        }
        for &(y, last, more) in &line {
            let p = Array::vector(vec![x, rest * y, rest * last]);
            values.push((f(std::slice::from_ref(&p))? + slope + more + rest.ln(), p));
        }
    }
    let top = values.iter().map(|v| v.0).fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return Ok(NOTHING);
    }
    let sum: f64 = values.iter().map(|v| (v.0 - top).exp()).sum();
    let nodes = values
        .into_iter()
        .map(|(log, p)| ((log - top).exp() / sum, vec![p]))
        .filter(|(w, _)| *w > LEAST)
        .collect();
    let log = top + sum.ln() + count as f64 * STICK_STEP.ln();
    Ok(Integral::new(log, nodes))
}
