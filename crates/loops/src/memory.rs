//! The memory of a program: its buffers for a number of rows, and the frames that machines run in.
//!
//! Interpreter and compiled code share this model. During a sweep parameters and tables are read by all threads, stored
//! row buffers are cut into the pieces of the chunks, and every thread has its own scratch, so that no location is
//! written by one thread while another looks at it. The borrow checker sees all of it: a [`Frame`] holds plain slices.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::aligned::{AlignedVec, RowLayout, lines};
use crate::ir::{BufId, BufKind, FuncKind, Program};
use crate::machine::Machine;

/// The buffers of a program.
#[derive(Debug)]
pub struct Memory {
    program: Arc<Program>,
    layout: RowLayout,
    /// Flat buffers; empty for row buffers.
    flat: Vec<AlignedVec>,
    /// Columns of data, shared with the caller.
    columns: HashMap<BufId, Arc<AlignedVec>>,
    /// `Feature` and `Out` buffers that are present.
    stored: HashMap<BufId, AlignedVec>,
    pub(crate) workers: Vec<AlignedVec>,
    pub(crate) chunk_stats: Vec<AlignedVec>,
    /// Nanoseconds per block that each function took when last measured.
    pub(crate) cost: Vec<Option<f64>>,
}

/// What a function may do with a buffer.
#[derive(Debug)]
pub enum Slot<'a> {
    /// Not there: the function does not mention it.
    Absent,
    /// To read.
    Read(&'a [f64]),
    /// To read and write.
    Write(&'a mut [f64]),
}

impl Slot<'_> {
    /// The contents; empty where absent.
    #[must_use]
    pub fn get(&self) -> &[f64] {
        match self {
            Slot::Absent => &[],
            Slot::Read(s) => s,
            Slot::Write(s) => s,
        }
    }
}

/// Everything a function can reach, one slot per buffer.
#[derive(Debug)]
pub struct Frame<'a> {
    /// By buffer.
    pub slots: Vec<Slot<'a>>,
    /// The block at which writable row buffers (`Feature`, `Out`) start; others start at block 0 (`Temp` has one).
    pub first_block: usize,
    /// Scratch of the machine itself.
    pub extra: &'a mut [f64],
}

/// Buffers laid side by side in one allocation, each starting at a cache line.
fn total(parts: &[(BufId, usize)]) -> usize {
    parts.iter().map(|&(_, len)| lines(len)).sum()
}

/// Gives each part its piece of `arena`; returns what is left.
fn carve<'a>(slots: &mut [Slot<'a>], parts: &[(BufId, usize)], mut arena: &'a mut [f64]) -> &'a mut [f64] {
    for &(buf, len) in parts {
        let (piece, rest) = arena.split_at_mut(lines(len));
        slots[buf.index()] = Slot::Write(&mut piece[..len]);
        arena = rest;
    }
    arena
}

fn absent<'a>(count: usize) -> Vec<Slot<'a>> {
    std::iter::repeat_with(|| Slot::Absent).take(count).collect()
}

impl Memory {
    /// The memory of `program` for `rows` rows. `columns` holds the contents of `Column` buffers, laid out by
    /// [`RowLayout::fill`]; they are shared, not copied. `Out` buffers are absent until [`Memory::want`]ed.
    ///
    /// # Panics
    /// Where a column has the wrong length.
    #[must_use]
    pub fn new(program: Arc<Program>, rows: usize, columns: HashMap<BufId, Arc<AlignedVec>>) -> Self {
        let layout = RowLayout {
            rows,
            block: program.block,
        };
        for (buf, data) in &columns {
            let buffer = &program.buffers[buf.index()];
            assert_eq!(
                data.len(),
                layout.len(buffer.len),
                "the column buffer `{}` has its length",
                buffer.name
            );
        }
        let flat = program.buffers.iter().map(|b| match b.kind {
            BufKind::Const => AlignedVec::copy_of(&b.init),
            kind if kind.is_rows() => AlignedVec::default(),
            _ => AlignedVec::zeroed(b.len),
        });
        let flat = flat.collect();
        let stored = program.buffers.iter().enumerate();
        let stored = stored.filter(|(_, b)| b.kind == BufKind::Feature);
        let stored = stored
            .map(|(i, b)| (BufId::from_index(i), AlignedVec::zeroed(layout.len(b.len))))
            .collect();
        let cost = vec![None; program.funcs.len()];
        Self {
            program,
            layout,
            flat,
            columns,
            stored,
            workers: Vec::new(),
            chunk_stats: Vec::new(),
            cost,
        }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// How rows lie.
    #[must_use]
    pub fn layout(&self) -> RowLayout {
        self.layout
    }

    /// A flat buffer.
    #[must_use]
    pub fn flat(&self, buf: BufId) -> &[f64] {
        &self.flat[buf.index()]
    }

    /// A flat buffer, to set.
    pub fn flat_mut(&mut self, buf: BufId) -> &mut [f64] {
        &mut self.flat[buf.index()]
    }

    /// Makes an `Out` buffer present (zeros, or what it held).
    pub fn want(&mut self, buf: BufId) -> &mut AlignedVec {
        let len = self.layout.len(self.program.buffers[buf.index()].len);
        self.stored.entry(buf).or_insert_with(|| AlignedVec::zeroed(len))
    }

    /// Takes an `Out` buffer's contents away.
    pub fn take(&mut self, buf: BufId) -> Option<AlignedVec> {
        self.stored.remove(&buf)
    }

    /// Gives contents that were taken back.
    pub fn put(&mut self, buf: BufId, data: AlignedVec) {
        self.stored.insert(buf, data);
    }

    /// A row buffer's stored contents, where it has any.
    #[must_use]
    pub fn rows(&self, buf: BufId) -> Option<&[f64]> {
        self.stored
            .get(&buf)
            .map(|v| &v[..])
            .or_else(|| self.columns.get(&buf).map(|v| &v[..]))
    }

    /// Replaces a column of data by another of the same length.
    ///
    /// # Panics
    /// Where the length is wrong.
    pub fn set_column(&mut self, buf: BufId, data: Arc<AlignedVec>) {
        let buffer = &self.program.buffers[buf.index()];
        assert_eq!(
            data.len(),
            self.layout.len(buffer.len),
            "the column buffer `{}` has its length",
            buffer.name
        );
        self.columns.insert(buf, data);
    }

    /// Runs a `Once` function.
    ///
    /// # Panics
    /// Where the function is of another kind.
    pub fn call(&mut self, machine: &dyn Machine, func: usize) {
        assert_eq!(
            self.program.funcs[func].kind,
            FuncKind::Once,
            "only `Once` functions are called"
        );
        let mut extra = AlignedVec::zeroed(machine.extra(func));
        let slots = self
            .program
            .buffers
            .iter()
            .zip(&mut self.flat)
            .map(|(b, data)| match b.kind {
                kind if kind.is_rows() => Slot::Absent,
                BufKind::Const | BufKind::Input => Slot::Read(data),
                _ => Slot::Write(data),
            });
        let mut frame = Frame {
            slots: slots.collect(),
            first_block: 0,
            extra: &mut extra,
        };
        machine.run(func, &mut frame, 0..0);
    }

    /// Lengths of the buffers of `kinds`, for one thread or chunk.
    pub(crate) fn parts(&self, kinds: &[BufKind]) -> Vec<(BufId, usize)> {
        let buffers = self
            .program
            .buffers
            .iter()
            .enumerate()
            .filter(|(_, b)| kinds.contains(&b.kind));
        let len = |cols: usize, kind: BufKind| {
            if kind.is_rows() {
                cols * self.program.block
            } else {
                cols
            }
        };
        buffers
            .map(|(i, b)| (BufId::from_index(i), len(b.len, b.kind)))
            .collect()
    }

    /// Makes room for `threads` threads and `chunks` chunks.
    pub(crate) fn reserve(&mut self, threads: usize, chunks: usize, stats: &[(BufId, usize)], extra: usize) {
        let worker = total(&self.parts(&SCRATCH)) + lines(extra);
        self.workers.retain(|w| w.len() >= worker);
        while self.workers.len() < threads {
            self.workers.push(AlignedVec::zeroed(worker));
        }
        let chunk = total(stats);
        self.chunk_stats.retain(|c| c.len() >= chunk);
        while self.chunk_stats.len() < chunks {
            self.chunk_stats.push(AlignedVec::zeroed(chunk));
        }
    }

    /// Takes the memory apart for a sweep over `ranges` of blocks with statistics `stats`.
    pub(crate) fn split(&mut self, ranges: &[Range<usize>], stats: &[(BufId, usize)]) -> Split<'_> {
        let scratch = self.parts(&SCRATCH);
        let mut shared = absent(self.program.buffers.len());
        for (i, b) in self.program.buffers.iter().enumerate() {
            match b.kind {
                BufKind::Param | BufKind::Const | BufKind::Input | BufKind::Table => {
                    shared[i] = Slot::Read(&self.flat[i])
                }
                // statistics of other sweeps
                BufKind::Stat if !stats.iter().any(|&(s, _)| s.index() == i) => shared[i] = Slot::Read(&self.flat[i]),
                BufKind::Column => {
                    if let Some(data) = self.columns.get(&BufId::from_index(i)) {
                        shared[i] = Slot::Read(data);
                    }
                }
                _ => {}
            }
        }
        let mut pieces: Vec<Vec<(BufId, &mut [f64])>> = ranges.iter().map(|_| Vec::new()).collect();
        let mut stored: Vec<_> = self.stored.iter_mut().collect();
        stored.sort_by_key(|(buf, _)| **buf);
        for (&buf, data) in stored {
            let per_block = self.program.buffers[buf.index()].len * self.program.block;
            let mut rest = &mut data[..];
            let mut done = 0;
            for (range, pieces) in ranges.iter().zip(&mut pieces) {
                let (_, tail) = rest.split_at_mut((range.start - done) * per_block);
                let (piece, tail) = tail.split_at_mut(range.len() * per_block);
                pieces.push((buf, piece));
                rest = tail;
                done = range.end;
            }
        }
        let copies = self.chunk_stats.iter_mut();
        let chunks = ranges.iter().cloned().zip(pieces).zip(copies);
        let chunks = chunks
            .map(|((blocks, rows), stats)| Chunk { blocks, rows, stats })
            .collect();
        Split {
            shared,
            chunks,
            workers: &mut self.workers,
            stats: stats.to_vec(),
            scratch,
        }
    }

    /// Sets the buffers `stats` to the sums of the first `chunks` copies, in their order.
    pub(crate) fn add_up(&mut self, stats: &[(BufId, usize)], chunks: usize) {
        let mut offset = 0;
        for &(buf, len) in stats {
            let sum = &mut self.flat[buf.index()];
            sum.fill(0.0);
            for copy in &self.chunk_stats[..chunks] {
                sum.iter_mut()
                    .zip(&copy[offset..offset + len])
                    .for_each(|(s, c)| *s += c);
            }
            offset += lines(len);
        }
    }
}

/// What every thread has of its own.
const SCRATCH: [BufKind; 3] = [BufKind::Acc, BufKind::Scratch, BufKind::Temp];

/// A memory taken apart for a sweep.
pub(crate) struct Split<'a> {
    shared: Vec<Slot<'a>>,
    pub chunks: Vec<Chunk<'a>>,
    pub workers: &'a mut Vec<AlignedVec>,
    stats: Vec<(BufId, usize)>,
    scratch: Vec<(BufId, usize)>,
}

/// The part of a sweep that one thread does without interruption.
pub(crate) struct Chunk<'a> {
    pub blocks: Range<usize>,
    rows: Vec<(BufId, &'a mut [f64])>,
    stats: &'a mut AlignedVec,
}

/// What frames are made from, shared by the threads.
pub(crate) struct Common<'a> {
    shared: Vec<Slot<'a>>,
    stats: Vec<(BufId, usize)>,
    scratch: Vec<(BufId, usize)>,
    accs: Vec<BufId>,
}

impl<'a> Split<'a> {
    /// The parts that threads share, and those that they claim.
    pub fn into_parts(self, program: &Program) -> (Common<'a>, Vec<Chunk<'a>>, &'a mut Vec<AlignedVec>) {
        let accs = self.scratch.iter().map(|&(b, _)| b);
        let accs = accs
            .filter(|b| program.buffers[b.index()].kind == BufKind::Acc)
            .collect();
        (
            Common {
                shared: self.shared,
                stats: self.stats,
                scratch: self.scratch,
                accs,
            },
            self.chunks,
            self.workers,
        )
    }
}

impl Common<'_> {
    /// The frame of a chunk on a thread whose scratch is `worker`; statistics and accumulators are zeroed.
    pub fn frame<'b>(&'b self, chunk: Chunk<'b>, worker: &'b mut AlignedVec) -> Frame<'b> {
        let slots = self.shared.iter().map(|s| match s {
            Slot::Read(data) => Slot::Read(data),
            _ => Slot::Absent,
        });
        let mut slots: Vec<Slot<'b>> = slots.collect();
        chunk.stats.fill(0.0);
        carve(&mut slots, &self.stats, chunk.stats);
        let extra = carve(&mut slots, &self.scratch, worker);
        for acc in &self.accs {
            if let Slot::Write(data) = &mut slots[acc.index()] {
                data.fill(0.0);
            }
        }
        for (buf, piece) in chunk.rows {
            slots[buf.index()] = Slot::Write(piece);
        }
        Frame {
            slots,
            first_block: chunk.blocks.start,
            extra,
        }
    }
}
