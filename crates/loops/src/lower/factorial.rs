//! Factors that several chains share, in the potentials of each: their expectation over q of the others
//! (`lvmc_derive::factorial` has the statement).
//!
//! A factor's groups are computed for the configurations of its own variables, this chain's first, and summed over the others
//! with their stored posteriors as weights. Of what is the same in every row the sum is a linear map of these weights.

use super::context::{Lower, each};
use super::jobs::What;
use super::potentials::Group;
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Index, Kernel};
use lvmc_derive::plan::{Chain, RowFactor};
use lvmc_term::{IxId, SymId, Term};

/// Addends of factors of one scope.
#[derive(Debug, Clone)]
pub struct Shared {
    /// This chain's variables in it.
    own: Vec<usize>,
    /// Those of the others, and known ones.
    others: Vec<usize>,
    /// It knows the row before.
    far: bool,
    /// A later chain counts it too.
    early: bool,
    groups: Vec<Group>,
    /// Tables of what is the same in every row: by group.
    flat: Vec<Option<BufId>>,
}

impl Lower<'_> {
    /// A shared factor's part of a chain knows the row before.
    pub fn far(&self, chain: &Chain, f: &RowFactor) -> bool {
        let axes = chain.axes();
        f.scope.iter().any(|v| axes.contains(v) && !chain.state.contains(v))
    }

    /// A later chain stands in a shared factor.
    fn is_early(&self, at: usize, f: &RowFactor) -> bool {
        f.scope.iter().any(|&v| self.plan.chain_with(v).is_some_and(|c| c > at))
    }

    /// Some shared factors of the state (and of the pairs) are counted by later chains too.
    pub fn early(&self, at: usize) -> [bool; 2] {
        let chain = &self.plan.chains[at];
        let early = chain.shared.iter().map(|&f| &self.plan.factors[f]);
        let early: Vec<&RowFactor> = early.filter(|f| self.is_early(at, f)).collect();
        [false, true].map(|far| early.iter().any(|f| self.far(chain, f) == far))
    }

    /// Reads the shared factors of a chain.
    pub fn plan_shared(&mut self, b: &mut FuncBuilder<'_>, data_only: &mut Vec<Term>, at: usize) -> Vec<Shared> {
        let chain = self.plan.chains[at].clone();
        let axes = chain.axes();
        let mut out = vec![];
        for &f in &chain.shared {
            let factor = self.plan.factors[f].clone();
            let (own, others): (Vec<usize>, Vec<usize>) = factor.scope.iter().partition(|v| axes.contains(v));
            let (groups, mut data) = self.groups(b, &[f], &[own.clone(), others.clone()].concat());
            if !self.is_early(at, &factor) {
                // in every chain's: counted once
                data_only.append(&mut data);
            }
            out.push(Shared {
                far: self.far(&chain, &factor),
                early: self.is_early(at, &factor),
                own,
                others,
                flat: vec![None; groups.len()],
                groups,
            });
        }
        out
    }

    /// Adds the expectations to a chain's potentials.
    pub fn shared_potentials(&mut self, b: &mut FuncBuilder<'_>, shared: &mut [Shared], at: usize) {
        if shared.is_empty() {
            return;
        }
        let (plan, buffers) = (self.plan, self.chains[at].clone());
        // log potentials are of a row as it is; weights come in with its sequence's
        let masked = std::mem::replace(&mut self.masked, false);
        self.weights.clear();
        for other in (0..self.chains.len()).filter(|&c| c != at) {
            let stands = |s: &Shared| s.others.iter().any(|&v| plan.chain_with(v) == Some(other));
            if shared.iter().any(stands) {
                self.stored_chain(b, other);
            }
        }
        self.known_values(b);
        let chain = &plan.chains[at];
        for (far, early) in buffers.early.iter().enumerate() {
            let axes = if far == 1 { &buffers.axes } else { &chain.state };
            if let Some(early) = early {
                self.zero_columns(b, *early, self.configs_over(axes));
            }
        }
        for s in shared {
            let (axes, table) = match (s.far, buffers.scan.pairs) {
                (true, Some(pairs)) => (&buffers.axes, pairs),
                _ => (&chain.state, buffers.scan.rows),
            };
            let early = buffers.early[usize::from(s.far)].filter(|_| s.early);
            for g in 0..s.groups.len() {
                self.expect(b, s, g, axes, &[Some(table), early]);
            }
        }
        self.masked = masked;
        self.weights.clear();
    }

    /// One group's expectation, added to tables over `axes`.
    fn expect(
        &mut self,
        b: &mut FuncBuilder<'_>,
        shared: &mut Shared,
        g: usize,
        axes: &[usize],
        tables: &[Option<BufId>],
    ) {
        let mut group = shared.groups[g].clone();
        let open = |of: &[usize]| -> Vec<usize> { of.iter().copied().filter(|v| group.open.contains(v)).collect() };
        let (own, others) = (open(&shared.own), open(&shared.others));
        let mine = |list: &[(usize, usize)]| -> Vec<(usize, usize)> {
            list.iter().copied().filter(|f| shared.own.contains(&f.0)).collect()
        };
        let (fixed, excluded) = (mine(&group.fixed), mine(&group.excluded));
        let n = self.configs_over(&own);
        let out = b.buffer("expected", BufKind::Temp, n);
        self.zero_columns(b, out, n);
        let (weights, cases) = self.case_weights(b, &group, shared, &others);
        let constants = group.take_constants();
        if !constants.is_empty() {
            let ixs = |of: &[usize]| of.iter().map(|&v| self.plan.finite[v].ix).collect::<Vec<IxId>>();
            let (rows, inputs) = (ixs(&own), self.configs_over(&others));
            let over = ixs(&others);
            let coef = match shared.flat[g] {
                Some(table) => table,
                None => {
                    let term = self.s.sum(&constants);
                    self.job(b, "pairs", &rows, 1 + inputs, What::Weighted { term, over })
                }
            };
            shared.flat[g] = Some(coef);
            b.kernel(Kernel::Linear {
                x: weights.col(0),
                inputs,
                outputs: n,
                coef: coef.at(0),
                out: out.col(0),
                add: true,
            });
        }
        if !group.is_empty() {
            let t = self.tables(b, &mut group);
            let values = b.buffer("values", BufKind::Temp, n * cases);
            self.emit(b, &group, &t, values, false);
            b.for_(n, |b, i| {
                b.for_(cases, |b, j| {
                    b.rows(|b| {
                        let (w, x) = (b.load_row(weights.col(j)), b.load_row(values.col(i * cases + j)));
                        let (zero, product) = (b.num(0.0), b.mul(w, x));
                        // 0 · (−∞) is 0 in an expectation
                        let none = b.eq(w, zero);
                        let product = b.select(none, zero, product);
                        let old = b.load_row(out.col(i));
                        let new = b.add(old, product);
                        b.store_row(out.col(i), new);
                    });
                });
            });
            shared.groups[g].keep_tables(t);
        }
        for &table in tables.iter().flatten() {
            self.spread(b, out, &own, axes, table, &fixed, &excluded);
        }
    }

    /// The weights of a group's open variables of other chains, where its conditions on others hold, and their number.
    fn case_weights(
        &mut self,
        b: &mut FuncBuilder<'_>,
        group: &Group,
        shared: &Shared,
        others: &[usize],
    ) -> (BufId, usize) {
        let theirs = |list: &[(usize, usize)]| -> Vec<(usize, usize)> {
            list.iter().copied().filter(|f| shared.others.contains(&f.0)).collect()
        };
        let (fixed, excluded) = (theirs(&group.fixed), theirs(&group.excluded));
        let named = fixed.iter().chain(&excluded).map(|f| f.0);
        let mut all = others.to_vec();
        for v in named {
            if !all.contains(&v) {
                all.push(v);
            }
        }
        all.sort_unstable();
        let cases = self.configs_over(others);
        let syms: Vec<SymId> = all.iter().map(|&v| self.plan.finite[v].sym).collect();
        if all.is_empty() {
            return (self.ones(b), 1);
        }
        let whole = self.weights_for(b, &syms);
        if all == others && excluded.is_empty() {
            return (whole, cases);
        }
        let out = b.buffer("weights", BufKind::Temp, cases);
        self.zero_columns(b, out, cases);
        let dims: Vec<usize> = all.iter().map(|&v| self.finite_size(v)).collect();
        let sizes: Vec<usize> = others.iter().map(|&v| self.finite_size(v)).collect();
        each(b, &dims, &mut |b, at| {
            let place = |v: usize| {
                all.iter()
                    .position(|&w| w == v)
                    .map_or(Index::default(), |i| at[i].clone())
            };
            let kept: Vec<Index> = others.iter().map(|&v| place(v)).collect();
            let to = Index::row_major(&kept, &sizes);
            let from = Index::row_major(at, &dims);
            let mut holds = b.num(1.0);
            for (list, equal) in [(&fixed, true), (&excluded, false)] {
                for &(v, value) in list {
                    let (x, y, zero) = (self.index_number(b, &place(v)), b.num(value as f64), b.num(0.0));
                    let same = b.eq(x, y);
                    let one = if equal { same } else { b.eq(same, zero) };
                    holds = b.mul(holds, one);
                }
            }
            b.if_(holds, |b| {
                b.rows(|b| {
                    let (x, y) = (b.load_row(out.col(to.clone())), b.load_row(whole.col(from.clone())));
                    let sum = b.add(x, y);
                    b.store_row(out.col(to.clone()), sum);
                });
            });
        });
        (out, cases)
    }

    /// Weights of what is known in every row and belongs to no part of q: 1 at its value.
    pub fn known_values(&mut self, b: &mut FuncBuilder<'_>) {
        if self.plan.chains.len() < 2 {
            return;
        }
        for v in 0..self.plan.finite.len() {
            let f = &self.plan.finite[v];
            let shared = self.plan.chains.iter().flat_map(|c| &c.shared);
            let stands = shared.into_iter().any(|&i| self.plan.factors[i].scope.contains(&v));
            let Some(column) = self.columns.get(&f.sym).copied().filter(|_| f.observed) else {
                continue;
            };
            if !stands || self.plan.chain_with(v).is_some() {
                continue;
            }
            let n = self.finite_size(v);
            let out = b.buffer("known", BufKind::Temp, n);
            let (masked, weight) = (self.masked, self.fixed.weight);
            b.for_(n, |b, k| {
                b.rows(|b| {
                    let code = b.load_row(column.buf.col(0));
                    let value = self.index_number(b, &k.into());
                    let mut same = b.eq(code, value);
                    if masked {
                        let w = b.load_row(weight.col(0));
                        same = b.mul(same, w);
                    }
                    b.store_row(out.col(k), same);
                });
            });
            self.weights.insert(vec![f.sym], out);
        }
    }
}
