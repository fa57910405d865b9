//! prescribed: latents whose distribution is given, not derived.
//!
//! Statement: let q(z) = Normal(m, Σ_p ℓ_p ℓ_pᵀ) be given for every row, with m and ℓ that no parameter of the plan moves.
//! Then E_q log p(x, z) in the place of log p(x), in the E-step and in Q, is all of the bound that the parameters move, and
//! its maximum is that of the bound for this q. For a square of a term e affine in z, E e² = e(m)² + Σ_p (e′ℓ_p)², as in
//! [`super::gaussian`].
//!
//! Side conditions: every addend is affine in the latents or a square of what is; latents are independent of each other
//! under q.
//!
//! Proof: the entropy of q does not depend on the parameters.

use super::gaussian::{Eliminated, take_expectation};
use super::{Defined, define};
use crate::joint::LogJoint;
use crate::plan::Value;
use crate::rules::Decline;
use lvmc_term::{SymId, Term};

/// Its printed name.
pub const NAME: &str = "given-q";

/// A latent with its distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prescribed {
    /// The latent.
    pub sym: SymId,
    /// m.
    pub mean: Term,
    /// ℓ_p in rows, or of independent elements their standard deviations (of a number its own).
    pub spread: Term,
}

/// Puts the expectations under the given distributions in the place of the factors.
///
/// # Errors
/// An addend that is neither affine in a latent nor a square of what is.
pub fn eliminate(joint: &mut LogJoint, list: &[Prescribed]) -> Result<(), Decline> {
    let mut block: Vec<Eliminated> = vec![];
    for p in list {
        let atom = joint.store.var(p.sym);
        let name = joint.store.sym(p.sym).name.clone();
        let vector = joint.store.shape(atom).len() == 1;
        let root = if vector && joint.store.shape(p.spread).len() == 1 {
            let root = joint.store.diag(p.spread);
            let shape = joint.store.shape(root).to_vec();
            let what = Defined::new(NAME, format!("l_{name}"), &[]).spread();
            define(joint, what, Value::Term(root), &shape)
        } else {
            p.spread
        };
        let mut moves = vec![None; block.len()];
        moves.push(Some(root));
        block.push(Eliminated {
            atom,
            mean: p.mean,
            ix: None,
            moves,
        });
    }
    for f in 0..joint.factors.len() {
        let mentions = |t: Term| block.iter().any(|z| joint.store.contains(t, z.atom));
        if joint.factors[f].cases.iter().any(|c| mentions(c.term)) {
            take_expectation(joint, f, &block)?;
        }
    }
    Ok(())
}
