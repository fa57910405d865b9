//! The pace of EM: whether its steps shrink slowly enough to be extrapolated, and what is left to gain.
//!
//! EM converges linearly: its gains shrink by a constant rate in the end, that of the slowest direction. A leap (see
//! [`super::accelerate`]) stirs up the fast directions again, and their gains hide the slow ones for some steps; so only
//! gains of steps that follow one another count, and after leaps the end is believed only when [`SETTLED`] steps without
//! one foresee it, at a rate that rises no longer.

use super::accelerate::extrapolated;
use crate::engine::Values;
use lvmc_loops::lowered::ParamSlot;

/// Gains that shrink more slowly than this from step to step are worth extrapolating.
const SLOW: f64 = 0.5;
/// Rates that differ by less, one after the other, are those of linear convergence.
const STEADY: f64 = 0.1;
/// Leaps in a row that gained nothing: the steps are not linear, or no longer.
const REFUSALS: usize = 3;
/// Small gains in a row that end a run.
const QUIET: usize = 3;
/// Steps without a leap from which the slowest rate is read: three times [`THIRD`].
const SETTLED: usize = 9;
const THIRD: usize = 3;
/// Steps without a leap that end the wait for a rate that does not rise: it is rounding that moves it.
const LONGEST: usize = 60;
/// A rate that rises by more from third to third: a slower direction comes to light.
const RISING: f64 = 0.01;

/// Gains and steps since the last leap.
#[derive(Debug, Default)]
pub struct Pace {
    gains: Vec<f64>,
    /// The last parameters, of steps that follow one another: three at most.
    path: Vec<Values>,
    /// Convergence was seen to be slow and linear.
    linear: bool,
    leapt: bool,
    refused: usize,
    quiet: usize,
    /// Leaps to take before the next wait for the end, and before the one after that.
    owed: usize,
    patience: usize,
}

impl Pace {
    /// At the start of a run.
    #[must_use]
    pub fn new(values: &Values) -> Self {
        Self {
            path: vec![values.clone()],
            ..Self::default()
        }
    }

    /// A step of EM: what it gained and where it led. `whole`: it was not shortened.
    pub fn stepped(&mut self, gain: f64, values: &Values, whole: bool, noise: f64, enough: f64) {
        self.gains.push(gain);
        if self.path.len() == 3 {
            self.path.remove(0);
        }
        self.path.push(values.clone());
        if let [.., a, b, c] = self.gains[..] {
            let (before, after) = (b / a, c / b);
            let slow = |rate: f64| rate > SLOW && rate < 1.0;
            self.linear |= slow(before) && slow(after) && (after - before).abs() < STEADY;
        }
        let left = remaining(&self.gains, noise);
        // a shortened step says nothing of the next, unless it gained nothing
        let small = (whole || left == 0.0) && left <= enough;
        if self.waiting() && !small {
            // the end was not near: twice as many leaps before it is waited for again
            self.patience = (2 * self.patience).max(1);
            self.owed = self.patience;
        }
        self.quiet = if small { self.quiet + 1 } else { 0 };
    }

    /// The end may be near: steps without leaps will tell.
    fn waiting(&self) -> bool {
        self.quiet > 0 && self.owed == 0 && self.gains.len() < LONGEST
    }

    /// True where nothing is left to gain.
    #[must_use]
    pub fn ended(&self, noise: f64, enough: f64) -> bool {
        self.quiet >= QUIET && (!self.leapt || self.settled(noise, enough))
    }

    /// The gains of the last steps foresee the end at a rate that rises no longer.
    fn settled(&self, noise: f64, enough: f64) -> bool {
        let Some(from) = self.gains.len().checked_sub(SETTLED) else {
            return false;
        };
        let sum = |third: usize| {
            let first = from + third * THIRD;
            self.gains[first..first + THIRD].iter().sum::<f64>()
        };
        let sums = [sum(0), sum(1), sum(2)];
        let rising = sums[2] > noise && sums[2] / sums[1] > sums[1] / sums[0] + RISING;
        remaining(&sums, noise) <= enough && (!rising || self.gains.len() >= LONGEST)
    }

    /// Where the last two steps lead, if a leap is worth while now.
    #[must_use]
    pub fn leap(&self, slots: &[ParamSlot]) -> Option<Values> {
        let [a, b, c] = &self.path[..] else { return None };
        let slow = matches!(self.gains[..], [.., g, h] if h > SLOW * g);
        let due = self.linear && slow && !self.waiting();
        due.then(|| extrapolated(slots, [a, b, c])).flatten()
    }

    /// A leap was taken.
    pub fn leapt(&mut self, values: &Values) {
        *self = Self {
            linear: self.linear,
            leapt: true,
            owed: self.owed.saturating_sub(1),
            patience: self.patience,
            ..Self::new(values)
        };
    }

    /// A leap would have lost.
    pub fn refused(&mut self) {
        // the next two steps lead elsewhere
        self.path.drain(..self.path.len() - 1);
        self.refused += 1;
        if self.refused == REFUSALS {
            (self.linear, self.refused) = (false, 0);
            self.gains.clear();
        }
    }
}

/// What is left to gain after those gains: they shrink geometrically (Aitken).
#[must_use]
pub fn remaining(gains: &[f64], noise: f64) -> f64 {
    let [.., before, last] = *gains else {
        return f64::INFINITY;
    };
    if last <= noise {
        return 0.0;
    }
    let rate = last / before;
    if rate > 0.0 && rate < 1.0 {
        last * (rate / (1.0 - rate)).max(0.1)
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_geometric_series_is_foreseen() {
        let gains: Vec<f64> = (0..20).map(|i| 0.1 * 0.9f64.powi(i)).collect();
        let left = remaining(&gains, 1e-14);
        assert!((left - 0.9f64.powi(20)).abs() < 1e-9, "{left}");
        assert_eq!(remaining(&[1.0], 0.0), f64::INFINITY);
        assert_eq!(remaining(&[1.0, 0.0], 0.0), 0.0);
        assert_eq!(remaining(&[1.0, 2.0], 0.0), f64::INFINITY);
    }

    /// What a leap stirs up hides a slow direction for some steps.
    #[test]
    fn a_slow_direction_behind_a_fast_one_does_not_end_a_run() {
        let (enough, noise) = (1e-6, 1e-14);
        let values = vec![vec![0.0]];
        let run = |fast: f64, slow: f64| {
            let mut pace = Pace::new(&values);
            pace.leapt(&values);
            (0..60).find(|&i| {
                let gain = 1e-6 * fast.powi(i) + slow * 0.9999f64.powi(i);
                pace.stepped(gain, &values, true, noise, enough);
                pace.ended(noise, enough)
            })
        };
        assert_eq!(run(0.1, 0.0), Some(8), "nothing else is left");
        for fast in [0.1, 0.5, 0.7] {
            assert_eq!(run(fast, 1e-8), None, "1e-4 is left");
        }
    }

    #[test]
    fn steps_of_a_steady_slow_rate_are_linear() {
        let linear = |gains: &[f64]| {
            let values = vec![vec![0.0]];
            let mut pace = Pace::new(&values);
            gains.iter().for_each(|&g| pace.stepped(g, &values, true, 0.0, 0.0));
            pace.linear
        };
        assert!(linear(&[1.0, 0.9, 0.81]));
        assert!(!linear(&[1.0, 0.9, 0.54]), "not steady");
        assert!(!linear(&[1.0, 0.3, 0.09]), "fast");
        assert!(!linear(&[1.0, 1.5, 2.25]), "growing");
    }
}
