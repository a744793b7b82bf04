//! Who may submit, and as whom: one immutable copy that a whole transaction sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::{AddressPattern, Mailbox};

/// Everything policy decides by.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// By listener name.
    pub listeners: BTreeMap<Arc<str>, ListenerRule>,
    /// By device name.
    pub devices: BTreeMap<Arc<str>, DeviceRule>,
}

impl Rules {
    /// The accounts whose keys forward somebody's mail.
    pub fn accounts(&self) -> impl Iterator<Item = &str> {
        let listeners = self.listeners.values().map(|listener| &*listener.account);
        listeners.chain(self.devices.values().map(|device| &*device.account))
    }
}

/// What a listener allows by itself.
#[derive(Clone, Debug)]
pub struct ListenerRule {
    /// The account of trusted peers.
    pub account: Arc<str>,
    /// Networks whose peers may submit without AUTH.
    pub trust: Vec<IpNet>,
}

/// One device.
#[derive(Clone, Debug)]
pub struct DeviceRule {
    /// The account whose key forwards its mail.
    pub account: Arc<str>,
    /// Whether the device has a credential; then its address alone is not enough.
    pub has_credential: bool,
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
