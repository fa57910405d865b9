//! Symmetric positive semidefinite systems.

use super::{axpy, with_scratch};

/// Pivots of the scaled matrix below this are taken for 0.
const RANK: f64 = 1e-13;

/// Solves A X = B (A n×n symmetric positive semidefinite, B and X n×m); returns the number of directions left out.
///
/// A is scaled to a unit diagonal and factored with pivoting, so that neither units nor order matter. Directions whose
/// pivot is below 1e-13 are left out: their solution is 0, and the others solve the system without them. NaN in A leaves
/// everything from there on out.
///
/// # Panics
/// If a slice is too short.
pub fn spd_solve(a: &[f64], b: &[f64], out: &mut [f64], n: usize, m: usize) -> usize {
    let (a, b, x) = (&a[..n * n], &b[..n * m], &mut out[..n * m]);
    with_scratch(n * n + n + n * m, |scratch| {
        let (u, scratch) = scratch.split_at_mut(n * n);
        let (scale, y) = scratch.split_at_mut(n);
        for (i, s) in scale.iter_mut().enumerate() {
            let d = a[i * n + i];
            *s = if d > 0.0 { 1.0 / d.sqrt() } else { 0.0 };
        }
        for i in 0..n {
            for j in 0..n {
                u[i * n + j] = scale[i] * a[i * n + j] * scale[j];
            }
        }
        for (i, y) in y.chunks_exact_mut(m.max(1)).enumerate() {
            y.iter_mut().zip(&b[i * m..]).for_each(|(y, b)| *y = scale[i] * b);
        }
        let mut order = Order::new(n);
        let rank = factor(u, y, n, m, &mut order);
        // back substitution on the kept directions
        x.fill(0.0);
        for r in (0..rank).rev() {
            let (head, tail) = y.split_at_mut((r + 1) * m);
            let row = &mut head[r * m..];
            for q in r + 1..rank {
                axpy(row, -u[r * n + q], &tail[(q - r - 1) * m..][..m]);
            }
            let inverse = 1.0 / u[r * n + r];
            row.iter_mut().for_each(|v| *v *= inverse);
            let i = order.get(r);
            x[i * m..(i + 1) * m]
                .iter_mut()
                .zip(&*row)
                .for_each(|(x, y)| *x = scale[i] * y);
        }
        n - rank
    })
}

/// A permutation, without allocation up to 64.
struct Order {
    small: [usize; 64],
    large: Vec<usize>,
}

impl Order {
    fn new(n: usize) -> Self {
        Self {
            small: std::array::from_fn(|i| i),
            large: if n > 64 { (0..n).collect() } else { Vec::new() },
        }
    }
    fn slice(&mut self) -> &mut [usize] {
        if self.large.is_empty() {
            &mut self.small
        } else {
            &mut self.large
        }
    }
    fn swap(&mut self, i: usize, j: usize) {
        self.slice().swap(i, j);
    }
    fn get(&mut self, i: usize) -> usize {
        self.slice()[i]
    }
}

/// Factors the symmetric `u` to Uᵀ U in pivoted order and applies U⁻ᵀ to `y`; returns the rank.
fn factor(u: &mut [f64], y: &mut [f64], n: usize, m: usize, order: &mut Order) -> usize {
    for j in 0..n {
        let mut best = j;
        for i in j + 1..n {
            if u[i * n + i] > u[best * n + best] {
                best = i;
            }
        }
        if !(u[best * n + best] > RANK) {
            return j;
        }
        if best != j {
            order.swap(j, best);
            for q in 0..n {
                u.swap(j * n + q, best * n + q);
            }
            for q in 0..n {
                u.swap(q * n + j, q * n + best);
            }
            for q in 0..m {
                y.swap(j * m + q, best * m + q);
            }
        }
        let (above, below) = u.split_at_mut((j + 1) * n);
        let row = &mut above[j * n..];
        let diagonal = row[j].sqrt();
        let inverse = 1.0 / diagonal;
        row[j] = diagonal;
        row[j + 1..].iter_mut().for_each(|v| *v *= inverse);
        let (known, rest) = y.split_at_mut((j + 1) * m);
        let known = &mut known[j * m..];
        known.iter_mut().for_each(|v| *v *= inverse);
        for (i, to) in (j + 1..n).zip(below.chunks_exact_mut(n)) {
            // the full row: pivoting swaps read both triangles
            axpy(&mut to[j + 1..], -row[i], &row[j + 1..]);
        }
        for (i, to) in (j + 1..n).zip(rest.chunks_exact_mut(m.max(1))) {
            axpy(to, -row[i], known);
        }
    }
    n
}
