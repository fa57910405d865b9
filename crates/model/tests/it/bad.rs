//! One bad model and its diagnostics per file of `bad/`; every diagnostic code has one.

use lvmc_base::Source;
use lvmc_model::{Settings, build};
use std::collections::BTreeSet;
use std::path::Path;

/// What a file is built with besides its text.
fn settings(name: &str) -> Settings {
    let set = |n: &str, x: f64| Settings {
        set: vec![(n.into(), x)],
        ..Settings::default()
    };
    match name {
        "unknown_setting" => set("k", 4.0),
        "bad_setting" => set("nu", 4.0),
        "column_is_latent" => Settings {
            columns: vec!["class".into(), "y".into()],
            ..Settings::default()
        },
        _ => Settings::default(),
    }
}

fn render(report: &miette::Report) -> String {
    let mut out = String::new();
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor()).with_width(100);
    handler
        .render_report(&mut out, report.as_ref())
        .expect("a string takes text");
    out
}

#[test]
fn bad_models() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut codes = BTreeSet::new();
    let mut files: Vec<_> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    files.sort();
    for path in files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let source = Source::new(
            format!("{name}.lvm"),
            std::fs::read_to_string(&path).expect("a readable model"),
        );
        let ast = match lvmc_syntax::parse(&source) {
            Ok(ast) => ast,
            Err(e) => panic!(
                "{name} does not parse: {:?}",
                miette::Report::new(e).with_source_code(source.named())
            ),
        };
        let text = match build(&ast, &source, &settings(&name)) {
            Ok(graph) => panic!("{name} builds:\n{}", lvmc_model::print_graph(&graph)),
            Err(errors) => {
                let reports = errors.reports(&source);
                codes.extend(reports.iter().filter_map(|r| r.code().map(|c| c.to_string())));
                assert!(
                    reports.iter().all(|r| r.help().is_some()),
                    "{name}: a diagnostic without help"
                );
                reports.iter().map(render).collect::<String>()
            }
        };
        insta::assert_snapshot!(name.clone(), text);
    }
    let source = include_str!("../../src/errors.rs");
    for (i, _) in source.match_indices("code(lvm::model::") {
        let code: String = source[i + 5..].chars().take_while(|c| *c != ')').collect();
        assert!(codes.contains(&code), "no bad model for {code}");
    }
}
