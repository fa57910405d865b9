//! The tests of the syntax: trees, formatter, diagnostics, limits.

mod common;
mod diagnostics;
mod format;
mod grammar;
mod languages;
mod limits;
mod robust;
mod roundtrip;
