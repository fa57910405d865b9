//! Types as they are written, and the graph as text.

use crate::graph::{Dist, Factor, ModelGraph, Net, Plate, PlateId, Role, Start, VarId};
use crate::lower::size_text;
use lvmc_term::{Size, Support, Term};
use std::fmt::Write;

/// The type of one element of a variable, as it would be written: `simplex[K]`, `real[D]`, `category[K]`.
#[must_use]
pub fn type_text(graph: &ModelGraph, var: VarId) -> String {
    let sym = graph.store.sym(graph.var(var).sym);
    let own = &sym.shape[sym.family.min(sym.shape.len())..];
    let list = |sizes: &[Size]| {
        let names: Vec<String> = sizes.iter().map(|s| size_text(&graph.store, s)).collect();
        if names.is_empty() {
            String::new()
        } else {
            format!("[{}]", names.join(", "))
        }
    };
    match &sym.support {
        Support::Category(n) => {
            let mut sizes = vec![n.clone()];
            sizes.extend_from_slice(own);
            format!("category{}", list(&sizes))
        }
        Support::Simplex => format!("simplex{}", list(own)),
        Support::Ordered => format!("ordered{}", list(own)),
        Support::Cov => format!("cov{}", list(&own[..own.len().min(1)])),
        Support::Corr => format!("corr{}", list(&own[..own.len().min(1)])),
        Support::Real => format!("real{}", list(own)),
        Support::Positive => format!("positive{}", list(own)),
        Support::NonNegative => format!("nonnegative{}", list(own)),
        Support::Unit => format!("unit{}", list(own)),
        Support::Int => format!("int{}", list(own)),
        Support::Count => format!("count{}", list(own)),
        Support::Binary => format!("binary{}", list(own)),
    }
}

/// A net's inputs and outputs: `real[Q] → unit[D]`.
#[must_use]
pub fn net_type_text(graph: &ModelGraph, net: &Net) -> String {
    let list = |list: &[(lvmc_syntax::ast::Ident, lvmc_syntax::ast::Type)]| {
        let types: Vec<&str> = list.iter().map(|(_, ty)| graph.source.slice(ty.span)).collect();
        types.join(", ")
    };
    format!("{} → {}", list(&net.syntax.inputs), list(&net.syntax.outputs))
}

/// The name with its family sizes: `mu[K]`, `x[0..T]`.
#[must_use]
pub fn name_text(graph: &ModelGraph, var: VarId) -> String {
    let v = graph.var(var);
    let sym = graph.store.sym(v.sym);
    if sym.family == 0 {
        return v.name.clone();
    }
    let axes: Vec<String> = sym.shape[..sym.family]
        .iter()
        .zip(&v.family_first)
        .map(|(size, &first)| match first {
            1 => size_text(&graph.store, size),
            _ => format!("{first}..{}", last_text(graph, size, first)),
        })
        .collect();
    format!("{}[{}]", v.name, axes.join(", "))
}

fn last_text(graph: &ModelGraph, size: &Size, first: i64) -> String {
    let plus = |n: i64, d: String| match n {
        0 => d,
        n if n > 0 => format!("{d} + {n}"),
        n => format!("{d} - {}", -n),
    };
    match size {
        Size::Const(n) => (first + *n as i64 - 1).to_string(),
        Size::Dim(_) => plus(first - 1, size_text(&graph.store, size)),
        Size::Sum(parts) => {
            let count: i64 = parts
                .iter()
                .map(|p| if let Size::Const(n) = p { *n as i64 } else { 0 })
                .sum();
            let rest = parts.iter().filter(|p| !matches!(p, Size::Const(_)));
            let names: Vec<String> = rest.map(|p| size_text(&graph.store, p)).collect();
            plus(first + count - 1, names.join(" + "))
        }
    }
}

/// The word of a role.
#[must_use]
pub fn role_text(role: Role) -> &'static str {
    match role {
        Role::Param => "param",
        Role::Const => "const",
        Role::Latent => "latent",
        Role::Data => "data",
        Role::Given => "given",
        Role::Noise => "noise",
        Role::Deterministic => "definition",
    }
}

/// The graph as text, for `emit --stage graph`.
#[must_use]
pub fn print_graph(graph: &ModelGraph) -> String {
    let mut out = format!("model {}\n", graph.name);
    for d in &graph.dims {
        let value = d.default.map_or("?".into(), |n| n.to_string());
        let _ = writeln!(out, "dim {} = {value}   # {}", graph.store.dim(d.id).name, d.because);
    }
    for (i, v) in graph.vars.iter().enumerate() {
        let id = VarId::from_index(i);
        if graph.net_of_weight(id).is_some() {
            continue;
        }
        let (name, ty) = (name_text(graph, id), type_text(graph, id));
        let plate = plate_text(graph, v.plate);
        let _ = writeln!(out, "{} {name} : {ty} per {plate}   # {}", role_text(v.role), v.because);
        if let Some(t) = v.observed_as {
            let _ = writeln!(out, "  observed as {}", term(graph, t));
        }
        if let Some(t) = v.observed_at {
            let _ = writeln!(out, "  data at {}", term(graph, t));
        }
    }
    for (var, value) in &graph.consts {
        let value = value.map_or("?".into(), |t| term(graph, t));
        let _ = writeln!(out, "{} = {value}", graph.var(*var).name);
    }
    if let Some(c) = &graph.chain {
        let by = c.by.as_ref().map(|b| format!(" by {b}")).unwrap_or_default();
        let groups: String = c.groups.iter().map(|g| format!("for each {g} ")).collect();
        let _ = writeln!(out, "{groups}chain {}{by} over the rows", c.index);
    }
    graph.nets.iter().for_each(|n| net(&mut out, graph, n));
    for f in &graph.factors {
        factor(&mut out, graph, f);
    }
    if let Some(g) = &graph.guide {
        out.push_str("guide\n");
        for f in &g.factors {
            out.push_str("  ");
            factor(&mut out, graph, f);
        }
    }
    for (name, value, _) in &graph.fit {
        let _ = writeln!(out, "fit {name} = {value:?}");
    }
    if let Some((w, _)) = &graph.weight {
        let _ = writeln!(out, "weight {w}");
    }
    for r in &graph.remarks {
        let _ = writeln!(out, "remark: {r}");
    }
    out
}

fn net(out: &mut String, graph: &ModelGraph, net: &Net) {
    let names = |list: &[(lvmc_syntax::ast::Ident, lvmc_syntax::ast::Type)]| {
        let names: Vec<&str> = list.iter().map(|(n, _)| n.name.as_str()).collect();
        names.join(", ")
    };
    let head = (names(&net.syntax.inputs), names(&net.syntax.outputs));
    let _ = writeln!(out, "net {}({}) -> {}", net.syntax.name.name, head.0, head.1);
    for w in &net.weights {
        let start = match &w.start {
            Start::Uniform { fan_in } => match fan_in {
                Size::Sum(_) => format!("uniform on ±1/√({})", size_text(&graph.store, fan_in)),
                _ => format!("uniform on ±1/√{}", size_text(&graph.store, fan_in)),
            },
            Start::Zero => "0".into(),
            Start::One => "1".into(),
            Start::Normal { sd } => format!("normal with standard deviation {sd}"),
        };
        let _ = writeln!(
            out,
            "  {} : {}   # {start}",
            graph.var(w.var).name,
            type_text(graph, w.var)
        );
    }
    for d in &net.noises {
        let _ = writeln!(out, "  {} drops {}", graph.store.sym(d.mask).name, term(graph, d.rate));
    }
    for (&t, (name, _)) in net.results.iter().zip(&net.syntax.outputs) {
        let _ = writeln!(out, "  {} = {}", name.name, term(graph, t));
    }
}

/// Terms longer than this are cut: this text is for people.
const LONGEST: usize = 2000;

fn term(graph: &ModelGraph, t: Term) -> String {
    let mut text = graph.store.print_debug_short(t, LONGEST);
    if text.len() > LONGEST {
        let mut at = LONGEST;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
        text.push('…');
    }
    text
}

fn plate_text(graph: &ModelGraph, plate: PlateId) -> String {
    match graph.plates.get(plate.index()) {
        None | Some(Plate::Global) => "data set".into(),
        Some(Plate::Row { parent: None }) => "row".into(),
        Some(Plate::Row { parent: Some(p) }) => format!("row of {}", plate_text(graph, *p)),
        Some(Plate::Group { column, .. }) => column.clone(),
        Some(Plate::Chain { index, parent, .. }) => {
            let name = &graph.store.ix(*index).name;
            match parent {
                Some(p) => format!("{name} of {}", plate_text(graph, *p)),
                None => name.clone(),
            }
        }
    }
}

fn factor(out: &mut String, graph: &ModelGraph, f: &Factor) {
    let _ = write!(out, "{} ~ {}", term(graph, f.value), dist(graph, &f.dist));
    if f.elementwise {
        out.push_str(" elementwise");
    }
    for &ix in &f.ranges {
        let ix = graph.store.ix(ix);
        let _ = write!(out, " for {} < {}", ix.name, size_text(&graph.store, &ix.size));
    }
    if let Some(c) = f.condition {
        let _ = write!(out, " where {}", term(graph, c));
    }
    if let Some(p) = f.position {
        let _ = write!(out, " at {}", term(graph, p));
    }
    let when = graph.chain.as_ref().map(|c| f.when.text(&c.index)).unwrap_or_default();
    if !when.is_empty() {
        let _ = write!(out, " where {when}");
    }
    let _ = writeln!(out, " per {}", plate_text(graph, f.plate));
}

fn dist(graph: &ModelGraph, d: &Dist) -> String {
    match d {
        Dist::Family {
            family,
            signature,
            args,
            ..
        } => {
            let args: Vec<String> = args.iter().map(|&a| term(graph, a)).collect();
            format!("{}#{signature}({})", family.name(), args.join(", "))
        }
        Dist::If {
            condition,
            then,
            otherwise,
        } => format!(
            "if {} then {} else {}",
            term(graph, *condition),
            dist(graph, then),
            dist(graph, otherwise)
        ),
    }
}
