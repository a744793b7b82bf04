//! What goes into the spool and what comes out of it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::mail::{Diagnostic, Dispatch, DispatchId, Envelope, Shared, SpoolId};

use super::standing::Trying;

/// A message as it is accepted, but for its body, which a draft holds.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The message's name.
    pub id: SpoolId,
    /// When its last octet came.
    pub received_at: Timestamp,
    /// The account whose key forwards it.
    pub account: String,
    /// The device that sent it; `None` for a trusted peer without a device.
    pub device: Option<String>,
    /// Who takes turns with others, and whose share of the spool is limited.
    pub lane: String,
    /// How it came in.
    pub origin: Origin,
    /// Whom it is from and to.
    pub envelope: Envelope,
    /// The trace headers in front.
    pub prefix: Bytes,
    /// The canonical header block, without the empty line behind it.
    pub head: Bytes,
    /// Octets of content as received.
    pub size: u64,
    /// What all dispatches have in common.
    pub shared: Shared,
    /// The plan; never empty.
    pub dispatches: Vec<Dispatch>,
}

impl Submission {
    /// What each dispatch fills of the spool: its own plan, and its share of the message and of what all have in common.
    pub(super) fn shares(&self) -> impl Iterator<Item = u64> {
        let common = self.size + self.shared.octets();
        let count = self.dispatches.len().max(1) as u64;
        let (share, rest) = (common / count, common % count);
        let own = (0..).zip(&self.dispatches);
        own.map(move |(number, dispatch)| share + u64::from(number < rest) + dispatch.octets())
    }

    /// What the message fills of the spool, its plans included.
    pub fn octets(&self) -> u64 {
        self.shares().sum()
    }
}

/// How a message came in, for the trace.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Origin {
    /// The listener's name.
    pub listener: String,
    /// The client's address.
    pub peer: IpAddr,
    /// What it said in HELO or EHLO.
    pub helo: Option<String>,
    /// SMTP, ESMTP, ESMTPS, ESMTPA or ESMTPSA.
    pub protocol: String,
    /// Such as `TLSv1.3`.
    pub tls: Option<String>,
    /// What the right to submit rested on: credential, address or trust.
    pub basis: String,
    /// The SMTP user at the provider whose standing and limit applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The session in the log.
    pub session: String,
    /// Leniencies that were needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_with: Vec<String>,
}

/// Where a dispatch stands; due, waiting and leased are all stored as `Queued`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its time or for a worker.
    Queued,
    /// A request is on its way, or was when the process died.
    InFlight,
    /// Sent, not answered.
    InDoubt,
    /// Waits for an operator.
    Held,
    /// The provider has it.
    Accepted,
    /// The provider refused it for good.
    Bounced,
}

impl State {
    /// All of them, in the order of their stored codes.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::InFlight,
        Self::InDoubt,
        Self::Held,
        Self::Accepted,
        Self::Bounced,
    ];

    /// The stored number.
    pub(super) fn code(self) -> i64 {
        self.index() as i64 + 1
    }

    pub(super) fn from_code(code: i64) -> Option<Self> {
        let index = usize::try_from(code).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Queued => 0,
            Self::InFlight => 1,
            Self::InDoubt => 2,
            Self::Held => 3,
            Self::Accepted => 4,
            Self::Bounced => 5,
        }
    }

    /// The word used in logs, metrics and listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InFlight => "in_flight",
            Self::InDoubt => "in_doubt",
            Self::Held => "held",
            Self::Accepted => "accepted",
            Self::Bounced => "bounced",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Accepted | Self::Bounced)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A dispatch that a worker may attempt until its lease expires.
#[derive(Clone, Debug)]
pub struct Leased {
    /// Its name.
    pub id: DispatchId,
    pub(super) key: DispatchKey,
    /// The account whose key forwards it.
    pub account: String,
    /// The device that sent it.
    pub device: Option<String>,
    /// Whose turn it is: the device, or the address of a client without one.
    pub lane: String,
    /// When the message was accepted.
    pub received_at: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// How long attempts have failed for reasons of the message or the provider.
    pub trying: Trying,
    /// Whether an earlier attempt went without an answer.
    pub in_doubt: bool,
    /// When the newest attempt began.
    pub attempted_at: Option<Timestamp>,
    /// When the first attempt began whose outcome is not known.
    pub doubt_since: Option<Timestamp>,
    /// Whether the provider took the mail for some recipients and refused it for others.
    pub partly: bool,
    /// How often the provider was asked about that and did not know the mail.
    pub looked_up: u32,
    /// Recipients and header edits.
    pub dispatch: Dispatch,
    /// What all dispatches of the message have in common.
    pub shared: Shared,
    /// Whom the message is from and to.
    pub envelope: Envelope,
    /// The trace headers in front.
    pub prefix: Bytes,
    /// The stored header block.
    pub head: Bytes,
    /// The body.
    pub content: Content,
}

impl Leased {
    /// What settles this attempt.
    pub fn attempt(&self, started_at: Timestamp) -> Attempt {
        Attempt {
            id: self.id,
            key: self.key,
            number: self.attempts + 1,
            started_at,
        }
    }
}

/// The body of a stored message.
#[derive(Clone, Debug)]
pub enum Content {
    /// Small enough to be handed out with the lease.
    Inline(Bytes),
    /// To be read chunk by chunk with [`super::Spool::chunk`].
    Chunked {
        /// Octets of the body.
        octets: u64,
        /// How many chunks; they count from 0.
        chunks: u32,
    },
}

impl Content {
    /// Octets of the body.
    pub fn octets(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Chunked { octets, .. } => *octets,
        }
    }
}

/// One attempt that is in flight.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// What is attempted.
    pub id: DispatchId,
    pub(super) key: DispatchKey,
    /// Counts from 1.
    pub number: u32,
    /// When the request left.
    pub started_at: Timestamp,
}

/// How a doubt goes on after the provider was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The provider has the mail under this name: to *accepted*.
    Known(String),
    /// The same, but it refused some recipients, for these reasons: to *accepted*.
    KnownInPart(String, Diagnostic),
    /// It has refused the mail for good: to *bounced*.
    Refused(Diagnostic),
    /// It has refused the newest attempt for now: to *waiting*, for so long.
    RefusedForNow(Duration, Diagnostic),
    /// It does not know the mail, and trying goes on for too long: to *bounced*.
    GaveUp(Diagnostic),
    /// It does not: to *in doubt* again, to be looked up after so long.
    NotKnown(Duration),
    /// It could not be asked: to *in doubt* again, to be looked up after so long.
    NotAsked(Duration, Diagnostic),
}

impl Finding {
    /// After how long it may be leased. No point in time: the clock may be changed before it is stored.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::RefusedForNow(wait, _) | Self::NotKnown(wait) | Self::NotAsked(wait, _) => {
                Some(*wait)
            }
            Self::Known(_) | Self::KnownInPart(..) | Self::Refused(_) | Self::GaveUp(_) => None,
        }
    }
}

/// What an operator may do to all open dispatches of a message. Those in flight are left alone, but for a hold.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorAction {
    /// Waiting or in doubt: looked at now.
    Retry,
    /// Waiting or in doubt: to *held*. What is on its way is held when its attempt ends without acceptance.
    Hold,
    /// Held: due now. What was in doubt before is marked as a possible duplicate.
    Release,
    /// Waiting, in doubt or held: to *bounced*, never to be sent.
    Drop,
}

impl OperatorAction {
    /// The word used in traces.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Hold => "held",
            Self::Release => "released",
            Self::Drop => "dropped",
        }
    }

    /// Which states it applies to.
    pub(super) fn applies_to(self, state: State) -> bool {
        match self {
            Self::Retry | Self::Hold => matches!(state, State::Queued | State::InDoubt),
            Self::Release => state == State::Held,
            Self::Drop => matches!(state, State::Queued | State::InDoubt | State::Held),
        }
    }

    /// Where it leads from `state`.
    pub(super) fn leads_to(self, state: State) -> State {
        match self {
            Self::Retry => state,
            Self::Hold => State::Held,
            Self::Release => State::Queued,
            Self::Drop => State::Bounced,
        }
    }
}

/// How a dispatch goes on after an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// To *accepted*.
    Accepted {
        /// The provider's name for the mail.
        email_id: String,
        /// The provider's name for the call.
        request_id: String,
    },
    /// To *bounced*.
    Bounced(Diagnostic),
    /// To *waiting* for so long, because of the message or the provider.
    Waiting(Duration, Diagnostic),
    /// To *waiting*, behind what is due now, because of the account: no fault of the message, whose time to live does
    /// not run.
    Paused(Diagnostic),
    /// To *in doubt*, to be looked up after so long.
    InDoubt(Duration, Diagnostic),
}

impl Transition {
    pub(super) fn state(&self) -> State {
        match self {
            Self::Accepted { .. } => State::Accepted,
            Self::Bounced(_) => State::Bounced,
            Self::Waiting(..) | Self::Paused(..) => State::Queued,
            Self::InDoubt(..) => State::InDoubt,
        }
    }

    /// After how long it is tried or looked up again; `None` where that is the account's business.
    pub fn next_in(&self) -> Option<Duration> {
        match self {
            Self::Paused(_) => None,
            other => other.wait(),
        }
    }

    /// After how long it may be leased. No point in time: the clock may be changed before it is stored.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Waiting(wait, _) | Self::InDoubt(wait, _) => Some(*wait),
            Self::Paused(_) => Some(Duration::ZERO),
            Self::Accepted { .. } | Self::Bounced(_) => None,
        }
    }

    /// The trace's line about it.
    pub(super) fn event(&self, attempt: &Attempt, at: Timestamp) -> EventRecord {
        let mut event = EventRecord {
            at,
            dispatch: attempt.id.number,
            event: String::new(),
            attempt: attempt.number,
            started_at: Some(attempt.started_at),
            diagnostic: None,
            next_at: self.next_in().map(|wait| at.after(wait)),
            email_id: None,
            request_id: None,
        };
        let (word, diagnostic) = match self {
            Self::Accepted {
                email_id,
                request_id,
            } => {
                event.email_id = Some(email_id.clone()).filter(|id| !id.is_empty());
                event.request_id = Some(request_id.clone()).filter(|id| !id.is_empty());
                ("accepted", None)
            }
            Self::Bounced(diagnostic) => ("bounced", Some(diagnostic)),
            Self::Waiting(_, diagnostic) | Self::Paused(diagnostic) => {
                ("deferred", Some(diagnostic))
            }
            Self::InDoubt(_, diagnostic) => ("unknown", Some(diagnostic)),
        };
        event.event = word.to_owned();
        event.diagnostic = diagnostic.map(|diagnostic| diagnostic.as_str().to_owned());
        event
    }
}

/// How an attempt ended, and what is to be remembered of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// How the dispatch goes on.
    pub transition: Transition,
    /// How long it has been tried; `None` leaves that as it was.
    pub trying: Option<Trying>,
    /// Whether the refusal may have come from something in between, after the provider took the mail: a repeat is
    /// marked as a possible duplicate.
    pub unsure: bool,
    /// Whether the provider took the mail for some recipients and refused it for others.
    pub partly: bool,
}

impl From<Transition> for Settlement {
    fn from(transition: Transition) -> Self {
        Self {
            transition,
            trying: None,
            unsure: false,
            partly: false,
        }
    }
}

/// A line of a queue listing.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct QueueRow {
    /// The message.
    pub id: SpoolId,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// Its account.
    pub account: String,
    /// Its device.
    pub device: Option<String>,
    /// Octets of content.
    pub size: u64,
    /// `<>` for a null reverse-path.
    pub reverse_path: String,
    /// The envelope's recipients.
    pub recipients: Vec<String>,
    /// Dispatches that are not settled.
    pub unsettled: u32,
    /// Dispatches in all.
    pub dispatch_count: u32,
}

/// Everything that is known about one message: the trace.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MessageRecord {
    /// As in the listing.
    #[serde(flatten)]
    pub row: QueueRow,
    /// How it came in.
    pub origin: Origin,
    /// When the last dispatch was settled.
    pub settled_at: Option<Timestamp>,
    /// Where each dispatch stands.
    pub dispatches: Vec<DispatchRecord>,
    /// What happened, oldest first.
    pub events: Vec<EventRecord>,
}

/// Where one dispatch stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DispatchRecord {
    /// Counts from 0.
    pub number: u32,
    /// Its state.
    pub state: State,
    /// Whom it reaches.
    pub recipients: Vec<String>,
    /// Whether the header block is passed on as it came.
    pub byte_exact: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is next looked at.
    pub due_at: Option<Timestamp>,
    /// Whether an unanswered attempt was repeated.
    pub possibly_duplicate: bool,
}

/// One line of a trace.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct EventRecord {
    /// When.
    pub at: Timestamp,
    /// Which dispatch.
    pub dispatch: u32,
    /// accepted, deferred, bounced, unknown, interrupted, not_found, not_asked, confirmed or held.
    pub event: String,
    /// Which attempt.
    pub attempt: u32,
    /// When the attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The words that explain it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<String>,
    /// When it is next looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The provider's name for the mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_id: Option<String>,
    /// The provider's name for the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl EventRecord {
    /// An operator's order.
    pub(super) fn ordered(number: u32, attempt: u32, at: Timestamp, order: OperatorAction) -> Self {
        Self {
            at,
            dispatch: number,
            event: order.word().to_owned(),
            attempt,
            started_at: None,
            diagnostic: Some("by an operator".to_owned()),
            next_at: None,
            email_id: None,
            request_id: None,
        }
    }

    /// A look at the provider's records.
    pub(super) fn looked_up(number: u32, attempt: u32, at: Timestamp, finding: &Finding) -> Self {
        let (event, diagnostic, next_at, email_id) = match finding {
            Finding::Known(email_id) => ("confirmed", None, None, Some(email_id.clone())),
            Finding::KnownInPart(email_id, why) => (
                "confirmed",
                Some(why.as_str().to_owned()),
                None,
                Some(email_id.clone()),
            ),
            Finding::Refused(why) | Finding::GaveUp(why) => {
                ("bounced", Some(why.as_str().to_owned()), None, None)
            }
            Finding::RefusedForNow(wait, why) => (
                "deferred",
                Some(why.as_str().to_owned()),
                Some(at.after(*wait)),
                None,
            ),
            Finding::NotKnown(wait) => ("not_found", None, Some(at.after(*wait)), None),
            Finding::NotAsked(wait, why) => (
                "not_asked",
                Some(why.as_str().to_owned()),
                Some(at.after(*wait)),
                None,
            ),
        };
        Self {
            at,
            dispatch: number,
            event: event.to_owned(),
            attempt,
            started_at: None,
            diagnostic,
            next_at,
            email_id,
            request_id: None,
        }
    }

    /// A dispatch that was left to the operator.
    pub(super) fn held(number: u32, attempt: u32, at: Timestamp, why: &Diagnostic) -> Self {
        Self {
            at,
            dispatch: number,
            event: "held".to_owned(),
            attempt,
            started_at: None,
            diagnostic: Some(why.as_str().to_owned()),
            next_at: None,
            email_id: None,
            request_id: None,
        }
    }

    /// An attempt whose process died.
    pub(super) fn interrupted(
        number: u32,
        attempt: u32,
        at: Timestamp,
        next_at: Timestamp,
    ) -> Self {
        Self {
            at,
            dispatch: number,
            event: "interrupted".to_owned(),
            attempt,
            started_at: None,
            diagnostic: Some("the gateway stopped during the attempt".to_owned()),
            next_at: Some(next_at),
            email_id: None,
            request_id: None,
        }
    }
}

/// The stored number of a message.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageKey(pub(super) i64);

/// The stored number of a dispatch: its message's number and its own in one integer, so that all
/// rows of a message lie together and no table needs a second index to find them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DispatchKey(pub(super) i64);

impl MessageKey {
    /// The number of this message's row `part` in a table of parts.
    pub(super) fn part(self, part: u32) -> i64 {
        self.0 * PARTS_MAX + i64::from(part)
    }

    /// The first number behind all parts.
    pub(super) fn parts_end(self) -> i64 {
        (self.0 + 1) * PARTS_MAX
    }
}

impl DispatchKey {
    pub(super) fn message(self) -> MessageKey {
        MessageKey(self.0 / PARTS_MAX)
    }

    pub(super) fn number(self) -> u32 {
        u32::try_from(self.0 % PARTS_MAX).unwrap_or(0)
    }
}

/// Parts (dispatches, chunks, events) that one message can have: 37 MB in chunks of 64 KiB are 565.
pub(super) const PARTS_MAX: i64 = 1 << 20;

/// The row of a message's event, given how many there were before. Past [`EVENTS_MAX`] only the newest event of each
/// dispatch is kept, so that a message that is tried for ever can't use up its rows.
pub(super) fn event_row(before: u32, dispatch: u32) -> u32 {
    if before < EVENTS_MAX {
        before
    } else {
        EVENTS_MAX.saturating_add(dispatch)
    }
}

/// Events of one message that are kept one by one: a thousand recipients that are tried eight times.
pub(super) const EVENTS_MAX: u32 = 8192;
