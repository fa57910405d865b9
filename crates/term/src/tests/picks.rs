//! Picks by position and their transposes.

use crate::{Array, Env, NOWHERE, Node, Size, Store, Support, Sym, SymKind, Term};
use std::sync::Arc;

struct Picks {
    s: Store,
    env: Env<'static>,
    x: Term,
    y: Term,
}

fn number(i: usize) -> f64 {
    ((i * 37 + 11) % 23) as f64 - 9.5
}

impl Picks {
    /// x is 2 × 3, y a vector of 4.
    fn new() -> Self {
        let (mut s, mut env) = (Store::new(), Env::new());
        let mut sym = |name: &str, shape: &[usize]| {
            let id = s.add_sym(Sym {
                name: name.into(),
                kind: SymKind::Param,
                shape: shape.iter().map(|&n| Size::Const(n)).collect(),
                family: 0,
                per_row: false,
                support: Support::Real,
            });
            env.set(id, Array::from_fn(shape, number));
            s.var(id)
        };
        let (x, y) = (sym("x", &[2, 3]), sym("y", &[4]));
        Self { s, env, x, y }
    }

    fn value(&self, t: Term) -> Vec<f64> {
        self.s.eval(t, &self.env).expect("a value").data
    }
}

fn map(of: &[u32]) -> Arc<[u32]> {
    of.into()
}

#[test]
fn a_pick_reads_and_its_transpose_adds() {
    let mut p = Picks::new();
    let m = map(&[5, NOWHERE, 0, 5]);
    let picked = p.s.pick(p.x, m.clone(), vec![Size::Const(4)]);
    let x = p.value(p.x);
    assert_eq!(p.value(picked), [x[5], 0.0, x[0], x[5]]);
    let back = p.s.unpick(p.y, m, vec![Size::Const(2), Size::Const(3)]);
    let y = p.value(p.y);
    assert_eq!(p.value(back), [y[2], 0.0, 0.0, 0.0, 0.0, y[0] + y[3]]);
    // ⟨pick x, y⟩ = ⟨x, unpick y⟩
    let left = p.s.dot(picked, p.y);
    let product = p.s.mul(p.x, back);
    let right = p.s.total(product);
    assert_eq!(p.value(left), p.value(right));
    // and so each is the other's gradient
    assert_eq!(p.s.gradient(left, &[p.x])[0], back);
    assert_eq!(p.s.gradient(right, &[p.y])[0], picked);
}

#[test]
fn picks_have_one_form() {
    let mut p = Picks::new();
    let flat = p.s.reshape(p.x, vec![Size::Const(6)]);
    let in_order = p.s.pick(p.x, (0..6).collect(), vec![Size::Const(6)]);
    assert_eq!(in_order, flat);
    assert_eq!(p.s.reshape(flat, p.s.shape(p.x).clone()), p.x);
    let reversed: Arc<[u32]> = (0..6).rev().collect();
    let once = p.s.pick(flat, reversed.clone(), vec![Size::Const(6)]);
    assert_eq!(p.s.pick(once, reversed.clone(), vec![Size::Const(6)]), flat);
    let threefold = p.s.scale(3.0, p.x);
    let (a, b) = (
        p.s.pick(threefold, reversed.clone(), vec![Size::Const(6)]),
        p.s.scale(3.0, once),
    );
    assert_eq!(a, b);
    let seven = p.s.num(7.0);
    let filled = p.s.fill(seven, vec![Size::Const(6)]);
    assert_eq!(p.s.pick(filled, reversed.clone(), vec![Size::Const(6)]), filled);
    let with_holes = p.s.pick(filled, map(&[0, NOWHERE]), vec![Size::Const(2)]);
    assert_eq!(p.value(with_holes), [7.0, 0.0]);
    for t in [once, a, with_holes, flat] {
        let node = p.s.node(t).clone();
        let again = p.s.rebuild(&node, &crate::children(&node));
        assert_eq!(again, t);
        assert!(!p.s.print_debug(t).is_empty());
    }
    assert!(matches!(p.s.node(once), Node::Pick { .. }));
    // a pick of a pick that goes nowhere goes nowhere
    let through = p.s.pick(with_holes, map(&[1, 0, NOWHERE]), vec![Size::Const(3)]);
    assert_eq!(p.value(through), [0.0, 7.0, 0.0]);
}

#[test]
fn positions_outside_are_told() {
    let mut p = Picks::new();
    let outside = p.s.pick(p.y, map(&[4]), vec![Size::Const(1)]);
    assert!(p.s.eval(outside, &p.env).is_err());
    let outside = p.s.unpick(p.y, map(&[0, 1, 2, 9]), vec![Size::Const(3)]);
    assert!(p.s.eval(outside, &p.env).is_err());
}
