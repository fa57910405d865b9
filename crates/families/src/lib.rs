//! The distributions, one small file each. Rules ask a family for an ability, never for its name.

mod family;

pub use family::{Arg, Array, Event, Exponential, Family, Signature};
