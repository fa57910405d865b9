//! Affine maps of columns: `out_k = b_k + Σᵢ W_ki xᵢ`, and `out_i *= by`.

use super::quad::over_rows;
use super::simd::Simd;

/// Products of sizes from which the work goes to the `gemm` crate: from 64 inputs by 64 outputs its packing is a small part
/// of it.
const GEMM_FROM: usize = 4096;

/// Outputs whose sums of two vectors stay in sixteen registers.
const MOST_OUTPUTS: usize = 6;

/// Columns that the hardware reads ahead by itself.
const STREAMS: usize = 16;

/// `M` outputs of `R` vectors of rows.
///
/// The rows at distance `next`, which are read next, are asked for: so many columns are more than the hardware foresees.
///
/// # Safety
/// `x` holds `inputs` columns at distance `rows`, `coef` M rows of `1 + inputs`, `out` M columns; all valid for R vectors.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const M: usize>(
    x: *const f64,
    inputs: usize,
    coef: *const f64,
    out: *mut f64,
    add: bool,
    rows: usize,
    next: Option<usize>,
) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        let side = 1 + inputs;
        let mut acc = [[S::set(0.0); R]; M];
        for (j, acc) in acc.iter_mut().enumerate() {
            *acc = [S::set(*coef.add(j * side)); R];
        }
        for i in 0..inputs {
            let mut v = [S::set(0.0); R];
            for r in 0..R {
                v[r] = S::load(x.add(i * rows + r * S::W));
            }
            if let Some(next) = next {
                S::prefetch(x.wrapping_add(i * rows + next));
            }
            for j in 0..M {
                let c = S::set(*coef.add(j * side + 1 + i));
                for r in 0..R {
                    acc[j][r] = S::fma(c, v[r], acc[j][r]);
                }
            }
        }
        for j in 0..M {
            for r in 0..R {
                let at = out.add(j * rows + r * S::W);
                S::store(at, if add { S::add(S::load(at), acc[j][r]) } else { acc[j][r] });
            }
        }
    }
}

/// `out_k (=|+=) b_k + Σᵢ W_ki xᵢ`; `coef` is `[outputs][1 + inputs]`, bias first.
///
/// # Safety
/// `x` holds `inputs` and `out` `outputs` columns of `rows` numbers, a multiple of 16; `coef` as above; `out` overlaps
/// neither.
#[inline(always)]
pub(crate) unsafe fn run<S: Simd>(
    x: *const f64,
    inputs: usize,
    outputs: usize,
    coef: *const f64,
    out: *mut f64,
    add: bool,
    rows: usize,
) {
    // SAFETY: the caller vouches for the operands; tiles stay below `outputs` and `rows`
    unsafe {
        let side = 1 + inputs;
        if inputs * outputs >= GEMM_FROM {
            for k in 0..outputs {
                let bias = S::set(*coef.add(k * side));
                let mut row = 0;
                while row < rows {
                    let at = out.add(k * rows + row);
                    S::store(at, if add { S::add(S::load(at), bias) } else { bias });
                    row += S::W;
                }
            }
            let b = rows as isize;
            gemm::gemm(
                rows,
                outputs,
                inputs,
                out,
                b,
                1,
                true,
                x,
                b,
                1,
                coef.add(1),
                side as isize,
                1,
                1.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
            return;
        }
        over_rows!(S, 2, rows, |row, R| {
            let mut k = 0;
            // after the block's last rows, the first of the block that lies behind it
            let last = row + R * S::W >= rows;
            let ahead = if last { inputs * rows - row } else { R * S::W };
            while k < outputs {
                let next = (k == 0 && inputs > STREAMS).then_some(ahead);
                let (coef, out) = (coef.add(k * side), out.add(k * rows + row));
                // tiles of like size: 5 outputs in one, 15 in three, 50 in nine
                let tiles = (outputs - k).div_ceil(MOST_OUTPUTS);
                let m = (outputs - k).div_ceil(tiles);
                match m {
                    1 => tile::<S, R, 1>(x.add(row), inputs, coef, out, add, rows, next),
                    2 => tile::<S, R, 2>(x.add(row), inputs, coef, out, add, rows, next),
                    3 => tile::<S, R, 3>(x.add(row), inputs, coef, out, add, rows, next),
                    4 => tile::<S, R, 4>(x.add(row), inputs, coef, out, add, rows, next),
                    5 => tile::<S, R, 5>(x.add(row), inputs, coef, out, add, rows, next),
                    _ => tile::<S, R, MOST_OUTPUTS>(x.add(row), inputs, coef, out, add, rows, next),
                }
                k += m;
            }
        });
    }
}

/// `columns_i *= by` for n columns.
///
/// # Safety
/// `columns` holds n columns and `by` one, of `rows` numbers, a multiple of 8; they do not overlap.
#[inline(always)]
pub(crate) unsafe fn mul_rows<S: Simd>(columns: *mut f64, n: usize, by: *const f64, rows: usize) {
    // SAFETY: the caller vouches for the columns
    unsafe {
        for k in 0..n {
            let mut row = 0;
            while row < rows {
                let at = columns.add(k * rows + row);
                S::store(at, S::mul(S::load(at), S::load(by.add(row))));
                row += S::W;
            }
        }
    }
}
