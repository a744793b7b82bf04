//! Short messages: sent ones arrive at once, received ones come from `POST /_sms`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::World;
use super::super::account::object;
use super::super::hooks;
use super::{Call, Refusal, within};
use crate::clock::{Clock, Timestamp};
use crate::provider::{read_date, sms_segments};

pub(super) fn serve(world: &World, call: &Call) -> Result<Value, Refusal> {
    let hooks = world.hooks(call.subaccount.as_deref());
    let mut account = world.account();
    let plan = call
        .subaccount
        .as_ref()
        .and_then(|id| account.books.subaccounts.get(id).cloned());
    let books = account.books_named(call.subaccount.as_deref());
    match call.operation.verb {
        "send" => {
            let sent = send(call)?;
            if let Some(record) = &plan {
                let limit = record["sms_limit"].as_u64().unwrap_or(0);
                let after = (books.sms.len() + sent.len()) as u64;
                if record["sms_enabled"] != true || after > limit {
                    let words = "SMS is not enabled for this account, or its limit is reached";
                    return Err(Refusal::Exception(words.to_owned()));
                }
            }
            for message in &sent {
                hooks::announce_sms(&hooks, message);
            }
            books.sms.extend(sent.iter().cloned());
            let queued = |message: &Map<String, Value>| {
                json!({
                    "destination": message["destination_address"], "message_id": message["id"],
                    "status": "queued",
                })
            };
            let messages: Vec<Value> = sent.iter().map(queued).collect();
            Ok(json!({
                "statuses": { "queued": sent.len() }, "total_sent": sent.len(), "messages": messages,
            }))
        }
        "view-sent" => Ok(json!({ "messages": fitting(&books.sms, call) })),
        "view-received" => Ok(json!({ "messages": fitting(&books.sms_received, call) })),
        _ => {
            let messages = fitting(&books.sms, call);
            let units: u64 = messages
                .iter()
                .filter_map(|sent| sent["units"].as_u64())
                .sum();
            Ok(json!({ "total_messages": messages.len(), "total_units": units, "total_cost": 0 }))
        }
    }
}

fn send(call: &Call) -> Result<Vec<Map<String, Value>>, Refusal> {
    let numbers = call.texts("destination");
    if numbers.len() > NUMBERS_MAX {
        let why = "at most 100 numbers".to_owned();
        return Err(Refusal::Member("destination", why));
    }
    if let Some(odd) = numbers.iter().find(|number| !is_number(number)) {
        let why = format!("{odd:?} is no number with its country code");
        return Err(Refusal::Member("destination", why));
    }
    let content = call.text("content");
    if content.is_empty() {
        let why = "there is nothing to say".to_owned();
        return Err(Refusal::Member("content", why));
    }
    let username: String = call.key.chars().take(16).collect();
    let sender = match call.text("sender") {
        "" => "+15555550199",
        sender => sender,
    };
    let message = |number: &String| {
        object(json!({
            "id": uuid::Uuid::now_v7().to_string(), "timestamp": call.at.to_string(),
            "username": username, "sender": sender, "sender_email": "",
            "destination_address": number, "destination_address_country": "",
            "format": "text", "status": "Message sent", "content": content,
            "units": sms_segments(content),
        }))
    };
    Ok(numbers.iter().map(message).collect())
}

fn fitting(messages: &[Map<String, Value>], call: &Call) -> Vec<Value> {
    let user = call.text("username");
    let fits = |message: &&Map<String, Value>| {
        let member = |name: &str| {
            message
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let at = read_date(member("timestamp"));
        let unix = |name: &str| {
            let seconds = call.request.get(name).and_then(Value::as_i64);
            seconds.map(|seconds| Timestamp(seconds.saturating_mul(1000)))
        };
        let between = |at: Timestamp| {
            unix("unix_start").is_none_or(|start| at >= start)
                && unix("unix_end").is_none_or(|end| at < end)
                && within(at, call)
        };
        (user.is_empty() || member("username") == user) && at.is_none_or(between)
    };
    messages
        .iter()
        .filter(fits)
        .cloned()
        .map(Value::Object)
        .collect()
}

/// What somebody sends to a number of the account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Received {
    from: String,
    to: String,
    content: String,
}

/// `POST /_sms`, such as `{"from": "+15555550100", "to": "+15555550199", "content": "STOP"}`
pub(in super::super) async fn receive_sms(
    State(world): State<Arc<World>>,
    body: String,
) -> Response {
    let wrong = |why: String| (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response();
    let received: Received = match serde_json::from_str(&body) {
        Ok(received) => received,
        Err(error) => return wrong(error.to_string()),
    };
    for number in [&received.from, &received.to] {
        if !is_number(number) {
            return wrong(format!("{number:?} is no number with its country code"));
        }
    }
    let message = json!({
        "source_address": received.from, "destination_address": received.to,
        "timestamp": Clock.wall().to_string(), "content": received.content,
        "message_id": uuid::Uuid::now_v7().to_string(), "username": "",
    });
    let message = object(message);
    if received.content.trim().eq_ignore_ascii_case("stop") {
        hooks::announce_opt_out(&world.hooks(None), &message);
    }
    world.account().books.sms_received.push(message);
    world.note_account();
    StatusCode::NO_CONTENT.into_response()
}

fn is_number(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit())
}

const NUMBERS_MAX: usize = 100;
