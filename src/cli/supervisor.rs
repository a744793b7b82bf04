//! What the service manager hears: that we are ready, reloading, stopping, and alive.
//!
//! Without a service manager that wants to hear it, nothing happens. The watchdog is fed only while the
//! spool's thread answers: everything else can fail without stopping mail, but a thread that hangs in a
//! dead disk is what a restart is for. An answer that says "disk full" is an answer.
//!
//! sd_notify(3), sd_watchdog_enabled(3)

use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use crate::spool::{Spool, SpoolError};

/// Mail is accepted; or is again, after a reload.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Settings are being read.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "cannot read the clock that systemd wants"),
    }
}

/// No more mail is accepted.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog, where there is one.
pub(super) fn watch(spool: Spool) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(limit) = sd_notify::watchdog_enabled() else {
            return;
        };
        loop {
            let answer = tokio::time::timeout(limit / 2, spool.probe()).await;
            // A thread that has ended answers nothing any more.
            if matches!(answer, Ok(answer) if !matches!(answer, Err(SpoolError::Stopped))) {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!("the spool does not answer, the watchdog is not fed");
            }
            tokio::time::sleep(limit / 3).await;
        }
    })
}

/// From a thread of its own: a service manager that does not listen must not stop anything here.
fn tell(states: &[NotifyState<'static>]) {
    static TOLD: OnceLock<SyncSender<Vec<NotifyState<'static>>>> = OnceLock::new();
    let told = TOLD.get_or_init(|| {
        let (told, states) = sync_channel::<Vec<NotifyState<'static>>>(UNHEARD_MAX);
        let spawned = thread::Builder::new()
            .name("notify".to_owned())
            .spawn(move || {
                for states in states {
                    if let Err(error) = sd_notify::notify(&states) {
                        tracing::warn!(%error, "cannot tell the service manager");
                    }
                }
            });
        if let Err(error) = spawned {
            tracing::warn!(%error, "nobody to tell the service manager");
        }
        told
    });
    if told.try_send(states.to_vec()).is_err() {
        tracing::debug!("the service manager does not listen");
    }
}

const UNHEARD_MAX: usize = 16;
