//! The rules in force, for people: where they stand, what they say, why they decide as they do.

use std::net::{IpAddr, SocketAddr};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::mail::{HeaderSender, Mailbox, ReversePath, SessionFacts, SessionId, TlsFacts};
use crate::policy::Case;
use crate::rules::SectionName;
use crate::sync::SyncHandle;
use crate::telemetry;

use super::{Admin, unavailable};

/// `GET /api/rules`
pub(super) async fn show(State(admin): State<Admin>) -> Response {
    let now = admin.parts.clock.wall();
    let all = admin.parts.synchronisers.iter();
    let all: Vec<_> = all.flat_map(|account| account.status(now)).collect();
    Json(all).into_response()
}

/// `GET /api/rules/{account}/{section}`
pub(super) async fn entries(
    State(admin): State<Admin>,
    Path((account, section)): Path<(String, String)>,
) -> Response {
    let found = admin.synchroniser(&account);
    let (Some(found), Ok(section)) = (found, section.parse::<SectionName>()) else {
        let error = format!("there is no section {section:?} of account {account:?}");
        return refused(StatusCode::NOT_FOUND, &error);
    };
    match found.entries(section) {
        Some(entries) => Json(entries).into_response(),
        None => refused(StatusCode::NOT_FOUND, "that section is not known yet"),
    }
}

#[derive(Deserialize)]
pub(super) struct Acceptance {
    #[serde(default)]
    accept: bool,
}

/// `POST /api/rules/sync`
pub(super) async fn sync(
    State(admin): State<Admin>,
    Query(Acceptance { accept }): Query<Acceptance>,
) -> Response {
    let mut all = Vec::new();
    for account in &admin.parts.synchronisers {
        match account.refresh(accept).await {
            Some(sections) => all.extend(sections),
            None => return refused(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping"),
        }
    }
    Json(all).into_response()
}

/// `POST /api/rules/diff`: it asks the provider, and must not be had by a link.
pub(super) async fn diff(State(admin): State<Admin>) -> Response {
    let mut all = Vec::new();
    for account in &admin.parts.synchronisers {
        match account.diff().await {
            Some(sections) => all.extend(sections),
            None => return refused(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping"),
        }
    }
    Json(all).into_response()
}

/// A message that somebody might send; what is left out is not asked about.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhyQuestion {
    /// The client's address; 127.0.0.1 where it is left out.
    pub from_ip: Option<IpAddr>,
    /// The listener; the only or the first one where it is left out.
    pub listener: Option<String>,
    /// Who has signed in: a device, its user name, or an SMTP user.
    pub user: Option<String>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// MAIL FROM; empty for the null reverse-path.
    pub mail_from: Option<String>,
    /// The addresses of From and Sender.
    pub header_from: Vec<String>,
    /// RCPT TO.
    pub rcpt: Vec<String>,
}

/// `POST /api/why`
pub(super) async fn why(State(admin): State<Admin>, Json(question): Json<WhyQuestion>) -> Response {
    let rules = admin.parts.rules.rules();
    let listener = match &question.listener {
        Some(name) => rules.listeners.get_key_value(name.as_str()),
        None => rules.listeners.iter().next(),
    };
    let Some((listener, _)) = listener else {
        let known: Vec<&str> = rules.listeners.keys().map(AsRef::as_ref).collect();
        let error = format!("there is no such listener; there are: {}", known.join(", "));
        return refused(StatusCode::BAD_REQUEST, &error);
    };
    let address = question.from_ip.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let peer = SocketAddr::new(address, 0);
    let mut facts = SessionFacts::new(SessionId(0), listener.clone(), peer);
    facts.extended = true;
    facts.tls = question.tls.then(|| TlsFacts {
        version: "TLS",
        cipher: String::new(),
    });
    if let Some(user) = &question.user {
        let authenticator = admin.parts.authenticator.load();
        facts.identity = authenticator.identity_of(user, &rules, listener);
        if facts.identity.is_none() {
            let error = format!("no device and no SMTP user is called {user:?}");
            return refused(StatusCode::BAD_REQUEST, &error);
        }
    }
    let case = match case(facts, &question) {
        Ok(case) => case,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error),
    };
    Json(case.explain(&rules, admin.parts.clock.wall())).into_response()
}

fn case(facts: SessionFacts, question: &WhyQuestion) -> Result<Case, String> {
    let mailbox = |text: &str| Mailbox::parse(text).map_err(|error| format!("{text:?}: {error}"));
    let reverse_path = match question.mail_from.as_deref() {
        None => None,
        Some("" | "<>") => Some(ReversePath::Null),
        Some(text) => Some(ReversePath::Mailbox(mailbox(text)?)),
    };
    let senders = question.header_from.iter().map(|text| mailbox(text));
    let senders: Vec<Mailbox> = senders.collect::<Result<_, _>>()?;
    let recipients = question.rcpt.iter().map(|text| mailbox(text));
    Ok(Case {
        facts,
        reverse_path,
        header: (!senders.is_empty()).then_some(HeaderSender::Addresses(senders)),
        recipients: recipients.collect::<Result<_, _>>()?,
    })
}

#[derive(Deserialize)]
pub(super) struct Limit {
    limit: Option<u32>,
}

/// `GET /api/refusals`
pub(super) async fn refusals(
    State(admin): State<Admin>,
    Query(Limit { limit }): Query<Limit>,
) -> Response {
    match admin
        .parts
        .spool
        .refusals(limit.unwrap_or(50).min(1000))
        .await
    {
        Ok(records) => {
            let records = records.iter().map(|record| serde_json::from_str(record));
            let records: Vec<serde_json::Value> = records.filter_map(Result::ok).collect();
            Json(records).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

impl Admin {
    /// Sections that mail waits for, as `account/section`.
    pub(super) fn awaited_rules(&self) -> Vec<String> {
        if self.parts.rules.rules().knowledge.unknown != crate::rules::WithoutRules::Refuse {
            return Vec::new();
        }
        let now = self.parts.clock.wall();
        let all = self.parts.synchronisers.iter();
        all.flat_map(|account| account.status(now))
            .filter(|section| {
                section.age.is_none()
                    && matches!(
                        section.state,
                        crate::sync::SectionState::Unknown
                            | crate::sync::SectionState::NotPermitted
                    )
            })
            .map(|section| format!("{}/{}", section.account, section.section))
            .collect()
    }

    fn synchroniser(&self, account: &str) -> Option<&SyncHandle> {
        let mut all = self.parts.synchronisers.iter();
        all.find(|handle| handle.account() == account)
    }

    /// Sections that are too old, as `account/section`.
    pub(super) fn stale_rules(&self) -> Vec<String> {
        let now = self.parts.clock.wall();
        let all = self.parts.synchronisers.iter();
        all.flat_map(|account| account.status(now))
            .filter(|section| section.stale)
            .map(|section| format!("{}/{}", section.account, section.section))
            .collect()
    }

    /// Age and size of every section.
    pub(super) fn measure_rules(&self) {
        let now = self.parts.clock.wall();
        for account in &self.parts.synchronisers {
            for section in account.status(now) {
                let labels = [
                    ("account", section.account.clone()),
                    ("section", section.section.word().to_owned()),
                ];
                if let Some(age) = section.age {
                    metrics::gauge!(telemetry::RULES_AGE, &labels).set(age as f64);
                }
                metrics::gauge!(telemetry::RULES_ENTRIES, &labels).set(section.entries as f64);
                let stale = f64::from(u8::from(section.stale));
                metrics::gauge!(telemetry::RULES_STALE, &labels).set(stale);
            }
        }
    }
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
