//! Effects: global latents, one for each value of a given category, that rows pick by their own.
//!
//! Inside a row `u[user]` is one number (or vector), as a latent of the row would be: a symbol that varies by row stands
//! for it while the row's density is read as a function of it.

use crate::error::DeriveError;
use crate::joint::LogJoint;
use crate::posterior::group;
use lvmc_base::Span;
use lvmc_model::graph::{ModelGraph, Plate, Role};
use lvmc_term::{IxId, Node, Size, Store, Support, Sym, SymId, SymKind, Term, children};
use std::collections::HashMap;

/// A global latent.
#[derive(Debug, Clone)]
pub struct Effect {
    /// Its symbol.
    pub sym: SymId,
    /// The statement that gives its prior.
    pub factor: usize,
    /// The prior's family, for messages.
    pub family: &'static str,
    /// Place of the statement.
    pub span: Span,
    /// Indices of its prior.
    pub ranges: Vec<IxId>,
    /// The given category whose value picks a member, once a row was read that uses it.
    pub code: Option<Term>,
    /// What stands for the picked member inside a row: a symbol that varies by row, or the latent itself where it has no
    /// members. `None` where no row uses it.
    pub local: Option<Term>,
}

/// The global latents of a model.
#[must_use]
pub fn effects(graph: &ModelGraph) -> Vec<Effect> {
    let mut found = vec![];
    for (i, f) in graph.factors.iter().enumerate() {
        let var = graph.var(f.var);
        if var.role == Role::Latent && matches!(graph.plates[f.plate.index()], Plate::Global) {
            found.push(Effect {
                sym: var.sym,
                factor: i,
                family: crate::joint::family_name(&f.dist),
                span: f.span,
                ranges: f.ranges.clone(),
                code: None,
                local: None,
            });
        }
    }
    found
}

/// A row's density with the members that it picks in place of the families.
///
/// # Errors
/// A global latent that is not picked by one given category.
pub fn rowwise(joint: &mut LogJoint, graph: &ModelGraph, term: Term, span: Span) -> Result<Term, DeriveError> {
    let mut with = HashMap::new();
    for e in 0..joint.effects.len() {
        let (sym, family) = {
            let e = &joint.effects[e];
            (e.sym, joint.store.sym(e.sym).family)
        };
        if !joint.store.depends_on_sym(term, sym) {
            continue;
        }
        let refuse = |joint: &LogJoint, reason: &str| Err(group::refused(joint, graph, e, reason, Some(span)));
        for (t, at) in uses(&joint.store, term, sym) {
            if family == 0 {
                joint.effects[e].local = Some(joint.store.var(sym));
                continue;
            }
            if at.len() < family {
                return refuse(joint, "a row uses all of its members at once");
            }
            if family > 1 {
                return refuse(joint, "it has more than one index");
            }
            let code = at[0];
            let given = matches!(*joint.store.node(code), Node::Sym(x)
                if joint.store.sym(x).kind == SymKind::Given && joint.store.sym(x).per_row
                    && matches!(joint.store.sym(x).support, Support::Category(_)));
            if !given {
                return refuse(joint, "its members are not picked by a given category");
            }
            if joint.effects[e].code.is_some_and(|c| c != code) {
                return refuse(joint, "two different columns pick its members");
            }
            let local = match joint.effects[e].local {
                Some(local) => local,
                None => local_of(&mut joint.store, sym),
            };
            joint.effects[e].code = Some(code);
            joint.effects[e].local = Some(local);
            let picked = joint.store.at(local, &at[1..]);
            with.insert(t, picked);
        }
    }
    Ok(joint.store.substitute(term, &with))
}

/// A symbol of the row that stands for a member of the family.
fn local_of(s: &mut Store, sym: SymId) -> Term {
    let like = s.sym(sym).clone();
    let local = s.add_sym(Sym {
        shape: like.shape[like.family..].to_vec(),
        family: 0,
        per_row: true,
        kind: SymKind::Latent,
        ..like
    });
    s.var(local)
}

/// Where a symbol stands in a term, with its positions.
fn uses(s: &Store, term: Term, sym: SymId) -> Vec<(Term, Vec<Term>)> {
    let (mut found, mut stack, mut seen) = (vec![], vec![term], std::collections::BTreeSet::new());
    while let Some(t) = stack.pop() {
        if !seen.insert(t) {
            continue;
        }
        match s.node(t) {
            Node::At(base, at) if *s.node(*base) == Node::Sym(sym) => {
                stack.extend(at.iter().copied());
                found.push((t, at.to_vec()));
            }
            Node::Sym(x) if *x == sym => found.push((t, vec![])),
            node => stack.extend(children(node)),
        }
    }
    found
}

/// The members of the families again, in place of what stands for them inside a row.
pub fn restored(joint: &mut LogJoint, term: Term) -> Term {
    let mut with = HashMap::new();
    for e in joint.effects.clone() {
        if let (Some(code), Some(local)) = (e.code, e.local) {
            let whole = joint.store.var(e.sym);
            let at = joint.store.at(whole, &[code]);
            with.insert(local, at);
        }
    }
    joint.store.substitute(term, &with)
}

/// True for a symbol that nothing but members of global latents is picked by: it needs no one-hot form.
#[must_use]
pub fn picks_effects_only(graph: &ModelGraph, terms: &[Term], sym: SymId) -> bool {
    let s = &graph.store;
    let effects = effects(graph);
    let (mut stack, mut seen) = (terms.to_vec(), std::collections::BTreeSet::new());
    while let Some(t) = stack.pop() {
        if !seen.insert(t) {
            continue;
        }
        match s.node(t) {
            Node::At(base, at) if matches!(s.node(*base), Node::Sym(x) if effects.iter().any(|e| e.sym == *x)) => {
                stack.extend(at.iter().copied().filter(|&i| *s.node(i) != Node::Sym(sym)));
            }
            Node::Sym(x) if *x == sym => return false,
            node => stack.extend(children(node)),
        }
    }
    true
}

/// How many members a family has, and the shape of one.
#[must_use]
pub fn shape_of(s: &Store, sym: SymId) -> (Option<Size>, Vec<Size>) {
    let sym = s.sym(sym);
    let (family, own) = sym.shape.split_at(sym.family);
    (family.first().cloned(), own.to_vec())
}
