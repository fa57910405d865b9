//! The program of one step over a batch of rows.
//!
//! A program owns arrays and runs its steps in order, once a batch. An array is held once (a parameter, a total) or once a
//! row; per-row arrays are row-major, `[row][element]`, so that a batch of vectors is a matrix and a linear layer one product.
//! Numbers are of the program's [`Precision`]; categories and positions are whole numbers stored as such numbers.
//!
//! Invariants (held by `verify`):
//! - an array is written before it is read, inputs, parameters, constants and noise excepted, and those are never written;
//! - every view lies inside its array; a map's registers are defined before they are used;
//! - a step reads no array that it writes, a product that accumulates excepted;
//! - results do not depend on the number of threads: every sum has a fixed order.

use std::sync::Arc;

/// What numbers are stored in. Reductions over a whole batch are carried in f64 by either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 64 bits.
    #[default]
    F64,
}

/// How often an array is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Once.
    Once,
    /// Once a row of the batch.
    Rows,
}

/// What an array is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Set by the caller before each batch: data, covariates, codes.
    Input,
    /// Set by the caller, changed by the optimiser.
    Param,
    /// Set once by the caller.
    Const,
    /// Drawn anew for each batch.
    Noise(Noise),
    /// Written and read by steps.
    Scratch,
    /// Written by steps, read by the caller.
    Output,
}

/// A distribution of noise; elements are independent, keyed by (seed, array, draw, row, element).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noise {
    /// Normal(0, 1).
    Normal,
    /// Uniform on (0, 1).
    Uniform,
    /// One of 0 … n − 1, equally likely.
    Index(u32),
}

/// A row of the program's table of arrays.
pub type ArrayId = usize;

/// An array: `len` numbers, of each row or once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// For printing.
    pub name: String,
    /// Once or once a row.
    pub extent: Extent,
    /// Numbers (of each row).
    pub len: usize,
    /// What it is for.
    pub role: Role,
}

/// A number of rows or columns of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Count {
    /// That many.
    Fixed(usize),
    /// That many a row of the batch.
    PerRow(usize),
}

/// A matrix in an array: element (i, j) stands at `offset + i · stride + j` (then transposed where asked). Of a per-row array
/// `rows` is [`Count::PerRow`] and row `i` counts through the batch: with `PerRow(p)` it is part `i mod p` of row `i / p`,
/// and the array's `len` is `p · stride`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// The array.
    pub array: ArrayId,
    /// First element.
    pub offset: usize,
    /// Rows before transposing.
    pub rows: Count,
    /// Columns before transposing.
    pub cols: usize,
    /// From one row to the next.
    pub stride: usize,
    /// Read as its transpose.
    pub transposed: bool,
}

/// How a map reads an array at (row, j).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `[row][offset + j]` of a per-row array, `[offset + j]` of one held once.
    Element,
    /// `[row][offset]` of a per-row array, `[offset]` of one held once: the same for all j.
    Spread,
}

/// An operand of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Read {
    /// The array.
    pub array: ArrayId,
    /// First element.
    pub offset: usize,
    /// Along the elements or the same for all.
    pub access: Access,
}

pub use lvmc_kernels::block::{Binary, Ternary, Unary};

/// A register of a map: its reads first, then its operations, in order.
pub type Reg = usize;

/// An operation of a map on numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// A number.
    Const(f64),
    /// One operand.
    Unary(Unary, Reg),
    /// Two.
    Binary(Binary, Reg, Reg),
    /// Three.
    Ternary(Ternary, Reg, Reg, Reg),
    /// The element's position j in its row, from 0.
    Position,
}

/// What becomes of a register of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// `[row][offset + j]` (or `[offset + j]`) of the array.
    Store,
    /// Σⱼ into `[row][offset]` (or `[offset]`).
    SumElements,
    /// maxⱼ into the same.
    MaxElements,
    /// Σ over rows into `[offset + j]` of an array held once.
    SumRows,
    /// Σ over both into `[offset]` of an array held once.
    SumAll,
}

/// A result of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Write {
    /// Which register.
    pub value: Reg,
    /// What becomes of it.
    pub fate: Fate,
    /// The array.
    pub array: ArrayId,
    /// First element.
    pub offset: usize,
}

/// An element-wise computation at every (row, j), j < len.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Over the rows of the batch, or once.
    pub extent: Extent,
    /// Elements.
    pub len: usize,
    /// Operands: registers 0, 1, ….
    pub reads: Vec<Read>,
    /// Operations: the registers after them.
    pub ops: Vec<Op>,
    /// Results.
    pub writes: Vec<Write>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// An element-wise computation.
    Map(Map),
    /// out = a b, or out += a b. A product over the rows of the batch (aᵀ b with both per row) gives a matrix held once.
    Product {
        /// The result.
        out: Matrix,
        /// Left.
        a: Matrix,
        /// Right.
        b: Matrix,
        /// Add to what stands there.
        accumulate: bool,
    },
    /// Of each row n and part p: out[n][p] = a[n][p] b[n][p], small matrices that rows have of their own. Shapes are those of one
    /// part; the arrays hold `parts` of them one after the other; an operand held once is the same for all rows.
    Batched {
        /// The result.
        out: Matrix,
        /// Left.
        a: Matrix,
        /// Right.
        b: Matrix,
        /// Add to what stands there.
        accumulate: bool,
    },
    /// out[row][offset + j] = table[index[row] · len + j]: the rows of a table held once, by a code.
    Gather {
        /// Where to.
        out: Read,
        /// From (its `offset` is that of entry 0).
        table: Read,
        /// The code, a per-row number (or one held once).
        index: Read,
        /// Numbers of one entry.
        len: usize,
        /// Entries; a code outside is a bug that the executor clamps.
        entries: usize,
    },
    /// table[index[row] · len + j] += from[row][offset + j], rows in order; the table is cleared first.
    Scatter {
        /// Where to.
        table: Read,
        /// From.
        from: Read,
        /// The code.
        index: Read,
        /// Numbers of one entry.
        len: usize,
        /// Entries.
        entries: usize,
    },
    /// out[j] = from[map[j]] (of each row); `u32::MAX` reads 0.
    Pick {
        /// Where to, all of it.
        out: ArrayId,
        /// From.
        from: ArrayId,
        /// Positions.
        map: Arc<[u32]>,
    },
    /// out[map[j]] += from[j] (of each row), out cleared first; `u32::MAX` is left out. The transpose of [`Step::Pick`].
    Unpick {
        /// Where to, all of it.
        out: ArrayId,
        /// From.
        from: ArrayId,
        /// Positions.
        map: Arc<[u32]>,
    },
    /// Dense algebra on a matrix held once, or on that of each row, in f64.
    Algebra {
        /// What.
        what: Algebra,
        /// Result.
        out: ArrayId,
        /// Operand, n × n.
        a: ArrayId,
        /// Rows.
        n: usize,
    },
}

/// Dense algebra on an n × n matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algebra {
    /// The lower Cholesky factor of a symmetric positive definite matrix.
    Cholesky,
    /// The inverse of a symmetric positive definite matrix.
    Inverse,
    /// log |A| of a symmetric positive definite matrix, one number.
    LogDet,
    /// The inverse of a lower triangular matrix.
    LowerInverse,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Program {
    /// Arrays.
    pub arrays: Vec<Array>,
    /// Steps, in order.
    pub steps: Vec<Step>,
}
