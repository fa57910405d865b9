//! Prints a model's updates and its loop program: `derive MODEL [DIM=N ...]` (all sizes are 2 unless given).

use lvmc_loops::{
    Options,
    lower::{Sizes, lower},
    program_text,
};
use lvmc_term::print::unicode;

fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().expect("a model file");
    let text = std::fs::read_to_string(&path).expect("readable");
    let source = lvmc_base::Source::new(path.as_str(), text);
    let ast = lvmc_syntax::parse(&source).unwrap_or_else(|e| panic!("{e:?}"));
    let graph = lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).unwrap_or_else(|e| panic!("{e:?}"));
    let mut plan = match lvmc_derive::derive(&graph) {
        Ok(p) => p,
        Err(e) => panic!("{:?}", miette::Report::new(e).with_source_code(source.named())),
    };
    for step in plan.steps.clone() {
        let left = match step.left {
            lvmc_derive::plan::Left::Term(t) => unicode(&plan.store, t),
            other => format!("{other:?}"),
        };
        println!(
            "{:?}: {left} = {}    [{}] {}",
            step.section,
            unicode(&plan.store, step.right),
            step.rule,
            step.remark
        );
    }
    for u in &plan.updates {
        println!(
            "{} {:?} uses {:?}",
            u.rule,
            u.targets.iter().map(|&t| unicode(&plan.store, t)).collect::<Vec<_>>(),
            u.uses
        );
    }
    println!("iterated: {}", lvmc_derive::iterated(&plan));
    let given: Vec<(String, usize)> = args
        .filter_map(|a| {
            a.split_once('=')
                .map(|(k, v)| (k.to_owned(), v.parse().expect("a number")))
        })
        .collect();
    let sizes: Sizes = plan
        .store
        .dims()
        .map(|(id, d)| (id, given.iter().find(|g| g.0 == d.name).map_or(2, |g| g.1)))
        .collect();
    plan.steps.clear();
    let lowered = lower(&graph, &plan, &sizes).unwrap_or_else(|e| panic!("{e}"));
    println!("{}", program_text(&lowered.program, &Options::default()));
}
