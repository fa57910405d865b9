//! What the tests of kernels share.
#![allow(dead_code)] // each test crate uses its part

use lvmc_kernels::block::{Kernels, by_name};

/// A small generator: the same numbers on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// Uniform on (0, 1).
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
    /// Roughly normal.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
    pub fn normals(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.normal()).collect()
    }
    pub fn units(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.unit()).collect()
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
}

/// The widths that this machine has.
pub fn widths() -> Vec<&'static Kernels> {
    ["portable", "avx2", "avx512"].into_iter().filter_map(by_name).collect()
}

/// Whether two numbers agree to a relative or absolute bound; equal infinities and two NaN do.
pub fn near(a: f64, b: f64, relative: f64, absolute: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= absolute + relative * a.abs().max(b.abs())
}

#[track_caller]
pub fn assert_near(got: &[f64], want: &[f64], relative: f64, absolute: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(near(*g, *w, relative, absolute), "{what} at {i}: {g:e}, not {w:e}");
    }
}

/// log Σ exp of a row, plainly.
pub fn lse(row: &[f64]) -> f64 {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        top
    } else {
        top + row.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
    }
}
