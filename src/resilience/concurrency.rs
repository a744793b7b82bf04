//! How many attempts may be under way at once: pure, grows with success and shrinks with trouble.
//!
//! Doubling per round at first, one more per round after the first trouble, half on each further one
//! (as TCP does it, RFC 5681 §3.1). A provider that slows down gets less to do before it has to refuse.

use super::AccountSignal;

/// See the module's documentation.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    max: f64,
    size: f64,
    /// Below this it doubles (RFC 5681 §3.1).
    slow_start_threshold: f64,
    /// Attempts that began before the last cut and have not ended.
    in_flight_at_cut: usize,
}

impl ConcurrencyLimit {
    /// One that grows up to `max`.
    pub fn new(max: usize) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a few hundred at most")]
        let max = max.max(1) as f64;
        Self {
            max,
            size: FIRST.min(max),
            slow_start_threshold: max,
            in_flight_at_cut: 0,
        }
    }

    /// Attempts at once.
    pub fn size(&self) -> usize {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and max"
        )]
        let size = self.size as usize;
        size.max(1)
    }

    /// Takes in the effect of one attempt, with `under_way` others not ended yet.
    pub fn note(&mut self, effect: AccountSignal, under_way: usize) {
        let old_news = self.in_flight_at_cut > 0;
        self.in_flight_at_cut = self.in_flight_at_cut.saturating_sub(1).min(under_way);
        match effect {
            AccountSignal::Ok if self.size < self.slow_start_threshold => self.size += 1.0,
            AccountSignal::Ok => self.size += 1.0 / self.size,
            // One bad moment fails everything under way: it is one reason to slow down.
            _ if old_news => {}
            _ => {
                self.size = (self.size / 2.0).max(1.0);
                self.slow_start_threshold = self.size;
                self.in_flight_at_cut = under_way;
            }
        }
        self.size = self.size.min(self.max);
    }
}

/// Nobody knows yet how fast the provider is.
const FIRST: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_then_halves_once_per_bad_moment_then_creeps() {
        let mut limit = ConcurrencyLimit::new(16);
        assert_eq!(limit.size(), 4);
        for _ in 0..4 {
            limit.note(AccountSignal::Ok, 3);
        }
        assert_eq!(limit.size(), 8);
        for _ in 0..100 {
            limit.note(AccountSignal::Ok, 15);
        }
        assert_eq!(limit.size(), 16, "never over the setting");
        for left in (0..16).rev() {
            limit.note(AccountSignal::Unavailable, left);
        }
        assert_eq!(limit.size(), 8, "sixteen failures of one moment");
        limit.note(AccountSignal::Throttle(None), 0);
        assert_eq!(limit.size(), 4);
        for _ in 0..4 {
            limit.note(AccountSignal::Ok, 3);
        }
        assert_eq!(limit.size(), 4);
        limit.note(AccountSignal::Ok, 3);
        assert_eq!(limit.size(), 5, "one more per round");
    }

    #[test]
    fn it_never_stands_still() {
        let mut limit = ConcurrencyLimit::new(1);
        for _ in 0..10 {
            limit.note(AccountSignal::Unavailable, 0);
            assert_eq!(limit.size(), 1);
        }
    }
}
