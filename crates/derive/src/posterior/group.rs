//! group-posterior: effects of groups, latents that all rows of a group share.
//!
//! Statement: let u_k be the effects of group k, and let the log density of a row of group k be quadratic in them,
//! ∂/∂u_k log p(row n) = η_n − Λ_n u_k. Then p(u | data) is the product over groups of Normal(m_k, Λ_k⁻¹) with
//! Λ_k = Λ₀ + Σₙ [gₙ = k] Λ_n and m_k = Λ_k⁻¹ (η₀ + Σₙ [gₙ = k] η_n), the prior's own being η₀ − Λ₀ u; and
//! log p(data) = log p(data, m) + ½ Σ_k log|2πΛ_k⁻¹|. A row's part of log p(data, m) is its density at the means of its
//! groups' effects; the rest belongs to the data set as a whole.
//!
//! Where several columns group the rows (crossed or nested) the posterior is one Gaussian over all effects. The members
//! of one column, whose precision is diagonal in k, are eliminated first; the others are one dense block.
//!
//! Side conditions: priors and rows are quadratic in the effects; one given category picks the members; what is summed
//! over the rows of a group is made of data, with parameters as factors; no other latent stands in the same rows.
//!
//! Proof: completing the square in u, group by group; then as in gaussian-posterior.

use super::scatter::summed;
use super::{Defined, define, factor_of, gaussian};
use crate::affine::{apply, jacobian};
use crate::effects::{restored, shape_of};
use crate::error::DeriveError;
use crate::flatten::flatten;
use crate::joint::LogJoint;
use crate::plan::{self, Prior, Value};
use crate::rules::Decline;
use lvmc_base::Span;
use lvmc_model::graph::ModelGraph;
use lvmc_term::{Cmp, IxId, Node, Size, Store, Sym, SymId, SymKind, Term};
use std::collections::{BTreeSet, HashMap};

/// Its printed name.
pub const NAME: &str = "group-posterior";

/// Vectors of at most so many elements are read element by element, where rows use them so.
const ELEMENTS: usize = 12;

/// What an effect is inside a row: the whole of it, or its elements.
#[derive(Debug, Clone)]
pub(super) struct Local {
    /// One term, or a scalar for each element.
    pub atoms: Vec<Term>,
    /// The atoms are elements of a vector.
    pub elements: bool,
}

/// A source of noise: how far each atom moves with it.
#[derive(Debug, Clone)]
pub(super) struct Noise {
    /// It has a direction for each value.
    pub p: Option<IxId>,
    /// (atom, move).
    pub moves: Vec<(Term, Term)>,
}

/// The rows' part of the system of the effects.
pub(super) struct Rows {
    /// Positions in `joint.factors`.
    pub factors: Vec<usize>,
    /// By effect.
    pub locals: Vec<Local>,
    /// By effect.
    pub spans: Vec<Span>,
}

/// Integrates the global latents out of a joint.
///
/// # Errors
/// No rule gives some effect's posterior.
pub fn eliminate(joint: &mut LogJoint, graph: &ModelGraph) -> Result<(), DeriveError> {
    if joint.effects.is_empty() {
        return Ok(());
    }
    for e in 0..joint.effects.len() {
        if joint.effects[e].local.is_none() {
            return Err(refused(joint, graph, e, "no row refers to it", None));
        }
    }
    let done = posterior(joint);
    done.map_err(|(e, why)| refused(joint, graph, e, &why.reason, why.span))
}

/// The refusal of an effect.
pub fn refused(joint: &LogJoint, graph: &ModelGraph, e: usize, reason: &str, span: Option<Span>) -> DeriveError {
    let effect = &joint.effects[e];
    let name = graph.var(graph.factors[effect.factor].var).name.clone();
    DeriveError::NoPosterior {
        reason: reason.into(),
        span: span.unwrap_or(effect.span),
        help: format!(
            "tried  {NAME}  declined: {reason}\n\
             it can be fitted where `{name}` is Normal, given categories pick its members (`{name}[group]`), and the rows are Normal \
             with means affine in it and variances that are parameters; or as a parameter: `param {name}` in place of `global \
             latent {name}` (a point estimate, MAP with this prior)"
        ),
        name,
    }
}

pub(super) type Result1<T> = Result<T, (usize, Decline)>;

fn posterior(joint: &mut LogJoint) -> Result1<()> {
    let rows = read_rows(joint)?;
    let codes: BTreeSet<Option<Term>> = joint.effects.iter().map(|e| e.code).collect();
    if codes.len() == 1 {
        one_way(joint, &rows)
    } else {
        super::crossed::eliminate(joint, &rows)
    }
}

/// The factors that mention effects, and what each effect is inside them.
fn read_rows(joint: &mut LogJoint) -> Result1<Rows> {
    let locals: Vec<Term> = joint.effects.iter().filter_map(|e| e.local).collect();
    let mut factors = vec![];
    for (i, f) in joint.factors.iter().enumerate() {
        let of = |e: usize| f.cases.iter().any(|c| joint.store.contains(c.term, locals[e]));
        let Some(e) = (0..locals.len()).find(|&e| of(e)) else {
            continue;
        };
        let decline = |reason: &str| Err((e, Decline::at(reason, f.span)));
        if f.cases.len() > 1 {
            return decline("it stands in a statement that differs from case to case");
        }
        if f.when != lvmc_model::graph::When::Always {
            return decline("it stands in a statement that holds at some positions of a chain only");
        }
        for &v in &f.scope {
            let z = &joint.finite[v];
            if !z.observed || joint.store.sym(z.sym).kind != SymKind::Given {
                let name = joint.store.sym(z.sym).name.clone();
                return decline(&format!(
                    "rows that refer to it depend on `{name}`, which has a posterior of its own or may be missing"
                ));
            }
        }
        let other = joint.store.symbols(f.cases[0].term).into_iter().find(|&x| {
            let sym = joint.store.sym(x);
            sym.kind == SymKind::Latent && !locals.iter().any(|&l| *joint.store.node(l) == Node::Sym(x))
        });
        if let Some(x) = other {
            let name = joint.store.sym(x).name.clone();
            return decline(&format!("rows that refer to it depend on the latent `{name}` as well"));
        }
        factors.push(i);
    }
    let mut out = Rows {
        factors,
        locals: vec![],
        spans: joint.effects.iter().map(|e| e.span).collect(),
    };
    for local in locals {
        let read = local_of(joint, &out.factors, local);
        out.locals.push(read);
    }
    Ok(out)
}

/// Elements instead of the vector, where rows use nothing else of it.
fn local_of(joint: &mut LogJoint, factors: &[usize], local: Term) -> Local {
    let whole = Local {
        atoms: vec![local],
        elements: false,
    };
    let [Size::Const(n)] = joint.store.shape(local)[..] else {
        return whole;
    };
    if n > ELEMENTS {
        return whole;
    }
    let Node::Sym(like) = *joint.store.node(local) else {
        return whole;
    };
    let like = joint.store.sym(like).clone();
    let (mut with, mut atoms) = (HashMap::new(), vec![]);
    for i in 0..n {
        let sym = joint.store.add_sym(Sym {
            name: format!("{}_{}", like.name, i + 1),
            shape: vec![],
            ..like.clone()
        });
        let (x, at) = (joint.store.var(sym), joint.store.num(i as f64));
        with.insert(joint.store.at(local, &[at]), x);
        atoms.push(x);
    }
    let mut terms = vec![];
    for &f in factors {
        let term = joint.store.substitute(joint.factors[f].cases[0].term, &with);
        if joint.store.contains(term, local) {
            return whole;
        }
        terms.push(term);
    }
    for (&f, term) in factors.iter().zip(terms) {
        joint.factors[f].cases[0].term = term;
    }
    Local { atoms, elements: true }
}

/// η and Λ that the rows of a factor have, for every pair of atoms.
pub(super) struct RowSystem {
    eta: Vec<Term>,
    precision: Vec<Vec<Option<Term>>>,
    scope: Vec<(Term, IxId)>,
    span: Span,
}

/// The row systems of all factors, over all atoms laid end to end.
pub(super) fn row_systems(joint: &mut LogJoint, rows: &Rows) -> Result1<Vec<RowSystem>> {
    let atoms: Vec<Term> = rows.locals.iter().flat_map(|l| l.atoms.clone()).collect();
    let mut out = vec![];
    for &f in &rows.factors {
        let (term, span) = (joint.factors[f].cases[0].term, joint.factors[f].span);
        let decline = |why: &str| (0, Decline::at(why.to_owned(), span));
        let mut scope = vec![];
        for &v in &joint.factors[f].scope.clone() {
            let (sym, ix) = (joint.finite[v].sym, joint.finite[v].ix);
            scope.push((joint.store.var(sym), ix));
        }
        let s = &mut joint.store;
        let gradients = s.try_gradient(term, &atoms).map_err(|why| decline(&why.to_string()))?;
        let zeros = zeros(s, &atoms);
        let (mut eta, mut precision) = (vec![], vec![]);
        for &g in &gradients {
            let mut row = vec![];
            for &z in &atoms {
                let j = jacobian(s, g, z).map_err(|_| decline("the log density of a row is not quadratic in it"))?;
                if j.is_some_and(|j| atoms.iter().any(|&z| s.contains(j, z))) {
                    return Err(decline("the log density of a row is not quadratic in it"));
                }
                row.push(j.map(|j| s.neg(j)));
            }
            precision.push(row);
            eta.push(s.substitute(g, &zeros));
        }
        out.push(RowSystem {
            eta,
            precision,
            scope,
            span,
        });
    }
    Ok(out)
}

pub(super) fn zeros(s: &mut Store, atoms: &[Term]) -> HashMap<Term, Term> {
    atoms
        .iter()
        .map(|&z| {
            let shape = s.shape(z).clone();
            (z, s.zeros(shape))
        })
        .collect()
}

impl RowSystem {
    /// Σₙ of a row term over the rows with these codes, the values of given categories summed over.
    fn sum(&self, s: &mut Store, codes: &[(Term, IxId)], t: Term) -> Result<Term, Decline> {
        let free = s.free_indices(t);
        let scope: Vec<(Term, IxId)> = self.scope.iter().copied().filter(|x| free.contains(&x.1)).collect();
        let mut ind = vec![];
        for &(code, ix) in codes.iter().chain(&scope) {
            let ix = s.index(ix);
            let is = s.cmp(Cmp::Eq, code, ix);
            if !ind.contains(&is) {
                ind.push(is);
            }
        }
        // an index of the row stands for a number under its indicator
        let sum = summed(s, &ind, t).map_err(|why| Decline::at(why, self.span))?;
        Ok(scope.iter().rev().fold(sum, |t, x| s.ix_sum(x.1, t)))
    }
}

/// Σ over factors and rows of η of some atoms (of elements, as one vector).
pub(super) fn eta_of(
    s: &mut Store,
    systems: &[RowSystem],
    codes: &[(Term, IxId)],
    atoms: &[usize],
    elements: bool,
) -> Result<Option<Term>, Decline> {
    let mut sums = vec![];
    for system in systems {
        let parts: Vec<Term> = atoms.iter().map(|&a| system.eta[a]).collect();
        if parts.iter().all(|&p| is_zero(s, p)) {
            continue;
        }
        let whole = if elements { s.stack(&parts) } else { parts[0] };
        sums.push(system.sum(s, codes, whole)?);
    }
    Ok((!sums.is_empty()).then(|| s.sum(&sums)))
}

fn is_zero(s: &Store, t: Term) -> bool {
    match s.node(t) {
        Node::Fill(c, _) => s.as_num(*c) == Some(0.0),
        _ => s.as_num(t) == Some(0.0),
    }
}

/// Σ over factors and rows of Λ between two effects.
pub(super) fn precision_of(
    s: &mut Store,
    systems: &[RowSystem],
    codes: &[(Term, IxId)],
    (a, la): (&[usize], bool),
    (b, lb): (&[usize], bool),
) -> Result<Option<Term>, Decline> {
    let mut sums = vec![];
    for system in systems {
        if !a.iter().any(|&i| b.iter().any(|&j| system.precision[i][j].is_some())) {
            continue;
        }
        let zero = s.num(0.0);
        let at = |i: usize, j: usize| system.precision[i][j].unwrap_or(zero);
        let whole = match (la, lb) {
            (false, false) => at(a[0], b[0]),
            (true, false) => {
                let parts: Vec<Term> = a.iter().map(|&i| at(i, b[0])).collect();
                s.stack(&parts)
            }
            (false, true) => {
                let parts: Vec<Term> = b.iter().map(|&j| at(a[0], j)).collect();
                s.stack(&parts)
            }
            (true, true) => {
                let mut lines = vec![];
                for &i in a {
                    let parts: Vec<Term> = b.iter().map(|&j| at(i, j)).collect();
                    lines.push(s.stack(&parts));
                }
                s.stack_rows(&lines)
            }
        };
        sums.push(system.sum(s, codes, whole)?);
    }
    Ok((!sums.is_empty()).then(|| s.sum(&sums)))
}

/// The prior of an effect at index `k` of its members, and its own atom there.
pub(super) fn prior_at(joint: &mut LogJoint, e: usize, k: Option<IxId>) -> (Term, Term) {
    let effect = joint.effects[e].clone();
    let s = &mut joint.store;
    let whole = s.var(effect.sym);
    let term = joint
        .global
        .iter()
        .find(|p| p.factor == effect.factor)
        .map_or_else(|| whole, |p| p.term);
    let Some(k) = k else { return (term, whole) };
    let k = s.index(k);
    let mut with = HashMap::new();
    for &i in &effect.ranges {
        with.insert(s.index(i), k);
    }
    let term = s.substitute(term, &with);
    let atom = s.at(whole, &[k]);
    (term, atom)
}

/// An index for the members that a code picks, under a letter that nothing else has.
pub(super) fn member_index(joint: &mut LogJoint, e: usize, taken: &mut Vec<String>) -> Option<IxId> {
    let (size, _) = shape_of(&joint.store, joint.effects[e].sym);
    let size = size?;
    let finite: Vec<String> = joint.finite.iter().map(|f| joint.store.ix(f.ix).name.clone()).collect();
    let letter = ["k", "j", "l", "m", "h", "i"]
        .into_iter()
        .find(|l| !taken.iter().chain(&finite).any(|t| t == l))
        .unwrap_or("i");
    taken.push(letter.to_owned());
    Some(joint.store.add_ix(letter, size))
}

/// Positions of an effect's atoms among all atoms laid end to end.
pub(super) fn atoms_of(rows: &Rows, e: usize) -> Vec<usize> {
    let first: usize = rows.locals[..e].iter().map(|l| l.atoms.len()).sum();
    (first..first + rows.locals[e].atoms.len()).collect()
}

/// Gradient of the priors, η₀ − Λ₀ u at one group: for each effect the constant, for each pair the slope.
pub(super) fn prior_system(joint: &mut LogJoint, of: &[usize], priors: &[(Term, Term)]) -> Result1<gaussian::System> {
    let atoms: Vec<Term> = priors.iter().map(|p| p.1).collect();
    let spans: Vec<Span> = joint.effects.iter().map(|e| e.span).collect();
    let syms: Vec<SymId> = joint.effects.iter().map(|e| e.sym).collect();
    let s = &mut joint.store;
    let total: Vec<Term> = priors.iter().map(|p| p.0).collect();
    let total = s.sum(&total);
    let zeros = zeros(s, &atoms);
    let bare = s.substitute(total, &zeros);
    if let Some(e) = (0..syms.len()).find(|&e| s.depends_on_sym(bare, syms[e])) {
        let reason = "priors refer to it at another index, or to an effect of another column";
        return Err((e, Decline::at(reason, spans[of[0]])));
    }
    if s.per_row(total) {
        return Err((of[0], Decline::at("its prior differs from row to row", spans[of[0]])));
    }
    let gradients = s
        .try_gradient(total, &atoms)
        .map_err(|why| (of[0], Decline::at(why.to_string(), spans[of[0]])))?;
    let (mut eta, mut precision) = (vec![], vec![]);
    for (&e, &g) in of.iter().zip(&gradients) {
        let decline = || (e, Decline::at("its log prior is not quadratic in it", spans[e]));
        let mut row = vec![];
        for &z in &atoms {
            let j = jacobian(s, g, z).map_err(|_| decline())?;
            if j.is_some_and(|j| atoms.iter().any(|&z| s.contains(j, z))) {
                return Err(decline());
            }
            row.push(j.map(|j| s.neg(j)));
        }
        precision.push(row);
        eta.push(s.substitute(g, &zeros));
    }
    Ok(gaussian::System { eta, precision })
}

fn one_way(joint: &mut LogJoint, rows: &Rows) -> Result1<()> {
    let n = joint.effects.len();
    let code = joint.effects[0].code;
    let k = code.and_then(|_| member_index(joint, 0, &mut vec![]));
    let codes: Vec<(Term, IxId)> = code.zip(k).into_iter().collect();
    let ixs: Vec<IxId> = k.into_iter().collect();
    let priors: Vec<(Term, Term)> = (0..n).map(|e| prior_at(joint, e, k)).collect();
    let atoms: Vec<Term> = priors.iter().map(|p| p.1).collect();
    let systems = row_systems(joint, rows)?;
    let mut system = prior_system(joint, &(0..n).collect::<Vec<_>>(), &priors)?;
    for a in 0..n {
        let (ia, la) = (atoms_of(rows, a), rows.locals[a].elements);
        let at = |why| (a, why);
        if let Some(t) = eta_of(&mut joint.store, &systems, &codes, &ia, la).map_err(at)? {
            system.eta[a] = joint.store.add(system.eta[a], t);
        }
        for b in 0..n {
            let (ib, lb) = (atoms_of(rows, b), rows.locals[b].elements);
            if let Some(t) = precision_of(&mut joint.store, &systems, &codes, (&ia, la), (&ib, lb)).map_err(at)? {
                system.precision[a][b] = Some(match system.precision[a][b] {
                    Some(old) => joint.store.add(old, t),
                    None => t,
                });
            }
        }
    }
    let names: Vec<String> = joint
        .effects
        .iter()
        .map(|e| joint.store.sym(e.sym).name.clone())
        .collect();
    let span = joint.effects[0].span;
    let (block, norm) = gaussian::solve(joint, &names, &atoms, &ixs, system, span).map_err(|why| (0, why))?;
    // per group
    let means: HashMap<Term, Term> = block.iter().map(|b| (b.atom, b.mean)).collect();
    let mut noises = vec![];
    for (c, own) in block.iter().enumerate() {
        let p = joint.store.shape(own.atom).first().cloned();
        let p = p.map(|size| joint.store.add_ix("p", size));
        let mut moves = vec![];
        for (b, m) in block[..=c].iter().zip(&own.moves) {
            let Some(m) = *m else { continue };
            moves.push((b.atom, along(&mut joint.store, m, p)));
        }
        noises.push(Noise { p, moves });
    }
    for e in 0..n {
        finish_prior(joint, e, &ixs, &means, &noises)?;
    }
    finish_norm(joint, 0, &ixs, &norm);
    // per row
    let (mut row_means, mut row_noises) = (HashMap::new(), vec![]);
    for e in 0..n {
        let mean = in_row(joint, &codes, block[e].mean, &format!("E_{}", names[e]));
        place_local(&mut joint.store, &rows.locals[e], mean, &mut row_means);
    }
    for (c, noise) in noises.iter().enumerate() {
        let mut moves: HashMap<Term, Term> = HashMap::new();
        for (b, m) in block[..=c].iter().zip(&block[c].moves) {
            let Some(m) = *m else { continue };
            let e = atoms.iter().position(|&a| a == b.atom).unwrap_or(c);
            let name = if e == c {
                format!("s_{}", names[e])
            } else {
                format!("s_{}_{}", names[e], names[c])
            };
            let here = in_row(joint, &codes, m, &name);
            let here = along(&mut joint.store, here, noise.p);
            place_local(&mut joint.store, &rows.locals[e], here, &mut moves);
        }
        let mut moves: Vec<(Term, Term)> = moves.into_iter().collect();
        moves.sort_unstable();
        row_noises.push(Noise { p: noise.p, moves });
    }
    for &f in &rows.factors {
        let (term, span) = (joint.factors[f].cases[0].term, joint.factors[f].span);
        let whole =
            expected(&mut joint.store, term, &row_means, &row_noises).map_err(|why| (0, Decline::at(why, span)))?;
        finish_row(joint, f, &row_means, whole);
    }
    super::impute(joint, &mut |s, t| expected(s, t, &row_means, &row_noises).ok());
    for e in 0..n {
        let square = joint.store.square(atoms[e]);
        let square = expected(&mut joint.store, square, &means, &noises).map_err(|why| (e, Decline::plain(why)))?;
        let m2 = joint.store.square(block[e].mean);
        let variance = joint.store.sub(square, m2);
        report(joint, e, &ixs, block[e].mean, variance);
    }
    restore_complete(joint);
    Ok(())
}

/// Row p of a matrix of moves.
fn along(s: &mut Store, m: Term, p: Option<IxId>) -> Term {
    match p {
        Some(p) if !s.shape(m).is_empty() => {
            let p = s.index(p);
            s.at(m, &[p])
        }
        _ => m,
    }
}

/// What a table of groups holds for the row's own.
pub(super) fn in_row(joint: &mut LogJoint, codes: &[(Term, IxId)], table: Term, name: &str) -> Term {
    if codes.is_empty() {
        return table;
    }
    let mut with = HashMap::new();
    for &(code, ix) in codes {
        with.insert(joint.store.index(ix), code);
    }
    let t = joint.store.substitute(table, &with);
    let shape = joint.store.shape(t).to_vec();
    define(joint, Defined::new(NAME, name.to_owned(), &[]), Value::Term(t), &shape)
}

/// A value for each of the local atoms of an effect.
pub(super) fn place_local(s: &mut Store, local: &Local, value: Term, out: &mut HashMap<Term, Term>) {
    if !local.elements {
        out.insert(local.atoms[0], value);
        return;
    }
    for (i, &a) in local.atoms.iter().enumerate() {
        let at = s.num(i as f64);
        let v = s.at(value, &[at]);
        out.insert(a, v);
    }
}

/// A row factor at the means, and its expectation.
pub(super) fn finish_row(joint: &mut LogJoint, f: usize, means: &HashMap<Term, Term>, whole: Term) {
    let term = joint.factors[f].cases[0].term;
    let at_mean = joint.store.substitute(term, means);
    joint.expected[f] = factor_of(joint, &joint.factors[f], whole);
    joint.factors[f] = factor_of(joint, &joint.factors[f], at_mean);
}

/// The prior of an effect at its mean, and its expectation.
pub(super) fn finish_prior(
    joint: &mut LogJoint,
    e: usize,
    ixs: &[IxId],
    means: &HashMap<Term, Term>,
    noises: &[Noise],
) -> Result1<()> {
    let (term, _) = prior_at(joint, e, ixs.first().copied());
    let (factor, span) = (joint.effects[e].factor, joint.effects[e].span);
    let prior = |term| Prior {
        factor,
        ranges: ixs.to_vec(),
        term,
        span,
    };
    let whole = expected(&mut joint.store, term, means, noises).map_err(|why| (e, Decline::at(why, span)))?;
    let at_mean = joint.store.substitute(term, means);
    joint.shared.complete.push(prior(term));
    joint.shared.expected.push(prior(whole));
    joint.shared.marginal.push(prior(at_mean));
    Ok(())
}

/// ½ log|2πΛ⁻¹| of effects.
pub(super) fn finish_norm(joint: &mut LogJoint, e: usize, ixs: &[IxId], norm: &[Term]) {
    let term = joint.store.sum(norm);
    joint.shared.marginal.push(Prior {
        factor: joint.effects[e].factor,
        ranges: ixs.to_vec(),
        term,
        span: joint.effects[e].span,
    });
}

/// Notes the posterior of an effect for those who ask.
pub(super) fn report(joint: &mut LogJoint, e: usize, ixs: &[IxId], mean: Term, variance: Term) {
    let name = joint.store.sym(joint.effects[e].sym).name.clone();
    let shape = joint.store.shape(mean).to_vec();
    let variance = define(
        joint,
        Defined::new(NAME, format!("v_{name}"), ixs),
        Value::Term(variance),
        &shape,
    );
    let code = joint.effects[e]
        .code
        .and_then(|c| joint.store.as_symbol(c))
        .map(|c| c.0);
    joint.group_posteriors.push(plan::GroupPosterior {
        sym: joint.effects[e].sym,
        rule: NAME,
        code,
        mean,
        variance,
    });
}

/// The complete-data density with the families' members as they were written.
pub(super) fn restore_complete(joint: &mut LogJoint) {
    for f in 0..joint.complete.len() {
        for c in 0..joint.complete[f].cases.len() {
            let term = joint.complete[f].cases[c].term;
            joint.complete[f].cases[c].term = restored(joint, term);
        }
    }
}

/// E[t] of a sum of addends, each affine in the atoms or a square of what is.
pub(super) fn expected(
    s: &mut Store,
    term: Term,
    means: &HashMap<Term, Term>,
    noises: &[Noise],
) -> Result<Term, String> {
    let mut parts = vec![];
    for t in flatten(s, term) {
        parts.push(addend(s, t, means, noises)?);
    }
    Ok(s.sum(&parts))
}

fn addend(s: &mut Store, t: Term, means: &HashMap<Term, Term>, noises: &[Noise]) -> Result<Term, String> {
    let mut atoms: Vec<Term> = means.keys().copied().collect();
    atoms.sort_unstable();
    let holds = |s: &Store, t: Term| atoms.iter().any(|&a| s.contains(t, a));
    if !holds(s, t) {
        return Ok(t);
    }
    let mut parts = vec![s.substitute(t, means)];
    let Some(e) = gaussian::squared(s, t) else {
        for &a in &atoms {
            let j = jacobian(s, t, a).map_err(|_| "a product of effects is not a square".to_owned())?;
            if j.is_some_and(|j| holds(s, j)) {
                return Err("a product of effects is not a square".into());
            }
        }
        return Ok(parts[0]);
    };
    let shape = s.shape(e).clone();
    let nothing = s.zeros(shape.clone());
    let others = s.substitute(t, &HashMap::from([(e, nothing)]));
    if holds(s, others) {
        return Err("an effect stands beside a square".into());
    }
    for noise in noises {
        let mut change = vec![];
        for &(a, by) in &noise.moves {
            let affine = "it stands in a square that is not affine in it";
            let Some(j) = jacobian(s, e, a).map_err(|_| affine.to_owned())? else {
                continue;
            };
            if holds(s, j) {
                return Err(affine.into());
            }
            change.push(apply(s, j, e, by));
        }
        if change.is_empty() {
            continue;
        }
        let change = s.sum(&change);
        let change = s.refill(change, shape.clone());
        let square = s.substitute(t, &HashMap::from([(e, change)]));
        parts.push(match noise.p {
            Some(p) => s.ix_sum(p, square),
            None => square,
        });
    }
    Ok(s.sum(&parts))
}
