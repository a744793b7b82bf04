//! How many attempts may be under way at once: pure, grows with success and shrinks with trouble.
//!
//! Doubling per round at first, one more per round after the first trouble, half on each further one
//! (as TCP does it, RFC 5681 §3.1). A provider that slows down gets less to do before it has to refuse.

use super::classify::AccountSignal;

/// See the module's documentation.
#[derive(Debug)]
pub struct Window {
    max: f64,
    size: f64,
    /// Below this it doubles.
    cautious_from: f64,
    /// Effects of attempts that began before the last cut, still to come.
    from_before: usize,
}

impl Window {
    /// One that grows up to `max`.
    pub fn new(max: usize) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a few hundred at most")]
        let max = max.max(1) as f64;
        Self {
            max,
            size: FIRST.min(max),
            cautious_from: max,
            from_before: 0,
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
        let old_news = self.from_before > 0;
        self.from_before = self.from_before.saturating_sub(1).min(under_way);
        match effect {
            AccountSignal::Ok if self.size < self.cautious_from => self.size += 1.0,
            AccountSignal::Ok => self.size += 1.0 / self.size,
            // One bad moment fails everything under way: it is one reason to slow down.
            _ if old_news => {}
            _ => {
                self.size = (self.size / 2.0).max(1.0);
                self.cautious_from = self.size;
                self.from_before = under_way;
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
        let mut window = Window::new(16);
        assert_eq!(window.size(), 4);
        for _ in 0..4 {
            window.note(AccountSignal::Ok, 3);
        }
        assert_eq!(window.size(), 8);
        for _ in 0..100 {
            window.note(AccountSignal::Ok, 15);
        }
        assert_eq!(window.size(), 16, "never over the setting");
        for left in (0..16).rev() {
            window.note(AccountSignal::Unavailable, left);
        }
        assert_eq!(window.size(), 8, "sixteen failures of one moment");
        window.note(AccountSignal::Throttle(None), 0);
        assert_eq!(window.size(), 4);
        for _ in 0..4 {
            window.note(AccountSignal::Ok, 3);
        }
        assert_eq!(window.size(), 4);
        window.note(AccountSignal::Ok, 3);
        assert_eq!(window.size(), 5, "one more per round");
    }

    #[test]
    fn it_never_stands_still() {
        let mut window = Window::new(1);
        for _ in 0..10 {
            window.note(AccountSignal::Unavailable, 0);
            assert_eq!(window.size(), 1);
        }
    }
}
