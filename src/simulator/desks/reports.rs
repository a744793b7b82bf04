//! What became of mails: activity, archive and counts, all read from what was delivered.

use serde_json::{Map, Value, json};

use super::super::World;
use super::super::mailroom::Delivery;
use super::{Call, Refusal, page, unknown};
use crate::message::{HeadCollector, HeaderView};
use crate::provider::read_date;

pub(super) fn serve(world: &World, call: &Call) -> Result<Value, Refusal> {
    match call.operation.path {
        "/activity/search" => Ok(activity(world, call)),
        "/archive/search" => Ok(archive(world, call)),
        "/archive/email" => archived(world, call),
        "/stats/email_history" => Ok(history(world, call)),
        _ => Ok(counts(world, call)),
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
    for delivery in world.mailroom().deliveries().into_iter().rev() {
        // Looking into every mail takes its time: only where it is asked for.
        let about = if anywhere.is_empty() && subject.is_empty() {
            String::new()
        } else {
            header(&delivery, "Subject").to_lowercase()
        };
        let all = format!(
            "{} {} {about}",
            delivery.sender,
            delivery.recipients.join(" ")
        );
        let fits = (sender.is_empty() || delivery.sender == sender)
            && (id.is_empty() || delivery.email_id.to_lowercase() == id)
            && (subject.is_empty() || about.contains(&subject))
            && (anywhere.is_empty() || all.contains(&anywhere))
            && (users.is_empty() || users.contains(&delivery.username))
            && within(&delivery, call);
        if !fits {
            continue;
        }
        let outcomes = [
            ("delivered", &delivery.recipients),
            ("rejected", &delivery.rejected),
        ];
        for (event, recipients) in outcomes {
            for recipient in recipients {
                let wanted = wanted.is_empty() || *recipient == wanted;
                if wanted && (kinds.is_empty() || kinds.iter().any(|kind| kind == event)) {
                    events.push(describe(&delivery, event, recipient, &names));
                }
            }
        }
    }
    let total = events.len();
    let limit = call.number("limit").unwrap_or(100).min(EVENTS_MAX);
    let (events, token) = page(events, call, limit);
    json!({ "events": events, "total_events": total, "continue_token": token })
}

fn describe(delivery: &Delivery, event: &str, recipient: &str, names: &[String]) -> Value {
    let mut custom = Map::new();
    for name in names {
        let value = header(delivery, name);
        if !value.is_empty() {
            custom.insert(name.clone(), Value::String(value));
        }
    }
    let reply = if event == "delivered" {
        "250 2.0.0 OK"
    } else {
        "recipient is suppressed"
    };
    json!({
        "email_id": delivery.email_id,
        "event": event,
        "date": delivery.at.to_string(),
        "from": delivery.sender,
        "sender": delivery.sender,
        "recipient": recipient,
        "subject": header(delivery, "Subject"),
        "username": delivery.username,
        "smtp_response": reply,
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
                && within(delivery, call)
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
    let found = deliveries.iter().find(|delivery| delivery.email_id == id);
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

fn history(world: &World, call: &Call) -> Value {
    let by = match call.text("group_by") {
        "" => "email_address",
        by => by,
    };
    let mut rows: Vec<(String, u64, usize)> = Vec::new();
    for delivery in world.mailroom().deliveries() {
        if !within(&delivery, call) {
            continue;
        }
        let name = match by {
            "username" => delivery.username.clone(),
            "domain" => delivery
                .sender
                .rsplit('@')
                .next()
                .unwrap_or_default()
                .to_owned(),
            "subaccount" => String::new(),
            _ => delivery.sender.clone(),
        };
        match rows.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, used, octets)) => {
                *used += 1;
                *octets += delivery.size;
            }
            None => rows.push((name, 1, delivery.size)),
        }
    }
    let row = |(name, used, octets): &(String, u64, usize)| {
        json!({
            by: name, "used": used, "bytecount": octets,
            "avgsize": octets / usize::try_from(*used).unwrap_or(1).max(1), "lastip": "127.0.0.1",
            "bounces": 0, "clicks": 0, "opens": 0, "rejects": 0, "spam": 0, "unsubscribes": 0,
        })
    };
    json!({ "count": rows.len(), "history": rows.iter().map(row).collect::<Vec<_>>() })
}

fn counts(world: &World, call: &Call) -> Value {
    let user = call.text("username");
    let deliveries = world.mailroom().deliveries();
    let of_user = |delivery: &&Delivery| user.is_empty() || delivery.username == user;
    // Each recipient counts as one mail of the plan (NOTES section 5).
    let used: usize = deliveries
        .iter()
        .filter(of_user)
        .map(|one| one.recipients.len())
        .sum();
    let rejects: usize = deliveries
        .iter()
        .filter(of_user)
        .map(|one| one.rejected.len())
        .sum();
    let month: String = call.at.to_string().chars().take(7).collect();
    let cycle = json!({
        "cycle_start": format!("{month}-01 00:00:00+00:00"),
        "cycle_end": format!("{month}-28 00:00:00+00:00"),
        "cycle_used": used,
        "cycle_remaining": PLAN.saturating_sub(used),
        "cycle_max": PLAN,
    });
    let bounces = json!({
        "emails": used, "rejects": rejects, "softbounces": 0, "hardbounces": 0, "bounce_percent": "0.00",
    });
    let spam = json!({ "emails": used, "rejects": rejects, "spams": 0, "spam_percent": "0.00" });
    let unsubscribes = json!({
        "emails": used, "rejects": rejects, "unsubscribes": 0, "unsubscribe_percent": "0.00",
    });
    match call.operation.path {
        "/stats/email_cycle" => cycle,
        "/stats/email_bounces" => bounces,
        "/stats/email_spam" => spam,
        "/stats/email_unsubs" => unsubscribes,
        _ => {
            let mut all = super::super::account::object(cycle);
            let rest = json!({
                "email_count": used, "rejects": rejects, "bounce_rejects": rejects, "spam_rejects": 0,
                "softbounces": 0, "hardbounces": 0, "bounce_percent": "0.00", "spam_emails": 0,
                "spam_percent": "0.00", "unsubscribes": 0, "unsubscribe_percent": "0.00", "opens": 0,
                "clicks": 0,
            });
            all.extend(super::super::account::object(rest));
            Value::Object(all)
        }
    }
}

/// Start inclusive, end exclusive; a date alone is its midnight (NOTES section 13).
fn within(delivery: &Delivery, call: &Call) -> bool {
    let bound = |name: &str| read_date(call.text(name));
    let (start, end) = (bound("start_date"), bound("end_date"));
    start.is_none_or(|start| delivery.at >= start) && end.is_none_or(|end| delivery.at < end)
}

/// The first header of this name, unfolded.
pub(in super::super) fn header(delivery: &Delivery, name: &str) -> String {
    let mut collector = HeadCollector::new(usize::MAX);
    let Ok(()) = collector.feed(delivery.raw.clone()).map(drop) else {
        return String::new();
    };
    let Ok((head, _)) = collector.finish() else {
        return String::new();
    };
    let view = HeaderView::new(&head);
    let value = view
        .named(name)
        .next()
        .map(|field| String::from_utf8_lossy(view.value(field)).replace("\r\n", ""));
    value.unwrap_or_default().trim().to_owned()
}

const EVENTS_MAX: usize = 1000;
const ARCHIVE_MAX: usize = 5000;
/// Mails of the sample plan.
const PLAN: usize = 10_000;
