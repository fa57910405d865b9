//! Flushing denormal numbers, which cost a hundred times a normal operation on many machines.

use std::marker::PhantomData;

/// While it lives, this thread's denormal results become 0 and denormal operands count as 0. Restores on drop what it
/// found. On machines other than x86-64 it does nothing.
///
/// The standard library and the compiler assume the default mode, so hold it around kernels and compiled code only.
#[must_use]
pub struct FlushDenormals {
    #[cfg(target_arch = "x86_64")]
    before: u32,
    /// The mode belongs to a thread: the guard stays on it.
    _thread: PhantomData<*const ()>,
}

/// Flush to zero and denormals are zero.
#[cfg(target_arch = "x86_64")]
const FTZ_DAZ: u32 = 1 << 15 | 1 << 6;

/// The control register.
#[cfg(target_arch = "x86_64")]
fn control() -> u32 {
    let mut value = 0u32;
    // SAFETY: stores four bytes to a valid place
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
    value
}

/// Sets the control register.
#[cfg(target_arch = "x86_64")]
fn set_control(value: u32) {
    // SAFETY: the value was read from the register, with at most the two flush bits set beside
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags)) };
}

impl FlushDenormals {
    /// Starts flushing on this thread.
    pub fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let before = control();
            set_control(before | FTZ_DAZ);
            Self {
                before,
                _thread: PhantomData,
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self { _thread: PhantomData }
    }
}

impl Default for FlushDenormals {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FlushDenormals {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        set_control(control() & !FTZ_DAZ | self.before & FTZ_DAZ);
    }
}
