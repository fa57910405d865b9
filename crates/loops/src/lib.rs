//! Update plan to loop IR, its passes, verifier, text form and reference interpreter.

pub mod aligned;
pub mod batch;
pub mod builder;
mod index;
pub mod interp;
pub mod ir;
pub mod lens;
pub mod lower;
pub mod lowered;
pub mod machine;
pub mod memory;
pub mod passes;
pub mod route;
pub mod scan;
pub mod semantics;
pub mod text;
pub mod usage;
pub mod verify;

pub use aligned::{AlignedVec, Padding, RowLayout};
pub use builder::{FuncBuilder, ProgramBuilder};
pub use interp::Interpreter;
pub use machine::{Machine, Sweep, sweep};
pub use memory::{Frame, Memory, Slot};
pub use route::{Kernels, Options, Route, route};
pub use text::program_text;
pub use verify::verify;
