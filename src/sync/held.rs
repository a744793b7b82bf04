//! What is held of each section, and where it stands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::rules::{Confirmed, SectionName};

use super::fetch::path_of;
use super::reading::Odd;
use super::shrink::ShrinkGuard;
use super::snapshot::Header;
use super::status::{SectionState, SectionStatus};
use super::values::SectionValue;

/// Last known state of every section, shared with status readers.
pub(super) type Shared = Arc<Mutex<BTreeMap<SectionName, Held>>>;

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) value: Option<SectionValue>,
    pub(super) confirmed: Confirmed,
    /// When that was last written down.
    pub(super) written_at: Timestamp,
    pub(super) header: Option<Header>,
    pub(super) odd: Odd,
    pub(super) trouble: Option<Trouble>,
    pub(super) fresh: bool,
    pub(super) guard: ShrinkGuard,
    pub(super) stale_told: bool,
    /// Whether it is on disk as it is here.
    pub(super) stored: bool,
    pub(super) due: Instant,
    pub(super) looked_at: Option<Instant>,
    pub(super) failures: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trouble {
    NotPermitted,
    Failed(String),
    /// The account is left alone because of another section, or of the whole account.
    NotAsked,
    /// A list of so many entries was suddenly emptied to so many.
    Shrunken(usize, usize),
}

impl Held {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            value: None,
            confirmed: Confirmed::default(),
            written_at: Timestamp::default(),
            header: None,
            odd: Odd::default(),
            trouble: None,
            fresh: false,
            guard: ShrinkGuard::default(),
            stale_told: false,
            stored: false,
            due: now,
            looked_at: None,
            failures: 0,
        }
    }

    pub(super) fn status(
        &self,
        account: &str,
        section: SectionName,
        now: Timestamp,
        stale_after: Duration,
    ) -> SectionStatus {
        let age = self.value.as_ref().map(|_| now.since(self.confirmed.at()));
        SectionStatus {
            account: account.to_owned(),
            section,
            state: match (&self.value, &self.trouble) {
                (_, Some(Trouble::NotPermitted)) => SectionState::NotPermitted,
                (None, _) => SectionState::Unknown,
                (Some(_), _) if self.fresh => SectionState::Fresh,
                (Some(_), _) => SectionState::LastKnownGood,
            },
            entries: self.value.as_ref().map_or(0, SectionValue::count),
            setting: self
                .value
                .as_ref()
                .map_or("", SectionValue::setting)
                .to_owned(),
            age: age.map(|age| age.as_secs()),
            stale: age.is_some_and(|age| age > stale_after),
            digest: self
                .header
                .as_ref()
                .map(|header| header.digest.clone())
                .unwrap_or_default(),
            odd: self.odd.count,
            odd_entries: self.odd.first.clone(),
            trouble: match &self.trouble {
                None => String::new(),
                Some(Trouble::NotPermitted) => {
                    format!("give the key permission for {}", path_of(section))
                }
                Some(Trouble::Failed(why)) => why.clone(),
                Some(Trouble::NotAsked) => NOT_ASKED.to_owned(),
                Some(Trouble::Shrunken(old, new)) => {
                    let since = self.guard.since().map(|since| since.to_string());
                    format!(
                        "{old} entries have become {new} at {}: not believed yet (sync.shrink_guard); `rules sync \
                         --accept` believes it",
                        since.unwrap_or_default()
                    )
                }
            },
        }
    }
}

pub(super) const NOT_ASKED: &str = "not asked, because of what went wrong before";

pub(super) fn lock(held: &Shared) -> MutexGuard<'_, BTreeMap<SectionName, Held>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
