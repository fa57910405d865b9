//! The arrays of a program in one aligned allocation, and the view of it that threads share.

use lvmc_dense::ir::{ArrayId, Extent, Program, Role};
use lvmc_kernels::array::Float;
use lvmc_kernels::pages::prefer_large;

/// Arrays begin at multiples of this many bytes.
const ALIGN: usize = 64;

/// Where an array stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its first number.
    pub start: usize,
    /// From one row to the next; 0 for an array held once.
    pub row: usize,
    /// Numbers (of each row).
    pub len: usize,
}

/// The arrays.
pub(super) struct Memory<T> {
    numbers: Vec<T>,
    /// The first aligned number.
    base: usize,
    places: Vec<Place>,
}

/// Where the arrays of a program stand, and where they end.
pub(super) fn layout<T>(program: &Program, capacity: usize) -> (Vec<Place>, usize) {
    let unit = ALIGN / size_of::<T>();
    let mut end = 0;
    let mut places = Vec::with_capacity(program.arrays.len());
    for array in &program.arrays {
        let rows = array.extent == Extent::Rows;
        places.push(Place {
            start: end,
            row: if rows { array.len } else { 0 },
            len: array.len,
        });
        end += (array.len * if rows { capacity } else { 1 }).next_multiple_of(unit);
    }
    (places, end)
}

impl<T: Float> Memory<T> {
    /// Room for a program's arrays, all 0, and for `extra` numbers behind them.
    pub fn new(program: &Program, capacity: usize, extra: usize) -> Self {
        let (places, end) = layout::<T>(program, capacity);
        let unit = ALIGN / size_of::<T>();
        let mut numbers = vec![T::ZERO; end + extra + unit];
        prefer_large(&mut numbers);
        let base = numbers.as_ptr().align_offset(ALIGN).min(unit);
        Self { numbers, base, places }
    }

    /// The first `n` numbers of an array.
    pub fn slice(&self, id: ArrayId, n: usize) -> &[T] {
        let start = self.base + self.places[id].start;
        &self.numbers[start..start + n]
    }

    /// The same, to be written.
    pub fn slice_mut(&mut self, id: ArrayId, n: usize) -> &mut [T] {
        let start = self.base + self.places[id].start;
        &mut self.numbers[start..start + n]
    }

    /// The first `n` numbers of an array to another.
    pub fn copy(&mut self, from: ArrayId, to: ArrayId, n: usize) {
        let start = self.base + self.places[from].start;
        self.numbers
            .copy_within(start..start + n, self.base + self.places[to].start);
    }

    /// What threads work on.
    pub fn view(&mut self) -> View<'_, T> {
        View {
            base: self.numbers.as_mut_ptr().wrapping_add(self.base),
            places: &self.places,
        }
    }
}

/// Unchecked access to the arrays.
#[derive(Clone, Copy)]
pub(super) struct View<'a, T> {
    base: *mut T,
    places: &'a [Place],
}

// SAFETY: a view is only a place; that threads write apart is up to those who use it
unsafe impl<T: Send> Send for View<'_, T> {}
// SAFETY: as above
unsafe impl<T: Sync> Sync for View<'_, T> {}

impl<T: Float> View<'_, T> {
    pub fn place(&self, id: ArrayId) -> Place {
        self.places[id]
    }

    /// Number `at` of a row of an array (of any row for one held once).
    pub fn at(&self, id: ArrayId, row: usize, at: usize) -> *mut T {
        let place = self.places[id];
        self.base.wrapping_add(place.start + row * place.row + at)
    }

    /// Number `at` of all memory.
    pub fn raw(&self, at: usize) -> *mut T {
        self.base.wrapping_add(at)
    }
}

/// Whether an array is one of each row.
pub(super) fn is_rows(program: &Program, id: ArrayId) -> bool {
    program.arrays[id].extent == Extent::Rows
}

/// Whether an array is noise.
pub(super) fn is_noise(program: &Program, id: ArrayId) -> bool {
    matches!(program.arrays[id].role, Role::Noise(_))
}
