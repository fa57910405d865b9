//! structured-mean-field: a chain of Gaussian latents whose statements depend on finite latents.
//!
//! Statement: let s be the Gaussian latents of a sequence and z the finite ones (a chain of their own, or a row's alone), and
//! let every statement about s be Normal for each value of the z that it depends on, with a mean affine in s. The posterior
//! of s is a mixture of one Gaussian for every path of z: Kᵀ of them. In its place stands the nearest product,
//!
//!   q(z, s) = q(z) q(s),    L(q) = E_q[log p(x, z, s)] + H(q(z)) + H(q(s)) = log p(x) − KL(q ‖ p(z, s | x)),
//!
//! a lower bound of the log-likelihood (Ghahramani & Hinton 2000). Nothing is assumed within either part: q(z) keeps the
//! dependence along its chain, q(s) that along its own. L rises by the coordinates
//!
//!   log q(s) = Σ_t Σ_k r_tk log p(statements of row t | z_t = k) + const,    r_tk = q(z_t = k)
//!   log q(z) = Σ_t E_q(s)[log p(statements of row t | z)] + const
//!
//! The first is a quadratic in s that joins neighbours only: the statement of case k enters with weight r_tk. With
//! S_k = L_k L_kᵀ it is −½ of a sum of squares of the rows √r_tk L_k⁻¹ (x − B_k e − c_k), and a scan that makes them
//! triangular by rotations has q(s): Gaussian, with means and roots of its covariances (`lvmc_loops::scan::structured`), and
//! H(q(s)) is a sum of the logs of its pivots. The second is a chain with potentials E_q(s)[log p]: forward–backward is
//! exact for it, and its normaliser is E_q[log p] + H(q(z)), so that L = log normaliser + H(q(s)).
//!
//! E log p of an affine form reads m̂ and ℓ of a row, as in [`super::kalman`], and E[[z = k] f(s)] = r_k E f(s): Q is the
//! factors' expectation with r as weights, and the rules of the M-step read it as they read any other.
//!
//! A missing cell of an observation drops out of both: its mask o_j stands in the density as a factor, so that no potential
//! of z knows of it, and the scan has no row for it. A row, or a sequence, without any cell is left to the statements of the
//! states. A vector y whose elements depend on each other is a part of s where some of them are missing: q is
//! q(z) q(s, y_missing), and what a row has of y stands in the squares as the number that it is.
//!
//! The bound is tight where no hidden finite latent stands in a statement of s: where all of z is given, and where the chains
//! do not touch. Then L is the log-likelihood, and is called so.
//!
//! Side conditions: for each value of the finite variables, those of [`super::kalman`].
//!
//! Proof: for fixed q(z), L = −KL(q(s) ‖ exp E_q(z) log p / Z) + log Z + H(q(z)), largest where the divergence is 0; and
//! the same with the parts exchanged. An M-step raises E_q log p and leaves the entropies.

use super::gaussian::{expected, take_expectation};
use super::kalman::{affine, chain_of, check, definitions, gaussian, mask_of, not_normal, ordered, reported, touching};
use super::{Continuous, impute};
use crate::joint::LogJoint;
use crate::plan::{Case, Linear, Part, RowFactor};
use crate::rules::Decline;
use lvmc_model::graph::{Dist, ModelGraph};
use lvmc_term::{Cmp, SymKind, Term};
use std::collections::HashMap;

/// Its printed name.
pub const NAME: &str = "structured-mean-field";

/// A finite variable stands in a statement of the chain's latents, or a chain of finite latents beside them.
pub fn needed(joint: &LogJoint, latents: &[Continuous]) -> bool {
    let own = |f: &&RowFactor| {
        let mut cases = f.cases.iter();
        cases.any(|c| latents.iter().any(|l| joint.store.depends_on_sym(c.term, l.sym)))
    };
    let depends = |f: &RowFactor| !f.scope.is_empty() || f.cases.len() > 1;
    !joint.chains.is_empty() || joint.factors.iter().filter(own).any(depends)
}

/// q is not the posterior: some finite variable of a statement is hidden.
#[must_use]
pub fn is_bound(joint: &LogJoint) -> bool {
    let Some(chain) = joint.gaussian_chain.as_ref().filter(|c| c.mean_field) else {
        return false;
    };
    let mut scopes = chain.statements.iter().flat_map(|s| &s.scope);
    scopes.any(|&v| joint.store.sym(joint.finite[v].sym).kind != SymKind::Given)
}

/// Puts the expectations under q(s) in the place of the factors of the chain's latents.
pub fn eliminate(joint: &mut LogJoint, graph: &ModelGraph, latents: &[Continuous]) -> Result<(), Decline> {
    check(joint, latents)?;
    let parts = ordered(joint, graph, latents)?;
    let atoms: Vec<Term> = parts.iter().map(|p| joint.store.var(p.sym)).collect();
    let touching = touching(joint, &atoms);
    let mut statements = vec![];
    for &f in &touching {
        let row = joint.factors[f].clone();
        for case in &row.cases {
            statements.push(statement(joint, graph, &row, case, &parts, &atoms)?);
        }
    }
    let mut chain = chain_of(joint, graph, latents, parts, statements)?;
    chain.mean_field = true;
    let block = definitions(joint, &mut chain.parts, &atoms);
    for &f in &touching {
        take_expectation(joint, f, &block)?;
    }
    impute(joint, &mut |s, t| expected(s, t, &block).ok());
    reported(joint, latents, &block, NAME)?;
    joint.gaussian_chain = Some(chain);
    Ok(())
}

/// The statement of one case, the indices of finite variables in its terms.
fn statement(
    joint: &mut LogJoint,
    graph: &ModelGraph,
    row: &RowFactor,
    case: &Case,
    parts: &[Part],
    atoms: &[Term],
) -> Result<Linear, Decline> {
    let factor = &graph.factors[row.factor];
    let mut dist = &factor.dist;
    while let Dist::If {
        condition,
        then,
        otherwise,
    } = dist
    {
        let condition = in_case(joint, case, *condition);
        dist = match joint.store.as_num(condition) {
            Some(0.0) => otherwise,
            Some(_) => then,
            None => return Err(not_normal(row.span)),
        };
    }
    let (mean, covariance) = gaussian(&mut joint.store, factor, dist).ok_or_else(|| not_normal(row.span))?;
    let (mean, covariance) = (in_case(joint, case, mean), in_case(joint, case, covariance));
    if joint.store.as_num(covariance) == Some(0.0) {
        return Err(Decline::at(
            "a variance is 0: given q of the others, what it is the density of would have no density",
            row.span,
        ));
    }
    let linear = Linear {
        factor: row.factor,
        when: row.when,
        scope: row.scope.clone(),
        fixed: case.fixed.clone(),
        excluded: case.excluded.clone(),
        of: None,
        offset: mean,
        slopes: vec![],
        covariance,
        mask: mask_of(joint, row.value),
    };
    affine(joint, factor, row, (parts, atoms), linear)
}

/// A term as written, where finite variables have a case's values: as `joint` splits densities into cases.
fn in_case(joint: &mut LogJoint, case: &Case, t: Term) -> Term {
    let s = &mut joint.store;
    let mut one_hot = HashMap::new();
    for f in &joint.finite {
        one_hot.insert(s.var(f.sym), s.index(f.ix));
    }
    let mut t = s.substitute(t, &one_hot);
    for &(v, x) in &case.fixed {
        let (ix, x) = (s.index(joint.finite[v].ix), s.num(x as f64));
        t = s.substitute(t, &HashMap::from([(ix, x)]));
    }
    let mut different = HashMap::new();
    for &(v, x) in &case.excluded {
        let (ix, x, zero) = (s.index(joint.finite[v].ix), s.num(x as f64), s.num(0.0));
        different.insert(s.cmp(Cmp::Eq, ix, x), zero);
    }
    s.substitute(t, &different)
}
