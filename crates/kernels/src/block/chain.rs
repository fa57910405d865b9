//! Messages of a chain of finite states, scaled: rows of `p` states (a multiple of [`LANES`], padded with zeros), row-major.
//!
//! With b_t = exp(potential − its largest), unnormalised messages u_t = (uᵀ_{t−1} A) ∘ b_t / Σ u_{t−1} have sums
//! c_t = p(row t | rows before) / exp(largest): the division is by the sum before, so that no step waits for its own.

use super::math::exp;
use super::simd::{LANES, Simd};

/// Vectors of states that are summed together: their accumulators, twice, stay in registers.
const TILE: usize = 3;

/// Runs a body for tiles of `V` vectors of states that begin at `at`.
macro_rules! tiles {
    ($s:ident, $n:expr, $p:expr, |$v:ident, $at:ident| $body:block) => {{
        let mut $at = 0;
        let used = $n.div_ceil($s::W) * $s::W;
        while $at < used {
            match (used - $at) / $s::W {
                1 => {
                    const $v: usize = 1;
                    $body
                }
                2 => {
                    const $v: usize = 2;
                    $body
                }
                _ => {
                    const $v: usize = TILE;
                    $body
                }
            }
            $at += TILE * $s::W;
        }
    }};
}

/// `out[row][k] = exp(table_k[row] − top[row])`, `top` the largest of the row; `n` columns at distance `rows`. Where all are
/// −∞ the row is 0 and `top` −∞.
///
/// # Safety
/// Columns and `top` hold `rows` numbers, a multiple of 16, `out` `rows · p`; n ≤ p, and `out` is 0 beyond n.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(table: *const f64, n: usize, rows: usize, p: usize, out: *mut f64, top: *mut f64) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        let mut lanes = [0.0; LANES];
        let mut row = 0;
        while row < rows {
            let mut best = S::load(table.add(row));
            for k in 1..n {
                best = S::max(best, S::load(table.add(k * rows + row)));
            }
            S::store(top.add(row), best);
            let finite = S::max(S::set(-f64::MAX), best);
            for k in 0..n {
                let e = exp::<S>(S::sub(S::load(table.add(k * rows + row)), finite));
                S::store(lanes.as_mut_ptr(), e);
                for r in 0..S::W {
                    *out.add((row + r) * p + k) = lanes[r];
                }
            }
            row += S::W;
        }
    }
}

/// One row times a matrix, `V` vectors of the result from `at` on.
#[inline(always)]
unsafe fn product<S: Simd, const V: usize>(row: *const f64, n: usize, a: *const f64, p: usize, at: usize) -> [S::V; V] {
    // SAFETY: the caller vouches for `n` numbers of `row` and n rows of p of `a`
    unsafe {
        let (mut even, mut odd) = ([S::set(0.0); V], [S::set(0.0); V]);
        let mut j = 0;
        while j + 1 < n {
            let (x, y) = (S::set(*row.add(j)), S::set(*row.add(j + 1)));
            for v in 0..V {
                even[v] = S::fma(x, S::load(a.add(j * p + at + v * S::W)), even[v]);
                odd[v] = S::fma(y, S::load(a.add((j + 1) * p + at + v * S::W)), odd[v]);
            }
            j += 2;
        }
        if j < n {
            let x = S::set(*row.add(j));
            for v in 0..V {
                even[v] = S::fma(x, S::load(a.add(j * p + at + v * S::W)), even[v]);
            }
        }
        for v in 0..V {
            even[v] = S::add(even[v], odd[v]);
        }
        even
    }
}

/// `u_t = (u_{t−1} A) ∘ b_t / scale_{t−1}`, `scale_t = Σ u_t` for `rows` rows; `u` and `scale` point at the row before the
/// first. A sum of 0 leaves the row 0 and counts as 1 for the next, which is 0 too.
///
/// # Safety
/// `a` is n×p, `b` `rows` rows of p, `u` one more, `scale` as many numbers.
#[inline(always)]
pub(crate) unsafe fn forward<S: Simd, const H: usize>(
    a: *const f64,
    n: usize,
    p: usize,
    b: *const f64,
    u: *mut f64,
    scale: *mut f64,
    rows: usize,
) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        for t in 0..rows {
            let (before, to, b) = (u.add(t * p), u.add((t + 1) * p), b.add(t * p));
            let inverse = S::set(reciprocal(*scale.add(t)));
            let mut sum = [S::set(0.0); H];
            tiles!(S, n, p, |V, at| {
                let x = product::<S, V>(before, n, a, p, at);
                for v in 0..V {
                    let y = S::mul(S::mul(x[v], inverse), S::load(b.add(at + v * S::W)));
                    S::store(to.add(at + v * S::W), y);
                    sum[0] = S::add(sum[0], y);
                }
            });
            *scale.add(t + 1) = S::fold(&sum);
        }
    }
}

/// `v_{t−1} = A (b_t ∘ v_t) / Σ v_t`, from the last of `rows` rows, which is set, to the first; `at` is Aᵀ.
///
/// # Safety
/// `at` is n×p, `b` and `v` `rows` rows of p.
#[inline(always)]
pub(crate) unsafe fn backward<S: Simd, const H: usize>(
    at: *const f64,
    n: usize,
    p: usize,
    b: *const f64,
    v: *mut f64,
    rows: usize,
) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        let mut total = {
            let last = v.add((rows - 1) * p);
            (0..n).map(|k| *last.add(k)).sum::<f64>()
        };
        let mut joint = [0.0; MOST];
        for t in (1..rows).rev() {
            let (here, to, b) = (v.add(t * p), v.add((t - 1) * p), b.add(t * p));
            let mut k = 0;
            while k < p {
                let w = S::mul(S::load(b.add(k)), S::load(here.add(k)));
                S::store(joint.as_mut_ptr().add(k), w);
                k += S::W;
            }
            let inverse = S::set(reciprocal(total));
            let mut sum = [S::set(0.0); H];
            tiles!(S, n, p, |V, from| {
                let x = product::<S, V>(joint.as_ptr(), n, at, p, from);
                for v in 0..V {
                    let y = S::mul(x[v], inverse);
                    S::store(to.add(from + v * S::W), y);
                    sum[0] = S::add(sum[0], y);
                }
            });
            total = S::fold(&sum);
        }
    }
}

/// `gamma_t = u_t ∘ v_t / g` with g their sum, and `e_t = b_t ∘ v_t / (g · scale_{t−1})`, so that u_{t−1}(j) A(j, k) e_t(k) is
/// the posterior of the pair; `gamma` may be `v`. Returns nothing where g is 0: both are 0 then.
///
/// # Safety
/// All hold `rows` rows of p; `before` is one number per row.
#[inline(always)]
pub(crate) unsafe fn posterior<S: Simd, const H: usize>(
    u: *const f64,
    v: *mut f64,
    b: *const f64,
    before: *const f64,
    p: usize,
    e: *mut f64,
    rows: usize,
) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        for t in 0..rows {
            let (u, v, b, e) = (u.add(t * p), v.add(t * p), b.add(t * p), e.add(t * p));
            let mut sum = [S::set(0.0); H];
            let mut k = 0;
            while k < p {
                sum[0] = S::fma(S::load(u.add(k)), S::load(v.add(k)), sum[0]);
                k += S::W;
            }
            let g = reciprocal(S::fold(&sum));
            let (whole, pair) = (S::set(g), S::set(g * reciprocal(*before.add(t))));
            let mut k = 0;
            while k < p {
                let (x, y) = (S::load(u.add(k)), S::load(v.add(k)));
                S::store(e.add(k), S::mul(S::mul(S::load(b.add(k)), y), pair));
                S::store(v.add(k), S::mul(S::mul(x, y), whole));
                k += S::W;
            }
        }
    }
}

/// `w[j][k] += Σ_t u_t(j) e_t(k)`.
///
/// # Safety
/// `u` and `e` hold `rows` rows of p, `w` n rows of p.
#[inline(always)]
pub(crate) unsafe fn counts<S: Simd>(u: *const f64, e: *const f64, n: usize, p: usize, w: *mut f64, rows: usize) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        let mut j = 0;
        while j < n {
            let four = n - j >= 4;
            tiles!(S, n, p, |V, at| {
                if four {
                    add_products::<S, 4, V>(u.add(j), e.add(at), p, w.add(j * p + at), rows);
                } else {
                    for i in j..n {
                        add_products::<S, 1, V>(u.add(i), e.add(at), p, w.add(i * p + at), rows);
                    }
                }
            });
            j += 4;
        }
    }
}

#[inline(always)]
unsafe fn add_products<S: Simd, const J: usize, const V: usize>(
    u: *const f64,
    e: *const f64,
    p: usize,
    w: *mut f64,
    rows: usize,
) {
    // SAFETY: the caller vouches for the operands
    unsafe {
        let mut sums = [[S::set(0.0); V]; J];
        for t in 0..rows {
            let mut x = [S::set(0.0); V];
            for v in 0..V {
                x[v] = S::load(e.add(t * p + v * S::W));
            }
            for j in 0..J {
                let y = S::set(*u.add(t * p + j));
                for v in 0..V {
                    sums[j][v] = S::fma(y, x[v], sums[j][v]);
                }
            }
        }
        for j in 0..J {
            for v in 0..V {
                let at = w.add(j * p + v * S::W);
                S::store(at, S::add(S::load(at), sums[j][v]));
            }
        }
    }
}

/// The most states, padded.
pub(crate) const MOST: usize = 512;

#[inline(always)]
fn reciprocal(x: f64) -> f64 {
    if x > 0.0 { 1.0 / x } else { 1.0 }
}
