//! Records for people: listings and traces. Plain reads, none of them on the way of mail.

use rusqlite::{OptionalExtension as _, Row, params};

use crate::clock::Timestamp;
use crate::mail::{Dispatch, Envelope, Shared, SpoolId};

use super::super::record::{
    DispatchKey, DispatchRecord, EventRecord, MessageKey, MessageRecord, Origin, QueueRow, State,
};
use super::super::store::{SpoolError, Store as _};
use super::{SqliteStore, damaged, from_json, read_shared, store_error};

impl SqliteStore {
    /// The rows of a queue listing.
    pub(super) fn rows(
        &mut self,
        all: bool,
        before: Option<SpoolId>,
        limit: u32,
    ) -> Result<Vec<QueueRow>, SpoolError> {
        let below: i64 = match before {
            None => i64::MAX,
            Some(id) => self.key_of(id)?.map_or(0, |key| key.0),
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
            .map_err(store_error)?;
        let mut rows = statement
            .query(params![below, all, limit, from])
            .map_err(store_error)?;
        let mut list = Vec::new();
        while let Some(row) = rows.next().map_err(store_error)? {
            list.push(read_queue_row(row)?);
        }
        Ok(list)
    }

    /// The number of a message; `None` when it is not stored.
    pub(super) fn key_of(&self, id: SpoolId) -> Result<Option<MessageKey>, SpoolError> {
        self.connection
            .prepare_cached("SELECT key FROM message WHERE id = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([id.as_bytes()], |row| row.get(0).map(MessageKey))
                    .optional()
            })
            .map_err(store_error)
    }

    /// Everything about one message.
    pub(super) fn record(&mut self, id: SpoolId) -> Result<Option<MessageRecord>, SpoolError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id, received_at, account, device, size, envelope, unsettled, dispatches,
                     key, origin, settled_at
                 FROM message WHERE id = ?1",
            )
            .map_err(store_error)?;
        let mut rows = statement.query([id.as_bytes()]).map_err(store_error)?;
        let Some(row) = rows.next().map_err(store_error)? else {
            return Ok(None);
        };
        let key = MessageKey(row.get(8).map_err(store_error)?);
        let origin: Origin = from_json(&row.get::<_, String>(9).map_err(store_error)?)?;
        Ok(Some(MessageRecord {
            row: read_queue_row(row)?,
            origin,
            settled_at: row
                .get::<_, Option<i64>>(10)
                .map_err(store_error)?
                .map(Timestamp),
            dispatches: self.dispatch_records(key)?,
            events: self.events(key)?,
        }))
    }

    pub(super) fn dispatch_records(
        &self,
        key: MessageKey,
    ) -> Result<Vec<DispatchRecord>, SpoolError> {
        let shared = self.shared(key)?;
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT key, state, due_at, attempts, possibly_duplicate, plan
                 FROM dispatch WHERE key >= ?1 AND key < ?2 ORDER BY key",
            )
            .map_err(store_error)?;
        let mut rows = statement
            .query(params![key.part(0), key.parts_end()])
            .map_err(store_error)?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next().map_err(store_error)? {
            let plan: String = row.get(5).map_err(store_error)?;
            let dispatch: Dispatch = from_json(&plan)?;
            parts.push(DispatchRecord {
                number: DispatchKey(row.get(0).map_err(store_error)?).number(),
                state: State::from_code(row.get(1).map_err(store_error)?)
                    .ok_or_else(|| damaged("unknown dispatch state"))?,
                recipients: dispatch
                    .recipients
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                byte_exact: shared.is_exact(&dispatch),
                attempts: row.get(3).map_err(store_error)?,
                due_at: row
                    .get::<_, Option<i64>>(2)
                    .map_err(store_error)?
                    .map(Timestamp),
                possibly_duplicate: row.get::<_, i64>(4).map_err(store_error)? != 0,
            });
        }
        Ok(parts)
    }

    /// What all dispatches of a message have in common.
    fn shared(&self, key: MessageKey) -> Result<Shared, SpoolError> {
        let text: Option<String> = self
            .connection
            .prepare_cached("SELECT shared FROM message WHERE key = ?1")
            .and_then(|mut statement| statement.query_row([key.0], |row| row.get(0)))
            .map_err(store_error)?;
        read_shared(text.as_deref())
    }

    fn events(&self, key: MessageKey) -> Result<Vec<EventRecord>, SpoolError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT record FROM event WHERE key >= ?1 AND key < ?2 ORDER BY key")
            .map_err(store_error)?;
        let rows = statement
            .query_map(params![key.part(0), key.parts_end()], |row| {
                row.get::<_, String>(0)
            })
            .map_err(store_error)?;
        rows.map(|row| from_json(&row.map_err(store_error)?))
            .collect()
    }
}

fn read_queue_row(row: &Row<'_>) -> Result<QueueRow, SpoolError> {
    let envelope: Envelope = from_json(&row.get::<_, String>(5).map_err(store_error)?)?;
    Ok(QueueRow {
        id: SpoolId::from_bytes(row.get(0).map_err(store_error)?),
        received_at: Timestamp(row.get(1).map_err(store_error)?),
        account: row.get(2).map_err(store_error)?,
        device: row.get(3).map_err(store_error)?,
        size: u64::try_from(row.get::<_, i64>(4).map_err(store_error)?).unwrap_or(0),
        reverse_path: envelope.reverse_path.to_string(),
        recipients: envelope
            .recipients
            .as_slice()
            .iter()
            .map(ToString::to_string)
            .collect(),
        unsettled: row.get(6).map_err(store_error)?,
        dispatch_count: row.get(7).map_err(store_error)?,
    })
}
