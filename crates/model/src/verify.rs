//! The graph's invariants:
//!
//! 1. a symbol of a term is a variable of `vars`, and no definition's;
//! 2. an index of a factor's term is bound: by its ranges, or by its chain and the chains around it;
//! 3. a factor's arguments have the shapes its signature asks for, its value that of its event;
//! 4. conditions are scalar;
//! 5. factors belong to variables that may have them, each latent and data variable has one;
//! 6. a net's results are terms over its arguments, its masks, its weights and constants, and have its outputs' shapes;
//! 7. plates: the first is global, the second the rows, parents come before their children.

use crate::graph::{Dist, Factor, ModelGraph, Net, Plate, PlateId, Role};
use crate::text::print_graph;
use lvmc_base::Bug;
use lvmc_families::Event;
use lvmc_term::{IxId, Term};
use std::collections::BTreeSet;

/// Holds the graph to its invariants.
///
/// # Errors
/// The first that is violated, with the graph as text: a bug of lvmc.
pub fn verify(graph: &ModelGraph) -> Result<(), Bug> {
    check(graph).map_err(|message| Bug {
        stage: "graph",
        message,
        ir: print_graph(graph),
    })
}

fn check(g: &ModelGraph) -> Result<(), String> {
    match g.plates.as_slice() {
        [Plate::Global, Plate::Row { parent: None }, ..] => {}
        _ => return Err("the first plates are the data set and its rows".into()),
    }
    for (i, p) in g.plates.iter().enumerate() {
        if parent(p).is_some_and(|p| p.index() >= i) {
            return Err(format!("plate {i} comes before its parent"));
        }
    }
    let guide = g.guide.iter().flat_map(|g| &g.factors);
    for f in g.factors.iter().chain(guide) {
        factor(g, f)?;
    }
    for f in &g.factors {
        let v = g.var(f.var);
        if !matches!(v.role, Role::Param | Role::Latent | Role::Data) {
            return Err(format!("{} is {:?} and has a factor", v.name, v.role));
        }
    }
    for (i, v) in g.vars.iter().enumerate() {
        let made = g
            .chain
            .as_ref()
            .is_some_and(|c| c.makes(crate::graph::VarId::from_index(i)));
        let own = made || g.factors.iter().any(|f| f.var.index() == i);
        if matches!(v.role, Role::Latent | Role::Data) && !own {
            return Err(format!("{} has no factor", v.name));
        }
        let sym = g.store.sym(v.sym);
        if v.family_first.len() != sym.family || sym.shape.len() < sym.family {
            return Err(format!(
                "{} has {} first positions for {} axes",
                v.name,
                v.family_first.len(),
                sym.family
            ));
        }
        if let Some(t) = v.observed_as {
            symbols(g, t)?;
        }
    }
    for n in &g.nets {
        net(g, n)?;
    }
    for (var, value) in &g.consts {
        let Some(t) = value else { continue };
        symbols(g, *t)?;
        let bound: BTreeSet<IxId> = g.var(*var).ranges.iter().copied().collect();
        if let Some(ix) = g.store.free_indices(*t).into_iter().find(|i| !bound.contains(i)) {
            return Err(format!(
                "{} mentions the loose index {}",
                g.var(*var).name,
                g.store.ix(ix).name
            ));
        }
    }
    Ok(())
}

fn net(g: &ModelGraph, n: &Net) -> Result<(), String> {
    let name = &n.syntax.name.name;
    if n.arguments.len() != n.inputs.len() || n.results.len() != n.outputs.len() {
        return Err(format!(
            "the net {name} has other arguments or results than its head says"
        ));
    }
    for (&t, want) in n.results.iter().zip(&n.outputs) {
        if g.store.shape(t) != want {
            return Err(format!(
                "a result of the net {name} has the shape {:?}",
                g.store.shape(t)
            ));
        }
        for s in g.store.symbols(t) {
            let own = n.arguments.contains(&s) || n.noises.iter().any(|d| d.mask == s);
            let var = g.var_of(s);
            let weight = |v| n.weights.iter().any(|w| w.var == v);
            if !own && !var.is_some_and(|v| weight(v) || g.var(v).role == Role::Const) {
                return Err(format!("the net {name} mentions {}", g.store.sym(s).name));
            }
        }
    }
    Ok(())
}

fn parent(p: &Plate) -> Option<PlateId> {
    match p {
        Plate::Global => None,
        Plate::Row { parent } | Plate::Group { parent, .. } | Plate::Chain { parent, .. } => *parent,
    }
}

fn symbols(g: &ModelGraph, t: Term) -> Result<(), String> {
    for s in g.store.symbols(t) {
        match g.var_of(s) {
            None => return Err(format!("the symbol {} is no variable", g.store.sym(s).name)),
            Some(v) if g.var(v).role == Role::Deterministic => {
                return Err(format!("the definition {} was not substituted", g.var(v).name));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn factor(g: &ModelGraph, f: &Factor) -> Result<(), String> {
    let mut bound: BTreeSet<IxId> = f.ranges.iter().copied().collect();
    let mut at = Some(f.plate);
    while let Some(p) = at {
        let Some(plate) = g.plates.get(p.index()) else {
            return Err("a factor of no plate".into());
        };
        if let Plate::Chain { index, .. } = plate {
            bound.insert(*index);
        }
        at = parent(plate);
    }
    let mut terms = vec![f.value];
    terms.extend(f.position);
    terms.extend(f.condition);
    dist(g, f, &f.dist, &mut terms)?;
    for t in terms {
        symbols(g, t)?;
        if let Some(ix) = g.store.free_indices(t).into_iter().find(|i| !bound.contains(i)) {
            return Err(format!(
                "a factor of {} mentions the loose index {}",
                g.var(f.var).name,
                g.store.ix(ix).name
            ));
        }
    }
    Ok(())
}

fn dist(g: &ModelGraph, f: &Factor, d: &Dist, terms: &mut Vec<Term>) -> Result<(), String> {
    match d {
        Dist::If {
            condition,
            then,
            otherwise,
        } => {
            if !g.store.shape(*condition).is_empty() {
                return Err("a condition is an array".into());
            }
            terms.push(*condition);
            dist(g, f, then, terms)?;
            dist(g, f, otherwise, terms)
        }
        Dist::Family {
            family,
            signature,
            args,
            ..
        } => {
            let sig = family.signatures().get(*signature).ok_or("an unknown signature")?;
            if sig.args.len() != args.len() {
                return Err(format!("{} with {} arguments", family.name(), args.len()));
            }
            let value = g.store.shape(f.value);
            let rank = match sig.event {
                Event::Scalar => None,
                Event::Vector => Some(1),
                Event::Matrix => Some(2),
            };
            if rank.is_some_and(|r| r != value.len()) {
                return Err(format!("{} of a value of rank {}", family.name(), value.len()));
            }
            for (arg, &t) in sig.args.iter().zip(args) {
                let have = g.store.shape(t);
                let fits = match (sig.event, arg.rank) {
                    (Event::Scalar, 0) => have == value,
                    (Event::Scalar, r) => have.len() == r,
                    (_, r) => have.len() == r && have.iter().all(|n| Some(n) == value.first()),
                };
                if !fits {
                    return Err(format!(
                        "the argument {} of {} has the shape {have:?}",
                        arg.name,
                        family.name()
                    ));
                }
            }
            terms.extend(args);
            Ok(())
        }
    }
}
