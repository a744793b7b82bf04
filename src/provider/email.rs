//! What became of a mail that was sent: the answer of `/email/mime` and `/email/send`.
//!
//! A refused mail is HTTP 200 with `failed: 1` and the words of an internal SMTP reply inside
//! `failures` (provider-api 3).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mail::opaque_name;

/// The answer to either. Counts are of mails, not of recipients. Members are read whatever their type:
/// how `failures` looks is not published, and a mail that was accepted must not be sent again because
/// of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(from = "Value")]
pub struct SendResult {
    /// Missing in one published example, empty when the mail was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_id: Option<String>,
    /// Mails accepted; missing with `fastaccept`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<u64>,
    /// Mails refused; missing with `fastaccept`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// One text per refused mail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// Names a mail that leaves later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_id: Option<String>,
    /// The call's name at the provider; filled in from the envelope of the answer.
    #[serde(skip)]
    pub request_id: String,
}

impl From<Value> for SendResult {
    fn from(data: Value) -> Self {
        Self {
            email_id: name(&data["email_id"]),
            succeeded: count(&data["succeeded"]),
            failed: count(&data["failed"]),
            failures: match &data["failures"] {
                Value::Array(items) => items.iter().filter_map(text).collect(),
                one => text(one).into_iter().collect(),
            },
            schedule_id: name(&data["schedule_id"]),
            request_id: String::new(),
        }
    }
}

/// Null, `""`, `[]` and `{}` all mean nothing (provider-api 15).
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null | Value::Bool(_) => return None,
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => return None,
        Value::Object(members) if members.is_empty() => return None,
        // The words themselves, where they are the only text of it.
        Value::Object(members)
            if members.values().filter(|value| value.is_string()).count() == 1 =>
        {
            members.values().find_map(Value::as_str)?.to_owned()
        }
        other => other.to_string(),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// What the provider calls something; it goes into logs, traces and onto terminals.
fn name(value: &Value) -> Option<String> {
    let name = opaque_name(&text(value)?);
    Some(name).filter(|name| !name.is_empty())
}

fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::Bool(yes) => Some(u64::from(*yes)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_provider_calls_a_mail_is_cleaned_and_cut() {
        let nasty = format!("n\u{1b}[2J\u{9b}\r\n\u{202e}{}", "x".repeat(20_000));
        let clean = format!("n[2J{}", "x".repeat(124));
        let result = SendResult::from(json!({ "email_id": nasty, "schedule_id": nasty }));
        assert_eq!(result.email_id.as_ref(), Some(&clean));
        assert_eq!(result.schedule_id.as_ref(), Some(&clean));
        let result = SendResult::from(json!({ "email_id": "\u{1b}", "schedule_id": "" }));
        assert_eq!((result.email_id, result.schedule_id), (None, None));
    }
}
