//! Weighted second and first moments: sums over the rows of a block, lanes along rows.
//!
//! Each block ends by folding its lanes, so a raw accumulator is one number per sum, in the same place on every machine:
//! `Σ w`, `Σ w xᵢ`, then `Σ w xᵢ xⱼ` tile by tile ([`tiles`]), then those that [`super::square`] made, which has its lanes
//! along the inputs: of components that few rows belong to, and of many inputs. With eight lanes in memory the accumulators
//! of twenty 32×32 matrices would not fit a cache.
//!
//! Lanes are those of the machine, folded in neighbouring pairs: eight on all would ask AVX2, which has registers for
//! twelve sums, for twice as many loops over the few rows of a block, and ending a loop costs as much as four turns.

use super::simd::Simd;
use super::square::{self, Live, Turned};

/// Rows that are worked on together; scratch columns have this length. Larger blocks are cut.
pub(crate) const PIECE: usize = 512;

#[repr(align(64))]
struct Columns<const N: usize>([f64; N]);

/// Weights where there are none.
static ONES: Columns<PIECE> = Columns([1.0; PIECE]);

/// Inputs up to which all sums of a component fit registers; their tile is the plain lower triangle by columns.
const SMALL: usize = 3;

/// Inputs from which [`square`] is faster even where every row counts.
const MANY: usize = 24;

/// A tile of second moments: rows `i .. i + m` of columns `j .. j + n`, rows outermost.
#[derive(Clone, Copy)]
struct Tile {
    i: usize,
    j: usize,
    m: usize,
    n: usize,
}

/// The tiles that cover the lower triangle: column pairs by at most six rows, the first of a pair, which has more to do,
/// by five. Even sizes: a short tile leaves the multipliers idle.
struct Tiles {
    p: usize,
    i: usize,
    j: usize,
    /// Tiles left of this pair.
    left: usize,
}

impl Iterator for Tiles {
    type Item = Tile;
    fn next(&mut self) -> Option<Tile> {
        let p = self.p;
        if self.left == 0 {
            self.j += 2;
        }
        if self.j >= p {
            return None;
        }
        let (i, j, n) = (self.i.max(self.j), self.j, (p - self.j).min(2));
        if self.left == 0 {
            self.left = tiles_of_pair(p - j);
        }
        let m = if i == j {
            ((p - j) / self.left).min(5)
        } else {
            (p - i).div_ceil(self.left)
        };
        self.left -= 1;
        self.i = if self.left == 0 { 0 } else { i + m };
        Some(Tile { i, j, m, n })
    }
}

/// Tiles of a column pair of some rows.
fn tiles_of_pair(rows: usize) -> usize {
    if rows <= 5 { 1 } else { 1 + (rows - 5).div_ceil(6) }
}

/// See [`Tiles`].
fn tiles(p: usize) -> Tiles {
    Tiles {
        p,
        i: 0,
        j: 0,
        left: if p == 0 { 0 } else { tiles_of_pair(p) },
    }
}

/// Length of a raw accumulator of second moments.
#[must_use]
pub fn syrk_len(inputs: usize, diagonal: bool) -> usize {
    if diagonal {
        return 1 + 2 * inputs;
    }
    let len = 1 + inputs;
    if inputs <= SMALL {
        return len + inputs * (inputs + 1) / 2;
    }
    len + tiled_len(inputs) + square::len(inputs)
}

/// Length of the second moments by tiles: none where they are never made so.
fn tiled_len(inputs: usize) -> usize {
    if inputs >= MANY {
        return 0;
    }
    tiles(inputs).map(|t| t.m * t.n).sum()
}

/// Length of a raw accumulator of first moments.
#[must_use]
pub fn moments_len(inputs: usize, weights: usize) -> usize {
    weights * (1 + inputs)
}

/// Adds a raw accumulator of second moments to the symmetric `(p+1)×(p+1)` matrix, or to `1 + 2p` numbers.
///
/// # Panics
/// If a slice is too short.
pub fn syrk_fold(acc: &[f64], inputs: usize, out: &mut [f64], diagonal: bool) {
    let p = inputs;
    if diagonal {
        out[..1 + 2 * p]
            .iter_mut()
            .zip(&acc[..1 + 2 * p])
            .for_each(|(o, a)| *o += a);
        return;
    }
    let side = p + 1;
    out[0] += acc[0];
    for i in 0..p {
        out[1 + i] += acc[1 + i];
        out[(1 + i) * side] += acc[1 + i];
    }
    let mut put = |i: usize, j: usize, s: f64| {
        out[(1 + i) * side + 1 + j] += s;
        if i != j {
            out[(1 + j) * side + 1 + i] += s;
        }
    };
    let square = &acc[1 + p..];
    if p <= SMALL {
        let mut square = square.iter();
        for j in 0..p {
            (j..p).zip(&mut square).for_each(|(i, s)| put(i, j, *s));
        }
        return;
    }
    let (tiled, square) = square.split_at(tiled_len(p));
    let mut tiled = tiled.iter();
    for t in tiles(p) {
        for (e, s) in (0..t.m * t.n).zip(&mut tiled) {
            let (i, j) = (t.i + e / t.n, t.j + e % t.n);
            // the corner of the first tile of a pair is above the diagonal
            if i >= j {
                put(i, j, *s);
            }
        }
    }
    square::fold(square, p, out);
}

/// Adds raw first moments to `out`, `[weights][1 + inputs]`: the layouts are the same.
///
/// # Panics
/// If a slice is too short.
pub fn moments_fold(acc: &[f64], inputs: usize, weights: usize, out: &mut [f64]) {
    let n = moments_len(inputs, weights);
    out[..n].iter_mut().zip(&acc[..n]).for_each(|(o, a)| *o += a);
}

/// Adds folds to adjacent numbers.
///
/// # Safety
/// `to` holds as many numbers as there are vectors.
#[inline(always)]
unsafe fn fold_all<S: Simd>(v: &[S::V], to: *mut f64) {
    let (fours, rest) = v.as_chunks::<4>();
    // SAFETY: the caller vouches for the numbers
    unsafe {
        for (i, [a, b, c, d]) in fours.iter().enumerate() {
            S::fold4([&[*a], &[*b], &[*c], &[*d]], to.add(4 * i));
        }
        for (i, v) in rest.iter().enumerate() {
            *to.add(4 * fours.len() + i) += S::fold(&[*v]);
        }
    }
}

/// `M × N` sums of products `aᵢ bⱼ`, E of them, added to adjacent numbers, rows outermost. With `FIRST` b is `w · b`,
/// which is kept in `v` and summed to `sums`.
///
/// # Safety
/// `a` holds M and `b` N columns at distance `stride`; `v` N columns at distance [`PIECE`]; all of them `rows` numbers,
/// a multiple of 8, at most PIECE. `acc` holds E and `sums` N numbers.
#[inline(always)]
unsafe fn product<S: Simd, const M: usize, const N: usize, const E: usize, const FIRST: bool>(
    a: (*const f64, usize),
    b: (*const f64, usize),
    rows: usize,
    w: *const f64,
    v: *mut f64,
    sums: *mut f64,
    acc: *mut f64,
) {
    const { assert!(E == M * N) };
    // SAFETY: the caller vouches for the columns; W divides `rows`
    unsafe {
        let zero = S::set(0.0);
        let mut t = [zero; E];
        let mut s = [zero; N];
        let mut row = 0;
        while row < rows {
            let mut y = [zero; N];
            for j in 0..N {
                y[j] = S::load(b.0.add(j * b.1 + row));
            }
            if FIRST {
                let w = S::load(w.add(row));
                for j in 0..N {
                    y[j] = S::mul(w, y[j]);
                    S::store(v.add(j * PIECE + row), y[j]);
                    s[j] = S::add(s[j], y[j]);
                }
            }
            for i in 0..M {
                let x = S::load(a.0.add(i * a.1 + row));
                for j in 0..N {
                    t[i * N + j] = S::fma(x, y[j], t[i * N + j]);
                }
            }
            row += S::W;
        }
        fold_all::<S>(&t, acc);
        if FIRST {
            fold_all::<S>(&s, sums);
        }
    }
}

/// Σ of each of `n` columns at distance `stride`, added to `acc[k · step]`.
///
/// # Safety
/// Columns hold `rows` numbers, a multiple of 8; `acc` is valid where it is added to.
#[inline(always)]
unsafe fn column_sums<S: Simd>(w: *const f64, stride: usize, n: usize, rows: usize, acc: *mut f64, step: usize) {
    // SAFETY: the caller vouches for the columns
    unsafe {
        let mut k = 0;
        macro_rules! some {
            ($m:expr) => {
                while k + $m <= n {
                    let mut t = [S::set(0.0); $m];
                    let mut row = 0;
                    while row < rows {
                        for i in 0..$m {
                            t[i] = S::add(t[i], S::load(w.add((k + i) * stride + row)));
                        }
                        row += S::W;
                    }
                    for i in 0..$m {
                        *acc.add((k + i) * step) += S::fold(&[t[i]]);
                    }
                    k += $m;
                }
            };
        }
        some!(4);
        some!(1);
    }
}

/// What the second-moment kernels work on: `n` weight columns over the same x.
#[derive(Clone, Copy)]
pub(crate) struct Syrk {
    pub x: *const f64,
    pub inputs: usize,
    /// Null: all weights are 1 and n is 1.
    pub w: *const f64,
    pub w_stride: usize,
    pub n: usize,
    pub acc: *mut f64,
    pub acc_stride: usize,
    pub rows: usize,
}

/// `G` components of `P` inputs with all `E = (P+1)(P+2)/2` sums of each in registers.
///
/// # Safety
/// As [`run`], for weights `k .. k + G` and rows `row .. row + rows`.
#[inline(always)]
unsafe fn small<S: Simd, const P: usize, const E: usize, const G: usize>(
    a: &Syrk,
    x: *const f64,
    w: *const f64,
    k: usize,
    rows: usize,
) {
    // SAFETY: the caller vouches for the columns
    unsafe {
        let zero = S::set(0.0);
        let mut t = [[zero; E]; G];
        let mut row = 0;
        while row < rows {
            let mut xv = [zero; P];
            for i in 0..P {
                xv[i] = S::load(x.add(i * a.rows + row));
            }
            for g in 0..G {
                let w = S::load(w.add(g * a.w_stride + row));
                t[g][0] = S::add(t[g][0], w);
                let mut e = 1 + P;
                for j in 0..P {
                    let v = S::mul(w, xv[j]);
                    t[g][1 + j] = S::add(t[g][1 + j], v);
                    for i in j..P {
                        t[g][e] = S::fma(v, xv[i], t[g][e]);
                        e += 1;
                    }
                }
            }
            row += S::W;
        }
        for g in 0..G {
            fold_all::<S>(&t[g], a.acc.add((k + g) * a.acc_stride));
        }
    }
}

/// Second moments of one component of more than [`SMALL`] inputs. The first tile of a column pair makes w · x, the
/// others find it in scratch.
///
/// # Safety
/// As [`run`]; `v` holds two columns of scratch.
#[inline(always)]
unsafe fn large<S: Simd>(a: &Syrk, x: *const f64, w: *const f64, acc: *mut f64, v: *mut f64, rows: usize) {
    // SAFETY: the caller vouches for the columns; tiles stay within the triangle and the raw accumulator
    unsafe {
        let mut to = acc.add(1 + a.inputs);
        // no closure: it would not be inlined to where the vector instructions are
        for t in tiles(a.inputs) {
            let from = (x.add(t.i * a.rows), a.rows);
            let b = (x.add(t.j * a.rows), a.rows);
            let sums = acc.add(1 + t.j);
            macro_rules! tile {
                ($($m:literal $n:literal $e:literal $first:literal,)*) => {
                    match (t.m, t.n, t.i == t.j) {
                        $(($m, $n, $first) => {
                            let b = if $first { b } else { (v.cast_const(), PIECE) };
                            product::<S, $m, $n, $e, $first>(from, b, rows, w, v, sums, to);
                        })*
                        _ => unreachable!(),
                    }
                };
            }
            tile!(
                6 2 12 false, 5 2 10 false, 4 2 8 false, 3 2 6 false, 2 2 4 false, 1 2 2 false,
                5 2 10 true, 4 2 8 true, 3 2 6 true, 2 2 4 true, 1 1 1 true,
            );
            to = to.add(t.m * t.n);
        }
    }
}

/// Full second moments.
///
/// # Safety
/// `x` holds `inputs` columns of `rows` numbers (a multiple of 8), `w` n columns at distance `w_stride` or is null, `acc`
/// n raw accumulators at distance `acc_stride`; `acc` overlaps neither.
#[inline(always)]
pub(crate) unsafe fn run<S: Simd>(a: &Syrk) {
    let mut scratch = std::mem::MaybeUninit::<Columns<{ 2 * PIECE }>>::uninit();
    let v = scratch.as_mut_ptr().cast::<f64>();
    let (mut live, tiled) = (Live::new(), tiled_len(a.inputs));
    let mut row = 0;
    while row < a.rows {
        let rows = PIECE.min(a.rows - row);
        // SAFETY: the caller vouches for the columns; row + rows ≤ a.rows
        unsafe {
            let x = a.x.add(row);
            let (w, w_stride) = if a.w.is_null() {
                (ONES.0.as_ptr(), 0)
            } else {
                (a.w.add(row), a.w_stride)
            };
            let a = &Syrk { w_stride, ..*a };
            let mut k = 0;
            macro_rules! groups {
                ($p:literal $e:literal: $($g:literal)*) => {
                    $(while k + $g <= a.n {
                        small::<S, $p, $e, $g>(a, x, w.add(k * w_stride), k, rows);
                        k += $g;
                    })*
                };
            }
            match a.inputs {
                0 => column_sums::<S>(w, w_stride, a.n, rows, a.acc, a.acc_stride),
                1 => {
                    groups!(1 3: 4 3 2 1);
                }
                2 => {
                    groups!(2 6: 2 1);
                }
                3 => {
                    groups!(3 10: 1);
                }
                _ => {
                    column_sums::<S>(w, w_stride, a.n, rows, a.acc, a.acc_stride);
                    let mut turned = Turned::new(x, a.rows, a.inputs, rows);
                    while k < a.n {
                        let (w, acc) = (w.add(k * w_stride), a.acc.add(k * a.acc_stride));
                        if a.inputs >= MANY || 2 * square::count::<S>(w, rows) <= rows {
                            live.find::<S>(w, rows);
                            turned.add::<S>(&live, w, acc.add(1), acc.add(1 + a.inputs + tiled));
                        } else {
                            large::<S>(a, x, w, acc, v, rows);
                        }
                        k += 1;
                    }
                }
            }
        }
        row += rows;
    }
}

/// Σ w, Σ w x, Σ w x².
///
/// # Safety
/// As [`run`].
#[inline(always)]
pub(crate) unsafe fn run_diagonal<S: Simd>(a: &Syrk) {
    let mut row = 0;
    while row < a.rows {
        let rows = PIECE.min(a.rows - row);
        // SAFETY: the caller vouches for the columns; row + rows ≤ a.rows
        unsafe {
            let (w, w_stride) = if a.w.is_null() {
                (ONES.0.as_ptr(), 0)
            } else {
                (a.w.add(row), a.w_stride)
            };
            column_sums::<S>(w, w_stride, a.n, rows, a.acc, a.acc_stride);
            for k in 0..a.n {
                let (w, acc) = (w.add(k * w_stride), a.acc.add(k * a.acc_stride));
                let mut i = 0;
                macro_rules! some {
                    ($m:literal) => {
                        while i + $m <= a.inputs {
                            squares::<S, $m>(
                                a.x.add(i * a.rows + row),
                                a.rows,
                                w,
                                rows,
                                acc.add(1 + i),
                                a.inputs,
                            );
                            i += $m;
                        }
                    };
                }
                some!(4);
                some!(1);
            }
        }
        row += rows;
    }
}

/// Σ w x and Σ w x² of `M` columns.
///
/// # Safety
/// `x` holds M columns at distance `stride`; columns and `w` hold `rows` numbers, a multiple of 8; `acc` and
/// `acc + inputs` hold M numbers.
#[inline(always)]
unsafe fn squares<S: Simd, const M: usize>(
    x: *const f64,
    stride: usize,
    w: *const f64,
    rows: usize,
    acc: *mut f64,
    inputs: usize,
) {
    // SAFETY: the caller vouches for the columns
    unsafe {
        let zero = S::set(0.0);
        let (mut t, mut u) = ([zero; M], [zero; M]);
        let mut row = 0;
        while row < rows {
            let w = S::load(w.add(row));
            for i in 0..M {
                let x = S::load(x.add(i * stride + row));
                let v = S::mul(w, x);
                t[i] = S::add(t[i], v);
                u[i] = S::fma(v, x, u[i]);
            }
            row += S::W;
        }
        fold_all::<S>(&t, acc);
        fold_all::<S>(&u, acc.add(inputs));
    }
}

/// Σ w_s (1, x) for `weights` adjacent columns of weights.
///
/// # Safety
/// `x` holds `inputs` and `w` `weights` columns of `rows` numbers, a multiple of 8; `acc` holds [`moments_len`] numbers.
#[inline(always)]
pub(crate) unsafe fn moments<S: Simd>(
    x: *const f64,
    inputs: usize,
    w: *const f64,
    weights: usize,
    acc: *mut f64,
    rows: usize,
) {
    // SAFETY: the caller vouches for the columns
    unsafe {
        let side = 1 + inputs;
        let none = std::ptr::null_mut();
        column_sums::<S>(w, rows, weights, rows, acc, side);
        let mut s = 0;
        while s < weights {
            let m = (weights - s).min(6);
            let a = (w.add(s * rows), rows);
            let mut i = 0;
            while i < inputs {
                let n = (inputs - i).min(2);
                let b = (x.add(i * rows), rows);
                let at = acc.add(s * side + 1 + i);
                macro_rules! tile {
                    ($($m:literal $two:literal)*) => {
                        match (m, n) {
                            $(($m, 2) => {
                                let mut to = [0.0; $two];
                                product::<S, $m, 2, $two, false>(a, b, rows, none, none, none, to.as_mut_ptr());
                                for k in 0..$m {
                                    *at.add(k * side) += to[2 * k];
                                    *at.add(k * side + 1) += to[2 * k + 1];
                                }
                            }
                            ($m, _) => {
                                let mut to = [0.0; $m];
                                product::<S, $m, 1, $m, false>(a, b, rows, none, none, none, to.as_mut_ptr());
                                for k in 0..$m {
                                    *at.add(k * side) += to[k];
                                }
                            })*
                            _ => unreachable!(),
                        }
                    };
                }
                tile!(1 2 2 4 3 6 4 8 5 10 6 12);
                i += n;
            }
            s += m;
        }
    }
}
