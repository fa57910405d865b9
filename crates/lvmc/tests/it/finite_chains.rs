//! Predictions, imputations, draws and forecasts of chains of finite states, against sums over all paths written here; and
//! what a chain's data can have wrong.

use crate::common::{Numbers, Place, cells, lvmc, stderr, stdout};
use lvmc_base::Source;
use lvmc_derive::{Missing, derive_with};

/// K states of order 1 or 2, an input in the emission's mean: all numbers are the model's own.
struct Model {
    pi: Vec<f64>,
    a: Vec<Vec<f64>>,
    /// Of order 2: p(z_t | z_{t−1}, z_{t−2}).
    b: Option<Vec<Vec<Vec<f64>>>>,
    m: Vec<f64>,
    s: Vec<f64>,
    /// Of the count beside it.
    rate: Vec<f64>,
}

fn simplex(n: &mut Numbers, k: usize) -> Vec<f64> {
    let x: Vec<f64> = (0..k).map(|_| 0.1 + n.unit()).collect();
    let sum: f64 = x.iter().sum();
    x.iter().map(|x| x / sum).collect()
}

impl Model {
    fn random(n: &mut Numbers, k: usize, second: bool) -> Self {
        let mut rows = || (0..k).map(|_| simplex(n, k)).collect::<Vec<_>>();
        let a = rows();
        let b = second.then(|| (0..k).map(|_| rows()).collect());
        Self {
            pi: simplex(n, k),
            a,
            b,
            m: (0..k).map(|_| 2.0 * n.centred()).collect(),
            s: (0..k).map(|_| 0.3 + n.unit()).collect(),
            rate: (0..k).map(|_| 0.5 + 3.0 * n.unit()).collect(),
        }
    }

    fn text(&self) -> String {
        let k = self.pi.len();
        let list = |x: &[f64]| format!("{x:?}");
        let mut out = format!("dim K = {k}\ndata y : real\ndata n : count\ngiven u : real\n");
        out += &format!("const pi = {}\nconst A = {:?}\n", list(&self.pi), self.a);
        out += &format!(
            "const m = {}\nconst s = {}\nconst rate = {}\n",
            list(&self.m),
            list(&self.s),
            list(&self.rate)
        );
        out += "for each who { chain t by time {\n  z[1] ~ Categorical(pi)\n";
        match &self.b {
            Some(b) => {
                out = format!("const B = {:?}\nconst C = {:?}\n{out}", b[0], b[1]);
                out += "  z[2] ~ Categorical(A[z[t-1]])\n";
                out += "  z[t] ~ Categorical(if z[t-1] == 1 then B[z[t-2]] else C[z[t-2]])\n";
            }
            None => out += "  z[t] ~ Categorical(A[z[t-1]])\n",
        }
        out + "  y[t] ~ Normal(m[z[t]] + 0.5 * u[t], s[z[t]])\n  n[t] ~ Poisson(rate[z[t]])\n} }\n"
    }

    fn transition(&self, path: &[usize], t: usize) -> f64 {
        match (t, &self.b) {
            (0, _) => self.pi[path[0]],
            (1, _) | (_, None) => self.a[path[t - 1]][path[t]],
            (_, Some(b)) => b[path[t - 1]][path[t - 2]][path[t]],
        }
    }

    /// Every path of a sequence, with its density.
    fn paths(&self, rows: &[Cells]) -> Vec<(Vec<usize>, f64)> {
        let k = self.pi.len();
        let mut out = vec![];
        for number in 0..k.pow(u32::try_from(rows.len()).expect("a short sequence")) {
            let path: Vec<usize> = (0..rows.len()).map(|t| number / k.pow(t as u32) % k).collect();
            let mut p = 1.0;
            for (t, row) in rows.iter().enumerate() {
                p *= self.transition(&path, t);
                let z = path[t];
                if let Some(y) = row.y {
                    let e = y - self.m[z] - 0.5 * row.u;
                    p *= (-0.5 * e * e / self.s[z]).exp() / (std::f64::consts::TAU * self.s[z]).sqrt();
                }
                if let Some(n) = row.n {
                    let factorial: f64 = (1..=n).map(f64::from).product();
                    p *= self.rate[z].powi(n as i32) * (-self.rate[z]).exp() / factorial;
                }
            }
            out.push((path, p));
        }
        out
    }
}

/// A row.
#[derive(Clone)]
struct Cells {
    u: f64,
    y: Option<f64>,
    n: Option<u32>,
}

fn sequence(numbers: &mut Numbers, length: usize) -> Vec<Cells> {
    let row = |_| Cells {
        u: numbers.centred(),
        y: (numbers.unit() > 0.3).then(|| 2.0 * numbers.centred()),
        n: (numbers.unit() > 0.3).then(|| (4.0 * numbers.unit()) as u32),
    };
    (0..length).map(row).collect()
}

/// The rows of all sequences, the later ones first, as a file with the sequences' names and times.
fn file(sequences: &[Vec<Cells>], order: &[(usize, usize)], given: bool) -> String {
    let mut out = String::from(if given { "who,time,u\n" } else { "who,time,u,y,n\n" });
    for &(s, t) in order {
        let row = &sequences[s][t];
        out += &format!("s{s},{},{:?}", 2000 + t, row.u);
        if !given {
            let (y, n) = (row.y.map(|y| format!("{y:?}")), row.n.map(|n| n.to_string()));
            out += &format!(",{},{}", y.unwrap_or_default(), n.unwrap_or_default());
        }
        out.push('\n');
    }
    out
}

fn close(a: f64, b: f64, tolerance: f64, what: &str) {
    assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "{what}: {a}, not {b}");
}

const AHEAD: usize = 2;

/// What all paths say of a row: marginals, and mean and standard deviation of its cells.
fn expected(model: &Model, paths: &[(Vec<usize>, f64)], t: usize, u: f64) -> (Vec<f64>, [f64; 2], [f64; 2]) {
    let total: f64 = paths.iter().map(|p| p.1).sum();
    let mut marginal = vec![0.0; model.pi.len()];
    paths.iter().for_each(|(path, p)| marginal[path[t]] += p / total);
    let moments = |mean: &dyn Fn(usize) -> f64, variance: &[f64]| {
        let m: f64 = marginal.iter().enumerate().map(|(k, p)| p * mean(k)).sum();
        let v = marginal
            .iter()
            .enumerate()
            .map(|(k, p)| p * (variance[k] + (mean(k) - m).powi(2)));
        [m, v.sum::<f64>().sqrt()]
    };
    let y = moments(&|k| model.m[k] + 0.5 * u, &model.s);
    let n = moments(&|k| model.rate[k], &model.rate);
    (marginal, y, n)
}

/// A number read off the rows of a draw.
type Read<'a> = &'a dyn Fn(&[Vec<f64>]) -> f64;

#[test]
fn sums_over_all_paths() {
    let mut numbers = Numbers(11);
    let place = Place::new();
    for (k, second) in [(2, false), (3, false), (2, true)] {
        let model = Model::random(&mut numbers, k, second);
        let lengths = [4, 1, 2, 3];
        let whole: Vec<Vec<Cells>> = lengths.iter().map(|l| sequence(&mut numbers, l + AHEAD)).collect();
        // rows in no order
        let rows = |from: &dyn Fn(usize) -> std::ops::Range<usize>| -> Vec<(usize, usize)> {
            (0..lengths.len())
                .rev()
                .flat_map(|s| from(s).rev().map(move |t| (s, t)))
                .collect()
        };
        let past = rows(&|s| 0..lengths[s]);
        let data = place.file("data.csv", &file(&whole, &past, false));
        let future = place.file(
            "future.csv",
            &file(&whole, &rows(&|s| lengths[s]..lengths[s] + AHEAD), true),
        );
        let (text, fit) = (place.file("model.lvm", &model.text()), place.path("fit.json"));
        let made = lvmc(&["fit", &text, &data, "--out", &fit, "--json"]);
        assert!(made.status.success(), "{}\n{}", model.text(), stderr(&made));
        let (head, found) = cells(&stdout(&lvmc(&["predict", &fit, &data])));
        assert_eq!(head[k + 1], "z_path");
        let (filled_head, filled) = cells(&stdout(&lvmc(&["impute", &fit, &data, "--sd"])));
        let output = lvmc(&["predict", &fit, &data, "--ahead", "2", "--given", &future]);
        let (ahead_head, ahead) = cells(&stdout(&output));
        let expected_head = ["who", "time", "ahead", "z", "z_1", "z_2"];
        assert_eq!(ahead_head[..6], expected_head, "{}", stderr(&output));
        let at = |head: &[String], name: &str| head.iter().position(|h| h == name).expect("a column");
        for (s, sequence) in whole.iter().enumerate() {
            let seen = &sequence[..lengths[s]];
            let mut longer = sequence.clone();
            for row in &mut longer[lengths[s]..] {
                (row.y, row.n) = (None, None);
            }
            let paths = model.paths(seen);
            let best = paths.iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("a path");
            for (t, own) in seen.iter().enumerate() {
                let row = past.iter().position(|r| *r == (s, t)).expect("a row");
                let (marginal, y, n) = expected(&model, &paths, t, own.u);
                (0..k).for_each(|i| close(found[row][1 + i], marginal[i], 1e-9, "marginal"));
                assert_eq!(found[row][1 + k] as usize, best.0[t] + 1, "path");
                for (name, cell, want) in [("y", own.y, y), ("n", own.n.map(f64::from), n)] {
                    let here = [name.to_owned(), format!("{name}_sd")].map(|h| filled[row][at(&filled_head, &h)]);
                    match cell {
                        Some(x) => assert_eq!(here[0], x),
                        None => (0..2).for_each(|i| close(here[i], want[i], 1e-8, name)),
                    }
                }
            }
            let paths = model.paths(&longer);
            for h in 0..AHEAD {
                let t = lengths[s] + h;
                // sequences in the order in which they appear
                let row = &ahead[AHEAD * (lengths.len() - 1 - s) + h];
                assert_eq!((row[1] as usize, row[2] as usize), (2000 + t, h + 1));
                let (marginal, y, n) = expected(&model, &paths, t, longer[t].u);
                (0..k).for_each(|i| close(row[4 + i], marginal[i], 1e-9, "state ahead"));
                for (name, want) in [("y", y), ("n", n)] {
                    let here = [name.to_owned(), format!("{name}_sd")].map(|h| row[at(&ahead_head, &h)]);
                    (0..2).for_each(|i| close(here[i], want[i], 1e-8, name));
                }
            }
        }
    }
}

/// Models whose posteriors, paths and updates are certified by enumeration, with and without missing cells.
const MODELS: &[&str] = &[
    "param pi : simplex[K]
     param A[K] : simplex[K]
     dim K=2
     param mu[K] : real[D]
     param Sigma[K] : cov[D]
     chain t {
     z[1] ~ Categorical(pi)
     z[t] ~ Categorical(A[z[t-1]])
     x[t] ~ Normal(mu[z[t]], Sigma[z[t]])
     }",
    "param pi : simplex[K]
     param A[K] : simplex[K]
     dim K=2
     param mu[K] : real[D]
     param v[K] : positive[D]
     for each g {
     chain t {
     z[1] ~ Categorical(pi)
     z[t] ~ Categorical(A[z[t-1]])
     x[t] ~ Normal(mu[z[t]], diag(v[z[t]]))
     }
     }",
    "data y : count
     param pi : simplex[K]
     param A[K] : simplex[K]
     dim K=3
     param r[K] : positive
     chain t {
     z[1] ~ Categorical(pi)
     z[t] ~ Categorical(A[z[t-1]])
     y[t] ~ Poisson(r[z[t]])
     }",
    "data y : category[V]
     param pi : simplex[K]
     param A[K] : simplex[K]
     dim K=2
     param B[K] : simplex[V]
     chain t {
     z[1] ~ Categorical(pi)
     z[t] ~ Categorical(A[z[t-1]])
     y[t] ~ Categorical(B[z[t]])
     }",
    "data y : binary
     param pi : simplex[K]
     param A[K] : simplex[K]
     dim K=2
     param b[K] : unit
     chain t {
     z[1] ~ Categorical(pi)
     z[t] ~ Categorical(A[z[t-1]])
     y[t] ~ Bernoulli(b[z[t]])
     }",
    "data y : real
     dim K=2
     param pi : simplex[K]
     param A[K] : simplex[K]
     param B[i in 1..K, j in 1..K] : simplex[K]
     param m[K] : real
     param s : positive
     chain t {
     z[1] ~ Categorical(pi)
     z[2] ~ Categorical(A[z[t-1]])
     z[t] ~ Categorical(B[z[t-1], z[t-2]])
     y[t] ~ Normal(m[z[t]], s)
     }",
    "data y : real
     dim K=2
     param p, q : simplex[K]
     param A[K], B[K] : simplex[K]
     param m[K] : real
     param n[K] : real
     param s : positive
     chain t {
     a[1] ~ Categorical(p)
     a[t] ~ Categorical(A[a[t-1]])
     b[1] ~ Categorical(q)
     b[t] ~ Categorical(B[b[t-1]])
     y[t] ~ Normal(m[a[t]] + n[b[t]], s)
     }",
    "data y : real
     dim K=2
     param pi : simplex[K]
     param A[K] : simplex[K]
     param m[K] : real
     param phi[K] : real
     param s[K] : positive
     chain t {
     z[1] ~ Categorical(pi)
     z[t] ~ Categorical(A[z[t-1]])
     y[1] ~ Normal(0, 1)
     y[t] ~ Normal(m[z[t]] + phi[z[t]] * y[t-1], s[z[t]])
     }",
    "data y : real
     data w : count
     dim K=2
     param pi : simplex[K]
     param A[K] : simplex[K]
     param m[K] : real
     param s[K] : positive
     param r[K] : positive
     chain t {
     z[1] ~ Categorical(pi)
     z[t] ~ Categorical(A[z[t-1]])
     y[t] ~ Normal(m[z[t]], s[z[t]])
     w[t] ~ Poisson(r[z[t]])
     }",
    "data y : real
     dim K=2
     param pi : simplex[K]
     param A[K] : simplex[K]
     param c[K] : simplex[2]
     param m[i in 1..K, j in 1..2] : real
     param s : positive
     chain t {
     z[1] ~ Categorical(pi)
     z[t] ~ Categorical(A[z[t-1]])
     k[t] ~ Categorical(c[z[t]])
     y[t] ~ Normal(m[z[t], k[t]], s)
     }",
    "data y : real
     given u : real
     dim K=2
     param pi : simplex[K]
     param a[i in 1..K, j in 1..K] : real
     param m[K] : real
     param s : positive
     for each g {
     chain t by time {
     z[1] ~ Categorical(pi)
     z[t] ~ Categorical(softmax([0, a[z[t-1], 1] + a[z[t-1], 2] * u[t]]))
     y[t] ~ Normal(m[z[t]], s)
     }
     }",
];

#[test]
fn certificates_hold() {
    for text in MODELS {
        let source = Source::new("model", *text);
        let ast = lvmc_syntax::parse(&source).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let settings = lvmc_model::Settings::default();
        let graph = lvmc_model::build(&ast, &source, &settings).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        for missing in [Missing::default(), Missing::most(&graph)] {
            let plan = derive_with(&graph, &missing).unwrap_or_else(|e| panic!("{text}: {e:?}"));
            let rows = lvmc::certify::rows(&graph, &plan);
            let list = lvmc::certify::certify_missing(&graph, &plan, &missing, 1, rows);
            let list = list.unwrap_or_else(|e| panic!("{text}: {e:?}"));
            assert!(list.iter().any(|c| c.what.contains("Viterbi")), "{text}");
            for c in list {
                assert!(c.ok, "{text}: {} of {}: {} ({})", c.part, c.of, c.value, c.what);
            }
        }
    }
}

/// Pairs of neighbouring missing cells, drawn many times.
#[test]
fn draws_follow_whole_paths() {
    let mut numbers = Numbers(5);
    let place = Place::new();
    const DRAWS: usize = 4000;
    for second in [false, true] {
        let model = Model::random(&mut numbers, 2, second);
        let mut rows = sequence(&mut numbers, 5);
        rows[0] = Cells {
            u: 0.3,
            y: Some(1.0),
            n: None,
        };
        (rows[2].y, rows[3].y, rows[3].n) = (None, None, None);
        let order: Vec<(usize, usize)> = (0..5).map(|t| (0, t)).collect();
        let all = vec![rows.clone()];
        let data = place.file("data.csv", &file(&all, &order, false));
        let (text, fit) = (place.file("model.lvm", &model.text()), place.path("fit.json"));
        let made = lvmc(&["fit", &text, &data, "--out", &fit, "--json"]);
        assert!(made.status.success(), "{}", stderr(&made));
        let drawn = lvmc(&["impute", &fit, &data, "--draws", &DRAWS.to_string()]);
        let again = lvmc(&["impute", &fit, &data, "--draws", &DRAWS.to_string(), "--threads", "1"]);
        assert_eq!(drawn.stdout, again.stdout);
        let (_, found) = cells(&stdout(&drawn));
        let paths = model.paths(&rows);
        let total: f64 = paths.iter().map(|p| p.1).sum();
        // E of y₃, y₄, y₃ y₄ and n₄ y₃
        let mean = |f: &dyn Fn(&[usize]) -> f64| paths.iter().map(|(z, p)| p / total * f(z)).sum::<f64>();
        let y = |z: &[usize], t: usize| model.m[z[t]] + 0.5 * rows[t].u;
        let cases: [(f64, Read<'_>); 4] = [
            (mean(&|z| y(z, 2)), &|r| r[2][4]),
            (mean(&|z| y(z, 3)), &|r| r[3][4]),
            (mean(&|z| y(z, 2) * y(z, 3)), &|r| r[2][4] * r[3][4]),
            (mean(&|z| model.rate[z[3]] * y(z, 2)), &|r| r[2][4] * r[3][5]),
        ];
        for (want, read) in cases {
            let values: Vec<f64> = found.chunks(5).map(read).collect();
            let m = values.iter().sum::<f64>() / DRAWS as f64;
            let v = values.iter().map(|x| (x - m).powi(2)).sum::<f64>() / DRAWS as f64;
            assert!((m - want).abs() < 5.0 * (v / DRAWS as f64).sqrt(), "{m}, not {want}");
        }
    }
}

/// Where rows read the data before them, futures are drawn; the first step is known in closed form.
#[test]
fn a_switching_autoregression_is_simulated() {
    let place = Place::new();
    let model = "data y : real\nconst pi = [0.5, 0.5]\nconst A = [[0.9, 0.1], [0.3, 0.7]]\nconst m = [0, 2]\nconst f = \
                 [0.5, -0.4]\nchain t {\n z[1] ~ Categorical(pi)\n z[t] ~ Categorical(A[z[t-1]])\n y[1] ~ Normal(0, 4)\n \
                 y[t] ~ Normal(m[z[t]] + f[z[t]] * y[t-1], 0.5)\n}\n";
    let (text, data) = (
        place.file("m.lvm", model),
        place.file("d.csv", "y\n0.2\n0.4\n1.9\n1.4\n"),
    );
    let fit = place.path("fit.json");
    assert!(lvmc(&["fit", &text, &data, "--out", &fit, "--json"]).status.success());
    let (_, last) = cells(&stdout(&lvmc(&["predict", &fit, &data])));
    let p = &last[3][1..3];
    let output = lvmc(&["predict", &fit, &data, "--ahead", "2", "--draws", "20000"]);
    assert!(
        stderr(&output).contains("20,000 simulated futures"),
        "{}",
        stderr(&output)
    );
    let (head, rows) = cells(&stdout(&output));
    assert_eq!(head, ["ahead", "z", "z_1", "z_2", "y", "y_sd"]);
    let next = [0.9 * p[0] + 0.3 * p[1], 0.1 * p[0] + 0.7 * p[1]];
    let means = [0.5 * 1.4, 2.0 - 0.4 * 1.4];
    let mean = next[0] * means[0] + next[1] * means[1];
    let sd = (0.5 + next[0] * next[1] * (means[0] - means[1]) * (means[0] - means[1])).sqrt();
    assert!((rows[0][2] - next[0]).abs() < 0.015, "{rows:?}");
    assert!(
        (rows[0][4] - mean).abs() < 0.03 && (rows[0][5] - sd).abs() < 0.03,
        "{rows:?} {mean} {sd}"
    );
    let again = lvmc(&["predict", &fit, &data, "--ahead", "2", "--draws", "20000"]);
    assert_eq!(output.stdout, again.stdout);
}

/// Files a model cannot read, and what is said of them.
#[test]
fn mistakes_are_named() {
    let place = Place::new();
    let head = "dim K = 2\ndata y : real\nparam pi : simplex[K]\nparam A[K] : simplex[K]\nparam m[K] : real\nparam s : positive\n";
    let chain = |inside: &str| place.file("m.lvm", &format!("{head}chain t by time {{\n{inside}\n}}\n"));
    let start = "z[1] ~ Categorical(pi)\nz[t] ~ Categorical(A[z[t-1]])\n";
    let good = chain(&format!("{start}y[t] ~ Normal(m[z[t]], s)"));
    let data = place.file("d.csv", "time,y\n1,2\n2,0\n3,0.1\n4,1.9\n");
    let refused = |args: &[&str], code: i32, name: &str, words: &str| {
        let output = lvmc(args);
        let text = stderr(&output)
            .split_whitespace()
            .filter(|w| *w != "│")
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(name) && text.contains(words), "{args:?}: {text}");
    };
    let holes = place.file("h.csv", "time,y\n1,2\n,0\n3,0.1\n4,1.9\n");
    refused(
        &["fit", &good, &holes],
        4,
        "lvm::data::sequence",
        "column `time`, which orders a chain, is empty in row 2",
    );
    let groups = place.file(
        "g.lvm",
        &format!("{head}for each who {{ chain t by time {{\n{start}y[t] ~ Normal(m[z[t]], s)\n}} }}\n"),
    );
    let nobody = place.file("n.csv", "who,time,y\na,1,2\n,2,0\nb,3,0.1\nb,4,1.9\n");
    refused(
        &["fit", &groups, &nobody],
        4,
        "lvm::data::sequence",
        "column `who`, which names sequences, is empty in row 2",
    );
    let ahead = "z[t] ~ Categorical(A[z[t+1]])\ny[t] ~ Normal(m[z[t]], s)";
    refused(
        &["check", &chain(ahead)],
        3,
        "lvm::model::missing_position",
        "`z` has no statement at T",
    );
    let ahead = chain(&format!("z[T] ~ Categorical(pi)\n{ahead}"));
    refused(
        &["check", &ahead],
        3,
        "lvm::derive::missing_rule",
        "may look back a fixed number of steps",
    );
    let open = chain("z[t] ~ Categorical(A[z[t-1]])\ny[t] ~ Normal(m[z[t]], s)");
    refused(&["check", &open], 3, "lvm::", "z[1]");
    let far = chain(&format!("{start}y[t] ~ Normal(m[z[t-2]], s)"));
    refused(&["check", &far], 3, "lvm::", "y[1]");

    let good = chain(&format!("{start}y[t] ~ Normal(m[z[t]], s)"));
    let fit = place.path("fit.json");
    assert!(matches!(
        lvmc(&["fit", &good, &data, "--out", &fit, "--json"]).status.code(),
        Some(0 | 1)
    ));
    let flat = place.path("flat.json");
    let mixture = [
        "fit",
        "-e",
        "z ~ Categorical(pi); y ~ Normal(m[z], s)",
        &data,
        "--set",
        "K=2",
        "--bind",
        "y=y",
    ];
    assert!(matches!(
        lvmc(&[&mixture[..], &["--out", &flat, "--json"]].concat())
            .status
            .code(),
        Some(0 | 1)
    ));
    refused(
        &["predict", &flat, &data, "--ahead", "2"],
        4,
        "lvm::data::ahead",
        "do not follow each other",
    );
    refused(&["predict", &fit, &data, "--ahead", "0"], 2, "", "--ahead");
    let tied = place.file("t.csv", "time,y\n1,2\n1,0\n");
    refused(&["predict", &fit, &tied], 4, "lvm::data::tie", "the same place");
    // one row, and rows without any cell, have an answer
    let one = place.file("one.csv", "time,y\n7,\n");
    for args in [
        vec!["predict", &fit, &one],
        vec!["score", &fit, &one],
        vec!["predict", &fit, &one, "--ahead", "2"],
    ] {
        let output = lvmc(&args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }
    let (_, rows) = cells(&stdout(&lvmc(&["score", &fit, &one])));
    assert!(rows[0][1].abs() < 1e-12, "{rows:?}");
    // the step of one row is not known, and the column is left out
    let (names, _) = cells(&stdout(&lvmc(&["predict", &fit, &one, "--ahead", "2"])));
    assert_eq!(names[0], "ahead");
    // dates go on where they are regular
    let dated = place.file("dated.csv", "time,y\n2023-10-31,1\n2023-11-30,0.2\n2023-12-31,\n");
    let shown = stdout(&lvmc(&["predict", &fit, &dated, "--ahead", "2"]));
    assert!(
        shown.contains("\n2024-01-31,1,") && shown.contains("\n2024-02-29,2,"),
        "{shown}"
    );
    let weeks = place.file("weeks.csv", "time,y\nweek a,1\nweek b,0.2\n");
    assert!(stdout(&lvmc(&["predict", &fit, &weeks, "--ahead", "2"])).starts_with("ahead,z"));
    // an absent column is not a mean row by row
    let absent = place.file("absent.csv", "time\n1\n2\n");
    let (names, rows) = cells(&stdout(&lvmc(&["predict", &fit, &absent])));
    assert!(names.contains(&"y".to_owned()) && rows.len() == 2, "{names:?}");
}

#[test]
fn covariates_of_the_future_are_asked_for() {
    let place = Place::new();
    let model = "data y : real\ngiven u, v : real\nparam a, b : real\nparam q, r : positive\nfor each who { chain t by time \
                 {\n z[1] ~ Normal(0, 1)\n z[t] ~ Normal(z[t-1] + a * u[t], q)\n y[t] ~ Normal(z[t] + b * v[t], r)\n} }\n";
    let text = place.file("m.lvm", model);
    let data = place.file(
        "d.csv",
        "who,time,u,v,y\na,1,0,1,2\na,2,1,0,1\na,4,1,1,0\nb,1,0,0,1\nb,2,1,1,2\n",
    );
    let fit = place.path("fit.json");
    assert!(matches!(
        lvmc(&["fit", &text, &data, "--out", &fit, "--json"]).status.code(),
        Some(0 | 1)
    ));
    let cases = [
        (
            "who,time,u\na,5,1\nb,3,0\n",
            "there is no column `v` for `v` in the file of --given",
        ),
        ("time,u,v\n5,1,1\n", "there is no column `who`, which names sequences"),
        ("who,time,u,v\na,5,1,1\n", "has 0 rows of b, and --ahead asks for 1"),
        (
            "who,time,u,v\na,4,1,1\nb,3,0,0\n",
            "begins at `4` in column `time`, and the data end at `4`",
        ),
        ("who,time,u,v\na,5,1,\nb,3,0,0\n", "`v` may not be missing"),
        ("who,time,u,v\na,5,x,1\nb,3,0,0\n", "is not a number"),
    ];
    for (file, words) in cases {
        let future = place.file("f.csv", file);
        let output = lvmc(&["predict", &fit, &data, "--ahead", "1", "--given", &future]);
        let text = stderr(&output)
            .split_whitespace()
            .filter(|w| *w != "│")
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(output.status.code(), Some(4), "{file}: {text}");
        assert!(text.contains(words), "{file}: {text}");
    }
    let none = lvmc(&["predict", &fit, &data, "--ahead", "1"]);
    assert!(
        stderr(&none).contains("the model is given `u` (column `u`)"),
        "{}",
        stderr(&none)
    );
    let future = place.file("f.csv", "time,v,u,who\n3,0,0,b\n9,1,1,a\n");
    let output = lvmc(&["predict", &fit, &data, "--ahead", "1", "--given", &future]);
    let shown = stdout(&output);
    assert!(
        shown.starts_with("who,time,ahead,z,z_sd,y,y_sd\na,9,1,"),
        "{shown} {}",
        stderr(&output)
    );
}
