//! Updates to `Once` code: closed forms, normal equations, Newton's method on statistics.

use super::context::{Lower, Scope, each};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Flat, Index, Kernel, Rows};
use lvmc_derive::plan::{Solution, Update};
use lvmc_term::{Node, Size, Support, SymId, Term};

/// Newton's method on statistics: most steps, and halvings of one step.
const NEWTON_STEPS: usize = 200;
const NEWTON_HALVINGS: usize = 30;

impl Lower<'_> {
    /// The symbol and position of a target.
    pub fn target(&mut self, scope: &mut Scope, b: &mut FuncBuilder<'_>, t: Term) -> (SymId, Index, usize) {
        let len = self.len_of(t).max(1);
        match self.s.node(t).clone() {
            Node::At(base, at) => {
                let dims = self.dims_of(base);
                let index: Vec<Index> = at
                    .iter()
                    .zip(&dims)
                    .map(|(&i, &n)| self.as_index(b, scope, i, n))
                    .collect();
                let first = Index::row_major(&index, &dims[..index.len()]) * len;
                (self.s.as_symbol(base).map_or(SymId(0), |x| x.0), first, len)
            }
            _ => (self.s.as_symbol(t).map_or(SymId(0), |x| x.0), Index::default(), len),
        }
    }

    /// One update, for all values of its target indices.
    pub fn write_update(&mut self, b: &mut FuncBuilder<'_>, u: &Update) {
        if u.solution.is_step() {
            return;
        }
        // computed for every target first: one element's value may not see another's
        let n: usize = u.ranges.iter().map(|&i| self.extent(i)).product();
        let outs: Vec<(Term, BufId, usize)> = u
            .targets
            .iter()
            .map(|&t| {
                let len = self.len_of(t).max(1);
                (t, b.buffer("new", BufKind::Scratch, n * len), len)
            })
            .collect();
        let ranges = u.ranges.clone();
        self.nest(
            b,
            &ranges,
            Scope::default(),
            Index::default(),
            &mut |l, b, scope, at| match &u.solution {
                Solution::Explicit(values) => {
                    for (&value, (_, out, len)) in values.iter().zip(&outs) {
                        l.ensure(b, scope, value);
                        let dims = l.dims_of(value);
                        each(b, &dims.clone(), &mut |b, i| {
                            let v = l.elem(b, scope, value, i);
                            b.store(out.at(at.clone() * *len + Index::row_major(i, &dims)), v);
                        });
                    }
                }
                Solution::Linear { h, g, widths } => l.linear(b, scope, (*h, *g), widths, &outs, at),
                Solution::Newton { parts } => l.newton(b, scope, u, parts, &outs, at),
                Solution::Ascent { .. } | Solution::Gradient { .. } => {}
            },
        );
        self.nest(
            b,
            &ranges,
            Scope::default(),
            Index::default(),
            &mut |l, b, scope, at| {
                for (i, (t, out, len)) in outs.iter().enumerate() {
                    let floor = match &u.solution {
                        Solution::Explicit(values) => l.variance_floor(*t, values[i]),
                        _ => None,
                    };
                    l.commit(b, scope, *t, (*out, *len), at, floor);
                }
            },
        );
    }

    /// The data variances below a share of which a variance (or standard deviation) may not fall: those of the data in
    /// the residuals whose squares it averages. `true`: it is a standard deviation.
    fn variance_floor(&mut self, t: Term, value: Term) -> Option<(BufId, usize, bool)> {
        let support = self.s.as_symbol(t).map(|x| self.s.sym(x.0).support.clone())?;
        if support != Support::Positive {
            return None;
        }
        let root = matches!(*self.s.node(value), Node::Pow(_, e) if self.s.as_num(e) == Some(0.5));
        let sums: Vec<Term> = self.s.subterms(value);
        let features: Vec<Term> = sums
            .iter()
            .filter_map(|x| match &self.stats.uses.get(x)?.body {
                super::stats::Body::Bilinear(form, _, _) => Some(form.features()),
                super::stats::Body::Masked(m) => match &*m.body {
                    super::stats::Body::Bilinear(form, _, _) => Some(form.features()),
                    _ => None,
                },
                _ => None,
            })
            .flatten()
            .collect();
        let column = features.into_iter().find_map(|f| {
            let (x, _) = self.s.as_symbol(f)?;
            (self.s.sym(x).kind == lvmc_term::SymKind::Data).then(|| self.columns.get(&x).copied())?
        })?;
        Some((column.scale?, column.cols, root))
    }

    /// Floors, and the new value in place of the old.
    fn commit(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        t: Term,
        (out, len): (BufId, usize),
        at: &Index,
        floor: Option<(BufId, usize, bool)>,
    ) {
        let (sym, first, _) = self.target(scope, b, t);
        let Some(&param) = self.flat.get(&sym) else { return };
        let support = self.s.sym(sym).support.clone();
        let dims = self.dims_of(t);
        let (floors, failures) = (self.fixed.floors, self.fixed.failures);
        // an empty component has no update (0/0): all of it stays as it was
        let state = b.buffer("finite", BufKind::Scratch, 1);
        let one = b.num(1.0);
        b.store(state.at(0), one);
        b.for_(len, |b, i| {
            let (v, top) = (b.load(out.at(at.clone() * len + i)), b.num(f64::MAX));
            let size = b.abs(v);
            let finite = b.le(size, top);
            let (all, one) = (b.load(state.at(0)), b.num(1.0));
            let all = b.mul(all, finite);
            b.store(state.at(0), all);
            let bad = b.sub(one, finite);
            b.accum(failures.at(0), bad);
        });
        b.for_(len, |b, i| {
            let mut v = b.load(out.at(at.clone() * len + i));
            let (old, good) = (b.load(param.at(first.clone() + i)), b.load(state.at(0)));
            v = b.select(good, v, old);
            if matches!(support, Support::Unit | Support::Simplex) {
                let (zero, one) = (b.num(0.0), b.num(1.0));
                v = b.max(v, zero);
                v = b.min(v, one);
            }
            if let Some((scale, cols, root)) = floor {
                let low = floor_of(b, scale, cols, len, i.into(), root);
                let active = b.lt(v, low);
                b.accum(floors.at(0), active);
                v = b.max(v, low);
            }
            b.store(param.at(first.clone() + i), v);
        });
        if support == Support::Cov && dims.len() == 2 {
            self.floor_covariance(b, param.at(first), dims[0]);
        }
    }

    /// Σ ⪰ relative · diag(variances of the data it describes).
    fn floor_covariance(&mut self, b: &mut FuncBuilder<'_>, a: Flat, n: usize) {
        let Some(scale) = self.floor_scale(n) else { return };
        let kernel = Kernel::FloorCov {
            a,
            scale: scale.at(0),
            n,
            relative: super::RELATIVE_FLOOR,
            flag: self.fixed.floors.at(0),
        };
        b.kernel(kernel);
    }

    /// The data variances that a covariance of that size is floored by.
    pub fn floor_scale(&self, n: usize) -> Option<BufId> {
        let mut found: Vec<(SymId, BufId)> = self
            .columns
            .iter()
            .filter(|(x, c)| {
                c.cols == n
                    && self.s.sym(**x).support == Support::Real
                    && self.s.sym(**x).kind == lvmc_term::SymKind::Data
            })
            .filter_map(|(x, c)| Some((*x, c.scale?)))
            .collect();
        found.sort_by_key(|f| f.0);
        found.first().map(|f| f.1)
    }

    /// β = H⁻¹ g, shared out to the targets.
    fn linear(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        (h, g): (Term, Term),
        widths: &[Size],
        outs: &[(Term, BufId, usize)],
        at: &Index,
    ) {
        let (left, right) = (self.make(b, scope, h), self.make(b, scope, g));
        let n = self.dims_of(h)[0];
        let m = self.dims_of(g).get(1).copied().unwrap_or(1);
        let beta = b.buffer("beta", BufKind::Scratch, n * m);
        let flag = b.buffer("left.out", BufKind::Scratch, 1);
        b.kernel(Kernel::SpdSolve {
            a: left.at(0),
            b: right.at(0),
            out: beta.at(0),
            n,
            m,
            flag: flag.at(0),
        });
        let mut first = 0;
        for ((t, out, len), width) in outs.iter().zip(widths) {
            let w = self.size(width);
            let matrix = self.dims_of(*t).len() == 2;
            let len = *len;
            if matrix {
                // a target W [m, w] is Wᵀ in β
                each(b, &[m, w], &mut |b, ij| {
                    let v = b.load(beta.at((ij[1].clone() + first) * m + ij[0].clone()));
                    b.store(out.at(at.clone() * len + ij[0].clone() * w + ij[1].clone()), v);
                });
            } else {
                b.for_(len, |b, i| {
                    let v = b.load(beta.at(Index::from(i) + first * m));
                    b.store(out.at(at.clone() * len + i), v);
                });
            }
            first += w;
        }
    }

    /// Damped Newton steps on f = Σ C g(θ), element by element, in log θ (positive), logit θ (unit) or θ.
    fn newton(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        u: &Update,
        parts: &[(Term, Term)],
        outs: &[(Term, BufId, usize)],
        at: &Index,
    ) {
        for &(c, _) in parts {
            self.ensure(b, scope, c);
        }
        let shape = self.s.shape(u.targets[0]).clone();
        let dims = self.dims(&shape);
        each(b, &dims.clone(), &mut |b, element| {
            let problem = super::newton::Problem::new(self, u, parts, element.to_vec());
            let starts: Vec<Flat> = u
                .targets
                .iter()
                .map(|&t| {
                    let (sym, first, _) = self.target(scope, b, t);
                    let param = self.flat[&sym];
                    param.at(first + Index::row_major(element, &dims))
                })
                .collect();
            let found = problem.write(self, b, scope, &starts, NEWTON_STEPS, NEWTON_HALVINGS);
            for ((_, out, len), value) in outs.iter().zip(found) {
                let v = b.load(value);
                b.store(out.at(at.clone() * *len + Index::row_major(element, &dims)), v);
            }
        });
    }

    /// One column of weights for a set's configuration, or the row weight, or none.
    pub fn weight_column(&self, table: Option<BufId>, config: Index) -> Option<Rows> {
        match table {
            Some(t) => Some(t.col(config)),
            None if self.masked => Some(self.fixed.weight.col(0)),
            None => None,
        }
    }
}

/// RELATIVE_FLOOR · the variance of column i, or of the columns' mean where one variance serves them all.
fn floor_of(b: &mut FuncBuilder<'_>, scale: BufId, cols: usize, len: usize, i: Index, root: bool) -> crate::ir::Reg {
    let relative = b.num(super::RELATIVE_FLOOR);
    let variance = if cols == len {
        b.load(scale.at(i))
    } else {
        let parts: Vec<_> = (0..cols.min(64)).map(|j| b.load(scale.at(j))).collect();
        let (sum, n) = (b.sum(parts.iter().copied()), b.num(parts.len() as f64));
        b.div(sum, n)
    };
    let floor = b.mul(relative, variance);
    if root { b.sqrt(floor) } else { floor }
}
