//! Parameters that move by one damped step per sweep, in the free coordinates of their type.

use super::ascent::AscentCode;
use super::context::{Lower, each};
use super::gradient::GradientCode;
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Flat, Reg};
use lvmc_derive::plan::{Solution, Update};
use lvmc_term::{Support, SymId};

/// A step moves no coordinate by more than this many times 1 + its size: where the curvature vanishes (a count's rate
/// near 0) the full step would overflow.
pub const LONGEST_MOVE: f64 = 5.0;

/// A block that moves by steps.
#[derive(Debug, Clone)]
pub enum StepCode {
    /// Coefficients of a predictor.
    Newton(AscentCode),
    /// Anything else.
    Gradient(GradientCode),
}

/// Parameters before a step, and the step.
#[derive(Debug, Clone)]
pub struct Moving {
    /// The gradient's sum over the rows.
    pub statistic: BufId,
    /// A weighted sum of it when `update` last ran.
    pub signature: BufId,
    /// The symbol, its values before the step, the step (in free coordinates).
    pub old: Vec<(SymId, BufId, BufId)>,
}

impl StepCode {
    /// What moves.
    #[must_use]
    pub fn moving(&self) -> &Moving {
        match self {
            StepCode::Newton(code) => &code.moving,
            StepCode::Gradient(code) => &code.moving,
        }
    }
}

impl Lower<'_> {
    /// Buffers of a block; `None` where the update is not a step, or a predictor's design is not linear in features.
    pub fn plan_step(&mut self, b: &mut FuncBuilder<'_>, u: &Update) -> Option<StepCode> {
        match u.solution {
            Solution::Ascent { .. } => self.plan_ascent(b, u).map(StepCode::Newton),
            Solution::Gradient { .. } => self.plan_gradient(b, u).map(StepCode::Gradient),
            _ => None,
        }
    }

    /// The sweep's part.
    pub fn sweep_step(&mut self, b: &mut FuncBuilder<'_>, code: &StepCode) {
        match code {
            StepCode::Newton(code) => self.sweep_ascent(b, code),
            StepCode::Gradient(code) => self.sweep_gradient(b, code),
        }
    }

    /// Folds raw accumulators.
    pub fn finish_step(&mut self, b: &mut FuncBuilder<'_>, code: &StepCode) {
        match code {
            StepCode::Newton(code) => self.finish_ascent(b, code),
            StepCode::Gradient(code) => self.finish_gradient(b, code),
        }
    }

    /// The step, taken whole.
    pub fn update_step(&mut self, b: &mut FuncBuilder<'_>, code: &StepCode) {
        match code {
            StepCode::Newton(code) => self.update_ascent(b, code),
            StepCode::Gradient(code) => self.update_gradient(b, code),
        }
        for &old in &code.moving().old {
            let one = b.num(1.0);
            self.move_by(b, old, one);
        }
    }

    /// Buffers of the parameters that an update moves.
    pub fn moving(&mut self, b: &mut FuncBuilder<'_>, u: &Update, statistic: BufId) -> Moving {
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
        Moving {
            statistic,
            signature: b.buffer("signature", BufKind::Table, 1),
            old,
        }
    }

    /// Keeps the parameters that the statistics' gradient belongs to: `update` starts from them however often it is
    /// called on the same statistics (told by a weighted sum of the gradient). The other blocks see them too: they are
    /// exact given the values before the step.
    pub fn keep_before(&mut self, b: &mut FuncBuilder<'_>, code: &Moving) {
        let n = b.get(code.statistic).len;
        let now = b.buffer("signature.now", BufKind::Scratch, 1);
        let zero = b.num(0.0);
        b.store(now.at(0), zero);
        b.for_(n, |b, i| {
            // weighted by position: the elements of a softmax's gradient sum to 0
            let (v, at, shift) = (b.load(code.statistic.at(i)), b.index_value(i), b.num(1.5));
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
                b.store(param.at(i), v);
            });
        }
    }

    /// Parameters = before + α · step, in free coordinates.
    pub fn backtrack(&mut self, b: &mut FuncBuilder<'_>, code: &Moving, alpha: BufId) {
        for &(sym, before, step) in &code.old {
            let a = b.load(alpha.at(0));
            self.move_by(b, (sym, before, step), a);
        }
    }

    /// Sets a parameter to where `scale` times a step leads from its value before.
    fn move_by(&mut self, b: &mut FuncBuilder<'_>, (sym, before, step): (SymId, BufId, BufId), scale: Reg) {
        let Some(&param) = self.flat.get(&sym) else { return };
        let support = self.s.sym(sym).support.clone();
        let n = b.get(before).len;
        let kept = b.buffer("scale", BufKind::Scratch, 1);
        b.store(kept.at(0), scale);
        b.for_(n, |b, i| {
            let (x, d, a) = (b.load(before.at(i)), b.load(step.at(i)), b.load(kept.at(0)));
            let move_ = b.mul(a, d);
            let v = match support {
                // φ = log θ; the softmax's logits, normalised below
                Support::Positive | Support::NonNegative | Support::Simplex => {
                    let factor = b.exp(move_);
                    b.mul(x, factor)
                }
                // φ = log θ/(1 − θ): θ e^d / (1 − θ + θ e^d)
                Support::Unit => {
                    let (factor, one) = (b.exp(move_), b.num(1.0));
                    let (up, down) = (b.mul(x, factor), b.sub(one, x));
                    let all = b.add(up, down);
                    b.div(up, all)
                }
                _ => b.add(x, move_),
            };
            b.store(param.at(i), v);
        });
        if support == Support::Simplex {
            let var = self.s.var(sym);
            let width = self.dims_of(var).last().copied().unwrap_or(1);
            let total = b.buffer("total", BufKind::Scratch, 1);
            each(b, &[n / width.max(1)], &mut |b, at| {
                let zero = b.num(0.0);
                b.store(total.at(0), zero);
                b.for_(width, |b, j| {
                    let v = b.load(param.at(at[0].clone() * width + j));
                    b.accum(total.at(0), v);
                });
                b.for_(width, |b, j| {
                    let to = param.at(at[0].clone() * width + j);
                    let (v, sum) = (b.load(to.clone()), b.load(total.at(0)));
                    let share = b.div(v, sum);
                    b.store(to, share);
                });
            });
        }
    }
}

/// |d| / (1 + |x|): a step's size beside the coordinate's.
pub fn relative(b: &mut FuncBuilder<'_>, d: Reg, x: Reg) -> Reg {
    let (size, x, one) = (b.abs(d), b.abs(x), b.num(1.0));
    let x = b.add(x, one);
    b.div(size, x)
}

/// `at = max(at, value)`.
pub fn raise(b: &mut FuncBuilder<'_>, at: Flat, value: Reg) {
    let before = b.load(at.clone());
    let most = b.max(before, value);
    b.store(at, most);
}
