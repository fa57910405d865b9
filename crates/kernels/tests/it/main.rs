//! The tests of the kernels, on every instruction set of the machine.

mod block;
mod common;
mod dense;
mod draws;
mod special;
mod tape;
mod threads;
