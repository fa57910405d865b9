//! The scan of a chain of finite states: its tables in `prepare`, its potentials and posteriors around the scan itself.
//!
//! An iteration of a chain has three parts: `potentials` writes every row's log potential of its state (other latents of the
//! row summed out), [`crate::scan`] turns them into posteriors, and the sweep reads these as weights.

use super::context::{Lower, NewBuffer};
use super::estep::{CliqueCode, EStep, Ends};
use super::jobs::{Job, What};
use super::stats::{Set, SetKind};
use crate::builder::{FuncBuilder, ProgramBuilder};
use crate::ir::{BufId, BufKind, Index};
use crate::lowered::{ChainSlot, LatentSlot, StateVar};
use crate::scan::ForwardBackward;
use lvmc_derive::plan::{Chain, Solution, Update};
use lvmc_model::graph::When;
use lvmc_term::{IxId, Node, SymId, Term};

/// Potentials of the state of a row, and of it with the row before's where they differ from row to row.
#[derive(Debug, Clone)]
pub struct ChainCode {
    state: CliqueCode,
    pairs: Option<CliqueCode>,
    /// Factors in which other chains stand.
    shared: Vec<super::factorial::Shared>,
}

/// Buffers of a chain.
#[derive(Debug, Clone)]
pub struct ChainBuffers {
    /// The scan.
    pub scan: ForwardBackward,
    /// Its variables: those of the row before, then the state's.
    pub axes: Vec<usize>,
    /// What of the state's (and of the pairs') potentials later chains count too.
    pub early: [Option<BufId>; 2],
}

/// The name of a function of a chain.
pub fn named(name: &str, chain: usize) -> String {
    match (chain, name.strip_suffix("_w")) {
        (0, _) => name.to_owned(),
        (m, Some(plain)) => format!("{plain}.{m}_w"),
        (m, None) => format!("{name}.{m}"),
    }
}

impl Lower<'_> {
    /// Buffers and tables of the plan's chains.
    pub fn add_chains(&mut self, pb: &mut ProgramBuilder, updates: &[Update]) {
        for (at, chain) in self.plan.chains.clone().iter().enumerate() {
            let axes = chain.axes();
            let (states, pairs) = (self.configs_over(&chain.state), self.configs_over(&axes));
            let needed = self.pairs_needed(chain, updates);
            let prefix = named("chain", at);
            let initial = self.chain_table(pb, chain, &chain.state.clone(), 0, &prefix);
            let alone = chain.previous.is_empty();
            let tables: Vec<BufId> = if alone {
                // rows know nothing of each other: every transition is as likely as any other
                vec![pb.buffer(&format!("{prefix}.table1"), BufKind::Table, states * states)]
            } else {
                let regimes = 1..=chain.regimes;
                regimes
                    .map(|p| self.chain_table(pb, chain, &axes, p, &prefix))
                    .collect()
            };
            let edges = if alone {
                (0..states * states).map(|e| (e / states, e % states)).collect()
            } else {
                self.edges(chain, &axes)
            };
            let counts = tables.len() * edges.len();
            let out =
                |pb: &mut ProgramBuilder, name: &str, cols| pb.buffer(&format!("{prefix}.{name}"), BufKind::Out, cols);
            let scan = ForwardBackward {
                states,
                edges,
                rows: out(pb, "state", states),
                pairs: needed.then(|| out(pb, "pairs", pairs)),
                initial,
                counts: pb.buffer(&format!("{prefix}.counts"), BufKind::Input, counts),
                tables,
                row_score: self.fixed.row_score,
            };
            let [near, far] = self.early(at);
            let early = [
                near.then(|| out(pb, "early", states)),
                far.then(|| out(pb, "early.pairs", pairs)),
            ];
            self.chains.push(ChainBuffers { scan, axes, early });
        }
    }

    fn chain_table(
        &mut self,
        pb: &mut ProgramBuilder,
        chain: &Chain,
        axes: &[usize],
        position: usize,
        prefix: &str,
    ) -> BufId {
        let plan = self.plan;
        let t = chain.table(&mut self.s, &plan.finite, &plan.factors, position);
        let ixs: Vec<IxId> = axes.iter().map(|&v| plan.finite[v].ix).collect();
        let name = if position == 0 {
            format!("{prefix}.initial")
        } else {
            format!("{prefix}.table{position}")
        };
        let out = pb.buffer(&name, BufKind::Table, self.configs_over(axes));
        self.jobs.push(Job {
            ixs,
            out,
            what: What::Term(t),
        });
        out
    }

    /// (state before, state) of every configuration of the chain's variables.
    fn edges(&self, chain: &Chain, axes: &[usize]) -> Vec<(usize, usize)> {
        let sizes: Vec<usize> = axes.iter().map(|&v| self.finite_size(v)).collect();
        let state = |values: &[usize], of: &[usize]| {
            of.iter().fold(0, |at, v| {
                let value = axes.iter().position(|w| w == v).map_or(0, |i| values[i]);
                at * self.finite_size(*v) + value
            })
        };
        (0..sizes.iter().product())
            .map(|number: usize| {
                let mut rest = number;
                let mut values = vec![0; sizes.len()];
                for (value, n) in values.iter_mut().zip(&sizes).rev() {
                    *value = rest % n;
                    rest /= n;
                }
                (state(&values, &chain.previous), state(&values, &chain.state))
            })
            .collect()
    }

    /// A row's potential of the pair differs from row to row, or something is summed over rows with the pair's weights.
    fn pairs_needed(&self, chain: &Chain, updates: &[Update]) -> bool {
        let own = chain.factors.iter().map(|&f| &self.plan.factors[f]);
        let old = |v: &usize| !chain.state.contains(v);
        let rows = own
            .into_iter()
            .any(|f| chain.looks_back(f) && !chain.is_table(&self.s, f));
        let messages = chain
            .children
            .iter()
            .any(|&c| self.plan.cliques[c].others.iter().any(old));
        let latents: Vec<SymId> = chain
            .axes()
            .iter()
            .filter(|v| old(v))
            .map(|&v| self.plan.finite[v].sym)
            .collect();
        let weighted = |t: Term| {
            self.s.subterms(t).into_iter().any(|x| match self.s.node(x) {
                Node::Resp(values) => values.iter().any(|v| latents.contains(&v.0)),
                _ => false,
            })
        };
        let sums = super::statistic_terms(updates);
        let sums = sums.into_iter().flat_map(|t| self.s.subterms(t));
        let statistics = sums
            .filter(|&t| matches!(self.s.node(t), Node::RowSum(_)))
            .any(|t| weighted(t) && self.transitions(t).is_none());
        let steps = updates.iter().any(|u| match &u.solution {
            Solution::Ascent { score, curvature, .. } => weighted(*score) || weighted(*curvature),
            Solution::Gradient { blocks } => blocks.iter().any(|b| weighted(b.score)),
            _ => false,
        });
        let shared = chain.shared.iter().any(|&f| self.far(chain, &self.plan.factors[f]));
        rows || messages || statistics || steps || shared
    }

    /// The tables whose counts a row sum adds up: `Σₙ r [where the statement holds]`, r of a pair.
    pub fn transitions(&self, t: Term) -> Option<Vec<usize>> {
        let Node::RowSum(inner) = *self.s.node(t) else {
            return None;
        };
        let first = self.s.factors(inner).into_iter().find_map(|f| match self.s.node(f) {
            Node::Resp(values) => values.first().and_then(|v| self.finite_of(v.0)),
            _ => None,
        })?;
        let chain = &self.plan.chains[self.plan.chain_with(first)?];
        let (mut pair, mut when) = (false, When::From(1));
        for f in self.s.factors(inner) {
            match self.s.node(f) {
                Node::Resp(values) => {
                    let mine = |x: &SymId| chain.axes().iter().any(|&v| self.plan.finite[v].sym == *x);
                    let old = |x: &SymId| mine(x) && !chain.state.iter().any(|&v| self.plan.finite[v].sym == *x);
                    if !values.iter().all(|v| mine(&v.0)) {
                        return None;
                    }
                    pair |= values.iter().any(|v| old(&v.0));
                }
                Node::Sym(x) => when = chain.marks.iter().find(|m| m.0 == *x)?.1,
                _ => return None,
            }
        }
        let holds = |table: &usize| match when {
            When::Always => true,
            When::At(p) => table + 1 == p,
            When::From(p) => table + 1 >= p,
        };
        // the last table is that of all later positions
        let alone = !matches!(when, When::At(p) if p >= chain.regimes);
        (pair && alone).then(|| (0..chain.regimes).filter(holds).collect())
    }

    /// Reads the chains' factors.
    pub fn plan_chains(&mut self, b: &mut FuncBuilder<'_>, data_only: &mut Vec<Term>) -> Vec<ChainCode> {
        (0..self.plan.chains.len())
            .map(|at| self.plan_chain(b, data_only, at))
            .collect()
    }

    fn plan_chain(&mut self, b: &mut FuncBuilder<'_>, data_only: &mut Vec<Term>, at: usize) -> ChainCode {
        let chain = self.plan.chains[at].clone();
        let pairs = self.chains[at].scan.pairs.is_some();
        let axes = chain.axes();
        let rows: Vec<usize> = chain
            .factors
            .iter()
            .copied()
            .filter(|&f| !chain.is_table(&self.s, &self.plan.factors[f]))
            .collect();
        let (back, own): (Vec<usize>, Vec<usize>) =
            rows.iter().partition(|&&f| chain.looks_back(&self.plan.factors[f]));
        let (far, near): (Vec<usize>, Vec<usize>) = chain
            .children
            .iter()
            .partition(|&&c| self.plan.cliques[c].others.iter().any(|v| !chain.state.contains(v)));
        let mut clique = |l: &mut Self, axes: &[usize], factors: &[usize], children: &[usize]| {
            let (groups, mut data) = l.groups(b, factors, axes);
            data_only.append(&mut data);
            CliqueCode {
                axes: axes.to_vec(),
                parent: None,
                to_chain: false,
                chain: Some(at),
                groups,
                evidence: vec![],
                children: children.to_vec(),
            }
        };
        let mut state = clique(self, &chain.state, &own, &near);
        if chain.previous.is_empty() {
            let observed = chain.state.iter().copied().filter(|&v| self.plan.finite[v].observed);
            state.evidence = observed.collect();
        }
        let pairs = pairs.then(|| clique(self, &axes, &back, &far));
        let shared = self.plan_shared(b, data_only, at);
        ChainCode { state, pairs, shared }
    }

    /// The rows' log potentials of a chain; what no chain touches goes where `ends` says, from the first one's function.
    pub fn chain_potentials(&mut self, b: &mut FuncBuilder<'_>, code: &mut EStep, ends: Ends, at: usize) {
        self.weights.clear();
        if at == 0 {
            self.plain_density(b, code, ends);
        }
        let mine = |c: &CliqueCode| c.chain == Some(at) || at == 0 && c.chain.is_none();
        let (_, messages) = self.forward(b, code, ends, &mine);
        if self.chains.is_empty() {
            return;
        }
        let (chain, mut own) = (self.chains[at].clone(), code.chains[at].clone());
        let all = code.cliques.clone();
        self.fill(b, &mut own.state, &messages, &all, chain.scan.rows);
        if let (Some(pairs), Some(table)) = (&mut own.pairs, chain.scan.pairs) {
            self.fill(b, pairs, &messages, &all, table);
        }
        self.shared_potentials(b, &mut own.shared, at);
        code.chains[at] = own;
    }

    /// Posterior weights after the scan: the chain's are stored, other latents' are made from them.
    pub fn chain_weights(&mut self, b: &mut FuncBuilder<'_>, code: &mut EStep) {
        self.weights.clear();
        self.stored_chains(b);
        let (tables, _) = self.forward(b, code, Ends::Weights, &|_| true);
        self.spread_back(b, code, &tables);
    }

    /// The stored posteriors as weights.
    pub fn stored_chains(&mut self, b: &mut FuncBuilder<'_>) {
        for at in 0..self.chains.len() {
            self.stored_chain(b, at);
        }
        self.known_values(b);
    }

    /// One chain's.
    pub fn stored_chain(&mut self, b: &mut FuncBuilder<'_>, at: usize) {
        let (chain, buffers) = (self.plan.chains[at].clone(), self.chains[at].clone());
        let mut stored = vec![(buffers.scan.rows, chain.state)];
        stored.extend(buffers.scan.pairs.map(|p| (p, buffers.axes)));
        for (buf, axes) in stored {
            let table = self.weighted_copy(b, buf, self.configs_over(&axes));
            let key: Vec<SymId> = axes.iter().map(|&v| self.plan.finite[v].sym).collect();
            self.weights.insert(key, table);
        }
    }

    /// A set for the sums of some tables' counts over the other variables.
    pub fn transition_set(&mut self, pb: &mut impl NewBuffer, resp: Vec<SymId>, tables: Vec<usize>) -> Set {
        let configs = self.configs_of(&resp);
        Set {
            out: pb.new_buffer("stat.pairs", BufKind::Table, configs),
            resp,
            over: vec![],
            by: None,
            kind: SetKind::Transitions(tables),
            stride: 1,
            acc: None,
            configs,
        }
    }

    /// Sums counts for the updates: before them.
    pub fn fold_transitions(&mut self, b: &mut FuncBuilder<'_>) {
        for set in self.stats.sets.clone() {
            let SetKind::Transitions(tables) = &set.kind else {
                continue;
            };
            let own = set.resp.first().and_then(|&x| self.plan.chain_with(self.finite_of(x)?));
            let Some(chain) = own.map(|at| self.chains[at].clone()) else {
                continue;
            };
            let edges = self.configs_over(&chain.axes);
            let kept: Vec<usize> = set.resp.iter().filter_map(|&x| self.finite_of(x)).collect();
            let zero = b.num(0.0);
            b.for_(set.configs, |b, i| b.store(set.out.at(i), zero));
            let dims: Vec<usize> = chain.axes.iter().map(|&v| self.finite_size(v)).collect();
            for &table in tables {
                super::context::each(b, &dims, &mut |b, at| {
                    let from = Index::row_major(at, &dims);
                    let mut to = Index::default();
                    for &v in &kept {
                        let i = chain
                            .axes
                            .iter()
                            .position(|&w| w == v)
                            .map_or(Index::default(), |i| at[i].clone());
                        to = to * self.finite_size(v) + i;
                    }
                    let x = b.load(chain.scan.counts.at(from + table * edges));
                    b.accum(set.out.at(to), x);
                });
            }
        }
    }

    /// What the runtime is told.
    pub fn chain_slots(&self, latents: &[LatentSlot]) -> Vec<ChainSlot> {
        let slot = |(chain, buffers): (&Chain, &ChainBuffers)| {
            let state = chain.state.iter().map(|&v| StateVar {
                latent: latents.iter().position(|l| l.sym == self.plan.finite[v].sym),
                size: self.finite_size(v),
            });
            let scan = &buffers.scan;
            let near = buffers.early[0].map(|buf| (buf, scan.states, scan.rows));
            let far = buffers.early[1].zip(scan.pairs);
            ChainSlot {
                scan: scan.clone(),
                state: state.collect(),
                early: near
                    .into_iter()
                    .chain(far.map(|(buf, pairs)| (buf, scan.edges.len(), pairs)))
                    .collect(),
                shared: !chain.shared.is_empty(),
            }
        };
        self.plan.chains.iter().zip(&self.chains).map(slot).collect()
    }
}
