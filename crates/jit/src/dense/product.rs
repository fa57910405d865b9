//! Matrix products.

use super::memory::View;
use lvmc_dense::ir::{ArrayId, Count, Matrix, Program, Role};
use lvmc_kernels::array::Float;
use lvmc_kernels::array::gemm::Product;
use std::ops::Range;

/// A matrix with both strides: element (i, j) at `offset + i · row + j · col` of its array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strided {
    pub array: ArrayId,
    pub offset: usize,
    pub rows: Count,
    pub cols: Count,
    pub row: usize,
    pub col: usize,
}

impl Strided {
    pub fn of(m: &Matrix) -> Self {
        let plain = Self {
            array: m.array,
            offset: m.offset,
            rows: m.rows,
            cols: Count::Fixed(m.cols),
            row: m.stride,
            col: 1,
        };
        if m.transposed { plain.turned() } else { plain }
    }

    fn turned(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row: self.col,
            col: self.row,
            ..self
        }
    }
}

/// How many for a batch.
pub(super) fn count(count: Count, rows: usize) -> usize {
    match count {
        Count::Fixed(n) => n,
        Count::PerRow(parts) => parts * rows,
    }
}

/// A b whose columns are not adjacent, or that is used often, in panels behind the arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    pub b: Strided,
    /// Where its panels begin, in all memory.
    pub at: usize,
}

/// A product, its result's columns adjacent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Multiply {
    pub out: Strided,
    pub a: Strided,
    pub b: Strided,
    /// Where b's panels stand.
    pub packed: Option<usize>,
    pub add: bool,
}

impl Multiply {
    pub fn new(out: &Matrix, a: &Matrix, b: &Matrix, add: bool) -> Self {
        let [out, a, b] = [out, a, b].map(Strided::of);
        let (out, a, b) = if out.col == 1 && matches!(out.cols, Count::Fixed(_)) {
            (out, a, b)
        } else {
            (out.turned(), b.turned(), a.turned())
        };
        Self {
            out,
            a,
            b,
            packed: None,
            add,
        }
    }

    /// Whether each row of the batch gives rows of the result.
    pub fn is_row_step(&self) -> bool {
        matches!(self.out.rows, Count::PerRow(_))
    }

    /// Whether the result is all of an array of `len` numbers, whatever was there.
    pub fn is_whole(&self, len: usize) -> bool {
        match (self.out.rows, self.out.cols) {
            (Count::Fixed(m), Count::Fixed(n)) => {
                !self.add && (self.out.offset, self.out.row, self.out.col) == (0, n, 1) && m * n == len
            }
            _ => false,
        }
    }

    /// Whether b has to be packed, or is better packed where a batch is large.
    pub fn wants_packing<T: Float>(&self, program: &Program, capacity: usize) -> bool {
        let (Count::Fixed(k), Count::Fixed(n)) = (self.b.rows, self.b.cols) else {
            return false;
        };
        let apart = self.b.col != 1 && n > 1;
        // rows of b at such distances fall on the same few lines of a cache
        let collide = (self.b.row * size_of::<T>()).is_multiple_of(1024) || capacity >= 512;
        // a parameter is packed as it is updated
        let cheap = program.arrays[self.b.array].role == Role::Param;
        apart || self.is_row_step() && k > 32 && n > 16 && (cheap || collide)
    }

    /// Numbers of its packed b.
    pub fn packed_len<T: Float>(&self) -> usize {
        T::products().packed_len(count(self.b.rows, 0), count(self.b.cols, 0))
    }

    /// Rows and columns of the result.
    pub fn shape(&self, rows: usize) -> (usize, usize) {
        (count(self.out.rows, rows), count(self.out.cols, rows))
    }

    /// Multiplications for each row of the batch, and once.
    pub fn cost(&self) -> (f64, f64) {
        let of = |rows| (self.shape(rows).0 * self.shape(rows).1 * count(self.a.cols, rows)) as f64;
        let (one, two) = (of(1), of(2));
        (two - one, 2.0 * one - two)
    }

    /// Rows `i` and columns `j` of the result for a batch of `rows`.
    ///
    /// # Safety
    /// The verifier has seen the matrices; nobody else writes this part of the result, or anything that is read.
    pub unsafe fn run<T: Float>(
        &self,
        view: &View<'_, T>,
        rows: usize,
        i: Range<usize>,
        j: Range<usize>,
        scratch: *mut T,
    ) {
        let products = T::products();
        debug_assert!(j.start.is_multiple_of(products.width));
        let k = count(self.a.cols, rows);
        let at = |m: &Strided, i: usize, j: usize| view.at(m.array, 0, m.offset + i * m.row + j * m.col);
        let (b, b_row) = match self.packed {
            Some(place) => (view.raw(place), 0),
            None => (at(&self.b, 0, j.start), self.b.row),
        };
        // a packed b is used whole
        let (j, n) = if self.packed.is_some() {
            (0, count(self.b.cols, rows))
        } else {
            (j.start, j.len())
        };
        let product = Product {
            m: i.len(),
            n,
            k,
            a: at(&self.a, i.start, 0),
            a_row: self.a.row,
            a_col: self.a.col,
            b,
            b_row,
            c: at(&self.out, i.start, j),
            c_row: self.out.row,
            add: self.add,
            scratch,
        };
        // SAFETY: the caller vouches for the matrices; scratch is this thread's
        unsafe { (products.run)(&product) }
    }
}

/// How a product that is no row step is cut: rows and columns of each task's part. Either all columns or all rows.
pub(super) fn cut<T: Float>(multiply: &Multiply, capacity: usize) -> (usize, usize) {
    let products = T::products();
    let (m, n) = multiply.shape(capacity);
    let k = count(multiply.a.cols, capacity).max(1);
    // some 4 million multiplications: 50 µs
    let parts = ((m * n * k) as f64 / 4e6).ceil().clamp(1.0, 16.0) as usize;
    let share = |len: usize, unit: usize| len.div_ceil(parts).next_multiple_of(unit).max(unit);
    // rows of the result lie one after the other: so do the numbers of an update that follows
    if 2 * m >= n || multiply.packed.is_some() {
        (share(m, products.height), n.max(1))
    } else {
        (m.max(1), share(n, products.width))
    }
}
