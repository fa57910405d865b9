//! The shape of a node from the shapes of its parts.

use crate::node::Node;
use crate::shape::Shape;
use crate::store::Store;

/// The shape of `node`; its parts are already in the store and fit each other.
pub(crate) fn shape_of(s: &Store, node: &Node) -> Shape {
    let sh = |t: crate::Term| s.shape(t).clone();
    match node {
        Node::Sym(x) => s.sym(*x).shape.clone(),
        Node::At(base, at) => sh(*base)[at.len()..].to_vec(),
        Node::Slice(base, _, len) => {
            let mut shape = sh(*base);
            shape[0] = len.clone();
            shape
        }
        Node::Add(ts) | Node::Mul(ts) | Node::Draw(_, ts) => {
            ts.iter().map(|&t| sh(t)).max_by_key(Vec::len).unwrap_or_default()
        }
        Node::Pow(a, b) | Node::XLogY(a, b) | Node::Cmp(_, a, b) => {
            [sh(*a), sh(*b)].into_iter().max_by_key(Vec::len).unwrap_or_default()
        }
        Node::Select(c, a, b) => [sh(*c), sh(*a), sh(*b)]
            .into_iter()
            .max_by_key(Vec::len)
            .unwrap_or_default(),
        Node::Fun(_, a)
        | Node::Softmax(a)
        | Node::Inv(a)
        | Node::RowSum(a)
        | Node::IxSum(_, a)
        | Node::Hold(a)
        | Node::Fixed(a) => sh(*a),
        Node::MatVec(m, _) => vec![sh(*m)[0].clone()],
        Node::MatMul(a, b) => vec![sh(*a)[0].clone(), sh(*b)[1].clone()],
        Node::Outer(u, v) => vec![sh(*u)[0].clone(), sh(*v)[0].clone()],
        Node::Transpose(a) => {
            let mut shape = sh(*a);
            shape.reverse();
            shape
        }
        Node::Diag(v) => vec![sh(*v)[0].clone(), sh(*v)[0].clone()],
        Node::DiagOf(m) => vec![sh(*m)[0].clone()],
        Node::Eye(n) => vec![n.clone(), n.clone()],
        Node::Fill(_, shape)
        | Node::Net { shape, .. }
        | Node::Reshape(_, shape)
        | Node::Pick { shape, .. }
        | Node::Unpick { shape, .. } => shape.clone(),
        Node::Stack { rows, parts } => crate::shape::stacked(*rows, parts.iter().map(|&p| s.shape(p))),
        Node::Num(_)
        | Node::Size(_)
        | Node::Ix(_)
        | Node::Total(_)
        | Node::Product(_)
        | Node::Dot(..)
        | Node::LogDet(_)
        | Node::Quad(..)
        | Node::Trace(_)
        | Node::LogSumExp(_)
        | Node::Resp(_) => vec![],
    }
}
