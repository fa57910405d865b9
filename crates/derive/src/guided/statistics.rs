//! What an exponential family states of itself, as expectations.
//!
//! E[∇ log q] = 0 for the gradient in its arguments λ. With log q = Σᵢ ηᵢ(λ)·Tᵢ(z) − A(λ) + log h(z) and an argument λⱼ that
//! stands in ηᵢ alone, element by element, that says E[Tᵢ] = (∂A/∂λⱼ) / (∂ηᵢ/∂λⱼ).

use lvmc_families::{Event, Family};
use lvmc_term::{Size, Store, Support, Sym, SymKind, Term};
use std::collections::HashMap;

/// Values of a discrete latent's element that are summed one by one, at most.
const VALUES: usize = 4;

/// A symbol that is replaced before anybody sees it.
fn placeholder(s: &mut Store, support: Support, shape: Vec<Size>) -> Term {
    let sym = s.add_sym(Sym {
        name: "argument".into(),
        kind: SymKind::Aux,
        shape,
        family: 0,
        per_row: false,
        support,
    });
    s.var(sym)
}

/// The statistics T(z) whose expectations follow, and these, of the latent's shape.
pub(super) fn statistics(
    s: &mut Store,
    family: &dyn Family,
    signature: usize,
    args: &[Term],
    z: Term,
) -> Vec<(Term, Term)> {
    let written = &family.signatures()[signature];
    let whole = written.event != Event::Scalar;
    let free: Vec<Term> = written
        .args
        .iter()
        .zip(args)
        .map(|(arg, &value)| {
            let shape = if whole || arg.rank > 0 {
                s.shape(value).clone()
            } else {
                vec![]
            };
            placeholder(s, (arg.support)(), shape)
        })
        .collect();
    let support = family.support(s, signature, &free);
    let shape = if whole { s.shape(z).clone() } else { vec![] };
    let x = placeholder(s, support, shape);
    let Some(form) = family.exponential(s, signature, x, &free) else {
        return vec![];
    };
    let mut out = vec![];
    for (i, (&eta, &t)) in form.natural.iter().zip(&form.statistics).enumerate() {
        let own = |s: &Store, a: Term| {
            let mut others = form.natural.iter().enumerate().filter(|&(k, _)| k != i);
            s.contains(eta, a) && !others.any(|(_, &n)| s.contains(n, a))
        };
        let Some(a) = free.iter().copied().find(|&a| own(s, a)) else {
            continue;
        };
        // a matrix of parameters is no list of its elements
        if s.shape(a).len() > 1 || s.shape(a) != s.shape(eta) {
            continue;
        }
        let sum = s.total(eta);
        let (slope, mean) = (s.gradient(sum, &[a])[0], s.gradient(form.log_normaliser, &[a])[0]);
        let mean = s.div(mean, slope);
        let mut with: HashMap<Term, Term> = free.iter().copied().zip(args.iter().copied()).collect();
        with.insert(x, z);
        let (t, mean) = (s.substitute(t, &with), s.substitute(mean, &with));
        let shape = s.shape(t).clone();
        let mean = s.refill(mean, shape);
        out.push((t, mean));
    }
    out
}

/// The values of one element of a discrete latent and their probabilities, where they are few.
pub(super) fn values(
    s: &mut Store,
    family: &dyn Family,
    signature: usize,
    args: &[Term],
    z: Term,
) -> Vec<(Term, Term)> {
    let Some(Size::Const(n)) = family.finite_support(s, signature, args) else {
        return vec![];
    };
    if n > VALUES || family.signatures()[signature].event != Event::Scalar {
        return vec![];
    }
    let shape = s.shape(z).clone();
    let mut out = vec![];
    for k in 0..n {
        let k = s.num(k as f64);
        let mass = family.log_density(s, signature, k, args);
        let mass = s.exp(mass);
        out.push((k, s.refill(mass, shape.clone())));
    }
    out
}
