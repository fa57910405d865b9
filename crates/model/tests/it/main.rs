//! The tests of the typed graph: built-in models, bad models, nets, random models.

mod bad;
mod models;
mod net_models;
mod nets;
mod random;
