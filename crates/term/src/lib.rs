//! The algebra: hash-consed array terms, directed rewrites, derivative, evaluation, printers.
//!
//! - [`Store`] owns nodes, symbols, sizes and bound indices. Its constructors (`add`, `mul`, `dot`, `quad`, …: the
//!   `build_*` modules) check shapes and simplify, so that equal terms are equal ids.
//! - Questions: [`Store::depends_on`], [`Store::symbols`], [`Store::per_row`], [`Store::free_indices`],
//!   [`Store::addends`], [`Store::factors`]; what is known of values: [`Store::is_positive`] and its neighbours.
//! - Rewrites: [`Store::substitute`]; [`Store::expand`] and [`Store::expand_in`] take products and sums apart;
//!   [`Store::structured`] takes determinants and quadratic forms of structured matrices apart; [`rules`] lists them.
//! - [`Store::collect`] writes a term as Σ ⟨coefficient, atom⟩, where only atoms depend on an unknown.
//! - [`Store::gradient`] differentiates, [`Store::eval`] evaluates (slowly: it is what everything is checked against).
//! - [`print::unicode`] and [`print::latex`] write a term as mathematics.
//!
//! Wrong shapes are bugs of the compiler (`debug_assert`): the model stage has already told the user of his.

mod adjoint;
mod array;
mod build_arith;
mod build_array;
mod build_fun;
mod build_index;
mod build_linear;
mod build_pick;
mod build_pow;
mod build_softplus;
mod collect;
mod env;
mod eval;
mod expand;
mod expand_linear;
mod facts;
mod function;
mod gradient;
mod ids;
mod node;
pub mod print;
mod query;
pub mod rules;
mod shape;
mod shape_of;
mod store;
mod structured;
#[cfg(test)]
mod tests;
mod walk;

pub use array::Array;
pub use collect::Part;
pub use env::{Env, EvalError, NetFn, RespFn};
pub use gradient::NoGradient;
pub use node::{Cmp, Draw, Fun, IxId, NOWHERE, Node, Num, Support, Sym, SymId, SymKind, Term};
pub use shape::{DimId, Shape, Size, sum_sizes};
pub use store::{Dim, Ix, Store};
pub use walk::children;
