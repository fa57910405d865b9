//! Derivations with missing cells: which rule finds what.

use lvmc_base::Source;
use lvmc_derive::{Missing, derive_with};
use lvmc_model::Settings;

fn rules(text: &str) -> Vec<(String, &'static str)> {
    let source = Source::new("test", text);
    let ast = lvmc_syntax::parse(&source).unwrap_or_else(|e| panic!("{e:?}"));
    let graph = lvmc_model::build(&ast, &source, &Settings::default()).unwrap_or_else(|e| panic!("{e:?}"));
    let missing = Missing::most(&graph);
    let plan = derive_with(&graph, &missing).unwrap_or_else(|e| panic!("{e:?}"));
    let name = |t| {
        plan.store
            .as_symbol(t)
            .map(|x| plan.store.sym(x.0).name.clone())
            .unwrap_or_default()
    };
    let all = plan.updates.iter().map(|u| {
        let names: Vec<String> = u.targets.iter().map(|&t| name(t)).collect();
        (names.join(" "), u.rule)
    });
    all.collect()
}

#[test]
fn loadings_are_found_output_by_output() {
    let found = rules(
        "dim Q = 2; param W : real[D, Q]; param mu : real[D]; z ~ Normal(0, I[Q]); x ~ Normal(W * z + mu, sigma2 * I)",
    );
    assert_eq!(
        found,
        [("W mu".into(), "least-squares"), ("sigma2".into(), "log-linear")]
    );
}

#[test]
fn every_output_has_its_noise() {
    let found = rules(
        "dim Q = 2; param W : real[D, Q]; param mu : real[D]; param psi : positive[D]; z ~ Normal(0, I[Q]); x ~ Normal(W * z + mu, diag(psi))",
    );
    assert_eq!(found, [("W mu".into(), "least-squares"), ("psi".into(), "log-linear")]);
}

#[test]
fn mixtures_of_diagonal_normals_and_of_factors() {
    let found = rules("z ~ Categorical(pi); x ~ Normal(mu[z], diag(s[z]))");
    assert_eq!(found.len(), 3);
    assert_eq!(found[1], ("mu".into(), "quadratic-argmax"));
    let found = rules(
        "dim Q = 1, K = 2; param W[K] : real[D, Q]; param mu[K] : real[D]; c ~ Categorical(pi); z ~ Normal(0, I[Q]); x ~ Normal(W[c] * z + mu[c], s[c] * I)",
    );
    assert_eq!(found[1], ("W mu".into(), "least-squares"));
}
