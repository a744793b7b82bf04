//! On whose behalf the client submits, and whether it may from where it is and as who it is.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::mail::{Identity, Reply, reply};
use crate::rules::{Basis, IpSource, Says, SectionName, Standing, Submitter};

use super::{Policy, Refusal};

const CONNECT: &str = "connect";
const TLS: &str = "tls";
const SIGN_IN: &str = "sign-in";

impl Policy<'_> {
    /// Whether whoever proved to be `identity` may sign in from here.
    ///
    /// # Errors
    /// When not; the reply fits AUTH.
    pub fn sign_in(&self, identity: &Identity) -> Result<(), Refusal> {
        let submitter = self.by_credential(identity)?;
        self.admit(&submitter).map_err(|refusal| Refusal {
            reply: match refusal.reply.code() {
                451 => reply::SIGN_IN_UNAVAILABLE,
                530 => refusal.reply,
                _ if refusal.reply == reply::USER_BLOCKED => reply::USER_BLOCKED_AT_SIGN_IN,
                _ if refusal.reply == reply::USER_UNKNOWN => reply::USER_UNKNOWN_AT_SIGN_IN,
                // The password was right; whoever guessed it from elsewhere need not know.
                _ => reply::SIGN_IN_REFUSED,
            },
            ..refusal
        })
    }

    /// On whose behalf the client submits: its credential, else a device of its address (the narrowest network
    /// wins), else the listener's trust, else the provider's list of addresses without a credential. It may do so
    /// from here, over this connection, as this user.
    ///
    /// # Errors
    /// When nothing allows it, or something forbids it.
    pub fn submitter(&self) -> Result<Submitter, Refusal> {
        let submitter = match &self.facts.identity {
            Some(identity) => self.by_credential(identity)?,
            None => self.by_address()?,
        };
        self.admit(&submitter)?;
        Ok(submitter)
    }

    fn by_credential(&self, identity: &Identity) -> Result<Submitter, Refusal> {
        let gone = |what: String| Refusal::ours(reply::SIGN_IN_REQUIRED, what);
        match identity {
            Identity::Device(name) => {
                let rule = self.rules.devices.get(name);
                let rule =
                    rule.ok_or_else(|| gone(format!("devices.{name} is no longer configured")))?;
                let says = Says::Allow;
                self.note_setting(CONNECT, says, name, format!("devices.{name}"), "signed in");
                Ok(Submitter {
                    account: Arc::clone(&rule.account),
                    device: Some(Arc::clone(name)),
                    user: rule.smtp_user.clone(),
                    basis: Basis::Credential,
                })
            }
            Identity::User { account, name } => {
                let source = format!("{account}/users");
                self.note_setting(CONNECT, Says::Allow, name, source, "signed in");
                Ok(Submitter {
                    account: Arc::clone(account),
                    device: None,
                    user: Some(Arc::clone(name)),
                    basis: Basis::Credential,
                })
            }
        }
    }

    fn by_address(&self) -> Result<Submitter, Refusal> {
        let address = self.facts.address();
        let listener = &self.facts.listener;
        let local = self.local_by_address();
        let account = match (&local, self.rules.listeners.get(listener)) {
            (Some(submitter), _) => Arc::clone(&submitter.account),
            (None, Some(rule)) => Arc::clone(&rule.account),
            (None, None) => return Err(self.stranger()),
        };
        let source = self.rules.ip.source;
        let provided = match source {
            IpSource::Local => ByProvider::Unknown,
            // An address that is blocked there is refused here, whatever else lets it in.
            _ => self.ip_auth(&account, address)?,
        };
        let by_provider = (provided == ByProvider::Lists).then_some(Submitter {
            account,
            device: None,
            user: None,
            basis: Basis::ProviderAddress,
        });
        let granted = match (source, local, by_provider) {
            // A device is known by its address, but the provider's list is what lets it in.
            (IpSource::Provider, Some(local), Some(_)) if local.device.is_some() => Some(local),
            // Nobody knows: the configuration decides, as everywhere.
            (IpSource::Provider, local, None) if provided == ByProvider::Unknown => local,
            (IpSource::Provider, _, by_provider) => by_provider,
            (IpSource::Both, local, _) => local,
            (_, local, by_provider) => local.or(by_provider),
        };
        granted.ok_or_else(|| self.stranger())
    }

    fn local_by_address(&self) -> Option<Submitter> {
        let address = self.facts.address();
        let by_address = self
            .rules
            .devices
            .iter()
            .filter(|(_, rule)| !rule.has_credential)
            .flat_map(|(name, rule)| rule.networks.iter().map(move |net| (name, rule, net)))
            .filter(|(_, _, network)| network.contains(&address))
            .max_by_key(|(_, _, network)| network.prefix_len());
        if let Some((name, rule, network)) = by_address {
            let source = format!("devices.{name}.networks");
            self.note_setting(CONNECT, Says::Allow, address, source, network);
            return Some(Submitter {
                account: Arc::clone(&rule.account),
                device: Some(Arc::clone(name)),
                user: rule.smtp_user.clone(),
                basis: Basis::Address,
            });
        }
        let listener = &self.facts.listener;
        let rule = self.rules.listeners.get(listener)?;
        let trusted = covering(&rule.trust, address);
        let says = if trusted.is_some() {
            Says::Allow
        } else {
            Says::Nothing
        };
        self.note_setting(
            CONNECT,
            says,
            address,
            format!("listeners.{listener}.trust"),
            trusted.map_or_else(|| "does not cover it".to_owned(), ToString::to_string),
        );
        trusted.map(|_| Submitter {
            account: Arc::clone(&rule.account),
            device: None,
            user: None,
            basis: Basis::Trust,
        })
    }

    fn stranger(&self) -> Refusal {
        let (address, listener) = (self.facts.address(), &self.facts.listener);
        Refusal::ours(
            reply::SIGN_IN_REQUIRED,
            format!(
                "no device and no trust for {address}: let the client sign in, add its address to a \
                 device's networks, or to listeners.{listener}.trust"
            ),
        )
    }

    /// The provider's entry for an address that needs no credential.
    fn ip_auth(&self, account: &Arc<str>, address: IpAddr) -> Result<ByProvider, Refusal> {
        let section = SectionName::IpAuth;
        let of = &self.rules.account(account).ip_auth;
        let Some(heeded) = self.heed(CONNECT, account, section, of)? else {
            return Ok(ByProvider::Unknown);
        };
        let Some((network, rule)) = heeded.value.covering(address) else {
            self.note_provided(CONNECT, Says::Nothing, address, heeded.of, "not listed");
            return Ok(ByProvider::Silent);
        };
        if let Standing::Blocked(why) = &rule.standing {
            self.note_provided(CONNECT, Says::Refuse, address, heeded.of, why);
            let hint =
                format!("{account}/{section} blocks {network}: {why}; see `api ip-auth view`");
            let reply = reply::ADDRESS_NOT_ALLOWED;
            return Err(heeded.of.refusal(reply, address, hint));
        }
        self.note_provided(CONNECT, Says::Allow, address, heeded.of, "listed");
        Ok(ByProvider::Lists)
    }

    /// Everything about the session that has a say, whoever submits.
    fn admit(&self, submitter: &Submitter) -> Result<(), Refusal> {
        self.shared_address(submitter)?;
        let local = self.local_word(submitter)?;
        self.ip_list(submitter, local)?;
        self.tls(submitter)?;
        self.standing(submitter)
    }

    /// Behind a container's gateway or a NAT router everybody has its address: nothing may rest on it.
    fn shared_address(&self, submitter: &Submitter) -> Result<(), Refusal> {
        let address = self.facts.address();
        if submitter.basis == Basis::Credential || !self.rules.ip.shared.contains(&address) {
            return Ok(());
        }
        self.note_setting(
            CONNECT,
            Says::Refuse,
            address,
            "ip.i_know_nat",
            "many clients have this address",
        );
        let hint = format!(
            "{address} is the gateway of this container or machine: every client behind it looks the same. Let \
             devices sign in, or set ip.i_know_nat = true if all of them may send"
        );
        Err(Refusal::ours(reply::SIGN_IN_REQUIRED, hint))
    }

    /// What our own networks say about the client.
    fn local_word(&self, submitter: &Submitter) -> Result<Local, Refusal> {
        let address = self.facts.address();
        if let (Basis::Credential, Some((name, rule))) = (submitter.basis, self.device(submitter))
            && !rule.networks.is_empty()
        {
            let source = format!("devices.{name}.networks");
            let Some(network) = covering(&rule.networks, address) else {
                self.note_setting(CONNECT, Says::Refuse, address, source, "not covered");
                let hint = format!("devices.{name}.networks does not cover {address}");
                return Err(Refusal::ours(reply::ADDRESS_NOT_ALLOWED, hint));
            };
            self.note_setting(CONNECT, Says::Allow, address, source, network);
            return Ok(Local::Covered);
        }
        Ok(match submitter.basis {
            Basis::Address | Basis::Trust => Local::Covered,
            Basis::ProviderAddress => Local::Silent,
            Basis::Credential if submitter.device.is_some() => Local::Unbounded,
            Basis::Credential => {
                let rule = self.rules.listeners.get(&self.facts.listener);
                let trusted = rule.is_some_and(|rule| covering(&rule.trust, address).is_some());
                if trusted {
                    Local::Covered
                } else {
                    Local::Silent
                }
            }
        })
    }

    /// The provider's list of addresses that may use SMTP, against our own networks.
    fn ip_list(&self, submitter: &Submitter, local: Local) -> Result<(), Refusal> {
        let source = self.rules.ip.source;
        let (address, account) = (self.facts.address(), &submitter.account);
        if source == IpSource::Both && local == Local::Silent {
            let setting = "ip.source";
            self.note_setting(CONNECT, Says::Refuse, address, setting, "both");
            let hint = format!(
                "ip.source is \"both\", and none of our own networks covers {address}: add it to the device's \
                 networks or to the listener's trust"
            );
            return Err(Refusal::ours(reply::ADDRESS_NOT_ALLOWED, hint));
        }
        if source == IpSource::Local {
            return Ok(());
        }
        let section = SectionName::IpAllowListSmtp;
        let of = &self.rules.account(account).ip_smtp;
        let Some(heeded) = self.heed(CONNECT, account, section, of)? else {
            return Ok(());
        };
        if !heeded.value.enabled {
            self.note_provided(CONNECT, Says::Nothing, address, heeded.of, "switched off");
            return Ok(());
        }
        if let Some(network) = heeded.value.covering(address) {
            self.note_provided(CONNECT, Says::Allow, address, heeded.of, network);
            return Ok(());
        }
        if source == IpSource::Either
            && (local != Local::Silent || submitter.basis == Basis::ProviderAddress)
        {
            self.note_provided(CONNECT, Says::Nothing, address, heeded.of, "not listed");
            return Ok(());
        }
        self.note_provided(CONNECT, Says::Refuse, address, heeded.of, "not listed");
        let hint = format!(
            "{account}/{section} is switched on and does not list {address}: add it there (`api ip-allow-list \
             add`), to the device's networks, or see ip.source"
        );
        let reply = reply::ADDRESS_NOT_ALLOWED;
        Err(heeded.of.refusal(reply, address, hint))
    }

    fn tls(&self, submitter: &Submitter) -> Result<(), Refusal> {
        let listener = &self.facts.listener;
        let by_listener = self
            .rules
            .listeners
            .get(listener)
            .filter(|rule| rule.require_tls);
        let by_device = self.device(submitter).filter(|(_, rule)| rule.require_tls);
        let source = match (by_listener, by_device) {
            (Some(_), _) => format!("listeners.{listener}.require_tls"),
            (None, Some((name, _))) => format!("devices.{name}.require_tls"),
            (None, None) => return Ok(()),
        };
        let encrypted = self.facts.tls.is_some();
        let says = if encrypted { Says::Allow } else { Says::Refuse };
        let value = if encrypted { "encrypted" } else { "in clear" };
        self.note_setting(TLS, says, &submitter.account, &source, value);
        if encrypted {
            return Ok(());
        }
        let hint = format!("{source} is true, and the connection is not encrypted");
        Err(Refusal::ours(reply::TLS_REQUIRED, hint))
    }

    /// Whether the SMTP user at the provider may send.
    fn standing(&self, submitter: &Submitter) -> Result<(), Refusal> {
        let Some(user) = &submitter.user else {
            return Ok(());
        };
        let (account, section) = (&submitter.account, SectionName::Users);
        let of = &self.rules.account(account).users;
        let Some(heeded) = self.heed(SIGN_IN, account, section, of)? else {
            return Ok(());
        };
        let (reply, why): (Reply, &str) = match heeded.value.get(user) {
            Some(rule) => match &rule.standing {
                Standing::Allowed => {
                    self.note_provided(SIGN_IN, Says::Allow, user, heeded.of, "allowed");
                    return Ok(());
                }
                Standing::Sandbox => {
                    let value =
                        "sandbox: delivered all the same, the API key's sandbox is what counts";
                    self.note_provided(SIGN_IN, Says::Allow, user, heeded.of, value);
                    return Ok(());
                }
                Standing::Blocked(why) => (reply::USER_BLOCKED, why),
            },
            None => (reply::USER_UNKNOWN, "no such user"),
        };
        self.note_provided(SIGN_IN, Says::Refuse, user, heeded.of, why);
        let hint =
            format!("{account}/{section}: {user}: {why}; see `api users view --username {user}`");
        Err(heeded.of.refusal(reply, user, hint))
    }
}

/// What the provider's list of addresses without a credential says about a client.
#[derive(Clone, Copy, PartialEq)]
enum ByProvider {
    /// It is on it.
    Lists,
    /// It is not.
    Silent,
    /// Nobody knows, or nobody asks.
    Unknown,
}

/// What our own networks say about a client.
#[derive(Clone, Copy, PartialEq)]
enum Local {
    /// They cover its address.
    Covered,
    /// It is a device that may come from anywhere.
    Unbounded,
    /// Nothing: it is not one of ours.
    Silent,
}

fn covering(networks: &[IpNet], address: IpAddr) -> Option<&IpNet> {
    networks.iter().find(|network| network.contains(&address))
}
