//! `lvmc emit`: what one stage makes, as text.

use super::args::{Emit, Stage};
use super::{check, load, output};
use crate::failure::Failure;
use crate::pipeline;
use lvmc_base::Exit;
use lvmc_report::stages;
use serde_json::json;

/// Prints the text of a stage.
pub fn run(args: &Emit) -> Result<Exit, Failure> {
    let loaded = load::load(&args.files, &args.model, "emit MODEL [DATA] --stage STAGE", 1)?;
    let ast = pipeline::parse(&loaded.source)?;
    let text = if args.stage == Stage::Ast {
        lvmc_syntax::print_ast(&ast)
    } else {
        let (graph, _binding) = check::with_data(&ast, &loaded, loaded.rest.first().map(String::as_str), &args.bind)?;
        match args.stage {
            Stage::Ast => String::new(),
            Stage::Graph => lvmc_model::print_graph(&graph),
            Stage::Joint => stages::joint(&graph, &pipeline::joint(&graph)?),
            Stage::Elbo => stages::elbo(&graph, &pipeline::derive(&graph)?),
            Stage::Plan => stages::plan(&graph, &pipeline::derive(&graph)?),
            Stage::Loops | Stage::Clif | Stage::Asm => return Err(Failure::usage("not there yet", "")),
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
