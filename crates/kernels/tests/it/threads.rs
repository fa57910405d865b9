//! The pool and the denormal guard.

use lvmc_kernels::denormals::FlushDenormals;
use lvmc_kernels::pool::run;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn every_index_runs_once() {
    for threads in [1, 2, 3, 5, 8, 64, 2, 1, 33] {
        let seen: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
        run(threads, &|i| {
            seen[i].fetch_add(1, Ordering::Relaxed);
        });
        assert!(seen.iter().all(|s| s.load(Ordering::Relaxed) == 1), "{threads}");
    }
}

#[test]
fn many_short_jobs() {
    let count = AtomicUsize::new(0);
    for i in 0..3000 {
        run(2 + i % 3, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        if i % 500 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(3)); // helpers go to sleep
        }
    }
    assert_eq!(count.into_inner(), 9000);
}

#[test]
fn sums_by_chunk_do_not_depend_on_threads() {
    let x: Vec<f64> = (0..10_000).map(|i| f64::from(i).sin() * 1e3).collect();
    let total = |threads: usize| {
        let next = AtomicUsize::new(0);
        let parts: Vec<Mutex<f64>> = (0..16).map(|_| Mutex::new(0.0)).collect();
        run(threads, &|_| loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(chunk) else { break };
            *part.lock().unwrap() = x[x.len() * chunk / 16..x.len() * (chunk + 1) / 16].iter().sum();
        });
        parts
            .into_iter()
            .map(|p| p.into_inner().unwrap())
            .sum::<f64>()
            .to_bits()
    };
    assert!((2..9).all(|threads| total(threads) == total(1)));
}

#[test]
fn panics_reach_the_caller_and_spare_the_pool() {
    for bad in 0..4 {
        let done = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            run(4, &|i| {
                assert!(i != bad, "index {i} fails");
                done.fetch_add(1, Ordering::Relaxed);
            });
        }));
        let message = *caught.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(message, format!("index {bad} fails"));
        assert_eq!(done.into_inner(), 3);
    }
    every_index_runs_once();
}

#[test]
fn calls_within_calls_and_from_many_threads() {
    let count = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    run(3, &|_| {
                        run(2, &|_| {
                            count.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                }
            });
        }
    });
    assert_eq!(count.into_inner(), 4 * 50 * 6);
}

#[test]
fn denormals_are_flushed_while_the_guard_lives() {
    let half = || black_box(f64::MIN_POSITIVE) * black_box(0.5);
    assert!(half() > 0.0);
    {
        let _guard = FlushDenormals::new();
        if cfg!(target_arch = "x86_64") {
            assert_eq!(half(), 0.0);
        }
        {
            let _inner = FlushDenormals::new();
        }
        if cfg!(target_arch = "x86_64") {
            assert_eq!(half(), 0.0);
        }
    }
    assert!(half() > 0.0);
}
