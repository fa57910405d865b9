//! Normalising exponentials over columns, row by row.

use super::math::{EXP_SCALE, exp_scaled, log};
use super::simd::{LANES, Simd};

/// Rows that are worked on together.
pub(crate) const GROUP: usize = 16;

/// Groups of rows whose sums (each between 1 and n) may be multiplied without overflow.
fn rows_per_log(n: usize) -> usize {
    (1000.0 / (GROUP as f64 * (n as f64).log2().max(1.0))).max(1.0) as usize
}

/// `table[k] ← exp(table[k] − lse)` for `n` columns at distance `stride`; see the loop IR's `Softmax`.
///
/// An entry less than 2⁻⁶⁴ of its row's largest becomes exactly 0: a thousandth of what rounding does to the sum, and what makes
/// the second moments of well separated components cheap (see [`super::square`]).
///
/// The sum of lse needs no logarithm per row: the largest entries are summed, the rows' sums multiplied, with one
/// logarithm for hundreds of rows.
///
/// `R` vectors make a group.
///
/// # Safety
/// Columns hold `rows` numbers, a multiple of 16; `lse` is null or a column, `total` null or one number; nothing overlaps.
#[inline(always)]
pub(crate) unsafe fn run<S: Simd, const H: usize, const R: usize>(
    table: *mut f64,
    n: usize,
    stride: usize,
    lse: *mut f64,
    total: *mut f64,
    rows: usize,
) {
    // SAFETY: the caller vouches for the columns; groups divide them
    unsafe {
        let (zero, one) = (S::set(0.0), S::set(1.0));
        let mut sum_top = [zero; H];
        let mut product = [one; H];
        let mut logs = 0.0;
        let every = if lse.is_null() && !total.is_null() {
            rows_per_log(n)
        } else {
            usize::MAX
        };
        let mut left = every;
        let mut row = 0;
        while row < rows {
            let at = table.add(row);
            let mut top = [zero; R];
            for r in 0..R {
                top[r] = S::load(at.add(r * S::W));
            }
            for k in 1..n {
                for r in 0..R {
                    top[r] = S::max(top[r], S::load(at.add(k * stride + r * S::W)));
                }
            }
            // where all are −∞, −∞ − (−MAX) is −∞ still, and the exponentials are 0 and not NaN
            let mut finite = [zero; R];
            for r in 0..R {
                finite[r] = S::max(S::set(-f64::MAX), top[r]);
            }
            let mut sum = [zero; R];
            for k in 0..n {
                let p = at.add(k * stride);
                let mut e = [zero; R];
                for r in 0..R {
                    e[r] = S::sub(S::load(p.add(r * S::W)), finite[r]);
                }
                let e = exp_scaled::<S, R>(e);
                for r in 0..R {
                    S::store(p.add(r * S::W), e[r]);
                    sum[r] = S::add(sum[r], e[r]);
                }
            }
            let mut inverse = [zero; R];
            for r in 0..R {
                inverse[r] = S::div(one, S::max(S::set(f64::MIN_POSITIVE), sum[r]));
                sum[r] = S::mul(sum[r], S::set(1.0 / EXP_SCALE));
            }
            for k in 0..n {
                for r in 0..R {
                    let p = at.add(k * stride + r * S::W);
                    S::store(p, S::mul(S::load(p), inverse[r]));
                }
            }
            if lse.is_null() {
                for r in 0..R {
                    sum_top[r % H] = S::add(sum_top[r % H], top[r]);
                    product[r % H] = S::mul(product[r % H], sum[r]);
                }
                left -= 1;
                if left == 0 {
                    logs += log_of_product::<S, H>(product);
                    product = [one; H];
                    left = every;
                }
            } else {
                for r in 0..R {
                    // log 0 = −∞ where all were −∞
                    let value = S::add(finite[r], log::<S>(sum[r]));
                    S::store(lse.add(row + r * S::W), value);
                    sum_top[r % H] = S::add(sum_top[r % H], value);
                }
            }
            row += GROUP;
        }
        if !total.is_null() {
            *total += logs + log_of_product::<S, H>(product) + S::fold(&sum_top);
        }
    }
}

/// log of the product of the eight lanes.
#[inline(always)]
fn log_of_product<S: Simd, const H: usize>(product: [S::V; H]) -> f64 {
    let mut lanes = [1.0; LANES];
    for (h, v) in product.into_iter().enumerate() {
        // SAFETY: H · W = 8 numbers
        unsafe { S::store(lanes.as_mut_ptr().add(h * S::W), v) };
    }
    lanes.into_iter().product::<f64>().ln()
}
