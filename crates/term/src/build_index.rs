//! Constructors that pick and lay together: elements, slices, stacks.

use crate::node::{Cmp, Node, Term};
use crate::shape::Size;
use crate::store::Store;

impl Store {
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
            | Node::Draw(..)
            | Node::Fixed(_)
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
}
