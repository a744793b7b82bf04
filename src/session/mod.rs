//! SMTP as a state machine without a socket, a clock or a runtime.
//!
//! [`Session::handle_input`] changes the state once; [`Session::poll_output`] is then drained until
//! it says `Timeout`. While a question is open, input is kept but not interpreted: that is what makes
//! pipelining right. The driver must not feed more bytes while it owes an answer, which bounds what
//! is kept to one read.
//!
//! # Invariants
//! - A message ends only at `<CRLF>.<CRLF>`; nothing that looks similar ends it (no smuggling).
//! - Octets that arrived in clear behind STARTTLS are never interpreted.
//! - A transaction has a reverse-path; a message has at least one accepted recipient.
//!
//! RFC 5321, RFC 1870 (SIZE), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 4954 (AUTH)

mod command;
mod data;
mod input;
mod machine;
mod path;
mod sasl;

pub use data::{DataDecoder, Decoded};
pub use machine::Session;
pub use path::{Parameter, parse_path};

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::mail::{
    Envelope, Identity, Mailbox, Reply, ReversePath, SessionEvent, SignIn, TlsFacts, Verdict,
};

/// What a session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the client.
    Bytes(&'a [u8]),
    /// The client will not send any more.
    Eof,
    /// The answer to the open question.
    Answer(Answer),
    /// The handshake after [`Output::StartTls`] succeeded.
    TlsStarted(TlsFacts),
    /// The time that [`Output::Timeout`] named has come.
    Timeout,
    /// The gateway wants to stop: finish a message under way, then close.
    Shutdown,
    /// Somebody else needs the place: close, unless a transaction is under way.
    MakeRoom,
}

/// What a session wants done, in this order.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send these octets.
    Transmit(Vec<u8>),
    /// Answer this before feeding more bytes.
    Ask(Question),
    /// A piece of message content: CRLF line ends, dots unstuffed.
    Content(Bytes),
    /// Forget the content so far: the message will not be taken.
    Discard,
    /// Start TLS as the server, then say so with [`Input::TlsStarted`].
    StartTls,
    /// Tell the operator.
    Event(SessionEvent),
    /// Tell the operator that this was said to the client, who asked for something impossible.
    Refused(Reply),
    /// Nothing to do until bytes come or this moment is reached.
    Timeout(Instant),
    /// Close the connection; nothing follows.
    Close,
}

/// What a session can't decide by itself.
#[derive(Debug, PartialEq)]
pub enum Question {
    /// Is this credential good, and whose is it?
    SignIn(SignIn),
    /// May this session send with this reverse-path, and a message of as many octets as it announced?
    Sender(ReversePath, Option<u64>),
    /// May it send to this address?
    Recipient(Mailbox),
    /// Is there room to store a message? Before answering, the driver hands over whatever has
    /// arrived already: content must not come before it is asked for.
    BeginData,
    /// The content is complete: make it durable.
    EndOfData(Received),
}

/// A complete transaction.
#[derive(Debug, PartialEq)]
pub struct Received {
    /// Whom it is from and to.
    pub envelope: Envelope,
    /// Octets of content.
    pub size: u64,
    /// Whether NUL octets were taken out.
    pub nul_stripped: bool,
    /// Whether lone CR or LF line ends were turned into CRLF.
    pub line_ends_mended: bool,
}

/// The answer to a [`Question`].
#[derive(Debug)]
pub enum Answer {
    /// To [`Question::SignIn`]: whose credential it is; `None` when the client is let in by its
    /// address alone; or why it is refused.
    SignIn(Result<Option<Identity>, Reply>),
    /// To the questions about sender, recipient and begin of data.
    Verdict(Verdict),
    /// To [`Question::EndOfData`]: what the client is told.
    Settled(Reply),
}

/// What a session is set up with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The greeted name.
    pub hostname: String,
    /// Whether STARTTLS is offered while the connection is in clear.
    pub starttls: bool,
    /// Whether AUTH is advertised (it is always understood).
    pub auth_offered: bool,
    /// Whether AUTH is possible in clear for this client.
    pub auth_in_clear: bool,
    /// How sloppy a client may be.
    pub leniency: Leniency,
    /// Bounds.
    pub limits: Limits,
}

/// Which habits of old clients are tolerated. None of them touches who may send, as whom, to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leniency {
    /// MAIL without HELO or EHLO before it.
    pub mail_without_helo: bool,
    /// Missing or doubled brackets, display names and quotes in MAIL and RCPT.
    pub sloppy_paths: bool,
    /// A second MAIL in a transaction is an implicit RSET.
    pub nested_mail: bool,
    /// Parameters that were never offered are ignored.
    pub unknown_parameters: bool,
    /// Content that was sent ahead of the reply to DATA is taken as the message.
    pub data_ahead: bool,
}

impl Leniency {
    /// For listeners that strangers can reach.
    pub const STRICT: Self = Self {
        mail_without_helo: false,
        sloppy_paths: false,
        nested_mail: false,
        unknown_parameters: false,
        data_ahead: false,
    };
    /// For the LAN: what printers, UPS cards and cameras need.
    pub const DEVICE: Self = Self {
        mail_without_helo: true,
        sloppy_paths: true,
        nested_mail: true,
        unknown_parameters: true,
        data_ahead: false,
    };
    /// For clients that write the whole dialogue without waiting.
    pub const LEGACY: Self = Self {
        data_ahead: true,
        ..Self::DEVICE
    };
}

/// Every bound of a session.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Octets of a command line.
    pub line_octets_max: usize,
    /// Octets of a line that carries credentials.
    pub auth_line_octets_max: usize,
    /// Octets of a message.
    pub message_octets_max: u64,
    /// Recipients of a message.
    pub recipients_max: usize,
    /// Unknown, malformed or misplaced commands before 421.
    pub errors_max: u32,
    /// Commands without effect between two messages.
    pub idle_commands_max: u32,
    /// Blank lines that are ignored without being errors.
    pub blank_lines_max: u32,
    /// Refused passwords before 421.
    pub sign_in_failures_max: u32,
    /// Silence between commands.
    pub command_idle_max: Duration,
    /// Silence inside a message.
    pub data_idle_max: Duration,
    /// Octets per second that a message must average once `data_idle_max` has passed.
    pub data_rate_min: u64,
    /// How long an oversized message is read on so that the client can be told.
    pub drain_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // RFC 5321 §4.5.3.1.4 says 512; parameters and sloppy paths need more.
            line_octets_max: 4096,
            // AUTH with an initial response needs more than other commands (RFC 4954 §4).
            auth_line_octets_max: 12_288,
            // What fits the provider's 50 MB after base64, rounded down.
            message_octets_max: 37_000_000,
            recipients_max: 1000,
            errors_max: 20,
            // Keep-alives of a device that holds its connection, and then some.
            idle_commands_max: 100,
            blank_lines_max: 20,
            // A stale password is tried a few times per connection; ten is a guesser.
            sign_in_failures_max: 10,
            // RFC 5321 §4.5.3.2.7: at least 5 minutes.
            command_idle_max: Duration::from_secs(300),
            // Scanners pause for minutes between pages.
            data_idle_max: Duration::from_secs(180),
            // Below this a connection is being held, not used.
            data_rate_min: 500,
            drain_max: Duration::from_secs(60),
        }
    }
}
