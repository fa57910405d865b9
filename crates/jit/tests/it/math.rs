//! The inline functions of two rows against the standard library, over the whole range, and what calls leave behind.

use std::sync::Arc;

use crate::common::{Rng, columns, verified};
use lvmc_jit::{Compiled, Kernels, Options, compile};
use lvmc_loops::ir::{Bin, BufKind, FuncKind, Un};
use lvmc_loops::{Machine, Memory, ProgramBuilder, Sweep, semantics, sweep};

const UNARY: [Un; 18] = [
    Un::Neg,
    Un::Abs,
    Un::Sqrt,
    Un::Floor,
    Un::Exp,
    Un::Log,
    Un::Log1p,
    Un::Lgamma,
    Un::Digamma,
    Un::Trigamma,
    Un::Tetragamma,
    Un::Sigmoid,
    Un::Softplus,
    Un::Tanh,
    Un::Sin,
    Un::Cos,
    Un::NormalCdf,
    Un::Sign,
];

const BINARY: [Bin; 10] = [
    Bin::Add,
    Bin::Sub,
    Bin::Mul,
    Bin::Div,
    Bin::Min,
    Bin::Max,
    Bin::Pow,
    Bin::Lt,
    Bin::Le,
    Bin::Eq,
];

/// Arguments of every size and sign, and the special ones.
fn arguments() -> Vec<f64> {
    let mut rng = Rng(5);
    let mut out = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MAX,
        f64::MIN,
    ];
    out.extend([
        f64::MIN_POSITIVE,
        709.0,
        709.8,
        710.5,
        -707.0,
        -708.3,
        -745.0,
        -746.0,
        1e300,
        -1e300,
        0.5,
        1.5,
    ]);
    for _ in 0..3000 {
        out.push(20.0 * rng.normal());
        out.push(rng.normal());
        out.push(300.0 * rng.normal());
        out.push(10_f64.powf(40.0 * rng.unit() - 20.0));
    }
    out
}

/// Runs `out[i] = opᵢ(a, b)` for every operation at once.
fn run(kernels: Kernels, a: &[f64], b: &[f64]) -> Vec<Vec<f64>> {
    let mut p = ProgramBuilder::new("math", 64);
    let x = p.buffer("x", BufKind::Column, 2);
    let out = p.buffer("out", BufKind::Out, UNARY.len() + BINARY.len() + 1);
    p.func("map", FuncKind::Block, |f| {
        for (i, op) in UNARY.into_iter().enumerate() {
            f.rows(|f| {
                let v = f.load_row(x.col(0));
                let v = f.un(op, v);
                f.store_row(out.col(i), v);
            });
        }
        for (i, op) in BINARY.into_iter().enumerate() {
            f.rows(|f| {
                let (v, w) = (f.load_row(x.col(0)), f.load_row(x.col(1)));
                let v = f.bin(op, v, w);
                f.store_row(out.col(UNARY.len() + i), v);
            });
        }
        f.rows(|f| {
            let (v, w) = (f.load_row(x.col(0)), f.load_row(x.col(1)));
            let v = f.select(v, w, v);
            f.store_row(out.col(UNARY.len() + BINARY.len()), v);
        });
    });
    let program = verified(p.finish());
    let machine = compile(&program, &Options { kernels }).expect("it compiles");
    let data = columns(&program, a.len(), "x", |r, c| if c == 0 { a[r] } else { b[r] });
    let mut memory = Memory::new(machine.program().clone(), a.len(), [data].into_iter().collect());
    memory.want(out);
    let plan = Sweep::named(&program, "map", "none").expect("the function");
    sweep(&machine, &mut memory, &plan, 1);
    let cols = program.buffers[out.index()].len;
    let layout = memory.layout();
    let data = memory.rows(out).expect("wanted");
    (0..cols)
        .map(|c| (0..a.len()).map(|r| data[layout.at(cols, r, c)]).collect())
        .collect()
}

fn near(x: f64, y: f64) -> bool {
    // denormals are flushed
    x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= 4e-15 * y.abs() + 1e-300
}

#[test]
fn functions_agree_with_their_definitions() {
    let a = arguments();
    let b: Vec<f64> = a.iter().rev().copied().collect();
    for kernels in [Kernels::None, Kernels::Block] {
        let found = run(kernels, &a, &b);
        for (i, op) in UNARY.into_iter().enumerate() {
            for (x, got) in a.iter().zip(&found[i]) {
                let expected = semantics::un(op, *x);
                assert!(
                    near(*got, expected),
                    "{kernels:?} {op:?}({x:?}) is {got:?} and not {expected:?}"
                );
            }
        }
        for (i, op) in BINARY.into_iter().enumerate() {
            for ((x, y), got) in a.iter().zip(&b).zip(&found[UNARY.len() + i]) {
                let expected = semantics::bin(op, *x, *y);
                assert!(
                    near(*got, expected),
                    "{kernels:?} {op:?}({x:?}, {y:?}) is {got:?} and not {expected:?}"
                );
            }
        }
        for ((x, y), got) in a.iter().zip(&b).zip(&found[UNARY.len() + BINARY.len()]) {
            assert!(
                near(*got, semantics::select(*x, *y, *x)),
                "select({x:?}, {y:?}) is {got:?}"
            );
        }
    }
}

#[test]
fn a_call_leaves_denormals_as_they_were() {
    let tiny = std::hint::black_box(f64::MIN_POSITIVE);
    run(Kernels::None, &[1.0], &[1.0]);
    assert!(std::hint::black_box(tiny / 4.0) > 0.0);
}

#[test]
fn compiled_programs_travel_between_threads_and_free_their_code() {
    fn shareable<T: Send + Sync>() {}
    shareable::<Compiled>();
    let program = verified(crate::common::gmm::program(2, 2));
    for _ in 0..200 {
        let machine: Arc<dyn Machine + Send + Sync> =
            Arc::new(compile(&program, &Options::default()).expect("it compiles"));
        drop(machine);
    }
}
