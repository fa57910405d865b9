//! Constructors of elementwise functions, comparisons and choices.

use crate::node::{Cmp, Draw, Fun, Node, Num, Term};
use crate::store::Store;

impl Store {
    /// f(a), elementwise. Numbers fold, but for logarithms, which stay to be read (log 2π).
    pub fn fun(&mut self, f: Fun, a: Term) -> Term {
        if let Node::Fill(c, shape) = self.node(a).clone() {
            let t = self.fun(f, c);
            return self.fill(t, shape);
        }
        match f {
            Fun::Log => self.log_plain(a),
            Fun::Exp => self.exp_plain(a),
            Fun::Sqrt => self.sqrt(a),
            Fun::Abs if self.is_nonneg(a) => a,
            Fun::Relu if self.is_nonneg(a) => a,
            Fun::Floor if self.is_integer(a) => a,
            _ => {
                if let Some(x) = self.as_num(a) {
                    let y = crate::function::apply(f, x);
                    if !y.is_nan() {
                        return self.num(y);
                    }
                }
                self.intern(Node::Fun(f, a))
            }
        }
    }

    /// log a, elementwise; log exp a → a. Of a probability made from a number, by that: log σ(x) → −log(1 + e⁻ˣ),
    /// log(1 − σ(x)) → −log(1 + eˣ), which keep the digits that 1 − p loses.
    pub fn log(&mut self, a: Term) -> Term {
        self.fun(Fun::Log, a)
    }

    fn log_plain(&mut self, a: Term) -> Term {
        match self.node(a) {
            Node::Fun(Fun::Exp, x) => *x,
            Node::Num(x) if x.get() == 1.0 => self.num(0.0),
            Node::Fun(Fun::Sigmoid, x) => {
                let x = *x;
                let minus = self.neg(x);
                self.minus_softplus(minus)
            }
            Node::Add(ts) if self.complement_of_sigmoid(ts).is_some() => {
                let x = self.complement_of_sigmoid(ts).unwrap_or(a);
                self.minus_softplus(x)
            }
            Node::Num(x) if x.get() == 0.0 => self.num(f64::NEG_INFINITY),
            Node::Num(x) if x.get() == f64::INFINITY => self.num(f64::INFINITY),
            _ => self.intern(Node::Fun(Fun::Log, a)),
        }
    }

    fn minus_softplus(&mut self, x: Term) -> Term {
        let l = self.fun(Fun::Softplus, x);
        self.neg(l)
    }

    /// exp a, elementwise; exp(c · log a + b) → aᶜ · exp b.
    pub fn exp(&mut self, a: Term) -> Term {
        self.fun(Fun::Exp, a)
    }

    fn exp_plain(&mut self, a: Term) -> Term {
        if let Some(x) = self.as_num(a) {
            return self.num(x.exp());
        }
        let mut factors = vec![];
        let mut rest = vec![];
        for t in self.addends(a) {
            match self.exp_of_log(t) {
                // a log of a number is left: exp(½ log 2π) reads better than 2.5066…
                Some(f) => factors.push(f),
                None => rest.push(t),
            }
        }
        if factors.is_empty() {
            return self.intern(Node::Fun(Fun::Exp, a));
        }
        let shape = self.shape(a).clone();
        if !rest.is_empty() {
            let rest = self.sum(&rest);
            factors.push(self.exp(rest));
        }
        let t = self.product_of(&factors);
        self.refill(t, shape)
    }

    /// What exp makes of `log x`, `c · log x` (with c a product without logs) and `y log x`.
    fn exp_of_log(&mut self, t: Term) -> Option<Term> {
        match self.node(t).clone() {
            Node::Fun(Fun::Log, x) => Some(x),
            Node::XLogY(y, x) => Some(self.pow(x, y)),
            Node::Mul(fs) => {
                let at = fs
                    .iter()
                    .position(|&f| matches!(self.node(f), Node::Fun(Fun::Log, _)))?;
                let Node::Fun(Fun::Log, x) = *self.node(fs[at]) else {
                    return None;
                };
                let rest: Vec<Term> = fs
                    .iter()
                    .enumerate()
                    .filter(|&(i, _)| i != at)
                    .map(|(_, &f)| f)
                    .collect();
                let e = self.product_of(&rest);
                Some(self.pow(x, e))
            }
            _ => None,
        }
    }

    /// y · log x with 0 · (−∞) = 0, elementwise; y · log x itself where x cannot be 0 or y is a number other than 0.
    pub fn xlogy(&mut self, y: Term, x: Term) -> Term {
        let shape = self.broadcast(&[y, x]);
        let (y, x) = (self.unfilled(y), self.unfilled(x));
        let plain = self.is_positive(x) || self.is_positive(y) || self.as_num(y).is_some_and(|y| y != 0.0);
        let t = if self.as_num(y) == Some(0.0) || self.as_num(x) == Some(1.0) {
            self.num(0.0)
        } else if plain {
            let l = self.log(x);
            self.mul(y, l)
        } else {
            self.intern(Node::XLogY(y, x))
        };
        self.refill(t, shape)
    }

    /// 1 where the comparison holds, otherwise 0.
    pub fn cmp(&mut self, c: Cmp, a: Term, b: Term) -> Term {
        let shape = self.broadcast(&[a, b]);
        let (mut a, mut b) = (self.unfilled(a), self.unfilled(b));
        if c == Cmp::Eq && b < a {
            (a, b) = (b, a);
        }
        let t = match self.known_cmp(c, a, b) {
            Some(holds) => self.num(f64::from(u8::from(holds))),
            None => self.intern(Node::Cmp(c, a, b)),
        };
        self.refill(t, shape)
    }

    /// 1 where a is 0, otherwise 0.
    pub fn not(&mut self, a: Term) -> Term {
        if let Node::Fun(Fun::Not, inner) = *self.node(a)
            && matches!(self.node(inner), Node::Cmp(..) | Node::Fun(Fun::Not, _))
        {
            return inner;
        }
        self.fun(Fun::Not, a)
    }

    /// `if c then a else b`, elementwise; c holds where it is not 0.
    pub fn select(&mut self, c: Term, a: Term, b: Term) -> Term {
        let shape = self.broadcast(&[c, a, b]);
        let (c, a, b) = (self.unfilled(c), self.unfilled(a), self.unfilled(b));
        let t = match self.as_num(c) {
            Some(0.0) => b,
            Some(_) => a,
            None if a == b => a,
            None => match *self.node(c) {
                Node::Fun(Fun::Not, inner) => self.select(inner, b, a),
                _ => self.intern(Node::Select(c, a, b)),
            },
        };
        self.refill(t, shape)
    }

    /// A draw as a function of its arguments, elementwise.
    pub fn draw(&mut self, draw: Draw, args: &[Term]) -> Term {
        let shape = self.broadcast(args);
        let args: Vec<Term> = args.iter().map(|&a| self.unfilled(a)).collect();
        let t = self.intern(Node::Draw(draw, args.into()));
        self.refill(t, shape)
    }

    /// t, with derivative 0.
    pub fn fixed(&mut self, t: Term) -> Term {
        match self.node(t) {
            Node::Fixed(_) | Node::Num(_) | Node::Size(_) => t,
            _ => self.intern(Node::Fixed(t)),
        }
    }

    /// An opaque grouping, never expanded through.
    pub fn hold(&mut self, t: Term) -> Term {
        match self.node(t) {
            Node::Hold(_) | Node::Num(_) | Node::Sym(_) => t,
            _ => self.intern(Node::Hold(t)),
        }
    }

    /// A constant of that many digits of π, as a number: printers show its multiples as such.
    pub fn two_pi(&mut self) -> Term {
        self.intern(Node::Num(Num::new(std::f64::consts::TAU)))
    }
}
