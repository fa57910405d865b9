//! Squared extrapolation of EM's steps (SQUAREM, Varadhan and Roland 2008, scheme S3), in coordinates
//! without bounds.
//!
//! From θ₀, θ₁ = EM(θ₀) and θ₂ = EM(θ₁), with r = θ₁ − θ₀ and v = (θ₂ − θ₁) − r, the point θ₀ + 2s r + s² v with
//! s = |r| / |v| is where a linear rate would lead. The caller keeps it only where the objective is not lower than θ₂'s,
//! so that the fit stays monotone.

use super::free::{bound, coordinates, groups};
use crate::engine::Values;
use lvmc_loops::lowered::ParamSlot;
use lvmc_term::Support;

/// The extrapolated point, or `None` where the steps say nothing or it leaves the parameters' space.
#[must_use]
pub fn extrapolated(slots: &[ParamSlot], steps: [&Values; 3]) -> Option<Values> {
    let [a, b, c] = steps.map(|v| free(slots, v));
    let moves = |i: usize| (b[i] - a[i], (c[i] - b[i]) - (b[i] - a[i]));
    // what lies at the edge of its support stays there
    let inside: Vec<bool> = (0..c.len())
        .map(|i| a[i].is_finite() && b[i].is_finite() && c[i].is_finite())
        .collect();
    let (mut rr, mut vv) = (0.0, 0.0);
    for i in (0..c.len()).filter(|&i| inside[i]) {
        let (r, v) = moves(i);
        rr += r * r;
        vv += v * v;
    }
    let s = (rr / vv).sqrt();
    if !s.is_finite() || s <= 1.0 {
        return None;
    }
    let at = |i: usize| {
        let (r, v) = moves(i);
        a[i] + 2.0 * s * r + s * s * v
    };
    let mut moved: Vec<f64> = (0..c.len()).map(|i| if inside[i] { at(i) } else { c[i] }).collect();
    for i in roots(slots) {
        // EM never comes back from a probability of 0
        moved[i] = 2.0 * moved[i].max(0.5 * c[i]).ln();
    }
    let out = bound(slots, &moved);
    out.iter().flatten().all(|x| x.is_finite()).then_some(out)
}

/// Free coordinates, but roots of probabilities: steps are measured as the data tell distributions apart (2√p is where the
/// information is the identity), and a probability that falls towards 0, whose logarithm never rests, hardly counts.
fn free(slots: &[ParamSlot], values: &Values) -> Vec<f64> {
    let mut out = coordinates(slots, values);
    roots(slots).for_each(|i| out[i] = (0.5 * out[i]).exp());
    out
}

/// The coordinates that are logs of probabilities.
fn roots(slots: &[ParamSlot]) -> impl Iterator<Item = usize> + '_ {
    let simplex = |g: &super::free::Group| slots[g.slot].support == Support::Simplex;
    groups(slots).into_iter().filter(simplex).flat_map(|g| g.coordinates)
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

    #[test]
    fn an_edge_holds_nothing_else_back() {
        let slots = [slot(Support::Real, &[1]), slot(Support::Simplex, &[3])];
        let at = |x: f64, p: f64| vec![vec![x], vec![1.0 - p, p, 0.0]];
        let end = extrapolated(&slots, [&at(1.0, 1e-90), &at(0.9, 1e-120), &at(0.81, 1e-150)]).unwrap();
        assert!(end[0][0].abs() < 1e-9, "{end:?}");
        // √p, 1e-45 and then nothing, moves as far as x does: 81 of its steps
        assert!(end[1][1] > 0.0 && end[1][1] < 1e-80, "{end:?}");
        assert_eq!(end[1][2], 0.0);
    }
}
