//! Kernels on rows as plain loops: what `--kernels none` compiles, and a second opinion on the kernels.
//!
//! Raw accumulators and packed coefficients get the plain layout that the interpreter uses too. Triangular shapes have
//! one loop per row of the form, since loops turn a constant number of times; nothing else is unrolled. Dense linear
//! algebra stays.

use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Flat, Func, Kernel, Program, QuadShape, Reg, Rows, Stmt};
use crate::lens::quad_inputs;
use crate::usage::walk;

use super::expand_sums::{moments, moments_fold, scatter, syrk, syrk_fold};

/// Expands every kernel on rows, and those that pack and fold for them.
pub fn expand_kernels(program: &mut Program) {
    let mut any = false;
    for func in &program.funcs {
        walk(&func.body, &mut |s| any |= matches!(s, Stmt::Kernel(k) if expands(k)));
    }
    if !any {
        return;
    }
    let funcs = std::mem::take(&mut program.funcs);
    let temp = FuncBuilder::resume(program, &empty()).buffer("expanded", BufKind::Temp, TEMPS);
    program.funcs = funcs.into_iter().map(|func| expand_func(program, func, temp)).collect();
}

fn empty() -> Func {
    Func {
        name: String::new(),
        kind: crate::ir::FuncKind::Once,
        body: Vec::new(),
        regs: 0,
        loops: 0,
        ixs: 0,
    }
}

/// Columns of scratch: [`TILE`] rows of a quadratic form, and a sum.
const TEMPS: usize = TILE + 1;
/// Rows of a quadratic form that share a pass over the inputs.
pub(super) const TILE: usize = 4;

fn expands(kernel: &Kernel) -> bool {
    crate::usage::has_rows(kernel)
        || matches!(
            kernel,
            Kernel::PackQuad { .. } | Kernel::SyrkFold { .. } | Kernel::MomentsFold { .. }
        )
}

fn expand_func(program: &mut Program, func: Func, temp: BufId) -> Func {
    let mut builder = FuncBuilder::resume(program, &func);
    expand_body(&mut builder, func.body, temp);
    let (body, regs, loops, ixs) = builder.into_parts();
    Func {
        body,
        regs,
        loops,
        ixs,
        ..func
    }
}

fn expand_body(b: &mut FuncBuilder<'_>, body: Vec<Stmt>, temp: BufId) {
    for stmt in body {
        match stmt {
            Stmt::Kernel(kernel) if expands(&kernel) => expand(b, &kernel, temp),
            Stmt::For { var, extent, body } => {
                let body = b.nested(|b| expand_body(b, body, temp));
                b.push(Stmt::For { var, extent, body });
            }
            Stmt::If(cond, body) => {
                let body = b.nested(|b| expand_body(b, body, temp));
                b.push(Stmt::If(cond, body));
            }
            other => b.push(other),
        }
        b.forget_loads(None);
    }
}

fn expand(b: &mut FuncBuilder<'_>, kernel: &Kernel, temp: BufId) {
    match kernel {
        Kernel::Quad {
            x,
            inputs,
            shape: QuadShape::Diagonal,
            coef,
            out,
            add,
            ..
        } => {
            quad_diagonal(b, x, *inputs, coef, out, *add, temp);
        }
        Kernel::Quad {
            x,
            inputs,
            outputs,
            shape,
            coef,
            out,
            add,
        } => {
            b.rows(|b| {
                let sum = quad(b, x, (*inputs, *outputs, *shape), coef, temp);
                finish_quad(b, sum, coef, out, *add);
            });
        }
        Kernel::PackQuad {
            src,
            dst,
            inputs,
            outputs,
            shape,
        } => pack_quad(b, src, dst, *inputs, *outputs, *shape),
        Kernel::Linear {
            x,
            inputs,
            outputs,
            coef,
            out,
            add,
        } => {
            linear(b, x, (*inputs, *outputs), coef, (out, *add), temp);
        }
        Kernel::Softmax {
            table,
            n,
            stride,
            lse,
            total,
        } => {
            softmax(b, table, *n, *stride, lse.as_ref(), total.as_ref(), temp);
        }
        Kernel::Syrk {
            x,
            inputs,
            w,
            acc,
            diagonal,
        } => syrk(b, x, *inputs, w.as_ref(), acc, *diagonal, temp),
        Kernel::SyrkFold {
            acc,
            inputs,
            out,
            diagonal,
        } => syrk_fold(b, acc, *inputs, out, *diagonal),
        Kernel::Moments {
            x,
            inputs,
            w,
            weights,
            acc,
        } => moments(b, x, *inputs, w, *weights, acc),
        Kernel::MomentsFold {
            acc,
            inputs,
            weights,
            out,
        } => moments_fold(b, acc, *inputs, *weights, out),
        Kernel::Gather {
            code,
            table,
            entries,
            values,
            out,
            add,
        } => b.rows(|b| {
            let code = b.load_row(code.clone());
            let v = b.index_of(code, *values);
            b.for_(*entries, |b, s| {
                let value = b.load(table.plus(s * *values + v));
                set_or_add(b, out.plus(s), value, *add);
            });
        }),
        Kernel::Scatter {
            code,
            values,
            w,
            entries,
            acc,
        } => scatter(b, code, *values, w, *entries, acc),
        Kernel::MulRows { rows, n, by } => b.rows(|b| {
            let by = b.load_row(by.clone());
            b.for_(*n, |b, i| {
                let value = b.load_row(rows.plus(i));
                let value = b.mul(value, by);
                b.store_row(rows.plus(i), value);
            });
        }),
        dense => b.push(Stmt::Kernel(dense.clone())),
    }
}

pub(super) fn set_or_add(b: &mut FuncBuilder<'_>, at: Rows, value: Reg, add: bool) {
    let value = if add {
        let before = b.load_row(at.clone());
        b.add(before, value)
    } else {
        value
    };
    b.store_row(at, value);
}

/// `column += value`, in the scratch.
fn gain(b: &mut FuncBuilder<'_>, at: &Rows, value: Reg) {
    set_or_add(b, at.clone(), value, true);
}

/// Σⱼ yⱼ², a tile of rows at a time.
fn quad(
    b: &mut FuncBuilder<'_>,
    x: &Rows,
    (inputs, outputs, shape): (usize, usize, QuadShape),
    coef: &Flat,
    temp: BufId,
) -> Reg {
    let mut sum = b.num(0.0);
    let mut at = 1;
    for first in (0..outputs).step_by(TILE) {
        let rows: Vec<(usize, usize)> = (first..outputs.min(first + TILE))
            .map(|j| {
                let here = at;
                let used = quad_inputs(j, inputs, shape).len();
                at += 1 + used;
                (here, used)
            })
            .collect();
        let common = rows.iter().map(|r| r.1).min().unwrap_or(0);
        for (j, &(at, _)) in rows.iter().enumerate() {
            let h = b.load(coef.plus(at));
            let minus = b.neg(h);
            b.store_row(temp.col(j), minus);
        }
        b.for_(common, |b, i| {
            let xi = b.load_row(x.plus(i));
            for (j, &(at, _)) in rows.iter().enumerate() {
                let g = b.load(coef.plus(i + at + 1));
                let y = b.load_row(temp.col(j));
                let y = b.fma(g, xi, y);
                b.store_row(temp.col(j), y);
            }
        });
        for (j, &(at, used)) in rows.iter().enumerate() {
            let mut y = b.load_row(temp.col(j));
            for i in common..used {
                let (g, xi) = (b.load(coef.plus(at + 1 + i)), b.load_row(x.plus(i)));
                y = b.fma(g, xi, y);
            }
            sum = b.fma(y, y, sum);
        }
    }
    sum
}

fn finish_quad(b: &mut FuncBuilder<'_>, sum: Reg, coef: &Flat, out: &Rows, add: bool) {
    let (c, half) = (b.load(coef.clone()), b.num(-0.5));
    let value = b.fma(half, sum, c);
    set_or_add(b, out.clone(), value, add);
}

fn quad_diagonal(b: &mut FuncBuilder<'_>, x: &Rows, inputs: usize, coef: &Flat, out: &Rows, add: bool, temp: BufId) {
    b.rows(|b| {
        let zero = b.num(0.0);
        b.store_row(temp.col(0), zero);
        b.for_(inputs, |b, j| {
            let (h, g) = (b.load(coef.plus(j * 2 + 1)), b.load(coef.plus(j * 2 + 2)));
            let (xj, minus) = (b.load_row(x.plus(j)), b.neg(h));
            let y = b.fma(g, xj, minus);
            let sum = b.load_row(temp.col(0));
            let sum = b.fma(y, y, sum);
            b.store_row(temp.col(0), sum);
        });
        let sum = b.load_row(temp.col(0));
        finish_quad(b, sum, coef, out, add);
    });
}

fn pack_quad(b: &mut FuncBuilder<'_>, src: &Flat, dst: &Flat, inputs: usize, outputs: usize, shape: QuadShape) {
    let copy = |b: &mut FuncBuilder<'_>, to: usize, from: usize, len: usize| {
        b.for_(len, |b, i| {
            let value = b.load(src.plus(i + from));
            b.store(dst.plus(i + to), value);
        });
    };
    if shape == QuadShape::Diagonal {
        return copy(b, 0, 0, 1 + 2 * outputs);
    }
    copy(b, 0, 0, 1);
    let mut to = 1;
    for j in 0..outputs {
        let len = 1 + quad_inputs(j, inputs, shape).len();
        copy(b, to, 1 + j * (1 + inputs), len);
        to += len;
    }
}

fn linear(
    b: &mut FuncBuilder<'_>,
    x: &Rows,
    (inputs, outputs): (usize, usize),
    coef: &Flat,
    (out, add): (&Rows, bool),
    temp: BufId,
) {
    b.rows(|b| {
        b.for_(outputs, |b, k| {
            let bias = b.load(coef.plus(k * (1 + inputs)));
            b.store_row(temp.col(0), bias);
            b.for_(inputs, |b, i| {
                let (w, xi) = (b.load(coef.plus(k * (1 + inputs) + i + 1)), b.load_row(x.plus(i)));
                let sum = b.load_row(temp.col(0));
                let sum = b.fma(w, xi, sum);
                b.store_row(temp.col(0), sum);
            });
            let value = b.load_row(temp.col(0));
            set_or_add(b, out.plus(k), value, add);
        });
    });
}

fn softmax(
    b: &mut FuncBuilder<'_>,
    table: &Rows,
    n: usize,
    stride: usize,
    lse: Option<&Rows>,
    total: Option<&Flat>,
    temp: BufId,
) {
    let (largest, sum) = (temp.col(0), temp.col(1));
    b.rows(|b| {
        // where all are −∞, −∞ − (−MAX) is −∞ still, and the exponentials are 0 and not NaN
        let (lowest, zero) = (b.num(-f64::MAX), b.num(0.0));
        b.store_row(largest.clone(), lowest);
        b.for_(n, |b, k| {
            let (entry, before) = (b.load_row(table.plus(k * stride)), b.load_row(largest.clone()));
            let value = b.max(before, entry);
            b.store_row(largest.clone(), value);
        });
        let top = b.load_row(largest.clone());
        b.store_row(sum.clone(), zero);
        b.for_(n, |b, k| {
            let entry = b.load_row(table.plus(k * stride));
            let below = b.sub(entry, top);
            let e = b.exp(below);
            b.store_row(table.plus(k * stride), e);
            gain(b, &sum, e);
        });
        let all = b.load_row(sum.clone());
        let log = b.log(all);
        let value = b.add(top, log);
        let tiny = b.num(f64::MIN_POSITIVE);
        let some = b.max(all, tiny);
        let inverse = b.recip(some);
        b.for_(n, |b, k| {
            let e = b.load_row(table.plus(k * stride));
            let p = b.mul(e, inverse);
            b.store_row(table.plus(k * stride), p);
        });
        if let Some(lse) = lse {
            b.store_row(lse.clone(), value);
        }
        if let Some(total) = total {
            b.reduce(total.clone(), value);
        }
    });
}
