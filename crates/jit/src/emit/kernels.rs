//! Calls of block kernels and dense linear algebra.

use cranelift::prelude::types::I64;
use cranelift::prelude::{InstBuilder, Value};
use lvmc_loops::batch::{self, Batch};
use lvmc_loops::ir::{Flat, Kernel, QuadShape, Rows, Stmt};
use lvmc_loops::{Kernels, Route, route};

use crate::externals::External;

use super::Emit;

impl Emit<'_, '_> {
    /// Emits a loop over one kernel as one call for all its turns, where there is such a kernel.
    pub(super) fn kernel_batch(&mut self, stmt: &Stmt, next: Option<&Stmt>) -> bool {
        if self.options.kernels == Kernels::None {
            return false;
        }
        let Some(batch) = batch::before(stmt, next) else {
            return false;
        };
        self.rows_kernel(&batch.kernel, &batch);
        true
    }

    pub(super) fn kernel(&mut self, kernel: &Kernel) {
        let stmt = Stmt::Kernel(kernel.clone());
        match route(&stmt, &self.options) {
            Some(Route::Dense | Route::Gemm) => self.dense(kernel),
            _ => self.rows_kernel(kernel, &Batch::single(kernel)),
        }
    }

    fn flat(&mut self, at: &Flat) -> Value {
        let address = self.flat_address(at);
        self.whole(address)
    }

    fn column(&mut self, at: &Rows) -> Value {
        let address = self.column_address(at);
        self.whole(address)
    }

    fn null(&mut self) -> Value {
        self.b.ins().iconst(I64, 0)
    }

    /// Numbers from one column to `columns` columns further.
    fn stride(&mut self, columns: usize) -> Value {
        self.int(columns * self.program.block)
    }

    fn run(&mut self, name: &'static str, args: &[Value]) {
        self.call(External::Kernel(name), args);
    }

    fn rows_kernel(&mut self, kernel: &Kernel, batch: &Batch) {
        let rows = self.int(self.program.block);
        match kernel {
            Kernel::Quad {
                x,
                inputs,
                outputs,
                shape,
                coef,
                out,
                add,
            } => {
                let name = match (shape, batch.pruned) {
                    (QuadShape::Diagonal, _) => "quad_diagonal",
                    (_, true) => "quad_pruned",
                    _ => "quad",
                };
                let lead = match shape {
                    QuadShape::Triangular { lead } => *lead,
                    _ => usize::MAX,
                };
                let (x, coef, out) = (self.column(x), self.flat(coef), self.column(out));
                let (p, d, add) = (self.int(*inputs), self.int(*outputs), self.int(usize::from(*add)));
                let lead = self.b.ins().iconst(I64, i64::try_from(lead).unwrap_or(-1));
                let (coef_stride, n) = (self.int(batch.from_stride), self.int(batch.count));
                let out_stride = self.stride(batch.to_stride);
                self.run(name, &[x, p, d, lead, coef, coef_stride, n, out, out_stride, add, rows]);
            }
            Kernel::Syrk {
                x,
                inputs,
                w,
                acc,
                diagonal,
            } => {
                let name = if *diagonal { "syrk_diagonal" } else { "syrk" };
                let x = self.column(x);
                let w = w.as_ref().map(|w| self.column(w));
                let w = w.unwrap_or_else(|| self.null());
                let (p, acc, n) = (self.int(*inputs), self.flat(acc), self.int(batch.count));
                let (w_stride, acc_stride) = (self.stride(batch.from_stride), self.int(batch.to_stride));
                self.run(name, &[x, p, w, w_stride, n, acc, acc_stride, rows]);
            }
            Kernel::Linear {
                x,
                inputs,
                outputs,
                coef,
                out,
                add,
            } => {
                let (x, coef, out) = (self.column(x), self.flat(coef), self.column(out));
                let (p, m, add) = (self.int(*inputs), self.int(*outputs), self.int(usize::from(*add)));
                self.run("linear", &[x, p, m, coef, out, add, rows]);
            }
            Kernel::Softmax {
                table,
                n,
                stride,
                lse,
                total,
            } => {
                let table = self.column(table);
                let lse = lse.as_ref().map(|lse| self.column(lse));
                let lse = lse.unwrap_or_else(|| self.null());
                let total = total.as_ref().map(|total| self.flat(total));
                let total = total.unwrap_or_else(|| self.null());
                let (n, stride) = (self.int(*n), self.stride(*stride));
                self.run("softmax", &[table, n, stride, lse, total, rows]);
            }
            other => self.other_rows_kernel(other, rows),
        }
    }

    fn other_rows_kernel(&mut self, kernel: &Kernel, rows: Value) {
        match kernel {
            Kernel::PackQuad {
                src,
                dst,
                inputs,
                outputs,
                shape,
            } => {
                let (code, lead) = match *shape {
                    QuadShape::Dense => (0, 0),
                    QuadShape::Triangular { lead } => (1, lead),
                    QuadShape::Diagonal => (2, 0),
                };
                let (src, dst) = (self.flat(src), self.flat(dst));
                let (p, d) = (self.int(*inputs), self.int(*outputs));
                let (code, lead) = (self.int(code), self.int(lead));
                self.run("pack_quad", &[src, dst, p, d, code, lead]);
            }
            Kernel::SyrkFold {
                acc,
                inputs,
                out,
                diagonal,
            } => {
                let (acc, out) = (self.flat(acc), self.flat(out));
                let (p, diagonal) = (self.int(*inputs), self.int(usize::from(*diagonal)));
                self.run("syrk_fold", &[acc, p, out, diagonal]);
            }
            Kernel::Moments {
                x,
                inputs,
                w,
                weights,
                acc,
            } => {
                let x = if *inputs == 0 { self.null() } else { self.column(x) };
                let (w, acc) = (self.column(w), self.flat(acc));
                let (p, s) = (self.int(*inputs), self.int(*weights));
                self.run("moments", &[x, p, w, s, acc, rows]);
            }
            Kernel::MomentsFold {
                acc,
                inputs,
                weights,
                out,
            } => {
                let (acc, out) = (self.flat(acc), self.flat(out));
                let (p, s) = (self.int(*inputs), self.int(*weights));
                self.run("moments_fold", &[acc, p, s, out]);
            }
            Kernel::Gather {
                code,
                table,
                entries,
                values,
                out,
                add,
            } => {
                let (code, table, out) = (self.column(code), self.flat(table), self.column(out));
                let (s, v, add) = (self.int(*entries), self.int(*values), self.int(usize::from(*add)));
                self.run("gather", &[code, table, s, v, out, add, rows]);
            }
            Kernel::Scatter {
                code,
                values,
                w,
                entries,
                acc,
            } => {
                let (code, w, acc) = (self.column(code), self.column(w), self.flat(acc));
                let (v, s) = (self.int(*values), self.int(*entries));
                self.run("scatter", &[code, v, w, s, acc, rows]);
            }
            Kernel::MulRows { rows: columns, n, by } => {
                let (columns, by, n) = (self.column(columns), self.column(by), self.int(*n));
                self.run("mul_rows", &[columns, n, by, rows]);
            }
            _ => unreachable!("dense kernels have a route of their own"),
        }
    }

    fn dense(&mut self, kernel: &Kernel) {
        match kernel {
            Kernel::Cholesky { a, out, n, flag } => {
                let (a, out, n, flag) = (self.flat(a), self.flat(out), self.int(*n), self.flat(flag));
                self.run("cholesky", &[a, out, n, flag]);
            }
            Kernel::TriInverse { l, out, n } => {
                let (l, out, n) = (self.flat(l), self.flat(out), self.int(*n));
                self.run("tri_inverse", &[l, out, n]);
            }
            Kernel::SpdSolve { a, b, out, n, m, flag } => {
                let (a, b, out, flag) = (self.flat(a), self.flat(b), self.flat(out), self.flat(flag));
                let (n, m) = (self.int(*n), self.int(*m));
                self.run("spd_solve", &[a, b, out, n, m, flag]);
            }
            Kernel::MatMul {
                a,
                ta,
                b,
                tb,
                out,
                m,
                k,
                n,
            } => {
                let (a, b, out) = (self.flat(a), self.flat(b), self.flat(out));
                let (ta, tb) = (self.int(usize::from(*ta)), self.int(usize::from(*tb)));
                let (m, k, n) = (self.int(*m), self.int(*k), self.int(*n));
                self.run("matmul", &[a, ta, b, tb, out, m, k, n]);
            }
            Kernel::FloorCov {
                a,
                scale,
                n,
                relative,
                flag,
            } => {
                let (a, scale, flag) = (self.flat(a), self.flat(scale), self.flat(flag));
                let (n, relative) = (self.int(*n), self.b.ins().iconst(I64, relative.to_bits().cast_signed()));
                self.run("floor_cov", &[a, scale, n, relative, flag]);
            }
            _ => unreachable!("kernels on rows have a route of their own"),
        }
    }
}
