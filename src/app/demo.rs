//! Gateway and simulator in one process, on loopback, with a sample account and a sample scan.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, Settings, Sources};
use crate::http::ServerError;
use crate::mail::SpoolId;
use crate::simulator::{SimulatedAccount, Simulator};

use super::gateway::{Gateway, StartError};

/// Where the demo listens and stores.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    /// SMTP; port 0 picks a free one.
    pub smtp: SocketAddr,
    /// Admin; port 0 picks a free one.
    pub admin: SocketAddr,
    /// The simulator; port 0 picks a free one.
    pub api: SocketAddr,
    /// The spool.
    pub data_dir: PathBuf,
}

/// A running demo.
#[derive(Debug)]
pub struct Demo {
    /// The gateway.
    pub gateway: Gateway,
    /// The provider in miniature.
    pub simulator: Simulator,
    stop_simulator: CancellationToken,
}

/// The demo can't start, or its sample scan was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Only this machine may reach a gateway with known passwords.
    #[error("the demo listens on loopback addresses only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The demo's settings; a variable of the environment must be at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The simulator.
    #[error("cannot start the simulator")]
    Simulator(#[from] ServerError),
    /// The gateway.
    #[error("cannot start the gateway")]
    Gateway(#[from] StartError),
    /// The SMTP dialogue with our own listener.
    #[error("cannot send the sample scan: {0}")]
    Scan(String),
}

impl Demo {
    /// Starts both.
    ///
    /// # Errors
    /// When an address is taken, or not loopback.
    pub async fn start(settings: &DemoSettings) -> Result<Self, DemoError> {
        for address in [settings.smtp, settings.admin, settings.api] {
            if !address.ip().is_loopback() {
                return Err(DemoError::NotLoopback(address));
            }
        }
        let stop_simulator = CancellationToken::new();
        let mut account = SimulatedAccount::sample(API_KEY);
        // Clients that are not told a sender use the machine's own name.
        if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
            account.verify_domain(&name.trim().to_ascii_lowercase());
        }
        let simulator = Simulator::start(settings.api, account, stop_simulator.clone()).await?;
        let flag = |key: &str, value: String| (key.to_owned(), value);
        let sources = Sources {
            built_in: vec![include_str!("../../config/demo.toml")],
            flags: vec![
                flag("listeners.demo.bind", settings.smtp.to_string()),
                flag("admin.bind", settings.admin.to_string()),
                flag("accounts.default.api_url", simulator.api_url()),
                flag("accounts.default.api_key", API_KEY.to_owned()),
                flag("data_dir", settings.data_dir.display().to_string()),
            ],
            ..Sources::default()
        };
        let config = Config::resolve(&Settings::load(&sources)?)?;
        let gateway = Gateway::start(&config).await?;
        Ok(Self {
            gateway,
            simulator,
            stop_simulator,
        })
    }

    /// The SMTP address.
    pub fn smtp(&self) -> SocketAddr {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let first = self.gateway.smtp().values().flatten().next();
        first.copied().unwrap_or(nowhere)
    }

    /// The key that the simulator takes.
    pub fn api_key(&self) -> &'static str {
        API_KEY
    }

    /// Sends the sample scan as a device would; returns the name it was given.
    ///
    /// # Errors
    /// When the gateway does not take it.
    pub async fn send_sample_scan(&self) -> Result<SpoolId, DemoError> {
        let failed = |error: std::io::Error| DemoError::Scan(error.to_string());
        let stream = TcpStream::connect(self.smtp()).await.map_err(failed)?;
        let mut stream = BufReader::new(stream);
        let mut last = String::new();
        for (send, expected) in DIALOGUE {
            stream
                .get_mut()
                .write_all(send.as_bytes())
                .await
                .map_err(failed)?;
            loop {
                last.clear();
                stream.read_line(&mut last).await.map_err(failed)?;
                if !last.starts_with(expected) {
                    return Err(DemoError::Scan(format!(
                        "{:?} was answered {last:?}",
                        send.trim()
                    )));
                }
                if last.as_bytes().get(3) != Some(&b'-') {
                    break;
                }
            }
            if send == "DATA\r\n" {
                stream.get_mut().write_all(SCAN).await.map_err(failed)?;
            }
        }
        last.clear();
        stream.read_line(&mut last).await.map_err(failed)?;
        let id = last.trim().rsplit(' ').next().unwrap_or_default();
        let id = id
            .parse()
            .map_err(|_| DemoError::Scan(format!("the end was answered {last:?}")))?;
        stream
            .get_mut()
            .write_all(b"QUIT\r\n")
            .await
            .map_err(failed)?;
        Ok(id)
    }

    /// Stops both.
    pub async fn stop(self) {
        self.gateway.stop().await;
        self.stop_simulator.cancel();
    }
}

/// What is sent, and how every line of the reply must begin.
const DIALOGUE: [(&str, &str); 6] = [
    ("", "220"),
    ("EHLO scanner-2nd-floor\r\n", "250"),
    ("MAIL FROM:<scanner@example.com>\r\n", "250"),
    ("RCPT TO:<office@example.org>\r\n", "250"),
    ("RCPT TO:<archive@example.org>\r\n", "250"),
    ("DATA\r\n", "354"),
];

/// One recipient is in its To header, the other is not: the trace shows two dispatches.
const SCAN: &[u8] = concat!(include_str!("../../config/sample-scan.eml"), ".\r\n").as_bytes();

/// Shaped like a real key; it opens nothing but the simulator in the same process.
const API_KEY: &str = "api-DEMO0000000000000000000000000000";
