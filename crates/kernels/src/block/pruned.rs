//! Quadratic forms of many components whose softmax follows: an entry needs no more digits once it is certain to be 0.
//!
//! A sum of squares that is not finished bounds the finished one from below, so that c − ½ Σ so far bounds an entry from
//! above. Where that bound lies [`EXP_ZERO`] from a finished entry of the row, the softmax makes it exactly 0 (see
//! [`super::softmax`]), whatever the rest. So all components compute the squares of their last outputs, which tell most;
//! every row finishes the component that leads; then every component finishes the rows in which it may still matter. What
//! is left of a component are few, scattered rows: they are turned, so that lanes run along the outputs.

use super::math::EXP_ZERO;
use super::quad::{Quad, TILE, limit, tile_at};
use super::simd::{LANES, Simd};
use super::square::{Live, Turned, UNIT};
use super::syrk::PIECE;

/// Rows whose first squares all components compute while they are near.
const NEAR: usize = 32;

/// The most components; above, every entry is finished.
pub(crate) const MOST: usize = 255;

/// A column of scratch.
type Column = [f64; PIECE];

/// As [`super::quad::run`] for a table that a softmax over the components normalises next: entries that it makes 0 may
/// be left above their value.
///
/// # Safety
/// As [`super::quad::run`], with at least one output and at most [`MOST`] components; lanes divide a tile of outputs.
#[inline(always)]
pub(crate) unsafe fn run<S: Simd>(a: &Quad) {
    let mut row = 0;
    while row < a.rows {
        let rows = PIECE.min(a.rows - row);
        // SAFETY: the caller vouches for the operands
        unsafe { piece::<S>(a, row, rows) };
        row += rows;
    }
}

/// First output of the last tile, with which the sums begin.
fn last(a: &Quad) -> usize {
    (a.outputs - 1) / TILE * TILE
}

/// # Safety
/// As [`run`], for `rows` rows from `row`, at most [`PIECE`], a multiple of 16.
#[inline(always)]
unsafe fn piece<S: Simd>(a: &Quad, row: usize, rows: usize) {
    let mut top: Column = [0.0; PIECE];
    let mut leader: Column = [0.0; PIECE];
    let mut live = Live::new();
    // SAFETY: the caller vouches for the operands; scratch columns hold all rows of a piece
    unsafe {
        begin::<S>(a, (row, rows), &mut top, &mut leader);
        let mut turned = Turned::new(a.x.add(row), a.rows, a.inputs, rows);
        let x = turned.rows::<S>();
        let out = |k: usize| a.out.add(k * a.out_stride + row);
        let by_leader = Sorted::new(&leader[..rows], a.n);
        for k in 0..a.n {
            finish::<S>(a, k, x, by_leader.of(k), out(k));
        }
        // the leader's entry is put aside, so that nothing else finishes it again
        for r in 0..rows {
            let entry = out(leader[r] as usize).add(r);
            top[r] = *entry;
            *entry = f64::NAN;
        }
        let mut floor: Column = [0.0; PIECE];
        for r in 0..rows {
            floor[r] = top[r] + EXP_ZERO;
        }
        for k in 0..a.n {
            live.n = 0;
            for r in (0..rows).step_by(UNIT) {
                live.push(r, S::le4(floor.as_ptr().add(r), out(k).add(r)));
            }
            finish::<S>(a, k, x, live.rows(), out(k));
        }
        for r in 0..rows {
            *out(leader[r] as usize).add(r) = top[r];
        }
    }
}

/// Rows by what leads them.
struct Sorted {
    rows: [u32; PIECE],
    ends: [u32; MOST + 1],
}

impl Sorted {
    fn new(leader: &[f64], n: usize) -> Self {
        let mut ends = [0; MOST + 1];
        for &k in leader {
            ends[k as usize + 1] += 1;
        }
        for k in 0..n {
            ends[k + 1] += ends[k];
        }
        let mut rows = [0; PIECE];
        for (r, &k) in leader.iter().enumerate() {
            let to = &mut ends[k as usize];
            rows[*to as usize] = r as u32;
            *to += 1;
        }
        Self { rows, ends }
    }

    /// The rows that k leads. (Each end has moved to where the next begins.)
    fn of(&self, k: usize) -> &[u32] {
        let first = if k == 0 { 0 } else { self.ends[k - 1] };
        &self.rows[first as usize..self.ends[k] as usize]
    }
}

/// c and the squares of the last tile for all components: the largest entry of each row, and whose it is.
///
/// # Safety
/// As [`piece`].
#[inline(always)]
unsafe fn begin<S: Simd>(a: &Quad, (row, rows): (usize, usize), top: &mut Column, leader: &mut Column) {
    const R: usize = 2;
    top.fill(f64::NEG_INFINITY);
    for near in (0..rows).step_by(NEAR) {
        for k in 0..a.n {
            let index = S::set(k as f64);
            // SAFETY: rows are a multiple of 16, so that vectors in pairs divide them
            unsafe {
                let coef = a.coef.add(k * a.coef_stride);
                for at in (near..rows.min(near + NEAR)).step_by(R * S::W) {
                    let mut q = [S::set(*coef); R];
                    let x = (a.x.add(row + at), a.rows);
                    tile_at::<S, R>(a, x, coef.add(1), last(a), &mut q);
                    for r in 0..R {
                        let to = a.out.add(k * a.out_stride + row + at + r * S::W);
                        let (top, leader) = (
                            top.as_mut_ptr().add(at + r * S::W),
                            leader.as_mut_ptr().add(at + r * S::W),
                        );
                        let q = if a.add { S::add(S::load(to), q[r]) } else { q[r] };
                        S::store(to, q);
                        let so_far = S::load(top);
                        S::store(leader, S::if_lt(so_far, q, index, S::load(leader)));
                        S::store(top, S::max(so_far, q));
                    }
                }
            }
        }
    }
}

/// The other squares of component k for some rows, four at a time.
///
/// # Safety
/// As [`piece`]; `x` are turned rows and their distance, `live` some of them.
#[inline(always)]
unsafe fn finish<S: Simd>(a: &Quad, k: usize, (x, stride): (*const f64, usize), live: &[u32], out: *mut f64) {
    // SAFETY: the caller vouches for the operands; a tile's coefficients follow those of the tile after it
    unsafe {
        let first = a
            .coef
            .add(k * a.coef_stride + 1 + TILE * (1 + limit(a.inputs, a.lead, a.outputs)));
        for four in live.chunks(UNIT) {
            // a short group repeats its first row
            let mut rows = [four[0] as usize; UNIT];
            for (to, from) in rows.iter_mut().zip(four) {
                *to = *from as usize;
            }
            let x = rows.map(|r| x.add(r * stride));
            // of eight lanes, which is what folds, the upper four stay 0
            let mut squares = [[S::set(0.0); LANES / 2]; UNIT];
            let mut coef = first;
            let mut left = last(a);
            while left > 0 {
                let used = |first: usize| limit(a.inputs, a.lead, first + TILE);
                if left >= 2 * TILE {
                    left -= 2 * TILE;
                    let (late, early) = (used(left + TILE), used(left));
                    let next = coef.add(TILE * (1 + late));
                    outputs::<S, 2>([coef, next], early, late, x, &mut squares);
                    coef = next.add(TILE * (1 + early));
                } else {
                    left -= TILE;
                    outputs::<S, 1>([coef], used(left), used(left), x, &mut squares);
                    coef = coef.add(TILE * (1 + used(left)));
                }
            }
            let mut sums = [0.0; UNIT];
            let of = |r: usize| &squares[r][..LANES / S::W];
            S::fold4([of(0), of(1), of(2), of(3)], sums.as_mut_ptr());
            for (&r, sum) in rows.iter().zip(sums).take(four.len()) {
                *out.add(r) -= sum;
            }
        }
    }
}

/// Adds the squares of `T` tiles of outputs, the last of them first, for four rows. All tiles use `common` inputs, the
/// first `most`.
///
/// # Safety
/// Each of `coef` is a tile with as many inputs as it uses; `x` are four turned rows.
#[inline(always)]
unsafe fn outputs<S: Simd, const T: usize>(
    coef: [*const f64; T],
    common: usize,
    most: usize,
    x: [*const f64; UNIT],
    squares: &mut [[S::V; LANES / 2]; UNIT],
) {
    // vectors of a tile: one of four lanes, two of two
    let vectors = TILE / S::W;
    // SAFETY: the caller vouches for the operands
    unsafe {
        let mut y = [[[S::set(0.0); 2]; T]; UNIT];
        for t in 0..T {
            for v in 0..vectors {
                let h = S::load(coef[t].add(v * S::W));
                y.iter_mut().for_each(|y| y[t][v] = h);
            }
        }
        macro_rules! inputs {
            ($range:expr, $tiles:expr) => {
                for i in $range {
                    for t in 0..$tiles {
                        for v in 0..vectors {
                            let g = S::load(coef[t].add(TILE * (1 + i) + v * S::W));
                            for r in 0..UNIT {
                                y[r][t][v] = S::fma(g, S::set(*x[r].add(i)), y[r][t][v]);
                            }
                        }
                    }
                }
            };
        }
        inputs!(0..common, T);
        inputs!(common..most, 1);
        for r in 0..UNIT {
            for t in 0..T {
                for v in 0..vectors {
                    squares[r][v] = S::fma(y[r][t][v], y[r][t][v], squares[r][v]);
                }
            }
        }
    }
}
