//! Flat terms (parameters, constants, tables, statistics) to `Once` code.
//!
//! `elem` gives one element of a term on demand; what needs a loop or a factorisation is made once into a buffer
//! (`make`) and remembered in the scope.

use super::context::{Lower, Scope, each};
use super::jobs::LOG_ZERO;
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel, Reg, Un};
use lvmc_term::{Cmp, Fun, Node, Term};

impl Lower<'_> {
    /// A bound index, a number or a computed position as an index below `extent`.
    pub fn as_index(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term, extent: usize) -> Index {
        match self.s.node(t) {
            Node::Num(x) => Index::constant((x.get().max(0.0) as usize).min(extent.saturating_sub(1))),
            Node::Ix(i) if scope.env.contains_key(i) => scope.env[i].clone(),
            _ => {
                let value = self.elem(b, scope, t, &[]);
                b.index_of(value, extent).into()
            }
        }
    }

    /// The number that an affine index has.
    pub fn index_number(&mut self, b: &mut FuncBuilder<'_>, index: &Index) -> Reg {
        let parts: Vec<Reg> = index
            .terms
            .clone()
            .into_iter()
            .map(|(var, by)| {
                let v = b.index_value(var);
                let by = b.num(by as f64);
                b.mul(by, v)
            })
            .collect();
        let base = b.num(index.base as f64);
        let sum = b.sum(parts);
        b.add(sum, base)
    }

    /// One element of a flat term.
    pub fn elem(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term, at: &[Index]) -> Reg {
        if let Some(&buf) = scope.made.get(&t) {
            let dims = self.dims_of(t);
            return b.load(buf.at(Index::row_major(at, &dims)));
        }
        match self.s.node(t).clone() {
            Node::Num(x) => b.num(x.get()),
            Node::Size(n) => {
                let n = self.size(&n);
                b.num(n as f64)
            }
            Node::Ix(i) => {
                let index = scope.env.get(&i).cloned().unwrap_or_default();
                self.index_number(b, &index)
            }
            Node::Sym(x) => {
                let dims = self.dims_of(t);
                match self.flat.get(&x) {
                    Some(buf) => b.load(buf.at(Index::row_major(at, &dims))),
                    None => b.num(f64::NAN),
                }
            }
            Node::At(base, positions) => {
                let dims = self.dims_of(base);
                let mut full: Vec<Index> = positions
                    .iter()
                    .zip(&dims)
                    .map(|(&p, &n)| self.as_index(b, scope, p, n))
                    .collect();
                full.extend(at.iter().cloned());
                self.elem(b, scope, base, &full)
            }
            Node::Slice(base, from, _) => {
                let n = self.dims_of(base)[0];
                let from = self.as_index(b, scope, from, n);
                let mut full = at.to_vec();
                full[0] = full[0].clone() + from;
                self.elem(b, scope, base, &full)
            }
            Node::Outer(u, v) => {
                let (x, y) = (self.elem(b, scope, u, &at[..1]), self.elem(b, scope, v, &at[1..]));
                b.mul(x, y)
            }
            Node::Transpose(a) => self.elem(b, scope, a, &[at[1].clone(), at[0].clone()]),
            Node::DiagOf(m) => self.elem(b, scope, m, &[at[0].clone(), at[0].clone()]),
            Node::Diag(v) => {
                let value = self.elem(b, scope, v, &at[..1]);
                self.on_diagonal(b, at, value)
            }
            Node::Eye(_) => {
                let one = b.num(1.0);
                self.on_diagonal(b, at, one)
            }
            Node::Fill(c, _) => self.elem(b, scope, c, &[]),
            Node::Hold(a) => self.elem(b, scope, a, at),
            node @ (Node::Add(_)
            | Node::Mul(_)
            | Node::Pow(..)
            | Node::Fun(..)
            | Node::XLogY(..)
            | Node::Cmp(..)
            | Node::Select(..)) => {
                let regs: Vec<Reg> = lvmc_term::children(&node)
                    .into_iter()
                    .map(|c| {
                        let at = if self.s.shape(c).is_empty() { &[][..] } else { at };
                        self.elem(b, scope, c, at)
                    })
                    .collect();
                let v = elementwise(b, &node, &regs);
                if matches!(node, Node::Fun(Fun::Log, _)) {
                    finite_log(b, v)
                } else {
                    v
                }
            }
            _ => {
                let buf = self.make(b, scope, t);
                let dims = self.dims_of(t);
                b.load(buf.at(Index::row_major(at, &dims)))
            }
        }
    }

    fn on_diagonal(&mut self, b: &mut FuncBuilder<'_>, at: &[Index], value: Reg) -> Reg {
        if at[0] == at[1] {
            return value;
        }
        let (i, j) = (self.index_number(b, &at[0]), self.index_number(b, &at[1]));
        let (same, zero) = (b.eq(i, j), b.num(0.0));
        b.select(same, value, zero)
    }

    /// Makes everything in `t` that needs loops, so that an elementwise loop over `t` only loads.
    pub fn ensure(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term) {
        if scope.made.contains_key(&t) {
            return;
        }
        let node = self.s.node(t).clone();
        if self.is_view(&node) {
            for c in lvmc_term::children(&node) {
                self.ensure(b, scope, c);
            }
        } else {
            self.make(b, scope, t);
        }
    }

    /// Nodes whose elements are computed on demand.
    fn is_view(&self, node: &Node) -> bool {
        matches!(
            node,
            Node::Num(_)
                | Node::Size(_)
                | Node::Ix(_)
                | Node::Sym(_)
                | Node::At(..)
                | Node::Slice(..)
                | Node::Outer(..)
                | Node::Transpose(_)
                | Node::DiagOf(_)
                | Node::Diag(_)
                | Node::Eye(_)
                | Node::Fill(..)
                | Node::Hold(_)
                | Node::Add(_)
                | Node::Mul(_)
                | Node::Pow(..)
                | Node::Fun(..)
                | Node::XLogY(..)
                | Node::Cmp(..)
                | Node::Select(..)
        )
    }

    /// The whole of a term in a buffer, row-major.
    pub fn make(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term) -> BufId {
        if let Some(&buf) = scope.made.get(&t) {
            return buf;
        }
        if let Node::Sym(x) = self.s.node(t)
            && let Some(&buf) = self.flat.get(x)
        {
            return buf;
        }
        let len = self.len_of(t).max(1);
        let out = b.buffer("t", BufKind::Scratch, len);
        self.make_into(b, scope, t, out);
        scope.made.insert(t, out);
        out
    }

    fn make_into(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term, out: BufId) {
        let node = self.s.node(t).clone();
        match node {
            Node::Total(a) => self.accumulate(b, scope, out, a, |b, v, total| b.accum(total, v)),
            Node::Product(a) => self.product_into(b, scope, a, out),
            Node::Trace(m) => {
                let d = self.s.diag_of(m);
                self.accumulate(b, scope, out, d, |b, v, total| b.accum(total, v));
            }
            Node::Dot(u, v) => {
                let product = self.s.mul(u, v);
                self.accumulate(b, scope, out, product, |b, v, total| b.accum(total, v));
            }
            Node::MatVec(m, v) => self.product(b, scope, m, v, 1, out),
            Node::MatMul(m, x) => {
                let cols = self.dims_of(x)[1];
                self.product(b, scope, m, x, cols, out);
            }
            Node::Inv(a) => self.inverse(b, scope, a, out),
            Node::LogDet(a) => self.log_det(b, scope, a, out),
            Node::Quad(m, v) => {
                let inverse = self.s.inv(m);
                let solved = self.s.matvec(inverse, v);
                let solved = self.make_solution(b, scope, solved, m, v);
                self.ensure(b, scope, v);
                let (zero, n) = (b.num(0.0), self.len_of(v));
                b.store(out.at(0), zero);
                b.for_(n, |b, i| {
                    let (x, y) = (self.elem(b, scope, v, &[i.into()]), b.load(solved.at(i)));
                    let p = b.mul(x, y);
                    b.accum(out.at(0), p);
                });
            }
            Node::LogSumExp(v) | Node::Softmax(v) => {
                self.softmax_into(b, scope, v, out, matches!(self.s.node(t), Node::Softmax(_)));
            }
            Node::Stack { rows, parts } => self.stack_into(b, scope, rows, &parts, out),
            Node::IxSum(ix, body) => self.ix_sum_into(b, scope, ix, body, out),
            Node::RowSum(_) => self.statistic_into(b, scope, t, out),
            _ => {
                self.ensure_children(b, scope, t);
                let dims = self.dims_of(t);
                each(b, &dims.clone(), &mut |b, at| {
                    let v = self.elem(b, scope, t, at);
                    b.store(out.at(Index::row_major(at, &dims)), v);
                });
            }
        }
    }

    fn ensure_children(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term) {
        for c in lvmc_term::children(&self.s.node(t).clone()) {
            self.ensure(b, scope, c);
        }
    }

    /// `out[0] = Σ elements of a`.
    fn accumulate(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        out: BufId,
        a: Term,
        add: impl Fn(&mut FuncBuilder<'_>, Reg, crate::ir::Flat),
    ) {
        self.ensure(b, scope, a);
        let zero = b.num(0.0);
        b.store(out.at(0), zero);
        let dims = self.dims_of(a);
        each(b, &dims, &mut |b, at| {
            let v = self.elem(b, scope, a, at);
            add(b, v, out.at(0));
        });
    }

    fn product_into(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, a: Term, out: BufId) {
        self.ensure(b, scope, a);
        let one = b.num(1.0);
        b.store(out.at(0), one);
        let dims = self.dims_of(a);
        each(b, &dims, &mut |b, at| {
            let (v, p) = (self.elem(b, scope, a, at), b.load(out.at(0)));
            let p = b.mul(p, v);
            b.store(out.at(0), p);
        });
    }

    /// m · x, where an inverse of m is solved rather than formed.
    fn product(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, m: Term, x: Term, cols: usize, out: BufId) {
        let right = self.make(b, scope, x);
        let dims = self.dims_of(m);
        if let Node::Inv(a) = *self.s.node(m) {
            let left = self.make(b, scope, a);
            let flag = self.fixed.failures;
            let (a, b_, out) = (left.at(0), right.at(0), out.at(0));
            b.kernel(Kernel::SpdSolve {
                a,
                b: b_,
                out,
                n: dims[0],
                m: cols,
                flag: flag.at(0),
            });
            return;
        }
        let left = self.make(b, scope, m);
        let (a, b_, out) = (left.at(0), right.at(0), out.at(0));
        b.kernel(Kernel::MatMul {
            a,
            ta: false,
            b: b_,
            tb: false,
            out,
            m: dims[0],
            k: dims[1],
            n: cols,
        });
    }

    fn make_solution(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term, m: Term, v: Term) -> BufId {
        if let Some(&buf) = scope.made.get(&t) {
            return buf;
        }
        let (a, right, n) = (self.make(b, scope, m), self.make(b, scope, v), self.len_of(v));
        let out = b.buffer("solved", BufKind::Scratch, n);
        let flag = self.fixed.failures;
        b.kernel(Kernel::SpdSolve {
            a: a.at(0),
            b: right.at(0),
            out: out.at(0),
            n,
            m: 1,
            flag: flag.at(0),
        });
        scope.made.insert(t, out);
        out
    }

    /// The Cholesky factor of a matrix term, made once.
    pub fn cholesky(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, a: Term) -> BufId {
        if let Some(&l) = scope.chol.get(&a) {
            return l;
        }
        let n = self.dims_of(a)[0];
        let source = self.make(b, scope, a);
        let l = b.buffer("chol", BufKind::Scratch, n * n);
        let flag = self.fixed.failures;
        b.kernel(Kernel::Cholesky {
            a: source.at(0),
            out: l.at(0),
            n,
            flag: flag.at(0),
        });
        scope.chol.insert(a, l);
        l
    }

    /// A⁻¹ = L⁻ᵀ L⁻¹.
    fn inverse(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, a: Term, out: BufId) {
        let n = self.dims_of(a)[0];
        let l = self.cholesky(b, scope, a);
        let li = b.buffer("chol.inverse", BufKind::Scratch, n * n);
        b.kernel(Kernel::TriInverse {
            l: l.at(0),
            out: li.at(0),
            n,
        });
        let (a, b_, out) = (li.at(0), li.at(0), out.at(0));
        b.kernel(Kernel::MatMul {
            a,
            ta: true,
            b: b_,
            tb: false,
            out,
            m: n,
            k: n,
            n,
        });
    }

    /// log|A| = 2 Σ log Lᵢᵢ.
    fn log_det(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, a: Term, out: BufId) {
        let n = self.dims_of(a)[0];
        let l = self.cholesky(b, scope, a);
        let (zero, two) = (b.num(0.0), b.num(2.0));
        b.store(out.at(0), zero);
        b.for_(n, |b, i| {
            let d = b.load(l.at(i * (n + 1)));
            let log = b.log(d);
            let v = b.mul(two, log);
            b.accum(out.at(0), v);
        });
    }

    fn softmax_into(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, v: Term, out: BufId, whole: bool) {
        let x = self.make(b, scope, v);
        let n = self.len_of(v);
        let work = b.buffer("lse", BufKind::Scratch, 2);
        let (low, zero) = (b.num(f64::NEG_INFINITY), b.num(0.0));
        b.store(work.at(0), low);
        b.store(work.at(1), zero);
        b.for_(n, |b, i| {
            let (m, v) = (b.load(work.at(0)), b.load(x.at(i)));
            let m = b.max(m, v);
            b.store(work.at(0), m);
        });
        b.for_(n, |b, i| {
            let (m, v) = (b.load(work.at(0)), b.load(x.at(i)));
            let d = b.sub(v, m);
            let e = b.exp(d);
            b.accum(work.at(1), e);
            if whole {
                b.store(out.at(i), e);
            }
        });
        if whole {
            b.for_(n, |b, i| {
                let (e, sum) = (b.load(out.at(i)), b.load(work.at(1)));
                let p = b.div(e, sum);
                b.store(out.at(i), p);
            });
        } else {
            let (m, sum) = (b.load(work.at(0)), b.load(work.at(1)));
            let log = b.log(sum);
            let lse = b.add(m, log);
            b.store(out.at(0), lse);
        }
    }

    fn stack_into(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, rows: bool, parts: &[Term], out: BufId) {
        let _ = rows;
        let mut first = 0;
        for &p in parts {
            self.ensure(b, scope, p);
            let dims = self.dims_of(p);
            each(b, &dims.clone(), &mut |b, at| {
                let v = self.elem(b, scope, p, at);
                b.store(out.at(Index::row_major(at, &dims) + first), v);
            });
            first += dims.iter().product::<usize>().max(1);
        }
    }

    fn ix_sum_into(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, ix: lvmc_term::IxId, body: Term, out: BufId) {
        let dims = self.dims_of(body);
        let zero = b.num(0.0);
        each(b, &dims.clone(), &mut |b, at| {
            b.store(out.at(Index::row_major(at, &dims)), zero)
        });
        let n = self.extent(ix);
        b.for_(n, |b, i| {
            let mut inner = scope.with(&self.s, ix, i);
            self.ensure(b, &mut inner, body);
            each(b, &dims.clone(), &mut |b, at| {
                let v = self.elem(b, &mut inner, body, at);
                b.accum(out.at(Index::row_major(at, &dims)), v);
            });
        });
    }
}

/// log 0 of a parameter as [`LOG_ZERO`]: it is multiplied by counts that may be 0, and added to its own negative where a
/// probability is exactly 0 or 1.
fn finite_log(b: &mut FuncBuilder<'_>, v: Reg) -> Reg {
    let (low, finite) = (b.num(f64::NEG_INFINITY), b.num(LOG_ZERO));
    let none = b.eq(v, low);
    b.select(none, finite, v)
}

/// An elementwise node of values.
pub fn elementwise(b: &mut FuncBuilder<'_>, node: &Node, regs: &[Reg]) -> Reg {
    match node {
        Node::Add(_) => b.sum(regs.iter().copied()),
        Node::Mul(_) => {
            let mut p = regs[0];
            for &r in &regs[1..] {
                p = b.mul(p, r);
            }
            p
        }
        Node::Pow(..) => b.pow(regs[0], regs[1]),
        Node::XLogY(..) => {
            let (zero, log) = (b.num(0.0), b.log(regs[1]));
            let product = b.mul(regs[0], log);
            let none = b.eq(regs[0], zero);
            b.select(none, zero, product)
        }
        Node::Cmp(Cmp::Lt, ..) => b.lt(regs[0], regs[1]),
        Node::Cmp(Cmp::Le, ..) => b.le(regs[0], regs[1]),
        Node::Cmp(Cmp::Eq, ..) => b.eq(regs[0], regs[1]),
        Node::Select(..) => b.select(regs[0], regs[1], regs[2]),
        Node::Fun(f, _) => function(b, *f, regs[0]),
        _ => regs[0],
    }
}

fn function(b: &mut FuncBuilder<'_>, f: Fun, a: Reg) -> Reg {
    let un = match f {
        Fun::Log => Un::Log,
        Fun::Exp => Un::Exp,
        Fun::Log1p => Un::Log1p,
        Fun::Sqrt => Un::Sqrt,
        Fun::Abs => Un::Abs,
        Fun::Sign => Un::Sign,
        Fun::Floor => Un::Floor,
        Fun::Lgamma => Un::Lgamma,
        Fun::Digamma => Un::Digamma,
        Fun::Trigamma => Un::Trigamma,
        Fun::Tetragamma => Un::Tetragamma,
        Fun::Sigmoid => Un::Sigmoid,
        Fun::Softplus => Un::Softplus,
        Fun::Tanh => Un::Tanh,
        Fun::Sin => Un::Sin,
        Fun::Cos => Un::Cos,
        Fun::NormalCdf => Un::NormalCdf,
        Fun::Relu => {
            let zero = b.num(0.0);
            return b.max(a, zero);
        }
        Fun::Not => {
            let zero = b.num(0.0);
            return b.eq(a, zero);
        }
    };
    b.un(un, a)
}
