//! One thread or all of them: whichever is faster at present.
//!
//! On a machine that is busy with other things, threads that wait for each other are slower than one alone. Results are
//! the same for any number of threads, so the choice is free, and time decides.

/// Runs of a trial.
const TRIAL: u32 = 4;

/// Runs between trials of one thread, while the others hardly help.
const RECHECK_ONE: u32 = 32;

/// Runs between trials of all threads.
const RECHECK_ALL: u32 = 48;

/// Less than this share of one thread's time means that the others help.
const HELPFUL: f64 = 0.75;

/// The weight of the latest run in a mean time.
const WEIGHT: f64 = 0.25;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    One,
    All,
}

/// What is known of both ways.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// The way in use, out of trials.
    chosen: Mode,
    /// Runs that are left of a trial of the other way.
    trial: u32,
    /// Runs since the last trial.
    since: u32,
    /// Mean times of a unit of work, with one thread and with all; 0 while unknown.
    one: f64,
    all: f64,
}

impl Pace {
    pub fn new() -> Self {
        Self {
            chosen: Mode::All,
            trial: 0,
            since: 0,
            one: 0.0,
            all: 0.0,
        }
    }

    fn mode(&self) -> Mode {
        match (self.chosen, self.trial > 0) {
            (Mode::All, false) | (Mode::One, true) => Mode::All,
            _ => Mode::One,
        }
    }

    /// How many threads for the next run.
    pub fn threads(&self, all: usize) -> usize {
        if self.mode() == Mode::All { all } else { 1 }
    }

    /// Notes the time of a run, for a unit of work.
    pub fn note(&mut self, time: f64) {
        let mean = match self.mode() {
            Mode::One => &mut self.one,
            Mode::All => &mut self.all,
        };
        *mean = if *mean == 0.0 {
            time
        } else {
            *mean + WEIGHT * (time - *mean)
        };
        if self.trial > 0 {
            self.trial -= 1;
            if self.trial == 0 {
                self.since = 0;
                self.chosen = if self.all < 0.95 * self.one {
                    Mode::All
                } else {
                    Mode::One
                };
            }
            return;
        }
        self.since += 1;
        let due = match self.chosen {
            Mode::All if self.one == 0.0 => self.since >= TRIAL,
            Mode::All => self.since >= RECHECK_ONE && self.all > HELPFUL * self.one,
            Mode::One => self.since >= RECHECK_ALL,
        };
        if due {
            self.trial = TRIAL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    /// How many of the last 400 of 1000 runs used all threads.
    fn share(one: impl Fn(u32) -> f64, all: impl Fn(u32) -> f64) -> u32 {
        let mut pace = Pace::new();
        let mut shared = 0;
        for run in 0..1000 {
            let threads = pace.threads(2);
            shared += u32::from(run >= 600 && threads == 2);
            pace.note(if threads == 2 { all(run) } else { one(run) });
        }
        shared
    }

    #[test]
    fn the_faster_way_is_found() {
        assert_eq!(share(|_| 2.0, |_| 1.1), 400);
        assert!(share(|_| 2.0, |_| 2.5) < 40);
        // the machine becomes busy, or free, on the way
        assert!(share(|_| 2.0, |run| if run < 300 { 1.1 } else { 3.0 }) < 40);
        assert!(share(|_| 2.0, |run| if run < 300 { 3.0 } else { 1.1 }) > 380);
    }
}
