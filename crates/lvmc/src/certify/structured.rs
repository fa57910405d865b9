//! A q that is a product, by brute force: the densities of every row and combination are asked point by point as quadratics of
//! the latents that the row knows; q(s) is the dense Gaussian of a whole sequence, q(z) the table of all its paths.
//!
//! Nothing of the rule is used but its statement: that q = q(z) q(s), and that each part is best given the other.

use super::nodes::{Integral, Latent, integrate};
use super::oracle::{Known, Oracle, bug};
use super::smoother::Smoother;
use crate::failure::Failure;
use lvmc_runtime::engine::Values;
use lvmc_term::{Array, Env, SymId, Term};

/// Paths of a sequence beyond which nothing is enumerated.
const PATHS: usize = 20_000;
/// Turns, and what weights may change in the last.
const TURNS: (usize, f64) = (4_000, 1e-14);

/// What the brute force finds besides the posteriors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// E_q[log p] + H(q), term by term.
    pub bound: f64,
    /// log p(x), over all paths.
    pub exact: f64,
    /// The largest fall of the bound from one turn to the next, relative.
    pub fall: f64,
}

/// How many rows of each sequence can be looked at, for so many combinations of a row's values.
#[must_use]
pub fn longest(combinations: usize) -> usize {
    let most = (PATHS as f64).ln() / (combinations.max(2) as f64).ln();
    (most as usize).max(3)
}

/// f(e) = c + bᵀe − ½ eᵀAe of a row, and where the elements of e lie in the sequence's.
struct Quadratic {
    c: f64,
    b: Vec<f64>,
    a: Vec<f64>,
}

/// A sequence's rows.
struct Sequence {
    /// `[row][combination]`: of the statements that know s.
    touching: Vec<Vec<Quadratic>>,
    /// `[row][combination]`: the density of the others, integrated over the row's latents that s knows nothing of; −∞ where
    /// the data contradict it.
    others: Vec<Vec<Integral>>,
    /// Of every row, the places of the elements of e that exist.
    places: Vec<Vec<usize>>,
    /// Elements of s.
    elements: usize,
}

/// The dense Gaussian of a sequence.
struct Gaussian {
    /// log ∫ exp f.
    log: f64,
    mean: Vec<f64>,
    /// Rows: columns of a root of the covariance.
    root: Array,
    cov: Array,
    entropy: f64,
}

impl Sequence {
    /// Σ_t Σ_k w_tk f_tk, integrated.
    fn gaussian(&self, weight: &dyn Fn(usize, usize) -> f64) -> Gaussian {
        let n = self.elements;
        let (mut c, mut b, mut a) = (0.0, vec![0.0; n], Array::filled(&[n, n], 0.0));
        for (t, (row, places)) in self.touching.iter().zip(&self.places).enumerate() {
            for (k, f) in row.iter().enumerate() {
                let w = weight(t, k);
                if w == 0.0 {
                    continue;
                }
                c += w * f.c;
                for (i, &p) in places.iter().enumerate() {
                    b[p] += w * f.b[i];
                    for (j, &q) in places.iter().enumerate() {
                        a.data[p * n + q] += w * f.a[i * places.len() + j];
                    }
                }
            }
        }
        let Some(l) = a.cholesky() else {
            let empty = Array::filled(&[n, n], f64::NAN);
            return Gaussian {
                log: f64::NAN,
                mean: b,
                root: empty.clone(),
                cov: empty,
                entropy: f64::NAN,
            };
        };
        let root = l.solve_lower(&Array::eye(n));
        let white = root.matmul(&Array::vector(b));
        let log_det: f64 = (0..n).map(|i| l.at2(i, i).ln()).sum();
        let square: f64 = white.data.iter().map(|x| x * x).sum();
        let log_two_pi = (2.0 * std::f64::consts::PI).ln();
        Gaussian {
            log: c + 0.5 * square + 0.5 * n as f64 * log_two_pi - log_det,
            mean: root.transposed().matmul(&white).data,
            cov: root.transposed().matmul(&root),
            root,
            entropy: 0.5 * n as f64 * (1.0 + log_two_pi) - log_det,
        }
    }

    /// Every row's log potentials given q(s).
    fn potentials(&self, q: &Gaussian) -> Vec<Vec<f64>> {
        let n = self.elements;
        let rows = self.touching.iter().zip(&self.others).zip(&self.places);
        rows.map(|((touching, others), places)| {
            let expected = |f: &Quadratic| {
                let mut sum = f.c;
                for (i, &p) in places.iter().enumerate() {
                    sum += f.b[i] * q.mean[p];
                    for (j, &r) in places.iter().enumerate() {
                        let second = q.mean[p] * q.mean[r] + q.cov.data[p * n + r];
                        sum -= 0.5 * f.a[i * places.len() + j] * second;
                    }
                }
                sum
            };
            let both = touching.iter().zip(others);
            both.map(|(f, o)| expected(f) + o.log).collect()
        })
        .collect()
    }
}

impl Oracle<'_> {
    /// q by turns at these parameters: every row's parts and posterior, and what the bound is.
    ///
    /// # Errors
    /// A density that the evaluator cannot compute.
    pub fn product(&self, smoother: &Smoother, values: &Values) -> Result<(Vec<Known>, Found), Failure> {
        let mut env = self.environment(values);
        let count: usize = self.finite.iter().map(|f| f.1).product();
        let (mut out, mut found) = (vec![], Found::default());
        for s in self.starts.windows(2) {
            let sequence = self.sequence(smoother, &mut env, s[0], s[1])?;
            let paths = self.paths_of(s[1] - s[0]);
            let mut weights = vec![vec![1.0 / count as f64; count]; s[1] - s[0]];
            let mut last = f64::NEG_INFINITY;
            for turn in 1..=TURNS.0 {
                let q = sequence.gaussian(&|t, k| weights[t][k]);
                let potentials = sequence.potentials(&q);
                let of_paths = marginals(&paths, &potentials, count);
                let now = of_paths.log + q.entropy;
                found.fall = found.fall.max((last - now) / (1.0 + now.abs()));
                let pairs = weights.iter().flatten().zip(of_paths.weights.iter().flatten());
                let change = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                let settled = change < TURNS.1 || !now.is_finite() || turn == TURNS.0;
                (weights, last) = (of_paths.weights, now);
                if settled {
                    let expected = weights.iter().flatten().zip(potentials.iter().flatten());
                    let expected: f64 = expected.filter(|(w, _)| **w > 0.0).map(|(w, f)| w * f).sum();
                    found.bound += expected + of_paths.entropy + q.entropy;
                    self.known((smoother, &sequence), &q, (s[0], &weights), now, &mut out);
                    break;
                }
            }
            found.exact += exact(&sequence, &paths);
        }
        Ok((out, found))
    }

    /// Elements that a row's latents have in s: none of those that are not the chain's.
    fn widths(&self, smoother: &Smoother) -> Vec<usize> {
        let of = |l: &Latent| l.shape.iter().product::<usize>();
        let own = |c: &(SymId, Latent)| if smoother.has(c.0) { of(&c.1) } else { 0 };
        self.continuous.iter().map(own).collect()
    }

    /// Quadratics of the rows from `first` to `end`.
    fn sequence(&self, smoother: &Smoother, env: &mut Env<'_>, first: usize, end: usize) -> Result<Sequence, Failure> {
        let widths = self.widths(smoother);
        let row_elements: usize = widths.iter().sum();
        let knows = |t: &&Term| {
            let own = self.continuous.iter().map(|c| c.0).filter(|&x| smoother.has(x));
            let lags = smoother.lags.iter().map(|l| l.0);
            own.chain(lags).any(|x| self.store.depends_on_sym(**t, x))
        };
        let (touching, others): (Vec<&Term>, Vec<&Term>) = self.written.iter().partition(knows);
        let local: Vec<&(SymId, Latent)> = self.continuous.iter().filter(|c| !smoother.has(c.0)).collect();
        let latents: Vec<Latent> = local.iter().map(|c| c.1.clone()).collect();
        let count: usize = self.finite.iter().map(|f| f.1).product();
        let mut out = Sequence {
            touching: vec![],
            others: vec![],
            places: vec![],
            elements: row_elements * (end - first),
        };
        for row in first..end {
            env.set_row(row);
            let t = row - first;
            let start = |of: usize, row: usize| row * row_elements + widths[..of].iter().sum::<usize>();
            let mut places: Vec<usize> = (start(0, t)..start(0, t) + row_elements).collect();
            for &(_, of, by) in smoother.lags.iter().filter(|l| l.2 <= t) {
                places.extend(start(of, t - by)..start(of, t - by) + widths[of]);
            }
            let (mut quadratics, mut logs) = (vec![], vec![]);
            for number in 0..count {
                let possible = self.set_combination(env, row, number);
                quadratics.push(quadratic(places.len(), &mut |e| {
                    let mut at = 0;
                    let mut take = |of: usize| {
                        at += widths[of];
                        Array {
                            shape: self.continuous[of].1.shape.clone(),
                            data: e[at - widths[of]..at].to_vec(),
                        }
                    };
                    let mut stand_in = 0.0;
                    for (of, c) in self.continuous.iter().enumerate().filter(|c| widths[c.0] > 0) {
                        let mut z = take(of);
                        stand_in += self.complete(c.0, row, &mut z);
                        env.set(c.0, z);
                    }
                    for &(lag, of, by) in &smoother.lags {
                        let zero = Array::filled(&self.continuous[of].1.shape, 0.0);
                        env.set(lag, if by <= t { take(of) } else { zero });
                    }
                    Ok(stand_in + self.sum(&touching, env)?)
                })?);
                let nothing = Integral::new(f64::NEG_INFINITY, vec![(1.0, zeros(&latents))]);
                logs.push(if possible {
                    integrate(&latents, &mut |z| {
                        for (c, z) in local.iter().zip(z) {
                            env.set(c.0, z.clone());
                        }
                        self.sum(&others, env)
                    })?
                } else {
                    nothing
                });
            }
            out.touching.push(quadratics);
            out.others.push(logs);
            out.places.push(places);
        }
        Ok(out)
    }

    fn sum(&self, terms: &[&Term], env: &Env<'_>) -> Result<f64, Failure> {
        let mut sum = 0.0;
        for &&t in terms {
            sum += self.store.eval_scalar(t, env).map_err(bug)?;
        }
        Ok(sum)
    }

    /// Every path of a sequence, as the number of each row's combination; lags are the rows' before, and at rows that do not
    /// exist their first value.
    pub(super) fn paths_of(&self, rows: usize) -> Vec<Vec<usize>> {
        let count: usize = self.finite.iter().map(|f| f.1).product();
        let mut paths: Vec<Vec<usize>> = vec![vec![]];
        for t in 0..rows {
            let mut longer = vec![];
            for path in paths {
                for number in 0..count {
                    let now = self.combination(number);
                    let agrees = self.finite_lags.iter().all(|&(lag, of, by)| {
                        let before = t.checked_sub(by).map(|row| self.combination(path[row])[of]);
                        now[lag] == before.unwrap_or(0)
                    });
                    if agrees {
                        longer.push([path.clone(), vec![number]].concat());
                    }
                }
            }
            paths = longer;
        }
        paths
    }

    /// Posteriors of a sequence's rows, with points that stand for q(s); the first row has the whole bound.
    fn known(
        &self,
        (smoother, sequence): (&Smoother, &Sequence),
        q: &Gaussian,
        (first, weights): (usize, &[Vec<f64>]),
        bound: f64,
        out: &mut Vec<Known>,
    ) {
        let widths = self.widths(smoother);
        let row_elements: usize = widths.iter().sum();
        let n = q.mean.len();
        let scale = (n as f64).sqrt();
        let mut points = vec![];
        for p in 0..n {
            for sign in [scale, -scale] {
                points.push(
                    (0..n)
                        .map(|i| q.mean[i] + sign * q.root.at2(p, i))
                        .collect::<Vec<f64>>(),
                );
            }
        }
        for (t, weights) in weights.iter().enumerate() {
            let value = |z: &[f64], of: usize, row: Option<usize>| {
                let shape = self.continuous[of].1.shape.clone();
                let Some(row) = row else {
                    return Array::filled(&shape, 0.0);
                };
                let first = row * row_elements + widths[..of].iter().sum::<usize>();
                Array {
                    shape,
                    data: z[first..first + widths[of]].to_vec(),
                }
            };
            let of_row = |z: &Vec<f64>, here: &[Array]| {
                let mut here = here.iter();
                let own = (0..widths.len()).map(|of| {
                    if widths[of] == 0 {
                        return here.next().cloned().unwrap_or_else(|| Array::scalar(0.0));
                    }
                    let mut z = value(z, of, Some(t));
                    self.complete(self.continuous[of].0, first + t, &mut z);
                    z
                });
                let own: Vec<Array> = own.collect();
                let lags = smoother.lags.iter().map(|&(_, of, by)| value(z, of, t.checked_sub(by)));
                own.into_iter().chain(lags).collect::<Vec<Array>>()
            };
            // given the combination the two parts are independent
            let pairs = |local: &Integral| -> Vec<(f64, Vec<Array>)> {
                let each = points.iter().flat_map(|z| local.nodes.iter().map(move |l| (z, l)));
                each.map(|(z, (w, here))| (0.5 / n as f64 * w, of_row(z, here)))
                    .collect()
            };
            out.push(Known {
                log: if t == 0 { bound } else { 0.0 },
                weights: weights.clone(),
                nodes: sequence.others[t].iter().map(pairs).collect(),
                tails: sequence.others[t].iter().map(|o| o.tail).collect(),
            });
        }
    }
}

fn zeros(latents: &[Latent]) -> Vec<Array> {
    latents.iter().map(|l| Array::filled(&l.shape, 0.0)).collect()
}

/// How far from 0 a quadratic is asked: where its curvature outweighs its value, so that differences lose little.
const STEP: f64 = 32.0;

/// A function that is a quadratic, from its values.
fn quadratic(n: usize, f: &mut dyn FnMut(&[f64]) -> Result<f64, Failure>) -> Result<Quadratic, Failure> {
    let mut at = |steps: &[(usize, f64)]| {
        let mut e = vec![0.0; n];
        steps.iter().for_each(|&(i, by)| e[i] += by * STEP);
        f(&e)
    };
    let c = at(&[])?;
    let (mut up, mut down) = (vec![], vec![]);
    for i in 0..n {
        up.push(at(&[(i, 1.0)])?);
        down.push(at(&[(i, -1.0)])?);
    }
    let mut a = vec![0.0; n * n];
    for i in 0..n {
        a[i * n + i] = (2.0 * c - up[i] - down[i]) / (STEP * STEP);
        for j in 0..i {
            let cross = (up[i] + up[j] - c - at(&[(i, 1.0), (j, 1.0)])?) / (STEP * STEP);
            (a[i * n + j], a[j * n + i]) = (cross, cross);
        }
    }
    let b = (0..n).map(|i| 0.5 * (up[i] - down[i]) / STEP).collect();
    Ok(Quadratic { c, b, a })
}

/// q(z) over all paths.
struct OfPaths {
    /// log of its normaliser.
    log: f64,
    entropy: f64,
    weights: Vec<Vec<f64>>,
}

fn marginals(paths: &[Vec<usize>], potentials: &[Vec<f64>], count: usize) -> OfPaths {
    let log = |path: &Vec<usize>| path.iter().zip(potentials).map(|(&k, row)| row[k]).sum::<f64>();
    let logs: Vec<f64> = paths.iter().map(log).collect();
    let total = log_sum(&logs);
    let mut out = OfPaths {
        log: total,
        entropy: 0.0,
        weights: vec![vec![0.0; count]; potentials.len()],
    };
    for (path, l) in paths.iter().zip(&logs) {
        let p = (l - total).exp();
        if p > 0.0 {
            out.entropy -= p * (l - total);
        }
        path.iter().zip(&mut out.weights).for_each(|(&k, row)| row[k] += p);
    }
    out
}

/// log p(x): a Gaussian for every path.
fn exact(sequence: &Sequence, paths: &[Vec<usize>]) -> f64 {
    let log = |path: &Vec<usize>| {
        let others: f64 = path.iter().zip(&sequence.others).map(|(&k, row)| row[k].log).sum();
        if others == f64::NEG_INFINITY {
            return others;
        }
        let one = |t: usize, k: usize| f64::from(u8::from(path[t] == k));
        others + sequence.gaussian(&one).log
    };
    log_sum(&paths.iter().map(log).collect::<Vec<f64>>())
}

fn log_sum(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + logs.iter().map(|l| (l - top).exp()).sum::<f64>().ln()
}
