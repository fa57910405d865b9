//! Everything that can go wrong, as an exit code and what to show.

use lvmc_base::{Bug, Exit, Source};
use lvmc_derive::DeriveError;
use lvmc_jit::JitError;
use lvmc_model::ModelErrors;
use lvmc_runtime::apply::ApplyError;
use lvmc_runtime::data::DataError;
use lvmc_runtime::fit::FitError;
use lvmc_runtime::fitfile::FileError;
use lvmc_runtime::holdout::HoldoutError;
use lvmc_syntax::SyntaxError;
use miette::{Diagnostic, Report};
use thiserror::Error;

/// Wrong usage, and files that cannot be read or written.
#[derive(Debug, Clone, Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(lvm::usage), help("{help}"))]
pub struct Usage {
    /// What is wrong.
    pub message: String,
    /// What to type instead.
    pub help: String,
}

/// A command that did not finish: its exit code, and the diagnostics.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What to show, in order. Empty for a failure that needs no words, such as a reader that went away.
    pub reports: Vec<Report>,
}

impl Failure {
    /// One diagnostic without a source.
    pub fn new(exit: Exit, diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self {
            exit,
            reports: vec![Report::new(diagnostic)],
        }
    }
    /// One diagnostic about a place in a text.
    pub fn in_source(exit: Exit, diagnostic: impl Diagnostic + Send + Sync + 'static, source: &Source) -> Self {
        Self {
            exit,
            reports: vec![Report::new(diagnostic).with_source_code(source.named())],
        }
    }
    /// Wrong usage.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(
            Exit::Usage,
            Usage {
                message: message.into(),
                help: help.into(),
            },
        )
    }
    /// Ends quietly with that code.
    #[must_use]
    pub fn silent(exit: Exit) -> Self {
        Self { exit, reports: vec![] }
    }
    /// A text that is not a model.
    #[must_use]
    pub fn syntax(error: SyntaxError, source: &Source) -> Self {
        Self::in_source(error.exit(), error, source)
    }
    /// A model with mistakes.
    #[must_use]
    pub fn model(errors: ModelErrors, source: &Source) -> Self {
        let exit = if errors.is_limit() { Exit::Limit } else { Exit::Model };
        Self {
            exit,
            reports: errors.reports(source),
        }
    }
    /// A model that cannot be derived.
    #[must_use]
    pub fn derive(error: DeriveError, source: &Source) -> Self {
        let exit = if matches!(error, DeriveError::Bug(_)) {
            Exit::Bug
        } else {
            Exit::Model
        };
        Self::in_source(exit, error, source)
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::new(error.exit(), error)
    }
}

impl From<FitError> for Failure {
    fn from(error: FitError) -> Self {
        Self::new(error.exit(), error)
    }
}

impl From<HoldoutError> for Failure {
    fn from(error: HoldoutError) -> Self {
        Self::new(error.exit(), error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::new(error.exit(), error)
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        Self::new(error.exit(), error)
    }
}

impl From<JitError> for Failure {
    fn from(error: JitError) -> Self {
        let (message, help) = match error {
            JitError::Bug(bug) => return Self::from(*bug),
            JitError::Machine(_) => (error.to_string(), "--interpret runs the model without native code"),
            JitError::Memory(_) => (error.to_string(), "free some memory, or use --interpret"),
        };
        Self::new(
            Exit::Limit,
            Usage {
                message,
                help: help.into(),
            },
        )
    }
}

impl From<Bug> for Failure {
    fn from(bug: Bug) -> Self {
        Self::new(Exit::Bug, bug)
    }
}
