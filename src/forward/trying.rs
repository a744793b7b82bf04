//! How long mail has been tried in vain: what `forward.give_up_after` is compared with. Pure; time is an argument.
//!
//! Counted is the time in which this process ran and the account was free to send. Time without power, with a
//! refused key, a used-up quota or a hold does not count, and neither does what a wrong clock says. A process that
//! was stopped or suspended counts as much as lies between two looks at most.
//!
//! # Invariants
//! - Nothing is given up on its first failure after a start: there is no mark of this run to count from.

use std::time::{Duration, Instant};

use crate::spool::{Trying, TryingMark};

/// One forwarder's count of time.
#[derive(Debug)]
pub struct TryingClock {
    run: i64,
    /// As much as one wait counts at most: what waits behind others is not tried.
    wait_max: Duration,
    total: Duration,
    observed: Option<Instant>,
}

impl TryingClock {
    /// Nothing is counted yet. `run` is a number of this run's own; `wait_max` is the most that lies between two attempts
    /// of one mail.
    pub fn new(run: i64, wait_max: Duration) -> Self {
        Self {
            run,
            wait_max,
            total: Duration::ZERO,
            observed: None,
        }
    }

    /// Counts the time since the last look, if the account was free to send then; `free` says whether it is now.
    pub fn observe(&mut self, free: bool, now: Instant) {
        if let Some(at) = self.observed {
            self.total += now.saturating_duration_since(at).min(STEP_MAX);
        }
        self.observed = free.then_some(now);
    }

    /// What is to be remembered after a failure.
    pub fn failed(&self, before: Trying) -> Trying {
        Trying {
            spent: before.spent + self.since_mark(before).unwrap_or_default(),
            mark: Some(TryingMark {
                run: self.run,
                at: self.total,
            }),
        }
    }

    /// Whether it has been tried for `limit`, this time not being the first failure of this run.
    pub fn is_over(&self, before: Trying, limit: Duration) -> bool {
        let since = self.since_mark(before);
        since.is_some_and(|since| before.spent + since >= limit)
    }

    fn since_mark(&self, trying: Trying) -> Option<Duration> {
        let mark = trying.mark.filter(|mark| mark.run == self.run)?;
        Some(self.total.saturating_sub(mark.at).min(self.wait_max))
    }
}

/// A forwarder looks at least once a minute.
const STEP_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const LIMIT: Duration = Duration::from_secs(100);

    #[test]
    fn only_time_in_which_it_could_be_tried_counts() {
        let start = Clock.now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut clock = TryingClock::new(1, Duration::from_secs(3600));
        clock.observe(true, at(0));
        assert!(
            !clock.is_over(Trying::default(), Duration::ZERO),
            "the first failure"
        );
        let failed = clock.failed(Trying::default());
        clock.observe(true, at(60));
        let failed = clock.failed(failed);
        assert_eq!(failed.spent.as_secs(), 60);
        // A refused key from here on.
        clock.observe(false, at(61));
        clock.observe(true, at(86_400));
        assert!(!clock.is_over(failed, LIMIT));
        // A process that was stopped for a day.
        clock.observe(true, at(2 * 86_400));
        assert_eq!(clock.failed(failed).spent.as_secs(), 60 + 1 + 120);
        assert!(clock.is_over(failed, LIMIT));
    }

    #[test]
    fn nothing_is_given_up_on_the_first_failure_after_a_start_or_a_hold() {
        let mut first = TryingClock::new(1, Duration::from_secs(3600));
        first.observe(true, Clock.now());
        let old = Trying {
            spent: LIMIT * 2,
            mark: first.failed(Trying::default()).mark,
        };
        let second = TryingClock::new(2, Duration::from_secs(3600));
        assert!(!second.is_over(old, LIMIT));
        let failed = second.failed(old);
        assert_eq!(failed.spent, LIMIT * 2);
        assert!(second.is_over(failed, LIMIT), "the second failure");
        let released = Trying {
            mark: None,
            ..failed
        };
        assert!(!second.is_over(released, LIMIT));
    }
}
