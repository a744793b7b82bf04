//! `/activity/search`: what became of mails.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::message::{HeadCollector, HeaderView};

use super::World;
use super::answer;
use super::mailroom::Delivery;
use super::send::admit;

/// One event per mail and recipient, newest first; conditions are joined.
pub(super) async fn search(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request = match admit(&world, &headers, body).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let text = |field: &str| request[field].as_str().unwrap_or_default().to_lowercase();
    let (sender, wanted) = (text("search_sender"), text("search_recipient"));
    let names: Vec<&str> = request["custom_headers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let limit = request["limit"].as_u64().unwrap_or(100).min(EVENTS_MAX);
    let mut events = Vec::new();
    for delivery in world.mailroom().deliveries().into_iter().rev() {
        if !sender.is_empty() && delivery.sender != sender {
            continue;
        }
        let outcomes = [
            ("delivered", &delivery.recipients),
            ("rejected", &delivery.rejected),
        ];
        for (event, recipients) in outcomes {
            for recipient in recipients {
                if wanted.is_empty() || *recipient == wanted {
                    events.push(describe(&delivery, event, recipient, &names));
                }
            }
        }
    }
    let total = events.len();
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    answer::data(json!({ "events": events, "total_events": total, "continue_token": null }))
}

fn describe(delivery: &Delivery, event: &str, recipient: &str, names: &[&str]) -> Value {
    let mut custom = Map::new();
    let mut collector = HeadCollector::new(usize::MAX);
    if collector.feed(delivery.raw.clone()).is_ok()
        && let Ok((head, _)) = collector.finish()
    {
        let view = HeaderView::new(&head);
        for name in names {
            if let Some(field) = view.named(name).next() {
                let value = String::from_utf8_lossy(view.value(field)).trim().to_owned();
                custom.insert((*name).to_owned(), Value::String(value));
            }
        }
    }
    json!({
        "email_id": delivery.email_id,
        "event": event,
        "date": delivery.at.to_string(),
        "from": delivery.sender,
        "sender": delivery.sender,
        "recipient": recipient,
        "custom_headers": custom,
    })
}

const EVENTS_MAX: u64 = 1000;
