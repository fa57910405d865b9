//! Every model of the language's examples and of the reference builds; its table and factors are held.

use lvmc_base::Source;
use lvmc_model::{Settings, build, print_graph, verify};
use std::path::Path;

fn graph_text(name: &str, text: &str) -> String {
    let source = Source::new(name, text);
    let ast = match lvmc_syntax::parse(&source) {
        Ok(ast) => ast,
        Err(e) => return format!("{:?}", miette::Report::new(e).with_source_code(source.named())),
    };
    match build(&ast, &source, &Settings::default()) {
        Ok(graph) => {
            verify(&graph).unwrap_or_else(|e| panic!("{name}: {}\n{}", e.message, e.ir));
            print_graph(&graph)
        }
        Err(errors) => errors.reports(&source).iter().map(|r| format!("{r:?}\n")).collect(),
    }
}

fn all_of(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut out: Vec<(String, String)> = std::fs::read_dir(&root)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "lvm"))
        .map(|e| {
            let name = e.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(e.path()).expect("a readable model"))
        })
        .collect();
    out.sort();
    out
}

#[test]
fn built_in_models() {
    for (name, text) in all_of("../../models") {
        insta::assert_snapshot!(format!("built_in_{name}"), graph_text(&name, &text));
    }
}

#[test]
fn more_models() {
    for (name, text) in all_of("tests/models") {
        insta::assert_snapshot!(name.clone(), graph_text(&name, &text));
    }
}
