//! `lvmc explain`: which rules were tried for a variable, and why the others declined.

use super::args::Explain;
use super::{load, output};
use crate::failure::Failure;
use crate::{advice, gradient, pipeline, stage};
use lvmc_base::{Exit, closest};
use lvmc_model::graph::Role;
use lvmc_report::{explain, training};

/// Prints how one variable is found.
pub fn run(args: &Explain) -> Result<Exit, Failure> {
    let loaded = load::load(&args.files, &args.model, "explain MODEL NAME", 1)?;
    let Some(name) = loaded.rest.first() else {
        return Err(Failure::usage(
            "a name is missing",
            "lvmc explain MODEL NAME; lvmc check MODEL lists the names",
        ));
    };
    let ast = pipeline::parse(&loaded.source)?;
    let graph = pipeline::graph(&ast, &loaded.source, &loaded.settings)?;
    let Some(var) = graph.vars.iter().find(|v| v.name == *name) else {
        let names = graph.vars.iter().map(|v| v.name.as_str());
        let help = match closest(name, names.clone()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("it has {}", names.collect::<Vec<_>>().join(", ")),
        };
        return Err(Failure::usage(format!("the model has no {name}"), help));
    };
    if gradient::applies(&graph) {
        let guided = gradient::derive(&graph)?;
        let found = training::inference(&graph, &guided);
        let line = found.iter().find(|l| l.names.contains(name)).or(found.last());
        let how = line.map_or(String::new(), |l| match l.rule.as_str() {
            "" => l.how.clone(),
            rule => format!("{}   ({rule})", l.how),
        });
        if args.model.json {
            output::print_json(&serde_json::json!({ "name": name, "how": how }))?;
        } else {
            output::print(&format!("{name}: {how}\n"))?;
        }
        return Ok(Exit::Fine);
    }
    let plan = pipeline::derive(&graph)?;
    stage::enter("report");
    let mut said = explain::explain(&graph, &plan, var);
    if var.role == Role::Param && !advice::is_closed(&plan, var.sym) {
        said.edits = advice::edits(&graph, var.sym);
    }
    if args.model.json {
        output::print_json(&said.json())?;
    } else {
        output::print(&said.text())?;
    }
    Ok(Exit::Fine)
}
