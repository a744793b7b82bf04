//! The time that due dates are kept in: it follows the civil clock forward, but never back.
//!
//! A clock that is put back by two hours would otherwise keep everything that waits two hours longer. The
//! difference between this time and the civil clock is what the clock was put back by; it is added where a due
//! date is stored and taken off where one is shown. The last time seen is noted in the store from time to time,
//! so that a step between two runs is seen as well.
//!
//! What would be deleted for its age is not deleted for a step forward alone: it may be taken back, as by a machine
//! without a battery that is given a wrong date. For a day a step forward, or the time off, does not count as age; what
//! counts is noted in the store as well, so that a restart under a wrong clock makes nothing old, either.

use std::time::{Duration, Instant};

use crate::clock::Timestamp;

/// The times of one moment, as they are noted in the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// As due dates are stored.
    pub at: Timestamp,
    /// How far that is ahead of the civil clock, in milliseconds.
    pub ahead_ms: i64,
    /// The time that ages are counted to: the civil clock without the steps of the last day.
    pub aged_to: Timestamp,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct SpoolTime {
    /// Two readings of one moment, from which on the clocks have gone alike.
    wall: Timestamp,
    steady: Instant,
    /// The last reading.
    read: Timestamp,
    ahead_ms: i64,
    /// By how much the clock was changed, and when; of the last day alone.
    steps: Vec<(Instant, i64)>,
}

impl SpoolTime {
    /// Begins at `wall`, but not before what was seen.
    pub(super) fn new(wall: Timestamp, steady: Instant, seen: Option<Seen>) -> Self {
        let ahead_ms = seen.map_or(0, |seen| seen.at.0.saturating_sub(wall.0).max(0));
        // Below zero where the clock was put back, as by a machine that forgets the date: what sets it right again
        // adds up with it to the time off.
        let off = seen.map_or(0, |seen| wall.0.saturating_sub(seen.aged_to.0));
        Self {
            wall,
            steady,
            read: wall,
            ahead_ms,
            steps: Vec::from([(steady, off)]),
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
        self.forget_steps(steady);
        let full = self.steps.len() == STEPS_MAX;
        match self.steps.last_mut().filter(|_| full) {
            Some((at, sum)) => (*at, *sum) = (steady, sum.saturating_add(step)),
            None => self.steps.push((steady, step)),
        }
        self.wall = wall;
        self.steady = steady;
        step
    }

    /// The time that ages are counted to: never ahead of the civil clock.
    pub(super) fn aged_to(&mut self, steady: Instant) -> Timestamp {
        self.without_steps(steady).min(self.read)
    }

    /// The civil clock without the steps of the last day; ahead of it where it was put back.
    fn without_steps(&mut self, steady: Instant) -> Timestamp {
        self.forget_steps(steady);
        let stepped = self
            .steps
            .iter()
            .fold(0_i64, |sum, (_, step)| sum.saturating_add(*step));
        Timestamp(self.read.0.saturating_sub(stepped))
    }

    /// What is to be noted in the store.
    pub(super) fn seen(&mut self, steady: Instant) -> Seen {
        Seen {
            at: self.now(),
            ahead_ms: self.ahead_ms,
            aged_to: self.without_steps(steady),
        }
    }

    fn forget_steps(&mut self, steady: Instant) {
        self.steps
            .retain(|(at, _)| steady.saturating_duration_since(*at) < STEP_TRUSTED_AFTER);
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
/// A wrong date is noticed within a day, or never.
const STEP_TRUSTED_AFTER: Duration = Duration::from_secs(24 * 3600);
/// More of them count as one.
const STEPS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn seen(at: Timestamp) -> Seen {
        Seen {
            at,
            ahead_ms: 0,
            aged_to: at,
        }
    }

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
        let mut time = SpoolTime::new(Timestamp(0), start, Some(seen(Timestamp(7_200_000))));
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
        let time = SpoolTime::new(Timestamp(5_000), start, Some(seen(Timestamp(65_000))));
        assert_eq!(time.now(), Timestamp(65_000));
        let time = SpoolTime::new(Timestamp(5_000), start, Some(seen(Timestamp(1_000))));
        assert_eq!(time.now(), Timestamp(5_000));
    }

    #[test]
    fn a_step_forward_and_the_time_off_make_nothing_old_for_a_day() {
        let start = Clock.now();
        let day = |days: u64| start + Duration::from_secs(days * 24 * 3600);
        let wall = |days: i64| Timestamp(days * 24 * 3600 * 1000);
        let week = Duration::from_secs(7 * 24 * 3600);
        // Off for ten days.
        let mut time = SpoolTime::new(wall(110), start, Some(seen(wall(100))));
        assert_eq!(time.aged_to(start).before(week), wall(93));
        time.read(wall(111), day(1));
        assert_eq!(time.aged_to(day(1)).before(week), wall(104));
        // A year ahead, and back within the day: nothing was old.
        time.read(wall(112 + 365), day(2));
        assert_eq!(time.aged_to(day(2)).before(week), wall(105));
        time.read(wall(112), day(2));
        assert_eq!(time.aged_to(day(2)).before(week), wall(105));
        // Ahead for good.
        time.read(wall(113 + 30), day(3));
        assert_eq!(time.aged_to(day(3)).before(week), wall(106));
        time.read(wall(114 + 30), day(4));
        assert_eq!(time.aged_to(day(4)).before(week), wall(107 + 30));
    }

    #[test]
    fn a_machine_that_forgets_the_date_grows_old_all_the_same() {
        let start = Clock.now();
        let wall = |days: i64| Timestamp(days * 24 * 3600 * 1000);
        let mut now = wall(20_000);
        // Off for an hour each night, and without a date for the first minute.
        for _ in 0..30 {
            let mut time = SpoolTime::new(wall(0), start, Some(seen(now)));
            now = Timestamp(now.0 + 3_600_000);
            time.read(now, start + Duration::from_secs(60));
            assert_eq!(time.aged_to(start), Timestamp(now.0 - 3_600_000 + 60_000));
        }
    }

    #[test]
    fn a_restart_under_a_wrong_clock_makes_nothing_old() {
        let start = Clock.now();
        let hour = |hours: u64| start + Duration::from_secs(hours * 3600);
        let wall = |days: i64| Timestamp(days * 24 * 3600 * 1000);
        let mut time = SpoolTime::new(wall(100), start, Some(seen(wall(100))));
        time.read(wall(465), hour(1));
        let noted = time.seen(hour(1));
        let mut time = SpoolTime::new(wall(465), start, Some(noted));
        let aged = time.aged_to(start);
        assert!(aged.0 < wall(101).0, "{aged}");
    }

    #[test]
    fn a_late_step_is_not_as_old_as_the_first_of_many() {
        let start = Clock.now();
        let wall = |seconds: i64| Timestamp(seconds * 1000);
        let mut time = SpoolTime::new(wall(0), start, Some(seen(wall(0))));
        for step in 1..=70 {
            time.read(wall(step * 5), start);
        }
        let late = start + Duration::from_secs(23 * 3600);
        time.read(wall(400_000_000), late);
        let next = late + Duration::from_secs(2 * 3600);
        time.read(wall(400_000_000 + 7200), next);
        assert!(time.aged_to(next).0 < wall(200_000).0);
    }

    #[test]
    fn a_short_run_without_a_date_forgets_no_age() {
        let start = Clock.now();
        let wall = |days: i64| Timestamp(days * 24 * 3600 * 1000);
        let mut time = SpoolTime::new(wall(0), start, Some(seen(wall(20_000))));
        let noted = time.seen(start);
        let mut time = SpoolTime::new(wall(0), start, Some(noted));
        time.read(wall(20_001), start);
        assert_eq!(time.aged_to(start), wall(20_000));
    }
}
