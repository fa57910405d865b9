//! Missing cells of models with a guide: the bound against exact log-likelihoods of what is observed, importance weights
//! and imputed cells against dense Gaussians, refusals.

use crate::common::{Place, cells, fit, lvmc, root, stderr, stdout};
use serde_json::Value;

const MISSING: &str = "data/iris_missing20.csv";

fn model(name: &str) -> String {
    let path = root().join(format!("crates/lvmc/tests/gradients/{name}.lvm"));
    path.to_string_lossy().into_owned()
}

fn done(args: &[&str]) -> String {
    let output = lvmc(args);
    assert!(
        output.status.success(),
        "{args:?}: {}{}",
        stdout(&output),
        stderr(&output)
    );
    stdout(&output)
}

fn iris() -> Vec<Vec<f64>> {
    cells(&std::fs::read_to_string(root().join(MISSING)).expect("data")).1
}

/// A parameter of a fit, row-major.
fn parameter(fit: &Value, name: &str) -> Vec<f64> {
    let p = &fit["parameters"][name];
    let mut all = vec![];
    flat(p.get("values").unwrap_or(p), &mut all);
    all
}

/// Total log density of the observed cells under the factors of a fit, and the rows completed with conditional means.
fn marginal(fit: &Value) -> (f64, Vec<Vec<f64>>) {
    let (w, mu) = (parameter(fit, "W"), parameter(fit, "mu"));
    let (sigma2, q) = (parameter(fit, "sigma2")[0], w.len() / mu.len());
    let cov = |i: usize, j: usize| -> f64 {
        (0..q).map(|k| w[i * q + k] * w[j * q + k]).sum::<f64>() + if i == j { sigma2 } else { 0.0 }
    };
    let rows: Vec<(f64, Vec<f64>)> = iris().iter().map(|row| conditional(row, &mu, &cov)).collect();
    (rows.iter().map(|r| r.0).sum(), rows.into_iter().map(|r| r.1).collect())
}

/// The score of a fit, and its standard error.
fn score(out: &str, data: &str, draws: &str) -> (f64, f64) {
    let found: Value = serde_json::from_str(&done(&["score", out, data, "--draws", draws, "--json"])).expect("JSON");
    (
        found["total"].as_f64().expect("a total"),
        found["standard_error"].as_f64().expect("an error"),
    )
}

/// Where q holds every row's posterior, the bound's maximum is the log-likelihood of the observed cells that EM finds, draws
/// weigh alike, and imputed cells are the conditional means of the dense Gaussian.
#[test]
fn a_guide_for_every_row_is_tight() {
    let place = Place::new();
    let mut text = String::from("id,a,b,c,d\n");
    for (i, row) in iris().iter().enumerate() {
        let shown = row
            .iter()
            .map(|x| if x.is_nan() { String::new() } else { x.to_string() });
        text.push_str(&format!("{},{}\n", i + 1, shown.collect::<Vec<_>>().join(",")));
    }
    let data = place.file("numbered.csv", &text);
    let exact = fit(&["models/ppca.lvm", MISSING, "--set", "Q=1"]);
    let exact = exact["log_likelihood"].as_f64().expect("a log-likelihood");
    let out = place.path("fit.json");
    let found = fit(&[&model("ppca_by_row"), &data, "--bind", "x=a,b,c,d", "--out", &out]);
    let bound = found["elbo"].as_f64().expect("a bound");
    assert!(bound <= exact + 1e-6 && bound > exact - 0.01, "{bound} {exact}");
    let (total, means) = marginal(&found);
    let (scored, error) = score(&out, &data, "200");
    assert!(
        (scored - total).abs() < 5.0 * error + 0.01,
        "{scored} ± {error}, {total}"
    );
    let (_, filled) = cells(&done(&["impute", &out, &data, "--sd", "-q"]));
    let (mut apart, mut n) = (0.0, 0.0);
    for ((row, filled), mean) in iris().iter().zip(&filled).zip(&means) {
        for (j, x) in row.iter().enumerate() {
            // `id`, then each cell and its standard deviation
            let (cell, sd) = (filled[1 + 2 * j], filled[2 + 2 * j]);
            if x.is_nan() {
                assert!(sd > 0.0 && (cell - mean[j]).abs() < 0.5 * sd, "{cell} {} {sd}", mean[j]);
                apart += ((cell - mean[j]) / sd).powi(2);
                n += 1.0;
            } else {
                assert_eq!(cell, *x);
            }
        }
    }
    // 500 draws: a mean's variance is at most a 500th of the cell's
    assert!(n > 100.0 && apart / n < 2.0 / 500.0, "{}", apart / n);
}

/// An amortised guide, narrower than the posteriors of rows with gaps: its bound is below the log-likelihood of the observed
/// cells, and the score lies between them and rises with the draws.
#[test]
fn scores_lie_between_the_bound_and_the_marginal() {
    let place = Place::new();
    let out = place.path("fit.json");
    let found = fit(&[&model("ppca_full"), MISSING, "--out", &out]);
    let bound = found["elbo"].as_f64().expect("a bound");
    let (exact, _) = marginal(&found);
    let [(few, _), (many, error)] = ["20", "20000"].map(|draws| score(&out, MISSING, draws));
    assert!(bound < few && few < many, "{bound} {few} {many}");
    assert!(many < exact + 5.0 * error, "{many} ± {error}, {exact}");
}

fn flat(v: &Value, out: &mut Vec<f64>) {
    match v {
        Value::Array(vs) => vs.iter().for_each(|v| flat(v, out)),
        v => out.extend(v.as_f64()),
    }
}

/// log density of the observed cells of a row, and the row with the others' conditional means.
fn conditional(row: &[f64], mu: &[f64], cov: &dyn Fn(usize, usize) -> f64) -> (f64, Vec<f64>) {
    let seen: Vec<usize> = (0..row.len()).filter(|&j| !row[j].is_nan()).collect();
    let n = seen.len();
    // Gauss–Jordan of [S | e]: S⁻¹ e and log |S|
    let mut a: Vec<Vec<f64>> = seen
        .iter()
        .map(|&i| seen.iter().map(|&j| cov(i, j)).chain([row[i] - mu[i]]).collect())
        .collect();
    let mut log_det = 0.0;
    for p in 0..n {
        log_det += a[p][p].ln();
        let pivot = a[p].clone();
        for (i, other) in a.iter_mut().enumerate() {
            let f = if i == p {
                1.0 - 1.0 / pivot[p]
            } else {
                other[p] / pivot[p]
            };
            other.iter_mut().zip(&pivot).for_each(|(x, y)| *x -= f * y);
        }
    }
    let square: f64 = seen.iter().zip(&a).map(|(&i, a)| (row[i] - mu[i]) * a[n]).sum();
    let log = -0.5 * (n as f64 * (2.0 * std::f64::consts::PI).ln() + log_det + square);
    let mean = |j: usize| mu[j] + seen.iter().zip(&a).map(|(&i, a)| cov(j, i) * a[n]).sum::<f64>();
    (
        log,
        (0..row.len())
            .map(|j| if row[j].is_nan() { mean(j) } else { row[j] })
            .collect(),
    )
}

/// What is printed has masks, and its certificates hold with them.
#[test]
fn masks_are_certified() {
    for (name, settings) in [
        ("vae", "D=6"),
        ("ppca_full", "D=3"),
        ("category_guide", "D=4"),
        ("hierarchical", "D=5"),
    ] {
        let path = model(name);
        let text = done(&["check", &path, "--numeric", "--missing", "x", "--set", settings]);
        assert!(text.contains("missing-cells") && text.contains("ok"), "{text}");
        let text = done(&["derive", &path, "--missing", "x", "--set", settings]);
        assert!(
            text.contains("o_x") && text.contains("the mean of its column"),
            "{text}"
        );
    }
}

/// A fit that saw no gap fills those of new rows with the means of its own; a transformed column is filled in its own units.
#[test]
fn new_rows_and_scaled_columns() {
    let place = Place::new();
    let path = place.file(
        "scaled.lvm",
        "dim Q = 1\ndata x : real[D] = cm / 10\nparam W : real[D, Q]\nparam mu : real[D]\nparam s : positive\n\
         param A : real[Q, D]\nparam v : positive[Q]\nz ~ Normal(0, I[Q])\nx ~ Normal(W * z + mu, s * I)\n\
         guide { z ~ Normal(A * (x - mu), diag(v)) }\nfit { optimizer = lbfgs, precision = f64, epochs = 300 }\n",
    );
    let out = place.path("scaled.json");
    let bind = "cm=sepal_length,sepal_width,petal_length,petal_width";
    done(&["fit", &path, "data/iris.csv", "--bind", bind, "--out", &out, "-q"]);
    let rows = "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,,0.2\n6.3,3.3,,2.5\n";
    let (_, filled) = cells(&done(&["impute", &out, &place.file("rows.csv", rows), "-q"]));
    // a small flower and a large one, in centimetres and not in tenths
    let (small, large) = (filled[0][2], filled[1][2]);
    assert!(1.0 < small && small < large && large < 7.0, "{filled:?}");
    let one = done(&["score", &out, &place.file("one.csv", &rows[..rows.len() - 13]), "-q"]);
    let two = done(&["score", &out, &place.file("two.csv", rows), "-q"]);
    // a row's score does not depend on the rows beside it
    assert_eq!(one.lines().nth(1), two.lines().nth(1));
}

#[test]
fn refusals() {
    let place = Place::new();
    let data = place.file("data.csv", "a,b,g\n1,2,1\n2,,2\n0,1,\n3,1,1\n");
    for (model, bind, word) in [
        // a covariate has no distribution
        (
            "given g : real\nnet f(g : real) -> m : real { m = dense(g, 1) }\ndata a ~ Normal(f(g), 1)\n",
            "a=a",
            "never modelled",
        ),
        // another statement reads it
        (
            "net f(b : real) -> m : real { m = dense(b, 1) }\ndata b : real ~ Normal(0, 1)\ndata a ~ Normal(f(b), 1)\n",
            "a=a",
            "depends on it",
        ),
        // single cells of dependent elements
        (
            "net f(z : real) -> m : real[2] { m = dense(z, 2) }\nz : real ~ Normal(0, 1)\nparam S : cov[2]\n\
             data x : real[2] ~ Normal(f(z), S)\nguide { z ~ Normal(0, 1) }\n",
            "x=a,b",
            "depend on each other",
        ),
    ] {
        let path = place.file("model.lvm", model);
        let output = lvmc(&["fit", &path, &data, "--bind", bind, "--fit", "epochs=1"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{model}{said}");
        assert!(said.contains(word), "{model}{said}");
    }
}
