//! Promise 1: nothing accepted is lost. The real binary, killed for real.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use smtp2go_gateway::simulator::{SimulatedAccount, Simulator};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::support::api::{Act, Api};
use crate::support::client::Client;
use crate::support::site::KEY;

struct Process {
    child: Child,
    smtp: SocketAddr,
    admin: SocketAddr,
    log: tokio::task::JoinHandle<String>,
}

impl Process {
    async fn start(data_dir: &Path, api_url: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
            .arg("run")
            .env_clear()
            .env("S2G__DATA_DIR", data_dir)
            .env("S2G__LISTENERS__LAN__BIND", "127.0.0.1:0")
            .env("S2G__ADMIN__BIND", "127.0.0.1:0")
            .env("S2G__LOG__FORMAT", "json")
            .env("S2G__FORWARD__CONFIRM_AFTER", "100ms")
            .env("S2G__FORWARD__RETRY_FIRST", "50ms")
            .env("S2G__ACCOUNTS__DEFAULT__API_URL", api_url)
            .env("SMTP2GO_API_KEY", KEY)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut smtp, mut log) = (None, String::new());
        let admin = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .unwrap_or_else(|| panic!("it stopped: {log}"));
            log.push_str(&line);
            let event: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
            if let Some(address) = event["address"].as_str() {
                smtp = Some(address.parse().unwrap());
            }
            if let Some(admin) = event["admin"].as_str() {
                break admin.parse().unwrap();
            }
        };
        let log = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        Self {
            child,
            smtp: smtp.expect("the SMTP address comes first"),
            admin,
            log,
        }
    }

    /// SIGKILL: no handler, no goodbye.
    async fn kill(mut self) -> String {
        self.child.kill().await.unwrap();
        self.log.await.unwrap()
    }
}

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

    let stop = CancellationToken::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let simulator = Simulator::start(any, SimulatedAccount::sample(KEY), stop)
        .await
        .unwrap();
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

    let stop = CancellationToken::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let simulator = Simulator::start(any, SimulatedAccount::sample(KEY), stop)
        .await
        .unwrap();
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
    assert_eq!(trace["parts"][0]["possibly_duplicate"], true, "{trace}");
    process.kill().await;
}
