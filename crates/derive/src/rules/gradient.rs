//! gradient-step: what no closed form and no predictor takes.
//!
//! Statement: let φ be free coordinates of the block (θ itself, log θ, logit θ, the softmax's logits) and s_n the row's
//! score ∂/∂φ E_q log p(row n). A step goes along H⁻¹ g with g = Σₙ s_n + ∂/∂φ log p(θ) and H = Σₙ s_n s_nᵀ plus the
//! prior's own curvature where that is positive. One step is taken per sweep, halved by the runtime until the objective
//! does not fall (a generalised EM step).
//! Side conditions: log p is differentiable in θ, and the type has free coordinates (real, positive, unit, simplex,
//! covariance).
//! Proof: by Fisher's identity s_n is the score of the observed row, so g is the gradient of the objective, and H is
//! positive semidefinite: H⁻¹ g ascends. H is the empirical information (Berndt, Hall, Hall and Hausman 1974), so the
//! step nears Newton's where the model is right.

use super::Decline;
use crate::occur::Occurrence;
use crate::plan::{Condition, GradientBlock, Solution, Update};
use lvmc_term::{IxId, Store, Support, SymId, SymKind, Term};
use std::collections::{BTreeSet, HashMap};

/// Its printed name.
pub const NAME: &str = "gradient-step";

/// A step for parameters that move together, from every addend that mentions one of them.
pub fn apply(s: &mut Store, syms: &[SymId], occurrences: &[Occurrence]) -> Result<Update, Decline> {
    let (rows, priors): (Vec<&Occurrence>, Vec<&Occurrence>) = occurrences.iter().partition(|o| o.row);
    let addends: Vec<Term> = rows.iter().map(|o| o.expect_row(s, o.term)).collect();
    let row = s.sum(&addends);
    let addends: Vec<Term> = priors.iter().map(|o| o.expect(s, o.term)).collect();
    let prior = s.sum(&addends);
    let mut blocks = vec![];
    for &sym in syms {
        blocks.push(block(s, sym, row, prior)?);
    }
    let mut uses: BTreeSet<SymId> = s.symbols(row);
    uses.retain(|&x| s.sym(x).kind == SymKind::Param && !syms.contains(&x));
    Ok(Update {
        targets: syms.iter().map(|&x| s.var(x)).collect(),
        ranges: vec![],
        rule: NAME,
        condition: Condition::Maximises(row),
        uses: uses.into_iter().collect(),
        solution: Solution::Gradient { blocks },
    })
}

/// The score of one parameter, element by element.
fn block(s: &mut Store, sym: SymId, row: Term, prior: Term) -> Result<GradientBlock, Decline> {
    let (name, support, shape) = (
        s.sym(sym).name.clone(),
        s.sym(sym).support.clone(),
        s.sym(sym).shape.clone(),
    );
    let whole = s.var(sym);
    let ranges: Vec<IxId> = shape
        .iter()
        .zip(["i", "j", "l", "m"].iter().cycle())
        .map(|(size, letter)| s.add_ix((*letter).to_owned(), size.clone()))
        .collect();
    let indices: Vec<Term> = ranges.iter().map(|&i| s.index(i)).collect();
    let leaf = if indices.is_empty() {
        whole
    } else {
        s.at(whole, &indices)
    };
    let slope = |s: &mut Store, t: Term| {
        s.try_gradient(t, &[leaf])
            .map(|g| g[0])
            .map_err(|why| Decline::plain(why.to_string()))
    };
    let plain = slope(s, row)?;
    let score = free(s, &support, leaf, &ranges, plain)
        .ok_or_else(|| Decline::plain(format!("the type of `{name}` has no free coordinates")))?;
    let prior = if s.symbols(prior).contains(&sym) {
        let plain = slope(s, prior)?;
        let g = free(s, &support, leaf, &ranges, plain).unwrap_or(plain);
        let second = slope(s, g)?;
        let second = free(s, &Support::Real, leaf, &ranges, second).unwrap_or(second);
        let rate = jacobian(s, &support, leaf);
        let second = s.mul(rate, second);
        Some((g, s.neg(second)))
    } else {
        None
    };
    Ok(GradientBlock {
        sym,
        ranges,
        score,
        prior,
    })
}

/// The derivative in free coordinates from that in θ, or `None` where there are none.
fn free(s: &mut Store, support: &Support, leaf: Term, ranges: &[IxId], g: Term) -> Option<Term> {
    Some(match support {
        Support::Real | Support::Cov => g,
        Support::Positive | Support::NonNegative | Support::Unit => {
            let rate = jacobian(s, support, leaf);
            s.mul(rate, g)
        }
        Support::Simplex => {
            // θ_j (g_j − Σ_i θ_i g_i)
            let &last = ranges.last()?;
            let ix = s.ix(last).clone();
            let other = s.add_ix(format!("{}′", ix.name), ix.size);
            let (from, to) = (s.index(last), s.index(other));
            let product = s.mul(leaf, g);
            let product = s.substitute(product, &HashMap::from([(from, to)]));
            let mean = s.ix_sum(other, product);
            let centred = s.sub(g, mean);
            s.mul(leaf, centred)
        }
        _ => return None,
    })
}

/// dθ/dφ, for the softmax its diagonal.
fn jacobian(s: &mut Store, support: &Support, leaf: Term) -> Term {
    match support {
        Support::Positive | Support::NonNegative => leaf,
        Support::Unit | Support::Simplex => {
            let square = s.square(leaf);
            s.sub(leaf, square)
        }
        _ => s.num(1.0),
    }
}
