//! Looking up what became of a mail: `/activity/search`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::Endpoint;

/// Events of mails, at most 1,000 an answer, at most 60 calls a minute.
///
/// Source: openapi `searchActivity`; confidence: vendor documentation.
#[derive(Debug)]
pub struct ActivitySearch;

impl Endpoint for ActivitySearch {
    const PATH: &'static str = "/activity/search";
    const REPEATABLE: bool = true;
    type Request = ActivityRequest;
    type Response = ActivityAnswer;
}

/// Which events. All conditions must hold.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ActivityRequest {
    /// RFC 3339, inclusive.
    pub start_date: String,
    /// RFC 3339, exclusive.
    pub end_date: String,
    /// The address in the From header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_sender: Option<String>,
    /// One recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_recipient: Option<String>,
    /// At most so many events, up to 1,000.
    pub limit: u32,
    /// Names of headers whose values each event shall carry.
    pub custom_headers: Vec<String>,
    /// From the answer before, to go on behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
}

/// The events found.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ActivityAnswer {
    /// Newest or oldest first: not documented.
    #[serde(default)]
    pub events: Vec<ActivityEvent>,
    /// Where to go on; `None` or empty at the end.
    #[serde(default)]
    pub continue_token: Option<String>,
}

/// One event of one mail for one recipient. Nearly everything may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ActivityEvent {
    /// The mail.
    #[serde(default)]
    pub email_id: String,
    /// Such as `delivered`.
    #[serde(default)]
    pub event: String,
    /// The one recipient.
    #[serde(default)]
    pub recipient: Option<String>,
    /// Values of the headers asked for; one text, or a list of them.
    #[serde(default)]
    pub custom_headers: BTreeMap<String, Value>,
}

impl ActivityEvent {
    /// Whether the header `name` has this value, however its name is written.
    pub fn has_header(&self, name: &str, value: &str) -> bool {
        let is = |found: &Value| found.as_str().is_some_and(|text| text.trim() == value);
        self.custom_headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .any(|(_, found)| is(found) || found.as_array().is_some_and(|list| list.iter().any(is)))
    }
}
