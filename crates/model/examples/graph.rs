//! Prints the graph of a model file, or what is wrong with it: `cargo run -p lvmc-model --example graph -- FILE`.

use lvmc_base::Source;
use lvmc_model::{Settings, build, print_graph, verify};

fn main() {
    for file in std::env::args().skip(1) {
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) => {
                eprintln!("{file}: {e}");
                continue;
            }
        };
        let source = Source::new(file.as_str(), text);
        match lvmc_syntax::parse(&source) {
            Err(e) => eprintln!("{:?}", miette::Report::new(e).with_source_code(source.named())),
            Ok(ast) => match build(&ast, &source, &Settings::default()) {
                Ok(graph) => {
                    println!("{}", print_graph(&graph));
                    if let Err(bug) = verify(&graph) {
                        eprintln!("{}", bug.message);
                    }
                }
                Err(errors) => errors.reports(&source).iter().for_each(|r| eprintln!("{r:?}")),
            },
        }
    }
}
