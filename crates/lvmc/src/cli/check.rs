//! `lvmc check`: what was inferred, how each variable is found, and whether the numbers agree.

use super::args::{BindArgs, Check};
use super::{load, output};
use crate::failure::Failure;
use crate::{pipeline, stage};
use lvmc_base::Exit;
use lvmc_model::{ModelGraph, Settings};
use lvmc_report::check::{self, Known};
use lvmc_report::words;
use lvmc_runtime::bind::{self, Binding};
use lvmc_runtime::data::{self, Table};
use lvmc_syntax::ast;
use std::path::Path;

/// Prints the tables of a check.
pub fn run(args: &Check) -> Result<Exit, Failure> {
    let loaded = load::load(&args.files, &args.model, "check MODEL [DATA]", 1)?;
    let ast = pipeline::parse(&loaded.source)?;
    let (graph, binding) = with_data(&ast, &loaded, loaded.rest.first().map(String::as_str), &args.bind)?;
    let known = Known { graph: &graph, binding: binding.as_ref(), set: &loaded.settings.set };
    if !args.model.json {
        output::print(&check::head(known))?;
    }
    let plan = pipeline::derive(&graph)?;
    stage::enter("report");
    let (inference, fallbacks) = (words::inference(&graph, &plan), words::fallbacks(&plan));
    if args.model.json {
        output::print_json(&check::json(known, &inference, &fallbacks))?;
    } else {
        let mut remarks = graph.remarks.clone();
        remarks.extend(binding.iter().flat_map(|b| b.remarks.iter().cloned()));
        output::print(&check::plan(&inference, &fallbacks, &remarks))?;
    }
    Ok(Exit::Fine)
}

/// The graph of a model, and its columns where there are data.
pub fn with_data(
    ast: &ast::Model,
    loaded: &load::Loaded,
    path: Option<&str>,
    options: &BindArgs,
) -> Result<(ModelGraph, Option<Binding>), Failure> {
    let Some(path) = path else {
        let graph = pipeline::graph(ast, &loaded.source, &loaded.settings)?;
        return Ok((graph, None));
    };
    let table = read(path)?;
    let settings = with_columns(&loaded.settings, &table);
    let graph = pipeline::graph(ast, &loaded.source, &settings)?;
    let binding = bound(&graph, &table, options)?;
    Ok((graph, Some(binding)))
}

/// A table of data.
pub fn read(path: &str) -> Result<Table, Failure> {
    stage::enter("data");
    if path == "-" {
        return Ok(data::read_from(std::io::stdin().lock(), "standard input")?);
    }
    Ok(data::read(Path::new(path))?)
}

/// Settings that know the data's columns.
#[must_use]
pub fn with_columns(settings: &Settings, table: &Table) -> Settings {
    Settings { columns: table.names().map(str::to_owned).collect(), ..settings.clone() }
}

/// The columns of a model's variables.
pub fn bound(graph: &ModelGraph, table: &Table, options: &BindArgs) -> Result<Binding, Failure> {
    stage::enter("bind");
    let options = bind::Options {
        binds: options.bind.clone(),
        weights: options.weights.clone(),
        ..bind::Options::default()
    };
    Ok(bind::bind(graph, table, &options)?)
}
