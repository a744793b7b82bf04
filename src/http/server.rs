//! Serves a router until it is told to stop.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ServerError {
    address: SocketAddr,
    source: std::io::Error,
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
    let failed = |source| ServerError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        let stopped = stop.clone().cancelled_owned();
        let served = axum::serve(listener, router).with_graceful_shutdown(stopped);
        tokio::select! {
            done = served => if let Err(error) = done {
                tracing::error!(%error, "http server stopped");
            },
            // A client that keeps its connection open must not keep the process.
            () = async { stop.cancelled().await; tokio::time::sleep(LINGER).await } => {}
        }
    });
    Ok(bound)
}

const LINGER: std::time::Duration = std::time::Duration::from_secs(2);
