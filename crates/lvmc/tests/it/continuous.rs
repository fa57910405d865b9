//! Continuous latents: other people's answers, certificates of models nobody here compiled for, and refusals.

use crate::common::{lvmc, root, stderr, stdout};
use lvmc_base::Source;
use serde_json::Value;

fn fitted(args: &[&str]) -> Value {
    let output = lvmc(&[&["fit"], args, &["--json"]].concat());
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{args:?}: {}",
        stderr(&output)
    );
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn answers_of_other_software() {
    let iris = "x=sepal_length..petal_width";
    let cases: [(&[&str], f64, f64); 7] = [
        (
            &["models/ppca.lvm", "data/iris.csv", "--set", "Q=1", "--bind", iris],
            -470.669_458,
            1e-6,
        ),
        (
            &["models/ppca.lvm", "data/iris.csv", "--set", "Q=2", "--bind", iris],
            -404.962_780_156_11,
            1e-8,
        ),
        (
            &[
                "models/ppca.lvm",
                "data/wine.csv",
                "--set",
                "Q=3",
                "--bind",
                "x=alcohol..proline",
            ],
            -4_731.266_901,
            1e-8,
        ),
        (
            &["models/factor_analysis.lvm", "data/wine_std.csv", "--set", "Q=2"],
            -2_747.191_052,
            1e-6,
        ),
        (
            &["models/factor_analysis.lvm", "data/wine_std.csv", "--set", "Q=3"],
            -2_684.284_457,
            1e-6,
        ),
        (
            &[
                "models/robust_regression.lvm",
                "data/stackloss.csv",
                "--bind",
                "y=stack_loss",
            ],
            -51.423_337_432_7,
            1e-6,
        ),
        (
            &[
                "crates/lvmc/tests/continuous/negative_binomial.lvm",
                "data/biochemists_num.csv",
                "--bind",
                "y=art",
            ],
            -1_560.958_338_498_8,
            1e-6,
        ),
    ];
    for (args, expected, tolerance) in cases {
        let fit = fitted(args);
        let found = fit["log_likelihood"].as_f64().expect("a number");
        assert!(
            (found - expected).abs() <= tolerance * expected.abs(),
            "{args:?}: {found}, not {expected}"
        );
        assert_eq!(fit["converged"], true, "{args:?}");
    }
}

#[test]
fn certificates_hold() {
    let mut models = 0;
    let folder = root().join("crates/lvmc/tests/continuous");
    for file in std::fs::read_dir(folder).expect("models").flatten() {
        let (path, name) = (file.path(), file.file_name());
        let text = std::fs::read_to_string(&path).expect("a readable model");
        let source = Source::new(name.to_string_lossy().into_owned(), text);
        let ast = lvmc_syntax::parse(&source).expect("a model");
        let graph = lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).expect("a typed model");
        let plan = lvmc_derive::derive(&graph).unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
        let rows = lvmc::certify::rows(&graph, &plan) / 3;
        let list = lvmc::certify::certify_on(&graph, &plan, 3, rows).unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
        for c in list {
            assert!(c.ok, "{name:?}: {} of {}: {} ({})", c.part, c.of, c.value, c.what);
        }
        models += 1;
    }
    assert!(models >= 14, "only {models} models");
}

#[test]
fn predictions_hold_mean_and_deviation() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fit = folder.path().join("fit.json");
    let fit = fit.to_string_lossy();
    let bind = "x=sepal_length..petal_width";
    let made = lvmc(&["fit", "models/ppca.lvm", "data/iris.csv", "--bind", bind, "--out", &fit]);
    assert!(made.status.success(), "{}", stderr(&made));
    let predicted = stdout(&lvmc(&["predict", &fit, "data/iris.csv"]));
    let mut lines = predicted.lines();
    assert_eq!(lines.next(), Some("z_1,z_1_sd,z_2,z_2_sd"));
    let first: Vec<f64> = lines
        .next()
        .expect("a row")
        .split(',')
        .map(|x| x.parse().expect("a number"))
        .collect();
    assert!(first.iter().all(|x| x.is_finite()) && first[1] > 0.0 && first[3] > 0.0);
    assert_eq!(lines.count(), 149);
    let scored = stdout(&lvmc(&["score", &fit, "data/iris.csv", "--json"]));
    assert!(scored.contains("-404.96"), "{scored}");
}

#[test]
fn absent_columns_leave_the_prior() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (fit, labels) = (folder.path().join("fit.json"), folder.path().join("labels.csv"));
    std::fs::write(&labels, "label\n1\n2\n").expect("a file");
    let (fit, labels) = (fit.to_string_lossy(), labels.to_string_lossy());
    let bind = "x=sepal_length..petal_width";
    let made = lvmc(&["fit", "models/ppca.lvm", "data/iris.csv", "--bind", bind, "--out", &fit]);
    assert!(made.status.success(), "{}", stderr(&made));
    let output = lvmc(&["predict", &fit, &labels]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let rows: Vec<Vec<f64>> = text
        .lines()
        .skip(1)
        .map(|l| l.split(',').map(|x| x.parse().expect("a number")).collect())
        .collect();
    assert_eq!(rows.len(), 2, "{text}");
    for row in rows {
        // z is its prior's, x has the means of the data
        let expected = [0.0, 1.0, 0.0, 1.0, 5.843_333, 3.057_333, 3.758, 1.199_333];
        assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{text}");
    }
}

#[test]
fn threads_and_routes_agree() {
    let base = ["models/factor_analysis.lvm", "data/wine_std.csv"];
    let run = |extra: &[&str]| fitted(&[&base[..], extra].concat());
    let (one, two) = (run(&["--threads", "1"]), run(&["--threads", "2"]));
    assert_eq!(one["parameters"], two["parameters"], "threads change the result");
    let l = one["log_likelihood"].as_f64().expect("a number");
    let plain = run(&["--kernels", "none"])["log_likelihood"]
        .as_f64()
        .expect("a number");
    assert!((plain - l).abs() < 1e-6 * l.abs(), "{plain} and {l}");
}

/// A weight of two is the row twice.
#[test]
fn weights_count_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = std::fs::read_to_string(root().join("data/stackloss.csv")).expect("data");
    let (header, rows) = text.split_once('\n').expect("a header");
    let twice = folder.path().join("twice.csv");
    std::fs::write(&twice, format!("{header}\n{rows}{rows}")).expect("a file");
    let weighted = folder.path().join("weighted.csv");
    let marked: String = rows.lines().map(|l| format!("{l},2\n")).collect();
    std::fs::write(&weighted, format!("{header},times\n{marked}")).expect("a file");
    let model = "models/robust_regression.lvm";
    let (twice, weighted) = (twice.to_string_lossy(), weighted.to_string_lossy());
    let a = fitted(&[model, &twice, "--bind", "y=stack_loss"]);
    let b = fitted(&[model, &weighted, "--bind", "y=stack_loss", "--weights", "times"]);
    let number = |f: &Value| f["log_likelihood"].as_f64().expect("a number");
    assert!((number(&a) - number(&b)).abs() < 1e-6 * number(&a).abs(), "{a}\n{b}");
}

#[test]
fn refusals_name_the_reason() {
    let cases = [
        (
            "param s : positive\ndata x : real\na ~ Normal(0, 1)\nb ~ Normal(0, 1)\nx ~ Normal(a * b, s)",
            "not quadratic",
        ),
        (
            "param s : positive\ngiven g : real\ndata x : real\na ~ Normal(0, 1)\nx ~ Normal(exp(a) * g, s)",
            "not quadratic",
        ),
        (
            "param s : positive\ndata x : real\nu ~ Gamma(2, 1)\nz ~ Normal(0, 1 / u)\nx ~ Normal(z, s)",
            "another continuous latent",
        ),
        (
            "param a : positive\ndata x : real\nu ~ Gamma(a, 1)\nx ~ Normal(exp(u), 1)",
            "not linear in log u, u",
        ),
    ];
    for (model, reason) in cases {
        let output = lvmc(&["check", "-e", model]);
        assert_eq!(output.status.code(), Some(3), "{model}");
        let text = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("no rule gives the posterior") && text.contains(reason),
            "{text}"
        );
    }
}
