//! A fit by gradients in its final form.

use super::exact::natural;
use super::settings::{Aim, Optimiser, Settings};
use super::train::Ended;
use super::{Fitted, data::Data};
use crate::bind::Binding;
use crate::dataset::labels;
use crate::result::{FORMAT, Fit, Parameter, Seconds};
use lvmc_dense::ir::Precision;
use lvmc_derive::guided::Objective;
use lvmc_model::graph::ModelGraph;
use lvmc_term::{Array, Support, SymId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far below its start (relative) a finished objective is no accident of its draws.
const WORSE: f64 = 0.1;

/// How a fit by gradients was made, and what its objective is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Training {
    /// `evidence lower bound`, `log-likelihood`, `log-likelihood at a point`.
    pub objective: String,
    /// What was maximised, as an option: `elbo`, `simple`.
    pub aim: String,
    /// The optimiser, as an option.
    pub optimizer: String,
    /// Rows of a batch.
    pub batch: usize,
    /// Epochs that were run.
    pub epochs: usize,
    /// Steps that were made.
    pub steps: u64,
    /// The standard error of the objective's draws, of the sum over rows; 0 for an exact one.
    pub error: f64,
    /// Rows held out.
    pub held_rows: usize,
    /// Their mean objective.
    pub held: Option<f64>,
    /// The standard error of its draws.
    pub held_error: Option<f64>,
    /// The mean objective of each epoch's batches.
    pub trace: Vec<f64>,
    /// The held-out score of each epoch.
    pub held_trace: Vec<f64>,
    /// `f32` or `f64`.
    pub precision: String,
    /// Weights of nets: how many numbers.
    pub weights: usize,
    /// What the guide reads where a cell is missing, by data variable.
    #[serde(default)]
    pub centres: BTreeMap<String, Vec<f64>>,
}

/// Values of a parameter from its free coordinates.
#[must_use]
pub fn constrained(support: &Support, shape: &[usize], free: &[f64]) -> Vec<f64> {
    match support {
        Support::Positive | Support::NonNegative => free.iter().map(|x| x.exp()).collect(),
        Support::Unit => free.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        Support::Simplex => {
            let n = shape.last().copied().unwrap_or(1).max(1);
            free.chunks(n)
                .flat_map(|part| {
                    let top = part.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = part.iter().map(|x| (x - top).exp()).sum();
                    part.iter().map(move |x| (x - top).exp() / sum).collect::<Vec<_>>()
                })
                .collect()
        }
        Support::Cov => {
            let n = shape.last().copied().unwrap_or(1).max(1);
            let mut out = vec![];
            for u in free.chunks(n * n) {
                let l = Array::from_fn(&[n, n], |k| match (k / n).cmp(&(k % n)) {
                    std::cmp::Ordering::Greater => u[k],
                    std::cmp::Ordering::Equal => u[k].exp(),
                    std::cmp::Ordering::Less => 0.0,
                });
                out.extend(l.matmul(&l.transposed()).data);
            }
            out
        }
        _ => free.to_vec(),
    }
}

/// The coordinates of a parameter's values.
#[must_use]
pub fn free(support: &Support, shape: &[usize], values: &[f64]) -> Vec<f64> {
    if *support == Support::Cov {
        let n = shape.last().copied().unwrap_or(1).max(1);
        return values
            .chunks(n * n)
            .flat_map(|m| match Array::matrix(n, n, m.to_vec()).cholesky() {
                Some(mut l) => {
                    (0..n).for_each(|i| l.data[i * n + i] = l.data[i * n + i].ln());
                    l.data
                }
                None => vec![f64::NAN; n * n],
            })
            .collect();
    }
    values
        .iter()
        .map(|&x| lvmc_derive::guided::coordinate(support, x))
        .collect()
}

fn counted_epochs(n: usize) -> String {
    if n == 1 {
        "1 epoch".into()
    } else {
        format!("{n} epochs")
    }
}

/// Puts a fit into its final form.
#[must_use]
pub fn summarise(
    graph: &ModelGraph,
    binding: &Binding,
    data: &Data,
    fitted: &Fitted,
    settings: &Settings,
    set: Vec<(String, f64)>,
    centres: BTreeMap<String, Vec<f64>>,
    seconds: Seconds,
) -> Fit {
    let p = &fitted.problem;
    let s = &p.guided.store;
    let mut parameters = vec![];
    let (mut weights, mut free_parameters) = (0, 0);
    for (f, values) in p.written.free.iter().zip(&fitted.params) {
        let sym = s.sym(f.param);
        let shape: Vec<usize> = sym.shape.iter().map(|n| p.known.size(s, n).unwrap_or(0)).collect();
        let net = graph
            .nets
            .iter()
            .any(|n| n.weights.iter().any(|w| graph.var(w.var).sym == f.param));
        if net {
            weights += values.len();
        }
        free_parameters += match sym.support {
            Support::Simplex => values.len() - values.len() / shape.last().copied().unwrap_or(1).max(1),
            Support::Cov => {
                let n = shape.last().copied().unwrap_or(1).max(1);
                values.len() / (n * n) * (n * (n + 1) / 2)
            }
            _ => values.len(),
        };
        parameters.push(Parameter {
            name: sym.name.clone(),
            axes: shape
                .iter()
                .map(|&n| (1..=n).map(|i| i.to_string()).collect())
                .collect(),
            values: natural(f, &sym.support, &shape, values),
            shape,
            family: sym.family,
            errors: None,
        });
    }
    let objective = p.guided.objective;
    let sum = fitted.score.sum;
    let finite = |x: f64| x.is_finite().then_some(x);
    let mut warnings = vec![];
    if fitted.ended == Ended::Diverged {
        warnings.push(format!(
            "the fit diverged even with a learning rate {} times smaller, and ended at the last finite state: standardise \
             the columns, clip gradients (clip = 1), or begin smaller (optimizer = adam(lr = {:e}))",
            (1.0 / fitted.state.factor).round(),
            settings.rate * fitted.state.factor * 0.1
        ));
    }
    // an objective whose weights rise may fall; any other ends above its start
    let rises = matches!(settings.aim, Aim::Beta { .. });
    if let (Some(start), Some(&last), false) = (fitted.state.start, fitted.state.trace.last(), rises)
        && last < start - WORSE * (1.0 + start.abs())
    {
        warnings.push(format!(
            "the objective fell from {start:.4} a row to {last:.4}: the learning rate {:.1e} is too large; begin smaller \
             (optimizer = adam(lr = 1e-3)) or clip gradients (clip = 1)",
            settings.rate * fitted.state.factor
        ));
    }
    let mut remarks = binding.remarks.clone();
    remarks.extend(p.guided.masks.iter().filter_map(|m| read_instead(graph, m.of)));
    if fitted.state.rescues > 0 && fitted.ended != Ended::Diverged {
        remarks.push(format!(
            "steps failed {} times (the objective was not finite); the learning rate is now {:.1e}",
            fitted.state.rescues,
            settings.rate * fitted.state.factor
        ));
    }
    if fitted.ended == Ended::Interrupted {
        let epochs = counted_epochs(fitted.state.trace.len());
        remarks.push(format!(
            "interrupted after {epochs} of {}; --resume goes on",
            settings.epochs
        ));
    }
    if fitted.ended == Ended::Stopped
        && let Some((_, epoch)) = fitted.state.best
    {
        remarks.push(format!(
            "stopped early: the held-out score was best after epoch {epoch}"
        ));
    }
    Fit {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        model: graph.name.clone(),
        source_name: graph.source.name.to_string(),
        source: graph.source.text.to_string(),
        set,
        sizes: binding
            .sizes
            .iter()
            .map(|(&d, &n)| (graph.store.dim(d).name.clone(), n))
            .collect(),
        binding: binding.describe(),
        weights: None,
        labels: labels(binding),
        moments: BTreeMap::new(),
        parameters,
        effects: vec![],
        rows: data.rows,
        weight_sum: fitted.score.weight,
        log_likelihood: finite(sum).filter(|_| objective == Objective::LogLikelihood),
        elbo: finite(sum).filter(|_| objective == Objective::Elbo),
        objective: sum,
        penalised: !p.guided.prior.is_empty(),
        bound: None,
        free_parameters,
        aic: None,
        bic: None,
        iterations: usize::try_from(fitted.state.step).unwrap_or(usize::MAX),
        converged: matches!(fitted.ended, Ended::Finished | Ended::Stopped),
        starts: 1,
        reached: 1,
        restarts: vec![],
        trace: fitted.state.trace.iter().copied().filter(|x| x.is_finite()).collect(),
        warnings,
        remarks,
        label_order: BTreeMap::new(),
        error_remarks: vec![],
        holdout: None,
        selection: None,
        seed: settings.seed,
        seconds,
        training: Some(Training {
            objective: match objective {
                Objective::Elbo => "evidence lower bound",
                Objective::LogLikelihood => "log-likelihood",
                Objective::Point => "log-likelihood at a point",
            }
            .into(),
            aim: aim_text(settings.aim),
            optimizer: optimiser_text(settings),
            batch: settings.batch,
            epochs: fitted.state.trace.len(),
            steps: fitted.state.step,
            error: fitted.score.error,
            held_rows: fitted.held_rows,
            held: fitted.held.map(|h| h.mean()),
            held_error: fitted.held.map(|h| h.error / h.weight),
            trace: fitted.state.trace.clone(),
            held_trace: fitted.state.held.clone(),
            precision: match settings.precision {
                Precision::F32 => "f32",
                Precision::F64 => "f64",
            }
            .into(),
            weights,
            centres,
        }),
    }
}

/// What stands in for a missing cell, where a guide reads the variable.
fn read_instead(graph: &ModelGraph, of: SymId) -> Option<String> {
    let sym = graph.store.sym(of);
    let mut guide = graph.guide.iter().flat_map(|g| &g.factors);
    let read = guide.any(|f| f.dist.mentions(&graph.store, of));
    let stands = match sym.support {
        Support::Category(_) => "the most frequent value",
        _ => "the mean of its column",
    };
    read.then(|| {
        format!(
            "where a cell of `{}` is missing the bound leaves it out, and the guide reads {stands}",
            sym.name
        )
    })
}

fn aim_text(aim: Aim) -> String {
    match aim {
        Aim::Elbo => "elbo".into(),
        Aim::Importance { draws } => format!("importance(draws = {draws})"),
        Aim::Beta { beta, warmup } => format!("beta(beta = {beta}, warmup = {warmup})"),
        Aim::Simple => "simple".into(),
    }
}

fn optimiser_text(s: &Settings) -> String {
    match s.optimiser {
        Optimiser::Adam { decay, .. } if decay > 0.0 => format!("adamw(lr = {}, decay = {decay})", s.rate),
        Optimiser::Adam { .. } => format!("adam(lr = {})", s.rate),
        Optimiser::Sgd { momentum, .. } => format!("sgd(lr = {}, momentum = {momentum})", s.rate),
        Optimiser::Lbfgs { memory } => format!("lbfgs(memory = {memory})"),
    }
}
