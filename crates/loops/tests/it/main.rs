//! The tests of the loop IR: builder, verifier, interpreter, lowering.

mod builder;
mod common;
mod harness;
mod interp;
mod lowering;
mod text;
mod verify;
