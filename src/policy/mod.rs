//! Who may send, as whom: pure decisions over one immutable [`Rules`].
//!
//! Nothing is allowed unless something allows it: a credential, a device's address, or a trusted
//! network of the listener. What rests on an address is checked against the address, what names a
//! sender against the device's list, and all of it must agree. Every refusal says which setting it
//! follows from.

use ipnet::IpNet;

use crate::mail::{
    Basis, DeviceRule, FromOverride, HeaderSender, Identity, Mailbox, Reply, ReversePath, Rules,
    SessionFacts, Submitter, reply,
};

/// A decision against the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What the client is told.
    pub reply: Reply,
    /// What the operator is told: the setting it follows from, and what to change.
    pub hint: String,
}

/// What happens to a message's sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SenderAction {
    /// It stays.
    Keep,
    /// The header lacks one; this one is added.
    Complete(Mailbox),
    /// Envelope, From and Sender become this one.
    Override(Mailbox),
}

/// Whether the device may sign in from where the client is.
///
/// # Errors
/// When its networks don't cover the client's address.
pub fn sign_in(rules: &Rules, facts: &SessionFacts, identity: &Identity) -> Result<(), Refusal> {
    let device = &identity.device;
    match rules.devices.get(device) {
        Some(rule) if rule.networks.is_empty() || covers(&rule.networks, facts) => Ok(()),
        _ => Err(Refusal {
            reply: reply::SIGN_IN_REFUSED,
            hint: format!(
                "devices.{device}.networks does not cover {}",
                facts.address()
            ),
        }),
    }
}

/// On whose behalf the client submits: its credential, else a device of its address (the narrowest
/// network wins), else the listener's trust.
///
/// # Errors
/// When nothing allows it.
pub fn submitter(rules: &Rules, facts: &SessionFacts) -> Result<Submitter, Refusal> {
    if let Some(identity) = &facts.identity {
        let rule = rules.devices.get(&identity.device).ok_or_else(|| Refusal {
            reply: reply::SIGN_IN_REQUIRED,
            hint: format!("devices.{} is no longer configured", identity.device),
        })?;
        return Ok(Submitter {
            account: rule.account.clone(),
            device: Some(identity.device.clone()),
            basis: Basis::Credential,
        });
    }
    let by_address = rules
        .devices
        .iter()
        .filter(|(_, rule)| !rule.has_credential)
        .flat_map(|(name, rule)| rule.networks.iter().map(move |net| (name, rule, net)))
        .filter(|(_, _, network)| network.contains(&facts.address()))
        .max_by_key(|(_, _, network)| network.prefix_len());
    if let Some((name, rule, _)) = by_address {
        return Ok(Submitter {
            account: rule.account.clone(),
            device: Some(name.clone()),
            basis: Basis::Address,
        });
    }
    let listener = &facts.listener;
    match rules.listeners.get(listener) {
        Some(rule) if covers(&rule.trust, facts) => Ok(Submitter {
            account: rule.account.clone(),
            device: None,
            basis: Basis::Trust,
        }),
        _ => Err(Refusal {
            reply: reply::SIGN_IN_REQUIRED,
            hint: format!(
                "no device and no trust for {}: let the client sign in, add its address to a \
                 device's networks, or to listeners.{listener}.trust",
                facts.address()
            ),
        }),
    }
}

/// Whether the submitter may use this reverse-path. A null one is judged by the header alone.
///
/// # Errors
/// When the device's list does not cover it and nothing replaces it.
pub fn sender(
    rules: &Rules,
    submitter: &Submitter,
    reverse_path: &ReversePath,
) -> Result<(), Refusal> {
    let Some((name, rule)) = device_rule(rules, submitter) else {
        return Ok(());
    };
    match reverse_path {
        ReversePath::Mailbox(mailbox)
            if rule.from_override == FromOverride::Off && !allows(rule, mailbox) =>
        {
            Err(not_allowed(name, reply::sender_not_allowed(mailbox)))
        }
        _ => Ok(()),
    }
}

/// What happens to the sender of a complete message; envelope and header must both be allowed.
///
/// # Errors
/// When either is not, and nothing replaces it.
pub fn message(
    rules: &Rules,
    submitter: &Submitter,
    reverse_path: &ReversePath,
    header: &HeaderSender,
) -> Result<SenderAction, Refusal> {
    let device = device_rule(rules, submitter);
    if let Some((_, rule)) = device
        && let FromOverride::Always(address) = &rule.from_override
    {
        return Ok(SenderAction::Override(address.clone()));
    }
    let judged = judge(device, reverse_path, header);
    match (judged, device.map(|(_, rule)| &rule.from_override)) {
        (Err(_), Some(FromOverride::IfNotAllowed(address))) => {
            Ok(SenderAction::Override(address.clone()))
        }
        (judged, _) => judged,
    }
}

fn judge(
    device: Option<(&str, &DeviceRule)>,
    reverse_path: &ReversePath,
    header: &HeaderSender,
) -> Result<SenderAction, Refusal> {
    let plain = |reply: Reply, hint: &str| Refusal {
        reply,
        hint: hint.to_owned(),
    };
    if let (Some((name, rule)), Some(mailbox)) = (device, reverse_path.mailbox())
        && !allows(rule, mailbox)
    {
        return Err(not_allowed(name, reply::sender_not_allowed(mailbox)));
    }
    let restricted = device.is_some_and(|(_, rule)| !rule.allowed_senders.is_empty());
    match header {
        HeaderSender::Several => Err(plain(
            reply::TWO_FROM_HEADERS,
            "two readers would see two different senders",
        )),
        HeaderSender::Unreadable if restricted => Err(plain(
            reply::FROM_UNREADABLE,
            "allowed_senders can't be checked against a From that can be read in two ways",
        )),
        HeaderSender::Unreadable => Ok(SenderAction::Keep),
        HeaderSender::Missing(others) => match reverse_path.mailbox() {
            Some(mailbox) => {
                all_allowed(device, others).map(|()| SenderAction::Complete(mailbox.clone()))
            }
            None => Err(plain(
                reply::FROM_MISSING,
                "neither the envelope nor the header names a sender",
            )),
        },
        HeaderSender::Addresses(addresses) => {
            all_allowed(device, addresses).map(|()| SenderAction::Keep)
        }
    }
}

fn all_allowed(device: Option<(&str, &DeviceRule)>, addresses: &[Mailbox]) -> Result<(), Refusal> {
    let Some((name, rule)) = device else {
        return Ok(());
    };
    match addresses.iter().find(|address| !allows(rule, address)) {
        Some(address) => Err(not_allowed(name, reply::header_sender_not_allowed(address))),
        None => Ok(()),
    }
}

fn device_rule<'r>(rules: &'r Rules, submitter: &Submitter) -> Option<(&'r str, &'r DeviceRule)> {
    let name = submitter.device.as_ref()?;
    let (name, rule) = rules.devices.get_key_value(name)?;
    Some((name, rule))
}

fn allows(rule: &DeviceRule, mailbox: &Mailbox) -> bool {
    let allowed = &rule.allowed_senders;
    allowed.is_empty() || allowed.iter().any(|pattern| pattern.covers(mailbox))
}

fn not_allowed(device: &str, reply: Reply) -> Refusal {
    Refusal {
        reply,
        hint: format!(
            "not in devices.{device}.allowed_senders: add the address there, change the sender on \
             the device, or set from_override"
        ),
    }
}

fn covers(networks: &[IpNet], facts: &SessionFacts) -> bool {
    networks
        .iter()
        .any(|network| network.contains(&facts.address()))
}
