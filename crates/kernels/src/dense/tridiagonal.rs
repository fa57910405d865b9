//! Eigenvalues and eigenvectors of larger symmetric matrices: to tridiagonal form by Householder reflections, then by
//! implicit QL steps (Golub and Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3).
//!
//! Q and what becomes of it stand as rows, so that a reflection and a rotation run along contiguous numbers.

use super::axpy;

/// QL steps that one eigenvalue may take; it takes two or three.
const STEPS: usize = 60;

/// Lanes of a sum whose order is fixed.
const LANES: usize = 8;

/// Ascending eigenvalues and eigenvectors (columns of the row-major n×n result) of a finite symmetric matrix, of which the
/// lower triangle is read; `None` where QL steps find no end.
pub(super) fn eigen(a: &[f64], n: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let largest = (0..n)
        .flat_map(|i| &a[i * n..=i * n + i])
        .fold(0.0_f64, |m, x| m.max(x.abs()));
    // of order 1, so that no square overflows or vanishes
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let mut s = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let x = a[i * n + j] / scale;
            s[i * n + j] = x;
            s[j * n + i] = x;
        }
    }
    let (mut d, mut e, mut q) = reduce(&mut s, n);
    ql(&mut d, &mut e, &mut q, n)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| d[i].total_cmp(&d[j]));
    let values = order.iter().map(|&i| d[i] * scale).collect();
    let vectors = (0..n * n).map(|at| q[order[at % n] * n + at / n]).collect();
    Some((values, vectors))
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        for (sum, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// S = Q T Qᵀ: T's diagonal, what stands below it (the last is 0), and Qᵀ by rows. `s` is overwritten.
fn reduce(s: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut d, mut e) = (vec![0.0; n], vec![0.0; n]);
    // v of each reflection I − β v vᵀ stays in the row that it has dealt with
    let mut beta = vec![0.0; n];
    let mut p = vec![0.0; n];
    for k in 0..n.saturating_sub(1) {
        let (done, rest) = s.split_at_mut((k + 1) * n);
        let row = &mut done[k * n..];
        d[k] = row[k];
        let v = &mut row[k + 1..];
        let below = dot(&v[1..], &v[1..]);
        if below == 0.0 {
            e[k] = v[0];
            continue;
        }
        let norm = (v[0] * v[0] + below).sqrt();
        let first = v[0] + norm.copysign(v[0]);
        e[k] = -norm.copysign(v[0]);
        beta[k] = 2.0 * first * first / (below + first * first);
        v.iter_mut().for_each(|x| *x /= first);
        v[0] = 1.0;
        // p = β S v, then w = p − (β pᵀv / 2) v and S −= v wᵀ + w vᵀ
        let m = n - k - 1;
        let p = &mut p[..m];
        for (p, line) in p.iter_mut().zip(rest.chunks_exact(n)) {
            *p = beta[k] * dot(&line[k + 1..], v);
        }
        let half = 0.5 * beta[k] * dot(p, v);
        axpy(p, -half, v);
        for (i, line) in rest.chunks_exact_mut(n).enumerate() {
            let (v_i, w_i) = (v[i], p[i]);
            for ((x, v), w) in line[k + 1..].iter_mut().zip(&*v).zip(&*p) {
                *x -= v_i * w + w_i * v;
            }
        }
    }
    if n > 0 {
        d[n - 1] = s[n * n - 1];
    }
    // Q = H₀ H₁ …, from the last: its rows and columns before a reflection are those of the identity
    let mut q = vec![0.0; n * n];
    (0..n).for_each(|i| q[i * n + i] = 1.0);
    for k in (0..n.saturating_sub(1)).rev().filter(|&k| beta[k] != 0.0) {
        let v = &s[k * n + k + 1..(k + 1) * n];
        // (H Q)ᵀ = Qᵀ H, row by row
        for line in q[(k + 1) * n..].chunks_exact_mut(n) {
            let along = beta[k] * dot(&line[k + 1..], v);
            axpy(&mut line[k + 1..], -along, v);
        }
    }
    (d, e, q)
}

/// QL steps with shifts until nothing stands below the diagonal; the rows of `q` become eigenvectors.
fn ql(d: &mut [f64], e: &mut [f64], q: &mut [f64], n: usize) -> Option<()> {
    for l in 0..n {
        for step in 0.. {
            // the block that begins at l ends where what stands below the diagonal is nothing beside it
            let small = |m: usize| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs());
            let end = (l..n - 1).find(|&m| small(m)).unwrap_or(n - 1);
            if end == l {
                break;
            }
            if step == STEPS {
                return None;
            }
            // the eigenvalue of the first two by two that is nearer to its corner
            let g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut g = d[end] - d[l] + e[l] / (g + g.hypot(1.0).copysign(g));
            let (mut sin, mut cos, mut shift) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for i in (l..end).rev() {
                let (f, b) = (sin * e[i], cos * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= shift;
                    e[end] = 0.0;
                    whole = false;
                    break;
                }
                (sin, cos) = (f / r, g / r);
                g = d[i + 1] - shift;
                let t = (d[i] - g) * sin + 2.0 * cos * b;
                shift = sin * t;
                d[i + 1] = g + shift;
                g = cos * t - b;
                let (above, below) = q.split_at_mut((i + 1) * n);
                for (x, y) in above[i * n..].iter_mut().zip(&mut below[..n]) {
                    let (low, high) = (*x, *y);
                    *y = sin * low + cos * high;
                    *x = cos * low - sin * high;
                }
            }
            if whole {
                d[l] -= shift;
                e[l] = g;
                e[end] = 0.0;
            }
        }
    }
    Some(())
}
