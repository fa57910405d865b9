//! Shorthands for the tables of signatures.

use crate::{Arg, Event, Signature};
use lvmc_term::Support;

/// A signature.
pub(crate) const fn sig(event: Event, args: &'static [Arg], positional: usize) -> Signature {
    Signature {
        event,
        args,
        positional,
    }
}

const fn arg(name: &'static str, rank: usize, support: fn() -> Support) -> Arg {
    Arg { name, rank, support }
}

/// Any numbers.
pub(crate) const fn real(name: &'static str, rank: usize) -> Arg {
    arg(name, rank, || Support::Real)
}

/// Numbers > 0.
pub(crate) const fn positive(name: &'static str, rank: usize) -> Arg {
    arg(name, rank, || Support::Positive)
}

/// Numbers ≥ 0.
pub(crate) const fn nonneg(name: &'static str) -> Arg {
    arg(name, 0, || Support::NonNegative)
}

/// A number of things: 0, 1, 2, ….
pub(crate) const fn count(name: &'static str) -> Arg {
    arg(name, 0, || Support::Count)
}

/// A number in [0, 1].
pub(crate) const fn unit(name: &'static str) -> Arg {
    arg(name, 0, || Support::Unit)
}

/// A vector of probabilities.
pub(crate) const fn simplex(name: &'static str) -> Arg {
    arg(name, 1, || Support::Simplex)
}

/// A symmetric positive definite matrix.
pub(crate) const fn cov(name: &'static str) -> Arg {
    arg(name, 2, || Support::Cov)
}
