//! The sections of an account's rules: their names, and one as it was last fetched.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The name of a section, in settings, logs, metrics and commands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SectionName {
    /// [`super::AccountRules::users`]
    Users,
    /// [`super::AccountRules::allowed_senders`]
    AllowedSenders,
    /// [`super::AccountRules::allowed_recipients`]
    AllowedRecipients,
    /// [`super::AccountRules::ip_smtp`]
    IpAllowListSmtp,
    /// [`super::AccountRules::ip_api`]
    IpAllowListApi,
    /// [`super::AccountRules::ip_auth`]
    IpAuth,
    /// [`super::AccountRules::domains`]
    Domains,
    /// [`super::AccountRules::single_senders`]
    SingleSenders,
    /// [`super::AccountRules::suppressions`]
    Suppressions,
}

impl SectionName {
    /// In the order in which they are fetched at first: what decides about most mail comes first.
    pub const ALL: [Self; 9] = [
        Self::Domains,
        Self::SingleSenders,
        Self::AllowedSenders,
        Self::AllowedRecipients,
        Self::Users,
        Self::IpAllowListSmtp,
        Self::IpAuth,
        Self::Suppressions,
        Self::IpAllowListApi,
    ];

    /// Such as `allowed-senders`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::AllowedSenders => "allowed-senders",
            Self::AllowedRecipients => "allowed-recipients",
            Self::IpAllowListSmtp => "ip-allow-list-smtp",
            Self::IpAllowListApi => "ip-allow-list-api",
            Self::IpAuth => "ip-auth",
            Self::Domains => "domains",
            Self::SingleSenders => "single-senders",
            Self::Suppressions => "suppressions",
        }
    }
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for SectionName {
    type Err = UnknownSection;

    fn from_str(word: &str) -> Result<Self, UnknownSection> {
        let found = Self::ALL.into_iter().find(|name| name.word() == word);
        found.ok_or(UnknownSection)
    }
}

/// There is no section of this name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no such section of the rules")]
pub struct UnknownSection;

/// One section as it was last known; `None` where it was never fetched.
#[derive(Clone, Debug)]
pub struct Section<T>(Option<Known<T>>);

#[derive(Clone, Debug)]
struct Known<T> {
    value: Arc<T>,
    confirmed: Confirmed,
}

impl<T> Default for Section<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Section<T> {
    /// A section that was confirmed then.
    pub fn known(value: Arc<T>, confirmed: Confirmed) -> Self {
        Self(Some(Known { value, confirmed }))
    }

    /// What it says.
    pub fn value(&self) -> Option<&Arc<T>> {
        self.0.as_ref().map(|known| &known.value)
    }

    /// How long ago the provider last said so.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        let known = self.0.as_ref()?;
        Some(now.since(known.confirmed.at()))
    }
}

/// When the provider last said the same. Shared by all copies of a section: being confirmed changes no rule, and
/// is no reason to publish new ones.
#[derive(Clone, Debug, Default)]
pub struct Confirmed(Arc<AtomicI64>);

impl Confirmed {
    /// Confirmed then.
    pub fn new(at: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(at.0)))
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    /// Records another confirmation.
    pub fn again(&self, at: Timestamp) {
        self.0.store(at.0, Ordering::Relaxed);
    }
}
