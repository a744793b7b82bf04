//! What a web page, in whoever's browser, must not be able to do with our doors.

use std::net::IpAddr;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Goes with every answer: nothing is run, loaded, framed, guessed or passed on.
pub(super) fn protect(headers: &mut HeaderMap) {
    let protection = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in protection {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

/// Whether whatever names the server in this request names this machine: a page whose own name was made to point here
/// still says its own name.
pub fn names_loopback(request: &Request) -> bool {
    let host = request.headers().get(header::HOST);
    let host = host.map(|host| host.to_str().unwrap_or_default());
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let mut named = host.into_iter().chain(authority).peekable();
    named.peek().is_some() && named.all(is_loopback)
}

/// A layer for doors that only this machine is to use.
pub async fn loopback_only(request: Request, next: Next) -> Response {
    if names_loopback(&request) {
        return next.run(request).await;
    }
    let error = json!({ "error": "only 127.0.0.1 or localhost may be named" });
    (StatusCode::FORBIDDEN, Json(error)).into_response()
}

/// A layer for what changes something: a web page can't send this content type to another site without being asked for
/// permission first.
pub async fn json_only(request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::CONTENT_TYPE);
    if sent.is_some_and(|value| value.as_bytes().starts_with(b"application/json")) {
        return next.run(request).await;
    }
    let error = json!({ "error": "send Content-Type: application/json" });
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, Json(error)).into_response()
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
