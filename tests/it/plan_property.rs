//! Promise 2, for any envelope and any header: the dispatches reach exactly the envelope, each
//! recipient once, and show no hidden address to anybody else. The reader is not our own.

use std::collections::BTreeSet;

use mailparse::{MailAddr, MailHeaderMap as _, addrparse_header};
use proptest::prelude::*;
use smtp2go_gateway::mail::{Hidden, Mailbox, Mismatch, Recipients, apply_edits};
use smtp2go_gateway::message::{HeadCollector, HeaderView, PlanSettings, plan};

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..12u8).prop_map(|n| format!("r{n}@site{}.test", n % 3)),
        (0..12u8).prop_map(|n| format!("R{n}@SITE{}.test", n % 3)),
    ]
}

fn entry() -> impl Strategy<Value = String> {
    (address(), 0..9u8).prop_map(|(address, form)| match form {
        0 => format!("\"Last, First\" <{address}>"),
        1 => format!("Name <{address}>"),
        2 => format!("=?utf-8?q?N=C3=A4me?= <{address}>"),
        3 => format!("{address} (a, comment)"),
        4 => format!("\"r1@site1.test\" <{address}>"),
        5 => format!("<{address}>"),
        6 => format!("Group: {address};"),
        _ => address,
    })
}

fn field() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => Just("To"),
        3 => Just("Cc"),
        1 => Just("cC"),
        1 => Just("Bcc"),
        1 => Just("Resent-To"),
        1 => Just("X-Other"),
        1 => Just("Reply-To"),
    ];
    let separator = prop_oneof![
        5 => Just(", "),
        2 => Just(",\r\n\t"),
        1 => Just("; "),
        1 => Just(","),
        1 => Just(", , "),
    ];
    let end =
        prop_oneof![8 => Just(""), 1 => Just(","), 1 => Just(" <broken"), 1 => Just("\"open")];
    (
        name,
        proptest::collection::vec(entry(), 0..5),
        separator,
        end,
    )
        .prop_map(|(name, entries, separator, end)| {
            format!("{name}: {}{end}\r\n", entries.join(separator))
        })
}

/// The addresses a field names, as an independent parser reads them.
fn named(raw: &[u8], field: &str) -> BTreeSet<String> {
    let (headers, _) = mailparse::parse_headers(raw).unwrap();
    let mut found = BTreeSet::new();
    for header in headers.get_all_headers(field) {
        let list = addrparse_header(header).unwrap_or_else(|error| {
            panic!(
                "{field} unreadable ({error}) in {:?}",
                String::from_utf8_lossy(raw)
            )
        });
        for address in list.iter() {
            match address {
                MailAddr::Single(single) => drop(found.insert(single.addr.to_lowercase())),
                MailAddr::Group(group) => {
                    found.extend(group.addrs.iter().map(|single| single.addr.to_lowercase()));
                }
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dispatches_reach_exactly_the_envelope(
        envelope in proptest::collection::vec(address(), 1..8),
        fields in proptest::collection::vec(field(), 0..5),
        bcc in any::<bool>(),
    ) {
        let settings = PlanSettings {
            mismatch: Mismatch::Rewrite,
            hidden: if bcc { Hidden::Bcc } else { Hidden::Separate },
        };
        let text = format!("{}Subject: x\r\n\r\n", fields.concat());
        let mut collector = HeadCollector::new(10_000);
        collector.feed(text.clone().into()).unwrap();
        let head = collector.finish().unwrap().block;
        let recipients = Recipients::new(envelope.iter().map(|text| text.parse::<Mailbox>().unwrap())).unwrap();
        let wanted: BTreeSet<String> = recipients.as_slice().iter().map(Mailbox::key).collect();
        let planned = plan(&HeaderView::new(&head), &recipients, &[], settings).unwrap();

        let mut reached = Vec::new();
        for dispatch in &planned.dispatches {
            prop_assert!(dispatch.edits.len() <= 2);
            let edits = planned.shared.edits_of(dispatch);
            let mut raw = apply_edits(&head, edits).unwrap();
            raw.extend_from_slice(b"\r\n");
            let mut here = named(&raw, "To");
            here.extend(named(&raw, "Cc"));
            let hidden_here = named(&raw, "Bcc");
            prop_assert!(bcc || hidden_here.is_empty());
            here.extend(hidden_here);
            let said: BTreeSet<String> = dispatch.recipients.iter().map(Mailbox::key).collect();
            prop_assert_eq!(&here, &said, "header and plan agree: {}", String::from_utf8_lossy(&raw));
            prop_assert!(named(&raw, "Resent-To").is_empty());

            // Nobody reads an address that no header of the original named, but for their own.
            let shown = String::from_utf8_lossy(&raw).to_lowercase();
            let original = text.to_lowercase();
            for address in wanted.iter().filter(|address| !bcc && !here.contains(*address)) {
                prop_assert!(original.contains(address.as_str()) || !shown.contains(address.as_str()));
            }
            reached.extend(here);
        }
        let once: BTreeSet<String> = reached.iter().cloned().collect();
        prop_assert_eq!(once.len(), reached.len(), "nobody twice");
        prop_assert_eq!(once, wanted, "nobody else, and nobody left out");
    }
}
