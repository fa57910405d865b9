//! Values to steps: element-wise values of one stage and one size are one map.
//!
//! Every value has a level: what needs whole arrays stands one above its operands, and element-wise values stand with
//! theirs. At each level the whole-array steps run first, then one map for each extent and length. A value that a later
//! level needs is stored, unless it is cheap to compute again from what is stored anyway.

use super::array;
use super::values::{Elementwise, Kind, Operand, Over, Value, ValueId};
use crate::ir::{
    Access, ArrayId, Binary, Count, Extent, Fate, Map, Matrix, Op, Program, Read, Reg, Role, Step, Ternary, Unary,
    Write,
};
use std::collections::{BTreeMap, HashMap};

/// Operations that are computed again rather than stored and loaded, at most.
const AGAIN: usize = 4;

/// One map: level, extent, elements. Smaller ones first: they are spread over longer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Group {
    level: usize,
    rows: bool,
    len: usize,
}

/// What a map does with a value.
#[derive(Debug, Clone, Copy)]
struct Demand {
    value: ValueId,
    fate: Fate,
    array: ArrayId,
    offset: usize,
}

struct Schedule<'a> {
    values: &'a [Value],
    level: Vec<usize>,
    needed: Vec<bool>,
    users: Vec<Vec<ValueId>>,
    /// The array and first element of a stored value.
    place: HashMap<ValueId, (ArrayId, usize)>,
    demands: BTreeMap<Group, Vec<Demand>>,
    program: &'a mut Program,
}

/// Adds the steps that compute the roots; returns their arrays.
pub(super) fn schedule(
    values: &[Value],
    levels: Vec<usize>,
    roots: &[ValueId],
    names: &[&str],
    program: &mut Program,
) -> Vec<ArrayId> {
    let mut s = Schedule {
        values,
        level: levels,
        needed: vec![false; values.len()],
        users: vec![vec![]; values.len()],
        place: HashMap::new(),
        demands: BTreeMap::new(),
        program,
    };
    s.find_needed(roots);
    s.sink(roots);
    let arrays = s.outputs(roots, names);
    s.places();
    s.steps();
    arrays
}

impl Schedule<'_> {
    fn find_needed(&mut self, roots: &[ValueId]) {
        roots.iter().for_each(|&r| self.needed[r] = true);
        for v in (0..self.values.len()).rev() {
            if self.needed[v] {
                for a in self.values[v].arguments() {
                    self.needed[a] = true;
                    self.users[a].push(v);
                }
            }
        }
    }

    /// Moves element-wise values to where they are first used, where that keeps no other value longer.
    fn sink(&mut self, roots: &[ValueId]) {
        for v in (0..self.values.len()).rev() {
            if !self.needed[v] || !self.values[v].is_map() || roots.contains(&v) {
                continue;
            }
            let alone = |a: ValueId| !self.values[a].is_map() || self.users[a].iter().all(|&u| u == v);
            if !self.values[v].arguments().into_iter().all(alone) {
                continue;
            }
            let latest = self.users[v].iter().map(|&u| self.latest_before(u)).min();
            if let Some(latest) = latest.filter(|&l| l > self.level[v]) {
                self.level[v] = latest;
            }
        }
    }

    /// The last level whose maps `u` sees.
    fn latest_before(&self, u: ValueId) -> usize {
        match self.values[u].kind {
            Kind::Map(..) => self.level[u],
            _ => self.level[u] - 1,
        }
    }

    fn new_array(&mut self, name: impl Into<String>, v: ValueId, role: Role) -> ArrayId {
        let value = &self.values[v];
        self.program.arrays.push(array(name, value.extent, value.len(), role));
        self.program.arrays.len() - 1
    }

    /// Arrays for the roots; what stands elsewhere is copied.
    fn outputs(&mut self, roots: &[ValueId], names: &[&str]) -> Vec<ArrayId> {
        let mut found = vec![];
        for (&v, &name) in roots.iter().zip(names) {
            let id = self.new_array(name, v, Role::Output);
            let direct = !matches!(
                self.values[v].kind,
                Kind::Array(_) | Kind::Number(_) | Kind::View(..) | Kind::Map(..)
            );
            if direct && !self.place.contains_key(&v) {
                self.place.insert(v, (id, 0));
            } else if self.values[v].is_map() && !self.place.contains_key(&v) {
                self.place.insert(v, (id, 0));
                let group = self.group_of(v);
                self.demand(group, v, Fate::Store, id, 0);
            } else {
                let group = self.group_of(v);
                self.demand(group, v, Fate::Store, id, 0);
            }
            found.push(id);
        }
        found
    }

    fn group_of(&self, v: ValueId) -> Group {
        Group {
            level: self.level[v],
            rows: self.values[v].extent == Extent::Rows,
            len: self.values[v].len(),
        }
    }

    fn demand(&mut self, group: Group, value: ValueId, fate: Fate, array: ArrayId, offset: usize) {
        self.demands.entry(group).or_default().push(Demand {
            value,
            fate,
            array,
            offset,
        });
    }

    /// Arrays for what must be stored, and what maps must write.
    fn places(&mut self) {
        for v in 0..self.values.len() {
            if !self.needed[v] {
                continue;
            }
            match self.values[v].kind.clone() {
                Kind::Array(id) => {
                    self.place.insert(v, (id, 0));
                }
                Kind::Number(_) => {
                    let whole =
                        |u: ValueId| !matches!(self.values[u].kind, Kind::Map(..) | Kind::Reduce(..) | Kind::Join(_));
                    if self.users[v].iter().any(|&u| whole(u)) {
                        self.store(v);
                    }
                }
                Kind::Map(..) => {
                    if !self.place.contains_key(&v) && self.must_store(v) {
                        self.store(v);
                    }
                }
                Kind::View(of, offset) => {
                    if let Some(&(id, at)) = self.place.get(&of) {
                        self.place.insert(v, (id, at + offset));
                    }
                }
                kind => {
                    let id = match self.place.get(&v) {
                        Some(&(id, _)) => id,
                        None => {
                            let id = self.new_array(format!("v{v}"), v, Role::Scratch);
                            self.place.insert(v, (id, 0));
                            id
                        }
                    };
                    self.sum_in_maps(v, &kind, id);
                }
            }
        }
    }

    fn store(&mut self, v: ValueId) {
        let id = self.new_array(format!("v{v}"), v, Role::Scratch);
        self.place.insert(v, (id, 0));
        let group = self.group_of(v);
        self.demand(group, v, Fate::Store, id, 0);
    }

    /// Sums and joins are written by the maps that compute what they are made of.
    fn sum_in_maps(&mut self, v: ValueId, kind: &Kind, id: ArrayId) {
        match *kind {
            Kind::Reduce(over, a) => {
                let mut group = self.group_of(a);
                let fate = match over {
                    Over::Elements => Fate::SumElements,
                    Over::Largest => Fate::MaxElements,
                    Over::Rows => {
                        // what is held once counts once a row
                        group.rows = true;
                        Fate::SumRows
                    }
                };
                self.demand(group, a, fate, id, 0);
            }
            Kind::Join(ref parts) => {
                let mut at = 0;
                for &p in parts {
                    let mut group = self.group_of(p);
                    group.rows |= self.values[v].extent == Extent::Rows;
                    self.demand(group, p, Fate::Store, id, at);
                    at += self.values[p].len();
                }
            }
            _ => {}
        }
    }

    /// Whether a map's value is needed outside its own map and not computed again there.
    fn must_store(&self, v: ValueId) -> bool {
        let home = self.group_of(v);
        self.users[v].iter().any(|&u| match self.values[u].kind {
            Kind::Map(..) => {
                let there = self.group_of(u);
                there != home && !((there.rows, there.len) == (home.rows, home.len) && self.again(v))
            }
            Kind::Reduce(over, _) => over == Over::Rows && !home.rows,
            Kind::Join(_) => !home.rows && self.values[u].extent == Extent::Rows,
            _ => true,
        })
    }

    /// Cheap to compute again from what stands in memory.
    fn again(&self, v: ValueId) -> bool {
        self.cost(v).is_some_and(|c| c <= AGAIN)
    }

    fn cost(&self, v: ValueId) -> Option<usize> {
        match &self.values[v].kind {
            Kind::Number(_) => Some(0),
            Kind::Map(op, args) => {
                let dear = matches!(
                    op,
                    Elementwise::Unary(op) if !matches!(op, Unary::Neg | Unary::Abs | Unary::Sign)
                ) || matches!(
                    op,
                    Elementwise::Binary(
                        Binary::Pow | Binary::Div | Binary::LogGamma | Binary::LogGammaSlope | Binary::Poisson
                    ) | Elementwise::Ternary(Ternary::Binomial)
                );
                if dear {
                    return None;
                }
                let mut total = 1;
                for &a in args {
                    if self.values[a].is_map()
                        && (self.values[a].extent, self.values[a].len())
                            != (self.values[v].extent, self.values[v].len())
                    {
                        return None;
                    }
                    total += self.cost(a)?;
                    if total > AGAIN {
                        return None;
                    }
                }
                Some(total)
            }
            _ => self.values[v].is_solid().then_some(0),
        }
    }

    // -- steps

    fn steps(&mut self) {
        let top = (0..self.values.len())
            .filter(|&v| self.needed[v])
            .map(|v| self.level[v])
            .max()
            .unwrap_or(0);
        for level in 0..=top {
            for v in 0..self.values.len() {
                if self.needed[v] && self.level[v] == level {
                    self.whole(v);
                }
            }
            let groups: Vec<Group> = self.demands.keys().copied().filter(|g| g.level == level).collect();
            for group in groups {
                let demands = self.demands.remove(&group).unwrap_or_default();
                let map = Fuse::map(self, group, &demands);
                self.program.steps.push(Step::Map(map));
            }
        }
    }

    /// The step of a value that needs whole arrays.
    fn whole(&mut self, v: ValueId) {
        let value = &self.values[v];
        let Some(&(out, at)) = self.place.get(&v) else { return };
        let read = |s: &Self, a: ValueId| {
            let (array, offset) = s.place[&a];
            Read {
                array,
                offset,
                access: Access::Element,
            }
        };
        let step = match value.kind.clone() {
            Kind::Product(a, b) => {
                let (a, b) = (self.matrix(a), self.matrix(b));
                let rows = effective_rows(&a);
                let cols = if b.transposed { fixed(b.rows) } else { b.cols };
                Step::Product {
                    out: Matrix {
                        array: out,
                        offset: at,
                        rows,
                        cols,
                        stride: cols,
                        transposed: false,
                    },
                    a,
                    b,
                    accumulate: false,
                }
            }
            Kind::ProductOverRows(a, b) => {
                let (mut a, b) = (self.as_rows(a), self.as_rows(b));
                a.transposed = true;
                Step::Product {
                    out: Matrix {
                        array: out,
                        offset: at,
                        rows: Count::Fixed(a.cols),
                        cols: b.cols,
                        stride: b.cols,
                        transposed: false,
                    },
                    a,
                    b,
                    accumulate: false,
                }
            }
            Kind::Batched(a, b) => {
                let (a, b) = (self.own(a), self.own(b));
                let rows = if a.transposed { a.cols } else { fixed(a.rows) };
                let cols = if b.transposed { fixed(b.rows) } else { b.cols };
                Step::Batched {
                    out: Matrix {
                        array: out,
                        offset: at,
                        rows: Count::Fixed(rows),
                        cols,
                        stride: cols,
                        transposed: false,
                    },
                    a,
                    b,
                    accumulate: false,
                }
            }
            Kind::Gather { table, index } => Step::Gather {
                out: read(self, v),
                table: read(self, table),
                index: read(self, index),
                len: value.len(),
                entries: self.values[table].len() / value.len().max(1),
            },
            Kind::Scatter { from, index, entries } => Step::Scatter {
                table: read(self, v),
                from: read(self, from),
                index: read(self, index),
                len: self.values[from].len(),
                entries,
            },
            Kind::Pick(a, map) => Step::Pick {
                out,
                from: self.whole_array(a),
                map,
            },
            Kind::Unpick(a, map) => Step::Unpick {
                out,
                from: self.whole_array(a),
                map,
            },
            Kind::Algebra(what, a) => Step::Algebra {
                what,
                out,
                a: self.whole_array(a),
                n: self.values[a].shape[0],
            },
            _ => return,
        };
        self.program.steps.push(step);
    }

    /// The array that a value fills; a part of one is copied out first.
    fn whole_array(&mut self, v: ValueId) -> ArrayId {
        let (id, at) = self.place[&v];
        let len = self.values[v].len();
        if at == 0 && self.program.arrays[id].len == len {
            return id;
        }
        let copy = self.new_array(
            format!("part of {}", self.program.arrays[id].name.clone()),
            v,
            Role::Scratch,
        );
        self.program.steps.push(Step::Map(Map {
            extent: self.values[v].extent,
            len,
            reads: vec![Read {
                array: id,
                offset: at,
                access: Access::Element,
            }],
            ops: vec![],
            writes: vec![Write {
                value: 0,
                fate: Fate::Store,
                array: copy,
                offset: 0,
            }],
        }));
        copy
    }

    /// A matrix operand; of a per-row value, the parts of all rows of the batch.
    fn matrix(&self, o: Operand) -> Matrix {
        let (array, offset) = self.place[&o.value];
        let value = &self.values[o.value];
        let (rows, cols) = sides(&value.shape);
        let per_row = value.extent == Extent::Rows;
        // one part a row may be a piece of a longer array
        let stride = if per_row && rows == 1 {
            self.program.arrays[array].len
        } else {
            cols
        };
        Matrix {
            array,
            offset,
            rows: if per_row {
                Count::PerRow(rows)
            } else {
                Count::Fixed(rows)
            },
            cols,
            stride,
            transposed: o.transposed,
        }
    }

    /// A per-row vector as the rows of a matrix, or the parts of per-row matrices as its rows.
    fn as_rows(&self, v: ValueId) -> Matrix {
        let mut m = self.matrix(Operand {
            value: v,
            transposed: false,
        });
        if self.values[v].shape.len() == 1 {
            m.cols = self.values[v].len();
            m.stride = self.program.arrays[m.array].len;
            m.rows = Count::PerRow(1);
        }
        m
    }

    /// The matrix that a row has of its own, or one held once.
    fn own(&self, o: Operand) -> Matrix {
        let (array, offset) = self.place[&o.value];
        let (rows, cols) = sides(&self.values[o.value].shape);
        Matrix {
            array,
            offset,
            rows: Count::Fixed(rows),
            cols,
            stride: cols,
            transposed: o.transposed,
        }
    }
}

fn sides(shape: &[usize]) -> (usize, usize) {
    match *shape {
        [n, m] => (n, m),
        [n] => (1, n),
        _ => (1, 1),
    }
}

fn fixed(c: Count) -> usize {
    match c {
        Count::Fixed(n) | Count::PerRow(n) => n,
    }
}

fn effective_rows(a: &Matrix) -> Count {
    if a.transposed { Count::Fixed(a.cols) } else { a.rows }
}

/// A register while a map is put together.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Read(usize),
    Op(usize),
}

/// Puts one map together.
struct Fuse<'s, 'a> {
    s: &'s Schedule<'a>,
    group: Group,
    reads: Vec<Read>,
    ops: Vec<(Elementwise, Vec<Slot>, f64)>,
    memo: HashMap<ValueId, Slot>,
}

impl Fuse<'_, '_> {
    fn map(s: &Schedule<'_>, group: Group, demands: &[Demand]) -> Map {
        let mut f = Fuse {
            s,
            group,
            reads: vec![],
            ops: vec![],
            memo: HashMap::new(),
        };
        let slots: Vec<Slot> = demands.iter().map(|d| f.slot(d.value, true)).collect();
        let first = f.reads.len();
        let reg = |s: Slot| -> Reg {
            match s {
                Slot::Read(i) => i,
                Slot::Op(i) => first + i,
            }
        };
        let ops = f
            .ops
            .iter()
            .map(|(op, args, number)| match op {
                Elementwise::Unary(u) => Op::Unary(*u, reg(args[0])),
                Elementwise::Binary(b) => Op::Binary(*b, reg(args[0]), reg(args[1])),
                Elementwise::Ternary(t) => Op::Ternary(*t, reg(args[0]), reg(args[1]), reg(args[2])),
                Elementwise::Copy => Op::Const(*number),
                Elementwise::Position => Op::Position,
            })
            .collect();
        Map {
            extent: if group.rows { Extent::Rows } else { Extent::Once },
            len: group.len,
            reads: f.reads.clone(),
            ops,
            writes: demands
                .iter()
                .zip(slots)
                .map(|(d, slot)| Write {
                    value: reg(slot),
                    fate: d.fate,
                    array: d.array,
                    offset: d.offset,
                })
                .collect(),
        }
    }

    /// The register of a value; `compute` where the map is to make it rather than read it.
    fn slot(&mut self, v: ValueId, compute: bool) -> Slot {
        if let Some(&slot) = self.memo.get(&v) {
            return slot;
        }
        let value = &self.s.values[v];
        let slot = match &value.kind {
            Kind::Number(x) => self.op(Elementwise::Copy, vec![], x.get()),
            Kind::Map(op, args) => {
                let home = self.s.group_of(v);
                let alike =
                    (home.rows, home.len) == (self.group.rows, self.group.len) && home.level <= self.group.level;
                let same = alike && home.level == self.group.level;
                if !(same || alike && !self.s.place.contains_key(&v) || compute && !self.s.place.contains_key(&v)) {
                    self.read(v)
                } else if let (Elementwise::Copy, &[a]) = (*op, &args[..]) {
                    self.slot(a, false)
                } else {
                    let (op, args) = (*op, args.clone());
                    let args = args.into_iter().map(|a| self.slot(a, false)).collect();
                    self.op(op, args, 0.0)
                }
            }
            _ => self.read(v),
        };
        self.memo.insert(v, slot);
        slot
    }

    fn op(&mut self, op: Elementwise, args: Vec<Slot>, number: f64) -> Slot {
        self.ops.push((op, args, number));
        Slot::Op(self.ops.len() - 1)
    }

    fn read(&mut self, v: ValueId) -> Slot {
        let (array, offset) = self.s.place[&v];
        let access = if self.s.values[v].len() == self.group.len {
            Access::Element
        } else {
            Access::Spread
        };
        self.reads.push(Read { array, offset, access });
        Slot::Read(self.reads.len() - 1)
    }
}
