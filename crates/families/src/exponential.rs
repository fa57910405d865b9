//! Exponential: waiting times.

use crate::args::{positive, sig};
use crate::{Array, Event, Family, Noise, Signature, draw};
use lvmc_term::{Store, Support, Term};

/// `Exponential(rate)`: p(x) = λ e^(−λ x) for x ≥ 0.
#[derive(Debug)]
pub struct Exponential;

static SIGNATURES: [Signature; 1] = [sig(Event::Scalar, &[positive("rate", 0)], 1)];

impl Family for Exponential {
    fn name(&self) -> &'static str {
        "Exponential"
    }
    fn doc(&self) -> &'static str {
        "Exponential(rate): a number ≥ 0 with mean 1/rate"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::NonNegative
    }
    /// log λ − λ x.
    fn log_density(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Term {
        let (l, m) = (s.log(args[0]), s.mul(args[0], x));
        s.sub(l, m)
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Uniform])
    }
    /// −log u / λ.
    fn draw_from(&self, s: &mut Store, _: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        let l = s.log(*noise.first()?);
        let x = s.div(l, args[0]);
        Some(s.neg(x))
    }
    fn mean(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        Some(s.recip(args[0]))
    }
    fn variance(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let l2 = s.square(args[0]);
        Some(s.recip(l2))
    }
    /// η = −λ, T = x, A = −log λ.
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<crate::Exponential> {
        let l = s.log(args[0]);
        Some(crate::Exponential {
            natural: vec![s.neg(args[0])],
            statistics: vec![x],
            log_normaliser: s.neg(l),
            log_base: s.num(0.0),
        })
    }
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        Array::scalar(-draw::uniform(rng).ln() / args[0].as_scalar())
    }
}
