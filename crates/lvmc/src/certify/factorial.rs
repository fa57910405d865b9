//! A q that is a product over chains, by brute force: every path of a sequence with its log joint density, and q of each part
//! as the table of all its own paths.
//!
//! Nothing of the rule is used but its statement: which variables belong to which part, and that each part is best given the
//! others.

use super::oracle::Oracle;
use super::structured::Found;
use crate::failure::Failure;
use lvmc_runtime::engine::Values;
use std::collections::HashMap;

/// Turns, and what a weight may change in the last.
const TURNS: (usize, f64) = (4_000, 1e-14);

/// The paths of a sequence: log density, every row's combination, and the number of the path in each part.
struct Path {
    log: f64,
    rows: Vec<usize>,
    parts: Vec<usize>,
}

impl Oracle<'_> {
    /// q by turns at these parameters: every row's posterior, and what the bound is. `parts` has the part of q of every finite
    /// variable that has one.
    ///
    /// # Errors
    /// A density that the evaluator cannot compute.
    pub fn factorial(&mut self, parts: &[Option<usize>], values: &Values) -> Result<Found, Failure> {
        let mut env = self.environment(values);
        let (mut known, densities) = self.rows_with_densities(&mut env)?;
        let mut possible: Vec<Vec<bool>> = vec![];
        for (row, d) in densities.iter().enumerate() {
            env.set_row(row);
            possible.push((0..d.len()).map(|n| self.set_combination(&mut env, row, n)).collect());
        }
        let mut found = Found::default();
        for s in self.starts.clone().windows(2) {
            let rows = s[0]..s[1];
            let paths = self.paths(parts, &densities[rows.clone()], &possible[rows.clone()]);
            let logs: Vec<f64> = paths.iter().map(|p| p.log).collect();
            found.exact += super::paths::log_sum(&logs);
            let (q, bound, fall) = settle(&paths);
            found.fall = found.fall.max(fall);
            found.bound += bound;
            for (t, row) in rows.enumerate() {
                known[row].log = if t == 0 { bound } else { 0.0 };
                known[row].weights.fill(0.0);
                for (path, q) in paths.iter().zip(&q) {
                    known[row].weights[path.rows[t]] += q;
                }
            }
        }
        self.settle_on(known, densities);
        Ok(found)
    }

    fn paths(&self, parts: &[Option<usize>], densities: &[Vec<f64>], possible: &[Vec<bool>]) -> Vec<Path> {
        let lagged = |v: usize| self.finite_lags.iter().any(|l| l.0 == v);
        let count = parts.iter().flatten().max().map_or(0, |m| m + 1);
        let mut numbers: Vec<HashMap<Vec<usize>, usize>> = vec![HashMap::new(); count];
        let mut out = vec![];
        for rows in self.paths_of(densities.len()) {
            if !rows.iter().zip(possible).all(|(&k, p)| p[k]) {
                continue;
            }
            let values: Vec<Vec<usize>> = rows.iter().map(|&k| self.combination(k)).collect();
            let own = |part: usize| -> Vec<usize> {
                let mine = (0..parts.len()).filter(|&v| parts[v] == Some(part) && !lagged(v));
                mine.flat_map(|v| values.iter().map(move |row| row[v])).collect()
            };
            let parts = (0..count).map(|part| {
                let next = numbers[part].len();
                *numbers[part].entry(own(part)).or_insert(next)
            });
            out.push(Path {
                parts: parts.collect(),
                log: rows.iter().zip(densities).map(|(&k, d)| d[k]).sum(),
                rows,
            });
        }
        out
    }
}

/// q of every path, the bound, and its largest fall.
fn settle(paths: &[Path]) -> (Vec<f64>, f64, f64) {
    let count = paths.first().map_or(0, |p| p.parts.len());
    let size = |m: usize| paths.iter().map(|p| p.parts[m] + 1).max().unwrap_or(0);
    let mut q: Vec<Vec<f64>> = (0..count).map(|m| vec![1.0 / size(m) as f64; size(m)]).collect();
    let of = |q: &[Vec<f64>], p: &Path, but: Option<usize>| -> f64 {
        let all = (0..count).filter(|&m| Some(m) != but);
        all.map(|m| q[m][p.parts[m]]).product()
    };
    let (mut last, mut fall) = (f64::NEG_INFINITY, 0.0f64);
    for _ in 0..TURNS.0 {
        let mut change = 0.0f64;
        for m in 0..count {
            let mut logs = vec![0.0; q[m].len()];
            for p in paths {
                let w = of(&q, p, Some(m));
                if w > 0.0 {
                    logs[p.parts[m]] += w * p.log;
                }
            }
            let total = super::paths::log_sum(&logs);
            for (q, l) in q[m].iter_mut().zip(&logs) {
                let now = (l - total).exp();
                change = change.max((now - *q).abs());
                *q = now;
            }
        }
        let now = bound(paths, &q, &|p| of(&q, p, None));
        fall = fall.max((last - now) / (1.0 + now.abs()));
        last = now;
        if change < TURNS.1 || !now.is_finite() {
            break;
        }
    }
    (paths.iter().map(|p| of(&q, p, None)).collect(), last, fall)
}

/// E_q[log p] + Σ H.
fn bound(paths: &[Path], q: &[Vec<f64>], of: &dyn Fn(&Path) -> f64) -> f64 {
    let mut sum = 0.0;
    for p in paths {
        let w = of(p);
        if w > 0.0 {
            sum += w * p.log;
        }
    }
    let entropy = |x: &f64| if *x > 0.0 { -x * x.ln() } else { 0.0 };
    sum + q.iter().flatten().map(entropy).sum::<f64>()
}

/// The part of q of every finite variable, by its place.
pub fn parts(plan: &lvmc_derive::Plan) -> Vec<Option<usize>> {
    (0..plan.finite.len()).map(|v| plan.chain_with(v)).collect()
}
