//! Kernels that sum over rows, as plain loops. The row loop stands inside, so that its sum stays in a register.

use crate::builder::FuncBuilder;
use crate::ir::{BufId, Flat, Index, Reg, Rows};

/// Where row i of the packed triangle begins.
fn triangle(i: usize) -> usize {
    i * (i + 1) / 2
}

fn weight(b: &mut FuncBuilder<'_>, w: Option<&Rows>) -> Reg {
    match w {
        Some(w) => b.load_row(w.clone()),
        None => b.num(1.0),
    }
}

pub(super) fn syrk(
    b: &mut FuncBuilder<'_>,
    x: &Rows,
    p: usize,
    w: Option<&Rows>,
    acc: &Flat,
    diagonal: bool,
    temp: BufId,
) {
    b.rows(|b| {
        let w = weight(b, w);
        b.reduce(acc.clone(), w);
    });
    if diagonal {
        b.for_(p, |b, i| {
            b.rows(|b| {
                let (w, xi) = (weight(b, w), b.load_row(x.plus(i)));
                let wx = b.mul(w, xi);
                b.reduce(acc.plus(i + 1), wx);
                let square = b.mul(wx, xi);
                b.reduce(acc.plus(i + 1 + p), square);
            });
        });
        return;
    }
    for i in 1..=p {
        b.rows(|b| {
            let (w, xi) = (weight(b, w), b.load_row(x.plus(i - 1)));
            let wx = b.mul(w, xi);
            b.store_row(temp.col(0), wx);
            b.reduce(acc.plus(triangle(i)), wx);
        });
        b.for_(i, |b, j| {
            b.rows(|b| {
                let (wx, xj) = (b.load_row(temp.col(0)), b.load_row(x.plus(j)));
                let product = b.mul(wx, xj);
                b.reduce(acc.plus(j + triangle(i) + 1), product);
            });
        });
    }
}

/// `out += value of acc`.
fn fold(b: &mut FuncBuilder<'_>, out: &Flat, acc: &Flat, to: impl Into<Index>, from: impl Into<Index>) {
    let value = b.load(acc.plus(from));
    b.accum(out.plus(to), value);
}

pub(super) fn syrk_fold(b: &mut FuncBuilder<'_>, acc: &Flat, p: usize, out: &Flat, diagonal: bool) {
    if diagonal {
        return b.for_(1 + 2 * p, |b, i| fold(b, out, acc, i, i));
    }
    let side = p + 1;
    for i in 0..side {
        b.for_(i + 1, |b, j| fold(b, out, acc, j + i * side, j + triangle(i)));
        b.for_(i, |b, j| fold(b, out, acc, j * side + i, j + triangle(i)));
    }
}

pub(super) fn moments(b: &mut FuncBuilder<'_>, x: &Rows, p: usize, w: &Rows, weights: usize, acc: &Flat) {
    b.for_(weights, |b, s| {
        b.rows(|b| {
            let w = b.load_row(w.plus(s));
            b.reduce(acc.plus(s * (1 + p)), w);
        });
        b.for_(p, |b, i| {
            b.rows(|b| {
                let (w, xi) = (b.load_row(w.plus(s)), b.load_row(x.plus(i)));
                let product = b.mul(w, xi);
                b.reduce(acc.plus(s * (1 + p) + i + 1), product);
            });
        });
    });
}

pub(super) fn moments_fold(b: &mut FuncBuilder<'_>, acc: &Flat, p: usize, weights: usize, out: &Flat) {
    b.for_(weights * (1 + p), |b, i| fold(b, out, acc, i, i));
}

pub(super) fn scatter(b: &mut FuncBuilder<'_>, code: &Rows, values: usize, w: &Rows, entries: usize, acc: &Flat) {
    b.rows(|b| {
        let code = b.load_row(code.clone());
        let v = b.index_of(code, values);
        b.for_(entries, |b, s| {
            let w = b.load_row(w.plus(s));
            b.scatter(acc.plus(s * values + v), w);
        });
    });
}
