//! Update plan to loop IR, its passes, verifier, text form and reference interpreter.

pub mod builder;
mod index;
pub mod ir;
pub mod semantics;

pub use builder::{FuncBuilder, ProgramBuilder};
