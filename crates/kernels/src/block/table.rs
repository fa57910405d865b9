//! Kernels on category codes. Up to four entries of a row go together: the table is turned for a block, so that they lie
//! side by side, and four rows of them are turned back.

use super::simd::{MAGIC, Simd};

/// Rows whose codes are made indices at once; divides a block.
const CODES: usize = 16;
/// Entries that go together.
const SIDE: usize = 4;
/// Values up to which a table is turned. A larger one would not stay in the first cache, and turning it would cost more than
/// the rows of a block.
const VALUES: usize = 64;

/// A turned table.
#[repr(align(64))]
struct Table([[f64; SIDE]; VALUES]);

/// Codes as indices: NaN is 0, the rest is clamped.
///
/// # Safety
/// `code` holds [`CODES`] numbers; `values` is not 0.
#[inline(always)]
unsafe fn indices<S: Simd>(code: *const f64, values: usize) -> [usize; CODES] {
    let mut bits = [0.0; CODES];
    let last = S::set((values - 1) as f64);
    let mut row = 0;
    while row < CODES {
        // SAFETY: the caller vouches for the codes
        unsafe {
            let at = S::floor(S::add(S::load(code.add(row)), S::set(0.5)));
            // the maximum comes second where there is a NaN; the sum has the integer in its low bits
            let at = S::min(last, S::max(at, S::set(0.0)));
            S::store(bits.as_mut_ptr().add(row), S::add(at, S::set(MAGIC)));
        }
        row += S::W;
    }
    let mut out = [0; CODES];
    for (out, bits) in out.iter_mut().zip(bits) {
        *out = (bits.to_bits() as u32) as usize;
    }
    out
}

/// `out_{s,r} (=|+=) table[s][code_r]`.
///
/// # Safety
/// `code` holds `rows` numbers, a multiple of 16, `table` `entries × values` with at least one value, `out` `entries`
/// columns of `rows` numbers; `out` overlaps neither.
#[inline(always)]
pub(crate) unsafe fn gather<S: Simd>(
    code: *const f64,
    table: *const f64,
    entries: usize,
    values: usize,
    out: *mut f64,
    add: bool,
    rows: usize,
) {
    let mut turned = Table([[0.0; SIDE]; VALUES]);
    let mut s = 0;
    while s < entries {
        let n = if values <= VALUES { SIDE.min(entries - s) } else { 1 };
        // SAFETY: the caller vouches for the operands; indices are below `values`
        unsafe {
            let (table, out) = (table.add(s * values), out.add(s * rows));
            if values <= VALUES {
                for v in 0..values {
                    for i in 0..n {
                        turned.0[v][i] = *table.add(i * values + v);
                    }
                }
            }
            let mut row = 0;
            while row < rows {
                let at = indices::<S>(code.add(row), values);
                let mut columns = [[0.0; CODES]; SIDE];
                if values <= VALUES {
                    let mut r = 0;
                    while r < CODES {
                        let mut from = [turned.0.as_ptr().cast::<f64>(); SIDE];
                        for (i, from) in from.iter_mut().enumerate() {
                            *from = from.add(SIDE * at[r + i]);
                        }
                        S::transpose4(from, columns.as_mut_ptr().cast::<f64>().add(r), CODES);
                        r += SIDE;
                    }
                } else {
                    for (to, at) in columns[0].iter_mut().zip(at) {
                        *to = *table.add(at);
                    }
                }
                for (i, column) in columns.iter().enumerate().take(n) {
                    let mut r = 0;
                    while r < CODES {
                        let (to, v) = (out.add(i * rows + row + r), S::load(column.as_ptr().add(r)));
                        S::store(to, if add { S::add(S::load(to), v) } else { v });
                        r += S::W;
                    }
                }
                row += CODES;
            }
        }
        s += n;
    }
}

/// `acc[s][code_r] += w_{s,r}`.
///
/// # Safety
/// `code` holds `rows` numbers, a multiple of 16, `w` `entries` columns of them, `acc` `entries × values` with at least one
/// value; `acc` overlaps neither.
#[inline(always)]
pub(crate) unsafe fn scatter<S: Simd>(
    code: *const f64,
    values: usize,
    w: *const f64,
    entries: usize,
    acc: *mut f64,
    rows: usize,
) {
    // SAFETY: the caller vouches for the operands; indices are below `values`
    unsafe {
        if values > VALUES {
            let mut row = 0;
            while row < rows {
                let at = indices::<S>(code.add(row), values);
                for s in 0..entries {
                    for (r, at) in at.into_iter().enumerate() {
                        *acc.add(s * values + at) += *w.add(s * rows + row + r);
                    }
                }
                row += CODES;
            }
            return;
        }
        let mut s = 0;
        while s < entries {
            let n = SIDE.min(entries - s);
            let mut sums = Table([[0.0; SIDE]; VALUES]);
            let mut row = 0;
            while row < rows {
                let at = indices::<S>(code.add(row), values);
                let mut turned = [[0.0; SIDE]; CODES];
                let mut r = 0;
                while r < CODES {
                    let mut from = [w; SIDE];
                    for (i, from) in from.iter_mut().enumerate() {
                        // a column too few is any other's: nobody looks at its sums
                        *from = w.add((s + i.min(n - 1)) * rows + row + r);
                    }
                    S::transpose4(from, turned[r].as_mut_ptr(), SIDE);
                    r += SIDE;
                }
                for (at, turned) in at.into_iter().zip(&turned) {
                    let to = sums.0.get_unchecked_mut(at);
                    for i in 0..SIDE {
                        to[i] += turned[i];
                    }
                }
                row += CODES;
            }
            for (v, sums) in sums.0.iter().enumerate().take(values) {
                for (i, sum) in sums.iter().enumerate().take(n) {
                    *acc.add((s + i) * values + v) += sum;
                }
            }
            s += n;
        }
    }
}
