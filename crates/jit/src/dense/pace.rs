//! One thread or all of them: whichever is faster at present.
//!
//! On a machine that is busy with other things, threads that wait for each other are slower than one alone. Results are
//! the same for any number of threads, so the choice is free, and time decides.

/// First runs, which touch new memory and start threads: not counted.
const COLD: u32 = 4;

/// Runs of a trial.
const TRIAL: usize = 5;

/// Latest runs that count.
const WINDOW: usize = 9;

/// Runs between trials: of one thread while the others hardly help, of all threads while one is quicker.
const RECHECK: u32 = 48;

/// Less than this share of one thread's time means that the others help.
const HELPFUL: f64 = 0.75;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    One,
    All,
}

/// Times of the latest runs, for a unit of work.
#[derive(Debug, Clone, Default)]
struct Times {
    latest: [f64; WINDOW],
    seen: usize,
}

impl Times {
    fn note(&mut self, time: f64) {
        self.latest[self.seen % WINDOW] = time;
        self.seen += 1;
    }

    /// The median of the latest runs: neither a thread that was put aside for a moment nor a lucky run decides.
    fn middle(&self) -> Option<f64> {
        let (mut latest, seen) = (self.latest, self.seen.min(WINDOW));
        latest[..seen].sort_unstable_by(f64::total_cmp);
        (seen > 0).then(|| latest[seen / 2])
    }
}

/// What is known of both ways.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    cold: u32,
    /// The way in use, out of trials.
    chosen: Mode,
    /// Runs that are left of a trial of the other way.
    trial: usize,
    /// Runs since the last trial.
    since: u32,
    one: Times,
    all: Times,
}

impl Pace {
    pub fn new() -> Self {
        Self {
            cold: COLD,
            chosen: Mode::All,
            trial: 0,
            since: 0,
            one: Times::default(),
            all: Times::default(),
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
        if self.cold > 0 {
            self.cold -= 1;
            return;
        }
        self.times(self.mode()).note(time);
        if self.trial > 0 {
            self.trial -= 1;
            if self.trial == 0 {
                self.since = 0;
                let quicker = self.all.middle() <= self.one.middle();
                self.chosen = if quicker { Mode::All } else { Mode::One };
            }
            return;
        }
        self.since += 1;
        let due = match (self.chosen, self.one.middle(), self.all.middle()) {
            (Mode::All, Some(one), Some(all)) => self.since >= RECHECK && all > HELPFUL * one,
            (Mode::All, ..) => self.since >= WINDOW as u32,
            (Mode::One, ..) => self.since >= RECHECK,
        };
        if due {
            self.trial = TRIAL;
            // what was measured in other times does not count
            *self.times(self.mode()) = Times::default();
        }
    }

    fn times(&mut self, mode: Mode) -> &mut Times {
        match mode {
            Mode::One => &mut self.one,
            Mode::All => &mut self.all,
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
        // the first runs of a process are slow
        assert_eq!(share(|_| 2.0, |run| if run < 4 { 30.0 } else { 1.1 }), 400);
        assert!(share(|_| 2.0, |_| 2.5) < 60);
        // the machine becomes busy, or free, on the way
        assert!(share(|_| 2.0, |run| if run < 300 { 1.1 } else { 3.0 }) < 60);
        assert!(share(|_| 2.0, |run| if run < 300 { 3.0 } else { 1.1 }) > 380);
    }
}
