//! Scaled messages of a chain of finite states; see `block::chain` for the algebra. States are padded: see [`padded`].

use crate::block::kernels;

/// States as the kernels want them: a multiple of eight.
#[must_use]
pub fn padded(states: usize) -> usize {
    states.next_multiple_of(8)
}

/// The most states that the kernels take.
pub const MOST_STATES: usize = 512;

/// Row-major exponentials of a block's `n` columns of log potentials, each row's largest at 1 and that largest's log in
/// `top`.
///
/// # Panics
/// Where a slice has another length than `rows` (a multiple of 16) asks for.
pub fn load(table: &[f64], n: usize, rows: usize, out: &mut [f64], top: &mut [f64]) {
    assert!(rows.is_multiple_of(16) && table.len() >= n * rows && out.len() == padded(n) * rows && top.len() == rows);
    // SAFETY: the lengths were checked
    unsafe { (kernels().chain_load)(table.as_ptr(), n, rows, padded(n), out.as_mut_ptr(), top.as_mut_ptr()) }
}

/// Forward messages of the rows of `b` from the one before: `u` and `scale` begin with that row's.
///
/// # Panics
/// Where a slice has the wrong length.
pub fn forward(a: &[f64], n: usize, b: &[f64], u: &mut [f64], scale: &mut [f64]) {
    let p = padded(n);
    let rows = b.len() / p;
    assert!(a.len() == n * p && u.len() == (rows + 1) * p && scale.len() == rows + 1);
    // SAFETY: the lengths were checked
    unsafe { (kernels().chain_forward)(a.as_ptr(), n, p, b.as_ptr(), u.as_mut_ptr(), scale.as_mut_ptr(), rows) }
}

/// Backward messages from the last row of `v` to its first, with Aᵀ.
///
/// # Panics
/// Where a slice has the wrong length, or there are too many states.
pub fn backward(transposed: &[f64], n: usize, b: &[f64], v: &mut [f64]) {
    let p = padded(n);
    let rows = v.len() / p;
    assert!(n <= MOST_STATES && rows > 0 && transposed.len() == n * p && b.len() == v.len());
    // SAFETY: the lengths were checked
    unsafe { (kernels().chain_backward)(transposed.as_ptr(), n, p, b.as_ptr(), v.as_mut_ptr(), rows) }
}

/// The posterior of every row's state, in place of `v`, and what pairs are made of, in `e`; `before` is the scale of the row
/// before each.
///
/// # Panics
/// Where a slice has the wrong length.
pub fn posterior(u: &[f64], v: &mut [f64], b: &[f64], before: &[f64], n: usize, e: &mut [f64]) {
    let p = padded(n);
    let rows = before.len();
    assert!([u.len(), v.len(), b.len(), e.len()].iter().all(|&l| l == rows * p));
    // SAFETY: the lengths were checked
    unsafe {
        (kernels().chain_posterior)(
            u.as_ptr(),
            v.as_mut_ptr(),
            b.as_ptr(),
            before.as_ptr(),
            p,
            e.as_mut_ptr(),
            rows,
        );
    }
}

/// `w[j][k] += Σ_t u_t(j) e_t(k)`.
///
/// # Panics
/// Where a slice has the wrong length.
pub fn counts(u: &[f64], e: &[f64], n: usize, w: &mut [f64]) {
    let p = padded(n);
    assert!(u.len() == e.len() && w.len() == n * p);
    // SAFETY: the lengths were checked
    unsafe { (kernels().chain_counts)(u.as_ptr(), e.as_ptr(), n, p, w.as_mut_ptr(), u.len() / p) }
}
