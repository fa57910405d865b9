//! The tests of the whole compiler and of the command line, in one binary: linking it costs more than compiling them.

mod architecture;
mod bad_input;
mod binomials;
mod common;
mod continuous;
mod derivations;
mod docs;
mod factorial;
mod finite_chains;
mod fits;
mod forecasts;
mod gaussian_chains;
mod gradients;
mod groups;
mod guided_gaps;
mod long_chains;
mod missing;
mod picture_chains;
mod pictures;
mod planted;
mod positions;
mod random_models;
mod selection;
mod standard_errors;
mod structured;
