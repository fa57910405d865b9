//! Parameters of a family picked at fixed positions, at given ones, and as whole vectors: closed forms against shares and
//! means counted here, certificates.

use crate::common::{Numbers, Place, lvmc, root, stderr, stdout};
use serde_json::Value;
use std::fmt::Write;

fn fitted(args: &[&str]) -> Value {
    let output = lvmc(&[&["fit"], args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn model(name: &str) -> String {
    let path = root().join("crates/lvmc/tests/positions").join(name);
    path.with_extension("lvm").to_string_lossy().into_owned()
}

/// The numbers of nested lists, in order.
fn numbers(v: &Value) -> Vec<f64> {
    match v {
        Value::Array(parts) => parts.iter().flat_map(numbers).collect(),
        Value::Object(parts) => parts.values().flat_map(numbers).collect(),
        _ => v.as_f64().into_iter().collect(),
    }
}

fn near(found: &[f64], expected: &[f64]) {
    let close = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(close, "{found:?} {expected:?}");
}

/// Σ to one.
fn shares(counts: &[f64]) -> Vec<f64> {
    let sum: f64 = counts.iter().sum();
    counts.iter().map(|c| c / sum).collect()
}

#[test]
fn certificates_hold() {
    let folder = root().join("crates/lvmc/tests/positions");
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let output = lvmc(&["check", &path.to_string_lossy(), "--numeric"]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}{}",
            path.display(),
            stdout(&output),
            stderr(&output)
        );
    }
}

/// Columns k, y, g of categories and w, x of numbers, the codes as counted.
fn table() -> (String, Vec<[usize; 3]>, Vec<[f64; 2]>) {
    let mut random = Numbers(4);
    let (mut text, mut codes, mut values) = ("k,y,g,x,w\n".to_owned(), vec![], vec![]);
    for row in 0..90 {
        let mut code = || ((random.unit() + random.unit()) * 1.5) as usize;
        // the first rows show every value, in order: they are numbered so
        let of = if row < 3 { [row; 3] } else { [code(), code(), code()] };
        let of_row = [random.centred() + 1.0, random.centred() * 2.0];
        let letter = |c: usize| ["a", "b", "c"][c];
        writeln!(
            text,
            "{},{},{},{},{}",
            letter(of[0]),
            letter(of[1]),
            letter(of[2]),
            of_row[0],
            of_row[1]
        )
        .expect("text");
        codes.push(of);
        values.push(of_row);
    }
    (text, codes, values)
}

#[test]
fn shares_of_all_the_places_where_an_element_stands() {
    let (text, rows, _) = table();
    let place = Place::new();
    let data = place.file("d.csv", &text);
    let counted = |of: usize, when: &dyn Fn(&[usize; 3]) -> bool| -> Vec<f64> {
        let count = |v: usize| rows.iter().filter(|r| r[of] == v && when(r)).count() as f64;
        (0..3).map(count).collect()
    };
    // one element alone: it has the shares, and the others stay where they start
    let fit = fitted(&[&model("one_row"), &data]);
    let p = numbers(&fit["parameters"]["P"]);
    near(&p[..3], &shares(&counted(0, &|_| true)));
    near(&p[3..], &[1.0 / 3.0; 6]);
    // beside the same element where a covariate picks it
    let fit = fitted(&[&model("rows_and_one"), &data]);
    let expected: Vec<f64> = (0..3)
        .flat_map(|g| {
            let own = counted(1, &|r| r[2] == g);
            let more = if g == 0 { counted(0, &|_| true) } else { vec![0.0; 3] };
            shares(&own.iter().zip(more).map(|(a, b)| a + b).collect::<Vec<_>>())
        })
        .collect();
    near(&numbers(&fit["parameters"]["P"]), &expected);
}

/// The stationary point of mu and s of `x ~ Normal(mu[1], s[2])`, `w ~ Normal(mu[g], s[g])`, by alternating.
#[test]
fn means_and_variances_that_places_share() {
    let (text, rows, values) = table();
    let place = Place::new();
    let data = place.file("d.csv", &text);
    let fit = fitted(&[&model("normal"), &data, "--tol", "1e-13"]);
    let (mut mu, mut s) = ([0.0; 3], [1.0; 3]);
    for _ in 0..5000 {
        for k in 0..3 {
            let (mut top, mut bottom, mut square, mut n) = (0.0, 0.0, 0.0, 0.0);
            for (r, v) in rows.iter().zip(&values) {
                if k == 0 {
                    (top, bottom) = (top + v[0] / s[1], bottom + 1.0 / s[1]);
                }
                if r[2] == k {
                    (top, bottom) = (top + v[1] / s[k], bottom + 1.0 / s[k]);
                }
            }
            mu[k] = top / bottom;
            for (r, v) in rows.iter().zip(&values) {
                if k == 1 {
                    (square, n) = (square + (v[0] - mu[0]).powi(2), n + 1.0);
                }
                if r[2] == k {
                    (square, n) = (square + (v[1] - mu[k]).powi(2), n + 1.0);
                }
            }
            s[k] = square / n;
        }
    }
    let found = [numbers(&fit["parameters"]["mu"]), numbers(&fit["parameters"]["s"])].concat();
    let expected = [mu, s].concat();
    let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close, "{found:?} {expected:?}");
}

#[test]
fn counts_and_categories_of_one_simplex() {
    let mut random = Numbers(9);
    let (mut text, mut counts) = ("n,x1,x2,x3,x4,c\n".to_owned(), [0.0; 4]);
    for row in 0..50 {
        let x: [usize; 4] = std::array::from_fn(|v| (random.unit() * (v as f64 + 2.0)) as usize);
        let c = if row < 4 { row } else { (random.unit() * 4.0) as usize };
        counts[c] += 1.0;
        x.iter().zip(&mut counts).for_each(|(&x, n)| *n += x as f64);
        let n: usize = x.iter().sum();
        let letter = ["a", "b", "c", "d"][c];
        writeln!(text, "{n},{},{},{},{},{letter}", x[0], x[1], x[2], x[3]).expect("text");
    }
    let place = Place::new();
    let data = place.file("d.csv", &text);
    let fit = fitted(&[&model("counts_and_categories"), &data, "--bind", "x=x1..x4"]);
    near(&numbers(&fit["parameters"]["p"]), &shares(&counts));
    assert!(fit["iterations"].as_u64().expect("a number") < 8, "in closed form");
}

#[test]
fn more_than_there_were_names_the_row() {
    let place = Place::new();
    let data = place.file("d.csv", "n,y\n3,1\n4,2\n2,5\n3,3\n");
    for text in [
        "given n : count; param p : unit; data y : count; y ~ Binomial(n, p)",
        "dim K = 2; given n : count; param p[K] : unit; z ~ Categorical(pi); data y : count; y ~ Binomial(n, p[z])",
    ] {
        let output = lvmc(&["fit", "-e", text, &data]);
        assert!(matches!(output.status.code(), Some(4 | 5)), "{}", stderr(&output));
        assert!(stderr(&output).contains("row 3"), "{}", stderr(&output));
    }
}
