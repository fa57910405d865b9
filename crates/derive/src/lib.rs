//! Graph → log joint → ELBO → update plan: the derivation engine.
//!
//! `derive(&graph)` is the pipeline: `joint` (densities as terms, finite variables one-hot), `occur` (Q as a function of
//! each parameter), `missing` (cells that drop out), `rules` (one file per rule), `eliminate` (the order of the E-step), `steps` (the printed derivation).

mod affine;
pub mod chain;
mod chain_steps;
pub mod effects;
pub mod eliminate;
pub mod engine;
pub mod error;
pub mod factorial;
pub mod flatten;
mod gap;
pub mod guided;
pub mod joint;
pub mod labels;
mod marginal;
pub mod missing;
pub mod occur;
pub mod plan;
pub mod posterior;
pub mod rules;
mod smoother_steps;
pub mod steps;
pub mod symmetry;

pub use engine::{derive, derive_as, derive_with, iterated};
pub use error::DeriveError;
pub use missing::{Gaps, Missing};
pub use plan::Plan;
