//! The gateway and the simulator as processes of their own, and what the system says about them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

pub(crate) const KEY: &str = "api-BENCH000000000000000000000000000";
/// Nobody listens there: mail is accepted and waits.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1/v3";

pub(crate) struct Gateway {
    child: Child,
    pub(crate) smtp: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// From the start of the process to the line that says so.
    pub(crate) ready_after: Duration,
}

impl Gateway {
    pub(crate) async fn start(data_dir: &Path, api_url: &str, settings: &[(&str, &str)]) -> Self {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
            .arg("run")
            .env_clear()
            .env("S2G__DATA_DIR", data_dir)
            .env("S2G__LISTENERS__LAN__BIND", "127.0.0.1:0")
            .env("S2G__LISTENERS__LAN__MAX_CONNECTIONS", "10000")
            .env("S2G__LISTENERS__LAN__MAX_CONNECTIONS_PER_ADDRESS", "10000")
            .env("S2G__ADMIN__BIND", "127.0.0.1:0")
            .env("S2G__LOG__FORMAT", "json")
            .env("S2G__ACCOUNTS__DEFAULT__API_URL", api_url)
            .env("SMTP2GO_API_KEY", KEY)
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut smtp = None;
        let admin = loop {
            let line = lines.next_line().await.unwrap().expect("it runs");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if let Some(address) = event["address"].as_str() {
                smtp = Some(address.parse().unwrap());
            }
            if let Some(admin) = event["admin"].as_str() {
                break admin.parse().unwrap();
            }
        };
        let ready_after = started.elapsed();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            child,
            smtp: smtp.unwrap(),
            admin,
            ready_after,
        }
    }

    /// `VmRSS`, `VmHWM` and so on, in KB.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Processor time so far, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(self.proc("stat")).unwrap();
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        // utime and stime, in hundredths of a second on every Linux.
        Duration::from_millis((fields[11] + fields[12]) * 10)
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id().unwrap())
    }

    /// A metric's value, added up over its labels.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> f64 {
        let url = format!("http://{}/metrics", self.admin);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        text.lines()
            .filter(|line| line.starts_with(name) && line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until so many attempts have been accepted by the provider.
    pub(crate) async fn accepted(&self, count: usize) {
        #[allow(clippy::cast_precision_loss, reason = "counts of messages")]
        let count = count as f64;
        while self.metric("gateway_attempts_total", "accepted").await < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn stop(mut self) {
        let id = self.child.id().unwrap().to_string();
        Command::new("kill").arg(id).status().await.unwrap();
        self.child.wait().await.unwrap();
    }
}

pub(crate) struct Simulator {
    _child: Child,
    pub(crate) api_url: String,
}

impl Simulator {
    pub(crate) async fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
            .args(["simulator", "--bind", "127.0.0.1:0", "--api-key", KEY])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("it runs");
        let api_url = line.split_whitespace().nth(1).unwrap().to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            _child: child,
            api_url,
        }
    }
}
