//! Linear forms: a row term as (flat matrix) · (1, features).
//!
//! Residuals and predictors are of this kind, and so all Gaussian statistics reduce to second moments of features:
//! E[e₁ e₂ᵀ] = M₁ T M₂ᵀ with T the moments of a = (1, features) and e = M a. Stored features are centred; the matrix
//! absorbs the centres in its constant column, so that M and T stay of moderate size.

use super::context::{Feature, Lower, Scope, each};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index};
use lvmc_term::{IxId, Node, Term};
use std::collections::HashMap;

/// One summand of a linear form.
#[derive(Debug, Clone)]
pub enum Piece {
    /// A flat term, of the form's shape or a scalar.
    Constant(Term),
    /// c ⊙ f: c flat (a scalar or of the form's shape), f a feature (of the form's shape or a scalar).
    Scale(Term, Term),
    /// wᵀ f for a scalar form.
    Dot(Term, Term),
    /// m f for a vector form.
    MatVec(Term, Term),
}

/// A linear form of `rows` outputs, laid end to end from parts (one part but for stacks).
#[derive(Debug, Clone)]
pub struct Form {
    /// (first output, number of outputs, pieces).
    pub parts: Vec<(usize, usize, Vec<Piece>)>,
    /// Number of outputs (1 for a scalar).
    pub rows: usize,
    /// It is a scalar, not a vector of one.
    pub scalar: bool,
}

impl Form {
    /// The features it reads, each once.
    #[must_use]
    pub fn features(&self) -> Vec<Term> {
        let mut found = vec![];
        for (_, _, pieces) in &self.parts {
            for p in pieces {
                if let Piece::Scale(_, f) | Piece::Dot(_, f) | Piece::MatVec(_, f) = p
                    && !found.contains(f)
                {
                    found.push(*f);
                }
            }
        }
        found
    }

    /// What it makes of one feature, with or without its constants.
    #[must_use]
    pub fn of_feature(&self, feature: Term, constants: bool) -> Self {
        let mine = |p: &Piece| match p {
            Piece::Constant(_) => constants,
            Piece::Scale(_, f) | Piece::Dot(_, f) | Piece::MatVec(_, f) => *f == feature,
        };
        let part = |(first, n, pieces): &(usize, usize, Vec<Piece>)| {
            (*first, *n, pieces.iter().filter(|p| mine(p)).cloned().collect())
        };
        Self {
            parts: self.parts.iter().map(part).collect(),
            ..*self
        }
    }
}

impl Lower<'_> {
    /// A row term (scalar or vector) as a linear form, where it is one.
    pub fn linear_form(&mut self, e: Term) -> Option<Form> {
        let dims = self.dims_of(e);
        if dims.len() > 1 {
            return None;
        }
        let rows = dims.first().copied().unwrap_or(1);
        if let Node::Stack { rows: false, parts } = self.s.node(e).clone() {
            let (mut out, mut first) = (vec![], 0);
            for p in parts {
                let n = self.len_of(p).max(1);
                out.push((first, n, self.pieces(p)?));
                first += n;
            }
            return Some(Form {
                parts: out,
                rows,
                scalar: false,
            });
        }
        let pieces = self.pieces(e)?;
        Some(Form {
            parts: vec![(0, rows, pieces)],
            rows,
            scalar: dims.is_empty(),
        })
    }

    fn pieces(&mut self, e: Term) -> Option<Vec<Piece>> {
        let e = if let Node::Hold(inner) = *self.s.node(e) {
            inner
        } else {
            e
        };
        let mut out = vec![];
        let shape = self.s.shape(e).clone();
        let terms = lvmc_derive::flatten::flatten(&mut self.s, e);
        for t in terms {
            if self.is_flat(t) {
                out.push(Piece::Constant(t));
                continue;
            }
            let (data, flat): (Vec<Term>, Vec<Term>) = self.s.factors(t).into_iter().partition(|&f| self.s.per_row(f));
            let c = self.s.product_of(&flat);
            let f = self.s.product_of(&data);
            if let Some((o, _, centre)) = self.masked_value(f) {
                // o ⊙ x = o ⊙ (x − centre) + centre ⊙ o
                let shift = self.s.mul(c, centre);
                out.push(Piece::Scale(c, f));
                out.push(Piece::Scale(shift, o));
                continue;
            }
            if self.is_feature(f) {
                let f = match *self.s.node(f) {
                    // a repeated scalar is the scalar, with a vector of coefficients
                    Node::Fill(inner, _) => inner,
                    _ => f,
                };
                let c = if self.s.shape(f).is_empty() && !shape.is_empty() && self.s.shape(c).is_empty() {
                    self.s.fill(c, shape.clone())
                } else {
                    c
                };
                let f = self.canonical(f);
                out.push(Piece::Scale(c, f));
                continue;
            }
            let [one] = data[..] else { return None };
            out.extend(self.product_piece(one, c)?);
        }
        Some(out)
    }

    /// c · wᵀf and c · m f.
    fn product_piece(&mut self, t: Term, c: Term) -> Option<Vec<Piece>> {
        match *self.s.node(t) {
            Node::Dot(a, b) => {
                let (w, f) = if self.is_flat(a) { (a, b) } else { (b, a) };
                if !self.is_flat(w) || !self.s.shape(c).is_empty() {
                    return None;
                }
                let w = self.s.mul(c, w);
                self.dot_pieces(w, f)
            }
            Node::MatVec(m, f) if self.is_flat(m) && self.s.shape(c).is_empty() => {
                let (fixed, f) = self.without_flat(f);
                let m = self.s.mul(c, m);
                if self.s.shape(f).is_empty() && !self.s.shape(fixed).is_empty() {
                    // M (v x) = (M v) x
                    let slope = self.s.matvec(m, fixed);
                    let f = self.canonical(f);
                    return self.is_feature(f).then(|| vec![Piece::Scale(slope, f)]);
                }
                let m = self.scaled_columns(m, fixed);
                if let Some((o, _, centre)) = self.masked_value(f) {
                    let shifted = self.scaled_columns(m, centre);
                    return Some(vec![Piece::MatVec(m, f), Piece::MatVec(shifted, o)]);
                }
                if !self.is_feature(f) {
                    return None;
                }
                let f = self.canonical(f);
                Some(vec![Piece::MatVec(m, f)])
            }
            // c · Total(w ⊙ f)
            Node::Total(u) if self.s.shape(c).is_empty() && self.s.shape(u).len() == 1 => {
                let shape = self.s.shape(u).clone();
                let w = self.s.fill(c, shape);
                self.dot_pieces(w, u)
            }
            Node::Fill(inner, _) => {
                let shape = self.s.shape(t).clone();
                match self.pieces(inner)?.pop()? {
                    Piece::Scale(d, f) => {
                        let cd = self.s.mul(c, d);
                        let cd = if self.s.shape(cd).is_empty() {
                            self.s.fill(cd, shape)
                        } else {
                            cd
                        };
                        Some(vec![Piece::Scale(cd, f)])
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// wᵀ f for a flat vector w and f a feature times flat vectors.
    fn dot_pieces(&mut self, w: Term, f: Term) -> Option<Vec<Piece>> {
        let shape = self.s.shape(w).clone();
        let (fixed, f) = self.without_flat(f);
        let w = self.s.mul(w, fixed);
        let w = self.s.refill(w, shape.clone());
        if let Some((o, _, centre)) = self.masked_value(f) {
            let shift = self.s.mul(w, centre);
            return Some(vec![Piece::Dot(w, f), Piece::Dot(shift, o)]);
        }
        if !self.is_feature(f) || *self.s.shape(f) != shape {
            return None;
        }
        let f = self.canonical(f);
        Some(vec![Piece::Dot(w, f)])
    }

    /// The flat factors of a product, and the rest of it.
    fn without_flat(&mut self, f: Term) -> (Term, Term) {
        let (data, flat): (Vec<Term>, Vec<Term>) = self.s.factors(f).into_iter().partition(|&x| self.s.per_row(x));
        (self.s.product_of(&flat), self.s.product_of(&data))
    }

    /// m diag(w), for a vector or scalar w.
    fn scaled_columns(&mut self, m: Term, w: Term) -> Term {
        if self.s.shape(w).is_empty() {
            return self.s.mul(m, w);
        }
        let (one, rows) = (self.s.num(1.0), self.s.shape(m)[0].clone());
        let ones = self.s.fill(one, vec![rows]);
        let columns = self.s.outer(ones, w);
        self.s.mul(m, columns)
    }

    /// True where output i reads feature element i alone (and a constant): the form of a diagonal model.
    pub fn is_diagonal(&self, form: &Form) -> bool {
        let [(_, rows, pieces)] = &form.parts[..] else {
            return false;
        };
        let mut vectors = 0;
        pieces.iter().all(|p| match p {
            Piece::Constant(_) => true,
            Piece::Scale(_, f) => {
                vectors += 1;
                vectors == 1 && self.len_of(*f).max(1) == *rows
            }
            _ => false,
        }) && vectors == 1
    }

    /// M of e = M (1, x₁, …): `[rows][1 + inputs]`, written into `out` from `first`, for inputs laid out as `inputs`.
    pub fn form_matrix(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        form: &Form,
        inputs: &Inputs,
        out: BufId,
        first: &Index,
    ) {
        let width = 1 + inputs.cols;
        let zero = b.num(0.0);
        b.for_(form.rows * width, |b, i| {
            b.store(out.at(Index::from(i) + first.clone()), zero)
        });
        for (row0, rows, pieces) in &form.parts {
            for piece in pieces {
                self.place_piece(b, scope, piece, (*row0, *rows), inputs, out, first);
            }
        }
    }

    fn place_piece(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        piece: &Piece,
        (row0, rows): (usize, usize),
        inputs: &Inputs,
        out: BufId,
        first: &Index,
    ) {
        let width = 1 + inputs.cols;
        let at = |row: Index, col: Index| out.at((row + row0) * width + col + first.clone());
        let (flat, feature) = match piece {
            Piece::Constant(c) => (*c, None),
            Piece::Scale(c, f) | Piece::Dot(c, f) | Piece::MatVec(c, f) => (*c, inputs.place(*f)),
        };
        self.ensure(b, scope, flat);
        let scalar = self.s.shape(flat).is_empty();
        match piece {
            Piece::Constant(_) => b.for_(rows, |b, i| {
                let index: Index = i.into();
                let v = self.elem(b, scope, flat, if scalar { &[] } else { std::slice::from_ref(&index) });
                b.accum(at(index, 0usize.into()), v);
            }),
            Piece::Scale(_, f) => {
                let Some((col, centre)) = feature else { return };
                let vector = self.len_of(*f).max(1) == rows && !self.s.shape(*f).is_empty();
                b.for_(rows, |b, i| {
                    let index: Index = i.into();
                    let v = self.elem(b, scope, flat, if scalar { &[] } else { std::slice::from_ref(&index) });
                    let j: Index = if vector { index.clone() } else { Index::default() };
                    b.accum(at(index.clone(), j.clone() + 1 + col), v);
                    add_centre(b, centre, &j, v, at(index, 0usize.into()));
                });
            }
            Piece::Dot(_, f) => {
                let Some((col, centre)) = feature else { return };
                let n = self.len_of(*f);
                b.for_(n, |b, j| {
                    let j: Index = j.into();
                    let v = self.elem(b, scope, flat, std::slice::from_ref(&j));
                    b.accum(at(0usize.into(), j.clone() + 1 + col), v);
                    add_centre(b, centre, &j, v, at(0usize.into(), 0usize.into()));
                });
            }
            Piece::MatVec(_, f) => {
                let Some((col, centre)) = feature else { return };
                let n = self.len_of(*f);
                each(b, &[rows, n], &mut |b, ij| {
                    let v = self.elem(b, scope, flat, ij);
                    b.accum(at(ij[0].clone(), ij[1].clone() + 1 + col), v);
                    add_centre(b, centre, &ij[1], v, at(ij[0].clone(), 0usize.into()));
                });
            }
        }
    }
}

/// Stored = value − centre: the coefficient's share of the constant column.
fn add_centre(
    b: &mut FuncBuilder<'_>,
    centre: Option<(BufId, usize)>,
    j: &Index,
    v: crate::ir::Reg,
    constant: crate::ir::Flat,
) {
    if let Some((buf, first)) = centre {
        let c = b.load(buf.at(j.clone() + first));
        let share = b.mul(v, c);
        b.accum(constant, share);
    }
}

/// Features side by side: the inputs of a kernel.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// In order, with the first column of each.
    pub features: Vec<(Feature, usize)>,
    /// Columns in all.
    pub cols: usize,
}

impl Inputs {
    /// Features in that order.
    #[must_use]
    pub fn new(features: Vec<Feature>) -> Self {
        let mut cols = 0;
        let features = features
            .into_iter()
            .map(|f| {
                let at = cols;
                cols += f.cols;
                (f, at)
            })
            .collect();
        Self { features, cols }
    }

    /// First column and centres of a feature.
    #[must_use]
    pub fn place(&self, t: Term) -> Option<(usize, Option<(BufId, usize)>)> {
        self.features
            .iter()
            .find(|(f, _)| f.term == t)
            .map(|(f, at)| (*at, f.centre))
    }

    /// True where some feature's columns depend on the configuration of finite variables.
    #[must_use]
    pub fn differ(&self) -> bool {
        self.features.iter().any(|(f, _)| !f.by.is_empty())
    }

    /// The inputs of one configuration as adjacent columns, copied.
    pub fn adjacent_at(&self, b: &mut FuncBuilder<'_>, env: &HashMap<IxId, Index>) -> crate::ir::Rows {
        let buf = b.buffer("inputs", BufKind::Temp, self.cols.max(1));
        for (f, at) in &self.features {
            let mut first = Index::constant(f.first);
            for (ix, stride) in &f.by {
                first = first + env.get(ix).cloned().unwrap_or_default() * *stride;
            }
            b.for_(f.cols, |b, j| {
                b.rows(|b| {
                    let v = b.load_row(f.buf.col(first.clone() + j));
                    b.store_row(buf.col(Index::from(j) + *at), v);
                });
            });
        }
        buf.col(0)
    }

    /// One buffer holds the inputs in order.
    #[must_use]
    pub fn in_place(&self) -> bool {
        let first = |f0: &Feature| {
            let mut all = self.features.iter();
            all.all(|(f, at)| f.buf == f0.buf && f.first == f0.first + at)
        };
        self.features.first().is_some_and(|(f0, _)| first(f0))
    }

    /// The column of input `at` of one configuration, where it lies.
    #[must_use]
    pub fn column(&self, at: usize, env: &HashMap<IxId, Index>) -> Option<crate::ir::Rows> {
        let found = |(f, first): &&(Feature, usize)| (*first..first + f.cols).contains(&at);
        let (f, first) = self.features.iter().find(found)?;
        let mut column = Index::constant(f.first + at - first);
        for (ix, stride) in &f.by {
            column = column + env.get(ix).cloned().unwrap_or_default() * *stride;
        }
        Some(f.buf.col(column))
    }

    /// The inputs as adjacent columns: where they lie, if one buffer holds them in order, otherwise copied.
    pub fn adjacent(&self, b: &mut FuncBuilder<'_>) -> crate::ir::Rows {
        let Some((f0, _)) = self.features.first() else {
            let buf = b.buffer("inputs", BufKind::Temp, 1);
            return buf.col(0);
        };
        if self.in_place() {
            return f0.buf.col(f0.first);
        }
        let columns: Vec<_> = self.features.iter().map(|(f, _)| (f.buf, f.first, f.cols)).collect();
        b.stack(&columns).col(0)
    }
}
