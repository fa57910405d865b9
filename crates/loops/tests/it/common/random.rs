//! Random well-formed programs: every statement, nested loops, dynamic indices, kernels of random sizes.
//!
//! A program has a `prepare` (once), a `sweep` with its `finish`, and an `update` (once). Values stay moderate:
//! operations that grow or shrink their operands are followed by a saturating one, so that different roundings are not
//! magnified; infinities and huge numbers come in through the data.

use lvmc_loops::ir::{Bin, BufId, BufKind, FuncKind, Index, Kernel, LoopId, Program, QuadShape, Reg, Un, quad_len};
use lvmc_loops::lens::{moments_len, quad_packed_len, syrk_len};
use lvmc_loops::{FuncBuilder, ProgramBuilder};

use super::Rng;

/// Columns of data and of scratch, and sizes of flat buffers.
pub const COLS: usize = 6;
const TEMPS: usize = 12;
const FLAT: usize = 24;
/// Values of the code column.
pub const CODES: usize = 5;

/// The buffers of a random program.
struct Bufs {
    param: BufId,
    input: BufId,
    table: BufId,
    stat: BufId,
    scatter: BufId,
    scratch: BufId,
    x: BufId,
    code: BufId,
    weight: BufId,
    temp: BufId,
    out: BufId,
}

/// A raw accumulator with what folds it.
enum Raw {
    Syrk {
        acc: BufId,
        p: usize,
        diagonal: bool,
        n: usize,
    },
    Moments {
        acc: BufId,
        p: usize,
        s: usize,
    },
}

struct Gen<'r> {
    rng: &'r mut Rng,
    bufs: Bufs,
    raws: Vec<Raw>,
    /// Packed coefficients to prepare: source in `table`, destination.
    packs: Vec<(BufId, BufId, usize, usize, QuadShape, usize)>,
}

/// A random program.
pub fn program(rng: &mut Rng) -> Program {
    let block = 16 * (1 + rng.below(3));
    let mut p = ProgramBuilder::new("random", block);
    let bufs = Bufs {
        param: p.buffer("param", BufKind::Param, FLAT),
        input: p.buffer("input", BufKind::Input, FLAT),
        table: p.buffer("table", BufKind::Table, FLAT),
        stat: p.buffer("stat", BufKind::Stat, FLAT),
        scatter: p.buffer("scatter", BufKind::Stat, CODES * 4),
        scratch: p.buffer("scratch", BufKind::Scratch, FLAT),
        x: p.buffer("x", BufKind::Column, COLS),
        code: p.buffer("code", BufKind::Column, 1),
        weight: p.buffer("weight", BufKind::Column, 1),
        temp: p.buffer("temp", BufKind::Temp, TEMPS),
        out: p.buffer("out", BufKind::Out, 2),
    };
    let mut g = Gen {
        rng,
        bufs,
        raws: Vec::new(),
        packs: Vec::new(),
    };
    let statements = 2 + g.rng.below(5);
    p.func("sweep", FuncKind::Block, |f| g.block(f, statements));
    let raws = std::mem::take(&mut g.raws);
    p.func("finish", FuncKind::Chunk, |f| raws.iter().for_each(|raw| fold(f, raw)));
    let packs = std::mem::take(&mut g.packs);
    p.func("prepare", FuncKind::Once, |f| {
        g.once(f, 3);
        for (src, dst, inputs, outputs, shape, n) in packs {
            f.for_(n, |f, k| {
                let src = src.at(k * quad_len(inputs, outputs, shape));
                let dst = dst.at(k * quad_packed_len(inputs, outputs, shape));
                f.kernel(Kernel::PackQuad {
                    src,
                    dst,
                    inputs,
                    outputs,
                    shape,
                });
            });
        }
    });
    p.func("update", FuncKind::Once, |f| g.once(f, 4));
    p.finish()
}

fn fold(f: &mut FuncBuilder<'_>, raw: &Raw) {
    match *raw {
        Raw::Syrk { acc, p, diagonal, n } => {
            let len = if diagonal { 1 + 2 * p } else { (p + 1) * (p + 1) };
            let out = f.buffer("moments", BufKind::Stat, n * len);
            f.for_(n, |f, k| {
                let (acc, out) = (acc.at(k * syrk_len(p, diagonal)), out.at(k * len));
                f.kernel(Kernel::SyrkFold {
                    acc,
                    inputs: p,
                    out,
                    diagonal,
                });
            });
        }
        Raw::Moments { acc, p, s } => {
            let out = f.buffer("first", BufKind::Stat, s * (1 + p));
            f.kernel(Kernel::MomentsFold {
                acc: acc.at(0),
                inputs: p,
                weights: s,
                out: out.at(0),
            });
        }
    }
}

/// What an expression may use.
#[derive(Clone)]
struct Scope {
    values: Vec<Reg>,
    /// Loop variables with their extents.
    loops: Vec<(LoopId, usize)>,
    rows: bool,
    /// Row loops without dynamic indices can become block operations.
    dynamic: bool,
    /// Flat buffers that may be loaded.
    loads: Vec<BufId>,
    /// Columns of `temp` that were written.
    temps: usize,
}

impl Gen<'_> {
    fn scope(&self, once: bool) -> Scope {
        let b = &self.bufs;
        let mut loads = vec![b.param, b.input, b.table];
        if once {
            loads.push(b.stat);
        }
        Scope {
            values: Vec::new(),
            loops: Vec::new(),
            rows: false,
            dynamic: true,
            loads,
            temps: 0,
        }
    }

    /// An index below `len`: a constant, or affine in a loop variable.
    fn index(&mut self, scope: &Scope, len: usize) -> Index {
        if !scope.loops.is_empty() && self.rng.chance(0.5) {
            let (var, extent) = scope.loops[self.rng.below(scope.loops.len())];
            let by = 1 + self.rng.below(3);
            let last = (extent - 1) * by;
            if last < len {
                return var * by + self.rng.below(len - last);
            }
        }
        self.rng.below(len).into()
    }

    fn leaf(&mut self, f: &mut FuncBuilder<'_>, scope: &Scope) -> Reg {
        match self.rng.below(if scope.rows { 8 } else { 5 }) {
            0 => {
                let c = [0.0, 1.0, -1.0, 0.5, 2.0, -0.25][self.rng.below(6)];
                f.num(c)
            }
            1 if !scope.loops.is_empty() => {
                let (var, _) = scope.loops[self.rng.below(scope.loops.len())];
                f.index_value(var)
            }
            2 if !scope.values.is_empty() => scope.values[self.rng.below(scope.values.len())],
            3 if scope.rows && scope.dynamic => {
                let code = f.load_row(self.bufs.code.col(0));
                let ix = f.index_of(code, CODES);
                let at = self.index(scope, FLAT - CODES + 1);
                f.load(self.bufs.table.at(at + ix))
            }
            4..=6 if scope.rows => {
                let at = self.index(scope, COLS);
                f.load_row(self.bufs.x.col(at))
            }
            7 if scope.temps > 0 => {
                let at = self.index(scope, scope.temps);
                f.load_row(self.bufs.temp.col(at))
            }
            _ => {
                let buf = scope.loads[self.rng.below(scope.loads.len())];
                let at = self.index(scope, FLAT);
                f.load(buf.at(at))
            }
        }
    }

    /// A number that no rounding can change: what comparisons, signs and indices are made of.
    fn exact(&mut self, f: &mut FuncBuilder<'_>, scope: &Scope) -> Reg {
        match self.rng.below(if scope.rows { 5 } else { 3 }) {
            0 => {
                let c = [0.0, 1.0, -0.5, 2.0][self.rng.below(4)];
                f.num(c)
            }
            1 if !scope.loops.is_empty() => {
                let (var, _) = scope.loops[self.rng.below(scope.loops.len())];
                f.index_value(var)
            }
            3 | 4 => {
                let at = self.index(scope, COLS);
                f.load_row(self.bufs.x.col(at))
            }
            _ => {
                let at = self.index(scope, FLAT);
                f.load(self.bufs.input.at(at))
            }
        }
    }

    /// An expression of moderate size.
    fn expr(&mut self, f: &mut FuncBuilder<'_>, scope: &Scope, depth: usize) -> Reg {
        if depth == 0 || self.rng.chance(0.15) {
            return self.leaf(f, scope);
        }
        let a = self.expr(f, scope, depth - 1);
        match self.rng.below(12) {
            0..=2 => {
                const OPS: [Bin; 5] = [Bin::Add, Bin::Sub, Bin::Mul, Bin::Min, Bin::Max];
                let b = self.expr(f, scope, depth - 1);
                f.bin(OPS[self.rng.below(5)], a, b)
            }
            3 => {
                // a quotient that stays moderate
                let b = self.expr(f, scope, depth - 1);
                let (b, one) = (f.abs(b), f.num(1.0));
                let b = f.add(b, one);
                f.div(a, b)
            }
            4 => {
                let (b, c) = (self.expr(f, scope, depth - 1), self.leaf(f, scope));
                f.fma(a, b, c)
            }
            5 => {
                let (b, c) = (self.exact(f, scope), self.exact(f, scope));
                let cond = f.bin([Bin::Lt, Bin::Le, Bin::Eq][self.rng.below(3)], b, c);
                if self.rng.chance(0.3) {
                    return f.add(cond, a);
                }
                let d = self.leaf(f, scope);
                f.select(cond, a, d)
            }
            6 => {
                // positive arguments of moderate size
                const OPS: [Un; 9] = [
                    Un::Log,
                    Un::Sqrt,
                    Un::Lgamma,
                    Un::Digamma,
                    Un::Trigamma,
                    Un::Tetragamma,
                    Un::Log1p,
                    Un::Exp,
                    Un::Cos,
                ];
                let (a, half) = (f.un(Un::Sigmoid, a), f.num(0.5));
                let a = f.add(a, half);
                f.un(OPS[self.rng.below(9)], a)
            }
            7 => {
                let (a, b) = (f.un(Un::Softplus, a), self.leaf(f, scope));
                let b = f.un(Un::Tanh, b);
                let one = f.num(1.0);
                let a = f.add(a, one);
                f.bin(Bin::Pow, a, b)
            }
            _ => {
                const OPS: [Un; 8] = [
                    Un::Neg,
                    Un::Abs,
                    Un::Tanh,
                    Un::Sigmoid,
                    Un::Softplus,
                    Un::NormalCdf,
                    Un::Sign,
                    Un::Exp,
                ];
                let op = OPS[self.rng.below(8)];
                // the exponential of something that may be −∞ but not large
                let a = if op == Un::Exp {
                    let b = f.abs(a);
                    f.neg(b)
                } else if op == Un::Sign {
                    self.exact(f, scope)
                } else {
                    a
                };
                f.un(op, a)
            }
        }
    }

    // ---- functions on flat buffers

    fn once(&mut self, f: &mut FuncBuilder<'_>, statements: usize) {
        let mut scope = self.scope(true);
        let zero = f.num(0.0);
        f.for_(FLAT, |f, i| f.store(self.bufs.scratch.at(i), zero));
        scope.loads.push(self.bufs.scratch);
        for _ in 0..statements {
            self.once_stmt(f, &scope, 2);
        }
    }

    /// What a number becomes before it is stored: nothing grows over iterations.
    fn tame(&mut self, f: &mut FuncBuilder<'_>, v: Reg) -> Reg {
        f.un(Un::Tanh, v)
    }

    fn once_stmt(&mut self, f: &mut FuncBuilder<'_>, scope: &Scope, depth: usize) {
        let to = [self.bufs.table, self.bufs.param, self.bufs.scratch][self.rng.below(3)];
        match self.rng.below(if depth > 0 { 7 } else { 3 }) {
            0 => {
                let v = self.expr(f, scope, 3);
                let v = self.tame(f, v);
                let at = self.index(scope, FLAT);
                f.store(to.at(at), v);
            }
            1 => {
                let v = self.expr(f, scope, 2);
                let v = self.tame(f, v);
                let at = self.index(scope, FLAT);
                f.accum(self.bufs.scratch.at(at), v);
            }
            2 => {
                let v = self.exact(f, scope);
                let ix = f.index_of(v, 7);
                let v = f.index_value(ix);
                let v = self.tame(f, v);
                let at = self.index(scope, FLAT - 7);
                f.store(self.bufs.table.at(at + ix), v);
            }
            3 => {
                // a condition that no rounding decides
                let v = self.exact(f, scope);
                let (v, bound) = (f.un(Un::Sign, v), f.num(0.0));
                let cond = f.lt(bound, v);
                f.if_(cond, |f| self.once_stmt(f, scope, depth - 1));
            }
            6 => self.dense(f),
            _ => {
                let extent = 1 + self.rng.below(4);
                let stop = self.rng.chance(0.3);
                f.for_(extent, |f, i| {
                    let mut inner = scope.clone();
                    inner.loops.push((i, extent));
                    self.once_stmt(f, &inner, depth - 1);
                    if stop {
                        let (at, two) = (f.index_value(i), f.num(1.0));
                        let cond = f.le(two, at);
                        f.break_if(cond);
                    }
                    self.once_stmt(f, &inner, depth - 1);
                });
            }
        }
    }

    /// A well-conditioned matrix, its factor, an inverse, a solution, a product.
    fn dense(&mut self, f: &mut FuncBuilder<'_>) {
        let n = 1 + self.rng.below(4);
        let m = 1 + self.rng.below(3);
        let mut buffer = |len| f.buffer("dense", BufKind::Scratch, len);
        let (a, l, inverse, b, x) = (
            buffer(n * n),
            buffer(n * n),
            buffer(n * n),
            buffer(n * m),
            buffer(n * m),
        );
        let (scale, flag) = (buffer(n), buffer(1));
        let (big, zero) = (f.num(4.0), f.num(0.0));
        f.store(flag.at(0), zero);
        f.for_(n, |f, i| {
            f.for_(n, |f, j| {
                let (u, v) = (f.load(self.bufs.table.at(i)), f.load(self.bufs.table.at(j)));
                let (u, v) = (f.un(Un::Tanh, u), f.un(Un::Tanh, v));
                // what a factorisation counts is not defined for NaN
                let (u, v) = (number(f, u), number(f, v));
                let product = f.mul(u, v);
                f.store(a.at(i * n + j), product);
            });
            f.accum(a.at(i * (n + 1)), big);
            f.store(scale.at(i), big);
            f.for_(m, |f, j| {
                let v = f.load(self.bufs.param.at(i + j));
                f.store(b.at(i * m + j), v);
            });
        });
        f.kernel(Kernel::Cholesky {
            a: a.at(0),
            out: l.at(0),
            n,
            flag: flag.at(0),
        });
        f.kernel(Kernel::TriInverse {
            l: l.at(0),
            out: inverse.at(0),
            n,
        });
        f.kernel(Kernel::SpdSolve {
            a: a.at(0),
            b: b.at(0),
            out: x.at(0),
            n,
            m,
            flag: flag.at(0),
        });
        let (ta, tb) = (self.rng.chance(0.5), self.rng.chance(0.5));
        // not times the inverse: zeros by cancellation would have a random sign
        let c = f.buffer("product", BufKind::Scratch, n * n);
        f.kernel(Kernel::MatMul {
            a: l.at(0),
            ta,
            b: a.at(0),
            tb,
            out: c.at(0),
            m: n,
            k: n,
            n,
        });
        let relative = if self.rng.chance(0.5) { 0.1 } else { 1.01 };
        f.kernel(Kernel::FloorCov {
            a: a.at(0),
            scale: scale.at(0),
            n,
            relative,
            flag: flag.at(0),
        });
        for (from, len) in [
            (l, n * n),
            (inverse, n * n),
            (x, n * m),
            (c, n * n),
            (a, n * n),
            (flag, 1),
        ] {
            let start = self.rng.below(FLAT - len + 1);
            f.for_(len, |f, i| {
                let v = f.load(from.at(i));
                f.accum(self.bufs.scratch.at(i + start), v);
                f.store(self.bufs.table.at(i + start), v);
            });
        }
    }

    // ---- functions on blocks

    fn block(&mut self, f: &mut FuncBuilder<'_>, statements: usize) {
        let mut scope = self.scope(false);
        // scratch columns start defined
        f.rows(|f| {
            for c in 0..TEMPS {
                let v = f.load_row(self.bufs.x.col(c % COLS));
                let v = f.un(Un::Tanh, v);
                f.store_row(self.bufs.temp.col(c), v);
            }
        });
        scope.temps = TEMPS;
        for _ in 0..statements {
            match self.rng.below(5) {
                0 | 1 => f.rows(|f| self.rows_body(f, &scope)),
                2 => {
                    let extent = 1 + self.rng.below(3);
                    f.for_(extent, |f, i| {
                        let mut inner = scope.clone();
                        inner.loops.push((i, extent));
                        let v = self.expr(f, &inner, 1);
                        inner.values.push(v);
                        f.rows(|f| self.rows_body(f, &inner));
                    });
                }
                _ => self.kernel(f),
            }
        }
    }

    fn rows_body(&mut self, f: &mut FuncBuilder<'_>, outer: &Scope) {
        let mut scope = outer.clone();
        scope.rows = true;
        scope.dynamic = self.rng.chance(0.5);
        for _ in 0..1 + self.rng.below(4) {
            self.row_stmt(f, &mut scope, 2);
        }
    }

    fn row_stmt(&mut self, f: &mut FuncBuilder<'_>, scope: &mut Scope, depth: usize) {
        match self.rng.below(if depth > 0 { 8 } else { 5 }) {
            0 | 1 => {
                let v = self.expr(f, scope, 3);
                let v = self.tame(f, v);
                let at = self.index(scope, TEMPS);
                if self.rng.chance(0.5) {
                    // the old value outlives the column
                    let old = f.load_row(self.bufs.temp.col(&at));
                    scope.values.push(old);
                }
                f.store_row(self.bufs.temp.col(at), v);
            }
            2 => {
                let v = self.expr(f, scope, 2);
                let at = self.index(scope, FLAT);
                f.reduce(self.bufs.stat.at(at), v);
            }
            3 => {
                let (a, b) = (self.leaf(f, scope), self.leaf(f, scope));
                let v = f.mul(a, b);
                let at = self.index(scope, FLAT);
                f.reduce(self.bufs.stat.at(at), v);
            }
            4 if scope.dynamic => {
                let v = self.expr(f, scope, 2);
                let code = f.load_row(self.bufs.code.col(0));
                let ix = f.index_of(code, CODES);
                let at = self.index(scope, 4);
                f.scatter(self.bufs.scatter.at(at * CODES + ix), v);
            }
            4 | 5 => {
                let v = self.expr(f, scope, 2);
                f.store_row(self.bufs.out.col(self.rng.below(2)), v);
                scope.values.push(v);
            }
            _ => {
                let extent = 1 + self.rng.below(3);
                f.for_(extent, |f, i| {
                    let mut inner = scope.clone();
                    inner.loops.push((i, extent));
                    for _ in 0..1 + self.rng.below(2) {
                        self.row_stmt(f, &mut inner, depth - 1);
                    }
                });
            }
        }
    }

    fn kernel(&mut self, f: &mut FuncBuilder<'_>) {
        let (x, temp) = (self.bufs.x, self.bufs.temp);
        let add = self.rng.chance(0.5);
        match self.rng.below(8) {
            0 | 1 => self.quads(f, add),
            2 => {
                let (p, m) = (self.rng.below(COLS + 1), 1 + self.rng.below(3));
                let coef = self.bufs.table.at(self.rng.below(FLAT - m * (1 + p) + 1));
                let first = self.rng.below(COLS - p + 1).min(COLS - 1);
                f.kernel(Kernel::Linear {
                    x: x.col(first),
                    inputs: p,
                    outputs: m,
                    coef,
                    out: temp.col(0),
                    add,
                });
            }
            3 => {
                let (n, stride) = (1 + self.rng.below(4), 1 + self.rng.below(2));
                let lse = self.rng.chance(0.5).then(|| temp.col(TEMPS - 1));
                let total = self.rng.chance(0.7).then(|| self.bufs.stat.at(3));
                f.kernel(Kernel::Softmax {
                    table: temp.col(0),
                    n,
                    stride,
                    lse,
                    total,
                });
            }
            4 => self.syrks(f),
            5 => {
                let (p, s) = (self.rng.below(COLS + 1), 1 + self.rng.below(4));
                let acc = f.buffer("acc", BufKind::Acc, moments_len(p, s));
                f.kernel(Kernel::Moments {
                    x: x.col(0),
                    inputs: p,
                    w: temp.col(2),
                    weights: s,
                    acc: acc.at(0),
                });
                self.raws.push(Raw::Moments { acc, p, s });
            }
            6 => {
                let entries = 1 + self.rng.below(4);
                let (code, values) = (self.bufs.code.col(0), CODES);
                if self.rng.chance(0.5) {
                    let table = self.bufs.table.at(self.rng.below(4));
                    f.kernel(Kernel::Gather {
                        code,
                        table,
                        entries,
                        values,
                        out: temp.col(1),
                        add,
                    });
                } else {
                    let acc = self.bufs.scatter.at(0);
                    f.kernel(Kernel::Scatter {
                        code,
                        values,
                        w: temp.col(3),
                        entries,
                        acc,
                    });
                }
            }
            _ => {
                let n = 1 + self.rng.below(4);
                f.kernel(Kernel::MulRows {
                    rows: temp.col(0),
                    n,
                    by: self.bufs.weight.col(0),
                });
            }
        }
    }

    /// One form, or several in a loop.
    fn quads(&mut self, f: &mut FuncBuilder<'_>, add: bool) {
        let diagonal = self.rng.chance(0.3);
        let inputs = 1 + self.rng.below(COLS);
        let (outputs, shape) = if diagonal {
            (inputs, QuadShape::Diagonal)
        } else if self.rng.chance(0.5) {
            (
                1 + self.rng.below(7),
                QuadShape::Triangular {
                    lead: self.rng.below(3),
                },
            )
        } else {
            (1 + self.rng.below(7), QuadShape::Dense)
        };
        let n = 1 + self.rng.below(4);
        let src = f.buffer("coef", BufKind::Input, n * quad_len(inputs, outputs, shape));
        let packed_len = quad_packed_len(inputs, outputs, shape);
        let packed = f.buffer("packed", BufKind::Table, n * packed_len);
        self.packs.push((src, packed, inputs, outputs, shape, n));
        let x = self.bufs.x.col(self.rng.below(COLS - inputs + 1));
        let temp = self.bufs.temp;
        if n == 1 {
            f.kernel(Kernel::Quad {
                x,
                inputs,
                outputs,
                shape,
                coef: packed.at(0),
                out: temp.col(1),
                add,
            });
            return;
        }
        let step = self.rng.below(3);
        f.for_(n, |f, k| {
            let (coef, out) = (packed.at(k * packed_len), temp.col(k * step + 1));
            f.kernel(Kernel::Quad {
                x: x.clone(),
                inputs,
                outputs,
                shape,
                coef,
                out,
                add,
            });
        });
    }

    fn syrks(&mut self, f: &mut FuncBuilder<'_>) {
        let (p, diagonal) = (self.rng.below(COLS + 1), self.rng.chance(0.3));
        let x = self.bufs.x.col(0);
        let n = 1 + self.rng.below(3);
        let len = syrk_len(p, diagonal);
        let acc = f.buffer("acc", BufKind::Acc, n * len);
        self.raws.push(Raw::Syrk { acc, p, diagonal, n });
        if self.rng.chance(0.3) {
            f.kernel(Kernel::Syrk {
                x,
                inputs: p,
                w: None,
                acc: acc.at(0),
                diagonal,
            });
            return;
        }
        let temp = self.bufs.temp;
        f.for_(n, |f, k| {
            let w = Some(temp.col(k + 2));
            f.kernel(Kernel::Syrk {
                x: x.clone(),
                inputs: p,
                w,
                acc: acc.at(k * len),
                diagonal,
            });
        });
    }
}

/// 0 for `NaN`.
fn number(f: &mut FuncBuilder<'_>, v: Reg) -> Reg {
    let (same, zero) = (f.eq(v, v), f.num(0.0));
    f.select(same, v, zero)
}
