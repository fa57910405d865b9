//! Optimiser updates: parameters, gradients and their moments in one pass.

use crate::block;

/// The rule of an update, its factors worked out in f64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Which.
    pub rule: Rule,
    /// What gradients are multiplied by.
    pub scale: f64,
    /// λ: λ x is added to the gradient.
    pub coupled: f64,
    /// What parameters are multiplied by first.
    pub shrink: f64,
    /// η, or η / (1 − β₁ᵗ).
    pub rate: f64,
}

/// How a gradient becomes a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², x ← x − rate · m / (√(v · unbias) + ε).
    Adam {
        /// β₁
        beta1: f64,
        /// β₂
        beta2: f64,
        /// 1 / (1 − β₂ᵗ)
        unbias: f64,
        /// ε
        epsilon: f64,
    },
    /// m ← keep · m + g, x ← x − rate · (m, or g + momentum · m).
    Momentum {
        /// μ, 0 at the first step.
        keep: f64,
        /// μ where it looks ahead.
        ahead: Option<f64>,
    },
}

macro_rules! updates {
    ($t:ident, $of:ident, $portable:ident, $avx2:ident, $avx512:ident) => {
        #[inline(always)]
        fn $portable(u: &Update, x: &mut [$t], g: &[$t], m: &mut [$t], v: &mut [$t]) {
            let n = x.len().min(g.len()).min(m.len()).min(v.len());
            let (x, g, m, v) = (&mut x[..n], &g[..n], &mut m[..n], &mut v[..n]);
            let (scale, coupled, shrink, rate) = (u.scale as $t, u.coupled as $t, u.shrink as $t, u.rate as $t);
            match u.rule {
                Rule::Adam {
                    beta1,
                    beta2,
                    unbias,
                    epsilon,
                } => {
                    let (b1, c1, b2, c2) = (beta1 as $t, (1.0 - beta1) as $t, beta2 as $t, (1.0 - beta2) as $t);
                    let (root, epsilon) = (unbias.sqrt() as $t, epsilon as $t);
                    for i in 0..n {
                        let g = scale * g[i] + coupled * x[i];
                        m[i] = b1 * m[i] + c1 * g;
                        v[i] = b2 * v[i] + c2 * (g * g);
                        x[i] = shrink * x[i] - rate * m[i] / (v[i].sqrt() * root + epsilon);
                    }
                }
                Rule::Momentum { keep, ahead } => {
                    let (keep, now, then) = match ahead {
                        Some(ahead) => (keep as $t, 1.0, ahead as $t),
                        None => (keep as $t, 0.0, 1.0),
                    };
                    for i in 0..n {
                        let g = scale * g[i] + coupled * x[i];
                        m[i] = keep * m[i] + g;
                        x[i] = shrink * x[i] - rate * (now * g + then * m[i]);
                    }
                }
            }
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn $avx2(u: &Update, x: &mut [$t], g: &[$t], m: &mut [$t], v: &mut [$t]) {
            $portable(u, x, g, m, v);
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn $avx512(u: &Update, x: &mut [$t], g: &[$t], m: &mut [$t], v: &mut [$t]) {
            $portable(u, x, g, m, v);
        }

        pub(super) fn $of(u: &Update, x: &mut [$t], g: &[$t], m: &mut [$t], v: &mut [$t]) {
            match block::kernels().name {
                // SAFETY: the kernels of a name are chosen only where the machine has their instructions
                #[cfg(target_arch = "x86_64")]
                "avx512" => unsafe { $avx512(u, x, g, m, v) },
                // SAFETY: as above
                #[cfg(target_arch = "x86_64")]
                "avx2" => unsafe { $avx2(u, x, g, m, v) },
                _ => $portable(u, x, g, m, v),
            }
        }
    };
}

updates!(f32, of_f32, portable32, avx2_32, avx512_32);
updates!(f64, of_f64, portable64, avx2_64, avx512_64);
