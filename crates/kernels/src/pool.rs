//! A persistent pool of helper threads for work of a millisecond.
//!
//! Waking a thread costs as much as a small iteration, so helpers spin for a moment after each job before they sleep. All
//! jobs go through one lock: a second caller waits, and a call from inside a job runs on its own thread alone.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

/// Pauses before a waiting thread sleeps: some 100 µs.
const SPINS: u32 = 20_000;

/// The most threads.
pub const MAX_THREADS: usize = 64;

/// What a caller asks for: the work without its lifetime, which [`run`] outlives.
type Work = &'static (dyn Fn(usize) + Sync);

/// One helper.
struct Helper {
    state: Arc<State>,
    thread: Thread,
}

/// What a helper and the callers share.
struct State {
    /// Set by the caller, cleared by the helper when it is done.
    busy: AtomicBool,
    job: Mutex<Option<Job>>,
}

struct Job {
    work: Work,
    index: usize,
    caller: Thread,
}

/// Helpers still at work for the one call that holds [`POOL`].
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// A helper's panic.
static PANIC: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);

static POOL: Mutex<Vec<Helper>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether this thread is inside a job.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls `work(0)` … `work(threads − 1)`, each on its own thread, `work(0)` on this one, and returns when all have
/// returned. More than [`MAX_THREADS`] are cut to it; which thread runs an index never matters to a caller that shares
/// work by an atomic counter. Where a thread cannot be started, or has not begun when this one is done (or inside another
/// job), this thread runs its index too.
///
/// # Panics
/// Resumes the panic of any index, after all have ended.
pub fn run(threads: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = threads.clamp(1, MAX_THREADS);
    if threads == 1 || INSIDE.get() {
        (0..threads).for_each(work);
        return;
    }
    // SAFETY: the lifetime is stretched only until this function returns, and it returns (or unwinds) after every helper
    // has let go of the reference: `LEFT` counts them, and nothing between here and the wait can unwind
    let shared_work: Work = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Work>(work) };
    let mut helpers = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    while helpers.len() < threads - 1 {
        let Some(helper) = start(helpers.len()) else { break };
        helpers.push(helper);
    }
    let used = helpers.len().min(threads - 1);
    LEFT.store(used, Ordering::Release);
    for (i, helper) in helpers[..used].iter().enumerate() {
        let job = Job {
            work: shared_work,
            index: i + 1,
            caller: std::thread::current(),
        };
        *helper.state.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
        helper.state.busy.store(true, Ordering::Release);
        helper.thread.unpark();
    }
    INSIDE.set(true);
    let own = catch_unwind(AssertUnwindSafe(|| {
        work(0);
        (used + 1..threads).for_each(work);
    }));
    // what a helper has not begun by now (the machine is busy) is done here, rather than waited for
    let late = catch_unwind(AssertUnwindSafe(|| {
        for helper in &helpers[..used] {
            let job = helper.state.job.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(job) = job {
                LEFT.fetch_sub(1, Ordering::Release);
                work(job.index);
            }
        }
    }));
    INSIDE.set(false);
    wait(|| LEFT.load(Ordering::Acquire) == 0);
    let theirs = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(helpers);
    if let Some(panic) = own.err().or(late.err()).or(theirs) {
        resume_unwind(panic);
    }
}

/// Spins, then sleeps, until a condition whose fulfilment unparks this thread.
fn wait(done: impl Fn() -> bool) {
    let mut spins = 0;
    while !done() {
        if spins < SPINS {
            spins += 1;
            std::hint::spin_loop();
        } else {
            std::thread::park();
        }
    }
}

/// Starts a helper, which lives as long as the process.
fn start(number: usize) -> Option<Helper> {
    let state = Arc::new(State {
        busy: AtomicBool::new(false),
        job: Mutex::new(None),
    });
    let own = Arc::clone(&state);
    let handle = std::thread::Builder::new()
        .name(format!("lvmc-{}", number + 1))
        .spawn(move || {
            INSIDE.set(true);
            loop {
                wait(|| own.busy.load(Ordering::Acquire));
                own.busy.store(false, Ordering::Relaxed);
                let Some(job) = own.job.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                    continue;
                };
                let Job { work, index, caller } = job;
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(index))) {
                    *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
                }
                if LEFT.fetch_sub(1, Ordering::Release) == 1 {
                    caller.unpark();
                }
            }
        })
        .ok()?;
    Some(Helper {
        state,
        thread: handle.thread().clone(),
    })
}
