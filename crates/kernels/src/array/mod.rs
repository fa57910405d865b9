//! Kernels of array programs: noise, element-wise tapes in f32 and f64, matrix products, optimiser updates.
//!
//! Everything here gives each element the same bits wherever it stands in a slice, so that work can be split at will.

// loops over lanes and tiles name their indices
#![allow(clippy::needless_range_loop)]

mod float;
pub mod gemm;
mod math;
pub mod noise;
pub mod tape;
pub mod update;

pub use float::Float;
