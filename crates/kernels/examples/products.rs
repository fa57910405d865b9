//! GF/s of our products and of the `gemm` crate, one thread, on the shapes of small nets: least time of many.

use lvmc_kernels::array::Float;
use lvmc_kernels::array::gemm::{Product, SCRATCH};
use std::time::Instant;

fn best(mut f: impl FnMut()) -> f64 {
    let repeat = 60;
    (0..repeat).fold(f64::INFINITY, |least, _| {
        let start = Instant::now();
        f();
        least.min(start.elapsed().as_secs_f64())
    })
}

fn main() {
    let products = <f32 as Float>::products();
    println!(
        "{:>6} {:>6} {:>6} {:>10} {:>10} {:>10} {:>10}",
        "m", "k", "n", "packed", "with pack", "in place", "gemm"
    );
    for (m, k, n, turned) in [
        (128, 784, 400, false),
        (32, 784, 400, false),
        (64, 784, 400, false),
        (128, 400, 784, false),
        (128, 400, 40, false),
        (784, 128, 400, true),
        (400, 128, 784, true),
        (98, 128, 400, true),
        (256, 256, 256, false),
        (256, 256, 256, true),
        (64, 256, 256, false),
        (96, 256, 256, false),
        (256, 34, 256, false),
        (256, 256, 2, false),
    ] {
        let a = vec![0.5f32; m * k];
        let b = vec![0.25f32; k * n];
        let mut c = vec![0f32; m * n];
        let mut scratch = vec![0f32; SCRATCH];
        let mut packed = vec![0f32; products.packed_len(k, n)];
        let (a_row, a_col) = if turned { (1, m) } else { (k, 1) };
        let mut p = Product {
            m,
            n,
            k,
            a: a.as_ptr(),
            a_row,
            a_col,
            b: packed.as_ptr(),
            b_row: 0,
            c: c.as_mut_ptr(),
            c_row: n,
            add: false,
            scratch: scratch.as_mut_ptr(),
        };
        let flops = 2.0 * (m * k * n) as f64 * 1e-9;
        // SAFETY: operands have their shapes
        unsafe {
            let packing = best(|| products.pack((k, n), b.as_ptr(), (n, 1), packed.as_mut_ptr(), (0..k, 0..n)));
            let ours = best(|| (products.run)(&p));
            (p.b, p.b_row) = (b.as_ptr(), n);
            let place = best(|| (products.run)(&p));
            let theirs = best(|| {
                gemm::gemm(
                    m,
                    n,
                    k,
                    p.c,
                    1,
                    n as isize,
                    false,
                    p.a,
                    a_col as isize,
                    a_row as isize,
                    b.as_ptr(),
                    1,
                    n as isize,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            });
            let [a, b, c, d] = [ours, ours + packing, place, theirs].map(|t| flops / t);
            println!("{m:>6} {k:>6} {n:>6} {a:>10.1} {b:>10.1} {c:>10.1} {d:>10.1}");
        }
    }
}
