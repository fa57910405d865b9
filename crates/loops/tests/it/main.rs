//! The tests of the loop IR: builder, verifier, interpreter, lowering.

mod aligned;
mod builder;
mod common;
mod harness;
mod index;
mod interp;
mod lowering;
mod text;
mod verify;
