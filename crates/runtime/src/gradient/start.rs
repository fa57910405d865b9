//! Where gradients start: weights as their layers ask, other parameters near the middle of their supports.

use super::problem::Problem;
use crate::random::{Purpose, keyed, uniform};
use lvmc_derive::guided::coordinate;
use lvmc_model::graph::{ModelGraph, Start, Weight};
use lvmc_term::{Store, Support};

/// Free coordinates of every parameter, in the order of the derivation.
#[must_use]
pub fn start(graph: &ModelGraph, problem: &Problem, seed: u64) -> Vec<Vec<f64>> {
    let s = &problem.guided.store;
    let mut out = vec![];
    for (i, f) in problem.written.free.iter().enumerate() {
        let sym = s.sym(f.param);
        let shape: Vec<usize> = sym
            .shape
            .iter()
            .map(|n| problem.known.size(s, n).unwrap_or(0))
            .collect();
        let len: usize = shape.iter().product();
        let mut rng = keyed(seed, Purpose::Start, i as u64);
        let mut spread =
            |bound: f64| -> Vec<f64> { (0..len).map(|_| bound * (2.0 * uniform(&mut rng) - 1.0)).collect() };
        let weight = graph
            .nets
            .iter()
            .flat_map(|n| &n.weights)
            .find(|w| graph.var(w.var).sym == f.param);
        out.push(match weight {
            Some(w) => from_layer(w, s, problem, len, &mut spread),
            None if f.is_itself() && sym.support != Support::Real => natural(&sym.support, &shape),
            // members of a family must differ to be told apart
            None if f.is_itself() && sym.family > 0 => spread(1.0),
            None => match &sym.support {
                // what several columns share must differ to be told apart
                Support::Real if shape.len() >= 2 => spread(1.0 / (shape[shape.len() - 1].max(1) as f64).sqrt()),
                Support::Real => vec![0.0; len],
                Support::Unit => vec![0.0; len],
                // uniform shares; the identity
                Support::Simplex | Support::Cov => vec![0.0; len],
                support => vec![coordinate(support, 1.0); len],
            },
        });
    }
    out
}

/// The middle of a support: even shares, the identity, one half, 1.
fn natural(support: &Support, shape: &[usize]) -> Vec<f64> {
    let len: usize = shape.iter().product();
    let n = shape.last().copied().unwrap_or(1).max(1);
    match support {
        Support::Unit => vec![0.5; len],
        Support::Simplex => vec![1.0 / n as f64; len],
        Support::Cov => (0..len).map(|i| f64::from(u8::from(i / n % n == i % n))).collect(),
        _ => vec![1.0; len],
    }
}

fn from_layer(
    w: &Weight,
    s: &Store,
    problem: &Problem,
    len: usize,
    spread: &mut impl FnMut(f64) -> Vec<f64>,
) -> Vec<f64> {
    match &w.start {
        Start::Uniform { fan_in } => {
            let n = problem.known.size(s, fan_in).unwrap_or(1).max(1);
            spread(1.0 / (n as f64).sqrt())
        }
        Start::Zero => vec![0.0; len],
        Start::One => vec![1.0; len],
        // a uniform of that standard deviation
        Start::Normal { sd } => spread(sd * 3f64.sqrt()),
    }
}
