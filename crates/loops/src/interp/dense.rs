//! Dense linear algebra on flat buffers, as the documentation of the kernels defines it.

use crate::ir::{Flat, Kernel};
use crate::usage::kernel_name;

use super::Exec;

impl Exec<'_, '_, '_> {
    pub(super) fn dense(&mut self, kernel: &Kernel) {
        match kernel {
            Kernel::Cholesky { a, out, n, flag } => {
                let (l, raised) = cholesky(&self.take(a, n * n), *n);
                self.put(out, &l);
                *self.flat_mut(flag, 0) += raised;
            }
            Kernel::TriInverse { l, out, n } => {
                let inverse = tri_inverse(&self.take(l, n * n), *n);
                self.put(out, &inverse);
            }
            Kernel::SpdSolve { a, b, out, n, m, flag } => {
                let (x, left_out) = spd_solve(&self.take(a, n * n), &self.take(b, n * m), *n, *m);
                self.put(out, &x);
                *self.flat_mut(flag, 0) += left_out;
            }
            Kernel::MatMul {
                a,
                ta,
                b,
                tb,
                out,
                m,
                k,
                n,
            } => {
                let (va, vb) = (self.take(a, m * k), self.take(b, k * n));
                let at = |i: usize, q: usize| if *ta { va[q * m + i] } else { va[i * k + q] };
                let bt = |q: usize, j: usize| if *tb { vb[j * k + q] } else { vb[q * n + j] };
                let product = (0..m * n).map(|e| (0..*k).fold(0.0, |s, q| at(e / n, q).mul_add(bt(q, e % n), s)));
                let product: Vec<f64> = product.collect();
                self.put(out, &product);
            }
            Kernel::FloorCov {
                a,
                scale,
                n,
                relative,
                flag,
            } => {
                let (floored, raised) = floor_cov(&self.take(a, n * n), &self.take(scale, *n), *n, *relative);
                if let Some(floored) = floored {
                    self.put(a, &floored);
                }
                *self.flat_mut(flag, 0) += raised;
            }
            block => unreachable!("`{}` works on rows", kernel_name(block)),
        }
    }

    fn take(&self, at: &Flat, len: usize) -> Vec<f64> {
        (0..len).map(|i| self.flat(at, i)).collect()
    }

    fn put(&mut self, at: &Flat, values: &[f64]) {
        for (i, v) in values.iter().enumerate() {
            *self.flat_mut(at, i) = *v;
        }
    }
}

/// L of A = L Lᵀ and the number of raised pivots.
fn cholesky(a: &[f64], n: usize) -> (Vec<f64>, f64) {
    let largest = (0..n).map(|i| a[i * n + i]).fold(0.0, f64::max);
    let floor = 1e-300 + 1e-14 * largest;
    let mut l = vec![0.0; n * n];
    let mut raised = 0.0;
    for j in 0..n {
        let dot = |l: &[f64], i: usize| (0..j).map(|q| l[i * n + q] * l[j * n + q]).sum::<f64>();
        let mut pivot = a[j * n + j] - dot(&l, j);
        if pivot <= floor {
            pivot = floor;
            raised += 1.0;
        }
        let root = pivot.sqrt();
        l[j * n + j] = root;
        for i in j + 1..n {
            l[i * n + j] = (a[i * n + j] - dot(&l, i)) / root;
        }
    }
    (l, raised)
}

fn tri_inverse(l: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for c in 0..n {
        for i in c..n {
            let rest: f64 = (c..i).map(|q| l[i * n + q] * out[q * n + c]).sum();
            out[i * n + c] = (f64::from(u8::from(i == c)) - rest) / l[i * n + i];
        }
    }
    out
}

/// The solution by Gaussian elimination with diagonal pivoting on the matrix scaled to a unit diagonal.
fn spd_solve(a: &[f64], b: &[f64], n: usize, m: usize) -> (Vec<f64>, f64) {
    let scale: Vec<f64> = (0..n)
        .map(|i| {
            if a[i * n + i] > 0.0 {
                a[i * n + i].sqrt().recip()
            } else {
                0.0
            }
        })
        .collect();
    let mut s: Vec<f64> = (0..n * n).map(|e| a[e] * scale[e / n] * scale[e % n]).collect();
    let mut y: Vec<f64> = (0..n * m).map(|e| b[e] * scale[e / m]).collect();
    let mut order = Vec::new();
    let mut open: Vec<usize> = (0..n).collect();
    while let Some(&p) = open.iter().max_by(|&&i, &&j| s[i * n + i].total_cmp(&s[j * n + j])) {
        let pivot = s[p * n + p];
        if pivot <= 1e-13 {
            break;
        }
        open.retain(|&i| i != p);
        order.push(p);
        for &i in &open {
            let by = s[i * n + p] / pivot;
            for &j in &open {
                s[i * n + j] -= by * s[p * n + j];
            }
            (0..m).for_each(|c| y[i * m + c] -= by * y[p * m + c]);
        }
    }
    let mut x = vec![0.0; n * m];
    for (done, &p) in order.iter().enumerate().rev() {
        for c in 0..m {
            let rest: f64 = order[done + 1..].iter().map(|&q| s[p * n + q] * x[q * m + c]).sum();
            x[p * m + c] = (y[p * m + c] - rest) / s[p * n + p];
        }
    }
    x.iter_mut().enumerate().for_each(|(e, v)| *v *= scale[e / m]);
    #[allow(clippy::cast_precision_loss)] // a count
    (x, open.len() as f64)
}

/// The floored matrix, or `None` where no eigenvalue is below the floor, and the number of raised eigenvalues.
fn floor_cov(a: &[f64], scale: &[f64], n: usize, relative: f64) -> (Option<Vec<f64>>, f64) {
    let root: Vec<f64> = scale.iter().map(|s| s.sqrt()).collect();
    let scaled = (0..n * n).map(|e| a[e] / (root[e / n] * root[e % n])).collect();
    let (values, vectors) = eigen(scaled, n);
    #[allow(clippy::cast_precision_loss)] // a count
    let raised = values.iter().filter(|v| **v < relative).count() as f64;
    if raised == 0.0 {
        return (None, 0.0);
    }
    let entry = |i: usize, j: usize| {
        (0..n)
            .map(|q| values[q].max(relative) * vectors[i * n + q] * vectors[j * n + q])
            .sum::<f64>()
    };
    (
        Some(
            (0..n * n)
                .map(|e| entry(e / n, e % n) * root[e / n] * root[e % n])
                .collect(),
        ),
        raised,
    )
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix by Jacobi rotations.
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut v: Vec<f64> = (0..n * n).map(|e| f64::from(u8::from(e / n == e % n))).collect();
    for _ in 0..60 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = t.hypot(1.0).recip();
                let s = t * c;
                for k in 0..n {
                    rotate(&mut a, k * n + p, k * n + q, c, s);
                }
                for k in 0..n {
                    rotate(&mut a, p * n + k, q * n + k, c, s);
                }
                for k in 0..n {
                    rotate(&mut v, k * n + p, k * n + q, c, s);
                }
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), v)
}

fn rotate(m: &mut [f64], i: usize, j: usize, c: f64, s: f64) {
    let (x, y) = (m[i], m[j]);
    m[i] = c * x - s * y;
    m[j] = s * x + c * y;
}
