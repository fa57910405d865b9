//! Beta: probabilities.

use crate::args::{positive, sig};
use crate::reparametrised::log_gamma;
use crate::{Array, Event, Exponential, Family, Noise, Signature, draw};
use lvmc_term::{Fun, Store, Support, Term};

/// `Beta(a, b)`: p(x) = Γ(a+b)/(Γ(a) Γ(b)) xᵃ⁻¹ (1 − x)ᵇ⁻¹ for 0 ≤ x ≤ 1.
#[derive(Debug)]
pub struct Beta;

static SIGNATURES: [Signature; 1] = [sig(Event::Scalar, &[positive("a", 0), positive("b", 0)], 2)];

/// log B(a, b) = log Γ(a) + log Γ(b) − log Γ(a + b).
fn log_beta(s: &mut Store, a: Term, b: Term) -> Term {
    let ab = s.add(a, b);
    let (la, lb, lab) = (s.lgamma(a), s.lgamma(b), s.lgamma(ab));
    let minus = s.neg(lab);
    s.sum(&[la, lb, minus])
}

impl Family for Beta {
    fn name(&self) -> &'static str {
        "Beta"
    }
    fn doc(&self) -> &'static str {
        "Beta(a, b): a probability with mean a/(a + b)"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Unit
    }
    /// (a − 1) log x + (b − 1) log(1 − x) − log B(a, b).
    fn log_density(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Term {
        let one = s.num(1.0);
        let (a1, b1, y) = (s.sub(args[0], one), s.sub(args[1], one), s.sub(one, x));
        let (p, q) = (s.xlogy(a1, x), s.xlogy(b1, y));
        let l = log_beta(s, args[0], args[1]);
        let minus = s.neg(l);
        s.sum(&[p, q, minus])
    }
    fn mean(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let ab = s.add(args[0], args[1]);
        Some(s.div(args[0], ab))
    }
    /// ab / ((a + b)² (a + b + 1)).
    fn variance(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let (ab, one) = (s.add(args[0], args[1]), s.num(1.0));
        let (square, more) = (s.square(ab), s.add(ab, one));
        let (above, below) = (s.mul(args[0], args[1]), s.mul(square, more));
        Some(s.div(above, below))
    }
    /// η = (a − 1, b − 1), T = (log x, log(1 − x)), A = log B(a, b).
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let one = s.num(1.0);
        let y = s.sub(one, x);
        Some(Exponential {
            natural: vec![s.sub(args[0], one), s.sub(args[1], one)],
            statistics: vec![s.log(x), s.log(y)],
            log_normaliser: log_beta(s, args[0], args[1]),
            log_base: s.num(0.0),
        })
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Normal, Noise::Normal])
    }
    /// y/(y + z) of y ~ Gamma(a, 1) and z ~ Gamma(b, 1): the sigmoid of log y − log z.
    fn draw_from(&self, s: &mut Store, _: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        let (y, z) = (
            log_gamma(s, args[0], *noise.first()?),
            log_gamma(s, args[1], *noise.get(1)?),
        );
        let logit = s.sub(y, z);
        Some(s.fun(Fun::Sigmoid, logit))
    }
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        let (la, lb) = (
            draw::log_gamma(rng, args[0].as_scalar()),
            draw::log_gamma(rng, args[1].as_scalar()),
        );
        Array::scalar(1.0 / (1.0 + (lb - la).exp()))
    }
}
