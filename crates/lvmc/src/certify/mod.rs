//! Certificates: a derivation held against numbers that were found another way, on data simulated from the model.
//!
//! - E-step: the posterior that the program computes against enumeration of the densities as written, before one-hot.
//! - Q: the printed term against the expectation of those densities.
//! - M-step: at the new parameters no direction of any block raises that expectation.
//! - Bound: the objective never falls.
//! - Labels: where they may be permuted, the densities as written do not change.
//! - Information: the curvature that standard errors come from, against differences of those densities.
//! - Native code: the interpreter and the JIT agree.

mod exact;
mod factorial;
pub mod gradient;
pub mod nodes;
mod oracle;
mod paths;
mod simulate;
mod smoother;
mod structured;

use crate::failure::Failure;
use crate::pipeline::{self, How};
use lvmc_derive::{Missing, Plan};
use lvmc_model::ModelGraph;
use lvmc_report::words;
use lvmc_runtime::dataset::{self, LoadOptions};
use lvmc_runtime::engine::{Compiled, Engine, Values};
use lvmc_runtime::fit::free;
use lvmc_runtime::fit::labels::permute;
use lvmc_runtime::random::{Purpose, keyed, uniform};
use lvmc_runtime::terms;
use lvmc_term::{Array, Support};
use oracle::Oracle;
use serde_json::{Value, json};

/// Rows of simulated data.
const ROWS: usize = 300;
/// Rows where latents are integrated point by point.
const INTEGRATED_ROWS: usize = 60;
/// Iterations along which the bound must not fall.
const ITERATIONS: usize = 40;
/// What may be left to gain per row in an M-step: finite differences see no less.
const GAIN: f64 = 1e-8;
/// What may differ between two ways to compute the same number.
const AGREE: f64 = 1e-9;
/// Step of the second difference along a direction of free coordinates.
const DIFFERENCE: f64 = 0.02;
/// What may differ between the places of a maximum that an iterative solver finds.
const PLACE: f64 = 1e-7;

/// One certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// `E-step`, `M-step`, `bound`, `native code`.
    pub part: &'static str,
    /// Of which variables.
    pub of: String,
    /// What was compared.
    pub what: String,
    /// The number found; small is good.
    pub value: f64,
    /// It holds.
    pub ok: bool,
}

/// Certifies a plan on data simulated from the model.
///
/// # Errors
/// The model cannot be simulated or compiled.
pub fn certify(graph: &ModelGraph, plan: &Plan, seed: u64) -> Result<Vec<Certificate>, Failure> {
    certify_on(graph, plan, seed, rows(graph, plan))
}

/// How many rows [`certify`] simulates.
#[must_use]
pub fn rows(graph: &ModelGraph, plan: &Plan) -> usize {
    let sizes = simulate::sizes(graph);
    let number = |n: &lvmc_term::Size| match n {
        lvmc_term::Size::Const(n) => *n,
        lvmc_term::Size::Dim(d) => sizes.get(d).copied().unwrap_or(2),
        lvmc_term::Size::Sum(_) => 2,
    };
    let values: Vec<usize> = plan.finite.iter().map(|f| number(&f.size)).collect();
    let groups = graph.chain.as_ref().is_some_and(|c| !c.groups.is_empty());
    let length = |x: lvmc_term::SymId| plan.store.sym(x).shape.iter().map(number).product::<usize>();
    if let Some(chain) = plan.gaussian_chain.as_ref().filter(|c| c.mean_field) {
        let own = chain.parts.iter().filter(|p| !p.lagged).map(|p| length(p.sym));
        let free = plan.finite.iter().filter(|f| f.lag.is_none());
        let combinations = free.map(|f| number(&f.size)).product();
        let rows = smoother::longest(own.sum()).min(structured::longest(combinations));
        return if groups { rows * 3 / 2 } else { rows };
    }
    if let Some(paths) = paths::Paths::new(plan, &values) {
        return if groups {
            paths.longest() * 3 / 2
        } else {
            paths.longest()
        };
    }
    if let Some(chain) = &plan.gaussian_chain {
        let own = chain.parts.iter().filter(|p| !p.lagged).map(|p| length(p.sym));
        let rows = smoother::longest(own.sum());
        return if groups { rows * 3 / 2 } else { rows };
    }
    let curved = |p: &lvmc_derive::plan::Posterior| plan.store.sym(p.sym).support != lvmc_term::Support::Real;
    if plan.posteriors.iter().any(curved) || !plan.group_posteriors.is_empty() {
        INTEGRATED_ROWS
    } else {
        ROWS
    }
}

/// As [`certify`], on that many simulated rows.
///
/// # Errors
/// As there.
pub fn certify_on(graph: &ModelGraph, plan: &Plan, seed: u64, rows: usize) -> Result<Vec<Certificate>, Failure> {
    certify_missing(graph, plan, &Missing::default(), seed, rows)
}

/// As [`certify_on`], with cells of those variables missing; the plan must have been derived for them.
///
/// # Errors
/// As there.
pub fn certify_missing(
    graph: &ModelGraph,
    plan: &Plan,
    missing: &Missing,
    seed: u64,
    rows: usize,
) -> Result<Vec<Certificate>, Failure> {
    let sizes = simulate::sizes(graph);
    let lowered = pipeline::lower(graph, plan, &sizes)?;
    let (truth, start) = (
        simulate::values(&lowered, seed),
        simulate::values(&lowered, seed.wrapping_add(1)),
    );
    let table = simulate::table(graph, &lowered, &sizes, &truth, rows, seed)?;
    let table = simulate::without_some(graph, table, &sizes, missing, seed);
    let binding = simulate::bound(graph, &table, &sizes)?;
    // sizes that the data say may differ from those that were asked for
    let lowered = pipeline::lower(graph, plan, &binding.sizes)?;
    let data = dataset::load(&lowered, graph, &binding, table, &LoadOptions::default())?;
    let consts = terms::constants(graph, &binding.sizes);
    let (program, machine) = pipeline::compile(&lowered, How::default())?;
    let (slow_program, slow) = pipeline::compile(
        &lowered,
        How {
            interpret: true,
            ..How::default()
        },
    )?;
    let compiled = Compiled {
        lowered: &lowered,
        program: &program,
        machine: machine.as_ref(),
        consts: &consts,
        floor: 0.0,
    };
    let interpreted = Compiled {
        lowered: &lowered,
        program: &slow_program,
        machine: slow.as_ref(),
        consts: &consts,
        floor: 0.0,
    };

    let mut engine = Engine::new(compiled, &data, 1);
    engine.set_params(&start);
    let mut oracle = Oracle::new(graph, missing, plan, &lowered, &binding, &data, &consts)?;
    let mut out = vec![];
    out.extend(e_step(&mut engine, &mut oracle, plan, &start)?);
    out.extend(m_step(&mut engine, &mut oracle, plan, &lowered, &start)?);
    out.push(bound(&mut engine, &start));
    out.extend(labels(&mut engine, &mut oracle, &start)?);
    out.push(information(&mut engine, &mut oracle, &start, seed)?);
    let mut other = Engine::new(interpreted, &data, 1);
    out.push(agreement(&mut engine, &mut other, &start));
    Ok(out)
}

fn e_step(
    engine: &mut Engine<'_>,
    oracle: &mut Oracle<'_>,
    plan: &Plan,
    start: &Values,
) -> Result<Vec<Certificate>, Failure> {
    engine.set_params(start);
    engine.forget();
    let lvmc_runtime::engine::Posteriors {
        marginals,
        moments,
        scores,
        ..
    } = engine.posterior();
    oracle.enumerate(start)?;
    let factorial = plan.chains.iter().any(|c| !c.shared.is_empty());
    let product = factorial || plan.gaussian_chain.as_ref().is_some_and(|c| c.mean_field);
    let mut out = vec![];
    for (slot, found) in engine.lowered().latents.iter().zip(&marginals) {
        let exact = oracle.marginals(slot.sym, slot.size);
        let kl = exact
            .chunks(slot.size.max(1))
            .zip(found.chunks(slot.size.max(1)))
            .map(|(p, q)| {
                // KL(q ‖ p), as in the bound: a responsibility below 2⁻⁶⁴ is 0 in q
                q.iter()
                    .zip(p)
                    .filter(|(q, _)| **q > 0.0)
                    .map(|(q, p)| q * (q / p).ln())
                    .sum::<f64>()
                    .abs()
            })
            .fold(0.0, worse);
        out.push(Certificate {
            part: "E-step",
            of: slot.name.clone(),
            what: if product {
                "KL to q by enumeration of all paths, given q of the others".into()
            } else {
                "KL to the posterior by enumeration".into()
            },
            value: kl,
            ok: kl < AGREE,
        });
    }
    out.extend(path(engine, oracle));
    for (slot, found) in engine.lowered().moments.iter().zip(&moments) {
        let exact = oracle.moments(slot.sym);
        let value = exact.iter().zip(found).map(|(e, f)| apart(e, f)).fold(0.0, worse);
        out.push(Certificate {
            part: "E-step",
            of: slot.name.clone(),
            what: if product && !factorial {
                "mean and mean square under q, from dense Gaussians of whole sequences".into()
            } else {
                "posterior mean and mean square, by integration".into()
            },
            value,
            ok: value < AGREE,
        });
    }
    let effects = if plan.group_posteriors.is_empty() {
        vec![]
    } else {
        engine.effects()
    };
    for (slot, found) in engine.lowered().groups.iter().zip(&effects) {
        let exact = oracle.effect(slot.sym);
        let value = exact.iter().zip(found).map(|(e, f)| apart(e, f)).fold(0.0, worse);
        out.push(Certificate {
            part: "E-step",
            of: slot.name.clone(),
            what: "posterior mean and variance of every group, by integration".into(),
            value,
            ok: value < AGREE,
        });
    }
    if product {
        let found = oracle.product;
        let total: f64 = scores.iter().sum();
        out.extend(products(plan, found, total));
    }
    let (difference, what) = if product {
        engine.evaluate();
        let value = apart(&[oracle.product.bound], &[engine.log_likelihood()]);
        (value, "E[log p] + H by its definition, over all paths")
    } else if plan.group_posteriors.is_empty() {
        let value = apart(&oracle.scores(), &scores);
        (value, "each row's log-likelihood by enumeration")
    } else {
        engine.evaluate();
        let value = apart(&[oracle.log_likelihood()], &[engine.log_likelihood()]);
        (value, "the log-likelihood by integration over all groups' effects")
    };
    out.push(Certificate {
        part: if plan.group_posteriors.is_empty() && plan.finite.is_empty() && plan.posteriors.is_empty() {
            "density"
        } else {
            "E-step"
        },
        of: if plan.objective.is_bound() { "ELBO" } else { "log p" }.into(),
        what: what.into(),
        value: difference,
        ok: difference < AGREE,
    });
    if let Some(printed) = oracle.printed(start)? {
        let value = apart(&[oracle.expected(start)?], &[printed]);
        out.push(Certificate {
            part: "Q",
            of: String::new(),
            what: "as printed, against the expectation of the densities".into(),
            value,
            ok: value < AGREE,
        });
    }
    Ok(out)
}

/// The most probable path of a chain's finite states.
fn path(engine: &mut Engine<'_>, oracle: &Oracle<'_>) -> Option<Certificate> {
    let latents = &engine.lowered().latents;
    let found: Vec<_> = engine
        .path()
        .into_iter()
        .map(|(l, values)| (latents[l].sym, values))
        .collect();
    // of a product q the path is q's own best, not the posterior's
    if found.is_empty() || engine.lowered().mean_field.is_some() || engine.lowered().bound.is_some() {
        return None;
    }
    let names: Vec<&str> = latents
        .iter()
        .filter(|l| found.iter().any(|f| f.0 == l.sym))
        .map(|l| l.name.as_str())
        .collect();
    let value = oracle.short_of_best(&found);
    Some(Certificate {
        part: "E-step",
        of: names.join(", "),
        what: "log density of the Viterbi path, against all paths".into(),
        value,
        ok: value < AGREE,
    })
}

/// What holds of the bound where q is a product; `total` is the sum of the rows' scores.
fn products(plan: &Plan, found: structured::Found, total: f64) -> Vec<Certificate> {
    let certificate = |what: &str, value: f64| Certificate {
        part: "bound",
        of: String::new(),
        what: what.into(),
        value,
        ok: value < AGREE,
    };
    let above = (found.bound - found.exact) / (1.0 + found.exact.abs());
    let against_exact = if plan.objective.is_bound() {
        certificate("not above log p, over all paths", worse(above, 0.0))
    } else {
        certificate("log p, over all paths", worse(above.abs(), 0.0))
    };
    vec![
        certificate("no part's update lowers it", worse(found.fall, 0.0)),
        against_exact,
        certificate("the rows' scores add up to it", apart(&[found.bound], &[total])),
    ]
}

/// The larger of two; what is no number is worst.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::INFINITY
    } else {
        a.max(b)
    }
}

/// The largest relative difference.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs
        .map(|(x, y)| if x == y { 0.0 } else { (x - y).abs() / (1.0 + x.abs()) })
        .fold(0.0, worse)
}

fn m_step(
    engine: &mut Engine<'_>,
    oracle: &mut Oracle<'_>,
    plan: &Plan,
    lowered: &lvmc_loops::lowered::Lowered,
    start: &Values,
) -> Result<Vec<Certificate>, Failure> {
    engine.set_params(start);
    engine.forget();
    let before = engine.evaluate();
    engine.update();
    if lowered.iterated {
        (0..200).for_each(|_| engine.update());
    }
    let mut new = engine.params();
    let ascends = |sym| {
        plan.updates
            .iter()
            .any(|u| u.solution.is_step() && words::targets(&plan.store, u).contains(&sym))
    };
    let mut out = vec![];
    for (i, slot) in lowered.params.iter().enumerate() {
        // a block that moves by steps is not at Q's maximum after one of them; the others are, given its old value
        if ascends(slot.sym) {
            new[i].clone_from(&start[i]);
        }
    }
    for (i, slot) in lowered.params.iter().enumerate() {
        if plan.unused.contains(&slot.sym) || ascends(slot.sym) {
            continue;
        }
        let gain = oracle.gain(&new, i)?;
        out.push(Certificate {
            part: "M-step",
            of: slot.name.clone(),
            what: "stationary, and no nearby point better: gain left per row".into(),
            value: gain,
            ok: gain < GAIN,
        });
    }
    let names: Vec<String> = lowered.ascent.iter().flat_map(|a| a.names.iter().cloned()).collect();
    if !names.is_empty() {
        let mut after = engine.evaluate();
        let mut alpha = 1.0;
        while after < before && alpha > 1e-6 {
            alpha *= 0.5;
            engine.backtrack(alpha);
            after = engine.evaluate();
        }
        out.push(Certificate {
            part: "M-step",
            of: names.join(", "),
            what: "a damped step raises the objective".into(),
            value: (before - after).max(0.0),
            ok: after >= before,
        });
    }
    Ok(out)
}

/// Conditional variances of a covariance below this share of their variances say that a component closes in on few rows:
/// without a floor its likelihood has no maximum, and its density is rounding.
const CLOSED_IN: f64 = 1e-6;

/// Some covariance is nearly singular.
fn closes_in(engine: &Engine<'_>) -> bool {
    let covariances = engine.lowered().params.iter().zip(engine.params());
    let mut members = covariances
        .filter(|(slot, _)| slot.support == Support::Cov)
        .flat_map(|(slot, values)| {
            let n = slot.shape.last().copied().unwrap_or(1).max(1);
            let all: Vec<Array> = values.chunks(n * n).map(|m| Array::matrix(n, n, m.to_vec())).collect();
            all
        });
    members.any(|m| {
        let n = m.cols();
        let pivots = |l: Array| (0..n).any(|i| l.at2(i, i).powi(2) < CLOSED_IN * m.at2(i, i));
        m.cholesky().is_none_or(pivots)
    })
}

fn bound(engine: &mut Engine<'_>, start: &Values) -> Certificate {
    engine.set_params(start);
    engine.forget();
    let mut last = engine.evaluate();
    let mut fall: f64 = 0.0;
    let steps = !engine.lowered().ascent.is_empty();
    for _ in 0..ITERATIONS {
        engine.update();
        if closes_in(engine) {
            break;
        }
        let mut now = engine.evaluate();
        let mut alpha = 1.0;
        while steps && now < last && alpha > 1e-8 {
            alpha *= 0.5;
            engine.backtrack(alpha);
            now = engine.evaluate();
        }
        fall = worse(fall, (last - now) / (1.0 + last.abs()));
        last = now;
    }
    let fall = fall.max(0.0);
    Certificate {
        part: "bound",
        of: String::new(),
        what: format!("never falls in {ITERATIONS} iterations"),
        value: fall,
        ok: fall < AGREE && last.is_finite(),
    }
}

/// One step around the circle of labels, everywhere that they stand.
fn labels(engine: &mut Engine<'_>, oracle: &mut Oracle<'_>, start: &Values) -> Result<Vec<Certificate>, Failure> {
    let lowered = engine.lowered();
    let mut out = vec![];
    let mut at = |values: &Values| -> Result<Vec<f64>, Failure> {
        oracle.enumerate(values)?;
        engine.set_params(values);
        engine.forget();
        engine.evaluate();
        let mut all = oracle.scores();
        all.push(engine.log_prior());
        Ok(all)
    };
    let before = if lowered.labels.is_empty() { vec![] } else { at(start)? };
    for slot in &lowered.labels {
        let order: Vec<usize> = (1..=slot.size).map(|k| k % slot.size).collect();
        let mut moved = start.clone();
        permute(lowered, slot, &order, &mut moved);
        let value = apart(&before, &at(&moved)?);
        let names: Vec<&str> = slot.latents.iter().map(|&l| lowered.latents[l].name.as_str()).collect();
        out.push(Certificate {
            part: "labels",
            of: names.join(", "),
            what: "permuted: each row's log-likelihood stays, by enumeration".into(),
            value,
            ok: value < AGREE,
        });
    }
    Ok(out)
}

/// The second difference of the log-likelihood along a direction of free coordinates, found in both ways.
fn information(
    engine: &mut Engine<'_>,
    oracle: &mut Oracle<'_>,
    start: &Values,
    seed: u64,
) -> Result<Certificate, Failure> {
    let slots = &engine.lowered().params;
    let mut rng = keyed(seed, Purpose::Sample, 1);
    let origin = free::coordinates(slots, start);
    let direction: Vec<f64> = origin.iter().map(|_| 2.0 * uniform(&mut rng) - 1.0).collect();
    let mut at = |h: f64| -> Result<[f64; 2], Failure> {
        let moved: Vec<f64> = origin.iter().zip(&direction).map(|(o, d)| o + h * d).collect();
        let values = free::bound(slots, &moved);
        oracle.enumerate(&values)?;
        engine.set_params(&values);
        engine.forget();
        engine.evaluate();
        Ok([engine.log_likelihood(), oracle.log_likelihood()])
    };
    let (top, a, b) = (at(0.0)?, at(DIFFERENCE)?, at(-DIFFERENCE)?);
    let second = |i: usize| 2.0 * top[i] - a[i] - b[i];
    let value = (second(0) - second(1)).abs() / (1.0 + top[0].abs());
    Ok(Certificate {
        part: "information",
        of: "log p".into(),
        what: "its second difference, by enumeration".into(),
        value: worse(value, 0.0),
        ok: value < AGREE,
    })
}

fn agreement(fast: &mut Engine<'_>, slow: &mut Engine<'_>, start: &Values) -> Certificate {
    let begun = |engine: &mut Engine<'_>| {
        engine.set_params(start);
        engine.forget();
        engine.posterior().scores
    };
    let (mut a, mut b) = (begun(fast), begun(slow));
    let (mut x, mut y) = (vec![], vec![]);
    // a block that moves by steps may have directions that the data do not determine, where rounding decides
    let steps = if fast.lowered().ascent.is_empty() { 3 } else { 1 };
    let settled = |engine: &Engine<'_>| -> Vec<f64> {
        let slots = engine.lowered().params.iter().zip(engine.params());
        let kept = slots.filter(|(slot, _)| !engine.lowered().ascent.iter().any(|a| a.names.contains(&slot.name)));
        kept.flat_map(|(_, values)| values).collect()
    };
    for _ in 0..steps {
        a.push(fast.evaluate());
        b.push(slow.evaluate());
        fast.update();
        slow.update();
        x.extend(settled(fast));
        y.extend(settled(slow));
        // each step from the same place, and none from where rounding is made much of
        slow.set_params(&fast.params());
        if closes_in(fast) {
            break;
        }
    }
    // an iterative solver finds a maximum's place only to the root of the rounding of its value
    let value = apart(&a, &b).max(apart(&x, &y) * (AGREE / PLACE));
    Certificate {
        part: "native code",
        of: String::new(),
        what: "interpreter and JIT agree".into(),
        value,
        ok: value < AGREE,
    }
}

/// For a terminal.
#[must_use]
pub fn text(list: &[Certificate], rows_used: usize, seed: u64) -> String {
    let mut rows: Vec<Vec<String>> = vec![];
    for c in list {
        let value = if c.value == 0.0 {
            "0".to_owned()
        } else {
            format!("{:.0e}", c.value)
        };
        let ok = if c.ok { "ok" } else { "FAILED" };
        rows.push(vec![
            c.part.to_owned(),
            c.of.clone(),
            c.what.clone(),
            value,
            ok.to_owned(),
        ]);
    }
    let table = lvmc_report::layout::table(&rows, &[], 2, 3);
    format!("\n  certificates on simulated data ({rows_used} rows, seed {seed})\n{table}")
}

/// As data.
#[must_use]
pub fn as_json(list: &[Certificate]) -> Value {
    list.iter()
        .map(|c| json!({ "part": c.part, "of": c.of, "what": c.what, "value": c.value, "ok": c.ok }))
        .collect()
}
