//! Directions along which the log-likelihood is flat: rotations of a latent.
//!
//! Statement: where the density of a Gaussian latent depends on z through |z|² alone, and z stands elsewhere only in
//! products W z with matrices of free parameters that stand nowhere else, then (W, z) → (W Rᵀ, R z) leaves the joint density
//! as it is for every rotation R. So W is determined up to Q(Q − 1)/2 directions, one set for each component that has
//! loadings of its own.

use crate::flatten::flatten;
use crate::plan::{Posterior, Prior, RowFactor};
use lvmc_term::{Node, Size, Store, Support, SymId, SymKind, Term};
use std::collections::{BTreeSet, HashMap};

/// A latent that may be rotated with its loadings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The latent.
    pub latent: SymId,
    /// Its length Q.
    pub size: Size,
    /// Matrices of Q columns, all with the same family indices.
    pub loadings: Vec<SymId>,
}

/// The rotations of a plan's latents.
pub fn rotations(
    store: &mut Store,
    posteriors: &[Posterior],
    factors: &[RowFactor],
    priors: &[Prior],
) -> Vec<Rotation> {
    posteriors
        .iter()
        .filter_map(|p| rotation(store, p.sym, factors, priors))
        .collect()
}

fn rotation(s: &mut Store, latent: SymId, factors: &[RowFactor], priors: &[Prior]) -> Option<Rotation> {
    let [size] = s.sym(latent).shape.clone().try_into().ok()?;
    let z = s.var(latent);
    let (mut loadings, mut left) = (BTreeSet::new(), vec![]);
    for f in factors {
        for case in &f.cases {
            if f.value == latent {
                let addends = flatten(s, case.term);
                if !addends.into_iter().all(|t| is_length(s, t, z)) {
                    return None;
                }
                continue;
            }
            let (term, found) = without_products(s, case.term, z);
            if s.contains(term, z) {
                return None;
            }
            loadings.extend(found);
            left.push(term);
        }
    }
    left.extend(priors.iter().map(|p| p.term));
    let free = |s: &Store, w: SymId| {
        let sym = s.sym(w);
        sym.kind == SymKind::Param && sym.support == Support::Real && sym.shape.len() == sym.family + 2
    };
    let whole = loadings
        .iter()
        .all(|&w| free(s, w) && !left.iter().any(|&t| s.depends_on_sym(t, w)));
    let first = *loadings.first()?;
    let family = |s: &Store, w: SymId| s.sym(w).shape[..s.sym(w).family].to_vec();
    let alike = loadings.iter().all(|&w| family(s, w) == family(s, first));
    (whole && alike).then(|| Rotation {
        latent,
        size,
        loadings: loadings.into_iter().collect(),
    })
}

/// Free of z, or a scalar times |z|².
fn is_length(s: &Store, t: Term, z: Term) -> bool {
    if !s.contains(t, z) {
        return true;
    }
    let (bound, free): (Vec<Term>, Vec<Term>) = s.factors(t).into_iter().partition(|&f| s.contains(f, z));
    let scalar = free.iter().all(|&f| s.shape(f).is_empty());
    let squares = |f: Term| match *s.node(f) {
        Node::Total(u) => matches!(*s.node(u), Node::Pow(e, p) if e == z && s.as_num(p) == Some(2.0)),
        _ => false,
    };
    scalar && matches!(bound[..], [one] if squares(one))
}

/// The term with 0 for every product W z, and the W.
fn without_products(s: &mut Store, t: Term, z: Term) -> (Term, Vec<SymId>) {
    let (mut with, mut found) = (HashMap::new(), vec![]);
    for sub in s.subterms(t) {
        if let Node::MatVec(w, v) = *s.node(sub)
            && v == z
            && let Some((sym, _)) = s.as_symbol(w)
        {
            let shape = s.shape(sub).clone();
            with.insert(sub, s.zeros(shape));
            found.push(sym);
        }
    }
    (s.substitute(t, &with), found)
}
