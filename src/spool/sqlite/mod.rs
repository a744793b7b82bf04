//! The embedded store: one SQLite database in WAL mode with full sync, owned by one process.
//!
//! Why SQLite and how fast it is: `src/README.md`. Locking is exclusive, so a second gateway on the
//! same directory is told so instead of sharing the queue. A file that is not ours, or damaged, is
//! refused before anything is written to it.

mod disk;
mod open;
mod records;

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::types::ToSql;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::disk::Disk;
use crate::clock::Timestamp;
use crate::mail::{DispatchId, Shared, SpoolId};

use super::record::{
    Content, DispatchKey, EVENTS_MAX, EventRecord, Leased, MessageKey, MessageRecord, QueueRow,
    State, Submission, event_row,
};
use super::standing::{Standing, Trying, TryingMark};
use super::store::{
    Counts, DiskUse, DueBatch, Lane, RulesPart, SpoolError, Store, account_lane, lane_of,
};
use super::time::Seen;

/// See the module's documentation.
pub struct SqliteStore {
    connection: Connection,
    counts: Counts,
    counts_before: Counts,
    /// No message with a lower key is unsettled.
    oldest_from: i64,
    lanes: Lanes,
    disk: Disk,
}

/// Octets of unsettled dispatches by lane, kept up to date from the start on.
#[derive(Default)]
struct Lanes {
    octets: HashMap<String, i64>,
    /// By the transaction under way.
    pending: HashMap<String, i64>,
    /// Not told yet.
    changed: HashSet<String>,
}

impl Lanes {
    /// Counts for the lane and for its account.
    fn add(&mut self, account: &str, lane: &str, octets: i64) {
        self.count(&lane_of(account, lane), octets);
        self.count(&account_lane(account), octets);
    }

    fn count(&mut self, lane: &str, octets: i64) {
        match self.pending.get_mut(lane) {
            Some(pending) => *pending += octets,
            None => drop(self.pending.insert(lane.to_owned(), octets)),
        }
    }

    fn settle(&mut self) {
        for (lane, octets) in self.pending.drain() {
            *self.octets.entry(lane.clone()).or_default() += octets;
            self.changed.insert(lane);
        }
    }
}

impl SqliteStore {
    fn execute(&self, sql: &str, values: &[&dyn ToSql]) -> Result<usize, SpoolError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(store_error)
    }

    fn keys(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<DispatchKey>, SpoolError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(store_error)?;
        let rows = statement
            .query_map(values, |row| row.get(0).map(DispatchKey))
            .map_err(store_error)?;
        rows.collect::<Result<_, _>>().map_err(store_error)
    }

    fn delete_content(&self, key: MessageKey) -> Result<(), SpoolError> {
        self.execute(
            "DELETE FROM content WHERE key >= ?1 AND key < ?2",
            params![key.part(0), key.parts_end()],
        )?;
        Ok(())
    }

    /// Where a dispatch stands.
    fn standing(&self, key: DispatchKey) -> Result<Standing, SpoolError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT state, due_at, attempts, possibly_duplicate, looked_up, held_from,
                     attempted_at, doubt_since, hold_next, partly, trying_ms, trying_run, trying_mark
                 FROM dispatch WHERE key = ?1",
            )
            .map_err(store_error)?;
        let found = statement.query_row([key.0], |row| {
            let state = |index| row.get(index).map(State::from_code);
            Ok((
                state(0)?,
                Standing {
                    state: State::Queued,
                    due_at: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                    attempts: row.get(2)?,
                    possibly_duplicate: row.get(3)?,
                    looked_up: row.get(4)?,
                    held_from: row.get::<_, Option<i64>>(5)?.and_then(State::from_code),
                    attempted_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
                    doubt_since: row.get::<_, Option<i64>>(7)?.map(Timestamp),
                    hold_next: row.get(8)?,
                    partly: row.get(9)?,
                    trying: read_trying(row, 10)?,
                },
            ))
        });
        let (state, standing) = found
            .optional()
            .map_err(store_error)?
            .ok_or(SpoolError::Stale)?;
        let state = state.ok_or_else(|| damaged("unknown dispatch state"))?;
        Ok(Standing { state, ..standing })
    }

    /// Counts an event of a message; returns how many there were before, and how many dispatches are open.
    fn count_event(&self, message: MessageKey) -> Result<(u32, u32), SpoolError> {
        // Two statements instead of RETURNING, which builds a temporary table for its one row. Past the events that
        // are kept one by one the number means nothing any more.
        self.execute(
            "UPDATE message SET events = min(events + 1, ?2) WHERE key = ?1",
            params![message.0, EVENTS_MAX + 1],
        )?;
        self.connection
            .prepare_cached("SELECT events - 1, unsettled FROM message WHERE key = ?1")
            .and_then(|mut statement| {
                statement.query_row([message.0], |row| Ok((row.get(0)?, row.get(1)?)))
            })
            .map_err(store_error)
    }

    /// The lanes with dispatches of an account in a state, each found by one step into the index. A recursive
    /// query would do it in one statement, at the price of a temporary table for each.
    fn lanes_of(&self, account: &str, state: State) -> Result<Vec<String>, SpoolError> {
        let mut lanes: Vec<String> = Vec::new();
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT lane FROM dispatch
                 WHERE account = ?1 AND state = ?2 AND state <= 4 AND lane > ?3
                 ORDER BY lane LIMIT 1",
            )
            .map_err(store_error)?;
        loop {
            // No lane has no name.
            let last = lanes.last().map_or("", String::as_str);
            let values = params![account, state.code(), last];
            let next = statement.query_row(values, |row| row.get(0)).optional();
            match next.map_err(store_error)? {
                Some(lane) => lanes.push(lane),
                None => return Ok(lanes),
            }
        }
    }

    /// The earliest due time of a lane after `after`.
    fn first_due(
        &self,
        account: &str,
        state: State,
        lane: &str,
        after: Timestamp,
    ) -> Result<Option<Timestamp>, SpoolError> {
        self.connection
            .prepare_cached(
                "SELECT due_at FROM dispatch
                 WHERE account = ?1 AND state = ?2 AND state <= 4 AND lane = ?3 AND due_at > ?4
                 ORDER BY due_at LIMIT 1",
            )
            .and_then(|mut statement| {
                let values = params![account, state.code(), lane, after.0];
                statement
                    .query_row(values, |row| row.get(0).map(Timestamp))
                    .optional()
            })
            .map_err(store_error)
    }

    /// A dispatch is settled: it fills nothing any more.
    fn leave_lane(&mut self, key: DispatchKey) -> Result<(), SpoolError> {
        let (account, lane, octets): (String, String, i64) = self
            .connection
            .prepare_cached("SELECT account, lane, octets FROM dispatch WHERE key = ?1")
            .and_then(|mut statement| {
                statement.query_row([key.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            })
            .map_err(store_error)?;
        self.lanes.add(&account, &lane, -octets);
        Ok(())
    }

    fn finish_if_settled(
        &self,
        message: MessageKey,
        unsettled: u32,
        at: Timestamp,
    ) -> Result<(), SpoolError> {
        if unsettled > 0 {
            return Ok(());
        }
        self.execute(
            "UPDATE message SET settled_at = ?2 WHERE key = ?1",
            params![message.0, at.0],
        )?;
        self.delete_content(message)
    }

    fn content(&self, key: i64) -> Result<Bytes, SpoolError> {
        self.connection
            .prepare_cached("SELECT octets FROM content WHERE key = ?1")
            .and_then(|mut statement| {
                statement.query_row([key], |row| row.get::<_, Vec<u8>>(0).map(Bytes::from))
            })
            .map_err(store_error)
    }

    fn load(&self, due: Due) -> Result<Leased, SpoolError> {
        let key = due.key.message();
        let mut head = self.content(key.part(HEAD_PART))?;
        if due.prefix_octets > head.len() {
            return Err(damaged("header block is shorter than its prefix"));
        }
        let prefix = head.split_to(due.prefix_octets);
        let content = if due.chunks <= 1 {
            Content::Inline(match due.chunks {
                0 => Bytes::new(),
                _ => self.content(key.part(FIRST_BODY_PART))?,
            })
        } else {
            Content::Chunked {
                octets: due.body_octets,
                chunks: due.chunks,
            }
        };
        Ok(Leased {
            id: DispatchId {
                spool_id: due.id,
                number: due.key.number(),
            },
            key: due.key,
            account: due.account,
            device: due.device,
            lane: due.lane,
            received_at: due.received_at,
            attempts: due.attempts,
            trying: due.trying,
            in_doubt: due.in_doubt,
            attempted_at: due.attempted_at,
            doubt_since: due.doubt_since,
            partly: due.partly,
            looked_up: due.looked_up,
            dispatch: from_json(&due.plan)?,
            shared: read_shared(due.shared.as_deref())?,
            envelope: from_json(&due.envelope)?,
            prefix,
            head,
            content,
        })
    }
}

impl Store for SqliteStore {
    fn explain(&mut self, error: SpoolError) -> SpoolError {
        self.disk.explain(error)
    }

    fn begin(&mut self) -> Result<(), SpoolError> {
        self.counts_before = self.counts;
        self.lanes.pending.clear();
        self.execute("BEGIN IMMEDIATE", &[]).map(|_| ())
    }

    fn commit(&mut self) -> Result<(), SpoolError> {
        self.execute("COMMIT", &[])?;
        self.lanes.settle();
        Ok(())
    }

    fn rollback(&mut self) {
        self.counts = self.counts_before;
        self.lanes.pending.clear();
        // SQLite rolls back by itself on some errors; then there is nothing left to do.
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK", &[])
        {
            tracing::error!(%error, "rolling back a spool transaction failed");
        }
    }

    fn append_draft(
        &mut self,
        key: MessageKey,
        sequence: u32,
        octets: &[u8],
    ) -> Result<(), SpoolError> {
        if sequence == 0 {
            self.execute("INSERT INTO draft (key) VALUES (?1)", params![key.0])?;
        }
        self.execute(
            "INSERT INTO content (key, octets) VALUES (?1, ?2)",
            params![key.part(FIRST_BODY_PART + sequence), octets],
        )?;
        Ok(())
    }

    fn discard_draft(&mut self, key: MessageKey) -> Result<(), SpoolError> {
        // A draft that has become a message is no draft any more: its content stays.
        if self.execute("DELETE FROM draft WHERE key = ?1", params![key.0])? > 0 {
            self.delete_content(key)?;
        }
        Ok(())
    }

    fn insert(
        &mut self,
        key: MessageKey,
        submission: &Submission,
        due_at: Timestamp,
        (chunks, body_octets): (u32, u64),
        rest: &[u8],
    ) -> Result<(), SpoolError> {
        if chunks > 0 {
            self.execute("DELETE FROM draft WHERE key = ?1", params![key.0])?;
        }
        let head = [submission.prefix.as_ref(), submission.head.as_ref()].concat();
        let add = "INSERT INTO content (key, octets) VALUES (?1, ?2)";
        self.execute(add, params![key.part(HEAD_PART), head])?;
        let mut chunks = chunks;
        if !rest.is_empty() {
            self.execute(add, params![key.part(FIRST_BODY_PART + chunks), rest])?;
            chunks += 1;
        }
        let count = submission.dispatches.len() as u64;
        let lane = submission.lane.as_str();
        self.execute(
            "INSERT INTO message (key, id, received_at, account, device, origin, envelope, size,
                 prefix_octets, body_octets, chunks, dispatches, unsettled, shared)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13)",
            params![
                key.0,
                submission.id.as_bytes(),
                submission.received_at.0,
                submission.account,
                submission.device,
                to_json(&submission.origin),
                to_json(&submission.envelope),
                submission.size as i64,
                submission.prefix.len() as i64,
                body_octets as i64,
                chunks,
                count as i64,
                (!submission.shared.is_empty()).then(|| to_json(&submission.shared)),
            ],
        )?;
        self.lanes
            .add(&submission.account, lane, submission.octets() as i64);
        let shares = submission.shares();
        for ((number, dispatch), octets) in (0..).zip(&submission.dispatches).zip(shares) {
            self.execute(
                "INSERT INTO dispatch (key, account, state, due_at, plan, lane, octets)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    key.part(number),
                    submission.account,
                    State::Queued.code(),
                    due_at.0,
                    to_json(dispatch),
                    lane,
                    octets as i64,
                ],
            )?;
        }
        self.counts.add(State::Queued, count);
        self.oldest_from = self.oldest_from.min(key.0);
        Ok(())
    }

    fn due_lanes(
        &mut self,
        account: &str,
        state: State,
        now: Timestamp,
    ) -> Result<Vec<String>, SpoolError> {
        let mut due = Vec::new();
        for lane in self.lanes_of(account, state)? {
            let first = self.first_due(account, state, &lane, Timestamp(i64::MIN))?;
            if first.is_some_and(|first| first <= now) {
                due.push(lane);
            }
        }
        Ok(due)
    }

    fn due(
        &mut self,
        lane: Lane<'_>,
        now: Timestamp,
        limit: usize,
        skip: &dyn Fn(DispatchKey) -> bool,
    ) -> Result<DueBatch, SpoolError> {
        let mut found: Vec<Due> = Vec::new();
        {
            let mut statement = self
                .connection
                .prepare_cached(
                    "SELECT d.key, d.looked_up, d.attempts, d.state, d.plan, m.id, m.account, m.device,
                         m.received_at, m.envelope, m.prefix_octets, m.body_octets, m.chunks,
                         d.lane, d.attempted_at, d.doubt_since, d.partly, d.trying_ms, d.trying_run,
                         d.trying_mark, m.shared
                     FROM dispatch d JOIN message m ON m.key = d.key / 1048576
                     WHERE d.account = ?1 AND d.state = ?2 AND d.state <= 4 AND d.lane = ?4
                         AND d.due_at <= ?3
                     ORDER BY d.due_at",
                )
                .map_err(store_error)?;
            let mut rows = statement
                .query(params![lane.account, lane.state.code(), now.0, lane.name])
                .map_err(store_error)?;
            while found.len() < limit
                && let Some(row) = rows.next().map_err(store_error)?
            {
                if !skip(DispatchKey(row.get(0).map_err(store_error)?)) {
                    found.push(Due::read(row).map_err(store_error)?);
                }
            }
        }
        let mut batch = DueBatch::default();
        for due in found {
            let key = due.key;
            let id = DispatchId {
                spool_id: due.id,
                number: key.number(),
            };
            match self.load(due) {
                Ok(loaded) => batch.leased.push(loaded),
                Err(error) => match self.explain(error) {
                    SpoolError::Damaged(_) => batch.damaged.push((key, id)),
                    SpoolError::Corrupt(_) => batch.unreadable.push((key, id)),
                    error => return Err(error),
                },
            }
        }
        Ok(batch)
    }

    fn next_due(
        &mut self,
        account: &str,
        state: State,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, SpoolError> {
        let mut earliest = None;
        for lane in self.lanes_of(account, state)? {
            let next = self.first_due(account, state, &lane, now)?;
            earliest = earliest.into_iter().chain(next).min();
        }
        Ok(earliest)
    }

    fn pull_due(&mut self, latest: Timestamp, now: Timestamp) -> Result<u32, SpoolError> {
        let pulled = self.execute(
            "UPDATE dispatch SET due_at = ?2
             WHERE state IN (1, 3) AND state <= 4 AND due_at > ?1",
            params![latest.0, now.0],
        )?;
        Ok(u32::try_from(pulled).unwrap_or(u32::MAX))
    }

    fn open_accounts(&mut self) -> Result<Vec<(String, u64)>, SpoolError> {
        let mut statement = self
            .connection
            .prepare("SELECT account, count(*) FROM dispatch WHERE state <= 4 GROUP BY account")
            .map_err(store_error)?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
            .map_err(store_error)?;
        rows.map(|row| {
            let (account, count) = row.map_err(store_error)?;
            Ok((account, u64::try_from(count).unwrap_or(0)))
        })
        .collect()
    }

    fn change(
        &mut self,
        key: DispatchKey,
        change: &mut dyn FnMut(&mut Standing) -> Result<(), SpoolError>,
    ) -> Result<Standing, SpoolError> {
        let mut standing = self.standing(key)?;
        let was = standing.state;
        change(&mut standing)?;
        let trying = standing.trying;
        self.execute(
            "UPDATE dispatch SET state = ?2, due_at = ?3, attempts = ?4, possibly_duplicate = ?5,
                 looked_up = ?6, held_from = ?7, attempted_at = ?8, doubt_since = ?9, hold_next = ?10,
                 partly = ?11, trying_ms = ?12, trying_run = ?13, trying_mark = ?14
             WHERE key = ?1",
            params![
                key.0,
                standing.state.code(),
                standing.due_at.map(|at| at.0),
                standing.attempts,
                standing.possibly_duplicate,
                standing.looked_up,
                standing.held_from.map(State::code),
                standing.attempted_at.map(|at| at.0),
                standing.doubt_since.map(|at| at.0),
                standing.hold_next,
                standing.partly,
                milliseconds(trying.spent),
                trying.mark.map(|mark| mark.run),
                trying.mark.map(|mark| milliseconds(mark.at)),
            ],
        )?;
        self.counts.remove(was, 1);
        self.counts.add(standing.state, 1);
        if standing.state.is_settled() && !was.is_settled() {
            self.leave_lane(key)?;
            self.execute(
                "UPDATE message SET unsettled = unsettled - 1 WHERE key = ?1",
                params![key.message().0],
            )?;
        }
        Ok(standing)
    }

    fn tell(&mut self, key: DispatchKey, event: EventRecord) -> Result<(), SpoolError> {
        let message = key.message();
        let (events, unsettled) = self.count_event(message)?;
        self.execute(
            "INSERT OR REPLACE INTO event (key, record) VALUES (?1, ?2)",
            params![
                message.part(event_row(events, key.number())),
                to_json(&event)
            ],
        )?;
        self.finish_if_settled(message, unsettled, event.at)
    }

    fn dispatches(&mut self, id: SpoolId) -> Result<Vec<DispatchKey>, SpoolError> {
        let Some(message) = self.key_of(id)? else {
            return Ok(Vec::new());
        };
        self.keys(
            "SELECT key FROM dispatch WHERE key >= ?1 AND key < ?2 ORDER BY key",
            params![message.part(0), message.parts_end()],
        )
    }

    /// Reads the whole queue index: for start only.
    fn in_flight(&mut self) -> Result<Vec<DispatchKey>, SpoolError> {
        self.keys(
            "SELECT key FROM dispatch WHERE state = ?1 AND state <= 4",
            params![State::InFlight.code()],
        )
    }

    fn stored(&mut self, id: SpoolId) -> Result<Option<(Bytes, MessageKey, u32)>, SpoolError> {
        let found: Option<(i64, u32)> = self
            .connection
            .query_row(
                "SELECT key, chunks FROM message WHERE id = ?1 AND settled_at IS NULL",
                [id.as_bytes()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(store_error)?;
        let Some((key, chunks)) = found else {
            return Ok(None);
        };
        let key = MessageKey(key);
        Ok(Some((self.content(key.part(HEAD_PART))?, key, chunks)))
    }

    fn shift_doubts(&mut self, step_ms: i64) -> Result<(), SpoolError> {
        // Only to the side where less is proven by an event.
        let column = if step_ms < 0 {
            "doubt_since"
        } else {
            "attempted_at"
        };
        self.execute(
            &format!(
                "UPDATE dispatch SET {column} = {column} + ?1
                 WHERE state IN (?2, ?3) AND state <= 4"
            ),
            params![step_ms, State::InFlight.code(), State::InDoubt.code()],
        )?;
        Ok(())
    }

    fn seen(&mut self) -> Result<Option<Seen>, SpoolError> {
        let note = |name: &str| -> Result<Option<i64>, SpoolError> {
            self.connection
                .query_row("SELECT value FROM note WHERE name = ?1", [name], |row| {
                    row.get(0)
                })
                .optional()
                .map_err(store_error)
        };
        let Some(at) = note("seen_at")? else {
            return Ok(None);
        };
        let ahead_ms = note("ahead_ms")?.unwrap_or(0);
        // Not noted by older versions.
        let aged_to = note("aged_to")?.unwrap_or(at.saturating_sub(ahead_ms));
        Ok(Some(Seen {
            at: Timestamp(at),
            ahead_ms,
            aged_to: Timestamp(aged_to),
        }))
    }

    fn note_seen(&mut self, seen: Seen) -> Result<(), SpoolError> {
        for (name, value) in [
            ("seen_at", seen.at.0),
            ("ahead_ms", seen.ahead_ms),
            ("aged_to", seen.aged_to.0),
        ] {
            self.execute(
                "INSERT OR REPLACE INTO note (name, value) VALUES (?1, ?2)",
                params![name, value],
            )?;
        }
        Ok(())
    }

    fn forget_settled(&mut self, before: Timestamp, limit: u32) -> Result<u32, SpoolError> {
        let keys: Vec<i64> = {
            let mut statement = self
                .connection
                .prepare_cached(
                    "SELECT key FROM message WHERE settled_at IS NOT NULL AND settled_at < ?1 LIMIT ?2",
                )
                .map_err(store_error)?;
            let rows = statement
                .query_map(params![before.0, limit], |row| row.get(0))
                .map_err(store_error)?;
            rows.collect::<Result<_, _>>().map_err(store_error)?
        };
        for key in &keys {
            let key = MessageKey(*key);
            let range = params![key.part(0), key.parts_end()];
            self.execute("DELETE FROM event WHERE key >= ?1 AND key < ?2", range)?;
            self.execute("DELETE FROM dispatch WHERE key >= ?1 AND key < ?2", range)?;
            self.execute("DELETE FROM content WHERE key >= ?1 AND key < ?2", range)?;
            self.execute("DELETE FROM message WHERE key = ?1", params![key.0])?;
        }
        Ok(u32::try_from(keys.len()).unwrap_or(u32::MAX))
    }

    fn chunk(&mut self, key: MessageKey, sequence: u32) -> Result<Bytes, SpoolError> {
        self.content(key.part(FIRST_BODY_PART + sequence))
    }

    fn list(
        &mut self,
        all: bool,
        before: Option<SpoolId>,
        limit: u32,
    ) -> Result<Vec<QueueRow>, SpoolError> {
        self.rows(all, before, limit)
    }

    fn show(&mut self, id: SpoolId) -> Result<Option<MessageRecord>, SpoolError> {
        self.record(id)
    }

    fn oldest_unsettled(&mut self) -> Result<Option<Timestamp>, SpoolError> {
        // Keys grow with time, and below the last answer nothing becomes unsettled again: over the
        // life of the process each message is passed once.
        let found: Option<(i64, i64)> = self
            .connection
            .prepare_cached(
                "SELECT key, received_at FROM message
                 WHERE key >= ?1 AND settled_at IS NULL ORDER BY key LIMIT 1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([self.oldest_from], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(store_error)?;
        self.oldest_from = match found {
            Some((key, _)) => key,
            None => self.last_key()?.0 + 1,
        };
        Ok(found.map(|(_, received_at)| Timestamp(received_at)))
    }

    fn disk_use(&mut self) -> Result<DiskUse, SpoolError> {
        SqliteStore::disk_use(self)
    }

    fn make_room(&mut self) -> bool {
        self.relieve()
    }

    fn is_low(&self) -> bool {
        self.has_given_up()
    }

    fn tidy(&mut self, idle: bool) -> Result<bool, SpoolError> {
        self.give_back(idle)
    }

    fn lane_changes(&mut self) -> Vec<(String, u64)> {
        let mut changes = Vec::new();
        for lane in std::mem::take(&mut self.lanes.changed) {
            let octets = self.lanes.octets.get(&lane).copied().unwrap_or(0);
            if octets <= 0 {
                self.lanes.octets.remove(&lane);
            }
            changes.push((lane, u64::try_from(octets).unwrap_or(0)));
        }
        changes
    }

    fn counts(&self) -> Counts {
        self.counts
    }

    fn put_rules(
        &mut self,
        account: &str,
        parts: &[RulesPart],
        keep: Option<RangeInclusive<u32>>,
    ) -> Result<(), SpoolError> {
        for part in parts {
            self.execute(
                "INSERT OR REPLACE INTO rules (account, section, part, record)
                 VALUES (?1, ?2, ?3, ?4)",
                params![account, part.section, part.number, part.record.as_ref()],
            )?;
        }
        if let (Some(keep), Some(first)) = (keep, parts.first()) {
            self.execute(
                "DELETE FROM rules WHERE account = ?1 AND section = ?2 AND part > 0
                 AND part NOT BETWEEN ?3 AND ?4",
                params![account, first.section, keep.start(), keep.end()],
            )?;
        }
        Ok(())
    }

    fn rules(&mut self, account: &str) -> Result<Vec<RulesPart>, SpoolError> {
        let mut statement = self
            .connection
            .prepare(
                "SELECT section, part, record FROM rules WHERE account = ?1 ORDER BY section, part",
            )
            .map_err(store_error)?;
        let rows = statement
            .query_map([account], |row| {
                Ok(RulesPart {
                    section: row.get(0)?,
                    number: row.get(1)?,
                    record: row.get::<_, Vec<u8>>(2)?.into(),
                })
            })
            .map_err(store_error)?;
        rows.collect::<Result<_, _>>().map_err(store_error)
    }

    fn note_refusal(&mut self, record: &str) -> Result<(), SpoolError> {
        self.execute("INSERT INTO refusal (record) VALUES (?1)", params![record])?;
        let last = self.connection.last_insert_rowid();
        self.execute(
            "DELETE FROM refusal WHERE key <= ?1",
            params![last - REFUSALS_MAX],
        )?;
        Ok(())
    }

    fn refusals(&mut self, limit: u32) -> Result<Vec<String>, SpoolError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT record FROM refusal ORDER BY key DESC LIMIT ?1")
            .map_err(store_error)?;
        let rows = statement
            .query_map([limit], |row| row.get(0))
            .map_err(store_error)?;
        rows.collect::<Result<_, _>>().map_err(store_error)
    }

    fn last_key(&mut self) -> Result<MessageKey, SpoolError> {
        self.connection
            .query_row(
                "SELECT max(coalesce((SELECT max(key) FROM message), 0),
                     coalesce((SELECT max(key) FROM draft), 0))",
                [],
                |row| row.get(0),
            )
            .map(MessageKey)
            .map_err(store_error)
    }
}

/// A row of the due query, before its content is read.
struct Due {
    key: DispatchKey,
    looked_up: u32,
    attempts: u32,
    trying: Trying,
    in_doubt: bool,
    attempted_at: Option<Timestamp>,
    doubt_since: Option<Timestamp>,
    partly: bool,
    shared: Option<String>,
    plan: String,
    id: SpoolId,
    account: String,
    device: Option<String>,
    lane: String,
    received_at: Timestamp,
    envelope: String,
    prefix_octets: usize,
    body_octets: u64,
    chunks: u32,
}

impl Due {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: DispatchKey(row.get(0)?),
            looked_up: row.get(1)?,
            attempts: row.get(2)?,
            in_doubt: row.get::<_, i64>(3)? == State::InDoubt.code(),
            plan: row.get(4)?,
            id: SpoolId::from_bytes(row.get(5)?),
            account: row.get(6)?,
            device: row.get(7)?,
            received_at: Timestamp(row.get(8)?),
            envelope: row.get(9)?,
            prefix_octets: usize::try_from(row.get::<_, i64>(10)?).unwrap_or(usize::MAX),
            body_octets: u64::try_from(row.get::<_, i64>(11)?).unwrap_or(0),
            chunks: row.get(12)?,
            lane: row.get(13)?,
            attempted_at: row.get::<_, Option<i64>>(14)?.map(Timestamp),
            doubt_since: row.get::<_, Option<i64>>(15)?.map(Timestamp),
            partly: row.get(16)?,
            trying: read_trying(row, 17)?,
            shared: row.get(20)?,
        })
    }
}

/// What all dispatches of a message have in common.
fn read_shared(text: Option<&str>) -> Result<Shared, SpoolError> {
    text.map_or_else(|| Ok(Shared::default()), from_json)
}

/// Three columns, beginning with this one.
fn read_trying(row: &Row<'_>, first: usize) -> rusqlite::Result<Trying> {
    let duration = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let run: Option<i64> = row.get(first + 1)?;
    let at: Option<i64> = row.get(first + 2)?;
    Ok(Trying {
        spent: duration(row.get(first)?),
        mark: run.zip(at).map(|(run, at)| TryingMark {
            run,
            at: duration(at),
        }),
    })
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Refusals kept; the oldest go first.
const REFUSALS_MAX: i64 = 2_000;

/// What the caller can do about an SQLite error.
pub(super) fn store_error(error: rusqlite::Error) -> SpoolError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SpoolError::InUse,
        Some(ErrorCode::NotADatabase) => SpoolError::Foreign,
        // Also where a page can't be read for an I/O error (`SQLITE_IOERR_CORRUPTFS`).
        Some(ErrorCode::DatabaseCorrupt) => SpoolError::Corrupt(Box::new(error)),
        Some(ErrorCode::DiskFull) => SpoolError::Full(Box::new(error)),
        Some(_) => SpoolError::Unwritable(Box::new(error)),
        None => SpoolError::Damaged(Box::new(error)),
    }
}

fn damaged(what: &str) -> SpoolError {
    SpoolError::Damaged(what.into())
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data without maps of odd keys")
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, SpoolError> {
    serde_json::from_str(text).map_err(|error| SpoolError::Damaged(Box::new(error)))
}

const HEAD_PART: u32 = 0;
const FIRST_BODY_PART: u32 = 1;
