//! A Gaussian mixture with full covariances, written by hand as the lowering will emit it, and the same in plain Rust.

use std::f64::consts::TAU;
use std::sync::Arc;

use lvmc_loops::ir::{BufId, BufKind, FuncKind, Index, Kernel, Program, QuadShape, quad_len};
use lvmc_loops::lens::{quad_packed_len, syrk_len};
use lvmc_loops::{FuncBuilder, Machine, Memory, ProgramBuilder, Sweep, sweep};

use super::{Rng, columns, weights};

const SHAPE: QuadShape = QuadShape::Triangular { lead: 0 };

struct Bufs {
    d: usize,
    k: usize,
    x: BufId,
    weight: BufId,
    pi: BufId,
    mu: BufId,
    sigma: BufId,
    coef: BufId,
    packed: BufId,
    resp: BufId,
    acc: BufId,
    moments: BufId,
    total: BufId,
}

/// The program for d columns and k components.
pub fn program(d: usize, k: usize) -> Program {
    let mut p = ProgramBuilder::new("gmm", lvmc_kernels::block::block_rows(d));
    let b = Bufs {
        d,
        k,
        x: p.buffer("x", BufKind::Column, d),
        weight: p.buffer("weight", BufKind::Column, 1),
        pi: p.buffer("pi", BufKind::Param, k),
        mu: p.buffer("mu", BufKind::Param, k * d),
        sigma: p.buffer("Sigma", BufKind::Param, k * d * d),
        coef: p.buffer("coef", BufKind::Table, k * quad_len(d, d, SHAPE)),
        packed: p.buffer("packed", BufKind::Table, k * quad_packed_len(d, d, SHAPE)),
        resp: p.buffer("resp", BufKind::Temp, k),
        acc: p.buffer("acc", BufKind::Acc, k * syrk_len(d, false)),
        moments: p.buffer("moments", BufKind::Stat, k * (d + 1) * (d + 1)),
        total: p.buffer("loglik", BufKind::Stat, 1),
    };
    p.func("prepare", FuncKind::Once, |f| prepare(f, &b));
    p.func("sweep", FuncKind::Block, |f| step(f, &b, false));
    p.func("sweep_w", FuncKind::Block, |f| step(f, &b, true));
    p.func("finish", FuncKind::Chunk, |f| {
        f.for_(k, |f, i| {
            let out = b.moments.at(i * ((d + 1) * (d + 1)));
            f.kernel(Kernel::SyrkFold {
                acc: b.acc.at(i * syrk_len(d, false)),
                inputs: d,
                out,
                diagonal: false,
            });
        });
    });
    p.func("update", FuncKind::Once, |f| update(f, &b));
    p.finish()
}

#[allow(clippy::cast_precision_loss)]
fn prepare(f: &mut FuncBuilder<'_>, b: &Bufs) {
    let d = b.d;
    let chol = f.buffer("chol", BufKind::Table, d * d);
    let inverse = f.buffer("inverse", BufKind::Table, d * d);
    let flag = f.buffer("flag", BufKind::Table, 1);
    let sum = f.buffer("sum", BufKind::Scratch, 1);
    f.for_(b.k, |f, k| {
        f.kernel(Kernel::Cholesky {
            a: b.sigma.at(k * (d * d)),
            out: chol.at(0),
            n: d,
            flag: flag.at(0),
        });
        f.kernel(Kernel::TriInverse {
            l: chol.at(0),
            out: inverse.at(0),
            n: d,
        });
        let pi = f.load(b.pi.at(k));
        let log_pi = f.log(pi);
        let constant = f.num(-0.5 * d as f64 * TAU.ln());
        let c = f.add(log_pi, constant);
        f.store(sum.at(0), c);
        let first = k * quad_len(d, d, SHAPE);
        f.for_(d, |f, j| {
            let diagonal = f.load(inverse.at(j * (d + 1)));
            let log = f.log(diagonal);
            f.accum(sum.at(0), log);
            let row = first.clone() + j * (d + 1) + 1;
            let zero = f.num(0.0);
            f.store(b.coef.at(&row), zero);
            f.for_(d, |f, i| {
                let g = f.load(inverse.at(j * d + i));
                f.store(b.coef.at(row.clone() + i + 1), g);
                let mu = f.load(b.mu.at(k * d + i));
                let h = f.mul(g, mu);
                f.accum(b.coef.at(&row), h);
            });
        });
        let c = f.load(sum.at(0));
        f.store(b.coef.at(&first), c);
        let dst = b.packed.at(k * quad_packed_len(d, d, SHAPE));
        f.kernel(Kernel::PackQuad {
            src: b.coef.at(first),
            dst,
            inputs: d,
            outputs: d,
            shape: SHAPE,
        });
    });
}

fn step(f: &mut FuncBuilder<'_>, b: &Bufs, weighted: bool) {
    let (d, n) = (b.d, b.k);
    f.for_(n, |f, k| {
        f.kernel(Kernel::Quad {
            x: b.x.col(0),
            inputs: d,
            outputs: d,
            shape: SHAPE,
            coef: b.packed.at(k * quad_packed_len(d, d, SHAPE)),
            out: b.resp.col(k),
            add: false,
        });
    });
    let table = b.resp.col(0);
    if weighted {
        let lse = f.buffer("lse", BufKind::Temp, 1);
        f.kernel(Kernel::Softmax {
            table: table.clone(),
            n,
            stride: 1,
            lse: Some(lse.col(0)),
            total: None,
        });
        f.rows(|f| {
            let (w, l) = (f.load_row(b.weight.col(0)), f.load_row(lse.col(0)));
            let v = f.mul(w, l);
            f.reduce(b.total.at(0), v);
        });
        f.kernel(Kernel::MulRows {
            rows: table,
            n,
            by: b.weight.col(0),
        });
    } else {
        f.kernel(Kernel::Softmax {
            table,
            n,
            stride: 1,
            lse: None,
            total: Some(b.total.at(0)),
        });
    }
    f.for_(n, |f, k| {
        let acc = b.acc.at(k * syrk_len(d, false));
        f.kernel(Kernel::Syrk {
            x: b.x.col(0),
            inputs: d,
            w: Some(b.resp.col(k)),
            acc,
            diagonal: false,
        });
    });
}

fn update(f: &mut FuncBuilder<'_>, b: &Bufs) {
    let (d, side) = (b.d, b.d + 1);
    let total = f.buffer("rows", BufKind::Scratch, 1);
    let zero = f.num(0.0);
    f.store(total.at(0), zero);
    f.for_(b.k, |f, k| {
        let n = f.load(b.moments.at(k * (side * side)));
        f.accum(total.at(0), n);
    });
    f.for_(b.k, |f, k| {
        let first: Index = k * (side * side);
        let n = f.load(b.moments.at(&first));
        let all = f.load(total.at(0));
        let pi = f.div(n, all);
        f.store(b.pi.at(k), pi);
        f.for_(d, |f, i| {
            let s = f.load(b.moments.at(first.clone() + i + 1));
            let mean = f.div(s, n);
            f.store(b.mu.at(k * d + i), mean);
        });
        f.for_(d, |f, i| {
            f.for_(d, |f, j| {
                let s = f.load(b.moments.at(first.clone() + i * side + j + side + 1));
                let (mi, mj) = (f.load(b.mu.at(k * d + i)), f.load(b.mu.at(k * d + j)));
                let mean = f.div(s, n);
                let minus = f.neg(mi);
                let v = f.fma(minus, mj, mean);
                f.store(b.sigma.at(k * (d * d) + i * d + j), v);
            });
            let ridge = f.num(1e-6);
            f.accum(b.sigma.at(k * (d * d) + i * (d + 1)), ridge);
        });
    });
}

/// Data, parameters and their memory.
pub struct Fit {
    pub memory: Memory,
    pub program: Arc<Program>,
    pub rows: usize,
}

/// Rows of d normals around k centres.
pub fn data(d: usize, k: usize, rows: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng(seed);
    let centres: Vec<f64> = (0..k * d).map(|_| 3.0 * rng.normal()).collect();
    let mut out = Vec::with_capacity(rows * d);
    for r in 0..rows {
        for i in 0..d {
            out.push(centres[(r % k) * d + i] + rng.normal());
        }
    }
    out
}

impl Fit {
    pub fn new(program: Arc<Program>, d: usize, k: usize, data: &[f64], weight: impl Fn(usize) -> f64) -> Self {
        let rows = data.len() / d;
        let x = columns(&program, rows, "x", |r, c| data[r * d + c]);
        let w = weights(&program, rows, "weight", weight);
        let mut memory = Memory::new(program.clone(), rows, [x, w].into_iter().collect());
        let (pi, mu, sigma) = start(d, k, data);
        for (name, values) in [("pi", pi), ("mu", mu), ("Sigma", sigma)] {
            memory
                .flat_mut(program.buf(name).expect("a parameter"))
                .copy_from_slice(&values);
        }
        Self { memory, program, rows }
    }

    /// One iteration; the log-likelihood before it.
    pub fn step(&mut self, machine: &dyn Machine, threads: usize, weighted: bool) -> f64 {
        let func = |name: &str| self.program.func(name).expect("a function");
        let (prepare, update) = (func("prepare"), func("update"));
        let plan = Sweep {
            weighted,
            ..Sweep::named(&self.program, "sweep", "finish").expect("a sweep")
        };
        self.memory.call(machine, prepare);
        sweep(machine, &mut self.memory, &plan, threads);
        self.memory.call(machine, update);
        self.get("loglik")[0]
    }

    pub fn get(&self, name: &str) -> &[f64] {
        self.memory.flat(self.program.buf(name).expect("a buffer"))
    }
}

#[allow(clippy::cast_precision_loss)]
fn start(d: usize, k: usize, data: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let pi = vec![1.0 / k as f64; k];
    let mu = data[..k * d].to_vec();
    let sigma = (0..k * d * d)
        .map(|e| if (e % (d * d)).is_multiple_of(d + 1) { 4.0 } else { 0.0 })
        .collect();
    (pi, mu, sigma)
}

/// The same in plain Rust, from the definitions: log-likelihoods of `steps` iterations and the final means.
pub fn plain(d: usize, k: usize, data: &[f64], weight: impl Fn(usize) -> f64, steps: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut pi, mut mu, mut sigma) = start(d, k, data);
    let mut trace = Vec::new();
    for _ in 0..steps {
        let chols: Vec<Vec<f64>> = (0..k)
            .map(|c| cholesky(&sigma[c * d * d..(c + 1) * d * d], d))
            .collect();
        let mut loglik = 0.0;
        let (mut s0, mut s1, mut s2) = (vec![0.0; k], vec![0.0; k * d], vec![0.0; k * d * d]);
        for (r, x) in data.chunks(d).enumerate() {
            let logs: Vec<f64> = (0..k)
                .map(|c| pi[c].ln() + log_normal(x, &mu[c * d..(c + 1) * d], &chols[c]))
                .collect();
            let top = logs.iter().copied().fold(f64::MIN, f64::max);
            let lse = top + logs.iter().map(|l| (l - top).exp()).sum::<f64>().ln();
            loglik += weight(r) * lse;
            for c in 0..k {
                let p = weight(r) * (logs[c] - lse).exp();
                s0[c] += p;
                for i in 0..d {
                    s1[c * d + i] += p * x[i];
                    (0..d).for_each(|j| s2[(c * d + i) * d + j] += p * x[i] * x[j]);
                }
            }
        }
        trace.push(loglik);
        let total: f64 = s0.iter().sum();
        for c in 0..k {
            pi[c] = s0[c] / total;
            (0..d).for_each(|i| mu[c * d + i] = s1[c * d + i] / s0[c]);
            for e in 0..d * d {
                let (i, j) = (e / d, e % d);
                let v = s2[c * d * d + e] / s0[c] - mu[c * d + i] * mu[c * d + j];
                sigma[c * d * d + e] = v + if i == j { 1e-6 } else { 0.0 };
            }
        }
    }
    (trace, mu)
}

fn cholesky(a: &[f64], d: usize) -> Vec<f64> {
    let mut l = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let rest: f64 = (0..j).map(|q| l[i * d + q] * l[j * d + q]).sum();
            let v = a[i * d + j] - rest;
            l[i * d + j] = if i == j { v.sqrt() } else { v / l[j * d + j] };
        }
    }
    l
}

#[allow(clippy::cast_precision_loss)]
fn log_normal(x: &[f64], mu: &[f64], l: &[f64]) -> f64 {
    let d = x.len();
    let mut y = vec![0.0; d];
    let mut out = -0.5 * d as f64 * TAU.ln();
    for i in 0..d {
        let rest: f64 = (0..i).map(|j| l[i * d + j] * y[j]).sum();
        y[i] = (x[i] - mu[i] - rest) / l[i * d + i];
        out -= l[i * d + i].ln() + 0.5 * y[i] * y[i];
    }
    out
}
