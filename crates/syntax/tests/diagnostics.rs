//! One snapshot for each diagnostic code, and the fixes that known slips are offered.

use lvmc_base::Source;
use lvmc_syntax::{SyntaxError, decode, parse};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, NamedSource, Report};

fn error(text: &str) -> SyntaxError {
    match parse(&Source::new("model.lvm", text)) {
        Err(e) => e,
        Ok(m) => panic!("parsed:\n{}", lvmc_syntax::print_ast(&m)),
    }
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

#[test]
#[ignore]
fn look() {
    for text in [
        "parm a : real",
        "param data : real",
        "x ~ Normal(mu sigma)",
        "x ~ Normal(mu, sigma\ny ~ Normal(x, 1)",
        "guide {\n  x ~ f(a\n}\n",
        "x ~ Normal(mu, sigma) y ~ Normal(x, 1)",
        "z Categorical(pi)",
        "x : real Normal(0, 1)",
        "x <- 3",
        "x == 3",
        "x := 3",
        "x ~~ N()",
        "y = a ** 2",
        "// hello\nx ~ N()",
        "x = .5",
        "x = 2a",
        "x = 2 a",
        "x = f(2 a)",
        "x ~\n",
        "x ~",
        "x ~ N(0, 1) +\n\nparam y : real",
        "dim K = 3,\nparam x : real",
        "x = a\n  + b",
        "guide\n{\n}",
        "for doc {\n}",
        "for k in 1..3 { }",
        "mu[k in 1:3] ~ N()",
        "x = y[1:3]",
        "chain t in 1:3 { }",
        "x = if a then b",
        "x = a if b else c",
        "x = if z = 1 then 2 else 3",
        "x = match z { 1 -> 2 }",
        "x = match z { 1 => 2 _ => 3 }",
        "fit { a : 3 }",
        "fit { a = 1 b = 2 }",
        "fit a = 3",
        "dim K = 3 H = 4",
        "const a = 1, b = 2",
        "x[] ~ N()",
        "W = [1, 0; 0, 1]",
        "x ~ f(a; y)",
        "mu(k) ~ N()",
        "pi : simplex(K)",
        "p : real<lower=0>[K]",
        "real x",
        "parameters mu : real",
        "model",
        "x ~ N()\nmodel a",
        "x",
        "param",
        "param x :",
        "param x : real[",
        "x ~ N(adam(lr: 3))",
        "net f(x) -> y { }",
        "net f(x : real) { }",
        "guid { }",
        "x ~ N(μ, σ²)",
        "x ~ a − b",
        "x ~ \"a\"",
        "a < b < c",
        "x = a < b < c",
        "x = f(data)",
        "x = )",
        "x = (1]",
        "x = 1e999",
        "weight",
        "x = a ? b : c",
        "chain t { fit { } }",
        "}",
        "global x",
        "x ~ y ~ z",
        "x, y",
        "f(a b)",
        "x = not",
        "x = a.b",
        "x = 1.",
        "x = 1.2.3",
        "x = a &&\n b",
        "x = !a",
        "x = 1...3",
        "for each doc",
        "for each doc\n{ }",
        "latent",
        "x = a else b",
        "x = [1 2]",
        "Param a : real",
        "Model x",
        "x ~ N(0,1));",
        "param x = real",
        "x ~ Normal(mu = )",
        "x ~ Normal(, 1)",
        "x = * 3",
        "x = a b",
        "x = a 3",
        "μ° = 3",
        "# \u{202e}abc\nx ~ N()",
        "x = 3\n\u{1}",
        "chain { }",
        "x[t in 1..] ~ N()",
        "h = dense(x,\ny = 3",
    ] {
        let e = error(text);
        println!("──── {text:?}\n{}", show(e, text));
    }
}
