//! Loop IR to machine code. The only crate that knows Cranelift.
//!
//! [`compile`] verifies a program and compiles each of its functions to one native function; the result is a
//! [`lvmc_loops::Machine`], as the interpreter is, on the same memory. Row loops become 128-bit code or calls of wide
//! block operations, kernels become calls of the block kernels (see [`lvmc_loops::route`](fn@lvmc_loops::route)).

pub mod dense;
mod emit;
mod error;
mod externals;
mod module;
mod run;

pub use error::JitError;
pub use lvmc_loops::{Kernels, Options};
pub use module::{Compiled, asm_text, clif_text, compile};
