//! Webhooks, really posted: what happened to a mail, to everybody who registered for it.
//!
//! One event a recipient, and `processed` once a mail. A receiver that does not answer 2xx gets the event
//! again, a few times; the order of events is not promised, as with the real ones.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::happenings::Happening;
use super::mailroom::Delivery;
use crate::clock::Timestamp;
use crate::http::{ClientSettings, client};

/// Posts this mail's events to these webhooks, in the background.
pub(super) fn announce(
    hooks: &[Map<String, Value>],
    delivery: &Delivery,
    header: impl Fn(&str) -> String,
) {
    for (name, event) in events(delivery, &header) {
        tell(hooks, name, event, delivery, &header);
    }
}

/// Posts what happened to a mail later.
pub(super) fn announce_happening(
    hooks: &[Map<String, Value>],
    delivery: &Delivery,
    happening: &Happening,
    header: impl Fn(&str) -> String,
) {
    let name = happening.event.hook_word();
    let mut event = base(delivery, name, &header);
    if let Some(at) = happening.at {
        event["time"] = json!(whole_second(at));
    }
    if let (Some(event), Value::Object(more)) = (event.as_object_mut(), happening.particulars()) {
        event.extend(more);
    }
    tell(hooks, name, event, delivery, &header);
}

/// Posts the way of a short message (provider-api 17, SMS events).
pub(super) fn announce_sms(hooks: &[Map<String, Value>], message: &Map<String, Value>) {
    let text = |member: &str| message.get(member).cloned().unwrap_or(Value::Null);
    for name in ["submitted", "sending", "delivered"] {
        let event = json!({
            "event": format!("sms_{name}"), "id": event_id(), "message_id": text("id"),
            "destination_number": text("destination_address"), "source_number": text("sender"),
            "message_content": text("content"), "received_timestamp": text("timestamp"),
            "submitted_timestamp": text("timestamp"), "region": "US", "retry_count": 0,
            "status_code": name,
        });
        let wanted = hooks
            .iter()
            .filter(|hook| listed(hook, "sms_events").contains(&name));
        for hook in wanted {
            tokio::spawn(post(hook.clone(), event.clone()));
        }
    }
}

/// Posts that somebody wants no more short messages. What it is called in a delivery is not published.
pub(super) fn announce_opt_out(hooks: &[Map<String, Value>], received: &Map<String, Value>) {
    let text = |member: &str| received.get(member).cloned().unwrap_or(Value::Null);
    let event = json!({
        "event": "sms_opt-out", "id": event_id(), "message_id": text("message_id"),
        "destination_number": text("destination_address"), "source_number": text("source_address"),
        "message_content": text("content"), "received_timestamp": text("timestamp"), "region": "US",
    });
    for hook in hooks {
        if listed(hook, "sms_events").contains(&"opt-out") {
            tokio::spawn(post(hook.clone(), event.clone()));
        }
    }
}

fn tell(
    hooks: &[Map<String, Value>],
    name: &str,
    event: Value,
    delivery: &Delivery,
    header: impl Fn(&str) -> String,
) {
    for hook in hooks.iter().filter(|hook| wants(hook, name, delivery)) {
        let mut event = event.clone();
        // Headers that were registered, in the spelling of the registration.
        for wanted in listed(hook, "headers") {
            event[wanted] = json!(header(wanted));
        }
        tokio::spawn(post(hook.clone(), event));
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

/// `2026-02-07T18:05:02Z`
fn whole_second(at: Timestamp) -> String {
    let text: String = at.to_string().chars().take(19).collect();
    format!("{text}Z")
}

/// `2026-02-07T18:05:02.199000+00:00`
fn with_fraction(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}000+00:00", text.trim_end_matches('Z'))
}

fn event_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// What all events of a mail say.
fn base(delivery: &Delivery, event: &str, header: impl Fn(&str) -> String) -> Value {
    let (subject, message_id) = (header("Subject"), header("Message-ID"));
    json!({
        "event": event, "id": event_id(), "email_id": delivery.email_id,
        "time": whole_second(delivery.at), "sendtime": with_fraction(delivery.at),
        "sender": delivery.sender, "auth": delivery.username, "subject": subject,
        "Subject": subject, "from": header("From"), "from_address": delivery.sender,
        "from_name": name_of(&header("From")),
        "message-id": message_id, "Message-Id": message_id, "srchost": "127.0.0.1",
    })
}

/// What stands in front of the address.
fn name_of(from: &str) -> String {
    let name = from.split_once('<').map_or("", |(name, _)| name);
    name.trim().trim_matches('"').to_owned()
}

fn events(delivery: &Delivery, header: impl Fn(&str) -> String) -> Vec<(&'static str, Value)> {
    let base = |event: &str| base(delivery, event, &header);
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
        event["context"] = json!("Unavailable");
        events.push(("delivered", event));
    }
    for recipient in &delivery.rejected {
        let mut event = with(base("reject"), "rcpt", json!(recipient));
        event["message"] = json!(delivery.objection);
        events.push(("reject", event));
    }
    events
}

async fn post(hook: Map<String, Value>, event: Value) {
    let text = |member: &str| hook.get(member).and_then(Value::as_str).unwrap_or_default();
    if hook.get("disabled") == Some(&Value::Bool(true)) {
        return;
    }
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
        for (name, value) in custom_headers(&hook) {
            request = request.header(name, value);
        }
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

/// Names and values, however they are written: their shape is not published.
fn custom_headers(hook: &Map<String, Value>) -> Vec<(HeaderName, HeaderValue)> {
    let pair = |name: &str, value: &Value| {
        let value = HeaderValue::from_str(value.as_str()?).ok()?;
        Some((name.parse().ok()?, value))
    };
    match hook.get("custom_headers") {
        Some(Value::Object(headers)) => {
            let headers = headers.iter();
            headers
                .filter_map(|(name, value)| pair(name, value))
                .collect()
        }
        Some(Value::Array(headers)) => {
            let named = |item: &Value| pair(item["header"].as_str()?, &item["value"]);
            headers.iter().filter_map(named).collect()
        }
        _ => Vec::new(),
    }
}

/// Lists are joined by commas (provider-api 17).
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
