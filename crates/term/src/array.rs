//! Dense arrays of numbers, and the small linear algebra of the reference evaluator. Clear rather than fast.

/// A dense array of numbers, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes of the axes; empty for a scalar.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub data: Vec<f64>,
}

impl Array {
    /// An array of that shape with every element from its row-major position.
    #[must_use]
    pub fn from_fn(shape: &[usize], f: impl FnMut(usize) -> f64) -> Self {
        Self {
            shape: shape.to_vec(),
            data: (0..shape.iter().product()).map(f).collect(),
        }
    }
    /// One number.
    #[must_use]
    pub fn scalar(x: f64) -> Self {
        Self {
            shape: vec![],
            data: vec![x],
        }
    }
    /// A vector.
    #[must_use]
    pub fn vector(data: Vec<f64>) -> Self {
        Self {
            shape: vec![data.len()],
            data,
        }
    }
    /// A matrix, row-major.
    #[must_use]
    pub fn matrix(rows: usize, cols: usize, data: Vec<f64>) -> Self {
        debug_assert_eq!(rows * cols, data.len());
        Self {
            shape: vec![rows, cols],
            data,
        }
    }
    /// Equal elements.
    #[must_use]
    pub fn filled(shape: &[usize], x: f64) -> Self {
        Self::from_fn(shape, |_| x)
    }
    /// The identity matrix.
    #[must_use]
    pub fn eye(n: usize) -> Self {
        Self::from_fn(&[n, n], |i| f64::from(u8::from(i / n == i % n)))
    }
    /// The value of a scalar (the first element of anything else; NaN where there is none).
    #[must_use]
    pub fn as_scalar(&self) -> f64 {
        self.data.first().copied().unwrap_or(f64::NAN)
    }
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len()
    }
    /// True where a size is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
    /// Rows of a matrix.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }
    /// Columns of a matrix.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.shape.get(1).copied().unwrap_or(1)
    }
    /// Element (i, j) of a matrix.
    #[must_use]
    pub fn at2(&self, i: usize, j: usize) -> f64 {
        self.data[i * self.cols() + j]
    }
    /// The sub-array at a leading index.
    #[must_use]
    pub fn sub(&self, i: usize) -> Self {
        let shape = self.shape[1..].to_vec();
        let n: usize = shape.iter().product();
        Self {
            shape,
            data: self.data[i * n..(i + 1) * n].to_vec(),
        }
    }
    /// f of every element.
    #[must_use]
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            shape: self.shape.clone(),
            data: self.data.iter().map(|&x| f(x)).collect(),
        }
    }
    /// f of pairs of elements; a scalar pairs with every element.
    #[must_use]
    pub fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        match (self.shape.is_empty(), other.shape.is_empty()) {
            (true, _) => other.map(|y| f(self.data[0], y)),
            (_, true) => self.map(|x| f(x, other.data[0])),
            _ => Self {
                shape: self.shape.clone(),
                data: self.data.iter().zip(&other.data).map(|(&x, &y)| f(x, y)).collect(),
            },
        }
    }
    /// Aᵀ.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let (r, c) = (self.rows(), self.cols());
        Self::from_fn(&[c, r], |i| self.at2(i % r, i / r))
    }
    /// Matrix product; a vector on the right is a column.
    #[must_use]
    pub fn matmul(&self, b: &Self) -> Self {
        let (m, k, n) = (self.rows(), self.cols(), b.cols());
        let out = Self::from_fn(&[m, n], |i| {
            (0..k).map(|l| self.at2(i / n, l) * b.data[l * n + i % n]).sum()
        });
        if b.shape.len() == 1 {
            Self::vector(out.data)
        } else {
            out
        }
    }
    /// The lower-triangular L with A = L Lᵀ, or `None` where A is not positive definite.
    #[must_use]
    pub fn cholesky(&self) -> Option<Self> {
        let n = self.rows();
        let mut l = Self::filled(&[n, n], 0.0);
        for j in 0..n {
            let pivot = self.at2(j, j) - (0..j).map(|k| l.at2(j, k).powi(2)).sum::<f64>();
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            let d = pivot.sqrt();
            l.data[j * n + j] = d;
            for i in j + 1..n {
                let s: f64 = (0..j).map(|k| l.at2(i, k) * l.at2(j, k)).sum();
                l.data[i * n + j] = (self.at2(i, j) - s) / d;
            }
        }
        Some(l)
    }
    /// L⁻¹ b for a lower-triangular L and a vector or matrix b.
    #[must_use]
    pub fn solve_lower(&self, b: &Self) -> Self {
        let (n, m) = (self.rows(), b.cols());
        let mut x = b.clone();
        for c in 0..m {
            for i in 0..n {
                let s: f64 = (0..i).map(|k| self.at2(i, k) * x.data[k * m + c]).sum();
                x.data[i * m + c] = (x.data[i * m + c] - s) / self.at2(i, i);
            }
        }
        x
    }
    /// A⁻¹ of a symmetric positive definite matrix.
    #[must_use]
    pub fn spd_inverse(&self) -> Option<Self> {
        let w = self.cholesky()?.solve_lower(&Self::eye(self.rows()));
        Some(w.transposed().matmul(&w))
    }
    /// log |A| of a symmetric positive definite matrix.
    #[must_use]
    pub fn spd_log_det(&self) -> Option<f64> {
        let l = self.cholesky()?;
        Some((0..l.rows()).map(|i| 2.0 * l.at2(i, i).ln()).sum())
    }
}
