//! missing-cells: cells of a vector whose elements depend on each other.
//!
//! Statement: let x be Gaussian given what its statement depends on, o = 1 where a cell is observed and 0 where it is
//! missing, u = 1 − o, and let x hold any number where a cell is missing. With a latent δ,
//!
//!   log p(x_observed | …) = log ∫ N(x + u δ; m, S) Π_j N(δ_j; 0, 1)^{o_j} dδ,
//!
//! products element by element. So missing cells are one more Gaussian latent of the row, joined with those that the
//! statement depends on: gaussian-posterior finds its posterior, which is that of the missing cells given the observed
//! ones, and E-step and M-step are those of the completed vector x + u δ with its covariance.
//!
//! Side conditions: a Gaussian statement of one form; no other statement depends on the variable.
//!
//! Proof: where u = 1, x + δ runs over all values of the cell, which is integrated out; where u = 0, δ stands in its own
//! density only, whose integral is 1.

use crate::joint::LogJoint;
use crate::missing::elementwise;
use crate::plan::{Definition, Gap, Value};
use crate::posterior::Continuous;
use lvmc_model::graph::{Dist, Factor};
use lvmc_term::{Node, Store, Support, Sym, SymKind, Term};
use std::collections::HashMap;

/// Its printed name.
pub const NAME: &str = "missing-cells";

/// True where the rule holds for a statement.
pub fn holds(s: &mut Store, factor: &Factor) -> bool {
    let dist = factor.dist.clone();
    let Dist::Family {
        family,
        signature,
        args,
        ..
    } = &dist
    else {
        return false;
    };
    !elementwise(s, factor, &dist) && s.shape(factor.value).len() == 1 && family.gaussian(s, *signature, args).is_some()
}

/// The latent of a statement's missing cells, where its mask is a vector's and its elements depend on each other.
pub fn open(joint: &mut LogJoint, factor: &Factor, mask: Option<Term>) -> Option<Gap> {
    let s = &mut joint.store;
    let mask = mask.filter(|&m| s.shape(m).len() == 1)?;
    let of = s.as_symbol(factor.value)?.0;
    if !holds(s, factor) {
        return None;
    }
    let var = s.sym(of).clone();
    let aux = |s: &mut Store, name: String, kind| {
        s.add_sym(Sym {
            name,
            kind,
            shape: var.shape.clone(),
            family: 0,
            per_row: true,
            support: Support::Real,
        })
    };
    let sym = aux(s, format!("d_{}", var.name), SymKind::Latent);
    let open = aux(s, format!("u_{}", var.name), SymKind::Aux);
    let atom = s.var(open);
    let one = s.num(1.0);
    let value = s.sub(one, mask);
    joint.definitions.push(Definition {
        sym: open,
        ranges: vec![],
        value: Value::Term(value),
        atom,
        rule: NAME,
        spread: false,
    });
    let gap = Gap {
        of,
        sym,
        open: atom,
        mask,
    };
    joint.gaps.push(gap);
    Some(gap)
}

/// δ as a latent of the row.
pub fn latent(gap: &Gap, at: usize, factor: &Factor) -> Continuous {
    Continuous {
        sym: gap.sym,
        factor: at,
        family: "Normal",
        span: factor.span,
    }
}

/// u δ.
fn moved(s: &mut Store, gap: &Gap) -> Term {
    let delta = s.var(gap.sym);
    s.mul(gap.open, delta)
}

/// x + u δ.
pub fn completed(s: &mut Store, gap: &Gap) -> Term {
    let (x, moved) = (s.var(gap.of), moved(s, gap));
    s.add(x, moved)
}

/// Σ_j o_j log N(δ_j; 0, 1), of the given δ².
fn idle(s: &mut Store, gap: &Gap, square: Term) -> Term {
    let two_pi = s.two_pi();
    let log = s.log(two_pi);
    let both = s.add(log, square);
    let both = s.mul(gap.mask, both);
    let total = s.total(both);
    s.scale(-0.5, total)
}

/// The density of x + u δ, and of δ where it has no part in anything.
pub fn density(s: &mut Store, factor: &Factor, gap: &Gap) -> Term {
    let Dist::Family {
        family,
        signature,
        args,
        ..
    } = &factor.dist
    else {
        return s.num(0.0);
    };
    let value = completed(s, gap);
    let t = family.log_density(s, *signature, value, args);
    let delta = s.var(gap.sym);
    let square = s.square(delta);
    let idle = idle(s, gap, square);
    s.add(t, idle)
}

/// What a posterior makes simpler once mean and noise of δ are 0 where a cell is observed: u δ = δ, and the density of
/// its idle part at its mean, or its expectation.
pub fn settled(s: &mut Store, gap: &Gap, expected: bool) -> HashMap<Term, Term> {
    let delta = s.var(gap.sym);
    let square = s.square(delta);
    let before = idle(s, gap, square);
    let second = s.num(if expected { 1.0 } else { 0.0 });
    let after = idle(s, gap, second);
    let moved = moved(s, gap);
    HashMap::from([(before, after), (moved, delta)])
}

/// The term with 1 − o for u, which nothing computes outside an iteration.
pub fn written(s: &mut Store, gaps: &[Gap], t: Term) -> Term {
    let one = s.num(1.0);
    let with = gaps.iter().map(|g| (g.open, s.sub(one, g.mask))).collect();
    s.substitute(t, &with)
}

/// diag(u) P diag(v), with vectors of a row, as elements P_ij u_i v_j: one flat matrix for all rows.
pub fn elementwise_products(s: &mut Store, t: Term) -> Term {
    let mut with = HashMap::new();
    for sub in s.subterms(t) {
        if let Node::Diag(v) = *s.node(sub)
            && s.factors(v).iter().any(|&f| s.as_num(f) == Some(-1.0))
        {
            let positive = s.neg(v);
            let positive = s.diag(positive);
            with.insert(sub, s.neg(positive));
        }
        let Node::MatMul(a, b) = *s.node(sub) else { continue };
        let vector = |s: &Store, m: Term| match *s.node(m) {
            Node::Diag(u) if s.per_row(u) => Some(u),
            _ => None,
        };
        let found = match (s.node(a), s.node(b)) {
            (_, &Node::MatMul(p, d)) => vector(s, a).zip(vector(s, d)).map(|(u, v)| (u, p, v)),
            (&Node::MatMul(d, p), _) => vector(s, d).zip(vector(s, b)).map(|(u, v)| (u, p, v)),
            _ => None,
        };
        if let Some((u, p, v)) = found
            && !s.per_row(p)
        {
            let outer = s.outer(u, v);
            with.insert(sub, s.mul(p, outer));
        }
    }
    s.substitute(t, &with)
}
