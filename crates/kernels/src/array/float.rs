//! What array programs do with numbers of either precision.

use super::gemm::{self, Products};
use super::noise::{self, Key, Law};
use super::tape;
use super::update::{self, Update};
use crate::block::{self, Binary, Ternary, Unary};

/// A number of an array: f32 or f64.
pub trait Float: Copy + PartialOrd + Send + Sync + std::fmt::Debug + 'static {
    /// 0.
    const ZERO: Self;
    /// −∞.
    const LEAST: Self;
    /// Sum.
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// To the nearest.
    fn from_f64(x: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// The products of the best instruction set for this machine.
    fn products() -> &'static Products<Self>;

    /// out = op(a)
    ///
    /// # Safety
    /// `a` and `out` hold `n` numbers and are apart.
    unsafe fn unary(op: Unary, n: usize, out: *mut Self, a: *const Self);

    /// out = a op b; bit 0 of `scalar`: a is one number, bit 1: b is.
    ///
    /// # Safety
    /// Operands hold `n` numbers (or one), `out` holds `n` and is apart from them.
    unsafe fn binary(op: Binary, n: usize, out: *mut Self, a: *const Self, b: *const Self, scalar: usize);

    /// out = op(a, b, c); bits 0 to 2 of `scalar`: operands that are one number.
    ///
    /// # Safety
    /// As [`Float::binary`].
    unsafe fn ternary(op: Ternary, n: usize, out: *mut Self, from: [*const Self; 3], scalar: usize);

    /// Σ a, in a fixed order.
    fn sum(a: &[Self]) -> f64;

    /// to += a
    fn add_up(to: &mut [f64], a: &[Self]);

    /// Σ a², in f64 and in a fixed order.
    fn squares(a: &[Self]) -> f64;

    /// The largest; NaN if there is one.
    fn largest(a: &[Self]) -> Self {
        a.iter()
            .fold(Self::LEAST, |x, &y| if is_nan(x) || x > y { x } else { y })
    }

    /// Transposes four rows of four: to[i · to_step + j] = from[j · from_step + i].
    ///
    /// # Safety
    /// All these places are valid, and apart.
    unsafe fn turn4(from: *const Self, from_step: usize, to: *mut Self, to_step: usize) {
        for i in 0..4 {
            for j in 0..4 {
                // SAFETY: the caller vouches for the places
                unsafe { *to.add(i * to_step + j) = *from.add(j * from_step + i) };
            }
        }
    }

    /// Noise of rows with some ids, `len` numbers each.
    fn noise(key: Key, ids: impl Iterator<Item = u32>, len: usize, law: Law, out: &mut [Self]);

    /// One update of a slice of parameters; all slices are equally long.
    fn update(update: &Update, x: &mut [Self], g: &[Self], m: &mut [Self], v: &mut [Self]);
}

/// Whether x is not a number.
#[allow(clippy::eq_op)]
fn is_nan<T: PartialOrd + Copy>(x: T) -> bool {
    x != x
}

impl Float for f32 {
    const ZERO: Self = 0.0;
    const LEAST: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as Self
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn products() -> &'static Products<Self> {
        gemm::of_f32()
    }

    unsafe fn unary(op: Unary, n: usize, out: *mut Self, a: *const Self) {
        // SAFETY: the caller vouches for the operands, as below
        unsafe { (tape::tape().unary)(op, n, out, a) }
    }

    unsafe fn binary(op: Binary, n: usize, out: *mut Self, a: *const Self, b: *const Self, scalar: usize) {
        // SAFETY: as above
        unsafe { (tape::tape().binary)(op, n, out, a, b, scalar) }
    }

    unsafe fn ternary(op: Ternary, n: usize, out: *mut Self, from: [*const Self; 3], scalar: usize) {
        // SAFETY: as above
        unsafe { (tape::tape().ternary)(op, n, out, from, scalar) }
    }

    fn sum(a: &[Self]) -> f64 {
        // SAFETY: the machine has the instructions of its tape, as below
        unsafe { (tape::tape().sum)(a) }
    }

    fn add_up(to: &mut [f64], a: &[Self]) {
        // SAFETY: as above
        unsafe { (tape::tape().add_up)(to, a) }
    }

    fn squares(a: &[Self]) -> f64 {
        // SAFETY: as above
        unsafe { (tape::tape().squares)(a) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn turn4(from: *const Self, from_step: usize, to: *mut Self, to_step: usize) {
        use std::arch::x86_64::{
            _mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_storeu_ps, _mm_unpackhi_ps, _mm_unpacklo_ps,
        };
        // SAFETY: the caller vouches for the places; every x86-64 has these instructions
        unsafe {
            let [a, b, c, d] = std::array::from_fn(|j| _mm_loadu_ps(from.add(j * from_step)));
            let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
            _mm_storeu_ps(to, _mm_movelh_ps(ab, cd));
            _mm_storeu_ps(to.add(to_step), _mm_movehl_ps(cd, ab));
            let (ab, cd) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
            _mm_storeu_ps(to.add(2 * to_step), _mm_movelh_ps(ab, cd));
            _mm_storeu_ps(to.add(3 * to_step), _mm_movehl_ps(cd, ab));
        }
    }

    fn noise(key: Key, ids: impl Iterator<Item = u32>, len: usize, law: Law, out: &mut [Self]) {
        noise::fill_f32(key, ids, len, law, out);
    }

    fn update(update: &Update, x: &mut [Self], g: &[Self], m: &mut [Self], v: &mut [Self]) {
        update::of_f32(update, x, g, m, v);
    }
}

impl Float for f64 {
    const ZERO: Self = 0.0;
    const LEAST: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    fn products() -> &'static Products<Self> {
        gemm::of_f64()
    }

    unsafe fn unary(op: Unary, n: usize, out: *mut Self, a: *const Self) {
        // SAFETY: the caller vouches for the operands, as below
        unsafe { (block::kernels().unary)(op as usize, n, out, a) }
    }

    unsafe fn binary(op: Binary, n: usize, out: *mut Self, a: *const Self, b: *const Self, scalar: usize) {
        // SAFETY: as above
        unsafe { (block::kernels().binary)(op as usize, n, out, a, b, scalar) }
    }

    unsafe fn ternary(op: Ternary, n: usize, out: *mut Self, from: [*const Self; 3], scalar: usize) {
        let [a, b, c] = from;
        // SAFETY: as above
        unsafe { (block::kernels().ternary)(op as usize, n, out, a, b, c, scalar) }
    }

    fn sum(a: &[Self]) -> f64 {
        let mut total = 0.0;
        // SAFETY: a slice, and one number
        unsafe { (block::kernels().sum)(a.len(), a.as_ptr(), &raw mut total) };
        total
    }

    fn add_up(to: &mut [f64], a: &[Self]) {
        to.iter_mut().zip(a).for_each(|(to, a)| *to += a);
    }

    fn squares(a: &[Self]) -> f64 {
        let mut total = 0.0;
        // SAFETY: a slice, twice, and one number
        unsafe { (block::kernels().dot)(a.len(), a.as_ptr(), a.as_ptr(), &raw mut total) };
        total
    }

    fn noise(key: Key, ids: impl Iterator<Item = u32>, len: usize, law: Law, out: &mut [Self]) {
        noise::fill(key, ids, len, law, out);
    }

    fn update(update: &Update, x: &mut [Self], g: &[Self], m: &mut [Self], v: &mut [Self]) {
        update::of_f64(update, x, g, m, v);
    }
}
