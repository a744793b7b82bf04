//! How often a call may be made, and how much a key may send.
//!
//! provider-api 4

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::provider::read_period;

/// Calls that were made not long ago, by key and path.
#[derive(Debug, Default)]
pub(super) struct CallLimits {
    recent: BTreeMap<(String, &'static str), VecDeque<Timestamp>>,
}

impl CallLimits {
    /// Counts a call; `false` where it is one too many.
    pub(super) fn admit(&mut self, key: &str, path: &'static str, now: Timestamp) -> bool {
        let Some((_, most, period)) = LIMITS.iter().find(|(limited, ..)| *limited == path) else {
            return true;
        };
        let recent = self.recent.entry((key.to_owned(), path)).or_default();
        while recent.front().is_some_and(|at| now.since(*at) >= *period) {
            recent.pop_front();
        }
        let admitted = recent.len() < *most;
        if admitted {
            recent.push_back(now);
        }
        admitted
    }
}

/// How many mails a credential may send in which time; `None` where nothing is set.
pub(super) fn sending_limit(record: &Map<String, Value>) -> Option<(usize, Duration)> {
    if record.get("custom_ratelimit") != Some(&Value::Bool(true)) {
        return None;
    }
    let most = record.get("custom_ratelimit_value")?.as_u64()?;
    let period = read_period(record.get("custom_ratelimit_period")?.as_str()?)?;
    Some((usize::try_from(most).ok()?, period))
}

const MINUTE: Duration = Duration::from_secs(60);
const LIMITS: &[(&str, usize, Duration)] = &[
    ("/activity/search", 60, MINUTE),
    ("/api_keys/add", 5, MINUTE),
    ("/email/search", 20, MINUTE),
    ("/subaccount/add", 50, Duration::from_secs(3600)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_new_key_of_a_minute_is_one_too_many() {
        let mut limits = CallLimits::default();
        let at = |second: i64| Timestamp(second * 1000);
        let path = "/api_keys/add";
        let admitted: Vec<bool> = (0..6).map(|n| limits.admit("a", path, at(n))).collect();
        assert_eq!(admitted, [true, true, true, true, true, false]);
        assert!(limits.admit("b", path, at(6)), "another key has its own");
        assert!(limits.admit("a", path, at(60)), "a minute after the first");
        assert!(!limits.admit("a", path, at(60)));
    }
}
