//! unit-argmax.
//!
//! Statement: over [0, 1], A log p + B log(1 − p) with A, B ≥ 0 is maximised by p = A / (A + B), element by element.
//! Side conditions: the type is `unit`, and Q depends on it only through those two logs.
//! Proof: the simplex rule for two elements. A Beta prior adds a − 1 and b − 1.

use super::Decline;
use crate::occur::{Occurrence, Unknown, elementwise};
use crate::plan::Update;
use lvmc_term::{Fun, Node, Store, Support};

/// Its printed name.
pub const NAME: &str = "unit-argmax";

/// See the module.
pub fn apply(s: &mut Store, unknown: &Unknown, occurrences: &[Occurrence]) -> Result<Update, Decline> {
    if s.sym(unknown.sym).support != Support::Unit {
        return Err(Decline::plain("its type is not `unit`"));
    }
    let one = s.num(1.0);
    let complement = s.sub(one, unknown.atom);
    let (mut yes, mut no) = (vec![], vec![]);
    for o in occurrences {
        for (c, g) in elementwise(s, o.term, &[unknown.atom]).map_err(|e| Decline::at(e, o.span))? {
            match *s.node(g) {
                Node::Fun(Fun::Log, a) if a == unknown.atom => yes.push(o.expect(s, c)),
                Node::Fun(Fun::Log, a) if a == complement => no.push(o.expect(s, c)),
                _ => {
                    return Err(Decline::at(
                        "Q has a term in it that is neither log p nor log(1 − p)",
                        o.span,
                    ));
                }
            }
        }
    }
    let (a, b) = (s.sum(&yes), s.sum(&no));
    let total = s.add(a, b);
    let total = crate::marginal::join_complements(s, total);
    let value = s.div(a, total);
    let (log, log_not) = (s.log(unknown.atom), s.log(complement));
    let (left, right) = (s.mul(a, log), s.mul(b, log_not));
    let objective = s.add(left, right);
    Ok(super::power::update(s, unknown, NAME, objective, value))
}
