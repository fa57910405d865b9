//! Which stage is running, so that a panic can be reported as the bug of a stage.

use std::sync::Mutex;

static STAGE: Mutex<&str> = Mutex::new("command line");

/// Notes that a stage begins.
pub fn enter(name: &'static str) {
    *STAGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = name;
}

/// The stage that runs now.
#[must_use]
pub fn current() -> &'static str {
    *STAGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
