//! Array programs: what a gradient step is lowered to. Where `loops` runs over the rows of the data set with scalars in
//! registers, a program here runs over a *batch* of rows with whole arrays: matrix products, and element-wise maps fused
//! between them. Gradients are terms like any other (reverse mode happens in the algebra), so forward and backward are
//! one program, and what is printed is what runs.

mod exec;
mod interp;
pub mod ir;
mod lower;

pub use lower::{Leaf, LowerError, Lowered, Root, lower};
pub mod text;
mod verify;

pub use exec::{Build, Columns, Executor, Method, Moments, Numbers, OptimiserStep, Trained};
pub use interp::{Interpreter, algebra, clamp_code, law};
pub use verify::verify;
