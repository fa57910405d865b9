//! Text to abstract syntax, and back: the only user of pest.
//!
//! Contract for the other stages: [`parse()`] gives the [`ast`], [`decode`] makes a source of a file's bytes, [`format()`]
//! is the formatter, and [`print_ast`] and [`source_text`] show a tree. Parts of a tree have `Display`, as source text.
//!
//! A text passes through: size and encoding → tokens → scan (brackets, nesting, the marks of other languages) → layout
//! (which line breaks separate) → pest → tree. What pest refuses, `explain` puts into words. Every recursion, here and
//! in later stages, is bounded: brackets by [`MAX_NESTING`], expression trees by [`MAX_DEPTH`].

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
