//! Sizes and shapes: symbolic until a program is lowered.

use lvmc_base::id;

id!(
    /// A symbolic size (`K`, `D`), a row of the store's table of dims.
    DimId
);

/// A size, known or symbolic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Size {
    /// A number.
    Const(usize),
    /// A symbol.
    Dim(DimId),
    /// A sum, as of parts laid end to end.
    Sum(Box<[Size]>),
}

/// Sizes of the axes; a scalar has none.
pub type Shape = Vec<Size>;

/// The sum of sizes, with constants folded and nested sums flattened.
#[must_use]
pub fn sum_sizes(sizes: impl IntoIterator<Item = Size>) -> Size {
    let mut known = 0;
    let mut open = Vec::new();
    for size in sizes {
        match size {
            Size::Const(n) => known += n,
            Size::Dim(_) => open.push(size),
            Size::Sum(parts) => parts.iter().for_each(|p| match p {
                Size::Const(n) => known += n,
                other => open.push(other.clone()),
            }),
        }
    }
    if known > 0 || open.is_empty() {
        open.push(Size::Const(known));
    }
    if open.len() == 1 {
        open.remove(0)
    } else {
        Size::Sum(open.into())
    }
}

/// The shape of parts laid end to end (a scalar counts one), or of rows.
pub(crate) fn stacked<'a>(rows: bool, parts: impl Iterator<Item = &'a Shape>) -> Shape {
    let parts: Vec<&Shape> = parts.collect();
    if rows {
        let mut shape = vec![Size::Const(parts.len())];
        shape.extend(parts.first().map(|p| (*p).clone()).unwrap_or_default());
        shape
    } else {
        vec![sum_sizes(
            parts.iter().map(|p| p.first().cloned().unwrap_or(Size::Const(1))),
        )]
    }
}
