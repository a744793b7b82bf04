//! SMTP users of the provider: who may sign in, and how much each may send.
//!
//! provider-api 9

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// SMTP users by their name in lower case.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Users {
    by_name: HashMap<Arc<str>, UserRule>,
    /// Of users without a limit of their own.
    pub default_limit: Option<RateLimit>,
}

impl Users {
    /// The user of this name.
    pub fn get(&self, name: &str) -> Option<&UserRule> {
        self.by_name.get(&*name.to_lowercase())
    }

    /// Adds a user, or replaces it.
    pub fn insert(&mut self, user: UserRule) {
        self.by_name.insert(user.name.to_lowercase().into(), user);
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &UserRule> {
        self.by_name.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How much a user may send.
    pub fn limit_of(&self, name: &str) -> Option<RateLimit> {
        self.get(name)?.limit.or(self.default_limit)
    }
}

/// One SMTP user.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct UserRule {
    /// As the provider spells it.
    pub name: Arc<str>,
    /// Whether it may send.
    pub standing: Standing,
    /// How much it may send.
    pub limit: Option<RateLimit>,
    /// What proves it; `None` where the provider doesn't show the password.
    pub password: Option<PasswordHash>,
}

/// Whether a user or address may send.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may.
    Allowed,
    /// It may, and its owner believes that nothing is delivered.
    Sandbox,
    /// It may not, for this reason.
    Blocked(String),
}

/// So many mails in so much time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RateLimit {
    /// Mails.
    pub mails: u32,
    /// In this time.
    pub period: Duration,
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} s", self.mails, self.period.as_secs())
    }
}

/// What is kept of a password.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct PasswordHash {
    /// Random, its own.
    pub salt: [u8; 16],
    /// PBKDF2-HMAC-SHA-256.
    pub hash: [u8; 32],
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(password hash)")
    }
}
