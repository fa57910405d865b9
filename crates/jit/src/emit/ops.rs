//! Operations on one number and on two rows. The two share everything but comparisons, selections and constants.

use cranelift::codegen::ir::ConstantData;
use cranelift::prelude::types::{F64, I64, I64X2};
use cranelift::prelude::{FloatCC, InstBuilder, Value};
use lvmc_loops::ir::{Bin, IndexVar, Op, Reg, Un};

use crate::externals::External;

use super::{Emit, Ix, LANES, Val, flags, little};

/// How many rows a value holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    One,
    Two,
}

impl Emit<'_, '_> {
    pub(super) fn op(&mut self, reg: Reg, op: &Op) -> Val {
        match op {
            Op::Const(c) => Val::Const(*c),
            Op::Load(at) => {
                if self.differs(&at.at) {
                    return self.gather(at);
                }
                let from = self.flat_address(at);
                Val::Scalar(self.b.ins().load(F64, flags(), from.pointer, from.offset))
            }
            Op::LoadRow(at) => Val::Lanes(self.load_row(at)),
            Op::IndexValue(var) => self.index_value(*var),
            Op::Un(op, a) => {
                let width = self.width(&[*a]);
                let a = self.at_width(*a, width);
                let value = self.un(width, *op, a);
                wrap(width, value)
            }
            Op::Bin(op, a, b) => {
                let width = self.width(&[*a, *b]);
                let (a, b) = (self.at_width(*a, width), self.at_width(*b, width));
                let value = self.bin(width, *op, a, b, reg);
                wrap(width, value)
            }
            Op::Fma(a, b, c) => {
                let width = self.width(&[*a, *b, *c]);
                let (a, b, c) = (
                    self.at_width(*a, width),
                    self.at_width(*b, width),
                    self.at_width(*c, width),
                );
                let value = self.fma(a, b, c);
                wrap(width, value)
            }
            Op::Select(c, a, b) => {
                let width = self.width(&[*c, *a, *b]);
                let (x, y) = (self.at_width(*a, width), self.at_width(*b, width));
                let value = self.select(width, *c, x, y);
                wrap(width, value)
            }
        }
    }

    fn width(&self, regs: &[Reg]) -> Width {
        let two = regs.iter().any(|r| matches!(self.val(*r), Val::Lanes(_)));
        if two { Width::Two } else { Width::One }
    }

    fn at_width(&mut self, reg: Reg, width: Width) -> Value {
        match width {
            Width::One => self.scalar(reg),
            Width::Two => self.two(reg),
        }
    }

    /// A register as two rows.
    pub(super) fn two(&mut self, reg: Reg) -> Value {
        match self.val(reg) {
            Val::Lanes(v) => v,
            Val::Const(c) => self.both(c),
            Val::Scalar(v) => {
                if let Some(&known) = self.splats.get(&reg) {
                    return known;
                }
                let wide = self.b.ins().splat(LANES, v);
                self.splats.insert(reg, wide);
                self.splat_log.push(reg);
                wide
            }
            Val::Block(_) => unreachable!("block operations have their own values"),
        }
    }

    /// A constant in both lanes.
    pub(super) fn both(&mut self, c: f64) -> Value {
        let data: Vec<u8> = [c, c].iter().flat_map(|c| c.to_le_bytes()).collect();
        let constant = self.b.func.dfg.constants.insert(ConstantData::from(data));
        self.b.ins().vconst(LANES, constant)
    }

    /// The same bits in both lanes, as integers.
    pub(super) fn both_bits(&mut self, bits: u64) -> Value {
        let data: Vec<u8> = [bits, bits].iter().flat_map(|c| c.to_le_bytes()).collect();
        let constant = self.b.func.dfg.constants.insert(ConstantData::from(data));
        self.b.ins().vconst(I64X2, constant)
    }

    pub(super) fn constant(&mut self, width: Width, c: f64) -> Value {
        match width {
            Width::One => self.b.ins().f64const(c),
            Width::Two => self.both(c),
        }
    }

    fn index_value(&mut self, var: IndexVar) -> Val {
        let ix = match var {
            IndexVar::Loop(l) => Ix::One(self.loop_value(l)),
            IndexVar::Dyn(x) => self.ix(x),
        };
        match ix {
            Ix::One(i) => Val::Scalar(self.b.ins().fcvt_from_sint(F64, i)),
            Ix::Lanes([i, j]) => {
                let (x, y) = (self.b.ins().fcvt_from_sint(F64, i), self.b.ins().fcvt_from_sint(F64, j));
                Val::Lanes(self.pair(x, y))
            }
        }
    }

    /// Two numbers as two rows.
    pub(super) fn pair(&mut self, x: Value, y: Value) -> Value {
        let low = self.b.ins().scalar_to_vector(LANES, x);
        self.b.ins().insertlane(low, y, 1)
    }

    /// A scalar function of each row.
    fn each(&mut self, width: Width, function: External, args: &[Value]) -> Value {
        let call = |e: &mut Self, args: &[Value]| e.call(function, args).expect("scalar functions have a result");
        if width == Width::One {
            return call(self, args);
        }
        let lane = |e: &mut Self, lane: u8| {
            let args: Vec<Value> = args.iter().map(|&a| e.b.ins().extractlane(a, lane)).collect();
            call(e, &args)
        };
        let (x, y) = (lane(self, 0), lane(self, 1));
        self.pair(x, y)
    }

    fn un(&mut self, width: Width, op: Un, a: Value) -> Value {
        match op {
            Un::Neg => self.b.ins().fneg(a),
            Un::Abs => self.b.ins().fabs(a),
            Un::Sqrt => self.b.ins().sqrt(a),
            Un::Floor => self.b.ins().floor(a),
            Un::Sign => self.sign(width, a),
            Un::Exp if width == Width::Two => self.exp(a),
            Un::Log if width == Width::Two => self.log(a),
            Un::Sigmoid if width == Width::Two => self.sigmoid(a),
            Un::Softplus if width == Width::Two => self.softplus(a),
            op => self.each(width, External::Un(op), &[a]),
        }
    }

    /// `NaN` stays.
    fn sign(&mut self, width: Width, a: Value) -> Value {
        let (zero, one, minus) = (
            self.constant(width, 0.0),
            self.constant(width, 1.0),
            self.constant(width, -1.0),
        );
        let rest = self.b.ins().fmul(a, zero);
        let rest = self.choose(width, FloatCC::LessThan, (a, zero), (minus, rest));
        self.choose(width, FloatCC::GreaterThan, (a, zero), (one, rest))
    }

    fn bin(&mut self, width: Width, op: Bin, a: Value, b: Value, reg: Reg) -> Value {
        match op {
            Bin::Add => self.b.ins().fadd(a, b),
            Bin::Sub => self.b.ins().fsub(a, b),
            Bin::Mul => self.b.ins().fmul(a, b),
            Bin::Div => self.b.ins().fdiv(a, b),
            Bin::Min => self.b.ins().fmin(a, b),
            Bin::Max => self.b.ins().fmax(a, b),
            Bin::Pow => self.each(width, External::Pow, &[a, b]),
            Bin::Lt => self.compare(width, FloatCC::LessThan, a, b, reg),
            Bin::Le => self.compare(width, FloatCC::LessThanOrEqual, a, b, reg),
            Bin::Eq => self.compare(width, FloatCC::Equal, a, b, reg),
        }
    }

    /// 1 or 0; the mask is remembered for a selection.
    fn compare(&mut self, width: Width, cc: FloatCC, a: Value, b: Value, reg: Reg) -> Value {
        let mask = self.b.ins().fcmp(cc, a, b);
        if width == Width::One {
            let (one, zero) = (self.b.ins().f64const(1.0), self.b.ins().f64const(0.0));
            return self.b.ins().select(mask, one, zero);
        }
        self.masks.insert(reg, mask);
        let one = self.both_bits(1.0_f64.to_bits());
        let bits = self.b.ins().band(mask, one);
        self.b.ins().bitcast(LANES, little(), bits)
    }

    pub(super) fn fma(&mut self, a: Value, b: Value, c: Value) -> Value {
        if self.target.fma {
            return self.b.ins().fma(a, b, c);
        }
        // without the instruction Cranelift would call a function per lane
        let product = self.b.ins().fmul(a, b);
        self.b.ins().fadd(product, c)
    }

    fn select(&mut self, width: Width, cond: Reg, x: Value, y: Value) -> Value {
        if let (Width::Two, Some(&mask)) = (width, self.masks.get(&cond)) {
            let mask = self.b.ins().bitcast(LANES, little(), mask);
            return self.b.ins().bitselect(mask, x, y);
        }
        let cond = self.at_width(cond, width);
        let zero = self.constant(width, 0.0);
        self.choose(width, FloatCC::NotEqual, (cond, zero), (x, y))
    }

    /// `a cc b ? x : y`.
    pub(super) fn choose(
        &mut self,
        width: Width,
        cc: FloatCC,
        (a, b): (Value, Value),
        (x, y): (Value, Value),
    ) -> Value {
        let mask = self.b.ins().fcmp(cc, a, b);
        if width == Width::One {
            return self.b.ins().select(mask, x, y);
        }
        let mask = self.b.ins().bitcast(LANES, little(), mask);
        self.b.ins().bitselect(mask, x, y)
    }

    /// Vectors of bits as integers and back.
    pub(super) fn as_integers(&mut self, v: Value) -> Value {
        self.b.ins().bitcast(I64X2, little(), v)
    }

    pub(super) fn as_floats(&mut self, v: Value) -> Value {
        self.b.ins().bitcast(LANES, little(), v)
    }

    /// `int << 52`, as bits of a power of two; the integer stands in the low bits of a shifted float.
    pub(super) fn shifted(&mut self, v: Value) -> Value {
        let bits = self.as_integers(v);
        let by = self.b.ins().iconst(I64, 52);
        self.b.ins().ishl(bits, by)
    }
}

fn wrap(width: Width, value: Value) -> Val {
    match width {
        Width::One => Val::Scalar(value),
        Width::Two => Val::Lanes(value),
    }
}
