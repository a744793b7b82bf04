//! The HTTP client that calls the provider and the admin API.
//!
//! It never follows a redirect, because the key would go along, and never repeats a request by
//! itself, because a mail would go out twice. The proxy comes from the environment.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Certificate, Client, redirect, retry};

/// How to connect.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// Extra certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether HTTP_PROXY, HTTPS_PROXY and NO_PROXY are heeded.
    pub proxy: bool,
}

/// The client can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of certificate authorities.
    #[error("cannot read the certificate authorities in {}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
}

/// A client with pooled connections.
///
/// # Errors
/// When the certificate authorities can't be read, or the system has none at all.
pub fn client(settings: &ClientSettings) -> Result<Client, ClientError> {
    let mut builder = Client::builder()
        .user_agent(concat!("smtp2go-gateway/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .connect_timeout(settings.connect_timeout)
        // Shorter than the idle time of usual load balancers, so that a pooled connection is alive.
        .pool_idle_timeout(Duration::from_secs(30))
        .tcp_nodelay(true);
    if !settings.proxy {
        builder = builder.no_proxy();
    }
    if let Some(path) = &settings.ca_file {
        let broken = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Authorities {
            path: path.clone(),
            source,
        };
        let pem = std::fs::read(path).map_err(|error| broken(error.into()))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| broken(error.into()))?;
        if certificates.is_empty() {
            return Err(broken("no certificate in the file".into()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(ClientError::Setup)
}
