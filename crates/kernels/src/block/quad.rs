//! `out = c − ½ Σⱼ (Σᵢ Gⱼᵢ xᵢ − hⱼ)²` for the rows of a block, for one component or many.
//!
//! Packed coefficients hold √½ G and −√½ h, so that a component starts at c and every output costs one fused multiply
//! for its square. Outputs come in tiles of four, the last tile first: `−h × 4`, then `G × 4` for every input that the tile
//! uses. The last outputs of a triangle hold what is known of the last inputs given all others, where components differ
//! most: what [`super::pruned`] looks at first.

use super::simd::Simd;

/// Outputs of a tile.
pub(super) const TILE: usize = 4;

/// Which coefficients may differ from 0; as in the loop IR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Row j uses every input.
    Dense,
    /// Row j uses inputs `0 ..= lead + j`.
    Triangular {
        /// Inputs that every row uses.
        lead: usize,
    },
    /// Row j uses input j alone.
    Diagonal,
}

/// Inputs that rows `0 .. upto` use; a dense shape is a triangle with a long lead.
#[inline(always)]
pub(super) fn limit(inputs: usize, lead: usize, upto: usize) -> usize {
    inputs.min(lead.saturating_add(upto))
}

/// The lead that stands for a shape.
fn lead_of(shape: Shape) -> usize {
    match shape {
        Shape::Triangular { lead } => lead,
        Shape::Dense | Shape::Diagonal => usize::MAX,
    }
}

/// Length of packed coefficients, the same on every machine.
#[must_use]
pub fn quad_packed_len(inputs: usize, outputs: usize, shape: Shape) -> usize {
    if shape == Shape::Diagonal {
        return 1 + 2 * outputs;
    }
    let tile = |first: usize| TILE * (1 + limit(inputs, lead_of(shape), (first + TILE).min(outputs)));
    1 + (0..outputs).step_by(TILE).map(tile).sum::<usize>()
}

/// Length of logical coefficients: `c`, then `h, G` row by row (`Diagonal`: `hⱼ, Gⱼⱼ`).
#[must_use]
pub fn quad_len(inputs: usize, outputs: usize, shape: Shape) -> usize {
    if shape == Shape::Diagonal {
        1 + 2 * outputs
    } else {
        1 + outputs * (1 + inputs)
    }
}

/// Packs logical coefficients.
///
/// # Panics
/// If a slice has not the length that [`quad_len`] or [`quad_packed_len`] gives.
pub fn pack_quad(src: &[f64], dst: &mut [f64], inputs: usize, outputs: usize, shape: Shape) {
    const SCALE: f64 = std::f64::consts::FRAC_1_SQRT_2;
    assert_eq!(src.len(), quad_len(inputs, outputs, shape), "logical coefficients");
    assert_eq!(
        dst.len(),
        quad_packed_len(inputs, outputs, shape),
        "packed coefficients"
    );
    dst[0] = src[0];
    if shape == Shape::Diagonal {
        for (to, from) in dst[1..].chunks_exact_mut(2).zip(src[1..].chunks_exact(2)) {
            to[0] = -SCALE * from[0];
            to[1] = SCALE * from[1];
        }
        return;
    }
    let lead = lead_of(shape);
    let mut to = 1;
    for first in (0..outputs).step_by(TILE).rev() {
        let used = limit(inputs, lead, (first + TILE).min(outputs));
        let tile = &mut dst[to..to + TILE * (1 + used)];
        tile.fill(0.0);
        for j in first..(first + TILE).min(outputs) {
            let row = &src[1 + j * (1 + inputs)..][..1 + inputs];
            tile[j - first] = -SCALE * row[0];
            for i in 0..limit(inputs, lead, j + 1) {
                tile[TILE * (1 + i) + j - first] = SCALE * row[1 + i];
            }
        }
        to += tile.len();
    }
}

/// What every variant works on.
#[derive(Clone, Copy)]
pub(crate) struct Quad {
    pub x: *const f64,
    pub inputs: usize,
    pub outputs: usize,
    pub lead: usize,
    pub coef: *const f64,
    pub coef_stride: usize,
    pub n: usize,
    pub out: *mut f64,
    pub out_stride: usize,
    pub add: bool,
    pub rows: usize,
}

/// Writes or adds `R` vectors.
///
/// # Safety
/// `out` must be valid for `R · W` numbers.
#[inline(always)]
unsafe fn put<S: Simd, const R: usize>(out: *mut f64, q: [S::V; R], add: bool) {
    for (r, q) in q.into_iter().enumerate() {
        // SAFETY: the caller vouches for R vectors
        unsafe {
            let at = out.add(r * S::W);
            S::store(at, if add { S::add(S::load(at), q) } else { q });
        }
    }
}

/// Subtracts the squares of `M` outputs of a tile from `q`. The first `full` inputs meet every output, the `tail` inputs
/// after them one output fewer each: the triangle's edge costs nothing.
///
/// # Safety
/// `x` must be valid for `full + tail` columns at distance `stride`, `R · W` rows each; `coef` for the tile.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const M: usize>(
    x: *const f64,
    stride: usize,
    coef: *const f64,
    full: usize,
    tail: usize,
    q: &mut [S::V; R],
) {
    // SAFETY: the caller vouches for the columns and the tile
    unsafe {
        let mut acc = [[S::set(0.0); R]; M];
        for (j, acc) in acc.iter_mut().enumerate() {
            *acc = [S::set(*coef.add(j)); R];
        }
        let mut g = coef.add(TILE);
        let mut x = x;
        macro_rules! input {
            ($from:expr) => {
                let mut v = [S::set(0.0); R];
                for r in 0..R {
                    v[r] = S::load(x.add(r * S::W));
                }
                for j in $from..M {
                    let c = S::set(*g.add(j));
                    for r in 0..R {
                        acc[j][r] = S::fma(c, v[r], acc[j][r]);
                    }
                }
                g = g.add(TILE);
                x = x.wrapping_add(stride);
            };
        }
        for _ in 0..full {
            input!(0);
        }
        if M > 1 && tail > 0 {
            input!(1);
        }
        if M > 2 && tail > 1 {
            input!(2);
        }
        if M > 3 && tail > 2 {
            input!(3);
        }
        let _ = (g, x);
        for acc in acc {
            for r in 0..R {
                q[r] = S::fnma(acc[r], acc[r], q[r]);
            }
        }
    }
}

/// As [`some_rows`] for a triangle of `D` inputs and outputs: everything about its shape is known to the compiler.
///
/// # Safety
/// As [`some_rows`], with `inputs = outputs = D` and no lead.
#[inline(always)]
unsafe fn fixed<S: Simd, const R: usize, const D: usize>(a: &Quad, coef: *const f64, out: *mut f64, row: usize) {
    let known = Quad {
        inputs: D,
        outputs: D,
        lead: 0,
        ..*a
    };
    // SAFETY: nothing but the compiler's knowledge changes
    unsafe { some_rows::<S, R>(&known, coef, out, row) }
}

/// Subtracts the squares of the tile that begins with output `first`; returns where the next tile's coefficients begin.
///
/// # Safety
/// `x` must be valid for `a.inputs` columns at distance `stride`, `R · W` rows each; `coef` for the tile.
#[inline(always)]
pub(super) unsafe fn tile_at<S: Simd, const R: usize>(
    a: &Quad,
    (x, stride): (*const f64, usize),
    coef: *const f64,
    first: usize,
    q: &mut [S::V; R],
) -> *const f64 {
    let m = TILE.min(a.outputs - first);
    let used = limit(a.inputs, a.lead, first + m);
    let full = limit(a.inputs, a.lead, first + 1);
    // SAFETY: the caller vouches for the operands
    unsafe {
        match m {
            4 => tile::<S, R, 4>(x, stride, coef, full, used - full, q),
            3 => tile::<S, R, 3>(x, stride, coef, full, used - full, q),
            2 => tile::<S, R, 2>(x, stride, coef, full, used - full, q),
            _ => tile::<S, R, 1>(x, stride, coef, full, used - full, q),
        }
        coef.add(TILE * (1 + used))
    }
}

/// `R` vectors of rows of one component.
///
/// # Safety
/// As [`run`], for rows `row .. row + R · W`.
#[inline(always)]
unsafe fn some_rows<S: Simd, const R: usize>(a: &Quad, coef: *const f64, out: *mut f64, row: usize) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        let x = a.x.add(row);
        let mut q = [S::set(*coef); R];
        let mut coef = coef.add(1);
        let mut left = a.outputs;
        while left > 0 {
            left = (left - 1) / TILE * TILE;
            coef = tile_at::<S, R>(a, (x, a.rows), coef, left, &mut q);
        }
        put::<S, R>(out.add(row), q, a.add);
    }
}

/// A triangle of `D` inputs and outputs: x stays in registers while the components pass.
///
/// # Safety
/// As [`run`], with `inputs = outputs = D` and no lead, for rows `row .. row + R · W`.
#[inline(always)]
unsafe fn tiny<S: Simd, const R: usize, const D: usize>(a: &Quad, row: usize) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        let mut x = [[S::set(0.0); R]; D];
        for (i, x) in x.iter_mut().enumerate() {
            for (r, x) in x.iter_mut().enumerate() {
                *x = S::load(a.x.add(i * a.rows + row + r * S::W));
            }
        }
        for k in 0..a.n {
            let coef = a.coef.add(k * a.coef_stride);
            let mut q = [S::set(*coef); R];
            for j in 0..D {
                let mut y = [S::set(*coef.add(1 + j)); R];
                for (i, x) in x.iter().enumerate().take(j + 1) {
                    let g = S::set(*coef.add(1 + TILE * (1 + i) + j));
                    for r in 0..R {
                        y[r] = S::fma(g, x[r], y[r]);
                    }
                }
                for r in 0..R {
                    q[r] = S::fnma(y[r], y[r], q[r]);
                }
            }
            put::<S, R>(a.out.add(k * a.out_stride + row), q, a.add);
        }
    }
}

/// `R` vectors of rows of one component of diagonal shape.
///
/// # Safety
/// As [`run`], for rows `row .. row + R · W`.
#[inline(always)]
unsafe fn diagonal_rows<S: Simd, const R: usize>(a: &Quad, coef: *const f64, out: *mut f64, row: usize) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        let mut q = [S::set(*coef); R];
        for j in 0..a.outputs {
            let h = S::set(*coef.add(1 + 2 * j));
            let g = S::set(*coef.add(2 + 2 * j));
            for r in 0..R {
                let y = S::fma(g, S::load(a.x.add(j * a.rows + row + r * S::W)), h);
                q[r] = S::fnma(y, y, q[r]);
            }
        }
        put::<S, R>(out.add(row), q, a.add);
    }
}

/// Calls a macro body for all rows: `R` vectors at a time, then two, which always divides what is left.
macro_rules! over_rows {
    ($s:ident, $big:expr, $rows:expr, |$row:ident, $r:ident| $body:expr) => {
        let mut $row = 0;
        while $row + $big * $s::W <= $rows {
            const { assert!($big * $s::W <= 32) };
            {
                const $r: usize = $big;
                $body;
            }
            $row += $big * $s::W;
        }
        while $row < $rows {
            {
                const $r: usize = 2;
                $body;
            }
            $row += 2 * $s::W;
        }
    };
}
pub(crate) use over_rows;

/// Dense and triangular shapes.
///
/// # Safety
/// `x` holds `inputs` columns, `coef` n packed components, `out` n columns at distance `out_stride`; columns hold `rows`
/// numbers, a multiple of 16; `out` overlaps neither.
#[inline(always)]
pub(crate) unsafe fn run<S: Simd>(a: &Quad) {
    // SAFETY: the caller vouches for the operands; the row loops stay below `rows`
    unsafe {
        if a.inputs == a.outputs && a.inputs <= 3 && (a.lead == 0 || a.inputs == 1) {
            match a.inputs {
                1 => {
                    over_rows!(S, 4, a.rows, |row, R| tiny::<S, R, 1>(a, row));
                }
                2 => {
                    over_rows!(S, 4, a.rows, |row, R| tiny::<S, R, 2>(a, row));
                }
                _ => {
                    over_rows!(S, 2, a.rows, |row, R| tiny::<S, R, 3>(a, row));
                }
            }
            return;
        }
        let shape = if a.inputs == a.outputs && a.lead == 0 {
            a.inputs
        } else {
            0
        };
        for k in 0..a.n {
            let (coef, out) = (a.coef.add(k * a.coef_stride), a.out.add(k * a.out_stride));
            macro_rules! fixed {
                ($($d:literal)*) => {
                    match shape {
                        $($d => {
                            over_rows!(S, 2, a.rows, |row, R| fixed::<S, R, $d>(a, coef, out, row));
                            continue;
                        })*
                        _ => {}
                    }
                };
            }
            fixed!(4 5 6 7 8);
            if a.outputs <= 2 || S::W == 8 {
                over_rows!(S, 4, a.rows, |row, R| some_rows::<S, R>(a, coef, out, row));
            } else {
                over_rows!(S, 2, a.rows, |row, R| some_rows::<S, R>(a, coef, out, row));
            }
        }
    }
}

/// The diagonal shape.
///
/// # Safety
/// As [`run`].
#[inline(always)]
pub(crate) unsafe fn run_diagonal<S: Simd>(a: &Quad) {
    // SAFETY: the caller vouches for the operands; the row loops stay below `rows`
    unsafe {
        for k in 0..a.n {
            let (coef, out) = (a.coef.add(k * a.coef_stride), a.out.add(k * a.out_stride));
            over_rows!(S, 4, a.rows, |row, R| diagonal_rows::<S, R>(a, coef, out, row));
        }
    }
}
