//! Precisions that differ from row to row, read as a sum of forms that a block of rows can be given.

use lvmc_term::{Node, Store, Term};

/// An addend of a symmetric matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The same for all rows.
    Flat(Term),
    /// `scale · A diag(u) B`, with flat A and B and a vector u of data, times a flat vector: linear in the data.
    Weighted {
        /// A scalar, flat.
        scale: Term,
        /// A.
        left: Term,
        /// u, of the row.
        by: Term,
        /// A flat vector that multiplies u, or 1.
        fixed: Term,
        /// B.
        right: Term,
    },
    /// A matrix whose elements are computed row by row: a row's scalar times a matrix, an outer product, flat matrices times
    /// one element by element, a product of a row's matrices.
    Row(Term),
}

/// The addends of a precision; `None` where one of them is of no such form.
pub fn parts(s: &mut Store, precision: Term) -> Option<Vec<Part>> {
    let expanded = s.expand(precision);
    s.addends(expanded).into_iter().map(|t| part(s, t)).collect()
}

fn part(s: &mut Store, t: Term) -> Option<Part> {
    if !s.per_row(t) {
        return Some(Part::Flat(t));
    }
    let (scalars, arrays): (Vec<Term>, Vec<Term>) = s.factors(t).into_iter().partition(|&f| s.shape(f).is_empty());
    let flat_or_outer = arrays.iter().all(|&m| !s.per_row(m) || outer(s, m));
    if arrays.len() > 1 && flat_or_outer && !scalars.iter().any(|&c| s.per_row(c)) {
        return Some(Part::Row(t));
    }
    let [m] = arrays[..] else { return None };
    let scale = s.product_of(&scalars);
    if !s.per_row(scale)
        && let Some((left, u, right)) = weighted(s, m)
        && !s.per_row(left)
        && !s.per_row(right)
    {
        let (data, flat): (Vec<Term>, Vec<Term>) = s.factors(u).into_iter().partition(|&f| s.per_row(f));
        let (by, fixed) = (s.product_of(&data), s.product_of(&flat));
        return Some(Part::Weighted {
            scale,
            left,
            by,
            fixed,
            right,
        });
    }
    (!s.per_row(m) || matches!(s.node(m), Node::Outer(..) | Node::Diag(_) | Node::MatMul(..))).then_some(Part::Row(t))
}

fn outer(s: &Store, m: Term) -> bool {
    matches!(s.node(m), Node::Outer(..))
}

/// A, u and B of `A diag(u) B`.
fn weighted(s: &Store, m: Term) -> Option<(Term, Term, Term)> {
    let Node::MatMul(a, b) = *s.node(m) else { return None };
    match (s.node(a), s.node(b)) {
        (_, Node::MatMul(d, right)) => match *s.node(*d) {
            Node::Diag(u) => Some((a, u, *right)),
            _ => None,
        },
        (Node::MatMul(left, d), _) => match *s.node(*d) {
            Node::Diag(u) => Some((*left, u, b)),
            _ => None,
        },
        _ => None,
    }
}
