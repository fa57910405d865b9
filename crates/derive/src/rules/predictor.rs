//! newton-step: coefficients of an affine predictor inside a smooth function (logistic and Poisson regression, the
//! softmax gate of a mixture of experts).
//!
//! Statement: where Q = Σₙ f_n(η_n) + prior and η_n is affine in the block β with design φ_n, the Newton direction is
//! H⁻¹ g with g = Σₙ f′_n(η_n) φ_n and H = Σₙ −f″_n(η_n) φ_n φ_nᵀ. One step is taken per sweep, halved by the runtime
//! until the objective does not fall (a generalised EM step).
//! Side conditions: type `real`; one affine predictor (a scalar, or a vector whose elements share their design); for a
//! vector predictor f is linear in η plus multiples of log Σ exp η and elementwise functions.
//! Proof: g is the gradient of Q and, at the current parameters, of the log-likelihood (Fisher's identity); H is
//! positive semidefinite where f is concave, so δ is a direction of ascent.

use super::Decline;
use super::quadratic::square_of;
use crate::occur::{Occurrence, Unknown};
use crate::plan::{Condition, Solution, Update};
use lvmc_base::Span;
use lvmc_term::{Node, Store, Support, Sym, SymId, SymKind, Term, children};
use std::collections::{BTreeSet, HashMap};

/// Its printed name.
pub const NAME: &str = "newton-step";

/// See the module.
pub fn apply(s: &mut Store, unknowns: &[Unknown], occurrences: &[Occurrence]) -> Result<Update, Decline> {
    if unknowns.iter().any(|u| s.sym(u.sym).support != Support::Real) {
        return Err(Decline::plain("its type is not `real`"));
    }
    let atoms: Vec<Term> = unknowns.iter().map(|u| u.atom).collect();
    let (rows, priors): (Vec<&Occurrence>, Vec<&Occurrence>) = occurrences.iter().partition(|o| o.row);
    let predictor = the_predictor(s, &rows, &atoms)?;
    let shape = s.shape(predictor).clone();
    let eta = s.add_sym(Sym {
        name: "eta".into(),
        kind: SymKind::Aux,
        shape: shape.clone(),
        family: 0,
        per_row: true,
        support: Support::Real,
    });
    let h = s.var(eta);
    let mut expected = vec![];
    for o in &rows {
        let f = s.substitute(o.term, &HashMap::from([(predictor, h)]));
        expected.push((o.expect_row(s, f), o.span));
    }
    let terms: Vec<Term> = expected.iter().map(|e| e.0).collect();
    let f = s.sum(&terms);
    let score = s.gradient(f, &[h])[0];
    let (designs, curvature) = if shape.is_empty() {
        let second = s.gradient(score, &[h])[0];
        (scalar_designs(s, predictor, &atoms)?, s.neg(second))
    } else {
        (
            vector_designs(s, predictor, &atoms)?,
            vector_curvature(s, &expected, h)?,
        )
    };
    let priors = priors_of(s, &priors, &atoms)?;
    Ok(Update {
        targets: atoms,
        ranges: unknowns[0].ranges.clone(),
        rule: NAME,
        condition: Condition::Maximises(f),
        uses: used(s, &[score, curvature, predictor], unknowns),
        solution: Solution::Ascent {
            predictor,
            eta,
            designs,
            score,
            curvature,
            priors,
        },
    })
}

fn used(s: &Store, terms: &[Term], unknowns: &[Unknown]) -> Vec<SymId> {
    let mut all: BTreeSet<SymId> = terms.iter().flat_map(|&t| s.symbols(t)).collect();
    all.retain(|&x| s.sym(x).kind == SymKind::Param && !unknowns.iter().any(|u| u.sym == x));
    all.into_iter().collect()
}

/// The one held predictor of the block, the same in all addends, with no unknown outside it.
fn the_predictor(s: &mut Store, rows: &[&Occurrence], atoms: &[Term]) -> Result<Term, Decline> {
    let mut found: BTreeSet<Term> = BTreeSet::new();
    for o in rows {
        let held = s
            .subterms(o.term)
            .into_iter()
            .filter(|&t| matches!(s.node(t), Node::Hold(_)) && !free(s, t, atoms));
        let here: Vec<Term> = held.collect();
        let nothing = s.num(0.0);
        let with: HashMap<Term, Term> = here
            .iter()
            .map(|&t| {
                let shape = s.shape(t).clone();
                (t, if shape.is_empty() { nothing } else { s.zeros(shape) })
            })
            .collect();
        let without = s.substitute(o.term, &with);
        if !free(s, without, atoms) {
            return Err(Decline::at("it stands outside an affine predictor", o.span));
        }
        found.extend(here);
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Decline::plain("no affine predictor holds it")),
        _ => Err(Decline::at(
            "it stands in two different predictors",
            rows.first().map_or(Span::default(), |o| o.span),
        )),
    }
}

/// Holds together the affine predictors of a block in a log density: the largest affine subterms under a function that
/// is not linear, and the same terms wherever else they stand.
pub fn hold_predictors(s: &mut Store, t: Term, block: &[SymId]) -> Term {
    let mut found = BTreeSet::new();
    nonlinear(s, t, block, false, &mut found);
    let mut with = HashMap::new();
    for p in found {
        let held = s.hold(p);
        with.insert(p, held);
    }
    s.substitute(t, &with)
}

fn mentions(s: &Store, t: Term, block: &[SymId]) -> bool {
    block.iter().any(|&x| s.depends_on_sym(t, x))
}

fn nonlinear(s: &Store, t: Term, block: &[SymId], inside: bool, found: &mut BTreeSet<Term>) {
    if !mentions(s, t, block) {
        return;
    }
    if inside && affine(s, t, block) {
        found.insert(t);
        return;
    }
    let node = s.node(t);
    let bound = children(node).into_iter().filter(|&c| mentions(s, c, block)).count();
    let linear = match node {
        Node::Add(_) | Node::Total(_) | Node::Fill(..) => true,
        Node::Mul(_) | Node::Dot(..) | Node::MatVec(..) => bound <= 1,
        _ => false,
    };
    for c in children(node) {
        nonlinear(s, c, block, inside || !linear, found);
    }
}

/// Affine in the block's symbols.
fn affine(s: &Store, t: Term, block: &[SymId]) -> bool {
    if !mentions(s, t, block) {
        return true;
    }
    let one_bound = |parts: &[Term]| {
        let bound: Vec<Term> = parts.iter().copied().filter(|&p| mentions(s, p, block)).collect();
        matches!(bound[..], [p] if affine(s, p, block))
    };
    match s.node(t) {
        Node::Sym(_) => true,
        Node::At(base, at) => matches!(s.node(*base), Node::Sym(_)) && at.iter().all(|&i| !mentions(s, i, block)),
        Node::Add(parts) => parts.iter().all(|&p| affine(s, p, block)),
        Node::Mul(parts) => one_bound(parts),
        Node::Dot(a, b) | Node::MatVec(a, b) => one_bound(&[*a, *b]),
        Node::Fill(a, _) | Node::Hold(a) => affine(s, *a, block),
        _ => false,
    }
}

fn free(s: &Store, t: Term, atoms: &[Term]) -> bool {
    !atoms.iter().any(|&a| s.contains(t, a))
}

fn scalar_designs(s: &mut Store, predictor: Term, atoms: &[Term]) -> Result<Vec<Term>, Decline> {
    let predictor = if let Node::Hold(inner) = *s.node(predictor) {
        inner
    } else {
        predictor
    };
    if atoms.iter().any(|&a| s.shape(a).len() > 1) {
        return Err(Decline::plain("a matrix of coefficients in a scalar predictor"));
    }
    Ok(s.gradient(predictor, atoms))
}

/// W f contributes f, a vector (times a scalar) contributes its scalar.
fn vector_designs(s: &mut Store, predictor: Term, atoms: &[Term]) -> Result<Vec<Term>, Decline> {
    let mut designs: Vec<Option<Term>> = vec![None; atoms.len()];
    let predictor = if let Node::Hold(inner) = *s.node(predictor) {
        inner
    } else {
        predictor
    };
    for t in s.addends(predictor) {
        let (mine, scalars): (Vec<Term>, Vec<Term>) = s.factors(t).into_iter().partition(|&f| !free(s, f, atoms));
        let c = s.product_of(&scalars);
        let [one] = mine[..] else {
            if mine.is_empty() {
                continue;
            }
            return Err(Decline::plain("a product of unknowns in the predictor"));
        };
        let (atom, f) = match *s.node(one) {
            Node::MatVec(m, f) if free(s, f, atoms) => (m, f),
            _ => (one, s.num(1.0)),
        };
        let at = atoms.iter().position(|&a| a == atom);
        let Some(at) = at.filter(|_| s.shape(c).is_empty()) else {
            return Err(Decline::plain(
                "the elements of the predictor do not share their design",
            ));
        };
        let f = s.mul(c, f);
        designs[at] = Some(match designs[at] {
            Some(before) => s.add(before, f),
            None => f,
        });
    }
    designs
        .into_iter()
        .collect::<Option<Vec<Term>>>()
        .ok_or_else(|| Decline::plain("the predictor lacks an unknown"))
}

/// −∂²f/∂η∂ηᵀ for f = linear + c · log Σ exp η + Total(C ⊙ g(η)): −c (diag p − p pᵀ) − diag(C ⊙ g″), p = softmax η.
fn vector_curvature(s: &mut Store, expected: &[(Term, Span)], h: Term) -> Result<Term, Decline> {
    let mut parts = vec![];
    for &(t, span) in expected {
        let t = pull_free(s, t, h);
        let (mine, rest): (Vec<Term>, Vec<Term>) = s.factors(t).into_iter().partition(|&f| s.contains(f, h));
        let [one] = mine[..] else {
            return Err(Decline::at("Q is not a sum of functions of the predictor", span));
        };
        let gradient = s.gradient(one, &[h])[0];
        if !s.contains(gradient, h) {
            continue;
        }
        let Node::LogSumExp(x) = *s.node(one) else {
            return Err(Decline::at(
                "only log-sum-exp and linear functions of a vector predictor have a rule",
                span,
            ));
        };
        if x != h {
            return Err(Decline::at("log-sum-exp of more than the predictor", span));
        }
        let p = s.softmax(h);
        let (d, o) = (s.diag(p), s.outer(p, p));
        let matrix = s.sub(d, o);
        let c = s.product_of(&rest);
        let minus = s.neg(c);
        parts.push(s.mul(minus, matrix));
    }
    Ok(s.sum(&parts))
}

/// Σ_k r_k · (free of k) has been summed already; a posterior sum over a factor that holds η stays as it is.
fn pull_free(s: &mut Store, t: Term, h: Term) -> Term {
    let Node::IxSum(i, body) = *s.node(t) else { return t };
    let (mine, rest): (Vec<Term>, Vec<Term>) = s.factors(body).into_iter().partition(|&f| s.contains(f, h));
    if mine.iter().any(|&f| s.depends_on(f, |n| *n == Node::Ix(i))) {
        return t;
    }
    let rest = s.product_of(&rest);
    let sum = s.ix_sum(i, rest);
    let mut all = mine;
    all.push(sum);
    s.product_of(&all)
}

/// Gaussian penalties on single unknowns: gradient and diagonal curvature.
fn priors_of(s: &mut Store, priors: &[&Occurrence], atoms: &[Term]) -> Result<Vec<Option<(Term, Term)>>, Decline> {
    let mut found: Vec<Option<(Term, Term)>> = vec![None; atoms.len()];
    for o in priors {
        let q = square_of(s, o, atoms)?;
        let at = (0..atoms.len())
            .find(|&i| s.contains(q.residual, atoms[i]))
            .filter(|_| q.covariance.is_none())
            .ok_or_else(|| Decline::at("its prior is not a diagonal Gaussian", o.span))?;
        let w = s.scale(-2.0, q.weight);
        // e = ±(θ − m): −½ w e², gradient −w e · (∂e/∂θ)
        let slope = {
            let shape = s.shape(atoms[at]).clone();
            let nothing = s.zeros(shape);
            let zero = s.substitute(q.residual, &HashMap::from([(atoms[at], nothing)]));
            let difference = s.sub(q.residual, zero);
            if difference == atoms[at] {
                1.0
            } else if s.neg(difference) == atoms[at] {
                -1.0
            } else {
                return Err(Decline::at("its prior is not of the unknown itself", o.span));
            }
        };
        let we = s.mul(w, q.residual);
        let gradient = s.scale(-slope, we);
        let (g, c) = (o.expect(s, gradient), o.expect(s, w));
        found[at] = Some(match found[at] {
            Some((g0, c0)) => (s.add(g0, g), s.add(c0, c)),
            None => (g, c),
        });
    }
    Ok(found)
}
