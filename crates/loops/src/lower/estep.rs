//! The E-step of a block of rows: potentials, elimination, posterior weights.
//!
//! Every clique has a table of log potentials, one column for each configuration of its variables (the eliminated one
//! last). Forward: the table is filled, messages of earlier cliques are added, a softmax over the last axis leaves the
//! conditional posterior and its normaliser, the message. Backward: each conditional is multiplied by its parent's
//! marginal. A root's normaliser is the row's log-likelihood.

use super::context::Lower;
use super::potentials::{Group, Tables};
use super::rowexpr::RowScope;
use crate::builder::FuncBuilder;
use crate::ir::{BufId, BufKind, Flat, Index, Kernel, Rows};
use lvmc_term::{SymId, Term};

/// What a block function does with the normaliser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Adds it to the objective.
    Objective,
    /// Adds it to the row's score.
    Score,
    /// Nothing: another function did.
    Weights,
}

/// The E-step's plan: cliques with their groups.
#[derive(Debug, Clone, Default)]
pub struct EStep {
    /// In the order of elimination.
    pub cliques: Vec<CliqueCode>,
    /// Addends of the density without finite variables.
    pub plain: Vec<Group>,
    /// Addends free of parameters and finite variables.
    pub data_only: Vec<Term>,
    /// The chains'.
    pub chains: Vec<super::chain::ChainCode>,
}

/// A clique and what is multiplied into it.
#[derive(Debug, Clone)]
pub struct CliqueCode {
    /// Axes: the others, then the eliminated variable.
    pub axes: Vec<usize>,
    /// The parent clique.
    pub parent: Option<usize>,
    /// Its message goes to the chain.
    pub to_chain: bool,
    /// The chain to whose part of the posterior it belongs.
    pub chain: Option<usize>,
    /// Groups of addends.
    pub groups: Vec<Group>,
    /// Observed variables whose evidence enters here.
    pub evidence: Vec<usize>,
    /// Children.
    pub children: Vec<usize>,
}

/// Loops over configurations of some finite variables.
fn configs(
    l: &mut Lower<'_>,
    b: &mut FuncBuilder<'_>,
    axes: &[usize],
    f: &mut dyn FnMut(&mut Lower<'_>, &mut FuncBuilder<'_>, &[Index]),
) {
    let dims: Vec<usize> = axes.iter().map(|&v| l.finite_size(v)).collect();
    super::context::each(b, &dims, &mut |b, at| f(l, b, at));
}

impl Lower<'_> {
    /// Reads the plan's cliques.
    pub fn plan_e_step(&mut self, b: &mut FuncBuilder<'_>) -> EStep {
        let mut code = EStep::default();
        // in every part of the posterior once
        let mut seen = std::collections::BTreeSet::new();
        for c in &self.plan.cliques {
            let axes: Vec<usize> = c.others.iter().copied().chain([c.var]).collect();
            let (groups, mut data_only) = self.groups(b, &c.factors, &axes);
            code.data_only.append(&mut data_only);
            let evidence: Vec<usize> = axes
                .iter()
                .copied()
                .filter(|&v| self.plan.finite[v].observed && seen.insert((c.chain, v)))
                .collect();
            code.cliques.push(CliqueCode {
                axes,
                parent: c.parent,
                to_chain: c.parent.is_none() && !c.others.is_empty(),
                chain: c.chain,
                groups,
                evidence,
                children: c.children.clone(),
            });
        }
        let plain: Vec<usize> = (0..self.plan.factors.len())
            .filter(|&f| self.plan.factors[f].scope.is_empty())
            .collect();
        let (groups, mut data_only) = self.groups(b, &plain, &[]);
        code.plain = groups;
        code.data_only.append(&mut data_only);
        code.chains = self.plan_chains(b, &mut code.data_only);
        code
    }

    fn column_of(&self, axes: &[usize], at: &dyn Fn(usize) -> Index) -> Index {
        let mut index = Index::default();
        for &v in axes {
            index = index * self.finite_size(v) + at(v);
        }
        index
    }

    /// Forward and backward passes; leaves `weights` ready.
    pub fn e_step(&mut self, b: &mut FuncBuilder<'_>, code: &mut EStep, ends: Ends) {
        self.weights.clear();
        self.plain_density(b, code, ends);
        let (tables, _) = self.forward(b, code, ends, &|_| true);
        self.spread_back(b, code, &tables);
    }

    /// Some cliques in the order of elimination: their tables, conditional now, and their messages.
    pub fn forward(
        &mut self,
        b: &mut FuncBuilder<'_>,
        code: &mut EStep,
        ends: Ends,
        wanted: &dyn Fn(&CliqueCode) -> bool,
    ) -> (Vec<Option<BufId>>, Vec<Option<BufId>>) {
        let (mut tables, mut messages) = (vec![], vec![]);
        for at in 0..code.cliques.len() {
            if !wanted(&code.cliques[at]) {
                tables.push(None);
                messages.push(None);
                continue;
            }
            let all = code.cliques.clone();
            let n = self.configs_over(&code.cliques[at].axes);
            let table = b.buffer("posterior", BufKind::Temp, n);
            self.fill(b, &mut code.cliques[at], &messages, &all, table);
            let message = self.eliminate(b, &code.cliques[at], table, ends);
            tables.push(Some(table));
            messages.push(message);
        }
        (tables, messages)
    }

    /// The posterior weights of all cliques, from conditional tables.
    pub fn spread_back(&mut self, b: &mut FuncBuilder<'_>, code: &EStep, tables: &[Option<BufId>]) {
        for at in (0..code.cliques.len()).rev() {
            self.backward(b, code, tables, at);
        }
        for (clique, &table) in code.cliques.iter().zip(tables) {
            let Some(table) = table else { continue };
            let key: Vec<SymId> = clique.axes.iter().map(|&v| self.plan.finite[v].sym).collect();
            self.weights.insert(key, table);
        }
    }

    /// Terms of the density that no finite variable touches: straight into the objective.
    pub fn plain_density(&mut self, b: &mut FuncBuilder<'_>, code: &mut EStep, ends: Ends) {
        for group in &mut code.plain {
            let t = self.tables(b, group);
            let out = b.buffer("density", BufKind::Temp, 1);
            self.emit(b, group, &t, out, false);
            self.end_row(b, out.col(0), ends);
        }
        if ends == Ends::Score {
            let out = b.buffer("data.only", BufKind::Temp, 1);
            let sum = self.s.sum(&code.data_only.clone());
            let mut scope = RowScope::default();
            self.copy_row(b, &mut scope, sum, out);
            self.end_row(b, out.col(0), ends);
        }
    }

    /// Adds a row value to the objective (weighted) or to the score.
    fn end_row(&mut self, b: &mut FuncBuilder<'_>, value: Rows, ends: Ends) {
        let (masked, fixed) = (self.masked, self.fixed);
        b.rows(|b| {
            let v = b.load_row(value);
            match ends {
                Ends::Weights => {}
                Ends::Score => {
                    let old = b.load_row(fixed.row_score.col(0));
                    let new = b.add(old, v);
                    b.store_row(fixed.row_score.col(0), new);
                }
                Ends::Objective => {
                    let v = if masked {
                        let w = b.load_row(fixed.weight.col(0));
                        // a padded row is a copy of a valid one: its value is finite
                        b.mul(w, v)
                    } else {
                        v
                    };
                    b.reduce(fixed.objective.at(0), v);
                }
            }
        });
    }

    /// The log potentials of a clique.
    pub fn fill(
        &mut self,
        b: &mut FuncBuilder<'_>,
        clique: &mut CliqueCode,
        messages: &[Option<BufId>],
        all: &[CliqueCode],
        table: BufId,
    ) {
        let axes = clique.axes.clone();
        let n = self.configs_over(&axes);
        let direct = clique
            .groups
            .iter()
            .position(|g| g.open == axes && g.fixed.is_empty() && g.excluded.is_empty());
        let mut order: Vec<usize> = (0..clique.groups.len()).collect();
        if let Some(first) = direct {
            order.swap(0, first);
        } else {
            self.zero_columns(b, table, n);
        }
        for (turn, &g) in order.iter().enumerate() {
            let mut group = clique.groups[g].clone();
            let t = self.tables(b, &mut group);
            clique.groups[g] = group.clone();
            let whole = group.open == axes && group.fixed.is_empty() && group.excluded.is_empty();
            if whole {
                self.emit(b, &group, &t, table, turn > 0 || direct.is_none());
            } else {
                self.emit_and_spread(b, &group, &t, &axes, table);
            }
        }
        for &v in &clique.evidence {
            self.add_evidence(b, v, &axes, table);
        }
        for &child in &clique.children {
            let (Some(message), child_axes) = (messages[child], &all[child].axes) else {
                continue;
            };
            let others = &child_axes[..child_axes.len() - 1];
            self.spread(b, message, others, &axes, table, &[], &[]);
        }
    }

    /// Configurations of some finite variables.
    pub fn configs_over(&self, axes: &[usize]) -> usize {
        axes.iter().map(|&v| self.finite_size(v)).product()
    }

    /// Computes a group for its own configurations and adds it to every configuration of the clique that it holds in.
    fn emit_and_spread(&mut self, b: &mut FuncBuilder<'_>, group: &Group, t: &Tables, axes: &[usize], table: BufId) {
        let n: usize = group.open.iter().map(|&v| self.finite_size(v)).product();
        let own = b.buffer("potential", BufKind::Temp, n);
        self.emit(b, group, t, own, false);
        self.spread(b, own, &group.open, axes, table, &group.fixed, &group.excluded);
    }

    /// table[configuration] += source[its part on `open`], where the fixed values hold and the excluded do not.
    pub fn spread(
        &mut self,
        b: &mut FuncBuilder<'_>,
        source: BufId,
        open: &[usize],
        axes: &[usize],
        table: BufId,
        fixed: &[(usize, usize)],
        excluded: &[(usize, usize)],
    ) {
        let free: Vec<usize> = axes
            .iter()
            .copied()
            .filter(|v| !fixed.iter().any(|f| f.0 == *v))
            .collect();
        let position = |at: &[Index], v: usize| -> Index {
            match fixed.iter().find(|f| f.0 == v) {
                Some(f) => Index::constant(f.1),
                None => free
                    .iter()
                    .position(|&w| w == v)
                    .map_or(Index::default(), |i| at[i].clone()),
            }
        };
        configs(self, b, &free.clone(), &mut |l, b, at| {
            let to = l.column_of(axes, &|v| position(at, v));
            let from = l.column_of(open, &|v| position(at, v));
            let add = |b: &mut FuncBuilder<'_>| {
                b.rows(|b| {
                    let (x, y) = (b.load_row(table.col(to.clone())), b.load_row(source.col(from.clone())));
                    let sum = b.add(x, y);
                    b.store_row(table.col(to.clone()), sum);
                });
            };
            if excluded.is_empty() {
                add(b);
                return;
            }
            let mut allowed = b.num(1.0);
            for &(v, value) in excluded {
                let (x, y, zero) = (l.index_number(b, &position(at, v)), b.num(value as f64), b.num(0.0));
                let equal = b.eq(x, y);
                let different = b.eq(equal, zero);
                allowed = b.mul(allowed, different);
            }
            b.if_(allowed, |b| add(b));
        });
    }

    /// Where a cell is present, every other value has potential −∞.
    pub fn add_evidence(&mut self, b: &mut FuncBuilder<'_>, v: usize, axes: &[usize], table: BufId) {
        let Some(column) = self.columns.get(&self.plan.finite[v].sym).copied() else {
            return;
        };
        let position = axes.iter().position(|&w| w == v).unwrap_or(0);
        configs(self, b, axes, &mut |l, b, at| {
            let mut index = Index::default();
            for (&w, i) in axes.iter().zip(at) {
                index = index * l.finite_size(w) + i.clone();
            }
            let value = at[position].clone();
            b.rows(|b| {
                let code = b.load_row(column.buf.col(0));
                let k = l.index_number(b, &value);
                let (zero, low) = (b.num(0.0), b.num(f64::NEG_INFINITY));
                // a missing cell is NaN, which differs from itself
                let other = b.eq(code, code);
                let same = b.eq(code, k);
                let here = b.select(same, zero, low);
                let evidence = b.select(other, here, zero);
                let old = b.load_row(table.col(index.clone()));
                let new = b.add(old, evidence);
                b.store_row(table.col(index.clone()), new);
            });
        });
    }

    /// Softmax over the last axis; the normaliser is the message, or ends the row.
    fn eliminate(&mut self, b: &mut FuncBuilder<'_>, clique: &CliqueCode, table: BufId, ends: Ends) -> Option<BufId> {
        let (others, last) = clique.axes.split_at(clique.axes.len() - 1);
        let n = self.finite_size(last[0]);
        if clique.parent.is_none() && others.is_empty() && ends == Ends::Objective && !self.masked {
            let total: Flat = self.fixed.objective.at(0);
            b.kernel(Kernel::Softmax {
                table: table.col(0),
                n,
                stride: 1,
                lse: None,
                total: Some(total),
            });
            return None;
        }
        let count: usize = others.iter().map(|&v| self.finite_size(v)).product();
        let message = b.buffer("message", BufKind::Temp, count);
        let normalise = |b: &mut FuncBuilder<'_>, i: Index| {
            b.kernel(Kernel::Softmax {
                table: table.col(i.clone() * n),
                n,
                stride: 1,
                lse: Some(message.col(i)),
                total: None,
            });
        };
        if others.is_empty() {
            normalise(b, Index::default());
        } else {
            b.for_(count, |b, i| normalise(b, Index::from(i)));
        }
        if clique.parent.is_some() || clique.to_chain {
            return Some(message);
        }
        self.end_row(b, message.col(0), ends);
        if self.masked && ends != Ends::Score {
            b.kernel(Kernel::MulRows {
                rows: table.col(0),
                n,
                by: self.fixed.weight.col(0),
            });
        }
        None
    }

    /// Conditional → joint: times the parent's marginal of the others.
    fn backward(&mut self, b: &mut FuncBuilder<'_>, code: &EStep, tables: &[Option<BufId>], at: usize) {
        let Some(table) = tables[at] else { return };
        let clique = &code.cliques[at];
        let (others, last) = clique.axes.split_at(clique.axes.len() - 1);
        let n = self.finite_size(last[0]);
        let marginal = match clique.parent {
            Some(parent) => {
                let Some(above) = tables[parent] else { return };
                self.marginal(b, above, &code.cliques[parent].axes, others)
            }
            None if clique.to_chain => {
                let others: Vec<SymId> = others.iter().map(|&v| self.plan.finite[v].sym).collect();
                self.weights_for(b, &others)
            }
            None => return,
        };
        let count: usize = others.iter().map(|&v| self.finite_size(v)).product();
        b.for_(count, |b, i| {
            b.kernel(Kernel::MulRows {
                rows: table.col(i * n),
                n,
                by: marginal.col(i),
            });
        });
    }

    /// Σ over the axes that are not kept, columns in the order of `kept`.
    fn marginal(&mut self, b: &mut FuncBuilder<'_>, table: BufId, axes: &[usize], kept: &[usize]) -> BufId {
        if axes == kept {
            return table;
        }
        let count: usize = kept.iter().map(|&v| self.finite_size(v)).product();
        let out = b.buffer("marginal", BufKind::Temp, count);
        self.zero_columns(b, out, count);
        configs(self, b, axes, &mut |l, b, at| {
            let position = |v: usize| {
                axes.iter()
                    .position(|&w| w == v)
                    .map_or(Index::default(), |i| at[i].clone())
            };
            let from = l.column_of(axes, &position);
            let to = l.column_of(kept, &position);
            b.rows(|b| {
                let (x, y) = (b.load_row(out.col(to.clone())), b.load_row(table.col(from.clone())));
                let sum = b.add(x, y);
                b.store_row(out.col(to.clone()), sum);
            });
        });
        out
    }

    /// The posterior weights of a set of finite variables, columns in that order.
    pub fn weights_for(&mut self, b: &mut FuncBuilder<'_>, resp: &[SymId]) -> BufId {
        if let Some(&table) = self.weights.get(resp) {
            return table;
        }
        let kept: Vec<usize> = resp.iter().filter_map(|&x| self.finite_of(x)).collect();
        let source = self
            .weights
            .iter()
            .filter(|(k, _)| resp.iter().all(|x| k.contains(x)))
            .min_by_key(|(k, _)| (k.len(), (*k).clone()))
            .map(|(k, &t)| (k.clone(), t));
        let out = match source {
            Some((key, table)) => {
                let axes: Vec<usize> = key.iter().filter_map(|&x| self.finite_of(x)).collect();
                self.marginal(b, table, &axes, &kept)
            }
            None => self.product_of_marginals(b, &kept),
        };
        self.weights.insert(resp.to_vec(), out);
        out
    }

    /// Π marginals: exact for variables in different parts of the graph, and what `seed` starts from.
    fn product_of_marginals(&mut self, b: &mut FuncBuilder<'_>, kept: &[usize]) -> BufId {
        let parts = self.independent_parts(kept);
        let mut tables = vec![];
        for part in &parts {
            let syms: Vec<SymId> = part.iter().map(|&v| self.plan.finite[v].sym).collect();
            let known = self.weights.get(&syms).copied();
            tables.push(match known {
                Some(table) => table,
                None if parts.len() > 1 => self.weights_for(b, &syms),
                None => self.fixed.weight,
            });
        }
        let count: usize = kept.iter().map(|&v| self.finite_size(v)).product();
        let out = b.buffer("product", BufKind::Temp, count);
        let (masked, weight) = (self.masked, self.fixed.weight);
        configs(self, b, kept, &mut |l, b, at| {
            let mut to = Index::default();
            for (&v, i) in kept.iter().zip(at) {
                to = to * l.finite_size(v) + i.clone();
            }
            let place = |v: usize| {
                kept.iter()
                    .position(|&w| w == v)
                    .map_or(Index::default(), |i| at[i].clone())
            };
            let columns: Vec<Index> = parts.iter().map(|part| l.column_of(part, &place)).collect();
            b.rows(|b| {
                let mut p = b.load_row(tables[0].col(columns[0].clone()));
                for (t, i) in tables.iter().zip(&columns).skip(1) {
                    let q = b.load_row(t.col(i.clone()));
                    p = b.mul(p, q);
                    if masked {
                        // each marginal carries the row's weight; the product keeps it once
                        let w = b.load_row(weight.col(0));
                        let (zero, ratio) = (b.num(0.0), b.div(p, w));
                        let none = b.eq(w, zero);
                        p = b.select(none, zero, ratio);
                    }
                }
                b.store_row(out.col(to.clone()), p);
            });
        });
        out
    }

    /// Variables of the same part of q together, in which each is independent of the others'; each by itself where one part
    /// has all of them (what `seed` starts from).
    fn independent_parts(&self, kept: &[usize]) -> Vec<Vec<usize>> {
        let mut parts: Vec<(Option<usize>, Vec<usize>)> = vec![];
        for &v in kept {
            let of = self.plan.chain_with(v);
            match parts.iter_mut().find(|p| p.0 == of && of.is_some()) {
                Some(p) => p.1.push(v),
                None => parts.push((of, vec![v])),
            }
        }
        if parts.len() < 2 {
            return kept.iter().map(|&v| vec![v]).collect();
        }
        parts.into_iter().map(|p| p.1).collect()
    }

    /// Starting weights from stored marginals.
    pub fn seed_weights(&mut self, b: &mut FuncBuilder<'_>, marginals: &[(SymId, BufId, usize)]) {
        self.weights.clear();
        for &(sym, stored, n) in marginals {
            let table = self.weighted_copy(b, stored, n);
            self.weights.insert(vec![sym], table);
        }
    }

    /// Stored columns, times the row's weight where the function is masked.
    pub fn weighted_copy(&mut self, b: &mut FuncBuilder<'_>, stored: BufId, n: usize) -> BufId {
        let table = b.buffer("stored", BufKind::Temp, n);
        let (masked, weight) = (self.masked, self.fixed.weight);
        b.for_(n, |b, i| {
            b.rows(|b| {
                let mut v = b.load_row(stored.col(i));
                if masked {
                    let w = b.load_row(weight.col(0));
                    v = b.mul(v, w);
                }
                b.store_row(table.col(i), v);
            });
        });
        table
    }

    /// A group's value for each of its configurations into `out`, set or added.
    pub fn emit(&mut self, b: &mut FuncBuilder<'_>, group: &Group, t: &Tables, out: BufId, add: bool) {
        let n: usize = group.open.iter().map(|&v| self.finite_size(v)).product();
        let mut add = add;
        if let Some((inputs, coef)) = &t.linear {
            let x = inputs.adjacent(b);
            b.kernel(Kernel::Linear {
                x,
                inputs: inputs.cols,
                outputs: n,
                coef: coef.at(0),
                out: out.col(0),
                add,
            });
            add = true;
        }
        for (code, table, values) in &t.gathers {
            let Some(c) = self.columns.get(code).copied() else {
                continue;
            };
            let kernel = Kernel::Gather {
                code: c.buf.col(0),
                table: table.at(0),
                entries: n,
                values: *values,
                out: out.col(0),
                add,
            };
            b.kernel(kernel);
            add = true;
        }
        if !add && (t.quads.is_empty() || !group.general.is_empty()) {
            self.zero_columns(b, out, n);
            add = true;
        }
        if !group.general.is_empty() {
            self.emit_general(b, group, out);
        }
        // squares last: what comes right before a softmax need not finish the entries that it makes 0
        for (inputs, coef, len, d, shape) in &t.quads {
            let x = inputs.adjacent(b);
            b.for_(n, |b, k| {
                b.kernel(Kernel::Quad {
                    x: x.clone(),
                    inputs: inputs.cols,
                    outputs: *d,
                    shape: *shape,
                    coef: coef.at(k * *len),
                    out: out.col(k),
                    add,
                });
            });
            add = true;
        }
    }

    /// Adds the addends that only row code can evaluate.
    fn emit_general(&mut self, b: &mut FuncBuilder<'_>, group: &Group, out: BufId) {
        let sum = self.s.sum(&group.general.clone());
        let open = group.open.clone();
        configs(self, b, &open.clone(), &mut |l, b, at| {
            let mut scope = RowScope::default();
            let mut col = Index::default();
            for (&v, i) in open.iter().zip(at) {
                scope.flat.env.insert(l.plan.finite[v].ix, i.clone());
                col = col * l.finite_size(v) + i.clone();
            }
            l.ensure_row(b, &mut scope, sum);
            b.rows(|b| {
                let v = l.row_elem(b, &mut scope, sum, &[]);
                let old = b.load_row(out.col(col.clone()));
                let new = b.add(old, v);
                b.store_row(out.col(col.clone()), new);
            });
        });
    }
}
