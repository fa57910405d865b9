//! factorial-mean-field: several chains of finite latents that share observations.
//!
//! Statement: let z¹ … z^M be chains of finite latents with K₁ … K_M values whose rows meet in common factors (factorial
//! hidden Markov models, coupled chains). Their joint state has ΠK_m values, and forward–backward sums over (ΠK_m)²
//! transitions in every row. Where these are too many the nearest product stands in the place of the posterior,
//!
//!   q(z) = Π_m q(z^m),    L(q) = E_q[log p(x, z)] + Σ_m H(q(z^m)) = log p(x) − KL(q ‖ p(z | x)),
//!
//! a lower bound of the log-likelihood (Ghahramani & Jordan 1997, their structured approximation). Nothing is assumed
//! along a chain: q(z^m) keeps the dependence of its rows. L rises by the coordinates
//!
//!   log q(z^m) = Σ_f E_{q of the others}[log f] + const,
//!
//! the sum over the factors in which chain m stands. A factor of chain m alone enters as it is; of one that it shares the
//! values of the other chains *in that factor* are enumerated, weighted by their marginals. So q(z^m) is a chain whose
//! potentials differ from row to row: forward–backward is exact for it. A finite latent of a row alone belongs to the chain
//! that it touches; where it joins several it is a part of q by itself, row by row.
//!
//! A square of a sum of parts, of which each depends on chains of its own, is multiplied out so far that no addend knows
//! more than two of them, each addend a square again (polarisation), for any S:
//!
//!   (b + Σᵢ eᵢ)² = Σᵢ (b + eᵢ)² − (n−1) b² + Σ_{i<j} (eᵢ + eⱼ)² − (n−1) Σᵢ eᵢ²
//!
//! so that E-step and M-step enumerate pairs of chains, never all of them. Where all of them are few that is left undone: the
//! addends of a small square may be large.
//!
//! With the chains updated in their order, log of m's normaliser is E_q[its factors] + H(q(z^m)) at q of that moment. A factor
//! of several chains has in it the q that L has when the last of them is updated: L is the sum of the normalisers' logs less
//! what the chains before the last were given of it.
//!
//! The bound is tight where no factor is shared: then it is the log-likelihood, and is called so.
//!
//! Side conditions: none but that the configurations of one factor's chains can be enumerated.
//!
//! Proof: for fixed q of the others L = −KL(q(z^m) ‖ exp E[log p] / Z) + log Z + Σ_{others} H, largest where the divergence
//! is 0. An M-step raises E_q log p and leaves the entropies.

use crate::eliminate::eliminate;
use crate::flatten::flatten;
use crate::joint::LogJoint;
use crate::missing::Missing;
use crate::plan::{Case, Chain, Clique, Finite, RowFactor};
use lvmc_model::graph::{FitValue, ModelGraph, When};
use lvmc_term::{DimId, Node, Size, Store, SymKind, Term};
use std::collections::{BTreeMap, BTreeSet};

/// Its printed name.
pub const NAME: &str = "factorial-mean-field";

/// How far shared factors are multiplied out.
#[derive(Debug, Clone)]
pub struct Apart {
    /// Sizes that are known; others count 1.
    pub sizes: BTreeMap<DimId, usize>,
    /// Configurations up to which a factor is enumerated as it stands: what is not multiplied out loses no digits to
    /// cancellation.
    pub most: usize,
}

impl Default for Apart {
    fn default() -> Self {
        Self {
            sizes: BTreeMap::new(),
            most: 1 << 12,
        }
    }
}

impl Apart {
    fn many(&self, finite: &[Finite], scope: &[usize]) -> bool {
        let number = |v: &usize| match &finite[*v].size {
            Size::Const(n) => *n,
            Size::Dim(d) => self.sizes.get(d).copied().unwrap_or(1),
            Size::Sum(_) => 1,
        };
        let product = scope.iter().map(number).try_fold(1usize, usize::checked_mul);
        product.is_none_or(|n| n > self.most)
    }
}

/// The model's `fit` block asks for it: `posterior = structured`.
#[must_use]
pub fn asked(graph: &ModelGraph) -> bool {
    posterior_of(graph) == Some("structured")
}

/// The model's `fit` block asks for no approximation: `posterior = exact`.
#[must_use]
pub fn declined(graph: &ModelGraph) -> bool {
    posterior_of(graph) == Some("exact")
}

fn posterior_of(graph: &ModelGraph) -> Option<&str> {
    graph.fit.iter().find_map(|(name, value, _)| match value {
        FitValue::Word(w) if name == "posterior" => Some(w.as_str()),
        _ => None,
    })
}

/// Finite latents along the rows, each with its lags.
#[must_use]
pub fn along(chain: &Chain, finite: &[Finite]) -> Vec<usize> {
    let of = |v: &usize| finite[*v].lag.map_or(*v, |l| l.of);
    let roots: BTreeSet<usize> = chain.state.iter().map(of).collect();
    roots.into_iter().collect()
}

/// Each chain of finite latents as a part of q by itself; the joint stays as it is where there is one.
pub fn take_apart(joint: &mut LogJoint, graph: &ModelGraph, missing: &Missing, apart: &Apart) {
    let [whole] = &joint.chains[..] else { return };
    let whole = whole.clone();
    let roots = along(&whole, &joint.finite);
    if roots.len() < 2 || joint.gaussian_chain.is_some() {
        return;
    }
    let mut chains: Vec<Chain> = roots.iter().map(|&r| one(&whole, &joint.finite, r)).collect();
    let evidence = |v: usize| is_evidence(joint, missing, v);
    for part in locals(joint, &chains, &evidence) {
        let touched = touched(&joint.factors, &chains, &part);
        if touched.len() > 1 {
            chains.extend(part.into_iter().map(|v| of_rows(&whole, v)));
        }
    }
    let parts = parts(joint, &chains, &evidence);
    let tables: Vec<usize> = (0..joint.factors.len())
        .filter(|&f| whole.is_table(&joint.store, &joint.factors[f]))
        .collect();
    let tabled = |f: &RowFactor| tables.iter().any(|&t| joint.factors[t].factor == f.factor);
    let mut factors = vec![];
    for f in joint.factors.clone() {
        let own = chains.iter().any(|c| c.is_table(&joint.store, &f));
        let mut f = f.clone();
        if tabled(&f)
            && !own
            && f.when != When::Always
            && let Some(mark) = graph.mark_term(&mut joint.store, f.when)
        {
            let zero = joint.store.num(0.0);
            let cases = f.cases.iter_mut();
            cases.for_each(|c| c.term = joint.store.select(mark, c.term, zero));
        }
        factors.extend(pieces(&mut joint.store, &joint.finite, &parts, f, apart));
    }
    let mut expected = vec![];
    for f in joint.expected.clone() {
        expected.extend(pieces(&mut joint.store, &joint.finite, &parts, f, apart));
    }
    (joint.factors, joint.expected) = (factors, expected);
    for (at, chain) in chains.iter_mut().enumerate() {
        let axes = chain.axes();
        let own = |v: &usize| parts[*v] == Some(at) && !axes.contains(v);
        chain.beside = (0..parts.len()).filter(own).collect();
        for (i, f) in joint.factors.iter().enumerate() {
            if !f.scope.is_empty() && f.scope.iter().all(|v| axes.contains(v)) {
                chain.factors.push(i);
                chain.regimes = chain.regimes.max(regimes(f.when));
            } else if parts_of(f, &parts).len() > 1 && parts_of(f, &parts).contains(&at) {
                chain.shared.push(i);
            }
        }
    }
    joint.chains = chains;
}

fn regimes(when: When) -> usize {
    match when {
        When::At(p) => p + 1,
        When::From(p) => p,
        When::Always => 1,
    }
}

/// The part of a joint chain that is one latent and its lags.
fn one(whole: &Chain, finite: &[Finite], root: usize) -> Chain {
    let own = |v: &usize| finite[*v].lag.map_or(*v, |l| l.of) == root;
    let both = whole.state.iter().zip(&whole.previous);
    let (state, previous) = both.filter(|p| own(p.0)).map(|(&v, &w)| (v, w)).unzip();
    Chain {
        state,
        previous,
        factors: vec![],
        regimes: 1,
        ..whole.clone()
    }
}

/// A part of q without rows before.
fn of_rows(whole: &Chain, v: usize) -> Chain {
    Chain {
        state: vec![v],
        previous: vec![],
        factors: vec![],
        regimes: 1,
        ..whole.clone()
    }
}

/// Known in every row: q of it is a point.
fn is_evidence(joint: &LogJoint, missing: &Missing, v: usize) -> bool {
    let f = &joint.finite[v];
    f.observed && (joint.store.sym(f.sym).kind == SymKind::Given || missing.gaps(f.sym).is_none())
}

/// Hidden variables of a row alone, those that share a factor together.
fn locals(joint: &LogJoint, chains: &[Chain], evidence: &dyn Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let along: Vec<usize> = chains.iter().flat_map(Chain::axes).collect();
    let local = |v: &usize| !along.contains(v) && !evidence(*v);
    let mut groups: Vec<Vec<usize>> = (0..joint.finite.len()).filter(local).map(|v| vec![v]).collect();
    for f in &joint.factors {
        let (joined, rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(|g| g.iter().any(|v| f.scope.contains(v)));
        groups = rest;
        if !joined.is_empty() {
            groups.push(joined.concat());
        }
    }
    groups.iter_mut().for_each(|g| g.sort_unstable());
    groups.sort();
    groups
}

/// The chains that share a factor with some variables.
fn touched(factors: &[RowFactor], chains: &[Chain], of: &[usize]) -> BTreeSet<usize> {
    let near = factors.iter().filter(|f| f.scope.iter().any(|v| of.contains(v)));
    let near: BTreeSet<usize> = near.flat_map(|f| f.scope.iter().copied()).collect();
    let touches = |c: &usize| chains[*c].axes().iter().any(|v| near.contains(v));
    (0..chains.len()).filter(touches).collect()
}

/// The chain to whose part of q each finite variable belongs; none of evidence, and of what touches no chain.
fn parts(joint: &LogJoint, chains: &[Chain], evidence: &dyn Fn(usize) -> bool) -> Vec<Option<usize>> {
    let mut of: Vec<Option<usize>> = (0..joint.finite.len())
        .map(|v| chains.iter().position(|c| c.axes().contains(&v)))
        .collect();
    for part in locals(joint, chains, evidence) {
        let touched = touched(&joint.factors, chains, &part);
        for v in part {
            of[v] = touched.first().copied();
        }
    }
    of
}

fn parts_of(f: &RowFactor, parts: &[Option<usize>]) -> BTreeSet<usize> {
    f.scope.iter().filter_map(|&v| parts[v]).collect()
}

/// A factor of more than two parts of q as factors of fewer, where its addends are squares of sums.
fn pieces(s: &mut Store, finite: &[Finite], parts: &[Option<usize>], f: RowFactor, apart: &Apart) -> Vec<RowFactor> {
    if parts_of(&f, parts).len() < 3 || !apart.many(finite, &f.scope) {
        return vec![f];
    }
    let mut out: Vec<RowFactor> = vec![];
    for case in &f.cases {
        let (mark, inside) = match *s.node(case.term) {
            Node::Select(mark, inside, zero) if s.as_num(zero) == Some(0.0) => (Some((mark, zero)), inside),
            _ => (None, case.term),
        };
        let mut by_scope: BTreeMap<Vec<usize>, Vec<Term>> = BTreeMap::new();
        for t in flatten(s, inside) {
            for t in polarised(s, finite, parts, t) {
                let free = s.free_indices(t);
                let own = (0..finite.len()).filter(|&v| free.contains(&finite[v].ix));
                let named = case.fixed.iter().chain(&case.excluded).map(|x| x.0);
                let scope: BTreeSet<usize> = own.chain(named).collect();
                by_scope.entry(scope.into_iter().collect()).or_default().push(t);
            }
        }
        for (scope, terms) in by_scope {
            let mut term = s.sum(&terms);
            if let Some((mark, zero)) = mark {
                term = s.select(mark, term, zero);
            }
            out.push(RowFactor {
                scope,
                cases: vec![Case { term, ..case.clone() }],
                ..f.clone()
            });
        }
    }
    out
}

/// c (b + Σᵢ eᵢ)² as squares of sums of two at most.
fn polarised(s: &mut Store, finite: &[Finite], parts: &[Option<usize>], t: Term) -> Vec<Term> {
    let of = |s: &Store, t: Term| -> BTreeSet<usize> {
        let free = s.free_indices(t);
        let own = (0..finite.len()).filter(|&v| free.contains(&finite[v].ix));
        own.filter_map(|v| parts[v]).collect()
    };
    let all = of(s, t);
    let Some(square) = (all.len() > 2).then(|| Square::of(s, t)).flatten() else {
        return vec![t];
    };
    let mut by_part: BTreeMap<BTreeSet<usize>, Vec<Term>> = BTreeMap::new();
    for a in s.addends(square.residual) {
        by_part.entry(of(s, a)).or_default().push(a);
    }
    let base = by_part.remove(&BTreeSet::new()).unwrap_or_default();
    let outside = square.around.iter().flat_map(|&x| of(s, x)).collect::<BTreeSet<_>>();
    let sets: Vec<&BTreeSet<usize>> = by_part.keys().collect();
    let pairs = (0..sets.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    let widest = pairs.map(|(i, j)| {
        sets[i]
            .iter()
            .chain(sets[j])
            .chain(&outside)
            .collect::<BTreeSet<_>>()
            .len()
    });
    if widest.max().is_none_or(|w| w >= all.len()) {
        return vec![t];
    }
    let e: Vec<Vec<Term>> = by_part.into_values().collect();
    #[allow(clippy::cast_precision_loss)]
    let less = -(e.len() as f64 - 1.0);
    let mut out = vec![];
    let mut push = |s: &mut Store, c: f64, sum: Vec<Term>| {
        if !sum.is_empty() {
            let q = square.with(s, &sum);
            out.push(s.scale(c, q));
        }
    };
    push(s, less, base.clone());
    for i in 0..e.len() {
        push(s, 1.0, [base.clone(), e[i].clone()].concat());
        push(s, less, e[i].clone());
        for j in 0..i {
            push(s, 1.0, [e[j].clone(), e[i].clone()].concat());
        }
    }
    out
}

/// A product with a square of a residual in it: e², eᵀS⁻¹e or Σ C ⊙ e².
struct Square {
    residual: Term,
    /// What stands beside it, and S or C.
    around: Vec<Term>,
    outside: Vec<Term>,
    kind: Kind,
}

enum Kind {
    Plain,
    Quad(Term),
    /// Σ of the product with these.
    Total(Vec<Term>),
}

impl Square {
    fn of(s: &Store, t: Term) -> Option<Self> {
        let factors = s.factors(t);
        let squared = |s: &Store, t: Term| match *s.node(t) {
            Node::Pow(e, p) if s.as_num(p) == Some(2.0) => Some(e),
            _ => None,
        };
        let sum = |e: Term| matches!(s.node(e), Node::Add(_));
        for (i, &f) in factors.iter().enumerate() {
            let mut outside = factors.clone();
            outside.remove(i);
            let (residual, kind) = match *s.node(f) {
                Node::Quad(m, e) => (e, Kind::Quad(m)),
                Node::Total(u) => {
                    let mut inner = s.factors(u);
                    let Some(at) = inner.iter().position(|&x| squared(s, x).is_some_and(sum)) else {
                        continue;
                    };
                    let Some(e) = squared(s, inner.remove(at)) else {
                        continue;
                    };
                    (e, Kind::Total(inner))
                }
                _ => match squared(s, f) {
                    Some(e) => (e, Kind::Plain),
                    None => continue,
                },
            };
            if sum(residual) {
                let mut around = outside.clone();
                match &kind {
                    Kind::Plain => {}
                    Kind::Quad(m) => around.push(*m),
                    Kind::Total(inner) => around.extend(inner),
                }
                return Some(Self {
                    residual,
                    around,
                    outside,
                    kind,
                });
            }
        }
        None
    }

    /// The same of another residual, of the same shape.
    fn with(&self, s: &mut Store, sum: &[Term]) -> Term {
        let shape = s.shape(self.residual).clone();
        let e = s.sum(sum);
        let e = s.refill(e, shape);
        let one = match &self.kind {
            Kind::Plain => s.square(e),
            Kind::Quad(m) => s.quad(*m, e),
            Kind::Total(inner) => {
                let square = s.square(e);
                let product = s.product_of(&[inner.clone(), vec![square]].concat());
                s.total(product)
            }
        };
        s.product_of(&[self.outside.clone(), vec![one]].concat())
    }
}

/// The chains, with the cliques of what is summed out beside each, and of what touches none.
pub fn cliques(joint: &mut LogJoint) -> (Vec<Chain>, Vec<Clique>) {
    let mut chains = std::mem::take(&mut joint.chains);
    let scopes: Vec<Vec<usize>> = joint.factors.iter().map(|f| f.scope.clone()).collect();
    let n = joint.finite.len();
    if chains.len() < 2 {
        let kept = chains.first().map(Chain::axes).unwrap_or_default();
        let mut cliques = eliminate(n, &scopes, &kept);
        if let Some(chain) = chains.first_mut() {
            let open = |c: &usize| cliques[*c].parent.is_none() && !cliques[*c].others.is_empty();
            chain.children = (0..cliques.len()).filter(open).collect();
            cliques.iter_mut().for_each(|c| c.chain = Some(0));
        }
        return (chains, cliques);
    }
    let shared: BTreeSet<usize> = chains.iter().flat_map(|c| c.shared.clone()).collect();
    let along: Vec<usize> = chains.iter().flat_map(Chain::axes).collect();
    let mut rest: BTreeSet<usize> = (0..scopes.len()).filter(|f| !shared.contains(f)).collect();
    let mut all: Vec<Clique> = vec![];
    let run = |factors: &BTreeSet<usize>, kept: &[usize], chain: Option<usize>, all: &mut Vec<Clique>| {
        let own = |f: usize| {
            if factors.contains(&f) {
                scopes[f].clone()
            } else {
                vec![]
            }
        };
        let own: Vec<Vec<usize>> = (0..scopes.len()).map(own).collect();
        let hidden: BTreeSet<usize> = own.iter().flatten().copied().filter(|v| !kept.contains(v)).collect();
        let kept: Vec<usize> = (0..n).filter(|v| !hidden.contains(v)).collect();
        let first = all.len();
        for mut c in eliminate(n, &own, &kept) {
            c.parent = c.parent.map(|p| p + first);
            c.children.iter_mut().for_each(|x| *x += first);
            c.chain = chain;
            all.push(c);
        }
        let open = |c: &usize| all[*c].parent.is_none() && !all[*c].others.is_empty();
        (first..all.len()).filter(open).collect::<Vec<usize>>()
    };
    for (at, chain) in chains.iter_mut().enumerate() {
        let axes = chain.axes();
        let mine = |f: &usize| scopes[*f].iter().any(|v| axes.contains(v) || chain.beside.contains(v));
        let own: BTreeSet<usize> = rest.iter().copied().filter(mine).collect();
        rest.retain(|f| !own.contains(f));
        chain.children = run(&own, &axes, Some(at), &mut all);
    }
    run(&rest, &along, None, &mut all);
    (chains, all)
}
