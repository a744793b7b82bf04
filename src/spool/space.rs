//! Whether there is room for another message: asked at MAIL, before any content is sent.
//!
//! Four limits: what the spool itself may take, how much of that one account and one device may fill, and what must
//! stay free on the disk for everybody else. A device that is turned away at MAIL keeps its message; one that is
//! turned away in the middle of it often does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;

use super::writer::Spool;

/// The limits, in octets.
#[derive(Clone, Debug)]
pub struct SpaceLimits {
    /// Of the spool's own data.
    pub spool_octets_max: u64,
    /// Of one account's mail that waits, by its name.
    pub account_octets_max: BTreeMap<String, u64>,
    /// Of one device's mail that waits.
    pub lane_octets_max: u64,
    /// Of the disk it lies on.
    pub free_octets_min: u64,
    /// Where it lies.
    pub directory: PathBuf,
}

/// Why there is no room.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Shortage {
    /// Too much mail is waiting, or too much history is kept.
    #[error("the spool holds {used} octets, spool.max_size is {limit}")]
    Spool {
        /// Octets in use.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// Too much mail of this account is waiting.
    #[error(
        "{used} octets of account {account} wait, accounts.{account}.max_spool_size is {limit}"
    )]
    Account {
        /// Its name.
        account: String,
        /// Octets that wait.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// Too much mail of this device is waiting.
    #[error("{used} octets of this device wait, spool.max_size_per_device is {limit}")]
    Lane {
        /// Octets that wait.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// The disk is nearly full.
    #[error("the disk has room for {free} octets, spool.min_free_disk is {limit}")]
    Disk {
        /// Octets left.
        free: u64,
        /// The limit.
        limit: u64,
    },
}

/// Watches the limits.
#[derive(Clone, Debug)]
pub struct Space {
    spool: Spool,
    limits: Arc<SpaceLimits>,
    clock: Clock,
    seen: Arc<Mutex<Option<Seen>>>,
    announced: Arc<AtomicU64>,
}

/// What the file system said, and how much had been written then.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    free: u64,
    written: u64,
}

/// Content that a client said would come, or that has come and is not stored yet. Gone when it is dropped.
#[derive(Debug)]
pub struct Announced {
    all: Arc<AtomicU64>,
    octets: u64,
}

impl Announced {
    /// Whether more has come than was said: from here on nothing of it is counted.
    pub fn is_spent(&self) -> bool {
        self.octets == 0
    }

    /// So many of its octets have come: from here on they count as written.
    pub fn arrived(&mut self, octets: u64) {
        let octets = octets.min(self.octets);
        self.octets -= octets;
        self.all.fetch_sub(octets, Ordering::Relaxed);
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.all.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

impl Space {
    /// A watch over the spool's limits.
    pub fn new(spool: Spool, limits: SpaceLimits, clock: Clock) -> Self {
        Self {
            spool,
            limits: Arc::new(limits),
            clock,
            seen: Arc::default(),
            announced: Arc::default(),
        }
    }

    /// Counts a message of so many octets as on its way in.
    pub fn announce(&self, octets: u64) -> Announced {
        self.announced.fetch_add(octets, Ordering::Relaxed);
        Announced {
            all: Arc::clone(&self.announced),
            octets,
        }
    }

    /// Whether another message of this account and lane may come, of as many octets as it announced.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn check(&self, account: &str, lane: &str, octets: u64) -> Result<(), Shortage> {
        self.check_account(account)?;
        self.check_disk(octets)?;
        let (used, limit) = (
            self.spool.lane_octets(account, lane),
            self.limits.lane_octets_max,
        );
        if used >= limit {
            return Err(Shortage::Lane { used, limit });
        }
        Ok(())
    }

    /// Whether another message of this account may come, whoever sends it.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn check_account(&self, account: &str) -> Result<(), Shortage> {
        let (used, limit) = (self.spool.used_octets(), self.limits.spool_octets_max);
        if used >= limit {
            return Err(Shortage::Spool { used, limit });
        }
        self.check_disk(0)?;
        let Some(limit) = self.limits.account_octets_max.get(account).copied() else {
            return Ok(());
        };
        let used = self.spool.account_octets(account);
        if used >= limit {
            let account = account.to_owned();
            return Err(Shortage::Account {
                account,
                used,
                limit,
            });
        }
        Ok(())
    }

    /// Whether the disk has room for what is on its way in, and for so many octets more. What the database's files will still grow by is taken off
    /// what is free, and what is free inside them is added.
    ///
    /// # Errors
    /// That it has not.
    pub fn check_disk(&self, octets: u64) -> Result<(), Shortage> {
        let disk = self.spool.disk_use();
        let coming = self.announced.load(Ordering::Relaxed);
        let room = self
            .free_octets()
            .saturating_add(disk.reusable)
            .saturating_sub(disk.growth)
            .saturating_sub(coming)
            .saturating_sub(octets);
        let limit = self.limits.free_octets_min;
        if room < limit || disk.is_low {
            return Err(Shortage::Disk { free: room, limit });
        }
        Ok(())
    }

    /// Asks the file system at most once a second; what was written since is taken off. Where it does not answer, the
    /// writes will tell.
    fn free_octets(&self) -> u64 {
        let now = self.clock.now();
        let written = self.spool.written_octets();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = seen.filter(|seen| now.saturating_duration_since(seen.at) < LOOK_INTERVAL);
        let seen = *match fresh {
            Some(fresh) => seen.insert(fresh),
            None => {
                let free = free_octets(&self.limits.directory).unwrap_or(u64::MAX);
                seen.insert(Seen {
                    at: now,
                    free,
                    written,
                })
            }
        };
        seen.free
            .saturating_sub(written.saturating_sub(seen.written))
    }
}

/// What others than the system's administrator may still write to the disk that a directory lies on.
///
/// # Errors
/// When the file system does not say.
pub fn free_octets(directory: &Path) -> std::io::Result<u64> {
    let state = rustix::fs::statvfs(directory)?;
    Ok(state.f_bavail.saturating_mul(state.f_frsize))
}

/// Where the spool would not survive what it is there to survive; `None` for an ordinary disk.
pub fn volatile_storage(directory: &Path) -> Option<&'static str> {
    // The numbers of statfs(2).
    match u64::try_from(rustix::fs::statfs(directory).ok()?.f_type).ok()? {
        0x0102_1994 | 0x8584_58f6 => Some("memory (tmpfs): it is lost when the machine stops"),
        0x794c_7630 => Some("a container's own layer (overlay): it is lost with the container"),
        _ => None,
    }
}

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
