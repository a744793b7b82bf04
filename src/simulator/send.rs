//! `/email/mime` and `/email/send`.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::mail::Mailbox;
use crate::message::{HeadCollector, HeaderView, read_addresses};

use super::World;
use super::answer;
use super::mailroom::Delivery;

/// A ready made message.
pub(super) async fn mime(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request = match admit(&world, &headers, body).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let encoded = request["mime_email"].as_str().unwrap_or_default();
    if encoded.is_empty() {
        return answer::invalid("mime_email", "The field 'mime_email' is required");
    }
    match STANDARD.decode(encoded) {
        Ok(raw) => submit(&world, "/email/mime", Bytes::from(raw)),
        Err(error) => answer::invalid("mime_email", &format!("not base64: {error}")),
    }
}

/// A mail from its parts: put together just far enough to be delivered.
pub(super) async fn send(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request = match admit(&world, &headers, body).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let list = |field: &str| -> Vec<&str> {
        let items = request[field].as_array();
        items
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    let text = |field: &str| request[field].as_str().unwrap_or_default();
    if text("sender").is_empty() {
        return answer::invalid("sender", "The field 'sender' is required");
    }
    if list("to").is_empty() {
        return answer::invalid("to", "The field 'to' is required");
    }
    if text("text_body").is_empty() && text("html_body").is_empty() {
        return answer::invalid(
            "text_body",
            "One of 'text_body' and 'html_body' is required",
        );
    }
    let mut raw = format!(
        "From: {}\r\nSubject: {}\r\n",
        text("sender"),
        text("subject")
    );
    for (name, field) in [("To", "to"), ("Cc", "cc"), ("Bcc", "bcc")] {
        let addresses = list(field);
        if !addresses.is_empty() {
            raw.push_str(&format!("{name}: {}\r\n", addresses.join(",\r\n\t")));
        }
    }
    raw.push_str(&format!(
        "\r\n{}{}\r\n",
        text("text_body"),
        text("html_body")
    ));
    submit(&world, "/email/send", Bytes::from(raw))
}

/// What every call goes through: size, JSON, key.
pub(super) async fn admit(
    world: &World,
    headers: &HeaderMap,
    body: Body,
) -> Result<Value, Response> {
    let body = to_bytes(body, REQUEST_OCTETS_MAX).await.map_err(|_| {
        let text = "The request is larger than 50 MB";
        answer::error(StatusCode::PAYLOAD_TOO_LARGE, "API_EXCEPTION", text)
    })?;
    let request: Value =
        serde_json::from_slice(&body).map_err(|error| answer::invalid("", &error.to_string()))?;
    match check_key(world, headers, request["api_key"].as_str()) {
        Some(refusal) => Err(refusal),
        None => Ok(request),
    }
}

fn check_key(world: &World, headers: &HeaderMap, in_body: Option<&str>) -> Option<Response> {
    let in_header = headers
        .get("x-smtp2go-api-key")
        .and_then(|value| value.to_str().ok());
    let bearer = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let known = in_header
        .or(bearer)
        .or(in_body)
        .is_some_and(|key| world.account().api_keys.iter().any(|known| known == key));
    (!known).then(|| {
        let text = "The API key is missing, unknown or disabled";
        answer::error(StatusCode::UNAUTHORIZED, "API_KEY_REFUSED", text)
    })
}

/// Accepts or refuses a message, as the internal SMTP submission would.
fn submit(world: &World, endpoint: &'static str, raw: Bytes) -> Response {
    let mut collector = HeadCollector::new(HEAD_OCTETS_MAX);
    let mut message = raw.to_vec();
    if !raw.windows(2).any(|pair| pair == b"\r\n") {
        // The vendor's own example has bare LF line ends.
        message = String::from_utf8_lossy(&raw)
            .replace('\n', "\r\n")
            .into_bytes();
    }
    let Ok(body) = collector.feed(Bytes::from(message)) else {
        return answer::invalid("mime_email", "header block too long");
    };
    let Ok((head, rest)) = collector.finish() else {
        return answer::invalid("mime_email", "header block too long");
    };
    let view = HeaderView::new(&head);
    let addresses = |name: &str| -> Vec<Mailbox> {
        view.named(name)
            .flat_map(|field| read_addresses(view.value(field)).entries)
            .map(|entry| entry.mailbox)
            .collect()
    };
    let Some(sender) = addresses("From").into_iter().next() else {
        return failed("message has no usable From header - Code(550)");
    };
    let account = world.account().clone();
    if !account.may_send_from(sender.domain()) {
        let domain = sender.domain();
        let text = format!(
            "From header sender domain not verified ({domain})\n\
             On your Sending > Verified Senders page\n\
             verify the sender domain or email to be allowed to send. - Code(550)"
        );
        return failed(&text);
    }
    let mut recipients = Vec::new();
    for name in ["To", "Cc", "Bcc"] {
        let named = addresses(name);
        if named.len() > RECIPIENTS_PER_FIELD_MAX {
            return answer::invalid(&name.to_lowercase(), "more than 100 addresses");
        }
        for mailbox in named {
            if !recipients.contains(&mailbox.key()) {
                recipients.push(mailbox.key());
            }
        }
    }
    if recipients.is_empty() {
        return failed("no recipients - Code(550)");
    }
    let (rejected, recipients): (Vec<String>, Vec<String>) = recipients
        .into_iter()
        .partition(|recipient| account.is_suppressed(recipient));
    let raw = without_bcc(&head, &view, &rest, &body);
    let mut mailroom = world.mailroom();
    let email_id = mailroom.next_email_id();
    let count = mailroom.keep(Delivery {
        email_id: email_id.clone(),
        at: Clock.wall(),
        endpoint: endpoint.to_owned(),
        sender: sender.key(),
        recipients,
        rejected,
        size: raw.len(),
        raw,
    });
    drop(mailroom);
    world.delivered.send_replace(count);
    answer::data(json!({
        "succeeded": 1, "failed": 0, "failures": [], "email_id": email_id,
    }))
}

fn without_bcc(head: &[u8], view: &HeaderView<'_>, rest: &[u8], body: &[u8]) -> Bytes {
    let mut raw = Vec::with_capacity(head.len() + rest.len() + body.len() + 2);
    let mut start = 0;
    for field in view.named("Bcc") {
        raw.extend_from_slice(&head[start..field.span.start]);
        start = field.span.end;
    }
    raw.extend_from_slice(&head[start..]);
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(rest);
    raw.extend_from_slice(body);
    Bytes::from(raw)
}

/// A refused mail is a 200 (NOTES section 3).
pub(super) fn failed(reply: &str) -> Response {
    let failure = format!("An error occurred during the SMTP request: {reply}");
    answer::data(json!({
        "succeeded": 0, "failed": 1, "failures": [failure], "email_id": "",
    }))
}

/// NOTES section 5.
const REQUEST_OCTETS_MAX: usize = 50_000_000;
const RECIPIENTS_PER_FIELD_MAX: usize = 100;
const HEAD_OCTETS_MAX: usize = 1024 * 1024;
