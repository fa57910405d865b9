//! The E-step of a chain as steps of the derivation: the recursions of the messages, and what they are for.

use crate::chain::NAME;
use crate::factorial;
use crate::plan::{Case, Chain, Left, Plan, RowFactor, Section, Step};
use lvmc_model::graph::When;
use lvmc_term::{Cmp, IxId, Size, Support, Sym, SymId, SymKind, Term};

/// See the module.
pub fn steps(plan: &mut Plan, at: usize, out: &mut Vec<Step>) {
    let chain = &plan.chains[at].clone();
    if chain.previous.is_empty() {
        return of_rows(plan, chain, out);
    }
    let rule = if plan.chains.len() > 1 { factorial::NAME } else { NAME };
    let index = &chain.index;
    let mut line = |left: Term, right: Term, remark: &str| {
        out.push(Step {
            section: Section::EStep,
            left: Left::Term(left),
            right,
            rule,
            condition: None,
            remark: remark.into(),
        });
    };
    let state: Vec<IxId> = chain.state.iter().map(|&v| plan.finite[v].ix).collect();
    let previous: Vec<IxId> = chain.previous.iter().map(|&v| plan.finite[v].ix).collect();
    let old: Vec<IxId> = chain
        .axes()
        .iter()
        .filter(|v| !chain.state.contains(v))
        .map(|&v| plan.finite[v].ix)
        .collect();
    let new: Vec<IxId> = chain
        .state
        .iter()
        .filter(|v| !chain.previous.contains(v))
        .map(|&v| plan.finite[v].ix)
        .collect();
    let before = format!("α[{index}-1]");
    let (alpha, alpha_before) = (message(plan, "α", &state), message(plan, &before, &previous));
    let (beta, beta_before) = (
        message(plan, "β", &state),
        message(plan, &format!("β[{index}-1]"), &previous),
    );
    let holds = |when: When, first: bool| match when {
        When::Always => true,
        When::At(p) => first && p == 0,
        When::From(_) => !first,
    };
    let start = potential(plan, chain, &|f| holds(f.when, true));
    line(alpha, start, &format!("{index} = 1; normalised over the states"));
    let step = potential(plan, chain, &|f| holds(f.when, false));
    let joined = plan.store.mul(alpha_before, step);
    let summed = old.iter().rev().fold(joined, |t, &i| plan.store.ix_sum(i, t));
    let logs = if !chain.shared.is_empty() {
        "normalised; Σₙ of the normalisers' logs is E[log of its factors] + H(q of the states)"
    } else if plan.objective.is_bound() {
        "normalised; Σₙ of the normalisers' logs is Q + H(q of the states)"
    } else {
        "normalised; Σₙ of the normalisers' logs is log p"
    };
    line(alpha, summed, logs);
    let back = plan.store.mul(step, beta);
    let back = new.iter().rev().fold(back, |t, &i| plan.store.ix_sum(i, t));
    line(beta_before, back, "from the last row, where β = 1");
    let values: Vec<(SymId, Term)> = chain
        .axes()
        .iter()
        .map(|&v| (plan.finite[v].sym, plan.finite[v].ix))
        .map(|(x, i)| (x, plan.store.index(i)))
        .collect();
    let resp = plan.store.resp(&values);
    let pair = plan.store.product_of(&[alpha_before, step, beta]);
    let exact = if !chain.shared.is_empty() {
        "normalised: q of the states, best given q of the others"
    } else if plan.objective.is_bound() {
        "normalised: q of the states, exact given q of the others"
    } else {
        "normalised; ELBO = log-likelihood: the posterior is exact"
    };
    line(resp, pair, exact);
}

/// A part of q without rows before.
fn of_rows(plan: &mut Plan, chain: &Chain, out: &mut Vec<Step>) {
    let density = potential(plan, chain, &|_| true);
    let values: Vec<(SymId, IxId)> = chain
        .state
        .iter()
        .map(|&v| (plan.finite[v].sym, plan.finite[v].ix))
        .collect();
    let values: Vec<(SymId, Term)> = values.into_iter().map(|(x, i)| (x, plan.store.index(i))).collect();
    let resp = plan.store.resp(&values);
    out.push(Step {
        section: Section::EStep,
        left: Left::Term(resp),
        right: density,
        rule: factorial::NAME,
        condition: None,
        remark: "normalised over the values: q of them, best given q of the others".into(),
    });
}

/// α or β at some indices.
fn message(plan: &mut Plan, name: &str, at: &[IxId]) -> Term {
    let sizes: Vec<Size> = at.iter().map(|&i| plan.store.ix(i).size.clone()).collect();
    let sym = plan.store.add_sym(Sym {
        name: name.into(),
        kind: SymKind::Aux,
        shape: sizes,
        family: at.len(),
        per_row: true,
        support: Support::Positive,
    });
    let whole = plan.store.var(sym);
    let at: Vec<Term> = at.iter().map(|&i| plan.store.index(i)).collect();
    plan.store.at(whole, &at)
}

/// exp of the factors that hold, other latents of the row summed out.
fn potential(plan: &mut Plan, chain: &Chain, holds: &dyn Fn(&RowFactor) -> bool) -> Term {
    let axes = chain.axes();
    let several = plan.chains.len() > 1;
    let beside = |v: &usize| {
        if several {
            chain.beside.contains(v)
        } else {
            !axes.contains(v)
        }
    };
    let (mut own, mut mixed, mut hidden) = (vec![], vec![], std::collections::BTreeSet::new());
    for (i, f) in plan.factors.clone().into_iter().enumerate() {
        let shared = chain.shared.contains(&i);
        let near = |v: &usize| axes.contains(v) || beside(v);
        if f.scope.is_empty() || !holds(&f) || several && !shared && !f.scope.iter().any(near) {
            continue;
        }
        let inside = f.scope.iter().all(|v| axes.contains(v));
        for case in &f.cases {
            let t = indicated(plan, case);
            if shared {
                own.push(expected(plan, chain, &f, t));
            } else if inside {
                own.push(t);
            } else {
                hidden.extend(f.scope.iter().copied().filter(|v| !axes.contains(v)));
                mixed.push(t);
            }
        }
    }
    let s = &mut plan.store;
    let sum = s.sum(&own);
    let own = s.exp(sum);
    if mixed.is_empty() {
        return own;
    }
    let sum = s.sum(&mixed);
    let others = s.exp(sum);
    if !several {
        hidden = (0..plan.finite.len()).filter(|v| !axes.contains(v)).collect();
    }
    let ixs: Vec<IxId> = hidden.into_iter().map(|v| plan.finite[v].ix).collect();
    let others = ixs.into_iter().rev().fold(others, |t, i| s.ix_sum(i, t));
    s.mul(own, others)
}

/// A case's log density, 0 for values that are not its own.
fn indicated(plan: &mut Plan, case: &Case) -> Term {
    let s = &mut plan.store;
    let mut product = vec![plain(s, case.term)];
    for (list, equal) in [(&case.fixed, true), (&case.excluded, false)] {
        for &(v, x) in list {
            let (ix, x) = (s.index(plan.finite[v].ix), s.num(x as f64));
            let same = s.cmp(Cmp::Eq, ix, x);
            product.push(if equal { same } else { s.not(same) });
        }
    }
    s.product_of(&product)
}

/// Latents of one part of q, with the values that a weight is for.
type Weighed = Vec<(SymId, Term)>;

/// The expectation of a shared factor over q of the others.
fn expected(plan: &mut Plan, chain: &Chain, f: &RowFactor, t: Term) -> Term {
    let axes = chain.axes();
    let others: Vec<usize> = f.scope.iter().copied().filter(|v| !axes.contains(v)).collect();
    let mut by_part: Vec<(Option<usize>, Weighed)> = vec![];
    for &v in &others {
        let part = plan.chain_with(v);
        let value = (plan.finite[v].sym, plan.store.index(plan.finite[v].ix));
        match by_part.iter_mut().find(|p| p.0 == part && part.is_some()) {
            Some(p) => p.1.push(value),
            None => by_part.push((part, vec![value])),
        }
    }
    let s = &mut plan.store;
    let mut product: Vec<Term> = by_part.iter().map(|p| s.resp(&p.1)).collect();
    product.push(t);
    let body = s.product_of(&product);
    let ixs: Vec<IxId> = others.iter().map(|&v| plan.finite[v].ix).collect();
    ixs.into_iter().rev().fold(body, |t, i| s.ix_sum(i, t))
}

/// The density where it holds: without the mark of its rows.
fn plain(s: &mut lvmc_term::Store, t: Term) -> Term {
    match *s.node(t) {
        lvmc_term::Node::Select(_, inside, otherwise) if s.as_num(otherwise) == Some(0.0) => inside,
        _ => t,
    }
}
