//! What keeping the provider's rules costs: 200,000 suppressions and 5,000 users.
//!
//! `cargo bench --bench rules` starts the real gateway against a provider that serves them from memory, and prints how
//! long the first fetch, a refresh and a start without the provider take, how much memory they cost beside a gateway
//! that fetches nothing, and how many decisions a second policy makes by them on one thread.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark that can't go on has failed; printing is what it is for"
)]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::routing::post;
use serde_json::{Value, json};
use smtp2go_gateway::clock::Timestamp;
use smtp2go_gateway::mail::{HeaderSender, Mailbox, ReversePath, SessionFacts, SessionId};
use smtp2go_gateway::policy::Policy;
use smtp2go_gateway::rules::{
    AccountRules, Confirmed, Domains, ListenerRule, Rules, Section, SenderList, SingleSenders,
    SuppressionReason, Suppressions,
};

const SUPPRESSIONS: usize = 200_000;
const USERS: usize = 5_000;
const PAGE: usize = 1_000;

#[tokio::main]
async fn main() {
    let directory = std::env::temp_dir().join(format!("rules-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let provider = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api_url = format!("http://{}/v3", provider.local_addr().unwrap());
    let answers = Arc::new(Answers::new());
    let router = Router::new()
        .route("/v3/{*path}", post(answer))
        .with_state(answers);
    let server = tokio::spawn(async move { axum::serve(provider, router).await });

    let bare = Gateway::start(&directory.join("bare"), &api_url, false).await;
    let base = bare.memory();
    bare.stop();

    let data = directory.join("data");
    let began = Instant::now();
    let gateway = Gateway::start(&data, &api_url, true).await;
    gateway.knows(SUPPRESSIONS, USERS).await;
    println!("first fetch:      {:>7.0} ms", ms(began));
    println!(
        "memory, settled:  {:>7.1} MB above a gateway without rules ({base:.1} MB)",
        gateway.memory() - base
    );
    println!(
        "memory, peak:     {:>7.1} MB above it",
        gateway.peak() - base
    );
    let began = Instant::now();
    gateway.sync().await;
    println!(
        "refresh:          {:>7.0} ms, nine sections, nothing new",
        ms(began)
    );
    println!(
        "memory, peak:     {:>7.1} MB above it",
        gateway.peak() - base
    );
    gateway.stop();
    server.abort();
    drop(server.await);

    let began = Instant::now();
    let gateway = Gateway::start(&data, &api_url, true).await;
    println!(
        "start offline:    {:>7.0} ms until mail is accepted by all of them",
        ms(began)
    );
    gateway.knows(SUPPRESSIONS, USERS).await;
    println!(
        "memory, settled:  {:>7.1} MB above a gateway without rules",
        gateway.memory() - base
    );
    println!(
        "memory, peak:     {:>7.1} MB above it",
        gateway.peak() - base
    );
    gateway.stop();
    std::fs::remove_dir_all(&directory).unwrap();
    decisions();
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

/// What the provider says, written down once.
struct Answers {
    pages: Vec<String>,
    users: String,
}

impl Answers {
    fn new() -> Self {
        let last = SUPPRESSIONS / PAGE - 1;
        let pages = (0..=last).map(|page| {
            let entry = |n: usize| {
                json!({
                    "email_address": format!("recipient-{n}@customer-{}.example", n % 977),
                    "reason": "bounce", "block_description": "550 5.1.1 User unknown", "complaint": "",
                    "subject": null, "timestamp": "2026-11-14 07:54:45",
                })
            };
            let results: Vec<Value> = (page * PAGE..(page + 1) * PAGE).map(entry).collect();
            let token = (page < last).then(|| (page + 1).to_string());
            let data = json!({
                "results": results, "continue_token": token, "total_results": SUPPRESSIONS,
            });
            json!({ "request_id": "r", "data": data }).to_string()
        });
        let user = |n: usize| {
            json!({
                "username": format!("printer-{n}"), "email_password": format!("not-a-real-secret-{n}"),
                "sending_allowed": true, "status": "allowed", "custom_ratelimit": false,
                "custom_ratelimit_value": null, "custom_ratelimit_period": "0:00:00",
                "description": "second floor",
            })
        };
        let users: Vec<Value> = (0..USERS).map(user).collect();
        let data = json!({ "results": users });
        Self {
            pages: pages.collect(),
            users: json!({ "request_id": "r", "data": data }).to_string(),
        }
    }
}

async fn answer(
    State(answers): State<Arc<Answers>>,
    UrlPath(path): UrlPath<String>,
    body: String,
) -> String {
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    let data = match path.as_str() {
        "users/smtp/view" => return answers.users.clone(),
        "suppression/view" => {
            // Since a while ago there is nothing new.
            if request["start_date"] != "2000-01-01" {
                json!({ "results": [], "continue_token": null, "total_results": 0 })
            } else {
                let page = request["continue_token"].as_str().unwrap_or("0");
                return answers.pages[page.parse::<usize>().unwrap()].clone();
            }
        }
        "allowed_senders/view" => json!({ "mode": "disabled", "allowed_senders": [] }),
        "allowed_recipients/view" => json!({ "enabled": false, "allowed_recipients": [] }),
        "domain/view" => json!({
            "domains": [{ "domain": { "fulldomain": "example.com", "dkim_verified": true } }],
        }),
        "single_sender_emails/view" => json!({ "senders": [] }),
        "ip_allow_list/view" => json!({ "enabled": false, "ip_addresses": [] }),
        _ => json!({ "results": [] }),
    };
    json!({ "request_id": "r", "data": data }).to_string()
}

/// The real one, in a process of its own.
struct Gateway {
    process: Child,
    admin: SocketAddr,
}

impl Gateway {
    async fn start(data: &Path, api_url: &str, sync: bool) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
            .arg("run")
            .env("S2G__DATA_DIR", data)
            .env("S2G__LISTENERS__LAN__BIND", "127.0.0.1:0")
            .env("S2G__LISTENERS__LAN__TLS", "none")
            .env("S2G__ADMIN__BIND", "127.0.0.1:0")
            .env("S2G__LOG__FORMAT", "json")
            .env("S2G__SYNC__ENABLED", sync.to_string())
            .env("S2G__SYNC__INTERVAL", "1h")
            .env("S2G__ACCOUNTS__DEFAULT__API_URL", api_url)
            .env("SMTP2GO_API_KEY", "api-BENCH000000000000000000000000000")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(process.stderr.take().unwrap());
        let admin = loop {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
            assert!(!line.is_empty(), "the gateway stopped");
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(admin) = entry["admin"].as_str() {
                break admin.parse().unwrap();
            }
        };
        // The rest must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { process, admin }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = reqwest::get(format!("http://{}{path}", self.admin)).await;
        serde_json::from_slice(&answer.unwrap().bytes().await.unwrap()).unwrap()
    }

    async fn knows(&self, suppressions: usize, users: usize) {
        loop {
            let sections = self.get("/api/rules").await;
            let entries = |name: &str| {
                let mut sections = sections.as_array().unwrap().iter();
                let found = sections.find(|section| section["section"] == name).unwrap();
                found["entries"].as_u64().unwrap() as usize
            };
            if entries("suppressions") == suppressions && entries("users") == users {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn sync(&self) {
        let url = format!("http://{}/api/rules/sync", self.admin);
        let request = reqwest::Client::new().post(url);
        let answer = request
            .header("content-type", "application/json")
            .send()
            .await;
        assert!(answer.unwrap().status().is_success());
    }

    fn memory(&self) -> f64 {
        self.status("VmRSS:")
    }

    fn peak(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// MB
    fn status(&self, field: &str) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
            / 1000.0
    }

    fn stop(mut self) {
        let id = self.process.id().to_string();
        Command::new("kill").arg(id).status().unwrap();
        self.process.wait().unwrap();
    }
}

/// Connect, sign-in, sender, recipient and message of one mail, over and over.
fn decisions() {
    let now = Timestamp(1_795_400_000_000);
    fn section<T>(value: T, now: Timestamp) -> Section<T> {
        Section::known(Arc::new(value), Confirmed::new(now))
    }
    let suppressed = (0..SUPPRESSIONS).map(|n| {
        let entry = format!("recipient-{n}@customer-{}.example", n % 977);
        (entry, SuppressionReason::Bounce)
    });
    let account = AccountRules {
        allowed_senders: section(SenderList::default(), now),
        domains: section(Domains([("example.com".into(), true)].into()), now),
        single_senders: section(SingleSenders::default(), now),
        suppressions: section(suppressed.collect::<Suppressions>(), now),
        ..AccountRules::default()
    };
    let mut rules = Rules::default();
    let listener = ListenerRule {
        account: "default".into(),
        trust: vec!["10.0.0.0/8".parse().unwrap()],
        require_tls: false,
    };
    rules.listeners.insert("lan".into(), listener);
    rules.accounts.insert("default".into(), Arc::new(account));
    let facts = SessionFacts::new(SessionId(1), "lan".into(), "10.0.5.17:1".parse().unwrap());
    let sender = Mailbox::parse("scan@example.com").unwrap();
    let reverse_path = ReversePath::Mailbox(sender.clone());
    let header = HeaderSender::Addresses(vec![sender]);
    let recipients: Vec<Mailbox> = (0..1000)
        .map(|n| {
            let mut text = String::new();
            write!(text, "somebody-{n}@customer-{n}.example").unwrap();
            Mailbox::parse(&text).unwrap()
        })
        .collect();
    let began = Instant::now();
    let mut mails = 0_u64;
    while began.elapsed() < Duration::from_secs(2) {
        for recipient in &recipients {
            let policy = Policy::new(&rules, &facts, now);
            let submitter = policy.submitter().unwrap();
            policy.sender(&submitter, &reverse_path).unwrap();
            policy.recipient(&submitter, recipient).unwrap();
            policy.message(&submitter, &reverse_path, &header).unwrap();
            mails += 1;
        }
    }
    let rate = mails as f64 / began.elapsed().as_secs_f64();
    println!(
        "decisions:        {:>7.0} mails a second on one thread, four decisions each",
        rate
    );
}
