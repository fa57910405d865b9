//! Names with their indices: variables, definitions, sizes, indices.

use crate::errors::ModelError;
use crate::lower::{Env, Lower};
use crate::tables::{EntId, Kind, PlateKind};
use lvmc_base::Span;
use lvmc_syntax::ast::{Expr, ExprKind, Subscript};
use lvmc_term::{Size, Term};

impl<'a> Lower<'a> {
    /// A name or an indexed name; a category gives its 0-based code.
    pub fn reference(&mut self, e: &'a Expr, env: &Env) -> Option<Term> {
        match &e.kind {
            ExprKind::Name(name) => self.named(name, &[], e.span, env),
            ExprKind::Index { base, indices } => {
                let indices: Vec<&'a Subscript> = indices.iter().collect();
                match &base.kind {
                    ExprKind::Name(name) => self.named(name, &indices, e.span, env),
                    _ => {
                        let t = self.term(base, env)?;
                        self.pick(t, &indices, base.span, env)
                    }
                }
            }
            _ => self.term(e, env),
        }
    }

    fn named(&mut self, name: &str, indices: &[&'a Subscript], span: Span, env: &Env) -> Option<Term> {
        if let Some((_, i)) = env.indices.iter().rev().find(|(n, _)| n == name) {
            let i = i.clone();
            if !indices.is_empty() {
                let what = format!("the index `{name}` has no elements");
                self.bad_index(what, span, "an index", "write the index inside brackets: x[t]");
                return None;
            }
            return Some(self.idx_term(&i, 0));
        }
        let Some(id) = self.t.find(name, self.t.stmts[env.stmt].guide) else {
            if name == "I" {
                return self.identity(indices, span);
            }
            self.undeclared(name, span, env.stmt);
            return None;
        };
        match self.kind(id) {
            Kind::Dim(d) => {
                let size = self.size(&Size::Dim(d));
                let t = self.store.size(size);
                self.pick(t, indices, span, env)
            }
            Kind::Net(_) => {
                self.t.error(ModelError::NotAValue {
                    what: format!("the net `{name}`"),
                    at: span,
                    help: format!("apply it: {name}(…)"),
                });
                None
            }
            Kind::Det => self.definition(id, indices, span, env),
            Kind::Var | Kind::Const => self.variable(id, indices, span, env),
        }
    }

    fn identity(&mut self, indices: &[&'a Subscript], span: Span) -> Option<Term> {
        let n = match indices {
            [] => self.t.place_size(span, 0),
            [Subscript::At(n)] => self.t.size_of(n)?,
            _ => {
                self.bad_index("`I` takes one size".into(), span, "here", "I, or I[Q]");
                return None;
            }
        };
        let n = self.size(&n);
        Some(self.store.eye(n))
    }

    fn variable(&mut self, id: EntId, indices: &[&'a Subscript], span: Span, env: &Env) -> Option<Term> {
        self.visible(id, span, env)?;
        let sym = self.syms[id]?;
        let base = self.store.var(sym);
        let indices = self.storage_order(id, indices);
        let axes = self.t.ents[id].axes.clone();
        let name = self.t.ents[id].name.clone();
        let at_chain = self.t.at_chain(id, env.stmt) && env.at.is_some();
        let mut picked = vec![];
        if at_chain && indices.len() < axes.len() {
            let at = env.at.clone()?;
            picked.push(self.idx_term(&at, axes[0].first));
        }
        let shape = self.shape_of(base);
        let mut rest = indices.as_slice();
        while let Some(Subscript::At(e)) = rest.first() {
            let k = picked.len();
            let Some(size) = shape.get(k) else {
                let what = match shape.len() {
                    0 => format!("`{name}` is a single number and takes no index"),
                    1 => format!("`{name}` takes one index"),
                    n => format!("`{name}` takes at most {n} indices"),
                };
                self.bad_index(what, e.span, "one too many", "leave out the last index");
                return None;
            };
            let first = axes.get(k).map_or(1, |a| a.first);
            picked.push(self.index_term(e, size, first, &name, env)?);
            rest = &rest[1..];
        }
        let t = self.store.at(base, &picked);
        if rest.is_empty() {
            return Some(t);
        }
        let first = axes.get(picked.len()).map_or(1, |a| a.first);
        self.slice(t, rest, first, span, env)
    }

    /// The chain's index is stored first, wherever it is written.
    pub fn storage_order(&self, id: EntId, indices: &[&'a Subscript]) -> Vec<&'a Subscript> {
        let mut out = indices.to_vec();
        let at = self.t.ents[id].chain_written;
        if at > 0 && at < out.len() {
            let x = out.remove(at);
            out.insert(0, x);
        }
        out
    }

    pub fn pick(&mut self, t: Term, indices: &[&'a Subscript], span: Span, env: &Env) -> Option<Term> {
        let shape = self.shape_of(t);
        let mut picked = vec![];
        let mut rest = indices;
        while let Some(Subscript::At(e)) = rest.first() {
            let Some(size) = shape.get(picked.len()) else {
                let what = format!("{} has no element to pick", self.shape_text(&shape));
                self.bad_index(what, span, "here", "leave out the last index");
                return None;
            };
            let text = self.t.text(span).to_string();
            picked.push(self.index_term(e, size, 1, &text, env)?);
            rest = &rest[1..];
        }
        let t = self.store.at(t, &picked);
        if rest.is_empty() {
            Some(t)
        } else {
            self.slice(t, rest, 1, span, env)
        }
    }

    fn slice(&mut self, t: Term, rest: &[&'a Subscript], first: i64, span: Span, env: &Env) -> Option<Term> {
        let ([Subscript::Slice(a, b)], false) = (rest, self.store.shape(t).is_empty()) else {
            self.bad_index(
                "a slice must be the last index of an array".into(),
                span,
                "here",
                "such as alpha[1..t]",
            );
            return None;
        };
        let Some(len) = self.t.slice_len(a, b) else {
            self.t.unsupported(
                "a slice whose length is not fixed, outside sum(…), mean(…) and prod(…),".into(),
                span,
                "sum, mean and prod take it: prod(alpha[1..t])",
            );
            return None;
        };
        let len = self.size(&len);
        let from = self.idx(a, env, first)?;
        let whole = self.shape_of(t)[0].clone();
        let inside = match (&len, &whole, from.base) {
            (Size::Const(n), Size::Const(m), None) => from.off >= first && from.off - first + *n as i64 <= *m as i64,
            _ => from.off >= first,
        };
        if !inside {
            self.bad_index(
                "the slice leaves the array".into(),
                span,
                "here",
                "both ends are included, from 1",
            );
            return None;
        }
        let from = self.idx_term(&from, first);
        Some(self.store.slice(t, from, len))
    }

    /// What varies faster than the statement cannot be meant by it.
    fn visible(&mut self, id: EntId, span: Span, env: &Env) -> Option<()> {
        let inner = self.t.ents[id].plate;
        let ent = &self.t.ents[id];
        if ent.role == crate::graph::Role::Param || self.t.visible(inner, env.plate) {
            return Some(());
        }
        let (name, inner) = (ent.name.clone(), self.t.plate_text(inner));
        let outer = self.t.plate_text(env.plate);
        let observed = matches!(ent.role, crate::graph::Role::Data | crate::graph::Role::Given);
        let help = if env.plate == 0 && observed {
            format!("what holds once cannot depend on {name}: leave out `global`, and it holds per {inner}")
        } else if env.plate == 0 {
            format!("make it one for all:  global latent {name} ~ …, or param {name}; or let this hold per {inner}")
        } else {
            format!("declare {name} inside  for each {outer} {{ }},  or move this statement to where {name} is")
        };
        self.t.error(ModelError::Plate {
            name,
            inner,
            outer,
            at: span,
            help,
        });
        None
    }
}

impl crate::tables::Tables<'_> {
    /// A value of plate `inner` has one meaning in plate `outer`.
    pub(crate) fn visible(&self, inner: usize, outer: usize) -> bool {
        let rows = |p: usize| match &self.plates[p].kind {
            PlateKind::Row { .. } => true,
            PlateKind::Chain { chain, .. } => self.chains[*chain].range.is_none(),
            _ => false,
        };
        let mut at = Some(outer);
        while let Some(p) = at {
            // all rows are the same rows, whatever groups them
            if p == inner || (matches!(self.plates[inner].kind, PlateKind::Row { parent: None }) && rows(p)) {
                return true;
            }
            at = self.parent(p);
        }
        match &self.plates[inner].kind {
            PlateKind::Global => true,
            // a ranged chain in a row is an array of the row
            PlateKind::Chain { chain, parent } if self.chains[*chain].range.is_some() => {
                parent.is_none_or(|p| self.visible(p, outer))
            }
            _ => false,
        }
    }
}
