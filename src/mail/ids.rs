//! Names of stored things.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names a spooled message: time-ordered, so that a queue listing is a history (RFC 9562 §5.7).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpoolId(Uuid);

impl SpoolId {
    /// A new id; `unix_ms` is the time of acceptance in milliseconds.
    pub fn new(unix_ms: i64) -> Self {
        let ms = u64::try_from(unix_ms).unwrap_or(0);
        let mut random = [0; 10];
        // Unlike the operating system's generator this one needs no system call for each id.
        if aws_lc_rs::rand::fill(&mut random).is_err() {
            return Self(Uuid::now_v7());
        }
        Self(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// The 16 octets that are stored.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id that `as_bytes` gave.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

impl FromStr for SpoolId {
    type Err = ParseIdError;

    fn from_str(input: &str) -> Result<Self, ParseIdError> {
        Uuid::try_parse(input).map(Self).map_err(|_| ParseIdError)
    }
}

impl TryFrom<String> for SpoolId {
    type Error = ParseIdError;

    fn try_from(input: String) -> Result<Self, ParseIdError> {
        input.parse()
    }
}

impl From<SpoolId> for String {
    fn from(id: SpoolId) -> Self {
        id.to_string()
    }
}

/// The text is not a spool id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a spool id is 32 hexadecimal digits, as the reply \"queued as …\" gave it")]
pub struct ParseIdError;

/// Names one dispatch of a spooled message; shown as `<spool id>/<number>`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DispatchId {
    /// The message.
    pub spool_id: SpoolId,
    /// Counts from 0 in the order of the plan.
    pub number: u32,
}

impl fmt::Display for DispatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.spool_id, self.number)
    }
}
