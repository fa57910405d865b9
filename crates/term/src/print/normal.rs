//! Normal log densities, recognised in a sum to be written `log N(x; μ, Σ)`.

use super::Math;
use super::build::Builder;
use super::product::Extra;
use super::sum::{Addend, Merged};
use crate::node::{Node, SymKind, Term};

impl Builder<'_> {
    /// −½ f log|2πS| − ½ f (x − m)ᵀ S⁻¹ (x − m) becomes f log N(x; m, S); so for a scalar variance.
    pub(super) fn abbreviate_normals(&self, addends: &mut Vec<Addend>) {
        while let Some((i, j, written)) = self.normal(addends) {
            addends[i].number *= -2.0;
            addends[i].extra = Extra::Written(written);
            addends.remove(j);
        }
    }

    fn normal(&self, addends: &[Addend]) -> Option<(usize, usize, Math)> {
        for (i, a) in addends.iter().enumerate() {
            let Extra::Log(m) = &a.extra else { continue };
            if m.number != std::f64::consts::TAU {
                continue;
            }
            for (j, b) in addends
                .iter()
                .enumerate()
                .filter(|&(j, b)| j != i && b.number == a.number)
            {
                if let Some(written) = self
                    .residual(*m, &a.factors, &b.factors)
                    .and_then(|e| self.written(*m, e))
                {
                    return Some((i, j, written));
                }
            }
        }
        None
    }

    /// e where the factors are `common` and eᵀ S⁻¹ e, or `common` and e² / v.
    fn residual(&self, m: Merged, common: &[Term], factors: &[Term]) -> Option<Term> {
        let mut rest = factors.to_vec();
        for f in common {
            rest.remove(rest.iter().position(|g| g == f)?);
        }
        if m.determinant {
            return match (&rest[..], rest.first().map(|&q| self.s.node(q))) {
                ([_], Some(&Node::Quad(s, e))) if s == m.inner => Some(e),
                _ => None,
            };
        }
        let power = |t: Term, wanted: f64| match self.s.node(t) {
            Node::Pow(b, p) if self.s.as_num(*p) == Some(wanted) => Some(*b),
            _ => None,
        };
        let at = rest.iter().position(|&t| power(t, 2.0).is_some())?;
        let e = power(rest.remove(at), 2.0)?;
        let mut below = rest.iter().map(|&t| power(t, -1.0)).collect::<Option<Vec<Term>>>()?;
        let mut variance = self.s.factors(m.inner);
        below.sort();
        variance.sort();
        (below == variance).then_some(e)
    }

    /// log N(x; m, S) from the residual x − m: x is the variable in it that has a distribution.
    fn written(&self, merged: Merged, e: Term) -> Option<Math> {
        let terms = self.s.addends(e);
        let random = |t: Term| {
            let (x, _) = self.s.as_symbol(t)?;
            match self.s.sym(x).kind {
                SymKind::Data => Some(0),
                SymKind::Latent => Some(1),
                SymKind::Param => Some(2),
                _ => None,
            }
        };
        let (_, at) = terms
            .iter()
            .enumerate()
            .filter_map(|(i, &t)| Some((random(t)?, i)))
            .min()?;
        let mean: Vec<Addend> = terms
            .iter()
            .enumerate()
            .filter(|&(i, _)| i != at)
            .map(|(_, &t)| self.addend(t, -1.0))
            .collect();
        let mean = self.sum_of(mean, false, &[]);
        Some(Math::Apply(
            "log",
            Box::new(Math::Normal(Box::new([
                self.math(terms[at]),
                mean,
                self.math(merged.inner),
            ]))),
        ))
    }
}
