//! The interpreter against plain Rust, and the sweep driver's promises.

use crate::common::gmm::{Fit, data, plain, program};
use crate::common::verified;
use lvmc_loops::Interpreter;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-10 * (1.0 + a.abs().max(b.abs()))
}

#[test]
fn a_mixture_agrees_with_plain_rust() {
    for (d, k, rows) in [(1, 2, 100), (2, 3, 400), (5, 2, 333)] {
        let program = verified(program(d, k));
        let machine = Interpreter::new(program.clone());
        let rows_of_data = data(d, k, rows, 7);
        let weight = |r: usize| if r.is_multiple_of(3) { 2.0 } else { 0.5 };
        for weighted in [false, true] {
            let w = |r: usize| if weighted { weight(r) } else { 1.0 };
            let mut fit = Fit::new(program.clone(), d, k, &rows_of_data, w);
            let trace: Vec<f64> = (0..3).map(|_| fit.step(&machine, 1, weighted)).collect();
            let (expected, mu) = plain(d, k, &rows_of_data, w, 3);
            assert!(
                trace.iter().zip(&expected).all(|(a, b)| close(*a, *b)),
                "{trace:?} {expected:?}"
            );
            assert!(fit.get("mu").iter().zip(&mu).all(|(a, b)| close(*a, *b)));
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let program = verified(program(2, 3));
    let machine = Interpreter::new(program.clone());
    let rows = data(2, 3, 15_000, 3);
    let run = |threads: usize| {
        let mut fit = Fit::new(program.clone(), 2, 3, &rows, |_| 1.0);
        let last = (0..2).map(|_| fit.step(&machine, threads, false)).last();
        (
            last.map(f64::to_bits),
            fit.get("mu").iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
        )
    };
    let one = run(1);
    assert!([2, 3, 7].iter().all(|&t| run(t) == one));
}
