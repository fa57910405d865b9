//! Restarts: rounds of short runs, the best of them finished, until the best is found again.
//!
//! Measured with plain EM on the reference cases (`docs/ARCHITECTURE.md`): rounds of 20 short runs of 25 iterations, the
//! best eight finished, at least two rounds unless all finished runs agree, until the best value was found three times:
//! every case is reached by 20 of 20 seeds. Runs that converge while short count as finished.
//!
//! Where q is a product runs creep along for thousands of iterations, each of them several scans: there they are finished in
//! heats. After each the better half goes on, for twice as long, until two are left; the winner has all the iterations that
//! it asks for.

use super::climb::{Outcome, Until, climb};
use super::suspect::suspicions;
use super::{FitError, Fitted, Hooks, Progress, Settings, finished};
use crate::dataset::Dataset;
use crate::engine::{Compiled, Engine, Values};
use crate::init::{self, Kind, Points};
use crate::random::{Purpose, below, keyed};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Short runs look at no more rows than this.
const ROWS: usize = 4_000;
/// Iterations of a short run.
const SHORT: usize = 25;
/// Short runs of a round that are finished.
const FINISHED: usize = 8;
/// The best value must have been found so often.
const FOUND: usize = 3;
/// Two objectives closer than this share of 1 + |objective| are the same optimum.
pub(super) const SAME: f64 = 1e-6;
/// What a run within a round may leave to gain; the winner is polished.
const LOOSE: f64 = 1e-7;
/// Runs that are finished whatever they cost.
const LAST: usize = 2;
/// What the first heat costs, as a share of the budget.
const HEAT: f64 = 1.0 / 8.0;
/// The share of the budget that a search has where q is a product: its winner may creep on for as long again.
const PRODUCT: f64 = 0.25;
/// What a number of a scan with rotations costs beside one of a sweep over independent rows (measured).
const SCANNED: usize = 8;
/// Work after which no further round begins: rows × iterations × (numbers touched per row).
const BUDGET: f64 = 3e10;

/// A finished run.
#[derive(Debug, Clone)]
struct Run {
    outcome: Outcome,
    degenerate: bool,
}

impl Run {
    /// Honest optima first, then by objective; NaN last.
    fn before(&self, other: &Self) -> std::cmp::Ordering {
        self.degenerate
            .cmp(&other.degenerate)
            .then(other.outcome.rank().total_cmp(&self.outcome.rank()))
    }
}

/// The same optimum.
pub(super) fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * (1.0 + a.abs().max(b.abs()))
}

/// Finds the best fit of a model with hidden finite variables.
pub(super) fn search(
    compiled: Compiled<'_>,
    data: &Dataset,
    settings: &Settings,
    hooks: Hooks<'_>,
) -> Result<Fitted, FitError> {
    let rows = chosen_rows(&compiled, data, settings.seed);
    let small_data;
    let small = match &rows {
        Some(rows) => {
            small_data = data.subset(compiled.lowered, rows);
            &small_data
        }
        None => data,
    };
    let points = Points::new(compiled.lowered, small);
    let team = Team {
        compiled,
        data: small,
        scores: points.components(compiled.lowered),
        points,
        settings,
        hooks,
    };
    let mut done: Vec<Run> = Vec::new();
    let mut starts = 0;
    let mut work = 0.0;
    let per_iteration = cost(&compiled, small);
    let stopped = || hooks.stop.is_some_and(|s| s.load(Ordering::Relaxed));
    for round in 0..settings.rounds.max(1) {
        let mut short = team.short_runs(round, done.first())?;
        starts += short.len();
        work += per_iteration * count(short.iter().map(|r| r.outcome.iterations).sum());
        short.sort_by(Run::before);
        let (over, open): (Vec<Run>, Vec<Run>) = short
            .into_iter()
            .partition(|r| r.outcome.converged || r.outcome.fell || r.outcome.undefined);
        done.extend(over);
        let finished = team.finish(open.into_iter().take(FINISHED).collect(), per_iteration)?;
        work += per_iteration * count(finished.iter().map(|r| r.outcome.iterations).sum());
        done.extend(finished);
        done.sort_by(Run::before);
        if let (Some(report), Some(best)) = (hooks.progress, done.first()) {
            report(Progress {
                starts,
                best: best.outcome.objective,
            });
        }
        if stopped() || work > budget(&compiled) || enough(&done, round) {
            break;
        }
    }
    conclude(compiled, data, settings, hooks, done, starts, rows.is_some())
}

/// The best was found often enough: everywhere, or three times in at least two rounds.
fn enough(done: &[Run], round: usize) -> bool {
    let Some(best) = done.first() else { return false };
    let honest = done.iter().filter(|r| !r.degenerate);
    let hits = honest
        .clone()
        .filter(|r| same(r.outcome.objective, best.outcome.objective))
        .count();
    hits >= FOUND && !best.degenerate && (round > 0 || hits == honest.count())
}

#[allow(clippy::cast_precision_loss)]
fn count(n: usize) -> f64 {
    n as f64
}

/// Rows that short runs look at, where there are too many.
fn chosen_rows(compiled: &Compiled<'_>, data: &Dataset, seed: u64) -> Option<Vec<usize>> {
    let values = compiled.lowered.latents.iter().map(|l| l.size).max().unwrap_or(1);
    let most = ROWS.max(values.saturating_mul(20));
    if data.rows <= most {
        return None;
    }
    let mut rng = keyed(seed, Purpose::Rows, 0);
    if compiled.lowered.chained() {
        return Some(whole_sequences(&data.order.starts, most, &mut rng));
    }
    // one row of each of `most` equal stretches: in order, without repetition
    Some(
        (0..most)
            .map(|i| {
                let (a, b) = (i * data.rows / most, (i + 1) * data.rows / most);
                a + below(&mut rng, b - a)
            })
            .collect(),
    )
}

/// Rows of sequences that are drawn until there are enough; the last is cut.
fn whole_sequences(starts: &[usize], most: usize, rng: &mut rand::rngs::StdRng) -> Vec<usize> {
    let mut left: Vec<std::ops::Range<usize>> = starts.windows(2).map(|w| w[0]..w[1]).collect();
    let mut rows: Vec<usize> = vec![];
    while rows.len() < most && !left.is_empty() {
        let next = left.swap_remove(below(rng, left.len()));
        let room = most - rows.len();
        rows.extend(next.take(room));
    }
    rows.sort_unstable();
    rows
}

/// Work that a search may take.
fn budget(compiled: &Compiled<'_>) -> f64 {
    if compiled.lowered.bound.is_some() {
        PRODUCT * BUDGET
    } else {
        BUDGET
    }
}

/// Work of an iteration: rows times numbers touched per row, roughly.
fn cost(compiled: &Compiled<'_>, data: &Dataset) -> f64 {
    let columns: usize = compiled.lowered.columns.iter().map(|c| c.cols).sum();
    let parameters: usize = compiled
        .lowered
        .params
        .iter()
        .map(|p| p.shape.iter().product::<usize>())
        .sum();
    let values = compiled.lowered.latents.iter().fold(1.0, |n, l| n * count(l.size));
    // the parts of a q that is a product, in turns, number by number
    let turns = compiled
        .lowered
        .mean_field
        .as_ref()
        .map_or(0, |m| 8 * SCANNED * m.work());
    let pairs = compiled.lowered.chains.iter().map(|c| 4.0 * count(c.scan.edges.len()));
    let values = if compiled.lowered.chains.len() > 1 {
        pairs.sum::<f64>()
    } else {
        values
    };
    count(data.rows) * (values * count(columns + 4)).max(count(parameters + turns))
}

/// What the runs of a round share.
struct Team<'a> {
    compiled: Compiled<'a>,
    data: &'a Dataset,
    points: Points,
    /// Principal components, where continuous latents start.
    scores: Vec<Vec<f64>>,
    settings: &'a Settings,
    hooks: Hooks<'a>,
}

impl Team<'_> {
    /// Does `jobs` on several threads, each with an engine of its own; results in the order of jobs.
    fn each<T: Sync>(
        &self,
        jobs: &[T],
        run: impl Fn(&mut Engine<'_>, usize, &T) -> Result<Outcome, FitError> + Sync,
    ) -> Result<Vec<Run>, FitError> {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Option<Result<Outcome, FitError>>>> = Mutex::new(jobs.iter().map(|_| None).collect());
        let work = || {
            let mut engine = Engine::new(self.compiled, self.data, 1);
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(i) else { break };
                let result = run(&mut engine, i, job);
                // a poisoned lock: another thread panicked, and the scope will say so
                results.lock().unwrap_or_else(PoisonError::into_inner)[i] = Some(result);
            }
        };
        let threads = self.settings.threads.clamp(1, jobs.len().max(1));
        if threads == 1 {
            work();
        } else {
            std::thread::scope(|s| {
                for _ in 1..threads {
                    s.spawn(work);
                }
                work();
            });
        }
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results
            .into_iter()
            .flatten()
            .map(|r| {
                let outcome = r?;
                let degenerate = !outcome.objective.is_finite()
                    || suspicions(&self.compiled, self.data, &outcome, false)
                        .iter()
                        .any(|s| s.is_degenerate());
                Ok(Run { outcome, degenerate })
            })
            .collect()
    }

    fn short_runs(&self, round: usize, best: Option<&Run>) -> Result<Vec<Run>, FitError> {
        let jobs: Vec<usize> = (0..self.settings.starts.max(1)).collect();
        let from = best.filter(|b| round > 0 && b.outcome.objective.is_finite()).map(|b| {
            let mut engine = Engine::new(self.compiled, self.data, self.settings.threads);
            engine.set_params(&b.outcome.values);
            engine.posterior().marginals
        });
        let defaults = init::defaults(self.compiled.lowered, self.data);
        let until = Until {
            iterations: SHORT.min(self.settings.max_iter),
            tol: LOOSE,
        };
        let lowered = self.compiled.lowered;
        self.each(&jobs, |engine, i, _| {
            let index = (round * 1_000 + i) as u64;
            let marginals = match &from {
                Some(from) if i % 2 == 1 => {
                    let mut rng = keyed(self.settings.seed, Purpose::Shake, index);
                    init::shaken(lowered, self.data, &self.points, from, &mut rng)
                }
                _ => {
                    let mut rng = keyed(self.settings.seed, Purpose::Start, index);
                    // from the second round on every other start is shaken: both kinds of clustering among the rest
                    let kind = if round > 0 { Kind::of(i / 2) } else { Kind::of(i) };
                    init::marginals(lowered, self.data, &self.points, kind, &mut rng)
                }
            };
            let base: &Values = match best {
                Some(b) if from.is_some() && i % 2 == 1 => &b.outcome.values,
                _ => &defaults,
            };
            engine.set_params(base);
            for (l, m) in marginals.iter().enumerate() {
                let k = lowered.latents[l].size;
                engine.set_marginal(l, |row, value| m.get(row * k + value).copied().unwrap_or(0.0));
            }
            init::start_scores(engine, &self.scores);
            engine.seed();
            climb(engine, self.data.weight_sum, until, self.hooks.stop)
        })
    }

    /// Runs to their ends, or in heats after which the better half goes on.
    fn finish(&self, mut open: Vec<Run>, per_iteration: f64) -> Result<Vec<Run>, FitError> {
        // a large problem must not spend its time on runs that will not win
        let affordable = |share: f64| -> usize {
            let iterations = budget(&self.compiled) * share / (count(FINISHED) * per_iteration.max(1.0));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            (iterations.clamp(100.0, 1e6) as usize).min(self.settings.max_iter)
        };
        let in_heats = self.compiled.lowered.bound.is_some();
        let (mut left, mut heat) = (affordable(1.0), affordable(if in_heats { HEAT } else { 1.0 }));
        let mut done = vec![];
        while !open.is_empty() {
            let iterations = if open.len() <= LAST { left } else { heat.min(left) };
            let until = Until { iterations, tol: LOOSE };
            let runs = self.each(&open, |engine, _, run| {
                resume(engine, self.data, &run.outcome, until, self.hooks)
            })?;
            left -= iterations;
            heat *= 2;
            let ended = |r: &Run| r.outcome.converged || r.outcome.fell || r.outcome.undefined || r.outcome.stopped;
            let (over, mut on): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|r| left == 0 || ended(r));
            done.extend(over);
            on.sort_by(Run::before);
            let stay = on.len().min(LAST.max(on.len().div_ceil(2)));
            done.extend(on.drain(stay..));
            open = on;
        }
        Ok(done)
    }
}

/// Goes on from where a run stopped.
fn resume(
    engine: &mut Engine<'_>,
    data: &Dataset,
    from: &Outcome,
    until: Until,
    hooks: Hooks<'_>,
) -> Result<Outcome, FitError> {
    engine.set_params(&from.values);
    // whatever the engine did before: the same result on any thread
    engine.forget();
    let mut out = climb(engine, data.weight_sum, until, hooks.stop)?;
    out.iterations += from.iterations;
    let own = std::mem::take(&mut out.trace);
    out.trace.clone_from(&from.trace);
    out.trace.extend(own.into_iter().skip(1));
    Ok(out)
}

/// Polishes the winner; of a subset of the rows, the best few on all of them.
fn conclude(
    compiled: Compiled<'_>,
    data: &Dataset,
    settings: &Settings,
    hooks: Hooks<'_>,
    done: Vec<Run>,
    starts: usize,
    was_subset: bool,
) -> Result<Fitted, FitError> {
    let Some(best) = done.first() else {
        return Err(FitError::Numerical {
            value: "unknown".into(),
            help: "no start was made".into(),
            at: None,
        });
    };
    let reached = done
        .iter()
        .filter(|r| same(r.outcome.objective, best.outcome.objective))
        .count();
    let mut restarts: Vec<f64> = done.iter().map(|r| r.outcome.objective).collect();
    let until = Until {
        iterations: settings.max_iter,
        tol: settings.tol,
    };
    let mut engine = Engine::new(compiled, data, settings.threads);
    if !was_subset {
        let outcome = resume(&mut engine, data, &best.outcome, until, hooks)?;
        return finished(compiled, data, settings, restarts, starts, reached, outcome);
    }
    // optima that differ on the subset by chance: the first three, on all rows
    let mut picked: Vec<&Run> = Vec::new();
    for run in done
        .iter()
        .filter(|r| r.degenerate == best.degenerate && r.outcome.objective.is_finite())
    {
        let close = (best.outcome.objective - run.outcome.objective) <= 0.002 * (1.0 + best.outcome.objective.abs());
        if close && picked.iter().all(|p| !same(p.outcome.objective, run.outcome.objective)) && picked.len() < 3 {
            picked.push(run);
        }
    }
    restarts.clear();
    let mut runs: Vec<Run> = Vec::new();
    let loose = Until {
        iterations: if picked.len() > 1 { SHORT * 2 } else { 0 },
        tol: LOOSE,
    };
    for run in picked {
        engine.set_params(&run.outcome.values);
        engine.forget();
        let outcome = climb(&mut engine, data.weight_sum, loose, hooks.stop)?;
        let degenerate = suspicions(&compiled, data, &outcome, false)
            .iter()
            .any(|s| s.is_degenerate());
        restarts.push(outcome.objective);
        runs.push(Run { outcome, degenerate });
    }
    runs.sort_by(Run::before);
    let Some(first) = runs.first() else {
        return finished(
            compiled,
            data,
            settings,
            restarts,
            starts,
            reached,
            best.outcome.clone(),
        );
    };
    let outcome = resume(&mut engine, data, &first.outcome, until, hooks)?;
    restarts.push(outcome.objective);
    finished(compiled, data, settings, restarts, starts, reached, outcome)
}
