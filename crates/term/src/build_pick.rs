//! Constructors of reshapes and of picks by position.
//!
//! One form: a pick sees through reshapes and picks, takes the numbers in front out, and is a reshape where it picks every
//! element in order.

use crate::node::{NOWHERE, Node, Term};
use crate::shape::{Shape, Size};
use crate::store::Store;
use std::sync::Arc;

/// The number of elements, where all sizes are numbers.
pub(crate) fn elements(shape: &[Size]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, size| match size {
        Size::Const(m) => n.checked_mul(*m),
        _ => None,
    })
}

impl Store {
    /// The same numbers, row-major, in another shape of as many elements.
    pub fn reshape(&mut self, a: Term, shape: Shape) -> Term {
        debug_assert!(
            elements(self.shape(a)).is_none_or(|n| elements(&shape).is_none_or(|m| n == m)),
            "{:?} cannot be laid out as {shape:?}",
            self.shape(a)
        );
        if *self.shape(a) == shape {
            return a;
        }
        match self.node(a).clone() {
            Node::Fill(c, _) => self.fill(c, shape),
            Node::Reshape(b, _) => self.reshape(b, shape),
            Node::Pick { of, map, .. } => self.pick(of, map, shape),
            Node::Unpick { of, map, .. } => self.unpick(of, map, shape),
            Node::Mul(_) => {
                let (c, rest) = self.split_number(a);
                let t = self.intern(Node::Reshape(rest, shape));
                self.scale(c, t)
            }
            _ if self.rank(a) == 0 => self.fill(a, shape),
            _ => self.intern(Node::Reshape(a, shape)),
        }
    }

    /// `out[j] = a[map[j]]`, both row-major; [`NOWHERE`] gives 0.
    pub fn pick(&mut self, a: Term, map: Arc<[u32]>, shape: Shape) -> Term {
        debug_assert!(
            elements(&shape).is_none_or(|n| n == map.len()),
            "a map of {} into {shape:?}",
            map.len()
        );
        if self.is_zero(a) {
            return self.zeros(shape);
        }
        let (c, a) = self.split_number(a);
        let t = match self.node(a).clone() {
            Node::Reshape(b, _) => self.pick(b, map, shape.clone()),
            Node::Fill(x, _) if !map.contains(&NOWHERE) => self.fill(x, shape.clone()),
            Node::Pick { of, map: inner, .. } => {
                let through = |&p: &u32| if p == NOWHERE { NOWHERE } else { inner[p as usize] };
                let map = map.iter().map(through).collect();
                self.pick(of, map, shape.clone())
            }
            _ if in_order(&map, self.shape(a)) => self.reshape(a, shape.clone()),
            _ => self.intern(Node::Pick {
                of: a,
                map,
                shape: shape.clone(),
            }),
        };
        let t = self.scale(c, t);
        self.refill(t, shape)
    }

    /// `out[map[j]] += a[j]`, both row-major: the transpose of [`Store::pick`].
    pub fn unpick(&mut self, a: Term, map: Arc<[u32]>, shape: Shape) -> Term {
        debug_assert!(
            elements(self.shape(a)).is_none_or(|n| n == map.len()),
            "a map of {} from {:?}",
            map.len(),
            self.shape(a)
        );
        if self.is_zero(a) {
            return self.zeros(shape);
        }
        let (c, a) = self.split_number(a);
        let t = match self.node(a).clone() {
            Node::Reshape(b, _) => self.unpick(b, map, shape.clone()),
            _ if in_order(&map, &shape) => self.reshape(a, shape.clone()),
            _ => self.intern(Node::Unpick {
                of: a,
                map,
                shape: shape.clone(),
            }),
        };
        let t = self.scale(c, t);
        self.refill(t, shape)
    }
}

/// Every element of an array of that shape once, in its place.
fn in_order(map: &[u32], shape: &[Size]) -> bool {
    elements(shape) == Some(map.len()) && map.iter().enumerate().all(|(j, &p)| p as usize == j)
}
