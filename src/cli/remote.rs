//! Talks to the admin API of a running gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{AdminConfig, Secret, Settings, Sources};
use crate::http::{ClientSettings, client};

use super::arguments::RemoteOptions;
use super::failure::Failure;
use super::terminal::say;

/// The running gateway, as the settings describe it.
pub(super) struct Remote {
    client: Client,
    address: SocketAddr,
    token: Option<Secret<String>>,
}

impl Remote {
    /// `--admin` overrides the address of the settings.
    pub(super) fn new(options: RemoteOptions) -> Result<Self, Failure> {
        let file = options.config.config;
        let settings = Settings::load(&Sources::from_process(file))?;
        // Only what is needed to find the gateway: its own mistakes are its own business.
        let config = AdminConfig::resolve(&settings)?;
        let settings = ClientSettings {
            connect_timeout: Duration::from_secs(3),
            ca_file: None,
            proxy: false,
        };
        Ok(Self {
            client: client(&settings).map_err(|error| Failure::of(&error))?,
            address: connectable(options.admin.unwrap_or(config.bind)),
            token: config.token,
        })
    }

    /// Gets JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let body = self.raw(path).await?;
        serde_json::from_slice(&body).map_err(|error| Failure::of(&error))
    }

    /// Gets octets.
    pub(super) async fn raw(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let url = self.url(path);
        self.succeed(self.client.get(url)).await
    }

    /// Asks with a question in JSON; the answer is JSON, too.
    pub(super) async fn ask<Q: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(question).map_err(|error| Failure::of(&error))?;
        let request = self.client.post(self.url(path));
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let answer = self.succeed(request).await?;
        serde_json::from_slice(&answer).map_err(|error| Failure::of(&error))
    }

    /// Orders something.
    pub(super) async fn post(&self, path: &str) -> Result<(), Failure> {
        let request = self.client.post(self.url(path));
        let request = request.header("content-type", "application/json");
        self.succeed(request).await.map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn succeed(&self, request: RequestBuilder) -> Result<Vec<u8>, Failure> {
        let (status, body) = self.exchange(request).await?;
        if !status.is_success() {
            let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let error = answer["error"].as_str().unwrap_or("no reason given");
            let failure = Failure::new(format!("the gateway answered {status}: {error}"));
            return Err(match status {
                StatusCode::UNAUTHORIZED => failure.hint("set admin.token or admin.token_file"),
                _ => failure,
            });
        }
        Ok(body)
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Failure> {
        let exchange = async {
            let response = self.signed(request).send().await?;
            let status = response.status();
            Ok((status, response.bytes().await?.to_vec()))
        };
        match tokio::time::timeout(ANSWER_MAX, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.unreachable(error)),
            Err(_) => Err(Failure::new(format!(
                "no answer from http://{}",
                self.address
            ))),
        }
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let words = format!("cannot reach the gateway at http://{}", self.address);
        tracing::debug!(%error, "admin call failed");
        Failure::new(words).hint("is it running? --admin or admin.bind say where it is")
    }
}

/// Looking at all rules of all accounts takes its time.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// `health`: exit code 0 when mail is accepted.
pub(super) async fn health(options: RemoteOptions) -> Result<(), Failure> {
    let remote = Remote::new(options)?;
    let (status, body) = remote
        .exchange(remote.client.get(remote.url("/readyz")))
        .await?;
    let body = String::from_utf8_lossy(&body);
    if status.is_success() {
        say(&format!("{body}\n"))
    } else {
        Err(Failure::new(format!("not ready: {body}")))
    }
}

/// An address that means "any" can be listened on, but not connected to.
fn connectable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
