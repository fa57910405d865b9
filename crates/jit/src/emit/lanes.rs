//! Row loops, two rows at a time.
//!
//! Sums over rows are kept in a register across the loop and folded once. A scratch column that the body writes and
//! reads back (the accumulator of an inner loop) lives in a register within a turn and is stored at its end.

use cranelift::prelude::types::F64;
use cranelift::prelude::{InstBuilder, Value};
use lvmc_loops::ir::{BufKind, Flat, Index, IndexVar, Op, Reg, Rows, Stmt};
use lvmc_loops::usage::walk;

use super::stmt::extent_bound;
use super::{Bound, Emit, Ix, LANES, Val, bytes, flags};

impl Emit<'_, '_> {
    pub(super) fn lanes(&mut self, body: &[Stmt]) {
        let scope = self.open();
        self.make_addresses(body);
        self.splat_outer(body);
        self.start_sums(body);
        let columns = register_columns(self, body);
        let zero = self.int(0);
        self.repeat(zero, Bound::Const(bytes(self.program.block)), 16, |e, row| {
            let scope = e.open();
            e.row = Some(row);
            e.start_columns(&columns);
            e.rows_body(body);
            e.store_columns();
            e.row = None;
            e.masks.clear();
            e.close(scope);
        });
        self.finish_sums();
        self.close(scope);
    }

    fn rows_body(&mut self, body: &[Stmt]) {
        for stmt in body {
            self.rows_stmt(stmt);
        }
    }

    fn rows_stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::For { var, extent, body } => {
                let zero = self.int(0);
                self.repeat(zero, extent_bound(*extent), 1, |e, i| {
                    let scope = e.open();
                    e.loops[var.index()] = Some(i);
                    e.rows_body(body);
                    e.loops[var.index()] = None;
                    e.close(scope);
                });
            }
            Stmt::Let(reg, op) => {
                let value = self.op(*reg, op);
                self.regs[reg.index()] = Some(value);
            }
            Stmt::IndexOf { ix, value, extent } => self.ixs[ix.index()] = Some(self.lane_index(*value, *extent)),
            Stmt::StoreRow(at, value) => {
                let value = self.two(*value);
                if let Some(column) = self.column_variable(at) {
                    self.b.def_var(column, value);
                    return;
                }
                let to = self.row_address(at);
                self.b.ins().store(flags(), value, to.pointer, to.offset);
            }
            Stmt::Reduce(at, value) => {
                let value = self.two(*value);
                if let Some(sum) = self.sums.iter().find(|s| s.0 == *at).map(|s| s.1) {
                    let before = self.b.use_var(sum);
                    let after = self.b.ins().fadd(before, value);
                    self.b.def_var(sum, after);
                    return;
                }
                let both = self.fold(value);
                let to = self.flat_address(at);
                self.add_to(both, to);
            }
            Stmt::Scatter(at, value) => {
                let value = self.two(*value);
                for lane in 0..2 {
                    let to = self.lane_address(at, usize::from(lane));
                    let one = self.b.ins().extractlane(value, lane);
                    self.add_to(one, to);
                }
            }
            other => unreachable!("{other:?} stands outside row loops"),
        }
    }

    fn lane_index(&mut self, value: Reg, extent: usize) -> Ix {
        match self.val(value) {
            Val::Lanes(v) => {
                let (x, y) = (self.b.ins().extractlane(v, 0), self.b.ins().extractlane(v, 1));
                Ix::Lanes([self.index_of(x, extent), self.index_of(y, extent)])
            }
            _ => {
                let value = self.scalar(value);
                Ix::One(self.index_of(value, extent))
            }
        }
    }

    /// The sum of the two rows.
    fn fold(&mut self, v: Value) -> Value {
        let (x, y) = (self.b.ins().extractlane(v, 0), self.b.ins().extractlane(v, 1));
        self.b.ins().fadd(x, y)
    }

    // ---- memory

    pub(super) fn load_row(&mut self, at: &Rows) -> Value {
        if let Some(column) = self.column_variable(at) {
            return self.b.use_var(column);
        }
        let from = self.row_address(at);
        self.b.ins().load(LANES, flags(), from.pointer, from.offset)
    }

    /// The index has another value in each row.
    pub(super) fn differs(&self, index: &Index) -> bool {
        index
            .terms
            .iter()
            .any(|t| matches!(t.0, IndexVar::Dyn(x) if matches!(self.ix(x), Ix::Lanes(_))))
    }

    pub(super) fn gather(&mut self, at: &Flat) -> Val {
        let [x, y] = [0, 1].map(|lane| {
            let from = self.lane_address(at, lane);
            self.b.ins().load(F64, flags(), from.pointer, from.offset)
        });
        Val::Lanes(self.pair(x, y))
    }

    // ---- what is kept in registers

    /// Makes vectors of the outer scalars that the body uses, once.
    fn splat_outer(&mut self, body: &[Stmt]) {
        let mut wanted: Vec<Reg> = Vec::new();
        walk(body, &mut |stmt| match stmt {
            Stmt::Let(_, Op::Bin(_, a, b)) => wanted.extend([*a, *b]),
            Stmt::Let(_, Op::Fma(a, b, c) | Op::Select(a, b, c)) => wanted.extend([*a, *b, *c]),
            Stmt::StoreRow(_, a) | Stmt::Reduce(_, a) | Stmt::Scatter(_, a) => wanted.push(*a),
            _ => {}
        });
        for reg in wanted {
            if matches!(self.regs[reg.index()], Some(Val::Scalar(_))) {
                self.two(reg);
            }
        }
    }

    /// Sums whose place does not change within the row loop get a register.
    fn start_sums(&mut self, body: &[Stmt]) {
        let inner = inner_loops(body);
        let mut places: Vec<Flat> = Vec::new();
        walk(body, &mut |stmt| {
            if let Stmt::Reduce(at, _) = stmt
                && !depends(&at.at, &inner)
                && !places.contains(at)
            {
                places.push(at.clone());
            }
        });
        for at in places {
            let sum = self.b.declare_var(LANES);
            let zero = self.both(0.0);
            self.b.def_var(sum, zero);
            self.sums.push((at, sum));
        }
    }

    fn finish_sums(&mut self) {
        for (at, sum) in std::mem::take(&mut self.sums) {
            let value = self.b.use_var(sum);
            let both = self.fold(value);
            let to = self.flat_address(&at);
            self.add_to(both, to);
        }
    }

    fn start_columns(&mut self, columns: &[(Rows, bool)]) {
        for (at, load) in columns {
            let value = if *load { self.load_row(at) } else { self.both(0.0) };
            let variable = self.b.declare_var(LANES);
            self.b.def_var(variable, value);
            self.columns.push((at.clone(), variable));
        }
    }

    fn store_columns(&mut self) {
        for (at, variable) in std::mem::take(&mut self.columns) {
            let value = self.b.use_var(variable);
            let to = self.row_address(&at);
            self.b.ins().store(flags(), value, to.pointer, to.offset);
        }
    }
}

fn inner_loops(body: &[Stmt]) -> Vec<IndexVar> {
    let mut inner = Vec::new();
    walk(body, &mut |stmt| match stmt {
        Stmt::For { var, .. } => inner.push(IndexVar::Loop(*var)),
        Stmt::IndexOf { ix, .. } => inner.push(IndexVar::Dyn(*ix)),
        _ => {}
    });
    inner
}

fn depends(index: &Index, on: &[IndexVar]) -> bool {
    index.terms.iter().any(|t| on.contains(&t.0))
}

/// Scratch columns that are written and read back in the body and never through an index that varies in it, each with
/// whether its old contents matter.
fn register_columns(e: &Emit<'_, '_>, body: &[Stmt]) -> Vec<(Rows, bool)> {
    let inner = inner_loops(body);
    let mut uses: Vec<(&Rows, bool)> = Vec::new();
    walk(body, &mut |stmt| match stmt {
        Stmt::Let(_, Op::LoadRow(at)) => uses.push((at, false)),
        Stmt::StoreRow(at, _) => uses.push((at, true)),
        _ => {}
    });
    let mut out: Vec<(Rows, bool)> = Vec::new();
    for &(at, _) in &uses {
        let scratch = e.program.buffers[at.buf.index()].kind == BufKind::Temp;
        let both = [true, false]
            .iter()
            .all(|w| uses.iter().any(|u| u.0 == at && u.1 == *w));
        // another index into the same buffer is another column for certain if only the constant differs
        let apart = uses
            .iter()
            .filter(|u| u.0.buf == at.buf)
            .all(|u| u.0.col.terms == at.col.terms);
        if scratch && both && apart && !depends(&at.col, &inner) && !out.iter().any(|o| o.0 == *at) {
            // statements run in the order of the walk at first: every loop turns at least once
            let written_first = uses.iter().find(|u| u.0 == at).is_some_and(|u| u.1);
            out.push((at.clone(), !written_first));
        }
    }
    out
}
