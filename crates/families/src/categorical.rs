//! Categorical: one of K values.

use crate::args::{sig, simplex};
use crate::{Array, Event, Exponential, Family, Signature, draw};
use lvmc_term::{Size, Store, Support, Term};

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
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        Array::scalar(draw::category(rng, &args[0].data) as f64)
    }
}
