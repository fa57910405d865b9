//! Vectors of f64: the few operations that the kernels are written in, once per instruction set.
//!
//! The methods are `#[inline(always)]` so that they dissolve into the `#[target_feature]` entry points of
//! [`super::widths`]; outside of those they must not be called, which is why nothing here leaves the crate.
//!
//! Sums along rows have eight lanes (`8 / W` vectors) on every machine, folded in one fixed order, but for second moments,
//! whose lanes are the machine's (see [`super::syrk`]).

/// Rows in a group: the lanes of an accumulator on every machine.
pub(crate) const LANES: usize = 8;

/// Adding this to |n| < 2⁵¹ rounds to the nearest integer, which then stands in the low bits.
pub(crate) const MAGIC: f64 = 6_755_399_441_055_744.0;

/// A vector of `W` numbers.
pub(crate) trait Simd: Copy + 'static {
    /// The vector.
    type V: Copy;
    /// Its lanes; divides 8.
    const W: usize;

    /// # Safety
    /// `p` must be readable for `W` numbers.
    unsafe fn load(p: *const f64) -> Self::V;
    /// # Safety
    /// `p` must be writable for `W` numbers.
    unsafe fn store(p: *mut f64, v: Self::V);
    /// Asks for the numbers at `p`, which need not be there, to come nearer. Does nothing where there is no such thing.
    #[inline(always)]
    fn prefetch(p: *const f64) {
        let _ = p;
    }
    fn set(x: f64) -> Self::V;
    fn add(a: Self::V, b: Self::V) -> Self::V;
    fn sub(a: Self::V, b: Self::V) -> Self::V;
    fn mul(a: Self::V, b: Self::V) -> Self::V;
    fn div(a: Self::V, b: Self::V) -> Self::V;
    /// a b + c
    fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c − a b
    fn fnma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; b where one is NaN.
    fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; b where one is NaN.
    fn min(a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(a: Self::V) -> Self::V;
    fn floor(a: Self::V) -> Self::V;
    /// a < b ? x : y, lane by lane
    fn if_lt(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// a ≤ b ? x : y
    fn if_le(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// a = b ? x : y
    fn if_eq(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// Bits.
    fn and(a: Self::V, b: Self::V) -> Self::V;
    /// Bits.
    fn or(a: Self::V, b: Self::V) -> Self::V;
    /// Bits, as integers: a + (b << 52).
    fn add_shl52(a: Self::V, b: Self::V) -> Self::V;
    /// Bits, as integers: a >> 52, without sign.
    fn shr52(a: Self::V) -> Self::V;
    /// Sum of the lanes of one vector, or of the eight of `8 / W` vectors: lane l with l + 4 where there are eight, then in
    /// pairs of neighbours, then the two.
    fn fold(v: &[Self::V]) -> f64;
    /// Adds four folds to four adjacent numbers.
    ///
    /// # Safety
    /// `to` must be valid for four numbers.
    #[inline(always)]
    unsafe fn fold4(v: [&[Self::V]; 4], to: *mut f64) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: the caller vouches for four numbers
            unsafe { *to.add(i) += Self::fold(v) };
        }
    }
    /// Which of four numbers are not 0: bit i for number i.
    ///
    /// # Safety
    /// `p` must be readable for four numbers.
    #[inline(always)]
    unsafe fn nonzero4(p: *const f64) -> usize {
        // SAFETY: the caller vouches for four numbers
        unsafe { (0..4).fold(0, |mask, i| mask | usize::from(*p.add(i) != 0.0) << i) }
    }
    /// In which of four places a ≤ b: bit i for number i.
    ///
    /// # Safety
    /// `a` and `b` must be readable for four numbers.
    #[inline(always)]
    unsafe fn le4(a: *const f64, b: *const f64) -> usize {
        // SAFETY: the caller vouches for four numbers
        unsafe { (0..4).fold(0, |mask, i| mask | usize::from(*a.add(i) <= *b.add(i)) << i) }
    }
    /// Four numbers from each of four columns to four rows at distance `stride`.
    ///
    /// # Safety
    /// Columns must be readable and rows writable for four numbers.
    #[inline(always)]
    unsafe fn transpose4(columns: [*const f64; 4], to: *mut f64, stride: usize) {
        for (i, column) in columns.into_iter().enumerate() {
            for r in 0..4 {
                // SAFETY: the caller vouches for four numbers of each
                unsafe { *to.add(r * stride + i) = *column.add(r) };
            }
        }
    }
    /// Vectors of a tile of second moments by four columns: as many as leave registers for their operands.
    const TILE: usize = 2;
    /// `sums[j][v] += Σ_r by[r · stride + j] · x[at[r] + v W ..]` for three vectors and four columns.
    ///
    /// # Safety
    /// Every place of `x` is readable for three vectors, `by` for four numbers at every multiple of `stride`.
    #[inline(always)]
    unsafe fn tile3(x: *const f64, at: &[u32], by: *const f64, stride: usize, sums: &mut [[Self::V; 3]; 4]) {
        for (r, at) in at.iter().enumerate() {
            for j in 0..4 {
                // SAFETY: the caller vouches for the places
                unsafe {
                    let y = Self::set(*by.add(r * stride + j));
                    for v in 0..3 {
                        sums[j][v] = Self::fma(Self::load(x.add(*at as usize + v * Self::W)), y, sums[j][v]);
                    }
                }
            }
        }
    }
    /// The same vectors, but computed here, all of them: chains that run in step are not taken apart by the scheduler.
    #[inline(always)]
    fn in_step<const R: usize>(v: [Self::V; R]) -> [Self::V; R] {
        v
    }
}

/// `W` numbers in an array: what the compiler makes of it, on any machine.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Lanes of [`Portable`].
const P: usize = 2;

#[inline(always)]
fn map(f: impl Fn(usize) -> f64) -> [f64; P] {
    std::array::from_fn(f)
}

#[inline(always)]
fn bits(f: impl Fn(usize) -> u64) -> [f64; P] {
    std::array::from_fn(|l| f64::from_bits(f(l)))
}

/// Fused only where the machine does it; the library routine would be fifty times slower.
#[inline(always)]
fn fused(a: f64, b: f64, c: f64) -> f64 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

impl Simd for Portable {
    type V = [f64; P];
    const W: usize = P;
    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self::V {
        // SAFETY: the caller vouches for W numbers at p
        unsafe { p.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f64, v: Self::V) {
        // SAFETY: the caller vouches for W numbers at p
        unsafe { p.cast::<Self::V>().write_unaligned(v) }
    }
    #[inline(always)]
    fn set(x: f64) -> Self::V {
        [x; P]
    }
    #[inline(always)]
    fn add(a: Self::V, b: Self::V) -> Self::V {
        map(|l| a[l] + b[l])
    }
    #[inline(always)]
    fn sub(a: Self::V, b: Self::V) -> Self::V {
        map(|l| a[l] - b[l])
    }
    #[inline(always)]
    fn mul(a: Self::V, b: Self::V) -> Self::V {
        map(|l| a[l] * b[l])
    }
    #[inline(always)]
    fn div(a: Self::V, b: Self::V) -> Self::V {
        map(|l| a[l] / b[l])
    }
    #[inline(always)]
    fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        map(|l| fused(a[l], b[l], c[l]))
    }
    #[inline(always)]
    fn fnma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        map(|l| fused(-a[l], b[l], c[l]))
    }
    #[inline(always)]
    fn max(a: Self::V, b: Self::V) -> Self::V {
        map(|l| if a[l] > b[l] { a[l] } else { b[l] })
    }
    #[inline(always)]
    fn min(a: Self::V, b: Self::V) -> Self::V {
        map(|l| if a[l] < b[l] { a[l] } else { b[l] })
    }
    #[inline(always)]
    fn sqrt(a: Self::V) -> Self::V {
        map(|l| a[l].sqrt())
    }
    #[inline(always)]
    fn floor(a: Self::V) -> Self::V {
        map(|l| a[l].floor())
    }
    #[inline(always)]
    fn if_lt(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        map(|l| if a[l] < b[l] { x[l] } else { y[l] })
    }
    #[inline(always)]
    fn if_le(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        map(|l| if a[l] <= b[l] { x[l] } else { y[l] })
    }
    #[inline(always)]
    fn if_eq(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        map(|l| if a[l] == b[l] { x[l] } else { y[l] })
    }
    #[inline(always)]
    fn and(a: Self::V, b: Self::V) -> Self::V {
        bits(|l| a[l].to_bits() & b[l].to_bits())
    }
    #[inline(always)]
    fn or(a: Self::V, b: Self::V) -> Self::V {
        bits(|l| a[l].to_bits() | b[l].to_bits())
    }
    #[inline(always)]
    fn add_shl52(a: Self::V, b: Self::V) -> Self::V {
        bits(|l| a[l].to_bits().wrapping_add(b[l].to_bits() << 52))
    }
    #[inline(always)]
    fn shr52(a: Self::V) -> Self::V {
        bits(|l| a[l].to_bits() >> 52)
    }
    #[inline(always)]
    fn fold(v: &[Self::V]) -> f64 {
        if let [v] = v {
            return v[0] + v[1];
        }
        let four = |l: usize| v[l / P][l % P] + v[(l + 4) / P][l % P];
        (four(0) + four(1)) + (four(2) + four(3))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// Four lanes: AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2;

    /// Eight lanes: AVX-512 F and DQ.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512;

    /// Methods that are one expression of intrinsics.
    macro_rules! methods {
        ($v:ty: $($name:ident($($a:ident),+) = $e:expr;)*) => {
            $(#[inline(always)]
            fn $name($($a: $v),+) -> $v {
                // SAFETY: reached only from entry points that the dispatcher hands out where the machine has the feature
                unsafe { $e }
            })*
        };
    }

    impl Simd for Avx2 {
        type V = __m256d;
        const W: usize = 4;
        #[inline(always)]
        unsafe fn load(p: *const f64) -> __m256d {
            // SAFETY: the caller vouches for four numbers at p; feature as above
            unsafe { _mm256_loadu_pd(p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f64, v: __m256d) {
            // SAFETY: the caller vouches for four numbers at p; feature as above
            unsafe { _mm256_storeu_pd(p, v) }
        }
        #[inline(always)]
        fn prefetch(p: *const f64) {
            // SAFETY: a hint, which reads nothing and never faults
            unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
        }
        #[inline(always)]
        fn set(x: f64) -> __m256d {
            // SAFETY: feature as above
            unsafe { _mm256_set1_pd(x) }
        }
        methods! { __m256d:
            add(a, b) = _mm256_add_pd(a, b);
            sub(a, b) = _mm256_sub_pd(a, b);
            mul(a, b) = _mm256_mul_pd(a, b);
            div(a, b) = _mm256_div_pd(a, b);
            fma(a, b, c) = _mm256_fmadd_pd(a, b, c);
            fnma(a, b, c) = _mm256_fnmadd_pd(a, b, c);
            max(a, b) = _mm256_max_pd(a, b);
            min(a, b) = _mm256_min_pd(a, b);
            sqrt(a) = _mm256_sqrt_pd(a);
            floor(a) = _mm256_floor_pd(a);
            if_lt(a, b, x, y) = _mm256_blendv_pd(y, x, _mm256_cmp_pd::<_CMP_LT_OQ>(a, b));
            if_le(a, b, x, y) = _mm256_blendv_pd(y, x, _mm256_cmp_pd::<_CMP_LE_OQ>(a, b));
            if_eq(a, b, x, y) = _mm256_blendv_pd(y, x, _mm256_cmp_pd::<_CMP_EQ_OQ>(a, b));
            and(a, b) = _mm256_and_pd(a, b);
            or(a, b) = _mm256_or_pd(a, b);
            add_shl52(a, b) = _mm256_castsi256_pd(_mm256_add_epi64(
                _mm256_castpd_si256(a),
                _mm256_slli_epi64::<52>(_mm256_castpd_si256(b)),
            ));
            shr52(a) = _mm256_castsi256_pd(_mm256_srli_epi64::<52>(_mm256_castpd_si256(a)));
        }
        #[inline(always)]
        fn fold(v: &[__m256d]) -> f64 {
            // SAFETY: feature as above
            unsafe { fold_one(four(v)) }
        }
        #[inline(always)]
        unsafe fn fold4(v: [&[__m256d]; 4], to: *mut f64) {
            // SAFETY: the caller vouches for the place; feature as above
            unsafe { fold_four([four(v[0]), four(v[1]), four(v[2]), four(v[3])], to) }
        }
        #[inline(always)]
        unsafe fn nonzero4(p: *const f64) -> usize {
            // SAFETY: the caller vouches for four numbers; feature as above
            unsafe {
                _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_NEQ_UQ>(_mm256_loadu_pd(p), _mm256_setzero_pd())) as usize
            }
        }
        #[inline(always)]
        unsafe fn le4(a: *const f64, b: *const f64) -> usize {
            // SAFETY: the caller vouches for four numbers of each; feature as above
            unsafe { _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LE_OQ>(_mm256_loadu_pd(a), _mm256_loadu_pd(b))) as usize }
        }
        #[inline(always)]
        unsafe fn transpose4(columns: [*const f64; 4], to: *mut f64, stride: usize) {
            // SAFETY: the caller vouches for the places; feature as above
            unsafe { transpose(columns, to, stride) }
        }
        const TILE: usize = 3;
        #[inline(always)]
        unsafe fn tile3(x: *const f64, at: &[u32], by: *const f64, stride: usize, sums: &mut [[__m256d; 3]; 4]) {
            // SAFETY: the caller vouches for the places; feature as above
            unsafe { tile3(x, at, by, stride, sums) }
        }
        #[inline(always)]
        fn in_step<const R: usize>(mut v: [__m256d; R]) -> [__m256d; R] {
            if let Some(four) = v.first_chunk_mut::<4>() {
                // SAFETY: feature as above
                unsafe { in_step_four(four) };
            }
            v
        }
    }

    /// One vector, or lanes l and l + 4 of two.
    ///
    /// # Safety
    /// The machine must have AVX2.
    #[inline(always)]
    unsafe fn four(v: &[__m256d]) -> __m256d {
        if let [v] = v {
            return *v;
        }
        // SAFETY: the caller vouches for the feature
        unsafe { _mm256_add_pd(v[0], v[1]) }
    }

    /// (0 + 1) + (2 + 3)
    ///
    /// # Safety
    /// The machine must have AVX2.
    #[inline(always)]
    unsafe fn fold_one(v: __m256d) -> f64 {
        // SAFETY: the caller vouches for the feature
        unsafe {
            let pairs = _mm256_add_pd(v, _mm256_permute_pd::<0b0101>(v));
            let high = _mm256_extractf128_pd::<1>(pairs);
            _mm_cvtsd_f64(_mm_add_sd(_mm256_castpd256_pd128(pairs), high))
        }
    }

    /// `fold_one` of four vectors, added to four numbers.
    ///
    /// # Safety
    /// The machine must have AVX2; `to` must be valid for four numbers.
    #[inline(always)]
    unsafe fn fold_four(v: [__m256d; 4], to: *mut f64) {
        // SAFETY: the caller vouches for the feature and the place
        unsafe {
            let low = _mm256_add_pd(_mm256_unpacklo_pd(v[0], v[1]), _mm256_unpackhi_pd(v[0], v[1]));
            let high = _mm256_add_pd(_mm256_unpacklo_pd(v[2], v[3]), _mm256_unpackhi_pd(v[2], v[3]));
            let first = _mm256_permute2f128_pd::<0x20>(low, high);
            let second = _mm256_permute2f128_pd::<0x31>(low, high);
            _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), _mm256_add_pd(first, second)));
        }
    }

    /// See [`Simd::transpose4`].
    ///
    /// # Safety
    /// The machine must have AVX2; the places are as there.
    #[inline(always)]
    unsafe fn transpose(columns: [*const f64; 4], to: *mut f64, stride: usize) {
        // SAFETY: the caller vouches for the feature and the places
        unsafe {
            let [a, b, c, d] = columns;
            let (a, b, c, d) = (
                _mm256_loadu_pd(a),
                _mm256_loadu_pd(b),
                _mm256_loadu_pd(c),
                _mm256_loadu_pd(d),
            );
            let (ab0, ab1) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let (cd0, cd1) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
            _mm256_storeu_pd(to, _mm256_permute2f128_pd::<0x20>(ab0, cd0));
            _mm256_storeu_pd(to.add(stride), _mm256_permute2f128_pd::<0x20>(ab1, cd1));
            _mm256_storeu_pd(to.add(2 * stride), _mm256_permute2f128_pd::<0x31>(ab0, cd0));
            _mm256_storeu_pd(to.add(3 * stride), _mm256_permute2f128_pd::<0x31>(ab1, cd1));
        }
    }

    /// See [`Simd::tile3`]. All sixteen registers are taken, so the compiler, which loads ahead, would keep a sum in memory.
    ///
    /// # Safety
    /// The machine must have AVX2 and FMA; the places are as there.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn tile3(x: *const f64, at: &[u32], by: *const f64, stride: usize, sums: &mut [[__m256d; 3]; 4]) {
        if at.is_empty() {
            return;
        }
        let [[a0, a1, a2], [b0, b1, b2], [c0, c1, c2], [d0, d1, d2]] = sums;
        // SAFETY: it reads `at` to its end, x at those places and `by` at as many strides, and writes nothing
        unsafe {
            std::arch::asm!(
                "2:",
                "mov {o:e}, dword ptr [{at}]",
                "vmovupd {x0}, ymmword ptr [{x} + 8*{o}]",
                "vmovupd {x1}, ymmword ptr [{x} + 8*{o} + 32]",
                "vmovupd {x2}, ymmword ptr [{x} + 8*{o} + 64]",
                "vbroadcastsd {y}, qword ptr [{by}]",
                "vfmadd231pd {a0}, {x0}, {y}",
                "vfmadd231pd {a1}, {x1}, {y}",
                "vfmadd231pd {a2}, {x2}, {y}",
                "vbroadcastsd {y}, qword ptr [{by} + 8]",
                "vfmadd231pd {b0}, {x0}, {y}",
                "vfmadd231pd {b1}, {x1}, {y}",
                "vfmadd231pd {b2}, {x2}, {y}",
                "vbroadcastsd {y}, qword ptr [{by} + 16]",
                "vfmadd231pd {c0}, {x0}, {y}",
                "vfmadd231pd {c1}, {x1}, {y}",
                "vfmadd231pd {c2}, {x2}, {y}",
                "vbroadcastsd {y}, qword ptr [{by} + 24]",
                "vfmadd231pd {d0}, {x0}, {y}",
                "vfmadd231pd {d1}, {x1}, {y}",
                "vfmadd231pd {d2}, {x2}, {y}",
                "add {by}, {step}",
                "add {at}, 4",
                "dec {n}",
                "jnz 2b",
                o = out(reg) _,
                x = in(reg) x,
                at = inout(reg) at.as_ptr() => _,
                by = inout(reg) by => _,
                step = in(reg) 8 * stride,
                n = inout(reg) at.len() => _,
                x0 = out(ymm_reg) _, x1 = out(ymm_reg) _, x2 = out(ymm_reg) _, y = out(ymm_reg) _,
                a0 = inout(ymm_reg) *a0, a1 = inout(ymm_reg) *a1, a2 = inout(ymm_reg) *a2,
                b0 = inout(ymm_reg) *b0, b1 = inout(ymm_reg) *b1, b2 = inout(ymm_reg) *b2,
                c0 = inout(ymm_reg) *c0, c1 = inout(ymm_reg) *c1, c2 = inout(ymm_reg) *c2,
                d0 = inout(ymm_reg) *d0, d1 = inout(ymm_reg) *d1, d2 = inout(ymm_reg) *d2,
                options(readonly, nostack)
            );
        }
    }

    /// See [`Simd::in_step`]. An empty piece of assembly that might change all four.
    ///
    /// # Safety
    /// The machine must have AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn in_step_four(v: &mut [__m256d; 4]) {
        let [a, b, c, d] = v;
        // SAFETY: it does nothing
        unsafe {
            std::arch::asm!(
                "# {} {} {} {}", // names them, as it must
                inout(ymm_reg) * a,
                inout(ymm_reg) * b,
                inout(ymm_reg) * c,
                inout(ymm_reg) * d,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }

    /// Lanes l and l + 4.
    ///
    /// # Safety
    /// The machine must have AVX-512 F and DQ.
    #[inline(always)]
    unsafe fn halves(v: __m512d) -> __m256d {
        // SAFETY: the caller vouches for the feature
        unsafe { _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd::<1>(v)) }
    }

    impl Simd for Avx512 {
        type V = __m512d;
        const W: usize = 8;
        #[inline(always)]
        unsafe fn load(p: *const f64) -> __m512d {
            // SAFETY: the caller vouches for eight numbers at p; feature as above
            unsafe { _mm512_loadu_pd(p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f64, v: __m512d) {
            // SAFETY: the caller vouches for eight numbers at p; feature as above
            unsafe { _mm512_storeu_pd(p, v) }
        }
        #[inline(always)]
        fn prefetch(p: *const f64) {
            // SAFETY: a hint, which reads nothing and never faults
            unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
        }
        #[inline(always)]
        fn set(x: f64) -> __m512d {
            // SAFETY: feature as above
            unsafe { _mm512_set1_pd(x) }
        }
        methods! { __m512d:
            add(a, b) = _mm512_add_pd(a, b);
            sub(a, b) = _mm512_sub_pd(a, b);
            mul(a, b) = _mm512_mul_pd(a, b);
            div(a, b) = _mm512_div_pd(a, b);
            fma(a, b, c) = _mm512_fmadd_pd(a, b, c);
            fnma(a, b, c) = _mm512_fnmadd_pd(a, b, c);
            max(a, b) = _mm512_max_pd(a, b);
            min(a, b) = _mm512_min_pd(a, b);
            sqrt(a) = _mm512_sqrt_pd(a);
            floor(a) = _mm512_roundscale_pd::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a);
            if_lt(a, b, x, y) = _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b), y, x);
            if_le(a, b, x, y) = _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_LE_OQ>(a, b), y, x);
            if_eq(a, b, x, y) = _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_EQ_OQ>(a, b), y, x);
            and(a, b) = _mm512_and_pd(a, b);
            or(a, b) = _mm512_or_pd(a, b);
            add_shl52(a, b) = _mm512_castsi512_pd(_mm512_add_epi64(
                _mm512_castpd_si512(a),
                _mm512_slli_epi64::<52>(_mm512_castpd_si512(b)),
            ));
            shr52(a) = _mm512_castsi512_pd(_mm512_srli_epi64::<52>(_mm512_castpd_si512(a)));
        }
        #[inline(always)]
        unsafe fn nonzero4(p: *const f64) -> usize {
            // SAFETY: the caller vouches for four numbers; feature as above
            unsafe {
                _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_NEQ_UQ>(_mm256_loadu_pd(p), _mm256_setzero_pd())) as usize
            }
        }
        #[inline(always)]
        unsafe fn le4(a: *const f64, b: *const f64) -> usize {
            // SAFETY: the caller vouches for four numbers of each; feature as above
            unsafe { _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LE_OQ>(_mm256_loadu_pd(a), _mm256_loadu_pd(b))) as usize }
        }
        #[inline(always)]
        unsafe fn transpose4(columns: [*const f64; 4], to: *mut f64, stride: usize) {
            // SAFETY: the caller vouches for the places; feature as above
            unsafe { transpose(columns, to, stride) }
        }
        #[inline(always)]
        fn fold(v: &[__m512d]) -> f64 {
            // SAFETY: feature as above
            unsafe { fold_one(halves(v[0])) }
        }
        #[inline(always)]
        unsafe fn fold4(v: [&[__m512d]; 4], to: *mut f64) {
            // SAFETY: the caller vouches for the place; feature as above
            unsafe { fold_four([halves(v[0][0]), halves(v[1][0]), halves(v[2][0]), halves(v[3][0])], to) }
        }
    }
}
