//! Everything here is checked against the reference evaluator.

mod constructors;
mod gradients;
mod logits;
mod picks;
mod printing;
mod rewrites;
mod world;
