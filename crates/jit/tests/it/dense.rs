//! Native array programs against the interpreter: random programs, any number of threads, optimisers.

use lvmc_dense::ir::*;
use lvmc_dense::{Build, Executor, Interpreter, Method, OptimiserStep, Trained};
use lvmc_jit::dense::Native;
use proptest::prelude::*;

/// A small generator, so that programs shrink with one number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    fn number(&mut self) -> f64 {
        self.roll(2001) as f64 / 1000.0 - 1.0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// Builds random programs of arrays that hold numbers of moderate size.
struct Maker {
    dice: Dice,
    program: Program,
    ready: Vec<ArrayId>,
}

impl Maker {
    fn array(&mut self, extent: Extent, len: usize, role: Role) -> ArrayId {
        let name = format!("a{}", self.program.arrays.len());
        self.program.arrays.push(Array {
            name,
            extent,
            len,
            role,
        });
        self.program.arrays.len() - 1
    }

    fn made(&mut self, extent: Extent, len: usize) -> ArrayId {
        let role = self.dice.pick(&[Role::Scratch, Role::Output]);
        self.array(extent, len, role)
    }

    fn known(&mut self, extent: Extent, at_least: usize) -> Option<ArrayId> {
        let fits = |id: &&ArrayId| {
            let array = &self.program.arrays[**id];
            array.extent == extent && array.len >= at_least
        };
        let found: Vec<ArrayId> = self.ready.iter().filter(fits).copied().collect();
        (!found.is_empty()).then(|| self.dice.pick(&found))
    }

    fn source(&mut self, len: usize) -> ArrayId {
        let extent = self.dice.pick(&[Extent::Rows, Extent::Once]);
        if let Some(id) = self.known(extent, len) {
            return id;
        }
        let role = match extent {
            Extent::Rows => self
                .dice
                .pick(&[Role::Input, Role::Noise(Noise::Normal), Role::Noise(Noise::Uniform)]),
            Extent::Once => self.dice.pick(&[Role::Param, Role::Const]),
        };
        let spare = self.dice.roll(2) * self.dice.roll(5);
        let id = self.array(extent, len + spare, role);
        self.ready.push(id);
        id
    }

    fn read(&mut self, len: usize, rows: bool) -> Read {
        let access = self.dice.pick(&[Access::Element, Access::Element, Access::Spread]);
        let needed = if access == Access::Element { len } else { 1 };
        let array = if rows {
            self.source(needed)
        } else {
            self.known(Extent::Once, needed).unwrap_or_else(|| {
                let id = self.array(Extent::Once, needed, Role::Const);
                self.ready.push(id);
                id
            })
        };
        let offset = self.dice.roll(self.program.arrays[array].len - needed + 1);
        Read { array, offset, access }
    }

    fn map(&mut self) {
        let len = self.dice.pick(&[1, 2, 3, 7, 20, 47, 48, 64, 100, 257, 300]);
        let rows = self.dice.roll(5) > 0;
        let reads: Vec<Read> = (0..1 + self.dice.roll(4)).map(|_| self.read(len, rows)).collect();
        let mut ops: Vec<Op> = Vec::new();
        // a bounded number goes into each operation, so that results of long chains stay comparable
        for _ in 0..1 + self.dice.roll(9) {
            let defined = reads.len() + ops.len();
            let [a, b, c] = [0; 3].map(|_: usize| self.dice.roll(defined));
            let unary = [
                Unary::Neg,
                Unary::Abs,
                Unary::Sigmoid,
                Unary::Softplus,
                Unary::Tanh,
                Unary::Sin,
                Unary::Cos,
            ];
            let tamed = match self.dice.roll(8) {
                0 => Op::Const(self.dice.number()),
                1 => Op::Unary(self.dice.pick(&unary), a),
                2 => Op::Binary(self.dice.pick(&[Binary::Add, Binary::Sub, Binary::Mul]), a, b),
                3 => Op::Binary(self.dice.pick(&[Binary::Min, Binary::Max]), a, b),
                4 => Op::Ternary(Ternary::Fma, a, b, c),
                5 => {
                    ops.extend([Op::Unary(Unary::Tanh, a), Op::Unary(Unary::Exp, defined)]);
                    Op::Unary(self.dice.pick(&[Unary::Log, Unary::Sqrt, Unary::Log1p]), defined + 1)
                }
                6 if self.dice.roll(4) == 0 => Op::Position,
                _ => Op::Unary(Unary::Tanh, a),
            };
            ops.push(tamed);
            let last = reads.len() + ops.len() - 1;
            ops.push(Op::Unary(Unary::Tanh, last));
        }
        let extent = if rows { Extent::Rows } else { Extent::Once };
        let registers = reads.len() + ops.len();
        let mut writes = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            let value = if self.dice.roll(4) > 0 {
                registers - 1
            } else {
                self.dice.roll(registers)
            };
            let fates = [
                Fate::Store,
                Fate::Store,
                Fate::SumElements,
                Fate::MaxElements,
                Fate::SumRows,
                Fate::SumAll,
            ];
            let fate = self.dice.pick(&fates);
            let needed = if matches!(fate, Fate::Store | Fate::SumRows) {
                len
            } else {
                1
            };
            let to = if matches!(fate, Fate::SumRows | Fate::SumAll) {
                Extent::Once
            } else {
                extent
            };
            let exact = self.dice.roll(2) == 0;
            let offset = if exact { 0 } else { self.dice.roll(4) };
            let array = self.made(to, needed + offset);
            writes.push(Write {
                value,
                fate,
                array,
                offset,
            });
        }
        self.ready
            .extend(writes.iter().filter(|w| w.offset == 0).map(|w| w.array));
        self.program.steps.push(Step::Map(Map {
            extent,
            len,
            reads,
            ops,
            writes,
        }));
    }

    /// A matrix of the given shape as it is read, in an array of its own or one that is there.
    fn matrix(&mut self, rows: Count, cols: Count, fresh: bool) -> Matrix {
        let (transposed, rows, cols) = match (rows, cols) {
            (rows @ Count::PerRow(_), Count::Fixed(cols)) => (false, rows, cols),
            (Count::Fixed(cols), rows @ Count::PerRow(_)) => (true, rows, cols),
            (Count::Fixed(r), Count::Fixed(c)) if self.dice.roll(2) == 0 => (true, Count::Fixed(c), r),
            (rows, Count::Fixed(cols)) => (false, rows, cols),
            _ => unreachable!("one of them is fixed"),
        };
        let spare = if fresh { 0 } else { self.dice.roll(3) };
        let stride = cols + spare;
        let (extent, len) = match rows {
            Count::Fixed(r) => (Extent::Once, r * stride),
            Count::PerRow(p) => (Extent::Rows, p * stride),
        };
        let exact = |program: &Program, id: &ArrayId| {
            let array = &program.arrays[*id];
            array.extent == extent && array.len == len
        };
        let array = if fresh {
            self.made(extent, len)
        } else {
            let known = self.ready.iter().copied().find(|id| exact(&self.program, id));
            known.unwrap_or_else(|| {
                let role = if extent == Extent::Once {
                    Role::Param
                } else {
                    Role::Input
                };
                let id = self.array(extent, len, role);
                self.ready.push(id);
                id
            })
        };
        Matrix {
            array,
            offset: 0,
            rows,
            cols,
            stride,
            transposed,
        }
    }

    fn product(&mut self) {
        let sizes = [1, 2, 5, 17, 33, 40, 100];
        let [m, n, k] = [0; 3].map(|_: usize| Count::Fixed(self.dice.pick(&sizes)));
        let rows = Count::PerRow(self.dice.pick(&[1, 1, 3]));
        let (m, n, k) = match self.dice.roll(4) {
            0 => (rows, n, k),
            1 => (m, rows, k),
            2 => (m, n, rows),
            _ => (m, n, k),
        };
        let a = self.matrix(m, k, false);
        let b = self.matrix(k, n, false);
        let out = self.matrix(m, n, true);
        self.program.steps.push(Step::Product {
            out,
            a,
            b,
            accumulate: false,
        });
        if self.dice.roll(3) == 0 {
            let step = Step::Product {
                out,
                a,
                b,
                accumulate: true,
            };
            self.program.steps.push(step);
        }
        self.ready.push(out.array);
    }

    fn batched(&mut self) {
        let [m, n, k] = [0; 3].map(|_: usize| 1 + self.dice.roll(4));
        let operand = |maker: &mut Self, rows: usize, cols: usize| {
            let array = maker.source(rows * cols);
            let transposed = maker.dice.roll(2) == 0;
            let (rows, cols) = if transposed { (cols, rows) } else { (rows, cols) };
            Matrix {
                array,
                offset: 0,
                rows: Count::Fixed(rows),
                cols,
                stride: cols,
                transposed,
            }
        };
        let a = operand(self, m, k);
        let b = operand(self, k, n);
        let array = self.made(Extent::Rows, m * n);
        let out = Matrix {
            array,
            offset: 0,
            rows: Count::Fixed(m),
            cols: n,
            stride: n,
            transposed: false,
        };
        self.program.steps.push(Step::Batched {
            out,
            a,
            b,
            accumulate: false,
        });
        self.ready.push(array);
    }

    fn tables(&mut self) {
        let (len, entries) = (1 + self.dice.roll(300), 1 + self.dice.roll(5));
        let code = self.array(Extent::Rows, 1, Role::Noise(Noise::Index(entries as u32)));
        let single = |array, access| Read {
            array,
            offset: 0,
            access,
        };
        let index = single(code, Access::Spread);
        let table = self.array(Extent::Once, len * entries, Role::Param);
        let out = self.made(Extent::Rows, len);
        let gather = Step::Gather {
            out: single(out, Access::Element),
            table: single(table, Access::Element),
            index,
            len,
            entries,
        };
        let from = self.source(len);
        let to = self.made(Extent::Once, len * entries);
        let scatter = Step::Scatter {
            table: single(to, Access::Element),
            from: single(from, Access::Element),
            index,
            len,
            entries,
        };
        self.program.steps.extend([gather, scatter]);
        self.ready.extend([out, to]);
    }

    fn picks(&mut self) {
        let len = 1 + self.dice.roll(30);
        let from = self.source(1);
        let Array { extent, len: there, .. } = self.program.arrays[from];
        let place = |d: &mut Dice, n: usize| if d.roll(5) == 0 { u32::MAX } else { d.roll(n) as u32 };
        let map = (0..len).map(|_| place(&mut self.dice, there)).collect();
        let out = self.made(extent, len);
        let back = self.made(extent, 7);
        let unmap = (0..len).map(|_| place(&mut self.dice, 7)).collect();
        self.program.steps.push(Step::Pick { out, from, map });
        self.program.steps.push(Step::Unpick {
            out: back,
            from: out,
            map: unmap,
        });
        self.ready.extend([out, back]);
    }
}

fn program(seed: u64) -> Program {
    let mut maker = Maker {
        dice: Dice(seed),
        program: Program::default(),
        ready: Vec::new(),
    };
    for _ in 0..2 + maker.dice.roll(10) {
        match maker.dice.roll(8) {
            0..4 => maker.map(),
            4 | 5 => maker.product(),
            6 => maker.batched(),
            _ => {
                maker.tables();
                maker.picks();
            }
        }
    }
    maker.program
}

/// The same numbers in every executor, but for a relative change up and down.
fn fill(executor: &mut dyn Executor, seed: u64, rows: usize, relative: f64) {
    let arrays = executor.program().arrays.clone();
    for (id, array) in arrays.iter().enumerate() {
        if matches!(array.role, Role::Input | Role::Param | Role::Const) {
            let mut dice = Dice(seed ^ (id as u64) << 7);
            let n = array.len * if array.extent == Extent::Rows { rows } else { 1 };
            // numbers that an f32 holds
            let values: Vec<f64> = (0..n).map(|_| f64::from(dice.number() as f32)).collect();
            let change = |(i, x): (usize, f64)| x * if i % 2 == 0 { 1.0 + relative } else { 1.0 - relative };
            let values: Vec<f64> = values.into_iter().enumerate().map(change).collect();
            executor.set(id, &values);
        }
    }
}

fn made(program: &Program) -> impl Iterator<Item = ArrayId> {
    let steps = |a: &Array| matches!(a.role, Role::Scratch | Role::Output | Role::Noise(_));
    (0..program.arrays.len()).filter(move |&id| steps(&program.arrays[id]))
}

/// Largest |x − y| / (1 + |y|), of an array relative to its size: sums of many terms lose digits of the terms.
fn distance(x: &[f64], y: &[f64]) -> f64 {
    let scale = y.iter().fold(1.0, |m: f64, y| m.max(y.abs()));
    x.iter().zip(y).map(|(x, y)| (x - y).abs() / scale).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn native_is_the_interpreter(seed in any::<u64>(), rows in prop_oneof![Just(0usize), 1usize..40, 60usize..200]) {
        let program = program(seed);
        let capacity = rows + (seed % 7) as usize * 60;
        let interpreted = |relative: f64| {
            let mut reference = Interpreter::build(program.clone(), capacity, Precision::F64, 5).unwrap();
            fill(&mut reference, seed, rows, relative);
            reference.run(rows, seed);
            reference
        };
        let reference = interpreted(0.0);
        for (precision, tolerance, step) in [(Precision::F64, 1e-12, 2e-15), (Precision::F32, 1e-4, 1e-6)] {
            // how far results go when what is set changes by some units in the last place: a program's condition
            let moved = interpreted(step);
            let mut first: Option<Native> = None;
            for threads in 1..=3 {
                let mut native = Native::new(program.clone(), capacity, precision, 5, threads).unwrap();
                fill(&mut native, seed, rows, 0.0);
                native.run(rows, seed);
                for id in made(&program) {
                    let (x, y) = (native.get(id), reference.get(id));
                    let d = distance(&x, &y);
                    let allowed = tolerance + 10.0 * distance(&moved.get(id), &y);
                    prop_assert!(d <= allowed, "{precision:?} a{id}: {d:e}\n{}", lvmc_dense::text::program(&program));
                    if let Some(first) = &first {
                        prop_assert!(bits(&first.get(id)) == bits(&x), "a{id} depends on the number of threads");
                    }
                }
                first = first.or(Some(native));
            }
        }
    }
}

fn bits(x: &[f64]) -> Vec<u64> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// One parameter, whose gradient is itself times a constant array.
fn quadratic(len: usize) -> (Program, [ArrayId; 3]) {
    let array = |name: &str, role| Array {
        name: name.into(),
        extent: Extent::Once,
        len,
        role,
    };
    let read = |array| Read {
        array,
        offset: 0,
        access: Access::Element,
    };
    let map = Map {
        extent: Extent::Once,
        len,
        reads: vec![read(0), read(1)],
        ops: vec![Op::Binary(Binary::Mul, 0, 1)],
        writes: vec![Write {
            value: 2,
            fate: Fate::Store,
            array: 2,
            offset: 0,
        }],
    };
    let arrays = vec![
        array("x", Role::Param),
        array("c", Role::Const),
        array("g", Role::Scratch),
    ];
    (
        Program {
            arrays,
            steps: vec![Step::Map(map)],
        },
        [0, 1, 2],
    )
}

fn adam(decoupled: bool) -> Method {
    Method::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decoupled,
    }
}

#[test]
fn optimisers_follow_their_formulas() {
    let sgd = |momentum, nesterov| Method::Sgd { momentum, nesterov };
    for method in [
        adam(false),
        adam(true),
        sgd(0.0, false),
        sgd(0.9, false),
        sgd(0.9, true),
    ] {
        let (program, [x, c, g]) = quadratic(40_000);
        let trained = [Trained {
            param: x,
            gradient: g,
            decay: 0.01,
        }];
        let mut native = Native::new(program.clone(), 0, Precision::F64, 0, 2).unwrap();
        let mut single = Native::new(program.clone(), 0, Precision::F32, 0, 2).unwrap();
        let mut reference = Interpreter::build(program, 0, Precision::F64, 0).unwrap();
        let executors: [&mut dyn Executor; 3] = [&mut native, &mut single, &mut reference];
        // by hand, for element 12345
        let (mut by_hand, mut m, mut v) = (0.5 + 0.012_345, 0.0, 0.0);
        let curve = 1.0 + f64::from(12_345 % 7);
        for executor in executors {
            executor.set(x, &(0..40_000).map(|i| 0.5 + f64::from(i) * 1e-6).collect::<Vec<_>>());
            executor.set(c, &(0..40_000).map(|i| 1.0 + f64::from(i % 7)).collect::<Vec<_>>());
            for t in 1..=20 {
                executor.run(0, t);
                executor.optimise(&OptimiserStep {
                    method,
                    rate: 0.01,
                    scale: 0.5,
                    step: t,
                    trained: &trained,
                });
            }
        }
        for t in 1..=20 {
            let g = 0.5 * curve * by_hand;
            match method {
                Method::Adam { decoupled, .. } => {
                    let g = if decoupled { g } else { g + 0.01 * by_hand };
                    by_hand *= if decoupled { 1.0 - 0.01 * 0.01 } else { 1.0 };
                    m = 0.9 * m + 0.1 * g;
                    v = 0.999 * v + 0.001 * g * g;
                    let (m, v) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
                    by_hand -= 0.01 * m / (v.sqrt() + 1e-8);
                }
                Method::Sgd { momentum, nesterov } => {
                    let g = g + 0.01 * by_hand;
                    m = if t == 1 { g } else { momentum * m + g };
                    by_hand -= 0.01 * if nesterov { g + momentum * m } else { m };
                }
            }
        }
        let (found, expected) = (native.get(x), reference.get(x));
        assert!(distance(&found, &expected) < 1e-13, "{method:?}");
        assert!(
            (found[12_345] - by_hand).abs() < 1e-13,
            "{method:?}: {} and {by_hand}",
            found[12_345]
        );
        assert!(distance(&single.get(x), &expected) < 1e-5, "{method:?}");
        let norms = [native.gradient_norm(&trained), reference.gradient_norm(&trained)];
        assert!((norms[0] / norms[1] - 1.0).abs() < 1e-12, "{norms:?}");
    }
}

#[test]
fn an_update_resumes_exactly() {
    let (program, [x, c, g]) = quadratic(1000);
    let trained = [Trained {
        param: x,
        gradient: g,
        decay: 0.0,
    }];
    let step = |t| OptimiserStep {
        method: adam(false),
        rate: 0.01,
        scale: 1.0,
        step: t,
        trained: &trained,
    };
    for precision in [Precision::F32, Precision::F64] {
        let start = || {
            let mut native = Native::new(program.clone(), 0, precision, 0, 1).unwrap();
            native.set(c, &vec![3.0; 1000]);
            native
        };
        let run = |native: &mut Native, steps: std::ops::Range<u64>| {
            for t in steps {
                native.run(0, t);
                native.optimise(&step(t));
            }
        };
        let mut whole = start();
        whole.set(x, &vec![0.7; 1000]);
        run(&mut whole, 1..5);
        let (state, values) = (whole.state(), whole.get(x));
        run(&mut whole, 5..9);
        let mut resumed = start();
        resumed.set(x, &values);
        resumed.set_state(&state);
        run(&mut resumed, 5..9);
        assert_eq!(bits(&whole.get(x)), bits(&resumed.get(x)));
    }
}

/// c = a W and d = c Wᵀ of every row, so that W is packed both ways; G = aᵀ c in place of a gradient; perhaps W once more.
fn layer(k: usize, n: usize, read_late: bool) -> (Program, [ArrayId; 3]) {
    let array = |extent, len, role| Array {
        name: "a".into(),
        extent,
        len,
        role,
    };
    let arrays = vec![
        array(Extent::Rows, k, Role::Input),
        array(Extent::Once, k * n, Role::Param),
        array(Extent::Rows, n, Role::Scratch),
        array(Extent::Rows, k, Role::Output),
        array(Extent::Once, k * n, Role::Output),
        array(Extent::Once, k * k, Role::Output),
    ];
    let matrix = |array, rows, cols| Matrix {
        array,
        offset: 0,
        rows,
        cols,
        stride: cols,
        transposed: false,
    };
    let turned = |m: Matrix| Matrix { transposed: true, ..m };
    let (rows, of) = (Count::PerRow(1), Count::Fixed);
    let product = |out, a, b| Step::Product {
        out,
        a,
        b,
        accumulate: false,
    };
    let w = matrix(1, of(k), n);
    let (a, c, d, g) = (
        matrix(0, rows, k),
        matrix(2, rows, n),
        matrix(3, rows, k),
        matrix(4, of(k), n),
    );
    let mut steps = vec![product(c, a, w), product(d, c, turned(w)), product(g, turned(a), c)];
    if read_late {
        steps.push(product(matrix(5, of(k), k), g, turned(w)));
    }
    (Program { arrays, steps }, [0, 1, 4])
}

#[test]
fn training_is_a_run_and_an_update() {
    for (k, n, read_late) in [
        (40, 33, false),
        (33, 40, false),
        (40, 33, true),
        (300, 17, false),
        (16, 260, false),
    ] {
        let (program, [a, w, g]) = layer(k, n, read_late);
        let trained = [Trained {
            param: w,
            gradient: g,
            decay: 0.01,
        }];
        let step = |t| OptimiserStep {
            method: adam(false),
            rate: 0.01,
            scale: 0.1,
            step: t,
            trained: &trained,
        };
        for precision in [Precision::F32, Precision::F64] {
            let walk = |threads, together: bool| {
                let mut native = Native::new(program.clone(), 70, precision, 0, threads).unwrap();
                let numbers = |len: usize, by: usize| {
                    (0..len)
                        .map(|i| ((i * by) % 23) as f64 * 0.01 - 0.1)
                        .collect::<Vec<_>>()
                };
                native.set(a, &numbers(70 * k, 7));
                native.set(w, &numbers(k * n, 5));
                for t in 1..4 {
                    if together {
                        native.train(70, t, &step(t));
                    } else {
                        native.run(70, t);
                        native.optimise(&step(t));
                    }
                }
                native.run(70, 4);
                let state = native.state().concat().concat();
                [native.get(w), native.get(3), state].map(|x| bits(&x))
            };
            let apart = walk(1, false);
            for threads in [1, 2, 3] {
                assert!(
                    walk(threads, true) == apart,
                    "{k} × {n}, {threads} threads, {precision:?}"
                );
            }
        }
    }
}

#[test]
fn noise_belongs_to_rows() {
    let array = |len, law| Array {
        name: "e".into(),
        extent: Extent::Rows,
        len,
        role: Role::Noise(law),
    };
    let arrays = vec![
        array(3, Noise::Normal),
        array(20, Noise::Uniform),
        array(1, Noise::Index(10)),
        array(3, Noise::Normal),
    ];
    let program = Program {
        arrays,
        steps: Vec::new(),
    };
    let draw = |ids: &[u32], draw: u64, threads| {
        let mut native = Native::new(program.clone(), 300, Precision::F32, 7, threads).unwrap();
        native.set_row_ids(ids);
        native.run(ids.len(), draw);
        native
    };
    let ids: Vec<u32> = (0..300).map(|i| (i * 7) % 300).collect();
    let (first, second) = (draw(&ids, 1, 1), draw(&(0..300).collect::<Vec<u32>>(), 1, 3));
    for (id, len) in [(0, 3), (1, 20), (2, 1)] {
        let (x, y) = (first.get(id), second.get(id));
        for (row, id) in ids.iter().enumerate() {
            let other = *id as usize * len;
            assert_eq!(x[row * len..][..len], y[other..][..len]);
        }
    }
    assert_ne!(first.get(0), first.get(3), "arrays have noise of their own");
    assert_ne!(first.get(0), draw(&ids, 2, 1).get(0), "draws have noise of their own");
}

#[test]
fn packed_weights_follow_what_is_set() {
    let array = |extent, len, role| Array {
        name: "a".into(),
        extent,
        len,
        role,
    };
    let arrays = vec![
        array(Extent::Rows, 40, Role::Input),
        array(Extent::Once, 40 * 33, Role::Param),
        array(Extent::Rows, 33, Role::Output),
    ];
    let matrix = |array, rows, cols, transposed| Matrix {
        array,
        offset: 0,
        rows,
        cols,
        stride: cols,
        transposed,
    };
    let rows = Count::PerRow(1);
    let (a, out) = (matrix(0, rows, 40, false), matrix(2, rows, 33, false));
    let step = Step::Product {
        out,
        a,
        b: matrix(1, Count::Fixed(33), 40, true),
        accumulate: false,
    };
    let mut native = Native::new(
        Program {
            arrays,
            steps: vec![step],
        },
        5,
        Precision::F64,
        0,
        1,
    )
    .unwrap();
    native.set(0, &[1.0; 200]);
    for value in [1.0, 2.0] {
        native.set(1, &[value; 40 * 33]);
        native.run(5, 0);
        assert!(native.get(2).iter().all(|&x| x == 40.0 * value));
    }
}
