use super::world::{Choices, World, distance};
use crate::rules::Rule;
use crate::{Fun, Node, Store, Term};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn expand_keeps_the_value_and_is_idempotent(data in prop::collection::vec(any::<u16>(), 0..60)) {
        let mut w = World::new();
        let t = w.scalar(&mut Choices::new(data), 3);
        let e = w.s.expand(t);
        prop_assert!(distance(&w.value(t), &w.value(e)) < 1e-7, "{} and {}", w.s.print_debug(t), w.s.print_debug(e));
        let again = w.s.expand(e);
        prop_assert_eq!(again, e, "{} then {}", w.s.print_debug(e), w.s.print_debug(again));
    }

    #[test]
    fn structured_keeps_the_value_and_is_idempotent(data in prop::collection::vec(any::<u16>(), 0..60)) {
        let mut w = World::new();
        let t = w.scalar(&mut Choices::new(data), 3);
        let e = w.s.structured(t);
        prop_assert!(distance(&w.value(t), &w.value(e)) < 1e-8, "{} and {}", w.s.print_debug(t), w.s.print_debug(e));
        prop_assert_eq!(w.s.structured(e), e);
    }

    #[test]
    fn collect_keeps_the_value_and_separates(data in prop::collection::vec(any::<u16>(), 0..60), which in 0..7usize) {
        let mut w = World::new();
        let t = w.scalar(&mut Choices::new(data), 3);
        let unknown = [w.scalars[0], w.vectors[0], w.vectors[3], w.covariances[0], w.matrices[0], w.positives[0], w.positive_vectors[0]][which];
        let depends = move |s: &Store, x: Term| s.contains(x, unknown);
        let parts = w.s.collect(t, &depends);
        for &(c, atom) in &parts {
            prop_assert!(!w.s.contains(c, unknown), "{}", w.s.print_debug(c));
            prop_assert_eq!(w.s.shape(c), w.s.shape(atom));
            prop_assert!(w.s.contains(atom, unknown) || w.s.as_num(atom) == Some(1.0));
        }
        let sum = together(&mut w, &parts);
        prop_assert!(distance(&w.value(t), &w.value(sum)) < 1e-7, "{} and {}", w.s.print_debug(t), w.s.print_debug(sum));
    }
}

/// Σ ⟨coefficient, atom⟩.
fn together(w: &mut World, parts: &[(Term, Term)]) -> Term {
    let mut terms = vec![];
    for &(c, atom) in parts {
        let product = w.s.mul(c, atom);
        terms.push(w.s.total(product));
    }
    w.s.sum(&terms)
}

/// A left-hand side for each rule, from random parts.
fn example(w: &mut World, c: &mut Choices, rule: &str) -> Term {
    let n = 1;
    let pos = w.positive(c, 0);
    let (a, b, v, u) = (w.scalar(c, n), w.scalar(c, n), w.vector(c, n), w.vector(c, n));
    let cov = w.covariance(c, n);
    let t = w.positive_vectors[0];
    let sum = Node::Add([w.vectors[0], w.vectors[2]].into());
    let sum = w.make(sum);
    let ab = Node::Add([w.scalars[0], w.scalars[1]].into());
    let ab = w.make(ab);
    let ix = w.s.index(w.k);
    let r = w.s.resp(&[(w.z, ix)]);
    let s = &mut w.s;
    let diag = s.diag(t);
    let scaled = s.mul(pos, cov);
    let chosen = |s: &mut Store| {
        let (p, q) = (w.positives[0], w.positives[1]);
        let y = w.scalars[2];
        let c = s.cmp(crate::Cmp::Lt, y, a);
        let c = if s.as_num(c).is_some() {
            s.cmp(crate::Cmp::Lt, y, p)
        } else {
            c
        };
        s.select(c, p, q)
    };
    match rule {
        "log-det-diagonal" => s.log_det(diag),
        "log-det-scaled" => s.log_det(scaled),
        "log-det-inverse" => s.intern_inverse(cov, |s, i| s.intern(Node::LogDet(i))),
        "log-det-identity" => {
            let i = s.eye(w.d.clone());
            s.log_det(i)
        }
        "quad-diagonal" => s.intern(Node::Quad(diag, v)),
        "quad-scaled" => s.intern(Node::Quad(scaled, v)),
        "quad-identity" => {
            let i = s.eye(w.d.clone());
            s.intern(Node::Quad(i, v))
        }
        "quad-inverse" => s.intern_inverse(cov, |s, i| s.intern(Node::Quad(i, v))),
        "inverse-diagonal" => s.inv(diag),
        "inverse-scaled" => s.inv(scaled),
        "scaled-diagonal" => s.mul(pos, diag),
        "trace-diagonal" => s.intern_trace(diag, w.matrices[0]),
        "trace-scaled" => {
            let m = s.mul(pos, w.matrices[0]);
            s.intern(Node::Trace(m))
        }
        "product-over-sum" => s.mul(ab, pos),
        "square-of-sum" => s.square(ab),
        "log-of-product" => s.intern_log(&[w.positives[0], w.positives[1], w.positives[3]]),
        "log-of-power" => {
            let p = s.square(a);
            s.intern(Node::Fun(Fun::Log, p))
        }
        "log-of-softmax" => {
            let (p, i) = (s.intern(Node::Softmax(v)), s.num(2.0));
            let p = s.at(p, &[i]);
            s.log(p)
        }
        "log-of-choice" => {
            let x = chosen(s);
            s.log(x)
        }
        "xlogy-of-product" => {
            let pi = w.positives[3];
            let x = s.mul(pi, w.positives[0]);
            s.intern(Node::XLogY(w.scalars[2], x))
        }
        "xlogy-of-choice" => {
            let x = chosen(s);
            s.intern(Node::XLogY(w.scalars[2], x))
        }
        "log-sum-exp-shift" => {
            let x = s.add(sum, b);
            s.log_sum_exp(x)
        }
        "linear-over-sum" => s.dot(sum, u),
        "linear-scalar" => {
            let y = s.mul(pos, w.vectors[1]);
            s.outer(y, u)
        }
        "quad-of-sum" => s.quad(cov, sum),
        "quad-of-scaled" => {
            let y = s.mul(pos, w.vectors[1]);
            s.quad(cov, y)
        }
        "total-of-stack" => {
            let y = s.stack(&[a, v, b]);
            s.total(y)
        }
        "total-inward" => {
            let y = s.row_sum(w.vectors[2]);
            s.total(y)
        }
        "row-factor" => {
            let y = s.product_of(&[pos, w.scalars[0], r]);
            s.row_sum(y)
        }
        "row-operand" => {
            let d = s.dot(w.vectors[2], w.vectors[0]);
            let y = s.mul(r, d);
            s.row_sum(y)
        }
        "index-factor" => {
            let y = s.mul(w.scalars[0], r);
            s.ix_sum(w.k, y)
        }
        other => panic!("no example for the rule {other}"),
    }
}

impl Store {
    fn intern_inverse(&mut self, m: Term, f: impl Fn(&mut Store, Term) -> Term) -> Term {
        let i = self.intern(Node::Inv(m));
        f(self, i)
    }
    fn intern_log(&mut self, factors: &[Term]) -> Term {
        let p = self.product_of(factors);
        self.log(p)
    }
    fn intern_trace(&mut self, d: Term, m: Term) -> Term {
        let p = self.matmul(d, m);
        self.trace(p)
    }
}

#[test]
fn every_rule_keeps_the_value_of_its_left_side() {
    for rule in crate::rules::all() {
        let mut fired = 0;
        for seed in 0..20u16 {
            let mut w = World::new();
            let mut c = Choices::new(
                (0..40)
                    .map(|i| seed.wrapping_mul(7919).wrapping_add(i * 1_291 % 997))
                    .collect(),
            );
            let t = example(&mut w, &mut c, rule.name);
            fired += u32::from(check(&mut w, rule, t));
        }
        assert!(fired > 0, "{} never applied to its example", rule.name);
    }
}

fn check(w: &mut World, rule: &Rule, t: Term) -> bool {
    let Some(u) = w.s.apply_rule(rule, t) else { return false };
    let gap = distance(&w.value(t), &w.value(u));
    assert!(
        gap < 1e-9,
        "{} ({}): {} became {}",
        rule.name,
        rule.statement,
        w.s.print_debug(t),
        w.s.print_debug(u)
    );
    true
}

#[test]
fn a_hold_stays() {
    let mut w = World::new();
    let (a, b, p) = (w.scalars[0], w.scalars[1], w.positives[0]);
    let sum = w.s.add(a, b);
    let held = w.s.hold(sum);
    let t = w.s.mul(p, held);
    assert_eq!(w.s.expand(t), t);
}

#[test]
fn mixture_statistics_are_collected() {
    // Σₙ Σₖ rₙₖ log πₖ in π: the coefficient of log πₖ is Σₙ rₙₖ
    let mut w = World::new();
    let ix = w.s.index(w.k);
    let r = w.s.resp(&[(w.z, ix)]);
    let pi_k = w.positives[3];
    let l = w.s.log(pi_k);
    let rl = w.s.mul(r, l);
    let inner = w.s.ix_sum(w.k, rl);
    let q = w.s.row_sum(inner);
    let parts = w.s.collect_indexed(q, &|s, x| s.contains(x, pi_k));
    let n_k = w.s.row_sum(r);
    assert_eq!(parts.len(), 1);
    assert_eq!(
        (parts[0].coefficient, parts[0].atom, &parts[0].over[..]),
        (n_k, l, &[w.k][..])
    );
}

#[test]
fn covariance_statistics_are_collected() {
    // Σₙ rₙ (−½ log|Σ| − ½ (x − v)ᵀ Σ⁻¹ (x − v)) in Σ
    let mut w = World::new();
    let (x, v, cov) = (w.vectors[2], w.vectors[0], w.covariances[0]);
    let ix = w.s.index(w.k);
    let s = &mut w.s;
    let r = s.resp(&[(w.z, ix)]);
    let e = s.sub(x, v);
    let (l, q) = (s.log_det(cov), s.quad(cov, e));
    let sum = s.add(l, q);
    let half = s.minus_half(sum);
    let weighted = s.mul(r, half);
    let t = s.row_sum(weighted);
    let parts = s.collect(t, &|s, x| s.contains(x, cov));
    let (inverse, ee) = (s.inv(cov), s.outer(e, e));
    let ree = s.mul(r, ee);
    let (n, scatter) = (s.row_sum(r), s.row_sum(ree));
    let wanted = [(s.minus_half(n), l), (s.minus_half(scatter), inverse)];
    assert!(
        wanted.iter().all(|p| parts.contains(p)),
        "{:?}",
        parts
            .iter()
            .map(|p| (s.print_debug(p.0), s.print_debug(p.1)))
            .collect::<Vec<_>>()
    );
    assert_eq!(parts.len(), 2);
}

#[test]
fn least_squares_are_collected() {
    // Σₙ (yₙ − aᵀ-form in v)²: atoms v and v vᵀ
    let mut w = World::new();
    let (y, x, v) = (w.scalars[2], w.vectors[2], w.vectors[0]);
    let s = &mut w.s;
    let d = s.dot(x, v);
    let e = s.sub(y, d);
    let e2 = s.square(e);
    let t = s.row_sum(e2);
    let parts = s.collect(t, &|s, x| s.contains(x, v));
    let (vv, xx, yx) = (s.outer(v, v), s.outer(x, x), s.mul(y, x));
    let (sxx, syx) = (s.row_sum(xx), s.row_sum(yx));
    let minus = s.scale(-2.0, syx);
    assert!(parts.contains(&(sxx, vv)) && parts.contains(&(minus, v)));
    assert_eq!(parts.len(), 3);
}

#[test]
fn loadings_are_collected() {
    // Σₙ ‖xₙ − M vₙ‖² / p in M, as in principal components: atoms M and Mᵀ M
    let mut w = World::new();
    let (m, x, v, p) = (w.matrices[0], w.vectors[2], w.vectors[4], w.positives[0]);
    let s = &mut w.s;
    let mv = s.matvec(m, v);
    let e = s.sub(x, mv);
    let e2 = s.square(e);
    let (norm, over) = (s.total(e2), s.recip(p));
    let each = s.mul(over, norm);
    let t = s.row_sum(each);
    let parts = s.collect(t, &|s, y| s.contains(y, m));
    let (mt, vv, xv) = (s.transpose(m), s.outer(v, v), s.outer(x, v));
    let (mm, svv, sxv) = (s.matmul(mt, m), s.row_sum(vv), s.row_sum(xv));
    let (svv, sxv) = (s.mul(over, svv), s.product_of(&[over, sxv]));
    let minus = s.scale(-2.0, sxv);
    let shown: Vec<_> = parts.iter().map(|p| (s.print_debug(p.0), s.print_debug(p.1))).collect();
    let expanded: Vec<_> = parts.iter().map(|p| (s.expand(p.0), p.1)).collect();
    assert!(
        expanded.contains(&(svv, mm)) && expanded.contains(&(minus, m)),
        "{shown:#?}"
    );
    assert_eq!(parts.len(), 3);
}

#[test]
fn linear_operators_go_over_to_the_coefficient() {
    let mut w = World::new();
    let (m, cov, v, u, x) = (
        w.matrices[0],
        w.covariances[0],
        w.vectors[0],
        w.vectors[1],
        w.vectors[2],
    );
    let s = &mut w.s;
    let (diag_v, mt) = (s.diag(v), s.transpose(m));
    let (mv, vx, vu) = (s.matvec(m, v), s.outer(v, x), s.outer(v, u));
    let (md, mm, vm) = (s.matmul(m, diag_v), s.matmul(mt, m), s.matmul(vu, m));
    let first = v_first(s, v);
    let filled = s.fill(first, vec![w.d.clone()]);
    let squares = s.quad(cov, mv);
    // in v
    let in_v = [
        s.trace(md),
        s.dot(mv, u),
        s.dot(mv, mv),
        s.dot(mv, v),
        s.total(vx),
        s.trace(vm),
        s.total(md),
        s.dot(filled, u),
        squares,
    ];
    for t in in_v {
        let parts = w.s.collect(t, &|s, x| s.contains(x, v));
        assert!(parts.iter().all(|p| !w.s.contains(p.0, v)));
        let sum = together(&mut w, &parts);
        assert!(distance(&w.value(t), &w.value(sum)) < 1e-10, "{}", w.s.print_debug(t));
        let atoms: Vec<Term> = parts.iter().map(|p| p.1).collect();
        assert!(
            atoms.iter().all(|&a| is_plain(&w, a, v)),
            "{} has other atoms",
            w.s.print_debug(t)
        );
    }
    // in M
    let s = &mut w.s;
    let d = s.diag_of(m);
    let (mx, mtx) = (s.matvec(m, x), s.matvec(mt, x));
    let in_m = [s.dot(d, u), s.dot(mx, u), s.dot(mtx, v), s.trace(m), s.trace(mm)];
    for t in in_m {
        let parts = w.s.collect(t, &|s, x| s.contains(x, m));
        let sum = together(&mut w, &parts);
        assert!(distance(&w.value(t), &w.value(sum)) < 1e-10, "{}", w.s.print_debug(t));
    }
}

fn v_first(s: &mut Store, v: Term) -> Term {
    let zero = s.num(0.0);
    s.at(v, &[zero])
}

/// v, an element of it, v², or v vᵀ.
fn is_plain(w: &World, atom: Term, v: Term) -> bool {
    match w.s.node(atom) {
        Node::Outer(a, b) => *a == v && *b == v,
        Node::Pow(a, _) => *a == v,
        _ => w.s.as_symbol(atom) == w.s.as_symbol(v) || matches!(w.s.node(atom), Node::At(a, _) if *a == v),
    }
}

#[test]
fn products_of_many_sums_stay_products() {
    let mut w = World::new();
    let s = &mut w.s;
    let mut factors = vec![];
    for i in 0..30 {
        let (a, b) = (w.scalars[i % 2], s.num(f64::from(u32::try_from(i).unwrap_or(0)) + 0.25));
        factors.push(s.add(a, b));
    }
    let t = s.product_of(&factors);
    assert_eq!(s.expand(t), t);
}
