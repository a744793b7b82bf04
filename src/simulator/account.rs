//! The simulated account: who may send what.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::provider::Permissions;

use super::books::{Books, lies_in, names};

/// Everything that decides whether a call is answered and a mail accepted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SimulatedAccount {
    /// Keys that may call everything; no call can change them.
    pub api_keys: Vec<String>,
    pub(super) books: Books,
}

impl SimulatedAccount {
    /// The account of demo and tests: the domains and top-level domains that RFC 2606 reserves are
    /// verified, but for `unverified.example`; `suppressed@example.com` gets no mail; there is one SMTP
    /// user, `printer1`.
    pub fn sample(api_key: &str) -> Self {
        let mut account = Self {
            api_keys: vec![api_key.to_owned()],
            books: Books::default(),
        };
        for domain in [
            "example.com",
            "example.org",
            "example.net",
            "example",
            "test",
        ] {
            account.verify_domain(domain);
        }
        let unverified = domain_record("unverified.example", false);
        account.books.domains.put("unverified.example", unverified);
        for address in ["suppressed@example.com", "suppressed.example"] {
            account.books.suppressions.put(
                address,
                suppression(address, "manual", "", "2026-01-01 00:00:00"),
            );
        }
        let user = json!({"username": "printer1", "email_password": "not-a-real-secret-1"});
        let user = super::desks::credentials::with_defaults(user);
        account.books.users.put("printer1", user);
        account
    }

    /// Mail may be sent from this domain from now on.
    pub fn verify_domain(&mut self, domain: &str) {
        self.books.domains.put(domain, domain_record(domain, true));
    }

    /// What a user, address or key of the account may do: `allowed`, `blocked` or `sandbox`.
    pub(super) fn key_status(&self, key: &str) -> Option<String> {
        if self.api_keys.iter().any(|known| known == key) {
            return Some("allowed".to_owned());
        }
        let record = self.books.keys.get(key)?;
        // The shelf folds case; keys don't.
        if record.get("api_key").and_then(Value::as_str) != Some(key) {
            return None;
        }
        Some(
            record
                .get("status")
                .and_then(Value::as_str)
                .unwrap_or("allowed")
                .to_owned(),
        )
    }

    /// Whether the key may call this path.
    pub(super) fn permits(&self, key: &str, path: &str) -> bool {
        if self.api_keys.iter().any(|known| known == key) || path == "/api_keys/permissions" {
            return true;
        }
        let record = self.books.keys.get(key);
        let endpoints = record.and_then(|record| record.get("endpoints"));
        endpoints
            .and_then(|list| Permissions::deserialize(list).ok())
            .is_some_and(|list| list.cover(path))
    }

    /// Why no mail may be sent from this address, in the words of the internal SMTP reply. A list of allowed senders that is switched on takes the
    /// place of verified domains and senders (NOTES section 10).
    pub(super) fn object_to_sender(&self, address: &str) -> Option<String> {
        let list = &self.books.allowed_senders;
        let listed = names(&list.list, address);
        let restricted = "that SMTP sender is not on your allowed list, You can adjust your list on the \
                          'Settings > Sending Options > Restrict Senders' page - Code(550)";
        match list.mode.as_str() {
            "whitelist" if listed => None,
            "blacklist" if !listed => None,
            "whitelist" | "blacklist" => Some(restricted.to_owned()),
            _ => {
                let domain = address
                    .rsplit('@')
                    .next()
                    .unwrap_or_default()
                    .to_lowercase();
                if self.is_verified(&domain) || self.is_single_sender(address) {
                    return None;
                }
                Some(format!(
                    "From header sender domain not verified ({domain})\n\
                     On your Sending > Verified Senders page\n\
                     verify the sender domain or email to be allowed to send. - Code(550)"
                ))
            }
        }
    }

    /// The most specific domain of the account decides.
    fn is_verified(&self, domain: &str) -> bool {
        let fits = self.books.domains.records().filter_map(|record| {
            let domain_of = record.get("domain")?;
            let name = domain_of["fulldomain"].as_str()?;
            lies_in(domain, name).then(|| (name.len(), domain_of["dkim_verified"] == true))
        });
        fits.max_by_key(|(length, _)| *length)
            .is_some_and(|(_, verified)| verified)
    }

    fn is_single_sender(&self, address: &str) -> bool {
        let record = self.books.single_senders.get(address);
        record.is_some_and(|record| record.get("verified") == Some(&Value::Bool(true)))
    }

    /// Whether this address gets no mail: it is suppressed, its domain is, or the account may send to others
    /// only.
    pub(super) fn rejects_recipient(&self, address: &str) -> bool {
        let address = address.to_lowercase();
        let domain = address.rsplit('@').next().unwrap_or_default();
        let suppressions = &self.books.suppressions;
        let allowed = &self.books.allowed_recipients;
        suppressions.get(&address).is_some()
            || suppressions.get(domain).is_some()
            || (allowed.enabled && !names(&allowed.list, &address))
    }
}

/// As `/domain/view` shows it.
pub(super) fn domain_record(name: &str, verified: bool) -> Map<String, Value> {
    let (domain, suffix) = name.split_once('.').unwrap_or((name, ""));
    let status = if verified { "" } else { "no record found" };
    let record = json!({
        "domain": {
            "fulldomain": name, "domain": domain, "suffix": suffix, "subdomain": null,
            "dkim_selector": "s100001", "dkim_value": "dkim.smtp2go.net",
            "dkim_status": status, "dkim_verified": verified,
            "rpath_selector": "em100001", "rpath_value": "return.smtp2go.net",
            "rpath_status": status, "rpath_verified": verified,
        },
        "trackers": [{
            "fulldomain": format!("link.{name}"), "subdomain": "link", "domain": domain, "suffix": suffix,
            "cname_value": "track.smtp2go.net", "cname_status": status, "cname_verified": verified,
            "enabled": true,
        }],
    });
    object(record)
}

/// As `/suppression/view` shows it.
pub(super) fn suppression(address: &str, reason: &str, why: &str, at: &str) -> Map<String, Value> {
    object(json!({
        "email_address": address, "reason": reason, "block_description": why,
        "complaint": "", "subject": null, "timestamp": at,
    }))
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
