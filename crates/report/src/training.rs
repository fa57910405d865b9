//! Fits by gradients, and the inference plans of their models, in words.

use crate::numbers::{count, counted, fixed};
use crate::words::{Inference, how, targets};
use lvmc_derive::guided::{BoundTerm, Guided, Objective, Taken};
use lvmc_model::graph::ModelGraph;
use lvmc_runtime::gradient::outcome::Training;
use lvmc_runtime::result::{Fit, Parameter};

/// How each latent and each group of parameters is found.
#[must_use]
pub fn inference(graph: &ModelGraph, g: &Guided) -> Vec<Inference> {
    let mut out = vec![];
    let name = |sym| g.store.sym(sym).name.clone();
    if let Some(n) = &g.noising {
        out.push(Inference {
            names: vec![name(n.variable)],
            how: "a fixed chain away from the data: marginals and posteriors in closed form".into(),
            rule: "noising-chain".into(),
        });
    }
    for l in &g.latents {
        let how = if l.auxiliary {
            "drawn anew at every step"
        } else if l.finite.is_some() {
            "a sum over the values of q"
        } else if l.point {
            "a point of q, found with the weights"
        } else {
            let drawn = g
                .terms
                .iter()
                .any(|t| t.taken >= Taken::Drawn && g.store.depends_on_sym(t.written, l.sym));
            if drawn {
                "q of the guide, drawn as a function of noise"
            } else {
                "q of the guide, by its moments"
            }
        };
        let rule = if l.score.is_some() {
            "score-function"
        } else if l.finite.is_some() {
            "enumeration"
        } else if l.point {
            "point"
        } else {
            "reparametrisation"
        };
        out.push(Inference {
            names: vec![name(l.sym)],
            how: how.into(),
            rule: rule.into(),
        });
    }
    for l in &g.left_out {
        out.push(Inference {
            names: vec![name(l.sym)],
            how: "summed out of the joint".into(),
            rule: "enumeration".into(),
        });
    }
    for m in &g.masks {
        let read = graph.guide.iter().flat_map(|q| &q.factors);
        let reads = read.into_iter().any(|f| f.dist.mentions(&graph.store, m.of));
        out.push(Inference {
            names: vec![name(m.of)],
            how: if reads {
                "missing cells: left out of the bound; the guide reads their column's mean"
            } else {
                "missing cells: left out of the bound"
            }
            .into(),
            rule: "missing-cells".into(),
        });
    }
    let own: Vec<String> = g
        .params
        .iter()
        .filter(|&&p| graph.var_of(p).is_none_or(|v| graph.net_of_weight(v).is_none()) && !g.is_exact(p))
        .map(|&p| name(p))
        .collect();
    let mut names: Vec<String> = graph.nets.iter().map(|n| n.syntax.name.name.clone()).collect();
    names.extend(own);
    if !names.is_empty() {
        out.push(Inference {
            names,
            how: "gradient steps on the objective".into(),
            rule: "reverse-mode".into(),
        });
    }
    for (plan, update) in g.exact.iter().flat_map(|e| e.plan.updates.iter().map(|u| (&e.plan, u))) {
        out.push(Inference {
            names: targets(&plan.store, update).into_iter().map(name).collect(),
            how: format!("once an epoch: {}", how(&plan.store, update)),
            rule: update.rule.into(),
        });
    }
    out.push(Inference {
        names: vec!["objective".into()],
        how: objective(g).into(),
        rule: String::new(),
    });
    out
}

fn objective(g: &Guided) -> &'static str {
    let closed = |t: &BoundTerm| t.taken < Taken::Drawn;
    match g.objective {
        Objective::LogLikelihood => "log-likelihood",
        Objective::Point => "log-likelihood at a point of q: no bound on the evidence",
        Objective::Elbo if g.noising.is_some() => "evidence lower bound, one t of each row at a time",
        Objective::Elbo if g.terms.iter().all(closed) => "evidence lower bound, every expectation in closed form",
        Objective::Elbo => "evidence lower bound, by draws of q",
    }
}

/// `evidence lower bound −103.2100 a row (±0.0300)`.
#[must_use]
pub fn figures(fit: &Fit, t: &Training) -> String {
    let each = |x: f64| fixed(x / fit.weight_sum, 4);
    let error = if t.error > 0.0 {
        format!(" (draws ±{})", fixed(t.error / fit.weight_sum, 4))
    } else {
        String::new()
    };
    let held = t.held.map_or(String::new(), |h| {
        format!("   held out {}: {} each", counted(t.held_rows, "row"), fixed(h, 4))
    });
    format!(
        "{} {} a row{error}{held}   {}",
        t.objective,
        each(fit.objective),
        counted_numbers(fit.free_parameters)
    )
}

fn counted_numbers(n: usize) -> String {
    if n == 1 {
        "1 parameter".into()
    } else {
        format!("{} parameters", count(n))
    }
}

/// `20 epochs of 128 rows a step (300 steps), adam(lr = 0.001), f32`.
#[must_use]
pub fn search(t: &Training) -> String {
    let aim = if t.aim == "elbo" {
        String::new()
    } else {
        format!(", objective {}", t.aim)
    };
    format!(
        "{} of {} rows a step ({} steps), {}{aim}, {}",
        counted(t.epochs, "epoch"),
        t.batch,
        count(usize::try_from(t.steps).unwrap_or(usize::MAX)),
        t.optimizer,
        t.precision
    )
}

/// Parameters that are worth a table: not the weights of nets.
#[must_use]
pub fn shown(fit: &Fit) -> Vec<Parameter> {
    let weights = fit.training.as_ref().map_or(0, |t| t.weights);
    fit.parameters
        .iter()
        .filter(|p| weights == 0 || !p.name.contains('.'))
        .cloned()
        .collect()
}
