//! The door for operators: health, metrics, the API behind the commands, and a page for people.
//!
//! Without a token it answers only requests that name a loopback host, so that no web page can reach
//! it through somebody's browser; with a token every request but the health checks must carry it.

mod page;
mod rules;

pub use rules::WhyQuestion;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::config::Secret;
use crate::http::{Bounds, ServerError, json_only, names_loopback, serve};
use crate::journal::{ErrorChain, Journal};
use crate::mail::SpoolId;
use crate::spool::{OperatorAction, Shortage, Space, Spool, SpoolError, State as DispatchState};
use crate::sync::{Publisher, SyncHandle};
use crate::telemetry;

/// The door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    parts: Arc<AdminParts>,
    journal: Journal,
}

/// What the door shows.
#[derive(Debug)]
pub struct AdminParts {
    /// What is stored.
    pub spool: Spool,
    /// Whether there is room for mail.
    pub space: Space,
    /// For ages.
    pub clock: Clock,
    /// The greeted name.
    pub hostname: String,
    /// Required where there is one.
    pub token: Option<Secret<String>>,
    /// Whether all listeners accept.
    pub accepting: Arc<AtomicBool>,
    /// The rules in force.
    pub rules: Publisher,
    /// Whoever keeps them fresh, by account.
    pub synchronisers: Vec<SyncHandle>,
    /// Who has which user name.
    pub authenticator: Arc<ArcSwap<Authenticator>>,
}

impl Admin {
    /// A door that is not open yet.
    pub fn new(parts: AdminParts) -> Self {
        Self {
            parts: Arc::new(parts),
            journal: Journal,
        }
    }

    /// Opens the door; returns the bound address.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(
        self,
        address: SocketAddr,
        stop: CancellationToken,
    ) -> Result<SocketAddr, ServerError> {
        let guarded = Router::new()
            .route("/", get(front))
            .route("/metrics", get(metrics))
            .route("/api/queue", get(list))
            .route("/api/queue/{id}", get(show))
            .route("/api/queue/{id}/raw", get(export))
            .route(
                "/api/queue/{id}/{order}",
                post(order).layer(middleware::from_fn(json_only)),
            )
            .route("/api/trace/{id}", get(show))
            .route("/api/rules", get(rules::show))
            .route(
                "/api/rules/sync",
                post(rules::sync).layer(middleware::from_fn(json_only)),
            )
            .route(
                "/api/rules/diff",
                post(rules::diff).layer(middleware::from_fn(json_only)),
            )
            .route("/api/rules/{account}/{section}", get(rules::entries))
            .route("/api/refusals", get(rules::refusals))
            .route("/api/why", post(rules::why))
            .layer(middleware::from_fn_with_state(self.clone(), guard));
        let open = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready));
        serve(
            address,
            None,
            guarded.merge(open).with_state(self),
            Bounds::DEFAULT,
            stop,
        )
        .await
    }
}

impl Admin {
    fn lets_in(&self, request: &Request) -> bool {
        let Some(token) = &self.parts.token else {
            return names_loopback(request);
        };
        let given = request.headers().get(header::AUTHORIZATION);
        given
            .and_then(|given| given.to_str().ok()?.strip_prefix("Bearer "))
            .is_some_and(|given| {
                verify_slices_are_equal(given.as_bytes(), token.expose().as_bytes()).is_ok()
            })
    }
}

async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    if admin.lets_in(&request) {
        return next.run(request).await;
    }
    let (status, error) = match admin.parts.token {
        Some(_) => (
            StatusCode::UNAUTHORIZED,
            "send the admin token as Authorization: Bearer",
        ),
        None => (
            StatusCode::FORBIDDEN,
            "without a token only 127.0.0.1 or localhost may be named",
        ),
    };
    (status, Json(json!({ "error": error }))).into_response()
}

/// Whether mail can be accepted, by rules that are not too old, and why not. Whether the provider can be reached now is a
/// metric, not readiness.
async fn ready(State(admin): State<Admin>) -> Response {
    let accepting = admin.parts.accepting.load(Ordering::Acquire);
    let probed = tokio::time::timeout(PROBE_MAX, admin.parts.spool.probe()).await;
    let writable = matches!(&probed, Ok(Ok(())));
    let stale = admin.stale_rules();
    let unknown = admin.awaited_rules();
    let mut reasons = Vec::new();
    if !accepting {
        reasons.push("the listeners do not accept mail".to_owned());
    }
    match probed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(format!(
            "the spool can't be written: {}",
            ErrorChain(&error)
        )),
        Err(_) => reasons.push("the spool does not answer".to_owned()),
    }
    if let Some(shortage) = admin.no_room() {
        reasons.push(format!("every mail is turned away: {shortage}"));
    }
    if !stale.is_empty() {
        reasons.push(format!("rules are too old: {}", stale.join(", ")));
    }
    if !unknown.is_empty() {
        reasons.push(format!("rules are not known yet: {}", unknown.join(", ")));
    }
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let state = json!({
        "ready": ready, "reasons": reasons, "listeners_accepting": accepting, "spool_writable": writable,
        "stale_rules": stale,
    });
    (status, Json(state)).into_response()
}

impl Admin {
    /// Why no account's mail is taken; `None` where one account's is.
    fn no_room(&self) -> Option<Shortage> {
        let rules = self.parts.rules.rules();
        let mut why = None;
        for account in rules.forwarding_accounts() {
            match self.parts.space.check_account(account) {
                Ok(()) => return None,
                Err(shortage) => why = Some(shortage),
            }
        }
        why
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let counts = admin.parts.spool.counts();
    for state in DispatchState::ALL
        .into_iter()
        .filter(|state| !state.is_settled())
    {
        let gauge = metrics::gauge!(telemetry::QUEUE_DISPATCHES, "state" => state.word());
        gauge.set(counts.of(state) as f64);
    }
    metrics::gauge!(telemetry::SPOOL_OCTETS).set(admin.parts.spool.used_octets() as f64);
    if let Ok(oldest) = admin.parts.spool.oldest_unsettled().await {
        let age = oldest.map_or(Duration::ZERO, |oldest| {
            admin.parts.clock.wall().since(oldest)
        });
        metrics::gauge!(telemetry::QUEUE_OLDEST).set(age.as_secs_f64());
    }
    admin.measure_rules();
    let text = telemetry::metrics().render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    all: bool,
    before: Option<SpoolId>,
    limit: Option<u32>,
}

async fn list(State(admin): State<Admin>, Query(listing): Query<Listing>) -> Response {
    let limit = listing.limit.unwrap_or(100).min(LIST_MAX);
    match admin
        .parts
        .spool
        .list(listing.all, listing.before, limit)
        .await
    {
        Ok(rows) => Json(rows).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let id: SpoolId = match id.parse() {
        Ok(id) => id,
        Err(error) => {
            let error = json!({ "error": format!("{error}") });
            return (StatusCode::BAD_REQUEST, Json(error)).into_response();
        }
    };
    match admin.parts.spool.show(id).await {
        Ok(Some(record)) => Json(record).into_response(),
        Ok(None) => {
            let error = json!({ "error": format!("no message {id} in the spool") });
            (StatusCode::NOT_FOUND, Json(error)).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

/// `retry`, `hold`, `release` or `drop`.
async fn order(
    State(admin): State<Admin>,
    Path((id, order)): Path<(SpoolId, OperatorAction)>,
) -> Response {
    match admin.parts.spool.order(id, order).await {
        Ok(0) => {
            let error = format!("message {id} has nothing that could be {}", order.word());
            (StatusCode::CONFLICT, Json(json!({ "error": error }))).into_response()
        }
        Ok(count) => {
            admin.journal.ordered(&id, order.word(), count);
            Json(json!({ "dispatches": count })).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

/// The message as it is stored: with our trace headers, before the plan's edits.
async fn export(State(admin): State<Admin>, Path(id): Path<SpoolId>) -> Response {
    let stored = match admin.parts.spool.stored(id).await {
        Ok(Some(stored)) => stored,
        Ok(None) => {
            let error = format!("no content of message {id}: unknown, or settled and deleted");
            return (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response();
        }
        Err(error) => return unavailable(&error),
    };
    let head = [stored.head.as_ref(), b"\r\n"].concat();
    let body = stream::try_unfold((Some(head), stored), |(head, mut stored)| async move {
        match head {
            Some(head) => Ok(Some((bytes::Bytes::from(head), (None, stored)))),
            None => {
                let chunk = stored.next_chunk().await?;
                Ok::<_, SpoolError>(chunk.map(|chunk| (chunk, (None, stored))))
            }
        }
    });
    (
        [
            (header::CONTENT_TYPE, "message/rfc822".to_owned()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{id}.eml\""),
            ),
        ],
        Body::from_stream(body),
    )
        .into_response()
}

async fn front(State(admin): State<Admin>) -> Response {
    match admin.parts.spool.list(true, None, 50).await {
        Ok(rows) => Html(page::front(
            &admin.parts.hostname,
            &admin.parts.spool.counts(),
            &rows,
        ))
        .into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &SpoolError) -> Response {
    let error = json!({ "error": crate::journal::ErrorChain(error).to_string() });
    (StatusCode::SERVICE_UNAVAILABLE, Json(error)).into_response()
}

const PROBE_MAX: Duration = Duration::from_secs(2);
const LIST_MAX: u32 = 1000;
