//! What is known of each section, for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rules::SectionName;

use super::values::SectionValue;

/// Where a section stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SectionStatus {
    /// The account.
    pub account: String,
    /// The section.
    pub section: SectionName,
    /// Whether it is known.
    pub state: SectionState,
    /// Entries.
    pub entries: usize,
    /// What stands beside them, such as the mode of a list.
    pub setting: String,
    /// Seconds since the provider last confirmed it; `None` where it never did.
    pub age: Option<u64>,
    /// Whether it is older than `sync.stale_after`.
    pub stale: bool,
    /// Of the value; the same for the same rules.
    pub digest: String,
    /// Entries that could not be understood: how many.
    pub odd: usize,
    /// The first of them.
    pub odd_entries: Vec<String>,
    /// What is wrong, with what to do about it; empty where nothing is.
    pub trouble: String,
}

/// Whether a section is known.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SectionState {
    /// Fetched, and confirmed at the last look.
    Fresh,
    /// From before: the last look failed, or has yet to come.
    LastKnownGood,
    /// Never fetched.
    Unknown,
    /// The key may not see it.
    NotPermitted,
}

impl SectionState {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::LastKnownGood => "last-known-good",
            Self::Unknown => "unknown",
            Self::NotPermitted => "not-permitted",
        }
    }
}

/// How what the provider says now differs from what is in force.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SectionDiff {
    /// The account.
    pub account: String,
    /// The section.
    pub section: SectionName,
    /// Why it could not be fetched; empty where it could.
    pub trouble: String,
    /// The setting beside the entries, before and after, where it differs.
    pub setting: Option<(String, String)>,
    /// At most a thousand.
    pub entries: Vec<EntryDiff>,
    /// How many more there are.
    pub more: usize,
}

/// One entry that differs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct EntryDiff {
    /// The entry.
    pub entry: String,
    /// What is in force about it; `None`: nothing.
    pub before: Option<String>,
    /// What the provider says now; `None`: nothing.
    pub after: Option<String>,
}

/// Compares two values of a section.
pub(super) fn diff(
    account: &str,
    before: Option<&SectionValue>,
    after: &SectionValue,
) -> SectionDiff {
    let entries = |value: Option<&SectionValue>| {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        if let Some(value) = value {
            value.each(|entry, about| drop(all.insert(entry.to_owned(), about.to_owned())));
        }
        all
    };
    let (old, mut new) = (entries(before), entries(Some(after)));
    let mut differing = Vec::new();
    for (entry, about) in old {
        match new.remove(&entry) {
            Some(same) if same == about => {}
            after => differing.push(EntryDiff {
                entry,
                before: Some(about),
                after,
            }),
        }
    }
    differing.extend(new.into_iter().map(|(entry, about)| EntryDiff {
        entry,
        before: None,
        after: Some(about),
    }));
    differing.sort_by(|one, other| one.entry.cmp(&other.entry));
    let more = differing.len().saturating_sub(ENTRIES_MAX);
    differing.truncate(ENTRIES_MAX);
    let setting_before = before.map_or("", SectionValue::setting);
    SectionDiff {
        account: account.to_owned(),
        section: after.name(),
        trouble: String::new(),
        setting: (setting_before != after.setting())
            .then(|| (setting_before.to_owned(), after.setting().to_owned())),
        entries: differing,
        more,
    }
}

const ENTRIES_MAX: usize = 1000;
