//! covariance-argmax.
//!
//! Statement: −½ (a log|Σ| + tr(Σ⁻¹ S)) with a > 0 and S positive definite is maximised over covariances by Σ = S / a.
//! Written as a precision P = Σ⁻¹, the same function ½ (a log|P| − tr(P S)) is maximised by P = (S / a)⁻¹.
//! Side conditions: the type is a covariance, and Q depends on it only through log|Σ|, quadratic forms eᵀΣ⁻¹e and
//! traces tr(Ψ Σ⁻¹) (an inverse Wishart prior). Structures (`s · Σ`, tied) are taken apart before.
//! Proof: with Σ⁻¹ = P the function is concave in P and its gradient ½(a P⁻¹ − S) vanishes at P = a S⁻¹.

use super::Decline;
use crate::occur::{Occurrence, Unknown};
use crate::plan::{Condition, Solution, Update};
use lvmc_term::{Node, Store, Support, SymId, Term};
use std::collections::BTreeSet;

/// Its printed name.
pub const NAME: &str = "covariance-argmax";

/// What an addend contributes.
enum Piece {
    /// To a: the multiple of −½ log|Σ|.
    LogDet(Term),
    /// To S.
    Scatter(Term),
}

/// See the module.
pub fn apply(s: &mut Store, unknown: &Unknown, occurrences: &[Occurrence]) -> Result<Update, Decline> {
    if s.sym(unknown.sym).support != Support::Cov || s.shape(unknown.atom).len() != 2 {
        return Err(Decline::plain("its type is not a covariance"));
    }
    let precision = occurrences.iter().any(|o| {
        let inverse = s.inv(unknown.atom);
        matches!(s.factors(o.term).iter().find(|&&f| s.contains(f, unknown.atom)).map(|&f| s.node(f).clone()),
            Some(Node::Quad(m, _)) if m == inverse)
    });
    let (mut counts, mut scatters) = (vec![], vec![]);
    for o in occurrences {
        match piece(s, unknown.atom, o, precision)? {
            Piece::LogDet(t) => counts.push(t),
            Piece::Scatter(t) => scatters.push(t),
        }
    }
    if counts.is_empty() || scatters.is_empty() {
        return Err(Decline::plain("Q lacks log|Σ| or a quadratic form in it"));
    }
    let (a, scatter) = (s.sum(&counts), s.sum(&scatters));
    let mean = s.div(scatter, a);
    let value = if precision { s.inv(mean) } else { mean };
    let log_det = s.log_det(unknown.atom);
    let log_det = if precision { s.neg(log_det) } else { log_det };
    let inverse = if precision { unknown.atom } else { s.inv(unknown.atom) };
    let product = s.matmul(inverse, scatter);
    let trace = s.trace(product);
    let weighted = s.mul(a, log_det);
    let sum = s.add(weighted, trace);
    let objective = s.minus_half(sum);
    let uses: BTreeSet<SymId> = s
        .symbols(value)
        .into_iter()
        .filter(|&x| x != unknown.sym && is_param(s, x))
        .collect();
    Ok(Update {
        targets: vec![unknown.atom],
        ranges: unknown.ranges.clone(),
        rule: NAME,
        condition: Condition::Maximises(objective),
        solution: Solution::Explicit(vec![value]),
        uses: uses.into_iter().collect(),
    })
}

fn is_param(s: &Store, x: SymId) -> bool {
    s.sym(x).kind == lvmc_term::SymKind::Param
}

fn piece(s: &mut Store, atom: Term, o: &Occurrence, precision: bool) -> Result<Piece, Decline> {
    let (mine, rest): (Vec<_>, Vec<_>) = s.factors(o.term).into_iter().partition(|&f| s.contains(f, atom));
    let decline = || Decline::at("it stands elsewhere than in log|Σ| and in quadratic forms", o.span);
    let [one] = mine[..] else { return Err(decline()) };
    let c = s.product_of(&rest);
    let minus_two = s.scale(-2.0, c);
    match s.node(one).clone() {
        Node::LogDet(m) if m == atom => {
            let weight = if precision { s.scale(-1.0, minus_two) } else { minus_two };
            Ok(Piece::LogDet(o.expect(s, weight)))
        }
        Node::Quad(m, e) if !s.contains(e, atom) => {
            let base = if precision { s.inv(atom) } else { atom };
            if m != base {
                return Err(decline());
            }
            let outer = s.outer(e, e);
            let weighted = s.mul(minus_two, outer);
            Ok(Piece::Scatter(o.expect(s, weighted)))
        }
        Node::Trace(product) if !precision => {
            let inverse = s.inv(atom);
            let psi = match *s.node(product) {
                Node::MatMul(a, b) if b == inverse && !s.contains(a, atom) => a,
                Node::MatMul(a, b) if a == inverse && !s.contains(b, atom) => b,
                Node::Inv(m) if m == atom => {
                    let size = s.shape(atom)[0].clone();
                    s.eye(size)
                }
                _ => return Err(decline()),
            };
            let weighted = s.mul(minus_two, psi);
            Ok(Piece::Scatter(o.expect(s, weighted)))
        }
        _ => Err(decline()),
    }
}
