//! Random numbers keyed by what they are for, never by a thread.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// What random numbers are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Which rows short runs look at.
    Rows,
    /// A start of EM.
    Start,
    /// A start from the best fit so far, one component split and two merged.
    Shake,
    /// Drawing data.
    Sample,
    /// Which rows are held out.
    Holdout,
    /// Drawing what all rows share.
    Globals,
    /// Drawing the latents of a chain.
    Path,
    /// Drawing the Gaussian states of a chain where q is a product.
    State,
}

/// The generator of one purpose and index.
#[must_use]
pub fn keyed(seed: u64, purpose: Purpose, index: u64) -> StdRng {
    let mut key = seed;
    for part in [purpose as u64 + 1, index] {
        // splitmix64: neighbouring keys give unrelated seeds
        key = key
            .wrapping_add(part.wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
        key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        key ^= key >> 31;
    }
    StdRng::seed_from_u64(key)
}

/// Uniform on [0, 1).
pub fn uniform(rng: &mut StdRng) -> f64 {
    rand::RngExt::random::<f64>(rng)
}

/// A position below `n`, which is at least 1.
pub fn below(rng: &mut StdRng, n: usize) -> usize {
    rand::RngExt::random_range(rng, 0..n.max(1))
}

/// Every order is equally likely (Fisher & Yates; Durstenfeld 1964).
pub fn shuffle<T>(rng: &mut StdRng, of: &mut [T]) {
    for i in (1..of.len()).rev() {
        of.swap(i, below(rng, i + 1));
    }
}

/// A number from the standard normal distribution (Box & Muller 1958).
pub fn normal(rng: &mut StdRng) -> f64 {
    let (u, v) = (1.0 - uniform(rng), uniform(rng));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A position drawn in proportion to the weights; uniform where none is positive.
pub fn weighted(rng: &mut StdRng, weights: &[f64]) -> usize {
    let total: f64 = weights.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return below(rng, weights.len());
    }
    let mut left = uniform(rng) * total;
    for (i, w) in weights.iter().enumerate() {
        left -= w;
        if left < 0.0 {
            return i;
        }
    }
    weights.iter().rposition(|&w| w > 0.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_collide_and_draws_follow_weights() {
        let first = |s, p, i| uniform(&mut keyed(s, p, i)).to_bits();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..20 {
            for index in 0..20 {
                assert!(seen.insert(first(seed, Purpose::Start, index)));
                assert!(seen.insert(first(seed, Purpose::Shake, index)));
            }
        }
        let mut rng = keyed(1, Purpose::Sample, 0);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[weighted(&mut rng, &[1.0, 0.0, 3.0])] += 1;
        }
        assert!(counts[1] == 0 && (2300..2700).contains(&counts[0]), "{counts:?}");
    }
}
