//! Where a dispatch stands, and every way in which that changes: pure, so that all stores decide alike.
//!
//! A store reads a [`Standing`], lets one of the methods below change it, and writes it back together with the
//! event that tells of the change, in one transaction. `mod.rs` has the table of states.
//!
//! # Invariants
//! - What is in doubt stays in doubt until the provider's records or a refusal that is known settle it: a repeat
//!   that is deferred does not make the first copy's fate known.
//! - An answer that comes after the lease has expired is still the answer of its attempt: it settles the doubt that
//!   the expiry made, unless another attempt has begun.

use std::time::Duration;

use crate::clock::Timestamp;

use super::record::{Attempt, Finding, OperatorAction, Settlement, State, Transition};
use super::store::SpoolError;

/// How long a dispatch has been tried in vain.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Trying {
    /// The time spent so far.
    pub spent: Duration,
    /// What the forwarder's own count of time said at the last failure; `None` where time since then does not count,
    /// because the dispatch was held.
    pub mark: Option<TryingMark>,
}

/// A moment on one forwarder's count of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TryingMark {
    /// Which forwarder: another one's marks say nothing.
    pub run: i64,
    /// What its count said.
    pub at: Duration,
}

/// Everything about a dispatch that changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub(super) state: State,
    pub(super) due_at: Option<Timestamp>,
    pub(super) attempts: u32,
    pub(super) possibly_duplicate: bool,
    /// How often the provider was asked about the doubt and did not know the mail.
    pub(super) looked_up: u32,
    /// The state before an operator, or the gateway, held it.
    pub(super) held_from: Option<State>,
    /// When the newest attempt began.
    pub(super) attempted_at: Option<Timestamp>,
    /// When the first attempt began whose outcome is not known.
    pub(super) doubt_since: Option<Timestamp>,
    /// Whether an operator wants it held when the attempt under way ends.
    pub(super) hold_next: bool,
    /// Whether the provider said that it took the mail for some recipients and refused it for others.
    pub(super) partly: bool,
    pub(super) trying: Trying,
}

impl Standing {
    /// Due at once, never attempted.
    pub(super) fn new(due_at: Timestamp) -> Self {
        Self {
            state: State::Queued,
            due_at: Some(due_at),
            attempts: 0,
            possibly_duplicate: false,
            looked_up: 0,
            held_from: None,
            attempted_at: None,
            doubt_since: None,
            hold_next: false,
            partly: false,
            trying: Trying::default(),
        }
    }

    /// From queued or in doubt to in flight.
    pub(super) fn begin(
        &mut self,
        attempt: &Attempt,
        expires_at: Timestamp,
    ) -> Result<(), SpoolError> {
        // Somebody else has attempted it since it was leased.
        let expected = self.attempts + 1 == attempt.number;
        if !expected || !self.is_waiting() {
            return Err(SpoolError::Stale);
        }
        self.possibly_duplicate |= self.state == State::InDoubt;
        self.state = State::InFlight;
        self.due_at = Some(expires_at);
        self.attempts = attempt.number;
        // Never two at one moment: that would make them one.
        let behind = self
            .attempted_at
            .map(|at| at.after(Duration::from_millis(1)));
        self.attempted_at = behind.max(Some(attempt.started_at));
        self.looked_up = 0;
        self.partly &= self.doubt_since.is_some();
        Ok(())
    }

    /// From in flight to wherever the transition leads; what waits then is due at `due_at`.
    pub(super) fn settle(
        &mut self,
        attempt: &Attempt,
        settlement: &Settlement,
        due_at: Option<Timestamp>,
    ) -> Result<(), SpoolError> {
        let answered = match self.state {
            State::InFlight | State::InDoubt => true,
            // Held while it was in doubt: what settles it settles it.
            State::Held => {
                self.held_from == Some(State::InDoubt) && settlement.transition.state().is_settled()
            }
            _ => false,
        };
        if !answered || self.attempts != attempt.number {
            return Err(SpoolError::Stale);
        }
        if self.state == State::InDoubt && self.doubt_since == self.attempted_at {
            // The doubt was about this attempt, and here is its answer.
            self.doubt_since = None;
        }
        let settles = settlement.transition.state().is_settled();
        self.possibly_duplicate |= settlement.unsure && !settles;
        self.trying = settlement.trying.unwrap_or(self.trying);
        let transition = &settlement.transition;
        self.partly = settlement.partly || (self.partly && self.doubt_since.is_some());
        if matches!(transition, Transition::InDoubt(..)) {
            self.doubt_since = self.doubt_since.or(self.attempted_at);
        }
        self.state = match transition.state() {
            State::Queued if self.doubt_since.is_some() => State::InDoubt,
            state => state,
        };
        self.due_at = due_at;
        if self.hold_next && self.is_waiting() {
            self.hold();
        }
        self.hold_next = false;
        Ok(())
    }

    /// From in doubt to wherever the finding leads; what waits then is due at `due_at`.
    pub(super) fn resolve(
        &mut self,
        finding: &Finding,
        due_at: Option<Timestamp>,
    ) -> Result<(), SpoolError> {
        if self.state != State::InDoubt {
            return Err(SpoolError::Stale);
        }
        self.due_at = due_at;
        self.state = match finding {
            Finding::Known(_) | Finding::KnownInPart(..) => State::Accepted,
            Finding::Refused(_) | Finding::GaveUp(_) => State::Bounced,
            Finding::RefusedForNow(..) if self.doubt_since == self.attempted_at => {
                self.doubt_since = None;
                State::Queued
            }
            // The newest attempt's fate may be known; an older one's is not.
            Finding::RefusedForNow(..) | Finding::NotKnown(_) | Finding::NotAsked(..) => {
                State::InDoubt
            }
        };
        let looked = matches!(finding, Finding::NotKnown(_) | Finding::RefusedForNow(..));
        self.looked_up += u32::from(looked);
        Ok(())
    }

    /// Carries out an operator's order; returns whether it applies.
    pub(super) fn order(&mut self, order: OperatorAction, at: Timestamp) -> bool {
        if order == OperatorAction::Hold && self.state == State::InFlight && !self.hold_next {
            self.hold_next = true;
            return true;
        }
        if order == OperatorAction::Release && self.state == State::InFlight && self.hold_next {
            self.hold_next = false;
            return true;
        }
        if !order.applies_to(self.state) {
            return false;
        }
        let (was, state) = (self.state, order.leads_to(self.state));
        if state == State::Held {
            self.hold();
            return true;
        }
        self.possibly_duplicate |=
            order == OperatorAction::Release && self.held_from == Some(State::InDoubt);
        self.held_from = None;
        self.state = state;
        self.due_at = matches!(state, State::Queued | State::InDoubt).then_some(at);
        if was == State::Held {
            self.trying.mark = None;
        }
        true
    }

    /// From queued or in doubt to held.
    pub(super) fn leave_to_operator(&mut self) -> Result<(), SpoolError> {
        if !self.is_waiting() {
            return Err(SpoolError::Stale);
        }
        self.hold();
        Ok(())
    }

    /// Nobody will settle the attempt under way any more: to in doubt. Returns whether there was one.
    pub(super) fn interrupt(&mut self, confirm_at: Timestamp) -> bool {
        if self.state != State::InFlight {
            return false;
        }
        self.state = State::InDoubt;
        self.due_at = Some(confirm_at);
        self.doubt_since = self.doubt_since.or(self.attempted_at);
        if self.hold_next {
            self.hold();
        }
        self.hold_next = false;
        true
    }

    fn hold(&mut self) {
        self.held_from = Some(self.state);
        self.state = State::Held;
        self.due_at = None;
        self.trying.mark = None;
    }

    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Queued | State::InDoubt)
    }
}
