//! What texts mean: precedence, layout, contextual words, spans, descriptions.

use crate::common::read;
use lvmc_syntax::ast::{Body, ExprKind, Model, StmtKind};
use lvmc_syntax::print_ast;

fn parsed(text: &str) -> Model {
    read(text).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

/// The tree of an expression.
fn tree(expr: &str) -> String {
    let shown = print_ast(&parsed(&format!("x = {expr}")));
    shown
        .trim_end()
        .trim_start_matches("(model)\n(var (x) = ")
        .strip_suffix(')')
        .unwrap_or("?")
        .into()
}

#[test]
fn precedence() {
    for (expr, expected) in [
        ("a + b * c", "(+ a (* b c))"),
        ("a - b - c", "(- (- a b) c)"),
        ("a / b * c", "(* (/ a b) c)"),
        ("-a^b", "(- (^ a b))"),
        ("a^b^c", "(^ a (^ b c))"),
        ("a^-b^c", "(^ a (- (^ b c)))"),
        ("a^-b * c", "(* (^ a (- b)) c)"),
        ("-a * b", "(* (- a) b)"),
        ("a - -b", "(- a (- b))"),
        ("-a[1]", "(- a[1])"),
        ("f(a)[1]^2", "(^ (f a)[1] 2)"),
        ("not a < b and c", "(and (not (< a b)) c)"),
        ("a or b and not c", "(or a (and b (not c)))"),
        ("a + 1 <= b * 2", "(<= (+ a 1) (* b 2))"),
        ("(a < b) == c", "(== (< a b) c)"),
        ("if a then b else c + d", "(if a b (+ c d))"),
        ("1 + if a then b else c", "(+ 1 (if a b c))"),
        ("if a then b else if c then d else e", "(if a b (if c d e))"),
        ("match z { 1 => a, _ => b } + 1", "(+ (match z (1 a) (_ b)) 1)"),
        ("x[a, b][c]", "x[a b c]"),
        ("x[1..t-1, k]", "x[1..(- t 1) k]"),
        ("f(a, sd = 2, b == c)", "(f a sd=2 (== b c))"),
        ("[[1, 0], [a, 0]]", "[[1 0] [a 0]]"),
        ("f(a, b,)", "(f a b)"),
        ("1e-4 + 0.5", "(+ 0.0001 0.5)"),
    ] {
        assert_eq!(tree(expr), expected, "{expr}");
    }
}

#[test]
fn lines_go_on_where_they_must() {
    let one = print_ast(&parsed("x ~ f(a, b) + c; y = if d then e else g; dim K = 3, H = 4"));
    for text in [
        "x ~ f(a, b) + c\ny = if d then e else g\ndim K = 3, H = 4",
        "x ~\n\n f(\na\n, # first\n b # second\n) + # sum\n\n c\ny =\nif d\nthen e\n# otherwise\nelse g\ndim K = 3,\nH\n= 4\n".replace("H\n", "H ").as_str(),
        "x ~ f(a, b) +\r\nc\r\ny = if\r\nd then\r\ne else\r\ng\r\ndim\tK = 3, H = 4\r\n",
        "\u{feff}x ~ f(a,\u{a0}b) + c\u{2028}y = if d then e else g\rdim K = 3, H = 4",
        ";x ~ f(a, b) + c;;\n;y = if d then e else g;dim K = 3, H = 4;",
    ] {
        assert_eq!(print_ast(&parsed(text)), one, "{text}");
    }
}

#[test]
fn braces_of_fit_and_match_separate_by_any_mark() {
    let fit = print_ast(&parsed("fit { a = 1, b = f(c = 2) }"));
    for text in [
        "fit { a = 1; b = f(c = 2) }",
        "fit {\n a = 1\n\n b = f(c = 2)\n}",
        "fit {\n a = 1,\n b = f(c\n= 2),\n}",
    ] {
        assert_eq!(print_ast(&parsed(text)), fit, "{text}");
    }
    let arms = print_ast(&parsed("x ~ match z { 1 => f(a), _ => g(b) }"));
    for text in [
        "x ~ match z {\n1 => f(a)\n_ => g(b)\n}",
        "x ~ match z { 1 => f(a); _ => g(b); }",
        "x ~ match z {\n1 =>\n f(a),\n_ => g(b) }",
    ] {
        assert_eq!(print_ast(&parsed(text)), arms, "{text}");
    }
}

/// Words that begin statements are names elsewhere, but for the reserved ones.
#[test]
fn contextual_words() {
    for word in [
        "model", "noise", "global", "net", "each", "row", "chain", "guide", "fit", "weight", "in", "by", "t", "lambda",
        "real",
    ] {
        for text in [
            format!("given {word} : real"),
            format!("{word} ~ N({word}, 1)"),
            format!("{word}[{word} in 1..K] = {word}[{word}] - {word}({word} = {word})"),
            format!("{word}, {word} = f(x)"),
            format!("weight {word}"),
            format!("global {word} : {word}"),
            format!("global latent {word} : {word}"),
            format!("noise {word} ~ f()"),
            format!("for each {word} {{ }}"),
            format!("chain {word} in {word}..{word} by {word} {{ {word} = 1 }}"),
            format!("fit {{ {word} = {word} }}"),
            format!("net {word}({word} : real) -> {word} : real {{ {word} = {word} }}"),
            format!("dim {word} = 3, {word}"),
            format!("model {word}; x = 1"),
        ] {
            let once = lvmc_syntax::format(&text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
            assert_eq!(once.trim_end(), text);
        }
    }
    for word in [
        "dim", "const", "param", "latent", "data", "given", "for", "if", "then", "else", "match", "and", "or", "not",
    ] {
        assert!(
            read(&format!("{word} ~ N()")).is_err() && read(&format!("x = f({word})")).is_err(),
            "{word}"
        );
        // A name may begin with one.
        parsed(&format!("{word}x ~ N({word}_1, {word}2)"));
    }
}

#[test]
fn roles_and_parts_of_a_declaration() {
    for (text, expected) in [
        ("param a, b[K] : real[D, Q] = 1", "(var param (a b[K]) : real[D Q] = 1)"),
        (
            "global latent mu[k in 1..K] : real ~ f()",
            "(var global latent (mu[k in 1..K]) : real ~ (f))",
        ),
        ("data z", "(var data (z))"),
        ("noise e : real[D] ~ N(0, I)", "(var noise (e) : real[D] ~ (N 0 I))"),
        ("m, v = f(x)", "(var (m v) = (f x))"),
        ("const b[t in 1..T] : real = t", "(const b[t in 1..T] : real = t)"),
        ("const c", "(const c)"),
        ("dim K = 3, D", "(dim K=3 D)"),
        (
            "chain t in T..1 by day { z[t-1] ~ f() }",
            "(chain t in T..1 by day\n  (var (z[(- t 1)]) ~ (f)))",
        ),
        (
            "net f(x : real) -> y : real, z : unit { y, z = g(x) }",
            "(net f (x:real) -> (y:real z:unit)\n  (= (y z) (g x)))",
        ),
    ] {
        assert_eq!(print_ast(&parsed(text)), format!("(model)\n{expected}\n"), "{text}");
    }
}

#[test]
fn spans_are_what_was_written() {
    let text = "param  w[ K ] : real[D]  # c\nμ ~ Normal( (a + b) * c , sd = s [1] )  \n";
    let m = parsed(text);
    let of = |span: lvmc_base::Span| &text[span.range()];
    assert_eq!(
        m.items.iter().map(|s| of(s.span)).collect::<Vec<_>>(),
        ["param  w[ K ] : real[D]", "μ ~ Normal( (a + b) * c , sd = s [1] )"]
    );
    let (StmtKind::Var(w), StmtKind::Var(mu)) = (&m.items[0].kind, &m.items[1].kind) else {
        panic!("{m:?}")
    };
    assert_eq!(w.role.map(|r| of(r.1)), Some("param"));
    assert_eq!((of(w.targets[0].span), of(w.targets[0].name.span)), ("w[ K ]", "w"));
    assert_eq!(w.ty.as_ref().map(|t| of(t.span)), Some("real[D]"));
    let Some(Body::Random(call)) = &mu.body else {
        panic!("{mu:?}")
    };
    let ExprKind::Call { callee, args } = &call.kind else {
        panic!("{call:?}")
    };
    assert_eq!(
        (of(call.span), of(callee.span)),
        ("Normal( (a + b) * c , sd = s [1] )", "Normal")
    );
    assert_eq!((of(args[0].1.span), of(args[1].1.span)), ("(a + b) * c", "s [1]"));
    let ExprKind::Binary(_, sum, _) = &args[0].1.kind else {
        panic!("{args:?}")
    };
    assert_eq!(of(sum.span), "(a + b)");
}

#[test]
fn the_description_is_the_comment_at_the_head() {
    let doc = |text: &str| parsed(text).doc;
    assert_eq!(
        doc("# One.\n#  two\n#\n\n# not this\nmodel m\nx = 1").as_deref(),
        Some("One.\n two\n")
    );
    assert_eq!(doc("\n\n## Title\nx = 1").as_deref(), Some("Title"));
    assert_eq!(doc("x = 1 # no\n# no"), None);
}

/// µ (micro) and μ (mu), Ω (ohm) and Ω (omega) are one letter each.
#[test]
fn twin_letters_are_one() {
    assert_eq!(
        print_ast(&parsed("\u{b5} = \u{2126}")),
        print_ast(&parsed("\u{3bc} = \u{3a9}"))
    );
}
