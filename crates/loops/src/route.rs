//! Which layer of native code serves a loop or a kernel.

use std::fmt;

use crate::batch;
use crate::ir::{Kernel, Op, Stmt, Un};
use crate::usage::{has_rows, walk};

/// Where kernels and heavy row loops go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kernels {
    /// To the compiled block kernels of this machine.
    #[default]
    Block,
    /// Nowhere: kernels on rows are expanded, everything is compiled by the JIT.
    None,
}

/// Choices of the code generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Options {
    /// Block kernels or none.
    pub kernels: Kernels,
}

/// A layer of native code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// A row loop, two rows at a time, compiled by the JIT.
    Lanes,
    /// A row loop as a sequence of block operations, one call each.
    Tape,
    /// A block kernel.
    Block,
    /// Dense linear algebra of the run-time library.
    Dense,
    /// A product large enough for the matrix library.
    Gemm,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let isa = lvmc_kernels::block::kernels().name;
        match self {
            Route::Lanes => write!(f, "jit"),
            Route::Tape => write!(f, "block operations {isa}"),
            Route::Block => write!(f, "block kernel {isa}"),
            Route::Dense => write!(f, "dense"),
            Route::Gemm => write!(f, "gemm"),
        }
    }
}

/// The route of a statement; `None` for statements that the JIT compiles as they stand.
#[must_use]
pub fn route(stmt: &Stmt, options: &Options) -> Option<Route> {
    match stmt {
        Stmt::Rows { body } => Some(rows_route(body, options)),
        // one call for all turns
        Stmt::For { .. } if options.kernels == Kernels::Block && batch::of(stmt).is_some() => Some(Route::Block),
        Stmt::Kernel(Kernel::MatMul { m, k, n, .. }) if m * k * n >= GEMM_FROM => Some(Route::Gemm),
        Stmt::Kernel(kernel) if has_rows(kernel) || is_fold(kernel) => Some(Route::Block),
        Stmt::Kernel(_) => Some(Route::Dense),
        _ => None,
    }
}

/// Multiplications from which a product goes to the matrix library.
const GEMM_FROM: usize = 4096;

fn is_fold(kernel: &Kernel) -> bool {
    matches!(
        kernel,
        Kernel::SyrkFold { .. } | Kernel::MomentsFold { .. } | Kernel::PackQuad { .. }
    )
}

/// Block operations pay where exponentials and logarithms dominate: the wide ones cost half of what the JIT's cost,
/// while every other operation costs a pass over the first cache.
fn rows_route(body: &[Stmt], options: &Options) -> Route {
    if options.kernels == Kernels::None || !tape_can(body) {
        return Route::Lanes;
    }
    if is_copy(body) {
        return Route::Tape;
    }
    let (mut heavy, mut light) = (0, 0);
    walk(body, &mut |stmt| match stmt {
        Stmt::Let(_, Op::Un(op, _)) if is_wide(*op) => heavy += 1,
        Stmt::Let(_, Op::Un(..) | Op::Bin(..) | Op::Fma(..) | Op::Select(..)) | Stmt::StoreRow(..) => light += 1,
        _ => {}
    });
    if heavy > 0 && light <= LIGHT_PER_HEAVY * heavy {
        Route::Tape
    } else {
        Route::Lanes
    }
}

/// Light operations that the gain of one heavy operation pays for. Measured (`rows_speed`, AVX2): an exponential costs
/// 2 ns per row less as a block operation, tanh 15 ns less; a light operation costs 0.2 ns there, 0.1 to 0.4 in 128 bits.
const LIGHT_PER_HEAVY: usize = 12;

/// A column is copied and nothing else: wide vectors do it in half the time.
fn is_copy(body: &[Stmt]) -> bool {
    matches!(body, [Stmt::Let(reg, Op::LoadRow(_)), Stmt::StoreRow(_, value)] if reg == value)
}

/// Operations that block kernels do in wide vectors and the JIT does not do well.
fn is_wide(op: Un) -> bool {
    matches!(
        op,
        Un::Exp | Un::Log | Un::Log1p | Un::Sigmoid | Un::Softplus | Un::Tanh
    )
}

/// True where the body has nothing that block operations lack: dynamic indices.
fn tape_can(body: &[Stmt]) -> bool {
    let mut can = true;
    walk(body, &mut |stmt| {
        can &= !matches!(stmt, Stmt::IndexOf { .. } | Stmt::Scatter(..))
    });
    can
}
