//! Statements outside row loops.

use cranelift::prelude::types::I64;
use cranelift::prelude::{FloatCC, InstBuilder, IntCC, Value};
use lvmc_loops::ir::Stmt;
use lvmc_loops::{Route, route};

use super::{Bound, Emit, Ix, Val, flags};

impl Emit<'_, '_> {
    pub(super) fn body(&mut self, body: &[Stmt]) {
        for (at, stmt) in body.iter().enumerate() {
            self.stmt(stmt, body.get(at + 1));
        }
    }

    fn stmt(&mut self, stmt: &Stmt, next: Option<&Stmt>) {
        match stmt {
            Stmt::For { .. } if self.kernel_batch(stmt, next) => {}
            Stmt::For { var, extent, body } => {
                let zero = self.int(0);
                self.make_addresses(body);
                self.repeat(zero, extent_bound(*extent), 1, |e, i| {
                    let scope = e.open();
                    e.loops[var.index()] = Some(i);
                    e.body(body);
                    e.loops[var.index()] = None;
                    e.close(scope);
                });
            }
            Stmt::Rows { body } => match route(stmt, &self.options) {
                Some(Route::Tape) => self.tape(body),
                _ => self.lanes(body),
            },
            Stmt::Let(reg, op) => {
                let value = self.op(*reg, op);
                self.regs[reg.index()] = Some(value);
            }
            Stmt::IndexOf { ix, value, extent } => {
                let value = self.scalar(*value);
                let index = self.index_of(value, *extent);
                self.ixs[ix.index()] = Some(Ix::One(index));
            }
            Stmt::Store(at, value) => {
                let value = self.scalar(*value);
                let to = self.flat_address(at);
                self.b.ins().store(flags(), value, to.pointer, to.offset);
            }
            Stmt::Accum(at, value) => {
                let value = self.scalar(*value);
                let to = self.flat_address(at);
                self.add_to(value, to);
            }
            Stmt::BreakIf(cond) => {
                let cond = self.truth(*cond);
                let exit = *self.exits.last().expect("the verifier has seen the loop");
                let on = self.b.create_block();
                self.b.ins().brif(cond, exit, &[], on, &[]);
                self.b.seal_block(on);
                self.b.switch_to_block(on);
            }
            Stmt::If(cond, body) => self.branch(*cond, body),
            Stmt::Kernel(kernel) => self.kernel(kernel),
            Stmt::StoreRow(..) | Stmt::Reduce(..) | Stmt::Scatter(..) => unreachable!("these stand inside row loops"),
        }
    }

    fn branch(&mut self, cond: lvmc_loops::ir::Reg, body: &[Stmt]) {
        let cond = self.truth(cond);
        let (then, after) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(cond, then, &[], after, &[]);
        self.b.seal_block(then);
        self.b.switch_to_block(then);
        let scope = self.open();
        self.body(body);
        self.close(scope);
        self.b.ins().jump(after, &[]);
        self.b.seal_block(after);
        self.b.switch_to_block(after);
    }

    /// `memory += value`.
    pub(super) fn add_to(&mut self, value: Value, to: super::address::Address) {
        let before = self
            .b
            .ins()
            .load(cranelift::prelude::types::F64, flags(), to.pointer, to.offset);
        let sum = self.b.ins().fadd(before, value);
        self.b.ins().store(flags(), sum, to.pointer, to.offset);
    }

    /// Whether a number is not 0.
    fn truth(&mut self, cond: lvmc_loops::ir::Reg) -> Value {
        let value = self.scalar(cond);
        let zero = self.b.ins().f64const(0.0);
        self.b.ins().fcmp(FloatCC::NotEqual, value, zero)
    }

    /// `clamp(round(value), 0, extent − 1)`: bounds hold for every value, `NaN` too.
    pub(super) fn index_of(&mut self, value: Value, extent: usize) -> Value {
        let half = self.b.ins().f64const(0.5);
        let shifted = self.b.ins().fadd(value, half);
        let zero = self.b.ins().f64const(0.0);
        // not greater than 0: negative, or NaN
        let positive = self.b.ins().fcmp(FloatCC::GreaterThan, shifted, zero);
        let clamped = self.b.ins().select(positive, shifted, zero);
        let index = self.b.ins().fcvt_to_sint_sat(I64, clamped);
        let last = self.int(extent - 1);
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, index, last);
        self.b.ins().select(inside, index, last)
    }

    /// A register as one number.
    pub(super) fn scalar(&mut self, reg: lvmc_loops::ir::Reg) -> Value {
        match self.val(reg) {
            Val::Const(c) => self.b.ins().f64const(c),
            Val::Scalar(v) => v,
            Val::Lanes(_) | Val::Block(_) => unreachable!("rows stay inside row loops"),
        }
    }
}

pub(super) fn extent_bound(extent: usize) -> Bound {
    Bound::Const(i64::try_from(extent).unwrap_or(i64::MAX))
}
