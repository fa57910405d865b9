//! Interval analysis of affine indices.

use crate::ir::{Flat, Index, Rows};

use super::{Check, Checker};

/// Smallest and largest value.
pub(super) type Interval = (i64, i64);

impl Checker<'_> {
    /// All values of an index lie in the interval. An index of registers out of scope, or one that may overflow, is an
    /// error.
    pub(super) fn interval(&self, index: &Index) -> Result<Interval, String> {
        let mut at = (index.base, index.base);
        for &(var, by) in &index.terms {
            let extent = self.var(var)?.extent;
            let last = i64::try_from(extent - 1).ok().and_then(|last| last.checked_mul(by));
            let moved = last.and_then(|far| Some((at.0.checked_add(far.min(0))?, at.1.checked_add(far.max(0))?)));
            at = moved.ok_or_else(|| "an index overflows".to_owned())?;
        }
        Ok(at)
    }

    /// `len` elements from `at` lie in the flat buffer.
    pub(super) fn flat_at(&self, at: &Flat, len: usize) -> Check {
        let buffer = self
            .program
            .buffers
            .get(at.buf.index())
            .ok_or("a buffer that does not exist")?;
        if buffer.kind.is_rows() {
            return Err(format!("`{}` holds rows and is used as a flat buffer", buffer.name));
        }
        self.inside(&at.at, len, buffer.len, &buffer.name)
    }

    /// `len` columns from `at` are columns of the row buffer.
    pub(super) fn rows_at(&self, at: &Rows, len: usize) -> Check {
        let buffer = self
            .program
            .buffers
            .get(at.buf.index())
            .ok_or("a buffer that does not exist")?;
        if !buffer.kind.is_rows() {
            return Err(format!("`{}` is flat and is used as a buffer of rows", buffer.name));
        }
        if self.per_row(&at.col) {
            return Err(format!("the column of `{}` differs from row to row", buffer.name));
        }
        self.inside(&at.col, len, buffer.len, &buffer.name)
    }

    fn inside(&self, index: &Index, len: usize, bound: usize, name: &str) -> Check {
        let (low, high) = self.interval(index)?;
        let end = i64::try_from(len).ok().and_then(|len| high.checked_add(len));
        let bound_end = i64::try_from(bound).ok();
        if low >= 0 && end.is_some() && end <= bound_end {
            return Ok(());
        }
        let most = end.map_or_else(|| "overflow".to_owned(), |e| (e - 1).to_string());
        Err(format!("`{name}` has {bound} places and is used from {low} to {most}"))
    }
}
