//! Ctrl-C: a fit stops at the next iteration and keeps the best so far; anything else ends at once.

use lvmc_base::Exit;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by Ctrl-C while a fit runs.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// A fit runs, and will look at [`STOP`].
static FITTING: AtomicBool = AtomicBool::new(false);

/// Begins to listen. Where that is impossible Ctrl-C ends the process as the system does.
pub fn listen() {
    let _ = ctrlc::set_handler(|| {
        if !FITTING.load(Ordering::SeqCst) || STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(Exit::Interrupted as u8));
        }
    });
}

/// Says that a fit begins (true) or has ended.
pub fn fitting(running: bool) {
    FITTING.store(running, Ordering::SeqCst);
}

/// True where Ctrl-C stopped the fit.
#[must_use]
pub fn stopped() -> bool {
    STOP.load(Ordering::SeqCst)
}
