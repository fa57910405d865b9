//! Bodies of nets: names, functions and sizes checked; their derivation comes later.

use crate::errors::ModelError;
use crate::functions::{self, NET_FUNCTIONS, Shapes};
use crate::lower::Lower;
use crate::names::near;
use crate::tables::Kind;
use lvmc_base::{Span, closest};
use lvmc_syntax::ast::{BinaryOp, Expr, ExprKind, Ident};
use lvmc_term::{Shape, Size, sum_sizes};
use std::collections::HashMap;

/// Activations: functions that stand as a layer's last argument.
const ACTIVATIONS: [&str; 9] = [
    "relu", "silu", "gelu", "tanh", "sigmoid", "softplus", "exp", "softmax", "identity",
];

/// One net while it is checked.
struct Body<'b> {
    net: &'b str,
    known: HashMap<String, Option<Shape>>,
}

impl<'a> Lower<'a> {
    /// Checks every net.
    pub fn check_nets(&mut self) {
        for n in 0..self.t.nets.len() {
            let info = self.t.nets[n].clone();
            let syntax = info.syntax;
            let mut body = Body {
                net: &syntax.name.name,
                known: HashMap::new(),
            };
            for ((name, _), (_, shape)) in syntax.inputs.iter().zip(&info.inputs) {
                let shape = self.shape(shape);
                if body.known.insert(name.name.clone(), Some(shape)).is_some() {
                    self.net_error(
                        &body,
                        "an input is named twice".into(),
                        name.span,
                        "give it another name",
                    );
                }
            }
            for (targets, e, _) in &syntax.body {
                let shape = self.net_shape(&body, e);
                if let [one] = targets.as_slice() {
                    body.known.insert(one.name.clone(), shape);
                } else {
                    targets.iter().for_each(|t| {
                        body.known.insert(t.name.clone(), None);
                    });
                }
            }
            for ((name, ty), (_, want)) in syntax.outputs.iter().zip(&info.outputs) {
                let want = self.shape(want);
                match body.known.get(&name.name).cloned() {
                    None => {
                        let help = format!("add a line:  {} = dense(…, {})", name.name, self.t.text(ty.span));
                        self.net_error(
                            &body,
                            format!("its output `{}` is never defined", name.name),
                            name.span,
                            &help,
                        );
                    }
                    Some(Some(have)) if have != want => {
                        let what = format!(
                            "`{}` is {}, and its type says {}",
                            name.name,
                            self.shape_text(&have),
                            self.shape_text(&want)
                        );
                        self.net_error(&body, what, ty.span, "the last layer's size is the output's");
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn net_error(&mut self, body: &Body<'_>, what: String, at: Span, help: &str) {
        self.t.error(ModelError::Net {
            net: body.net.into(),
            what,
            at,
            help: help.into(),
        });
    }

    /// The shape of an expression of a net, where it is known.
    fn net_shape(&mut self, body: &Body<'_>, e: &Expr) -> Option<Shape> {
        match &e.kind {
            ExprKind::Number(_) => Some(vec![]),
            ExprKind::Name(name) => self.net_name(body, name, e.span),
            ExprKind::Unary(_, a) => self.net_shape(body, a),
            ExprKind::Binary(op, a, b) => {
                let (x, y) = (self.net_shape(body, a), self.net_shape(body, b));
                let (x, y) = (x?, y?);
                match (op, x.len(), y.len()) {
                    (BinaryOp::Mul, 2, 1) => Some(vec![x[0].clone()]),
                    (BinaryOp::Mul, 2, 2) => Some(vec![x[0].clone(), y[1].clone()]),
                    (_, 0, _) => Some(y),
                    (_, _, 0) => Some(x),
                    _ if x == y => Some(x),
                    _ => {
                        let what = format!("{} meets {}", self.shape_text(&x), self.shape_text(&y));
                        self.net_error(body, what, e.span, "bring them to one size first: dense(h, D)");
                        None
                    }
                }
            }
            ExprKind::If(c, a, b) => {
                self.net_shape(body, c);
                let x = self.net_shape(body, a);
                self.net_shape(body, b).filter(|_| x.is_none()).or(x)
            }
            ExprKind::Call { callee, args } => self.net_layer(body, e, callee, args),
            ExprKind::Index { base, .. } => {
                self.net_shape(body, base);
                None
            }
            ExprKind::Array(items) => {
                items.iter().for_each(|i| {
                    self.net_shape(body, i);
                });
                None
            }
            ExprKind::Match(..) => {
                self.net_error(
                    body,
                    "`match` stands outside nets".into(),
                    e.span,
                    "choose with if … then … else …",
                );
                None
            }
        }
    }

    fn net_name(&mut self, body: &Body<'_>, name: &str, at: Span) -> Option<Shape> {
        if let Some(shape) = body.known.get(name) {
            return shape.clone();
        }
        match self.t.names.get(name).map(|&id| (id, self.kind(id))) {
            Some((_, Kind::Dim(_))) => return Some(vec![]),
            Some((id, Kind::Const)) => {
                let shape = self.t.ents[id].shape.clone();
                return shape
                    .map(|s| self.shape(&s))
                    .filter(|_| self.t.ents[id].axes.is_empty());
            }
            Some(_) => {
                let what = format!("`{name}` is a variable of the model, and a net sees only its inputs");
                self.net_error(
                    body,
                    what,
                    at,
                    &format!("pass it as an input: net {}(…, {name} : real)", body.net),
                );
                return None;
            }
            None => {}
        }
        let names = body
            .known
            .keys()
            .map(String::as_str)
            .chain(self.t.names.keys().map(String::as_str));
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        let help = match near(name, &names) {
            Some(c) => format!("did you mean `{c}`?"),
            None => "names in a net are its inputs, lines above, sizes and constants".into(),
        };
        self.net_error(body, format!("`{name}` is not known here"), at, &help);
        None
    }

    fn net_layer(
        &mut self,
        body: &Body<'_>,
        e: &Expr,
        callee: &Ident,
        args: &[(Option<Ident>, Expr)],
    ) -> Option<Shape> {
        let name = callee.name.as_str();
        // an activation stands as a name
        let is_activation = |a: &Expr| matches!(&a.kind, ExprKind::Name(n) if ACTIVATIONS.contains(&n.as_str()));
        let mut shapes = vec![];
        for (i, (_, a)) in args.iter().enumerate() {
            let layer = i == 2 && matches!(name, "dense" | "residual");
            shapes.push(if layer || is_activation(a) {
                None
            } else {
                self.net_shape(body, a)
            });
        }
        let first = shapes.first().cloned().flatten();
        match name {
            "dense" | "residual" => {
                if let Some((_, a)) = args.get(2).filter(|(_, a)| !is_activation(a)) {
                    let text = self.t.text(a.span);
                    let help = match near(text, &ACTIVATIONS) {
                        Some(c) => format!("did you mean `{c}`?"),
                        None => format!("the activations are {}", ACTIVATIONS.join(", ")),
                    };
                    self.net_error(body, format!("there is no activation `{text}`"), a.span, &help);
                    return None;
                }
                if args.len() < 2 || args.len() > 3 {
                    let what = format!("`{name}` takes a vector, a size and perhaps an activation");
                    let help = format!("{name}(h, H, relu); the activations are {}", ACTIVATIONS.join(", "));
                    self.net_error(body, what, e.span, &help);
                    return None;
                }
                if let Some(x) = first.filter(|x| x.len() != 1) {
                    let what = format!("`{name}` takes a vector, and this is {}", self.shape_text(&x));
                    self.net_error(body, what, args[0].1.span, "lay parts end to end: concat(x, t)");
                }
                let n = self.t.size_of(&args[1].1)?;
                Some(vec![self.size(&n)])
            }
            "sinusoidal" | "embed" if args.len() == 2 => {
                let n = self.t.size_of(&args[1].1)?;
                Some(vec![self.size(&n)])
            }
            "silu" | "gelu" | "layernorm" | "dropout" | "identity" if !args.is_empty() => first,
            _ if NET_FUNCTIONS.contains(&name) => {
                self.net_error(
                    body,
                    format!("`{name}` with {} arguments", args.len()),
                    e.span,
                    "such as sinusoidal(t, H)",
                );
                None
            }
            _ => self.net_function(body, callee, shapes),
        }
    }

    fn net_function(&mut self, body: &Body<'_>, callee: &Ident, shapes: Vec<Option<Shape>>) -> Option<Shape> {
        let name = callee.name.as_str();
        if let Some(Kind::Net(k)) = self.t.names.get(name).map(|&id| self.kind(id)) {
            let out = self.t.nets[k].outputs.first().map(|(_, s)| s.clone())?;
            return Some(self.shape(&out));
        }
        let Some(f) = functions::find(name) else {
            let known: Vec<&str> = functions::FUNCTIONS
                .iter()
                .map(|f| f.name)
                .chain(NET_FUNCTIONS)
                .collect();
            let help = match closest(name, known.iter().copied()) {
                Some(c) => format!("did you mean `{c}`?"),
                None => format!("a net's own functions are {}", NET_FUNCTIONS.join(", ")),
            };
            self.net_error(body, format!("there is no function `{name}`"), callee.span, &help);
            return None;
        };
        if shapes.len() < f.arity.0 || shapes.len() > f.arity.1 {
            let what = format!("`{name}` takes {} arguments", f.arity.0);
            self.net_error(body, what, callee.span, &format!("here it has {}", shapes.len()));
            return None;
        }
        match f.shapes {
            Shapes::Scalar => Some(vec![]),
            Shapes::Same => shapes.into_iter().next()?,
            Shapes::Elementwise => shapes.into_iter().flatten().max_by_key(Vec::len),
            Shapes::Concat => {
                let parts: Vec<Shape> = shapes.into_iter().collect::<Option<_>>()?;
                Some(vec![sum_sizes(
                    parts.iter().map(|p| p.first().cloned().unwrap_or(Size::Const(1))),
                )])
            }
            _ => None,
        }
    }
}
