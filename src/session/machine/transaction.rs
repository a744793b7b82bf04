//! MAIL, RCPT, DATA, and the content of a message.

use std::time::Instant;

use bytes::BytesMut;

use crate::mail::{Mailbox, ReversePath, SessionEvent, reply};

use super::super::command::Command;
use super::super::data::Decoded;
use super::super::{Output, Question, Received};
use super::{Asked, Session, State};

impl Session {
    pub(super) fn mail(&mut self, reverse_path: ReversePath, size: Option<u64>) {
        if self.facts.helo.is_none() && !self.settings.leniency.mail_without_helo {
            return self.fail(reply::HELO_FIRST);
        }
        if matches!(self.state, State::Mail(_)) {
            if !self.settings.leniency.nested_mail {
                return self.fail(reply::NESTED_MAIL);
            }
            self.state = State::Ready;
        }
        let limit = self.settings.limits.message_octets_max;
        match size {
            Some(size) if size > limit => {
                self.note(SessionEvent::MessageTooBig);
                self.say(&reply::message_too_big(limit, size));
            }
            _ => {
                self.ask(Question::Sender(reverse_path.clone(), size));
                self.state = State::Asked(Asked::Sender(reverse_path));
            }
        }
    }

    pub(super) fn rcpt(&mut self, path: Mailbox) {
        if let State::Mail(transaction) = &mut self.state {
            transaction.rcpts += 1;
            // One that names the same recipients for ever keeps a place for ever.
            let most = self
                .settings
                .limits
                .recipients_max
                .saturating_mul(200)
                .saturating_add(1000);
            if transaction.rcpts > most {
                self.note(SessionEvent::WithoutMail);
                self.say(&reply::TOO_MANY_COMMANDS);
                return self.close();
            }
        }
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Mail(transaction) if transaction.known.contains(&path.key()) => {
                self.state = State::Mail(transaction);
                self.say(&reply::RECIPIENT_OK);
            }
            State::Mail(transaction)
                if transaction.recipients.len() >= self.settings.limits.recipients_max =>
            {
                let limit = self.settings.limits.recipients_max;
                let refusal = reply::too_many_recipients(limit);
                if !std::mem::replace(&mut self.tally.told_of_recipients, true) {
                    self.outbox.push_back(Output::Refused(refusal.clone()));
                }
                self.state = State::Mail(transaction);
                self.say(&refusal);
            }
            State::Mail(transaction) => {
                self.ask(Question::Recipient(path.clone()));
                self.state = State::Asked(Asked::Recipient(transaction, path));
            }
            state => {
                self.state = state;
                self.fail(reply::MAIL_FIRST);
            }
        }
    }

    pub(super) fn data(&mut self, now: Instant) {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Mail(transaction) if !transaction.recipients.is_empty() => {
                if self.is_ahead() {
                    return self.out_of_step();
                }
                self.heard_at = now;
                self.ask(Question::BeginData);
                self.state = State::Asked(Asked::BeginData(transaction));
            }
            state => {
                let refusal = match state {
                    State::Mail(_) => reply::RCPT_FIRST,
                    _ => reply::MAIL_FIRST,
                };
                self.state = state;
                self.tally.data_refused = true;
                self.fail(refusal);
                // DATA ends a group (RFC 2920 §3.1): what is here was sent ahead, and is content.
                let rest = self.inbox.as_slice();
                if !rest.is_empty() && !rest.trim_ascii().eq_ignore_ascii_case(b"QUIT") {
                    self.out_of_step();
                }
            }
        }
    }

    /// Decodes what has arrived of a message; `false` when more is needed.
    pub(super) fn receive(&mut self, now: Instant) -> bool {
        let State::Data(intake) = &mut self.state else {
            return false;
        };
        let limits = &self.settings.limits;
        let mut content = BytesMut::new();
        let decoded = intake.decoder.decode(self.inbox.as_slice(), &mut content);
        let (used, ended) = match decoded {
            Decoded::End(used) => (used, true),
            Decoded::More => (self.inbox.as_slice().len(), false),
        };
        self.inbox.consume(used);
        intake.size += content.len() as u64;
        let size = intake.size;
        if size > limits.message_octets_max && intake.over_since.is_none() {
            intake.over_since = Some(now);
            self.outbox.push_back(Output::Discard);
            self.outbox
                .push_back(Output::Event(SessionEvent::MessageTooBig));
        }
        if intake.over_since.is_none() && !content.is_empty() {
            self.outbox.push_back(Output::Content(content.freeze()));
        }
        let limit = limits.message_octets_max;
        if ended {
            self.end_of_data();
        } else if intake.over_since.is_some() && size > limit.saturating_mul(2) {
            // It would go on for ever: say why and leave.
            self.say(&reply::message_far_too_big(limit, size));
            self.close();
        }
        ended
    }

    fn end_of_data(&mut self) {
        let State::Data(intake) = std::mem::replace(&mut self.state, State::Ready) else {
            return;
        };
        let starttls = self.settings.starttls && self.facts.tls.is_none();
        if !Command::may_follow_message(self.inbox.as_slice(), starttls) {
            self.outbox.push_back(Output::Discard);
            return self.out_of_step();
        }
        self.inbox.shrink();
        if intake.over_since.is_some() {
            let limit = self.settings.limits.message_octets_max;
            return self.say(&reply::message_too_big(limit, intake.size));
        }
        self.ask(Question::EndOfData(Received {
            nul_stripped: intake.decoder.nul_stripped(),
            line_ends_mended: intake.decoder.line_ends_mended(),
            envelope: intake.envelope,
            size: intake.size,
        }));
        self.state = State::Asked(Asked::EndOfData);
    }
}
