//! The headers put in front of every message: where it came from, and what it lacked.
//!
//! An existing field is never changed, however wrong; a device's clock may say 1970.
//!
//! RFC 5321 §4.4, RFC 5322 §3.6, RFC 2045 §4

use crate::clock::Timestamp;
use crate::mail::{Edit, Mailbox, ReceivedDetail, SessionFacts, SpoolId};

use super::fields::HeaderView;

/// What the trace headers say.
#[derive(Debug)]
pub struct TraceFields<'a> {
    /// The message's name.
    pub id: SpoolId,
    /// Our greeted name.
    pub hostname: &'a str,
    /// The session it came in.
    pub facts: &'a SessionFacts,
    /// When the last octet came.
    pub at: Timestamp,
    /// Stands in for a missing From; `None` where the message has one.
    pub sender: Option<&'a Mailbox>,
    /// How much of the session is told.
    pub detail: ReceivedDetail,
}

/// The lines to prepend.
pub fn trace_headers(view: &HeaderView<'_>, received: &TraceFields<'_>) -> Vec<u8> {
    let TraceFields {
        id,
        hostname,
        facts,
        detail,
        ..
    } = received;
    let address = facts.address();
    let literal = if address.is_ipv6() {
        format!("[IPv6:{address}]")
    } else {
        format!("[{address}]")
    };
    let helo = match facts.helo.as_deref() {
        None | Some("") => literal.as_str(),
        Some(name) => name,
    };
    let date = received.at.rfc5322();
    let from = match detail {
        ReceivedDetail::Full => format!("from {helo} ({literal})\r\n\t"),
        ReceivedDetail::Anonymous => String::new(),
    };
    let mut lines = format!(
        "Received: {from}by {hostname} with {} id {id};\r\n\t{date}\r\n{GATEWAY_ID}: {id}\r\n",
        facts.protocol()
    );
    if !view.has("Date") {
        lines.push_str(&format!("Date: {date}\r\n"));
    }
    if !view.has("Message-ID") {
        lines.push_str(&format!("Message-ID: <{id}@{hostname}>\r\n"));
    }
    if let Some(sender) = received.sender {
        lines.push_str(&format!("From: {sender}\r\n"));
    }
    if view.has("Content-Type") && !view.has("MIME-Version") {
        lines.push_str("MIME-Version: 1.0\r\n");
    }
    lines.into_bytes()
}

/// The header that names our messages, at the provider and when they come back.
pub const GATEWAY_ID: &str = "X-Gateway-Id";
/// What a client's own one becomes: ours alone must be found when a mail is looked up.
const ORIGINAL_GATEWAY_ID: &str = "X-Original-Gateway-Id";

/// Edits that give the client's own `X-Gateway-Id` another name.
pub fn gateway_id_edits(view: &HeaderView<'_>) -> Vec<Edit> {
    view.named(GATEWAY_ID)
        .map(|field| Edit {
            start: field.name.start,
            end: field.name.end,
            text: ORIGINAL_GATEWAY_ID.to_owned(),
        })
        .collect()
}

/// How often a message may have been under way before it is taken for one that goes round in a circle.
#[derive(Clone, Copy, Debug)]
pub struct LoopLimits {
    /// `Received:` fields.
    pub received_max: usize,
    /// Passes of this gateway.
    pub passes_max: usize,
}

/// How often a message has been under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Passes {
    /// `Received:` fields.
    pub received: usize,
    /// Through this gateway: by its stamps, or by its ids where something in between removed the stamps.
    pub here: usize,
}

impl Passes {
    /// Counts them.
    pub fn of(view: &HeaderView<'_>, hostname: &str) -> Self {
        let ids = [GATEWAY_ID, ORIGINAL_GATEWAY_ID].map(|name| view.named(name).count());
        let stamps = view
            .named("Received")
            .filter(|field| is_stamp(view.value(field), hostname));
        Self {
            received: view.named("Received").count(),
            here: stamps.count().max(ids.iter().sum()),
        }
    }

    /// Whether that is too often.
    pub fn exceed(self, limits: LoopLimits) -> bool {
        self.received >= limits.received_max || self.here >= limits.passes_max
    }
}

/// `by HOST with PROTOCOL id ID`, as [`trace_headers`] writes it; a name alone, such as localhost, may be another's.
fn is_stamp(value: &[u8], hostname: &str) -> bool {
    let text = String::from_utf8_lossy(value);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    words.windows(6).any(|words| {
        let id = words[5].trim_end_matches(';');
        (words[0], words[2], words[4]) == ("by", "with", "id")
            && words[1].eq_ignore_ascii_case(hostname)
            && id.parse::<SpoolId>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::SessionId;

    #[test]
    fn missing_headers_are_added_in_front_and_present_ones_left_alone() {
        let id: SpoolId = "019362b5a5c07b6d8f0e2f6a1c3d4e5f".parse().expect("an id");
        let mut facts = SessionFacts::new(
            SessionId(1),
            "lan".into(),
            "[::ffff:10.0.5.17]:4711".parse().expect("an address"),
        );
        facts.helo = Some(String::new());
        let sender = "scan@b.c".parse().expect("an address");
        let mut received = TraceFields {
            id,
            hostname: "relay.b.c",
            facts: &facts,
            at: Timestamp(1_795_401_203_004),
            sender: Some(&sender),
            detail: ReceivedDetail::Full,
        };
        let lines = trace_headers(&HeaderView::new(b"content-type: text/plain\r\n"), &received);
        assert_eq!(
            String::from_utf8(lines).expect("text"),
            "Received: from [10.0.5.17] ([10.0.5.17])\r\n\
             \tby relay.b.c with SMTP id 019362b5a5c07b6d8f0e2f6a1c3d4e5f;\r\n\
             \tMon, 23 Nov 2026 02:33:23 +0000\r\n\
             X-Gateway-Id: 019362b5a5c07b6d8f0e2f6a1c3d4e5f\r\n\
             Date: Mon, 23 Nov 2026 02:33:23 +0000\r\n\
             Message-ID: <019362b5a5c07b6d8f0e2f6a1c3d4e5f@relay.b.c>\r\n\
             From: scan@b.c\r\nMIME-Version: 1.0\r\n"
        );
        received.sender = None;
        let complete = HeaderView::new(b"Date: 1970\r\nMessage-Id: <1@x>\r\n");
        let lines = String::from_utf8(trace_headers(&complete, &received)).expect("text");
        assert_eq!(lines.matches("\r\n").count(), 4);
    }

    #[test]
    fn passes_are_counted_by_our_stamps_or_by_our_ids() {
        let id = "019362b5a5c07b6d8f0e2f6a1c3d4e5f";
        let stamp = |by: &str, id: &str| {
            format!("Received: from x ([10.0.0.1])\r\n\tby {by} with ESMTP id {id};\r\n\tdate\r\n")
        };
        let ours = stamp("relay.b.c", id);
        let ids = format!("X-Gateway-Id: {id}\r\nX-Original-Gateway-Id: {id}\r\n");
        for (head, received, here) in [
            (String::new(), 0, 0),
            (ours.repeat(3), 3, 3),
            (stamp("Relay.B.C", id), 1, 1),
            (ids.clone(), 0, 2),
            (ours.clone() + &ids, 1, 2),
            (ours.repeat(3) + &ids, 3, 3),
            // Another host's, or no id of a gateway.
            (stamp("other.b.c", id), 1, 0),
            (stamp("relay.b.c", "4711"), 1, 0),
            ("Received: by relay.b.c; date\r\n".to_owned(), 1, 0),
        ] {
            let passes = Passes::of(&HeaderView::new(head.as_bytes()), "relay.b.c");
            assert_eq!(passes, Passes { received, here }, "{head}");
        }
    }
}
