//! `for each COLUMN { }` as what it means: the column is a given category, what is declared inside is a family over it, and
//! rows pick their group's member.
//!
//! `for each school { u ~ Normal(0, t); for each row { y ~ Normal(u, s) } }` becomes `given school : category[G]`,
//! `global latent u[G] ~ Normal(0, t)`, `y ~ Normal(u[school], s)`. Groups inside groups, chains inside groups, and groups whose
//! latents are not real keep their plate.

use crate::graph::{DimInfo, DimSource, Dist, Factor, ModelGraph, Plate, PlateId, Role, Var, VarId};
use lvmc_base::Span;
use lvmc_term::{IxId, Size, Store, Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

/// The plate of rows that lie in no group.
const ROWS: usize = 1;

/// Rewrites every group plate that can be a family.
pub(crate) fn flatten(graph: &mut ModelGraph) {
    for at in 0..graph.plates.len() {
        let Plate::Group { column, parent, span } = graph.plates[at].clone() else {
            continue;
        };
        if parent.is_none_or(|p| matches!(graph.plates[p.index()], Plate::Global)) && is_family(graph, at) {
            let Some((code, size)) = code_of(graph, &column, span) else {
                continue;
            };
            rewrite(graph, at, code, &size);
        }
    }
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
fn code_of(graph: &mut ModelGraph, column: &str, span: Span) -> Option<(SymId, Size)> {
    if let Some(v) = graph.vars.iter().find(|v| v.name == column) {
        let sym = graph.store.sym(v.sym);
        return match (&sym.support, v.role) {
            (Support::Category(size), Role::Given) if sym.shape.is_empty() => Some((v.sym, size.clone())),
            _ => None,
        };
    }
    let taken = |name: &str| graph.dims.iter().any(|d| graph.store.dim(d.id).name == name);
    let name = if taken("G") {
        format!("G_{column}")
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
    graph.dims.push(DimInfo {
        id,
        default: None,
        source: DimSource::Categories { var },
        span,
        because: format!("values of {column}"),
    });
    Some((sym, size))
}

fn rewrite(graph: &mut ModelGraph, at: usize, code: SymId, size: &Size) {
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
        v.plate = PlateId::from_index(ROWS);
    }
    for f in &mut graph.factors {
        if rows.contains(&f.plate.index()) {
            f.plate = PlateId::from_index(ROWS);
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
    for p in rows.into_iter().chain([at]) {
        graph.plates[p] = Plate::Row { parent: None };
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
