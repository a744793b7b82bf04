//! Garbage on the port: no crash, no leak, a short reply, and the next client is served.

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::site::Site;

const MESSAGE: &str = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";

#[tokio::test]
async fn binary_noise_long_lines_and_half_closed_clients_hurt_nobody() {
    use tokio::io::AsyncWriteExt as _;
    let site = Site::start("").await;

    let mut noise = site.client().await;
    let octets: Vec<u8> = (0..100_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 1)
        .collect();
    noise.write(&octets).await;
    noise.write(b"\r\n").await;
    noise.reply().await.expect("500");

    let mut endless = site.client().await;
    for _ in 0..100 {
        endless.write(&[b'x'; 100_000]).await;
    }
    endless.write(b"\r\n").await;
    endless.reply().await.expect("500 5.5.2 line too long");
    endless.say("NOOP").await.expect("250");

    let mut half = site.client().await;
    half.write(b"EHLO x\r\nMAIL FROM:<a@example.com>\r\n").await;
    half.stream.shutdown().await.unwrap();
    half.reply().await.expect("250");
    half.reply().await.expect("250");
    assert!(half.is_closed().await);

    site.send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    site.delivered(1).await;
}

#[tokio::test]
async fn a_hundred_thousand_recipients_get_four_fifty_two_and_the_accepted_ones_stand() {
    let site = Site::start("").await;
    let mut client = site.client().await;
    client.say("EHLO x").await.expect("250");
    client.say("MAIL FROM:<a@example.com>").await.expect("250");
    let (mut accepted, mut refused) = (0, 0);
    for group in 0..100 {
        let lines: Vec<String> = (0..1000)
            .map(|n| format!("RCPT TO:<r{}@example.org>\r\n", group * 1000 + n))
            .collect();
        client.write(lines.concat().as_bytes()).await;
        for _ in 0..1000 {
            match &client.reply().await.text[..3] {
                "250" => accepted += 1,
                "452" => refused += 1,
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!((accepted, refused), (1000, 99_000));
    client.say("DATA").await.expect("354");
    client.write(b"From: a@example.com\r\n\r\n").await;
    client.say(".").await.expect("250 2.0.0 queued");
    let deliveries = site.delivered(1000).await;
    assert!(
        deliveries
            .iter()
            .all(|delivery| delivery.recipients.len() == 1)
    );
}

#[tokio::test]
async fn a_client_that_leaves_before_the_end_leaves_nothing_behind() {
    let site = Site::start("").await;
    for cut in ["DATA\r\nhalf a mess", "DATA\r\nwhole\r\n."] {
        let mut client = site.client().await;
        client.say("EHLO x").await.expect("250");
        client.say("MAIL FROM:<a@example.com>").await.expect("250");
        client.say("RCPT TO:<b@example.org>").await.expect("250");
        client.write(cut.as_bytes()).await;
    }
    site.send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    assert_eq!(site.delivered(1).await.len(), 1);
    assert_eq!(
        site.gateway
            .spool()
            .list(true, None, 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_client_gone_before_its_reply_has_its_complete_message_delivered() {
    let site = Site::start("").await;
    let mut client = site.client().await;
    client.say("EHLO x").await.expect("250");
    client.say("MAIL FROM:<a@example.com>").await.expect("250");
    client.say("RCPT TO:<b@example.org>").await.expect("250");
    client.say("DATA").await.expect("354");
    client.write(format!("{MESSAGE}.\r\n").as_bytes()).await;
    drop(client);
    site.delivered(1).await;
}

#[tokio::test]
async fn connections_over_the_limit_are_turned_away_and_the_place_is_given_back() {
    let site = Site::start("[listeners.lan]\nmax_connections_per_address = 2").await;
    let mut first = site.client().await;
    let _second = site.client().await;
    let mut third = Client::raw(site.smtp("lan")).await;
    third
        .reply()
        .await
        .expect("421 4.7.0 too many connections from your address");
    assert!(third.is_closed().await);
    first.say("QUIT").await.expect("221");
    drop(first);
    eventually("a free place", async || {
        let mut client = Client::raw(site.smtp("lan")).await;
        client.reply().await.text.starts_with("220").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_header_block_without_end_is_refused() {
    let site = Site::start("").await;
    let mut client = site.client().await;
    client.say("EHLO x").await.expect("250");
    let header = "X-Line: 0123456789012345678901234567890123456789\r\n".repeat(10_000);
    let reply = client
        .try_send(
            "a@example.com",
            &["b@example.org"],
            &format!("{header}\r\nx\r\n"),
        )
        .await;
    reply.expect("552 5.3.4 message header over 262144 octets");
    client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
}

#[tokio::test]
async fn content_ahead_of_data_is_refused_wherever_the_read_was_cut() {
    let site = Site::start("").await;
    let mut client = site.client().await;
    // The commands fill the driver's first read to the last octet, the content is in the next one.
    let commands = "EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n";
    let padding = format!("NOOP {}\r\n", "x".repeat(4096 - commands.len() - 7));
    let message = "Subject: smuggled\r\n\r\nx\r\n.\r\n".repeat(100);
    client
        .write(format!("{padding}{commands}{message}").as_bytes())
        .await;
    client.reply().await.expect("250");
    client.reply().await.expect("250");
    client.reply().await.expect("250");
    client.reply().await.expect("250");
    client.reply().await.expect("554 5.5.0");
    assert!(client.is_closed().await);
    assert!(
        site.gateway
            .spool()
            .list(true, None, 1)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_header_made_of_address_fields_costs_nothing() {
    let site = Site::start("").await;
    let mut client = site.client().await;
    client.say("EHLO x").await.expect("250");
    let to: Vec<String> = (0..150).map(|n| format!("r{n}@example.org")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let message = format!(
        "From: a@example.com\r\n{}\r\nx\r\n",
        "To:\r\n".repeat(40_000)
    );
    let reply = client.try_send("a@example.com", &to, &message).await;
    reply.expect("550 5.6.0 message has too many To, Cc or Bcc headers");
    let message = format!("From: a@example.com\r\n{}\r\nx\r\n", "a\r\n".repeat(80_000));
    let reply = client
        .try_send("a@example.com", &["b@example.org"], &message)
        .await;
    reply.expect("552 5.3.4 message header over 262144 octets");
}

#[tokio::test]
async fn a_malformed_bcc_is_shown_to_nobody() {
    let site = Site::start("").await;
    let to = ["a@example.org", "hidden@example.org"];
    let head = "From: a@example.com\r\nTo: a@example.org\r\n";
    for malformed in [
        format!("{head}Bcc\r\n hidden@example.org\r\n\r\nx\r\n"),
        format!("{head}garbage line\r\nBcc: hidden@example.org\r\n\r\nx\r\n"),
        format!("From scan Mon Jan 1\r\n{head}Bcc: hidden@example.org\r\n\r\nx\r\n"),
    ] {
        let id = site.send("a@example.com", &to, &malformed).await;
        site.settled(id).await;
    }
    for delivery in site.simulator.deliveries() {
        let raw = String::from_utf8_lossy(&delivery.raw);
        let own = delivery.recipients == ["hidden@example.org"];
        assert_eq!(raw.contains("hidden@"), own, "{raw}");
    }
    assert_eq!(site.simulator.deliveries().len(), 6);
}

#[tokio::test]
async fn a_header_made_of_sender_fields_costs_nothing() {
    let site = Site::start("").await;
    let mut client = site.client().await;
    client.say("EHLO x").await.expect("250");
    let to: Vec<String> = (0..100).map(|n| format!("r{n}@example.org")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    for name in ["Sender", "Resent-From", "resent-sender"] {
        let many = format!("{name}:\r\n").repeat(15_000);
        let message = format!("From: Scanner\r\n{many}\r\nx\r\n");
        let reply = client.try_send("a@example.com", &to, &message).await;
        reply.expect("550 5.6.0 message has too many From or Sender headers");
    }
    let few = "Sender:\r\n".repeat(29);
    let message = format!("From: Scanner\r\n{few}\r\nx\r\n");
    let before = site.gateway.spool().used_octets();
    client.send("a@example.com", &to, &message).await;
    let after = site.gateway.spool().used_octets();
    assert!(
        after - before < 400_000,
        "{} octets for 100 plans",
        after - before
    );
    for delivery in site.delivered(100).await {
        let raw = String::from_utf8_lossy(&delivery.raw);
        assert!(
            raw.contains("\r\nFrom: a@example.com\r\nX-Original-From: Scanner\r\n"),
            "{raw}"
        );
        assert_eq!(raw.matches("\r\nX-Original-Sender:").count(), 29);
    }
}

#[tokio::test]
async fn strangers_make_room_for_each_other_and_never_keep_out_whom_the_settings_name() {
    let settings = "[listeners.lan]\ntrust = [\"127.0.0.1\"]\nmax_connections = 10";
    let site = Site::start(settings).await;
    let lan = site.smtp("lan");
    let mut mailing = site.client().await;
    mailing.say("EHLO x").await.expect("250");
    mailing.say("MAIL FROM:<a@example.com>").await.expect("250");
    let mut strangers = Vec::new();
    for n in 1..10 {
        strangers.push(Client::connect_from(&format!("127.0.1.{n}"), lan).await);
    }
    // All ten are taken, nine by strangers: as many as may.
    let _next = Client::connect_from("127.0.2.1", lan).await;
    strangers[0]
        .reply()
        .await
        .expect("421 4.3.2 too many connections");
    assert!(strangers[0].is_closed().await);
    let mut named = site.client().await;
    named.say("EHLO x").await.expect("250");
    strangers[1].reply().await.expect("421 4.3.2");
    strangers[2].say("NOOP").await.expect("250");
    mailing.say("RCPT TO:<b@example.org>").await.expect("250");
    site.stop().await;
}

#[tokio::test]
async fn content_behind_a_refused_data_is_never_carried_out() {
    for profile in ["strict", "device", "legacy"] {
        let site = Site::start(&format!("[listeners.lan]\nprofile = \"{profile}\"")).await;
        let mut client = site.client().await;
        client.say("EHLO x").await.expect("250");
        client.say("MAIL FROM:<a@example.com>").await.expect("250");
        client.say("RCPT TO:<no address>").await.expect("501");
        client.say("DATA").await.expect("503");
        let evil = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nspam\r\n.\r\n";
        client
            .write(format!("Subject: x\r\n\r\n{evil}").as_bytes())
            .await;
        client.reply().await.expect("554 5.5.0");
        assert!(client.is_closed().await);
        let stored = site.gateway.spool().list(true, None, 1).await.unwrap();
        assert!(stored.is_empty(), "{profile}");
        site.stop().await;
    }
}

#[tokio::test]
async fn a_client_whose_mail_was_accepted_keeps_its_connection() {
    let site = Site::start("[listeners.lan]\nmax_connections = 2").await;
    let mut mailing = site.client().await;
    mailing.say("EHLO x").await.expect("250");
    mailing.say("MAIL FROM:<a@example.com>").await.expect("250");
    let mut idle = site.client().await;
    let _next = site.client().await;
    idle.reply().await.expect("421 4.3.2 too many connections");
    mailing.say("RCPT TO:<b@example.org>").await.expect("250");
    site.stop().await;
}
