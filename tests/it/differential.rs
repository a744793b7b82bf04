//! Another reader of SMTP commands, wherever it accepts a line, must see what we see.

use proptest::prelude::*;
use smtp_proto::Request;
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
