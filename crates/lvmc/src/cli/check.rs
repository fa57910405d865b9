//! `lvmc check`: what was inferred, how each variable is found, and whether the numbers agree.

use super::args::{BindArgs, Check};
use super::fit::read;
use super::{load, output};
use crate::failure::Failure;
use crate::{advice, certify, gradient, pipeline, stage};
use lvmc_base::{Bug, Exit};
use lvmc_model::ModelGraph;
use lvmc_report::check::{self, Known};
use lvmc_report::{stages, training, words};
use lvmc_runtime::bind::{self, Binding};
use lvmc_syntax::ast;

/// Prints the tables of a check.
pub fn run(args: &Check) -> Result<Exit, Failure> {
    let loaded = load::load(&args.files, &args.model, "check MODEL [DATA]", 1)?;
    let ast = pipeline::parse(&loaded.source)?;
    let (graph, binding) = with_data(&ast, &loaded, loaded.rest.first().map(String::as_str), &args.bind)?;
    let known = Known {
        graph: &graph,
        binding: binding.as_ref(),
        set: &loaded.settings.set,
    };
    if !args.model.json {
        output::print(&check::head(known))?;
    }
    if gradient::applies(&graph) {
        return guided(args, known, &graph, binding.as_ref());
    }
    let missing = super::derive::missing(&graph, &args.missing)?;
    let plan = pipeline::derive_with(&graph, &missing)?;
    stage::enter("report");
    let (inference, fallbacks) = (words::inference(&graph, &plan), words::fallbacks(&plan));
    let certificates = if args.numeric {
        Some(certify::certify_missing(
            &graph,
            &plan,
            &missing,
            args.seed,
            certify::rows(&graph, &plan),
        )?)
    } else {
        None
    };
    stage::enter("report");
    if args.model.json {
        let mut object = check::json(known, &inference, &fallbacks);
        if let (Some(list), Some(map)) = (&certificates, object.as_object_mut()) {
            map.insert("certificates".into(), certify::as_json(list));
        }
        output::print_json(&object)?;
    } else {
        let mut remarks = graph.remarks.clone();
        for f in &fallbacks {
            let var = graph.vars.iter().find(|v| v.name == f.name);
            let edits = var.map(|v| advice::edits(&graph, v.sym)).unwrap_or_default();
            if !edits.is_empty() {
                remarks.push(format!("closed form again with {}", edits.join(", or ")));
            }
        }
        remarks.extend(binding.iter().flat_map(|b| b.remarks.iter().cloned()));
        output::print(&check::plan(&inference, &fallbacks, &remarks))?;
        if let Some(list) = &certificates {
            output::print(&certify::text(list, certify::rows(&graph, &plan), args.seed))?;
        }
    }
    let failed = certificates.iter().flatten().find(|c| !c.ok);
    match failed {
        None => Ok(Exit::Fine),
        // a derivation that its certificate refutes is our mistake, not the user's
        Some(c) => Err(Failure::from(Bug {
            stage: "derive",
            message: format!("the certificate `{} {}` fails: {}", c.part, c.of, c.what),
            ir: stages::plan(&graph, &plan),
        })),
    }
}

/// Of a model with nets or a guide.
fn guided(args: &Check, known: Known<'_>, graph: &ModelGraph, binding: Option<&Binding>) -> Result<Exit, Failure> {
    let derived = gradient::derive_with(
        graph,
        &super::derive::missing(graph, &args.missing)?,
        gradient::asks_for_exact(graph),
    )?;
    gradient::settings(graph, &pipeline::Request::default())?;
    stage::enter("report");
    let inference = training::inference(graph, &derived);
    let certificates = if args.numeric {
        Some(certify::gradient::certify(graph, derived, args.seed)?)
    } else {
        None
    };
    stage::enter("report");
    if args.model.json {
        let mut object = check::json(known, &inference, &[]);
        if let (Some(list), Some(map)) = (&certificates, object.as_object_mut()) {
            map.insert("certificates".into(), certify::as_json(list));
        }
        output::print_json(&object)?;
    } else {
        let mut remarks = graph.remarks.clone();
        remarks.extend(binding.iter().flat_map(|b| b.remarks.iter().cloned()));
        output::print(&check::plan(&inference, &[], &remarks))?;
        if let Some(list) = &certificates {
            output::print(&certify::text(list, certify::gradient::ROWS, args.seed))?;
        }
    }
    match certificates.iter().flatten().find(|c| !c.ok) {
        None => Ok(Exit::Fine),
        Some(c) => Err(Failure::from(Bug {
            stage: "derive",
            message: format!("the certificate `{} {}` fails: {}", c.part, c.of, c.what),
            ir: String::new(),
        })),
    }
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
    let mut table = read(path)?;
    let settings = pipeline::with_columns(&loaded.settings, &table);
    let graph = pipeline::graph(ast, &loaded.source, &settings)?;
    let options = bind::Options {
        binds: options.bind.clone(),
        weights: options.weights.clone(),
        ..bind::Options::default()
    };
    lvmc_runtime::nested::add_columns(&graph, &mut table, &options.binds, &[])?;
    let binding = pipeline::bind(&graph, &table, &options)?;
    Ok((graph, Some(binding)))
}
