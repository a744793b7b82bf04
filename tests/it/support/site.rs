//! A gateway and a simulated provider in this process, on free ports.

use std::net::SocketAddr;
use std::path::Path;

use smtp2go_gateway::app::Gateway;
use smtp2go_gateway::config::{Config, Settings, Sources};
use smtp2go_gateway::mail::SpoolId;
use smtp2go_gateway::simulator::{Delivery, SimulatedAccount, Simulator};
use smtp2go_gateway::spool::MessageRecord;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::eventually;

pub(crate) const KEY: &str = "api-TEST0000000000000000000000000000";

pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    pub(crate) simulator: Simulator,
    directory: TempDir,
    stop_simulator: CancellationToken,
}

impl Site {
    /// With these settings on top of a listener named `lan` that trusts this machine.
    pub(crate) async fn start(settings: &str) -> Self {
        let stop_simulator = CancellationToken::new();
        let simulator = Simulator::start(
            "127.0.0.1:0".parse().unwrap(),
            SimulatedAccount::sample(KEY),
            stop_simulator.clone(),
        )
        .await
        .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), &simulator.api_url(), settings);
        Self {
            gateway: Gateway::start(&config).await.unwrap(),
            simulator,
            directory,
            stop_simulator,
        }
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.directory.path()
    }

    /// The first address of a listener.
    pub(crate) fn smtp(&self, listener: &str) -> SocketAddr {
        self.gateway.smtp()[listener][0]
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.smtp("lan")).await
    }

    /// Sends a message in a session of its own; it must be accepted.
    pub(crate) async fn send(&self, from: &str, to: &[&str], message: &str) -> SpoolId {
        let mut client = self.client().await;
        client.say("EHLO test").await.expect("250");
        client.send(from, to, message).await
    }

    /// The trace, once nothing more will happen to the message.
    pub(crate) async fn settled(&self, id: SpoolId) -> MessageRecord {
        self.record_when(id, |record| record.settled_at.is_some())
            .await
    }

    pub(crate) async fn record_when(
        &self,
        id: SpoolId,
        fits: impl Fn(&MessageRecord) -> bool,
    ) -> MessageRecord {
        let spool = self.gateway.spool();
        eventually("the message's state", async || {
            spool.show(id).await.unwrap().filter(|record| fits(record))
        })
        .await
    }

    /// What was delivered, once there are `count` mails.
    pub(crate) async fn delivered(&self, count: u64) -> Vec<Delivery> {
        let waited = tokio::time::timeout(
            std::time::Duration::from_secs(30),
            self.simulator.delivered(count),
        );
        waited.await.expect("mails were delivered in time");
        self.simulator.deliveries()
    }

    pub(crate) async fn stop(self) {
        self.gateway.stop().await;
        self.stop_simulator.cancel();
    }
}

/// A simulated provider of its own, with the sample account; it stops with the test's process.
pub(crate) async fn simulator() -> Simulator {
    let any = "127.0.0.1:0".parse().unwrap();
    let account = SimulatedAccount::sample(KEY);
    let started = Simulator::start(any, account, CancellationToken::new());
    started.await.unwrap()
}

/// A configuration as a file would give it.
pub(crate) fn config(data_dir: &Path, api_url: &str, settings: &str) -> Config {
    let text = format!(
        "hostname = \"relay.test\"\ndata_dir = {data_dir:?}\n{settings}\n\
         [accounts.default]\napi_url = {api_url:?}\napi_key = {KEY:?}\n"
    );
    let file = data_dir.join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let sources = Sources {
        built_in: vec![BASE],
        file: Some(file),
        ..Sources::default()
    };
    Config::resolve(&Settings::load(&sources).unwrap()).unwrap()
}

const BASE: &str = r#"
[listeners.lan]
bind = "127.0.0.1:0"
trust = ["127.0.0.0/8"]
[admin]
bind = "127.0.0.1:0"
[forward]
retry_first = "50ms"
retry_max = "200ms"
confirm_after = "200ms"
probe_interval = "100ms"
"#;
