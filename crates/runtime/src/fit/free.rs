//! Free coordinates of parameters: log (positive), logit (unit), log-ratios (simplex), log-Cholesky (covariance), the
//! value itself otherwise.

use crate::engine::Values;
use lvmc_loops::lowered::ParamSlot;
use lvmc_term::{Array, Support};
use std::ops::Range;

/// Elements of a parameter that share coordinates: a simplex, a covariance, or one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Position of the parameter.
    pub slot: usize,
    /// Its elements in the parameter's values.
    pub elements: Range<usize>,
    /// Its coordinates.
    pub coordinates: Range<usize>,
}

fn last(slot: &ParamSlot) -> usize {
    slot.shape.last().copied().unwrap_or(1).max(1)
}

/// The groups of all parameters, in order.
#[must_use]
pub fn groups(slots: &[ParamSlot]) -> Vec<Group> {
    let (mut out, mut at) = (vec![], 0);
    for (slot, s) in slots.iter().enumerate() {
        let (n, len) = (last(s), s.shape.iter().product::<usize>());
        let (elements, coordinates) = match s.support {
            Support::Simplex => (n, n),
            Support::Cov => (n * n, n * (n + 1) / 2),
            _ => (1, 1),
        };
        for first in (0..len).step_by(elements) {
            out.push(Group {
                slot,
                elements: first..first + elements,
                coordinates: at..at + coordinates,
            });
            at += coordinates;
        }
    }
    out
}

/// The coordinates; infinite at the edge of a support, NaN for a matrix that is not positive definite. A simplex of n has
/// n of them, the logs, of which only differences matter.
#[must_use]
pub fn coordinates(slots: &[ParamSlot], values: &Values) -> Vec<f64> {
    let mut out = vec![];
    for (slot, v) in slots.iter().zip(values) {
        match slot.support {
            Support::Positive | Support::NonNegative | Support::Simplex => out.extend(v.iter().map(|x| x.ln())),
            Support::Unit => out.extend(v.iter().map(|x| (x / (1.0 - x)).ln())),
            Support::Cov => {
                let n = last(slot);
                for m in v.chunks(n * n) {
                    let Some(l) = Array::matrix(n, n, m.to_vec()).cholesky() else {
                        out.extend(std::iter::repeat_n(f64::NAN, n * (n + 1) / 2));
                        continue;
                    };
                    for i in 0..n {
                        out.extend((0..i).map(|j| l.at2(i, j)));
                        out.push(l.at2(i, i).ln());
                    }
                }
            }
            _ => out.extend(v),
        }
    }
    out
}

/// The inverse of [`coordinates`].
#[must_use]
pub fn bound(slots: &[ParamSlot], free: &[f64]) -> Values {
    let mut at = free.iter().copied();
    let mut next = move || at.next().unwrap_or(f64::NAN);
    let mut out = vec![];
    for slot in slots {
        let (n, len) = (last(slot), slot.shape.iter().product::<usize>());
        let mut v: Vec<f64> = vec![];
        match slot.support {
            Support::Positive | Support::NonNegative => v.extend((0..len).map(|_| next().exp())),
            Support::Unit => v.extend((0..len).map(|_| 1.0 / (1.0 + (-next()).exp()))),
            Support::Simplex => {
                for _ in 0..len / n {
                    let part: Vec<f64> = (0..n).map(|_| next()).collect();
                    let top = part.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = part.iter().map(|x| (x - top).exp()).sum();
                    v.extend(part.iter().map(|x| (x - top).exp() / sum));
                }
            }
            Support::Cov => {
                for _ in 0..len / (n * n) {
                    let mut l = Array::filled(&[n, n], 0.0);
                    for i in 0..n {
                        (0..i).for_each(|j| l.data[i * n + j] = next());
                        l.data[i * n + i] = next().exp();
                    }
                    v.extend(l.matmul(&l.transposed()).data);
                }
            }
            _ => v.extend((0..len).map(|_| next())),
        }
        out.push(v);
    }
    out
}

/// ∂(element)/∂(coordinates of its group), from the group's values; `element` counts within the group.
#[must_use]
pub fn gradient(slot: &ParamSlot, values: &[f64], element: usize) -> Vec<f64> {
    let n = last(slot);
    match slot.support {
        Support::Positive | Support::NonNegative => vec![values[0]],
        Support::Unit => vec![values[0] * (1.0 - values[0])],
        // ∂πᵢ/∂ηⱼ = πᵢ ([i = j] − πⱼ)
        Support::Simplex => (0..n)
            .map(|j| values[element] * (if j == element { 1.0 } else { 0.0 } - values[j]))
            .collect(),
        // dΣ = dL Lᵀ + L dLᵀ, the diagonal of dL being L's times that of the coordinate
        Support::Cov => {
            let Some(l) = Array::matrix(n, n, values.to_vec()).cholesky() else {
                return vec![f64::NAN; n * (n + 1) / 2];
            };
            let (r, c) = (element / n, element % n);
            let mut out = vec![];
            for i in 0..n {
                for j in 0..=i {
                    let step = if i == j { l.at2(i, i) } else { 1.0 };
                    let mut d = 0.0;
                    if i == r {
                        d += l.at2(c, j);
                    }
                    if i == c {
                        d += l.at2(r, j);
                    }
                    out.push(step * d);
                }
            }
            out
        }
        _ => vec![1.0],
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{bound, coordinates, gradient, groups};
    use lvmc_loops::lowered::ParamSlot;
    use lvmc_term::{Support, SymId};

    pub fn slot(support: Support, shape: &[usize]) -> ParamSlot {
        ParamSlot {
            sym: SymId(0),
            name: "p".into(),
            buf: lvmc_loops::ir::BufId(0),
            shape: shape.to_vec(),
            family: 0,
            support,
            free: 1,
        }
    }

    fn example() -> (Vec<ParamSlot>, Vec<Vec<f64>>) {
        let slots = vec![
            slot(Support::Real, &[2]),
            slot(Support::Positive, &[1]),
            slot(Support::Unit, &[1]),
            slot(Support::Simplex, &[2, 2]),
            slot(Support::Cov, &[3, 3]),
        ];
        let values = vec![
            vec![-1.0, 2.0],
            vec![0.3],
            vec![0.8],
            vec![0.2, 0.8, 0.5, 0.5],
            vec![2.0, 0.5, -0.3, 0.5, 1.0, 0.2, -0.3, 0.2, 1.5],
        ];
        (slots, values)
    }

    #[test]
    fn there_and_back() {
        let (slots, mut values) = example();
        let back = bound(&slots, &coordinates(&slots, &values));
        for (a, b) in back.iter().flatten().zip(values.iter().flatten()) {
            assert!((a - b).abs() < 1e-14, "{a} {b}");
        }
        values[1] = vec![0.0];
        assert!(coordinates(&slots, &values)[2].is_infinite());
    }

    #[test]
    fn gradients_are_differences() {
        let (slots, values) = example();
        let u = coordinates(&slots, &values);
        for g in groups(&slots) {
            for e in g.elements.clone() {
                let exact = gradient(
                    &slots[g.slot],
                    &values[g.slot][g.elements.clone()],
                    e - g.elements.start,
                );
                for (i, c) in g.coordinates.clone().enumerate() {
                    let at = |h: f64| {
                        let mut u = u.clone();
                        u[c] += h;
                        bound(&slots, &u)[g.slot][e]
                    };
                    let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!(
                        (difference - exact[i]).abs() < 1e-8,
                        "{g:?} {e} {c}: {difference} {}",
                        exact[i]
                    );
                }
            }
        }
    }
}
