//! `lvmc emit`: what one stage makes, as text.

use super::args::{Emit, Stage};
use super::fit::code;
use super::{check, load, output};
use crate::failure::Failure;
use crate::{gradient, pipeline};
use lvmc_base::Exit;
use lvmc_model::ModelGraph;
use lvmc_report::stages;
use lvmc_term::DimId;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Prints the text of a stage.
pub fn run(args: &Emit) -> Result<Exit, Failure> {
    let loaded = load::load(&args.files, &args.model, "emit MODEL [DATA] --stage STAGE", 1)?;
    let ast = pipeline::parse(&loaded.source)?;
    let text = if args.stage == Stage::Ast {
        lvmc_syntax::print_ast(&ast)
    } else {
        let (graph, binding) = check::with_data(&ast, &loaded, loaded.rest.first().map(String::as_str), &args.bind)?;
        if gradient::applies(&graph) && !matches!(args.stage, Stage::Ast | Stage::Graph) {
            return guided(args, &graph, binding.map(|b| b.sizes));
        }
        let missing = super::derive::missing(&graph, &args.missing)?;
        match args.stage {
            Stage::Ast => String::new(),
            Stage::Graph => lvmc_model::print_graph(&graph),
            Stage::Joint => stages::joint(&graph, &pipeline::joint(&graph, &missing)?),
            Stage::Elbo => stages::elbo(&graph, &pipeline::derive_with(&graph, &missing)?),
            Stage::Plan => stages::plan(&graph, &pipeline::derive_with(&graph, &missing)?),
            Stage::Loops | Stage::Clif | Stage::Asm => {
                let plan = pipeline::derive_with(&graph, &missing)?;
                let sizes = match binding {
                    Some(binding) => binding.sizes,
                    None => declared_sizes(&graph)?,
                };
                let lowered = pipeline::lower(&graph, &plan, &sizes)?;
                let code = code(args.kernels);
                let program = Arc::new(lowered.program);
                match args.stage {
                    Stage::Clif => lvmc_jit::clif_text(&program, &code)?,
                    Stage::Asm => lvmc_jit::asm_text(&program, &code)?,
                    _ => lvmc_loops::program_text(&program, &code),
                }
            }
        }
    };
    if args.model.json {
        let stage = format!("{:?}", args.stage).to_lowercase();
        output::print_json(&json!({ "stage": stage, "text": text }))?;
    } else {
        output::print(&text)?;
    }
    Ok(Exit::Fine)
}

/// Stages of a model with nets or a guide.
fn guided(args: &Emit, graph: &ModelGraph, sizes: Option<BTreeMap<DimId, usize>>) -> Result<Exit, Failure> {
    let derived = gradient::derive_with(
        graph,
        &super::derive::missing(graph, &args.missing)?,
        gradient::asks_for_exact(graph),
    )?;
    let text = match args.stage {
        Stage::Loops | Stage::Clif | Stage::Asm => {
            let sizes = match sizes {
                Some(sizes) => sizes,
                None => declared_sizes(graph)?,
            };
            gradient::emit(graph, derived, &sizes)?
        }
        _ => {
            let page = lvmc_report::guided::derivation(graph, &derived, lvmc_report::math::Style::Unicode);
            lvmc_report::page::unicode(&page)
        }
    };
    if args.model.json {
        let stage = format!("{:?}", args.stage).to_lowercase();
        output::print_json(&json!({ "stage": stage, "text": text }))?;
    } else {
        output::print(&text)?;
    }
    Ok(Exit::Fine)
}

/// The sizes that the model and `--set` give; code needs all of them.
fn declared_sizes(graph: &ModelGraph) -> Result<BTreeMap<DimId, usize>, Failure> {
    let mut sizes = BTreeMap::new();
    let mut open = vec![];
    for dim in &graph.dims {
        match dim.default {
            Some(n) => {
                sizes.insert(dim.id, n);
            }
            None => open.push(format!("--set {}=2", graph.store.dim(dim.id).name)),
        }
    }
    if open.is_empty() {
        return Ok(sizes);
    }
    Err(Failure::usage(
        "code is made for known sizes",
        format!("give them: {}, or the data", open.join(" ")),
    ))
}
