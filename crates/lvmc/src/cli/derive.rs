//! `lvmc derive`: the derivation as mathematics.

use super::args::{Derive, Format};
use super::{load, output};
use crate::failure::Failure;
use crate::{pipeline, stage};
use lvmc_base::Exit;
use lvmc_report::derivation::derivation;
use lvmc_report::math::Style;
use lvmc_report::page;

/// Prints the derivation of a model.
pub fn run(args: &Derive) -> Result<Exit, Failure> {
    let loaded = load::load(&args.files, &args.model, "derive MODEL", 0)?;
    let ast = pipeline::parse(&loaded.source)?;
    let graph = pipeline::graph(&ast, &loaded.source, &loaded.settings)?;
    let plan = pipeline::derive(&graph)?;
    stage::enter("report");
    let format = match (args.format, args.model.json) {
        (Some(format), _) => format,
        (None, true) => Format::Json,
        (None, false) => Format::Unicode,
    };
    match format {
        Format::Unicode => output::print(&page::unicode(&derivation(&graph, &plan, Style::Unicode)))?,
        Format::Latex => output::print(&page::latex(&derivation(&graph, &plan, Style::Latex)))?,
        Format::Json => {
            let (u, l) = (
                derivation(&graph, &plan, Style::Unicode),
                derivation(&graph, &plan, Style::Latex),
            );
            output::print_json(&page::json(&u, &l))?;
        }
    }
    Ok(Exit::Fine)
}
