//! The order in which people write addends and factors.

use crate::node::{Fun, Node, Term};
use crate::store::Store;

/// A log among the factors, at most under a sum of all its elements.
fn has_log(s: &Store, t: Term) -> bool {
    match s.node(t) {
        Node::Fun(Fun::Log, _) | Node::XLogY(..) | Node::LogDet(_) | Node::LogSumExp(_) => true,
        Node::Mul(fs) => fs.iter().any(|&f| has_log(s, f)),
        Node::Total(a) | Node::IxSum(_, a) => has_log(s, *a),
        _ => false,
    }
}

fn has_log_gamma(s: &Store, t: Term) -> bool {
    match s.node(t) {
        Node::Fun(Fun::Lgamma, _) => true,
        Node::Mul(fs) => fs.iter().any(|&f| has_log_gamma(s, f)),
        Node::Total(a) | Node::IxSum(_, a) => has_log_gamma(s, *a),
        _ => false,
    }
}

/// The sort key of an addend; `negative` is its sign, `logs` whether the sum is one of logs (a log density).
/// log πₖ − ½ log|2πΣₖ| − ½ (x − μ)ᵀ Σ⁻¹ (x − μ); a log b + (a − 1) log x − b x − log Γ(a); xₙ − μ; ν + D + 1.
pub(super) fn addend(s: &Store, t: Term, negative: bool, logs: bool) -> (u8, u8, Term) {
    if !logs {
        return (s.content(t), 0, t);
    }
    let constant = s.content(t) >= 7;
    let class = match (has_log(s, t), has_log_gamma(s, t)) {
        (_, true) => 6 + u8::from(negative),
        (true, _) if constant => 2,
        (true, _) => 1 + 2 * u8::from(negative),
        _ if constant => 8,
        _ => 4,
    };
    (class, s.content(t), t)
}

/// True where some addend has a log: the sum is then ordered as a log density.
pub(super) fn is_log_density(s: &Store, ts: &[Term]) -> bool {
    ts.iter().any(|&t| has_log(s, t) || has_log_gamma(s, t))
}

/// The sort key of a factor: numbers and sizes, responsibilities, indicators, symbols (parameters before data), sums,
/// functions, big sums.
pub(super) fn factor(s: &Store, t: Term) -> (u8, u8, Term) {
    let class = match s.node(t) {
        Node::Num(_) => 0,
        Node::Size(_) => 1,
        Node::RowSum(one) if s.as_num(*one) == Some(1.0) => 1,
        Node::Resp(_) => 2,
        Node::Cmp(..) | Node::Fun(Fun::Not, _) => 3,
        Node::Sym(_) | Node::At(..) => 4,
        Node::Pow(base, _) => return factor(s, *base),
        Node::Add(_) => 5,
        Node::Dot(..) | Node::Quad(..) | Node::Trace(_) => 6,
        Node::Fun(..) | Node::XLogY(..) | Node::LogDet(_) | Node::LogSumExp(_) => 8,
        Node::Total(_) | Node::IxSum(..) | Node::RowSum(_) | Node::Product(_) => 9,
        Node::Select(..) => 10,
        _ => 7,
    };
    let array = s.shape(t).len().min(2) as u8;
    // a scalar stands before an array; a big sum of arrays stays last all the same
    let place = if class >= 9 {
        20 + class
    } else {
        10 * u8::from(array > 0) + class
    };
    (place, 9 - s.content(t), t)
}
