//! A log density as a plain sum of products: the form in which rules read it.
//!
//! Products are distributed over sums, logs of products and powers are split, structured covariances are taken apart
//! (`log|diag(v)| = Σ log v`, `eᵀ(sM)⁻¹e = eᵀM⁻¹e / s`). Squares of residuals are kept whole: they are what the
//! least-squares and covariance rules look for.

use lvmc_term::{Fun, Node, Store, Term};

/// Addends beyond which a product is left undistributed: a density that large is not read by a closed-form rule.
const MOST_ADDENDS: usize = 256;

/// The addends of `t` (any shape; the addends have shapes that broadcast to it).
pub fn flatten(s: &mut Store, t: Term) -> Vec<Term> {
    let whole = match s.node(t).clone() {
        Node::Add(parts) => parts.iter().flat_map(|&p| flatten(s, p)).collect(),
        Node::Mul(factors) => distribute(s, &factors),
        Node::Fun(Fun::Log, x) => log_parts(s, x),
        // y log 0 keeps its convention 0 · (−∞) = 0
        Node::XLogY(_, x) if s.as_num(x) == Some(0.0) => vec![t],
        Node::XLogY(y, x) => scaled(s, y, x),
        Node::Total(x) => total_parts(s, x),
        Node::LogDet(m) => log_det_parts(s, m),
        Node::Quad(m, e) => quad_parts(s, m, e),
        _ => vec![t],
    };
    merge(s, whole, t)
}

/// Equal addends collected by the constructors; the shape of the whole is kept by the caller's use.
fn merge(s: &mut Store, parts: Vec<Term>, whole: Term) -> Vec<Term> {
    if parts.len() <= 1 {
        return parts;
    }
    let rank = s.shape(whole).len();
    if parts.iter().any(|&p| s.shape(p).len() != rank) {
        return parts;
    }
    let sum = s.sum(&parts);
    s.addends(sum)
}

fn distribute(s: &mut Store, factors: &[Term]) -> Vec<Term> {
    let lists: Vec<Vec<Term>> = factors.iter().map(|&f| flatten(s, f)).collect();
    if lists
        .iter()
        .map(Vec::len)
        .try_fold(1usize, usize::checked_mul)
        .is_none_or(|n| n > MOST_ADDENDS)
    {
        return vec![s.product_of(factors)];
    }
    let mut sums: Vec<Vec<Term>> = vec![vec![]];
    for list in &lists {
        sums = sums
            .into_iter()
            .flat_map(|head| list.iter().map(move |&f| [head.clone(), vec![f]].concat()))
            .collect();
    }
    sums.into_iter().map(|fs| s.product_of(&fs)).collect()
}

/// log x = Σ of the logs of the factors of x.
fn log_parts(s: &mut Store, x: Term) -> Vec<Term> {
    match s.node(x).clone() {
        Node::Mul(factors) => factors.iter().flat_map(|&f| log_parts(s, f)).collect(),
        Node::Pow(base, e) => {
            let logs = log_parts(s, base);
            logs.into_iter()
                .flat_map(|l| {
                    let p = s.mul(e, l);
                    flatten(s, p)
                })
                .collect()
        }
        Node::Fun(Fun::Exp, e) => flatten(s, e),
        // log σ(η) = −log(1 + e^{−η})
        Node::Fun(Fun::Sigmoid, eta) => {
            let minus = s.neg(eta);
            let sp = s.fun(Fun::Softplus, minus);
            vec![s.neg(sp)]
        }
        // log softmax(η)_k = η_k − log Σ exp η
        Node::At(base, at) if at.len() == 1 => {
            if let Node::Softmax(eta) = *s.node(base) {
                // held together: η is one predictor, whichever element is picked
                let eta = if matches!(s.node(eta), Node::Hold(_)) {
                    eta
                } else {
                    s.hold(eta)
                };
                let picked = s.at(eta, &at);
                let lse = s.log_sum_exp(eta);
                let minus = s.neg(lse);
                vec![picked, minus]
            } else {
                vec![s.log(x)]
            }
        }
        Node::Add(_) => match one_minus_sigmoid(s, x) {
            // log(1 − σ(η)) = −log(1 + e^{η})
            Some(eta) => {
                let sp = s.fun(Fun::Softplus, eta);
                vec![s.neg(sp)]
            }
            None => vec![s.log(x)],
        },
        _ => vec![s.log(x)],
    }
}

fn one_minus_sigmoid(s: &Store, x: Term) -> Option<Term> {
    let parts = s.addends(x);
    let [a, b] = parts[..] else { return None };
    let (one, other) = if s.as_num(a) == Some(1.0) { (a, b) } else { (b, a) };
    if s.as_num(one) != Some(1.0) {
        return None;
    }
    let fs = s.factors(other);
    let [m, g] = fs[..] else { return None };
    let (m, g) = if s.as_num(m) == Some(-1.0) { (m, g) } else { (g, m) };
    match s.node(g) {
        Node::Fun(Fun::Sigmoid, eta) if s.as_num(m) == Some(-1.0) => Some(*eta),
        _ => None,
    }
}

/// y · log x, the log taken apart; inside a sum weighted by posteriors 0 · (−∞) = 0 by convention.
fn scaled(s: &mut Store, y: Term, x: Term) -> Vec<Term> {
    let logs = log_parts(s, x);
    logs.into_iter()
        .flat_map(|l| {
            let p = s.mul(y, l);
            flatten(s, p)
        })
        .collect()
}

/// Σ over elements, of each addend, scalars pulled out.
fn total_parts(s: &mut Store, x: Term) -> Vec<Term> {
    let parts = flatten(s, x);
    let shape = s.shape(x).clone();
    parts
        .into_iter()
        .map(|p| {
            let factors = s.factors(p);
            let (scalars, arrays): (Vec<Term>, Vec<Term>) = factors.into_iter().partition(|&f| s.shape(f).is_empty());
            let rest = if arrays.is_empty() {
                let one = s.num(1.0);
                s.fill(one, shape.clone())
            } else {
                s.product_of(&arrays)
            };
            let total = s.total(rest);
            let mut all = scalars;
            all.push(total);
            s.product_of(&all)
        })
        .collect()
}

/// The scalar factor and the matrix of `scalar · matrix`.
fn split_scale(s: &mut Store, m: Term) -> Option<(Term, Term)> {
    let factors = s.factors(m);
    let (scalars, rest): (Vec<Term>, Vec<Term>) = factors.into_iter().partition(|&f| s.shape(f).is_empty());
    if scalars.is_empty() || rest.len() != 1 {
        return None;
    }
    Some((s.product_of(&scalars), rest[0]))
}

/// log|diag v| = Σ log v; log|sM| = D log s + log|M|; log|P⁻¹| = −log|P|; log|I| = 0.
fn log_det_parts(s: &mut Store, m: Term) -> Vec<Term> {
    if let Some((c, rest)) = split_scale(s, m) {
        let d = s.shape(rest)[0].clone();
        let d = s.size(d);
        let log = s.log(c);
        let scaled = s.mul(d, log);
        let mut parts = flatten(s, scaled);
        parts.extend(log_det_parts(s, rest));
        return parts;
    }
    match s.node(m).clone() {
        Node::Eye(_) => vec![],
        Node::Diag(v) => {
            let log = s.log(v);
            let total = s.total(log);
            flatten(s, total)
        }
        Node::Inv(p) => log_det_parts(s, p).into_iter().map(|t| s.neg(t)).collect(),
        _ => vec![s.log_det(m)],
    }
}

/// eᵀ diag(v)⁻¹ e = Σ e²/v; eᵀ (sM)⁻¹ e = eᵀ M⁻¹ e / s.
fn quad_parts(s: &mut Store, m: Term, e: Term) -> Vec<Term> {
    if let Some((c, rest)) = split_scale(s, m) {
        let inverse = s.recip(c);
        return quad_parts(s, rest, e).into_iter().map(|q| s.mul(inverse, q)).collect();
    }
    match s.node(m).clone() {
        Node::Eye(_) => {
            let square = s.square(e);
            vec![s.total(square)]
        }
        Node::Diag(v) => {
            let square = s.square(e);
            let ratio = s.div(square, v);
            let total = s.total(ratio);
            flatten(s, total)
        }
        _ => vec![s.quad(m, e)],
    }
}
