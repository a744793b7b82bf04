//! Rate limits: how many mails of an SMTP user, and how many calls, in a period. Pure.
//!
//! A limit of the provider's (so many mails in a period) counts mails, whoever of a user's devices they come from.
//! Counted is in sixtieths of the period, the running one included, so that no window of the period's length ever
//! sees more mails than the limit; what is over it waits in the spool.
//!
//! provider-api 9

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::rules::{LimitOwner, RateLimit};

/// See the module's documentation. What was sent before a restart is forgotten.
#[derive(Debug, Default)]
pub struct RateLimiter {
    owners: HashMap<LimitOwner, SlidingWindow>,
    begun: Option<Instant>,
}

#[derive(Debug)]
struct SlidingWindow {
    limit: RateLimit,
    /// The number of a sixtieth, and mails in it.
    sent: VecDeque<(u64, u32)>,
}

impl RateLimiter {
    /// When the next mail may go; `None`: now, and it is counted.
    pub fn take(&mut self, owner: LimitOwner, limit: RateLimit, now: Instant) -> Option<Instant> {
        let begun = *self.begun.get_or_insert(now);
        let slot_time = slot_time(limit);
        let elapsed = now.saturating_duration_since(begun);
        let slot = u64::try_from(elapsed.as_nanos() / slot_time.as_nanos()).unwrap_or(u64::MAX);
        let window = self.owners.entry(owner).or_insert(SlidingWindow {
            limit,
            sent: VecDeque::new(),
        });
        if window.limit != limit {
            // Slots of another length mean nothing here: what was sent counts as sent just now.
            let sent = window.sent.iter().map(|(_, mails)| mails).sum();
            *window = SlidingWindow {
                limit,
                sent: [(slot, sent)].into(),
            };
        }
        while window.sent.front().is_some_and(|(of, _)| of + SLOTS < slot) {
            window.sent.pop_front();
        }
        let sent: u32 = window.sent.iter().map(|(_, mails)| *mails).sum();
        if sent >= limit.mails {
            let oldest = window.sent.front().map_or(slot, |(of, _)| *of);
            let frees = u32::try_from(oldest + SLOTS + 1).unwrap_or(u32::MAX);
            return Some(begun + slot_time.saturating_mul(frees));
        }
        match window.sent.back_mut() {
            Some((of, mails)) if *of == slot => *mails += 1,
            _ => window.sent.push_back((slot, 1)),
        }
        None
    }
    /// The last mail that was counted has not left.
    pub fn give_back(&mut self, owner: &LimitOwner) {
        let Some(window) = self.owners.get_mut(owner) else {
            return;
        };
        if let Some((_, mails)) = window.sent.back_mut() {
            *mails -= 1;
            if *mails == 0 {
                window.sent.pop_back();
            }
        }
    }
}

fn slot_time(limit: RateLimit) -> Duration {
    (limit.period / 60).max(Duration::from_millis(1))
}

/// Complete ones that count beside the running one.
const SLOTS: u64 = 60;

/// A limit of so many in a period that begins with the first; what is over it waits for the next period.
#[derive(Clone, Copy, Debug)]
pub struct FixedWindow {
    most: u32,
    period: Duration,
    began: Option<Instant>,
    used: u32,
}

impl FixedWindow {
    /// Nothing of it is used.
    pub const fn new(most: u32, period: Duration) -> Self {
        Self {
            most,
            period,
            began: None,
            used: 0,
        }
    }

    /// Whether once more is allowed; then it is used.
    pub fn take(&mut self, now: Instant) -> bool {
        let runs = |began: Instant| now.saturating_duration_since(began) < self.period;
        if !self.began.is_some_and(runs) {
            self.began = Some(now);
            self.used = 0;
        }
        let allowed = self.used < self.most;
        self.used += u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn owner(name: &str) -> LimitOwner {
        LimitOwner::User(name.to_owned())
    }

    #[test]
    fn no_window_of_the_period_sees_more_than_the_limit_and_nobody_starves() {
        let limit = RateLimit {
            mails: 7,
            period: Duration::from_secs(60),
        };
        let start = Clock.now();
        let mut limiter = RateLimiter::default();
        let mut sent = Vec::new();
        let mut now = start;
        while now < start + Duration::from_secs(600) {
            match limiter.take(owner("a"), limit, now) {
                None => sent.push(now),
                Some(until) => {
                    assert!(until > now);
                    now = until;
                }
            }
        }
        for (index, first) in sent.iter().enumerate() {
            let within = sent[index..]
                .iter()
                .take_while(|at| **at - *first < limit.period);
            assert!(within.count() <= 7);
        }
        assert!(sent.len() >= 7 * 9, "{} in ten minutes", sent.len());
    }

    #[test]
    fn each_user_has_its_own_and_a_changed_limit_counts_what_was_sent() {
        let limit = |mails, seconds| RateLimit {
            mails,
            period: Duration::from_secs(seconds),
        };
        let now = Clock.now();
        let mut limiter = RateLimiter::default();
        assert_eq!(limiter.take(owner("a"), limit(1, 60), now), None);
        assert!(limiter.take(owner("a"), limit(1, 60), now).is_some());
        assert_eq!(limiter.take(owner("b"), limit(1, 60), now), None);
        assert_eq!(limiter.take(owner("a"), limit(2, 3600), now), None);
        limiter.give_back(&owner("a"));
        assert_eq!(
            limiter.take(owner("a"), limit(2, 3600), now),
            None,
            "it had not left"
        );
        let until = limiter.take(owner("a"), limit(2, 3600), now);
        let wait = until.map(|until| until - now);
        assert!(
            wait.is_some_and(|wait| wait >= Duration::from_secs(3600)),
            "{wait:?}"
        );
    }

    #[test]
    fn a_fixed_window_is_used_up_and_comes_back_with_the_next_period() {
        let mut window = FixedWindow::new(2, Duration::from_secs(60));
        let start = Clock.now();
        let at = |second: u64| start + Duration::from_secs(second);
        let taken = [0, 30, 59, 60, 61, 119].map(|second| window.take(at(second)));
        assert_eq!(taken, [true, true, false, true, true, false]);
    }
}
