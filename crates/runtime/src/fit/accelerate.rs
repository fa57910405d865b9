//! Squared extrapolation of EM's steps (SQUAREM, Varadhan and Roland 2008, scheme S3), in free coordinates.
//!
//! From θ₀, θ₁ = EM(θ₀) and θ₂ = EM(θ₁), with r = θ₁ − θ₀ and v = (θ₂ − θ₁) − r, the point θ₀ + 2s r + s² v with
//! s = |r| / |v| is where a linear rate would lead. The caller keeps it only where the objective is not lower than θ₂'s,
//! so that the fit stays monotone.

use crate::engine::Values;
use lvmc_loops::lowered::ParamSlot;
use lvmc_term::Support;

/// The extrapolated point, or `None` where the steps say nothing or it leaves the parameters' space.
#[must_use]
pub fn extrapolated(slots: &[ParamSlot], steps: [&Values; 3]) -> Option<Values> {
    let [a, b, c] = steps.map(|v| free(slots, v));
    let (a, b, c) = (a?, b?, c?);
    let (mut rr, mut vv) = (0.0, 0.0);
    for ((a, b), c) in a.iter().zip(&b).zip(&c) {
        let (r, v) = (b - a, (c - b) - (b - a));
        rr += r * r;
        vv += v * v;
    }
    let s = (rr / vv).sqrt();
    if !s.is_finite() || s <= 1.0 {
        return None;
    }
    let moved: Vec<f64> = a
        .iter()
        .zip(&b)
        .zip(&c)
        .map(|((a, b), c)| {
            let (r, v) = (b - a, (c - b) - (b - a));
            a + 2.0 * s * r + s * s * v
        })
        .collect();
    let out = bound(slots, &moved);
    out.iter().flatten().all(|x| x.is_finite()).then_some(out)
}

fn last(slot: &ParamSlot) -> usize {
    slot.shape.last().copied().unwrap_or(1).max(1)
}

/// log, logit, log-ratios, log-Cholesky; other values as they are. `None` at the edge of a support.
fn free(slots: &[ParamSlot], values: &Values) -> Option<Vec<f64>> {
    let mut out = vec![];
    for (slot, v) in slots.iter().zip(values) {
        match slot.support {
            Support::Positive | Support::NonNegative | Support::Simplex => out.extend(v.iter().map(|x| x.ln())),
            Support::Unit => out.extend(v.iter().map(|x| (x / (1.0 - x)).ln())),
            Support::Cov => {
                let n = last(slot);
                for m in v.chunks(n * n) {
                    let l = lvmc_term::Array::matrix(n, n, m.to_vec()).cholesky()?;
                    for i in 0..n {
                        out.extend((0..i).map(|j| l.at2(i, j)));
                        out.push(l.at2(i, i).ln());
                    }
                }
            }
            _ => out.extend(v),
        }
    }
    out.iter().all(|x| x.is_finite()).then_some(out)
}

/// The inverse of [`free`].
fn bound(slots: &[ParamSlot], free: &[f64]) -> Values {
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
                    let mut l = lvmc_term::Array::filled(&[n, n], 0.0);
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

#[cfg(test)]
mod tests {
    use super::{bound, extrapolated, free};
    use lvmc_loops::lowered::ParamSlot;
    use lvmc_term::{Support, SymId};

    fn slot(support: Support, shape: &[usize]) -> ParamSlot {
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

    #[test]
    fn free_coordinates_and_back() {
        let slots = [
            slot(Support::Real, &[2]),
            slot(Support::Positive, &[1]),
            slot(Support::Unit, &[1]),
            slot(Support::Simplex, &[2, 2]),
            slot(Support::Cov, &[2, 2]),
        ];
        let values = vec![
            vec![-1.0, 2.0],
            vec![0.3],
            vec![0.8],
            vec![0.2, 0.8, 0.5, 0.5],
            vec![2.0, 0.5, 0.5, 1.0],
        ];
        let back = bound(&slots, &free(&slots, &values).unwrap());
        for (a, b) in back.iter().flatten().zip(values.iter().flatten()) {
            assert!((a - b).abs() < 1e-14, "{a} {b}");
        }
        let edge = vec![vec![0.0, 0.0], vec![0.0], vec![0.5], vec![0.5; 4], values[4].clone()];
        assert!(free(&slots, &edge).is_none());
    }

    #[test]
    fn a_linear_rate_is_followed_to_its_end() {
        let slots = [slot(Support::Real, &[1])];
        let at = |x: f64| vec![vec![x]];
        let end = extrapolated(&slots, [&at(1.0), &at(0.9), &at(0.81)]).unwrap();
        assert!(end[0][0].abs() < 1e-12, "{end:?}");
    }
}
