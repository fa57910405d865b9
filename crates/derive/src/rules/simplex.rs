//! simplex-argmax.
//!
//! Statement: over the simplex, Σ_j n_j log π_j with n_j ≥ 0 is maximised by π_j = n_j / Σ_j n_j.
//! Side conditions: the parameter's type is a simplex, and Q depends on it only through the logs of its elements: of one
//! element at a position (a category's probability), or of all of them under a sum (counts of each kind).
//! Proof: Lagrange; Gibbs' inequality gives uniqueness. A Dirichlet prior adds α_j − 1 to n_j.

use super::Decline;
use crate::occur::{Occurrence, Unknown, elementwise};
use crate::plan::{Condition, Solution, Update};
use lvmc_term::{Fun, IxId, Node, Store, Support, Term};

/// Its printed name.
pub const NAME: &str = "simplex-argmax";

/// See the module.
pub fn apply(s: &mut Store, unknown: &Unknown, occurrences: &[Occurrence]) -> Result<Update, Decline> {
    if s.sym(unknown.sym).support != Support::Simplex {
        return Err(Decline::plain("its type is not a simplex"));
    }
    let family = s.sym(unknown.sym).family;
    match unknown.ranges.last() {
        _ if unknown.at.len() == family => whole(s, unknown, occurrences),
        Some(&element) if unknown.at.len() == family + 1 => by_element(s, unknown, element, occurrences),
        _ => Err(Decline::plain("it is not used element by element")),
    }
}

/// A vector of counts beside the logs of all elements: π = n / Σ n.
fn whole(s: &mut Store, unknown: &Unknown, occurrences: &[Occurrence]) -> Result<Update, Decline> {
    let (atom, shape) = (unknown.atom, s.shape(unknown.atom).clone());
    let log = s.log(atom);
    let mut counts = vec![];
    for o in occurrences {
        for (c, g) in elementwise(s, o.term, &[atom]).map_err(|e| Decline::at(e, o.span))? {
            if g != log {
                return Err(Decline::at(
                    "it stands elsewhere than in the logs of its elements",
                    o.span,
                ));
            }
            let count = o.expect(s, c);
            counts.push(s.refill(count, shape.clone()));
        }
    }
    let count = s.sum(&counts);
    let total = s.total(count);
    let value = s.div(count, total);
    let objective = s.mul(count, log);
    let objective = s.total(objective);
    Ok(update(unknown, value, objective))
}

/// One element at a position: π_j = n_j / Σ_j n_j.
fn by_element(s: &mut Store, unknown: &Unknown, element: IxId, occurrences: &[Occurrence]) -> Result<Update, Decline> {
    let log = s.log(unknown.atom);
    let mut counts = vec![];
    for o in occurrences {
        let (mine, rest): (Vec<_>, Vec<_>) = s
            .factors(o.term)
            .into_iter()
            .partition(|&f| s.contains(f, unknown.atom));
        let is_log = mine.len() == 1 && matches!(s.node(mine[0]), Node::Fun(Fun::Log, a) if *a == unknown.atom);
        if !is_log {
            return Err(Decline::at(
                "it stands elsewhere than in the log of one element",
                o.span,
            ));
        }
        let c = s.product_of(&rest);
        counts.push(o.expect(s, c));
    }
    let count = s.sum(&counts);
    let total = total_count(s, element, &counts);
    let value = s.div(count, total);
    let objective = s.mul(count, log);
    let objective = s.ix_sum(element, objective);
    Ok(update(unknown, value, objective))
}

fn update(unknown: &Unknown, value: Term, objective: Term) -> Update {
    Update {
        targets: vec![unknown.atom],
        ranges: unknown.ranges.clone(),
        rule: NAME,
        condition: Condition::Maximises(objective),
        solution: Solution::Explicit(vec![value]),
        uses: vec![],
    }
}

/// Σ_j n_j, with Σ_j Σₙ r_{nj} = Σₙ 1 = N where the element is a finite variable's value.
fn total_count(s: &mut Store, element: IxId, counts: &[Term]) -> Term {
    let parts: Vec<_> = counts
        .iter()
        .map(|&n| {
            let summed = s.ix_sum(element, n);
            crate::marginal::sum_to_one(s, summed)
        })
        .collect();
    s.sum(&parts)
}
