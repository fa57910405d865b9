//! lvmc: a compiler for latent variable models.
//!
//! The pipeline, each arrow a crate of its own:
//!
//! ```text
//! text → Ast → ModelGraph → LogJoint → Elbo → UpdatePlan → LoopProgram → Compiled → Fit → output
//! ```

pub mod advice;
pub mod border;
pub mod builtin;
pub mod certify;
pub mod cli;
pub mod failure;
pub mod gradient;
pub mod pipeline;
pub mod selection;
pub mod stage;

pub use failure::Failure;
