//! Threads that go through the phases of a run together.

use lvmc_kernels::denormals::FlushDenormals;
use lvmc_kernels::pool::{self, MAX_THREADS};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Where the threads of a run are in one phase. On a cache line of its own.
#[repr(align(128))]
struct Stand {
    /// The next task of each thread's share.
    next: [AtomicUsize; MAX_THREADS],
    /// Tasks done.
    done: AtomicUsize,
    /// The phase has ended.
    over: AtomicBool,
}

impl Default for Stand {
    fn default() -> Self {
        Self {
            next: std::array::from_fn(|_| AtomicUsize::new(0)),
            done: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }
}

/// The phases of a run.
pub(super) struct Team {
    stands: Vec<Stand>,
    totals: Vec<usize>,
    /// A task panicked.
    broken: AtomicBool,
}

/// Says so if the thread unwinds.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}

/// Pauses before a thread that waits for a phase lets another run.
const SPINS: u32 = 4_000;

impl Team {
    pub fn new(phases: usize) -> Self {
        Self {
            stands: (0..phases).map(|_| Stand::default()).collect(),
            totals: vec![0; phases],
            broken: AtomicBool::new(false),
        }
    }

    /// Sets the number of tasks of a phase of the next run.
    pub fn set_tasks(&mut self, phase: usize, tasks: usize) {
        self.totals[phase] = tasks;
    }

    /// Runs all phases in order: `task(phase, task, thread)` for every task, in any order and on any thread, then
    /// `finish(phase)` once, before any task of the next phase.
    pub fn run(
        &mut self,
        threads: usize,
        task: &(dyn Fn(usize, usize, usize) + Sync),
        finish: &(dyn Fn(usize) + Sync),
    ) {
        if threads == 1 {
            let _flushed = FlushDenormals::new();
            for (phase, &total) in self.totals.iter().enumerate() {
                (0..total).for_each(|i| task(phase, i, 0));
                finish(phase);
            }
            return;
        }
        for stand in &mut self.stands {
            *stand = Stand::default();
        }
        self.broken = AtomicBool::new(false);
        let this = &*self;
        pool::run(threads, &|thread| this.member(thread, threads, task, finish));
    }

    /// What one thread does.
    fn member(
        &self,
        thread: usize,
        threads: usize,
        task: &(dyn Fn(usize, usize, usize) + Sync),
        finish: &(dyn Fn(usize) + Sync),
    ) {
        let _guard = Guard(&self.broken);
        let _flushed = FlushDenormals::new();
        for (phase, (stand, &total)) in self.stands.iter().zip(&self.totals).enumerate() {
            // its own share first, the same in every run: what it wrote last is still near
            for of in (0..threads).map(|k| (thread + k) % threads) {
                let share = total.max(1) * of / threads..total.max(1) * (of + 1) / threads;
                loop {
                    let i = share.start + stand.next[of].fetch_add(1, Ordering::Relaxed);
                    if i >= share.end {
                        break;
                    }
                    if i < total {
                        task(phase, i, thread);
                    }
                    if stand.done.fetch_add(1, Ordering::AcqRel) + 1 == total.max(1) {
                        finish(phase);
                        stand.over.store(true, Ordering::Release);
                    }
                }
            }
            let mut spins = 0;
            while !stand.over.load(Ordering::Acquire) {
                if self.broken.load(Ordering::Acquire) {
                    return;
                }
                if spins < SPINS {
                    spins += 1;
                    std::hint::spin_loop();
                } else {
                    std::thread::yield_now();
                }
            }
        }
    }
}
