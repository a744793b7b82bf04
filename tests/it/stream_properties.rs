//! What streams in must not depend on how the network cut it.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use smtp2go_gateway::message::{HeadCollector, HeaderView};
use smtp2go_gateway::session::{DataDecoder, Decoded};

/// Octets that make trouble, more often than chance would.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just(b"\r\n".to_vec()),
        2 => Just(b".".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\0".to_vec()),
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
            let (head, more) = collector.finish().unwrap();
            body.extend_from_slice(&more);
            (head, body)
        };
        let (head, body) = collect(content.len().max(1));
        prop_assert_eq!(&collect(piece), &(head.clone(), body));

        // A canonical block holds nothing that a reader could take for its end, and every octet of
        // it belongs to exactly one field.
        prop_assert!(!head.starts_with(b"\r\n") && !head.windows(4).any(|window| window == b"\r\n\r\n"));
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
