//! Determinants, inverses and quadratic forms of matrices with a written structure. A pass of its own, because
//! lowering wants to see the `Diag` in a covariance.

use crate::node::{Node, Term};
use crate::rules::{Rule, Split};
use crate::store::Store;

/// The rewrites of [`Store::structured`].
pub(crate) static RULES: &[Rule] = &[
    Rule {
        name: "log-det-diagonal",
        statement: "log|diag v| = Σ log v",
        apply: log_det_diagonal,
    },
    Rule {
        name: "log-det-scaled",
        statement: "log|s M| = D log s + log|M|",
        apply: log_det_scaled,
    },
    Rule {
        name: "log-det-inverse",
        statement: "log|M⁻¹| = −log|M|",
        apply: log_det_inverse,
    },
    Rule {
        name: "log-det-identity",
        statement: "log|I| = 0",
        apply: log_det_identity,
    },
    Rule {
        name: "quad-diagonal",
        statement: "eᵀ (diag v)⁻¹ e = Σ e²/v",
        apply: quad_diagonal,
    },
    Rule {
        name: "quad-scaled",
        statement: "eᵀ (s M)⁻¹ e = eᵀ M⁻¹ e / s",
        apply: quad_scaled,
    },
    Rule {
        name: "quad-identity",
        statement: "eᵀ I⁻¹ e = Σ e²",
        apply: quad_identity,
    },
    Rule {
        name: "inverse-diagonal",
        statement: "(diag v)⁻¹ = diag(1/v)",
        apply: inverse_diagonal,
    },
    Rule {
        name: "inverse-scaled",
        statement: "(s M)⁻¹ = s⁻¹ M⁻¹",
        apply: inverse_scaled,
    },
    Rule {
        name: "scaled-diagonal",
        statement: "s diag v = diag(s v)",
        apply: scaled_diagonal,
    },
    Rule {
        name: "trace-diagonal",
        statement: "tr(diag(v) M) = Σ v · diag M",
        apply: trace_diagonal,
    },
    Rule {
        name: "trace-scaled",
        statement: "tr(s M) = s tr M",
        apply: trace_scaled,
    },
];

impl Store {
    /// `t` with determinants, inverses, traces and quadratic forms of structured matrices taken apart:
    /// log|s I| = D log s, eᵀ diag(v)⁻¹ e = Σ e²/v, and so on. It looks inside `Hold` too, which stays.
    pub fn structured(&mut self, t: Term) -> Term {
        let rules: Vec<&Rule> = RULES.iter().collect();
        self.rewrite(t, &rules, &Split { depends: None }, &|_| false)
    }

    /// v of a matrix written as diag(v), s · I, a sum of such, or an inverse of one.
    pub fn written_diagonal(&mut self, m: Term) -> Option<Term> {
        let s = self;
        match s.node(m).clone() {
            Node::Eye(_) | Node::Diag(_) => Some(s.diag_of(m)),
            Node::Inv(a) => {
                let v = s.written_diagonal(a)?;
                Some(s.recip(v))
            }
            Node::Add(parts) => {
                let vs: Option<Vec<Term>> = parts.iter().map(|&p| s.written_diagonal(p)).collect();
                Some(s.sum(&vs?))
            }
            Node::Mul(factors) => {
                let (scalars, arrays): (Vec<Term>, Vec<Term>) = factors.iter().partition(|&&f| s.shape(f).is_empty());
                // of products element by element one diagonal is enough
                let at = arrays.iter().position(|&f| s.written_diagonal(f).is_some())?;
                let vs: Vec<Term> = arrays
                    .iter()
                    .enumerate()
                    .map(|(i, &f)| match s.written_diagonal(f) {
                        Some(v) if i == at => v,
                        _ => s.diag_of(f),
                    })
                    .collect();
                let all = [scalars, vs].concat();
                Some(s.product_of(&all))
            }
            _ => None,
        }
    }

    /// s and M of s · M, a product of scalars and one matrix.
    pub(crate) fn split_scaled(&mut self, m: Term) -> Option<(Term, Term)> {
        let Node::Mul(fs) = self.node(m).clone() else {
            return None;
        };
        let (scalars, arrays): (Vec<Term>, Vec<Term>) = fs.iter().partition(|&&f| self.shape(f).is_empty());
        if scalars.is_empty() || arrays.is_empty() {
            return None;
        }
        Some((self.product_of(&scalars), self.product_of(&arrays)))
    }
}

fn log_det_diagonal(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::LogDet(m) = *s.node(t) else { return None };
    let Node::Diag(v) = *s.node(m) else { return None };
    let l = s.log(v);
    Some(s.total(l))
}

fn log_det_scaled(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::LogDet(m) = *s.node(t) else { return None };
    let (c, rest) = s.split_scaled(m)?;
    let d = s.shape(m)[0].clone();
    let d = s.size(d);
    let l = s.log(c);
    let (first, second) = (s.mul(d, l), s.log_det(rest));
    Some(s.add(first, second))
}

fn log_det_inverse(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::LogDet(m) = *s.node(t) else { return None };
    let Node::Inv(p) = *s.node(m) else { return None };
    let l = s.log_det(p);
    Some(s.neg(l))
}

fn log_det_identity(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::LogDet(m) = *s.node(t) else { return None };
    matches!(s.node(m), Node::Eye(_)).then(|| s.num(0.0))
}

fn quad_diagonal(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Quad(m, e) = *s.node(t) else { return None };
    let Node::Diag(v) = *s.node(m) else { return None };
    let e2 = s.square(e);
    let ratio = s.div(e2, v);
    Some(s.total(ratio))
}

fn quad_scaled(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Quad(m, e) = *s.node(t) else { return None };
    let (c, rest) = s.split_scaled(m)?;
    let q = s.quad(rest, e);
    Some(s.div(q, c))
}

fn quad_identity(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Quad(m, e) = *s.node(t) else { return None };
    matches!(s.node(m), Node::Eye(_)).then(|| {
        let e2 = s.square(e);
        s.total(e2)
    })
}

fn inverse_diagonal(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Inv(m) = *s.node(t) else { return None };
    let Node::Diag(v) = *s.node(m) else { return None };
    let r = s.recip(v);
    Some(s.diag(r))
}

fn inverse_scaled(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Inv(m) = *s.node(t) else { return None };
    let (c, rest) = s.split_scaled(m)?;
    let i = s.inv(rest);
    Some(s.div(i, c))
}

fn scaled_diagonal(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let (c, rest) = s.split_scaled(t)?;
    let Node::Diag(v) = *s.node(rest) else { return None };
    let v = s.mul(c, v);
    Some(s.diag(v))
}

fn trace_diagonal(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Trace(m) = *s.node(t) else { return None };
    let Node::MatMul(a, b) = *s.node(m) else { return None };
    let (v, other) = match (s.node(a), s.node(b)) {
        (&Node::Diag(v), _) => (v, b),
        (_, &Node::Diag(v)) => (v, a),
        _ => return None,
    };
    let d = s.diag_of(other);
    Some(s.dot(v, d))
}

fn trace_scaled(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Trace(m) = *s.node(t) else { return None };
    let (c, rest) = s.split_scaled(m)?;
    let r = s.trace(rest);
    Some(s.mul(c, r))
}
