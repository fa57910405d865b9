//! Chains of Gaussian latents: another software's answer, certificates against the dense joint Gaussian, refusals.

use crate::common::{Numbers, Place, lvmc, root, stderr, stdout};
use lvmc_base::Source;
use lvmc_derive::{DeriveError, Missing, derive_with};
use serde_json::Value;

const NILE: [&str; 6] = [
    "models/local_level.lvm",
    "data/nile.csv",
    "--bind",
    "time=year",
    "--bind",
    "y=flow",
];

fn plan(text: &str) -> (lvmc_model::ModelGraph, Result<lvmc_derive::Plan, DeriveError>) {
    let source = Source::new("chain.lvm", text);
    let ast = lvmc_syntax::parse(&source).expect("a model");
    let graph = lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).expect("a typed model");
    let plan = lvmc_derive::derive(&graph);
    (graph, plan)
}

#[test]
fn the_nile() {
    for seed in ["1", "2", "3"] {
        let output = lvmc(&[&["fit"], &NILE[..], &["--json", "--seed", seed]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let fit: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let found = fit["log_likelihood"].as_f64().expect("a number");
        assert!((found + 640.380_54).abs() < 1e-5, "{found}");
        assert_eq!(fit["converged"], true);
    }
}

#[test]
fn smoothed_means_and_scores() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fit = folder.path().join("fit.json");
    let fit = fit.to_string_lossy();
    let made = lvmc(&[&["fit"], &NILE[..], &["--out", &fit]].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    let predicted = stdout(&lvmc(&["predict", &fit, "data/nile.csv"]));
    let mut lines = predicted.lines();
    assert_eq!(lines.next(), Some("level,level_sd"));
    assert_eq!(lines.count(), 100);
}

#[test]
fn certificates_hold() {
    let mut models = 0;
    let folder = root().join("crates/lvmc/tests/gaussian_chains");
    for file in std::fs::read_dir(folder).expect("models").flatten() {
        let (path, name) = (file.path(), file.file_name());
        let (graph, _) = plan(&std::fs::read_to_string(&path).expect("a readable model"));
        for missing in [Missing::default(), Missing::most(&graph)] {
            let plan = derive_with(&graph, &missing).unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
            for seed in 1..=if missing.is_empty() { 2 } else { 1 } {
                let rows = lvmc::certify::rows(&graph, &plan);
                let list = lvmc::certify::certify_missing(&graph, &plan, &missing, seed, rows);
                for c in list.unwrap_or_else(|e| panic!("{name:?}: {e:?}")) {
                    assert!(c.ok, "{name:?}: {} of {}: {} ({})", c.part, c.of, c.value, c.what);
                }
            }
        }
        models += 1;
    }
    assert!(models >= 7, "only {models} models");
}

#[test]
fn what_is_not_linear_gaussian_is_refused() {
    let head = "data y : real\nparam q, r : positive\n";
    let cases = [
        (
            "chain t { z[1] ~ Normal(0, 1)\nz[t] ~ Normal(sin(z[t-1]), q)\ny[t] ~ Normal(z[t], r) }",
            "not affine",
        ),
        (
            "chain t { z[1] ~ Normal(0, 1)\nz[t] ~ Normal(z[t-1], q)\ny[t] ~ Normal(0, r * exp(z[t])) }",
            "it stands in a variance",
        ),
        (
            "given u : real\nchain t { z[1] ~ Normal(0, 1)\nz[t] ~ Normal(z[t-1], q)\ny[t] ~ Normal(u[t] * z[t], r) }",
            "differs from row to row",
        ),
    ];
    for (text, reason) in cases {
        let (_, plan) = plan(&format!("{head}{text}"));
        let Err(DeriveError::NoPosterior { reason: found, .. }) = plan else {
            panic!("{text}: {plan:?}");
        };
        assert!(found.contains(reason), "{text}: {found}");
    }
}

/// Starts of variance 10¹², noises near 0: log-likelihoods of the Nile, filtered with 50 decimal digits.
#[test]
fn extreme_variances_cost_no_digits() {
    let cases = [
        ("1000, 1e6", "1469", "15099", -640.380_540_732),
        ("1000, 1e12", "1469", "15099", -647.280_074_216),
        ("1000, 1e12", "1e-12", "15099", -678.205_527_020),
        ("1000, 1e12", "1469", "1e-8", -1_410.095_983_29),
        ("0, 1e6", "1e-30", "1e-3", -1_417_578_134.59),
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = folder.path().join("fixed.lvm");
    for (start, level, noise, expected) in cases {
        let text = format!(
            "data y : real\nchain t by time {{\n  z[1] ~ Normal({start})\n  z[t] ~ Normal(z[t-1], {level})\n  \
             y[t] ~ Normal(z[t], {noise})\n}}\n"
        );
        std::fs::write(&model, text).expect("a written model");
        let output = lvmc(&[&["fit", &model.to_string_lossy()], &NILE[1..], &["--json"]].concat());
        let fit: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let found = fit["log_likelihood"].as_f64().expect("a number");
        assert!(
            (found / expected - 1.0).abs() < 1e-10,
            "{start}: {found}, not {expected}"
        );
    }
}

/// Cells of vectors with a full covariance are missing: the fit leaves the point where no loading says anything, and the
/// cells that are there are explained as well as without gaps.
#[test]
fn loadings_are_found_with_gaps() {
    let mut n = Numbers(9);
    let (mut s, mut text) = (0.0, String::from("y1,y2,y3\n"));
    for _ in 0..200 {
        s = 0.9 * s + n.centred();
        let shared = 0.5 * n.centred();
        let row = [1.0, -2.0, 0.5].map(|c| c * s + shared + 0.7 * n.centred());
        let cell = |x: f64, n: &mut Numbers| {
            if n.unit() < 0.2 {
                String::new()
            } else {
                format!("{x:.4}")
            }
        };
        let cells: Vec<String> = row.iter().map(|&x| cell(x, &mut n)).collect();
        text.push_str(&format!("{}\n", cells.join(",")));
    }
    let place = Place::new();
    let data = place.file("data.csv", &text);
    let fit = |model: &str| -> f64 {
        let output = lvmc(&["fit", "-e", model, &data, "--bind", "y=y1,y2,y3", "--json"]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
        let fit: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        fit["log_likelihood"].as_f64().expect("a number")
    };
    let head = "data y : real[D]; param S : cov[D]; param C : real[D]; param a : real;";
    let chain = "chain t { s[1] ~ Normal(0, 1); s[t] ~ Normal(a * s[t-1], 1); y[t] ~ Normal(C * s[t], S) }";
    let (with, without) = (
        fit(&format!("{head} {chain}")),
        fit("data y : real[D]; param S : cov[D]; y ~ Normal(0, S)"),
    );
    assert!(with > without + 50.0, "{with} {without}");
}
