//! What statements and kernels read and write.

use crate::ir::{BufId, Flat, Kernel, Op, QuadShape, Reg, Rows, Stmt, quad_len};
use crate::lens::{moments_len, quad_packed_len, syrk_len};

/// How an operand is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Read,
    /// Written without being read.
    Write,
    /// Read and written.
    Update,
}

/// Where an operand lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place<'a> {
    /// `len` elements from here.
    Flat(&'a Flat, usize),
    /// `len` columns from here.
    Rows(&'a Rows, usize),
}

/// An operand of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operand<'a> {
    /// Its name in [`Kernel`].
    pub name: &'static str,
    /// Where it lies and how long it is.
    pub place: Place<'a>,
    /// How it is used.
    pub access: Access,
}

impl Operand<'_> {
    /// Its buffer.
    #[must_use]
    pub fn buf(&self) -> BufId {
        match self.place {
            Place::Flat(f, _) => f.buf,
            Place::Rows(r, _) => r.buf,
        }
    }
}

/// The kernel's name in text.
#[must_use]
pub fn kernel_name(kernel: &Kernel) -> &'static str {
    match kernel {
        Kernel::Quad { .. } => "quad",
        Kernel::PackQuad { .. } => "pack_quad",
        Kernel::Linear { .. } => "linear",
        Kernel::Softmax { .. } => "softmax",
        Kernel::Syrk { .. } => "syrk",
        Kernel::SyrkFold { .. } => "syrk_fold",
        Kernel::Moments { .. } => "moments",
        Kernel::MomentsFold { .. } => "moments_fold",
        Kernel::Gather { .. } => "gather",
        Kernel::Scatter { .. } => "scatter",
        Kernel::MulRows { .. } => "mul_rows",
        Kernel::Cholesky { .. } => "cholesky",
        Kernel::TriInverse { .. } => "tri_inverse",
        Kernel::SpdSolve { .. } => "spd_solve",
        Kernel::MatMul { .. } => "matmul",
        Kernel::FloorCov { .. } => "floor_cov",
    }
}

/// All operands of a kernel, with the lengths that its dims ask for.
#[must_use]
pub fn operands(kernel: &Kernel) -> Vec<Operand<'_>> {
    use Access::{Read, Update, Write};
    let flat = |name, place, len, access| Operand {
        name,
        place: Place::Flat(place, len),
        access,
    };
    let rows = |name, place, len, access| Operand {
        name,
        place: Place::Rows(place, len),
        access,
    };
    let set = |add: bool| if add { Update } else { Write };
    match kernel {
        Kernel::Quad {
            x,
            inputs,
            outputs,
            shape,
            coef,
            out,
            add,
        } => vec![
            rows("x", x, *inputs, Read),
            flat("coef", coef, quad_packed_len(*inputs, *outputs, *shape), Read),
            rows("out", out, 1, set(*add)),
        ],
        Kernel::PackQuad {
            src,
            dst,
            inputs,
            outputs,
            shape,
        } => vec![
            flat("src", src, quad_len(*inputs, *outputs, *shape), Read),
            flat("dst", dst, quad_packed_len(*inputs, *outputs, *shape), Write),
        ],
        Kernel::Linear {
            x,
            inputs,
            outputs,
            coef,
            out,
            add,
        } => vec![
            rows("x", x, *inputs, Read),
            flat("coef", coef, outputs * (1 + inputs), Read),
            rows("out", out, *outputs, set(*add)),
        ],
        Kernel::Softmax {
            table,
            n,
            stride,
            lse,
            total,
        } => {
            let mut all = vec![rows("table", table, n.saturating_sub(1) * stride + 1, Update)];
            all.extend(lse.as_ref().map(|lse| rows("lse", lse, 1, Write)));
            all.extend(total.as_ref().map(|total| flat("total", total, 1, Update)));
            all
        }
        Kernel::Syrk {
            x,
            inputs,
            w,
            acc,
            diagonal,
        } => {
            let mut all = vec![rows("x", x, *inputs, Read)];
            all.extend(w.as_ref().map(|w| rows("w", w, 1, Read)));
            all.push(flat("acc", acc, syrk_len(*inputs, *diagonal), Update));
            all
        }
        Kernel::SyrkFold {
            acc,
            inputs,
            out,
            diagonal,
        } => {
            let side = inputs + 1;
            let len = if *diagonal { 1 + 2 * inputs } else { side * side };
            vec![
                flat("acc", acc, syrk_len(*inputs, *diagonal), Read),
                flat("out", out, len, Update),
            ]
        }
        Kernel::Moments {
            x,
            inputs,
            w,
            weights,
            acc,
        } => {
            // without inputs `x` is a place that nothing looks at
            let mut all = vec![
                rows("w", w, *weights, Read),
                flat("acc", acc, moments_len(*inputs, *weights), Update),
            ];
            all.extend((*inputs > 0).then(|| rows("x", x, *inputs, Read)));
            all
        }
        Kernel::MomentsFold {
            acc,
            inputs,
            weights,
            out,
        } => vec![
            flat("acc", acc, moments_len(*inputs, *weights), Read),
            flat("out", out, weights * (1 + inputs), Update),
        ],
        Kernel::Gather {
            code,
            table,
            entries,
            values,
            out,
            add,
        } => vec![
            rows("code", code, 1, Read),
            flat("table", table, entries * values, Read),
            rows("out", out, *entries, set(*add)),
        ],
        Kernel::Scatter {
            code,
            values,
            w,
            entries,
            acc,
        } => vec![
            rows("code", code, 1, Read),
            rows("w", w, *entries, Read),
            flat("acc", acc, entries * values, Update),
        ],
        Kernel::MulRows { rows: r, n, by } => vec![rows("rows", r, *n, Update), rows("by", by, 1, Read)],
        dense => dense_operands(dense),
    }
}

fn dense_operands(kernel: &Kernel) -> Vec<Operand<'_>> {
    use Access::{Read, Update, Write};
    let flat = |name, place, len, access| Operand {
        name,
        place: Place::Flat(place, len),
        access,
    };
    match kernel {
        Kernel::Cholesky { a, out, n, flag } => {
            vec![
                flat("a", a, n * n, Read),
                flat("out", out, n * n, Write),
                flat("flag", flag, 1, Update),
            ]
        }
        Kernel::TriInverse { l, out, n } => vec![flat("l", l, n * n, Read), flat("out", out, n * n, Write)],
        Kernel::SpdSolve { a, b, out, n, m, flag } => vec![
            flat("a", a, n * n, Read),
            flat("b", b, n * m, Read),
            flat("out", out, n * m, Write),
            flat("flag", flag, 1, Update),
        ],
        Kernel::MatMul { a, b, out, m, k, n, .. } => {
            vec![
                flat("a", a, m * k, Read),
                flat("b", b, k * n, Read),
                flat("out", out, m * n, Write),
            ]
        }
        Kernel::FloorCov { a, scale, n, flag, .. } => {
            vec![
                flat("a", a, n * n, Update),
                flat("scale", scale, *n, Read),
                flat("flag", flag, 1, Update),
            ]
        }
        block => unreachable!("`{}` is listed by `operands`", kernel_name(block)),
    }
}

/// True for kernels on the rows of a block (the others work on flat buffers).
#[must_use]
pub fn has_rows(kernel: &Kernel) -> bool {
    operands(kernel).iter().any(|o| matches!(o.place, Place::Rows(..)))
}

/// Calls `visit` for every statement, outer ones first.
pub fn walk<'a>(body: &'a [Stmt], visit: &mut impl FnMut(&'a Stmt)) {
    for stmt in body {
        visit(stmt);
        match stmt {
            Stmt::For { body, .. } | Stmt::Rows { body } | Stmt::If(_, body) => walk(body, visit),
            _ => {}
        }
    }
}

/// Calls `visit` with every buffer that a statement itself (not its body) mentions, and whether it is written.
pub fn buffers_of(stmt: &Stmt, visit: &mut impl FnMut(BufId, bool)) {
    match stmt {
        Stmt::Let(_, Op::Load(f)) => visit(f.buf, false),
        Stmt::Let(_, Op::LoadRow(r)) => visit(r.buf, false),
        Stmt::Store(f, _) | Stmt::Accum(f, _) | Stmt::Reduce(f, _) | Stmt::Scatter(f, _) => visit(f.buf, true),
        Stmt::StoreRow(r, _) => visit(r.buf, true),
        Stmt::Kernel(kernel) => {
            for operand in operands(kernel) {
                visit(operand.buf(), operand.access != Access::Read);
            }
        }
        _ => {}
    }
}

/// Registers that a statement itself reads.
#[must_use]
pub fn uses(stmt: &Stmt) -> Vec<Reg> {
    match stmt {
        Stmt::Let(_, op) => match op {
            Op::Const(_) | Op::Load(_) | Op::LoadRow(_) | Op::IndexValue(_) => Vec::new(),
            Op::Un(_, a) => vec![*a],
            Op::Bin(_, a, b) => vec![*a, *b],
            Op::Fma(a, b, c) | Op::Select(a, b, c) => vec![*a, *b, *c],
        },
        Stmt::IndexOf { value, .. } => vec![*value],
        Stmt::Store(_, r) | Stmt::Accum(_, r) | Stmt::StoreRow(_, r) | Stmt::Reduce(_, r) | Stmt::Scatter(_, r) => {
            vec![*r]
        }
        Stmt::BreakIf(r) | Stmt::If(r, _) => vec![*r],
        Stmt::For { .. } | Stmt::Rows { .. } | Stmt::Kernel(_) => Vec::new(),
    }
}

/// Buffers that the statements write, ascending, each once.
#[must_use]
pub fn written(body: &[Stmt]) -> Vec<BufId> {
    let mut out = Vec::new();
    walk(body, &mut |stmt| {
        buffers_of(stmt, &mut |buf, writes| out.extend(writes.then_some(buf)))
    });
    out.sort_unstable();
    out.dedup();
    out
}

/// Buffers that the statements mention, ascending, each once.
#[must_use]
pub fn mentioned(body: &[Stmt]) -> Vec<BufId> {
    let mut out = Vec::new();
    walk(body, &mut |stmt| buffers_of(stmt, &mut |buf, _| out.push(buf)));
    out.sort_unstable();
    out.dedup();
    out
}

/// Name of a zero pattern in text.
#[must_use]
pub fn shape_name(shape: QuadShape) -> String {
    match shape {
        QuadShape::Dense => "dense".to_owned(),
        QuadShape::Triangular { lead } => format!("triangular({lead})"),
        QuadShape::Diagonal => "diagonal".to_owned(),
    }
}
