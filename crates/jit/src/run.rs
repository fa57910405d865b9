//! Running compiled functions on frames.

use std::ops::Range;

use lvmc_loops::ir::FuncKind;
use lvmc_loops::{Frame, Machine, Slot};

use crate::module::Compiled;

/// A compiled function: buffers (and scratch after the last), first block, number of blocks.
pub(crate) type Entry = unsafe extern "C" fn(*const *mut f64, u64, u64);

impl Machine for Compiled {
    fn run(&self, func: usize, frame: &mut Frame<'_>, blocks: Range<usize>) {
        let kind = self.program().funcs[func].kind;
        if kind == FuncKind::Block && blocks.is_empty() {
            return;
        }
        self.check(func, frame, &blocks);
        let first_block = frame.first_block;
        let program = self.program();
        let mut table: Vec<*mut f64> = Vec::with_capacity(program.buffers.len() + 1);
        for (slot, buffer) in frame.slots.iter_mut().zip(&program.buffers) {
            table.push(match slot {
                Slot::Absent => std::ptr::null_mut(),
                // only read: the verifier has seen that the function does not write buffers of this kind
                Slot::Read(data) => data.as_ptr().cast_mut(),
                Slot::Write(data) if is_stored(buffer.kind) => {
                    // compiled code counts blocks from 0
                    data.as_mut_ptr().wrapping_sub(first_block * buffer.len * program.block)
                }
                Slot::Write(data) => data.as_mut_ptr(),
            });
        }
        table.push(frame.extra.as_mut_ptr());
        let (first, count) = (blocks.start as u64, blocks.len() as u64);
        let _flushed = lvmc_kernels::denormals::FlushDenormals::new();
        // SAFETY: the module lives as long as `self`. The program is verified: every access of the function lies within
        // the lengths of its buffers, for blocks of the range, and `check` has seen that the slots have these lengths
        // and are writable where the function writes. The function does not unwind.
        unsafe { self.entry(func)(table.as_ptr(), first, count) };
    }

    fn extra(&self, func: usize) -> usize {
        self.scratch(func)
    }
}

/// Row buffers that hold all rows and may be written.
fn is_stored(kind: lvmc_loops::ir::BufKind) -> bool {
    matches!(kind, lvmc_loops::ir::BufKind::Feature | lvmc_loops::ir::BufKind::Out)
}

impl Compiled {
    /// What the safety of a call rests on.
    fn check(&self, func: usize, frame: &Frame<'_>, blocks: &Range<usize>) {
        let program = self.program();
        assert_eq!(
            frame.slots.len(),
            program.buffers.len(),
            "the frame belongs to this program"
        );
        assert!(
            frame.extra.len() >= self.scratch(func),
            "the frame has the scratch that was asked for"
        );
        for &(buf, written) in self.needs(func) {
            let (slot, buffer) = (&frame.slots[buf.index()], &program.buffers[buf.index()]);
            let writable = matches!(slot, Slot::Write(_));
            assert!(writable || !written, "`{}` is writable", buffer.name);
            let per_block = buffer.len * program.block;
            let needed = match buffer.kind {
                lvmc_loops::ir::BufKind::Temp => per_block,
                kind if is_stored(kind) && writable => {
                    assert!(blocks.start >= frame.first_block, "the blocks lie in the frame");
                    (blocks.end - frame.first_block) * per_block
                }
                kind if kind.is_rows() => blocks.end * per_block,
                _ => buffer.len,
            };
            assert!(slot.get().len() >= needed, "`{}` is there with its length", buffer.name);
        }
    }
}
