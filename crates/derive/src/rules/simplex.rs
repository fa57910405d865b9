//! simplex-argmax.
//!
//! Statement: over the simplex, Σ_j n_j log π_j with n_j ≥ 0 is maximised by π_j = n_j / Σ_j n_j.
//! Side conditions: the parameter's type is a simplex, and Q depends on it only through the logs of its elements.
//! Proof: Lagrange; Gibbs' inequality gives uniqueness. A Dirichlet prior adds α_j − 1 to n_j.

use super::Decline;
use crate::occur::{Occurrence, Unknown};
use crate::plan::{Condition, Solution, Update};
use lvmc_term::{Fun, Node, Store, Support};

/// Its printed name.
pub const NAME: &str = "simplex-argmax";

/// See the module.
pub fn apply(s: &mut Store, unknown: &Unknown, occurrences: &[Occurrence]) -> Result<Update, Decline> {
    if s.sym(unknown.sym).support != Support::Simplex {
        return Err(Decline::plain("its type is not a simplex"));
    }
    let family = s.sym(unknown.sym).family;
    let element = match unknown.ranges.last() {
        Some(&i) if unknown.at.len() == family + 1 => i,
        _ => return Err(Decline::plain("it is not used element by element")),
    };
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
    Ok(Update {
        targets: vec![unknown.atom],
        ranges: unknown.ranges.clone(),
        rule: NAME,
        condition: Condition::Maximises(objective),
        solution: Solution::Explicit(vec![value]),
        uses: vec![],
    })
}

/// Σ_j n_j, with Σ_j Σₙ r_{nj} = Σₙ 1 = N where the element is a finite variable's value.
fn total_count(s: &mut Store, element: lvmc_term::IxId, counts: &[lvmc_term::Term]) -> lvmc_term::Term {
    let parts: Vec<_> = counts
        .iter()
        .map(|&n| {
            let summed = s.ix_sum(element, n);
            crate::marginal::sum_to_one(s, summed)
        })
        .collect();
    s.sum(&parts)
}
