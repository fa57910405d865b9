//! Definitions, put in place of their names.

use crate::lower::{Env, Idx, Lower};
use crate::tables::{EntId, Lhs, Rhs};
use lvmc_base::Span;
use lvmc_syntax::ast::Subscript;
use lvmc_term::{Size, Support, Term};

impl<'a> Lower<'a> {
    /// A definition put in place of its name.
    pub fn definition(&mut self, id: EntId, indices: &[&'a Subscript], span: Span, env: &Env) -> Option<Term> {
        let own = |s: &&usize| self.t.stmts[**s].ent == id && matches!(self.t.stmts[**s].rhs, Rhs::Equal(..));
        let all: Vec<usize> = (0..self.t.stmts.len()).collect();
        let &s = all.iter().find(own)?;
        let stmt = self.t.stmts[s].clone();
        let Rhs::Equal(e, k, n) = stmt.rhs else { return None };
        let indices = self.storage_order(id, indices);
        let axes = self.t.ents[id].axes.clone();
        let at_chain = self.t.at_chain(id, env.stmt) && env.at.is_some();
        let mut positions = vec![];
        if at_chain && indices.len() < axes.len() {
            positions.extend(env.at.clone());
        }
        let mut rest = indices.as_slice();
        while let (Some(Subscript::At(e)), true) = (rest.first(), positions.len() < axes.len()) {
            let axis = &axes[positions.len()];
            positions.push(self.idx(e, env, axis.first)?);
            rest = &rest[1..];
        }
        if positions.len() < axes.len() {
            return self.definition_whole(id, positions.len(), rest, span, env);
        }
        let inner = self.definition_env(s, &stmt.lhs, &positions, env)?;
        let key = (id, inner.plate, inner.indices.clone(), inner.at.clone());
        let t = match self.memo.get(&key) {
            Some(t) => *t,
            None => {
                let t = if n > 1 {
                    self.net_call(e, k, Some(n), &inner)
                } else {
                    self.term(e, &inner)
                };
                let t = t.map(|t| self.stored(id, t));
                self.memo.insert(key, t);
                t
            }
        }?;
        self.pick(t, rest, span, env)
    }

    /// A value as written, as it is stored: categories from 0.
    pub fn stored(&mut self, id: EntId, t: Term) -> Term {
        if matches!(self.t.ents[id].support, Some(Support::Category(_))) {
            let one = self.store.num(1.0);
            self.store.sub(t, one)
        } else {
            t
        }
    }

    fn definition_env(&mut self, s: usize, lhs: &[Lhs], positions: &[Idx], env: &Env) -> Option<Env> {
        let mut inner = Env {
            stmt: s,
            plate: env.plate,
            indices: vec![],
            at: env.at.clone(),
        };
        for (l, i) in lhs.iter().zip(positions) {
            match l {
                Lhs::Range(r) => inner.indices.push((self.t.ranges[*r].name.clone(), i.clone())),
                Lhs::Chain(off) => {
                    let at = Idx {
                        base: i.base,
                        off: i.off - off,
                    };
                    if let Some(c) = self.t.stmts[s].chain {
                        inner.indices.push((self.t.chains[c].index.clone(), at.clone()));
                    }
                    inner.at = Some(at);
                }
                Lhs::At(_) => {
                    let (what, at) = ("a definition at one position".into(), self.t.stmts[s].span);
                    self.t
                        .unsupported(what, at, "define the family as a whole: m[k in 1..K] = …");
                    return None;
                }
            }
        }
        Some(inner)
    }

    /// An unindexed family of definitions: its elements side by side, where their number is known.
    fn definition_whole(
        &mut self,
        id: EntId,
        picked: usize,
        rest: &[&'a Subscript],
        span: Span,
        env: &Env,
    ) -> Option<Term> {
        let axes = self.t.ents[id].axes.clone();
        let name = self.t.ents[id].name.clone();
        let size = self.size(&axes[picked].size);
        let (Size::Const(n), true, 0) = (&size, axes.len() == 1, picked) else {
            let what = format!("the definition `{name}` as a whole array");
            self.t
                .unsupported(what, span, &format!("index it, {name}[k], or write it with arrays"));
            return None;
        };
        if *n > 256 {
            let what = format!("an array of {n} definitions");
            self.t.unsupported(what, span, &format!("index it: {name}[k]"));
            return None;
        }
        let all: Vec<usize> = (0..self.t.stmts.len()).collect();
        let s = *all.iter().find(|&&s| self.t.stmts[s].ent == id)?;
        let stmt = self.t.stmts[s].clone();
        let Rhs::Equal(e, ..) = stmt.rhs else { return None };
        let mut parts = vec![];
        for k in 0..*n {
            let at = Idx {
                base: None,
                off: axes[0].first + k as i64,
            };
            let inner = self.definition_env(s, &stmt.lhs, &[at], env)?;
            parts.push(self.term(e, &inner)?);
        }
        let shape = self.shape_of(*parts.first()?);
        let t = match shape.len() {
            0 => self.store.stack(&parts),
            1 if parts.iter().all(|&p| self.shape_of(p) == shape) => self.store.stack_rows(&parts),
            _ => {
                self.t.unsupported(
                    format!("`{name}` as a whole array"),
                    span,
                    &format!("index it: {name}[k]"),
                );
                return None;
            }
        };
        self.pick(t, rest, span, env)
    }
}
