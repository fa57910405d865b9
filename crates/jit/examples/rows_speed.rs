//! What an operation of a row loop costs as 128-bit code and as a block operation: behind the choice of route.
//!
//!     cargo run --release -p lvmc-jit --example rows_speed

#[path = "../../loops/tests/it/common/mod.rs"]
mod common;

use std::time::Instant;

use common::{Rng, columns, verified};
use lvmc_jit::{Kernels, Options, compile};
use lvmc_loops::ir::{BufKind, FuncKind, Program, Un};
use lvmc_loops::{Memory, ProgramBuilder, Sweep, sweep};

const ROWS: usize = 64_000;

/// A chain of `light` multiply-adds with `heavy` functions between them, summed.
fn program(block: usize, op: Un, heavy: usize, light: usize) -> Program {
    let mut p = ProgramBuilder::new("speed", block);
    let x = p.buffer("x", BufKind::Column, 2);
    let total = p.buffer("total", BufKind::Stat, 1);
    p.func("map", FuncKind::Block, |f| {
        f.rows(|f| {
            let (a, b) = (f.load_row(x.col(0)), f.load_row(x.col(1)));
            let mut v = a;
            for i in 0..light.max(heavy) {
                if i < heavy {
                    v = f.un(op, v);
                }
                if i < light {
                    v = f.fma(v, a, b);
                }
            }
            f.reduce(total.at(0), v);
        });
    });
    p.finish()
}

fn main() {
    let mut rng = Rng(1);
    let values: Vec<f64> = (0..2 * ROWS).map(|_| 0.5 + 0.5 * rng.unit()).collect();
    println!(
        "ns per row: 128-bit code, block operations ({})",
        lvmc_kernels::block::kernels().name
    );
    for block in [64, 320] {
        for op in [Un::Exp, Un::Log, Un::Sigmoid, Un::Softplus, Un::Tanh, Un::Log1p] {
            for (heavy, light) in [(1, 0), (1, 12), (2, 24), (4, 0), (4, 12), (4, 48)] {
                let program = verified(program(block, op, heavy, light));
                let times = [Kernels::None, Kernels::Block].map(|kernels| {
                    let machine = compile(&program, &Options { kernels }).expect("it compiles");
                    let data = columns(&program, ROWS, "x", |r, c| values[2 * r + c]);
                    let mut memory = Memory::new(machine.program().clone(), ROWS, [data].into_iter().collect());
                    let plan = Sweep::named(&program, "map", "none").expect("a sweep");
                    let best = (0..60).map(|_| {
                        let start = Instant::now();
                        sweep(&machine, &mut memory, &plan, 1);
                        start.elapsed().as_secs_f64()
                    });
                    best.fold(f64::INFINITY, f64::min) * 1e9 / ROWS as f64
                });
                println!(
                    "{block:4} {op:?} heavy {heavy} light {light:2}: {:7.2} {:7.2}",
                    times[0], times[1]
                );
            }
        }
    }
}
