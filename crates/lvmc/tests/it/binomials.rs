//! Counts out of a known number: fits against direct maximisation of log-likelihoods written here.

use crate::common::{lvmc, root, stderr};
use serde_json::Value;
use std::fmt::Write;

fn fitted(args: &[&str]) -> Value {
    let output = lvmc(&[&["fit"], args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn model(name: &str) -> String {
    root()
        .join("crates/lvmc/tests/continuous")
        .join(name)
        .to_string_lossy()
        .into_owned()
}

/// log (t)(t + 1)…(t + k − 1).
fn log_rising(t: f64, k: usize) -> f64 {
    (0..k).map(|i| (t + i as f64).ln()).sum()
}

/// log n!/Π xₖ! and Σ (log rising aₖ over xₖ) − log rising Σa over n: the Dirichlet-multinomial, by products alone.
fn log_likelihood(rows: &[Vec<usize>], a: &[f64]) -> f64 {
    let whole: f64 = a.iter().sum();
    rows.iter()
        .map(|x| {
            let n: usize = x.iter().sum();
            let each: f64 = x
                .iter()
                .zip(a)
                .map(|(&k, &a)| log_rising(a, k) - log_rising(1.0, k))
                .sum();
            each + log_rising(1.0, n) - log_rising(whole, n)
        })
        .sum()
}

/// The highest point by steps along the coordinates of log a, halved where none of them helps.
fn highest(rows: &[Vec<usize>], size: usize) -> f64 {
    let mut at = vec![0.0; size];
    let value = |at: &[f64]| log_likelihood(rows, &at.iter().map(|x: &f64| x.exp()).collect::<Vec<_>>());
    let mut best = value(&at);
    let mut step = 1.0;
    while step > 1e-7 {
        let mut moved = false;
        // one at a time, and all together: the mean and the precision
        for i in 0..=size {
            for by in [step, -step] {
                let mut next = at.clone();
                if i < size {
                    next[i] += by;
                } else {
                    next.iter_mut().for_each(|x| *x += by);
                }
                let found = value(&next);
                if found > best {
                    (best, at, moved) = (found, next, true);
                }
            }
        }
        if !moved {
            step *= 0.5;
        }
    }
    best
}

/// Counts spread evenly, wider than those of one probability: made by a rule that nothing of lvmc has a part in.
fn counts(size: usize) -> Vec<Vec<usize>> {
    let scattered = |i: usize| (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let count = |i: usize, k: usize| scattered(i * size + k + 1) as usize % (9 - 2 * k);
    (0..60).map(|i| (0..size).map(|k| count(i, k)).collect()).collect()
}

#[test]
fn beta_binomial_is_its_maximum() {
    let rows = counts(2);
    let mut text = String::from("y,n\n");
    for x in &rows {
        writeln!(text, "{},{}", x[0], x[0] + x[1]).expect("text");
    }
    let file = tempfile::NamedTempFile::with_suffix(".csv").expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    let fit = fitted(&[&model("beta_binomial.lvm"), &file.path().to_string_lossy()]);
    let (found, best) = (fit["log_likelihood"].as_f64().expect("a number"), highest(&rows, 2));
    assert!((found - best).abs() < 1e-6 * best.abs(), "{found}, not {best}");
}

#[test]
fn dirichlet_multinomial_is_its_maximum() {
    let rows = counts(3);
    let mut text = String::from("x_1,x_2,x_3,n\n");
    for x in &rows {
        writeln!(text, "{},{},{},{}", x[0], x[1], x[2], x.iter().sum::<usize>()).expect("text");
    }
    let file = tempfile::NamedTempFile::with_suffix(".csv").expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    let path = file.path().to_string_lossy();
    let fit = fitted(&[&model("dirichlet_multinomial.lvm"), &path, "--bind", "x=x_1,x_2,x_3"]);
    let (found, best) = (fit["log_likelihood"].as_f64().expect("a number"), highest(&rows, 3));
    assert!((found - best).abs() < 1e-5 * best.abs(), "{found}, not {best}");
}

/// One row of successes is so many rows of zeros and ones.
#[test]
fn a_binomial_is_its_trials() {
    let folder = tempfile::tempdir().expect("a folder");
    let (short, long) = (folder.path().join("short.csv"), folder.path().join("long.csv"));
    let (mut few, mut many) = (String::from("u,n,y\n"), String::from("u,y\n"));
    let mut choices = 0.0;
    for i in 0..40usize {
        let (n, y) = (1 + i % 5, (i * i * 3 + i) % (2 + i % 5));
        let u = (i as f64 * 0.7).sin();
        writeln!(few, "{u},{n},{y}").expect("text");
        (0..n).for_each(|t| writeln!(many, "{u},{}", u8::from(t < y)).expect("text"));
        choices += log_rising(1.0, n) - log_rising(1.0, y) - log_rising(1.0, n - y);
    }
    std::fs::write(&short, few).expect("a file");
    std::fs::write(&long, many).expect("a file");
    let (short, long) = (short.to_string_lossy(), long.to_string_lossy());
    let (binomial, logistic) = (model("binomial_regression.lvm"), "models/logistic_regression.lvm");
    let a = fitted(&[&binomial, &short, "--bind", "x=u"]);
    let b = fitted(&[logistic, &long, "--bind", "x=u"]);
    let number = |f: &Value| f["log_likelihood"].as_f64().expect("a number");
    let want = number(&b) + choices;
    assert!((number(&a) - want).abs() < 1e-7 * want.abs(), "{} {want}", number(&a));
}

#[test]
fn totals_are_whole_numbers() {
    for (text, reason) in [
        ("data y : count\nparam p : unit\ny ~ Binomial(2.5, p)", "is 2.5"),
        (
            "given n : real\ndata y : count\nparam p : unit\ny ~ Binomial(n, p)",
            "is real",
        ),
        (
            "given n : count\ndata y : real\nparam p : unit\ny ~ Binomial(n, p)",
            "count",
        ),
        (
            "given n : count\ndata x : count[3]\nparam p : unit\nx ~ Multinomial(n, p)",
            "must be a vector of length 3",
        ),
    ] {
        let output = lvmc(&["check", "-e", text]);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(stderr(&output).contains(reason), "{text}\n{}", stderr(&output));
    }
}
