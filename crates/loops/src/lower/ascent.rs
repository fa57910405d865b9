//! Newton steps of affine predictors: gradient and curvature from the sweep, one step per update.

use super::context::{Lower, Scope, each};
use super::form::Inputs;
use super::rowexpr::RowScope;
use super::step::{LONGEST_MOVE, Moving, raise, relative};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel};
use lvmc_derive::plan::{Solution, Update};
use lvmc_term::Term;

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
    /// The parameters and their step.
    pub moving: Moving,
}

impl Lower<'_> {
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
        let gradient = b.buffer("gradient", BufKind::Stat, n * elements * k);
        Some(AscentCode {
            update: u.clone(),
            inputs,
            elements,
            gradient,
            curvature: b.buffer("curvature", BufKind::Stat, n * elements * elements * k * k),
            raw: (
                b.buffer("acc.gradient", BufKind::Acc, raw_g),
                b.buffer("acc.curvature", BufKind::Acc, raw_h),
            ),
            moving: self.moving(b, u, gradient),
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
                    unweighted: true,
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

    /// A row term times the row's weight, into one column.
    fn weighted_row(&mut self, b: &mut FuncBuilder<'_>, rows: &mut RowScope, t: Term, at: &[Index], out: BufId) {
        let (masked, weight) = (self.masked, self.fixed.weight);
        b.rows(|b| {
            let mut v = self.row_elem(b, rows, t, at);
            if masked {
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

    /// The step δ = H⁻¹ g of the stacked targets.
    pub fn update_ascent(&mut self, b: &mut FuncBuilder<'_>, code: &AscentCode) {
        let Solution::Ascent { designs, priors, .. } = &code.update.solution else {
            return;
        };
        let phi = self.s.stack(&designs.clone());
        let Some(form) = self.linear_form(phi) else { return };
        let (m, q, k) = (code.elements, form.rows, 1 + code.inputs.cols);
        let ranges = code.update.ranges.clone();
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
                l.share_out_step(b, scope, code, designs, (m, q), delta);
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

    /// Shares the step out to the targets, shortened to [`LONGEST_MOVE`].
    fn share_out_step(
        &mut self,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        code: &AscentCode,
        designs: &[Term],
        (m, q): (usize, usize),
        delta: BufId,
    ) {
        let mut places = vec![];
        let mut first = 0;
        for ((&t, &d), &(_, before, step)) in code.update.targets.iter().zip(designs).zip(&code.moving.old) {
            let width = self.len_of(d).max(1);
            let (_, base, _) = self.target(scope, b, t);
            places.push((first, width, base, before, step));
            first += width;
        }
        let most = b.buffer("longest", BufKind::Scratch, 1);
        let limit = b.num(LONGEST_MOVE);
        b.store(most.at(0), limit);
        for (first, width, base, before, _) in &places {
            each(b, &[m, *width], &mut |b, ij| {
                let d = b.load(delta.at(ij[0].clone() * q + ij[1].clone() + *first));
                let x = b.load(before.at(base.clone() + ij[0].clone() * *width + ij[1].clone()));
                let ratio = relative(b, d, x);
                raise(b, most.at(0), ratio);
            });
        }
        let (limit, longest) = (b.num(LONGEST_MOVE), b.load(most.at(0)));
        let shorten = b.div(limit, longest);
        for (first, width, base, _, step) in &places {
            each(b, &[m, *width], &mut |b, ij| {
                let d = b.load(delta.at(ij[0].clone() * q + ij[1].clone() + *first));
                let d = b.mul(d, shorten);
                b.store(step.at(base.clone() + ij[0].clone() * *width + ij[1].clone()), d);
            });
        }
    }
}
