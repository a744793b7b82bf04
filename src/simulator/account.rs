//! The simulated account: who may send what.

use std::collections::BTreeMap;

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
    /// Those of the accounts below it.
    #[serde(default)]
    pub(super) subaccounts: BTreeMap<String, Books>,
}

impl SimulatedAccount {
    /// The account of demo and tests: the domains and top-level domains that RFC 2606 reserves are
    /// verified, but for `unverified.example`; `suppressed@example.com` gets no mail; there is one SMTP
    /// user, `printer1`.
    pub fn sample(api_key: &str) -> Self {
        let mut account = Self {
            api_keys: vec![api_key.to_owned()],
            books: Books::default(),
            subaccounts: BTreeMap::new(),
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
        let pool = json!({ "id": 1, "name": "main", "ip_addresses": ["192.0.2.10"] });
        account.books.dedicated_ips.push(object(pool));
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
        let record = self.key_record(key)?;
        if !self.subaccount_of(key).is_none_or(|id| self.is_active(id)) {
            return Some("blocked".to_owned());
        }
        Some(
            record
                .get("status")
                .and_then(Value::as_str)
                .unwrap_or("allowed")
                .to_owned(),
        )
    }

    /// Whether an account below this one is open.
    pub(super) fn is_active(&self, subaccount: &str) -> bool {
        let record = self.books.subaccounts.get(subaccount);
        record.is_some_and(|record| record["state"] == "Active")
    }

    /// Why this account, or one below it, may not send as this address. A domain may be shared with those below.
    pub(super) fn object_to_sender(
        &self,
        subaccount: Option<&str>,
        address: &str,
    ) -> Option<String> {
        let Some(id) = subaccount else {
            return self.books.object_to_sender(address);
        };
        let own = self.subaccounts.get(id);
        let objection = match own {
            Some(books) => books.object_to_sender(address),
            None => Books::default().object_to_sender(address),
        }?;
        let listed = own.is_some_and(|books| books.allowed_senders.mode != "disabled");
        let shared = |record: &&Map<String, Value>| {
            let access = record.get("subaccount_access");
            let ids = access.and_then(|access| access["subaccounts"].as_array());
            let named = ids.is_some_and(|ids| ids.contains(&json!(id)));
            named && record["domain"]["dkim_verified"] == true
        };
        let domain = address
            .rsplit('@')
            .next()
            .unwrap_or_default()
            .to_lowercase();
        let covers = |record: &Map<String, Value>| {
            let name = record["domain"]["fulldomain"].as_str();
            name.is_some_and(|name| lies_in(&domain, name))
        };
        let mut domains = self.books.domains.records().filter(shared);
        (listed || !domains.any(covers)).then_some(objection)
    }

    /// What is known of a key that calls added.
    pub(super) fn key_record(&self, key: &str) -> Option<&Map<String, Value>> {
        let books = [&self.books].into_iter().chain(self.subaccounts.values());
        let mut found = books.filter_map(|books| books.keys.get(key));
        // The shelf folds case; keys don't.
        found.find(|record| record.get("api_key").and_then(Value::as_str) == Some(key))
    }

    /// The account below this one that a key belongs to.
    pub(super) fn subaccount_of(&self, key: &str) -> Option<&str> {
        let holds = |books: &Books| {
            let record = books.keys.get(key);
            record.is_some_and(|record| record.get("api_key") == Some(&json!(key)))
        };
        let mut found = self.subaccounts.iter().filter(|(_, books)| holds(books));
        found.next().map(|(id, _)| id.as_str())
    }

    /// The books of an account below this one, or its own.
    pub(super) fn books_named(&mut self, subaccount: Option<&str>) -> &mut Books {
        match subaccount {
            None => &mut self.books,
            Some(id) => self.subaccounts.entry(id.to_owned()).or_default(),
        }
    }

    /// Whether the key may call this path.
    pub(super) fn permits(&self, key: &str, path: &str) -> bool {
        if self.api_keys.iter().any(|known| known == key) || path == "/api_keys/permissions" {
            return true;
        }
        let record = self.key_record(key);
        let endpoints = record.and_then(|record| record.get("endpoints"));
        endpoints
            .and_then(|list| Permissions::deserialize(list).ok())
            .is_some_and(|list| list.cover(path))
    }
}

impl Books {
    /// Why no mail may be sent from this address, in the words of the internal SMTP reply. A list of
    /// allowed senders that is switched on takes the place of verified domains and senders (provider-api 10).
    fn object_to_sender(&self, address: &str) -> Option<String> {
        let list = &self.allowed_senders;
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
        let fits = self.domains.records().filter_map(|record| {
            let domain_of = record.get("domain")?;
            let name = domain_of["fulldomain"].as_str()?;
            lies_in(domain, name).then(|| (name.len(), domain_of["dkim_verified"] == true))
        });
        fits.max_by_key(|(length, _)| *length)
            .is_some_and(|(_, verified)| verified)
    }

    fn is_single_sender(&self, address: &str) -> bool {
        let record = self.single_senders.get(address);
        record.is_some_and(|record| record.get("verified") == Some(&Value::Bool(true)))
    }

    /// Why this address gets no mail: it is suppressed, its domain is, or the account may send to others only.
    pub(super) fn object_to_recipient(&self, address: &str) -> Option<String> {
        let address = address.to_lowercase();
        let domain = address.rsplit('@').next().unwrap_or_default();
        let suppressed = self.suppressions.get(&address);
        if let Some(record) = suppressed.or_else(|| self.suppressions.get(domain)) {
            let reason = record["reason"].as_str().unwrap_or("manual");
            return Some(format!("recipient is suppressed ({reason})"));
        }
        let allowed = &self.allowed_recipients;
        let barred = allowed.enabled && !names(&allowed.list, &address);
        let why = "recipient is not on the account's list of allowed recipients";
        barred.then(|| why.to_owned())
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
