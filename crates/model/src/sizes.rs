//! Sizes while they are inferred: a union–find whose classes end as dims of the store, numbers, or sums.
//!
//! `Size::Dim(d)` here indexes this table, not yet the store's.

use lvmc_base::Span;
use lvmc_term::{DimId, Size, sum_sizes};

/// How freely a size may be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freedom {
    /// Nobody named it: it may become any other size.
    Open,
    /// Named in a type but not declared (`real[D]`): it may become a number, never another name.
    Named,
    /// Declared with `dim`: it is itself, or the number it has.
    Fixed,
}

/// One size.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub name: Option<String>,
    pub freedom: Freedom,
    /// The number it has by its declaration or `--set`.
    pub value: Option<usize>,
    /// What it became.
    pub is: Option<Size>,
    /// Declaration or first use.
    pub span: Span,
}

/// The table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sizes {
    pub slots: Vec<Slot>,
}

impl Sizes {
    pub fn add(&mut self, name: Option<String>, freedom: Freedom, span: Span) -> DimId {
        self.slots.push(Slot {
            name,
            freedom,
            value: None,
            is: None,
            span,
        });
        DimId::from_index(self.slots.len() - 1)
    }

    pub fn open(&mut self, span: Span) -> Size {
        Size::Dim(self.add(None, Freedom::Open, span))
    }

    /// The size as decided so far.
    pub fn resolve(&self, size: &Size) -> Size {
        match size {
            Size::Const(_) => size.clone(),
            Size::Dim(d) => match self.slots.get(d.index()).and_then(|s| s.is.as_ref()) {
                Some(to) => self.resolve(to),
                None => size.clone(),
            },
            Size::Sum(parts) => sum_sizes(parts.iter().map(|p| self.resolve(p))),
        }
    }

    /// Makes two sizes one where they may be; false where they cannot.
    pub fn unify(&mut self, a: &Size, b: &Size) -> bool {
        let (a, b) = (self.resolve(a), self.resolve(b));
        if a == b {
            return true;
        }
        self.bind(&a, &b) || self.bind(&b, &a)
    }

    fn bind(&mut self, from: &Size, to: &Size) -> bool {
        let Size::Dim(d) = from else { return false };
        let allowed = match self.slots[d.index()].freedom {
            Freedom::Open => !mentions(to, *d),
            Freedom::Named => match to {
                Size::Const(_) => true,
                Size::Sum(_) => !mentions(to, *d),
                Size::Dim(_) => false,
            },
            // `dim D = 4` and four rows written out
            Freedom::Fixed => matches!(to, Size::Const(n) if self.slots[d.index()].value == Some(*n)),
        };
        if allowed {
            self.slots[d.index()].is = Some(to.clone());
        }
        allowed
    }

    pub fn unify_shapes(&mut self, a: &[Size], b: &[Size]) -> bool {
        a.len() == b.len() && a.iter().zip(b).fold(true, |ok, (x, y)| self.unify(x, y) && ok)
    }

    /// For messages: `D`, `3`, `Q + 1`.
    pub fn text(&self, size: &Size) -> String {
        match self.resolve(size) {
            Size::Const(n) => n.to_string(),
            Size::Dim(d) => self.slots[d.index()].name.clone().unwrap_or_else(|| "?".into()),
            Size::Sum(parts) => {
                let parts: Vec<String> = parts.iter().map(|p| self.text(p)).collect();
                parts.join(" + ")
            }
        }
    }
}

fn mentions(size: &Size, d: DimId) -> bool {
    match size {
        Size::Const(_) => false,
        Size::Dim(e) => *e == d,
        Size::Sum(parts) => parts.iter().any(|p| mentions(p, d)),
    }
}
