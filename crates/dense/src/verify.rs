//! Holds the invariants of [`crate::ir`].

use crate::ir::{Access, ArrayId, Count, Extent, Fate, Map, Matrix, Op, Program, Read, Role, Step};
use crate::text;
use lvmc_base::Bug;

/// Checks every invariant of a program.
///
/// # Errors
/// A [`Bug`] with the number of the step, what it violates, and the program's text.
pub fn verify(program: &Program) -> Result<(), Bug> {
    let mut state = Verifier {
        program,
        written: program.arrays.iter().map(|a| !is_made(a.role)).collect(),
    };
    for (number, step) in program.steps.iter().enumerate() {
        state.step(step).map_err(|message| Bug {
            stage: "dense",
            message: format!("step {number}: {message}"),
            ir: text::program(program),
        })?;
    }
    Ok(())
}

/// Whether steps write arrays of a role.
pub(crate) fn is_made(role: Role) -> bool {
    matches!(role, Role::Scratch | Role::Output)
}

struct Verifier<'a> {
    program: &'a Program,
    written: Vec<bool>,
}

type Check = Result<(), String>;

/// `Ok` if a condition holds.
fn hold(condition: bool, message: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { Err(message()) }
}

impl Verifier<'_> {
    fn array(&self, id: ArrayId) -> Result<&crate::ir::Array, String> {
        self.program.arrays.get(id).ok_or_else(|| format!("no array {id}"))
    }

    fn name(&self, id: ArrayId) -> &str {
        &self.program.arrays[id].name
    }

    /// An array that is read must have been written; one that is written must be made here and not be read by the step.
    fn flow(&mut self, reads: &[ArrayId], writes: &[ArrayId], accumulates: bool) -> Check {
        for &id in reads.iter().chain(if accumulates { writes } else { &[] }) {
            self.array(id)?;
            hold(self.written[id], || {
                format!("reads `{}` before it is written", self.name(id))
            })?;
        }
        for &id in writes {
            let role = self.array(id)?.role;
            hold(is_made(role), || {
                format!("writes `{}`, which is set from outside", self.name(id))
            })?;
            hold(!reads.contains(&id), || format!("reads and writes `{}`", self.name(id)))?;
            self.written[id] = true;
        }
        Ok(())
    }

    /// `len` numbers from `offset` on lie inside an array.
    fn inside(&self, id: ArrayId, offset: usize, len: usize) -> Check {
        let array = self.array(id)?;
        hold(offset.checked_add(len).is_some_and(|end| end <= array.len), || {
            format!(
                "`{}` has {} numbers, and {len} from {offset} on are used",
                array.name, array.len
            )
        })
    }

    fn step(&mut self, step: &Step) -> Check {
        match step {
            Step::Map(map) => self.map(map),
            Step::Product { out, a, b, accumulate } => {
                [out, a, b].into_iter().try_for_each(|m| self.matrix(m))?;
                let shapes = [out, a, b].map(shape);
                let [o, a_shape, b_shape] = shapes;
                hold(o.0 == a_shape.0 && o.1 == b_shape.1 && a_shape.1 == b_shape.0, || {
                    format!("shapes {o:?} = {a_shape:?} × {b_shape:?}")
                })?;
                self.flow(&[a.array, b.array], &[out.array], *accumulate)
            }
            Step::Batched { out, a, b, accumulate } => self.batched(out, a, b, *accumulate),
            Step::Gather {
                out,
                table,
                index,
                len,
                entries,
            } => {
                self.table(table, index, *len, *entries)?;
                self.inside(out.array, out.offset, *len)?;
                let rows = self.array(out.array)?.extent == Extent::Rows;
                hold(rows || self.array(index.array)?.extent == Extent::Once, || {
                    "a code of each row for one result".into()
                })?;
                self.flow(&[table.array, index.array], &[out.array], false)
            }
            Step::Scatter {
                table,
                from,
                index,
                len,
                entries,
            } => {
                self.table(table, index, *len, *entries)?;
                self.inside(from.array, from.offset, *len)?;
                self.flow(&[from.array, index.array], &[table.array], false)
            }
            Step::Pick { out, from, map } => self.pick(*out, *from, map, *out, *from),
            Step::Unpick { out, from, map } => self.pick(*out, *from, map, *from, *out),
            Step::Algebra { what, out, a, n } => {
                self.inside(*a, 0, n * n)?;
                let numbers = if *what == crate::ir::Algebra::LogDet { 1 } else { n * n };
                self.inside(*out, 0, numbers)?;
                hold(self.array(*out)?.extent == self.array(*a)?.extent, || {
                    format!("`{}` and `{}` differ in their rows", self.name(*out), self.name(*a))
                })?;
                self.flow(&[*a], &[*out], false)
            }
        }
    }

    /// `indexed` has one place of the map for each of its numbers, which point into `target`.
    fn pick(&mut self, out: ArrayId, from: ArrayId, map: &[u32], indexed: ArrayId, target: ArrayId) -> Check {
        let (indexed, target) = (self.array(indexed)?, self.array(target)?);
        hold(indexed.extent == target.extent, || {
            "one array held once, one once a row".into()
        })?;
        hold(indexed.len == map.len(), || {
            format!("{} positions for {} numbers", map.len(), indexed.len)
        })?;
        let last = target.len;
        hold(map.iter().all(|&p| p == u32::MAX || (p as usize) < last), || {
            "a position outside".into()
        })?;
        self.flow(&[from], &[out], false)
    }

    fn table(&self, table: &Read, index: &Read, len: usize, entries: usize) -> Check {
        hold(entries > 0, || "a table without entries".into())?;
        self.inside(table.array, table.offset, len.saturating_mul(entries))?;
        self.inside(index.array, index.offset, 1)?;
        hold(self.array(table.array)?.extent == Extent::Once, || {
            "a table of each row".into()
        })
    }

    fn matrix(&self, m: &Matrix) -> Check {
        let array = self.array(m.array)?;
        let name = &array.name;
        hold(m.cols <= m.stride || matches!(m.rows, Count::Fixed(0 | 1)), || {
            format!("rows of `{name}` overlap")
        })?;
        match m.rows {
            Count::Fixed(0) => Ok(()),
            Count::Fixed(rows) => {
                hold(array.extent == Extent::Once, || format!("`{name}` is held once a row"))?;
                self.inside(m.array, m.offset, (rows - 1) * m.stride + m.cols)
            }
            Count::PerRow(parts) => {
                hold(array.extent == Extent::Rows, || format!("`{name}` is held once"))?;
                hold(parts > 0 && parts * m.stride == array.len, || {
                    format!(
                        "{parts} parts of {} are not the {} numbers of `{name}`",
                        m.stride, array.len
                    )
                })?;
                self.inside(m.array, m.offset, (parts - 1) * m.stride + m.cols)
            }
        }
    }

    fn batched(&mut self, out: &Matrix, a: &Matrix, b: &Matrix, accumulate: bool) -> Check {
        let [o, l, r] = [shape(out), shape(a), shape(b)];
        let fixed = [o, l, r]
            .iter()
            .all(|(rows, cols)| matches!((rows, cols), (Count::Fixed(_), Count::Fixed(_))));
        hold(fixed, || "a part's shape is fixed".into())?;
        hold(o.0 == l.0 && o.1 == r.1 && l.1 == r.0, || {
            format!("shapes {o:?} = {l:?} × {r:?}")
        })?;
        for m in [out, a, b] {
            let Count::Fixed(rows) = m.rows else { continue };
            hold(m.cols <= m.stride || rows <= 1, || "rows of a part overlap".into())?;
            self.inside(m.array, m.offset, rows.saturating_sub(1) * m.stride + m.cols)?;
        }
        let rows = self.array(out.array)?.extent == Extent::Rows;
        hold(rows, || "a result held once".into())?;
        self.flow(&[a.array, b.array], &[out.array], accumulate)
    }

    fn map(&mut self, map: &Map) -> Check {
        for read in &map.reads {
            let len = match read.access {
                Access::Element => map.len,
                Access::Spread => 1,
            };
            self.inside(read.array, read.offset, len)?;
            let fits = map.extent == Extent::Rows || self.array(read.array)?.extent == Extent::Once;
            hold(fits, || {
                format!("reads rows of `{}` outside the batch", self.name(read.array))
            })?;
        }
        for (i, op) in map.ops.iter().enumerate() {
            let defined = map.reads.len() + i;
            let used: &[usize] = match op {
                Op::Const(_) | Op::Position => &[],
                Op::Unary(_, a) => &[*a],
                Op::Binary(_, a, b) => &[*a, *b],
                Op::Ternary(_, a, b, c) => &[*a, *b, *c],
            };
            hold(used.iter().all(|&r| r < defined), || {
                format!("register {defined} uses a later one")
            })?;
        }
        let registers = map.reads.len() + map.ops.len();
        for write in &map.writes {
            hold(write.value < registers, || format!("no register {}", write.value))?;
            let rows = self.array(write.array)?.extent == Extent::Rows;
            let (len, fits) = match write.fate {
                Fate::Store => (map.len, rows == (map.extent == Extent::Rows)),
                Fate::SumElements | Fate::MaxElements => (1, rows == (map.extent == Extent::Rows)),
                Fate::SumRows => (map.len, !rows),
                Fate::SumAll => (1, !rows),
            };
            hold(fits, || format!("{:?} into `{}`", write.fate, self.name(write.array)))?;
            self.inside(write.array, write.offset, len)?;
        }
        let reads: Vec<ArrayId> = map.reads.iter().map(|r| r.array).collect();
        let writes: Vec<ArrayId> = map.writes.iter().map(|w| w.array).collect();
        self.flow(&reads, &writes, false)
    }
}

/// Rows and columns as they are read.
pub(crate) fn shape(m: &Matrix) -> (Count, Count) {
    if m.transposed {
        (Count::Fixed(m.cols), m.rows)
    } else {
        (m.rows, Count::Fixed(m.cols))
    }
}
