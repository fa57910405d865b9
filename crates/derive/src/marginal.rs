//! Posteriors sum to one: `Σ_j Σₙ r_{n…j…} b = Σₙ r_{n…} b` where b does not depend on j.

use lvmc_term::{IxId, Node, Store, Term};

/// Applies the identity at the root of a term: a sum over an index of a row sum of a posterior (times other factors).
pub fn sum_to_one(s: &mut Store, t: Term) -> Term {
    let Node::IxSum(i, body) = *s.node(t) else {
        if matches!(s.node(t), Node::Mul(_)) {
            let factors: Vec<Term> = s.factors(t).into_iter().map(|f| sum_to_one(s, f)).collect();
            return s.product_of(&factors);
        }
        return t;
    };
    let (mine, mut rest): (Vec<Term>, Vec<Term>) = s
        .factors(body)
        .into_iter()
        .partition(|&f| s.free_indices(f).contains(&i));
    let [one] = mine[..] else { return t };
    let Node::RowSum(inner) = *s.node(one) else { return t };
    match drop_index(s, inner, i) {
        Some(inner) => {
            rest.push(s.row_sum(inner));
            s.product_of(&rest)
        }
        None => t,
    }
}

/// The row term summed over `i`, where `i` stands in its posterior weight or in one indicator `[code = i]` alone.
fn drop_index(s: &mut Store, t: Term, i: IxId) -> Option<Term> {
    let node = Node::Ix(i);
    let (mine, mut rest): (Vec<Term>, Vec<Term>) =
        s.factors(t).into_iter().partition(|&f| s.depends_on(f, |n| *n == node));
    let [one] = mine[..] else { return None };
    match s.node(one).clone() {
        Node::Resp(values) => {
            let kept: Vec<_> = values.iter().copied().filter(|&(_, v)| *s.node(v) != node).collect();
            if kept.len() + 1 != values.len() || kept.iter().any(|&(_, v)| s.depends_on(v, |n| *n == node)) {
                return None;
            }
            if !kept.is_empty() {
                let weight = s.resp(&kept);
                rest.push(weight);
            }
            Some(s.product_of(&rest))
        }
        Node::Cmp(lvmc_term::Cmp::Eq, a, b) if *s.node(a) == node || *s.node(b) == node => Some(s.product_of(&rest)),
        _ => None,
    }
}

/// Adds row sums: `Σₙ a + Σₙ b = Σₙ (a + b)`, where the sum is simpler (r x + r (1 − x) = r; r_{n1} + r_{n0} = 1).
pub fn join_complements(s: &mut Store, t: Term) -> Term {
    let (sums, mut rest): (Vec<Term>, Vec<Term>) = s
        .addends(t)
        .into_iter()
        .partition(|&a| matches!(s.node(a), Node::RowSum(_)));
    let bodies: Vec<Term> = sums
        .iter()
        .map(|&a| match *s.node(a) {
            Node::RowSum(b) => b,
            _ => a,
        })
        .collect();
    if bodies.len() < 2 {
        return t;
    }
    let joined = complement_sum(s, &bodies).unwrap_or_else(|| s.sum(&bodies));
    if s.addends(joined).len() >= bodies.len() {
        return t;
    }
    rest.push(s.row_sum(joined));
    s.sum(&rest)
}

/// Σ of two products that differ in one factor x against 1 − x, or in the two values of one binary posterior.
fn complement_sum(s: &mut Store, bodies: &[Term]) -> Option<Term> {
    let [a, b] = bodies else { return None };
    let (fa, fb) = (s.factors(*a), s.factors(*b));
    let common: Vec<Term> = fa.iter().copied().filter(|f| fb.contains(f)).collect();
    let left: Vec<Term> = fa.iter().copied().filter(|f| !common.contains(f)).collect();
    let right: Vec<Term> = fb.iter().copied().filter(|f| !common.contains(f)).collect();
    let (x, y) = (s.product_of(&left), s.product_of(&right));
    let sum = s.add(x, y);
    if s.as_num(sum) == Some(1.0) || s.shape(sum).is_empty() && binary_pair(s, x, y) {
        return Some(s.product_of(&common));
    }
    // a vector's x + (1 − x) is a vector of ones
    if let Node::Fill(c, _) = *s.node(sum)
        && s.as_num(c) == Some(1.0)
    {
        let rest = s.product_of(&common);
        let shape = s.shape(sum).clone();
        return Some(if s.shape(rest).is_empty() {
            s.fill(rest, shape)
        } else {
            rest
        });
    }
    None
}

/// r(z = 0) and r(z = 1) of the same posterior.
fn binary_pair(s: &Store, x: Term, y: Term) -> bool {
    let (Node::Resp(a), Node::Resp(b)) = (s.node(x), s.node(y)) else {
        return false;
    };
    let ([(za, va)], [(zb, vb)]) = (&a[..], &b[..]) else {
        return false;
    };
    za == zb
        && s.sym(*za).support == lvmc_term::Support::Binary
        && match (s.as_num(*va), s.as_num(*vb)) {
            (Some(p), Some(q)) => p + q == 1.0,
            _ => false,
        }
}
