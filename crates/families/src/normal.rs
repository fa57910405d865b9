//! Normal, of a number or of a vector. The second argument is a variance.

use crate::args::{cov, positive, real, sig};
use crate::{Array, Event, Exponential, Family, Noise, Signature, draw};
use lvmc_term::{Node, Store, Support, Term};

/// `Normal(mean, var)`: N(x; μ, v) = (2π v)^(−½) exp(−½ (x − μ)²/v); of a vector, with a covariance Σ,
/// (2π)^(−D/2) |Σ|^(−½) exp(−½ (x − μ)ᵀ Σ⁻¹ (x − μ)). `sd=`, `prec=`, `cov=` and `chol=` (the lower-triangular factor)
/// say the spread otherwise.
#[derive(Debug)]
pub struct Normal;

const SD: usize = 1;
const PREC: usize = 2;
const VECTOR: usize = 3;
const VECTOR_PREC: usize = 5;
const VECTOR_CHOL: usize = 6;

static SIGNATURES: [Signature; 7] = [
    sig(Event::Scalar, &[real("mean", 0), positive("var", 0)], 2),
    sig(Event::Scalar, &[real("mean", 0), positive("sd", 0)], 1),
    sig(Event::Scalar, &[real("mean", 0), positive("prec", 0)], 1),
    sig(Event::Vector, &[real("mean", 1), cov("var")], 2),
    sig(Event::Vector, &[real("mean", 1), cov("cov")], 1),
    sig(Event::Vector, &[real("mean", 1), cov("prec")], 1),
    sig(Event::Vector, &[real("mean", 1), real("chol", 2)], 1),
];

/// The spread as a variance or covariance, as a precision, and half the log of the precision('s determinant).
struct Spread {
    variance: Term,
    precision: Term,
    half_log_precision: Term,
}

fn spread(s: &mut Store, signature: usize, a: Term) -> Spread {
    let (variance, precision) = match signature {
        SD => {
            let v = s.square(a);
            (v, s.recip(v))
        }
        PREC => (s.recip(a), a),
        0 => (a, s.recip(a)),
        VECTOR_PREC => (s.inv(a), a),
        VECTOR_CHOL => {
            let lt = s.transpose(a);
            let v = s.matmul(a, lt);
            (v, s.inv(v))
        }
        _ => (a, s.inv(a)),
    };
    let half_log_precision = match signature {
        SD => {
            let l = s.log(a);
            s.neg(l)
        }
        PREC => {
            let l = s.log(a);
            s.scale(0.5, l)
        }
        VECTOR_PREC => {
            let l = s.log_det(a);
            s.scale(0.5, l)
        }
        // of numbers, element by element
        0 => {
            let l = s.log(variance);
            s.scale(-0.5, l)
        }
        _ => {
            let l = s.log_det(variance);
            s.scale(-0.5, l)
        }
    };
    Spread {
        variance,
        precision,
        half_log_precision,
    }
}

/// −D/2 log 2π.
fn constant(s: &mut Store, signature: usize, x: Term) -> Term {
    let two_pi = s.two_pi();
    let log = s.log(two_pi);
    let d = if signature < VECTOR {
        s.num(1.0)
    } else {
        s.size(s.shape(x)[0].clone())
    };
    let d = s.scale(-0.5, d);
    s.mul(d, log)
}

impl Family for Normal {
    fn name(&self) -> &'static str {
        "Normal"
    }
    fn doc(&self) -> &'static str {
        "Normal(mean, var): a number, or a vector with a covariance; also sd=, prec=, cov=, chol= (lower-triangular factor)"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Real
    }
    /// −D/2 log 2π − ½ log|Σ| − ½ (x − μ)ᵀ Σ⁻¹ (x − μ).
    fn log_density(&self, s: &mut Store, signature: usize, x: Term, args: &[Term]) -> Term {
        let e = s.sub(x, args[0]);
        let spread = spread(s, signature, args[1]);
        let q = match signature {
            0 | SD | PREC => {
                let e2 = s.square(e);
                s.mul(e2, spread.precision)
            }
            _ => s.quad(spread.variance, e),
        };
        let q = s.minus_half(q);
        let c = constant(s, signature, x);
        s.sum(&[c, spread.half_log_precision, q])
    }
    fn mean(&self, _: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        Some(args[0])
    }
    fn noise(&self, _: usize) -> Option<&'static [Noise]> {
        Some(&[Noise::Normal])
    }
    /// μ + √v ε of numbers (element by element where the spread is written as a diagonal); μ + L ε with Σ = L Lᵀ.
    fn draw_from(&self, s: &mut Store, signature: usize, args: &[Term], noise: &[Term]) -> Option<Term> {
        let e = *noise.first()?;
        let step = match signature {
            0 => {
                let sd = s.sqrt(args[1]);
                s.mul(sd, e)
            }
            SD => s.mul(args[1], e),
            PREC => {
                let sd = s.sqrt(args[1]);
                s.div(e, sd)
            }
            VECTOR_CHOL => s.matvec(args[1], e),
            // Σ written as a factor times its transpose
            _ => match s.node(args[1]).clone() {
                Node::MatMul(l, lt) if s.transpose(l) == lt && signature != VECTOR_PREC => s.matvec(l, e),
                _ => return None,
            },
        };
        Some(s.add(args[0], step))
    }
    fn gaussian(&self, s: &mut Store, signature: usize, args: &[Term]) -> Option<(Term, Term)> {
        Some((args[0], spread(s, signature, args[1]).variance))
    }
    /// A covariance that is written as a diagonal.
    fn elements(&self, s: &mut Store, signature: usize, args: &[Term]) -> Option<(usize, Vec<Term>)> {
        if signature < VECTOR || signature == VECTOR_CHOL {
            return None;
        }
        let element = if signature == VECTOR_PREC { PREC } else { 0 };
        let diagonal = s.written_diagonal(args[1])?;
        // equal elements are one number, which broadcasts
        let diagonal = match *s.node(diagonal) {
            Node::Fill(c, _) => c,
            _ => diagonal,
        };
        Some((element, vec![args[0], diagonal]))
    }
    fn variance(&self, s: &mut Store, signature: usize, args: &[Term]) -> Option<Term> {
        let v = spread(s, signature, args[1]).variance;
        Some(if signature < VECTOR { v } else { s.diag_of(v) })
    }
    /// η = (Σ⁻¹ μ, −½ Σ⁻¹), T = (x, x xᵀ), A = ½ μᵀ Σ⁻¹ μ + ½ log|Σ|, h = (2π)^(−D/2).
    fn exponential(&self, s: &mut Store, signature: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let mu = args[0];
        let spread = spread(s, signature, args[1]);
        let (linear, square, q) = if signature < VECTOR {
            let linear = s.mul(spread.precision, mu);
            (linear, s.square(x), s.mul(linear, mu))
        } else {
            let linear = s.matvec(spread.precision, mu);
            (linear, s.outer(x, x), s.dot(mu, linear))
        };
        let half_q = s.scale(0.5, q);
        Some(Exponential {
            natural: vec![linear, s.minus_half(spread.precision)],
            statistics: vec![x, square],
            log_normaliser: s.sub(half_q, spread.half_log_precision),
            log_base: constant(s, signature, x),
        })
    }
    fn sample(&self, rng: &mut dyn rand::Rng, signature: usize, args: &[Array]) -> Array {
        let (mean, a) = (&args[0], &args[1]);
        if signature < VECTOR {
            let v = a.as_scalar();
            let sd = match signature {
                SD => v,
                PREC => v.sqrt().recip(),
                _ => v.sqrt(),
            };
            return Array::scalar(mean.as_scalar() + sd * draw::normal(rng));
        }
        let e = Array::from_fn(&mean.shape, |_| draw::normal(rng));
        let step = match signature {
            VECTOR_PREC => match a.cholesky() {
                Some(l) => draw::solve_upper(&l, &e),
                None => Array::filled(&mean.shape, f64::NAN),
            },
            VECTOR_CHOL => a.matmul(&e),
            _ => draw::root(a).matmul(&e),
        };
        mean.zip(&step, |m, s| m + s)
    }
}
