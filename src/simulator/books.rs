//! What the simulated account holds: everything that the API shows and changes.
//!
//! Records are JSON objects in the shape of the API's answers, so that what is added comes back as it is
//! documented, and members that nobody interprets are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// See the module's documentation.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Books {
    pub(super) users: Shelf,
    pub(super) keys: Shelf,
    pub(super) ip_auth: Shelf,
    pub(super) domains: Shelf,
    pub(super) single_senders: Shelf,
    pub(super) suppressions: Shelf,
    pub(super) allowed_senders: ListWithMode,
    pub(super) allowed_recipients: ListWithSwitch,
    pub(super) ip_allow_smtp: AllowList,
    pub(super) ip_allow_api: AllowList,
    pub(super) templates: Shelf,
    pub(super) webhooks: Shelf,
    pub(super) subaccounts: Shelf,
    pub(super) scheduled: Shelf,
    pub(super) sms: Vec<Map<String, Value>>,
    pub(super) sms_received: Vec<Map<String, Value>>,
    pub(super) dedicated_ips: Vec<Map<String, Value>>,
    /// For names that the provider makes up.
    pub(super) last_number: u64,
}

impl Books {
    /// A number that was never given before.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// Records by their name, in the order of the names.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Shelf(BTreeMap<String, Map<String, Value>>);

impl Shelf {
    pub(super) fn get(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(&name.to_lowercase())
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Map<String, Value>> {
        self.0.get_mut(&name.to_lowercase())
    }

    pub(super) fn put(&mut self, name: &str, record: Map<String, Value>) {
        self.0.insert(name.to_lowercase(), record);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.0.remove(&name.to_lowercase())
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.0.values()
    }

    /// The record of that name alone, or all of them where no name is given.
    pub(super) fn view(&self, name: &str) -> Vec<Value> {
        let wanted = |record: &&Map<String, Value>| {
            name.is_empty() || self.get(name).is_some_and(|found| found == *record)
        };
        self.records()
            .filter(wanted)
            .cloned()
            .map(Value::Object)
            .collect()
    }
}

/// Allowed senders.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ListWithMode {
    pub(super) mode: String,
    pub(super) list: Vec<String>,
}

impl Default for ListWithMode {
    fn default() -> Self {
        Self {
            mode: "disabled".to_owned(),
            list: Vec::new(),
        }
    }
}

/// Allowed recipients.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct ListWithSwitch {
    pub(super) enabled: bool,
    pub(super) list: Vec<String>,
}

/// One of the two IP allow lists.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct AllowList {
    pub(super) enabled: bool,
    pub(super) addresses: Shelf,
}

impl AllowList {
    pub(super) fn covers(&self, address: std::net::IpAddr) -> bool {
        self.addresses.0.keys().any(|entry| {
            let network = entry.parse::<ipnet::IpNet>();
            network.is_ok_and(|network| network.contains(&address)) || entry.parse() == Ok(address)
        })
    }
}

/// Whether a list of addresses and domains names this address; a domain stands for its sub-domains, too.
pub(super) fn names(list: &[String], address: &str) -> bool {
    let address = address.to_lowercase();
    let domain = address.rsplit('@').next().unwrap_or_default();
    list.iter().any(|entry| {
        let entry = entry.to_lowercase();
        let entry = entry.trim_start_matches('@');
        entry == address || lies_in(domain, entry)
    })
}

/// Whether a domain is another one, or below it.
pub(super) fn lies_in(domain: &str, parent: &str) -> bool {
    domain == parent
        || domain
            .strip_suffix(parent)
            .is_some_and(|rest| rest.ends_with('.'))
}
