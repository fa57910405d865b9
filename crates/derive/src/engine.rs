//! Log joint to update plan: the rules are tried in order, parameter by parameter and block by block.

use crate::error::DeriveError;
use crate::joint::{LogJoint, log_joint, log_joint_under};
use crate::missing::Missing;
use crate::occur::{Occurrence, Part, Unknown, occurrences, occurrences_in, parts_of, parts_with, whole_occurrences};
use crate::plan::{Declined, ObjectiveKind, Plan, Solution, Update};
use crate::posterior::prescribed::Prescribed;
use crate::rules::{self, Decline, RULES, gradient, newton, predictor, quadratic};
use lvmc_base::Span;
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_term::{Node, Store, Support, SymId};
use std::collections::BTreeSet;

/// Derives the plan of a model, or says which statement has no rule and what would make it work.
pub fn derive(graph: &ModelGraph) -> Result<Plan, DeriveError> {
    derive_with(graph, &Missing::default())
}

/// As [`derive`], for data in which those variables have missing cells.
pub fn derive_with(graph: &ModelGraph, missing: &Missing) -> Result<Plan, DeriveError> {
    let apart = crate::factorial::Apart::default();
    derive_as(graph, missing, crate::factorial::asked(graph).then_some(&apart))
}

/// As [`derive_with`], each chain of finite latents a part of q by itself where `apart` says how.
///
/// # Errors
/// As there.
pub fn derive_as(
    graph: &ModelGraph,
    missing: &Missing,
    apart: Option<&crate::factorial::Apart>,
) -> Result<Plan, DeriveError> {
    let mut joint = log_joint(graph, missing)?;
    if let Some(apart) = apart {
        crate::factorial::take_apart(&mut joint, graph, missing, apart);
    }
    let parts = parts_of(&mut joint);
    let params: Vec<SymId> = graph
        .vars
        .iter()
        .filter(|v| v.role == Role::Param)
        .map(|v| v.sym)
        .collect();
    let (used, unused): (Vec<SymId>, Vec<SymId>) = params
        .into_iter()
        .partition(|&p| parts.iter().any(|part| joint.store.depends_on_sym(part.term, p)));
    let mut engine = Engine {
        joint,
        parts,
        updates: vec![],
        declined: vec![],
    };
    engine.blocks(&used);
    engine.singles(&used);
    engine.join_coupled();
    engine.predictors(&used);
    engine.gradients(&used);
    engine.refuse_rest(&used)?;
    Ok(engine.plan(unused))
}

/// The plan of a model whose parameters all have closed forms, the distributions of some latents given.
///
/// # Errors
/// The parameters that no closed form covers: all, where a statement has no rule.
pub(crate) fn closed(graph: &ModelGraph, given: &[Prescribed]) -> Result<Plan, Vec<SymId>> {
    let params = graph.vars.iter().filter(|v| v.role == Role::Param).map(|v| v.sym);
    let params: Vec<SymId> = params.collect();
    let Ok(mut joint) = log_joint_under(graph, &Missing::default(), given) else {
        return Err(params);
    };
    let parts = parts_of(&mut joint);
    let mut engine = Engine {
        joint,
        parts,
        updates: vec![],
        declined: vec![],
    };
    engine.blocks(&params);
    engine.singles(&params);
    engine.join_coupled();
    let open: Vec<SymId> = params.iter().copied().filter(|&p| !engine.done(p)).collect();
    if open.is_empty() {
        Ok(engine.plan(vec![]))
    } else {
        Err(open)
    }
}

struct Engine {
    joint: LogJoint,
    parts: Vec<Part>,
    updates: Vec<Update>,
    declined: Vec<(SymId, Vec<(&'static str, Decline)>)>,
}

impl Engine {
    fn store(&mut self) -> &mut Store {
        &mut self.joint.store
    }

    fn done(&self, p: SymId) -> bool {
        self.updates.iter().any(|u| self.targets(u).contains(&p))
    }

    fn targets(&self, u: &Update) -> BTreeSet<SymId> {
        u.targets
            .iter()
            .filter_map(|&t| self.joint.store.as_symbol(t).map(|(s, _)| s))
            .collect()
    }

    fn declines(&mut self, p: SymId, rule: &'static str, why: Decline) {
        match self.declined.iter_mut().find(|d| d.0 == p) {
            Some(d) => d.1.push((rule, why)),
            None => self.declined.push((p, vec![(rule, why)])),
        }
    }

    fn common(&mut self, syms: &[SymId]) -> Result<(Vec<Unknown>, Vec<Occurrence>), Decline> {
        occurrences(&mut self.joint.store, &self.joint.finite, &self.parts, syms)
            .map_err(|(why, span)| Decline::at(why, span))
    }

    /// Unconstrained parameters, in the largest blocks that are affine together; else one by one.
    fn blocks(&mut self, used: &[SymId]) {
        let real: Vec<SymId> = used
            .iter()
            .copied()
            .filter(|&p| self.joint.store.sym(p).support == Support::Real)
            .collect();
        for group in self.groups(&real) {
            if group.len() > 1 && self.try_block(&group).is_ok() {
                continue;
            }
            // those that have the rule alone, together; then those that share their indices, then each alone
            let alone: Vec<SymId> = group.iter().copied().filter(|&p| self.block_of(&[p]).is_ok()).collect();
            let together = 1 < alone.len() && alone.len() < group.len() && self.try_block(&alone).is_ok();
            let mut by_family: Vec<Vec<SymId>> = vec![];
            for &p in group.iter().filter(|p| !(together && alone.contains(p))) {
                let fits = by_family
                    .iter_mut()
                    .find(|g| self.joint.store.sym(g[0]).family == self.joint.store.sym(p).family);
                match fits {
                    Some(g) => g.push(p),
                    None => by_family.push(vec![p]),
                }
            }
            for g in by_family {
                if g.len() == group.len() || self.try_block(&g).is_err() {
                    for &p in &g {
                        if let Err(why) = self.try_block(&[p]) {
                            self.declines(p, quadratic::NAME, why);
                        }
                    }
                }
            }
        }
    }

    fn try_block(&mut self, group: &[SymId]) -> Result<(), Decline> {
        let update = self.block_of(group)?;
        self.updates.push(update);
        Ok(())
    }

    /// As a whole, or else element by element where sums over elements stand (outputs that are not all observed).
    fn block_of(&mut self, group: &[SymId]) -> Result<Update, Decline> {
        match self.block_in(group, false) {
            Ok(update) => Ok(update),
            Err(why) if self.joint.masks.is_empty() => Err(why),
            Err(why) => self.block_in(group, true).map_err(|_| why),
        }
    }

    fn block_in(&mut self, group: &[SymId], elements: bool) -> Result<Update, Decline> {
        let found = occurrences_in(&mut self.joint.store, &self.joint.finite, &self.parts, group, elements);
        let (unknowns, occurrences) = found.map_err(|(why, span)| Decline::at(why, span))?;
        let block = quadratic::Block {
            unknowns: &unknowns,
            occurrences: &occurrences,
        };
        quadratic::apply(&mut self.joint.store, &block)
    }

    /// Parameters that stand in a common addend, transitively.
    fn groups(&self, params: &[SymId]) -> Vec<Vec<SymId>> {
        let mut groups: Vec<Vec<SymId>> = params.iter().map(|&p| vec![p]).collect();
        for part in &self.parts {
            let here: Vec<SymId> = params
                .iter()
                .copied()
                .filter(|&p| self.joint.store.depends_on_sym(part.term, p))
                .collect();
            if here.len() < 2 {
                continue;
            }
            let (mut joined, rest): (Vec<_>, Vec<_>) =
                groups.into_iter().partition(|g| g.iter().any(|p| here.contains(p)));
            groups = rest;
            let mut one: Vec<SymId> = joined.drain(..).flatten().collect();
            one.sort_unstable();
            groups.push(one);
        }
        groups.sort();
        groups
    }

    fn singles(&mut self, used: &[SymId]) {
        for &p in used {
            if self.done(p) {
                continue;
            }
            let (unknowns, occurrences) = match self.common(&[p]) {
                Ok(found) => found,
                Err(why) => {
                    self.declines(p, "any", why);
                    continue;
                }
            };
            for rule in RULES {
                match (rule.apply)(self.store(), &unknowns[0], &occurrences) {
                    Ok(update) => {
                        self.updates.push(update);
                        break;
                    }
                    Err(why) => self.declines(p, rule.name, why),
                }
            }
        }
    }

    /// A Newton unknown and the scalar unknowns that it depends on move together: shape and rate of a Gamma.
    fn join_coupled(&mut self) {
        let mut at = 0;
        while at < self.updates.len() {
            let u = self.updates[at].clone();
            if u.rule == newton::NAME
                && let Some((update, gone)) = self.joined(&u)
            {
                self.updates[at] = update;
                self.updates.retain(|v| {
                    !gone
                        .iter()
                        .any(|g| self.joint.store.as_symbol(v.targets[0]).is_some_and(|(s, _)| s == *g))
                        || v.targets.len() > 1
                });
                at = 0;
                continue;
            }
            at += 1;
        }
    }

    fn joined(&mut self, u: &Update) -> Option<(Update, Vec<SymId>)> {
        let mut syms: Vec<SymId> = self.targets(u).into_iter().collect();
        let before = syms.len();
        for v in self.updates.clone() {
            let other = self.targets(&v);
            let scalar_rule = v.rule == newton::NAME || v.rule == rules::power::NAME;
            let coupled = u.uses.iter().any(|x| other.contains(x)) && v.uses.iter().any(|x| syms.contains(x));
            if scalar_rule && coupled && other.iter().all(|x| !syms.contains(x)) {
                syms.extend(other);
            }
        }
        if syms.len() == before || syms.len() > 3 {
            return None;
        }
        let (unknowns, occurrences) = self.common(&syms).ok()?;
        let update = newton::apply_joint(&mut self.joint.store, &unknowns, &occurrences).ok()?;
        Some((update, syms[before..].to_vec()))
    }

    /// What no closed form took: predictors of smooth functions.
    fn predictors(&mut self, used: &[SymId]) {
        let left: Vec<SymId> = used.iter().copied().filter(|&p| !self.done(p)).collect();
        for group in self.groups(&left) {
            let plain = std::mem::take(&mut self.parts);
            self.parts = parts_with(&mut self.joint, &group);
            let found = self.common(&group);
            self.parts = plain;
            let update = found.and_then(|(unknowns, occ)| predictor::apply(&mut self.joint.store, &unknowns, &occ));
            match update {
                Ok(update) => self.updates.push(update),
                Err(why) => group
                    .iter()
                    .for_each(|&p| self.declines(p, predictor::NAME, why.clone())),
            }
        }
    }

    /// What is left moves along its gradient, together where it stands together.
    fn gradients(&mut self, used: &[SymId]) {
        let left: Vec<SymId> = used.iter().copied().filter(|&p| !self.done(p)).collect();
        for group in self.groups(&left) {
            let found = whole_occurrences(&mut self.joint.store, &self.joint.finite, &self.parts, &group)
                .map_err(|(why, span)| Decline::at(why, span));
            match found.and_then(|occ| gradient::apply(&mut self.joint.store, &group, &occ)) {
                Ok(update) => self.updates.push(update),
                Err(why) => group
                    .iter()
                    .for_each(|&p| self.declines(p, gradient::NAME, why.clone())),
            }
        }
    }

    fn refuse_rest(&self, used: &[SymId]) -> Result<(), DeriveError> {
        let Some(&p) = used.iter().find(|&&p| !self.done(p)) else {
            return Ok(());
        };
        let name = self.joint.store.sym(p).name.clone();
        let reasons = self
            .declined
            .iter()
            .find(|d| d.0 == p)
            .map(|d| d.1.clone())
            .unwrap_or_default();
        let span = reasons.iter().rev().find_map(|(_, d)| d.span).or_else(|| {
            self.parts
                .iter()
                .find(|q| self.joint.store.depends_on_sym(q.term, p))
                .map(|q| q.span)
        });
        let width = reasons.iter().map(|r| r.0.len()).max().unwrap_or(0);
        let tried: Vec<String> = reasons
            .iter()
            .map(|(rule, d)| format!("tried  {rule:width$}  declined: {}", d.reason))
            .collect();
        let reason = reasons
            .last()
            .map_or("no rule reads it".to_owned(), |r| r.1.reason.clone());
        Err(DeriveError::NoUpdate {
            help: format!(
                "{}\nfix it to a number with `const {name} = …`, or write the statement so that `{name}` is a mean, an \
                 affine coefficient, a rate, a probability or a variance",
                tried.join("\n")
            ),
            name,
            reason,
            span: span.unwrap_or_else(Span::default),
        })
    }

    fn plan(mut self, unused: Vec<SymId>) -> Plan {
        self.order();
        let (chains, cliques) = crate::factorial::cliques(&mut self.joint);
        let remarks = self.remarks();
        let bound = crate::posterior::structured::is_bound(&self.joint) || chains.iter().any(|c| !c.shared.is_empty());
        let objective = match (bound, !self.joint.priors.is_empty()) {
            (true, penalised) => ObjectiveKind::Bound { penalised },
            (false, true) => ObjectiveKind::Penalised,
            (false, false) => ObjectiveKind::LogLikelihood,
        };
        let rotations = crate::symmetry::rotations(
            &mut self.joint.store,
            &self.joint.posteriors,
            &self.joint.complete,
            &self.joint.priors,
        );
        let labels = crate::labels::exchangeable(
            &mut self.joint.store,
            &crate::labels::Joint {
                finite: &self.joint.finite,
                factors: &self.joint.complete,
                priors: &self.joint.priors,
            },
        );
        let mut plan = Plan {
            rotations,
            labels,
            store: self.joint.store,
            finite: self.joint.finite,
            complete: self.joint.complete,
            factors: self.joint.factors,
            expected: self.joint.expected,
            definitions: self.joint.definitions,
            posteriors: self.joint.posteriors,
            group_posteriors: self.joint.group_posteriors,
            shared: self.joint.shared,
            masks: self.joint.masks,
            gaps: self.joint.gaps,
            imputed: self.joint.imputed,
            priors: self.joint.priors,
            cliques,
            chains,
            gaussian_chain: self.joint.gaussian_chain,
            updates: self.updates,
            unused,
            objective,
            steps: vec![],
            remarks,
        };
        plan.steps = crate::steps::steps(&mut plan, &self.joint.written);
        plan
    }

    /// Locations and coefficients first, then what is computed from residuals around them.
    fn order(&mut self) {
        let rank = |u: &Update| match (&u.solution, u.rule) {
            (_, rules::simplex::NAME) => 0,
            (solution, _) if solution.is_step() => 3,
            (_, quadratic::NAME | quadratic::LEAST_SQUARES) => 1,
            _ => 2,
        };
        self.updates.sort_by_key(|u| (rank(u), u.targets[0]));
    }

    fn remarks(&self) -> Vec<Declined> {
        let taken = |p: SymId| {
            self.updates
                .iter()
                .find(|u| self.targets(u).contains(&p))
                .map(|u| u.rule)
        };
        self.declined
            .iter()
            .map(|(p, reasons)| Declined {
                param: *p,
                reasons: reasons.iter().map(|(rule, d)| (*rule, d.reason.clone())).collect(),
                taken: taken(*p),
            })
            .collect()
    }
}

/// True where one pass over the updates does not reach the maximum of Q: some update mentions a parameter that changes
/// after it.
#[must_use]
pub fn iterated(plan: &Plan) -> bool {
    let target = |u: &Update| -> BTreeSet<SymId> {
        u.targets
            .iter()
            .filter_map(|&t| plan.store.as_symbol(t).map(|(s, _)| s))
            .collect()
    };
    plan.updates.iter().enumerate().any(|(i, u)| {
        !u.solution.is_step()
            && plan.updates[i + 1..]
                .iter()
                .any(|v| target(v).iter().any(|x| u.uses.contains(x)))
    })
}

/// The number of statistics' sums over rows in an update, for `check`.
#[must_use]
pub fn row_sums(plan: &Plan, u: &Update) -> usize {
    let terms: Vec<_> = match &u.solution {
        Solution::Explicit(values) => values.clone(),
        Solution::Linear { h, g, .. } => vec![*h, *g],
        Solution::Newton { parts } => parts.iter().map(|p| p.0).collect(),
        Solution::Ascent { .. } | Solution::Gradient { .. } => vec![],
    };
    let mut sums = BTreeSet::new();
    for t in terms {
        sums.extend(
            plan.store
                .subterms(t)
                .into_iter()
                .filter(|&x| matches!(plan.store.node(x), Node::RowSum(_))),
        );
    }
    sums.len()
}
