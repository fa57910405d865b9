//! Flat: the improper uniform distribution.

use crate::args::sig;
use crate::{Array, Event, Family, Signature};
use lvmc_term::{Store, Support, Term};

/// `Flat()`: density 1 everywhere, so it adds nothing to the log joint. It has no draws (`is_proper` is false).
#[derive(Debug)]
pub struct Flat;

static SIGNATURES: [Signature; 1] = [sig(Event::Scalar, &[], 0)];

impl Family for Flat {
    fn name(&self) -> &'static str {
        "Flat"
    }
    fn doc(&self) -> &'static str {
        "Flat(): density 1 everywhere; improper, so nothing can be drawn from it"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Real
    }
    /// 0.
    fn log_density(&self, s: &mut Store, _: usize, x: Term, _: &[Term]) -> Term {
        s.zeros(s.shape(x).clone())
    }
    fn is_proper(&self) -> bool {
        false
    }
    fn sample(&self, _: &mut dyn rand::Rng, _: usize, _: &[Array]) -> Array {
        Array::scalar(f64::NAN)
    }
}
