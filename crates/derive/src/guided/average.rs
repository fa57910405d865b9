//! The expectation of a statement under q: for every latent, from the last of q to the first, the first rule that applies.

use super::build::Builder;
use super::expect::{self, Moments, Spread};
use super::statistics;
use super::{BoundTerm, Latent, Taken};
use lvmc_families::Event;
use lvmc_model::graph::{Dist, Factor};
use lvmc_term::{SymId, Term};

/// An expectation on its way: what is averaged, and what stands beside it for the gradient alone.
struct Average {
    value: Term,
    taken: Taken,
    surrogates: Vec<Term>,
    signals: Vec<(SymId, Term)>,
}

impl Builder<'_> {
    /// One statement's part of the bound.
    pub(super) fn part(&mut self, of: SymId, guide: bool, written: Term) {
        // subtracted as a whole: what scores multiply has the sign that it has in the bound
        let start = if guide { self.s().neg(written) } else { written };
        let start = if self.scored() { start } else { written };
        let mut average = Average {
            value: start,
            taken: Taken::Plain,
            surrogates: vec![],
            signals: vec![],
        };
        for i in (0..self.g.latents.len()).rev() {
            let latent = self.g.latents[i].clone();
            self.average_over(&mut average, &latent);
        }
        let s = self.s();
        let expected = if guide && start == written {
            s.neg(average.value)
        } else {
            average.value
        };
        let surrogate = (!average.surrogates.is_empty()).then(|| s.sum(&average.surrogates));
        self.g.terms.push(BoundTerm {
            of,
            guide,
            written,
            expected,
            taken: average.taken,
            surrogate,
            signals: average.signals,
        });
    }

    fn scored(&self) -> bool {
        self.g.latents.iter().any(|l| l.score.is_some())
    }

    fn average_over(&mut self, average: &mut Average, latent: &Latent) {
        // beside the value: one draw, or a sum over few values
        for t in &mut average.surrogates {
            *t = self.one(*t, latent);
        }
        for (_, t) in &mut average.signals {
            *t = self.one(*t, latent);
        }
        let t = average.value;
        if !self.g.store.depends_on_sym(t, latent.sym) {
            return;
        }
        if let Some(sum) = self.g.enumerated(t, latent) {
            average.value = sum;
            average.taken = average.taken.max(Taken::Enumerated);
            return;
        }
        if latent.point {
            average.value = self.replaced(t, latent.sym, latent.draw);
            average.taken = average.taken.max(Taken::Point);
            return;
        }
        let q = self.moments(latent);
        let (mut sum, mut drawn) = (vec![], vec![]);
        for part in self.g.store.addends(t) {
            if !self.g.store.depends_on_sym(part, latent.sym) {
                sum.push(part);
                continue;
            }
            match q.as_ref().and_then(|q| self.closed(part, q)) {
                Some((e, how)) => {
                    sum.push(e);
                    average.taken = average.taken.max(how);
                }
                None => {
                    let part = self.replaced(part, latent.sym, latent.draw);
                    sum.push(part);
                    drawn.push(part);
                }
            }
        }
        average.value = self.s().sum(&sum);
        if drawn.is_empty() {
            return;
        }
        let Some(score) = latent.score else {
            average.taken = average.taken.max(Taken::Drawn);
            return;
        };
        average.taken = Taken::Scored;
        let s = &mut self.g.store;
        let signal = s.sum(&drawn);
        let z = s.var(latent.sym);
        let change = s.substitute(score.log_q, &[(z, latent.draw)].into());
        let change = super::score::change(s, change);
        let fixed = s.fixed(signal);
        average.surrogates.push(s.mul(fixed, change));
        average.signals.push((latent.sym, signal));
    }

    /// t at one draw of a latent, or summed over its few values.
    fn one(&mut self, t: Term, latent: &Latent) -> Term {
        if !self.g.store.depends_on_sym(t, latent.sym) {
            return t;
        }
        match self.g.enumerated(t, latent) {
            Some(sum) => sum,
            None => self.replaced(t, latent.sym, latent.draw),
        }
    }

    /// The expectation by moments, of the term as it stands or with its nets written out.
    fn closed(&mut self, t: Term, q: &Moments) -> Option<(Term, Taken)> {
        if let Some(e) = expect::expect(self.s(), t, q) {
            return Some(e);
        }
        let (open, masks) = self.graph.expand_nets(&mut self.g.store, t);
        if open == t || !masks.is_empty() {
            return None;
        }
        expect::expect(self.s(), open, q)
    }

    fn guide_factor(&self, sym: SymId) -> Option<&Factor> {
        let factors = self.graph.guide.as_ref()?.factors.iter();
        factors.into_iter().find(|f| self.graph.var(f.var).sym == sym)
    }

    /// What is known of a latent's distribution: of a Gaussian mean and covariance; of another one mean, variance, and the
    /// expectations of its sufficient statistics.
    pub(super) fn moments(&mut self, latent: &Latent) -> Option<Moments> {
        let factor = self.guide_factor(latent.sym)?.clone();
        let Dist::Family {
            family,
            signature,
            args,
            ..
        } = &factor.dist
        else {
            return None;
        };
        let shape = self.s().shape(factor.value).clone();
        let Some((mean, cov)) = family.gaussian(self.s(), *signature, args) else {
            let mean = family.mean(self.s(), *signature, args);
            let independent = family.signatures()[*signature].event == Event::Scalar;
            let variance = family.variance(self.s(), *signature, args).filter(|_| independent);
            let mean = mean.map(|m| self.s().refill(m, shape));
            let statistics = statistics::statistics(self.s(), *family, *signature, args, factor.value);
            let values = statistics::values(self.s(), *family, *signature, args, factor.value);
            return Some(Moments {
                sym: latent.sym,
                mean,
                spread: variance.map(Spread::Diagonal),
                statistics,
                values,
                how: Taken::Statistics,
            });
        };
        let mean = self.s().refill(mean, shape);
        let spread = if self.s().shape(cov).is_empty() {
            Spread::Diagonal(cov)
        } else {
            match self.s().written_diagonal(cov) {
                Some(v) => Spread::Diagonal(v),
                // element by element
                None if self.g.store.shape(cov).len() < 2 => Spread::Diagonal(cov),
                None => Spread::Full(cov),
            }
        };
        Some(Moments {
            sym: latent.sym,
            mean: Some(mean),
            spread: Some(spread),
            statistics: vec![],
            values: vec![],
            how: Taken::Moments,
        })
    }
}
