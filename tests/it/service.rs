//! Beside a service manager: ready, alive, reloading, stopping; and on a disk that fills up.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::net::TcpStream;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::site::{KEY, simulator};

const NOBODY: &str = "http://127.0.0.1:1/v3";

/// What a service manager would hear.
struct Manager(UnixDatagram);

impl Manager {
    fn hears(&self, words: &str) {
        let mut datagram = [0; 1024];
        loop {
            let length = self.0.recv(&mut datagram).expect("something within 30 s");
            let heard = String::from_utf8_lossy(&datagram[..length]);
            if heard.contains(words) {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_that_it_is_ready_alive_reloading_and_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let patience = Some(Duration::from_secs(30));
    manager.0.set_read_timeout(patience).unwrap();
    let environment = [
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("WATCHDOG_USEC", "300000"),
    ];
    let mut process = Process::start_with(directory.path(), NOBODY, &[], &environment).await;
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    let id = Pid::from_raw(process.child.id().unwrap().cast_signed()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    assert!(process.stop().await.success());
    manager.hears("STOPPING=1");
}

#[tokio::test]
async fn a_changed_file_is_reloaded_a_broken_one_is_not_and_what_needs_a_restart_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let trust = |networks: &str, more: &str| {
        // As editors do it: a new file in place of the old one.
        let fresh = directory.path().join("fresh");
        let text = format!("[listeners.lan]\ntrust = [{networks}]\n{more}");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, &file).unwrap();
    };
    trust("", "");
    let arguments = ["--config", file.to_str().unwrap()];
    let process = Process::start_with(directory.path(), NOBODY, &arguments, &[]).await;
    let may_send = async || {
        let mut client = Client::connect(process.smtp).await;
        client.say("EHLO test").await.expect("250");
        client.say("MAIL FROM:<a@example.com>").await.text
    };
    assert!(may_send().await.starts_with("530"));

    trust("\"127.0.0.0/8\"", "max_recipients = 7\n");
    let log = process.says("the rest needs a restart").await;
    assert!(log.contains("listeners.lan.max_recipients"), "{log}");
    assert!(may_send().await.starts_with("250"));

    trust("\"all of them\"", "");
    let log = process.says("settings not reloaded").await;
    assert!(log.contains("all of them"), "{log}");
    assert!(may_send().await.starts_with("250"), "the old ones stay");
    process.kill().await;
}

#[tokio::test]
async fn a_new_key_in_its_file_starts_a_halted_account_again() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = simulator().await;
    let key = directory.path().join("key");
    std::fs::write(&key, "api-WRONG00000000000000000000000000\n").unwrap();
    let environment = [
        ("SMTP2GO_API_KEY", ""),
        (
            "S2G__ACCOUNTS__DEFAULT__API_KEY_FILE",
            key.to_str().unwrap(),
        ),
    ];
    let url = simulator.api_url();
    let process = Process::start_with(directory.path(), &url, &[], &environment).await;
    let mut client = Client::connect(process.smtp).await;
    client.say("EHLO test").await.expect("250");
    let message = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";
    client
        .send("a@example.com", &["b@example.org"], message)
        .await;
    process.says("account halted").await;
    std::fs::write(&key, KEY).unwrap();
    let id = Pid::from_raw(process.child.id().unwrap().cast_signed()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    // The next probe by itself would come in five minutes.
    process.says("account resumed").await;
    assert_eq!(simulator.deliveries().len(), 1);
    let log = process.kill().await;
    assert!(!log.contains(KEY) && !log.contains("api-WRONG"), "{log}");
}

/// Files of the process may not grow beyond this; `None` lifts it.
fn limit_files(process: &Process, octets: Option<u64>) {
    let id = Pid::from_raw(process.child.id().unwrap().cast_signed()).unwrap();
    let limit = Rlimit {
        current: octets,
        maximum: None,
    };
    prlimit(Some(id), Resource::Fsize, limit).unwrap();
}

#[tokio::test]
async fn a_disk_that_fills_up_costs_replies_not_mail_and_nothing_needs_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), NOBODY).await;
    let small = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";
    let large = format!("{small}{}", "y\r\n".repeat(400_000));
    let mut client = Client::connect(process.smtp).await;
    client.say("EHLO test").await.expect("250");
    let to = ["b@example.org"];
    let mut accepted = vec![client.send("a@example.com", &to, small).await];

    // No file may grow: in the middle of a message, and at a commit.
    limit_files(&process, Some(1));
    for message in [large.as_str(), small] {
        let refused = client.try_send("a@example.com", &to, message).await;
        refused.expect("452 4.3.1");
    }
    let log = process.says("spool failed").await;
    assert!(log.contains("cannot write to the spool"), "{log}");

    limit_files(&process, None);
    eventually("mail to be accepted again", async || {
        let reply = client.try_send("a@example.com", &to, &large).await;
        let id = reply.text.strip_prefix("250 2.0.0 queued as ")?.trim();
        accepted.push(id.parse().unwrap());
        Some(())
    })
    .await;
    accepted.push(client.send("a@example.com", &to, small).await);
    process.kill().await;

    let simulator = simulator().await;
    let process = Process::start(directory.path(), &simulator.api_url()).await;
    let waited = tokio::time::timeout(Duration::from_secs(30), simulator.delivered(3)).await;
    waited.expect("all that was accepted");
    // Something half-accepted would come behind the others.
    let queue = format!("http://{}/api/queue?limit=1", process.admin);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    eventually("the queue to be empty", async || {
        let open = client
            .get(&queue)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        (open.trim() == "[]").then_some(())
    })
    .await;
    let mut delivered: Vec<usize> = simulator
        .deliveries()
        .iter()
        .map(|delivery| delivery.size)
        .collect();
    delivered.sort_unstable();
    assert_eq!(delivered.len(), 3);
    assert!(delivered[2] > large.len(), "the large one is whole");
    process.kill().await;
}

#[tokio::test]
async fn silent_connections_to_the_admin_port_keep_no_mail_out() {
    let directory = tempfile::tempdir().unwrap();
    let limits = "ulimit -Sn 64; ulimit -Hn 256";
    let process = Process::start_behind(limits, directory.path(), NOBODY).await;
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", process.child.id().unwrap())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let files: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(files[3..5], ["256", "256"], "the soft limit is raised");
    process.says("fewer connections than max_connections").await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(process.admin).await.unwrap());
    }
    let mut client = Client::connect(process.smtp).await;
    client.say("EHLO test").await.expect("250");
    let message = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";
    client
        .send("a@example.com", &["b@example.org"], message)
        .await;
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let alive = http
        .get(format!("http://{}/livez", process.admin))
        .send()
        .await
        .unwrap();
    assert_eq!(
        alive.status().as_u16(),
        200,
        "whoever asks is heard at once"
    );
    process.kill().await;
}

#[tokio::test]
async fn what_was_mended_in_a_message_stands_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = simulator().await;
    let process = Process::start(directory.path(), &simulator.api_url()).await;
    let mut client = Client::connect(process.smtp).await;
    client.say("EHLO x").await.expect("250");
    let message = "From: a@example.com\r\nTo: b@example.org\r\n\r\nP\0K\x03\x04a\nb\r\n";
    client
        .send("a@example.com", &["b@example.org"], message)
        .await;
    let log = process.says("\"accepted\"").await;
    for event in ["spooled", "accepted"] {
        let line = log
            .lines()
            .find(|line| line.contains(&format!("\"{event}\"")))
            .unwrap();
        assert!(line.contains("nul_stripped,line_ends_mended"), "{line}");
    }
    process.kill().await;
}
