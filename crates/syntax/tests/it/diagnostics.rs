//! One snapshot for each diagnostic code, and the fix that each known slip is offered.

use lvmc_base::{Exit, Source};
use lvmc_syntax::{MAX_BYTES, SyntaxError, decode, parse};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, NamedSource, Report};

fn error(text: &str) -> SyntaxError {
    match parse(&Source::new("model.lvm", text)) {
        Err(e) => e,
        Ok(m) => panic!("{text:?} parsed:\n{}", lvmc_syntax::print_ast(&m)),
    }
}

fn code(e: &SyntaxError) -> String {
    e.code().map(|c| c.to_string()).unwrap_or_default()
}

fn show(error: SyntaxError, text: &str) -> String {
    let report = Report::new(error).with_source_code(NamedSource::new("model.lvm", text.to_owned()));
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut out, report.as_ref())
        .unwrap();
    out
}

/// The files of `bad/` are named after their codes.
#[test]
fn every_code_has_a_snapshot() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad");
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let (text, error) = match decode("model.lvm", &bytes) {
            Ok(source) => (source.text.to_string(), error(&source.text)),
            Err(e) => (String::new(), e),
        };
        assert_eq!(code(&error), format!("lvm::syntax::{stem}"));
        assert_eq!(error.exit(), Exit::Model);
        insta::assert_snapshot!(stem.clone(), show(error, &text));
        seen.push(stem);
    }
    assert_eq!(seen.len(), 13);
}

#[test]
fn limits_have_snapshots() {
    // A line for each, so that the report's line is short.
    let nested = format!("x = {}1{}\n", "(\n".repeat(257), ")\n".repeat(257));
    let long = format!("x = 1{}\n", " +\n1".repeat(1001));
    let large = "#".repeat(MAX_BYTES + 1);
    for (name, text) in [("nesting", nested), ("length", long), ("size", large)] {
        let error = error(&text);
        assert_eq!(error.exit(), Exit::Limit);
        assert_eq!(
            code(&error),
            if name == "size" {
                "lvm::limit".into()
            } else {
                format!("lvm::syntax::{name}")
            }
        );
        insta::assert_snapshot!(name, show(error, &text));
    }
}

/// Text, code, and a part of the message or the help.
const SLIPS: [(&str, &str, &str); 62] = [
    ("pramater x : real", "unexpected", "`~`"),
    ("parameters mu : real", "keyword", "write `param mu`"),
    ("Param a : real", "keyword", "did you mean"),
    ("global latnt a : real", "keyword", "write `latent a`"),
    ("chian t { }", "keyword", "write `chain t`"),
    ("guid { }", "keyword", "write `guide {`"),
    ("real x", "unexpected", "x : real"),
    ("param data : real", "keyword", "cannot be a name"),
    ("x = f(given)", "keyword", "cannot be a name"),
    ("x ~ Normal(mu sigma)", "comma", "write mu, sigma"),
    ("x = [1 2]", "comma", "write 1, 2"),
    ("x = f(g(a) b)", "comma", "put `,` before `b`"),
    ("x = 2a", "comma", "write 2 * a"),
    ("x = f(2a)", "comma", "write 2 * a"),
    ("x = 2 a", "comma", "write 2 * a"),
    ("dim K = 3 H = 4", "comma", "write 3, H"),
    ("fit { a = 1 b = 2 }", "comma", "write 1, b"),
    ("x = match z { 1 => 2 _ => 3 }", "comma", "write 2, _"),
    ("x ~ N(0, 1) y ~ N(0, 1)", "comma", "write `; y`"),
    ("guide { } fit { }", "comma", "write `; fit`"),
    ("x ~ f(a\ny ~ g(b)", "bracket", "`)`"),
    ("guide {\n  x ~ f(a\n}", "bracket", "put `)` before `}`"),
    ("x = (1]", "bracket", "not closed before `]`"),
    ("x = 1)", "bracket", "closes nothing"),
    ("guide {", "bracket", "never closed"),
    ("z Categorical(pi)", "unexpected", "~ Categorical(...)"),
    ("x : real Normal(0, 1)", "unexpected", "~ Normal(...)"),
    ("x <- 3", "operator", "`=` defines"),
    ("x == 3", "operator", "`=` defines"),
    ("x ~~ N()", "operator", "one `~`"),
    ("y = a ** 2", "operator", "a power"),
    ("y = a && b", "operator", "`and`"),
    ("y = !a", "operator", "`not`"),
    ("y = W @ z", "operator", "`*` multiplies"),
    ("y = x[1:3]", "operator", "a..b"),
    ("mu[k in 1:3] ~ N()", "operator", "a..b"),
    ("chain t in 1:3 { }", "operator", "a..b"),
    ("y = x[1...3]", "operator", "both ends"),
    ("y = x[1..=3]", "operator", "both ends"),
    ("y = if z = 1 then 2 else 3", "operator", "`==` compares"),
    ("y = match z { 1 -> 2 }", "operator", "pattern => value"),
    ("fit { a : 3 }", "operator", "name = value"),
    ("x ~ f(lr: 3)", "operator", "named with `=`"),
    ("/* a */ x = 1", "comment", "write `# ...`"),
    ("x = 1.", "number", "1.0"),
    ("x = 1.2.3", "number", "one dot"),
    ("x = 1e999", "number", "largest"),
    ("x = a.b", "character", "letters, digits"),
    ("x = σ²", "character", "^2"),
    ("x = \"a\"", "character", "no quotes"),
    ("x = a ? b : c", "character", "if condition"),
    ("# \u{202e}\nx = 1", "character", "U+202E"),
    ("x = a\n  + b", "unexpected", "to the end of the line before"),
    ("guide\n{ }", "unexpected", "put `{` at its end"),
    (
        "x ~ N(0, 1) +\nparam y : real",
        "unexpected",
        "makes the next one part of it",
    ),
    ("for doc { }", "unexpected", "for each COLUMN"),
    ("x = if a then b", "unexpected", "has both"),
    ("const a = 1, b = 2", "unexpected", "one constant"),
    ("x[] ~ N()", "unexpected", "leave them out"),
    ("W = [1, 0; 0, 1]", "unexpected", "[[1, 0], [0, 1]]"),
    ("pi : simplex(K)", "unexpected", "square brackets: simplex[...]"),
    ("chain t { fit { } }", "misplaced", "out of the braces"),
];

#[test]
fn slips_are_told_with_their_fix() {
    for (text, name, part) in SLIPS {
        let error = error(text);
        let report = show(error.clone(), text);
        assert_eq!(code(&error), format!("lvm::syntax::{name}"), "{text}\n{report}");
        assert!(report.contains(part), "{text}\n{report}");
    }
}

/// No message shows the grammar's names for its rules.
#[test]
fn messages_are_in_words() {
    let texts = SLIPS.iter().map(|(t, ..)| *t).chain([
        "x",
        "param",
        "param x :",
        "weight",
        "model",
        "fit",
        "net f",
        "net f(x) -> y { }",
        "net f(x : real) { }",
        "net f(x : real) -> y : real { 3 }",
        "chain { }",
        "chain t in 1 { }",
        "x[t in 1..] ~ N()",
        "x ~ y ~ z",
        "x, y",
        "x = not",
        "x = a else b",
        "x ~ Normal(mu = )",
        "x = match z { }",
        "guide { 3 }",
        "fit { 3 }",
    ]);
    for text in texts {
        let message = error(text).to_string();
        for rule in [
            "kw_",
            "_square",
            "type_",
            "EOI",
            "expr,",
            "separator",
            "indexed",
            "something else",
        ] {
            assert!(!message.contains(rule), "{text}: {message}");
        }
    }
}

/// An error stands in the text, on character boundaries, so that it can be shown.
#[test]
fn spans_lie_in_the_text() {
    for (text, ..) in SLIPS {
        if let Some(span) = error(text).span() {
            assert!(
                text.get(span.range()).is_some_and(|s| !s.is_empty()),
                "{text}: {span:?}"
            );
        }
    }
}
