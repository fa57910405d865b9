//! The whole way, from a model's text and a CSV file to predictions, in the interpreter and with native code.

use lvmc_base::Source;
use lvmc_loops::lower::lower;
use lvmc_loops::lowered::Lowered;
use lvmc_loops::{Interpreter, Machine};
use lvmc_model::ModelGraph;
use lvmc_runtime::apply::Model;
use lvmc_runtime::bind::{self, Binding, Options};
use lvmc_runtime::data::{Table, read, read_from};
use lvmc_runtime::dataset::{Dataset, LoadOptions, load};
use lvmc_runtime::engine::Compiled;
use lvmc_runtime::fit::{Hooks, Settings, fit};
use lvmc_runtime::result::{Circumstances, Fit, summarise};
use lvmc_runtime::{fitfile, predict, sample, score, terms};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GMM: &str = "param pi : simplex[K]\nparam mu[K] : real[D]\nparam Sigma[K] : cov[D]\n\
                   z ~ Categorical(pi)\nx ~ Normal(mu[z], Sigma[z])";

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(file)
}

struct Run {
    graph: ModelGraph,
    lowered: Lowered,
    program: Arc<lvmc_loops::ir::Program>,
    machine: Box<dyn Machine>,
    binding: Binding,
    data: Dataset,
    fit: Fit,
}

fn graph(text: &str, set: &[(&str, f64)]) -> ModelGraph {
    let source = Source::new("test.lvm", text);
    let ast = lvmc_syntax::parse(&source).expect("syntax");
    let settings = lvmc_model::Settings {
        set: set.iter().map(|(n, v)| ((*n).to_string(), *v)).collect(),
        ..lvmc_model::Settings::default()
    };
    lvmc_model::build(&ast, &source, &settings).expect("a model")
}

fn run(text: &str, set: &[(&str, f64)], table: Table, binds: &[&str], settings: &Settings, native: bool) -> Run {
    let graph = graph(text, set);
    let options = Options {
        binds: binds.iter().map(|b| (*b).to_string()).collect(),
        ..Options::default()
    };
    let binding = bind::bind(&graph, &table, &options).expect("a binding");
    let plan = lvmc_derive::derive(&graph).expect("a plan");
    let sizes: HashMap<_, _> = binding.sizes.iter().map(|(&d, &n)| (d, n)).collect();
    let lowered = lower(&graph, &plan, &sizes).expect("a program");
    let program = Arc::new(lowered.program.clone());
    let machine: Box<dyn Machine> = if native {
        Box::new(lvmc_jit::compile(&program, &lvmc_loops::Options::default()).expect("native code"))
    } else {
        Box::new(Interpreter::new(program.clone()))
    };
    let data = load(&lowered, &graph, &binding, table, &LoadOptions::default()).expect("data");
    let consts = terms::constants(&graph, &binding.sizes);
    let compiled = Compiled {
        lowered: &lowered,
        program: &program,
        machine: &*machine,
        consts: &consts,
        floor: 1e-8,
    };
    let fitted = fit(compiled, &data, settings, Hooks::default()).expect("a fit");
    let fit = summarise(
        &graph,
        &lowered,
        &binding,
        &data,
        &fitted,
        settings,
        Circumstances::default(),
    );
    Run {
        graph,
        lowered,
        program,
        machine,
        binding,
        data,
        fit,
    }
}

fn model(r: &Run) -> Model<'_> {
    Model {
        graph: &r.graph,
        lowered: &r.lowered,
        program: &r.program,
        machine: &*r.machine,
        fit: &r.fit,
        threads: 1,
    }
}

fn quick() -> Settings {
    Settings {
        rounds: 1,
        starts: 4,
        threads: 1,
        ..Settings::default()
    }
}

fn faithful() -> Table {
    read(&data("faithful.csv")).expect("faithful")
}

#[test]
fn a_mixture_is_fitted_kept_and_used() {
    let r = run(GMM, &[("K", 2.0)], faithful(), &[], &quick(), false);
    let ll = r.fit.log_likelihood.expect("a likelihood");
    assert!((ll + 1_130.263_960_184_8).abs() < 1e-4, "{ll}");
    assert_eq!((r.fit.free_parameters, r.fit.rows, r.fit.converged), (11, 272, true));
    assert!((r.fit.bic.expect("BIC") - 2_322.191_7).abs() < 1e-3);
    assert_eq!(
        r.fit.parameter("Sigma").expect("Sigma").axes[1],
        ["eruptions", "waiting"]
    );
    assert_eq!(r.data.rows, r.binding.rows);

    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("fit.json");
    fitfile::write(&path, &r.fit).expect("written");
    assert_eq!(fitfile::read(&path).expect("read"), r.fit, "every number survives");
    assert_eq!(fitfile::read_init(&path, &r.lowered).ok(), r.fit.values(&r.lowered));

    let s = score::score(model(&r), faithful(), &[]).expect("scores");
    assert!((s.total - ll).abs() < 1e-8 && s.rows.len() == 272);

    let p = predict::predict(model(&r), faithful(), &[]).expect("predictions");
    assert_eq!(p.header, ["z", "z_1", "z_2"]);
    let mut csv = Vec::new();
    p.write(&mut csv).expect("CSV");
    assert_eq!(csv.iter().filter(|b| **b == b'\n').count(), 273);

    let draw = |rows| {
        let mut csv = Vec::new();
        let request = sample::Request {
            rows,
            seed: 5,
            ..sample::Request::default()
        };
        sample::sample(&r.graph, &r.fit, None, &request, &mut csv).expect("draws");
        csv
    };
    let again = read_from(&draw(500)[..], "draws").expect("a table");
    assert_eq!(
        (again.rows, again.names().collect::<Vec<_>>()),
        (500, vec!["eruptions", "waiting"])
    );
    let mean = again.columns[1].as_numbers().expect("numbers").iter().sum::<f64>() / 500.0;
    assert!((mean - 70.9).abs() < 2.5, "{mean}");
    assert!(
        draw(500).starts_with(&draw(10)),
        "row i depends on the seed and i alone"
    );
}

#[test]
fn native_code_gives_the_same_fit() {
    let (a, b) = (
        run(GMM, &[("K", 2.0)], faithful(), &[], &quick(), false),
        run(GMM, &[("K", 2.0)], faithful(), &[], &quick(), true),
    );
    let (x, y) = (a.fit.objective, b.fit.objective);
    assert!((x - y).abs() < 1e-8 * x.abs(), "{x} {y}");
}

#[test]
fn a_regression_predicts_the_mean_of_an_absent_column() {
    let text = "given x : real[D]\ndata y : real\nparam w : real[D]\nparam b : real\nparam s : positive\n\
                y ~ Normal(dot(w, x) + b, s)";
    let table = read(&data("diabetes_std.csv")).expect("diabetes");
    let r = run(text, &[], table.clone(), &["y=target"], &quick(), true);
    let ll = r.fit.log_likelihood.expect("a likelihood");
    assert!((ll + 2_385.992_862_1).abs() < 1e-4, "{ll}");
    assert_eq!(r.fit.elbo, None);
    let mut without = table.clone();
    without.columns.pop();
    let p = predict::predict(model(&r), without, &[]).expect("predictions");
    assert_eq!(p.header, ["target"]);
    let (w, b) = (r.fit.parameter("w").expect("w"), r.fit.parameter("b").expect("b"));
    let wanted: f64 = b.values[0]
        + w.values
            .iter()
            .zip(&table.columns)
            .filter_map(|(w, c)| Some(w * c.as_numbers()?.get(3)?))
            .sum::<f64>();
    assert!(matches!(p.columns[0][3], predict::Cell::Number(m) if (m - wanted).abs() < 1e-9));
    assert!(
        score::score(
            model(&r),
            {
                let mut t = table;
                t.columns.pop();
                t
            },
            &[]
        )
        .is_err(),
        "no y, no likelihood"
    );
}

#[test]
fn classes_keep_their_labels() {
    let text = "data y : category[K]\ndata x : real[D]\nparam pi : simplex[K]\nparam mu[K] : real[D]\nparam Sigma : cov[D]\n\
                y ~ Categorical(pi)\nx ~ Normal(mu[y], Sigma)";
    let table = read(&data("iris.csv")).expect("iris");
    let r = run(
        text,
        &[],
        table.clone(),
        &["y=target", "x=sepal_length..petal_width"],
        &quick(),
        false,
    );
    let ll = r.fit.log_likelihood.expect("a likelihood");
    assert!((ll + 263.203_743_274).abs() < 1e-4, "{ll}");
    assert_eq!(r.fit.parameter("mu").expect("mu").axes[0], ["0", "1", "2"]);
    let mut without = table;
    without.columns.pop();
    let p = predict::predict(model(&r), without, &[]).expect("predictions");
    assert_eq!(p.header, ["y", "y_0", "y_1", "y_2"]);
    assert_eq!(p.columns[0][0].to_string(), "0");
    assert_eq!(p.columns[0][149].to_string(), "2");
}

#[test]
fn a_duplicate_row_is_a_row_of_weight_two() {
    let text = "param pi : simplex[K]\nparam rate[K] : positive\nz ~ Categorical(pi)\ny ~ Poisson(rate[z])";
    let csv = |weights: bool| {
        let mut out = String::from(if weights { "y,w\n" } else { "y\n" });
        for i in 0..40 {
            let y = if i % 3 == 0 { 2 + i % 5 } else { 15 + i % 7 };
            let line = if weights {
                format!("{y},2\n")
            } else {
                format!("{y}\n{y}\n")
            };
            out += &line;
        }
        read_from(out.as_bytes(), "counts").expect("a table")
    };
    let weighted = {
        let mut t = csv(true);
        t.columns[1].name = "w".into();
        t
    };
    let plain = run(text, &[("K", 2.0)], csv(false), &[], &quick(), false);
    let mut with = String::from(text);
    with += "\nweight w";
    let heavy = run(&with, &[("K", 2.0)], weighted, &["y=y"], &quick(), false);
    let (a, b) = (plain.fit.objective, heavy.fit.objective);
    assert!((a - b).abs() < 1e-6 * a.abs(), "{a} {b}");
    assert!((plain.fit.bic.expect("BIC") - heavy.fit.bic.expect("BIC")).abs() < 1e-3);
}
