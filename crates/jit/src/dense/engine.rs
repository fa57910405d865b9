//! A program with its memory, its phases and its threads.

use super::map::{Code, Scratch};
use super::memory::{Memory, is_rows, layout};
use super::once::Job;
use super::optimise::Optimiser;
use super::pace::Pace;
use super::phases::{Phase, plan};
use super::rows::{BLOCKS, Context, RowStep, block};
use super::team::Team;
use lvmc_dense::ir::{ArrayId, Extent, Program, Role};
use lvmc_dense::{Columns, Moments, Numbers, OptimiserStep, Trained};
use lvmc_kernels::array::Float;
use lvmc_kernels::pool::MAX_THREADS;
use std::time::Instant;

/// Rows of a task, at least a block.
const TASK_ROWS: usize = 64;

/// Less work than this (in something like nanoseconds) is left to one thread.
const SMALL: f64 = 30_000.0;

/// An executor in one precision.
pub(super) struct Engine<T> {
    program: Program,
    capacity: usize,
    seed: u64,
    threads: usize,
    memory: Memory<T>,
    phases: Vec<Phase<T>>,
    team: Team,
    optimiser: Optimiser<T>,
    /// For every array: the phase of the product that makes all of it, and the columns of that.
    made: Vec<Option<(usize, usize)>>,
    /// For every array: the last phase that reads it.
    read: Vec<Option<usize>>,
    /// Gradients whose parameters move during the run.
    done: Vec<bool>,
    scratch: Vec<Scratch<T>>,
    partials: Vec<f64>,
    row_ids: Vec<u32>,
    /// Arrays that were set or updated since the last run, and those that steps write: what to pack anew.
    changed: Vec<bool>,
    rows: usize,
    pace: Pace,
    /// Work once and for each row.
    cost: (f64, f64),
}

/// A pointer that threads share, each for its own part.
pub(super) struct Shared<P>(pub *mut P);

// SAFETY: every use says why parts are apart
unsafe impl<P> Sync for Shared<P> {}

impl<P> Shared<P> {
    pub fn at(&self, i: usize) -> *mut P {
        self.0.wrapping_add(i)
    }
}

impl<T: Float> Engine<T> {
    pub fn new(program: Program, capacity: usize, seed: u64, threads: usize) -> Self {
        let (_, behind) = layout::<T>(&program, capacity);
        let mut plan = plan::<T>(&program, capacity, behind);
        let memory = Memory::new(&program, capacity, plan.behind);
        let partials = set_partials(&mut plan.phases);
        let mut engine = Self {
            cost: cost(&program, &plan.phases),
            capacity,
            seed,
            threads: 0,
            memory,
            team: Team::new(plan.phases.len()),
            optimiser: Optimiser::new(&program, &plan.packed),
            made: plan.made,
            read: plan.read,
            done: vec![false; program.arrays.len()],
            scratch: Vec::new(),
            partials: vec![0.0; partials],
            row_ids: Vec::with_capacity(capacity),
            changed: vec![true; program.arrays.len()],
            rows: 0,
            pace: Pace::new(),
            phases: plan.phases,
            program,
        };
        engine.set_threads(threads);
        engine
    }

    pub fn set_threads(&mut self, threads: usize) {
        self.threads = threads.clamp(1, MAX_THREADS);
        self.pace = Pace::new();
        let maps = || codes(&self.phases);
        self.scratch.resize_with(self.threads, || Scratch::new(maps()));
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Numbers of an array for so many rows.
    fn numbers(&self, array: ArrayId, rows: usize) -> usize {
        self.program.arrays[array].len * if is_rows(&self.program, array) { rows } else { 1 }
    }

    pub fn set(&mut self, array: ArrayId, values: &[f64]) {
        assert!(
            values.len() <= self.numbers(array, self.capacity),
            "more numbers than there is room for"
        );
        self.changed[array] = true;
        let to = self.memory.slice_mut(array, values.len());
        to.iter_mut().zip(values).for_each(|(to, &x)| *to = T::from_f64(x));
    }

    pub fn set_rows_from(&mut self, array: ArrayId, source: &Columns<'_>, rows: &[u32]) {
        assert!(
            is_rows(&self.program, array) && rows.len() <= self.capacity,
            "rows for which there is room"
        );
        let len = self.program.arrays[array].len;
        let to = self.memory.slice_mut(array, rows.len() * len);
        for (to, &row) in to.chunks_exact_mut(len.max(1)).zip(rows) {
            let start = row as usize * source.width + source.offset;
            match source.numbers {
                Numbers::F32(x) => copy(to, &x[start..start + len]),
                Numbers::F64(x) => copy(to, &x[start..start + len]),
            }
        }
    }

    pub fn read(&self, array: ArrayId, out: &mut [f64]) {
        assert!(
            out.len() <= self.numbers(array, self.capacity),
            "more numbers than there are"
        );
        let from = self.memory.slice(array, out.len());
        out.iter_mut().zip(from).for_each(|(to, x)| *to = x.to_f64());
    }

    pub fn get(&self, array: ArrayId) -> Vec<f64> {
        let mut out = vec![0.0; self.numbers(array, self.rows)];
        self.read(array, &mut out);
        out
    }

    pub fn copy(&mut self, from: ArrayId, to: ArrayId) {
        let n = self.numbers(from, self.rows);
        assert_eq!(n, self.numbers(to, self.rows), "arrays of the same shape");
        self.changed[to] = true;
        self.memory.copy(from, to, n);
    }

    pub fn set_row_ids(&mut self, ids: &[u32]) {
        assert!(ids.len() <= self.capacity, "rows for which there is room");
        self.row_ids.clear();
        self.row_ids.extend_from_slice(ids);
    }

    /// Runs all phases; noise is drawn where a draw is given.
    pub fn run(&mut self, rows: usize, draw: Option<u64>) {
        self.go(rows, draw, None);
    }

    /// Runs all phases and one step of an optimiser: a parameter that nobody reads any more moves as its gradient is made.
    pub fn train(&mut self, rows: usize, draw: u64, step: &OptimiserStep<'_>) {
        for t in step.trained {
            let unread = |phase| self.read[t.param].is_none_or(|last| last < phase);
            self.done[t.gradient] = self.made[t.gradient]
                .is_some_and(|(phase, columns)| unread(phase) && self.optimiser.by_parts(t, columns));
        }
        self.go(rows, Some(draw), Some(step));
        self.update(step);
        step.trained.iter().for_each(|t| self.done[t.gradient] = false);
    }

    fn go(&mut self, rows: usize, draw: Option<u64>, step: Option<&OptimiserStep<'_>>) {
        assert!(rows <= self.capacity, "room for {} rows, not {rows}", self.capacity);
        self.rows = rows;
        let work = self.cost.0 + self.cost.1 * rows as f64;
        let many = work > SMALL && self.threads > 1;
        let threads = if many { self.pace.threads(self.threads) } else { 1 };
        let begun = Instant::now();
        let size = block(rows);
        // tasks begin at blocks; how many blocks they have makes no difference to results
        let share = rows.div_ceil(threads).next_multiple_of(size);
        let task_rows = share.min(TASK_ROWS.next_multiple_of(size)).max(size);
        for (p, phase) in self.phases.iter().enumerate() {
            self.team.set_tasks(
                p,
                row_tasks(phase, rows, task_rows) + phase.jobs.iter().map(Job::tasks).sum::<usize>(),
            );
        }
        let (view, done) = (self.memory.view(), &self.done);
        let updates = step.map(|step| (self.optimiser.updates(view, step), step));
        let context = Context {
            view,
            rows,
            draw,
            seed: self.seed,
            row_ids: &self.row_ids,
            changed: &self.changed,
            partials: self.partials.as_mut_ptr(),
            made: &|gradient, n, part| {
                let Some((updates, step)) = updates.as_ref().filter(|_| done[gradient]) else {
                    return;
                };
                let mine = step.trained.iter().filter(|t| t.gradient == gradient);
                // SAFETY: the product made this part of the gradient, and only it does; the parameter's readers were in
                // phases before, and so was whoever packs it
                mine.for_each(|t| unsafe { updates.part(t, n, part.clone()) });
            },
        };
        let (phases, scratch) = (&self.phases, Shared(self.scratch.as_mut_ptr()));
        let task = |p: usize, task: usize, thread: usize| {
            let phase = &phases[p];
            // SAFETY: there is scratch for every thread, and this is its thread. The verifier has seen the steps; tasks
            // of a phase write apart: row steps their rows and blocks, others their parts of arrays that no other step
            // of the phase touches, which the planner saw to.
            unsafe {
                let scratch = &mut *scratch.at(thread);
                let mut task = task;
                let first = row_tasks(phase, rows, task_rows);
                if task < first {
                    let from = task * task_rows;
                    let part = from..(from + task_rows).min(rows);
                    phase
                        .rows
                        .iter()
                        .for_each(|step| step.run(&context, part.clone(), scratch));
                    return;
                }
                task -= first;
                for job in &phase.jobs {
                    let tasks = job.tasks();
                    if task < tasks {
                        job.run(&context, task, scratch);
                        return;
                    }
                    task -= tasks;
                }
            }
        };
        let finish = |p: usize| {
            let blocks = rows.div_ceil(size).max(1);
            for code in codes_of(&phases[p]).filter(|code| code.has_partials()) {
                let blocks = if code.extent == Extent::Rows {
                    blocks
                } else {
                    code.tasks()
                };
                // SAFETY: all tasks of the phase have ended, and no other thread goes on before this
                unsafe {
                    let partials = context.partials(code, 0..blocks);
                    if rows == 0 && code.extent == Extent::Rows {
                        partials.fill(0.0);
                    }
                    code.finish(&context.view, partials);
                }
            }
        };
        self.team.run(threads, &task, &finish);
        if many {
            self.pace.note(begun.elapsed().as_secs_f64() / work);
        }
        for (changed, array) in self.changed.iter_mut().zip(&self.program.arrays) {
            *changed = matches!(array.role, Role::Scratch | Role::Output | Role::Noise(_));
        }
    }

    pub fn gradient_norm(&mut self, trained: &[Trained]) -> f64 {
        let (pace, most) = (&self.pace, self.threads);
        let threads = || pace.threads(most);
        self.optimiser
            .gradient_norm(&self.program, &self.memory.view(), trained, &threads)
    }

    pub fn optimise(&mut self, step: &OptimiserStep<'_>) {
        self.update(step);
    }

    /// The updates that are not done.
    fn update(&mut self, step: &OptimiserStep<'_>) {
        let (pace, most) = (&self.pace, self.threads);
        let threads = || pace.threads(most);
        let view = self.memory.view();
        self.optimiser
            .optimise(&self.program, view, step, &mut self.changed, &self.done, &threads);
    }

    pub fn state(&self) -> Vec<Moments> {
        self.optimiser.state()
    }

    pub fn set_state(&mut self, state: &[Moments]) {
        self.optimiser.set_state(state);
    }
}

/// Numbers of one precision to another.
fn copy<T: Float, F: Float>(to: &mut [T], from: &[F]) {
    to.iter_mut()
        .zip(from)
        .for_each(|(to, x)| *to = T::from_f64(x.to_f64()));
}

/// Tasks of a phase's row steps.
fn row_tasks<T>(phase: &Phase<T>, rows: usize, task_rows: usize) -> usize {
    if phase.rows.is_empty() {
        0
    } else {
        rows.div_ceil(task_rows)
    }
}

/// The maps of a phase.
fn codes_of<T>(phase: &Phase<T>) -> impl Iterator<Item = &Code<T>> {
    let rows = phase.rows.iter().filter_map(|step| match step {
        RowStep::Map(code) => Some(code),
        _ => None,
    });
    rows.chain(phase.jobs.iter().filter_map(|job| match job {
        Job::Map(code) => Some(code),
        _ => None,
    }))
}

/// All maps.
fn codes<T>(phases: &[Phase<T>]) -> impl Iterator<Item = &Code<T>> {
    phases.iter().flat_map(codes_of)
}

/// Gives maps the places of their partial sums: how many numbers there are.
fn set_partials<T: Float>(phases: &mut [Phase<T>]) -> usize {
    let mut end = 0;
    let mut set = |code: &mut Code<T>| {
        code.partial_at = end;
        end += code.partials()
            * if code.extent == Extent::Rows {
                BLOCKS
            } else {
                code.tasks()
            };
    };
    for phase in phases {
        for step in &mut phase.rows {
            if let RowStep::Map(code) = step {
                set(code);
            }
        }
        for job in &mut phase.jobs {
            if let Job::Map(code) = job {
                set(code);
            }
        }
    }
    end
}

/// Work once and for each row.
fn cost<T: Float>(program: &Program, phases: &[Phase<T>]) -> (f64, f64) {
    let len = |id: ArrayId| program.arrays[id].len;
    let mut cost = (0.0, 0.0);
    for phase in phases {
        cost.1 += phase.rows.iter().map(|step| step.cost(&len)).sum::<f64>();
        for (once, row) in phase.jobs.iter().map(Job::cost) {
            cost = (cost.0 + once, cost.1 + row);
        }
    }
    cost
}
