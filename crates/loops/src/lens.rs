//! Lengths and shapes that the kernels fix, in the IR's terms. They are the same on every machine.

use lvmc_kernels::block::{self, Shape};

use crate::ir::QuadShape;

/// The kernels' name for a zero pattern.
#[must_use]
pub fn kernel_shape(shape: QuadShape) -> Shape {
    match shape {
        QuadShape::Dense => Shape::Dense,
        QuadShape::Triangular { lead } => Shape::Triangular { lead },
        QuadShape::Diagonal => Shape::Diagonal,
    }
}

/// Length of packed coefficients of a `Quad`: room for every coefficient that its shape uses, but for triangles less
/// than the logical length.
#[must_use]
pub fn quad_packed_len(inputs: usize, outputs: usize, shape: QuadShape) -> usize {
    block::quad_packed_len(inputs, outputs, kernel_shape(shape))
}

/// Length of a raw `Syrk` accumulator; at least the packed triangle (p+1)(p+2)/2, or 1 + 2p with `diagonal`.
#[must_use]
pub fn syrk_len(inputs: usize, diagonal: bool) -> usize {
    block::syrk_len(inputs, diagonal)
}

/// Length of a raw `Moments` accumulator; at least s(1 + p).
#[must_use]
pub fn moments_len(inputs: usize, weights: usize) -> usize {
    block::moments_len(inputs, weights)
}

/// Inputs that row `j` of a `Quad` uses.
#[must_use]
pub fn quad_inputs(j: usize, inputs: usize, shape: QuadShape) -> std::ops::Range<usize> {
    match shape {
        QuadShape::Dense => 0..inputs,
        QuadShape::Triangular { lead } => 0..inputs.min(lead + j + 1),
        QuadShape::Diagonal => j..j + 1,
    }
}
