//! Multinomial: a known number of things counted by kind.

use crate::args::{count, sig, simplex};
use crate::{Array, Event, Exponential, Family, Signature, draw};
use lvmc_term::{Cmp, Store, Support, Term};

/// `Multinomial(n, p)`: P(x) = n!/Π xₖ! Π pₖ^xₖ for counts x that sum to n.
#[derive(Debug)]
pub struct Multinomial;

static SIGNATURES: [Signature; 1] = [sig(Event::Vector, &[count("n"), simplex("p")], 2)];

/// log n!/Π xₖ!, −∞ where the counts do not sum to n.
fn log_base(s: &mut Store, n: Term, x: Term) -> Term {
    let (one, sum) = (s.num(1.0), s.total(x));
    let (n1, x1) = (s.add(n, one), s.add(x, one));
    let (all, each) = (s.lgamma(n1), s.lgamma(x1));
    let each = s.total(each);
    let minus = s.neg(each);
    let complete = s.cmp(Cmp::Eq, sum, n);
    let complete = s.log(complete);
    s.sum(&[all, minus, complete])
}

impl Family for Multinomial {
    fn name(&self) -> &'static str {
        "Multinomial"
    }
    fn doc(&self) -> &'static str {
        "Multinomial(n, p): how many of n things are of each kind, with those probabilities"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Count
    }
    /// Σ xₖ log pₖ + log n! − Σ log xₖ!, where Σ xₖ = n.
    fn log_density(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Term {
        let power = s.xlogy(x, args[1]);
        let power = s.total(power);
        let base = log_base(s, args[0], x);
        s.add(power, base)
    }
    fn mean(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        Some(s.mul(args[0], args[1]))
    }
    /// n pₖ (1 − pₖ).
    fn variance(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let one = s.num(1.0);
        let (mean, q) = (s.mul(args[0], args[1]), s.sub(one, args[1]));
        Some(s.mul(mean, q))
    }
    /// η = log p, T = x, A = n log Σ p = 0, h = n!/Π xₖ!.
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let sum = s.total(args[1]);
        let log = s.log(sum);
        Some(Exponential {
            natural: vec![s.log(args[1])],
            statistics: vec![x],
            log_normaliser: s.mul(args[0], log),
            log_base: log_base(s, args[0], x),
        })
    }
    /// One kind after the other, each a binomial of what is left.
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        let (mut left, p) = (args[0].as_scalar(), &args[1].data);
        let mut rest: f64 = p.iter().sum();
        let last = p.iter().rposition(|&pk| pk > 0.0);
        let draws = p.iter().enumerate().map(|(k, &pk)| {
            // rounding may leave a little of the rest; the last possible kind takes what is left
            let share = if Some(k) == last { 1.0 } else { pk / rest };
            let x = draw::binomial(rng, left, if share > 1.0 { 1.0 } else { share });
            (left, rest) = (left - x, rest - pk);
            x
        });
        Array::vector(draws.collect())
    }
}
