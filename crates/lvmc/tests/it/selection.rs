//! Sizes that are selected, rows that are held out, and the order of labels.

use crate::common::{lvmc, stderr, stdout};
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

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

const IRIS: [&str; 4] = [
    "models/gmm.lvm",
    "data/iris.csv",
    "--bind",
    "x=sepal_length..petal_width",
];
const FAITHFUL: [&str; 2] = ["models/gmm.lvm", "data/faithful.csv"];

#[test]
fn the_choices_of_other_software() {
    // scikit-learn and mclust: two components for both by BIC, with these values
    for (args, bics) in [
        (&FAITHFUL[..], [2322.1917, 2324.1784]),
        (&IRIS[..], [574.0178, 580.8389]),
    ] {
        let fit = fitted(&[args, &["--select", "K=1..4"]].concat());
        let s = &fit["selection"];
        assert_eq!(s["chosen"]["K"], 2, "{s}");
        assert_eq!(s["by"], "bic");
        for (k, bic) in (1..).zip(bics) {
            assert!((number(&s["table"][k]["bic"]) - bic).abs() < 0.01, "{s}");
        }
        assert_eq!(fit["sizes"]["K"], 2);
        assert_eq!(fit["bic"], s["table"][1]["bic"]);
        // the entropy is a penalty, and nothing where there is one component
        for row in s["table"].as_array().expect("a table") {
            assert!(number(&row["icl"]) >= number(&row["bic"]) - 1e-9, "{row}");
        }
        assert!((number(&s["table"][0]["icl"]) - number(&s["table"][0]["bic"])).abs() < 1e-9);
    }
    let by_aic = fitted(&[&FAITHFUL[..], &["--select", "K=1,2,3", "--by", "aic"]].concat());
    assert_eq!(by_aic["selection"]["chosen"]["K"], 3);
    let by_icl = fitted(&[&FAITHFUL[..], &["--select", "K=1..3", "--by", "icl"]].concat());
    assert_eq!(by_icl["selection"]["chosen"]["K"], 2);
}

#[test]
fn the_chosen_fit_is_the_one_that_is_set() {
    let (mut chosen, set) = (
        fitted(&[&FAITHFUL[..], &["--select", "K=1..3"]].concat()),
        fitted(&[&FAITHFUL[..], &["--set", "K=2"]].concat()),
    );
    for key in ["seconds", "timing", "selection"] {
        chosen[key] = set[key].clone();
    }
    assert_eq!(chosen, set);

    // and can be put to use
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("fit.json");
    let file = file.to_str().expect("UTF-8");
    fitted(&[&FAITHFUL[..], &["--select", "K=1..3", "--out", file]].concat());
    let output = lvmc(&["predict", file, "data/faithful.csv"]);
    assert!(stdout(&output).starts_with("z,z_1,z_2\n"), "{}", stderr(&output));
}

#[test]
fn grids_and_sizes_that_fail() {
    let text = "z ~ Categorical(pi); w ~ Categorical(rho); data x : real[2]; param mu[K, L] : real[2]; \
                dim K, L; z : category[K]; w : category[L]; x ~ Normal(mu[z, w], Sigma)";
    let output = lvmc(&[
        "fit",
        "-e",
        text,
        "data/faithful.csv",
        "--select",
        "K=1..2",
        "--select",
        "L=1,2",
        "--json",
    ]);
    if output.status.code() == Some(0) {
        let fit: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(fit["selection"]["table"].as_array().map(Vec::len), Some(4));
        // z and w depend on each other given x: their entropy is no sum of marginals'
        assert!(fit["selection"]["table"][3]["icl"].is_null(), "{fit}");
    } else {
        panic!("{}", stderr(&output));
    }
    // a size that the data cannot hold is a row
    let fit = fitted(&[&FAITHFUL[..], &["--select", "K=2,300"]].concat());
    let failed = &fit["selection"]["table"][1];
    assert!(failed["failed"].as_str().is_some_and(|t| t.contains("300")), "{failed}");
    assert!(failed["bic"].is_null());
    assert_eq!(fit["selection"]["chosen"]["K"], 2);
    let output = lvmc(&[&["fit"], &FAITHFUL[..], &["--select", "K=300,301"]].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn rows_held_out_are_those_of_score() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("fit.json");
    let file = file.to_str().expect("UTF-8");
    let args = [&FAITHFUL[..], &["--set", "K=2", "--holdout", "0.25", "--out", file]].concat();
    let fit = fitted(&args);
    let h = &fit["holdout"];
    assert_eq!((&fit["rows"], &h["rows"]), (&Value::from(204), &Value::from(68)));
    let per_row = number(&h["log_likelihood"]) / 68.0;
    assert!((per_row - number(&h["per_row"])).abs() < 1e-12);
    // all rows' score is the sum of both parts
    let score = lvmc(&["score", file, "data/faithful.csv", "--json"]);
    let score: Value = serde_json::from_slice(&score.stdout).expect("JSON");
    let both = number(&h["log_likelihood"]) + number(&fit["log_likelihood"]);
    assert!(
        (number(&score["total"]) - both).abs() < 1e-6 * both.abs(),
        "{score} {both}"
    );
    // the same rows again, others with another seed, the same for every size
    assert_eq!(fitted(&args)["holdout"], fit["holdout"]);
    let other = fitted(&[&args[..], &["--seed", "2"]].concat());
    assert_ne!(other["holdout"]["log_likelihood"], h["log_likelihood"]);
    let chosen = fitted(
        &[
            &FAITHFUL[..],
            &["--select", "K=1..4", "--holdout", "0.25", "--by", "holdout"],
        ]
        .concat(),
    );
    let table = chosen["selection"]["table"].as_array().expect("a table").clone();
    assert_eq!(table[1]["holdout"], h["per_row"]);
    let best = table
        .iter()
        .map(|r| number(&r["holdout"]))
        .fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(number(&chosen["holdout"]["per_row"]), best);
}

/// True where the numbers descend.
fn descends(values: &Value) -> bool {
    let v: Vec<f64> = values.as_array().expect("a list").iter().map(number).collect();
    v.windows(2).all(|w| w[0] >= w[1])
}

#[test]
fn labels_are_in_the_order_of_their_weights() {
    for (model, data, more) in [
        ("models/gmm.lvm", "data/faithful.csv", vec!["--set", "K=3"]),
        ("models/gmm_tied.lvm", "data/faithful.csv", vec!["--set", "K=3"]),
        (
            "models/poisson_mixture.lvm",
            "data/earthquakes.csv",
            vec!["--set", "K=3", "--bind", "y=count"],
        ),
    ] {
        let fits: Vec<Value> = ["1", "2", "3"]
            .iter()
            .map(|seed| fitted(&[&[model, data, "--seed", seed], &more[..]].concat()))
            .collect();
        for fit in &fits {
            assert!(
                descends(&fit["parameters"]["pi"]),
                "{model}: {}",
                fit["parameters"]["pi"]
            );
            assert_eq!(fit["label_order"]["z"], "decreasing pi");
        }
        // fits of other seeds can be compared number by number
        let first = |f: &Value| number(&f["parameters"]["pi"][0]);
        assert!((first(&fits[0]) - first(&fits[1])).abs() < 1e-3 && (first(&fits[0]) - first(&fits[2])).abs() < 1e-3);
    }
    // without a parameter for its weights: by the posterior
    let text = "given t : real; dim K = 2; param a[K], b[K], u[K], v[K] : real; \
                z ~ Categorical(softmax(u + v * t)); data y : real; y ~ Normal(a[z] + b[z] * t, s[z])";
    let bind = ["--bind", "y=eruptions", "--bind", "t=waiting"];
    let fit = fitted(&[&["-e", text, "data/faithful.csv"], &bind[..]].concat());
    assert_eq!(fit["label_order"]["z"], "decreasing mean posterior probability");
}

#[test]
fn what_is_permuted_is_the_same_fit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("fit.json");
    let file = file.to_str().expect("UTF-8");
    let experts = ["--bind", "y=eruptions", "--bind", "x=waiting"];
    for (model, more) in [
        ("models/gmm.lvm", &["--set", "K=3"][..]),
        ("models/hmm.lvm", &["--set", "K=3"]),
        ("models/mixture_of_experts.lvm", &experts),
        ("models/regression_mixture.lvm", &experts),
    ] {
        let fit = fitted(&[&[model, "data/faithful.csv", "--out", file], more].concat());
        let score = lvmc(&["score", file, "data/faithful.csv", "--json"]);
        let score: Value = serde_json::from_slice(&score.stdout).expect("JSON");
        let (a, b) = (number(&score["total"]), number(&fit["log_likelihood"]));
        assert!((a - b).abs() < 1e-8 * b.abs(), "{model}: {a} and not {b}");
        assert!(fit["label_order"]["z"].is_string(), "{model}: {}", fit["label_order"]);
    }
}

#[test]
fn whole_sequences_are_held_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("x.csv");
    let mut text = "who,x\n".to_owned();
    for i in 0..200u32 {
        text.push_str(&format!(
            "s{},{}\n",
            i % 10,
            f64::from((i / 10 + i % 3) % 5) + f64::from(i % 7) / 10.0
        ));
    }
    std::fs::write(&data, text).expect("a writable folder");
    let data = data.to_str().expect("UTF-8");
    let chain = "z[1] ~ Categorical(pi); z[t] ~ Categorical(A[z[t-1]]); x[t] ~ Normal(mu[z[t]], s[z[t]])";
    let head = "dim K = 2; param pi : simplex[K]; param A[K] : simplex[K]; param mu[K] : real; param s[K] : positive;";
    let grouped = format!("{head} for each who {{ chain t {{ {chain} }} }}");
    let fit = fitted(&["-e", &grouped, data, "--holdout", "0.3"]);
    // three of ten sequences of 20 rows
    assert_eq!(
        (&fit["rows"], &fit["holdout"]["rows"]),
        (&Value::from(140), &Value::from(60)),
        "{fit}"
    );
    let single = format!("{head} chain t {{ {chain} }}");
    let output = lvmc(&["fit", "-e", &single, data, "--bind", "x=x", "--holdout", "0.3"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("one sequence"), "{}", stderr(&output));
}

#[test]
fn labels_that_something_tells_apart_stay() {
    for text in [
        // a constant each, a prior each, a covariate's labels, a number in a label's place
        "z ~ Categorical(pi); const m[k in 1..2] = k; data x : real; x ~ Normal(m[z] * a, s)",
        "dim K = 2; param mu[K] : real; mu[k] ~ Normal(k, 1); z ~ Categorical(pi); z : category[K]; data x : real; \
         x ~ Normal(mu[z], s)",
        "dim K = 2; param mu[K] : real; z ~ Categorical(pi); z : category[K]; data x : real; x ~ Normal(mu[z] + mu[1], s)",
        "z ~ Bernoulli(p); data x : real; x ~ Normal(a + b * z, s)",
    ] {
        let output = lvmc(&["fit", "-e", text, "data/faithful.csv", "--bind", "x=waiting", "--json"]);
        if matches!(output.status.code(), Some(0 | 1)) {
            let fit: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert!(
                fit["label_order"].as_object().is_some_and(serde_json::Map::is_empty),
                "{text}: {}",
                fit["label_order"]
            );
        }
    }
    // a symmetric prior does not tell them apart
    let text = "dim K = 3; param pi : simplex[K] ~ Dirichlet(2); param mu[k in 1..K] : real ~ Normal(70, 1000); \
                z ~ Categorical(pi); data x : real; x ~ Normal(mu[z], s)";
    let fit = fitted(&["-e", text, "data/faithful.csv", "--bind", "x=waiting"]);
    assert!(descends(&fit["parameters"]["pi"]), "{}", fit["parameters"]["pi"]);
    assert_eq!(fit["label_order"]["z"], "decreasing pi");
}

#[test]
fn bad_requests_are_refused_in_words() {
    for (args, says) in [
        (&["--select", "K=0..3"][..], "whole numbers from 1"),
        (&["--select", "K=5..2"], "is empty"),
        (&["--select", "K=1..1e9"], "more than 1000 sizes"),
        (&["--select", "K=1..1e300"], "below 1e15"),
        (&["--select", "K=1,1"], "twice"),
        (&["--select", "K"], "NAME=FIRST..LAST"),
        (&["--select", "K="], "not a whole number"),
        (&["--select", "K=1.5"], "whole numbers from 1"),
        (&["--select", "K=nan"], "no size"),
        (&["--select", "mu=1..3"], "a parameter, which is fitted"),
        (&["--select", "D=1..3"], "the data say"),
        (&["--select", "J=1..3"], "no size `J`"),
        (&["--select", "K=1..3", "--set", "K=2"], "both set and selected"),
        (&["--select", "K=1..3", "--select", "K=4"], "selected twice"),
        (&["--select", "K=1..3", "--init", "x.json"], "leave out --init"),
        (&["--select", "K=1..3", "--by", "holdout"], "--holdout 0.2"),
        (&["--by", "aic"], "--select"),
        (&["--holdout=0"], "between 0 and 1"),
        (&["--holdout=1"], "between 0 and 1"),
        (&["--holdout=NaN"], "between 0 and 1"),
        (&["--holdout=-0.5"], "between 0 and 1"),
    ] {
        let output = lvmc(&[&["fit"], &FAITHFUL[..], args].concat());
        let err = stderr(&output);
        let flat: String = err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(flat.contains(says), "{args:?} does not say `{says}`: {err}");
    }
    // no finite latent, no ICL
    let output = lvmc(&[
        "fit",
        "models/ppca.lvm",
        "data/iris.csv",
        "--bind",
        "x=sepal_length..petal_width",
        "--select",
        "Q=1..2",
        "--by",
        "icl",
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

/// Whole groups where rows share effects; of crossed groups rows, given the others: log p(all) − log p(fitted).
#[test]
fn groups_are_held_out_whole_and_crossed_rows_given_the_others() {
    let head = "param tau, mu, s : positive; given user : category[U]; global latent u[U] : real ~ Normal(0, tau)";
    let bind = ["--bind", "y=Reaction", "--bind", "user=Subject"];
    let one = format!("{head}; data y : real; y ~ Normal(mu + u[user], s)");
    let args = [&["-e", &one, "data/sleepstudy.csv", "--holdout", "0.2"], &bind[..]].concat();
    let fit = fitted(&args);
    // four of 18 subjects of ten rows
    assert_eq!(
        (&fit["rows"], &fit["holdout"]["rows"], &fit["holdout"]["given_fitted"]),
        (&Value::from(140), &Value::from(40), &Value::from(false)),
        "{fit}"
    );
    let nest = "param t, mu, s : positive; for each Subject { u ~ Normal(0, t); for each row { data Reaction ~ Normal(mu + u, s) } }";
    let nested = fitted(&["-e", nest, "data/sleepstudy.csv", "--holdout", "0.2"]);
    assert_eq!(nested["holdout"]["rows"], 40, "{nested}");
    let crossed = format!(
        "{head}; param om : positive; given day : category[J]; global latent v[J] : real ~ Normal(0, om); data y : real; \
         y ~ Normal(mu + u[user] + v[day], s)"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("fit.json");
    let file = file.to_str().expect("UTF-8");
    let more = ["--bind", "day=Days", "--holdout", "0.2", "--out", file];
    let fit = fitted(&[&["-e", &crossed, "data/sleepstudy.csv"], &bind[..], &more].concat());
    let h = &fit["holdout"];
    assert_eq!(
        (&h["rows"], &h["given_fitted"]),
        (&Value::from(36), &Value::from(true)),
        "{fit}"
    );
    let score = lvmc(&["score", file, "data/sleepstudy.csv", "--json"]);
    let score: Value = serde_json::from_slice(&score.stdout).expect("JSON");
    let both = number(&h["log_likelihood"]) + number(&fit["log_likelihood"]);
    assert!(
        (number(&score["total"]) - both).abs() < 1e-6 * both.abs(),
        "{score} {both}"
    );
}
