//! A prior whose density grows without bound where a parameter reaches the border of its support, and a fit that went there.
//!
//! `Dirichlet(0.5)` has (α − 1) log p in its log density, which is +∞ at p = 0: where the data hold no share of a value back
//! (nothing is assigned to it), the objective has no maximum, and every number reported as one would be the choice of a
//! stopping rule. So the fit says which prior it is, where, and what bounds it.

use crate::failure::Failure;
use lvmc_base::{Exit, Span};
use lvmc_derive::Plan;
use lvmc_derive::plan::Prior;
use lvmc_loops::lowered::{Lowered, ParamSlot};
use lvmc_model::ModelGraph;
use lvmc_model::graph::{Dist, Factor};
use lvmc_report::math::{self, Style};
use lvmc_runtime::engine::Values;
use lvmc_runtime::fit::{FitError, Outcome};
use lvmc_term::{Array, DimId, Env, Support, SymId, Term};
use miette::Diagnostic;
use std::collections::BTreeMap;
use thiserror::Error;

/// What is said.
#[derive(Debug, Clone, Error, Diagnostic)]
#[error("the fit has no maximum: the prior of `{name}` has infinite density where {place}")]
#[diagnostic(code(lvm::fit::unbounded_prior), help("{help}"))]
pub struct Unbounded {
    /// The parameter.
    pub name: String,
    /// Its elements on the border, as a sentence.
    pub place: String,
    /// The statement.
    #[label("its density grows without bound there, and nothing in the data holds it back")]
    pub span: Span,
    /// What to type.
    pub help: String,
}

/// What is known of a fit that failed.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The model.
    pub graph: &'a ModelGraph,
    /// Its plan.
    pub plan: &'a Plan,
    /// The parameters' slots.
    pub lowered: &'a Lowered,
    /// Sizes.
    pub sizes: &'a BTreeMap<DimId, usize>,
    /// Constants.
    pub consts: &'a [(SymId, Array)],
}

/// Names the prior where one has infinite density at the parameters of a failed fit.
#[must_use]
pub fn explained(error: FitError, known: Known<'_>) -> Failure {
    let FitError::Numerical { at: Some(values), .. } = &error else {
        return error.into();
    };
    match known.unbounded(values) {
        Some(found) => Failure::in_source(Exit::Numerical, found, &known.graph.source),
        None => error.into(),
    }
}

/// Refuses a fit whose parameters stand where a prior has infinite density, or whose next step goes there: closed forms get
/// there in one step, and all that follows is finite but for the prior, or nothing is.
///
/// # Errors
/// [`Unbounded`].
pub fn refused(out: &Outcome, known: Known<'_>) -> Result<(), Failure> {
    let mut ends = [&out.values].into_iter().chain(&out.beyond);
    match ends.find_map(|values| known.unbounded(values)) {
        Some(found) => Err(Failure::in_source(Exit::Numerical, found, &known.graph.source)),
        None => Ok(()),
    }
}

/// The nearest point of a support: a closed form leaves it over the border that the objective grows without bound towards.
fn clamped(support: &Support, values: &[f64]) -> Vec<f64> {
    let (low, high) = match support {
        Support::Positive => (0.0, f64::INFINITY),
        Support::Unit => (0.0, 1.0),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    };
    values.iter().map(|x| x.clamp(low, high)).collect()
}

impl Known<'_> {
    fn unbounded(&self, values: &Values) -> Option<Unbounded> {
        let slots = self.lowered.params.iter().zip(values);
        let values: &Values = &slots.map(|(slot, v)| clamped(&slot.support, v)).collect();
        let mut env = self.environment(values);
        for prior in &self.plan.priors {
            let infinite = |env: &mut Env<'_>| {
                let log = self.plan.store.eval_scalar(prior.term, env);
                log.is_ok_and(|x| x == f64::INFINITY)
            };
            let Some(member) = self.member(&mut env, prior, infinite) else {
                continue;
            };
            let factor = &self.graph.factors[prior.factor];
            let var = self.graph.var(factor.var);
            let mut slots = self.lowered.params.iter().zip(values);
            let (slot, own) = slots.find(|(slot, _)| slot.sym == var.sym)?;
            return Some(Unbounded {
                name: var.name.clone(),
                place: border(slot, own, &member),
                span: factor.span,
                help: self.help(&mut env, factor, &var.name),
            });
        }
        None
    }

    fn environment(&self, values: &Values) -> Env<'static> {
        let mut env = Env::new();
        for (&d, &n) in self.sizes {
            env.set_dim(d, n);
        }
        for (sym, value) in self.consts {
            env.set(*sym, value.clone());
        }
        for (slot, v) in self.lowered.params.iter().zip(values) {
            let (shape, data) = (slot.shape.clone(), v.clone());
            env.set(slot.sym, Array { shape, data });
        }
        env
    }

    /// The first member of a family for which something holds, its indices left set.
    fn member(
        &self,
        env: &mut Env<'_>,
        prior: &Prior,
        mut holds: impl FnMut(&mut Env<'_>) -> bool,
    ) -> Option<Vec<usize>> {
        let size = |&i| env.size(&self.plan.store, &self.plan.store.ix(i).size).ok();
        let sizes: Vec<usize> = prior.ranges.iter().map(size).collect::<Option<_>>()?;
        (0..sizes.iter().product()).find_map(|mut number: usize| {
            let mut at = vec![0; sizes.len()];
            for ((&i, &n), at) in prior.ranges.iter().zip(&sizes).zip(&mut at).rev() {
                (*at, number) = (number % n, number / n);
                env.set_index(i, *at);
            }
            holds(env).then_some(at)
        })
    }

    /// The statement with the first argument that bounds its density once it is 1, if one does.
    fn help(&self, env: &mut Env<'_>, factor: &Factor, name: &str) -> String {
        let general =
            format!("choose a prior of `{name}` with a bounded density, or leave it out (maximum likelihood)");
        let Dist::Family {
            family,
            signature,
            args,
            span,
        } = &factor.dist
        else {
            return general;
        };
        let mut store = self.plan.store.clone();
        for i in 0..args.len() {
            let (one, shape) = (store.num(1.0), store.shape(args[i]).clone());
            let filled = store.refill(one, shape);
            let with = |t: Term| -> Vec<Term> {
                args.iter()
                    .enumerate()
                    .map(|(j, &a)| if i == j { t } else { a })
                    .collect()
            };
            let density = family.log_density(&mut store, *signature, factor.value, &with(filled));
            let log = store.total(density);
            if !store.eval_scalar(log, env).is_ok_and(f64::is_finite) {
                continue;
            }
            let dist = Dist::Family {
                family: *family,
                signature: *signature,
                args: with(one),
                span: *span,
            };
            let text = math::dist_text(&store, &dist, Style::Unicode);
            let now = math::term(&store, args[i], Style::Unicode);
            return format!(
                "write `{name} ~ {text}`, or more than 1 in the place of {now}: from 1 on the density is bounded (at 1 it \
                 says nothing of the border, above it keeps `{name}` away from it)"
            );
        }
        general
    }
}

/// The elements of a member that lie on the border: `pi[3] is 0`.
fn border(slot: &ParamSlot, values: &[f64], member: &[usize]) -> String {
    let rest: Vec<usize> = slot.shape.iter().copied().skip(member.len()).collect();
    let size: usize = rest.iter().product::<usize>().max(1);
    let first = member.iter().zip(&slot.shape).fold(0, |at, (&i, &n)| at * n + i) * size;
    let own = values.get(first..first + size).unwrap_or_default();
    let at_border = |x: f64| x == 0.0 || (x == 1.0 && slot.support == Support::Unit);
    let name = |mut number: usize| {
        let mut places = vec![];
        for &n in rest.iter().rev() {
            places.push(number % n + 1);
            number /= n;
        }
        let places = member.iter().map(|i| i + 1).chain(places.into_iter().rev());
        let places: Vec<String> = places.map(|i| i.to_string()).collect();
        match &places[..] {
            [] => slot.name.clone(),
            all => format!("{}[{}]", slot.name, all.join(", ")),
        }
    };
    let found: Vec<String> = (0..own.len())
        .filter(|&i| at_border(own[i]))
        .map(|i| format!("{} is {}", name(i), own[i]))
        .collect();
    match &found[..] {
        [] => format!("`{}` lies now", slot.name),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} (and {} more elements)", rest.len()),
    }
}
