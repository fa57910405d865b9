use lvmc_kernels::array::Float;
use lvmc_kernels::array::gemm::{Product, SCRATCH};
use std::time::Instant;
fn buf(n: usize, huge: bool) -> *mut f32 {
    let bytes = (n * 4).next_multiple_of(1 << 21);
    let p = unsafe { std::alloc::alloc_zeroed(std::alloc::Layout::from_size_align(bytes, 1 << 21).unwrap()) };
    if huge {
        unsafe extern "C" { fn madvise(p: *mut u8, n: usize, a: i32) -> i32; }
        unsafe { madvise(p, bytes, 14) };
    }
    let p = p.cast::<f32>();
    for i in 0..n { unsafe { *p.add(i) = (i % 7) as f32 * 0.1 } }
    p
}
fn main() {
    let ps = <f32 as Float>::products();
    for huge in [false, true] {
        let mut scratch = vec![0f32; SCRATCH];
        // name, m, n, k, a turned, packed
        for (name, m, n, k, at, packed) in [
            ("fwd1", 64, 400, 784, false, false), ("fwd1 packed", 64, 400, 784, false, true),
            ("fwd4", 64, 784, 400, false, false), ("fwd4 packed", 64, 784, 400, false, true),
            ("dW1", 784, 400, 128, true, false), ("dW1 part", 98, 400, 128, true, false),
            ("dW1 part packed", 98, 400, 128, true, true),
            ("dW4", 400, 784, 128, true, false),("dW4 part", 400, 80, 128, true, false),
            ("dX4 packed", 64, 400, 784, false, true),
            ("d256 packed", 64, 256, 256, false, true), ("d256 ", 64, 256, 256, false, false),
            ("dW256", 256, 256, 256, true, false), ("dW256 part", 64, 256, 256, true, false),
        ] {
            let (a, b, c) = (buf(m.max(784) * k.max(784), huge), buf(k * n, huge), buf(m * n, huge));
            let pk = buf(ps.packed_len(k, n), huge);
            if packed { unsafe { ps.pack(k, n, b, n, 1, pk, 0..n.div_ceil(ps.width)) } }
            let full = if at { if m == 98 { 784 } else if m == 64 {256} else { m } } else { k };
            let bn = if name == "dW4 part" { 784 } else { n };
            let p = Product { m, n, k, a, a_row: if at { 1 } else { k }, a_col: if at { full } else { 1 }, b: if packed { pk } else { b }, b_row: if packed { 0 } else { bn.min(n) }, c, c_row: n, add: false, scratch: scratch.as_mut_ptr() };
            let reps = (2e8 / (m * n * k) as f64) as usize + 1;
            let mut best = f64::MAX;
            for _ in 0..15 {
                let t = Instant::now();
                for _ in 0..reps { unsafe { (ps.run)(&p) } }
                best = best.min(t.elapsed().as_secs_f64() / reps as f64);
            }
            println!("huge {huge:5} {name:16} {m:4} {n:4} {k:4}: {:6.1} GF/s", 2.0 * (m * n * k) as f64 / best / 1e9);
        }
    }
}
