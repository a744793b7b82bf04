//! One account's way to the provider.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Client, Response};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::Timestamp;
use crate::config::Secret;

use super::answer::read_data;
use super::email::SendResult;
use super::error::{ApiError, Refusal};
use super::groups::email::SendMimeEmail;
use super::operation::{Effect, Endpoint, Method, Operation};

/// Where and as whom to call.
#[derive(Clone, Debug)]
pub struct Account {
    /// Such as `https://api.smtp2go.com/v3`.
    pub base_url: String,
    /// Goes into the `X-Smtp2go-Api-Key` header.
    pub key: Secret<String>,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// To connect.
    pub connect: Duration,
    /// From the last octet sent to the answer.
    pub answer: Duration,
    /// Octets per second that the body is given.
    pub upload_rate_min: u64,
}

impl Deadlines {
    /// For a body of `octets`, everything included.
    pub fn whole(&self, octets: u64) -> Duration {
        let upload = Duration::from_secs(octets / self.upload_rate_min.max(1));
        self.connect + upload + self.answer
    }
}

/// A request body that is streamed.
pub struct Upload {
    /// The body; it must yield exactly `octets`.
    pub body: Body,
    /// Content-Length.
    pub octets: u64,
    /// Becomes true when the last octet was handed to the connection.
    pub complete: watch::Receiver<bool>,
    /// Becomes true when the body could not be read to its end.
    pub unreadable: Arc<AtomicBool>,
}

/// See the module's documentation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Provider {
    client: Client,
    base_url: String,
    /// Replaced while in use.
    key: Arc<ArcSwap<Secret<String>>>,
    /// How many keys there have been.
    keys: Arc<AtomicU64>,
    /// By how many milliseconds its clock is ahead of ours, as the last answer said; [`i64::MIN`] before the first.
    skew_ms: Arc<AtomicI64>,
    deadlines: Deadlines,
}

impl Provider {
    /// A caller for one account.
    pub fn new(client: Client, account: Account, deadlines: Deadlines) -> Self {
        Self {
            client,
            base_url: account.base_url,
            key: Arc::new(ArcSwap::from_pointee(account.key)),
            keys: Arc::default(),
            skew_ms: Arc::new(AtomicI64::new(i64::MIN)),
            deadlines,
        }
    }

    /// From the next call on, of all clones. Returns whether it is another one.
    pub fn change_key(&self, key: Secret<String>) -> bool {
        let differs = self.key.load().expose() != key.expose();
        if differs {
            self.key.store(Arc::new(key));
            self.keys.fetch_add(1, Ordering::AcqRel);
        }
        differs
    }

    /// A moment of our clock on the provider's, as far as its answers told; differences of a few seconds are those of
    /// the network and of dates that are cut to the second.
    pub fn on_its_clock(&self, at: Timestamp) -> Timestamp {
        match self.skew_ms.load(Ordering::Relaxed) {
            skew if skew == i64::MIN || skew.abs() < SKEW_MIN_MS => at,
            skew => Timestamp(at.0.saturating_add(skew)),
        }
    }

    fn note_clock(&self, response: &Response) {
        let date = response
            .headers()
            .get(DATE)
            .and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        if let Some(date) = date {
            let skew = date.timestamp().as_millisecond() - crate::clock::Clock.wall().0;
            self.skew_ms.store(skew, Ordering::Relaxed);
        }
    }

    /// Which key is in use: a number that changes with it.
    pub fn key_generation(&self) -> u64 {
        self.keys.load(Ordering::Acquire)
    }

    /// Performs an operation; the type of the request says which.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn call<E: Endpoint>(&self, request: &E) -> Result<E::Response, ApiError> {
        let body =
            serde_json::to_vec(request).map_err(|error| ApiError::Unreachable(Box::new(error)))?;
        let mut body = self
            .exchange(E::METHOD, E::PATH, body, E::REPEATABLE)
            .await?;
        if body.is_empty() {
            // Some calls answer nothing at all (provider-api 16).
            body.extend_from_slice(b"{}");
        }
        read_data::<E::Response>(&body).map(|(data, _)| data)
    }

    /// Performs an operation by its description; returns the answer's `data`, and the request id.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn perform(
        &self,
        operation: &Operation,
        request: &Value,
    ) -> Result<(Value, String), ApiError> {
        let body =
            serde_json::to_vec(request).map_err(|error| ApiError::Unreachable(Box::new(error)))?;
        let repeatable = operation.effect == Effect::Read;
        let body = self
            .exchange(operation.method, operation.path, body, repeatable)
            .await?;
        if body.is_empty() {
            // Some calls answer nothing at all (provider-api 16).
            return Ok((Value::Null, String::new()));
        }
        read_data::<Value>(&body)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        repeatable: bool,
    ) -> Result<Vec<u8>, ApiError> {
        let octets = body.len() as u64;
        // Whether the body left can't be seen here: it is given the time that a slow line needs.
        let upload = Duration::from_secs(octets / self.deadlines.upload_rate_min.max(1));
        let left = async move {
            sleep(upload).await;
            !repeatable
        };
        let (_, body) = self
            .send(method, path, Body::from(body), octets, left)
            .await?;
        Ok(body)
    }

    /// Streams a message to `/email/mime`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn send_mime(&self, upload: Upload) -> Result<SendResult, ApiError> {
        let Upload {
            body,
            octets,
            mut complete,
            unreadable,
        } = upload;
        let state = complete.clone();
        let finished = async move {
            // The sender of the flag goes with the body; then the last value stands.
            let done = complete.wait_for(|complete| *complete).await;
            done.is_ok()
        };
        let sent = self
            .send(Method::Post, SendMimeEmail::PATH, body, octets, finished)
            .await;
        let (_, body) = match sent {
            Err(ApiError::AnswerLost(source)) if unreadable.load(Ordering::Acquire) => {
                return Err(ApiError::Unreadable(source));
            }
            Err(ApiError::AnswerLost(source)) if !*state.borrow() => {
                return Err(ApiError::Unreachable(source));
            }
            Err(ApiError::Refused(mut refusal)) => {
                refusal.body_left = *state.borrow();
                return Err(ApiError::Refused(refusal));
            }
            sent => sent?,
        };
        let (mut result, request_id) = read_data::<SendResult>(&body)?;
        result.request_id = request_id;
        Ok(result)
    }

    /// Sends a request and reads a bounded answer. `complete` ends when the body has left; its value
    /// says whether it has.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
        octets: u64,
        complete: impl Future<Output = bool>,
    ) -> Result<(u16, Vec<u8>), ApiError> {
        let url = format!("{}{path}", self.base_url);
        let secret = self.key.load_full();
        let mut key = HeaderValue::from_str(secret.expose())
            .map_err(|error| ApiError::Unreachable(Box::new(error)))?;
        key.set_sensitive(true);
        let request = match method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
            Method::Patch => self.client.patch(url),
        };
        let mut request = request.header("X-Smtp2go-Api-Key", key);
        if method != Method::Get {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .header(CONTENT_LENGTH, octets)
                .body(body);
        }
        let exchange = async {
            let response = request.send().await.map_err(Self::lost)?;
            self.note_clock(&response);
            Self::read(response, answer_octets_max(path)).await
        };
        let patience = async {
            if !complete.await {
                // The body is gone without being complete: the exchange will say why.
                std::future::pending::<()>().await;
            }
            // "Left" means handed to the system, which holds back some of it on a slow line.
            let held_back = octets.min(SOCKET_OCTETS_MAX) / self.deadlines.upload_rate_min.max(1);
            sleep(self.deadlines.answer + Duration::from_secs(held_back)).await;
        };
        let (status, retry_after, body) = tokio::select! {
            answer = exchange => answer?,
            () = patience => return Err(too_slow("no answer in time")),
            () = sleep(self.deadlines.whole(octets)) => return Err(too_slow("the call took too long")),
        };
        let body = without_key(body, secret.expose());
        if (200..300).contains(&status) && !carries_error(&body) {
            Ok((status, body))
        } else {
            let refusal = Refusal::read(status, &body, retry_after);
            Err(ApiError::Refused(Box::new(refusal)))
        }
    }

    async fn read(
        mut response: Response,
        octets_max: usize,
    ) -> Result<(u16, Option<Duration>, Vec<u8>), ApiError> {
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(read_retry_after);
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                // The status alone decides where it is not a success.
                Err(_) if status >= 300 => break,
                Err(error) => return Err(ApiError::AnswerLost(Box::new(error.without_url()))),
            }
            if status >= 300 && body.len() > REFUSAL_OCTETS_MAX {
                break;
            }
            if body.len() > octets_max {
                let why = format!("over {octets_max} octets: ask for less at once");
                let request_id = String::new();
                return Err(ApiError::Unintelligible { why, request_id });
            }
        }
        Ok((status, retry_after, body))
    }

    /// Without a connection nothing can have arrived; otherwise the caller knows how far it came.
    fn lost(error: reqwest::Error) -> ApiError {
        let never_sent = error.is_connect() || error.is_builder();
        let error = error.without_url();
        if never_sent {
            ApiError::Unreachable(Box::new(error))
        } else {
            ApiError::AnswerLost(Box::new(error))
        }
    }
}

/// An answer may quote our key; what is read from it may be logged.
fn without_key(body: Vec<u8>, key: &str) -> Vec<u8> {
    if key.is_empty() || memchr::memmem::find(&body, key.as_bytes()).is_none() {
        return body;
    }
    String::from_utf8_lossy(&body)
        .replace(key, "(api key)")
        .into_bytes()
}

fn too_slow(what: &'static str) -> ApiError {
    ApiError::AnswerLost(what.into())
}

/// Some 200 answers carry an error and nothing else (provider-api 3).
fn carries_error(body: &[u8]) -> bool {
    if body.len() > REFUSAL_OCTETS_MAX {
        // No error is that long; reading it twice would cost as much as reading it.
        return false;
    }
    let root: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let member = |name: &str| match &root["data"][name] {
        Value::Null => root[name].clone(),
        found => found.clone(),
    };
    let says_something = |name: &str| member(name).as_str().is_some_and(|text| !text.is_empty());
    let is_result = ["succeeded", "failed"]
        .iter()
        .any(|name| !member(name).is_null())
        || says_something("email_id");
    !is_result && (says_something("error_code") || says_something("error"))
}

/// Seconds, or an HTTP date.
fn read_retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Timestamp(at.as_millisecond()).since(crate::clock::Clock.wall()))
}

/// Smaller differences are not told from delays.
const SKEW_MIN_MS: i64 = 5_000;

/// More than the system buffers for one connection by default.
const SOCKET_OCTETS_MAX: u64 = 4 * 1024 * 1024;

/// How long an answer may be: many times what a real one has.
fn answer_octets_max(path: &str) -> usize {
    match path {
        // A few hundred octets.
        "/email/send" | "/email/mime" | "/api_keys/permissions" => 64 * 1024,
        // A thousand times that.
        "/email/batch" => 1_000_000,
        // A page of a thousand events with their headers, or of as many mails and templates.
        "/activity/search"
        | "/archive/search"
        | "/email/search"
        | "/email/scheduled/search"
        | "/template/search" => 32_000_000,
        // A page of rules: five thousand users, or fifty thousand suppressions.
        _ => 8_000_000,
    }
}

/// Whatever follows, it is a refusal.
const REFUSAL_OCTETS_MAX: usize = 64 * 1024;
