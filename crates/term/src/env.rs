//! What a term leaves open, given values; and why it may still have none.

use crate::array::Array;
use crate::ids::ById;
use crate::node::{IxId, SymId};
use crate::shape::{DimId, Size};
use crate::store::Store;
use thiserror::Error;

/// Why a term has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvalError {
    /// A symbol without a value.
    #[error("`{0}` has no value")]
    Symbol(String),
    /// A per-row symbol outside every row.
    #[error("`{0}` has a value per row, and no row is chosen")]
    NoRow(String),
    /// A size without a value.
    #[error("the size `{0}` has no value")]
    Size(String),
    /// A bound index outside its sum.
    #[error("the index `{0}` has no value")]
    Index(String),
    /// A position outside its array.
    #[error("position {at} of an axis of {len}")]
    OutOfRange {
        /// The 0-based position asked for.
        at: i64,
        /// The length of the axis.
        len: usize,
    },
    /// A covariance that is none.
    #[error("a matrix that must be positive definite is not")]
    NotPositiveDefinite,
    /// Values whose shapes contradict the term's.
    #[error("a value of shape {found:?} where {wanted:?} is needed")]
    Shape {
        /// The shape given.
        found: Vec<usize>,
        /// The shape of the symbol.
        wanted: Vec<usize>,
    },
    /// A net without a callback.
    #[error("no values for nets")]
    NoNet,
    /// A responsibility without a callback.
    #[error("no values for responsibilities")]
    NoResp,
}

/// Posterior probabilities: row and values of the row's finite latents (0-based) to a probability.
pub type RespFn<'a> = dyn Fn(usize, &[(SymId, usize)]) -> f64 + 'a;
/// Nets: net, output and arguments to a value.
pub type NetFn<'a> = dyn Fn(u32, u32, &[Array]) -> Array + 'a;

/// The value of a symbol.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Shared(Array),
    PerRow(Vec<Array>),
}

/// Values of everything that a term leaves open.
#[derive(Clone, Default)]
pub struct Env<'a> {
    pub(crate) syms: ById<SymId, Value>,
    pub(crate) dims: ById<DimId, usize>,
    pub(crate) ixs: ById<IxId, usize>,
    pub(crate) rows: usize,
    pub(crate) weights: Option<Vec<f64>>,
    pub(crate) row: Option<usize>,
    pub(crate) resp: Option<&'a RespFn<'a>>,
    pub(crate) net: Option<&'a NetFn<'a>>,
    pub(crate) fixed: Option<Box<Env<'a>>>,
}

impl<'a> Env<'a> {
    /// An environment without values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// One value for a symbol, whatever the row.
    pub fn set(&mut self, s: SymId, value: Array) -> &mut Self {
        self.syms.insert(s, Value::Shared(value));
        self
    }
    /// One value per row for a symbol; also sets the number of rows.
    pub fn set_rows(&mut self, s: SymId, values: Vec<Array>) -> &mut Self {
        self.rows = values.len();
        self.syms.insert(s, Value::PerRow(values));
        self
    }
    /// The size that a symbolic size stands for.
    pub fn set_dim(&mut self, d: DimId, n: usize) -> &mut Self {
        self.dims.insert(d, n);
        self
    }
    /// The value of a free index, 0-based.
    pub fn set_index(&mut self, i: IxId, at: usize) -> &mut Self {
        self.ixs.insert(i, at);
        self
    }
    /// The number of rows, where no per-row value tells.
    pub fn set_row_count(&mut self, n: usize) -> &mut Self {
        self.rows = n;
        self
    }
    /// How many times each row counts in a `RowSum`.
    pub fn set_weights(&mut self, weights: Vec<f64>) -> &mut Self {
        self.weights = Some(weights);
        self
    }
    /// The row that per-row symbols outside any `RowSum` mean.
    pub fn set_row(&mut self, n: usize) -> &mut Self {
        self.row = Some(n);
        self
    }
    /// Where responsibilities come from.
    pub fn set_resp(&mut self, f: &'a RespFn<'a>) -> &mut Self {
        self.resp = Some(f);
        self
    }
    /// Where the values of nets come from.
    pub fn set_net(&mut self, f: &'a NetFn<'a>) -> &mut Self {
        self.net = Some(f);
        self
    }
    /// Where the insides of [`crate::Node::Fixed`] take their values from, whatever changes here: with it, differences in a
    /// parameter leave them where they are, as derivatives do.
    pub fn set_fixed(&mut self, base: Env<'a>) -> &mut Self {
        self.fixed = Some(Box::new(base));
        self
    }
    /// The value of a size.
    ///
    /// # Errors
    /// Where a symbolic size has no value.
    pub fn size(&self, store: &Store, n: &Size) -> Result<usize, EvalError> {
        match n {
            Size::Const(n) => Ok(*n),
            Size::Dim(d) => self
                .dims
                .get(d)
                .copied()
                .ok_or_else(|| EvalError::Size(store.dim(*d).name.clone())),
            Size::Sum(parts) => parts.iter().map(|p| self.size(store, p)).sum(),
        }
    }
}
