//! The result of a fit: what reports show, and what predictions need.

use crate::bind::{Binding, Labels};
use crate::dataset::{Dataset, Moments, labels};
use crate::fit::{Errors, Fitted, Settings};
use crate::holdout::Holdout;
use crate::selection::Selection;
use lvmc_base::Exit;
use lvmc_loops::lowered::{GroupSlot, Lowered, ParamSlot};
use lvmc_model::graph::{DimSource, ModelGraph};
use lvmc_term::{Size, Support};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The format of a fit file; readers refuse others.
pub const FORMAT: u32 = 1;

/// A fitted parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// As the user wrote it.
    pub name: String,
    /// Family sizes first, then the type's own; empty for a scalar.
    pub shape: Vec<usize>,
    /// How many leading axes are family indices.
    pub family: usize,
    /// Row-major.
    pub values: Vec<f64>,
    /// A name for every position of every axis: columns, categories, or numbers from 1.
    pub axes: Vec<Vec<String>>,
    /// Standard errors, as the values; `None` where there is none, or where they were not computed.
    #[serde(default)]
    pub errors: Option<Vec<Option<f64>>>,
}

impl Parameter {
    /// As nested arrays.
    #[must_use]
    pub fn nested(&self) -> serde_json::Value {
        nested(&self.shape, &self.values)
    }
    /// Standard errors as nested arrays.
    #[must_use]
    pub fn nested_errors(&self) -> Option<serde_json::Value> {
        self.errors.as_ref().map(|e| nested(&self.shape, e))
    }
}

fn nested<T: Serialize>(shape: &[usize], values: &[T]) -> serde_json::Value {
    match shape {
        [] => values.first().map_or(serde_json::Value::Null, |x| serde_json::json!(x)),
        [_, rest @ ..] => {
            let step = rest.iter().product::<usize>().max(1);
            values.chunks(step).map(|v| nested(rest, v)).collect()
        }
    }
}

/// The posterior of the members of a global latent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// As the user wrote it.
    pub name: String,
    /// The given category that picks a member, as the user wrote it; `None` where there is one member.
    pub by: Option<String>,
    /// The label of each member.
    pub groups: Vec<String>,
    /// Elements of a member.
    pub elements: usize,
    /// Posterior means, `[member][element]`.
    pub mean: Vec<f64>,
    /// Posterior standard deviations, likewise.
    pub sd: Vec<f64>,
}

impl Effect {
    /// The name of an element: `u`, or `u_1`, `u_2`, ….
    #[must_use]
    pub fn element(&self, i: usize) -> String {
        if self.elements == 1 {
            self.name.clone()
        } else {
            format!("{}_{}", self.name, i + 1)
        }
    }
}

/// How long the stages took, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Seconds {
    /// Reading and binding data.
    pub read: f64,
    /// Text to native code.
    pub compile: f64,
    /// Fitting.
    pub fit: f64,
    /// Standard errors.
    #[serde(default)]
    pub errors: f64,
}

/// A fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of lvmc that wrote it.
    pub version: String,
    /// The model's name.
    pub model: String,
    /// The name of the model's file.
    pub source_name: String,
    /// The model's text.
    pub source: String,
    /// `--set` values, in order.
    pub set: Vec<(String, f64)>,
    /// Every size, by name.
    pub sizes: BTreeMap<String, usize>,
    /// Columns of every variable.
    pub binding: Vec<(String, Vec<String>)>,
    /// The column of weights.
    pub weights: Option<String>,
    /// Labels of categories, by variable.
    pub labels: BTreeMap<String, Labels>,
    /// Centres and scales of columns, by variable.
    pub moments: BTreeMap<String, Moments>,
    /// The parameters.
    pub parameters: Vec<Parameter>,
    /// Posteriors of the global latents.
    #[serde(default)]
    pub effects: Vec<Effect>,
    /// Rows of the data.
    pub rows: usize,
    /// Sum of their weights.
    pub weight_sum: f64,
    /// Of the observed data, natural logarithm; `None` where it cannot be computed, or only bounded.
    pub log_likelihood: Option<f64>,
    /// The evidence bound, where there is one.
    pub elbo: Option<f64>,
    /// What was maximised: the log-likelihood or its bound, plus the log prior density of the parameters.
    pub objective: f64,
    /// The objective includes a prior.
    pub penalised: bool,
    /// The factorisation of q, where the bound is not the log-likelihood: `q(z) q(s)`.
    #[serde(default)]
    pub bound: Option<String>,
    /// Degrees of freedom.
    pub free_parameters: usize,
    /// Akaike's criterion.
    pub aic: Option<f64>,
    /// The Bayesian information criterion, with the sum of the weights as the number of rows.
    pub bic: Option<f64>,
    /// EM iterations of the best run.
    pub iterations: usize,
    /// Nothing is left to gain.
    pub converged: bool,
    /// Starts made.
    pub starts: usize,
    /// Starts that reached the best.
    pub reached: usize,
    /// Objectives of the finished starts, best first.
    pub restarts: Vec<f64>,
    /// The objective after every iteration of the best run.
    pub trace: Vec<f64>,
    /// What makes the result suspect.
    pub warnings: Vec<String>,
    /// What is worth a look.
    pub remarks: Vec<String>,
    /// What the order of a finite latent's labels goes by, where they may be permuted.
    #[serde(default)]
    pub label_order: BTreeMap<String, String>,
    /// What is said of the standard errors.
    #[serde(default)]
    pub error_remarks: Vec<String>,
    /// How it does on rows held out.
    #[serde(default)]
    pub holdout: Option<Holdout>,
    /// The fits that it was chosen from.
    #[serde(default)]
    pub selection: Option<Selection>,
    /// The seed.
    pub seed: u64,
    /// Time of each stage.
    pub seconds: Seconds,
    /// Of a fit by gradients.
    #[serde(default)]
    pub training: Option<crate::gradient::outcome::Training>,
}

impl Fit {
    /// The exit code of the command line: suspect where there are warnings.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.warnings.is_empty() {
            Exit::Fine
        } else {
            Exit::Suspect
        }
    }
    /// A parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }
    /// Parameters in the order of a lowered model.
    #[must_use]
    pub fn values(&self, lowered: &Lowered) -> Option<Vec<Vec<f64>>> {
        lowered
            .params
            .iter()
            .map(|slot| {
                self.parameter(&slot.name)
                    .filter(|p| p.shape == slot.shape)
                    .map(|p| p.values.clone())
            })
            .collect()
    }
}

/// What of a fit is known outside the runtime.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// `--set` values.
    pub set: Vec<(String, f64)>,
    /// The name of the column of weights.
    pub weights: Option<String>,
    /// Time of each stage.
    pub seconds: Seconds,
    /// Standard errors.
    pub errors: Option<Errors>,
    /// How it does on rows held out.
    pub holdout: Option<Holdout>,
}

/// Puts a fit into its final form.
#[must_use]
pub fn summarise(
    graph: &ModelGraph,
    lowered: &Lowered,
    binding: &Binding,
    data: &Dataset,
    fitted: &Fitted,
    settings: &Settings,
    around: Circumstances,
) -> Fit {
    let out = &fitted.outcome;
    let flat: usize = lowered
        .rotations
        .iter()
        .map(lvmc_loops::lowered::RotationSlot::flat)
        .sum();
    let free = lowered
        .params
        .iter()
        .map(|p| p.free)
        .sum::<usize>()
        .saturating_sub(flat);
    let mut remarks = binding.remarks.clone();
    remarks.extend(
        lowered
            .rotations
            .iter()
            .filter_map(|r| crate::fit::rotation_remark(lowered, r)),
    );
    let finite = |x: f64| x.is_finite().then_some(x);
    // a bound is no log-likelihood, and criteria that are made from one have no value
    let tight = lowered.bound.is_none();
    let elbo = finite(out.log_likelihood);
    let log_likelihood = elbo.filter(|_| tight);
    #[allow(clippy::cast_precision_loss)]
    let k = free as f64;
    let parameters = lowered
        .params
        .iter()
        .zip(&out.values)
        .enumerate()
        .map(|(i, (slot, values))| Parameter {
            name: slot.name.clone(),
            shape: slot.shape.clone(),
            family: slot.family,
            values: values.clone(),
            axes: axes(graph, binding, slot),
            errors: around.errors.as_ref().and_then(|e| e.of.get(i).cloned()),
        })
        .collect();
    Fit {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        model: graph.name.clone(),
        source_name: graph.source.name.to_string(),
        source: graph.source.text.to_string(),
        set: around.set,
        sizes: binding
            .sizes
            .iter()
            .map(|(&d, &n)| (graph.store.dim(d).name.clone(), n))
            .collect(),
        binding: binding.describe(),
        weights: around.weights,
        labels: labels(binding),
        moments: data.moments.clone(),
        parameters,
        effects: effects(graph, lowered, binding, fitted),
        rows: data.rows,
        weight_sum: data.weight_sum,
        log_likelihood,
        elbo: elbo.filter(|_| {
            !lowered.moments.is_empty() || !lowered.groups.is_empty() || !lowered.latents.iter().all(|l| l.observed)
        }),
        objective: out.objective,
        penalised: lowered.penalised,
        bound: lowered.bound.clone(),
        free_parameters: free,
        aic: log_likelihood.map(|l| 2.0 * k - 2.0 * l),
        bic: log_likelihood.map(|l| k * data.weight_sum.ln() - 2.0 * l),
        iterations: out.iterations,
        converged: out.converged,
        starts: fitted.starts,
        reached: fitted.reached,
        restarts: fitted.restarts.iter().copied().filter(|x| x.is_finite()).collect(),
        trace: out.trace.iter().copied().filter(|x| x.is_finite()).collect(),
        warnings: fitted.suspicions.iter().map(crate::fit::Suspicion::text).collect(),
        remarks,
        label_order: if settings.tol > 0.0 && settings.init.is_none() {
            crate::fit::label_order(lowered).into_iter().collect()
        } else {
            BTreeMap::new()
        },
        error_remarks: around.errors.map(|e| e.remarks).unwrap_or_default(),
        holdout: around.holdout,
        selection: None,
        seed: settings.seed,
        seconds: around.seconds,
        training: None,
    }
}

/// The members' posteriors with their labels.
fn effects(graph: &ModelGraph, lowered: &Lowered, binding: &Binding, fitted: &Fitted) -> Vec<Effect> {
    let effect = |(slot, [mean, variance]): (&GroupSlot, &[Vec<f64>; 2])| {
        let by = slot.by.and_then(|b| binding.var(b));
        let labels = by.and_then(|b| b.labels.clone()).unwrap_or_default();
        Effect {
            name: slot.name.clone(),
            by: slot.by.map(|b| graph.store.sym(b).name.clone()),
            groups: (0..slot.members).map(|i| labels.show(i)).collect(),
            elements: slot.cols,
            mean: mean.clone(),
            sd: variance.iter().map(|v| v.max(0.0).sqrt()).collect(),
        }
    };
    lowered.groups.iter().zip(&fitted.effects).map(effect).collect()
}

/// A name for every position of every axis of a parameter.
fn axes(graph: &ModelGraph, binding: &Binding, slot: &ParamSlot) -> Vec<Vec<String>> {
    let symbolic = &graph.store.sym(slot.sym).shape;
    slot.shape
        .iter()
        .enumerate()
        .map(|(axis, &n)| {
            let named = match symbolic.get(axis) {
                Some(Size::Dim(d)) => names_of(graph, binding, *d, n),
                _ => None,
            };
            named.unwrap_or_else(|| (1..=n).map(|i| i.to_string()).collect())
        })
        .collect()
}

/// What a size counts: the columns of a vector, or the labels of a category.
fn names_of(graph: &ModelGraph, binding: &Binding, dim: lvmc_term::DimId, n: usize) -> Option<Vec<String>> {
    let sized = Size::Dim(dim);
    for b in &binding.vars {
        if b.support == Support::Category(sized.clone())
            && let Some(labels) = &b.labels
        {
            return Some((0..n).map(|i| labels.show(i)).collect());
        }
    }
    // the variable whose columns gave the size, else any vector of that size alone
    let source = graph.dims.iter().find(|d| d.id == dim).and_then(|d| match d.source {
        DimSource::Columns { var } => Some(graph.var(var).sym),
        _ => None,
    });
    let fits = |b: &&crate::bind::Bound| graph.store.sym(b.sym).shape == [sized.clone()] && b.column_names.len() == n;
    source
        .and_then(|s| binding.var(s))
        .filter(fits)
        .or_else(|| binding.vars.iter().find(fits))
        .map(|b| b.column_names.clone())
}
