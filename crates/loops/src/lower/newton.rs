//! Newton's method on statistics, as loop code: one small problem of a few unknowns.

use super::context::{Lower, Scope};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Flat, Index, Kernel, Reg};
use lvmc_derive::plan::Update;
use lvmc_term::{IxId, Support, Sym, SymKind, Term};
use std::collections::HashMap;

/// Longest step in a transformed unknown.
const LONGEST_STEP: f64 = 4.0;

/// f(θ) = Σ C g(θ) for one element of the unknowns.
pub struct Problem {
    /// (statistic, function of the scalar symbols).
    parts: Vec<(Term, Term)>,
    /// Scalar symbols that stand for the unknowns, with their supports.
    unknowns: Vec<(lvmc_term::SymId, Support)>,
    /// Element position.
    element: Vec<Index>,
    /// Indices bound to it.
    ixs: Vec<IxId>,
}

/// Buffers of a running problem.
struct Work {
    theta: Vec<BufId>,
    u: BufId,
    step: BufId,
    gradient: BufId,
    hessian: BufId,
    state: BufId,
}

impl Problem {
    /// The element's problem, with scalar symbols in place of the unknowns.
    pub fn new(l: &mut Lower<'_>, u: &Update, parts: &[(Term, Term)], element: Vec<Index>) -> Self {
        let shape = l.s.shape(u.targets[0]).clone();
        let ixs: Vec<IxId> = shape.iter().map(|n| l.s.add_ix("i", n.clone())).collect();
        let mut with = HashMap::new();
        let mut unknowns = vec![];
        for &t in &u.targets {
            let support = l.s.as_symbol(t).map_or(Support::Real, |x| l.s.sym(x.0).support.clone());
            let sym = l.s.add_sym(Sym {
                name: "theta".into(),
                kind: SymKind::Aux,
                shape: vec![],
                family: 0,
                per_row: false,
                support: support.clone(),
            });
            let scalar = l.s.var(sym);
            let stand_in = if shape.is_empty() {
                scalar
            } else {
                l.s.fill(scalar, shape.clone())
            };
            with.insert(t, stand_in);
            unknowns.push((sym, support));
        }
        let at: Vec<Term> = ixs.iter().map(|&i| l.s.index(i)).collect();
        let parts = parts
            .iter()
            .map(|&(c, g)| {
                let g = l.s.substitute(g, &with);
                let g = if l.s.shape(g).is_empty() { g } else { l.s.at(g, &at) };
                (c, g)
            })
            .collect();
        Self {
            parts,
            unknowns,
            element,
            ixs,
        }
    }

    /// Writes the loop; returns where the solutions are.
    pub fn write(
        &self,
        l: &mut Lower<'_>,
        b: &mut FuncBuilder<'_>,
        scope: &Scope,
        starts: &[Flat],
        steps: usize,
        halvings: usize,
    ) -> Vec<Flat> {
        let m = self.unknowns.len();
        let mut scope = scope.clone();
        for (ix, at) in self.ixs.iter().zip(&self.element) {
            scope.env.insert(*ix, at.clone());
        }
        let coefficients: Vec<Reg> = self
            .parts
            .iter()
            .map(|&(c, _)| {
                let scalar = l.s.shape(c).is_empty();
                l.elem(b, &mut scope, c, if scalar { &[] } else { &self.element })
            })
            .collect();
        let mut scratch = |name: &str, n: usize| b.buffer(name, BufKind::Scratch, n);
        let work = Work {
            theta: (0..m).map(|_| scratch("theta", 1)).collect(),
            u: scratch("u", m),
            step: scratch("newton.step", m),
            gradient: scratch("newton.gradient", m),
            hessian: scratch("newton.hessian", m * m),
            state: scratch("newton.state", 4),
        };
        for ((sym, _), &buf) in self.unknowns.iter().zip(&work.theta) {
            l.flat.insert(*sym, buf);
        }
        for (i, start) in starts.iter().enumerate() {
            let v = b.load(start.clone());
            let u = to_free(b, &self.unknowns[i].1, v);
            b.store(work.u.at(i), u);
        }
        b.for_(steps, |b, _| {
            self.step(l, b, &mut scope, &coefficients, &work, halvings)
        });
        self.set_theta(b, &work, |b, i| b.load(work.u.at(i)));
        for (sym, _) in &self.unknowns {
            l.flat.remove(sym);
        }
        work.theta.iter().map(|t| t.at(0)).collect()
    }

    fn set_theta(&self, b: &mut FuncBuilder<'_>, work: &Work, u: impl Fn(&mut FuncBuilder<'_>, usize) -> Reg) {
        for (i, (_, support)) in self.unknowns.iter().enumerate() {
            let u = u(b, i);
            let v = from_free(b, support, u);
            b.store(work.theta[i].at(0), v);
        }
    }

    fn value(&self, l: &mut Lower<'_>, b: &mut FuncBuilder<'_>, scope: &mut Scope, c: &[Reg]) -> Reg {
        let terms: Vec<Reg> = self
            .parts
            .iter()
            .zip(c)
            .map(|(&(_, g), &c)| {
                let g = l.elem(b, scope, g, &[]);
                b.mul(c, g)
            })
            .collect();
        b.sum(terms)
    }

    /// Σ C ∂g (a term per part, one derivative).
    fn weighted(&self, l: &mut Lower<'_>, b: &mut FuncBuilder<'_>, scope: &mut Scope, c: &[Reg], d: &[Term]) -> Reg {
        let terms: Vec<Reg> = d
            .iter()
            .zip(c)
            .filter(|&(&d, _)| l.s.as_num(d) != Some(0.0))
            .map(|(&d, &c)| (d, c))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(d, c)| {
                let d = l.elem(b, scope, d, &[]);
                b.mul(c, d)
            })
            .collect();
        b.sum(terms)
    }

    /// One Newton step with halving.
    fn step(
        &self,
        l: &mut Lower<'_>,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        c: &[Reg],
        work: &Work,
        halvings: usize,
    ) {
        let m = self.unknowns.len();
        self.set_theta(b, work, |b, i| b.load(work.u.at(i)));
        let before = self.value(l, b, scope, c);
        let vars: Vec<Term> = self.unknowns.iter().map(|u| l.s.var(u.0)).collect();
        let first: Vec<Vec<Term>> = self.parts.iter().map(|&(_, g)| l.s.gradient(g, &vars)).collect();
        for i in 0..m {
            let d: Vec<Term> = first.iter().map(|f| f[i]).collect();
            let g = self.weighted(l, b, scope, c, &d);
            let (slope, bend) = self.transform(b, work, i);
            let gu = b.mul(g, slope);
            b.store(work.gradient.at(i), gu);
            for j in 0..m {
                let dd: Vec<Term> = first.iter().map(|f| l.s.gradient(f[i], &vars[j..=j])[0]).collect();
                let h = self.weighted(l, b, scope, c, &dd);
                let (other, _) = self.transform(b, work, j);
                let h = b.mul(h, slope);
                let mut h = b.mul(h, other);
                if i == j {
                    let extra = b.mul(g, bend);
                    h = b.add(h, extra);
                }
                let minus = b.neg(h);
                b.store(work.hessian.at(i * m + j), minus);
            }
        }
        self.direction(b, work);
        self.search(l, b, scope, c, work, before, halvings);
    }

    /// dθ/du and d²θ/du².
    fn transform(&self, b: &mut FuncBuilder<'_>, work: &Work, i: usize) -> (Reg, Reg) {
        let theta = b.load(work.theta[i].at(0));
        match self.unknowns[i].1 {
            Support::Positive | Support::NonNegative => (theta, theta),
            Support::Unit => {
                let (one, two) = (b.num(1.0), b.num(2.0));
                let rest = b.sub(one, theta);
                let slope = b.mul(theta, rest);
                let double = b.mul(two, theta);
                let side = b.sub(one, double);
                let bend = b.mul(slope, side);
                (slope, bend)
            }
            _ => (b.num(1.0), b.num(0.0)),
        }
    }

    /// δ = (−H)⁻¹ g, or along the gradient where that does not ascend; bounded.
    fn direction(&self, b: &mut FuncBuilder<'_>, work: &Work) {
        let m = self.unknowns.len();
        if m == 1 {
            let (g, h, tiny) = (b.load(work.gradient.at(0)), b.load(work.hessian.at(0)), b.num(1e-300));
            let size = b.abs(h);
            let size = b.max(size, tiny);
            let d = b.div(g, size);
            b.store(work.step.at(0), d);
        } else {
            let left_out = b.buffer("newton.flag", BufKind::Scratch, 1);
            let zero = b.num(0.0);
            b.store(left_out.at(0), zero);
            let (a, r) = (work.hessian.at(0), work.gradient.at(0));
            b.kernel(Kernel::SpdSolve {
                a,
                b: r,
                out: work.step.at(0),
                n: m,
                m: 1,
                flag: left_out.at(0),
            });
            let products: Vec<Reg> = (0..m)
                .map(|i| {
                    let (g, d) = (b.load(work.gradient.at(i)), b.load(work.step.at(i)));
                    b.mul(g, d)
                })
                .collect();
            let (along, zero, missing) = (b.sum(products), b.num(0.0), b.load(left_out.at(0)));
            let (ascends, whole) = (b.lt(zero, along), b.eq(missing, zero));
            let good = b.mul(ascends, whole);
            // where f is not concave: each unknown by its own curvature
            for i in 0..m {
                let (g, d, h) = (
                    b.load(work.gradient.at(i)),
                    b.load(work.step.at(i)),
                    b.load(work.hessian.at(i * (m + 1))),
                );
                let (size, tiny) = (b.abs(h), b.num(1e-300));
                let size = b.max(size, tiny);
                let own = b.div(g, size);
                let d = b.select(good, d, own);
                b.store(work.step.at(i), d);
            }
        }
        // shortened as a whole: element by element it might no longer ascend
        let top = b.num(LONGEST_STEP);
        let longest = (0..m).fold(top, |longest, i| {
            let d = b.load(work.step.at(i));
            let size = b.abs(d);
            b.max(longest, size)
        });
        let shorten = b.div(top, longest);
        for i in 0..m {
            let d = b.load(work.step.at(i));
            let d = b.mul(d, shorten);
            b.store(work.step.at(i), d);
        }
    }

    /// Halves the step until f does not fall; leaves the loop of steps where nothing moves any more.
    fn search(
        &self,
        l: &mut Lower<'_>,
        b: &mut FuncBuilder<'_>,
        scope: &mut Scope,
        c: &[Reg],
        work: &Work,
        before: Reg,
        halvings: usize,
    ) {
        let m = self.unknowns.len();
        let (alpha, moved) = (work.state.at(0), work.state.at(1));
        let (one, zero) = (b.num(1.0), b.num(0.0));
        b.store(alpha.clone(), one);
        b.store(moved.clone(), zero);
        b.for_(halvings, |b, _| {
            self.set_theta(b, work, |b, i| {
                let (u, d, a) = (b.load(work.u.at(i)), b.load(work.step.at(i)), b.load(alpha.clone()));
                b.fma(a, d, u)
            });
            let now = self.value(l, b, scope, c);
            let good = b.le(before, now);
            b.if_(good, |b| {
                let one = b.num(1.0);
                b.store(moved.clone(), one);
            });
            b.break_if(good);
            let (a, half) = (b.load(alpha.clone()), b.num(0.5));
            let a = b.mul(a, half);
            b.store(alpha.clone(), a);
        });
        let mut largest = b.num(0.0);
        for i in 0..m {
            let (u, d, a, ok) = (
                b.load(work.u.at(i)),
                b.load(work.step.at(i)),
                b.load(alpha.clone()),
                b.load(moved.clone()),
            );
            let d = b.mul(d, a);
            let d = b.mul(d, ok);
            let new = b.add(u, d);
            b.store(work.u.at(i), new);
            let size = b.abs(d);
            largest = b.max(largest, size);
        }
        let tiny = b.num(1e-14);
        let still = b.le(largest, tiny);
        b.break_if(still);
    }
}

/// θ → u: log, logit or itself.
fn to_free(b: &mut FuncBuilder<'_>, support: &Support, v: Reg) -> Reg {
    match support {
        Support::Positive | Support::NonNegative => {
            let tiny = b.num(1e-300);
            let v = b.max(v, tiny);
            b.log(v)
        }
        Support::Unit => {
            let (one, low, top) = (b.num(1.0), b.num(1e-12), b.num(1.0 - 1e-12));
            let v = b.max(v, low);
            let v = b.min(v, top);
            let rest = b.sub(one, v);
            let ratio = b.div(v, rest);
            b.log(ratio)
        }
        _ => v,
    }
}

/// u → θ.
fn from_free(b: &mut FuncBuilder<'_>, support: &Support, u: Reg) -> Reg {
    match support {
        Support::Positive | Support::NonNegative => b.exp(u),
        Support::Unit => b.sigmoid(u),
        _ => u,
    }
}
