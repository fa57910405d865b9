//! A VAE 784-400-(20, 20)-400-784 step, written by hand as an array program: samples a second.
//!
//! `dense_vae [STEPS] [ROUNDS] [BATCH] [THREADS]`. Prints one line for each number of threads; the peers are PyTorch and JAX on the
//! same net, batch and optimiser.

use lvmc_dense::ir::*;
use lvmc_dense::{Columns, Executor, Method, OptimiserStep, Trained};
use lvmc_jit::dense::Native;
use std::time::Instant;

const D: usize = 784;
const H: usize = 400;
const Z: usize = 20;

#[derive(Default)]
struct Builder {
    program: Program,
}

fn element(array: ArrayId) -> Read {
    Read {
        array,
        offset: 0,
        access: Access::Element,
    }
}

fn per_row(array: ArrayId, cols: usize) -> Matrix {
    Matrix {
        array,
        offset: 0,
        rows: Count::PerRow(1),
        cols,
        stride: cols,
        transposed: false,
    }
}

fn once(array: ArrayId, rows: usize, cols: usize) -> Matrix {
    Matrix {
        array,
        offset: 0,
        rows: Count::Fixed(rows),
        cols,
        stride: cols,
        transposed: false,
    }
}

fn t(m: Matrix) -> Matrix {
    Matrix {
        transposed: !m.transposed,
        ..m
    }
}

impl Builder {
    fn array(&mut self, name: &str, extent: Extent, len: usize, role: Role) -> ArrayId {
        self.program.arrays.push(Array {
            name: name.into(),
            extent,
            len,
            role,
        });
        self.program.arrays.len() - 1
    }

    fn row(&mut self, name: &str, len: usize) -> ArrayId {
        self.array(name, Extent::Rows, len, Role::Scratch)
    }

    fn product(&mut self, out: Matrix, a: Matrix, b: Matrix, accumulate: bool) {
        self.program.steps.push(Step::Product { out, a, b, accumulate });
    }

    fn map(&mut self, len: usize, reads: &[ArrayId], ops: Vec<Op>, writes: &[(Reg, Fate, ArrayId)]) {
        let writes = writes
            .iter()
            .map(|&(value, fate, array)| Write {
                value,
                fate,
                array,
                offset: 0,
            })
            .collect();
        let reads = reads.iter().map(|&a| element(a)).collect();
        self.program.steps.push(Step::Map(Map {
            extent: Extent::Rows,
            len,
            reads,
            ops,
            writes,
        }));
    }
}

struct Vae {
    program: Program,
    x: ArrayId,
    loss: ArrayId,
    params: Vec<(ArrayId, ArrayId, usize)>,
}

fn vae() -> Vae {
    use Op::{Binary as B, Const, Unary as U};
    use lvmc_dense::ir::Binary::{Add, Lt, Mul, Sub};
    use lvmc_dense::ir::Unary::{Exp, Sigmoid, Softplus};
    let mut b = Builder::default();
    let x = b.array("x", Extent::Rows, D, Role::Input);
    let noise = b.array("e", Extent::Rows, Z, Role::Noise(Noise::Normal));
    let mut params = Vec::new();
    let mut layer = |b: &mut Builder, name: &str, i: usize, o: usize| {
        let w = b.array(&format!("{name}.w"), Extent::Once, i * o, Role::Param);
        let c = b.array(&format!("{name}.b"), Extent::Once, o, Role::Param);
        let dw = b.array(&format!("d {name}.w"), Extent::Once, i * o, Role::Output);
        let dc = b.array(&format!("d {name}.b"), Extent::Once, o, Role::Output);
        params.extend([(w, dw, i), (c, dc, 0)]);
        [w, c, dw, dc]
    };
    let enc = layer(&mut b, "enc", D, H);
    let mean = layer(&mut b, "mean", H, Z);
    let lvar = layer(&mut b, "lvar", H, Z);
    let dec = layer(&mut b, "dec", Z, H);
    let out = layer(&mut b, "out", H, D);
    let [a1, h1, m0, v0, m, v, z, a2, h2, l0] = [
        ("a1", H),
        ("h1", H),
        ("m0", Z),
        ("v0", Z),
        ("m", Z),
        ("v", Z),
        ("z", Z),
        ("a2", H),
        ("h2", H),
        ("l0", D),
    ]
    .map(|(name, len)| b.row(name, len));
    let [dl, dh2, da2, dz, dm, dv, dh1, da1] = [
        ("dl", D),
        ("dh2", H),
        ("da2", H),
        ("dz", Z),
        ("dm", Z),
        ("dv", Z),
        ("dh1", H),
        ("da1", H),
    ]
    .map(|(name, len)| b.row(name, len));
    let loss = b.array("loss", Extent::Once, 1, Role::Output);
    let kl = b.array("kl", Extent::Once, 1, Role::Output);
    let relu = vec![B(Add, 0, 1), Const(0.0), B(lvmc_dense::ir::Binary::Max, 2, 3)];
    // forward
    b.product(per_row(a1, H), per_row(x, D), once(enc[0], D, H), false);
    b.map(H, &[a1, enc[1]], relu.clone(), &[(4, Fate::Store, h1)]);
    b.product(per_row(m0, Z), per_row(h1, H), once(mean[0], H, Z), false);
    b.product(per_row(v0, Z), per_row(h1, H), once(lvar[0], H, Z), false);
    // registers 0 m0, 1 its bias, 2 v0, 3 its bias, 4 noise, 5 m, 6 v, 7 0.5, 8 v/2, 9 sd, 10 sd e, 11 z
    let code = vec![
        B(Add, 0, 1),
        B(Add, 2, 3),
        Const(0.5),
        B(Mul, 6, 7),
        U(Exp, 8),
        B(Mul, 9, 4),
        B(Add, 5, 10),
    ];
    let stores = [(5, Fate::Store, m), (6, Fate::Store, v), (11, Fate::Store, z)];
    b.map(Z, &[m0, mean[1], v0, lvar[1], noise], code, &stores);
    b.product(per_row(a2, H), per_row(z, Z), once(dec[0], Z, H), false);
    b.map(H, &[a2, dec[1]], relu, &[(4, Fate::Store, h2)]);
    b.product(per_row(l0, D), per_row(h2, H), once(out[0], H, D), false);
    // 0 l0, 1 bias, 2 x, 3 l, 4 softplus, 5 l x, 6 loss, 7 sigmoid, 8 dl
    let bernoulli = vec![
        B(Add, 0, 1),
        U(Softplus, 3),
        B(Mul, 3, 2),
        B(Sub, 4, 5),
        U(Sigmoid, 3),
        B(Sub, 7, 2),
    ];
    let results = [
        (6, Fate::SumAll, loss),
        (8, Fate::Store, dl),
        (8, Fate::SumRows, out[3]),
    ];
    b.map(D, &[l0, out[1], x], bernoulli, &results);
    // backward
    b.product(once(out[2], H, D), t(per_row(h2, H)), per_row(dl, D), false);
    b.product(per_row(dh2, H), per_row(dl, D), t(once(out[0], H, D)), false);
    let gate = vec![Const(0.0), B(Lt, 2, 1), B(Mul, 0, 3)];
    b.map(
        H,
        &[dh2, h2],
        gate.clone(),
        &[(4, Fate::Store, da2), (4, Fate::SumRows, dec[3])],
    );
    b.product(once(dec[2], Z, H), t(per_row(z, Z)), per_row(da2, H), false);
    b.product(per_row(dz, Z), per_row(da2, H), t(once(dec[0], Z, H)), false);
    // 0 dz, 1 m, 2 v, 3 e, 4 dm = dz + m, 5 ½, 6 v/2, 7 sd, 8 dz e, 9 dz e sd, 10 e^v, 11 1, 12 e^v − 1, 13 sum, 14 dv
    let mut gaussian = vec![
        B(Add, 0, 1),
        Const(0.5),
        B(Mul, 2, 5),
        U(Exp, 6),
        B(Mul, 0, 3),
        B(Mul, 8, 7),
        U(Exp, 2),
    ];
    gaussian.extend([Const(1.0), B(Sub, 10, 11), B(Add, 9, 12), B(Mul, 13, 5)]);
    // 15 m², 16 m² − v, 17 + e^v − 1, 18 kl
    gaussian.extend([B(Mul, 1, 1), B(Sub, 15, 2), B(Add, 16, 12), B(Mul, 17, 5)]);
    let results = [
        (4, Fate::Store, dm),
        (14, Fate::Store, dv),
        (4, Fate::SumRows, mean[3]),
        (14, Fate::SumRows, lvar[3]),
        (18, Fate::SumAll, kl),
    ];
    b.map(Z, &[dz, m, v, noise], gaussian, &results);
    b.product(once(mean[2], H, Z), t(per_row(h1, H)), per_row(dm, Z), false);
    b.product(once(lvar[2], H, Z), t(per_row(h1, H)), per_row(dv, Z), false);
    b.product(per_row(dh1, H), per_row(dm, Z), t(once(mean[0], H, Z)), false);
    b.product(per_row(dh1, H), per_row(dv, Z), t(once(lvar[0], H, Z)), true);
    b.map(
        H,
        &[dh1, h1],
        gate,
        &[(4, Fate::Store, da1), (4, Fate::SumRows, enc[3])],
    );
    b.product(once(enc[2], D, H), t(per_row(x, D)), per_row(da1, H), false);
    Vae {
        program: b.program,
        x,
        loss,
        params,
    }
}

fn main() {
    let argument = |i: usize, default: usize| std::env::args().nth(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (steps, rounds, batch) = (argument(1, 200), argument(2, 5), argument(3, 128));
    let mut state = 1u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    let data: Vec<f32> = (0..4096 * D)
        .map(|_| if uniform() < 0.2 { uniform() as f32 } else { 0.0 })
        .collect();
    let data = Columns::f32(&data, D);
    let rows: Vec<u32> = (0..4096).collect();
    let Vae {
        program,
        x,
        loss,
        params,
    } = vae();
    let trained: Vec<Trained> = params
        .iter()
        .map(|&(param, gradient, _)| Trained {
            param,
            gradient,
            decay: 0.0,
        })
        .collect();
    let method = Method::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decoupled: false,
    };
    let asked = argument(4, 0);
    for threads in [1, 2].into_iter().filter(|&t| asked == 0 || asked == t) {
        let start = Instant::now();
        let mut native = Native::new(program.clone(), batch, Precision::F32, 1, threads).expect("a valid program");
        let built = start.elapsed();
        for &(param, _, fan_in) in &params {
            let bound = if fan_in == 0 { 0.0 } else { 1.0 / (fan_in as f64).sqrt() };
            let values: Vec<f64> = (0..native.program().arrays[param].len)
                .map(|_| (2.0 * uniform() - 1.0) * bound)
                .collect();
            native.set(param, &values);
        }
        let mut step = 0;
        let (mut best, mut least) = (f64::INFINITY, [f64::INFINITY; 3]);
        for _ in 0..rounds {
            let start = Instant::now();
            for _ in 0..steps {
                let from = step as usize * batch % (4096 - batch);
                step += 1;
                let mut laps = [Instant::now(); 4];
                native.set_rows_from(x, &data, &rows[from..from + batch]);
                laps[1] = Instant::now();
                native.run(batch, step);
                laps[2] = Instant::now();
                native.optimise(&OptimiserStep {
                    method,
                    rate: 1e-3,
                    scale: 1.0,
                    step,
                    trained: &trained,
                });
                laps[3] = Instant::now();
                for (least, lap) in least.iter_mut().zip(laps.windows(2)) {
                    *least = least.min((lap[1] - lap[0]).as_secs_f64() * 1e3);
                }
            }
            best = best.min(start.elapsed().as_secs_f64() / steps as f64);
        }
        println!(
            "{threads} threads: {:.0} samples/s, {:.3} ms a step (least: {:.3} gather, {:.3} run, {:.3} update), built in {:.2} ms, loss a sample {:.3}",
            batch as f64 / best,
            best * 1e3,
            least[0],
            least[1],
            least[2],
            built.as_secs_f64() * 1e3,
            native.get(loss)[0] / batch as f64
        );
    }
}
