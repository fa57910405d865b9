//! Bernoulli: 0 or 1.

use crate::args::{sig, unit};
use crate::{Array, Event, Exponential, Family, Noise, Signature, draw};
use lvmc_term::{Cmp, Size, Store, Support, Term};

/// `Bernoulli(p)`: P(x) = pˣ (1 − p)¹⁻ˣ for x in {0, 1}, p = 0 and p = 1 included.
#[derive(Debug)]
pub struct Bernoulli;

static SIGNATURES: [Signature; 1] = [sig(Event::Scalar, &[unit("p")], 1)];

fn complement(s: &mut Store, p: Term) -> Term {
    let one = s.num(1.0);
    s.sub(one, p)
}

impl Family for Bernoulli {
    fn name(&self) -> &'static str {
        "Bernoulli"
    }
    fn doc(&self) -> &'static str {
        "Bernoulli(p): 1 with probability p, otherwise 0"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Binary
    }
    /// x log p + (1 − x) log(1 − p).
    fn log_density(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Term {
        let (not_x, q) = (complement(s, x), complement(s, args[0]));
        let (a, b) = (s.xlogy(x, args[0]), s.xlogy(not_x, q));
        s.add(a, b)
    }
    fn finite_support(&self, _: &Store, _: usize, _: &[Term]) -> Option<Size> {
        Some(Size::Const(2))
    }
    fn mean(&self, _: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        Some(args[0])
    }
    fn variance(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let q = complement(s, args[0]);
        Some(s.mul(args[0], q))
    }
    /// η = log p − log(1 − p), T = x, A = −log(1 − p).
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let q = complement(s, args[0]);
        let (log_p, log_q) = (s.log(args[0]), s.log(q));
        Some(Exponential {
            natural: vec![s.sub(log_p, log_q)],
            statistics: vec![x],
            log_normaliser: s.neg(log_q),
            log_base: s.num(0.0),
        })
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Uniform])
    }
    /// [u < p].
    fn draw_from(&self, s: &mut Store, _: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        Some(s.cmp(Cmp::Lt, *noise.first()?, args[0]))
    }
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        Array::scalar(f64::from(u8::from(draw::uniform(rng) <= args[0].as_scalar())))
    }
}
