//! The update rules, in the order in which they are tried. A rule asks what the terms are, never what a family is called.

pub mod covariance;
pub mod gradient;
pub mod newton;
pub mod power;
pub mod predictor;
pub mod quadratic;
pub mod simplex;
pub mod unit;

use crate::occur::{Occurrence, Unknown};
use crate::plan::Update;
use lvmc_base::Span;
use lvmc_term::Store;

/// Why a rule does not apply: the reason in words, and the statement that broke it.
#[derive(Debug, Clone)]
pub struct Decline {
    /// In words.
    pub reason: String,
    /// Where.
    pub span: Option<Span>,
}

impl Decline {
    /// A reason that concerns no one statement.
    pub fn plain(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            span: None,
        }
    }
    /// A reason that lies in one addend.
    pub fn at(reason: impl Into<String>, span: Span) -> Self {
        Self {
            reason: reason.into(),
            span: Some(span),
        }
    }
}

/// A rule for one unknown.
pub struct Rule {
    /// Its name, as printed.
    pub name: &'static str,
    /// Tries it.
    pub apply: fn(&mut Store, &Unknown, &[Occurrence]) -> Result<Update, Decline>,
}

/// Closed forms and one-dimensional Newton, in priority order. Blocks of affine coefficients (`quadratic`) and
/// predictors (`predictor`) move several parameters together and have entries of their own in the engine.
pub const RULES: &[Rule] = &[
    Rule {
        name: simplex::NAME,
        apply: simplex::apply,
    },
    Rule {
        name: covariance::NAME,
        apply: covariance::apply,
    },
    Rule {
        name: power::NAME,
        apply: power::apply,
    },
    Rule {
        name: unit::NAME,
        apply: unit::apply,
    },
    Rule {
        name: newton::NAME,
        apply: newton::apply,
    },
];
