//! Row loops as block operations: one call of a wide kernel per operation and block, with the temporaries in scratch
//! that stays in the first cache.
//!
//! The scratch holds, one after the other, the constants of the function, numbers that differ from call to call, and
//! slots of a block each, which are reused once their value is dead.

use std::collections::{HashMap, HashSet};

use cranelift::prelude::{InstBuilder, Value};
use lvmc_kernels::block::{Binary, Ternary};
use lvmc_loops::aligned::lines;
use lvmc_loops::ir::{Bin, Flat, Func, Op, Program, Reg, Rows, Stmt};
use lvmc_loops::semantics;
use lvmc_loops::usage::{uses, walk};
use lvmc_loops::{Options, Route, route};

use crate::externals::External;

use super::flow::Flow;
use super::stmt::extent_bound;
use super::{Emit, Val, bytes, flags};

/// A block of rows, or one number, in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pointer: Value,
    one: bool,
}

/// How a function's row loops use the scratch.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    block: usize,
    constants: Vec<u64>,
    /// Uniform registers that block operations read.
    numbers: HashMap<Reg, usize>,
    slots: HashMap<Reg, usize>,
    slot_count: usize,
    /// Registers computed into the column that the next statement stores them to.
    direct: HashMap<Reg, Rows>,
    /// Products that the next statement sums: they become dot products.
    products: HashMap<Reg, (Reg, Reg)>,
    /// Loads whose column is overwritten while their value is needed.
    copied: HashSet<Reg>,
}

impl Plan {
    pub fn new(program: &Program, func: &Func, options: Options) -> Self {
        let mut plan = Plan {
            block: program.block,
            ..Plan::default()
        };
        walk(&func.body, &mut |stmt| {
            if let (Stmt::Rows { body }, Some(Route::Tape)) = (stmt, route(stmt, &options)) {
                plan.add(body);
            }
        });
        // constants outside of row loops are operands too
        walk(&func.body, &mut |stmt| {
            if let (false, Stmt::Let(_, Op::Const(c))) = (plan.constants.is_empty(), stmt) {
                plan.constant(*c);
            }
        });
        plan
    }

    pub fn is_empty(&self) -> bool {
        self.constants.is_empty()
    }

    /// Numbers of scratch.
    pub fn len(&self) -> usize {
        self.slots_start() + self.slot_count * self.block
    }

    fn slots_start(&self) -> usize {
        lines(self.constants.len() + self.numbers.len())
    }

    fn constant(&mut self, c: f64) -> usize {
        let bits = c.to_bits();
        self.constants.iter().position(|&k| k == bits).unwrap_or_else(|| {
            self.constants.push(bits);
            self.constants.len() - 1
        })
    }

    fn add(&mut self, body: &[Stmt]) {
        // what a copy multiplies by
        self.constant(1.0);
        let flow = Flow::of(body);
        self.pair_up(body, &flow);
        self.assign_slots(&flow);
        self.assign_numbers(&flow);
    }

    /// Finds registers that their only neighbour consumes.
    fn pair_up(&mut self, body: &[Stmt], flow: &Flow<'_>) {
        for pair in body.windows(2) {
            let Stmt::Let(reg, op) = &pair[0] else { continue };
            if !flow.varies(*reg) || matches!(op, Op::LoadRow(_)) {
                continue;
            }
            match &pair[1] {
                Stmt::StoreRow(at, r) if r == reg && flow.stores_to(at.buf) == 1 => {
                    self.direct.insert(*reg, at.clone());
                }
                Stmt::Reduce(_, r) if r == reg && flow.use_count(*reg) == 1 => {
                    if let Op::Bin(Bin::Mul, a, b) = op
                        && flow.varies(*a)
                        && flow.varies(*b)
                    {
                        self.products.insert(*reg, (*a, *b));
                    }
                }
                _ => {}
            }
        }
        for stmt in body {
            if let Stmt::For { body, .. } = stmt {
                self.pair_up(body, flow);
            }
        }
    }

    /// Gives every value that needs one a slot.
    fn assign_slots(&mut self, flow: &Flow<'_>) {
        let mut free: Vec<usize> = Vec::new();
        let mut live: Vec<(usize, usize)> = Vec::new();
        let mut count = 0;
        for (at, stmt) in &flow.order {
            let Stmt::Let(reg, op) = stmt else { continue };
            if !flow.varies(*reg) || self.direct.contains_key(reg) || self.products.contains_key(reg) {
                continue;
            }
            let last = flow.last_use(*reg, |r| self.products.contains_key(&r));
            if let Op::LoadRow(from) = op {
                if !flow.overwritten(from, *at, last) {
                    continue;
                }
                self.copied.insert(*reg);
            }
            // an operand that dies here may be the result's place
            free.extend(live.iter().filter(|l| l.0 <= *at).map(|l| l.1));
            live.retain(|l| l.0 > *at);
            let slot = free.pop().unwrap_or_else(|| {
                count += 1;
                count - 1
            });
            live.push((last, slot));
            self.slots.insert(*reg, slot);
        }
        self.slot_count = self.slot_count.max(count);
    }

    /// Gives every uniform operand of a block operation a number.
    fn assign_numbers(&mut self, flow: &Flow<'_>) {
        for (_, stmt) in &flow.order {
            let block = match stmt {
                Stmt::Let(reg, _) => flow.varies(*reg),
                Stmt::StoreRow(..) => true,
                _ => false,
            };
            for reg in uses(stmt) {
                if block && !flow.varies(reg) {
                    let next = self.numbers.len();
                    self.numbers.entry(reg).or_insert(next);
                }
            }
        }
    }
}

impl Emit<'_, '_> {
    /// Writes the constants into the scratch, once per call.
    pub(super) fn tape_constants(&mut self) {
        for (i, bits) in self.plan.constants.iter().enumerate() {
            let value = self.b.ins().f64const(f64::from_bits(*bits));
            let to = self.extra_pointer(0);
            let offset = i32::try_from(8 * i).expect("fewer than 2^28 constants");
            self.b.ins().store(flags(), value, to, offset);
        }
    }

    fn extra_pointer(&mut self, number: usize) -> Value {
        let extra = self.extra.expect("a function with block operations has scratch");
        if number == 0 {
            return extra;
        }
        self.b.ins().iadd_imm_s(extra, bytes(number))
    }

    pub(super) fn tape(&mut self, body: &[Stmt]) {
        self.make_addresses(body);
        self.tape_body(body);
    }

    fn tape_body(&mut self, body: &[Stmt]) {
        for stmt in body {
            match stmt {
                Stmt::For { var, extent, body } => {
                    let zero = self.int(0);
                    self.repeat(zero, extent_bound(*extent), 1, |e, i| {
                        let scope = e.open();
                        e.loops[var.index()] = Some(i);
                        e.tape_body(body);
                        e.loops[var.index()] = None;
                        e.close(scope);
                    });
                }
                Stmt::Let(reg, op) => {
                    let value = self.tape_let(*reg, op);
                    self.regs[reg.index()] = value;
                }
                Stmt::StoreRow(at, value) => self.tape_store(at, *value),
                Stmt::Reduce(at, value) => self.tape_reduce(at, *value),
                other => unreachable!("{other:?} is not a block operation"),
            }
        }
    }

    fn is_block(&self, reg: Reg) -> bool {
        matches!(self.regs[reg.index()], Some(Val::Block(_)))
    }

    fn tape_let(&mut self, reg: Reg, op: &Op) -> Option<Val> {
        if self.plan.products.contains_key(&reg) {
            return None;
        }
        let operands = uses(&Stmt::Let(reg, op.clone()));
        if let Op::LoadRow(at) = op {
            let address = self.column_address(at);
            let column = Place {
                pointer: self.whole(address),
                one: false,
            };
            if !self.plan.copied.contains(&reg) {
                return Some(Val::Block(column));
            }
            let to = self.slot(reg);
            self.copy(to, column);
            return Some(Val::Block(Place {
                pointer: to,
                one: false,
            }));
        }
        if !operands.iter().any(|r| self.is_block(*r)) {
            return Some(self.op(reg, op));
        }
        let places: Vec<Place> = operands.iter().map(|r| self.place(*r)).collect();
        let to = match self.plan.direct.get(&reg) {
            Some(at) => {
                let column = self.column_address(at);
                self.whole(column)
            }
            None => self.slot(reg),
        };
        match op {
            Op::Un(op, _) => {
                let (op, n) = (self.int(semantics::unary(*op) as usize), self.int(self.program.block));
                self.call(External::Kernel("unary"), &[op, n, to, places[0].pointer]);
            }
            Op::Bin(op, ..) => self.binary(semantics::binary(*op), to, places[0], places[1]),
            Op::Fma(..) => self.ternary(Ternary::Fma, to, &places),
            Op::Select(..) => self.ternary(Ternary::Select, to, &places),
            Op::Const(_) | Op::Load(_) | Op::LoadRow(_) | Op::IndexValue(_) => unreachable!("these have no operands"),
        }
        Some(Val::Block(Place {
            pointer: to,
            one: false,
        }))
    }

    fn slot(&mut self, reg: Reg) -> Value {
        let slot = self.plan.slots[&reg];
        self.extra_pointer(self.plan.slots_start() + slot * self.plan.block)
    }

    /// A register as an operand of a block operation.
    fn place(&mut self, reg: Reg) -> Place {
        match self.val(reg) {
            Val::Block(place) => place,
            Val::Const(c) => {
                let bits = c.to_bits();
                let at = self.plan.constants.iter().position(|&k| k == bits);
                let at = at.expect("the plan holds every constant of the function");
                Place {
                    pointer: self.extra_pointer(at),
                    one: true,
                }
            }
            Val::Scalar(value) => {
                let at = self.plan.constants.len() + self.plan.numbers[&reg];
                let pointer = self.extra_pointer(at);
                self.b.ins().store(flags(), value, pointer, 0);
                Place { pointer, one: true }
            }
            Val::Lanes(_) => unreachable!("pairs of rows stay inside their row loops"),
        }
    }

    fn binary(&mut self, op: Binary, to: Value, a: Place, b: Place) {
        let (op, n) = (self.int(op as usize), self.int(self.program.block));
        let ones = self.int(usize::from(a.one) | usize::from(b.one) << 1);
        self.call(External::Kernel("binary"), &[op, n, to, a.pointer, b.pointer, ones]);
    }

    fn ternary(&mut self, op: Ternary, to: Value, places: &[Place]) {
        let (op, n) = (self.int(op as usize), self.int(self.program.block));
        let ones = places.iter().enumerate().map(|(i, p)| usize::from(p.one) << i).sum();
        let ones = self.int(ones);
        let (a, b, c) = (places[0].pointer, places[1].pointer, places[2].pointer);
        self.call(External::Kernel("ternary"), &[op, n, to, a, b, c, ones]);
    }

    /// `to = from`: once more by 1, which keeps every value.
    fn copy(&mut self, to: Value, from: Place) {
        let bits = 1.0_f64.to_bits();
        let at = self
            .plan
            .constants
            .iter()
            .position(|&k| k == bits)
            .expect("the plan holds 1");
        let one = Place {
            pointer: self.extra_pointer(at),
            one: true,
        };
        self.binary(Binary::Mul, to, from, one);
    }

    fn tape_store(&mut self, at: &Rows, value: Reg) {
        if self.plan.direct.get(&value) == Some(at) {
            return;
        }
        let column = self.column_address(at);
        let to = self.whole(column);
        let from = self.place(value);
        self.copy(to, from);
    }

    fn tape_reduce(&mut self, at: &Flat, value: Reg) {
        let to = self.flat_address(at);
        if let Some(&(a, b)) = self.plan.products.get(&value) {
            let (a, b, to) = (self.place(a), self.place(b), self.whole(to));
            let n = self.int(self.program.block);
            self.call(External::Kernel("dot"), &[n, a.pointer, b.pointer, to]);
        } else if self.is_block(value) {
            let (from, to) = (self.place(value), self.whole(to));
            let n = self.int(self.program.block);
            self.call(External::Kernel("sum"), &[n, from.pointer, to]);
        } else {
            // the same number for every row
            #[allow(clippy::cast_precision_loss)] // rows of a block
            let rows = self.b.ins().f64const(self.program.block as f64);
            let value = self.scalar(value);
            let sum = self.b.ins().fmul(value, rows);
            self.add_to(sum, to);
        }
    }
}
