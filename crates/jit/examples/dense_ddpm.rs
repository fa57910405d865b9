//! A DDPM's noise-prediction net (x, 32 sinusoidal numbers of t) → 256 SiLU × 3 → x, written by hand as array programs:
//! training steps a second (batch 256, Adam), and seconds to sample 512 points in 1000 steps.
//!
//! `dense_ddpm [DIMENSIONS] [STEPS] [ROUNDS] [THREADS]`.

use lvmc_dense::ir::Binary::{Add, Mul, Sub};
use lvmc_dense::ir::Unary::{Cos, Sigmoid, Sin};
use lvmc_dense::ir::*;
use lvmc_dense::{Columns, Executor, Method, OptimiserStep, Trained};
use lvmc_jit::dense::Native;
use std::time::Instant;

const H: usize = 256;
const E: usize = 32;
const T: usize = 1000;

struct Layer {
    weights: ArrayId,
    bias: ArrayId,
    inputs: usize,
    outputs: usize,
}

#[derive(Default)]
struct Net {
    program: Program,
    layers: Vec<Layer>,
}

fn matrix(array: ArrayId, rows: Count, cols: usize, transposed: bool) -> Matrix {
    Matrix {
        array,
        offset: 0,
        rows,
        cols,
        stride: cols,
        transposed,
    }
}

const ROWS: Count = Count::PerRow(1);

impl Net {
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

    fn map(&mut self, len: usize, reads: &[(ArrayId, usize, Access)], ops: Vec<Op>, writes: Vec<Write>) {
        let read = |&(array, offset, access): &(ArrayId, usize, Access)| Read { array, offset, access };
        let reads = reads.iter().map(read).collect();
        self.program.steps.push(Step::Map(Map {
            extent: Extent::Rows,
            len,
            reads,
            ops,
            writes,
        }));
    }

    /// sin and cos of the time at 16 frequencies, into the input.
    fn embed(&mut self, time: ArrayId, frequencies: ArrayId, input: ArrayId, d: usize) {
        let ops = vec![Op::Binary(Mul, 0, 1), Op::Unary(Sin, 2), Op::Unary(Cos, 2)];
        let store = |value, offset| Write {
            value,
            fate: Fate::Store,
            array: input,
            offset,
        };
        let reads = [(time, 0, Access::Spread), (frequencies, 0, Access::Element)];
        self.map(E / 2, &reads, ops, vec![store(3, d), store(4, d + E / 2)]);
    }

    /// The net's result, and for each layer its input and what its activation was made of.
    fn forward(&mut self, input: ArrayId, d: usize) -> (ArrayId, Vec<[ArrayId; 2]>) {
        let sizes = [d + E, H, H, H, d];
        let (mut x, mut kept) = (input, Vec::new());
        for (i, pair) in sizes.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            let weights = self.array(&format!("w{i}"), Extent::Once, inputs * outputs, Role::Param);
            let bias = self.array(&format!("b{i}"), Extent::Once, outputs, Role::Param);
            let product = self.row(&format!("p{i}"), outputs);
            let [sum, y] = ["s", "h"].map(|name| self.row(&format!("{name}{i}"), outputs));
            self.program.steps.push(Step::Product {
                out: matrix(product, ROWS, outputs, false),
                a: matrix(x, ROWS, inputs, false),
                b: matrix(weights, Count::Fixed(inputs), outputs, false),
                accumulate: false,
            });
            let mut ops = vec![Op::Binary(Add, 0, 1)];
            if i < 3 {
                ops.extend([Op::Unary(Sigmoid, 2), Op::Binary(Mul, 2, 3)]);
            }
            let value = 1 + ops.len();
            let store = |value, array| Write {
                value,
                fate: Fate::Store,
                array,
                offset: 0,
            };
            let reads = [(product, 0, Access::Element), (bias, 0, Access::Element)];
            self.map(outputs, &reads, ops, vec![store(2, sum), store(value, y)]);
            self.layers.push(Layer {
                weights,
                bias,
                inputs,
                outputs,
            });
            kept.push([x, sum]);
            x = y;
        }
        (x, kept)
    }

    /// Gradients of all parameters from that of the result.
    fn backward(&mut self, mut d: ArrayId, kept: &[[ArrayId; 2]]) -> Vec<Trained> {
        let mut trained = Vec::new();
        for (i, &[x, _]) in kept.iter().enumerate().rev() {
            let Layer {
                weights,
                bias,
                inputs,
                outputs,
            } = self.layers[i];
            let dw = self.array(&format!("dw{i}"), Extent::Once, inputs * outputs, Role::Output);
            let db = self.array(&format!("db{i}"), Extent::Once, outputs, Role::Output);
            self.program.steps.push(Step::Product {
                out: matrix(dw, Count::Fixed(inputs), outputs, false),
                a: matrix(x, ROWS, inputs, true),
                b: matrix(d, ROWS, outputs, false),
                accumulate: false,
            });
            let sum = Write {
                value: 0,
                fate: Fate::SumRows,
                array: db,
                offset: 0,
            };
            self.map(outputs, &[(d, 0, Access::Element)], Vec::new(), vec![sum]);
            let pair = |param, gradient| Trained {
                param,
                gradient,
                decay: 0.0,
            };
            trained.extend([pair(weights, dw), pair(bias, db)]);
            if i == 0 {
                break;
            }
            let back = self.row(&format!("dh{i}"), inputs);
            self.program.steps.push(Step::Product {
                out: matrix(back, ROWS, inputs, false),
                a: matrix(d, ROWS, outputs, false),
                b: matrix(weights, Count::Fixed(inputs), outputs, true),
                accumulate: false,
            });
            // dh (σ + s σ (1 − σ)): 0 dh, 1 s, 2 σ, 3 1, 4 1 − σ, 5 s (1 − σ), 6 1 + s (1 − σ), 7 σ (…), 8 all
            let ops = vec![
                Op::Unary(Sigmoid, 1),
                Op::Const(1.0),
                Op::Binary(Sub, 3, 2),
                Op::Binary(Mul, 1, 4),
                Op::Binary(Add, 3, 5),
                Op::Binary(Mul, 2, 6),
                Op::Binary(Mul, 0, 7),
            ];
            let next = self.row(&format!("ds{i}"), inputs);
            let store = Write {
                value: 8,
                fate: Fate::Store,
                array: next,
                offset: 0,
            };
            let reads = [(back, 0, Access::Element), (kept[i - 1][1], 0, Access::Element)];
            self.map(inputs, &reads, ops, vec![store]);
            d = next;
        }
        trained
    }
}

struct Training {
    net: Net,
    x: ArrayId,
    loss: ArrayId,
    consts: [ArrayId; 3],
    trained: Vec<Trained>,
}

fn training(d: usize, batch: usize) -> Training {
    let mut net = Net::default();
    let x = net.array("x", Extent::Rows, d, Role::Input);
    let time = net.array("t", Extent::Rows, 1, Role::Noise(Noise::Index(T as u32)));
    let noise = net.array("e", Extent::Rows, d, Role::Noise(Noise::Normal));
    let [signal, spread] = ["√ᾱ", "√(1 − ᾱ)"].map(|name| net.array(name, Extent::Once, T, Role::Const));
    let frequencies = net.array("frequencies", Extent::Once, E / 2, Role::Const);
    let [a, b] = ["a", "b"].map(|name| net.row(name, 1));
    let input = net.row("input", d + E);
    let single = |array, access| Read {
        array,
        offset: 0,
        access,
    };
    for (out, table) in [(a, signal), (b, spread)] {
        net.program.steps.push(Step::Gather {
            out: single(out, Access::Element),
            table: single(table, Access::Element),
            index: single(time, Access::Spread),
            len: 1,
            entries: T,
        });
    }
    let ops = vec![Op::Binary(Mul, 0, 1), Op::Binary(Mul, 2, 3), Op::Binary(Add, 4, 5)];
    let reads = [
        (a, 0, Access::Spread),
        (x, 0, Access::Element),
        (b, 0, Access::Spread),
        (noise, 0, Access::Element),
    ];
    let store = |value, fate, array| Write {
        value,
        fate,
        array,
        offset: 0,
    };
    net.map(d, &reads, ops, vec![store(6, Fate::Store, input)]);
    net.embed(time, frequencies, input, d);
    let (y, kept) = net.forward(input, d);
    let loss = net.array("loss", Extent::Once, 1, Role::Output);
    let dy = net.row("dy", d);
    let scale = 2.0 / (batch * d) as f64;
    let ops = vec![
        Op::Binary(Sub, 0, 1),
        Op::Binary(Mul, 2, 2),
        Op::Const(scale),
        Op::Binary(Mul, 2, 4),
    ];
    let reads = [(y, 0, Access::Element), (noise, 0, Access::Element)];
    net.map(
        d,
        &reads,
        ops,
        vec![store(3, Fate::SumAll, loss), store(5, Fate::Store, dy)],
    );
    let trained = net.backward(dy, &kept);
    Training {
        net,
        x,
        loss,
        consts: [signal, spread, frequencies],
        trained,
    }
}

/// One step of sampling: the state, the time, coefficients (1/√α, β/√(1 − ᾱ), √β) and the next state.
fn sampling(d: usize) -> (Net, [ArrayId; 5]) {
    let mut net = Net::default();
    let x = net.array("x", Extent::Rows, d, Role::Input);
    let time = net.array("t", Extent::Once, 1, Role::Const);
    let coefficients = net.array("c", Extent::Once, 3, Role::Const);
    let frequencies = net.array("frequencies", Extent::Once, E / 2, Role::Const);
    let noise = net.array("e", Extent::Rows, d, Role::Noise(Noise::Normal));
    let input = net.row("input", d + E);
    let store = |value, array| Write {
        value,
        fate: Fate::Store,
        array,
        offset: 0,
    };
    net.map(d, &[(x, 0, Access::Element)], Vec::new(), vec![store(0, input)]);
    net.embed(time, frequencies, input, d);
    let (y, _) = net.forward(input, d);
    let next = net.array("next", Extent::Rows, d, Role::Output);
    // (x − c₁ y) c₀ + c₂ e: 0 x, 1 y, 2 e, 3 c₀, 4 c₁, 5 c₂
    let ops = vec![
        Op::Binary(Mul, 4, 1),
        Op::Binary(Sub, 0, 6),
        Op::Binary(Mul, 7, 3),
        Op::Ternary(Ternary::Fma, 5, 2, 8),
    ];
    let reads = [
        (x, 0, Access::Element),
        (y, 0, Access::Element),
        (noise, 0, Access::Element),
        (coefficients, 0, Access::Spread),
        (coefficients, 1, Access::Spread),
        (coefficients, 2, Access::Spread),
    ];
    net.map(d, &reads, ops, vec![store(9, next)]);
    (net, [x, time, coefficients, frequencies, next])
}

fn main() {
    let argument = |i: usize, default: usize| std::env::args().nth(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (d, steps, rounds, batch) = (argument(1, 2), argument(2, 300), argument(3, 5), 256);
    let mut state = 1u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    let data: Vec<f32> = (0..4096 * d).map(|_| (uniform() * 3.46 - 1.73) as f32).collect();
    let data = Columns::f32(&data, d);
    let rows: Vec<u32> = (0..4096).collect();
    let beta: Vec<f64> = (0..T)
        .map(|t| 1e-4 + (0.02 - 1e-4) * t as f64 / (T - 1) as f64)
        .collect();
    let mut bar = 1.0;
    let bars: Vec<f64> = beta
        .iter()
        .map(|b| {
            bar *= 1.0 - b;
            bar
        })
        .collect();
    let frequencies: Vec<f64> = (0..E / 2)
        .map(|i| (-(1e4f64.ln()) * i as f64 / (E / 2) as f64).exp())
        .collect();
    let method = Method::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decoupled: false,
    };
    let asked = argument(4, 0);
    for threads in [1, 2].into_iter().filter(|&t| asked == 0 || asked == t) {
        let Training {
            net,
            x,
            loss,
            consts,
            trained,
        } = training(d, batch);
        let mut native = Native::new(net.program, batch, Precision::F32, 1, threads).expect("a valid program");
        let of = |f: &dyn Fn(f64) -> f64| bars.iter().map(|&b| f(b)).collect::<Vec<f64>>();
        native.set(consts[0], &of(&f64::sqrt));
        native.set(consts[1], &of(&|b| (1.0 - b).sqrt()));
        native.set(consts[2], &frequencies);
        for layer in &net.layers {
            let bound = 1.0 / (layer.inputs as f64).sqrt();
            let n = layer.inputs * layer.outputs;
            native.set(
                layer.weights,
                &(0..n).map(|_| (2.0 * uniform() - 1.0) * bound).collect::<Vec<_>>(),
            );
        }
        let (mut step, mut best, mut least) = (0, f64::INFINITY, f64::INFINITY);
        for _ in 0..rounds {
            let start = Instant::now();
            for _ in 0..steps {
                let lap = Instant::now();
                let from = step as usize * batch % (4096 - batch);
                step += 1;
                native.set_rows_from(x, &data, &rows[from..from + batch]);
                native.run(batch, step);
                native.optimise(&OptimiserStep {
                    method,
                    rate: 1e-3,
                    scale: 1.0,
                    step,
                    trained: &trained,
                });
                least = least.min(lap.elapsed().as_secs_f64() * 1e3);
            }
            best = best.min(start.elapsed().as_secs_f64() / steps as f64);
        }
        let loss = native.get(loss)[0] / (batch * d) as f64;
        let (sampler, [x, time, coefficients, frequency, next]) = sampling(d);
        let mut chain = Native::new(sampler.program, 512, Precision::F32, 2, threads).expect("a valid program");
        chain.set(frequency, &frequencies);
        for (to, from) in sampler.layers.iter().zip(&net.layers) {
            chain.set(to.weights, &native.get(from.weights));
            chain.set(to.bias, &native.get(from.bias));
        }
        let mut seconds = f64::INFINITY;
        for _ in 0..3 {
            let start = Instant::now();
            chain.set(x, &(0..512 * d).map(|_| uniform() * 2.0 - 1.0).collect::<Vec<_>>());
            for t in (0..T).rev() {
                chain.set(time, &[t as f64]);
                let keep = if t > 0 { beta[t].sqrt() } else { 0.0 };
                let c = [(1.0 - beta[t]).sqrt().recip(), beta[t] / (1.0 - bars[t]).sqrt(), keep];
                chain.set(coefficients, &c);
                chain.run(512, t as u64);
                chain.copy(next, x);
            }
            seconds = seconds.min(start.elapsed().as_secs_f64());
        }
        println!(
            "{threads} threads: {:.0} steps/s, {:.3} ms a step (least {least:.3}), loss {loss:.4}; 512 samples in {seconds:.3} s",
            1.0 / best,
            best * 1e3,
        );
    }
}
