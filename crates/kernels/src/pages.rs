//! Large pages for large arrays.

/// Arrays from so many bytes on.
const LEAST: usize = 4 << 20;

/// Asks for large pages behind numbers that have not been touched yet. Arrays of some megabytes have more small pages than a
/// processor remembers, and on a virtual machine each one forgotten is looked up through two levels of tables.
pub fn prefer_large<T>(numbers: &mut [T]) {
    let bytes = size_of_val(numbers);
    if bytes < LEAST {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let start = numbers.as_mut_ptr().cast::<u8>();
        let skipped = start.align_offset(PAGE).min(bytes);
        let len = (bytes - skipped) / PAGE * PAGE;
        // SAFETY: whole pages inside the slice, which this function has alone; the advice changes no number. Where it is
        // not taken, nothing is lost.
        unsafe {
            libc::madvise(start.add(skipped).cast(), len, libc::MADV_HUGEPAGE);
        }
    }
}
