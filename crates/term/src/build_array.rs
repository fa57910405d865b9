//! Constructors of array operations: reductions, linear algebra, indexing, stacking.
//!
//! `LogDet`, `Quad` and `Inv` of structured matrices stay as they are written (lowering wants to see the `Diag`);
//! [`Store::structured`] expands them. A scalar operand of these three gives the scalar form at once.

use crate::node::{Cmp, Fun, IxId, Node, SymId, Term};
use crate::shape::{Shape, Size};
use crate::store::Store;

impl Store {
    fn rank(&self, t: Term) -> usize {
        self.shape(t).len()
    }

    /// The number and sign in front of two bilinear operands, and the operands without them.
    fn split_both(&mut self, a: Term, b: Term) -> (f64, Term, Term) {
        let (ca, a) = self.split_number(a);
        let (sa, a) = self.split_sign(a);
        let (cb, b) = self.split_number(b);
        let (sb, b) = self.split_sign(b);
        (ca * sa * cb * sb, a, b)
    }

    fn is_zero(&self, t: Term) -> bool {
        self.as_num(self.unfilled(t)) == Some(0.0)
    }

    /// Zero of that shape.
    pub fn zeros(&mut self, shape: Shape) -> Term {
        let z = self.num(0.0);
        self.fill(z, shape)
    }

    /// The scalar `t` repeated into a shape.
    pub fn fill(&mut self, t: Term, shape: Shape) -> Term {
        debug_assert!(self.rank(t) == 0, "fill of an array");
        if shape.is_empty() {
            t
        } else {
            self.intern(Node::Fill(t, shape))
        }
    }

    /// The number of elements of a shape.
    fn count(&mut self, shape: &[Size]) -> Term {
        let sizes: Vec<Term> = shape.iter().map(|n| self.size(n.clone())).collect();
        self.product_of(&sizes)
    }

    /// Sum of all elements.
    pub fn total(&mut self, a: Term) -> Term {
        if self.rank(a) == 0 {
            return a;
        }
        match self.node(a).clone() {
            Node::Fill(c, shape) => {
                let n = self.count(&shape);
                self.mul(n, c)
            }
            Node::Diag(v) | Node::Transpose(v) => self.total(v),
            Node::Eye(n) => self.size(n),
            Node::Outer(u, v) => {
                let (u, v) = (self.total(u), self.total(v));
                self.mul(u, v)
            }
            _ => {
                let (c, rest) = self.split_number(a);
                let t = if c == 1.0 {
                    self.intern(Node::Total(rest))
                } else {
                    self.total(rest)
                };
                self.scale(c, t)
            }
        }
    }

    /// Product of all elements.
    pub fn product(&mut self, a: Term) -> Term {
        match self.node(a).clone() {
            _ if self.rank(a) == 0 => a,
            Node::Fill(c, shape) => {
                let n = self.count(&shape);
                self.pow(c, n)
            }
            _ => self.intern(Node::Product(a)),
        }
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
                && let Node::Inv(s) = *self.node(m)
                && z == x
            {
                let t = self.quad(s, x);
                return self.scale(c, t);
            }
        }
        let t = self.intern(Node::Dot(a.min(b), a.max(b)));
        self.scale(c, t)
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
        let (cm, m) = self.split_number(m);
        let (cv, v) = self.split_number(v);
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
        let t = self.scale(cm * cv, t);
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
        let (ca, a) = self.split_number(a);
        let (cb, b) = self.split_number(b);
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
        self.scale(ca * cb, t)
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
        // a sum of scalars and a vector may have lost its vector only through a Fill, which keeps its shape
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

    /// Scalars and vectors laid end to end.
    pub fn stack(&mut self, parts: &[Term]) -> Term {
        debug_assert!(parts.iter().all(|&p| self.rank(p) <= 1), "stack of matrices");
        let mut flat = vec![];
        for &p in parts {
            match self.node(p) {
                Node::Stack { rows: false, parts } => flat.extend(parts.iter().copied()),
                _ => flat.push(p),
            }
        }
        if flat.len() == 1 && self.rank(flat[0]) == 1 {
            return flat[0];
        }
        self.intern(Node::Stack {
            rows: false,
            parts: flat.into(),
        })
    }

    /// Equal-length vectors as the rows of a matrix.
    pub fn stack_rows(&mut self, parts: &[Term]) -> Term {
        debug_assert!(
            parts
                .iter()
                .all(|&p| self.rank(p) >= 1 && self.shape(p) == self.shape(parts[0])),
            "rows of different lengths"
        );
        self.intern(Node::Stack {
            rows: true,
            parts: parts.into(),
        })
    }

    /// log Σ exp of a vector.
    pub fn log_sum_exp(&mut self, a: Term) -> Term {
        match self.node(a).clone() {
            _ if self.rank(a) == 0 => a,
            Node::Stack { parts, .. } if parts.len() == 1 && self.rank(parts[0]) == 0 => parts[0],
            Node::Fill(c, shape) => {
                let n = self.count(&shape);
                let l = self.log(n);
                self.add(c, l)
            }
            _ => self.intern(Node::LogSumExp(a)),
        }
    }

    /// Softmax of a vector; scalars added to every element drop out.
    pub fn softmax(&mut self, a: Term) -> Term {
        let shape = self.shape(a).clone();
        match self.node(a).clone() {
            _ if shape.is_empty() => self.num(1.0),
            Node::Fill(..) => {
                let n = self.count(&shape);
                let p = self.recip(n);
                self.fill(p, shape)
            }
            Node::Add(ts) => {
                let arrays: Vec<Term> = ts.iter().copied().filter(|&t| self.rank(t) > 0).collect();
                let v = self.sum(&arrays);
                self.intern(Node::Softmax(v))
            }
            _ => self.intern(Node::Softmax(a)),
        }
    }

    /// Output `output` of net `net` applied to arguments.
    pub fn net(&mut self, net: u32, output: u32, args: &[Term], shape: Shape) -> Term {
        self.intern(Node::Net {
            net,
            output,
            args: args.into(),
            shape,
        })
    }

    /// Σₙ over the rows, each counted with its weight.
    pub fn row_sum(&mut self, t: Term) -> Term {
        if self.is_zero(t) {
            return t;
        }
        if let Some(x) = self.as_num(t)
            && x != 1.0
        {
            let one = self.num(1.0);
            let n = self.intern(Node::RowSum(one));
            return self.scale(x, n);
        }
        let (c, rest) = self.split_number(t);
        let s = self.intern(Node::RowSum(rest));
        self.scale(c, s)
    }

    /// Σ over a bound index; a term without it is counted.
    pub fn ix_sum(&mut self, i: IxId, t: Term) -> Term {
        let ix = self.index(i);
        if !self.depends_on(t, |n| *n == Node::Ix(i)) {
            let n = self.size(self.ix(i).size.clone());
            return self.mul(n, t);
        }
        if self.ix(i).size == Size::Const(1) {
            let zero = self.num(0.0);
            return self.substitute(t, &[(ix, zero)].into());
        }
        let (c, rest) = self.split_number(t);
        let s = self.intern(Node::IxSum(i, rest));
        self.scale(c, s)
    }

    /// The posterior probability that a row's finite latents take those values.
    pub fn resp(&mut self, values: &[(SymId, Term)]) -> Term {
        let mut values = values.to_vec();
        values.sort();
        self.intern(Node::Resp(values.into()))
    }

    /// `base[a ..]` of that length along the first axis, 0-based.
    pub fn slice(&mut self, base: Term, from: Term, len: Size) -> Term {
        debug_assert!(self.rank(base) >= 1, "slice of a scalar");
        if self.as_num(from) == Some(0.0) && self.shape(base)[0] == len {
            return base;
        }
        match self.node(base).clone() {
            Node::Fill(c, mut shape) => {
                shape[0] = len;
                self.fill(c, shape)
            }
            Node::Slice(inner, start, _) => {
                let from = self.add(start, from);
                self.slice(inner, from, len)
            }
            _ => self.intern(Node::Slice(base, from, len)),
        }
    }

    /// `base[i, j, …]`, 0-based: picked through elementwise operators, stacks, products and transposes, so that only
    /// the element asked for is computed.
    pub fn at(&mut self, base: Term, at: &[Term]) -> Term {
        debug_assert!(
            at.len() <= self.rank(base),
            "{} indices into {:?}",
            at.len(),
            self.shape(base)
        );
        let Some((&first, rest)) = at.split_first() else {
            return base;
        };
        let node = self.node(base).clone();
        match node {
            Node::At(inner, before) => {
                let all: Vec<Term> = before.iter().chain(at).copied().collect();
                self.at(inner, &all)
            }
            Node::Fill(c, shape) => self.fill(c, shape[at.len()..].to_vec()),
            Node::Add(_)
            | Node::Mul(_)
            | Node::Pow(..)
            | Node::Fun(..)
            | Node::XLogY(..)
            | Node::Cmp(..)
            | Node::Select(..) => {
                let at = at.to_vec();
                let shape = self.shape(base)[at.len()..].to_vec();
                let t = self.map_children(base, |s, x| if s.rank(x) == 0 { x } else { s.at(x, &at) });
                self.refill(t, shape)
            }
            // the index bound by the sum must not capture one of ours
            Node::IxSum(i, _) if at.iter().any(|&x| self.depends_on(x, |n| *n == Node::Ix(i))) => {
                self.intern(Node::At(base, at.into()))
            }
            Node::IxSum(..) => self.map_children(base, |s, x| s.at(x, at)),
            Node::RowSum(_) if !at.iter().any(|&x| self.per_row(x)) => self.map_children(base, |s, x| s.at(x, at)),
            Node::Stack { rows, parts } => match self.stacked_part(rows, &parts, first) {
                Some((part, None)) => self.at(part, rest),
                Some((part, Some(inner))) => self.at(part, &[inner]),
                None => self.intern(Node::At(base, at.into())),
            },
            Node::Slice(inner, from, _) => {
                let i = self.add(from, first);
                let all: Vec<Term> = std::iter::once(i).chain(rest.iter().copied()).collect();
                self.at(inner, &all)
            }
            _ => self.at_linear(base, node, first, rest),
        }
    }

    fn at_linear(&mut self, base: Term, node: Node, first: Term, rest: &[Term]) -> Term {
        match (node, rest) {
            (Node::MatVec(m, v), []) => {
                let row = self.at(m, &[first]);
                self.dot(row, v)
            }
            (Node::MatMul(a, b), _) => {
                let row = self.at(a, &[first]);
                let bt = self.transpose(b);
                let t = self.matvec(bt, row);
                self.at(t, rest)
            }
            (Node::Outer(u, v), _) => {
                let (u, v) = (self.at(u, &[first]), self.at(v, rest));
                self.mul(u, v)
            }
            (Node::Transpose(a), [second]) => self.at(a, &[*second, first]),
            (Node::Diag(v), [second]) => {
                let same = self.cmp(Cmp::Eq, first, *second);
                let v = self.at(v, &[first]);
                self.mul(same, v)
            }
            (Node::Eye(_), [second]) => self.cmp(Cmp::Eq, first, *second),
            (Node::DiagOf(m), []) => self.at(m, &[first, first]),
            _ => {
                let all: Vec<Term> = std::iter::once(first).chain(rest.iter().copied()).collect();
                self.intern(Node::At(base, all.into()))
            }
        }
    }

    /// The part of a stack at a known position, and the position within it where the part is a vector of a vector.
    fn stacked_part(&mut self, rows: bool, parts: &[Term], i: Term) -> Option<(Term, Option<Term>)> {
        let mut left = self.as_num(i)?;
        for &p in parts {
            let len = match self.shape(p).first() {
                _ if rows => 1.0,
                None => 1.0,
                Some(Size::Const(n)) => *n as f64,
                Some(_) => return None,
            };
            if left < len {
                let inner = (!rows && self.rank(p) == 1).then(|| self.num(left));
                return Some((p, inner));
            }
            left -= len;
        }
        None
    }

    /// −½ a, as densities have it.
    pub fn minus_half(&mut self, a: Term) -> Term {
        self.scale(-0.5, a)
    }

    /// log Γ(a), elementwise.
    pub fn lgamma(&mut self, a: Term) -> Term {
        self.fun(Fun::Lgamma, a)
    }
}
