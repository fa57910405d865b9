//! Steps whose results are held once: products over the batch, tables, algebra.

use super::map::{Code, ONCE, Scratch};
use super::memory::View;
use super::product::{Multiply, Packed, count};
use super::rows::{Context, pick, unpick};
use lvmc_dense::ir::{Algebra, ArrayId, Read};
use lvmc_dense::{algebra, clamp_code};
use lvmc_kernels::array::Float;
use lvmc_kernels::array::noise::{Key, Law};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Such a step, cut into tasks.
pub(super) enum Job<T> {
    Draw {
        array: ArrayId,
        ordinal: u64,
        law: Law,
    },
    Map(Code<T>),
    /// Rows and columns of a task's part.
    Multiply {
        multiply: Multiply,
        part: (usize, usize),
    },
    Pack(Packed),
    Gather {
        out: Read,
        table: Read,
        index: Read,
        len: usize,
        entries: usize,
    },
    Scatter {
        table: Read,
        from: Read,
        index: Read,
        len: usize,
        entries: usize,
        rows: bool,
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
    Algebra {
        what: Algebra,
        out: ArrayId,
        a: ArrayId,
        n: usize,
        rows: bool,
        room: Mutex<[Vec<f64>; 3]>,
    },
}

/// Panels of a task that packs.
const PANELS: usize = 4;

/// Packs some rows and columns of an operand.
///
/// # Safety
/// The verifier has seen the matrix; nobody else writes this part of its packed form.
pub(super) unsafe fn pack<T: Float>(packed: &Packed, view: &View<'_, T>, part: (Range<usize>, Range<usize>)) {
    let b = &packed.b;
    let shape = (count(b.rows, 1), count(b.cols, 1));
    let from = view.at(b.array, 0, b.offset);
    // SAFETY: the caller vouches for it
    unsafe { T::products().pack(shape, from, (b.row, b.col), view.raw(packed.at), part) }
}

/// Entries' numbers of a task that scatters.
const SCATTER: usize = 256;

impl<T: Float> Job<T> {
    /// Its tasks.
    pub fn tasks(&self) -> usize {
        match self {
            Self::Map(code) => code.tasks(),
            Self::Multiply { multiply, part } => {
                let (m, n) = multiply.shape(1);
                (m.div_ceil(part.0) * n.div_ceil(part.1)).max(1)
            }
            Self::Pack(packed) => count(packed.b.cols, 1).div_ceil(T::products().width * PANELS).max(1),
            Self::Scatter { len, .. } => len.div_ceil(SCATTER).max(1),
            _ => 1,
        }
    }

    /// Runs one task.
    ///
    /// # Safety
    /// The verifier has seen the step; nobody else writes its results, and nobody writes what it reads.
    pub unsafe fn run(&self, context: &Context<'_, T>, task: usize, scratch: &mut Scratch<T>) {
        let view = &context.view;
        // SAFETY: the caller vouches for what is below; indices are those that the verifier has seen
        unsafe {
            match self {
                Self::Draw { array, ordinal, law } => {
                    let Some(draw) = context.draw else { return };
                    let out = std::slice::from_raw_parts_mut(view.at(*array, 0, 0), view.place(*array).len);
                    let key = Key::new(context.seed, *ordinal, draw);
                    T::noise(key, std::iter::once(0), out.len(), *law, out);
                }
                Self::Map(code) => {
                    let elements = task * ONCE..((task + 1) * ONCE).min(code.elements());
                    let partials = context.partials(code, task..task + 1);
                    code.once(view, elements, partials, scratch);
                }
                Self::Multiply { multiply, part } => {
                    let (m, n) = multiply.shape(context.rows);
                    let across = n.div_ceil(part.1).max(1);
                    let (i, j) = (task / across * part.0, task % across * part.1);
                    let (i, j) = (i..(i + part.0).min(m), j..(j + part.1).min(n));
                    multiply.run(view, context.rows, i.clone(), j.clone(), scratch.product.as_mut_ptr());
                    (context.made)(multiply.out.array, n, (i, j));
                }
                Self::Pack(packed) if !context.changed[packed.b.array] => {}
                Self::Pack(packed) => {
                    let (k, n) = (count(packed.b.rows, 1), count(packed.b.cols, 1));
                    let share = PANELS * T::products().width;
                    pack(packed, view, (0..k, task * share..((task + 1) * share).min(n)));
                }
                Self::Gather {
                    out,
                    table,
                    index,
                    len,
                    entries,
                } => {
                    let entry = context.code(index, 0, *entries);
                    let from = view.at(table.array, 0, table.offset + entry * len);
                    from.copy_to_nonoverlapping(view.at(out.array, 0, out.offset), *len);
                }
                Self::Scatter {
                    table,
                    from,
                    index,
                    len,
                    entries,
                    rows,
                } => {
                    let columns = task * SCATTER..((task + 1) * SCATTER).min(*len);
                    let to = view.at(table.array, 0, table.offset);
                    for entry in 0..*entries {
                        columns.clone().for_each(|j| *to.add(entry * len + j) = T::ZERO);
                    }
                    for row in 0..if *rows { context.rows } else { 1 } {
                        let code = (*view.at(index.array, row, index.offset)).to_f64();
                        let to = to.add(clamp_code(code, *entries) * len);
                        let from = view.at(from.array, row, from.offset);
                        for j in columns.clone() {
                            *to.add(j) = (*to.add(j)).plus(*from.add(j));
                        }
                    }
                }
                Self::Pick { out, from, map } => pick(view, *out, *from, map, 0),
                Self::Unpick { out, from, map } => unpick(view, *out, *from, map, 0),
                Self::Algebra {
                    what,
                    out,
                    a,
                    n,
                    rows,
                    room,
                } => {
                    let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
                    let [operand, result, more] = &mut *room;
                    for row in 0..if *rows { context.rows } else { 1 } {
                        let from = view.at(*a, row, 0);
                        operand
                            .iter_mut()
                            .enumerate()
                            .for_each(|(i, x)| *x = (*from.add(i)).to_f64());
                        algebra(*what, operand, result, more, *n);
                        let to = view.at(*out, row, 0);
                        result
                            .iter()
                            .enumerate()
                            .for_each(|(i, &x)| *to.add(i) = T::from_f64(x));
                    }
                }
            }
        }
    }

    /// Work once, and for each row, in something like nanoseconds.
    pub fn cost(&self) -> (f64, f64) {
        match self {
            Self::Map(code) => (code.cost() * 0.2, 0.0),
            Self::Multiply { multiply, .. } => (multiply.cost().1 / 32.0, multiply.cost().0 / 32.0),
            Self::Pack(packed) => ((count(packed.b.rows, 1) * count(packed.b.cols, 1)) as f64 * 0.5, 0.0),
            Self::Scatter { len, .. } => (0.0, *len as f64),
            Self::Algebra { n, rows: true, .. } => (0.0, (n * n * n) as f64),
            Self::Algebra { n, .. } => ((n * n * n) as f64, 0.0),
            _ => (0.0, 0.0),
        }
    }
}
