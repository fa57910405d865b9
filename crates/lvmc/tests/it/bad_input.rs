//! Bad input: a clean diagnostic and the right exit code, quickly, and never a panic.

use crate::common::{lvmc, stderr, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const GMM: &str = "dim K = 2; param pi : simplex[K]\nz ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a writable folder");
        path.to_string_lossy().into_owned()
    }
}

/// Runs lvmc and holds its exit code, its words, and its manners.
fn expect(code: i32, says: &str, args: &[&str]) {
    let start = Instant::now();
    let output = lvmc(args);
    let err = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
    assert!(err.contains(says), "{args:?} does not say `{says}`: {err}");
    assert!(
        !err.contains("panicked") && !err.contains("backtrace"),
        "{args:?}: {err}"
    );
    assert!(stdout(&output).is_empty() || code < 2, "{args:?} printed a result");
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{args:?} took {:?}",
        start.elapsed()
    );
}

#[test]
fn model_files() {
    let f = Folder::new();
    let data = f.file("d.csv", "x,y\n1,2\n3,4\n5,7\n");
    let cases: Vec<(i32, &str, String)> = vec![
        (3, "empty", f.file("empty.lvm", "")),
        (3, "empty", f.file("blank.lvm", "\n# nothing\n\n")),
        (3, "not a text", f.file("binary.lvm", [1u8, 0, 2, 255])),
        (3, "UTF-8", f.file("latin.lvm", b"# caf\xe9\nx ~ Normal(m, s)\n")),
        (6, "limit", f.file("long.lvm", vec![b'x'; 50_000_000])),
        (
            6,
            "nested",
            f.file(
                "deep.lvm",
                format!("x ~ Normal({}0{}, 1)\n", "(".repeat(10_000), ")".repeat(10_000)),
            ),
        ),
        (3, "never closed", f.file("open.lvm", "x ~ Normal(m, s\n")),
        (3, "Norml", f.file("name.lvm", "x ~ Norml(m, s)\n")),
        (2, "cannot read", f.0.path().to_string_lossy().into_owned()),
        (
            2,
            "there is no file",
            f.0.path().join("missing.lvm").to_string_lossy().into_owned(),
        ),
    ];
    for (code, says, model) in &cases {
        for command in ["check", "derive", "fit"] {
            let mut args = vec![command, model.as_str()];
            if command == "fit" {
                args.push(&data);
            }
            expect(*code, says, &args);
        }
    }
    // every opening bracket tries every alternative of the grammar: nothing may grow exponentially
    let nest = f.file(
        "nest.lvm",
        format!("x ~ Normal({}1{}, 1)\n", "f(".repeat(24), ")".repeat(24)),
    );
    expect(3, "function", &["check", &nest]);
}

#[test]
fn sizes_and_arguments() {
    let f = Folder::new();
    let (model, data) = (f.file("m.lvm", GMM), f.file("d.csv", "x,y\n1,2\n3,4\n5,7\n4,4\n"));
    expect(6, "limit", &["fit", &model, &data, "--set", "K=1e12"]);
    expect(2, "model is missing", &["fit"]);
    expect(2, "data are missing", &["fit", &model]);
    expect(2, "one argument too many", &["fit", "-e", GMM, &data, &data]);
    expect(2, "NAME=NUMBER", &["fit", &model, &data, "--set", "K"]);
    expect(2, "tolerance", &["fit", &model, &data, "--tol=-1"]);
    expect(2, "unrecognized", &["fitt", &model]);
    expect(2, "there is no built-in model", &["models", "no-such-model"]);
    expect(2, "the model has no", &["explain", &model, "nothing"]);
    let output = lvmc(&["fit", &model, &data, "--set", "k=2"]);
    assert!(matches!(output.status.code(), Some(2 | 3)), "{}", stderr(&output));
}

#[test]
fn data_files() {
    let f = Folder::new();
    let model = f.file("m.lvm", GMM);
    let cases: Vec<(i32, &str, String)> = vec![
        (4, "empty", f.file("empty.csv", "")),
        (4, "no rows", f.file("header.csv", "x,y\n")),
        (4, "cells", f.file("ragged.csv", "x,y\n1,2\n3\n")),
        (4, "infinite", f.file("infinite.csv", "a,b\n1,2\ninf,3\n4,5\n6,8\n")),
        (4, "few_rows", f.file("few.csv", "a,b\n1,2\n")),
        (4, "no column", f.file("text.csv", "a,b\nx,y\nz,w\nu,v\n")),
        (
            2,
            "cannot read",
            f.0.path().join("missing.csv").to_string_lossy().into_owned(),
        ),
    ];
    for (code, says, data) in &cases {
        expect(*code, says, &["fit", &model, data]);
    }
    let text = f.file("words.csv", "a,b\n1,2\nx,3\n4,5\n");
    expect(4, "not a number", &["fit", &model, &text, "--bind", "x=a,b"]);
    let good = f.file("good.csv", "a,b\n1,2\n2,3\n4,5\n");
    expect(4, "no column", &["fit", &model, &good, "--bind", "x=a,c"]);
    expect(2, "--bind", &["fit", &model, &good, "--bind", "y=a"]);
}

#[test]
fn a_constant_column_is_suspect_or_refused_and_never_a_crash() {
    let f = Folder::new();
    let mut text = String::from("a,b\n");
    (0..40).for_each(|i| text.push_str(&format!("{},7\n", f64::from(i % 7))));
    let (model, data) = (f.file("m.lvm", GMM), f.file("constant.csv", text));
    let output = lvmc(&["fit", &model, &data, "--json"]);
    assert!(
        matches!(output.status.code(), Some(1 | 4 | 5)),
        "{:?} {}",
        output.status,
        stderr(&output)
    );
}

/// Priors whose density is infinite at the border, and data that hold nothing back: the prior is named, and what bounds it.
#[test]
fn a_prior_without_a_maximum_is_named() {
    let f = Folder::new();
    let die = f.file("die.csv", "x\n1\n2\n1\n2\n2\n1\n");
    let grouped = f.file("grouped.csv", "g,x\n1,1\n1,2\n1,3\n2,1\n2,3\n2,3\n");
    let zeros = f.file("zeros.csv", "x\n0\n0\n0\n0\n");
    let counts = f.file("counts.csv", "x\n0\n0\n0\n0\n9\n10\n");
    let cases: Vec<(String, &str, Vec<&str>)> = vec![
        (
            "data x : category[3]; param p : simplex[3]; p ~ Dirichlet(0.5); x ~ Categorical(p)".into(),
            &die,
            vec![
                "lvm::fit::unbounded_prior",
                "prior of `p`",
                "p[3] is 0",
                "`p ~ Dirichlet(1)`",
                "0.5",
            ],
        ),
        (
            "given g : category[2]; data x : category[3]; param p[k in 1..2] : simplex[3]; p[k] ~ Dirichlet(0.1)\n\
             x ~ Categorical(p[g])"
                .into(),
            &grouped,
            vec!["prior of `p`", "p[2, 2] is 0", "`p ~ Dirichlet(1)`"],
        ),
        (
            "data x : count; param lambda : positive; lambda ~ Gamma(0.5, 1); x ~ Poisson(lambda)".into(),
            &zeros,
            vec!["prior of `lambda`", "lambda is 0", "`lambda ~ Gamma(1, 1)`"],
        ),
        (
            "data x : count; param w : simplex[2]; param l[k in 1..2] : positive; l[k] ~ Gamma(0.5, 1); z ~ Categorical(w)\n\
             x ~ Poisson(l[z])"
                .into(),
            &counts,
            vec!["prior of `l`", "is 0"],
        ),
    ];
    for (text, data, says) in cases {
        for word in says {
            expect(5, word, &["fit", "-e", &text, data]);
        }
    }
}

#[test]
fn fit_files() {
    let f = Folder::new();
    let data = f.file("d.csv", "a,b\n1,2\n3,4\n");
    expect(2, "not a fit", &["predict", &f.file("x.json", "{}"), &data]);
    expect(2, "not a fit", &["predict", &data, &data]);
    expect(2, "cannot read", &["score", "no-such-fit.json", &data]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk() {
    let f = Folder::new();
    let model = f.file("m.lvm", GMM);
    expect(2, "full", &["fit", &model, "data/faithful.csv", "--out", "/dev/full"]);
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            &format!("{} derive {model} > /dev/full", env!("CARGO_BIN_EXE_lvmc")),
        ])
        .output()
        .expect("a shell");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let script = format!(
        "{0} models gmm_that_is_long 2>/dev/null; {0} models | head -1; {0} derive -e '{GMM}' | true",
        env!("CARGO_BIN_EXE_lvmc")
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {script}")])
        .output()
        .expect("bash");
    assert!(output.status.success(), "{:?} {}", output.status, stderr(&output));
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let output = lvmc(&["check", "-e", "x ~ Norml(m, s)", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(object["exit"], 3);
    let error = &object["errors"][0];
    assert_eq!(error["labels"][0]["line"], 1);
    assert!(
        error["code"].as_str().is_some_and(|c| c.starts_with("lvm::")),
        "{object}"
    );
    assert!(stderr(&output).is_empty());
}
