//! One net with numbers for its weights and inputs.

use lvmc_base::Source;
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_model::{NetExpansion, Settings, build, verify};
use lvmc_term::{Array, Env, Size, Store, Support, SymId, Term};
use std::collections::HashMap;

/// A number in (−1, 1), without structure.
pub fn wobble(n: u32) -> f64 {
    let x = f64::from(n).mul_add(12.9898, 0.7).sin() * 43_758.547;
    2.0 * (x - x.floor()) - 1.0
}

/// Rows of the environment: a net's inputs are values of a row.
const ROWS: usize = 2;

pub struct Net {
    graph: ModelGraph,
    store: Store,
    env: Env<'static>,
    values: HashMap<SymId, Array>,
    net: usize,
    pub noises: usize,
}

impl Net {
    /// The net `f` of the text.
    pub fn new(text: &str) -> Self {
        let model =
            format!("dim K = 3, H = 4\nconst level = 0.5\nconst beta[t in 1..4] = t / 5\n{text}\nu ~ Normal(0, 1)");
        let source = Source::new("net", model);
        let ast = lvmc_syntax::parse(&source).unwrap_or_else(|e| panic!("{e}: {text}"));
        let graph = build(&ast, &source, &Settings::default()).unwrap_or_else(|e| {
            let told: String = e.reports(&source).iter().map(|r| format!("{r:?}")).collect();
            panic!("{told}")
        });
        if let Err(bug) = verify(&graph) {
            panic!("{}", bug.message);
        }
        let net = graph.nets.iter().position(|n| n.syntax.name.name == "f").expect("f");
        let mut out = Self {
            store: graph.store.clone(),
            env: Env::new(),
            values: HashMap::new(),
            net,
            noises: 0,
            graph,
        };
        out.numbers();
        out
    }

    fn numbers(&mut self) {
        for d in &self.graph.dims {
            self.env.set_dim(d.id, d.default.expect("a number"));
        }
        self.env.set_row_count(ROWS).set_row(1);
        for (var, value) in self.graph.consts.clone() {
            let v = self.graph.var(var).clone();
            let (sym, t) = (v.sym, value.expect("a value"));
            let shape = self.shape(sym);
            let n: usize = shape.iter().product();
            let data: Vec<f64> = (0..n)
                .map(|i| {
                    v.ranges.iter().for_each(|&ix| {
                        self.env.set_index(ix, i);
                    });
                    self.store.eval(t, &self.env).expect("a constant").as_scalar()
                })
                .collect();
            self.env.set(sym, Array { shape, data });
        }
        for var in self.graph.vars.clone().into_iter().filter(|v| v.role == Role::Param) {
            let salt = var.name.bytes().map(u32::from).sum::<u32>();
            let value = Array::from_fn(&self.shape(var.sym), |i| 0.8 * wobble(salt + i as u32));
            self.set(var.sym, value);
        }
        for (i, sym) in self.graph.nets[self.net].arguments.clone().into_iter().enumerate() {
            let shape = self.shape(sym);
            let whole = self.store.sym(sym).support == Support::Int;
            let value = Array::from_fn(&shape, |j| match whole {
                true => 2.0,
                false => wobble(1000 * (i as u32 + 1) + j as u32),
            });
            self.set(sym, value);
        }
    }

    fn shape(&self, sym: SymId) -> Vec<usize> {
        let shape: &[Size] = &self.store.sym(sym).shape;
        shape
            .iter()
            .map(|n| self.env.size(&self.store, n).expect("a size"))
            .collect()
    }

    fn set(&mut self, sym: SymId, value: Array) {
        if self.store.sym(sym).per_row {
            self.env.set_rows(sym, vec![value.clone(); ROWS]);
        } else {
            self.env.set(sym, value.clone());
        }
        self.values.insert(sym, value);
    }

    pub fn weights(&self) -> usize {
        self.graph.nets.iter().map(|n| n.weights.len()).sum()
    }

    pub fn terms(&self) -> usize {
        self.store.len()
    }

    fn weight_sym(&self, name: &str) -> SymId {
        let var = self.graph.vars.iter().find(|v| v.name == name);
        var.unwrap_or_else(|| panic!("no weight {name}")).sym
    }

    pub fn weight(&self, name: &str) -> Vec<f64> {
        self.values[&self.weight_sym(name)].data.clone()
    }

    pub fn set_weight(&mut self, name: &str, data: Vec<f64>) {
        let sym = self.weight_sym(name);
        let shape = self.shape(sym);
        self.set(sym, Array { shape, data });
    }

    /// The first output at those inputs, without dropout.
    pub fn apply(&self, inputs: &[Vec<f64>]) -> Vec<f64> {
        let net = &self.graph.nets[self.net];
        let mut env = self.env.clone();
        for (&sym, data) in net.arguments.iter().zip(inputs) {
            let shape = self.shape(sym);
            let data = data.clone();
            env.set_rows(sym, vec![Array { shape, data }; ROWS]);
        }
        let mut store = self.store.clone();
        let t = NetExpansion::new(false).expand(&self.graph, &mut store, net.results[0]);
        store.eval(t, &env).expect("a value").data
    }

    /// The net applied to its own arguments, its dropout drawn.
    fn applied(&mut self, training: bool) -> Term {
        let net = &self.graph.nets[self.net];
        let args: Vec<Term> = net.arguments.iter().map(|&s| self.store.var(s)).collect();
        let shape = net.outputs[0].clone();
        let call = self.store.net(self.net as u32, 0, &args, shape);
        let mut expansion = NetExpansion::new(training);
        let t = expansion.expand(&self.graph, &mut self.store, call);
        self.noises = expansion.noises.len();
        for sym in expansion.noises {
            let value = Array::from_fn(&self.shape(sym), |i| 0.5 * wobble(7 * i as u32 + sym.0) + 0.5);
            self.set(sym, value);
        }
        t
    }

    /// The largest relative error of ∂ Σᵢ cᵢ yᵢ² / ∂ (weights and real inputs) against central differences of fourth order.
    pub fn gradient_error(&mut self, training: bool) -> f64 {
        let y = self.applied(training);
        let shape = self.store.shape(y).clone();
        let sizes: Vec<usize> = shape
            .iter()
            .map(|n| self.env.size(&self.store, n).expect("a size"))
            .collect();
        let c = self.store.add_sym(lvmc_term::Sym {
            name: "c".into(),
            kind: lvmc_term::SymKind::Const,
            shape,
            family: 0,
            per_row: false,
            support: Support::Real,
        });
        self.env
            .set(c, Array::from_fn(&sizes, |i| 1.0 + 0.5 * wobble(i as u32 + 77)));
        let s = &mut self.store;
        let c = s.var(c);
        let (y2, one) = (s.square(y), s.num(1.0));
        let sum = s.add(y2, y);
        let weighted = s.mul(c, sum);
        let t = s.total(weighted);
        let t = s.mul(one, t);
        let mut syms: Vec<SymId> = self.values.keys().copied().filter(|&x| self.smooth(x)).collect();
        syms.sort();
        let wrt: Vec<Term> = syms.iter().map(|&x| self.store.var(x)).collect();
        let grads = self.store.try_gradient(t, &wrt).expect("a gradient");
        let mut worst = 0.0f64;
        for (sym, g) in syms.into_iter().zip(grads) {
            worst = worst.max(self.leaf_error(t, sym, g));
        }
        worst
    }

    fn smooth(&self, sym: SymId) -> bool {
        let sym = self.store.sym(sym);
        sym.support == Support::Real && !sym.name.ends_with(".u")
    }

    fn leaf_error(&self, t: Term, sym: SymId, g: Term) -> f64 {
        let at = &self.values[&sym];
        let g = self.store.eval(g, &self.env).expect("a gradient's value");
        let scale = g.data.iter().fold(1e-3f64, |a, x| a.max(x.abs()));
        let mut worst = 0.0f64;
        // of many weights a few
        for i in (0..at.len()).step_by(at.len().div_ceil(12)) {
            let value = |h: f64| {
                let mut env = self.env.clone();
                let mut moved = at.clone();
                moved.data[i] += h;
                if self.store.sym(sym).per_row {
                    env.set_rows(sym, vec![moved; ROWS]);
                } else {
                    env.set(sym, moved);
                }
                self.store.eval(t, &env).expect("a value").as_scalar()
            };
            let h = 1e-3 * (0.1 + at.data[i].abs());
            let numeric = (8.0 * (value(h) - value(-h)) - (value(2.0 * h) - value(-2.0 * h))) / (12.0 * h);
            worst = worst.max((numeric - g.data[i]).abs() / scale.max(numeric.abs()));
        }
        worst
    }
}
