//! Right sides of `~`: distributions with their arguments as terms, broadcast to the event.

use crate::errors::ModelError;
use crate::graph::Dist;
use crate::infer_dist::{arranged, support_from};
use crate::lower::{Env, Lower};
use lvmc_base::{Span, closest};
use lvmc_families::{Arg, Event, Family, Signature, registry};
use lvmc_syntax::ast::{Expr, ExprKind, Ident};
use lvmc_term::{Shape, Size, Support, Term};

/// The variable a distribution is for.
pub(crate) struct Value<'s> {
    pub ent: usize,
    pub shape: &'s Shape,
}

impl<'a> Lower<'a> {
    /// A distribution; `elementwise` is set where its elements are independent events.
    pub fn dist(&mut self, e: &'a Expr, value: &Value<'_>, env: &Env, elementwise: &mut bool) -> Option<Dist> {
        match &e.kind {
            ExprKind::If(c, a, b) => {
                let condition = self.condition(c, env);
                let (then, otherwise) = (
                    self.dist(a, value, env, elementwise),
                    self.dist(b, value, env, elementwise),
                );
                Some(Dist::If {
                    condition: condition?,
                    then: Box::new(then?),
                    otherwise: Box::new(otherwise?),
                })
            }
            ExprKind::Match(on, arms) => {
                let mut out: Option<Dist> = None;
                for (pattern, d) in arms.iter().rev() {
                    let d = self.dist(d, value, env, elementwise)?;
                    out = Some(match (out, pattern) {
                        (Some(rest), Some(p)) => Dist::If {
                            condition: self.matches(on, p, env)?,
                            then: Box::new(d),
                            otherwise: Box::new(rest),
                        },
                        _ => d,
                    });
                }
                out
            }
            ExprKind::Call { callee, args } => self.family(e, callee, args, value, env, elementwise),
            _ => {
                let found = match &e.kind {
                    ExprKind::Number(_) => "a number",
                    ExprKind::Name(_) => "a name",
                    _ => "an expression",
                };
                let (name, text) = (self.t.ents[value.ent].name.clone(), self.t.text(e.span));
                self.t.error(ModelError::NotADistribution {
                    at: e.span,
                    found: found.into(),
                    help: format!(
                        "a definition is written  {name} = {text}\na distribution  {name} ~ Normal({text}, …)"
                    ),
                });
                None
            }
        }
    }

    fn family(
        &mut self,
        e: &'a Expr,
        callee: &Ident,
        args: &'a [(Option<Ident>, Expr)],
        value: &Value<'_>,
        env: &Env,
        elementwise: &mut bool,
    ) -> Option<Dist> {
        let Some(family) = registry::find(&callee.name) else {
            self.unknown_distribution(callee, value);
            return None;
        };
        let sig = self.signature(family, e, args, value)?;
        let signature = &family.signatures()[sig];
        let exprs = arranged(signature, args)?;
        let event = self.event(family, signature, e, value)?;
        *elementwise |= signature.event == Event::Scalar && !value.shape.is_empty();
        let mut terms = vec![];
        let mut ok = true;
        for (arg, x) in signature.args.iter().zip(exprs) {
            match self.argument(family, signature.event, arg, x, &event, env) {
                Some(t) => terms.push(t),
                None => ok = false,
            }
        }
        if !ok {
            return None;
        }
        self.value_support(family, sig, &terms, e.span, value);
        Some(Dist::Family {
            family,
            signature: sig,
            args: terms,
            span: e.span,
        })
    }

    fn unknown_distribution(&mut self, callee: &Ident, value: &Value<'_>) {
        let names: Vec<&str> = registry::FAMILIES.iter().map(|f| f.name()).collect();
        let name = callee.name.as_str();
        let known = match name {
            "N" | "Gaussian" | "MvNormal" | "MultivariateNormal" | "normal" => Some("Normal"),
            "Cat" | "Discrete" | "OneHotCategorical" => Some("Categorical"),
            _ => closest(name, names.iter().copied()),
        };
        let help = if crate::functions::find(name).is_some() || self.t.names.contains_key(name) {
            let var = &self.t.ents[value.ent].name;
            format!("`{name}` gives a value: write  {var} = {name}(…)  or  {var} ~ Normal({name}(…), …)")
        } else if let Some(k) = known {
            format!("did you mean `{k}`?")
        } else {
            format!("the distributions are {}", names.join(", "))
        };
        self.t.error(ModelError::UnknownDistribution {
            name: name.into(),
            at: callee.span,
            help,
        });
    }

    /// The way of writing the family that is meant.
    fn signature(
        &mut self,
        family: &'static dyn Family,
        e: &'a Expr,
        args: &'a [(Option<Ident>, Expr)],
        value: &Value<'_>,
    ) -> Option<usize> {
        let sigs = family.signatures();
        if let Some((Some(key), _)) = args.iter().find(|(n, _)| {
            n.as_ref()
                .is_some_and(|n| !sigs.iter().any(|s| s.args.iter().any(|a| a.name == n.name)))
        }) {
            let known: Vec<&str> = sigs.iter().flat_map(|s| s.args.iter().map(|a| a.name)).collect();
            let help = match closest(&key.name, known.iter().copied()) {
                Some(c) => format!("did you mean `{c} =`?"),
                None => usages(family),
            };
            self.t.error(ModelError::UnknownArgument {
                name: family.name().into(),
                argument: key.name.clone(),
                at: key.span,
                help,
            });
            return None;
        }
        if !sigs.iter().any(|s| arranged(s, args).is_some()) {
            let n = args.len();
            self.t.error(ModelError::DistributionArguments {
                name: family.name().into(),
                expected: usages(family),
                at: e.span,
                found: if n == 1 {
                    "1 argument".into()
                } else {
                    format!("{n} arguments")
                },
                help: format!("write {}", usage(family.name(), &sigs[0])),
            });
            return None;
        }
        match self.t.signatures.get(&e.span) {
            Some(&k) => Some(k),
            None => {
                let shapes = vec![None; args.len()];
                self.t.choose(family, args, &shapes, Some(value.shape), true)
            }
        }
    }

    /// Sizes of one event; an error where the variable's shape is none.
    fn event(&mut self, family: &'static dyn Family, sig: &Signature, e: &Expr, value: &Value<'_>) -> Option<Shape> {
        let v = value.shape;
        let (rank, event) = match sig.event {
            Event::Scalar => return Some(v.clone()),
            Event::Vector => (1, "a vector"),
            Event::Matrix => (2, "a square matrix"),
        };
        if v.len() == rank && (rank == 1 || v[0] == v[1]) {
            return Some(v.clone());
        }
        let name = self.t.ents[value.ent].name.clone();
        let found = self.shape_text(v);
        let wants = sig
            .args
            .iter()
            .map(|a| vec![Size::Const(1); a.rank])
            .collect::<Vec<_>>();
        let gives = family.signatures().iter().position(|s| std::ptr::eq(s, sig));
        let values = gives.map(|k| support_from(family, k, &wants));
        let sizes = match rank {
            1 if values == Some(Support::Simplex) => "simplex[K]",
            1 if values == Some(Support::Count) => "count[D]",
            1 => "real[D]",
            _ => "cov[D]",
        };
        self.t.error(ModelError::EventShape {
            family: family.name().into(),
            event: event.into(),
            help: format!("declare it so:  {name} : {sizes}"),
            name,
            found,
            at: e.span,
        });
        None
    }

    fn argument(
        &mut self,
        family: &dyn Family,
        event: Event,
        arg: &Arg,
        e: &'a Expr,
        shape: &Shape,
        env: &Env,
    ) -> Option<Term> {
        let t = self.term(e, env)?;
        let have = self.shape_of(t);
        let want: Shape = match (event, arg.rank) {
            (Event::Scalar, 0) => shape.clone(),
            (Event::Scalar, r) if have.len() == r => have.clone(),
            (Event::Scalar, r) => vec![Size::Const(1); r],
            (_, r) => vec![shape.first().cloned().unwrap_or(Size::Const(1)); r],
        };
        let covariance = arg.rank == 2 && matches!((arg.support)(), Support::Cov | Support::Corr);
        if have == want {
            self.argument_support(family, arg, e, t, env);
            return Some(t);
        }
        // a scalar stands for a vector of equal elements, never for a covariance, nor for probabilities that sum to 1
        let probabilities = (arg.support)() == Support::Simplex;
        if have.is_empty() && !covariance && !probabilities && arg.rank < 2 && !(event == Event::Scalar && arg.rank > 0)
        {
            self.argument_support(family, arg, e, t, env);
            return Some(self.store.fill(t, want));
        }
        if covariance && have.len() < 2 {
            self.variance_shape(e, &have, env);
        } else {
            self.argument_shape(family, arg, e, &have, &want, event);
        }
        None
    }

    fn variance_shape(&mut self, e: &Expr, have: &[Size], env: &Env) {
        let text = self.t.text(e.span).to_string();
        let support = self.t.support_of(e, env.stmt);
        let word = support.as_ref().map(support_word);
        let what = match (have.len(), word) {
            (0, Some(w)) => format!("a {w} number"),
            (0, None) => "a single number".into(),
            (_, Some(w)) => format!("a vector of {w} numbers"),
            (_, None) => "a vector".into(),
        };
        let declared = self.declared_at(e, env);
        let label = match (word, declared) {
            (Some(w), Some(line)) => format!("{w}, declared in line {line}"),
            _ => what.clone(),
        };
        let help = match (have.len(), name_and_index(e)) {
            (0, Some((name, k))) => {
                let of = |size: &str| {
                    if k.is_some() {
                        format!("{name}[{size}]")
                    } else {
                        name.to_string()
                    }
                };
                let size = k.map_or(String::new(), |_| self.family_size(name, env));
                let index = of(&size);
                format!(
                    "one variance for all columns: {text} * I\none per column: declare  {index} : positive[D]  and write  diag({text})"
                )
            }
            (0, None) => format!("one variance for all columns: {} * I", parenthesised(e, &text)),
            _ => format!("one variance per column: diag({text})"),
        };
        self.t.error(ModelError::VarianceShape {
            found: text,
            what,
            at: e.span,
            label,
            help,
        });
    }

    fn family_size(&self, name: &str, env: &Env) -> String {
        let id = self.t.find(name, self.t.stmts[env.stmt].guide);
        let size = id.and_then(|id| self.t.ents[id].axes.first().map(|a| self.t.sizes.text(&a.size)));
        size.unwrap_or_else(|| "K".into())
    }

    /// The line in which the name of an argument is declared.
    pub fn declared_at(&self, e: &Expr, env: &Env) -> Option<usize> {
        let (name, _) = name_and_index(e)?;
        let id = self.t.find(name, self.t.stmts[env.stmt].guide)?;
        let ent = &self.t.ents[id];
        if ent.free_in.is_some() {
            return None;
        }
        Some(self.t.line(ent.ty.map_or(ent.span, |t| t.span)))
    }

    fn argument_shape(&mut self, family: &dyn Family, arg: &Arg, e: &Expr, have: &[Size], want: &[Size], event: Event) {
        let text = self.t.text(e.span);
        let expected = match (event, arg.rank) {
            (Event::Scalar, 0) if want.is_empty() => "a number".into(),
            (Event::Scalar, 1) => "a vector".into(),
            _ => self.shape_text(want),
        };
        let help = match (event, arg.rank, have.len()) {
            (Event::Scalar, 0, 1) if want.is_empty() => format!("one number of the vector: {text}[1], sum({text}), …"),
            (Event::Scalar, 1, 0) => format!("such as: {text} : simplex[K]"),
            (_, _, n) if n == want.len() => "sizes are equal where they have one name: use it for both".into(),
            _ => format!("{} is {}", text, self.shape_text(have)),
        };
        let found = self.shape_text(have);
        self.t.error(ModelError::ArgumentShape {
            name: family.name().into(),
            argument: arg.name.into(),
            expected,
            found,
            at: e.span,
            help,
        });
    }
}

/// `mu[z]` as its name and the text's index.
pub(crate) fn name_and_index(e: &Expr) -> Option<(&str, Option<Span>)> {
    match &e.kind {
        ExprKind::Name(n) => Some((n, None)),
        ExprKind::Index { base, .. } => match &base.kind {
            ExprKind::Name(n) => Some((n, Some(e.span))),
            _ => None,
        },
        _ => None,
    }
}

fn parenthesised(e: &Expr, text: &str) -> String {
    match e.kind {
        ExprKind::Binary(..) | ExprKind::If(..) | ExprKind::Unary(..) => format!("({text})"),
        _ => text.to_string(),
    }
}

/// `Normal(mean, var)`, `Normal(mean, sd=…)`.
fn usage(name: &str, sig: &Signature) -> String {
    let args: Vec<String> = sig
        .args
        .iter()
        .enumerate()
        .map(|(i, a)| {
            if i < sig.positional {
                a.name.to_string()
            } else {
                format!("{} = …", a.name)
            }
        })
        .collect();
    format!("{name}({})", args.join(", "))
}

fn usages(family: &dyn Family) -> String {
    let mut all: Vec<String> = family.signatures().iter().map(|s| usage(family.name(), s)).collect();
    all.dedup();
    let mut seen: Vec<String> = vec![];
    for u in all {
        if !seen.contains(&u) {
            seen.push(u);
        }
    }
    seen.join(", or ")
}

/// How a support is spoken of.
pub(crate) fn support_word(s: &Support) -> &'static str {
    match s {
        Support::Real => "real",
        Support::Positive => "positive",
        Support::NonNegative => "non-negative",
        Support::Unit => "unit",
        Support::Int => "int",
        Support::Count => "count",
        Support::Binary => "binary",
        Support::Category(_) => "category",
        Support::Simplex => "simplex",
        Support::Ordered => "ordered",
        Support::Cov => "covariance",
        Support::Corr => "correlation",
    }
}
