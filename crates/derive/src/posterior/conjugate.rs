//! conjugate-posterior: scalar latents whose log joint is linear in the statistics of an exponential family.
//!
//! Statement: where log p(x, u) = f(x) + Σ cᵢ(x) tᵢ(u), the posterior is the member of the family with statistics t and
//! natural parameters c, and log p(x) = f(x) + A(c) with its log-normaliser A. Families: Gamma {log u, u}, inverse Gamma
//! {log u, 1/u}, Beta {log u, log(1 − u)}; which one is read off the statistics that occur, not off the prior's name.
//!
//! Side conditions: log u with exactly one of u, 1/u and log(1 − u); coefficients free of other continuous latents.
//!
//! Proof: p(u | x) ∝ exp Σ cᵢ(x) tᵢ(u), whose integral is exp A(c).

use super::{Continuous, Defined, define, factor_of, impute, report, scope_of, touching};
use crate::flatten::flatten;
use crate::joint::LogJoint;
use crate::plan::Value;
use crate::rules::Decline;
use lvmc_term::{Cmp, Fun, IxId, Node, Store, SymKind, Term};

/// Its printed name.
pub const NAME: &str = "conjugate-posterior";

/// A statistic of the latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    /// u.
    Itself,
    /// 1/u.
    Inverse,
    /// log u.
    Log,
    /// log(1 − u).
    LogRest,
}

/// A family with two statistics, the first of which is log u.
struct Pair {
    second: Statistic,
    /// The two parameters from the coefficients of the statistics.
    parameters: fn(&mut Store, Term, Term) -> (Term, Term),
    /// A of the parameters.
    log_normaliser: fn(&mut Store, Term, Term) -> Term,
    /// E[log u] and the expectation of the second statistic.
    expected: fn(&mut Store, Term, Term) -> (Term, Term),
    /// E[u] and E[u²].
    moments: fn(&mut Store, Term, Term) -> (Term, Term),
}

static PAIRS: [Pair; 3] = [
    Pair {
        second: Statistic::Itself,
        parameters: |s, log, second| (plus(s, log, 1.0), s.neg(second)),
        // log Γ(a) − a log b
        log_normaliser: gamma_normaliser,
        // ψ(a) − log b, a/b
        expected: |s, a, b| {
            let (psi, log, ratio) = (s.fun(Fun::Digamma, a), s.log(b), s.div(a, b));
            (s.sub(psi, log), ratio)
        },
        moments: |s, a, b| {
            let (mean, next) = (s.div(a, b), plus(s, a, 1.0));
            let ratio = s.div(next, b);
            (mean, s.mul(mean, ratio))
        },
    },
    Pair {
        second: Statistic::Inverse,
        parameters: |s, log, second| {
            let minus = s.neg(log);
            (plus(s, minus, -1.0), s.neg(second))
        },
        log_normaliser: gamma_normaliser,
        // log b − ψ(a), a/b
        expected: |s, a, b| {
            let (psi, log, ratio) = (s.fun(Fun::Digamma, a), s.log(b), s.div(a, b));
            (s.sub(log, psi), ratio)
        },
        moments: |s, a, b| {
            let (one, two) = (plus(s, a, -1.0), plus(s, a, -2.0));
            let (mean, ratio) = (s.div(b, one), s.div(b, two));
            let square = s.mul(mean, ratio);
            (where_positive(s, one, mean), where_positive(s, two, square))
        },
    },
    Pair {
        second: Statistic::LogRest,
        parameters: |s, log, second| (plus(s, log, 1.0), plus(s, second, 1.0)),
        // log Γ(a) + log Γ(b) − log Γ(a + b)
        log_normaliser: |s, a, b| {
            let both = s.add(a, b);
            let (x, y, z) = (s.lgamma(a), s.lgamma(b), s.lgamma(both));
            let minus = s.neg(z);
            s.sum(&[x, y, minus])
        },
        expected: |s, a, b| {
            let both = s.add(a, b);
            let (x, y, z) = (
                s.fun(Fun::Digamma, a),
                s.fun(Fun::Digamma, b),
                s.fun(Fun::Digamma, both),
            );
            (s.sub(x, z), s.sub(y, z))
        },
        moments: |s, a, b| {
            let both = s.add(a, b);
            let (next, more) = (plus(s, a, 1.0), plus(s, both, 1.0));
            let (mean, ratio) = (s.div(a, both), s.div(next, more));
            (mean, s.mul(mean, ratio))
        },
    },
];

/// ∞ where the moment does not exist.
fn where_positive(s: &mut Store, margin: Term, moment: Term) -> Term {
    let (zero, infinity) = (s.num(0.0), s.num(f64::INFINITY));
    let exists = s.cmp(Cmp::Lt, zero, margin);
    s.select(exists, moment, infinity)
}

fn plus(s: &mut Store, t: Term, x: f64) -> Term {
    let x = s.num(x);
    s.add(t, x)
}

fn gamma_normaliser(s: &mut Store, a: Term, b: Term) -> Term {
    let (gamma, log) = (s.lgamma(a), s.log(b));
    let product = s.mul(a, log);
    s.sub(gamma, product)
}

/// An addend: coefficient and statistic, or free of the latent.
enum Addend {
    Free(Term),
    Statistic(Term, Statistic),
}

/// See the module.
pub fn eliminate(joint: &mut LogJoint, latent: &Continuous) -> Result<(), Decline> {
    let u = joint.store.var(latent.sym);
    if !joint.store.shape(u).is_empty() {
        return Err(Decline::at("it is not a scalar", latent.span));
    }
    let factors = touching(joint, &[latent.sym])?;
    let scope = scope_of(joint, &factors);
    let ixs: Vec<IxId> = scope.iter().map(|&v| joint.finite[v].ix).collect();
    let mut read: Vec<Vec<Addend>> = vec![];
    for &f in &factors {
        let (term, span) = (joint.factors[f].cases[0].term, joint.factors[f].span);
        let mut addends = vec![];
        for t in flatten(&mut joint.store, term) {
            let found = addend(&mut joint.store, t, u);
            addends.push(found.ok_or_else(|| {
                Decline::at(
                    "an addend of the log joint is not linear in log u, u, 1/u or log(1 − u)",
                    span,
                )
            })?);
        }
        read.push(addends);
    }
    let coefficient = |joint: &mut LogJoint, wanted: Statistic| -> Option<Term> {
        let all: Vec<Term> = read
            .iter()
            .flatten()
            .filter_map(|a| match a {
                Addend::Statistic(c, s) if *s == wanted => Some(*c),
                _ => None,
            })
            .collect();
        (!all.is_empty()).then(|| joint.store.sum(&all))
    };
    let others = [Statistic::Itself, Statistic::Inverse, Statistic::LogRest];
    let present: Vec<(Statistic, Term)> = others
        .into_iter()
        .filter_map(|k| Some((k, coefficient(joint, k)?)))
        .collect();
    let [(second, c)] = present[..] else {
        return Err(Decline::at(
            "its statistics are those of no family: besides log u one of u, 1/u and log(1 − u)",
            latent.span,
        ));
    };
    let log = coefficient(joint, Statistic::Log).unwrap_or_else(|| joint.store.num(0.0));
    for t in [log, c] {
        if joint.store.depends_on_kind(t, SymKind::Latent) {
            return Err(Decline::at(
                "its posterior depends on another continuous latent",
                latent.span,
            ));
        }
    }
    let Some(pair) = PAIRS.iter().find(|p| p.second == second) else {
        return Err(Decline::at("no family has its statistics", latent.span));
    };
    let name = joint.store.sym(latent.sym).name.clone();
    let (a, b) = (pair.parameters)(&mut joint.store, log, c);
    let named = |name: String| Defined::new(NAME, name, &ixs);
    let a = define(joint, named(format!("a_{name}")).positive(true), Value::Term(a), &[]);
    let b = define(joint, named(format!("b_{name}")).positive(true), Value::Term(b), &[]);
    let (mean_log, mean) = (pair.expected)(&mut joint.store, a, b);
    let mean_log = define(joint, named(format!("E_log_{name}")), Value::Term(mean_log), &[]);
    let mean_symbol = named(mean_name(second, &name)).positive(second != Statistic::LogRest);
    let mean = define(joint, mean_symbol, Value::Term(mean), &[]);
    for (&f, addends) in factors.iter().zip(&read) {
        let (mut plain, mut expected) = (vec![], vec![]);
        for x in addends {
            match x {
                Addend::Free(t) => {
                    plain.push(*t);
                    expected.push(*t);
                }
                Addend::Statistic(c, Statistic::Log) => expected.push(joint.store.mul(*c, mean_log)),
                Addend::Statistic(c, _) => expected.push(joint.store.mul(*c, mean)),
            }
        }
        let (plain, expected) = (joint.store.sum(&plain), joint.store.sum(&expected));
        joint.expected[f] = factor_of(joint, &joint.factors[f], expected);
        joint.factors[f] = factor_of(joint, &joint.factors[f], plain);
    }
    let norm = (pair.log_normaliser)(&mut joint.store, a, b);
    let like = joint.factors[factors[0]].clone();
    let factor = factor_of(joint, &like, norm);
    joint.factors.push(factor);
    let (first, square) = (pair.moments)(&mut joint.store, a, b);
    let inverse = inverse_mean(&mut joint.store, second, a, b);
    impute(joint, &mut |s, t| {
        let mut parts = vec![];
        for t in flatten(s, t) {
            parts.push(match addend(s, t, u)? {
                Addend::Free(t) => t,
                Addend::Statistic(c, Statistic::Itself) => s.mul(c, first),
                Addend::Statistic(c, Statistic::Inverse) => s.mul(c, inverse?),
                Addend::Statistic(..) => return None,
            });
        }
        let shape = s.shape(t).clone();
        let sum = s.sum(&parts);
        Some(s.refill(sum, shape))
    });
    report(joint, latent.sym, NAME, first, square);
    Ok(())
}

/// E[1/u], ∞ where it does not exist.
fn inverse_mean(s: &mut Store, second: Statistic, a: Term, b: Term) -> Option<Term> {
    match second {
        Statistic::Itself => {
            let less = plus(s, a, -1.0);
            let mean = s.div(b, less);
            Some(where_positive(s, less, mean))
        }
        Statistic::Inverse => Some(s.div(a, b)),
        Statistic::Log | Statistic::LogRest => None,
    }
}

fn mean_name(second: Statistic, name: &str) -> String {
    match second {
        Statistic::Itself | Statistic::Log => format!("m_{name}"),
        Statistic::Inverse => format!("E_inv_{name}"),
        Statistic::LogRest => format!("E_log_rest_{name}"),
    }
}

/// Reads an addend; `None` where it is no coefficient times a statistic.
fn addend(s: &mut Store, t: Term, u: Term) -> Option<Addend> {
    if !s.contains(t, u) {
        return Some(Addend::Free(t));
    }
    let (bound, free): (Vec<Term>, Vec<Term>) = s.factors(t).into_iter().partition(|&f| s.contains(f, u));
    let [one] = bound[..] else { return None };
    let mut c = s.product_of(&free);
    let kind = match *s.node(one) {
        _ if one == u => Statistic::Itself,
        Node::Pow(base, e) if base == u && s.as_num(e) == Some(-1.0) => Statistic::Inverse,
        Node::Fun(Fun::Log, x) => log_of(s, x, u)?,
        Node::XLogY(y, x) if !s.contains(y, u) => {
            c = s.mul(c, y);
            log_of(s, x, u)?
        }
        _ => return None,
    };
    Some(Addend::Statistic(c, kind))
}

fn log_of(s: &mut Store, x: Term, u: Term) -> Option<Statistic> {
    let one = s.num(1.0);
    let rest = s.sub(one, u);
    match x {
        x if x == u => Some(Statistic::Log),
        x if x == rest => Some(Statistic::LogRest),
        _ => None,
    }
}
