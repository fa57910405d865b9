//! The hand-written mixture, compiled, against plain Rust; text forms; compile times.

use crate::common::gmm::{Fit, data, plain, program};
use crate::common::verified;
use lvmc_jit::{Kernels, Options, asm_text, clif_text, compile};

const ROUTES: [Kernels; 2] = [Kernels::Block, Kernels::None];

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

#[test]
fn the_mixture_agrees_with_plain_rust() {
    for (d, k, rows) in [(1, 3, 1000), (2, 5, 3000), (8, 4, 2000), (17, 3, 900)] {
        let program = verified(program(d, k));
        let values = data(d, k, rows, 11);
        let weight = |r: usize| if r.is_multiple_of(3) { 2.0 } else { 0.5 };
        for weighted in [false, true] {
            let w = |r: usize| if weighted { weight(r) } else { 1.0 };
            let (expected, mu) = plain(d, k, &values, w, 3);
            for kernels in ROUTES {
                let machine = compile(&program, &Options { kernels }).expect("it compiles");
                let mut fit = Fit::new(machine.program().clone(), d, k, &values, w);
                let trace: Vec<f64> = (0..3).map(|_| fit.step(&machine, 2, weighted)).collect();
                assert!(
                    trace.iter().zip(&expected).all(|(a, b)| close(*a, *b)),
                    "{trace:?} {expected:?}"
                );
                assert!(fit.get("mu").iter().zip(&mu).all(|(a, b)| close(*a, *b)));
            }
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let program = verified(program(8, 10));
    let values = data(8, 10, 40_001, 3);
    for kernels in ROUTES {
        let machine = compile(&program, &Options { kernels }).expect("it compiles");
        let run = |threads: usize| {
            let mut fit = Fit::new(machine.program().clone(), 8, 10, &values, |_| 1.0);
            (0..3).for_each(|_| {
                fit.step(&machine, threads, false);
            });
            fit.get("Sigma").iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        let one = run(1);
        assert!([2, 3, 5].iter().all(|&t| run(t) == one));
    }
}

#[test]
fn text_forms_name_what_they_call() {
    let program = verified(program(2, 3));
    let clif = clif_text(&program, &Options::default()).expect("text");
    assert!(clif.contains("; sweep\n") && clif.contains("is k_quad") && !clif.contains("f64x4"));
    let asm = asm_text(&program, &Options { kernels: Kernels::None }).expect("text");
    assert!(asm.contains("ret") && asm.contains("xmm"));
}

#[test]
fn a_program_that_is_not_well_formed_is_not_compiled() {
    let mut bad = program(2, 3);
    bad.buffers[0].len = 1;
    let error = compile(&std::sync::Arc::new(bad), &Options::default()).expect_err("refused");
    assert!(error.to_string().contains("`x` has 1 places"), "{error}");
}
