//! Block kernels: what runs for every block of rows, compiled for each instruction set and chosen once.
//!
//! A block is `rows` rows (a multiple of 16) of f64 columns, column-major: column i begins `i · rows` numbers after the
//! first. Columns are best aligned to 64 bytes; they need not be. Strides count numbers, not bytes. Booleans are 0 or not.
//! Raw accumulators lie the same way on every machine; results differ between widths in the last digits.

// loops over register tiles name their indices; counts of a generic tile may be 1
#![allow(clippy::needless_range_loop, clippy::int_plus_one)]

mod chain;
mod external;
mod linear;
mod math;
mod pruned;
mod quad;
mod simd;
mod softmax;
mod square;
mod syrk;
mod table;
mod tape;
mod widths;

pub use quad::{Shape, pack_quad, quad_len, quad_packed_len};
pub use syrk::{moments_fold, moments_len, syrk_fold, syrk_len};
pub use tape::{Binary, Ternary, Unary, binary, ternary, unary};

use std::sync::OnceLock;

/// Quadratic forms of n components over one x: `x, inputs, outputs, lead, coef, coef_stride, n, out, out_stride, add, rows`.
pub type QuadFn =
    unsafe extern "C" fn(*const f64, usize, usize, usize, *const f64, usize, usize, *mut f64, usize, usize, usize);
/// Second moments with n columns of weights over one x: `x, inputs, w, w_stride, n, acc, acc_stride, rows`.
pub type SyrkFn = unsafe extern "C" fn(*const f64, usize, *const f64, usize, usize, *mut f64, usize, usize);

/// The kernels of one instruction set.
///
/// # Safety
/// Every operand must be valid for the length that its field's documentation gives, and an output must not overlap
/// another operand (elementwise operations may work in place).
pub struct Kernels {
    /// `avx512`, `avx2` or `portable`.
    pub name: &'static str,
    /// `out_k (=|+=) c − ½ Σⱼ (Σᵢ Gⱼᵢ xᵢ − hⱼ)²` for components k < n, dense or triangular. `lead` is the triangle's, or
    /// `usize::MAX` for dense; `coef` n packed components at distance `coef_stride`; `out` n columns at distance
    /// `out_stride`. One component: n = 1.
    pub quad: QuadFn,
    /// As `quad` for a table that `softmax` normalises next: entries that it makes 0 may be left above their value.
    pub quad_pruned: QuadFn,
    /// The diagonal shape; `lead` is not used.
    pub quad_diagonal: QuadFn,
    /// `src, dst, inputs, outputs, shape, lead`: packs logical coefficients; shape 0 dense, 1 triangular, 2 diagonal.
    pub pack_quad: unsafe extern "C" fn(*const f64, *mut f64, usize, usize, usize, usize),
    /// `x, inputs, outputs, coef, out, add, rows`: `out_k (=|+=) b_k + Σᵢ W_ki xᵢ`, `coef` `[outputs][1 + inputs]`.
    pub linear: unsafe extern "C" fn(*const f64, usize, usize, *const f64, *mut f64, usize, usize),
    /// `table, n, stride, lse, total, rows`: normalises n columns at distance `stride`; `lse` is a column or null, `total`
    /// one number that gains Σ lse, or null. Entries less than 2⁻⁶⁴ of the largest of their row become exactly 0.
    pub softmax: unsafe extern "C" fn(*mut f64, usize, usize, *mut f64, *mut f64, usize),
    /// Raw second moments of (1, x), [`syrk_len`] numbers each; `w` null (with n = 1) means weights 1.
    pub syrk: SyrkFn,
    /// Raw Σ w, Σ w x, Σ w x².
    pub syrk_diagonal: SyrkFn,
    /// `acc, inputs, out, diagonal`: adds raw second moments to a symmetric `(p+1)×(p+1)` matrix or to `1 + 2p` numbers.
    pub syrk_fold: unsafe extern "C" fn(*const f64, usize, *mut f64, usize),
    /// `x, inputs, w, weights, acc, rows`: raw Σ w_s (1, x), [`moments_len`] numbers; the weights' columns are adjacent.
    pub moments: unsafe extern "C" fn(*const f64, usize, *const f64, usize, *mut f64, usize),
    /// `acc, inputs, weights, out`: adds raw first moments to `[weights][1 + inputs]`.
    pub moments_fold: unsafe extern "C" fn(*const f64, usize, usize, *mut f64),
    /// `code, table, entries, values, out, add, rows`: `out_s (=|+=) table[s][code]`.
    pub gather: unsafe extern "C" fn(*const f64, *const f64, usize, usize, *mut f64, usize, usize),
    /// `code, values, w, entries, acc, rows`: `acc[s][code] += w_s`.
    pub scatter: unsafe extern "C" fn(*const f64, usize, *const f64, usize, *mut f64, usize),
    /// `columns, n, by, rows`: `columns_i *= by`.
    pub mul_rows: unsafe extern "C" fn(*mut f64, usize, *const f64, usize),
    /// `table, n, rows, p, out, top`: see [`crate::chain::load`], as for the next four.
    pub chain_load: unsafe extern "C" fn(*const f64, usize, usize, usize, *mut f64, *mut f64),
    /// `a, n, p, b, u, scale, rows`.
    pub chain_forward: unsafe extern "C" fn(*const f64, usize, usize, *const f64, *mut f64, *mut f64, usize),
    /// `transposed, n, p, b, v, rows`.
    pub chain_backward: unsafe extern "C" fn(*const f64, usize, usize, *const f64, *mut f64, usize),
    /// `u, v, b, before, p, e, rows`.
    pub chain_posterior: unsafe extern "C" fn(*const f64, *mut f64, *const f64, *const f64, usize, *mut f64, usize),
    /// `u, e, n, p, w, rows`.
    pub chain_counts: unsafe extern "C" fn(*const f64, *const f64, usize, usize, *mut f64, usize),
    /// `op` (a [`Unary`] as usize), `n, out, a`: any n, as for all that follow.
    pub unary: unsafe extern "C" fn(usize, usize, *mut f64, *const f64),
    /// `op` (a [`Binary`]), `n, out, a, b, scalar`: bit 0 of `scalar`: a is one number, bit 1: b is.
    pub binary: unsafe extern "C" fn(usize, usize, *mut f64, *const f64, *const f64, usize),
    /// `op` (a [`Ternary`]), `n, out, a, b, c, scalar`: bits 0 to 2 of `scalar`: operands that are one number.
    pub ternary: unsafe extern "C" fn(usize, usize, *mut f64, *const f64, *const f64, *const f64, usize),
    /// `n, a, out`: `out[0] += Σ a`.
    pub sum: unsafe extern "C" fn(usize, *const f64, *mut f64),
    /// `n, a, b, out`: `out[0] += Σ a b`.
    pub dot: unsafe extern "C" fn(usize, *const f64, *const f64, *mut f64),
    /// `a, out, n, flag`: [`crate::dense::cholesky`]; `flag[0]` gains the count, as for all that follow.
    pub cholesky: unsafe extern "C" fn(*const f64, *mut f64, usize, *mut f64),
    /// `l, out, n`: [`crate::dense::tri_inverse`].
    pub tri_inverse: unsafe extern "C" fn(*const f64, *mut f64, usize),
    /// `a, b, out, n, m, flag`: [`crate::dense::spd_solve`].
    pub spd_solve: unsafe extern "C" fn(*const f64, *const f64, *mut f64, usize, usize, *mut f64),
    /// `a, ta, b, tb, out, m, k, n`: [`crate::dense::matmul`].
    pub matmul: unsafe extern "C" fn(*const f64, usize, *const f64, usize, *mut f64, usize, usize, usize),
    /// `a, scale, n, relative` (its bits), `flag`: [`crate::dense::floor_cov`].
    pub floor_cov: unsafe extern "C" fn(*mut f64, *const f64, usize, u64, *mut f64),
}

/// The best kernels for this machine. The environment variable `LVMC_SIMD` (`avx512`, `avx2`, `portable`) asks for less.
pub fn kernels() -> &'static Kernels {
    static BEST: OnceLock<&Kernels> = OnceLock::new();
    BEST.get_or_init(|| {
        let asked = std::env::var("LVMC_SIMD").ok().and_then(|name| by_name(&name));
        asked
            .or_else(|| by_name("avx512"))
            .or_else(|| by_name("avx2"))
            .unwrap_or(&widths::portable::KERNELS)
    })
}

/// The kernels of a name, if this machine can run them.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Kernels> {
    match name {
        "portable" => Some(&widths::portable::KERNELS),
        #[cfg(target_arch = "x86_64")]
        "avx2" if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => Some(&widths::avx2::KERNELS),
        #[cfg(target_arch = "x86_64")]
        "avx512"
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma") =>
        {
            Some(&widths::avx512::KERNELS)
        }
        _ => None,
    }
}

/// Rows of a block for which the columns of `max_inputs` inputs, and as many temporaries, stay in the first cache.
#[must_use]
pub fn block_rows(max_inputs: usize) -> usize {
    match max_inputs {
        0..=3 => 320,
        4..=15 => 160,
        // columns at a distance that is no power of two fall into different sets of a cache
        _ => 96,
    }
}
