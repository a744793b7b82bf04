//! Serves a router until it is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::cut::{Cut, CuttableListener};
use super::encrypted::{EncryptedListener, ServerCertificate, ServerCertificateError};

/// The server can't start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("cannot listen on {address}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A file that the server needs.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate.
    #[error("cannot serve HTTPS")]
    Certificate(#[from] ServerCertificateError),
}

/// Binds, then serves in the background; returns the bound address.
///
/// # Errors
/// When the address can't be bound.
pub async fn serve(
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
) -> Result<SocketAddr, ServerError> {
    let (listener, bound) = bind(address).await?;
    let stopped = stop.clone().cancelled_owned();
    let served = axum::serve(listener, router).with_graceful_shutdown(stopped);
    run(served.into_future(), stop);
    Ok(bound)
}

/// The same, over HTTPS where there is a certificate; and every handler may cut its connection: it extracts
/// `ConnectInfo<Cut>`.
///
/// # Errors
/// When the address can't be bound, or the certificate can't be used.
pub async fn serve_with_cuts(
    address: SocketAddr,
    certificate: Option<&ServerCertificate>,
    router: Router,
    stop: CancellationToken,
) -> Result<SocketAddr, ServerError> {
    let acceptor = certificate.map(ServerCertificate::load).transpose()?;
    let (listener, bound) = bind(address).await?;
    let stopped = stop.clone().cancelled_owned();
    let service = router.into_make_service_with_connect_info::<Cut>();
    match acceptor {
        None => {
            let served = axum::serve(CuttableListener(listener), service);
            run(served.with_graceful_shutdown(stopped).into_future(), stop);
        }
        Some(acceptor) => {
            let listener = EncryptedListener::new(listener, acceptor)
                .map_err(|source| ServerError::Address { address, source })?;
            let served = axum::serve(CuttableListener(listener), service);
            run(served.with_graceful_shutdown(stopped).into_future(), stop);
        }
    }
    Ok(bound)
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source| ServerError::Address { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn run(
    served: impl Future<Output = std::io::Result<()>> + Send + 'static,
    stop: CancellationToken,
) {
    tokio::spawn(async move {
        tokio::select! {
            done = served => if let Err(error) = done {
                tracing::error!(%error, "http server stopped");
            },
            // A client that keeps its connection open must not keep the process.
            () = async { stop.cancelled().await; tokio::time::sleep(LINGER).await } => {}
        }
    });
}

const LINGER: Duration = Duration::from_secs(2);
