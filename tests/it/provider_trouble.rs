//! Promise 3: the provider's trouble is never the device's. Promise 7: no blind repeats. Promise 8: a
//! refused key stops the account, not the mail.

use smtp2go_gateway::app::Gateway;
use smtp2go_gateway::simulator::{Fault, ScriptedFault};
use smtp2go_gateway::spool::{MessageRecord, State};

use crate::support::api::{ACCEPTED, Act, Api, KEY_WORKS};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::site::{KEY, Site, config};

const MESSAGE: &str = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";

const BUSY: &str = r#"{"request_id":"r4","data":{"error":"busy"}}"#;

/// Sends one message through a gateway in front of `api`, waits until it fits.
async fn through(
    api: &Api,
    settings: &str,
    fits: impl Fn(&MessageRecord) -> bool,
) -> MessageRecord {
    through_with(api, settings, MESSAGE, fits).await
}

async fn through_with(
    api: &Api,
    settings: &str,
    message: &str,
    fits: impl Fn(&MessageRecord) -> bool,
) -> MessageRecord {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), &api.url(), settings);
    let gateway = Gateway::start(&config).await.unwrap();
    let mut client = Client::connect(gateway.smtp()["lan"][0]).await;
    client.say("EHLO test").await.expect("250");
    let id = client
        .send("a@example.com", &["b@example.org"], message)
        .await;
    client.say("QUIT").await.expect("221");
    let spool = gateway.spool();
    let record = eventually("the message's state", async || {
        spool.show(id).await.unwrap().filter(|record| fits(record))
    })
    .await;
    gateway.stop().await;
    record
}

fn events(record: &MessageRecord) -> Vec<&str> {
    record
        .events
        .iter()
        .map(|event| event.event.as_str())
        .collect()
}

fn is_settled(record: &MessageRecord) -> bool {
    record.settled_at.is_some()
}

#[tokio::test]
async fn a_provider_that_is_down_is_tried_until_it_is_up() {
    let api = Api::start(&[
        Act::Answer("503 Service Unavailable", BUSY),
        Act::Answer("503 Service Unavailable", BUSY),
        ACCEPTED,
    ])
    .await;
    let record = through(&api, "", is_settled).await;
    assert_eq!(events(&record), ["deferred", "deferred", "accepted"]);
    assert!(!record.dispatches[0].possibly_duplicate);
    assert_eq!(record.dispatches[0].attempts, 3);
}

#[tokio::test]
async fn a_request_that_broke_off_is_repeated_without_doubt() {
    let api = Api::start(&[Act::CutDuring, ACCEPTED]).await;
    // More than any socket buffer holds, so that the end can't have left.
    let message = format!("{MESSAGE}{}", "x\r\n".repeat(7_000_000));
    let record = through_with(&api, "", &message, is_settled).await;
    assert_eq!(events(&record), ["deferred", "accepted"]);
    assert!(!record.dispatches[0].possibly_duplicate);
}

#[tokio::test]
async fn a_lost_answer_is_a_doubt_and_its_repeat_is_marked() {
    let api = Api::start(&[Act::CutAfter, ACCEPTED]).await;
    let record = through(&api, "", is_settled).await;
    assert_eq!(events(&record), ["unknown", "not_found", "accepted"]);
    assert!(record.dispatches[0].possibly_duplicate);
    let (first, second) = (&record.events[0], &record.events[2]);
    let waited = second.started_at.unwrap().since(first.at).as_millis();
    assert!(
        waited >= 390,
        "repeated after {waited} ms, confirm_after is 200 ms"
    );
}

#[tokio::test]
async fn silence_and_server_errors_are_doubts_too() {
    let api = Api::start(&[
        Act::Silence,
        Act::Answer("500 Oops", "{}"),
        Act::Answer("200 OK", "{\"data\":{}}"),
        Act::Answer("200 OK", "not json"),
        Act::Answer("200 OK", ""),
        ACCEPTED,
    ])
    .await;
    let settings = "[forward]\nanswer_timeout = \"300ms\"\nconfirm_after = \"20ms\"";
    let record = through(&api, settings, is_settled).await;
    let each = ["unknown", "not_found"];
    assert_eq!(
        events(&record),
        [&each.repeat(5)[..], &["accepted"]].concat()
    );
}

#[tokio::test]
async fn a_doubt_can_be_left_to_the_operator() {
    let api = Api::start(&[Act::CutAfter, ACCEPTED]).await;
    let settings = "[forward]\nunknown = \"hold\"\nconfirm_after = \"20ms\"";
    let record = through(&api, settings, |record| {
        record.dispatches[0].state == State::Held
    })
    .await;
    assert_eq!(events(&record), ["unknown", "not_found", "held"]);
    assert_eq!(api.requests(), 1);
}

#[tokio::test]
async fn a_message_that_is_too_old_bounces_with_the_last_diagnostic() {
    let api = Api::start(&[Act::Answer("503 Service Unavailable", "")]).await;
    let record = through(&api, "[forward]\ngive_up_after = \"1s\"", is_settled).await;
    assert_eq!(record.dispatches[0].state, State::Bounced);
    let last = record.events.last().unwrap().diagnostic.clone().unwrap();
    assert!(
        last.contains("gave up after 1s: the provider answered 503"),
        "{last}"
    );
}

#[tokio::test]
async fn a_refused_key_halts_the_account_nothing_bounces_and_it_resumes_by_itself() {
    let site = Site::start("[forward]\ngive_up_after = \"1s\"").await;
    site.simulator
        .change_account(|account| account.api_keys.clear());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            site.send("a@example.com", &["b@example.org"], MESSAGE)
                .await,
        );
    }
    // One every 100 ms.
    eventually("probes beyond give_up_after", async || {
        (site.simulator.calls("/api_keys/permissions") >= 13).then_some(())
    })
    .await;
    let record = site.record_when(ids[0], |_| true).await;
    assert_eq!(
        record.dispatches[0].state,
        State::Queued,
        "it outlived give_up_after"
    );
    assert!(events(&record).iter().all(|event| *event == "deferred"));
    site.simulator
        .change_account(|account| account.api_keys.push(KEY.to_owned()));
    for id in ids {
        assert_eq!(site.settled(id).await.dispatches[0].state, State::Accepted);
    }
    site.stop().await;
}

#[tokio::test]
async fn a_gateway_without_a_provider_accepts_mail() {
    let directory = tempfile::tempdir().unwrap();
    // Nobody listens on port 1 of this machine's loopback.
    let config = config(directory.path(), "http://127.0.0.1:1/v3", "");
    let gateway = Gateway::start(&config).await.unwrap();
    let mut client = Client::connect(gateway.smtp()["lan"][0]).await;
    client.say("EHLO test").await.expect("250");
    for _ in 0..20 {
        client
            .send("a@example.com", &["b@example.org"], MESSAGE)
            .await;
    }
    drop(client);
    let counts = gateway.spool().counts();
    assert_eq!(counts.of(State::Queued) + counts.of(State::InFlight), 20);
    gateway.stop().await;
}

#[tokio::test]
async fn time_spent_halted_does_not_count_towards_giving_up() {
    let api = Api::start(&[
        Act::Answer("401 Unauthorized", ""),
        // Probes, until one finds that the key works.
        Act::Answer("401 Unauthorized", ""),
        Act::Answer("401 Unauthorized", ""),
        KEY_WORKS,
        Act::Answer("503 Service Unavailable", ""),
        ACCEPTED,
    ])
    .await;
    let settings = "[forward]\ngive_up_after = \"1s\"\nprobe_interval = \"500ms\"";
    let record = through(&api, settings, is_settled).await;
    assert_eq!(record.dispatches[0].state, State::Accepted, "{record:?}");
    let age = record.settled_at.unwrap().since(record.row.received_at);
    assert!(
        age.as_millis() > 1400,
        "it was older than give_up_after when the 503 came"
    );
}

#[tokio::test]
async fn a_halted_account_is_probed_by_a_call_that_sends_no_mail() {
    let site = Site::start("").await;
    site.simulator
        .change_account(|account| account.api_keys.clear());
    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    site.record_when(id, |record| record.events.len() == 1)
        .await;
    eventually("five probes", async || {
        (site.simulator.calls("/api_keys/permissions") >= 5).then_some(())
    })
    .await;
    assert_eq!(site.simulator.calls("/email/mime"), 1);
    site.simulator
        .change_account(|account| account.api_keys.push(KEY.to_owned()));
    let record = site.settled(id).await;
    assert_eq!(events(&record), ["deferred", "accepted"]);
    site.stop().await;
}

#[tokio::test]
async fn a_mail_that_a_firewall_dislikes_does_not_halt_its_account() {
    let api = Api::start(&[
        Act::Answer("403 Forbidden", "<html>a firewall</html>"),
        KEY_WORKS,
        Act::Answer("403 Forbidden", "<html>a firewall</html>"),
        KEY_WORKS,
        ACCEPTED,
    ])
    .await;
    // If the account halted, nothing more would happen within this test.
    let settings = "[forward]\nprobe_interval = \"10m\"";
    let record = through(&api, settings, is_settled).await;
    assert_eq!(events(&record), ["deferred", "deferred", "accepted"]);
}

#[tokio::test]
async fn a_halted_account_resumes_where_the_probe_itself_is_refused() {
    let api = Api::start(&[
        Act::Answer("401 Unauthorized", ""),
        // Such as a proxy that lets nothing but mail through.
        Act::Answer("404 Not Found", "<html>a proxy</html>"),
        ACCEPTED,
    ])
    .await;
    let record = through(&api, "", is_settled).await;
    assert_eq!(events(&record), ["deferred", "accepted"]);
}

/// One client on each of two loopback addresses; the second one is a device.
const TWO_LANES: &str =
    "[devices.ups]\nnetworks = [\"127.0.0.2\"]\nallowed_senders = [\"example.com\"]";

#[tokio::test]
async fn a_burst_that_waits_for_the_provider_does_not_hold_up_an_alarm() {
    let site = Site::start(TWO_LANES).await;
    site.simulator
        .change_account(|account| account.api_keys.clear());
    let mut erp = site.client().await;
    erp.say("EHLO erp").await.expect("250");
    for _ in 0..120 {
        erp.send("a@example.com", &["b@example.org"], MESSAGE).await;
    }
    let mut ups = Client::connect_from("127.0.0.2", site.smtp("lan")).await;
    ups.say("EHLO ups").await.expect("250");
    ups.send("a@example.com", &["alarm@example.org"], MESSAGE)
        .await;
    site.simulator
        .change_account(|account| account.api_keys.push(KEY.to_owned()));
    let deliveries = site.delivered(121).await;
    let place = deliveries
        .iter()
        .position(|delivery| delivery.recipients[0].starts_with("alarm"));
    // What was under way, and what the window takes at once, may be ahead of it.
    assert!(place.unwrap() < 30, "the alarm was number {place:?} of 121");
    site.stop().await;
}

#[tokio::test]
async fn one_device_never_has_all_places() {
    let api = Api::start(&[Act::Silence]).await;
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), &api.url(), TWO_LANES);
    let gateway = Gateway::start(&config).await.unwrap();
    let lan = gateway.smtp()["lan"][0];
    let mut erp = Client::connect(lan).await;
    erp.say("EHLO erp").await.expect("250");
    for _ in 0..10 {
        erp.send("a@example.com", &["b@example.org"], MESSAGE).await;
    }
    // The window begins with four places.
    eventually("three attempts", async || {
        (api.requests() == 3).then_some(())
    })
    .await;
    let mut ups = Client::connect_from("127.0.0.2", lan).await;
    ups.say("EHLO ups").await.expect("250");
    let alarm = ups.send("a@example.com", &["b@example.org"], MESSAGE).await;
    let spool = gateway.spool();
    eventually("the alarm to be under way", async || {
        let record = spool.show(alarm).await.unwrap().unwrap();
        (record.dispatches[0].state == State::InFlight).then_some(())
    })
    .await;
    assert_eq!(spool.counts().of(State::InFlight), 4);
    drop(gateway);
}

#[tokio::test]
async fn an_outage_costs_a_few_attempts_not_one_for_every_mail_that_waits() {
    let site = Site::start("[forward]\nretry_first = \"3s\"\nretry_max = \"3s\"").await;
    site.simulator.script([ScriptedFault {
        endpoint: Some("/email/mime".to_owned()),
        times: u32::MAX,
        fault: Fault::Status {
            status: 503,
            body: String::new(),
            retry_after: None,
        },
    }]);
    let mut client = site.client().await;
    client.say("EHLO test").await.expect("250");
    let mut ids = Vec::new();
    for _ in 0..200 {
        ids.push(
            client
                .send("a@example.com", &["b@example.org"], MESSAGE)
                .await,
        );
    }
    let tried = site.simulator.calls("/email/mime");
    assert!(tried < 40, "{tried} attempts of 200");
    site.simulator.script([]);
    let mut attempts = 0;
    for id in ids {
        attempts += site.settled(id).await.dispatches[0].attempts;
    }
    assert!(attempts < 250, "{attempts} attempts for 200 mails");
    site.stop().await;
}

#[tokio::test]
async fn a_full_spool_is_said_at_mail_and_mail_is_taken_again_when_there_is_room() {
    let site = Site::start("[spool]\nmax_size = 1500000").await;
    site.simulator
        .change_account(|account| account.api_keys.clear());
    let message = format!("{MESSAGE}{}", "x\r\n".repeat(100_000));
    let mut client = site.client().await;
    client.say("EHLO test").await.expect("250");
    let mut accepted = 0;
    let refused = loop {
        let reply = client
            .try_send("a@example.com", &["b@example.org"], &message)
            .await;
        if !reply.text.starts_with("250") {
            break reply.text;
        }
        accepted += 1;
        assert!(accepted < 20, "the limit was not noticed");
    };
    assert!(
        refused.starts_with("452 4.3.1 gateway storage is full"),
        "{refused}"
    );
    assert!(accepted >= 3, "{accepted}");
    site.simulator
        .change_account(|account| account.api_keys.push(KEY.to_owned()));
    site.delivered(accepted).await;
    eventually("room for another message", async || {
        let reply = client.say("MAIL FROM:<a@example.com>").await;
        reply.text.starts_with("250").then_some(())
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn a_device_that_fills_its_share_is_told_so_and_the_others_are_not() {
    let settings = "[spool]\nmax_size_per_device = 100000\n\
                    [devices.ups]\nnetworks = [\"127.0.0.2\"]\nallowed_senders = [\"example.com\"]";
    let site = Site::start(settings).await;
    site.simulator
        .change_account(|account| account.api_keys.clear());
    let message = format!("{MESSAGE}{}", "x\r\n".repeat(20_000));
    site.send("a@example.com", &["b@example.org"], &message)
        .await;
    site.send("a@example.com", &["b@example.org"], &message)
        .await;
    let mut erp = site.client().await;
    erp.say("EHLO erp").await.expect("250");
    erp.say("MAIL FROM:<a@example.com>")
        .await
        .expect("452 4.3.1 too much mail of this device");
    let mut ups = Client::connect_from("127.0.0.2", site.smtp("lan")).await;
    ups.say("EHLO ups").await.expect("250");
    ups.send("a@example.com", &["b@example.org"], MESSAGE).await;
    site.simulator
        .change_account(|account| account.api_keys.push(KEY.to_owned()));
    site.delivered(3).await;
    eventually("room for the first one, too", async || {
        let reply = erp.say("MAIL FROM:<a@example.com>").await;
        reply.text.starts_with("250").then_some(())
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn a_disk_without_room_is_said_at_mail() {
    // No disk has this much.
    let site = Site::start("[spool]\nmin_free_disk = 9000000000000000000").await;
    let mut client = site.client().await;
    client.say("EHLO test").await.expect("250");
    client
        .say("MAIL FROM:<a@example.com>")
        .await
        .expect("452 4.3.1");
    site.stop().await;
}
