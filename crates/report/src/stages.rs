//! Texts of the stages, for `lvmc emit`.

use crate::math::{Style, condition, left, term};
use crate::words;
use lvmc_derive::joint::LogJoint;
use lvmc_derive::plan::{Plan, RowFactor, Section, Solution, Update};
use lvmc_model::graph::ModelGraph;
use lvmc_term::{IxId, Store, Term};
use std::fmt::Write;

/// The log joint: finite variables, the factors of a row case by case, and priors.
#[must_use]
pub fn joint(graph: &ModelGraph, joint: &LogJoint) -> String {
    let s = &joint.store;
    let mut out = format!("joint {}\n", graph.name);
    for f in &joint.finite {
        let kind = if f.observed { "evidence" } else { "latent" };
        let (sym, ix) = (&s.sym(f.sym).name, &s.ix(f.ix).name);
        let _ = writeln!(out, "{kind} {sym} = {ix} of {}", words::size(s, &f.size));
    }
    for f in &joint.factors {
        factor(&mut out, graph, s, f, |v| s.sym(joint.finite[v].sym).name.clone());
    }
    for p in &joint.priors {
        let _ = writeln!(out, "prior, line {}", graph.source.line(p.span.start));
        let _ = writeln!(out, "  {}", term(s, p.term, Style::Unicode));
    }
    out
}

fn factor(out: &mut String, graph: &ModelGraph, s: &Store, f: &RowFactor, name: impl Fn(usize) -> String) {
    let scope: Vec<String> = f.scope.iter().map(|&v| name(v)).collect();
    let line = graph.source.line(f.span.start);
    let _ = writeln!(
        out,
        "factor of {}, line {line}, over ({})",
        s.sym(f.value).name,
        scope.join(", ")
    );
    for case in &f.cases {
        let mut where_: Vec<String> = case.fixed.iter().map(|&(v, x)| format!("{} = #{x}", name(v))).collect();
        where_.extend(case.excluded.iter().map(|&(v, x)| format!("{} ≠ #{x}", name(v))));
        let place = if where_.is_empty() {
            String::new()
        } else {
            format!("  where {}", where_.join(", "))
        };
        let _ = writeln!(out, "  {}{place}", term(s, case.term, Style::Unicode));
    }
}

/// Q and the bound.
#[must_use]
pub fn elbo(graph: &ModelGraph, plan: &Plan) -> String {
    let mut store = plan.store.clone();
    let mut out = format!("elbo {}\n", graph.name);
    for step in plan
        .steps
        .iter()
        .filter(|s| matches!(s.section, Section::Complete | Section::Expected | Section::Elbo))
    {
        let l = left(&mut store, &step.left, Style::Unicode);
        let _ = writeln!(out, "{l} = {}", term(&store, step.right, Style::Unicode));
    }
    out
}

/// The update plan: elimination order, updates, and what they depend on.
#[must_use]
pub fn plan(graph: &ModelGraph, plan: &Plan) -> String {
    let s = &plan.store;
    let name = |v: usize| s.sym(plan.finite[v].sym).name.clone();
    let mut out = format!("plan {}\n", graph.name);
    for (i, c) in plan.cliques.iter().enumerate() {
        let others: Vec<String> = c.others.iter().map(|&v| name(v)).collect();
        let lines: Vec<String> = c
            .factors
            .iter()
            .map(|&f| format!("line {}", graph.source.line(plan.factors[f].span.start)))
            .collect();
        let _ = write!(out, "clique {i}: sum out {} from {}", name(c.var), lines.join(", "));
        if !c.children.is_empty() {
            let children: Vec<String> = c.children.iter().map(ToString::to_string).collect();
            let _ = write!(out, " and cliques {}", children.join(", "));
        }
        let _ = match c.parent {
            Some(p) => writeln!(out, "; message over ({}) to clique {p}", others.join(", ")),
            None => writeln!(out, "; root"),
        };
    }
    for u in &plan.updates {
        update(&mut out, s, u);
    }
    for &x in &plan.unused {
        let _ = writeln!(out, "unused {}", s.sym(x).name);
    }
    let iterated = if lvmc_derive::iterated(plan) {
        ", blocks iterated"
    } else {
        ""
    };
    let _ = writeln!(out, "objective {:?}{iterated}", plan.objective);
    out
}

fn update(out: &mut String, s: &Store, u: &Update) {
    let show = |t: Term| term(s, t, Style::Unicode);
    let targets: Vec<String> = u.targets.iter().map(|&t| show(t)).collect();
    let over: Vec<String> = u.ranges.iter().map(|&i: &IxId| s.ix(i).name.clone()).collect();
    let over = if over.is_empty() {
        String::new()
    } else {
        format!(" for each {}", over.join(", "))
    };
    let uses: Vec<&str> = u.uses.iter().map(|&x| s.sym(x).name.as_str()).collect();
    let uses = if uses.is_empty() {
        String::new()
    } else {
        format!(", given {}", uses.join(", "))
    };
    let _ = writeln!(out, "update {}{over} by {}{uses}", targets.join(", "), u.rule);
    match &u.solution {
        Solution::Explicit(values) => {
            for (t, &v) in targets.iter().zip(values) {
                let _ = writeln!(out, "  {t} = {}", show(v));
            }
        }
        Solution::Linear { h, g, .. } => {
            let _ = writeln!(out, "  H = {}", show(*h));
            let _ = writeln!(out, "  g = {}", show(*g));
            let _ = writeln!(out, "  solution H⁻¹ g");
        }
        Solution::Newton { parts } => {
            for &(c, f) in parts {
                let _ = writeln!(out, "  + ({}) · ({})", show(c), show(f));
            }
        }
        Solution::Gradient { blocks } => {
            for (target, block) in targets.iter().zip(blocks) {
                let _ = writeln!(out, "  score of {target}: {}", show(block.score));
                if let Some((g, h)) = block.prior {
                    let _ = writeln!(out, "  prior gradient {}, curvature {}", show(g), show(h));
                }
            }
        }
        Solution::Ascent {
            predictor,
            score,
            curvature,
            designs,
            priors,
            ..
        } => {
            let _ = writeln!(out, "  predictor {}", show(*predictor));
            let _ = writeln!(out, "  score {}", show(*score));
            let _ = writeln!(out, "  curvature {}", show(*curvature));
            for (d, prior) in designs.iter().zip(priors) {
                let _ = writeln!(out, "  design {}", show(*d));
                if let Some((g, h)) = prior {
                    let _ = writeln!(out, "  prior gradient {}, curvature {}", show(*g), show(*h));
                }
            }
        }
    }
    let _ = writeln!(out, "  {}", condition(s, &u.condition, Style::Unicode));
}
