//! Products of f64 matrices by the `gemm-f64` crate, on one thread.

/// A matrix where it stands: its first element, and how far apart neighbours in a row and in a column are.
#[derive(Clone, Copy)]
pub(crate) struct Strided<P> {
    pub at: P,
    pub next_column: usize,
    pub next_row: usize,
}

/// c (+)= a b, m×k times k×n; `add` keeps what c holds.
///
/// # Safety
/// The operands have their shapes at their strides, each element of c once, and c overlaps neither a nor b.
pub(crate) unsafe fn product(
    (m, k, n): (usize, usize, usize),
    c: Strided<*mut f64>,
    add: bool,
    a: Strided<*const f64>,
    b: Strided<*const f64>,
) {
    // its kernels write columns: where c's rows are contiguous, cᵀ = bᵀ aᵀ
    if c.next_column < c.next_row {
        let turned = |x: Strided<*const f64>| Strided {
            at: x.at,
            next_column: x.next_row,
            next_row: x.next_column,
        };
        let c = Strided {
            at: c.at,
            next_column: c.next_row,
            next_row: c.next_column,
        };
        // SAFETY: the same elements by other names; c's columns are now the longer way, so that this ends
        return unsafe { product((n, k, m), c, add, turned(b), turned(a)) };
    }
    let stride = |s: usize| s as isize;
    // SAFETY: the caller vouches for the operands
    unsafe {
        gemm_f64::gemm::f64::get_gemm_fn()(
            m,
            n,
            k,
            c.at,
            stride(c.next_column),
            stride(c.next_row),
            add,
            a.at,
            stride(a.next_column),
            stride(a.next_row),
            b.at,
            stride(b.next_column),
            stride(b.next_row),
            f64::from(u8::from(add)),
            1.0,
            false,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}
