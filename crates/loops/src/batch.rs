//! Loops over one kernel that the kernel can do in one call: `for k { quad }` and `for k { syrk }` over components that
//! look at the same rows.

use crate::ir::{Flat, Index, IndexVar, Kernel, QuadShape, Rows, Stmt};

/// A kernel for several components.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The kernel of the first component.
    pub kernel: Kernel,
    /// Number of components.
    pub count: usize,
    /// From one component to the next: elements of `coef` (`Quad`), columns of `w` (`Syrk`).
    pub from_stride: usize,
    /// From one component to the next: columns of `out` (`Quad`), elements of `acc` (`Syrk`).
    pub to_stride: usize,
    /// A softmax over exactly these components is what reads them next: entries that it makes 0 need not be finished.
    pub pruned: bool,
}

/// Inputs and components from which it pays to look whether an entry still matters (AVX2: two tiles of outputs break even).
const PRUNED_FROM: (usize, usize) = (12, 4);

impl Batch {
    /// One component.
    #[must_use]
    pub fn single(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
            count: 1,
            from_stride: 0,
            to_stride: 0,
            pruned: false,
        }
    }
}

/// The batch that a statement is, if it is one.
#[must_use]
pub fn of(stmt: &Stmt) -> Option<Batch> {
    let Stmt::For { var, extent, body } = stmt else {
        return None;
    };
    let [Stmt::Kernel(kernel)] = &body[..] else { return None };
    let var = IndexVar::Loop(*var);
    let flat = |f: &Flat| split(&f.at, var).map(|(at, by)| (Flat { buf: f.buf, at }, by));
    let rows = |r: &Rows| split(&r.col, var).map(|(col, by)| (Rows { buf: r.buf, col }, by));
    let (kernel, from_stride, to_stride) = match kernel {
        Kernel::Quad {
            x,
            inputs,
            outputs,
            shape,
            coef,
            out,
            add,
        } => {
            let ((x, 0), (coef, from), (out, to)) = (rows(x)?, flat(coef)?, rows(out)?) else {
                return None;
            };
            let kernel = Kernel::Quad {
                x,
                inputs: *inputs,
                outputs: *outputs,
                shape: *shape,
                coef,
                out,
                add: *add,
            };
            (kernel, from, to)
        }
        Kernel::Syrk {
            x,
            inputs,
            w: Some(w),
            acc,
            diagonal,
        } => {
            let ((x, 0), (w, from), (acc, to)) = (rows(x)?, rows(w)?, flat(acc)?) else {
                return None;
            };
            (
                Kernel::Syrk {
                    x,
                    inputs: *inputs,
                    w: Some(w),
                    acc,
                    diagonal: *diagonal,
                },
                from,
                to,
            )
        }
        _ => return None,
    };
    // components with one result between them are added one after the other
    (to_stride > 0).then_some(Batch {
        kernel,
        count: *extent,
        from_stride,
        to_stride,
        pruned: false,
    })
}

/// As [`of`], knowing the statement that follows.
#[must_use]
pub fn before(stmt: &Stmt, next: Option<&Stmt>) -> Option<Batch> {
    let mut batch = of(stmt)?;
    batch.pruned = match (&batch.kernel, next) {
        (Kernel::Quad { inputs, out, shape, .. }, Some(Stmt::Kernel(Kernel::Softmax { table, n, stride, .. }))) => {
            *shape != QuadShape::Diagonal
                && (table, *n, *stride) == (out, batch.count, batch.to_stride)
                && *inputs >= PRUNED_FROM.0
                && batch.count >= PRUNED_FROM.1
        }
        _ => false,
    };
    Some(batch)
}

/// The index where `var` is 0, and what it gains per turn (not negative).
fn split(index: &Index, var: IndexVar) -> Option<(Index, usize)> {
    let by = index.terms.iter().filter(|t| t.0 == var).map(|t| t.1).sum::<i64>();
    let terms = index.terms.iter().copied().filter(|t| t.0 != var).collect();
    Some((
        Index {
            base: index.base,
            terms,
        },
        usize::try_from(by).ok()?,
    ))
}
