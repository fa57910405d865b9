//! Standard errors: the observed information brought back to the parameters as they are printed (delta method).
//!
//! In free coordinates u the information is H; the variance of a parameter's element θ(u) is gᵀ H⁻¹ g with g = ∂θ/∂u. Where
//! g has a part along a direction that the data do not determine, the element has no standard error. What lies at the edge
//! of its range, or is held there by a floor, has none either, and is held fixed for the others.

use super::Fitted;
use super::free::{Group, gradient, groups};
use super::information::{Information, Surface};
use crate::dataset::Dataset;
use crate::engine::Compiled;
use lvmc_loops::lowered::{Lowered, ParamSlot};
use lvmc_term::Support;
use std::sync::atomic::AtomicBool;

/// When standard errors are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Never.
    #[default]
    Never,
    /// Where that takes milliseconds.
    Cheap,
    /// Where that is possible at all.
    Asked,
}

/// Standard errors of every parameter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Errors {
    /// In the order of the parameters, each as its values; `None` where there is none.
    pub of: Vec<Vec<Option<f64>>>,
    /// Why some have none, and what the others mean.
    pub remarks: Vec<String>,
}

/// A slope of so many standard errors is no maximum's.
const SLANT: f64 = 0.2;
/// A part of a gradient along a flat direction, relative to the whole, that is more than rounding.
const ALONG_FLAT: f64 = 1e-3;
/// A probability so near to 0 or 1 is at the edge.
const EDGE: f64 = 1e-11;
/// Coordinates beyond which nothing is computed.
const MOST: usize = 500;
/// Numbers touched, roughly: what is done unasked, and what is done at all.
const CHEAP: f64 = 1e7;
const LIMIT: f64 = 2e12;
/// What a sweep costs besides its rows.
const SWEEP: f64 = 1e4;

/// The standard errors of a fit; `None` where they were not asked for and are not cheap.
#[must_use]
pub fn standard_errors(
    compiled: Compiled<'_>,
    data: &Dataset,
    fitted: &Fitted,
    threads: usize,
    when: When,
    stop: Option<&AtomicBool>,
) -> Option<Errors> {
    let lowered = compiled.lowered;
    let work = work(lowered, data);
    if when == When::Never || (when == When::Cheap && work > CHEAP) || lowered.params.is_empty() {
        return None;
    }
    let none = |why: String| {
        Some(Errors {
            of: lowered
                .params
                .iter()
                .map(|p| vec![None; p.shape.iter().product()])
                .collect(),
            remarks: vec![format!("no standard errors: {why}")],
        })
    };
    if let Some(q) = &lowered.bound {
        return none(format!(
            "the objective is a bound, of {q}, and its curvature is not the information of the data"
        ));
    }
    let count = count(lowered);
    if count > MOST || work > LIMIT {
        return none(format!(
            "{count} parameters on {} rows need about {} passes over the data; the limit is {MOST} parameters and an hour's \
             work",
            data.rows,
            2 * count * count
        ));
    }
    let out = &fitted.outcome;
    if !out.converged && when == When::Cheap {
        return None;
    }
    if !out.converged {
        return none("the fit has not converged, and they belong to a maximum".into());
    }
    let surface = Surface::new(compiled, data, threads, stop, &out.values);
    Some(
        Job {
            lowered,
            fitted,
            surface,
        }
        .run(),
    )
}

#[allow(clippy::cast_precision_loss)]
fn work(lowered: &Lowered, data: &Dataset) -> f64 {
    let columns: usize = lowered.columns.iter().map(|c| c.cols).sum();
    let values = lowered.latents.iter().fold(1.0, |n, l| n * l.size as f64);
    let p = count(lowered) as f64;
    (3.0 * p * p + 20.0 * p) * (data.rows as f64 * values * (columns + 4) as f64 + SWEEP)
}

/// Degrees of freedom, directions of rotations among them.
fn count(lowered: &Lowered) -> usize {
    lowered.params.iter().map(|p| p.free).sum()
}

struct Job<'a> {
    lowered: &'a Lowered,
    fitted: &'a Fitted,
    surface: Surface<'a>,
}

impl Job<'_> {
    fn run(&self) -> Errors {
        let values = &self.fitted.outcome.values;
        let groups = groups(&self.lowered.params);
        let mut held: Vec<Option<&'static str>> = groups.iter().map(|g| self.unfit(g)).collect();
        let edge: Vec<bool> = self.surface.origin().iter().map(|u| !u.is_finite()).collect();
        let information = loop {
            let free: Vec<usize> = groups
                .iter()
                .zip(&held)
                .filter(|(_, why)| why.is_none())
                .flat_map(|(g, _)| self.moved(g, values))
                .filter(|&c| !edge[c])
                .collect();
            let found = self.surface.information(&free, SLANT);
            if found.slanted.is_empty() || found.stopped {
                break found;
            }
            for (g, why) in groups.iter().zip(&mut held) {
                if found.slanted.iter().any(|c| g.coordinates.contains(c)) {
                    *why = Some(if self.fitted.outcome.floors {
                        "held at its floor"
                    } else {
                        "the objective still rises along it: not at a maximum"
                    });
                }
            }
        };
        self.errors(&groups, &held, &edge, &information)
    }

    /// Why a group has no coordinates at all.
    fn unfit(&self, g: &Group) -> Option<&'static str> {
        let u = &self.surface.origin()[g.coordinates.clone()];
        match self.lowered.params[g.slot].support {
            Support::Corr => Some("a correlation matrix has no free coordinates here"),
            Support::Cov if u.iter().any(|u| !u.is_finite()) => Some("the matrix is singular"),
            Support::Simplex => None,
            _ if u.iter().any(|u| !u.is_finite()) => Some("at the edge of its range"),
            _ => None,
        }
    }

    /// The coordinates of a group that are moved: of a simplex all but the largest entry's.
    fn moved(&self, g: &Group, values: &[Vec<f64>]) -> Vec<usize> {
        let all: Vec<usize> = g.coordinates.clone().collect();
        if self.lowered.params[g.slot].support != Support::Simplex {
            return all;
        }
        let v = &values[g.slot][g.elements.clone()];
        let largest = (0..v.len()).fold(0, |a, b| if v[b] > v[a] { b } else { a });
        all.into_iter().filter(|c| c - g.coordinates.start != largest).collect()
    }

    fn errors(
        &self,
        groups: &[Group],
        held: &[Option<&'static str>],
        edge: &[bool],
        information: &Information,
    ) -> Errors {
        let params = &self.lowered.params;
        let mut of: Vec<Vec<Option<f64>>> = params.iter().map(|p| vec![None; p.shape.iter().product()]).collect();
        let mut why: Vec<(usize, &'static str, usize)> = vec![];
        let whole = if information.stopped {
            Some("stopped before they were computed")
        } else if information.rises {
            Some("the objective rises from there: not at a maximum")
        } else {
            None
        };
        let flat = Flat::new(information);
        for (g, held) in groups.iter().zip(held) {
            let v = &self.fitted.outcome.values[g.slot][g.elements.clone()];
            for e in 0..g.elements.len() {
                let element = self.gradient_of(g, v, e);
                let reason = whole.or(*held).or_else(|| {
                    if element.iter().any(|(c, d)| edge[*c] && *d != 0.0) || at_edge(&params[g.slot], v, e) {
                        Some("at the edge of its range")
                    } else if flat.touches(&element) {
                        Some(self.undetermined(g.slot))
                    } else {
                        None
                    }
                });
                match reason {
                    None => of[g.slot][g.elements.start + e] = Some(deviation(information, &element)),
                    Some(reason) => match why.iter_mut().find(|w| w.0 == g.slot && w.1 == reason) {
                        Some(w) => w.2 += 1,
                        None => why.push((g.slot, reason, 1)),
                    },
                }
            }
        }
        Errors {
            remarks: self.remarks(&why, whole.is_some()),
            of,
        }
    }

    /// (coordinate, derivative) of an element, of coordinates that are moved.
    fn gradient_of(&self, g: &Group, values: &[f64], element: usize) -> Vec<(usize, f64)> {
        let all = gradient(&self.lowered.params[g.slot], values, element);
        let moved = self.moved(g, &self.fitted.outcome.values);
        let pairs = g.coordinates.clone().zip(all);
        pairs.filter(|(c, _)| moved.contains(c)).collect()
    }

    fn undetermined(&self, slot: usize) -> &'static str {
        let rotated = |r: &lvmc_loops::lowered::RotationSlot| r.flat() > 0 && r.loadings.contains(&slot);
        if self.lowered.rotations.iter().any(rotated) {
            "determined only up to a rotation"
        } else {
            "the data do not determine it"
        }
    }

    fn remarks(&self, why: &[(usize, &'static str, usize)], whole: bool) -> Vec<String> {
        let params = &self.lowered.params;
        let mut out = vec![];
        if let (true, Some(first)) = (whole, why.first()) {
            return vec![format!("no standard errors: {}", first.1)];
        }
        for &(slot, reason, count) in why {
            let name = &params[slot].name;
            let all: usize = params[slot].shape.iter().product();
            let which = if count == all {
                name.clone()
            } else {
                format!("{count} of {name}'s {all} elements")
            };
            out.push(format!("no standard error for {which}: {reason}"));
        }
        let held = why.iter().any(|w| w.1.contains("edge") || w.1.contains("floor"));
        if held {
            out.push("the other standard errors hold for those parameters fixed where they are".into());
        }
        if self.lowered.penalised {
            out.push(
                "standard errors are from the curvature of the log-likelihood and the log prior together (MAP)".into(),
            );
        }
        out
    }
}

/// A probability that is 0 or 1, or nearer to it than any data could tell.
fn at_edge(slot: &ParamSlot, values: &[f64], element: usize) -> bool {
    let p = values[element];
    match slot.support {
        Support::Simplex => values.len() > 1 && !(EDGE..=1.0 - EDGE).contains(&p),
        Support::Unit => !(EDGE..=1.0 - EDGE).contains(&p),
        _ => false,
    }
}

/// √(gᵀ H⁻¹ g).
fn deviation(information: &Information, element: &[(usize, f64)]) -> f64 {
    let squares = information.roots.iter().map(|r| {
        let dot: f64 = element.iter().map(|&(c, d)| d * r[c]).sum();
        dot * dot
    });
    squares.sum::<f64>().sqrt()
}

/// Flat directions, orthonormal in units of each coordinate's own standard error.
struct Flat {
    directions: Vec<Vec<f64>>,
    scale: Vec<f64>,
}

impl Flat {
    fn new(information: &Information) -> Self {
        let scale: Vec<f64> = information
            .curvature
            .iter()
            .map(|c| if *c > 0.0 { c.sqrt() } else { 1.0 })
            .collect();
        let mut directions: Vec<Vec<f64>> = vec![];
        for v in &information.flat {
            let mut v: Vec<f64> = v.iter().zip(&scale).map(|(v, s)| v * s).collect();
            for d in &directions {
                let dot: f64 = v.iter().zip(d).map(|(a, b)| a * b).sum();
                v.iter_mut().zip(d).for_each(|(v, d)| *v -= dot * d);
            }
            let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            if norm > 0.0 {
                v.iter_mut().for_each(|x| *x /= norm);
                directions.push(v);
            }
        }
        Self { directions, scale }
    }

    fn touches(&self, element: &[(usize, f64)]) -> bool {
        let g: Vec<(usize, f64)> = element.iter().map(|&(c, d)| (c, d / self.scale[c])).collect();
        let norm = g.iter().map(|x| x.1 * x.1).sum::<f64>().sqrt();
        let part = |d: &Vec<f64>| g.iter().map(|&(c, x)| x * d[c]).sum::<f64>().abs();
        self.directions.iter().any(|d| part(d) > ALONG_FLAT * norm)
    }
}
