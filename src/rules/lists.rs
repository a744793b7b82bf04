//! The provider's lists of senders, recipients, addresses and domains.
//!
//! provider-api 10

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::mail::{AddressPattern, Mailbox, read_network};

use super::{RateLimit, Standing};

/// The list of allowed senders.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SenderList {
    /// What the list means.
    pub mode: ListMode,
    /// Whom it names.
    pub list: AddressList,
    /// Of a blacklist: entries with stars that are no address and no domain; a star stands for anything.
    #[serde(default)]
    pub patterns: Vec<Box<str>>,
}

impl SenderList {
    /// The entry that covers this address.
    pub fn covering(&self, mailbox: &Mailbox) -> Option<&str> {
        let key = mailbox.key();
        let pattern = || self.patterns.iter().find(|pattern| fits(pattern, &key));
        let listed = self.list.covering(mailbox);
        listed.or_else(|| pattern().map(Box::as_ref))
    }
}

/// Whether a text is what a pattern with stars means.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What the list of allowed senders means.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListMode {
    /// Nothing: verified domains and single senders decide.
    #[default]
    Disabled,
    /// Only those may send.
    Whitelist,
    /// All but those may send.
    Blacklist,
}

impl ListMode {
    /// As the API says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Whitelist => "whitelist",
            Self::Blacklist => "blacklist",
        }
    }
}

/// The list of allowed recipients.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RecipientList {
    /// Whether it counts.
    pub enabled: bool,
    /// Whom it names.
    pub list: AddressList,
}

/// Addresses and domains; a domain stands for its sub-domains, too.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct AddressList(HashSet<Box<str>>);

impl AddressList {
    /// Adds an entry, folded. Returns whether it can be understood; where not, it matches only what reads the
    /// same, so that it never covers more than its words.
    pub fn insert(&mut self, entry: &str) -> bool {
        let (folded, understood) = fold_entry(entry);
        self.0.insert(folded.into());
        understood
    }

    /// The entry that covers this address.
    pub fn covering(&self, mailbox: &Mailbox) -> Option<&str> {
        let exact = self.0.get(mailbox.key().as_str());
        exact.map(Box::as_ref).or_else(|| {
            let domain = mailbox.domain().to_ascii_lowercase();
            parents(&domain).find_map(|parent| self.0.get(parent).map(Box::as_ref))
        })
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Box::as_ref)
    }
}

/// An entry of a list as it is compared, and whether it names an address or a domain.
pub fn fold_entry(entry: &str) -> (String, bool) {
    let entry = entry.trim();
    // Wildcards in front of a domain mean the domain.
    // A name in front of an address says nothing about it.
    let entry = match (entry.find('<'), entry.strip_suffix('>')) {
        (Some(start), Some(inside)) => inside.get(start + 1..).unwrap_or(entry),
        _ => entry,
    };
    let bare = ["*@", "*.", "."]
        .iter()
        .find_map(|prefix| entry.strip_prefix(prefix))
        .unwrap_or(entry);
    match bare.parse::<AddressPattern>() {
        Ok(AddressPattern::Address(mailbox)) => (mailbox.key(), true),
        Ok(AddressPattern::Domain(domain)) => (domain.to_ascii_lowercase(), true),
        Err(_) => (entry.to_lowercase(), false),
    }
}

/// A domain, then the domains above it.
fn parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |domain| {
        domain.split_once('.').map(|(_, above)| above)
    })
}

/// One of the IP allow lists.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct IpList {
    /// Whether it counts.
    pub enabled: bool,
    /// Whom it names; IPv4-mapped networks are IPv4.
    pub networks: Vec<IpNet>,
}

impl IpList {
    /// The network that covers this address.
    pub fn covering(&self, address: IpAddr) -> Option<&IpNet> {
        let address = address.to_canonical();
        self.networks
            .iter()
            .find(|network| network.contains(&address))
    }
}

/// Addresses and networks that need no credential at the provider; IPv4-mapped ones are IPv4.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(from = "BTreeMap<String, IpAuthRule>")]
pub struct IpAuth(pub BTreeMap<IpNet, IpAuthRule>);

impl From<BTreeMap<String, IpAuthRule>> for IpAuth {
    /// An address alone is how it was written down before there were networks.
    fn from(stored: BTreeMap<String, IpAuthRule>) -> Self {
        let entry = |(text, rule): (String, IpAuthRule)| Some((read_network(&text)?, rule));
        Self(stored.into_iter().filter_map(entry).collect())
    }
}

impl IpAuth {
    /// The entry that decides about this address: one that blocks it, else the narrowest that covers it.
    pub fn covering(&self, address: IpAddr) -> Option<(&IpNet, &IpAuthRule)> {
        let whole = IpNet::from(address.to_canonical());
        let mut covering = (0..=whole.max_prefix_len()).rev().filter_map(|length| {
            let network = IpNet::new(whole.addr(), length).ok()?.trunc();
            self.0.get_key_value(&network)
        });
        let narrowest = covering.next()?;
        let blocks = |rule: &IpAuthRule| matches!(rule.standing, Standing::Blocked(_));
        if blocks(narrowest.1) {
            return Some(narrowest);
        }
        covering.find(|(_, rule)| blocks(rule)).or(Some(narrowest))
    }
}

/// One of them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct IpAuthRule {
    /// Whether it may send.
    pub standing: Standing,
    /// How much it may send.
    pub limit: Option<RateLimit>,
}

/// Sender domains, and whether each is verified.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Domains(pub BTreeMap<Box<str>, bool>);

impl Domains {
    /// The most specific domain of the account that this one lies in, and whether it is verified.
    pub fn covering(&self, domain: &str) -> Option<(&str, bool)> {
        let domain = domain.to_ascii_lowercase();
        parents(&domain).find_map(|parent| {
            let (name, verified) = self.0.get_key_value(parent)?;
            Some((name.as_ref(), *verified))
        })
    }
}

/// Single sender addresses, and whether each is verified.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SingleSenders(pub BTreeMap<Box<str>, bool>);

impl SingleSenders {
    /// Whether this address may send by itself.
    pub fn verified(&self, mailbox: &Mailbox) -> bool {
        self.0.get(mailbox.key().as_str()) == Some(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect(text)
    }

    #[test]
    fn a_list_covers_addresses_domains_and_sub_domains_in_any_spelling() {
        let mut list = AddressList::default();
        for entry in [
            "Ann@Example.com",
            "example.ORG",
            "*@star.example",
            "büro.example",
        ] {
            assert!(list.insert(entry), "{entry}");
        }
        for entry in ["not an entry", "a@@b", "*", "a*b.example@", ""] {
            assert!(!list.insert(entry), "{entry}");
        }
        for covered in [
            "ann@example.com",
            "x@example.org",
            "x@deep.sub.Example.Org",
            "x@star.example",
            "x@xn--bro-hoa.example",
        ] {
            assert!(list.covering(&mailbox(covered)).is_some(), "{covered}");
        }
        for other in ["bob@example.com", "x@notexample.org", "x@org", "x@example"] {
            assert_eq!(list.covering(&mailbox(other)), None, "{other}");
        }
    }

    #[test]
    fn a_pattern_of_a_blacklist_stops_what_it_means() {
        for (pattern, text, expected) in [
            ("evil*@example.com", "evilx@example.com", true),
            ("evil*@example.com", "evil@example.com", true),
            ("evil*@example.com", "xevil@example.com", false),
            ("*boss*", "the.boss@a.example", true),
            ("*", "a@b.example", true),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "axcxb", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
        assert_eq!(
            fold_entry("John <Bad@Example.com>"),
            ("bad@example.com".to_owned(), true)
        );
    }

    #[test]
    fn the_narrowest_authenticated_network_decides_and_a_blocked_one_above_all() {
        let rule = |standing| IpAuthRule {
            standing,
            limit: None,
        };
        let blocked = || Standing::Blocked("status blocked".to_owned());
        let entry = |text: &str, standing| (read_network(text).expect(text), rule(standing));
        let list = IpAuth(
            [
                entry("192.0.2.0/24", Standing::Allowed),
                entry("192.0.2.9", Standing::Sandbox),
                entry("198.51.100.0/24", blocked()),
                entry("198.51.100.7", Standing::Allowed),
                entry("2001:db8::/64", Standing::Allowed),
            ]
            .into(),
        );
        for (address, found) in [
            ("192.0.2.1", Some("192.0.2.0/24")),
            ("::ffff:192.0.2.1", Some("192.0.2.0/24")),
            ("192.0.2.9", Some("192.0.2.9/32")),
            ("192.0.3.1", None),
            ("198.51.100.7", Some("198.51.100.0/24")),
            ("2001:db8::5", Some("2001:db8::/64")),
            ("2001:db8:1::5", None),
        ] {
            let covering = list.covering(address.parse().expect(address));
            let covering = covering.map(|(network, _)| network.to_string());
            assert_eq!(covering.as_deref(), found, "{address}");
        }
        // As it was stored before, and as it is now.
        let old = r#"{"192.0.2.9":{"standing":"sandbox","limit":null}}"#;
        let read: IpAuth = serde_json::from_str(old).expect("stored");
        assert_eq!(read.0.len(), 1);
        let again = serde_json::to_string(&list).expect("JSON");
        assert_eq!(serde_json::from_str::<IpAuth>(&again).expect("JSON"), list);
    }

    #[test]
    fn the_most_specific_domain_decides() {
        let entry = |name: &str, verified| (name.into(), verified);
        let domains = Domains([entry("example.com", true), entry("old.example.com", false)].into());
        for (domain, expected) in [
            ("example.com", Some(true)),
            ("sub.EXAMPLE.com", Some(true)),
            ("old.example.com", Some(false)),
            ("deep.old.example.com", Some(false)),
            ("other.example", None),
        ] {
            let found = domains.covering(domain).map(|(_, verified)| verified);
            assert_eq!(found, expected, "{domain}");
        }
    }
}
