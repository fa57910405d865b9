//! The text form of a program: one statement per line, buffers with their sizes, and the route of every loop and kernel.

use std::fmt::Write as _;

use crate::ir::{
    Bin, BufId, BufKind, Buffer, Flat, Func, FuncKind, Index, IndexVar, Kernel, Op, Program, Reg, Rows, Stmt, Un,
};
use crate::route::{Options, route};
use crate::usage::{Access, Place, kernel_name, operands, shape_name};

/// The program as text, with the routes that `options` give.
#[must_use]
pub fn program_text(program: &Program, options: &Options) -> String {
    let mut out = format!("program {}, blocks of {} rows\n", program.name, program.block);
    for buffer in &program.buffers {
        let _ = writeln!(out, "  {}", buffer_text(buffer));
    }
    for func in &program.funcs {
        out.push('\n');
        out.push_str(&func_text(program, func, options));
    }
    out
}

/// A function as text.
#[must_use]
pub fn func_text(program: &Program, func: &Func, options: &Options) -> String {
    let mut printer = Printer {
        program,
        options,
        out: String::new(),
        depth: 1,
    };
    let kind = match func.kind {
        FuncKind::Once => "once",
        FuncKind::Block => "each block",
        FuncKind::Chunk => "each chunk",
    };
    let _ = writeln!(printer.out, "func {} ({kind})", func.name);
    printer.body(&func.body);
    printer.out
}

fn buffer_text(buffer: &Buffer) -> String {
    let kind = match buffer.kind {
        BufKind::Param => "param",
        BufKind::Const => "const",
        BufKind::Input => "input",
        BufKind::Table => "table",
        BufKind::Stat => "stat",
        BufKind::Acc => "acc",
        BufKind::Scratch => "scratch",
        BufKind::Column => "column",
        BufKind::Feature => "feature",
        BufKind::Temp => "temp",
        BufKind::Out => "out",
    };
    let rows = if buffer.kind.is_rows() { ", rows" } else { "" };
    let init = match buffer.init.len() {
        0 => String::new(),
        1..=8 => format!(" = {:?}", buffer.init),
        _ => format!(" = [{:?}, … ]", buffer.init[0]),
    };
    format!("{kind} {}[{}{rows}]{init}", buffer.name, buffer.len)
}

struct Printer<'a> {
    program: &'a Program,
    options: &'a Options,
    out: String,
    depth: usize,
}

impl Printer<'_> {
    fn line(&mut self, text: &str, stmt: &Stmt) {
        let route = route(stmt, self.options)
            .map(|r| format!("    ; {r}"))
            .unwrap_or_default();
        let _ = writeln!(self.out, "{:1$}{text}{route}", "", 2 * self.depth);
    }

    fn body(&mut self, body: &[Stmt]) {
        for stmt in body {
            self.stmt(stmt);
        }
    }

    fn nested(&mut self, body: &[Stmt]) {
        self.depth += 1;
        self.body(body);
        self.depth -= 1;
    }

    fn stmt(&mut self, stmt: &Stmt) {
        let text = match stmt {
            Stmt::For { var, extent, .. } => format!("for i{} in 0..{extent}", var.0),
            Stmt::Rows { .. } => "rows".to_owned(),
            Stmt::Let(reg, op) => format!("{} = {}", self.reg(*reg), self.op(op)),
            Stmt::IndexOf { ix, value, extent } => format!("x{} = index {} in 0..{extent}", ix.0, self.reg(*value)),
            Stmt::Store(at, v) => format!("{} = {}", self.flat(at), self.reg(*v)),
            Stmt::Accum(at, v) => format!("{} += {}", self.flat(at), self.reg(*v)),
            Stmt::StoreRow(at, v) => format!("{} = {}", self.row(at), self.reg(*v)),
            Stmt::Reduce(at, v) => format!("{} += sum {}", self.flat(at), self.reg(*v)),
            Stmt::Scatter(at, v) => format!("{} += each {}", self.flat(at), self.reg(*v)),
            Stmt::BreakIf(c) => format!("break if {}", self.reg(*c)),
            Stmt::If(c, _) => format!("if {}", self.reg(*c)),
            Stmt::Kernel(kernel) => self.kernel(kernel),
        };
        self.line(&text, stmt);
        if let Stmt::For { body, .. } | Stmt::Rows { body } | Stmt::If(_, body) = stmt {
            self.nested(body);
        }
    }

    #[allow(clippy::unused_self)] // reads as the others
    fn reg(&self, reg: Reg) -> String {
        format!("v{}", reg.0)
    }

    fn op(&self, op: &Op) -> String {
        let r = |reg: &Reg| self.reg(*reg);
        match op {
            Op::Const(c) => format!("{c:?}"),
            Op::Load(at) => self.flat(at),
            Op::LoadRow(at) => self.row(at),
            Op::IndexValue(var) => format!("value {}", var_text(*var)),
            Op::Un(op, a) => format!("{} {}", un_text(*op), r(a)),
            Op::Bin(op, a, b) => match infix(*op) {
                Some(sign) => format!("{} {sign} {}", r(a), r(b)),
                None => format!("{} {} {}", format!("{op:?}").to_lowercase(), r(a), r(b)),
            },
            Op::Fma(a, b, c) => format!("{} * {} + {}", r(a), r(b), r(c)),
            Op::Select(c, a, b) => format!("{} ? {} : {}", r(c), r(a), r(b)),
        }
    }

    fn flat(&self, at: &Flat) -> String {
        format!("{}[{}]", self.name(at.buf), index_text(&at.at))
    }

    fn row(&self, at: &Rows) -> String {
        format!("{}[{}, r]", self.name(at.buf), index_text(&at.col))
    }

    fn name(&self, buf: BufId) -> &str {
        // a broken program is printed too
        self.program.buffers.get(buf.index()).map_or("?", |b| &b.name)
    }

    fn kernel(&self, kernel: &Kernel) -> String {
        let mut text = kernel_name(kernel).to_owned();
        for operand in operands(kernel) {
            let (buf, index, len) = match operand.place {
                Place::Flat(f, len) => (f.buf, &f.at, len),
                Place::Rows(r, len) => (r.buf, &r.col, len),
            };
            let sign = match operand.access {
                Access::Read => "",
                Access::Write => "→",
                Access::Update => "+→",
            };
            let span = if len == 1 { String::new() } else { format!(" +{len}") };
            let rows = if matches!(operand.place, Place::Rows(..)) {
                ", r"
            } else {
                ""
            };
            let _ = write!(
                text,
                " {sign}{}={}[{}{span}{rows}]",
                operand.name,
                self.name(buf),
                index_text(index)
            );
        }
        text.push_str(&details(kernel));
        text
    }
}

/// What a kernel's operands do not tell.
fn details(kernel: &Kernel) -> String {
    match kernel {
        Kernel::Quad {
            inputs, outputs, shape, ..
        }
        | Kernel::PackQuad {
            inputs, outputs, shape, ..
        } => {
            format!(" {outputs}x{inputs} {}", shape_name(*shape))
        }
        Kernel::Softmax { n, stride, .. } => format!(" n={n} stride={stride}"),
        Kernel::Syrk { diagonal: true, .. } | Kernel::SyrkFold { diagonal: true, .. } => " diagonal".to_owned(),
        Kernel::Gather { values, .. } | Kernel::Scatter { values, .. } => format!(" values={values}"),
        Kernel::SpdSolve { n, m, .. } => format!(" n={n} m={m}"),
        Kernel::MatMul { ta, tb, m, k, n, .. } => {
            let t = |on: bool| if on { "ᵀ" } else { "" };
            format!(" {m}x{k}{} · {k}x{n}{}", t(*ta), t(*tb))
        }
        Kernel::FloorCov { relative, .. } => format!(" relative={relative:?}"),
        _ => String::new(),
    }
}

fn un_text(op: Un) -> String {
    format!("{op:?}").to_lowercase()
}

fn infix(op: Bin) -> Option<&'static str> {
    Some(match op {
        Bin::Add => "+",
        Bin::Sub => "-",
        Bin::Mul => "*",
        Bin::Div => "/",
        Bin::Pow => "^",
        Bin::Lt => "<",
        Bin::Le => "<=",
        Bin::Eq => "==",
        Bin::Min | Bin::Max => return None,
    })
}

fn var_text(var: IndexVar) -> String {
    match var {
        IndexVar::Loop(l) => format!("i{}", l.0),
        IndexVar::Dyn(x) => format!("x{}", x.0),
    }
}

fn index_text(index: &Index) -> String {
    let mut parts: Vec<String> = index
        .terms
        .iter()
        .map(|&(var, by)| {
            if by == 1 {
                var_text(var)
            } else {
                format!("{by}*{}", var_text(var))
            }
        })
        .collect();
    if index.base != 0 || parts.is_empty() {
        parts.push(index.base.to_string());
    }
    parts.join(" + ")
}
