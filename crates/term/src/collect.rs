//! A scalar term as a function of an unknown: Σ ⟨coefficient, atom⟩, where only atoms depend on the unknown.

use crate::node::{Fun, IxId, Node, Term};
use crate::rules::Depends;
use crate::store::Store;

/// One part of a collected term: Σ over the indices `over` of the sum of all elements of coefficient ⊙ atom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Bound indices of enclosing sums that the atom speaks of.
    pub over: Vec<IxId>,
    /// Does not depend on the unknown; the shape of the atom.
    pub coefficient: Term,
    /// Depends on the unknown, or is 1.
    pub atom: Term,
}

impl Store {
    /// Writes a scalar term as Σ ⟨coefficient, atom⟩ with ⟨C, a⟩ the sum of all elements of C ⊙ a: atoms depend on the
    /// unknown, coefficients do not, and both have the same shape. What does not depend on the unknown has the atom 1.
    /// Linear operators go over to the coefficient (`wᵀ M v` in w: coefficient M v, atom w), and a square of a linear
    /// form gives the atom w wᵀ (of the elements alone, w²). A coefficient times `log x` reads 0 · (−∞) as 0.
    pub fn collect(&mut self, t: Term, depends: Depends<'_>) -> Vec<(Term, Term)> {
        let mut out: Vec<(Term, Term)> = vec![];
        for p in self.collect_indexed(t, depends) {
            let (mut c, mut a) = (p.coefficient, p.atom);
            if !p.over.is_empty() {
                let product = self.mul(c, a);
                let mut inner = self.total(product);
                for &i in &p.over {
                    inner = self.ix_sum(i, inner);
                }
                (c, a) = (self.num(1.0), inner);
            }
            match out.iter_mut().find(|(_, b)| *b == a) {
                Some((sum, _)) => *sum = self.add(*sum, c),
                None => out.push((c, a)),
            }
        }
        let one = self.num(1.0);
        out.sort_by_key(|&(_, a)| (a != one, a));
        out
    }

    /// As [`Store::collect`], with sums over an index left open where the atom speaks of the index: for
    /// Σₙ Σₖ rₙₖ log πₖ in π it gives the coefficient Σₙ rₙₖ of the atom log πₖ, over k.
    pub fn collect_indexed(&mut self, t: Term, depends: Depends<'_>) -> Vec<Part> {
        debug_assert!(self.shape(t).is_empty(), "collect of an array");
        let expanded = self.expand_in(t, depends);
        let one = self.num(1.0);
        let mut collector = Collector {
            s: self,
            depends,
            parts: vec![],
        };
        collector.push(one, expanded);
        let parts = collector.parts;
        self.merge_parts(parts)
    }

    fn merge_parts(&mut self, parts: Vec<Part>) -> Vec<Part> {
        let mut out: Vec<Part> = vec![];
        for p in parts {
            match out.iter_mut().find(|q| q.atom == p.atom && q.over == p.over) {
                Some(q) => q.coefficient = self.add(q.coefficient, p.coefficient),
                None => out.push(p),
            }
        }
        out.retain(|p| self.as_num(self.unfilled(p.coefficient)) != Some(0.0));
        out
    }
}

struct Collector<'a> {
    s: &'a mut Store,
    depends: Depends<'a>,
    parts: Vec<Part>,
}

impl Collector<'_> {
    fn dep(&self, t: Term) -> bool {
        (self.depends)(self.s, t)
    }

    fn leaf(&mut self, c: Term, atom: Term) {
        let coefficient = self.s.refill(c, self.s.shape(atom).clone());
        self.parts.push(Part {
            over: vec![],
            coefficient,
            atom,
        });
    }

    /// Adds ⟨c, t⟩; `c` has the shape of `t`.
    fn push(&mut self, c: Term, t: Term) {
        if !self.dep(t) {
            let product = self.s.mul(c, t);
            let total = self.s.total(product);
            let one = self.s.num(1.0);
            return self.leaf(total, one);
        }
        match self.s.node(t).clone() {
            Node::Add(ts) => ts.iter().for_each(|&x| self.push_broadcast(c, x)),
            Node::Mul(fs) => self.product(c, &fs),
            Node::Pow(a, p) if self.s.as_num(p) == Some(2.0) => self.square(c, t, a),
            Node::XLogY(y, x) => self.xlogy(c, t, y, x),
            Node::Total(u) => {
                let shape = self.s.shape(u).clone();
                let c = self.s.fill(c, shape);
                self.push(c, u);
            }
            Node::Trace(u) => {
                let i = self.s.eye(self.s.shape(u)[0].clone());
                let c = self.s.mul(c, i);
                self.push(c, u);
            }
            Node::Fill(u, _) => {
                let c = self.s.total(c);
                self.push(c, u);
            }
            Node::Transpose(u) => {
                let c = self.s.transpose(c);
                self.push(c, u);
            }
            Node::Diag(u) => {
                let c = self.s.diag_of(c);
                self.push(c, u);
            }
            Node::DiagOf(u) => {
                let c = self.s.diag(c);
                self.push(c, u);
            }
            Node::RowSum(_) | Node::IxSum(..) => self.sums(c, t),
            _ => self.bilinear(c, t),
        }
    }

    /// ⟨c, x⟩ where a scalar x stands for its array.
    fn push_broadcast(&mut self, c: Term, x: Term) {
        let c = if self.s.shape(x).is_empty() { self.s.total(c) } else { c };
        self.push(c, x);
    }

    fn product(&mut self, c: Term, factors: &[Term]) {
        let (with, without): (Vec<Term>, Vec<Term>) = factors.iter().partition(|&&f| self.dep(f));
        let outer = self.s.product_of(&without);
        let c = self.s.mul(c, outer);
        match with[..] {
            [single] => self.push_broadcast(c, single),
            [a, b] if self.s.shape(c).is_empty() && self.linear_form(a).is_some() && self.linear_form(b).is_some() => {
                self.product_of_forms(c, a, b);
            }
            _ => {
                let atom = self.s.product_of(&with);
                let c = if self.s.shape(atom).is_empty() {
                    self.s.total(c)
                } else {
                    c
                };
                self.leaf(c, atom);
            }
        }
    }

    /// a and v of a linear form aᵀ v of the unknown.
    fn linear_form(&self, t: Term) -> Option<(Term, Term)> {
        let Node::Dot(a, b) = *self.s.node(t) else { return None };
        match (self.dep(a), self.dep(b)) {
            (false, true) => Some((a, b)),
            (true, false) => Some((b, a)),
            _ => None,
        }
    }

    /// (aᵀ v)(bᵀ w) = ⟨a bᵀ, v wᵀ⟩.
    fn product_of_forms(&mut self, c: Term, x: Term, y: Term) {
        if let (Some((a, v)), Some((b, w))) = (self.linear_form(x), self.linear_form(y)) {
            let ab = self.s.outer(a, b);
            let c = self.s.mul(c, ab);
            let vw = self.s.outer(v, w);
            self.push(c, vw);
        }
    }

    /// (aᵀ v)², and elementwise ⟨c, (A v)²⟩ = ⟨diag c, (A v)(A v)ᵀ⟩.
    fn square(&mut self, c: Term, t: Term, a: Term) {
        if self.linear_form(a).is_some() {
            self.product_of_forms(c, a, a);
        } else if matches!(self.s.node(a), Node::MatVec(..)) {
            let (c, aa) = (self.s.diag(c), self.s.outer(a, a));
            self.push(c, aa);
        } else {
            self.leaf(c, t);
        }
    }

    fn xlogy(&mut self, c: Term, t: Term, y: Term, x: Term) {
        match (self.dep(y), self.dep(x)) {
            (false, true) => {
                let c = self.s.mul(c, y);
                let l = self.s.log(x);
                self.push_broadcast(c, l);
            }
            (true, false) => {
                let l = self.s.fun(Fun::Log, x);
                let c = self.s.mul(c, l);
                self.push_broadcast(c, y);
            }
            _ => self.leaf(c, t),
        }
    }

    fn bilinear(&mut self, c: Term, t: Term) {
        let node = self.s.node(t).clone();
        let (a, b) = match node {
            Node::Dot(a, b) | Node::MatVec(a, b) | Node::MatMul(a, b) | Node::Outer(a, b) | Node::Quad(a, b) => (a, b),
            _ => return self.leaf(c, t),
        };
        let (in_a, in_b) = (self.dep(a), self.dep(b));
        let s = &mut *self.s;
        match node {
            Node::Dot(..) if !(in_a && in_b) => {
                let (fixed, free) = if in_a { (b, a) } else { (a, b) };
                let c = s.mul(c, fixed);
                self.push(c, free);
            }
            Node::Dot(..) => {
                let i = s.eye(s.shape(a)[0].clone());
                let c = s.mul(c, i);
                let ab = s.outer(a, b);
                self.push(c, ab);
            }
            Node::Quad(..) if !in_b => {
                let (ee, inverse) = (s.outer(b, b), s.inv(a));
                let c = s.mul(c, ee);
                self.push(c, inverse);
            }
            Node::Quad(..) if !in_a => {
                let (inverse, ee) = (s.inv(a), s.outer(b, b));
                let c = s.mul(c, inverse);
                self.push(c, ee);
            }
            Node::MatVec(..) if !in_a => {
                let at = s.transpose(a);
                let c = s.matvec(at, c);
                self.push(c, b);
            }
            Node::MatVec(..) if !in_b => {
                let c = s.outer(c, b);
                self.push(c, a);
            }
            Node::MatMul(..) if !in_a => {
                let at = s.transpose(a);
                let c = s.matmul(at, c);
                self.push(c, b);
            }
            Node::MatMul(..) if !in_b => {
                let bt = s.transpose(b);
                let c = s.matmul(c, bt);
                self.push(c, a);
            }
            Node::Outer(..) => self.outer(c, t, a, b),
            _ => self.leaf(c, t),
        }
    }

    /// ⟨C, u vᵀ⟩ = ⟨Cᵀ u, v⟩ where u is fixed; ⟨C, (A w) vᵀ⟩ = ⟨Aᵀ C, w vᵀ⟩; ⟨s C, (W a)(V b)ᵀ⟩ = ⟨s a bᵀ, Wᵀ C V⟩
    /// where a and b are fixed.
    fn outer(&mut self, c: Term, t: Term, u: Term, v: Term) {
        let (in_u, in_v) = (self.dep(u), self.dep(v));
        let (nu, nv) = (self.s.node(u).clone(), self.s.node(v).clone());
        match (nu, nv) {
            _ if !in_u => {
                let ct = self.s.transpose(c);
                let c = self.s.matvec(ct, u);
                self.push(c, v);
            }
            _ if !in_v => {
                let c = self.s.matvec(c, v);
                self.push(c, u);
            }
            (Node::MatVec(m, w), _) if !self.dep(m) => {
                let mt = self.s.transpose(m);
                let c = self.s.matmul(mt, c);
                let wv = self.s.outer(w, v);
                self.push(c, wv);
            }
            (_, Node::MatVec(m, w)) if !self.dep(m) => {
                let c = self.s.matmul(c, m);
                let uw = self.s.outer(u, w);
                self.push(c, uw);
            }
            (Node::MatVec(m, a), Node::MatVec(l, b)) if !self.dep(a) && !self.dep(b) => {
                let (scalar, matrix) = self.s.split_scaled(c).unwrap_or((self.s.num(1.0), c));
                let (ab, mt, right) = (self.s.outer(a, b), self.s.transpose(m), self.s.matmul(matrix, l));
                let (c, atom) = (self.s.mul(scalar, ab), self.s.matmul(mt, right));
                self.leaf(c, atom);
            }
            _ => self.leaf(c, t),
        }
    }

    /// ⟨c, Σₙ u⟩ = Σₙ ⟨c, u⟩: coefficients are summed where their atoms do not vary, whole products where they do.
    fn sums(&mut self, c: Term, t: Term) {
        let node = self.s.node(t).clone();
        let (bound, u) = match node {
            Node::RowSum(u) => (None, u),
            Node::IxSum(i, u) => (Some(i), u),
            _ => return self.leaf(c, t),
        };
        let clash = match bound {
            None => self.s.per_row(c),
            Some(i) => self.s.free_indices(c).contains(&i),
        };
        if clash {
            return self.leaf(c, t);
        }
        // a scalar stays outside, where it reads better
        let scalar = self.s.shape(c).is_empty();
        let inner_c = if scalar { self.s.num(1.0) } else { c };
        let outside = std::mem::take(&mut self.parts);
        self.push(inner_c, u);
        let inside = std::mem::replace(&mut self.parts, outside);
        for mut p in inside {
            match bound {
                Some(i) if self.s.free_indices(p.atom).contains(&i) => p.over.push(i),
                Some(i) => p.coefficient = self.s.ix_sum(i, p.coefficient),
                None if self.s.per_row(p.atom) => {
                    let product = self.s.mul(p.coefficient, p.atom);
                    let total = self.s.total(product);
                    (p.coefficient, p.atom) = (self.s.num(1.0), self.s.row_sum(total));
                }
                None => p.coefficient = self.s.row_sum(p.coefficient),
            }
            if scalar {
                p.coefficient = self.s.mul(c, p.coefficient);
            }
            self.parts.push(p);
        }
    }
}
