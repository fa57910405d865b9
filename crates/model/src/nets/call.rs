//! Calls in a net: layers, the language's functions, other nets.

use super::images::Kernel;
use super::value::Value;
use super::{ACTIVATIONS, Body};
use crate::errors::ModelError;
use crate::functions::{self, Function, NET_FUNCTIONS, Op};
use crate::lower::Lower;
use crate::tables::Kind;
use lvmc_base::{Span, closest};
use lvmc_syntax::ast::{Expr, ExprKind, Ident};
use lvmc_term::{Size, Support, Term};

type Args<'a> = &'a [(Option<Ident>, Expr)];

impl<'a> Lower<'a> {
    pub(super) fn net_call_value(
        &mut self,
        body: &mut Body<'a>,
        e: &'a Expr,
        callee: &'a Ident,
        args: Args<'a>,
    ) -> Option<Value> {
        let name = callee.name.as_str();
        if let Some((Some(key), _)) = args.iter().find(|(n, _)| n.is_some())
            && !(key.name == "stride" && name.starts_with("conv"))
        {
            let what = format!("`{name}` takes its arguments by position");
            self.net_error(body, what, key.span, &format!("leave out `{} =`", key.name));
            return None;
        }
        match (name, args) {
            ("dense" | "residual", [x, n] | [x, n, _]) => {
                self.dense_call(body, name == "residual", &x.1, &n.1, args.get(2).map(|a| &a.1))
            }
            ("conv2d" | "conv_transpose2d", [x, _, _, ..]) if args.len() <= 5 => {
                let x = self.net_value(body, &x.1);
                let (kernel, act) = self.kernel(body, e, args)?;
                let v = match name {
                    "conv2d" => self.conv2d(body, &x?, &kernel)?,
                    _ => self.conv_transpose2d(body, &x?, &kernel)?,
                };
                self.activated(body, act, &v, e.span)
            }
            ("layernorm", [(_, x)]) => {
                let v = self.net_value(body, x)?;
                self.layernorm(body, &v, e.span)
            }
            ("dropout", [(_, x), (_, p)]) => {
                let (v, p) = (self.net_value(body, x), self.net_value(body, p));
                let (v, p) = (v?, p?);
                let p = self.settled(&p);
                self.dropout(body, &v, p, args[1].1.span)
            }
            ("embed" | "embedding", [(_, c), (_, n)] | [(_, c), (_, n), _]) => {
                self.embedding(body, c, n, args.get(2).map(|a| &a.1))
            }
            ("sinusoidal", [(_, t), (_, n)]) => {
                let v = self.net_value(body, t)?;
                let x = self.settled(&v);
                let x = self.single(body, x, t.span, "sinusoidal(t, H)")?;
                let n = self.t.size_of(n)?;
                let n = self.size(&n);
                Some(Value::plain(self.sinusoidal(x, &n)))
            }
            ("flatten", [(_, x)]) => {
                let v = self.net_value(body, x)?;
                self.flattened(body, &v, x.span).map(Value::plain)
            }
            ("reshape", [(_, x), sizes @ ..]) if !sizes.is_empty() && sizes.len() <= 3 => {
                self.reshape_call(body, x, sizes, e.span)
            }
            ("concat", [_, ..]) => self.concat(body, args),
            (act, [(_, x)]) if ACTIVATIONS.contains(&act) => {
                let v = self.net_value(body, x)?;
                self.activated(body, act, &v, x.span)
            }
            _ if NET_FUNCTIONS.contains(&name) => {
                let n = args.len();
                let what = format!("`{name}` with {n} argument{}", if n == 1 { "" } else { "s" });
                self.net_error(body, what, e.span, &format!("such as {}", example(name)));
                None
            }
            _ => self.net_function(body, e, callee, args),
        }
    }

    /// `dense(h, n, act)`, or h + dense(h, n, act).
    fn dense_call(
        &mut self,
        body: &mut Body<'a>,
        residual: bool,
        x: &'a Expr,
        n: &'a Expr,
        act: Option<&'a Expr>,
    ) -> Option<Value> {
        let h = self.net_value(body, x);
        let act = match act {
            Some(a) => self.activation(body, a)?,
            None => "identity",
        };
        let n = self.t.size_of(n)?;
        let n = self.size(&n);
        let h = self.flattened(body, &h?, x.span)?;
        let wh = self.dense(body, h, n, x.span)?;
        let f = self.activated(body, act, &Value::plain(wh), x.span)?;
        if !residual {
            return Some(f);
        }
        let (h, f) = self.paired(body, &Value::plain(h), &f, x.span)?;
        Some(Value::plain(self.store.add(h.term, f.term)))
    }

    /// Channels, size, stride and activation of `conv2d(x, C, 3, 2, relu)`.
    fn kernel(&mut self, body: &Body<'a>, e: &'a Expr, args: Args<'a>) -> Option<(Kernel, &'static str)> {
        let channels = self.t.size_of(&args[1].1)?;
        let channels = self.size(&channels);
        let size = self.t.size_of(&args[2].1)?;
        let size = self.size(&size);
        let size = self.whole(body, &size, args[2].1.span)?;
        let (mut stride, mut act) = (1, "identity");
        for (key, a) in &args[3..] {
            let is_name = matches!(&a.kind, ExprKind::Name(n) if self.t.value_of_name(n, 0).is_none());
            if key.is_none() && is_name {
                act = self.activation(body, a)?;
            } else {
                let n = self.t.size_of(a)?;
                let n = self.size(&n);
                stride = self.whole(body, &n, a.span)?;
            }
        }
        let kernel = Kernel {
            channels,
            size,
            stride,
            at: e.span,
        };
        Some((kernel, act))
    }

    fn embedding(&mut self, body: &mut Body<'a>, c: &'a Expr, n: &'a Expr, values: Option<&'a Expr>) -> Option<Value> {
        let v = self.net_value(body, c)?;
        let code = self.settled(&v);
        let code = self.single(body, code, c.span, "embedding(c, H)")?;
        let n = self.t.size_of(n)?;
        let n = self.size(&n);
        let input = match &c.kind {
            ExprKind::Name(name) => body.inputs.iter().position(|(i, _)| i.name == *name),
            _ => None,
        };
        let of_type = match input.and_then(|i| body.input_supports.get(i)) {
            Some(Support::Category(values)) => Some(values.clone()),
            Some(Support::Binary) => {
                let help = "a category counts from 1: embedding(c + 1, H, 2)";
                self.net_error(body, "a binary input is 0 or 1".into(), c.span, help);
                return None;
            }
            _ => None,
        };
        let values = match (values, of_type) {
            (Some(e), _) => {
                let n = self.t.size_of(e)?;
                self.size(&n)
            }
            (None, Some(values)) => values,
            (None, None) => {
                let text = self.t.text(c.span);
                let help = format!(
                    "say how many values there are, from 1: embedding({text}, H, 10)\nor make it an input of type category[V]"
                );
                let what = format!("how many values `{text}` has is not known");
                self.net_error(body, what, c.span, &help);
                return None;
            }
        };
        self.embedded(body, code, (values, n), c.span)
    }

    /// One number.
    fn single(&mut self, body: &Body<'a>, t: Term, at: Span, example: &str) -> Option<Term> {
        let shape = self.shape_of(t);
        if shape.is_empty() {
            return Some(t);
        }
        let what = format!("one number is needed, and this is {}", self.shape_text(&shape));
        self.net_error(body, what, at, &format!("such as {example}"));
        None
    }

    fn reshape_call(&mut self, body: &mut Body<'a>, x: &'a Expr, sizes: Args<'a>, at: Span) -> Option<Value> {
        let v = self.net_value(body, x)?;
        let mut shape = vec![];
        for (_, e) in sizes {
            let n = self.t.size_of(e)?;
            shape.push(self.size(&n));
        }
        let have = self.value_shape(&v);
        let t = self.settled(&v);
        if let Some(t) = self.aligned(t, &shape) {
            return Some(Value::plain(t));
        }
        let (n, m) = (self.elements(body, &have, x.span)?, self.elements(body, &shape, at)?);
        if n != m {
            let what = format!(
                "{} has {n} elements, and {} has {m}",
                self.shape_text(&have),
                self.shape_text(&shape)
            );
            self.net_error(body, what, at, "a layer changes the number of elements: dense(h, H)");
            return None;
        }
        Some(Value::plain(self.store.reshape(t, shape)))
    }

    /// Numbers and vectors end to end; arrays along their first axis where the others agree.
    fn concat(&mut self, body: &mut Body<'a>, args: Args<'a>) -> Option<Value> {
        let values: Vec<Option<Value>> = args.iter().map(|(_, a)| self.net_value(body, a)).collect();
        let values: Vec<Value> = values.into_iter().collect::<Option<_>>()?;
        let terms: Vec<Term> = values.iter().map(|v| self.settled(v)).collect();
        let first = self.shape_of(terms[0]);
        if terms.iter().all(|&t| self.shape_of(t).len() <= 1) {
            return Some(Value::plain(self.store.stack(&terms)));
        }
        let mut parts = vec![];
        let mut along = vec![];
        for ((_, a), &t) in args.iter().zip(&terms) {
            let shape = self.shape_of(t);
            let rest: Vec<Size> = first.get(1..).unwrap_or_default().to_vec();
            let fits = shape.len() == first.len() && self.numbers(&shape[1..]) == self.numbers(&rest);
            if !fits {
                let what = format!("{} meets {}", self.shape_text(&first), self.shape_text(&shape));
                self.net_error(body, what, a.span, "lay arrays out first: concat(flatten(x), h)");
                return None;
            }
            along.push(shape[0].clone());
            parts.push(self.flattened(body, &Value::plain(t), a.span)?);
        }
        let all = self.store.stack(&parts);
        let shape: Vec<Size> = std::iter::once(lvmc_term::sum_sizes(along))
            .chain(first[1..].iter().cloned())
            .collect();
        Some(Value::plain(self.store.reshape(all, shape)))
    }

    fn net_function(&mut self, body: &mut Body<'a>, e: &'a Expr, callee: &Ident, args: Args<'a>) -> Option<Value> {
        if let Some(Kind::Net(_)) = self.t.names.get(&callee.name).map(|&id| self.kind(id)) {
            return self.net_outputs_of_call(body, e, 1, e.span)?.pop();
        }
        let Some(f) = functions::find(&callee.name) else {
            self.no_function(body, callee);
            return None;
        };
        if args.len() < f.arity.0 || args.len() > f.arity.1 {
            let what = format!("`{}` takes {} arguments", f.name, f.arity.0);
            self.net_error(body, what, callee.span, &format!("here it has {}", args.len()));
            return None;
        }
        let values: Vec<Option<Value>> = args.iter().map(|(_, a)| self.net_value(body, a)).collect();
        let mut values: Vec<Value> = values.into_iter().collect::<Option<_>>()?;
        if let Op::Fun(g) = f.op {
            let v = values.pop()?;
            let t = self.store.fun(g, v.term);
            return Some(v.same_layout(t));
        }
        if let (Op::Max | Op::Min | Op::Pow, [x, y]) = (f.op, values.as_slice()) {
            let (x, y) = self.paired(body, &x.clone(), &y.clone(), e.span)?;
            let layout = if x.image.is_some() { x.clone() } else { y.clone() };
            let t = self.apply(f, args, &[x.term, y.term])?;
            return Some(layout.same_layout(t));
        }
        let terms = self.function_arguments(f, args, &values)?;
        self.apply(f, args, &terms).map(Value::plain)
    }

    fn function_arguments(&mut self, f: &Function, args: Args<'a>, values: &[Value]) -> Option<Vec<Term>> {
        let mut terms = vec![];
        for ((_, a), v) in args.iter().zip(values) {
            let t = self.settled(v);
            self.rank_fits(f, t, a.span)?;
            terms.push(t);
        }
        Some(terms)
    }

    fn no_function(&mut self, body: &Body<'a>, callee: &Ident) {
        let name = callee.name.as_str();
        let nets = self.t.nets.iter().map(|n| n.syntax.name.name.as_str());
        let known: Vec<&str> = functions::FUNCTIONS
            .iter()
            .map(|f| f.name)
            .chain(NET_FUNCTIONS)
            .chain(nets)
            .collect();
        let help = match closest(name, known.iter().copied()) {
            Some(c) => format!("did you mean `{c}`?"),
            None => format!("a net's own functions are {}", NET_FUNCTIONS.join(", ")),
        };
        self.net_error(body, format!("there is no function `{name}`"), callee.span, &help);
    }

    /// All outputs of a call of another net, taken by `names` names.
    pub(super) fn net_outputs_of_call(
        &mut self,
        body: &mut Body<'a>,
        e: &'a Expr,
        names: usize,
        at: Span,
    ) -> Option<Vec<Value>> {
        let found = match &e.kind {
            ExprKind::Call { callee, args } => match self.t.names.get(&callee.name).map(|&id| self.kind(id)) {
                Some(Kind::Net(net)) => Some((net, callee, args)),
                _ => None,
            },
            _ => None,
        };
        let Some((net, callee, args)) = found else {
            self.net_value(body, e)?;
            self.t.error(ModelError::Results {
                left: names,
                right: 1,
                at,
                help: "several names take the outputs of a net: m, v = encoder(x)".into(),
            });
            return None;
        };
        let info = self.t.nets[net].clone();
        if info.outputs.len() != names {
            let list: Vec<&str> = info.syntax.outputs.iter().map(|(n, _)| n.name.as_str()).collect();
            self.t.error(ModelError::Results {
                left: names,
                right: info.outputs.len(),
                at: e.span,
                help: format!("take them apart first: {} = {}(…)", list.join(", "), callee.name),
            });
            return None;
        }
        if args.len() != info.inputs.len() {
            let list: Vec<&str> = info.syntax.inputs.iter().map(|(n, _)| n.name.as_str()).collect();
            let what = format!(
                "`{}` takes {}, and here it has {} arguments",
                callee.name,
                list.join(", "),
                args.len()
            );
            self.net_error(body, what, e.span, &format!("{}({})", callee.name, list.join(", ")));
            return None;
        }
        let mut terms = vec![];
        for (i, ((_, a), (_, want))) in args.iter().zip(&info.inputs).enumerate() {
            let want = self.shape(want);
            let v = self.net_value(body, a)?;
            let have = self.value_shape(&v);
            let t = self.settled(&v);
            self.whole_argument(net, i, t, a.span)?;
            let fits = match have.is_empty() {
                true => Some(self.store.fill(t, want.clone())),
                false => self.aligned(t, &want),
            };
            let Some(t) = fits else {
                let (have, want) = (self.shape_text(&have), self.shape_text(&want));
                let what = format!("`{}` takes {want} here, and this is {have}", callee.name);
                self.net_error(body, what, a.span, "bring it to that size first: dense(h, D)");
                return None;
            };
            terms.push(t);
        }
        let mut out = vec![];
        for (k, (_, shape)) in info.outputs.iter().enumerate() {
            let shape = self.shape(shape);
            out.push(Value::plain(self.store.net(net as u32, k as u32, &terms, shape)));
        }
        Some(out)
    }
}

/// A call as it should be.
fn example(name: &str) -> &'static str {
    match name {
        "dense" => "dense(h, H, relu): a vector, a size and perhaps an activation",
        "residual" => "residual(h, H, relu): a vector, its size and perhaps an activation",
        "conv2d" => "conv2d(x, 16, 3, stride = 2, relu): an image, channels, size, and perhaps stride and activation",
        "conv_transpose2d" => "conv_transpose2d(x, 16, 4, stride = 2, relu)",
        "dropout" => "dropout(h, 0.1): a vector and the probability that an element is left out",
        "embed" | "embedding" => "embedding(c, H): a category and a size",
        "reshape" => "reshape(h, 8, 8): an array and its new sizes",
        "sinusoidal" => "sinusoidal(t, H): a number and a size",
        "layernorm" => "layernorm(h)",
        _ => "silu(h)",
    }
}
