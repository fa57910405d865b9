//! Matrix products in f32 and f64: c (+)= a b, by tiles of c that stay in registers.
//!
//! An element of c is one chain of multiply-adds over each block of [`depth`] of the inner index, blocks in order: its bits
//! depend on the inner length alone, not on how rows and columns are shared among threads. Rows of a are read where they
//! stand, with any strides; b either where it stands (adjacent columns) or packed into panels of [`Products::width`]
//! columns.

use super::Float;
use crate::block;
use std::ops::Range;

/// A vector.
trait Wide<T>: Copy {
    /// Its lanes.
    const W: usize;
    /// # Safety
    /// `p` is readable for `W` numbers.
    unsafe fn load(p: *const T) -> Self;
    /// # Safety
    /// `p` is writable for `W` numbers.
    unsafe fn store(self, p: *mut T);
    /// # Safety
    /// The machine has the vector's instructions, as for the two below.
    unsafe fn set(x: T) -> Self;
    /// a b + c
    unsafe fn fma(a: Self, b: Self, c: Self) -> Self;
    unsafe fn add(a: Self, b: Self) -> Self;
}

/// What the compiler makes of it, on any machine.
#[derive(Clone, Copy)]
struct Portable<T>([T; 4]);

macro_rules! wide {
    ($t:ty) => {
        impl Wide<$t> for Portable<$t> {
            const W: usize = 4;
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                // SAFETY: the caller vouches for four numbers
                Self(unsafe { p.cast::<[$t; 4]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: as above
                unsafe { p.cast::<[$t; 4]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn set(x: $t) -> Self {
                Self([x; 4])
            }
            #[inline(always)]
            unsafe fn fma(a: Self, b: Self, c: Self) -> Self {
                let fused = |l: usize| {
                    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                        a.0[l].mul_add(b.0[l], c.0[l])
                    } else {
                        a.0[l] * b.0[l] + c.0[l]
                    }
                };
                Self(std::array::from_fn(fused))
            }
            #[inline(always)]
            unsafe fn add(a: Self, b: Self) -> Self {
                Self(std::array::from_fn(|l| a.0[l] + b.0[l]))
            }
        }
    };
    ($t:ty, $v:ident, $w:literal, $load:ident, $store:ident, $set:ident, $fma:ident, $add:ident) => {
        #[cfg(target_arch = "x86_64")]
        impl Wide<$t> for std::arch::x86_64::$v {
            const W: usize = $w;
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                // SAFETY: the caller vouches for the place and the machine, as below
                unsafe { std::arch::x86_64::$load(p) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: as above
                unsafe { std::arch::x86_64::$store(p, self) }
            }
            #[inline(always)]
            unsafe fn set(x: $t) -> Self {
                // SAFETY: as above
                unsafe { std::arch::x86_64::$set(x) }
            }
            #[inline(always)]
            unsafe fn fma(a: Self, b: Self, c: Self) -> Self {
                // SAFETY: as above
                unsafe { std::arch::x86_64::$fma(a, b, c) }
            }
            #[inline(always)]
            unsafe fn add(a: Self, b: Self) -> Self {
                // SAFETY: as above
                unsafe { std::arch::x86_64::$add(a, b) }
            }
        }
    };
}

wide!(f32);
wide!(f64);
wide!(
    f32,
    __m256,
    8,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps
);
wide!(
    f64,
    __m256d,
    4,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_set1_pd,
    _mm256_fmadd_pd,
    _mm256_add_pd
);
wide!(
    f32,
    __m512,
    16,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps
);
wide!(
    f64,
    __m512d,
    8,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_set1_pd,
    _mm512_fmadd_pd,
    _mm512_add_pd
);

/// Length of a block of the inner index: a panel of b stays in the first cache. Blocks of an inner length are equally long,
/// give or take one.
#[must_use]
pub fn depth(inner: usize) -> usize {
    const MOST: usize = 224;
    inner.div_ceil(inner.div_ceil(MOST).max(1)).max(1)
}

/// One product, or some rows of one.
#[derive(Debug, Clone, Copy)]
pub struct Product<T> {
    /// Rows of a and c.
    pub m: usize,
    /// Columns of b and c.
    pub n: usize,
    /// Inner length.
    pub k: usize,
    /// Element (i, l) stands at `a + i · a_row + l · a_col`.
    pub a: *const T,
    /// From one row of a to the next.
    pub a_row: usize,
    /// From one column of a to the next.
    pub a_col: usize,
    /// Element (l, j) stands at `b + l · b_row + j`, or b is packed.
    pub b: *const T,
    /// From one row of b to the next; 0 for a packed b.
    pub b_row: usize,
    /// Element (i, j) stands at `c + i · c_row + j`.
    pub c: *mut T,
    /// From one row of c to the next.
    pub c_row: usize,
    /// Add to what stands in c.
    pub add: bool,
    /// Room for [`SCRATCH`] numbers of this thread's own.
    pub scratch: *mut T,
}

/// Numbers of a product's scratch: a panel and a tile. (Not on the stack: a frame of several pages is probed, and LLVM was
/// seen to lose a register to that.)
pub const SCRATCH: usize = PANEL + TILE + CHUNK * 225;

/// The products of one instruction set.
pub struct Products<T> {
    /// Columns of a panel.
    pub width: usize,
    /// Rows of a tile.
    pub height: usize,
    /// # Safety
    /// Operands are valid for their shapes (a packed b for [`Products::packed_len`]), c is not read by another operand.
    pub run: unsafe fn(&Product<T>),
}

impl<T: Float> Products<T> {
    /// Numbers of a packed b.
    #[must_use]
    pub fn packed_len(&self, k: usize, n: usize) -> usize {
        k * n.next_multiple_of(self.width)
    }

    /// Packs rows `ls` and columns `js` of b, whose element (l, j) stands at `b + l · row + j · col`: for each block of the
    /// inner index, one panel after the other, [`Products::width`] numbers for each l; the last panel, where it is asked
    /// for, is filled up with 0.
    ///
    /// # Safety
    /// `b` is valid for its shape, `out` for [`Products::packed_len`]; strides are not both over 1.
    pub unsafe fn pack(
        &self,
        (k, n): (usize, usize),
        b: *const T,
        (row, col): (usize, usize),
        out: *mut T,
        (ls, js): (Range<usize>, Range<usize>),
    ) {
        let (width, block) = (self.width, depth(k));
        let padded = n.next_multiple_of(width);
        for first in (0..k).step_by(block) {
            let len = block.min(k - first);
            let lines = ls.start.max(first)..ls.end.min(first + len);
            if lines.is_empty() {
                continue;
            }
            let lines = lines.start - first..lines.end - first;
            for p in js.start / width..js.end.div_ceil(width) {
                let start = p * width;
                let used = js.start.max(start) - start..js.end.min(start + width) - start;
                // SAFETY: the caller vouches for the operands; indices are inside their shapes
                unsafe {
                    let from = b.add(first * row + start * col);
                    let to = out.add(first * padded + start * len);
                    if col == 1 {
                        pack_straight(from, row, to, width, lines.clone(), used.clone());
                    } else {
                        pack_turned(from, (row, col), to, width, lines.clone(), used.clone());
                    }
                    if start + used.end == n {
                        fill_up(to, width, lines.clone(), used.end);
                    }
                }
            }
        }
    }
}

/// Zeros behind the columns of the last panel.
///
/// # Safety
/// As [`Products::pack`].
unsafe fn fill_up<T: Float>(to: *mut T, width: usize, lines: Range<usize>, from: usize) {
    for l in lines {
        // SAFETY: the caller vouches for the panel
        (from..width).for_each(|j| unsafe { *to.add(l * width + j) = T::ZERO });
    }
}

/// Part of a panel of a b whose columns are apart, in squares that stay in the first cache.
///
/// # Safety
/// As [`Products::pack`].
unsafe fn pack_turned<T: Float>(
    from: *const T,
    (row, col): (usize, usize),
    to: *mut T,
    width: usize,
    lines: Range<usize>,
    columns: Range<usize>,
) {
    const LINE: usize = 16;
    // SAFETY: the caller vouches for the operands
    unsafe {
        for l0 in lines.clone().step_by(LINE) {
            let l1 = (l0 + LINE).min(lines.end);
            // columns lie far apart: a stream for each is more than a machine foresees
            columns
                .clone()
                .for_each(|j| fetch(from.wrapping_add((l0 + 2 * LINE) * row + j * col)));
            for j0 in columns.clone().step_by(4) {
                let whole = row == 1 && j0 + 4 <= columns.end;
                let mut l = l0;
                while whole && l + 4 <= l1 {
                    T::turn4(from.add(l + j0 * col), col, to.add(l * width + j0), width);
                    l += 4;
                }
                for l in l..l1 {
                    for j in j0..(j0 + 4).min(columns.end) {
                        *to.add(l * width + j) = *from.add(l * row + j * col);
                    }
                }
            }
        }
    }
}

/// Rows of a panel whose columns are adjacent; whole ones by copies of fixed length, which need no call.
///
/// # Safety
/// As [`Products::pack`].
unsafe fn pack_straight<T: Float>(
    from: *const T,
    row: usize,
    to: *mut T,
    width: usize,
    lines: Range<usize>,
    columns: Range<usize>,
) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        if columns == (0..width) && width.is_multiple_of(8) {
            for l in lines {
                let (from, to) = (from.add(l * row), to.add(l * width));
                for j in (0..width).step_by(8) {
                    let numbers = from.add(j).cast::<[T; 8]>().read_unaligned();
                    to.add(j).cast::<[T; 8]>().write_unaligned(numbers);
                }
            }
        } else {
            for l in lines {
                let (from, to) = (from.add(l * row), to.add(l * width));
                columns.clone().for_each(|j| *to.add(j) = *from.add(j));
            }
        }
    }
}

/// The most numbers of a tile.
const TILE: usize = 8 * 48;

/// The most numbers of a panel of one block.
const PANEL: usize = 225 * 48;

/// Rows of a that are packed together.
const CHUNK: usize = 96;

/// One multiply-add of a tile with each of its elements.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn rank_one<T: Float, V: Wide<T>, const MR: usize, const NV: usize>(
    acc: &mut [[V; NV]; MR],
    left: impl Fn(usize) -> *const T,
    line: *const T,
) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        let right: [V; NV] = std::array::from_fn(|v| V::load(line.add(v * V::W)));
        for i in 0..MR {
            let left = V::set(*left(i));
            for v in 0..NV {
                acc[i][v] = V::fma(left, right[v], acc[i][v]);
            }
        }
    }
}

/// Steps of the inner loop that are written out.
const UNROLL: usize = 4;

/// A tile of c: `m` ≤ `MR` rows, `n` ≤ `NV` vectors of columns. Of a packed a, `MR` rows stand side by side.
///
/// # Safety
/// As [`Products::run`]; `b` is readable for whole vectors.
#[inline(always)]
unsafe fn tile<T: Float, V: Wide<T>, const MR: usize, const NV: usize, const PACKED: bool>(
    k: usize,
    a: *const T,
    a_row: usize,
    b: *const T,
    b_row: usize,
    c: *mut T,
    c_row: usize,
    (m, n): (usize, usize),
    add: bool,
    buffer: *mut T,
) {
    // SAFETY: the caller vouches for the operands; a row that is not there is read as the first
    unsafe {
        let mut acc = [[V::set(T::ZERO); NV]; MR];
        let offsets: [usize; MR] = std::array::from_fn(|i| if i < m { i * a_row } else { 0 });
        let at = |a: *const T, l: usize, i: usize| {
            if PACKED {
                a.add(l * MR + i)
            } else {
                a.add(offsets[i] + l)
            }
        };
        (0..m).for_each(|i| fetch(c.wrapping_add(i * c_row)));
        let (mut a, mut b) = (a, b);
        for _ in 0..k / UNROLL {
            for l in 0..UNROLL {
                rank_one::<T, V, MR, NV>(&mut acc, |i| at(a, l, i), b.add(l * b_row));
            }
            a = a.add(if PACKED { UNROLL * MR } else { UNROLL });
            b = b.add(UNROLL * b_row);
        }
        for l in 0..k % UNROLL {
            rank_one::<T, V, MR, NV>(&mut acc, |i| at(a, l, i), b.add(l * b_row));
        }
        if n == NV * V::W {
            for i in (0..MR).take_while(|&i| i < m) {
                for v in 0..NV {
                    let place = c.add(i * c_row + v * V::W);
                    let sum = if add {
                        V::add(V::load(place), acc[i][v])
                    } else {
                        acc[i][v]
                    };
                    sum.store(place);
                }
            }
        } else {
            for i in 0..MR {
                for v in 0..NV {
                    acc[i][v].store(buffer.add((i * NV + v) * V::W));
                }
            }
            for i in 0..m {
                for j in 0..n {
                    let (place, sum) = (c.add(i * c_row + j), *buffer.add(i * NV * V::W + j));
                    *place = if add { (*place).plus(sum) } else { sum };
                }
            }
        }
    }
}

/// A tile of as many vectors as its columns fill: the last panel's may be fewer than `NV`.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn fitting<T: Float, V: Wide<T>, const MR: usize, const NV: usize, const PACKED: bool>(
    k: usize,
    a: *const T,
    a_row: usize,
    b: *const T,
    b_row: usize,
    c: *mut T,
    c_row: usize,
    shape: (usize, usize),
    add: bool,
    buffer: *mut T,
) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        match shape.1.div_ceil(V::W) {
            1 if NV > 1 => tile::<T, V, MR, 1, PACKED>(k, a, a_row, b, b_row, c, c_row, shape, add, buffer),
            2 if NV > 2 => tile::<T, V, MR, 2, PACKED>(k, a, a_row, b, b_row, c, c_row, shape, add, buffer),
            _ => tile::<T, V, MR, NV, PACKED>(k, a, a_row, b, b_row, c, c_row, shape, add, buffer),
        }
    }
}

/// Rows of a side by side, `MR` at a time: element (i, l) of a tile at `l · MR + i`; rows that are not there are 0.
///
/// # Safety
/// As [`Products::run`]; `to` has room.
#[inline(always)]
unsafe fn pack_rows<T: Float, const MR: usize>(m: usize, k: usize, a: *const T, row: usize, col: usize, to: *mut T) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        for i in (0..m).step_by(MR) {
            let (from, to) = (a.add(i * row), to.add(i * k));
            let used = MR.min(m - i);
            if used == MR && row == 1 {
                for l in 0..k {
                    let numbers = from.add(l * col).cast::<[T; MR]>().read_unaligned();
                    to.add(l * MR).cast::<[T; MR]>().write_unaligned(numbers);
                }
            } else {
                for l in 0..k {
                    for i in 0..MR {
                        *to.add(l * MR + i) = if i < used {
                            *from.add(i * row + l * col)
                        } else {
                            T::ZERO
                        };
                    }
                }
            }
        }
    }
}

/// A whole product.
///
/// # Safety
/// As [`Products::run`].
#[inline(always)]
unsafe fn product<T: Float, V: Wide<T>, const MR: usize, const NV: usize>(p: &Product<T>) {
    let width = NV * V::W;
    let block = depth(p.k);
    let padded = p.n.next_multiple_of(width);
    let panel = p.scratch;
    let pack = p.a_col != 1;
    // SAFETY: the caller vouches for the operands; the last panel of an unpacked b is copied, so that whole vectors of it
    // can be read
    unsafe {
        let (buffer, rows) = (panel.add(PANEL), panel.add(PANEL + TILE));
        for first in (0..p.k.max(1)).step_by(block) {
            let len = block.min(p.k - first);
            let add = p.add || first > 0;
            for from in (0..p.m).step_by(CHUNK) {
                let m = CHUNK.min(p.m - from);
                let a = p.a.add(from * p.a_row + first * p.a_col);
                if pack {
                    pack_rows::<T, MR>(m, len, a, p.a_row, p.a_col, rows);
                }
                // where the panel of column j stands, and how far its rows are apart
                let stands = |j: usize| {
                    if p.b_row == 0 {
                        (p.b.add(first * padded + j * len), width)
                    } else {
                        (p.b.add(first * p.b_row + j), p.b_row)
                    }
                };
                for j in (0..p.n).step_by(width) {
                    let n = width.min(p.n - j);
                    let (mut b, mut b_row) = stands(j);
                    if p.b_row != 0 && (n < width || m >= COPIED) {
                        pack_straight(b, b_row, panel, width, 0..len, 0..n);
                        fill_up(panel, width, 0..len, n);
                        (b, b_row) = (panel.cast_const(), width);
                    }
                    let next = (j + width < p.n).then(|| {
                        let (from, row) = stands(j + width);
                        Ahead {
                            from,
                            row,
                            share: len.div_ceil(m.div_ceil(MR)),
                            len,
                        }
                    });
                    for i in (0..m).step_by(MR) {
                        if let Some(next) = &next {
                            next.fetch(i / MR);
                        }
                        let c = p.c.add((from + i) * p.c_row + j);
                        let shape = (MR.min(m - i), n);
                        if pack {
                            let a = rows.add(i * len);
                            fitting::<T, V, MR, NV, true>(len, a, 0, b, b_row, c, p.c_row, shape, add, buffer);
                        } else {
                            let a = a.add(i * p.a_row);
                            fitting::<T, V, MR, NV, false>(len, a, p.a_row, b, b_row, c, p.c_row, shape, add, buffer);
                        }
                    }
                }
            }
        }
    }
}

/// The panel after the one at hand, to be fetched a share at a time while tiles of this one are worked out: its lines are too
/// far apart for the machine to foresee.
struct Ahead<T> {
    from: *const T,
    row: usize,
    share: usize,
    len: usize,
}

impl<T> Ahead<T> {
    /// Fetches share number `i`.
    #[inline(always)]
    fn fetch(&self, i: usize) {
        for l in i * self.share..((i + 1) * self.share).min(self.len) {
            fetch(self.from.wrapping_add(l * self.row));
        }
    }
}

/// Says that a line will be used soon.
#[inline(always)]
fn fetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: fetching is not an access; any place will do
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(place.cast());
    }
}

/// From so many rows on, a panel of b is copied.
const COPIED: usize = 24;

macro_rules! products {
    ($name:ident, $t:ty, $v:ty, $mr:literal, $nv:literal $(, #[$feature:meta])?) => {
        mod $name {
            use super::*;
            #[cfg(target_arch = "x86_64")]
            #[allow(unused_imports)]
            use std::arch::x86_64::*;

            $(#[$feature])?
            unsafe fn run(p: &Product<$t>) {
                // SAFETY: the caller vouches for the operands
                unsafe { product::<$t, $v, $mr, $nv>(p) }
            }

            pub(super) static PRODUCTS: Products<$t> =
                Products { width: $nv * <$v as Wide<$t>>::W, height: $mr, run };
        }
    };
}

products!(portable32, f32, Portable<f32>, 4, 2);
products!(portable64, f64, Portable<f64>, 4, 1);
#[cfg(target_arch = "x86_64")]
products!(avx2_32, f32, __m256, 6, 2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
products!(avx2_64, f64, __m256d, 6, 2, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
products!(avx512_32, f32, __m512, 8, 3, #[target_feature(enable = "avx512f,avx2,fma")]);
#[cfg(target_arch = "x86_64")]
products!(avx512_64, f64, __m512d, 8, 3, #[target_feature(enable = "avx512f,avx2,fma")]);

/// The products of the same instruction set as [`block::kernels`].
macro_rules! chosen {
    ($name:ident, $t:ty, $portable:ident, $avx2:ident, $avx512:ident) => {
        pub(super) fn $name() -> &'static Products<$t> {
            match block::kernels().name {
                #[cfg(target_arch = "x86_64")]
                "avx512" => &$avx512::PRODUCTS,
                #[cfg(target_arch = "x86_64")]
                "avx2" => &$avx2::PRODUCTS,
                _ => &$portable::PRODUCTS,
            }
        }
    };
}

chosen!(of_f32, f32, portable32, avx2_32, avx512_32);
chosen!(of_f64, f64, portable64, avx2_64, avx512_64);
