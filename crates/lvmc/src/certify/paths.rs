//! Chains by brute force: every path of every sequence, from the rows' densities alone.

use lvmc_derive::Plan;
use std::collections::HashMap;

/// Paths of a sequence beyond which nothing is enumerated.
const PATHS: usize = 20_000;

/// The finite variables of a chain, by their places in a row's combination.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Numbers of values.
    sizes: Vec<usize>,
    /// (lagged variable, the variable it is of, how many rows before).
    lags: Vec<(usize, usize, usize)>,
}

/// What is known of a row: log p(row | rows before), and the posterior of each of its combinations.
pub struct Row {
    /// Log-likelihood.
    pub log: f64,
    /// Posterior.
    pub weights: Vec<f64>,
}

impl Paths {
    /// The paths of a plan's chain, if it has one.
    #[must_use]
    pub fn new(plan: &Plan, sizes: &[usize]) -> Option<Self> {
        plan.chains.first()?;
        let lag = |(v, f): (usize, &lvmc_derive::plan::Finite)| f.lag.map(|l| (v, l.of, l.by));
        Some(Self {
            sizes: sizes.to_vec(),
            lags: plan.finite.iter().enumerate().filter_map(lag).collect(),
        })
    }

    /// The longest sequence that can be enumerated, at least 3 rows.
    #[must_use]
    pub fn longest(&self) -> usize {
        let free: usize = self.free().map(|v| self.sizes[v]).product();
        let most = (PATHS as f64).ln() / (free.max(2) as f64).ln();
        (most as usize).max(3)
    }

    fn free(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.sizes.len()).filter(|v| self.lags.iter().all(|l| l.0 != *v))
    }

    /// The number of a combination, the first variable fastest.
    fn number(&self, values: &[usize]) -> usize {
        values
            .iter()
            .zip(&self.sizes)
            .rev()
            .fold(0, |n, (v, size)| n * size + v)
    }

    fn walk<'w>(&'w self, rows: &'w [&'w [f64]]) -> Walk<'w> {
        let mut walk = Walk {
            paths: self,
            rows,
            path: vec![],
            prefixes: vec![vec![]; rows.len()],
            whole: vec![],
        };
        walk.from(0.0);
        walk
    }

    /// How much less the log density of a path of some variables is than that of the best such path, the other variables
    /// summed out; `found` has their places and their values by row.
    #[must_use]
    pub fn short_of_best(&self, rows: &[&[f64]], found: &[(usize, Vec<usize>)]) -> f64 {
        let value = |mut number: usize, v: usize| {
            self.sizes[..v].iter().for_each(|size| number /= size);
            number % self.sizes[v]
        };
        let mut logs: HashMap<Vec<usize>, Vec<f64>> = HashMap::new();
        for (log, numbers) in self.walk(rows).whole {
            let own = numbers.iter().flat_map(|&n| found.iter().map(move |f| value(n, f.0)));
            logs.entry(own.collect()).or_default().push(log);
        }
        let own = (0..rows.len()).flat_map(|t| found.iter().map(move |f| f.1[t]));
        let own = logs
            .get(&own.collect::<Vec<_>>())
            .map_or(f64::NEG_INFINITY, |l| log_sum(l));
        logs.values().map(|l| log_sum(l)).fold(f64::NEG_INFINITY, f64::max) - own
    }

    /// Sums over all paths of a sequence whose rows have those log densities by combination.
    #[must_use]
    pub fn sum(&self, rows: &[&[f64]]) -> Vec<Row> {
        let Walk { prefixes, whole, .. } = self.walk(rows);
        let totals: Vec<f64> = prefixes.iter().map(|logs| log_sum(logs)).collect();
        let total = totals.last().copied().unwrap_or(0.0);
        let mut out: Vec<Row> = (0..rows.len())
            .map(|t| Row {
                log: totals[t] - if t == 0 { 0.0 } else { totals[t - 1] },
                weights: vec![0.0; rows[t].len()],
            })
            .collect();
        for (log, path) in whole {
            let p = (log - total).exp();
            path.iter()
                .zip(&mut out)
                .for_each(|(&number, row)| row.weights[number] += p);
        }
        out
    }
}

struct Walk<'a> {
    paths: &'a Paths,
    rows: &'a [&'a [f64]],
    /// Values of every row so far.
    path: Vec<Vec<usize>>,
    /// Log densities of all paths to each row.
    prefixes: Vec<Vec<f64>>,
    /// All paths: log density, and the number of every row's combination.
    whole: Vec<(f64, Vec<usize>)>,
}

impl Walk<'_> {
    fn from(&mut self, log: f64) {
        let t = self.path.len();
        if t == self.rows.len() {
            let numbers = self.path.iter().map(|v| self.paths.number(v)).collect();
            self.whole.push((log, numbers));
            return;
        }
        let free: Vec<usize> = self.paths.free().collect();
        let count: usize = free.iter().map(|&v| self.paths.sizes[v]).product();
        for number in 0..count {
            let mut values = vec![0; self.paths.sizes.len()];
            let mut rest = number;
            for &v in &free {
                values[v] = rest % self.paths.sizes[v];
                rest /= self.paths.sizes[v];
            }
            // a lag of a row that does not exist keeps its first value: no statement that holds asks for it
            for &(lag, of, by) in &self.paths.lags {
                values[lag] = t.checked_sub(by).map_or(0, |row| self.path[row][of]);
            }
            let next = log + self.rows[t][self.paths.number(&values)];
            if next > f64::NEG_INFINITY {
                self.prefixes[t].push(next);
                self.path.push(values);
                self.from(next);
                self.path.pop();
            }
        }
    }
}

pub(super) fn log_sum(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + logs.iter().map(|l| (l - top).exp()).sum::<f64>().ln()
}
