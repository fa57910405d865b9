//! Squared extrapolation of EM's steps (SQUAREM, Varadhan and Roland 2008, scheme S3), in free coordinates.
//!
//! From θ₀, θ₁ = EM(θ₀) and θ₂ = EM(θ₁), with r = θ₁ − θ₀ and v = (θ₂ − θ₁) − r, the point θ₀ + 2s r + s² v with
//! s = |r| / |v| is where a linear rate would lead. The caller keeps it only where the objective is not lower than θ₂'s,
//! so that the fit stays monotone.

use super::free::{bound, coordinates};
use crate::engine::Values;
use lvmc_loops::lowered::ParamSlot;

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

/// Coordinates that are all finite; `None` at the edge of a support.
fn free(slots: &[ParamSlot], values: &Values) -> Option<Vec<f64>> {
    let out = coordinates(slots, values);
    out.iter().all(|x| x.is_finite()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::super::free::tests::slot;
    use super::extrapolated;
    use lvmc_term::Support;

    #[test]
    fn a_linear_rate_is_followed_to_its_end() {
        let slots = [slot(Support::Real, &[1])];
        let at = |x: f64| vec![vec![x]];
        let end = extrapolated(&slots, [&at(1.0), &at(0.9), &at(0.81)]).unwrap();
        assert!(end[0][0].abs() < 1e-12, "{end:?}");
        // at the edge of a support there is nothing to follow
        let slots = [slot(Support::Positive, &[1])];
        assert!(extrapolated(&slots, [&at(1.0), &at(0.5), &at(0.0)]).is_none());
    }
}
