//! A selection: a line for every fit.

use crate::layout::{Align, table};
use crate::numbers::fixed;
use lvmc_runtime::selection::{Candidate, Selection};
use serde_json::{Map, Value, json};

/// For a terminal.
#[must_use]
pub fn text(selection: &Selection) -> String {
    let list = &selection.table;
    let names: Vec<&str> = list
        .first()
        .map_or_else(Vec::new, |c| c.set.iter().map(|s| s.0.as_str()).collect());
    let (icl, held) = (
        list.iter().any(|c| c.icl.is_some()),
        list.iter().any(|c| c.holdout.is_some()),
    );
    let mut head: Vec<String> = vec![String::new()];
    head.extend(names.iter().map(|n| (*n).to_owned()));
    head.extend(["parameters", "log-likelihood", "AIC", "BIC"].map(str::to_owned));
    head.extend(icl.then(|| "ICL".to_owned()));
    head.extend(held.then(|| "held out, each".to_owned()));
    let mut rows = vec![head];
    for (i, c) in list.iter().enumerate() {
        let mut row = vec![if i == selection.chosen {
            "▸".to_owned()
        } else {
            String::new()
        }];
        row.extend(c.set.iter().map(|s| s.1.to_string()));
        let number = |x: Option<f64>, d: usize| x.map_or_else(|| "–".to_owned(), |x| fixed(x, d));
        row.push(c.free_parameters.map_or_else(|| "–".to_owned(), |n| n.to_string()));
        row.push(number(c.log_likelihood, 3));
        row.push(number(c.aic, 2));
        row.push(number(c.bic, 2));
        row.extend(icl.then(|| number(c.icl, 2)));
        row.extend(held.then(|| number(c.holdout, 4)));
        rows.push(row);
    }
    let columns = rows[0].len();
    let mut aligns = vec![Align::Right; columns];
    aligns[0] = Align::Left;
    let figures = table(&rows, &aligns, 0, 2);
    let mut lines: Vec<String> = figures.lines().map(str::to_owned).collect();
    let width = lines.iter().map(|l| crate::layout::width(l)).max().unwrap_or(0);
    for (line, c) in lines.iter_mut().skip(1).zip(list) {
        let mark = mark(c);
        if !mark.is_empty() {
            *line = format!("{}  {mark}", crate::layout::pad(line, width, Align::Left));
        }
    }
    let chosen: Vec<String> = list
        .get(selection.chosen)
        .map_or_else(Vec::new, |c| c.set.iter().map(|(n, k)| format!("{n} = {k}")).collect());
    format!(
        "{}\n  chosen by {}: {}\n\n",
        lines.join("\n"),
        selection.by.name(),
        chosen.join(", ")
    )
}

/// What to think of a fit, in few words.
fn mark(c: &Candidate) -> String {
    match (&c.failed, c.warnings.first()) {
        (Some(why), _) => format!("no fit: {why}"),
        (None, Some(w)) => {
            let words = w.split([';', ':']).next().unwrap_or(w);
            let more = if c.warnings.len() > 1 {
                format!(" (and {} more)", c.warnings.len() - 1)
            } else {
                String::new()
            };
            format!("suspect: {words}{more}")
        }
        (None, None) => String::new(),
    }
}

/// As data.
#[must_use]
pub fn json(selection: &Selection) -> Value {
    let sizes = |c: &Candidate| -> Map<String, Value> { c.set.iter().map(|(n, k)| (n.clone(), json!(k))).collect() };
    let table: Vec<Value> = selection
        .table
        .iter()
        .map(|c| {
            json!({
                "sizes": sizes(c),
                "free_parameters": c.free_parameters,
                "log_likelihood": c.log_likelihood,
                "aic": c.aic,
                "bic": c.bic,
                "icl": c.icl,
                "holdout": c.holdout,
                "warnings": c.warnings,
                "degenerate": c.degenerate,
                "failed": c.failed,
                "seconds": c.seconds,
            })
        })
        .collect();
    json!({
        "by": selection.by,
        "chosen": selection.table.get(selection.chosen).map(sizes),
        "table": table,
    })
}
