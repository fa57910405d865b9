//! What can go wrong while compiling.

use lvmc_base::Bug;
use thiserror::Error;

/// A program that was not compiled.
#[derive(Debug, Error)]
pub enum JitError {
    /// The program violates an invariant of the loop IR, or the code generator refused what was made of it.
    #[error(transparent)]
    Bug(#[from] Box<Bug>),
    /// This machine is not supported by the code generator.
    #[error("no native code for this machine: {0}")]
    Machine(String),
    /// No executable memory.
    #[error("executable memory: {0}")]
    Memory(String),
}

impl From<Bug> for JitError {
    fn from(bug: Bug) -> Self {
        Self::Bug(Box::new(bug))
    }
}
