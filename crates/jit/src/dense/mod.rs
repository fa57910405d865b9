//! Array programs, natively: products by our own register tiles, element-wise maps in pieces that stay in the first cache,
//! steps gathered in few phases that threads share.
//!
//! A *phase* holds row steps, which touch rows of the batch alone and are run one after the other for some rows at a time,
//! and other steps, which are independent of each other. Threads take tasks of a phase from a counter and wait for its
//! last task. Whatever sums over rows does so in blocks of rows whose size depends on the number of rows alone, folded in
//! order by whoever ends the phase: results do not depend on the number of threads or on who did what.

mod engine;
mod map;
mod memory;
mod once;
mod optimise;
mod pace;
mod phases;
mod product;
mod rows;
mod team;

use engine::Engine;
use lvmc_base::Bug;
use lvmc_dense::ir::{ArrayId, Precision, Program};
use lvmc_dense::{Build, Columns, Executor, Moments, OptimiserStep, Trained};

/// Runs an array program natively, in f32 or f64.
pub struct Native(Inner);

enum Inner {
    F32(Engine<f32>),
    F64(Engine<f64>),
}

macro_rules! either {
    ($self:expr, $engine:ident => $e:expr) => {
        match $self {
            Inner::F32($engine) => $e,
            Inner::F64($engine) => $e,
        }
    };
}

impl Native {
    /// An executor with room for `capacity` rows, noise of `seed`, and so many threads.
    ///
    /// # Errors
    /// A [`Bug`] where the program violates an invariant.
    pub fn new(
        program: Program,
        capacity: usize,
        precision: Precision,
        seed: u64,
        threads: usize,
    ) -> Result<Self, Bug> {
        lvmc_dense::verify(&program)?;
        Ok(Self(match precision {
            Precision::F32 => Inner::F32(Engine::new(program, capacity, seed, threads)),
            Precision::F64 => Inner::F64(Engine::new(program, capacity, seed, threads)),
        }))
    }

    /// Changes the number of threads; results stay the same.
    pub fn set_threads(&mut self, threads: usize) {
        either!(&mut self.0, engine => engine.set_threads(threads));
    }
}

impl Build for Native {
    fn build(program: Program, capacity: usize, precision: Precision, seed: u64) -> Result<Self, Bug> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(program, capacity, precision, seed, threads)
    }
}

impl Executor for Native {
    fn program(&self) -> &Program {
        either!(&self.0, engine => engine.program())
    }

    fn capacity(&self) -> usize {
        either!(&self.0, engine => engine.capacity())
    }

    fn precision(&self) -> Precision {
        match self.0 {
            Inner::F32(_) => Precision::F32,
            Inner::F64(_) => Precision::F64,
        }
    }

    fn set(&mut self, array: ArrayId, values: &[f64]) {
        either!(&mut self.0, engine => engine.set(array, values));
    }

    fn set_rows_from(&mut self, array: ArrayId, source: &Columns<'_>, rows: &[u32]) {
        either!(&mut self.0, engine => engine.set_rows_from(array, source, rows));
    }

    fn read(&self, array: ArrayId, out: &mut [f64]) {
        either!(&self.0, engine => engine.read(array, out));
    }

    fn get(&self, array: ArrayId) -> Vec<f64> {
        either!(&self.0, engine => engine.get(array))
    }

    fn copy(&mut self, from: ArrayId, to: ArrayId) {
        either!(&mut self.0, engine => engine.copy(from, to));
    }

    fn set_row_ids(&mut self, ids: &[u32]) {
        either!(&mut self.0, engine => engine.set_row_ids(ids));
    }

    fn run(&mut self, rows: usize, draw: u64) {
        either!(&mut self.0, engine => engine.run(rows, Some(draw)));
    }

    fn run_given(&mut self, rows: usize) {
        either!(&mut self.0, engine => engine.run(rows, None));
    }

    fn train(&mut self, rows: usize, draw: u64, step: &OptimiserStep<'_>) {
        either!(&mut self.0, engine => engine.train(rows, draw, step));
    }

    fn gradient_norm(&mut self, trained: &[Trained]) -> f64 {
        either!(&mut self.0, engine => engine.gradient_norm(trained))
    }

    fn optimise(&mut self, step: &OptimiserStep<'_>) {
        either!(&mut self.0, engine => engine.optimise(step));
    }

    fn state(&self) -> Vec<Moments> {
        either!(&self.0, engine => engine.state())
    }

    fn set_state(&mut self, state: &[Moments]) {
        either!(&mut self.0, engine => engine.set_state(state));
    }
}
