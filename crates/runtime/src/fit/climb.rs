//! One run of EM: iterations until the objective has no more to gain.

use super::FitError;
use super::accelerate::extrapolated;
use crate::engine::{Engine, Values};
use lvmc_base::Bug;
use std::sync::atomic::{AtomicBool, Ordering};

/// A fall of the objective below this share of |objective| + rows is rounding.
const ROUNDING: f64 = 1e-9;
/// Gains that shrink more slowly than this from step to step are worth extrapolating.
const SLOW: f64 = 0.5;
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

/// What is left to gain, from the last three objectives: EM's steps shrink geometrically (Aitken).
#[must_use]
pub fn remaining(trace: &[f64], noise: f64) -> f64 {
    let [.., a, b, c] = trace else { return f64::INFINITY };
    let (before, last) = (b - a, c - b);
    if last <= noise {
        return 0.0;
    }
    let rate = last / before;
    if rate > 0.0 && rate < 1.0 {
        last * (rate / (1.0 - rate)).max(0.1)
    } else {
        f64::INFINITY
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
        stopped: false,
        trace: vec![now],
    };
    let ascent = !engine.lowered().ascent.is_empty();
    let mut last = vec![];
    let mut quiet = 0;
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
        now = next;
        let lowered = engine.lowered();
        let slow = !lowered.starts.is_empty()
            || lowered.gaussian_chain.is_some()
            || lowered.mean_field.is_some()
            || !lowered.groups.is_empty();
        if until.tol > 0.0 && !ascent && slow {
            now = leap(engine, &mut out, &mut last);
        }
        if until.tol > 0.0 {
            let left = remaining(&out.trace, 1e-14 * scale);
            // a shortened step says nothing of the next, unless it gained nothing
            quiet = if (alpha == 1.0 || left == 0.0) && left <= until.tol * (1.0 + now.abs()) {
                quiet + 1
            } else {
                0
            };
            if quiet >= 3 {
                out.converged = true;
                break;
            }
        }
    }
    Ok(out)
}

/// After every second step, where EM has become slow: the extrapolated parameters, if their objective is not lower.
fn leap(engine: &mut Engine<'_>, out: &mut Outcome, last: &mut Vec<Values>) -> f64 {
    last.push(out.values.clone());
    let [a, b, c] = &last[..] else { return out.objective };
    let slow = matches!(out.trace[..], [.., a, b, c] if c - b > SLOW * (b - a));
    let found = slow
        .then(|| extrapolated(&engine.lowered().params, [a, b, c]))
        .flatten();
    last.clear();
    let Some(values) = found else {
        last.push(out.values.clone());
        return out.objective;
    };
    engine.set_params(&values);
    let objective = engine.evaluate();
    if objective >= out.objective && objective.is_finite() && engine.failures() == 0.0 {
        out.values = values;
        out.objective = objective;
        out.log_likelihood = engine.log_likelihood();
        out.iterations += 1;
        out.trace.push(objective);
    } else {
        engine.set_params(&out.values);
        engine.evaluate();
    }
    last.push(out.values.clone());
    out.objective
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

#[cfg(test)]
mod tests {
    use super::remaining;

    #[test]
    fn the_rest_of_a_geometric_series_is_foreseen() {
        let trace: Vec<f64> = (0..20).map(|i| -100.0 - 0.9f64.powi(i)).collect();
        let left = remaining(&trace, 1e-14);
        assert!((left - 0.9f64.powi(19)).abs() < 1e-9, "{left}");
        assert_eq!(remaining(&[1.0, 2.0], 0.0), f64::INFINITY);
        assert_eq!(remaining(&[1.0, 2.0, 2.0], 0.0), 0.0);
        assert_eq!(remaining(&[1.0, 2.0, 4.0], 0.0), f64::INFINITY);
    }
}
