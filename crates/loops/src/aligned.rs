//! Vectors of f64 that start at a cache line, and the block layout of rows.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// Numbers in a cache line.
const LINE: usize = 8;

/// A vector of f64, 64-byte aligned, of fixed length.
pub struct AlignedVec {
    store: Vec<f64>,
    start: usize,
    len: usize,
}

impl AlignedVec {
    /// `len` zeros. The memory is only touched where it is written.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let store = vec![0.0_f64; len + LINE - 1];
        let misaligned = store.as_ptr().addr() % (8 * LINE) / 8;
        Self {
            store,
            start: (LINE - misaligned) % LINE,
            len,
        }
    }

    /// A copy of `values`.
    #[must_use]
    pub fn copy_of(values: &[f64]) -> Self {
        let mut out = Self::zeroed(values.len());
        out.copy_from_slice(values);
        out
    }
}

impl Deref for AlignedVec {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        &self.store[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.store[self.start..self.start + self.len]
    }
}

impl Clone for AlignedVec {
    fn clone(&self) -> Self {
        // not a copy of the fields: the new store may be aligned otherwise
        Self::copy_of(self)
    }
}

impl Default for AlignedVec {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl PartialEq for AlignedVec {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl fmt::Debug for AlignedVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// `len` rounded up to whole cache lines.
#[must_use]
pub fn lines(len: usize) -> usize {
    len.next_multiple_of(LINE)
}

/// Where the rows of a data set lie in row buffers: `[block][column][row]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowLayout {
    /// Rows of data.
    pub rows: usize,
    /// Rows of a block.
    pub block: usize,
}

/// What the rows that fill the last block hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The values of the last row: valid, and not counted since their weight is 0.
    LastRow,
    /// 0, as weights need.
    Zero,
}

impl RowLayout {
    /// Number of blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.rows.div_ceil(self.block)
    }

    /// True where the last block is padded.
    #[must_use]
    pub fn padded(&self) -> bool {
        !self.rows.is_multiple_of(self.block)
    }

    /// Length of a buffer of `cols` columns.
    #[must_use]
    pub fn len(&self, cols: usize) -> usize {
        self.blocks() * self.block * cols
    }

    /// True where there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Where column `col` of `row` lies.
    #[must_use]
    pub fn at(&self, cols: usize, row: usize, col: usize) -> usize {
        (row / self.block * cols + col) * self.block + row % self.block
    }

    /// Lays out `cols` columns of `value(row, column)`.
    #[must_use]
    pub fn fill(&self, cols: usize, padding: Padding, mut value: impl FnMut(usize, usize) -> f64) -> AlignedVec {
        let mut out = AlignedVec::zeroed(self.len(cols));
        for row in 0..self.rows {
            for col in 0..cols {
                out[self.at(cols, row, col)] = value(row, col);
            }
        }
        if padding == Padding::LastRow && self.rows > 0 {
            for row in self.rows..self.blocks() * self.block {
                for col in 0..cols {
                    out[self.at(cols, row, col)] = out[self.at(cols, self.rows - 1, col)];
                }
            }
        }
        out
    }
}
