//! Expressions in a net.

use super::Body;
use super::value::Value;
use crate::lower::Lower;
use crate::names::near;
use crate::tables::Kind;
use lvmc_base::Span;
use lvmc_syntax::ast::{BinaryOp, Expr, ExprKind, Subscript, UnaryOp};
use lvmc_term::{Cmp, Size, Term};

impl<'a> Lower<'a> {
    /// The value of an expression; `None` where a mistake was told.
    pub(super) fn net_value(&mut self, body: &mut Body<'a>, e: &'a Expr) -> Option<Value> {
        match &e.kind {
            ExprKind::Number(x) if x.is_nan() => None,
            ExprKind::Number(x) => Some(Value::plain(self.store.num(*x))),
            ExprKind::Name(name) => self.net_name(body, name, e.span),
            ExprKind::Unary(op, a) => {
                let v = self.net_value(body, a)?;
                let t = match op {
                    UnaryOp::Neg => self.store.neg(v.term),
                    UnaryOp::Not => self.store.not(v.term),
                };
                Some(v.same_layout(t))
            }
            ExprKind::Binary(op, a, b) => {
                let (x, y) = (self.net_value(body, a), self.net_value(body, b));
                self.net_binary(body, *op, &x?, &y?, e.span)
            }
            ExprKind::If(c, a, b) => {
                let (c, a, b) = (
                    self.net_value(body, c),
                    self.net_value(body, a),
                    self.net_value(body, b),
                );
                self.net_choice(body, (c?, a?, b?), e.span)
            }
            ExprKind::Call { callee, args } => self.net_call_value(body, e, callee, args),
            ExprKind::Index { base, indices } => self.net_index(body, base, indices),
            ExprKind::Array(items) => self.net_array(body, items, e.span),
            ExprKind::Match(..) => {
                let what = "`match` stands outside nets".into();
                self.net_error(body, what, e.span, "choose with if … then … else …");
                None
            }
        }
    }

    fn net_name(&mut self, body: &Body<'a>, name: &str, at: Span) -> Option<Value> {
        if let Some(value) = body.known.get(name) {
            return value.clone();
        }
        match self.t.names.get(name).map(|&id| (id, self.kind(id))) {
            Some((_, Kind::Dim(d))) => {
                let n = self.size(&Size::Dim(d));
                return Some(Value::plain(self.store.size(n)));
            }
            Some((id, Kind::Const)) => {
                let sym = self.syms[id]?;
                return Some(Value::plain(self.store.var(sym)));
            }
            Some((_, Kind::Net(_))) => {
                let help = format!("apply it: {name}(…)");
                self.net_error(body, format!("`{name}` is a net"), at, &help);
                return None;
            }
            Some(_) => {
                let what = format!("`{name}` is a variable of the model, and a net sees only its inputs");
                let help = format!("pass it as an input: net {}(…, {name} : real)", body.net);
                self.net_error(body, what, at, &help);
                return None;
            }
            None => {}
        }
        let names = body.known.keys().map(String::as_str);
        let mut names: Vec<&str> = names.chain(self.t.names.keys().map(String::as_str)).collect();
        names.sort_unstable();
        let help = match near(name, &names) {
            Some(c) => format!("did you mean `{c}`?"),
            None => "names in a net are its inputs, lines above, sizes and constants".into(),
        };
        self.net_error(body, format!("`{name}` is not known here"), at, &help);
        None
    }

    fn net_binary(&mut self, body: &Body<'a>, op: BinaryOp, x: &Value, y: &Value, at: Span) -> Option<Value> {
        if op == BinaryOp::Mul
            && x.image.is_none()
            && y.image.is_none()
            && let (2, 1 | 2) = (self.shape_of(x.term).len(), self.shape_of(y.term).len())
        {
            return self.net_product(body, x.term, y.term, at).map(Value::plain);
        }
        let (x, y) = self.paired(body, x, y, at)?;
        let layout = if x.image.is_some() { x.clone() } else { y.clone() };
        let (a, b) = (x.term, y.term);
        let s = &mut self.store;
        let t = match op {
            BinaryOp::Add => s.add(a, b),
            BinaryOp::Sub => s.sub(a, b),
            BinaryOp::Mul => s.mul(a, b),
            BinaryOp::Div => s.div(a, b),
            BinaryOp::Pow => s.pow(a, b),
            BinaryOp::Lt => s.cmp(Cmp::Lt, a, b),
            BinaryOp::Le => s.cmp(Cmp::Le, a, b),
            BinaryOp::Gt => s.cmp(Cmp::Lt, b, a),
            BinaryOp::Ge => s.cmp(Cmp::Le, b, a),
            BinaryOp::Eq => s.cmp(Cmp::Eq, a, b),
            BinaryOp::Ne => {
                let same = s.cmp(Cmp::Eq, a, b);
                s.not(same)
            }
            BinaryOp::And | BinaryOp::Or => {
                let (zero, one) = (s.num(0.0), s.num(1.0));
                let holds = s.select(b, one, zero);
                if op == BinaryOp::And {
                    s.select(a, holds, zero)
                } else {
                    s.select(a, one, holds)
                }
            }
        };
        Some(layout.same_layout(t))
    }

    /// Matrix times vector or matrix.
    fn net_product(&mut self, body: &Body<'a>, x: Term, y: Term, at: Span) -> Option<Term> {
        let (sx, mut sy) = (self.shape_of(x), self.shape_of(y));
        if self.number(&sx[1]) != self.number(&sy[0]) || (sx[1] != sy[0] && self.number(&sx[1]).is_none()) {
            let what = format!("{} meets {}", self.shape_text(&sx), self.shape_text(&sy));
            let help = "the columns of the first meet the rows of the second";
            self.net_error(body, what, at, help);
            return None;
        }
        sy[0] = sx[1].clone();
        let y = self.store.reshape(y, sy.clone());
        Some(if sy.len() == 1 {
            self.store.matvec(x, y)
        } else {
            self.store.matmul(x, y)
        })
    }

    /// `if c then a else b`, of numbers or element by element.
    fn net_choice(&mut self, body: &Body<'a>, (c, a, b): (Value, Value, Value), at: Span) -> Option<Value> {
        let (a, b) = self.paired(body, &a, &b, at)?;
        let (c, a) = self.paired(body, &c, &a, at)?;
        let (c, b) = self.paired(body, &c, &b, at)?;
        let (_, a) = self.paired(body, &c, &a, at)?;
        let layout = [&a, &b, &c]
            .into_iter()
            .find(|v| v.image.is_some())
            .unwrap_or(&a)
            .clone();
        let t = self.store.select(c.term, a.term, b.term);
        Some(layout.same_layout(t))
    }

    /// `h[1]`, `h[1..Q]`, `beta[t]`: positions count from 1, or from a constant's first.
    fn net_index(&mut self, body: &mut Body<'a>, base: &'a Expr, indices: &'a [Subscript]) -> Option<Value> {
        let v = self.net_value(body, base)?;
        let mut t = self.settled(&v);
        let shape = self.shape_of(t);
        if indices.len() > shape.len() {
            let what = format!("{} indices into {}", indices.len(), self.shape_text(&shape));
            self.net_error(body, what, base.span, "one index an axis, at most: h[1]");
            return None;
        }
        let firsts = match &base.kind {
            ExprKind::Name(name) if !body.known.contains_key(name) => match self.t.names.get(name) {
                Some(&id) => self.t.ents[id].axes.iter().map(|a| a.first).collect(),
                None => vec![],
            },
            _ => vec![],
        };
        for (i, ix) in indices.iter().enumerate() {
            let first = firsts.get(i).copied().unwrap_or(1);
            t = match ix {
                Subscript::At(e) => {
                    let at = self.net_value(body, e)?;
                    let at = self.settled(&at);
                    if !self.shape_of(at).is_empty() {
                        let what = "an index is one number".into();
                        self.net_error(body, what, e.span, "such as h[1]");
                        return None;
                    }
                    let first = self.store.num(first as f64);
                    let at = self.store.sub(at, first);
                    self.in_range(body, at, &shape[i], e.span)?;
                    self.store.at(t, &[at])
                }
                Subscript::Slice(a, b) => self.net_slice(body, t, (i, indices.len()), (a, b), first)?,
            };
        }
        Some(Value::plain(t))
    }

    /// A fixed position lies inside.
    fn in_range(&mut self, body: &Body<'a>, at: Term, n: &Size, span: Span) -> Option<()> {
        let (Some(at), Some(n)) = (self.store.as_num(at), self.number(n)) else {
            return Some(());
        };
        if at >= 0.0 && at < n as f64 {
            return Some(());
        }
        let what = format!("there is no such element: the axis has {n}");
        self.net_error(body, what, span, "elements count from 1");
        None
    }

    fn net_slice(
        &mut self,
        body: &Body<'a>,
        t: Term,
        (i, of): (usize, usize),
        (a, b): (&'a Expr, &'a Expr),
        first: i64,
    ) -> Option<Term> {
        let at = Span {
            start: a.span.start,
            end: b.span.end,
        };
        let start = self.t.value_of(a, 0).filter(|x| x.fract() == 0.0);
        let len = self.t.slice_len(a, b);
        let (Some(start), Some(len), (0, 1)) = (start, len, (i, of)) else {
            let what = "a slice here has fixed ends and is the only index".into();
            self.net_error(body, what, at, "such as h[1..3]");
            return None;
        };
        let len = self.size(&len);
        let axis = self.shape_of(t)[0].clone();
        let from = start - first as f64;
        let beyond = match (self.number(&len), self.number(&axis)) {
            (Some(n), Some(all)) => from + n as f64 > all as f64,
            _ => false,
        };
        if from < 0.0 || beyond {
            let what = format!("it reaches outside of {}", self.shape_text(&[axis]));
            self.net_error(body, what, at, "elements count from 1");
            return None;
        }
        let from = self.store.num(from);
        Some(self.store.slice(t, from, len))
    }

    fn net_array(&mut self, body: &mut Body<'a>, items: &'a [Expr], at: Span) -> Option<Value> {
        let values: Vec<Option<Value>> = items.iter().map(|i| self.net_value(body, i)).collect();
        let values: Vec<Value> = values.into_iter().collect::<Option<_>>()?;
        let parts: Vec<Term> = values.iter().map(|v| self.settled(v)).collect();
        let first = self.shape_of(*parts.first()?);
        if first.len() > 1 || parts.iter().any(|&p| self.shape_of(p) != first) {
            let what = "the parts of an array literal are numbers, or vectors of one length".into();
            self.net_error(body, what, at, "to lay vectors end to end: concat(u, v)");
            return None;
        }
        Some(Value::plain(if first.is_empty() {
            self.store.stack(&parts)
        } else {
            self.store.stack_rows(&parts)
        }))
    }
}
