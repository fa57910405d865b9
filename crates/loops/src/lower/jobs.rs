//! What `prepare` computes from the parameters: tables that the row code reads.

use super::context::{Lower, Scope};
use super::form::{Form, Inputs, Piece};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel, QuadShape, quad_len};
use crate::lens::quad_packed_len;
use lvmc_term::{IxId, SymId, Term};
use std::collections::HashMap;

/// A logarithm of zero as a finite number: 0 · LOG_ZERO = 0 where a kernel multiplies, and exp(LOG_ZERO) = 0.
pub const LOG_ZERO: f64 = -1e6;

/// A logarithm of zero that is a factor of an expectation: 0 · NEVER = 0, and no weight above the smallest makes it likely.
const NEVER: f64 = -1e300;

/// One table.
#[derive(Debug, Clone)]
pub struct Job {
    /// Indices the table ranges over, in order: its leading axes.
    pub ixs: Vec<IxId>,
    /// Where it goes.
    pub out: BufId,
    /// What it holds for each value of the indices.
    pub what: What,
}

/// The contents of a table.
#[derive(Debug, Clone)]
pub enum What {
    /// A flat term.
    Term(Term),
    /// Rows of a linear map: `[rows][1 + inputs]`, −∞ made finite.
    Linear {
        /// The map.
        form: Form,
        /// Input layout.
        inputs: Inputs,
        /// Flat terms added to the constant of the first row.
        constants: Vec<Term>,
    },
    /// A linear map of the weights of configurations of some indices: `[1 + configurations]`, a flat term for each.
    Weighted {
        /// The term.
        term: Term,
        /// The indices.
        over: Vec<IxId>,
    },
    /// Packed coefficients of a quadratic form.
    Quad(Box<QuadJob>),
    /// C⁻¹ of Λ = C Cᵀ.
    InverseRoot(Term),
    /// The packed triangle of a row's precision as a linear map: `[n (n + 1) / 2][1 + inputs]`.
    Packed {
        /// The precision.
        of: Term,
        /// Its addends.
        map: super::rowroot::Packed,
        /// Input layout.
        inputs: Inputs,
    },
    /// A flat term for each value of a data code: `[values]`, −∞ made finite.
    Gather {
        /// The term, with the code's symbol inside.
        term: Term,
        /// The code.
        code: SymId,
        /// How many values.
        values: usize,
    },
}

/// c + weight · eᵀ S⁻¹ e.
#[derive(Debug, Clone)]
pub struct QuadJob {
    /// e.
    pub form: Form,
    /// Input layout.
    pub inputs: Inputs,
    /// What stands before the square (negative): a scalar, or elementwise.
    pub weight: Term,
    /// S.
    pub covariance: Option<Term>,
    /// Zero pattern of the coefficients.
    pub shape: QuadShape,
    /// Flat terms of c.
    pub constants: Vec<Term>,
}

impl Lower<'_> {
    /// Asks for a table; the same job is done once.
    pub fn job(&mut self, b: &mut FuncBuilder<'_>, name: &str, ixs: &[IxId], stride: usize, what: What) -> BufId {
        let n: usize = ixs.iter().map(|&i| self.extent(i)).product();
        let out = b.buffer(name, BufKind::Table, n * stride);
        self.jobs.push(Job {
            ixs: ixs.to_vec(),
            out,
            what,
        });
        out
    }

    /// A flat term's table, shared.
    pub fn term_table(&mut self, b: &mut FuncBuilder<'_>, t: Term) -> (BufId, Vec<IxId>) {
        let known = self.jobs.iter().find(|j| matches!(j.what, What::Term(x) if x == t));
        if let Some(job) = known {
            return (job.out, job.ixs.clone());
        }
        let ixs: Vec<IxId> = self.s.free_indices(t).into_iter().collect();
        let stride = self.len_of(t).max(1);
        let out = self.job(b, "table", &ixs, stride, What::Term(t));
        (out, ixs)
    }

    /// Writes all jobs (the body of `prepare`).
    pub fn do_jobs(&mut self, b: &mut FuncBuilder<'_>) {
        for job in self.jobs.clone() {
            self.nest(
                b,
                &job.ixs.clone(),
                Scope::default(),
                Index::default(),
                &mut |l, b, scope, at| {
                    l.do_job(b, scope, &job, at);
                },
            );
        }
    }

    /// Loops over indices, binding them; `at` is their row-major position.
    pub fn nest(
        &mut self,
        b: &mut FuncBuilder<'_>,
        ixs: &[IxId],
        scope: Scope,
        at: Index,
        f: &mut dyn FnMut(&mut Self, &mut FuncBuilder<'_>, &mut Scope, &Index),
    ) {
        let Some((&ix, rest)) = ixs.split_first() else {
            let mut scope = scope;
            return f(self, b, &mut scope, &at);
        };
        let n = self.extent(ix);
        if n == 1 {
            return self.nest(b, rest, scope.with(&self.s, ix, 0usize), at, f);
        }
        b.for_(n, |b, i| self.nest(b, rest, scope.with(&self.s, ix, i), at * n + i, f));
    }

    fn do_job(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, job: &Job, at: &Index) {
        match &job.what {
            What::Term(t) => {
                self.ensure(b, scope, *t);
                let dims = self.dims_of(*t);
                let stride = dims.iter().product::<usize>().max(1);
                super::context::each(b, &dims.clone(), &mut |b, i| {
                    let v = self.elem(b, scope, *t, i);
                    b.store(job.out.at(at.clone() * stride + Index::row_major(i, &dims)), v);
                });
            }
            What::Linear {
                form,
                inputs,
                constants,
            } => {
                let width = 1 + inputs.cols;
                let first = at.clone() * (form.rows * width);
                self.form_matrix(b, scope, form, inputs, job.out, &first);
                let total = self.sum_of(b, scope, constants);
                b.accum(job.out.at(first.clone()), total);
                self.make_finite(b, job.out, &first, form.rows * width);
            }
            What::Gather { term, code, values } => {
                let v = self.s.add_ix("v", lvmc_term::Size::Const(*values));
                let (code, ix) = (self.s.var(*code), self.s.index(v));
                let term = self.s.substitute(*term, &HashMap::from([(code, ix)]));
                let first = at.clone() * *values;
                b.for_(*values, |b, i| {
                    let mut inner = scope.with(&self.s, v, i);
                    let x = self.elem(b, &mut inner, term, &[]);
                    b.store(job.out.at(first.clone() + i), x);
                });
                self.make_finite(b, job.out, &first, *values);
            }
            What::Packed { map, inputs, .. } => {
                let stride = map.n * (map.n + 1) / 2 * (1 + inputs.cols);
                self.packed_job(b, scope, map, inputs, job.out, &(at.clone() * stride));
            }
            What::Weighted { term, over } => {
                let n: usize = over.iter().map(|&i| self.extent(i)).product();
                let first = at.clone() * (1 + n);
                let zero = b.num(0.0);
                b.store(job.out.at(first.clone()), zero);
                let (term, out) = (*term, job.out);
                self.nest(b, over, scope.clone(), Index::default(), &mut |l, b, scope, i| {
                    l.ensure(b, scope, term);
                    let v = l.elem(b, scope, term, &[]);
                    let (low, finite) = (b.num(f64::NEG_INFINITY), b.num(NEVER));
                    let none = b.eq(v, low);
                    let v = b.select(none, finite, v);
                    b.store(out.at(first.clone() + i.clone() + 1usize), v);
                });
            }
            What::Quad(q) => self.quad_job(b, scope, q, job.out, at),
            What::InverseRoot(m) => {
                let n = self.dims_of(*m)[0];
                let l = self.cholesky(b, scope, *m);
                b.kernel(Kernel::TriInverse {
                    l: l.at(0),
                    out: job.out.at(at.clone() * (n * n)),
                    n,
                });
            }
        }
    }

    fn sum_of(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, terms: &[Term]) -> crate::ir::Reg {
        let regs: Vec<_> = terms
            .iter()
            .map(|&t| {
                self.ensure(b, scope, t);
                self.elem(b, scope, t, &[])
            })
            .collect();
        b.sum(regs)
    }

    /// −∞ → [`LOG_ZERO`].
    fn make_finite(&mut self, b: &mut FuncBuilder<'_>, buf: BufId, first: &Index, n: usize) {
        b.for_(n, |b, i| {
            let (low, finite) = (b.num(f64::NEG_INFINITY), b.num(LOG_ZERO));
            let v = b.load(buf.at(first.clone() + i));
            let none = b.eq(v, low);
            let v = b.select(none, finite, v);
            b.store(buf.at(first.clone() + i), v);
        });
    }

    /// G = √(−2 weight) L⁻¹ M and c, packed.
    fn quad_job(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, q: &QuadJob, out: BufId, at: &Index) {
        let (d, p) = (q.form.rows, q.inputs.cols);
        let k = 1 + p;
        let m = b.buffer("form", BufKind::Scratch, d * k);
        self.form_matrix(b, scope, &q.form, &q.inputs, m, &Index::default());
        let g = match q.covariance {
            None => m,
            Some(cov) => {
                let l = self.cholesky(b, scope, cov);
                let li = b.buffer("chol.inverse", BufKind::Scratch, d * d);
                b.kernel(Kernel::TriInverse {
                    l: l.at(0),
                    out: li.at(0),
                    n: d,
                });
                let g = b.buffer("white", BufKind::Scratch, d * k);
                let (a, r) = (li.at(0), m.at(0));
                b.kernel(Kernel::MatMul {
                    a,
                    ta: false,
                    b: r,
                    tb: false,
                    out: g.at(0),
                    m: d,
                    k: d,
                    n: k,
                });
                g
            }
        };
        let len = quad_len(p, d, q.shape);
        let flat = b.buffer("coef", BufKind::Scratch, len);
        let c = self.sum_of(b, scope, &q.constants);
        let (low, finite) = (b.num(f64::NEG_INFINITY), b.num(LOG_ZERO));
        let none = b.eq(c, low);
        let c = b.select(none, finite, c);
        b.store(flat.at(0), c);
        self.ensure(b, scope, q.weight);
        let scalar = self.s.shape(q.weight).is_empty();
        b.for_(d, |b, j| {
            let index: Index = j.into();
            let w = self.elem(
                b,
                scope,
                q.weight,
                if scalar { &[] } else { std::slice::from_ref(&index) },
            );
            let minus_two = b.num(-2.0);
            let w = b.mul(minus_two, w);
            let root = b.sqrt(w);
            let h = b.load(g.at(j * k));
            let h = b.neg(h);
            let h = b.mul(root, h);
            if q.shape == QuadShape::Diagonal {
                let x = b.load(g.at(j * k + j + 1usize));
                let x = b.mul(root, x);
                b.store(flat.at(j * 2 + 1usize), h);
                b.store(flat.at(j * 2 + 2usize), x);
            } else {
                b.store(flat.at(j * k + 1usize), h);
                b.for_(p, |b, i| {
                    let x = b.load(g.at(j * k + i + 1usize));
                    let x = b.mul(root, x);
                    b.store(flat.at(j * k + i + 2usize), x);
                });
            }
        });
        let packed = quad_packed_len(p, d, q.shape);
        b.kernel(Kernel::PackQuad {
            src: flat.at(0),
            dst: out.at(at.clone() * packed),
            inputs: p,
            outputs: d,
            shape: q.shape,
        });
    }
}

/// A linear map of one output from pieces.
pub fn one_row(pieces: Vec<Piece>) -> Form {
    Form {
        parts: vec![(0, 1, pieces)],
        rows: 1,
        scalar: true,
    }
}
