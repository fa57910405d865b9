//! Small dense linear algebra on row-major slices.
//!
//! Nothing here allocates on the hot path: factorisations work in their output, the rest in scratch that each thread
//! keeps. Loops run along rows, so that they vectorise without changing the order of sums.

// `!(pivot > bound)` is true for NaN, on purpose
#![allow(clippy::neg_cmp_op_on_partial_ord)]

mod eigen;
mod solve;

pub use eigen::{eig_sym, eigvals_sym, floor_cov};
pub use solve::spd_solve;

use std::cell::RefCell;

/// Runs `f` on `len` numbers of this thread's scratch (of any contents).
fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f64]) -> R) -> R {
    thread_local!(static SCRATCH: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) });
    SCRATCH.with(|scratch| {
        let mut scratch = scratch.borrow_mut();
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        f(&mut scratch[..len])
    })
}

/// y += a x
#[inline(always)]
fn axpy(y: &mut [f64], a: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// The lower factor of A = L Lᵀ (n×n; only A's upper triangle is read), its upper part zeroed; returns the number of
/// raised pivots.
///
/// A pivot that is not above 1e-14 of its own diagonal element is raised to `1e-300 + 1e-14 · (largest diagonal)`.
///
/// # Panics
/// If a slice is shorter than n².
pub fn cholesky(a: &[f64], out: &mut [f64], n: usize) -> usize {
    let (a, u) = (&a[..n * n], &mut out[..n * n]);
    let largest = (0..n).map(|i| a[i * n + i]).fold(0.0, f64::max);
    let floor = 1e-300 + 1e-14 * largest;
    let mut raised = 0;
    // U = Lᵀ by rows in place: each row is subtracted from those below as soon as it is known
    u.copy_from_slice(a);
    for j in 0..n {
        let (above, below) = u.split_at_mut((j + 1) * n);
        let row = &mut above[j * n..];
        let mut pivot = row[j];
        if !(pivot > 1e-14 * a[j * n + j]) {
            pivot = floor;
            raised += 1;
        }
        let diagonal = pivot.sqrt();
        let inverse = 1.0 / diagonal;
        row[j] = diagonal;
        for v in &mut row[j + 1..] {
            *v *= inverse;
        }
        for (i, to) in (j + 1..n).zip(below.chunks_exact_mut(n)) {
            axpy(&mut to[i..], -row[i], &row[i..]);
        }
    }
    for i in 0..n {
        for j in 0..i {
            u[i * n + j] = u[j * n + i];
            u[j * n + i] = 0.0;
        }
    }
    raised
}

/// The inverse of a lower triangular matrix (n×n); the upper part becomes 0.
///
/// # Panics
/// If a slice is shorter than n².
pub fn tri_inverse(l: &[f64], out: &mut [f64], n: usize) {
    let out = &mut out[..n * n];
    out.fill(0.0);
    for i in 0..n {
        let (known, row) = out.split_at_mut(i * n);
        let from = &l[i * n..i * n + i + 1];
        let inverse = 1.0 / from[i];
        for (q, known) in known.chunks_exact(n).enumerate() {
            axpy(&mut row[..=q], -from[q], &known[..=q]);
        }
        for v in &mut row[..i] {
            *v *= inverse;
        }
        row[i] = inverse;
    }
}

/// Multiplications from which the `gemm` crate is faster than plain loops.
const GEMM_FROM: usize = 8192;

/// `out = op(a) · op(b)`, m×k times k×n; `ta`, `tb`: the operand is stored transposed.
///
/// # Panics
/// If a slice is too short.
pub fn matmul(a: &[f64], ta: bool, b: &[f64], tb: bool, out: &mut [f64], m: usize, k: usize, n: usize) {
    let (a, b, out) = (&a[..m * k], &b[..k * n], &mut out[..m * n]);
    let (a_row, a_col) = if ta { (1, m) } else { (k, 1) };
    let (b_row, b_col) = if tb { (1, k) } else { (n, 1) };
    if m * k * n >= GEMM_FROM {
        let stride = |s: usize| s as isize;
        // SAFETY: the slices hold m k, k n and m n numbers; the strides address each of them once; `out` is exclusive
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                out.as_mut_ptr(),
                1,
                stride(n),
                false,
                a.as_ptr(),
                stride(a_col),
                stride(a_row),
                b.as_ptr(),
                stride(b_col),
                stride(b_row),
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        return;
    }
    if tb {
        for (i, row) in out.chunks_exact_mut(n.max(1)).enumerate() {
            for (j, o) in row.iter_mut().enumerate() {
                *o = (0..k).map(|q| a[i * a_row + q * a_col] * b[j * k + q]).sum();
            }
        }
        return;
    }
    out.fill(0.0);
    for (i, row) in out.chunks_exact_mut(n.max(1)).enumerate() {
        for (q, from) in b.chunks_exact(n.max(1)).enumerate() {
            axpy(row, a[i * a_row + q * a_col], from);
        }
    }
}
