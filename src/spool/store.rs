//! What a store must be able to do; called by one thread, inside transactions that thread opens.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::mail::{Diagnostic, DispatchId, SpoolId};

use super::record::{
    Attempt, DispatchKey, EventRecord, Finding, Leased, MessageKey, MessageRecord, OperatorAction,
    QueueRow, Settlement, State, Submission,
};
use super::standing::Standing;
use super::time::Seen;

/// One kind of storage. What becomes of a dispatch is decided in `Standing` (`standing.rs`) alone: a store reads and writes it.
pub trait Store: Send {
    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), SpoolError>;
    /// Makes everything since `begin` durable.
    fn commit(&mut self) -> Result<(), SpoolError>;
    /// Forgets everything since `begin`.
    fn rollback(&mut self);

    /// Tells a disk that can't be read at all from a part of the database that can't be.
    fn explain(&mut self, error: SpoolError) -> SpoolError {
        error
    }

    /// Stores a piece of a message that is not complete.
    fn append_draft(
        &mut self,
        key: MessageKey,
        sequence: u32,
        octets: &[u8],
    ) -> Result<(), SpoolError>;
    /// Deletes all pieces of a draft.
    fn discard_draft(&mut self, key: MessageKey) -> Result<(), SpoolError>;
    /// Stores a complete message, due at `due_at`; of its `body` so many pieces with so many octets in all came by
    /// `append_draft` before, and
    /// `rest` is what follows them.
    fn insert(
        &mut self,
        key: MessageKey,
        submission: &Submission,
        due_at: Timestamp,
        body: (u32, u64),
        rest: &[u8],
    ) -> Result<(), SpoolError>;

    /// The lanes of an account with due dispatches in this state (queued or in doubt), sorted.
    fn due_lanes(
        &mut self,
        account: &str,
        state: State,
        now: Timestamp,
    ) -> Result<Vec<String>, SpoolError>;
    /// Due dispatches of one lane, oldest due time first; `skip` are leased.
    fn due(
        &mut self,
        lane: Lane<'_>,
        now: Timestamp,
        limit: usize,
        skip: &dyn Fn(DispatchKey) -> bool,
    ) -> Result<DueBatch, SpoolError>;
    /// The earliest due time after `now` in this state.
    fn next_due(
        &mut self,
        account: &str,
        state: State,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, SpoolError>;
    /// Makes due now what is due later than `latest`; returns how many.
    fn pull_due(&mut self, latest: Timestamp, now: Timestamp) -> Result<u32, SpoolError>;
    /// The accounts with unsettled dispatches, and how many.
    fn open_accounts(&mut self) -> Result<Vec<(String, u64)>, SpoolError>;
    /// Changes where a dispatch stands, and counts it where it stands then; returns where that is.
    fn change(
        &mut self,
        key: DispatchKey,
        change: &mut dyn FnMut(&mut Standing) -> Result<(), SpoolError>,
    ) -> Result<Standing, SpoolError>;
    /// Adds to the trace; the content goes when nothing of the message is open.
    fn tell(&mut self, key: DispatchKey, event: EventRecord) -> Result<(), SpoolError>;
    /// The dispatches of a message; none where it is not stored.
    fn dispatches(&mut self, id: SpoolId) -> Result<Vec<DispatchKey>, SpoolError>;
    /// All that is stored as in flight.
    fn in_flight(&mut self) -> Result<Vec<DispatchKey>, SpoolError>;

    /// From queued or in doubt to in flight.
    fn begin_attempt(
        &mut self,
        attempt: &Attempt,
        expires_at: Timestamp,
    ) -> Result<(), SpoolError> {
        self.change(attempt.key, &mut |standing| {
            standing.begin(attempt, expires_at)
        })
        .map(drop)
    }
    /// From in flight to wherever the transition leads; what waits then is due at `due_at`.
    fn settle(
        &mut self,
        attempt: &Attempt,
        settlement: &Settlement,
        due_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), SpoolError> {
        self.change(attempt.key, &mut |standing| {
            standing.settle(attempt, settlement, due_at)
        })?;
        self.tell(attempt.key, settlement.transition.event(attempt, at))
    }
    /// From in doubt to wherever the finding leads; what waits then is due at `due_at`.
    fn resolve(
        &mut self,
        key: DispatchKey,
        finding: &Finding,
        due_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), SpoolError> {
        let standing = self.change(key, &mut |standing| standing.resolve(finding, due_at))?;
        let event = EventRecord::looked_up(key.number(), standing.attempts, at, finding);
        self.tell(key, event)
    }
    /// Carries out an operator's order; returns how many dispatches it applied to.
    fn order(
        &mut self,
        id: SpoolId,
        order: OperatorAction,
        at: Timestamp,
    ) -> Result<u32, SpoolError> {
        let mut applied = 0;
        for key in self.dispatches(id)? {
            let mut applies = false;
            let standing = self.change(key, &mut |standing| {
                applies = standing.order(order, at);
                Ok(())
            })?;
            if applies {
                let event = EventRecord::ordered(key.number(), standing.attempts, at, order);
                self.tell(key, event)?;
                applied += 1;
            }
        }
        Ok(applied)
    }
    /// From queued or in doubt to held.
    fn hold(
        &mut self,
        key: DispatchKey,
        why: &Diagnostic,
        at: Timestamp,
    ) -> Result<(), SpoolError> {
        let standing = self.change(key, &mut Standing::leave_to_operator)?;
        let event = EventRecord::held(key.number(), standing.attempts, at, why);
        self.tell(key, event)
    }
    /// FairScheduler attempts that nobody will settle any more into doubts; returns how many there were.
    fn interrupt(
        &mut self,
        attempts: &[DispatchKey],
        now: Timestamp,
        confirm_at: Timestamp,
        next_at: Timestamp,
    ) -> Result<u32, SpoolError> {
        let mut interrupted = 0;
        for key in attempts {
            let mut was_under_way = false;
            let changed = self.change(*key, &mut |standing| {
                was_under_way = standing.interrupt(confirm_at);
                Ok(())
            });
            let standing = match changed {
                // One row that can't be read must not stop the others.
                Err(SpoolError::Stale | SpoolError::Damaged(_) | SpoolError::Corrupt(_)) => {
                    tracing::error!(key = key.0, "an interrupted attempt can't be read");
                    continue;
                }
                changed => changed?,
            };
            if was_under_way {
                let number = key.number();
                let event = EventRecord::interrupted(number, standing.attempts, now, next_at);
                self.tell(*key, event)?;
                interrupted += 1;
            }
        }
        Ok(interrupted)
    }

    /// The stored message as it would be sent, but for the plan's edits: what stands before the body,
    /// and where to read the body; `None` when the content is gone.
    fn stored(&mut self, id: SpoolId) -> Result<Option<(Bytes, MessageKey, u32)>, SpoolError>;
    /// The clock was changed by so many milliseconds: moves what open attempts are compared with, so that no event
    /// proves more than before.
    fn shift_doubts(&mut self, step_ms: i64) -> Result<(), SpoolError>;
    /// The times that were last noted; `None` in a new store.
    fn seen(&mut self) -> Result<Option<Seen>, SpoolError>;
    /// Notes what time it is.
    fn note_seen(&mut self, seen: Seen) -> Result<(), SpoolError>;
    /// Deletes up to `limit` messages that were settled before `before`.
    fn forget_settled(&mut self, before: Timestamp, limit: u32) -> Result<u32, SpoolError>;

    /// A chunk of a stored body.
    fn chunk(&mut self, key: MessageKey, sequence: u32) -> Result<Bytes, SpoolError>;
    /// The newest messages first, below `before`; only unsettled ones unless `all`.
    fn list(
        &mut self,
        all: bool,
        before: Option<SpoolId>,
        limit: u32,
    ) -> Result<Vec<QueueRow>, SpoolError>;
    /// Everything about one message; `None` when it is not stored.
    fn show(&mut self, id: SpoolId) -> Result<Option<MessageRecord>, SpoolError>;
    /// When the oldest unsettled message was accepted.
    fn oldest_unsettled(&mut self) -> Result<Option<Timestamp>, SpoolError>;
    /// How much the store takes, and will take.
    fn disk_use(&mut self) -> Result<DiskUse, SpoolError>;
    /// Makes room on a full disk, outside a transaction; returns whether writing is worth another try.
    fn make_room(&mut self) -> bool {
        false
    }
    /// Whether the disk was full, so that only what brings mail out may be written.
    fn is_low(&self) -> bool {
        false
    }
    /// Gives back what is not needed, a piece at a time: at once where room is short, else when `idle`. Returns
    /// whether there is more to give.
    fn tidy(&mut self, idle: bool) -> Result<bool, SpoolError> {
        let _ = idle;
        Ok(false)
    }
    /// Octets of unsettled dispatches by lane and by account ([`account_lane`]), where they changed since the
    /// last call; all of them at first.
    fn lane_changes(&mut self) -> Vec<(String, u64)>;
    /// How many dispatches stand where.
    fn counts(&self) -> Counts;
    /// Stores parts of one section of an account's rules. With `keep`, its parts go whose number is neither 0 nor
    /// one of these.
    fn put_rules(
        &mut self,
        account: &str,
        parts: &[RulesPart],
        keep: Option<RangeInclusive<u32>>,
    ) -> Result<(), SpoolError>;
    /// All stored parts of an account's rules, by section and number.
    fn rules(&mut self, account: &str) -> Result<Vec<RulesPart>, SpoolError>;
    /// Keeps the record of a refusal, and forgets the oldest of too many.
    fn note_refusal(&mut self, record: &str) -> Result<(), SpoolError>;
    /// The newest refusals first.
    fn refusals(&mut self, limit: u32) -> Result<Vec<String>, SpoolError>;
    /// The highest message number ever used.
    fn last_key(&mut self) -> Result<MessageKey, SpoolError>;
}

/// A piece of one section of an account's rules, as whoever keeps them fresh writes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RulesPart {
    /// The section.
    pub section: String,
    /// Its number in the section.
    pub number: u32,
    /// What it says; only its writer reads it.
    pub record: Bytes,
}

/// The dispatches of an account in one state that one device owes.
#[derive(Clone, Copy, Debug)]
pub struct Lane<'a> {
    /// The account.
    pub account: &'a str,
    /// Queued or in doubt.
    pub state: State,
    /// The device, or the address of a client without one.
    pub name: &'a str,
}

/// The name under which the octets of one account's lane are counted: two accounts may have users or peers of one name.
pub fn lane_of(account: &str, lane: &str) -> String {
    format!("lane:{account}\0{lane}")
}

/// The name under which the octets of a whole account are counted beside those of lanes. No lane is called so.
pub fn account_lane(account: &str) -> String {
    format!("account:{account}")
}

/// What a store takes of its disk, in octets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DiskUse {
    /// Of data.
    pub used: u64,
    /// Free inside the files.
    pub reusable: u64,
    /// By which the files will grow with what they hold already.
    pub growth: u64,
    /// Whether the disk was full, so that what is left is kept for handing mail over.
    pub is_low: bool,
}

/// Number of dispatches by state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts([u64; State::ALL.len()]);

impl Counts {
    /// The dispatches in `state`.
    pub fn of(&self, state: State) -> u64 {
        self.0[state.index()]
    }

    pub(super) fn add(&mut self, state: State, count: u64) {
        self.0[state.index()] += count;
    }

    pub(super) fn remove(&mut self, state: State, count: u64) {
        let slot = &mut self.0[state.index()];
        *slot = slot.saturating_sub(count);
    }
}

/// What was found due.
#[derive(Debug, Default)]
pub struct DueBatch {
    /// Oldest due time first.
    pub leased: Vec<Leased>,
    /// Due as well, but what is stored makes no sense.
    pub damaged: Vec<(DispatchKey, DispatchId)>,
    /// Due as well, but can't be read now; it may be later.
    pub unreadable: Vec<(DispatchKey, DispatchId)>,
}

/// Why the spool could not do something.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk is full, read-only or failing. Not the client's fault; try again later.
    #[error("cannot write to the spool")]
    Unwritable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The disk is full. What is left of it is kept for handing mail over.
    #[error("the spool's disk is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The disk can't be read. The database need not be damaged: moving it away would lose its mail.
    #[error("the spool's disk can't be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something of the database can't be read, and it is not known whether that is the disk's fault or the content's.
    #[error("a part of the spool can't be read: its disk fails, or the database is damaged")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database is damaged.
    #[error("the spool database is damaged")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file is some other program's.
    #[error("not a spool database of this program")]
    Foreign,
    /// The file was written by a newer version.
    #[error("spool database has version {found}, this program knows up to {known}")]
    Newer {
        /// The file's version.
        found: i64,
        /// What this program can read.
        known: i64,
    },
    /// The gateway was not stopped in order, and the log of its database is gone.
    #[error("the spool's log spool.db-wal is missing, and with it the newest mail")]
    LogMissing,
    /// Another process has it open.
    #[error("the spool database is in use by another process")]
    InUse,
    /// A dispatch is not where the request assumed; somebody else acted meanwhile.
    #[error("dispatch is not in the expected state")]
    Stale,
    /// The spool has stopped.
    #[error("the spool has stopped")]
    Stopped,
}
