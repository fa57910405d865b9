//! The tests of the derivations that need no data.

mod eliminate;
mod missing;
