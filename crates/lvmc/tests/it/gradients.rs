//! Models that are fitted by gradients: certificates, closed forms against other answers, the lecture's diffusion,
//! determinism, resuming, random models, and refusals.

use crate::common::{Numbers, Place, cells, lvmc, root, stderr, stdout};
use lvmc_base::Source;
use lvmc_derive::guided::{self, Guided};
use lvmc_model::ModelGraph;
use lvmc_runtime::gradient::problem::Known;
use lvmc_term::{Array, SymId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

fn model(name: &str) -> String {
    let path = root().join(format!("crates/lvmc/tests/gradients/{name}.lvm"));
    path.to_string_lossy().into_owned()
}

/// Certificates of a model file; `settings` are words such as `D=3`.
fn certified(path: &str, settings: &str) -> Value {
    let mut args = vec!["check", path, "--numeric", "--json"];
    for s in settings.split_whitespace() {
        args.extend(["--set", s]);
    }
    let output = lvmc(&args);
    assert!(
        output.status.success(),
        "{path}: {}{}",
        stdout(&output),
        stderr(&output)
    );
    let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let list = found["certificates"].as_array().expect("certificates");
    for part in ["native code", "objective", "gradient"] {
        assert!(list.iter().any(|c| c["part"] == part), "{path}: no {part}");
    }
    for c in list {
        assert_eq!(c["ok"], true, "{path}: {c}");
    }
    found
}

/// Each kind of net, guide, and parameter: gradients, native code, and closed forms.
#[test]
fn certificates() {
    for (name, settings) in [
        ("vae", "D=6 H=8"),
        ("autoencoder", "D=4"),
        ("autoencoder", "D=4 level=0.3"),
        ("hierarchical", "D=5"),
        ("normal_decoder", "D=5"),
        ("category_guide", "D=4"),
        ("category_then_code", "D=4"),
        ("mixture_code", "D=4"),
        ("mixture_of_regressions", "P=2"),
        ("regression", "P=3"),
        ("poisson", "P=3"),
        ("classes", "P=3"),
        ("embedded", "P=3"),
        ("layers", "D=5"),
        ("convolution", ""),
        ("shared_net", "P=3"),
        ("priors", "D=4"),
        ("chol_guide", "D=4"),
        ("shared_covariance", "D=4"),
        ("ppca_diagonal", "D=4"),
        ("ppca_full", "D=4"),
        ("ddpm", "D=2 H=16 T=50"),
        ("predicts_noise", "D=2 H=8"),
        ("predicts_data", "D=2 H=8"),
        ("predicts_v", "D=2 H=8"),
        ("arbitrary_chain", "D=3"),
        ("learned_variance", "D=2"),
        ("free_mean", "D=2"),
        ("drawn_gammas", "D=3"),
        ("gamma_poisson", ""),
        ("beta_binomial", ""),
        ("counts", "D=2"),
        ("counts", "D=2 K=4"),
    ] {
        certified(&model(name), settings);
    }
}

fn fitted(args: &[&str]) -> Value {
    let output = lvmc(&[&["fit"], args, &["--json"]].concat());
    let fine = matches!(output.status.code(), Some(0 | 1));
    assert!(fine, "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

const IRIS: [&str; 3] = ["data/iris.csv", "--bind", "x=sepal_length..petal_width"];

/// With a guide that contains the linear posterior the bound is tight: its maximum is the log-likelihood of PPCA.
#[test]
fn tight_bounds() {
    let exact = -404.962_780_156_1;
    for name in ["ppca_diagonal", "ppca_full"] {
        let fit = fitted(&[&[&*model(name)], &IRIS[..]].concat());
        let elbo = fit["elbo"].as_f64().expect("a number");
        assert!((elbo - exact).abs() < 1e-5, "{name}: {elbo}");
        // nothing is drawn
        assert_eq!(fit["training"]["error"].as_f64(), Some(0.0), "{name}");
        let plan = certified(&model(name), "D=3");
        assert!(plan.to_string().contains("every expectation in closed form"), "{name}");
    }
}

fn factorial(n: usize) -> f64 {
    (2..=n).map(|k| k as f64).product()
}

/// B(a, b) of whole numbers.
fn beta(a: usize, b: usize) -> f64 {
    factorial(a - 1) * factorial(b - 1) / factorial(a + b - 1)
}

/// Guides that contain the posterior: the maximum of the bound is the likelihood with the latent integrated out.
#[test]
fn conjugate_guides_reach_the_likelihood() {
    let place = Place::new();
    let counts = [0, 3, 1, 7, 2, 2, 10, 5, 0, 4];
    let column = counts.iter().fold("x\n".to_owned(), |s, x| s + &format!("{x}\n"));
    let kinds = [[12, 0, 0], [3, 4, 5], [1, 1, 10], [0, 7, 5], [2, 6, 4]];
    let table = kinds
        .iter()
        .fold("a,b,c\n".to_owned(), |s, [a, b, c]| s + &format!("{a},{b},{c}\n"));
    let (column, table) = (place.file("x.csv", &column), place.file("abc.csv", &table));
    // Γ(x + 2)/(Γ(2) x!) (1/3)² (2/3)ˣ
    let negative_binomial = |x: usize| (x as f64 + 1.0) / 9.0 * (2.0_f64 / 3.0).powi(x as i32);
    let beta_binomial = |x: usize| {
        let choose = factorial(10) / factorial(x) / factorial(10 - x);
        choose * beta(x + 2, 13 - x) / beta(2, 3)
    };
    // n!/Π xₖ! Γ(6)/Γ(n + 6) Π Γ(xₖ + αₖ)/Γ(αₖ), α = (1, 2, 3)
    let dirichlet_multinomial = |x: &[usize; 3]| {
        let each = |k: usize| factorial(x[k] + k) / factorial(k) / factorial(x[k]);
        factorial(12) * factorial(5) / factorial(17) * each(0) * each(1) * each(2)
    };
    let sum = |of: &dyn Fn(usize) -> f64| counts.iter().map(|&x| of(x).ln()).sum::<f64>();
    for (name, data, bind, exact) in [
        ("gamma_poisson", &column, "x=x", sum(&negative_binomial)),
        ("beta_binomial", &column, "x=x", sum(&beta_binomial)),
        (
            "dirichlet_multinomial",
            &table,
            "x=a,b,c",
            kinds.iter().map(|x| dirichlet_multinomial(x).ln()).sum(),
        ),
    ] {
        let fit = fitted(&[&model(name), data, "--bind", bind]);
        let elbo = fit["elbo"].as_f64().expect("a number");
        assert!((elbo - exact).abs() < 1e-6, "{name}: {elbo}, not {exact}");
        assert_eq!(fit["training"]["error"].as_f64(), Some(0.0), "{name}");
    }
}

/// The certificate of a model's score, which counts standard errors.
#[test]
fn scores_average_to_the_gradient() {
    for (name, settings) in [("bits", "D=3"), ("bits", "D=2 Q=5"), ("count_code", "D=3")] {
        let found = certified(&model(name), settings);
        let list = found["certificates"].as_array().expect("certificates");
        assert!(list.iter().any(|c| c["of"] == "score of q"), "{name}: {found}");
    }
}

/// Drawn bits end where summed ones do, and importance weights work with them too.
#[test]
fn drawn_bits_reach_the_enumerated_optimum() {
    let place = Place::new();
    let mut r = Numbers(7);
    let mut data = "a,b,c\n".to_owned();
    for _ in 0..300 {
        let mut bit = |p: f64| f64::from(u8::from(r.unit() < p));
        let (z, u, w) = (bit(0.3), bit(0.6), bit(0.5));
        let means = [3.0 * z - u, 2.0 * u + w, 2.5 * w - 2.0 * z * u];
        let row = means.map(|m| format!("{:.4}", m + 0.6 * r.centred()));
        let _ = writeln!(data, "{}", row.join(","));
    }
    let data = place.file("bits.csv", &data);
    let out = place.path("fit.json");
    let bound = |name: &str, more: &[&str]| -> f64 {
        let mut args = vec![model(name), data.clone(), "--bind".into(), "x=a,b,c".into()];
        args.extend(["--fit", "epochs=400", "--fit", "optimizer=adam(lr = 1e-2)"].map(String::from));
        args.extend(["--fit", "schedule=cosine", "--out", &out].map(String::from));
        args.extend(more.iter().map(|m| (*m).to_owned()));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        fitted(&args)["elbo"].as_f64().expect("a bound") / 300.0
    };
    let best = bound("bits_enumerated", &[]);
    for samples in ["samples=4", "samples=1"] {
        let found = bound("bits", &["--fit", samples]);
        // draws of both: the bound is an average of sixteen of each row
        assert!((found - best).abs() < 0.2, "{samples}: {found} and {best}");
    }
    // the bound of several draws is not the one that is reported
    bound("bits", &["--fit", "objective=importance(draws = 5)"]);
    let output = lvmc(&["score", &out, &data, "--draws", "200", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = lvmc(&["predict", &out, &data]);
    let (header, _) = cells(&stdout(&output));
    for name in ["z_1", "z_3_sd", "a_mean"] {
        assert!(header.iter().any(|h| h == name), "{header:?}");
    }
    assert!(lvmc(&["sample", &out, "-n", "5"]).status.success());
    let refused = lvmc(&[
        "fit",
        &model("bits"),
        &data,
        "--bind",
        "x=a,b,c",
        "--fit",
        "optimizer=lbfgs",
    ]);
    assert!(stderr(&refused).contains("lvm::fit::objective"), "{}", stderr(&refused));
}

// -- diffusion

fn graph(name: &str, settings: &[(&str, f64)]) -> ModelGraph {
    let text = std::fs::read_to_string(model(name)).expect("a model");
    let source = Source::new(name, text);
    let chosen = lvmc_model::Settings {
        set: settings.iter().map(|(n, x)| ((*n).to_owned(), *x)).collect(),
        ..Default::default()
    };
    let ast = lvmc_syntax::parse(&source).expect("a model");
    lvmc_model::build(&ast, &source, &chosen).unwrap_or_else(|e| panic!("{name}: {e:?}"))
}

/// The derived tables by name.
fn tables(name: &str, settings: &[(&str, f64)]) -> BTreeMap<String, Vec<f64>> {
    let graph = graph(name, settings);
    let derived: Guided = guided::derive(&graph).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let sizes = graph.dims.iter().map(|d| (d.id, d.default.unwrap_or(2))).collect();
    let known = Known::new(&graph, &derived, &sizes).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let values = |sym: SymId| known.constant(sym).map(|a: &Array| a.data.clone()).expect("a table");
    let chain = derived.noising.as_ref().expect("a chain");
    let all = chain.tables.iter();
    all.map(|t| (derived.store.sym(t.sym).name.clone(), values(t.sym)))
        .collect()
}

fn close(what: &str, t: usize, found: f64, expected: f64) {
    let error = (found - expected).abs() / (1e-3 + expected.abs());
    assert!(error < 1e-9, "{what} at t = {t}: {found} and {expected}");
}

/// Lecture, section 8: marginals, posteriors, target and weight at every t.
#[test]
fn the_lectures_tables() {
    for length in [1000, 20, 2] {
        let beta = |t: usize| 1e-4 + (0.02 - 1e-4) * (t - 1) as f64 / (length - 1) as f64;
        let found = tables("ddpm", &[("T", length as f64), ("D", 2.0)]);
        let mut bar = 1.0;
        // t stands in the formulas too
        #[allow(clippy::needless_range_loop)]
        for t in 1..=length {
            let (b, before) = (beta(t), bar);
            let alpha = 1.0 - b;
            bar *= alpha;
            let check = |name: &str, expected: f64| close(name, t, found[name][t], expected);
            check("a", alpha.sqrt());
            check("s", b);
            check("A", bar.sqrt());
            check("V", 1.0 - bar);
            check("C", alpha.sqrt() * (1.0 - before) / (1.0 - bar));
            check("E", before.sqrt() * b / (1.0 - bar));
            check("U", (1.0 - before) / (1.0 - bar) * b);
            // the net predicts the noise
            assert!(found["u"][t].abs() < 1e-9, "u at {t}: {}", found["u"][t]);
            assert!((found["w"][t] - 1.0).abs() < 1e-9, "w at {t}: {}", found["w"][t]);
            // σ² = β
            check("omega", b * b / (2.0 * b * alpha * (1.0 - bar)));
        }
    }
}

/// What the net predicts follows from the mean that is written: x₀, the noise, or v = √ᾱ ε − √(1 − ᾱ) x₀.
#[test]
fn targets_of_parametrisations() {
    let (mut bar, length) = (1.0, 50);
    let all = ["predicts_data", "predicts_noise", "predicts_v"].map(|m| tables(m, &[("D", 2.0)]));
    for t in 1..=length {
        bar *= 1.0 - (1e-4 + (0.2 - 1e-4) * (t - 1) as f64 / (length - 1) as f64);
        let expected = [(1.0, 0.0), (0.0, 1.0), (-(1.0 - bar).sqrt(), bar.sqrt())];
        for (found, (u, w)) in all.iter().zip(expected) {
            assert!((found["u"][t] - u).abs() < 1e-9, "u at {t}: {} and {u}", found["u"][t]);
            assert!((found["w"][t] - w).abs() < 1e-9, "w at {t}: {} and {w}", found["w"][t]);
        }
    }
}

/// Two half circles with noise, standardised by hand.
fn two_moons(rows: usize, seed: u64) -> String {
    let mut r = Numbers(seed);
    let mut out = "x,y\n".to_owned();
    for i in 0..rows {
        let angle = std::f64::consts::PI * r.unit();
        let (mut x, mut y) = (angle.cos(), angle.sin());
        if i % 2 == 1 {
            (x, y) = (1.0 - x, 0.5 - y);
        }
        let (x, y) = ((x - 0.5) / 0.87, (y - 0.25) / 0.5);
        let _ = writeln!(out, "{:.5},{:.5}", x + 0.06 * r.centred(), y + 0.06 * r.centred());
    }
    out
}

/// 2 E|X − Y| − E|X − X′| − E|Y − Y′|.
fn energy(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let mean = |p: &[Vec<f64>], q: &[Vec<f64>]| -> f64 {
        let all: f64 = p
            .iter()
            .flat_map(|x| q.iter().map(move |y| (x[0] - y[0]).hypot(x[1] - y[1])))
            .sum();
        all / (p.len() * q.len()) as f64
    };
    2.0 * mean(a, b) - mean(a, a) - mean(b, b)
}

/// Samples of each parametrisation lie where the data lie, with every step and with a few deterministic ones.
#[test]
fn samples_of_parametrisations() {
    let place = Place::new();
    let data = place.file("moons.csv", &two_moons(1500, 1));
    let (_, held) = cells(&two_moons(400, 2));
    // an error of x₀ costs more the less noise there is: its draws need the weights of the bound
    for (name, objective) in [
        ("predicts_noise", "simple"),
        ("predicts_data", "elbo"),
        ("predicts_v", "simple"),
    ] {
        let out = place.path("fit.json");
        let objective = format!("objective={objective}");
        fitted(&[
            &model(name),
            &data,
            "--bind",
            "x=x,y",
            "--out",
            &out,
            "--fit",
            "epochs=600",
            "--fit",
            "schedule=cosine",
            "--fit",
            &objective,
        ]);
        for steps in [None, Some("10")] {
            let mut args = vec!["sample", &*out, "-n", "400", "--seed", "3"];
            args.extend(steps.iter().flat_map(|s| ["--steps", s]));
            let output = lvmc(&args);
            assert!(output.status.success(), "{name}: {}", stderr(&output));
            let (_, drawn) = cells(&stdout(&output));
            assert_eq!(drawn.len(), 400, "{name}");
            // draws of N(0, I) are 0.2 away, other data 0.005
            let apart = energy(&held, &drawn);
            assert!(apart < 0.06, "{name} with {steps:?}: {apart}");
            // the deterministic sampler repeats itself
            assert_eq!(stdout(&lvmc(&args)), stdout(&output), "{name}");
        }
    }
}

/// The bound of a chain rises in both objectives, and with a variance of its own at every step it is higher.
#[test]
fn objectives_of_chains() {
    let place = Place::new();
    let data = place.file("moons.csv", &two_moons(600, 1));
    let bound = |name: &str, more: &[&str]| -> f64 {
        let fixed = [&*model(name), &data, "--bind", "x=x,y", "--fit", "epochs=30"];
        let fit = fitted(&[&fixed[..], more].concat());
        let trace = fit["training"]["trace"].as_array().expect("a trace");
        let at = |i: usize| trace[i].as_f64().expect("a number");
        assert!(at(trace.len() - 1) > at(0), "{name}: {trace:?}");
        fit["elbo"].as_f64().expect("a bound")
    };
    for name in ["predicts_noise", "arbitrary_chain", "free_mean", "learned_variance"] {
        bound(name, &["--fit", "objective=elbo"]);
        bound(name, &["--fit", "objective=simple"]);
    }
}

// -- the same numbers

/// Parameters and the course of a fit, without times.
fn essence(path: &str) -> (Value, Value) {
    let text = std::fs::read_to_string(path).expect("a fit");
    let fit: Value = serde_json::from_str(&text).expect("JSON");
    (fit["parameters"].clone(), fit["training"]["trace"].clone())
}

/// Models with what may differ: noise, dropout, tables of a chain, closed forms.
const SAME: [(&str, &[&str]); 6] = [
    ("drawn_gammas", &["--fit", "precision=f64"]),
    ("bits", &[]),
    ("normal_decoder", &[]),
    ("layers", &["--fit", "batch=50"]),
    (
        "mixture_code",
        &["--fit", "optimizer=sgd(lr = 1e-2, momentum = 0.9)", "--fit", "batch=32"],
    ),
    ("shared_covariance", &["--fit", "optimizer=adamw", "--fit", "samples=2"]),
];

/// Iris between 0 and 1, so that every decoder takes it.
fn unit_iris(place: &Place) -> String {
    let text = std::fs::read_to_string(root().join("data/iris.csv")).expect("iris");
    let (_, rows) = cells(&text);
    let mut out = "u1,u2,u3,u4\n".to_owned();
    for r in rows {
        let line: Vec<String> = r[..4].iter().map(|x| format!("{:.4}", x / 8.0)).collect();
        let _ = writeln!(out, "{}", line.join(","));
    }
    place.file("iris.csv", &out)
}

#[test]
fn any_number_of_threads() {
    let place = Place::new();
    let data = unit_iris(&place);
    for (name, more) in SAME {
        let mut found = vec![];
        for threads in ["1", "2", "3"] {
            let out = place.path("fit.json");
            let fixed = [&*model(name), &data, "--bind", "x=u1..u4", "--fit", "epochs=3"];
            fitted(&[&fixed[..], more, &["--threads", threads, "--out", &out]].concat());
            found.push(essence(&out));
        }
        assert_eq!(found[0], found[1], "{name}");
        assert_eq!(found[0], found[2], "{name}");
    }
}

#[test]
fn going_on_is_never_having_stopped() {
    let place = Place::new();
    let data = unit_iris(&place);
    let more: [(&str, &[&str]); 2] = [
        ("normal_decoder", &["--holdout", "0.2"]),
        ("ppca_full", &["--fit", "optimizer=adam"]),
    ];
    for (name, more) in SAME.into_iter().chain(more) {
        let (half, rest, whole) = (
            place.path("half.json"),
            place.path("rest.json"),
            place.path("whole.json"),
        );
        let path = model(name);
        let fixed = [&[&*path, &*data, "--bind", "x=u1..u4"][..], more].concat();
        fitted(&[&fixed[..], &["--fit", "epochs=3", "--out", &half]].concat());
        fitted(&[&fixed[..], &["--fit", "epochs=6", "--resume", &half, "--out", &rest]].concat());
        fitted(&[&fixed[..], &["--fit", "epochs=6", "--out", &whole]].concat());
        assert_eq!(essence(&rest), essence(&whole), "{name}");
    }
}

/// Ctrl-C ends a fit with what it has, from which it goes on.
#[cfg(unix)]
#[test]
fn interrupted() {
    let place = Place::new();
    let (data, out) = (unit_iris(&place), place.path("fit.json"));
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_lvmc"))
        .args(["fit", &model("normal_decoder"), &data, "--bind", "x=u1..u4", "--quiet"])
        .args(["--fit", "epochs=100000000", "--out", &out])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("lvmc runs");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let id = child.id().to_string();
    let _ = std::process::Command::new("kill").args(["-INT", &id]).status();
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(130));
    let (_, trace) = essence(&out);
    let done = trace.as_array().expect("a trace").len();
    let epochs = format!("epochs={}", done + 2);
    let fixed = [&*model("normal_decoder"), &data, "--bind", "x=u1..u4", "--fit", &epochs];
    fitted(&[&fixed[..], &["--resume", &out, "--out", &out]].concat());
    let (_, after) = essence(&out);
    assert_eq!(after.as_array().map(Vec::len), Some(done + 2));
    assert_eq!(after.as_array().map(|a| a[..done].to_vec()), trace.as_array().cloned());
}

fn numbers(v: &Value, out: &mut Vec<f64>) {
    match v {
        Value::Number(x) => out.extend(x.as_f64()),
        Value::Array(all) => all.iter().for_each(|x| numbers(x, out)),
        Value::Object(all) => all.values().for_each(|x| numbers(x, out)),
        _ => {}
    }
}

/// The interpreter's fit, in double precision.
#[test]
fn interpreter_and_native_code() {
    let place = Place::new();
    let data = unit_iris(&place);
    for (name, more) in SAME {
        let fixed = [
            &*model(name),
            &data,
            "--bind",
            "x=u1..u4",
            "--fit",
            "epochs=3",
            "--fit",
            "precision=f64",
        ];
        let mut found = [vec![], vec![]];
        for (how, out) in [&[][..], &["--interpret"]].into_iter().zip(&mut found) {
            numbers(&fitted(&[&fixed[..], more, how].concat())["parameters"], out);
        }
        assert_eq!(found[0].len(), found[1].len(), "{name}");
        for (a, b) in found[0].iter().zip(&found[1]) {
            assert!((a - b).abs() < 1e-10 * (1.0 + a.abs()), "{name}: {a} and {b}");
        }
    }
}

// -- random models

/// A choice.
fn pick<'a>(r: &mut Numbers, from: &[&'a str]) -> &'a str {
    from[(r.unit() * from.len() as f64) as usize % from.len()]
}

/// Layers of a net with input `x` of `width` numbers: lines, and the last one's name.
fn layers(r: &mut Numbers, input: &str) -> (String, String) {
    let (mut lines, mut last) = (String::new(), input.to_owned());
    for i in 0..1 + (r.unit() * 3.0) as usize {
        let name = format!("h{i}");
        let act = pick(
            r,
            &["tanh", "silu", "gelu", "softplus", "sigmoid", "softmax", "identity"],
        );
        let line = match (r.unit() * 8.0) as usize {
            0 => format!("layernorm({last})"),
            1 if i > 0 => format!("residual({last}, H, {act})"),
            2 => format!("dropout({last}, 0.25)"),
            3 => format!("dense(concat({last}, {input}), H, {act})"),
            4 => format!("{act}(dense({last}, H)) * 0.5"),
            _ => format!("dense({last}, H, {act})"),
        };
        let _ = writeln!(lines, "  {name} = {line}");
        // a residual sum needs H numbers
        last = if line.contains("dense") || line.contains("residual") || last != input {
            name
        } else {
            let _ = writeln!(lines, "  g{i} = dense({name}, H, {act})");
            format!("g{i}")
        };
    }
    (lines, last)
}

fn random_model(r: &mut Numbers) -> String {
    let (q, h, k) = (
        1 + (r.unit() * 3.0) as usize,
        3 + (r.unit() * 4.0) as usize,
        2 + (r.unit() * 2.0) as usize,
    );
    let category = pick(r, &["none", "none", "guide", "left out"]);
    let data = pick(r, &["binary", "normal", "normal", "diagonal", "poisson"]);
    let spread = pick(r, &["diag", "diag", "scalar", "chol", "shared", "sd"]);
    let mut m = format!("dim Q = {q}, H = {h}, K = {k}\n");
    let (lines, last) = layers(r, "z");
    let out = match data {
        "binary" => "p : unit[D]",
        "diagonal" => "p : real[D], v : positive[D]",
        "poisson" => "p : positive[D]",
        _ => "p : real[D]",
    };
    let act = match data {
        "binary" => ", sigmoid",
        "poisson" => ", softplus",
        _ => "",
    };
    let _ = write!(
        m,
        "net decoder(z : real[Q]) -> {out} {{\n{lines}  p = dense({last}, D{act})\n"
    );
    if data == "diagonal" {
        let _ = writeln!(m, "  v = dense({last}, D, softplus)");
    }
    m += "}\n";
    let (lines, last) = layers(r, "x");
    let mut outs = vec!["m : real[Q]"];
    let mut body = format!("  m = dense({last}, Q)\n");
    let mut names = vec!["m"];
    match spread {
        "diag" => {
            outs.push("v : positive[Q]");
            names.push("v");
            let _ = writeln!(body, "  v = dense({last}, Q, exp)");
        }
        "scalar" | "sd" => {
            outs.push("v : positive");
            names.push("v");
            let _ = writeln!(body, "  v = dense({last}, 1, softplus)");
        }
        "chol" => {
            outs.push("l : real[Q, Q]");
            names.push("l");
            let _ = writeln!(body, "  l = reshape(dense({last}, {}), Q, Q)", q * q);
        }
        _ => m += "param S : cov[Q]\n",
    }
    if category == "guide" {
        outs.push("c : simplex[K]");
        names.push("w");
        let _ = writeln!(body, "  c = dense({last}, K, softmax)");
    }
    let _ = write!(
        m,
        "net encoder(x : real[D]) -> {} {{\n{lines}{body}}}\n",
        outs.join(", ")
    );
    if category == "none" {
        m += pick(
            r,
            &[
                "z ~ Normal(0, I[Q])\n",
                "param a : real[Q]\nparam t : positive[Q]\nz ~ Normal(a, diag(t))\n",
                "param T : cov[Q] ~ InverseWishart(6, I)\nz ~ Normal(0, T)\n",
            ],
        );
    } else {
        m += "param pi : simplex[K]\nparam mu[K] : real[Q]\nparam t[K] : positive\n";
        m += "k ~ Categorical(pi)\nz ~ Normal(mu[k], t[k] * I)\n";
    }
    m += match data {
        "binary" => "x ~ Bernoulli(decoder(z))\n",
        "normal" => "param s : positive ~ Gamma(2, 1)\nx ~ Normal(decoder(z), s * I)\n",
        "diagonal" => "a1, b1 = decoder(z)\nx ~ Normal(a1, diag(b1))\n",
        _ => "x ~ Poisson(decoder(z))\n",
    };
    let _ = writeln!(m, "guide {{\n  {} = encoder(x)", names.join(", "));
    if category == "guide" {
        m += "  k ~ Categorical(w)\n";
    }
    m += match spread {
        "diag" => "  z ~ Normal(m, diag(v))\n",
        "scalar" => "  z ~ Normal(m, v * I)\n",
        "sd" => "  z ~ Normal(m, v^2 * I)\n",
        "chol" => "  z ~ Normal(m, chol = l)\n",
        _ => "  z ~ Normal(m, S)\n",
    };
    m + "}\n"
}

/// Random nets, guides and decoders: gradients against differences, native code against the interpreter, closed forms
/// against draws. `LVMC_MODELS=n` asks for more of them, `LVMC_SEED=s` for others.
#[test]
fn random_models() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|x| x.parse().ok()).unwrap_or(default);
    let (models, seed) = (number("LVMC_MODELS", 25), number("LVMC_SEED", 1));
    let place = Place::new();
    for i in 0..models {
        let text = random_model(&mut Numbers(seed * 1_000_003 + i));
        let path = place.file("random.lvm", &text);
        let output = lvmc(&["check", &path, "--numeric", "--json", "--set", "D=3"]);
        assert!(
            output.status.success(),
            "{text}\n{}{}",
            stdout(&output),
            stderr(&output)
        );
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        for c in found["certificates"].as_array().expect("certificates") {
            assert_eq!(c["ok"], true, "{c}\n{text}");
        }
    }
}

// -- refusals

const ENCODER: &str = "dim Q = 2, H = 4\n\
    net decoder(z : real[Q]) -> p : unit[D] {\n  h = dense(z, H, relu)\n  p = dense(h, D, sigmoid)\n}\n\
    net encoder(x : real[D]) -> m : real[Q], v : positive[Q] {\n  h = dense(x, H, relu)\n  m = dense(h, Q)\n  \
    v = dense(h, Q, exp)\n}\n";

/// Models that cannot be: a code and a word of the message.
#[test]
fn refused_models() {
    let place = Place::new();
    let line = "net f(z : real) -> p : unit[D] {\n  p = dense(z, D, sigmoid)\n}\n";
    let chain = |guide: &str| {
        format!(
            "dim T = 5\nparam b : positive\nconst s[t in 1..T] = t - 1\ndata x[0] : real[D]\n\
             net f(x : real[D], t : int) -> e : real[D] {{ e = dense(x, D) }}\n\
             chain t in T..1 {{\n  x[T]   ~ Normal(0, I)\n  x[t-1] ~ Normal(f(x[t], t), b * I)\n}}\n\
             guide {{ chain t in 1..T {{ {guide} }} }}\n"
        )
    };
    for (text, code, word) in [
        (
            format!(
                "{ENCODER}z ~ Normal(0, I[Q])\nw ~ Normal(0, I[Q])\nx ~ Bernoulli(decoder(z + w))\nguide {{ m, v = encoder(x)\n z ~ Normal(m, diag(v)) }}"
            ),
            "lvm::model::guide_misses",
            "`w`",
        ),
        (
            format!(
                "{ENCODER}z ~ Normal(0, I[Q])\nx ~ Bernoulli(decoder(z))\nguide {{ m, v = encoder(x)\n z ~ Normal(m, diag(v))\n u ~ Normal(0, 1) }}"
            ),
            "lvm::model::guide_extra",
            "noise u",
        ),
        (
            format!(
                "{ENCODER}z ~ Normal(0, I[3])\nx ~ Bernoulli(decoder(z))\nguide {{ m, v = encoder(x)\n z ~ Normal(m, diag(v)) }}"
            ),
            "lvm::model::shape_mismatch",
            "length 3",
        ),
        (
            format!("{line}z ~ Exponential(1)\nx ~ Bernoulli(f(z))\nparam m : real\nguide {{ z ~ Normal(m, 1) }}"),
            "lvm::derive::no_posterior",
            "mass",
        ),
        (
            format!("{line}z ~ Beta(1, 1)\nx ~ Bernoulli(f(z))\nparam m : positive\nguide {{ z ~ Exponential(m) }}"),
            "lvm::derive::no_posterior",
            "mass",
        ),
        (
            format!("{line}z ~ Flat()\nx ~ Bernoulli(f(z))\nguide {{ z ~ Flat() }}"),
            "lvm::derive::no_posterior",
            "noise",
        ),
        (
            format!(
                "{line}z ~ Normal(0, 1)\nw ~ Normal(z, 1)\nx ~ Bernoulli(f(w))\nguide {{ z ~ Normal(w, 1)\n w ~ Normal(z, 1) }}"
            ),
            "lvm::derive::no_posterior",
            "circle",
        ),
        (
            format!(
                "{ENCODER}global latent t : real ~ Normal(0, 1)\nz ~ Normal(t, I[Q])\nx ~ Bernoulli(decoder(z))\nguide {{ m, v = encoder(x)\n z ~ Normal(m, diag(v)) }}"
            ),
            "lvm::model::guide_misses",
            "`t`",
        ),
        (
            chain("x[t] ~ Normal(tanh(x[t-1]), I)"),
            "lvm::derive::missing_rule",
            "noising-chain",
        ),
        (
            chain("x[t] ~ Normal(0.9 * x[t-1] + 1, I)"),
            "lvm::derive::missing_rule",
            "noising-chain",
        ),
        (
            chain("x[t] ~ Normal(0.9 * x[t-1], b * I)"),
            "lvm::derive::missing_rule",
            "parameters",
        ),
        (
            chain("x[t] ~ Normal(0.9 * x[t-1], s[t] * I)"),
            "lvm::fit::chain",
            "t = 1",
        ),
    ] {
        let path = place.file("bad.lvm", &text);
        let output = lvmc(&["check", &path, "--numeric", "--set", "D=3"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{text}\n{said}");
        assert!(said.contains(code) && said.contains(word), "{text}\n{said}");
    }
}

/// Data and options that cannot be.
#[test]
fn refused_fits() {
    let place = Place::new();
    let model = place.file(
        "vae.lvm",
        &format!("{ENCODER}z ~ Normal(0, I[Q])\nx ~ Bernoulli(decoder(z))\nguide {{\n  m, v = encoder(x)\n  z ~ Normal(m, diag(v))\n}}\n"),
    );
    let fine = place.file("fine.csv", "a,b\n0,1\n0.5,0.2\n1,1\n0.1,0.9\n");
    let wide = place.file("wide.csv", "a,b\n0,1\n0.5,255\n");
    let words = place.file("words.csv", "a,b\n0,1\n0.5,red\n");
    let empty = place.file("empty.csv", "a,b\n0,\n0.5,nan\n1,\n");
    for (data, more, exit, word) in [
        (&wide, &[][..], 4, "above 1"),
        (&words, &[], 4, "red"),
        (&empty, &[], 4, "`b`"),
        (&fine, &["--fit", "optimizer=adma"], 2, "adam"),
        (&fine, &["--fit", "optimizer=adam(rate = 1)"], 2, "lr"),
        (&fine, &["--fit", "optimizer=adam(lr = -1)"], 2, "positive"),
        (&fine, &["--fit", "objective=simple"], 2, "elbo"),
        (&fine, &["--fit", "objective=banana"], 2, "importance"),
        (&fine, &["--fit", "batch=0"], 2, "whole number"),
        (&fine, &["--fit", "epochs=half"], 2, "number"),
        (&fine, &["--fit", "banana=2"], 2, "banana"),
        (&fine, &["--resume", "no_such_fit.json"], 2, "no_such_fit.json"),
        (&fine, &["--resume", &fine], 2, "fine.csv"),
    ] {
        let output = lvmc(&[&["fit", &model, data, "--bind", "x=a,b", "--fit", "epochs=2"], more].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{more:?}\n{said}{}", stdout(&output));
        assert!(said.contains(word), "{more:?}\n{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// Learning rates that diverge are halved, or stop the fit with advice; no fit holds what is not a number.
#[test]
fn learning_rates_that_diverge() {
    let place = Place::new();
    let data = unit_iris(&place);
    for name in ["normal_decoder", "vae", "regression", "ppca_full"] {
        for optimiser in [
            "sgd(lr = 1e6)",
            "sgd(lr = 10)",
            "adam(lr = 1e3)",
            "sgd(lr = 1, momentum = 0.99)",
        ] {
            let out = place.path("fit.json");
            let _ = std::fs::remove_file(&out);
            let bind = match name {
                "regression" => ["--bind", "x=u1..u3", "--bind", "y=u4"],
                _ => ["--bind", "x=u1..u4", "--seed", "1"],
            };
            let option = format!("optimizer={optimiser}");
            let path = model(name);
            let args = [
                &[
                    "fit", &path, &data, "--fit", &option, "--fit", "epochs=8", "--out", &out,
                ],
                &bind[..],
            ]
            .concat();
            let output = lvmc(&args);
            let said = stderr(&output) + &stdout(&output);
            match output.status.code() {
                Some(5) => assert!(
                    said.contains("optimizer") || said.contains("clip"),
                    "{name} {optimiser}: {said}"
                ),
                Some(0 | 1) => {
                    let (parameters, trace) = essence(&out);
                    for part in [parameters, trace] {
                        let text = part.to_string();
                        assert!(
                            !text.contains("[null") && !text.contains(",null"),
                            "{name} {optimiser}: {text}"
                        );
                    }
                }
                code => panic!("{name} {optimiser}: {code:?}\n{said}"),
            }
        }
    }
}
