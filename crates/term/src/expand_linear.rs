//! Expansion of linear operators: over sums, and factors out of them.

use crate::node::{Node, Term};
use crate::rules::{Rule, Split};
use crate::store::Store;
use crate::walk::children;

/// Part of the rewrites of [`Store::expand`].
pub(crate) static RULES: &[Rule] = &[
    Rule {
        name: "linear-over-sum",
        statement: "L(a + b) = L a + L b for Σ, ·ᵀ·, M v, M N, u vᵀ, tr, Σₙ, Σₖ",
        apply: over_sum,
    },
    Rule {
        name: "linear-scalar",
        statement: "L(s a) = s L(a) for a scalar s",
        apply: scalar_factor,
    },
    Rule {
        name: "quad-of-sum",
        statement: "(a + b)ᵀ S⁻¹ (a + b) = aᵀ S⁻¹ a + 2 aᵀ S⁻¹ b + bᵀ S⁻¹ b",
        apply: quad_of_sum,
    },
    Rule {
        name: "quad-of-scaled",
        statement: "(s e)ᵀ S⁻¹ (s e) = s² eᵀ S⁻¹ e",
        apply: quad_of_scaled,
    },
    Rule {
        name: "total-of-stack",
        statement: "Σ [a; b] = Σ a + Σ b",
        apply: total_of_stack,
    },
    Rule {
        name: "total-inward",
        statement: "Σ Σₙ a = Σₙ Σ a",
        apply: total_inward,
    },
    Rule {
        name: "row-factor",
        statement: "Σₙ c aₙ = c Σₙ aₙ",
        apply: row_factor,
    },
    Rule {
        name: "row-operand",
        statement: "Σₙ r (aₙᵀ b) = (Σₙ r aₙ)ᵀ b",
        apply: row_operand,
    },
    Rule {
        name: "index-factor",
        statement: "Σₖ c aₖ = c Σₖ aₖ",
        apply: index_factor,
    },
];

/// The positions in which a node is linear.
fn linear_in(node: &Node) -> &'static [usize] {
    match node {
        Node::Total(_) | Node::Trace(_) | Node::RowSum(_) | Node::IxSum(..) => &[0],
        Node::Dot(..) | Node::MatVec(..) | Node::MatMul(..) | Node::Outer(..) => &[0, 1],
        _ => &[],
    }
}

fn over_sum(s: &mut Store, t: Term, split: &Split<'_>) -> Option<Term> {
    let node = s.node(t).clone();
    let operands = children(&node);
    let (at, parts) = linear_in(&node)
        .iter()
        .find_map(|&i| Some((i, split.parts(s, operands[i])?)))?;
    let shape = s.shape(operands[at]).clone();
    let mut terms = vec![];
    for p in parts {
        let mut operands = operands.clone();
        // a scalar added to every element stands for its array
        operands[at] = s.refill(p, shape.clone());
        terms.push(s.rebuild(&node, &operands));
    }
    let sum = s.sum(&terms);
    Some(s.refill(sum, s.shape(t).clone()))
}

fn scalar_factor(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let node = s.node(t).clone();
    if matches!(node, Node::RowSum(_) | Node::IxSum(..)) {
        return None; // those have rules of their own: a scalar may vary by row or index
    }
    let operands = children(&node);
    let (at, c, rest) = linear_in(&node)
        .iter()
        .find_map(|&i| s.split_scaled(operands[i]).map(|(c, rest)| (i, c, rest)))?;
    let mut operands = operands;
    operands[at] = rest;
    let inner = s.rebuild(&node, &operands);
    Some(s.mul(c, inner))
}

fn quad_of_sum(s: &mut Store, t: Term, split: &Split<'_>) -> Option<Term> {
    let Node::Quad(m, e) = *s.node(t) else { return None };
    let shape = s.shape(e).clone();
    let parts = split.parts(s, e)?;
    let parts: Vec<Term> = parts.into_iter().map(|p| s.refill(p, shape.clone())).collect();
    let inverse = s.inv(m);
    let mut terms = vec![];
    for (i, &a) in parts.iter().enumerate() {
        terms.push(s.quad(m, a));
        for &b in &parts[i + 1..] {
            let w = s.matvec(inverse, b);
            let d = s.dot(a, w);
            terms.push(s.scale(2.0, d));
        }
    }
    Some(s.sum(&terms))
}

fn quad_of_scaled(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Quad(m, e) = *s.node(t) else { return None };
    let (c, rest) = s.split_scaled(e)?;
    let (c2, q) = (s.square(c), s.quad(m, rest));
    Some(s.mul(c2, q))
}

fn total_of_stack(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Total(v) = *s.node(t) else { return None };
    let Node::Stack { parts, .. } = s.node(v).clone() else {
        return None;
    };
    let totals: Vec<Term> = parts.iter().map(|&p| s.total(p)).collect();
    Some(s.sum(&totals))
}

fn total_inward(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::Total(v) = *s.node(t) else { return None };
    if !matches!(s.node(v), Node::RowSum(_) | Node::IxSum(..)) {
        return None;
    }
    Some(s.map_children(v, |s, body| s.total(body)))
}

/// The factors of `t` that pass the test, and the rest, each as a product.
fn split_factors(s: &mut Store, t: Term, out: impl Fn(&Store, Term) -> bool) -> Option<(Term, Term)> {
    let fs = s.factors(t);
    let (out, rest): (Vec<Term>, Vec<Term>) = fs.iter().partition(|&&f| out(s, f));
    if out.is_empty() || rest.is_empty() {
        return None;
    }
    Some((s.product_of(&out), s.product_of(&rest)))
}

fn row_factor(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::RowSum(a) = *s.node(t) else { return None };
    let one = s.num(1.0);
    let (c, rest) = match split_factors(s, a, |s, f| !s.per_row(f)) {
        Some(split) => split,
        None if !s.per_row(a) && a != one => (a, one),
        None => return None,
    };
    let sum = s.row_sum(rest);
    let out = s.mul(c, sum);
    Some(s.refill(out, s.shape(t).clone()))
}

/// Σₙ over a bilinear operator with one operand that is the same for all rows: the sum goes to the other operand.
fn row_operand(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::RowSum(body) = *s.node(t) else { return None };
    let fs = s.factors(body);
    let bilinear = |n: &Node| matches!(n, Node::Dot(..) | Node::MatVec(..) | Node::Outer(..) | Node::MatMul(..));
    let (arrays, weights): (Vec<Term>, Vec<Term>) = fs.iter().partition(|&&f| bilinear(s.node(f)));
    let [operator] = arrays[..] else { return None };
    if weights.iter().any(|&w| !s.shape(w).is_empty()) {
        return None;
    }
    let node = s.node(operator).clone();
    let mut operands = children(&node);
    let at = (0..2).find(|&i| s.per_row(operands[i]) && !s.per_row(operands[1 - i]))?;
    let w = s.product_of(&weights);
    let weighted = s.mul(w, operands[at]);
    operands[at] = s.row_sum(weighted);
    Some(s.rebuild(&node, &operands))
}

fn index_factor(s: &mut Store, t: Term, _: &Split<'_>) -> Option<Term> {
    let Node::IxSum(i, a) = *s.node(t) else { return None };
    let (c, rest) = split_factors(s, a, |s, f| !s.free_indices(f).contains(&i))?;
    let sum = s.ix_sum(i, rest);
    let out = s.mul(c, sum);
    Some(s.refill(out, s.shape(t).clone()))
}
