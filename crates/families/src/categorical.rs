//! Categorical: one of K values.

use crate::args::{sig, simplex};
use crate::{Array, Event, Exponential, Family, Noise, Signature, draw};
use lvmc_term::{Cmp, Size, Store, Support, Term};

/// `Categorical(p)`: P(x = k) = pₖ. A value is a 0-based code; people write it from 1.
#[derive(Debug)]
pub struct Categorical;

static SIGNATURES: [Signature; 1] = [sig(Event::Scalar, &[simplex("p")], 1)];

impl Family for Categorical {
    fn name(&self) -> &'static str {
        "Categorical"
    }
    fn doc(&self) -> &'static str {
        "Categorical(p): one of K values with those probabilities"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, s: &mut Store, _: usize, args: &[Term]) -> Support {
        Support::Category(s.shape(args[0])[0].clone())
    }
    /// log pₓ.
    fn log_density(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Term {
        let p = s.at(args[0], &[x]);
        s.log(p)
    }
    fn finite_support(&self, s: &Store, _: usize, args: &[Term]) -> Option<Size> {
        Some(s.shape(args[0])[0].clone())
    }
    /// η = log p, T = the row of the identity that x picks (one-hot), A = log Σ p = 0.
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let i = s.eye(s.shape(args[0])[0].clone());
        let sum = s.total(args[0]);
        Some(Exponential {
            natural: vec![s.log(args[0])],
            statistics: vec![s.at(i, &[x])],
            log_normaliser: s.log(sum),
            log_base: s.num(0.0),
        })
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Uniform])
    }
    /// How many of the sums p₁, p₁ + p₂, … but the last u exceeds.
    fn draw_from(&self, s: &mut Store, _: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        let u = *noise.first()?;
        let size = s.shape(args[0])[0].clone();
        let ix = s.add_ix("k", size.clone());
        let (k, eye, one) = (s.index(ix), s.eye(size.clone()), s.num(1.0));
        let unit = s.at(eye, &[k]);
        let entry = s.mul(k, unit);
        let positions = s.ix_sum(ix, entry);
        let ones = s.fill(one, vec![size.clone()]);
        let (column, row) = (s.outer(ones, positions), s.outer(positions, ones));
        let sums = s.cmp(Cmp::Le, column, row);
        let sums = s.matvec(sums, args[0]);
        let n = s.size(size);
        let last = s.sub(n, one);
        let (above, inner) = (s.cmp(Cmp::Lt, sums, u), s.cmp(Cmp::Lt, positions, last));
        let counted = s.mul(above, inner);
        Some(s.total(counted))
    }
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        Array::scalar(draw::category(rng, &args[0].data) as f64)
    }
}
