//! Gaussian chains whose statements depend on finite latents: q(z) q(s), its certificates, and that it is called a bound.

use crate::common::{Place, fit, lvmc, root, stderr, stdout};
use lvmc_base::Source;
use lvmc_derive::DeriveError;
use serde_json::{Value, json};

const NILE: [&str; 5] = ["data/nile.csv", "--bind", "t_in_years=year", "--bind", "y=flow"];

fn plan(text: &str) -> (lvmc_model::ModelGraph, Result<lvmc_derive::Plan, DeriveError>) {
    let source = Source::new("chain.lvm", text);
    let ast = lvmc_syntax::parse(&source).expect("a model");
    let graph = lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).expect("a typed model");
    let plan = lvmc_derive::derive(&graph);
    (graph, plan)
}

#[test]
fn certificates_hold() {
    let mut models = 0;
    let folder = root().join("crates/lvmc/tests/structured");
    for file in std::fs::read_dir(folder).expect("models").flatten() {
        let (path, name) = (file.path(), file.file_name());
        let (graph, plan) = plan(&std::fs::read_to_string(&path).expect("a readable model"));
        let plan = plan.unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
        for seed in [1, 2] {
            let list = lvmc::certify::certify(&graph, &plan, seed).unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
            for c in list {
                assert!(c.ok, "{name:?}: {} of {}: {} ({})", c.part, c.of, c.value, c.what);
            }
        }
        models += 1;
    }
    assert!(models >= 9, "only {models} models");
}

/// The local level of the Nile, with a switch of the level's, the noise's or both variances.
fn nile_model(q: &str, r: &str) -> String {
    format!(
        "data y : real\nparam P[2] : simplex[2]\nparam q[2], r[2] : positive\nchain t by t_in_years {{\n  \
         k[1] ~ Categorical([0.5, 0.5])\n  k[t] ~ Categorical(P[k[t-1]])\n  s[1] ~ Normal(1000, 1e6)\n  \
         s[t] ~ Normal(s[t-1], {q})\n  y[t] ~ Normal(s[t], {r})\n}}\n"
    )
}

#[test]
fn a_switch_without_effect_leaves_the_log_likelihood() {
    let place = Place::new();
    for (name, q, r) in [
        ("level", "q[k[t]]", "r[1]"),
        ("noise", "q[1]", "r[k[t]]"),
        ("both", "q[k[t]]", "r[k[t]]"),
    ] {
        let model = place.file(&format!("{name}.lvm"), &nile_model(q, r));
        let init = json!({ "P": [[0.9, 0.1], [0.2, 0.8]], "q": [1469, 1469], "r": [15099, 15099] });
        let init = place.file("init.json", &init.to_string());
        let found = fit(&[
            &[&model[..]],
            &NILE[..],
            &["--init", &init, "--max-iter", "0", "--tol", "0"],
        ]
        .concat());
        let elbo = found["elbo"].as_f64().expect("a number");
        assert!((elbo + 640.380_540_732).abs() < 1e-8, "{name}: {elbo}");
        assert_eq!(found["log_likelihood"], Value::Null, "{name}");
        assert_eq!(found["bic"], Value::Null, "{name}");
    }
}

/// With a switch that matters the bound is named in every output.
#[test]
fn a_fit_says_bound() {
    let place = Place::new();
    let model = place.file("model.lvm", &nile_model("q[k[t]]", "r[1]"));
    let out = place.path("fit.json");
    let found = fit(&[&[&model[..]], &NILE[..], &["--out", &out]].concat());
    assert_eq!(found["converged"], true);
    assert_eq!(
        found["objective_kind"],
        "evidence lower bound (structured mean field q(k) q(s))"
    );
    let elbo = found["elbo"].as_f64().expect("a number");
    // one state for all rows is among the switch's paths
    assert!(elbo > -640.381, "{elbo}");
    let text = stdout(&lvmc(&[&["fit", &model], &NILE[..]].concat()));
    assert!(
        text.contains("evidence lower bound") && !text.contains("log-likelihood"),
        "{text}"
    );
    let check = stdout(&lvmc(&["check", &model]));
    assert!(check.contains("not the log-likelihood"), "{check}");
    let derived = stdout(&lvmc(&["derive", &model]));
    assert!(derived.contains("q = q(k) q(s)"), "{derived}");
    let scored = lvmc(&["score", &out, "data/nile.csv", "--json"]);
    let scored: Value = serde_json::from_slice(&scored.stdout).expect("one JSON object");
    assert!(
        (scored["total"].as_f64().expect("a number") - elbo).abs() < 1e-5,
        "{scored} {elbo}"
    );
    assert!(scored["bound"].as_str().is_some_and(|b| b.contains("lower bound")));
    let scored = stdout(&lvmc(&["score", &out, "data/nile.csv"]));
    assert!(scored.starts_with("row,elbo\n"));
    let predicted = stdout(&lvmc(&["predict", &out, "data/nile.csv"]));
    assert_eq!(predicted.lines().next(), Some("k,k_1,k_2,k_path,s,s_sd"));
    assert_eq!(predicted.lines().count(), 101);
    let errors = lvmc(&[&["fit", &model], &NILE[..], &["--se"]].concat());
    let said = stdout(&errors) + &stderr(&errors);
    assert!(said.contains("its curvature is not the information"), "{said}");
}

/// Noise of two kinds: those rows that have the wide one are found, and the level passes them by.
#[test]
fn outliers_are_found() {
    let place = Place::new();
    let nile = std::fs::read_to_string(root().join("data/nile.csv")).expect("data");
    let mut lines: Vec<String> = nile.lines().map(str::to_owned).collect();
    for row in [20, 47, 70] {
        let (year, flow) = lines[row].split_once(',').expect("two columns");
        lines[row] = format!("{year},{}", flow.parse::<f64>().expect("a number") + 3000.0);
    }
    let data = place.file("nile.csv", &lines.join("\n"));
    let model = "data y : real\nparam w : simplex[2]\nparam q, r[2] : positive\nchain t by t_in_years {\n  \
                 k[t] ~ Categorical(w)\n  s[1] ~ Normal(1000, 1e6)\n  s[t] ~ Normal(s[t-1], q)\n  \
                 y[t] ~ Normal(s[t], r[k[t]])\n}\n";
    let model = place.file("model.lvm", model);
    let out = place.path("fit.json");
    let made = lvmc(&[
        "fit",
        &model,
        &data,
        "--bind",
        "y=flow",
        "--bind",
        "t_in_years=year",
        "--out",
        &out,
    ]);
    assert!(made.status.success(), "{}", stderr(&made));
    let predicted = stdout(&lvmc(&["predict", &out, &data]));
    let state: Vec<&str> = predicted.lines().skip(1).filter_map(|l| l.split(',').next()).collect();
    let odd: Vec<usize> = (0..100).filter(|&i| state[i] != state[0]).map(|i| i + 1).collect();
    assert_eq!(odd, [20, 47, 70]);
}

#[test]
fn the_same_on_any_number_of_threads() {
    let place = Place::new();
    let model = place.file("model.lvm", &nile_model("q[k[t]]", "r[k[t]]"));
    let of = |threads: &str| {
        let found = fit(&[&[&model[..]], &NILE[..], &["--threads", threads, "--max-iter", "60"]].concat());
        (found["parameters"].clone(), found["elbo"].clone())
    };
    assert_eq!(of("1"), of("3"));
}

#[test]
fn what_has_no_gaussian_part_is_refused() {
    let head = "data y : real\nparam q, r : positive\nparam m[2] : real\nparam p : simplex[2]\n";
    let cases = [
        (
            "chain t { k[t] ~ Categorical(p)\nz[1] ~ Normal(0, 1)\nz[t] ~ Normal(sin(z[t-1]) + m[k], q)\ny[t] ~ Normal(z[t], r) }",
            "not affine",
        ),
        (
            "chain t { k[t] ~ Categorical(p)\nz[1] ~ Normal(0, 1)\nz[t] ~ Normal(z[t-1], q)\n\
             y[t] ~ Normal(m[k], r * exp(z[t])) }",
            "it stands in a variance",
        ),
        (
            "chain t { k[t] ~ Categorical(p)\nz[1] ~ Normal(0, 1)\nz[t] ~ if k[t] == 1 then Normal(z[t-1], q) else Normal(z[t-1], 0)\n\
             y[t] ~ Normal(z[t], r) }",
            "a variance is 0",
        ),
        (
            "given u : real\nchain t { k[t] ~ Categorical(p)\nz[1] ~ Normal(0, 1)\nz[t] ~ Normal(m[k] * z[t-1], q)\n\
             y[t] ~ Normal(u[t] * z[t], r) }",
            "differs from row to row",
        ),
    ];
    for (text, reason) in cases {
        let (_, plan) = plan(&format!("{head}{text}"));
        let Err(DeriveError::NoPosterior {
            reason: found, help, ..
        }) = plan
        else {
            panic!("{text}: {plan:?}");
        };
        assert!(found.contains(reason), "{text}: {found}");
        assert!(help.contains("structured-mean-field"), "{help}");
    }
}
