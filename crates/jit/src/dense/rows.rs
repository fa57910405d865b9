//! Steps that touch rows of the batch alone: each is run for some rows, the next for the same rows.

use super::map::{Code, Scratch};
use super::memory::View;
use super::product::{Multiply, Strided, count};
use lvmc_dense::clamp_code;
use lvmc_dense::ir::{ArrayId, Read};
use lvmc_kernels::array::Float;
use lvmc_kernels::array::noise::{Key, Law};
use std::ops::Range;
use std::sync::Arc;

/// Rows of a block, the least that sums over rows are worked out in: a function of the number of rows alone.
pub(super) fn block(rows: usize) -> usize {
    let mut block = 32;
    while rows.div_ceil(block) > BLOCKS {
        block *= 2;
    }
    block
}

/// The most blocks.
pub(super) const BLOCKS: usize = 64;

/// A row step.
pub(super) enum RowStep<T> {
    /// Draws noise number `ordinal`.
    Draw {
        array: ArrayId,
        ordinal: u64,
        law: Law,
    },
    Map(Code<T>),
    Multiply(Multiply),
    Batched(Batched),
    Gather {
        out: Read,
        table: Read,
        index: Read,
        len: usize,
        entries: usize,
    },
    Pick {
        out: ArrayId,
        from: ArrayId,
        map: Arc<[u32]>,
    },
    Unpick {
        out: ArrayId,
        from: ArrayId,
        map: Arc<[u32]>,
    },
}

/// A small product of each row.
pub(super) struct Batched {
    pub out: Strided,
    pub a: Strided,
    pub b: Strided,
    pub add: bool,
}

/// What all threads of a run share.
pub(super) struct Context<'a, T> {
    pub view: View<'a, T>,
    /// Rows of the batch.
    pub rows: usize,
    /// `None`: noise is as it stands.
    pub draw: Option<u64>,
    pub seed: u64,
    /// Empty: positions.
    pub row_ids: &'a [u32],
    /// Arrays that were set or updated since the last run.
    pub changed: &'a [bool],
    /// Partial sums of all maps; a map's blocks follow each other.
    pub partials: *mut f64,
    /// Told of rows and columns of a product (and how many columns it has) that is no row step and has just been made.
    pub made: &'a Made<'a>,
}

/// See [`Context::made`].
pub(super) type Made<'a> = dyn Fn(ArrayId, usize, (Range<usize>, Range<usize>)) + Sync + 'a;

// SAFETY: threads write apart, see `RowStep::run` and `Job::run`
unsafe impl<T: Sync> Sync for Context<'_, T> {}

impl<T: Float> Context<'_, T> {
    /// The partial sums of blocks `blocks` of a map.
    ///
    /// # Safety
    /// Nobody else has them.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn partials(&self, code: &Code<T>, blocks: Range<usize>) -> &mut [f64] {
        let start = code.partial_at + blocks.start * code.partials();
        // SAFETY: the engine has made room for all blocks of all maps
        unsafe { std::slice::from_raw_parts_mut(self.partials.add(start), blocks.len() * code.partials()) }
    }

    /// A code as a position of a table.
    pub fn code(&self, index: &Read, row: usize, entries: usize) -> usize {
        // SAFETY: the verifier has seen the place
        clamp_code(
            unsafe { *self.view.at(index.array, row, index.offset) }.to_f64(),
            entries,
        )
    }
}

impl<T: Float> RowStep<T> {
    /// Runs the step for some rows, which begin at a block.
    ///
    /// # Safety
    /// The verifier has seen the step; nobody else writes these rows, and what is held once is not written meanwhile.
    pub unsafe fn run(&self, context: &Context<'_, T>, rows: Range<usize>, scratch: &mut Scratch<T>) {
        let view = &context.view;
        // SAFETY: the caller vouches for what is below; indices are those that the verifier has seen
        unsafe {
            match self {
                Self::Draw { array, ordinal, law } => {
                    let Some(draw) = context.draw else { return };
                    let key = Key::new(context.seed, *ordinal, draw);
                    let len = view.place(*array).len;
                    let out = std::slice::from_raw_parts_mut(view.at(*array, rows.start, 0), rows.len() * len);
                    let ids = rows.map(|row| context.row_ids.get(row).copied().unwrap_or(row as u32));
                    T::noise(key, ids, len, *law, out);
                }
                Self::Map(code) if code.has_partials() => {
                    let size = block(context.rows);
                    let mut from = rows.start;
                    while from < rows.end {
                        let to = (from + size).min(rows.end);
                        let partials = context.partials(code, from / size..from / size + 1);
                        code.rows(view, from..to, partials, scratch);
                        from = to;
                    }
                }
                Self::Map(code) => code.rows(view, rows, &mut [], scratch),
                Self::Multiply(multiply) => {
                    let parts = count(multiply.out.rows, 1);
                    let columns = 0..multiply.shape(context.rows).1;
                    let part = rows.start * parts..rows.end * parts;
                    multiply.run(view, context.rows, part, columns, scratch.product.as_mut_ptr());
                }
                Self::Batched(batched) => rows.for_each(|row| batched.run(view, row)),
                Self::Gather {
                    out,
                    table,
                    index,
                    len,
                    entries,
                } => {
                    for row in rows {
                        let entry = context.code(index, row, *entries);
                        let from = view.at(table.array, 0, table.offset + entry * len);
                        from.copy_to_nonoverlapping(view.at(out.array, row, out.offset), *len);
                    }
                }
                Self::Pick { out, from, map } => rows.for_each(|row| pick(view, *out, *from, map, row)),
                Self::Unpick { out, from, map } => rows.for_each(|row| unpick(view, *out, *from, map, row)),
            }
        }
    }

    /// Operations for each row, in something like nanoseconds.
    pub fn cost(&self, view: &dyn Fn(ArrayId) -> usize) -> f64 {
        match self {
            Self::Draw { array, .. } => 8.0 * view(*array) as f64,
            Self::Map(code) => code.cost() * 0.2,
            Self::Multiply(multiply) => multiply.cost().0 / 32.0,
            Self::Batched(b) => (count(b.out.rows, 1) * count(b.out.cols, 1) * count(b.a.cols, 1)) as f64,
            Self::Gather { len, .. } => *len as f64,
            Self::Pick { map, .. } | Self::Unpick { map, .. } => map.len() as f64,
        }
    }
}

/// out[j] = from[map[j]] of one row.
///
/// # Safety
/// As [`RowStep::run`].
pub(super) unsafe fn pick<T: Float>(view: &View<'_, T>, out: ArrayId, from: ArrayId, map: &[u32], row: usize) {
    let (to, at) = (view.at(out, row, 0), view.at(from, row, 0));
    for (j, &p) in map.iter().enumerate() {
        // SAFETY: the verifier has seen the positions
        unsafe { *to.add(j) = if p == u32::MAX { T::ZERO } else { *at.add(p as usize) } };
    }
}

/// out[map[j]] += from[j] of one row.
///
/// # Safety
/// As [`RowStep::run`].
pub(super) unsafe fn unpick<T: Float>(view: &View<'_, T>, out: ArrayId, from: ArrayId, map: &[u32], row: usize) {
    let (to, at) = (view.at(out, row, 0), view.at(from, row, 0));
    // SAFETY: the verifier has seen the positions
    unsafe {
        (0..view.place(out).len).for_each(|j| *to.add(j) = T::ZERO);
        for (j, &p) in map.iter().enumerate().filter(|(_, p)| **p != u32::MAX) {
            let place = to.add(p as usize);
            *place = (*place).plus(*at.add(j));
        }
    }
}

impl Batched {
    /// The product of one row, in f64.
    ///
    /// # Safety
    /// As [`RowStep::run`].
    unsafe fn run<T: Float>(&self, view: &View<'_, T>, row: usize) {
        let (m, n, k) = (count(self.out.rows, 1), count(self.out.cols, 1), count(self.a.cols, 1));
        let at = |x: &Strided, i: usize, j: usize| view.at(x.array, row, x.offset + i * x.row + j * x.col);
        for i in 0..m {
            for j in 0..n {
                // SAFETY: the verifier has seen the matrices
                unsafe {
                    let sum: f64 = (0..k)
                        .map(|l| (*at(&self.a, i, l)).to_f64() * (*at(&self.b, l, j)).to_f64())
                        .sum();
                    let place = at(&self.out, i, j);
                    *place = T::from_f64(if self.add { (*place).to_f64() + sum } else { sum });
                }
            }
        }
    }
}
