//! Constructors of linear algebra.
//!
//! `LogDet`, `Quad` and `Inv` of structured matrices stay as they are written (lowering wants to see the `Diag`);
//! [`Store::structured`] expands them. A scalar operand of these three gives the scalar form at once.

use crate::node::{Node, Support, Term};
use crate::shape::Size;
use crate::store::Store;

impl Store {
    /// The number and sign in front of two bilinear operands, and the operands without them.
    pub(crate) fn split_both(&mut self, a: Term, b: Term) -> (f64, Term, Term) {
        let (ca, a) = self.split_number(a);
        let (sa, a) = self.split_sign(a);
        let (cb, b) = self.split_number(b);
        let (sb, b) = self.split_sign(b);
        (ca * sa * cb * sb, a, b)
    }

    /// aᵀ b of two vectors, in canonical order; uᵀ u becomes Σ u², and uᵀ S⁻¹ u becomes `Quad`.
    pub fn dot(&mut self, a: Term, b: Term) -> Term {
        if self.rank(a) == 0 && self.rank(b) == 0 {
            return self.mul(a, b);
        }
        debug_assert!(
            self.rank(a) == 1 && self.shape(a) == self.shape(b),
            "dot of {:?} and {:?}",
            self.shape(a),
            self.shape(b)
        );
        for (x, y) in [(a, b), (b, a)] {
            if let Node::Fill(c, _) = *self.node(x) {
                let t = self.total(y);
                return self.mul(c, t);
            }
        }
        let (c, a, b) = self.split_both(a, b);
        if a == b {
            let a2 = self.square(a);
            let t = self.total(a2);
            return self.scale(c, t);
        }
        for (x, y) in [(a, b), (b, a)] {
            if let Node::MatVec(m, z) = *self.node(y)
                && z == x
                && (matches!(self.node(m), Node::Inv(_)) || self.is_covariance_symbol(m))
            {
                let s = self.inv(m);
                let t = self.quad(s, x);
                return self.scale(c, t);
            }
        }
        let t = self.intern(Node::Dot(a.min(b), a.max(b)));
        self.scale(c, t)
    }

    /// A symbol, or an element of a family, whose type is a covariance: symmetric and positive definite.
    fn is_covariance_symbol(&self, m: Term) -> bool {
        let base = match self.node(m) {
            Node::At(base, _) => *base,
            _ => m,
        };
        matches!(*self.node(base), Node::Sym(x) if self.sym(x).support == Support::Cov)
    }

    /// Matrix times vector.
    pub fn matvec(&mut self, m: Term, v: Term) -> Term {
        debug_assert!(
            self.rank(m) == 2 && self.rank(v) == 1 && self.shape(m)[1] == self.shape(v)[0],
            "matvec of {:?} and {:?}",
            self.shape(m),
            self.shape(v)
        );
        let rows = vec![self.shape(m)[0].clone()];
        if self.is_zero(m) || self.is_zero(v) {
            return self.zeros(rows);
        }
        let (c, m, v) = self.split_both(m, v);
        let t = match self.node(m).clone() {
            Node::Eye(_) => v,
            Node::Diag(d) => self.mul(d, v),
            Node::Fill(c, _) => {
                let s = self.total(v);
                let s = self.mul(c, s);
                self.fill(s, rows.clone())
            }
            Node::Outer(a, b) => {
                let d = self.dot(b, v);
                self.mul(d, a)
            }
            Node::MatMul(a, b) => {
                let w = self.matvec(b, v);
                self.matvec(a, w)
            }
            _ => self.intern(Node::MatVec(m, v)),
        };
        let t = self.scale(c, t);
        self.refill(t, rows)
    }

    /// Matrix times matrix.
    pub fn matmul(&mut self, a: Term, b: Term) -> Term {
        debug_assert!(
            self.rank(a) == 2 && self.rank(b) == 2 && self.shape(a)[1] == self.shape(b)[0],
            "matmul of {:?} and {:?}",
            self.shape(a),
            self.shape(b)
        );
        let shape = vec![self.shape(a)[0].clone(), self.shape(b)[1].clone()];
        if self.is_zero(a) || self.is_zero(b) {
            return self.zeros(shape);
        }
        let (c, a, b) = self.split_both(a, b);
        let t = match (self.node(a).clone(), self.node(b).clone()) {
            (Node::Eye(_), _) => b,
            (_, Node::Eye(_)) => a,
            (Node::Inv(s), _) if s == b => self.eye(shape[0].clone()),
            (_, Node::Inv(s)) if s == a => self.eye(shape[0].clone()),
            (Node::Diag(u), Node::Diag(v)) => {
                let d = self.mul(u, v);
                self.diag(d)
            }
            (_, Node::Outer(u, v)) => {
                let u = self.matvec(a, u);
                self.outer(u, v)
            }
            (Node::Outer(u, v), _) => {
                let bt = self.transpose(b);
                let v = self.matvec(bt, v);
                self.outer(u, v)
            }
            _ => self.intern(Node::MatMul(a, b)),
        };
        self.scale(c, t)
    }

    /// u vᵀ.
    pub fn outer(&mut self, u: Term, v: Term) -> Term {
        debug_assert!(
            self.rank(u) == 1 && self.rank(v) == 1,
            "outer of {:?} and {:?}",
            self.shape(u),
            self.shape(v)
        );
        let shape = vec![self.shape(u)[0].clone(), self.shape(v)[0].clone()];
        if self.is_zero(u) || self.is_zero(v) {
            return self.zeros(shape);
        }
        if let (&Node::Fill(a, _), &Node::Fill(b, _)) = (self.node(u), self.node(v)) {
            let c = self.mul(a, b);
            return self.fill(c, shape);
        }
        let (c, u, v) = self.split_both(u, v);
        let t = self.intern(Node::Outer(u, v));
        self.scale(c, t)
    }

    /// Aᵀ.
    pub fn transpose(&mut self, a: Term) -> Term {
        debug_assert!(self.rank(a) == 2, "transpose of {:?}", self.shape(a));
        if self.is_symmetric(a) {
            return a;
        }
        match self.node(a).clone() {
            Node::Transpose(b) => b,
            Node::Outer(u, v) => self.outer(v, u),
            Node::Fill(c, mut shape) => {
                shape.reverse();
                self.fill(c, shape)
            }
            Node::MatMul(x, y) => {
                let (x, y) = (self.transpose(x), self.transpose(y));
                self.matmul(y, x)
            }
            Node::Add(_) | Node::Mul(_) | Node::Pow(..) | Node::Fun(..) => {
                self.map_children(a, |s, x| if s.rank(x) == 2 { s.transpose(x) } else { x })
            }
            _ => self.intern(Node::Transpose(a)),
        }
    }

    /// The diagonal matrix of a vector; of equal elements s it is s · I.
    pub fn diag(&mut self, v: Term) -> Term {
        debug_assert!(self.rank(v) == 1, "diag of {:?}", self.shape(v));
        match self.node(v).clone() {
            Node::Fill(c, shape) => {
                let i = self.eye(shape[0].clone());
                let t = self.mul(c, i);
                self.refill(t, vec![shape[0].clone(), shape[0].clone()])
            }
            _ => self.intern(Node::Diag(v)),
        }
    }

    /// The diagonal of a matrix.
    pub fn diag_of(&mut self, m: Term) -> Term {
        debug_assert!(self.rank(m) == 2, "diag_of {:?}", self.shape(m));
        let n = self.shape(m)[0].clone();
        match self.node(m).clone() {
            Node::Diag(v) => v,
            Node::Eye(_) => {
                let one = self.num(1.0);
                self.fill(one, vec![n])
            }
            Node::Fill(c, _) => self.fill(c, vec![n]),
            Node::Outer(u, v) => self.mul(u, v),
            Node::Transpose(a) => self.diag_of(a),
            Node::Add(_) | Node::Mul(_) | Node::Pow(..) | Node::Fun(..) => {
                self.map_children(m, |s, x| if s.rank(x) == 2 { s.diag_of(x) } else { x })
            }
            _ => self.intern(Node::DiagOf(m)),
        }
    }

    /// The identity matrix.
    pub fn eye(&mut self, n: Size) -> Term {
        self.intern(Node::Eye(n))
    }

    /// A⁻¹ of a symmetric positive definite matrix, or 1/a.
    pub fn inv(&mut self, a: Term) -> Term {
        if self.rank(a) == 0 {
            return self.recip(a);
        }
        match *self.node(a) {
            Node::Inv(b) => b,
            Node::Eye(_) => a,
            _ => self.intern(Node::Inv(a)),
        }
    }

    /// log |A| of a symmetric positive definite matrix, or log a.
    pub fn log_det(&mut self, a: Term) -> Term {
        if self.rank(a) == 0 {
            self.log(a)
        } else {
            self.intern(Node::LogDet(a))
        }
    }

    /// vᵀ S⁻¹ v, or v²/S of scalars.
    pub fn quad(&mut self, s: Term, v: Term) -> Term {
        if self.rank(s) == 0 && self.rank(v) == 0 {
            let v2 = self.square(v);
            return self.div(v2, s);
        }
        debug_assert!(
            self.rank(s) == 2 && self.rank(v) == 1 && self.shape(s)[0] == self.shape(v)[0],
            "quad of {:?} and {:?}",
            self.shape(s),
            self.shape(v)
        );
        if self.is_zero(v) {
            return self.num(0.0);
        }
        let (c, v) = self.split_number(v);
        let (_, v) = self.split_sign(v);
        let t = self.intern(Node::Quad(s, v));
        self.scale(c * c, t)
    }

    /// tr A; of a scalar, itself.
    pub fn trace(&mut self, a: Term) -> Term {
        match self.node(a).clone() {
            _ if self.rank(a) == 0 => a,
            Node::Eye(n) => self.size(n),
            Node::Diag(v) => self.total(v),
            Node::Outer(u, v) => self.dot(u, v),
            Node::Fill(c, shape) => {
                let n = self.size(shape[0].clone());
                self.mul(n, c)
            }
            Node::Transpose(b) => self.trace(b),
            _ => {
                let (c, rest) = self.split_number(a);
                let t = if c == 1.0 {
                    self.intern(Node::Trace(rest))
                } else {
                    self.trace(rest)
                };
                self.scale(c, t)
            }
        }
    }
}
