//! Kernels on the rows of a block, as their documentation defines them.

use crate::ir::{Flat, Kernel, QuadShape, Rows};
use crate::lens::quad_inputs;
use crate::semantics;

use super::Exec;

/// Where entry (i, j), j ≤ i, of a symmetric matrix lies in the plain accumulator of `Syrk`.
fn triangle(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}

impl Exec<'_, '_, '_> {
    pub(super) fn kernel(&mut self, kernel: &Kernel) {
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
                self.each_row(|e, r| {
                    let value = e.quad(x, *inputs, *outputs, *shape, coef, r);
                    e.set_or_add(out, 0, r, value, *add);
                });
            }
            Kernel::PackQuad {
                src,
                dst,
                inputs,
                outputs,
                shape,
            } => self.pack_quad(src, dst, *inputs, *outputs, *shape),
            Kernel::Linear {
                x,
                inputs,
                outputs,
                coef,
                out,
                add,
            } => self.each_row(|e, r| {
                let values = (0..*outputs).map(|k| {
                    let at = k * (1 + inputs);
                    (0..*inputs).fold(e.flat(coef, at), |sum, i| {
                        e.flat(coef, at + 1 + i).mul_add(e.row(x, i, r), sum)
                    })
                });
                for (k, value) in values.collect::<Vec<_>>().into_iter().enumerate() {
                    e.set_or_add(out, k, r, value, *add);
                }
            }),
            Kernel::Softmax {
                table,
                n,
                stride,
                lse,
                total,
            } => self.softmax(table, *n, *stride, lse.as_ref(), total.as_ref()),
            Kernel::Syrk {
                x,
                inputs,
                w,
                acc,
                diagonal,
            } => self.syrk(x, *inputs, w.as_ref(), acc, *diagonal),
            Kernel::SyrkFold {
                acc,
                inputs,
                out,
                diagonal,
            } => self.syrk_fold(acc, *inputs, out, *diagonal),
            Kernel::Moments {
                x,
                inputs,
                w,
                weights,
                acc,
            } => self.each_row(|e, r| {
                for s in 0..*weights {
                    let weight = e.row(w, s, r);
                    *e.flat_mut(acc, s * (1 + inputs)) += weight;
                    for i in 0..*inputs {
                        *e.flat_mut(acc, s * (1 + inputs) + 1 + i) += weight * e.row(x, i, r);
                    }
                }
            }),
            Kernel::MomentsFold {
                acc,
                inputs,
                weights,
                out,
            } => {
                for i in 0..weights * (1 + inputs) {
                    *self.flat_mut(out, i) += self.flat(acc, i);
                }
            }
            Kernel::Gather {
                code,
                table,
                entries,
                values,
                out,
                add,
            } => self.each_row(|e, r| {
                let v = semantics::index_of(e.row(code, 0, r), *values);
                for s in 0..*entries {
                    e.set_or_add(out, s, r, e.flat(table, s * values + v), *add);
                }
            }),
            Kernel::Scatter {
                code,
                values,
                w,
                entries,
                acc,
            } => self.each_row(|e, r| {
                let v = semantics::index_of(e.row(code, 0, r), *values);
                for s in 0..*entries {
                    *e.flat_mut(acc, s * values + v) += e.row(w, s, r);
                }
            }),
            Kernel::MulRows { rows, n, by } => self.each_row(|e, r| {
                let by = e.row(by, 0, r);
                (0..*n).for_each(|i| *e.row_mut(rows, i, r) *= by);
            }),
            dense => self.dense(dense),
        }
    }

    fn each_row(&mut self, mut work: impl FnMut(&mut Self, usize)) {
        for r in 0..self.program.block {
            work(self, r);
        }
    }

    fn set_or_add(&mut self, out: &Rows, offset: usize, row: usize, value: f64, add: bool) {
        let place = self.row_mut(out, offset, row);
        *place = if add { *place + value } else { value };
    }

    /// Keeps the coefficients that the shape uses, in their order.
    fn pack_quad(&mut self, src: &Flat, dst: &Flat, inputs: usize, outputs: usize, shape: QuadShape) {
        let diagonal = shape == QuadShape::Diagonal;
        *self.flat_mut(dst, 0) = self.flat(src, 0);
        let mut to = 1;
        for j in 0..outputs {
            let row = 1 + j * if diagonal { 2 } else { 1 + inputs };
            let used = if diagonal { 0..1 } else { quad_inputs(j, inputs, shape) };
            for from in std::iter::once(row).chain(used.map(|i| row + 1 + i)) {
                *self.flat_mut(dst, to) = self.flat(src, from);
                to += 1;
            }
        }
    }

    fn quad(&self, x: &Rows, inputs: usize, outputs: usize, shape: QuadShape, coef: &Flat, r: usize) -> f64 {
        let mut sum = 0.0;
        let mut at = 1;
        for j in 0..outputs {
            let mut y = -self.flat(coef, at);
            at += 1;
            for i in quad_inputs(j, inputs, shape) {
                y = self.flat(coef, at).mul_add(self.row(x, i, r), y);
                at += 1;
            }
            sum = y.mul_add(y, sum);
        }
        (-0.5_f64).mul_add(sum, self.flat(coef, 0))
    }

    fn softmax(&mut self, table: &Rows, n: usize, stride: usize, lse: Option<&Rows>, total: Option<&Flat>) {
        self.each_row(|e, r| {
            let entries: Vec<f64> = (0..n).map(|k| e.row(table, k * stride, r)).collect();
            let value = log_sum_exp(&entries);
            for (k, entry) in entries.iter().enumerate() {
                let p = if value == f64::NEG_INFINITY {
                    0.0
                } else {
                    (entry - value).exp()
                };
                *e.row_mut(table, k * stride, r) = p;
            }
            if let Some(lse) = lse {
                *e.row_mut(lse, 0, r) = value;
            }
            if let Some(total) = total {
                *e.flat_mut(total, 0) += value;
            }
        });
    }

    fn syrk(&mut self, x: &Rows, p: usize, w: Option<&Rows>, acc: &Flat, diagonal: bool) {
        self.each_row(|e, r| {
            let weight = w.map_or(1.0, |w| e.row(w, 0, r));
            let a: Vec<f64> = (0..=p).map(|i| if i == 0 { 1.0 } else { e.row(x, i - 1, r) }).collect();
            if diagonal {
                *e.flat_mut(acc, 0) += weight;
                for (i, x) in a.iter().enumerate().skip(1) {
                    *e.flat_mut(acc, i) += weight * x;
                    *e.flat_mut(acc, p + i) += weight * x * x;
                }
                return;
            }
            for i in 0..=p {
                for j in 0..=i {
                    *e.flat_mut(acc, triangle(i, j)) += weight * a[i] * a[j];
                }
            }
        });
    }

    fn syrk_fold(&mut self, acc: &Flat, p: usize, out: &Flat, diagonal: bool) {
        if diagonal {
            for i in 0..=2 * p {
                *self.flat_mut(out, i) += self.flat(acc, i);
            }
            return;
        }
        for i in 0..=p {
            for j in 0..=p {
                *self.flat_mut(out, i * (p + 1) + j) += self.flat(acc, triangle(i.max(j), i.min(j)));
            }
        }
    }
}

/// log Σ exp; −∞ where there is nothing or all are −∞.
fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = values
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, |m, v| if v > m || v.is_nan() { v } else { m });
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + values.iter().map(|v| (v - largest).exp()).sum::<f64>().ln()
}
