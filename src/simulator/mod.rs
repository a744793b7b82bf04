//! The provider in miniature: for the demo, for tests, and for developing against.
//!
//! It answers as the real API is documented (or was observed) to answer, takes recipients from the
//! headers, and keeps what was delivered to whom. Every operation of the catalogue works, on state that hangs
//! together: a user, domain, rule, suppression or key that is added or changed changes what is accepted. What
//! it delivered can be asked from Rust ([`Simulator::deliveries`]) and over HTTP (`GET /_deliveries`), and is
//! shown at `/`.
//!
//! provider-api 3, provider-api 5, provider-api 7, provider-api 10

mod account;
mod answer;
mod books;
mod desks;
mod faults;
mod happenings;
mod hooks;
mod inbox;
mod ledger;
mod limits;
mod mailroom;
mod send;

pub use account::SimulatedAccount;
pub use faults::{CutWhen, Fault, ScriptedFault};
pub use happenings::{Happening, HappeningKind};
pub use mailroom::Delivery;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::http::{Bounds, ServerCertificate, ServerError, json_only, loopback_only, serve};

use ledger::Ledger;
use limits::CallLimits;
use mailroom::Mailroom;

/// A running simulator.
#[derive(Clone, Debug)]
pub struct Simulator {
    address: SocketAddr,
    world: Arc<World>,
}

/// What a simulator may be told.
#[derive(Clone, Debug, Default)]
pub struct SimulatorOptions {
    /// Serve HTTPS.
    pub certificate: Option<ServerCertificate>,
    /// Keep what was delivered in this file, between runs.
    pub state: Option<PathBuf>,
    /// Refuse calls that come too often, as the provider does.
    pub call_limits: bool,
}

/// What all calls share.
#[derive(Debug)]
struct World {
    account: Mutex<SimulatedAccount>,
    mailroom: Mutex<Mailroom>,
    delivered: watch::Sender<u64>,
    script: Mutex<Vec<ScriptedFault>>,
    calls: Mutex<BTreeMap<String, u64>>,
    /// `None`: every call is admitted.
    limits: Option<Mutex<CallLimits>>,
    /// Without the path of the API.
    base_url: OnceLock<String>,
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

    fn base_url(&self) -> &str {
        self.base_url.get().map_or("", String::as_str)
    }

    /// The account has changed: the ledger shall know.
    fn note_account(&self) {
        // Locked in this order everywhere: what is written last is what was changed last.
        let account = self.account();
        if let Some(ledger) = self.mailroom().ledger() {
            ledger.note_account(&account);
        }
    }

    /// Tells everybody who registered for it.
    fn announce(&self, delivery: &Delivery) {
        let hooks = self.hooks(delivery.subaccount.as_deref());
        if !hooks.is_empty() {
            hooks::announce(&hooks, delivery, |name| desks::header(delivery, name));
        }
    }

    fn announce_happening(&self, delivery: &Delivery, happening: &Happening) {
        let hooks = self.hooks(delivery.subaccount.as_deref());
        if !hooks.is_empty() {
            let header = |name: &str| desks::header(delivery, name);
            hooks::announce_happening(&hooks, delivery, happening, header);
        }
    }

    fn hooks(&self, subaccount: Option<&str>) -> Vec<serde_json::Map<String, serde_json::Value>> {
        let mut account = self.account();
        let records = account.books_named(subaccount).webhooks.records();
        records.cloned().collect()
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

    /// Starts with options.
    ///
    /// # Errors
    /// When the address can't be bound, or a file can't be used.
    pub async fn start_with(
        address: SocketAddr,
        mut account: SimulatedAccount,
        options: SimulatorOptions,
        stop: CancellationToken,
    ) -> Result<Self, ServerError> {
        let mailroom = match &options.state {
            None => Mailroom::default(),
            Some(path) => {
                let (ledger, contents) =
                    Ledger::open(path).map_err(|source| ServerError::File {
                        path: path.clone(),
                        source,
                    })?;
                if let Some(known) = contents.account {
                    account.books = known.books;
                    account.subaccounts = known.subaccounts;
                }
                for delivery in &contents.deliveries {
                    if let Some(id) = &delivery.schedule_id {
                        let books = account.books_named(delivery.subaccount.as_deref());
                        books.scheduled.remove(id);
                    }
                }
                Mailroom::with_ledger(ledger, contents.deliveries, contents.happenings)
            }
        };
        let certificate = options.certificate.as_ref();
        let world = Arc::new(World {
            account: Mutex::new(account),
            mailroom: Mutex::new(mailroom),
            delivered: watch::Sender::new(0),
            script: Mutex::default(),
            calls: Mutex::default(),
            limits: options.call_limits.then(Mutex::default),
            base_url: OnceLock::new(),
        });
        let router = router(Arc::clone(&world), address.ip().is_loopback());
        let address = serve(address, certificate, router, BOUNDS, stop.clone()).await?;
        let scheme = if certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let base_url = world
            .base_url
            .get_or_init(|| format!("{scheme}://{address}"));
        tracing::debug!(base_url, "simulator ready");
        tokio::spawn(send_scheduled(Arc::clone(&world), stop));
        Ok(Self { address, world })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `accounts.default.api_url` must say.
    pub fn api_url(&self) -> String {
        format!("{}/v3", self.world.base_url())
    }

    /// The mails delivered so far, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.world.mailroom().deliveries()
    }

    /// Changes the account, as its owner would on the provider's site.
    pub fn change_account(&self, change: impl FnOnce(&mut SimulatedAccount)) {
        change(&mut self.world.account());
    }

    /// Lets something happen to a mail that was delivered.
    ///
    /// # Errors
    /// When there is no such mail, or it was not delivered to that recipient.
    pub fn happen(&self, happening: Happening) -> Result<(), String> {
        happenings::happen(&self.world, happening)
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

/// Mail that was scheduled leaves on time, give or take a moment.
async fn send_scheduled(world: Arc<World>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        send::send_due(&world, Clock.wall());
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(SCHEDULE_TICK) => {}
        }
    }
}

const SCHEDULE_TICK: Duration = Duration::from_millis(200);

/// Gateways under test call sixteen times at once, each.
const BOUNDS: Bounds = Bounds {
    connections: 256,
    // A mail of the provider's largest size, as JSON, and a batch of them.
    body_octets: 512 * 1024 * 1024,
    // Connections that clients open in reserve are not closed while they count on them.
    head: Duration::from_secs(35),
    ..Bounds::DEFAULT
};

fn router(world: Arc<World>, loopback: bool) -> Router {
    let api = || post(desks::answer).patch(desks::answer).get(desks::answer);
    let router = Router::new()
        .route("/v3/{*path}", api())
        // One vendor client joins its parts with a slash too many (provider-api 15).
        .route("//{*path}", api())
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&world),
            faults::inject,
        ))
        .route("/", get(inbox::show))
        .route(
            "/_faults",
            get(faults::show).merge(post(faults::set).layer(middleware::from_fn(json_only))),
        )
        .route(
            "/_events",
            post(happenings::take).layer(middleware::from_fn(json_only)),
        )
        .route(
            "/_sms",
            post(desks::receive_sms).layer(middleware::from_fn(json_only)),
        )
        .route("/_deliveries", get(list))
        .route("/_deliveries/{email_id}/raw", get(raw))
        .fallback(answer::not_found)
        .layer(DefaultBodyLimit::disable())
        .with_state(world);
    // Beyond this machine it has whatever name it was given.
    if loopback {
        router.layer(middleware::from_fn(loopback_only))
    } else {
        router
    }
}

async fn list(State(world): State<Arc<World>>) -> Response {
    axum::Json(world.mailroom().deliveries()).into_response()
}

async fn raw(State(world): State<Arc<World>>, Path(email_id): Path<String>) -> Response {
    match world.mailroom().raw(&email_id) {
        Some(raw) => {
            let file = format!("attachment; filename=\"{email_id}.eml\"");
            let headers = [
                ("content-type", "message/rfc822".to_owned()),
                ("content-disposition", file),
            ];
            (headers, raw).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
