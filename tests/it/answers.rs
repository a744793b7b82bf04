//! Whatever the provider answers: it takes little memory, and steers no terminal and no log.

use std::net::SocketAddr;

use serde_json::json;
use smtp2go_gateway::simulator::{Fault, ScriptedFault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::site::simulator;

fn answer(endpoint: &str, body: String) -> ScriptedFault {
    ScriptedFault {
        endpoint: Some(endpoint.to_owned()),
        times: 99,
        fault: Fault::Status {
            status: 200,
            body,
            retry_after: None,
        },
    }
}

/// The most memory that a process ever had, in MB.
fn peak(process: &Process) -> u64 {
    let id = process.child.id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    digits.parse::<u64>().unwrap() / 1000
}

fn many(item: &str, octets: usize) -> String {
    vec![item; octets / (item.len() + 1)].join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn megabytes_of_nonsense_instead_of_rules_cost_little() {
    for (item, octets, said) in [
        ("{\"a\":0}", 10_000_000, "over 8000000 octets"),
        ("{\"a\":0}", 7_900_000, "rules not understood"),
        ("{\"domain\":{\"a\":0}}", 7_900_000, "a list of more than"),
    ] {
        let simulator = simulator().await;
        let list = many(item, octets);
        let body = format!("{{\"data\":{{\"domains\":[{list}]}}}}");
        simulator.script([answer("/domain/view", body)]);
        let directory = tempfile::tempdir().unwrap();
        let process = Process::start(directory.path(), &simulator.api_url()).await;
        process.says(said).await;
        let peak = peak(&process);
        assert!(peak < 150, "{peak} MB for {said}");
        process.kill().await;
    }
}

#[tokio::test]
async fn a_mail_whose_answer_is_too_long_is_looked_up_not_sent_again() {
    let simulator = simulator().await;
    let long = format!(
        "{{\"data\":{{\"succeeded\":1,\"x\":\"{}\"}}}}",
        "x".repeat(70_000)
    );
    simulator.script([answer("/email/mime", long)]);
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &simulator.api_url()).await;
    let mut client = Client::connect(process.smtp).await;
    client.say("EHLO test").await.expect("250");
    let message = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";
    let to = ["b@example.org"];
    client.send("a@example.com", &to, message).await;
    let log = process.says("\"unknown\"").await;
    assert!(log.contains("over 65536 octets"), "{log}");
    process.kill().await;
}

#[tokio::test]
async fn names_of_the_provider_are_cleaned_and_cut() {
    let nasty = "\u{1b}[2J\u{9b}31m\r\n\u{202e}evil";
    let long = "x".repeat(20_000);
    let simulator = simulator().await;
    let sent = json!({"request_id": format!("r{nasty}{long}"),
        "data": {"succeeded": 1, "failed": 0, "email_id": format!("e{nasty}{long}")}});
    simulator.script([answer("/email/mime", sent.to_string())]);
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &simulator.api_url()).await;
    let mut client = Client::connect(process.smtp).await;
    client.say("EHLO test").await.expect("250");
    let message = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";
    let to = ["b@example.org"];
    let id = client.send("a@example.com", &to, message).await;
    let log = process.says("\"accepted\"").await;
    assert!(log.contains("\"email_id\":\"e[2J31mevilxxx"), "{log}");
    let admin = process.admin.to_string();
    let run = async |arguments: &[&str]| {
        let done = tokio::process::Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
            .args(arguments)
            .args(["--admin", &admin])
            .env_clear()
            .output();
        String::from_utf8(done.await.unwrap().stdout).unwrap()
    };
    let id = id.to_string();
    let shown = eventually("the trace", async || {
        let shown = run(&["trace", &id]).await;
        shown.contains("email_id e").then_some(shown)
    })
    .await;
    let json = run(&["trace", &id, "--json"]).await;
    for text in [log, shown, json] {
        let steering =
            |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(!text.contains(steering), "{text:?}");
        assert!(!text.contains(&"x".repeat(129)), "{text}");
    }
    process.kill().await;
}

/// Answers every request so.
async fn answering(status: u16, body: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn nothing_that_a_gateway_says_steers_the_terminal() {
    let nasty = "\u{1b}[2J\u{9b}31m\u{202e}evil";
    let entries = json!([[format!("e{nasty}"), "manual"]]).to_string();
    for (status, body, command, shown) in [
        (200, nasty.to_owned(), &["health"][..], " [2J 31m evil"),
        (503, nasty.to_owned(), &["health"], " [2J 31m evil"),
        (
            200,
            entries,
            &["rules", "show", "users", "--json"],
            "e\\u001b[2J\\u009b31m\\u202eevil",
        ),
    ] {
        let gateway = answering(status, body).await;
        let done = tokio::process::Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
            .args(command)
            .args(["--admin", &gateway.to_string()])
            .env_clear()
            .output();
        let done = done.await.unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert!(said.contains(shown), "{command:?}: {said:?}");
    }
}
