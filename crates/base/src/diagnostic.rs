//! What the stages' error enums have in common: exit codes, limits, and bugs of our own.

use miette::Diagnostic;
use thiserror::Error;

/// Exit codes of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Finished, nothing to remark.
    Fine = 0,
    /// Finished, but the result is suspect (not converged, a floor is active, a component collapsed).
    Suspect = 1,
    /// Wrong usage, and files that cannot be read or written.
    Usage = 2,
    /// The model is wrong or cannot be derived.
    Model = 3,
    /// The data do not fit the model.
    Data = 4,
    /// A numerical failure.
    Numerical = 5,
    /// A limit was met: size, memory, nesting.
    Limit = 6,
    /// A bug in lvmc.
    Bug = 70,
    /// Interrupted, after a checkpoint.
    Interrupted = 130,
}

/// A limit that protects the machine: sizes, memory, nesting.
#[derive(Debug, Clone, Error, Diagnostic)]
#[error("{what} is {found}, and the limit is {limit}")]
#[diagnostic(code(lvm::limit), help("{advice}"))]
pub struct Limit {
    /// What is too large.
    pub what: String,
    /// How large it is.
    pub found: String,
    /// The largest allowed.
    pub limit: String,
    /// What to do instead.
    pub advice: String,
}

/// A bug in lvmc itself, never the user's mistake: the stage, what was violated and the text of its IR.
#[derive(Debug, Clone, Error, Diagnostic)]
#[error("a bug in lvmc, in the stage `{stage}`: {message}")]
#[diagnostic(code(lvm::bug), help("please report it with this text and the model:\n{ir}"))]
pub struct Bug {
    /// The stage whose invariant was violated.
    pub stage: &'static str,
    /// The invariant.
    pub message: String,
    /// The text of the IR at that point.
    pub ir: String,
}
