//! What compiled code calls: the block kernels of this machine, dense linear algebra and scalar functions.

use cranelift::prelude::types::{F64, I64};
use cranelift::prelude::{AbiParam, Signature, Type};
use lvmc_kernels::block::kernels;
use lvmc_loops::ir::Un;
use lvmc_loops::semantics;

/// A function outside the compiled code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum External {
    /// A scalar function of one number.
    Un(Un),
    /// `aᵇ`.
    Pow,
    /// A field of [`lvmc_kernels::block::Kernels`].
    Kernel(&'static str),
}

/// Kernels by name, with their parameters: `p` a pointer or size (64 bits).
const KERNELS: [(&str, usize); 24] = [
    ("quad", 11),
    ("quad_pruned", 11),
    ("quad_diagonal", 11),
    ("pack_quad", 6),
    ("linear", 7),
    ("softmax", 6),
    ("syrk", 8),
    ("syrk_diagonal", 8),
    ("syrk_fold", 4),
    ("moments", 6),
    ("moments_fold", 4),
    ("gather", 7),
    ("scatter", 6),
    ("mul_rows", 4),
    ("unary", 4),
    ("binary", 6),
    ("ternary", 7),
    ("sum", 3),
    ("dot", 4),
    ("cholesky", 4),
    ("tri_inverse", 3),
    ("spd_solve", 6),
    ("matmul", 8),
    ("floor_cov", 5),
];

impl External {
    /// All of them.
    pub fn all() -> impl Iterator<Item = External> {
        let scalars = SCALARS.iter().map(|(op, _)| External::Un(*op));
        let kernels = KERNELS.iter().map(|(name, _)| External::Kernel(name));
        scalars.chain([External::Pow]).chain(kernels)
    }

    /// Its symbol.
    pub fn name(self) -> String {
        match self {
            External::Un(op) => format!("{op:?}").to_lowercase(),
            External::Pow => "pow".to_owned(),
            External::Kernel(name) => format!("k_{name}"),
        }
    }

    /// Fills in its parameters and result.
    pub fn signature(self, signature: &mut Signature) {
        let params: (Type, usize) = match self {
            External::Un(_) => (F64, 1),
            External::Pow => (F64, 2),
            External::Kernel(name) => {
                let count = KERNELS.iter().find(|k| k.0 == name).map_or(0, |k| k.1);
                (I64, count)
            }
        };
        signature
            .params
            .extend(std::iter::repeat_n(AbiParam::new(params.0), params.1));
        if !matches!(self, External::Kernel(_)) {
            signature.returns.push(AbiParam::new(F64));
        }
    }

    /// Where it is.
    pub fn address(self) -> *const u8 {
        match self {
            External::Un(op) => SCALARS
                .iter()
                .find(|s| s.0 == op)
                .map_or(std::ptr::null(), |s| s.1 as *const u8),
            External::Pow => pow as *const u8,
            External::Kernel(name) => kernel_address(name),
        }
    }
}

fn kernel_address(name: &str) -> *const u8 {
    let k = kernels();
    match name {
        "quad" => k.quad as *const u8,
        "quad_pruned" => k.quad_pruned as *const u8,
        "quad_diagonal" => k.quad_diagonal as *const u8,
        "pack_quad" => k.pack_quad as *const u8,
        "linear" => k.linear as *const u8,
        "softmax" => k.softmax as *const u8,
        "syrk" => k.syrk as *const u8,
        "syrk_diagonal" => k.syrk_diagonal as *const u8,
        "syrk_fold" => k.syrk_fold as *const u8,
        "moments" => k.moments as *const u8,
        "moments_fold" => k.moments_fold as *const u8,
        "gather" => k.gather as *const u8,
        "scatter" => k.scatter as *const u8,
        "mul_rows" => k.mul_rows as *const u8,
        "unary" => k.unary as *const u8,
        "binary" => k.binary as *const u8,
        "ternary" => k.ternary as *const u8,
        "sum" => k.sum as *const u8,
        "dot" => k.dot as *const u8,
        "cholesky" => k.cholesky as *const u8,
        "tri_inverse" => k.tri_inverse as *const u8,
        "spd_solve" => k.spd_solve as *const u8,
        "matmul" => k.matmul as *const u8,
        "floor_cov" => k.floor_cov as *const u8,
        _ => unreachable!("every name in KERNELS has an address"),
    }
}

type Scalar = extern "C" fn(f64) -> f64;

/// One entry per operation: functions that cannot unwind, since panics inside `extern "C"` abort.
macro_rules! scalars {
    ($($name:ident $op:ident),* $(,)?) => {
        $(extern "C" fn $name(x: f64) -> f64 {
            semantics::un(Un::$op, x)
        })*
        const SCALARS: &[(Un, Scalar)] = &[$((Un::$op, $name)),*];
    };
}

scalars! {
    neg Neg, abs Abs, sqrt Sqrt, floor Floor, exp Exp, log Log, log1p Log1p, lgamma Lgamma, digamma Digamma,
    trigamma Trigamma, tetragamma Tetragamma, sigmoid Sigmoid, softplus Softplus, tanh Tanh, sin Sin, cos Cos,
    normal_cdf NormalCdf, sign Sign,
}

extern "C" fn pow(a: f64, b: f64) -> f64 {
    a.powf(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_an_address_and_a_name_of_its_own() {
        let mut names: Vec<String> = External::all().map(External::name).collect();
        assert!(External::all().all(|e| !e.address().is_null()));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), count), (count, 18 + 1 + KERNELS.len()));
    }
}
