//! The builder folds, shares and forgets as it says.

use lvmc_loops::ProgramBuilder;
use lvmc_loops::ir::{BufKind, FuncKind, Op, Program, Stmt};

fn once(write: impl FnOnce(&mut lvmc_loops::FuncBuilder<'_>)) -> Program {
    let mut p = ProgramBuilder::new("t", 64);
    p.func("f", FuncKind::Once, write);
    p.finish()
}

#[test]
fn constants_fold_and_neutral_elements_vanish() {
    let program = once(|b| {
        let t = b.buffer("t", BufKind::Table, 4);
        let (two, three, one) = (b.num(2.0), b.num(3.0), b.num(1.0));
        let six = b.mul(two, three);
        assert_eq!(b.known(six), Some(6.0));
        let v = b.load(t.at(0));
        assert_eq!(b.mul(v, one), v);
        assert_eq!(b.pow(v, one), v);
        assert_eq!(b.select(one, v, two), v);
        let (s, r) = (b.add(v, two), b.add(two, v));
        assert_eq!(s, r, "commutative operations are shared");
    });
    assert_eq!(program.buffers.len(), 1);
}

#[test]
fn loads_are_shared_until_written() {
    once(|b| {
        let t = b.buffer("t", BufKind::Table, 4);
        let u = b.buffer("t", BufKind::Table, 4);
        assert_eq!(b.get(u).name, "t.2");
        let v = b.load(t.at(0));
        b.store(u.at(0), v);
        assert_eq!(b.load(t.at(0)), v, "another buffer was written");
        b.accum(t.at(0), v);
        assert_ne!(b.load(t.at(0)), v);
    });
}

#[test]
fn a_value_made_outside_is_shared_inside_but_not_the_other_way() {
    let program = once(|b| {
        let t = b.buffer("t", BufKind::Table, 4);
        let one = b.num(1.5);
        let mut inner = None;
        b.for_(4, |b, i| {
            assert_eq!(b.num(1.5), one);
            let x = b.index_value(i);
            inner = Some(b.num(7.0));
            b.store(t.at(i), x);
        });
        assert_ne!(Some(b.num(7.0)), inner);
        b.for_(0, |_, _| unreachable!("no turns"));
    });
    assert!(matches!(&program.funcs[0].body[1], Stmt::For { extent: 4, body, .. } if body.len() == 3));
    assert!(matches!(program.funcs[0].body[2], Stmt::Let(_, Op::Const(7.0))));
}
