//! Inverse Gamma: variances.

use crate::args::{positive, sig};
use crate::reparametrised::{exp_whole, log_gamma};
use crate::{Array, Event, Exponential, Family, Noise, Signature, draw};
use lvmc_term::{Cmp, Store, Support, Term};

/// `InverseGamma(shape, scale)`: p(x) = bᵃ/Γ(a) x^(−a−1) e^(−b/x) for x > 0.
#[derive(Debug)]
pub struct InverseGamma;

static SIGNATURES: [Signature; 1] = [sig(Event::Scalar, &[positive("shape", 0), positive("scale", 0)], 2)];

impl Family for InverseGamma {
    fn name(&self) -> &'static str {
        "InverseGamma"
    }
    fn doc(&self) -> &'static str {
        "InverseGamma(shape, scale): a positive number, such as a variance, with mean scale/(shape − 1)"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Positive
    }
    /// a log b − log Γ(a) − (a + 1) log x − b/x.
    fn log_density(&self, s: &mut Store, signature: usize, x: Term, args: &[Term]) -> Term {
        let Some(e) = self.exponential(s, signature, x, args) else {
            return s.num(0.0);
        };
        let terms: Vec<Term> = e
            .natural
            .iter()
            .zip(&e.statistics)
            .map(|(&n, &t)| s.mul(n, t))
            .collect();
        let sum = s.sum(&terms);
        s.sub(sum, e.log_normaliser)
    }
    /// b / (a − 1), infinite for a ≤ 1.
    fn mean(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let (one, inf) = (s.num(1.0), s.num(f64::INFINITY));
        let less = s.sub(args[0], one);
        let m = s.div(args[1], less);
        let has = s.cmp(Cmp::Lt, one, args[0]);
        Some(s.select(has, m, inf))
    }
    /// η = (−a − 1, −b), T = (log x, 1/x), A = log Γ(a) − a log b.
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let (a, b) = (args[0], args[1]);
        let one = s.num(1.0);
        let more = s.add(a, one);
        let (l, log_b) = (s.lgamma(a), s.log(b));
        let m = s.mul(a, log_b);
        Some(Exponential {
            natural: vec![s.neg(more), s.neg(b)],
            statistics: vec![s.log(x), s.recip(x)],
            log_normaliser: s.sub(l, m),
            log_base: s.num(0.0),
        })
    }
    /// b² / ((a − 1)² (a − 2)), infinite for a ≤ 2.
    fn variance(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let (one, two, inf) = (s.num(1.0), s.num(2.0), s.num(f64::INFINITY));
        let (less, least) = (s.sub(args[0], one), s.sub(args[0], two));
        let m = s.div(args[1], less);
        let m2 = s.square(m);
        let v = s.div(m2, least);
        let has = s.cmp(Cmp::Lt, two, args[0]);
        Some(s.select(has, v, inf))
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Normal])
    }
    /// b/z of z ~ Gamma(a, 1).
    fn draw_from(&self, s: &mut Store, _: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        let l = log_gamma(s, args[0], *noise.first()?);
        let log_b = s.log(args[1]);
        let l = s.sub(log_b, l);
        Some(exp_whole(s, l))
    }
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        Array::scalar(args[1].as_scalar() / draw::gamma(rng, args[0].as_scalar()))
    }
}
