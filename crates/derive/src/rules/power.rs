//! log-linear.
//!
//! Statement: over θ > 0, A log θ + B θᵖ is maximised by θ = (−A / (p B))^{1/p} where A / p ≥ 0 and B < 0 … the rate of
//! a Poisson or Gamma (p = 1), a variance (p = −1), a standard deviation (p = −2), element by element.
//! Side conditions: the type is positive, and Q depends on it only through log θ and one power θᵖ.
//! Proof: the derivative A/θ + pBθ^{p−1} has the single zero θᵖ = −A/(pB), a maximum since the function is concave in
//! log θ for B < 0.

use super::Decline;
use crate::occur::{Occurrence, Unknown, elementwise};
use crate::plan::{Condition, Solution, Update};
use lvmc_term::{Fun, Node, Store, Support, Term};

/// Its printed name.
pub const NAME: &str = "log-linear";

/// See the module.
pub fn apply(s: &mut Store, unknown: &Unknown, occurrences: &[Occurrence]) -> Result<Update, Decline> {
    if s.sym(unknown.sym).support != Support::Positive {
        return Err(Decline::plain("its type is not positive"));
    }
    let (mut logs, mut powers, mut exponent) = (vec![], vec![], None);
    for o in occurrences {
        for (c, g) in elementwise(s, o.term, &[unknown.atom]).map_err(|e| Decline::at(e, o.span))? {
            if s.as_num(g) == Some(1.0) {
                continue;
            }
            match *s.node(g) {
                Node::Fun(Fun::Log, a) if a == unknown.atom => logs.push(o.expect(s, c)),
                _ => {
                    let p = power_of(s, g, unknown.atom)
                        .ok_or_else(|| Decline::at("Q has a term in it that is neither log θ nor a power", o.span))?;
                    if *exponent.get_or_insert(p) != p {
                        return Err(Decline::at("Q has two different powers of it", o.span));
                    }
                    powers.push(o.expect(s, c));
                }
            }
        }
    }
    let Some(p) = exponent.filter(|_| !logs.is_empty()) else {
        return Err(Decline::plain("Q lacks log θ or a power of it"));
    };
    let (a, b) = (s.sum(&logs), s.sum(&powers));
    let value = stationary(s, a, b, p);
    let (log, exponent) = (s.log(unknown.atom), s.num(p));
    let power = s.pow(unknown.atom, exponent);
    let (left, right) = (s.mul(a, log), s.mul(b, power));
    let objective = s.add(left, right);
    Ok(super::power::update(s, unknown, NAME, objective, value))
}

/// θ = (−A / (p B))^{1/p}; for negative p written (pB / −A)^{−1/p}, a mean of residuals rather than its inverse.
fn stationary(s: &mut Store, a: Term, b: Term, p: f64) -> Term {
    let (above, below, e) = if p < 0.0 {
        let parts: Vec<Term> = s.addends(b).into_iter().map(|t| s.scale(p, t)).collect();
        (s.sum(&parts), s.neg(a), -1.0 / p)
    } else {
        let pb = s.scale(p, b);
        (a, s.neg(pb), 1.0 / p)
    };
    let ratio = s.div(above, below);
    let e = s.num(e);
    s.pow(ratio, e)
}

/// p where g = atomᵖ.
fn power_of(s: &Store, g: Term, atom: Term) -> Option<f64> {
    if g == atom {
        return Some(1.0);
    }
    match *s.node(g) {
        Node::Pow(base, e) if base == atom => s.as_num(e),
        _ => None,
    }
}

/// An explicit update of one unknown, with the parameters that its value mentions.
pub(super) fn update(s: &mut Store, unknown: &Unknown, rule: &'static str, objective: Term, value: Term) -> Update {
    let uses = s
        .symbols(value)
        .into_iter()
        .filter(|&x| x != unknown.sym && s.sym(x).kind == lvmc_term::SymKind::Param)
        .collect();
    Update {
        targets: vec![unknown.atom],
        ranges: unknown.ranges.clone(),
        rule,
        condition: Condition::Maximises(objective),
        solution: Solution::Explicit(vec![value]),
        uses,
    }
}
