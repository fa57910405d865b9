//! The Jacobian of an affine term.

use lvmc_term::{Node, Store, Term};

/// ∂t/∂z for a scalar or vector `t` that is affine in the scalar or vector `z`: a term of shape `[t…, z…]`.
///
/// `Ok(None)` where `t` does not depend on `z`.
///
/// # Errors
/// `t` is not affine in `z`, or written with an operator that this reading does not know.
pub fn jacobian(s: &mut Store, t: Term, z: Term) -> Result<Option<Term>, NotAffine> {
    if !s.contains(t, z) {
        return Ok(None);
    }
    let (rank, inner) = (s.shape(t).len(), s.shape(z).len());
    if rank > 1 || inner > 1 {
        return Err(NotAffine);
    }
    if t == z {
        return Ok(Some(if rank == 0 {
            s.num(1.0)
        } else {
            let n = s.shape(z)[0].clone();
            s.eye(n)
        }));
    }
    let found = match s.node(t).clone() {
        Node::Add(parts) => {
            let shape = s.shape(t).clone();
            let mut slopes = vec![];
            for p in parts {
                // a scalar beside a vector stands for each of its elements
                let p = s.refill(p, shape.clone());
                slopes.extend(jacobian(s, p, z)?);
            }
            s.sum(&slopes)
        }
        Node::Mul(factors) => product(s, t, &factors, z)?,
        Node::MatVec(m, v) if !s.contains(m, z) => {
            let j = slope(s, v, z)?;
            if inner == 0 { s.matvec(m, j) } else { s.matmul(m, j) }
        }
        Node::Dot(a, b) => {
            let (free, bound) = if s.contains(a, z) { (b, a) } else { (a, b) };
            if s.contains(free, z) {
                return Err(NotAffine);
            }
            let j = slope(s, bound, z)?;
            weighted_sum(s, free, j, inner)
        }
        Node::Total(u) => {
            let j = slope(s, u, z)?;
            if s.shape(u).is_empty() {
                j
            } else {
                let (one, shape) = (s.num(1.0), s.shape(u).clone());
                let ones = s.fill(one, shape);
                weighted_sum(s, ones, j, inner)
            }
        }
        Node::Fill(u, shape) if shape.len() == 1 => {
            let j = slope(s, u, z)?;
            if inner == 0 {
                s.fill(j, shape)
            } else {
                let one = s.num(1.0);
                let ones = s.fill(one, shape);
                s.outer(ones, j)
            }
        }
        Node::At(base, at) if at.len() == 1 && s.shape(base).len() == 1 && !s.contains(at[0], z) => {
            let j = slope(s, base, z)?;
            s.at(j, &at)
        }
        Node::Hold(u) => slope(s, u, z)?,
        _ => return Err(NotAffine),
    };
    Ok(Some(found))
}

/// A term is not affine in a variable, as far as [`jacobian`] reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAffine;

fn slope(s: &mut Store, t: Term, z: Term) -> Result<Term, NotAffine> {
    jacobian(s, t, z)?.ok_or(NotAffine)
}

/// wᵀ J.
fn weighted_sum(s: &mut Store, w: Term, j: Term, inner: usize) -> Term {
    if inner == 0 {
        s.dot(w, j)
    } else {
        let jt = s.transpose(j);
        s.matvec(jt, w)
    }
}

/// One factor depends on z, the others multiply its slope element by element.
fn product(s: &mut Store, t: Term, factors: &[Term], z: Term) -> Result<Term, NotAffine> {
    let (bound, free): (Vec<Term>, Vec<Term>) = factors.iter().partition(|&&f| s.contains(f, z));
    let [one] = bound[..] else { return Err(NotAffine) };
    let c = s.product_of(&free);
    let j = slope(s, one, z)?;
    let (rank, inner) = (s.shape(t).len(), s.shape(z).len());
    Ok(match (s.shape(c).len(), s.shape(one).len()) {
        (0, n) if n == rank => s.mul(c, j),
        (1, 1) if inner == 0 => s.mul(c, j),
        (1, 1) => {
            let d = s.diag(c);
            s.matmul(d, j)
        }
        (1, 0) if inner == 0 => s.mul(j, c),
        (1, 0) => s.outer(c, j),
        _ => return Err(NotAffine),
    })
}

/// J v: what `v` of z's shape does to `t`.
pub fn apply(s: &mut Store, j: Term, t: Term, v: Term) -> Term {
    match (s.shape(t).len(), s.shape(v).len()) {
        (1, 1) => s.matvec(j, v),
        (0, 1) => s.dot(j, v),
        _ => s.mul(v, j),
    }
}
