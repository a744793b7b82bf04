//! Who a message says it is from, and how that is replaced where the operator wants it.
//!
//! device-quirks 3.12, 4.7, 6.3, 6.6

use crate::mail::{Edit, HeaderSender, Mailbox};

use super::addresses::read_addresses;
use super::fields::HeaderView;
use super::plan::{ORIGINAL, insertion};

/// Reads From and everything else that names a sender.
pub fn header_sender(view: &HeaderView<'_>) -> HeaderSender {
    if view.named("From").count() > 1 {
        return HeaderSender::Several;
    }
    let mut certain = true;
    let mut read = |name: &str| {
        let mut addresses = Vec::new();
        for field in view.named(name) {
            let value = view.value(field);
            let list = read_addresses(value);
            // A name without any address names nobody.
            certain &= list.certain || (list.entries.is_empty() && !value.contains(&b'@'));
            addresses.extend(list.entries.into_iter().map(|entry| entry.mailbox));
        }
        addresses
    };
    let mut addresses = read("From");
    let missing = addresses.is_empty();
    for name in &SENDERS[1..] {
        addresses.extend(read(name));
    }
    if !certain {
        HeaderSender::Unreadable
    } else if missing {
        HeaderSender::Missing(addresses)
    } else {
        HeaderSender::Addresses(addresses)
    }
}

/// Every field that says who sent a message.
const SENDERS: [&str; 4] = ["From", "Sender", "Resent-From", "Resent-Sender"];

/// Edits that make `sender` the only sender; what stood there is kept as `X-Original-…`, and as
/// Reply-To where answers had no other address.
pub fn override_edits(view: &HeaderView<'_>, sender: &Mailbox) -> Vec<Edit> {
    let old: Vec<usize> = SENDERS
        .into_iter()
        .flat_map(|name| view.named(name))
        .map(|field| field.span.start)
        .collect();
    let mut lines = format!("From: {sender}\r\n");
    if let (HeaderSender::Addresses(addresses), false) = (header_sender(view), view.has("Reply-To"))
        && let Some(author) = addresses.first()
    {
        lines.push_str(&format!("Reply-To: {author}\r\n"));
    }
    let place = old.iter().min().copied().unwrap_or(view.len());
    let mut edits = vec![insertion(place, lines)];
    edits.extend(
        old.into_iter()
            .map(|start| insertion(start, ORIGINAL.to_owned())),
    );
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::apply_edits;

    #[test]
    fn the_header_sender_is_read_or_said_to_be_doubtful() {
        let mailbox = |text: &str| text.parse::<Mailbox>().expect("an address");
        for (head, sender) in [
            ("To: a@b.c\r\n", HeaderSender::Missing(vec![])),
            ("From: Scanner\r\n", HeaderSender::Missing(vec![])),
            (
                "Sender: d@b.c\r\nResent-From: e@b.c\r\n",
                HeaderSender::Missing(vec![mailbox("d@b.c"), mailbox("e@b.c")]),
            ),
            ("Sender: <d@b.c\r\n", HeaderSender::Unreadable),
            ("From: a@b.c\r\nfrom: d@b.c\r\n", HeaderSender::Several),
            ("From: a@b.c <d@b.c>\r\n", HeaderSender::Unreadable),
            ("From: <a@b.c\r\n", HeaderSender::Unreadable),
            (
                "From:\"=?ISO-8859-1?B?Q1?=\r\n =?ISO-8859-1?B?Qw==?=\" <a@b.c>\r\nSender: d@b.c\r\n",
                HeaderSender::Addresses(vec![mailbox("a@b.c"), mailbox("d@b.c")]),
            ),
        ] {
            assert_eq!(
                header_sender(&HeaderView::new(head.as_bytes())),
                sender,
                "{head:?}"
            );
        }
    }

    #[test]
    fn an_override_keeps_what_stood_there() {
        let head = b"Subject: x\r\nFrom: Dev <dev@lan.c>\r\nSender: s@lan.c\r\n";
        let view = HeaderView::new(head);
        let edits = override_edits(&view, &"scan@b.c".parse().expect("an address"));
        assert_eq!(
            String::from_utf8(apply_edits(head, &edits).expect("edits")).expect("text"),
            "Subject: x\r\nFrom: scan@b.c\r\nReply-To: dev@lan.c\r\n\
             X-Original-From: Dev <dev@lan.c>\r\nX-Original-Sender: s@lan.c\r\n"
        );
    }
}
