//! Promise 1: nothing accepted is lost. The real binary, killed for real.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use smtp2go_gateway::clock::Clock;
use smtp2go_gateway::simulator::Simulator;
use smtp2go_gateway::spool::Submission;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::spool_contract;
use crate::support::api::{Act, Api};
use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::site::{KEY, simulator};

async fn send(smtp: SocketAddr, count: usize) -> Vec<String> {
    let mut client = Client::connect(smtp).await;
    client.say("EHLO test").await.expect("250");
    let mut ids = Vec::new();
    for n in 0..count {
        let message = format!("From: a@example.com\r\nTo: r{n}@example.org\r\n\r\nx\r\n");
        let to = format!("r{n}@example.org");
        ids.push(
            client
                .send("a@example.com", &[&to], &message)
                .await
                .to_string(),
        );
    }
    ids
}

async fn delivered(simulator: &Simulator, count: u64) {
    let waited = std::time::Duration::from_secs(30);
    let done = tokio::time::timeout(waited, simulator.delivered(count)).await;
    done.expect("delivered within 30 s");
}

#[tokio::test]
async fn what_got_its_250_survives_sigkill_and_is_delivered_once() {
    let directory = tempfile::tempdir().unwrap();
    // Nobody answers at first: killed between 250 and delivery.
    let process = Process::start(directory.path(), "http://127.0.0.1:1/v3").await;
    send(process.smtp, 20).await;
    let log = process.kill().await;
    assert_eq!(log.matches("\"spooled\"").count(), 20, "{log}");
    assert!(!log.contains(KEY), "the key never shows");

    let simulator = simulator().await;
    let process = Process::start(directory.path(), &simulator.api_url()).await;
    delivered(&simulator, 20).await;
    // One more, to see that nothing of the old ones is still on its way behind it.
    send(process.smtp, 1).await;
    delivered(&simulator, 21).await;
    let mut recipients: Vec<String> = simulator
        .deliveries()
        .into_iter()
        .flat_map(|delivery| delivery.recipients)
        .collect();
    recipients.sort();
    let mut expected: Vec<String> = (0..20).map(|n| format!("r{n}@example.org")).collect();
    expected.push("r0@example.org".to_owned());
    expected.sort();
    assert_eq!(recipients, expected);
    process.kill().await;
}

#[tokio::test]
async fn an_attempt_cut_off_by_sigkill_is_a_doubt_and_its_repeat_is_marked() {
    let directory = tempfile::tempdir().unwrap();
    let silent = Api::start(&[Act::Silence]).await;
    let process = Process::start(directory.path(), &silent.url()).await;
    let ids = send(process.smtp, 1).await;
    crate::support::eventually("the attempt to begin", async || {
        (silent.requests() > 0).then_some(())
    })
    .await;
    // In flight is durable before the request leaves; the request is here.
    process.kill().await;

    let simulator = simulator().await;
    let process = Process::start(directory.path(), &simulator.api_url()).await;
    delivered(&simulator, 1).await;
    let url = format!("http://{}/api/trace/{}", process.admin, ids[0]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let trace = crate::support::eventually("the trace to be settled", async || {
        let trace: serde_json::Value = client.get(&url).send().await.unwrap().json().await.unwrap();
        (!trace["settled_at"].is_null()).then_some(trace)
    })
    .await;
    assert_eq!(trace["events"][0]["event"], "interrupted", "{trace}");
    assert_eq!(
        trace["dispatches"][0]["possibly_duplicate"], true,
        "{trace}"
    );
    process.kill().await;
}

#[tokio::test]
async fn what_a_crash_left_in_doubt_is_looked_up_together() {
    let directory = tempfile::tempdir().unwrap();
    let spool = spool_contract::spool(spool_contract::sqlite(directory.path()));
    let mut ids = Vec::new();
    for _ in 0..40 {
        let submission = spool_contract::submission("default", &["b@example.org"]);
        let head = "From: a@example.com\r\nTo: b@example.org\r\n";
        let submission = Submission {
            head: head.into(),
            ..submission
        };
        ids.push(spool_contract::store(&spool, submission, b"x").await);
    }
    for leased in spool_contract::lease(&spool, 40).await {
        spool
            .begin_attempt(leased.attempt(Clock.wall()))
            .await
            .unwrap();
    }
    // As a crash leaves them: in flight.
    spool.close().await;

    let simulator = simulator().await;
    let process = Process::start(directory.path(), &simulator.api_url()).await;
    delivered(&simulator, 40).await;
    let asked = simulator.calls("/activity/search");
    // One by one it would be 80.
    assert!(asked < 20, "{asked} questions for 40 doubts");
    process.kill().await;
}

/// Sends messages of its own recipients until the connection breaks; notes each one that got its 250.
async fn pump(smtp: SocketAddr, name: String, acked: Arc<Mutex<BTreeSet<String>>>) {
    let sending = async {
        let mut stream = BufReader::new(TcpStream::connect(smtp).await?);
        let mut line = String::new();
        let mut replies = async |stream: &mut BufReader<TcpStream>, count: usize| {
            for _ in 0..count {
                line.clear();
                while line.as_bytes().get(3) != Some(&b' ') {
                    line.clear();
                    if stream.read_line(&mut line).await? == 0 {
                        return Err(std::io::Error::other("closed"));
                    }
                }
            }
            Ok(line.clone())
        };
        replies(&mut stream, 1).await?;
        stream.write_all(b"EHLO test\r\n").await?;
        replies(&mut stream, 1).await?;
        for n in 0.. {
            let to = format!("{name}-{n}@example.org");
            let commands = format!("MAIL FROM:<a@example.com>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
            stream.write_all(commands.as_bytes()).await?;
            replies(&mut stream, 3).await?;
            // Every tenth one is long enough to be streamed to the disk in pieces.
            let body = "x".repeat(if n % 10 == 9 { 300_000 } else { 300 });
            let message = format!("From: a@example.com\r\nTo: {to}\r\n\r\n{body}\r\n.\r\n");
            stream.write_all(message.as_bytes()).await?;
            if replies(&mut stream, 1)
                .await?
                .starts_with("250 2.0.0 queued")
            {
                acked.lock().unwrap().insert(to);
            }
        }
        std::io::Result::Ok(())
    };
    // It always ends with a broken connection: that is the point.
    drop(sending.await);
}

/// How often to kill: 30 times, or what `KILLS` says for a long run.
#[allow(clippy::disallowed_methods, reason = "the switch of the long mode")]
fn kills() -> usize {
    let wanted = std::env::var("KILLS").ok();
    wanted.map_or(30, |text| text.parse().expect("KILLS is a number"))
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the figures of the long mode")]
async fn killed_at_random_under_load_it_loses_nothing_and_marks_what_it_may_have_sent_twice() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = simulator().await;
    let acked = Arc::new(Mutex::new(BTreeSet::new()));
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..kills() {
        let process = Process::start(directory.path(), &simulator.api_url()).await;
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..4 {
            let name = format!("r{round}s{sender}");
            senders.spawn(pump(process.smtp, name, Arc::clone(&acked)));
        }
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Not waiting for anything: the moment of the kill is what varies.
        tokio::time::sleep(Duration::from_millis(random >> 57)).await;
        process.kill().await;
        senders.join_all().await;
    }
    let process = Process::start(directory.path(), &simulator.api_url()).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: String| -> serde_json::Value {
        let url = format!("http://{}{path}", process.admin);
        client.get(url).send().await.unwrap().json().await.unwrap()
    };
    crate::support::eventually("the queue to be empty", async || {
        let open = get("/api/queue?limit=1".to_owned()).await;
        open.as_array().unwrap().is_empty().then_some(())
    })
    .await;

    let mut delivered: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for delivery in simulator.deliveries() {
        let raw =
            String::from_utf8_lossy(&delivery.raw[..delivery.raw.len().min(1000)]).into_owned();
        let id = raw.split("X-Gateway-Id: ").nth(1).unwrap()[..32].to_owned();
        for recipient in delivery.recipients {
            delivered.entry(recipient).or_default().push(id.clone());
        }
    }
    let acked = acked.lock().unwrap().clone();
    assert!(
        acked.len() >= kills(),
        "only {} messages were accepted",
        acked.len()
    );
    let lost: Vec<&String> = acked
        .iter()
        .filter(|to| !delivered.contains_key(*to))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        acked.len()
    );
    let mut repeated = 0;
    for ids in delivered.values().filter(|ids| ids.len() > 1) {
        repeated += 1;
        let trace = get(format!("/api/trace/{}", ids[0])).await;
        assert_eq!(
            trace["dispatches"][0]["possibly_duplicate"], true,
            "{trace}"
        );
    }
    let (kills, acked) = (kills(), acked.len());
    println!("{kills} kills, {acked} accepted, 0 lost, {repeated} repeated and marked");
    process.kill().await;
}
