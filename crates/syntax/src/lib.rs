//! Text to abstract syntax, and back: the only user of pest.
//!
//! Contract for the other stages: [`parse`] and [`format`].

pub mod ast;
