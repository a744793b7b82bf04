//! Promise 2: exactly the envelope's recipients get it. Promise 9: one trace a message.

use smtp2go_gateway::spool::State;

use crate::support::client::Client;
use crate::support::site::Site;

const MESSAGE: &str = "Received: from elsewhere\r\n\tby nowhere\r\nFrom:  Ann <ann@example.com>\r\n\
    To: bob@example.org\r\nSubject:  odd   spacing \r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
    Message-ID: <1@example.com>\r\nX-Long: a\r\n \r\n\tb\r\n\r\n.dot\r\n..dots\r\nbody \u{e4}\r\n\r\n";

#[tokio::test]
async fn a_plain_message_passes_byte_for_byte_behind_its_trace_headers() {
    let site = Site::start("").await;
    let message = MESSAGE.replace("X-Long: a\r\n \r\n\tb\r\n", "X-Long: a\r\n\tb\r\n");
    let id = site
        .send("ann@example.com", &["bob@example.org"], &message)
        .await;
    let deliveries = site.delivered(1).await;
    let raw = String::from_utf8(deliveries[0].raw.to_vec()).unwrap();
    let trace = raw
        .strip_suffix(&message)
        .expect("the message is untouched");
    assert!(
        trace.starts_with("Received: from test ([127.0.0.1])\r\n\tby relay.test with ESMTP id ")
    );
    assert!(
        trace.ends_with(&format!("\r\nX-Gateway-Id: {id}\r\n")),
        "{trace}"
    );
    assert_eq!(deliveries[0].recipients, ["bob@example.org"]);

    let record = site.settled(id).await;
    assert!(record.dispatches[0].byte_exact);
    assert_eq!(record.dispatches[0].state, State::Accepted);
    assert_eq!(
        record.events[0].email_id.as_deref(),
        Some(&*deliveries[0].email_id)
    );
    site.stop().await;
}

#[tokio::test]
async fn a_header_that_was_mended_is_noted_and_not_byte_exact() {
    let site = Site::start("").await;
    let fields = "From: a@example.com\r\nTo: b@example.org\r\n";
    for (message, mended) in [
        (format!("{fields}\r\nx\r\n"), None),
        (
            format!("\u{feff}{fields}\r\nx\r\n"),
            Some("opening_removed"),
        ),
        (format!("\r\n{fields}\r\nx\r\n"), Some("opening_removed")),
        (
            format!("X-A: 1\x0b2\r\n{fields}\r\nx\r\n"),
            Some("controls_replaced"),
        ),
        (
            format!("Subject : x\r\n{fields}\r\nx\r\n"),
            Some("header_mended"),
        ),
    ] {
        let id = site
            .send("a@example.com", &["b@example.org"], &message)
            .await;
        let record = site.settled(id).await;
        assert!(
            record.origin.accepted_with.iter().eq(mended),
            "{message:?}: {:?}",
            record.origin
        );
        assert_eq!(
            record.dispatches[0].byte_exact,
            mended.is_none(),
            "{message:?}"
        );
    }
    site.stop().await;
}

#[tokio::test]
async fn a_bcc_only_recipient_gets_it_and_a_header_recipient_without_rcpt_does_not() {
    let site = Site::start("").await;
    let message = "From: ann@example.com\r\nTo: bob@example.org, eve@example.org\r\n\
                   Cc: carl@example.org\r\nBcc: mallory@example.org\r\n\r\nhello\r\n";
    let to = ["bob@example.org", "hidden@example.org"];
    let id = site.send("ann@example.com", &to, message).await;
    let mut deliveries = site.delivered(2).await;
    deliveries.sort_by_key(|delivery| delivery.recipients.clone());
    assert_eq!(deliveries[0].recipients, ["bob@example.org"]);
    assert_eq!(deliveries[1].recipients, ["hidden@example.org"]);
    for delivery in &deliveries {
        let raw = String::from_utf8_lossy(&delivery.raw);
        assert!(
            raw.contains("X-Original-To: bob@example.org, eve@example.org\r\n"),
            "{raw}"
        );
        assert!(!raw.contains("mallory"), "{raw}");
        assert_eq!(
            raw.contains("hidden@"),
            delivery.recipients == ["hidden@example.org"],
            "{raw}"
        );
    }
    assert_eq!(site.settled(id).await.dispatches.len(), 2);
    site.stop().await;
}

#[tokio::test]
async fn a_mismatch_is_refused_where_the_operator_wants_that() {
    let site = Site::start("[envelope]\nmismatch = \"refuse\"").await;
    let mut client = site.client().await;
    client.say("EHLO test").await.expect("250");
    let message = "From: ann@example.com\r\nTo: eve@example.org\r\n\r\nhello\r\n";
    let reply = client
        .try_send("ann@example.com", &["bob@example.org"], message)
        .await;
    let text = reply.expect("550 5.6.0 To/Cc differ from RCPT: ");
    assert!(text.contains("eve@example.org, bob@example.org"), "{text}");
    assert!(site.simulator.deliveries().is_empty());
    site.stop().await;
}

#[tokio::test]
async fn a_message_without_headers_is_completed() {
    let site = Site::start("").await;
    site.send("ups@example.com", &["bob@example.org"], "Battery low\r\n")
        .await;
    let deliveries = site.delivered(1).await;
    let raw = String::from_utf8_lossy(&deliveries[0].raw);
    for part in [
        "\r\nDate: ",
        "\r\nMessage-ID: <",
        "\r\nFrom: ups@example.com\r\n",
        "\r\nTo: bob@example.org\r\n",
    ] {
        assert!(raw.contains(part), "{part:?} in {raw}");
    }
    assert!(raw.ends_with("\r\n\r\nBattery low\r\n"), "{raw}");
    site.stop().await;
}

#[tokio::test]
async fn a_big_message_streams_through_unchanged() {
    let site = Site::start("").await;
    let line = "0123456789abcdef".repeat(4) + "\r\n";
    let body = line.repeat(5_000_000 / line.len());
    let message = format!("From: a@example.com\r\nTo: b@example.org\r\n\r\n{body}");
    site.send("a@example.com", &["b@example.org"], &message)
        .await;
    let deliveries = site.delivered(1).await;
    assert!(deliveries[0].raw.ends_with(message.as_bytes()));
    site.stop().await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_limit_and_size() {
    let site = Site::start("[listeners.lan]\nmax_message_size = 2000").await;
    let mut client = site.client().await;
    let greeted = client.say("EHLO test").await.expect("250");
    assert!(greeted.contains("SIZE 2000\r\n"));
    let body = "x\r\n".repeat(1000);
    let message = format!("From: a@example.com\r\nTo: b@example.org\r\n\r\n{body}");
    let reply = client
        .try_send("a@example.com", &["b@example.org"], &message)
        .await;
    reply.expect("552 5.3.4 message too big: limit 2000, size 3042 octets");
    client
        .send("a@example.com", &["b@example.org"], "Subject: x\r\n\r\n")
        .await;
    site.stop().await;
}

#[tokio::test]
async fn a_sender_that_the_provider_refuses_bounces_with_its_words() {
    let site = Site::start("").await;
    let message = "From: a@unverified.example\r\nTo: b@example.org\r\n\r\nx\r\n";
    let id = site
        .send("a@unverified.example", &["b@example.org"], message)
        .await;
    let record = site.settled(id).await;
    assert_eq!(record.dispatches[0].state, State::Bounced);
    let diagnostic = record.events[0].diagnostic.as_deref().unwrap();
    assert!(
        diagnostic.contains("From header sender domain not verified"),
        "{diagnostic}"
    );
    site.stop().await;
}

#[tokio::test]
async fn a_message_that_comes_back_again_and_again_is_refused() {
    let site = Site::start("").await;
    let (from, to) = ("a@example.com", ["b@example.org"]);
    let mut message =
        "From: a@example.com\r\nTo: b@example.org\r\nX-Gateway-Id: 1\r\n\r\nx\r\n".to_owned();
    for pass in 1..=4 {
        let id = site.send(from, &to, &message).await;
        let deliveries = site.delivered(pass).await;
        message = String::from_utf8(deliveries.last().unwrap().raw.to_vec()).unwrap();
        let lines = |name: &str| {
            message
                .lines()
                .filter(|line| line.starts_with(name))
                .count()
        };
        assert_eq!(lines("X-Gateway-Id: "), 1, "{message}");
        assert_eq!(
            lines("X-Original-Gateway-Id: "),
            usize::try_from(pass).unwrap()
        );
        assert!(message.contains(&format!("\r\nX-Gateway-Id: {id}\r\n")));
    }
    let mut client = site.client().await;
    client.say("EHLO x").await.expect("250");
    let reply = client.try_send(from, &to, &message).await;
    reply.expect("554 5.4.6 message loops: 4 Received headers, 5 passes");
    let received = "Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n".repeat(50);
    let message = format!("{received}From: a@example.com\r\n\r\nx\r\n");
    let reply = client.try_send(from, &to, &message).await;
    reply.expect("554 5.4.6 message loops: 50 Received headers, 0 passes");
    let spool = site.gateway.spool();
    spool.probe().await.unwrap();
    assert!(spool.refusals(1).await.unwrap()[0].contains("554 5.4.6"));
    client
        .send(from, &to, &message.replacen("Received", "X-Was", 1))
        .await;
}

#[tokio::test]
async fn the_settings_say_how_often_a_message_may_come_back() {
    let site = Site::start("[headers]\nmax_received = 6\nmax_passes = 2").await;
    let mut client = site.client().await;
    client.say("EHLO x").await.expect("250");
    let received = "Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n";
    let pass = "X-Gateway-Id: 1\r\n";
    for (line, often, counts) in [
        (received, 6, "6 Received headers, 0 passes"),
        (pass, 2, "0 Received headers, 2 passes"),
    ] {
        let message =
            |lines: usize| format!("{}From: a@example.com\r\n\r\nx\r\n", line.repeat(lines));
        let to = ["b@example.org"];
        client.send("a@example.com", &to, &message(often - 1)).await;
        let reply = client.try_send("a@example.com", &to, &message(often)).await;
        reply.expect(&format!("554 5.4.6 message loops: {counts}"));
    }
    site.stop().await;
}

#[tokio::test]
async fn an_anonymous_received_line_tells_recipients_nothing_of_the_lan() {
    let site = Site::start("[headers]\nreceived = \"anonymous\"").await;
    let id = site
        .send(
            "a@example.com",
            &["b@example.org"],
            "From: a@example.com\r\n\r\nx\r\n",
        )
        .await;
    let raw = String::from_utf8(site.delivered(1).await[0].raw.to_vec()).unwrap();
    assert!(
        raw.starts_with(&format!(
            "Received: by relay.test with ESMTP id {id};\r\n\t"
        )),
        "{raw}"
    );
    assert!(
        !raw.contains("127.0.0.1") && !raw.contains("from test"),
        "{raw}"
    );
    let record = site.settled(id).await;
    assert_eq!(
        (
            record.origin.peer.to_string(),
            record.origin.helo.as_deref()
        ),
        ("127.0.0.1".to_owned(), Some("test"))
    );
    site.stop().await;
}

/// A device that may send as one address only.
const ONE_SENDER: &str =
    "[devices.cam]\nnetworks = [\"127.0.0.2\"]\nallowed_senders = [\"scan@example.com\"]";

#[tokio::test]
async fn a_harmless_from_is_let_in_and_written_canonically() {
    let site = Site::start(ONE_SENDER).await;
    let mut cam = Client::connect_from("127.0.0.2", site.smtp("lan")).await;
    cam.say("EHLO cam").await.expect("250");
    let spellings = [
        "scan@example.com <scan@example.com>",
        "Kock, Arne <scan@example.com>",
        "\"scan@example.com\"",
        "<scan@example.com >",
        "scan@example.com;",
        "Scanner <scan@example.com",
        "Scanner: Room 5 <scan@example.com>",
        "'scan@example.com'",
    ];
    for (number, from) in spellings.into_iter().enumerate() {
        let message = format!("From: {from}\r\nTo: b@example.org\r\n\r\nx\r\n");
        let id = cam
            .send("scan@example.com", &["b@example.org"], &message)
            .await;
        let deliveries = site.delivered(number as u64 + 1).await;
        let raw = String::from_utf8_lossy(&deliveries[number].raw).into_owned();
        let field = |name: &str| {
            let prefix = format!("{name}: ");
            let mut fields = raw.lines().filter_map(|line| line.strip_prefix(&prefix));
            let found = fields.next().map(str::to_owned);
            assert_eq!(fields.next(), None, "{raw}");
            found
        };
        let sender = field("From").expect("a From");
        let address = sender.rsplit(' ').next().unwrap().trim_matches(['<', '>']);
        assert_eq!(address, "scan@example.com", "{from}: {sender}");
        assert_eq!(field("X-Original-From").as_deref(), Some(from), "{raw}");
        let record = site.settled(id).await;
        assert_eq!(record.origin.accepted_with, ["from_rewritten"], "{from}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_from_that_shows_somebody_else_to_any_reader_is_refused() {
    let site = Site::start(ONE_SENDER).await;
    let mut cam = Client::connect_from("127.0.0.2", site.smtp("lan")).await;
    cam.say("EHLO cam").await.expect("250");
    for from in [
        "boss@example.net <scan@example.com>",
        "\"boss@example.net\" <scan@example.com>",
        "scan@example.com (boss@example.net)",
        "=?utf-8?q?boss=40example.net?= <scan@example.com>",
        "=?ibm037?q?=82=96=A2=A2=7C=85=A7=81=94=97=93=85=4B=95=85=A3?= <scan@example.com>",
        "=??q?boss=40example.net?= <scan@example.com>",
        "x=?utf-8?q?boss=40example.net?= <scan@example.com>",
    ] {
        let message = format!("From: {from}\r\nTo: b@example.org\r\n\r\nx\r\n");
        let reply = cam
            .try_send("scan@example.com", &["b@example.org"], &message)
            .await;
        // Whoever looks for the reason finds the text of the field.
        let said = reply.expect("550");
        assert!(said.contains(&from[..20]), "{from}: {said}");
        cam.say("RSET").await.expect("250");
    }
    assert!(site.simulator.deliveries().is_empty());
    site.stop().await;
}

#[tokio::test]
async fn what_the_client_meant_as_bcc_is_never_sent_on() {
    let site = Site::start("").await;
    let mut client = site.client().await;
    client.say("EHLO x").await.expect("250");
    let fields = "From: a@example.com\r\nTo: b@example.org\r\nBcc: secret@example.org\r\n";
    let mut taken = 0;
    for message in [
        format!("\u{feff}{fields}\r\nx\r\n"),
        format!("\r\n\r\n{fields}\r\nx\r\n"),
        format!("X-A: 1\x0bBcc: secret@example.org\r\n{fields}\r\nx\r\n"),
        format!("X-A: 1\x0cBcc: secret@example.org\r\n{fields}\r\nx\r\n"),
        format!("X-A: 1\x01\x1c\x1d\x1e\u{85}\u{2028}Bcc: secret@example.org\r\n{fields}\r\nx\r\n"),
        format!("Subject: x\r\n\u{feff}{fields}\r\nx\r\n"),
    ] {
        let reply = client
            .try_send("a@example.com", &["b@example.org"], &message)
            .await;
        if !reply.text.starts_with("250") {
            // Refused is not sent on, either.
            reply.expect("55");
            client.say("RSET").await.expect("250");
            continue;
        }
        taken += 1;
        let deliveries = site.delivered(taken).await;
        let raw = &deliveries[taken as usize - 1].raw;
        let text = String::from_utf8_lossy(raw);
        let head = text.split("\r\n\r\n").next().unwrap();
        // However a reader breaks lines.
        let breaks = [
            '\r', '\n', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}',
        ];
        let bcc = head
            .split(breaks)
            .find(|line| line.to_ascii_lowercase().starts_with("bcc"));
        assert_eq!(bcc, None, "{message:?} became {text:?}");
        assert!(
            !text
                .split("\r\n\r\n")
                .skip(1)
                .any(|body| body.contains("secret@")),
            "{text:?}"
        );
    }
    assert!(taken >= 4, "{taken} were taken");
    site.stop().await;
}
