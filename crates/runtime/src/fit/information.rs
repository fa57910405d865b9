//! The observed information: −∂² of the objective at its maximum, by fourth-order differences.
//!
//! For a direction v, D(v) = 2f(0) − f(v) − f(−v) = vᵀHv + O(|v|⁴), and (16 D(v) − D(2v)) / 12 leaves O(|v|⁶). Off the
//! diagonal 2 uᵀHv = D(u + v) − D(u) − D(v). Steps are chosen direction by direction, so that the objective falls by a
//! stated amount: about a seventh of a standard error, far above rounding and well inside the parabola. A direction along
//! which no step falls as a parabola does, and by more than rounding, is flat: the data do not determine it.
//!
//! Coordinates that are nearly collinear are measured again along the eigenvectors of what was found, scaled to unit
//! curvature, until the matrix is near the identity: no accuracy is lost to an ill-conditioned parametrisation.

use super::free::{bound, coordinates};
use crate::dataset::Dataset;
use crate::engine::{Compiled, Engine, Values};
use lvmc_kernels::dense::eig_sym;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// By how much the objective falls along a step that is trusted.
const FALL: f64 = 0.02;
/// Rounding of the objective, relative to its size and the number of rows.
const ROUNDING: f64 = 4e-15;
/// Tries for a step.
const TRIES: usize = 60;
/// Eigenvalues of the scaled matrix below this call for another round, along the eigenvectors.
const COLLINEAR: f64 = 0.05;
/// Rounds along eigenvectors.
const ROUNDS: usize = 4;
/// How far beyond the first guess a step may go: along a coordinate, and along an eigenvector, where the guess is already
/// what the smallest curvature that can be told from 0 would ask for.
const FAR: [f64; 2] = [1e12, 30.0];
/// Rows beyond which the rows of one evaluation are shared by the threads, rather than the evaluations.
const MANY_ROWS: usize = 50_000;

/// Along one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Along {
    /// A parabola: the curvature, the slope.
    Curved { curvature: f64, slope: f64 },
    /// No parabola above rounding.
    Flat,
    /// It rises on both sides.
    Rises,
}

/// The information in coordinates, taken apart.
#[derive(Debug, Clone, Default)]
pub struct Information {
    /// Directions v with Σ v vᵀ = H⁻¹ on what is determined.
    pub roots: Vec<Vec<f64>>,
    /// Directions that the data do not determine.
    pub flat: Vec<Vec<f64>>,
    /// Coordinates along which the objective is not stationary.
    pub slanted: Vec<usize>,
    /// Curvature along each coordinate that was moved, the others held; 0 elsewhere.
    pub curvature: Vec<f64>,
    /// The objective rises from there: it is no maximum.
    pub rises: bool,
    /// It was stopped from outside.
    pub stopped: bool,
}

/// The objective around a point.
pub struct Surface<'a> {
    compiled: Compiled<'a>,
    data: &'a Dataset,
    threads: usize,
    stop: Option<&'a AtomicBool>,
    origin: Vec<f64>,
    /// Parameters that have no coordinates there keep their values.
    values: &'a Values,
    rounding: f64,
    top: f64,
}

impl<'a> Surface<'a> {
    /// The surface around `values`.
    #[must_use]
    pub fn new(
        compiled: Compiled<'a>,
        data: &'a Dataset,
        threads: usize,
        stop: Option<&'a AtomicBool>,
        values: &'a Values,
    ) -> Self {
        let origin = coordinates(&compiled.lowered.params, values);
        let mut out = Self {
            compiled,
            data,
            threads,
            stop,
            origin,
            values,
            rounding: 0.0,
            top: 0.0,
        };
        let mut engine = Engine::new(compiled, data, threads);
        out.top = out.at(&mut engine, &out.origin);
        out.rounding = ROUNDING * (out.top.abs() + data.weight_sum);
        out
    }

    /// The coordinates of the point.
    #[must_use]
    pub fn origin(&self) -> &[f64] {
        &self.origin
    }

    fn at(&self, engine: &mut Engine<'_>, u: &[f64]) -> f64 {
        let mut values = bound(&self.compiled.lowered.params, u);
        for (v, kept) in values.iter_mut().zip(self.values) {
            for (x, k) in v.iter_mut().zip(kept) {
                if x.is_nan() {
                    *x = *k;
                }
            }
        }
        engine.set_params(&values);
        engine.evaluate()
    }

    /// Results of `n` jobs in order, whatever the number of threads.
    fn each<T: Send>(&self, n: usize, job: impl Fn(&mut Engine<'_>, usize) -> T + Sync) -> Vec<T> {
        let many = self.data.rows > MANY_ROWS;
        let threads = if many { 1 } else { self.threads.clamp(1, n.max(1)) };
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(n)));
        let work = || {
            let mut engine = Engine::new(self.compiled, self.data, if many { self.threads } else { 1 });
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= n || self.stopped() {
                    break;
                }
                let result = job(&mut engine, i);
                results.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
            }
        };
        if threads == 1 {
            work();
        } else {
            std::thread::scope(|s| {
                for _ in 1..threads {
                    s.spawn(work);
                }
                work();
            });
        }
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|r| r.0);
        results.into_iter().map(|r| r.1).collect()
    }

    fn stopped(&self) -> bool {
        self.stop.is_some_and(|s| s.load(Ordering::Relaxed))
    }

    /// f(h v) and f(−h v).
    fn both(&self, engine: &mut Engine<'_>, v: &[f64], h: f64) -> (f64, f64) {
        let mut side = |h: f64| {
            let u: Vec<f64> = self
                .origin
                .iter()
                .zip(v)
                .map(|(o, v)| if *v == 0.0 { *o } else { o + h * v })
                .collect();
            self.at(engine, &u)
        };
        (side(h), side(-h))
    }

    /// (16 D(v) − D(2v)) / 12.
    fn fall(&self, engine: &mut Engine<'_>, v: &[f64]) -> f64 {
        let mut d = |h: f64| {
            let (a, b) = self.both(engine, v, h);
            2.0 * self.top - a - b
        };
        let one = d(1.0);
        (16.0 * one - d(2.0)) / 12.0
    }

    /// What the objective does along `v`, from a first guess of the step and up to `far` times that.
    fn along(&self, engine: &mut Engine<'_>, v: &[f64], guess: f64, far: f64) -> Along {
        let (mut h, mut shrinking) = (guess, false);
        for _ in 0..TRIES {
            let (a, b) = self.both(engine, v, h);
            let d = 2.0 * self.top - a - b;
            if !d.is_finite() {
                h *= 0.1;
                continue;
            }
            if d.abs() < 200.0 * self.rounding {
                if shrinking || h > far * guess {
                    return Along::Flat;
                }
                h *= 8.0;
                continue;
            }
            if d.abs() > 4.0 * FALL {
                h *= (FALL / d.abs()).sqrt().clamp(1e-4, 0.5);
                continue;
            }
            if d.abs() < 0.25 * FALL && !shrinking && h <= far * guess {
                h *= (FALL / d.abs()).sqrt().clamp(1.5, 30.0);
                continue;
            }
            let (c, e) = self.both(engine, v, 2.0 * h);
            let ratio = (2.0 * self.top - c - e) / (4.0 * d);
            if ratio.is_finite() && (0.8..1.25).contains(&ratio) {
                if d < 0.0 {
                    return Along::Rises;
                }
                return Along::Curved {
                    curvature: d * (16.0 - 4.0 * ratio) / 12.0 / (h * h),
                    slope: (8.0 * (a - b) - (c - e)) / (12.0 * h),
                };
            }
            shrinking = true;
            h *= 0.5;
        }
        Along::Flat
    }

    /// The information on the coordinates that are `free`. Stops early where a coordinate is slanted: its slope, in its own
    /// standard error, is more than `slant`.
    #[must_use]
    pub fn information(&self, free: &[usize], slant: f64) -> Information {
        let n = self.origin.len();
        let mut out = Information {
            curvature: vec![0.0; n],
            ..Information::default()
        };
        let unit = |c: usize| -> Vec<f64> { (0..n).map(|i| if i == c { 1.0 } else { 0.0 }).collect() };
        let alone = self.each(free.len(), |engine, i| {
            let c = free[i];
            self.along(engine, &unit(c), 1e-3 * (1.0 + self.origin[c].abs()), FAR[0])
        });
        let mut directions = vec![];
        for (&c, along) in free.iter().zip(&alone) {
            match *along {
                Along::Curved { curvature, slope, .. } => {
                    out.curvature[c] = curvature;
                    if slope.abs() > slant * curvature.sqrt() {
                        out.slanted.push(c);
                    }
                    directions.push(unit(c));
                }
                Along::Flat => out.flat.push(unit(c)),
                Along::Rises => out.rises = true,
            }
        }
        if out.slanted.is_empty() && !out.rises {
            self.rounds(directions, &mut out);
        }
        out.stopped = self.stopped();
        out
    }

    /// Measures along the directions, then along the eigenvectors of what was found.
    fn rounds(&self, mut directions: Vec<Vec<f64>>, out: &mut Information) {
        for round in 0..ROUNDS {
            let found = self.each(directions.len(), |engine, i| {
                let v = &directions[i];
                let guess = if round == 0 {
                    self.first_step(v, out)
                } else {
                    FALL.sqrt()
                };
                self.along(engine, v, guess, FAR[usize::from(round > 0)])
            });
            if self.stopped() {
                return;
            }
            // scaled so that the objective falls by FALL along each
            let mut kept: Vec<Vec<f64>> = vec![];
            for (v, along) in directions.iter().zip(found) {
                match along {
                    Along::Curved { curvature, .. } => {
                        let scale = (FALL / curvature).sqrt();
                        kept.push(v.iter().map(|x| x * scale).collect());
                    }
                    Along::Flat => out.flat.push(v.clone()),
                    Along::Rises => {
                        out.rises = true;
                        return;
                    }
                }
            }
            let p = kept.len();
            let pairs: Vec<(usize, usize)> = (0..p).flat_map(|i| (0..=i).map(move |j| (i, j))).collect();
            let falls = self.each(pairs.len(), |engine, at| {
                let (i, j) = pairs[at];
                if i == j {
                    return self.fall(engine, &kept[i]);
                }
                let both: Vec<f64> = kept[i].iter().zip(&kept[j]).map(|(a, b)| a + b).collect();
                self.fall(engine, &both)
            });
            if self.stopped() || falls.len() != pairs.len() {
                return;
            }
            let mut h = vec![0.0; p * p];
            let own = |i: usize| falls[i * (i + 1) / 2 + i];
            for (&(i, j), f) in pairs.iter().zip(&falls) {
                let x = if i == j { *f } else { (f - own(i) - own(j)) / 2.0 };
                h[i * p + j] = x / FALL;
                h[j * p + i] = x / FALL;
            }
            let (values, vectors) = eig_sym(&h, p);
            let last = round + 1 == ROUNDS;
            let settled = values.iter().all(|&l| l > COLLINEAR);
            if values.iter().any(|l| l.is_nan()) || (last && values.iter().any(|&l| l < -COLLINEAR)) {
                out.rises = true;
                return;
            }
            let vector = |c: usize, scale: f64| -> Vec<f64> {
                let mut v = vec![0.0; self.origin.len()];
                for (a, k) in kept.iter().enumerate() {
                    v.iter_mut()
                        .zip(k)
                        .for_each(|(v, k)| *v += scale * vectors[a * p + c] * k);
                }
                v
            };
            if settled || last {
                for (c, &l) in values.iter().enumerate() {
                    if l > 1e-6 {
                        out.roots.push(vector(c, 1.0 / (FALL * l).sqrt()));
                    } else {
                        out.flat.push(vector(c, 1.0));
                    }
                }
                return;
            }
            directions = (0..p)
                .map(|c| vector(c, 1.0 / (FALL * values[c].max(1e-10)).sqrt()))
                .collect();
        }
    }

    /// A step along a coordinate whose curvature is known.
    fn first_step(&self, v: &[f64], out: &Information) -> f64 {
        let c = v.iter().position(|x| *x != 0.0).unwrap_or(0);
        (FALL / out.curvature[c]).sqrt()
    }
}
