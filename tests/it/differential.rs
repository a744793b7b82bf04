//! Another reader of SMTP commands, wherever it accepts a line, must see what we see.

use proptest::prelude::*;
use smtp_proto::Request;
use smtp2go_gateway::mail::Mailbox;
use smtp2go_gateway::session::parse_path;

fn path() -> impl Strategy<Value = String> {
    let local = prop_oneof![
        "[a-z0-9._+-]{1,8}",
        "[a-z]{1,3}=[a-z]{1,3}",
        Just("\"a b\"".to_owned())
    ];
    let domain = prop_oneof![
        "[a-z]{1,6}\\.test",
        "[A-Z]{1,4}\\.[a-z]{2,3}",
        "[a-z]{1,4}\\."
    ];
    let parameters = prop_oneof![
        Just(String::new()),
        "( SIZE=[0-9]{1,6})",
        Just(" BODY=8BITMIME".to_owned()),
        Just(" SIZE=10 BODY=7BIT".to_owned()),
    ];
    (local, domain, parameters, any::<bool>()).prop_map(|(local, domain, parameters, null)| {
        if null && domain.len() % 5 == 0 {
            format!("<>{parameters}")
        } else {
            format!("<{local}@{domain}>{parameters}")
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_path_that_smtp_proto_reads_is_read_the_same(path in path()) {
        let line = format!("MAIL FROM:{path}\r\n");
        if let Ok(Request::Mail { from }) = Request::parse(&mut line.as_bytes().iter()) {
            let (mailbox, _) = parse_path(&path, false).unwrap();
            let ours = mailbox.map_or(String::new(), |mailbox| mailbox.to_string());
            // It takes the quotes off a local part; we keep what the client wrote.
            let ours = ours.replace('"', "");
            prop_assert_eq!(ours, from.address.trim_end_matches('.'));
        }
    }
}

/// A quoted local part is legal, and programs in the wild read it as somebody else: mail-parser takes the quoted text
/// for a name; nodemailer before 7.0.7 delivered to the address inside (GHSA-mm7p-fcc7-pg87). So nobody gets to use one.
#[test]
fn a_quoted_local_part_that_others_misread_is_refused() {
    for local in [
        "victim@site.test x",
        "a,b",
        "a;b",
        "a:b",
        "<v@site.test>",
        "a(b)",
        "a b",
        r"\ann",
        r"a\@b",
    ] {
        let address = format!("\"{local}\"@example.net");
        let mailbox: Mailbox = address.parse().unwrap();
        assert!(mailbox.has_odd_quotes(), "{address}");
    }
    let header = b"To: \"victim@site.test x\"@example.net\r\n\r\n";
    let read = mail_parser::MessageParser::default()
        .parse_headers(&header[..])
        .unwrap();
    let first = read.to().and_then(|to| to.first()).unwrap();
    assert_ne!(first.address(), Some("\"victim@site.test x\"@example.net"));
    for plain in [
        "\"ann\"@example.net",
        "ann@example.net",
        "\"a..b\"@example.net",
    ] {
        assert!(
            !plain.parse::<Mailbox>().unwrap().has_odd_quotes(),
            "{plain}"
        );
    }
}
