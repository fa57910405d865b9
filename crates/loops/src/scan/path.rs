//! Paths of a chain's states: the most probable one, and draws from their posterior.
//!
//! Viterbi (1967): with δ_t(s) = max over paths to s of the log joint density of the rows up to t,
//! δ_t(s) = φ_t(s) + max_{s′} δ_{t−1}(s′) + φ_t(s′, s); the arguments of the maxima lead back from the best last state.
//! A draw goes back likewise (forward filtering, backward sampling: Carter & Kohn 1994, Frühwirth-Schnatter 1994): s_T from
//! the filter's last α, then s_{t−1} in proportion to α_{t−1}(s′) exp φ_t(s′, s_t).
//!
//! Both read the rows' log potentials as a block function wrote them, before a scan turns them into posteriors, and cost
//! O(rows × transitions).

use super::logs::{Messages, log_sum};
use super::{ForwardBackward, Scan, Starts, Tables, sequences, tables};
use crate::memory::Memory;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A row of a sequence that cannot be.
pub const IMPOSSIBLE: u32 = u32::MAX;

/// What both need.
struct Reader<'a> {
    messages: Messages<'a>,
    /// By state, the transitions into it.
    into: Vec<Vec<usize>>,
}

impl<'a> Reader<'a> {
    fn new(fb: &'a ForwardBackward, memory: &'a Memory, tables: &'a Tables) -> Self {
        let mut into = vec![vec![]; fb.states];
        for (e, &(_, j)) in fb.edges.iter().enumerate() {
            into[j].push(e);
        }
        Self {
            messages: Messages::new(fb, memory, tables, false),
            into,
        }
    }
}

/// The most probable states given all rows, row by row; [`IMPOSSIBLE`] in a sequence of density 0. Of equally probable
/// ones the first.
#[must_use]
pub fn most_probable(fb: &ForwardBackward, memory: &Memory, starts: &Starts, threads: usize) -> Vec<u32> {
    let tables = tables(fb, memory, Scan::Score);
    let reader = Reader::new(fb, memory, &tables);
    each(starts, threads, &|s| {
        // back pointers are most of the memory: as narrow as the states allow
        match fb.states {
            n if n <= 1 << 8 => viterbi::<u8>(&reader, s),
            n if n <= 1 << 16 => viterbi::<u16>(&reader, s),
            _ => viterbi::<u32>(&reader, s),
        }
    })
}

/// Draws of all rows' states from their posterior: `uniform(draw, row)` is a number from [0, 1).
#[must_use]
pub fn draws(
    fb: &ForwardBackward,
    memory: &Memory,
    starts: &Starts,
    count: usize,
    uniform: &dyn Fn(usize, usize) -> f64,
) -> Vec<Vec<u32>> {
    let tables = tables(fb, memory, Scan::Score);
    let reader = Reader::new(fb, memory, &tables);
    let mut out = vec![Vec::new(); count];
    for s in sequences(starts) {
        let (alpha, _) = reader.messages.forward(&s);
        for (draw, out) in out.iter_mut().enumerate() {
            backward(&reader, &s, &alpha, out, &|row| uniform(draw, row));
        }
    }
    out
}

/// Sequences, shared among threads, one after the other in the result.
fn each(starts: &Starts, threads: usize, work: &(dyn Fn(&Range<usize>) -> Vec<u32> + Sync)) -> Vec<u32> {
    let all: Vec<Range<usize>> = sequences(starts).collect();
    let found: Vec<OnceLock<Vec<u32>>> = all.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    lvmc_kernels::pool::run(threads.min(all.len()), &|_| {
        while let Some((i, s)) = {
            let i = next.fetch_add(1, Ordering::Relaxed);
            all.get(i).map(|s| (i, s))
        } {
            // each index is taken once
            let _ = found[i].set(work(s));
        }
    });
    found.into_iter().filter_map(OnceLock::into_inner).flatten().collect()
}

fn viterbi<P: Copy + Default + TryFrom<usize> + Into<u32>>(reader: &Reader<'_>, s: &Range<usize>) -> Vec<u32> {
    let m = &reader.messages;
    let n = m.fb.states;
    let mut from = vec![P::default(); s.len() * n];
    let (mut delta, mut before) = (m.tables.initial.clone(), vec![0.0; n]);
    for (position, row) in s.clone().enumerate() {
        if position > 0 {
            std::mem::swap(&mut delta, &mut before);
            let back = &mut from[position * n..(position + 1) * n];
            for (j, (d, back)) in delta.iter_mut().zip(back).enumerate() {
                *d = f64::NEG_INFINITY;
                for &e in &reader.into[j] {
                    let i = m.fb.edges[e].0;
                    let x = before[i] + m.step(row, position, e);
                    if x > *d {
                        *d = x;
                        *back = P::try_from(i).unwrap_or_default();
                    }
                }
            }
        }
        for (k, d) in delta.iter_mut().enumerate() {
            *d += m.potential(row, k);
        }
    }
    let mut best = (IMPOSSIBLE, f64::NEG_INFINITY);
    for (k, &d) in delta.iter().enumerate() {
        if d > best.1 {
            best = (u32::try_from(k).unwrap_or(IMPOSSIBLE), d);
        }
    }
    let mut out = vec![best.0; s.len()];
    if best.0 != IMPOSSIBLE {
        for position in (1..s.len()).rev() {
            out[position - 1] = from[position * n + out[position] as usize].into();
        }
    }
    out
}

/// Appends a sequence's states, the last one drawn first.
fn backward(reader: &Reader<'_>, s: &Range<usize>, alpha: &[f64], out: &mut Vec<u32>, uniform: &dyn Fn(usize) -> f64) {
    let m = &reader.messages;
    let n = m.fb.states;
    let first = out.len();
    out.resize(first + s.len(), IMPOSSIBLE);
    let mut terms: Vec<(usize, f64)> = Vec::with_capacity(n);
    for (position, row) in s.clone().enumerate().rev() {
        let here = &alpha[position * n..(position + 1) * n];
        terms.clear();
        if position + 1 == s.len() {
            terms.extend(here.iter().copied().enumerate());
        } else {
            let next = out[first + position + 1];
            let Some(into) = reader.into.get(next as usize) else {
                return;
            };
            terms.extend(into.iter().map(|&e| {
                let i = m.fb.edges[e].0;
                (i, here[i] + m.step(row + 1, position + 1, e))
            }));
        }
        out[first + position] = pick(&terms, uniform(row));
    }
}

/// A state in proportion to the exponentials of its log weight.
fn pick(terms: &[(usize, f64)], uniform: f64) -> u32 {
    let logs: Vec<f64> = terms.iter().map(|t| t.1).collect();
    let total = log_sum(&logs);
    if !total.is_finite() {
        return IMPOSSIBLE;
    }
    let mut left = uniform;
    let mut chosen = IMPOSSIBLE;
    for &(state, log) in terms.iter().filter(|t| t.1 > f64::NEG_INFINITY) {
        chosen = u32::try_from(state).unwrap_or(IMPOSSIBLE);
        left -= (log - total).exp();
        if left < 0.0 {
            break;
        }
    }
    chosen
}
