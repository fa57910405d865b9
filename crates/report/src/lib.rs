//! What people read: tables of a check, derivations as mathematics, fits, and the same as JSON.
//!
//! Nothing here computes: every number, term and name comes from the stage that made it.

pub mod abbreviate;
pub mod check;
pub mod derivation;
pub mod explain;
pub mod fit;
pub mod guided;
pub mod layout;
pub mod math;
pub mod numbers;
pub mod page;
pub mod parameters;
pub mod pictures;
pub mod plot;
pub mod selection;
pub mod stages;
pub mod training;
pub mod words;
