//! Gaussian chains whose statements depend on finite latents: q(z) q(s), its certificates, and that it is called a bound.

use crate::common::{Place, fit, lvmc, root, stderr, stdout};
use lvmc_base::Source;
use lvmc_derive::{DeriveError, Missing};
use serde_json::{Value, json};

const NILE: [&str; 5] = ["data/nile.csv", "--bind", "t_in_years=year", "--bind", "y=flow"];

fn plan(text: &str) -> (lvmc_model::ModelGraph, Result<lvmc_derive::Plan, DeriveError>) {
    let source = Source::new("chain.lvm", text);
    let ast = lvmc_syntax::parse(&source).expect("a model");
    let graph = lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).expect("a typed model");
    let plan = lvmc_derive::derive(&graph);
    (graph, plan)
}

#[test]
fn certificates_hold() {
    let mut models = 0;
    let folder = root().join("crates/lvmc/tests/structured");
    for file in std::fs::read_dir(folder).expect("models").flatten() {
        let (path, name) = (file.path(), file.file_name());
        let (graph, _) = plan(&std::fs::read_to_string(&path).expect("a readable model"));
        for missing in [Missing::default(), Missing::most(&graph)] {
            let plan = lvmc_derive::derive_with(&graph, &missing).unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
            for seed in [1, 2] {
                let rows = lvmc::certify::rows(&graph, &plan);
                let list = lvmc::certify::certify_missing(&graph, &plan, &missing, seed, rows);
                for c in list.unwrap_or_else(|e| panic!("{name:?} {missing:?}: {e:?}")) {
                    let what = format!("{} of {}: {} ({})", c.part, c.of, c.value, c.what);
                    assert!(c.ok, "{name:?} {missing:?}: {what}");
                }
            }
        }
        models += 1;
    }
    assert!(models >= 11, "only {models} models");
}

/// The local level of the Nile, with a switch of the level's, the noise's or both variances.
fn nile_model(q: &str, r: &str) -> String {
    format!(
        "data y : real\nparam P[2] : simplex[2]\nparam q[2], r[2] : positive\nchain t by t_in_years {{\n  \
         k[1] ~ Categorical([0.5, 0.5])\n  k[t] ~ Categorical(P[k[t-1]])\n  s[1] ~ Normal(1000, 1e6)\n  \
         s[t] ~ Normal(s[t-1], {q})\n  y[t] ~ Normal(s[t], {r})\n}}\n"
    )
}

#[test]
fn a_switch_without_effect_leaves_the_log_likelihood() {
    let place = Place::new();
    for (name, q, r) in [
        ("level", "q[k[t]]", "r[1]"),
        ("noise", "q[1]", "r[k[t]]"),
        ("both", "q[k[t]]", "r[k[t]]"),
    ] {
        let model = place.file(&format!("{name}.lvm"), &nile_model(q, r));
        let init = json!({ "P": [[0.9, 0.1], [0.2, 0.8]], "q": [1469, 1469], "r": [15099, 15099] });
        let init = place.file("init.json", &init.to_string());
        let found = fit(&[
            &[&model[..]],
            &NILE[..],
            &["--init", &init, "--max-iter", "0", "--tol", "0"],
        ]
        .concat());
        let elbo = found["elbo"].as_f64().expect("a number");
        assert!((elbo + 640.380_540_732).abs() < 1e-8, "{name}: {elbo}");
        assert_eq!(found["log_likelihood"], Value::Null, "{name}");
        assert_eq!(found["bic"], Value::Null, "{name}");
    }
}

/// The Nile in two sequences, some cells of the first gone, the other's all or none of them.
fn gaps(gone: impl Fn(usize) -> bool, all_of_the_second: bool) -> String {
    let nile = std::fs::read_to_string(root().join("data/nile.csv")).expect("data");
    let mut out = String::from("part,year,flow\n");
    for (i, line) in nile.lines().skip(1).enumerate() {
        let (year, flow) = line.split_once(',').expect("two columns");
        let second = i >= 70;
        let gone = if second { all_of_the_second } else { gone(i) };
        let flow = if gone { "" } else { flow };
        out += &format!("{},{year},{flow}\n", u8::from(second));
    }
    out
}

/// Of every pattern of missing cells: with a switch that does nothing the bound is the exact filter's log-likelihood.
#[test]
fn missing_cells_drop_out_as_they_do_of_the_filter() {
    let place = Place::new();
    let exact = "data y : real\nparam q, r : positive\nfor each part {\nchain t by t_in_years {\n  s[1] ~ Normal(1000, 1e6)\n  \
                 s[t] ~ Normal(s[t-1], q)\n  y[t] ~ Normal(s[t], r)\n}\n}\n";
    let exact = place.file("exact.lvm", exact);
    let switched = |q: &str, r: &str| nile_model(q, r).replace("chain t", "for each part {\nchain t") + "}\n";
    // a name, whether a cell is missing, and whether all of the second sequence is
    type Pattern<'a> = (&'a str, &'a dyn Fn(usize) -> bool, bool);
    let patterns: [Pattern<'_>; 5] = [
        ("some", &|i| i % 7 < 2, false),
        ("first rows", &|i| i < 9, false),
        ("last rows", &|i| i > 55, false),
        ("a whole sequence", &|i| (20..30).contains(&i), true),
        ("all but one cell", &|i| i != 33, true),
    ];
    for (name, gone, second) in patterns {
        let data = place.file("gaps.csv", &gaps(gone, second));
        let at = |model: &str, init: Value, of: &str| {
            let init = place.file("init.json", &init.to_string());
            let binds = ["--bind", "t_in_years=year", "--bind", "y=flow"];
            let found = fit(&[
                &[model, &data][..],
                &binds,
                &["--init", &init, "--max-iter", "0", "--tol", "0"],
            ]
            .concat());
            found[of].as_f64().expect("a number")
        };
        let want = at(&exact, json!({ "q": 1469, "r": 15099 }), "log_likelihood");
        for (q, r) in [("q[k[t]]", "r[1]"), ("q[1]", "r[k[t]]"), ("q[k[t]]", "r[k[t]]")] {
            let model = place.file("model.lvm", &switched(q, r));
            let init = json!({ "P": [[0.9, 0.1], [0.2, 0.8]], "q": [1469, 1469], "r": [15099, 15099] });
            let elbo = at(&model, init, "elbo");
            assert!((elbo - want).abs() < 1e-8, "{name}, {q}, {r}: {elbo} {want}");
        }
    }
}

/// Fit, score, predictions, filled cells, draws and futures where cells are missing.
#[test]
fn a_fit_with_missing_cells_is_put_to_use() {
    let place = Place::new();
    let data = place.file("gaps.csv", &gaps(|i| (20..30).contains(&i) || i == 69, true));
    let text = nile_model("q[k[t]]", "r[1]").replace("chain t", "for each part {\nchain t") + "}\n";
    let (model, out) = (place.file("model.lvm", &text), place.path("fit.json"));
    let binds = ["--bind", "t_in_years=year", "--bind", "y=flow"];
    let found = fit(&[&[&model[..], &data], &binds[..], &["--out", &out]].concat());
    assert_eq!(found["converged"], true, "{found}");
    let elbo = found["elbo"].as_f64().expect("a number");
    let scored = lvmc(&["score", &out, &data, "--json"]);
    let scored: Value = serde_json::from_slice(&scored.stdout).expect("one JSON object");
    assert!(
        (scored["total"].as_f64().expect("a number") - elbo).abs() < 1e-5,
        "{scored} {elbo}"
    );
    let rows = |args: &[&str]| -> Vec<Vec<String>> {
        let output = lvmc(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        let text = stdout(&output);
        text.lines()
            .map(|l| l.split(',').map(str::to_owned).collect())
            .collect()
    };
    let number = |cell: &String| cell.parse::<f64>().unwrap_or_else(|_| panic!("{cell}"));
    let predicted = rows(&["predict", &out, &data]);
    assert_eq!(predicted[0].join(","), "k,k_1,k_2,k_path,s,s_sd");
    assert_eq!(predicted.len(), 101);
    // the mean of a cell is that of its level, its spread wider
    let filled = rows(&["impute", &out, &data, "--sd"]);
    assert_eq!(filled[0].join(","), "part,year,flow,flow_sd");
    for row in [21, 25, 30, 70, 75, 100] {
        let (level, sd) = (number(&predicted[row][4]), number(&predicted[row][5]));
        assert!(
            (number(&filled[row][2]) - level).abs() < 1e-6 * level.abs(),
            "row {row}"
        );
        assert!(number(&filled[row][3]) > sd, "row {row}");
    }
    assert_eq!(filled[20][3], "");
    // draws have those moments, and neighbours among them move together
    let draws = rows(&["impute", &out, &data, "--draws", "1500", "--seed", "3"]);
    let cell = |draw: usize, row: usize| number(&draws[draw * 100 + row][3]);
    for row in [21, 25, 30, 70] {
        let all: Vec<f64> = (0..1500).map(|d| cell(d, row)).collect();
        let mean = all.iter().sum::<f64>() / 1500.0;
        let sd = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1500.0).sqrt();
        let (want, spread) = (number(&filled[row][2]), number(&filled[row][3]));
        assert!(
            (mean - want).abs() < 4.0 * spread / 1500f64.sqrt(),
            "row {row}: {mean} {want}"
        );
        assert!((sd / spread - 1.0).abs() < 0.1, "row {row}: {sd} {spread}");
    }
    let again = rows(&["impute", &out, &data, "--draws", "1500", "--seed", "3"]);
    assert!(draws == again, "the same seed gives the same draws");
    let later = lvmc(&["predict", &out, &data, "--ahead", "3", "--draws", "4000"]);
    assert!(later.status.success(), "{}", stderr(&later));
    assert!(stderr(&later).contains("is a product"), "{}", stderr(&later));
    let text = stdout(&later);
    assert_eq!(text.lines().count(), 7, "{text}");
    let first: Vec<&str> = text.lines().nth(1).expect("a row").split(',').collect();
    let header: Vec<&str> = text.lines().next().expect("a header").split(',').collect();
    let at = header.iter().position(|h| *h == "s").expect("the level");
    let last = (number(&predicted[70][4]), number(&predicted[70][5]));
    let ahead: f64 = first[at].parse().expect("a number");
    assert!((ahead - last.0).abs() < 0.5 * last.1, "{text} {last:?}");
    let derived = stdout(&lvmc(&["derive", &model, "--missing", "y"]));
    assert!(derived.contains("o_y"), "{derived}");
}

/// Three columns, single cells and a whole row missing.
fn cells(place: &Place) -> String {
    let mut text = String::from("y1,y2,y3\n");
    for t in 0..40 {
        let x = |c: usize| ((t * (c + 2)) as f64 * 0.37).sin() * 2.0;
        let cell = |c: usize| {
            let gone = (t * 3 + c * 5) % 11 < 2 || t == 17;
            if gone { String::new() } else { format!("{:.4}", x(c)) }
        };
        text += &format!("{},{},{}\n", cell(0), cell(1), cell(2));
    }
    place.file("cells.csv", &text.replace("\n,,\n", "\nNA,,\n"))
}

/// Of a vector with variances element by element, and of one with a matrix.
#[test]
fn elements_of_vectors_may_be_missing() {
    let place = Place::new();
    let data = cells(&place);
    for (name, y) in [("vectors.lvm", "y=y1,y2,y3"), ("slds.lvm", "y=y1,y2")] {
        let model = format!("crates/lvmc/tests/structured/{name}");
        let out = place.path("fit.json");
        let found = fit(&[&model, &data, "--bind", y, "--max-iter", "300", "--out", &out]);
        assert!(found["elbo"].as_f64().is_some_and(f64::is_finite), "{name}: {found}");
        // draws of what is missing have the moments that q says
        let rows = |args: &[&str]| -> Vec<Vec<f64>> {
            let text = stdout(&lvmc(args));
            let number = |x: &str| x.parse().unwrap_or(f64::NAN);
            text.lines()
                .skip(1)
                .map(|l| l.split(',').map(number).collect())
                .collect()
        };
        let filled = rows(&["impute", &out, &data, "--sd"]);
        let draws = rows(&["impute", &out, &data, "--draws", "1000", "--seed", "2"]);
        for (row, known) in filled.iter().enumerate() {
            for (column, pair) in known.chunks(2).take(y.matches('y').count() - 1).enumerate() {
                let all: Vec<f64> = (0..1000).map(|d| draws[d * 40 + row][column + 1]).collect();
                let mean = all.iter().sum::<f64>() / 1000.0;
                let sd = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1000.0).sqrt();
                let [want, spread] = [pair[0], if pair[1].is_nan() { 0.0 } else { pair[1] }];
                assert!(
                    (mean - want).abs() <= 1e-9 + 5.0 * spread / 1000f64.sqrt(),
                    "{name}, row {row}, column {column}: {mean} {want} {spread}"
                );
                assert!(
                    (sd - spread).abs() <= 1e-9 + 0.15 * spread,
                    "{name}, row {row}: {sd} {spread}"
                );
            }
        }
    }
}

/// With a switch that does nothing the bound is the exact filter's log-likelihood of the same cells, matrix or not.
#[test]
fn a_matrix_with_missing_elements_is_the_filters() {
    let place = Place::new();
    let data = cells(&place);
    let model = |head: &str, switch: &str, q: &str, r: &str| {
        format!(
            "data y : real[3]\nparam A : real[2, 2]\nparam C : real[3, 2]\n{head}\nchain t {{\n{switch}  \
             s[1] : real[2] ~ Normal(0, I)\n  s[t] ~ Normal(A * s[t-1], {q})\n  y[t] ~ Normal(C * s[t], {r})\n}}\n"
        )
    };
    let (q, r) = (
        json!([[0.3, 0.1], [0.1, 0.4]]),
        json!([[0.5, 0.2, 0.1], [0.2, 0.6, -0.1], [0.1, -0.1, 0.4]]),
    );
    let (a, c) = (
        json!([[0.7, 0.3], [-0.3, 0.6]]),
        json!([[1, 0.2], [0.1, 1], [0.5, -0.5]]),
    );
    let at = |text: &str, init: Value, of: &str| {
        let (model, init) = (
            place.file("model.lvm", text),
            place.file("init.json", &init.to_string()),
        );
        let none = ["--max-iter", "0", "--tol", "0"];
        let found = fit(&[&[&model, &data, "--bind", "y=y1,y2,y3", "--init", &init][..], &none].concat());
        found[of].as_f64().unwrap_or_else(|| panic!("{found}"))
    };
    let exact = model("param Q : cov[2]\nparam R : cov[3]", "", "Q", "R");
    let want = at(&exact, json!({ "A": a, "C": c, "Q": q, "R": r }), "log_likelihood");
    let switch = "  k[1] ~ Categorical([0.5, 0.5])\n  k[t] ~ Categorical(P[k[t-1]])\n";
    let p = json!([[0.9, 0.1], [0.2, 0.8]]);
    let head = |sizes: (&str, &str)| {
        format!(
            "param P[2] : simplex[2]\nparam Q{} : cov[2]\nparam R{} : cov[3]",
            sizes.0, sizes.1
        )
    };
    for (sizes, names, q, r) in [
        (("[2]", ""), ("Q[k[t]]", "R"), json!([q, q]), r.clone()),
        (("", "[2]"), ("Q", "R[k[t]]"), q.clone(), json!([r, r])),
        (("[2]", "[2]"), ("Q[k[t]]", "R[k[t]]"), json!([q, q]), json!([r, r])),
    ] {
        let text = model(&head(sizes), switch, names.0, names.1);
        let elbo = at(&text, json!({ "A": a, "C": c, "P": p, "Q": q, "R": r }), "elbo");
        assert!((elbo - want).abs() < 1e-9 * want.abs(), "{names:?}: {elbo} {want}");
    }
}

/// With a switch that matters the bound is named in every output.
#[test]
fn a_fit_says_bound() {
    let place = Place::new();
    let model = place.file("model.lvm", &nile_model("q[k[t]]", "r[1]"));
    let out = place.path("fit.json");
    let found = fit(&[&[&model[..]], &NILE[..], &["--out", &out]].concat());
    assert_eq!(found["converged"], true);
    assert_eq!(
        found["objective_kind"],
        "evidence lower bound (structured mean field q(k) q(s))"
    );
    let elbo = found["elbo"].as_f64().expect("a number");
    // one state for all rows is among the switch's paths
    assert!(elbo > -640.381, "{elbo}");
    let text = stdout(&lvmc(&[&["fit", &model], &NILE[..]].concat()));
    assert!(
        text.contains("evidence lower bound") && !text.contains("log-likelihood"),
        "{text}"
    );
    let check = stdout(&lvmc(&["check", &model]));
    assert!(check.contains("not the log-likelihood"), "{check}");
    let derived = stdout(&lvmc(&["derive", &model]));
    assert!(derived.contains("q = q(k) q(s)"), "{derived}");
    let scored = lvmc(&["score", &out, "data/nile.csv", "--json"]);
    let scored: Value = serde_json::from_slice(&scored.stdout).expect("one JSON object");
    assert!(
        (scored["total"].as_f64().expect("a number") - elbo).abs() < 1e-5,
        "{scored} {elbo}"
    );
    assert!(scored["bound"].as_str().is_some_and(|b| b.contains("lower bound")));
    let scored = stdout(&lvmc(&["score", &out, "data/nile.csv"]));
    assert!(scored.starts_with("row,elbo\n"));
    let predicted = stdout(&lvmc(&["predict", &out, "data/nile.csv"]));
    assert_eq!(predicted.lines().next(), Some("k,k_1,k_2,k_path,s,s_sd"));
    assert_eq!(predicted.lines().count(), 101);
    let errors = lvmc(&[&["fit", &model], &NILE[..], &["--se"]].concat());
    let said = stdout(&errors) + &stderr(&errors);
    assert!(said.contains("its curvature is not the information"), "{said}");
}

/// Noise of two kinds: those rows that have the wide one are found, and the level passes them by.
#[test]
fn outliers_are_found() {
    let place = Place::new();
    let nile = std::fs::read_to_string(root().join("data/nile.csv")).expect("data");
    let mut lines: Vec<String> = nile.lines().map(str::to_owned).collect();
    for row in [20, 47, 70] {
        let (year, flow) = lines[row].split_once(',').expect("two columns");
        lines[row] = format!("{year},{}", flow.parse::<f64>().expect("a number") + 3000.0);
    }
    let data = place.file("nile.csv", &lines.join("\n"));
    let model = "data y : real\nparam w : simplex[2]\nparam q, r[2] : positive\nchain t by t_in_years {\n  \
                 k[t] ~ Categorical(w)\n  s[1] ~ Normal(1000, 1e6)\n  s[t] ~ Normal(s[t-1], q)\n  \
                 y[t] ~ Normal(s[t], r[k[t]])\n}\n";
    let model = place.file("model.lvm", model);
    let out = place.path("fit.json");
    let made = lvmc(&[
        "fit",
        &model,
        &data,
        "--bind",
        "y=flow",
        "--bind",
        "t_in_years=year",
        "--out",
        &out,
    ]);
    assert!(made.status.success(), "{}", stderr(&made));
    let predicted = stdout(&lvmc(&["predict", &out, &data]));
    let state: Vec<&str> = predicted.lines().skip(1).filter_map(|l| l.split(',').next()).collect();
    let odd: Vec<usize> = (0..100).filter(|&i| state[i] != state[0]).map(|i| i + 1).collect();
    assert_eq!(odd, [20, 47, 70]);
}

#[test]
fn the_same_on_any_number_of_threads() {
    let place = Place::new();
    let model = place.file("model.lvm", &nile_model("q[k[t]]", "r[k[t]]"));
    let of = |threads: &str| {
        let found = fit(&[&[&model[..]], &NILE[..], &["--threads", threads, "--max-iter", "60"]].concat());
        (found["parameters"].clone(), found["elbo"].clone())
    };
    assert_eq!(of("1"), of("3"));
}

#[test]
fn what_has_no_gaussian_part_is_refused() {
    let head = "data y : real\nparam q, r : positive\nparam m[2] : real\nparam p : simplex[2]\n";
    let cases = [
        (
            "chain t { k[t] ~ Categorical(p)\nz[1] ~ Normal(0, 1)\nz[t] ~ Normal(sin(z[t-1]) + m[k], q)\ny[t] ~ Normal(z[t], r) }",
            "not affine",
        ),
        (
            "chain t { k[t] ~ Categorical(p)\nz[1] ~ Normal(0, 1)\nz[t] ~ Normal(z[t-1], q)\n\
             y[t] ~ Normal(m[k], r * exp(z[t])) }",
            "it stands in a variance",
        ),
        (
            "chain t { k[t] ~ Categorical(p)\nz[1] ~ Normal(0, 1)\nz[t] ~ if k[t] == 1 then Normal(z[t-1], q) else Normal(z[t-1], 0)\n\
             y[t] ~ Normal(z[t], r) }",
            "a variance is 0",
        ),
        (
            "given u : real\nchain t { k[t] ~ Categorical(p)\nz[1] ~ Normal(0, 1)\nz[t] ~ Normal(m[k] * z[t-1], q)\n\
             y[t] ~ Normal(u[t] * z[t], r) }",
            "differs from row to row",
        ),
    ];
    for (text, reason) in cases {
        let (_, plan) = plan(&format!("{head}{text}"));
        let Err(DeriveError::NoPosterior {
            reason: found, help, ..
        }) = plan
        else {
            panic!("{text}: {plan:?}");
        };
        assert!(found.contains(reason), "{text}: {found}");
        assert!(help.contains("structured-mean-field"), "{help}");
    }
}
