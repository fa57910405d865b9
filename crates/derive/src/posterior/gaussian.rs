//! gaussian-posterior: latents in which the log joint is quadratic.
//!
//! Statement: let ∂/∂z log p(x, z) = η − Λ z for the stacked latents z of a row. Then p(z | x) is Normal(m, Λ⁻¹) with
//! m = Λ⁻¹ η, and log p(x) = log p(x, m) + ½ log|2πΛ⁻¹|. Several latents are eliminated one after the other (block
//! Gaussian elimination): given the later ones z_c = a_c + Σ_o B_co z_o + noise of covariance Λ_c⁻¹, with Λ_c the Schur
//! complement, so that no term is a matrix of blocks. For e affine in z, E|e(z)|² = |e(m)|² + Σ_p |e′ℓ_p|² where
//! Σ_p ℓ_p ℓ_pᵀ is the posterior covariance: the expectation keeps squares whole, and the rules of the M-step read it as
//! they read data.
//!
//! Side conditions: the gradient is affine in the latents; Λ may depend on the finite variables, and on the row where it is
//! a sum of flat matrices, flat ones times a row's scalar, A diag(u) B with a row's vector u (which cells are observed), and
//! outer products of a row's vectors; the latents stand in the same form in every case of a statement.
//!
//! Proof: a quadratic is its value at the maximum plus its curvature; its exponential integrates to a Gaussian's
//! constant. Eliminating z_c completes the square in it.

use super::{Continuous, Defined, define, factor_of, impute, report, rowwise, scope_of, touching};
use crate::affine::{apply, jacobian};
use crate::flatten::flatten;
use crate::gap;
use crate::joint::LogJoint;
use crate::plan::{Gap, Value};
use crate::rules::Decline;
use lvmc_base::Span;
use lvmc_term::{IxId, Node, Size, Store, SymId, Term};
use std::collections::HashMap;

/// Its printed name.
pub const NAME: &str = "gaussian-posterior";

/// A latent of the block, once eliminated.
pub(super) struct Eliminated {
    pub(super) atom: Term,
    pub(super) mean: Term,
    /// p, where the rows ℓ_p are definitions for each p.
    pub(super) ix: Option<IxId>,
    /// ℓ_p in rows, for the latents up to this one: how far latent b moves with it.
    pub(super) moves: Vec<Option<Term>>,
}

/// The linear system η − Λ z of what is left of a block.
pub(super) struct System {
    pub eta: Vec<Term>,
    pub precision: Vec<Vec<Option<Term>>>,
}

/// See the module.
pub fn eliminate(joint: &mut LogJoint, syms: &[SymId], first: &Continuous) -> Result<(), Decline> {
    // missing cells first: their precision is one flat matrix's elements
    let is_gap = |x: &SymId| joint.gaps.iter().any(|g| g.sym == *x);
    let (mut ordered, rest): (Vec<SymId>, Vec<SymId>) = syms.iter().partition(|x| is_gap(x));
    ordered.extend(rest);
    let syms = &ordered[..];
    let factors = touching(joint, syms)?;
    let scope = scope_of(joint, &factors);
    let ixs: Vec<IxId> = scope.iter().map(|&v| joint.finite[v].ix).collect();
    let atoms: Vec<Term> = syms.iter().map(|&x| joint.store.var(x)).collect();
    let terms: Vec<Term> = factors.iter().map(|&f| joint.factors[f].cases[0].term).collect();
    let system = system(joint, &terms, &atoms, first)?;
    let names: Vec<String> = syms.iter().map(|&x| joint.store.sym(x).name.clone()).collect();
    let (mut block, norm) = solve(joint, &names, &atoms, &ixs, system, first.span)?;
    for (c, &sym) in syms.iter().enumerate() {
        let square = joint.store.square(atoms[c]);
        let square = expected(&mut joint.store, square, &block).map_err(|why| Decline::at(why, first.span))?;
        let rule = if joint.gaps.iter().any(|g| g.sym == sym) {
            gap::NAME
        } else {
            NAME
        };
        report(joint, sym, rule, block[c].mean, square);
    }
    let gaps = close_gaps(joint, syms, &mut block, &ixs);
    rewrite(joint, &factors, &block, &norm, (first, &gaps))?;
    impute(joint, &mut |s, t| {
        let t = gaps.iter().fold(t, |t, g| settle(s, g, t, true));
        expected(s, t, &block).ok()
    });
    Ok(())
}

/// Missing cells of a block: their noise is 0 where a cell is observed (their mean is so by itself).
fn close_gaps(joint: &mut LogJoint, syms: &[SymId], block: &mut [Eliminated], ixs: &[IxId]) -> Vec<Gap> {
    let gaps: Vec<Gap> = joint.gaps.iter().filter(|g| syms.contains(&g.sym)).copied().collect();
    for gap in &gaps {
        let Some(c) = syms.iter().position(|&x| x == gap.sym) else {
            continue;
        };
        let Some(Some(root)) = block[c].moves.last().copied() else {
            continue;
        };
        let s = &mut joint.store;
        let shape = s.shape(root).to_vec();
        let one = s.num(1.0);
        let ones = s.fill(one, shape[..1].into());
        let columns = s.outer(ones, gap.open);
        let value = s.mul(root, columns);
        let name = format!("l_{}", s.sym(gap.of).name);
        let closed = define(joint, Defined::new(gap::NAME, name, ixs), Value::Term(value), &shape);
        if let Some(own) = block[c].moves.last_mut() {
            *own = Some(closed);
        }
    }
    gaps
}

fn settle(s: &mut Store, gap: &Gap, t: Term, expected: bool) -> Term {
    let with = gap::settled(s, gap, expected);
    s.substitute(t, &with)
}

/// Names, means and moves of the latents of a linear system, by block elimination; and its log-normalisers.
pub(super) fn solve(
    joint: &mut LogJoint,
    names: &[String],
    atoms: &[Term],
    ixs: &[IxId],
    mut system: System,
    span: Span,
) -> Result<(Vec<Eliminated>, Vec<Term>), Decline> {
    let (n, mut norm) = (atoms.len(), vec![]);
    let (mut offsets, mut slopes): (Vec<Term>, Vec<Vec<Option<Term>>>) = (vec![], vec![]);
    let mut roots = vec![];
    for c in 0..n {
        let name = names[c].clone();
        let own = system.precision[c][c].ok_or_else(|| Decline::at("no square of it stands in the joint", span))?;
        let s = &mut joint.store;
        if s.per_row(own) && s.shape(own).len() == 2 && rowwise::parts(s, own).is_none() {
            return Err(Decline::at("its precision differs from row to row", span));
        }
        let shape = joint.store.shape(atoms[c]).to_vec();
        roots.push(root(joint, &name, ixs, own, &shape));
        norm.push(half_log_normaliser(&mut joint.store, own));
        let mean = solved(&mut joint.store, own, system.eta[c]);
        let mut slope = vec![None; n];
        for (o, slope) in slope.iter_mut().enumerate().skip(c + 1) {
            let Some(cross) = system.precision[c][o] else { continue };
            let b = solved(&mut joint.store, own, cross);
            let b = joint.store.neg(b);
            let shape = joint.store.shape(b).to_vec();
            *slope = Some(define(
                joint,
                Defined::new(NAME, format!("B_{name}"), ixs),
                Value::Term(b),
                &shape,
            ));
        }
        let later = slope.iter().any(Option::is_some);
        offsets.push(if later {
            define(
                joint,
                Defined::new(NAME, format!("a_{name}"), ixs),
                Value::Term(mean),
                &shape,
            )
        } else {
            mean
        });
        system.reduce(&mut joint.store, c, &slope, offsets[c], atoms);
        slopes.push(slope);
    }
    // back substitution: the last latent knows its mean
    let mut means: Vec<Term> = vec![];
    for c in (0..n).rev() {
        let mut parts = vec![offsets[c]];
        for o in c + 1..n {
            if let Some(b) = slopes[c][o] {
                parts.push(apply(&mut joint.store, b, atoms[c], means[n - 1 - o]));
            }
        }
        let value = joint.store.sum(&parts);
        let (name, shape) = (names[c].clone(), joint.store.shape(atoms[c]).to_vec());
        let mean = Defined::new(NAME, format!("m_{name}"), ixs);
        means.push(define(joint, mean, Value::Term(value), &shape));
    }
    means.reverse();
    let mut block = vec![];
    for c in 0..n {
        let moves = moves(joint, names, atoms, ixs, &slopes, &roots, c);
        block.push(Eliminated {
            atom: atoms[c],
            mean: means[c],
            ix: None,
            moves,
        });
    }
    Ok((block, norm))
}

/// η and Λ of the stacked latents, from the gradient of the log joint.
fn system(joint: &mut LogJoint, terms: &[Term], atoms: &[Term], first: &Continuous) -> Result<System, Decline> {
    let s = &mut joint.store;
    let total = s.sum(terms);
    let gradients = s
        .try_gradient(total, atoms)
        .map_err(|why| Decline::at(why.to_string(), first.span))?;
    let zeros: HashMap<Term, Term> = atoms
        .iter()
        .map(|&z| {
            let shape = s.shape(z).clone();
            (z, s.zeros(shape))
        })
        .collect();
    let (mut eta, mut precision) = (vec![], vec![]);
    for &g in &gradients {
        let mut row = vec![];
        for &z in atoms {
            let j = jacobian(s, g, z).map_err(|_| Decline::at("the log joint is not quadratic in it", first.span))?;
            let j = j.map(|j| gap::elementwise_products(s, j));
            if j.is_some_and(|j| atoms.iter().any(|&z| s.contains(j, z))) {
                return Err(Decline::at("the log joint is not quadratic in it", first.span));
            }
            row.push(j.map(|j| s.neg(j)));
        }
        precision.push(row);
        eta.push(s.substitute(g, &zeros));
    }
    Ok(System { eta, precision })
}

impl System {
    /// Puts z_c = a + Σ B z_o into the equations of the later latents.
    fn reduce(&mut self, s: &mut Store, c: usize, slope: &[Option<Term>], offset: Term, atoms: &[Term]) {
        for i in c + 1..atoms.len() {
            let Some(cross) = self.precision[i][c] else { continue };
            let known = apply(s, cross, atoms[i], offset);
            self.eta[i] = s.sub(self.eta[i], known);
            for o in c + 1..atoms.len() {
                let Some(b) = slope[o] else { continue };
                let fill = chained(s, cross, b, (atoms[i], atoms[c], atoms[o]));
                self.precision[i][o] = Some(match self.precision[i][o] {
                    Some(old) => s.add(old, fill),
                    None => fill,
                });
            }
        }
    }
}

/// Λ⁻¹ v for a vector or matrix v; division for a scalar latent.
pub(super) fn solved(s: &mut Store, precision: Term, v: Term) -> Term {
    if s.shape(precision).is_empty() {
        return s.div(v, precision);
    }
    let inverse = s.inv(precision);
    if s.shape(v).len() == 1 {
        s.matvec(inverse, v)
    } else {
        s.matmul(inverse, v)
    }
}

/// The product of two slopes: x moves with y as `a` says, y with z as `b` says.
fn chained(s: &mut Store, a: Term, b: Term, (x, y, z): (Term, Term, Term)) -> Term {
    let rank = |t: Term| s.shape(t).len();
    match (rank(x), rank(y), rank(z)) {
        (1, 1, 1) => s.matmul(a, b),
        (1, 1, 0) => s.matvec(a, b),
        (0, 1, 1) => {
            let bt = s.transpose(b);
            s.matvec(bt, a)
        }
        (0, 1, 0) => s.dot(a, b),
        (1, 0, 1) => s.outer(a, b),
        _ => s.mul(a, b),
    }
}

/// ½ log|2πΛ⁻¹|.
pub(super) fn half_log_normaliser(s: &mut Store, precision: Term) -> Term {
    let two_pi = s.two_pi();
    let log = s.log(two_pi);
    let whole = if s.shape(precision).is_empty() {
        let l = s.log(precision);
        s.sub(log, l)
    } else {
        let n = s.shape(precision)[0].clone();
        let (n, l) = (s.size(n), s.log_det(precision));
        let scaled = s.mul(n, log);
        s.sub(scaled, l)
    };
    s.scale(0.5, whole)
}

/// ℓ_p of one latent's own noise, in rows; of a scalar latent the standard deviation.
fn root(joint: &mut LogJoint, name: &str, ixs: &[IxId], precision: Term, shape: &[Size]) -> Term {
    let what = Defined::new(NAME, format!("l_{name}"), ixs).spread();
    if shape.is_empty() {
        let half = joint.store.num(-0.5);
        let sd = joint.store.pow(precision, half);
        return define(joint, what.positive(true), Value::Term(sd), shape);
    }
    let square = [shape[0].clone(), shape[0].clone()];
    define(joint, what, Value::InverseRoot(precision), &square)
}

/// How latents 0..=c move with the noise of latent c: rows for its p.
fn moves(
    joint: &mut LogJoint,
    names: &[String],
    atoms: &[Term],
    ixs: &[IxId],
    slopes: &[Vec<Option<Term>>],
    roots: &[Term],
    c: usize,
) -> Vec<Option<Term>> {
    let mut whole: Vec<Option<Term>> = vec![None; c + 1];
    for b in (0..c).rev() {
        let mut parts = vec![];
        parts.extend(slopes[b][c]);
        for d in b + 1..c {
            if let (Some(near), Some(far)) = (slopes[b][d], whole[d]) {
                parts.push(chained(&mut joint.store, near, far, (atoms[b], atoms[d], atoms[c])));
            }
        }
        whole[b] = (!parts.is_empty()).then(|| joint.store.sum(&parts));
    }
    let mut out = vec![];
    for b in 0..c {
        out.push(whole[b].map(|d| {
            let s = &mut joint.store;
            let value = match (s.shape(atoms[c]).len(), s.shape(atoms[b]).len()) {
                (1, 1) => {
                    let dt = s.transpose(d);
                    s.matmul(roots[c], dt)
                }
                (1, 0) => s.matvec(roots[c], d),
                _ => s.mul(roots[c], d),
            };
            let shape = s.shape(value).to_vec();
            let name = format!("l_{}_{}", names[b], names[c]);
            define(
                joint,
                Defined::new(NAME, name, ixs).spread(),
                Value::Term(value),
                &shape,
            )
        }));
    }
    out.push(Some(roots[c]));
    out
}

/// The factors at the mean, with the log-normaliser, for the E-step; their expectation for Q.
fn rewrite(
    joint: &mut LogJoint,
    factors: &[usize],
    block: &[Eliminated],
    norm: &[Term],
    (first, gaps): (&Continuous, &[Gap]),
) -> Result<(), Decline> {
    let at_mean: HashMap<Term, Term> = block.iter().map(|e| (e.atom, e.mean)).collect();
    for &f in factors {
        let s = &mut joint.store;
        let whole = joint.factors[f].cases[0].term;
        let [term, noisy] = [false, true].map(|e| gaps.iter().fold(whole, |t, g| settle(s, g, t, e)));
        let addends = flatten(&mut joint.store, noisy);
        let mut parts = vec![];
        for t in addends {
            parts.push(expected(&mut joint.store, t, block).map_err(|why| Decline::at(why, joint.factors[f].span))?);
        }
        let mean = joint.store.substitute(term, &at_mean);
        let whole = joint.store.sum(&parts);
        joint.expected[f] = factor_of(joint, &joint.factors[f], whole);
        joint.factors[f] = factor_of(joint, &joint.factors[f], mean);
    }
    let prior = joint
        .factors
        .iter()
        .position(|f| f.factor == first.factor)
        .unwrap_or(factors[0]);
    let norm = joint.store.sum(norm);
    let like = joint.factors[prior].clone();
    let factor = factor_of(joint, &like, norm);
    joint.factors.push(factor);
    Ok(())
}

/// Puts the expectation of a factor, case by case, in the place of it in the E-step and in Q.
pub(super) fn take_expectation(joint: &mut LogJoint, f: usize, block: &[Eliminated]) -> Result<(), Decline> {
    let mut row = joint.factors[f].clone();
    for case in &mut row.cases {
        let mut sum = vec![];
        for t in flatten(&mut joint.store, case.term) {
            sum.push(expected(&mut joint.store, t, block).map_err(|why| Decline::at(why, row.span))?);
        }
        case.term = joint.store.sum(&sum);
    }
    joint.expected[f] = row.clone();
    joint.factors[f] = row;
    Ok(())
}

/// E[t] for an addend that is affine in the latents or a square of what is.
pub(super) fn expected(s: &mut Store, t: Term, block: &[Eliminated]) -> Result<Term, String> {
    let at_mean: HashMap<Term, Term> = block.iter().map(|e| (e.atom, e.mean)).collect();
    let mut parts = vec![s.substitute(t, &at_mean)];
    if !block.iter().any(|e| s.contains(t, e.atom)) {
        return Ok(t);
    }
    let Some(e) = squared(s, t) else {
        for z in block {
            let j = jacobian(s, t, z.atom).map_err(|_| "a product of it is not a square".to_owned())?;
            if j.is_some_and(|j| block.iter().any(|z| s.contains(j, z.atom))) {
                return Err("a product of latents is not a square".into());
            }
        }
        return Ok(parts[0]);
    };
    let nothing = s_zero(s, e);
    let others = s.substitute(t, &HashMap::from([(e, nothing)]));
    if block.iter().any(|z| s.contains(others, z.atom)) {
        return Err("a latent stands beside a square".into());
    }
    for (c, z) in block.iter().enumerate() {
        let size = s.shape(z.atom).first().cloned();
        let p = z.ix.or_else(|| size.map(|n| s.add_ix("p", n)));
        let mut change = vec![];
        for (b, moves) in block[..=c].iter().zip(&z.moves) {
            let Some(moves) = *moves else { continue };
            let Some(j) =
                jacobian(s, e, b.atom).map_err(|_| "it stands in a square that is not affine in it".to_owned())?
            else {
                continue;
            };
            if block.iter().any(|z| s.contains(j, z.atom)) {
                return Err("a product of latents stands in a square".into());
            }
            let by = match p {
                Some(_) if z.ix.is_some() => moves,
                Some(p) => {
                    let p = s.index(p);
                    element(s, moves, p)
                }
                None => moves,
            };
            change.push(apply(s, j, e, by));
        }
        if change.is_empty() {
            continue;
        }
        let change = s.sum(&change);
        let shape = s.shape(e).clone();
        let change = s.refill(change, shape);
        let square = s.substitute(t, &HashMap::from([(e, change)]));
        parts.push(match p {
            Some(p) => s.ix_sum(p, square),
            None => square,
        });
    }
    Ok(s.sum(&parts))
}

fn s_zero(s: &mut Store, like: Term) -> Term {
    let shape = s.shape(like).clone();
    s.zeros(shape)
}

/// Row p of a definition that may itself be a family: the position goes after its own.
fn element(s: &mut Store, of: Term, p: Term) -> Term {
    match s.node(of).clone() {
        Node::At(base, at) => {
            let at: Vec<Term> = at.iter().copied().chain([p]).collect();
            s.at(base, &at)
        }
        _ => s.at(of, &[p]),
    }
}

/// What is squared in an addend: e of `c eᵀS⁻¹e`, `c Σ w e²` or `c e²`.
pub(super) fn squared(s: &Store, t: Term) -> Option<Term> {
    let inside = |f: Term| -> Option<Term> {
        match *s.node(f) {
            Node::Quad(_, e) => Some(e),
            Node::Pow(e, p) if s.as_num(p) == Some(2.0) => Some(e),
            _ => None,
        }
    };
    s.factors(t).into_iter().find_map(|f| match *s.node(f) {
        Node::Total(u) => s.factors(u).into_iter().find_map(inside),
        _ => inside(f),
    })
}
