//! Normalising exponentials over columns, row by row.

use super::math::{exp_nonpositive, log};
use super::simd::{LANES, Simd};

/// Groups of rows whose sums (each between 1 and n) may be multiplied without overflow.
fn groups_per_log(n: usize) -> usize {
    (1000.0 / (LANES as f64 * (n as f64).log2().max(1.0))) as usize
}

/// `table[k] ← exp(table[k] − lse)` for `n` columns at distance `stride`; see the loop IR's `Softmax`.
///
/// The sum of lse needs no logarithm per row: the largest entries are summed, the rows' sums multiplied, with one
/// logarithm for hundreds of rows.
///
/// # Safety
/// Columns hold `rows` numbers, a multiple of 8; `lse` is null or a column, `total` null or one number; nothing overlaps.
#[inline(always)]
pub(crate) unsafe fn run<S: Simd, const H: usize>(
    table: *mut f64,
    n: usize,
    stride: usize,
    lse: *mut f64,
    total: *mut f64,
    rows: usize,
) {
    // SAFETY: the caller vouches for the columns; row + h W < rows as rows is a multiple of 8
    unsafe {
        let (zero, one) = (S::set(0.0), S::set(1.0));
        let mut sum_top = [zero; H];
        let mut product = [one; H];
        let mut logs = 0.0;
        let every = if lse.is_null() && !total.is_null() {
            groups_per_log(n)
        } else {
            usize::MAX
        };
        let mut left = every;
        let mut row = 0;
        while row < rows {
            let at = table.add(row);
            let mut top = [zero; H];
            for h in 0..H {
                top[h] = S::load(at.add(h * S::W));
            }
            let mut p = at;
            for _ in 1..n {
                p = p.add(stride);
                for h in 0..H {
                    top[h] = S::max(top[h], S::load(p.add(h * S::W)));
                }
            }
            // where all are −∞, −∞ − (−MAX) is −∞ still, and the exponentials are 0 and not NaN
            let mut finite = [zero; H];
            for h in 0..H {
                finite[h] = S::max(S::set(-f64::MAX), top[h]);
            }
            let mut sum = [zero; H];
            let mut p = at;
            for k in 0..n {
                if k > 0 {
                    p = p.add(stride);
                }
                for h in 0..H {
                    let e = exp_nonpositive::<S>(S::sub(S::load(p.add(h * S::W)), finite[h]));
                    S::store(p.add(h * S::W), e);
                    sum[h] = S::add(sum[h], e);
                }
            }
            let mut inverse = [zero; H];
            for h in 0..H {
                inverse[h] = S::div(one, S::max(S::set(f64::MIN_POSITIVE), sum[h]));
            }
            let mut p = at;
            for k in 0..n {
                if k > 0 {
                    p = p.add(stride);
                }
                for h in 0..H {
                    S::store(p.add(h * S::W), S::mul(S::load(p.add(h * S::W)), inverse[h]));
                }
            }
            if !lse.is_null() {
                for h in 0..H {
                    // log 0 = −∞ where all were −∞
                    let value = S::add(finite[h], log::<S>(sum[h]));
                    S::store(lse.add(row + h * S::W), value);
                    sum_top[h] = S::add(sum_top[h], value);
                }
            } else {
                for h in 0..H {
                    sum_top[h] = S::add(sum_top[h], top[h]);
                    product[h] = S::mul(product[h], sum[h]);
                }
                left -= 1;
                if left == 0 {
                    logs += log_of_product::<S, H>(product);
                    product = [one; H];
                    left = every;
                }
            }
            row += LANES;
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
