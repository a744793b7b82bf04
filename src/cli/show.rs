//! How records look to a person.

use std::fmt::Write as _;

use crate::clock::Timestamp;
use crate::mail::printable;
use crate::spool::{EventRecord, MessageRecord, QueueRow};

/// One line a message.
pub(super) fn queue(rows: &[QueueRow]) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        return text;
    }
    line(
        &mut text,
        &["id", "accepted", "octets", "open", "from", "to"],
    );
    for row in rows {
        let to = match row.recipients.as_slice() {
            [only] => only.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
            [] => String::new(),
        };
        let open = format!("{}/{}", row.unsettled, row.dispatch_count);
        line(
            &mut text,
            &[
                &row.id.to_string(),
                &row.received_at.to_string(),
                &row.size.to_string(),
                &open,
                &row.reverse_path,
                &to,
            ],
        );
    }
    text
}

fn line(text: &mut String, cells: &[&str; 6]) {
    let [id, accepted, octets, open, from, to] = cells;
    push(
        text,
        format!("{id:<32}  {accepted:<24}  {octets:>9}  {open:>5}  {from:<28}  {to}"),
    );
}

/// Where a message stands.
pub(super) fn message(record: &MessageRecord, now: Timestamp) -> String {
    let mut text = head(record);
    for dispatch in &record.dispatches {
        let mut state = dispatch.state.to_string();
        if let Some(due_at) = dispatch.due_at.filter(|_| !dispatch.state.is_settled()) {
            if due_at > now {
                let _ = write!(state, " until {due_at}");
            } else {
                // What it waits for is its turn, or its account.
                state.push_str(", due now");
            }
        }
        if dispatch.possibly_duplicate {
            state.push_str(", possibly a duplicate");
        }
        push(
            &mut text,
            format!(
                "dispatch {:<5} {state}; {} attempt(s), {}: {}",
                dispatch.number,
                dispatch.attempts,
                if dispatch.byte_exact {
                    "as received"
                } else {
                    "headers adapted"
                },
                dispatch.recipients.join(", ")
            ),
        );
    }
    text
}

/// Everything that happened to a message.
pub(super) fn trace(record: &MessageRecord, now: Timestamp) -> String {
    let mut text = message(record, now);
    text.push('\n');
    let origin = &record.origin;
    let device = record.row.device.as_deref().unwrap_or("no device");
    let mut accepted = format!(
        "{}  accepted from {} ({}, helo {}) by listener {}, {device} by {}",
        record.row.received_at,
        origin.peer,
        origin.protocol,
        origin.helo.as_deref().unwrap_or("none"),
        origin.listener,
        origin.basis,
    );
    if let Some(user) = &origin.user {
        let _ = write!(accepted, ", SMTP user {user}");
    }
    if !origin.accepted_with.is_empty() {
        let _ = write!(accepted, "; with {}", origin.accepted_with.join(", "));
    }
    push(&mut text, accepted);
    for event in &record.events {
        push(&mut text, event_line(event));
    }
    text
}

fn head(record: &MessageRecord) -> String {
    let row = &record.row;
    let mut text = String::new();
    push(&mut text, format!("message    {}", row.id));
    push(&mut text, format!("from       {}", row.reverse_path));
    push(
        &mut text,
        format!("to         {}", row.recipients.join(", ")),
    );
    push(&mut text, format!("size       {} octets", row.size));
    push(&mut text, format!("account    {}", row.account));
    text
}

fn event_line(event: &EventRecord) -> String {
    let EventRecord {
        at,
        dispatch,
        event: word,
        attempt,
        ..
    } = event;
    let mut text = format!("{at}  dispatch {dispatch} attempt {attempt} {word}");
    if let Some(started_at) = event.started_at {
        let _ = write!(text, " after {} ms", at.since(started_at).as_millis());
    }
    if let Some(email_id) = &event.email_id {
        let _ = write!(text, ", email_id {email_id}");
    }
    if let Some(request_id) = &event.request_id {
        let _ = write!(text, ", request_id {request_id}");
    }
    if let Some(diagnostic) = &event.diagnostic {
        let _ = write!(text, ": {diagnostic}");
    }
    if let Some(next_at) = event.next_at {
        let _ = write!(text, "; next at {next_at}");
    }
    text
}

fn push(text: &mut String, line: String) {
    text.push_str(&printable(line.trim_end()));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_due_time_that_is_past_is_not_shown() {
        let record = json!({
            "id": "019362b5a5c07b6d8f0e2f6a1c3d4e5f", "received_at": 1, "account": "default", "device": null,
            "size": 1, "reverse_path": "a@example.com", "recipients": ["b@example.org"], "unsettled": 1,
            "dispatch_count": 1, "settled_at": null, "events": [],
            "origin": {"listener": "lan", "peer": "127.0.0.1", "helo": null, "protocol": "ESMTP", "tls": null,
                "basis": "trust", "session": "00000001"},
            "dispatches": [{"number": 0, "state": "queued", "recipients": ["b@example.org"], "byte_exact": true,
                "attempts": 1, "due_at": 60_000, "possibly_duplicate": false}],
        });
        let record: MessageRecord = serde_json::from_value(record).expect("a record");
        let before = message(&record, Timestamp(59_000));
        assert!(
            before.contains("queued until 1970-01-01T00:01:00"),
            "{before}"
        );
        for now in [60_000, 90_000] {
            let after = message(&record, Timestamp(now));
            assert!(after.contains("queued, due now; 1 attempt(s)"), "{after}");
        }
    }
}
