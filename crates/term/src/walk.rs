//! The parts of a node, and rebuilding a node from other parts.

use crate::node::{IxId, Node, Term};
use crate::store::Store;

/// The direct parts of a node, in the order in which they are written.
#[must_use]
pub fn children(node: &Node) -> Vec<Term> {
    match node {
        Node::Num(_) | Node::Size(_) | Node::Sym(_) | Node::Ix(_) | Node::Eye(_) => vec![],
        Node::At(base, at) => std::iter::once(*base).chain(at.iter().copied()).collect(),
        Node::Add(ts) | Node::Mul(ts) => ts.to_vec(),
        Node::Stack { parts, .. } => parts.to_vec(),
        Node::Draw(_, args) => args.to_vec(),
        Node::Net { args, .. } => args.to_vec(),
        Node::Resp(values) => values.iter().map(|&(_, t)| t).collect(),
        Node::Select(a, b, c) => vec![*a, *b, *c],
        Node::Slice(a, b, _)
        | Node::Pow(a, b)
        | Node::XLogY(a, b)
        | Node::Cmp(_, a, b)
        | Node::Dot(a, b)
        | Node::MatVec(a, b)
        | Node::MatMul(a, b)
        | Node::Outer(a, b)
        | Node::Quad(a, b) => vec![*a, *b],
        Node::Fun(_, a)
        | Node::Total(a)
        | Node::Product(a)
        | Node::Transpose(a)
        | Node::Diag(a)
        | Node::DiagOf(a)
        | Node::Fill(a, _)
        | Node::Inv(a)
        | Node::LogDet(a)
        | Node::Trace(a)
        | Node::LogSumExp(a)
        | Node::Reshape(a, _)
        | Node::Pick { of: a, .. }
        | Node::Unpick { of: a, .. }
        | Node::Softmax(a)
        | Node::RowSum(a)
        | Node::IxSum(_, a)
        | Node::Fixed(a)
        | Node::Hold(a) => vec![*a],
    }
}

impl Store {
    /// The node of `t` built again, through the constructors, from `f` of each part.
    pub fn map_children(&mut self, t: Term, mut f: impl FnMut(&mut Store, Term) -> Term) -> Term {
        let node = self.node(t).clone();
        let parts: Vec<Term> = children(&node).into_iter().map(|c| f(self, c)).collect();
        if parts == children(&node) {
            return t;
        }
        self.rebuild(&node, &parts)
    }

    /// `node` with other parts, through the constructors; `parts` are as [`children`] gives them.
    pub fn rebuild(&mut self, node: &Node, parts: &[Term]) -> Term {
        match node {
            Node::Num(_) | Node::Size(_) | Node::Sym(_) | Node::Ix(_) | Node::Eye(_) => self.intern(node.clone()),
            Node::At(..) => self.at(parts[0], &parts[1..]),
            Node::Slice(_, _, len) => self.slice(parts[0], parts[1], len.clone()),
            Node::Add(_) => self.sum(parts),
            Node::Mul(_) => self.product_of(parts),
            Node::Pow(..) => self.pow(parts[0], parts[1]),
            Node::Fun(f, _) => self.fun(*f, parts[0]),
            Node::XLogY(..) => self.xlogy(parts[0], parts[1]),
            Node::Cmp(c, ..) => self.cmp(*c, parts[0], parts[1]),
            Node::Select(..) => self.select(parts[0], parts[1], parts[2]),
            Node::Total(_) => self.total(parts[0]),
            Node::Product(_) => self.product(parts[0]),
            Node::Dot(..) => self.dot(parts[0], parts[1]),
            Node::MatVec(..) => self.matvec(parts[0], parts[1]),
            Node::MatMul(..) => self.matmul(parts[0], parts[1]),
            Node::Outer(..) => self.outer(parts[0], parts[1]),
            Node::Transpose(_) => self.transpose(parts[0]),
            Node::Diag(_) => self.diag(parts[0]),
            Node::DiagOf(_) => self.diag_of(parts[0]),
            Node::Fill(_, shape) => self.fill(parts[0], shape.clone()),
            Node::Inv(_) => self.inv(parts[0]),
            Node::LogDet(_) => self.log_det(parts[0]),
            Node::Quad(..) => self.quad(parts[0], parts[1]),
            Node::Trace(_) => self.trace(parts[0]),
            Node::Stack { rows: true, .. } => self.stack_rows(parts),
            Node::Stack { rows: false, .. } => self.stack(parts),
            Node::Reshape(_, shape) => self.reshape(parts[0], shape.clone()),
            Node::Pick { map, shape, .. } => self.pick(parts[0], map.clone(), shape.clone()),
            Node::Unpick { map, shape, .. } => self.unpick(parts[0], map.clone(), shape.clone()),
            Node::LogSumExp(_) => self.log_sum_exp(parts[0]),
            Node::Softmax(_) => self.softmax(parts[0]),
            Node::Net { net, output, shape, .. } => self.net(*net, *output, parts, shape.clone()),
            Node::RowSum(_) => self.row_sum(parts[0]),
            Node::IxSum(i, _) => self.ix_sum(*i, parts[0]),
            Node::Resp(values) => {
                let values: Vec<_> = values.iter().zip(parts).map(|(&(s, _), &t)| (s, t)).collect();
                self.resp(&values)
            }
            Node::Hold(_) => self.hold(parts[0]),
            Node::Draw(draw, _) => self.draw(*draw, parts),
            Node::Fixed(_) => self.fixed(parts[0]),
        }
    }
}

/// The index that a node binds in its parts.
#[must_use]
pub fn binder(node: &Node) -> Option<IxId> {
    match node {
        Node::IxSum(i, _) => Some(*i),
        _ => None,
    }
}
