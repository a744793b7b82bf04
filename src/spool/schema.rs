//! The tables, their version, and how an older version becomes the current one.
//!
//! A file of ours carries an application id and a version in SQLite's own header fields. Anything
//! else is refused and never written to.

use rusqlite::Connection;

use super::sqlite::store_error;
use super::store::SpoolError;

/// Each step leads from its index to the next version; none is ever changed once released.
const STEPS: [&str; 6] = [
    // All rows of a message share the upper bits of their key (record::DispatchKey), so that they
    // lie together and need no second index. One partial index serves every question about the
    // queue; settled rows are not in it, so history costs nothing.
    "CREATE TABLE message (
         key INTEGER PRIMARY KEY,
         id BLOB NOT NULL UNIQUE,
         received_at INTEGER NOT NULL,
         account TEXT NOT NULL,
         device TEXT,
         origin TEXT NOT NULL,
         envelope TEXT NOT NULL,
         size INTEGER NOT NULL,
         prefix_octets INTEGER NOT NULL,
         body_octets INTEGER NOT NULL,
         chunks INTEGER NOT NULL,
         dispatches INTEGER NOT NULL,
         unsettled INTEGER NOT NULL,
         events INTEGER NOT NULL DEFAULT 0,
         settled_at INTEGER
     ) STRICT;
     CREATE INDEX message_settled ON message (settled_at) WHERE settled_at IS NOT NULL;
     CREATE TABLE dispatch (
         key INTEGER PRIMARY KEY,
         account TEXT NOT NULL,
         state INTEGER NOT NULL,
         due_at INTEGER,
         attempts INTEGER NOT NULL DEFAULT 0,
         possibly_duplicate INTEGER NOT NULL DEFAULT 0,
         failing_since INTEGER,
         plan TEXT NOT NULL
     ) STRICT;
     CREATE INDEX dispatch_queue ON dispatch (account, state, due_at) WHERE state <= 4;
     CREATE TABLE content (
         key INTEGER PRIMARY KEY,
         octets BLOB NOT NULL
     ) STRICT;
     CREATE TABLE draft (
         key INTEGER PRIMARY KEY
     ) STRICT;
     CREATE TABLE event (
         key INTEGER PRIMARY KEY,
         record TEXT NOT NULL
     ) STRICT;",
    // How often the provider was asked about a doubt and did not know the mail; which state a held
    // dispatch was in before.
    "ALTER TABLE dispatch ADD COLUMN looked_up INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE dispatch ADD COLUMN held_from INTEGER;",
    // Who takes turns with others (fair_share.rs), and how much of the spool each of them fills: the message's
    // octets, shared out among its dispatches. The index answers both questions.
    "ALTER TABLE dispatch ADD COLUMN lane TEXT NOT NULL DEFAULT '';
     ALTER TABLE dispatch ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
     UPDATE dispatch SET (lane, octets) =
         (SELECT coalesce(device, json_extract(origin, '$.peer'), '?'), size / dispatches
          FROM message WHERE message.key = dispatch.key / 1048576)
         WHERE state <= 4;
     DROP INDEX dispatch_queue;
     CREATE INDEX dispatch_queue ON dispatch (account, state, lane, due_at, octets) WHERE state <= 4;",
    // The provider's rules as they were last known, each section in pieces; and what was refused by which rules.
    "CREATE TABLE rules (
         account TEXT NOT NULL,
         section TEXT NOT NULL,
         part INTEGER NOT NULL,
         record BLOB NOT NULL,
         PRIMARY KEY (account, section, part)
     ) STRICT;
     CREATE TABLE refusal (
         key INTEGER PRIMARY KEY AUTOINCREMENT,
         record TEXT NOT NULL
     ) STRICT;",
    // How long a dispatch was tried, counted by the forwarder and not by the calendar; when its attempts began whose
    // outcome is open; what an operator wants of one that is on its way; and what time it was when that was last noted.
    "ALTER TABLE dispatch ADD COLUMN trying_ms INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE dispatch ADD COLUMN trying_run INTEGER;
     ALTER TABLE dispatch ADD COLUMN trying_mark INTEGER;
     ALTER TABLE dispatch ADD COLUMN attempted_at INTEGER;
     ALTER TABLE dispatch ADD COLUMN doubt_since INTEGER;
     ALTER TABLE dispatch ADD COLUMN hold_next INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE dispatch ADD COLUMN partly INTEGER NOT NULL DEFAULT 0;
     UPDATE dispatch SET doubt_since = (SELECT received_at FROM message WHERE message.key = dispatch.key / 1048576)
         WHERE state IN (2, 3) AND state <= 4;
     CREATE TABLE note (
         name TEXT PRIMARY KEY,
         value INTEGER NOT NULL
     ) STRICT;",
    // What all dispatches of a message have in common: edits of its header block, once instead of in every plan.
    "ALTER TABLE message ADD COLUMN shared TEXT;",
];

/// Marks a file as ours: "s2gw" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x7332_6777;

/// What this program writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Brings the database up to date; the caller has made sure that it is ours, or new.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), SpoolError> {
    let ours: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(store_error)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
        .map_err(store_error)?;
    if ours != APPLICATION_ID && tables > 0 {
        return Err(SpoolError::Foreign);
    }
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(store_error)?;
    let version = usize::try_from(found).map_err(|_| SpoolError::Foreign)?;
    if found > VERSION {
        return Err(SpoolError::Newer {
            found,
            known: VERSION,
        });
    }
    for (index, step) in STEPS.iter().enumerate().skip(version) {
        let transaction = connection.transaction().map_err(store_error)?;
        transaction.execute_batch(step).map_err(store_error)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(store_error)?;
        transaction
            .pragma_update(None, "user_version", index as i64 + 1)
            .map_err(store_error)?;
        transaction.commit().map_err(store_error)?;
    }
    Ok(())
}
