//! dirichlet-posterior: latent probabilities whose log joint is linear in their logs.
//!
//! Statement: where log p(x, u) = f(x) + Σ_d c_d(x) log u_d for u on the simplex, the posterior is Dirichlet(c + 1), and
//! log p(x) = f(x) + A(c + 1) with A(a) = Σ_d log Γ(a_d) − log Γ(Σ_d a_d). Which family the prior or the data have is not
//! asked: their terms are.
//!
//! Side conditions: every addend that mentions u is a sum over d of a coefficient times log u_d; coefficients free of other
//! continuous latents.
//!
//! Proof: p(u | x) ∝ Π_d u_d^(c_d), whose integral over the simplex is exp A(c + 1). E[log u_d] = ∂A/∂a_d.

use super::{Continuous, Defined, define, factor_of, impute, report, scope_of, touching};
use crate::flatten::flatten;
use crate::joint::LogJoint;
use crate::plan::Value;
use crate::rules::Decline;
use lvmc_term::{Fun, IxId, Node, Shape, Store, SymKind, Term};

/// Its printed name.
pub const NAME: &str = "dirichlet-posterior";

/// An addend: a vector of coefficients of log u, or free of the latent.
enum Addend {
    Free(Term),
    Logs(Term),
}

/// See the module.
pub fn eliminate(joint: &mut LogJoint, latent: &Continuous) -> Result<(), Decline> {
    let u = joint.store.var(latent.sym);
    let shape = joint.store.shape(u).clone();
    if shape.len() != 1 {
        return Err(Decline::at("it is more than one vector of probabilities", latent.span));
    }
    let factors = touching(joint, &[latent.sym])?;
    let scope = scope_of(joint, &factors);
    let ixs: Vec<IxId> = scope.iter().map(|&v| joint.finite[v].ix).collect();
    let mut read: Vec<Vec<Addend>> = vec![];
    for &f in &factors {
        let (term, span) = (joint.factors[f].cases[0].term, joint.factors[f].span);
        let mut addends = vec![];
        for t in flatten(&mut joint.store, term) {
            let found = addend(&mut joint.store, t, u, &shape);
            let why = "an addend of the log joint is no sum of coefficients times the logs of the probabilities";
            addends.push(found.ok_or_else(|| Decline::at(why, span))?);
        }
        read.push(addends);
    }
    let mut sum: Vec<Term> = read.iter().flatten().filter_map(coefficients).collect();
    if sum.iter().any(|&c| joint.store.depends_on_kind(c, SymKind::Latent)) {
        let why = "its posterior depends on another continuous latent";
        return Err(Decline::at(why, latent.span));
    }
    let one = joint.store.num(1.0);
    sum.push(joint.store.fill(one, shape.clone()));
    let a = joint.store.sum(&sum);
    let name = joint.store.sym(latent.sym).name.clone();
    let named = |name: String| Defined::new(NAME, name, &ixs);
    let a = define(joint, named(format!("a_{name}")).positive(true), Value::Term(a), &shape);
    let logs = expected_logs(&mut joint.store, a);
    let logs = define(joint, named(format!("E_log_{name}")), Value::Term(logs), &shape);
    for (&f, addends) in factors.iter().zip(&read) {
        let (mut plain, mut expected) = (vec![], vec![]);
        for x in addends {
            match x {
                Addend::Free(t) => {
                    plain.push(*t);
                    expected.push(*t);
                }
                Addend::Logs(c) => {
                    let product = joint.store.mul(*c, logs);
                    expected.push(joint.store.total(product));
                }
            }
        }
        let (plain, expected) = (joint.store.sum(&plain), joint.store.sum(&expected));
        joint.expected[f] = factor_of(joint, &joint.factors[f], expected);
        joint.factors[f] = factor_of(joint, &joint.factors[f], plain);
    }
    let norm = log_normaliser(&mut joint.store, a);
    let like = joint.factors[factors[0]].clone();
    let factor = factor_of(joint, &like, norm);
    joint.factors.push(factor);
    let (first, square) = moments(&mut joint.store, a);
    impute(joint, &mut |s, t| linear_mean(s, t, u, first));
    report(joint, latent.sym, NAME, first, square);
    Ok(())
}

fn coefficients(a: &Addend) -> Option<Term> {
    match a {
        Addend::Logs(c) => Some(*c),
        Addend::Free(_) => None,
    }
}

/// E[log u_d] = ψ(a_d) − ψ(Σ a).
fn expected_logs(s: &mut Store, a: Term) -> Term {
    let whole = s.total(a);
    let (each, whole) = (s.fun(Fun::Digamma, a), s.fun(Fun::Digamma, whole));
    s.sub(each, whole)
}

/// A(a).
fn log_normaliser(s: &mut Store, a: Term) -> Term {
    let whole = s.total(a);
    let (each, whole) = (s.lgamma(a), s.lgamma(whole));
    let each = s.total(each);
    s.sub(each, whole)
}

/// E[u_d] = a_d / Σ a and E[u_d²] = E[u_d] (a_d + 1) / (Σ a + 1).
fn moments(s: &mut Store, a: Term) -> (Term, Term) {
    let (one, whole) = (s.num(1.0), s.total(a));
    let (next, more) = (s.add(a, one), s.add(whole, one));
    let (mean, ratio) = (s.div(a, whole), s.div(next, more));
    (mean, s.mul(mean, ratio))
}

/// E of a sum of products that are free of u or linear in it.
fn linear_mean(s: &mut Store, t: Term, u: Term, mean: Term) -> Option<Term> {
    let mut parts = vec![];
    for part in flatten(s, t) {
        let (bound, free): (Vec<Term>, Vec<Term>) = s.factors(part).into_iter().partition(|&f| s.contains(f, u));
        parts.push(match bound[..] {
            [] => part,
            [one] if one == u => {
                let c = s.product_of(&free);
                s.mul(c, mean)
            }
            _ => return None,
        });
    }
    let shape = s.shape(t).clone();
    let sum = s.sum(&parts);
    Some(s.refill(sum, shape))
}

/// Reads an addend; `None` where it is no sum of coefficients times log u.
fn addend(s: &mut Store, t: Term, u: Term, shape: &Shape) -> Option<Addend> {
    if !s.contains(t, u) {
        return Some(Addend::Free(t));
    }
    let log = s.log(u);
    let (bound, free): (Vec<Term>, Vec<Term>) = s.factors(t).into_iter().partition(|&f| s.contains(f, u));
    let [one] = bound[..] else { return None };
    let inside = match *s.node(one) {
        Node::Total(x) if x == log => s.num(1.0),
        Node::Total(x) => {
            let (logs, rest): (Vec<Term>, Vec<Term>) = s.factors(x).into_iter().partition(|&f| s.contains(f, u));
            if logs[..] != [log] {
                return None;
            }
            s.product_of(&rest)
        }
        Node::Dot(x, y) if x == log && !s.contains(y, u) => y,
        Node::Dot(x, y) if y == log && !s.contains(x, u) => x,
        _ => return None,
    };
    let scale = s.product_of(&free);
    let c = s.mul(scale, inside);
    Some(Addend::Logs(s.refill(c, shape.clone())))
}
