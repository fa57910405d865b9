//! Updates of parameters by their gradients, shared among threads.
//!
//! A part of a parameter that has just moved is still in the cache: its numbers go straight to the panels of the products
//! that take the parameter packed, which then have nothing to pack.

use super::engine::Shared;
use super::memory::{View, is_rows};
use super::once::pack;
use super::product::{Packed, count};
use super::team::Team;
use lvmc_dense::ir::{ArrayId, Program, Role};
use lvmc_dense::{Moments, OptimiserStep, Trained};
use lvmc_kernels::array::Float;
use std::ops::Range;

/// Numbers of a task, about.
const TASK_NUMBERS: usize = 1 << 14;

/// A parameter, and where it is packed.
struct Param {
    len: usize,
    /// Where its first moments begin; the second follow.
    moments: usize,
    /// Its packed forms, if an update can write them all part by part.
    packed: Vec<Packed>,
    /// Whether there are others.
    elsewhere: bool,
    /// Numbers of a row, as all of its packed forms see it; 1 without any.
    line: usize,
}

impl Param {
    fn new(program: &Program, array: ArrayId, packed: &[Packed], moments: usize) -> Self {
        let len = program.arrays[array].len;
        let mine: Vec<Packed> = packed.iter().copied().filter(|p| p.b.array == array).collect();
        let line = mine.first().map_or(1, |p| p.b.row.max(p.b.col));
        let even = |p: &Packed| p.b.row.max(p.b.col) == line && p.b.offset.is_multiple_of(line);
        let elsewhere = !len.is_multiple_of(line) || !mine.iter().all(even);
        Self {
            len,
            moments,
            packed: if elsewhere { Vec::new() } else { mine },
            line: if elsewhere { 1 } else { line },
            elsewhere,
        }
    }

    /// Rows of a task: whole panels where columns of a packed form are rows here.
    fn share<T: Float>(&self) -> usize {
        let unit = if self.packed.is_empty() { 1 } else { T::products().width };
        (TASK_NUMBERS / (unit * self.line)).max(1) * unit
    }
}

/// What the updates of a program's parameters need.
pub(super) struct Optimiser<T> {
    params: Vec<Param>,
    /// What the rule remembers: first and second moments, parameter by parameter.
    moments: Vec<T>,
    /// For every array: its place among the parameters.
    places: Vec<usize>,
    team: Team,
    /// Squares of gradients, by tasks.
    squares: Vec<f64>,
}

/// One step of an optimiser, for threads to share.
pub(super) struct Updates<'a, T> {
    params: &'a [Param],
    places: &'a [usize],
    moments: Shared<T>,
    view: View<'a, T>,
    step: &'a OptimiserStep<'a>,
}

impl<T: Float> Updates<'_, T> {
    /// Updates part of a parameter by that part of its gradient: rows `i` and columns `j` of a matrix with `n` columns.
    ///
    /// # Safety
    /// [`Optimiser::by_parts`] said yes. Nobody else reads or writes this part of the parameter, of its moments and of its
    /// packed forms, or writes that of the gradient.
    pub unsafe fn part(&self, t: &Trained, n: usize, (i, j): (Range<usize>, Range<usize>)) {
        let param = &self.params[self.places[t.param]];
        let rule = self.step.update(t.decay);
        // whole rows are one stretch
        let stretches = if j.len() == n { i.len().min(1) } else { i.len() };
        for k in 0..stretches {
            let (at, len) = ((i.start + k) * n + j.start, i.len() * j.len() / stretches);
            // SAFETY: the caller vouches for the part; a parameter's moments are its own
            unsafe {
                let piece = |p: *mut T| std::slice::from_raw_parts_mut(p, len);
                let x = piece(self.view.at(t.param, 0, at));
                let g = std::slice::from_raw_parts(self.view.at(t.gradient, 0, at), len);
                let [m, v] = [0, param.len].map(|second| piece(self.moments.at(param.moments + second + at)));
                T::update(&rule, x, g, m, v);
            }
        }
        for p in &param.packed {
            let first = p.b.offset / n;
            let within = |x: &Range<usize>, from: usize, most: usize| {
                x.start.saturating_sub(from).min(most)..x.end.saturating_sub(from).min(most)
            };
            let (ls, js) = (count(p.b.rows, 1), count(p.b.cols, 1));
            let part = if p.b.col == 1 {
                (within(&i, first, ls), within(&j, 0, js))
            } else {
                (within(&j, 0, ls), within(&i, first, js))
            };
            // SAFETY: as above
            unsafe { pack(p, &self.view, part) };
        }
    }
}

impl<T: Float> Optimiser<T> {
    pub fn new(program: &Program, packed: &[Packed]) -> Self {
        let arrays = 0..program.arrays.len();
        let squares = arrays.clone().filter(|&id| !is_rows(program, id));
        let mut this = Self {
            params: Vec::new(),
            moments: Vec::new(),
            places: vec![usize::MAX; program.arrays.len()],
            team: Team::new(1),
            squares: vec![0.0; squares.map(|id| program.arrays[id].len.div_ceil(TASK_NUMBERS)).sum()],
        };
        for id in arrays.filter(|&id| program.arrays[id].role == Role::Param) {
            this.places[id] = this.params.len();
            let at = this.moments.len();
            this.params.push(Param::new(program, id, packed, at));
            this.moments.resize(at + 2 * program.arrays[id].len, T::ZERO);
        }
        this
    }

    /// Whether the parameter of a gradient, a matrix with `n` columns, can be updated part by part.
    pub fn by_parts(&self, t: &Trained, n: usize) -> bool {
        let param = &self.params[self.places[t.param]];
        !param.elsewhere && (param.packed.is_empty() || param.line == n)
    }

    /// ‖g‖ over all gradients.
    pub fn gradient_norm(
        &mut self,
        program: &Program,
        view: &View<'_, T>,
        trained: &[Trained],
        threads: &dyn Fn() -> usize,
    ) -> f64 {
        let parts = || trained.iter().map(|t| (program.arrays[t.gradient].len, TASK_NUMBERS));
        let total = parts().map(tasks).sum();
        assert!(total <= self.squares.len(), "gradients held once, each named once");
        self.team.set_tasks(0, total);
        let squares = Shared(self.squares.as_mut_ptr());
        let task = |_: usize, task: usize, _: usize| {
            let Some((i, range)) = part(parts(), task) else {
                return;
            };
            // SAFETY: gradients are held once and nobody writes them; one task writes one number
            unsafe {
                let g = std::slice::from_raw_parts(view.at(trained[i].gradient, 0, range.start), range.len());
                *squares.at(task) = T::squares(g);
            }
        };
        self.team.run(if total > 2 { threads() } else { 1 }, &task, &|_| {});
        self.squares[..total].iter().sum::<f64>().sqrt()
    }

    /// A step, for updates one at a time.
    pub fn updates<'a>(&'a mut self, view: View<'a, T>, step: &'a OptimiserStep<'a>) -> Updates<'a, T> {
        Updates {
            params: &self.params,
            places: &self.places,
            moments: Shared(self.moments.as_mut_ptr()),
            view,
            step,
        }
    }

    /// All updates of a step but those that are `done` (by the array of the gradient); marks the parameters in `changed`
    /// whose packed forms are left as they were.
    pub fn optimise(
        &mut self,
        program: &Program,
        view: View<'_, T>,
        step: &OptimiserStep<'_>,
        changed: &mut [bool],
        done: &[bool],
        threads: &dyn Fn() -> usize,
    ) {
        for t in step.trained {
            let (array, gradient) = (&program.arrays[t.param], &program.arrays[t.gradient]);
            assert!(self.places[t.param] != usize::MAX, "`{}` is no parameter", array.name);
            assert!(
                !is_rows(program, t.gradient) && gradient.len == array.len,
                "its gradient"
            );
            changed[t.param] |= self.params[self.places[t.param]].elsewhere;
        }
        let (params, places) = (&self.params, &self.places);
        let rows = |t: &Trained| {
            let param = &params[places[t.param]];
            let rows = if done[t.gradient] { 0 } else { param.len / param.line };
            (rows, param.share::<T>())
        };
        let total = step.trained.iter().map(|t| tasks(rows(t))).sum();
        self.team.set_tasks(0, total);
        let updates = Updates {
            moments: Shared(self.moments.as_mut_ptr()),
            params,
            places,
            view,
            step,
        };
        let task = |_: usize, task: usize, _: usize| {
            let Some((i, range)) = part(step.trained.iter().map(rows), task) else {
                return;
            };
            let t = &step.trained[i];
            let line = params[places[t.param]].line;
            // SAFETY: parts of one parameter are apart, and parameters are; gradients are not written
            unsafe { updates.part(t, line, (range, 0..line)) };
        };
        self.team.run(if total > 2 { threads() } else { 1 }, &task, &|_| {});
    }

    pub fn state(&self) -> Vec<Moments> {
        let wide = |at: usize, len: usize| self.moments[at..at + len].iter().map(|x| x.to_f64()).collect();
        self.params
            .iter()
            .map(|p| [wide(p.moments, p.len), wide(p.moments + p.len, p.len)])
            .collect()
    }

    pub fn set_state(&mut self, state: &[Moments]) {
        assert_eq!(state.len(), self.params.len(), "moments of every parameter");
        for (p, state) in self.params.iter().zip(state) {
            assert!(
                state.iter().all(|x| x.len() == p.len),
                "moments of a parameter's numbers"
            );
            let to = &mut self.moments[p.moments..p.moments + 2 * p.len];
            let from = state.iter().flatten();
            to.iter_mut().zip(from).for_each(|(to, &x)| *to = T::from_f64(x));
        }
    }
}

/// Tasks of so many numbers in such shares.
fn tasks((len, share): (usize, usize)) -> usize {
    len.div_ceil(share)
}

/// Which of some stretches, each with its length and shares, a task is about, and where in it.
fn part(parts: impl Iterator<Item = (usize, usize)>, mut task: usize) -> Option<(usize, Range<usize>)> {
    for (i, (len, share)) in parts.enumerate() {
        let tasks = tasks((len, share));
        if task < tasks {
            return Some((i, task * share..((task + 1) * share).min(len)));
        }
        task -= tasks;
    }
    None
}
