//! A fit: for a terminal, and as JSON.

use crate::numbers::{counted, fixed};
use crate::parameters::parameters;
use crate::{selection, training};
use lvmc_runtime::holdout::Holdout;
use lvmc_runtime::result::Fit;
use serde_json::{Map, Value, json};

/// For a terminal; with standard errors where they are asked for and known.
#[must_use]
pub fn text(fit: &Fit, errors: bool) -> String {
    let mut out = fit.selection.as_ref().map(selection::text).unwrap_or_default();
    out.push_str(&head(fit));
    if let Some(t) = &fit.training {
        out.push_str(&format!("  {}\n  {}\n", training::figures(fit, t), training::search(t)));
        let shown = training::shown(fit);
        if !shown.is_empty() {
            out.push('\n');
            out.push_str(&parameters(&shown, errors));
        }
        return out;
    }
    out.push_str(&format!("  {}\n", figures(fit)));
    if let Some(h) = &fit.holdout {
        out.push_str(&format!("  {}\n", held_out(h)));
    }
    out.push_str(&format!("  {}\n\n", search(fit)));
    out.push_str(&parameters(&fit.parameters, errors));
    out
}

/// `held out 54 rows: log-likelihood −4.2000 each; of the rows fitted −4.1554 each`.
fn held_out(h: &Holdout) -> String {
    let each = |x: Option<f64>| x.map_or_else(|| "−∞".to_owned(), |x| fixed(x, 4));
    let what = if h.bound {
        "evidence lower bound"
    } else {
        "log-likelihood"
    };
    format!(
        "held out {}: {what} {} each{}; of the rows fitted {} each",
        counted(h.rows, "row"),
        each(h.per_row),
        if h.given_fitted { " given the others" } else { "" },
        each(h.training_per_row),
    )
}

/// `gmm   272 rows   x = (eruptions, waiting)   K = 2`.
fn head(fit: &Fit) -> String {
    let mut parts = vec![fit.model.clone(), counted(fit.rows, "row")];
    for (name, columns) in &fit.binding {
        parts.push(match columns.as_slice() {
            [one] if one == name => name.clone(),
            [one] => format!("{name} = {one}"),
            [first, .., last] if columns.len() > 6 => format!("{name} = ({first} … {last}, {} columns)", columns.len()),
            _ => format!("{name} = ({})", columns.join(", ")),
        });
    }
    if let Some(w) = &fit.weights {
        parts.push(format!("weights {w}"));
    }
    let counted: Vec<usize> = fit.binding.iter().map(|b| b.1.len()).collect();
    for (name, n) in &fit.sizes {
        // a size that only repeats a number of columns is already there to see
        if fit.set.iter().any(|(s, _)| s == name) || !counted.contains(n) {
            parts.push(format!("{name} = {n}"));
        }
    }
    format!("{}\n", parts.join("   "))
}

fn figures(fit: &Fit) -> String {
    let mut parts = vec![];
    let bound = fit.bound.as_ref().zip(fit.elbo);
    match (fit.log_likelihood, bound) {
        (Some(l), _) => parts.push(format!("log-likelihood {}", fixed(l, 3))),
        (None, Some((q, l))) => parts.push(format!("{} {}", crate::words::bound(q), fixed(l, 3))),
        (None, None) => parts.push(format!("objective {}", fixed(fit.objective, 3))),
    }
    if fit.penalised {
        parts.push(format!("with the prior {}", fixed(fit.objective, 3)));
    }
    if let Some(bic) = fit.bic {
        parts.push(format!("BIC {}", fixed(bic, 2)));
    }
    parts.push(counted(fit.free_parameters, "parameter"));
    parts.join("   ")
}

fn search(fit: &Fit) -> String {
    let end = if fit.converged { "converged" } else { "not converged" };
    let iterations = counted(fit.iterations, "iteration");
    if fit.starts > 1 {
        format!(
            "best of {} starts, reached by {}; {iterations}, {end}",
            fit.starts, fit.reached
        )
    } else {
        format!("{iterations}, {end}")
    }
}

/// `6 ms: read 1, compile 1, fit 4`.
#[must_use]
pub fn timings(fit: &Fit) -> String {
    let s = fit.seconds;
    let total = s.read + s.compile + s.fit + s.errors;
    let errors = |x: String| {
        if s.errors > 0.0005 {
            format!(", standard errors {x}")
        } else {
            String::new()
        }
    };
    if total >= 10.0 {
        return format!(
            "{total:.1} s: read {:.1}, compile {:.1}, fit {:.1}{}",
            s.read,
            s.compile,
            s.fit,
            errors(format!("{:.1}", s.errors))
        );
    }
    let ms = |x: f64| format!("{:.0}", 1000.0 * x);
    format!(
        "{} ms: read {}, compile {}, fit {}{}",
        ms(total),
        ms(s.read),
        ms(s.compile),
        ms(s.fit),
        errors(ms(s.errors))
    )
}

/// Posterior means and standard deviations of the effects of groups, by name.
fn effects(fit: &Fit) -> Value {
    let of = |e: &lvmc_runtime::result::Effect| {
        let nested = |v: &[f64]| -> Value {
            match e.elements {
                1 => json!(v),
                n => v.chunks(n.max(1)).map(|m| json!(m)).collect(),
            }
        };
        json!({ "by": e.by, "groups": e.groups, "mean": nested(&e.mean), "sd": nested(&e.sd) })
    };
    let all: Map<String, Value> = fit.effects.iter().map(|e| (e.name.clone(), of(e))).collect();
    Value::Object(all)
}

/// `log-likelihood`, or the bound by its name.
fn objective_kind(fit: &Fit) -> String {
    let what = match (&fit.bound, &fit.training) {
        (_, Some(t)) => t.objective.clone(),
        (Some(q), _) => crate::words::bound(q),
        (None, _) => "log-likelihood".into(),
    };
    if fit.penalised {
        format!("{what} + log prior")
    } else {
        what
    }
}

/// As one JSON object.
#[must_use]
pub fn json(fit: &Fit) -> Value {
    let parameters: Map<String, Value> = fit.parameters.iter().map(|p| (p.name.clone(), p.nested())).collect();
    let errors = fit
        .parameters
        .iter()
        .map(|p| Some((p.name.clone(), p.nested_errors()?)));
    let standard_errors: Option<Map<String, Value>> = errors.collect();
    let binding: Map<String, Value> = fit
        .binding
        .iter()
        .map(|(name, columns)| (name.clone(), json!(columns)))
        .collect();
    json!({
        "model": fit.model,
        "rows": fit.rows,
        "binding": binding,
        "sizes": fit.sizes,
        "weight_sum": fit.weight_sum,
        "log_likelihood": fit.log_likelihood,
        "elbo": fit.elbo,
        "objective": fit.objective,
        "objective_kind": objective_kind(fit),
        "free_parameters": fit.free_parameters,
        "aic": fit.aic,
        "bic": fit.bic,
        "iterations": fit.iterations,
        "converged": fit.converged,
        "starts": fit.starts,
        "reached": fit.reached,
        "restarts": fit.restarts,
        "trace": fit.trace,
        "parameters": parameters,
        "standard_errors": standard_errors,
        "label_order": fit.label_order,
        "holdout": fit.holdout,
        "selection": fit.selection.as_ref().map(selection::json),
        "training": fit.training,
        "effects": effects(fit),
        "warnings": fit.warnings,
        "remarks": fit.remarks.iter().chain(&fit.error_remarks).collect::<Vec<_>>(),
        "seed": fit.seed,
        "seconds": fit.seconds.read + fit.seconds.compile + fit.seconds.fit + fit.seconds.errors,
        "timing": {
            "read": fit.seconds.read,
            "compile": fit.seconds.compile,
            "fit": fit.seconds.fit,
            "standard_errors": fit.seconds.errors,
        },
    })
}
