//! Row loops that the random programs seldom hit: what a value is after its column was overwritten, and columns that
//! two indices reach.

use crate::common::{columns, verified};
use lvmc_jit::{Kernels, Options, compile};
use lvmc_loops::ir::{BufId, BufKind, FuncKind, Un};
use lvmc_loops::{FuncBuilder, Interpreter, Machine, Memory, ProgramBuilder, Sweep, sweep};

/// Columns `x` and `t` (scratch, which starts as a copy of x) and `out`; the body may use them all.
fn check(body: impl Fn(&mut FuncBuilder<'_>, BufId, BufId, BufId)) {
    let mut p = ProgramBuilder::new("directed", 32);
    let x = p.buffer("x", BufKind::Column, 4);
    let t = p.buffer("t", BufKind::Temp, 4);
    let out = p.buffer("out", BufKind::Out, 4);
    p.func("map", FuncKind::Block, |f| {
        f.rows(|f| {
            for c in 0..4 {
                let v = f.load_row(x.col(c));
                f.store_row(t.col(c), v);
            }
        });
        f.rows(|f| body(f, x, t, out));
    });
    let program = verified(p.finish());
    let run = |machine: &dyn Machine, program: &std::sync::Arc<lvmc_loops::ir::Program>| {
        #[allow(clippy::cast_precision_loss)]
        let data = columns(program, 50, "x", |r, c| (r as f64 / 50.0 - 0.4) * (c as f64 + 1.0));
        let mut memory = Memory::new(program.clone(), 50, [data].into_iter().collect());
        memory.want(out);
        sweep(
            machine,
            &mut memory,
            &Sweep::named(program, "map", "none").expect("it is there"),
            1,
        );
        memory.rows(out).expect("wanted").to_vec()
    };
    let expected = run(&Interpreter::new(program.clone()), &program);
    for kernels in [Kernels::Block, Kernels::None] {
        let machine = compile(&program, &Options { kernels }).expect("it compiles");
        let found = run(&machine, machine.program());
        let same = expected
            .iter()
            .zip(&found)
            .all(|(a, b)| (a - b).abs() <= 1e-13 * (1.0 + a.abs()));
        assert!(same, "{kernels:?}\n{expected:?}\n{found:?}");
    }
}

/// With an exponential the loop becomes block operations, without it stays in lanes.
fn both(body: impl Fn(&mut FuncBuilder<'_>, BufId, BufId, BufId)) {
    check(&body);
    check(|f, x, t, out| {
        body(f, x, t, out);
        let v = f.load_row(x.col(0));
        let v = f.un(Un::Exp, v);
        f.store_row(out.col(3), v);
    });
}

#[test]
fn a_value_outlives_its_column() {
    both(|f, x, t, out| {
        let (a, b) = (f.load_row(t.col(0)), f.load_row(x.col(1)));
        let new = f.mul(a, b);
        f.store_row(t.col(0), new);
        let later = f.load_row(t.col(0));
        let both = f.sub(later, a);
        f.store_row(out.col(0), both);
    });
}

#[test]
fn columns_are_exchanged() {
    both(|f, _, t, out| {
        let (a, b) = (f.load_row(t.col(0)), f.load_row(t.col(1)));
        f.store_row(t.col(0), b);
        f.store_row(t.col(1), a);
        let (c, d) = (f.load_row(t.col(0)), f.load_row(t.col(1)));
        f.store_row(out.col(0), c);
        f.store_row(out.col(1), d);
    });
}

#[test]
fn a_value_from_before_a_loop_outlives_its_column() {
    both(|f, x, t, out| {
        let a = f.load_row(t.col(0));
        f.for_(3, |f, i| {
            let v = f.load_row(x.col(i));
            let v = f.mul(v, a);
            f.store_row(t.col(0), v);
            f.store_row(out.col(i), v);
        });
    });
}

#[test]
fn an_accumulator_that_a_varying_index_reaches() {
    both(|f, x, t, out| {
        f.for_(4, |f, i| {
            let (sum, v) = (f.load_row(t.col(2)), f.load_row(x.col(i)));
            let sum = f.add(sum, v);
            f.store_row(t.col(2), sum);
            let w = f.load_row(t.col(i));
            let w = f.add(w, v);
            f.store_row(t.col(i), w);
        });
        let sum = f.load_row(t.col(2));
        f.store_row(out.col(0), sum);
    });
}

#[test]
fn the_same_number_for_every_row() {
    both(|f, _, t, out| {
        let c = f.num(2.5);
        f.store_row(t.col(0), c);
        let v = f.load_row(t.col(0));
        f.store_row(out.col(0), v);
        f.store_row(out.col(1), c);
    });
}
