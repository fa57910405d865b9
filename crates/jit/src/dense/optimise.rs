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
    /// Numbers of a task: whole rows of what is packed.
    share: usize,
}

impl Param {
    fn new<T: Float>(program: &Program, array: ArrayId, packed: &[Packed], moments: usize) -> Self {
        let len = program.arrays[array].len;
        let mine: Vec<Packed> = packed.iter().copied().filter(|p| p.b.array == array).collect();
        let line = mine.first().map_or(1, |p| p.b.row.max(p.b.col));
        let even = |p: &Packed| p.b.row.max(p.b.col) == line && p.b.offset.is_multiple_of(line);
        let elsewhere = !mine.iter().all(even);
        let packed = if elsewhere { Vec::new() } else { mine };
        let unit = if packed.is_empty() {
            1
        } else {
            line * T::products().width
        };
        Self {
            len,
            moments,
            packed,
            elsewhere,
            share: (TASK_NUMBERS / unit).max(1) * unit,
        }
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
            this.params.push(Param::new::<T>(program, id, packed, at));
            this.moments.resize(at + 2 * program.arrays[id].len, T::ZERO);
        }
        this
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

    /// One update; marks the parameters in `changed` whose packed forms are left as they were.
    pub fn optimise(
        &mut self,
        program: &Program,
        view: &View<'_, T>,
        step: &OptimiserStep<'_>,
        changed: &mut [bool],
        threads: &dyn Fn() -> usize,
    ) {
        let (places, params) = (&self.places, &self.params);
        let moments = Shared(self.moments.as_mut_ptr());
        for t in step.trained {
            let array = &program.arrays[t.param];
            assert!(places[t.param] != usize::MAX, "`{}` is no parameter", array.name);
            let gradient = &program.arrays[t.gradient];
            assert!(
                !is_rows(program, t.gradient) && gradient.len == array.len,
                "its gradient"
            );
            changed[t.param] |= params[places[t.param]].elsewhere;
        }
        let shares = |t: &Trained| (params[places[t.param]].len, params[places[t.param]].share);
        let total = step.trained.iter().map(|t| tasks(shares(t))).sum();
        self.team.set_tasks(0, total);
        let task = |_: usize, task: usize, _: usize| {
            let Some((i, range)) = part(step.trained.iter().map(&shares), task) else {
                return;
            };
            let t = &step.trained[i];
            let param = &params[places[t.param]];
            let update = step.update(t.decay);
            // SAFETY: parts of one parameter are apart, and parameters are; gradients are not written
            unsafe {
                let piece = |p: *mut T| std::slice::from_raw_parts_mut(p, range.len());
                let x = piece(view.at(t.param, 0, range.start));
                let g = std::slice::from_raw_parts(view.at(t.gradient, 0, range.start), range.len());
                let [m, v] = [0, param.len].map(|at| piece(moments.at(param.moments + at + range.start)));
                T::update(&update, x, g, m, v);
                param.packed.iter().for_each(|p| pack_range(p, view, &range));
            }
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

/// Packs what stands in `range` of the parameter: rows of the matrix as it lies in memory.
///
/// # Safety
/// The verifier has seen the matrix; nobody else writes its packed form for these rows.
unsafe fn pack_range<T: Float>(packed: &Packed, view: &View<'_, T>, range: &Range<usize>) {
    let b = &packed.b;
    let (k, n) = (count(b.rows, 1), count(b.cols, 1));
    let line = b.row.max(b.col);
    let from = |at: usize| at.saturating_sub(b.offset) / line;
    let lines = |most: usize| from(range.start).min(most)..from(range.end + line - 1).min(most);
    let part = if b.col == 1 { (lines(k), 0..n) } else { (0..k, lines(n)) };
    // SAFETY: the caller vouches for it
    unsafe { pack(packed, view, part) }
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
