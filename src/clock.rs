//! The only reader of clocks.
//!
//! Two kinds of time: [`Clock::now`] never jumps and measures waits inside a process;
//! [`Clock::wall`] is what a stored record and a log line carry. Modules that decide get either as
//! an argument. The steady clock is the runtime's own, so that tests can pause it.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Reads both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Steady time, for deadlines inside this process.
    pub fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Civil time, for everything that is stored or shown. It may jump.
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Milliseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `wait` later.
    pub fn after(self, wait: Duration) -> Self {
        let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(ms))
    }

    /// The moment `ago` earlier.
    pub fn before(self, ago: Duration) -> Self {
        let ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(ms))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The form that mail headers use, in UTC (RFC 5322 §3.3).
    pub fn rfc5322(self) -> String {
        let zoned = self.civil().to_zoned(TimeZone::UTC);
        jiff::fmt::rfc2822::to_string(&zoned).unwrap_or_else(|_| self.to_string())
    }

    fn civil(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.civil())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_for_logs_and_for_headers() {
        let stamp = Timestamp(1_795_401_203_004);
        assert_eq!(stamp.to_string(), "2026-11-23T02:33:23.004Z");
        assert_eq!(stamp.rfc5322(), "Mon, 23 Nov 2026 02:33:23 +0000");
    }
}
