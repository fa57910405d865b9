//! Everything here is checked against the reference evaluator.

mod constructors;
mod gradients;
mod printing;
mod rewrites;
mod world;
