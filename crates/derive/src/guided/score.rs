//! Draws that step: the gradient of q's distribution beside that of what is averaged.
//!
//! ∇ E_q[f] = E_q[∇f + (f − c) ∇ log q] for any c that does not depend on the draw. As a term: f + fixed(f − c)·(log q −
//! fixed(log q)), whose value is f and whose gradient is that. With several draws, c is the mean of f over the others (Kool,
//! van Hoof and Welling 2019); of the importance-weighted bound, that bound with the draw's weight replaced by the geometric
//! mean of the others (Mnih and Rezende 2016).

use super::build::Builder;
use super::{Guided, Latent, Score, Source};
use lvmc_model::graph::Factor;
use lvmc_term::{Store, Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

/// log q − fixed(log q), held together so that it is 0 to the last digit.
pub(super) fn change(s: &mut Store, log_q: Term) -> Term {
    let log_q = s.hold(log_q);
    let fixed = s.fixed(log_q);
    s.sub(log_q, fixed)
}

impl Builder<'_> {
    /// The score of the latent of a factor that is drawn next.
    pub(super) fn score(&mut self, factor: &Factor, draw: Term) -> Score {
        let log_q = self.density(factor);
        let name = self.graph.var(factor.var).name.clone();
        let sym = self.graph.var(factor.var).sym;
        let at_draw = self.replaced(log_q, sym, draw);
        let change = change(self.s(), at_draw);
        let change = self.g.drawn(change);
        let s = self.s();
        let baseline = s.add_sym(Sym {
            name: format!("c_{name}"),
            kind: SymKind::Given,
            shape: vec![],
            family: 0,
            per_row: true,
            support: Support::Real,
        });
        Score {
            log_q,
            change,
            baseline,
        }
    }
}

impl Guided {
    /// Latents with a score.
    pub(super) fn scored(&self) -> impl Iterator<Item = (&Latent, Score)> {
        self.latents.iter().filter_map(|l| Some((l, l.score?)))
    }

    /// True where gradients have scores of draws that step.
    #[must_use]
    pub fn steps(&self) -> bool {
        self.terms.iter().any(|t| !t.signals.is_empty())
    }

    /// The mean over draws of `row`, which has its surrogates, and baselines from the other draws' `signals`.
    pub(super) fn with_baselines(
        &mut self,
        row: Term,
        signals: &[(SymId, Term)],
        draws: usize,
        noise: &mut Vec<Source>,
    ) -> Term {
        let scored: Vec<Score> = self.scored().map(|(_, score)| score).collect();
        let syms: Vec<SymId> = self.scored().map(|(l, _)| l.sym).collect();
        // minus c (log q − fixed(log q)) of each
        let mut all = vec![row];
        let mut heard = vec![];
        for (score, sym) in scored.iter().zip(syms) {
            let of: Vec<Term> = signals.iter().filter(|s| s.0 == sym).map(|s| s.1).collect();
            if of.is_empty() {
                continue;
            }
            let s = &mut self.store;
            let c = s.var(score.baseline);
            let c = s.mul(c, score.change);
            all.push(s.neg(c));
            heard.push((score.baseline, s.sum(&of)));
        }
        let row = self.store.sum(&all);
        let renamed = self.renamings(draws, noise);
        let mut out = vec![];
        for i in 0..draws {
            let copy = self.store.substitute(row, &renamed[i]);
            let mut with = HashMap::new();
            for &(baseline, signal) in &heard {
                let others: Vec<Term> = (0..draws)
                    .filter(|&j| j != i)
                    .map(|j| self.store.substitute(signal, &renamed[j]))
                    .collect();
                let s = &mut self.store;
                let mean = s.sum(&others);
                let mean = s.scale(1.0 / (draws as f64 - 1.0), mean);
                with.insert(s.var(baseline), s.fixed(mean));
            }
            out.push(self.store.substitute(copy, &with));
        }
        let s = &mut self.store;
        let sum = s.sum(&out);
        s.scale(1.0 / draws as f64, sum)
    }

    /// log 1/K Σ wₖ of weighted draws, with their scores.
    pub(super) fn weighted(&mut self, weight: Term, draws: usize, noise: &mut Vec<Source>) -> Term {
        let changes: Vec<Term> = self.scored().map(|(_, score)| score.change).collect();
        let renamed = self.renamings(draws, noise);
        let s = &mut self.store;
        let copies: Vec<Term> = renamed.iter().map(|with| s.substitute(weight, with)).collect();
        let n = s.num(-(draws as f64).ln());
        let mean = |s: &mut Store, copies: &[Term]| {
            let all = s.stack(copies);
            let lse = s.log_sum_exp(all);
            s.add(lse, n)
        };
        let bound = mean(s, &copies);
        if changes.is_empty() {
            return bound;
        }
        let change = s.sum(&changes);
        let mut out = vec![bound];
        for i in 0..draws {
            let others: Vec<Term> = (0..draws).filter(|&j| j != i).map(|j| copies[j]).collect();
            let gain = if others.is_empty() {
                bound
            } else {
                let geometric = s.sum(&others);
                let mut without = copies.clone();
                without[i] = s.scale(1.0 / others.len() as f64, geometric);
                let without = mean(s, &without);
                s.sub(bound, without)
            };
            let (gain, change) = (s.fixed(gain), s.substitute(change, &renamed[i]));
            out.push(s.mul(gain, change));
        }
        s.sum(&out)
    }
}
