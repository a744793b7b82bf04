//! Sending: `/email/mime` and `/email/send`.
//!
//! A refused mail is HTTP 200 with `failed: 1` and the words of an internal SMTP reply inside
//! `failures` (NOTES section 3).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::Endpoint;

/// A ready made MIME message. The request is streamed by the forwarder and never built in memory,
/// so only path and answer are typed here.
///
/// Source: openapi `sendMimeEmail`; confidence: vendor documentation.
#[derive(Debug)]
pub struct EmailMime;

impl Endpoint for EmailMime {
    const PATH: &'static str = "/email/mime";
    const REPEATABLE: bool = false;
    type Request = ();
    type Response = SendResult;
}

/// A mail from its parts.
///
/// Source: openapi `sendEmail`; confidence: vendor documentation.
#[derive(Debug)]
pub struct EmailSend;

impl Endpoint for EmailSend {
    const PATH: &'static str = "/email/send";
    const REPEATABLE: bool = false;
    type Request = SendRequest;
    type Response = SendResult;
}

/// What `/email/send` takes of what we use. Lists hold at most 100 addresses each.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SendRequest {
    /// `Name <address>`; its domain or address must be verified.
    pub sender: String,
    /// At least one.
    pub to: Vec<String>,
    /// May be empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    /// May be empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<String>,
    /// Required without a template.
    pub subject: String,
    /// Plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_body: Option<String>,
    /// HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html_body: Option<String>,
    /// Whether later refusals show only as events. The vendor means to change the default, so it is
    /// always said.
    pub fastaccept: bool,
}

/// The answer to either. Counts are of mails, not of recipients. Members are read whatever their type:
/// how `failures` looks is not published, and a mail that was accepted must not be sent again because
/// of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(from = "Value")]
pub struct SendResult {
    /// Missing in one published example, empty when the mail was refused.
    pub email_id: Option<String>,
    /// Mails accepted; missing with `fastaccept`.
    pub succeeded: Option<u64>,
    /// Mails refused; missing with `fastaccept`.
    pub failed: Option<u64>,
    /// One text per refused mail.
    pub failures: Vec<String>,
    /// The call's name at the provider; filled in from the envelope of the answer.
    pub request_id: String,
}

impl From<Value> for SendResult {
    fn from(data: Value) -> Self {
        Self {
            email_id: text(&data["email_id"]),
            succeeded: count(&data["succeeded"]),
            failed: count(&data["failed"]),
            failures: match &data["failures"] {
                Value::Array(items) => items.iter().filter_map(text).collect(),
                one => text(one).into_iter().collect(),
            },
            request_id: String::new(),
        }
    }
}

/// Null, `""`, `[]` and `{}` all mean nothing (NOTES section 15).
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null | Value::Bool(_) => return None,
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => return None,
        Value::Object(members) if members.is_empty() => return None,
        other => other.to_string(),
    };
    Some(text).filter(|text| !text.is_empty())
}

fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::Bool(yes) => Some(u64::from(*yes)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
