//! What the provider's records say about a doubt.
//!
//! A mail is recognised by our own `X-Gateway-Id` header and a recipient of the dispatch: one message
//! may have several dispatches, and all carry the same id.

use crate::mail::{Mailbox, SpoolId};
use crate::provider::groups::activity::ActivityEvent;

/// The header that names our messages.
pub(super) const GATEWAY_ID: &str = "X-Gateway-Id";

/// The provider's name for the mail, if any event speaks of it.
pub fn recognise(events: &[ActivityEvent], id: SpoolId, recipients: &[Mailbox]) -> Option<String> {
    let id = id.to_string();
    let reaches_one = |event: &ActivityEvent| match event.recipient.as_deref() {
        Some(named) => recipients
            .iter()
            .any(|recipient| recipient.as_str().eq_ignore_ascii_case(named.trim())),
        // The search was for a recipient already.
        None => true,
    };
    events
        .iter()
        .find(|event| event.has_header(GATEWAY_ID, &id) && reaches_one(event))
        .map(|event| event.email_id.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> ActivityEvent {
        serde_json::from_str(json).expect("an event")
    }

    #[test]
    fn a_mail_is_recognised_by_id_and_recipient_in_any_spelling() {
        let id: SpoolId = "019362b5a5c07b6d8f0e2f6a1c3d4e5f".parse().expect("an id");
        let to = ["a@b.test".parse().expect("an address")];
        for (json, known) in [
            (
                r#"{"email_id":"e","recipient":"A@b.test","custom_headers":{"x-gateway-id":"019362b5a5c07b6d8f0e2f6a1c3d4e5f"}}"#,
                true,
            ),
            (
                r#"{"email_id":"e","custom_headers":{"X-Gateway-Id":["019362b5a5c07b6d8f0e2f6a1c3d4e5f"]}}"#,
                true,
            ),
            (
                r#"{"email_id":"e","recipient":"c@b.test","custom_headers":{"X-Gateway-Id":"019362b5a5c07b6d8f0e2f6a1c3d4e5f"}}"#,
                false,
            ),
            (
                r#"{"email_id":"e","recipient":"a@b.test","custom_headers":{"X-Gateway-Id":"other"}}"#,
                false,
            ),
            (r#"{"email_id":"e","recipient":"a@b.test"}"#, false),
        ] {
            let found = recognise(&[event(json)], id, &to);
            assert_eq!(found.is_some(), known, "{json}");
        }
    }
}
