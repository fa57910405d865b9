//! Dirichlet: vectors of probabilities.

use crate::args::{positive, sig};
use crate::reparametrised::{exp_whole, log_gamma};
use crate::{Array, Event, Exponential, Family, Noise, Signature, draw};
use lvmc_term::{Store, Support, Term};

/// `Dirichlet(alpha)`: p(x) = Γ(Σ α)/Π Γ(αₖ) Π xₖ^(αₖ − 1) on the simplex. A number stands for a vector of equal ones.
#[derive(Debug)]
pub struct Dirichlet;

static SIGNATURES: [Signature; 1] = [sig(Event::Vector, &[positive("alpha", 1)], 1)];

/// A = Σ log Γ(αₖ) − log Γ(Σ αₖ).
fn log_normaliser(s: &mut Store, alpha: Term) -> Term {
    let sum = s.total(alpha);
    let (each, whole) = (s.lgamma(alpha), s.lgamma(sum));
    let each = s.total(each);
    s.sub(each, whole)
}

impl Family for Dirichlet {
    fn name(&self) -> &'static str {
        "Dirichlet"
    }
    fn doc(&self) -> &'static str {
        "Dirichlet(alpha): probabilities that sum to 1; one number stands for a vector of equal ones"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Simplex
    }
    /// Σ (αₖ − 1) log xₖ + log Γ(Σ α) − Σ log Γ(αₖ).
    fn log_density(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Term {
        let one = s.num(1.0);
        let less = s.sub(args[0], one);
        let power = s.xlogy(less, x);
        let power = s.total(power);
        let a = log_normaliser(s, args[0]);
        s.sub(power, a)
    }
    fn mean(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let sum = s.total(args[0]);
        Some(s.div(args[0], sum))
    }
    /// α (A − α) / (A² (A + 1)), A = Σ α.
    fn variance(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let (sum, one) = (s.total(args[0]), s.num(1.0));
        let (rest, more, square) = (s.sub(sum, args[0]), s.add(sum, one), s.square(sum));
        let (above, below) = (s.mul(args[0], rest), s.mul(square, more));
        Some(s.div(above, below))
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Normal])
    }
    /// z/Σ z of zₖ ~ Gamma(αₖ, 1).
    fn draw_from(&self, s: &mut Store, _: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        let l = log_gamma(s, args[0], *noise.first()?);
        let all = s.log_sum_exp(l);
        let l = s.sub(l, all);
        Some(exp_whole(s, l))
    }
    /// η = α − 1, T = log x, A = Σ log Γ(αₖ) − log Γ(Σ αₖ).
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let one = s.num(1.0);
        Some(Exponential {
            natural: vec![s.sub(args[0], one)],
            statistics: vec![s.log(x)],
            log_normaliser: log_normaliser(s, args[0]),
            log_base: s.num(0.0),
        })
    }
    /// Normalised gammas, in logs so that small α do not give 0/0.
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        let logs = args[0]
            .data
            .iter()
            .map(|&a| draw::log_gamma(rng, a))
            .collect::<Vec<_>>();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|l| (l - top).exp()).sum();
        Array::vector(logs.iter().map(|l| (l - top).exp() / sum).collect())
    }
}
