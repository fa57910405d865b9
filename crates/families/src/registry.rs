//! The list of distributions: a new one is a file of its own and a line here.

use crate::Family;

/// All distributions, in the order of the language reference.
pub static FAMILIES: &[&dyn Family] = &[
    &crate::normal::Normal,
    &crate::categorical::Categorical,
    &crate::bernoulli::Bernoulli,
    &crate::binomial::Binomial,
    &crate::multinomial::Multinomial,
    &crate::poisson::Poisson,
    &crate::exponential::Exponential,
    &crate::gamma::Gamma,
    &crate::inverse_gamma::InverseGamma,
    &crate::beta::Beta,
    &crate::dirichlet::Dirichlet,
    &crate::inverse_wishart::InverseWishart,
    &crate::flat::Flat,
    &crate::delta::Delta,
];

/// The distribution written with that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Family> {
    FAMILIES.iter().copied().find(|f| f.name() == name)
}
