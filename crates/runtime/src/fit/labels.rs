//! Labels that the model does not tell apart, in a stated order: the most probable first.
//!
//! A permutation of the labels, along every axis that runs over them, leaves the objective as it is; `lvmc_derive::labels`
//! proves that of the model's terms. The probabilities are the parameter that holds them, where one does, else the mean
//! over the rows of the posterior's. Where two are equal, the label whose parameters are smaller goes first, compared
//! number by number.

use crate::dataset::Dataset;
use crate::engine::{Compiled, Engine, Values};
use lvmc_loops::lowered::{LabelSlot, Lowered};

/// Probabilities closer than this share are equal: they differ by rounding from start to start.
const EQUAL: f64 = 1e-7;

/// Brings the labels of every latent into their order.
pub fn arrange(compiled: Compiled<'_>, data: &Dataset, threads: usize, values: &mut Values) {
    let lowered = compiled.lowered;
    for slot in &lowered.labels {
        let weights = match slot.weights {
            Some(p) => values[p].clone(),
            None => shares(compiled, data, threads, values, slot),
        };
        let order = order(lowered, slot, &weights, values);
        permute(lowered, slot, &order, values);
    }
}

/// What the order of each latent's labels goes by, by the latent's name.
#[must_use]
pub fn described(lowered: &Lowered) -> Vec<(String, String)> {
    let mut out = vec![];
    for slot in &lowered.labels {
        let by = match slot.weights {
            Some(p) => format!("decreasing {}", lowered.params[p].name),
            None => "decreasing mean posterior probability".to_owned(),
        };
        out.extend(
            slot.latents
                .iter()
                .map(|&l| (lowered.latents[l].name.clone(), by.clone())),
        );
    }
    out
}

/// Weighted sums over the rows of the posterior probability of each label.
fn shares(compiled: Compiled<'_>, data: &Dataset, threads: usize, values: &Values, slot: &LabelSlot) -> Vec<f64> {
    let mut engine = Engine::new(compiled, data, threads);
    engine.set_params(values);
    let posteriors = engine.posterior();
    let mut out = vec![0.0; slot.size];
    for marginals in slot.latents.iter().filter_map(|&l| posteriors.marginals.get(l)) {
        for (row, r) in marginals.chunks(slot.size.max(1)).enumerate() {
            let w = data.weight_of(row);
            out.iter_mut().zip(r).for_each(|(o, r)| *o += w * r);
        }
    }
    out
}

/// Old labels in their new order.
fn order(lowered: &Lowered, slot: &LabelSlot, weights: &[f64], values: &Values) -> Vec<usize> {
    let mut order: Vec<usize> = (0..slot.size).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    // runs of equal weights: by their parameters, those without labels on several axes
    let total: f64 = weights.iter().sum();
    let close = |a: usize, b: usize| weights[a] - weights[b] <= EQUAL * total;
    let mut first = 0;
    while first < order.len() {
        let mut last = first + 1;
        while last < order.len() && close(order[last - 1], order[last]) {
            last += 1;
        }
        order[first..last].sort_by(|&a, &b| by_parameters(lowered, slot, values, a, b));
        first = last;
    }
    order
}

fn by_parameters(lowered: &Lowered, slot: &LabelSlot, values: &Values, a: usize, b: usize) -> std::cmp::Ordering {
    for &(p, axis) in &slot.axes {
        let several = slot.axes.iter().filter(|x| x.0 == p).count() > 1;
        if several || slot.weights == Some(p) {
            continue;
        }
        let (outer, inner) = around(&lowered.params[p].shape, axis);
        for o in 0..outer {
            for i in 0..inner {
                let at = |k: usize| values[p][(o * slot.size + k) * inner + i];
                match at(a).total_cmp(&at(b)) {
                    std::cmp::Ordering::Equal => {}
                    different => return different,
                }
            }
        }
    }
    a.cmp(&b)
}

/// How many elements lie before and after an axis.
fn around(shape: &[usize], axis: usize) -> (usize, usize) {
    (shape[..axis].iter().product(), shape[axis + 1..].iter().product())
}

/// New label k is old label `order[k]`, along every axis of the slot.
pub fn permute(lowered: &Lowered, slot: &LabelSlot, order: &[usize], values: &mut Values) {
    for &(p, axis) in &slot.axes {
        let (outer, inner) = around(&lowered.params[p].shape, axis);
        let old = values[p].clone();
        for o in 0..outer {
            for (k, &from) in order.iter().enumerate() {
                let (to, from) = ((o * slot.size + k) * inner, (o * slot.size + from) * inner);
                values[p][to..to + inner].copy_from_slice(&old[from..from + inner]);
            }
        }
    }
}
