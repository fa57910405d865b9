//! Steps of an array program allocate nothing. Without the test harness, whose threads allocate too.

use lvmc_dense::ir::*;
use lvmc_dense::{Columns, Executor, Method, OptimiserStep, Trained};
use lvmc_jit::dense::Native;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what is allocated.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller vouches for the layout
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: it came from the system's allocator
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// tanh(x W + noise), its squares, dW, and log |V| of a constant.
fn program() -> Program {
    let array = |name: &str, extent, len, role| Array {
        name: name.into(),
        extent,
        len,
        role,
    };
    let element = |array| Read {
        array,
        offset: 0,
        access: Access::Element,
    };
    let matrix = |array, rows, cols, transposed| Matrix {
        array,
        offset: 0,
        rows,
        cols,
        stride: cols,
        transposed,
    };
    let arrays = vec![
        array("x", Extent::Rows, 200, Role::Input),
        array("W", Extent::Once, 200 * 150, Role::Param),
        array("e", Extent::Rows, 150, Role::Noise(Noise::Normal)),
        array("a", Extent::Rows, 150, Role::Scratch),
        array("y", Extent::Rows, 150, Role::Scratch),
        array("loss", Extent::Once, 1, Role::Output),
        array("dW", Extent::Once, 200 * 150, Role::Output),
        array("V", Extent::Once, 9, Role::Const),
        array("log |V|", Extent::Once, 1, Role::Output),
        array("V⁻¹", Extent::Once, 9, Role::Output),
        array("t", Extent::Rows, 200, Role::Scratch),
    ];
    let map = Map {
        extent: Extent::Rows,
        len: 150,
        reads: vec![element(3), element(2)],
        ops: vec![
            Op::Binary(Binary::Add, 0, 1),
            Op::Unary(Unary::Tanh, 2),
            Op::Binary(Binary::Mul, 3, 3),
        ],
        writes: vec![
            Write {
                value: 3,
                fate: Fate::Store,
                array: 4,
                offset: 0,
            },
            Write {
                value: 4,
                fate: Fate::SumAll,
                array: 5,
                offset: 0,
            },
        ],
    };
    let rows = Count::PerRow(1);
    let product = |out, a, b| Step::Product {
        out,
        a,
        b,
        accumulate: false,
    };
    let weights = |array, transposed| matrix(array, Count::Fixed(200), 150, transposed);
    let steps = vec![
        product(
            matrix(3, rows, 150, false),
            matrix(0, rows, 200, false),
            weights(1, false),
        ),
        Step::Map(map),
        product(
            weights(6, false),
            matrix(0, rows, 200, true),
            matrix(4, rows, 150, false),
        ),
        product(
            matrix(10, rows, 200, false),
            matrix(4, rows, 150, false),
            weights(1, true),
        ),
        Step::Algebra {
            what: Algebra::LogDet,
            out: 8,
            a: 7,
            n: 3,
        },
        Step::Algebra {
            what: Algebra::Inverse,
            out: 9,
            a: 7,
            n: 3,
        },
    ];
    Program { arrays, steps }
}

fn main() {
    let data = vec![0.25f32; 500 * 200];
    let rows: Vec<u32> = (0..128).map(|i| i * 3).collect();
    let trained = [Trained {
        param: 1,
        gradient: 6,
        decay: 0.0,
    }];
    for precision in [Precision::F32, Precision::F64] {
        for threads in [1, 3] {
            let mut native = Native::new(program(), 128, precision, 1, threads).unwrap();
            native.set(7, &[2.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 4.0]);
            let mut loss = [0.0];
            let mut step = |native: &mut Native, t: u64| {
                native.set_rows_from(0, &Columns::f32(&data, 200), &rows);
                native.set_row_ids(&rows);
                native.run(128, t);
                let norm = native.gradient_norm(&trained);
                let method = Method::Adam {
                    beta1: 0.9,
                    beta2: 0.999,
                    epsilon: 1e-8,
                    decoupled: true,
                };
                let scale = 1.0 / norm.max(1.0);
                native.optimise(&OptimiserStep {
                    method,
                    rate: 1e-3,
                    scale,
                    step: t,
                    trained: &trained,
                });
                native.read(5, &mut loss);
            };
            (0..20).for_each(|t| step(&mut native, 1 + t));
            // helpers that were started have begun
            std::thread::sleep(std::time::Duration::from_millis(200));
            let before = COUNT.load(Ordering::Relaxed);
            (21..200).for_each(|t| step(&mut native, t));
            let after = COUNT.load(Ordering::Relaxed);
            // a helper that comes late to its first task has its thread's own state made then
            let once = threads - 1;
            assert!(
                after - before <= once,
                "{} allocations, {precision:?}, {threads} threads",
                after - before
            );
            assert!((native.get(8)[0] - 24f64.ln()).abs() < 1e-6);
        }
    }
}
