//! Running a fit: data, binding, initialisation, restarts, the loop itself, and the fit as a file.
//!
//! In the order of use: [`data::read`] reads a table; [`bind::bind`] decides which columns are which variable and what
//! sizes follow; the lowered program is made elsewhere; [`engine::Engine`] holds it with the data; [`fit::fit`] runs it;
//! [`fitfile`] keeps the result; [`predict`], [`score`] and [`sample`] use it.

pub mod apply;
pub mod bind;
pub mod data;
pub mod dataset;
pub mod dates;
pub mod drawer;
pub mod engine;
pub mod fit;
pub mod fitfile;
pub mod forecast;
pub mod future;
pub mod gaps;
pub mod gradient;
pub mod holdout;
pub mod impute;
pub mod init;
pub mod limits;
pub mod nested;
pub mod predict;
pub mod random;
pub mod result;
pub mod rowmodel;
pub mod sample;
pub mod score;
pub mod selection;
pub mod sequences;
pub mod terms;
