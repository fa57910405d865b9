//! Poisson: counts.

use crate::args::{nonneg, sig};
use crate::{Array, Event, Exponential, Family, Noise, Signature};
use lvmc_term::{Draw, Store, Support, Term};
use rand_distr::Distribution;

/// `Poisson(rate)`: P(x) = λˣ e^(−λ) / x! for x = 0, 1, 2, …; `Poisson(0)` is always 0.
#[derive(Debug)]
pub struct Poisson;

static SIGNATURES: [Signature; 1] = [sig(Event::Scalar, &[nonneg("rate")], 1)];

/// −log x!.
fn log_base(s: &mut Store, x: Term) -> Term {
    let one = s.num(1.0);
    let next = s.add(x, one);
    let l = s.lgamma(next);
    s.neg(l)
}

impl Family for Poisson {
    fn name(&self) -> &'static str {
        "Poisson"
    }
    fn doc(&self) -> &'static str {
        "Poisson(rate): a count; Poisson(0) is always 0"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Count
    }
    /// x log λ − λ − log x!.
    fn log_density(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Term {
        let a = s.xlogy(x, args[0]);
        let b = s.neg(args[0]);
        let c = log_base(s, x);
        s.sum(&[a, b, c])
    }
    fn mean(&self, _: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        Some(args[0])
    }
    fn variance(&self, _: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        Some(args[0])
    }
    /// η = log λ, T = x, A = λ, h = 1/x!.
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        Some(Exponential {
            natural: vec![s.log(args[0])],
            statistics: vec![x],
            log_normaliser: args[0],
            log_base: log_base(s, x),
        })
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Uniform])
    }
    /// The value at which probabilities have used u up.
    fn draw_from(&self, s: &mut Store, _: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        Some(s.draw(Draw::Poisson, &[args[0], *noise.first()?]))
    }
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        let rate = args[0].as_scalar();
        Array::scalar(match rand_distr::Poisson::new(rate) {
            Ok(d) => d.sample(rng),
            Err(_) if rate == 0.0 => 0.0,
            Err(_) => f64::NAN,
        })
    }
}
