//! Weighted second moments with lanes along the inputs: `Σ_r w_r x_r x_rᵀ` over the rows whose weight is not 0.
//!
//! The block is turned once, for all components, so that a row is contiguous. Then a component takes only its own rows:
//! after a few iterations most responsibilities are 0 (see [`super::softmax`]). No tile has lanes to fold. Sums lie in
//! blocks of four columns, `[4][units × 4]`, from the diagonal down, the same on every machine; a block's units are rounded
//! up to even, for eight lanes.

use super::simd::Simd;
use super::syrk::PIECE;
use std::cell::RefCell;

/// Inputs of a unit, and columns of a block of sums.
pub(crate) const UNIT: usize = 4;

/// Numbers of weighted rows that are kept together: half the first cache.
const ROOM: usize = 2048;

/// Weighted rows that are kept together.
fn piece(stride: usize) -> usize {
    (ROOM / stride).clamp(16, PIECE)
}

/// Units of four that hold the inputs.
fn units(inputs: usize) -> usize {
    inputs.div_ceil(UNIT)
}

/// Numbers in a row of a block of sums: its units, rounded up to even.
fn width(units: usize, block: usize) -> usize {
    UNIT * (units - block).next_multiple_of(2)
}

/// Length of the sums of a component.
pub(crate) fn len(inputs: usize) -> usize {
    let units = units(inputs);
    (0..units).map(|block| UNIT * width(units, block)).sum()
}

/// Adds the sums to the symmetric `(p+1)×(p+1)` matrix `out`, below its first row and right of its first column.
pub(crate) fn fold(sums: &[f64], inputs: usize, out: &mut [f64]) {
    let (units, side) = (units(inputs), inputs + 1);
    let mut sums = sums;
    for block in 0..units {
        let (width, first) = (width(units, block), UNIT * block);
        let (mine, rest) = sums.split_at(UNIT * width);
        sums = rest;
        for (j, column) in (first..inputs.min(first + UNIT)).zip(mine.chunks_exact(width)) {
            // from the diagonal on: the row above it, and its mirror
            let column = &column[j - first..inputs - first];
            let row = &mut out[(1 + j) * side + 1 + j..][..inputs - j];
            row.iter_mut().zip(column).for_each(|(o, s)| *o += s);
            let mirror = out.iter_mut().skip((2 + j) * side + 1 + j).step_by(side);
            mirror.zip(&column[1..]).for_each(|(o, s)| *o += s);
        }
    }
}

thread_local! {
    /// The turned rows, and those of one component times its weights.
    static TURNED: RefCell<[Vec<f64>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Two pieces of scratch, valid until the next call on this thread. (Pointers and no closure: a closure would not be
/// compiled for the vector instructions of its caller.)
fn scratch(size: usize) -> [*mut f64; 2] {
    TURNED.with_borrow_mut(|both| {
        both.each_mut().map(|v| {
            // eight more, to begin where a cache line does
            if v.len() < size + 8 {
                v.resize(size + 8, 0.0);
            }
            let skip = v.as_ptr().align_offset(64).min(8);
            v[skip..].as_mut_ptr()
        })
    })
}

/// Zeros for the columns that fill the last unit.
static ZEROS: [f64; UNIT] = [0.0; UNIT];

/// Rows of a component whose weights are not 0: the first `n` of `rows`. The rest is room for four at a time.
pub(crate) struct Live {
    rows: [u32; PIECE + UNIT],
    pub n: usize,
}

/// The places of the bits of a mask of four, in order.
static PLACES: [[u32; UNIT]; 16] = {
    let mut all = [[0; UNIT]; 16];
    let mut mask = 0;
    while mask < 16 {
        let (mut n, mut i) = (0, 0);
        while i < UNIT {
            if mask >> i & 1 == 1 {
                all[mask][n] = i as u32;
                n += 1;
            }
            i += 1;
        }
        mask += 1;
    }
    all
};

/// Bits in a mask of four. (The instruction is not in every machine's base set.)
static COUNTS: [u8; 16] = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];

/// Numbers that are not 0.
///
/// # Safety
/// `w` holds `rows` numbers, a multiple of four.
#[inline(always)]
pub(crate) unsafe fn count<S: Simd>(w: *const f64, rows: usize) -> usize {
    let (mut n, mut row) = (0, 0);
    while row < rows {
        // SAFETY: row + 3 < rows
        n += usize::from(COUNTS[unsafe { S::nonzero4(w.add(row)) } & 15]);
        row += UNIT;
    }
    n
}

impl Live {
    pub fn new() -> Self {
        Self {
            rows: [0; PIECE + UNIT],
            n: 0,
        }
    }

    /// # Safety
    /// `w` holds `rows` numbers, a multiple of four, at most [`PIECE`].
    #[inline(always)]
    pub unsafe fn find<S: Simd>(&mut self, w: *const f64, rows: usize) {
        self.n = 0;
        for row in (0..rows).step_by(UNIT) {
            // SAFETY: row + 3 < rows, of which there are at most PIECE
            unsafe { self.push(row, S::nonzero4(w.add(row))) };
        }
    }

    /// Adds those of the four rows from `row` whose bit is set.
    ///
    /// # Safety
    /// Fewer than [`PIECE`] rows have been looked at so far.
    #[inline(always)]
    pub unsafe fn push(&mut self, row: usize, mask: usize) {
        let mut four = PLACES[mask & 15];
        for place in &mut four {
            *place += row as u32;
        }
        // SAFETY: n is at most the number of rows looked at, and there is room for four more
        unsafe {
            self.rows
                .as_mut_ptr()
                .add(self.n)
                .cast::<[u32; UNIT]>()
                .write_unaligned(four)
        };
        self.n += COUNTS[mask & 15] as usize;
    }

    /// The first `n` rows, in order.
    #[inline(always)]
    pub fn rows(&self) -> &[u32] {
        &self.rows[..self.n]
    }
}

/// Rows of a block, turned when the first component asks for them.
pub(crate) struct Turned {
    /// Columns at distance `distance`.
    columns: *const f64,
    distance: usize,
    inputs: usize,
    rows: usize,
    /// Scratch: the turned rows, and a component's times its weights. Null before.
    turned: *mut f64,
    scaled: *mut f64,
}

/// The turned rows of a component, and their weights.
#[derive(Clone, Copy)]
struct Rows<'a> {
    x: *const f64,
    stride: usize,
    w: *const f64,
    live: &'a [u32],
}

impl Rows<'_> {
    /// Row and weight of a live row.
    ///
    /// # Safety
    /// There are more than `r` live rows.
    #[inline(always)]
    unsafe fn get(&self, r: usize) -> (*const f64, f64) {
        // SAFETY: the caller vouches for r; live rows are among the turned
        unsafe {
            let row = *self.live.get_unchecked(r) as usize;
            (self.x.add(row * self.stride), *self.w.add(row))
        }
    }
}

impl Turned {
    /// `rows` (a multiple of four) of `inputs` columns at a distance.
    pub fn new(columns: *const f64, distance: usize, inputs: usize, rows: usize) -> Self {
        Self {
            columns,
            distance,
            inputs,
            rows,
            turned: std::ptr::null_mut(),
            scaled: std::ptr::null_mut(),
        }
    }

    /// Adds `Σ w x` of a component to `first` and `Σ w x xᵀ` to `square`, which holds [`len`] numbers.
    ///
    /// # Safety
    /// The columns hold `rows` numbers and `w` as many, at most [`PIECE`]; `first` is valid for the inputs. No other call of
    /// this thread turns rows between two calls.
    #[inline(always)]
    pub unsafe fn add<S: Simd>(&mut self, live: &Live, w: *const f64, first: *mut f64, square: *mut f64) {
        let units = units(self.inputs);
        // SAFETY: the caller vouches for the columns
        let (_, stride) = unsafe { self.rows::<S>() };
        let piece = piece(stride);
        for live in live.rows[..live.n].chunks(piece) {
            let rows = Rows {
                x: self.turned,
                stride,
                w,
                live,
            };
            // SAFETY: the caller vouches for the weights and the sums; at most `piece` rows are scaled
            unsafe {
                first_moments::<S>(rows, self.inputs, first);
                match units {
                    1 => one_block::<S>(rows, square),
                    2 => two_blocks::<S>(rows, square),
                    _ => blocks::<S>(rows, self.scaled, units, square),
                }
            }
        }
    }

    /// The turned rows, and the distance from one to the next: the inputs, filled up to a multiple of four with zeros.
    ///
    /// # Safety
    /// The columns hold `rows` numbers, at most [`PIECE`]. No other call of this thread turns rows while these are used.
    #[inline(always)]
    pub unsafe fn rows<S: Simd>(&mut self) -> (*const f64, usize) {
        let stride = UNIT * units(self.inputs);
        if self.turned.is_null() {
            // vectors may read beyond the last input: of the next row, to sums that nobody looks at
            [self.turned, self.scaled] = scratch(self.rows.max(piece(stride)) * stride + 4 * UNIT);
            // SAFETY: the scratch has that size
            unsafe { self.turn::<S>(stride) };
        }
        (self.turned, stride)
    }

    /// Turns the rows.
    ///
    /// # Safety
    /// `turned` holds `rows` times `stride` numbers.
    #[inline(always)]
    unsafe fn turn<S: Simd>(&self, stride: usize) {
        let mut i = 0;
        while i < stride {
            let mut r = 0;
            while r < self.rows {
                // SAFETY: column i + c for i + c < inputs, r < rows; four numbers of each column and row
                unsafe {
                    let mut columns = [ZEROS.as_ptr(); UNIT];
                    for (c, column) in columns.iter_mut().enumerate() {
                        if i + c < self.inputs {
                            *column = self.columns.add((i + c) * self.distance + r);
                        }
                    }
                    S::transpose4(columns, self.turned.add(r * stride + i), stride);
                }
                r += UNIT;
            }
            i += UNIT;
        }
    }
}

/// Σ w x.
///
/// # Safety
/// `acc` is valid for the inputs, `x` as in [`one_block`].
#[inline(always)]
unsafe fn first_moments<S: Simd>(x: Rows<'_>, inputs: usize, acc: *mut f64) {
    let mut i = 0;
    while i < inputs {
        let (mut even, mut odd) = ([S::set(0.0); 2], [S::set(0.0); 2]);
        let mut r = 0;
        // SAFETY: r, and r + 1 within the first loop, are below the number of live rows; rows hold whole pairs of vectors
        // or are followed by room
        unsafe {
            while r + 1 < x.live.len() {
                let ((a, v), (b, w)) = (x.get(r), x.get(r + 1));
                for l in 0..2 {
                    even[l] = S::fma(S::set(v), S::load(a.add(i + l * S::W)), even[l]);
                    odd[l] = S::fma(S::set(w), S::load(b.add(i + l * S::W)), odd[l]);
                }
                r += 2;
            }
            if r < x.live.len() {
                let (a, v) = x.get(r);
                for l in 0..2 {
                    even[l] = S::fma(S::set(v), S::load(a.add(i + l * S::W)), even[l]);
                }
            }
            let mut sums = [0.0; 16];
            for l in 0..2 {
                S::store(sums.as_mut_ptr().add(l * S::W), S::add(even[l], odd[l]));
            }
            for l in 0..(2 * S::W).min(inputs - i) {
                *acc.add(i + l) += sums[l];
            }
        }
        i += 2 * S::W;
    }
}

/// Adds `V` vectors to each of the four rows of a block of sums.
///
/// # Safety
/// `acc` holds four rows at distance `width`, valid for V vectors.
#[inline(always)]
unsafe fn add<S: Simd, const V: usize>(sums: &[[S::V; V]; UNIT], acc: *mut f64, width: usize) {
    for (j, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: the caller vouches for the places
            unsafe {
                let at = acc.add(j * width + v * S::W);
                S::store(at, S::add(S::load(at), *sum));
            }
        }
    }
}

/// `sums[j] += by[j] · x` for four columns.
///
/// # Safety
/// `by` holds four numbers.
#[inline(always)]
unsafe fn rank_one<S: Simd, const V: usize>(sums: &mut [[S::V; V]; UNIT], x: &[S::V; V], by: *const f64) {
    for j in 0..UNIT {
        // SAFETY: the caller vouches for four numbers
        let y = S::set(unsafe { *by.add(j) });
        for v in 0..V {
            sums[j][v] = S::fma(x[v], y, sums[j][v]);
        }
    }
}

/// `V` vectors times a number.
///
/// # Safety
/// `x` is valid for V vectors.
#[inline(always)]
unsafe fn scaled_row<S: Simd, const V: usize>(x: *const f64, weight: f64) -> [S::V; V] {
    let mut out = [S::set(0.0); V];
    let w = S::set(weight);
    for (v, out) in out.iter_mut().enumerate() {
        // SAFETY: the caller vouches for V vectors
        *out = S::mul(w, unsafe { S::load(x.add(v * S::W)) });
    }
    out
}

/// Four inputs or fewer.
///
/// # Safety
/// Rows are turned and weights those of their rows; `acc` holds the sums.
#[inline(always)]
unsafe fn one_block<S: Simd>(x: Rows<'_>, acc: *mut f64) {
    macro_rules! with {
        ($v:literal) => {{
            // two rows at a time, each with its sums: one row's would wait for each other
            let mut even = [[S::set(0.0); $v]; UNIT];
            let mut odd = even;
            let mut r = 0;
            // SAFETY: r, and r + 1 within the loop, are below the number of live rows
            unsafe {
                while r + 1 < x.live.len() {
                    let (row, w) = x.get(r);
                    rank_one::<S, $v>(&mut even, &scaled_row::<S, $v>(row, w), row);
                    let (row, w) = x.get(r + 1);
                    rank_one::<S, $v>(&mut odd, &scaled_row::<S, $v>(row, w), row);
                    r += 2;
                }
                if r < x.live.len() {
                    let (row, w) = x.get(r);
                    rank_one::<S, $v>(&mut even, &scaled_row::<S, $v>(row, w), row);
                }
            }
            // SAFETY: the caller vouches for the sums
            unsafe {
                add::<S, $v>(&even, acc, width(1, 0));
                add::<S, $v>(&odd, acc, width(1, 0));
            }
        }};
    }
    match S::W {
        2 => with!(2),
        _ => with!(1),
    }
}

/// Five to eight inputs: all sums in registers.
///
/// # Safety
/// As [`one_block`].
#[inline(always)]
unsafe fn two_blocks<S: Simd>(x: Rows<'_>, acc: *mut f64) {
    macro_rules! with {
        ($first:literal $second:literal) => {{
            let mut first = [[S::set(0.0); $first]; UNIT];
            let mut second = [[S::set(0.0); $second]; UNIT];
            for r in 0..x.live.len() {
                // SAFETY: r is a live row; there is room behind the last unit
                unsafe {
                    let (row, w) = x.get(r);
                    rank_one::<S, $first>(&mut first, &scaled_row::<S, $first>(row, w), row);
                    let below = row.add(UNIT);
                    rank_one::<S, $second>(&mut second, &scaled_row::<S, $second>(below, w), below);
                }
            }
            // SAFETY: the caller vouches for the sums
            unsafe {
                add::<S, $first>(&first, acc, width(2, 0));
                add::<S, $second>(&second, acc.add(UNIT * width(2, 0)), width(2, 1));
            }
        }};
    }
    match S::W {
        2 => with!(4 2),
        4 => with!(2 1),
        _ => with!(1 1),
    }
}

/// More than eight inputs: weighted rows are kept, and tiles of four columns by some vectors pass over them.
///
/// # Safety
/// As [`one_block`]; `scaled` holds as many rows at the same stride as there are live ones.
#[inline(always)]
unsafe fn blocks<S: Simd>(x: Rows<'_>, scaled: *mut f64, units: usize, acc: *mut f64) {
    let mut places = [0; PIECE];
    // SAFETY: the caller vouches for the rows and the sums; tiles stay within a block's width
    unsafe {
        for r in 0..x.live.len() {
            let ((from, w), to) = (x.get(r), scaled.add(r * x.stride));
            places[r] = x.live[r] * x.stride as u32;
            let mut i = 0;
            while i < UNIT * units {
                S::store(to.add(i), S::mul(S::set(w), S::load(from.add(i))));
                i += S::W;
            }
        }
        let places = &places[..x.live.len()];
        let mut acc = acc;
        for block in 0..units {
            let width = width(units, block);
            let by = scaled.add(UNIT * block).cast_const();
            let mut left = (UNIT * (units - block)).div_ceil(S::W);
            let mut i = 0;
            while left > 0 {
                // four are two and two: one alone has few sums, which wait for each other
                let v = if left == 4 { 2 } else { left.min(S::TILE) };
                let (from, to) = (x.x.add(UNIT * block + i), acc.add(i));
                match v {
                    3 => {
                        let mut sums = [[S::set(0.0); 3]; UNIT];
                        S::tile3(from, places, by, x.stride, &mut sums);
                        add::<S, 3>(&sums, to, width);
                    }
                    2 => tile::<S, 2>(from, places, by, x.stride, to, width),
                    _ => tile::<S, 1>(from, places, by, x.stride, to, width),
                }
                left -= v;
                i += v * S::W;
            }
            acc = acc.add(UNIT * width);
        }
    }
}

/// `V` vectors of inputs by four columns.
///
/// # Safety
/// Every place of `x` is valid for V vectors, `by` for four numbers at as many multiples of `stride`; `acc` as in [`add`].
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize>(
    x: *const f64,
    at: &[u32],
    by: *const f64,
    stride: usize,
    acc: *mut f64,
    width: usize,
) {
    let mut even = [[S::set(0.0); V]; UNIT];
    let mut odd = even;
    // SAFETY: the caller vouches for the places and the sums
    unsafe {
        let mut r = 0;
        if V == 1 {
            while r + 1 < at.len() {
                rank_one::<S, V>(&mut even, &row::<S, V>(x.add(at[r] as usize)), by.add(r * stride));
                rank_one::<S, V>(
                    &mut odd,
                    &row::<S, V>(x.add(at[r + 1] as usize)),
                    by.add((r + 1) * stride),
                );
                r += 2;
            }
            add::<S, V>(&odd, acc, width);
        }
        while r < at.len() {
            rank_one::<S, V>(&mut even, &row::<S, V>(x.add(at[r] as usize)), by.add(r * stride));
            r += 1;
        }
        add::<S, V>(&even, acc, width);
    }
}

/// # Safety
/// `x` is valid for V vectors.
#[inline(always)]
unsafe fn row<S: Simd, const V: usize>(x: *const f64) -> [S::V; V] {
    let mut out = [S::set(0.0); V];
    for (v, out) in out.iter_mut().enumerate() {
        // SAFETY: the caller vouches for V vectors
        *out = unsafe { S::load(x.add(v * S::W)) };
    }
    out
}
