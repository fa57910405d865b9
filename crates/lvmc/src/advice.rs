//! Which edit would restore a closed form: priors are exchanged one by one, and the derivation is tried again.
//!
//! No pair of distributions is looked up: a prior is conjugate here if the rules find a closed form with it.

use lvmc_derive::Plan;
use lvmc_derive::plan::Solution;
use lvmc_families::{Event, Family, Signature, registry::FAMILIES};
use lvmc_model::ModelGraph;
use lvmc_model::graph::{Dist, Plate};
use lvmc_report::words;
use lvmc_term::{Shape, Sym, SymId, SymKind, Term};

/// Edits that give a parameter a closed form, as text to type; empty where its prior is not what broke it.
#[must_use]
pub fn edits(graph: &ModelGraph, param: SymId) -> Vec<String> {
    let Some(at) = graph
        .factors
        .iter()
        .position(|f| graph.var(f.var).sym == param && matches!(graph.plates[f.plate.index()], Plate::Global))
    else {
        return vec![];
    };
    let name = &graph.store.sym(param).name;
    let mut out = vec![];
    for family in FAMILIES.iter().copied().filter(|f| f.is_proper()) {
        for (number, signature) in family.signatures().iter().enumerate() {
            if signature.positional < signature.args.len() {
                continue;
            }
            let Some(changed) = with_prior(graph, at, family, number, signature) else {
                continue;
            };
            if closed(&changed, param) {
                let args: Vec<&str> = signature.args.iter().map(|a| a.name).collect();
                out.push(format!("{name} ~ {}({})", family.name(), args.join(", ")));
                break;
            }
        }
    }
    let mut without = graph.clone();
    let line = graph.source.line(graph.factors[at].span.start);
    without.factors.remove(at);
    if closed(&without, param) {
        out.push(format!("{name} without its prior, line {line}"));
    }
    out
}

/// The model with another prior, its arguments open.
fn with_prior(
    graph: &ModelGraph,
    at: usize,
    family: &'static dyn Family,
    number: usize,
    signature: &Signature,
) -> Option<ModelGraph> {
    let mut changed = graph.clone();
    let store = &mut changed.store;
    let value = changed.factors[at].value;
    let shape: Shape = store.shape(value).clone();
    let rank = match signature.event {
        Event::Scalar => 0,
        Event::Vector => 1,
        Event::Matrix => 2,
    };
    // a scalar family serves every element of an array
    let elementwise = rank == 0 && !shape.is_empty();
    if rank != shape.len() && !elementwise {
        return None;
    }
    let mut args: Vec<Term> = vec![];
    for arg in signature.args {
        if arg.rank > rank {
            return None;
        }
        let own: Shape = shape.iter().take(arg.rank).cloned().collect();
        let sym = store.add_sym(Sym {
            name: arg.name.to_owned(),
            kind: SymKind::Const,
            shape: own,
            family: 0,
            per_row: false,
            support: (arg.support)(),
        });
        let term = store.var(sym);
        args.push(if elementwise {
            store.fill(term, shape.clone())
        } else {
            term
        });
    }
    let support = family.support(store, number, &args);
    let wanted = &store.sym(graph.var(graph.factors[at].var).sym).support;
    if std::mem::discriminant(&support) != std::mem::discriminant(wanted) {
        return None;
    }
    let span = changed.factors[at].span;
    changed.factors[at].dist = Dist::Family {
        family,
        signature: number,
        args,
        span,
    };
    changed.factors[at].elementwise = elementwise;
    Some(changed)
}

fn closed(graph: &ModelGraph, param: SymId) -> bool {
    let Ok(plan) = lvmc_derive::derive(graph) else {
        return false;
    };
    is_closed(&plan, param)
}

/// True where a parameter's update is an expression.
#[must_use]
pub fn is_closed(plan: &Plan, param: SymId) -> bool {
    plan.updates.iter().any(|u| {
        words::targets(&plan.store, u).contains(&param)
            && matches!(u.solution, Solution::Explicit(_) | Solution::Linear { .. })
    })
}
