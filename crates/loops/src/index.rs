//! Affine index arithmetic: `k * 5 + j + 2` written with the operators, and the small maps used on indices.

use std::ops::{Add, Mul, Sub};

use crate::ir::{BufId, Flat, Index, IndexVar, IxReg, LoopId, Rows};

impl Index {
    /// A constant index.
    #[must_use]
    pub fn constant(base: usize) -> Self {
        Self {
            base: i64::try_from(base).expect("an index beyond 2^63"),
            terms: Vec::new(),
        }
    }

    /// Row-major position of `parts` in an array of extents `dims` (the first extent is not needed and ignored).
    #[must_use]
    pub fn row_major(parts: &[Index], dims: &[usize]) -> Self {
        assert_eq!(parts.len(), dims.len(), "as many indices as extents");
        let mut at = Index::default();
        for (part, &dim) in parts.iter().zip(dims) {
            at = at * dim + part.clone();
        }
        at
    }

    /// The normal form: variables in order, each once, no zero coefficient. All operators give it.
    #[must_use]
    pub fn normal(mut self) -> Self {
        self.terms.sort_by_key(|(var, _)| var_key(*var));
        let mut terms: Vec<(IndexVar, i64)> = Vec::with_capacity(self.terms.len());
        for (var, by) in self.terms {
            match terms.last_mut() {
                Some(last) if last.0 == var => last.1 += by,
                _ => terms.push((var, by)),
            }
        }
        terms.retain(|&(_, by)| by != 0);
        Self { base: self.base, terms }
    }

    /// True where the index holds a dynamic part.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.terms.iter().any(|(var, _)| matches!(var, IndexVar::Dyn(_)))
    }

    /// The value, where nothing varies.
    #[must_use]
    pub fn as_constant(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.base)
    }

    /// This index with `var` replaced by `by`.
    #[must_use]
    pub fn substitute(&self, var: IndexVar, by: &Index) -> Self {
        let mut out = Index {
            base: self.base,
            terms: Vec::new(),
        };
        for &(v, coefficient) in &self.terms {
            if v == var {
                out.base += by.base * coefficient;
                out.terms.extend(by.terms.iter().map(|&(w, c)| (w, c * coefficient)));
            } else {
                out.terms.push((v, coefficient));
            }
        }
        out.normal()
    }
}

fn var_key(var: IndexVar) -> (u8, u32) {
    match var {
        IndexVar::Loop(l) => (0, l.0),
        IndexVar::Dyn(x) => (1, x.0),
    }
}

impl BufId {
    /// The element `at` of a flat buffer.
    #[must_use]
    pub fn at(self, at: impl Into<Index>) -> Flat {
        Flat {
            buf: self,
            at: at.into(),
        }
    }

    /// The column `col` of a row buffer.
    #[must_use]
    pub fn col(self, col: impl Into<Index>) -> Rows {
        Rows {
            buf: self,
            col: col.into(),
        }
    }
}

impl Flat {
    /// The place `offset` elements further.
    #[must_use]
    pub fn plus(&self, offset: impl Into<Index>) -> Self {
        Self {
            buf: self.buf,
            at: self.at.clone() + offset,
        }
    }
}

impl Rows {
    /// The column `offset` columns further.
    #[must_use]
    pub fn plus(&self, offset: impl Into<Index>) -> Self {
        Self {
            buf: self.buf,
            col: self.col.clone() + offset,
        }
    }
}

impl From<usize> for Index {
    fn from(base: usize) -> Self {
        Index::constant(base)
    }
}

impl From<i64> for Index {
    fn from(base: i64) -> Self {
        Index {
            base,
            terms: Vec::new(),
        }
    }
}

impl From<i32> for Index {
    fn from(base: i32) -> Self {
        Index {
            base: base.into(),
            terms: Vec::new(),
        }
    }
}

impl From<IndexVar> for Index {
    fn from(var: IndexVar) -> Self {
        Index {
            base: 0,
            terms: vec![(var, 1)],
        }
    }
}

impl From<LoopId> for Index {
    fn from(var: LoopId) -> Self {
        IndexVar::Loop(var).into()
    }
}

impl From<IxReg> for Index {
    fn from(var: IxReg) -> Self {
        IndexVar::Dyn(var).into()
    }
}

impl From<LoopId> for IndexVar {
    fn from(var: LoopId) -> Self {
        IndexVar::Loop(var)
    }
}

impl From<IxReg> for IndexVar {
    fn from(var: IxReg) -> Self {
        IndexVar::Dyn(var)
    }
}

impl From<&Index> for Index {
    fn from(index: &Index) -> Self {
        index.clone()
    }
}

impl<T: Into<Index>> Add<T> for Index {
    type Output = Index;
    fn add(mut self, other: T) -> Index {
        let other = other.into();
        self.base += other.base;
        self.terms.extend(other.terms);
        self.normal()
    }
}

impl<T: Into<Index>> Sub<T> for Index {
    type Output = Index;
    fn sub(self, other: T) -> Index {
        self + other.into().scaled(-1)
    }
}

impl Index {
    /// The index times a signed factor.
    #[must_use]
    pub fn scaled(mut self, by: i64) -> Index {
        self.base *= by;
        for term in &mut self.terms {
            term.1 *= by;
        }
        self.normal()
    }
}

impl Mul<usize> for Index {
    type Output = Index;
    fn mul(self, by: usize) -> Index {
        self.scaled(i64::try_from(by).expect("a stride beyond 2^63"))
    }
}

/// The operators of [`Index`] on variables too.
macro_rules! through_index {
    ($($t:ty),*) => { $(
        impl<T: Into<Index>> Add<T> for $t {
            type Output = Index;
            fn add(self, other: T) -> Index {
                Index::from(self) + other
            }
        }
        impl<T: Into<Index>> Sub<T> for $t {
            type Output = Index;
            fn sub(self, other: T) -> Index {
                Index::from(self) - other
            }
        }
        impl Mul<usize> for $t {
            type Output = Index;
            fn mul(self, by: usize) -> Index {
                Index::from(self) * by
            }
        }
    )* };
}

through_index!(LoopId, IxReg, &Index);
