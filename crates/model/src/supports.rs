//! Supports: what an argument may be, and what a variable's type says of its distribution.

use crate::errors::ModelError;
use crate::graph::Role;
use crate::lower::{Env, Lower};
use crate::lower_dist::{Value, name_and_index, support_word};
use crate::tables::Kind;
use lvmc_base::Span;
use lvmc_families::{Arg, Family};
use lvmc_syntax::ast::{Expr, ExprKind, UnaryOp};
use lvmc_term::{Support, Term};

impl<'a> Lower<'a> {
    /// Errors where it is certain that the argument can leave its place's support: names by their types, numbers by
    /// their values. Expressions are trusted.
    pub fn argument_support(&mut self, family: &dyn Family, arg: &Arg, e: &'a Expr, t: Term, env: &Env) {
        let want = (arg.support)();
        let found = match (number(e), &e.kind) {
            (Some(x), _) if !number_fits(x, &want) => Some((format!("is {x}"), None)),
            (Some(_), _) => None,
            (None, ExprKind::Name(_) | ExprKind::Index { .. }) if self.bound(e, env).is_none() => {
                let have = self.t.support_of(e, env.stmt).filter(|_| self.is_declared(e, env));
                have.filter(|h| !name_fits(h, &want, self.store.shape(t).len()))
                    .map(|h| {
                        let line = self
                            .declared_at(e, env)
                            .map_or(String::new(), |l| format!(", declared in line {l}"));
                        (format!("is {}{line}", support_word(&h)), Some(h))
                    })
            }
            _ => None,
        };
        let Some((found, have)) = found else { return };
        let text = self.t.text(e.span).to_string();
        let word = match want {
            Support::Simplex => "a simplex",
            Support::Cov => "a covariance",
            Support::Corr => "a correlation matrix",
            Support::Unit => "between 0 and 1",
            Support::Count => "a whole number from 0 on",
            ref w => support_word(w),
        };
        let help = self.support_help(e, &text, &want, have.is_some());
        self.t.error(ModelError::ArgumentSupport {
            name: family.name().into(),
            argument: arg.name.into(),
            expected: word.into(),
            text,
            found,
            at: e.span,
            help,
        });
    }

    /// The name's support is its type's or its distribution's, not a guess from a definition's form.
    fn is_declared(&self, e: &Expr, env: &Env) -> bool {
        let id = name_and_index(e).and_then(|(n, _)| self.t.find(n, self.t.stmts[env.stmt].guide));
        id.is_some_and(|id| {
            let e = &self.t.ents[id];
            e.kind == Kind::Var || e.ty.is_some() || e.kind == Kind::Const && self.t.value_of_name(&e.name, 0).is_some()
        })
    }

    fn support_help(&self, e: &Expr, text: &str, want: &Support, named: bool) -> String {
        if !named {
            return match want {
                Support::Unit => "a probability lies between 0 and 1: 0.5".into(),
                Support::Count => "a whole number from 0 on, such as 10".into(),
                _ => "a positive number, such as 1".into(),
            };
        }
        let name = name_and_index(e).map_or(text, |(n, _)| n);
        let (ty, transform) = match want {
            Support::Positive | Support::NonNegative => ("positive", Some("exp")),
            Support::Unit => ("unit", Some("sigmoid")),
            Support::Simplex => ("simplex[K]", Some("softmax")),
            Support::Cov => ("cov[D]", None),
            Support::Corr => ("corr[D]", None),
            Support::Count => ("count", None),
            _ => ("real", None),
        };
        let role = self.t.find(name, false).map(|id| self.t.ents[id].role);
        let role = if role == Some(Role::Param) { "param " } else { "" };
        match transform {
            Some(f) => format!("declare it:  {role}{name} : {ty}\nor transform it:  {f}({text})"),
            None => format!("declare it:  {role}{name} : {ty}"),
        }
    }

    /// The variable's type must be able to hold what the family gives.
    pub fn value_support(
        &mut self,
        family: &'static dyn Family,
        sig: usize,
        args: &[Term],
        span: Span,
        value: &Value<'_>,
    ) {
        let gives = family.support(&mut self.store, sig, args);
        let ent = &self.t.ents[value.ent];
        let Some(have) = ent.support.clone() else { return };
        let (name, role) = (ent.name.clone(), ent.role);
        let have = match have {
            Support::Category(n) => Support::Category(self.size(&n)),
            other => other,
        };
        match value_fits(&have, &gives) {
            Fit::Yes => {}
            Fit::Pseudo => {
                let text = format!(
                    "{name} is unit and has a {} distribution: a pseudo-likelihood",
                    family.name()
                );
                self.remark(text);
            }
            Fit::Narrow => {
                // a param's prior may be cut at its bounds: the constant does not matter for a point estimate
                if role == Role::Latent {
                    let word = support_word(&have);
                    let f = family.name();
                    self.remark(format!(
                        "{name} is {word}, and {f} reaches further: its density is cut there, not renormalised"
                    ));
                }
            }
            Fit::No => {
                let ty = match &gives {
                    Support::Category(n) => format!("category[{}]", crate::lower::size_text(&self.store, n)),
                    Support::Simplex => "simplex[K]".into(),
                    Support::Cov => "cov[D]".into(),
                    Support::Corr => "corr[D]".into(),
                    Support::NonNegative => "positive".into(),
                    other => support_word(other).into(),
                };
                let found = match &have {
                    Support::Category(n) => format!("category[{}]", crate::lower::size_text(&self.store, n)),
                    other => support_word(other).into(),
                };
                let role = match role {
                    Role::Data => "data ",
                    Role::Param => "param ",
                    _ => "",
                };
                self.t.error(ModelError::ValueSupport {
                    family: family.name().into(),
                    gives: support_word(&gives).into(),
                    help: format!("declare it:  {role}{name} : {ty}"),
                    name,
                    found,
                    at: span,
                });
            }
        }
    }

    pub fn remark(&mut self, text: String) {
        if !self.t.remarks.contains(&text) {
            self.t.remarks.push(text);
        }
    }
}

/// A number written as such, with its sign.
fn number(e: &Expr) -> Option<f64> {
    match &e.kind {
        ExprKind::Number(x) => Some(*x),
        ExprKind::Unary(UnaryOp::Neg, a) => number(a).map(|x| -x),
        _ => None,
    }
}

fn number_fits(x: f64, want: &Support) -> bool {
    match want {
        Support::Positive | Support::NonNegative => x >= 0.0,
        Support::Unit => (0.0..=1.0).contains(&x),
        Support::Count => x >= 0.0 && x.fract() == 0.0,
        _ => true,
    }
}

/// A name of the support `have` may stand where `want` is asked for.
fn name_fits(have: &Support, want: &Support, rank: usize) -> bool {
    use Support::{Binary, Category, Corr, Count, Cov, NonNegative, Positive, Real, Simplex, Unit};
    match want {
        Positive | NonNegative => {
            matches!(have, Positive | NonNegative | Unit | Count | Binary) || rank > 0 && *have == Simplex
        }
        Unit => matches!(have, Unit | Binary | Simplex),
        Count => matches!(have, Count | Binary),
        Simplex => *have == Simplex,
        Cov => matches!(have, Cov | Corr),
        Corr => *have == Corr,
        Real => !matches!(have, Category(_)),
        _ => true,
    }
}

enum Fit {
    Yes,
    /// The family gives 0 or 1 and the data lie between.
    Pseudo,
    /// The type holds less than the family gives.
    Narrow,
    No,
}

fn value_fits(have: &Support, gives: &Support) -> Fit {
    use Support::{Binary, Category, Corr, Count, Cov, Int, NonNegative, Ordered, Positive, Real, Simplex, Unit};
    if have == gives {
        return Fit::Yes;
    }
    match (gives, have) {
        (Binary, Unit) => Fit::Pseudo,
        (Category(_), _) | (_, Category(_)) => Fit::No,
        (Simplex, _) | (Cov, _) => Fit::No,
        (Corr, Cov) => Fit::Yes,
        (Corr, _) => Fit::No,
        (Real, Simplex | Cov | Corr) => Fit::Narrow,
        (Real, Ordered) => Fit::Narrow,
        (_, Simplex | Cov | Corr | Ordered) => Fit::No,
        (Real, Real) => Fit::Yes,
        (Real, _) => Fit::Narrow,
        (Positive | NonNegative, Positive | NonNegative) => Fit::Yes,
        (Positive | NonNegative, Unit | Count | Binary) => Fit::Narrow,
        (Positive | NonNegative, _) => Fit::No,
        (Unit, Binary) => Fit::Narrow,
        (Unit, _) => Fit::No,
        (Count, Binary) => Fit::Narrow,
        (Count, _) => Fit::No,
        (Int, Count | Binary) => Fit::Narrow,
        (Int, _) => Fit::No,
        (Binary, _) => Fit::No,
        (Ordered, _) => Fit::No,
    }
}
