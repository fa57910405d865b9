//! One run of EM: iterations until the objective has no more to gain.

use super::FitError;
use super::pace::Pace;
use crate::engine::{Engine, Values};
use lvmc_base::Bug;
use std::sync::atomic::{AtomicBool, Ordering};

/// A fall of the objective below this share of |objective| + rows is rounding.
const ROUNDING: f64 = 1e-9;
/// Halvings of a step before it is given up.
const HALVINGS: usize = 40;

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// The most iterations.
    pub iterations: usize,
    /// Ends where less than this share of 1 + |objective| is left to gain; 0 never ends early.
    pub tol: f64,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Parameters.
    pub values: Values,
    /// Their objective.
    pub objective: f64,
    /// The objective without the prior.
    pub log_likelihood: f64,
    /// Updates done.
    pub iterations: usize,
    /// Nothing is left to gain.
    pub converged: bool,
    /// Floors were active in the last update.
    pub floors: bool,
    /// Factorisations that failed in the last iteration.
    pub failures: bool,
    /// The objective fell where that is no bug (a floor became active); the step was undone.
    pub fell: bool,
    /// The next step has no finite objective; it was undone.
    pub undefined: bool,
    /// Where that step went.
    pub beyond: Option<Values>,
    /// The run was stopped from outside.
    pub stopped: bool,
    /// The objective after every iteration, the start's first.
    pub trace: Vec<f64>,
}

impl Outcome {
    /// What runs are compared by: NaN is last.
    #[must_use]
    pub fn rank(&self) -> f64 {
        if self.objective.is_nan() {
            f64::NEG_INFINITY
        } else {
            self.objective
        }
    }
}

/// Runs EM from the engine's present parameters.
///
/// # Errors
/// A [`Bug`] where the objective falls though every update is exact.
pub fn climb(
    engine: &mut Engine<'_>,
    weight_sum: f64,
    until: Until,
    stop: Option<&AtomicBool>,
) -> Result<Outcome, FitError> {
    let mut now = engine.evaluate();
    let mut out = Outcome {
        values: engine.params(),
        objective: now,
        log_likelihood: engine.log_likelihood(),
        iterations: 0,
        converged: false,
        floors: false,
        failures: engine.failures() > 0.0,
        fell: false,
        undefined: false,
        beyond: None,
        stopped: false,
        trace: vec![now],
    };
    let ascent = !engine.lowered().ascent.is_empty();
    let mut pace = Pace::new(&out.values);
    while out.iterations < until.iterations {
        if now.is_nan() || now == f64::INFINITY {
            out.undefined = true;
            break;
        }
        if stop.is_some_and(|s| s.load(Ordering::Relaxed)) {
            out.stopped = true;
            break;
        }
        engine.update();
        let floors = engine.floors() > 0.0;
        let mut next = engine.evaluate();
        let scale = now.abs().min(f64::MAX) + weight_sum;
        let mut alpha = 1.0;
        if ascent {
            for _ in 0..HALVINGS {
                if next >= now - ROUNDING * 1e-3 * scale {
                    break;
                }
                alpha *= 0.5;
                engine.backtrack(alpha);
                next = engine.evaluate();
            }
        }
        let fell = next.is_nan() || next < now - ROUNDING * scale;
        if fell {
            let excused = next.is_nan() || floors || out.floors || out.failures || engine.failures() > 0.0;
            if !excused && now.is_finite() {
                return Err(bug(engine, &out, now, next).into());
            }
            out.undefined = next.is_nan();
            out.beyond = out.undefined.then(|| engine.params());
            out.fell = !out.undefined;
            break;
        }
        out.iterations += 1;
        out.floors = floors;
        out.failures = engine.failures() > 0.0;
        out.values = engine.params();
        out.objective = next;
        out.log_likelihood = engine.log_likelihood();
        out.trace.push(next);
        if until.tol > 0.0 {
            let (noise, enough) = (1e-14 * scale, until.tol * (1.0 + next.abs()));
            pace.stepped(next - now, &out.values, alpha == 1.0, noise, enough);
            if pace.ended(noise, enough) {
                out.converged = true;
                break;
            }
            if !ascent && out.iterations < until.iterations {
                leap(engine, &mut out, &mut pace);
            }
        }
        now = out.objective;
    }
    Ok(out)
}

/// Where EM has become slow: the extrapolated parameters, if their objective is not lower.
fn leap(engine: &mut Engine<'_>, out: &mut Outcome, pace: &mut Pace) {
    let Some(values) = pace.leap(&engine.lowered().params) else {
        return;
    };
    engine.set_params(&values);
    let objective = engine.evaluate();
    if objective >= out.objective && objective.is_finite() && engine.failures() == 0.0 {
        out.values = values;
        out.objective = objective;
        out.log_likelihood = engine.log_likelihood();
        out.iterations += 1;
        out.trace.push(objective);
        pace.leapt(&out.values);
    } else {
        engine.set_params(&out.values);
        engine.evaluate();
        pace.refused();
    }
}

fn bug(engine: &Engine<'_>, out: &Outcome, now: f64, next: f64) -> Bug {
    let lowered = engine.lowered();
    Bug {
        stage: "fit",
        message: format!(
            "the objective fell from {now} to {next} in iteration {} though every update is exact",
            out.iterations + 1
        ),
        ir: format!(
            "model {}; parameters before: {}",
            lowered.program.name,
            lowered
                .params
                .iter()
                .zip(&out.values)
                .map(|(p, v)| format!("{} = {:?}", p.name, v.iter().take(12).collect::<Vec<_>>()))
                .collect::<Vec<_>>()
                .join("; ")
        ),
    }
}
