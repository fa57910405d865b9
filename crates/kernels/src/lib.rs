//! Numerics without IR: special functions, SIMD block kernels chosen once for this machine, small dense linear algebra.

pub mod array;
pub mod block;
pub mod chain;
pub mod counts;
pub mod denormals;
pub mod dense;
pub mod gamma;
pub mod pages;
pub mod pool;
pub mod special;
