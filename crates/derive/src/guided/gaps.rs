//! Missing cells of the data of a model with a guide or nets.
//!
//! Statement: with o = 1 where a cell is observed, log p(x_observed) ≥ E_q[Σ_j o_j log p(x_j | z) + log p(z) − log q(z)], for
//! any q that is a function of what is observed. The guide and the nets of it read the mean of a column where a cell of it
//! is missing (the most frequent value of a category): a function of what is observed, so that the bound holds whatever it
//! makes of them (Mattei and Frellsen 2019 read zeros of centred data).
//!
//! Side conditions: the elements of the variable are independent given what its statement depends on, or a row has all of
//! them or none; no other statement of the model depends on it, which would read a number that was never observed.
//!
//! Proof: the integral of the missing elements' density is 1, for every z; then Jensen's inequality for p(x_observed, z).

use crate::joint::arguments;
use crate::missing::{self, Gaps};
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_term::SymId;

/// Why missing cells of a variable cannot be left out of the bound, as a sentence about it; `None` where they can.
pub(crate) fn refusal(graph: &ModelGraph, sym: SymId, gaps: Gaps) -> Option<String> {
    let var = graph.var_of(sym).map(|v| graph.var(v))?;
    if var.role != Role::Data {
        return Some("it is conditioned on, and never modelled".into());
    }
    let other = |f: &&lvmc_model::graph::Factor| {
        graph.var(f.var).sym != sym && arguments(&f.dist).iter().any(|&t| graph.store.depends_on_sym(t, sym))
    };
    if let Some(user) = graph.factors.iter().find(other) {
        return Some(format!("`{}` depends on it", graph.var(user.var).name));
    }
    let own = graph.factors.iter().find(|f| graph.var(f.var).sym == sym)?;
    let mut store = graph.store.clone();
    let whole = gaps == Gaps::Whole || store.sym(sym).shape.is_empty();
    if !whole && !missing::elementwise(&mut store, own, &own.dist) {
        return Some("its elements depend on each other, so that a row has all of them or none".into());
    }
    None
}
