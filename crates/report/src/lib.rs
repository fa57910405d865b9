//! What people read: tables of a check, derivations as mathematics, fits, and the same as JSON.
//!
//! Nothing here computes: every number, term and name comes from the stage that made it.

pub mod abbreviate;
pub mod check;
pub mod derivation;
pub mod explain;
pub mod layout;
pub mod math;
pub mod page;
pub mod stages;
pub mod words;
