//! Effects of groups: other software's answers, the dense joint Gaussian, certificates, predictions, refusals.

use crate::common::{lvmc, root, stderr, stdout};
use lvmc_base::Source;
use lvmc_term::Array;
use serde_json::{Value, json};
use std::fmt::Write as _;

fn fitted(args: &[&str]) -> Value {
    let output = lvmc(&[&["fit"], args, &["--json"]].concat());
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{args:?}: {}",
        stderr(&output)
    );
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn number(fit: &Value) -> f64 {
    fit["log_likelihood"].as_f64().expect("a number")
}

const SLEEP: [&str; 7] = [
    "data/sleepstudy.csv",
    "--bind",
    "y=Reaction",
    "--bind",
    "x=Days",
    "--bind",
    "group=Subject",
];

const INTERCEPT: &str = "given group : category[G]\ngiven x : real\nparam a, b : real\nparam tau2, sigma2 : positive\n\
    global latent u[G] : real ~ Normal(0, tau2)\ny ~ Normal(a + u[group] + b * x, sigma2)";

/// lme4 and statsmodels, maximum likelihood.
#[test]
fn answers_of_other_software() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = folder.path().join("intercept.lvm");
    std::fs::write(&model, INTERCEPT).expect("a file");
    let model = model.to_string_lossy();
    for (model, expected) in [
        (&*model, -897.039_321_556_9),
        ("models/random_slope.lvm", -875.969_672_231_7),
    ] {
        for seed in ["1", "2"] {
            let fit = fitted(&[&[model], &SLEEP[..], &["--seed", seed]].concat());
            assert!(
                (number(&fit) - expected).abs() < 1e-7 * expected.abs(),
                "{model}: {}",
                number(&fit)
            );
            assert_eq!(fit["converged"], true, "{model}");
        }
    }
    let fit = fitted(&[&["models/random_slope.lvm"], &SLEEP[..]].concat());
    let omega = fit["parameters"]["Omega"][0][0].as_f64().expect("a number");
    assert!((omega - 565.517).abs() < 0.5, "{omega}");
    let effect = &fit["effects"]["u"];
    assert_eq!(effect["groups"][0], "308");
    let slope = effect["mean"][0][1].as_f64().expect("a number");
    assert!((slope - 19.67).abs() < 0.2, "{slope}");
}

/// Numbers between −√3 and √3 that look random.
struct Draws(u64);

impl Draws {
    fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
    fn centred(&mut self) -> f64 {
        (2.0 * self.unit() - 1.0) * 3.0_f64.sqrt()
    }
    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
}

/// log Normal(y; mean, V).
fn dense(residual: &[f64], v: &Array) -> f64 {
    let n = residual.len();
    let l = v.cholesky().expect("a covariance");
    let white = l.solve_lower(&Array::matrix(n, 1, residual.to_vec()));
    let log_det: f64 = (0..n).map(|i| l.at2(i, i).ln()).sum();
    let square: f64 = white.data.iter().map(|x| x * x).sum();
    -0.5 * square - log_det - 0.5 * n as f64 * (2.0 * std::f64::consts::PI).ln()
}

/// The log-likelihood is that of y ~ Normal(Xβ, Z G Zᵀ + s I), written down densely: random designs of intercepts, slopes,
/// crossed and nested columns, some groups of one row.
#[test]
fn the_dense_joint_gaussian() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in 1..=6_u64 {
        let mut d = Draws(seed);
        let (n, users, items) = (30 + d.below(20), 4 + d.below(5), 3 + d.below(4));
        let nested = seed % 2 == 0;
        let rows: Vec<(usize, usize, f64, f64)> = (0..n)
            .map(|i| {
                let user = if i < users { i } else { d.below(users) };
                let item = if nested {
                    user % items
                } else if i < items {
                    i
                } else {
                    d.below(items)
                };
                (user, item, d.centred(), 3.0 * d.centred())
            })
            .collect();
        let users = 1 + rows.iter().map(|r| r.0).max().unwrap_or(0);
        let mut csv = "user,item,x,y\n".to_owned();
        for r in &rows {
            writeln!(csv, "{},{},{},{}", r.0 + 1, r.1 + 1, r.2, r.3).expect("text");
        }
        let data = folder.path().join(format!("{seed}.csv"));
        std::fs::write(&data, csv).expect("a file");
        let (t0, t1, rho, om, s2) = (1.3, 0.7, 0.4, 0.9, 0.6);
        let (b0, b1) = (0.5, -0.8);
        let slope = |a: &(usize, usize, f64, f64), b: &(usize, usize, f64, f64)| {
            if a.0 == b.0 {
                t0 + rho * (a.2 + b.2) + t1 * a.2 * b.2
            } else {
                0.0
            }
        };
        let item = |a: &(usize, usize, f64, f64), b: &(usize, usize, f64, f64)| if a.1 == b.1 { om } else { 0.0 };
        let vector = "param T : cov[2]\nglobal latent u[U] : real[2] ~ Normal(0, T)";
        let scalar = "param om : positive\nglobal latent v[V] : real ~ Normal(0, om)";
        let cases = [
            (vector, "u[user, 1] + u[user, 2] * x", 1.0, 0.0),
            (scalar, "v[item]", 0.0, 1.0),
            (
                &*format!("{vector}\n{scalar}"),
                "u[user, 1] + u[user, 2] * x + v[item]",
                1.0,
                1.0,
            ),
        ];
        for (i, (text, effects, by_user, by_item)) in cases.into_iter().enumerate() {
            let model = folder.path().join(format!("{seed}_{i}.lvm"));
            let users_given = if by_user > 0.0 {
                "given user : category[U]\n"
            } else {
                ""
            };
            let items_given = if by_item > 0.0 {
                "given item : category[V]\n"
            } else {
                ""
            };
            let text = format!(
                "{users_given}{items_given}given x : real\nparam b0, b1 : real\nparam s2 : positive\n{text}\n\
                 y ~ Normal(b0 + b1 * x + {effects}, s2)\n"
            );
            std::fs::write(&model, text).expect("a file");
            let start = folder.path().join("start.json");
            let values = json!({ "b0": b0, "b1": b1, "s2": s2, "om": om, "T": [[t0, rho], [rho, t1]] });
            std::fs::write(&start, values.to_string()).expect("a file");
            let v = Array::from_fn(&[n, n], |at| {
                let (a, b) = (&rows[at / n], &rows[at % n]);
                let noise = if at / n == at % n { s2 } else { 0.0 };
                by_user * slope(a, b) + by_item * item(a, b) + noise
            });
            let residual: Vec<f64> = rows.iter().map(|r| r.3 - b0 - b1 * r.2).collect();
            let (model, data, start) = (model.to_string_lossy(), data.to_string_lossy(), start.to_string_lossy());
            let fit = fitted(&[&model, &data, "--init", &start, "--max-iter", "1", "--tol", "0"]);
            let (found, expected) = (fit["trace"][0].as_f64().expect("a number"), dense(&residual, &v));
            assert!(
                (found - expected).abs() < 1e-9 * expected.abs(),
                "seed {seed}, {effects}, {users} users: {found}, not {expected}"
            );
        }
    }
}

#[test]
fn certificates_hold() {
    let mut models = 0;
    let folder = root().join("crates/lvmc/tests/groups");
    for file in std::fs::read_dir(folder).expect("models").flatten() {
        let (path, name) = (file.path(), file.file_name());
        let text = std::fs::read_to_string(&path).expect("a readable model");
        let source = Source::new(name.to_string_lossy().into_owned(), text);
        let ast = lvmc_syntax::parse(&source).expect("a model");
        let graph = lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).expect("a typed model");
        let plan = lvmc_derive::derive(&graph).unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
        let list = lvmc::certify::certify_on(&graph, &plan, 3, 40).unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
        for c in list {
            assert!(c.ok, "{name:?}: {} of {}: {} ({})", c.part, c.of, c.value, c.what);
        }
        models += 1;
    }
    assert!(models >= 8, "only {models} models");
}

#[test]
fn known_and_unknown_groups_are_predicted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (fit, new, groups) = (place("fit.json"), place("new.csv"), place("groups.csv"));
    let made = lvmc(&[&["fit", "models/random_slope.lvm"], &SLEEP[..], &["--out", &fit]].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    std::fs::write(&new, "Days,Subject\n0,308\n0,999\n10,999\n").expect("a file");
    let output = lvmc(&["predict", &fit, &new, "--groups", &groups]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("u_1,u_1_sd,u_2,u_2_sd,Reaction"));
    let rows: Vec<Vec<f64>> = lines
        .map(|l| l.split(',').map(|x| x.parse().expect("a number")).collect())
        .collect();
    // a known subject has an effect of its own, an unknown one the prior: mean β, deviation √Ω
    assert!(
        (rows[0][4] - rows[0][0]).abs() < 1e-9 && (rows[0][0] - 253.7).abs() < 1.0,
        "{rows:?}"
    );
    assert!((rows[1][4] - 251.405).abs() < 0.01, "{rows:?}");
    assert!((rows[1][1] - 565.5_f64.sqrt()).abs() < 0.1, "{rows:?}");
    assert!((rows[2][4] - 251.405 - 104.673).abs() < 0.05, "{rows:?}");
    let table = std::fs::read_to_string(&groups).expect("a table of groups");
    assert_eq!(table.lines().count(), 1 + 2 * 18);
    assert!(table.starts_with("effect,by,group,mean,sd\nu_1,group,308,"), "{table}");
    let scored = stdout(&lvmc(&["score", &fit, "data/sleepstudy.csv", "--json"]));
    assert!(scored.contains("-875.96967"), "{scored}");
    let drawn = lvmc(&["sample", &fit, "--given", "data/sleepstudy.csv"]);
    assert_eq!(stdout(&drawn).lines().count(), 181, "{}", stderr(&drawn));
}

#[test]
fn groups_without_rows_and_missing_groups() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let model = place(
        "m.lvm",
        &INTERCEPT.replace("category[G]", "category[5]").replace("u[G]", "u[5]"),
    );
    let data = place(
        "d.csv",
        "y,x,group\n1,0,1\n2,1,1\n2.5,2,2\n4,3,2\n4,4,1\n7,5,3\n5.5,6,2\n8,7,1\n",
    );
    let fit = fitted(&[&model, &data]);
    let (mean, sd) = (&fit["effects"]["u"]["mean"][4], &fit["effects"]["u"]["sd"][4]);
    let tau2 = fit["parameters"]["tau2"].as_f64().expect("a number");
    assert!(mean.as_f64().expect("a number").abs() < 1e-12, "{mean}");
    assert!(
        (sd.as_f64().expect("a number").powi(2) - tau2).abs() < 1e-9 * (1.0 + tau2),
        "{sd}"
    );
    let missing = place("missing.csv", "y,x,group\n1,0,1\n2,1,\n3,2,2\n4,2,3\n");
    let output = lvmc(&["fit", &model, &missing]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("may not be missing"), "{}", stderr(&output));
}

/// Rows in another order, groups under other names, and one thread or two: the same numbers.
#[test]
fn the_order_of_rows_and_threads_do_not_matter() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = std::fs::read_to_string(root().join("data/sleepstudy.csv")).expect("data");
    let (header, rows) = text.split_once('\n').expect("a header");
    let mut lines: Vec<&str> = rows.lines().collect();
    lines.reverse();
    let other = folder.path().join("other.csv");
    std::fs::write(&other, format!("{header}\n{}\n", lines.join("\n"))).expect("a file");
    let other = other.to_string_lossy();
    let base = [&["models/random_slope.lvm"], &SLEEP[..]].concat();
    let mut turned = base.clone();
    turned[1] = &other;
    let run = |args: &[&str], extra: &[&str]| fitted(&[args, extra].concat());
    let one = run(&base, &["--threads", "1"]);
    assert_eq!(one["parameters"], run(&base, &["--threads", "2"])["parameters"]);
    assert!((number(&one) - number(&run(&turned, &[]))).abs() < 1e-6);
    let plain = run(&base, &["--kernels", "none"]);
    assert!((number(&one) - number(&plain)).abs() < 1e-6);
}

#[test]
fn refusals_name_the_reason() {
    let head = "given g : category[G]\ngiven h : category[G]\ngiven x : real\nparam t, s : positive\n\
                global latent u[G] : real ~ Normal(0, t)\n";
    let cases = [
        ("data y : binary\ny ~ Bernoulli(sigmoid(u[g]))", "not quadratic"),
        ("data y : real\ny ~ Normal(u[g] + u[h], s)", "two different columns"),
        (
            "data y : real\nz ~ Normal(0, 1)\ny ~ Normal(u[g] + z, s)",
            "latent `z` as well",
        ),
        (
            "data y : real\nparam c : real\ny ~ Normal(u[g], exp(c * x))",
            "parameter stands inside",
        ),
        (
            "data y : real\nglobal latent v[G] : real ~ Normal(0, s)\nparam c : real\ny ~ Normal(c * u[g] + v[h], s)",
            "multiplies an effect",
        ),
    ];
    for (model, reason) in cases {
        let output = lvmc(&["check", "-e", &format!("{head}{model}")]);
        assert_eq!(output.status.code(), Some(3), "{model}: {}", stdout(&output));
        let text = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("no rule gives the posterior") && text.contains(reason),
            "{model}: {text}"
        );
    }
}

/// `for each class` inside `for each school`: the same numbers of classes in different schools are different classes.
#[test]
fn nested_blocks_are_families_of_combinations() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (reused, unique) = (place("reused.csv"), place("unique.csv"));
    let (mut a, mut b) = ("school,class,y\n".to_owned(), "school,class,y\n".to_owned());
    for i in 0..96_u32 {
        let (school, class) = (i / 12, i / 4 % 3);
        let noise = |n: u32| f64::from(n.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 - 0.5;
        let y = 5.0 + 4.0 * noise(school + 7) + 2.0 * noise(school * 3 + class + 101) + noise(i + 1009);
        a.push_str(&format!("s{school},{class},{y}\n"));
        b.push_str(&format!("s{school},s{school}c{class},{y}\n"));
    }
    std::fs::write(&reused, a).expect("a file");
    std::fs::write(&unique, b).expect("a file");
    let model = |name: &str| {
        root()
            .join("crates/lvmc/tests/groups")
            .join(name)
            .to_string_lossy()
            .into_owned()
    };
    let fit = place("fit.json");
    let log = |model: &str, data: &str| {
        let made = lvmc(&["fit", model, data, "--json", "--out", &fit]);
        assert!(matches!(made.status.code(), Some(0 | 1)), "{}", stderr(&made));
        let found: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
        found["log_likelihood"].as_f64().expect("a number")
    };
    let families = log(&model("nested.lvm"), &unique);
    let blocks = log(&model("nested_each.lvm"), &reused);
    assert!((families - blocks).abs() < 1e-6 * families.abs(), "{families} {blocks}");
    let groups = place("groups.csv");
    let predicted = lvmc(&["predict", &fit, &reused, "--groups", &groups]);
    assert!(predicted.status.success(), "{}", stderr(&predicted));
    let table = std::fs::read_to_string(&groups).expect("a table of groups");
    assert!(
        table.contains("school/class,s0/0,") && table.lines().count() == 1 + 8 + 24,
        "{table}"
    );
}
