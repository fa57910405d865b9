//! A model, random data for it, its program run by the interpreter, and the same quantities by brute force from terms.

#![allow(dead_code)]

use lvmc_derive::Plan;
use lvmc_derive::plan::Solution;
use lvmc_loops::ir::BufId;
use lvmc_loops::lower::{Sizes, lower};
use lvmc_loops::lowered::Lowered;
use lvmc_loops::{AlignedVec, Interpreter, Memory, Padding, RowLayout, Sweep, sweep};
use lvmc_model::ModelGraph;
use lvmc_term::{Array, Env, Store, Support, SymId, Term};
use std::collections::HashMap;
use std::sync::Arc;

/// A small deterministic generator.
pub struct Random(pub u64);

impl Random {
    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let x = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        ((x ^ (x >> 29)) >> 11) as f64 / (1u64 << 53) as f64
    }
    /// About standard normal.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
    /// Below n.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n - 1)
    }
}

/// A model ready to run.
pub struct Case {
    pub graph: ModelGraph,
    pub plan: Plan,
    pub sizes: Sizes,
    pub lowered: Lowered,
    pub rows: usize,
    pub weights: Vec<f64>,
    pub data: HashMap<SymId, Vec<Array>>,
    pub consts: HashMap<SymId, Array>,
    pub memory: Memory,
    pub machine: Interpreter,
}

/// Builds a model's case with random data and parameters.
pub fn case(text: &str, sizes: &[(&str, usize)], rows: usize, seed: u64, weighted: bool) -> Case {
    let source = lvmc_base::Source::new("test.lvm", text);
    let ast = lvmc_syntax::parse(&source).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let graph =
        lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let plan = lvmc_derive::derive(&graph).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let sizes: Sizes = plan
        .store
        .dims()
        .map(|(id, d)| (id, sizes.iter().find(|s| s.0 == d.name).map_or(2, |s| s.1)))
        .collect();
    let lowered = lower(&graph, &plan, &sizes).unwrap_or_else(|e| panic!("{e}\n{text}"));
    if let Err(e) = lvmc_loops::verify(&lowered.program) {
        panic!("{}\n{}\n{text}", e.message, e.ir);
    }
    let mut random = Random(seed.wrapping_mul(77) + 5);
    let weights: Vec<f64> = (0..rows)
        .map(|_| if weighted { (random.below(4) as f64) * 0.5 } else { 1.0 })
        .collect();
    let program = Arc::new(lowered.program.clone());
    let layout = RowLayout {
        rows,
        block: program.block,
    };
    let mut columns = HashMap::new();
    let mut data = HashMap::new();
    let mut inputs: Vec<(BufId, Vec<f64>)> = vec![];
    for slot in &lowered.columns {
        let shape: Vec<usize> = plan
            .store
            .sym(slot.sym)
            .shape
            .iter()
            .map(|n| number(&plan.store, &sizes, n))
            .collect();
        let support = plan.store.sym(slot.sym).support.clone();
        let values: Vec<Vec<f64>> = (0..rows)
            .map(|_| {
                (0..slot.cols)
                    .map(|j| draw(&mut random, &support, slot.categories, j))
                    .collect()
            })
            .collect();
        let total: f64 = weights.iter().sum();
        let mean: Vec<f64> = (0..slot.cols)
            .map(|j| values.iter().zip(&weights).map(|(v, w)| v[j] * w).sum::<f64>() / total)
            .collect();
        let var: Vec<f64> = (0..slot.cols)
            .map(|j| {
                values
                    .iter()
                    .zip(&weights)
                    .map(|(v, w)| w * (v[j] - mean[j]).powi(2))
                    .sum::<f64>()
                    / total
            })
            .collect();
        let centre = if slot.centre.is_some() {
            mean.clone()
        } else {
            vec![0.0; slot.cols]
        };
        columns.insert(
            slot.buf,
            Arc::new(layout.fill(slot.cols, Padding::LastRow, |r, c| values[r][c] - centre[c])),
        );
        if let Some(b) = slot.centre {
            inputs.push((b, mean));
        }
        if let Some(b) = slot.scale {
            inputs.push((b, var));
        }
        data.insert(
            slot.sym,
            values
                .into_iter()
                .map(|v| Array {
                    shape: shape.clone(),
                    data: v,
                })
                .collect(),
        );
    }
    columns.insert(
        lowered.weight,
        Arc::new(layout.fill(1, Padding::Zero, |r, _| weights[r])),
    );
    let mut memory = Memory::new(program.clone(), rows, columns);
    for (buf, values) in inputs {
        memory.flat_mut(buf).copy_from_slice(&values);
    }
    let mut consts = HashMap::new();
    for slot in &lowered.consts {
        let term = graph
            .consts
            .iter()
            .find(|(v, _)| graph.var(*v).sym == slot.sym)
            .and_then(|(_, t)| *t);
        let value = term.map_or(Array::scalar(1.0), |t| {
            plan.store.eval(t, &Env::new()).unwrap_or(Array::scalar(1.0))
        });
        memory.flat_mut(slot.buf).copy_from_slice(&value.data);
        consts.insert(slot.sym, value);
    }
    memory.flat_mut(lowered.settings)[1] = weights.iter().sum();
    let machine = Interpreter::new(program);
    let mut case = Case {
        graph,
        plan,
        sizes,
        lowered,
        rows,
        weights,
        data,
        consts,
        memory,
        machine,
    };
    case.random_params(&mut random);
    if case.lowered.program.func("features").is_some() {
        case.block("features", weighted);
    }
    case
}

fn number(s: &Store, sizes: &Sizes, n: &lvmc_term::Size) -> usize {
    let _ = s;
    match n {
        lvmc_term::Size::Const(n) => *n,
        lvmc_term::Size::Dim(d) => sizes[d],
        lvmc_term::Size::Sum(p) => p.iter().map(|n| number(s, sizes, n)).sum(),
    }
}

fn draw(random: &mut Random, support: &Support, categories: Option<usize>, j: usize) -> f64 {
    match support {
        Support::Positive | Support::NonNegative => (0.7 * random.normal()).exp(),
        Support::Unit => random.unit() * 0.98 + 0.01,
        Support::Count | Support::Int => (random.unit() * 7.0).floor(),
        Support::Binary => f64::from(random.unit() < 0.4 + 0.1 * (j % 3) as f64),
        Support::Category(_) => random.below(categories.unwrap_or(2)) as f64,
        _ => random.normal() * (1.0 + j as f64 * 0.3) + 1.0 + 2.0 * f64::from(random.unit() < 0.5),
    }
}

impl Case {
    /// Parameters inside their supports.
    pub fn random_params(&mut self, random: &mut Random) {
        for slot in self.lowered.params.clone() {
            let own: usize = slot.shape[slot.family..].iter().product();
            let outer: usize = slot.shape[..slot.family].iter().product();
            let mut values = vec![];
            for _ in 0..outer {
                values.extend(match &slot.support {
                    Support::Simplex => {
                        let v: Vec<f64> = (0..own).map(|_| 0.2 + random.unit()).collect();
                        let sum: f64 = v.iter().sum();
                        v.into_iter().map(|x| x / sum).collect()
                    }
                    Support::Cov => covariance(random, slot.shape[slot.family]),
                    Support::Positive | Support::NonNegative => (0..own).map(|_| 0.5 + 2.0 * random.unit()).collect(),
                    Support::Unit => (0..own).map(|_| 0.1 + 0.8 * random.unit()).collect::<Vec<f64>>(),
                    _ => (0..own).map(|_| 0.5 + 0.3 * random.normal()).collect(),
                });
            }
            self.memory.flat_mut(slot.buf).copy_from_slice(&values);
        }
    }

    /// Runs a block function over all rows.
    pub fn block(&mut self, name: &str, weighted: bool) {
        let program = self.lowered.program.clone();
        let mut what = Sweep::named(&program, name, "finish").unwrap_or_else(|| panic!("no function {name}"));
        what.weighted = weighted;
        sweep(&self.machine, &mut self.memory, &what, 1);
    }

    /// Runs a `Once` function.
    pub fn once(&mut self, name: &str) {
        let f = self
            .lowered
            .program
            .func(name)
            .unwrap_or_else(|| panic!("no function {name}"));
        self.memory.call(&self.machine, f);
    }

    /// prepare and sweep; the objective.
    pub fn evaluate(&mut self) -> f64 {
        self.once("prepare");
        let weighted = self.weights.iter().any(|&w| w != 1.0);
        self.block("sweep", weighted);
        self.memory.flat(self.lowered.objective)[0]
            + self.memory.flat(self.lowered.constant)[0]
            + self.memory.flat(self.lowered.log_prior)[0]
    }

    /// Values of everything for the reference evaluator.
    pub fn env(&self) -> Env<'static> {
        let mut env = Env::new();
        for (&d, &n) in &self.sizes {
            env.set_dim(d, n);
        }
        for slot in &self.lowered.params {
            env.set(
                slot.sym,
                Array {
                    shape: slot.shape.clone(),
                    data: self.memory.flat(slot.buf).to_vec(),
                },
            );
        }
        for (&x, v) in &self.consts {
            env.set(x, v.clone());
        }
        for (&x, rows) in &self.data {
            env.set_rows(x, rows.clone());
        }
        env.set_row_count(self.rows);
        env.set_weights(self.weights.clone());
        lvmc_derive::posterior::evaluate(&self.plan.store, &self.plan.definitions, &mut env, self.rows)
            .unwrap_or_else(|e| panic!("{e}"));
        env
    }

    /// Every configuration of the finite variables with its log density, for one row: brute force.
    pub fn configurations(&self, row: usize) -> Vec<(Vec<usize>, f64)> {
        let dims: Vec<usize> = self
            .plan
            .finite
            .iter()
            .map(|f| number(&self.plan.store, &self.sizes, &f.size))
            .collect();
        let count: usize = dims.iter().product();
        let mut out = vec![];
        for flat in 0..count {
            let mut at = vec![0; dims.len()];
            let mut rest = flat;
            for i in (0..dims.len()).rev() {
                at[i] = rest % dims[i];
                rest /= dims[i];
            }
            let mut env = self.env();
            env.set_row(row);
            for (f, &v) in self.plan.finite.iter().zip(&at) {
                env.set_index(f.ix, v);
            }
            let mut log = 0.0;
            for (f, &v) in self.plan.finite.iter().zip(&at) {
                if f.observed {
                    let cell = self.data[&f.sym][row].data[0];
                    if !cell.is_nan() && cell != v as f64 {
                        log = f64::NEG_INFINITY;
                    }
                }
            }
            for factor in &self.plan.factors {
                for c in &factor.cases {
                    let holds = c.fixed.iter().all(|&(v, x)| at[v] == x) && c.excluded.iter().all(|&(v, x)| at[v] != x);
                    if holds {
                        log += self
                            .plan
                            .store
                            .eval_scalar(c.term, &env)
                            .unwrap_or_else(|e| panic!("{e}"));
                    }
                }
            }
            out.push((at, log));
        }
        out
    }

    /// The objective by brute force.
    pub fn reference(&self) -> f64 {
        let mut total = 0.0;
        for row in 0..self.rows {
            if self.weights[row] == 0.0 {
                continue;
            }
            let logs: Vec<f64> = self.configurations(row).into_iter().map(|c| c.1).collect();
            total += self.weights[row] * log_sum_exp(&logs);
        }
        let env = self.env();
        let mut store = self.plan.store.clone();
        for p in &self.plan.priors {
            let t = p.ranges.iter().rev().fold(p.term, |t, &i| store.ix_sum(i, t));
            total += store.eval_scalar(t, &env).unwrap_or_else(|e| panic!("{e}"));
        }
        total
    }

    /// The posterior of every row by enumeration.
    pub fn posteriors(&self) -> Vec<Vec<(Vec<usize>, f64)>> {
        (0..self.rows)
            .map(|row| {
                let all = self.configurations(row);
                let lse = log_sum_exp(&all.iter().map(|c| c.1).collect::<Vec<_>>());
                all.into_iter().map(|(at, log)| (at, (log - lse).exp())).collect()
            })
            .collect()
    }

    /// Runs `update`, and the same updates term by term with the reference evaluator; returns the largest relative
    /// difference of a parameter, with its name.
    pub fn update_and_compare(&mut self) -> (f64, String) {
        let posteriors = self.posteriors();
        let finite: Vec<SymId> = self.plan.finite.iter().map(|f| f.sym).collect();
        let resp = |row: usize, values: &[(SymId, usize)]| -> f64 {
            posteriors[row]
                .iter()
                .filter(|(at, _)| {
                    values
                        .iter()
                        .all(|&(x, v)| at[finite.iter().position(|&f| f == x).unwrap()] == v)
                })
                .map(|c| c.1)
                .sum()
        };
        let mut params: HashMap<SymId, Array> = self
            .lowered
            .params
            .iter()
            .map(|s| {
                (
                    s.sym,
                    Array {
                        shape: s.shape.clone(),
                        data: self.memory.flat(s.buf).to_vec(),
                    },
                )
            })
            .collect();
        for u in &self.plan.updates {
            let values: Vec<Term> = match &u.solution {
                Solution::Explicit(values) => values.clone(),
                _ => continue,
            };
            let dims: Vec<usize> = u
                .ranges
                .iter()
                .map(|&i| number(&self.plan.store, &self.sizes, &self.plan.store.ix(i).size))
                .collect();
            let mut new = params.clone();
            for flat in 0..dims.iter().product::<usize>() {
                let mut env = self.env();
                env.set_resp(&resp);
                for (&x, v) in &params {
                    env.set(x, v.clone());
                }
                let mut rest = flat;
                for (i, &n) in u.ranges.iter().zip(&dims).rev() {
                    env.set_index(*i, rest % n);
                    rest /= n;
                }
                for (&t, &v) in u.targets.iter().zip(&values) {
                    let value = self.plan.store.eval(v, &env).unwrap_or_else(|e| panic!("{e}"));
                    let (sym, _) = self.plan.store.as_symbol(t).unwrap();
                    let len = value.data.len();
                    new.get_mut(&sym).unwrap().data[flat * len..(flat + 1) * len].copy_from_slice(&value.data);
                }
            }
            params = new;
        }
        self.once("update");
        let mut worst = (0.0, String::new());
        for slot in &self.lowered.params {
            let explicit = self.plan.updates.iter().any(|u| {
                matches!(u.solution, Solution::Explicit(_))
                    && u.targets
                        .iter()
                        .any(|&t| self.plan.store.as_symbol(t).is_some_and(|(x, _)| x == slot.sym))
                    && u.uses.iter().all(|x| self.is_explicit(*x))
            });
            if !explicit {
                continue;
            }
            for (a, b) in self.memory.flat(slot.buf).iter().zip(&params[&slot.sym].data) {
                let difference = (a - b).abs() / (1.0 + b.abs());
                if difference.is_nan() || difference > worst.0 {
                    worst = (difference, slot.name.clone());
                }
            }
        }
        worst
    }

    fn is_explicit(&self, x: SymId) -> bool {
        self.plan.updates.iter().any(|u| {
            matches!(u.solution, Solution::Explicit(_))
                && u.targets
                    .iter()
                    .any(|&t| self.plan.store.as_symbol(t).is_some_and(|(y, _)| x == y))
        })
    }
}

fn covariance(random: &mut Random, d: usize) -> Vec<f64> {
    let a: Vec<f64> = (0..d * d).map(|_| random.normal() * 0.4).collect();
    let mut out = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..d {
            out[i * d + j] = (0..d).map(|k| a[i * d + k] * a[j * d + k]).sum::<f64>() + f64::from(u8::from(i == j));
        }
    }
    out
}

/// log Σ exp.
pub fn log_sum_exp(logs: &[f64]) -> f64 {
    let max = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        max
    } else {
        max + logs.iter().map(|l| (l - max).exp()).sum::<f64>().ln()
    }
}

/// So that tests need not import it.
pub type Aligned = AlignedVec;
