//! Binomial: successes among a known number of trials.

use crate::args::{count, sig, unit};
use crate::{Array, Event, Exponential, Family, Noise, Signature, draw};
use lvmc_term::{Draw, Store, Support, Term};

/// `Binomial(n, p)`: P(x) = n!/(x! (n − x)!) pˣ (1 − p)ⁿ⁻ˣ for x in {0, …, n}, p = 0 and p = 1 included.
#[derive(Debug)]
pub struct Binomial;

static SIGNATURES: [Signature; 1] = [sig(Event::Scalar, &[count("n"), unit("p")], 2)];

fn complement(s: &mut Store, p: Term) -> Term {
    let one = s.num(1.0);
    s.sub(one, p)
}

/// log n!/(x! (n − x)!): −∞ for x > n, where log Γ of an integer ≤ 0 is +∞.
fn log_base(s: &mut Store, n: Term, x: Term) -> Term {
    let (one, rest) = (s.num(1.0), s.sub(n, x));
    let (n1, x1, r1) = (s.add(n, one), s.add(x, one), s.add(rest, one));
    let (all, hits, misses) = (s.lgamma(n1), s.lgamma(x1), s.lgamma(r1));
    let (minus_hits, minus_misses) = (s.neg(hits), s.neg(misses));
    s.sum(&[all, minus_hits, minus_misses])
}

impl Family for Binomial {
    fn name(&self) -> &'static str {
        "Binomial"
    }
    fn doc(&self) -> &'static str {
        "Binomial(n, p): how many of n trials succeed, each with probability p"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Count
    }
    fn largest(&self, _: usize, args: &[Term]) -> Option<Term> {
        Some(args[0])
    }
    /// x log p + (n − x) log(1 − p) + log n! − log x! − log (n − x)!.
    fn log_density(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Term {
        let (misses, q) = (s.sub(args[0], x), complement(s, args[1]));
        let (a, b) = (s.xlogy(x, args[1]), s.xlogy(misses, q));
        let c = log_base(s, args[0], x);
        s.sum(&[a, b, c])
    }
    fn mean(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        Some(s.mul(args[0], args[1]))
    }
    /// n p (1 − p).
    fn variance(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let (mean, q) = (s.mul(args[0], args[1]), complement(s, args[1]));
        Some(s.mul(mean, q))
    }
    /// η = log p − log(1 − p), T = x, A = −n log(1 − p), h = n!/(x! (n − x)!).
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let q = complement(s, args[1]);
        let (log_p, log_q) = (s.log(args[1]), s.log(q));
        let all = s.mul(args[0], log_q);
        Some(Exponential {
            natural: vec![s.sub(log_p, log_q)],
            statistics: vec![x],
            log_normaliser: s.neg(all),
            log_base: log_base(s, args[0], x),
        })
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Uniform])
    }
    /// The value at which probabilities have used u up.
    fn draw_from(&self, s: &mut Store, _: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        Some(s.draw(Draw::Binomial, &[args[0], args[1], *noise.first()?]))
    }
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        Array::scalar(draw::binomial(rng, args[0].as_scalar(), args[1].as_scalar()))
    }
}
