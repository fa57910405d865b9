//! The tests of the distributions: all of them against quadrature, and as they are printed.

mod all;
mod cases;
mod printed;
mod quadrature;
