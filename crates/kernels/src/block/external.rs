//! C entry points of what is the same on every machine: packing, folding, dense algebra.
//!
//! They cannot panic: slices are made with exactly the lengths that the safe functions ask for.

use super::quad::{self, Shape};
use super::syrk;
use crate::dense;
use std::slice::{from_raw_parts as view, from_raw_parts_mut as view_mut};

/// See [`super::Kernels::pack_quad`].
pub(crate) unsafe extern "C" fn pack_quad(
    src: *const f64,
    dst: *mut f64,
    inputs: usize,
    outputs: usize,
    shape: usize,
    lead: usize,
) {
    let shape = match shape {
        0 => Shape::Dense,
        1 => Shape::Triangular { lead },
        _ => Shape::Diagonal,
    };
    // SAFETY: operands have the lengths that the table documents
    unsafe {
        let src = view(src, quad::quad_len(inputs, outputs, shape));
        let dst = view_mut(dst, quad::quad_packed_len(inputs, outputs, shape));
        quad::pack_quad(src, dst, inputs, outputs, shape);
    }
}

/// See [`super::Kernels::syrk_fold`].
pub(crate) unsafe extern "C" fn syrk_fold(acc: *const f64, inputs: usize, out: *mut f64, diagonal: usize) {
    let diagonal = diagonal != 0;
    let len = if diagonal {
        1 + 2 * inputs
    } else {
        (1 + inputs) * (1 + inputs)
    };
    // SAFETY: operands have the lengths that the table documents
    unsafe {
        syrk::syrk_fold(
            view(acc, syrk::syrk_len(inputs, diagonal)),
            inputs,
            view_mut(out, len),
            diagonal,
        )
    }
}

/// See [`super::Kernels::moments_fold`].
pub(crate) unsafe extern "C" fn moments_fold(acc: *const f64, inputs: usize, weights: usize, out: *mut f64) {
    let len = syrk::moments_len(inputs, weights);
    // SAFETY: operands have the lengths that the table documents
    unsafe { syrk::moments_fold(view(acc, len), inputs, weights, view_mut(out, len)) }
}

/// See [`super::Kernels::cholesky`].
pub(crate) unsafe extern "C" fn cholesky(a: *const f64, out: *mut f64, n: usize, flag: *mut f64) {
    // SAFETY: operands have the lengths that the table documents
    unsafe { *flag += dense::cholesky(view(a, n * n), view_mut(out, n * n), n) as f64 }
}

/// See [`super::Kernels::tri_inverse`].
pub(crate) unsafe extern "C" fn tri_inverse(l: *const f64, out: *mut f64, n: usize) {
    // SAFETY: operands have the lengths that the table documents
    unsafe { dense::tri_inverse(view(l, n * n), view_mut(out, n * n), n) }
}

/// See [`super::Kernels::spd_solve`].
pub(crate) unsafe extern "C" fn spd_solve(
    a: *const f64,
    b: *const f64,
    out: *mut f64,
    n: usize,
    m: usize,
    flag: *mut f64,
) {
    // SAFETY: operands have the lengths that the table documents
    unsafe { *flag += dense::spd_solve(view(a, n * n), view(b, n * m), view_mut(out, n * m), n, m) as f64 }
}

/// See [`super::Kernels::matmul`].
pub(crate) unsafe extern "C" fn matmul(
    a: *const f64,
    ta: usize,
    b: *const f64,
    tb: usize,
    out: *mut f64,
    m: usize,
    k: usize,
    n: usize,
) {
    // SAFETY: operands have the lengths that the table documents
    unsafe {
        dense::matmul(
            view(a, m * k),
            ta != 0,
            view(b, k * n),
            tb != 0,
            view_mut(out, m * n),
            m,
            k,
            n,
        )
    }
}

/// See [`super::Kernels::floor_cov`].
pub(crate) unsafe extern "C" fn floor_cov(a: *mut f64, scale: *const f64, n: usize, relative: u64, flag: *mut f64) {
    // SAFETY: operands have the lengths that the table documents
    unsafe { *flag += dense::floor_cov(view_mut(a, n * n), view(scale, n), n, f64::from_bits(relative)) as f64 }
}
