//! Fits through the command line: the answers of other people's software, and what comes with them.

use crate::common::{lvmc, stderr, stdout};
use serde_json::Value;

fn fitted(args: &[&str]) -> Value {
    let mut all = vec!["fit"];
    all.extend(args);
    all.push("--json");
    let output = lvmc(&all);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{args:?}: {}",
        stderr(&output)
    );
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}

#[test]
fn old_faithful() {
    let fit = fitted(&["models/gmm.lvm", "data/faithful.csv", "--set", "K=2"]);
    assert!(
        close(fit["log_likelihood"].as_f64().expect("a number"), -1_130.263_960_184_8),
        "{fit}"
    );
    assert!(close(fit["bic"].as_f64().expect("a number"), 2_322.191_7));
    assert_eq!(fit["free_parameters"], 11);
    assert_eq!(fit["rows"], 272);
    assert_eq!(fit["converged"], true);
    for key in [
        "model",
        "elbo",
        "objective",
        "aic",
        "iterations",
        "restarts",
        "parameters",
        "warnings",
        "seconds",
    ] {
        assert!(fit.get(key).is_some(), "no `{key}`");
    }
    assert_eq!(fit["parameters"]["Sigma"][1][0].as_array().map(Vec::len), Some(2));
}

#[test]
fn one_line_is_a_model() {
    let text = "z ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])";
    let fit = fitted(&["-e", text, "data/faithful.csv", "--set", "K=3"]);
    assert!(
        close(fit["log_likelihood"].as_f64().expect("a number"), -1_114.439_873),
        "{}",
        fit["log_likelihood"]
    );
}

#[test]
fn every_way_to_run_gives_the_same_answer() {
    let base = ["models/gmm.lvm", "data/faithful.csv", "--set", "K=2"];
    let run = |extra: &[&str]| fitted(&[&base[..], extra].concat());
    let one = run(&["--threads", "1"]);
    let two = run(&["--threads", "2"]);
    assert_eq!(one["parameters"], two["parameters"], "threads change the result");
    assert_eq!(one["trace"], two["trace"]);
    let l = one["log_likelihood"].as_f64().expect("a number");
    for extra in [&["--kernels", "none"][..], &["--interpret"]] {
        let other = run(extra)["log_likelihood"].as_f64().expect("a number");
        assert!(close(other, l), "{extra:?}: {other} and {l}");
    }
}

#[test]
fn a_kept_fit_predicts_scores_and_samples() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("fit.json").to_string_lossy().into_owned();
    let output = lvmc(&[
        "fit",
        "models/gmm.lvm",
        "data/faithful.csv",
        "--set",
        "K=2",
        "--out",
        &path,
        "-q",
    ]);
    assert!(
        output.status.success() && stderr(&output).is_empty(),
        "{}",
        stderr(&output)
    );

    let output = lvmc(&["predict", &path, "data/faithful.csv"]);
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 273, "{}", stderr(&output));
    assert_eq!(text.lines().next(), Some("z,z_1,z_2"));

    let output = lvmc(&["score", &path, "data/faithful.csv", "--json"]);
    let score: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(close(score["total"].as_f64().expect("a number"), -1_130.263_960_184_8));

    let output = lvmc(&["sample", &path, "-n", "7"]);
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 8, "{}", stderr(&output));
    assert_eq!(text.lines().next(), Some("eruptions,waiting"));
    assert_eq!(text, stdout(&lvmc(&["sample", &path, "-n", "7"])), "the seed decides");
}

#[test]
fn starting_values_fix_everything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("start.json");
    let start = r#"{"pi": [0.5, 0.5], "mu": [[2, 55], [4.3, 80]], "Sigma": [[[1, 0], [0, 50]], [[1, 0], [0, 50]]]}"#;
    std::fs::write(&path, start).expect("a writable folder");
    let path = path.to_string_lossy().into_owned();
    let fit = fitted(&[
        "models/gmm.lvm",
        "data/faithful.csv",
        "--set",
        "K=2",
        "--init",
        &path,
        "--max-iter",
        "5",
        "--tol",
        "0",
    ]);
    assert_eq!(fit["iterations"], 5);
    assert_eq!(fit["restarts"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_weight_of_two_is_a_row_twice() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = std::fs::read_to_string(crate::common::root().join("data/faithful.csv")).expect("data");
    let (mut weighted, mut twice) = (
        String::from("eruptions,waiting,w\n"),
        String::from("eruptions,waiting\n"),
    );
    for (i, line) in text.lines().skip(1).enumerate() {
        let times = 1 + i % 2;
        weighted.push_str(&format!("{line},{times}\n"));
        (0..times).for_each(|_| twice.push_str(&format!("{line}\n")));
    }
    let (a, b) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
    std::fs::write(&a, weighted).expect("a writable folder");
    std::fs::write(&b, twice).expect("a writable folder");
    let a = fitted(&["models/gmm.lvm", &a.to_string_lossy(), "--set", "K=2", "--weights", "w"]);
    let b = fitted(&["models/gmm.lvm", &b.to_string_lossy(), "--set", "K=2"]);
    let (x, y) = (
        a["log_likelihood"].as_f64().expect("a number"),
        b["log_likelihood"].as_f64().expect("a number"),
    );
    assert!(close(x, y), "{x} and {y}");
}
