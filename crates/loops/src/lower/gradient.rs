//! Steps along the gradient: the rows' scores become columns, one `Syrk` gives their sum and their outer products, and
//! `update` solves for the step.

use super::context::{Lower, Scope, each};
use super::rowexpr::RowScope;
use super::step::{LONGEST_MOVE, Moving, raise, relative};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel, Reg};
use lvmc_derive::plan::{GradientBlock, Solution, Update};
use lvmc_term::{Support, Term};

/// Coordinates up to which the whole matrix of scores' products is kept; beyond, its diagonal.
const MOST_JOINT: usize = 128;
/// A step moves a coordinate that is a logarithm by no more than this.
const LONGEST_LOG: f64 = 2.0;

/// Where the sweep leaves the scores' moments.
#[derive(Debug, Clone)]
pub struct GradientCode {
    /// One entry per parameter.
    pub blocks: Vec<GradientBlock>,
    /// First coordinate of each, and how many there are.
    pub places: Vec<(usize, usize)>,
    /// All coordinates.
    pub coordinates: usize,
    /// Only squares are kept.
    pub diagonal: bool,
    /// Σ w (1, s)(1, s)ᵀ, or Σ w, Σ w s, Σ w s².
    pub moments: BufId,
    /// Its raw accumulator.
    pub raw: BufId,
    /// The parameters and their step.
    pub moving: Moving,
}

impl Lower<'_> {
    /// Buffers of a block.
    pub fn plan_gradient(&mut self, b: &mut FuncBuilder<'_>, u: &Update) -> Option<GradientCode> {
        let Solution::Gradient { blocks } = &u.solution else {
            return None;
        };
        let mut places = vec![];
        let mut q = 0;
        for block in blocks {
            let n: usize = block.ranges.iter().map(|&i| self.extent(i)).product();
            places.push((q, n));
            q += n;
        }
        let diagonal = q > MOST_JOINT;
        let len = if diagonal { 1 + 2 * q } else { (1 + q) * (1 + q) };
        let moments = b.buffer("scores", BufKind::Stat, len);
        Some(GradientCode {
            blocks: blocks.clone(),
            places,
            coordinates: q,
            diagonal,
            moments,
            raw: b.buffer("acc.scores", BufKind::Acc, crate::lens::syrk_len(q, diagonal)),
            moving: self.moving(b, u, moments),
        })
    }

    /// The sweep's part: every coordinate's score as a column, and their moments.
    pub fn sweep_gradient(&mut self, b: &mut FuncBuilder<'_>, code: &GradientCode) {
        let columns = b.buffer("score.columns", BufKind::Temp, code.coordinates);
        for (block, &(first, _)) in code.blocks.iter().zip(&code.places) {
            self.nest(
                b,
                &block.ranges,
                Scope::default(),
                Index::default(),
                &mut |l, b, scope, at| {
                    let mut rows = RowScope {
                        flat: scope.clone(),
                        unweighted: true,
                        ..RowScope::default()
                    };
                    l.ensure_row(b, &mut rows, block.score);
                    b.rows(|b| {
                        let v = l.row_elem(b, &mut rows, block.score, &[]);
                        b.store_row(columns.col(at.clone() + first), v);
                    });
                },
            );
        }
        let w = self.masked.then(|| self.fixed.weight.col(0));
        b.kernel(Kernel::Syrk {
            x: columns.col(0),
            inputs: code.coordinates,
            w,
            acc: code.raw.at(0),
            diagonal: code.diagonal,
        });
    }

    /// Folds the raw accumulator.
    pub fn finish_gradient(&mut self, b: &mut FuncBuilder<'_>, code: &GradientCode) {
        b.kernel(Kernel::SyrkFold {
            acc: code.raw.at(0),
            inputs: code.coordinates,
            out: code.moments.at(0),
            diagonal: code.diagonal,
        });
    }

    /// The step δ = H⁻¹ g, shortened to [`LONGEST_MOVE`].
    pub fn update_gradient(&mut self, b: &mut FuncBuilder<'_>, code: &GradientCode) {
        let q = code.coordinates;
        let rhs = b.buffer("rhs", BufKind::Scratch, q);
        let big = b.buffer("information", BufKind::Scratch, if code.diagonal { q } else { q * q });
        let at_diagonal = |i: Index| if code.diagonal { big.at(i) } else { big.at(i * (q + 1)) };
        b.for_(q, |b, i| {
            let v = b.load(code.moments.at(Index::from(i) + 1));
            b.store(rhs.at(i), v);
        });
        if code.diagonal {
            b.for_(q, |b, i| {
                let v = b.load(code.moments.at(Index::from(i) + (1 + q)));
                b.store(big.at(i), v);
            });
        } else {
            each(b, &[q, q], &mut |b, ij| {
                let v = b.load(code.moments.at((ij[0].clone() + 1) * (1 + q) + ij[1].clone() + 1));
                b.store(big.at(ij[0].clone() * q + ij[1].clone()), v);
            });
        }
        for (block, &(first, _)) in code.blocks.iter().zip(&code.places) {
            let Some((gradient, curvature)) = block.prior else {
                continue;
            };
            self.nest(
                b,
                &block.ranges,
                Scope::default(),
                Index::default(),
                &mut |l, b, scope, at| {
                    let g = l.scalar(b, scope, gradient);
                    b.accum(rhs.at(at.clone() + first), g);
                    let (c, zero) = (l.scalar(b, scope, curvature), b.num(0.0));
                    let c = b.max(c, zero);
                    b.accum(at_diagonal(at.clone() + first), c);
                },
            );
        }
        let delta = b.buffer("delta", BufKind::Scratch, q);
        if code.diagonal {
            b.for_(q, |b, i| {
                let (g, h, tiny) = (b.load(rhs.at(i)), b.load(big.at(i)), b.num(f64::MIN_POSITIVE));
                let h = b.max(h, tiny);
                let d = b.div(g, h);
                b.store(delta.at(i), d);
            });
        } else {
            let flag = b.buffer("left.out", BufKind::Scratch, 1);
            b.kernel(Kernel::SpdSolve {
                a: big.at(0),
                b: rhs.at(0),
                out: delta.at(0),
                n: q,
                m: 1,
                flag: flag.at(0),
            });
        }
        self.share_step(b, code, delta);
    }

    fn scalar(&mut self, b: &mut FuncBuilder<'_>, scope: &mut Scope, t: Term) -> Reg {
        self.ensure(b, scope, t);
        self.elem(b, scope, t, &[])
    }

    /// Shortens the step and stores it per parameter.
    fn share_step(&mut self, b: &mut FuncBuilder<'_>, code: &GradientCode, delta: BufId) {
        let most = b.buffer("longest", BufKind::Scratch, 1);
        let limit = b.num(LONGEST_MOVE);
        b.store(most.at(0), limit);
        let blocks = || code.places.iter().zip(&code.moving.old);
        for (&(first, n), &(sym, before, _)) in blocks() {
            let plain = matches!(self.s.sym(sym).support, Support::Real | Support::Cov);
            b.for_(n, |b, i| {
                let d = b.load(delta.at(Index::from(i) + first));
                let ratio = if plain {
                    let x = b.load(before.at(i));
                    relative(b, d, x)
                } else {
                    let (size, unit) = (b.abs(d), b.num(LONGEST_MOVE / LONGEST_LOG));
                    b.mul(size, unit)
                };
                raise(b, most.at(0), ratio);
            });
        }
        let (limit, longest) = (b.num(LONGEST_MOVE), b.load(most.at(0)));
        let shorten = b.div(limit, longest);
        b.store(most.at(0), shorten);
        for (&(first, n), &(sym, _, step)) in blocks() {
            let symmetric = self.s.sym(sym).support == Support::Cov;
            let var = self.s.var(sym);
            let side = self.dims_of(var).last().copied().unwrap_or(1);
            // a covariance's element and its mirror move together
            let dims = if symmetric {
                vec![n / (side * side), side, side]
            } else {
                vec![n]
            };
            each(b, &dims, &mut |b, at| {
                let place = |at: &[Index]| Index::row_major(at, &dims);
                let mut d = b.load(delta.at(place(at) + first));
                if symmetric {
                    let mirror = [at[0].clone(), at[2].clone(), at[1].clone()];
                    let (other, half) = (b.load(delta.at(place(&mirror) + first)), b.num(0.5));
                    let sum = b.add(d, other);
                    d = b.mul(half, sum);
                }
                let short = b.load(most.at(0));
                let d = b.mul(d, short);
                b.store(step.at(place(at)), d);
            });
        }
    }
}
