//! How an attempt ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::shown::shortened;

/// The words that explain a deferral, a bounce or a doubt to the operator.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Diagnostic(String);

impl Diagnostic {
    /// One line of at most 500 characters: what a provider sent is not trusted with more.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(shortened(text.as_ref(), 500))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The four ends of an attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "an outcome that is not settled leaves its dispatch in flight"]
pub enum Outcome {
    /// The provider has it.
    Accepted {
        /// The provider's name for the mail; empty when it gave none.
        email_id: String,
        /// The provider's name for the call; empty when it gave none.
        request_id: String,
    },
    /// Not now; it will be tried again.
    Deferred(Diagnostic),
    /// Never; the provider refuses this mail for good.
    Bounced(Diagnostic),
    /// The provider may or may not have it.
    Unknown(Diagnostic),
}

impl Outcome {
    /// The word used in logs, metrics and traces.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Deferred(_) => "deferred",
            Self::Bounced(_) => "bounced",
            Self::Unknown(_) => "unknown",
        }
    }
}
