//! Abstract syntax to typed graph: names, roles, plates, shapes, supports.
//!
//! Contract for the other stages: `build(&ast::Model, &Source, &Settings) -> Result<ModelGraph, ModelErrors>`.

pub mod graph;

pub use graph::ModelGraph;

/// What `--set` and the caller give before shapes are inferred.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `--set NAME=VALUE`, in order.
    pub set: Vec<(String, f64)>,
    /// The file's stem, used where no `model NAME` is written.
    pub default_name: Option<String>,
    /// Names of the data file's columns, where known: used to question a column named like an inferred latent.
    pub columns: Vec<String>,
}
