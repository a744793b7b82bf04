//! Who may submit, and as whom: one immutable copy that a whole transaction sees.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::mail::{AddressPattern, Mailbox};

use super::{AccountRules, RateLimit};

/// Everything policy decides by.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// By listener name.
    pub listeners: BTreeMap<Arc<str>, ListenerRule>,
    /// By device name.
    pub devices: BTreeMap<Arc<str>, DeviceRule>,
    /// What the provider allows, by the account's name.
    pub accounts: BTreeMap<Arc<str>, Arc<AccountRules>>,
    /// Whose word counts about addresses.
    pub ip: IpRule,
    /// What to do without the provider's rules.
    pub knowledge: KnowledgeRule,
}

impl Rules {
    /// Whether a device's networks or the listener's trust name this address, and it stands for one client.
    pub fn names(&self, listener: &str, address: IpAddr) -> bool {
        let covers = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        let trusted = |rule: &ListenerRule| covers(&rule.trust);
        !self.ip.shared.contains(&address)
            && (self.listeners.get(listener).is_some_and(trusted)
                || self.devices.values().any(|rule| covers(&rule.networks)))
    }

    /// The accounts whose keys forward somebody's mail.
    pub fn forwarding_accounts(&self) -> impl Iterator<Item = &str> {
        let listeners = self.listeners.values().map(|listener| &*listener.account);
        listeners.chain(self.devices.values().map(|device| &*device.account))
    }

    /// What the provider allows an account; nothing is known of one that is not synchronised.
    pub fn account(&self, name: &str) -> &AccountRules {
        self.accounts.get(name).map_or(&NOTHING_KNOWN, Arc::as_ref)
    }

    /// Whether users of the provider's may sign in, and who they are is not known yet.
    pub fn awaits_users(&self) -> bool {
        self.knowledge.user_sign_in && self.accounts.values().any(|known| known.users_awaited)
    }

    /// How much the mail of a lane may be, and whose limit that is.
    pub fn limit_of_lane(&self, account: &str, lane: &str) -> Option<(LimitOwner, RateLimit)> {
        let known = self.account(account);
        let user = match self.devices.get(lane) {
            Some(device) => device.smtp_user.as_deref(),
            None => lane.strip_prefix(USER_LANE),
        };
        if let Some(user) = user {
            let limit = known.users.value()?.limit_of(user)?;
            return Some((LimitOwner::User(user.to_lowercase()), limit));
        }
        let address: IpAddr = lane.parse().ok()?;
        let (network, rule) = known.ip_auth.value()?.covering(address)?;
        Some((LimitOwner::Network(*network), rule.limit?))
    }
}

/// Whose mails a limit counts.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum LimitOwner {
    /// An SMTP user of the provider, in lower case.
    User(String),
    /// An entry for addresses that need no credential there: all of them together.
    Network(IpNet),
}

/// What the lane of a client that signed in as an SMTP user begins with; no device is called so.
pub const USER_LANE: &str = "user:";

static NOTHING_KNOWN: std::sync::LazyLock<AccountRules> =
    std::sync::LazyLock::new(AccountRules::default);

/// Whose word counts about client addresses.
#[derive(Clone, Debug, Default)]
pub struct IpRule {
    /// Ours, the provider's, one of them or both.
    pub source: IpSource,
    /// Addresses that stand for many clients: a container's gateway, a NAT router. Nothing rests on them alone.
    pub shared: Vec<IpAddr>,
}

/// `ip.source`
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum IpSource {
    /// The provider's lists alone.
    Provider,
    /// Our networks alone.
    Local,
    /// Either of them allows it.
    #[default]
    Either,
    /// Both of them allow it.
    Both,
}

/// What to do where the provider's rules are not known, or too old.
#[derive(Clone, Copy, Debug)]
pub struct KnowledgeRule {
    /// Where a section was never fetched.
    pub unknown: WithoutRules,
    /// Where it was not confirmed for `stale_after`.
    pub stale: WhenStale,
    /// When a section is too old.
    pub stale_after: Duration,
    /// Whether SMTP users of the provider's may sign in with their own names.
    pub user_sign_in: bool,
}

impl Default for KnowledgeRule {
    fn default() -> Self {
        Self {
            unknown: WithoutRules::Devices,
            stale: WhenStale::Enforce,
            stale_after: Duration::from_secs(7 * 86_400),
            user_sign_in: true,
        }
    }
}

/// `sync.without_rules`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WithoutRules {
    /// Refuse for now.
    Refuse,
    /// Allow what the configuration itself allows.
    Devices,
}

/// `sync.when_stale`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenStale {
    /// Go on by them.
    Enforce,
    /// Refuse for now.
    Refuse,
    /// Allow what the configuration itself allows.
    Devices,
}

/// What a listener allows by itself.
#[derive(Clone, Debug)]
pub struct ListenerRule {
    /// The account of trusted peers.
    pub account: Arc<str>,
    /// Networks whose peers may submit without AUTH.
    pub trust: Vec<IpNet>,
    /// Whether mail is taken over encrypted connections only.
    pub require_tls: bool,
}

/// One device.
#[derive(Clone, Debug)]
pub struct DeviceRule {
    /// The account whose key forwards its mail.
    pub account: Arc<str>,
    /// Whether the device has a credential; then its address alone is not enough.
    pub has_credential: bool,
    /// Its SMTP user at the provider, whose standing and limit are its own.
    pub smtp_user: Option<Arc<str>>,
    /// Whether its mail is taken over encrypted connections only.
    pub require_tls: bool,
    /// Where it may come from; empty means anywhere (only with a credential).
    pub networks: Vec<IpNet>,
    /// As whom it may send; empty means as any sender the account allows.
    pub allowed_senders: Vec<AddressPattern>,
    /// What to do with a sender address.
    pub from_override: FromOverride,
}

/// Whether a device's sender address is replaced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FromOverride {
    /// Never.
    Off,
    /// When the device's own address is not allowed.
    IfNotAllowed(Mailbox),
    /// On every message.
    Always(Mailbox),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_and_devices_name_an_address_that_stands_for_one_client() {
        let network = |text: &str| -> IpNet { text.parse().expect("a network") };
        let mut rules = Rules::default();
        let listener = ListenerRule {
            account: "default".into(),
            trust: vec![network("10.0.1.0/24")],
            require_tls: false,
        };
        let device = DeviceRule {
            account: "default".into(),
            has_credential: false,
            smtp_user: None,
            require_tls: false,
            networks: vec![network("10.0.2.7/32")],
            allowed_senders: Vec::new(),
            from_override: FromOverride::Off,
        };
        rules.listeners.insert("lan".into(), listener);
        rules.devices.insert("cam".into(), device);
        let names = |rules: &Rules, listener: &str, address: &str| {
            rules.names(listener, address.parse().expect("an address"))
        };
        assert!(names(&rules, "lan", "10.0.1.9") && names(&rules, "lan", "10.0.2.7"));
        assert!(
            names(&rules, "other", "10.0.2.7"),
            "a device is one anywhere"
        );
        assert!(!names(&rules, "other", "10.0.1.9") && !names(&rules, "lan", "10.0.2.8"));
        rules
            .ip
            .shared
            .push("10.0.1.9".parse().expect("an address"));
        assert!(!names(&rules, "lan", "10.0.1.9"), "it stands for many");
    }
}
