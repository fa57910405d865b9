//! Values of constants, and what is observed in place of a column.

use crate::errors::ModelError;
use crate::graph::{PlateId, Role, Var, VarId};
use crate::lower::{Env, Lower};
use crate::tables::{EntId, Kind, Rhs};
use lvmc_syntax::ast;
use lvmc_term::{SymKind, Term};

impl<'a> Lower<'a> {
    /// `data x : unit[D] = pixels / 255`.
    pub fn observed_as(&mut self, id: EntId) -> Option<Term> {
        if self.t.ents[id].kind != Kind::Var || self.t.ents[id].role != Role::Data {
            return None;
        }
        let s = (0..self.t.stmts.len())
            .find(|&s| self.t.stmts[s].ent == id && matches!(self.t.stmts[s].rhs, Rhs::Equal(..)))?;
        let Rhs::Equal(e, ..) = self.t.stmts[s].rhs else {
            return None;
        };
        let (env, ..) = self.env(s);
        let t = self.term(e, &env)?;
        let t = self.stored(id, t);
        let want = self.t.ents[id].shape.clone().unwrap_or_default();
        let (want, have) = (self.shape(&want), self.shape_of(t));
        if want != have {
            let at = self.t.ents[id].span;
            self.mismatch(
                "observed as",
                (at, &want),
                (e.span, &have),
                "the type and the expression have one shape",
            );
        }
        Some(t)
    }

    pub fn consts(&mut self, vars: &mut Vec<Var>) -> Vec<(VarId, Option<Term>)> {
        let mut out = vec![];
        for id in 0..self.t.ents.len() {
            let (Kind::Const, Some(var)) = (self.kind(id), self.var_of[id]) else {
                continue;
            };
            let name = self.t.ents[id].name.clone();
            let scalar = self.t.ents[id].axes.is_empty();
            let set = self.t.settings.set.iter().rev().find(|(n, _)| scalar && *n == name);
            if let Some((_, x)) = set {
                let x = self.store.num(*x);
                out.push((var, Some(x)));
                continue;
            }
            let s = (0..self.t.stmts.len()).find(|&s| self.t.stmts[s].ent == id);
            let value = s.and_then(|s| match self.t.stmts[s].rhs {
                Rhs::Equal(e, ..) => {
                    let (env, ranges, _) = self.env(s);
                    if let Some(v) = vars.get_mut(var.index()) {
                        v.ranges = ranges;
                    }
                    self.const_value(id, e, &env)
                }
                _ => None,
            });
            out.push((var, value));
        }
        for (n, sym, ix) in self.counts.clone() {
            let var = VarId::from_index(vars.len());
            vars.push(Var {
                sym,
                name: self.store.sym(sym).name.clone(),
                role: Role::Const,
                family_first: vec![0],
                plate: PlateId::from_index(0),
                span: lvmc_base::Span::default(),
                because: format!("positions of an array of {}", crate::lower::size_text(&self.store, &n)),
                observed_as: None,
                observed_at: None,
                ranges: vec![ix],
            });
            let value = self.store.index(ix);
            out.push((var, Some(value)));
        }
        out
    }

    fn const_value(&mut self, id: EntId, e: &'a ast::Expr, env: &Env) -> Option<Term> {
        let t = self.term(e, env)?;
        let t = self.stored(id, t);
        let random = self.store.depends_on(t, |n| match n {
            lvmc_term::Node::Sym(s) => !self.syms.contains(&Some(*s)) || self.store.sym(*s).kind != SymKind::Const,
            lvmc_term::Node::Net { .. } => true,
            _ => false,
        });
        let counted = self.counts.iter().any(|c| self.store.depends_on_sym(t, c.1));
        if random && !counted {
            self.t.error(ModelError::NotAValue {
                what: "what is estimated or observed".into(),
                at: e.span,
                help: format!("leave out `const`:  {} = {}", self.t.ents[id].name, self.t.text(e.span)),
            });
            return None;
        }
        let want = self.t.ents[id].shape.clone().unwrap_or_default();
        let want = self.shape(&want);
        let have = self.shape_of(t);
        if have.is_empty() {
            return Some(self.store.fill(t, want));
        }
        if want != have {
            let at = self.t.ents[id].span;
            self.mismatch(
                "=",
                (at, &want),
                (e.span, &have),
                "the type and the value have one shape",
            );
            return None;
        }
        Some(t)
    }
}
