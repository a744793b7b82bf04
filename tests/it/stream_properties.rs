//! What streams in must not depend on how the network cut it.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use smtp2go_gateway::clock::Clock;
use smtp2go_gateway::mail::{SessionFacts, SessionId, Verdict, reply};
use smtp2go_gateway::message::{HeadCollector, HeaderView};
use smtp2go_gateway::session::{
    Answer, DataDecoder, Decoded, Input, Leniency, Limits, Output, Question, Session, Settings,
};

/// Octets that make trouble, more often than chance would.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just(b"\r\n".to_vec()),
        2 => Just(b".".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\0".to_vec()),
        1 => Just(b"\xef\xbb\xbf".to_vec()),
        1 => Just(b"\x0b".to_vec()),
        1 => Just(b"\r\n.\r\n".to_vec()),
        1 => Just(b": ".to_vec()),
        1 => Just(b" \t".to_vec()),
        4 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn decode(input: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<usize>) {
    let mut decoder = DataDecoder::default();
    let mut out = BytesMut::new();
    let mut start = 0;
    let ends = cuts.iter().copied().chain([input.len()]);
    for end in ends {
        let end = end.clamp(start, input.len());
        if let Decoded::End(used) = decoder.decode(&input[start..end], &mut out) {
            return (out.to_vec(), Some(start + used));
        }
        start = end;
    }
    (out.to_vec(), None)
}

/// Lines of content, some of which would be commands elsewhere.
fn content() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("MAIL FROM:<evil@site.test>"),
        Just("RCPT TO:<x@site.test>"),
        Just("DATA"),
        Just("."),
        Just("RSET"),
        Just(""),
        Just("EHLO x"),
        Just("text"),
        Just("Subject: y"),
    ];
    let first = prop_oneof![
        Just("From: a@b.test"),
        Just("hello there"),
        Just("X-A:b"),
        Just("\u{1}\u{2}")
    ];
    (first, proptest::collection::vec(line, 0..12)).prop_map(|(first, lines)| {
        let lines: Vec<&str> = std::iter::once(first).chain(lines).collect();
        lines.join("\r\n") + "\r\n"
    })
}

/// What a session asks that reads `content` behind a refused DATA.
fn asked_behind_refused_data(
    content: &str,
    cuts: &[usize],
    leniency: Leniency,
    refused_at: u8,
) -> Vec<String> {
    let settings = Settings {
        hostname: "relay.test".to_owned(),
        starttls: false,
        auth_offered: false,
        auth_in_clear: false,
        leniency,
        limits: Limits::default(),
    };
    let peer = "192.0.2.7:4711".parse().unwrap();
    let facts = SessionFacts::new(SessionId(1), "lan".into(), peer);
    let now = Clock.now();
    let mut session = Session::new(std::sync::Arc::new(settings), facts, now);
    let mut asked = Vec::new();
    let feed = |session: &mut Session, octets: &[u8], asked: &mut Vec<String>| {
        session.handle_input(Input::Bytes(octets), now);
        loop {
            match session.poll_output() {
                Output::Timeout(_) | Output::Close => return,
                Output::Ask(question) => {
                    asked.push(format!("{question:?}"));
                    let refuse = match question {
                        Question::Recipient(_) => refused_at == 0,
                        Question::BeginData => refused_at == 1,
                        _ => false,
                    };
                    let verdict = match refuse {
                        true => Verdict::Refuse(reply::MAIL_FIRST),
                        false => Verdict::Accept,
                    };
                    session.handle_input(Input::Answer(Answer::Verdict(verdict)), now);
                }
                _ => {}
            }
        }
    };
    for line in [
        "EHLO x",
        "MAIL FROM:<a@site.test>",
        "RCPT TO:<b@site.test>",
        "DATA",
    ] {
        feed(&mut session, format!("{line}\r\n").as_bytes(), &mut asked);
    }
    asked.clear();
    let mut start = 0;
    for end in cuts.iter().copied().chain([content.len()]) {
        let end = end.clamp(start, content.len());
        feed(&mut session, &content.as_bytes()[start..end], &mut asked);
        start = end;
    }
    asked
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn data_ends_at_the_first_crlf_dot_crlf_and_nowhere_else(input in octets(), cut in 0..200usize) {
        let whole = decode(&input, &[]);
        prop_assert_eq!(&decode(&input, &[cut]), &whole, "one cut at {}", cut);
        let all: Vec<usize> = (1..input.len()).collect();
        prop_assert_eq!(&decode(&input, &all), &whole, "octet by octet");

        // The CRLF of the DATA command stands in front. A carriage return before a CRLF belongs to
        // the line end, so it takes part in no other.
        let framed = [b"\r\n", &input[..]].concat();
        let end = framed.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 3);
        prop_assert_eq!(whole.1, end);

        let content = whole.0;
        prop_assert!(!content.contains(&0));
        let text = String::from_utf8_lossy(&content).replace("\r\n", "");
        prop_assert!(!text.contains('\r') && !text.contains('\n'), "every line ends in CRLF");
    }

    #[test]
    fn no_command_of_content_behind_a_refused_data_is_carried_out(
        content in content(),
        mut cuts in proptest::collection::vec(0..200usize, 0..4),
        refused_at in 0..2u8,
    ) {
        cuts.sort_unstable();
        for leniency in [Leniency::STRICT, Leniency::DEVICE, Leniency::LEGACY] {
            let asked = asked_behind_refused_data(&content, &cuts, leniency, refused_at);
            prop_assert!(asked.is_empty(), "{asked:?} was asked");
        }
    }

    #[test]
    fn what_a_client_stuffs_comes_out_as_it_was(lines in proptest::collection::vec("[.a-z ]{0,8}", 0..20)) {
        let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let stuffed: String = lines
            .iter()
            .map(|line| format!("{}{line}\r\n", if line.starts_with('.') { "." } else { "" }))
            .collect();
        let input = format!("{stuffed}.\r\nQUIT\r\n");
        let (decoded, end) = decode(input.as_bytes(), &[]);
        prop_assert_eq!(decoded, content.into_bytes());
        prop_assert_eq!(end, Some(input.len() - 6));
    }

    #[test]
    fn header_block_and_body_do_not_depend_on_the_pieces(input in octets(), piece in 1..20usize) {
        let content = decode(&input, &[]).0;
        let collect = |piece: usize| {
            let mut collector = HeadCollector::new(100_000);
            let mut body = Vec::new();
            for bytes in content.chunks(piece) {
                let part = collector.feed(Bytes::copy_from_slice(bytes)).expect("below the limit");
                body.extend_from_slice(&part);
            }
            let head = collector.finish().unwrap();
            body.extend_from_slice(&head.body);
            (head.block, body)
        };
        let (head, body) = collect(content.len().max(1));
        prop_assert_eq!(&collect(piece), &(head.clone(), body));

        // A canonical block holds nothing that a reader could take for its end, and every octet of
        // it belongs to exactly one field.
        prop_assert!(!head.starts_with(b"\r\n") && !head.windows(4).any(|window| window == b"\r\n\r\n"));
        prop_assert!(!head.iter().any(|octet| octet.is_ascii_control() && !b"\t\r\n".contains(octet)));
        let view = HeaderView::new(&head);
        let text = String::from_utf8_lossy(&head).into_owned();
        let names: std::collections::HashSet<String> = text
            .split("\r\n")
            .filter(|line| !line.is_empty() && !line.starts_with([' ', '\t']))
            .map(|line| line.split(':').next().unwrap_or_default().to_owned())
            .collect();
        let covered: usize = names
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect::<std::collections::HashSet<_>>()
            .iter()
            .flat_map(|name| view.named(name).map(|field| field.span.len()).collect::<Vec<_>>())
            .sum();
        prop_assert_eq!(covered, head.len());
    }
}
