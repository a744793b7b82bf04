//! Scripted trouble: what the next calls get instead of, or on top of, an answer.
//!
//! `POST /_faults` takes a list such as
//! `[{"endpoint": "/email/mime", "times": 2, "fault": {"kind": "status", "status": 503}}]`; a test calls
//! [`super::Simulator::script`]. Faults are used up in order, `GET /_faults` shows what is left, and an
//! empty list clears it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::Cut;

use super::World;

/// One line of the script.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedFault {
    /// Only calls of this operation, such as `/email/mime`; every call where it is missing.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// For so many calls.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    pub fault: Fault,
}

/// What happens to a call.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// This answer, without looking at the request.
    Status {
        /// Such as 503.
        status: u16,
        /// Whatever it is, it need not be JSON.
        #[serde(default)]
        body: String,
        /// Seconds, as a header.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The right answer, so much later.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// The connection ends.
    Cut {
        /// When.
        when: CutWhen,
    },
    /// An answer that promises more octets than it has.
    WrongLength,
    /// The mail is refused, as HTTP 200 with these words.
    Refuse {
        /// The internal SMTP reply.
        text: String,
        /// Whether activity shows it, as events `rejected`.
        #[serde(default)]
        recorded: bool,
        /// Whether the connection ends instead of the answer.
        #[serde(default)]
        unheard: bool,
    },
    /// The mail is accepted, and the answer says that it was refused for somebody, too.
    Partly {
        /// The reply about whoever did not get it.
        text: String,
    },
    /// The right answer without these members, wherever they stand in it.
    Omit {
        /// Such as `recipient`.
        members: Vec<String>,
    },
}

/// When a connection ends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CutWhen {
    /// Before the body is read.
    Before,
    /// When half of the body was read.
    DuringBody,
    /// After the whole body was read, before anything is done.
    AfterBody,
    /// After the mail was accepted.
    AfterAccepting,
}

fn once() -> u32 {
    1
}

/// Stands in front of every operation.
pub(super) async fn inject(
    State(world): State<Arc<World>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
    next: Next,
) -> Response {
    let Some(fault) = take(&world, request.uri().path()) else {
        return next.run(request).await;
    };
    match fault {
        Fault::Status {
            status,
            body,
            retry_after,
        } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            // Read first: an answer in the middle of a request is another fault.
            drain(request).await;
            let mut answer = (status, body).into_response();
            if let Some(seconds) = retry_after {
                let seconds = HeaderValue::from(seconds);
                answer.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            answer
        }
        Fault::Delay { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            next.run(request).await
        }
        Fault::Cut { when } => {
            match when {
                CutWhen::Before => {}
                CutWhen::DuringBody => read_half(request).await,
                CutWhen::AfterBody => drop(drain(request).await),
                CutWhen::AfterAccepting => drop(next.run(request).await),
            }
            cut.cut();
            StatusCode::OK.into_response()
        }
        Fault::WrongLength => {
            drain(request).await;
            let mut answer = Response::new(Body::from_stream(futures_util::stream::iter([
                Ok("{\"data\":{"),
                Err(std::io::Error::other("as scripted")),
            ])));
            let length = HeaderValue::from_static("1000");
            answer.headers_mut().insert(header::CONTENT_LENGTH, length);
            answer
        }
        Fault::Refuse {
            text,
            recorded,
            unheard,
        } => {
            let body = drain(request).await;
            if recorded {
                super::send::record_refusal(&world, &body, &text);
            }
            if unheard {
                cut.cut();
            }
            super::answer::data(super::send::failed(&text))
        }
        Fault::Partly { text } => {
            rewritten(next.run(request).await, |answer| {
                answer["data"]["failed"] = Value::from(1);
                answer["data"]["failures"] = Value::from(vec![text]);
            })
            .await
        }
        Fault::Omit { members } => {
            rewritten(next.run(request).await, |answer| omit(answer, &members)).await
        }
    }
}

/// The same answer with another body.
async fn rewritten(answer: Response, rewrite: impl FnOnce(&mut Value)) -> Response {
    let (mut parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let body = body.unwrap_or_default();
    let body = match serde_json::from_slice(&body) {
        Ok(mut value) => {
            rewrite(&mut value);
            Body::from(value.to_string())
        }
        Err(_) => Body::from(body),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, body)
}

fn omit(value: &mut Value, members: &[String]) {
    match value {
        Value::Object(object) => {
            object.retain(|name, _| !members.contains(name));
            object.values_mut().for_each(|value| omit(value, members));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| omit(value, members)),
        _ => {}
    }
}

fn take(world: &World, path: &str) -> Option<Fault> {
    let path = path.replace("//", "/");
    let endpoint = path.strip_prefix("/v3").unwrap_or(&path);
    *world.calls().entry(endpoint.to_owned()).or_default() += 1;
    let mut script = world.script();
    let index = script.iter().position(|line| {
        let fits = line
            .endpoint
            .as_deref()
            .is_none_or(|wanted| wanted == endpoint);
        fits && line.times > 0
    })?;
    let fault = script[index].fault.clone();
    script[index].times -= 1;
    if script[index].times == 0 {
        script.remove(index);
    }
    Some(fault)
}

async fn read_half(request: Request) {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length: Option<usize> = length
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok());
    let mut body = request.into_body().into_data_stream();
    let mut read = 0;
    while read < length.unwrap_or(0) / 2
        && let Some(Ok(chunk)) = body.next().await
    {
        read += chunk.len();
    }
}

async fn drain(request: Request) -> Bytes {
    let read = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    read.unwrap_or_else(|error| {
        tracing::debug!(%error, "a request broke off");
        Bytes::new()
    })
}

/// `POST /_faults`
pub(super) async fn set(
    State(world): State<Arc<World>>,
    Json(script): Json<Vec<ScriptedFault>>,
) -> Response {
    *world.script() = script;
    show(State(world)).await
}

/// `GET /_faults`
pub(super) async fn show(State(world): State<Arc<World>>) -> Response {
    Json(world.script().clone()).into_response()
}
