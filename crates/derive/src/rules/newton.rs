//! newton: a scalar stationarity equation (or a small system of them) in statistics that do not change while it is
//! solved.
//!
//! Statement: where Q = Σⱼ Cⱼ gⱼ(θ) with statistics Cⱼ free of θ, damped Newton steps on θ (in log θ for a positive
//! parameter, in logit for a unit one) that never lower Q end at a stationary point. Elements of an array are
//! independent problems.
//! Side conditions: Q depends on the unknown through finitely many known functions; shape of a Gamma, degrees of
//! freedom, a variance with a Gamma prior, ….
//! Proof: each accepted step raises Q; where Q is concave in the transformed variable the limit is the maximum.

use super::Decline;
use crate::occur::{Occurrence, Unknown, elementwise};
use crate::plan::{Condition, Solution, Update};
use lvmc_term::{Node, Store, Support, SymKind, Term};

/// Its printed name.
pub const NAME: &str = "newton";

/// One unknown: see the module.
pub fn apply(s: &mut Store, unknown: &Unknown, occurrences: &[Occurrence]) -> Result<Update, Decline> {
    apply_joint(s, std::slice::from_ref(unknown), occurrences)
}

/// Several unknowns of equal shape that depend on each other (shape and rate): one small system per element.
pub fn apply_joint(s: &mut Store, unknowns: &[Unknown], occurrences: &[Occurrence]) -> Result<Update, Decline> {
    for u in unknowns {
        if !matches!(s.sym(u.sym).support, Support::Real | Support::Positive | Support::Unit) {
            return Err(Decline::plain(
                "its type is bound as a whole (simplex, ordered, covariance)",
            ));
        }
        if s.shape(u.atom) != s.shape(unknowns[0].atom) {
            return Err(Decline::plain("the unknowns have different shapes"));
        }
    }
    let atoms: Vec<Term> = unknowns.iter().map(|u| u.atom).collect();
    let mut parts: Vec<(Term, Term)> = vec![];
    for o in occurrences {
        for (c, g) in elementwise(s, o.term, &atoms).map_err(|e| Decline::at(e, o.span))? {
            if !atoms.iter().any(|&a| s.contains(g, a)) {
                continue;
            }
            if o.per_row(s, g) {
                return Err(Decline::at(
                    "its function differs by row: there is no finite statistic",
                    o.span,
                ));
            }
            let statistic = o.expect(s, c);
            match parts.iter_mut().find(|p| p.1 == g) {
                Some(p) => p.0 = s.add(p.0, statistic),
                None => parts.push((statistic, g)),
            }
        }
    }
    let products: Vec<Term> = parts.iter().map(|&(c, g)| s.mul(c, g)).collect();
    let objective = s.sum(&products);
    let objective = if s.shape(objective).is_empty() {
        objective
    } else {
        s.total(objective)
    };
    let mut uses: Vec<_> = parts
        .iter()
        .flat_map(|&(c, g)| [s.symbols(c), s.symbols(g)])
        .flatten()
        .collect();
    uses.retain(|&x| !unknowns.iter().any(|u| u.sym == x) && s.sym(x).kind == SymKind::Param);
    uses.sort_unstable();
    uses.dedup();
    Ok(Update {
        targets: atoms,
        ranges: unknowns[0].ranges.clone(),
        rule: NAME,
        condition: Condition::Maximises(objective),
        solution: Solution::Newton { parts },
        uses,
    })
}

impl Occurrence {
    /// True where g varies by row or with an index that is summed over.
    #[must_use]
    pub fn per_row(&self, s: &Store, g: Term) -> bool {
        s.per_row(g) || self.sums_in(s, g) || s.depends_on(g, |n| matches!(n, Node::Resp(_)))
    }
}
