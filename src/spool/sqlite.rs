//! The embedded store: one SQLite database in WAL mode with full sync, owned by one process.
//!
//! Why SQLite and how fast it is: `src/README.md`. Locking is exclusive, so a second gateway on the
//! same directory is told so instead of sharing the queue. A file that is not ours, or damaged, is
//! refused before anything is written to it.

use std::path::Path;

use bytes::Bytes;
use rusqlite::types::ToSql;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Timestamp;
use crate::mail::{Diagnostic, Dispatch, DispatchId, Envelope, SpoolId};

use super::record::{
    Attempt, Content, DispatchKey, DispatchRecord, EventRecord, Leased, MessageKey, MessageRecord,
    Origin, QueueRow, State, Submission, Transition,
};
use super::schema;
use super::store::{Counts, SpoolError, Store};

/// See the module's documentation.
pub struct SqliteStore {
    connection: Connection,
    counts: Counts,
    counts_before: Counts,
    /// No message with a lower key is unsettled.
    oldest_from: i64,
}

impl SqliteStore {
    /// Opens or creates the database.
    ///
    /// # Errors
    /// When the file is foreign, damaged, newer, in use, or can't be written.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let length = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(SpoolError::Unwritable(Box::new(error))),
        };
        let new = length == 0;
        // With a journal beside it the file may be half written; SQLite mends that when it opens it.
        if !new && !path.with_extension("db-journal").exists() {
            check_header(path)?;
        }
        if new {
            create_private(path)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(trouble)?;
        connection.set_prepared_statement_cache_capacity(64);
        if new {
            pragma(&connection, "page_size", PAGE_OCTETS)?;
        }
        pragma(&connection, "locking_mode", "EXCLUSIVE")?;
        // Takes the exclusive lock, and so finds a second process.
        connection
            .execute_batch("BEGIN EXCLUSIVE; COMMIT")
            .map_err(trouble)?;
        if !new && length < QUICK_CHECK_OCTETS_MAX {
            quick_check(&connection)?;
        }
        // Tables come before the write-ahead log, so that the file itself says whose it is.
        schema::prepare(&mut connection)?;
        for (name, value) in PRAGMAS {
            pragma(&connection, name, value)?;
        }
        let mut store = Self {
            connection,
            counts: Counts::default(),
            counts_before: Counts::default(),
            oldest_from: 0,
        };
        store.counts = store.count()?;
        store.sweep_drafts()?;
        Ok(store)
    }

    /// A number is needed at start only; afterwards every transition keeps it up to date.
    fn count(&self) -> Result<Counts, SpoolError> {
        let mut counts = Counts::default();
        let mut statement = self
            .connection
            .prepare(
                "SELECT state, count(*) FROM dispatch WHERE state <= 4 GROUP BY account, state",
            )
            .map_err(trouble)?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
            .map_err(trouble)?;
        for row in rows {
            let (code, count) = row.map_err(trouble)?;
            if let Some(state) = State::from_code(code) {
                counts.add(state, u64::try_from(count).unwrap_or(0));
            }
        }
        Ok(counts)
    }

    fn sweep_drafts(&mut self) -> Result<(), SpoolError> {
        let keys: Vec<i64> = {
            let mut statement = self
                .connection
                .prepare("SELECT key FROM draft")
                .map_err(trouble)?;
            let rows = statement.query_map([], |row| row.get(0)).map_err(trouble)?;
            rows.collect::<Result<_, _>>().map_err(trouble)?
        };
        for key in &keys {
            self.begin()?;
            self.discard_draft(MessageKey(*key))?;
            self.commit()?;
        }
        if !keys.is_empty() {
            tracing::info!(
                drafts = keys.len(),
                "swept messages that were never complete"
            );
        }
        Ok(())
    }

    fn execute(&self, sql: &str, values: &[&dyn ToSql]) -> Result<usize, SpoolError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(trouble)
    }

    fn delete_content(&self, key: MessageKey) -> Result<(), SpoolError> {
        self.execute(
            "DELETE FROM content WHERE key >= ?1 AND key < ?2",
            params![key.part(0), key.parts_end()],
        )?;
        Ok(())
    }

    fn add_event(
        &self,
        message: MessageKey,
        number: u32,
        record: &EventRecord,
    ) -> Result<(), SpoolError> {
        self.execute(
            "INSERT INTO event (key, record) VALUES (?1, ?2)",
            params![message.part(number), to_json(record)],
        )?;
        Ok(())
    }

    /// Counts an event of a message, and settled dispatches; returns the event's number and how many
    /// dispatches are left.
    fn count_event(&self, message: MessageKey, settled: u32) -> Result<(u32, u32), SpoolError> {
        self.connection
            .prepare_cached(
                "UPDATE message SET events = events + 1, unsettled = unsettled - ?2
                 WHERE key = ?1 RETURNING events - 1, unsettled",
            )
            .and_then(|mut statement| {
                statement.query_row(params![message.0, settled], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
            })
            .map_err(trouble)
    }

    fn content(&self, key: i64) -> Result<Bytes, SpoolError> {
        self.connection
            .prepare_cached("SELECT octets FROM content WHERE key = ?1")
            .and_then(|mut statement| {
                statement.query_row([key], |row| row.get::<_, Vec<u8>>(0).map(Bytes::from))
            })
            .map_err(trouble)
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
            received_at: due.received_at,
            attempts: due.attempts,
            in_doubt: due.in_doubt,
            dispatch: from_json(&due.plan)?,
            envelope: from_json(&due.envelope)?,
            prefix,
            head,
            content,
        })
    }

    /// State and attempts of a dispatch that is queued or in doubt.
    fn waiting(&self, key: DispatchKey) -> Result<(State, u32), SpoolError> {
        let found: Option<(i64, u32)> = self
            .connection
            .prepare_cached("SELECT state, attempts FROM dispatch WHERE key = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([key.0], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(trouble)?;
        match found.map(|(code, attempts)| (State::from_code(code), attempts)) {
            Some((Some(state @ (State::Queued | State::InDoubt)), attempts)) => {
                Ok((state, attempts))
            }
            _ => Err(SpoolError::Stale),
        }
    }

    /// Reads the whole queue index: for start only.
    fn in_flight(&self) -> Result<Vec<DispatchKey>, SpoolError> {
        let mut statement = self
            .connection
            .prepare("SELECT key FROM dispatch WHERE state = 2 AND state <= 4")
            .map_err(trouble)?;
        let rows = statement
            .query_map([], |row| row.get(0).map(DispatchKey))
            .map_err(trouble)?;
        rows.collect::<Result<_, _>>().map_err(trouble)
    }

    fn parts(&self, key: MessageKey) -> Result<Vec<DispatchRecord>, SpoolError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT key, state, due_at, attempts, possibly_duplicate, plan
                 FROM dispatch WHERE key >= ?1 AND key < ?2 ORDER BY key",
            )
            .map_err(trouble)?;
        let mut rows = statement
            .query(params![key.part(0), key.parts_end()])
            .map_err(trouble)?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next().map_err(trouble)? {
            let plan: String = row.get(5).map_err(trouble)?;
            let dispatch: Dispatch = from_json(&plan)?;
            parts.push(DispatchRecord {
                number: DispatchKey(row.get(0).map_err(trouble)?).number(),
                state: State::from_code(row.get(1).map_err(trouble)?)
                    .ok_or_else(|| damaged("unknown dispatch state"))?,
                recipients: dispatch
                    .recipients
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                byte_exact: dispatch.edits.is_empty(),
                attempts: row.get(3).map_err(trouble)?,
                due_at: row
                    .get::<_, Option<i64>>(2)
                    .map_err(trouble)?
                    .map(Timestamp),
                possibly_duplicate: row.get::<_, i64>(4).map_err(trouble)? != 0,
            });
        }
        Ok(parts)
    }

    fn events(&self, key: MessageKey) -> Result<Vec<EventRecord>, SpoolError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT record FROM event WHERE key >= ?1 AND key < ?2 ORDER BY key")
            .map_err(trouble)?;
        let rows = statement
            .query_map(params![key.part(0), key.parts_end()], |row| {
                row.get::<_, String>(0)
            })
            .map_err(trouble)?;
        rows.map(|row| from_json(&row.map_err(trouble)?)).collect()
    }
}

impl Store for SqliteStore {
    fn begin(&mut self) -> Result<(), SpoolError> {
        self.counts_before = self.counts;
        self.execute("BEGIN IMMEDIATE", &[]).map(|_| ())
    }

    fn commit(&mut self) -> Result<(), SpoolError> {
        self.execute("COMMIT", &[]).map(|_| ())
    }

    fn rollback(&mut self) {
        self.counts = self.counts_before;
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
        chunks: u32,
        body_octets: u64,
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
        self.execute(
            "INSERT INTO message (key, id, received_at, account, device, origin, envelope, size,
                 prefix_octets, body_octets, chunks, dispatches, unsettled)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)",
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
            ],
        )?;
        for (number, dispatch) in (0..).zip(&submission.dispatches) {
            self.execute(
                "INSERT INTO dispatch (key, account, state, due_at, plan) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    key.part(number),
                    submission.account,
                    State::Queued.code(),
                    submission.received_at.0,
                    to_json(dispatch),
                ],
            )?;
        }
        self.counts.add(State::Queued, count);
        self.oldest_from = self.oldest_from.min(key.0);
        Ok(())
    }

    fn due(
        &mut self,
        account: &str,
        now: Timestamp,
        limit: usize,
        skip: &dyn Fn(DispatchKey) -> bool,
    ) -> Result<Vec<Leased>, SpoolError> {
        let mut found: Vec<Due> = Vec::new();
        for state in [State::Queued, State::InDoubt] {
            let mut statement = self
                .connection
                .prepare_cached(
                    "SELECT d.key, d.due_at, d.attempts, d.state, d.plan, m.id, m.account, m.device,
                         m.received_at, m.envelope, m.prefix_octets, m.body_octets, m.chunks
                     FROM dispatch d JOIN message m ON m.key = d.key / 1048576
                     WHERE d.account = ?1 AND d.state = ?2 AND d.state <= 4 AND d.due_at <= ?3
                     ORDER BY d.due_at",
                )
                .map_err(trouble)?;
            let mut rows = statement
                .query(params![account, state.code(), now.0])
                .map_err(trouble)?;
            let mut taken = 0;
            while taken < limit
                && let Some(row) = rows.next().map_err(trouble)?
            {
                if skip(DispatchKey(row.get(0).map_err(trouble)?)) {
                    continue;
                }
                found.push(Due::read(row).map_err(trouble)?);
                taken += 1;
            }
        }
        found.sort_by_key(|due| due.due_at);
        found.truncate(limit);
        found.into_iter().map(|due| self.load(due)).collect()
    }

    fn next_due(&mut self, account: &str, now: Timestamp) -> Result<Option<Timestamp>, SpoolError> {
        let mut earliest: Option<i64> = None;
        for state in [State::Queued, State::InFlight, State::InDoubt] {
            let due: Option<i64> = self
                .connection
                .prepare_cached(
                    "SELECT due_at FROM dispatch
                     WHERE account = ?1 AND state = ?2 AND state <= 4 AND due_at > ?3
                     ORDER BY due_at LIMIT 1",
                )
                .and_then(|mut statement| {
                    statement
                        .query_row(params![account, state.code(), now.0], |row| row.get(0))
                        .optional()
                })
                .map_err(trouble)?;
            earliest = earliest.into_iter().chain(due).min();
        }
        Ok(earliest.map(Timestamp))
    }

    fn begin_attempt(
        &mut self,
        attempt: &Attempt,
        expires_at: Timestamp,
    ) -> Result<(), SpoolError> {
        let (was, _) = self.waiting(attempt.key)?;
        self.execute(
            "UPDATE dispatch SET state = ?2, due_at = ?3, attempts = ?4,
                 possibly_duplicate = possibly_duplicate OR ?5
             WHERE key = ?1",
            params![
                attempt.key.0,
                State::InFlight.code(),
                expires_at.0,
                attempt.number,
                was == State::InDoubt,
            ],
        )?;
        self.counts.remove(was, 1);
        self.counts.add(State::InFlight, 1);
        Ok(())
    }

    fn settle(
        &mut self,
        attempt: &Attempt,
        transition: &Transition,
        at: Timestamp,
    ) -> Result<(), SpoolError> {
        let state = transition.state();
        let changed = self.execute(
            "UPDATE dispatch SET state = ?2, due_at = ?3 WHERE key = ?1 AND state = ?4",
            params![
                attempt.key.0,
                state.code(),
                transition.due_at().map(|at| at.0),
                State::InFlight.code(),
            ],
        )?;
        if changed == 0 {
            return Err(SpoolError::Stale);
        }
        let message = attempt.key.message();
        let (event, unsettled) = self.count_event(message, u32::from(state.is_settled()))?;
        self.add_event(message, event, &transition.event(attempt, at))?;
        if unsettled == 0 {
            self.execute(
                "UPDATE message SET settled_at = ?2 WHERE key = ?1",
                params![message.0, at.0],
            )?;
            self.delete_content(message)?;
        }
        self.counts.remove(State::InFlight, 1);
        self.counts.add(state, 1);
        Ok(())
    }

    fn hold(
        &mut self,
        key: DispatchKey,
        why: &Diagnostic,
        at: Timestamp,
    ) -> Result<(), SpoolError> {
        let (was, attempts) = self.waiting(key)?;
        self.execute(
            "UPDATE dispatch SET state = ?2, due_at = NULL WHERE key = ?1",
            params![key.0, State::Held.code()],
        )?;
        let (event, _) = self.count_event(key.message(), 0)?;
        let record = EventRecord::held(key.number(), attempts, at, why);
        self.add_event(key.message(), event, &record)?;
        self.counts.remove(was, 1);
        self.counts.add(State::Held, 1);
        Ok(())
    }

    fn interrupt(
        &mut self,
        attempts: Option<&[DispatchKey]>,
        now: Timestamp,
        confirm_at: Timestamp,
    ) -> Result<u32, SpoolError> {
        let all;
        let keys = match attempts {
            Some(keys) => keys,
            None => {
                all = self.in_flight()?;
                &all
            }
        };
        let mut interrupted = 0;
        for key in keys {
            let attempts: Option<u32> = self
                .connection
                .prepare_cached(
                    "UPDATE dispatch SET state = ?2, due_at = ?3 WHERE key = ?1 AND state = ?4
                     RETURNING attempts",
                )
                .and_then(|mut statement| {
                    let values = params![
                        key.0,
                        State::InDoubt.code(),
                        confirm_at.0,
                        State::InFlight.code()
                    ];
                    statement.query_row(values, |row| row.get(0)).optional()
                })
                .map_err(trouble)?;
            let Some(attempts) = attempts else { continue };
            let (event, _) = self.count_event(key.message(), 0)?;
            let record = EventRecord::interrupted(key.number(), attempts, now, confirm_at);
            self.add_event(key.message(), event, &record)?;
            self.counts.remove(State::InFlight, 1);
            self.counts.add(State::InDoubt, 1);
            interrupted += 1;
        }
        Ok(interrupted)
    }

    fn forget_settled(&mut self, before: Timestamp, limit: u32) -> Result<u32, SpoolError> {
        let keys: Vec<i64> = {
            let mut statement = self
                .connection
                .prepare_cached(
                    "SELECT key FROM message WHERE settled_at IS NOT NULL AND settled_at < ?1 LIMIT ?2",
                )
                .map_err(trouble)?;
            let rows = statement
                .query_map(params![before.0, limit], |row| row.get(0))
                .map_err(trouble)?;
            rows.collect::<Result<_, _>>().map_err(trouble)?
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
        let below: i64 = match before {
            None => i64::MAX,
            Some(id) => self
                .connection
                .query_row(
                    "SELECT key FROM message WHERE id = ?1",
                    [id.as_bytes()],
                    |row| row.get(0),
                )
                .optional()
                .map_err(trouble)?
                .unwrap_or(0),
        };
        let from = if all {
            0
        } else {
            self.oldest_unsettled()?;
            self.oldest_from
        };
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id, received_at, account, device, size, envelope, unsettled, dispatches
                 FROM message WHERE key < ?1 AND key >= ?4 AND (?2 OR settled_at IS NULL)
                 ORDER BY key DESC LIMIT ?3",
            )
            .map_err(trouble)?;
        let mut rows = statement
            .query(params![below, all, limit, from])
            .map_err(trouble)?;
        let mut list = Vec::new();
        while let Some(row) = rows.next().map_err(trouble)? {
            list.push(read_queue_row(row)?);
        }
        Ok(list)
    }

    fn show(&mut self, id: SpoolId) -> Result<Option<MessageRecord>, SpoolError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id, received_at, account, device, size, envelope, unsettled, dispatches,
                     key, origin, settled_at
                 FROM message WHERE id = ?1",
            )
            .map_err(trouble)?;
        let mut rows = statement.query([id.as_bytes()]).map_err(trouble)?;
        let Some(row) = rows.next().map_err(trouble)? else {
            return Ok(None);
        };
        let key = MessageKey(row.get(8).map_err(trouble)?);
        let origin: Origin = from_json(&row.get::<_, String>(9).map_err(trouble)?)?;
        Ok(Some(MessageRecord {
            row: read_queue_row(row)?,
            origin,
            settled_at: row
                .get::<_, Option<i64>>(10)
                .map_err(trouble)?
                .map(Timestamp),
            parts: self.parts(key)?,
            events: self.events(key)?,
        }))
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
            .map_err(trouble)?;
        self.oldest_from = match found {
            Some((key, _)) => key,
            None => self.last_key()?.0 + 1,
        };
        Ok(found.map(|(_, received_at)| Timestamp(received_at)))
    }

    fn counts(&self) -> Counts {
        self.counts
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
            .map_err(trouble)
    }
}

/// A row of the due query, before its content is read.
struct Due {
    key: DispatchKey,
    due_at: i64,
    attempts: u32,
    in_doubt: bool,
    plan: String,
    id: SpoolId,
    account: String,
    device: Option<String>,
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
            due_at: row.get(1)?,
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
        })
    }
}

fn read_queue_row(row: &Row<'_>) -> Result<QueueRow, SpoolError> {
    let envelope: Envelope = from_json(&row.get::<_, String>(5).map_err(trouble)?)?;
    Ok(QueueRow {
        id: SpoolId::from_bytes(row.get(0).map_err(trouble)?),
        received_at: Timestamp(row.get(1).map_err(trouble)?),
        account: row.get(2).map_err(trouble)?,
        device: row.get(3).map_err(trouble)?,
        size: u64::try_from(row.get::<_, i64>(4).map_err(trouble)?).unwrap_or(0),
        reverse_path: envelope.reverse_path.to_string(),
        recipients: envelope
            .recipients
            .as_slice()
            .iter()
            .map(ToString::to_string)
            .collect(),
        unsettled: row.get(6).map_err(trouble)?,
        dispatches: row.get(7).map_err(trouble)?,
    })
}

/// Other people's mail is for the owner's eyes only; SQLite gives its log the same mode.
fn create_private(path: &Path) -> Result<(), SpoolError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let created = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    created
        .map(|_| ())
        .map_err(|error| SpoolError::Unwritable(Box::new(error)))
}

/// Looks at the file's own header (SQLite file format §1.3) before SQLite may write to it.
fn check_header(path: &Path) -> Result<(), SpoolError> {
    use std::io::Read as _;
    let mut header = [0; 72];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Ok(()) if header.starts_with(b"SQLite format 3\0") => {
            if header[68..72] == schema::APPLICATION_ID.to_be_bytes() {
                Ok(())
            } else {
                Err(SpoolError::Foreign)
            }
        }
        Ok(()) => Err(SpoolError::Foreign),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(SpoolError::Foreign),
        Err(error) => Err(SpoolError::Unwritable(Box::new(error))),
    }
}

fn pragma(connection: &Connection, name: &str, value: impl ToSql) -> Result<(), SpoolError> {
    connection.pragma_update(None, name, value).map_err(trouble)
}

fn quick_check(connection: &Connection) -> Result<(), SpoolError> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(trouble)?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(damaged(&verdict))
    }
}

/// What the caller can do about an SQLite error.
pub(super) fn trouble(error: rusqlite::Error) -> SpoolError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SpoolError::InUse,
        Some(ErrorCode::NotADatabase) => SpoolError::Foreign,
        Some(ErrorCode::DatabaseCorrupt) => SpoolError::Damaged(Box::new(error)),
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

/// Measured best for messages of a few KB (evidence.md).
const PAGE_OCTETS: i64 = 8192;
/// A check of every page takes about a millisecond per MB; past this, start-up must not wait for it.
const QUICK_CHECK_OCTETS_MAX: u64 = 32 * 1024 * 1024;

const PRAGMAS: [(&str, &str); 6] = [
    ("journal_mode", "WAL"),
    // A commit is on the disk when it returns.
    ("synchronous", "FULL"),
    // 32 MB between checkpoints: fewer interruptions, a bounded log.
    ("wal_autocheckpoint", "4000"),
    ("journal_size_limit", "67108864"),
    // KiB, negative by SQLite's convention.
    ("cache_size", "-8192"),
    ("foreign_keys", "OFF"),
];
