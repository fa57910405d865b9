//! Random programs through the interpreter, the JIT with kernels and the JIT without: the same numbers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::common::random::{CODES, COLS, program};
use crate::common::{Rng, columns, verified, weights};
use lvmc_jit::{Kernels, Options, compile};
use lvmc_loops::ir::{BufKind, Program};
use lvmc_loops::{Interpreter, Machine, Memory, Sweep, program_text, sweep};

/// Relative to the size of the numbers that go into a result: sums of a few hundred terms.
const TOLERANCE: f64 = 1e-11;

struct Case {
    rows: usize,
    /// A column of data holds infinities and huge numbers.
    wild: bool,
    seed: u64,
}

/// Memory with data and inputs.
fn memory(program: &Arc<Program>, case: &Case) -> Memory {
    let mut rng = Rng(case.seed);
    let values: Vec<f64> = (0..case.rows * COLS).map(|_| rng.normal()).collect();
    let wild = [f64::NEG_INFINITY, 1e300, -1e300, f64::NAN, 1e-300];
    let x = columns(program, case.rows, "x", |r, c| {
        if case.wild && c == 1 && r % 5 == 2 {
            wild[r / 5 % 5]
        } else {
            values[r * COLS + c]
        }
    });
    #[allow(clippy::cast_precision_loss)]
    let code = columns(program, case.rows, "code", |r, _| ((r * 7 + r / 3) % CODES) as f64);
    let w = weights(program, case.rows, "weight", |r| {
        0.5 + 0.25 * f64::from(u8::try_from(r % 4).unwrap_or(0))
    });
    let data: HashMap<_, _> = [x, code, w].into_iter().collect();
    let mut memory = Memory::new(program.clone(), case.rows, data);
    for (i, buffer) in program.buffers.iter().enumerate() {
        let buf = lvmc_loops::ir::BufId::from_index(i);
        if matches!(buffer.kind, BufKind::Param | BufKind::Input) {
            memory.flat_mut(buf).iter_mut().for_each(|v| *v = 0.5 * rng.normal());
        }
        if buffer.kind == BufKind::Out {
            memory.want(buf);
        }
    }
    memory
}

/// Two rounds of everything; the state afterwards.
fn run(machine: &dyn Machine, program: &Arc<Program>, case: &Case, threads: usize) -> Memory {
    let mut memory = memory(program, case);
    let func = |name: &str| program.func(name).expect("a function");
    let plan = Sweep::named(program, "sweep", "finish").expect("a sweep");
    for _ in 0..2 {
        memory.call(machine, func("prepare"));
        sweep(machine, &mut memory, &plan, threads);
        memory.call(machine, func("update"));
    }
    memory
}

/// The buffers that both have and that do not depend on a kernel's own layout.
fn compare(text: &str, what: &str, program: &Program, a: &Memory, b: &Memory) {
    for (i, buffer) in program.buffers.iter().enumerate() {
        let buf = lvmc_loops::ir::BufId::from_index(i);
        let (x, y) = match buffer.kind {
            BufKind::Param | BufKind::Stat => (a.flat(buf), b.flat(buf)),
            BufKind::Table if !buffer.name.starts_with("packed") => (a.flat(buf), b.flat(buf)),
            BufKind::Out => (a.rows(buf).expect("wanted"), b.rows(buf).expect("wanted")),
            _ => continue,
        };
        for (at, (x, y)) in x.iter().zip(y).enumerate() {
            assert!(same(*x, *y), "{what}: {}[{at}] is {x:?} and {y:?}\n{text}", buffer.name);
        }
    }
}

fn same(x: f64, y: f64) -> bool {
    x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= TOLERANCE * (1.0 + x.abs().max(y.abs()))
}

fn check(seed: u64) {
    let mut rng = Rng(seed);
    let program = verified(program(&mut rng));
    let case = Case {
        rows: 1 + rng.below(200),
        wild: rng.chance(0.3),
        seed,
    };
    let text = || format!("seed {seed}\n{}", program_text(&program, &Options::default()));
    let expected = run(&Interpreter::new(program.clone()), &program, &case, 1);
    for kernels in [Kernels::Block, Kernels::None] {
        let machine = compile(&program, &Options { kernels }).unwrap_or_else(|e| panic!("{e:?}\n{}", text()));
        let compiled = machine.program().clone();
        let plain = run(&Interpreter::new(compiled.clone()), &compiled, &case, 1);
        let passed = || format!("{}\n{}", text(), program_text(&compiled, &Options { kernels }));
        compare(
            &passed(),
            &format!("{kernels:?}, interpreted after the passes"),
            &program,
            &expected,
            &plain,
        );
        let found = run(&machine, &compiled, &case, 1);
        compare(&passed(), &format!("{kernels:?}"), &program, &expected, &found);
        for threads in [2, 3] {
            let again = run(&machine, &compiled, &case, threads);
            for i in 0..program.buffers.len() {
                let buf = lvmc_loops::ir::BufId::from_index(i);
                let bits = |m: &Memory| m.flat(buf).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&found), bits(&again), "threads change nothing");
            }
        }
    }
}

#[test]
fn random_programs_agree() {
    let first = std::env::var("LVMC_SEED").ok().and_then(|s| s.parse().ok());
    let count = std::env::var("LVMC_CASES")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(150);
    match first {
        Some(seed) => check(seed),
        None => (0..count).for_each(check),
    }
}
