//! The printed derivation.
