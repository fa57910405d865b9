//! The tests of native code, against the interpreter.

#[path = "../../../loops/tests/it/common/mod.rs"]
mod common;

mod dense;
mod differential;
mod directed;
mod math;
mod mixture;
