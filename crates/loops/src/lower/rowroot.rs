//! Precisions that differ from row to row: their factors, and what is solved with them, for the rows of a block at once.
//!
//! Λ is laid out as its lower triangle, row by row: a linear form of the mask (`Σ_j o_j w_j w_jᵀ / s_j` has one coefficient
//! for every element and j), to which other addends are added. With Λ = C Cᵀ the root R = C⁻¹ is stored, n × n, and
//! Λ⁻¹ v = Rᵀ (R v), log|Λ| = −2 Σ log Rᵢᵢ.

use super::context::{Lower, each};
use super::form::Inputs;
use super::jobs::What;
use super::rowexpr::RowScope;
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel, Reg};
use lvmc_derive::plan::{Definition, Value};
use lvmc_derive::posterior::rowwise::{Part, parts};
use lvmc_term::{Node, Term};

/// Sizes up to which a factorisation is written without loops: its numbers stay in registers.
const UNROLLED: usize = 8;
/// A pivot is raised to this share of the largest diagonal element.
const RELATIVE_PIVOT: f64 = 1e-14;

/// The packed lower triangle of a precision as a linear map of data.
#[derive(Debug, Clone)]
pub struct Packed {
    /// n.
    pub n: usize,
    /// Flat matrices.
    pub flat: Vec<Term>,
    /// (scale, A, u as laid out in the inputs, flat factor of u, B) of `scale · A diag(u) B`.
    pub weighted: Vec<(Term, Term, Term, Term, Term)>,
}

/// Position of element (i, j), j ≤ i, of a packed triangle.
fn packed(i: usize, j: impl Into<Index>) -> Index {
    j.into() + i * (i + 1) / 2
}

impl Lower<'_> {
    /// R of a row's precision, for every value of the definition's indices.
    pub fn define_root(&mut self, b: &mut FuncBuilder<'_>, d: &Definition, precision: Term, out: BufId) {
        let n = self.dims_of(precision)[0];
        let (mut map, mut rows) = (
            Packed {
                n,
                flat: vec![],
                weighted: vec![],
            },
            vec![],
        );
        let mut features = vec![];
        for part in parts(&mut self.s, precision).unwrap_or_default() {
            match part {
                Part::Flat(t) => map.flat.push(t),
                Part::Weighted {
                    scale,
                    left,
                    by,
                    fixed,
                    right,
                } => {
                    if !features.contains(&by) {
                        features.push(by);
                    }
                    map.weighted.push((scale, left, by, fixed, right));
                }
                Part::Row(t) => rows.push(t),
            }
        }
        let features = features.into_iter().map(|f| self.feature(b, f)).collect();
        let inputs = Inputs::new(features);
        let len = n * (n + 1) / 2;
        let stride = len * (1 + inputs.cols);
        let known = self.jobs.iter().find_map(|j| match &j.what {
            What::Packed { of, .. } if *of == precision && j.ixs == d.ranges => Some(j.out),
            _ => None,
        });
        let table = match known {
            Some(table) => table,
            None => {
                let what = What::Packed {
                    of: precision,
                    map,
                    inputs: inputs.clone(),
                };
                self.job(b, "precision", &d.ranges, stride, what)
            }
        };
        let a = b.buffer("precision", BufKind::Temp, len);
        let x = inputs.adjacent(b);
        self.nest(
            b,
            &d.ranges,
            super::context::Scope::default(),
            Index::default(),
            &mut |l, b, scope, at| {
                b.kernel(Kernel::Linear {
                    x: x.clone(),
                    inputs: inputs.cols,
                    outputs: len,
                    coef: table.at(at.clone() * stride),
                    out: a.col(0),
                    add: false,
                });
                let mut scope = RowScope {
                    flat: scope.clone(),
                    ..RowScope::default()
                };
                for &t in &rows {
                    l.add_packed(b, &mut scope, t, n, a);
                }
                row_root(b, a, out, &(at.clone() * (n * n)), n);
            },
        );
    }

    fn add_packed(&mut self, b: &mut FuncBuilder<'_>, scope: &mut RowScope, t: Term, n: usize, a: BufId) {
        self.ensure_row(b, scope, t);
        for i in 0..n {
            b.for_(i + 1, |b, j| {
                let at = [Index::constant(i), Index::from(j)];
                b.rows(|b| {
                    let (v, old) = (self.row_elem(b, scope, t, &at), b.load_row(a.col(packed(i, j))));
                    let new = b.add(old, v);
                    b.store_row(a.col(packed(i, j)), new);
                });
            });
        }
    }

    /// The coefficients of a packed precision (a job of `prepare`).
    pub fn packed_job(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut super::context::Scope,
        map: &Packed,
        inputs: &Inputs,
        out: BufId,
        first: &Index,
    ) {
        let width = 1 + inputs.cols;
        let all: Vec<Term> = map
            .weighted
            .iter()
            .flat_map(|w| [w.0, w.1, w.3, w.4])
            .chain(map.flat.iter().copied())
            .collect();
        all.iter().for_each(|&t| self.ensure(b, scope, t));
        for i in 0..map.n {
            let row: Index = Index::constant(i);
            b.for_(i + 1, |b, j| {
                let col: Index = j.into();
                let start = packed(i, j) * width + first.clone();
                let mut sum = b.num(0.0);
                for &t in &map.flat {
                    let v = self.elem(b, scope, t, &[row.clone(), col.clone()]);
                    sum = b.add(sum, v);
                }
                b.store(out.at(start.clone()), sum);
                b.for_(inputs.cols, |b, q| {
                    let zero = b.num(0.0);
                    b.store(out.at(start.clone() + q + 1usize), zero);
                });
                for &(scale, left, by, fixed, right) in &map.weighted {
                    let Some((place, _)) = inputs.place(by) else { continue };
                    let len = self.len_of(by);
                    let scalar = self.s.shape(fixed).is_empty();
                    b.for_(len, |b, q| {
                        let q: Index = q.into();
                        let c = self.elem(b, scope, scale, &[]);
                        let x = self.elem(b, scope, left, &[row.clone(), q.clone()]);
                        let y = self.elem(b, scope, right, &[q.clone(), col.clone()]);
                        let f = self.elem(b, scope, fixed, if scalar { &[] } else { std::slice::from_ref(&q) });
                        let v = b.mul(x, y);
                        let v = b.mul(v, f);
                        let v = b.mul(c, v);
                        b.accum(out.at(start.clone() + q + (1 + place)), v);
                    });
                }
            });
        }
    }

    /// The columns of R for a row's precision that a definition has the root of, at the scope's indices.
    pub fn row_root_of(&self, scope: &RowScope, precision: Term) -> Option<(BufId, Index, usize)> {
        let d = self
            .plan
            .definitions
            .iter()
            .find(|d| d.value == Value::InverseRoot(precision))?;
        let buf = *self.temps.get(&d.sym)?;
        let n = self.dims_of(precision)[0];
        let mut at = Index::default();
        for ix in &d.ranges {
            at = at * self.extent(*ix) + scope.flat.env.get(ix).cloned().unwrap_or_default();
        }
        Some((buf, at * (n * n), n))
    }

    /// `out = Λ⁻¹ v` for a vector, or for the columns of a matrix.
    pub fn row_solve(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut RowScope,
        (root, first, n): (BufId, Index, usize),
        v: Term,
        out: BufId,
    ) {
        let v = self.as_linear(v);
        self.ensure_row(b, scope, v);
        let matrix = self.s.shape(v).len() == 2;
        let m = if matrix { self.dims_of(v)[1] } else { 1 };
        if !matrix && n <= UNROLLED {
            self.row_solve_unrolled(b, scope, (root, first, n), v, out);
            return;
        }
        let half = b.buffer("half", BufKind::Temp, n * m);
        self.zero_columns(b, half, n * m);
        self.zero_columns(b, out, n * m);
        // R is lower triangular
        for i in 0..n {
            each(b, &[m, i + 1], &mut |b, ck| {
                b.rows(|b| {
                    let at = if matrix {
                        vec![ck[1].clone(), ck[0].clone()]
                    } else {
                        vec![ck[1].clone()]
                    };
                    let (x, y) = (
                        b.load_row(root.col(first.clone() + ck[1].clone() + i * n)),
                        self.row_elem(b, scope, v, &at),
                    );
                    gain(b, half, ck[0].clone() + i * m, x, y);
                });
            });
        }
        for i in 0..n {
            each(b, &[m, i + 1], &mut |b, ck| {
                b.rows(|b| {
                    let x = b.load_row(root.col(first.clone() + ck[1].clone() + i * n));
                    let y = b.load_row(half.col(ck[0].clone() + i * m));
                    gain(b, out, ck[1].clone() * m + ck[0].clone(), x, y);
                });
            });
        }
    }

    /// `out = Rᵀ R v` for a vector, in one pass.
    fn row_solve_unrolled(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut RowScope,
        (root, first, n): (BufId, Index, usize),
        v: Term,
        out: BufId,
    ) {
        b.rows(|b| {
            let x: Vec<Reg> = (0..n)
                .map(|i| self.row_elem(b, scope, v, &[Index::constant(i)]))
                .collect();
            let mut sums: Vec<Option<Reg>> = vec![None; n];
            for i in 0..n {
                let row: Vec<Reg> = (0..=i)
                    .map(|j| b.load_row(root.col(first.clone() + (i * n + j))))
                    .collect();
                let mut half = b.mul(row[0], x[0]);
                for j in 1..=i {
                    half = b.fma(row[j], x[j], half);
                }
                for j in 0..=i {
                    sums[j] = Some(match sums[j] {
                        Some(old) => b.fma(row[j], half, old),
                        None => b.mul(row[j], half),
                    });
                }
            }
            for (i, sum) in sums.into_iter().enumerate() {
                let Some(sum) = sum else { continue };
                b.store_row(out.col(i), sum);
            }
        });
    }

    /// `out = log|Λ|`.
    pub fn row_log_det(&mut self, b: &mut FuncBuilder<'_>, (root, first, n): (BufId, Index, usize), out: BufId) {
        self.zero_columns(b, out, 1);
        b.for_(n, |b, i| {
            b.rows(|b| {
                let d = b.load_row(root.col(first.clone() + Index::from(i) * (n + 1)));
                let (log, minus_two) = (b.log(d), b.num(-2.0));
                gain(b, out, Index::default(), minus_two, log);
            });
        });
    }

    /// `out = a · m` for matrices of a row.
    pub fn row_matmul(&mut self, b: &mut FuncBuilder<'_>, scope: &mut RowScope, a: Term, m: Term, out: BufId) {
        self.ensure_row(b, scope, a);
        self.ensure_row(b, scope, m);
        let (da, dm) = (self.dims_of(a), self.dims_of(m));
        self.zero_columns(b, out, da[0] * dm[1]);
        each(b, &[da[0], dm[1], da[1]], &mut |b, ijk| {
            let (i, j, k) = (ijk[0].clone(), ijk[1].clone(), ijk[2].clone());
            b.rows(|b| {
                let x = self.row_elem(b, scope, a, &[i.clone(), k.clone()]);
                let y = self.row_elem(b, scope, m, &[k.clone(), j.clone()]);
                gain(b, out, i.clone() * dm[1] + j.clone(), x, y);
            });
        });
    }

    /// True where Λ of `Λ⁻¹` has a root of its own for every row.
    pub fn has_row_root(&self, m: Term) -> Option<Term> {
        let Node::Inv(a) = *self.s.node(m) else { return None };
        let known = |d: &Definition| d.value == Value::InverseRoot(a) && self.temps.contains_key(&d.sym);
        self.plan.definitions.iter().any(known).then_some(a)
    }
}

/// `out[col] += x y`, inside `rows`.
fn gain(b: &mut FuncBuilder<'_>, out: BufId, col: Index, x: Reg, y: Reg) {
    let old = b.load_row(out.col(col.clone()));
    let new = b.fma(x, y, old);
    b.store_row(out.col(col), new);
}

/// R = C⁻¹ of Λ = C Cᵀ for every row: `a` the packed triangle, `out` n × n columns from `first`.
fn row_root(b: &mut FuncBuilder<'_>, a: BufId, out: BufId, first: &Index, n: usize) {
    let zero_above = |b: &mut FuncBuilder<'_>| {
        b.for_(n * n, |b, i| {
            b.rows(|b| {
                let zero = b.num(0.0);
                b.store_row(out.col(first.clone() + i), zero);
            });
        });
    };
    if n <= UNROLLED {
        b.rows(|b| {
            let zero = b.num(0.0);
            for i in 0..n {
                (i + 1..n).for_each(|j| b.store_row(out.col(first.clone() + (i * n + j)), zero));
            }
            let all: Vec<Reg> = (0..n * (n + 1) / 2).map(|i| b.load_row(a.col(i))).collect();
            for (i, r) in unrolled(b, &all, n).into_iter().enumerate() {
                for (j, v) in r.into_iter().enumerate() {
                    b.store_row(out.col(first.clone() + (i * n + j)), v);
                }
            }
        });
        return;
    }
    zero_above(b);
    looped(b, a, out, first, n);
}

/// The smallest pivot, from the largest diagonal element.
fn least(b: &mut FuncBuilder<'_>, diagonal: impl Iterator<Item = Reg>) -> Reg {
    let mut largest = b.num(1e-286);
    for d in diagonal {
        largest = b.max(largest, d);
    }
    let share = b.num(RELATIVE_PIVOT);
    b.mul(share, largest)
}

fn unrolled(b: &mut FuncBuilder<'_>, a: &[Reg], n: usize) -> Vec<Vec<Reg>> {
    let at = |i: usize, j: usize| a[i * (i + 1) / 2 + j];
    let floor = least(b, (0..n).map(|i| at(i, i)));
    let mut c: Vec<Vec<Reg>> = vec![];
    let mut inverse: Vec<Reg> = vec![];
    for i in 0..n {
        let mut row: Vec<Reg> = vec![];
        for j in 0..=i {
            let mut v = at(i, j);
            for k in 0..j {
                let other = if j == i { row[k] } else { c[j][k] };
                let minus = b.neg(row[k]);
                v = b.fma(minus, other, v);
            }
            if i == j {
                let v = b.max(v, floor);
                let root = b.sqrt(v);
                inverse.push(b.recip(root));
                row.push(root);
            } else {
                row.push(b.mul(v, inverse[j]));
            }
        }
        c.push(row);
    }
    let mut r: Vec<Vec<Reg>> = vec![];
    for i in 0..n {
        let mut row = vec![];
        for j in 0..i {
            let mut v = b.num(0.0);
            for (k, before) in r.iter().enumerate().skip(j) {
                v = b.fma(c[i][k], before[j], v);
            }
            let v = b.mul(inverse[i], v);
            row.push(b.neg(v));
        }
        row.push(inverse[i]);
        r.push(row);
    }
    r
}

fn looped(b: &mut FuncBuilder<'_>, a: BufId, out: BufId, first: &Index, n: usize) {
    let c = b.buffer("factor", BufKind::Temp, n * n);
    let work = b.buffer("pivot", BufKind::Temp, n + 2);
    let (sum, floor) = (n, n + 1);
    b.for_(n * n, |b, i| {
        b.rows(|b| {
            let zero = b.num(0.0);
            b.store_row(c.col(i), zero);
        });
    });
    b.rows(|b| {
        let diagonal: Vec<Reg> = (0..n).map(|i| b.load_row(a.col(packed(i, i)))).collect();
        let low = least(b, diagonal.into_iter());
        b.store_row(work.col(floor), low);
    });
    let row = |i: usize, j: Index| j + i * n;
    for i in 0..n {
        if i > 0 {
            b.for_(i, |b, j| {
                b.rows(|b| {
                    let v = b.load_row(a.col(packed(i, j)));
                    b.store_row(work.col(sum), v);
                    b.for_(i, |b, k| {
                        let x = b.load_row(c.col(row(i, k.into())));
                        let y = b.load_row(c.col(Index::from(j) * n + k));
                        let x = b.neg(x);
                        gain(b, work, Index::constant(sum), x, y);
                    });
                    let (v, d) = (b.load_row(work.col(sum)), b.load_row(work.col(j)));
                    let v = b.mul(v, d);
                    b.store_row(c.col(row(i, j.into())), v);
                });
            });
        }
        b.rows(|b| {
            let v = b.load_row(a.col(packed(i, i)));
            b.store_row(work.col(sum), v);
            if i > 0 {
                b.for_(i, |b, k| {
                    let x = b.load_row(c.col(row(i, k.into())));
                    let minus = b.neg(x);
                    gain(b, work, Index::constant(sum), minus, x);
                });
            }
            let (v, low) = (b.load_row(work.col(sum)), b.load_row(work.col(floor)));
            let v = b.max(v, low);
            let root = b.sqrt(v);
            b.store_row(c.col(row(i, Index::constant(i))), root);
            let inverse = b.recip(root);
            b.store_row(work.col(i), inverse);
            b.store_row(out.col(first.clone() + row(i, Index::constant(i))), inverse);
        });
        if i > 0 {
            b.for_(i, |b, j| {
                b.rows(|b| {
                    let zero = b.num(0.0);
                    b.store_row(work.col(sum), zero);
                    b.for_(i, |b, k| {
                        let x = b.load_row(c.col(row(i, k.into())));
                        let y = b.load_row(out.col(first.clone() + Index::from(k) * n + j));
                        gain(b, work, Index::constant(sum), x, y);
                    });
                    let (v, d) = (b.load_row(work.col(sum)), b.load_row(work.col(i)));
                    let v = b.mul(v, d);
                    let v = b.neg(v);
                    b.store_row(out.col(first.clone() + row(i, j.into())), v);
                });
            });
        }
    }
}
