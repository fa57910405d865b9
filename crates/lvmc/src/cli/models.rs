//! `lvmc models`: the built-in models.

use super::args::Models;
use super::output;
use crate::builtin::{MODELS, find, summary};
use crate::failure::Failure;
use lvmc_base::{Exit, closest};
use serde_json::{Value, json};

/// Lists the built-in models, or prints one.
pub fn run(args: &Models) -> Result<Exit, Failure> {
    match &args.name {
        None => list(args.json)?,
        Some(name) => {
            let text = find(name).ok_or_else(|| unknown(name))?;
            if args.json {
                output::print_json(&json!({ "name": name, "summary": summary(text), "text": text }))?;
            } else {
                output::print(text)?;
            }
        }
    }
    Ok(Exit::Fine)
}

fn list(as_json: bool) -> Result<(), Failure> {
    if as_json {
        let list: Vec<Value> = MODELS
            .iter()
            .map(|(name, text)| json!({ "name": name, "summary": summary(text) }))
            .collect();
        return output::print_json(&json!({ "models": list }));
    }
    let width = MODELS.iter().map(|m| m.0.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, model) in MODELS {
        text.push_str(&format!("{name:width$}  {}\n", summary(model)));
    }
    output::print(&text)
}

fn unknown(name: &str) -> Failure {
    let help = match closest(name, MODELS.iter().map(|m| m.0)) {
        Some(near) => format!("did you mean {near}?"),
        None => "lvmc models lists them".to_owned(),
    };
    Failure::usage(format!("there is no built-in model {name}"), help)
}
