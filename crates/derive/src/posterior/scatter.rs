//! Sums over the rows of a group, with what does not vary by row taken out of them.
//!
//! What is left under `Σₙ [userₙ = k]` is made of data alone, or is a product of data and a form that is affine in data: a
//! reading of moments that are added up once, group by group.

use lvmc_term::{Node, Store, SymKind, Term};

/// Σₙ ind · t.
///
/// # Errors
/// In words: what stands in the sum is not affine in data with coefficients that do not vary by row.
pub fn summed(s: &mut Store, ind: &[Term], t: Term) -> Result<Term, String> {
    if s.as_num(t) == Some(0.0) {
        return Ok(t);
    }
    let (flat, rest) = split(s, t);
    if flat != s.num(1.0) {
        let sum = summed(s, ind, rest)?;
        return Ok(s.mul(flat, sum));
    }
    if !s.per_row(t) {
        let one = s.num(1.0);
        let count = row_sum(s, ind, one);
        return Ok(s.mul(t, count));
    }
    if data_only(s, t) || readable(s, t) {
        return Ok(row_sum(s, ind, t));
    }
    let shape = s.shape(t).clone();
    match s.node(t).clone() {
        Node::Add(parts) => {
            let mut sums = vec![];
            for p in parts {
                let p = s.refill(p, shape.clone());
                sums.push(summed(s, ind, p)?);
            }
            Ok(s.sum(&sums))
        }
        Node::MatVec(m, v) if !s.per_row(m) => {
            let v = summed(s, ind, v)?;
            Ok(s.matvec(m, v))
        }
        Node::MatVec(m, v) if !s.per_row(v) => {
            let m = summed(s, ind, m)?;
            Ok(s.matvec(m, v))
        }
        Node::MatMul(a, b) if !s.per_row(a) => {
            let b = summed(s, ind, b)?;
            Ok(s.matmul(a, b))
        }
        Node::MatMul(a, b) if !s.per_row(b) => {
            let a = summed(s, ind, a)?;
            Ok(s.matmul(a, b))
        }
        Node::Dot(a, b) if !s.per_row(a) || !s.per_row(b) => {
            let (flat, row) = if s.per_row(a) { (b, a) } else { (a, b) };
            let row = summed(s, ind, row)?;
            Ok(s.dot(flat, row))
        }
        Node::Outer(a, b) if s.per_row(a) && s.per_row(b) => {
            let ((x, a), (y, b)) = (split(s, a), split(s, b));
            let (flat, outer) = (s.mul(x, y), s.outer(a, b));
            if s.as_num(flat) == Some(1.0) {
                return Err("a parameter stands inside its sum over rows".into());
            }
            let sum = summed(s, ind, outer)?;
            Ok(s.mul(flat, sum))
        }
        Node::Outer(a, b) if !s.per_row(a) => {
            let b = summed(s, ind, b)?;
            Ok(s.outer(a, b))
        }
        Node::Outer(a, b) if !s.per_row(b) => {
            let a = summed(s, ind, a)?;
            Ok(s.outer(a, b))
        }
        Node::Transpose(a) => {
            let a = summed(s, ind, a)?;
            Ok(s.transpose(a))
        }
        Node::Fill(c, shape) => {
            let c = summed(s, ind, c)?;
            Ok(s.fill(c, shape))
        }
        Node::Stack { rows, parts } => {
            let mut sums = vec![];
            for p in parts {
                let shape = s.shape(p).clone();
                let sum = summed(s, ind, p)?;
                sums.push(s.refill(sum, shape));
            }
            Ok(if rows { s.stack_rows(&sums) } else { s.stack(&sums) })
        }
        Node::Mul(_) => {
            let expanded = s.expand(t);
            if expanded == t {
                return Err("a parameter stands inside its sum over rows".into());
            }
            summed(s, ind, expanded)
        }
        _ => Err("a parameter stands inside its sum over rows".into()),
    }
}

fn row_sum(s: &mut Store, ind: &[Term], t: Term) -> Term {
    let all = [ind, &[t]].concat();
    let body = s.product_of(&all);
    s.row_sum(body)
}

/// The scalar factor that does not vary by row (of a stack: that all parts have), and the rest.
fn split(s: &mut Store, t: Term) -> (Term, Term) {
    let one = s.num(1.0);
    if !s.per_row(t) {
        return (one, t);
    }
    if let Node::Stack { rows, parts } = s.node(t).clone() {
        let mut common = None;
        let mut rests = vec![];
        for &p in &parts {
            if s.as_num(p) == Some(0.0) {
                rests.push(p);
                continue;
            }
            let (flat, rest) = if s.per_row(p) || s.shape(p).is_empty() {
                scalars(s, p)
            } else {
                split(s, p)
            };
            if common.is_some_and(|c| c != flat) {
                return (one, t);
            }
            common = Some(flat);
            rests.push(rest);
        }
        let whole = if rows { s.stack_rows(&rests) } else { s.stack(&rests) };
        return (common.unwrap_or(one), whole);
    }
    scalars(s, t)
}

fn scalars(s: &mut Store, t: Term) -> (Term, Term) {
    if matches!(s.node(t), Node::Stack { .. }) {
        return split(s, t);
    }
    let (flat, rest): (Vec<Term>, Vec<Term>) = s
        .factors(t)
        .into_iter()
        .partition(|&f| !s.per_row(f) && s.shape(f).is_empty());
    (s.product_of(&flat), s.product_of(&rest))
}

/// Made of data, given variables, constants and sizes alone.
pub fn data_only(s: &Store, t: Term) -> bool {
    s.per_row(t)
        && s.free_indices(t).is_empty()
        && !s.depends_on(t, |n| match n {
            Node::Sym(x) => matches!(
                s.sym(*x).kind,
                SymKind::Param | SymKind::Latent | SymKind::Aux | SymKind::Noise
            ),
            Node::Resp(_) | Node::RowSum(_) => true,
            _ => false,
        })
}

/// A product of data and one form that is affine in data.
fn readable(s: &Store, t: Term) -> bool {
    let rest: Vec<Term> = s.factors(t).into_iter().filter(|&f| !data_only(s, f)).collect();
    s.shape(t).len() <= 1 && matches!(rest[..], [one] if affine(s, one))
}

fn affine(s: &Store, t: Term) -> bool {
    if !s.per_row(t) || data_only(s, t) {
        return true;
    }
    match s.node(t) {
        Node::Add(parts) => parts.iter().all(|&p| affine(s, p)),
        Node::Mul(_) => {
            let rest: Vec<Term> = s
                .factors(t)
                .into_iter()
                .filter(|&f| s.per_row(f) && !data_only(s, f))
                .collect();
            match rest[..] {
                [] => true,
                // flat coefficients alone may stand beside a sum
                [one] => {
                    let beside_data = s.factors(t).into_iter().any(|f| data_only(s, f));
                    !beside_data && affine(s, one)
                }
                _ => false,
            }
        }
        Node::Dot(a, b) => {
            let (flat, row) = if s.per_row(*a) { (*b, *a) } else { (*a, *b) };
            !s.per_row(flat) && data_only(s, row)
        }
        Node::MatVec(m, v) => !s.per_row(*m) && data_only(s, *v),
        Node::Fill(c, _) => affine(s, *c),
        _ => false,
    }
}
