//! Entry points: every kernel once per instruction set, behind a C calling convention.

use super::quad::Quad;
use super::simd::{LANES, Simd};
use super::syrk::Syrk;
use super::{Kernels, chain, external, linear, pruned, quad, softmax, syrk, table, tape};

/// Instantiates the kernels and their table.
macro_rules! width {
    ($name:ident, $simd:ident $(, #[$feature:meta])*) => {
        pub(super) mod $name {
            use super::*;
            use super::super::simd::$simd as S;

            const H: usize = LANES / S::W;

            $(#[$feature])*
            unsafe extern "C" fn quad(
                x: *const f64, inputs: usize, outputs: usize, lead: usize, coef: *const f64, coef_stride: usize, n: usize,
                out: *mut f64, out_stride: usize, add: usize, rows: usize,
            ) {
                let a = Quad { x, inputs, outputs, lead, coef, coef_stride, n, out, out_stride, add: add != 0, rows };
                // SAFETY: operands as the table documents; the dispatcher checked the features
                unsafe { quad::run::<S>(&a) }
            }

            $(#[$feature])*
            unsafe extern "C" fn quad_pruned(
                x: *const f64, inputs: usize, outputs: usize, lead: usize, coef: *const f64, coef_stride: usize, n: usize,
                out: *mut f64, out_stride: usize, add: usize, rows: usize,
            ) {
                let a = Quad { x, inputs, outputs, lead, coef, coef_stride, n, out, out_stride, add: add != 0, rows };
                let can = S::W <= 4 && outputs > 0 && n <= pruned::MOST;
                // SAFETY: as above
                unsafe { if can { pruned::run::<S>(&a) } else { quad::run::<S>(&a) } }
            }

            $(#[$feature])*
            unsafe extern "C" fn quad_diagonal(
                x: *const f64, inputs: usize, outputs: usize, lead: usize, coef: *const f64, coef_stride: usize, n: usize,
                out: *mut f64, out_stride: usize, add: usize, rows: usize,
            ) {
                let a = Quad { x, inputs, outputs, lead, coef, coef_stride, n, out, out_stride, add: add != 0, rows };
                // SAFETY: as above
                unsafe { quad::run_diagonal::<S>(&a) }
            }

            $(#[$feature])*
            unsafe extern "C" fn linear(
                x: *const f64, inputs: usize, outputs: usize, coef: *const f64, out: *mut f64, add: usize, rows: usize,
            ) {
                // SAFETY: as above
                unsafe { linear::run::<S>(x, inputs, outputs, coef, out, add != 0, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn softmax(
                entries: *mut f64, n: usize, stride: usize, lse: *mut f64, total: *mut f64, rows: usize,
            ) {
                // SAFETY: as above
                unsafe { softmax::run::<S, H, { softmax::GROUP / S::W }>(entries, n, stride, lse, total, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn syrk(
                x: *const f64, inputs: usize, w: *const f64, w_stride: usize, n: usize, acc: *mut f64, acc_stride: usize,
                rows: usize,
            ) {
                let a = Syrk { x, inputs, w, w_stride, n, acc, acc_stride, rows };
                // SAFETY: as above
                unsafe { syrk::run::<S>(&a) }
            }

            $(#[$feature])*
            unsafe extern "C" fn syrk_diagonal(
                x: *const f64, inputs: usize, w: *const f64, w_stride: usize, n: usize, acc: *mut f64, acc_stride: usize,
                rows: usize,
            ) {
                let a = Syrk { x, inputs, w, w_stride, n, acc, acc_stride, rows };
                // SAFETY: as above
                unsafe { syrk::run_diagonal::<S>(&a) }
            }

            $(#[$feature])*
            unsafe extern "C" fn moments(
                x: *const f64, inputs: usize, w: *const f64, weights: usize, acc: *mut f64, rows: usize,
            ) {
                // SAFETY: as above
                unsafe { syrk::moments::<S>(x, inputs, w, weights, acc, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn gather(
                code: *const f64, entries: *const f64, n: usize, values: usize, out: *mut f64, add: usize, rows: usize,
            ) {
                // SAFETY: as above
                unsafe { table::gather::<S>(code, entries, n, values, out, add != 0, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn scatter(
                code: *const f64, values: usize, w: *const f64, entries: usize, acc: *mut f64, rows: usize,
            ) {
                // SAFETY: as above
                unsafe { table::scatter::<S>(code, values, w, entries, acc, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn mul_rows(columns: *mut f64, n: usize, by: *const f64, rows: usize) {
                // SAFETY: as above
                unsafe { linear::mul_rows::<S>(columns, n, by, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn chain_load(
                entries: *const f64, n: usize, rows: usize, p: usize, out: *mut f64, top: *mut f64,
            ) {
                // SAFETY: as above
                unsafe { chain::load::<S>(entries, n, rows, p, out, top) }
            }

            $(#[$feature])*
            unsafe extern "C" fn chain_forward(
                a: *const f64, n: usize, p: usize, b: *const f64, u: *mut f64, scale: *mut f64, rows: usize,
            ) {
                // SAFETY: as above
                unsafe { chain::forward::<S, H>(a, n, p, b, u, scale, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn chain_backward(
                transposed: *const f64, n: usize, p: usize, b: *const f64, v: *mut f64, rows: usize,
            ) {
                // SAFETY: as above
                unsafe { chain::backward::<S, H>(transposed, n, p, b, v, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn chain_posterior(
                u: *const f64, v: *mut f64, b: *const f64, before: *const f64, p: usize, e: *mut f64, rows: usize,
            ) {
                // SAFETY: as above
                unsafe { chain::posterior::<S, H>(u, v, b, before, p, e, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn chain_counts(
                u: *const f64, e: *const f64, n: usize, p: usize, w: *mut f64, rows: usize,
            ) {
                // SAFETY: as above
                unsafe { chain::counts::<S>(u, e, n, p, w, rows) }
            }

            $(#[$feature])*
            unsafe extern "C" fn unary(op: usize, n: usize, out: *mut f64, a: *const f64) {
                // SAFETY: as above
                unsafe { tape::run1::<S>(op, n, out, a) }
            }

            $(#[$feature])*
            unsafe extern "C" fn binary(
                op: usize, n: usize, out: *mut f64, a: *const f64, b: *const f64, scalar: usize,
            ) {
                // SAFETY: as above
                unsafe { tape::run2::<S>(op, n, out, a, b, scalar) }
            }

            $(#[$feature])*
            unsafe extern "C" fn ternary(
                op: usize, n: usize, out: *mut f64, a: *const f64, b: *const f64, c: *const f64, scalar: usize,
            ) {
                // SAFETY: as above
                unsafe { tape::run3::<S>(op, n, out, [a, b, c], scalar) }
            }

            $(#[$feature])*
            unsafe extern "C" fn sum(n: usize, a: *const f64, out: *mut f64) {
                // SAFETY: as above
                unsafe { tape::sum::<S, H>(n, a, out) }
            }

            $(#[$feature])*
            unsafe extern "C" fn dot(n: usize, a: *const f64, b: *const f64, out: *mut f64) {
                // SAFETY: as above
                unsafe { tape::dot::<S, H>(n, a, b, out) }
            }

            pub(in super::super) static KERNELS: Kernels = Kernels {
                name: stringify!($name),
                quad,
                quad_pruned,
                quad_diagonal,
                pack_quad: external::pack_quad,
                linear,
                softmax,
                syrk,
                syrk_diagonal,
                syrk_fold: external::syrk_fold,
                moments,
                moments_fold: external::moments_fold,
                gather,
                scatter,
                mul_rows,
                chain_load,
                chain_forward,
                chain_backward,
                chain_posterior,
                chain_counts,
                unary,
                binary,
                ternary,
                sum,
                dot,
                cholesky: external::cholesky,
                tri_inverse: external::tri_inverse,
                spd_solve: external::spd_solve,
                matmul: external::matmul,
                floor_cov: external::floor_cov,
            };
        }
    };
}

width!(portable, Portable);
#[cfg(target_arch = "x86_64")]
width!(avx2, Avx2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
width!(avx512, Avx512, #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]);
