//! The objective of rows at given parameters: the bound, or the log-likelihood, without dropout.

use super::data::Data;
use super::problem::Problem;
use super::settings::Settings;
use super::{GradientError, Make};
use lvmc_dense::{Executor, Lowered, Root};
use lvmc_derive::guided::Source;
use lvmc_model::graph::ModelGraph;

/// Draws whose average is reported, where the objective is one draw's.
const REPEATS: usize = 16;

/// A sum over rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Σ over rows, each with its weight.
    pub sum: f64,
    /// Of the draws that it averages; 0 for an exact one.
    pub error: f64,
    /// Sum of the weights.
    pub weight: f64,
}

impl Score {
    /// A row's.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum / self.weight.max(f64::MIN_POSITIVE)
    }
}

/// Computes scores.
pub struct Scorer {
    executor: Box<dyn Executor>,
    lowered: Lowered,
    random: bool,
    values: Vec<f64>,
}

impl Scorer {
    /// Of a problem's bound.
    ///
    /// # Errors
    /// A term that cannot be computed over a batch.
    pub fn new(
        graph: &ModelGraph,
        problem: &Problem,
        settings: &Settings,
        make: Make<'_>,
        capacity: usize,
    ) -> Result<Self, GradientError> {
        let mut guided = problem.guided.clone();
        let (term, noise) = guided.bound();
        Self::of_term(graph, problem, guided, term, &noise, settings, make, capacity)
    }

    /// Of a term of a row.
    ///
    /// # Errors
    /// A term that cannot be computed over a batch.
    pub fn of_term(
        graph: &ModelGraph,
        problem: &Problem,
        mut guided: lvmc_derive::guided::Guided,
        term: lvmc_term::Term,
        noise: &[Source],
        settings: &Settings,
        make: Make<'_>,
        capacity: usize,
    ) -> Result<Self, GradientError> {
        let root = Root {
            name: "row".into(),
            term: guided.evaluated(graph, term, &problem.written.free),
        };
        let lowered = problem
            .known
            .lower(&mut guided.store, &[root], noise, &[])
            .map_err(super::ProblemError::Lower)?;
        let mut executor = make(
            lowered.program.clone(),
            capacity,
            settings.precision,
            settings.seed ^ 0x5C0E,
        )?;
        lowered.set_constants(&mut *executor);
        Ok(Self {
            executor,
            random: noise.iter().any(|n| lowered.symbols.contains_key(&n.sym)),
            lowered,
            values: vec![0.0; capacity],
        })
    }

    /// How often the score is worth repeating.
    #[must_use]
    pub fn repeats(&self) -> usize {
        if self.random { REPEATS } else { 1 }
    }

    /// The score of some rows; noise is the same at every call.
    pub fn score(
        &mut self,
        problem: &Problem,
        params: &[Vec<f64>],
        data: &Data,
        rows: &[u32],
        repeats: usize,
    ) -> Score {
        self.set_params(problem, params);
        let mut draws = vec![];
        let mut weight = 0.0;
        for repeat in 0..repeats.max(1) {
            let mut sum = 0.0;
            weight = 0.0;
            for (k, chunk) in rows.chunks(self.executor.capacity()).enumerate() {
                let draw = (repeat as u64) << 32 | k as u64;
                self.run(data, chunk, draw);
                let mut values = std::mem::take(&mut self.values);
                self.executor.read(self.lowered.roots[0], &mut values[..chunk.len()]);
                for (&row, &x) in chunk.iter().zip(&values) {
                    let w = data.weights.as_ref().map_or(1.0, |w| w[row as usize]);
                    weight += w;
                    sum += if w == 0.0 { 0.0 } else { w * x };
                }
                self.values = values;
            }
            draws.push(sum);
        }
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let spread: f64 = draws.iter().map(|d| (d - mean).powi(2)).sum();
        Score {
            sum: mean,
            error: if draws.len() > 1 {
                (spread / (n - 1.0) / n).sqrt()
            } else {
                0.0
            },
            weight,
        }
    }

    fn set_params(&mut self, problem: &Problem, params: &[Vec<f64>]) {
        for (f, values) in problem.written.free.iter().zip(params) {
            if let Some(&id) = self.lowered.symbols.get(&f.free) {
                self.executor.set(id, values);
            }
        }
    }

    fn run(&mut self, data: &Data, rows: &[u32], draw: u64) {
        for m in &data.variables {
            if let Some(&id) = self.lowered.symbols.get(&m.sym) {
                self.executor.set_rows_from(id, &m.columns(), rows);
            }
        }
        self.executor.run(rows.len(), draw);
    }
}
