//! Scans along the rows: what a sweep over blocks of independent rows cannot do.
//!
//! Forward–backward over the finite states of a chain (`lvmc_derive::chain` has the statement). A block function writes
//! the rows' log potentials; the scan turns them into posteriors, in place, and adds up those of pairs of neighbours. Two
//! ways: [`scaled`], with messages that sum to their scale, for one table of transitions; [`logs`], in log space, for
//! transitions that differ from row to row, for states of several rows, and where scaled messages would lose what
//! becomes likely again.
//!
//! The result does not depend on the number of threads.

pub mod gaussian;
mod logs;
pub mod path;
mod patterns;
mod scaled;
pub mod structured;

pub use gaussian::{LinearGaussian, Offset, Part, Statement};
pub use structured::{MeanField, SeenPart, Weighted};

use crate::ir::BufId;
use crate::memory::Memory;
use std::ops::Range;

/// A forward–backward scan.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardBackward {
    /// Number of states.
    pub states: usize,
    /// (state of the row before, state of the row) of every transition, in the order of the tables.
    pub edges: Vec<(usize, usize)>,
    /// `Out`, a column per state: log potentials of the rows; afterwards the posterior of the state.
    pub rows: BufId,
    /// `Out`, a column per transition, where their potentials differ from row to row: as `rows`.
    pub pairs: Option<BufId>,
    /// `Table`: log potentials of the first row's state.
    pub initial: BufId,
    /// `Table`s: log potentials of the transitions into position 1, 2, …; the last into all later ones too.
    pub tables: Vec<BufId>,
    /// `Input`, `[tables][edges]`: posterior sums of the transitions, written by the scan.
    pub counts: BufId,
    /// `Out`: log-likelihoods of the rows; the scan adds each row's, given the rows before.
    pub row_score: BufId,
}

impl ForwardBackward {
    /// All transitions exist, in the order of a matrix.
    fn dense(&self) -> bool {
        let n = self.states;
        let whole = self.edges.iter().enumerate().all(|(e, &(i, j))| e == i * n + j);
        whole && self.edges.len() == n * n
    }

    /// The table of the transition into a position, from 1.
    fn table_of(&self, position: usize) -> usize {
        position.min(self.tables.len()) - 1
    }
}

/// Where sequences begin; the last number is the number of rows.
pub type Starts = [usize];

/// The rows of every sequence.
fn sequences(starts: &Starts) -> impl Iterator<Item = Range<usize>> + '_ {
    starts.windows(2).map(|w| w[0]..w[1])
}

/// What a scan is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Posteriors and counts.
    Fit,
    /// The rows' log-likelihoods besides.
    Score,
    /// As `Fit`, with every transition as likely as any other: the rows are independent.
    Independent,
}

/// Memory of scans that is kept from one to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    scaled: scaled::Scratch,
}

/// Runs the scan; returns Σ weight · log p(sequence). `weights` has one number per sequence.
///
/// # Panics
/// Where buffers that the scan names are not present.
pub fn run(
    fb: &ForwardBackward,
    memory: &mut Memory,
    starts: &Starts,
    weights: &[f64],
    scan: Scan,
    scratch: &mut Scratch,
    threads: usize,
) -> f64 {
    let tables = tables(fb, memory, scan);
    let found = if fb.pairs.is_none() && fb.dense() && fb.states <= lvmc_kernels::chain::MOST_STATES {
        scaled::run(fb, memory, &tables, starts, weights, scan, &mut scratch.scaled, threads)
    } else {
        None
    };
    found.unwrap_or_else(|| logs::run(fb, memory, &tables, starts, weights, scan, threads))
}

/// Subtracts from every row Σ q · part, of a part (its buffer and columns) of the log potentials that others count too; q is
/// what the scan has made of them.
///
/// # Panics
/// Where a buffer is not present.
pub fn take_early((part, cols, q): (BufId, usize, BufId), memory: &Memory, rows: &mut [f64]) {
    let layout = memory.layout();
    let (part, q) = (
        memory.rows(part).unwrap_or_default(),
        memory.rows(q).unwrap_or_default(),
    );
    for (row, to) in rows.iter_mut().enumerate() {
        for c in 0..cols {
            let at = layout.at(cols, row, c);
            if q[at] > 0.0 {
                *to -= q[at] * part[at];
            }
        }
    }
}

/// Log potentials of the first state and of the transitions.
struct Tables {
    initial: Vec<f64>,
    steps: Vec<Vec<f64>>,
}

fn tables(fb: &ForwardBackward, memory: &Memory, scan: Scan) -> Tables {
    let read = |buf: BufId| -> Vec<f64> {
        let values = memory.flat(buf).iter();
        if scan == Scan::Independent {
            // a state that cannot be first, for want of rows before, still cannot
            return values.map(|_| 0.0).collect();
        }
        values.copied().collect()
    };
    Tables {
        initial: read(fb.initial),
        steps: fb.tables.iter().map(|&t| read(t)).collect(),
    }
}
