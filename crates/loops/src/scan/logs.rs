//! Forward–backward in log space, transition by transition: slower, for any tables, and nothing underflows.

use super::{ForwardBackward, Scan, Starts, Tables, sequences};
use crate::aligned::RowLayout;
use crate::memory::Memory;
use std::ops::Range;

/// log Σ exp over transitions that end (or begin) in the same state.
struct Sums {
    top: Vec<f64>,
    sum: Vec<f64>,
}

impl Sums {
    fn new(n: usize) -> Self {
        Self {
            top: vec![0.0; n],
            sum: vec![0.0; n],
        }
    }

    /// `out[to] = log Σ exp(value)` over all (to, value).
    fn add_up(&mut self, terms: &[(usize, f64)], out: &mut [f64]) {
        self.top.fill(f64::NEG_INFINITY);
        self.sum.fill(0.0);
        for &(to, x) in terms {
            self.top[to] = self.top[to].max(x);
        }
        for &(to, x) in terms {
            if x > f64::NEG_INFINITY {
                self.sum[to] += (x - self.top[to]).exp();
            }
        }
        for ((o, s), t) in out.iter_mut().zip(&self.sum).zip(&self.top) {
            *o = if *s > 0.0 { t + s.ln() } else { f64::NEG_INFINITY };
        }
    }
}

pub(super) fn log_sum(xs: &[f64]) -> f64 {
    let top = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + xs.iter().map(|x| (x - top).exp()).sum::<f64>().ln()
}

/// One sequence's messages.
pub(super) struct Messages<'a> {
    pub(super) fb: &'a ForwardBackward,
    pub(super) tables: &'a Tables,
    layout: RowLayout,
    rows: &'a [f64],
    pairs: Option<&'a [f64]>,
    independent: bool,
}

impl<'a> Messages<'a> {
    pub(super) fn new(fb: &'a ForwardBackward, memory: &'a Memory, tables: &'a Tables, independent: bool) -> Self {
        Self {
            fb,
            tables,
            layout: memory.layout(),
            rows: memory.rows(fb.rows).unwrap_or_default(),
            pairs: fb.pairs.and_then(|p| memory.rows(p)),
            independent,
        }
    }

    pub(super) fn potential(&self, row: usize, state: usize) -> f64 {
        self.rows[self.layout.at(self.fb.states, row, state)]
    }

    /// Log potential of a transition into a row at a position.
    pub(super) fn step(&self, row: usize, position: usize, edge: usize) -> f64 {
        let own = self.tables.steps[self.fb.table_of(position)][edge];
        match self.pairs {
            Some(pairs) if !self.independent => own + pairs[self.layout.at(self.fb.edges.len(), row, edge)],
            _ => own,
        }
    }

    /// α of every row, normalised, and log p(row | rows before).
    pub(super) fn forward(&self, s: &Range<usize>) -> (Vec<f64>, Vec<f64>) {
        let n = self.fb.states;
        let mut alpha = vec![f64::NEG_INFINITY; s.len() * n];
        let mut logs = vec![0.0; s.len()];
        let mut sums = Sums::new(n);
        let mut terms = Vec::with_capacity(self.fb.edges.len());
        for (position, row) in s.clone().enumerate() {
            let (before, here) = alpha.split_at_mut(position * n);
            let here = &mut here[..n];
            if position == 0 {
                here.copy_from_slice(&self.tables.initial);
            } else {
                let before = &before[(position - 1) * n..];
                terms.clear();
                for (e, &(i, j)) in self.fb.edges.iter().enumerate() {
                    terms.push((j, before[i] + self.step(row, position, e)));
                }
                sums.add_up(&terms, here);
            }
            for (k, x) in here.iter_mut().enumerate() {
                *x += self.potential(row, k);
            }
            logs[position] = log_sum(here);
            if logs[position] > f64::NEG_INFINITY {
                here.iter_mut().for_each(|x| *x -= logs[position]);
            }
        }
        (alpha, logs)
    }

    /// β of every row, each up to a factor.
    fn backward(&self, s: &Range<usize>) -> Vec<f64> {
        let n = self.fb.states;
        let mut beta = vec![0.0; s.len() * n];
        let mut sums = Sums::new(n);
        let mut terms = Vec::with_capacity(self.fb.edges.len());
        for position in (1..s.len()).rev() {
            let row = s.start + position;
            let (before, here) = beta.split_at_mut(position * n);
            let joint: Vec<f64> = (0..n).map(|k| here[k] + self.potential(row, k)).collect();
            terms.clear();
            for (e, &(i, j)) in self.fb.edges.iter().enumerate() {
                terms.push((i, joint[j] + self.step(row, position, e)));
            }
            let to = &mut before[(position - 1) * n..];
            sums.add_up(&terms, to);
            let top = log_sum(to);
            if top.is_finite() {
                to.iter_mut().for_each(|x| *x -= top);
            }
        }
        beta
    }
}

/// What a sequence's scan leaves.
struct Found {
    states: Vec<f64>,
    pairs: Vec<f64>,
    counts: Vec<f64>,
    logs: Vec<f64>,
}

/// See the module.
pub fn run(
    fb: &ForwardBackward,
    memory: &mut Memory,
    tables: &Tables,
    starts: &Starts,
    weights: &[f64],
    scan: Scan,
    threads: usize,
) -> f64 {
    let (layout, n, edges) = (memory.layout(), fb.states, fb.edges.len());
    memory.want(fb.rows);
    if let Some(pairs) = fb.pairs {
        memory.want(pairs);
    }
    let all: Vec<Range<usize>> = sequences(starts).collect();
    let found: Vec<std::sync::OnceLock<Found>> = all.iter().map(|_| std::sync::OnceLock::new()).collect();
    {
        let memory = &*memory;
        let messages = Messages::new(fb, memory, tables, scan == Scan::Independent);
        let next = std::sync::atomic::AtomicUsize::new(0);
        lvmc_kernels::pool::run(threads.min(all.len()), &|_| {
            loop {
                let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(s) = all.get(i) else { break };
                // each index is taken once
                let _ = found[i].set(sequence(&messages, s));
            }
        });
    }
    let mut counts = vec![0.0; fb.tables.len() * edges];
    let mut total = 0.0;
    for ((s, found), &w) in all.iter().zip(found).zip(weights) {
        let Some(found) = found.into_inner() else { continue };
        if w != 0.0 {
            total += w * found.logs.iter().sum::<f64>();
            counts.iter_mut().zip(&found.counts).for_each(|(c, x)| *c += w * x);
        }
        let write = |memory: &mut Memory, buf, cols: usize, values: &[f64], add: bool| {
            let out = memory.want(buf);
            for (position, row) in s.clone().enumerate() {
                for c in 0..cols {
                    let to = &mut out[layout.at(cols, row, c)];
                    let x = values[position * cols + c];
                    *to = if add { *to + x } else { x };
                }
            }
        };
        write(memory, fb.rows, n, &found.states, false);
        if let Some(pairs) = fb.pairs {
            write(memory, pairs, edges, &found.pairs, false);
        }
        if scan == Scan::Score {
            write(memory, fb.row_score, 1, &found.logs, true);
        }
    }
    pad(memory, layout, fb.rows, n);
    if let Some(pairs) = fb.pairs {
        pad(memory, layout, pairs, edges);
    }
    memory.flat_mut(fb.counts).copy_from_slice(&counts);
    total
}

/// The last row's values after it, to the end of its block.
fn pad(memory: &mut Memory, layout: RowLayout, buf: crate::ir::BufId, cols: usize) {
    let out = memory.want(buf);
    for row in layout.rows..layout.blocks() * layout.block {
        for c in 0..cols {
            out[layout.at(cols, row, c)] = out[layout.at(cols, layout.rows - 1, c)];
        }
    }
}

fn sequence(m: &Messages<'_>, s: &Range<usize>) -> Found {
    let (n, edges) = (m.fb.states, &m.fb.edges);
    let (alpha, logs) = m.forward(s);
    let beta = m.backward(s);
    let mut out = Found {
        states: vec![0.0; s.len() * n],
        pairs: vec![0.0; if m.pairs.is_some() { s.len() * edges.len() } else { 0 }],
        counts: vec![0.0; m.fb.tables.len() * edges.len()],
        logs,
    };
    for (position, row) in s.clone().enumerate() {
        let at = position * n..(position + 1) * n;
        let joint: Vec<f64> = alpha[at.clone()]
            .iter()
            .zip(&beta[at.clone()])
            .map(|(a, b)| a + b)
            .collect();
        normalised(&joint, &mut out.states[at]);
        if position == 0 {
            continue;
        }
        let before = &alpha[(position - 1) * n..position * n];
        let joint: Vec<f64> = edges
            .iter()
            .enumerate()
            .map(|(e, &(i, j))| {
                let step = before[i] + m.step(row, position, e);
                step + m.potential(row, j) + beta[position * n + j]
            })
            .collect();
        let mut pair = vec![0.0; edges.len()];
        normalised(&joint, &mut pair);
        let table = m.fb.table_of(position) * edges.len();
        let counts = &mut out.counts[table..table + edges.len()];
        counts.iter_mut().zip(&pair).for_each(|(c, p)| *c += p);
        if m.pairs.is_some() {
            out.pairs[position * edges.len()..(position + 1) * edges.len()].copy_from_slice(&pair);
        }
    }
    out
}

/// exp, summing to 1; zeros where all are −∞.
fn normalised(log: &[f64], out: &mut [f64]) {
    let total = log_sum(log);
    if total > f64::NEG_INFINITY {
        out.iter_mut().zip(log).for_each(|(o, l)| *o = (l - total).exp());
    }
}
