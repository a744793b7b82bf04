//! Addresses and domains that get no mail: hundreds of thousands of them, in three pieces of memory.
//!
//! A map of separate texts would take twice the room, and its many small pieces would keep memory from being given back
//! to the system after each refresh. A look is a hash and a comparison, whatever the number of entries.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use serde::{Deserialize, Serialize};

use crate::mail::Mailbox;

/// Each entry once, with its reason. Immutable; see [`SuppressionsBuilder`].
#[derive(Clone, Default)]
pub struct Suppressions {
    texts: Box<str>,
    entries: Box<[Entry]>,
    /// Open addressing: the number of an entry, counted from 1; 0 is empty. At most half full.
    slots: Box<[u32]>,
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    end: u32,
    reason: SuppressionReason,
}

impl Suppressions {
    /// The reason of exactly this entry (an address or a domain, in lower case and ASCII).
    pub fn get(&self, entry: &str) -> Option<SuppressionReason> {
        let (_, found) = self.find(entry)?;
        Some(self.entries[found].reason)
    }

    /// What suppresses this address: itself, or its whole domain.
    pub fn covering(&self, mailbox: &Mailbox) -> Option<(&str, SuppressionReason)> {
        let found = self.find(&mailbox.key());
        let found = found.or_else(|| self.find(&mailbox.domain().to_ascii_lowercase()));
        let (_, found) = found?;
        Some((self.text(found), self.entries[found].reason))
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, SuppressionReason)> {
        let numbers = 0..self.entries.len();
        numbers.map(|number| (self.text(number), self.entries[number].reason))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The same with some added (with a reason) and some gone (without).
    pub fn with<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, Option<SuppressionReason>)>,
    ) -> Self {
        let mut builder = SuppressionsBuilder::default();
        for (entry, reason) in self.iter() {
            builder.add(entry, Some(reason));
        }
        for (entry, reason) in changes {
            builder.add(entry, reason);
        }
        builder.build()
    }

    fn text(&self, number: usize) -> &str {
        let entry = self.entries[number];
        &self.texts[entry.start as usize..entry.end as usize]
    }

    /// The slot and the number of an entry.
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = self.hash(text) & mask;
        loop {
            let number = self.slots[slot].checked_sub(1)? as usize;
            if self.text(number) == text {
                return Some((slot, number));
            }
            slot = (slot + 1) & mask;
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "any bits will do")]
    fn hash(&self, text: &str) -> usize {
        self.hasher.hash_one(text) as usize
    }
}

impl fmt::Debug for Suppressions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Suppressions({})", self.len())
    }
}

impl PartialEq for Suppressions {
    fn eq(&self, other: &Self) -> bool {
        let mut entries = self.iter();
        self.len() == other.len() && entries.all(|(entry, reason)| other.get(entry) == Some(reason))
    }
}

impl<T: AsRef<str>> FromIterator<(T, SuppressionReason)> for Suppressions {
    fn from_iter<I: IntoIterator<Item = (T, SuppressionReason)>>(entries: I) -> Self {
        let mut builder = SuppressionsBuilder::default();
        for (entry, reason) in entries {
            builder.add(entry.as_ref(), Some(reason));
        }
        builder.build()
    }
}

/// Gathers entries; what is said last of one counts.
#[derive(Default)]
pub struct SuppressionsBuilder {
    texts: String,
    /// `None`: it has gone.
    said: Vec<(u32, Option<SuppressionReason>)>,
}

impl SuppressionsBuilder {
    /// Adds an entry, or takes it away. Beyond four gigabytes of addresses nothing is taken any more.
    pub fn add(&mut self, entry: &str, reason: Option<SuppressionReason>) {
        if let Ok(end) = u32::try_from(self.texts.len() + entry.len()) {
            self.texts.push_str(entry);
            self.said.push((end, reason));
        }
    }

    /// The table.
    pub fn build(self) -> Suppressions {
        let slots = (self.said.len() * 2).next_power_of_two().max(2);
        let mut table = Suppressions {
            texts: self.texts.into_boxed_str(),
            entries: Box::default(),
            slots: vec![0; slots].into_boxed_slice(),
            hasher: RandomState::new(),
        };
        let mut entries: Vec<(Entry, bool)> = Vec::with_capacity(self.said.len());
        let mut start = 0;
        for (end, reason) in self.said {
            let text = &table.texts[start as usize..end as usize];
            let mask = slots - 1;
            let mut slot = table.hash(text) & mask;
            loop {
                let Some(number) = table.slots[slot].checked_sub(1) else {
                    let entry = Entry {
                        start,
                        end,
                        reason: reason.unwrap_or(SuppressionReason::Other),
                    };
                    entries.push((entry, reason.is_some()));
                    table.slots[slot] = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                    break;
                };
                let (entry, alive) = &mut entries[number as usize];
                if table.texts[entry.start as usize..entry.end as usize] == *text {
                    *alive = reason.is_some();
                    entry.reason = reason.unwrap_or(entry.reason);
                    break;
                }
                slot = (slot + 1) & mask;
            }
            start = end;
        }
        if entries.iter().all(|(_, alive)| *alive) {
            table.entries = entries.into_iter().map(|(entry, _)| entry).collect();
            return table;
        }
        // Those that have gone stand in the chains of others: the table is made anew without them.
        let alive = entries.iter().filter(|(_, alive)| *alive);
        let text = |entry: &Entry| &table.texts[entry.start as usize..entry.end as usize];
        alive
            .map(|(entry, _)| (text(entry), entry.reason))
            .collect()
    }
}

impl fmt::Debug for SuppressionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SuppressionsBuilder({})", self.said.len())
    }
}

/// Why an address is suppressed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionReason {
    /// By hand.
    Manual,
    /// It complained.
    Spam,
    /// It unsubscribed.
    Unsubscribe,
    /// It does not exist.
    Bounce,
    /// The provider's own rules.
    Compliance,
    /// A reason that was not known when this was written.
    Other,
}

impl SuppressionReason {
    /// Reads the API's word.
    pub fn read(word: &str) -> Self {
        match word {
            "manual" => Self::Manual,
            "spam" => Self::Spam,
            "unsubscribe" => Self::Unsubscribe,
            "bounce" => Self::Bounce,
            "compliance" => Self::Compliance,
            _ => Self::Other,
        }
    }

    /// One word, for replies and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Spam => "spam",
            Self::Unsubscribe => "unsubscribed",
            Self::Bounce => "bounced",
            Self::Compliance => "compliance",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_table_suppresses_nobody() {
        let mailbox = Mailbox::parse("a@b.example").expect("an address");
        for table in [
            Suppressions::default(),
            SuppressionsBuilder::default().build(),
        ] {
            assert!(table.is_empty() && table.covering(&mailbox).is_none());
        }
    }

    proptest! {
        /// Whatever is added and taken away, it answers as a map would.
        #[test]
        fn a_table_is_a_map(
            said in proptest::collection::vec(("[a-d]{0,3}", proptest::option::of(0..3u8)), 0..60),
            changes in proptest::collection::vec(("[a-d]{0,3}", proptest::option::of(0..3u8)), 0..20),
        ) {
            let reason = |number: u8| match number {
                0 => SuppressionReason::Manual,
                1 => SuppressionReason::Spam,
                _ => SuppressionReason::Bounce,
            };
            let mut map = HashMap::new();
            let mut builder = SuppressionsBuilder::default();
            for (entry, number) in &said {
                builder.add(entry, number.map(reason));
            }
            let table = builder.build();
            let changed = table.with(changes.iter().map(|(entry, number)| (entry.as_str(), number.map(reason))));
            for (entry, number) in &said {
                match number {
                    Some(number) => drop(map.insert(entry.clone(), reason(*number))),
                    None => drop(map.remove(entry)),
                }
            }
            let of = |table: &Suppressions| -> HashMap<String, SuppressionReason> {
                table.iter().map(|(entry, reason)| (entry.to_owned(), reason)).collect()
            };
            prop_assert_eq!(&of(&table), &map);
            prop_assert_eq!(table.len(), map.len());
            for (entry, number) in &changes {
                match number {
                    Some(number) => drop(map.insert(entry.clone(), reason(*number))),
                    None => drop(map.remove(entry)),
                }
            }
            prop_assert_eq!(&of(&changed), &map);
            for (entry, _) in said.iter().chain(&changes) {
                prop_assert_eq!(changed.get(entry), map.get(entry).copied());
            }
            prop_assert!(changed == map.iter().map(|(entry, reason)| (entry, *reason)).collect());
        }
    }
}
