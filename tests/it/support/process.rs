//! The real binary as a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::eventually;
use super::site::KEY;

pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) smtp: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<String>>,
    reading: tokio::task::JoinHandle<()>,
}

impl Process {
    pub(crate) async fn start(data_dir: &Path, api_url: &str) -> Self {
        Self::start_with(data_dir, api_url, &[], &[]).await
    }

    /// With more arguments and environment; an empty value takes a variable away.
    pub(crate) async fn start_with(
        data_dir: &Path,
        api_url: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"));
        Self::start_by(command, data_dir, api_url, arguments, environment).await
    }

    /// Behind these commands of the shell, such as `ulimit -n 256`.
    pub(crate) async fn start_behind(shell: &str, data_dir: &Path, api_url: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(format!("{shell}; exec \"$0\" \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_smtp2go-gateway"));
        Self::start_by(command, data_dir, api_url, &[], &[]).await
    }

    async fn start_by(
        mut command: Command,
        data_dir: &Path,
        api_url: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        command
            .arg("run")
            .args(arguments)
            .env_clear()
            .env("S2G__DATA_DIR", data_dir)
            .env("S2G__LISTENERS__LAN__BIND", "127.0.0.1:0")
            .env("S2G__ADMIN__BIND", "127.0.0.1:0")
            .env("S2G__LOG__FORMAT", "json")
            .env("S2G__FORWARD__CONFIRM_AFTER", "100ms")
            .env("S2G__FORWARD__RETRY_FIRST", "50ms")
            .env("S2G__ACCOUNTS__DEFAULT__API_URL", api_url)
            .env("SMTP2GO_API_KEY", KEY)
            .envs(environment.iter().copied());
        for (name, _) in environment.iter().filter(|(_, value)| value.is_empty()) {
            command.env_remove(name);
        }
        let mut child = command
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut smtp, mut text) = (None, String::new());
        let admin = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .unwrap_or_else(|| panic!("it stopped: {text}"));
            text.push_str(&line);
            let event: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
            if let Some(address) = event["address"].as_str() {
                smtp = Some(address.parse().unwrap());
            }
            if let Some(admin) = event["admin"].as_str() {
                break admin.parse().unwrap();
            }
        };
        let log = Arc::new(Mutex::new(text));
        let shared = Arc::clone(&log);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = shared.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self {
            child,
            smtp: smtp.expect("the SMTP address comes first"),
            admin,
            log,
            reading,
        }
    }

    /// Waits for these words in the log; returns all of it.
    pub(crate) async fn says(&self, words: &str) -> String {
        eventually(words, async || {
            let log = self.log.lock().unwrap().clone();
            log.contains(words).then_some(log)
        })
        .await
    }

    /// SIGKILL: no handler, no goodbye.
    pub(crate) async fn kill(mut self) -> String {
        self.child.kill().await.unwrap();
        self.reading.await.unwrap();
        self.log.lock().unwrap().clone()
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn stop(&mut self) -> std::process::ExitStatus {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").arg(&id).status().await.unwrap();
        assert!(sent.success());
        let ended = tokio::time::timeout(std::time::Duration::from_secs(30), self.child.wait());
        ended.await.expect("it stops within 30 s").unwrap()
    }
}
