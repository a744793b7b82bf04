//! The time that due dates are kept in: it follows the civil clock forward, but never back.
//!
//! A clock that is put back by two hours would otherwise keep everything that waits two hours longer. The
//! difference between this time and the civil clock is what the clock was put back by; it is added where a due
//! date is stored and taken off where one is shown. The last time seen is noted in the store from time to time,
//! so that a step between two runs is seen as well.

use std::time::Instant;

use crate::clock::Timestamp;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct SpoolTime {
    /// Two readings of one moment, from which on the clocks have gone alike.
    wall: Timestamp,
    steady: Instant,
    /// The last reading.
    read: Timestamp,
    ahead_ms: i64,
}

impl SpoolTime {
    /// Begins at `wall`, but not before `seen_at`.
    pub(super) fn new(wall: Timestamp, steady: Instant, seen_at: Option<Timestamp>) -> Self {
        let ahead_ms = seen_at.map_or(0, |seen| seen.0.saturating_sub(wall.0).max(0));
        Self {
            wall,
            steady,
            read: wall,
            ahead_ms,
        }
    }

    /// Reads both clocks; returns by how many milliseconds the civil one was changed since the last reading.
    pub(super) fn read(&mut self, wall: Timestamp, steady: Instant) -> i64 {
        let passed = steady.saturating_duration_since(self.steady);
        let step = wall.0.saturating_sub(self.wall.after(passed).0);
        self.read = wall;
        // Clocks differ by less while they are kept right, and the steady one is finer.
        if step.abs() < STEP_MIN_MS {
            return 0;
        }
        self.ahead_ms = self.ahead_ms.saturating_sub(step).max(0);
        self.wall = wall;
        self.steady = steady;
        step
    }

    /// How far due dates are ahead of the civil clock, in milliseconds.
    pub(super) fn ahead_ms(&self) -> i64 {
        self.ahead_ms
    }

    /// Now, as due dates are stored.
    pub(super) fn now(&self) -> Timestamp {
        self.stored(self.read)
    }

    /// A moment of the civil clock, as due dates are stored.
    pub(super) fn stored(&self, wall: Timestamp) -> Timestamp {
        Timestamp(wall.0.saturating_add(self.ahead_ms))
    }

    /// A stored due date, on the civil clock.
    pub(super) fn shown(&self, stored: Timestamp) -> Timestamp {
        Timestamp(stored.0.saturating_sub(self.ahead_ms))
    }
}

const STEP_MIN_MS: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::time::Duration;

    #[test]
    fn it_follows_the_clock_forward_and_never_back() {
        let start = Clock.now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let wall = |seconds: i64| Timestamp(1_000_000_000 + seconds * 1000);
        let mut time = SpoolTime::new(wall(0), at(0), None);
        assert_eq!(time.read(wall(10), at(10)), 0);
        assert_eq!(time.now(), wall(10));
        // Two hours back, ten seconds later.
        assert_eq!(time.read(wall(20 - 7200), at(20)), -7_200_000);
        assert_eq!(time.now(), wall(20), "what waits is due as it was");
        assert_eq!(time.shown(wall(20)), wall(20 - 7200));
        assert_eq!(time.stored(wall(30 - 7200)), wall(30));
        // Right again, and then ahead.
        assert_eq!(time.read(wall(30), at(30)), 7_200_000);
        assert_eq!(time.now(), wall(30));
        assert_eq!(time.read(wall(40 + 3600), at(40)), 3_600_000);
        assert_eq!(time.now(), wall(40 + 3600));
    }

    #[test]
    fn readings_that_are_cut_to_the_millisecond_add_up_to_nothing() {
        let start = Clock.now();
        let mut time = SpoolTime::new(Timestamp(0), start, Some(Timestamp(7_200_000)));
        for read in 1..100_000u32 {
            let passed = Duration::from_micros(100) * read;
            let wall = Timestamp(i64::try_from(passed.as_millis()).unwrap_or(0));
            assert_eq!(time.read(wall, start + passed), 0);
        }
        assert_eq!(time.ahead_ms(), 7_200_000);
    }

    #[test]
    fn a_clock_that_was_put_back_between_two_runs_is_seen_at_the_next_start() {
        let start = Clock.now();
        let time = SpoolTime::new(Timestamp(5_000), start, Some(Timestamp(65_000)));
        assert_eq!(time.now(), Timestamp(65_000));
        let time = SpoolTime::new(Timestamp(5_000), start, Some(Timestamp(1_000)));
        assert_eq!(time.now(), Timestamp(5_000));
    }
}
