//! What became of mails: activity and archive, read from what was delivered and what happened later.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::World;
use super::super::mailroom::Delivery;
use super::{Call, Refusal, counts, page, unknown};
use crate::clock::Timestamp;
use crate::message::{HeadCollector, HeaderView};
use crate::provider::read_date;

pub(super) fn serve(world: &World, call: &Call) -> Result<Value, Refusal> {
    match call.operation.path {
        "/activity/search" => Ok(activity(world, call)),
        "/archive/search" => Ok(archive(world, call)),
        "/archive/email" => archived(world, call),
        "/stats/email_history" => Ok(counts::history(world, call)),
        _ => Ok(counts::totals(world, call)),
    }
}

/// One event per mail and recipient, newest first; conditions are joined.
fn activity(world: &World, call: &Call) -> Value {
    let text = |field: &str| call.text(field).to_lowercase();
    let (sender, wanted, id) = (
        text("search_sender"),
        text("search_recipient"),
        text("search_email_id"),
    );
    let (anywhere, subject) = (text("search"), text("search_subject"));
    let (kinds, users) = (call.texts("event_types"), call.texts("search_usernames"));
    let names = call.texts("custom_headers");
    let mut events = Vec::new();
    let (deliveries, happenings) = {
        let mailroom = world.mailroom();
        (mailroom.deliveries(), mailroom.happenings())
    };
    for delivery in deliveries.into_iter().rev() {
        // Looking into every mail takes its time: only where it is asked for.
        let about = if anywhere.is_empty() && subject.is_empty() {
            String::new()
        } else {
            header(&delivery, "Subject").to_lowercase()
        };
        let all = format!(
            "{} {} {} {} {about}",
            delivery.email_id.to_lowercase(),
            delivery.sender,
            delivery.recipients.join(" "),
            delivery.rejected.join(" ")
        );
        let below = call.texts("subaccounts");
        let of_account = match (&call.subaccount, &delivery.subaccount) {
            // The main account sees those below it where it asks for them.
            (None, Some(of)) => below.contains(of),
            (asked, of) => asked == of && (below.is_empty() || asked.is_some()),
        };
        let fits = (sender.is_empty() || delivery.sender == sender)
            && (id.is_empty() || delivery.email_id.to_lowercase() == id)
            && (subject.is_empty() || about.contains(&subject))
            && (anywhere.is_empty() || anywhere.split('|').any(|one| all.contains(one.trim())))
            && (users.is_empty() || users.contains(&delivery.username))
            && of_account
            && within(delivery.at, call);
        if !fits {
            continue;
        }
        let later = happenings
            .iter()
            .rev()
            .filter(|happening| happening.email_id == delivery.email_id)
            .map(|happening| Became {
                event: happening.event.activity_word(),
                recipient: &happening.rcpt,
                reply: &happening.message,
                at: happening.at.unwrap_or(delivery.at),
            });
        let outcome = |event, reply| {
            let at = delivery.at;
            move |recipient| Became {
                event,
                recipient,
                reply,
                at,
            }
        };
        let delivered = delivery
            .recipients
            .iter()
            .map(outcome("delivered", "250 2.0.0 OK"));
        let rejected = delivery
            .rejected
            .iter()
            .map(outcome("rejected", &delivery.objection));
        let mut told: Vec<&String> = Vec::new();
        for became in later.chain(delivered).chain(rejected) {
            let latest = call.flag("only_latest") == Some(true);
            if latest && told.contains(&became.recipient) {
                continue;
            }
            told.push(became.recipient);
            let wanted = wanted.is_empty() || *became.recipient == wanted;
            if wanted && (kinds.is_empty() || kinds.iter().any(|kind| kind == became.event)) {
                events.push(describe(&delivery, &became, &names));
            }
        }
    }
    let total = events.len();
    let limit = call.number("limit").unwrap_or(100).min(EVENTS_MAX);
    let (events, token) = page(events, call, limit);
    json!({ "events": events, "total_events": total, "continue_token": token })
}

/// What became of one recipient's mail.
struct Became<'a> {
    event: &'static str,
    recipient: &'a String,
    reply: &'a str,
    at: Timestamp,
}

fn describe(delivery: &Delivery, became: &Became<'_>, names: &[String]) -> Value {
    let mut custom = Map::new();
    for name in names {
        let value = header(delivery, name);
        if !value.is_empty() {
            custom.insert(name.clone(), Value::String(value));
        }
    }
    json!({
        "email_id": delivery.email_id,
        "event": became.event,
        "date": became.at.to_string(),
        "from": delivery.sender,
        "sender": delivery.sender,
        "recipient": became.recipient,
        "subject": header(delivery, "Subject"),
        "username": delivery.username,
        "smtp_response": became.reply,
        "custom_headers": custom,
    })
}

fn archive(world: &World, call: &Call) -> Value {
    let text = |field: &str| call.text(field).to_lowercase();
    let (sender, recipient, subject) = (text("sender"), text("recipient"), text("subject"));
    let user = call.text("username");
    let found: Vec<Value> = world
        .mailroom()
        .deliveries()
        .iter()
        .rev()
        .filter(|delivery| {
            (sender.is_empty() || delivery.sender == sender)
                && (recipient.is_empty() || delivery.recipients.contains(&recipient))
                && (subject.is_empty()
                    || header(delivery, "Subject")
                        .to_lowercase()
                        .contains(&subject))
                && (user.is_empty() || delivery.username == user)
                && delivery.subaccount == call.subaccount
                && within(delivery.at, call)
        })
        .map(|delivery| copy(world, delivery))
        .collect();
    let total = found.len();
    let limit = call.number("limit").unwrap_or(ARCHIVE_MAX).min(ARCHIVE_MAX);
    let (emails, token) = page(found, call, limit);
    json!({ "email_count": total, "emails": emails, "continue_token": token })
}

fn archived(world: &World, call: &Call) -> Result<Value, Refusal> {
    let id = call.text("email_id");
    let deliveries = world.mailroom().deliveries();
    let mut of_account = deliveries
        .iter()
        .filter(|delivery| delivery.subaccount == call.subaccount);
    let found = of_account.find(|delivery| delivery.email_id == id);
    found
        .map(|delivery| copy(world, delivery))
        .ok_or_else(|| unknown("archived mail", id))
}

fn copy(world: &World, delivery: &Delivery) -> Value {
    let to = header(delivery, "To");
    json!({
        "email_id": delivery.email_id,
        "username": delivery.username,
        "sender": delivery.sender,
        "envelope_from": delivery.sender,
        "recipient": delivery.recipients.first(),
        "to": to,
        "subject": header(delivery, "Subject"),
        "sent": delivery.at.to_string(),
        "headers": "",
        "byte_count": delivery.size,
        "attachment_count": 0,
        "attachments": [],
        "url": format!("{}/_deliveries/{}/raw", world.base_url(), delivery.email_id),
    })
}

/// Start inclusive, end exclusive; a date alone is its midnight (provider-api 13).
pub(in super::super) fn within(at: Timestamp, call: &Call) -> bool {
    let bound = |name: &str| read_date(call.text(name));
    let (start, end) = (bound("start_date"), bound("end_date"));
    start.is_none_or(|start| at >= start) && end.is_none_or(|end| at < end)
}

/// The first header of this name, unfolded.
pub(in super::super) fn header(delivery: &Delivery, name: &str) -> String {
    header_of(delivery.raw.clone(), name)
}

/// The same of any message.
pub(in super::super) fn header_of(raw: Bytes, name: &str) -> String {
    let mut collector = HeadCollector::new(usize::MAX);
    let Ok(()) = collector.feed(raw).map(drop) else {
        return String::new();
    };
    let Ok(head) = collector.finish() else {
        return String::new();
    };
    let view = HeaderView::new(&head.block);
    let value = view
        .named(name)
        .next()
        .map(|field| String::from_utf8_lossy(view.value(field)).replace("\r\n", ""));
    value.unwrap_or_default().trim().to_owned()
}

const EVENTS_MAX: usize = 1000;
const ARCHIVE_MAX: usize = 5000;
