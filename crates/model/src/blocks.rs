//! The guide and fit blocks.

use crate::errors::ModelError;
use crate::graph::{FitValue, Role};
use crate::lower::Lower;
use crate::tables::{Kind, Rhs, Tables};
use lvmc_base::{Span, closest};
use lvmc_syntax::ast::{Expr, ExprKind, UnaryOp};
use lvmc_term::Support;

/// Options of `fit`, with what they take.
const OPTIONS: &[(&str, Takes)] = &[
    ("optimizer", Takes::Word),
    ("objective", Takes::Word),
    ("schedule", Takes::Word),
    ("precision", Takes::Word),
    ("init", Takes::Word),
    ("posterior", Takes::One(&["exact", "structured"])),
    ("batch", Takes::Count),
    ("epochs", Takes::Count),
    ("max_iter", Takes::Count),
    ("starts", Takes::Count),
    ("threads", Takes::Count),
    ("samples", Takes::Count),
    ("warmup", Takes::Count),
    ("patience", Takes::Count),
    ("lr", Takes::Number),
    ("clip", Takes::Number),
    ("holdout", Takes::Number),
    ("seed", Takes::Number),
    ("tol", Takes::Number),
    ("floor", Takes::Number),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Word,
    One(&'static [&'static str]),
    Count,
    Number,
}

impl Lower<'_> {
    /// The options of the fit block, checked.
    pub fn fit_block(&mut self) -> Vec<(String, FitValue, Span)> {
        let mut out: Vec<(String, FitValue, Span)> = vec![];
        for (name, e) in self.t.fit.clone() {
            let Some((_, takes)) = OPTIONS.iter().find(|(o, _)| *o == name.name) else {
                let help = match closest(&name.name, OPTIONS.iter().map(|(o, _)| *o)) {
                    Some(c) => format!("did you mean `{c}`?"),
                    None => format!(
                        "the options are {}",
                        OPTIONS.iter().map(|(o, _)| *o).collect::<Vec<_>>().join(", ")
                    ),
                };
                self.t.error(ModelError::FitOption {
                    name: name.name.clone(),
                    at: name.span,
                    help,
                });
                continue;
            };
            if let Some((_, _, first)) = out.iter().find(|(n, ..)| *n == name.name) {
                let first = *first;
                self.t.twice(&name.name, "set", name.span, first, "keep one of them");
                continue;
            }
            match fit_value(e) {
                Some(v) if takes_it(*takes, &v) => out.push((name.name.clone(), v, name.span)),
                _ => self.t.error(ModelError::FitValue {
                    name: name.name.clone(),
                    expected: match takes {
                        Takes::Word => "a word",
                        Takes::One(_) => "`exact` or `structured`",
                        Takes::Count => "a whole number from 1",
                        Takes::Number => "a number",
                    }
                    .into(),
                    at: e.span,
                    help: match takes {
                        Takes::Word | Takes::One(_) => format!("such as: {} = {}", name.name, example(&name.name)),
                        Takes::Count => format!("such as: {} = 100", name.name),
                        Takes::Number => format!("such as: {} = 1e-6", name.name),
                    },
                }),
            }
        }
        out
    }
}

/// One option as it stands in a `fit` block: `optimizer = adam(lr = 1e-4)`.
///
/// # Errors
/// What is wrong with it, and what would do.
pub fn fit_option(text: &str) -> Result<(String, FitValue), String> {
    let source = lvmc_base::Source::new("--fit", format!("fit {{ {text} }}"));
    let wrong =
        || format!("`{text}` is no option of a fit: NAME=VALUE, such as epochs=50 or 'optimizer=adam(lr = 1e-4)'");
    let model = lvmc_syntax::parse(&source).map_err(|_| wrong())?;
    let [stmt] = &model.items[..] else { return Err(wrong()) };
    let lvmc_syntax::ast::StmtKind::Fit(options) = &stmt.kind else {
        return Err(wrong());
    };
    let [(name, e)] = &options[..] else { return Err(wrong()) };
    let Some((_, takes)) = OPTIONS.iter().find(|(o, _)| *o == name.name) else {
        let known: Vec<&str> = OPTIONS.iter().map(|(o, _)| *o).collect();
        return Err(match closest(&name.name, known.iter().copied()) {
            Some(c) => format!("a fit has no option `{}`; did you mean `{c}`?", name.name),
            None => format!(
                "a fit has no option `{}`; the options are {}",
                name.name,
                known.join(", ")
            ),
        });
    };
    match fit_value(e) {
        Some(v) if takes_it(*takes, &v) => Ok((name.name.clone(), v)),
        _ => Err(format!(
            "`{}` takes {}",
            name.name,
            match takes {
                Takes::Word | Takes::One(_) => {
                    format!("a word, such as {} = {}", name.name, example(&name.name))
                }
                Takes::Count => "a whole number from 1".into(),
                Takes::Number => "a number".into(),
            }
        )),
    }
}

fn example(option: &str) -> &'static str {
    match option {
        "optimizer" => "adam(lr = 1e-3)",
        "objective" => "simple",
        "schedule" => "cosine",
        "precision" => "f64",
        "posterior" => "structured",
        _ => "kmeans",
    }
}

fn takes_it(takes: Takes, v: &FitValue) -> bool {
    match (takes, v) {
        (Takes::One(words), FitValue::Word(w)) => words.contains(&w.as_str()),
        (Takes::Word, FitValue::Word(_) | FitValue::Call(..)) | (Takes::Number, FitValue::Number(_)) => true,
        (Takes::Count, FitValue::Number(x)) => *x >= 1.0 && x.fract() == 0.0,
        _ => false,
    }
}

fn fit_value(e: &Expr) -> Option<FitValue> {
    match &e.kind {
        ExprKind::Number(x) => Some(FitValue::Number(*x)),
        ExprKind::Name(n) => Some(FitValue::Word(n.clone())),
        ExprKind::Unary(UnaryOp::Neg, a) => match fit_value(a)? {
            FitValue::Number(x) => Some(FitValue::Number(-x)),
            _ => None,
        },
        ExprKind::Call { callee, args } => {
            let args = args
                .iter()
                .map(|(n, v)| Some((n.as_ref().map(|n| n.name.clone()), fit_value(v)?)))
                .collect::<Option<_>>()?;
            Some(FitValue::Call(callee.name.clone(), args))
        }
        _ => None,
    }
}

impl Tables<'_> {
    /// A guide gives every latent of the model a distribution, and nothing else one. A category or a binary number that it
    /// leaves out is summed out.
    pub fn guide_covers(&mut self) {
        let Some(&at) = self.guides.first() else { return };
        let given = |t: &Self, id: usize| {
            t.stmts
                .iter()
                .position(|s| s.ent == id && s.guide && matches!(s.rhs, Rhs::Random(_)))
        };
        for id in 0..self.ents.len() {
            let e = self.ents[id].clone();
            if e.kind != Kind::Var {
                continue;
            }
            let finite = matches!(e.support, Some(Support::Category(_) | Support::Binary));
            match (e.role, given(self, id)) {
                (Role::Latent, None) if finite => {}
                (Role::Latent, None) => self.error(ModelError::GuideMisses {
                    help: format!(
                        "add to the guide:  {} ~ …   or remove the guide: the compiler derives one",
                        e.name
                    ),
                    name: e.name,
                    at,
                    declared: e.span,
                }),
                (Role::Data | Role::Given | Role::Param, Some(s)) => {
                    let what = match e.role {
                        Role::Data => "data",
                        Role::Given => "given",
                        _ => "a param",
                    };
                    self.error(ModelError::GuideExtra {
                        help: "a guide speaks of latents only: leave this line out".into(),
                        name: e.name,
                        what: what.into(),
                        at: self.stmts[s].span,
                    });
                }
                _ => {}
            }
        }
    }
}
