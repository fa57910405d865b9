//! Terms as mathematics, in one of two styles.

use lvmc_derive::plan::{Condition, Left};
use lvmc_model::graph::{Dist, Factor};
use lvmc_term::{Store, Term, print};

/// How mathematics is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For a terminal.
    Unicode,
    /// For LaTeX.
    Latex,
}

/// A term.
#[must_use]
pub fn term(store: &Store, t: Term, style: Style) -> String {
    match style {
        Style::Unicode => print::unicode(store, t),
        Style::Latex => print::latex(store, t),
    }
}

/// A left side. `row` says that a density is one row's.
#[must_use]
pub fn left(store: &mut Store, left: &Left, style: Style) -> String {
    match left {
        Left::Word(word) => match style {
            Style::Unicode => (*word).to_owned(),
            Style::Latex => word
                .replace("∂", "\\partial ")
                .replace("η", "\\eta")
                .replace("ELBO", "\\mathrm{ELBO}"),
        },
        Left::Term(t) => term(store, *t, style),
        Left::Beside(parts) => {
            let parts: Vec<String> = parts.iter().map(|&t| term(store, t, style)).collect();
            match style {
                Style::Unicode => format!("[{}]ᵀ", parts.join(", ")),
                Style::Latex => format!("\\left[{}\\right]^\\top", parts.join(", ")),
            }
        }
        Left::Density { of, row } => {
            let mut names: Vec<String> = vec![];
            for &sym in of {
                let t = store.var(sym);
                let text = term(store, t, style);
                let text = if *row { text } else { whole(&text, style) };
                if !names.contains(&text) {
                    names.push(text);
                }
            }
            match style {
                Style::Unicode => format!("log p({})", names.join(", ")),
                Style::Latex => format!("\\log p({})", names.join(", ")),
            }
        }
    }
}

/// The name of a variable over all rows: its row subscript taken off.
fn whole(text: &str, style: Style) -> String {
    match style {
        Style::Unicode => text.trim_end_matches('ₙ').trim_end_matches("_n").to_owned(),
        Style::Latex => text.trim_end_matches("_{n}").trim_end_matches("_n").to_owned(),
    }
}

/// What a right side satisfies.
#[must_use]
pub fn condition(store: &Store, condition: &Condition, style: Style) -> String {
    match (condition, style) {
        (Condition::Maximises(t), Style::Unicode) => format!("maximises {}", term(store, *t, style)),
        (Condition::Maximises(t), Style::Latex) => format!("\\text{{maximises }} {}", term(store, *t, style)),
        (Condition::Zero(t), _) => format!("{} = 0", term(store, *t, style)),
    }
}

/// A statement of the model: `x ~ Normal(μ_z, Σ_z)`.
#[must_use]
pub fn statement(store: &Store, factor: &Factor, style: Style) -> String {
    let tilde = if style == Style::Unicode { "~" } else { "\\sim" };
    format!(
        "{} {tilde} {}",
        term(store, factor.value, style),
        dist_text(store, &factor.dist, style)
    )
}

/// A distribution as it would be written.
#[must_use]
pub fn dist_text(store: &Store, d: &Dist, style: Style) -> String {
    match d {
        Dist::Family {
            family,
            signature,
            args,
            ..
        } => {
            let text = arguments(store, &**family, *signature, args, style);
            format!("{}({text})", word(family.name(), style))
        }
        Dist::If {
            condition,
            then,
            otherwise,
        } => {
            let c = term(store, *condition, style);
            let (a, b) = (dist_text(store, then, style), dist_text(store, otherwise, style));
            match style {
                Style::Unicode => format!("if {c} then {a} else {b}"),
                Style::Latex => format!("\\text{{if }} {c} \\text{{ then }} {a} \\text{{ else }} {b}"),
            }
        }
    }
}

/// The arguments of a distribution, named where they must be.
#[must_use]
pub fn arguments(
    store: &Store,
    family: &dyn lvmc_families::Family,
    signature: usize,
    args: &[Term],
    style: Style,
) -> String {
    let signature = family.signatures().get(signature);
    let list: Vec<String> = args
        .iter()
        .enumerate()
        .map(|(i, &a)| {
            let text = term(store, a, style);
            match signature.filter(|s| i >= s.positional).and_then(|s| s.args.get(i)) {
                Some(arg) => format!("{} = {text}", word(arg.name, style)),
                None => text,
            }
        })
        .collect();
    list.join(", ")
}

/// A word inside mathematics.
#[must_use]
pub fn word(text: &str, style: Style) -> String {
    match style {
        Style::Unicode => text.to_owned(),
        Style::Latex => format!("\\mathrm{{{}}}", text.replace('_', "\\_")),
    }
}
