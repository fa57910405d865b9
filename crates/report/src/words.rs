//! How a plan finds a variable, in words.

use lvmc_derive::plan::{ObjectiveKind, Plan, Solution, Update};
use lvmc_model::graph::ModelGraph;
use lvmc_term::{Size, Store, SymId};

/// One line of the inference plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inference {
    /// The variables, by name.
    pub names: Vec<String>,
    /// How they are found.
    pub how: String,
    /// The rule's name.
    pub rule: String,
}

/// What a rule's solution is, where the rule's name says more than its form.
const CLOSED: &[(&str, &str)] = &[
    ("simplex-argmax", "weighted shares"),
    ("unit-argmax", "weighted share"),
    ("covariance-argmax", "weighted scatter around the mean"),
    ("quadratic-argmax", "weighted mean"),
    ("least-squares", "weighted least squares"),
    ("log-linear", "ratio of two sums"),
];

/// A size as the user wrote it.
#[must_use]
pub fn size(store: &Store, size: &Size) -> String {
    match size {
        Size::Const(n) => n.to_string(),
        Size::Dim(d) => store.dim(*d).name.clone(),
        Size::Sum(parts) => parts
            .iter()
            .map(|p| self::size(store, p))
            .collect::<Vec<_>>()
            .join(" + "),
    }
}

/// The parameters that an update moves.
#[must_use]
pub fn targets(store: &Store, update: &Update) -> Vec<SymId> {
    let mut out: Vec<SymId> = vec![];
    for &t in &update.targets {
        if let Some((sym, _)) = store.as_symbol(t)
            && !out.contains(&sym)
        {
            out.push(sym);
        }
    }
    out
}

/// How an update is found, without the rule's name.
#[must_use]
pub fn how(store: &Store, update: &Update) -> String {
    let mut text = match &update.solution {
        Solution::Explicit(_) | Solution::Linear { .. } => match CLOSED.iter().find(|(rule, _)| *rule == update.rule) {
            Some((_, words)) => format!("closed form, {words}"),
            None => "closed form".to_owned(),
        },
        Solution::Newton { .. } if update.targets.len() == 1 => {
            "one scalar equation, solved by Newton steps".to_owned()
        }
        Solution::Newton { .. } => format!("{} scalar equations, solved by Newton steps", update.targets.len()),
        Solution::Ascent { .. } => "one damped Newton step on Q per iteration".to_owned(),
        Solution::Gradient { .. } => "no closed form: one damped step along the gradient per iteration".to_owned(),
    };
    if !update.uses.is_empty() {
        let given: Vec<&str> = update.uses.iter().map(|&s| store.sym(s).name.as_str()).collect();
        text.push_str(&format!(", given {}", given.join(", ")));
    }
    text
}

/// The inference plan: how each latent and each parameter is found, and what the objective is.
#[must_use]
pub fn inference(graph: &ModelGraph, plan: &Plan) -> Vec<Inference> {
    let mut out = vec![];
    let bound = plan.objective.is_bound();
    let eliminated = plan.cliques.iter().any(|c| c.parent.is_some());
    for (i, f) in plan.finite.iter().enumerate().filter(|(_, f)| f.lag.is_none()) {
        let sym = plan.store.sym(f.sym);
        let count = size(&plan.store, &f.size);
        let chained = plan
            .chains
            .iter()
            .any(|c| !c.previous.is_empty() && c.state.contains(&i));
        let several = plan.gaussian_chain.is_none() && plan.chains.len() > 1;
        let others = if several {
            "the other chains"
        } else {
            "the Gaussian latents"
        };
        let how = match (f.observed, eliminated) {
            _ if bound && chained => format!("q along the chain, {count} values, given q of {others}"),
            _ if chained => format!("exact posterior along the chain, {count} values"),
            (true, _)
                if graph
                    .var_of(f.sym)
                    .is_some_and(|v| graph.var(v).role == lvmc_model::graph::Role::Given) =>
            {
                continue;
            }
            (false, _) if bound => format!("q of {count} values, given q of {others}"),
            (true, _) => format!("observed; a missing cell is summed over its {count} values"),
            (false, true) => format!("exact posterior, {count} values, by variable elimination"),
            (false, false) => format!("exact posterior, {count} values"),
        };
        out.push(Inference {
            names: vec![sym.name.clone()],
            how,
            rule: if several && plan.chain_with(i).is_some() {
                lvmc_derive::factorial::NAME
            } else if chained {
                lvmc_derive::chain::NAME
            } else {
                "finite-posterior"
            }
            .into(),
        });
    }
    for p in &plan.posteriors {
        let gap = plan.gaps.iter().find(|g| g.sym == p.sym);
        out.push(Inference {
            names: vec![plan.store.sym(gap.map_or(p.sym, |g| g.of)).name.clone()],
            how: match gap {
                Some(_) => "missing cells: exact posterior given the rest of the row, integrated out".into(),
                None if bound
                    && plan
                        .gaussian_chain
                        .iter()
                        .any(|c| c.parts.iter().any(|q| q.sym == p.sym)) =>
                {
                    "Gaussian q, given q of the finite latents: the exact posterior is a mixture over all their paths"
                        .into()
                }
                None => "exact posterior, integrated out".into(),
            },
            rule: p.rule.into(),
        });
    }
    for p in &plan.group_posteriors {
        out.push(Inference {
            names: vec![plan.store.sym(p.sym).name.clone()],
            how: "exact posterior of every group, integrated out".into(),
            rule: p.rule.into(),
        });
    }
    for u in &plan.updates {
        let names = targets(&plan.store, u)
            .iter()
            .map(|&s| plan.store.sym(s).name.clone())
            .collect();
        out.push(Inference {
            names,
            how: how(&plan.store, u),
            rule: u.rule.into(),
        });
    }
    for &s in &plan.unused {
        out.push(Inference {
            names: vec![plan.store.sym(s).name.clone()],
            how: "no statement mentions it: it keeps its starting value".into(),
            rule: String::new(),
        });
    }
    out.push(Inference {
        names: vec!["objective".into()],
        how: objective(plan),
        rule: String::new(),
    });
    out
}

/// `evidence lower bound (structured mean field q(z) q(s))`.
#[must_use]
pub fn bound(factorisation: &str) -> String {
    format!("evidence lower bound (structured mean field {factorisation})")
}

fn objective(plan: &Plan) -> String {
    let what = match plan.objective {
        ObjectiveKind::LogLikelihood => "log-likelihood",
        ObjectiveKind::Penalised => "log-likelihood + log prior of the parameters (MAP)",
        ObjectiveKind::Bound { penalised } => {
            let prior = if penalised {
                " + log prior of the parameters (MAP)"
            } else {
                ""
            };
            let q = plan.factorisation().unwrap_or_default();
            return format!("{}{prior}: not the log-likelihood; every step raises it", bound(&q));
        }
    };
    let integrated = !plan.posteriors.is_empty() || !plan.group_posteriors.is_empty();
    if plan.finite.iter().any(|f| !f.observed) || integrated {
        format!("{what}: the bound is tight, every step raises it")
    } else if plan.updates.len() == 1
        && plan
            .updates
            .iter()
            .all(|u| matches!(u.solution, Solution::Explicit(_) | Solution::Linear { .. }))
    {
        format!("{what}, maximised in one step")
    } else {
        format!("{what}, every step raises it")
    }
}

/// A parameter that no closed form took: the rule that took it and why each closed form declined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The parameter.
    pub name: String,
    /// The rule that took it, if any.
    pub taken: Option<&'static str>,
    /// (rule, reason), in the order tried.
    pub reasons: Vec<(&'static str, String)>,
}

/// Parameters that fell back to an iterative rule.
#[must_use]
pub fn fallbacks(plan: &Plan) -> Vec<Remark> {
    let iterative = |s: SymId| {
        plan.updates.iter().any(|u| {
            (matches!(u.solution, Solution::Newton { .. }) || u.solution.is_step())
                && targets(&plan.store, u).contains(&s)
        })
    };
    plan.remarks
        .iter()
        .filter(|d| iterative(d.param))
        .map(|d| {
            // a rule for other types says nothing about this parameter
            let says = |r: &&(&str, String)| !r.1.starts_with("its type is not");
            Remark {
                name: plan.store.sym(d.param).name.clone(),
                taken: d.taken,
                reasons: d.reasons.iter().filter(says).cloned().collect(),
            }
        })
        .collect()
}
