//! Update plan to loop IR, its passes, verifier, text form and reference interpreter.

pub mod ir;
pub mod lowered;
