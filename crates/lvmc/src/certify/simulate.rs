//! Sizes, parameters and data for a certificate.

use crate::failure::Failure;
use crate::pipeline;
use lvmc_derive::{Gaps, Missing};
use lvmc_loops::lowered::{Lowered, ParamSlot};
use lvmc_model::ModelGraph;
use lvmc_model::graph::{DimSource, Role, Var};
use lvmc_runtime::bind::{Binding, Options};
use lvmc_runtime::data::{self, Table};
use lvmc_runtime::engine::Values;
use lvmc_runtime::random::{Purpose, keyed, uniform};
use lvmc_runtime::result::{FORMAT, Fit, Parameter, Seconds};
use lvmc_runtime::sample::{self, Request};
use lvmc_term::{DimId, Size, Support};
use std::collections::BTreeMap;

/// Sizes larger than this are cut: a certificate needs small numbers, not many.
const LARGEST: usize = 6;

/// A small value for every size that nothing sets.
#[must_use]
pub fn sizes(graph: &ModelGraph) -> BTreeMap<DimId, usize> {
    graph
        .dims
        .iter()
        .map(|d| {
            let open = match d.source {
                DimSource::Columns { .. } | DimSource::Categories { .. } => 3,
                DimSource::Rows { .. } | DimSource::Asked => 2,
            };
            (d.id, d.default.unwrap_or(open).min(LARGEST))
        })
        .collect()
}

/// Numbers between −√3 and √3 of variance 1.
struct Draws {
    rng: rand::rngs::StdRng,
}

impl Draws {
    fn unit(&mut self) -> f64 {
        uniform(&mut self.rng)
    }
    fn centred(&mut self) -> f64 {
        (2.0 * self.unit() - 1.0) * 3.0_f64.sqrt()
    }
}

/// Parameters inside their supports, none at a boundary.
#[must_use]
pub fn values(lowered: &Lowered, seed: u64) -> Values {
    let mut draws = Draws {
        rng: keyed(seed, Purpose::Start, 7),
    };
    lowered.params.iter().map(|slot| value(slot, &mut draws)).collect()
}

fn value(slot: &ParamSlot, draws: &mut Draws) -> Vec<f64> {
    let n: usize = slot.shape.iter().product();
    let last = slot.shape.last().copied().unwrap_or(1).max(1);
    match slot.support {
        Support::Simplex => {
            let mut out: Vec<f64> = (0..n).map(|_| 0.5 + draws.unit()).collect();
            for part in out.chunks_mut(last) {
                let sum: f64 = part.iter().sum();
                part.iter_mut().for_each(|x| *x /= sum);
            }
            out
        }
        Support::Ordered => {
            let mut out = vec![0.0; n];
            for part in out.chunks_mut(last) {
                let mut at = -1.0;
                for x in part {
                    at += 0.3 + draws.unit();
                    *x = at;
                }
            }
            out
        }
        Support::Cov | Support::Corr => {
            let mut out = vec![0.0; n];
            for part in out.chunks_mut(last * last) {
                let root: Vec<f64> = (0..last * last)
                    .map(|i| {
                        if i / last == i % last {
                            0.8 + 0.4 * draws.unit()
                        } else {
                            0.2 * draws.centred()
                        }
                    })
                    .collect();
                for i in 0..last {
                    for j in 0..last {
                        part[i * last + j] = (0..last).map(|k| root[i * last + k] * root[j * last + k]).sum();
                    }
                }
            }
            out
        }
        Support::Positive | Support::NonNegative => (0..n).map(|_| 0.7 + 1.5 * draws.unit()).collect(),
        Support::Unit => (0..n).map(|_| 0.2 + 0.6 * draws.unit()).collect(),
        // not matrices: a chain with a large one in its transitions grows until digits are lost
        _ if slot.family > 0 && slot.shape.len() < slot.family + 2 => (0..n).map(|_| 1.5 * draws.centred()).collect(),
        _ => (0..n).map(|_| 0.5 * draws.centred()).collect(),
    }
}

/// Columns of a variable: `x`, or `x_1, x_2, …`.
fn columns(graph: &ModelGraph, var: &Var, sizes: &BTreeMap<DimId, usize>) -> Vec<String> {
    let n: usize = graph
        .store
        .sym(var.sym)
        .shape
        .iter()
        .map(|s| match s {
            Size::Const(n) => *n,
            Size::Dim(d) => sizes.get(d).copied().unwrap_or(1),
            Size::Sum(_) => 1,
        })
        .product();
    if graph.store.sym(var.sym).shape.is_empty() {
        return vec![var.name.clone()];
    }
    (1..=n).map(|i| format!("{}_{i}", var.name)).collect()
}

fn observed(graph: &ModelGraph) -> impl Iterator<Item = &Var> {
    let made = |i: usize| {
        let chain = graph.chain.as_ref();
        chain.is_some_and(|c| c.makes(lvmc_model::graph::VarId::from_index(i)))
    };
    let vars = graph.vars.iter().enumerate().filter(move |(i, _)| !made(*i));
    vars.map(|v| v.1).filter(|v| matches!(v.role, Role::Data | Role::Given))
}

/// Columns that name or order the sequences of a chain and are no variables.
fn helpers(graph: &ModelGraph) -> Vec<(String, bool)> {
    let Some(chain) = &graph.chain else { return vec![] };
    let by = chain.by.iter().map(|b| (b.clone(), true));
    let all = chain.groups.iter().map(|g| (g.clone(), false)).chain(by);
    all.filter(|(name, _)| observed(graph).all(|v| v.name != *name))
        .collect()
}

/// Data drawn from the model at those parameters.
///
/// # Errors
/// The model cannot be drawn from.
pub fn table(
    graph: &ModelGraph,
    lowered: &Lowered,
    sizes: &BTreeMap<DimId, usize>,
    truth: &Values,
    rows: usize,
    seed: u64,
) -> Result<Table, Failure> {
    let fit = fit(graph, lowered, sizes, truth, rows);
    let given = covariates(graph, sizes, rows, seed)?;
    let request = Request {
        rows,
        seed,
        latents: false,
        binds: binds(graph, sizes, Some(Role::Given)),
    };
    let mut bytes = vec![];
    sample::sample(graph, &fit, given.as_ref(), &request, &mut bytes)?;
    Ok(data::read_from(&bytes[..], "simulated data")?)
}

/// Share of the cells that go missing.
const MISSING: f64 = 0.2;

/// The table without some cells of those variables: any of a vector's, or all of a row's.
#[must_use]
pub fn without_some(
    graph: &ModelGraph,
    mut table: Table,
    sizes: &BTreeMap<DimId, usize>,
    missing: &Missing,
    seed: u64,
) -> Table {
    let mut draws = Draws {
        rng: keyed(seed, Purpose::Rows, 8),
    };
    for var in observed(graph) {
        let Some(gaps) = missing.gaps(var.sym) else { continue };
        let names = columns(graph, var, sizes);
        let whole: Vec<bool> = (0..table.rows).map(|_| draws.unit() < MISSING).collect();
        for column in table.columns.iter_mut().filter(|c| names.contains(&c.name)) {
            let gone: Vec<bool> = match gaps {
                Gaps::Whole => whole.clone(),
                Gaps::Cells => (0..table.rows).map(|_| draws.unit() < MISSING).collect(),
            };
            column.clear(&gone);
        }
    }
    table
}

fn binds(graph: &ModelGraph, sizes: &BTreeMap<DimId, usize>, role: Option<Role>) -> Vec<String> {
    observed(graph)
        .filter(|v| role.is_none_or(|r| v.role == r))
        .map(|v| format!("{}={}", v.name, columns(graph, v, sizes).join(",")))
        .collect()
}

/// Covariates as tame as standardised columns, categories by turns.
fn covariates(
    graph: &ModelGraph,
    sizes: &BTreeMap<DimId, usize>,
    rows: usize,
    seed: u64,
) -> Result<Option<Table>, Failure> {
    let given: Vec<&Var> = observed(graph).filter(|v| v.role == Role::Given).collect();
    let helpers = helpers(graph);
    if given.is_empty() && helpers.is_empty() {
        return Ok(None);
    }
    let mut draws = Draws {
        rng: keyed(seed, Purpose::Rows, 7),
    };
    let names = given.iter().flat_map(|v| columns(graph, v, sizes));
    let header: Vec<String> = helpers.iter().map(|h| h.0.clone()).chain(names).collect();
    let mut text = format!("{}\n", header.join(","));
    for row in 0..rows {
        // two sequences, one after the other in no order
        let place = |orders: bool| {
            if orders {
                draws.centred()
            } else {
                f64::from(u8::from(3 * row < rows))
            }
        };
        let mut cells: Vec<String> = helpers.iter().map(|h| h.1).map(place).map(|x| x.to_string()).collect();
        for v in &given {
            for _ in columns(graph, v, sizes) {
                cells.push(match &graph.store.sym(v.sym).support {
                    Support::Category(size) => {
                        let n = match size {
                            Size::Const(n) => *n,
                            Size::Dim(d) => sizes.get(d).copied().unwrap_or(2),
                            Size::Sum(_) => 2,
                        };
                        (1 + (draws.unit() * n as f64) as usize).to_string()
                    }
                    Support::Binary => u8::from(draws.unit() < 0.5).to_string(),
                    Support::Count | Support::Int => ((draws.unit() * 5.0) as usize).to_string(),
                    Support::Positive | Support::NonNegative => (0.2 + 2.0 * draws.unit()).to_string(),
                    Support::Unit => draws.unit().to_string(),
                    _ => draws.centred().to_string(),
                });
            }
        }
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    Ok(Some(data::read_from(text.as_bytes(), "simulated covariates")?))
}

/// The binding of simulated data.
///
/// # Errors
/// Only where the simulation is wrong.
pub fn bound(graph: &ModelGraph, table: &Table, sizes: &BTreeMap<DimId, usize>) -> Result<Binding, Failure> {
    let options = Options {
        binds: binds(graph, sizes, None),
        sizes: sizes.clone(),
        ..Options::default()
    };
    // a weight column is no part of what is certified
    let mut graph = graph.clone();
    graph.weight = None;
    pipeline::bind(&graph, table, &options)
}

/// The parameters as a fit, which is what draws are made from.
fn fit(graph: &ModelGraph, lowered: &Lowered, sizes: &BTreeMap<DimId, usize>, truth: &Values, rows: usize) -> Fit {
    let parameters = lowered
        .params
        .iter()
        .zip(truth)
        .map(|(slot, values)| Parameter {
            name: slot.name.clone(),
            shape: slot.shape.clone(),
            family: slot.family,
            values: values.clone(),
            axes: slot
                .shape
                .iter()
                .map(|&n| (1..=n).map(|i| i.to_string()).collect())
                .collect(),
            errors: None,
        })
        .collect();
    Fit {
        format: FORMAT,
        version: String::new(),
        model: graph.name.clone(),
        source_name: graph.source.name.to_string(),
        source: graph.source.text.to_string(),
        set: vec![],
        sizes: sizes
            .iter()
            .map(|(&d, &n)| (graph.store.dim(d).name.clone(), n))
            .collect(),
        binding: observed(graph)
            .map(|v| (v.name.clone(), columns(graph, v, sizes)))
            .collect(),
        weights: None,
        labels: BTreeMap::new(),
        moments: BTreeMap::new(),
        parameters,
        effects: vec![],
        rows,
        weight_sum: rows as f64,
        log_likelihood: None,
        elbo: None,
        objective: 0.0,
        penalised: false,
        bound: None,
        free_parameters: 0,
        aic: None,
        bic: None,
        iterations: 0,
        converged: true,
        starts: 0,
        reached: 0,
        restarts: vec![],
        trace: vec![],
        warnings: vec![],
        remarks: vec![],
        label_order: BTreeMap::new(),
        error_remarks: vec![],
        holdout: None,
        selection: None,
        seed: 0,
        seconds: Seconds::default(),
        training: None,
    }
}
