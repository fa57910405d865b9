//! `~` statements as factors of the joint density.

use crate::graph::{Factor, PlateId};
use crate::lower::{Env, Idx, Lower};
use crate::lower_dist::Value;
use crate::tables::{Lhs, Pos, Rhs};
use lvmc_syntax::ast;
use lvmc_term::{IxId, Term};

impl<'a> Lower<'a> {
    /// A position, less `first`.
    pub fn pos_term(&mut self, p: &Pos, first: i64) -> Term {
        let base = p.dim.as_ref().map(|d| {
            let size = self.size(d);
            self.store.size(size)
        });
        self.idx_term(&Idx { base, off: p.off }, first)
    }

    /// The environment of a statement, and the indices it ranges over.
    pub fn env(&mut self, s: usize) -> (Env, Vec<IxId>, Vec<Term>) {
        let stmt = self.t.stmts[s].clone();
        let axes = self.t.ents[stmt.ent].axes.clone();
        let mut env = Env {
            stmt: s,
            plate: stmt.plate,
            indices: vec![],
            at: None,
        };
        if let Some(c) = stmt.chain {
            let base = Some(self.store.index(self.chain_ix[c]));
            let at = Idx {
                base,
                off: self.t.chains[c].lo,
            };
            env.indices.push((self.t.chains[c].index.clone(), at.clone()));
            env.at = Some(at);
        }
        let (mut ranges, mut value) = (vec![], vec![]);
        for (a, l) in stmt.lhs.iter().enumerate() {
            let first = axes.get(a).map_or(1, |x| x.first);
            match l {
                Lhs::Range(r) => {
                    let range = self.t.ranges[*r].clone();
                    let size = self.size(&range.size);
                    let ix = self.store.add_ix(range.name.clone(), size);
                    let base = self.store.index(ix);
                    ranges.push(ix);
                    value.push(base);
                    let i = Idx {
                        base: Some(base),
                        off: range.first,
                    };
                    env.indices.push((range.name, i));
                }
                Lhs::Chain(off) => {
                    let mut at = env.at.clone().unwrap_or(Idx { base: None, off: 1 });
                    at.off += off;
                    value.push(self.idx_term(&at, first));
                }
                Lhs::At(p) => {
                    value.push(self.pos_term(p, first));
                    if let (0, Some(c)) = (a, stmt.chain) {
                        // bare names mean the value at that position
                        let base = p.dim.as_ref().map(|d| {
                            let size = self.size(d);
                            self.store.size(size)
                        });
                        let at = Idx { base, off: p.off };
                        env.indices.push((self.t.chains[c].index.clone(), at.clone()));
                        env.at = Some(at);
                    }
                }
            }
        }
        (env, ranges, value)
    }

    pub fn factors(&mut self, guide: bool) -> Vec<Factor> {
        let mut out = vec![];
        for s in 0..self.t.stmts.len() {
            if let (Rhs::Random(e), true) = (self.t.stmts[s].rhs, self.t.stmts[s].guide == guide) {
                out.extend(self.factor(s, e));
            }
        }
        out
    }

    fn factor(&mut self, s: usize, e: &'a ast::Expr) -> Option<Factor> {
        let (env, ranges, at) = self.env(s);
        let stmt = self.t.stmts[s].clone();
        let (sym, var) = (self.syms[stmt.ent]?, self.var_of[stmt.ent]?);
        let base = self.store.var(sym);
        let value = self.store.at(base, &at);
        let shape = self.shape_of(value);
        let mut elementwise = false;
        let of = Value {
            ent: stmt.ent,
            shape: &shape,
        };
        let Some(dist) = self.dist(e, &of, &env, &mut elementwise) else {
            self.untold(e.span);
            return None;
        };
        let chained = self.t.ents[stmt.ent].chain.is_some();
        let position = match (chained, stmt.lhs.first()) {
            (true, Some(Lhs::At(_))) => at.first().copied(),
            _ => None,
        };
        let condition = self.condition_of(s, &at);
        Some(Factor {
            var,
            value,
            ranges,
            when: crate::graph::When::Always,
            position,
            condition,
            dist,
            elementwise,
            plate: PlateId::from_index(stmt.plate),
            span: stmt.span,
        })
    }

    /// What cannot be built without any mistake having been told is a gap of the language, and told as such.
    fn untold(&mut self, at: lvmc_base::Span) {
        if self.t.errors.is_empty() {
            self.t.unsupported(
                "this expression".into(),
                at,
                "write it with the functions and operators of the reference",
            );
        }
    }

    /// Where a family's general statement does not hold: at positions with statements of their own, and where what it
    /// refers to does not exist.
    fn condition_of(&mut self, s: usize, value: &[Term]) -> Option<Term> {
        let stmt = self.t.stmts[s].clone();
        let mut parts = vec![];
        for (a, l) in stmt.lhs.iter().enumerate() {
            let Lhs::Range(r) = l else { continue };
            let first = self.t.ents[stmt.ent].axes[a].first;
            for other in self.t.explicit_positions(stmt.ent, a, stmt.guide) {
                let p = self.pos_term(&other, first);
                let same = self.store.cmp(lvmc_term::Cmp::Eq, value[a], p);
                parts.push(self.store.not(same));
            }
            let (name, from) = (self.t.ranges[*r].name.clone(), self.t.ranges[*r].first);
            let (low, _) = self.t.reach(s, &name);
            if let Some(low) = low.filter(|&l| l > from) {
                let low = self.store.num((low - first) as f64);
                parts.push(self.store.cmp(lvmc_term::Cmp::Le, low, value[a]));
            }
        }
        (!parts.is_empty()).then(|| self.store.product_of(&parts))
    }
}
