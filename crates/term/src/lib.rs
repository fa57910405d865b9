//! The algebra: hash-consed array terms, directed rewrites, derivative, evaluation, printers.
//!
//! Contract for the other stages (see each module):
//! - [`Store`] owns nodes, symbols, sizes and bound indices; constructors (`store.add(a, b)`, `store.mul`, `store.dot`,
//!   `store.quad`, …) check shapes and simplify, so equal terms are equal ids.
//! - `Store::substitute`, `Store::expand`, `Store::depends_on`, `Store::addends`, `Store::factors`.
//! - `Store::gradient` (reverse mode on array terms), `Store::eval` (the reference evaluator).
//! - `print::unicode`, `print::latex`.

mod adjoint;
mod array;
mod build_arith;
mod build_array;
mod build_fun;
mod build_index;
mod build_linear;
mod build_pow;
mod collect;
mod env;
mod eval;
mod expand;
mod expand_linear;
mod facts;
mod function;
mod gradient;
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
pub use node::{Cmp, Fun, IxId, Node, Num, Support, Sym, SymId, SymKind, Term};
pub use shape::{DimId, Shape, Size, sum_sizes};
pub use store::{Dim, Ix, Store};
pub use walk::children;
