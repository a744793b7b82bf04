//! STARTTLS and AUTH: what protects a session and says whose it is.

use std::time::Instant;

use crate::mail::{SessionEvent, TlsFacts, reply};

use super::super::sasl::{Exchange, Step};
use super::super::{Output, Question};
use super::{Asked, Session, State};

impl Session {
    pub(super) fn starttls(&mut self, parameter: bool) {
        if parameter {
            self.fail(reply::STARTTLS_PARAMETER);
        } else if self.facts.tls.is_some() {
            self.fail(reply::TLS_ALREADY);
        } else if !self.settings.starttls {
            self.fail(reply::NOT_OFFERED);
        } else {
            self.say(&reply::READY_FOR_TLS);
            // Whatever came in clear behind STARTTLS may be an attacker's (RFC 3207 §4.2).
            if self.inbox.discard() {
                self.note(SessionEvent::PlaintextDiscarded);
            }
            self.outbox.push_back(Output::StartTls);
            self.state = State::Upgrading;
        }
    }

    pub(super) fn tls_started(&mut self, tls: TlsFacts, now: Instant) {
        // Knowledge from the clear part is void (RFC 3207 §4.2).
        self.inbox.discard();
        self.facts.tls = Some(tls);
        self.facts.helo = None;
        self.facts.extended = false;
        self.facts.identity = None;
        self.heard_at = now;
        self.state = State::Ready;
    }

    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&[u8]>) {
        if self.facts.helo.is_none() && !self.settings.leniency.mail_without_helo {
            // As with MAIL: some go on behind STARTTLS as if nothing had happened.
            self.fail(reply::HELO_BEFORE_AUTH);
        } else if self.facts.identity.is_some() {
            self.fail(reply::SIGNED_IN_ALREADY);
        } else if !matches!(self.state, State::Ready) {
            self.fail(reply::AUTH_IN_TRANSACTION);
        } else if self.facts.tls.is_none() && !self.settings.auth_in_clear {
            self.note(SessionEvent::SecretInClear);
            self.fail(reply::AUTH_NEEDS_TLS);
        } else {
            self.sasl(Exchange::start(mechanism, initial));
        }
    }

    pub(super) fn sasl(&mut self, step: Step) {
        match step {
            Step::Challenge(prompt, exchange) => {
                self.say(&prompt);
                self.state = State::Signing(exchange);
            }
            Step::SignIn(sign_in) => {
                self.ask(Question::SignIn(sign_in));
                self.state = State::Asked(Asked::SignIn);
            }
            Step::Failed(refusal) => self.fail(refusal),
        }
    }
}
