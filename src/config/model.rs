//! What the program needs: every value parsed, every reference checked.
//!
//! Made by `resolve.rs` alone. Other modules don't read it; `app` gives each its own settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::mail::{AddressPattern, Hidden, Mismatch, ReceivedDetail};
use crate::rules::{FromOverride, IpSource, KnowledgeRule};

use super::secret::Secret;
use super::settings::Settings;

/// Everything, parsed and consistent.
#[derive(Clone, Debug)]
pub struct Config {
    /// The greeted name.
    pub hostname: String,
    /// Where the spool and generated certificates live.
    pub data_dir: PathBuf,
    /// What goes to standard error.
    pub log: LogConfig,
    /// By name; at least one.
    pub listeners: BTreeMap<String, ListenerConfig>,
    /// By name; every account that a listener or device names is here.
    pub accounts: BTreeMap<String, AccountConfig>,
    /// By name.
    pub devices: BTreeMap<String, DeviceConfig>,
    /// What is added to headers, and what they may hold.
    pub headers: HeadersConfig,
    /// What to do where headers and envelope differ.
    pub mismatch: Mismatch,
    /// How recipients get a message that no header names.
    pub hidden: Hidden,
    /// How messages are handed on.
    pub forward: ForwardConfig,
    /// How the provider's rules are kept fresh.
    pub sync: SyncConfig,
    /// Whose word counts about addresses.
    pub ip: IpConfig,
    /// What is stored, how much of it and how long.
    pub spool: SpoolConfig,
    /// The door for operators.
    pub admin: AdminConfig,
    /// What it was resolved from.
    pub settings: Settings,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Text or JSON.
    pub format: LogFormat,
    /// A level or a filter.
    pub level: String,
}

/// `log.format`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// `[listeners.NAME]`
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// At least one.
    pub bind: Vec<SocketAddr>,
    /// Encryption.
    pub tls: TlsConfig,
    /// Networks whose clients need not sign in.
    pub trust: Vec<IpNet>,
    /// The account of those clients.
    pub account: String,
    /// Whether mail is taken over encrypted connections only.
    pub require_tls: bool,
    /// How sloppy a client may be.
    pub profile: Profile,
    /// Networks that may sign in without TLS.
    pub clear_auth: Vec<IpNet>,
    /// Octets.
    pub max_message_size: u64,
    /// In all.
    pub max_connections: usize,
    /// From one address.
    pub max_connections_per_address: usize,
    /// Of one message.
    pub max_recipients: usize,
    /// Silence between commands.
    pub command_timeout: Duration,
    /// Silence inside a message.
    pub data_timeout: Duration,
    /// Octets per second.
    pub min_rate: u64,
}

/// Encryption of a listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsConfig {
    /// When it starts.
    pub mode: TlsMode,
    /// Certificate chain and key; `None`: a generated certificate.
    pub files: Option<(PathBuf, PathBuf)>,
}

/// `listeners.NAME.tls`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsMode {
    /// Never.
    None,
    /// When the client asks for it.
    StartTls,
    /// With the first octet.
    Implicit,
}

/// `listeners.NAME.profile`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Profile {
    /// For networks that you don't control.
    Strict,
    /// For printers and the like.
    Device,
    /// For clients that don't wait for replies.
    Legacy,
}

/// `[accounts.NAME]`
#[derive(Clone, Debug)]
pub struct AccountConfig {
    /// Without a slash at the end.
    pub api_url: String,
    /// The provider's key.
    pub api_key: Secret<String>,
    /// Octets of its mail that may wait; `None`: as much as the spool takes.
    pub max_spool_size: Option<u64>,
}

/// `[devices.NAME]`
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Whose key forwards its mail.
    pub account: String,
    /// Its SMTP user at the provider.
    pub smtp_user: Option<String>,
    /// What it signs in with.
    pub credential: Option<(String, Credential)>,
    /// Whether its mail is taken over encrypted connections only.
    pub require_tls: bool,
    /// Where it may come from.
    pub networks: Vec<IpNet>,
    /// As whom it may send.
    pub allowed_senders: Vec<AddressPattern>,
    /// Whether its sender is replaced.
    pub from_override: FromOverride,
}

/// How a password is known.
#[derive(Clone, Debug)]
pub enum Credential {
    /// As it is.
    Password(Secret<String>),
    /// As an argon2 hash in PHC form.
    Hash(Secret<String>),
}

/// `[forward]`
#[derive(Clone, Debug)]
pub struct ForwardConfig {
    /// Wait before the second attempt.
    pub retry_first: Duration,
    /// The longest wait.
    pub retry_max: Duration,
    /// Age at which a message bounces.
    pub give_up_after: Duration,
    /// When an unanswered attempt is settled.
    pub confirm_after: Duration,
    /// How often an account with a refused key is tried.
    pub probe_interval: Duration,
    /// What to do about an unanswered attempt.
    pub unknown: UnknownPolicy,
    /// API calls at once, per account.
    pub concurrency: usize,
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// From the last octet sent to the answer.
    pub answer_timeout: Duration,
    /// Octets per second that the whole call is given.
    pub min_upload_rate: u64,
    /// Extra certificate authorities.
    pub ca_file: Option<PathBuf>,
}

/// `forward.unknown`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnknownPolicy {
    /// Send again, marked.
    Repeat,
    /// Leave it to the operator.
    Hold,
}

/// `[sync]`
#[derive(Clone, Copy, Debug)]
pub struct SyncConfig {
    /// Whether the provider is asked at all.
    pub enabled: bool,
    /// Between two looks at a section.
    pub interval: Duration,
    /// Between two looks at all suppressions; in between only new ones are fetched.
    pub suppressions_full: Duration,
    /// How long a list that was emptied is kept.
    pub shrink_guard: Duration,
    /// Whether SMTP users of the provider's may sign in with their own names.
    pub user_sign_in: bool,
    /// What to do without rules.
    pub knowledge: KnowledgeRule,
}

/// `[ip]`
#[derive(Clone, Copy, Debug)]
pub struct IpConfig {
    /// Whose word counts.
    pub source: IpSource,
    /// Whether an address that stands for many clients may be trusted all the same.
    pub i_know_nat: bool,
}

/// `[spool]`
#[derive(Clone, Copy, Debug)]
pub struct SpoolConfig {
    /// How long the trace of a settled message is kept.
    pub retention: Duration,
    /// Octets of the spool.
    pub max_size: u64,
    /// Octets of waiting mail of one device, or of a client without one.
    pub max_size_per_device: u64,
    /// Octets that stay free on its disk.
    pub min_free_disk: u64,
    /// Whether a data directory that does not survive a restart is refused.
    pub require_persistent: bool,
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Required beyond loopback.
    pub token: Option<Secret<String>>,
}

/// `[headers]`
#[derive(Clone, Copy, Debug)]
pub struct HeadersConfig {
    /// What `Received:` tells of the client.
    pub received: ReceivedDetail,
    /// `Received:` fields that a message may have.
    pub max_received: usize,
    /// How often it may have come through this gateway.
    pub max_passes: usize,
}
