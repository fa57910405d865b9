//! A lowered model and a machine written by hand for simple mixtures, so that the runtime is tested without the compiler.
#![allow(dead_code, clippy::cast_precision_loss)]

use lvmc_loops::ir::{BufId, BufKind, Buffer, Flat, Func, FuncKind, Index, Program, Reg, Stmt};
use lvmc_loops::lowered::{ColumnSlot, LatentSlot, Lowered, MissingCells, ParamSlot};
use lvmc_loops::{AlignedVec, Frame, Machine, Padding, RowLayout, Slot};
use lvmc_runtime::dataset::{Dataset, Moments};
use lvmc_term::{Support, SymId};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Full,
    Tied,
    Diagonal,
    Spherical,
    Poisson,
    Bernoulli,
}

pub struct Mixture {
    pub kind: Kind,
    pub k: usize,
    pub d: usize,
    /// A planted error: the update moves the means this far off.
    pub error: f64,
}

const BLOCK: usize = 64;
const PI: usize = 0;
const MU: usize = 1;
const SIGMA: usize = 2;
const X: usize = 3;
const WEIGHT: usize = 4;
const RESP: usize = 5;
const SCORE: usize = 6;
const OBJECTIVE: usize = 7;
const CONSTANT: usize = 8;
const PRIOR: usize = 9;
const SETTINGS: usize = 10;
const FLOORS: usize = 11;
const FAILURES: usize = 12;
const STATS: usize = 13;
const CENTRE: usize = 14;
const SCALE: usize = 15;
const TABLE: usize = 16;
const SHARED: usize = 17;

fn id(i: usize) -> BufId {
    BufId::from_index(i)
}

impl Mixture {
    fn gaussian(&self) -> bool {
        !matches!(self.kind, Kind::Poisson | Kind::Bernoulli)
    }

    pub fn lowered(&self) -> Lowered {
        let (k, d) = (self.k, self.d);
        let s = match self.kind {
            Kind::Full => k * d * d,
            Kind::Tied => d * d,
            Kind::Diagonal => k * d,
            Kind::Spherical => k,
            _ => 0,
        };
        let table = [
            ("pi", BufKind::Param, k),
            ("mu", BufKind::Param, k * d),
            ("sigma", BufKind::Param, s),
            ("x", BufKind::Column, d),
            ("weight", BufKind::Column, 1),
            ("resp", BufKind::Out, k),
            ("score", BufKind::Out, 1),
            ("objective", BufKind::Stat, 1),
            ("constant", BufKind::Stat, 1),
            ("prior", BufKind::Table, 1),
            ("settings", BufKind::Input, 2),
            ("floors", BufKind::Table, 1),
            ("failures", BufKind::Table, 1),
            ("stats", BufKind::Stat, k * (1 + d + d * d)),
            ("centre", BufKind::Input, d),
            ("scale", BufKind::Input, d),
            ("table", BufKind::Table, k * (1 + d + d * d)),
            ("shared", BufKind::Table, 1),
        ];
        let buffers = table
            .iter()
            .map(|(n, kind, len)| Buffer {
                name: (*n).into(),
                kind: *kind,
                len: *len,
                init: vec![],
            })
            .collect();
        let writes = |bufs: &[usize]| {
            let flat = |b: &usize| Flat {
                buf: id(*b),
                at: Index::default(),
            };
            bufs.iter().map(|b| Stmt::Accum(flat(b), Reg(0))).collect::<Vec<_>>()
        };
        let func = |name: &str, kind, bufs: &[usize]| Func {
            name: name.into(),
            kind,
            body: writes(bufs),
            regs: 1,
            loops: 0,
            ixs: 0,
        };
        let program = Program {
            name: "mixture".into(),
            block: BLOCK,
            buffers,
            funcs: vec![
                func("prepare", FuncKind::Once, &[]),
                func("sweep", FuncKind::Block, &[OBJECTIVE, STATS]),
                func("sweep_w", FuncKind::Block, &[OBJECTIVE, STATS]),
                func("seed", FuncKind::Block, &[STATS]),
                func("seed_w", FuncKind::Block, &[STATS]),
                func("update", FuncKind::Once, &[]),
                func("score", FuncKind::Block, &[]),
            ],
        };
        let param = |sym: u32, name: &str, buf, shape: Vec<usize>, family, support, free| ParamSlot {
            sym: SymId(sym),
            name: name.into(),
            buf: id(buf),
            shape,
            family,
            support,
            free,
        };
        let mut params = vec![param(0, "pi", PI, vec![k], 0, Support::Simplex, k - 1)];
        params.push(match self.kind {
            Kind::Poisson => param(1, "lambda", MU, vec![k], 1, Support::Positive, k),
            Kind::Bernoulli => param(1, "p", MU, vec![k, d], 1, Support::Unit, k * d),
            _ => param(1, "mu", MU, vec![k, d], 1, Support::Real, k * d),
        });
        match self.kind {
            Kind::Full => {
                params.push(param(
                    2,
                    "Sigma",
                    SIGMA,
                    vec![k, d, d],
                    1,
                    Support::Cov,
                    k * d * (d + 1) / 2,
                ));
            }
            Kind::Tied => params.push(param(2, "Sigma", SIGMA, vec![d, d], 0, Support::Cov, d * (d + 1) / 2)),
            Kind::Diagonal => params.push(param(2, "s", SIGMA, vec![k, d], 1, Support::Positive, k * d)),
            Kind::Spherical => params.push(param(2, "s", SIGMA, vec![k], 1, Support::Positive, k)),
            _ => {}
        }
        let gaussian = self.gaussian();
        Lowered {
            program,
            params,
            columns: vec![ColumnSlot {
                sym: SymId(3),
                name: "x".into(),
                buf: id(X),
                cols: d,
                centre: gaussian.then(|| id(CENTRE)),
                scale: gaussian.then(|| id(SCALE)),
                categories: None,
                missing: MissingCells::Refused,
                made: false,
            }],
            consts: vec![],
            weight: id(WEIGHT),
            chains: vec![],
            gaussian_chain: None,
            mean_field: None,
            bound: None,
            latents: vec![LatentSlot {
                sym: SymId(4),
                name: "z".into(),
                marginal: id(RESP),
                size: k,
                first: 1,
                observed: false,
            }],
            rotations: vec![],
            labels: vec![],
            starts: vec![],
            spreads: vec![],
            moments: vec![],
            imputed: vec![],
            row_score: id(SCORE),
            objective: id(OBJECTIVE),
            constant: id(CONSTANT),
            log_prior: id(PRIOR),
            log_shared: id(SHARED),
            groups: vec![],
            settings: id(SETTINGS),
            floors: id(FLOORS),
            failures: id(FAILURES),
            ascent: vec![],
            alpha: None,
            iterated: false,
            penalised: false,
        }
    }

    /// Mean, log weight and covariance of a component.
    fn covariance(&self, s: &[f64], c: usize) -> Vec<f64> {
        let d = self.d;
        let mut out = vec![0.0; d * d];
        for i in 0..d {
            match self.kind {
                Kind::Full => (0..d).for_each(|j| out[i * d + j] = s[(c * d + i) * d + j]),
                Kind::Tied => (0..d).for_each(|j| out[i * d + j] = s[i * d + j]),
                Kind::Diagonal => out[i * d + i] = s[c * d + i],
                _ => out[i * d + i] = s[c],
            }
        }
        out
    }

    /// log π and log density of one row under a component, from the table of `prepare`.
    fn log_density(&self, table: &[f64], mu: &[f64], x: &[f64], c: usize) -> f64 {
        let d = self.d;
        let t = &table[c * (1 + d + d * d)..];
        let mut out = t[0];
        match self.kind {
            Kind::Poisson => out += x[0] * mu[c].ln() - mu[c] - (2..=x[0] as u64).map(|i| (i as f64).ln()).sum::<f64>(),
            Kind::Bernoulli => out += (0..d).map(|j| x[j] * t[1 + j]).sum::<f64>(),
            _ => {
                let l = &t[1 + d..];
                let mut y = [0.0; 16];
                for i in 0..d {
                    let mut v = x[i] - t[1 + i];
                    (0..i).for_each(|j| v -= l[i * d + j] * y[j]);
                    y[i] = v / l[i * d + i];
                    out -= 0.5 * y[i] * y[i];
                }
            }
        }
        out
    }

    fn prepare(&self, f: &mut Frame<'_>) {
        let (k, d) = (self.k, self.d);
        let (pi, mu) = (f.slots[PI].get().to_vec(), f.slots[MU].get().to_vec());
        let (s, centre) = (f.slots[SIGMA].get().to_vec(), f.slots[CENTRE].get().to_vec());
        let mut out = vec![0.0; k * (1 + d + d * d)];
        for c in 0..k {
            let t = &mut out[c * (1 + d + d * d)..(c + 1) * (1 + d + d * d)];
            t[0] = pi[c].ln();
            if self.kind == Kind::Bernoulli {
                for j in 0..d {
                    let p = mu[c * d + j].clamp(1e-12, 1.0 - 1e-12);
                    t[0] += (1.0 - p).ln();
                    t[1 + j] = p.ln() - (1.0 - p).ln();
                }
            } else if self.gaussian() {
                let a = self.covariance(&s, c);
                for i in 0..d {
                    t[1 + i] = mu[c * d + i] - centre[i];
                    for j in 0..=i {
                        let dot: f64 = (0..j).map(|q| t[1 + d + i * d + q] * t[1 + d + j * d + q]).sum();
                        let v = a[i * d + j] - dot;
                        t[1 + d + i * d + j] = if i == j {
                            v.max(1e-300).sqrt()
                        } else {
                            v / t[1 + d + j * d + j]
                        };
                    }
                    t[0] -= t[1 + d + i * d + i].ln() + 0.5 * (2.0 * std::f64::consts::PI).ln();
                }
            }
        }
        write(f, TABLE, &out);
    }

    fn pass(&self, f: &mut Frame<'_>, blocks: Range<usize>, name: &str) {
        let (k, d) = (self.k, self.d);
        let (mu, table) = (f.slots[MU].get().to_vec(), f.slots[TABLE].get().to_vec());
        let (x, w) = (f.slots[X].get(), f.slots[WEIGHT].get());
        let width = 1 + d + d * d;
        let mut stats = vec![0.0; k * width];
        let mut objective = 0.0;
        let mut resp = vec![0.0; blocks.len() * BLOCK * k];
        let mut score = vec![0.0; blocks.len() * BLOCK];
        let first = f.first_block;
        let mut row_x = vec![0.0; d];
        let mut r = vec![0.0; k];
        for b in blocks.clone() {
            for i in 0..BLOCK {
                (0..d).for_each(|j| row_x[j] = x[(b * d + j) * BLOCK + i]);
                let weight = w[b * BLOCK + i];
                let at = |c: usize, from: usize| ((b - from) * k + c) * BLOCK + i;
                if name.starts_with("seed") {
                    (0..k).for_each(|c| r[c] = f.slots[RESP].get()[at(c, first)]);
                } else {
                    (0..k).for_each(|c| r[c] = self.log_density(&table, &mu, &row_x, c));
                    let top = r.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = r.iter().map(|v| (v - top).exp()).sum();
                    let lse = top + sum.ln();
                    r.iter_mut().for_each(|v| *v = (*v - lse).exp());
                    objective += weight * lse;
                    score[(b - blocks.start) * BLOCK + i] = lse;
                    (0..k).for_each(|c| resp[at(c, blocks.start)] = r[c]);
                }
                for c in 0..k {
                    let v = r[c] * weight;
                    let t = &mut stats[c * width..(c + 1) * width];
                    t[0] += v;
                    for j in 0..d {
                        t[1 + j] += v * row_x[j];
                        if self.gaussian() {
                            (0..d).for_each(|q| t[1 + d + j * d + q] += v * row_x[j] * row_x[q]);
                        }
                    }
                }
            }
        }
        if name == "score" {
            let offset = blocks.start - first;
            write_at(f, RESP, &resp, offset * BLOCK * k);
            write_at(f, SCORE, &score, offset * BLOCK);
            return;
        }
        add(f, STATS, &stats);
        if !name.starts_with("seed") {
            add(f, OBJECTIVE, &[objective]);
        }
    }

    fn update(&self, f: &mut Frame<'_>) {
        let (k, d) = (self.k, self.d);
        let width = 1 + d + d * d;
        let (stats, set) = (f.slots[STATS].get().to_vec(), f.slots[SETTINGS].get().to_vec());
        let (centre, scale) = (f.slots[CENTRE].get().to_vec(), f.slots[SCALE].get().to_vec());
        let (mut pi, mut mu) = (vec![0.0; k], vec![0.0; k * d]);
        let mut s = vec![0.0; f.slots[SIGMA].get().len()];
        let mut floors = 0.0;
        for c in 0..k {
            let t = &stats[c * width..(c + 1) * width];
            pi[c] = t[0] / set[1];
            let shift = |j: usize| if self.gaussian() { centre[j] } else { 0.0 };
            (0..d).for_each(|j| mu[c * d + j] = t[1 + j] / t[0].max(1e-300) + shift(j) + self.error);
            for i in 0..d {
                for j in 0..d {
                    if !self.gaussian() {
                        continue;
                    }
                    let scatter = t[1 + d + i * d + j] - t[1 + i] * t[1 + j] / t[0].max(1e-300);
                    match self.kind {
                        Kind::Full => s[(c * d + i) * d + j] = scatter / t[0].max(1e-300),
                        Kind::Tied => s[i * d + j] += scatter / set[1],
                        Kind::Diagonal if i == j => s[c * d + i] = scatter / t[0].max(1e-300),
                        Kind::Spherical if i == j => s[c] += scatter / t[0].max(1e-300) / d as f64,
                        _ => {}
                    }
                }
            }
            for (i, scale) in scale.iter().enumerate() {
                let (at, low) = match self.kind {
                    Kind::Full => ((c * d + i) * d + i, set[0] * scale),
                    Kind::Diagonal => (c * d + i, set[0] * scale),
                    Kind::Spherical => (c, set[0] * scale),
                    _ => continue,
                };
                if s[at] < low {
                    s[at] = low;
                    floors += 1.0;
                }
            }
            if self.kind == Kind::Full && !definite(&s[c * d * d..(c + 1) * d * d], &scale, set[0]) {
                (0..d).for_each(|i| s[(c * d + i) * d + i] += set[0] * scale[i]);
                floors += 1.0;
            }
        }
        write(f, PI, &pi);
        write(f, MU, &mu);
        write(f, SIGMA, &s);
        write(f, FLOORS, &[floors]);
    }

    /// The data of CSV columns.
    pub fn data(&self, file: &str, columns: &[&str]) -> Dataset {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../data")
            .join(file);
        let table = lvmc_runtime::data::read(&path).expect("the data file");
        let xs: Vec<Vec<f64>> = columns
            .iter()
            .map(|c| {
                table.columns[table.find(c, "").expect(c)]
                    .as_numbers()
                    .expect(c)
                    .iter()
                    .collect()
            })
            .collect();
        let n = table.rows;
        let moments = Moments {
            centre: xs
                .iter()
                .map(|x| {
                    if self.gaussian() {
                        x.iter().sum::<f64>() / n as f64
                    } else {
                        0.0
                    }
                })
                .collect(),
            scale: xs
                .iter()
                .map(|x| {
                    let m = x.iter().sum::<f64>() / n as f64;
                    x.iter().map(|v| (v - m).powi(2)).sum::<f64>() / n as f64
                })
                .collect(),
        };
        let layout = RowLayout { rows: n, block: BLOCK };
        let x = layout.fill(self.d, Padding::LastRow, |r, c| xs[c][r] - moments.centre[c]);
        let w = layout.fill(1, Padding::Zero, |_, _| 1.0);
        let columns: HashMap<BufId, Arc<AlignedVec>> = [(id(X), Arc::new(x)), (id(WEIGHT), Arc::new(w))].into();
        Dataset {
            rows: n,
            block: BLOCK,
            columns,
            weight: id(WEIGHT),
            weight_sum: n as f64,
            weighted: false,
            moments: [("x".to_string(), moments)].into(),
            missing: HashMap::new(),
            order: lvmc_runtime::sequences::Order::plain(n),
        }
    }
}

/// S − floor · diag(scale) has a Cholesky factorisation.
fn definite(s: &[f64], scale: &[f64], floor: f64) -> bool {
    let d = scale.len();
    let mut l = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let own = s[i * d + j] - if i == j { floor * scale[i] } else { 0.0 };
            let v = own - (0..j).map(|q| l[i * d + q] * l[j * d + q]).sum::<f64>();
            if i == j && v.is_nan() | (v <= 0.0) {
                return false;
            }
            l[i * d + j] = if i == j { v.sqrt() } else { v / l[j * d + j] };
        }
    }
    true
}

fn write(f: &mut Frame<'_>, b: usize, v: &[f64]) {
    write_at(f, b, v, 0);
}

fn write_at(f: &mut Frame<'_>, b: usize, v: &[f64], at: usize) {
    if let Slot::Write(s) = &mut f.slots[b] {
        s[at..at + v.len()].copy_from_slice(v);
    }
}

fn add(f: &mut Frame<'_>, b: usize, v: &[f64]) {
    if let Slot::Write(s) = &mut f.slots[b] {
        s.iter_mut().zip(v).for_each(|(s, v)| *s += v);
    }
}

impl Machine for Mixture {
    fn run(&self, func: usize, frame: &mut Frame<'_>, blocks: Range<usize>) {
        match func {
            0 => self.prepare(frame),
            1 | 2 => self.pass(frame, blocks, "sweep"),
            3 | 4 => self.pass(frame, blocks, "seed"),
            5 => self.update(frame),
            _ => self.pass(frame, blocks, "score"),
        }
    }
}
