//! The store for tests: the same contract, nothing on disk.
//!
//! A transaction keeps a copy of all tables and puts it back on rollback; contents are shared, not
//! copied.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::mail::{DispatchId, SpoolId};

use super::record::{
    Content, DispatchKey, DispatchRecord, EventRecord, Leased, MessageKey, MessageRecord, QueueRow,
    State, Submission, event_row,
};
use super::standing::Standing;
use super::store::{
    Counts, DiskUse, DueBatch, Lane, RulesPart, SpoolError, Store, account_lane, lane_of,
};
use super::time::Seen;

/// See the module's documentation.
#[derive(Default)]
pub struct MemoryStore {
    tables: Tables,
    before: Tables,
}

#[derive(Clone, Default)]
struct Tables {
    drafts: BTreeMap<MessageKey, Vec<Bytes>>,
    messages: BTreeMap<MessageKey, Message>,
    counts: Counts,
    last: i64,
    rules: BTreeMap<(String, String, u32), Bytes>,
    refusals: Vec<String>,
    seen: Option<Seen>,
}

#[derive(Clone)]
struct Message {
    submission: Submission,
    body: Vec<Bytes>,
    parts: Vec<Standing>,
    events: Vec<EventRecord>,
    settled_at: Option<Timestamp>,
}

impl Message {
    fn unsettled(&self) -> u32 {
        let open = self.parts.iter().filter(|part| !part.state.is_settled());
        u32::try_from(open.count()).unwrap_or(u32::MAX)
    }

    fn row(&self) -> QueueRow {
        let envelope = &self.submission.envelope;
        QueueRow {
            id: self.submission.id,
            received_at: self.submission.received_at,
            account: self.submission.account.clone(),
            device: self.submission.device.clone(),
            size: self.submission.size,
            reverse_path: envelope.reverse_path.to_string(),
            recipients: envelope
                .recipients
                .as_slice()
                .iter()
                .map(ToString::to_string)
                .collect(),
            unsettled: self.unsettled(),
            dispatch_count: u32::try_from(self.parts.len()).unwrap_or(u32::MAX),
        }
    }
}

impl Tables {
    fn part(&mut self, key: DispatchKey) -> Result<(&mut Message, usize), SpoolError> {
        let index = key.number() as usize;
        match self.messages.get_mut(&key.message()) {
            Some(message) if index < message.parts.len() => Ok((message, index)),
            _ => Err(SpoolError::Stale),
        }
    }

    fn parts(&self) -> impl Iterator<Item = (DispatchKey, &Message, &Standing)> {
        self.messages.iter().flat_map(|(key, message)| {
            (0..)
                .zip(&message.parts)
                .map(move |(number, part)| (DispatchKey(key.part(number)), message, part))
        })
    }
}

impl Store for MemoryStore {
    fn begin(&mut self) -> Result<(), SpoolError> {
        self.before = self.tables.clone();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), SpoolError> {
        Ok(())
    }

    fn rollback(&mut self) {
        self.tables = self.before.clone();
    }

    fn append_draft(
        &mut self,
        key: MessageKey,
        _sequence: u32,
        octets: &[u8],
    ) -> Result<(), SpoolError> {
        self.tables.last = self.tables.last.max(key.0);
        let chunks = self.tables.drafts.entry(key).or_default();
        chunks.push(Bytes::copy_from_slice(octets));
        Ok(())
    }

    fn discard_draft(&mut self, key: MessageKey) -> Result<(), SpoolError> {
        self.tables.drafts.remove(&key);
        Ok(())
    }

    fn insert(
        &mut self,
        key: MessageKey,
        submission: &Submission,
        due_at: Timestamp,
        _body: (u32, u64),
        rest: &[u8],
    ) -> Result<(), SpoolError> {
        let mut body = self.tables.drafts.remove(&key).unwrap_or_default();
        if !rest.is_empty() {
            body.push(Bytes::copy_from_slice(rest));
        }
        let part = Standing::new(due_at);
        let count = submission.dispatches.len();
        let message = Message {
            submission: submission.clone(),
            body,
            parts: vec![part; count],
            events: Vec::new(),
            settled_at: None,
        };
        self.tables.messages.insert(key, message);
        self.tables.counts.add(State::Queued, count as u64);
        self.tables.last = self.tables.last.max(key.0);
        Ok(())
    }

    fn due_lanes(
        &mut self,
        account: &str,
        state: State,
        now: Timestamp,
    ) -> Result<Vec<String>, SpoolError> {
        let due = self.tables.parts().filter(|(_, message, part)| {
            message.submission.account == account
                && part.state == state
                && part.due_at.is_some_and(|due| due <= now)
        });
        let lanes: BTreeSet<String> = due
            .map(|(_, message, _)| message.submission.lane.clone())
            .collect();
        Ok(lanes.into_iter().collect())
    }

    fn due(
        &mut self,
        lane: Lane<'_>,
        now: Timestamp,
        limit: usize,
        skip: &dyn Fn(DispatchKey) -> bool,
    ) -> Result<DueBatch, SpoolError> {
        let mut found: Vec<(DispatchKey, &Message, &Standing)> = self
            .tables
            .parts()
            .filter(|(key, message, part)| {
                message.submission.account == lane.account
                    && part.state == lane.state
                    && message.submission.lane == lane.name
                    && part.due_at.is_some_and(|due| due <= now)
                    && !skip(*key)
            })
            .collect();
        found.sort_by_key(|(_, _, part)| part.due_at);
        let lease = |(key, message, part): (DispatchKey, &Message, &Standing)| Leased {
            id: DispatchId {
                spool_id: message.submission.id,
                number: key.number(),
            },
            key,
            account: message.submission.account.clone(),
            device: message.submission.device.clone(),
            lane: message.submission.lane.clone(),
            received_at: message.submission.received_at,
            attempts: part.attempts,
            trying: part.trying,
            in_doubt: part.state == State::InDoubt,
            attempted_at: part.attempted_at,
            doubt_since: part.doubt_since,
            partly: part.partly,
            looked_up: part.looked_up,
            dispatch: message.submission.dispatches[key.number() as usize].clone(),
            shared: message.submission.shared.clone(),
            envelope: message.submission.envelope.clone(),
            prefix: message.submission.prefix.clone(),
            head: message.submission.head.clone(),
            content: match message.body.as_slice() {
                [] => Content::Inline(Bytes::new()),
                [only] => Content::Inline(only.clone()),
                chunks => Content::Chunked {
                    octets: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
                    chunks: u32::try_from(chunks.len()).unwrap_or(u32::MAX),
                },
            },
        };
        let leased = found.into_iter().take(limit).map(lease).collect();
        Ok(DueBatch {
            leased,
            ..DueBatch::default()
        })
    }

    fn next_due(
        &mut self,
        account: &str,
        state: State,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, SpoolError> {
        let later = self
            .tables
            .parts()
            .filter(|(_, message, part)| {
                message.submission.account == account && part.state == state
            })
            .filter_map(|(_, _, part)| part.due_at)
            .filter(|due| *due > now);
        Ok(later.min())
    }

    fn pull_due(&mut self, latest: Timestamp, now: Timestamp) -> Result<u32, SpoolError> {
        let mut pulled = 0;
        for message in self.tables.messages.values_mut() {
            for part in &mut message.parts {
                let open = matches!(part.state, State::Queued | State::InDoubt);
                if open && part.due_at.is_some_and(|due| due > latest) {
                    part.due_at = Some(now);
                    pulled += 1;
                }
            }
        }
        Ok(pulled)
    }

    fn open_accounts(&mut self) -> Result<Vec<(String, u64)>, SpoolError> {
        let mut open: BTreeMap<String, u64> = BTreeMap::new();
        for (_, message, part) in self.tables.parts() {
            if !part.state.is_settled() {
                *open.entry(message.submission.account.clone()).or_default() += 1;
            }
        }
        Ok(open.into_iter().collect())
    }

    fn change(
        &mut self,
        key: DispatchKey,
        change: &mut dyn FnMut(&mut Standing) -> Result<(), SpoolError>,
    ) -> Result<Standing, SpoolError> {
        let (message, index) = self.tables.part(key)?;
        let mut standing = message.parts[index].clone();
        let was = standing.state;
        change(&mut standing)?;
        message.parts[index] = standing.clone();
        self.tables.counts.remove(was, 1);
        self.tables.counts.add(standing.state, 1);
        Ok(standing)
    }

    fn tell(&mut self, key: DispatchKey, event: EventRecord) -> Result<(), SpoolError> {
        let (message, _) = self.tables.part(key)?;
        let at = event.at;
        let before = u32::try_from(message.events.len()).unwrap_or(u32::MAX);
        match message
            .events
            .get_mut(event_row(before, key.number()) as usize)
        {
            Some(latest) => *latest = event,
            None => message.events.push(event),
        }
        if message.unsettled() == 0 {
            message.settled_at.get_or_insert(at);
            message.body.clear();
        }
        Ok(())
    }

    fn dispatches(&mut self, id: SpoolId) -> Result<Vec<DispatchKey>, SpoolError> {
        let parts = self.tables.parts();
        let of_message = parts.filter(|(_, message, _)| message.submission.id == id);
        Ok(of_message.map(|(key, ..)| key).collect())
    }

    fn stored(&mut self, id: SpoolId) -> Result<Option<(Bytes, MessageKey, u32)>, SpoolError> {
        let found = self
            .tables
            .messages
            .iter()
            .find(|(_, message)| message.submission.id == id && message.settled_at.is_none());
        Ok(found.map(|(key, message)| {
            let submission = &message.submission;
            let head = [submission.prefix.as_ref(), submission.head.as_ref()].concat();
            let chunks = u32::try_from(message.body.len()).unwrap_or(u32::MAX);
            (Bytes::from(head), *key, chunks)
        }))
    }

    fn in_flight(&mut self) -> Result<Vec<DispatchKey>, SpoolError> {
        let parts = self.tables.parts();
        let in_flight = parts.filter(|(_, _, part)| part.state == State::InFlight);
        Ok(in_flight.map(|(key, ..)| key).collect())
    }

    fn shift_doubts(&mut self, step_ms: i64) -> Result<(), SpoolError> {
        let moved = |at: Timestamp| Timestamp(at.0.saturating_add(step_ms));
        for message in self.tables.messages.values_mut() {
            for part in &mut message.parts {
                if !matches!(part.state, State::InFlight | State::InDoubt) {
                    continue;
                }
                // Only to the side where less is proven by an event.
                if step_ms < 0 {
                    part.doubt_since = part.doubt_since.map(moved);
                } else {
                    part.attempted_at = part.attempted_at.map(moved);
                }
            }
        }
        Ok(())
    }

    fn seen(&mut self) -> Result<Option<Seen>, SpoolError> {
        Ok(self.tables.seen)
    }

    fn note_seen(&mut self, seen: Seen) -> Result<(), SpoolError> {
        self.tables.seen = Some(seen);
        Ok(())
    }

    fn forget_settled(&mut self, before: Timestamp, limit: u32) -> Result<u32, SpoolError> {
        let old: Vec<MessageKey> = self
            .tables
            .messages
            .iter()
            .filter(|(_, message)| message.settled_at.is_some_and(|at| at < before))
            .map(|(key, _)| *key)
            .take(limit as usize)
            .collect();
        for key in &old {
            self.tables.messages.remove(key);
        }
        Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
    }

    fn chunk(&mut self, key: MessageKey, sequence: u32) -> Result<Bytes, SpoolError> {
        self.tables
            .messages
            .get(&key)
            .and_then(|message| message.body.get(sequence as usize))
            .cloned()
            .ok_or(SpoolError::Stale)
    }

    fn list(
        &mut self,
        all: bool,
        before: Option<SpoolId>,
        limit: u32,
    ) -> Result<Vec<QueueRow>, SpoolError> {
        let newest_first = self.tables.messages.values().rev();
        let listed = newest_first
            .skip_while(|message| before.is_some_and(|id| message.submission.id != id))
            .skip(usize::from(before.is_some()))
            .filter(|message| all || message.settled_at.is_none());
        Ok(listed.take(limit as usize).map(Message::row).collect())
    }

    fn show(&mut self, id: SpoolId) -> Result<Option<MessageRecord>, SpoolError> {
        let found = self
            .tables
            .messages
            .values()
            .find(|message| message.submission.id == id);
        Ok(found.map(|message| MessageRecord {
            row: message.row(),
            origin: message.submission.origin.clone(),
            settled_at: message.settled_at,
            dispatches: (0..)
                .zip(message.parts.iter().zip(&message.submission.dispatches))
                .map(|(number, (part, dispatch))| DispatchRecord {
                    number,
                    state: part.state,
                    recipients: dispatch
                        .recipients
                        .iter()
                        .map(ToString::to_string)
                        .collect(),
                    byte_exact: message.submission.shared.is_exact(dispatch),
                    attempts: part.attempts,
                    due_at: part.due_at,
                    possibly_duplicate: part.possibly_duplicate,
                })
                .collect(),
            events: message.events.clone(),
        }))
    }

    fn oldest_unsettled(&mut self) -> Result<Option<Timestamp>, SpoolError> {
        let unsettled = |message: &&Message| message.settled_at.is_none();
        Ok(self
            .tables
            .messages
            .values()
            .find(unsettled)
            .map(|message| message.submission.received_at))
    }

    fn disk_use(&mut self) -> Result<DiskUse, SpoolError> {
        let chunks = self
            .tables
            .messages
            .values()
            .flat_map(|message| &message.body);
        Ok(DiskUse {
            used: chunks.map(|chunk| chunk.len() as u64).sum(),
            ..DiskUse::default()
        })
    }

    fn lane_changes(&mut self) -> Vec<(String, u64)> {
        let mut lanes: BTreeMap<String, u64> = BTreeMap::new();
        for message in self.tables.messages.values() {
            let submission = &message.submission;
            let account = &submission.account;
            for lane in [lane_of(account, &submission.lane), account_lane(account)] {
                let waiting = lanes.entry(lane).or_default();
                for (part, octets) in message.parts.iter().zip(submission.shares()) {
                    *waiting += if part.state.is_settled() { 0 } else { octets };
                }
            }
        }
        lanes.into_iter().collect()
    }

    fn counts(&self) -> Counts {
        self.tables.counts
    }

    fn put_rules(
        &mut self,
        account: &str,
        parts: &[RulesPart],
        keep: Option<RangeInclusive<u32>>,
    ) -> Result<(), SpoolError> {
        let rules = &mut self.tables.rules;
        for part in parts {
            let key = (account.to_owned(), part.section.clone(), part.number);
            rules.insert(key, part.record.clone());
        }
        if let (Some(keep), Some(first)) = (keep, parts.first()) {
            rules.retain(|(of, section, number), _| {
                let of_section = of == account && *section == first.section;
                !of_section || *number == 0 || keep.contains(number)
            });
        }
        Ok(())
    }

    fn rules(&mut self, account: &str) -> Result<Vec<RulesPart>, SpoolError> {
        let of_account = self
            .tables
            .rules
            .iter()
            .filter(|((of, ..), _)| of == account);
        let part = |((_, section, number), record): (&(String, String, u32), &Bytes)| RulesPart {
            section: section.clone(),
            number: *number,
            record: record.clone(),
        };
        Ok(of_account.map(part).collect())
    }

    fn note_refusal(&mut self, record: &str) -> Result<(), SpoolError> {
        self.tables.refusals.push(record.to_owned());
        Ok(())
    }

    fn refusals(&mut self, limit: u32) -> Result<Vec<String>, SpoolError> {
        let newest = self.tables.refusals.iter().rev();
        Ok(newest.take(limit as usize).cloned().collect())
    }

    fn last_key(&mut self) -> Result<MessageKey, SpoolError> {
        Ok(MessageKey(self.tables.last))
    }
}
