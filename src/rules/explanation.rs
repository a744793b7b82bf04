//! Why a decision was made: every rule that took part, with its value, where it comes from and how old it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The rules that took part in a decision, in the order in which they were asked.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Explanation(pub Vec<Step>);

/// One rule.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Step {
    /// connect, tls, sign-in, sender, recipient or message.
    pub stage: String,
    /// What it said.
    pub says: Says,
    /// What it is about, such as an address.
    pub subject: String,
    /// The setting, such as `devices.ricoh.allowed_senders`, or the provider's section, such as
    /// `default/allowed-senders`.
    pub source: String,
    /// Its value, as far as it mattered.
    pub value: String,
    /// Seconds since the provider last confirmed it; `None` for settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
}

/// What a rule said.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// It allows.
    Allow,
    /// It refuses.
    Refuse,
    /// It does not apply, or is not known.
    Nothing,
}

impl Says {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allows",
            Self::Refuse => "refuses",
            Self::Nothing => "says nothing",
        }
    }
}

/// Seconds of an age, where there is one.
pub fn age_seconds(age: Option<Duration>) -> Option<u64> {
    age.map(|age| age.as_secs())
}
