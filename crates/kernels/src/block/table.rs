//! Kernels on category codes. They are bound by memory, so one version serves every machine.

/// A code as an index; NaN is 0, the rest is clamped.
#[inline(always)]
fn index(code: f64, values: usize) -> usize {
    // the cast saturates and sends NaN to 0
    ((code + 0.5) as usize).min(values - 1)
}

/// `out_{s,r} (=|+=) table[s][code_r]`.
///
/// # Safety
/// `code` holds `rows` numbers, `table` `entries × values` with at least one value, `out` `entries` columns of `rows`
/// numbers; `out` overlaps neither.
pub(crate) unsafe extern "C" fn gather(
    code: *const f64,
    table: *const f64,
    entries: usize,
    values: usize,
    out: *mut f64,
    add: usize,
    rows: usize,
) {
    // SAFETY: the caller vouches for the operands; the index is below `values`
    unsafe {
        // a few codes at a time: each is turned into an index once, not once per entry
        const CODES: usize = 16;
        let mut row = 0;
        while row < rows {
            let n = CODES.min(rows - row);
            let mut at = [0; CODES];
            for (r, at) in at.iter_mut().enumerate().take(n) {
                *at = index(*code.add(row + r), values);
            }
            for s in 0..entries {
                let (table, out) = (table.add(s * values), out.add(s * rows + row));
                for (r, at) in at.iter().enumerate().take(n) {
                    let before = if add == 0 { 0.0 } else { *out.add(r) };
                    *out.add(r) = before + *table.add(*at);
                }
            }
            row += n;
        }
    }
}

/// `acc[s][code_r] += w_{s,r}`, in the order of rows.
///
/// # Safety
/// `code` holds `rows` numbers, `w` `entries` columns of them, `acc` `entries × values` with at least one value; `acc`
/// overlaps neither.
pub(crate) unsafe extern "C" fn scatter(
    code: *const f64,
    values: usize,
    w: *const f64,
    entries: usize,
    acc: *mut f64,
    rows: usize,
) {
    // SAFETY: the caller vouches for the operands; the index is below `values`
    unsafe {
        for row in 0..rows {
            let to = acc.add(index(*code.add(row), values));
            for s in 0..entries {
                *to.add(s * values) += *w.add(s * rows + row);
            }
        }
    }
}
