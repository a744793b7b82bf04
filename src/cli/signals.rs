//! What the outside tells a running process: to stop, or to read its settings again.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::failure::Failure;

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signal {
    Stop,
    Reload,
}

/// Listened to from the start, so that none is missed while another is being served.
pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
    /// Never waited for: that there is a handler makes a write over a file size limit fail, instead of
    /// killing the process.
    _file_too_big: unix::Signal,
    settings: FileWatch,
}

impl Signals {
    /// SIGTERM and SIGINT stop; SIGHUP reloads, and so does a change of `settings`.
    pub(super) fn new(settings: Option<PathBuf>) -> Result<Self, Failure> {
        let listen = |kind| unix::signal(kind).map_err(|error| Failure::of(&error));
        Ok(Self {
            terminate: listen(unix::SignalKind::terminate())?,
            interrupt: listen(unix::SignalKind::interrupt())?,
            hang_up: listen(unix::SignalKind::hangup())?,
            _file_too_big: listen(unix::SignalKind::from_raw(SIGXFSZ))?,
            settings: FileWatch::new(settings),
        })
    }

    /// Until SIGTERM or Ctrl-C, where there is nothing to reload.
    pub(super) async fn stop(&mut self) {
        while self.next().await == Signal::Reload {}
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => {
                self.settings.seen();
                Signal::Reload
            }
            () = self.settings.changed() => Signal::Reload,
        }
    }
}

/// Notices that a file is another one than before, once it has stopped changing.
struct FileWatch {
    file: Option<PathBuf>,
    known: Option<Version>,
    /// Seen once; taken for real when it is seen again.
    fresh: Option<Version>,
    ticks: Interval,
}

/// What tells two versions of a file apart: an editor may replace it, or write into it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Version {
    inode: u64,
    modified: (i64, i64),
    octets: u64,
}

impl FileWatch {
    fn new(file: Option<PathBuf>) -> Self {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            known: file.as_deref().and_then(version),
            fresh: None,
            file,
            ticks,
        }
    }

    /// The file is being read as it is now.
    fn seen(&mut self) {
        self.known = self.file.as_deref().and_then(version);
        self.fresh = None;
    }

    async fn changed(&mut self) {
        let Some(file) = &self.file else {
            return std::future::pending().await;
        };
        loop {
            self.ticks.tick().await;
            // A file that is gone for a moment is being replaced.
            let Some(version) = version(file) else {
                continue;
            };
            if self.known == Some(version) {
                self.fresh = None;
            } else if self.fresh == Some(version) {
                self.known = self.fresh.take();
                return;
            } else {
                self.fresh = Some(version);
            }
        }
    }
}

fn version(file: &Path) -> Option<Version> {
    let metadata = std::fs::metadata(file).ok()?;
    Some(Version {
        inode: metadata.ino(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        octets: metadata.len(),
    })
}

/// On all processors that Linux runs on but MIPS and PA-RISC (signal(7)).
const SIGXFSZ: i32 = 25;
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
