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
        1 => Just(b"..".to_vec()),
        1 => Just(b"\n..".to_vec()),
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
fn lines() -> impl Strategy<Value = Vec<&'static str>> {
    let line = prop_oneof![
        3 => Just("MAIL FROM:<evil@site.test>"),
        3 => Just("RCPT TO:<x@site.test>"),
        3 => Just("DATA"),
        1 => Just("."),
        1 => Just("RSET"),
        1 => Just("AUTH PLAIN AGEAYg=="),
        1 => Just("STARTTLS"),
        1 => Just(""),
        1 => Just("EHLO x"),
        1 => Just("text"),
        1 => Just("Subject: y"),
    ];
    proptest::collection::vec(line, 0..12)
}

/// How a message begins; some of it looks like a command that goes on.
fn beginning() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "From: a@b.test",
        "Subject : x",
        "X-A:b",
        "hello there",
        "\u{1}\u{2}",
        "",
        " ",
        "Data of today",
        "Help is near",
        "Mail the report",
        "Mail: from Bob",
        "Quit smoking",
        "Rset now",
        "rcpt of goods",
        "Auth failed for user x",
        "EXPN y",
        "PROXY TCP4 a b 1 2",
        "POST / HTTP/1.1",
        "BDAT 5",
        "\u{16}\u{3}\u{1}",
    ])
}

/// What a session asks that is told `pieces` behind `MAIL` and `RCPT`; `refused` says which question is answered no,
/// once.
fn asked_by(pieces: &[&[u8]], leniency: Leniency, refused: u8) -> Vec<String> {
    let settings = Settings {
        hostname: "relay.test".to_owned(),
        starttls: true,
        auth_offered: true,
        auth_in_clear: true,
        leniency,
        limits: Limits::default(),
    };
    let peer = "192.0.2.7:4711".parse().unwrap();
    let facts = SessionFacts::new(SessionId(1), "lan".into(), peer);
    let now = Clock.now();
    let mut session = Session::new(std::sync::Arc::new(settings), facts, now);
    let mut asked = Vec::new();
    let mut pending = true;
    let opening: &[u8] = b"EHLO x\r\nMAIL FROM:<a@site.test>\r\nRCPT TO:<b@site.test>\r\n";
    for (index, piece) in std::iter::once(&opening).chain(pieces).enumerate() {
        session.handle_input(Input::Bytes(piece), now);
        loop {
            match session.poll_output() {
                Output::Timeout(_) | Output::Close => break,
                Output::StartTls => asked.push("StartTls".to_owned()),
                Output::Ask(question) => {
                    let meant = match question {
                        Question::Sender(..) => refused == 0,
                        Question::Recipient(_) => refused == 1,
                        Question::BeginData => refused == 2,
                        _ => false,
                    };
                    let no = meant && std::mem::take(&mut pending);
                    if index > 0 {
                        asked.push(format!("{question:?}"));
                    }
                    let answer = match question {
                        Question::SignIn(_) => Answer::SignIn(Err(reply::SIGN_IN_REFUSED)),
                        Question::EndOfData(_) => Answer::Settled(reply::OK),
                        _ if no => Answer::Verdict(Verdict::Refuse(reply::SPOOL_UNAVAILABLE)),
                        _ => Answer::Verdict(Verdict::Accept),
                    };
                    session.handle_input(Input::Answer(answer), now);
                }
                _ => {}
            }
        }
    }
    asked
}

const PROFILES: [Leniency; 3] = [Leniency::STRICT, Leniency::DEVICE, Leniency::LEGACY];

/// What RFC 5321 §4.5.2 makes of a stream, and how much of it belongs to the message.
fn by_the_rfc(stream: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut content = Vec::new();
    let mut start = 0;
    loop {
        let length = stream[start..]
            .windows(2)
            .position(|pair| pair == b"\r\n")?;
        let line = &stream[start..start + length];
        start += length + 2;
        if line == b"." {
            return Some((content, start));
        }
        let line = line.strip_prefix(b".").unwrap_or(line);
        // From here on it is our own: CR CR LF is one line end, NULs go, bare ends become true ones.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        for (index, part) in bare_lines(line).into_iter().enumerate() {
            let doubled = index > 0 && part.starts_with(b"..");
            let part = &part[usize::from(doubled)..];
            content.extend(part.iter().filter(|octet| **octet != 0));
            content.extend_from_slice(b"\r\n");
        }
    }
}

/// Cuts at CR and at LF; the NULs behind a CR, and an LF behind those, belong to it.
fn bare_lines(line: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < line.len() {
        let nuls = line[at + 1..]
            .iter()
            .take_while(|octet| **octet == 0)
            .count();
        let end = match line[at] {
            b'\n' => at + 1,
            b'\r' if nuls > 0 => {
                at + 1 + nuls + usize::from(line.get(at + 1 + nuls) == Some(&b'\n'))
            }
            b'\r' => at + 1,
            _ => {
                at += 1;
                continue;
            }
        };
        parts.push(&line[start..at]);
        (start, at) = (end, end);
    }
    parts.push(&line[start..]);
    parts
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
        first in beginning(),
        lines in lines(),
        mut cuts in proptest::collection::vec(0..300usize, 0..6),
        refused in 0..3u8,
    ) {
        cuts.sort_unstable();
        let content = format!("{first}\r\n{}\r\n", lines.join("\r\n")).into_bytes();
        let mut pieces: Vec<&[u8]> = vec![b"DATA\r\n"];
        let mut start = 0;
        for end in cuts.into_iter().chain([content.len()]) {
            let end = end.clamp(start, content.len());
            pieces.push(&content[start..end]);
            start = end;
        }
        for leniency in PROFILES {
            let mut asked = asked_by(&pieces, leniency, refused);
            // Whether DATA itself was asked about.
            if asked.first().is_some_and(|question| question == "BeginData") {
                asked.remove(0);
            }
            prop_assert!(asked.is_empty(), "{asked:?} was asked");
        }
    }

    #[test]
    fn whatever_comes_in_one_piece_with_a_refused_data_is_not_carried_out(lines in lines(), refused in 0..3u8) {
        let piece = format!("DATA\r\n{}\r\n", lines.join("\r\n"));
        for leniency in PROFILES {
            let mut asked = asked_by(&[piece.as_bytes()], leniency, refused);
            asked.retain(|question| question != "BeginData");
            prop_assert!(asked.is_empty(), "{asked:?} was asked");
        }
    }

    #[test]
    fn a_dialogue_in_one_piece_behind_a_refused_data_is_no_message(lines in lines(), refused in 0..3u8) {
        let piece = format!("{}\r\n", lines.join("\r\n"));
        for leniency in PROFILES {
            let asked = asked_by(&[b"DATA\r\n", piece.as_bytes()], leniency, refused);
            prop_assert!(!asked.iter().any(|question| question.starts_with("EndOfData")), "{asked:?}");
        }
    }

    #[test]
    fn content_is_what_the_rfc_makes_of_it(input in octets(), cut in 0..200usize) {
        let stream = [&input[..], b"\r\n.\r\n"].concat();
        let (content, used) = by_the_rfc(&stream).expect("it ends");
        prop_assert_eq!(decode(&stream, &[cut]), (content, Some(used)));
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
