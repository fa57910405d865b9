//! Constructors of sums and products.
//!
//! Directed rewrites, each a simplification: constants fold; nested sums and products flatten and are sorted by id
//! (a number first); equal addends and equal bases are collected; −1 distributes over a sum; 0 · x → 0 where
//! [`Store::is_finite`] knows x to be finite; x · x⁻¹ → 1 and x − x → 0 (away from poles of x); a sum under an even
//! power, or inside a product, gets the sign that makes its leading addend positive. Scalars broadcast; a `Fill` among
//! arrays is the scalar it repeats.

use crate::node::{Node, Num, Term};
use crate::shape::{Shape, Size};
use crate::store::Store;
use std::collections::BTreeMap;

impl Store {
    /// The common shape of operands of an elementwise operator: all equal, or scalars.
    pub(crate) fn broadcast(&self, ts: &[Term]) -> Shape {
        let shape = ts
            .iter()
            .map(|&t| self.shape(t))
            .max_by_key(|s| s.len())
            .cloned()
            .unwrap_or_default();
        debug_assert!(
            ts.iter().all(|&t| self.shape(t).is_empty() || *self.shape(t) == shape),
            "elementwise operands of different shapes: {:?}",
            ts.iter().map(|&t| self.shape(t)).collect::<Vec<_>>()
        );
        shape
    }

    /// The scalar that a `Fill` repeats, or the term itself.
    pub(crate) fn unfilled(&self, t: Term) -> Term {
        match self.node(t) {
            Node::Fill(c, _) => *c,
            _ => t,
        }
    }

    /// `t` where it has that shape already, otherwise the scalar `t` repeated.
    pub fn refill(&mut self, t: Term, shape: Shape) -> Term {
        if *self.shape(t) == shape {
            t
        } else {
            self.fill(t, shape)
        }
    }

    /// A size as a number.
    pub fn size(&mut self, size: Size) -> Term {
        match size {
            Size::Const(n) => self.num(n as f64),
            Size::Sum(parts) => {
                let parts: Vec<Term> = parts.iter().map(|p| self.size(p.clone())).collect();
                self.sum(&parts)
            }
            Size::Dim(_) => self.intern(Node::Size(size)),
        }
    }

    /// The number in front of a term, and the rest: 2·a·b gives (2, a·b).
    pub fn split_number(&mut self, t: Term) -> (f64, Term) {
        match self.node(t).clone() {
            Node::Mul(fs) => match self.as_num(fs[0]) {
                Some(c) if fs.len() == 2 => (c, fs[1]),
                Some(c) => (c, self.intern(Node::Mul(fs[1..].into()))),
                None => (1.0, t),
            },
            _ => (1.0, t),
        }
    }

    /// c · t.
    pub fn scale(&mut self, c: f64, t: Term) -> Term {
        let c = self.num(c);
        self.product_of(&[c, t])
    }

    /// a + b.
    pub fn add(&mut self, a: Term, b: Term) -> Term {
        self.sum(&[a, b])
    }

    /// a − b.
    pub fn sub(&mut self, a: Term, b: Term) -> Term {
        let b = self.neg(b);
        self.sum(&[a, b])
    }

    /// −a.
    pub fn neg(&mut self, a: Term) -> Term {
        self.scale(-1.0, a)
    }

    /// Σ of terms, elementwise; 0 for none.
    pub fn sum(&mut self, terms: &[Term]) -> Term {
        let shape = self.broadcast(terms);
        let mut numbers = vec![];
        let mut parts: BTreeMap<Term, f64> = BTreeMap::new();
        let mut todo: Vec<Term> = terms.to_vec();
        while let Some(t) = todo.pop() {
            match self.node(t).clone() {
                Node::Num(x) => numbers.push(x.get()),
                Node::Add(ts) => todo.extend(ts.iter()),
                Node::Fill(c, _) => todo.push(c),
                _ => {
                    let (c, core) = self.split_number(t);
                    *parts.entry(core).or_insert(0.0) += c;
                }
            }
        }
        let mut out = vec![];
        let mut again = self.pair_softplus(&mut parts);
        for (core, c) in parts {
            if c != 0.0 {
                let t = if c == 1.0 { core } else { self.scale(c, core) };
                again |= matches!(self.node(t), Node::Add(_) | Node::Num(_));
                out.push(t);
            }
        }
        // sorted first: the order of the operands must not show in the rounding of a folded constant
        numbers.sort_by(f64::total_cmp);
        let constant: f64 = numbers.iter().sum();
        if constant.is_nan() {
            // ∞ − ∞ has no number: the infinities stay as they are, and evaluate to NaN
            numbers.dedup();
            out.extend(
                numbers
                    .into_iter()
                    .map(|x| self.intern(Node::Num(Num::new(x))))
                    .collect::<Vec<_>>(),
            );
            let t = self.sorted(out, Node::Add);
            return self.refill(t, shape);
        }
        if constant != 0.0 || out.is_empty() {
            out.push(self.num(constant));
        }
        let t = if out.len() == 1 {
            out[0]
        } else if again {
            self.sum(&out)
        } else {
            self.sorted(out, Node::Add)
        };
        self.refill(t, shape)
    }

    /// Numbers first, then by id.
    fn sorted(&mut self, mut ts: Vec<Term>, make: fn(Box<[Term]>) -> Node) -> Term {
        ts.sort_by_key(|&t| (self.as_num(t).is_none(), t));
        self.intern(make(ts.into()))
    }

    /// ±1 and a term, so that their product is `t`: a sum's leading addend (the one that varies by row, then data
    /// before latents before parameters, then the oldest) becomes positive, but 1 − p of a probability stays. x − μ and μ − x are thus the same base of a square.
    pub(crate) fn split_sign(&mut self, t: Term) -> (f64, Term) {
        let Node::Add(ts) = self.node(t).clone() else {
            return match self.split_number(t) {
                (c, rest) if c < 0.0 => (-1.0, if c == -1.0 { rest } else { self.scale(-c, rest) }),
                _ => (1.0, t),
            };
        };
        match self.known_sign(&ts) {
            Some(true) => return (1.0, t),
            Some(false) => return (-1.0, self.negated_sum(&ts)),
            None => {}
        }
        // the core of an addend decides, so that its coefficient does not
        let mut keyed: Vec<(bool, bool, u8, Term, f64)> = vec![];
        for &a in &ts {
            let (c, core) = self.split_number(a);
            let value = self.as_num(core);
            let sign = if value.is_some_and(|x| x < 0.0) { -c } else { c };
            keyed.push((value.is_some(), !self.per_row(core), self.content(core), core, sign));
        }
        let lead = keyed.iter().min_by_key(|k| (k.0, k.1, k.2, k.3)).map_or(1.0, |k| k.4);
        if lead < 0.0 {
            (-1.0, self.negated_sum(&ts))
        } else {
            (1.0, t)
        }
    }

    fn negated_sum(&mut self, addends: &[Term]) -> Term {
        let negated: Vec<Term> = addends
            .iter()
            .map(|&a| match self.as_num(a) {
                Some(x) => self.num(-x),
                None => {
                    let (c, core) = self.split_number(a);
                    if c == -1.0 { core } else { self.scale(-c, core) }
                }
            })
            .collect();
        self.sum(&negated)
    }

    /// a · b, elementwise; a scalar multiplies every element.
    pub fn mul(&mut self, a: Term, b: Term) -> Term {
        self.product_of(&[a, b])
    }

    /// Π of terms, elementwise; 1 for none.
    pub fn product_of(&mut self, terms: &[Term]) -> Term {
        let shape = self.broadcast(terms);
        let t = self.product_flat(terms);
        self.refill(t, shape)
    }

    fn product_flat(&mut self, terms: &[Term]) -> Term {
        let mut c = 1.0;
        let mut numbers = vec![];
        let mut bases: BTreeMap<Term, Vec<Term>> = BTreeMap::new();
        let mut todo: Vec<Term> = terms.to_vec();
        let one = self.num(1.0);
        while let Some(t) = todo.pop() {
            match self.node(t).clone() {
                Node::Num(x) => numbers.push(x.get()),
                Node::Mul(ts) => todo.extend(ts.iter()),
                Node::Fill(x, _) => todo.push(x),
                Node::Pow(b, e) => bases.entry(b).or_default().push(e),
                Node::Add(_) => {
                    let (sign, base) = self.split_sign(t);
                    c *= sign;
                    bases.entry(base).or_default().push(one);
                }
                _ => bases.entry(t).or_default().push(one),
            }
        }
        numbers.sort_by(f64::total_cmp);
        let folded = numbers.iter().product::<f64>() * c;
        if folded.is_nan() {
            // 0 · ∞: the numbers stay apart, and evaluate to NaN
            let ts: Vec<Term> = numbers.iter().map(|&x| self.num(x)).chain(bases.into_keys()).collect();
            return self.sorted(ts, Node::Mul);
        }
        c = folded;
        let mut out = vec![];
        let mut again = false;
        for (base, exponents) in bases {
            let merged = exponents.len() > 1;
            let e = self.sum(&exponents);
            let t = self.pow(base, e);
            again |= merged
                && match self.node(t) {
                    Node::Num(_) | Node::Mul(_) | Node::Fill(..) => true,
                    Node::Pow(b, _) => *b != base,
                    _ => false,
                };
            out.push(t);
        }
        if again {
            out.push(self.num(c));
            return self.product_flat(&out);
        }
        out.retain(|&t| self.as_num(t) != Some(1.0));
        self.product_sorted(c, out)
    }

    fn product_sorted(&mut self, c: f64, mut out: Vec<Term>) -> Term {
        if out.is_empty() {
            return self.num(c);
        }
        if c == 0.0 && out.iter().all(|&t| self.is_finite(t)) {
            return self.num(0.0);
        }
        if let [single] = out[..] {
            if c == 1.0 {
                return single;
            }
            if let (true, Node::Add(ts)) = (c == -1.0, self.node(single).clone()) {
                return self.negated_sum(&ts);
            }
        }
        if c != 1.0 {
            out.push(self.num(c));
        }
        self.sorted(out, Node::Mul)
    }

    /// a / b.
    pub fn div(&mut self, a: Term, b: Term) -> Term {
        let b = self.recip(b);
        self.mul(a, b)
    }
}
