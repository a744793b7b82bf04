//! A circuit breaker for an account: whether it may send now. Pure, fed with what attempts say of the account.
//!
//! *Closed*: mail flows. *Open* until a moment, for one of four causes. When that moment comes it is
//! *half-open*: one attempt goes out alone, and its signal closes the breaker or opens it for longer.
//! Where the key was refused, a call that costs nothing goes ahead of that attempt, every probe
//! interval for as long as it takes.
//!
//! | signal | closed | half-open |
//! | --- | --- | --- |
//! | ok | forgets failures | closes |
//! | unavailable | counts; opens at [`TROUBLES_MAX`] in a row | opens again, twice as long where that was the cause |
//! | key refused, quota, throttle | opens | opens |
//!
//! What attempts report that were under way when it opened says nothing new.

use std::time::{Duration, Instant};

use crate::mail::Diagnostic;

/// What an attempt says about the account as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccountSignal {
    /// The provider answers and knows us.
    Ok,
    /// The provider is out of reach or out of order.
    Unavailable,
    /// The provider refuses our key or address: stop, and tell somebody.
    KeyRefused,
    /// Somebody refuses, and only another call can tell whether it is the key or this one mail.
    Ambiguous,
    /// The account's quota is used up.
    Quota,
    /// We are asked to slow down.
    Throttle(Option<Duration>),
}

impl AccountSignal {
    /// The word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "fine",
            Self::Unavailable => "trouble",
            Self::KeyRefused => "halt",
            Self::Ambiguous => "suspect",
            Self::Quota => "quota",
            Self::Throttle(_) => "throttle",
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: BreakerState,
}

/// How long it stays open.
#[derive(Clone, Copy, Debug)]
pub struct BreakerSettings {
    /// Between probes of a refused key.
    pub probe_interval: Duration,
    /// After troubles, at first; doubles.
    pub trouble_first: Duration,
    /// After troubles, at most.
    pub trouble_max: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum BreakerState {
    Closed {
        /// In a row.
        troubles: u32,
    },
    Open {
        cause: Cause,
        until: Instant,
        /// How many times in a row.
        times: u32,
    },
}

/// Why a breaker is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The key is refused.
    Halted,
    /// The quota is used up.
    Quota,
    /// We were asked to slow down.
    Throttled,
    /// The provider is out of reach or out of order.
    Trouble,
}

impl Cause {
    /// The word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Halted => "halted",
            Self::Quota => "quota",
            Self::Throttled => "throttled",
            Self::Trouble => "trouble",
        }
    }
}

/// What may be under way now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Permit {
    /// As many attempts as the window allows.
    Full,
    /// One attempt, to see.
    One,
    /// A call that costs nothing, to see whether the key works; no mail before [`Breaker::key_works`].
    Probe,
    /// Nothing until then.
    Wait(Instant),
}

/// What the operator should hear about a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The key is refused; next try in so long.
    Halted(Diagnostic, Duration),
    /// Nothing is sent for so long.
    Paused(Cause, Diagnostic, Duration),
    /// Mail flows again.
    Resumed,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: BreakerState::Closed { troubles: 0 },
        }
    }

    /// What may go out now.
    pub fn permit(&self, now: Instant) -> Permit {
        match self.state {
            BreakerState::Closed { .. } => Permit::Full,
            BreakerState::Open { until, .. } if now < until => Permit::Wait(until),
            BreakerState::Open {
                cause: Cause::Halted,
                ..
            } => Permit::Probe,
            BreakerState::Open { .. } => Permit::One,
        }
    }

    /// Whether mail is tried, be it now and then: what keeps it back is not the account's.
    pub fn is_trying(&self) -> bool {
        let BreakerState::Open { cause, .. } = self.state else {
            return true;
        };
        cause == Cause::Trouble
    }

    /// Takes in the effect of one attempt, or of a probe that failed.
    pub fn note(
        &mut self,
        effect: AccountSignal,
        diagnostic: &Diagnostic,
        now: Instant,
    ) -> Option<Notice> {
        let (was, times, troubles) = match self.state {
            BreakerState::Closed { troubles } => (None, 0, troubles),
            // Attempts that were under way when it opened.
            BreakerState::Open { until, .. } if now < until => return None,
            BreakerState::Open { cause, times, .. } => (Some(cause), times, 0),
        };
        let (cause, pause) = match effect {
            AccountSignal::Ok => {
                self.state = BreakerState::Closed { troubles: 0 };
                return was.map(|_| Notice::Resumed);
            }
            AccountSignal::Unavailable if was.is_none() && troubles + 1 < TROUBLES_MAX => {
                self.state = BreakerState::Closed {
                    troubles: troubles + 1,
                };
                return None;
            }
            // A probe that failed for another reason says nothing about the key, quota or pace.
            AccountSignal::Unavailable => match was {
                Some(Cause::Halted) => (Cause::Halted, self.settings.probe_interval),
                Some(cause @ (Cause::Quota | Cause::Throttled)) => (cause, THROTTLE_FIRST),
                Some(Cause::Trouble) | None => (Cause::Trouble, self.trouble_pause(times)),
            },
            AccountSignal::KeyRefused | AccountSignal::Ambiguous => {
                (Cause::Halted, self.settings.probe_interval)
            }
            AccountSignal::Quota => (Cause::Quota, QUOTA_PAUSE),
            AccountSignal::Throttle(wait) => (Cause::Throttled, throttle_pause(wait, times)),
        };
        let told = was == Some(cause) && effect == AccountSignal::Unavailable;
        self.state = BreakerState::Open {
            cause,
            until: now + pause,
            times: times.saturating_add(1),
        };
        match cause {
            _ if told => None,
            Cause::Halted => Some(Notice::Halted(diagnostic.clone(), pause)),
            _ => Some(Notice::Paused(cause, diagnostic.clone(), pause)),
        }
    }

    /// A probe found that the key works: the next thing is one attempt.
    pub fn key_works(&mut self, now: Instant) {
        if let BreakerState::Open {
            cause: cause @ Cause::Halted,
            until,
            ..
        } = &mut self.state
            && *until <= now
        {
            *cause = Cause::Trouble;
        }
    }

    /// The key is another one: a halted account is probed at once.
    pub fn key_changed(&mut self, now: Instant) {
        if let BreakerState::Open {
            cause: Cause::Halted,
            until,
            ..
        } = &mut self.state
        {
            *until = now;
        }
    }

    fn trouble_pause(&self, times: u32) -> Duration {
        let doubled = self
            .settings
            .trouble_first
            .saturating_mul(1 << times.min(8));
        doubled.min(self.settings.trouble_max)
    }
}

/// What the provider asked for, or a minute that doubles each time; within bounds.
fn throttle_pause(wait: Option<Duration>, times: u32) -> Duration {
    let doubled = THROTTLE_FIRST.saturating_mul(1 << times.min(8));
    wait.unwrap_or(doubled).clamp(THROTTLE_FIRST, THROTTLE_MAX)
}

/// Fewer may be one mail's bad luck; more would cost every waiting mail an attempt.
const TROUBLES_MAX: u32 = 5;
/// The vendor shuts callers out for at least a minute (provider-api 4).
const THROTTLE_FIRST: Duration = Duration::from_secs(60);
const THROTTLE_MAX: Duration = Duration::from_secs(15 * 60);
/// Quotas are per hour at their shortest; a probe costs one call.
const QUOTA_PAUSE: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const PROBE: Duration = Duration::from_secs(300);
    const SETTINGS: BreakerSettings = BreakerSettings {
        probe_interval: PROBE,
        trouble_first: Duration::from_secs(1),
        trouble_max: Duration::from_secs(60),
    };

    #[test]
    fn a_refused_key_halts_until_a_probe_and_one_attempt_succeed() {
        let start = Clock.now();
        let why = Diagnostic::new("401");
        let mut breaker = Breaker::new(SETTINGS);
        assert_eq!(breaker.permit(start), Permit::Full);
        assert_eq!(
            breaker.note(AccountSignal::KeyRefused, &why, start),
            Some(Notice::Halted(why.clone(), PROBE))
        );
        for late in [AccountSignal::KeyRefused, AccountSignal::Ok] {
            assert_eq!(breaker.note(late, &why, start), None, "under way before");
        }
        assert_eq!(breaker.permit(start), Permit::Wait(start + PROBE));
        let probe = start + PROBE;
        assert_eq!(breaker.permit(probe), Permit::Probe);
        assert!(
            breaker
                .note(AccountSignal::KeyRefused, &why, probe)
                .is_some()
        );
        let later = probe + PROBE;
        breaker.key_works(later);
        assert_eq!(breaker.permit(later), Permit::One);
        assert_eq!(
            breaker.note(AccountSignal::Ok, &why, later),
            Some(Notice::Resumed)
        );
        assert_eq!(breaker.permit(later), Permit::Full);
    }

    #[test]
    fn throttling_doubles_and_heeds_the_provider_within_bounds() {
        let why = Diagnostic::new("429");
        let mut breaker = Breaker::new(SETTINGS);
        let mut now = Clock.now();
        let mut pauses = Vec::new();
        for wait in [
            None,
            None,
            None,
            None,
            None,
            Some(1),
            Some(100),
            Some(86_400),
        ] {
            let effect = AccountSignal::Throttle(wait.map(Duration::from_secs));
            if let Some(Notice::Paused(_, _, pause)) = breaker.note(effect, &why, now) {
                pauses.push(pause.as_secs());
                now += pause;
            }
        }
        assert_eq!(pauses, [60, 120, 240, 480, 900, 60, 100, 900]);
    }

    #[test]
    fn troubles_in_a_row_open_it_for_longer_and_longer_and_one_success_closes_it() {
        let why = Diagnostic::new("503");
        let mut breaker = Breaker::new(SETTINGS);
        let mut now = Clock.now();
        for _ in 1..TROUBLES_MAX {
            assert_eq!(breaker.note(AccountSignal::Unavailable, &why, now), None);
        }
        breaker.note(AccountSignal::Ok, &why, now);
        for _ in 1..TROUBLES_MAX {
            breaker.note(AccountSignal::Unavailable, &why, now);
            assert_eq!(breaker.permit(now), Permit::Full, "a success in between");
        }
        let mut pauses = Vec::new();
        let mut told = 0;
        for _ in 0..8 {
            told += u32::from(
                breaker
                    .note(AccountSignal::Unavailable, &why, now)
                    .is_some(),
            );
            let Permit::Wait(until) = breaker.permit(now) else {
                panic!("open: {breaker:?}");
            };
            pauses.push((until - now).as_secs());
            now = until;
            assert_eq!(breaker.permit(now), Permit::One);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(told, 1, "the operator hears of it once");
        assert_eq!(
            breaker.note(AccountSignal::Ok, &why, now),
            Some(Notice::Resumed)
        );
    }
}
