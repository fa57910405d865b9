//! Limited-memory BFGS on all rows, with one fixed draw of the noise: an exact objective is climbed to its maximum, and a
//! drawn one to that of its sample average. (Nocedal and Wright 2006, algorithm 7.5, with a strong-Wolfe line search.)

use super::train::{Ended, State, Trainer, Watch};
use lvmc_dense::ir::Precision;
use std::sync::atomic::Ordering;

/// Evaluations of one line search.
const SEARCH: usize = 30;
/// Sufficient decrease, and what of the slope may be left.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Converged when the gradient's largest element is below this share of 1 + |loss|.
const SMALL: f64 = 1e-10;

/// Iterations that must gain more than rounding together.
const WINDOW: usize = 10;

/// The share of 1 + |loss| that is rounding.
fn rounding(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-7,
        Precision::F64 => 1e-15,
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn flat(params: &[Vec<f64>]) -> Vec<f64> {
    params.iter().flatten().copied().collect()
}

fn shaped(like: &[Vec<f64>], flat: &[f64]) -> Vec<Vec<f64>> {
    let mut at = 0;
    like.iter()
        .map(|p| {
            let part = flat[at..at + p.len()].to_vec();
            at += p.len();
            part
        })
        .collect()
}

/// A pair of changes: of the parameters, and of the gradient.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    rho: f64,
}

/// −H g by the two-loop recursion.
fn direction(gradient: &[f64], pairs: &[Pair]) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let mut alphas = vec![];
    for p in pairs.iter().rev() {
        let a = p.rho * dot(&p.step, &q);
        q.iter_mut().zip(&p.change).for_each(|(q, y)| *q -= a * y);
        alphas.push(a);
    }
    if let Some(p) = pairs.last() {
        let scale = 1.0 / (p.rho * dot(&p.change, &p.change));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for (p, a) in pairs.iter().zip(alphas.iter().rev()) {
        let b = p.rho * dot(&p.change, &q);
        q.iter_mut().zip(&p.step).for_each(|(q, s)| *q += (a - b) * s);
    }
    q.iter_mut().for_each(|q| *q = -*q);
    q
}

/// Minimises the loss; one iteration counts as an epoch.
pub(super) fn run(t: &mut Trainer<'_>, state: &mut State, memory: usize, watch: Watch<'_>) -> Ended {
    let like = state.params.clone();
    let mut x = flat(&like);
    let (mut loss, mut g) = t.whole(&like);
    if !loss.is_finite() {
        return Ended::Diverged;
    }
    let mut pairs: Vec<Pair> = vec![];
    let epochs = t.settings.epochs;
    let mut ended = Ended::Finished;
    while state.trace.len() < epochs {
        if watch.stop.is_some_and(|s| s.load(Ordering::Relaxed)) {
            ended = Ended::Interrupted;
            break;
        }
        let largest = g.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        if largest <= SMALL * (1.0 + loss.abs()) {
            break;
        }
        let before = state.trace.len().checked_sub(WINDOW).map(|i| -state.trace[i]);
        if before.is_some_and(|b| b - loss <= rounding(t.settings.precision) * (1.0 + loss.abs())) {
            break;
        }
        let mut d = direction(&g, &pairs);
        let mut slope = dot(&d, &g);
        if slope >= 0.0 {
            pairs.clear();
            d = g.iter().map(|g| -g).collect();
            slope = -dot(&g, &g);
        }
        let first = if pairs.is_empty() {
            (1.0 / g.iter().map(|x| x.abs()).sum::<f64>()).min(1.0) * t.settings.rate
        } else {
            1.0
        };
        let Some((next, l, ng)) = search(t, &like, &x, &d, (loss, slope), first) else {
            if pairs.is_empty() {
                break; // no step along the gradient itself lowers the loss: the last digits are reached
            }
            pairs.clear();
            continue;
        };
        let step: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = ng.iter().zip(&g).map(|(a, b)| a - b).collect();
        let sy = dot(&step, &change);
        if sy > 1e-14 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
            if pairs.len() == memory {
                pairs.remove(0);
            }
            pairs.push(Pair {
                rho: 1.0 / sy,
                step,
                change,
            });
        }
        (x, loss, g) = (next, l, ng);
        state.step += 1;
        state.trace.push(-loss);
        if let Some(tell) = watch.progress {
            tell(super::train::Progress {
                epochs: state.trace.len() as f64,
                of: epochs,
                objective: -loss,
                held: None,
            });
        }
    }
    state.params = shaped(&like, &x);
    t.enter(state);
    ended
}

type Point = (Vec<f64>, f64, Vec<f64>);

/// A step along `d` that satisfies the strong Wolfe conditions, by bracketing and bisection with cubic steps; the best
/// decrease found where none does.
fn search(
    t: &mut Trainer<'_>,
    like: &[Vec<f64>],
    x: &[f64],
    d: &[f64],
    (loss, slope): (f64, f64),
    first: f64,
) -> Option<Point> {
    let (mut low, mut high) = ((0.0, loss, slope), None::<f64>);
    let mut a = first;
    let mut best: Option<Point> = None;
    for _ in 0..SEARCH {
        let at: Vec<f64> = x.iter().zip(d).map(|(x, d)| x + a * d).collect();
        let (l, g) = t.whole(&shaped(like, &at));
        let s = dot(d, &g);
        let fine = l.is_finite() && s.is_finite();
        if !fine || l > loss + DECREASE * a * slope || (l >= low.1 && low.0 > 0.0) {
            high = Some(a);
        } else {
            if best.as_ref().is_none_or(|b| l < b.1) {
                best = Some((at.clone(), l, g.clone()));
            }
            if s.abs() <= CURVATURE * slope.abs() {
                return Some((at, l, g));
            }
            if s > 0.0 {
                high = Some(a);
            } else {
                low = (a, l, s);
            }
        }
        a = match high {
            Some(h) => 0.5 * (low.0 + h),
            None => a * 2.0,
        };
        if a == low.0 {
            break;
        }
    }
    best
}
