//! Forward–backward with scaled messages (Rabiner 1989, section V.A), one table of transitions for all rows.
//!
//! The forward and the backward recursion need nothing of each other and run side by side; what combines them is cut into
//! pieces of a fixed length. A state that underflows comes back through transitions of positive probability; where some
//! have none and a row was nearly impossible, the scan gives up, and the caller takes logs.

use super::{ForwardBackward, Scan, Starts, Tables, sequences};
use crate::memory::Memory;
use lvmc_kernels::denormals::FlushDenormals;
use lvmc_kernels::{chain, pool};
use std::ops::Range;
use std::sync::Mutex;

/// Transitions below this cannot bring a lost state back.
const LOST: f64 = 1e-30;
/// Rows less likely than this, given those before, may need what was lost.
const UNLIKELY: f64 = 1e-12;
/// Rows that are combined together: they stay in the first cache.
const ROWS: usize = 256;
/// Pieces that the threads share.
const PIECES: usize = 16;

/// Row-major messages.
#[derive(Debug, Default)]
pub struct Scratch {
    /// exp(potential − top).
    b: Vec<f64>,
    u: Vec<f64>,
    v: Vec<f64>,
    top: Vec<f64>,
    /// Σ u_t; one before the first row.
    scale: Vec<f64>,
}

/// A table's exponentials, padded; its transpose; the logarithm that was taken out.
struct Matrix {
    a: Vec<f64>,
    transposed: Vec<f64>,
    top: f64,
    least: f64,
}

impl Matrix {
    fn new(log: &[f64], n: usize) -> Self {
        let p = chain::padded(n);
        let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let top = if top.is_finite() { top } else { 0.0 };
        let (mut a, mut transposed) = (vec![0.0; n * p], vec![0.0; n * p]);
        for (e, &l) in log.iter().enumerate() {
            let (i, j) = (e / n, e % n);
            let x = (l - top).exp();
            a[i * p + j] = x;
            transposed[j * p + i] = x;
        }
        let least = log.iter().map(|l| (l - top).exp()).fold(f64::INFINITY, f64::min);
        Self {
            a,
            transposed,
            top,
            least,
        }
    }
}

/// See the module; `None` where logs are needed.
pub fn run(
    fb: &ForwardBackward,
    memory: &mut Memory,
    tables: &Tables,
    starts: &Starts,
    weights: &[f64],
    scan: Scan,
    scratch: &mut Scratch,
    threads: usize,
) -> Option<f64> {
    let n = fb.states;
    let matrices: Vec<Matrix> = tables.steps.iter().map(|t| Matrix::new(t, n)).collect();
    let first_top = tables.initial.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let first_top = if first_top.is_finite() { first_top } else { 0.0 };
    let first: Vec<f64> = tables.initial.iter().map(|l| (l - first_top).exp()).collect();
    let layout = memory.layout();
    let rows = layout.rows;
    scratch.resize(layout.blocks() * layout.block, chain::padded(n));
    load(fb, memory, scratch, threads);
    messages(n, &matrices, &first, starts, scratch, threads);
    let risky = matrices.iter().any(|m| m.least < LOST);
    if risky && scratch.scale[1..=rows].iter().any(|&c| c < UNLIKELY) {
        return None;
    }
    let log_rows = log_likelihoods(&matrices, first_top, starts, scratch);
    let counts = combine(fb, memory, &matrices, starts, weights, scratch, threads);
    memory.flat_mut(fb.counts).copy_from_slice(&counts);
    if scan == Scan::Score {
        let at = |row| layout.at(1, row, 0);
        let out = memory.want(fb.row_score);
        log_rows.iter().enumerate().for_each(|(row, l)| out[at(row)] += l);
    }
    let each = sequences(starts).map(|s| log_rows[s].iter().sum::<f64>());
    Some(
        each.zip(weights)
            .map(|(l, w)| if *w == 0.0 { 0.0 } else { w * l })
            .sum(),
    )
}

impl Scratch {
    fn resize(&mut self, rows: usize, p: usize) {
        for v in [&mut self.b, &mut self.u, &mut self.v] {
            v.resize(rows * p, 0.0);
        }
        self.top.resize(rows, 0.0);
        self.scale.resize(rows + 1, 0.0);
    }
}

/// Shares tasks among threads.
fn each<T: Send>(tasks: Vec<T>, threads: usize, work: &(dyn Fn(T) + Sync)) {
    let threads = threads.min(tasks.len());
    let queue = Mutex::new(tasks.into_iter());
    let next = || queue.lock().ok().and_then(|mut q| q.next());
    pool::run(threads, &|_| {
        let _flushed = FlushDenormals::new();
        while let Some(task) = next() {
            work(task);
        }
    });
}

fn load(fb: &ForwardBackward, memory: &mut Memory, scratch: &mut Scratch, threads: usize) {
    let layout = memory.layout();
    let (n, block) = (fb.states, layout.block);
    let p = chain::padded(n);
    let piece = layout.blocks().div_ceil(PIECES).max(1) * block;
    let table: &[f64] = memory.want(fb.rows);
    let tasks = table.chunks(piece * n).zip(scratch.b.chunks_mut(piece * p));
    let tasks: Vec<_> = tasks.zip(scratch.top.chunks_mut(piece)).collect();
    each(tasks, threads, &|((table, b), top)| {
        let blocks = table.chunks(block * n).zip(b.chunks_mut(block * p));
        for ((table, b), top) in blocks.zip(top.chunks_mut(block)) {
            chain::load(table, n, block, b, top);
        }
    });
}

/// Both recursions.
fn messages(n: usize, matrices: &[Matrix], first: &[f64], starts: &Starts, scratch: &mut Scratch, threads: usize) {
    let p = chain::padded(n);
    let Scratch { b, u, v, scale, .. } = scratch;
    let b: &[f64] = b;
    let forward = Mutex::new(|| {
        for s in sequences(starts) {
            for k in 0..n {
                u[s.start * p + k] = first[k] * b[s.start * p + k];
            }
            scale[s.start + 1] = u[s.start * p..s.start * p + n].iter().sum();
            for (m, to) in runs(matrices, &s) {
                let from = to.start - 1;
                chain::forward(
                    &m.a,
                    n,
                    &b[to.start * p..to.end * p],
                    &mut u[from * p..to.end * p],
                    &mut scale[from + 1..=to.end],
                );
            }
        }
    });
    let backward = Mutex::new(|| {
        for s in sequences(starts) {
            let last = (s.end - 1) * p;
            v[last..last + n].fill(1.0);
            let all: Vec<_> = runs(matrices, &s).collect();
            for (m, to) in all.into_iter().rev() {
                let here = (to.start - 1) * p..to.end * p;
                chain::backward(&m.transposed, n, &b[here.clone()], &mut v[here]);
            }
        }
    });
    pool::run(threads.min(2), &|index| {
        let _flushed = FlushDenormals::new();
        // each is taken once: by its own thread, or one after the other by one
        let both = threads < 2;
        if (index == 0 || both)
            && let Ok(mut f) = forward.lock()
        {
            f();
        }
        if (index == 1 || both)
            && let Ok(mut f) = backward.lock()
        {
            f();
        }
    });
}

/// The rows of a sequence after its first, by the table of the transition into them.
fn runs<'m>(matrices: &'m [Matrix], s: &Range<usize>) -> impl Iterator<Item = (&'m Matrix, Range<usize>)> {
    let (start, end, last) = (s.start, s.end, matrices.len());
    matrices.iter().enumerate().filter_map(move |(i, m)| {
        let from = start + 1 + i;
        let to = if i + 1 == last { end } else { (from + 1).min(end) };
        (from < to).then_some((m, from..to))
    })
}

/// log p(row | rows before).
fn log_likelihoods(matrices: &[Matrix], first_top: f64, starts: &Starts, scratch: &Scratch) -> Vec<f64> {
    let rows = starts.last().copied().unwrap_or(0);
    let mut out: Vec<f64> = (0..rows).map(|t| scratch.scale[t + 1].ln() + scratch.top[t]).collect();
    for s in sequences(starts) {
        out[s.start] += first_top;
        for (m, to) in runs(matrices, &s) {
            out[to].iter_mut().for_each(|l| *l += m.top);
        }
    }
    out
}

/// Posteriors of the states into the rows' buffer, sums of those of pairs.
fn combine(
    fb: &ForwardBackward,
    memory: &mut Memory,
    matrices: &[Matrix],
    starts: &Starts,
    weights: &[f64],
    scratch: &mut Scratch,
    threads: usize,
) -> Vec<f64> {
    let layout = memory.layout();
    let (n, block) = (fb.states, layout.block);
    let p = chain::padded(n);
    let piece = layout.blocks().div_ceil(PIECES).max(1) * block;
    let Scratch { b, u, v, scale, .. } = scratch;
    let (b, u, scale): (&[f64], &[f64], &[f64]) = (b, u, scale);
    let table: &mut [f64] = memory.want(fb.rows);
    let mut sums = vec![vec![0.0; matrices.len() * n * p]; PIECES];
    let tasks = table.chunks_mut(piece * n).zip(v.chunks_mut(piece * p)).zip(&mut sums);
    let tasks: Vec<_> = tasks.enumerate().collect();
    each(tasks, threads, &|(i, ((table, v), sums))| {
        let mut e = vec![0.0; ROWS * p];
        let all = i * piece..(i * piece + v.len() / p).min(layout.rows);
        let from = starts.partition_point(|&s| s <= all.start).saturating_sub(1);
        for (s, &weight) in sequences(&starts[from..]).zip(&weights[from..]) {
            if s.start >= all.end {
                break;
            }
            let mut at = s.start.max(all.start);
            let end = s.end.min(all.end);
            while at < end {
                let part = at..(at + ROWS).min(end);
                let own = (part.start - all.start) * p..(part.end - all.start) * p;
                let here = part.start * p..part.end * p;
                let e = &mut e[..part.len() * p];
                let before = &scale[part.clone()];
                chain::posterior(&u[here.clone()], &mut v[own], &b[here], before, n, e);
                if weight != 1.0 {
                    e.iter_mut().for_each(|x| *x *= weight);
                }
                for (m, (_, to)) in runs(matrices, &s).enumerate() {
                    let (x, y) = (to.start.max(part.start), to.end.min(part.end));
                    if x < y {
                        let e = &e[(x - part.start) * p..(y - part.start) * p];
                        chain::counts(
                            &u[(x - 1) * p..(y - 1) * p],
                            e,
                            n,
                            &mut sums[m * n * p..(m + 1) * n * p],
                        );
                    }
                }
                at = part.end;
            }
        }
        unload(v, table, n, p, block, all.len());
    });
    let mut counts = vec![0.0; matrices.len() * n * n];
    for piece in &sums {
        for (m, matrix) in matrices.iter().enumerate() {
            for e in 0..n * n {
                let at = e / n * p + e % n;
                counts[m * n * n + e] += piece[m * n * p + at] * matrix.a[at];
            }
        }
    }
    counts
}

/// Row-major posteriors to blocks of columns; padding repeats the last row.
fn unload(v: &[f64], table: &mut [f64], n: usize, p: usize, block: usize, rows: usize) {
    for (i, columns) in table.chunks_mut(block * n).enumerate() {
        for r in 0..block {
            let row = (i * block + r).min(rows.saturating_sub(1));
            for k in 0..n {
                columns[k * block + r] = v[row * p + k];
            }
        }
    }
}
