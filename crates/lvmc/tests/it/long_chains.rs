//! Log-likelihoods of long chains against recursions written here. `bench/precision.py` does the same in extended
//! precision for a million rows.

use crate::common::{lvmc, stderr};
use serde_json::{Value, json};

const ROWS: usize = 30_000;

/// Numbers in (0, 1), the same everywhere.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.unit(), self.unit());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// A sum that keeps what rounding loses (Neumaier 1974).
#[derive(Default)]
struct Sum(f64, f64);

impl Sum {
    fn add(&mut self, x: f64) {
        let t = self.0 + x;
        self.1 += if self.0.abs() >= x.abs() {
            (self.0 - t) + x
        } else {
            (x - t) + self.0
        };
        self.0 = t;
    }
}

/// The log-likelihood after one iteration from `start`, and the parameters that it is of.
fn fitted(model: &str, header: &str, rows: &[Vec<f64>], start: &Value, more: &[&str]) -> (f64, Value) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, init) = (folder.path().join("x.csv"), folder.path().join("start.json"));
    let line = |row: &Vec<f64>| row.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let text: Vec<String> = std::iter::once(header.to_owned())
        .chain(rows.iter().map(line))
        .collect();
    std::fs::write(&data, text.join("\n")).expect("written data");
    std::fs::write(&init, start.to_string()).expect("a written start");
    let (data, init) = (data.to_string_lossy(), init.to_string_lossy());
    let args = [
        "fit",
        "-e",
        model,
        &data,
        "--init",
        &init,
        "--max-iter",
        "1",
        "--tol",
        "0",
        "--json",
    ];
    let output = lvmc(&[&args[..], more].concat());
    let fit: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    (
        fit["log_likelihood"].as_f64().expect("a number"),
        fit["parameters"].clone(),
    )
}

fn numbers(v: &Value) -> Vec<f64> {
    match v {
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

#[test]
fn states_with_nearly_singular_covariances() {
    let mut random = Random(1);
    let a = [[0.98, 0.015, 0.005], [0.02, 0.97, 0.01], [0.01, 0.03, 0.96]];
    let mu = [[0.0, 0.0], [2.0, 2e-4], [-1.0, 3e-4]];
    let rho: f64 = 1.0 - 1e-7;
    let mut state = 0;
    let rows: Vec<Vec<f64>> = (0..ROWS)
        .map(|_| {
            let u = random.unit();
            let row: [f64; 3] = a[state];
            state = if u < row[0] {
                0
            } else {
                1 + usize::from(u >= row[0] + row[1])
            };
            let (e, f) = (random.normal(), random.normal());
            vec![
                mu[state][0] + e,
                mu[state][1] + (rho * e + (1.0 - rho * rho).sqrt() * f) * 1e-4,
            ]
        })
        .collect();
    let sigma = [[1.0, rho * 1e-4], [rho * 1e-4, 1e-8]];
    let (third, sigmas) = ([1.0 / 3.0; 3], [sigma; 3]);
    let start = json!({ "pi": third, "A": a, "mu": mu, "Sigma": sigmas });
    let model =
        "chain t { z[1] ~ Categorical(pi); z[t] ~ Categorical(A[z[t-1]]); x[t] ~ Normal(mu[z[t]], Sigma[z[t]]) }";
    let (found, p) = fitted(model, "a,b", &rows, &start, &["--bind", "x=a,b", "--set", "K=3"]);
    let [pi, a, mu, sigma] = ["pi", "A", "mu", "Sigma"].map(|name| numbers(&p[name]));
    let log_density = |x: &[f64], k: usize| {
        // the first column, then the second given it
        let s = &sigma[4 * k..];
        let (y, slope) = (x[0] - mu[2 * k], s[1] / s[0]);
        let (rest, given) = (x[1] - mu[2 * k + 1] - slope * y, s[3] - slope * s[1]);
        -0.5 * (y * y / s[0] + rest * rest / given + (s[0] * given).ln()) - std::f64::consts::TAU.ln()
    };
    let mut log = Sum::default();
    let mut now = pi;
    for (t, x) in rows.iter().enumerate() {
        let logs = [0, 1, 2].map(|k| log_density(x, k));
        let top = logs.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let before = |k: usize| match t {
            0 => now[k],
            _ => (0..3).map(|j| now[j] * a[3 * j + k]).sum(),
        };
        let next: Vec<f64> = (0..3).map(|k| before(k) * (logs[k] - top).exp()).collect();
        let sum: f64 = next.iter().sum();
        log.add(sum.ln());
        log.add(top);
        now = next.into_iter().map(|x| x / sum).collect();
    }
    let wanted = log.0 + log.1;
    assert!((found / wanted - 1.0).abs() < 1e-9, "{found}, not {wanted}");
}

#[test]
fn levels_that_hardly_move_and_hardly_any_noise() {
    let model = "param level_var, noise_var : positive\nchain t { level[1] ~ Normal(0, 1e6)\n\
                 level[t] ~ Normal(level[t-1], level_var)\ndata y[t] : real ~ Normal(level[t], noise_var) }";
    for (moves, noise) in [(0.3_f64, 1.0_f64), (1e-8, 1.0), (1.0, 1e-8)] {
        let mut random = Random(2);
        let mut level = 0.0;
        let rows: Vec<Vec<f64>> = (0..ROWS)
            .map(|_| {
                level += moves.sqrt() * random.normal();
                vec![level + noise.sqrt() * random.normal()]
            })
            .collect();
        let start = json!({ "level_var": moves, "noise_var": noise });
        let (found, p) = fitted(model, "y", &rows, &start, &[]);
        let [moves, noise] = ["level_var", "noise_var"].map(|name| numbers(&p[name])[0]);
        let (mut mean, mut variance) = (0.0, 1e6);
        let mut log = Sum::default();
        for (t, y) in rows.iter().enumerate() {
            if t > 0 {
                variance += moves;
            }
            let (f, v) = (variance + noise, y[0] - mean);
            log.add(-0.5 * (f.ln() + v * v / f + std::f64::consts::TAU.ln()));
            mean += variance / f * v;
            variance *= noise / f;
        }
        let wanted = log.0 + log.1;
        assert!((found / wanted - 1.0).abs() < 1e-9, "{found}, not {wanted}");
    }
}
