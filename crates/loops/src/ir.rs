//! The loop IR: what Cranelift compiles and the interpreter runs.
//!
//! A program owns buffers and functions. Two address spaces: *flat* buffers (parameters, tables, statistics) indexed by
//! an affine [`Index`], and *row* buffers (data columns, per-row scratch), which hold `cols` columns of one block of
//! rows, column-major, and are addressed by a column; the row is the enclosing [`Stmt::Rows`] loop's. Every number is
//! an f64 (category codes too).
//!
//! Data lie in blocks of `Program::block` rows: `[block][column][row]`. The last block is padded with copies of a valid
//! row whose weight is 0; functions named `*_w` multiply by the weight column and are used for that block and where
//! rows have weights.
//!
//! Invariants (held by `verify`):
//! - a register is defined once, before its uses, in the same or an enclosing body; a register defined inside `Rows` is
//!   one value per row and is not used outside it;
//! - every flat index is inside its buffer for all values of its loop variables; a dynamic index was clamped by
//!   [`Stmt::IndexOf`]; every column is inside its row buffer;
//! - `Once` functions have no `Rows` loops and no row operands; `Block` functions write no `Param`, `Table` or `Const`;
//! - kernels' operands have the lengths their dims ask for.

use lvmc_base::id;

id!(
    /// A buffer.
    BufId
);
id!(
    /// A register of a function.
    Reg
);
id!(
    /// A loop variable of a function.
    LoopId
);
id!(
    /// An integer register: a number turned into a bounded index.
    IxReg
);

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BufKind {
    /// Flat; a parameter's values (runtime sets and reads them).
    Param,
    /// Flat; literal contents, in `Buffer::init`.
    Const,
    /// Flat; set by the runtime before the first call (column centres, scales, constants of the model).
    Input,
    /// Flat; written by `Once` functions, read by all.
    Table,
    /// Flat; every chunk has its own, zeroed; after the last chunk the copies are added in the order of chunks.
    Stat,
    /// Flat; raw accumulators of kernels, one per chunk, zeroed; folded into `Stat` by the function `finish`.
    Acc,
    /// Flat; scratch of one call.
    Scratch,
    /// Rows; data, stored for all rows.
    Column,
    /// Rows; computed once from data by the function `features`, stored for all rows.
    Feature,
    /// Rows; scratch of one block, one per thread.
    Temp,
    /// Rows; per-row input or output stored for all rows (responsibilities, scores), present only when asked for.
    Out,
}

impl BufKind {
    /// True for buffers of rows.
    #[must_use]
    pub fn is_rows(self) -> bool {
        matches!(self, Self::Column | Self::Feature | Self::Temp | Self::Out)
    }
}

/// A buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffer {
    /// Printed name, unique.
    pub name: String,
    /// What it is for.
    pub kind: BufKind,
    /// Elements of a flat buffer, columns of a row buffer.
    pub len: usize,
    /// Contents of a `Const` buffer.
    pub init: Vec<f64>,
}

/// A program.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The model's name.
    pub name: String,
    /// Rows of a block: a multiple of 16.
    pub block: usize,
    /// Buffers.
    pub buffers: Vec<Buffer>,
    /// Functions.
    pub funcs: Vec<Func>,
}

/// When a function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FuncKind {
    /// Once per call, on flat buffers.
    Once,
    /// For every block of a range of blocks.
    Block,
    /// Once per chunk of blocks, after its blocks: folds `Acc` into `Stat`.
    Chunk,
}

/// A function.
#[derive(Debug, Clone, PartialEq)]
pub struct Func {
    /// Name: `features`, `prepare`, `sweep`, `sweep_w`, `finish`, `update`, `score`, ….
    pub name: String,
    /// When it runs.
    pub kind: FuncKind,
    /// Statements.
    pub body: Vec<Stmt>,
    /// How many registers, loop variables and index registers it uses.
    pub regs: u32,
    /// See `regs`.
    pub loops: u32,
    /// See `regs`.
    pub ixs: u32,
}

/// One part of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexVar {
    /// A loop variable.
    Loop(LoopId),
    /// A clamped dynamic index.
    Dyn(IxReg),
}

/// An affine index: `base + Σ coefficient · variable`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Index {
    /// Constant part.
    pub base: i64,
    /// Variable parts.
    pub terms: Vec<(IndexVar, i64)>,
}

/// A place in a flat buffer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Flat {
    /// The buffer.
    pub buf: BufId,
    /// The element.
    pub at: Index,
}

/// A column of a row buffer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rows {
    /// The buffer.
    pub buf: BufId,
    /// The column.
    pub col: Index,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Stmt {
    /// `for var in 0..extent { body }`.
    For {
        /// The variable.
        var: LoopId,
        /// Number of turns, at least 1.
        extent: usize,
        /// What is repeated.
        body: Vec<Stmt>,
    },
    /// `rows { body }`: the body for every row of the block; rows are independent but for `Reduce` and `Scatter`.
    /// The body holds no kernels and no `Rows`; it may hold `For`.
    Rows {
        /// The body.
        body: Vec<Stmt>,
    },
    /// `reg = op`.
    Let(Reg, Op),
    /// `ix = clamp(round(value), 0, extent − 1)`.
    IndexOf {
        /// The index register.
        ix: IxReg,
        /// The number.
        value: Reg,
        /// One past the largest index.
        extent: usize,
    },
    /// `flat = value` (not inside `Rows`).
    Store(Flat, Reg),
    /// `flat += value` (not inside `Rows`).
    Accum(Flat, Reg),
    /// `column[row] = value` (inside `Rows`).
    StoreRow(Rows, Reg),
    /// `flat += Σ_row value` (inside `Rows`; the index does not depend on the row).
    Reduce(Flat, Reg),
    /// `flat[index of this row] += value` (inside `Rows`; the index holds a dynamic part).
    Scatter(Flat, Reg),
    /// Leaves the innermost `For` where the register is not 0 (not inside `Rows`).
    BreakIf(Reg),
    /// `if cond != 0 { body }` (not inside `Rows`).
    If(Reg, Vec<Stmt>),
    /// A kernel.
    Kernel(Kernel),
}

/// Scalar (or one-per-row) operations.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A constant.
    Const(f64),
    /// A flat element.
    Load(Flat),
    /// This row's element of a column (inside `Rows`).
    LoadRow(Rows),
    /// A loop variable or index register as a number.
    IndexValue(IndexVar),
    /// One operand.
    Un(Un, Reg),
    /// Two operands.
    Bin(Bin, Reg, Reg),
    /// `a · b + c`; fused where the machine has it (the interpreter fuses too).
    Fma(Reg, Reg, Reg),
    /// `c != 0 ? a : b`.
    Select(Reg, Reg, Reg),
}

/// Operations of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Un {
    Neg,
    Abs,
    Sqrt,
    Floor,
    Exp,
    Log,
    Log1p,
    Lgamma,
    Digamma,
    Trigamma,
    Tetragamma,
    Sigmoid,
    Softplus,
    Tanh,
    Sin,
    Cos,
    NormalCdf,
    Sign,
}

/// Operations of two operands; comparisons give 1 or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Bin {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Pow,
    Lt,
    Le,
    Eq,
}

/// Which entries of a quadratic form's coefficients may differ from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuadShape {
    /// Row j uses every input.
    Dense,
    /// Row j uses inputs `0 ..= lead + j`.
    Triangular {
        /// Inputs that every row uses.
        lead: usize,
    },
    /// Row j uses input j alone.
    Diagonal,
}

/// Kernels: calls that a pass may expand into loops (`--kernels none`) and that `jit` otherwise gives to compiled block
/// kernels. B is the rows of a block. "set or add": `add` false writes, true adds to what is there.
#[derive(Debug, Clone, PartialEq)]
pub enum Kernel {
    /// `out_r (=|+=) c − ½ Σⱼ (Σᵢ Gⱼᵢ x_{i,r} − hⱼ)²`. `coef` (packed by [`Kernel::PackQuad`]) is `c`, then for every
    /// j `hⱼ, Gⱼ₀ … Gⱼ,ₚ₋₁` (for `Diagonal`: `hⱼ, Gⱼⱼ`).
    Quad {
        /// First of `inputs` columns.
        x: Rows,
        /// Number of inputs p.
        inputs: usize,
        /// Number of outputs d.
        outputs: usize,
        /// Zero pattern.
        shape: QuadShape,
        /// Packed coefficients.
        coef: Flat,
        /// One column.
        out: Rows,
        /// Add to `out`.
        add: bool,
    },
    /// Packs the logical coefficients (layout as in `Quad`, length [`quad_len`]) for this machine's kernel; `dst` has
    /// length [`crate::lens::quad_packed_len`]. The interpreter keeps those that `shape` uses, in order.
    PackQuad {
        /// Logical.
        src: Flat,
        /// Packed.
        dst: Flat,
        /// p.
        inputs: usize,
        /// d.
        outputs: usize,
        /// Zero pattern.
        shape: QuadShape,
    },
    /// `out_{k,r} (=|+=) b_k + Σᵢ W_kᵢ x_{i,r}`; `coef` is `[outputs][1 + inputs]`, bias first.
    Linear {
        /// First of `inputs` columns.
        x: Rows,
        /// p.
        inputs: usize,
        /// m.
        outputs: usize,
        /// Coefficients.
        coef: Flat,
        /// First of `outputs` columns.
        out: Rows,
        /// Add to `out`.
        add: bool,
    },
    /// Normalises `n` columns (first `table`, then every `stride` columns) over n, row by row: entry ← exp(entry − lse),
    /// lse = log Σ exp (−∞ where all are −∞; entries then become 0). `lse` receives it, `total[0]` gains Σ_r lse.
    Softmax {
        /// First column.
        table: Rows,
        /// Number of entries.
        n: usize,
        /// Distance in columns.
        stride: usize,
        /// Where lse goes.
        lse: Option<Rows>,
        /// What gains Σ_r lse.
        total: Option<Flat>,
    },
    /// Accumulates the second moments of a = (1, x) with weights w: Σ_r w_r a aᵀ, in a raw layout of length
    /// [`crate::lens::syrk_len`]; with `diagonal`, only Σ w, Σ w x, Σ w x².
    Syrk {
        /// First of `inputs` columns.
        x: Rows,
        /// p.
        inputs: usize,
        /// One column of weights; `None` means 1.
        w: Option<Rows>,
        /// Raw accumulator.
        acc: Flat,
        /// Only squares.
        diagonal: bool,
    },
    /// Adds a raw `Syrk` accumulator to `out`: the full symmetric (p+1)×(p+1) matrix row-major, or `1 + 2p` numbers
    /// (Σ w, Σ w x, Σ w x²) with `diagonal`.
    SyrkFold {
        /// Raw.
        acc: Flat,
        /// p.
        inputs: usize,
        /// Result.
        out: Flat,
        /// As in `Syrk`.
        diagonal: bool,
    },
    /// First moments for several weights at once: raw accumulators (length [`crate::lens::moments_len`]) of Σ_r w_{s,r} (1, x_r).
    Moments {
        /// First of `inputs` columns.
        x: Rows,
        /// p (may be 0: then only Σ w).
        inputs: usize,
        /// First of `weights` columns.
        w: Rows,
        /// s.
        weights: usize,
        /// Raw accumulator.
        acc: Flat,
    },
    /// Adds a raw `Moments` accumulator to `out`: `[weights][1 + inputs]`.
    MomentsFold {
        /// Raw.
        acc: Flat,
        /// p.
        inputs: usize,
        /// s.
        weights: usize,
        /// Result.
        out: Flat,
    },
    /// `out_{s,r} (=|+=) table[s][code_r]`.
    Gather {
        /// Codes, 0-based; clamped to the range.
        code: Rows,
        /// `[entries][values]`.
        table: Flat,
        /// s.
        entries: usize,
        /// v.
        values: usize,
        /// First of `entries` columns.
        out: Rows,
        /// Add to `out`.
        add: bool,
    },
    /// `acc[s][code_r] += w_{s,r}`.
    Scatter {
        /// Codes, 0-based; clamped.
        code: Rows,
        /// v.
        values: usize,
        /// First of `entries` columns.
        w: Rows,
        /// s.
        entries: usize,
        /// `[entries][values]`, a `Stat`.
        acc: Flat,
    },
    /// `rows_{i,r} *= by_r` for n columns.
    MulRows {
        /// First of n columns.
        rows: Rows,
        /// n.
        n: usize,
        /// One column.
        by: Rows,
    },
    /// L of A = L Lᵀ (row-major, upper part zeroed). Where a pivot is not positive relative to the diagonal it is
    /// raised to 1e-300 + 1e-14·(largest diagonal) and `flag[0]` gains 1.
    Cholesky {
        /// n×n.
        a: Flat,
        /// n×n.
        out: Flat,
        /// n.
        n: usize,
        /// Count of raised pivots.
        flag: Flat,
    },
    /// The inverse of a lower triangular matrix.
    TriInverse {
        /// n×n.
        l: Flat,
        /// n×n.
        out: Flat,
        /// n.
        n: usize,
    },
    /// Solves A X = B for symmetric positive semidefinite A by a pivoted, scaled factorisation; directions whose pivot is
    /// below 1e-13 of the scaled diagonal are left out (their solution is 0) and `flag[0]` counts them. B and X are
    /// `[n][m]`.
    SpdSolve {
        /// n×n.
        a: Flat,
        /// n×m.
        b: Flat,
        /// n×m.
        out: Flat,
        /// n.
        n: usize,
        /// m.
        m: usize,
        /// Count of directions left out.
        flag: Flat,
    },
    /// `out = op(a) · op(b)`, row-major, m×k times k×n.
    MatMul {
        /// m×k, or k×m with `ta`.
        a: Flat,
        /// a is transposed.
        ta: bool,
        /// k×n, or n×k with `tb`.
        b: Flat,
        /// b is transposed.
        tb: bool,
        /// m×n.
        out: Flat,
        /// m.
        m: usize,
        /// k.
        k: usize,
        /// n.
        n: usize,
    },
    /// Raises the eigenvalues of D^{-½} A D^{-½} (D = diag(scale), positive) to at least `relative`, in place; A is left
    /// bit for bit where none is below. `flag[0]` counts raised eigenvalues. This is the constrained maximiser of
    /// −½ n (log|Σ| + tr Σ⁻¹A) under Σ ⪰ relative·D.
    FloorCov {
        /// n×n.
        a: Flat,
        /// n.
        scale: Flat,
        /// n.
        n: usize,
        /// The floor.
        relative: f64,
        /// Count.
        flag: Flat,
    },
}

/// Length of the logical coefficients of a [`Kernel::Quad`].
#[must_use]
pub fn quad_len(inputs: usize, outputs: usize, shape: QuadShape) -> usize {
    match shape {
        QuadShape::Diagonal => 1 + 2 * outputs,
        QuadShape::Dense | QuadShape::Triangular { .. } => 1 + outputs * (1 + inputs),
    }
}
