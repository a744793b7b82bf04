//! The states of a session and every transition between them.
//!
//! A state owns what belongs to it: a transaction exists only from an accepted MAIL to the end of
//! its data, a decoder only inside DATA. TLS, greeting and identity outlive transactions and are
//! part of the facts.

mod protection;
mod transaction;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::mail::{
    Envelope, Mailbox, Opening, Recipients, Reply, ReversePath, SessionEvent, SessionFacts,
    Verdict, reply,
};

use super::command::Command;
use super::data::DataDecoder;
use super::input::{Framed, Inbox};
use super::sasl::Exchange;
use super::{Answer, Input, Output, Question, Settings};

/// One client connection, from greeting to close.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    facts: SessionFacts,
    state: State,
    inbox: Inbox,
    outbox: VecDeque<Output>,
    tally: Tally,
    heard_at: Instant,
    shutting_down: bool,
}

#[derive(Debug)]
enum State {
    /// Between transactions.
    Ready,
    /// In the middle of AUTH.
    Signing(Exchange),
    /// MAIL was accepted.
    Mail(Transaction),
    /// Content is arriving.
    Data(Box<IncomingMessage>),
    /// A question is open.
    Asked(Asked),
    /// The client was told to start TLS.
    Upgrading,
    /// Nothing follows.
    Closed,
}

/// What an answer will be needed for.
#[derive(Debug)]
enum Asked {
    SignIn,
    Sender(ReversePath),
    Recipient(Transaction, Mailbox),
    BeginData(Transaction),
    EndOfData,
}

#[derive(Debug)]
struct Transaction {
    reverse_path: ReversePath,
    recipients: Vec<Mailbox>,
    known: HashSet<String>,
    /// All that were sent, whatever became of them.
    rcpts: usize,
}

#[derive(Debug)]
struct IncomingMessage {
    envelope: Envelope,
    decoder: DataDecoder,
    size: u64,
    started_at: Instant,
    /// Since when the message has been over the limit.
    over_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Tally {
    errors: u32,
    blank_lines: u32,
    sign_in_failures: u32,
    any_octet: bool,
    /// Whether the operator has heard of too many recipients in this session.
    told_of_recipients: bool,
    /// Whether a DATA was refused since the last that was accepted: its content may follow all the same.
    data_refused: bool,
    without_effect: u32,
    /// Whether a line that is no command may be a name or a password: behind an AUTH, or behind another such line,
    /// which may have been meant as one.
    secret_may_follow: bool,
}

impl Session {
    /// A session that greets at once: some clients type before they read.
    pub fn new(settings: Arc<Settings>, facts: SessionFacts, now: Instant) -> Self {
        let mut session = Self {
            settings,
            facts,
            state: State::Ready,
            inbox: Inbox::default(),
            outbox: VecDeque::new(),
            tally: Tally::default(),
            heard_at: now,
            shutting_down: false,
        };
        session.say(&reply::greeting(&session.settings.hostname));
        session
    }

    /// Changes the state; the consequences wait in [`Self::poll_output`].
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Bytes(bytes) => {
                if !std::mem::replace(&mut self.tally.any_octet, true) && self.facts.tls.is_none() {
                    let event = match Opening::of(bytes) {
                        Opening::Tls | Opening::OldTls => Some(SessionEvent::TlsOnPlainPort),
                        Opening::Sslv2 => Some(SessionEvent::Sslv2Hello),
                        Opening::Proxy => return self.other_protocol(SessionEvent::SpeaksProxy),
                        Opening::Text => None,
                    };
                    if let Some(event) = event {
                        self.note(event);
                        return self.close();
                    }
                }
                if matches!(self.state, State::Data(_) | State::Upgrading) {
                    self.heard_at = now;
                }
                self.inbox.extend(bytes);
            }
            Input::Eof => {
                if let State::Data(_) = self.state {
                    self.outbox.push_back(Output::Discard);
                    self.note(SessionEvent::LostInData);
                }
                return self.close();
            }
            Input::Answer(answer) => self.answered(answer, now),
            Input::TlsStarted(tls) => self.tls_started(tls, now),
            Input::Timeout => self.timed_out(now),
            Input::Shutdown => self.shutting_down = true,
            Input::MakeRoom => {
                if matches!(self.state, State::Ready | State::Signing(_)) {
                    self.note(SessionEvent::MadeRoom);
                    self.say(&reply::TOO_MANY_CONNECTIONS);
                    return self.close();
                }
            }
        }
        self.interpret(now);
    }

    /// The next thing to do; never empty.
    pub fn poll_output(&mut self) -> Output {
        match self.outbox.pop_front() {
            Some(output) => output,
            None if matches!(self.state, State::Closed) => Output::Close,
            None => Output::Timeout(self.deadline()),
        }
    }

    /// What is known about the session.
    pub fn facts(&self) -> &SessionFacts {
        &self.facts
    }

    /// Works through the inbox until more is needed from outside.
    fn interpret(&mut self, now: Instant) {
        loop {
            if self.shutting_down
                && matches!(
                    self.state,
                    State::Ready | State::Mail(_) | State::Signing(_)
                )
            {
                self.say(&reply::CLOSING);
                self.close();
            }
            match &self.state {
                State::Asked(_) | State::Upgrading | State::Closed => return,
                State::Data(_) => {
                    if !self.receive(now) {
                        return;
                    }
                }
                State::Ready | State::Mail(_) | State::Signing(_) => {
                    match self
                        .inbox
                        .next_line(self.settings.limits.auth_line_octets_max)
                    {
                        Framed::Incomplete => return,
                        Framed::TooLong => {
                            self.heard_at = now;
                            self.line_too_long();
                        }
                        Framed::Line(line) => {
                            self.heard_at = now;
                            self.line(&line, now);
                        }
                    }
                }
            }
        }
    }

    fn line(&mut self, line: &[u8], now: Instant) {
        if let State::Signing(_) = self.state {
            if let State::Signing(exchange) = std::mem::replace(&mut self.state, State::Ready) {
                self.sasl(exchange.line(line));
            }
            return;
        }
        // A client that does not wait for replies goes on with its message; nothing in that may be carried out.
        if self.tally.data_refused && !Command::is_unmistakable(line) {
            return self.out_of_step();
        }
        let command = Command::parse(line, &self.settings.leniency);
        if line.len() > self.settings.limits.line_octets_max
            && !matches!(command, Command::Auth { .. })
        {
            return self.line_too_long();
        }
        let mut words = line.split(u8::is_ascii_whitespace);
        self.tally.secret_may_follow |= words.any(|word| {
            let begins = word.get(..4);
            begins.is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH"))
        });
        if self.is_idle(&command) && self.is_one_too_many() {
            return;
        }
        match command {
            Command::Ehlo(name) => self.greeted(name, true),
            Command::Helo(name) => self.greeted(name, false),
            Command::Mail { reverse_path, size } => self.mail(reverse_path, size),
            Command::Rcpt(path) => self.rcpt(path),
            Command::Data => self.data(now),
            Command::Rset => {
                self.state = State::Ready;
                self.say(&reply::OK);
            }
            Command::Noop => self.say(&reply::OK),
            Command::Vrfy => self.say(&reply::VRFY_CANNOT),
            Command::Help => self.say(&reply::HELP),
            Command::Quit => {
                self.say(&reply::BYE);
                self.close();
            }
            Command::StartTls { parameter } => self.starttls(parameter),
            Command::Auth { mechanism, initial } => self.auth(mechanism, initial),
            Command::Bdat => {
                // What follows is content of a command that was never offered; reading it as
                // commands would be smuggling.
                self.fail(reply::NOT_OFFERED);
                self.close();
            }
            Command::Blank => {
                self.tally.blank_lines += 1;
                if self.tally.blank_lines > self.settings.limits.blank_lines_max {
                    self.fail(reply::UNKNOWN_COMMAND);
                }
            }
            Command::Wrong(reply) => self.fail(reply),
            Command::Unusable(reply) => {
                self.outbox.push_back(Output::Refused(reply.clone()));
                self.say(&reply);
            }
            Command::Http => self.other_protocol(SessionEvent::SpeaksHttp),
            Command::Proxy => self.other_protocol(SessionEvent::SpeaksProxy),
            Command::HeaderField => self.out_of_step(),
            Command::Unknown => {
                self.note(SessionEvent::UnknownCommand);
                let word = line.trim_ascii().split(u8::is_ascii_whitespace).next();
                let told = match word.filter(|_| !self.tally.secret_may_follow) {
                    Some(word) => reply::UNKNOWN_COMMAND.quoting(word),
                    None => reply::UNKNOWN_COMMAND,
                };
                self.tally.secret_may_follow = true;
                self.fail(told);
            }
        }
    }

    /// Whether a command brings no message nearer.
    fn is_idle(&self, command: &Command<'_>) -> bool {
        let in_transaction = matches!(self.state, State::Mail(_));
        let limit = self.settings.limits.message_octets_max;
        match command {
            Command::Ehlo(_) | Command::Helo(_) | Command::Rset => true,
            Command::Noop | Command::Vrfy | Command::Help => true,
            Command::Mail { size, .. } => in_transaction || size.is_some_and(|size| size > limit),
            // A list with many recipients that nobody can reach is honest.
            Command::Unusable(_) => !in_transaction,
            _ => false,
        }
    }

    /// Counts such a command; where it was one too many, the session is over.
    fn is_one_too_many(&mut self) -> bool {
        self.tally.without_effect += 1;
        let over = self.tally.without_effect > self.settings.limits.idle_commands_max;
        if over {
            self.note(SessionEvent::WithoutMail);
            self.say(&reply::TOO_MANY_COMMANDS);
            self.close();
        }
        over
    }

    /// Whoever it is, nothing that follows may be taken for a command of theirs.
    fn other_protocol(&mut self, event: SessionEvent) {
        self.note(event);
        self.say(&reply::UNKNOWN_COMMAND);
        self.close();
    }

    fn greeted(&mut self, name: String, extended: bool) {
        // Resets the transaction; TLS and identity stay (clients repeat EHLO after AUTH).
        self.state = State::Ready;
        self.facts.helo = Some(name);
        self.facts.extended = extended;
        if !extended {
            return self.say(&reply::helo(&self.settings.hostname));
        }
        let mut extensions = vec![
            "PIPELINING".to_owned(),
            format!("SIZE {}", self.settings.limits.message_octets_max),
            "8BITMIME".to_owned(),
        ];
        let in_clear = self.facts.tls.is_none();
        if self.settings.starttls && in_clear {
            extensions.push("STARTTLS".to_owned());
        }
        if self.settings.auth_offered && (!in_clear || self.settings.auth_in_clear) {
            extensions.push("AUTH LOGIN PLAIN".to_owned());
        }
        extensions.push("ENHANCEDSTATUSCODES".to_owned());
        extensions.push("HELP".to_owned());
        self.say(&reply::ehlo(&self.settings.hostname, &extensions));
    }

    fn answered(&mut self, answer: Answer, now: Instant) {
        self.heard_at = now;
        let State::Asked(asked) = std::mem::replace(&mut self.state, State::Ready) else {
            // An answer to nothing: the client has gone meanwhile.
            return;
        };
        match (asked, answer) {
            (Asked::SignIn, Answer::SignIn(Ok(identity))) => {
                self.facts.identity = identity;
                self.say(&reply::SIGNED_IN);
            }
            (Asked::SignIn, Answer::SignIn(Err(refusal))) => {
                self.say(&refusal);
                self.tally.sign_in_failures += 1;
                if self.tally.sign_in_failures >= self.settings.limits.sign_in_failures_max {
                    self.note(SessionEvent::TooManyErrors);
                    self.say(&reply::TOO_MANY_ERRORS);
                    self.close();
                }
            }
            (Asked::Sender(reverse_path), Answer::Verdict(verdict)) => {
                if self.accepts(verdict, Some(&reply::SENDER_OK)) {
                    self.state = State::Mail(Transaction {
                        reverse_path,
                        recipients: Vec::new(),
                        known: HashSet::new(),
                        rcpts: 0,
                    });
                } else if !matches!(self.state, State::Closed) {
                    self.is_one_too_many();
                }
            }
            (Asked::Recipient(mut transaction, path), Answer::Verdict(verdict)) => {
                if self.accepts(verdict, Some(&reply::RECIPIENT_OK)) {
                    transaction.known.insert(path.key());
                    transaction.recipients.push(path);
                }
                if !matches!(self.state, State::Closed) {
                    self.state = State::Mail(transaction);
                }
            }
            (Asked::BeginData(transaction), Answer::Verdict(verdict)) => {
                let Some(recipients) = Recipients::new(transaction.recipients) else {
                    return self.fail(reply::RCPT_FIRST);
                };
                if self.is_ahead() {
                    return self.out_of_step();
                }
                if self.accepts(verdict, Some(&reply::START_MAIL_INPUT)) {
                    self.tally.data_refused = false;
                    self.state = State::Data(Box::new(IncomingMessage {
                        envelope: Envelope {
                            reverse_path: transaction.reverse_path,
                            recipients,
                        },
                        decoder: DataDecoder::default(),
                        size: 0,
                        started_at: now,
                        over_since: None,
                    }));
                } else {
                    self.tally.data_refused = true;
                    if !self.inbox.as_slice().is_empty() {
                        self.out_of_step();
                    }
                }
            }
            (Asked::EndOfData, Answer::Settled(reply)) => {
                if reply.is_positive() {
                    self.tally.without_effect = 0;
                }
                self.say(&reply);
            }
            (_, _) => {
                debug_assert!(false, "an answer of the wrong kind");
                self.say(&reply::CLOSING);
                self.close();
            }
        }
    }

    fn accepts(&mut self, verdict: Verdict, positive: Option<&Reply>) -> bool {
        match verdict {
            Verdict::Accept => {
                if let Some(reply) = positive {
                    self.say(reply);
                }
                true
            }
            Verdict::Refuse(reply) => {
                self.say(&reply);
                false
            }
        }
    }

    fn timed_out(&mut self, now: Instant) {
        if now < self.deadline() {
            return;
        }
        let limits = &self.settings.limits;
        let (event, reply) = match &self.state {
            State::Closed | State::Asked(_) => return,
            State::Data(intake) if intake.over_since.is_some() => (
                SessionEvent::MessageTooBig,
                reply::message_far_too_big(limits.message_octets_max, intake.size),
            ),
            State::Data(_) if now < self.heard_at + limits.data_idle_max => {
                (SessionEvent::TooSlow, reply::TOO_SLOW)
            }
            _ => (SessionEvent::Idle, reply::IDLE),
        };
        if let State::Data(_) = self.state {
            self.outbox.push_back(Output::Discard);
        }
        self.note(event);
        self.say(&reply);
        self.close();
    }

    fn deadline(&self) -> Instant {
        let limits = &self.settings.limits;
        match &self.state {
            State::Data(intake) => {
                let idle = self.heard_at + limits.data_idle_max;
                // The average since the start must reach the minimum rate once the grace is over.
                let earned =
                    std::time::Duration::from_secs(intake.size / limits.data_rate_min.max(1));
                let slow = intake.started_at + limits.data_idle_max + earned;
                let drained = intake.over_since.map(|since| since + limits.drain_max);
                idle.min(slow).min(drained.unwrap_or(idle))
            }
            _ => self.heard_at + limits.command_idle_max,
        }
    }

    fn line_too_long(&mut self) {
        // Whatever it was: it may have been an AUTH.
        self.tally.secret_may_follow = true;
        if self.tally.data_refused {
            return self.out_of_step();
        }
        self.note(SessionEvent::LineTooLong);
        if let State::Signing(_) = self.state {
            self.state = State::Ready;
        }
        self.fail(reply::LINE_TOO_LONG);
    }

    /// Whether content came before it was asked for, where that is not tolerated.
    fn is_ahead(&self) -> bool {
        // Behind a refusal it may be a dialogue that stands in the refused content.
        let tolerated = self.settings.leniency.data_ahead && !self.tally.data_refused;
        !self.inbox.as_slice().is_empty() && !tolerated
    }

    /// Input came where none could be valid: take nothing, say so, leave.
    fn out_of_step(&mut self) {
        self.note(SessionEvent::NotSynchronized);
        self.say(&reply::NOT_SYNCHRONIZED);
        self.close();
    }

    /// Refuses a command and counts it as an error of the client.
    fn fail(&mut self, refusal: Reply) {
        self.tally.errors += 1;
        if self.tally.errors > self.settings.limits.errors_max {
            self.note(SessionEvent::TooManyErrors);
            self.say(&reply::TOO_MANY_ERRORS);
            self.close();
        } else {
            self.outbox.push_back(Output::Refused(refusal.clone()));
            self.say(&refusal);
        }
    }

    fn say(&mut self, reply: &Reply) {
        // Replies of one group go out in one piece (RFC 2920 §3.2).
        if let Some(Output::Transmit(bytes)) = self.outbox.back_mut() {
            return reply.write_to(bytes);
        }
        let mut bytes = Vec::with_capacity(64);
        reply.write_to(&mut bytes);
        self.outbox.push_back(Output::Transmit(bytes));
    }

    fn ask(&mut self, question: Question) {
        self.outbox.push_back(Output::Ask(question));
    }

    fn note(&mut self, event: SessionEvent) {
        self.outbox.push_back(Output::Event(event));
    }

    fn close(&mut self) {
        self.inbox.discard();
        self.state = State::Closed;
    }
}
