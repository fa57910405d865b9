//! kalman-smoother: Gaussian latents that other rows know.
//!
//! Statement: let e_t be the latents that row t refers to: those of earlier rows, s_{t−1}, then its own. Where every
//! statement about them is Normal with a mean affine in the latents that it refers to and a covariance without latents,
//! e_t given the rows up to t is Gaussian, and with e_t = T s_{t−1} + c + w and y_t = H e_t + d + v
//!
//!   m⁻ = T m_{t−1} + c,   P⁻ = T P_{t−1} Tᵀ + Q,   F = H P⁻ Hᵀ + R,   K = P⁻ Hᵀ F⁻¹
//!   m = m⁻ + K (y − d − H m⁻),   P = (I − K H) P⁻ (I − K H)ᵀ + K R Kᵀ
//!
//! and log p(y_t | rows before) = log N(y; d + H m⁻, F) (Kalman 1960). Given all rows (Rauch, Tung & Striebel 1965), with
//! J = cov(e_t, s_t) cov(s_t)⁻¹: m̂ = m + J (m̂_s − m_s), P̂ = cov(e_t | s_t) + J P̂_s Jᵀ. The scan carries roots of these
//! covariances, every one of which is a sum of squares as written here, so that nothing cancels.
//!
//! For an affine form a(e), E a(e)² = a(m̂)² + Σ_p (a′ℓ_p)² with Σ_p ℓ_p ℓ_pᵀ = P̂: squares stay whole, and the rules of
//! the M-step read m̂ and ℓ of a row as they read its data.
//!
//! Of an observation with missing cells the observed elements alone are taken in: their rows of H, d and y, their block of
//! R. A row without any has m = m⁻ and P = P⁻, and adds nothing to log p.
//!
//! A vector whose elements depend on each other is a part of e where some of them are missing, and R = 0 of what a row has
//! of it.
//!
//! Side conditions: the slopes and covariances are the same for all rows in which a statement holds; no finite latent stands
//! beside the chain's (the number of Gaussians would grow with every row: [`super::structured`] then).

use super::gaussian::{Eliminated, expected};
use super::{Continuous, Defined, define, factor_of, impute, report};
use crate::affine::jacobian;
use crate::chain::latent_lags;
use crate::error::DeriveError;
use crate::flatten::flatten;
use crate::joint::LogJoint;
use crate::plan::{Linear, LinearGaussian, Part, RowFactor, Value};
use crate::rules::Decline;
use lvmc_base::Span;
use lvmc_model::graph::{Dist, Factor, ModelGraph, When};
use lvmc_term::{IxId, Store, Support, SymId, SymKind, Term};
use std::collections::{BTreeSet, HashMap};

/// Its printed name.
pub const NAME: &str = "kalman-smoother";

/// The continuous latents of a chain: those that other rows know, and those that stand with them in a statement.
pub fn chained(joint: &LogJoint, graph: &ModelGraph, latents: &[Continuous]) -> Vec<Continuous> {
    let lags = latent_lags(graph);
    let names = |x: SymId| -> Vec<SymId> {
        let lagged = lags.iter().filter(|l| l.1 == x).map(|l| l.0);
        [x].into_iter().chain(lagged).collect()
    };
    let mut found: Vec<bool> = latents.iter().map(|l| lags.iter().any(|x| x.1 == l.sym)).collect();
    let mentions = |f: &RowFactor, x: SymId| {
        let all = names(x);
        let in_case = |c: &crate::plan::Case| all.iter().any(|&x| joint.store.depends_on_sym(c.term, x));
        f.cases.iter().any(in_case)
    };
    loop {
        let before = found.clone();
        for f in &joint.factors {
            let here: Vec<usize> = (0..latents.len()).filter(|&i| mentions(f, latents[i].sym)).collect();
            if here.iter().any(|&i| found[i]) {
                here.into_iter().for_each(|i| found[i] = true);
            }
        }
        if found == before {
            break;
        }
    }
    let chosen = latents.iter().zip(found).filter(|x| x.1);
    chosen.map(|x| x.0.clone()).collect()
}

/// Integrates a chain's latents out of the joint.
pub fn eliminate(joint: &mut LogJoint, graph: &ModelGraph, latents: &[Continuous]) -> Result<(), Decline> {
    check(joint, latents)?;
    let parts = ordered(joint, graph, latents)?;
    let atoms: Vec<Term> = parts.iter().map(|p| joint.store.var(p.sym)).collect();
    let touching = touching(joint, &atoms);
    let mut statements = vec![];
    for &f in &touching {
        statements.push(statement(joint, graph, f, &parts, &atoms)?);
    }
    for part in 0..parts.len() {
        statements.extend(cells(joint, &parts, part, &statements));
    }
    let mut chain = chain_of(joint, graph, latents, parts, statements)?;
    let block = definitions(joint, &mut chain.parts, &atoms);
    for &f in &touching {
        let term = joint.factors[f].cases[0].term;
        let mut sum = vec![];
        for t in flatten(&mut joint.store, term) {
            let span = joint.factors[f].span;
            sum.push(expected(&mut joint.store, t, &block).map_err(|why| Decline::at(why, span))?);
        }
        let (whole, nothing) = (joint.store.sum(&sum), joint.store.num(0.0));
        joint.expected[f] = factor_of(joint, &joint.factors[f], whole);
        // the scan adds log p(row | rows before)
        joint.factors[f] = factor_of(joint, &joint.factors[f], nothing);
    }
    impute(joint, &mut |s, t| expected(s, t, &block).ok());
    reported(joint, latents, &block, NAME)?;
    joint.gaussian_chain = Some(chain);
    Ok(())
}

/// The factors that mention latents of the chain.
pub(super) fn touching(joint: &LogJoint, atoms: &[Term]) -> Vec<usize> {
    let mentions = |f: &RowFactor| {
        let mut cases = f.cases.iter();
        cases.any(|c| atoms.iter().any(|&z| joint.store.contains(c.term, z)))
    };
    (0..joint.factors.len())
        .filter(|&i| mentions(&joint.factors[i]))
        .collect()
}

/// The chain of some statements, each latent with one at every position.
pub(super) fn chain_of(
    joint: &LogJoint,
    graph: &ModelGraph,
    latents: &[Continuous],
    parts: Vec<Part>,
    mut statements: Vec<Linear>,
) -> Result<LinearGaussian, Decline> {
    // latents in the order of the parts, observations as written
    statements.sort_by_key(|s: &Linear| s.of.unwrap_or(usize::MAX));
    let regimes = statements.iter().map(|s| match s.when {
        When::At(p) => p + 1,
        When::From(p) => p,
        When::Always => 0,
    });
    let regimes = regimes.max().unwrap_or(0);
    complete(graph, latents, &parts, &statements, regimes)?;
    let param = |t: Term| joint.store.depends_on_kind(t, SymKind::Param);
    let completed = |s: &Linear| {
        let part = s.of.map(|p| parts[p].sym);
        joint.masks.iter().any(|m| m.completed && Some(m.of) == part)
    };
    let loadings = statements
        .iter()
        .any(|s| (s.of.is_none() || completed(s)) && s.slopes.iter().any(|b| param(b.1)));
    let index = graph.chain.as_ref().map_or_else(String::new, |c| c.index.clone());
    Ok(LinearGaussian {
        index,
        parts,
        statements,
        regimes,
        loadings,
        mean_field: false,
    })
}

/// Notes the chain's posterior for those who ask.
pub(super) fn reported(
    joint: &mut LogJoint,
    latents: &[Continuous],
    block: &[Eliminated],
    rule: &'static str,
) -> Result<(), Decline> {
    for l in latents {
        if joint.masks.iter().any(|m| m.completed && m.of == l.sym) {
            continue; // imputed, not reported
        }
        let atom = joint.store.var(l.sym);
        let Some(known) = block.iter().find(|e| e.atom == atom) else {
            continue;
        };
        let square = joint.store.square(atom);
        let square = expected(&mut joint.store, square, block).map_err(|why| Decline::at(why, l.span))?;
        report(joint, l.sym, rule, known.mean, square);
    }
    Ok(())
}

pub(super) fn check(joint: &LogJoint, latents: &[Continuous]) -> Result<(), Decline> {
    if let Some(l) = latents.iter().find(|l| joint.store.sym(l.sym).support != Support::Real) {
        return Err(Decline::at("it is not Gaussian, and other rows know it", l.span));
    }
    let wide = |l: &&Continuous| joint.store.sym(l.sym).shape.len() > 1 || joint.store.sym(l.sym).family > 0;
    if let Some(l) = latents.iter().find(wide) {
        return Err(Decline::at("it is neither a number nor a vector", l.span));
    }
    Ok(())
}

/// Lags first, then the row's latents, each after those that its statements refer to.
pub(super) fn ordered(joint: &LogJoint, graph: &ModelGraph, latents: &[Continuous]) -> Result<Vec<Part>, Decline> {
    let part = |sym: SymId, lagged: bool| Part {
        sym,
        lagged,
        next: None,
        mean: sym,
        moves: vec![],
    };
    let lags: Vec<(SymId, SymId, usize)> = latent_lags(graph)
        .into_iter()
        .filter(|l| latents.iter().any(|x| x.sym == l.1))
        .collect();
    let mut parts: Vec<Part> = lags.iter().map(|l| part(l.0, true)).collect();
    let mut left: Vec<&Continuous> = latents.iter().collect();
    while !left.is_empty() {
        let free = |l: &&&Continuous| {
            let mut own = joint.factors.iter().filter(|f| f.value == l.sym);
            own.all(|f| {
                let mut others = left.iter().filter(|o| o.sym != l.sym);
                !others.any(|o| {
                    let mut cases = f.cases.iter();
                    cases.any(|c| joint.store.depends_on_sym(c.term, o.sym))
                })
            })
        };
        let Some(at) = left.iter().position(|l| free(&l)) else {
            return Err(Decline::at(
                "latents of a row refer to each other in a circle",
                left[0].span,
            ));
        };
        parts.push(part(left.remove(at).sym, false));
    }
    for i in 0..parts.len() {
        let (of, by) = lags
            .iter()
            .find(|l| l.0 == parts[i].sym)
            .map_or((parts[i].sym, 0), |l| (l.1, l.2));
        let next = lags.iter().find(|l| l.1 == of && l.2 == by + 1);
        parts[i].next = next.and_then(|l| parts.iter().position(|p| p.sym == l.0));
    }
    Ok(parts)
}

fn statement(
    joint: &mut LogJoint,
    graph: &ModelGraph,
    f: usize,
    parts: &[Part],
    atoms: &[Term],
) -> Result<Linear, Decline> {
    let row = joint.factors[f].clone();
    let factor = &graph.factors[row.factor];
    if row.cases.len() > 1 || !row.scope.is_empty() {
        return Err(Decline::at(
            "a finite variable stands beside it: one Gaussian would become many, more with every row",
            row.span,
        ));
    }
    let (mean, covariance) = gaussian(&mut joint.store, factor, &factor.dist).ok_or_else(|| not_normal(row.span))?;
    let case = Linear {
        factor: row.factor,
        when: row.when,
        scope: vec![],
        fixed: vec![],
        excluded: vec![],
        of: None,
        offset: mean,
        slopes: vec![],
        covariance,
        mask: mask_of(joint, row.value),
    };
    affine(joint, factor, &row, (parts, atoms), case)
}

/// The mask of an observation, of which a scan takes in what a row has.
pub(super) fn mask_of(joint: &LogJoint, of: SymId) -> Option<SymId> {
    let own = joint.masks.iter().find(|m| m.of == of && !m.completed);
    own.map(|m| m.sym)
}

pub(super) fn not_normal(span: Span) -> Decline {
    Decline::at(
        "it stands in a statement that is not Normal in every row, as `x ~ Normal(mean, var)`",
        span,
    )
}

/// Takes the mean of a statement, in `offset`, apart.
pub(super) fn affine(
    joint: &mut LogJoint,
    factor: &Factor,
    row: &RowFactor,
    (parts, atoms): (&[Part], &[Term]),
    case: Linear,
) -> Result<Linear, Decline> {
    let Linear {
        covariance,
        offset: mean,
        ..
    } = case;
    let s = &mut joint.store;
    if atoms.iter().any(|&z| s.contains(covariance, z)) {
        return Err(Decline::at("it stands in a variance", row.span));
    }
    if s.per_row(covariance) {
        return Err(Decline::at("a variance differs from row to row", row.span));
    }
    let value = s.var(row.value);
    let of = parts.iter().position(|p| p.sym == row.value);
    if factor.value != value && (of.is_some() || atoms.iter().any(|&z| s.contains(factor.value, z))) {
        return Err(Decline::at("an element of it has a statement of its own", row.span));
    }
    let mut slopes = vec![];
    for (i, &z) in atoms.iter().enumerate() {
        let bent = || Decline::at("a mean is not affine in it", row.span);
        let Some(slope) = jacobian(s, mean, z).map_err(|_| bent())? else {
            continue;
        };
        if atoms.iter().any(|&z| s.contains(slope, z)) {
            return Err(bent());
        }
        if s.per_row(slope) {
            return Err(Decline::at(
                "what it is multiplied by differs from row to row",
                row.span,
            ));
        }
        slopes.push((i, slope));
    }
    let zeros: HashMap<Term, Term> = atoms
        .iter()
        .map(|&z| {
            let shape = s.shape(z).clone();
            (z, s.zeros(shape))
        })
        .collect();
    let rest = s.substitute(mean, &zeros);
    let offset = if of.is_some() { rest } else { s.sub(factor.value, rest) };
    Ok(Linear {
        of,
        offset,
        slopes,
        ..case
    })
}

/// The observed elements of a latent that is a data variable: an observation of it without noise.
fn cells(joint: &mut LogJoint, parts: &[Part], part: usize, statements: &[Linear]) -> Option<Linear> {
    let sym = parts[part].sym;
    let mask = joint.masks.iter().find(|m| m.completed && m.of == sym)?.sym;
    let own = statements.iter().find(|s| s.of == Some(part))?;
    let (factor, when) = (own.factor, own.when);
    let s = &mut joint.store;
    let offset = s.var(sym);
    let n = s.shape(offset).first().cloned()?;
    Some(Linear {
        factor,
        when,
        scope: vec![],
        fixed: vec![],
        excluded: vec![],
        of: None,
        offset,
        slopes: vec![(part, s.eye(n.clone()))],
        covariance: s.zeros(vec![n]),
        mask: Some(mask),
    })
}

/// Mean and covariance of a statement; of one that holds element by element, variances in a vector.
pub(super) fn gaussian(s: &mut Store, factor: &Factor, dist: &Dist) -> Option<(Term, Term)> {
    let Dist::Family {
        family,
        signature,
        args,
        ..
    } = dist
    else {
        return None;
    };
    if factor.condition.is_some() {
        return None;
    }
    let (mean, covariance) = family.gaussian(s, *signature, args)?;
    let shape = s.shape(factor.value).clone();
    if shape.len() > 1 {
        return None;
    }
    let mean = s.refill(mean, shape.clone());
    if factor.elementwise {
        return Some((mean, s.refill(covariance, shape)));
    }
    Some((mean, covariance))
}

/// Every latent has one statement at every position.
fn complete(
    graph: &ModelGraph,
    latents: &[Continuous],
    parts: &[Part],
    statements: &[Linear],
    regimes: usize,
) -> Result<(), Decline> {
    let index = graph.chain.as_ref().map_or("t", |c| &c.index);
    for l in latents {
        let name = &graph.store.sym(l.sym).name;
        for position in 0..=regimes {
            let own = |s: &&Linear| s.of.is_some_and(|p| parts[p].sym == l.sym) && s.when.holds(position);
            let own: BTreeSet<usize> = statements.iter().filter(own).map(|s| s.factor).collect();
            let count = own.len();
            if count != 1 {
                let what = if count == 0 {
                    "no statement"
                } else {
                    "more than one statement"
                };
                return Err(Decline::at(
                    format!(
                        "{what} gives it at {index} = {}: write `{name}[{}] ~ Normal(…, …)`",
                        position + 1,
                        position + 1
                    ),
                    l.span,
                ));
            }
        }
    }
    Ok(())
}

/// m̂ and ℓ of every part: the last part first, as [`expected`] reads them.
pub(super) fn definitions(joint: &mut LogJoint, parts: &mut [Part], atoms: &[Term]) -> Vec<Eliminated> {
    let symbol = |joint: &LogJoint, t: Term| joint.store.as_symbol(t).map(|x| x.0);
    let mut all: Vec<(Term, Vec<Term>)> = vec![];
    let ixs: Vec<Option<IxId>> = atoms
        .iter()
        .map(|&z| {
            let size = joint.store.shape(z).first().cloned()?;
            Some(joint.store.add_ix("p", size))
        })
        .collect();
    for i in 0..parts.len() {
        let name = joint.store.sym(parts[i].sym).name.clone();
        let shape = joint.store.shape(atoms[i]).to_vec();
        let mean = define(
            joint,
            Defined::new(NAME, format!("m_{name}"), &[]),
            Value::Smoothed,
            &shape,
        );
        let mut moves = vec![];
        for c in 0..=i {
            let of = joint.store.sym(parts[c].sym).name.clone();
            let name = if c == i {
                format!("l_{name}")
            } else {
                format!("l_{name}_{of}")
            };
            let ranges: Vec<IxId> = ixs[c].into_iter().collect();
            let what = Defined::new(NAME, name, &ranges).spread();
            moves.push(define(joint, what, Value::Smoothed, &shape));
        }
        parts[i].mean = symbol(joint, mean).unwrap_or(parts[i].sym);
        parts[i].moves = moves.iter().filter_map(|&t| symbol(joint, t)).collect();
        all.push((mean, moves));
    }
    let n = parts.len();
    (0..n)
        .rev()
        .map(|c| Eliminated {
            atom: atoms[c],
            mean: all[c].0,
            ix: ixs[c],
            moves: (c..n).rev().map(|b| Some(all[b].1[c])).collect(),
        })
        .collect()
}

/// What to say where a chain's posterior is not Gaussian.
pub fn refused(graph: &ModelGraph, l: &Continuous, rule: &str, why: Decline) -> DeriveError {
    let name = &graph.var(graph.factors[l.factor].var).name;
    let index = graph.chain.as_ref().map_or("t", |c| &c.index);
    DeriveError::NoPosterior {
        name: name.clone(),
        reason: why.reason.clone(),
        span: why.span.unwrap_or(l.span),
        help: format!(
            "tried  {rule}  declined: {}\n\
             a chain can be fitted where its latents are all finite, or Normal with means affine in the Normal latents and \
             variances without them: `{name}[{index}] ~ Normal(A * {name}[{index}-1], Q)`, `y[{index}] ~ Normal(C * \
             {name}[{index}], R)`; A, Q, C and R may differ by the finite ones",
            why.reason,
        ),
    }
}
