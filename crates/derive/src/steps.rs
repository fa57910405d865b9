//! The derivation as a list of steps: the very terms of the plan, section by section.

use crate::plan::{Condition, Left, Plan, RowFactor, Section, Solution, Step, Update, Value};
use lvmc_term::{Cmp, Store, Support, SymId, SymKind, Term};

/// All steps of a plan. `written` are the densities before one-hot.
pub fn steps(plan: &mut Plan, written: &[(usize, Term)]) -> Vec<Step> {
    let mut out = vec![];
    joint(plan, written, &mut out);
    complete_and_expected(plan, &mut out);
    e_step(plan, &mut out);
    for u in plan.updates.clone() {
        m_step(&mut plan.store, &u, &mut out);
    }
    out.sort_by_key(|step| step.section);
    out
}

fn step(section: Section, left: Left, right: Term, rule: &'static str) -> Step {
    Step {
        section,
        left,
        right,
        rule,
        condition: None,
        remark: String::new(),
    }
}

fn row_values(plan: &Plan) -> Vec<SymId> {
    let mut of: Vec<SymId> = vec![];
    for f in &plan.complete {
        if !of.contains(&f.value) {
            of.push(f.value);
        }
    }
    of
}

fn joint(plan: &mut Plan, written: &[(usize, Term)], out: &mut Vec<Step>) {
    let of = row_values(plan);
    let s = &mut plan.store;
    let rows: Vec<Term> = written
        .iter()
        .filter(|w| plan.complete.iter().any(|f| f.factor == w.0))
        .map(|w| w.1)
        .collect();
    let sum = s.sum(&rows);
    out.push(step(Section::Joint, Left::Density { of, row: true }, sum, ""));
    for p in &plan.priors {
        let body = p.ranges.iter().rev().fold(p.term, |t, &i| s.ix_sum(i, t));
        let of = s
            .symbols(p.term)
            .into_iter()
            .filter(|&x| s.sym(x).kind == SymKind::Param)
            .collect();
        out.push(step(Section::Prior, Left::Density { of, row: false }, body, ""));
    }
}

/// Σₙ Σ [z = k] f and its expectation Σₙ Σ r f, factor by factor.
fn complete_and_expected(plan: &mut Plan, out: &mut Vec<Step>) {
    let of = row_values(plan);
    let (mut complete, mut expected) = (vec![], vec![]);
    let lists = [(plan.complete.clone(), false), (plan.expected.clone(), true)];
    for (f, is_expected) in lists.iter().flat_map(|(list, e)| list.iter().map(move |f| (f, *e))) {
        for case in &f.cases {
            let (values, bound) = positions(plan, f, &case.fixed);
            let s = &mut plan.store;
            let one_hot: Vec<Term> = values
                .iter()
                .map(|&(z, value)| {
                    let z = s.var(z);
                    s.cmp(Cmp::Eq, z, value)
                })
                .collect();
            let indicator = s.product_of(&one_hot);
            let weight = if values.is_empty() { s.num(1.0) } else { s.resp(&values) };
            let (weight, list) = if is_expected {
                (weight, &mut expected)
            } else {
                (indicator, &mut complete)
            };
            let body = s.mul(weight, case.term);
            let body = bound.iter().rev().fold(body, |t, &i| s.ix_sum(i, t));
            list.push(s.row_sum(body));
        }
    }
    for (priors, list) in [
        (plan.shared.complete.clone(), &mut complete),
        (plan.shared.expected.clone(), &mut expected),
    ] {
        for p in priors {
            list.push(p.ranges.iter().rev().fold(p.term, |t, &i| plan.store.ix_sum(i, t)));
        }
    }
    let (complete, expected) = (plan.store.sum(&complete), plan.store.sum(&expected));
    let hidden = !plan.finite.is_empty() || !plan.posteriors.is_empty() || !plan.group_posteriors.is_empty();
    let rule = if plan.finite.is_empty() { "" } else { "one-hot" };
    out.push(step(
        Section::Complete,
        Left::Density { of, row: false },
        complete,
        rule,
    ));
    if hidden {
        out.push(step(Section::Expected, Left::Word("Q"), expected, "expectation"));
    }
}

/// Values of a factor's finite variables in a case, and the indices among them.
pub(crate) fn positions(
    plan: &mut Plan,
    f: &RowFactor,
    fixed: &[(usize, usize)],
) -> (Vec<(SymId, Term)>, Vec<lvmc_term::IxId>) {
    let (mut values, mut bound) = (vec![], vec![]);
    for &v in &f.scope {
        let finite = plan.finite[v].clone();
        let value = match fixed.iter().find(|(w, _)| *w == v) {
            Some(&(_, x)) => plan.store.num(x as f64),
            None => {
                bound.push(finite.ix);
                plan.store.index(finite.ix)
            }
        };
        values.push((finite.sym, value));
    }
    (values, bound)
}

/// The posterior, up to its normaliser: r ∝ exp(Σ factors); and the entropy of the bound.
fn e_step(plan: &mut Plan, out: &mut Vec<Step>) {
    definitions(plan, out);
    if !plan.chains.is_empty() {
        for at in 0..plan.chains.len() {
            crate::chain_steps::steps(plan, at, out);
        }
        return;
    }
    if plan.finite.is_empty() {
        return;
    }
    let s = &mut plan.store;
    let values: Vec<(SymId, Term)> = plan.finite.iter().map(|f| (f.sym, s.index(f.ix))).collect();
    let resp = s.resp(&values);
    let mut parts = vec![];
    for f in plan.factors.iter().filter(|f| !f.scope.is_empty()) {
        for case in &f.cases {
            let mut product = vec![case.term];
            for &(v, x) in &case.fixed {
                let (ix, x) = (s.index(plan.finite[v].ix), s.num(x as f64));
                product.push(s.cmp(Cmp::Eq, ix, x));
            }
            for &(v, x) in &case.excluded {
                let (ix, x) = (s.index(plan.finite[v].ix), s.num(x as f64));
                let equal = s.cmp(Cmp::Eq, ix, x);
                product.push(s.not(equal));
            }
            parts.push(s.product_of(&product));
        }
    }
    let sum = s.sum(&parts);
    let density = s.exp(sum);
    let mut e = step(Section::EStep, Left::Term(resp), density, "finite-posterior");
    e.remark = match plan.cliques.len() {
        0 | 1 => "normalised over the values".into(),
        n => format!("normalised by elimination, {n} cliques"),
    };
    out.push(e);
    if plan.gaussian_chain.as_ref().is_some_and(|c| c.mean_field) {
        return;
    }
    let log = s.log(resp);
    let product = s.mul(resp, log);
    let body = plan.finite.iter().rev().fold(product, |t, f| s.ix_sum(f.ix, t));
    let sum = s.row_sum(body);
    let entropy = s.neg(sum);
    let mut h = step(Section::Elbo, Left::Word("H"), entropy, "entropy");
    h.remark = "ELBO = Q + H = log-likelihood; exact posterior: gap 0".into();
    out.push(h);
}

/// What the posteriors of the continuous latents are made of.
fn definitions(plan: &mut Plan, out: &mut Vec<Step>) {
    crate::smoother_steps::steps(plan, out);
    let s = &mut plan.store;
    for d in plan.definitions.clone() {
        let (left, right, remark) = match d.value {
            Value::Term(t) => (d.atom, t, ""),
            Value::Smoothed => continue,
            Value::InverseRoot(t) => {
                let root = s.transpose(d.atom);
                (
                    s.matmul(root, d.atom),
                    s.inv(t),
                    "the posterior's covariance, from its root",
                )
            }
        };
        let mut line = step(Section::EStep, Left::Term(left), right, d.rule);
        line.remark = remark.into();
        out.push(line);
    }
    let mut rules = plan.posteriors.iter().map(|p| p.rule);
    let rule = rules
        .next()
        .or_else(|| plan.group_posteriors.first().map(|p| p.rule))
        .filter(|_| plan.finite.is_empty());
    if let Some(rule) = rule {
        let zero = plan.store.num(0.0);
        let mut h = step(Section::Elbo, Left::Word("gap"), zero, rule);
        h.remark = "ELBO = log-likelihood: the posterior is exact".into();
        out.push(h);
    }
}

fn m_step(s: &mut Store, u: &Update, out: &mut Vec<Step>) {
    let mut push = |left: Left, right: Term, condition: Option<Condition>, remark: &str| {
        out.push(Step {
            section: Section::MStep,
            left,
            right,
            rule: u.rule,
            condition,
            remark: remark.into(),
        });
    };
    match &u.solution {
        Solution::Explicit(values) => {
            for (&target, &value) in u.targets.iter().zip(values) {
                push(Left::Term(target), value, Some(u.condition.clone()), "");
            }
        }
        Solution::Linear { h, g, .. } => {
            let matrix = s.shape(*g).len() == 2;
            let left = match u.targets[..] {
                [one] if matrix => Left::Term(s.transpose(one)),
                [one] => Left::Term(one),
                _ if matrix => Left::Beside(u.targets.clone()),
                _ => Left::Term(s.stack(&u.targets)),
            };
            let inverse = s.inv(*h);
            let right = if matrix {
                s.matmul(inverse, *g)
            } else {
                s.matvec(inverse, *g)
            };
            push(left, right, None, "normal equations");
        }
        Solution::Newton { parts } => {
            let f = newton_objective(s, parts);
            for &target in &u.targets {
                let gradient = s.gradient(f, &[target])[0];
                push(
                    Left::Term(target),
                    gradient,
                    Some(u.condition.clone()),
                    "the root of this derivative",
                );
            }
        }
        Solution::Ascent {
            predictor, score, eta, ..
        } => {
            let h = s.var(*eta);
            push(Left::Term(h), *predictor, None, "affine predictor");
            push(Left::Word("∂Q/∂η"), *score, None, "one damped Newton step per sweep");
        }
        Solution::Gradient { blocks } => {
            for block in blocks {
                let name = &s.sym(block.sym).name;
                let coordinate = match s.sym(block.sym).support {
                    Support::Positive | Support::NonNegative => format!("log {name}"),
                    Support::Unit | Support::Simplex => format!("logit {name}"),
                    _ => name.clone(),
                };
                let remark = format!("score of {coordinate}; one damped step per sweep");
                push(Left::Word("sₙ"), block.score, None, &remark);
            }
        }
    }
}

/// Σ C g(θ) as a scalar.
pub fn newton_objective(s: &mut Store, parts: &[(Term, Term)]) -> Term {
    let products: Vec<Term> = parts.iter().map(|&(c, g)| s.mul(c, g)).collect();
    let sum = s.sum(&products);
    if s.shape(sum).is_empty() { sum } else { s.total(sum) }
}
