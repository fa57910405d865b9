//! Double-exponential quadrature: nodes and weights over the supports of the families.

use lvmc_families::Array;
use std::f64::consts::FRAC_PI_2;

/// Where a distribution lives.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// ℝ.
    RealLine,
    /// ℝ².
    Plane,
    /// (0, ∞).
    Positive,
    /// (0, 1).
    Unit,
    /// Two or three probabilities.
    Simplex,
    /// Covariances of one or two dimensions.
    Covariance,
    /// 0, 1, 2, ….
    Counts,
    /// Vectors of counts, each up to that.
    CountVectors(usize),
    /// Listed values.
    Atoms(Vec<f64>),
    /// No probability distribution.
    Improper,
}

/// Nodes and weights on (0, ∞): x = exp(π/2 sinh t).
fn positive(h: f64) -> Vec<(f64, f64)> {
    steps(h, 4.6)
        .map(|t| (FRAC_PI_2 * t.sinh()).exp())
        .zip(steps(h, 4.6))
        .map(|(x, t)| (x, h * x * FRAC_PI_2 * t.cosh()))
        .collect()
}

/// On ℝ: x = sinh(π/2 sinh t).
fn real(h: f64) -> Vec<(f64, f64)> {
    steps(h, 3.6)
        .map(|t| {
            let u = FRAC_PI_2 * t.sinh();
            (u.sinh(), h * u.cosh() * FRAC_PI_2 * t.cosh())
        })
        .collect()
}

/// On (0, 1): x = 1/(1 + exp(−π sinh t)).
fn unit(h: f64) -> Vec<(f64, f64)> {
    steps(h, 3.4)
        .map(|t| {
            let u = 2.0 * FRAC_PI_2 * t.sinh();
            let x = 1.0 / (1.0 + (-u).exp());
            (x, h * x * (1.0 / (1.0 + u.exp())) * 2.0 * FRAC_PI_2 * t.cosh())
        })
        .filter(|&(x, _)| x > 0.0 && x < 1.0)
        .collect()
}

fn steps(h: f64, end: f64) -> impl Iterator<Item = f64> {
    let n = (end / h) as i32;
    (-n..=n).map(move |i| f64::from(i) * h)
}

impl Domain {
    /// Values of that shape with their weights.
    pub fn nodes(&self, shape: &[usize]) -> Vec<(Array, f64)> {
        let scalars = |nodes: Vec<(f64, f64)>| nodes.into_iter().map(|(x, w)| (Array::scalar(x), w)).collect();
        match self {
            Domain::RealLine => scalars(real(0.005)),
            Domain::Positive => scalars(positive(0.01)),
            Domain::Unit => scalars(unit(0.01)),
            Domain::Counts => scalars((0..400).map(|i| (f64::from(i), 1.0)).collect()),
            Domain::CountVectors(most) => {
                let mut all: Vec<Vec<f64>> = vec![vec![]];
                for _ in 0..shape[0] {
                    let longer = |head: &Vec<f64>, x: usize| [&head[..], &[x as f64]].concat();
                    all = all
                        .iter()
                        .flat_map(|h| (0..=*most).map(move |x| longer(h, x)))
                        .collect();
                }
                all.into_iter().map(|x| (Array::vector(x), 1.0)).collect()
            }
            Domain::Atoms(xs) => scalars(xs.iter().map(|&x| (x, 1.0)).collect()),
            Domain::Improper => vec![],
            Domain::Plane => pairs(&real(0.05), &real(0.05), |x, y| (Array::vector(vec![x, y]), 1.0)),
            Domain::Simplex if shape == [2] => unit(0.01)
                .into_iter()
                .map(|(x, w)| (Array::vector(vec![x, 1.0 - x]), w))
                .collect(),
            Domain::Simplex => pairs(&unit(0.04), &unit(0.04), |x, u| {
                let y = (1.0 - x) * u;
                (Array::vector(vec![x, y, (1.0 - x) * (1.0 - u)]), 1.0 - x)
            }),
            Domain::Covariance if shape == [1, 1] => positive(0.01)
                .into_iter()
                .map(|(x, w)| (Array::matrix(1, 1, vec![x]), w))
                .collect(),
            Domain::Covariance => covariances(),
        }
    }
}

fn pairs(xs: &[(f64, f64)], ys: &[(f64, f64)], f: impl Fn(f64, f64) -> (Array, f64)) -> Vec<(Array, f64)> {
    let both = xs
        .iter()
        .flat_map(|&(x, wx)| ys.iter().map(move |&(y, wy)| (x, y, wx * wy)));
    both.map(|(x, y, w)| {
        let (value, jacobian) = f(x, y);
        (value, w * jacobian)
    })
    .collect()
}

/// X = L Lᵀ with L = (a, 0; a c u, c) and Jacobian 4 a³ c²: tr(Ψ X⁻¹) is then quadratic in u, for which equal steps
/// converge at once. Positive definite by construction.
fn covariances() -> Vec<(Array, f64)> {
    const STEP: f64 = 0.4;
    let diagonal: Vec<(f64, f64)> = positive(0.075)
        .into_iter()
        .filter(|n| n.0 > 0.05 && n.0 < 100.0)
        .collect();
    let mut out = vec![];
    for &(a, wa) in &diagonal {
        for &(c, wc) in &diagonal {
            for i in -30..=30 {
                let b = a * c * STEP * f64::from(i);
                let x = Array::matrix(2, 2, vec![a * a, a * b, a * b, b * b + c * c]);
                out.push((x, wa * wc * STEP * 4.0 * a.powi(3) * c * c));
            }
        }
    }
    out
}
