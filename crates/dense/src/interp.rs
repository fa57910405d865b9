//! The reference: every step as a plain loop in f64.

use crate::exec::{Build, Columns, Executor, Moments, Numbers, OptimiserStep, Trained};
use crate::ir::{
    Access, Algebra, Array, ArrayId, Count, Extent, Fate, Map, Matrix, Noise, Op, Precision, Program, Read, Role, Step,
};
use crate::verify::{shape, verify};
use lvmc_base::Bug;
use lvmc_kernels::array::noise::{self, Key, Law};
use lvmc_kernels::array::update::Rule;
use lvmc_kernels::{block, dense};

/// Runs a program in f64 on one thread.
#[derive(Debug, Clone)]
pub struct Interpreter {
    program: Program,
    capacity: usize,
    seed: u64,
    arrays: Vec<Vec<f64>>,
    moments: Vec<Moments>,
    row_ids: Vec<u32>,
    rows: usize,
}

impl Build for Interpreter {
    fn build(program: Program, capacity: usize, _: Precision, seed: u64) -> Result<Self, Bug> {
        verify(&program)?;
        let arrays: Vec<Vec<f64>> = program.arrays.iter().map(|a| vec![0.0; numbers(a, capacity)]).collect();
        let params = program.arrays.iter().filter(|a| a.role == Role::Param);
        Ok(Self {
            moments: params.map(|a| [vec![0.0; a.len], vec![0.0; a.len]]).collect(),
            program,
            capacity,
            seed,
            arrays,
            row_ids: Vec::with_capacity(capacity),
            rows: 0,
        })
    }
}

/// Numbers of an array for so many rows.
fn numbers(array: &Array, rows: usize) -> usize {
    match array.extent {
        Extent::Once => array.len,
        Extent::Rows => array.len * rows,
    }
}

/// The law of a kind of noise.
#[must_use]
pub fn law(noise: Noise) -> Law {
    match noise {
        Noise::Normal => Law::Normal,
        Noise::Uniform => Law::Uniform,
        Noise::Index(n) => Law::Index(n),
    }
}

/// The place of an array among the parameters.
///
/// # Panics
/// It is not one.
#[must_use]
fn param_index(program: &Program, id: ArrayId) -> usize {
    assert_eq!(
        program.arrays[id].role,
        Role::Param,
        "`{}` is no parameter",
        program.arrays[id].name
    );
    program.arrays[..id].iter().filter(|a| a.role == Role::Param).count()
}

impl Executor for Interpreter {
    fn program(&self) -> &Program {
        &self.program
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn precision(&self) -> Precision {
        Precision::F64
    }

    fn set(&mut self, array: ArrayId, values: &[f64]) {
        self.arrays[array][..values.len()].copy_from_slice(values);
    }

    fn set_rows_from(&mut self, array: ArrayId, source: &Columns<'_>, rows: &[u32]) {
        let len = self.program.arrays[array].len;
        for (to, &row) in self.arrays[array].chunks_mut(len.max(1)).zip(rows) {
            let start = row as usize * source.width + source.offset;
            match source.numbers {
                Numbers::F64(x) => to.copy_from_slice(&x[start..start + len]),
                Numbers::F32(x) => to
                    .iter_mut()
                    .zip(&x[start..start + len])
                    .for_each(|(a, b)| *a = f64::from(*b)),
            }
        }
    }

    fn read(&self, array: ArrayId, out: &mut [f64]) {
        out.copy_from_slice(&self.arrays[array][..out.len()]);
    }

    fn get(&self, array: ArrayId) -> Vec<f64> {
        self.arrays[array][..numbers(&self.program.arrays[array], self.rows)].to_vec()
    }

    fn copy(&mut self, from: ArrayId, to: ArrayId) {
        let n = numbers(&self.program.arrays[from], self.rows);
        let values = std::mem::take(&mut self.arrays[from]);
        self.arrays[to][..n].copy_from_slice(&values[..n]);
        self.arrays[from] = values;
    }

    fn set_row_ids(&mut self, ids: &[u32]) {
        self.row_ids.clear();
        self.row_ids.extend_from_slice(ids);
    }

    fn run(&mut self, rows: usize, draw: u64) {
        let mut ordinal = 0;
        for (id, array) in self.program.arrays.iter().enumerate() {
            let Role::Noise(kind) = array.role else { continue };
            let key = Key::new(self.seed, ordinal, draw);
            let (len, rows) = match array.extent {
                Extent::Rows => (array.len, rows),
                Extent::Once => (array.len, 1),
            };
            let ids = (0..rows).map(|row| match array.extent {
                Extent::Rows => self.row_ids.get(row).copied().unwrap_or(row as u32),
                Extent::Once => 0,
            });
            noise::fill(key, ids, len, law(kind), &mut self.arrays[id]);
            ordinal += 1;
        }
        self.run_given(rows);
    }

    fn run_given(&mut self, rows: usize) {
        assert!(rows <= self.capacity, "room for {} rows, not {rows}", self.capacity);
        self.rows = rows;
        let steps = std::mem::take(&mut self.program.steps);
        steps.iter().for_each(|step| self.step(step, rows));
        self.program.steps = steps;
    }

    fn gradient_norm(&mut self, trained: &[Trained]) -> f64 {
        let squares = trained.iter().flat_map(|t| &self.arrays[t.gradient]).map(|g| g * g);
        squares.sum::<f64>().sqrt()
    }

    fn optimise(&mut self, step: &OptimiserStep<'_>) {
        for t in step.trained {
            let u = step.update(t.decay);
            let index = param_index(&self.program, t.param);
            let gradient = std::mem::take(&mut self.arrays[t.gradient]);
            let [m, v] = &mut self.moments[index];
            for (i, x) in self.arrays[t.param].iter_mut().enumerate() {
                let g = u.scale * gradient[i] + u.coupled * *x;
                *x *= u.shrink;
                match u.rule {
                    Rule::Adam {
                        beta1,
                        beta2,
                        unbias,
                        epsilon,
                    } => {
                        m[i] = beta1 * m[i] + (1.0 - beta1) * g;
                        v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
                        *x -= u.rate * m[i] / ((v[i] * unbias).sqrt() + epsilon);
                    }
                    Rule::Momentum { keep, ahead } => {
                        m[i] = keep * m[i] + g;
                        *x -= u.rate * ahead.map_or(m[i], |ahead| g + ahead * m[i]);
                    }
                }
            }
            self.arrays[t.gradient] = gradient;
        }
    }

    fn state(&self) -> Vec<Moments> {
        self.moments.clone()
    }

    fn set_state(&mut self, state: &[Moments]) {
        assert_eq!(state.len(), self.moments.len(), "moments of every parameter");
        self.moments.clone_from_slice(state);
    }
}

impl Interpreter {
    /// Where row `row` of an array begins.
    fn start(&self, id: ArrayId, row: usize) -> usize {
        match self.program.arrays[id].extent {
            Extent::Once => 0,
            Extent::Rows => row * self.program.arrays[id].len,
        }
    }

    /// The place of a matrix's element (i, j) as it is read, in row `row` where the matrix is one of each row.
    fn place(&self, m: &Matrix, row: usize, i: usize, j: usize) -> usize {
        let (i, j) = if m.transposed { (j, i) } else { (i, j) };
        let start = match m.rows {
            Count::Fixed(_) => self.start(m.array, row),
            Count::PerRow(_) => 0,
        };
        start + m.offset + i * m.stride + j
    }

    fn step(&mut self, step: &Step, rows: usize) {
        match step {
            Step::Map(map) => self.map(map, rows),
            Step::Product { out, a, b, accumulate } => self.product(out, a, b, *accumulate, rows, 0),
            Step::Batched { out, a, b, accumulate } => {
                (0..rows).for_each(|row| self.product(out, a, b, *accumulate, rows, row));
            }
            Step::Gather {
                out,
                table,
                index,
                len,
                entries,
            } => {
                for row in 0..self.rows_of(out.array, rows) {
                    let entry = self.code(index, row, *entries);
                    let (to, from) = (self.start(out.array, row) + out.offset, table.offset + entry * len);
                    (0..*len).for_each(|j| self.arrays[out.array][to + j] = self.arrays[table.array][from + j]);
                }
            }
            Step::Scatter {
                table,
                from,
                index,
                len,
                entries,
            } => {
                self.arrays[table.array][table.offset..table.offset + len * entries].fill(0.0);
                let many = [from.array, index.array]
                    .iter()
                    .any(|&id| self.program.arrays[id].extent == Extent::Rows);
                for row in 0..if many { rows } else { 1 } {
                    let entry = self.code(index, row, *entries);
                    let (to, at) = (table.offset + entry * len, self.start(from.array, row) + from.offset);
                    (0..*len).for_each(|j| self.arrays[table.array][to + j] += self.arrays[from.array][at + j]);
                }
            }
            Step::Pick { out, from, map } => {
                for row in 0..self.rows_of(*out, rows) {
                    let (to, at) = (self.start(*out, row), self.start(*from, row));
                    for (j, &p) in map.iter().enumerate() {
                        let x = if p == u32::MAX {
                            0.0
                        } else {
                            self.arrays[*from][at + p as usize]
                        };
                        self.arrays[*out][to + j] = x;
                    }
                }
            }
            Step::Unpick { out, from, map } => {
                let len = self.program.arrays[*out].len;
                for row in 0..self.rows_of(*out, rows) {
                    let (to, at) = (self.start(*out, row), self.start(*from, row));
                    self.arrays[*out][to..to + len].fill(0.0);
                    for (j, &p) in map.iter().enumerate().filter(|(_, p)| **p != u32::MAX) {
                        self.arrays[*out][to + p as usize] += self.arrays[*from][at + j];
                    }
                }
            }
            Step::Algebra { what, out, a, n } => {
                let mut result = std::mem::take(&mut self.arrays[*out]);
                let mut more = vec![0.0; n * n];
                let (from, to) = (self.program.arrays[*a].len, self.program.arrays[*out].len);
                for row in 0..self.rows_of(*out, rows) {
                    algebra(
                        *what,
                        &self.arrays[*a][row * from..][..n * n],
                        &mut result[row * to..],
                        &mut more,
                        *n,
                    );
                }
                self.arrays[*out] = result;
            }
        }
    }

    /// Rows of an array: those of the batch, or one.
    fn rows_of(&self, id: ArrayId, rows: usize) -> usize {
        if self.program.arrays[id].extent == Extent::Rows {
            rows
        } else {
            1
        }
    }

    fn code(&self, index: &Read, row: usize, entries: usize) -> usize {
        clamp_code(
            self.arrays[index.array][self.start(index.array, row) + index.offset],
            entries,
        )
    }

    fn product(&mut self, out: &Matrix, a: &Matrix, b: &Matrix, accumulate: bool, rows: usize, row: usize) {
        let count = |c: Count| match c {
            Count::Fixed(n) => n,
            Count::PerRow(p) => p * rows,
        };
        let ((m, n), (_, k)) = (shape(out), shape(a));
        let (m, n, k) = (count(m), count(n), count(k));
        for i in 0..m {
            for j in 0..n {
                let at = |m: &Matrix, i, j| self.arrays[m.array][self.place(m, row, i, j)];
                let sum: f64 = (0..k).map(|l| at(a, i, l) * at(b, l, j)).sum();
                let before = if accumulate { at(out, i, j) } else { 0.0 };
                let place = self.place(out, row, i, j);
                self.arrays[out.array][place] = before + sum;
            }
        }
    }

    fn map(&mut self, map: &Map, rows: usize) {
        let rows = if map.extent == Extent::Rows { rows } else { 1 };
        let mut registers = vec![0.0; map.reads.len() + map.ops.len()];
        let mut sums: Vec<Vec<Sum>> = map
            .writes
            .iter()
            .map(|w| vec![Sum::default(); if w.fate == Fate::SumRows { map.len } else { 1 }])
            .collect();
        for row in 0..rows {
            for (write, sums) in map.writes.iter().zip(&mut sums) {
                match write.fate {
                    Fate::SumElements => sums[0] = Sum::default(),
                    Fate::MaxElements => {
                        let place = self.start(write.array, row) + write.offset;
                        self.arrays[write.array][place] = f64::NEG_INFINITY;
                    }
                    _ => {}
                }
            }
            for j in 0..map.len {
                self.element(map, row, j, &mut registers);
                for (write, sums) in map.writes.iter().zip(&mut sums) {
                    let (value, start) = (registers[write.value], self.start(write.array, row) + write.offset);
                    let to = &mut self.arrays[write.array];
                    match write.fate {
                        Fate::Store => to[start + j] = value,
                        Fate::MaxElements => to[start] = block::binary(block::Binary::Max, to[start], value),
                        Fate::SumRows => sums[j].add(value),
                        Fate::SumElements | Fate::SumAll => sums[0].add(value),
                    }
                }
            }
            for (write, sums) in map
                .writes
                .iter()
                .zip(&sums)
                .filter(|(w, _)| w.fate == Fate::SumElements)
            {
                let place = self.start(write.array, row) + write.offset;
                self.arrays[write.array][place] = sums[0].value();
            }
        }
        for (write, sums) in map.writes.iter().zip(&sums) {
            if matches!(write.fate, Fate::SumRows | Fate::SumAll) {
                let to = &mut self.arrays[write.array][write.offset..][..sums.len()];
                to.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum.value());
            }
        }
    }

    /// The registers at one element.
    fn element(&self, map: &Map, row: usize, j: usize, registers: &mut [f64]) {
        for (register, read) in registers.iter_mut().zip(&map.reads) {
            let along = if read.access == Access::Element { j } else { 0 };
            *register = self.arrays[read.array][self.start(read.array, row) + read.offset + along];
        }
        for (i, op) in map.ops.iter().enumerate() {
            registers[map.reads.len() + i] = match *op {
                Op::Const(c) => c,
                Op::Position => j as f64,
                Op::Unary(op, a) => block::unary(op, registers[a]),
                Op::Binary(op, a, b) => block::binary(op, registers[a], registers[b]),
                Op::Ternary(op, a, b, c) => block::ternary(op, registers[a], registers[b], registers[c]),
            };
        }
    }
}

/// A sum that keeps what rounding loses (Neumaier), so that the reference is nearer the truth than what it judges.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, x: f64) {
        let sum = self.sum + x;
        self.lost += if self.sum.abs() >= x.abs() {
            self.sum - sum + x
        } else {
            x - sum + self.sum
        };
        self.sum = sum;
    }

    fn value(&self) -> f64 {
        // an infinite sum has lost what is not a number
        if self.sum.is_finite() {
            self.sum + self.lost
        } else {
            self.sum
        }
    }
}

/// A code as a position: rounded, and clamped into the table.
#[must_use]
pub fn clamp_code(code: f64, entries: usize) -> usize {
    // a negative number or NaN becomes 0
    ((code + 0.5) as usize).min(entries - 1)
}

/// Dense algebra in f64; `out` is n × n, or one number; `room` is n × n.
pub fn algebra(what: Algebra, a: &[f64], out: &mut [f64], room: &mut [f64], n: usize) {
    match what {
        Algebra::Cholesky => {
            dense::cholesky(a, &mut out[..n * n], n);
        }
        Algebra::LowerInverse => dense::tri_inverse(a, &mut out[..n * n], n),
        Algebra::Inverse => {
            room.fill(0.0);
            (0..n).for_each(|i| room[i * (n + 1)] = 1.0);
            dense::spd_solve(a, room, &mut out[..n * n], n, n);
        }
        Algebra::LogDet => {
            dense::cholesky(a, room, n);
            out[0] = 2.0 * (0..n).map(|i| room[i * (n + 1)].ln()).sum::<f64>();
        }
    }
}
