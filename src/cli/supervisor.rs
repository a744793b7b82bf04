//! What the service manager hears: that we are ready, reloading, stopping, and alive.
//!
//! Without a service manager that wants to hear it, nothing happens. The watchdog is fed only while the
//! spool's thread answers: everything else can fail without stopping mail, but a thread that hangs in a
//! dead disk is what a restart is for. An answer that says "disk full" is an answer.
//!
//! sd_notify(3), sd_watchdog_enabled(3)

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use crate::spool::Spool;

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
            let answered = tokio::time::timeout(limit / 2, spool.probe()).await.is_ok();
            if answered {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!("the spool does not answer, the watchdog is not fed");
            }
            tokio::time::sleep(limit / 3).await;
        }
    })
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
