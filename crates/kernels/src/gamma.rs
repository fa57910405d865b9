//! Draws of Gamma(a, 1) as a smooth function of one standard normal number ε: z = F⁻¹(Φ(ε); a), in logs, and its derivative
//! in the shape a at fixed ε (Figurnov, Mohamed and Mnih 2018).
//!
//! With l = log z and t the distance of the logarithm from it, both tails are integrals of one log-concave function,
//!
//! ```text
//! F / (z p(z))       = ∫₀^∞ e^{−g(t)} dt,   g(t) = (a − z) t + z (e^{−t} − 1 + t)
//! (1 − F) / (z p(z)) = ∫₀^∞ e^{−g(t)} dt,   g(t) = (z − a) t + z (e^{t} − 1 − t)
//! dl/da = ∫₀^∞ (ψ(a) − l + t) e^{−g(t)} dt below, ∫₀^∞ (l − ψ(a) + t) e^{−g(t)} dt above,
//! ```
//!
//! the last as −∂F/∂a / (z p(z)). The integrand is entire and falls from its top to 0 on a scale that is known, so that one
//! Gauss–Legendre rule takes it to rounding for every a ≥ 1; below 1 and near 0 the power series of F does. Of the two tails
//! the one that the target lies in is solved for: its logarithm is concave in l, and Newton's steps come to its root from
//! anywhere.

use crate::special::{digamma, lgamma, log_normal_cdf};
use std::f64::consts::TAU;
use std::sync::OnceLock;

/// Half of the nodes of the rule; they lie symmetrically.
const HALF: usize = 20;

/// The integrand is cut where it is e^{−DEPTH} of its value at 0.
const DEPTH: f64 = 38.0;

/// Below this z the power series of a shape under 1 is used.
const NEAR: f64 = 3.0;

/// Steps of the solver; three are usual.
const STEPS: usize = 60;

/// A tail of the distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Below,
    Above,
}

/// Nodes in (0, 1) of the Gauss–Legendre rule on [−1, 1], and their weights.
fn rule() -> &'static [[f64; 2]; HALF] {
    static RULE: OnceLock<[[f64; 2]; HALF]> = OnceLock::new();
    RULE.get_or_init(|| {
        let n = 2 * HALF;
        std::array::from_fn(|i| {
            // from the usual guess by Newton's steps on P_n
            let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..8 {
                let (mut before, mut p) = (1.0, x);
                for k in 2..=n {
                    let k = k as f64;
                    (before, p) = (p, ((2.0 * k - 1.0) * x * p - (k - 1.0) * before) / k);
                }
                slope = n as f64 * (x * p - before) / (x * x - 1.0);
                x -= p / slope;
            }
            [x, 2.0 / ((1.0 - x * x) * slope * slope)]
        })
    })
}

/// 1/2!, 1/3!, ….
const INVERSE_FACTORIALS: [f64; 13] = {
    let (mut out, mut k) = ([0.5; 13], 1);
    while k < 13 {
        out[k] = out[k - 1] / (k + 2) as f64;
        k += 1;
    }
    out
};

/// eˣ − 1 − x.
fn rest(x: f64) -> f64 {
    if x.abs() > 0.4 {
        return x.exp_m1() - x;
    }
    x * x * INVERSE_FACTORIALS.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

/// A point: the shape and x = log z − log a.
#[derive(Debug, Clone, Copy)]
struct Point {
    a: f64,
    x: f64,
}

impl Point {
    fn z(self) -> f64 {
        self.a * self.x.exp()
    }

    /// log (z p(z)) = −a (eˣ − 1 − x) + a log a − a − log Γ(a).
    fn log_density(self) -> f64 {
        let a = self.a;
        let constant = if a < 10.0 {
            a * a.ln() - a - lgamma(a)
        } else {
            // Stirling's series
            let s = 1.0 / (a * a);
            let series = (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s / 1188.0)))) / a;
            0.5 * (a / TAU).ln() - series
        };
        constant - a * rest(self.x)
    }

    /// Where the integrand of a tail has fallen to nothing, or somewhat beyond.
    fn end(self, side: Side) -> f64 {
        let (a, z) = (self.a, self.z());
        let w = a * self.x.exp_m1();
        match side {
            // e^{−t} − 1 + t ≥ t²/(2 + t)
            Side::Below => {
                let b = DEPTH + 2.0 * w;
                let root = (b * b + 8.0 * a * DEPTH).sqrt();
                // of two forms the one that does not cancel
                if b > 0.0 {
                    (b + root) / (2.0 * a)
                } else {
                    4.0 * DEPTH / (root - b)
                }
            }
            // eᵗ − 1 − t ≥ t²/2, and t = log(1 + (DEPTH + a t)/z) at the end, from above
            Side::Above => {
                let root = (w * w + 2.0 * z * DEPTH).sqrt();
                let mut t = if w > 0.0 {
                    2.0 * DEPTH / (w + root)
                } else {
                    (root - w) / z
                };
                for _ in 0..4 {
                    t = t.min(((DEPTH + a * t) / z).ln_1p());
                }
                t
            }
        }
    }

    /// ∫ e^{−g(t)} dt and ∫ t e^{−g(t)} dt of a tail.
    fn integrals(self, side: Side) -> [f64; 2] {
        let (z, end) = (self.z(), self.end(side));
        let sign = if side == Side::Below { -1.0 } else { 1.0 };
        let w = sign * self.a * self.x.exp_m1();
        let mut sums = [0.0; 2];
        for &[node, weight] in rule() {
            for node in [-node, node] {
                let t = 0.5 * end * (1.0 + node);
                let e = weight * (-(w * t + z * rest(sign * t))).exp();
                sums[0] += e;
                sums[1] += e * t;
            }
        }
        sums.map(|s| 0.5 * end * s)
    }

    /// a F / (z p(z)) = Σ a zᵏ / (a (a + 1) … (a + k)), and a (dl/da), whose terms have factors ψ(a + k + 1) − log z more.
    fn series(self) -> [f64; 2] {
        let (a, z) = (self.a, self.z());
        let mut factor = digamma(a + 1.0) - (self.x + a.ln());
        let (mut term, mut sums) = (1.0, [0.0; 2]);
        let mut k = 0.0;
        loop {
            sums[0] += term;
            sums[1] += term * factor;
            k += 1.0;
            term *= z / (a + k);
            factor += 1.0 / (a + k);
            if term <= 1e-17 * sums[0] || k > 200.0 {
                return sums;
            }
        }
    }

    /// log F, or log (1 − F), and z p(z) over it.
    fn tail(self, side: Side) -> [f64; 2] {
        if side == Side::Below && self.a < 1.0 {
            let ar = self.series()[0];
            // in this form no digits are lost where F is near 1
            let l = self.x + self.a.ln();
            return [self.a * l - self.z() - lgamma(1.0 + self.a) + ar.ln(), self.a / ar];
        }
        let r = self.integrals(side)[0];
        [self.log_density() + r.ln(), 1.0 / r]
    }
}

/// log F⁻¹(Φ(ε); a), F the distribution function of Gamma(a, 1). NaN for a shape that is not positive and finite.
#[must_use]
pub fn log_quantile(a: f64, e: f64) -> f64 {
    if !(a > 0.0 && a.is_finite() && e.is_finite()) {
        return f64::NAN;
    }
    // of the power law near 0; never above the answer
    let power = (log_normal_cdf(e) + lgamma(1.0 + a)) / a - a.ln();
    let (side, start) = if a < 1.0 {
        let near = Point { a, x: (NEAR / a).ln() };
        if log_normal_cdf(-e) < near.tail(Side::Above)[0] {
            (Side::Above, near.x)
        } else {
            (Side::Below, power)
        }
    } else {
        // Wilson and Hilferty's cube
        let c = 1.0 - 1.0 / (9.0 * a) + e / (3.0 * a.sqrt());
        let side = if e < 0.0 { Side::Below } else { Side::Above };
        (side, if c > 0.35 { 3.0 * c.ln() } else { power })
    };
    if start == f64::NEG_INFINITY {
        return start;
    }
    solve(Point { a, x: start }, side, e) + a.ln()
}

/// Newton's steps with Halley's correction on the logarithm of a tail.
fn solve(mut p: Point, side: Side, e: f64) -> f64 {
    let (target, sign) = match side {
        Side::Below => (log_normal_cdf(e), 1.0),
        Side::Above => (log_normal_cdf(-e), -1.0),
    };
    for _ in 0..STEPS {
        let [log, ratio] = p.tail(side);
        let step = sign * (target - log) / ratio;
        // d/dl of log ratio: a − z from the density, ∓ ratio from the tail
        let bend = -p.a * p.x.exp_m1() - sign * ratio;
        let correction = (1.0 + 0.5 * step * bend).clamp(0.5, 2.0);
        let step = step / correction;
        if !step.is_finite() {
            return f64::NAN;
        }
        p.x += step;
        // the next one would be the cube of it
        if step.abs() * ratio.max(1.0) <= 1e-6 || step.abs() <= 1e-15 * p.x.abs() {
            break;
        }
    }
    p.x
}

/// d log z / da of z = F⁻¹(u; a) at fixed u, given log z: −∂F/∂a / (z p(z)).
#[must_use]
pub fn log_quantile_slope(a: f64, log_z: f64) -> f64 {
    if !(a > 0.0 && a.is_finite()) || log_z.is_nan() {
        return f64::NAN;
    }
    let p = Point { a, x: log_z - a.ln() };
    if a < 1.0 && p.z() <= NEAR {
        return p.series()[1] / a;
    }
    let above = log_z - digamma(a);
    // of the side on which nothing cancels
    let (side, first) = if above <= 0.0 {
        (Side::Below, -above)
    } else {
        (Side::Above, above)
    };
    let [zeroth, mean] = p.integrals(side);
    first * zeroth + mean
}
