//! What each operator passes back to its parts: the table of reverse-mode differentiation.

use crate::gradient::NoGradient;
use crate::node::{Cmp, Draw, Fun, Node, Term};
use crate::shape::Size;
use crate::store::Store;
use std::collections::HashSet;

impl Store {
    pub(crate) fn adjoint_of_power(
        &mut self,
        t: Term,
        g: Term,
        a: Term,
        b: Term,
        live: &HashSet<Term>,
    ) -> Vec<(Term, Term)> {
        let one = self.num(1.0);
        let less = self.sub(b, one);
        let lower = self.pow(a, less);
        let mut out = vec![(a, self.product_of(&[g, b, lower]))];
        if live.contains(&b) {
            let l = self.log(a);
            out.push((b, self.product_of(&[g, l, t])));
        }
        out
    }

    /// f′(a), given t = f(a).
    pub(crate) fn fun_derivative(&mut self, f: Fun, a: Term, t: Term) -> Term {
        let one = self.num(1.0);
        match f {
            Fun::Log => self.recip(a),
            Fun::Exp => t,
            Fun::Log1p => {
                let x = self.add(one, a);
                self.recip(x)
            }
            Fun::Sqrt => {
                let r = self.recip(t);
                self.scale(0.5, r)
            }
            Fun::Abs => self.fun(Fun::Sign, a),
            Fun::Lgamma => self.fun(Fun::Digamma, a),
            Fun::Digamma => self.fun(Fun::Trigamma, a),
            Fun::Trigamma => self.fun(Fun::Tetragamma, a),
            Fun::Sigmoid => {
                let rest = self.sub(one, t);
                self.mul(t, rest)
            }
            Fun::Softplus => self.fun(Fun::Sigmoid, a),
            Fun::Tanh => {
                let t2 = self.square(t);
                self.sub(one, t2)
            }
            Fun::Sin => self.fun(Fun::Cos, a),
            Fun::Cos => {
                let x = self.fun(Fun::Sin, a);
                self.neg(x)
            }
            Fun::Relu => {
                let zero = self.num(0.0);
                self.cmp(Cmp::Lt, zero, a)
            }
            Fun::NormalCdf => {
                let x2 = self.square(a);
                let x2 = self.minus_half(x2);
                let e = self.exp(x2);
                self.scale(1.0 / std::f64::consts::TAU.sqrt(), e)
            }
            // steps: flat almost everywhere
            Fun::Sign | Fun::Floor | Fun::Not => self.num(0.0),
            // ψ‴ has no node: its derivative is NaN, and no rule asks for it
            Fun::Tetragamma => {
                let minus = self.num(-1.0);
                self.log(minus)
            }
        }
    }

    /// Of l = log F⁻¹(Φ(ε); a) in the shape, with F held, and in the noise: φ(ε) / (z p(z)).
    pub(crate) fn adjoint_of_draw(&mut self, t: Term, g: Term, draw: Draw, args: &[Term]) -> Vec<(Term, Term)> {
        match draw {
            Draw::LogGamma => {
                let (a, e) = (args[0], args[1]);
                let slope = self.draw(Draw::LogGammaSlope, &[a, t]);
                let (z, al, norm) = (self.exp(t), self.mul(a, t), self.lgamma(a));
                let e2 = self.square(e);
                let (e2, minus) = (self.minus_half(e2), self.neg(al));
                let log = self.sum(&[e2, z, norm, minus]);
                let density = self.exp(log);
                let density = self.scale(1.0 / std::f64::consts::TAU.sqrt(), density);
                vec![(a, self.mul(g, slope)), (e, self.mul(g, density))]
            }
            // no rule asks for the second derivative: NaN
            Draw::LogGammaSlope => {
                let minus = self.num(-1.0);
                let nan = self.log(minus);
                args.iter().map(|&a| (a, self.mul(g, nan))).collect()
            }
            // steps
            Draw::Poisson | Draw::Binomial => vec![],
        }
    }

    pub(crate) fn adjoint_of_linear(&mut self, t: Term, g: Term) -> Vec<(Term, Term)> {
        match self.node(t).clone() {
            Node::Total(a) => vec![(a, self.fill(g, self.shape(a).clone()))],
            Node::Product(a) => {
                let ratio = self.div(t, a);
                vec![(a, self.mul(g, ratio))]
            }
            Node::Dot(a, b) => vec![(a, self.mul(g, b)), (b, self.mul(g, a))],
            Node::MatVec(m, v) => {
                let mt = self.transpose(m);
                vec![(m, self.outer(g, v)), (v, self.matvec(mt, g))]
            }
            Node::MatMul(a, b) => {
                let (at, bt) = (self.transpose(a), self.transpose(b));
                vec![(a, self.matmul(g, bt)), (b, self.matmul(at, g))]
            }
            Node::Outer(u, v) => {
                let gt = self.transpose(g);
                vec![(u, self.matvec(g, v)), (v, self.matvec(gt, u))]
            }
            Node::Transpose(a) => vec![(a, self.transpose(g))],
            Node::Diag(a) => vec![(a, self.diag_of(g))],
            Node::DiagOf(a) => vec![(a, self.diag(g))],
            Node::Fill(a, _) => vec![(a, self.total(g))],
            Node::Inv(a) => {
                let right = self.matmul(g, t);
                let both = self.matmul(t, right);
                vec![(a, self.neg(both))]
            }
            Node::LogDet(a) => {
                let inverse = self.inv(a);
                vec![(a, self.mul(g, inverse))]
            }
            Node::Quad(m, v) => {
                let inverse = self.inv(m);
                let w = self.matvec(inverse, v);
                let ww = self.outer(w, w);
                let (gv, gm) = (self.mul(g, w), self.mul(g, ww));
                vec![(v, self.scale(2.0, gv)), (m, self.neg(gm))]
            }
            Node::Trace(a) => {
                let i = self.eye(self.shape(a)[0].clone());
                vec![(a, self.mul(g, i))]
            }
            Node::Reshape(a, _) => vec![(a, self.reshape(g, self.shape(a).clone()))],
            Node::Pick { of, map, .. } => vec![(of, self.unpick(g, map, self.shape(of).clone()))],
            Node::Unpick { of, map, .. } => vec![(of, self.pick(g, map, self.shape(of).clone()))],
            Node::LogSumExp(a) => {
                let p = self.softmax(a);
                vec![(a, self.mul(g, p))]
            }
            Node::Softmax(a) => {
                let d = self.dot(g, t);
                let centred = self.sub(g, d);
                vec![(a, self.mul(t, centred))]
            }
            _ => vec![],
        }
    }

    /// g at that position of an array of that shape, 0 elsewhere.
    pub(crate) fn scatter(&mut self, shape: &[Size], at: &[Term], g: Term) -> Result<Term, NoGradient> {
        let mut hot = vec![];
        for (&i, n) in at.iter().zip(shape) {
            let eye = self.eye(n.clone());
            hot.push(self.at(eye, &[i]));
        }
        match (&hot[..], shape.len()) {
            (&[i], 1) => Ok(self.mul(g, i)),
            (&[i], 2) => Ok(self.outer(i, g)),
            (&[i, j], 2) => {
                let ij = self.outer(i, j);
                Ok(self.mul(g, ij))
            }
            (&[_], 3) => {
                let Size::Const(n) = shape[0] else {
                    return Err(NoGradient::Rank);
                };
                let mut rows = vec![];
                for k in 0..n {
                    let k = self.num(k as f64);
                    let here = self.cmp(Cmp::Eq, at[0], k);
                    rows.push(self.mul(here, g));
                }
                let rows: Vec<Term> = rows.into_iter().map(|r| self.refill(r, shape[1..].to_vec())).collect();
                Ok(self.stack_rows(&rows))
            }
            _ => Err(NoGradient::Rank),
        }
    }

    /// The adjoint of a slice, padded with zeros; lengths must be numbers.
    pub(crate) fn unslice(&mut self, base: Term, from: Term, t: Term, g: Term) -> Result<Term, NoGradient> {
        let (Some(from), [Size::Const(n)], [Size::Const(len)]) =
            (self.as_num(from), &self.shape(base)[..], &self.shape(t)[..])
        else {
            return Err(NoGradient::Rank);
        };
        let (from, n, len) = (from as usize, *n, *len);
        let mut parts = vec![];
        if from > 0 {
            parts.push(self.zeros(vec![Size::Const(from)]));
        }
        parts.push(self.refill(g, vec![Size::Const(len)]));
        if n > from + len {
            parts.push(self.zeros(vec![Size::Const(n - from - len)]));
        }
        Ok(self.stack(&parts))
    }

    pub(crate) fn adjoint_of_stack(&mut self, rows: bool, parts: &[Term], g: Term) -> Vec<(Term, Term)> {
        let mut out = vec![];
        let mut offset = Size::Const(0);
        for (i, &p) in parts.iter().enumerate() {
            let at = if rows {
                self.num(i as f64)
            } else {
                self.size(offset.clone())
            };
            let len = self.shape(p).first().cloned();
            let part = match &len {
                Some(len) if !rows => self.slice(g, at, len.clone()),
                _ => self.at(g, &[at]),
            };
            offset = crate::shape::sum_sizes([offset, len.unwrap_or(Size::Const(1))]);
            out.push((p, part));
        }
        out
    }
}
