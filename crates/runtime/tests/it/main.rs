//! The tests of data, fit files and the fit loop.

mod data;
mod fitfile;
mod native;
mod pipeline;
mod reference;
