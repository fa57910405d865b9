//! Text to abstract syntax, and back: the only user of pest.
//!
//! Contract for the other stages: [`parse`] and [`format`].

pub mod ast;
mod build;
mod error;
mod explain;
mod format;
mod grammar;
mod layout;
mod parse;
mod print;
mod scan;
mod show;
mod slips;
mod token;

pub use build::MAX_DEPTH;
pub use error::SyntaxError;
pub use format::format;
pub use parse::{MAX_BYTES, decode, parse};
pub use print::source_text;
pub use scan::MAX_NESTING;
pub use show::print_ast;
