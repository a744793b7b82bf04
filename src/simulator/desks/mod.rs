//! The desks where calls are answered: one a kind of thing.
//!
//! [`admit`] is what every call goes through: its size, its JSON, its key, the key's permission, and the
//! members of the request as the catalogue describes them.

mod counts;
pub(super) mod credentials;
mod extras;
mod lists;
mod reports;
mod sms;

pub(super) use counts::used_below;
pub(super) use reports::{header, header_of, within};
pub(super) use sms::receive_sms;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::clock::{Clock, Timestamp};
use crate::provider::{Effect, Field, Kind, Method, Operation, operations, read_date};

use super::World;
use super::account::SimulatedAccount;
use super::answer;
use super::send;

/// A call that may be answered.
pub(super) struct Call {
    pub(super) operation: &'static Operation,
    pub(super) request: Map<String, Value>,
    pub(super) key: String,
    pub(super) at: Timestamp,
    /// The account below the main one that it is about.
    pub(super) subaccount: Option<String>,
    /// Where the page that is asked for begins.
    page_from: usize,
}

impl Call {
    /// A text of the request; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.request
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let items = self.request.get(name).and_then(Value::as_array);
        let texts = items.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.request.get(name).and_then(Value::as_bool)
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        let number = self.request.get(name).and_then(Value::as_u64)?;
        usize::try_from(number).ok()
    }

    /// Such as `2026-11-14 07:54:45`.
    pub(super) fn stamp(&self) -> String {
        stamp(self.at)
    }
}

/// Such as `2026-11-14 07:54:45`; in this form times sort like texts.
pub(super) fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    text.replace('T', " ").chars().take(19).collect()
}

/// An answer that is no `data`.
pub(super) enum Refusal {
    /// This member does not fit.
    Member(&'static str, String),
    /// It can't be done.
    Exception(String),
    /// Too much of it for now.
    Throttled(&'static str),
    /// Too much of it for this month.
    Quota(&'static str),
}

impl Refusal {
    fn answer(self) -> Response {
        match self {
            Self::Member(field, why) => answer::invalid(field, &why),
            Self::Exception(why) => answer::error(StatusCode::BAD_REQUEST, "API_EXCEPTION", &why),
            Self::Quota(why) => answer::error(StatusCode::PAYMENT_REQUIRED, "API_EXCEPTION", why),
            Self::Throttled(why) => {
                answer::error(StatusCode::TOO_MANY_REQUESTS, "API_EXCEPTION", why)
            }
        }
    }
}

/// There is nothing of this name.
pub(super) fn unknown(what: &str, name: &str) -> Refusal {
    Refusal::Exception(format!("There is no {what} {name:?}"))
}

/// Answers any operation of the catalogue.
pub(super) async fn answer(State(world): State<Arc<World>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().replace("//", "/");
    let path = path.strip_prefix("/v3").unwrap_or(&path);
    let method = match parts.method.as_str() {
        "PATCH" => Method::Patch,
        "GET" => Method::Get,
        _ => Method::Post,
    };
    let found = operations()
        .iter()
        .find(|operation| operation.path == path && operation.method == method);
    let Some(operation) = found else {
        return answer::not_found().await;
    };
    let call = match admit(&world, operation, &parts.headers, body).await {
        Ok(call) => call,
        Err(refusal) => return refusal,
    };
    let answered = match operation.group {
        _ if operation.method == Method::Get => Ok(index()),
        "email" => send::serve(&world, &call),
        "activity" | "stats" | "archive" => reports::serve(&world, &call),
        "users" | "api-keys" | "ip-auth" => credentials::serve(&mut world.account(), &call),
        "allowed-senders" | "allowed-recipients" | "domain" | "single-senders" | "suppression"
        | "ip-allow-list" => {
            let mut account = world.account();
            lists::serve(account.books_named(call.subaccount.as_deref()), &call)
        }
        "sms" => sms::serve(&world, &call),
        _ => extras::serve(&world, &call),
    };
    // Mail is written down by itself.
    let of_mail = ["/email/send", "/email/mime", "/email/batch"].contains(&operation.path);
    if answered.is_ok() && operation.effect != Effect::Read && !of_mail {
        world.note_account();
    }
    match answered {
        Ok(data) => answer::data(data),
        Err(refusal) => refusal.answer(),
    }
}

async fn admit(
    world: &World,
    operation: &'static Operation,
    headers: &HeaderMap,
    body: Body,
) -> Result<Call, Response> {
    let octets_max = if operation.path.starts_with("/email") {
        MAIL_OCTETS_MAX
    } else {
        REQUEST_OCTETS_MAX
    };
    let body = to_bytes(body, octets_max).await.map_err(|_| {
        let text = format!("The request is larger than {octets_max} octets");
        answer::error(StatusCode::PAYLOAD_TOO_LARGE, "API_EXCEPTION", &text)
    })?;
    let request: Value = if body.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(&body).map_err(|error| answer::invalid("", &error.to_string()))?
    };
    let Value::Object(mut request) = request else {
        return Err(answer::invalid("", "an object is expected"));
    };
    let key = key(headers, &request);
    if operation.method == Method::Get {
        // The index is open to everybody.
        return Ok(Call {
            operation,
            request,
            key,
            at: Clock.wall(),
            subaccount: None,
            page_from: 0,
        });
    }
    {
        let account = world.account();
        match account.key_status(&key).as_deref() {
            Some("allowed" | "sandbox") => {}
            _ => {
                let text = "The API key is missing, unknown or disabled";
                return Err(answer::error(
                    StatusCode::UNAUTHORIZED,
                    "API_KEY_REFUSED",
                    text,
                ));
            }
        }
        let below = account.subaccount_of(&key);
        let books = below.and_then(|id| account.subaccounts.get(id));
        let allow = &books.unwrap_or(&account.books).ip_allow_api;
        // Callers are on this machine.
        let here = IpAddr::from([127, 0, 0, 1]);
        if allow.enabled && !allow.covers(here) {
            let text = "This request is coming from an IP address that isn't in the IP allow list";
            return Err(answer::error(StatusCode::FORBIDDEN, "API_EXCEPTION", text));
        }
        if !account.permits(&key, operation.path) {
            let text = "You do not have permission to access this API endpoint";
            return Err(answer::error(
                StatusCode::BAD_REQUEST,
                "ENDPOINT_PERMISSION_DENIED",
                text,
            ));
        }
    }
    if let Some(limits) = &world.limits {
        let mut limits = limits.lock().unwrap_or_else(PoisonError::into_inner);
        if !limits.admit(&key, operation.path, Clock.wall()) {
            return Err(answer::error(
                StatusCode::TOO_MANY_REQUESTS,
                "REQ_LIMIT_EXCEEDED",
                "Too many calls of this endpoint: wait a minute or more",
            ));
        }
    }
    request.remove("api_key");
    let subaccount = subaccount(&world.account(), operation, &key, &request);
    let subaccount = subaccount.map_err(Refusal::answer)?;
    // Mail clients send what they don't use as nothing; elsewhere nothing is what a member is cleared with.
    let of_mail = operation.group == "email";
    request.retain(|_, value| !(value.is_null() || of_mail && is_nothing(value)));
    for field in operation.fields {
        match request.get(field.name) {
            None if field.required => {
                let why = format!("The field '{}' is required", field.name);
                return Err(answer::invalid(field.name, &why));
            }
            Some(Value::String(text))
                if field.name.ends_with("_date") && read_date(text).is_none() =>
            {
                let why = format!("The field '{}' is no date: {text:?}", field.name);
                return Err(answer::invalid(field.name, &why));
            }
            Some(value) if !fits(field, value) => {
                let why = format!("The field '{}' is of another type: {value}", field.name);
                return Err(answer::invalid(field.name, &why));
            }
            _ => {}
        }
    }
    let page_from = match request.get("continue_token").and_then(Value::as_str) {
        None => 0,
        Some(given) => page_of(given, operation.path, &key).ok_or_else(|| {
            let why = "The field 'continue_token' is not of this call";
            answer::invalid("continue_token", why)
        })?,
    };
    Ok(Call {
        operation,
        request,
        key,
        at: Clock.wall(),
        subaccount,
        page_from,
    })
}

/// The account that a call is about: that of the key, or one below it that the request names.
fn subaccount(
    account: &SimulatedAccount,
    operation: &Operation,
    key: &str,
    request: &Map<String, Value>,
) -> Result<Option<String>, Refusal> {
    let of_key = account.subaccount_of(key).map(str::to_owned);
    let named = request.get("subaccount_id").and_then(Value::as_str);
    match named {
        Some(named) if !named.is_empty() && operation.group != "subaccount" => {
            let known = account.books.subaccounts.get(named);
            let active = known.is_some_and(|record| record["state"] == "Active");
            if of_key.is_some() || !active {
                let why = format!("The key has no active subaccount {named:?}");
                return Err(Refusal::Member("subaccount_id", why));
            }
            Ok(Some(named.to_owned()))
        }
        _ => Ok(of_key),
    }
}

fn key(headers: &HeaderMap, request: &Map<String, Value>) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let in_body = request.get("api_key").and_then(Value::as_str);
    let key = header("x-smtp2go-api-key").or(bearer).or(in_body);
    key.unwrap_or_default().trim().to_owned()
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn fits(field: &Field, value: &Value) -> bool {
    match field.kind {
        // One client sends a schedule as a number.
        Kind::Text => value.is_string() || (field.name == "schedule" && value.is_number()),
        Kind::Number => value.is_number(),
        Kind::Flag => value.is_boolean(),
        Kind::Texts => value
            .as_array()
            .is_some_and(|items| items.iter().all(Value::is_string)),
        Kind::Objects => value
            .as_array()
            .is_some_and(|items| items.iter().all(Value::is_object)),
        Kind::Json => true,
    }
}

/// The paths there are; open to everybody.
fn index() -> Value {
    operations()
        .iter()
        .map(|operation| json!(operation.path))
        .collect()
}

/// A token tells the page, and for whom and what it was made.
fn token(path: &str, key: &str, from: usize) -> String {
    let name: String = key.chars().take(16).collect();
    URL_SAFE_NO_PAD.encode(format!("{from} {path} {name}"))
}

/// The page that a token of this caller means; another one's means nothing.
fn page_of(token_given: &str, path: &str, key: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token_given).ok()?).ok()?;
    let from = text.split(' ').next()?.parse().ok()?;
    (token(path, key, from) == token_given).then_some(from)
}

/// One page of a list: the items, and the token of the next page.
pub(super) fn page<T>(items: Vec<T>, call: &Call, size: usize) -> (Vec<T>, Value) {
    let from = call.page_from.min(items.len());
    let size = size.max(1);
    let total = items.len();
    let items: Vec<T> = items.into_iter().skip(from).take(size).collect();
    let next = from + items.len();
    let token = if next < total {
        json!(token(call.operation.path, &call.key, next))
    } else {
        Value::Null
    };
    (items, token)
}

/// provider-api 5.
const MAIL_OCTETS_MAX: usize = 50_000_000;
const REQUEST_OCTETS_MAX: usize = 1_000_000;
