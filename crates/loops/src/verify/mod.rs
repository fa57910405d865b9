//! The verifier: holds the invariants at the head of [`crate::ir`]. Compiled code checks no bounds, so every program
//! passes here first, whoever wrote it.
//!
//! Beyond those invariants it holds that
//! - loops turn at least once; loop variables and index registers are defined once and used inside their body;
//! - statements stand where they may (in or outside `Rows`), `BreakIf` inside a `For`;
//! - nobody writes `Const`, `Input` or `Column`, and no row loop loads what it reduces or scatters into;
//! - what a kernel writes does not overlap its other operands.

mod bounds;
mod kernel;

use lvmc_base::Bug;

use crate::ir::{BufId, BufKind, Buffer, Flat, Func, FuncKind, Index, IndexVar, IxReg, LoopId, Op, Program, Reg, Stmt};
use crate::route::Options;
use crate::text;
use crate::usage;

/// What is wrong, in words.
type Check = Result<(), String>;

/// Verifies a program.
///
/// # Errors
/// The first violation, with the function's text (or the whole program's, where it concerns the buffers).
pub fn verify(program: &Program) -> Result<(), Bug> {
    let bug = |message: String, ir: String| Bug {
        stage: "loops",
        message,
        ir,
    };
    check_buffers(program).map_err(|m| bug(m, text::program_text(program, &Options::default())))?;
    for func in &program.funcs {
        check_func(program, func).map_err(|m| {
            let place = format!("in `{}`: {m}", func.name);
            bug(place, text::func_text(program, func, &Options::default()))
        })?;
    }
    Ok(())
}

fn check_buffers(program: &Program) -> Check {
    if program.block == 0 || !program.block.is_multiple_of(16) {
        return Err(format!("a block has {} rows, not a multiple of 16", program.block));
    }
    for (i, buffer) in program.buffers.iter().enumerate() {
        let Buffer { name, kind, len, init } = buffer;
        if program.buffers[..i].iter().any(|b| b.name == *name) {
            return Err(format!("two buffers are called `{name}`"));
        }
        let wanted = if *kind == BufKind::Const { *len } else { 0 };
        if init.len() != wanted {
            return Err(format!("`{name}` has {} initial values and not {wanted}", init.len()));
        }
        // offsets in bytes fit in 31 bits, within a block
        let largest = if kind.is_rows() {
            len.saturating_mul(program.block)
        } else {
            *len
        };
        if largest >= 1 << 28 {
            return Err(format!("`{name}` has {largest} elements, more than 2^28"));
        }
    }
    Ok(())
}

fn check_func(program: &Program, func: &Func) -> Check {
    let mut checker = Checker {
        program,
        kind: func.kind,
        in_rows: false,
        in_for: false,
        regs: vec![Seen::Never; func.regs as usize],
        loops: vec![None; func.loops as usize],
        ixs: vec![None; func.ixs as usize],
        defined: Vec::new(),
    };
    checker.body(&func.body)
}

/// Whether a register is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Never,
    InScope,
    OutOfScope,
}

/// A variable: its extent, whether it differs from row to row, and whether it is in scope.
#[derive(Debug, Clone, Copy)]
struct Var {
    extent: usize,
    per_row: bool,
    in_scope: bool,
}

/// Something that a body defined.
#[derive(Debug, Clone, Copy)]
enum Defined {
    Reg(Reg),
    Loop(LoopId),
    Ix(IxReg),
}

struct Checker<'p> {
    program: &'p Program,
    kind: FuncKind,
    in_rows: bool,
    in_for: bool,
    regs: Vec<Seen>,
    loops: Vec<Option<Var>>,
    ixs: Vec<Option<Var>>,
    /// What the open bodies defined, innermost last.
    defined: Vec<Defined>,
}

impl Checker<'_> {
    fn body(&mut self, body: &[Stmt]) -> Check {
        let depth = self.defined.len();
        for stmt in body {
            self.stmt(stmt)?;
        }
        for left in self.defined.split_off(depth) {
            self.leave(left);
        }
        Ok(())
    }

    fn leave(&mut self, what: Defined) {
        match what {
            Defined::Reg(r) => self.regs[r.index()] = Seen::OutOfScope,
            Defined::Loop(l) => self.loops[l.index()].iter_mut().for_each(|v| v.in_scope = false),
            Defined::Ix(x) => self.ixs[x.index()].iter_mut().for_each(|v| v.in_scope = false),
        }
    }

    fn stmt(&mut self, stmt: &Stmt) -> Check {
        self.placed(stmt)?;
        match stmt {
            Stmt::For { var, extent, body } => {
                self.define_loop(*var, *extent)?;
                let outer = std::mem::replace(&mut self.in_for, true);
                self.body(body)?;
                self.in_for = outer;
                self.leave(Defined::Loop(*var));
                Ok(())
            }
            Stmt::Rows { body } => self.rows(body),
            Stmt::Let(reg, op) => {
                self.op(op)?;
                self.define_reg(*reg)
            }
            Stmt::IndexOf { ix, value, extent } => {
                self.reg(*value)?;
                self.define_ix(*ix, *extent)
            }
            Stmt::Store(at, value) | Stmt::Accum(at, value) | Stmt::Scatter(at, value) => {
                self.reg(*value)?;
                self.flat_write(at)
            }
            Stmt::Reduce(at, value) => {
                self.reg(*value)?;
                if self.per_row(&at.at) {
                    return Err("a `Reduce` goes to an index that differs from row to row".to_owned());
                }
                self.flat_write(at)
            }
            Stmt::StoreRow(at, value) => {
                self.reg(*value)?;
                self.rows_at(at, 1)?;
                self.writable(at.buf)
            }
            Stmt::BreakIf(cond) => self.reg(*cond),
            Stmt::If(cond, body) => {
                self.reg(*cond)?;
                self.body(body)
            }
            Stmt::Kernel(k) => self.kernel(k),
        }
    }

    /// Statements stand where they may.
    fn placed(&self, stmt: &Stmt) -> Check {
        let (inside, what) = match stmt {
            Stmt::Rows { .. } => (false, "`Rows`"),
            Stmt::Store(..) => (false, "`Store`"),
            Stmt::Accum(..) => (false, "`Accum`"),
            Stmt::BreakIf(_) => (false, "`BreakIf`"),
            Stmt::If(..) => (false, "`If`"),
            Stmt::Kernel(_) => (false, "a kernel"),
            Stmt::StoreRow(..) => (true, "`StoreRow`"),
            Stmt::Reduce(..) => (true, "`Reduce`"),
            Stmt::Scatter(..) => (true, "`Scatter`"),
            Stmt::Let(_, Op::LoadRow(_)) => (true, "`LoadRow`"),
            _ => return Ok(()),
        };
        if inside != self.in_rows {
            return Err(format!(
                "{what} stands {}side `Rows`",
                if self.in_rows { "in" } else { "out" }
            ));
        }
        match stmt {
            Stmt::Rows { .. } if self.kind != FuncKind::Block => Err("`Rows` in a function without rows".to_owned()),
            Stmt::BreakIf(_) if !self.in_for => Err("`BreakIf` outside `For`".to_owned()),
            Stmt::Scatter(at, _) if !at.at.is_dynamic() => Err("a `Scatter` without a dynamic index".to_owned()),
            _ => Ok(()),
        }
    }

    fn rows(&mut self, body: &[Stmt]) -> Check {
        self.in_rows = true;
        self.body(body)?;
        self.in_rows = false;
        let mut summed = Vec::new();
        usage::walk(body, &mut |s| {
            if let Stmt::Reduce(at, _) | Stmt::Scatter(at, _) = s {
                summed.push(at.buf);
            }
        });
        let mut loaded = None;
        usage::walk(body, &mut |s| {
            if let Stmt::Let(_, Op::Load(at)) = s
                && summed.contains(&at.buf)
            {
                loaded = Some(at.buf);
            }
        });
        loaded.map_or(Ok(()), |b| {
            Err(format!("a row loop loads `{}`, into which it sums", self.name(b)))
        })
    }

    fn op(&self, op: &Op) -> Check {
        match op {
            Op::Const(_) => Ok(()),
            Op::Load(at) => self.flat_at(at, 1),
            Op::LoadRow(at) => self.rows_at(at, 1),
            Op::IndexValue(var) => self.var(*var).map(|_| ()),
            Op::Un(_, a) => self.reg(*a),
            Op::Bin(_, a, b) => self.reg(*a).and_then(|()| self.reg(*b)),
            Op::Fma(a, b, c) | Op::Select(a, b, c) => {
                self.reg(*a).and_then(|()| self.reg(*b)).and_then(|()| self.reg(*c))
            }
        }
    }

    // ---- definitions and uses

    fn define_reg(&mut self, reg: Reg) -> Check {
        match self.regs.get_mut(reg.index()) {
            Some(seen @ Seen::Never) => *seen = Seen::InScope,
            Some(_) => return Err(format!("v{} is defined twice", reg.0)),
            None => return Err(format!("v{} is beyond the function's registers", reg.0)),
        }
        self.defined.push(Defined::Reg(reg));
        Ok(())
    }

    fn define_loop(&mut self, var: LoopId, extent: usize) -> Check {
        let new = Var {
            extent,
            per_row: false,
            in_scope: true,
        };
        match self.loops.get_mut(var.index()) {
            _ if extent == 0 => Err(format!("the loop over i{} has no turns", var.0)),
            Some(slot @ None) => {
                *slot = Some(new);
                Ok(())
            }
            Some(_) => Err(format!("i{} is defined twice", var.0)),
            None => Err(format!("i{} is beyond the function's loop variables", var.0)),
        }
    }

    fn define_ix(&mut self, ix: IxReg, extent: usize) -> Check {
        let new = Var {
            extent,
            per_row: self.in_rows,
            in_scope: true,
        };
        match self.ixs.get_mut(ix.index()) {
            _ if extent == 0 => return Err(format!("x{} has no values", ix.0)),
            Some(slot @ None) => *slot = Some(new),
            Some(_) => return Err(format!("x{} is defined twice", ix.0)),
            None => return Err(format!("x{} is beyond the function's index registers", ix.0)),
        }
        self.defined.push(Defined::Ix(ix));
        Ok(())
    }

    fn reg(&self, reg: Reg) -> Check {
        match self.regs.get(reg.index()) {
            Some(Seen::InScope) => Ok(()),
            Some(Seen::OutOfScope) => Err(format!("v{} is used outside the body that defines it", reg.0)),
            _ => Err(format!("v{} is used before it is defined", reg.0)),
        }
    }

    fn var(&self, var: IndexVar) -> Result<Var, String> {
        let (slot, name) = match var {
            IndexVar::Loop(l) => (self.loops.get(l.index()), format!("i{}", l.0)),
            IndexVar::Dyn(x) => (self.ixs.get(x.index()), format!("x{}", x.0)),
        };
        match slot.copied().flatten() {
            Some(var) if var.in_scope => Ok(var),
            Some(_) => Err(format!("{name} is used outside its body")),
            None => Err(format!("{name} is not defined")),
        }
    }

    fn per_row(&self, index: &Index) -> bool {
        index.terms.iter().any(|&(v, _)| self.var(v).is_ok_and(|v| v.per_row))
    }

    fn name(&self, buf: BufId) -> &str {
        self.program.buffers.get(buf.index()).map_or("?", |b| &b.name)
    }

    fn flat_write(&self, at: &Flat) -> Check {
        self.flat_at(at, 1)?;
        self.writable(at.buf)
    }

    /// The function may write the buffer.
    fn writable(&self, buf: BufId) -> Check {
        let kind = self.program.buffers[buf.index()].kind;
        let may = match kind {
            BufKind::Const | BufKind::Input | BufKind::Column => false,
            BufKind::Param | BufKind::Table => self.kind == FuncKind::Once,
            _ => true,
        };
        if may {
            Ok(())
        } else {
            Err(format!("`{}` is written, which is {kind:?}", self.name(buf)))
        }
    }
}
