//! Abstract syntax to typed graph: names, roles, plates, shapes, supports.
//!
//! Contract for the other stages: `build(&ast::Model, &Source, &Settings) -> Result<ModelGraph, ModelErrors>`.
//!
//! The passes, in order: `collect` (names and statements), `types`, `axes` (families and chains), `free` (free names),
//! `infer` (shapes by unification), `roles`, `dims` (sizes get names and values), `lower` (terms, and every mistake that
//! needs shapes to be seen), `positions`, `checks`.

mod axes;
mod blocks;
mod build;
mod calls;
mod checks;
mod collect;
mod definitions;
mod dims;
mod errors;
mod expand_nets;
mod factors;
mod free;
mod functions;
pub mod graph;
mod groups;
mod index;
mod infer;
mod infer_dist;
mod left_side;
mod lower;
mod lower_dist;
mod names;
mod nets;
mod positions;
mod reference;
mod roles;
mod rows;
mod sizes;
mod supports;
mod tables;
mod text;
mod types;
mod values;
mod verify;
mod walk;

pub use blocks::fit_option;
pub use build::build;
pub use errors::{ModelError, ModelErrors};
pub use expand_nets::NetExpansion;
pub use graph::ModelGraph;
pub use text::{name_text, net_type_text, print_graph, role_text, type_text};
pub use verify::verify;

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
