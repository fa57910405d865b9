//! Loop IR to Cranelift IR, one function at a time.
//!
//! A compiled function takes a table of buffer addresses and a range of blocks. Values are scalars, or two rows in a
//! 128-bit vector inside row loops. Nothing is unrolled: the size of the code follows the size of the IR.

mod address;
mod flow;
mod kernels;
mod lanes;
mod math;
mod ops;
mod stmt;
mod tape;

use std::collections::HashMap;

use cranelift::codegen::ir::{BlockArg, Endianness, FuncRef, MemFlagsData};
use cranelift::prelude::types::{F64X2, I64};
use cranelift::prelude::{Block, FunctionBuilder, InstBuilder, IntCC, Value, Variable};
use lvmc_loops::Options;
use lvmc_loops::ir::{BufKind, Flat, Func, FuncKind, IndexVar, IxReg, LoopId, Program, Reg, Rows};
use lvmc_loops::usage;

use crate::externals::External;

pub(crate) use tape::Plan as TapePlan;

/// What emission asks of its surroundings.
pub(crate) struct Target<'a> {
    /// Fused multiply-add is one instruction.
    pub fma: bool,
    /// Brings an external function into the function being built.
    pub import: &'a mut dyn FnMut(&mut cranelift::codegen::ir::Function, External) -> FuncRef,
}

/// A register's value.
#[derive(Debug, Clone, Copy)]
enum Val {
    /// Known now.
    Const(f64),
    /// One number.
    Scalar(Value),
    /// Two rows.
    Lanes(Value),
    /// A block of rows, or one number, in memory (see [`tape`]).
    Block(tape::Place),
}

/// An index register's value.
#[derive(Debug, Clone, Copy)]
enum Ix {
    One(Value),
    Lanes([Value; 2]),
}

/// Key of a cached address: buffer and variable part of an index.
type AddressKey = (lvmc_loops::ir::BufId, Vec<(IndexVar, i64)>);

/// The state of emitting one function.
pub(crate) struct Emit<'a, 'f> {
    b: FunctionBuilder<'f>,
    program: &'a Program,
    options: Options,
    target: Target<'a>,
    plan: &'a TapePlan,
    /// Start of each buffer, for row buffers of the current block.
    bases: Vec<Option<Value>>,
    /// Scratch for block operations.
    extra: Option<Value>,
    regs: Vec<Option<Val>>,
    loops: Vec<Option<Value>>,
    ixs: Vec<Option<Ix>>,
    /// Addresses made in the open bodies, and the order in which they were made.
    addresses: HashMap<AddressKey, Value>,
    made: Vec<AddressKey>,
    /// Uniform registers as vectors, made in the open bodies.
    splats: HashMap<Reg, Value>,
    splat_log: Vec<Reg>,
    /// Masks behind the results of comparisons in lanes.
    masks: HashMap<Reg, Value>,
    /// Where `BreakIf` goes.
    exits: Vec<Block>,
    /// Byte offset of the current two rows.
    row: Option<Value>,
    /// Sums of the row loop kept in registers, and columns kept in registers.
    sums: Vec<(Flat, Variable)>,
    columns: Vec<(Rows, Variable)>,
    imported: HashMap<External, FuncRef>,
}

/// Builds the body of `func`.
pub(crate) fn emit<'a>(
    builder: FunctionBuilder<'_>,
    program: &'a Program,
    func: &Func,
    options: Options,
    plan: &'a TapePlan,
    target: Target<'a>,
    config: cranelift::codegen::isa::TargetFrontendConfig,
) {
    let mut e = Emit {
        b: builder,
        program,
        options,
        target,
        plan,
        bases: vec![None; program.buffers.len()],
        extra: None,
        regs: vec![None; func.regs as usize],
        loops: vec![None; func.loops as usize],
        ixs: vec![None; func.ixs as usize],
        addresses: HashMap::new(),
        made: Vec::new(),
        splats: HashMap::new(),
        splat_log: Vec::new(),
        masks: HashMap::new(),
        exits: Vec::new(),
        row: None,
        sums: Vec::new(),
        columns: Vec::new(),
        imported: HashMap::new(),
    };
    e.function(func);
    e.b.finalize(config);
}

/// A mark in the logs of things made.
#[derive(Clone, Copy)]
struct Scope(usize, usize);

impl Emit<'_, '_> {
    fn function(&mut self, func: &Func) {
        let entry = self.b.create_block();
        self.b.append_block_params_for_function_params(entry);
        self.b.switch_to_block(entry);
        self.b.seal_block(entry);
        let &[buffers, first, count] = self.b.block_params(entry) else {
            unreachable!("compiled functions have three parameters")
        };
        for buf in usage::mentioned(&func.body) {
            self.bases[buf.index()] = Some(self.pointer(buffers, buf.index()));
        }
        if !self.plan.is_empty() {
            let extra = self.pointer(buffers, self.program.buffers.len());
            self.extra = Some(extra);
            self.tape_constants();
        }
        if func.kind == FuncKind::Block {
            let end = self.b.ins().iadd(first, count);
            let starts = self.bases.clone();
            self.repeat(first, Bound::Value(end), 1, |e, block| {
                let scope = e.open();
                e.enter_block(&starts, block);
                e.body(&func.body);
                e.close(scope);
            });
        } else {
            self.body(&func.body);
        }
        self.b.ins().return_(&[]);
    }

    fn pointer(&mut self, table: Value, index: usize) -> Value {
        let offset = i32::try_from(8 * index).expect("fewer than 2^28 buffers");
        self.b.ins().load(I64, flags(), table, offset)
    }

    /// Points row buffers at a block.
    fn enter_block(&mut self, starts: &[Option<Value>], block: Value) {
        for (i, start) in starts.iter().enumerate() {
            let buffer = &self.program.buffers[i];
            if let Some(start) = start
                && buffer.kind.is_rows()
                && buffer.kind != BufKind::Temp
            {
                let stride = bytes(buffer.len * self.program.block);
                let offset = self.scale(block, stride);
                self.bases[i] = Some(self.b.ins().iadd(*start, offset));
            }
        }
    }

    /// Opens a body: what is cached in it is forgotten by `close`, since it may not dominate what follows.
    fn open(&mut self) -> Scope {
        Scope(self.made.len(), self.splat_log.len())
    }

    fn close(&mut self, scope: Scope) {
        for key in self.made.drain(scope.0..) {
            self.addresses.remove(&key);
        }
        for reg in self.splat_log.drain(scope.1..) {
            self.splats.remove(&reg);
        }
    }

    /// `for i in start, start + step .. end`, at least one turn; `BreakIf` inside leaves it.
    fn repeat(&mut self, start: Value, end: Bound, step: i64, body: impl FnOnce(&mut Self, Value)) {
        let (head, exit) = (self.b.create_block(), self.b.create_block());
        let i = self.b.append_block_param(head, I64);
        self.b.ins().jump(head, &[BlockArg::Value(start)]);
        self.b.switch_to_block(head);
        self.exits.push(exit);
        body(self, i);
        self.exits.pop();
        let next = self.b.ins().iadd_imm_s(i, step);
        let more = match end {
            Bound::Value(end) => self.b.ins().icmp(IntCC::UnsignedLessThan, next, end),
            Bound::Const(end) => self.b.ins().icmp_imm_s(IntCC::UnsignedLessThan, next, end),
        };
        self.b.ins().brif(more, head, &[BlockArg::Value(next)], exit, &[]);
        self.b.seal_block(head);
        self.b.seal_block(exit);
        self.b.switch_to_block(exit);
    }

    /// `i · by`.
    fn scale(&mut self, i: Value, by: i64) -> Value {
        match by {
            1 => i,
            by if by > 0 && by.count_ones() == 1 => self.b.ins().ishl_imm_s(i, i64::from(by.trailing_zeros())),
            by => self.b.ins().imul_imm_s(i, by),
        }
    }

    fn int(&mut self, value: usize) -> Value {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.b.ins().iconst(I64, value)
    }

    fn call(&mut self, function: External, args: &[Value]) -> Option<Value> {
        let func = match self.imported.get(&function) {
            Some(&f) => f,
            None => {
                let f = (self.target.import)(self.b.func, function);
                self.imported.insert(function, f);
                f
            }
        };
        let call = self.b.ins().call(func, args);
        self.b.inst_results(call).first().copied()
    }

    fn loop_value(&self, var: LoopId) -> Value {
        self.loops[var.index()].expect("the verifier has seen the loop")
    }

    fn ix(&self, ix: IxReg) -> Ix {
        self.ixs[ix.index()].expect("the verifier has seen the definition")
    }

    /// The register that holds this column within the row loop.
    fn column_variable(&self, at: &Rows) -> Option<Variable> {
        self.columns.iter().find(|c| c.0 == *at).map(|c| c.1)
    }

    fn val(&self, reg: Reg) -> Val {
        self.regs[reg.index()].expect("the verifier has seen the definition")
    }
}

/// End of a loop.
#[derive(Clone, Copy)]
enum Bound {
    Value(Value),
    Const(i64),
}

/// Verified accesses to 16-byte aligned rows and 8-byte aligned numbers.
fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap().with_aligned()
}

/// For bitcasts of vectors.
fn little() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

/// Bytes of `n` numbers.
fn bytes(n: usize) -> i64 {
    i64::try_from(8 * n).expect("buffers are below 2^31 bytes")
}

/// The type of two rows.
const LANES: cranelift::prelude::Type = F64X2;
