//! Moves what does not change in a loop before it: constants, uniform arithmetic, and loads of what the loop does not
//! write. In a row loop this turns a value per row into one number.

use std::collections::HashSet;

use crate::ir::{BufId, Index, IndexVar, Op, Program, Reg, Stmt};
use crate::usage::{uses, walk, written};

/// Hoists invariants out of every loop of every function.
pub fn hoist(program: &mut Program) {
    for func in &mut program.funcs {
        let body = std::mem::take(&mut func.body);
        func.body = hoist_body(body);
    }
}

fn hoist_body(body: Vec<Stmt>) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(body.len());
    for stmt in body {
        match stmt {
            Stmt::For { var, extent, body } => {
                let (before, body) = split(hoist_body(body), Some(IndexVar::Loop(var)), false);
                out.extend(before);
                out.push(Stmt::For { var, extent, body });
            }
            Stmt::Rows { body } => {
                let (before, body) = split(hoist_body(body), None, true);
                out.extend(before);
                out.push(Stmt::Rows { body });
            }
            Stmt::If(cond, body) => out.push(Stmt::If(cond, hoist_body(body))),
            other => out.push(other),
        }
    }
    out
}

/// What changes in a loop.
struct Changing {
    regs: HashSet<Reg>,
    vars: HashSet<IndexVar>,
    written: Vec<BufId>,
    rows: bool,
}

/// The statements of a loop's body that may go before it, and those that stay.
fn split(body: Vec<Stmt>, var: Option<IndexVar>, rows: bool) -> (Vec<Stmt>, Vec<Stmt>) {
    let mut changing = Changing {
        regs: HashSet::new(),
        vars: var.into_iter().collect(),
        written: written(&body),
        rows,
    };
    walk(&body, &mut |stmt| match stmt {
        Stmt::Let(reg, _) => {
            changing.regs.insert(*reg);
        }
        Stmt::For { var, .. } => {
            changing.vars.insert(IndexVar::Loop(*var));
        }
        Stmt::IndexOf { ix, .. } => {
            changing.vars.insert(IndexVar::Dyn(*ix));
        }
        _ => {}
    });
    let (mut before, mut stay) = (Vec::new(), Vec::new());
    for stmt in body {
        match &stmt {
            Stmt::Let(reg, op) if changing.stays_the_same(&stmt, op) => {
                changing.regs.remove(reg);
                before.push(stmt);
            }
            _ => stay.push(stmt),
        }
    }
    (before, stay)
}

impl Changing {
    fn stays_the_same(&self, stmt: &Stmt, op: &Op) -> bool {
        let index = |index: &Index| index.terms.iter().all(|t| !self.vars.contains(&t.0));
        let here = match op {
            Op::Load(at) => !self.written.contains(&at.buf) && index(&at.at),
            Op::LoadRow(at) => !self.rows && !self.written.contains(&at.buf) && index(&at.col),
            Op::IndexValue(var) => !self.vars.contains(var),
            _ => true,
        };
        here && uses(stmt).iter().all(|r| !self.regs.contains(r))
    }
}
