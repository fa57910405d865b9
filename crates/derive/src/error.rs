//! Refusals: what cannot be derived, what was tried, and what would make it work.

use lvmc_base::{Bug, Span};
use miette::Diagnostic;
use thiserror::Error;

/// Why a model has no derivation.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum DeriveError {
    /// No inference rule covers a variable.
    #[error("no rule gives the posterior of `{name}`")]
    #[diagnostic(code(lvm::derive::no_posterior), help("{help}"))]
    NoPosterior {
        /// The variable.
        name: String,
        /// Why no rule applies, in one sentence, shown under the statement.
        reason: String,
        /// Its statement.
        #[label("{reason}")]
        span: Span,
        /// Rules tried, why each declined, and what would make it work.
        help: String,
    },
    /// No update rule covers a parameter.
    #[error("no rule finds `{name}`")]
    #[diagnostic(code(lvm::derive::no_update), help("{help}"))]
    NoUpdate {
        /// The parameter.
        name: String,
        /// The factor that broke every rule.
        reason: String,
        /// Its statement.
        #[label("{reason}")]
        span: Span,
        /// Rules tried and why each declined.
        help: String,
    },
    /// A construct that the engine does not derive yet.
    #[error("{what} cannot be derived yet")]
    #[diagnostic(code(lvm::derive::missing_rule), help("{help}"))]
    MissingRule {
        /// The construct.
        what: String,
        /// The missing rule.
        rule: String,
        /// Where it stands.
        #[label("needs the rule `{rule}`")]
        span: Span,
        /// What works instead.
        help: String,
    },
    /// A bug.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bug(#[from] Bug),
}
