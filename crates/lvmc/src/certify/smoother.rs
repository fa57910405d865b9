//! Gaussian chains by brute force: the joint density of all latents of a sequence, asked point by point as any quadratic is.

use super::nodes::{Latent, integrate};
use super::oracle::{Known, Oracle, bug};
use crate::failure::Failure;
use lvmc_derive::Plan;
use lvmc_derive::plan::LinearGaussian;
use lvmc_runtime::engine::Values;
use lvmc_term::{Array, Env, SymId};

/// Elements of a sequence's latents, beyond which the sequence is taken shorter.
const ELEMENTS: usize = 24;

/// A chain's latents.
pub struct Smoother {
    chain: LinearGaussian,
    /// (lagged symbol, place of the latent that it is of, how many rows before).
    pub lags: Vec<(SymId, usize, usize)>,
}

impl Smoother {
    /// Of a plan's Gaussian chain, if it has one; `latents` are the oracle's.
    #[must_use]
    pub fn new(plan: &Plan, latents: &[SymId]) -> Option<Self> {
        let chain = plan.gaussian_chain.clone()?;
        let mut lags = vec![];
        for (i, p) in chain.parts.iter().enumerate().filter(|p| !p.1.lagged) {
            let of = latents.iter().position(|x| *x == p.sym)?;
            let (mut at, mut by) = (i, 1);
            while let Some(next) = chain.parts[at].next {
                lags.push((chain.parts[next].sym, of, by));
                (at, by) = (next, by + 1);
            }
        }
        Some(Self { chain, lags })
    }

    /// A latent is one of the chain's own.
    #[must_use]
    pub fn has(&self, sym: SymId) -> bool {
        self.chain.parts.iter().any(|p| !p.lagged && p.sym == sym)
    }

    /// Sets what the plan's definitions say that a smoother gives, from points that stand for the posterior.
    pub fn define(&self, held: &[SymId], posterior: &[Known], env: &mut Env<'_>) {
        let places: Vec<usize> = self
            .chain
            .parts
            .iter()
            .map(|p| held.iter().position(|x| *x == p.sym).unwrap_or(0))
            .collect();
        let rows: Vec<(Vec<Array>, Array)> = posterior.iter().map(|k| moments(k, &places)).collect();
        let mut first = 0;
        let mut before: Vec<(usize, usize)> = vec![];
        for (i, p) in self.chain.parts.iter().enumerate() {
            let Some(row) = rows.first() else { return };
            let shape = row.0[i].shape.clone();
            let size = row.0[i].data.len();
            before.push((first, size));
            env.set_rows(p.mean, rows.iter().map(|r| r.0[i].clone()).collect());
            for (c, (&moves, &(from, count))) in p.moves.iter().zip(&before).enumerate() {
                let whole = [row.0[c].shape.clone(), shape.clone()].concat();
                let of = |root: &Array| Array {
                    shape: whole.clone(),
                    data: (0..count * size)
                        .map(|k| root.at2(first + k % size, from + k / size))
                        .collect(),
                };
                env.set_rows(moves, rows.iter().map(|r| of(&r.1)).collect());
            }
            first += size;
        }
    }
}

/// How many rows of each sequence a chain's certificate looks at.
#[must_use]
pub fn longest(elements: usize) -> usize {
    (ELEMENTS / elements.max(1)).clamp(4, 12)
}

/// Means of the parts, and a root of their covariance.
fn moments(known: &Known, places: &[usize]) -> (Vec<Array>, Array) {
    let nodes = &known.nodes[0];
    let flat = |z: &[Array]| -> Vec<f64> { places.iter().flat_map(|&p| z[p].data.clone()).collect() };
    let n = nodes.first().map_or(0, |x| flat(&x.1).len());
    let mut mean = vec![0.0; n];
    for (w, z) in nodes {
        mean.iter_mut().zip(flat(z)).for_each(|(m, z)| *m += w * z);
    }
    let mut cov = Array::filled(&[n, n], 0.0);
    for (w, z) in nodes {
        let e: Vec<f64> = flat(z).iter().zip(&mean).map(|(z, m)| z - m).collect();
        (0..n * n).for_each(|k| cov.data[k] += w * e[k / n] * e[k % n]);
    }
    let mut means = vec![];
    let mut at = 0;
    for &p in places {
        let like = &nodes[0].1[p];
        let data = mean[at..at + like.data.len()].to_vec();
        at += data.len();
        means.push(Array {
            shape: like.shape.clone(),
            data,
        });
    }
    (means, root(&cov, n))
}

/// The lower-triangular root of a covariance that may be singular.
fn root(s: &Array, n: usize) -> Array {
    let mut l = Array::filled(&[n, n], 0.0);
    for j in 0..n {
        let done: f64 = (0..j).map(|k| l.at2(j, k) * l.at2(j, k)).sum();
        let pivot = s.at2(j, j) - done;
        if pivot <= 1e-13 * s.at2(j, j) {
            continue;
        }
        l.data[j * n + j] = pivot.sqrt();
        for i in j + 1..n {
            let done: f64 = (0..j).map(|k| l.at2(i, k) * l.at2(j, k)).sum();
            l.data[i * n + j] = (s.at2(i, j) - done) / pivot.sqrt();
        }
    }
    l
}

impl Oracle<'_> {
    /// log p(row | rows before) and the posterior of every row, from the densities of whole sequences.
    ///
    /// # Errors
    /// A density that the evaluator cannot compute.
    pub fn sequences(&self, smoother: &Smoother, values: &Values) -> Result<Vec<Known>, Failure> {
        if !self.finite.is_empty() {
            return Err(Failure::usage(
                "the certificate of a Gaussian chain knows no finite variables",
                "certify the chain without them",
            ));
        }
        let mut env = self.environment(values);
        let mut out = vec![];
        let one: Vec<Latent> = self.continuous.iter().map(|c| c.1.clone()).collect();
        let count = one.len();
        for s in self.starts.windows(2) {
            let (mut before, mut nodes) = (0.0, vec![]);
            let mut logs = vec![];
            for rows in 1..=s[1] - s[0] {
                let latents: Vec<Latent> = (0..rows).flat_map(|_| one.clone()).collect();
                let found = integrate(&latents, &mut |z| {
                    let (z, mut log) = self.completed_all(z, s[0]);
                    let z = &z[..];
                    for t in 0..rows {
                        env.set_row(s[0] + t);
                        for ((sym, _), z) in self.continuous.iter().zip(&z[t * count..]) {
                            env.set(*sym, z.clone());
                        }
                        for &(lag, of, by) in &smoother.lags {
                            env.set(lag, lagged(z, count, t, of, by));
                        }
                        for &t in &self.written {
                            log += self.store.eval_scalar(t, &env).map_err(bug)?;
                        }
                    }
                    Ok(log)
                })?;
                logs.push(found.log - before);
                before = found.log;
                let own = found.nodes.into_iter();
                nodes = own.map(|(w, z)| (w, self.completed_all(&z, s[0]).0)).collect();
            }
            for (t, log) in logs.into_iter().enumerate() {
                let row = |z: &[Array]| -> Vec<Array> {
                    let own = z[t * count..(t + 1) * count].iter().cloned();
                    let lags = smoother.lags.iter().map(|&(_, of, by)| lagged(z, count, t, of, by));
                    own.chain(lags).collect()
                };
                out.push(Known {
                    log,
                    weights: vec![1.0],
                    nodes: vec![nodes.iter().map(|(w, z)| (*w, row(z))).collect()],
                    tails: vec![[0.0; 2]],
                });
            }
        }
        Ok(out)
    }
}

impl Oracle<'_> {
    /// Values of all rows' latents from a row on, with what is observed of them, and its stand-in's log density.
    fn completed_all(&self, z: &[Array], first: usize) -> (Vec<Array>, f64) {
        let count = self.continuous.len().max(1);
        let (mut out, mut log) = (z.to_vec(), 0.0);
        for (i, z) in out.iter_mut().enumerate() {
            log += self.complete(self.continuous[i % count].0, first + i / count, z);
        }
        (out, log)
    }
}

/// A latent some rows before row t; zeros where there is no such row: no statement that holds asks for it.
fn lagged(z: &[Array], count: usize, t: usize, of: usize, by: usize) -> Array {
    match t.checked_sub(by) {
        Some(row) => z[row * count + of].clone(),
        None => z[of].map(|_| 0.0),
    }
}
