//! Missing cells: other people's answers, certificates with masks, dense Gaussians with marginals row by row, refusals.

use crate::common::{lvmc, stderr, stdout};
use lvmc_base::Source;
use lvmc_derive::{Missing, derive_with};
use lvmc_term::Array;
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder for a fit, and the paths in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }
    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    }
}

fn fitted(args: &[&str]) -> Value {
    let output = lvmc(&[&["fit"], args, &["--json"]].concat());
    let fine = matches!(output.status.code(), Some(0 | 1));
    assert!(fine, "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn log_likelihood(args: &[&str]) -> f64 {
    fitted(args)["log_likelihood"].as_f64().expect("a number")
}

/// Cells of a CSV text, NaN where empty.
fn cells(text: &str) -> (Vec<String>, Vec<Vec<f64>>) {
    let mut lines = text.lines();
    let header = lines.next().expect("a header").split(',').map(str::to_owned).collect();
    let number = |c: &str| c.parse().unwrap_or(f64::NAN);
    (header, lines.map(|l| l.split(',').map(number).collect()).collect())
}

const MISSING: &str = "data/iris_missing20.csv";

#[test]
fn answers_of_other_software() {
    for (q, expected) in [("Q=1", -417.164_752_177), ("Q=2", -374.664_15)] {
        let found = log_likelihood(&["models/ppca.lvm", MISSING, "--set", q]);
        assert!(
            (found - expected).abs() < 2e-8 * expected.abs(),
            "{q}: {found}, not {expected}"
        );
    }
}

/// Models with the variables of which cells are missing.
const MODELS: &[(&str, &str)] = &[
    (
        "dim Q = 2; param W : real[D, Q]; param mu : real[D]; z ~ Normal(0, I[Q]); x ~ Normal(W * z + mu, sigma2 * I)",
        "x",
    ),
    (
        "dim Q = 2; param W : real[D, Q]; param mu : real[D]; param psi : positive[D]; z ~ Normal(0, I[Q])
         x ~ Normal(W * z + mu, diag(psi))",
        "x",
    ),
    ("z ~ Categorical(pi); x ~ Normal(mu[z], diag(s[z]))", "x"),
    (
        "dim Q = 1, K = 2; param W[K] : real[D, Q]; param mu[K] : real[D]; c ~ Categorical(pi); z ~ Normal(0, I[Q])
         x ~ Normal(W[c] * z + mu[c], s[c] * I)",
        "x",
    ),
    (
        "z ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z]); y ~ Poisson(r[z])",
        "x,y",
    ),
    ("z ~ Categorical(pi); data x : binary[D]; x ~ Bernoulli(p[z])", "x"),
    (
        "z ~ Categorical(pi); a ~ Categorical(t[z]); y ~ Normal(m[z], diag(s[z]))",
        "a,y",
    ),
    (
        "given x : real[D]; data y : real; param w : real[D]; param b : real; param sigma2 : positive
         y ~ Normal(dot(w, x) + b, sigma2)",
        "y",
    ),
    (
        "given x : real[D]; data y : real; param w : real[D]; param b : real; param sigma2 : positive; const nu = 4
         u ~ Gamma(nu / 2, nu / 2); y ~ Normal(dot(w, x) + b, sigma2 / u)",
        "y",
    ),
    (
        "data y : count; param p : unit; param lambda : positive; active ~ Bernoulli(p)
         y ~ Poisson(if active then lambda else 0)",
        "y",
    ),
    (
        "data y, v : real; param w, b, c, d : real; latent u : real; u ~ Normal(0, 1); y ~ Normal(w * u + b, s)
         v ~ Normal(c * u + d, t)",
        "y,v",
    ),
    (
        "dim Q = 2; param A : real[D, Q]; param B : real[E, Q]; param s, t : positive; z ~ Normal(0, I[Q])
         x ~ Normal(A * z, s * I); y ~ Normal(B * z, t * I)",
        "x,y",
    ),
    (
        "dim D = 3; param mu : real[D]; param Sigma : cov[D]; data x : real[D]; x ~ Normal(mu, Sigma)",
        "x",
    ),
    (
        "dim Q = 1; param W : real[D, Q]; param mu : real[D]; param Sigma : cov[D]; z ~ Normal(0, I[Q])
         x ~ Normal(W * z + mu, Sigma)",
        "x",
    ),
    (
        "dim K = 2; param mu[K] : real[D]; param Sigma : cov[D]; given a : real[D]; z ~ Categorical(pi)
         x ~ Normal(mu[z] + a, Sigma)",
        "x",
    ),
    (
        "z ~ Categorical(pi); data t : positive; t ~ Gamma(a[z], b[z]); n ~ Poisson(r[z])",
        "t,n",
    ),
];

#[test]
fn certificates_hold() {
    for (text, _) in MODELS {
        let source = Source::new("model", *text);
        let ast = lvmc_syntax::parse(&source).expect("a model");
        let graph = lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).expect("a typed model");
        let missing = Missing::most(&graph);
        let plan = derive_with(&graph, &missing).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let rows = lvmc::certify::rows(&graph, &plan) / 3;
        let list = lvmc::certify::certify_missing(&graph, &plan, &missing, 3, rows);
        for c in list.unwrap_or_else(|e| panic!("{text}: {e:?}")) {
            assert!(c.ok, "{text}: {} of {}: {} ({})", c.part, c.of, c.value, c.what);
        }
    }
}

#[test]
fn check_certifies_as_for_missing_cells() {
    let (text, names) = MODELS[0];
    let output = lvmc(&["check", "-e", text, "--numeric", "--missing", names]);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Parameter of a fit file: shape and values.
fn parameter(fit: &str, name: &str) -> Array {
    let text = std::fs::read_to_string(fit).expect("a fit file");
    let fit: Value = serde_json::from_str(&text).expect("JSON");
    let list = fit["parameters"].as_array().expect("parameters").clone();
    let p = list.into_iter().find(|p| p["name"] == name).expect("the parameter");
    let numbers = |v: &Value| -> Vec<f64> { v.as_array().expect("a list").iter().filter_map(Value::as_f64).collect() };
    Array {
        shape: numbers(&p["shape"]).into_iter().map(|n| n as usize).collect(),
        data: numbers(&p["values"]),
    }
}

/// log N(x_o) and, for the missing elements, mean and standard deviation given the observed ones.
fn dense(mean: &[f64], cov: &Array, x: &[f64]) -> (f64, Vec<(usize, f64, f64)>) {
    let seen: Vec<usize> = (0..x.len()).filter(|&i| !x[i].is_nan()).collect();
    let k = seen.len();
    let sub = Array::from_fn(&[k, k], |i| cov.at2(seen[i / k.max(1)], seen[i % k.max(1)]));
    let e: Vec<f64> = seen.iter().map(|&i| x[i] - mean[i]).collect();
    let (inverse, log_det) = (
        sub.spd_inverse().expect("a covariance"),
        sub.spd_log_det().expect("a covariance"),
    );
    let solved = inverse.matmul(&Array::vector(e.clone()));
    let quad: f64 = e.iter().zip(&solved.data).map(|(a, b)| a * b).sum();
    let log = -0.5 * (k as f64 * std::f64::consts::TAU.ln() + log_det + quad);
    let missing = (0..x.len()).filter(|&i| x[i].is_nan()).map(|i| {
        let c: Vec<f64> = seen.iter().map(|&j| cov.at2(i, j)).collect();
        let m = mean[i] + c.iter().zip(&solved.data).map(|(a, b)| a * b).sum::<f64>();
        let back = inverse.matmul(&Array::vector(c.clone()));
        let v = cov.at2(i, i) - c.iter().zip(&back.data).map(|(a, b)| a * b).sum::<f64>();
        (i, m, v.sqrt())
    });
    (log, missing.collect())
}

#[test]
fn scores_and_imputations_are_those_of_the_dense_gaussian() {
    let place = Place::new();
    // a row without any cell contributes nothing and gets the mean
    let text = format!(
        "{}\n,,,\n",
        std::fs::read_to_string(crate::common::root().join(MISSING))
            .expect("data")
            .trim_end()
    );
    let data = place.file("data.csv", &text);
    let full = place.file(
        "mvn.lvm",
        "param mu : real[D]; param Sigma : cov[D]; x ~ Normal(mu, Sigma)",
    );
    for (model, noise) in [
        ("models/ppca.lvm", "sigma2"),
        ("models/factor_analysis.lvm", "psi"),
        (&full, "Sigma"),
    ] {
        let fit = place.path("fit.json");
        let set: &[&str] = if noise == "Sigma" { &[] } else { &["--set", "Q=2"] };
        let made = lvmc(&[&["fit", model, &data, "--max-iter", "40", "--out", &fit], set].concat());
        assert!(matches!(made.status.code(), Some(0 | 1)), "{}", stderr(&made));
        let (mu, s) = (parameter(&fit, "mu"), parameter(&fit, noise));
        let cov = if noise == "Sigma" {
            s
        } else {
            let w = parameter(&fit, "W");
            let ww = w.matmul(&w.transposed());
            Array::from_fn(&[4, 4], |i| {
                let own = if i / 4 == i % 4 {
                    s.data[(i / 4).min(s.data.len() - 1)]
                } else {
                    0.0
                };
                ww.data[i] + own
            })
        };
        let (_, rows) = cells(&text);
        let (_, scores) = cells(&stdout(&lvmc(&["score", &fit, &data])));
        let (header, filled) = cells(&stdout(&lvmc(&["impute", &fit, &data, "--sd"])));
        assert_eq!(header[1], "sepal_length_sd");
        for ((x, score), filled) in rows.iter().zip(&scores).zip(&filled) {
            let (log, missing) = dense(&mu.data, &cov, x);
            assert!(
                (log - score[1]).abs() < 1e-9 * (1.0 + log.abs()),
                "{model}: {log} {}",
                score[1]
            );
            for (i, m, sd) in missing {
                assert!((filled[2 * i] - m).abs() < 1e-9, "{model}: {} {m}", filled[2 * i]);
                assert!(
                    (filled[2 * i + 1] - sd).abs() < 1e-7,
                    "{model}: {} {sd}",
                    filled[2 * i + 1]
                );
            }
        }
    }
}

#[test]
fn a_row_without_cells_changes_nothing() {
    let place = Place::new();
    let text = std::fs::read_to_string(crate::common::root().join(MISSING)).expect("data");
    let longer = place.file("longer.csv", &format!("{}\n,,,\n,,,\n", text.trim_end()));
    let a = log_likelihood(&["models/ppca.lvm", MISSING, "--set", "Q=1"]);
    let b = log_likelihood(&["models/ppca.lvm", &longer, "--set", "Q=1"]);
    assert!((a - b).abs() < 1e-6, "{a} {b}");
}

#[test]
fn a_missing_column_is_the_marginal() {
    let place = Place::new();
    let fit = place.path("fit.json");
    let model = "z ~ Categorical(pi); x ~ Normal(m[z], diag(s[z])); data y : real; y ~ Normal(a[z], t[z])";
    let bind = ["--bind", "x=sepal_length,sepal_width", "--bind", "y=petal_length"];
    let fitting = [
        &["fit", "-e", model, "data/iris.csv", "--set", "K=2", "--out", &fit],
        &bind[..],
    ]
    .concat();
    assert!(lvmc(&fitting).status.success());
    let text = std::fs::read_to_string(crate::common::root().join("data/iris.csv")).expect("data");
    let (_, rows) = cells(&text);
    let line = |r: &Vec<f64>| format!("{},{}", r[0], r[1]);
    let short: Vec<String> = rows.iter().map(line).collect();
    let absent = place.file(
        "absent.csv",
        &format!("sepal_length,sepal_width\n{}\n", short.join("\n")),
    );
    let empty: Vec<String> = short.iter().map(|l| format!("{l},")).collect();
    let empty = place.file(
        "empty.csv",
        &format!("sepal_length,sepal_width,petal_length\n{}\n", empty.join("\n")),
    );
    let score = |data: &str| cells(&stdout(&lvmc(&["score", &fit, data]))).1;
    let (a, b) = (score(&absent), score(&empty));
    assert_eq!(a.len(), 150);
    for (x, y) in a.iter().zip(&b) {
        assert!((x[1] - y[1]).abs() < 1e-12, "{} {}", x[1], y[1]);
    }
    // the mean of y is that of its components, weighted by what x says
    let predicted = stdout(&lvmc(&["predict", &fit, &absent]));
    assert!(predicted.starts_with("z,z_1,z_2,petal_length\n"), "{predicted:.60}");
}

#[test]
fn categories_and_draws_are_filled() {
    let place = Place::new();
    let mut text = String::from("colour,size\n");
    for i in 0..60 {
        let (colour, size) = if i % 2 == 0 { ("red", 1.0) } else { ("blue", 9.0) };
        let wiggle = f64::from(i % 5) * 0.1;
        let colour = if i == 10 { "" } else { colour };
        let size = if i == 21 {
            String::new()
        } else {
            (size + wiggle).to_string()
        };
        text.push_str(&format!("{colour},{size}\n"));
    }
    let data = place.file("data.csv", &text);
    let fit = place.path("fit.json");
    let model = "data colour : category[C]; data size : real; z ~ Categorical(pi); colour ~ Categorical(p[z])
                 size ~ Normal(m[z], s[z])";
    let made = lvmc(&["fit", "-e", model, &data, "--set", "K=2", "--out", &fit]);
    assert!(matches!(made.status.code(), Some(0 | 1)), "{}", stderr(&made));
    let filled = stdout(&lvmc(&["impute", &fit, &data]));
    let lines: Vec<&str> = filled.lines().collect();
    assert!(lines[11].starts_with("red,"), "{}", lines[11]);
    let size: f64 = lines[22]
        .split(',')
        .nth(1)
        .and_then(|x| x.parse().ok())
        .expect("a number");
    assert!((9.0..9.5).contains(&size), "{size}");
    let drawn = stdout(&lvmc(&["impute", &fit, &data, "--draws", "3", "--seed", "4"]));
    assert_eq!(drawn.lines().count(), 1 + 3 * 60);
    assert!(drawn.starts_with("draw,colour,size\n1,red,"));
    let again = stdout(&lvmc(&[
        "impute",
        &fit,
        &data,
        "--draws",
        "3",
        "--seed",
        "4",
        "--threads",
        "1",
    ]));
    assert_eq!(drawn, again);
}

#[test]
fn draws_have_the_posteriors_moments() {
    let place = Place::new();
    let fit = place.path("fit.json");
    let model =
        "dim K = 2; param mu[K] : real[D]; param Sigma[K] : cov[D]; z ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])";
    let made = lvmc(&["fit", "-e", model, MISSING, "--max-iter", "40", "--out", &fit]);
    assert!(matches!(made.status.code(), Some(0 | 1)), "{}", stderr(&made));
    let text = std::fs::read_to_string(crate::common::root().join(MISSING)).expect("data");
    let (rows, n) = (cells(&text).1, 400.0);
    let filled = cells(&stdout(&lvmc(&["impute", &fit, MISSING, "--sd"]))).1;
    let drawn = cells(&stdout(&lvmc(&["impute", &fit, MISSING, "--draws", "400"]))).1;
    for (r, row) in rows.iter().enumerate() {
        for (c, x) in row.iter().enumerate() {
            let values: Vec<f64> = drawn.iter().skip(r).step_by(rows.len()).map(|d| d[1 + c]).collect();
            assert_eq!(values.len(), 400);
            if !x.is_nan() {
                assert!(values.iter().all(|v| v == x));
                continue;
            }
            let (mean, sd) = (filled[r][2 * c], filled[r][2 * c + 1]);
            let found = values.iter().sum::<f64>() / n;
            let spread = (values.iter().map(|v| (v - found) * (v - found)).sum::<f64>() / n).sqrt();
            // 123 cells: five deviations
            assert!(
                (found - mean).abs() < 5.0 * sd / n.sqrt(),
                "row {r}, {c}: {found} {mean} {sd}"
            );
            assert!((spread / sd - 1.0).abs() < 0.35, "row {r}, {c}: {spread} {sd}");
        }
    }
}

fn refused(code: i32, words: &str, args: &[&str]) {
    let output = lvmc(args);
    let text = stderr(&output).replace('\n', " ");
    let text = text
        .split_whitespace()
        .filter(|w| *w != "│")
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(words), "{args:?}: {text}");
}

#[test]
fn what_cannot_be_left_out_is_refused_with_the_reason() {
    let place = Place::new();
    let data = place.file("data.csv", "a,b,c\n1,2,3\n2,,4\n0,1,\n5,4,1\n");
    let full = "param a : positive[D]; data x : simplex[D]; x ~ Dirichlet(a)";
    let shares = place.file("shares.csv", "a,b,c\n.2,.3,.5\n.2,,.4\n.1,.2,.7\n");
    refused(4, "its elements depend on each other", &["fit", "-e", full, &shares]);
    let given = "given b : real; data c : real; c ~ Normal(w * b, s)";
    refused(
        4,
        "`b` may not be missing",
        &["fit", "-e", &format!("param w : real; {given}"), &data],
    );
    let chained = "data b, c : real; param w : real; b ~ Normal(m, t); c ~ Normal(w * b, s)";
    refused(4, "`c` depends on it", &["fit", "-e", chained, &data]);
    let empty = place.file("empty.csv", "a,b\n1,\n2,\n3,\n");
    let model = "x ~ Normal(m, diag(s))";
    refused(
        4,
        "nothing to learn from",
        &["fit", "-e", model, &empty, "--bind", "x=a,b"],
    );
    refused(
        2,
        "is no data variable",
        &["derive", "models/ppca.lvm", "--missing", "y"],
    );
}
