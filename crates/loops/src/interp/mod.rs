//! The reference interpreter: slow, clear, and the oracle that compiled code is compared with.
//!
//! It runs on the same [`Frame`]s as compiled code, row by row, and checks every access (slices do). Kernels are written
//! out as their documentation defines them; raw accumulators and packed coefficients have a plain layout here, so that
//! what one machine packs another must not read.

mod dense;
mod kernels;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::ir::{Flat, FuncKind, Index, IndexVar, Op, Program, Reg, Rows, Stmt};
use crate::machine::Machine;
use crate::memory::{Frame, Slot};
use crate::semantics;

/// The interpreter of a program.
#[derive(Debug)]
pub struct Interpreter {
    program: Arc<Program>,
}

impl Interpreter {
    /// An interpreter of a verified program.
    #[must_use]
    pub fn new(program: Arc<Program>) -> Self {
        Self { program }
    }
}

impl Machine for Interpreter {
    fn run(&self, func: usize, frame: &mut Frame<'_>, blocks: Range<usize>) {
        let func = &self.program.funcs[func];
        let mut exec = Exec {
            program: &self.program,
            frame,
            regs: vec![f64::NAN; func.regs as usize],
            loops: vec![0; func.loops as usize],
            ixs: vec![0; func.ixs as usize],
            block: 0,
            row: 0,
        };
        if func.kind == FuncKind::Block {
            for block in blocks {
                exec.block = block;
                let _ = exec.run(&func.body);
            }
        } else {
            let _ = exec.run(&func.body);
        }
    }
}

/// The state of one call.
struct Exec<'p, 'f, 's> {
    program: &'p Program,
    frame: &'f mut Frame<'s>,
    regs: Vec<f64>,
    loops: Vec<usize>,
    ixs: Vec<usize>,
    block: usize,
    row: usize,
}

impl Exec<'_, '_, '_> {
    fn run(&mut self, body: &[Stmt]) -> ControlFlow<()> {
        for stmt in body {
            self.stmt(stmt)?;
        }
        ControlFlow::Continue(())
    }

    /// Runs a statement; `Break` leaves the innermost loop.
    fn stmt(&mut self, stmt: &Stmt) -> ControlFlow<()> {
        match stmt {
            Stmt::For { var, extent, body } => {
                for i in 0..*extent {
                    self.loops[var.index()] = i;
                    if self.run(body).is_break() {
                        break;
                    }
                }
            }
            Stmt::Rows { body } => {
                for row in 0..self.program.block {
                    self.row = row;
                    let _ = self.run(body);
                }
            }
            Stmt::Let(reg, op) => self.regs[reg.index()] = self.op(op),
            Stmt::IndexOf { ix, value, extent } => {
                self.ixs[ix.index()] = semantics::index_of(self.reg(*value), *extent);
            }
            Stmt::Store(at, value) => *self.flat_mut(at, 0) = self.reg(*value),
            Stmt::Accum(at, value) | Stmt::Reduce(at, value) | Stmt::Scatter(at, value) => {
                *self.flat_mut(at, 0) += self.reg(*value);
            }
            Stmt::StoreRow(at, value) => *self.row_mut(at, 0, self.row) = self.reg(*value),
            Stmt::BreakIf(cond) => {
                if self.reg(*cond) != 0.0 {
                    return ControlFlow::Break(());
                }
            }
            Stmt::If(cond, body) => {
                if self.reg(*cond) != 0.0 {
                    self.run(body)?;
                }
            }
            Stmt::Kernel(kernel) => self.kernel(kernel),
        }
        ControlFlow::Continue(())
    }

    fn op(&mut self, op: &Op) -> f64 {
        match op {
            Op::Const(c) => *c,
            Op::Load(at) => self.flat(at, 0),
            Op::LoadRow(at) => self.row(at, 0, self.row),
            #[allow(clippy::cast_precision_loss)] // extents are far below 2^53
            Op::IndexValue(var) => self.var(*var) as f64,
            Op::Un(op, a) => semantics::un(*op, self.reg(*a)),
            Op::Bin(op, a, b) => semantics::bin(*op, self.reg(*a), self.reg(*b)),
            Op::Fma(a, b, c) => self.reg(*a).mul_add(self.reg(*b), self.reg(*c)),
            Op::Select(c, a, b) => semantics::select(self.reg(*c), self.reg(*a), self.reg(*b)),
        }
    }

    fn reg(&self, reg: Reg) -> f64 {
        self.regs[reg.index()]
    }

    fn var(&self, var: IndexVar) -> usize {
        match var {
            IndexVar::Loop(l) => self.loops[l.index()],
            IndexVar::Dyn(x) => self.ixs[x.index()],
        }
    }

    fn index(&self, index: &Index) -> usize {
        let signed = |i: usize| i64::try_from(i).expect("loop extents are below 2^63");
        let at = index
            .terms
            .iter()
            .fold(index.base, |at, &(var, by)| at + by * signed(self.var(var)));
        usize::try_from(at).expect("the verifier has shown that the index is not negative")
    }

    /// The element `offset` after `at`.
    fn flat(&self, at: &Flat, offset: usize) -> f64 {
        self.frame.slots[at.buf.index()].get()[self.index(&at.at) + offset]
    }

    fn flat_mut(&mut self, at: &Flat, offset: usize) -> &mut f64 {
        let index = self.index(&at.at) + offset;
        &mut self.slot_mut(at.buf.index())[index]
    }

    /// Row `row` of the column `offset` after `at`.
    fn row(&self, at: &Rows, offset: usize, row: usize) -> f64 {
        self.frame.slots[at.buf.index()].get()[self.row_index(at, offset, row)]
    }

    fn row_mut(&mut self, at: &Rows, offset: usize, row: usize) -> &mut f64 {
        let index = self.row_index(at, offset, row);
        &mut self.slot_mut(at.buf.index())[index]
    }

    fn row_index(&self, at: &Rows, offset: usize, row: usize) -> usize {
        let buffer = &self.program.buffers[at.buf.index()];
        let block = match buffer.kind {
            crate::ir::BufKind::Column => self.block,
            crate::ir::BufKind::Temp => 0,
            _ => self.block - self.frame.first_block,
        };
        let col = self.index(&at.col) + offset;
        assert!(col < buffer.len, "the verifier has shown that the column exists");
        (block * buffer.len + col) * self.program.block + row
    }

    fn slot_mut(&mut self, buf: usize) -> &mut [f64] {
        match &mut self.frame.slots[buf] {
            Slot::Write(data) => data,
            _ => panic!("the buffer `{}` is not writable here", self.program.buffers[buf].name),
        }
    }
}
