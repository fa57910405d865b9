//! Tables, binding and types: what is read, what is refused, and with which words.

use lvmc_base::Source;
use lvmc_model::ModelGraph;
use lvmc_runtime::bind::{Options, bind};
use lvmc_runtime::data::{Cells, DataError, Table, read, read_from};
use std::fmt::Write;

fn table(text: &str) -> Result<Table, DataError> {
    read_from(text.as_bytes(), "data.csv")
}

fn graph(text: &str) -> ModelGraph {
    let source = Source::new("test.lvm", text);
    let ast = lvmc_syntax::parse(&source).expect("syntax");
    lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).expect("a model")
}

fn options(binds: &[&str]) -> Options {
    Options {
        binds: binds.iter().map(|b| (*b).to_string()).collect(),
        ..Options::default()
    }
}

/// A diagnostic as a snapshot: code, exit, message, help.
fn show(e: &DataError) -> String {
    use miette::Diagnostic;
    let code = e.code().map(|c| c.to_string()).unwrap_or_default();
    let help = e.help().map(|h| h.to_string()).unwrap_or_default();
    format!(
        "{code} (exit {})\n  {e}\n  help: {}",
        e.exit() as u8,
        help.replace('\n', "\n        ")
    )
}

#[test]
fn the_forms_of_a_table() {
    let plain = table("a,b\n1,2\n3,4\n").expect("a table");
    for text in [
        "a,b\r\n1,2\r\n3,4\r\n",
        "\u{feff}a,b\n1,2\n3,4",
        "\"a\",\"b\"\n\"1\",2\n3,\"4\"\n",
        "a, b\n 1 ,2\n3, 4\n",
        "\na,b\n1,2\n\n3,4\n\n",
        "a\tb\n1\t2\n3\t4\n",
        "a;b\n1;2\n3;4\n",
    ] {
        assert_eq!(table(text).expect(text), plain, "{text:?}");
    }
    let t = table("x,label,n\n1,\"a, b\",NA\n,c,2\nNaN,\"a, b\",nan\n").expect("a table");
    assert_eq!(t.columns[0].missing(), (2, Some(1)));
    assert_eq!(t.columns[2].missing(), (2, Some(0)));
    let Cells::Text { codes, words, first } = &t.columns[1].cells else {
        panic!("text")
    };
    assert_eq!(
        (codes.iter().collect::<Vec<_>>(), words.len(), *first),
        (vec![0, 1, 0], 2, 0)
    );
}

/// Of a file's only column an empty line is a missing cell, whatever ends the lines; the end of the file is none.
#[test]
fn an_empty_line_of_one_column_is_a_missing_cell() {
    let column = |text: &str| -> Vec<f64> {
        let t = table(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        match &t.columns[0].cells {
            Cells::Numbers(xs) => xs.iter().collect(),
            Cells::Text { .. } => panic!("{text:?} is text"),
        }
    };
    let shown = |text: &str| -> String {
        let cells = column(text);
        let show = |x: &f64| if x.is_nan() { "-".into() } else { x.to_string() };
        cells.iter().map(show).collect::<Vec<String>>().join(" ")
    };
    assert_eq!(shown("y\n1\n\n3\n"), "1 - 3");
    assert_eq!(shown("y\n\n1\n\n\n3"), "- 1 - - 3");
    assert_eq!(shown("y\r\n1\r\n\r\n3\r\n\r\n"), "1 - 3");
    assert_eq!(shown("\u{feff}y\n1\n \nNA\n3\n\n\n"), "1 - - 3");
    assert_eq!(
        shown("\"y\"\n\"1\"\n\n\"\"\n\n"),
        "1 - -",
        "quotes say that there is a cell"
    );
    // ends of lines inside quotes are text, and a row begins after them
    let words = table("w\n\"a\n\nb\"\n\nc\n").expect("a table");
    assert_eq!(words.rows, 3);
    // of several columns an empty line is no row
    assert_eq!(table("a,b\n1,2\n\n3,4\n\n").expect("a table").rows, 2);
    assert!(matches!(table("y\n\n\n"), Err(DataError::NoRows { .. })));
    // the second reading of a column that began as numbers sees the same rows
    let mut late = String::from("id\n");
    (0..50).for_each(|i| late += if i % 5 == 3 { "\n" } else { "007\n" });
    let late = late + "x7\n";
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &late).expect("a writable file");
    let t = read(file.path()).expect("a table");
    assert_eq!(t.rows, 51);
    assert!(matches!(&t.columns[0].cells, Cells::Text { words, .. } if words[0] == "007"));
}

#[test]
fn text_that_begins_with_numbers_keeps_its_zeros() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("codes.csv");
    std::fs::write(&path, "id,x\n007,1\n,2\n1e3,3\nA12,4\n").expect("written");
    let t = read(&path).expect("a table");
    let shown: Vec<String> = (0..4).map(|r| t.columns[0].show(r)).collect();
    assert_eq!(shown, ["007", "missing", "1e3", "A12"]);
}

#[test]
fn a_million_rows_are_read_quickly() {
    let mut text = String::from("a,b,c\n");
    for i in 0..200_000 {
        let _ = writeln!(text, "{}.{:03},{},{}", i % 97, i % 1000, i, f64::from(i).sqrt());
    }
    let start = std::time::Instant::now();
    let t = table(&text).expect("a table");
    assert_eq!(t.rows, 200_000);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn bad_files() {
    let mut out = String::new();
    for text in [
        "",
        " \n \n",
        "a,b\n",
        "1,2\n3,4\n",
        "a,b\n1,2\n3\n",
        "a,b\n1,2\n3,4,5\n",
        "a\u{0},b\n1,2\n",
    ] {
        let e = table(text).expect_err(text);
        let _ = writeln!(out, "{text:?}\n{}\n", show(&e));
    }
    let e = read_from(&b"a,b\n1,\xff\xfe\n"[..], "data.csv").expect_err("no UTF-8");
    let _ = writeln!(out, "{}\n", show(&e));
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("faithful.csv"), "a\n1\n").expect("written");
    let e = read(&dir.path().join("faithfull.csv")).expect_err("no such file");
    let _ = writeln!(
        out,
        "{}\n",
        show(&e).replace(&dir.path().display().to_string(), "FOLDER")
    );
    let e = read(dir.path()).expect_err("a folder");
    let _ = writeln!(
        out,
        "{}\n",
        show(&e).replace(&dir.path().display().to_string(), "FOLDER")
    );
    insta::assert_snapshot!(out);
}

const GMM: &str = "dim K = 2\nparam pi : simplex[K]\nparam mu[K] : real[D]\nparam Sigma[K] : cov[D]\n\
                   z ~ Categorical(pi)\nx ~ Normal(mu[z], Sigma[z])";

#[test]
fn columns_find_their_variables() {
    let names = |model: &str, csv: &str, binds: &[&str]| {
        let b = bind(&graph(model), &table(csv).expect("a table"), &options(binds)).expect("a binding");
        format!("{:?} {:?}", b.describe(), b.remarks)
    };
    let mut out = String::new();
    for (model, csv, binds) in [
        (GMM, "a,b,name\n1,2,u\n3,4,v\n5,6,w\n", &[][..]),
        (GMM, "a,b,target\n1,2,0\n3,4,1\n5,6,1\n", &[]),
        (GMM, "a,b,target\n1,2,0\n3,4,1\n5,6,1\n", &["x=a..b"]),
        (GMM, "a,b,c\n1,2,0\n3,4,1\n5,6,1\n", &["x=c,a"]),
        (GMM, "x1,x2,y\n1,2,0\n3,4,1\n5,6,1\n", &[]),
        (GMM, ",a,b,e\n1,2,0,\n2,4,1,\n3,6,1,\n", &[]),
        (GMM, "a,b\n1,2\n1,4\n1,6\n", &[]),
        (
            "given x : real[D]\ndata y : real\nparam w : real[D]\nparam s : positive\ny ~ Normal(dot(w, x), s)",
            "a,b,y\n1,2,3\n4,5,7\n",
            &[],
        ),
        ("data y : count\nparam r : positive\ny ~ Poisson(r)", "n\n3\n4\n", &[]),
    ] {
        let _ = writeln!(out, "{csv:?} {binds:?}\n  {}", names(model, csv, binds));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn sizes_follow_from_the_data() {
    let model = "data y : category[K]\ndata x : real[D]\ny ~ Categorical(pi)\nx ~ Normal(mu[y], Sigma)";
    let g = graph(model);
    let t = table("a,b,c,y\n1,2,3,red\n4,5,6,blue\n7,8,9,red\n").expect("a table");
    let b = bind(&g, &t, &options(&[])).expect("a binding");
    let sizes: Vec<(String, usize)> = b
        .sizes
        .iter()
        .map(|(&d, &n)| (g.store.dim(d).name.clone(), n))
        .collect();
    assert!(
        sizes.contains(&("K".into(), 2)) && sizes.contains(&("D".into(), 3)),
        "{sizes:?}"
    );
    let y = b.vars.iter().find(|v| v.name == "y").expect("y");
    let labels = y.labels.as_ref().expect("labels");
    assert_eq!(labels.texts, ["blue", "red"], "sorted, whatever the order of rows");
    assert_eq!(labels.codes(&t.columns[3], "y", false).expect("codes"), [1.0, 0.0, 1.0]);
    let n = table("a,b,c,y\n1,2,3,10\n4,5,6,9\n7,8,9,-1\n").expect("a table");
    let b = bind(&g, &n, &options(&[])).expect("a binding");
    let y = b.vars.iter().find(|v| v.name == "y").expect("y");
    assert_eq!(
        y.labels.as_ref().expect("labels").texts,
        ["-1", "9", "10"],
        "numbers in their own order"
    );
}

#[test]
fn what_does_not_fit() {
    let count = "data y : count\nparam r : positive\ny ~ Poisson(r)";
    let pair = "given x : real[D]\ndata y : real\nparam w : real[D]\nparam s : positive\ny ~ Normal(dot(w, x), s)";
    let unit = "data y : unit\nparam a, b : positive\ny ~ Beta(a, b)";
    let positive = "data y : positive\nparam a, b : positive\ny ~ Gamma(a, b)";
    let binary = "data y : binary\nparam p : unit\ny ~ Bernoulli(p)";
    let classes = "dim K = 2\ndata y : category[K]\nparam pi : simplex[K]\ny ~ Categorical(pi)";
    let open = "z ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])";
    let mut out = String::new();
    for (model, csv, binds) in [
        (count, "y\n1\n-2\n", &[][..]),
        (count, "y\n1\n2.5\n", &[]),
        (count, "y\n1\ntwo\n", &[]),
        (count, "y\n1\ninf\n", &[]),
        (unit, "y\n0.5\n1.5\n", &[]),
        (positive, "y\n1\n0\n", &[]),
        (binary, "y\n0\n2\n", &[]),
        (binary, "y\nyes\nno\n", &[]),
        (classes, "y\na\nb\nc\n", &[]),
        (classes, "y\n1\n1.5\n", &[]),
        (GMM, "x,b\n1,2\n3,4\n", &[]),
        (GMM, "name\nu\nv\n", &[]),
        (GMM, "a,b\n1,2\n3,4\n", &["x=a,B"]),
        (GMM, "a,b\n1,2\n3,4\n", &["w=a"]),
        (GMM, "a,b\n1,2\n3,4\n", &["x"]),
        (GMM, "a,b\n1,2\n3,4\n", &["x=b..a"]),
        (GMM, "a,b\n1,2\n3,4\n", &["x=a", "x=b"]),
        (GMM, "a,a\n1,2\n3,4\n", &["x=a"]),
        (GMM, "a,b\n1,2\n", &[]),
        (pair, "a,b,c\n1,2,3\n4,5,6\n", &[]),
        (pair, "a,b,c\n1,2,3\n4,5,6\n", &["y=a,b"]),
        (count, "a,b\n1,2\n3,4\n", &[]),
        (open, "a,b\n1,2\n3,4\n", &[]),
    ] {
        let e = bind(&graph(model), &table(csv).expect("a table"), &options(binds)).expect_err(csv);
        let _ = writeln!(out, "{csv:?} {binds:?}\n{}\n", show(&e));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn weights_are_checked() {
    let model = "data y : count\nparam r : positive\ny ~ Poisson(r)";
    let mut out = String::new();
    for csv in [
        "y,w\n1,2\n2,-1\n",
        "y,w\n1,2\n2,\n",
        "y,w\n1,0\n2,0\n",
        "y,w\n1,a\n2,b\n",
        "y,v\n1,1\n2,1\n",
    ] {
        let o = Options {
            weights: Some("w".into()),
            ..Options::default()
        };
        let e = bind(&graph(model), &table(csv).expect("a table"), &o).expect_err(csv);
        let _ = writeln!(out, "{csv:?}\n{}\n", show(&e));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn absurd_sizes_meet_a_limit() {
    let source = Source::new("test.lvm", GMM);
    let ast = lvmc_syntax::parse(&source).expect("syntax");
    for k in [1e12, 9e7] {
        let settings = lvmc_model::Settings {
            set: vec![("K".into(), k)],
            ..lvmc_model::Settings::default()
        };
        let Ok(g) = lvmc_model::build(&ast, &source, &settings) else {
            continue;
        };
        let e = bind(&g, &table("a,b\n1,2\n3,4\n").expect("a table"), &options(&[])).expect_err("too large");
        assert!(matches!(e, DataError::Limit(_) | DataError::FewRows { .. }), "{e}");
        assert!(k < 1e12 || e.exit() == lvmc_base::Exit::Limit);
    }
}
