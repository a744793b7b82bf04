//! The provider in miniature: for the demo, for tests, and for developing against.
//!
//! It answers as the real API is documented (or was observed) to answer, takes recipients from the
//! headers, and keeps what was delivered to whom. What it delivered can be asked from Rust
//! ([`Simulator::deliveries`]) and over HTTP (`GET /_deliveries`).
//!
//! NOTES sections 3, 5, 7, 10

mod account;
mod activity;
mod answer;
mod faults;
mod keys;
mod ledger;
mod mailroom;
mod send;

pub use account::SimulatedAccount;
pub use faults::{CutWhen, Fault, ScriptedFault};
pub use mailroom::Delivery;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::http::{ServerCertificate, ServerError, serve_with_cuts};

use ledger::Ledger;
use mailroom::Mailroom;

/// A running simulator.
#[derive(Clone, Debug)]
pub struct Simulator {
    address: SocketAddr,
    encrypted: bool,
    world: Arc<World>,
}

/// What a simulator may be told.
#[derive(Clone, Debug, Default)]
pub struct SimulatorOptions {
    /// Serve HTTPS.
    pub certificate: Option<ServerCertificate>,
    /// Keep what was delivered in this file, between runs.
    pub state: Option<PathBuf>,
}

/// What all calls share.
#[derive(Debug)]
struct World {
    account: Mutex<SimulatedAccount>,
    mailroom: Mutex<Mailroom>,
    delivered: watch::Sender<u64>,
    script: Mutex<Vec<ScriptedFault>>,
    calls: Mutex<BTreeMap<String, u64>>,
}

impl World {
    fn account(&self) -> MutexGuard<'_, SimulatedAccount> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self) -> MutexGuard<'_, Vec<ScriptedFault>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mailroom(&self) -> MutexGuard<'_, Mailroom> {
        self.mailroom.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulator {
    /// Starts one; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(
        address: SocketAddr,
        account: SimulatedAccount,
        stop: CancellationToken,
    ) -> Result<Self, ServerError> {
        Self::start_with(address, account, SimulatorOptions::default(), stop).await
    }

    /// The same, with more to say.
    ///
    /// # Errors
    /// When the address can't be bound, or a file can't be used.
    pub async fn start_with(
        address: SocketAddr,
        account: SimulatedAccount,
        options: SimulatorOptions,
        stop: CancellationToken,
    ) -> Result<Self, ServerError> {
        let mailroom = match &options.state {
            None => Mailroom::default(),
            Some(path) => {
                let (ledger, deliveries) =
                    Ledger::open(path).map_err(|source| ServerError::File {
                        path: path.clone(),
                        source,
                    })?;
                Mailroom::with_ledger(ledger, deliveries)
            }
        };
        let certificate = options.certificate.as_ref();
        let world = Arc::new(World {
            account: Mutex::new(account),
            mailroom: Mutex::new(mailroom),
            delivered: watch::Sender::new(0),
            script: Mutex::default(),
            calls: Mutex::default(),
        });
        let router = router(Arc::clone(&world));
        let address = serve_with_cuts(address, certificate, router, stop).await?;
        Ok(Self {
            address,
            encrypted: certificate.is_some(),
            world,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `accounts.default.api_url` must say.
    pub fn api_url(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        format!("{scheme}://{}/v3", self.address)
    }

    /// The mails delivered so far, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.world.mailroom().deliveries()
    }

    /// Changes the account, as its owner would on the provider's site.
    pub fn change_account(&self, change: impl FnOnce(&mut SimulatedAccount)) {
        change(&mut self.world.account());
    }

    /// How often this operation, such as `/email/mime`, was called; faults count.
    pub fn calls(&self, endpoint: &str) -> u64 {
        self.world.calls().get(endpoint).copied().unwrap_or(0)
    }

    /// Replaces the script of faults.
    pub fn script(&self, faults: impl IntoIterator<Item = ScriptedFault>) {
        *self.world.script() = faults.into_iter().collect();
    }

    /// Waits until at least `count` mails have been delivered in all.
    pub async fn delivered(&self, count: u64) {
        let mut delivered = self.world.delivered.subscribe();
        // The sender lives in `self`, so this can't fail.
        drop(delivered.wait_for(|seen| *seen >= count).await);
    }
}

fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/v3/email/mime", post(send::mime))
        .route("/v3/email/send", post(send::send))
        .route("/v3/activity/search", post(activity::search))
        .route("/v3/api_keys/permissions", post(keys::permissions))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&world),
            faults::inject,
        ))
        .route("/_faults", get(faults::show).post(faults::set))
        .route("/_deliveries", get(list))
        .route("/_deliveries/{email_id}/raw", get(raw))
        .fallback(answer::not_found)
        .layer(DefaultBodyLimit::disable())
        .with_state(world)
}

async fn list(State(world): State<Arc<World>>) -> Response {
    axum::Json(world.mailroom().deliveries()).into_response()
}

async fn raw(State(world): State<Arc<World>>, Path(email_id): Path<String>) -> Response {
    match world.mailroom().raw(&email_id) {
        Some(raw) => ([("content-type", "message/rfc822")], raw).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
