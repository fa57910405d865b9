//! Nets become terms: each output a term over the net's arguments and weights, sizes checked on the way.
//!
//! A net is a function of the language: a layer is a matrix product, an activation an elementwise function, and a gradient
//! needs no rule of its own. What a layer adds is its weights (parameters of the model with a start) and, of dropout, a mask.

mod call;
mod expr;
mod images;
mod layers;
mod outputs;
mod value;

use crate::errors::ModelError;
use crate::graph::{Dropout, Net, PlateId, Role, Start, Var, VarId, Weight};
use crate::lower::Lower;
use lvmc_base::Span;
use lvmc_syntax::ast;
use lvmc_term::{Node, Shape, Size, Support, Sym, SymId, SymKind, Term, children};
use std::collections::HashMap;
use value::Value;

/// Activations: functions that stand as a layer's last argument.
const ACTIVATIONS: [&str; 9] = [
    "relu", "silu", "gelu", "tanh", "sigmoid", "softplus", "exp", "softmax", "identity",
];

/// A net may apply others, and these others, so often in all.
const MOST_CALLS: usize = 10_000;

/// Functions of functions, so deep at most, nets inside nets included.
const DEEPEST: usize = 3000;

/// One net while it is lowered.
struct Body<'a> {
    net: &'a str,
    inputs: &'a [(ast::Ident, ast::Type)],
    input_supports: Vec<Support>,
    /// Names so far; `None` where a mistake was told already.
    known: HashMap<String, Option<Value>>,
    /// The name that the line defines, and how many layers each name has.
    line: String,
    layers: HashMap<String, usize>,
    weights: Vec<(SymId, Span, Start)>,
    noises: Vec<Dropout>,
}

/// What a net became; its weights are variables only once all variables are numbered.
pub(crate) struct Made {
    net: Net,
    weights: Vec<(SymId, Span, Start)>,
}

impl<'a> Lower<'a> {
    /// Every net as terms.
    pub fn lower_nets(&mut self) -> Vec<Made> {
        let made: Vec<Made> = (0..self.t.nets.len()).map(|n| self.lower_net(n)).collect();
        self.applied_often(&made);
        made
    }

    /// The weights become variables, after all others.
    pub fn net_vars(&mut self, made: Vec<Made>, vars: &mut Vec<Var>) -> Vec<Net> {
        let mut nets = vec![];
        for Made { mut net, weights } in made {
            for (sym, span, start) in weights {
                net.weights.push(Weight {
                    var: VarId::from_index(vars.len()),
                    start,
                });
                let name = self.store.sym(sym).name.clone();
                vars.push(Var {
                    sym,
                    because: format!("weights of {}", net.syntax.name.name),
                    name,
                    role: Role::Param,
                    family_first: vec![],
                    plate: PlateId::from_index(0),
                    span,
                    observed_as: None,
                    observed_at: None,
                    ranges: vec![],
                });
            }
            nets.push(net);
        }
        nets
    }

    fn lower_net(&mut self, n: usize) -> Made {
        let info = self.t.nets[n].clone();
        let syntax = info.syntax;
        let mut body = Body {
            net: &syntax.name.name,
            inputs: &syntax.inputs,
            input_supports: vec![],
            known: HashMap::new(),
            line: String::new(),
            layers: HashMap::new(),
            weights: vec![],
            noises: vec![],
        };
        let mut arguments = vec![];
        for ((name, _), (support, shape)) in syntax.inputs.iter().zip(&info.inputs) {
            let shape = self.shape(shape);
            let support = match support {
                Support::Category(n) => Support::Category(self.size(n)),
                other => other.clone(),
            };
            let sym = self.net_argument(&body, &name.name, shape, &support);
            body.input_supports.push(support);
            let term = self.store.var(sym);
            arguments.push(sym);
            if body.known.insert(name.name.clone(), Some(Value::plain(term))).is_some() {
                let what = "an input is named twice";
                self.net_error(&body, what.into(), name.span, "give it another name");
            }
        }
        for (targets, e, span) in &syntax.body {
            self.net_line(&mut body, targets, e, *span);
        }
        let outputs: Vec<(Support, Shape)> = info
            .outputs
            .iter()
            .map(|(support, shape)| (support.clone(), self.shape(shape)))
            .collect();
        let results = self.net_outputs(&body, &syntax.outputs, &outputs);
        for (k, (name, _)) in syntax.outputs.iter().enumerate() {
            let own = match outputs.len() {
                1 => body.net.to_string(),
                _ => format!("{}.{}", body.net, name.name),
            };
            self.store.set_net_name(n as u32, k as u32, own);
        }
        let inputs: Vec<Shape> = info.inputs.iter().map(|(_, s)| self.shape(s)).collect();
        Made {
            net: Net {
                syntax: syntax.clone(),
                inputs,
                output_supports: outputs.iter().map(|o| o.0.clone()).collect(),
                outputs: outputs.into_iter().map(|o| o.1).collect(),
                arguments,
                results,
                weights: vec![],
                noises: body.noises,
            },
            weights: body.weights,
        }
    }

    /// An input: a value of each row, of which no more is known than that it is a whole number: what is put in its place
    /// brings its own support. A category's value is the written one, from 1.
    fn net_argument(&mut self, body: &Body<'_>, name: &str, shape: Shape, support: &Support) -> SymId {
        self.store.add_sym(Sym {
            name: format!("{}.{name}", body.net),
            kind: SymKind::Aux,
            shape,
            family: 0,
            per_row: true,
            support: if whole(support) { Support::Int } else { Support::Real },
        })
    }

    /// An input of whole numbers gets some.
    pub(crate) fn whole_argument(&mut self, net: usize, input: usize, t: Term, at: Span) -> Option<()> {
        let info = &self.t.nets[net];
        let is_whole = info.inputs.get(input).is_some_and(|(support, _)| whole(support));
        if !is_whole || self.store.is_integer(t) {
            return Some(());
        }
        let (name, input) = (&info.syntax.name.name, &info.syntax.inputs[input].0);
        let error = ModelError::Net {
            net: name.clone(),
            what: format!("its input `{}` is a whole number, and this may be none", input.name),
            at,
            help: format!("round it, floor({}), or declare {} : real", self.t.text(at), input.name),
        };
        self.t.error(error);
        None
    }

    fn net_line(&mut self, body: &mut Body<'a>, targets: &'a [ast::Ident], e: &'a ast::Expr, span: Span) {
        body.line = targets.first().map(|t| t.name.clone()).unwrap_or_default();
        if let [one] = targets {
            let value = self.net_value(body, e);
            body.known.insert(one.name.clone(), value);
            return;
        }
        let values = self.net_outputs_of_call(body, e, targets.len(), span);
        for (i, target) in targets.iter().enumerate() {
            let value = values.as_ref().and_then(|v| v.get(i).cloned());
            body.known.insert(target.name.clone(), value);
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

    /// A size as a number, where it has one before any data are read.
    fn number(&self, size: &Size) -> Option<usize> {
        match size {
            Size::Const(n) => Some(*n),
            Size::Dim(d) => self.dims.infos.iter().find(|i| i.id == *d)?.default,
            Size::Sum(parts) => parts.iter().map(|p| self.number(p)).sum(),
        }
    }

    fn numbers(&self, shape: &[Size]) -> Option<Vec<usize>> {
        shape.iter().map(|n| self.number(n)).collect()
    }

    /// Nets that apply one another: never in a circle, and not without end.
    fn applied_often(&mut self, made: &[Made]) {
        let inner: Vec<Vec<usize>> = made.iter().map(|m| self.nets_in(&m.net.results)).collect();
        let mut calls: Vec<Option<usize>> = vec![None; made.len()];
        let mut depths: Vec<Option<usize>> = vec![None; made.len()];
        for n in 0..made.len() {
            let name = made[n].net.syntax.name.clone();
            let Some(often) = count(n, &inner, &mut calls, &mut vec![false; made.len()]) else {
                self.t.error(ModelError::Net {
                    net: name.name,
                    what: "it applies itself, and so never ends".into(),
                    at: name.span,
                    help: "several layers of one kind: a line each, with weights of its own".into(),
                });
                return;
            };
            if often > MOST_CALLS {
                let what = format!("how often the net `{}` applies nets, one inside another", name.name);
                self.too_large(&what, often, MOST_CALLS);
                return;
            }
            let deep = self.net_depth(n, made, &mut depths);
            if deep > DEEPEST {
                let what = format!("how deep the functions of the net `{}` are nested", name.name);
                self.too_large(&what, deep, DEEPEST);
                return;
            }
        }
    }

    /// The longest path from a result to a leaf, through the nets it applies.
    fn net_depth(&self, n: usize, made: &[Made], done: &mut [Option<usize>]) -> usize {
        if let Some(depth) = done[n] {
            return depth;
        }
        let mut deepest = 0;
        let mut at: HashMap<Term, usize> = HashMap::new();
        for &t in &made[n].net.results {
            for x in self.store.subterms(t) {
                let node = self.store.node(x);
                let parts = children(node)
                    .iter()
                    .filter_map(|c| at.get(c))
                    .max()
                    .copied()
                    .unwrap_or(0);
                let own = match node {
                    Node::Net { net, .. } => self.net_depth(*net as usize, made, done),
                    _ => 1,
                };
                let depth = parts.saturating_add(own);
                at.insert(x, depth);
                deepest = deepest.max(depth);
            }
        }
        done[n] = Some(deepest);
        deepest
    }

    fn nets_in(&self, results: &[Term]) -> Vec<usize> {
        let mut found = vec![];
        let mut seen = std::collections::BTreeSet::new();
        for &t in results {
            for x in self.store.subterms(t) {
                if let Node::Net { net, args, .. } = self.store.node(x)
                    && seen.insert((*net, args.clone()))
                {
                    found.push(*net as usize);
                }
            }
        }
        found
    }
}

/// The support is one of whole numbers.
fn whole(support: &Support) -> bool {
    matches!(
        support,
        Support::Int | Support::Count | Support::Binary | Support::Category(_)
    )
}

/// How many applications one application of `n` is; `None` where there is a circle.
fn count(n: usize, inner: &[Vec<usize>], done: &mut [Option<usize>], open: &mut [bool]) -> Option<usize> {
    if let Some(calls) = done[n] {
        return Some(calls);
    }
    if std::mem::replace(&mut open[n], true) {
        return None;
    }
    let mut all = 1usize;
    for &m in &inner[n] {
        all = all.saturating_add(count(m, inner, done, open)?);
    }
    open[n] = false;
    done[n] = Some(all);
    Some(all)
}
