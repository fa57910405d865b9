//! Eigenvalues of symmetric matrices, and the floor under a covariance.

use super::with_scratch;

/// Up to here Jacobi's method, which is simple and accurate; beyond, faer's tridiagonal one.
const JACOBI: usize = 16;

/// Eigenvalues (ascending) and eigenvectors (columns of the row-major n×n result) of a symmetric matrix, of which the
/// lower triangle is read. All NaN where the matrix is not finite.
///
/// # Panics
/// If `a` is shorter than n².
#[must_use]
pub fn eig_sym(a: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let a = &a[..n * n];
    let nan = || (vec![f64::NAN; n], vec![f64::NAN; n * n]);
    if a.iter().any(|v| !v.is_finite()) {
        return nan();
    }
    if n <= JACOBI {
        return jacobi(a, n);
    }
    let matrix = faer::MatRef::from_row_major_slice(a, n, n);
    let Ok(found) = matrix.self_adjoint_eigen(faer::Side::Lower) else {
        return nan();
    };
    let values = (0..n).map(|i| found.S()[i]).collect();
    let vectors = (0..n * n).map(|at| found.U()[(at / n, at % n)]).collect();
    (values, vectors)
}

/// Eigenvalues of a symmetric matrix, ascending; see [`eig_sym`].
///
/// # Panics
/// If `a` is shorter than n².
#[must_use]
pub fn eigvals_sym(a: &[f64], n: usize) -> Vec<f64> {
    eig_sym(a, n).0
}

/// Cyclic Jacobi rotations.
fn jacobi(a: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut s = a.to_vec();
    for i in 0..n {
        for j in 0..i {
            s[j * n + i] = s[i * n + j];
        }
    }
    let mut v = vec![0.0; n * n];
    (0..n).for_each(|i| v[i * n + i] = 1.0);
    for _ in 0..60 {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let off = s[p * n + q];
                // relative to both diagonals: small eigenvalues of graded matrices stay accurate
                if off.abs() <= f64::EPSILON * 0.25 * (s[p * n + p].abs() * s[q * n + q].abs()).sqrt() || off == 0.0 {
                    continue;
                }
                rotated = true;
                let theta = (s[q * n + q] - s[p * n + p]) / (2.0 * off);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let sn = t * c;
                for k in 0..n {
                    let (x, y) = (s[k * n + p], s[k * n + q]);
                    s[k * n + p] = c * x - sn * y;
                    s[k * n + q] = sn * x + c * y;
                    let (x, y) = (v[k * n + p], v[k * n + q]);
                    v[k * n + p] = c * x - sn * y;
                    v[k * n + q] = sn * x + c * y;
                }
                for k in 0..n {
                    let (x, y) = (s[p * n + k], s[q * n + k]);
                    s[p * n + k] = c * x - sn * y;
                    s[q * n + k] = sn * x + c * y;
                }
                s[p * n + q] = 0.0;
                s[q * n + p] = 0.0;
            }
        }
        if !rotated {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| s[i * n + i].total_cmp(&s[j * n + j]));
    let values = order.iter().map(|&i| s[i * n + i]).collect();
    let vectors = (0..n * n).map(|at| v[at / n * n + order[at % n]]).collect();
    (values, vectors)
}

/// Raises the eigenvalues of D^{-½} A D^{-½}, D = diag(scale), to at least `relative`, in place; returns how many were
/// raised. A is left bit for bit where none is below, and where it or `scale` is not finite.
///
/// # Panics
/// If a slice is too short.
pub fn floor_cov(a: &mut [f64], scale: &[f64], n: usize, relative: f64) -> usize {
    let (a, scale) = (&mut a[..n * n], &scale[..n]);
    if n == 1 {
        let floor = relative * scale[0];
        let below = a[0] < floor;
        if below {
            a[0] = floor;
        }
        return usize::from(below);
    }
    // the usual case, without eigenvalues: all are above the floor if the scaled matrix less the floor has a factor
    if with_scratch(n * n, |s| {
        scaled(a, scale, n, s);
        (0..n).for_each(|i| s[i * n + i] -= relative);
        is_positive(s, n)
    }) {
        return 0;
    }
    let mut s = vec![0.0; n * n];
    scaled(a, scale, n, &mut s);
    let (values, vectors) = eig_sym(&s, n);
    let raised = values.iter().filter(|v| **v < relative).count();
    for (k, value) in values.iter().enumerate().take(raised) {
        // A += D^½ (relative − λ) v vᵀ D^½ leaves the other directions alone
        let gap = relative - value;
        for i in 0..n {
            let left = gap * vectors[i * n + k] * scale[i].sqrt();
            for j in 0..=i {
                let v = left * (vectors[j * n + k] * scale[j].sqrt());
                a[i * n + j] += v;
                if j < i {
                    a[j * n + i] += v;
                }
            }
        }
    }
    raised
}

/// D^{-½} A D^{-½}
fn scaled(a: &[f64], scale: &[f64], n: usize, out: &mut [f64]) {
    for i in 0..n {
        for j in 0..n {
            out[i * n + j] = a[i * n + j] / (scale[i] * scale[j]).sqrt();
        }
    }
}

/// Whether all pivots of a symmetric matrix, which is overwritten, are positive.
fn is_positive(s: &mut [f64], n: usize) -> bool {
    for j in 0..n {
        let (above, below) = s.split_at_mut((j + 1) * n);
        let row = &above[j * n..];
        if !(row[j] > 0.0) {
            return false;
        }
        let inverse = 1.0 / row[j];
        for (i, to) in (j + 1..n).zip(below.chunks_exact_mut(n)) {
            super::axpy(&mut to[i..], -row[i] * inverse, &row[i..]);
        }
    }
    true
}
