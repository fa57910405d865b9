//! The loop: batches, steps of the optimiser, epochs, and what to do when a step fails.
//!
//! The order of the rows depends on (seed, epoch) and noise on (seed, step), so that a run that is stopped and continued is
//! the run that was never stopped, bit for bit.

use super::GradientError;
use super::data::Data;
use super::problem::Step;
use super::settings::{Aim, Optimiser, Settings};
use crate::random::{Purpose, keyed, shuffle};
use lvmc_dense::{Executor, Method, Moments, OptimiserStep, Trained};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// How often the learning rate is halved before a fit that diverges is given up.
const RESCUES: u32 = 6;

/// Everything that a run needs to go on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// Free coordinates of every parameter.
    pub params: Vec<Vec<f64>>,
    /// The optimiser's memory.
    pub moments: Vec<Moments>,
    /// Batches so far.
    pub step: u64,
    /// Updates since the optimiser began (again).
    pub updates: u64,
    /// What the learning rate was multiplied by after failures.
    pub factor: f64,
    /// Failures so far.
    pub rescues: u32,
    /// Sum of the losses of this epoch's batches, times their rows.
    pub loss: f64,
    /// Of every epoch: the mean objective of its batches.
    pub trace: Vec<f64>,
    /// Of every epoch: the held-out score, where rows are held out.
    pub held: Vec<f64>,
    /// The best held-out score and its epoch.
    pub best: Option<(f64, usize)>,
    /// Parameters there.
    pub best_params: Vec<Vec<f64>>,
    /// The objective of the first batch, before any step.
    #[serde(default)]
    pub start: Option<f64>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All epochs were run.
    Finished,
    /// The held-out score did not improve.
    Stopped,
    /// Interrupted.
    Interrupted,
    /// Every rate that was tried diverged.
    Diverged,
}

/// What a run tells while it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Epochs done, with fractions.
    pub epochs: f64,
    /// Of so many.
    pub of: usize,
    /// The mean objective of the last epoch (of this one, in the first).
    pub objective: f64,
    /// The last held-out score.
    pub held: Option<f64>,
}

/// What a run reports to and stops by.
#[derive(Clone, Copy, Default)]
pub struct Watch<'a> {
    /// Called every now and then.
    pub progress: Option<&'a dyn Fn(Progress)>,
    /// Stops at the next step where it is true.
    pub stop: Option<&'a AtomicBool>,
}

/// Moves the parameters without gradients, at the end of an epoch.
pub type Refine<'a> = dyn FnMut(&mut Vec<Vec<f64>>, u64) -> Result<(), GradientError> + 'a;

/// A training step and its rows.
pub struct Trainer<'a> {
    /// The step's arrays.
    pub step: &'a Step,
    /// Runs it.
    pub executor: &'a mut dyn Executor,
    /// The rows.
    pub data: &'a Data,
    /// Which of them are trained on.
    pub rows: &'a [u32],
    /// What was chosen.
    pub settings: &'a Settings,
    trained: Vec<Trained>,
    method: Method,
    batch: Vec<u32>,
    order: Vec<u32>,
    ordered: Option<u64>,
    weights: Vec<f64>,
}

impl<'a> Trainer<'a> {
    /// Ready to run.
    #[must_use]
    pub fn new(
        step: &'a Step,
        executor: &'a mut dyn Executor,
        data: &'a Data,
        rows: &'a [u32],
        settings: &'a Settings,
    ) -> Self {
        let (method, decay) = match settings.optimiser {
            Optimiser::Adam {
                beta1,
                beta2,
                eps,
                decay,
            } => (
                Method::Adam {
                    beta1,
                    beta2,
                    epsilon: eps,
                    decoupled: true,
                },
                decay,
            ),
            Optimiser::Sgd { momentum, decay } => (
                Method::Sgd {
                    momentum,
                    nesterov: false,
                },
                decay,
            ),
            Optimiser::Lbfgs { .. } => (
                Method::Sgd {
                    momentum: 0.0,
                    nesterov: false,
                },
                0.0,
            ),
        };
        let trained = step
            .params
            .iter()
            .filter_map(|&(param, gradient)| {
                let gradient = gradient?;
                Some(Trained { param, gradient, decay })
            })
            .collect();
        step.lowered.set_constants(executor);
        Self {
            step,
            executor,
            data,
            rows,
            settings,
            trained,
            method,
            batch: Vec::with_capacity(settings.batch),
            order: rows.to_vec(),
            ordered: None,
            weights: Vec::with_capacity(settings.batch),
        }
    }

    /// Batches of an epoch.
    #[must_use]
    pub fn per_epoch(&self) -> u64 {
        (self.rows.len().div_ceil(self.settings.batch.max(1))).max(1) as u64
    }

    /// Puts a state into the executor.
    pub fn enter(&mut self, state: &State) {
        for (&(id, _), values) in self.step.params.iter().zip(&state.params) {
            self.executor.set(id, values);
        }
        if !state.moments.is_empty() {
            self.executor.set_state(&state.moments);
        }
    }

    /// Takes the parameters out of the executor.
    #[must_use]
    pub fn params(&self) -> Vec<Vec<f64>> {
        self.step.params.iter().map(|&(id, _)| self.executor.get(id)).collect()
    }

    fn leave(&self, state: &mut State) {
        state.params = self.params();
        state.moments = self.executor.state();
    }

    /// The rows of a batch, in the order of its epoch.
    fn fill_batch(&mut self, step: u64) -> usize {
        let per_epoch = self.per_epoch();
        let (epoch, at) = (step / per_epoch, (step % per_epoch) as usize);
        if self.ordered != Some(epoch) {
            self.order.copy_from_slice(self.rows);
            let mut rng = keyed(self.settings.seed, Purpose::Rows, epoch);
            shuffle(&mut rng, &mut self.order);
            self.ordered = Some(epoch);
        }
        let size = self.settings.batch.max(1);
        let part = self.order.chunks(size).nth(at).unwrap_or(&[]);
        self.batch.clear();
        self.batch.extend_from_slice(part);
        self.batch.len()
    }

    /// Loss and gradients of all rows at some parameters, with the noise of one fixed draw.
    pub(super) fn whole(&mut self, params: &[Vec<f64>]) -> (f64, Vec<f64>) {
        for (&(id, _), values) in self.step.params.iter().zip(params) {
            self.executor.set(id, values);
        }
        let all = self.rows.len();
        let mut gradient = vec![0.0; params.iter().map(Vec::len).sum()];
        let mut loss = 0.0;
        for (k, chunk) in self.rows.chunks(self.executor.capacity()).enumerate() {
            self.batch.clear();
            self.batch.extend_from_slice(chunk);
            self.set_rows();
            // the prior counts once
            if let Some(id) = self.step.share {
                self.executor.set(id, &[if k == 0 { 1.0 } else { 0.0 }]);
            }
            if let (Some(id), Aim::Beta { beta, .. }) = (self.step.beta, self.settings.aim) {
                self.executor.set(id, &[beta]);
            }
            self.executor.run(chunk.len(), k as u64);
            loss -= self.executor.get(self.step.objective)[0] / all as f64;
            let mut at = 0;
            for g in self.step.params.iter().filter_map(|p| p.1) {
                let part = self.executor.get(g);
                for (sum, x) in gradient[at..].iter_mut().zip(&part) {
                    *sum -= x / all as f64;
                }
                at += part.len();
            }
        }
        (loss, gradient)
    }

    /// Data and weights of the batch.
    fn set_rows(&mut self) {
        for m in &self.data.variables {
            if let Some(&id) = self.step.lowered.symbols.get(&m.sym) {
                self.executor.set_rows_from(id, &m.columns(), &self.batch);
            }
        }
        if let (Some(id), Some(w)) = (self.step.weight, &self.data.weights) {
            self.weights.clear();
            self.weights.extend(self.batch.iter().map(|&r| w[r as usize]));
            self.executor.set(id, &self.weights);
        }
    }

    /// Rows, weights and numbers of one batch: how many rows.
    fn prepare(&mut self, state: &State) -> usize {
        let n = self.fill_batch(state.step);
        self.set_rows();
        if let Some(id) = self.step.share {
            self.executor.set(id, &[n as f64 / self.rows.len().max(1) as f64]);
        }
        if let (Some(id), Aim::Beta { beta, warmup }) = (self.step.beta, self.settings.aim) {
            let epoch = state.step as f64 / self.per_epoch() as f64;
            let rise = if warmup > 0.0 { (epoch / warmup).min(1.0) } else { 1.0 };
            self.executor.set(id, &[beta * rise]);
        }
        n
    }

    /// The learning rate of a step.
    fn rate(&self, state: &State) -> f64 {
        let total = self.per_epoch() * self.settings.epochs as u64;
        let warm = self.settings.warmup;
        let rise = if state.step < warm {
            (state.step + 1) as f64 / warm as f64
        } else {
            1.0
        };
        self.settings.rate * state.factor * rise * self.settings.schedule.factor(state.step, total, self.per_epoch())
    }

    /// One step down the mean of a batch: its loss. Where that is not finite, parameters and moments are worth nothing.
    fn descend(&mut self, state: &mut State) -> f64 {
        let n = self.prepare(state);
        state.updates += 1;
        let mut step = OptimiserStep {
            method: self.method,
            rate: self.rate(state),
            scale: -1.0 / n.max(1) as f64,
            step: state.updates,
            trained: &self.trained,
        };
        match self.settings.clip {
            None => self.executor.train(n, state.step, &step),
            Some(limit) => {
                self.executor.run(n, state.step);
                let norm = self.executor.gradient_norm(&self.trained) * -step.scale;
                if !norm.is_finite() {
                    return f64::NAN;
                }
                if norm > limit {
                    step.scale *= limit / norm;
                }
                self.executor.optimise(&step);
            }
        }
        let mut objective = [0.0];
        self.executor.read(self.step.objective, &mut objective);
        -objective[0] / n as f64
    }

    /// Runs until the epochs are over, the score stops improving, or something stops it.
    pub fn run(
        &mut self,
        state: &mut State,
        watch: Watch<'_>,
        held: &mut dyn FnMut(&[Vec<f64>]) -> Option<f64>,
        refine: &mut Refine<'_>,
    ) -> Result<Ended, GradientError> {
        self.enter(state);
        let per_epoch = self.per_epoch();
        let total = per_epoch * self.settings.epochs as u64;
        // where to go back to when a step fails
        let mut good = state.clone();
        let mut ended = Ended::Finished;
        while state.step < total {
            if watch.stop.is_some_and(|s| s.load(Ordering::Relaxed)) {
                ended = Ended::Interrupted;
                break;
            }
            let loss = self.descend(state);
            if state.step == 0 && loss.is_finite() && state.start.is_none() {
                state.start = Some(-loss);
                good.start = state.start;
            }
            let mut fine = loss.is_finite();
            // parameters may fail at the last step of the epoch
            if fine && (state.step + 1).is_multiple_of(per_epoch) {
                self.leave(state);
                fine = self.sound(&state.params);
                if fine {
                    self.refine(state, refine)?;
                }
            }
            if !fine {
                if state.rescues >= RESCUES {
                    *state = good;
                    self.enter(state);
                    return Ok(Ended::Diverged);
                }
                let rescues = state.rescues + 1;
                *state = good.clone();
                state.rescues = rescues;
                state.factor *= 0.5;
                good.factor = state.factor;
                good.rescues = rescues;
                self.enter(state);
                continue;
            }
            state.loss += loss * self.batch.len() as f64;
            state.step += 1;
            if state.step.is_multiple_of(16)
                && let Some(tell) = watch.progress
            {
                tell(self.progress(state));
            }
            if state.step.is_multiple_of(per_epoch) {
                state.trace.push(-state.loss / self.rows.len() as f64);
                state.loss = 0.0;
                good = state.clone();
                if let Some(score) = held(&state.params) {
                    state.held.push(score);
                    let epoch = state.trace.len();
                    if state.best.is_none_or(|(b, _)| score > b) {
                        state.best = Some((score, epoch));
                        state.best_params.clone_from(&state.params);
                    } else if let (Some(p), Some((_, at))) = (self.settings.patience, state.best)
                        && epoch >= at + p
                    {
                        return Ok(Ended::Stopped);
                    }
                    good = state.clone();
                }
            }
        }
        self.leave(state);
        // interrupted after a step that failed: the last state without failures
        if !self.sound(&state.params) {
            *state = good;
            self.enter(state);
        }
        Ok(ended)
    }

    /// Exact updates at the end of an epoch.
    fn refine(&mut self, state: &mut State, refine: &mut Refine<'_>) -> Result<(), GradientError> {
        let epoch = state.step / self.per_epoch();
        refine(&mut state.params, epoch)?;
        for (&(id, gradient), values) in self.step.params.iter().zip(&mut state.params) {
            if gradient.is_none() {
                self.executor.set(id, values);
                // as the executor's precision has it, so that a run that goes on from here is the same
                *values = self.executor.get(id);
            }
        }
        Ok(())
    }

    /// Coordinates are numbers, and so are the parameters' values.
    fn sound(&self, params: &[Vec<f64>]) -> bool {
        params.iter().zip(&self.step.exponentials).all(|(p, &exponential)| {
            p.iter()
                .all(|x| x.is_finite() && !(exponential && x.exp().is_infinite()))
        })
    }

    fn progress(&self, state: &State) -> Progress {
        let per_epoch = self.per_epoch();
        let within = (state.step % per_epoch).max(1) * self.settings.batch as u64;
        Progress {
            epochs: state.step as f64 / per_epoch as f64,
            of: self.settings.epochs,
            objective: state.trace.last().copied().unwrap_or(-state.loss / within as f64),
            held: state.held.last().copied(),
        }
    }
}
