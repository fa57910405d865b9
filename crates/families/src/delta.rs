//! Delta: a point.

use crate::args::{real, sig};
use crate::{Array, Event, Family, Noise, Signature};
use lvmc_term::{Cmp, Store, Support, Term};

/// `Delta(point)`: x is that point with probability 1 (as a guide: a point estimate of a latent).
#[derive(Debug)]
pub struct Delta;

static SIGNATURES: [Signature; 1] = [sig(Event::Scalar, &[real("point", 0)], 1)];

impl Family for Delta {
    fn name(&self) -> &'static str {
        "Delta"
    }
    fn doc(&self) -> &'static str {
        "Delta(point): always that value"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Real
    }
    /// log [x = point], with respect to counting measure: 0 or −∞.
    fn log_density(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Term {
        let same = s.cmp(Cmp::Eq, x, args[0]);
        s.log(same)
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[])
    }
    fn draw_from(&self, _: &mut Store, _: usize, args: &[Term], _: &[Term]) -> Option<Term> {
        Some(args[0])
    }
    fn mean(&self, _: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        Some(args[0])
    }
    fn sample(&self, _: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        args[0].clone()
    }
}
