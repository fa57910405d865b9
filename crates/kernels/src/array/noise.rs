//! Counter-based random numbers: element (row, j) of a draw is a function of (key, row, j) alone.
//!
//! Philox 4×32 with ten rounds (Salmon, Moraes, Dror, Shaw 2011): a block of the counter gives two numbers of 53 bits, those of
//! elements 2i and 2i + 1; normal numbers are their Box–Muller pair. Everything is worked out in f64.

use crate::block;
use std::f64::consts::TAU;

/// Which stream of numbers: one of (seed, array, draw).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    key: u64,
    draw: u64,
}

/// One round of a 64-bit mixer (splitmix64).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Key {
    /// Of array number `array` (among those that are noise) in draw `draw`.
    #[must_use]
    pub fn new(seed: u64, array: u64, draw: u64) -> Self {
        Self {
            key: mix(seed ^ mix(array)),
            draw,
        }
    }
}

/// Blocks worked on together.
const LANES: usize = 16;

/// Words of `LANES` blocks.
type Words = [[u32; LANES]; 4];

/// Ten rounds.
#[inline(always)]
fn philox(mut c: Words, key: u64) -> Words {
    let (mut k0, mut k1) = (key as u32, (key >> 32) as u32);
    for _ in 0..10 {
        for l in 0..LANES {
            let a = u64::from(c[0][l]) * 0xd251_1f53;
            let b = u64::from(c[2][l]) * 0xcd9e_8d57;
            let (w1, w3) = (c[1][l], c[3][l]);
            c[0][l] = (b >> 32) as u32 ^ w1 ^ k0;
            c[1][l] = b as u32;
            c[2][l] = (a >> 32) as u32 ^ w3 ^ k1;
            c[3][l] = a as u32;
        }
        k0 = k0.wrapping_add(0x9e37_79b9);
        k1 = k1.wrapping_add(0xbb67_ae85);
    }
    c
}

/// 64 random bits for each of the two elements of `LANES` blocks: block numbers and rows.
#[inline(always)]
fn bits(key: Key, at: &[[u32; LANES]; 2]) -> [[u64; LANES]; 2] {
    let mut c = [[0; LANES]; 4];
    for l in 0..LANES {
        c[0][l] = at[0][l];
        c[1][l] = at[1][l];
        c[2][l] = key.draw as u32;
        c[3][l] = (key.draw >> 32) as u32;
    }
    let c = philox(c, key.key);
    let pair = |a: usize, b: usize| std::array::from_fn(|l| u64::from(c[a][l]) << 32 | u64::from(c[b][l]));
    [pair(0, 1), pair(2, 3)]
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// Normal(0, 1).
    Normal,
    /// Uniform on (0, 1), never an end.
    Uniform,
    /// 0 … n − 1.
    Index(u32),
}

/// Numbers of a group.
const GROUP: usize = 2 * LANES;

/// Elements of rows with these ids, `len` each, into `out`, row after row.
pub fn fill(key: Key, ids: impl Iterator<Item = u32>, len: usize, law: Law, out: &mut [f64]) {
    fill_with(key, ids, len, law, out, |x| x);
}

/// As [`fill`], rounded to f32; a uniform number stays inside (0, 1).
pub fn fill_f32(key: Key, ids: impl Iterator<Item = u32>, len: usize, law: Law, out: &mut [f32]) {
    fill_with(key, ids, len, law, out, |x| round(law, x));
}

/// Blocks of several rows share a group where rows are short.
fn fill_with<T>(key: Key, ids: impl Iterator<Item = u32>, len: usize, law: Law, out: &mut [T], of: impl Fn(f64) -> T) {
    let blocks = len.div_ceil(2);
    let mut places = ids
        .enumerate()
        .flat_map(|(row, id)| (0..blocks).map(move |block| (row, id, block)));
    loop {
        let mut at = [[0; LANES]; 2];
        let mut to = [(0, 0); LANES];
        let mut used = 0;
        for (row, id, block) in places.by_ref().take(LANES) {
            (at[0][used], at[1][used]) = (block as u32, id);
            // a row of odd length has no use for its last number
            to[used] = (row * len + 2 * block, (len - 2 * block).min(2));
            used += 1;
        }
        if used == 0 {
            return;
        }
        let numbers = group(key, &at, law);
        for (l, (to, count)) in to[..used].iter().enumerate() {
            for i in 0..*count {
                out[to + i] = of(numbers[2 * l + i]);
            }
        }
    }
}

/// A number of a law as an f32.
#[must_use]
pub fn round(law: Law, x: f64) -> f32 {
    let rounded = x as f32;
    if law == Law::Uniform && rounded >= 1.0 {
        1.0 - f32::EPSILON / 2.0
    } else {
        rounded
    }
}

/// The two elements of each of `LANES` blocks.
fn group(key: Key, at: &[[u32; LANES]; 2], law: Law) -> [f64; GROUP] {
    let words = draw_bits(key, at);
    let unit = |bits: u64| (bits >> 12) as f64 * 2f64.powi(-52) + 2f64.powi(-53);
    let mut out = [0.0; GROUP];
    match law {
        Law::Uniform => (0..GROUP).for_each(|i| out[i] = unit(words[i % 2][i / 2])),
        Law::Index(n) => {
            let scaled = |bits: u64| ((u128::from(bits) * u128::from(n)) >> 64) as f64;
            (0..GROUP).for_each(|i| out[i] = scaled(words[i % 2][i / 2]));
        }
        Law::Normal => {
            let mut radius: [f64; LANES] = words[0].map(unit);
            let logs = radius;
            // SAFETY: both hold `LANES` numbers, and are apart
            unsafe { (block::kernels().unary)(block::Unary::Log as usize, LANES, radius.as_mut_ptr(), logs.as_ptr()) };
            for l in 0..LANES {
                let r = (-2.0 * radius[l]).sqrt();
                let (sin, cos) = turn(unit(words[1][l]));
                (out[2 * l], out[2 * l + 1]) = (r * cos, r * sin);
            }
        }
    }
    out
}

/// The generator, with the widest multiplications there are; integers are the same on every machine.
fn draw_bits(key: Key, at: &[[u32; LANES]; 2]) -> [[u64; LANES]; 2] {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn wide(key: Key, at: &[[u32; LANES]; 2]) -> [[u64; LANES]; 2] {
            bits(key, at)
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was detected
            return unsafe { wide(key, at) };
        }
    }
    bits(key, at)
}

/// sin and cos of 2π u, u in (0, 1), by the nearest quarter: within an ulp or two.
#[inline(always)]
fn turn(u: f64) -> (f64, f64) {
    let quarter = (4.0 * u + 0.5).floor();
    let x = (u - 0.25 * quarter) * TAU;
    let z = x * x;
    let horner = |c: &[f64]| c.iter().rev().fold(0.0, |p, c| p * z + c);
    let sin = x + x * z * horner(&SIN);
    let cos = 1.0 - 0.5 * z + z * z * horner(&COS);
    match quarter as u32 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// sin x = x + x³ (…), fdlibm.
pub(crate) const SIN: [f64; 6] = [
    -1.666_666_666_666_663_2e-1,
    8.333_333_333_322_49e-3,
    -1.984_126_982_985_795e-4,
    2.755_731_370_707_006_8e-6,
    -2.505_076_025_340_686_3e-8,
    1.589_690_995_211_55e-10,
];
/// cos x = 1 − x²/2 + x⁴ (…), fdlibm.
pub(crate) const COS: [f64; 6] = [
    4.166_666_666_666_66e-2,
    -1.388_888_888_887_411e-3,
    2.480_158_728_947_673e-5,
    -2.755_731_435_139_066_3e-7,
    2.087_572_321_298_175e-9,
    -1.135_964_755_778_819_5e-11,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_is_the_published_generator() {
        // known answers of the authors' Random123: counter and key 0, and all ones
        let zero = philox([[0; LANES]; 4], 0);
        assert_eq!(zero.map(|w| w[0]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = philox([[u32::MAX; LANES]; 4], u64::MAX);
        assert_eq!(ones.map(|w| w[0]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn moments() {
        let n = 200_000;
        let mut x = vec![0.0; n];
        let mean = |x: &[f64], k: i32| x.iter().map(|x| x.powi(k)).sum::<f64>() / x.len() as f64;
        fill(Key::new(1, 2, 3), std::iter::once(4), n, Law::Normal, &mut x);
        // the standard errors are those of the moments of a normal number
        for (k, expected, se) in [(1, 0.0, 1.0), (2, 1.0, 1.42), (3, 0.0, 3.88), (4, 3.0, 9.8)] {
            assert!(
                (mean(&x, k) - expected).abs() < 4.5 * se / (n as f64).sqrt(),
                "moment {k}: {}",
                mean(&x, k)
            );
        }
        fill(Key::new(1, 2, 3), std::iter::once(5), n, Law::Uniform, &mut x);
        assert!(x.iter().all(|&x| x > 0.0 && x < 1.0));
        assert!((mean(&x, 1) - 0.5).abs() < 4.5 * 0.289 / (n as f64).sqrt());
        assert!((mean(&x, 2) - 1.0 / 3.0).abs() < 4.5 * 0.299 / (n as f64).sqrt());
        fill(Key::new(1, 2, 3), std::iter::once(6), n, Law::Index(5), &mut x);
        for code in 0..5 {
            let share = x.iter().filter(|&&x| x == f64::from(code)).count() as f64 / n as f64;
            assert!((share - 0.2).abs() < 4.5 * 0.4 / (n as f64).sqrt(), "{code}: {share}");
        }
    }

    #[test]
    fn turns() {
        for i in 0..1000 {
            let u = (f64::from(i) + 0.37) / 1000.0;
            let ((sin, cos), (s, c)) = (turn(u), (TAU * u).sin_cos());
            assert!((sin - s).abs() < 1e-15 && (cos - c).abs() < 1e-15, "{u}");
        }
    }

    #[test]
    fn elements_do_not_depend_on_the_length() {
        let key = Key::new(9, 0, 1 << 40);
        let draw = |ids: &[u32], len: usize| {
            let mut out = vec![0.0; ids.len() * len];
            fill(key, ids.iter().copied(), len, Law::Normal, &mut out);
            out
        };
        let long = draw(&[3, 8, 1], 77);
        let short = draw(&[1, 8], 13);
        assert_eq!(short[..13], long[154..167]);
        assert_eq!(short[13..], long[77..90]);
    }
}
