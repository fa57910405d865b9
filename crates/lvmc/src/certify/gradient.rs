//! Certificates of models that are fitted by gradients. The oracle is the reference evaluator of the algebra: it knows
//! nothing of array programs, of closed forms, or of native code.

use super::{Certificate, simulate};
use crate::failure::Failure;
use crate::gradient::executor;
use lvmc_base::Bug;
use lvmc_dense::Executor;
use lvmc_dense::ir::Precision;
use lvmc_derive::guided::{Aim, Guided, Latent, Noising, Random, Source, Taken};
use lvmc_model::ModelGraph;
use lvmc_runtime::gradient::outcome::{constrained, free};
use lvmc_runtime::gradient::problem::Problem;
use lvmc_runtime::gradient::start;
use lvmc_runtime::random::normal;
use lvmc_term::{Array, Env, Support, SymId, SymKind, Term};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::HashMap;

/// Rows that certificates look at.
pub const ROWS: usize = 4;
/// Elements of a parameter whose derivative is compared.
const ELEMENTS: usize = 6;
/// Draws of q that a closed form is compared with.
const DRAWS: usize = 2000;
/// Steps of a noising chain that are joined into one Gaussian.
const STEPS: usize = 24;
/// How much the prior counts.
pub(super) const SHARE: f64 = 0.25;

pub(super) fn bug(message: String) -> Failure {
    Bug {
        stage: "certify",
        message,
        ir: String::new(),
    }
    .into()
}

/// Certifies a derivation on random rows and random parameters.
///
/// # Errors
/// A model that cannot be lowered.
pub fn certify(graph: &ModelGraph, guided: Guided, seed: u64) -> Result<Vec<Certificate>, Failure> {
    let sizes = simulate::sizes(graph);
    let mut out = vec![];
    let chain = guided.noising.clone();
    let problem = Problem::new(graph, guided, &sizes, Aim::Bound, 1, false)
        .map_err(|e| crate::gradient::failure(e.into(), &graph.source))?;
    let mut world = World::new(graph, problem, seed)?;
    out.push(world.native()?);
    out.push(world.objective()?);
    out.push(world.gradients()?);
    out.extend(world.closed_forms(graph)?);
    out.extend(world.scores(graph)?);
    out.extend(world.exact_updates(graph)?);
    if let Some(n) = chain {
        out.extend(world.noising(&n)?);
        out.push(world.divergences(graph, &n)?);
    }
    Ok(out)
}

/// Joint values of discrete latents that are written out, at most.
const JOINT: usize = 1024;
/// Values of a count that are written out: 0, 1, ….
const COUNTS: usize = 32;

/// What the bound is at given values of discrete latents.
struct Enumeration {
    f: Term,
    log_q: Term,
    symbols: Vec<SymId>,
    values: Vec<Vec<Array>>,
}

pub(super) struct World {
    pub(super) problem: Problem,
    run: Box<dyn Executor>,
    native: Box<dyn Executor>,
    /// Values of the rows' data and noise.
    pub(super) rows: HashMap<SymId, Vec<Array>>,
    /// Free coordinates.
    pub(super) params: Vec<Vec<f64>>,
    pub(super) rng: StdRng,
}

/// The mean of [`DRAWS`] numbers of that sum and sum of squares, and its standard error, which is not taken to be less than
/// `floor` of it.
fn mean_of_draws(sum: f64, square: f64, floor: f64) -> (f64, f64) {
    let n = DRAWS as f64;
    let mean = sum / n;
    let se = ((square / n - mean * mean).max(0.0) / n).sqrt();
    (mean, se.max(floor * (1.0 + mean.abs())))
}

pub(super) fn shape(p: &Problem, sym: SymId) -> Vec<usize> {
    let s = &p.guided.store;
    s.sym(sym)
        .shape
        .iter()
        .map(|n| p.known.size(s, n).unwrap_or(1))
        .collect()
}

impl World {
    fn new(graph: &ModelGraph, problem: Problem, seed: u64) -> Result<Self, Failure> {
        let program = problem.step.lowered.program.clone();
        let run = executor(program.clone(), ROWS, Precision::F64, seed, 1, true)?;
        let native = executor(program, ROWS, Precision::F64, seed, 1, false)?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut params = start::start(graph, &problem, seed);
        // off the starting values, where biases are 0
        for (f, values) in problem.written.free.iter().zip(&mut params) {
            let mut moved = |values: &mut Vec<f64>| values.iter_mut().for_each(|x| *x += 0.1 * normal(&mut rng));
            if f.is_itself() {
                let support = problem.guided.store.sym(f.param).support.clone();
                let shape = shape(&problem, f.param);
                let mut u = free(&support, &shape, values);
                moved(&mut u);
                *values = constrained(&support, &shape, &u);
            } else {
                moved(values);
            }
        }
        let mut w = Self {
            problem,
            run,
            native,
            rows: HashMap::new(),
            params,
            rng,
        };
        w.fill();
        Ok(w)
    }

    /// Random data; the noise of the first draw.
    fn fill(&mut self) {
        let symbols = self.problem.step.lowered.symbols.clone();
        let mut sorted: Vec<(SymId, usize)> = symbols.into_iter().collect();
        sorted.sort_unstable();
        for (sym, id) in &sorted {
            let info = self.problem.guided.store.sym(*sym).clone();
            if !info.per_row || info.kind == SymKind::Noise {
                continue;
            }
            let shape = shape(&self.problem, *sym);
            let category = match &info.support {
                Support::Category(n) => self.problem.known.size(&self.problem.guided.store, n).unwrap_or(1),
                _ => 1,
            };
            let rng = &mut self.rng;
            let values: Vec<Array> = (0..ROWS)
                .map(|_| {
                    Array::from_fn(&shape, |_| match &info.support {
                        Support::Binary => f64::from(rng.random::<f64>() < 0.5),
                        Support::Unit | Support::Simplex => rng.random::<f64>(),
                        Support::Category(_) => (rng.random::<f64>() * category as f64).floor(),
                        Support::Count | Support::Int => (rng.random::<f64>() * 5.0).floor(),
                        Support::Positive | Support::NonNegative => 0.2 + rng.random::<f64>(),
                        _ => normal(rng),
                    })
                })
                .collect();
            let flat: Vec<f64> = values.iter().flat_map(|a| a.data.iter().copied()).collect();
            self.run.set(*id, &flat);
            self.native.set(*id, &flat);
            self.rows.insert(*sym, values);
        }
        for executor in [&mut self.run, &mut self.native] {
            self.problem.step.lowered.set_constants(&mut **executor);
            for (&(id, _), values) in self.problem.step.params.iter().zip(&self.params) {
                executor.set(id, values);
            }
            if let Some(id) = self.problem.step.share {
                executor.set(id, &[SHARE]);
            }
            executor.run(ROWS, 0);
        }
        for source in self.problem.written.noise.clone() {
            let Some(&id) = self.problem.step.lowered.symbols.get(&source.sym) else {
                continue;
            };
            let (flat, shape) = (self.run.get(id), shape(&self.problem, source.sym));
            let n = flat.len() / ROWS;
            let values = flat
                .chunks(n.max(1))
                .map(|c| Array {
                    shape: shape.clone(),
                    data: c.to_vec(),
                })
                .collect();
            self.rows.insert(source.sym, values);
        }
    }

    /// The evaluator's world at some free coordinates.
    pub(super) fn env(&self, params: &[Vec<f64>]) -> Env<'static> {
        let mut env = self.problem.known.environment();
        env.set_row_count(ROWS);
        for (&sym, values) in &self.rows {
            env.set_rows(sym, values.clone());
        }
        for (f, values) in self.problem.written.free.iter().zip(params) {
            env.set(
                f.free,
                Array {
                    shape: shape(&self.problem, f.free),
                    data: values.clone(),
                },
            );
        }
        env
    }

    pub(super) fn row_value(&self, t: Term, env: &mut Env<'_>, row: usize) -> Result<f64, Failure> {
        env.set_row(row);
        let s = &self.problem.guided.store;
        s.eval_scalar(t, env).map_err(|e| bug(format!("the evaluator: {e}")))
    }

    /// The objective by the evaluator; what is fixed stays as it is at the world's parameters.
    fn value(&self, params: &[Vec<f64>]) -> Result<f64, Failure> {
        let mut env = self.env(params);
        if !self.problem.guided.latents.iter().all(|l| l.score.is_none()) {
            env.set_fixed(self.env(&self.params));
        }
        let mut sum = 0.0;
        for row in 0..ROWS {
            sum += self.row_value(self.problem.written.row, &mut env, row)?;
        }
        let s = &self.problem.guided.store;
        let prior = s
            .eval_scalar(self.problem.written.prior, &env)
            .map_err(|e| bug(format!("the evaluator: {e}")))?;
        Ok(sum + SHARE * prior)
    }

    fn native(&self) -> Result<Certificate, Failure> {
        let mut worst = 0.0_f64;
        for &id in &self.problem.step.lowered.roots {
            for (a, b) in self.run.get(id).iter().zip(self.native.get(id)) {
                worst = worse(worst, (a - b).abs() / (1.0 + a.abs().max(b.abs())));
            }
        }
        Ok(certificate("native code", "", "interpreter and JIT agree", worst, 1e-9))
    }

    fn objective(&self) -> Result<Certificate, Failure> {
        let (by_program, by_terms) = (self.run.get(self.problem.step.objective)[0], self.value(&self.params)?);
        let error = (by_program - by_terms).abs() / (1.0 + by_terms.abs());
        Ok(certificate(
            "objective",
            "",
            "array program and algebra agree",
            error,
            1e-9,
        ))
    }

    /// Derivatives against central differences with Richardson's extrapolation.
    fn gradients(&mut self) -> Result<Certificate, Failure> {
        let mut worst = 0.0_f64;
        let mut params = self.params.clone();
        for (i, &(_, gradient)) in self.problem.step.params.iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            let found = self.run.get(gradient);
            let scale = found.iter().fold(0.0_f64, |m, x| m.max(x.abs())).max(1e-3);
            let n = found.len();
            for k in 0..ELEMENTS.min(n) {
                let at = if n <= ELEMENTS {
                    k
                } else {
                    (self.rng.random::<f64>() * n as f64) as usize % n
                };
                let x = params[i][at];
                let mut slope = |h: f64| -> Result<f64, Failure> {
                    params[i][at] = x + h;
                    let up = self.value(&params)?;
                    params[i][at] = x - h;
                    let down = self.value(&params)?;
                    params[i][at] = x;
                    Ok((up - down) / (2.0 * h))
                };
                let (coarse, fine) = (slope(2e-4)?, slope(1e-4)?);
                let best = (4.0 * fine - coarse) / 3.0;
                // a kink of a piecewise function between the two
                if (coarse - fine).abs() > 1e-3 * scale {
                    continue;
                }
                worst = worse(worst, (best - found[at]).abs() / scale);
            }
        }
        Ok(certificate(
            "gradient",
            "",
            "reverse mode and central differences",
            worst,
            1e-6,
        ))
    }

    /// Closed forms of expectations against the mean of draws of q, in standard errors.
    fn closed_forms(&mut self, graph: &ModelGraph) -> Result<Vec<Certificate>, Failure> {
        let mut out = vec![];
        for t in self.problem.guided.terms.clone() {
            let g = &self.problem.guided;
            let stepping = |l: &&Latent| l.score.is_some() && g.store.depends_on_sym(t.written, l.sym);
            let by_element = t.taken == Taken::Enumerated && g.latents.iter().any(|l| stepping(&l));
            if !by_element && !matches!(t.taken, Taken::Moments | Taken::Statistics) {
                continue;
            }
            let g = &mut self.problem.guided;
            let drawn = g.drawn(t.written);
            let sign = if t.guide { -1.0 } else { 1.0 };
            let free = self.problem.written.free.clone();
            let g = &mut self.problem.guided;
            let expected = g.evaluated(graph, t.expected, &free);
            let drawn = g.evaluated(graph, drawn, &free);
            let name = self.problem.guided.store.sym(t.of).name.clone();
            let noise: Vec<Source> = self.problem.guided.noise.clone();
            let mut env = self.env(&self.params);
            let exact = self.row_value(expected, &mut env, 0)?;
            let (mut sum, mut square) = (0.0, 0.0);
            for _ in 0..DRAWS {
                for source in &noise {
                    let shape = shape(&self.problem, source.sym);
                    let rng = &mut self.rng;
                    let value = Array::from_fn(&shape, |_| match source.random {
                        Random::Normal => normal(rng),
                        _ => rng.random::<f64>(),
                    });
                    env.set_rows(source.sym, vec![value; ROWS]);
                }
                let x = sign * self.row_value(drawn, &mut env, 0)?;
                sum += x;
                square += x * x;
            }
            let (mean, se) = mean_of_draws(sum, square, 1e-9);
            let of = if t.guide {
                format!("log q({name})")
            } else {
                format!("log p({name})")
            };
            let apart = (exact - mean).abs() / se;
            out.push(Certificate {
                part: "expectation",
                of,
                what: format!("closed form and {DRAWS} draws, in standard errors"),
                value: apart,
                ok: apart < 5.5,
            });
        }
        Ok(out)
    }

    /// The mean of the gradient's estimates over many draws, along one direction, against differences of the bound with every
    /// value of the discrete latents written out.
    fn scores(&mut self, graph: &ModelGraph) -> Result<Vec<Certificate>, Failure> {
        let Some(exact) = self.enumeration(graph) else {
            return Ok(vec![]);
        };
        let mut env = self.env(&self.params);
        let rng = &mut self.rng;
        let direction: Vec<Vec<f64>> = self
            .params
            .iter()
            .zip(&self.problem.step.params)
            .map(|(p, array)| {
                // what takes no gradients stays
                let far = f64::from(u8::from(array.1.is_some()));
                p.iter()
                    .map(|_| if rng.random::<f64>() < 0.5 { -far } else { far })
                    .collect()
            })
            .collect();
        let moved = |params: &[Vec<f64>], h: f64| -> Vec<Vec<f64>> {
            let pairs = params.iter().zip(&direction);
            pairs
                .map(|(p, d)| p.iter().zip(d).map(|(x, d)| x + h * d).collect())
                .collect()
        };
        // Σ over the values of q · f
        let mut value = |world: &Self, h: f64| -> Result<f64, Failure> {
            let params = moved(&world.params, h);
            let mut sum = 0.0;
            for (k, f) in world.problem.written.free.iter().enumerate() {
                env.set(
                    f.free,
                    Array {
                        shape: shape(&world.problem, f.free),
                        data: params[k].clone(),
                    },
                );
            }
            for values in &exact.values {
                for (&sym, value) in exact.symbols.iter().zip(values) {
                    env.set(sym, value.clone());
                }
                for row in 0..ROWS {
                    let mass = world.row_value(exact.log_q, &mut env, row)?.exp();
                    if mass > 0.0 {
                        sum += mass * world.row_value(exact.f, &mut env, row)?;
                    }
                }
            }
            let prior = world
                .problem
                .guided
                .store
                .eval_scalar(world.problem.written.prior, &env);
            Ok(sum + SHARE * prior.map_err(|e| bug(format!("the evaluator: {e}")))?)
        };
        const H: f64 = 1e-4;
        let slope = (value(&*self, H)? - value(&*self, -H)?) / (2.0 * H);
        let (mut sum, mut square) = (0.0, 0.0);
        for draw in 0..DRAWS {
            self.native.run(ROWS, draw as u64 + 1);
            let mut along = 0.0;
            for (&(_, gradient), d) in self.problem.step.params.iter().zip(&direction) {
                let Some(gradient) = gradient else { continue };
                along += self.native.get(gradient).iter().zip(d).map(|(g, d)| g * d).sum::<f64>();
            }
            sum += along;
            square += along * along;
        }
        let (mean, se) = mean_of_draws(sum, square, 1e-7);
        let apart = (slope - mean).abs() / se;
        Ok(vec![Certificate {
            part: "gradient",
            of: "score of q".into(),
            what: format!("{DRAWS} estimates and enumeration, in standard errors"),
            value: apart,
            ok: apart < 5.5,
        }])
    }

    /// The bound at values of the discrete latents, where they are few and nothing else is drawn.
    fn enumeration(&mut self, graph: &ModelGraph) -> Option<Enumeration> {
        let latents = self.problem.guided.latents.clone();
        let signals = self.problem.guided.terms.iter().any(|t| !t.signals.is_empty());
        let others = latents
            .iter()
            .any(|l| l.score.is_none() && l.finite.is_none() && !l.point);
        // dropout is noise too
        let own = self.problem.guided.noise.len();
        if !signals || others || !self.problem.written.noise.len().is_multiple_of(own.max(1)) {
            return None;
        }
        let scored: Vec<Latent> = latents.iter().filter(|l| l.score.is_some()).cloned().collect();
        let mut values: Vec<Vec<Array>> = vec![vec![]];
        for l in &scored {
            let n = self.values_of(l)?;
            let shape = shape(&self.problem, l.sym);
            let elements: usize = shape.iter().product();
            let each = u32::try_from(elements).ok().and_then(|e| n.checked_pow(e))?;
            if each.checked_mul(values.len())? > JOINT {
                return None;
            }
            let mut next = vec![];
            for before in &values {
                for code in 0..each {
                    let digit = |i: usize| (code / n.pow(i as u32) % n) as f64;
                    let mut all = before.clone();
                    all.push(Array {
                        shape: shape.clone(),
                        data: (0..elements).map(digit).collect(),
                    });
                    next.push(all);
                }
            }
            values = next;
        }
        let g = &mut self.problem.guided;
        let (mut f, mut log_q) = (vec![], vec![]);
        for t in g.terms.clone() {
            f.push(if t.guide { g.store.neg(t.written) } else { t.written });
        }
        log_q.extend(scored.iter().filter_map(|l| l.score).map(|score| score.log_q));
        let mut f = g.store.sum(&f);
        // what is enumerated by q may hang on the others, which keep their symbols
        for l in latents.iter().rev().filter(|l| l.score.is_none()) {
            let mut alone = Guided {
                latents: vec![l.clone()],
                ..g.clone()
            };
            f = alone.drawn(f);
            g.store = alone.store;
        }
        let log_q = g.store.sum(&log_q);
        let hangs = latents
            .iter()
            .any(|l| l.score.is_none() && g.store.depends_on_sym(log_q, l.sym));
        if hangs {
            return None;
        }
        let free = self.problem.written.free.clone();
        let g = &mut self.problem.guided;
        Some(Enumeration {
            f: g.evaluated(graph, f, &free),
            log_q: g.evaluated(graph, log_q, &free),
            symbols: scored.iter().map(|l| l.sym).collect(),
            values,
        })
    }

    /// How many values one element of a discrete latent takes; of counts, those that hold all but nothing of the mass of the
    /// small rates that certificates start from.
    fn values_of(&self, l: &Latent) -> Option<usize> {
        match &self.problem.guided.store.sym(l.sym).support {
            Support::Binary => Some(2),
            Support::Category(n) => self.problem.known.size(&self.problem.guided.store, n).ok(),
            Support::Count => Some(COUNTS),
            _ => None,
        }
    }

    /// The tables of a noising chain against one joint Gaussian, and the target against the posterior's mean.
    fn noising(&mut self, n: &Noising) -> Result<Vec<Certificate>, Failure> {
        let known = |sym: SymId| -> Vec<f64> {
            self.problem
                .known
                .constant(sym)
                .map(|a| a.data.clone())
                .unwrap_or_default()
        };
        let (a, s) = (known(n.tables[0].sym), known(n.tables[1].sym));
        let (big_a, big_v) = (known(n.marginal.0), known(n.marginal.1));
        let (c, e, u) = (known(n.posterior.0), known(n.posterior.1), known(n.posterior.2));
        let steps = STEPS.min(a.len() - 1);
        // x_t = m_t x_0 + Σ noise: loadings of x_1 … on the noise of each step
        let mut mean = vec![1.0];
        let mut load = vec![vec![0.0; steps + 1]];
        for t in 1..=steps {
            let mut row: Vec<f64> = load[t - 1].iter().map(|l| a[t] * l).collect();
            row[t] = s[t].sqrt();
            load.push(row);
            mean.push(a[t] * mean[t - 1]);
        }
        let cov = |i: usize, j: usize| -> f64 { load[i].iter().zip(&load[j]).map(|(x, y)| x * y).sum() };
        let (mut marginal, mut posterior) = (0.0_f64, 0.0_f64);
        let apart = |x: f64, y: f64| (x - y).abs() / (1e-3 + y.abs());
        for t in 1..=steps {
            marginal = worse(marginal, worse(apart(big_a[t], mean[t]), apart(big_v[t], cov(t, t))));
            // of x_{t−1} given x_t and x_0
            let gain = cov(t - 1, t) / cov(t, t);
            let rest = cov(t - 1, t - 1) - gain * cov(t, t - 1);
            for error in [
                apart(c[t], gain),
                apart(e[t], mean[t - 1] - gain * mean[t]),
                apart(u[t], rest),
            ] {
                posterior = worse(posterior, error);
            }
        }
        let mut out = vec![
            certificate(
                "marginal",
                "q(x_t | x_0)",
                "recursion and one joint Gaussian",
                marginal,
                1e-9,
            ),
            certificate(
                "posterior",
                "q(x_{t-1} | x_t, x_0)",
                "product rule and conditioning",
                posterior,
                1e-9,
            ),
        ];
        if let Some(p) = &n.predicted {
            let (tu, tw) = (known(p.data), known(p.noise));
            let mut env = self.problem.known.environment();
            let mut worst = 0.0_f64;
            for t in 1..a.len() {
                env.set(n.time, Array::scalar(t as f64));
                let store = &self.problem.guided.store;
                let value = |x: Term| store.eval_scalar(x, &env).map_err(|e| bug(e.to_string()));
                let (state, gain) = (value(p.state)?, value(p.gain)?);
                let (x0, noise) = (0.7, -1.3);
                let x = big_a[t] * x0 + big_v[t].sqrt() * noise;
                let model = state * x + gain * (tu[t] * x0 + tw[t] * noise);
                let exact = c[t] * x + e[t] * x0;
                worst = worse(worst, (model - exact).abs() / (1.0 + exact.abs()));
            }
            out.push(certificate(
                "target",
                "the net",
                "with it the model's mean is the posterior's, at every t",
                worst,
                1e-9,
            ));
        }
        Ok(out)
    }

    /// Lₜ against the density of x₀ (t = 1) and the divergence of two Gaussians (t ≥ 2), element by element.
    fn divergences(&mut self, graph: &ModelGraph, n: &Noising) -> Result<Certificate, Failure> {
        let free = self.problem.written.free.clone();
        let g = &mut self.problem.guided;
        let (cost, draw) = (n.cost(&mut g.store), n.draw(&mut g.store));
        let [cost, mean, variance] = [cost, n.mean, n.variance].map(|t| g.evaluated(graph, t, &free));
        let table = |sym: SymId| {
            self.problem
                .known
                .constant(sym)
                .map(|a| a.data.clone())
                .unwrap_or_default()
        };
        let (c, e, u) = (table(n.posterior.0), table(n.posterior.1), table(n.posterior.2));
        let shape = shape(&self.problem, n.data);
        let rng = &mut self.rng;
        let x0 = Array::from_fn(&shape, |_| normal(rng));
        let noise = Array::from_fn(&shape, |_| normal(rng));
        let mut env = self.env(&self.params);
        env.set_rows(n.data, vec![x0.clone(); ROWS])
            .set_rows(n.noise, vec![noise; ROWS]);
        let mut worst = 0.0_f64;
        for t in [1, 2, c.len() / 2, c.len() - 1] {
            env.set_rows(n.time, vec![Array::scalar(t as f64); ROWS]);
            let s = &self.problem.guided.store;
            env.set_row(0);
            let value = |t: Term, env: &Env<'_>| s.eval(t, env).map_err(|e| bug(format!("the evaluator: {e}")));
            let state = value(draw, &env)?;
            env.set_rows(n.state, vec![state.clone(); ROWS]);
            env.set_row(0);
            let (found, mu, v) = (
                value(cost, &env)?.data[0],
                value(mean, &env)?,
                value(variance, &env)?.data[0],
            );
            let ratio = u[t] / v;
            let each = if t == 1 {
                (2.0 * std::f64::consts::PI * v).ln()
            } else {
                ratio - 1.0 - ratio.ln()
            };
            let exact: f64 = (0..x0.data.len())
                .map(|i| {
                    let from = c[t] * state.data[i] + e[t] * x0.data[i];
                    0.5 * ((from - mu.data[i]).powi(2) / v + each)
                })
                .sum();
            worst = worse(worst, (found - exact).abs() / (1.0 + exact.abs()));
        }
        Ok(certificate(
            "bound",
            "L_t",
            "its term and the divergence element by element",
            worst,
            1e-9,
        ))
    }
}

/// The larger error; one that is not a number stays.
pub(super) fn worse(a: f64, b: f64) -> f64 {
    if b.is_nan() {
        b
    } else if a.is_nan() {
        a
    } else {
        a.max(b)
    }
}

pub(super) fn certificate(part: &'static str, of: &str, what: &str, value: f64, limit: f64) -> Certificate {
    Certificate {
        part,
        of: of.into(),
        what: what.into(),
        value,
        // not a number is no agreement
        ok: value <= limit,
    }
}
