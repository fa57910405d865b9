//! Indices: what is written, offset to what is stored, held to the axis it picks from.

use crate::errors::ModelError;
use crate::lower::{Env, Idx, Lower, size_text};
use crate::tables::Kind;
use lvmc_base::Span;
use lvmc_syntax::ast::{BinaryOp, Expr, ExprKind};
use lvmc_term::{Size, Support, Term};

impl<'a> Lower<'a> {
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
    pub fn index_term(&mut self, e: &'a Expr, size: &Size, first: i64, of: &str, env: &Env) -> Option<Term> {
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
}
