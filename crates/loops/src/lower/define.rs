//! What the posteriors of continuous latents define: tables of `prepare`, and columns of a block before its E-step.

use super::context::{Lower, Scope, each};
use super::jobs::{Job, What};
use super::rowexpr::RowScope;
use crate::builder::{FuncBuilder, ProgramBuilder};
use crate::ir::{BufId, BufKind, Index};
use crate::lowered::{MomentSlot, ScoreSlot};
use lvmc_derive::plan::{Definition, Posterior, Value};
use lvmc_term::{IxId, Node, SymId, Term};

/// How far starting values of a continuous latent spread around their means, relative to the default parameters'.
pub const START_SPREAD: f64 = 1e-5;

impl Lower<'_> {
    /// Buffers of the plan's definitions; the flat ones become the first jobs of `prepare`.
    pub fn add_definitions(&mut self, pb: &mut ProgramBuilder) {
        for d in &self.plan.definitions {
            let sym = self.s.sym(d.sym).clone();
            let len = self.dims(&sym.shape).iter().product::<usize>().max(1);
            if sym.per_row {
                let kind = if d.value == Value::Smoothed {
                    BufKind::Out
                } else {
                    BufKind::Temp
                };
                let buf = pb.buffer(&sym.name, kind, len);
                self.temps.insert(d.sym, buf);
                self.defined.insert(d.sym);
                continue;
            }
            let out = pb.buffer(&sym.name, BufKind::Table, len);
            self.flat.insert(d.sym, out);
            let what = match d.value {
                Value::Term(t) => What::Term(t),
                Value::InverseRoot(t) => What::InverseRoot(t),
                Value::Smoothed => continue,
            };
            let ixs = d.ranges.clone();
            self.jobs.push(Job { ixs, out, what });
        }
    }

    /// Where starting values of the Gaussian latents' means are stored.
    pub fn score_slots(&mut self, pb: &mut ProgramBuilder) -> Vec<ScoreSlot> {
        let mut slots = vec![];
        for p in &self.plan.posteriors {
            let Some(d) = self.plan.definitions.iter().find(|d| d.atom == p.mean) else {
                continue;
            };
            // missing cells are no factor to start from
            if !self.defined.contains(&d.sym) || self.plan.gaps.iter().any(|g| g.sym == p.sym) {
                continue;
            }
            // where nothing but the start says which way a chain's latents point
            let loadings = self.plan.gaussian_chain.as_ref().is_some_and(|g| g.loadings);
            if d.value == Value::Smoothed && !loadings {
                continue;
            }
            let name = self.s.sym(p.sym).name.clone();
            let cols = self.len_of(d.atom).max(1);
            let buf = pb.buffer(&format!("{name}.start"), BufKind::Out, cols);
            slots.push(ScoreSlot {
                sym: p.sym,
                name,
                buf,
                cols,
            });
        }
        slots
    }

    /// The columns of a block that the definitions of a row are. Means that `stored` holds are read there instead.
    pub fn define_rows(&mut self, b: &mut FuncBuilder<'_>, stored: &[ScoreSlot]) {
        for d in self.plan.definitions.clone() {
            let Some(&out) = self.temps.get(&d.sym) else { continue };
            let t = match d.value {
                Value::Term(t) => t,
                Value::Smoothed => continue,
                Value::InverseRoot(t) => {
                    self.define_root(b, &d, t, out);
                    self.narrow(b, &d, out, stored);
                    continue;
                }
            };
            let of = self.plan.posteriors.iter().find(|p| p.mean == d.atom).map(|p| p.sym);
            let start = stored.iter().find(|s| Some(s.sym) == of).map(|s| s.buf);
            self.define_row(b, &d, t, out, start);
            self.narrow(b, &d, out, stored);
        }
    }

    /// Means that are given count as nearly known.
    fn narrow(&mut self, b: &mut FuncBuilder<'_>, d: &Definition, out: BufId, stored: &[ScoreSlot]) {
        if !d.spread || stored.is_empty() {
            return;
        }
        let cols = self
            .dims(&self.s.sym(d.sym).shape.clone())
            .iter()
            .product::<usize>()
            .max(1);
        b.for_(cols, |b, i| {
            b.rows(|b| {
                let (v, by) = (b.load_row(out.col(i)), b.num(START_SPREAD));
                let v = b.mul(v, by);
                b.store_row(out.col(i), v);
            });
        });
    }

    fn define_row(&mut self, b: &mut FuncBuilder<'_>, d: &Definition, t: Term, out: BufId, start: Option<BufId>) {
        let dims = self.dims_of(d.atom);
        let stride = dims.iter().product::<usize>().max(1);
        let t = self.as_linear(t);
        self.nest(
            b,
            &d.ranges,
            Scope::default(),
            Index::default(),
            &mut |l, b, scope, at| {
                let mut rows = RowScope {
                    flat: scope.clone(),
                    ..RowScope::default()
                };
                if start.is_none() {
                    l.ensure_row(b, &mut rows, t);
                }
                each(b, &dims.clone(), &mut |b, i| {
                    let col = Index::row_major(i, &dims);
                    b.rows(|b| {
                        let v = match start {
                            Some(buf) => b.load_row(buf.col(col.clone())),
                            None => l.row_elem(b, &mut rows, t, i),
                        };
                        b.store_row(out.col(at.clone() * stride + col), v);
                    });
                });
            },
        );
    }

    /// Where moments are written: of the continuous latents, and of variables with missing cells.
    pub fn moment_slots(&mut self, pb: &mut ProgramBuilder, posteriors: &[Posterior]) -> Vec<MomentSlot> {
        let mut slots = vec![];
        for p in posteriors {
            let name = self.s.sym(p.sym).name.clone();
            let cols = self.len_of(p.mean).max(1);
            slots.push(MomentSlot {
                sym: p.sym,
                mean: pb.buffer(&format!("{name}.mean"), BufKind::Out, cols),
                square: pb.buffer(&format!("{name}.square"), BufKind::Out, cols),
                name,
                cols,
            });
        }
        slots
    }

    /// E[z] and E[z²] of every continuous latent, over the finite variables too.
    pub fn write_moments(&mut self, b: &mut FuncBuilder<'_>, posteriors: &[Posterior], slots: &[MomentSlot]) {
        for (p, slot) in posteriors.iter().zip(slots) {
            for (t, out) in [(p.mean, slot.mean), (p.square, slot.square)] {
                let whole = self.over_finite(t);
                let mut scope = RowScope::default();
                self.copy_row(b, &mut scope, whole, out);
            }
        }
    }

    /// Σ_k r_k t_k.
    fn over_finite(&mut self, t: Term) -> Term {
        let free = self.s.free_indices(t);
        let on: Vec<(SymId, IxId)> = self
            .plan
            .finite
            .iter()
            .filter(|f| free.contains(&f.ix))
            .map(|f| (f.sym, f.ix))
            .collect();
        if on.is_empty() {
            return t;
        }
        let values: Vec<(SymId, Term)> = on.iter().map(|&(x, i)| (x, self.s.index(i))).collect();
        let weight = self.s.resp(&values);
        let body = self.s.mul(weight, t);
        on.iter().rev().fold(body, |t, &(_, i)| self.s.ix_sum(i, t))
    }

    /// The term multiplied out, where that makes it a linear form: one kernel for all of it.
    pub fn as_linear(&mut self, t: Term) -> Term {
        let whole = self.s.expand(t);
        if self.linear_form(whole).is_some() { whole } else { t }
    }

    /// Where a defined symbol, or an element of one, lies.
    pub fn defined_place(&self, t: Term) -> Option<Place> {
        let (x, picked) = self.s.as_symbol(t)?;
        if !self.defined.contains(&x) {
            return None;
        }
        let buf = *self.temps.get(&x)?;
        let dims = self.dims(&self.s.sym(x).shape.clone());
        let (mut first, mut by) = (0, vec![]);
        if let Node::At(_, at) = self.s.node(t) {
            for (axis, &i) in at.iter().enumerate() {
                let stride = dims[axis + 1..].iter().product::<usize>();
                match *self.s.node(i) {
                    Node::Ix(ix) if self.pool == Some(ix) => by.push((ix, stride)),
                    Node::Ix(_) => by.push((self.range_of(x, axis)?, stride)),
                    _ => first += stride * (self.s.as_num(i)? as usize),
                }
            }
        } else if picked < self.s.sym(x).family {
            return None;
        }
        Some(Place { buf, first, by })
    }

    /// The finite variable's index on an axis of a definition.
    fn range_of(&self, x: SymId, axis: usize) -> Option<IxId> {
        let d = self.plan.definitions.iter().find(|d| d.sym == x)?;
        d.ranges.get(axis).copied()
    }

    /// The same element of a defined symbol, at its own indices: a statistic is read at those of its update's targets.
    pub fn canonical(&mut self, t: Term) -> Term {
        match self.defined_place(t) {
            Some(p) if !p.by.is_empty() => {
                let x = self.s.as_symbol(t).map(|x| x.0);
                let own = self.plan.definitions.iter().find(|d| Some(d.sym) == x);
                let Some(ranges) = own.map(|d| d.ranges.clone()) else {
                    return t;
                };
                let Node::At(base, at) = self.s.node(t).clone() else {
                    return t;
                };
                let mut at: Vec<Term> = at.to_vec();
                for (axis, &i) in ranges.iter().enumerate() {
                    if let Some(place) = at.get_mut(axis)
                        && matches!(self.s.node(*place), Node::Ix(_))
                    {
                        *place = self.s.index(i);
                    }
                }
                self.s.at(base, &at)
            }
            _ => t,
        }
    }
}

/// Columns of a defined symbol.
#[derive(Debug, Clone)]
pub struct Place {
    /// The buffer.
    pub buf: BufId,
    /// First column.
    pub first: usize,
    /// Indices that move it, with the columns from one value to the next.
    pub by: Vec<(IxId, usize)>,
}
