//! How long a mixture takes to compile and per iteration, and how much of that is not kernels.
//!
//!     cargo run --release -p lvmc-jit --example gmm_speed

#[path = "../../loops/tests/it/common/mod.rs"]
mod common;

use std::time::Instant;

use common::gmm::{Fit, data, program};
use common::verified;
use lvmc_jit::{Kernels, Options, compile};
use lvmc_loops::ir::QuadShape;
use lvmc_loops::lens::{quad_packed_len, syrk_len};
use lvmc_loops::{AlignedVec, Sweep, sweep};

fn main() {
    for (rows, d, k) in [(200_000, 1, 3), (200_000, 2, 5), (200_000, 8, 10), (100_000, 32, 20)] {
        let program = verified(program(d, k));
        let values = data(d, k, rows, 1);
        println!("N={rows} D={d} K={k}");
        let raw = raw_kernels(d, k, rows, &values);
        println!("  raw kernels, 1 thread           {raw:8.3} ms");
        for kernels in [Kernels::Block, Kernels::None] {
            let machine = compile(&program, &Options { kernels }).expect("it compiles");
            let (time, size) = (machine.time().as_secs_f64() * 1e3, machine.size());
            println!("  {kernels:?}: compiled in {time:.2} ms, {size} bytes");
            for (name, time, size) in machine.functions() {
                println!("      {name:10} {:6.2} ms {size:6} bytes", time.as_secs_f64() * 1e3);
            }
            let mut fit = Fit::new(machine.program().clone(), d, k, &values, |_| 1.0);
            fit.step(&machine, 1, false);
            let plan = Sweep::named(&fit.program, "sweep", "finish").expect("a sweep");
            for threads in [1, 2] {
                let best = (0..if kernels == Kernels::Block { 30 } else { 5 })
                    .map(|_| {
                        let start = Instant::now();
                        sweep(&machine, &mut fit.memory, &plan, threads);
                        start.elapsed().as_secs_f64() * 1e3
                    })
                    .fold(f64::INFINITY, f64::min);
                let over = if threads == 1 {
                    format!("{:+.1} % of raw", 100.0 * (best / raw - 1.0))
                } else {
                    String::new()
                };
                println!("  {kernels:?}, {threads} thread(s)            {best:8.3} ms  {over}");
            }
        }
    }
}

/// The same kernels called from a plain loop over blocks; the best of several passes, in ms.
fn raw_kernels(d: usize, k: usize, rows: usize, values: &[f64]) -> f64 {
    let kernels = lvmc_kernels::block::kernels();
    let block = lvmc_kernels::block::block_rows(d);
    let layout = lvmc_loops::RowLayout { rows, block };
    let x = layout.fill(d, lvmc_loops::Padding::LastRow, |r, c| values[r * d + c]);
    let shape = QuadShape::Triangular { lead: 0 };
    let (packed, acc_len) = (quad_packed_len(d, d, shape), syrk_len(d, false));
    let mut coef = AlignedVec::zeroed(k * packed);
    coef.iter_mut()
        .enumerate()
        .for_each(|(i, c)| *c = 0.01 * (i % 7) as f64);
    let mut resp = AlignedVec::zeroed(k * block);
    let mut acc = AlignedVec::zeroed(k * acc_len);
    let mut total = [0.0];
    let mut pass = || {
        let start = Instant::now();
        for b in 0..layout.blocks() {
            // SAFETY: block b of x holds d columns; the other buffers have the lengths that the kernels ask for
            unsafe {
                let xb = x.as_ptr().add(b * block * d);
                (kernels.quad)(
                    xb,
                    d,
                    d,
                    0,
                    coef.as_ptr(),
                    packed,
                    k,
                    resp.as_mut_ptr(),
                    block,
                    0,
                    block,
                );
                (kernels.softmax)(
                    resp.as_mut_ptr(),
                    k,
                    block,
                    std::ptr::null_mut(),
                    total.as_mut_ptr(),
                    block,
                );
                (kernels.syrk)(xb, d, resp.as_ptr(), block, k, acc.as_mut_ptr(), acc_len, block);
            }
        }
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..30).map(|_| pass()).fold(f64::INFINITY, f64::min)
}
