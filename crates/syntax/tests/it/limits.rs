//! Hostile texts are refused, or read, in little time and on a small stack.

use std::time::{Duration, Instant};

use crate::common::{erased, read};
use lvmc_base::Exit;
use lvmc_syntax::ast::Model;
use lvmc_syntax::{MAX_BYTES, MAX_DEPTH, SyntaxError, decode, format, print_ast, source_text};

/// Generous, since tests run unoptimised and beside others; every one of these takes minutes or a crash where the
/// parser backtracks or recurses freely.
const PATIENCE: Duration = Duration::from_secs(20);

fn timed<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let start = Instant::now();
    // The stack that a test's own thread has, whatever the environment says.
    let out = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    out
}

fn outcome(text: String) -> Result<Model, SyntaxError> {
    timed(move || {
        let read = read(&text);
        assert_eq!(format(&text).is_ok(), read.is_ok());
        read
    })
}

fn refused_as(text: String, exit: Exit) -> SyntaxError {
    let start: String = text.chars().take(30).collect();
    let e = outcome(text).expect_err(&start);
    assert_eq!(e.exit(), exit, "{start}: {e:?}");
    e
}

/// All that later stages do with a tree by recursion.
fn used(text: String) {
    timed(move || {
        let m = read(&text).unwrap();
        let printed = source_text(&m);
        assert_eq!(erased(read(&printed).unwrap()), erased(m.clone()));
        assert!(!format!("{m:?}").is_empty() && !print_ast(&m).is_empty());
        format(&text).unwrap();
    });
}

#[test]
fn large_files_are_refused_unread() {
    let line = vec![b'a'; 50 << 20];
    let start = Instant::now();
    let e = decode("big.lvm", &line).unwrap_err();
    assert_eq!(e.exit(), Exit::Limit);
    let text = String::from_utf8(line).unwrap();
    assert_eq!(format(&text).unwrap_err().exit(), Exit::Limit);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn bytes_that_are_no_text() {
    assert!(matches!(
        decode("x", b"a ~ b\0"),
        Err(SyntaxError::Binary { at: 6, .. })
    ));
    assert!(matches!(
        decode("x", &[0xff, 0xfe, b'a', 0]),
        Err(SyntaxError::Encoding { at: 1, .. })
    ));
    assert!(matches!(
        decode("x", &[b'a', 0xc3]),
        Err(SyntaxError::Encoding { at: 2, byte: 0xc3, .. })
    ));
    assert!(matches!(read("a ~ b\0"), Err(SyntaxError::Binary { .. })));
    assert!(read(&decode("x", "\u{feff}z ~ N()\r\ny ~ M()\r".as_bytes()).unwrap().text).is_ok());
}

#[test]
fn empty_files() {
    for text in ["", "\n", "  \t\r\n", "# only\n# comments", "\u{feff}", ";", ";;\n;"] {
        let e = read(text).unwrap_err();
        assert!(matches!(e, SyntaxError::Empty), "{text:?}: {e:?}");
    }
}

#[test]
fn nests_of_calls_are_instant() {
    for n in [20, 60, 250] {
        for (open, close) in [
            ("f(", ")"),
            ("[", "]"),
            ("x[", "]"),
            ("f(a = ", ")"),
            ("(", ")"),
            ("f(x[1] + ", ")"),
        ] {
            let text = format!("y ~ {}1{}\n", open.repeat(n), close.repeat(n));
            if open.matches(['(', '[']).count() * n <= 255 {
                used(text.clone());
            }
            // The same with a fault in the middle.
            assert!(outcome(text.replacen("1)", "1 1)", 1).replacen("1]", "1 1]", 1)).is_err());
        }
    }
}

#[test]
fn nesting_of_every_kind_is_refused() {
    let n = 10_000;
    for text in [
        format!("x = {}1{}", "(".repeat(n), ")".repeat(n)),
        format!("x = {}", "(".repeat(n)),
        format!("x = {}1{}", "[".repeat(n), "]".repeat(n)),
        format!("x = {}1{}", "f(".repeat(n), ")".repeat(n)),
        format!("x{} ~ N()", "[x".repeat(n)),
        "for each a {".repeat(n),
        format!("x = {}", "match a { 1 => ".repeat(n)),
        format!("x = {}1", "-".repeat(n)),
        format!("x = {}1", "- ".repeat(n)),
        format!("x = {}a", "not ".repeat(n)),
        format!("x = a{}", "^a".repeat(n)),
        format!("x = a{}", "^-a".repeat(n)),
        format!("x = {}", "if c then ".repeat(n)),
        format!("x = {}1", "if c then 1 else ".repeat(n)),
        format!("x = {}", "if ".repeat(n)),
        format!("x = {}1", format!("{} if a then b else ", "-".repeat(200)).repeat(200)),
        format!("x = {}1", format!("{} match a {{ 1 => ", "-".repeat(200)).repeat(200)),
    ] {
        let e = refused_as(text, Exit::Limit);
        assert!(matches!(e, SyntaxError::Nesting { .. }), "{e:?}");
    }
}

#[test]
fn long_expressions_are_refused() {
    for op in [
        " + a", "-a", " * a", "/a", " and a", " or a", " + -a", " + a^2", " - f(a)",
    ] {
        let n = if op == " + a" { 100_000 } else { 20_000 };
        let e = refused_as(format!("x = a{}", op.repeat(n)), Exit::Limit);
        assert!(matches!(e, SyntaxError::Length { .. }), "{e:?}");
    }
    // Deep by turns: a sum in a bracket in a sum.
    let sums = format!(
        "x = {}a{}",
        "(".repeat(200),
        format!("{})", " + a".repeat(900)).repeat(200)
    );
    assert!(matches!(refused_as(sums, Exit::Limit), SyntaxError::Length { .. }));
}

#[test]
fn what_is_just_allowed_can_be_used() {
    used(format!("x = {}1{}", "(".repeat(256), ")".repeat(256)));
    used(format!("x = {}1{}", "f(".repeat(256), ")".repeat(256)));
    used(format!("x = {}1{}", "[".repeat(256), "]".repeat(256)));
    used(format!("x = {}1{}", "x[".repeat(256), "]".repeat(256)));
    used(format!("{}x ~ N(){}", "for each a {\n".repeat(255), "\n}".repeat(255)));
    used(format!("x = {}1{}", "match a { 1 => ".repeat(256), "}".repeat(256)));
    used(format!("x = {}1", "-".repeat(256)));
    used(format!("x = {}a", "not ".repeat(256)));
    used(format!("x = a{}", "^a".repeat(256)));
    used(format!("x = {}1", "if c then 1 else ".repeat(256)));
    used(format!("x = a{}", " + a".repeat(MAX_DEPTH - 1)));
    used(format!("x = a{}", " + -a".repeat(MAX_DEPTH - 2)));
    used(format!(
        "x = {}a{}",
        "(".repeat(9),
        format!("{})", " + a".repeat(110)).repeat(9)
    ));
    // Long, and flat.
    used(format!("x = [a{}]", ", -a^2".repeat(20_000)));
    used(format!("fit {{ a = 1{} }}", ", a = -1".repeat(20_000)));
}

#[test]
fn a_megabyte_of_anything() {
    for piece in ["a = 1\n", "x[", "-", "1 "] {
        let text = piece.repeat(MAX_BYTES / piece.len());
        let _ = timed(move || read(&text));
    }
    let bytes = MAX_BYTES / 8;
    for piece in [
        "a = 1\n",
        "x ~ N(a[1], b)\n",
        ";",
        "\n",
        "#\n",
        "a ",
        "a",
        "1",
        "1 ",
        "x[",
        "x[1]",
        "~",
        "=",
        "-",
        "..",
        "(",
        ")",
        "{",
        "}",
        "{}",
        "()",
        "not ",
        "if ",
        "1e",
        ".",
        "/",
        "/ ",
        "^",
        "μ",
        "\u{feff}",
        "\u{2028}",
        "param ",
        "a,",
        "a, ",
        "\"",
        "f(a,",
        "match a { ",
        "data x : real\n",
        "x=",
        "x = (",
        "x = if a then b else\n",
        "x[k in ",
        "net f(",
        "net f(x:y)->z:w{}\n",
        "\t",
    ] {
        let text = piece.repeat(bytes / piece.len());
        let _ = timed(move || read(&text));
    }
}

#[test]
fn a_megabyte_is_formatted() {
    let models = [
        "x ~ N(a[t-1], b)  # c\n",
        "data x : real\ngiven yy : count\n",
        "for each a {\nx ~ N(\n1)\n}\n",
        "a=1;",
    ];
    for piece in models {
        let text = piece.repeat(300_000 / piece.len());
        let once = timed(move || format(&text).unwrap());
        assert_eq!(format(&once).unwrap(), once);
    }
    // One long name does not pad its neighbours.
    let long = format!(
        "param {} : real\n{}",
        "a".repeat(100_000),
        "param b : real\n".repeat(5000)
    );
    assert!(format(&long).unwrap().len() < 300_000);
}
