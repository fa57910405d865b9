//! Missing cells of data variables: their densities drop out, row by row.
//!
//! Statement: where the elements of a variable are independent given what their statement depends on, the density of the
//! observed ones is the product of theirs: with o = 1 where a cell is observed and 0 where it is missing,
//! log p(x_observed | …) = Σ_j o_j log p(x_j | …). So the mask is data like any other, the rules read it as a weight, and
//! nothing is known of missing cells but what follows from the model.
//!
//! Side conditions: no other statement depends on the variable (a finite one is then summed over as a latent is); of a
//! vector whose elements depend on each other, single cells are missing-cells' where it is Gaussian.
//!
//! Proof: the integral of a density is 1.
//!
//! Along a Gaussian chain a vector whose elements depend on each other is *completed*: it is a latent of its row with the
//! density as written, and its observed elements are an observation of it without noise, of which the smoother takes in
//! what a row has; beside finite latents it is of the Gaussian part of q. Q then reads its mean and moves as it reads those
//! of the states.

use crate::effects;
use crate::error::DeriveError;
use crate::guided;
use crate::joint::{LogJoint, arguments};
use crate::plan::{Mask, Posterior};
use lvmc_families::{Event, Family};
use lvmc_model::graph::{Dist, Factor, ModelGraph, Plate, Role};
use lvmc_term::{Store, Support, Sym, SymId, SymKind, Term};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What may be missing of a row's variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gaps {
    /// All of it, or nothing.
    Whole,
    /// Any of its elements.
    Cells,
}

/// Data variables with missing cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing(BTreeMap<SymId, Gaps>);

impl Missing {
    /// Those of `found` that a derivation knows how to leave out.
    #[must_use]
    pub fn of(graph: &ModelGraph, found: &BTreeMap<SymId, Gaps>) -> Self {
        let kept = found
            .iter()
            .filter(|(sym, gaps)| refusal(graph, **sym, **gaps).is_none());
        Self(kept.map(|(&sym, &gaps)| (sym, gaps)).collect())
    }

    /// Every data variable that may have missing cells in this model, with as much missing as may be.
    #[must_use]
    pub fn most(graph: &ModelGraph) -> Self {
        let mut kept = BTreeMap::new();
        for v in graph.vars.iter().filter(|v| v.role == Role::Data) {
            for gaps in [Gaps::Whole, Gaps::Cells] {
                if refusal(graph, v.sym, gaps).is_none() {
                    kept.insert(v.sym, gaps);
                }
            }
        }
        Self(kept)
    }

    /// What may be missing of a variable.
    #[must_use]
    pub fn gaps(&self, sym: SymId) -> Option<Gaps> {
        self.0.get(&sym).copied()
    }

    /// Nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The variables.
    pub fn variables(&self) -> impl Iterator<Item = SymId> {
        self.0.keys().copied()
    }
}

/// Why missing cells of a variable cannot be left out, as a sentence about it; `None` where they can.
#[must_use]
pub fn refusal(graph: &ModelGraph, sym: SymId, gaps: Gaps) -> Option<String> {
    let narrower = || guided::gaps::refusal(graph, sym, gaps).filter(|_| guided::needs_gradients(graph));
    integral(graph, sym, gaps).or_else(narrower)
}

/// Why the density of what is observed is no term, of a model without a guide.
fn integral(graph: &ModelGraph, sym: SymId, gaps: Gaps) -> Option<String> {
    let var = graph.var_of(sym).map(|v| graph.var(v))?;
    if var.observed_at.is_some() {
        return Some("it is where a chain begins, which needs all of it".into());
    }
    if var.role != Role::Data {
        return Some("it is conditioned on, and never modelled".into());
    }
    let own: Vec<&Factor> = graph.factors.iter().filter(|f| graph.var(f.var).sym == sym).collect();
    let [factor] = own[..] else {
        return Some("it has no statement of its own for all rows".into());
    };
    let every_row = matches!(graph.plates[factor.plate.index()], Plate::Row { parent: None });
    let itself = factor.condition.is_none() && graph.store.as_symbol(factor.value).is_some_and(|v| v.1 == 0);
    if !every_row || !itself {
        return Some("its statement does not hold for every row by itself".into());
    }
    let mut store = graph.store.clone();
    let scalar = store.sym(sym).shape.is_empty();
    let finite = scalar && crate::joint::finite_size(&store, &factor.dist).is_some();
    // rows of a chain may know it of rows before
    let lags = graph.chain.iter().flat_map(|c| &c.lags);
    let lagged: Vec<SymId> = lags
        .filter(|l| graph.var(l.of).sym == sym)
        .map(|l| graph.var(l.var).sym)
        .collect();
    if !finite || !lagged.is_empty() {
        let mentions = |t: Term| {
            let own = !finite && graph.store.depends_on_sym(t, sym);
            own || lagged.iter().any(|&x| graph.store.depends_on_sym(t, x))
        };
        let user = graph.factors.iter().find(|f| {
            let other = graph.var(f.var).sym != sym || !lagged.is_empty();
            other && arguments(&f.dist).iter().any(|&t| mentions(t))
        });
        if let Some(user) = user {
            return Some(format!("`{}` depends on it", graph.var(user.var).name));
        }
    }
    let whole = scalar || gaps == Gaps::Whole;
    if whole || elementwise(&mut store, factor, &factor.dist) || chained(&mut store, graph, factor) {
        return None;
    }
    if !crate::gap::holds(&mut store, factor) {
        return Some("its elements depend on each other, so that a row has all of them or none".into());
    }
    None
}

/// True where the density is a product over the elements.
pub fn elementwise(s: &mut Store, factor: &Factor, dist: &Dist) -> bool {
    match dist {
        Dist::Family {
            family,
            signature,
            args,
            ..
        } => factor.elementwise || family.elements(s, *signature, args).is_some(),
        Dist::If { then, otherwise, .. } => elementwise(s, factor, then) && elementwise(s, factor, otherwise),
    }
}

/// True of a Normal vector of which some elements may be missing and that depends on the latents of a Gaussian chain.
fn chained(s: &mut Store, graph: &ModelGraph, factor: &Factor) -> bool {
    let Dist::Family {
        family,
        signature,
        args,
        ..
    } = &factor.dist
    else {
        return false;
    };
    let states = beside_states(graph);
    let reads = args.iter().any(|&t| states.iter().any(|&x| s.depends_on_sym(t, x)));
    reads && s.shape(factor.value).len() == 1 && family.gaussian(s, *signature, args).is_some()
}

/// The real latents of rows that a Gaussian chain joins: its states, and those that stand with them in a statement.
fn beside_states(graph: &ModelGraph) -> BTreeSet<SymId> {
    let s = &graph.store;
    let real = |x: SymId| s.sym(x).support == Support::Real;
    let lags = crate::chain::latent_lags(graph);
    let states = lags.iter().filter(|l| real(l.1)).flat_map(|l| [l.0, l.1]);
    let mut found: BTreeSet<SymId> = states.collect();
    let latents = graph.vars.iter().filter(|v| v.role == Role::Latent && real(v.sym));
    let latents: Vec<SymId> = latents.map(|v| v.sym).filter(|&x| s.sym(x).per_row).collect();
    loop {
        let before = found.len();
        for f in &graph.factors {
            let arguments = arguments(&f.dist);
            let stands = |&x: &SymId| graph.var(f.var).sym == x || arguments.iter().any(|&t| s.depends_on_sym(t, x));
            if found.iter().any(stands) {
                found.extend(latents.iter().copied().filter(|x| stands(x)));
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// A variable is completed where some of its cells are missing.
pub fn completes(graph: &ModelGraph, sym: SymId, gaps: Gaps) -> bool {
    let mut store = graph.store.clone();
    let own = graph.factors.iter().find(|f| graph.var(f.var).sym == sym);
    own.is_some_and(|f| {
        let vector = gaps == Gaps::Cells && !store.sym(sym).shape.is_empty();
        vector && !elementwise(&mut store, f, &f.dist) && chained(&mut store, graph, f)
    })
}

/// The mask of a variable: 1 where a cell is observed.
pub fn mask(s: &mut Store, of: SymId, gaps: Gaps, completed: bool) -> Mask {
    let var = s.sym(of).clone();
    let sym = s.add_sym(Sym {
        name: format!("o_{}", var.name),
        kind: SymKind::Data,
        shape: if gaps == Gaps::Cells { var.shape } else { vec![] },
        family: 0,
        per_row: true,
        support: Support::Binary,
    });
    Mask { of, sym, completed }
}

/// Σ_j o_j log p(x_j | …) of one family's density.
pub fn density(s: &mut Store, factor: &Factor, dist: (&'static dyn Family, usize, &[Term]), mask: Term) -> Term {
    let (family, signature, args) = dist;
    let x = factor.value;
    if s.shape(mask).is_empty() {
        let t = family.log_density(s, signature, x, args);
        let t = if factor.elementwise { s.total(t) } else { t };
        return s.mul(mask, t);
    }
    let t = match family.elements(s, signature, args) {
        Some((element, args)) if family.signatures()[signature].event != Event::Scalar => {
            family.log_density(s, element, x, &args)
        }
        _ => family.log_density(s, signature, x, args),
    };
    let masked = s.mul(mask, t);
    s.total(masked)
}

/// E[x] and E[x²] of every masked variable given the latents, as their statements say: what the elimination of the latents
/// then takes the expectation of.
///
/// # Errors
/// An effect of a group in a place where no rule reads it.
pub fn impute(joint: &mut LogJoint, graph: &ModelGraph) -> Result<(), DeriveError> {
    let one_hot: HashMap<Term, Term> = joint
        .finite
        .clone()
        .iter()
        .map(|f| (joint.store.var(f.sym), joint.store.index(f.ix)))
        .collect();
    for gap in joint.gaps.clone() {
        let s = &mut joint.store;
        let mean = crate::gap::completed(s, &gap);
        let square = s.square(mean);
        joint.imputed.push(Posterior {
            sym: gap.of,
            rule: crate::gap::NAME,
            mean,
            square,
        });
    }
    let correlated: Vec<SymId> = joint.gaps.iter().map(|g| g.of).collect();
    let masks = joint.masks.clone();
    for mask in masks.into_iter().filter(|m| !correlated.contains(&m.of)) {
        let own = graph.factors.iter().find(|f| graph.var(f.var).sym == mask.of);
        let Some(factor) = own else { continue };
        let s = &mut joint.store;
        if mask.completed {
            let mean = s.var(mask.of);
            let square = s.square(mean);
            joint.imputed.push(Posterior {
                sym: mask.of,
                rule: "",
                mean,
                square,
            });
            continue;
        }
        if let Some((mean, variance)) = moments(s, factor, &factor.dist) {
            let square = s.square(mean);
            let square = s.add(square, variance);
            let mean = effects::rowwise(joint, graph, mean, factor.span)?;
            let square = effects::rowwise(joint, graph, square, factor.span)?;
            joint.imputed.push(Posterior {
                sym: mask.of,
                rule: "",
                mean: joint.store.substitute(mean, &one_hot),
                square: joint.store.substitute(square, &one_hot),
            });
        }
    }
    Ok(())
}

/// Mean and variances of a statement's distribution, of the variable's shape.
fn moments(s: &mut Store, factor: &Factor, dist: &Dist) -> Option<(Term, Term)> {
    let shape = s.shape(factor.value).clone();
    match dist {
        Dist::Family {
            family,
            signature,
            args,
            ..
        } => {
            let mean = family.mean(s, *signature, args)?;
            let variance = family.variance(s, *signature, args)?;
            Some((s.refill(mean, shape.clone()), s.refill(variance, shape)))
        }
        Dist::If {
            condition,
            then,
            otherwise,
        } => {
            let (a, b) = (moments(s, factor, then)?, moments(s, factor, otherwise)?);
            Some((s.select(*condition, a.0, b.0), s.select(*condition, a.1, b.1)))
        }
    }
}
