//! Opening: whose file it is, whether it is whole, and what a crash left behind.
//!
//! Nothing is written to a file before it is known to be ours.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OpenFlags};

use super::super::record::{MessageKey, State};
use super::super::schema;
use super::super::store::{Counts, SpoolError, Store as _};
use super::disk::{Disk, create};
use super::{Lanes, SqliteStore, damaged, store_error};

impl SqliteStore {
    /// Opens or creates the database.
    ///
    /// # Errors
    /// When the file is foreign, damaged, newer, in use, or can't be read or written.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        Self::open_file(path).map_err(|error| Self::explain_closed(path, error))
    }

    /// What an error of a database means that is not open any more: whether its disk fails, or its content is damaged.
    /// Never while it is open: that would give up its lock.
    pub fn explain_closed(path: &Path, error: SpoolError) -> SpoolError {
        Disk::of(path).explain_closed(error)
    }

    fn open_file(path: &Path) -> Result<Self, SpoolError> {
        refuse_links(path)?;
        let length = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(unreadable(error)),
        };
        let new = length == 0;
        let log = path.with_extension("db-wal");
        if new && std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            // SQLite would throw the log away, and with it every message in it.
            return Err(damaged("the file is missing or empty, but its log is not"));
        }
        let mut disk = Disk::of(path);
        if !new {
            disk.check_log()?;
        }
        if new && disk.was_used() {
            tracing::warn!(
                path = %path.display(),
                "there was a spool here, and its database is gone: starting with an empty one"
            );
        }
        // With a journal beside it the file may be half written; SQLite mends that when it opens it.
        if !new && !path.with_extension("db-journal").exists() {
            check_header(path)?;
        }
        if new {
            // It holds other people's mail.
            create(path).map_err(|error| SpoolError::Unwritable(Box::new(error)))?;
        }
        disk.watch().map_err(unreadable)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
        connection.set_prepared_statement_cache_capacity(64);
        // A file that is refused below stays as it is, log and all.
        let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        connection
            .set_db_config(keep_log, true)
            .map_err(store_error)?;
        if new {
            pragma(&connection, "page_size", PAGE_OCTETS)?;
            // Free pages can be given back to the disk.
            pragma(&connection, "auto_vacuum", "INCREMENTAL")?;
        }
        pragma(&connection, "locking_mode", "EXCLUSIVE")?;
        // Takes the exclusive lock, and so finds a second process.
        connection
            .execute_batch("BEGIN EXCLUSIVE; COMMIT")
            .map_err(store_error)?;
        if !new && length < QUICK_CHECK_OCTETS_MAX {
            quick_check(&connection)?;
        }
        // Tables come before the write-ahead log, so that the file itself says whose it is.
        schema::prepare(&mut connection)?;
        for (name, value) in PRAGMAS {
            pragma(&connection, name, value)?;
        }
        pragma(&connection, "wal_autocheckpoint", disk.log_pages())?;
        connection
            .set_db_config(keep_log, false)
            .map_err(store_error)?;
        disk.take_reserve();
        let mut store = Self {
            connection,
            counts: Counts::default(),
            counts_before: Counts::default(),
            oldest_from: 0,
            lanes: Lanes::default(),
            disk,
        };
        store.counts = store.count()?;
        store.lanes = store.read_lanes()?;
        match store.sweep_drafts() {
            // They are in nobody's way; a later start sweeps them.
            Err(SpoolError::Full(_)) => {
                store.rollback();
                store.relieve();
                if let Err(error) = store.sweep_drafts() {
                    store.rollback();
                    tracing::warn!(%error, "pieces of messages are left for the next start to sweep");
                }
            }
            swept => swept?,
        }
        store.disk.mark_open();
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
            .map_err(store_error)?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
            .map_err(store_error)?;
        for row in rows {
            let (code, count) = row.map_err(store_error)?;
            if let Some(state) = State::from_code(code) {
                counts.add(state, u64::try_from(count).unwrap_or(0));
            }
        }
        Ok(counts)
    }

    fn read_lanes(&self) -> Result<Lanes, SpoolError> {
        let mut statement = self
            .connection
            .prepare(
                "SELECT account, lane, sum(octets) FROM dispatch WHERE state <= 4
                 GROUP BY account, lane",
            )
            .map_err(store_error)?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .map_err(store_error)?;
        let mut lanes = Lanes::default();
        for row in rows {
            let (account, lane, octets): (String, String, i64) = row.map_err(store_error)?;
            lanes.add(&account, &lane, octets);
        }
        lanes.settle();
        Ok(lanes)
    }

    fn sweep_drafts(&mut self) -> Result<(), SpoolError> {
        let keys: Vec<i64> = {
            let mut statement = self
                .connection
                .prepare("SELECT key FROM draft")
                .map_err(store_error)?;
            let rows = statement
                .query_map([], |row| row.get(0))
                .map_err(store_error)?;
            rows.collect::<Result<_, _>>().map_err(store_error)?
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
}

/// Nothing is written through a link that was there before: it may lead to a file of somebody else's.
fn refuse_links(path: &Path) -> Result<(), SpoolError> {
    let beside = ["db-wal", "db-journal", "db-shm"].map(|extension| path.with_extension(extension));
    for file in beside.iter().map(|beside| beside.as_path()).chain([path]) {
        let found = std::fs::symlink_metadata(file);
        if found.is_ok_and(|found| found.file_type().is_symlink()) {
            let words = format!("{} is a symbolic link", file.display());
            return Err(SpoolError::Unwritable(words.into()));
        }
    }
    Ok(())
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
        Err(error) => Err(unreadable(error)),
    }
}

/// A file of somebody else's is no fault of the disk.
fn unreadable(error: std::io::Error) -> SpoolError {
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        SpoolError::Unwritable(Box::new(error))
    } else {
        SpoolError::Unreadable(Box::new(error))
    }
}

fn pragma(connection: &Connection, name: &str, value: impl ToSql) -> Result<(), SpoolError> {
    connection
        .pragma_update(None, name, value)
        .map_err(store_error)
}

fn quick_check(connection: &Connection) -> Result<(), SpoolError> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(store_error)?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(SpoolError::Corrupt(verdict.into()))
    }
}

/// Measured best for messages of a few KB (measurements 2).
pub(super) const PAGE_OCTETS: i64 = 8192;
/// A check of every page takes about a millisecond per MB; past this, start-up must not wait for it.
const QUICK_CHECK_OCTETS_MAX: u64 = 32 * 1024 * 1024;

const PRAGMAS: [(&str, &str); 5] = [
    ("journal_mode", "WAL"),
    // A commit is on the disk when it returns.
    ("synchronous", "FULL"),
    ("journal_size_limit", "67108864"),
    // KiB, negative by SQLite's convention.
    ("cache_size", "-8192"),
    ("foreign_keys", "OFF"),
];
