//! On whose behalf a transaction runs, and what that rests on.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::USER_LANE;

/// On whose behalf a transaction runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Submitter {
    /// The account whose key forwards the mail. Follows from listener, address or credential, never from a header.
    pub account: Arc<str>,
    /// The configured device; `None` for a peer that is only trusted by its network.
    pub device: Option<Arc<str>>,
    /// The SMTP user at the provider whose standing and limit apply.
    pub user: Option<Arc<str>>,
    /// What the right to submit rests on.
    pub basis: Basis,
}

/// What the right to submit rests on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Basis {
    /// The client signed in.
    Credential,
    /// The client's address belongs to a device.
    Address,
    /// The client's address lies in a trusted network of the listener.
    Trust,
    /// The provider lets the client's address in without a credential.
    ProviderAddress,
}

impl Submitter {
    /// Who takes turns with others, and whose share of the spool is limited: the device, the SMTP user that
    /// signed in, or the address of a client that is neither.
    pub fn lane(&self, address: IpAddr) -> String {
        match (&self.device, &self.user) {
            (Some(device), _) => device.to_string(),
            (None, Some(user)) => format!("{USER_LANE}{user}"),
            (None, None) => address.to_string(),
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credential => "credential",
            Self::Address => "address",
            Self::Trust => "trust",
            Self::ProviderAddress => "provider_address",
        })
    }
}
