//! Lowered terms against the reference evaluator of the algebra: values and gradients, over a batch.

use lvmc_dense::ir::{Precision, Role};
use lvmc_dense::{Build, Executor, Interpreter, Leaf, Root, lower, verify};
use lvmc_term::{Array, Env, Fun, Size, Store, Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

const ROWS: usize = 5;

struct World {
    s: Store,
    values: HashMap<SymId, Vec<Array>>,
    seed: u64,
}

impl World {
    fn new() -> Self {
        Self {
            s: Store::new(),
            values: HashMap::new(),
            seed: 1,
        }
    }

    fn number(&mut self) -> f64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    }

    fn sym(&mut self, name: &str, kind: SymKind, shape: &[usize], code: Option<usize>) -> Term {
        let per_row = matches!(kind, SymKind::Data | SymKind::Given | SymKind::Noise);
        let id = self.s.add_sym(Sym {
            name: name.into(),
            kind,
            shape: shape.iter().map(|&n| Size::Const(n)).collect(),
            family: 0,
            per_row,
            support: Support::Real,
        });
        let copies = if per_row { ROWS } else { 1 };
        let values = (0..copies)
            .map(|_| {
                Array::from_fn(shape, |_| {
                    let x = self.number();
                    code.map_or(x, |n| ((x + 1.0) * 0.5 * n as f64).floor().min(n as f64 - 1.0))
                })
            })
            .collect();
        self.values.insert(id, values);
        self.s.var(id)
    }

    fn env(&self) -> Env<'static> {
        let mut env = Env::new();
        env.set_row_count(ROWS);
        for (&s, v) in &self.values {
            if v.len() == 1 && !self.s.sym(s).per_row {
                env.set(s, v[0].clone());
            } else {
                env.set_rows(s, v.clone());
            }
        }
        env
    }

    /// The roots by the program and by the evaluator.
    fn check(&mut self, terms: &[Term]) {
        let roots: Vec<Root> = terms
            .iter()
            .enumerate()
            .map(|(i, &term)| Root {
                name: format!("r{i}"),
                term,
            })
            .collect();
        let sizes = |_: &Store, n: &Size| match n {
            Size::Const(n) => Ok(*n),
            _ => unreachable!("sizes are numbers here"),
        };
        let leaf = |s: &Store, sym: SymId| {
            Leaf::Array(match s.sym(sym).kind {
                SymKind::Param => Role::Param,
                _ => Role::Input,
            })
        };
        let lowered = lower(&mut self.s, &roots, &sizes, &leaf).expect("lowered");
        verify(&lowered.program).unwrap_or_else(|e| panic!("{e}\n{}", lvmc_dense::text::program(&lowered.program)));
        let mut run = Interpreter::build(lowered.program.clone(), ROWS, Precision::F64, 1).expect("built");
        for (sym, &id) in &lowered.symbols {
            let flat: Vec<f64> = self.values[sym].iter().flat_map(|a| a.data.iter().copied()).collect();
            run.set(id, &flat);
        }
        lowered.set_constants(&mut run);
        run.run(ROWS, 0);
        let mut env = self.env();
        for (root, &id) in roots.iter().zip(&lowered.roots) {
            let found = run.get(id);
            let mut wanted = vec![];
            if self.s.per_row(root.term) {
                for n in 0..ROWS {
                    env.set_row(n);
                    wanted.extend(self.s.eval(root.term, &env).expect("a value").data);
                }
            } else {
                wanted = self.s.eval(root.term, &env).expect("a value").data;
            }
            assert_eq!(found.len(), wanted.len(), "{}", self.s.print_debug(root.term));
            for (a, b) in found.iter().zip(&wanted) {
                assert!(
                    (a - b).abs() <= 1e-11 * (1.0 + b.abs()),
                    "{a} is not {b}: {}\n{}",
                    self.s.print_debug(root.term),
                    lvmc_dense::text::program(&lowered.program)
                );
            }
        }
    }

    /// A row's scalar: itself, its sum, and the gradients of the sum.
    fn check_gradients(&mut self, row: Term, params: &[Term]) {
        let sum = self.s.row_sum(row);
        let mut all = vec![row, sum];
        all.extend(self.s.try_gradient(sum, params).expect("a gradient"));
        self.check(&all);
    }
}

#[test]
fn a_net_of_two_layers_and_its_gradients() {
    let mut w = World::new();
    let x = w.sym("x", SymKind::Data, &[4], None);
    let e = w.sym("e", SymKind::Noise, &[2], None);
    let (w1, b1) = (
        w.sym("W1", SymKind::Param, &[3, 4], None),
        w.sym("b1", SymKind::Param, &[3], None),
    );
    let (w2, b2) = (
        w.sym("W2", SymKind::Param, &[2, 3], None),
        w.sym("b2", SymKind::Param, &[2], None),
    );
    let (w3, b3) = (
        w.sym("W3", SymKind::Param, &[4, 2], None),
        w.sym("b3", SymKind::Param, &[4], None),
    );
    let s = &mut w.s;
    let h = s.matvec(w1, x);
    let h = s.add(h, b1);
    let h = s.fun(Fun::Relu, h);
    let m = s.matvec(w2, h);
    let m = s.add(m, b2);
    let sd = s.fun(Fun::Softplus, m);
    let step = s.mul(sd, e);
    let z = s.add(m, step);
    let l = s.matvec(w3, z);
    let l = s.add(l, b3);
    let sp = s.fun(Fun::Softplus, l);
    let xl = s.mul(x, l);
    let d = s.sub(xl, sp);
    let row = s.total(d);
    let m2 = s.square(m);
    let penalty = s.total(m2);
    let penalty = s.scale(0.5, penalty);
    let row = s.sub(row, penalty);
    w.check_gradients(row, &[w1, b1, w2, b2, w3, b3]);
}

#[test]
fn codes_gather_rows_and_scatter_gradients() {
    let mut w = World::new();
    let c = w.sym("c", SymKind::Given, &[], Some(3));
    let x = w.sym("x", SymKind::Data, &[2], None);
    let table = w.sym("E", SymKind::Param, &[3, 2], None);
    let rate = w.sym("r", SymKind::Param, &[3], None);
    let s = &mut w.s;
    let row = s.at(table, &[c]);
    let d = s.dot(row, x);
    let r = s.at(rate, &[c]);
    let t = s.mul(d, r);
    w.check_gradients(t, &[table, rate]);
}

#[test]
fn softmax_categories_and_shared_vectors() {
    let mut w = World::new();
    let c = w.sym("c", SymKind::Data, &[], Some(3));
    let x = w.sym("x", SymKind::Given, &[2], None);
    let m = w.sym("M", SymKind::Param, &[3, 2], None);
    let b = w.sym("b", SymKind::Param, &[3], None);
    let s = &mut w.s;
    let l = s.matvec(m, x);
    let l = s.add(l, b);
    let lse = s.log_sum_exp(l);
    let own = s.at(l, &[c]);
    let t = s.sub(own, lse);
    let p = s.softmax(l);
    let p2 = s.square(p);
    let extra = s.total(p2);
    let t = s.add(t, extra);
    w.check_gradients(t, &[m, b]);
}

#[test]
fn joined_parts_views_and_full_covariances() {
    let mut w = World::new();
    let x = w.sym("x", SymKind::Data, &[2], None);
    let t = w.sym("t", SymKind::Given, &[], None);
    let m = w.sym("M", SymKind::Param, &[2, 3], None);
    let l = w.sym("L", SymKind::Param, &[2, 2], None);
    let s = &mut w.s;
    let joined = s.stack(&[x, t]);
    let h = s.matvec(m, joined);
    let lt = s.transpose(l);
    let cov = s.matmul(l, lt);
    let eye = s.eye(Size::Const(2));
    let cov = s.add(cov, eye);
    let e = s.sub(x, h);
    let q = s.quad(cov, e);
    let d = s.log_det(cov);
    let zero = s.num(0.0);
    let first = s.at(h, &[zero]);
    let all = s.add(q, d);
    let row = s.add(all, first);
    w.check_gradients(row, &[m, l]);
}
