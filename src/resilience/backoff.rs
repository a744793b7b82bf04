//! When to try again.

use std::time::Duration;

/// Doubling waits between a first and a longest one.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Before the second attempt.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

impl Backoff {
    /// The wait after attempt number `attempt` (from 1).
    pub fn delay(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }

    /// The same, 20 % more or less; `random` is any number. Messages that failed together must not
    /// come back together.
    pub fn jittered(&self, attempt: u32, random: u32) -> Duration {
        let share = f64::from(random) / f64::from(u32::MAX);
        self.delay(attempt).mul_f64(0.8 + 0.4 * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(15),
        max: Duration::from_secs(1800),
    };

    #[test]
    fn backoff_doubles_up_to_the_ceiling() {
        let waits: Vec<u64> = (1..=9).map(|n| BACKOFF.delay(n).as_secs()).collect();
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1800, 1800]);
        assert_eq!(BACKOFF.delay(u32::MAX).as_secs(), 1800);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        assert_eq!(BACKOFF.jittered(1, 0), Duration::from_secs(12));
        assert_eq!(BACKOFF.jittered(1, u32::MAX), Duration::from_secs(18));
    }
}
