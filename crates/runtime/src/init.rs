//! Where EM starts: responsibilities of the finite latents from clusterings of the standardised data, and parameters'
//! values before any statistics.
//!
//! Measured on the reference cases (20 seeds each): k-means++ seeds with two Lloyd steps and bare k-means++ seeds by
//! turns; k-means to convergence never reaches the optimum of three components on faithful. From the second round on,
//! half of the starts split one component of the best fit so far and merge two others.

use crate::dataset::Dataset;
use crate::engine::{Engine, Values};
use crate::random::{below, uniform, weighted};
use lvmc_kernels::dense::eig_sym;
use lvmc_loops::lowered::{LatentSlot, Lowered};
use lvmc_term::Support;
use rand::rngs::StdRng;

/// The share of a row that is spread over all values, so that no value starts with nothing.
const SOFT: f64 = 0.05;
/// Categories of more values are no coordinates.
const ONE_HOT: usize = 20;

/// Rows as points: every numeric column standardised, small categories one-hot.
#[derive(Debug, Clone)]
pub struct Points {
    /// Number of rows.
    pub rows: usize,
    /// Coordinates.
    pub dims: usize,
    /// Row-major.
    pub data: Vec<f64>,
    /// What every coordinate was divided by.
    spread: Vec<f64>,
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(n: usize) -> f64 {
    n as f64
}

impl Points {
    /// The points of a data set. Missing cells are at the mean; constant columns are left out.
    #[must_use]
    pub fn new(lowered: &Lowered, data: &Dataset) -> Self {
        let mut axes: Vec<(Vec<f64>, f64)> = Vec::new();
        for slot in lowered.columns.iter().filter(|s| !s.made && s.mask_of().is_none()) {
            let mask = lowered.columns.iter().find(|m| m.mask_of() == Some(slot.sym));
            for col in 0..slot.cols {
                let seen = |r: usize| mask.is_none_or(|m| data.stored(m.buf, m.cols, r, col.min(m.cols - 1)) != 0.0);
                let value = |r: usize| {
                    if seen(r) {
                        data.stored(slot.buf, slot.cols, r, col)
                    } else {
                        f64::NAN
                    }
                };
                let values: Vec<f64> = (0..data.rows).map(value).collect();
                match slot.categories {
                    Some(k) if k <= ONE_HOT => {
                        for code in 0..k {
                            let hot = |x: &f64| {
                                if x.is_nan() {
                                    f64::NAN
                                } else {
                                    f64::from(u8::from(*x == as_f64(code)))
                                }
                            };
                            axes.extend(standardised(&values.iter().map(hot).collect::<Vec<_>>(), as_f64(k)));
                        }
                    }
                    Some(_) => {}
                    None => axes.extend(standardised(&values, 1.0)),
                }
            }
        }
        let dims = axes.len();
        let mut out = vec![0.0; data.rows * dims];
        for (d, (axis, _)) in axes.iter().enumerate() {
            for (r, x) in axis.iter().enumerate() {
                out[r * dims + d] = *x;
            }
        }
        Self {
            rows: data.rows,
            dims,
            data: out,
            spread: axes.into_iter().map(|a| a.1).collect(),
        }
    }

    /// The coordinates on their own scale.
    #[must_use]
    pub fn unscaled(&self) -> Self {
        let mut out = self.clone();
        for row in out.data.chunks_mut(out.dims.max(1)) {
            row.iter_mut().zip(&self.spread).for_each(|(x, s)| *x *= s);
        }
        out
    }

    /// Scores of the leading principal components, each of variance 1, as many as the continuous latents want.
    #[must_use]
    pub fn components(&self, lowered: &Lowered) -> Vec<Vec<f64>> {
        let wanted: usize = lowered.starts.iter().map(|s| s.cols).sum();
        let (n, d) = (self.rows, self.dims);
        if wanted == 0 || d == 0 {
            return vec![];
        }
        let mut moments = vec![0.0; d * d];
        for r in 0..n {
            let x = self.row(r);
            for i in 0..d {
                for j in 0..=i {
                    moments[i * d + j] += x[i] * x[j] / as_f64(n);
                }
            }
        }
        // eigenvalues ascend, eigenvectors are columns
        let (values, vectors) = eig_sym(&moments, d);
        (0..d)
            .rev()
            .take(wanted)
            .filter(|&c| values[c] > 1e-12)
            .map(|c| {
                let by = 1.0 / values[c].sqrt();
                let score = |r| -> f64 {
                    self.row(r)
                        .iter()
                        .enumerate()
                        .map(|(i, x)| x * vectors[i * d + c])
                        .sum()
                };
                (0..n).map(|r| by * score(r)).collect()
            })
            .collect()
    }

    fn row(&self, r: usize) -> &[f64] {
        &self.data[r * self.dims..(r + 1) * self.dims]
    }
}

/// Mean 0 and variance 1 / `shared`, and what the values were divided by; `None` for a constant.
fn standardised(values: &[f64], shared: f64) -> Option<(Vec<f64>, f64)> {
    let seen: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    let n = as_f64(seen.len());
    let mean = seen.iter().sum::<f64>() / n;
    let var = seen.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    let by = 1.0 / (var * shared).sqrt();
    (var > 0.0 && by.is_finite()).then(|| {
        let scaled = |x: &f64| if x.is_nan() { 0.0 } else { (x - mean) * by };
        (values.iter().map(scaled).collect(), 1.0 / by)
    })
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// How a start clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// k-means++ seeds and that many Lloyd steps.
    Means(usize),
    /// Random responsibilities.
    Random,
}

impl Kind {
    /// The kind of start number `index`.
    #[must_use]
    pub fn of(index: usize) -> Self {
        if index.is_multiple_of(2) {
            Self::Means(2)
        } else {
            Self::Means(0)
        }
    }
}

/// A label per row: nearest of k seeds, drawn with probability proportional to the squared distance to those before.
fn clustered(points: &Points, k: usize, lloyd: usize, rng: &mut StdRng) -> Vec<usize> {
    let (n, dims) = (points.rows, points.dims);
    let mut centres: Vec<Vec<f64>> = Vec::with_capacity(k);
    let mut nearest = vec![f64::INFINITY; n];
    for c in 0..k {
        let pick = if c == 0 { below(rng, n) } else { weighted(rng, &nearest) };
        let centre = points.row(pick).to_vec();
        for (r, best) in nearest.iter_mut().enumerate() {
            *best = best.min(distance(points.row(r), &centre));
        }
        centres.push(centre);
    }
    let assign = |centres: &[Vec<f64>]| -> Vec<usize> {
        (0..n)
            .map(|r| {
                let mut best = (f64::INFINITY, 0);
                for (c, centre) in centres.iter().enumerate() {
                    let d = distance(points.row(r), centre);
                    if d < best.0 {
                        best = (d, c);
                    }
                }
                best.1
            })
            .collect()
    };
    let mut labels = assign(&centres);
    for _ in 0..lloyd {
        let mut sums = vec![vec![0.0; dims]; k];
        let mut counts = vec![0.0; k];
        for (r, &c) in labels.iter().enumerate() {
            counts[c] += 1.0;
            sums[c].iter_mut().zip(points.row(r)).for_each(|(s, x)| *s += x);
        }
        for ((centre, sum), &count) in centres.iter_mut().zip(&sums).zip(&counts) {
            if count > 0.0 {
                centre.iter_mut().zip(sum).for_each(|(c, s)| *c = s / count);
            }
        }
        labels = assign(&centres);
    }
    labels
}

/// Some of the coordinates, at least one: what a second latent of a row is clustered by, so that it differs.
fn projected(points: &Points, rng: &mut StdRng) -> Points {
    let mut kept: Vec<usize> = (0..points.dims).filter(|_| uniform(rng) < 0.5).collect();
    if kept.is_empty() {
        kept.push(below(rng, points.dims));
    }
    Points {
        rows: points.rows,
        dims: kept.len(),
        spread: kept.iter().map(|&d| points.spread[d]).collect(),
        data: (0..points.rows)
            .flat_map(|r| kept.iter().map(move |&d| points.row(r)[d]))
            .collect(),
    }
}

/// Starting marginals of every latent: `[row][value]` each.
#[must_use]
pub fn marginals(lowered: &Lowered, data: &Dataset, points: &Points, kind: Kind, rng: &mut StdRng) -> Vec<Vec<f64>> {
    let mut hidden = 0;
    let mut out = Vec::with_capacity(lowered.latents.len());
    for slot in &lowered.latents {
        let k = slot.size;
        let mut m = match kind {
            Kind::Means(lloyd) if points.dims > 0 && k > 1 => {
                let own;
                let by = if hidden > 0 && points.dims > 1 {
                    own = projected(points, rng);
                    &own
                } else {
                    points
                };
                softened(&clustered(by, k, lloyd, rng), k)
            }
            _ => spread(points.rows, k, rng),
        };
        hidden += usize::from(!slot.observed);
        observed(lowered, data, slot, &mut m);
        out.push(m);
    }
    out
}

fn softened(labels: &[usize], k: usize) -> Vec<f64> {
    let low = SOFT / as_f64(k);
    labels
        .iter()
        .flat_map(|&l| (0..k).map(move |c| if c == l { 1.0 - SOFT + low } else { low }))
        .collect()
}

/// Uniform on the simplex, row by row.
fn spread(rows: usize, k: usize, rng: &mut StdRng) -> Vec<f64> {
    let mut out = Vec::with_capacity(rows * k);
    for _ in 0..rows {
        let draws: Vec<f64> = (0..k).map(|_| -(1.0 - uniform(rng)).ln()).collect();
        let sum: f64 = draws.iter().sum();
        out.extend(draws.iter().map(|d| if sum > 0.0 { d / sum } else { 1.0 / as_f64(k) }));
    }
    out
}

/// Where the variable is observed its marginal is certain.
fn observed(lowered: &Lowered, data: &Dataset, slot: &LatentSlot, m: &mut [f64]) {
    if !slot.observed {
        return;
    }
    let Some(column) = lowered.columns.iter().find(|c| c.sym == slot.sym) else {
        return;
    };
    for (row, values) in m.chunks_mut(slot.size.max(1)).enumerate() {
        let x = data.stored(column.buf, column.cols, row, 0);
        if !x.is_nan() {
            for (k, v) in values.iter_mut().enumerate() {
                *v = f64::from(u8::from(x == as_f64(k)));
            }
        }
    }
}

/// The marginals of a fit with one component split in two and, where there are more than two, two others merged.
#[must_use]
pub fn shaken(
    lowered: &Lowered,
    data: &Dataset,
    points: &Points,
    from: &[Vec<f64>],
    rng: &mut StdRng,
) -> Vec<Vec<f64>> {
    let mut out = from.to_vec();
    let open: Vec<usize> = (0..lowered.latents.len())
        .filter(|&l| lowered.latents[l].size > 1)
        .collect();
    if open.is_empty() || points.dims == 0 {
        return out;
    }
    let latent = open[below(rng, open.len())];
    let slot = &lowered.latents[latent];
    let k = slot.size;
    let (old, new) = (&from[latent], &mut out[latent]);
    let mass: Vec<f64> = (0..k).map(|c| old.iter().skip(c).step_by(k).sum()).collect();
    let heavy: Vec<f64> = mass.iter().map(|&m| f64::from(u8::from(m > 2.0))).collect();
    let split = weighted(rng, &heavy);
    let others: Vec<usize> = (0..k).filter(|&c| c != split).collect();
    let freed = others[below(rng, others.len())];
    if others.len() > 1 {
        let rest: Vec<usize> = others.into_iter().filter(|&c| c != freed).collect();
        let into = rest[below(rng, rest.len())];
        for row in new.chunks_mut(k) {
            row[into] += row[freed];
            row[freed] = 0.0;
        }
    }
    let share: Vec<f64> = old.iter().skip(split).step_by(k).copied().collect();
    let a = weighted(rng, &share);
    let far: Vec<f64> = share
        .iter()
        .enumerate()
        .map(|(r, s)| s * distance(points.row(r), points.row(a)))
        .collect();
    let b = weighted(rng, &far);
    for (r, row) in new.chunks_mut(k).enumerate() {
        let near_b = distance(points.row(r), points.row(b)) < distance(points.row(r), points.row(a));
        let moved = share[r] * if near_b { 1.0 - SOFT } else { SOFT };
        row[freed] += moved;
        row[split] -= moved;
    }
    observed(lowered, data, slot, new);
    out
}

/// Sets the means of the continuous latents to principal components (see [`Points::components`]): one after the other,
/// beginning again where there are no more.
pub fn start_scores(engine: &mut Engine<'_>, scores: &[Vec<f64>]) {
    let mut first = 0;
    for (i, slot) in engine.lowered().starts.iter().enumerate() {
        let score = |c: usize| scores.get((first + c) % scores.len().max(1));
        engine.set_start(i, |row, c| score(c).map_or(0.0, |s| s[row]));
        first += slot.cols;
    }
}

/// Parameters before any statistics.
#[must_use]
pub fn defaults(lowered: &Lowered, data: &Dataset) -> Values {
    // the spread of the data, where a variance has no better start
    let scales: Vec<&Vec<f64>> = lowered
        .columns
        .iter()
        .filter(|c| c.scale.is_some())
        .filter_map(|c| data.moments.get(&c.name).map(|m| &m.scale))
        .collect();
    let typical = scales
        .first()
        .filter(|s| !s.is_empty())
        .map_or(1.0, |s| s.iter().sum::<f64>() / as_f64(s.len()));
    lowered
        .params
        .iter()
        .map(|slot| {
            let own = &slot.shape[slot.family.min(slot.shape.len())..];
            let total: usize = slot.shape.iter().product();
            let last = own.last().copied().unwrap_or(1);
            let repeat = |block: Vec<f64>| -> Vec<f64> { block.iter().copied().cycle().take(total).collect() };
            match slot.support {
                Support::Positive | Support::NonNegative => repeat(
                    scales
                        .iter()
                        .find(|s| s.len() == last && !own.is_empty())
                        .map_or(vec![typical], |s| (*s).clone()),
                ),
                Support::Unit => vec![0.5; total],
                Support::Simplex => vec![1.0 / as_f64(last); total],
                Support::Ordered => repeat((0..last).map(|i| as_f64(i) - as_f64(last - 1) / 2.0).collect()),
                Support::Cov | Support::Corr => {
                    let unit = slot.support == Support::Corr;
                    let s = scales.iter().find(|s| s.len() == last);
                    let at = |i: usize| if unit { 1.0 } else { s.map_or(typical, |s| s[i]) };
                    repeat(
                        (0..last * last)
                            .map(|i| if i / last == i % last { at(i / last) } else { 0.0 })
                            .collect(),
                    )
                }
                _ => vec![0.0; total],
            }
        })
        .collect()
}
