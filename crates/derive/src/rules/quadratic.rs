//! quadratic-argmax: means, regression coefficients and every other block that Q is quadratic in.
//!
//! Statement: where Q depends on a block β only through squares of residuals e = y − Jβ that are affine in it,
//! Q = −½ Σ w (y − Jβ)ᵀ S⁻¹ (y − Jβ) + …, it is maximised by the weighted normal equations
//! (Σ w JᵀS⁻¹J) β = Σ w JᵀS⁻¹y. Forms, the simplest that holds:
//! - location, e = y − c θ: θ = Σ w c y / Σ w c² (S cancels where it is common to all terms);
//! - regression, a scalar e: the coefficients of all parameters of the block are laid end to end, φ = ∂(Jβ)/∂β;
//! - multivariate regression, e = y − W f − μ: one set of normal equations for every output;
//! - numbers that all outputs of a vector e share: H_ij = Σ w φᵢᵀS⁻¹φⱼ.
//!
//! Side conditions: unconstrained type `real`; e affine in the whole block (its derivative does not mention the block).
//! Proof: Q is concave and quadratic in β; its gradient is the normal equations.

use super::Decline;
use crate::affine::jacobian;
use crate::occur::{Occurrence, Unknown};
use crate::plan::{Condition, Solution, Update};
use lvmc_base::Span;
use lvmc_term::{Node, Shape, Size, Store, Support, SymId, SymKind, Term};
use std::collections::HashMap;

/// Its printed name.
pub const NAME: &str = "quadratic-argmax";
/// The printed name of the regression forms.
pub const LEAST_SQUARES: &str = "least-squares";

/// An addend `weight · |residual|²` in one of its forms, weight negative.
#[derive(Debug, Clone)]
pub struct Square {
    /// What stands before the square: −½ / σ², for example. A scalar, or an array for `Total(C ⊙ e²)`.
    pub weight: Term,
    /// e.
    pub residual: Term,
    /// S of eᵀS⁻¹e.
    pub covariance: Option<Term>,
    /// `Total` of elementwise squares (e is an array).
    pub total: bool,
}

/// Reads an addend as a square of a residual that holds one of the atoms.
pub fn square_of(s: &mut Store, o: &Occurrence, atoms: &[Term]) -> Result<Square, Decline> {
    let holds = |s: &Store, t: Term| atoms.iter().any(|&a| s.contains(t, a));
    let (mine, rest): (Vec<_>, Vec<_>) = s.factors(o.term).into_iter().partition(|&f| holds(s, f));
    let decline = || Decline::at("Q is not quadratic in it", o.span);
    let [one] = mine[..] else { return Err(decline()) };
    let weight = s.product_of(&rest);
    match *s.node(one) {
        Node::Pow(e, p) if s.as_num(p) == Some(2.0) && !holds(s, weight) => Ok(Square {
            weight,
            residual: e,
            covariance: None,
            total: false,
        }),
        Node::Quad(m, e) if !holds(s, m) => Ok(Square {
            weight,
            residual: e,
            covariance: Some(m),
            total: false,
        }),
        Node::Total(u) => {
            let (mine, rest): (Vec<_>, Vec<_>) = s.factors(u).into_iter().partition(|&f| holds(s, f));
            let [one] = mine[..] else { return Err(decline()) };
            let Node::Pow(e, p) = *s.node(one) else {
                return Err(decline());
            };
            if s.as_num(p) != Some(2.0) {
                return Err(decline());
            }
            let all = [vec![weight], rest].concat();
            Ok(Square {
                weight: s.product_of(&all),
                residual: e,
                covariance: None,
                total: true,
            })
        }
        _ => Err(decline()),
    }
}

/// The block: unknowns that share their target indices, and every addend in which one of them stands.
pub struct Block<'a> {
    /// Unknowns.
    pub unknowns: &'a [Unknown],
    /// Addends, each once.
    pub occurrences: &'a [Occurrence],
}

/// See the module.
pub fn apply(s: &mut Store, block: &Block<'_>) -> Result<Update, Decline> {
    for u in block.unknowns {
        if s.sym(u.sym).support != Support::Real {
            return Err(Decline::plain("its type is not `real`"));
        }
    }
    let atoms: Vec<Term> = block.unknowns.iter().map(|u| u.atom).collect();
    let mut squares = vec![];
    for o in block.occurrences {
        squares.push((o, square_of(s, o, &atoms)?));
    }
    if let ([_], Ok(update)) = (block.unknowns, location(s, block, &squares)) {
        return Ok(update);
    }
    if squares
        .iter()
        .all(|(_, q)| s.shape(q.residual).is_empty() || own_ridge(s, &atoms, q))
    {
        return regression(s, block, &squares);
    }
    if atoms.iter().all(|&a| s.shape(a).is_empty()) {
        return shared(s, block, &squares);
    }
    multivariate(s, block, &squares)
}

/// A penalty on one whole unknown: e is the unknown less something free of the block.
fn own_ridge(s: &mut Store, atoms: &[Term], q: &Square) -> bool {
    q.total
        && atoms.iter().any(|&a| {
            let d = s.sub(q.residual, a);
            s.shape(a) == s.shape(q.residual) && free_of(s, d, atoms)
        })
}

fn free_of(s: &Store, t: Term, atoms: &[Term]) -> bool {
    !atoms.iter().any(|&a| s.contains(t, a))
}

/// e = y − c θ for θ of e's own shape: c (a scalar or elementwise) and y.
fn slope(s: &mut Store, e: Term, atom: Term, span: Span) -> Result<(Term, Term), Decline> {
    let affine = || Decline::at("a residual is not affine in it", span);
    let (with, without): (Vec<Term>, Vec<Term>) = s.addends(e).into_iter().partition(|&t| s.contains(t, atom));
    let shape = s.shape(e).clone();
    let mut slopes = vec![];
    for t in with {
        let (mine, rest): (Vec<Term>, Vec<Term>) = s.factors(t).into_iter().partition(|&f| s.contains(f, atom));
        let filled = match mine[..] {
            [one] if one == atom => true,
            [one] => matches!(*s.node(one), Node::Fill(a, _) if a == atom),
            _ => false,
        };
        if !filled {
            return Err(affine());
        }
        slopes.push(s.product_of(&rest));
    }
    let c = s.sum(&slopes);
    let y = if without.is_empty() {
        s.zeros(shape)
    } else {
        s.sum(&without)
    };
    Ok((s.neg(c), y))
}

/// θ = Σ w c y / Σ w c².
fn location(s: &mut Store, block: &Block<'_>, squares: &[(&Occurrence, Square)]) -> Result<Update, Decline> {
    let atom = block.unknowns[0].atom;
    let shape = s.shape(atom).clone();
    let mut slopes = vec![];
    for (o, q) in squares {
        if *s.shape(q.residual) != shape {
            return Err(Decline::at("it enters through a product", o.span));
        }
        let (c, y) = slope(s, q.residual, atom, o.span)?;
        if q.covariance.is_some() && !s.shape(c).is_empty() {
            return Err(Decline::at("a vector slope under a full covariance", o.span));
        }
        let w = s.scale(-2.0, q.weight);
        let wc = s.mul(w, c);
        slopes.push((s.mul(wc, c), s.mul(wc, y)));
    }
    let shared = squares.iter().all(|(o, q)| {
        q.covariance == squares[0].1.covariance && q.covariance.is_none_or(|m| !s.per_row(m) && !o.sums_in(s, m))
    });
    let value = if shared {
        let (mut hs, mut gs) = (vec![], vec![]);
        for ((o, _), &(h, g)) in squares.iter().zip(&slopes) {
            hs.push(o.expect(s, h));
            gs.push(o.expect(s, g));
        }
        let (hs, gs) = cancel(s, hs, gs);
        let (h, g) = (s.sum(&hs), s.sum(&gs));
        s.div(g, h)
    } else {
        precision_weighted(s, squares, &slopes)?
    };
    Ok(explicit(s, block, NAME, vec![value], squares))
}

/// θ = (Σ h S⁻¹)⁻¹ Σ S⁻¹ g where the covariances differ between terms or components.
fn precision_weighted(
    s: &mut Store,
    squares: &[(&Occurrence, Square)],
    slopes: &[(Term, Term)],
) -> Result<Term, Decline> {
    let (mut hs, mut gs) = (vec![], vec![]);
    for ((o, q), &(h, g)) in squares.iter().zip(slopes) {
        let Some(cov) = q.covariance else {
            // an elementwise weight is a diagonal precision
            let shape = s.shape(q.residual).clone();
            let (h, g) = (o.expect(s, h), o.expect(s, g));
            let (h, g) = (s.fill(h, shape.clone()), s.fill(g, shape));
            hs.push(s.diag(h));
            gs.push(g);
            continue;
        };
        if s.per_row(cov) {
            return Err(Decline::at("a covariance that differs by row", o.span));
        }
        let inverse = s.inv(cov);
        hs.push(o.expect_around(s, h, inverse, |s, sum| s.mul(sum, inverse)));
        gs.push(o.expect_around(s, g, inverse, |s, sum| s.matvec(inverse, sum)));
    }
    let (h, g) = (s.sum(&hs), s.sum(&gs));
    let inverse = s.inv(h);
    Ok(s.matvec(inverse, g))
}

/// A scalar residual: φ = −∂e/∂β laid end to end, y = e at β = 0.
fn regression(s: &mut Store, block: &Block<'_>, squares: &[(&Occurrence, Square)]) -> Result<Update, Decline> {
    let atoms: Vec<Term> = block.unknowns.iter().map(|u| u.atom).collect();
    let shapes: Vec<Shape> = atoms.iter().map(|&a| s.shape(a).clone()).collect();
    if shapes.iter().any(|sh| sh.len() > 1) {
        return Err(Decline::plain("a matrix of coefficients with a scalar residual"));
    }
    let zeros: HashMap<Term, Term> = atoms
        .iter()
        .map(|&a| {
            let sh = s.shape(a).clone();
            (a, s.zeros(sh))
        })
        .collect();
    let (mut hs, mut gs) = (vec![], vec![]);
    for (o, q) in squares {
        let w = s.scale(-2.0, q.weight);
        if !s.shape(q.residual).is_empty() {
            ridge(s, o, q, &atoms, &shapes, w, &mut hs, &mut gs)?;
            continue;
        }
        let gradient = s.gradient(q.residual, &atoms);
        let mut parts = vec![];
        for g in gradient {
            if !free_of(s, g, &atoms) {
                return Err(Decline::at("a residual is not affine in it", o.span));
            }
            parts.push(s.neg(g));
        }
        let phi = if let [one] = parts[..] { one } else { s.stack(&parts) };
        let y = s.substitute(q.residual, &zeros);
        let outer = if s.shape(phi).is_empty() {
            s.square(phi)
        } else {
            s.outer(phi, phi)
        };
        let (wh, wy) = (s.mul(w, outer), s.product_of(&[w, y, phi]));
        hs.push(o.expect(s, wh));
        gs.push(o.expect(s, wy));
    }
    let (hs, gs) = cancel(s, hs, gs);
    if let ([_], true) = (&atoms[..], shapes[0].is_empty()) {
        let (h, g) = (s.sum(&hs), s.sum(&gs));
        let value = s.div(g, h);
        return Ok(explicit(s, block, NAME, vec![value], squares));
    }
    let (h, g) = (s.sum(&hs), s.sum(&gs));
    let widths = shapes
        .iter()
        .map(|sh| sh.first().cloned().unwrap_or(Size::Const(1)))
        .collect();
    Ok(linear(s, block, h, g, widths, None))
}

/// A penalty Σ C (θ − m)² on one unknown of the block: a diagonal block of H, and C m in g.
fn ridge(
    s: &mut Store,
    o: &Occurrence,
    q: &Square,
    atoms: &[Term],
    shapes: &[Shape],
    w: Term,
    hs: &mut Vec<Term>,
    gs: &mut Vec<Term>,
) -> Result<(), Decline> {
    let Some(at) = (0..atoms.len()).find(|&i| s.contains(q.residual, atoms[i])) else {
        return Err(Decline::at("a vector residual in a scalar regression", o.span));
    };
    let (c, y) = slope(s, q.residual, atoms[at], o.span)?;
    let (wcc, wcy) = (s.product_of(&[w, c, c]), s.product_of(&[w, c, y]));
    let (h, g) = (o.expect(s, wcc), o.expect(s, wcy));
    let pad = |s: &mut Store, t: Term| {
        let parts: Vec<Term> = (0..atoms.len())
            .map(|i| {
                if i == at {
                    s.fill(t, shapes[i].clone())
                } else {
                    s.zeros(shapes[i].clone())
                }
            })
            .collect();
        if let [one] = parts[..] { one } else { s.stack(&parts) }
    };
    // a scalar weight stays outside the matrix, where it can cancel
    let d = if s.shape(h).is_empty() {
        let one = s.num(1.0);
        let pattern = pad(s, one);
        let d = s.diag(pattern);
        s.mul(h, d)
    } else {
        let weights = pad(s, h);
        s.diag(weights)
    };
    hs.push(d);
    let zero = s.num(0.0);
    if g != zero && !matches!(*s.node(g), Node::Fill(z, _) if z == zero) {
        gs.push(pad(s, g));
    }
    Ok(())
}

/// Numbers that all outputs of a vector residual share: φᵢ = −∂e/∂βᵢ, H_ij = Σ w φᵢᵀS⁻¹φⱼ, g_i = Σ w φᵢᵀS⁻¹y.
fn shared(s: &mut Store, block: &Block<'_>, squares: &[(&Occurrence, Square)]) -> Result<Update, Decline> {
    let atoms: Vec<Term> = block.unknowns.iter().map(|u| u.atom).collect();
    let n = atoms.len();
    let nothing = s.num(0.0);
    let zeros: HashMap<Term, Term> = atoms.iter().map(|&a| (a, nothing)).collect();
    let (mut h, mut g) = (vec![vec![vec![]; n]; n], vec![vec![]; n]);
    for (o, q) in squares {
        let shape = s.shape(q.residual).clone();
        let mut phis = vec![];
        for &a in &atoms {
            let affine = || Decline::at("a residual is not affine in it", o.span);
            let slope = jacobian(s, q.residual, a).map_err(|_| affine())?;
            if slope.is_some_and(|j| !free_of(s, j, &atoms)) {
                return Err(affine());
            }
            phis.push(slope.map(|j| {
                let j = s.refill(j, shape.clone());
                s.neg(j)
            }));
        }
        let y = s.substitute(q.residual, &zeros);
        let y = s.refill(y, shape);
        let w = s.scale(-2.0, q.weight);
        if q.covariance.is_some_and(|cov| s.per_row(cov)) {
            return Err(Decline::at("a covariance that differs by row", o.span));
        }
        let product = |s: &mut Store, a: Term, b: Term| match q.covariance {
            Some(cov) => {
                let inverse = s.inv(cov);
                let b = s.matvec(inverse, b);
                let dot = s.dot(a, b);
                s.mul(w, dot)
            }
            // an elementwise weight is a diagonal precision
            None => {
                let all = s.product_of(&[w, a, b]);
                if s.shape(all).is_empty() { all } else { s.total(all) }
            }
        };
        for i in 0..n {
            let Some(a) = phis[i] else { continue };
            for j in 0..n {
                if let Some(b) = phis[j] {
                    let t = product(s, a, b);
                    h[i][j].push(o.expect(s, t));
                }
            }
            let t = product(s, a, y);
            g[i].push(o.expect(s, t));
        }
    }
    if let [only] = &g[..] {
        let (hs, gs) = cancel(s, h[0][0].clone(), only.clone());
        let (h, g) = (s.sum(&hs), s.sum(&gs));
        let value = s.div(g, h);
        return Ok(explicit_zero(s, block, NAME, value, (h, g)));
    }
    let mut lines = vec![];
    for line in &h {
        let sums: Vec<Term> = line.iter().map(|parts| s.sum(parts)).collect();
        lines.push(s.stack(&sums));
    }
    let sums: Vec<Term> = g.iter().map(|parts| s.sum(parts)).collect();
    let (h, g) = (s.stack_rows(&lines), s.stack(&sums));
    Ok(linear(s, block, h, g, vec![Size::Const(1); n], None))
}

/// β = g / h of one number, which is where g − h β vanishes.
fn explicit_zero(s: &mut Store, block: &Block<'_>, rule: &'static str, value: Term, (h, g): (Term, Term)) -> Update {
    let left = s.mul(h, block.unknowns[0].atom);
    let zero = s.sub(g, left);
    Update {
        targets: vec![block.unknowns[0].atom],
        ranges: block.unknowns[0].ranges.clone(),
        rule,
        condition: Condition::Zero(zero),
        uses: uses(s, &[value], block),
        solution: Solution::Explicit(vec![value]),
    }
}

/// e = y − W f − …: the same normal equations for every output.
fn multivariate(s: &mut Store, block: &Block<'_>, squares: &[(&Occurrence, Square)]) -> Result<Update, Decline> {
    let atoms: Vec<Term> = block.unknowns.iter().map(|u| u.atom).collect();
    let (mut hs, mut gs, mut zeros) = (vec![], vec![], vec![]);
    for (o, q) in squares {
        let (phi, y) = design(s, q.residual, &atoms, o.span)?;
        // the noise covariance cancels where it is the same for all rows and values that are summed over
        let scale = if s.shape(q.weight).is_empty() {
            s.scale(-2.0, q.weight)
        } else {
            s.num(1.0)
        };
        let (phi_phi, phi_y) = (s.outer(phi, phi), s.outer(phi, y));
        let (h, g) = (s.mul(scale, phi_phi), s.mul(scale, phi_y));
        hs.push(o.expect(s, h));
        gs.push(o.expect(s, g));
        // φ eᵀ summed: what the normal equations say
        let phi_e = s.outer(phi, q.residual);
        let weighted = s.mul(scale, phi_e);
        zeros.push(o.expect(s, weighted));
    }
    let noise = |q: &Square| (q.covariance, q.total.then_some(q.weight));
    if squares.iter().any(|(_, q)| noise(q) != noise(&squares[0].1)) {
        return Err(Decline::plain("the outputs' noise differs between terms"));
    }
    let bound = block.unknowns[0].ranges.clone();
    for (_, q) in squares {
        for t in [q.covariance, q.total.then_some(q.weight)].into_iter().flatten() {
            if s.per_row(t) || s.free_indices(t).iter().any(|i| !bound.contains(i)) {
                return Err(Decline::plain("the outputs' noise differs between rows or components"));
            }
        }
    }
    let (hs, gs) = cancel(s, hs, gs);
    let (h, g) = (s.sum(&hs), s.sum(&gs));
    let widths = atoms
        .iter()
        .map(|&a| {
            if s.shape(a).len() == 2 {
                s.shape(a)[1].clone()
            } else {
                Size::Const(1)
            }
        })
        .collect();
    let zero = s.sum(&zeros);
    Ok(linear(s, block, h, g, widths, Some(zero)))
}

/// φ and y of e = y − [W₁ … ] φ: W f contributes f, a vector μ (times a scalar) contributes its scalar.
fn design(s: &mut Store, e: Term, atoms: &[Term], span: Span) -> Result<(Term, Term), Decline> {
    let affine = || Decline::at("a residual is not affine in it", span);
    let mut features: Vec<Option<Term>> = vec![None; atoms.len()];
    let mut rest = vec![];
    for t in s.addends(e) {
        if free_of(s, t, atoms) {
            rest.push(t);
            continue;
        }
        let (mine, scalars): (Vec<Term>, Vec<Term>) = s.factors(t).into_iter().partition(|&f| !free_of(s, f, atoms));
        let [one] = mine[..] else { return Err(affine()) };
        let c = s.product_of(&scalars);
        if !s.shape(c).is_empty() {
            return Err(affine());
        }
        let (at, f) = match *s.node(one) {
            Node::MatVec(m, f) if free_of(s, f, atoms) => (atoms.iter().position(|&a| a == m).ok_or_else(affine)?, f),
            _ => (atoms.iter().position(|&a| a == one).ok_or_else(affine)?, s.num(1.0)),
        };
        if s.shape(atoms[at]).is_empty() {
            return Err(Decline::at(
                "a number that all outputs share stands beside vectors",
                span,
            ));
        }
        let minus = s.neg(c);
        let f = s.mul(minus, f);
        features[at] = Some(match features[at] {
            Some(before) => s.add(before, f),
            None => f,
        });
    }
    let mut parts = vec![];
    for (f, &a) in features.iter().zip(atoms) {
        let width = if s.shape(a).len() == 2 {
            vec![s.shape(a)[1].clone()]
        } else {
            vec![]
        };
        parts.push(f.unwrap_or_else(|| s.zeros(width)));
    }
    let phi = s.stack(&parts);
    let shape = s.shape(e).clone();
    let y = s.sum(&rest);
    let y = s.refill(y, shape);
    if s.shape(phi).len() != 1 || s.shape(y).len() != 1 {
        return Err(Decline::at(
            "it is a location whose covariances have no common form",
            span,
        ));
    }
    Ok((phi, y))
}

/// Divides all terms by the scalar factors (free of rows and bound indices) that the first has: they cancel in H⁻¹g.
/// Only those that cannot be 0, or that all terms have: `[k = 1]`, or a coefficient that may vanish, may not divide the rest.
fn cancel(s: &mut Store, hs: Vec<Term>, gs: Vec<Term>) -> (Vec<Term>, Vec<Term>) {
    let scale: Vec<Term> = s
        .factors(hs[0])
        .into_iter()
        .filter(|&f| {
            s.shape(f).is_empty()
                && !s.depends_on(f, |n| matches!(n, Node::RowSum(_)))
                && s.as_num(f).is_none()
                && (s.is_positive(f) || hs.iter().chain(&gs).all(|&t| s.factors(t).contains(&f)))
        })
        .collect();
    if scale.is_empty() {
        return (hs, gs);
    }
    let product = s.product_of(&scale);
    let inverse = s.recip(product);
    let by = |s: &mut Store, ts: Vec<Term>| ts.into_iter().map(|t| s.mul(inverse, t)).collect();
    (by(s, hs), by(s, gs))
}

/// β = H⁻¹ g; `zero` is what vanishes there, where it is not H β − g.
fn linear(s: &mut Store, block: &Block<'_>, h: Term, g: Term, widths: Vec<Size>, zero: Option<Term>) -> Update {
    let atoms: Vec<Term> = block.unknowns.iter().map(|u| u.atom).collect();
    let condition = zero.unwrap_or_else(|| {
        let beta = if let [one] = atoms[..] { one } else { s.stack(&atoms) };
        let left = s.matvec(h, beta);
        s.sub(left, g)
    });
    Update {
        targets: atoms,
        ranges: block.unknowns[0].ranges.clone(),
        rule: LEAST_SQUARES,
        condition: Condition::Zero(condition),
        uses: uses(s, &[h, g], block),
        solution: Solution::Linear { h, g, widths },
    }
}

fn explicit(
    s: &mut Store,
    block: &Block<'_>,
    rule: &'static str,
    values: Vec<Term>,
    squares: &[(&Occurrence, Square)],
) -> Update {
    let mut gradients = vec![];
    for (o, q) in squares {
        let e = q.residual;
        let w = s.scale(-2.0, q.weight);
        let body = s.mul(w, e);
        gradients.push(match q.covariance {
            Some(cov) if !s.per_row(cov) => {
                let inverse = s.inv(cov);
                o.expect_around(s, body, inverse, |s, sum| s.matvec(inverse, sum))
            }
            _ => o.expect(s, body),
        });
    }
    let zero = if gradients.iter().all(|&g| s.shape(g) == s.shape(gradients[0])) {
        s.sum(&gradients)
    } else {
        gradients[0]
    };
    Update {
        targets: block.unknowns.iter().map(|u| u.atom).collect(),
        ranges: block.unknowns[0].ranges.clone(),
        rule,
        condition: Condition::Zero(zero),
        uses: uses(s, &values, block),
        solution: Solution::Explicit(values),
    }
}

fn uses(s: &Store, terms: &[Term], block: &Block<'_>) -> Vec<SymId> {
    let mut found: Vec<SymId> = terms.iter().flat_map(|&t| s.symbols(t)).collect();
    found.retain(|&x| s.sym(x).kind == SymKind::Param && !block.unknowns.iter().any(|u| u.sym == x));
    found.sort_unstable();
    found.dedup();
    found
}
