//! What MAIL and RCPT said: the truth about who gets a message, whatever its headers say.
//!
//! RFC 5321 §2.3.1

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Mailbox;

/// Where a bounce would go.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ReversePath {
    /// `MAIL FROM:<>`: a bounce itself; it must never cause another one.
    Null,
    /// An ordinary sender.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The address, unless the path is null.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl fmt::Display for ReversePath {
    /// The address without brackets; `<>` for the null reverse-path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

/// The forward-paths of one transaction: never empty, no address twice, in the order given.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Recipients(Vec<Mailbox>);

impl Recipients {
    /// Removes duplicates (ignoring case); `None` when there is no recipient at all.
    pub fn new(paths: impl IntoIterator<Item = Mailbox>) -> Option<Self> {
        let mut seen = std::collections::HashSet::new();
        let unique: Vec<Mailbox> = paths
            .into_iter()
            .filter(|mailbox| seen.insert(mailbox.key()))
            .collect();
        (!unique.is_empty()).then_some(Self(unique))
    }

    /// The addresses in the order they were given.
    pub fn as_slice(&self) -> &[Mailbox] {
        &self.0
    }
}

/// Reverse-path and forward-paths of one accepted transaction.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Envelope {
    /// What MAIL said.
    pub reverse_path: ReversePath,
    /// What the accepted RCPTs said.
    pub recipients: Recipients,
}

/// The header's own statement about its sender.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderSender {
    /// No From field, or one without any address: the envelope sender has to stand in. What Sender
    /// says counts all the same.
    Missing(Vec<Mailbox>),
    /// More than one From field: two readers would see two senders.
    Several,
    /// More fields that name a sender than any mail program writes.
    TooMany,
    /// A field, quoted here, that shows different readers different things.
    Unreadable(String),
    /// The same, but these are all the addresses that any reader finds.
    Doubtful(Vec<Mailbox>, String),
    /// Every address of From, Sender, Resent-From and Resent-Sender.
    Addresses(Vec<Mailbox>),
}
