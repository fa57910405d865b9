//! Terms to an array program.
//!
//! Each term becomes a value whose sizes are known ([`translate`]); element-wise values are fused into maps between the steps
//! that need whole arrays ([`schedule`]). A sum over rows is a sum over the batch.

mod monomial;
mod schedule;
mod translate;
mod values;

use crate::exec::Executor;
use crate::ir::{Array, ArrayId, Extent, Program, Role};
use lvmc_term::{EvalError, Size, Store, SymId, Term};
use std::collections::HashMap;
use thiserror::Error;

/// What a symbol is in a program.
#[derive(Debug, Clone, PartialEq)]
pub enum Leaf {
    /// An array that the caller sets or the executor draws.
    Array(Role),
    /// Numbers that never change, row-major.
    Constant(Vec<f64>),
}

/// A term to compute.
#[derive(Debug, Clone, PartialEq)]
pub struct Root {
    /// For printing.
    pub name: String,
    /// The term; its array is once a row where the term varies by row.
    pub term: Term,
}

/// A program, and which arrays are what.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// The program.
    pub program: Program,
    /// Arrays of symbols.
    pub symbols: HashMap<SymId, ArrayId>,
    /// Values of constant arrays, to be set once.
    pub constants: Vec<(ArrayId, Vec<f64>)>,
    /// The array of each root.
    pub roots: Vec<ArrayId>,
}

impl Lowered {
    /// Gives an executor of the program its constants.
    pub fn set_constants(&self, executor: &mut dyn Executor) {
        for (id, values) in &self.constants {
            executor.set(*id, values);
        }
    }
}

/// Why a term cannot be computed over a batch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LowerError {
    /// A form that array programs lack.
    #[error("{what} cannot be computed over a batch of rows: {term}")]
    Unsupported {
        /// What.
        what: &'static str,
        /// The term.
        term: String,
    },
    /// A size or an index without a value.
    #[error("{0}")]
    Open(#[from] EvalError),
}

/// Lowers terms. `leaf` says what each symbol is; `sizes` gives every size.
///
/// # Errors
/// Where a term has a form that array programs lack.
pub fn lower(
    store: &mut Store,
    roots: &[Root],
    sizes: &dyn Fn(&Store, &Size) -> Result<usize, EvalError>,
    leaf: &dyn Fn(&Store, SymId) -> Leaf,
) -> Result<Lowered, LowerError> {
    let mut t = translate::Translate::new(store, sizes, leaf);
    let found: Vec<values::ValueId> = roots.iter().map(|r| t.value(r.term)).collect::<Result<_, _>>()?;
    let mut lowered = Lowered {
        program: Program {
            arrays: t.arrays,
            steps: vec![],
        },
        symbols: t.symbols,
        constants: t.constants,
        roots: vec![],
    };
    let names: Vec<&str> = roots.iter().map(|r| r.name.as_str()).collect();
    lowered.roots = schedule::schedule(&t.values, t.levels, &found, &names, &mut lowered.program);
    Ok(lowered)
}

/// An array of that role.
fn array(name: impl Into<String>, extent: Extent, len: usize, role: Role) -> Array {
    Array {
        name: name.into(),
        extent,
        len,
        role,
    }
}
