//! The disk below the database: how much it will still take, what is kept in reserve, and giving back what is not
//! needed any more.
//!
//! Handing mail over needs room, too: *in flight* must be durable before a request leaves. So a reserve file is kept
//! beside the database. When the disk is full it is given up, so that the log can be copied into the database, and from
//! then on only what brings mail out may write. It is taken again when there is room.
//!
//! A file `spool.db-open` lies beside the database from the first write to the orderly end: where it is found without
//! the log, somebody has taken the log away, and with it the newest mail.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::super::space::free_octets;
use super::super::store::{DiskUse, SpoolError, Store};
use super::open::PAGE_OCTETS;
use super::{SqliteStore, store_error};

/// Where the files are, and how large the reserve is to be.
#[derive(Debug)]
pub(super) struct Disk {
    database: PathBuf,
    reserve_octets: u64,
    reserve: Reserve,
    beside_sqlite: Option<File>,
}

/// Where the room stands that is kept for handing mail over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reserve {
    /// There is none, and none was needed.
    Absent,
    /// The file is there.
    Kept,
    /// The disk was full, and has not had room since.
    GivenUp,
}

impl Disk {
    pub(super) fn of(database: &Path) -> Self {
        let total = statvfs(directory_of(database)).map_or(u64::MAX, |state| {
            state.f_blocks.saturating_mul(state.f_frsize)
        });
        Self {
            database: database.to_owned(),
            reserve_octets: (total / 16).clamp(RESERVE_MIN, RESERVE_MAX),
            reserve: Reserve::Absent,
            beside_sqlite: None,
        }
    }

    /// Pages that the log may hold before they are copied into the database: what that takes fits into the reserve.
    pub(super) fn log_pages(&self) -> i64 {
        let pages = self.reserve_octets / 3 * 2 / PAGE_OCTETS.unsigned_abs();
        i64::try_from(pages)
            .unwrap_or(i64::MAX)
            .clamp(64, LOG_PAGES_MAX)
    }

    /// Opens the database beside SQLite. Closing any descriptor of a file gives up all POSIX locks that the process has
    /// on it, so this one must be closed after SQLite's; no other may be opened and closed meanwhile.
    pub(super) fn watch(&mut self) -> io::Result<()> {
        self.beside_sqlite = Some(File::open(&self.database)?);
        Ok(())
    }

    /// Whether the disk can't be read at all, as where its file system was shut down.
    pub(super) fn explain(&self, error: SpoolError) -> SpoolError {
        match (error, &self.beside_sqlite) {
            (SpoolError::Corrupt(why), Some(file)) => match read_ends(file) {
                Err(error) => SpoolError::Unreadable(Box::new(error)),
                Ok(()) => SpoolError::Corrupt(why),
            },
            (error, _) => error,
        }
    }

    /// The same while SQLite has the database not open: then all of it can be read.
    pub(super) fn explain_closed(&self, error: SpoolError) -> SpoolError {
        let SpoolError::Corrupt(why) = error else {
            return error;
        };
        let read = |path: &Path| io::copy(&mut File::open(path)?, &mut io::sink());
        let log = self.beside("db-wal");
        match read(&self.database).and_then(|_| read(&log)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                SpoolError::Unreadable(Box::new(error))
            }
            _ => SpoolError::Damaged(why),
        }
    }

    fn directory(&self) -> &Path {
        directory_of(&self.database)
    }

    fn beside(&self, extension: &str) -> PathBuf {
        self.database.with_extension(extension)
    }

    fn reserve_file(&self) -> PathBuf {
        self.beside("reserve")
    }

    /// Whether a database was here before.
    pub(super) fn was_used(&self) -> bool {
        self.reserve_file().exists() || self.mark().exists()
    }

    fn mark(&self) -> PathBuf {
        self.beside("db-open")
    }

    /// Where the gateway was not stopped in order, the log must be there.
    pub(super) fn check_log(&self) -> Result<(), SpoolError> {
        if self.mark().exists() && !self.beside("db-wal").exists() {
            return Err(SpoolError::LogMissing);
        }
        Ok(())
    }

    /// From here on the log holds mail. The directory is synced, so that the mark is there after a power cut.
    pub(super) fn mark_open(&self) {
        let marked = create(&self.mark()).and_then(|file| {
            file.sync_all()?;
            File::open(self.directory())?.sync_all()
        });
        if let Err(error) = marked {
            tracing::debug!(%error, "cannot mark the spool as open");
        }
    }

    fn mark_closed(&self) {
        remove(&self.mark());
    }

    /// Takes the reserve, where there is room for it and as much again.
    pub(super) fn take_reserve(&mut self) {
        let path = self.reserve_file();
        let kept = fs::metadata(&path).map_or(0, |kept| kept.len());
        if kept < self.reserve_octets {
            let free = free_octets(self.directory()).unwrap_or(0);
            if free < (self.reserve_octets - kept).saturating_mul(2) {
                return;
            }
            let taken = create(&path).and_then(|file| {
                fallocate(&file, FallocateFlags::empty(), 0, self.reserve_octets)
                    .map_err(io::Error::from)
            });
            if let Err(error) = taken {
                tracing::debug!(%error, "cannot keep room in reserve");
                remove(&path);
                // There is room, though none that can be kept.
                self.reserve = Reserve::Absent;
                return;
            }
        }
        if std::mem::replace(&mut self.reserve, Reserve::Kept) == Reserve::GivenUp {
            tracing::info!("the disk has room again: mail is taken");
        }
    }

    /// How large the log is.
    fn log_octets(&self) -> u64 {
        fs::metadata(self.beside("db-wal")).map_or(0, |log| log.len())
    }
}

impl SqliteStore {
    /// Makes room on a full disk; returns whether writing is worth another try.
    pub(super) fn relieve(&mut self) -> bool {
        let log = self.disk.log_octets();
        let before = std::mem::replace(&mut self.disk.reserve, Reserve::GivenUp);
        if before == Reserve::Kept {
            remove(&self.disk.reserve_file());
        }
        if before != Reserve::GivenUp {
            tracing::error!(
                "the spool's disk is full: the reserve is used to hand mail over, no new mail is taken"
            );
        }
        if let Err(error) = checkpoint(&self.connection) {
            tracing::warn!(%error, "the spool's log can't be copied into the database");
        }
        before == Reserve::Kept || self.disk.log_octets() < log
    }

    /// Whether only what brings mail out may be written.
    pub(super) fn has_given_up(&self) -> bool {
        self.disk.reserve == Reserve::GivenUp
    }

    pub(super) fn disk_use(&mut self) -> Result<DiskUse, SpoolError> {
        let page = PAGE_OCTETS.unsigned_abs();
        let octets = |pages: i64| u64::try_from(pages).unwrap_or(0).saturating_mul(page);
        let pages = octets(self.number("PRAGMA page_count")?);
        let free = octets(self.number("PRAGMA freelist_count")?);
        let file = fs::metadata(&self.disk.database).map_or(0, |file| file.len());
        let log_max = octets(self.disk.log_pages());
        Ok(DiskUse {
            used: pages.saturating_sub(free),
            reusable: free,
            growth: pages.saturating_sub(file) + log_max.saturating_sub(self.disk.log_octets()),
            is_low: self.has_given_up(),
        })
    }

    /// Takes the reserve again, and gives free pages back to the disk, a piece at a time; returns whether there are more.
    pub(super) fn give_back(&mut self, idle: bool) -> Result<bool, SpoolError> {
        if self.disk.reserve != Reserve::Kept {
            self.disk.take_reserve();
        }
        let free = self.number("PRAGMA freelist_count")?;
        let used = self.number("PRAGMA page_count")? - free;
        // What comes next finds some room without asking the file system.
        let reserve = i64::try_from(self.disk.reserve_octets).unwrap_or(i64::MAX) / PAGE_OCTETS;
        let keep = (used / 4).max(KEEP_PAGES_MIN).min(reserve);
        if free <= keep || !(idle || self.has_given_up()) {
            return Ok(false);
        }
        {
            let sql = format!("PRAGMA incremental_vacuum({VACUUM_PAGES})");
            let mut statement = self.connection.prepare_cached(&sql).map_err(store_error)?;
            let mut rows = statement.query([]).map_err(store_error)?;
            while rows.next().map_err(store_error)?.is_some() {}
        }
        let left = self.number("PRAGMA freelist_count")?;
        if left >= free {
            // A database of a version that could not give anything back.
            return Ok(false);
        }
        let more = left > keep;
        if !more {
            // The file shrinks when the log is copied into it.
            checkpoint(&self.connection)?;
        }
        Ok(more)
    }

    fn number(&self, sql: &str) -> Result<i64, SpoolError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(store_error)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            Store::rollback(self);
        }
        // With an empty log, whoever finds no log has lost nothing; else the log and the mark stay together.
        if checkpoint(&self.connection).is_ok() {
            self.disk.mark_closed();
        } else {
            let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            drop(self.connection.set_db_config(keep_log, true));
        }
    }
}

/// Copies the log into the database and empties it.
fn checkpoint(connection: &Connection) -> Result<(), SpoolError> {
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, i64>(0)
        })
        .map_err(store_error)
        .map(drop)
}

fn directory_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

/// A file for the owner's eyes only, which may be there already; never through a link. SQLite gives its log the same
/// mode.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path)
}

/// Reads the first and the last page.
fn read_ends(file: &File) -> io::Result<()> {
    let mut page = [0; 512];
    file.read_at(&mut page, 0)?;
    let last = file.metadata()?.len().saturating_sub(512);
    file.read_at(&mut page, last).map(drop)
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, path = %path.display(), "cannot remove a file");
    }
}

const RESERVE_MIN: u64 = 512 * 1024;
/// Enough to copy a full log into the database.
const RESERVE_MAX: u64 = 48 * 1024 * 1024;
/// 32 MB between checkpoints: fewer interruptions, a bounded log.
const LOG_PAGES_MAX: i64 = 4000;
const KEEP_PAGES_MIN: i64 = 512;
/// 2 MB at a time, so that mail is not kept waiting.
const VACUUM_PAGES: u32 = 256;
