//! The finite states of a chain over the rows: what forward–backward sums over.
//!
//! Statement: the rows of a sequence are joined only by variables that are another row's latents (`z[t−1]`). Take the
//! *state* s_t, all latents of row t that later rows know, with their lags but the oldest; then
//! p(x, s) = Π_t φ_t(s_{t−1}, s_t), and with the message
//!
//!   α_t(s) ∝ Σ_{s′} α_{t−1}(s′) φ_t(s′, s),    β_t(s) ∝ Σ_{s′} φ_{t+1}(s, s′) β_{t+1}(s′)
//!
//! (Rabiner 1989) p(s_t | x) ∝ α_t β_t, p(s_{t−1}, s_t | x) ∝ α_{t−1} φ_t β_t, and log p(x) is the sum of the logs of the
//! normalisers of α. Latents that no other row knows are summed out of φ_t before.
//!
//! Side conditions: the state has finitely many values, and its variables' factors look back a fixed number of rows.

use crate::plan::{Chain, Finite, RowFactor};
use lvmc_model::graph::{ModelGraph, Role, When};
use lvmc_term::{Store, SymId, Term};

/// Its printed name.
pub const NAME: &str = "forward-backward";

/// A finite variable that is another row's: which one's, and how many rows before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lagged {
    /// Position of the other variable among the finite ones.
    pub of: usize,
    /// Rows.
    pub by: usize,
}

/// The latents' lags of a graph: (lagged symbol, symbol it is of, how many rows).
#[must_use]
pub fn latent_lags(graph: &ModelGraph) -> Vec<(SymId, SymId, usize)> {
    let lags = graph.chain.iter().flat_map(|c| &c.lags);
    lags.filter(|l| graph.var(l.of).role == Role::Latent)
        .map(|l| (graph.var(l.var).sym, graph.var(l.of).sym, l.by))
        .collect()
}

/// The chain of a model's finite variables, if some row knows another's.
#[must_use]
pub fn chain_of(graph: &ModelGraph, finite: &[Finite]) -> Option<Chain> {
    let lag = |v: usize| finite[v].lag;
    let (mut state, mut previous) = (vec![], vec![]);
    for v in 0..finite.len() {
        let (of, by) = lag(v).map_or((v, 0), |l| (l.of, l.by));
        let next = (0..finite.len()).find(|&w| lag(w) == Some(Lagged { of, by: by + 1 }));
        if let Some(next) = next {
            state.push(v);
            previous.push(next);
        }
    }
    let index = graph.chain.as_ref()?.index.clone();
    (!state.is_empty()).then_some(Chain {
        index,
        state,
        previous,
        factors: vec![],
        shared: vec![],
        beside: vec![],
        children: vec![],
        regimes: 1,
        marks: marks(graph),
    })
}

/// The symbols of a graph's marks.
pub(crate) fn marks(graph: &ModelGraph) -> Vec<(SymId, When)> {
    let marks = graph.chain.iter().flat_map(|c| &c.marks);
    marks.map(|m| (graph.var(m.var).sym, m.when)).collect()
}

impl Chain {
    /// All its variables: those of the row before that are not the state's own, then the state's.
    #[must_use]
    pub fn axes(&self) -> Vec<usize> {
        let old = self.previous.iter().copied().filter(|v| !self.state.contains(v));
        old.chain(self.state.iter().copied()).collect()
    }

    /// True where a factor's weight is a table of the transition: the same in every row that it holds in.
    #[must_use]
    pub fn is_table(&self, s: &Store, f: &RowFactor) -> bool {
        let axes = self.axes();
        let own = !self.previous.is_empty() && !f.scope.is_empty();
        own && f.scope.iter().all(|v| axes.contains(v)) && f.cases.iter().all(|c| !s.per_row(c.term))
    }

    /// A row's potential knows the row before.
    #[must_use]
    pub fn looks_back(&self, f: &RowFactor) -> bool {
        f.scope.iter().any(|v| !self.state.contains(v))
    }

    /// The log potential of the tables at a position: the sum of those that hold there, on the chain's axes. At position
    /// 0 lagged variables do not exist: the state has their first value.
    pub fn table(&self, s: &mut Store, finite: &[Finite], factors: &[RowFactor], position: usize) -> Term {
        let mut parts = vec![];
        for &f in &self.factors {
            let f = &factors[f];
            if self.is_table(s, f) && f.when.holds(position) {
                parts.push(whole(s, finite, f));
            }
        }
        if position == 0 {
            for &v in self.state.iter().filter(|&&v| finite[v].lag.is_some()) {
                let (ix, zero, never) = (s.index(finite[v].ix), s.num(0.0), s.num(f64::NEG_INFINITY));
                let first = s.cmp(lvmc_term::Cmp::Eq, ix, zero);
                parts.push(s.select(first, zero, never));
            }
        }
        s.sum(&parts)
    }
}

/// A factor's log density as one term: its cases by comparison of indices.
fn whole(s: &mut Store, finite: &[Finite], f: &RowFactor) -> Term {
    let parts: Vec<Term> = f
        .cases
        .iter()
        .map(|case| {
            let mut holds = vec![];
            for (list, equal) in [(&case.fixed, true), (&case.excluded, false)] {
                for &(v, x) in list {
                    let (ix, x) = (s.index(finite[v].ix), s.num(x as f64));
                    let same = s.cmp(lvmc_term::Cmp::Eq, ix, x);
                    holds.push(if equal { same } else { s.not(same) });
                }
            }
            if holds.is_empty() {
                return case.term;
            }
            let (condition, zero) = (s.product_of(&holds), s.num(0.0));
            s.select(condition, case.term, zero)
        })
        .collect();
    s.sum(&parts)
}

/// The chain's factors and marks: which rows' factors stay tables, and the others as densities that are 0 where they do not
/// hold.
pub fn settle(s: &mut Store, graph: &ModelGraph, chains: &mut [Chain], factors: &mut [RowFactor]) {
    for chain in chains.iter_mut() {
        let axes = chain.axes();
        for (i, f) in factors.iter().enumerate() {
            if !f.scope.is_empty() && f.scope.iter().all(|v| axes.contains(v)) {
                chain.factors.push(i);
                // a table of its own for every position that differs from later ones
                chain.regimes = chain.regimes.max(match f.when {
                    When::At(p) => p + 1,
                    When::From(p) => p,
                    When::Always => 1,
                });
            }
        }
    }
    for f in factors.iter_mut() {
        let table = chains.iter().any(|c| c.is_table(s, f));
        if table || f.when == When::Always {
            continue;
        }
        if let Some(mark) = graph.mark_term(s, f.when) {
            for case in &mut f.cases {
                let zero = s.num(0.0);
                case.term = s.select(mark, case.term, zero);
            }
        }
    }
}
