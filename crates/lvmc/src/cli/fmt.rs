//! `lvmc fmt`: formats model files in place.

use super::args::Fmt;
use super::load::read_model;
use super::output;
use crate::failure::Failure;
use lvmc_base::Exit;
use serde_json::{Value, json};
use std::path::Path;

/// Formats each file, or says which are not formatted.
pub fn run(args: &Fmt) -> Result<Exit, Failure> {
    let mut changed: Vec<&str> = vec![];
    for path in &args.files {
        if path != "-" && !Path::new(path).exists() {
            return Err(Failure::usage(
                format!("there is no file {path}"),
                "fmt takes files, or - for standard input",
            ));
        }
        let (source, _) = read_model(path)?;
        let text = lvmc_syntax::format(&source.text).map_err(|e| Failure::syntax(e, &source))?;
        let differs = text != *source.text;
        if differs {
            changed.push(path);
        }
        match (path.as_str(), args.check) {
            (_, true) => {}
            ("-", false) => output::print(&text)?,
            (_, false) if differs => output::write(Some(Path::new(path)), &text)?,
            _ => {}
        }
    }
    if args.json {
        let list: Vec<Value> = args
            .files
            .iter()
            .map(|f| json!({ "file": f, "formatted": !changed.contains(&f.as_str()) }))
            .collect();
        output::print_json(&json!({ "files": list }))?;
    } else if args.check {
        for path in &changed {
            output::print(&format!("{path} is not formatted\n"))?;
        }
    }
    Ok(if args.check && !changed.is_empty() {
        Exit::Suspect
    } else {
        Exit::Fine
    })
}
