//! Stands in until `lvmc_kernels::denormals` is there.
use std::arch::asm;

pub(crate) struct Flush(u32);

impl Flush {
    pub fn new() -> Self {
        let mut old = 0_u32;
        // SAFETY: reads and sets the control register of this thread
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut old);
            let new = old | 0x8040;
            asm!("ldmxcsr [{}]", in(reg) &raw const new);
        }
        Self(old)
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        // SAFETY: as above
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const self.0) };
    }
}
