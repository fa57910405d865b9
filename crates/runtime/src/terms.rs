//! Values for the reference evaluator: sizes, constants and parameters of a model.

use lvmc_model::graph::ModelGraph;
use lvmc_term::{Array, DimId, Env, IxId, SymId, Term};
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
    in_any_order(graph, sizes, |_, term, env| graph.store.eval(term, env).ok())
}

/// The values of the model's constants, families among them: `const beta[t in 1..T] = …` is an array of T.
#[must_use]
pub fn tabulated(graph: &ModelGraph, sizes: &BTreeMap<DimId, usize>) -> Vec<(SymId, Array)> {
    in_any_order(graph, sizes, |ranges, term, env| table(graph, ranges, term, env))
}

/// Constants may refer to each other in any order: as many passes as there are constants.
fn in_any_order(
    graph: &ModelGraph,
    sizes: &BTreeMap<DimId, usize>,
    value: impl Fn(&[IxId], Term, &mut Env<'_>) -> Option<Array>,
) -> Vec<(SymId, Array)> {
    let mut env = Env::new();
    for (&d, &n) in sizes {
        env.set_dim(d, n);
    }
    let mut out: Vec<(SymId, Array)> = vec![];
    for _ in 0..graph.consts.len() {
        let before = out.len();
        for (var, term) in &graph.consts {
            let var = graph.var(*var);
            let known = out.iter().any(|(s, _)| *s == var.sym);
            if let (false, Some(term)) = (known, *term)
                && let Some(found) = value(&var.ranges, term, &mut env)
            {
                env.set(var.sym, found.clone());
                out.push((var.sym, found));
            }
        }
        if out.len() == before {
            break;
        }
    }
    out
}

/// The term at every position of its indices, the last one fastest.
fn table(graph: &ModelGraph, ranges: &[IxId], term: Term, env: &mut Env<'_>) -> Option<Array> {
    let Some((&ix, rest)) = ranges.split_first() else {
        return graph.store.eval(term, env).ok();
    };
    let n = env.size(&graph.store, &graph.store.ix(ix).size).ok()?;
    let mut out = Array {
        shape: vec![n],
        data: vec![],
    };
    for i in 0..n {
        env.set_index(ix, i);
        let part = table(graph, rest, term, env)?;
        if i == 0 {
            out.shape.extend(&part.shape);
        }
        out.data.extend(part.data);
    }
    Some(out)
}
