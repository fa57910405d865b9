//! Draws from a chain back from noise: step by step as the model says, or along fewer steps without noise.
//!
//! The net's output f is the target uₜ x₀ + wₜ ε; with xₜ = Aₜ x₀ + √Vₜ ε both are known, and the step to any earlier s
//! keeps them: xₛ = Aₛ x̂₀ + √Vₛ ε̂ (Song, Meng and Ermon 2021, here from the tables of the derivation).

use super::GradientError;
use super::apply::{AT_ONCE, Restored, Running};
use crate::random::{Purpose, keyed, normal};
use lvmc_base::Bug;
use lvmc_kernels::pool;
use lvmc_term::SymId;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How a chain is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Every step, with the model's noise; the last step is its mean.
    Ancestral,
    /// That many steps without noise.
    Deterministic(usize),
}

fn bug(message: &str) -> GradientError {
    Bug {
        stage: "sample",
        message: message.into(),
        ir: String::new(),
    }
    .into()
}

/// Draws of x₀, row-major, and the numbers of a row. Row i depends on the seed and i alone.
///
/// # Errors
/// A chain without what the walk needs.
pub fn sample(r: &mut Restored<'_>, rows: usize, seed: u64, walk: Walk) -> Result<(Vec<f64>, usize), GradientError> {
    let Some(n) = r.guided.noising.clone() else {
        return Err(bug("the model has no chain"));
    };
    let width: usize = r
        .guided
        .store
        .sym(n.state)
        .shape
        .clone()
        .iter()
        .map(|s| r.known.size(&r.guided.store, s).unwrap_or(1))
        .product();
    let length = r
        .known
        .size(&r.guided.store, &n.length)
        .map_err(|_| bug("the chain has no length"))?;
    let steps = length - 1;
    let table = |r: &Restored<'_>, sym: SymId| -> Vec<f64> {
        r.known.constant(sym).map(|a| a.data.clone()).unwrap_or_default()
    };
    let (a, v) = (table(r, n.marginal.0), table(r, n.marginal.1));
    // t is the same for all rows of a step
    let time = r.guided.once("t");
    let (from, to) = (r.guided.store.var(n.time), r.guided.store.var(time));
    let with = std::collections::HashMap::from([(from, to)]);
    let variance = r.guided.store.substitute(n.variance, &with);
    let (out, target) = match (walk, &n.predicted) {
        (Walk::Ancestral, _) => (n.mean, None),
        (Walk::Deterministic(_), Some(p)) => (p.call, Some((table(r, p.data), table(r, p.noise)))),
        (Walk::Deterministic(_), None) => {
            return Err(GradientError::Objective {
                what: "a walk of fewer steps needs to know what the net predicts".into(),
                help: "the mean of the chain back is affine in one net; without --steps every step is drawn".into(),
            });
        }
    };
    let out = r.guided.store.substitute(out, &with);
    let (last_mean, last_var) = (n.last.0, n.last.1);
    let shape = r.guided.store.sym(n.state).shape.clone();
    let last_mean = r.guided.store.refill(last_mean, shape.clone());
    let last_var = r.guided.store.refill(last_var, shape);
    let mut start = r.program(
        &[("mean".into(), last_mean), ("variance".into(), last_var)],
        &[],
        &[],
        1,
        0,
    )?;
    start.executor.run(1, 0);
    let (m0, v0) = (
        start.executor.get(start.lowered.roots[0]),
        start.executor.get(start.lowered.roots[1]),
    );
    let mut sds = r.program(&[("v".into(), variance)], &[], &[time], 1, 0)?;
    let mut spread = vec![0.0; length];
    for (t, s) in spread.iter_mut().enumerate().skip(1) {
        if let Some(id) = sds.array(time) {
            sds.executor.set(id, &[t as f64]);
        }
        sds.executor.run(1, 0);
        *s = sds.executor.get(sds.lowered.roots[0])[0].sqrt();
    }
    let threads = r.settings.threads.max(1);
    let share = rows.div_ceil(threads).clamp(1, AT_ONCE);
    let step = r.lower(&[("step".into(), out)], &[], &[time, n.state])?;
    let workers: Vec<Mutex<Running>> = (0..threads.min(rows.div_ceil(share)))
        .map(|_| r.running(step.clone(), share, seed).map(Mutex::new))
        .collect::<Result<_, _>>()?;
    let chain = Chain {
        path: path(walk, steps),
        start: (m0, v0.iter().map(|v| v.sqrt()).collect()),
        spread,
        marginal: (a, v),
        target,
        time,
        state: n.state,
        seed,
    };
    // rows are walked apart, each thread with a program of its own: nobody waits between steps
    let mut found = vec![0.0; rows * width];
    let parts: Vec<Mutex<&mut [f64]>> = found.chunks_mut((share * width).max(1)).map(Mutex::new).collect();
    let next = AtomicUsize::new(0);
    pool::run(workers.len(), &|worker| {
        let mut step = workers[worker].lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(at) else { break };
            let mut x = part.lock().unwrap_or_else(PoisonError::into_inner);
            chain.walk(&mut step, at * share, width, &mut x);
        }
    });
    drop(parts);
    Ok((found, width))
}

/// What all rows share.
struct Chain {
    /// Times, from the last to 0.
    path: Vec<usize>,
    /// Mean and standard deviation at the end of the chain.
    start: (Vec<f64>, Vec<f64>),
    /// Standard deviations of the steps.
    spread: Vec<f64>,
    /// A and V of the marginals.
    marginal: (Vec<f64>, Vec<f64>),
    /// u and w of what the net predicts, for a walk without noise.
    target: Option<(Vec<f64>, Vec<f64>)>,
    time: SymId,
    state: SymId,
    seed: u64,
}

impl Chain {
    /// Walks rows from `first` on into `x`.
    fn walk(&self, step: &mut Running, first: usize, width: usize, x: &mut [f64]) {
        let count = x.len() / width.max(1);
        let mut rngs: Vec<_> = (0..count)
            .map(|i| keyed(self.seed, Purpose::Sample, (first + i) as u64))
            .collect();
        for (row, rng) in x.chunks_mut(width).zip(&mut rngs) {
            for ((x, m), sd) in row.iter_mut().zip(&self.start.0).zip(&self.start.1) {
                *x = m + sd * normal(rng);
            }
        }
        let mut f = vec![0.0; x.len()];
        for pair in self.path.windows(2) {
            let (t, s) = (pair[0], pair[1]);
            if let Some(id) = step.array(self.state) {
                step.executor.set(id, x);
            }
            if let Some(id) = step.array(self.time) {
                step.executor.set(id, &[t as f64]);
            }
            step.executor.run(count, 0);
            step.executor.read(step.lowered.roots[0], &mut f);
            match &self.target {
                None => {
                    for ((row, f), rng) in x.chunks_mut(width).zip(f.chunks(width)).zip(&mut rngs) {
                        for (x, &mean) in row.iter_mut().zip(f) {
                            let e = if s > 0 { normal(rng) } else { 0.0 };
                            *x = mean + self.spread[t] * e;
                        }
                    }
                }
                Some((u, w)) => {
                    let (a, v) = &self.marginal;
                    // f = u x₀ + w ε and x = A x₀ + √V ε
                    let (at, root) = (a[t], v[t].sqrt());
                    let det = u[t] * root - w[t] * at;
                    for (x, &f) in x.iter_mut().zip(&f) {
                        let x0 = (f * root - w[t] * *x) / det;
                        let e = (u[t] * *x - at * f) / det;
                        *x = a[s] * x0 + v[s].sqrt() * e;
                    }
                }
            }
        }
    }
}

/// T … 0, or fewer of them, evenly.
fn path(walk: Walk, steps: usize) -> Vec<usize> {
    match walk {
        Walk::Ancestral => (0..=steps).rev().collect(),
        Walk::Deterministic(n) => {
            let n = n.clamp(1, steps);
            (0..=n).rev().map(|k| (k * steps + n / 2) / n).collect()
        }
    }
}
