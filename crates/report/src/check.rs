//! `lvmc check`: what was inferred, and the inference plan.

use crate::layout::{Align, table, wrap};
use crate::numbers::count;
use crate::words::{Inference, Remark};
use lvmc_model::graph::{ModelGraph, Net, Role, VarId, Weight};
use lvmc_model::{name_text, net_type_text, role_text, type_text};
use lvmc_runtime::bind::Binding;
use lvmc_term::Size;
use serde_json::{Value, json};

/// One line of the table of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// With its family's sizes.
    pub name: String,
    /// `param`, `dim`, ….
    pub role: &'static str,
    /// Its type, or a size's value.
    pub ty: String,
    /// Why.
    pub because: String,
}

/// What is known when the table is made.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The graph.
    pub graph: &'a ModelGraph,
    /// The columns, where there are data.
    pub binding: Option<&'a Binding>,
    /// Names given with `--set`.
    pub set: &'a [(String, f64)],
}

/// The table of names: sizes first, then variables in the order of the text.
#[must_use]
pub fn names(known: Known<'_>) -> Vec<Row> {
    let mut rows = vec![];
    for dim in &known.graph.dims {
        let name = known.graph.store.dim(dim.id).name.clone();
        let set = known.set.iter().any(|(n, _)| *n == name);
        let bound = known.binding.and_then(|b| b.sizes.get(&dim.id).copied());
        let value = bound.or(dim.default);
        rows.push(Row {
            role: "dim",
            ty: value.map_or("open".into(), |n| n.to_string()),
            because: if set { "--set".into() } else { dim.because.clone() },
            name,
        });
    }
    for (i, var) in known.graph.vars.iter().enumerate() {
        let id = VarId::from_index(i);
        if known.graph.chain.as_ref().is_some_and(|c| c.makes(id)) {
            continue;
        }
        if known.graph.net_of_weight(id).is_some() {
            continue;
        }
        let columns = known.binding.and_then(|b| b.var(var.sym));
        let because = match columns {
            Some(b) if b.automatic => format!("{} (all numeric columns left)", few(&b.column_names)),
            Some(b) => few(&b.column_names),
            None => var.because.clone(),
        };
        let set = var.role == Role::Const && known.set.iter().any(|(n, _)| *n == var.name);
        rows.push(Row {
            name: name_text(known.graph, id),
            role: role_text(var.role),
            ty: type_text(known.graph, id),
            because: if set { "--set".into() } else { because },
        });
    }
    rows.extend(known.graph.nets.iter().map(|n| net(known, n)));
    rows
}

/// A net's line: from what to what, and how many weights.
fn net(known: Known<'_>, net: &Net) -> Row {
    let graph = known.graph;
    let size = |n: &Size| size_of(known, n);
    let elements = |w: &Weight| -> Option<usize> {
        let shape = &graph.store.sym(graph.var(w.var).sym).shape;
        shape.iter().map(size).product()
    };
    let arrays = match net.weights.len() {
        0 => "no weights".to_owned(),
        1 => "1 array".into(),
        n => format!("{n} arrays"),
    };
    let because = match net.weights.iter().map(elements).sum::<Option<usize>>() {
        Some(n) if n > 0 => format!("{} weights in {arrays}", count(n)),
        Some(_) => arrays,
        None => format!("{arrays} of weights"),
    };
    Row {
        name: net.syntax.name.name.clone(),
        role: "net",
        ty: net_type_text(graph, net),
        because,
    }
}

/// A size's value, where it is set or bound.
fn size_of(known: Known<'_>, n: &Size) -> Option<usize> {
    match n {
        Size::Const(n) => Some(*n),
        Size::Dim(d) => {
            let bound = known.binding.and_then(|b| b.sizes.get(d).copied());
            bound.or_else(|| known.graph.dims.iter().find(|i| i.id == *d)?.default)
        }
        Size::Sum(parts) => parts.iter().map(|p| size_of(known, p)).sum(),
    }
}

/// At most six names.
fn few(names: &[String]) -> String {
    match names {
        [first, .., last] if names.len() > 6 => format!("{first} … {last} ({} columns)", names.len()),
        _ => names.join(", "),
    }
}

/// The head and the table of names.
#[must_use]
pub fn head(known: Known<'_>) -> String {
    let mut out = known.graph.name.clone();
    if let Some(doc) = &known.graph.doc {
        out.push_str(" · ");
        out.push_str(&doc.replace('\n', " "));
    }
    let mut out = wrap(&out, 100, 2);
    out.push_str("\n\n");
    let mut lines: Vec<Vec<String>> = vec![["name", "role", "type", "because"].map(String::from).to_vec()];
    lines.extend(
        names(known)
            .into_iter()
            .map(|r| vec![r.name, r.role.into(), r.ty, r.because]),
    );
    out.push_str(&table(&lines, &[], 2, 3));
    out
}

/// The inference plan and the remarks.
#[must_use]
pub fn plan(lines: &[Inference], fallbacks: &[Remark], remarks: &[String]) -> String {
    let mut out = String::from("\n  inference\n");
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|l| vec![l.names.join(", "), l.how.clone(), l.rule.clone()])
        .collect();
    out.push_str(&table(&rows, &[Align::Left], 2, 3));
    if !fallbacks.is_empty() || !remarks.is_empty() {
        out.push_str("\n  remarks\n");
    }
    for f in fallbacks {
        let taken = f.taken.map_or(String::new(), |t| format!(" ({t})"));
        out.push_str(&format!("  {} has no closed form here{taken}\n", f.name));
        let reasons: Vec<Vec<String>> = f
            .reasons
            .iter()
            .map(|(rule, why)| vec![(*rule).to_owned(), why.clone()])
            .collect();
        out.push_str(&table(&reasons, &[], 4, 2));
    }
    for r in remarks {
        out.push_str(&format!("  {}\n", wrap(r, 96, 4)));
    }
    out
}

/// The whole check as JSON.
#[must_use]
pub fn json(known: Known<'_>, inference: &[Inference], fallbacks: &[Remark]) -> Value {
    let rows: Vec<Value> = names(known)
        .into_iter()
        .map(|r| json!({ "name": r.name, "role": r.role, "type": r.ty, "because": r.because }))
        .collect();
    let plan: Vec<Value> = inference
        .iter()
        .map(|l| json!({ "names": l.names, "how": l.how, "rule": l.rule }))
        .collect();
    let declined: Vec<Value> = fallbacks
        .iter()
        .map(|f| {
            let reasons: Vec<Value> = f
                .reasons
                .iter()
                .map(|(rule, why)| json!({ "rule": rule, "why": why }))
                .collect();
            json!({ "name": f.name, "taken": f.taken, "declined": reasons })
        })
        .collect();
    json!({
        "model": known.graph.name,
        "description": known.graph.doc,
        "names": rows,
        "inference": plan,
        "declined": declined,
        "remarks": known.graph.remarks,
    })
}
