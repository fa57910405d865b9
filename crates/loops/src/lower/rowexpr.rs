//! Row terms of any kind to block code: elementwise parts become one expression per row, the rest is made into
//! temporary columns first.

use super::context::{Lower, Scope};
use super::flat::elementwise;
use super::form::{Form, Inputs};
use super::jobs::What;
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel, Reg};
use lvmc_term::{IxId, Node, Store, Term};
use std::collections::HashMap;

/// Columns that are copied to lie side by side rather than mapped one feature at a time.
const COPIED: usize = 16;

/// Row terms made into columns, and the values of bound indices.
#[derive(Debug, Clone, Default)]
pub struct RowScope {
    /// Bound indices.
    pub flat: Scope,
    /// Columns of row terms.
    pub made: HashMap<Term, BufId>,
    /// Posteriors without the row's weight, which a weighted sweep has multiplied into them.
    pub unweighted: bool,
}

impl RowScope {
    /// With one more bound index (see [`Scope::with`]).
    #[must_use]
    pub fn with(&self, s: &Store, ix: IxId, at: impl Into<Index>) -> Self {
        let mut made = self.made.clone();
        if self.flat.env.contains_key(&ix) {
            made.retain(|&t, _| !s.free_indices(t).contains(&ix));
        }
        Self {
            flat: self.flat.with(s, ix, at),
            made,
            unweighted: self.unweighted,
        }
    }
}

impl Lower<'_> {
    /// Makes columns of everything in `t` that is not elementwise (outside `rows`).
    pub fn ensure_row(&mut self, b: &mut FuncBuilder<'_>, scope: &mut RowScope, t: Term) {
        if scope.made.contains_key(&t) || self.is_flat(t) {
            if self.is_flat(t) {
                self.touch_flat(b, t);
            }
            return;
        }
        let node = self.s.node(t).clone();
        match node {
            Node::Sym(_) => {}
            Node::At(base, ref at) => {
                if self.is_flat(base) {
                    self.touch_flat(b, base);
                } else {
                    self.ensure_row(b, scope, base);
                }
                for &i in at {
                    self.ensure_row(b, scope, i);
                }
            }
            Node::Add(_)
            | Node::Mul(_)
            | Node::Pow(..)
            | Node::Fun(..)
            | Node::XLogY(..)
            | Node::Cmp(..)
            | Node::Select(..)
            | Node::Fill(..)
            | Node::Hold(_)
            | Node::Outer(..)
            | Node::Transpose(_)
            | Node::Diag(_) => {
                for c in lvmc_term::children(&node) {
                    self.ensure_row(b, scope, c);
                }
            }
            _ => self.make_row(b, scope, t),
        }
    }

    /// A flat term inside a row term is a table of `prepare` (a leaf is read where it lies).
    fn touch_flat(&mut self, b: &mut FuncBuilder<'_>, t: Term) {
        if !self.is_leaf(t) {
            self.term_table(b, t);
        }
    }

    fn is_leaf(&self, t: Term) -> bool {
        match self.s.node(t) {
            Node::Num(_) | Node::Size(_) | Node::Ix(_) | Node::Sym(_) => true,
            Node::At(base, at) => {
                matches!(self.s.node(*base), Node::Sym(_))
                    && at.iter().all(|&i| matches!(self.s.node(i), Node::Ix(_) | Node::Num(_)))
            }
            Node::Fill(c, _) => self.is_leaf(*c),
            _ => false,
        }
    }

    /// One element of a flat term inside row code.
    fn flat_elem(&mut self, b: &mut FuncBuilder<'_>, scope: &mut RowScope, t: Term, at: &[Index]) -> Reg {
        if self.is_leaf(t) {
            return self.elem(b, &mut scope.flat, t, at);
        }
        let (buf, ixs) = self.term_table(b, t);
        let stride = self.len_of(t).max(1);
        let mut index = Index::default();
        for ix in ixs {
            let n = self.extent(ix);
            index = index * n + scope.flat.env.get(&ix).cloned().unwrap_or_default();
        }
        let dims = self.dims_of(t);
        b.load(buf.at(index * stride + Index::row_major(at, &dims)))
    }

    /// One element of a row term, inside `rows`, after `ensure_row`.
    pub fn row_elem(&mut self, b: &mut FuncBuilder<'_>, scope: &mut RowScope, t: Term, at: &[Index]) -> Reg {
        if let Some(&buf) = scope.made.get(&t) {
            let dims = self.dims_of(t);
            return b.load_row(buf.col(Index::row_major(at, &dims)));
        }
        if self.is_flat(t) {
            return self.flat_elem(b, scope, t, at);
        }
        match self.s.node(t).clone() {
            Node::Sym(x) => {
                let dims = self.dims_of(t);
                let col = Index::row_major(at, &dims);
                if let Some(&buf) = self.temps.get(&x) {
                    return b.load_row(buf.col(col));
                }
                let Some(c) = self.columns.get(&x).copied() else {
                    return b.num(f64::NAN);
                };
                let v = b.load_row(c.buf.col(col.clone()));
                match c.centre {
                    Some(centre) => {
                        let m = b.load(centre.at(col));
                        b.add(v, m)
                    }
                    None => v,
                }
            }
            Node::At(base, positions) => {
                let dims = self.dims_of(base);
                let mut full = vec![];
                for (&p, &n) in positions.iter().zip(&dims) {
                    full.push(match self.s.node(p) {
                        Node::Num(x) => Index::constant((x.get().max(0.0) as usize).min(n.saturating_sub(1))),
                        Node::Ix(i) => scope.flat.env.get(i).cloned().unwrap_or_default(),
                        _ => {
                            let v = self.row_elem(b, scope, p, &[]);
                            b.index_of(v, n).into()
                        }
                    });
                }
                full.extend(at.iter().cloned());
                self.row_elem(b, scope, base, &full)
            }
            Node::Fill(c, _) => self.row_elem(b, scope, c, &[]),
            Node::Hold(a) => self.row_elem(b, scope, a, at),
            Node::Outer(u, v) => {
                let (x, y) = (
                    self.row_elem(b, scope, u, &at[..1]),
                    self.row_elem(b, scope, v, &at[1..]),
                );
                b.mul(x, y)
            }
            Node::Transpose(m) => {
                let turned: Vec<Index> = at.iter().rev().cloned().collect();
                self.row_elem(b, scope, m, &turned)
            }
            Node::Diag(v) => {
                let x = self.row_elem(b, scope, v, &at[..1]);
                if at[0] == at[1] {
                    return x;
                }
                let (i, j) = (self.index_number(b, &at[0]), self.index_number(b, &at[1]));
                let (same, zero) = (b.eq(i, j), b.num(0.0));
                b.select(same, x, zero)
            }
            node => {
                let regs: Vec<Reg> = lvmc_term::children(&node)
                    .into_iter()
                    .map(|c| {
                        let at = if self.s.shape(c).is_empty() { &[][..] } else { at };
                        self.row_elem(b, scope, c, at)
                    })
                    .collect();
                elementwise(b, &node, &regs)
            }
        }
    }

    /// Makes columns of a row term.
    pub fn make_row(&mut self, b: &mut FuncBuilder<'_>, scope: &mut RowScope, t: Term) {
        let n = self.len_of(t).max(1);
        // before the first `prepare` there are no coefficients
        if !self.early && self.linear_row(b, scope, t) {
            return;
        }
        let out = b.buffer("row", BufKind::Temp, n);
        match self.s.node(t).clone() {
            Node::Dot(u, v) => {
                let product = self.s.mul(u, v);
                self.row_total(b, scope, product, out);
            }
            Node::Total(u) => self.row_total(b, scope, u, out),
            Node::Quad(m, e) => {
                let inverse = self.s.inv(m);
                let solved = self.s.matvec(inverse, e);
                let product = self.s.mul(e, solved);
                self.row_total(b, scope, product, out);
            }
            Node::MatVec(m, v) if self.has_row_root(m).is_some() => {
                if let Some(root) = self.has_row_root(m).and_then(|a| self.row_root_of(scope, a)) {
                    self.row_solve(b, scope, root, v, out);
                }
            }
            Node::MatMul(m, v) if self.has_row_root(m).is_some() => {
                if let Some(root) = self.has_row_root(m).and_then(|a| self.row_root_of(scope, a)) {
                    self.row_solve(b, scope, root, v, out);
                }
            }
            Node::MatMul(m, v) => self.row_matmul(b, scope, m, v, out),
            Node::LogDet(a) if self.row_root_of(scope, a).is_some() => {
                if let Some(root) = self.row_root_of(scope, a) {
                    self.row_log_det(b, root, out);
                }
            }
            Node::MatVec(m, v) => {
                self.ensure_row(b, scope, m);
                self.ensure_row(b, scope, v);
                let dims = [self.dims_of(t)[0], self.len_of(v)];
                self.zero_columns(b, out, n);
                super::context::each(b, &dims, &mut |b, ij| {
                    b.rows(|b| {
                        let (x, y) = (self.row_elem(b, scope, m, ij), self.row_elem(b, scope, v, &ij[1..]));
                        let old = b.load_row(out.col(ij[0].clone()));
                        let new = b.fma(x, y, old);
                        b.store_row(out.col(ij[0].clone()), new);
                    });
                });
            }
            Node::LogSumExp(v) | Node::Softmax(v) => {
                let k = self.len_of(v);
                let table = b.buffer("softmax", BufKind::Temp, k);
                self.copy_row(b, scope, v, table);
                let lse = b.buffer("lse", BufKind::Temp, 1);
                let kernel = Kernel::Softmax {
                    table: table.col(0),
                    n: k,
                    stride: 1,
                    lse: Some(lse.col(0)),
                    total: None,
                };
                b.kernel(kernel);
                let (soft, log) = (self.s.softmax(v), self.s.log_sum_exp(v));
                scope.made.insert(soft, table);
                scope.made.insert(log, lse);
                return;
            }
            Node::Resp(values) => {
                let resp: Vec<_> = values.iter().map(|v| v.0).collect();
                let table = self.weights_for(b, &resp);
                let mut config = Index::default();
                for &(x, value) in &values {
                    let n = self.finite_of(x).map_or(1, |v| self.finite_size(v));
                    config = config * n + self.as_index(b, &mut scope.flat, value, n);
                }
                let weight = (scope.unweighted && self.masked).then_some(self.fixed.weight);
                b.rows(|b| {
                    let mut v = b.load_row(table.col(config));
                    if let Some(weight) = weight {
                        let (w, zero) = (b.load_row(weight.col(0)), b.num(0.0));
                        let (none, plain) = (b.eq(w, zero), b.div(v, w));
                        v = b.select(none, zero, plain);
                    }
                    b.store_row(out.col(0), v);
                });
            }
            Node::IxSum(ix, body) => {
                self.zero_columns(b, out, n);
                let dims = self.dims_of(body);
                let extent = self.extent(ix);
                b.for_(extent, |b, i| {
                    let mut inner = scope.with(&self.s, ix, i);
                    self.ensure_row(b, &mut inner, body);
                    super::context::each(b, &dims.clone(), &mut |b, at| {
                        b.rows(|b| {
                            let v = self.row_elem(b, &mut inner, body, at);
                            let col = out.col(Index::row_major(at, &dims));
                            let old = b.load_row(col.clone());
                            let new = b.add(old, v);
                            b.store_row(col, new);
                        });
                    });
                });
            }
            Node::Stack { parts, .. } => {
                let mut first = 0;
                for p in parts {
                    let dims = self.dims_of(p);
                    self.ensure_row(b, scope, p);
                    super::context::each(b, &dims.clone(), &mut |b, at| {
                        b.rows(|b| {
                            let v = self.row_elem(b, scope, p, at);
                            b.store_row(out.col(Index::row_major(at, &dims) + first), v);
                        });
                    });
                    first += dims.iter().product::<usize>().max(1);
                }
            }
            _ => {
                for c in lvmc_term::children(&self.s.node(t).clone()) {
                    self.ensure_row(b, scope, c);
                }
                self.copy_row(b, scope, t, out);
            }
        }
        scope.made.insert(t, out);
    }

    /// A linear form goes to the `Linear` kernel.
    fn linear_row(&mut self, b: &mut FuncBuilder<'_>, scope: &mut RowScope, t: Term) -> bool {
        let Some(form) = self.linear_form(t) else { return false };
        if form.features().contains(&t) {
            return false; // a feature is not computed from itself
        }
        let features: Vec<_> = form.features().into_iter().map(|f| self.feature(b, f)).collect();
        let inputs = Inputs::new(features.clone());
        let ixs: Vec<IxId> = self.s.free_indices(t).into_iter().collect();
        let out = b.buffer("row", BufKind::Temp, form.rows);
        if inputs.cols > COPIED && !inputs.in_place() {
            // a map for every feature where it lies: copies would cost as much as the products
            for (i, feature) in features.into_iter().enumerate() {
                let part = form.of_feature(feature.term, i == 0);
                self.linear_kernel(b, scope, part, &Inputs::new(vec![feature]), &ixs, (out, i > 0));
            }
        } else {
            self.linear_kernel(b, scope, form, &inputs, &ixs, (out, false));
        }
        scope.made.insert(t, out);
        true
    }

    /// One map, from a table of its own, into `out`, set or added.
    fn linear_kernel(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &RowScope,
        form: Form,
        inputs: &Inputs,
        ixs: &[IxId],
        (out, add): (BufId, bool),
    ) {
        let (rows, stride) = (form.rows, form.rows * (1 + inputs.cols));
        let known = self.jobs.iter().find_map(|j| match &j.what {
            What::Linear { form: f, .. } if j.ixs == ixs && format!("{f:?}") == format!("{form:?}") => Some(j.out),
            _ => None,
        });
        let coef = match known {
            Some(out) => out,
            None => {
                let what = What::Linear {
                    form,
                    inputs: inputs.clone(),
                    constants: vec![],
                };
                self.job(b, "linear", ixs, stride, what)
            }
        };
        let mut at = Index::default();
        for ix in ixs {
            at = at * self.extent(*ix) + scope.flat.env.get(ix).cloned().unwrap_or_default();
        }
        let x = inputs.adjacent(b);
        b.kernel(Kernel::Linear {
            x,
            inputs: inputs.cols,
            outputs: rows,
            coef: coef.at(at * stride),
            out: out.col(0),
            add,
        });
    }

    /// Copies a row term into columns.
    pub fn copy_row(&mut self, b: &mut FuncBuilder<'_>, scope: &mut RowScope, t: Term, out: BufId) {
        self.ensure_row(b, scope, t);
        let dims = self.dims_of(t);
        super::context::each(b, &dims.clone(), &mut |b, at| {
            b.rows(|b| {
                let v = self.row_elem(b, scope, t, at);
                b.store_row(out.col(Index::row_major(at, &dims)), v);
            });
        });
    }

    fn row_total(&mut self, b: &mut FuncBuilder<'_>, scope: &mut RowScope, u: Term, out: BufId) {
        self.ensure_row(b, scope, u);
        self.zero_columns(b, out, 1);
        let dims = self.dims_of(u);
        super::context::each(b, &dims, &mut |b, at| {
            b.rows(|b| {
                let (v, old) = (self.row_elem(b, scope, u, at), b.load_row(out.col(0)));
                let new = b.add(old, v);
                b.store_row(out.col(0), new);
            });
        });
    }

    /// Zero in `n` columns.
    pub fn zero_columns(&mut self, b: &mut FuncBuilder<'_>, out: BufId, n: usize) {
        b.for_(n, |b, i| {
            b.rows(|b| {
                let zero = b.num(0.0);
                b.store_row(out.col(i), zero);
            });
        });
    }
}
