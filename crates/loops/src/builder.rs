//! Writing loop IR: `ProgramBuilder` owns the buffers, `FuncBuilder` the statements of one function.
//!
//! ```
//! use lvmc_loops::{ProgramBuilder, ir::{BufKind, FuncKind}};
//! let mut p = ProgramBuilder::new("demo", 64);
//! let x = p.buffer("x", BufKind::Column, 2);
//! let sums = p.buffer("sums", BufKind::Stat, 2);
//! p.func("sweep", FuncKind::Block, |b| {
//!     b.for_(2, |b, j| {
//!         b.rows(|b| {
//!             let v = b.load_row(x.col(j));
//!             b.reduce(sums.at(j), v);
//!         });
//!     });
//! });
//! let program = p.finish();
//! # assert_eq!(program.funcs.len(), 1);
//! ```
//!
//! Operations are folded where their operands are constants and shared where the same one was made before in this or an
//! enclosing body. Loads are shared too, until something in the body may have written their buffer.

use std::collections::HashMap;

use crate::ir::{
    Bin, BufId, BufKind, Buffer, Flat, Func, FuncKind, Index, IndexVar, IxReg, Kernel, LoopId, Op, Program, Reg, Rows,
    Stmt, Un,
};
use crate::semantics;
use crate::usage::{buffers_of, walk};

/// Builds a [`Program`].
#[derive(Debug)]
pub struct ProgramBuilder {
    program: Program,
}

impl ProgramBuilder {
    /// An empty program for blocks of `block` rows (a multiple of 16).
    #[must_use]
    pub fn new(name: &str, block: usize) -> Self {
        Self {
            program: Program {
                name: name.to_owned(),
                block,
                buffers: Vec::new(),
                funcs: Vec::new(),
            },
        }
    }

    /// A new buffer of `len` elements (columns, for row buffers); the name is made unique.
    pub fn buffer(&mut self, name: &str, kind: BufKind, len: usize) -> BufId {
        new_buffer(&mut self.program, name, kind, len, Vec::new())
    }

    /// A new buffer with literal contents.
    pub fn constant(&mut self, name: &str, values: Vec<f64>) -> BufId {
        new_buffer(&mut self.program, name, BufKind::Const, values.len(), values)
    }

    /// A buffer made before.
    #[must_use]
    pub fn get(&self, buf: BufId) -> &Buffer {
        &self.program.buffers[buf.index()]
    }

    /// Adds the function that `write` writes.
    pub fn func(&mut self, name: &str, kind: FuncKind, write: impl FnOnce(&mut FuncBuilder<'_>)) {
        let mut builder = FuncBuilder::new(&mut self.program, kind);
        write(&mut builder);
        let (body, regs, loops, ixs) = builder.into_parts();
        self.program.funcs.push(Func {
            name: name.to_owned(),
            kind,
            body,
            regs,
            loops,
            ixs,
        });
    }

    /// The program, as written; `verify` it before use.
    #[must_use]
    pub fn finish(self) -> Program {
        self.program
    }
}

fn new_buffer(program: &mut Program, name: &str, kind: BufKind, len: usize, init: Vec<f64>) -> BufId {
    let taken = |n: &str| program.buffers.iter().any(|b| b.name == n);
    let mut unique = name.to_owned();
    let mut number = 2;
    while taken(&unique) {
        unique = format!("{name}.{number}");
        number += 1;
    }
    program.buffers.push(Buffer {
        name: unique,
        kind,
        len,
        init,
    });
    BufId::from_index(program.buffers.len() - 1)
}

/// What makes two operations the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Const(u64),
    Load(Flat),
    LoadRow(Rows),
    IndexValue(IndexVar),
    Un(Un, Reg),
    Bin(Bin, Reg, Reg),
    Fma(Reg, Reg, Reg),
    Select(Reg, Reg, Reg),
}

fn key_of(op: &Op) -> Key {
    match op {
        Op::Const(c) => Key::Const(c.to_bits()),
        Op::Load(f) => Key::Load(f.clone()),
        Op::LoadRow(r) => Key::LoadRow(r.clone()),
        Op::IndexValue(v) => Key::IndexValue(*v),
        Op::Un(u, a) => Key::Un(*u, *a),
        Op::Bin(b @ (Bin::Add | Bin::Mul | Bin::Eq), x, y) => Key::Bin(*b, *x.min(y), *x.max(y)),
        Op::Bin(b, x, y) => Key::Bin(*b, *x, *y),
        Op::Fma(a, b, c) => Key::Fma(*a.min(b), *a.max(b), *c),
        Op::Select(c, a, b) => Key::Select(*c, *a, *b),
    }
}

/// One open body.
#[derive(Debug, Default)]
struct Body {
    stmts: Vec<Stmt>,
    made: HashMap<Key, Reg>,
}

/// Builds the statements of one function. Every method that makes a value returns its register.
#[derive(Debug)]
pub struct FuncBuilder<'p> {
    program: &'p mut Program,
    kind: FuncKind,
    bodies: Vec<Body>,
    consts: HashMap<Reg, f64>,
    stacked: HashMap<Vec<(BufId, usize, usize)>, BufId>,
    regs: u32,
    loops: u32,
    ixs: u32,
}

impl<'p> FuncBuilder<'p> {
    fn new(program: &'p mut Program, kind: FuncKind) -> Self {
        Self {
            program,
            kind,
            bodies: vec![Body::default()],
            consts: HashMap::new(),
            stacked: HashMap::new(),
            regs: 0,
            loops: 0,
            ixs: 0,
        }
    }

    /// A builder whose registers and variables come after those of `func`, for passes that rewrite its body.
    pub(crate) fn resume(program: &'p mut Program, func: &Func) -> Self {
        Self {
            regs: func.regs,
            loops: func.loops,
            ixs: func.ixs,
            ..Self::new(program, func.kind)
        }
    }

    /// The body, and how many registers, loop variables and index registers there are.
    pub(crate) fn into_parts(mut self) -> (Vec<Stmt>, u32, u32, u32) {
        let body = self.bodies.pop().expect("the outermost body");
        assert!(self.bodies.is_empty(), "every inner body is closed");
        (body.stmts, self.regs, self.loops, self.ixs)
    }

    /// A new buffer of the program.
    pub fn buffer(&mut self, name: &str, kind: BufKind, len: usize) -> BufId {
        new_buffer(self.program, name, kind, len, Vec::new())
    }

    /// A buffer of the program.
    #[must_use]
    pub fn get(&self, buf: BufId) -> &Buffer {
        &self.program.buffers[buf.index()]
    }

    /// Rows of a block.
    #[must_use]
    pub fn block(&self) -> usize {
        self.program.block
    }

    /// Appends a statement as it is. Prefer the methods below: they keep track of what may be shared.
    pub fn push(&mut self, stmt: Stmt) {
        self.bodies.last_mut().expect("an open body").stmts.push(stmt);
    }

    // ---- loops and conditions

    /// `for i in 0..extent { body(i) }`; nothing where `extent` is 0.
    pub fn for_(&mut self, extent: usize, body: impl FnOnce(&mut Self, LoopId)) {
        if extent == 0 {
            return;
        }
        let var = LoopId(self.loops);
        self.loops += 1;
        let inner = self.nested(|b| body(b, var));
        self.push(Stmt::For {
            var,
            extent,
            body: inner,
        });
    }

    /// Columns `(buffer, first, count)` side by side, copied to scratch of the block; a second call finds the first's copy.
    pub fn stack(&mut self, columns: &[(BufId, usize, usize)]) -> BufId {
        // a copy within a loop may not have been made, and what the program writes may have changed since
        let lasting = self.bodies.len() == 1 && columns.iter().all(|c| self.is_fixed(c.0));
        if let Some(&buf) = self.stacked.get(columns).filter(|_| lasting) {
            return buf;
        }
        let buf = self.buffer("inputs", BufKind::Temp, columns.iter().map(|c| c.2).sum());
        let mut at = 0;
        for &(from, first, count) in columns {
            self.for_(count, |b, j| {
                b.rows(|b| {
                    let v = b.load_row(from.col(Index::from(j) + first));
                    b.store_row(buf.col(Index::from(j) + at), v);
                });
            });
            at += count;
        }
        if lasting {
            self.stacked.insert(columns.to_vec(), buf);
        }
        buf
    }

    /// The function does not write to the buffer, as far as it is built.
    fn is_fixed(&self, buf: BufId) -> bool {
        let mut written = !matches!(self.get(buf).kind, BufKind::Column | BufKind::Feature);
        for body in &self.bodies {
            walk(&body.stmts, &mut |stmt| {
                buffers_of(stmt, &mut |b, write| written |= write && b == buf)
            });
        }
        !written
    }

    /// `rows { body }`.
    pub fn rows(&mut self, body: impl FnOnce(&mut Self)) {
        let inner = self.nested(body);
        self.push(Stmt::Rows { body: inner });
    }

    /// `if cond != 0 { body }`.
    pub fn if_(&mut self, cond: Reg, body: impl FnOnce(&mut Self)) {
        let inner = self.nested(body);
        self.push(Stmt::If(cond, inner));
    }

    /// Leaves the innermost `for_` where `cond` is not 0.
    pub fn break_if(&mut self, cond: Reg) {
        self.push(Stmt::BreakIf(cond));
    }

    /// A body of its own.
    pub(crate) fn nested(&mut self, write: impl FnOnce(&mut Self)) -> Vec<Stmt> {
        self.forget_loads(None);
        self.bodies.push(Body::default());
        write(self);
        let body = self.bodies.pop().expect("the body just opened");
        self.forget_loads(None);
        body.stmts
    }

    /// Forgets loads that a write to `buf` (to anything, for `None`) may have made stale.
    pub(crate) fn forget_loads(&mut self, buf: Option<BufId>) {
        let stable: Vec<bool> = self
            .program
            .buffers
            .iter()
            .map(|b| self.never_written(b.kind))
            .collect();
        let stale = |b: BufId| !stable[b.index()] && buf.is_none_or(|w| w == b);
        for body in &mut self.bodies {
            body.made.retain(|key, _| match key {
                Key::Load(f) => !stale(f.buf),
                Key::LoadRow(r) => !stale(r.buf),
                _ => true,
            });
        }
    }

    fn never_written(&self, kind: BufKind) -> bool {
        match kind {
            BufKind::Const | BufKind::Input | BufKind::Column => true,
            BufKind::Param | BufKind::Table => self.kind != FuncKind::Once,
            _ => false,
        }
    }

    // ---- values

    /// `op`, folded and shared where possible.
    pub fn let_(&mut self, op: Op) -> Reg {
        let op = match self.fold(&op) {
            Ok(known) => return known,
            Err(Some(folded)) => Op::Const(folded),
            Err(None) => op,
        };
        let key = key_of(&op);
        if let Some(&reg) = self.bodies.iter().rev().find_map(|b| b.made.get(&key)) {
            return reg;
        }
        let reg = Reg(self.regs);
        self.regs += 1;
        if let Op::Const(c) = op {
            self.consts.insert(reg, c);
        }
        let body = self.bodies.last_mut().expect("an open body");
        body.stmts.push(Stmt::Let(reg, op));
        body.made.insert(key, reg);
        reg
    }

    /// The value of a register, where it is a constant.
    #[must_use]
    pub fn known(&self, reg: Reg) -> Option<f64> {
        self.consts.get(&reg).copied()
    }

    /// `Ok`: the operation is this register. `Err(Some)`: it is this constant. `Err(None)`: it stays.
    fn fold(&self, op: &Op) -> Result<Reg, Option<f64>> {
        let known = |r: &Reg| self.known(*r);
        Err(match op {
            Op::Un(u, a) => known(a).map(|a| semantics::un(*u, a)),
            Op::Bin(b, x, y) => match (known(x), known(y)) {
                (Some(x), Some(y)) => Some(semantics::bin(*b, x, y)),
                (left, right) => return neutral(*b, *x, *y, left, right).ok_or(None),
            },
            Op::Fma(a, b, c) => match (known(a), known(b), known(c)) {
                (Some(a), Some(b), Some(c)) => Some(a.mul_add(b, c)),
                _ => None,
            },
            Op::Select(c, a, b) => match known(c) {
                Some(c) => return Ok(if c != 0.0 { *a } else { *b }),
                None if a == b => return Ok(*a),
                None => None,
            },
            Op::Const(_) | Op::Load(_) | Op::LoadRow(_) | Op::IndexValue(_) => None,
        })
    }

    /// A constant.
    pub fn num(&mut self, value: f64) -> Reg {
        self.let_(Op::Const(value))
    }

    /// A flat element.
    pub fn load(&mut self, at: Flat) -> Reg {
        self.let_(Op::Load(at))
    }

    /// This row's element of a column (inside `rows`).
    pub fn load_row(&mut self, at: Rows) -> Reg {
        self.let_(Op::LoadRow(at))
    }

    /// A loop variable or index register as a number.
    pub fn index_value(&mut self, var: impl Into<IndexVar>) -> Reg {
        self.let_(Op::IndexValue(var.into()))
    }

    /// `clamp(round(value), 0, extent − 1)` as an index.
    pub fn index_of(&mut self, value: Reg, extent: usize) -> IxReg {
        let ix = IxReg(self.ixs);
        self.ixs += 1;
        self.push(Stmt::IndexOf { ix, value, extent });
        ix
    }

    /// An operation of one operand.
    pub fn un(&mut self, op: Un, a: Reg) -> Reg {
        self.let_(Op::Un(op, a))
    }

    /// An operation of two operands.
    pub fn bin(&mut self, op: Bin, a: Reg, b: Reg) -> Reg {
        self.let_(Op::Bin(op, a, b))
    }

    /// `a · b + c`.
    pub fn fma(&mut self, a: Reg, b: Reg, c: Reg) -> Reg {
        match (self.known(a), self.known(b), self.known(c)) {
            (Some(1.0), _, _) => self.add(b, c),
            (_, Some(1.0), _) => self.add(a, c),
            (_, _, Some(0.0)) => self.mul(a, b),
            _ => self.let_(Op::Fma(a, b, c)),
        }
    }

    /// `c != 0 ? a : b`.
    pub fn select(&mut self, c: Reg, a: Reg, b: Reg) -> Reg {
        self.let_(Op::Select(c, a, b))
    }

    /// `a ^ b`, with the common exponents made cheap.
    pub fn pow(&mut self, a: Reg, b: Reg) -> Reg {
        match self.known(b) {
            Some(0.5) => self.un(Un::Sqrt, a),
            Some(2.0) => self.mul(a, a),
            Some(-1.0) => self.recip(a),
            Some(1.0) => a,
            _ => self.bin(Bin::Pow, a, b),
        }
    }

    /// `1 / a`.
    pub fn recip(&mut self, a: Reg) -> Reg {
        let one = self.num(1.0);
        self.div(one, a)
    }

    /// The sum of several values, from left to right; 0 where there are none.
    pub fn sum(&mut self, values: impl IntoIterator<Item = Reg>) -> Reg {
        let mut total = None;
        for v in values {
            total = Some(match total {
                None => v,
                Some(t) => self.add(t, v),
            });
        }
        total.unwrap_or_else(|| self.num(0.0))
    }

    // ---- effects

    /// `at = value` (not inside `rows`).
    pub fn store(&mut self, at: Flat, value: Reg) {
        self.write(at.buf, Stmt::Store(at, value));
    }

    /// `at += value` (not inside `rows`).
    pub fn accum(&mut self, at: Flat, value: Reg) {
        self.write(at.buf, Stmt::Accum(at, value));
    }

    /// `column[row] = value` (inside `rows`).
    pub fn store_row(&mut self, at: Rows, value: Reg) {
        self.write(at.buf, Stmt::StoreRow(at, value));
    }

    /// `at += Σ_row value` (inside `rows`).
    pub fn reduce(&mut self, at: Flat, value: Reg) {
        self.write(at.buf, Stmt::Reduce(at, value));
    }

    /// `at[this row's index] += value` (inside `rows`).
    pub fn scatter(&mut self, at: Flat, value: Reg) {
        self.write(at.buf, Stmt::Scatter(at, value));
    }

    /// A kernel.
    pub fn kernel(&mut self, kernel: Kernel) {
        self.push(Stmt::Kernel(kernel));
        self.forget_loads(None);
    }

    fn write(&mut self, buf: BufId, stmt: Stmt) {
        self.push(stmt);
        self.forget_loads(Some(buf));
    }
}

/// `x + 0`, `x · 1` and the like.
fn neutral(op: Bin, x: Reg, y: Reg, left: Option<f64>, right: Option<f64>) -> Option<Reg> {
    match (op, left, right) {
        (Bin::Add, Some(0.0), _) | (Bin::Mul, Some(1.0), _) => Some(y),
        (Bin::Add | Bin::Sub, _, Some(0.0)) | (Bin::Mul | Bin::Div | Bin::Pow, _, Some(1.0)) => Some(x),
        _ => None,
    }
}

/// Shorthands: one method per operation.
macro_rules! shorthands {
    (un: $($u:ident $U:ident),*; bin: $($b:ident $B:ident),*) => {
        impl FuncBuilder<'_> {
            $(
                #[doc = concat!("`", stringify!($U), "` of `a`.")]
                pub fn $u(&mut self, a: Reg) -> Reg {
                    self.un(Un::$U, a)
                }
            )*
            $(
                #[doc = concat!("`", stringify!($B), "` of `a` and `b`.")]
                pub fn $b(&mut self, a: Reg, b: Reg) -> Reg {
                    self.bin(Bin::$B, a, b)
                }
            )*
        }
    };
}

shorthands! {
    un: neg Neg, abs Abs, sqrt Sqrt, exp Exp, log Log, floor Floor, lgamma Lgamma, digamma Digamma, sigmoid Sigmoid;
    bin: add Add, sub Sub, mul Mul, div Div, min Min, max Max, lt Lt, le Le, eq Eq
}

impl Program {
    /// The function called `name`.
    #[must_use]
    pub fn func(&self, name: &str) -> Option<usize> {
        self.funcs.iter().position(|f| f.name == name)
    }

    /// The buffer called `name`.
    #[must_use]
    pub fn buf(&self, name: &str) -> Option<BufId> {
        self.buffers.iter().position(|b| b.name == name).map(BufId::from_index)
    }
}
