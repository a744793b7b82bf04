//! From the provider's answers to rules: pure, and never to wider ones than were meant.
//!
//! What can't be read is skipped and reported. A list without its items, or a mode that nobody knows, is no
//! answer at all: what was known before stays.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::mail::{is_printable, read_network, shortened};
use crate::provider::groups::{
    allowed_recipients, allowed_senders, domain, ip_allow_list, ip_auth, single_senders,
    suppression, users,
};
use crate::provider::read_period;
use crate::rules::{
    AddressList, Domains, IpAuth, IpAuthRule, IpList, ListMode, PasswordHash, RateLimit,
    RecipientList, SenderList, SingleSenders, Standing, SuppressionReason, SuppressionsBuilder,
    UserRule, Users, fold_entry,
};

/// What was read, and what could not be.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) value: T,
    pub(super) odd: Odd,
}

/// Entries that could not be understood: how many, and the first of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Odd {
    pub(super) count: usize,
    pub(super) first: Vec<String>,
}

impl Odd {
    pub(super) fn add(&mut self, what: impl Into<String>) {
        self.count += 1;
        if self.first.len() < ODD_SHOWN_MAX {
            self.first.push(shortened(&what.into(), ODD_LETTERS_MAX));
        }
    }

    fn add_rest(&mut self, more: &Map<String, Value>, list: &str) {
        // It may be anything, a password, too: only that it was there is told.
        match more.get(list) {
            Some(Value::Array(items)) => items
                .iter()
                .for_each(|_| self.add("an item that is no record")),
            Some(_) => self.add(format!("{list} is no list")),
            None => {}
        }
    }
}

/// The answer lacks what it was asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the answer has no usable {0}")]
pub(super) struct Unusable(pub(super) &'static str);

pub(super) fn read_senders(
    answer: allowed_senders::AllowedSenders,
) -> Result<Read<SenderList>, Unusable> {
    let mut odd = Odd::default();
    odd.add_rest(&answer.more, "allowed_senders");
    let mode = match answer.mode.as_deref() {
        Some("disabled") => ListMode::Disabled,
        Some("whitelist") => ListMode::Whitelist,
        Some("blacklist") => ListMode::Blacklist,
        _ => return Err(Unusable("mode")),
    };
    let entries = answer.allowed_senders.ok_or(Unusable("allowed_senders"))?;
    if mode == ListMode::Blacklist && odd.count > 0 {
        // What is skipped here would be let through.
        return Err(Unusable(
            "allowed_senders: an item of a blacklist can't be read",
        ));
    }
    let list = read_list(&entries, &mut odd);
    // What a blacklist means with a star, it had better stop.
    let patterns = entries
        .iter()
        .filter(|entry| mode == ListMode::Blacklist && entry.contains('*') && !fold_entry(entry).1);
    let patterns = patterns.map(|entry| entry.trim().to_lowercase().into());
    let value = SenderList {
        mode,
        list,
        patterns: patterns.collect(),
    };
    Ok(Read { value, odd })
}

pub(super) fn read_recipients(
    answer: allowed_recipients::AllowedRecipients,
) -> Result<Read<RecipientList>, Unusable> {
    let mut odd = Odd::default();
    odd.add_rest(&answer.more, "allowed_recipients");
    let enabled = answer.enabled.ok_or(Unusable("enabled"))?;
    let entries = answer.allowed_recipients;
    let entries = entries.ok_or(Unusable("allowed_recipients"))?;
    let list = read_list(&entries, &mut odd);
    let value = RecipientList { enabled, list };
    Ok(Read { value, odd })
}

fn read_list(entries: &[String], odd: &mut Odd) -> AddressList {
    let mut list = AddressList::default();
    for entry in entries {
        if !list.insert(entry) {
            odd.add(format!("{entry:?} is no address and no domain"));
        }
    }
    list
}

pub(super) fn read_ip_list(answer: ip_allow_list::IpAllowList) -> Result<Read<IpList>, Unusable> {
    let mut odd = Odd::default();
    odd.add_rest(&answer.more, "ip_addresses");
    let enabled = answer.enabled.ok_or(Unusable("enabled"))?;
    let entries = answer.ip_addresses.ok_or(Unusable("ip_addresses"))?;
    let mut networks = Vec::new();
    for entry in entries {
        let text = entry.ip_address.unwrap_or_default();
        match read_network(&text) {
            Some(network) => networks.push(network),
            None => odd.add(format!("{text:?} is no address and no network")),
        }
    }
    networks.sort_unstable();
    networks.dedup();
    let value = IpList { enabled, networks };
    Ok(Read { value, odd })
}

pub(super) fn read_ip_auth(answer: ip_auth::IpAuth) -> Result<Read<IpAuth>, Unusable> {
    let mut odd = Odd::default();
    odd.add_rest(&answer.more, "results");
    let mut value = IpAuth::default();
    for entry in answer.results.ok_or(Unusable("results"))? {
        let text = entry.ip_address.unwrap_or_default();
        let standing = standing(entry.status.as_deref(), entry.sending_allowed, None);
        let blocked = matches!(standing, Standing::Blocked(_));
        // Half of the world needs no credential by mistake only; what is blocked may be as large as it likes.
        let Some(network) =
            read_network(&text).filter(|network| blocked || network.prefix_len() >= LEAST_PREFIX)
        else {
            odd.add(format!("{text:?} is no address and no network of a site"));
            continue;
        };
        let limit = limit(
            entry.custom_ratelimit,
            entry.custom_ratelimit_value.as_ref(),
            entry.custom_ratelimit_period.as_deref(),
        );
        let limit = limit.unwrap_or_else(|()| {
            odd.add(format!("{network}: its rate limit can't be read"));
            None
        });
        let rule = IpAuthRule { standing, limit };
        value.0.insert(network.trunc(), rule);
    }
    Ok(Read { value, odd })
}

pub(super) fn read_domains(answer: domain::DomainList) -> Result<Read<Domains>, Unusable> {
    let mut odd = Odd::default();
    odd.add_rest(&answer.more, "domains");
    let mut value = Domains::default();
    for entry in answer.domains.ok_or(Unusable("domains"))? {
        let domain = entry.domain.unwrap_or_default();
        let name = domain.fulldomain.unwrap_or_default();
        match fold_entry(&name) {
            (folded, true) if !folded.contains('@') => {
                let verified = domain.dkim_verified.unwrap_or(false);
                value.0.insert(folded.into(), verified);
            }
            _ => odd.add(format!("{name:?} is no domain")),
        }
    }
    Ok(Read { value, odd })
}

pub(super) fn read_single_senders(
    answer: single_senders::SingleSenders,
) -> Result<Read<SingleSenders>, Unusable> {
    let mut odd = Odd::default();
    odd.add_rest(&answer.more, "senders");
    let mut value = SingleSenders::default();
    for entry in answer.senders.ok_or(Unusable("senders"))? {
        let name = entry.email_address.unwrap_or_default();
        match fold_entry(&name) {
            (folded, true) if folded.contains('@') => {
                let verified = entry.verified.unwrap_or(false);
                value.0.insert(folded.into(), verified);
            }
            _ => odd.add(format!("{name:?} is no address")),
        }
    }
    Ok(Read { value, odd })
}

/// Suppressions, gathered page by page.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) table: SuppressionsBuilder,
    pub(super) odd: Odd,
    /// The newest of them, as the provider writes times.
    pub(super) newest: String,
}

/// One page; an entry that is no address and no domain matches only what reads the same.
pub(super) fn read_suppressions(
    page: suppression::Suppressions,
    into: &mut Gathered,
) -> Result<(), Unusable> {
    into.odd.add_rest(&page.more, "results");
    for entry in page.results.ok_or(Unusable("results"))? {
        let text = entry.email_address.unwrap_or_default();
        let (folded, understood) = fold_entry(&text);
        if !understood {
            into.odd
                .add(format!("{text:?} is no address and no domain"));
        }
        if folded.is_empty() {
            continue;
        }
        let reason = SuppressionReason::read(&entry.reason.unwrap_or_default());
        into.table.add(&folded, Some(reason));
        let at = entry.timestamp.unwrap_or_default();
        if at > into.newest {
            into.newest = at;
        }
    }
    Ok(())
}

/// `hash` makes the salted hash of a password, or finds the one that was made of the same one before.
pub(super) fn read_users(
    answer: users::SmtpUserResults,
    before: &HashMap<String, (Standing, Option<PasswordHash>)>,
    mut hash: impl FnMut(&str, &str, Option<&PasswordHash>) -> Option<PasswordHash>,
) -> Result<Read<Users>, Unusable> {
    let mut odd = Odd::default();
    odd.add_rest(&answer.more, "results");
    let mut value = Users::default();
    for entry in answer.results.ok_or(Unusable("results"))? {
        let name = entry.username.unwrap_or_default();
        // It goes into logs and hints, and nobody can sign in with another one.
        if name.trim().is_empty() || !name.chars().all(is_printable) || name.len() > NAME_MAX {
            odd.add("a user without a name that can be typed");
            continue;
        }
        let known = before.get(&name.to_lowercase());
        let known_standing = known.map(|(standing, _)| standing);
        let known_hash = known.and_then(|(_, hash)| hash.as_ref());
        let standing = standing(
            entry.status.as_deref(),
            entry.sending_allowed,
            known_standing,
        );
        let limit = limit(
            entry.custom_ratelimit,
            entry.custom_ratelimit_value.as_ref(),
            entry.custom_ratelimit_period.as_deref(),
        );
        let limit = limit.unwrap_or_else(|()| {
            odd.add(format!("{name}: its rate limit can't be read"));
            None
        });
        let shown = entry.email_password.map(|password| password.0);
        // A masked password is none.
        let shown = shown.filter(|password| !password.chars().all(|letter| letter == '*'));
        let password = match shown {
            Some(password) => hash(&name, &password, known_hash),
            // The API may stop showing passwords at any time (provider-api 16): what was known stays.
            None => {
                if known_hash.is_some() {
                    odd.add(format!("{name}: its password is not shown any more"));
                }
                known_hash.cloned()
            }
        };
        value.insert(UserRule {
            standing,
            limit,
            password,
            name: Arc::from(name),
        });
    }
    let default = answer.default_ratelimit_value.as_ref().and_then(as_count);
    let period = answer.default_ratelimit_period.as_deref();
    value.default_limit = default
        .zip(period.and_then(read_period))
        .map(|(mails, period)| RateLimit { mails, period });
    Ok(Read { value, odd })
}

/// A status that nobody knows counts as what `sending_allowed` says; where that is missing, too, as what it was
/// before, and as blocked for somebody new.
fn standing(
    status: Option<&str>,
    sending_allowed: Option<bool>,
    before: Option<&Standing>,
) -> Standing {
    let blocked = |why: &str| Standing::Blocked(why.to_owned());
    match (status, sending_allowed) {
        (Some("blocked"), _) => blocked("status blocked"),
        (_, Some(false)) => blocked("sending_allowed false"),
        (Some("sandbox"), _) => Standing::Sandbox,
        (Some("allowed"), _) | (_, Some(true)) => Standing::Allowed,
        (Some(unknown), None) => {
            let unknown = shortened(unknown, WORD_LETTERS_MAX);
            blocked(&format!("unknown status {unknown:?}"))
        }
        (None, None) => before
            .cloned()
            .unwrap_or_else(|| blocked("the answer has no status")),
    }
}

/// `Err` where there is one that can't be read.
fn limit(
    custom: Option<bool>,
    value: Option<&serde_json::Number>,
    period: Option<&str>,
) -> Result<Option<RateLimit>, ()> {
    if custom != Some(true) {
        return Ok(None);
    }
    let mails = value.and_then(|value| as_count(&Value::Number(value.clone())));
    let period = period.and_then(read_period);
    match (mails, period) {
        (Some(mails), Some(period)) => Ok(Some(RateLimit { mails, period })),
        _ => Err(()),
    }
}

/// A number, or the text of one; 0 means no limit.
fn as_count(value: &Value) -> Option<u32> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        value => value.as_u64()?,
    };
    u32::try_from(number).ok().filter(|count| *count > 0)
}

/// The largest networks that sites have, as the configuration takes them.
const LEAST_PREFIX: u8 = 8;
/// Octets of a user's name; the provider takes 100 characters (provider-api 9).
const NAME_MAX: usize = 400;
const WORD_LETTERS_MAX: usize = 40;
const ODD_SHOWN_MAX: usize = 10;
const ODD_LETTERS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_standing_is_never_better_than_what_the_answer_says() {
        let blocked = |why: &str| Standing::Blocked(why.to_owned());
        let before = blocked("status blocked");
        for (status, sending, known, expected) in [
            (Some("allowed"), Some(true), None, Standing::Allowed),
            (Some("allowed"), None, None, Standing::Allowed),
            (None, Some(true), None, Standing::Allowed),
            (
                Some("allowed"),
                Some(false),
                None,
                blocked("sending_allowed false"),
            ),
            (Some("blocked"), Some(true), None, blocked("status blocked")),
            (Some("sandbox"), Some(true), None, Standing::Sandbox),
            (
                Some("sandbox"),
                Some(false),
                None,
                blocked("sending_allowed false"),
            ),
            (Some("new"), Some(true), None, Standing::Allowed),
            (Some("new"), None, None, blocked("unknown status \"new\"")),
            (
                Some(&*format!("new\u{9b}[2J\n{}", "x".repeat(200))),
                None,
                None,
                blocked(&format!("unknown status \"new [2J {}\"", "x".repeat(32))),
            ),
            (None, None, None, blocked("the answer has no status")),
            (None, None, Some(&before), before.clone()),
            (None, None, Some(&Standing::Allowed), Standing::Allowed),
        ] {
            assert_eq!(
                standing(status, sending, known),
                expected,
                "{status:?} {sending:?}"
            );
        }
    }

    #[test]
    fn odd_entries_are_reported_and_skipped_and_a_missing_list_is_no_empty_one() {
        let list = |value: Value| serde_json::from_value(value).unwrap_or_default();
        let read = read_ip_list(list(json!({"enabled": true, "ip_addresses": [
            {"ip_address": "192.0.2.0/24"}, {"ip_address": "::ffff:10.0.0.1"}, {"ip_address": "office"}, 7,
        ]})));
        let read = read.expect("a list");
        let networks: Vec<String> = read
            .value
            .networks
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(networks, ["10.0.0.1/32", "192.0.2.0/24"]);
        assert_eq!(read.odd.count, 2);
        for missing in [
            json!({}),
            json!({"enabled": true}),
            json!({"enabled": true, "ip_addresses": 5}),
        ] {
            assert!(read_ip_list(list(missing)).is_err());
        }
        let senders =
            |value: Value| read_senders(serde_json::from_value(value).unwrap_or_default());
        assert!(senders(json!({"mode": "greylist", "allowed_senders": []})).is_err());
        assert!(
            senders(json!({"mode": "blacklist", "allowed_senders": ["a@b.example", 5]})).is_err()
        );
        assert!(
            senders(json!({"mode": "whitelist", "allowed_senders": ["a@b.example", 5]})).is_ok()
        );
    }

    #[test]
    fn authenticated_addresses_may_be_networks_of_a_site() {
        let answer = json!({"results": [
            {"ip_address": "192.0.2.9", "status": "allowed"}, {"ip_address": "198.51.100.7/24", "status": "allowed"},
            {"ip_address": "0.0.0.0/0", "status": "allowed"}, {"ip_address": "0.0.0.0/1", "status": "blocked"},
            {"ip_address": "192.0.2.1-192.0.2.5", "status": "allowed"},
        ]});
        let read = read_ip_auth(serde_json::from_value(answer).unwrap_or_default());
        let read = read.expect("a list");
        let networks: Vec<String> = read.value.0.keys().map(ToString::to_string).collect();
        assert_eq!(networks, ["0.0.0.0/1", "192.0.2.9/32", "198.51.100.0/24"]);
        assert_eq!(read.odd.count, 2);
    }

    #[test]
    fn users_keep_their_limits_and_masked_passwords_are_none() {
        let answer = json!({"default_ratelimit_value": "25", "default_ratelimit_period": "1 hour", "results": [
            {"username": "Printer1", "status": "allowed", "email_password": "secret-1", "custom_ratelimit": true,
             "custom_ratelimit_value": 5, "custom_ratelimit_period": "0:30:00"},
            {"username": "ups", "sending_allowed": true, "email_password": "********"},
            {"username": "cam", "status": "allowed", "custom_ratelimit": true, "custom_ratelimit_period": "often"},
            {"status": "allowed"}, {"status": "allowed", "username": "ev\u{1b}[2Jil"},
        ]});
        let mut asked = Vec::new();
        let read = read_users(
            serde_json::from_value(answer).unwrap_or_default(),
            &HashMap::new(),
            |name, password, _| {
                asked.push(format!("{name} {password}"));
                None
            },
        )
        .expect("users");
        assert_eq!(asked, ["Printer1 secret-1"]);
        let users = read.value;
        assert_eq!((users.len(), read.odd.count), (3, 3));
        let limit = |name: &str| {
            users
                .limit_of(name)
                .map(|limit| (limit.mails, limit.period.as_secs()))
        };
        assert_eq!(limit("PRINTER1"), Some((5, 1800)));
        assert_eq!(limit("ups"), Some((25, 3600)));
    }

    #[test]
    fn odd_entries_are_shown_cleaned_and_cut_and_only_the_first_of_them() {
        let mut odd = Odd::default();
        for number in 0..50 {
            odd.add(format!("{number}\u{1b}[2J\n\u{202e}{}", "x".repeat(20_000)));
        }
        assert_eq!((odd.count, odd.first.len()), (50, ODD_SHOWN_MAX));
        assert_eq!(odd.first[0], format!("0 [2J  {}", "x".repeat(193)));
    }
}
