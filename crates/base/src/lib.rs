//! What every stage shares: spans, sources, name suggestions, and the shape of a diagnostic.
//!
//! Nothing here knows the language or the mathematics.

mod diagnostic;
mod span;
mod suggest;

pub use diagnostic::{Bug, Exit, Limit};
pub use span::{Source, Span};
pub use suggest::{closest, edit_distance};

/// Defines a dense index type: `id!(VarId)` is a `Copy` newtype over `u32` with `index()` and `from_index()`.
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $name {
            /// The position in the table that this id indexes.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
            /// The id of position `i`; tables here never reach 2³² entries.
            #[must_use]
            pub fn from_index(i: usize) -> Self {
                Self(u32::try_from(i).expect("a table of more than 2^32 entries"))
            }
        }
    };
}
