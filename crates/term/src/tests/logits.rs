//! Log probabilities of numbers that a net gives keep their digits.

use super::world::{World, distance};
use crate::{Fun, Node, Store, Term};

/// x log p + (1 − x) log(1 − p), as densities have it.
fn bernoulli(s: &mut Store, x: Term, p: Term) -> Term {
    let one = s.num(1.0);
    let (y, q) = (s.sub(one, x), s.sub(one, p));
    let (a, b) = (s.xlogy(x, p), s.xlogy(y, q));
    s.add(a, b)
}

/// Logits as an affine layer gives them, negative ones too.
fn logits(w: &mut World) -> Vec<Term> {
    let (a, b, v, u, m) = (w.scalars[0], w.scalars[1], w.vectors[0], w.vectors[1], w.matrices[0]);
    let s = &mut w.s;
    let minus = s.neg(a);
    let difference = s.sub(b, a);
    let scaled = s.scale(-3.0, b);
    let mv = s.matvec(m, v);
    let layer = s.add(mv, u);
    let layer_minus = s.neg(layer);
    vec![a, minus, difference, scaled, v, layer, layer_minus]
}

#[test]
fn bernoulli_of_a_sigmoid_is_in_log_odds() {
    let mut w = World::new();
    for l in logits(&mut w) {
        let x = if w.s.shape(l).is_empty() {
            w.scalars[2]
        } else {
            w.vectors[2]
        };
        let s = &mut w.s;
        let p = s.fun(Fun::Sigmoid, l);
        let density = bernoulli(s, x, p);
        let (_, positive) = s.split_sign(l);
        // x l − log(1 + eˡ) in l, or of the other sign in −l
        let log = s.fun(Fun::Softplus, positive);
        let y = if positive == l {
            x
        } else {
            let one = s.num(1.0);
            s.sub(one, x)
        };
        let yl = s.mul(y, positive);
        let wanted = s.sub(yl, log);
        assert_eq!(
            density,
            wanted,
            "{} and {}",
            s.print_debug(density),
            s.print_debug(wanted)
        );
        let total = s.total(density);
        let sigmoid = s.fun(Fun::Sigmoid, positive);
        let residual = s.sub(y, sigmoid);
        if s.as_symbol(positive).is_some() {
            assert_eq!(s.gradient(total, &[positive])[0], residual);
        }
    }
}

#[test]
fn logs_of_probabilities_keep_their_value() {
    let mut w = World::new();
    for l in logits(&mut w) {
        let s = &mut w.s;
        let one = s.num(1.0);
        let p = s.fun(Fun::Sigmoid, l);
        let q = s.sub(one, p);
        assert!(s.is_positive(q));
        let mut logs = vec![p, q];
        if !s.shape(l).is_empty() {
            let soft = s.softmax(l);
            let second = s.num(1.0);
            logs.push(soft);
            logs.push(s.at(soft, &[second]));
        }
        for p in logs {
            let log = w.s.log(p);
            let log = w.s.in_logits(log);
            let raw = w.s.intern(Node::Fun(Fun::Log, p));
            assert_ne!(log, raw);
            assert!(
                distance(&w.value(log), &w.value(raw)) < 1e-14,
                "{}",
                w.s.print_debug(raw)
            );
            assert!(!w.s.depends_on(log, |n| matches!(
                n,
                Node::Fun(Fun::Log | Fun::Sigmoid, _) | Node::Softmax(_)
            )));
        }
    }
}

#[test]
fn a_density_far_out_is_finite() {
    // x log σ(l) + (1 − x) log(1 − σ(l)) at l = 800, where σ(l) is 1 and the log of its complement −∞
    let mut w = World::new();
    let (x, k) = (w.scalars[2], w.s.num(800.0));
    let far = w.s.add(w.scalars[0], k);
    let p = w.s.fun(Fun::Sigmoid, far);
    let density = bernoulli(&mut w.s, x, p);
    let (found, x, l) = (
        w.value(density).as_scalar(),
        w.value(x).as_scalar(),
        w.value(far).as_scalar(),
    );
    assert!((found - (x * l - l)).abs() < 1e-9, "{found}");
}

#[test]
fn a_normal_with_an_exponential_variance_has_neither_log_nor_quotient() {
    let mut w = World::new();
    let (e, l) = (w.vectors[0], w.vectors[1]);
    let s = &mut w.s;
    let v = s.exp(l);
    let cov = s.diag(v);
    let (log_det, quad) = (s.log_det(cov), s.quad(cov, e));
    let (log_det, quad) = (s.structured(log_det), s.structured(quad));
    let minus = s.neg(l);
    let (e2, precision) = (s.square(e), s.exp(minus));
    assert_eq!(log_det, s.total(l));
    let weighted = s.mul(e2, precision);
    assert_eq!(quad, s.total(weighted), "{}", s.print_debug(quad));
}
