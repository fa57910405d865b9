//! Names with their indices: variables, definitions, sizes, indices.

use crate::errors::ModelError;
use crate::lower::{Env, Idx, Lower, size_text};
use crate::tables::{EntId, Kind, Lhs, PlateKind, Rhs};
use lvmc_base::Span;
use lvmc_syntax::ast::{BinaryOp, Expr, ExprKind, Subscript};
use lvmc_term::{Size, Support, Term};

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

    pub fn bad_index(&mut self, what: String, at: Span, label: &str, help: &str) {
        self.t.error(ModelError::Index {
            what,
            at,
            label: label.into(),
            help: help.into(),
        });
    }

    /// `base + off − first` as a term.
    pub fn idx_term(&mut self, i: &Idx, first: i64) -> Term {
        let n = self.store.num((i.off - first) as f64);
        match i.base {
            Some(b) => self.store.add(b, n),
            None => n,
        }
    }

    /// An index's value as it is written (categories from 1).
    pub fn idx(&mut self, e: &'a Expr, env: &Env, first: i64) -> Option<Idx> {
        match &e.kind {
            ExprKind::Number(x) if x.fract() == 0.0 && x.abs() < 1e9 => Some(Idx {
                base: None,
                off: *x as i64,
            }),
            ExprKind::Binary(op @ (BinaryOp::Add | BinaryOp::Sub), a, b) => {
                if let ExprKind::Number(x) = b.kind
                    && x.fract() == 0.0
                    && x.abs() < 1e9
                {
                    let mut i = self.idx(a, env, first)?;
                    i.off += if *op == BinaryOp::Add { x as i64 } else { -(x as i64) };
                    return Some(i);
                }
                self.idx_value(e, env)
            }
            ExprKind::Name(_) | ExprKind::Index { .. } => self.idx_name(e, env, first),
            _ => self.idx_value(e, env),
        }
    }

    fn undeclared_index(&mut self, name: &str, at: Span) {
        let mut known: Vec<&str> = self.t.names.keys().map(String::as_str).collect();
        known.sort_unstable();
        let help = match crate::names::near(name, &known) {
            Some(c) => format!("did you mean `{c}`?"),
            None => {
                format!("a column of the data:  given {name} : category[K]\na hidden class:  {name} ~ Categorical(pi)")
            }
        };
        self.t.error(ModelError::Undeclared {
            name: name.into(),
            at,
            help,
        });
    }

    fn idx_value(&mut self, e: &'a Expr, env: &Env) -> Option<Idx> {
        let t = self.term(e, env)?;
        if !self.store.shape(t).is_empty() {
            let shape = self.shape_of(t);
            let what = format!("an index is one whole number, and this is {}", self.shape_text(&shape));
            self.bad_index(
                what,
                e.span,
                "as an index",
                "index by a category, an integer or a position",
            );
            return None;
        }
        Some(Idx { base: Some(t), off: 0 })
    }

    fn idx_name(&mut self, e: &'a Expr, env: &Env, first: i64) -> Option<Idx> {
        if let Some(i) = self.bound(e, env) {
            return Some(i);
        }
        if let ExprKind::Name(name) = &e.kind
            && self.t.find(name, self.t.stmts[env.stmt].guide).is_none()
        {
            self.undeclared_index(name, e.span);
            return None;
        }
        let code = self.reference(e, env)?;
        if !self.store.shape(code).is_empty() {
            return self.idx_value(e, env);
        }
        let off = match self.t.support_of(e, env.stmt) {
            Some(Support::Category(_)) => 1,
            Some(Support::Binary) => first,
            Some(Support::Real | Support::Positive | Support::Unit | Support::NonNegative)
                if self.is_variable(e, env) =>
            {
                let text = self.t.text(e.span).to_string();
                let what = format!("`{text}` is not a whole number, so it cannot be an index");
                let name = text.split('[').next().unwrap_or_default();
                self.bad_index(
                    what,
                    e.span,
                    "as an index",
                    &format!("declare it:  {name} : category[K]"),
                );
                return None;
            }
            _ => 0,
        };
        Some(Idx { base: Some(code), off })
    }

    fn is_variable(&self, e: &Expr, env: &Env) -> bool {
        let name = match &e.kind {
            ExprKind::Name(n) => n,
            ExprKind::Index { base, .. } => match &base.kind {
                ExprKind::Name(n) => n,
                _ => return false,
            },
            _ => return false,
        };
        let id = self.t.find(name, self.t.stmts[env.stmt].guide);
        id.is_some_and(|id| self.kind(id) == Kind::Var)
    }

    /// A 0-based index into an axis of that size.
    fn index_term(&mut self, e: &'a Expr, size: &Size, first: i64, of: &str, env: &Env) -> Option<Term> {
        let i = self.idx(e, env, first)?;
        if let (None, Size::Const(n)) = (i.base, size)
            && !(first..first + *n as i64).contains(&i.off)
        {
            let last = first + *n as i64 - 1;
            let what = format!("`{of}` has no element {}", i.off);
            self.bad_index(
                what,
                e.span,
                "outside",
                &format!("its indices run from {first} to {last}"),
            );
            return None;
        }
        let own = match self.t.support_of(e, env.stmt) {
            _ if self.bound(e, env).is_some() => None,
            Some(Support::Category(n)) => Some(self.size(&n)),
            Some(Support::Binary) => Some(Size::Const(2)),
            _ => None,
        };
        if let Some(own) = own
            && own != *size
            && !(own == Size::Const(2) && self.default_of(size) == Some(2))
        {
            let (a, b) = (size_text(&self.store, &own), size_text(&self.store, size));
            let text = self.t.text(e.span);
            let what = format!("`{text}` takes {a} values, and `{of}` has {b} elements there");
            self.bad_index(what, e.span, &format!("category[{a}]"), "use one size for both");
            return None;
        }
        Some(self.idx_term(&i, first))
    }

    fn default_of(&self, size: &Size) -> Option<usize> {
        let Size::Dim(d) = size else { return None };
        self.dims.infos.iter().find(|i| i.id == *d)?.default
    }

    fn variable(&mut self, id: EntId, indices: &[&'a Subscript], span: Span, env: &Env) -> Option<Term> {
        self.visible(id, span, env)?;
        let Some(sym) = self.syms[id] else { return None };
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
    fn storage_order(&self, id: EntId, indices: &[&'a Subscript]) -> Vec<&'a Subscript> {
        let mut out = indices.to_vec();
        let at = self.t.ents[id].chain_written;
        if at > 0 && at < out.len() {
            let x = out.remove(at);
            out.insert(0, x);
        }
        out
    }

    fn pick(&mut self, t: Term, indices: &[&'a Subscript], span: Span, env: &Env) -> Option<Term> {
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

    /// A definition put in place of its name.
    fn definition(&mut self, id: EntId, indices: &[&'a Subscript], span: Span, env: &Env) -> Option<Term> {
        let own = |s: &&usize| self.t.stmts[**s].ent == id && matches!(self.t.stmts[**s].rhs, Rhs::Equal(..));
        let all: Vec<usize> = (0..self.t.stmts.len()).collect();
        let Some(&s) = all.iter().find(own) else { return None };
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
