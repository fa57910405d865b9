//! What makes a result suspect: floors, collapsed components, no convergence.

use super::Outcome;
use crate::dataset::Dataset;
use crate::engine::Compiled;
use lvmc_loops::lowered::ParamSlot;
use lvmc_term::Support;

/// A covariance whose smallest eigenvalue, in units of the data's variances, is below this has collapsed.
const COLLAPSED: f64 = 1e-5;
/// A component that holds fewer rows than this has vanished.
const VANISHED: f64 = 1e-3;

/// Something to distrust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suspicion {
    /// Iterations ran out.
    NotConverged,
    /// A variance is held by its floor.
    Floor,
    /// A component sits on too few points: the parameter and its index, from 1.
    Collapsed(String, usize),
    /// A component has no rows: the parameter and its index, from 1.
    Vanished(String, usize),
    /// A factorisation failed.
    Singular,
    /// The objective fell after a floor became active.
    Fell,
    /// The next step has no finite objective.
    Undefined,
    /// Stopped from outside.
    Stopped,
}

impl Suspicion {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::NotConverged => "not converged: --max-iter allows more iterations".into(),
            Self::Floor => {
                "a variance is held at its floor: a component sits on too few different points, or a column \
                 is constant; fewer components or a prior on the variance would help"
                    .into()
            }
            Self::Collapsed(name, k) => format!(
                "component {k} has collapsed: {name}[{k}] is almost singular; try fewer components or a prior on {name}"
            ),
            Self::Vanished(name, k) => {
                format!(
                    "component {k} has vanished: {name} gives it less than a thousandth of a row; try fewer components"
                )
            }
            Self::Singular => {
                "a matrix is singular: some directions of the parameters are not determined by the data".into()
            }
            Self::Fell => "the last step lowered the objective where a floor is active; the step was undone".into(),
            Self::Undefined => {
                "the next step has no finite objective, and was undone: a parameter at the end of its range?".into()
            }
            Self::Stopped => "stopped before it converged".into(),
        }
    }
    /// The component is no honest optimum: such fits rank last.
    #[must_use]
    pub fn is_degenerate(&self) -> bool {
        matches!(
            self,
            Self::Floor | Self::Collapsed(..) | Self::Vanished(..) | Self::Undefined
        )
    }
}

/// Everything suspicious in an outcome.
#[must_use]
pub fn suspicions(compiled: &Compiled<'_>, data: &Dataset, out: &Outcome, must_converge: bool) -> Vec<Suspicion> {
    let mut found = Vec::new();
    if out.stopped {
        found.push(Suspicion::Stopped);
    } else if must_converge && !out.converged && !out.fell && !out.undefined {
        found.push(Suspicion::NotConverged);
    }
    if out.floors {
        found.push(Suspicion::Floor);
    }
    if out.fell {
        found.push(Suspicion::Fell);
    }
    if out.undefined {
        found.push(Suspicion::Undefined);
    }
    if out.failures {
        found.push(Suspicion::Singular);
    }
    for (slot, values) in compiled.lowered.params.iter().zip(&out.values) {
        found.extend(collapsed(compiled, data, slot, values));
        found.extend(vanished(compiled, data, slot, values));
    }
    found
}

fn collapsed(compiled: &Compiled<'_>, data: &Dataset, slot: &ParamSlot, values: &[f64]) -> Vec<Suspicion> {
    let Some(&n) = slot.shape.last() else { return Vec::new() };
    if slot.support != Support::Cov || n == 0 {
        return Vec::new();
    }
    let scale = compiled
        .lowered
        .columns
        .iter()
        .filter(|c| c.scale.is_some() && c.cols == n)
        .find_map(|c| data.moments.get(&c.name))
        .map(|m| &m.scale);
    let Some(scale) = scale else { return Vec::new() };
    values
        .chunks(n * n)
        .enumerate()
        .filter(|(_, m)| {
            let scaled: Vec<f64> = (0..n * n)
                .map(|i| m[i] / (scale[i / n] * scale[i % n]).sqrt() - if i / n == i % n { COLLAPSED } else { 0.0 })
                .collect();
            !is_positive(&scaled, n)
        })
        .map(|(k, _)| Suspicion::Collapsed(slot.name.clone(), k + 1))
        .collect()
}

/// True where a Cholesky factorisation exists.
fn is_positive(a: &[f64], n: usize) -> bool {
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            if i == j {
                if rest.is_nan() || rest <= 0.0 {
                    return false;
                }
                l[i * n + i] = rest.sqrt();
            } else {
                l[i * n + j] = rest / l[j * n + j];
            }
        }
    }
    true
}

fn vanished(compiled: &Compiled<'_>, data: &Dataset, slot: &ParamSlot, values: &[f64]) -> Vec<Suspicion> {
    let size = slot.shape.last().copied().unwrap_or(0);
    if compiled.lowered.chained() {
        return Vec::new(); // weights of one row of every sequence say nothing of the others
    }
    let weights = slot.support == Support::Simplex
        && slot.family == 0
        && slot.shape.len() == 1
        && compiled.lowered.latents.iter().any(|l| l.size == size && !l.observed);
    if !weights {
        return Vec::new();
    }
    values
        .iter()
        .enumerate()
        .filter(|(_, w)| **w * data.weight_sum < VANISHED)
        .map(|(k, _)| Suspicion::Vanished(slot.name.clone(), k + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::is_positive;

    #[test]
    fn definiteness() {
        assert!(is_positive(&[2.0, 1.0, 1.0, 2.0], 2));
        assert!(!is_positive(&[1.0, 2.0, 2.0, 1.0], 2));
        assert!(!is_positive(&[f64::NAN], 1));
    }
}
