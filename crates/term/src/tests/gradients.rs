use super::world::{Choices, World};
use crate::{Array, Node, Support, SymId, Term};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn gradients_match_central_differences(data in prop::collection::vec(any::<u16>(), 0..60)) {
        let mut w = World::new();
        let t = w.scalar(&mut Choices::new(data), 3);
        let syms: Vec<SymId> = w.s.symbols(t).into_iter().filter(|&s| differentiable(&w, s)).collect();
        let wrt: Vec<Term> = syms.iter().map(|&s| w.s.var(s)).collect();
        let (Ok(grads), Ok(once)) = (w.s.try_gradient(t, &wrt), w.s.try_gradient_once(t, &wrt)) else {
            return Ok(());
        };
        for (s, g) in syms.into_iter().zip(grads.into_iter().zip(once)) {
            let at = w.value(w.s.var_of(s));
            compare(&mut w, t, s, &at, g.0);
            compare(&mut w, t, s, &at, g.1);
        }
    }

    #[test]
    fn second_derivatives_match_differences_of_the_first(data in prop::collection::vec(any::<u16>(), 0..40)) {
        let mut w = World::new();
        let t = w.scalar(&mut Choices::new(data), 2);
        let a = w.scalars[0];
        let d1 = w.s.derivative(t, a);
        let d2 = w.s.derivative(d1, a);
        let (s, _) = w.s.as_symbol(a).expect("a symbol");
        let at = w.value(a);
        compare(&mut w, d1, s, &at, d2);
    }
}

impl crate::Store {
    fn var_of(&self, s: SymId) -> Term {
        let position = (0..self.len())
            .map(Term::from_index)
            .find(|&t| *self.node(t) == Node::Sym(s));
        position.expect("the symbol is a term")
    }
}

/// Codes have no derivative; a family of matrices has one per element (`NoGradient::Rank`).
fn differentiable(w: &World, s: SymId) -> bool {
    let sym = w.s.sym(s);
    !sym.per_row && sym.shape.len() < 3
}

fn compare(w: &mut World, t: Term, s: SymId, at: &Array, g: Term) {
    let g = w.value(g);
    let symmetric = w.s.sym(s).support == Support::Cov;
    for i in 0..at.len() {
        // a covariance moves on both sides of its diagonal
        let mirror = if symmetric {
            i % at.cols() * at.cols() + i / at.cols()
        } else {
            i
        };
        let step = |w: &mut World, h: f64| {
            let mut moved = at.clone();
            moved.data[i] += h;
            if mirror != i {
                moved.data[mirror] += h;
            }
            w.env.set(s, moved);
            w.s.eval(t, &w.env).map(|v| v.as_scalar()).unwrap_or(f64::NAN)
        };
        let h = 1e-4 * (1.0 + at.data[i].abs());
        let [p1, m1, p2, m2] = [h, -h, 2.0 * h, -2.0 * h].map(|h| step(w, h));
        w.env.set(s, at.clone());
        // fourth order, so that curvature does not hide in the tolerance
        let numeric = (8.0 * (p1 - m1) - (p2 - m2)) / (12.0 * h);
        let symbolic = if mirror == i {
            g.data[i]
        } else {
            g.data[i] + g.data[mirror]
        };
        let scale = 1.0 + numeric.abs().max(p1.abs() * 1e-6 / h * 1e-4);
        // a difference across a jump of a comparison is no derivative, nor is one that overflows
        let smooth = (p1 + m1 - p2 - m2).abs() < 1e-3 * scale * h.max(1e-4) * 10.0;
        if numeric.is_finite() && smooth && scale < 1e6 {
            let gap = (numeric - symbolic).abs() / scale;
            assert!(
                gap < 1e-6,
                "{gap}: {numeric} is not {symbolic}, element {i} of {}, {}",
                w.s.sym(s).name,
                w.s.print_debug(t)
            );
        }
    }
}

#[test]
fn an_element_of_a_family_under_its_sum() {
    // ∂/∂μₖ Σₖ rₙₖ (xₙ − μₖ)ᵀ S⁻¹ (xₙ − μₖ) is the addend of k
    let mut w = World::new();
    let (x, mu_k, cov) = (w.vectors[2], w.vectors[3], w.covariances[0]);
    let ix = w.s.index(w.k);
    let s = &mut w.s;
    let r = s.resp(&[(w.z, ix)]);
    let e = s.sub(x, mu_k);
    let q = s.quad(cov, e);
    let rq = s.mul(r, q);
    let t = s.ix_sum(w.k, rq);
    let alone = s.gradient(rq, &[mu_k])[0];
    let summed = s.gradient(t, &[mu_k])[0];
    assert_eq!(alone, summed, "{} and {}", s.print_debug(alone), s.print_debug(summed));
}

#[test]
fn a_whole_family_gathers_its_elements() {
    let mut w = World::new();
    let (x, mu_z, mu_k) = (w.vectors[2], w.vectors[4], w.vectors[3]);
    let mu = w.s.syms().find(|(_, s)| s.name == "mu").expect("mu").0;
    let s = &mut w.s;
    let (d, e) = (s.dot(x, mu_z), s.dot(x, mu_k));
    let d2 = s.mul(d, e);
    let t = s.row_sum(d2);
    let whole = s.var(mu);
    let g = s.gradient(t, &[whole])[0];
    let at = w.value(whole);
    compare(&mut w, t, mu, &at, g);
}

#[test]
fn per_row_leaves_have_their_own_addend() {
    let mut w = World::new();
    let (y, a) = (w.scalars[2], w.scalars[0]);
    let y2 = w.s.square(y);
    let ay2 = w.s.mul(a, y2);
    let t = w.s.row_sum(ay2);
    let g = w.s.gradient(t, &[y])[0];
    let ay = w.s.mul(a, y);
    assert_eq!(g, w.s.scale(2.0, ay));
}
