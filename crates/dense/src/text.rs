//! Programs as text, for `lvmc emit` and bug reports.

use crate::ir::{Access, ArrayId, Count, Extent, Fate, Map, Matrix, Noise, Op, Program, Read, Role, Step};
use std::fmt::Write;

/// A whole program: its arrays, then its steps, one a line; a map's operations are indented below it.
#[must_use]
pub fn program(program: &Program) -> String {
    let mut out = String::new();
    for array in &program.arrays {
        let rows = if array.extent == Extent::Rows { "rows × " } else { "" };
        let role = match array.role {
            Role::Input => "input".to_owned(),
            Role::Param => "param".to_owned(),
            Role::Const => "const".to_owned(),
            Role::Noise(Noise::Normal) => "noise normal".to_owned(),
            Role::Noise(Noise::Uniform) => "noise uniform".to_owned(),
            Role::Noise(Noise::Index(n)) => format!("noise index {n}"),
            Role::Scratch => "scratch".to_owned(),
            Role::Output => "output".to_owned(),
        };
        let _ = writeln!(out, "{role} {} [{rows}{}]", array.name, array.len);
    }
    let printer = Printer { program };
    for step in &program.steps {
        printer.step(&mut out, step);
    }
    out
}

struct Printer<'a> {
    program: &'a Program,
}

impl Printer<'_> {
    fn name(&self, id: ArrayId) -> &str {
        self.program.arrays.get(id).map_or("?", |a| &a.name)
    }

    fn read(&self, read: &Read) -> String {
        let name = self.name(read.array);
        match (read.access, read.offset) {
            (Access::Element, 0) => format!("{name}[j]"),
            (Access::Element, offset) => format!("{name}[{offset} + j]"),
            (Access::Spread, offset) => format!("{name}[{offset}]"),
        }
    }

    fn matrix(&self, m: &Matrix) -> String {
        let rows = match m.rows {
            Count::Fixed(n) => n.to_string(),
            Count::PerRow(1) => "rows".to_owned(),
            Count::PerRow(p) => format!("rows·{p}"),
        };
        let place = match (m.offset, m.stride == m.cols) {
            (0, true) => String::new(),
            (offset, _) => format!(" from {offset} by {}", m.stride),
        };
        let turned = if m.transposed { "ᵀ" } else { "" };
        format!("{}{turned}[{rows} × {}{place}]", self.name(m.array), m.cols)
    }

    fn step(&self, out: &mut String, step: &Step) {
        let _ = match step {
            Step::Map(map) => {
                self.map(out, map);
                Ok(())
            }
            Step::Product {
                out: to,
                a,
                b,
                accumulate,
            } => self.product(out, "", to, a, b, *accumulate),
            Step::Batched {
                out: to,
                a,
                b,
                accumulate,
            } => self.product(out, "each row: ", to, a, b, *accumulate),
            Step::Gather {
                out: to,
                table,
                index,
                len,
                entries,
            } => writeln!(
                out,
                "{} = {}[{}] ({entries} entries of {len})",
                self.read(to),
                self.name(table.array),
                self.read(index)
            ),
            Step::Scatter {
                table,
                from,
                index,
                len,
                entries,
            } => writeln!(
                out,
                "{}[{}] = Σ rows {} ({entries} entries of {len})",
                self.name(table.array),
                self.read(index),
                self.read(from)
            ),
            Step::Pick { out: to, from, map } => {
                writeln!(out, "{}[j] = {}[{}]", self.name(*to), self.name(*from), positions(map))
            }
            Step::Unpick { out: to, from, map } => {
                writeln!(out, "{}[{}] += {}[j]", self.name(*to), positions(map), self.name(*from))
            }
            Step::Algebra { what, out: to, a, n } => {
                writeln!(out, "{} = {what:?}({}) ({n} × {n})", self.name(*to), self.name(*a))
            }
        };
    }

    fn product(
        &self,
        out: &mut String,
        lead: &str,
        to: &Matrix,
        a: &Matrix,
        b: &Matrix,
        add: bool,
    ) -> std::fmt::Result {
        let sign = if add { "+=" } else { "=" };
        writeln!(
            out,
            "{lead}{} {sign} {} · {}",
            self.matrix(to),
            self.matrix(a),
            self.matrix(b)
        )
    }

    fn map(&self, out: &mut String, map: &Map) {
        let domain = if map.extent == Extent::Rows { "each row, " } else { "" };
        let _ = writeln!(out, "map {domain}j < {}", map.len);
        let operand = |r: usize| match map.reads.get(r) {
            Some(read) => self.read(read),
            None => match map.ops.get(r - map.reads.len()) {
                Some(Op::Const(c)) => c.to_string(),
                Some(Op::Position) => "j".to_owned(),
                _ => format!("r{r}"),
            },
        };
        for (i, op) in map.ops.iter().enumerate() {
            let text = match op {
                Op::Const(_) | Op::Position => continue,
                Op::Unary(op, a) => format!("{op:?}({})", operand(*a)),
                Op::Binary(op, a, b) => format!("{op:?}({}, {})", operand(*a), operand(*b)),
                Op::Ternary(op, a, b, c) => format!("{op:?}({}, {}, {})", operand(*a), operand(*b), operand(*c)),
            };
            let _ = writeln!(out, "  r{} = {text}", map.reads.len() + i);
        }
        for write in &map.writes {
            let (name, value) = (self.name(write.array), operand(write.value));
            let _ = match (write.fate, write.offset) {
                (Fate::Store, 0) => writeln!(out, "  {name}[j] = {value}"),
                (Fate::Store, o) => writeln!(out, "  {name}[{o} + j] = {value}"),
                (Fate::SumElements, o) => writeln!(out, "  {name}[{o}] = Σ j {value}"),
                (Fate::MaxElements, o) => writeln!(out, "  {name}[{o}] = max j {value}"),
                (Fate::SumRows, o) => writeln!(out, "  {name}[{o} + j] = Σ rows {value}"),
                (Fate::SumAll, o) => writeln!(out, "  {name}[{o}] = Σ rows, j {value}"),
            };
        }
    }
}

/// A few positions, and how many there are.
fn positions(map: &[u32]) -> String {
    let shown: Vec<String> = map
        .iter()
        .take(8)
        .map(|&p| if p == u32::MAX { "–".to_owned() } else { p.to_string() })
        .collect();
    let more = if map.len() > 8 { ", …" } else { "" };
    format!("{}{more}: {} positions", shown.join(", "), map.len())
}
