//! A data file with its missing cells filled by a fit with a guide: E[x | what is observed of the row].
//!
//! q is no posterior, so each draw z of it counts with its importance, w = p(x_observed, z) / q(z): the mean is
//! Σ w E[x | z] / Σ w, which tends to the posterior's as draws grow. Where q has no density (a point, or a finite latent that
//! is summed over) all draws count alike.

use super::GradientError;
use super::apply::{AT_ONCE, Restored};
use super::data::Data;
use crate::bind::{Binding, Bound};
use crate::data::{Table, show_number};
use crate::impute::{Filled, Request, count, is_missing, shown, write};
use lvmc_base::Bug;
use lvmc_derive::guided::Objective;
use lvmc_model::graph::{Dist, Factor};
use lvmc_term::{Array, Support, SymId, Term};
use std::collections::HashMap;
use std::io::Write;

/// Draws of q a row.
const DRAWS: usize = 500;

/// Draws that count: below so many the mean of a row is rough.
const ENOUGH: f64 = 20.0;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Cells that were filled.
    pub filled: usize,
    /// Cells of other columns, which stay missing.
    pub left: usize,
    /// Rows of which few draws carry most of the weight, (Σ w)² < 20 Σ w².
    pub rough: usize,
    /// Draws a row.
    pub draws: usize,
}

/// A variable's cells: the roots of its terms.
struct Wanted {
    sym: SymId,
    /// Numbers of a row.
    width: usize,
    /// Mean and second moment; of a finite variable the probabilities of its values.
    terms: Vec<Term>,
    finite: bool,
}

/// Fills a table and writes it as CSV.
///
/// # Errors
/// Data that do not fit the model; draws, which there are none of; columns that a transformation hides.
pub fn impute(r: &mut Restored<'_>, table: &Table, request: &Request, to: impl Write) -> Result<Done, GradientError> {
    if request.draws > 0 {
        return Err(GradientError::Objective {
            what: "completed files are not drawn from a fit by gradients".into(),
            help: "leave out --draws: cells are filled by their means given the row, and --sd says how well these are known"
                .into(),
        });
    }
    let (binding, data) = r.data(table, &request.binds)?;
    let mut filled = HashMap::new();
    let mut rough = 0;
    let wanted = wanted(r)?;
    if !wanted.is_empty() {
        let rows = rows_with_gaps(r, &data);
        let (found, few) = averages(r, &data, &wanted, &rows, request.seed)?;
        rough = few;
        for (w, moments) in wanted.iter().zip(&found) {
            fill(r, &binding, table, w, &rows, moments, &mut filled)?;
        }
    }
    let mut out = csv::Writer::from_writer(to);
    let failed = |e: csv::Error| Bug {
        stage: "impute",
        message: e.to_string(),
        ir: String::new(),
    };
    write(&mut out, table, &filled, None, request.sd, true).map_err(failed)?;
    out.flush().map_err(|e| failed(e.into()))?;
    let (filled, left) = count(table, &filled);
    Ok(Done {
        filled,
        left,
        rough,
        draws: DRAWS,
    })
}

/// What is averaged for each variable with missing cells.
fn wanted(r: &mut Restored<'_>) -> Result<Vec<Wanted>, GradientError> {
    let mut out = vec![];
    for mask in r.guided.masks.clone() {
        let Some(factor) = r.graph.factors.iter().find(|f| r.graph.var(f.var).sym == mask.of) else {
            continue;
        };
        let (terms, finite) = moments(r, factor);
        let terms: Option<Vec<Term>> = terms.into_iter().map(|t| at_draws(r, t)).collect();
        let Some(terms) = terms.filter(|t| !t.is_empty()) else {
            return Err(GradientError::Objective {
                what: format!(
                    "the mean of `{}` given the latents has no closed form",
                    r.guided.store.sym(mask.of).name
                ),
                help: "predict gives the codes of rows with missing cells".into(),
            });
        };
        let shape = r.guided.store.sym(mask.of).shape.clone();
        let sizes = shape.iter().map(|n| r.known.size(&r.guided.store, n).unwrap_or(1));
        out.push(Wanted {
            sym: mask.of,
            width: sizes.product(),
            terms,
            finite,
        });
    }
    Ok(out)
}

/// E[x | z] and E[x² | z], or the probabilities of x's values given z; nothing where they have no closed form.
fn moments(r: &mut Restored<'_>, factor: &Factor) -> (Vec<Term>, bool) {
    let Dist::Family {
        family,
        signature,
        args,
        ..
    } = &factor.dist
    else {
        return (vec![], false);
    };
    let s = &mut r.guided.store;
    let shape = s.shape(factor.value).clone();
    let category = matches!(s.sym(r.graph.var(factor.var).sym).support, Support::Category(_));
    if category && shape.is_empty() {
        let size = family.finite_support(s, *signature, args);
        let n = size.and_then(|n| r.known.size(&r.guided.store, &n).ok()).unwrap_or(0);
        let s = &mut r.guided.store;
        let terms = (0..n).map(|k| {
            let k = s.num(k as f64);
            let log = family.log_density(s, *signature, k, args);
            s.exp(log)
        });
        return (terms.collect(), true);
    }
    let Some(mean) = family.mean(s, *signature, args) else {
        return (vec![], false);
    };
    let mean = s.refill(mean, shape.clone());
    let mut out = vec![mean];
    if let Some(variance) = family.variance(s, *signature, args) {
        let variance = s.refill(variance, shape);
        let square = s.square(mean);
        out.push(s.add(square, variance));
    }
    (out, false)
}

/// A term at draws of q, averaged over the latents that are summed out.
fn at_draws(r: &mut Restored<'_>, t: Term) -> Option<Term> {
    let mut t = t;
    for l in r.guided.left_out.clone() {
        let s = &mut r.guided.store;
        if !s.depends_on_sym(t, l.sym) {
            continue;
        }
        let n = r.known.size(s, &l.size).ok()?;
        let (p, z) = (l.posterior?, s.var(l.sym));
        let mut parts = vec![];
        for k in 0..n {
            let k = s.num(k as f64);
            let (weight, value) = (s.at(p, &[k]), s.substitute(t, &HashMap::from([(z, k)])));
            parts.push(s.mul(weight, value));
        }
        t = s.sum(&parts);
    }
    Some(r.guided.drawn(t))
}

fn rows_with_gaps(r: &Restored<'_>, data: &Data) -> Vec<u32> {
    let masks: Vec<(usize, Vec<f64>)> = r.guided.masks.iter().filter_map(|m| data.numbers(m.sym)).collect();
    let gap = |row: usize| masks.iter().any(|(n, o)| o[row * n..(row + 1) * n].contains(&0.0));
    (0..data.rows).filter(|&row| gap(row)).map(|row| row as u32).collect()
}

/// By variable and term, row-major.
type Averages = Vec<Vec<Vec<f64>>>;

/// Importance-weighted means of every variable's terms over draws of q: by variable and term, row-major over `rows`; and how
/// many rows have few draws that count.
fn averages(
    r: &mut Restored<'_>,
    data: &Data,
    wanted: &[Wanted],
    rows: &[u32],
    seed: u64,
) -> Result<(Averages, usize), GradientError> {
    let weight = r.guided.weight.filter(|_| r.guided.objective == Objective::Elbo);
    let mut terms: Vec<(String, Term)> = weight.iter().map(|&w| ("importance".into(), w)).collect();
    for w in wanted {
        terms.extend(w.terms.iter().map(|&t| ("moment".into(), t)));
    }
    let noise = r.guided.noise.clone();
    let draws = if noise.is_empty() { 1 } else { DRAWS };
    let widths: Vec<usize> = wanted
        .iter()
        .flat_map(|w| w.terms.iter().map(|_| if w.finite { 1 } else { w.width }))
        .collect();
    let mut running = r.program(&terms, &noise, &[], AT_ONCE.min(rows.len().max(1)), seed)?;
    let roots = running.lowered.roots.clone();
    let (importance, roots) = roots.split_at(usize::from(weight.is_some()));
    let mut rough = 0;
    let mut sums: Vec<Vec<f64>> = widths.iter().map(|n| vec![0.0; n * rows.len()]).collect();
    for (k, chunk) in rows.chunks(AT_ONCE).enumerate() {
        running.set_rows(data, chunk);
        let first = k * AT_ONCE;
        let mut top = vec![f64::NEG_INFINITY; chunk.len()];
        let (mut total, mut squares) = (vec![0.0; chunk.len()], vec![0.0; chunk.len()]);
        for draw in 0..draws {
            running.executor.run(chunk.len(), (draw as u64) << 24 | k as u64);
            let logs = match importance {
                [root] => running.executor.get(*root),
                _ => vec![0.0; chunk.len()],
            };
            let values: Vec<Vec<f64>> = roots.iter().map(|&root| running.executor.get(root)).collect();
            for (i, &log) in logs.iter().enumerate() {
                // a draw whose density is none counts nothing
                if !log.is_finite() {
                    continue;
                }
                let shrink = if log > top[i] { (top[i] - log).exp() } else { 1.0 };
                top[i] = top[i].max(log);
                let w = (log - top[i]).exp();
                total[i] = total[i] * shrink + w;
                squares[i] = squares[i] * shrink * shrink + w * w;
                for ((sum, &n), found) in sums.iter_mut().zip(&widths).zip(&values) {
                    // what no row changes is there once
                    let from = if found.len() == n {
                        found
                    } else {
                        &found[i * n..(i + 1) * n]
                    };
                    for (s, x) in sum[(first + i) * n..(first + i + 1) * n].iter_mut().zip(from) {
                        *s = *s * shrink + w * x;
                    }
                }
            }
        }
        if draws > 1 {
            let few = |(t, s): &(&f64, &f64)| **t * **t < ENOUGH * **s;
            rough += total.iter().zip(&squares).filter(few).count();
        }
        for (sum, &n) in sums.iter_mut().zip(&widths) {
            for (i, total) in total.iter().enumerate() {
                sum[(first + i) * n..(first + i + 1) * n]
                    .iter_mut()
                    .for_each(|s| *s /= total);
            }
        }
    }
    let mut sums = sums.into_iter();
    let means = wanted.iter().map(|w| sums.by_ref().take(w.terms.len()).collect());
    Ok((means.collect(), rough))
}

/// Cells of one variable.
fn fill(
    r: &Restored<'_>,
    binding: &Binding,
    table: &Table,
    w: &Wanted,
    rows: &[u32],
    moments: &[Vec<f64>],
    out: &mut HashMap<usize, Filled>,
) -> Result<(), GradientError> {
    let var = r.graph.var_of(w.sym).map(|v| r.graph.var(v));
    let made_of = var.and_then(|v| v.observed_as);
    let input = made_of.and_then(|t| r.graph.store.symbols(t).iter().find_map(|s| binding.var(*s)));
    let Some(bound) = binding.var(w.sym).or(input) else {
        return Ok(());
    };
    let back = match made_of.filter(|_| binding.var(w.sym).is_none()) {
        Some(t) => Some(Scale::of(r, binding, bound, t, w)?),
        None => None,
    };
    let binary = r.graph.store.sym(w.sym).support == Support::Binary;
    for (j, &column) in bound.columns.iter().enumerate() {
        let (mut text, mut sd) = (HashMap::new(), HashMap::new());
        for (i, row) in rows.iter().map(|&row| row as usize).enumerate() {
            if !is_missing(table, column, row) {
                continue;
            }
            if w.finite {
                let best = (0..moments.len()).fold(0, |b, k| if moments[k][i] > moments[b][i] { k } else { b });
                text.insert(row, shown(bound, 1, best));
                continue;
            }
            let (shift, factor) = back.as_ref().map_or((0.0, 1.0), |b| (b.shift[j], b.factor[j]));
            let mean = moments[0][i * w.width + j];
            let value = if binary {
                f64::from(u8::from(mean > 0.5))
            } else {
                (mean - shift) / factor
            };
            text.insert(row, show_number(value));
            if let Some(square) = moments.get(1).filter(|_| !binary) {
                let variance = (square[i * w.width + j] - mean * mean).max(0.0);
                sd.insert(row, variance.sqrt() / factor.abs());
            }
        }
        if !text.is_empty() {
            let sd = (!sd.is_empty()).then_some(sd);
            out.insert(column, Filled { text, sd });
        }
    }
    Ok(())
}

/// A variable that is made of columns by x = shift + factor · column, element by element.
struct Scale {
    shift: Vec<f64>,
    factor: Vec<f64>,
}

impl Scale {
    fn of(r: &Restored<'_>, binding: &Binding, bound: &Bound, t: Term, w: &Wanted) -> Result<Self, GradientError> {
        let refused = || GradientError::Objective {
            what: format!(
                "`{}` is made of its columns in a way that cannot be undone",
                r.graph.store.sym(w.sym).name
            ),
            help: "columns that are shifted and scaled are filled; transform others before they are read".into(),
        };
        let shape = r.graph.store.sym(bound.sym).shape.clone();
        let shape: Vec<usize> = shape
            .iter()
            .map(|n| r.known.size(&r.graph.store, n).unwrap_or(1))
            .collect();
        let env = crate::terms::environment(r.graph, &binding.sizes);
        let at = |cells: &dyn Fn(usize) -> f64| -> Option<Vec<f64>> {
            let mut env = env.clone();
            let n = shape.iter().product();
            env.set(
                bound.sym,
                Array {
                    shape: shape.clone(),
                    data: (0..n).map(cells).collect(),
                },
            );
            let value = r.graph.store.eval(t, &env).ok()?;
            (value.data.len() == n && n == w.width).then_some(value.data)
        };
        // affine in each element alone: 0 and 1 say how, and numbers that differ between elements agree
        let (Some(zero), Some(one), Some(other)) = (at(&|_| 0.0), at(&|_| 1.0), at(&probe)) else {
            return Err(refused());
        };
        let factor: Vec<f64> = one.iter().zip(&zero).map(|(a, b)| a - b).collect();
        let same = |j: usize| {
            let want = zero[j] + factor[j] * probe(j);
            factor[j] != 0.0 && (other[j] - want).abs() <= 1e-9 * (1.0 + want.abs())
        };
        if !(0..w.width).all(same) {
            return Err(refused());
        }
        Ok(Self { shift: zero, factor })
    }
}

/// A number that is another for every element, and none that a formula is likely to know.
fn probe(j: usize) -> f64 {
    2.0 + ((j as f64 + 0.5) * std::f64::consts::E).fract() * 7.0
}
