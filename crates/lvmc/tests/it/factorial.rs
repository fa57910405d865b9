//! Several chains of finite latents that share observations: q of each by itself, its certificates (enumeration of all paths),
//! and that it is called a bound.

use crate::common::{Place, fit, lvmc, root, stderr, stdout};
use lvmc_base::Source;
use lvmc_derive::factorial::Apart;
use lvmc_derive::{Missing, derive_as, derive_with};
use serde_json::Value;
use std::fmt::Write as _;

const QUAKES: [&str; 3] = ["data/earthquakes.csv", "--bind", "y=count"];

fn graph(text: &str) -> lvmc_model::ModelGraph {
    let source = Source::new("chains.lvm", text);
    let ast = lvmc_syntax::parse(&source).expect("a model");
    lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).expect("a typed model")
}

fn certified(name: &str, graph: &lvmc_model::ModelGraph, plan: &lvmc_derive::Plan, seed: u64) {
    let list = lvmc::certify::certify(graph, plan, seed).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    for c in &list {
        assert!(c.ok, "{name}: {} of {}: {} ({})", c.part, c.of, c.value, c.what);
    }
    let bound = list.iter().any(|c| c.what.contains("not above log p"));
    assert_eq!(bound, plan.objective.is_bound(), "{name}");
}

/// Marginals and bound by turns over tables of all paths; the bound below log p; M-steps, Q as printed, the interpreter.
#[test]
fn certificates_hold() {
    let mut models = 0;
    let folder = root().join("crates/lvmc/tests/factorial");
    for file in std::fs::read_dir(folder).expect("models").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let graph = graph(&std::fs::read_to_string(file.path()).expect("a readable model"));
        let plan = derive_with(&graph, &Missing::default()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert!(plan.chains.len() > 1, "{name}");
        assert_eq!(plan.objective.is_bound(), name != "apart.lvm", "{name}");
        certified(&name, &graph, &plan, 1);
        models += 1;
    }
    assert!(models >= 9, "only {models} models");
}

/// Cells that are missing leave their factors out.
#[test]
fn certificates_hold_with_missing_cells() {
    for name in ["two.lvm", "counts.lvm", "three.lvm"] {
        let path = root().join("crates/lvmc/tests/factorial").join(name);
        let graph = graph(&std::fs::read_to_string(path).expect("a readable model"));
        let missing = Missing::most(&graph);
        let plan = derive_with(&graph, &missing).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let rows = lvmc::certify::rows(&graph, &plan);
        let list = lvmc::certify::certify_missing(&graph, &plan, &missing, 1, rows)
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for c in list {
            assert!(c.ok, "{name}: {} of {}: {} ({})", c.part, c.of, c.value, c.what);
        }
    }
}

/// Three chains in one mean, multiplied out to pairs: the same q.
#[test]
fn certificates_hold_of_pairs() {
    let path = root().join("crates/lvmc/tests/factorial/three.lvm");
    let graph = graph(&std::fs::read_to_string(path).expect("a readable model"));
    let apart = Apart {
        most: 1,
        ..Apart::default()
    };
    let plan = derive_as(&graph, &Missing::default(), Some(&apart)).expect("a plan");
    let widest = plan.factors.iter().map(|f| f.scope.len()).max();
    assert_eq!(widest, Some(2));
    certified("three, in pairs", &graph, &plan, 1);
}

fn quakes(posterior: &str) -> String {
    format!(
        "data y : count\nparam A[2], B[2] : simplex[2]\nparam rate[2, 2] : positive\nchain t by year {{\n  \
         u[1] ~ Categorical([0.5, 0.5])\n  u[t] ~ Categorical(A[u[t-1]])\n  v[1] ~ Categorical([0.5, 0.5])\n  \
         v[t] ~ Categorical(B[v[t-1]])\n  y[t] ~ Poisson(rate[u[t], v[t]])\n}}\nfit {{ posterior = {posterior} }}\n"
    )
}

/// A fit names the approximation wherever it says what it found, and stays below the exact one.
#[test]
fn a_fit_says_bound() {
    let place = Place::new();
    let model = place.file("model.lvm", &quakes("structured"));
    let exact = place.file("exact.lvm", &quakes("exact"));
    let out = place.path("fit.json");
    let found = fit(&[&[&model[..]], &QUAKES[..], &["--out", &out]].concat());
    let best = fit(&[&[&exact[..]], &QUAKES[..]].concat());
    assert_eq!(
        found["objective_kind"],
        "evidence lower bound (structured mean field q(u) q(v))"
    );
    assert_eq!(found["log_likelihood"], Value::Null);
    let elbo = found["elbo"].as_f64().expect("a number");
    let log_likelihood = best["log_likelihood"].as_f64().expect("a number");
    assert!(elbo < log_likelihood, "{elbo} {log_likelihood}");
    let scored = lvmc(&["score", &out, QUAKES[0], "--json"]);
    let scored: Value = serde_json::from_slice(&scored.stdout).expect("one JSON object");
    assert!(
        (scored["total"].as_f64().expect("a number") - elbo).abs() < 1e-4,
        "{scored} {elbo}"
    );
    let predicted = stdout(&lvmc(&["predict", &out, QUAKES[0]]));
    assert_eq!(predicted.lines().count(), 108, "{predicted}");
    let derived = stdout(&lvmc(&["derive", &model]));
    assert!(derived.contains("E-step: q(u) q(v)"), "{derived}");
    assert!(derived.contains("factorial-mean-field"), "{derived}");
}

/// Parameters from the same start, after some iterations: chains that share nothing have their exact posterior.
#[test]
fn chains_apart_are_exact() {
    let place = Place::new();
    let text = |posterior: &str| {
        quakes(posterior)
            .replace(
                "Poisson(rate[u[t], v[t]])",
                "Poisson(rate[u[t], 1])\n  x[t] ~ Poisson(rate[v[t], 2])",
            )
            .replace("data y", "data y, x")
    };
    let of = |posterior: &str| {
        let model = place.file(&format!("{posterior}.lvm"), &text(posterior));
        let args = ["--bind", "x=count", "--restarts", "1", "--max-iter", "7", "--seed", "3"];
        fit(&[&[&model[..]], &QUAKES[..], &args].concat())
    };
    let (a, b) = (of("structured"), of("exact"));
    let value = |f: &Value| f["log_likelihood"].as_f64().expect("a log-likelihood");
    assert!(
        (value(&a) - value(&b)).abs() < 1e-9 * value(&b).abs(),
        "{} {}",
        value(&a),
        value(&b)
    );
}

#[test]
fn the_same_on_any_number_of_threads() {
    let place = Place::new();
    let model = place.file("model.lvm", &quakes("structured"));
    let of = |threads: &str| {
        let found = fit(&[&[&model[..]], &QUAKES[..], &["--threads", threads, "--max-iter", "40"]].concat());
        (found["parameters"].clone(), found["elbo"].clone())
    };
    assert_eq!(of("1"), of("3"));
}

/// M chains of K values, their means added up.
fn additive(chains: usize, values: usize) -> String {
    let mut text = "data y : real\nparam r : positive\n".to_owned();
    let mut along = String::new();
    for m in 0..chains {
        let _ = writeln!(
            text,
            "param A{m}[{values}] : simplex[{values}]\nparam m{m}[{values}] : real"
        );
        let _ = writeln!(
            along,
            "  z{m}[1] ~ Categorical(A{m}[1])\n  z{m}[t] ~ Categorical(A{m}[z{m}[t-1]])"
        );
    }
    let means: Vec<String> = (0..chains).map(|m| format!("m{m}[z{m}[t]]")).collect();
    let _ = writeln!(
        text,
        "chain t by t_in_years {{\n{along}  y[t] ~ Normal({}, r)\n}}",
        means.join(" + ")
    );
    text
}

/// More joint states than could ever be enumerated: chosen without being asked, and the bound rises.
#[test]
fn many_joint_states_fit() {
    let place = Place::new();
    let text = additive(4, 30).replace("t_in_years", "year");
    let model = place.file("model.lvm", &text);
    let args = ["--restarts", "1", "--max-iter", "10"];
    let found = fit(&[&[&model[..]], &QUAKES[..], &args].concat());
    let kind = found["objective_kind"].as_str().expect("a text");
    assert!(kind.contains("q(z0) q(z1) q(z2) q(z3)"), "{kind}");
    assert!(found["elbo"].as_f64().is_some_and(f64::is_finite), "{found}");
}

/// One statement of too many values together is refused, and so is what is asked to be exact.
#[test]
fn too_many_configurations_are_refused() {
    let place = Place::new();
    let data = ["data/nile.csv", "--bind", "t_in_years=year", "--bind", "y=flow"];
    let table = additive(3, 70).replace(
        "m0[z0[t]] + m1[z1[t]] + m2[z2[t]]",
        "exp(m0[z0[t]] + m1[z1[t]] * m2[z2[t]])",
    );
    let exact = additive(3, 20) + "fit { posterior = exact }\n";
    for (text, says) in [(table, "343000"), (exact, "8000 joint states")] {
        let model = place.file("model.lvm", &text);
        let output = lvmc(&[&["fit", &model], &data[..]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(6), "{said}");
        assert!(said.contains(says), "{said}");
    }
}
