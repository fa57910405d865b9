//! Values for the reference evaluator: sizes, constants and parameters of a model.

use lvmc_model::graph::ModelGraph;
use lvmc_term::{Array, DimId, Env, SymId};
use std::collections::BTreeMap;

/// An environment with the model's sizes and those constants that can be computed from them.
#[must_use]
pub fn environment<'a>(graph: &ModelGraph, sizes: &BTreeMap<DimId, usize>) -> Env<'a> {
    let mut env = Env::new();
    for (&d, &n) in sizes {
        env.set_dim(d, n);
    }
    for (sym, value) in constants(graph, sizes) {
        env.set(sym, value);
    }
    env
}

/// The values of the model's constants.
#[must_use]
pub fn constants(graph: &ModelGraph, sizes: &BTreeMap<DimId, usize>) -> Vec<(SymId, Array)> {
    let mut env = Env::new();
    for (&d, &n) in sizes {
        env.set_dim(d, n);
    }
    let mut out: Vec<(SymId, Array)> = Vec::new();
    // constants may refer to each other in any order: as many passes as there are constants
    for _ in 0..graph.consts.len() {
        let before = out.len();
        for (var, term) in &graph.consts {
            let sym = graph.var(*var).sym;
            if out.iter().any(|(s, _)| *s == sym) {
                continue;
            }
            if let Some(value) = term.and_then(|t| graph.store.eval(t, &env).ok()) {
                env.set(sym, value.clone());
                out.push((sym, value));
            }
        }
        if out.len() == before {
            break;
        }
    }
    out
}
