//! Values: the terms of a program with their sizes known, element-wise work apart from what needs a step of its own.

use crate::ir::{Algebra, ArrayId, Binary, Extent, Ternary, Unary};
use lvmc_term::Num;
use std::sync::Arc;

/// A row of the table of values; arguments are older than what is made of them.
pub type ValueId = usize;

/// An element-wise operation on arrays of equal length, or numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Elementwise {
    /// One operand.
    Unary(Unary),
    /// Two.
    Binary(Binary),
    /// Three.
    Ternary(Ternary),
    /// The operand, repeated.
    Copy,
    /// 0, 1, …: the position in the row.
    Position,
}

/// What adds up, and over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Over {
    /// Σ over the elements of a row.
    Elements,
    /// max over them.
    Largest,
    /// Σ over the rows, element by element.
    Rows,
}

/// A matrix operand: a value, perhaps read as its transpose. Its sizes are the value's, before transposing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operand {
    /// The value.
    pub value: ValueId,
    /// Read as its transpose.
    pub transposed: bool,
}

impl From<ValueId> for Operand {
    fn from(value: ValueId) -> Self {
        Self {
            value,
            transposed: false,
        }
    }
}

/// How a value is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An array that the caller fills.
    Array(ArrayId),
    /// A number.
    Number(Num),
    /// Element by element.
    Map(Elementwise, Vec<ValueId>),
    /// A sum or a maximum.
    Reduce(Over, ValueId),
    /// A matrix product: the rows of the batch (times the parts of a row) are rows of `a`, and of the result.
    Product(Operand, Operand),
    /// Σ over the rows (and their parts) of aᵀ b.
    ProductOverRows(ValueId, ValueId),
    /// A product of matrices that rows have of their own.
    Batched(Operand, Operand),
    /// The entry of a table held once that a code names.
    Gather {
        /// The table.
        table: ValueId,
        /// The code.
        index: ValueId,
    },
    /// Σ over the rows of a value, into the entry of a table that a code names.
    Scatter {
        /// What is added.
        from: ValueId,
        /// The code.
        index: ValueId,
        /// Entries.
        entries: usize,
    },
    /// Adjacent elements.
    View(ValueId, usize),
    /// Parts laid end to end.
    Join(Vec<ValueId>),
    /// Elements by position.
    Pick(ValueId, Arc<[u32]>),
    /// Elements added to positions.
    Unpick(ValueId, Arc<[u32]>),
    /// Dense algebra on a matrix held once.
    Algebra(Algebra, ValueId),
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value {
    /// Once or once a row.
    pub extent: Extent,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// How it is made.
    pub kind: Kind,
}

impl Value {
    /// Elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values it is made of.
    pub fn arguments(&self) -> Vec<ValueId> {
        match &self.kind {
            Kind::Array(_) | Kind::Number(_) => vec![],
            Kind::Map(_, args) | Kind::Join(args) => args.clone(),
            Kind::Reduce(_, a) | Kind::View(a, _) | Kind::Pick(a, _) | Kind::Unpick(a, _) | Kind::Algebra(_, a) => {
                vec![*a]
            }
            Kind::Product(a, b) | Kind::Batched(a, b) => vec![a.value, b.value],
            Kind::ProductOverRows(a, b) => vec![*a, *b],
            Kind::Gather { table, index } => vec![*table, *index],
            Kind::Scatter { from, index, .. } => vec![*from, *index],
        }
    }

    /// Stands in memory without a map storing it: arrays, and results of whole-array steps. What is viewed is stored for it.
    pub fn is_solid(&self) -> bool {
        !matches!(self.kind, Kind::Map(..) | Kind::Number(_))
    }

    /// Computed element by element inside a map.
    pub fn is_map(&self) -> bool {
        matches!(self.kind, Kind::Map(..))
    }
}

/// How many whole-array steps come before a value: what needs whole arrays stands one above its operands, element-wise values
/// stand with theirs.
pub fn level(values: &[Value], levels: &[usize], value: &Value) -> usize {
    let below = value.arguments().into_iter().map(|a| levels[a]).max().unwrap_or(0);
    match value.kind {
        Kind::Array(_) | Kind::Number(_) | Kind::Map(..) => below,
        // a map stores what is viewed, a number too
        Kind::View(of, _) if values[of].is_solid() => below,
        _ => below + 1,
    }
}
