//! Data files: reading, columns, and what can be wrong with them.

mod blank;
mod column;
mod csv;
mod error;
mod table;

pub use self::csv::{read, read_from};
pub use column::{Cells, Column, NO_TEXT, Pieces, show_number};
pub use error::{Cell, DataError};
pub use table::{Table, listed, near};
