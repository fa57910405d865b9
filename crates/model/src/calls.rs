//! Calls in expressions: predefined functions and nets.

use crate::errors::ModelError;
use crate::functions::{self, Function, NET_FUNCTIONS, Op};
use crate::lower::{Env, Lower};
use crate::tables::Kind;
use lvmc_base::{Span, closest};
use lvmc_families::registry;
use lvmc_syntax::ast::{Expr, ExprKind, Ident, Subscript};
use lvmc_term::{Cmp, Size, Support, Sym, SymKind, Term};

impl<'a> Lower<'a> {
    pub fn call(&mut self, e: &'a Expr, callee: &Ident, args: &'a [(Option<Ident>, Expr)], env: &Env) -> Option<Term> {
        let name = callee.name.as_str();
        if let Some(&id) = self.t.names.get(name) {
            if let Kind::Net(_) = self.kind(id) {
                return self.net_call(e, 0, None, env);
            }
            if functions::find(name).is_none() {
                let help = format!("`{name}` is not a function; its elements are {name}[k], a product is {name} * (…)");
                self.unknown_function(callee, help);
                return None;
            }
        }
        let Some(f) = functions::find(name) else {
            let help = self.function_help(name);
            self.unknown_function(callee, help);
            return None;
        };
        if let Some((Some(key), _)) = args.iter().find(|(n, _)| n.is_some()) {
            self.t.error(ModelError::FunctionArguments {
                name: name.into(),
                expected: "its arguments by position".into(),
                at: key.span,
                found: "a named argument".into(),
                help: format!("{name}(…) without `{} =`", key.name),
            });
            return None;
        }
        if args.len() < f.arity.0 || args.len() > f.arity.1 {
            self.arity(f, args.len(), e.span);
            return None;
        }
        if let (Op::Sum | Op::Mean | Op::Prod, ExprKind::Index { base, indices }) = (f.op, &args[0].1.kind)
            && let [.., Subscript::Slice(a, b)] = indices.as_slice()
            && self.t.slice_len(a, b).is_none()
        {
            return self.open_slice(f.op, base, indices, env);
        }
        let terms: Vec<Option<Term>> = args.iter().map(|(_, a)| self.term(a, env)).collect();
        let terms: Vec<Term> = terms.into_iter().collect::<Option<_>>()?;
        for ((_, a), &t) in args.iter().zip(&terms) {
            self.rank_fits(f, t, a.span)?;
        }
        self.apply(f, args, &terms)
    }

    fn unknown_function(&mut self, callee: &Ident, help: String) {
        self.t.error(ModelError::UnknownFunction {
            name: callee.name.clone(),
            at: callee.span,
            help,
        });
    }

    fn function_help(&self, name: &str) -> String {
        let nets = self.t.nets.iter().map(|n| n.syntax.name.name.as_str());
        let known: Vec<&str> = functions::FUNCTIONS.iter().map(|f| f.name).chain(nets).collect();
        if NET_FUNCTIONS.contains(&name) {
            format!(
                "`{name}` has weights of its own and stands in a net: net f(x : real[D]) -> y : real {{ y = {name}(…) }}"
            )
        } else if registry::find(name).is_some() {
            format!("`{name}` is a distribution: give it to a variable first, v ~ {name}(…), and use v")
        } else if let Some(c) = closest(name, known.iter().copied()) {
            format!("did you mean `{c}`?")
        } else {
            format!(
                "the functions are {}",
                functions::FUNCTIONS
                    .iter()
                    .map(|f| f.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
    }

    fn arity(&mut self, f: &Function, found: usize, at: Span) {
        let n = |n: usize| {
            if n == 1 {
                "1 argument".into()
            } else {
                format!("{n} arguments")
            }
        };
        let help = match f.op {
            Op::Max | Op::Min => "the larger or smaller of two: max(a, b)".into(),
            _ => format!("{}({})", f.name, ["a", "b"][..f.arity.0.min(2)].join(", ")),
        };
        self.t.error(ModelError::FunctionArguments {
            name: f.name.into(),
            expected: n(f.arity.0),
            at,
            found: n(found),
            help,
        });
    }

    pub(crate) fn rank_fits(&mut self, f: &Function, t: Term, at: Span) -> Option<()> {
        let shape = self.shape_of(t);
        let scalar_will_do = matches!(f.op, Op::Inv | Op::LogDet | Op::Trace) && shape.is_empty();
        let bad = match (f.rank, f.op) {
            (Some(r), _) => shape.len() != r && !scalar_will_do,
            (None, Op::Diag) => !(1..=2).contains(&shape.len()),
            (None, Op::Concat) => shape.len() > 1,
            _ => false,
        };
        if !bad {
            return Some(());
        }
        let text = self.t.text(at);
        let expected = match (f.rank, f.op) {
            (Some(1), _) if f.arity.0 == 2 => "two vectors",
            (Some(1), _) => "a vector",
            (Some(_), _) => "a matrix",
            (None, Op::Diag) => "a vector (or a matrix)",
            _ => "numbers and vectors",
        };
        let help = match (f.op, shape.len()) {
            (Op::Dot, 0) => format!("with numbers write a product: {text} * …"),
            (Op::Diag, 0) => format!("one variance for all: {text} * I"),
            (Op::Dot, 2) => format!("a matrix times a vector: {text} * v"),
            _ => format!("this is {}", self.shape_text(&shape)),
        };
        self.t.error(ModelError::FunctionArguments {
            name: f.name.into(),
            expected: expected.into(),
            at,
            found: self.shape_text(&shape),
            help,
        });
        None
    }

    pub(crate) fn apply(&mut self, f: &Function, args: &'a [(Option<Ident>, Expr)], x: &[Term]) -> Option<Term> {
        if let (Op::Dot | Op::Max | Op::Min | Op::Pow, [a, b]) = (f.op, x) {
            self.fit(f.name, (args[0].1.span, *a), (args[1].1.span, *b))?;
        }
        if let (Op::Inv | Op::LogDet | Op::Trace, [a]) = (f.op, x) {
            let shape = self.shape_of(*a);
            if shape.len() == 2 && shape[0] != shape[1] {
                let at = args[0].1.span;
                self.mismatch(f.name, (at, &shape), (at, &shape), "this needs a square matrix");
                return None;
            }
        }
        let s = &mut self.store;
        Some(match f.op {
            Op::Fun(g) => s.fun(g, x[0]),
            Op::Logit => {
                let one = s.num(1.0);
                let q = s.sub(one, x[0]);
                let (p, q) = (s.log(x[0]), s.log(q));
                s.sub(p, q)
            }
            Op::Square => s.square(x[0]),
            Op::Softmax => s.softmax(x[0]),
            Op::LogSumExp => s.log_sum_exp(x[0]),
            Op::Dot => s.dot(x[0], x[1]),
            Op::Sum => s.total(x[0]),
            Op::Mean => {
                let sizes = s.shape(x[0]).clone();
                let total = s.total(x[0]);
                let counts: Vec<Term> = sizes.into_iter().map(|n| s.size(n)).collect();
                let n = s.product_of(&counts);
                s.div(total, n)
            }
            Op::Prod => s.product(x[0]),
            Op::Max => {
                let c = s.cmp(Cmp::Le, x[0], x[1]);
                s.select(c, x[1], x[0])
            }
            Op::Min => {
                let c = s.cmp(Cmp::Le, x[0], x[1]);
                s.select(c, x[0], x[1])
            }
            Op::Pow => s.pow(x[0], x[1]),
            Op::Concat => s.stack(x),
            Op::Inv => s.inv(x[0]),
            Op::LogDet => s.log_det(x[0]),
            Op::Trace => s.trace(x[0]),
            Op::Transpose => s.transpose(x[0]),
            Op::Diag if s.shape(x[0]).len() == 1 => s.diag(x[0]),
            Op::Diag => {
                let shape = s.shape(x[0]).clone();
                if shape[0] != shape[1] {
                    let at = args[0].1.span;
                    self.mismatch("diag", (at, &shape), (at, &shape), "this needs a square matrix");
                    return None;
                }
                s.diag_of(x[0])
            }
            Op::Outer => s.outer(x[0], x[1]),
        })
    }

    /// sum, mean or prod over `base[a..b]` whose ends are positions: a choice by position over the whole axis.
    fn open_slice(&mut self, op: Op, base: &'a Expr, indices: &'a [Subscript], env: &Env) -> Option<Term> {
        let [Subscript::Slice(a, b)] = indices else {
            self.t.unsupported(
                "an open slice after other indices".into(),
                base.span,
                "define the family first",
            );
            return None;
        };
        let whole = self.reference(base, env)?;
        let shape = self.shape_of(whole);
        if shape.len() != 1 {
            let text = self.shape_text(&shape);
            self.bad_index(
                "only a vector can be cut here".into(),
                base.span,
                &text,
                "such as prod(alpha[1..t])",
            );
            return None;
        }
        let first = self.axis_first(base, env);
        let (from, to) = (self.idx(a, env, first)?, self.idx(b, env, first)?);
        let (from, to) = (self.idx_term(&from, first), self.idx_term(&to, first));
        let counts = self.counts(&shape[0]);
        let s = &mut self.store;
        let (low, high) = (s.cmp(Cmp::Le, from, counts), s.cmp(Cmp::Le, counts, to));
        let inside = s.mul(low, high);
        let neutral = s.num(if op == Op::Prod { 1.0 } else { 0.0 });
        let cut = s.select(inside, whole, neutral);
        Some(match op {
            Op::Prod => s.product(cut),
            Op::Mean => {
                let (total, one) = (s.total(cut), s.num(1.0));
                let n = s.sub(to, from);
                let n = s.add(n, one);
                s.div(total, n)
            }
            _ => s.total(cut),
        })
    }

    fn axis_first(&self, base: &Expr, env: &Env) -> i64 {
        let ExprKind::Name(name) = &base.kind else { return 1 };
        let id = self.t.find(name, self.t.stmts[env.stmt].guide);
        id.and_then(|id| self.t.ents[id].axes.first().map(|a| a.first))
            .unwrap_or(1)
    }

    /// The constant vector 0, 1, …, n − 1.
    pub(crate) fn counts(&mut self, n: &Size) -> Term {
        let sym = match self.counts.iter().find(|(m, ..)| m == n) {
            Some((_, sym, _)) => *sym,
            None => {
                let name = format!("0..{}", crate::lower::size_text(&self.store, n));
                let sym = self.store.add_sym(Sym {
                    name,
                    kind: SymKind::Const,
                    shape: vec![n.clone()],
                    family: 1,
                    per_row: false,
                    support: Support::Count,
                });
                let ix = self.store.add_ix("i", n.clone());
                self.counts.push((n.clone(), sym, ix));
                sym
            }
        };
        self.store.var(sym)
    }

    /// Output `k` of a call of a net; `names` is how many names take its results.
    pub fn net_call(&mut self, e: &'a Expr, k: usize, names: Option<usize>, env: &Env) -> Option<Term> {
        let found = match &e.kind {
            ExprKind::Call { callee, args } => match self.t.names.get(&callee.name).map(|&id| self.kind(id)) {
                Some(Kind::Net(net)) => Some((net, callee, args)),
                _ => None,
            },
            _ => None,
        };
        let outputs = found.map_or(1, |(net, ..)| self.t.nets[net].outputs.len());
        let taken = names.unwrap_or(1);
        if outputs != taken {
            let help = match found {
                Some((net, callee, _)) => {
                    let outs = &self.t.nets[net].syntax.outputs;
                    let list: Vec<&str> = outs.iter().map(|(n, _)| n.name.as_str()).collect();
                    format!("take them apart first: {} = {}(…)", list.join(", "), callee.name)
                }
                None => "several names take the outputs of a net: m, v = encoder(x)".into(),
            };
            self.t.error(ModelError::Results {
                left: taken,
                right: outputs,
                at: e.span,
                help,
            });
            return None;
        }
        let (net, callee, args) = found?;
        let inputs = self.t.nets[net].inputs.clone();
        if args.len() != inputs.len() || args.iter().any(|(n, _)| n.is_some()) {
            let list: Vec<&str> = self.t.nets[net]
                .syntax
                .inputs
                .iter()
                .map(|(n, _)| n.name.as_str())
                .collect();
            self.t.error(ModelError::FunctionArguments {
                name: callee.name.clone(),
                expected: format!("{} by position", list.join(", ")),
                at: e.span,
                found: format!("{} arguments", args.len()),
                help: format!("{}({})", callee.name, list.join(", ")),
            });
            return None;
        }
        let mut terms = vec![];
        for (i, ((_, a), (_, want))) in args.iter().zip(inputs).enumerate() {
            let t = self.term(a, env)?;
            self.whole_argument(net, i, t, a.span)?;
            let (want, have) = (self.shape(&want), self.shape_of(t));
            if have.is_empty() {
                terms.push(self.store.fill(t, want));
            } else if let Some(t) = self.aligned(t, &want) {
                terms.push(t);
            } else {
                let help = "the net's input type says what it takes";
                self.mismatch("as input of", (a.span, &have), (callee.span, &want), help);
                return None;
            }
        }
        let shape = self.t.nets[net].outputs.get(k).map(|(_, s)| s.clone())?;
        let shape = self.shape(&shape);
        Some(self.store.net(net as u32, k as u32, &terms, shape))
    }
}
