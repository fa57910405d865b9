//! Gamma: positive numbers, conjugate to precisions and rates.

use crate::args::{positive, sig};
use crate::reparametrised::{exp_whole, log_gamma};
use crate::{Array, Event, Exponential, Family, Noise, Signature, draw};
use lvmc_term::{Store, Support, Term};

/// `Gamma(shape, rate)`: p(x) = bᵃ/Γ(a) xᵃ⁻¹ e^(−b x) for x > 0. `scale=` is 1/rate.
#[derive(Debug)]
pub struct Gamma;

static SIGNATURES: [Signature; 2] = [
    sig(Event::Scalar, &[positive("shape", 0), positive("rate", 0)], 2),
    sig(Event::Scalar, &[positive("shape", 0), positive("scale", 0)], 1),
];

const SCALE: usize = 1;

/// The rate, and its log.
fn rate(s: &mut Store, signature: usize, a: Term) -> (Term, Term) {
    let log = s.log(a);
    if signature == SCALE {
        (s.recip(a), s.neg(log))
    } else {
        (a, log)
    }
}

/// a − 1, and A = log Γ(a) − a log b.
fn parts(s: &mut Store, a: Term, log_rate: Term) -> (Term, Term) {
    let one = s.num(1.0);
    let less = s.sub(a, one);
    let (l, m) = (s.lgamma(a), s.mul(a, log_rate));
    (less, s.sub(l, m))
}

impl Family for Gamma {
    fn name(&self) -> &'static str {
        "Gamma"
    }
    fn doc(&self) -> &'static str {
        "Gamma(shape, rate): a positive number with mean shape/rate; also scale="
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Positive
    }
    /// a log b − log Γ(a) + (a − 1) log x − b x.
    fn log_density(&self, s: &mut Store, signature: usize, x: Term, args: &[Term]) -> Term {
        let (b, log_b) = rate(s, signature, args[1]);
        let (less, normaliser) = parts(s, args[0], log_b);
        let power = s.xlogy(less, x);
        let bx = s.mul(b, x);
        let (minus_a, minus_bx) = (s.neg(normaliser), s.neg(bx));
        s.sum(&[minus_a, power, minus_bx])
    }
    fn mean(&self, s: &mut Store, signature: usize, args: &[Term]) -> Option<Term> {
        let (b, _) = rate(s, signature, args[1]);
        Some(s.div(args[0], b))
    }
    fn variance(&self, s: &mut Store, signature: usize, args: &[Term]) -> Option<Term> {
        let (b, _) = rate(s, signature, args[1]);
        let b2 = s.square(b);
        Some(s.div(args[0], b2))
    }
    /// η = (a − 1, −b), T = (log x, x), A = log Γ(a) − a log b.
    fn exponential(&self, s: &mut Store, signature: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let (b, log_b) = rate(s, signature, args[1]);
        let (less, log_normaliser) = parts(s, args[0], log_b);
        Some(Exponential {
            natural: vec![less, s.neg(b)],
            statistics: vec![s.log(x), x],
            log_normaliser,
            log_base: s.num(0.0),
        })
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Normal])
    }
    /// z/b of z ~ Gamma(a, 1).
    fn draw_from(&self, s: &mut Store, signature: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        let l = log_gamma(s, args[0], *noise.first()?);
        let (_, log_b) = rate(s, signature, args[1]);
        let l = s.sub(l, log_b);
        Some(exp_whole(s, l))
    }
    fn sample(&self, rng: &mut dyn rand::Rng, signature: usize, args: &[Array]) -> Array {
        let unit = draw::gamma(rng, args[0].as_scalar());
        let b = args[1].as_scalar();
        Array::scalar(if signature == SCALE { unit * b } else { unit / b })
    }
}
