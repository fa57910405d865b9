//! Settings of every family's arguments: one line to add for a new family.

use crate::quadrature::Domain;
use lvmc_families::Array;

/// One setting of a family's arguments.
pub struct Case {
    pub family: &'static str,
    pub signature: usize,
    pub args: Vec<Array>,
    pub domain: Domain,
    /// A value at which gradients are compared.
    pub probe: Array,
}

pub fn case(family: &'static str, signature: usize, args: Vec<Array>, domain: Domain, probe: Array) -> Case {
    Case {
        family,
        signature,
        args,
        domain,
        probe,
    }
}

pub fn n(x: f64) -> Array {
    Array::scalar(x)
}

pub fn v(xs: &[f64]) -> Array {
    Array::vector(xs.to_vec())
}

pub fn m2(a: f64, b: f64, c: f64) -> Array {
    Array::matrix(2, 2, vec![a, b, b, c])
}

pub fn cases() -> Vec<Case> {
    use Domain::{Atoms, CountVectors, Counts, Covariance, Improper, Plane, Positive, RealLine, Simplex, Unit};
    let lower = Array::matrix(2, 2, vec![1.2, 0.0, -0.4, 0.7]);
    vec![
        case("Normal", 0, vec![n(0.7), n(2.5)], RealLine, n(-0.3)),
        case("Normal", 0, vec![n(-3.0), n(0.05)], RealLine, n(-2.9)),
        case("Normal", 1, vec![n(0.7), n(1.4)], RealLine, n(2.0)),
        case("Normal", 2, vec![n(0.7), n(0.3)], RealLine, n(2.0)),
        case(
            "Normal",
            3,
            vec![v(&[0.4, -1.0]), m2(1.5, 0.6, 0.9)],
            Plane,
            v(&[1.0, 0.2]),
        ),
        case(
            "Normal",
            4,
            vec![v(&[0.4, -1.0]), m2(0.5, -0.3, 0.9)],
            Plane,
            v(&[1.0, 0.2]),
        ),
        case(
            "Normal",
            5,
            vec![v(&[0.4, -1.0]), m2(1.5, 0.6, 0.9)],
            Plane,
            v(&[1.0, 0.2]),
        ),
        case("Normal", 6, vec![v(&[0.4, -1.0]), lower], Plane, v(&[1.0, 0.2])),
        case(
            "Categorical",
            0,
            vec![v(&[0.2, 0.5, 0.3])],
            Atoms(vec![0.0, 1.0, 2.0]),
            n(1.0),
        ),
        case("Categorical", 0, vec![v(&[1.0])], Atoms(vec![0.0]), n(0.0)),
        case("Bernoulli", 0, vec![n(0.3)], Atoms(vec![0.0, 1.0]), n(1.0)),
        case("Bernoulli", 0, vec![n(0.9)], Atoms(vec![0.0, 1.0]), n(0.0)),
        case("Binomial", 0, vec![n(7.0), n(0.3)], Counts, n(2.0)),
        case("Binomial", 0, vec![n(300.0), n(0.9)], Counts, n(280.0)),
        case("Binomial", 0, vec![n(0.0), n(0.4)], Counts, n(0.0)),
        case(
            "Multinomial",
            0,
            vec![n(6.0), v(&[0.2, 0.5, 0.3])],
            CountVectors(6),
            v(&[2.0, 1.0, 3.0]),
        ),
        case(
            "Multinomial",
            0,
            vec![n(9.0), v(&[0.7, 0.3])],
            CountVectors(10),
            v(&[9.0, 0.0]),
        ),
        case("Poisson", 0, vec![n(3.7)], Counts, n(2.0)),
        case("Poisson", 0, vec![n(60.0)], Counts, n(55.0)),
        case("Exponential", 0, vec![n(0.4)], Positive, n(1.1)),
        case("Gamma", 0, vec![n(2.5), n(0.7)], Positive, n(1.1)),
        case("Gamma", 0, vec![n(0.2), n(3.0)], Positive, n(0.1)),
        case("Gamma", 1, vec![n(2.5), n(0.7)], Positive, n(1.1)),
        case("InverseGamma", 0, vec![n(5.5), n(1.3)], Positive, n(0.3)),
        case("InverseGamma", 0, vec![n(7.0), n(0.2)], Positive, n(0.05)),
        case("Beta", 0, vec![n(2.5), n(1.3)], Unit, n(0.8)),
        case("Beta", 0, vec![n(0.6), n(0.8)], Unit, n(0.1)),
        case("Dirichlet", 0, vec![v(&[0.7, 2.0])], Simplex, v(&[0.4, 0.6])),
        case(
            "Dirichlet",
            0,
            vec![v(&[1.5, 2.0, 0.8])],
            Simplex,
            v(&[0.4, 0.35, 0.25]),
        ),
        case(
            "InverseWishart",
            0,
            vec![n(5.0), Array::matrix(1, 1, vec![1.7])],
            Covariance,
            Array::matrix(1, 1, vec![0.6]),
        ),
        case(
            "InverseWishart",
            0,
            vec![n(7.5), m2(1.5, 0.6, 0.9)],
            Covariance,
            m2(0.4, 0.1, 0.3),
        ),
        case("Flat", 0, vec![], Improper, n(0.3)),
        case("Delta", 0, vec![n(1.5)], Atoms(vec![1.5, 0.5]), n(1.5)),
    ]
}
