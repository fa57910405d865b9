//! Update plan and sizes to a loop program. Needs sizes, never data.
//!
//! `context` knows where symbols lie; `form` reads linear forms; `stats` lays out statistics; `potentials` and `estep`
//! write the E-step; `rowexpr` writes any other row term; `flat` and `jobs` write `prepare`; `update` and `newton` write
//! the M-step.

mod ascent;
mod chain;
mod context;
mod define;
mod estep;
mod factorial;
mod flat;
mod form;
mod gradient;
mod grouped;
mod jobs;
mod kalman;
mod masked;
mod newton;
mod potentials;
mod rowexpr;
mod rowroot;
mod settle;
mod slots;
mod stats;
mod step;
mod structured;
mod update;

pub use context::Sizes;
pub use define::START_SPREAD;

use crate::builder::{FuncBuilder, ProgramBuilder};
use crate::ir::{BufId, BufKind, FuncKind, Index, Kernel};
use crate::lowered::{AscentSlot, Lowered};
use context::{Fixed, Lower, bug};
use estep::{EStep, Ends};
use lvmc_base::Bug;
use lvmc_derive::Plan;
use lvmc_derive::plan::{Prior, Solution, Update};
use lvmc_model::ModelGraph;
use lvmc_term::{SymId, Term};
use rowexpr::RowScope;
use stats::{Set, SetKind};
use std::collections::{BTreeSet, HashMap};
use step::StepCode;

/// Variances are kept above this share of the data's own: a constraint of the M-step.
pub const RELATIVE_FLOOR: f64 = 1e-8;

/// Lowers a plan for given sizes.
///
/// # Errors
/// A [`Bug`] where the plan holds something that lowering does not know.
pub fn lower(graph: &ModelGraph, plan: &Plan, sizes: &Sizes) -> Result<Lowered, Bug> {
    let used = used_symbols(plan);
    let widest = widest_variable(graph, plan, sizes, &used);
    let mut pb = ProgramBuilder::new(&graph.name, lvmc_kernels::block::block_rows(widest));
    let mut l = start(plan, sizes, &mut pb);
    let params = l.add_params(&mut pb, graph);
    let consts = l.add_consts(&mut pb, graph);
    l.add_columns(&mut pb, &used);
    l.add_definitions(&mut pb);
    let latents = l.latent_slots(&mut pb);
    let starts = l.score_slots(&mut pb);
    let moments = l.moment_slots(&mut pb, &plan.posteriors);
    let imputed = l.moment_slots(&mut pb, &plan.imputed);
    let updates = l.settled();
    l.add_chains(&mut pb, &updates);
    l.add_gaussian_chain(&mut pb, &starts);
    l.add_mean_field(&mut pb, &starts);
    let chained = !l.chains.is_empty() || plan.gaussian_chain.is_some();
    let terms = statistic_terms(&updates);
    l.plan_statistics(&mut pb, &terms);
    let defined = l.defined_terms();
    l.plan_groups(&mut pb, &defined);
    let alpha = updates
        .iter()
        .any(|u| u.solution.is_step())
        .then(|| pb.buffer("alpha", BufKind::Input, 1));

    let marginals: Vec<(SymId, BufId, usize)> = latents.iter().map(|s| (s.sym, s.marginal, s.size)).collect();
    let mut code: Option<(EStep, Vec<StepCode>)> = None;
    for (name, masked) in [("sweep", false), ("sweep_w", true)] {
        l.masked = masked;
        pb.func(name, FuncKind::Block, |b| {
            let (e, ascents) = code.get_or_insert_with(|| {
                let e = l.plan_e_step(b);
                let ascents = updates.iter().filter_map(|u| l.plan_step(b, u)).collect();
                (e, ascents)
            });
            l.define_rows(b, &[]);
            if chained {
                l.chain_weights(b, e);
            } else {
                l.e_step(b, e, Ends::Objective);
            }
            l.accumulate_statistics(b);
            ascents.iter().for_each(|a| l.sweep_step(b, a));
        });
    }
    let Some((mut e, ascents)) = code else {
        return Err(bug("no sweep was written", ""));
    };
    let planned = updates.iter().filter(|u| u.solution.is_step()).count();
    if ascents.len() != planned {
        return Err(bug("a predictor's design is not linear in features", ""));
    }
    if chained {
        for at in 0..l.chains.len().max(1) {
            for (name, masked) in [("potentials", false), ("potentials_w", true)] {
                l.masked = masked;
                pb.func(&chain::named(name, at), FuncKind::Block, |b| {
                    l.define_rows(b, &[]);
                    l.chain_potentials(b, &mut e, Ends::Objective, at);
                    l.gaussian_chain_rows(b);
                });
            }
        }
    }
    if l.mean_field.is_some() {
        l.masked = false;
        pb.func("offsets", FuncKind::Block, |b| {
            l.define_rows(b, &[]);
            l.mean_field_rows(b);
        });
        pb.func("weights", FuncKind::Block, |b| {
            l.define_rows(b, &[]);
            l.chain_weights(b, &mut e);
            l.mean_field_weights(b);
        });
        pb.func("weights_seed", FuncKind::Block, |b| {
            l.seed_weights(b, &marginals);
            l.stored_chains(b);
            l.mean_field_weights(b);
        });
    }
    if !marginals.is_empty() || !starts.is_empty() {
        for (name, masked) in [("seed", false), ("seed_w", true)] {
            l.masked = masked;
            pb.func(name, FuncKind::Block, |b| {
                l.define_rows(b, &starts);
                l.seed_weights(b, &marginals);
                l.stored_chains(b);
                l.accumulate_statistics(b);
                ascents.iter().for_each(|a| l.sweep_step(b, a));
            });
        }
    }
    l.masked = false;
    pb.func("score", FuncKind::Block, |b| {
        l.zero_columns(b, l.fixed.row_score, 1);
        l.define_rows(b, &[]);
        if chained {
            l.chain_potentials(b, &mut e, Ends::Score, 0);
            l.gaussian_chain_rows(b);
        } else {
            l.e_step(b, &mut e, Ends::Score);
            l.write_posteriors(b, (&moments, &imputed), &marginals);
        }
    });
    for at in 1..l.chains.len() {
        pb.func(&chain::named("score", at), FuncKind::Block, |b| {
            l.define_rows(b, &[]);
            l.chain_potentials(b, &mut e, Ends::Score, at);
        });
    }
    if chained {
        pb.func("posterior", FuncKind::Block, |b| {
            l.define_rows(b, &[]);
            l.chain_weights(b, &mut e);
            l.write_posteriors(b, (&moments, &imputed), &marginals);
        });
    }
    pb.func("features", FuncKind::Block, |b| l.write_features(b, &e.data_only));
    pb.func("finish", FuncKind::Chunk, |b| {
        l.fold_statistics(b);
        ascents.iter().for_each(|a| l.finish_step(b, a));
    });
    pb.func("update", FuncKind::Once, |b| {
        let zero = b.num(0.0);
        b.store(l.fixed.floors.at(0), zero);
        l.fold_transitions(b);
        ascents.iter().for_each(|a| l.keep_before(b, a.moving()));
        for u in &updates {
            l.write_update(b, u);
        }
        ascents.iter().for_each(|a| l.update_step(b, a));
    });
    if let Some(alpha) = alpha {
        pb.func("backtrack", FuncKind::Once, |b| {
            ascents.iter().for_each(|a| l.backtrack(b, a.moving(), alpha))
        });
    }
    pb.func("prepare", FuncKind::Once, |b| {
        let zero = b.num(0.0);
        b.store(l.fixed.failures.at(0), zero);
        l.do_jobs(b);
        l.write_log_densities(b);
    });

    let columns = l.column_slots(graph);
    let fixed = l.fixed;
    let ascent = ascents
        .iter()
        .map(|a| AscentSlot {
            names: a.moving().old.iter().map(|o| l.s.sym(o.0).name.clone()).collect(),
        })
        .collect();
    let rotations = l.rotation_slots(&params);
    let labels = l.label_slots(&params, &latents);
    let groups = l.group_slots();
    let spreads = plan.definitions.iter().filter(|d| d.spread);
    let spreads = spreads.filter_map(|d| l.flat.get(&d.sym).copied()).collect();
    Ok(Lowered {
        program: pb.finish(),
        params,
        columns,
        consts,
        weight: fixed.weight,
        chains: l.chain_slots(&latents),
        gaussian_chain: l.gaussian_chain.as_ref().map(|g| g.scan.clone()),
        mean_field: l.mean_field.as_ref().map(|g| g.scan.clone()),
        bound: plan.factorisation(),
        latents,
        rotations,
        labels,
        starts,
        spreads,
        moments,
        imputed,
        row_score: fixed.row_score,
        objective: fixed.objective,
        constant: fixed.constant,
        log_prior: fixed.log_prior,
        log_shared: fixed.log_shared,
        groups,
        settings: fixed.settings,
        floors: fixed.floors,
        failures: fixed.failures,
        ascent,
        alpha,
        iterated: lvmc_derive::iterated(plan),
        penalised: plan.objective.is_penalised(),
    })
}

fn start<'a>(plan: &'a Plan, sizes: &'a Sizes, pb: &mut ProgramBuilder) -> Lower<'a> {
    let fixed = Fixed {
        weight: pb.buffer("weight", BufKind::Column, 1),
        objective: pb.buffer("objective", BufKind::Stat, 1),
        constant: pb.buffer("constant", BufKind::Stat, 1),
        log_prior: pb.buffer("log.prior", BufKind::Table, 1),
        log_shared: pb.buffer("log.shared", BufKind::Table, 1),
        settings: pb.buffer("settings", BufKind::Input, 2),
        floors: pb.buffer("floors", BufKind::Table, 1),
        failures: pb.buffer("failures", BufKind::Table, 1),
        row_score: pb.buffer("score", BufKind::Out, 1),
    };
    Lower {
        plan,
        s: plan.store.clone(),
        sizes,
        flat: HashMap::new(),
        columns: HashMap::new(),
        temps: HashMap::new(),
        defined: BTreeSet::new(),
        configured: false,
        centres: vec![],
        own: None,
        pool: None,
        pools: vec![],
        features: vec![],
        fixed,
        stats: stats::Stats::default(),
        grouped: grouped::Grouped::default(),
        jobs: vec![],
        weights: HashMap::new(),
        chains: vec![],
        gaussian_chain: None,
        mean_field: None,
        early: false,
        masked: false,
    }
}

/// Every symbol that a factor, prior or update mentions.
fn used_symbols(plan: &Plan) -> Vec<SymId> {
    let mut used: BTreeSet<SymId> = BTreeSet::new();
    for f in plan.factors.iter().chain(&plan.complete) {
        for c in &f.cases {
            used.extend(plan.store.symbols(c.term));
        }
    }
    for d in &plan.definitions {
        used.extend(d.value.term().iter().flat_map(|&t| plan.store.symbols(t)));
    }
    for p in &plan.priors {
        used.extend(plan.store.symbols(p.term));
    }
    for f in &plan.finite {
        if f.observed {
            used.insert(f.sym);
        }
    }
    used.extend(plan.masks.iter().map(|m| m.sym));
    used.into_iter().collect()
}

fn widest_variable(_graph: &ModelGraph, plan: &Plan, sizes: &Sizes, used: &[SymId]) -> usize {
    let number = |n: &lvmc_term::Size| match n {
        lvmc_term::Size::Const(n) => *n,
        lvmc_term::Size::Dim(d) => sizes.get(d).copied().unwrap_or(1),
        lvmc_term::Size::Sum(_) => 1,
    };
    used.iter()
        .map(|&x| plan.store.sym(x))
        .filter(|s| s.per_row)
        .map(|s| s.shape.iter().map(number).product::<usize>())
        .max()
        .unwrap_or(1)
}

/// The terms whose row sums a sweep must accumulate.
fn statistic_terms(updates: &[Update]) -> Vec<Term> {
    updates
        .iter()
        .flat_map(|u| match &u.solution {
            Solution::Explicit(values) => values.clone(),
            Solution::Linear { h, g, .. } => vec![*h, *g],
            Solution::Newton { parts } => parts.iter().map(|p| p.0).collect(),
            Solution::Ascent { .. } | Solution::Gradient { .. } => vec![],
        })
        .collect()
}

impl Lower<'_> {
    /// Posteriors of the latents, where the runtime reads them.
    fn write_posteriors(
        &mut self,
        b: &mut FuncBuilder<'_>,
        (moments, imputed): (&[crate::lowered::MomentSlot], &[crate::lowered::MomentSlot]),
        marginals: &[(SymId, BufId, usize)],
    ) {
        self.write_moments(b, &self.plan.posteriors, moments);
        self.write_moments(b, &self.plan.imputed, imputed);
        for &(sym, out, n) in marginals {
            let w = self.weights_for(b, &[sym]);
            b.for_(n, |b, i| {
                b.rows(|b| {
                    let v = b.load_row(w.col(i));
                    b.store_row(out.col(i), v);
                });
            });
        }
    }

    /// The statistics' part of a sweep.
    fn accumulate_statistics(&mut self, b: &mut FuncBuilder<'_>) {
        for set in self.stats.sets.clone() {
            if matches!(set.kind, SetKind::Transitions(_)) {
                continue;
            }
            let table = (!set.resp.is_empty()).then(|| self.weights_for(b, &set.resp));
            let table = match set.by {
                Some(by) => Some(self.weighted_by(b, table, by, &set)),
                None => table,
            };
            match &set.kind {
                SetKind::Second(inputs) | SetKind::Squares(inputs) => {
                    let diagonal = matches!(set.kind, SetKind::Squares(_));
                    let len = crate::lens::syrk_len(inputs.cols, diagonal);
                    let Some(acc) = set.acc else { continue };
                    if inputs.differ() {
                        self.each_config(b, &set.clone(), &mut |l, b, scope, at, weight| {
                            let x = inputs.adjacent_at(b, &scope.env);
                            b.kernel(Kernel::Syrk {
                                x,
                                inputs: inputs.cols,
                                w: l.weight_column(table, weight.clone()),
                                acc: acc.at(at.clone() * len),
                                diagonal,
                            });
                        });
                        continue;
                    }
                    let x = inputs.adjacent(b);
                    b.for_(set.configs, |b, k| {
                        let w = self.weight_column(table, k.into());
                        let kernel = Kernel::Syrk {
                            x: x.clone(),
                            inputs: inputs.cols,
                            w,
                            acc: acc.at(k * len),
                            diagonal,
                        };
                        b.kernel(kernel);
                    });
                }
                SetKind::First(inputs) if inputs.differ() => {
                    let Some(acc) = set.acc else { continue };
                    let ones = self.ones(b);
                    self.each_config(b, &set.clone(), &mut |l, b, scope, at, weight| {
                        let x = inputs.adjacent_at(b, &scope.env);
                        let w = l.weight_column(table, weight.clone()).unwrap_or_else(|| ones.col(0));
                        b.kernel(Kernel::Moments {
                            x,
                            inputs: inputs.cols,
                            w,
                            weights: 1,
                            acc: acc.at(at.clone() * (1 + inputs.cols)),
                        });
                    });
                }
                SetKind::First(inputs) => {
                    let x = inputs.adjacent(b);
                    let Some(acc) = set.acc else { continue };
                    let w = table.unwrap_or_else(|| self.ones(b)).col(0);
                    let kernel = Kernel::Moments {
                        x,
                        inputs: inputs.cols,
                        w,
                        weights: set.configs,
                        acc: acc.at(0),
                    };
                    b.kernel(kernel);
                }
                SetKind::Codes(code, values) => {
                    let Some(c) = self.columns.get(code).copied() else {
                        continue;
                    };
                    let w = table.unwrap_or_else(|| self.ones(b)).col(0);
                    let kernel = Kernel::Scatter {
                        code: c.buf.col(0),
                        values: *values,
                        w,
                        entries: set.configs,
                        acc: set.out.at(0),
                    };
                    b.kernel(kernel);
                }
                SetKind::Masked(m) => self.accumulate_masked(b, &set, m, table),
                SetKind::Direct(body, values) => self.direct(b, &set, *body, values, table),
                SetKind::Transitions(_) => {}
            }
        }
    }

    /// Posterior weights (1 where there are none) times a feature.
    fn weighted_by(&mut self, b: &mut FuncBuilder<'_>, table: Option<BufId>, by: Term, set: &Set) -> BufId {
        let configs = self.configs_of(&set.resp);
        let out = b.buffer("weights", BufKind::Temp, configs);
        let alone = Set {
            over: vec![],
            ..set.clone()
        };
        self.each_config(b, &alone, &mut |l, b, scope, at, _| {
            let mut rows = RowScope {
                flat: scope.clone(),
                ..RowScope::default()
            };
            l.ensure_row(b, &mut rows, by);
            let w = l.weight_column(table, at.clone());
            b.rows(|b| {
                let mut v = l.row_elem(b, &mut rows, by, &[]);
                if let Some(w) = w {
                    let w = b.load_row(w);
                    v = b.mul(w, v);
                }
                b.store_row(out.col(at.clone()), v);
            });
        });
        out
    }

    /// Loops over a set's configurations, their indices bound: with the configuration, and that of the weights.
    pub fn each_config(
        &mut self,
        b: &mut FuncBuilder<'_>,
        set: &Set,
        f: &mut dyn FnMut(&mut Self, &mut FuncBuilder<'_>, &mut context::Scope, &Index, &Index),
    ) {
        let ixs: Vec<lvmc_term::IxId> = set
            .resp
            .iter()
            .filter_map(|&x| self.finite_of(x))
            .map(|v| self.plan.finite[v].ix)
            .collect();
        self.nest(
            b,
            &ixs,
            context::Scope::default(),
            Index::default(),
            &mut |l, b, scope, weight| {
                l.nest(b, &set.over, scope.clone(), weight.clone(), &mut |l, b, scope, at| {
                    f(l, b, scope, at, weight);
                });
            },
        );
    }

    /// A column of row weights (1 where the function is not masked).
    pub fn ones(&mut self, b: &mut FuncBuilder<'_>) -> BufId {
        if self.masked {
            return self.fixed.weight;
        }
        let ones = b.buffer("ones", BufKind::Temp, 1);
        b.rows(|b| {
            let one = b.num(1.0);
            b.store_row(ones.col(0), one);
        });
        ones
    }

    fn direct(&mut self, b: &mut FuncBuilder<'_>, set: &Set, body: Term, values: &[Term], table: Option<BufId>) {
        let ixs: Vec<lvmc_term::IxId> = values
            .iter()
            .zip(&set.resp)
            .map(|(&v, &x)| match self.s.node(v) {
                lvmc_term::Node::Ix(i) => *i,
                _ => self.plan.finite[self.finite_of(x).unwrap_or(0)].ix,
            })
            .collect();
        let dims = self.dims_of(body);
        let stride = set.stride;
        let out = set.out;
        self.nest(
            b,
            &ixs,
            context::Scope::default(),
            Index::default(),
            &mut |l, b, scope, at| {
                let mut rows = RowScope {
                    flat: scope.clone(),
                    ..RowScope::default()
                };
                let weight = l.weight_column(table, at.clone());
                l.nest(b, &set.over, rows.flat.clone(), at.clone(), &mut |l, b, scope, at| {
                    rows.flat = scope.clone();
                    rows.made.clear();
                    l.ensure_row(b, &mut rows, body);
                    context::each(b, &dims.clone(), &mut |b, i| {
                        b.rows(|b| {
                            let mut v = l.row_elem(b, &mut rows, body, i);
                            if let Some(w) = &weight {
                                let w = b.load_row(w.clone());
                                v = b.mul(w, v);
                            }
                            b.reduce(out.at(at.clone() * stride + Index::row_major(i, &dims)), v);
                        });
                    });
                });
            },
        );
    }

    fn fold_statistics(&mut self, b: &mut FuncBuilder<'_>) {
        for set in self.stats.sets.clone() {
            let Some(acc) = set.acc else { continue };
            match &set.kind {
                SetKind::Second(inputs) | SetKind::Squares(inputs) => {
                    let diagonal = matches!(set.kind, SetKind::Squares(_));
                    let len = crate::lens::syrk_len(inputs.cols, diagonal);
                    b.for_(set.configs, |b, k| {
                        let (acc, out) = (acc.at(k * len), set.out.at(k * set.stride));
                        b.kernel(Kernel::SyrkFold {
                            acc,
                            inputs: inputs.cols,
                            out,
                            diagonal,
                        });
                    });
                }
                SetKind::First(inputs) => {
                    let (acc, out) = (acc.at(0), set.out.at(0));
                    b.kernel(Kernel::MomentsFold {
                        acc,
                        inputs: inputs.cols,
                        weights: set.configs,
                        out,
                    });
                }
                SetKind::Masked(m) => self.fold_masked(b, &set, m, acc),
                SetKind::Codes(..) | SetKind::Direct(..) | SetKind::Transitions(_) => {}
            }
        }
    }

    /// Derived features, and the data-only part of the log density.
    fn write_features(&mut self, b: &mut FuncBuilder<'_>, data_only: &[Term]) {
        self.masked = true;
        for f in self.features.clone() {
            if f.derived {
                let mut scope = RowScope::default();
                self.copy_row(b, &mut scope, f.term, f.buf);
            }
        }
        self.early = true;
        self.accumulate_groups(b);
        self.early = false;
        let sum = self.s.sum(data_only);
        let mut scope = RowScope::default();
        self.ensure_row(b, &mut scope, sum);
        let fixed = self.fixed;
        b.rows(|b| {
            let (v, w) = (self.row_elem(b, &mut scope, sum, &[]), b.load_row(fixed.weight.col(0)));
            let v = b.mul(w, v);
            b.reduce(fixed.constant.at(0), v);
        });
        self.masked = false;
    }

    fn write_log_densities(&mut self, b: &mut FuncBuilder<'_>) {
        let (priors, shared) = (self.plan.priors.clone(), self.plan.shared.marginal.clone());
        self.write_log_density(b, &priors, self.fixed.log_prior);
        self.write_log_density(b, &shared, self.fixed.log_shared);
    }

    fn write_log_density(&mut self, b: &mut FuncBuilder<'_>, list: &[Prior], out: BufId) {
        let zero = b.num(0.0);
        b.store(out.at(0), zero);
        for p in list {
            self.nest(
                b,
                &p.ranges,
                context::Scope::default(),
                Index::default(),
                &mut |l, b, scope, _| {
                    l.ensure(b, scope, p.term);
                    let v = l.elem(b, scope, p.term, &[]);
                    b.accum(out.at(0), v);
                },
            );
        }
    }
}
