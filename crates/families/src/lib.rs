//! The distributions, one small file each. Rules ask a family for an ability, never for its name.

mod args;
mod bernoulli;
mod beta;
mod binomial;
mod categorical;
mod delta;
mod dirichlet;
mod draw;
mod exponential;
mod family;
mod flat;
mod gamma;
mod inverse_gamma;
mod inverse_wishart;
mod multinomial;
mod normal;
mod poisson;
pub mod registry;
mod reparametrised;

pub use family::{Arg, Array, Event, Exponential, Family, Noise, Signature};
