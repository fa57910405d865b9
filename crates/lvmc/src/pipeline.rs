//! From text to fit. Each function is one arrow of the pipeline; [`fit`] reads as the whole of it.

use crate::failure::Failure;
use crate::stage;
use lvmc_base::Source;
use lvmc_derive::Plan;
use lvmc_derive::joint::LogJoint;
use lvmc_model::{ModelGraph, Settings};
use lvmc_syntax::ast;

/// Text → syntax tree.
///
/// # Errors
/// The text is not a model.
pub fn parse(source: &Source) -> Result<ast::Model, Failure> {
    stage::enter("syntax");
    lvmc_syntax::parse(source).map_err(|e| Failure::syntax(e, source))
}

/// Syntax tree → typed graph, verified.
///
/// # Errors
/// The model has mistakes.
pub fn graph(model: &ast::Model, source: &Source, settings: &Settings) -> Result<ModelGraph, Failure> {
    stage::enter("model");
    let graph = lvmc_model::build(model, source, settings).map_err(|e| Failure::model(e, source))?;
    lvmc_model::verify(&graph)?;
    Ok(graph)
}

/// Typed graph → log joint → bound → update plan.
///
/// # Errors
/// A variable or a parameter that no rule covers.
pub fn derive(graph: &ModelGraph) -> Result<Plan, Failure> {
    stage::enter("derive");
    lvmc_derive::derive(graph).map_err(|e| Failure::derive(e, &graph.source))
}

/// Typed graph → log joint, for `emit`.
///
/// # Errors
/// As [`derive`].
pub fn joint(graph: &ModelGraph) -> Result<LogJoint, Failure> {
    stage::enter("derive");
    lvmc_derive::joint::log_joint(graph).map_err(|e| Failure::derive(e, &graph.source))
}
