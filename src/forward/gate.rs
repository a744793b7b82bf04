//! Whether an account may send now: pure, fed with the effects of attempts.
//!
//! *Flowing*, or *shut* until a moment. When that moment comes one attempt goes out alone; its effect
//! opens the gate or shuts it for longer. A halted account is tried every probe interval for as long
//! as it takes.

use std::time::{Duration, Instant};

use crate::mail::Diagnostic;

use super::classify::AccountEffect;

/// See the module's documentation.
#[derive(Debug)]
pub struct Gate {
    probe_interval: Duration,
    state: GateState,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum GateState {
    Flowing,
    Shut {
        until: Instant,
        /// How many times in a row.
        times: u32,
        halted: bool,
    },
}

/// How many attempts may be under way now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Permit {
    /// As many as the settings allow.
    Full,
    /// One, to see.
    One,
    /// None until then.
    Wait(Instant),
}

/// What the operator should hear about a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The key is refused; next try in so long.
    Halted(Diagnostic, Duration),
    /// The provider asks for a pause of so long.
    Paused(Diagnostic, Duration),
    /// Mail flows again.
    Resumed,
}

impl Gate {
    /// A gate that stands open.
    pub fn new(probe_interval: Duration) -> Self {
        Self {
            probe_interval,
            state: GateState::Flowing,
        }
    }

    /// How much may go out now.
    pub fn permit(&self, now: Instant) -> Permit {
        match self.state {
            GateState::Flowing => Permit::Full,
            GateState::Shut { until, .. } if now < until => Permit::Wait(until),
            GateState::Shut { .. } => Permit::One,
        }
    }

    /// Takes in the effect of one attempt.
    pub fn note(
        &mut self,
        effect: AccountEffect,
        diagnostic: &Diagnostic,
        now: Instant,
    ) -> Option<Notice> {
        let (times, was_open_until) = match self.state {
            GateState::Flowing => (0, None),
            GateState::Shut { until, times, .. } => (times, Some(until)),
        };
        // Attempts that were under way when the gate shut say nothing new.
        let late = was_open_until.is_some_and(|until| now < until);
        let (pause, halted) = match effect {
            AccountEffect::Fine if was_open_until.is_none() || late => return None,
            AccountEffect::Fine => {
                self.state = GateState::Flowing;
                return Some(Notice::Resumed);
            }
            AccountEffect::Trouble => {
                // A probe that failed for another reason says nothing about this one.
                if let GateState::Shut { until, halted, .. } = &mut self.state
                    && !late
                {
                    let pause = if *halted {
                        self.probe_interval
                    } else {
                        THROTTLE_FIRST
                    };
                    *until = now + pause;
                }
                return None;
            }
            _ if late => return None,
            AccountEffect::Halt => (self.probe_interval, true),
            AccountEffect::Quota => (QUOTA_PAUSE, false),
            AccountEffect::Throttle(wait) => (throttle_pause(wait, times), false),
        };
        self.state = GateState::Shut {
            until: now + pause,
            times: times + 1,
            halted,
        };
        Some(if halted {
            Notice::Halted(diagnostic.clone(), pause)
        } else {
            Notice::Paused(diagnostic.clone(), pause)
        })
    }

    /// Whether the key is refused.
    pub fn is_halted(&self) -> bool {
        matches!(self.state, GateState::Shut { halted: true, .. })
    }
}

/// What the provider asked for, or a minute that doubles each time; within bounds.
pub(super) fn throttle_pause(wait: Option<Duration>, times: u32) -> Duration {
    let doubled = THROTTLE_FIRST.saturating_mul(1 << times.min(8));
    wait.unwrap_or(doubled).clamp(THROTTLE_FIRST, THROTTLE_MAX)
}

/// The vendor shuts callers out for at least a minute (NOTES section 4).
const THROTTLE_FIRST: Duration = Duration::from_secs(60);
const THROTTLE_MAX: Duration = Duration::from_secs(15 * 60);
/// Quotas are per hour at their shortest; a probe costs one call.
pub(super) const QUOTA_PAUSE: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_refused_key_halts_until_a_probe_succeeds() {
        let start = Clock.now();
        let why = Diagnostic::new("401");
        let mut gate = Gate::new(Duration::from_secs(300));
        assert_eq!(gate.permit(start), Permit::Full);
        assert_eq!(
            gate.note(AccountEffect::Halt, &why, start),
            Some(Notice::Halted(why.clone(), Duration::from_secs(300)))
        );
        assert_eq!(
            gate.note(AccountEffect::Halt, &why, start),
            None,
            "told once"
        );
        assert_eq!(
            gate.note(AccountEffect::Fine, &why, start),
            None,
            "late answers"
        );
        let probe = start + Duration::from_secs(300);
        assert_eq!(gate.permit(start), Permit::Wait(probe));
        assert_eq!(gate.permit(probe), Permit::One);
        assert!(gate.note(AccountEffect::Halt, &why, probe).is_some());
        let later = probe + Duration::from_secs(300);
        assert_eq!(
            gate.note(AccountEffect::Fine, &why, later),
            Some(Notice::Resumed)
        );
        assert_eq!(gate.permit(later), Permit::Full);
    }

    #[test]
    fn throttling_doubles_and_heeds_the_provider_within_bounds() {
        let why = Diagnostic::new("429");
        let mut gate = Gate::new(Duration::from_secs(300));
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
            let effect = AccountEffect::Throttle(wait.map(Duration::from_secs));
            if let Some(Notice::Paused(_, pause)) = gate.note(effect, &why, now) {
                pauses.push(pause.as_secs());
                now += pause;
            }
        }
        assert_eq!(pauses, [60, 120, 240, 480, 900, 60, 100, 900]);
    }
}
