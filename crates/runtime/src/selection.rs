//! Choosing sizes: a table of fits, and the one that a criterion prefers.

use crate::engine::Posteriors;
use serde::{Deserialize, Serialize};

/// What fits are compared by; less is better, but for `Holdout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Criterion {
    /// p log N − 2 log L.
    #[default]
    Bic,
    /// 2p − 2 log L.
    Aic,
    /// BIC + 2 × the entropy of the finite latents' posterior.
    Icl,
    /// The log-likelihood per row of the rows held out.
    Holdout,
}

impl Criterion {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bic => "BIC",
            Self::Aic => "AIC",
            Self::Icl => "ICL",
            Self::Holdout => "held-out log-likelihood",
        }
    }
}

/// One fit of a selection.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Candidate {
    /// The sizes tried.
    pub set: Vec<(String, usize)>,
    /// Degrees of freedom.
    pub free_parameters: Option<usize>,
    /// Of the rows fitted.
    pub log_likelihood: Option<f64>,
    /// Akaike's criterion.
    pub aic: Option<f64>,
    /// The Bayesian information criterion.
    pub bic: Option<f64>,
    /// BIC with the entropy, where there are finite latents and rows are independent.
    pub icl: Option<f64>,
    /// The log-likelihood per row of the rows held out, where there are any.
    pub holdout: Option<f64>,
    /// What makes it suspect.
    pub warnings: Vec<String>,
    /// A component has collapsed or vanished: its likelihood says nothing.
    pub degenerate: bool,
    /// Why there is no fit.
    pub failed: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Candidate {
    /// What is compared, less being better; `None` where there is nothing.
    #[must_use]
    pub fn cost(&self, by: Criterion) -> Option<f64> {
        let value = match by {
            Criterion::Bic => self.bic,
            Criterion::Aic => self.aic,
            Criterion::Icl => self.icl,
            Criterion::Holdout => self.holdout.map(|x| -x),
        };
        value.filter(|x| x.is_finite())
    }
}

/// A selection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// What the fits were compared by.
    pub by: Criterion,
    /// Position of the chosen one in `table`.
    pub chosen: usize,
    /// All of them, in the order tried.
    pub table: Vec<Candidate>,
}

/// The best of those that did not degenerate; of all, where every one did. The first of equals.
#[must_use]
pub fn best(table: &[Candidate], by: Criterion) -> Option<usize> {
    let of = |degenerate: bool| {
        let mut best: Option<(usize, f64)> = None;
        for (i, c) in table.iter().enumerate().filter(|(_, c)| c.degenerate == degenerate) {
            if let Some(cost) = c.cost(by)
                && best.is_none_or(|b| cost < b.1)
            {
                best = Some((i, cost));
            }
        }
        best.map(|b| b.0)
    };
    of(false).or_else(|| of(true))
}

/// −Σ w r log r over rows and latents: the entropy of the posterior where latents of a row are independent given its data.
#[must_use]
pub fn entropy(posteriors: &Posteriors, sizes: &[usize], weight: impl Fn(usize) -> f64) -> f64 {
    let mut total = 0.0;
    for (marginals, &size) in posteriors.marginals.iter().zip(sizes) {
        for (row, r) in marginals.chunks(size.max(1)).enumerate() {
            let own: f64 = r.iter().filter(|r| **r > 0.0).map(|r| -r * r.ln()).sum();
            total += weight(row) * own;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(bic: f64, degenerate: bool) -> Candidate {
        Candidate {
            bic: Some(bic),
            degenerate,
            ..Candidate::default()
        }
    }

    #[test]
    fn honest_fits_go_first_and_the_first_of_equals_wins() {
        let table = [candidate(3.0, false), candidate(1.0, true), candidate(3.0, false)];
        assert_eq!(best(&table, Criterion::Bic), Some(0));
        assert_eq!(best(&table[1..2], Criterion::Bic), Some(0));
        assert_eq!(best(&table, Criterion::Aic), None);
        let held = |x: f64| Candidate {
            holdout: Some(x),
            ..Candidate::default()
        };
        assert_eq!(best(&[held(-3.0), held(-2.0)], Criterion::Holdout), Some(1));
    }

    #[test]
    fn entropy_of_certain_and_even_rows() {
        let posteriors = Posteriors {
            marginals: vec![vec![1.0, 0.0, 0.5, 0.5]],
            ..Posteriors::default()
        };
        assert!((entropy(&posteriors, &[2], |_| 2.0) - 2.0 * 2f64.ln()).abs() < 1e-15);
    }
}
