//! Passes over the loop IR. Each keeps a verified program verified and its results the same (to rounding).

mod expand_kernels;
mod expand_sums;
mod hoist;

pub use expand_kernels::expand_kernels;
pub use hoist::hoist;
