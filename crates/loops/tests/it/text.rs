//! The text form: buffers, statements and routes, as `emit --stage loops` shows them.

use lvmc_loops::ir::{BufKind, FuncKind, Stmt};
use lvmc_loops::{Kernels, Options, ProgramBuilder, Route, program_text, route};

#[test]
fn a_small_program_reads_well() {
    let mut p = ProgramBuilder::new("small", 64);
    let x = p.buffer("x", BufKind::Column, 2);
    let table = p.buffer("t", BufKind::Table, 4);
    let sum = p.buffer("sum", BufKind::Stat, 4);
    p.func("sweep", FuncKind::Block, |f| {
        f.rows(|f| {
            let code = f.load_row(x.col(0));
            let ix = f.index_of(code, 4);
            let (v, t) = (f.load_row(x.col(1)), f.load(table.at(ix)));
            let y = f.fma(v, t, v);
            f.scatter(sum.at(ix), y);
        });
    });
    let text = program_text(&p.finish(), &Options::default());
    let expected = "\
program small, blocks of 64 rows
  column x[2, rows]
  table t[4]
  stat sum[4]

func sweep (each block)
  rows    ; jit
    v0 = x[0, r]
    x0 = index v0 in 0..4
    v1 = x[1, r]
    v2 = t[x0]
    v3 = v1 * v2 + v1
    sum[x0] += each v3
";
    assert_eq!(text, expected);
}

#[test]
fn loops_over_one_kernel_are_one_call() {
    let program = crate::common::gmm::program(2, 5);
    let sweep = &program.funcs[program.func("sweep").expect("a sweep")];
    let first: &Stmt = &sweep.body[0];
    assert_eq!(route(first, &Options::default()), Some(Route::Block));
    assert_eq!(route(first, &Options { kernels: Kernels::None }), None);
}
