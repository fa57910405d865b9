//! Updates to `Once` code: closed forms, normal equations, Newton's method on statistics, Newton steps of predictors.

use super::context::{Lower, Scope, each};
use super::form::Inputs;
use super::rowexpr::RowScope;
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Flat, Index, Kernel, Rows};
use lvmc_derive::plan::{Solution, Update};
use lvmc_term::{Node, Size, Support, SymId, Term};

/// Newton's method on statistics: most steps, and halvings of one step.
const NEWTON_STEPS: usize = 200;
const NEWTON_HALVINGS: usize = 30;
/// A predictor's Newton step moves no coefficient by more than this many times 1 + its size: where the curvature
/// vanishes (a count's rate near 0) the full step would overflow.
const LONGEST_MOVE: f64 = 5.0;

/// Where the sweep leaves an ascent block's gradient and curvature, and where its step goes.
#[derive(Debug, Clone)]
pub struct AscentCode {
    /// The update.
    pub update: Update,
    /// Features of the designs.
    pub inputs: Inputs,
    /// Elements of the predictor (1 for a scalar).
    pub elements: usize,
    /// Σ score · (1, x): `[targets' configs][elements][1 + p]`.
    pub gradient: BufId,
    /// Σ curvature · (1, x)(1, x)ᵀ: `[configs][elements][elements]` blocks.
    pub curvature: BufId,
    /// Raw accumulators of the two.
    pub raw: (BufId, BufId),
    /// The gradient's sum when `update` last ran.
    pub signature: BufId,
    /// Values before the step, and the step, per target.
    pub old: Vec<(SymId, BufId, BufId)>,
}

impl Lower<'_> {
    /// The symbol and position of a target.
    fn target(&mut self, scope: &mut Scope, b: &mut FuncBuilder<'_>, t: Term) -> (SymId, Index, usize) {
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
        if matches!(u.solution, Solution::Ascent { .. }) {
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
                Solution::Ascent { .. } => {}
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

    /// Buffers of an ascent block.
    pub fn plan_ascent(&mut self, b: &mut FuncBuilder<'_>, u: &Update) -> Option<AscentCode> {
        let Solution::Ascent { predictor, designs, .. } = &u.solution else {
            return None;
        };
        let elements = self.len_of(*predictor).max(1);
        let phi = self.s.stack(&designs.clone());
        let form = self.linear_form(phi)?;
        let features = form.features().into_iter().map(|f| self.feature(b, f)).collect();
        let inputs = Inputs::new(features);
        let (k, n): (usize, usize) = (1 + inputs.cols, u.ranges.iter().map(|&i| self.extent(i)).product());
        let raw_g = crate::lens::moments_len(inputs.cols, 1) * n * elements;
        let raw_h = crate::lens::syrk_len(inputs.cols, false) * n * elements * elements;
        let syms: Vec<SymId> = u
            .targets
            .iter()
            .filter_map(|&t| self.s.as_symbol(t).map(|x| x.0))
            .collect();
        let mut old = vec![];
        for x in syms {
            let var = self.s.var(x);
            let len = self.len_of(var).max(1);
            old.push((
                x,
                b.buffer("before", BufKind::Table, len),
                b.buffer("step", BufKind::Table, len),
            ));
        }
        Some(AscentCode {
            update: u.clone(),
            signature: b.buffer("signature", BufKind::Table, 1),
            inputs,
            elements,
            gradient: b.buffer("gradient", BufKind::Stat, n * elements * k),
            curvature: b.buffer("curvature", BufKind::Stat, n * elements * elements * k * k),
            raw: (
                b.buffer("acc.gradient", BufKind::Acc, raw_g),
                b.buffer("acc.curvature", BufKind::Acc, raw_h),
            ),
            old,
        })
    }

    /// The sweep's part: Σ score (1, x) and Σ curvature (1, x)(1, x)ᵀ at the current parameters.
    pub fn sweep_ascent(&mut self, b: &mut FuncBuilder<'_>, code: &AscentCode) {
        let Solution::Ascent {
            predictor,
            eta,
            score,
            curvature,
            ..
        } = &code.update.solution
        else {
            return;
        };
        let (predictor, eta, score, curvature) = (*predictor, *eta, *score, *curvature);
        let (m, ranges) = (code.elements, code.update.ranges.clone());
        let (glen, hlen) = (
            crate::lens::moments_len(code.inputs.cols, 1),
            crate::lens::syrk_len(code.inputs.cols, false),
        );
        let values = b.buffer("predictor", BufKind::Temp, m);
        let weight = b.buffer("ascent.weight", BufKind::Temp, 1);
        let x = code.inputs.adjacent(b);
        self.nest(
            b,
            &ranges,
            Scope::default(),
            Index::default(),
            &mut |l, b, scope, at| {
                let mut rows = RowScope {
                    flat: scope.clone(),
                    ..RowScope::default()
                };
                l.copy_row(b, &mut rows, predictor, values);
                l.temps.insert(eta, values);
                let mut rows = RowScope {
                    flat: scope.clone(),
                    ..RowScope::default()
                };
                l.ensure_row(b, &mut rows, score);
                l.ensure_row(b, &mut rows, curvature);
                b.for_(m, |b, i| {
                    let index: Index = i.into();
                    let dims = if l.s.shape(score).is_empty() {
                        vec![]
                    } else {
                        vec![index.clone()]
                    };
                    l.weighted_row(b, &mut rows, score, &dims, weight);
                    let acc = code.raw.0.at((at.clone() * m + i) * glen);
                    let (x, w) = (x.clone(), weight.col(0));
                    b.kernel(Kernel::Moments {
                        x,
                        inputs: code.inputs.cols,
                        w,
                        weights: 1,
                        acc,
                    });
                });
                each(b, &[m, m], &mut |b, ij| {
                    let dims = if l.s.shape(curvature).is_empty() {
                        vec![]
                    } else {
                        ij.to_vec()
                    };
                    l.weighted_row(b, &mut rows, curvature, &dims, weight);
                    let acc = code
                        .raw
                        .1
                        .at(((at.clone() * m + ij[0].clone()) * m + ij[1].clone()) * hlen);
                    let (x, w) = (x.clone(), Some(weight.col(0)));
                    b.kernel(Kernel::Syrk {
                        x,
                        inputs: code.inputs.cols,
                        w,
                        acc,
                        diagonal: false,
                    });
                });
            },
        );
        self.temps.remove(&eta);
    }

    /// A row term times the row's weight, into one column. A term with a posterior in it carries the weight already.
    fn weighted_row(&mut self, b: &mut FuncBuilder<'_>, rows: &mut RowScope, t: Term, at: &[Index], out: BufId) {
        let plain = !self.s.depends_on(t, |n| matches!(n, Node::Resp(_)));
        let (masked, weight) = (self.masked, self.fixed.weight);
        b.rows(|b| {
            let mut v = self.row_elem(b, rows, t, at);
            if plain && masked {
                let w = b.load_row(weight.col(0));
                v = b.mul(v, w);
            }
            b.store_row(out.col(0), v);
        });
    }

    /// Folds raw accumulators.
    pub fn finish_ascent(&mut self, b: &mut FuncBuilder<'_>, code: &AscentCode) {
        let (m, p) = (code.elements, code.inputs.cols);
        let n: usize = code.update.ranges.iter().map(|&i| self.extent(i)).product();
        let (k, glen, hlen) = (1 + p, crate::lens::moments_len(p, 1), crate::lens::syrk_len(p, false));
        b.for_(n * m, |b, i| {
            let (acc, out) = (code.raw.0.at(i * glen), code.gradient.at(i * k));
            b.kernel(Kernel::MomentsFold {
                acc,
                inputs: p,
                weights: 1,
                out,
            });
        });
        b.for_(n * m * m, |b, i| {
            let (acc, out) = (code.raw.1.at(i * hlen), code.curvature.at(i * (k * k)));
            b.kernel(Kernel::SyrkFold {
                acc,
                inputs: p,
                out,
                diagonal: false,
            });
        });
    }

    /// δ = H⁻¹ g for the stacked targets, and the parameters moved by it.
    pub fn update_ascent(&mut self, b: &mut FuncBuilder<'_>, code: &AscentCode, step_size: BufId) {
        let Solution::Ascent { designs, priors, .. } = &code.update.solution else {
            return;
        };
        let phi = self.s.stack(&designs.clone());
        let Some(form) = self.linear_form(phi) else { return };
        let (m, q, k) = (code.elements, form.rows, 1 + code.inputs.cols);
        let ranges = code.update.ranges.clone();
        self.keep_before(b, code);
        self.nest(
            b,
            &ranges,
            Scope::default(),
            Index::default(),
            &mut |l, b, scope, at| {
                let c = b.buffer("design", BufKind::Scratch, q * k);
                l.form_matrix(b, scope, &form, &code.inputs, c, &Index::default());
                let (big, rhs) = (
                    b.buffer("hessian", BufKind::Scratch, m * q * m * q),
                    b.buffer("rhs", BufKind::Scratch, m * q),
                );
                let (half, block, part) = (
                    b.buffer("half", BufKind::Scratch, q * k),
                    b.buffer("block", BufKind::Scratch, q * q),
                    b.buffer("part", BufKind::Scratch, q),
                );
                each(b, &[m, m], &mut |b, ij| {
                    let t = code
                        .curvature
                        .at(((at.clone() * m + ij[0].clone()) * m + ij[1].clone()) * (k * k));
                    b.kernel(Kernel::MatMul {
                        a: c.at(0),
                        ta: false,
                        b: t,
                        tb: false,
                        out: half.at(0),
                        m: q,
                        k,
                        n: k,
                    });
                    let (a, r) = (half.at(0), c.at(0));
                    b.kernel(Kernel::MatMul {
                        a,
                        ta: false,
                        b: r,
                        tb: true,
                        out: block.at(0),
                        m: q,
                        k,
                        n: q,
                    });
                    each(b, &[q, q], &mut |b, rs| {
                        let v = b.load(block.at(rs[0].clone() * q + rs[1].clone()));
                        let row = ij[0].clone() * q + rs[0].clone();
                        b.store(big.at(row * (m * q) + ij[1].clone() * q + rs[1].clone()), v);
                    });
                });
                b.for_(m, |b, i| {
                    let g = code.gradient.at((at.clone() * m + i) * k);
                    b.kernel(Kernel::MatMul {
                        a: c.at(0),
                        ta: false,
                        b: g,
                        tb: false,
                        out: part.at(0),
                        m: q,
                        k,
                        n: 1,
                    });
                    b.for_(q, |b, r| {
                        let v = b.load(part.at(r));
                        b.store(rhs.at(i * q + r), v);
                    });
                });
                l.prior_terms(b, scope, code, priors, designs, (m, q), big, rhs);
                let delta = b.buffer("delta", BufKind::Scratch, m * q);
                let flag = b.buffer("left.out", BufKind::Scratch, 1);
                b.kernel(Kernel::SpdSolve {
                    a: big.at(0),
                    b: rhs.at(0),
                    out: delta.at(0),
                    n: m * q,
                    m: 1,
                    flag: flag.at(0),
                });
                l.apply_step(b, scope, code, designs, (m, q), delta, step_size);
            },
        );
    }

    /// Adds priors' gradients and curvatures.
    fn prior_terms(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        code: &AscentCode,
        priors: &[Option<(Term, Term)>],
        designs: &[Term],
        (m, q): (usize, usize),
        big: BufId,
        rhs: BufId,
    ) {
        let mut first = 0;
        for (prior, &d) in priors.iter().zip(designs) {
            let width = self.len_of(d).max(1);
            if let &Some((gradient, curvature)) = prior {
                self.ensure(b, scope, gradient);
                self.ensure(b, scope, curvature);
                let vector = code.elements > 1;
                each(b, &[m, width], &mut |b, ij| {
                    let place = ij[0].clone() * q + ij[1].clone() + first;
                    for (t, is_g) in [(gradient, true), (curvature, false)] {
                        let rank = self.s.shape(t).len();
                        let at: Vec<Index> = match (rank, vector) {
                            (0, _) => vec![],
                            (1, true) if width == 1 => vec![ij[0].clone()],
                            (1, _) => vec![ij[1].clone()],
                            _ => vec![ij[0].clone(), ij[1].clone()],
                        };
                        let v = self.elem(b, scope, t, &at);
                        if is_g {
                            b.accum(rhs.at(place.clone()), v);
                        } else {
                            b.accum(big.at(place.clone() * (m * q) + place.clone()), v);
                        }
                    }
                });
            }
            first += width;
        }
    }

    fn apply_step(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        code: &AscentCode,
        designs: &[Term],
        (m, q): (usize, usize),
        delta: BufId,
        step_size: BufId,
    ) {
        let most = b.buffer("longest", BufKind::Scratch, 1);
        let limit = b.num(LONGEST_MOVE);
        b.store(most.at(0), limit);
        let mut first = 0;
        for (&t, &d) in code.update.targets.iter().zip(designs) {
            let width = self.len_of(d).max(1);
            let (sym, base, _) = self.target(scope, b, t);
            let Some(&param) = self.flat.get(&sym) else { continue };
            each(b, &[m, width], &mut |b, ij| {
                let v = b.load(delta.at(ij[0].clone() * q + ij[1].clone() + first));
                let to = base.clone() + ij[0].clone() * width + ij[1].clone();
                let (size, x, one) = (b.abs(v), b.load(param.at(to)), b.num(1.0));
                let x = b.abs(x);
                let x = b.add(x, one);
                let ratio = b.div(size, x);
                let before = b.load(most.at(0));
                let ratio = b.max(before, ratio);
                b.store(most.at(0), ratio);
            });
            first += width;
        }
        let (limit, longest) = (b.num(LONGEST_MOVE), b.load(most.at(0)));
        let shorten = b.div(limit, longest);
        let mut first = 0;
        for ((&t, &d), &(_, before, step)) in code.update.targets.iter().zip(designs).zip(&code.old) {
            let width = self.len_of(d).max(1);
            let (sym, base, _) = self.target(scope, b, t);
            let Some(&param) = self.flat.get(&sym) else { continue };
            each(b, &[m, width], &mut |b, ij| {
                let v = b.load(delta.at(ij[0].clone() * q + ij[1].clone() + first));
                let v = b.mul(v, shorten);
                let to = base.clone() + ij[0].clone() * width + ij[1].clone();
                b.store(step.at(to.clone()), v);
                let old = b.load(before.at(to.clone()));
                let new = b.add(old, v);
                b.store(param.at(to.clone()), new);
                let (size, x, one) = (b.abs(v), b.load(param.at(to)), b.num(1.0));
                let x = b.abs(x);
                let x = b.add(x, one);
                let relative = b.div(size, x);
                let most = b.load(step_size.at(0));
                let most = b.max(most, relative);
                b.store(step_size.at(0), most);
            });
            first += width;
        }
    }

    /// Keeps the parameters that the statistics' gradient belongs to: `update` starts from them however often it is
    /// called on the same statistics (told by a weighted sum of the gradient).
    fn keep_before(&mut self, b: &mut FuncBuilder<'_>, code: &AscentCode) {
        let n = b.get(code.gradient).len;
        let now = b.buffer("signature.now", BufKind::Scratch, 1);
        let zero = b.num(0.0);
        b.store(now.at(0), zero);
        b.for_(n, |b, i| {
            // weighted by position: the elements of a softmax's gradient sum to 0
            let (v, at, shift) = (b.load(code.gradient.at(i)), b.index_value(i), b.num(1.5));
            let w = b.add(at, shift);
            let w = b.mul(w, w);
            let v = b.mul(v, w);
            b.accum(now.at(0), v);
        });
        let (new, old) = (b.load(now.at(0)), b.load(code.signature.at(0)));
        let same = b.eq(new, old);
        b.store(code.signature.at(0), new);
        for &(sym, before, _) in &code.old {
            let Some(&param) = self.flat.get(&sym) else { continue };
            let n = b.get(before).len;
            b.for_(n, |b, i| {
                let (kept, current) = (b.load(before.at(i)), b.load(param.at(i)));
                let v = b.select(same, kept, current);
                b.store(before.at(i), v);
            });
        }
    }

    /// Parameters = before + α · step.
    pub fn backtrack(&mut self, b: &mut FuncBuilder<'_>, code: &AscentCode, alpha: BufId) {
        for &(sym, before, step) in &code.old {
            let Some(&param) = self.flat.get(&sym) else { continue };
            let n = b.get(before).len;
            b.for_(n, |b, i| {
                let (x, d, a) = (b.load(before.at(i)), b.load(step.at(i)), b.load(alpha.at(0)));
                let v = b.fma(a, d, x);
                b.store(param.at(i), v);
            });
        }
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
