//! Inverse Wishart: covariances.

use crate::args::{cov, positive, sig};
use crate::{Array, Event, Exponential, Family, Signature, draw};
use lvmc_term::{Node, Store, Support, Term};

/// `InverseWishart(dof, scale)`: p(X) = |Ψ|^(ν/2) / (2^(νD/2) Γ_D(ν/2)) |X|^(−(ν+D+1)/2) e^(−½ tr(Ψ X⁻¹)), ν > D − 1.
#[derive(Debug)]
pub struct InverseWishart;

static SIGNATURES: [Signature; 1] = [sig(Event::Matrix, &[positive("dof", 0), cov("scale")], 2)];

fn dimension(s: &mut Store, scale: Term) -> Term {
    s.size(s.shape(scale)[0].clone())
}

/// log Γ_D(a) = D(D−1)/4 log π + Σⱼ log Γ(a − j/2), j = 0 … D−1.
fn log_multigamma(s: &mut Store, a: Term, scale: Term) -> Term {
    let (pi, one) = (s.num(std::f64::consts::PI), s.num(1.0));
    let d = dimension(s, scale);
    let less = s.sub(d, one);
    let log_pi = s.log(pi);
    let quarter = s.num(0.25);
    let first = s.product_of(&[quarter, d, less, log_pi]);
    let j = {
        let size = s.shape(scale)[0].clone();
        // one index for all uses, so that equal densities are equal terms; not one that `a` speaks of
        let free = s.free_indices(a);
        let known = s
            .ixs()
            .find(|(i, ix)| ix.name == "j" && ix.size == size && !free.contains(i))
            .map(|(i, _)| i);
        known.unwrap_or_else(|| s.add_ix("j", size))
    };
    let at = s.index(j);
    let half = s.scale(0.5, at);
    let argument = s.sub(a, half);
    let each = s.lgamma(argument);
    debug_assert!(!matches!(s.node(a), Node::Ix(i) if *i == j));
    let sum = s.ix_sum(j, each);
    s.add(first, sum)
}

impl Family for InverseWishart {
    fn name(&self) -> &'static str {
        "InverseWishart"
    }
    fn doc(&self) -> &'static str {
        "InverseWishart(dof, scale): a covariance with mean scale/(dof − D − 1); dof must exceed D − 1"
    }
    fn signatures(&self) -> &'static [Signature] {
        &SIGNATURES
    }
    fn support(&self, _: &mut Store, _: usize, _: &[Term]) -> Support {
        Support::Cov
    }
    /// ν/2 log|Ψ| − νD/2 log 2 − log Γ_D(ν/2) − (ν + D + 1)/2 log|X| − ½ tr(Ψ X⁻¹).
    fn log_density(&self, s: &mut Store, signature: usize, x: Term, args: &[Term]) -> Term {
        let Some(e) = self.exponential(s, signature, x, args) else {
            return s.num(0.0);
        };
        let first = s.mul(e.natural[0], e.statistics[0]);
        let product = s.matmul(args[1], e.statistics[1]);
        let trace = s.trace(product);
        let second = s.minus_half(trace);
        let minus = s.neg(e.log_normaliser);
        s.sum(&[first, second, minus])
    }
    /// Ψ / (ν − D − 1), for ν > D + 1.
    fn mean(&self, s: &mut Store, _: usize, args: &[Term]) -> Option<Term> {
        let (d, one) = (dimension(s, args[1]), s.num(1.0));
        let less = s.sub(args[0], d);
        let less = s.sub(less, one);
        Some(s.div(args[1], less))
    }
    /// η = (−½(ν + D + 1), −½ Ψ), T = (log|X|, X⁻¹), A = log Γ_D(ν/2) + νD/2 log 2 − ν/2 log|Ψ|.
    fn exponential(&self, s: &mut Store, _: usize, x: Term, args: &[Term]) -> Option<Exponential> {
        let (nu, psi) = (args[0], args[1]);
        let (d, one, two) = (dimension(s, psi), s.num(1.0), s.num(2.0));
        let sum = s.sum(&[nu, d, one]);
        let half_nu = s.scale(0.5, nu);
        let gamma = log_multigamma(s, half_nu, psi);
        let log_2 = s.log(two);
        let middle = s.product_of(&[half_nu, d, log_2]);
        let det = s.log_det(psi);
        let det = s.mul(half_nu, det);
        let minus = s.neg(det);
        Some(Exponential {
            natural: vec![s.minus_half(sum), s.minus_half(psi)],
            statistics: vec![s.log_det(x), s.inv(x)],
            log_normaliser: s.sum(&[gamma, middle, minus]),
            log_base: s.num(0.0),
        })
    }
    /// Bartlett: with Ψ = L Lᵀ and A lower triangular, A_jj² ~ χ²(ν − j), A_ij ~ N(0, 1): X = M Mᵀ, A Mᵀ = Lᵀ.
    fn sample(&self, rng: &mut dyn rand::Rng, _: usize, args: &[Array]) -> Array {
        let (nu, psi) = (args[0].as_scalar(), &args[1]);
        let n = psi.rows();
        let Some(l) = psi.cholesky() else {
            return Array::filled(&psi.shape, f64::NAN);
        };
        let a = Array::from_fn(&[n, n], |at| {
            let (i, j) = (at / n, at % n);
            match i.cmp(&j) {
                std::cmp::Ordering::Less => 0.0,
                std::cmp::Ordering::Equal => (2.0 * draw::gamma(rng, (nu - i as f64) / 2.0)).sqrt(),
                std::cmp::Ordering::Greater => draw::normal(rng),
            }
        });
        let mt = a.solve_lower(&l.transposed());
        mt.transposed().matmul(&mt)
    }
}
