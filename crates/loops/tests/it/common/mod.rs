//! Programs and data that the tests of `loops` and `jit` share.
#![allow(dead_code)] // every test file uses some of it

pub mod gmm;
pub mod random;

use lvmc_loops::ir::Program;
use lvmc_loops::{Padding, RowLayout};

/// A small generator of numbers in [0, 1): enough for test data, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[allow(clippy::cast_precision_loss)]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// 0 ≤ number < n.
    #[allow(clippy::cast_possible_truncation)]
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Sum of uniforms: near enough to normal.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

/// The program, verified.
pub fn verified(program: Program) -> std::sync::Arc<Program> {
    if let Err(bug) = lvmc_loops::verify(&program) {
        panic!("{bug}\n{}", bug.ir);
    }
    std::sync::Arc::new(program)
}

/// Data for a column buffer.
pub fn columns(program: &Program, rows: usize, name: &str, value: impl FnMut(usize, usize) -> f64) -> Column {
    let buf = program.buf(name).expect("a buffer of that name");
    let layout = RowLayout {
        rows,
        block: program.block,
    };
    let data = layout.fill(program.buffers[buf.index()].len, Padding::LastRow, value);
    (buf, std::sync::Arc::new(data))
}

/// The weight column: what `value` says, 0 in the padding.
pub fn weights(program: &Program, rows: usize, name: &str, mut value: impl FnMut(usize) -> f64) -> Column {
    let buf = program.buf(name).expect("a buffer of that name");
    let layout = RowLayout {
        rows,
        block: program.block,
    };
    (buf, std::sync::Arc::new(layout.fill(1, Padding::Zero, |r, _| value(r))))
}

pub type Column = (lvmc_loops::ir::BufId, std::sync::Arc<lvmc_loops::AlignedVec>);
