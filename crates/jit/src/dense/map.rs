//! Element-wise maps: every operation over a piece of some hundred elements before the next.
//!
//! Long rows are cut into pieces, short ones are gathered, several to a piece; operands that do not lie there as a piece
//! are copied. A register that is stored in adjacent places is worked out in those places.

use super::memory::{View, is_rows};
use lvmc_dense::ir::{Access, ArrayId, Extent, Fate, Map, Op, Program, Read};
use lvmc_kernels::array::Float;
use lvmc_kernels::block::{Binary, Ternary, Unary};
use std::ops::Range;

/// Elements of a piece.
const PIECE: usize = 256;

/// Rows at least this long are cut, shorter ones are gathered.
const LONG: usize = 48;

/// Elements of a task of a map that is held once.
pub(super) const ONCE: usize = 1 << 14;

/// What an operand of an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Read(usize),
    /// A buffer of this number.
    Buffer(usize),
    /// A number among the constants.
    Const(usize),
    /// One number, worked out in buffer number.
    Single(usize),
    /// Worked out where it is stored: write number.
    Direct(usize),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Unary(Unary, Source),
    Binary(Binary, Source, Source),
    Ternary(Ternary, Source, Source, Source),
    Position,
}

#[derive(Debug, Clone, Copy)]
struct Operation {
    kind: Kind,
    to: Source,
}

/// A read, and whether it lies there as a piece.
#[derive(Debug, Clone, Copy)]
struct Operand {
    read: Read,
    rows: bool,
    /// Of gathered rows: rows follow each other without a gap.
    adjacent: bool,
}

#[derive(Debug, Clone, Copy)]
struct Result {
    value: Source,
    fate: Fate,
    array: ArrayId,
    offset: usize,
    /// As for an operand.
    adjacent: bool,
    /// Where its partial sums begin among those of a block.
    partial: usize,
}

/// A compiled map.
#[derive(Debug)]
pub(super) struct Code<T> {
    pub extent: Extent,
    len: usize,
    /// Rows of a piece; 0 where rows are cut.
    gathered: usize,
    /// Elements of a piece.
    piece: usize,
    operands: Vec<Operand>,
    consts: Vec<T>,
    operations: Vec<Operation>,
    results: Vec<Result>,
    buffers: usize,
    /// Numbers of partial sums of one block.
    partials: usize,
    /// Where its partial sums begin among all.
    pub partial_at: usize,
}

/// What a thread needs to run maps: buffers, and the places of operands of the piece at hand.
pub(super) struct Scratch<T> {
    buffers: Vec<T>,
    copies: Vec<T>,
    places: Vec<*const T>,
    targets: Vec<*mut T>,
    sums: Vec<f64>,
    pub product: Vec<T>,
}

// SAFETY: the places are written before they are read, by the thread that has the scratch
unsafe impl<T: Send> Send for Scratch<T> {}

impl<T: Float> Scratch<T> {
    /// Room for any of some maps.
    pub fn new<'a>(codes: impl Iterator<Item = &'a Code<T>>) -> Self {
        let (mut buffers, mut reads, mut results) = (0, 0, 0);
        for code in codes {
            buffers = buffers.max(code.buffers);
            reads = reads.max(code.operands.len());
            results = results.max(code.results.len());
        }
        Self {
            buffers: vec![T::ZERO; buffers * PIECE],
            copies: vec![T::ZERO; reads * PIECE],
            places: vec![std::ptr::null(); reads],
            targets: vec![std::ptr::null_mut(); results],
            sums: vec![0.0; results],
            product: vec![T::ZERO; lvmc_kernels::array::gemm::SCRATCH],
        }
    }
}

/// Registers' last uses, for giving buffers out again.
fn last_uses(map: &Map) -> Vec<usize> {
    let mut last = vec![0; map.reads.len() + map.ops.len()];
    for (i, op) in map.ops.iter().enumerate() {
        for r in used(op) {
            last[r] = i;
        }
    }
    for write in &map.writes {
        last[write.value] = usize::MAX;
    }
    last
}

fn used(op: &Op) -> impl Iterator<Item = usize> {
    let regs = match *op {
        Op::Const(_) | Op::Position => [None; 3],
        Op::Unary(_, a) => [Some(a), None, None],
        Op::Binary(_, a, b) => [Some(a), Some(b), None],
        Op::Ternary(_, a, b, c) => [Some(a), Some(b), Some(c)],
    };
    regs.into_iter().flatten()
}

impl<T: Float> Code<T> {
    pub fn new(program: &Program, map: &Map) -> Self {
        let long = map.len >= LONG || map.extent == Extent::Once;
        let (gathered, piece) = if long {
            let pieces = map.len.div_ceil(PIECE).max(1);
            (0, map.len.div_ceil(pieces).next_multiple_of(16).min(PIECE))
        } else {
            let rows = PIECE / map.len.max(1);
            (rows.clamp(1, PIECE), PIECE)
        };
        let adjacent =
            |array: ArrayId, offset| is_rows(program, array) && program.arrays[array].len == map.len && offset == 0;
        let operands: Vec<Operand> = map
            .reads
            .iter()
            .map(|&read| Operand {
                read,
                rows: is_rows(program, read.array),
                adjacent: adjacent(read.array, read.offset),
            })
            .collect();
        let mut code = Self {
            extent: map.extent,
            len: map.len,
            gathered,
            piece,
            operands,
            consts: Vec::new(),
            operations: Vec::new(),
            results: Vec::new(),
            buffers: 0,
            partials: 0,
            partial_at: 0,
        };
        code.allot(map, &adjacent);
        code
    }

    /// Whether an operand is one number for all of a piece.
    fn is_single(&self, operand: &Operand) -> bool {
        operand.read.access == Access::Spread && (self.gathered == 0 || !operand.rows)
    }

    /// Gives registers their places.
    fn allot(&mut self, map: &Map, adjacent: &dyn Fn(ArrayId, usize) -> bool) {
        let last = last_uses(map);
        let reads = map.reads.len();
        let mut sources: Vec<Source> = (0..reads).map(Source::Read).collect();
        let mut single: Vec<bool> = self.operands.iter().map(|o| self.is_single(o)).collect();
        let mut free: Vec<usize> = Vec::new();
        for (i, op) in map.ops.iter().enumerate() {
            let register = reads + i;
            if let Op::Const(c) = op {
                sources.push(Source::Const(self.consts.len()));
                self.consts.push(T::from_f64(*c));
                single.push(true);
                continue;
            }
            let is_single = !matches!(op, Op::Position) && used(op).all(|r| single[r]);
            let direct = map.writes.iter().position(|w| {
                w.value == register && w.fate == Fate::Store && (self.gathered == 0 || adjacent(w.array, w.offset))
            });
            let to = match direct {
                Some(write) if !is_single => Source::Direct(write),
                _ => {
                    let buffer = free.pop().unwrap_or_else(|| {
                        self.buffers += 1;
                        self.buffers - 1
                    });
                    if is_single {
                        Source::Single(buffer)
                    } else {
                        Source::Buffer(buffer)
                    }
                }
            };
            let s = |r: usize| sources[r];
            let kind = match *op {
                Op::Unary(op, a) => Kind::Unary(op, s(a)),
                Op::Binary(op, a, b) => Kind::Binary(op, s(a), s(b)),
                Op::Ternary(op, a, b, c) => Kind::Ternary(op, s(a), s(b), s(c)),
                Op::Const(_) | Op::Position => Kind::Position,
            };
            self.operations.push(Operation { kind, to });
            // a buffer is free after its last use, not for this operation's own result
            let mut freed: Vec<usize> = used(op).filter(|&r| last[r] == i).collect();
            freed.sort_unstable();
            freed.dedup();
            for r in freed {
                if let Source::Buffer(b) | Source::Single(b) = sources[r] {
                    free.push(b);
                }
            }
            sources.push(to);
            single.push(is_single);
        }
        for write in &map.writes {
            let partial = self.partials;
            self.partials += match write.fate {
                Fate::SumRows if self.extent == Extent::Rows => self.len,
                Fate::SumAll => 1,
                Fate::SumElements | Fate::MaxElements if self.extent == Extent::Once => 1,
                _ => 0,
            };
            self.results.push(Result {
                value: sources[write.value],
                fate: write.fate,
                array: write.array,
                offset: write.offset,
                adjacent: adjacent(write.array, write.offset),
                partial,
            });
        }
    }

    /// Whether it sums over rows, in blocks.
    pub fn has_partials(&self) -> bool {
        self.partials > 0
    }

    /// Numbers of partial sums of one block.
    pub fn partials(&self) -> usize {
        self.partials
    }

    /// Elements of a row.
    pub fn elements(&self) -> usize {
        self.len
    }

    /// Tasks of a map that is held once.
    pub fn tasks(&self) -> usize {
        self.len.div_ceil(ONCE).max(1)
    }

    /// Operations times elements.
    pub fn cost(&self) -> f64 {
        (self.len * (self.operations.len() + 1)) as f64
    }

    /// Runs the map for some rows, whose partial sums go to `partials`.
    ///
    /// # Safety
    /// The verifier has seen the map; rows are in the batch; nobody else writes these rows or these partial sums.
    pub unsafe fn rows(&self, view: &View<'_, T>, rows: Range<usize>, partials: &mut [f64], s: &mut Scratch<T>) {
        // SAFETY: the caller vouches for what is below
        unsafe {
            self.start(partials);
            if self.gathered > 0 {
                self.still_operands(view, s);
                let mut row = rows.start;
                while row < rows.end {
                    let count = self.gathered.min(rows.end - row);
                    self.gather(view, row, count, s);
                    self.piece(view, row, 0, count * self.len, s);
                    self.fold_gathered(view, row, count, partials, s);
                    row += count;
                }
            } else {
                for row in rows {
                    self.long(view, row, 0..self.len, partials, s);
                    self.fold_row(view, row, s);
                }
            }
        }
    }

    /// Runs elements `elements` of a map that is held once.
    ///
    /// # Safety
    /// As [`Code::rows`].
    pub unsafe fn once(&self, view: &View<'_, T>, elements: Range<usize>, partials: &mut [f64], s: &mut Scratch<T>) {
        // SAFETY: the caller vouches for what is below
        unsafe {
            self.start(partials);
            self.long(view, 0, elements, partials, s);
        }
        for (i, result) in self.results.iter().enumerate() {
            if matches!(result.fate, Fate::SumElements | Fate::MaxElements) {
                partials[result.partial] = s.sums[i];
            }
        }
    }

    fn start(&self, partials: &mut [f64]) {
        partials.fill(0.0);
    }

    /// Elements of one row, piece by piece.
    unsafe fn long(
        &self,
        view: &View<'_, T>,
        row: usize,
        elements: Range<usize>,
        partials: &mut [f64],
        s: &mut Scratch<T>,
    ) {
        for (sum, result) in s.sums.iter_mut().zip(&self.results) {
            *sum = if result.fate == Fate::MaxElements {
                f64::NEG_INFINITY
            } else {
                0.0
            };
        }
        let mut from = elements.start;
        while from < elements.end {
            let n = self.piece.min(elements.end - from);
            for (place, operand) in s.places.iter_mut().zip(&self.operands) {
                let along = if operand.read.access == Access::Element {
                    from
                } else {
                    0
                };
                *place = view.at(operand.read.array, row, operand.read.offset + along);
            }
            // SAFETY: the caller vouches for the map and the row
            unsafe {
                self.piece(view, row, from, n, s);
                self.fold_piece(view, row, from, n, partials, s);
            }
            from += n;
        }
    }

    /// Operands of gathered rows that are the same for all rows.
    unsafe fn still_operands(&self, view: &View<'_, T>, s: &mut Scratch<T>) {
        for (i, operand) in self.operands.iter().enumerate().filter(|(_, o)| !o.rows) {
            let from = view.at(operand.read.array, 0, operand.read.offset);
            s.places[i] = if operand.read.access == Access::Spread {
                from
            } else {
                let copy = &mut s.copies[i * PIECE..][..self.gathered * self.len];
                for part in copy.chunks_exact_mut(self.len.max(1)) {
                    // SAFETY: the verifier has seen that `len` numbers are there
                    unsafe { from.copy_to_nonoverlapping(part.as_mut_ptr(), self.len) };
                }
                copy.as_ptr()
            };
        }
    }

    /// The other operands of gathered rows.
    unsafe fn gather(&self, view: &View<'_, T>, row: usize, count: usize, s: &mut Scratch<T>) {
        for (i, operand) in self.operands.iter().enumerate().filter(|(_, o)| o.rows) {
            let read = operand.read;
            if operand.adjacent && read.access == Access::Element {
                s.places[i] = view.at(read.array, row, 0);
                continue;
            }
            let copy = &mut s.copies[i * PIECE..][..count * self.len];
            for (r, part) in copy.chunks_exact_mut(self.len.max(1)).enumerate() {
                let from = view.at(read.array, row + r, read.offset);
                // SAFETY: the verifier has seen that they are there
                unsafe {
                    if read.access == Access::Element {
                        part.iter_mut().enumerate().for_each(|(j, to)| *to = *from.add(j));
                    } else {
                        part.fill(*from);
                    }
                }
            }
            s.places[i] = copy.as_ptr();
        }
    }

    /// Where a source's numbers are, and whether it is one.
    #[inline(always)]
    fn source(&self, source: Source, s: &Scratch<T>) -> (*const T, bool) {
        match source {
            Source::Read(i) => (s.places[i], self.is_single(&self.operands[i])),
            Source::Buffer(b) => (s.buffers.as_ptr().wrapping_add(b * PIECE), false),
            Source::Single(b) => (s.buffers.as_ptr().wrapping_add(b * PIECE), true),
            Source::Const(c) => (&raw const self.consts[c], true),
            Source::Direct(w) => (s.targets[w].cast_const(), false),
        }
    }

    /// All operations over one piece of `n` elements from element `from` of `row` on.
    unsafe fn piece(&self, view: &View<'_, T>, row: usize, from: usize, n: usize, s: &mut Scratch<T>) {
        for (target, result) in s.targets.iter_mut().zip(&self.results) {
            *target = view.at(result.array, row, result.offset + from);
        }
        for operation in &self.operations {
            let (to, n) = match operation.to {
                Source::Direct(w) => (s.targets[w], n),
                Source::Single(b) => (s.buffers.as_mut_ptr().wrapping_add(b * PIECE), 1),
                Source::Buffer(b) => (s.buffers.as_mut_ptr().wrapping_add(b * PIECE), n),
                Source::Read(_) | Source::Const(_) => continue,
            };
            // SAFETY: operands are buffers, copies, or arrays as the verifier has seen them; a result shares no place with
            // an operand, as buffers are given out again after the operation, and a step reads no array that it writes
            unsafe {
                match operation.kind {
                    Kind::Unary(op, a) => T::unary(op, n, to, self.source(a, s).0),
                    Kind::Binary(op, a, b) => {
                        let (a, b) = (self.source(a, s), self.source(b, s));
                        T::binary(op, n, to, a.0, b.0, usize::from(a.1) | usize::from(b.1) << 1);
                    }
                    Kind::Ternary(op, a, b, c) => {
                        let from = [a, b, c].map(|x| self.source(x, s));
                        let scalar = (0..3).fold(0, |bits, i| bits | usize::from(from[i].1) << i);
                        T::ternary(op, n, to, from.map(|x| x.0), scalar);
                    }
                    Kind::Position => {
                        let len = self.len.max(1);
                        for i in 0..n {
                            *to.add(i) = T::from_f64(((from + i) % len) as f64);
                        }
                    }
                }
            }
        }
    }

    /// Stores and sums of a piece of one row.
    unsafe fn fold_piece(
        &self,
        view: &View<'_, T>,
        row: usize,
        from: usize,
        n: usize,
        partials: &mut [f64],
        s: &mut Scratch<T>,
    ) {
        for (w, result) in self.results.iter().enumerate() {
            let (place, single) = self.source(result.value, s);
            // SAFETY: a source holds the piece's numbers, or one; results are inside their arrays
            unsafe {
                let piece = std::slice::from_raw_parts(place, if single { 1 } else { n });
                match result.fate {
                    Fate::Store if result.value == Source::Direct(w) => {}
                    Fate::Store => store(s.targets[w], piece, n),
                    Fate::SumElements => s.sums[w] += total(piece, n),
                    Fate::MaxElements => s.sums[w] = larger(s.sums[w], T::largest(piece).to_f64()),
                    Fate::SumRows if self.extent == Extent::Once => {
                        store(view.at(result.array, row, result.offset + from), piece, n);
                    }
                    Fate::SumRows => add_up(&mut partials[result.partial + from..][..n], piece),
                    Fate::SumAll => partials[result.partial] += total(piece, n),
                }
            }
        }
    }

    /// Sums over the elements of one row.
    unsafe fn fold_row(&self, view: &View<'_, T>, row: usize, s: &Scratch<T>) {
        for (result, &sum) in self.results.iter().zip(&s.sums) {
            if matches!(result.fate, Fate::SumElements | Fate::MaxElements) {
                // SAFETY: the verifier has seen the place
                unsafe { *view.at(result.array, row, result.offset) = T::from_f64(sum) };
            }
        }
    }

    /// Stores and sums of gathered rows.
    unsafe fn fold_gathered(&self, view: &View<'_, T>, row: usize, count: usize, partials: &mut [f64], s: &Scratch<T>) {
        for (w, result) in self.results.iter().enumerate() {
            if result.value == Source::Direct(w) {
                continue;
            }
            let (place, single) = self.source(result.value, s);
            if result.fate == Fate::SumAll {
                // SAFETY: as above
                let piece = unsafe { std::slice::from_raw_parts(place, if single { 1 } else { count * self.len }) };
                partials[result.partial] += total(piece, count * self.len);
                continue;
            }
            if result.fate == Fate::Store && result.adjacent && !single {
                // SAFETY: as above
                unsafe { place.copy_to_nonoverlapping(s.targets[w], count * self.len) };
                continue;
            }
            for r in 0..count {
                let at = if single { 0 } else { r * self.len };
                // SAFETY: as above
                unsafe {
                    let part = std::slice::from_raw_parts(place.add(at), if single { 1 } else { self.len });
                    let to = view.at(result.array, row + r, result.offset);
                    match result.fate {
                        Fate::Store => store(to, part, self.len),
                        Fate::SumElements => *to = T::from_f64(total(part, self.len)),
                        Fate::MaxElements => *to = T::largest(part),
                        Fate::SumRows => add_up(&mut partials[result.partial..][..self.len], part),
                        Fate::SumAll => {}
                    }
                }
            }
        }
    }

    /// Adds the partial sums of all blocks, in order, and stores them: `partials` holds one stretch for each block.
    ///
    /// # Safety
    /// Nobody else writes the results.
    pub unsafe fn finish(&self, view: &View<'_, T>, partials: &mut [f64]) {
        let (first, rest) = partials.split_at_mut(self.partials.min(partials.len()));
        for block in rest.chunks_exact(self.partials.max(1)) {
            for result in &self.results {
                let n = match result.fate {
                    Fate::SumRows if self.extent == Extent::Rows => self.len,
                    Fate::SumAll => 1,
                    Fate::SumElements if self.extent == Extent::Once => 1,
                    Fate::MaxElements if self.extent == Extent::Once => {
                        first[result.partial] = larger(first[result.partial], block[result.partial]);
                        0
                    }
                    _ => 0,
                };
                let stretch = result.partial..result.partial + n;
                for (sum, x) in first[stretch.clone()].iter_mut().zip(&block[stretch]) {
                    *sum += x;
                }
            }
        }
        for result in &self.results {
            let n = match (result.fate, self.extent) {
                (Fate::SumRows, Extent::Rows) => self.len,
                (Fate::SumAll, _) | (Fate::SumElements | Fate::MaxElements, Extent::Once) => 1,
                _ => 0,
            };
            for (j, &sum) in first[result.partial..][..n].iter().enumerate() {
                // SAFETY: the verifier has seen the place
                unsafe { *view.at(result.array, 0, result.offset + j) = T::from_f64(sum) };
            }
        }
    }
}

/// n numbers, or n times one, to a place.
unsafe fn store<T: Float>(to: *mut T, piece: &[T], n: usize) {
    // SAFETY: the caller vouches for n numbers
    unsafe {
        if piece.len() == n {
            piece.as_ptr().copy_to_nonoverlapping(to, n);
        } else {
            (0..n).for_each(|j| *to.add(j) = piece[0]);
        }
    }
}

/// Σ of n numbers, or of n times one.
fn total<T: Float>(piece: &[T], n: usize) -> f64 {
    if piece.len() == n {
        T::sum(piece)
    } else {
        piece[0].to_f64() * n as f64
    }
}

/// to += a, element by element or one number.
fn add_up<T: Float>(to: &mut [f64], piece: &[T]) {
    if piece.len() == to.len() {
        T::add_up(to, piece);
    } else {
        to.iter_mut().for_each(|to| *to += piece[0].to_f64());
    }
}

/// The larger; NaN if one is.
fn larger(x: f64, y: f64) -> f64 {
    if x.is_nan() || x > y { x } else { y }
}
