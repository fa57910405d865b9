//! Constructors of powers: the one form of roots and quotients.

use crate::node::{Fun, Node, Term};
use crate::store::Store;

impl Store {
    /// 1 / a.
    pub fn recip(&mut self, a: Term) -> Term {
        let e = self.num(-1.0);
        self.pow(a, e)
    }

    /// a².
    pub fn square(&mut self, a: Term) -> Term {
        let e = self.num(2.0);
        self.pow(a, e)
    }

    /// √a: the power ½, which is the one form of a root here (`Fun::Sqrt` is never built).
    pub fn sqrt(&mut self, a: Term) -> Term {
        let e = self.num(0.5);
        self.pow(a, e)
    }

    /// aᵇ, elementwise. (aᵖ)^q → a^(pq) where q is an integer or a ≥ 0; powers of products split likewise.
    pub fn pow(&mut self, a: Term, b: Term) -> Term {
        let shape = self.broadcast(&[a, b]);
        let (a, b) = (self.unfilled(a), self.unfilled(b));
        let t = self.pow_plain(a, b);
        self.refill(t, shape)
    }

    fn pow_plain(&mut self, a: Term, b: Term) -> Term {
        let exponent = self.as_num(b);
        match (self.as_num(a), exponent) {
            (_, Some(0.0)) | (Some(1.0), _) => return self.num(1.0),
            (_, Some(1.0)) => return a,
            (Some(x), Some(y)) if !x.powf(y).is_nan() => return self.num(x.powf(y)),
            _ => {}
        }
        let integer = self.is_integer(b);
        let even = exponent.is_some_and(|e| e % 2.0 == 0.0);
        match self.node(a).clone() {
            Node::Pow(x, p) if integer || self.is_nonneg(x) => {
                let e = self.mul(p, b);
                self.pow(x, e)
            }
            Node::Pow(x, p) if self.as_num(p).is_some_and(|p| p % 2.0 == 0.0) => {
                let x = self.fun(Fun::Abs, x);
                let e = self.mul(p, b);
                self.pow(x, e)
            }
            Node::Fun(Fun::Exp, x) => {
                let e = self.mul(b, x);
                self.exp(e)
            }
            Node::Fun(Fun::Abs, x) if even => self.pow(x, b),
            Node::Cmp(..) | Node::Eye(_) if exponent.is_some_and(|e| e > 0.0) => a,
            Node::Mul(fs) => self.pow_of_product(&fs, b, integer),
            Node::Add(_) if exponent.is_some() && integer => {
                let (sign, base) = self.split_sign(a);
                let t = self.intern(Node::Pow(base, b));
                if sign < 0.0 && !even { self.neg(t) } else { t }
            }
            _ => self.intern(Node::Pow(a, b)),
        }
    }

    /// (Π f)ᵇ: the factors that may be taken out, to the power b, times the power of the rest.
    fn pow_of_product(&mut self, factors: &[Term], b: Term, integer: bool) -> Term {
        let (out, rest): (Vec<Term>, Vec<Term>) = factors.iter().partition(|&&f| integer || self.is_nonneg(f));
        if out.is_empty() {
            let a = self.intern(Node::Mul(factors.into()));
            return self.intern(Node::Pow(a, b));
        }
        let mut parts: Vec<Term> = out.into_iter().map(|f| self.pow(f, b)).collect();
        if !rest.is_empty() {
            let inner = self.product_of(&rest);
            parts.push(match self.node(inner) {
                Node::Mul(_) => self.intern(Node::Pow(inner, b)),
                _ => self.pow(inner, b),
            });
        }
        self.product_of(&parts)
    }
}
