//! Text to abstract syntax, and back: the only user of pest.
//!
//! Contract for the other stages: [`parse`] and [`format`].

pub mod ast;
mod build;
mod error;
mod grammar;
mod layout;
mod parse;
mod scan;
mod slips;
mod token;

pub use build::MAX_DEPTH;
pub use error::SyntaxError;
pub use parse::{MAX_BYTES, decode, parse};
pub use scan::MAX_NESTING;
