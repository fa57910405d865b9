//! Running a program: the trait of things that can, and the driver that sweeps over blocks with several threads.
//!
//! The result does not depend on the number of threads: the blocks are cut into chunks by their number alone, each chunk
//! is done by one thread from its first block to its last with its own statistics, and these are added in the order of
//! chunks.

use std::ops::Range;
use std::sync::Mutex;
use std::time::Instant;

use crate::aligned::AlignedVec;
use crate::ir::{BufId, BufKind, Program};
use crate::memory::{Chunk, Common, Frame, Memory};
use crate::usage;

/// Something that runs the functions of one program: the interpreter, or compiled code.
pub trait Machine: Sync {
    /// Runs function number `func`; `Block` functions for `blocks`, others once.
    fn run(&self, func: usize, frame: &mut Frame<'_>, blocks: Range<usize>);

    /// Elements of [`Frame::extra`] that function `func` needs.
    fn extra(&self, func: usize) -> usize {
        let _ = func;
        0
    }
}

/// A pass over the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// The `Block` function.
    pub func: usize,
    /// Its form that multiplies by weights; `None` where weights make no difference.
    pub weighted_func: Option<usize>,
    /// The `Chunk` function that folds accumulators into statistics.
    pub finish: Option<usize>,
    /// All rows have weights, so that `weighted_func` serves every block and not just a padded last one.
    pub weighted: bool,
    /// The blocks to visit; `None` for all.
    pub blocks: Option<Range<usize>>,
}

impl Sweep {
    /// The sweep of the functions `name`, `name_w` and `finish`, the last two where the program has them.
    #[must_use]
    pub fn named(program: &Program, name: &str, finish: &str) -> Option<Self> {
        let func = program.func(name)?;
        let weighted_func = program.func(&format!("{name}_w"));
        Some(Self {
            func,
            weighted_func,
            finish: program.func(finish),
            weighted: false,
            blocks: None,
        })
    }

    fn funcs(&self) -> impl Iterator<Item = usize> {
        [Some(self.func), self.weighted_func, self.finish].into_iter().flatten()
    }
}

/// Below this much work, in nanoseconds, waking other threads costs more than they give.
const WORTH_THREADS: f64 = 300_000.0;
/// Copies of statistics together stay below this many numbers (64 MB), unless that left fewer than eight chunks.
const STATS_LIMIT: usize = 8 << 20;

/// Into how many chunks `blocks` blocks are cut, with `stats` numbers of statistics each. Depends on nothing else, so
/// that sums do not depend on the machine.
#[must_use]
pub fn chunk_count(blocks: usize, stats: usize) -> usize {
    let wanted = if blocks < 1024 { 32 } else { 64 };
    let affordable = (STATS_LIMIT / stats.max(1)).max(8);
    wanted.min(affordable).min(blocks)
}

/// Runs a sweep: afterwards the statistics that its functions write hold the sums over its blocks.
///
/// # Panics
/// Where a function needs a row buffer that is not there.
pub fn sweep(machine: &dyn Machine, memory: &mut Memory, what: &Sweep, threads: usize) {
    let program = memory.program().clone();
    let all = what.blocks.clone().unwrap_or(0..memory.layout().blocks());
    let stats = written_stats(&program, what);
    let stats: Vec<_> = memory
        .parts(&[BufKind::Stat])
        .into_iter()
        .filter(|(b, _)| stats.contains(b))
        .collect();
    let chunks = chunk_count(all.len(), stats.iter().map(|s| s.1).sum());
    let ranges: Vec<_> = (0..chunks)
        .map(|c| all.start + all.len() * c / chunks..all.start + all.len() * (c + 1) / chunks)
        .collect();
    let threads = threads.clamp(1, chunks.max(1));
    let extra = what.funcs().map(|f| machine.extra(f)).max().unwrap_or(0);
    memory.reserve(threads, chunks, &stats, extra);
    let masked = memory.layout().padded() && all.end == memory.layout().blocks();
    let known_cost = memory.cost[what.func];
    let (common, chunk_list, workers) = memory.split(&ranges, &stats).into_parts(&program);
    let job = Job {
        machine,
        what,
        common,
        masked_end: masked.then_some(all.end),
    };
    let cost = job.run(chunk_list, &mut workers[..threads], known_cost, all.len());
    // the least seen: what a sweep costs when nobody disturbs it
    memory.cost[what.func] = cost.map(|c| known_cost.map_or(c, |k| c.min(k))).or(known_cost);
    memory.add_up(&stats, chunks);
}

fn written_stats(program: &Program, what: &Sweep) -> Vec<BufId> {
    let mut out: Vec<BufId> = what
        .funcs()
        .flat_map(|f| usage::written(&program.funcs[f].body))
        .collect();
    out.retain(|b| program.buffers[b.index()].kind == BufKind::Stat);
    out
}

/// What the threads of a sweep do together.
struct Job<'a> {
    machine: &'a dyn Machine,
    what: &'a Sweep,
    common: Common<'a>,
    /// End of the blocks, where the last one is padded.
    masked_end: Option<usize>,
}

impl Job<'_> {
    /// Runs all chunks; returns the time per block on the first thread.
    fn run(&self, chunks: Vec<Chunk<'_>>, workers: &mut [AlignedVec], cost: Option<f64>, blocks: usize) -> Option<f64> {
        let mut chunks = chunks.into_iter();
        let started = Instant::now();
        let mut done = 0;
        if cost.is_none() && workers.len() > 1 {
            // the first chunk tells what a block costs
            done += self.chunk(chunks.next()?, &mut workers[0]);
        }
        let cost = cost.unwrap_or_else(|| per_block(started, done));
        let alone = workers.len() == 1 || cost * count(blocks - done) < WORTH_THREADS;
        let threads = if alone { 1 } else { workers.len() };
        let queue = Mutex::new(chunks);
        let workers: Vec<_> = workers.iter_mut().map(|w| Mutex::new((w, 0))).collect();
        lvmc_kernels::pool::run(threads, &|index| {
            // each index has its own worker: nobody waits here
            let Ok(mut worker) = workers[index].lock() else { return };
            while let Some(chunk) = next(&queue) {
                worker.1 += self.chunk(chunk, worker.0);
            }
        });
        let by_first = workers[0].lock().map_or(0, |w| w.1);
        done += by_first;
        Some(per_block(started, done))
    }

    /// Runs a chunk; returns its number of blocks.
    fn chunk(&self, chunk: Chunk<'_>, worker: &mut AlignedVec) -> usize {
        let blocks = chunk.blocks.clone();
        let mut frame = self.common.frame(chunk, worker);
        match self.what.weighted_func {
            Some(func) if self.what.weighted => self.machine.run(func, &mut frame, blocks.clone()),
            Some(func) if self.masked_end == Some(blocks.end) => {
                self.machine
                    .run(self.what.func, &mut frame, blocks.start..blocks.end - 1);
                self.machine.run(func, &mut frame, blocks.end - 1..blocks.end);
            }
            _ => self.machine.run(self.what.func, &mut frame, blocks.clone()),
        }
        if let Some(finish) = self.what.finish {
            self.machine.run(finish, &mut frame, 0..0);
        }
        blocks.len()
    }
}

fn next<'a>(queue: &Mutex<std::vec::IntoIter<Chunk<'a>>>) -> Option<Chunk<'a>> {
    // a poisoned lock means that another thread panicked, and the pool will say so
    queue.lock().ok()?.next()
}

#[allow(clippy::cast_precision_loss)] // numbers of blocks and nanoseconds are far below 2^53
fn count(n: usize) -> f64 {
    n as f64
}

/// Nanoseconds per block since then.
fn per_block(since: Instant, blocks: usize) -> f64 {
    since.elapsed().as_secs_f64() * 1e9 / count(blocks.max(1))
}
