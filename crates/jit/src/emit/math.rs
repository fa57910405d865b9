//! Exponentials and logarithms of two rows, inline. The same polynomials as the block kernels: about one unit in the
//! last place. Denormal results are 0, as compiled code flushes them.

use cranelift::prelude::{FloatCC, InstBuilder, Value};

use super::Emit;
use super::ops::Width;

/// eʳ on |r| ≤ ½ log 2 by powers, minimax.
const EXP: [f64; 12] = [
    1.0,
    1.0,
    0.500_000_000_000_001_9,
    0.166_666_666_666_666_8,
    0.041_666_666_666_487_95,
    0.008_333_333_333_319_589,
    0.001_388_888_895_235_286_3,
    0.000_198_412_698_900_764_03,
    2.480_148_544_156_131_3e-5,
    2.755_724_088_722_987e-6,
    2.763_265_472_252_779e-7,
    2.511_004_920_481_865_8e-8,
];
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Adding it rounds to an integer, which then stands in the low bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;
/// Coefficients of the odd part of log((1 + s) / (1 − s)), minimax.
const LOG: [f64; 7] = [
    6.666_666_666_666_735e-1,
    3.999_999_999_940_942e-1,
    2.857_142_874_366_239e-1,
    2.222_219_843_214_978_4e-1,
    1.818_357_216_161_805e-1,
    1.531_383_769_920_937_3e-1,
    1.479_819_860_511_658_6e-1,
];

impl Emit<'_, '_> {
    /// a · c + d for constants.
    fn fma_const(&mut self, a: Value, c: f64, d: Value) -> Value {
        let c = self.both(c);
        self.fma(a, c, d)
    }

    /// Σ cᵢ xⁱ.
    fn polynomial(&mut self, x: Value, coefficients: impl DoubleEndedIterator<Item = f64>) -> Value {
        let mut coefficients = coefficients.rev();
        let last = coefficients.next().unwrap_or(0.0);
        let mut sum = self.both(last);
        for c in coefficients {
            let c = self.both(c);
            sum = self.fma(sum, x, c);
        }
        sum
    }

    /// `y < x ? x : y`: y where the two do not compare.
    fn larger(&mut self, x: Value, y: Value) -> Value {
        self.choose(Width::Two, FloatCC::LessThan, (y, x), (x, y))
    }

    fn smaller(&mut self, x: Value, y: Value) -> Value {
        self.choose(Width::Two, FloatCC::LessThan, (x, y), (x, y))
    }

    /// eˣ: 0 below −745, ∞ above 709.8, `NaN` stays.
    pub(super) fn exp(&mut self, x: Value) -> Value {
        let (low, high) = (self.both(-746.0), self.both(710.0));
        let x = self.smaller(high, x);
        let x = self.larger(low, x);
        let magic = self.both(MAGIC);
        let shifted = self.fma_const(x, std::f64::consts::LOG2_E, magic);
        let n = self.b.ins().fsub(shifted, magic);
        let r = self.fma_const(n, -LN2_HIGH, x);
        let r = self.fma_const(n, -LN2_LOW, r);
        // even and odd powers apart overlap better
        let square = self.b.ins().fmul(r, r);
        let even = self.polynomial(square, EXP.into_iter().step_by(2));
        let odd = self.polynomial(square, EXP.into_iter().skip(1).step_by(2));
        let p = self.fma(odd, r, even);
        // 2ⁿ in two factors: n reaches beyond the exponents at both ends
        let half = self.fma_const(n, 0.5, magic);
        let half_n = self.b.ins().fsub(half, magic);
        let rest = self.b.ins().fsub(n, half_n);
        let rest = self.b.ins().fadd(rest, magic);
        let (first, second) = (self.power_of_two(half), self.power_of_two(rest));
        let p = self.b.ins().fmul(p, first);
        self.b.ins().fmul(p, second)
    }

    /// 2ⁿ for n + [`MAGIC`].
    fn power_of_two(&mut self, shifted: Value) -> Value {
        let exponent = self.shifted(shifted);
        let one = self.both_bits(1.0_f64.to_bits());
        let bits = self.b.ins().iadd(exponent, one);
        self.as_floats(bits)
    }

    /// log x: −∞ at 0 (and for denormals), `NaN` below.
    pub(super) fn log(&mut self, x: Value) -> Value {
        // x = 2ᵏ m with m in [√½, √2)
        const ROOT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
        let bits = self.as_integers(x);
        let offset = self.both_bits(0x3FF0_0000_0000_0000 - ROOT_HALF);
        let moved = self.b.ins().iadd(bits, offset);
        let exponent = self.b.ins().ushr_imm_s(moved, 52);
        // the integer as a float, by its place in the mantissa of 2⁵²
        let two52 = self.both_bits(0x4330_0000_0000_0000);
        let exponent = self.b.ins().bor(exponent, two52);
        let exponent = self.as_floats(exponent);
        let bias = self.both(4_503_599_627_370_496.0 + 1023.0);
        let k = self.b.ins().fsub(exponent, bias);
        let mantissa = self.both_bits(0x000F_FFFF_FFFF_FFFF);
        let m = self.b.ins().band(moved, mantissa);
        let root_half = self.both_bits(ROOT_HALF);
        let m = self.b.ins().iadd(m, root_half);
        let m = self.as_floats(m);
        // log m from s = f / (2 + f), f = m − 1
        let (one, two) = (self.both(1.0), self.both(2.0));
        let f = self.b.ins().fsub(m, one);
        let sum = self.b.ins().fadd(f, two);
        let s = self.b.ins().fdiv(f, sum);
        let z = self.b.ins().fmul(s, s);
        let r = self.polynomial(z, LOG.into_iter());
        let r = self.b.ins().fmul(r, z);
        let half = self.both(0.5);
        let half_f = self.b.ins().fmul(f, half);
        let square = self.b.ins().fmul(half_f, f);
        let inner = self.b.ins().fadd(square, r);
        let low = self.both(LN2_LOW);
        let low = self.b.ins().fmul(k, low);
        let inner = self.fma(s, inner, low);
        let inner = self.b.ins().fsub(square, inner);
        let inner = self.b.ins().fsub(inner, f);
        let inner = self.b.ins().fneg(inner);
        let value = self.fma_const(k, LN2_HIGH, inner);
        self.log_special(x, value)
    }

    fn log_special(&mut self, x: Value, value: Value) -> Value {
        let (zero, tiny) = (self.both(0.0), self.both(f64::MIN_POSITIVE));
        let (nan, minus, infinity) = (
            self.both(f64::NAN),
            self.both(f64::NEG_INFINITY),
            self.both(f64::INFINITY),
        );
        let below = self.choose(Width::Two, FloatCC::LessThan, (x, zero), (nan, minus));
        let value = self.choose(Width::Two, FloatCC::LessThan, (x, tiny), (below, value));
        // ∞ and NaN stay
        self.choose(Width::Two, FloatCC::LessThan, (x, infinity), (value, x))
    }

    /// e^−|x|.
    fn exp_minus_abs(&mut self, x: Value) -> Value {
        let abs = self.b.ins().fabs(x);
        let minus = self.b.ins().fneg(abs);
        self.exp(minus)
    }

    pub(super) fn sigmoid(&mut self, x: Value) -> Value {
        let (zero, one) = (self.both(0.0), self.both(1.0));
        let e = self.exp_minus_abs(x);
        let sum = self.b.ins().fadd(one, e);
        let top = self.choose(Width::Two, FloatCC::LessThan, (x, zero), (e, one));
        self.b.ins().fdiv(top, sum)
    }

    /// log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|).
    pub(super) fn softplus(&mut self, x: Value) -> Value {
        let (zero, one) = (self.both(0.0), self.both(1.0));
        let e = self.exp_minus_abs(x);
        let u = self.b.ins().fadd(one, e);
        let log = self.log(u);
        // what the rounding of 1 + e lost
        let kept = self.b.ins().fsub(u, one);
        let lost = self.b.ins().fsub(e, kept);
        let lost = self.b.ins().fdiv(lost, u);
        let log = self.b.ins().fadd(log, lost);
        let positive = self.larger(zero, x);
        self.b.ins().fadd(positive, log)
    }
}
