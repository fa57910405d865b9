//! `for each COLUMN { }` as what it means: the column is a given category, what is declared inside is a family over it, and
//! rows pick their group's member.
//!
//! `for each school { u ~ Normal(0, t); for each row { y ~ Normal(u, s) } }` becomes `given school : category[G]`,
//! `global latent u[G] ~ Normal(0, t)`, `y ~ Normal(u[school], s)`. Groups inside groups are those that agree in all columns:
//! the category `school/class`. Chains inside groups, groups whose latents are not real, and latents of a group that stand
//! in the prior of a group inside it keep their plate.

use crate::graph::{DimInfo, DimSource, Dist, Factor, ModelGraph, Nested, Plate, PlateId, Role, Var, VarId};
use lvmc_base::Span;
use lvmc_term::{IxId, Size, Store, Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

/// The plate of rows that lie in no group.
const ROWS: usize = 1;

/// Rewrites every group plate that can be a family.
pub(crate) fn flatten(graph: &mut ModelGraph) {
    // innermost first: a plate that holds another one waits for it
    while (0..graph.plates.len()).any(|at| flattened(graph, at)) {}
}

/// Rewrites one plate; false where it is no group or keeps its plate.
fn flattened(graph: &mut ModelGraph, at: usize) -> bool {
    let Plate::Group { column, parent, span } = graph.plates[at].clone() else {
        return false;
    };
    let Some(outside) = outside(graph, parent) else {
        return false;
    };
    if !is_family(graph, at) || mentions_outer(graph, at) {
        return false;
    }
    let path: Vec<String> = outside.iter().map(|o| o.0.clone()).chain([column]).collect();
    let Some((code, size)) = code_of(graph, &path, span) else {
        return false;
    };
    let rows = match outside.last() {
        Some((_, group)) => row_plate(graph, *group),
        None => PlateId::from_index(ROWS),
    };
    rewrite(graph, at, (code, &size), rows);
    true
}

/// The groups around a plate, outermost first; `None` where something else lies around it.
fn outside(graph: &ModelGraph, parent: Option<PlateId>) -> Option<Vec<(String, PlateId)>> {
    let mut out = vec![];
    let mut at = parent;
    while let Some(p) = at {
        match &graph.plates[p.index()] {
            Plate::Group { column, parent, .. } => {
                out.insert(0, (column.clone(), p));
                at = *parent;
            }
            Plate::Global => break,
            _ => return None,
        }
    }
    Some(out)
}

/// True where the prior of a plate's latents depends on those of a group around it.
fn mentions_outer(graph: &ModelGraph, at: usize) -> bool {
    let outer = |v: &Var| matches!(graph.plates[v.plate.index()], Plate::Group { .. }) && v.plate.index() != at;
    let own = graph.factors.iter().filter(|f| f.plate.index() == at);
    let mut dists = own.map(|f| &f.dist);
    dists.any(|d| graph.vars.iter().any(|v| outer(v) && d.mentions(&graph.store, v.sym)))
}

/// The plate of the rows right inside a group.
fn row_plate(graph: &mut ModelGraph, group: PlateId) -> PlateId {
    let own = |p: &Plate| matches!(p, Plate::Row { parent: Some(q) } if *q == group);
    let at = graph.plates.iter().position(own).unwrap_or_else(|| {
        graph.plates.push(Plate::Row { parent: Some(group) });
        graph.plates.len() - 1
    });
    PlateId::from_index(at)
}

/// True where the plate holds real latents of its own and rows, and nothing else.
fn is_family(graph: &ModelGraph, at: usize) -> bool {
    let inside = |p: &Plate| match p {
        Plate::Row { parent } | Plate::Group { parent, .. } | Plate::Chain { parent, .. } => {
            parent.is_some_and(|q| q.index() == at)
        }
        Plate::Global => false,
    };
    let rows_only = graph
        .plates
        .iter()
        .all(|p| !inside(p) || matches!(p, Plate::Row { .. }));
    let real = |v: &&Var| v.role == Role::Latent && graph.store.sym(v.sym).support == Support::Real;
    let mut own = graph
        .vars
        .iter()
        .filter(|v| v.plate.index() == at && v.role != Role::Deterministic);
    rows_only && graph.guide.is_none() && own.all(|v| real(&v))
}

/// The column's own category and its size.
fn code_of(graph: &mut ModelGraph, path: &[String], span: Span) -> Option<(SymId, Size)> {
    let column = &path.join("/")[..];
    if let Some(v) = graph.vars.iter().find(|v| v.name == column) {
        let sym = graph.store.sym(v.sym);
        return match (&sym.support, v.role) {
            (Support::Category(size), Role::Given) if sym.shape.is_empty() => Some((v.sym, size.clone())),
            _ => None,
        };
    }
    let taken = |name: &str| graph.dims.iter().any(|d| graph.store.dim(d.id).name == name);
    let name = if taken("G") || path.len() > 1 {
        format!("G_{}", path.join("_"))
    } else {
        "G".to_owned()
    };
    let id = graph.store.add_dim(name);
    let size = Size::Dim(id);
    let sym = graph.store.add_sym(Sym {
        name: column.to_owned(),
        kind: SymKind::Given,
        shape: vec![],
        family: 0,
        per_row: true,
        support: Support::Category(size.clone()),
    });
    let var = VarId::from_index(graph.vars.len());
    graph.vars.push(Var {
        sym,
        name: column.to_owned(),
        role: Role::Given,
        family_first: vec![],
        plate: PlateId::from_index(ROWS),
        span,
        because: format!("for each {column}"),
        observed_as: None,
        observed_at: None,
        ranges: vec![],
    });
    if path.len() > 1 {
        graph.nested.push(Nested {
            var,
            columns: path.to_vec(),
        });
    }
    graph.dims.push(DimInfo {
        id,
        default: None,
        source: DimSource::Categories { var },
        span,
        because: format!("values of {column}"),
    });
    Some((sym, size))
}

fn rewrite(graph: &mut ModelGraph, at: usize, (code, size): (SymId, &Size), outer: PlateId) {
    let code = graph.store.var(code);
    let (mut in_rows, mut families) = (HashMap::new(), vec![]);
    for v in graph.vars.iter_mut().filter(|v| v.plate.index() == at) {
        v.plate = PlateId::from_index(0);
        if v.role != Role::Latent {
            continue;
        }
        let old = graph.store.sym(v.sym).clone();
        let shape = std::iter::once(size.clone()).chain(old.shape.iter().cloned()).collect();
        let family = old.family + 1;
        let new = graph.store.add_sym(Sym { shape, family, ..old });
        let (before, after) = (graph.store.var(v.sym), graph.store.var(new));
        in_rows.insert(before, graph.store.at(after, &[code]));
        families.push((before, after));
        v.sym = new;
        v.family_first.insert(0, 1);
    }
    let rows: Vec<usize> = (0..graph.plates.len())
        .filter(|&p| matches!(graph.plates[p], Plate::Row { parent: Some(q) } if q.index() == at))
        .collect();
    for v in graph.vars.iter_mut().filter(|v| rows.contains(&v.plate.index())) {
        v.plate = outer;
    }
    for f in &mut graph.factors {
        if rows.contains(&f.plate.index()) {
            f.plate = outer;
            substitute(&mut graph.store, f, &in_rows);
        } else if f.plate.index() == at {
            let k: IxId = graph.store.add_ix("g", size.clone());
            let ix = graph.store.index(k);
            let mut with = HashMap::new();
            for &(before, after) in &families {
                with.insert(before, graph.store.at(after, &[ix]));
            }
            f.plate = PlateId::from_index(0);
            f.ranges.insert(0, k);
            substitute(&mut graph.store, f, &with);
        }
    }
    let none = graph.plates[outer.index()].clone();
    for p in rows.into_iter().chain([at]) {
        graph.plates[p] = none.clone();
    }
}

fn substitute(store: &mut Store, f: &mut Factor, with: &HashMap<Term, Term>) {
    f.value = store.substitute(f.value, with);
    f.condition = f.condition.map(|c| store.substitute(c, with));
    in_dist(store, &mut f.dist, with);
}

fn in_dist(store: &mut Store, dist: &mut Dist, with: &HashMap<Term, Term>) {
    match dist {
        Dist::Family { args, .. } => {
            for a in args {
                *a = store.substitute(*a, with);
            }
        }
        Dist::If {
            condition,
            then,
            otherwise,
        } => {
            *condition = store.substitute(*condition, with);
            in_dist(store, then, with);
            in_dist(store, otherwise, with);
        }
    }
}
