//! Expressions become terms; every mistake that is left is found here, with shapes known.

use crate::dims::DimMap;
use crate::errors::ModelError;
use crate::graph::VarId;
use crate::names::near;
use crate::tables::{Kind, Tables};
use lvmc_base::{Limit, Span};
use lvmc_syntax::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use lvmc_term::{Cmp, IxId, Shape, Size, Store, Support, SymId, Term};
use std::collections::HashMap;

/// A position's value as written: a term plus a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Idx {
    pub base: Option<Term>,
    pub off: i64,
}

/// What is bound around an expression.
#[derive(Debug, Clone)]
pub(crate) struct Env {
    /// The statement the expression stands in.
    pub stmt: usize,
    /// The plate its value is needed in.
    pub plate: usize,
    pub indices: Vec<(String, Idx)>,
    /// The chain's position where a bare name means the value at it.
    pub at: Option<Idx>,
}

/// A definition, the plate it is needed in, and the indices bound around it.
pub(crate) type Definition = (usize, usize, Vec<(String, Idx)>, Option<Idx>);

/// Definitions may be nested, and expressions in them, so deep.
const DEEPEST: usize = 400;

/// The last pass's state.
pub(crate) struct Lower<'a> {
    pub t: Tables<'a>,
    pub store: Store,
    pub dims: DimMap,
    pub syms: Vec<Option<SymId>>,
    pub var_of: Vec<Option<VarId>>,
    pub chain_ix: Vec<IxId>,
    /// Definitions already substituted, by name and bound indices.
    pub memo: HashMap<Definition, Option<Term>>,
    /// Vectors 1, 2, …, n for sums over slices of no fixed length.
    pub counts: Vec<(Size, SymId, IxId)>,
    pub depth: usize,
}

impl<'a> Lower<'a> {
    /// A size as the store knows it.
    pub fn size(&mut self, s: &Size) -> Size {
        self.dims.size(&mut self.t, &mut self.store, s)
    }

    pub fn shape(&mut self, shape: &[Size]) -> Shape {
        shape.iter().map(|s| self.size(s)).collect()
    }

    pub fn shape_text(&self, shape: &[Size]) -> String {
        let name = |s: &Size| size_text(&self.store, s);
        match shape {
            [] => "a single number".into(),
            [n] => format!("a vector of length {}", name(n)),
            [n, m] => format!("a {} × {} matrix", name(n), name(m)),
            more => format!("an array of {}", more.iter().map(name).collect::<Vec<_>>().join(" × ")),
        }
    }

    pub fn shape_of(&self, t: Term) -> Shape {
        self.store.shape(t).clone()
    }

    /// An expression as a value.
    pub fn term(&mut self, e: &'a Expr, env: &Env) -> Option<Term> {
        if self.depth > DEEPEST {
            self.t.error(ModelError::Limit(Limit {
                what: "the nesting of definitions".into(),
                found: format!("more than {DEEPEST}"),
                limit: DEEPEST.to_string(),
                advice: "define fewer names by one another".into(),
            }));
            return None;
        }
        self.depth += 1;
        let out = self.term_inner(e, env);
        self.depth -= 1;
        out
    }

    fn term_inner(&mut self, e: &'a Expr, env: &Env) -> Option<Term> {
        match &e.kind {
            ExprKind::Number(x) if x.is_nan() => None,
            ExprKind::Number(x) => Some(self.store.num(*x)),
            ExprKind::Name(_) | ExprKind::Index { .. } => {
                let t = self.reference(e, env)?;
                Some(self.written_value(e, t, env))
            }
            ExprKind::Call { callee, args } => self.call(e, callee, args, env),
            ExprKind::Unary(UnaryOp::Neg, a) => {
                let a = self.term(a, env)?;
                Some(self.store.neg(a))
            }
            ExprKind::Unary(UnaryOp::Not, a) => {
                let a = self.condition(a, env)?;
                Some(self.store.not(a))
            }
            ExprKind::Binary(op, a, b) => self.binary(*op, a, b, e.span, env),
            ExprKind::If(c, a, b) => {
                let c = self.condition(c, env);
                let (x, y) = (self.term(a, env), self.term(b, env));
                let (c, x, y) = (c?, x?, y?);
                self.fit("or", (a.span, x), (b.span, y))?;
                Some(self.store.select(c, x, y))
            }
            ExprKind::Match(on, arms) => self.match_value(on, arms, env),
            ExprKind::Array(items) => self.array(items, e.span, env),
        }
    }

    /// A category is stored from 0 and written from 1: as a number it is what is written.
    fn written_value(&mut self, e: &Expr, t: Term, env: &Env) -> Term {
        if matches!(self.t.support_of(e, env.stmt), Some(Support::Category(_))) && self.bound(e, env).is_none() {
            let one = self.store.num(1.0);
            self.store.add(t, one)
        } else {
            t
        }
    }

    pub fn bound(&self, e: &Expr, env: &Env) -> Option<Idx> {
        let ExprKind::Name(name) = &e.kind else { return None };
        env.indices
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, i)| i.clone())
    }

    fn match_value(&mut self, on: &'a Expr, arms: &'a [(Option<Expr>, Expr)], env: &Env) -> Option<Term> {
        let mut out: Option<Term> = None;
        for (i, (pattern, value)) in arms.iter().enumerate().rev() {
            let v = self.term(value, env)?;
            out = Some(match (&out, pattern) {
                (None, _) => v,
                (Some(_), None) => v,
                (Some(rest), Some(p)) => {
                    let rest = *rest;
                    let c = self.matches(on, p, env)?;
                    let after = &arms[i + 1].1;
                    self.fit("or", (value.span, v), (after.span, rest))?;
                    self.store.select(c, v, rest)
                }
            });
        }
        out
    }

    /// `on` has the value of the pattern: 1 or 0.
    pub fn equals(&mut self, on: &'a Expr, pattern: &'a Expr, env: &Env) -> Option<Term> {
        let (x, y) = (self.term(on, env)?, self.term(pattern, env)?);
        self.fit("=", (on.span, x), (pattern.span, y))?;
        // z + 1 = 2 reads better as z = 1
        if matches!(self.t.support_of(on, env.stmt), Some(Support::Category(_)))
            && let Some(k) = self.store.as_num(y)
        {
            let code = self.reference(on, env)?;
            let k = self.store.num(k - 1.0);
            return Some(self.store.cmp(Cmp::Eq, code, k));
        }
        Some(self.store.cmp(Cmp::Eq, x, y))
    }

    /// A pattern of `match` holds: one value against one value.
    pub fn matches(&mut self, on: &'a Expr, pattern: &'a Expr, env: &Env) -> Option<Term> {
        let c = self.equals(on, pattern, env)?;
        let shape = self.shape_of(c);
        if shape.is_empty() {
            return Some(c);
        }
        let found = self.shape_text(&shape);
        self.t.error(ModelError::Condition {
            at: pattern.span,
            found,
            help: "a pattern of `match` is one value: match z { 1 => …, 2 => … }".into(),
        });
        None
    }

    fn array(&mut self, items: &'a [Expr], at: Span, env: &Env) -> Option<Term> {
        let parts: Vec<Term> = items.iter().map(|i| self.term(i, env)).collect::<Option<_>>()?;
        let Some(&first) = parts.first() else {
            self.t.error(ModelError::ArrayLiteral {
                what: "an array literal has at least one part".into(),
                at,
                help: "such as [1, 2], or [[1, 0], [a, 0]]".into(),
            });
            return None;
        };
        let first = self.shape_of(first);
        for (item, &p) in items.iter().zip(&parts) {
            let shape = self.shape_of(p);
            if shape != first || shape.len() > 1 {
                let what = if shape.len() > 1 {
                    "an array literal has at most two levels".to_string()
                } else {
                    format!(
                        "the parts of an array differ: {} and {}",
                        self.shape_text(&first),
                        self.shape_text(&shape)
                    )
                };
                self.t.error(ModelError::ArrayLiteral {
                    what,
                    at: item.span,
                    help: "rows have equal lengths: [[1, 0], [a, 0]]; to lay vectors end to end: concat(u, v)".into(),
                });
                return None;
            }
        }
        Some(if first.is_empty() {
            self.store.stack(&parts)
        } else {
            self.store.stack_rows(&parts)
        })
    }

    /// Elementwise operands have equal shapes, or one is a number.
    pub fn fit(&mut self, operation: &str, a: (Span, Term), b: (Span, Term)) -> Option<()> {
        let (x, y) = (self.shape_of(a.1), self.shape_of(b.1));
        if x.is_empty() || y.is_empty() || x == y {
            return Some(());
        }
        self.mismatch(
            operation,
            (a.0, &x),
            (b.0, &y),
            "sizes are equal where they have one name: use it for both",
        );
        None
    }

    pub fn mismatch(&mut self, operation: &str, a: (Span, &[Size]), b: (Span, &[Size]), help: &str) {
        let (left, right) = (self.shape_text(a.1), self.shape_text(b.1));
        self.t.error(ModelError::ShapeMismatch {
            operation: operation.into(),
            left,
            right,
            at: a.0,
            other: b.0,
            help: help.into(),
        });
    }

    fn binary(&mut self, op: BinaryOp, a: &'a Expr, b: &'a Expr, span: Span, env: &Env) -> Option<Term> {
        use BinaryOp::{Add, And, Div, Eq, Ge, Gt, Le, Lt, Mul, Ne, Or, Pow, Sub};
        match op {
            And | Or => {
                let (x, y) = (self.condition(a, env), self.condition(b, env));
                let (x, y) = (x?, y?);
                return Some(self.logic(op == And, x, y));
            }
            Eq | Ne => {
                let flip = matches!(self.t.support_of(b, env.stmt), Some(Support::Category(_)));
                let c = if flip {
                    self.equals(b, a, env)?
                } else {
                    self.equals(a, b, env)?
                };
                return Some(if op == Ne { self.store.not(c) } else { c });
            }
            _ => {}
        }
        let (x, y) = (self.term(a, env), self.term(b, env));
        let (x, y) = (x?, y?);
        if op == Mul {
            return self.product(a, b, x, y, span);
        }
        let word = match op {
            Add => "+",
            Sub => "-",
            Div => "/",
            Pow => "^",
            _ => "compared with",
        };
        self.fit(word, (a.span, x), (b.span, y))?;
        let s = &mut self.store;
        Some(match op {
            Add => s.add(x, y),
            Sub => s.sub(x, y),
            Div => s.div(x, y),
            Pow => s.pow(x, y),
            Lt => s.cmp(Cmp::Lt, x, y),
            Le => s.cmp(Cmp::Le, x, y),
            Gt => s.cmp(Cmp::Lt, y, x),
            Ge => s.cmp(Cmp::Le, y, x),
            Eq | Ne | And | Or | Mul => return None,
        })
    }

    fn logic(&mut self, and: bool, x: Term, y: Term) -> Term {
        let (zero, one) = (self.store.num(0.0), self.store.num(1.0));
        let y_is = self.store.select(y, one, zero);
        if and {
            self.store.select(x, y_is, zero)
        } else {
            self.store.select(x, one, y_is)
        }
    }

    fn product(&mut self, a: &Expr, b: &Expr, x: Term, y: Term, span: Span) -> Option<Term> {
        let (sx, sy) = (self.shape_of(x), self.shape_of(y));
        let (ta, tb) = (self.t.text(a.span), self.t.text(b.span));
        match (sx.len(), sy.len()) {
            (0, _) | (_, 0) => Some(self.store.mul(x, y)),
            (2, 1) if sx[1] == sy[0] => Some(self.store.matvec(x, y)),
            (2, 2) if sx[1] == sy[0] => Some(self.store.matmul(x, y)),
            (1, 1) => {
                let help = format!("one number: dot({ta}, {tb})\nelement by element: diag({ta}) * {tb}");
                self.t.error(ModelError::VectorProduct { at: span, help });
                None
            }
            (1, 2) => {
                let help = format!("a matrix stands to the left of a vector: transpose({tb}) * {ta}");
                self.mismatch("*", (a.span, &sx), (b.span, &sy), &help);
                None
            }
            (2, 1 | 2) if sx[0] == sy[0] => {
                let help = format!("the columns of the first meet the rows of the second: transpose({ta}) * {tb}");
                self.mismatch("*", (a.span, &sx), (b.span, &sy), &help);
                None
            }
            _ => {
                self.mismatch(
                    "*",
                    (a.span, &sx),
                    (b.span, &sy),
                    "sizes are equal where they have one name",
                );
                None
            }
        }
    }

    /// A condition: a binary variable, a comparison, or these combined.
    pub fn condition(&mut self, e: &'a Expr, env: &Env) -> Option<Term> {
        let t = self.term(e, env)?;
        let text = self.t.text(e.span);
        let support = self.t.support_of(e, env.stmt);
        let (found, help) = match support {
            _ if !self.shape_of(t).is_empty() => {
                let shape = self.shape_of(t);
                (
                    self.shape_text(&shape),
                    "conditions are single: pick an element, x[1] > 0".to_string(),
                )
            }
            Some(Support::Category(_)) => (
                "a category".into(),
                format!("compare it: if {text} == 1 then … else …, or: match {text} {{ 1 => …, 2 => … }}"),
            ),
            Some(s) if s != Support::Binary => ("a number".into(), format!("compare it: {text} > 0")),
            _ => return Some(t),
        };
        self.t.error(ModelError::Condition {
            at: e.span,
            found,
            help,
        });
        None
    }

    /// An unknown name: the nearest known one, or how to declare it.
    pub fn undeclared(&mut self, name: &str, at: Span, stmt: usize) {
        let guide = self.t.stmts[stmt].guide;
        let mut known: Vec<&str> = self.t.names.keys().map(String::as_str).collect();
        if guide {
            known.extend(self.t.guide_names.keys().map(String::as_str));
        }
        known.sort_unstable();
        if self
            .t
            .errors
            .iter()
            .any(|e| matches!(e, ModelError::Undeclared { name: n, .. } if n == name))
        {
            return;
        }
        let help = match near(name, &known) {
            Some(c) => format!("did you mean `{c}`?"),
            None if lvmc_families::registry::find(name).is_some() => {
                format!("`{name}` is a distribution: it stands after `~`, with its arguments")
            }
            None if crate::functions::find(name).is_some() => format!("`{name}` is a function: {name}(…)"),
            None => format!("a column of the data:  given {name} : real\na quantity to estimate:  param {name} : real"),
        };
        self.t.error(ModelError::Undeclared {
            name: name.into(),
            at,
            help,
        });
    }

    pub fn kind(&self, id: usize) -> Kind {
        self.t.ents[id].kind
    }
}

/// `D`, `3`, `Q + 1`.
pub(crate) fn size_text(store: &Store, s: &Size) -> String {
    match s {
        Size::Const(n) => n.to_string(),
        Size::Dim(d) => store.dim(*d).name.clone(),
        Size::Sum(parts) => parts
            .iter()
            .map(|p| size_text(store, p))
            .collect::<Vec<_>>()
            .join(" + "),
    }
}
