//! `lvmc derive`: the derivation as mathematics.

use super::args::{Derive, Format};
use super::{load, output};
use crate::failure::Failure;
use crate::{gradient, pipeline, stage};
use lvmc_base::Exit;
use lvmc_derive::{Gaps, Missing};
use lvmc_model::ModelGraph;
use lvmc_model::graph::Role;
use lvmc_report::derivation::{Derivation, derivation};
use lvmc_report::guided::derivation as guided_page;
use lvmc_report::math::Style;
use lvmc_report::page;
use std::collections::BTreeMap;

/// The named data variables, with as much missing as the model allows.
pub fn missing(graph: &ModelGraph, names: &[String]) -> Result<Missing, Failure> {
    let most = Missing::most(graph);
    let mut found = BTreeMap::new();
    for name in names {
        let data = graph.vars.iter().filter(|v| v.role == Role::Data);
        let Some(var) = data.clone().find(|v| v.name == *name) else {
            let known: Vec<&str> = data.map(|v| v.name.as_str()).collect();
            return Err(Failure::usage(
                format!("`{name}` is no data variable of the model"),
                format!("its data variables are {}", known.join(", ")),
            ));
        };
        let Some(gaps) = most.gaps(var.sym) else {
            let why = lvmc_derive::missing::refusal(graph, var.sym, Gaps::Whole).unwrap_or_default();
            return Err(Failure::usage(
                format!("cells of `{name}` may not be missing: {why}"),
                "leave it out of --missing",
            ));
        };
        found.insert(var.sym, gaps);
    }
    Ok(Missing::of(graph, &found))
}

/// Prints the derivation of a model.
pub fn run(args: &Derive) -> Result<Exit, Failure> {
    let loaded = load::load(&args.files, &args.model, "derive MODEL", 0)?;
    let ast = pipeline::parse(&loaded.source)?;
    let graph = pipeline::graph(&ast, &loaded.source, &loaded.settings)?;
    if gradient::applies(&graph) {
        let guided = gradient::derive_with(
            &graph,
            &missing(&graph, &args.missing)?,
            gradient::asks_for_exact(&graph),
        )?;
        stage::enter("report");
        return page_of(args, |style| guided_page(&graph, &guided, style));
    }
    let plan = pipeline::derive_with(&graph, &missing(&graph, &args.missing)?)?;
    stage::enter("report");
    page_of(args, |style| derivation(&graph, &plan, style))
}

/// Prints a derivation in the format asked for.
fn page_of(args: &Derive, of: impl Fn(Style) -> Derivation) -> Result<Exit, Failure> {
    let format = match (args.format, args.model.json) {
        (Some(format), _) => format,
        (None, true) => Format::Json,
        (None, false) => Format::Unicode,
    };
    match format {
        Format::Unicode => output::print(&page::unicode(&of(Style::Unicode)))?,
        Format::Latex => output::print(&page::latex(&of(Style::Latex)))?,
        Format::Json => output::print_json(&page::json(&of(Style::Unicode), &of(Style::Latex)))?,
    }
    Ok(Exit::Fine)
}
