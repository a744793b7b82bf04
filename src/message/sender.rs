//! Who a message says it is from, and how that is replaced where the operator wants it.
//!
//! device-quirks 3.12, 4.7, 6.3, 6.6

use crate::mail::{Edit, HeaderSender, Mailbox, reply};

use super::addresses::{every_address, read_addresses};
use super::fields::{Field, HeaderView};
use super::plan::{ORIGINAL, address_line, insertion};

/// Reads From and everything else that names a sender.
pub fn header_sender(view: &HeaderView<'_>) -> HeaderSender {
    if view.named("From").count() > 1 {
        return HeaderSender::Several;
    }
    if sender_fields(view).count() > SENDER_FIELDS_MAX {
        return HeaderSender::TooMany;
    }
    let (mut addresses, mut missing) = (Vec::new(), true);
    let mut doubt: Option<String> = None;
    for (name, field) in sender_fields(view) {
        let value = view.value(field);
        let list = read_addresses(value);
        let named: Vec<Mailbox> = if list.certain {
            list.entries
                .into_iter()
                .map(|entry| entry.mailbox)
                .collect()
        } else {
            let Some(every) = every_address(value) else {
                if name == "From" && list.entries.is_empty() && !value.contains(&b'@') {
                    // A name alone: the whole field is replaced.
                    continue;
                }
                return HeaderSender::Unreadable(reply::quoted(value));
            };
            // A name without any address names nobody.
            if !every.is_empty() {
                doubt.get_or_insert_with(|| reply::quoted(value));
            }
            every
        };
        missing &= name != "From" || named.is_empty();
        addresses.extend(named);
    }
    match doubt {
        _ if missing => HeaderSender::Missing(addresses),
        Some(text) => HeaderSender::Doubtful(addresses, text),
        None => HeaderSender::Addresses(addresses),
    }
}

/// Every field that says who sent a message.
const SENDERS: [&str; 4] = ["From", "Sender", "Resent-From", "Resent-Sender"];

/// RFC 5322 §3.6 allows one From and one Sender; a resent message may have been resent a few times.
const SENDER_FIELDS_MAX: usize = 30;

fn sender_fields<'v>(view: &'v HeaderView<'_>) -> impl Iterator<Item = (&'static str, &'v Field)> {
    let of = move |name: &'static str| view.named(name).map(move |field| (name, field));
    SENDERS.into_iter().flat_map(of)
}

/// Edits that write each field in one way only that can be read in two; what stood there is kept as `X-Original-…`.
pub fn canonical_edits(view: &HeaderView<'_>) -> Vec<Edit> {
    sender_fields(view)
        .filter_map(|(name, field)| {
            let value = view.value(field);
            let list = read_addresses(value);
            if list.certain {
                return None;
            }
            // What stands where an address should, or else what any reader finds.
            let mut named: Vec<Mailbox> = list
                .entries
                .into_iter()
                .map(|entry| entry.mailbox)
                .collect();
            if named.is_empty() {
                named = every_address(value)?;
            }
            let mut seen = std::collections::HashSet::new();
            named.retain(|mailbox| seen.insert(mailbox.key()));
            let texts: Vec<&str> = named.iter().map(Mailbox::as_str).collect();
            let line = address_line(name, &texts);
            (!line.is_empty()).then(|| insertion(field.span.start, line + ORIGINAL))
        })
        .collect()
}

/// Edits that make `sender` the only sender; what stood there is kept as `X-Original-…`, and as
/// Reply-To where answers had no other address.
pub fn override_edits(view: &HeaderView<'_>, sender: &Mailbox) -> Vec<Edit> {
    let old: Vec<usize> = sender_fields(view)
        .map(|(_, field)| field.span.start)
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
            (
                "Sender: <d@b.c\r\n",
                HeaderSender::Missing(vec![mailbox("d@b.c")]),
            ),
            ("From: a@b.c\r\nfrom: d@b.c\r\n", HeaderSender::Several),
            (
                "From: a@b.c <d@b.c>\r\n",
                HeaderSender::Doubtful(
                    vec![mailbox("a@b.c"), mailbox("d@b.c")],
                    "a@b.c <d@b.c>".to_owned(),
                ),
            ),
            (
                "From: <a@b.c\r\n",
                HeaderSender::Doubtful(vec![mailbox("a@b.c")], "<a@b.c".to_owned()),
            ),
            (
                "From:\"=?ISO-8859-1?B?Q1g=?=\r\n =?ISO-8859-1?B?Qw==?=\" <a@b.c>\r\nSender: d@b.c\r\n",
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

    const HARMLESS: [&str; 18] = [
        "scan@example.com <scan@example.com>",
        "Kock, Arne <scan@example.com>",
        "\"scan@example.com\"",
        "<scan@example.com >",
        "scan@example.com;",
        "Scanner <scan@example.com",
        "Scanner: Room 5 <scan@example.com>",
        "'scan@example.com'",
        "scan@example.com,",
        "Scanner <scan@example.com> (room 5",
        "Scanner <Scan@Example.com>, <scan@example.com>;",
        "mailto:scan@example.com",
        "=?utf-8?q?M=C3=BCller=2C_Arne?= <scan@example.com>",
        "=?utf-8?q?scan=40example.com?= <scan@example.com>",
        // The second octet of a character may look like a sign.
        "=?shift_jis?q?=83=40?= <scan@example.com>",
        "=?gbk?q?=81=40?= <scan@example.com>",
        "=?big5?q?=A1=40?= <scan@example.com>",
        "=?iso-2022-jp?q?=1B$B$=40=1B(B?= <scan@example.com>",
    ];
    const HIDING: [&str; 20] = [
        "boss@example.net <scan@example.com>",
        "\"boss@example.net\" <scan@example.com>",
        "\"x, boss@example.net\" <scan@example.com>",
        "scan@example.com (boss@example.net)",
        "<scan@example.com> boss@example.net",
        "boss@example.net@scan@example.com",
        "<@boss.example.net:scan@example.com>",
        "\"boss@example.net\"@example.com",
        "=?utf-8?q?boss=40example.net?= <scan@example.com>",
        "=?utf-8?q?boss?= =?utf-8?q?=40example.net?= <scan@example.com>",
        "=?utf-8?q?scan=40example.com?= =?utf-8?q?.boss.example.net?= <scan@example.com>",
        "=?ibm037?q?=82=96=A2=A2=7C=85=A7=81=94=97=93=85=4B=95=85=A3?= <scan@example.com>",
        "=??q?boss=40example.net?= <scan@example.com>",
        "x=?utf-8?q?boss=40example.net?= <scan@example.com>",
        "=?utf-8?q?boss=40example.net?=x <scan@example.com>",
        "=?shift_jis?q?boss=B1=40example.net?= <scan@example.com>",
        "=?iso-2022-jp?q?=1B$B$=40=1B(Bboss=40example.net?= <scan@example.com>",
        "=?utf-7?q?boss+AEA-example.net?= <scan@example.com>",
        "=?utf-8?q?=3D=3Futf-8=3Fq=3Fboss=3D40example.net=3F=3D?= <scan@example.com>",
        "=?utf-8?q?boss=0D=0ABcc=3A_x?= <scan@example.com>",
    ];

    #[test]
    fn a_doubtful_from_names_every_address_that_any_reader_finds() {
        let scan: Mailbox = "scan@example.com".parse().expect("an address");
        for value in HARMLESS {
            let head = format!("From: {value}\r\n");
            let view = HeaderView::new(head.as_bytes());
            let HeaderSender::Doubtful(found, text) = header_sender(&view) else {
                panic!("{value}: {:?}", header_sender(&view));
            };
            assert!(
                found.iter().all(|mailbox| mailbox.matches(&scan)),
                "{value}: {found:?}"
            );
            assert_eq!(text, value);
            let written = apply_edits(head.as_bytes(), &canonical_edits(&view)).expect("edits");
            let written = String::from_utf8(written)
                .expect("text")
                .to_ascii_lowercase();
            let expected = format!("From: scan@example.com\r\nX-Original-From: {value}\r\n");
            assert_eq!(written, expected.to_ascii_lowercase());
            let again = HeaderView::new(written.as_bytes());
            assert_eq!(
                header_sender(&again),
                HeaderSender::Addresses(vec![scan.clone()])
            );
        }
        for value in HIDING {
            let head = format!("From: {value}\r\n");
            let shows_only_scan = match header_sender(&HeaderView::new(head.as_bytes())) {
                HeaderSender::Unreadable(_) => false,
                HeaderSender::Doubtful(found, _) | HeaderSender::Addresses(found) => {
                    found.iter().all(|mailbox| mailbox.matches(&scan))
                }
                other => panic!("{value}: {other:?}"),
            };
            assert!(!shows_only_scan, "{value}");
        }
    }

    #[test]
    fn a_from_with_a_word_that_not_everybody_decodes_alike_is_unreadable() {
        for value in [
            "=??q?Arne?= <scan@example.com>",
            "=?*de?q?Arne?= <scan@example.com>",
            "=?no-such-charset?q?Arne?= <scan@example.com>",
            "x=?utf-8?q?Arne?= <scan@example.com>",
            "=?utf-8?q?Arne?=x <scan@example.com>",
            "=?utf-8?q?Arne?==?utf-8?q?Kock?= <scan@example.com>",
        ] {
            let head = format!("From: {value}\r\n");
            assert_eq!(
                header_sender(&HeaderView::new(head.as_bytes())),
                HeaderSender::Unreadable(value.to_owned())
            );
        }
    }
}
