use super::world::{Choices, World};
use crate::{Cmp, Fun, Size, Support, Sym, SymKind};
use proptest::prelude::*;
use std::collections::HashMap;

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn constructors_keep_the_value_of_what_they_rewrite(data in prop::collection::vec(any::<u16>(), 0..120)) {
        let mut w = World::new();
        w.checked = true;
        let mut c = Choices::new(data);
        w.scalar(&mut c, 4);
    }

    #[test]
    fn building_a_term_again_gives_the_same_term(data in prop::collection::vec(any::<u16>(), 0..120)) {
        let mut w = World::new();
        let t = w.scalar(&mut Choices::new(data), 4);
        for x in w.s.subterms(t) {
            let node = w.s.node(x).clone();
            let again = w.s.rebuild(&node, &crate::children(&node));
            prop_assert_eq!(again, x, "{} became {}", w.s.print_debug(x), w.s.print_debug(again));
        }
    }
}

#[test]
fn sums_and_products_collect() {
    let mut w = World::new();
    let (a, b) = (w.scalars[0], w.scalars[1]);
    let s = &mut w.s;
    let (a2, a3, a5) = (s.scale(2.0, a), s.scale(3.0, a), s.scale(5.0, a));
    assert_eq!(s.add(a2, a3), a5);
    assert_eq!(s.sub(a, a), s.num(0.0));
    assert_eq!(s.mul(a, a), s.square(a));
    assert_eq!(s.div(a, a), s.num(1.0));
    let (ab, ba) = (s.sub(a, b), s.sub(b, a));
    assert_eq!(s.neg(ab), ba);
    assert_eq!(s.square(ab), s.square(ba));
    let q = s.scale(-2.0, ab);
    let r = s.scale(2.0, ba);
    assert_eq!(q, r);
}

#[test]
fn zero_times_what_may_be_infinite_stays() {
    let mut w = World::new();
    let (a, p) = (w.scalars[0], w.positives[0]);
    let s = &mut w.s;
    let zero = s.num(0.0);
    assert_eq!(s.mul(zero, a), zero);
    let log_p = s.log(p);
    assert_eq!(s.mul(zero, log_p), zero);
    let log_a = s.log(a);
    assert_ne!(s.mul(zero, log_a), zero);
}

#[test]
fn densities_at_the_boundary() {
    let mut w = World::new();
    let (y, zero) = (w.scalars[2], w.s.num(0.0));
    assert_eq!(w.s.xlogy(zero, y), zero);
    let t = w.s.xlogy(y, zero);
    let at_zero = {
        let s = w.s.as_symbol(y).expect("a symbol").0;
        w.env.set(s, crate::Array::scalar(0.0));
        w.value(t).as_scalar()
    };
    assert_eq!(at_zero, 0.0);
}

#[test]
fn substitution_respects_bound_indices() {
    let mut w = World::new();
    let k = w.k;
    let ix = w.s.index(k);
    let mu = w.s.syms().find(|(_, s)| s.name == "pi").expect("pi").0;
    let pi = w.s.var(mu);
    let pi_k = w.s.at(pi, &[ix]);
    let sum = w.s.ix_sum(k, pi_k);
    let zero = w.s.num(0.0);
    assert_eq!(w.s.substitute(sum, &HashMap::from([(ix, zero)])), sum, "k is bound");
    // Σₖ πₖ a with a := k (the free one) must not be captured
    let a = w.scalars[0];
    let body = w.s.mul(pi_k, a);
    let sum = w.s.ix_sum(k, body);
    let out = w.s.substitute(sum, &HashMap::from([(a, ix)]));
    assert!(w.s.free_indices(out).contains(&k));
    let (x, y) = (w.value(out).as_scalar(), w.value(ix).as_scalar());
    assert!((x - y).abs() < 1e-12, "Σ π = 1 leaves k: {x} and {y}");
}

#[test]
fn elements_are_picked_through_operators() {
    let mut w = World::new();
    let (v, m) = (w.vectors[0], w.matrices[0]);
    let one = w.s.num(1.0);
    let mv = w.s.matvec(m, v);
    let x = w.s.at(mv, &[one]);
    let row = w.s.at(m, &[one]);
    assert_eq!(x, w.s.dot(row, v));
    let (a, b) = (w.scalars[0], w.scalars[1]);
    let stack = w.s.stack(&[a, b]);
    assert_eq!(w.s.at(stack, &[one]), b);
    let eye = w.s.eye(Size::Const(2));
    assert_eq!(w.s.at(eye, &[one, one]), one);
}

#[test]
fn comparisons_know_supports() {
    let mut w = World::new();
    let (p, zero) = (w.positives[0], w.s.num(0.0));
    assert_eq!(w.s.cmp(Cmp::Lt, zero, p), w.s.num(1.0));
    let u = w.s.add_sym(Sym {
        name: "u".into(),
        kind: SymKind::Param,
        shape: vec![],
        family: 0,
        per_row: false,
        support: Support::Unit,
    });
    let u = w.s.var(u);
    let one = w.s.num(1.0);
    let rest = w.s.sub(one, u);
    assert!(w.s.is_nonneg(rest));
    assert_eq!(w.s.fun(Fun::Abs, rest), rest);
}
