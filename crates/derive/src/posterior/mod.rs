//! Exact posteriors of continuous latents, found by canonicalisation: the log joint, seen as a function of a latent (or of
//! a block of them), is a sum of its statistics times natural parameters.
//!
//! A rule gives *definitions* (what an iteration computes from the current parameters, first flat ones, then those of a
//! row), rewrites the factors of the E-step to those of the marginal density, and the factors of Q to their expectation.
//! Everything after this sees data, finite variables, parameters and defined symbols only.

mod conjugate;
mod crossed;
mod evaluate;
mod gaussian;
pub mod group;
pub mod kalman;
pub mod prescribed;
pub mod rowwise;
mod scatter;
mod simplex;
pub mod structured;

pub use evaluate::define as evaluate;

use crate::error::DeriveError;
use crate::joint::LogJoint;
use crate::plan::{Case, Definition, Posterior, RowFactor, Value};
use crate::rules::Decline;
use lvmc_base::Span;
use lvmc_model::graph::{ModelGraph, When};
use lvmc_term::{IxId, Size, Store, Support, Sym, SymId, SymKind, Term};
use std::collections::BTreeSet;

/// A continuous latent of a row.
#[derive(Debug, Clone)]
pub struct Continuous {
    /// Its symbol.
    pub sym: SymId,
    /// The statement that gives its prior.
    pub factor: usize,
    /// The prior's family, for messages.
    pub family: &'static str,
    /// Place of the statement.
    pub span: Span,
}

/// Integrates the continuous latents out of a joint.
///
/// # Errors
/// No rule gives some latent's posterior.
pub fn eliminate(joint: &mut LogJoint, graph: &ModelGraph, latents: &[Continuous]) -> Result<(), DeriveError> {
    let chained = kalman::chained(joint, graph, latents);
    if let Some(first) = chained.first() {
        if structured::needed(joint, &chained) {
            structured::eliminate(joint, graph, &chained)
                .map_err(|why| kalman::refused(graph, first, structured::NAME, why))?;
        } else {
            kalman::eliminate(joint, graph, &chained)
                .map_err(|why| kalman::refused(graph, first, kalman::NAME, why))?;
        }
    }
    let (mut scalars, mut blocks): (Vec<&Continuous>, Vec<Vec<&Continuous>>) = (vec![], vec![]);
    for l in latents.iter().filter(|l| chained.iter().all(|c| c.sym != l.sym)) {
        if joint.store.sym(l.sym).support == Support::Real {
            blocks.push(vec![l]);
        } else {
            scalars.push(l);
        }
    }
    join_connected(joint, &mut blocks);
    for l in scalars {
        let probabilities = joint.store.sym(l.sym).support == Support::Simplex;
        if probabilities {
            simplex::eliminate(joint, l).map_err(|why| refused(graph, l, &[(simplex::NAME, why)]))?;
        } else {
            conjugate::eliminate(joint, l).map_err(|why| refused(graph, l, &[(conjugate::NAME, why)]))?;
        }
    }
    for block in blocks {
        let syms: Vec<SymId> = block.iter().map(|l| l.sym).collect();
        gaussian::eliminate(joint, &syms, block[0])
            .map_err(|why| refused(graph, block[0], &[(gaussian::NAME, why)]))?;
    }
    Ok(())
}

/// Latents that stand in a common factor are one block.
fn join_connected(joint: &LogJoint, blocks: &mut Vec<Vec<&Continuous>>) {
    for f in &joint.factors {
        let touches = |b: &Vec<&Continuous>| {
            b.iter()
                .any(|l| f.cases.iter().any(|c| joint.store.depends_on_sym(c.term, l.sym)))
        };
        let (mut together, rest): (Vec<_>, Vec<_>) = std::mem::take(blocks).into_iter().partition(touches);
        *blocks = rest;
        if !together.is_empty() {
            blocks.push(together.drain(..).flatten().collect());
        }
    }
    blocks.sort_by_key(|b| b[0].factor);
    for b in blocks {
        b.sort_by_key(|l| l.factor);
    }
}

fn refused(graph: &ModelGraph, l: &Continuous, tried: &[(&'static str, Decline)]) -> DeriveError {
    let name = &graph.var(graph.factors[l.factor].var).name;
    let (rule, why) = &tried[0];
    let width = rule.len().max("finite-posterior".len());
    DeriveError::NoPosterior {
        name: name.clone(),
        reason: why.reason.clone(),
        span: why.span.unwrap_or(l.span),
        help: format!(
            "tried  {:width$}  declined: {} has no finite support\ntried  {rule:width$}  declined: {}\n\
             it can be fitted where `{name}` is Categorical or Bernoulli, where its log joint is quadratic in `{name}` or \
             linear in the statistics of its family, or where it is a `param` or observed (`data {name}`)",
            "finite-posterior", l.family, why.reason,
        ),
    }
}

/// The factors that mention some of the latents, each of one case.
fn touching(joint: &LogJoint, syms: &[SymId]) -> Result<Vec<usize>, Decline> {
    let mut found = vec![];
    for (i, f) in joint.factors.iter().enumerate() {
        let mentions = |c: &Case| syms.iter().any(|&x| joint.store.depends_on_sym(c.term, x));
        if !f.cases.iter().any(mentions) {
            continue;
        }
        if f.when != When::Always {
            return Err(Decline::at(
                "it stands in a statement that holds in some rows of the chain",
                f.span,
            ));
        }
        if f.cases.len() > 1 || f.cases.iter().any(|c| !c.fixed.is_empty() || !c.excluded.is_empty()) {
            return Err(Decline::at(
                "it stands in a statement that differs from case to case",
                f.span,
            ));
        }
        found.push(i);
    }
    Ok(found)
}

/// Indices of the finite variables on which some factors depend: the posterior's too.
fn scope_of(joint: &LogJoint, factors: &[usize]) -> Vec<usize> {
    let all: BTreeSet<usize> = factors.iter().flat_map(|&f| joint.factors[f].scope.clone()).collect();
    all.into_iter().collect()
}

/// A factor of one case, its scope read from its term.
fn factor_of(joint: &LogJoint, like: &RowFactor, term: Term) -> RowFactor {
    let free = joint.store.free_indices(term);
    RowFactor {
        factor: like.factor,
        scope: (0..joint.finite.len())
            .filter(|&v| free.contains(&joint.finite[v].ix))
            .collect(),
        cases: vec![Case {
            fixed: vec![],
            excluded: vec![],
            term,
        }],
        when: like.when,
        value: like.value,
        span: like.span,
    }
}

/// What a symbol is, and for which rule an iteration computes it.
struct Defined<'a> {
    rule: &'static str,
    name: String,
    ixs: &'a [IxId],
    positive: bool,
    spread: bool,
}

impl<'a> Defined<'a> {
    fn new(rule: &'static str, name: String, ixs: &'a [IxId]) -> Self {
        Self {
            rule,
            name,
            ixs,
            positive: false,
            spread: false,
        }
    }

    fn positive(self, positive: bool) -> Self {
        Self { positive, ..self }
    }

    fn spread(self) -> Self {
        Self { spread: true, ..self }
    }
}

/// A symbol that an iteration computes, for every value of some indices; its atom at those indices.
fn define(joint: &mut LogJoint, what: Defined<'_>, value: Value, shape: &[Size]) -> Term {
    let term = match value {
        Value::Term(t) | Value::InverseRoot(t) => Some(t),
        Value::Smoothed => None,
    };
    let s: &mut Store = &mut joint.store;
    let free = term.map(|t| s.free_indices(t));
    let used = |i: &IxId| free.as_ref().is_none_or(|free| free.contains(i));
    let ranges: Vec<IxId> = what.ixs.iter().copied().filter(used).collect();
    let sizes = ranges.iter().map(|&i| s.ix(i).size.clone());
    let per_row = term.is_none_or(|t| s.per_row(t));
    let sym = s.add_sym(Sym {
        name: what.name,
        kind: SymKind::Aux,
        shape: sizes.chain(shape.iter().cloned()).collect(),
        family: ranges.len(),
        per_row,
        support: if what.positive {
            Support::Positive
        } else {
            Support::Real
        },
    });
    let (whole, at): (Term, Vec<Term>) = (s.var(sym), ranges.iter().map(|&i| s.index(i)).collect());
    let atom = if at.is_empty() { whole } else { s.at(whole, &at) };
    joint.definitions.push(Definition {
        sym,
        ranges,
        value,
        atom,
        rule: what.rule,
        spread: what.spread,
    });
    atom
}

/// E of the moments of variables with missing cells, over the latents of a block; those that are not known are given up.
fn impute(joint: &mut LogJoint, expected: &mut dyn FnMut(&mut Store, Term) -> Option<Term>) {
    impute_in(joint, &mut |joint, t| expected(&mut joint.store, t));
}

/// The same, where an expectation takes definitions.
fn impute_in(joint: &mut LogJoint, expected: &mut dyn FnMut(&mut LogJoint, Term) -> Option<Term>) {
    for mut p in std::mem::take(&mut joint.imputed) {
        let known = (|| {
            p.mean = expected(joint, p.mean)?;
            let squares = joint.store.addends(p.square);
            let squares: Option<Vec<Term>> = squares.into_iter().map(|t| expected(joint, t)).collect();
            p.square = joint.store.sum(&squares?);
            Some(())
        })();
        if known.is_some() {
            joint.imputed.push(p);
        }
    }
}

/// Notes what `predict` says of a latent: E[z] and E[z²] given the finite variables.
fn report(joint: &mut LogJoint, sym: SymId, rule: &'static str, mean: Term, square: Term) {
    joint.posteriors.push(Posterior {
        sym,
        rule,
        mean,
        square,
    });
}
