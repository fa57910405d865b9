//! Columns of a table: numbers or text, kept in pieces so that they can be moved elsewhere and freed as they go.

use std::collections::HashSet;

/// Cells per piece: half a megabyte of numbers, which the allocator takes from and gives back to the system.
const PIECE: usize = 1 << 16;

/// A long vector in pieces: it grows without copying and is freed piece by piece while it is drained.
#[derive(Debug, Clone, PartialEq)]
pub struct Pieces<T> {
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Copy> Pieces<T> {
    /// Adds a value at the end.
    pub fn push(&mut self, value: T) {
        if self.len.is_multiple_of(PIECE) {
            // the first piece grows as it needs to: most files are small
            let capacity = if self.pieces.is_empty() { 64 } else { PIECE };
            self.pieces.push(Vec::with_capacity(capacity));
        }
        if let Some(last) = self.pieces.last_mut() {
            last.push(value);
            self.len += 1;
        }
    }
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }
    /// True where there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The value at `i`.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<T> {
        self.pieces.get(i / PIECE)?.get(i % PIECE).copied()
    }
    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.pieces.iter().flatten().copied()
    }
    /// The values in order; every piece is freed once it has been passed.
    pub fn drain(self) -> std::iter::Flatten<std::vec::IntoIter<Vec<T>>> {
        self.pieces.into_iter().flatten()
    }
}

impl<T: Copy> FromIterator<T> for Pieces<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut out = Self::default();
        values.into_iter().for_each(|v| out.push(v));
        out
    }
}

/// The code of a missing text cell.
pub const NO_TEXT: u32 = u32::MAX;

/// The cells of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    /// Numbers; a missing cell is NaN.
    Numbers(Pieces<f64>),
    /// Text: positions in `words`, [`NO_TEXT`] where missing.
    Text {
        /// A position per row.
        codes: Pieces<u32>,
        /// Distinct values in order of first appearance.
        words: Vec<String>,
        /// The first cell that is not a number: its 0-based row.
        first: usize,
    },
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// Its cells.
    pub cells: Cells,
}

/// How a number is written in a category's label or a message: without a fraction where it has none.
#[must_use]
pub fn show_number(x: f64) -> String {
    if x.is_nan() { "missing".into() } else { format!("{x}") }
}

impl Column {
    /// A column of numbers.
    #[must_use]
    pub fn numbers(name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        Self {
            name: name.into(),
            cells: Cells::Numbers(values.into_iter().collect()),
        }
    }
    /// Its numbers, where it holds numbers alone.
    #[must_use]
    pub fn as_numbers(&self) -> Option<&Pieces<f64>> {
        match &self.cells {
            Cells::Numbers(xs) => Some(xs),
            Cells::Text { .. } => None,
        }
    }
    /// Takes its numbers away, where it holds numbers alone.
    pub fn take_numbers(&mut self) -> Option<Pieces<f64>> {
        match &mut self.cells {
            Cells::Numbers(xs) => Some(std::mem::take(xs)),
            Cells::Text { .. } => None,
        }
    }
    /// The rows named, in that order. A column of text stays one.
    #[must_use]
    pub fn part(&self, rows: &[usize]) -> Self {
        let cells = match &self.cells {
            Cells::Numbers(xs) => Cells::Numbers(rows.iter().map(|&r| xs.get(r).unwrap_or(f64::NAN)).collect()),
            Cells::Text { codes, words, first } => Cells::Text {
                codes: rows.iter().map(|&r| codes.get(r).unwrap_or(NO_TEXT)).collect(),
                words: words.clone(),
                first: rows.iter().position(|r| r == first).unwrap_or(0),
            },
        };
        Self {
            name: self.name.clone(),
            cells,
        }
    }
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.cells {
            Cells::Numbers(xs) => xs.len(),
            Cells::Text { codes, .. } => codes.len(),
        }
    }
    /// True where it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A cell as a message shows it.
    #[must_use]
    pub fn show(&self, row: usize) -> String {
        match &self.cells {
            Cells::Numbers(xs) => show_number(xs.get(row).unwrap_or(f64::NAN)),
            Cells::Text { codes, words, .. } => codes
                .get(row)
                .and_then(|c| words.get(c as usize))
                .cloned()
                .unwrap_or_else(|| "missing".into()),
        }
    }
    /// True where a cell is missing.
    #[must_use]
    pub fn is_missing(&self, row: usize) -> bool {
        match &self.cells {
            Cells::Numbers(xs) => xs.get(row).is_none_or(f64::is_nan),
            Cells::Text { codes, .. } => codes.get(row).is_none_or(|c| c == NO_TEXT),
        }
    }
    /// Makes the cells missing where `gone` is true.
    pub fn clear(&mut self, gone: &[bool]) {
        let is_gone = |row: usize| gone.get(row).copied().unwrap_or(false);
        match &mut self.cells {
            Cells::Numbers(xs) => {
                *xs = (xs.iter().enumerate())
                    .map(|(row, x)| if is_gone(row) { f64::NAN } else { x })
                    .collect();
            }
            Cells::Text { codes, .. } => {
                *codes = (codes.iter().enumerate())
                    .map(|(row, c)| if is_gone(row) { NO_TEXT } else { c })
                    .collect();
            }
        }
    }
    /// How many cells are missing, and the first of them.
    #[must_use]
    pub fn missing(&self) -> (usize, Option<usize>) {
        let count = |it: &mut dyn Iterator<Item = bool>| {
            let mut first = None;
            let mut n = 0;
            for (i, gone) in it.enumerate() {
                if gone {
                    first = first.or(Some(i));
                    n += 1;
                }
            }
            (n, first)
        };
        match &self.cells {
            Cells::Numbers(xs) => count(&mut xs.iter().map(f64::is_nan)),
            Cells::Text { codes, .. } => count(&mut codes.iter().map(|c| c == NO_TEXT)),
        }
    }
    /// Distinct numbers, sorted, missing ones left out; `None` beyond `limit` of them or for text.
    #[must_use]
    pub fn distinct(&self, limit: usize) -> Option<Vec<f64>> {
        let xs = self.as_numbers()?;
        let mut seen: HashSet<u64> = HashSet::new();
        let mut last = f64::NAN.to_bits();
        for x in xs.iter().filter(|x| !x.is_nan()) {
            let bits = (x + 0.0).to_bits();
            if bits != last && seen.insert(bits) && seen.len() > limit {
                return None;
            }
            last = bits;
        }
        let mut out: Vec<f64> = seen.into_iter().map(f64::from_bits).collect();
        out.sort_by(f64::total_cmp);
        Some(out)
    }
}
