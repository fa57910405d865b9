//! Times the kernels of a full-covariance Gaussian mixture as the compiled driver will call them: one EM iteration's
//! sweep over the data, kernel by kernel and as a whole, on one thread and on the pool.
//!
//! `cargo run --release -p lvmc-kernels --example gmm_blocks [-- rounds [block-rows or 0 [inputs]]]`

use lvmc_kernels::block::{Kernels, Shape, block_rows, kernels, pack_quad, quad_len, quad_packed_len, syrk_len};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Numbers aligned to 64 bytes.
struct Aligned {
    data: Vec<f64>,
    skip: usize,
}

impl Aligned {
    fn new(n: usize) -> Self {
        let data = vec![0.0; n + 8];
        let skip = data.as_ptr().align_offset(64);
        Self { data, skip }
    }
    fn ptr(&self) -> *const f64 {
        self.data[self.skip..].as_ptr()
    }
    fn ptr_mut(&mut self) -> *mut f64 {
        self.data[self.skip..].as_mut_ptr()
    }
}

const CHUNKS: usize = 16;

struct Case {
    d: usize,
    k: usize,
    rows: usize,
    blocks: usize,
    x: Aligned,
    coef: Vec<f64>,
    packed: usize,
}

impl Case {
    fn new(n: usize, d: usize, k: usize, rows: usize) -> Self {
        let blocks = n.div_ceil(rows);
        let mut state = 1u64;
        let mut uniform = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        let mut x = Aligned::new(blocks * rows * d);
        let skip = x.skip;
        x.data[skip..].iter_mut().for_each(|v| *v = 6.0 * uniform());
        let shape = Shape::Triangular { lead: 0 };
        let packed = quad_packed_len(d, d, shape);
        let mut coef = vec![0.0; k * packed];
        for packed in coef.chunks_exact_mut(packed) {
            let mut logical: Vec<f64> = (0..quad_len(d, d, shape)).map(|_| uniform()).collect();
            for j in 0..d {
                logical[1 + j * (1 + d) + 1 + j] += 1.0;
            }
            pack_quad(&logical, packed, d, d, shape);
        }
        Self {
            d,
            k,
            rows,
            blocks,
            x,
            coef,
            packed,
        }
    }
}

/// Scratch of a thread.
struct Scratch {
    table: Aligned,
    acc: Vec<f64>,
    total: f64,
}

impl Scratch {
    fn new(case: &Case) -> Self {
        Self {
            table: Aligned::new(case.k * case.rows),
            acc: vec![0.0; case.k * syrk_len(case.d, false)],
            total: 0.0,
        }
    }
}

/// Blocks `from .. to`; `parts` chooses kernels (1 quad, 2 softmax, 4 syrk).
fn sweep(kernels: &Kernels, case: &Case, scratch: &mut Scratch, from: usize, to: usize, parts: u32) {
    let (d, k, rows) = (case.d, case.k, case.rows);
    let table = scratch.table.ptr_mut();
    let len = syrk_len(d, false);
    for block in from..to {
        // SAFETY: block < blocks; scratch was made for this case
        unsafe {
            let x = case.x.ptr().add(block * rows * d);
            if parts & 1 != 0 {
                (kernels.quad)(x, d, d, 0, case.coef.as_ptr(), case.packed, k, table, rows, 0, rows);
            }
            if parts & 2 != 0 {
                (kernels.softmax)(table, k, rows, std::ptr::null_mut(), &raw mut scratch.total, rows);
            }
            if parts & 4 != 0 {
                (kernels.syrk)(x, d, table, rows, k, scratch.acc.as_mut_ptr(), len, rows);
            }
        }
    }
}

/// Lowers `best` to the least milliseconds of a call within some time.
fn least(best: &mut f64, seconds: f64, mut f: impl FnMut()) {
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < seconds {
        let t = Instant::now();
        f();
        *best = best.min(t.elapsed().as_secs_f64() * 1e3);
    }
}

/// A case with what was measured: quad, quad + softmax, syrk, sweep on one and on two threads.
struct Run {
    case: Case,
    n: usize,
    scratches: Vec<Mutex<Scratch>>,
    best: [f64; 5],
}

impl Run {
    fn new(n: usize, d: usize, k: usize, rows: usize) -> Self {
        let case = Case::new(n, d, k, rows);
        let scratches = (0..2).map(|_| Mutex::new(Scratch::new(&case))).collect();
        Self {
            case,
            n,
            scratches,
            best: [f64::INFINITY; 5],
        }
    }

    fn flops(&self) -> f64 {
        let d = self.case.d;
        (self.n * self.case.k * (d * (d + 1) + 2 * d)) as f64
    }

    /// Measures for a moment; the machine is seldom quiet, so there are many rounds.
    fn measure(&mut self, kernels: &Kernels, seconds: f64) {
        let (case, all) = (&self.case, self.case.blocks);
        // kernels by themselves in short slices
        let slice = ((1e6 / self.flops() * all as f64) as usize).clamp(1, all);
        for (best, parts) in self.best.iter_mut().zip([1, 3, 4]) {
            let mut scratch = self.scratches[0].lock().unwrap();
            let mut from = 0;
            let scale = all as f64 / slice as f64;
            let mut least_slice = *best / scale;
            least(&mut least_slice, seconds, || {
                sweep(kernels, case, &mut scratch, from, from + slice, parts);
                from = (from + slice) % (all - slice + 1);
            });
            *best = least_slice * scale;
        }
        least(&mut self.best[3], seconds, || {
            sweep(kernels, case, &mut self.scratches[0].lock().unwrap(), 0, all, 7)
        });
        least(&mut self.best[4], 2.0 * seconds, || {
            let next = AtomicUsize::new(0);
            lvmc_kernels::pool::run(2, &|thread| {
                let mut scratch = self.scratches[thread].lock().unwrap();
                loop {
                    let chunk = next.fetch_add(1, Ordering::Relaxed);
                    if chunk >= CHUNKS {
                        break;
                    }
                    sweep(
                        kernels,
                        case,
                        &mut scratch,
                        all * chunk / CHUNKS,
                        all * (chunk + 1) / CHUNKS,
                        7,
                    );
                }
            });
        });
    }

    fn print(&self) {
        let [quad, both, syrk, one, two] = self.best;
        let (flops, per) = (self.flops() / 1e6, (self.n * self.case.k) as f64 / 1e6);
        let (n, d, k, rows, softmax) = (self.n, self.case.d, self.case.k, self.case.rows, both - quad);
        println!(
            "{n:6} {d:3} {k:3} {rows:4} | {quad:8.3} ({:4.1}) {softmax:8.3} ({:4.2}) {syrk:8.3} ({:4.1}) | {one:9.3} {two:9.3}",
            flops / quad,
            softmax / per,
            flops / syrk,
        );
    }
}

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let rounds = args.next().unwrap_or(10);
    let forced = args.next();
    let only = args.next();
    let kernels = kernels();
    let mut runs: Vec<Run> = [
        (200_000, 1, 3),
        (200_000, 2, 5),
        (200_000, 3, 4),
        (200_000, 4, 6),
        (200_000, 8, 10),
        (200_000, 13, 10),
        (100_000, 16, 10),
        (100_000, 32, 20),
    ]
    .into_iter()
    .filter(|(_, d, _)| only.is_none_or(|only| only == *d))
    .map(|(n, d, k)| Run::new(n, d, k, forced.filter(|b| *b > 0).unwrap_or(block_rows(d))))
    .collect();
    for _ in 0..rounds {
        runs.iter_mut().for_each(|run| run.measure(kernels, 0.02));
    }
    println!(
        "{}: ms per iteration (GF/s of useful work); softmax in ns per entry",
        kernels.name
    );
    println!("     n   d   k rows |          quad        softmax           syrk |  sweep 1T  sweep 2T");
    runs.iter().for_each(Run::print);
}
