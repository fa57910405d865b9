//! Addresses: affine indices to pointers, each made once per body and as far out as its variables allow.

use cranelift::prelude::{InstBuilder, Value};
use lvmc_loops::ir::{BufId, Flat, Index, IndexVar, Op, Rows, Stmt};
use lvmc_loops::usage::{Place, operands};

use super::{AddressKey, Emit, Ix, bytes};

/// A pointer and a constant offset in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address {
    pub pointer: Value,
    pub offset: i32,
}

impl Emit<'_, '_> {
    /// Bytes from one index to the next.
    fn unit(&self, buf: BufId) -> i64 {
        let rows = self.program.buffers[buf.index()].kind.is_rows();
        bytes(if rows { self.program.block } else { 1 })
    }

    pub(super) fn flat_address(&mut self, at: &Flat) -> Address {
        self.address(at.buf, &at.at, None)
    }

    /// The element of lane `lane`, where the index differs between lanes.
    pub(super) fn lane_address(&mut self, at: &Flat, lane: usize) -> Address {
        self.address(at.buf, &at.at, Some(lane))
    }

    /// The first row of a column.
    pub(super) fn column_address(&mut self, at: &Rows) -> Address {
        self.address(at.buf, &at.col, None)
    }

    /// Two rows (or one) of a column in the current row loop.
    pub(super) fn row_address(&mut self, at: &Rows) -> Address {
        let column = self.column_address(at);
        let row = self.row.expect("the verifier has seen the row loop");
        Address {
            pointer: self.b.ins().iadd(column.pointer, row),
            ..column
        }
    }

    /// As one value, for calls.
    pub(super) fn whole(&mut self, address: Address) -> Value {
        if address.offset == 0 {
            return address.pointer;
        }
        self.b.ins().iadd_imm_s(address.pointer, i64::from(address.offset))
    }

    fn address(&mut self, buf: BufId, index: &Index, lane: Option<usize>) -> Address {
        let unit = self.unit(buf);
        let per_lane = |e: &Self, var: IndexVar| matches!(var, IndexVar::Dyn(x) if matches!(e.ix(x), Ix::Lanes(_)));
        let (varying, uniform): (Vec<_>, Vec<_>) = index.terms.iter().partition(|t| per_lane(self, t.0));
        let mut pointer = self.shared_address(buf, uniform);
        for (var, by) in varying {
            if let (IndexVar::Dyn(x), Some(lane)) = (var, lane)
                && let Ix::Lanes(values) = self.ix(x)
            {
                let step = self.scale(values[lane], by * unit);
                pointer = self.b.ins().iadd(pointer, step);
            }
        }
        match i32::try_from(index.base * unit) {
            Ok(offset) => Address { pointer, offset },
            Err(_) => Address {
                pointer: self.b.ins().iadd_imm_s(pointer, index.base * unit),
                offset: 0,
            },
        }
    }

    /// The part of an address that all rows share, without the constant.
    fn shared_address(&mut self, buf: BufId, terms: Vec<(IndexVar, i64)>) -> Value {
        let base = self.bases[buf.index()].expect("the function mentions the buffer");
        if terms.is_empty() {
            return base;
        }
        let key: AddressKey = (buf, terms);
        if let Some(&known) = self.addresses.get(&key) {
            return known;
        }
        let unit = self.unit(buf);
        let mut pointer = base;
        for &(var, by) in &key.1 {
            let value = match var {
                IndexVar::Loop(l) => self.loop_value(l),
                IndexVar::Dyn(x) => match self.ix(x) {
                    Ix::One(value) => value,
                    Ix::Lanes(_) => unreachable!("indices that differ between rows were set apart"),
                },
            };
            let step = self.scale(value, by * unit);
            pointer = self.b.ins().iadd(pointer, step);
        }
        self.made.push(key.clone());
        self.addresses.insert(key, pointer);
        pointer
    }

    /// Makes the addresses that the loop `body` needs and that do not change in it, so that it finds them cached.
    pub(super) fn make_addresses(&mut self, body: &[Stmt]) {
        let mut wanted: Vec<AddressKey> = Vec::new();
        lvmc_loops::usage::walk(body, &mut |stmt| {
            places(stmt, &mut |buf, index| {
                if !index.terms.is_empty() && index.terms.iter().all(|t| self.is_known(t.0)) {
                    wanted.push((buf, index.terms.clone()));
                }
            });
        });
        for (buf, terms) in wanted {
            self.shared_address(buf, terms);
        }
    }

    /// The variable has a value already, the same for all rows.
    fn is_known(&self, var: IndexVar) -> bool {
        match var {
            IndexVar::Loop(l) => self.loops[l.index()].is_some(),
            IndexVar::Dyn(x) => matches!(self.ixs[x.index()], Some(Ix::One(_))),
        }
    }
}

/// Calls `visit` with every place that a statement itself names.
fn places<'a>(stmt: &'a Stmt, visit: &mut impl FnMut(BufId, &'a Index)) {
    match stmt {
        Stmt::Let(_, Op::Load(f)) | Stmt::Store(f, _) | Stmt::Accum(f, _) | Stmt::Reduce(f, _) => visit(f.buf, &f.at),
        Stmt::Let(_, Op::LoadRow(r)) | Stmt::StoreRow(r, _) => visit(r.buf, &r.col),
        Stmt::Kernel(kernel) => {
            for operand in operands(kernel) {
                match operand.place {
                    Place::Flat(f, _) => visit(f.buf, &f.at),
                    Place::Rows(r, _) => visit(r.buf, &r.col),
                }
            }
        }
        _ => {}
    }
}
