//! The formatter's decisions, by example. That it keeps the meaning is tested in `roundtrip.rs`.

fn formats(text: &str, expected: &str) {
    let once = lvmc_syntax::format(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    assert_eq!(once, expected, "\n{once}");
    assert_eq!(lvmc_syntax::format(&once).unwrap(), once);
}

#[test]
fn blanks() {
    formats(
        "x~Normal( - a+b*c^ - 2,sd=s [ 1 , t - 1 ])",
        "x ~ Normal(-a + b * c^-2, sd = s[1, t-1])\n",
    );
    formats(
        "x[ k in 1 .. K+1 ]=a [k - -1]*(b-c) [1..t -1]",
        "x[k in 1..K+1] = a[k - -1] * (b - c)[1..t-1]\n",
    );
    formats("y=[ [1 ,0],[ a,f( b-c ) ] ]", "y = [[1, 0], [a, f(b - c)]]\n");
    formats(
        "chain t in 1 .. T - 1{x[t]~f(  )}",
        "chain t in 1..T-1 { x[t] ~ f() }\n",
    );
    formats("y=if( a )then-b else not(c)", "y = if (a) then -b else not (c)\n");
    formats("guide{}\nfit{a=1;b=2,}", "guide { }\nfit { a = 1, b = 2 }\n");
}

#[test]
fn columns() {
    formats(
        "data yy:real\ngiven x : real\nparam a,b : real[D]~N(0,1)\nparam c2:cov[D]  ~ M()\nparam d : category[K+1] ~ C()\nz ~ A()\nword~B()\n",
        "data  yy : real\ngiven x  : real\nparam a, b : real[D] ~ N(0, 1)\nparam c2   : cov[D]  ~ M()\n\
         param d    : category[K+1] ~ C()\nz    ~ A()\nword ~ B()\n",
    );
    // A blank line and a statement of another kind end a column; a comment does not.
    formats(
        "param a : real\n# why\nparam bb : real\n\nparam ccc : real\nq=1\nparam d : real",
        "param a  : real\n# why\nparam bb : real\n\nparam ccc : real\nq = 1\nparam d : real\n",
    );
}

#[test]
fn comments_and_blank_lines() {
    formats(
        "\n\n#head\n\n\n\nx ~ f( # one\n\n  # two\n a,#three\nb\n)# four\nguide{ # five\n\n\n y=1;#six\n\n}\n\n\n# last\n\n",
        "#head\n\nx ~ f(  # one\n  # two\n  a,  #three\n  b\n)  # four\nguide {  # five\n  y = 1  #six\n}\n\n# last\n",
    );
}

#[test]
fn lines_that_go_on() {
    formats(
        "x = a +\n# why\nb * f(\nc,\ng(\nd)) +\ne\nfor each r {\ny ~\nf()}\nz = match k { 1=>a,\n2=>b }",
        "x = a +\n  # why\n  b * f(\n    c,\n    g(\n      d)) +\n  e\nfor each r {\n  y ~\n    f()\n}\n\
         z = match k {\n  1 => a\n  2 => b\n}\n",
    );
}

#[test]
fn needless_separators_go() {
    formats(
        ";;x=1;;y=2;\n;\n;z=3;guide{;a=1;;b=2;}",
        "x = 1; y = 2\n\nz = 3; guide { a = 1; b = 2 }\n",
    );
    formats("fit{\n,a=1,,\nb=2;c=3,\n}", "fit {\n  a = 1\n  b = 2, c = 3\n}\n");
}

#[test]
fn errors_are_those_of_the_parser() {
    assert!(matches!(
        lvmc_syntax::format("# nothing"),
        Err(lvmc_syntax::SyntaxError::Empty)
    ));
    assert!(lvmc_syntax::format("x ~").is_err());
}
