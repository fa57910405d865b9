//! Expansion: products over sums, logs of products, linear operators over sums, factors out of sums.
//!
//! A log of a product splits where the factors are known to be ≥ 0 from their supports (one unknown factor may stay,
//! since it must then be positive too). Nothing looks inside a `Hold`.

use crate::node::{Fun, Node, Term};
use crate::rules::{Depends, Rule, Split};
use crate::store::Store;

/// A product that would become more addends than this stays as it is: no closed form reads sums that long, and a
/// model must not make the compiler run out of memory.
const MOST_ADDENDS: usize = 4096;

/// Whether so many sums of these lengths may be multiplied out.
fn few(lengths: impl Iterator<Item = usize>) -> bool {
    lengths.fold(1usize, usize::saturating_mul) <= MOST_ADDENDS
}

const LOG_OF_SOFTMAX: Rule = Rule {
    name: "log-of-softmax",
    statement: "log softmax(v)ₖ = vₖ − log Σ exp v",
    apply: log_of_softmax,
};

static RULES: &[Rule] = &[
    Rule {
        name: "product-over-sum",
        statement: "a (b + c) = a b + a c",
        apply: product_over_sum,
    },
    Rule {
        name: "square-of-sum",
        statement: "(a + b)² = a² + 2 a b + b²",
        apply: square_of_sum,
    },
    Rule {
        name: "log-of-product",
        statement: "log(a b) = log a + log b, a, b ≥ 0",
        apply: log_of_product,
    },
    Rule {
        name: "log-of-power",
        statement: "log aᵖ = p log a",
        apply: log_of_power,
    },
    LOG_OF_SOFTMAX,
    Rule {
        name: "log-of-choice",
        statement: "log(if c then a else b) = if c then log a else log b",
        apply: log_of_choice,
    },
    Rule {
        name: "xlogy-of-product",
        statement: "y log(a b) = y log a + y log b, a, b ≥ 0",
        apply: xlogy_of_product,
    },
    Rule {
        name: "xlogy-of-choice",
        statement: "y log(if c then a else b) = if c then y log a else y log b",
        apply: xlogy_of_choice,
    },
    Rule {
        name: "log-sum-exp-shift",
        statement: "log Σ exp(v + s) = s + log Σ exp v",
        apply: log_sum_exp_shift,
    },
];

/// The rewrites of [`Store::expand`].
pub(crate) fn rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().chain(crate::expand_linear::RULES)
}

impl Store {
    /// `t` with every product distributed over sums, logs of products split, and factors taken out of sums.
    pub fn expand(&mut self, t: Term) -> Term {
        self.expand_with(t, &Split { depends: None })
    }

    /// As [`Store::expand`], but a sum is taken apart only to separate addends that depend on an unknown; what does
    /// not depend on it stays together. `depends` must hold for a term if it holds for a part of it.
    pub fn expand_in(&mut self, t: Term, depends: Depends<'_>) -> Term {
        self.expand_with(t, &Split { depends: Some(depends) })
    }

    /// `t` with log softmax(v)ₖ written as vₖ − log Σ exp v, which keeps the digits of small probabilities; everything else
    /// stays as it is.
    pub fn in_logits(&mut self, t: Term) -> Term {
        let split = Split { depends: None };
        self.rewrite(t, &[&LOG_OF_SOFTMAX], &split, &|n| matches!(n, Node::Hold(_)))
    }

    fn expand_with(&mut self, t: Term, split: &Split<'_>) -> Term {
        let rules: Vec<&Rule> = rules().collect();
        self.rewrite(t, &rules, split, &|n| matches!(n, Node::Hold(_)))
    }
}

fn product_over_sum(s: &mut Store, t: Term, split: &Split<'_>) -> Option<Term> {
    let Node::Mul(fs) = s.node(t).clone() else { return None };
    let apart: Vec<Option<Vec<Term>>> = fs.iter().map(|&f| split.parts(s, f)).collect();
    if !few(apart.iter().flatten().map(Vec::len)) {
        return None;
    }
    let (at, parts) = apart.into_iter().enumerate().find_map(|(i, parts)| Some((i, parts?)))?;
    let mut fs = fs.to_vec();
    let products: Vec<Term> = parts
        .into_iter()
        .map(|p| {
            fs[at] = p;
            s.product_of(&fs)
        })
        .collect();
    let sum = s.sum(&products);
    Some(s.refill(sum, s.shape(t).clone()))
}

/// Higher powers come down one at a time, so that the product rule sees them.
fn square_of_sum(s: &mut Store, t: Term, split: &Split<'_>) -> Option<Term> {
    let Node::Pow(base, p) = *s.node(t) else { return None };
    let n = s.as_num(p).filter(|n| [2.0, 3.0, 4.0].contains(n))?;
    let parts = split.parts(s, base)?;
    if !few(std::iter::repeat_n(parts.len(), n as usize)) {
        return None;
    }
    let lower = s.num(n - 1.0);
    let lower = s.pow(base, lower);
    let mut products = vec![];
    for (i, &a) in parts.iter().enumerate() {
        if n > 2.0 {
            products.push(s.mul(a, lower));
            continue;
        }
        products.push(s.square(a));
        for &b in &parts[i + 1..] {
            let ab = s.mul(a, b);
            products.push(s.scale(2.0, ab));
        }
    }
    let sum = s.sum(&products);
    Some(s.refill(sum, s.shape(t).clone()))
}

/// The factors whose logs may stand alone, and the rest.
fn log_factors(s: &Store, factors: &[Term]) -> Option<(Vec<Term>, Vec<Term>)> {
    let (mut out, rest): (Vec<Term>, Vec<Term>) = factors.iter().partition(|&&f| s.is_positive(f));
    let (mut nonneg, mut rest): (Vec<Term>, Vec<Term>) = rest.into_iter().partition(|&f| s.is_nonneg(f));
    if rest.is_empty() {
        out.append(&mut nonneg);
    } else {
        // log(p · x) with p ≥ 0 and an x of unknown sign: 0 · x has log −∞, which log p + log x may not have
        rest.append(&mut nonneg);
    }
    (!out.is_empty() && factors.len() > 1).then_some((out, rest))
}

fn log_of_product(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Fun(Fun::Log, x) = *s.node(t) else {
        return None;
    };
    let Node::Mul(fs) = s.node(x).clone() else { return None };
    let (out, rest) = log_factors(s, &fs)?;
    let mut logs: Vec<Term> = out.into_iter().map(|f| s.log(f)).collect();
    if !rest.is_empty() {
        let rest = s.product_of(&rest);
        logs.push(s.log(rest));
    }
    let sum = s.sum(&logs);
    Some(s.refill(sum, s.shape(t).clone()))
}

fn log_of_power(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Fun(Fun::Log, x) = *s.node(t) else {
        return None;
    };
    let Node::Pow(a, p) = *s.node(x) else { return None };
    let a = match s.as_num(p) {
        Some(n) if n % 2.0 == 0.0 => s.fun(Fun::Abs, a),
        // an odd or a broken power has a log only where its base is positive
        Some(_) => a,
        None if s.is_positive(a) => a,
        None => return None,
    };
    let l = s.log(a);
    Some(s.mul(p, l))
}

fn log_of_softmax(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Fun(Fun::Log, x) = *s.node(t) else {
        return None;
    };
    let (v, picked) = match s.node(x).clone() {
        Node::Softmax(v) => (v, v),
        Node::At(p, at) => match *s.node(p) {
            Node::Softmax(v) => (v, s.at(v, &at)),
            _ => return None,
        },
        _ => return None,
    };
    let l = s.log_sum_exp(v);
    Some(s.sub(picked, l))
}

fn log_of_choice(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Fun(Fun::Log, x) = *s.node(t) else {
        return None;
    };
    let Node::Select(c, a, b) = *s.node(x) else { return None };
    let (a, b) = (s.log(a), s.log(b));
    Some(s.select(c, a, b))
}

fn xlogy_of_product(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::XLogY(y, x) = *s.node(t) else { return None };
    match s.node(x).clone() {
        Node::Mul(fs) if fs.iter().all(|&f| s.is_nonneg(f)) => {
            let parts: Vec<Term> = fs.iter().map(|&f| s.xlogy(y, f)).collect();
            let sum = s.sum(&parts);
            Some(s.refill(sum, s.shape(t).clone()))
        }
        Node::Pow(a, p) if s.is_positive(p) && s.is_nonneg(a) => {
            let l = s.xlogy(y, a);
            Some(s.mul(p, l))
        }
        _ => None,
    }
}

fn xlogy_of_choice(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::XLogY(y, x) = *s.node(t) else { return None };
    let Node::Select(c, a, b) = *s.node(x) else { return None };
    let (a, b) = (s.xlogy(y, a), s.xlogy(y, b));
    Some(s.select(c, a, b))
}

fn log_sum_exp_shift(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::LogSumExp(v) = *s.node(t) else { return None };
    let Node::Add(ts) = s.node(v).clone() else { return None };
    let (scalars, arrays): (Vec<Term>, Vec<Term>) = ts.iter().partition(|&&x| s.shape(x).is_empty());
    if scalars.is_empty() || arrays.is_empty() {
        return None;
    }
    let v = s.sum(&arrays);
    let l = s.log_sum_exp(v);
    let shift = s.sum(&scalars);
    Some(s.add(shift, l))
}
