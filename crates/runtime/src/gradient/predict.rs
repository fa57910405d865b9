//! `predict` and `score` of a fit by gradients: codes, reconstructions, and importance-weighted bounds.

use super::GradientError;
use super::apply::{AT_ONCE, Restored};
use super::data::Data;
use crate::data::Table;
use crate::predict::{Cell, Predictions};
use lvmc_base::Bug;
use lvmc_derive::guided::Objective;
use lvmc_model::graph::{Dist, Role};
use lvmc_term::{Size, SymId, Term};
use std::sync::Arc;

/// Importance-weighted bounds of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Of every row.
    pub rows: Vec<f64>,
    /// Standard errors of the draws; 0 where nothing is drawn.
    pub errors: Vec<f64>,
    /// Σ.
    pub total: f64,
    /// Its standard error.
    pub error: f64,
    /// Draws of q a row; 1 where nothing is drawn.
    pub draws: usize,
    /// `log-likelihood`, `importance-weighted bound`, ….
    pub what: &'static str,
}

/// Codes (the mean and standard deviation of q), and the mean of every data variable at them. A latent whose columns are
/// bound is decoded rather than encoded.
///
/// # Errors
/// Data that do not fit the model.
pub fn predict(r: &mut Restored<'_>, table: &Table, binds: &[String]) -> Result<Predictions, GradientError> {
    let given = latent_binds(r, binds);
    if !given.is_empty() {
        return decode(r, table, binds, &given);
    }
    let (binding, data) = r.data(table, binds)?;
    let mut out = Predictions {
        header: vec![],
        columns: vec![],
        rows: data.rows,
    };
    let mut terms: Vec<(String, Term)> = vec![];
    let mut names: Vec<Vec<String>> = vec![];
    let latents: Vec<_> = r.guided.latents.iter().filter(|l| !l.auxiliary).cloned().collect();
    for l in &latents {
        let name = r.guided.store.sym(l.sym).name.clone();
        if let Some((mean, variance)) = l.moments {
            let n = elements(r, l.sym);
            let Some(mean) = r.guided.at_means(mean) else { continue };
            terms.push((name.clone(), mean));
            names.push(numbered(&name, n, ""));
            if let Some(v) = variance.filter(|_| !l.point) {
                let Some(v) = r.guided.at_means(v) else { continue };
                let sd = r.guided.store.sqrt(v);
                terms.push((format!("{name} sd"), sd));
                names.push(numbered(&name, n, "_sd"));
            }
        }
    }
    for (sym, mean) in means(r) {
        let columns = binding.var(sym).map(|b| b.column_names.clone()).unwrap_or_default();
        let n = elements(r, sym);
        let name = r.guided.store.sym(sym).name.clone();
        let Some(mean) = r.guided.at_means(mean) else { continue };
        terms.push((format!("mean of {name}"), mean));
        names.push(if columns.len() == n {
            columns.iter().map(|c| format!("{c}_mean")).collect()
        } else {
            numbered(&name, n, "_mean")
        });
    }
    let mut running = r.program(&terms, &[], &[], AT_ONCE.min(data.rows.max(1)), 0)?;
    let found = running.over(&data, 0);
    for (values, names) in found.iter().zip(names) {
        push(&mut out, values, names);
    }
    labels(r, &mut out, &data)?;
    Ok(out)
}

/// Probabilities of finite latents.
fn labels(r: &mut Restored<'_>, out: &mut Predictions, data: &Data) -> Result<(), GradientError> {
    for l in r.guided.latents.clone() {
        let Some(guide) = r.graph.guide.as_ref() else { continue };
        let Some(factor) = guide.factors.iter().find(|f| r.graph.var(f.var).sym == l.sym) else {
            continue;
        };
        let Dist::Family {
            family,
            signature,
            args,
            ..
        } = &factor.dist
        else {
            continue;
        };
        let scalar = r.guided.store.sym(l.sym).shape.is_empty() && l.moments.is_none();
        let drawn = l.score.filter(|_| scalar);
        let drawn = drawn.and_then(|_| family.finite_support(&r.guided.store, *signature, args));
        let Some(size) = l.finite.clone().map(|f| f.0).or(drawn) else {
            continue;
        };
        let n = values(r, &size)?;
        let name = r.guided.store.sym(l.sym).name.clone();
        let mut terms = vec![];
        for k in 0..n {
            let k = r.guided.store.num(k as f64);
            let p = family.log_density(&mut r.guided.store, *signature, k, args);
            terms.push(r.guided.store.exp(p));
        }
        probabilities(r, out, data, &name, &terms)?;
    }
    // summed out of the joint: at the means of the latents of the guide
    for l in r.guided.left_out.clone() {
        let Some(p) = l.posterior else { continue };
        let n = values(r, &l.size)?;
        let name = r.guided.store.sym(l.sym).name.clone();
        let mut terms = vec![];
        for k in 0..n {
            let k = r.guided.store.num(k as f64);
            terms.push(r.guided.store.at(p, &[k]));
        }
        probabilities(r, out, data, &name, &terms)?;
    }
    Ok(())
}

/// How many values a latent has.
fn values(r: &Restored<'_>, size: &Size) -> Result<usize, Bug> {
    r.known.size(&r.guided.store, size).map_err(|e| Bug {
        stage: "predict",
        message: e.to_string(),
        ir: String::new(),
    })
}

/// The probabilities of a latent's values, and the most probable one.
fn probabilities(
    r: &mut Restored<'_>,
    out: &mut Predictions,
    data: &Data,
    name: &str,
    values: &[Term],
) -> Result<(), GradientError> {
    let at = values
        .iter()
        .map(|&p| r.guided.at_means(p))
        .collect::<Option<Vec<Term>>>();
    // of a latent that hangs on another one's value there is none at a mean
    let Some(at) = at else { return Ok(()) };
    let terms: Vec<(String, Term)> = at.into_iter().map(|p| (name.to_owned(), p)).collect();
    let n = terms.len();
    let mut running = r.program(&terms, &[], &[], AT_ONCE.min(data.rows.max(1)), 0)?;
    let found = running.over(data, 0);
    let best: Vec<Cell> = (0..data.rows)
        .map(|row| {
            let k = (0..n)
                .max_by(|&a, &b| found[a][row].total_cmp(&found[b][row]))
                .unwrap_or(0);
            Cell::Label(Arc::from((k + 1).to_string().as_str()))
        })
        .collect();
    out.header.push(name.to_owned());
    out.columns.push(best);
    for (k, p) in found.iter().enumerate() {
        out.header.push(format!("{name}_p{}", k + 1));
        out.columns.push(p.iter().map(|&x| Cell::Number(x)).collect());
    }
    Ok(())
}

/// True where some latent's columns are bound, so that codes are decoded.
#[must_use]
pub fn decodes(r: &Restored<'_>, binds: &[String]) -> bool {
    !latent_binds(r, binds).is_empty()
}

/// The model's latents, and the columns that `sample` and `predict` write of each.
#[must_use]
pub fn latent_columns(r: &Restored<'_>) -> Vec<(String, Vec<String>)> {
    let of = |sym| {
        let name = r.guided.store.sym(sym).name.clone();
        let columns = numbered(&name, elements(r, sym), "");
        (name, columns)
    };
    let latents = r.guided.latents.iter().filter(|l| !l.auxiliary);
    latents.map(|l| of(l.sym)).collect()
}

/// Latents that `--bind` gives columns.
fn latent_binds(r: &Restored<'_>, binds: &[String]) -> Vec<SymId> {
    let named = |sym: SymId| {
        let name = &r.guided.store.sym(sym).name;
        binds
            .iter()
            .any(|b| b.split('=').next().is_some_and(|n| n.trim() == name))
    };
    r.guided.latents.iter().map(|l| l.sym).filter(|&s| named(s)).collect()
}

/// The mean of the data at given codes.
fn decode(
    r: &mut Restored<'_>,
    table: &Table,
    binds: &[String],
    given: &[SymId],
) -> Result<Predictions, GradientError> {
    // as covariates they are bound like any column; what only the data or their columns are made of is not asked for
    let mut graph = r.graph.clone();
    let mentioned = |sym: SymId| r.graph.factors.iter().any(|f| f.dist.mentions(&r.graph.store, sym));
    for v in &mut graph.vars {
        if given.contains(&v.sym) {
            v.role = Role::Given;
        } else if matches!(v.role, Role::Data | Role::Given) && !mentioned(v.sym) {
            v.role = Role::Latent;
            v.observed_as = None;
        }
    }
    let binding = crate::apply::rebind(&graph, r.fit, table, binds)?;
    let data = Data::new(&graph, &binding, table, r.settings.precision)?;
    let mut out = Predictions {
        header: vec![],
        columns: vec![],
        rows: data.rows,
    };
    let (mut terms, mut names) = (vec![], vec![]);
    for (sym, mean) in means(r) {
        let n = elements(r, sym);
        let name = r.guided.store.sym(sym).name.clone();
        let columns = r
            .fit
            .binding
            .iter()
            .find(|b| b.0 == name)
            .map(|b| b.1.clone())
            .unwrap_or_default();
        terms.push((name.clone(), mean));
        names.push(if columns.len() == n {
            columns
        } else {
            numbered(&name, n, "")
        });
    }
    let mut running = r.program(&terms, &[], given, AT_ONCE.min(data.rows.max(1)), 0)?;
    for (values, names) in running.over(&data, 0).iter().zip(names) {
        push(&mut out, values, names);
    }
    Ok(out)
}

/// The mean of every data variable's distribution, a function of latents.
fn means(r: &mut Restored<'_>) -> Vec<(SymId, Term)> {
    let mut out = vec![];
    for f in &r.graph.factors {
        let var = r.graph.var(f.var);
        if var.role != Role::Data {
            continue;
        }
        if let Dist::Family {
            family,
            signature,
            args,
            ..
        } = &f.dist
            && let Some(mean) = family.mean(&mut r.guided.store, *signature, args)
        {
            let shape = r.guided.store.shape(f.value).clone();
            let mean = r.guided.store.refill(mean, shape);
            out.push((var.sym, mean));
        }
    }
    out
}

fn elements(r: &Restored<'_>, sym: SymId) -> usize {
    let shape = r.guided.store.sym(sym).shape.clone();
    shape
        .iter()
        .map(|n| r.known.size(&r.guided.store, n).unwrap_or(1))
        .product()
}

fn numbered(name: &str, n: usize, suffix: &str) -> Vec<String> {
    if n == 1 {
        vec![format!("{name}{suffix}")]
    } else {
        (1..=n).map(|i| format!("{name}_{i}{suffix}")).collect()
    }
}

fn push(out: &mut Predictions, values: &[f64], names: Vec<String>) {
    let n = names.len().max(1);
    for (j, name) in names.into_iter().enumerate() {
        out.header.push(name);
        out.columns
            .push(values.iter().skip(j).step_by(n).map(|&x| Cell::Number(x)).collect());
    }
}

/// log 1/K Σₖ p(x, zₖ) / q(zₖ | x) of every row, with the standard error of the draws (of the logarithm, by the delta
/// method); the log-likelihood itself where nothing is latent.
///
/// # Errors
/// Data that do not fit the model.
pub fn score(
    r: &mut Restored<'_>,
    table: &Table,
    binds: &[String],
    draws: usize,
    seed: u64,
) -> Result<Scores, GradientError> {
    let (_, data) = r.data(table, binds)?;
    let noise = r.guided.noise.clone();
    // once: the t of a noising chain is drawn anew by every call
    let (bound, sources) = r.guided.bound();
    let (term, what, weighted) = match (r.guided.objective, r.guided.weight) {
        (Objective::LogLikelihood, _) => (bound, "log-likelihood", false),
        (Objective::Elbo, Some(w)) => (w, "importance-weighted bound", true),
        (Objective::Elbo, None) => (bound, "evidence lower bound", false),
        (Objective::Point, _) => (bound, "log-likelihood at a point", false),
    };
    let noise = if r.guided.noising.is_some() { sources } else { noise };
    let drawn = r.guided.objective == Objective::Elbo;
    let draws = if drawn || !noise.is_empty() { draws.max(1) } else { 1 };
    let mut running = r.program(
        &[("row".into(), term)],
        &noise,
        &[],
        AT_ONCE.min(data.rows.max(1)),
        seed,
    )?;
    // running log-mean-exp (or mean) and second moment, row by row
    let n = data.rows;
    let (mut top, mut sum, mut square) = (vec![f64::NEG_INFINITY; n], vec![0.0; n], vec![0.0; n]);
    for draw in 0..draws {
        let values = running.over(&data, draw as u64).swap_remove(0);
        for (row, x) in values.into_iter().enumerate() {
            if weighted {
                if x > top[row] {
                    let c = (top[row] - x).exp();
                    sum[row] *= c;
                    square[row] *= c * c;
                    top[row] = x;
                }
                let w = (x - top[row]).exp();
                sum[row] += w;
                square[row] += w * w;
            } else {
                sum[row] += x;
                square[row] += x * x;
            }
        }
    }
    let k = draws as f64;
    let (mut rows, mut errors) = (vec![], vec![]);
    for row in 0..n {
        let mean = sum[row] / k;
        let variance = (square[row] / k - mean * mean).max(0.0) / (k - 1.0).max(1.0);
        if weighted {
            rows.push(top[row] + mean.ln());
            errors.push(variance.sqrt() / mean);
        } else {
            rows.push(mean);
            errors.push(if draws > 1 { variance.sqrt() } else { 0.0 });
        }
    }
    let weight = |row: usize| data.weights.as_ref().map_or(1.0, |w| w[row]);
    let total = (0..n).filter(|&i| weight(i) != 0.0).map(|i| weight(i) * rows[i]).sum();
    let error = (0..n).map(|i| (weight(i) * errors[i]).powi(2)).sum::<f64>().sqrt();
    Ok(Scores {
        rows,
        errors,
        total,
        error,
        draws,
        what,
    })
}
