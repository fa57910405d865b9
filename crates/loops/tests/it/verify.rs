//! One bad program per invariant: the verifier names it. And the good ones pass.

use lvmc_loops::ir::{Bin, BufId, BufKind, FuncKind, IxReg, Kernel, LoopId, Op, Program, QuadShape, Reg, Stmt, Un};
use lvmc_loops::{FuncBuilder, ProgramBuilder, verify};

/// Buffers of every kind, of 4 places.
struct Bufs {
    param: BufId,
    input: BufId,
    table: BufId,
    stat: BufId,
    column: BufId,
    temp: BufId,
}

fn build(kind: FuncKind, write: impl FnOnce(&mut FuncBuilder<'_>, &Bufs)) -> Program {
    let mut p = ProgramBuilder::new("bad", 64);
    let mut buffer = |name: &str, kind| p.buffer(name, kind, 4);
    let bufs = Bufs {
        param: buffer("param", BufKind::Param),
        input: buffer("input", BufKind::Input),
        table: buffer("table", BufKind::Table),
        stat: buffer("stat", BufKind::Stat),
        column: buffer("column", BufKind::Column),
        temp: buffer("temp", BufKind::Temp),
    };
    p.func("f", kind, |f| write(f, &bufs));
    p.finish()
}

/// The message of the only violation in a program that `write` writes.
#[track_caller]
fn bad(kind: FuncKind, expected: &str, write: impl FnOnce(&mut FuncBuilder<'_>, &Bufs)) {
    check(&build(kind, write), expected);
}

#[track_caller]
fn check(program: &Program, expected: &str) {
    let bug = verify(program).expect_err("a violation");
    assert!(
        bug.message.contains(expected),
        "{} does not say `{expected}`",
        bug.message
    );
    assert!(!bug.ir.is_empty());
}

use FuncKind::{Block, Chunk, Once};

#[test]
fn the_mixture_is_fine() {
    crate::common::verified(crate::common::gmm::program(3, 4));
}

#[test]
fn registers() {
    bad(Once, "v0 is used before it is defined", |f, b| {
        f.push(Stmt::Store(b.table.at(0), Reg(0)))
    });
    bad(Once, "v0 is defined twice", |f, b| {
        let v = f.num(1.0);
        f.push(Stmt::Let(v, Op::Const(2.0)));
        f.store(b.table.at(0), v);
    });
    bad(Once, "v0 is used outside the body", |f, b| {
        f.for_(3, |f, _| {
            f.num(1.0);
        });
        f.push(Stmt::Store(b.table.at(0), Reg(0)));
    });
    bad(Block, "v1 is used outside the body", |f, b| {
        f.num(1.0);
        f.rows(|f| {
            f.load_row(b.column.col(0));
        });
        f.push(Stmt::Accum(b.stat.at(0), Reg(1)));
    });
    bad(Once, "beyond the function's registers", |f, _| {
        f.push(Stmt::Let(Reg(9), Op::Const(1.0)))
    });
}

#[test]
fn variables() {
    let store = |f: &mut FuncBuilder<'_>, b: &Bufs, at: lvmc_loops::ir::Index| {
        let v = f.num(1.0);
        f.store(b.table.at(at), v);
    };
    bad(Once, "i0 is used outside its body", |f, b| {
        f.for_(3, |_, _| {});
        store(f, b, LoopId(0).into());
    });
    bad(Once, "i7 is not defined", |f, b| store(f, b, LoopId(7).into()));
    bad(Once, "x0 is not defined", |f, b| store(f, b, IxReg(0).into()));
    bad(Once, "has no turns", |f, _| {
        f.push(Stmt::For {
            var: LoopId(0),
            extent: 0,
            body: vec![],
        })
    });
    bad(Once, "i0 is defined twice", |f, _| {
        f.for_(3, |f, i| {
            f.push(Stmt::For {
                var: i,
                extent: 2,
                body: vec![],
            })
        });
    });
    bad(Once, "x0 has no values", |f, _| {
        let v = f.num(1.0);
        f.index_of(v, 0);
    });
}

#[test]
fn bounds() {
    let load = |f: &mut FuncBuilder<'_>, at| {
        f.load(at);
    };
    bad(Once, "`table` has 4 places and is used from 1 to 4", |f, b| {
        f.for_(4, |f, i| load(f, b.table.at(i + 1)))
    });
    bad(Once, "used from -3 to 0", |f, b| {
        f.for_(4, |f, i| load(f, b.table.at(i - 3)))
    });
    bad(Once, "used from 0 to 9", |f, b| {
        f.for_(4, |f, i| load(f, b.table.at(i * 3)))
    });
    bad(Once, "an index overflows", |f, b| {
        f.for_(4, |f, i| load(f, b.table.at(i * (1 << 62))))
    });
    bad(Once, "used from 0 to 4", |f, b| {
        let v = f.load(b.param.at(0));
        let x = f.index_of(v, 5);
        load(f, b.table.at(x));
    });
    bad(Block, "`column` has 4 places and is used from 4 to 4", |f, b| {
        f.rows(|f| {
            f.load_row(b.column.col(4));
        });
    });
    bad(Once, "`column` holds rows and is used as a flat buffer", |f, b| {
        load(f, b.column.at(0))
    });
    bad(Block, "`table` is flat and is used as a buffer of rows", |f, b| {
        f.rows(|f| {
            f.load_row(b.table.col(0));
        });
    });
    bad(Block, "differs from row to row", |f, b| {
        f.rows(|f| {
            let v = f.load_row(b.column.col(0));
            let x = f.index_of(v, 4);
            f.load_row(b.column.col(x));
        });
    });
}

#[test]
fn places_of_statements() {
    let one = |f: &mut FuncBuilder<'_>| f.num(1.0);
    bad(Once, "`Rows` in a function without rows", |f, _| f.rows(|_| {}));
    bad(Chunk, "`Rows` in a function without rows", |f, _| f.rows(|_| {}));
    bad(Block, "`Rows` stands inside `Rows`", |f, _| f.rows(|f| f.rows(|_| {})));
    bad(Block, "`Store` stands inside `Rows`", |f, b| {
        let v = one(f);
        f.rows(|f| f.store(b.stat.at(0), v));
    });
    bad(Block, "`Accum` stands inside", |f, b| {
        let v = one(f);
        f.rows(|f| f.accum(b.stat.at(0), v));
    });
    bad(Block, "`If` stands inside", |f, _| {
        let v = one(f);
        f.rows(|f| f.if_(v, |_| {}));
    });
    bad(Block, "`BreakIf` stands inside", |f, _| {
        let v = one(f);
        f.rows(|f| f.for_(2, |f, _| f.break_if(v)));
    });
    bad(Block, "a kernel stands inside", |f, b| {
        f.rows(|f| {
            f.kernel(Kernel::MulRows {
                rows: b.temp.col(0),
                n: 1,
                by: b.column.col(0),
            })
        });
    });
    bad(Block, "`StoreRow` stands outside", |f, b| {
        let v = one(f);
        f.store_row(b.temp.col(0), v);
    });
    bad(Block, "`Reduce` stands outside", |f, b| {
        let v = one(f);
        f.reduce(b.stat.at(0), v);
    });
    bad(Block, "`LoadRow` stands outside", |f, b| {
        f.load_row(b.temp.col(0));
    });
    bad(Once, "`BreakIf` outside `For`", |f, _| {
        let v = one(f);
        f.break_if(v);
    });
    bad(Block, "a `Scatter` without a dynamic index", |f, b| {
        let v = one(f);
        f.rows(|f| f.scatter(b.stat.at(0), v));
    });
    bad(
        Block,
        "a `Reduce` goes to an index that differs from row to row",
        |f, b| {
            f.rows(|f| {
                let v = f.load_row(b.column.col(0));
                let x = f.index_of(v, 4);
                f.reduce(b.stat.at(x), v);
            });
        },
    );
    bad(Block, "a row loop loads `stat`, into which it sums", |f, b| {
        f.rows(|f| {
            let v = f.load(b.stat.at(1));
            f.reduce(b.stat.at(0), v);
        });
    });
}

#[test]
fn who_writes_what() {
    for name in ["param", "input", "table"] {
        bad(Block, &format!("`{name}` is written"), |f, b| {
            let v = f.num(1.0);
            let buf = [("param", b.param), ("input", b.input), ("table", b.table)];
            f.store(buf.iter().find(|x| x.0 == name).expect("it is there").1.at(0), v);
        });
    }
    bad(Once, "`input` is written", |f, b| {
        let v = f.num(1.0);
        f.store(b.input.at(0), v);
    });
    bad(Block, "`column` is written", |f, b| {
        f.rows(|f| {
            let v = f.load_row(b.column.col(0));
            let w = f.un(Un::Neg, v);
            f.store_row(b.column.col(1), w);
        });
    });
    bad(Block, "`pack_quad`: `table` is written", |f, b| {
        let (inputs, outputs, shape) = (1, 1, QuadShape::Diagonal);
        f.kernel(Kernel::PackQuad {
            src: b.param.at(0),
            dst: b.table.at(0),
            inputs,
            outputs,
            shape,
        });
    });
}

#[test]
fn kernels() {
    bad(
        Once,
        "`mul_rows`: `rows` has rows, in a function without rows",
        |f, b| {
            f.kernel(Kernel::MulRows {
                rows: b.temp.col(0),
                n: 1,
                by: b.column.col(0),
            });
        },
    );
    bad(
        Block,
        "`mul_rows`: `temp` has 4 places and is used from 2 to 4",
        |f, b| {
            f.kernel(Kernel::MulRows {
                rows: b.temp.col(2),
                n: 3,
                by: b.column.col(0),
            });
        },
    );
    bad(Block, "`rows` overlaps `by`", |f, b| {
        f.for_(2, |f, i| {
            f.kernel(Kernel::MulRows {
                rows: b.temp.col(i),
                n: 2,
                by: b.temp.col(i + 1),
            })
        });
    });
    // the same variables cancel: this one is fine
    let fine = build(Block, |f, b| {
        f.for_(2, |f, i| {
            f.kernel(Kernel::MulRows {
                rows: b.temp.col(i),
                n: 2,
                by: b.temp.col(i + 2),
            })
        });
    });
    assert!(verify(&fine).is_ok());
    bad(Once, "`cholesky`: `n` is 0", |f, b| {
        f.kernel(Kernel::Cholesky {
            a: b.param.at(0),
            out: b.table.at(0),
            n: 0,
            flag: b.stat.at(0),
        });
    });
    bad(Once, "`out` overlaps `flag`", |f, b| {
        f.kernel(Kernel::Cholesky {
            a: b.param.at(0),
            out: b.table.at(0),
            n: 2,
            flag: b.table.at(3),
        });
    });
    bad(Block, "a diagonal form of 2 inputs has 1 outputs", |f, b| {
        let (x, coef, out) = (b.column.col(0), b.table.at(0), b.temp.col(0));
        let shape = QuadShape::Diagonal;
        f.kernel(Kernel::Quad {
            x,
            inputs: 2,
            outputs: 1,
            shape,
            coef,
            out,
            add: false,
        });
    });
}

#[test]
fn buffers() {
    let good = || {
        build(Once, |f, b| {
            f.for_(2, |f, i| {
                let v = f.load(b.param.at(i));
                let w = f.bin(Bin::Mul, v, v);
                f.store(b.table.at(i), w);
            })
        })
    };
    assert!(verify(&good()).is_ok());
    check(&Program { block: 24, ..good() }, "not a multiple of 16");
    let mut same = good();
    same.buffers[1].name = "param".to_owned();
    check(&same, "two buffers are called `param`");
    let mut init = good();
    init.buffers[0].init.push(1.0);
    check(&init, "`param` has 1 initial values and not 0");
    let mut large = good();
    large.buffers[5].len = 1 << 40;
    check(&large, "more than 2^28");
    let mut missing = good();
    missing.buffers.truncate(2);
    check(&missing, "a buffer that does not exist");
}
