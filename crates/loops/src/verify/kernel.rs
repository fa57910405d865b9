//! Kernels: lengths of their operands, and that outputs overlap nothing.

use crate::ir::{Index, Kernel, QuadShape};
use crate::usage::{Access, Operand, Place, kernel_name, operands};

use super::{Check, Checker};
use crate::ir::FuncKind;

impl Checker<'_> {
    pub(super) fn kernel(&self, kernel: &Kernel) -> Check {
        self.operands(kernel)
            .map_err(|m| format!("`{}`: {m}", kernel_name(kernel)))
    }

    fn operands(&self, kernel: &Kernel) -> Check {
        sizes(kernel)?;
        let all = operands(kernel);
        for operand in &all {
            match operand.place {
                Place::Flat(at, len) => self.flat_at(at, len)?,
                Place::Rows(..) if self.kind != FuncKind::Block => {
                    return Err(format!("`{}` has rows, in a function without rows", operand.name));
                }
                Place::Rows(at, len) => self.rows_at(at, len)?,
            }
            if operand.access != Access::Read {
                self.writable(operand.buf())?;
            }
        }
        for (i, out) in all.iter().enumerate().filter(|(_, o)| o.access != Access::Read) {
            for (_, other) in all.iter().enumerate().filter(|(j, _)| *j != i) {
                if out.buf() == other.buf() && self.overlap(out, other)? {
                    return Err(format!("`{}` overlaps `{}`", out.name, other.name));
                }
            }
        }
        Ok(())
    }

    /// Some value of the loop variables makes the two share a place. Variables that both use cancel.
    fn overlap(&self, a: &Operand<'_>, b: &Operand<'_>) -> Result<bool, String> {
        let (a_at, a_len) = span(a);
        let (b_at, b_len) = span(b);
        // a begins `difference` after b
        let (low, high) = self.interval(&(a_at - b_at))?;
        let (a_len, b_len) = (
            i64::try_from(a_len).unwrap_or(i64::MAX),
            i64::try_from(b_len).unwrap_or(i64::MAX),
        );
        Ok(low < b_len && high > -a_len)
    }
}

fn span<'a>(operand: &Operand<'a>) -> (&'a Index, usize) {
    match operand.place {
        Place::Flat(at, len) => (&at.at, len),
        Place::Rows(at, len) => (&at.col, len),
    }
}

/// Dims that kernels do not take.
fn sizes(kernel: &Kernel) -> Check {
    let positive = |what: &str, n: usize| if n > 0 { Ok(()) } else { Err(format!("`{what}` is 0")) };
    match kernel {
        Kernel::Quad {
            inputs, outputs, shape, ..
        }
        | Kernel::PackQuad {
            inputs, outputs, shape, ..
        } => {
            positive("inputs", *inputs)?;
            if *shape == QuadShape::Diagonal && inputs != outputs {
                return Err(format!("a diagonal form of {inputs} inputs has {outputs} outputs"));
            }
            positive("outputs", *outputs)
        }
        Kernel::Linear { outputs, .. } => positive("outputs", *outputs),
        Kernel::Softmax { n, stride, .. } => positive("n", *n).and_then(|()| positive("stride", *stride)),
        Kernel::Moments { weights, .. } | Kernel::MomentsFold { weights, .. } => positive("weights", *weights),
        Kernel::Gather { entries, values, .. } | Kernel::Scatter { entries, values, .. } => {
            positive("entries", *entries).and_then(|()| positive("values", *values))
        }
        Kernel::MulRows { n, .. } => positive("n", *n),
        Kernel::Cholesky { n, .. } | Kernel::TriInverse { n, .. } | Kernel::FloorCov { n, .. } => positive("n", *n),
        Kernel::SpdSolve { n, m, .. } => positive("n", *n).and_then(|()| positive("m", *m)),
        Kernel::MatMul { m, k, n, .. } => positive("m", *m)
            .and_then(|()| positive("k", *k))
            .and_then(|()| positive("n", *n)),
        _ => Ok(()),
    }
}
