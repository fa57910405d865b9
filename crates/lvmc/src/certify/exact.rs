//! Certificates of exact updates beside gradients: their model is the bound as far as it depends on their parameters, and
//! what their updates find is its maximum. The oracle is the bound as the evaluator has it.

use super::Certificate;
use super::gradient::{ROWS, SHARE, World, bug, certificate, shape};
use crate::failure::Failure;
use crate::pipeline::{self, How};
use lvmc_derive::guided::Exact;
use lvmc_model::ModelGraph;
use lvmc_runtime::dataset::Dataset;
use lvmc_runtime::fit::Until;
use lvmc_runtime::gradient::exact::{Maximiser, Native, Search};
use lvmc_runtime::gradient::outcome::{constrained, free};
use lvmc_term::{SymId, Term};
use rand::RngExt;

/// Iterations until the updates have nothing left to gain, and the share of the objective that counts as nothing.
const UNTIL: Until = Until {
    iterations: 2000,
    tol: 1e-15,
};
/// Elements of a parameter that are moved.
const ELEMENTS: usize = 6;
/// How far.
const STEP: f64 = 1e-4;

/// The bound of a row, and the prior, at the world's noise.
struct Bound {
    row: Term,
    prior: Term,
}

impl World {
    /// See the module.
    pub(super) fn exact_updates(&mut self, graph: &ModelGraph) -> Result<Vec<Certificate>, Failure> {
        let Some(exact) = self.problem.guided.exact.clone() else {
            return Ok(vec![]);
        };
        let lowered = pipeline::lower(&exact.graph, &exact.plan, &self.problem.known.sizes)?;
        let (program, machine) = pipeline::compile(&lowered, How::default())?;
        let native = Native {
            lowered: &lowered,
            program: &program,
            machine: machine.as_ref(),
            floor: 0.0,
        };
        let maximiser = Maximiser::new(&self.problem, exact.clone(), native, 1, 1)?;
        let dataset = self.rows_of(graph, &exact, &maximiser)?;
        let places = maximiser.places().to_vec();
        let mut out = vec![];
        let mut worst = 0.0_f64;
        let coordinates = self.problem.written.free.clone();
        let g = &mut self.problem.guided;
        let (row, _) = g.bound();
        let prior = g.store.sum(&g.prior.clone());
        // without dropout, as the columns are
        let bound = Bound {
            row: g.evaluated(graph, row, &coordinates),
            prior: g.evaluated(graph, prior, &coordinates),
        };
        let (from, start) = (self.params.clone(), self.bound_at(&bound, &self.params)?);
        let model = maximiser.objective(&from, &dataset)?;
        for _ in 0..8 {
            let mut to = from.clone();
            for &i in &places {
                to[i] = self.moved(i, &from[i], |_, rng| 0.3 * (rng - 0.5));
            }
            let change = (self.bound_at(&bound, &to)? - start) / SHARE;
            let found = maximiser.objective(&to, &dataset)? - model;
            worst = super::gradient::worse(worst, (change - found).abs() / (1.0 + change.abs()));
        }
        out.push(certificate(
            "exact update",
            "bound",
            "moves with its parameters as the model of its part does",
            worst,
            1e-8,
        ));
        let hidden = exact.plan.finite.iter().any(|f| !f.observed);
        if let (Some(found), false) = (maximiser.maximise(&from, &dataset, UNTIL, Search::Never)?, hidden) {
            let mut best = from;
            places.iter().zip(found).for_each(|(&i, v)| best[i] = v);
            out.push(self.stationary(&bound, &best, &places)?);
        }
        Ok(out)
    }

    fn bound_at(&self, bound: &Bound, params: &[Vec<f64>]) -> Result<f64, Failure> {
        let mut env = self.env(params);
        let mut sum = 0.0;
        for r in 0..ROWS {
            sum += self.row_value(bound.row, &mut env, r)?;
        }
        Ok(sum + SHARE * self.row_value(bound.prior, &mut env, 0)?)
    }

    /// The rows of the model: data, and its columns by the evaluator.
    fn rows_of(&mut self, graph: &ModelGraph, exact: &Exact, maximiser: &Maximiser<'_>) -> Result<Dataset, Failure> {
        let coordinates = self.problem.written.free.clone();
        let mut columns = vec![];
        for row in &exact.rows {
            let g = &mut self.problem.guided;
            let t = g.evaluated(graph, row.term, &coordinates);
            let mut env = self.env(&self.params);
            let mut values = vec![];
            for r in 0..ROWS {
                env.set_row(r);
                let value = self.problem.guided.store.eval(t, &env);
                values.extend(value.map_err(|e| bug(format!("the evaluator: {e}")))?.data);
            }
            columns.push((row.sym, values));
        }
        let cells = |sym: SymId| {
            let known = columns.iter().find(|c| c.0 == sym).map(|c| c.1.clone());
            let data = || {
                let rows = self.rows.get(&sym)?;
                Some(rows.iter().flat_map(|a| a.data.clone()).collect())
            };
            let all: Vec<f64> = known.or_else(data)?;
            Some((all.len() / ROWS, all))
        };
        let weights = vec![1.0 / SHARE; ROWS];
        let found = maximiser.dataset(&cells, Some(weights), ROWS);
        found.map_err(Failure::from)
    }

    /// A parameter that is its own coordinate, moved within its support.
    fn moved(&mut self, i: usize, values: &[f64], by: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let f = &self.problem.written.free[i];
        let support = self.problem.guided.store.sym(f.param).support.clone();
        let shape = shape(&self.problem, f.param);
        let mut u = free(&support, &shape, values);
        for (k, u) in u.iter_mut().enumerate() {
            *u += by(k, self.rng.random::<f64>());
        }
        constrained(&support, &shape, &u)
    }

    /// What a Newton step along any one coordinate would still gain, a row.
    fn stationary(&mut self, bound: &Bound, best: &[Vec<f64>], places: &[usize]) -> Result<Certificate, Failure> {
        let top = self.bound_at(bound, best)?;
        let mut worst = 0.0_f64;
        for &i in places {
            for k in 0..ELEMENTS.min(best[i].len()) {
                let mut at = |by: f64| -> Result<f64, Failure> {
                    let mut params = best.to_vec();
                    params[i] = self.moved(i, &best[i], |j, _| if j == k { by } else { 0.0 });
                    self.bound_at(bound, &params)
                };
                let (up, down) = (at(STEP)?, at(-STEP)?);
                let (slope, curve) = ((up - down) / (2.0 * STEP), (2.0 * top - up - down) / (STEP * STEP));
                // flat to rounding: nothing moves the bound
                if slope.abs() > 1e-7 * (1.0 + top.abs()) || curve > 1e-3 {
                    worst = super::gradient::worse(worst, slope * slope / (2.0 * curve.max(1e-3)) / ROWS as f64);
                }
            }
        }
        Ok(certificate(
            "exact update",
            "maximum",
            "no step along one coordinate raises the bound: gain left per row",
            worst,
            1e-8,
        ))
    }
}
