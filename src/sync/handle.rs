//! What others may ask of a running synchroniser.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::clock::Timestamp;
use crate::policy::Revalidation;
use crate::rules::SectionName;

use super::held::{Shared, lock};
use super::status::{SectionDiff, SectionStatus};

/// What somebody wants of a synchroniser.
#[derive(Debug)]
pub(super) enum Command {
    /// Look at everything now; believe what has shrunk, too.
    Refresh {
        accept: bool,
        done: oneshot::Sender<Vec<SectionStatus>>,
    },
    Diff(oneshot::Sender<Vec<SectionDiff>>),
    Revalidate(Revalidation),
    KeyChanged,
}

/// Talks to a running synchroniser. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    pub(super) account: Arc<str>,
    pub(super) orders: mpsc::Sender<Command>,
    pub(super) held: Shared,
    pub(super) stale_after: Duration,
}

impl SyncHandle {
    /// The account's name.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Looks at all sections now, and says where they stand then; `accept` believes lists that have suddenly shrunk,
    /// too. `None` when the gateway is stopping.
    pub async fn refresh(&self, accept: bool) -> Option<Vec<SectionStatus>> {
        let (done, answer) = oneshot::channel();
        self.orders
            .send(Command::Refresh { accept, done })
            .await
            .ok()?;
        answer.await.ok()
    }

    /// How what the provider says now differs from what is in force; changes nothing. `None` when the gateway is
    /// stopping.
    pub async fn diff(&self) -> Option<Vec<SectionDiff>> {
        let (done, answer) = oneshot::channel();
        self.orders.send(Command::Diff(done)).await.ok()?;
        answer.await.ok()
    }

    /// A rule has refused something: its section is looked at again soon. With too many requests waiting it is
    /// looked at anyway.
    pub fn revalidate(&self, wanted: Revalidation) {
        drop(self.orders.try_send(Command::Revalidate(wanted)));
    }

    /// The account's key may be another one: then what was not permitted may be now.
    pub fn key_may_have_changed(&self) {
        drop(self.orders.try_send(Command::KeyChanged));
    }

    /// Where every section stands.
    pub fn status(&self, now: Timestamp) -> Vec<SectionStatus> {
        let held = lock(&self.held);
        SectionName::ALL
            .into_iter()
            .filter_map(|section| Some((section, held.get(&section)?)))
            .map(|(section, held)| held.status(&self.account, section, now, self.stale_after))
            .collect()
    }

    /// The entries of a section, sorted, each with what is said of it; `None` where it is not known.
    pub fn entries(&self, section: SectionName) -> Option<Vec<(String, String)>> {
        let value = lock(&self.held).get(&section)?.value.clone()?;
        let mut entries = Vec::new();
        value.each(|entry, about| entries.push((entry.to_owned(), about.to_owned())));
        entries.sort();
        Some(entries)
    }
}
