//! Everything here is checked against the reference evaluator.

mod constructors;
mod gradients;
mod rewrites;
mod world;
