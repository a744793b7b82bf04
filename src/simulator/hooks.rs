//! Webhooks, really posted: what happened to a mail, to everybody who registered for it.
//!
//! One event a recipient, and `processed` once a mail. A receiver that does not answer 2xx gets the event
//! again, a few times; the order of events is not promised, as with the real ones.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Map, Value, json};

use super::mailroom::Delivery;
use crate::http::{ClientSettings, client};

/// Posts this mail's events to these webhooks, in the background.
pub(super) fn announce(
    hooks: Vec<Map<String, Value>>,
    delivery: &Delivery,
    header: impl Fn(&str) -> String,
) {
    for hook in hooks {
        for (name, mut event) in events(delivery, &header) {
            // Headers that were registered, in the spelling of the registration.
            for wanted in listed(&hook, "headers") {
                event[wanted] = json!(header(wanted));
            }
            if wants(&hook, name, delivery) {
                tokio::spawn(post(hook.clone(), event));
            }
        }
    }
}

fn wants(hook: &Map<String, Value>, name: &str, delivery: &Delivery) -> bool {
    let users = listed(hook, "usernames");
    listed(hook, "events").contains(&name)
        && (users.is_empty() || users.contains(&delivery.username.as_str()))
}

fn listed<'a>(hook: &'a Map<String, Value>, member: &str) -> Vec<&'a str> {
    let items = hook.get(member).and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn events(delivery: &Delivery, header: impl Fn(&str) -> String) -> Vec<(&'static str, Value)> {
    let (subject, message_id) = (header("Subject"), header("Message-ID"));
    let base = |event: &str| {
        json!({
            "event": event, "id": uuid::Uuid::now_v7().simple().to_string(),
            "email_id": delivery.email_id, "time": delivery.at.to_string(),
            "sendtime": delivery.at.to_string(), "sender": delivery.sender, "auth": delivery.username,
            "subject": subject, "Subject": subject, "from": header("From"),
            "from_address": delivery.sender, "message-id": message_id, "Message-Id": message_id,
            "srchost": "127.0.0.1",
        })
    };
    let with = |mut event: Value, member: &str, value: Value| {
        event[member] = value;
        event
    };
    let everybody: Vec<&String> = delivery
        .recipients
        .iter()
        .chain(&delivery.rejected)
        .collect();
    let mut events = vec![(
        "processed",
        with(base("processed"), "recipients", json!(everybody)),
    )];
    for recipient in &delivery.recipients {
        let mut event = with(base("delivered"), "rcpt", json!(recipient));
        event["host"] = json!("mx.example.net [192.0.2.25]");
        event["message"] = json!("250 2.0.0 OK");
        events.push(("delivered", event));
    }
    for recipient in &delivery.rejected {
        let mut event = with(base("reject"), "rcpt", json!(recipient));
        event["message"] = json!("recipient is suppressed");
        events.push(("reject", event));
    }
    events
}

async fn post(hook: Map<String, Value>, event: Value) {
    let text = |member: &str| hook.get(member).and_then(Value::as_str).unwrap_or_default();
    let Some(client) = caller() else { return };
    for attempt in 0..ATTEMPTS_MAX {
        let mut request = client.post(text("url"));
        request = match text("auth_header_type") {
            "bearer" => request.header(
                "authorization",
                format!("Bearer {}", text("auth_header_value")),
            ),
            "basic" => request.header(
                "authorization",
                format!("Basic {}", text("auth_header_value")),
            ),
            _ => request,
        };
        request = match text("output_format") {
            "json" => request
                .header("content-type", "application/json")
                .body(event.to_string()),
            _ => request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form(&event)),
        };
        match request.timeout(PATIENCE).send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => tracing::info!(status = answer.status().as_u16(), "webhook refused"),
            Err(error) => tracing::info!(error = %error.without_url(), "webhook not reached"),
        }
        tokio::time::sleep(RETRY_FIRST * 2u32.pow(attempt)).await;
    }
}

/// Lists are joined by commas (webhooks.md).
fn form(event: &Value) -> String {
    let mut pairs = Vec::new();
    for (name, value) in event.as_object().into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(","),
            other => other.to_string(),
        };
        pairs.push(format!("{}={}", escaped(name), escaped(&text)));
    }
    pairs.join("&")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(octet));
            }
            octet => escaped.push_str(&format!("%{octet:02X}")),
        }
    }
    escaped
}

fn caller() -> Option<&'static Client> {
    static CLIENT: OnceLock<Option<Client>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        let settings = ClientSettings {
            connect_timeout: PATIENCE,
            ca_file: None,
            proxy: false,
        };
        client(&settings).ok()
    });
    made.as_ref()
}

const ATTEMPTS_MAX: u32 = 5;
const RETRY_FIRST: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);
