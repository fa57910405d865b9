//! Tables by id, for the evaluator, which looks up little else: ids are small numbers, in no one's hands but ours.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table by term, symbol, index or size.
pub(crate) type ById<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// Spreads a number over all bits (Knuth's multiplicative hashing).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(u64::from(b)));
    }

    fn write_u32(&mut self, x: u32) {
        self.write_u64(u64::from(x));
    }

    fn write_u64(&mut self, x: u64) {
        self.0 = (self.0.rotate_left(5) ^ x).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, x: usize) {
        self.write_u64(x as u64);
    }

    fn finish(&self) -> u64 {
        // tables read the low bits, of which a product has the fewest
        self.0.rotate_left(26)
    }
}
