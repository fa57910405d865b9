//! Standard errors against closed forms, against differences of a likelihood written here, and where there are none.

use crate::common::{lvmc, stderr};
use serde_json::Value;

fn fitted(args: &[&str]) -> Value {
    let output = lvmc(&[&["fit"], args, &["--se", "--json"]].concat());
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{args:?}: {}",
        stderr(&output)
    );
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// All numbers of a nested array, null as NaN.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(flat).collect(),
        other => vec![other.as_f64().unwrap_or(f64::NAN)],
    }
}

fn errors(fit: &Value, name: &str) -> Vec<f64> {
    flat(&fit["standard_errors"][name])
}

fn values(fit: &Value, name: &str) -> Vec<f64> {
    flat(&fit["parameters"][name])
}

/// Relative difference of the largest kind.
fn agree(found: &[f64], exact: &[f64], within: f64, what: &str) {
    assert_eq!(found.len(), exact.len(), "{what}");
    for (f, e) in found.iter().zip(exact) {
        assert!((f - e).abs() <= within * e.abs(), "{what}: {found:?} and not {exact:?}");
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a writable folder");
        path.to_string_lossy().into_owned()
    }
}

fn column(file: &str, at: usize) -> Vec<f64> {
    let text = std::fs::read_to_string(crate::common::root().join("data").join(file)).expect("a data file");
    text.lines()
        .skip(1)
        .map(|l| l.split(',').nth(at).and_then(|c| c.parse().ok()).expect("a number"))
        .collect()
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map(f64::from).expect("a small number")
}

/// x in a column of that name.
fn table(folder: &Folder, x: &[f64]) -> String {
    let lines: Vec<String> = x.iter().map(f64::to_string).collect();
    folder.file("x.csv", &format!("x\n{}\n", lines.join("\n")))
}

/// The inverse of a symmetric matrix by Gauss and Jordan.
fn inverse(mut a: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let n = a.len();
    for (i, row) in a.iter_mut().enumerate() {
        row.extend((0..n).map(|j| if i == j { 1.0 } else { 0.0 }));
    }
    for i in 0..n {
        let pivot = (i..n)
            .max_by(|&p, &q| a[p][i].abs().total_cmp(&a[q][i].abs()))
            .expect("a row");
        a.swap(i, pivot);
        let scale = a[i][i];
        a[i].iter_mut().for_each(|x| *x /= scale);
        let own = a[i].clone();
        for (r, row) in a.iter_mut().enumerate().filter(|(r, _)| *r != i) {
            let _ = r;
            let factor = row[i];
            row.iter_mut().zip(&own).for_each(|(x, o)| *x -= factor * o);
        }
    }
    a.into_iter().map(|row| row[n..].to_vec()).collect()
}

#[test]
fn closed_forms_of_one_column() {
    let folder = Folder::new();
    let x = column("faithful.csv", 1);
    let data = table(&folder, &x);
    let n = count(x.len());

    let fit = fitted(&["-e", "x ~ Normal(mu, s); data x : real", &data]);
    let s = values(&fit, "s")[0];
    agree(&errors(&fit, "mu"), &[(s / n).sqrt()], 1e-6, "mean");
    agree(&errors(&fit, "s"), &[s * (2.0 / n).sqrt()], 1e-6, "variance");

    let fit = fitted(&["-e", "x ~ Exponential(r); data x : positive", &data]);
    agree(&errors(&fit, "r"), &[values(&fit, "r")[0] / n.sqrt()], 1e-6, "rate");

    let ones: Vec<f64> = x.iter().map(|x| f64::from(u8::from(*x > 60.0))).collect();
    let data = table(&folder, &ones);
    let fit = fitted(&["-e", "x ~ Bernoulli(p); data x : binary", &data]);
    let p = values(&fit, "p")[0];
    agree(&errors(&fit, "p"), &[(p * (1.0 - p) / n).sqrt()], 1e-6, "probability");

    let three: Vec<f64> = x.iter().map(|x| (x / 20.0).floor()).collect();
    let data = table(&folder, &three);
    let fit = fitted(&["-e", "x ~ Categorical(p)", &data]);
    let p = values(&fit, "p");
    let exact: Vec<f64> = p.iter().map(|p| (p * (1.0 - p) / n).sqrt()).collect();
    agree(&errors(&fit, "p"), &exact, 1e-6, "shares");
}

#[test]
fn closed_forms_of_vectors() {
    let fit = fitted(&[
        "-e",
        "x ~ Normal(mu, Sigma)",
        "data/iris.csv",
        "--bind",
        "x=sepal_length..petal_width",
    ]);
    let sigma = values(&fit, "Sigma");
    let at = |i: usize, j: usize| sigma[4 * i + j];
    let exact: Vec<f64> = (0..16)
        .map(|e| {
            let (i, j) = (e / 4, e % 4);
            ((at(i, i) * at(j, j) + at(i, j) * at(i, j)) / 150.0).sqrt()
        })
        .collect();
    agree(&errors(&fit, "Sigma"), &exact, 1e-6, "covariance");
    let exact: Vec<f64> = (0..4).map(|i| (at(i, i) / 150.0).sqrt()).collect();
    agree(&errors(&fit, "mu"), &exact, 1e-6, "means");
}

/// Information of a generalised linear model with a constant first: Σ w x xᵀ.
fn regression(rows: &[Vec<f64>], weight: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let p = rows[0].len();
    let mut h = vec![vec![0.0; p]; p];
    for x in rows {
        let w = weight(x);
        for i in 0..p {
            for j in 0..p {
                h[i][j] += w * x[i] * x[j];
            }
        }
    }
    let c = inverse(h);
    (0..p).map(|i| c[i][i].sqrt()).collect()
}

fn design(file: &str, columns: &[usize]) -> Vec<Vec<f64>> {
    let columns: Vec<Vec<f64>> = columns.iter().map(|&c| column(file, c)).collect();
    (0..columns[0].len())
        .map(|r| std::iter::once(1.0).chain(columns.iter().map(|c| c[r])).collect())
        .collect()
}

#[test]
fn regressions() {
    // a year as it is: the constant and the slope are nearly collinear
    let folder = Folder::new();
    let mut text = "t,y\n".to_owned();
    let mut rows = vec![];
    for i in 0..60 {
        let t = 1950.0 + f64::from(i);
        let y = 3.0 + 0.02 * (t - 1980.0) + 0.3 * (f64::from(i * i % 17) - 8.0) / 8.0;
        text.push_str(&format!("{t},{y}\n"));
        rows.push(vec![1.0, t]);
    }
    let data = folder.file("years.csv", &text);
    let fit = fitted(&[
        "-e",
        "given t : real; data y : real; param a, b : real; y ~ Normal(a + b * t, s)",
        &data,
    ]);
    let s = values(&fit, "s")[0];
    let exact = regression(&rows, |_| 1.0 / s);
    agree(&errors(&fit, "a"), &exact[..1], 1e-5, "constant");
    agree(&errors(&fit, "b"), &exact[1..], 1e-5, "slope");
    agree(&errors(&fit, "s"), &[s * (2.0f64 / 60.0).sqrt()], 1e-5, "noise");

    let fit = fitted(&[
        "models/poisson_regression.lvm",
        "data/biochemists_num.csv",
        "--bind",
        "y=art",
    ]);
    let (w, b) = (values(&fit, "w"), values(&fit, "b")[0]);
    let rows = design("biochemists_num.csv", &[1, 2, 3, 4, 5]);
    let exact = regression(&rows, |x| {
        (b + w.iter().zip(&x[1..]).map(|(w, x)| w * x).sum::<f64>()).exp()
    });
    agree(&errors(&fit, "b"), &exact[..1], 1e-5, "Poisson constant");
    agree(&errors(&fit, "w"), &exact[1..], 1e-5, "Poisson coefficients");
}

/// Standard errors from second differences of a log-likelihood.
fn deviations(likelihood: &dyn Fn(&[f64]) -> f64, top: &[f64], step: &[f64]) -> Vec<f64> {
    let n = top.len();
    let mut h = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..n {
            let at = |a: f64, b: f64| {
                let mut t = top.to_vec();
                t[i] += a * step[i];
                t[j] += b * step[j];
                likelihood(&t)
            };
            let d = |k: f64| (at(k, k) - at(k, -k) - at(-k, k) + at(-k, -k)) / (4.0 * k * k * step[i] * step[j]);
            h[i][j] = -(4.0 * d(1.0) - d(2.0)) / 3.0;
        }
    }
    let c = inverse(h);
    (0..n).map(|i| c[i][i].sqrt()).collect()
}

#[test]
fn a_mixture_against_differences_written_here() {
    let folder = Folder::new();
    let x = column("faithful.csv", 1);
    let data = table(&folder, &x);
    let text = "z ~ Categorical(pi); data x : real ~ Normal(mu[z], s[z])";
    let fit = fitted(&["-e", text, &data, "--set", "K=2"]);
    let (pi, mu, s) = (values(&fit, "pi"), values(&fit, "mu"), values(&fit, "s"));
    let top = vec![pi[0], mu[0], mu[1], s[0], s[1]];
    let likelihood = |t: &[f64]| -> f64 {
        let normal =
            |x: f64, m: f64, v: f64| (-(x - m) * (x - m) / (2.0 * v)).exp() / (std::f64::consts::TAU * v).sqrt();
        x.iter()
            .map(|&x| (t[0] * normal(x, t[1], t[3]) + (1.0 - t[0]) * normal(x, t[2], t[4])).ln())
            .sum()
    };
    let exact = deviations(&likelihood, &top, &[1e-3, 0.02, 0.02, 0.3, 0.3]);
    agree(&errors(&fit, "pi"), &[exact[0], exact[0]], 1e-4, "shares");
    agree(&errors(&fit, "mu"), &exact[1..3], 1e-4, "means");
    agree(&errors(&fit, "s"), &exact[3..], 1e-4, "variances");
    let shape = |v: &Value| v.as_array().map(Vec::len);
    assert_eq!(shape(&fit["standard_errors"]["mu"]), shape(&fit["parameters"]["mu"]));
}

#[test]
fn a_chain_against_differences_written_here() {
    let counts = column("earthquakes.csv", 1);
    let text = "dim K = 2; param pi : simplex[K]; param A[K] : simplex[K]; param rate[K] : positive; \
                chain t { z[1] ~ Categorical(pi); z[t] ~ Categorical(A[z[t-1]]); y[t] ~ Poisson(rate[z[t]]) }";
    let fit = fitted(&["-e", text, "data/earthquakes.csv", "--bind", "y=count"]);
    // the first row is one draw: its state's probability is at the edge, and held there
    assert!(
        errors(&fit, "pi").iter().all(|x| x.is_nan()),
        "{}",
        fit["standard_errors"]
    );
    let (pi, a, rate) = (values(&fit, "pi"), values(&fit, "A"), values(&fit, "rate"));
    let top = vec![a[1], a[2], rate[0], rate[1]];
    let likelihood = |t: &[f64]| -> f64 {
        let step = [[1.0 - t[0], t[0]], [t[1], 1.0 - t[1]]];
        let density = |y: f64, k: usize| (y * t[2 + k].ln() - t[2 + k]).exp() / 1e20;
        let mut now = [pi[0] * density(counts[0], 0), pi[1] * density(counts[0], 1)];
        let mut log = 0.0;
        for (i, &y) in counts.iter().enumerate() {
            if i > 0 {
                now = [0, 1].map(|k| (now[0] * step[0][k] + now[1] * step[1][k]) * density(y, k));
            }
            let sum = now[0] + now[1];
            log += sum.ln();
            now = now.map(|x| x / sum);
        }
        log
    };
    let exact = deviations(&likelihood, &top, &[0.004, 0.004, 0.05, 0.05]);
    agree(
        &errors(&fit, "A"),
        &[exact[0], exact[0], exact[1], exact[1]],
        1e-3,
        "transitions",
    );
    agree(&errors(&fit, "rate"), &exact[2..], 1e-3, "rates");
}

#[test]
fn weights_count_and_threads_do_not() {
    let folder = Folder::new();
    let x = column("faithful.csv", 1);
    let rows = |times: usize, weight: &str| -> String {
        let lines: Vec<String> = x
            .iter()
            .flat_map(|x| std::iter::repeat_n(format!("{x}{weight}"), times))
            .collect();
        lines.join("\n")
    };
    let twice = folder.file("twice.csv", &format!("x\n{}\n", rows(2, "")));
    let weighted = folder.file("weighted.csv", &format!("x,w\n{}\n", rows(1, ",2")));
    let text = "z ~ Categorical(pi); data x : real ~ Normal(mu[z], s)";
    let run = |more: &[&str]| fitted(&[&["-e", text, "--set", "K=2"], more].concat());
    let (a, b) = (run(&[&twice]), run(&[&weighted, "--weights", "w"]));
    for name in ["pi", "mu", "s"] {
        agree(&errors(&a, name), &errors(&b, name), 1e-5, name);
    }
    let one = run(&[&twice, "--threads", "1"]);
    let two = run(&[&twice, "--threads", "2"]);
    assert_eq!(one["standard_errors"], two["standard_errors"]);
}

#[test]
fn what_is_not_determined_has_none() {
    let remarks = |fit: &Value| fit["remarks"].to_string();
    let iris = ["data/iris.csv", "--bind", "x=sepal_length..petal_width"];

    let fit = fitted(&[&["models/ppca.lvm"], &iris[..], &["--set", "Q=2"]].concat());
    assert!(
        errors(&fit, "W").iter().all(|x| x.is_nan()),
        "{}",
        fit["standard_errors"]
    );
    assert!(errors(&fit, "mu").iter().all(|x| *x > 0.0));
    assert!(remarks(&fit).contains("rotation"), "{}", remarks(&fit));
    // one column of loadings is determined up to its sign, which no small step changes
    let fit = fitted(&[&["models/ppca.lvm"], &iris[..], &["--set", "Q=1"]].concat());
    assert!(errors(&fit, "W").iter().all(|x| *x > 0.0), "{}", fit["standard_errors"]);

    // at the edge of its range
    let folder = Folder::new();
    let data = table(&folder, &[0.0; 30]);
    let fit = fitted(&["-e", "x ~ Bernoulli(p); data x : binary", &data]);
    assert!(
        fit["standard_errors"]["p"].is_null() && remarks(&fit).contains("edge"),
        "{fit}"
    );

    // nothing mentions it
    let data = table(&folder, &[1.0, 2.0, 4.0, 3.5]);
    let fit = fitted(&["-e", "param a : real; x ~ Normal(mu, s); data x : real", &data]);
    assert!(
        fit["standard_errors"]["a"].is_null() && errors(&fit, "mu")[0] > 0.0,
        "{fit}"
    );

    // a sum of which only the whole is seen
    let fit = fitted(&[
        "-e",
        "param a, b : real; data x : real; x ~ Normal(a + 2 * b, s)",
        &data,
    ]);
    for name in ["a", "b"] {
        assert!(fit["standard_errors"][name].is_null(), "{fit}");
    }
    assert!(errors(&fit, "s")[0] > 0.0);

    // held at a floor
    let data = table(&folder, &[1.0; 20]);
    let fit = fitted(&["-e", "x ~ Normal(mu, s); data x : real", &data]);
    assert!(fit["standard_errors"]["s"].is_null(), "{fit}");

    // not at a maximum
    let fit = fitted(&["models/gmm.lvm", "data/faithful.csv", "--set", "K=3", "--max-iter", "2"]);
    assert!(
        errors(&fit, "pi").iter().all(|x| x.is_nan()) && remarks(&fit).contains("converged"),
        "{fit}"
    );
}

#[test]
fn too_many_parameters_are_refused_in_words() {
    let output = lvmc(&[
        "fit",
        "models/bernoulli_mixture.lvm",
        "data/digits_binary.csv",
        "--bind",
        "x=p0..p63",
        "--set",
        "K=10",
        "--restarts",
        "1",
        "--se",
    ]);
    let err = stderr(&output);
    assert!(err.contains("the limit is"), "{err}");
}

#[test]
fn a_prior_counts() {
    let folder = Folder::new();
    let data = table(&folder, &[1.0, 2.0, 4.0, 3.5, 2.2]);
    let text = "param mu : real ~ Normal(0, 1); data x : real; x ~ Normal(mu, 2)";
    let fit = fitted(&["-e", text, &data]);
    // precision n / 2 + 1
    agree(
        &errors(&fit, "mu"),
        &[(1.0f64 / 3.5).sqrt()],
        1e-6,
        "posterior curvature",
    );
    assert!(fit["remarks"].to_string().contains("MAP"), "{fit}");
}
