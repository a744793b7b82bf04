//! What is known about a session while it lasts, and who its client has shown to be.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Names one client connection in the log.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Everything a decision may know about the session it is made in.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// The connection's name in the log.
    pub session: SessionId,
    /// The listener's name in the configuration.
    pub listener: Arc<str>,
    /// The client; an IPv4-mapped address is already turned into IPv4.
    pub peer: SocketAddr,
    /// What HELO or EHLO said, cleaned of everything that can't be printed; `None` before either.
    pub helo: Option<String>,
    /// Whether the client greeted with EHLO.
    pub extended: bool,
    /// The encryption of the connection; `None` in clear.
    pub tls: Option<TlsFacts>,
    /// Who signed in; `None` without AUTH.
    pub identity: Option<Identity>,
}

impl SessionFacts {
    /// The facts of a connection that has not said anything yet.
    pub fn new(session: SessionId, listener: Arc<str>, peer: SocketAddr) -> Self {
        Self {
            session,
            listener,
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            helo: None,
            extended: false,
            tls: None,
            identity: None,
        }
    }

    /// The client's address without its port.
    pub fn address(&self) -> IpAddr {
        self.peer.ip()
    }

    /// The protocol name for `Received:` (RFC 3848).
    pub fn protocol(&self) -> &'static str {
        match (self.extended, self.tls.is_some(), self.identity.is_some()) {
            (false, _, _) => "SMTP",
            (true, false, false) => "ESMTP",
            (true, false, true) => "ESMTPA",
            (true, true, false) => "ESMTPS",
            (true, true, true) => "ESMTPSA",
        }
    }
}

/// The agreed encryption.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFacts {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
}

/// Whom a credential belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Identity {
    /// A device of the configuration.
    Device(Arc<str>),
    /// An SMTP user of the provider's, with its own name and password.
    User {
        /// The account it belongs to.
        account: Arc<str>,
        /// As the provider spells it.
        name: Arc<str>,
    },
}

impl Identity {
    /// The device's or the user's name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Device(name) | Self::User { name, .. } => name,
        }
    }
}

/// What a client presented to sign in. Its secret never shows in a log.
#[derive(Clone, Eq, PartialEq)]
pub struct SignIn {
    /// The user name, as decoded.
    pub username: String,
    /// The password, as opaque octets.
    pub password: Vec<u8>,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}

/// `headers.received`
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReceivedDetail {
    /// The client's address and what it said in HELO.
    #[default]
    Full,
    /// Neither.
    Anonymous,
}
