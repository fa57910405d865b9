//! `--select`: the same model fitted with several sizes, and the fit that a criterion prefers.

use crate::failure::Failure;
use crate::pipeline::{self, Request};
use lvmc_base::{Exit, Source, closest};
use lvmc_model::ModelGraph;
use lvmc_model::graph::DimSource;
use lvmc_runtime::data::Table;
use lvmc_runtime::fit::{Hooks, When};
use lvmc_runtime::result::Fit;
use lvmc_runtime::selection::{Candidate, Criterion, Selection, best};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The most fits of one selection.
pub const MOST: usize = 1000;

/// Fits every combination of the sizes, and returns the one that the criterion prefers, with the table of all.
///
/// # Errors
/// What is wrong with the request or the model; the first reason where no fit succeeds.
pub fn select(source: &Source, table: &Table, request: &Request, hooks: Hooks<'_>) -> Result<Fit, Failure> {
    let ast = pipeline::parse(source)?;
    let graph = pipeline::graph(&ast, source, &pipeline::with_columns(&request.settings, table))?;
    checked(&graph, request)?;
    let mut candidates = vec![];
    let mut kept: Vec<(usize, Fit)> = vec![];
    let mut first = None;
    for set in combinations(&request.select) {
        let start = Instant::now();
        let stopped = hooks.stop.is_some_and(|s| s.load(Ordering::Relaxed));
        let mut candidate = Candidate {
            set: set.clone(),
            ..Candidate::default()
        };
        if stopped {
            candidate.failed = Some("stopped before it was fitted".into());
            candidates.push(candidate);
            continue;
        }
        let mut one = request.clone();
        #[allow(clippy::cast_precision_loss)]
        one.settings.set.extend(set.iter().map(|(n, k)| (n.clone(), *k as f64)));
        // what takes long is done for the chosen fit alone
        if one.errors == When::Asked {
            one.errors = When::Never;
        }
        match pipeline::one(source, table.clone(), &one, hooks, true) {
            Ok((fit, aside)) => {
                candidate.free_parameters = Some(fit.free_parameters);
                candidate.log_likelihood = fit.log_likelihood;
                candidate.aic = fit.aic;
                candidate.bic = fit.bic;
                candidate.icl = aside.icl;
                candidate.holdout = fit.holdout.as_ref().and_then(|h| h.per_row);
                candidate.warnings.clone_from(&fit.warnings);
                candidate.degenerate = aside.degenerate;
                kept.push((candidates.len(), fit));
            }
            Err(failure) if is_about_one(&failure) => {
                candidate.failed = Some(reason(&failure));
                first.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
        candidate.seconds = start.elapsed().as_secs_f64();
        candidates.push(candidate);
        // the fits that cannot be chosen any more
        let leading = best(&candidates, request.by);
        kept.retain(|(i, _)| leading.is_none_or(|l| l == *i));
    }
    let chosen = best(&candidates, request.by);
    let Some((chosen, mut fit)) = chosen.and_then(|c| kept.into_iter().find(|k| k.0 == c)) else {
        return Err(nothing(request.by, &candidates, first));
    };
    if request.errors == When::Asked {
        fit = again(source, table, request, hooks, &candidates[chosen], fit)?;
    }
    fit.seconds.fit = candidates.iter().map(|c| c.seconds).sum::<f64>() - fit.seconds.read - fit.seconds.compile;
    fit.selection = Some(Selection {
        by: request.by,
        chosen,
        table: candidates,
    });
    Ok(fit)
}

/// The chosen fit with its standard errors: the same search again, which ends at the same place.
fn again(
    source: &Source,
    table: &Table,
    request: &Request,
    hooks: Hooks<'_>,
    chosen: &Candidate,
    fit: Fit,
) -> Result<Fit, Failure> {
    if hooks.stop.is_some_and(|s| s.load(Ordering::Relaxed)) {
        return Ok(fit);
    }
    let mut one = request.clone();
    #[allow(clippy::cast_precision_loss)]
    one.settings
        .set
        .extend(chosen.set.iter().map(|(n, k)| (n.clone(), *k as f64)));
    let (with_errors, _) = pipeline::one(source, table.clone(), &one, hooks, false)?;
    Ok(with_errors)
}

/// Every combination of values, the last name's changing first.
fn combinations(select: &[(String, Vec<usize>)]) -> Vec<Vec<(String, usize)>> {
    let mut out: Vec<Vec<(String, usize)>> = vec![vec![]];
    for (name, values) in select {
        out = out
            .into_iter()
            .flat_map(|head| {
                values.iter().map(move |&v| {
                    let mut one = head.clone();
                    one.push((name.clone(), v));
                    one
                })
            })
            .collect();
    }
    out
}

/// A failure that another size may not have.
fn is_about_one(failure: &Failure) -> bool {
    matches!(
        failure.exit,
        Exit::Data | Exit::Numerical | Exit::Limit | Exit::Model | Exit::Bug
    )
}

fn reason(failure: &Failure) -> String {
    let texts: Vec<String> = failure.reports.iter().map(ToString::to_string).collect();
    let text = texts.join("; ");
    let bug = if failure.exit == Exit::Bug {
        "a bug in lvmc: "
    } else {
        ""
    };
    format!("{bug}{}", if text.is_empty() { "failed" } else { &text })
}

/// What is asked is there to be selected.
fn checked(graph: &ModelGraph, request: &Request) -> Result<(), Failure> {
    let dims: Vec<&str> = graph.dims.iter().map(|d| graph.store.dim(d.id).name.as_str()).collect();
    for (i, (name, _)) in request.select.iter().enumerate() {
        let Some(dim) = graph.dims.iter().find(|d| graph.store.dim(d.id).name == *name) else {
            return Err(unknown(graph, name, &dims));
        };
        if request.settings.set.iter().any(|s| s.0 == *name) {
            return Err(Failure::usage(
                format!("`{name}` is both set and selected"),
                format!("leave out --set {name}, or --select {name}"),
            ));
        }
        if request.select[..i].iter().any(|s| s.0 == *name) {
            return Err(Failure::usage(
                format!("`{name}` is selected twice"),
                format!("give all its values at once: --select {name}=1..4,6"),
            ));
        }
        if dim.source != DimSource::Asked && dim.default.is_none() {
            return Err(Failure::usage(
                format!("the data say what `{name}` is: {}", dim.because),
                "select sizes that the model leaves open, such as a number of components",
            ));
        }
    }
    let fits = request.select.iter().try_fold(1usize, |n, s| n.checked_mul(s.1.len()));
    if fits.is_none_or(|n| n > MOST) {
        let n = fits.map_or("too many".to_owned(), |n| n.to_string());
        return Err(Failure::usage(
            format!("{n} combinations are more than one selection fits ({MOST})"),
            "select fewer values of each size",
        ));
    }
    if request.by == Criterion::Holdout && request.holdout.is_none() {
        return Err(Failure::usage(
            "--by holdout needs rows that are held out",
            "add --holdout 0.2",
        ));
    }
    if request.init.is_some() {
        return Err(Failure::usage(
            "starting values belong to one size, and --select tries several",
            "leave out --init",
        ));
    }
    Ok(())
}

fn unknown(graph: &ModelGraph, name: &str, dims: &[&str]) -> Failure {
    let what = match graph.vars.iter().find(|v| v.name == name) {
        Some(v) => {
            let role = match v.role {
                lvmc_model::graph::Role::Const => "a constant",
                lvmc_model::graph::Role::Param => "a parameter, which is fitted",
                _ => "a variable",
            };
            format!("`{name}` is {role}, not a size")
        }
        None => format!("the model has no size `{name}`"),
    };
    let open: Vec<&str> = graph
        .dims
        .iter()
        .filter(|d| d.source == DimSource::Asked || d.default.is_some())
        .map(|d| graph.store.dim(d.id).name.as_str())
        .collect();
    let help = match closest(name, dims.iter().copied()) {
        Some(near) => format!("did you mean --select {near}=1..9?"),
        None if open.is_empty() => "the model leaves no size open".into(),
        None => format!("sizes that can be selected: {}", open.join(", ")),
    };
    Failure::usage(what, help)
}

/// No fit, or none that the criterion compares.
fn nothing(by: Criterion, table: &[Candidate], first: Option<Failure>) -> Failure {
    if table.iter().all(|c| c.failed.is_some())
        && let Some(failure) = first
    {
        let mut failure = failure;
        failure.reports.push(miette::Report::new(crate::failure::Usage {
            message: format!(
                "none of the {} sizes tried has a fit; the first reason is above",
                table.len()
            ),
            help: "see --select".into(),
        }));
        return failure;
    }
    let help = match by {
        Criterion::Icl => "it needs finite latents that are independent given a row's data; --by bic compares all fits",
        Criterion::Holdout => {
            "a row held out has density 0 under every fit; --by bic compares those of the rows fitted"
        }
        _ => {
            "the log-likelihood is not finite, or a bound stands in its place: --by holdout compares the bounds of rows \
             held out"
        }
    };
    Failure::usage(format!("no fit has a finite {}", by.name()), help)
}
