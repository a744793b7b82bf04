//! Checks the merged tree and turns it into what the program needs.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::mail::{AddressPattern, Hidden, Mailbox, Mismatch, ReceivedDetail};
use crate::rules::{FromOverride, IpSource, KnowledgeRule, USER_LANE, WhenStale, WithoutRules};

use super::model::{
    AccountConfig, AdminConfig, Config, Credential, DeviceConfig, ForwardConfig, HeadersConfig,
    IpConfig, ListenerConfig, LogConfig, LogFormat, Profile, SpoolConfig, SyncConfig, TlsConfig,
    TlsMode, UnknownPolicy,
};
use super::reader::{Mistakes, Reader, blemish};
use super::secret::Secret;
use super::settings::{ConfigError, Settings};

impl Config {
    /// Checks everything.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn resolve(settings: &Settings) -> Result<Self, ConfigError> {
        let mistakes = Mistakes::default();
        let root = Reader::root(settings, &mistakes);
        let (mismatch, hidden) = envelope(&root);
        let config = Self {
            hostname: hostname(&root),
            data_dir: root
                .text("data_dir")
                .map_or_else(PathBuf::new, PathBuf::from),
            log: log(&root),
            listeners: named(&root, "listeners", listener),
            accounts: named(&root, "accounts", account),
            devices: named(&root, "devices", device),
            mismatch,
            hidden,
            headers: headers(&root),
            forward: forward(&root),
            sync: sync(&root),
            ip: ip(&root),
            spool: spool(&root),
            admin: admin(&root),
            settings: settings.clone(),
        };
        if config.data_dir.as_os_str().is_empty() {
            root.wrong("data_dir", "a directory that survives a restart");
        }
        root.finish();
        config.cross_check(&mistakes);
        let mistakes = mistakes.into_vec();
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { mistakes })
        }
    }

    fn cross_check(&self, mistakes: &Mistakes) {
        if self.listeners.is_empty() {
            mistakes.add("listeners", "(none)", "at least one listener");
        }
        let listeners = self
            .listeners
            .iter()
            .map(|(name, listener)| (format!("listeners.{name}.account"), &listener.account));
        let devices = self
            .devices
            .iter()
            .map(|(name, device)| (format!("devices.{name}.account"), &device.account));
        for (key, account) in listeners.chain(devices) {
            if !self.accounts.contains_key(account) {
                let known: Vec<&str> = self.accounts.keys().map(String::as_str).collect();
                let expected = format!("an account that is configured ({})", known.join(", "));
                mistakes.add(key, format!("{account:?}"), expected);
            }
        }
        let mut bound: HashMap<SocketAddr, &str> = HashMap::new();
        for (name, listener) in &self.listeners {
            for address in listener.bind.iter().filter(|address| address.port() != 0) {
                if let Some(other) = bound.insert(*address, name) {
                    let key = format!("listeners.{name}.bind");
                    let expected = format!("an address that listener {other} does not use");
                    mistakes.add(key, address, expected);
                }
            }
        }
        if let Some(listener) = bound.get(&self.admin.bind) {
            let expected = format!("an address that listener {listener} does not use");
            mistakes.add("admin.bind", self.admin.bind, expected);
        }
        for name in self
            .devices
            .keys()
            .filter(|name| name.starts_with(USER_LANE))
        {
            let expected = format!("a name that does not begin with {USER_LANE:?}");
            mistakes.add(format!("devices.{name}"), format!("{name:?}"), expected);
        }
        let mut usernames: HashMap<&str, &str> = HashMap::new();
        let mut addresses: HashMap<IpNet, &str> = HashMap::new();
        for (name, device) in &self.devices {
            if let Some((username, _)) = &device.credential
                && let Some(other) = usernames.insert(username, name)
            {
                let key = format!("devices.{name}.username");
                let expected = format!("a name that device {other} does not use");
                mistakes.add(key, format!("{username:?}"), expected);
            }
            let by_address = device.credential.is_none();
            for network in device.networks.iter().filter(|_| by_address) {
                if let Some(other) = addresses.insert(network.trunc(), name) {
                    let key = format!("devices.{name}.networks");
                    let expected = format!("a network that device {other} does not claim");
                    mistakes.add(key, network, expected);
                }
            }
        }
    }
}

fn named<T>(
    root: &Reader<'_>,
    section: &'static str,
    read: fn(&Reader<'_>) -> T,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for (name, reader) in root.tables(section) {
        all.insert(name, read(&reader));
        reader.finish();
    }
    all
}

fn hostname(root: &Reader<'_>) -> String {
    let written = root.text("hostname");
    let name = written.unwrap_or_else(|| {
        // Where the kernel publishes the machine's name.
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let machine = machine.trim();
        if is_host_name(machine) {
            machine.to_owned()
        } else {
            "localhost".to_owned()
        }
    });
    if !is_host_name(&name) {
        root.wrong("hostname", "a host name such as \"relay.example.com\"");
    }
    name
}

fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn log(root: &Reader<'_>) -> LogConfig {
    let reader = root.table("log");
    let config = LogConfig {
        format: reader.choice(
            "format",
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        ),
        level: reader.text("level").unwrap_or_else(|| "info".to_owned()),
    };
    if config
        .level
        .parse::<tracing_subscriber::EnvFilter>()
        .is_err()
    {
        reader.wrong(
            "level",
            "error, warn, info, debug, trace, or a filter of these",
        );
    }
    reader.finish();
    config
}

fn listener(reader: &Reader<'_>) -> ListenerConfig {
    let mode = reader.choice(
        "tls",
        &[
            ("starttls", TlsMode::StartTls),
            ("none", TlsMode::None),
            ("implicit", TlsMode::Implicit),
        ],
    );
    let files = match (reader.text("cert_file"), reader.text("key_file")) {
        (Some(cert), Some(key)) => {
            for (name, path) in [("cert_file", &cert), ("key_file", &key)] {
                if let Err(error) = std::fs::File::open(path) {
                    reader.wrong(name, format!("a file that can be read ({error})"));
                }
            }
            Some((PathBuf::from(cert), PathBuf::from(key)))
        }
        (Some(_), None) => {
            reader.wrong("key_file", "the private key's file, beside cert_file");
            None
        }
        (None, Some(_)) => {
            reader.wrong("cert_file", "the certificate's file, beside key_file");
            None
        }
        (None, None) => None,
    };
    let bind = reader.list("bind", "an address and port such as \"0.0.0.0:2525\"");
    if bind.is_empty() && !reader.is_written("bind") {
        reader.wrong("bind", "an address and port such as \"0.0.0.0:2525\"");
    }
    let second = Duration::from_secs(1);
    let hour = Duration::from_secs(3600);
    ListenerConfig {
        bind,
        tls: TlsConfig { mode, files },
        trust: bounded_networks(reader, "trust"),
        account: reader.text("account").unwrap_or_default(),
        require_tls: {
            let required = reader.flag("require_tls");
            if required && mode == TlsMode::None {
                reader.wrong("require_tls", "false, because tls is \"none\" here");
            }
            required
        },
        profile: reader.choice(
            "profile",
            &[
                ("device", Profile::Device),
                ("strict", Profile::Strict),
                ("legacy", Profile::Legacy),
            ],
        ),
        clear_auth: reader.networks("clear_auth"),
        max_message_size: reader.number("max_message_size", 1_000, MESSAGE_OCTETS_MAX),
        max_connections: reader.number("max_connections", 1, 1_000_000) as usize,
        max_connections_per_address: reader.number("max_connections_per_address", 1, 1_000_000)
            as usize,
        max_recipients: reader.number("max_recipients", 1, 50_000) as usize,
        command_timeout: reader.duration("command_timeout", second, 24 * hour),
        data_timeout: reader.duration("data_timeout", second, 24 * hour),
        min_rate: reader.number("min_rate", 1, 1_000_000_000),
    }
}

/// Networks that grant something: never all addresses there are.
fn bounded_networks(reader: &Reader<'_>, key: &'static str) -> Vec<IpNet> {
    let networks: Vec<IpNet> = reader.networks(key);
    let least = |network: &IpNet| match network {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 7,
    };
    if let Some(network) = networks
        .iter()
        .find(|network| network.prefix_len() < least(network))
    {
        let least = least(network);
        let expected = format!("networks of /{least} or smaller (larger ones make an open relay)");
        reader.wrong(key, expected);
    }
    networks
}

fn account(reader: &Reader<'_>) -> AccountConfig {
    let api_url = reader.text("api_url").unwrap_or_default();
    let api_url = api_url.trim_end_matches('/').to_owned();
    if !is_safe_url(&api_url) {
        reader.wrong(
            "api_url",
            "an https:// address (http:// only to this machine)",
        );
    }
    let key = reader.secret("api_key", "api_key_file");
    let fits = |key: &Secret<String>| key.expose().bytes().all(|byte| byte.is_ascii_graphic());
    match &key {
        None if reader.is_written("api_key_file") => {}
        Some(key) if blemish(key.expose()).is_some() => {
            let blemish = blemish(key.expose()).unwrap_or_default();
            reader.wrong("api_key", format!("a key without {blemish}"));
        }
        None => reader.wrong(
            "api_key",
            "the provider's API key (or SMTP2GO_API_KEY, or api_key_file)",
        ),
        Some(key) if !fits(key) => {
            reader.wrong(
                "api_key",
                "a key without spaces, such as api-0123456789ABCDEF…",
            );
        }
        Some(_) => {}
    }
    let max_spool_size = reader.number("max_spool_size", 0, u64::MAX >> 1);
    AccountConfig {
        api_url,
        api_key: key.unwrap_or_else(|| Secret::new(String::new())),
        max_spool_size: (max_spool_size > 0).then_some(max_spool_size),
    }
}

/// The key travels in a header: in clear only to this machine.
fn is_safe_url(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let loopback = url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    });
    let anonymous = url.username().is_empty() && url.password().is_none();
    let plain = url.query().is_none() && url.fragment().is_none();
    anonymous && plain && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

fn device(reader: &Reader<'_>) -> DeviceConfig {
    let credential = device_credential(reader);
    let networks: Vec<IpNet> = match credential {
        Some(_) => reader.networks("networks"),
        None => bounded_networks(reader, "networks"),
    };
    let nothing_written = ["username", "password", "password_file", "password_hash"]
        .iter()
        .all(|key| !reader.is_written(key));
    if nothing_written && !reader.has_items("networks") {
        reader.wrong(
            "username",
            "a credential (username and password) and/or networks",
        );
    }
    let allowed_senders: Vec<AddressPattern> = reader.list(
        "allowed_senders",
        "an address or a domain, such as \"scan@example.com\"",
    );
    DeviceConfig {
        account: reader
            .text("account")
            .unwrap_or_else(|| "default".to_owned()),
        smtp_user: reader.text("smtp_user"),
        require_tls: reader.is_written("require_tls") && reader.flag("require_tls"),
        credential,
        networks,
        from_override: from_override(reader, &allowed_senders),
        allowed_senders,
    }
}

fn device_credential(reader: &Reader<'_>) -> Option<(String, Credential)> {
    let username = reader.text("username");
    let password = reader.secret("password", "password_file");
    let hash = reader.secret("password_hash", "password_hash_file");
    if let Some(hash) = &hash
        && !is_argon2(hash.expose())
    {
        reader.wrong(
            "password_hash",
            "a hash as `smtp2go-gateway device password` prints it",
        );
    }
    let credential = match (password, hash) {
        (Some(_), Some(_)) => {
            reader.wrong("password_hash", "only one of password and password_hash");
            return None;
        }
        (Some(password), None) => Some(Credential::Password(password)),
        (None, hash) => hash.map(Credential::Hash),
    };
    match (username, credential) {
        (Some(username), Some(credential)) => Some((username, credential)),
        (Some(_), None) => {
            reader.wrong(
                "password",
                "a password for the username (or password_file, password_hash)",
            );
            None
        }
        (None, Some(_)) => {
            reader.wrong("username", "the name that goes with the password");
            None
        }
        (None, None) => None,
    }
}

/// Complete, and of the one kind that sign-in verifies.
fn is_argon2(hash: &str) -> bool {
    argon2::PasswordHash::new(hash).is_ok_and(|hash| {
        let complete = hash.salt.is_some() && hash.hash.is_some();
        complete && hash.algorithm.as_str().starts_with("argon2")
    })
}

fn from_override(reader: &Reader<'_>, allowed: &[AddressPattern]) -> FromOverride {
    #[derive(Clone, Copy, PartialEq)]
    enum When {
        Off,
        IfNotAllowed,
        Always,
    }
    let address: Option<Mailbox> = reader.parsed("from_address", "an address");
    let when = match reader.text("from_override") {
        None => When::Off,
        Some(_) => reader.choice(
            "from_override",
            &[
                ("off", When::Off),
                ("if_not_allowed", When::IfNotAllowed),
                ("always", When::Always),
            ],
        ),
    };
    match (when, address) {
        (When::Off, _) => FromOverride::Off,
        (_, None) => {
            reader.wrong("from_address", "the address that replaces the sender");
            FromOverride::Off
        }
        (_, Some(address))
            if !allowed.is_empty() && !allowed.iter().any(|entry| entry.covers(&address)) =>
        {
            reader.wrong("from_address", "an address that allowed_senders covers");
            FromOverride::Off
        }
        (When::IfNotAllowed, Some(address)) => FromOverride::IfNotAllowed(address),
        (_, Some(address)) => FromOverride::Always(address),
    }
}

fn headers(root: &Reader<'_>) -> HeadersConfig {
    let reader = root.table("headers");
    let config = HeadersConfig {
        received: reader.choice(
            "received",
            &[
                ("full", ReceivedDetail::Full),
                ("anonymous", ReceivedDetail::Anonymous),
            ],
        ),
        max_received: reader.number("max_received", 5, 1000) as usize,
        max_passes: reader.number("max_passes", 1, 50) as usize,
    };
    reader.finish();
    config
}

fn envelope(root: &Reader<'_>) -> (Mismatch, Hidden) {
    let reader = root.table("envelope");
    let read = (
        reader.choice(
            "mismatch",
            &[("rewrite", Mismatch::Rewrite), ("refuse", Mismatch::Refuse)],
        ),
        reader.choice(
            "hidden",
            &[("separate", Hidden::Separate), ("bcc", Hidden::Bcc)],
        ),
    );
    reader.finish();
    read
}

fn forward(root: &Reader<'_>) -> ForwardConfig {
    let reader = root.table("forward");
    let second = Duration::from_secs(1);
    let day = Duration::from_secs(86_400);
    let config = ForwardConfig {
        retry_first: reader.duration("retry_first", Duration::from_millis(10), day),
        retry_max: reader.duration("retry_max", Duration::from_millis(10), day),
        give_up_after: reader.duration("give_up_after", second, 30 * day),
        confirm_after: reader.duration("confirm_after", Duration::from_millis(10), day),
        probe_interval: reader.duration("probe_interval", Duration::from_millis(10), day),
        unknown: reader.choice(
            "unknown",
            &[
                ("repeat", UnknownPolicy::Repeat),
                ("hold", UnknownPolicy::Hold),
            ],
        ),
        concurrency: reader.number("concurrency", 1, 1000) as usize,
        connect_timeout: reader.duration("connect_timeout", Duration::from_millis(100), day),
        answer_timeout: reader.duration("answer_timeout", Duration::from_millis(100), day),
        min_upload_rate: reader.number("min_upload_rate", 1, 1_000_000_000),
        ca_file: reader.text("ca_file").map(PathBuf::from),
    };
    if config.retry_max < config.retry_first {
        reader.wrong("retry_max", "a time not shorter than retry_first");
    }
    reader.finish();
    config
}

fn sync(root: &Reader<'_>) -> SyncConfig {
    let reader = root.table("sync");
    let (brief, day) = (Duration::from_millis(10), Duration::from_secs(86_400));
    let enabled = reader.flag("enabled");
    let mut knowledge = KnowledgeRule {
        unknown: reader.choice(
            "without_rules",
            &[
                ("devices", WithoutRules::Devices),
                ("refuse", WithoutRules::Refuse),
            ],
        ),
        stale: reader.choice(
            "when_stale",
            &[
                ("enforce", WhenStale::Enforce),
                ("refuse", WhenStale::Refuse),
                ("devices", WhenStale::Devices),
            ],
        ),
        stale_after: reader.duration("stale_after", brief, 365 * day),
        user_sign_in: reader.flag("user_sign_in"),
    };
    if !enabled {
        // Nobody will ever know them.
        knowledge.unknown = WithoutRules::Devices;
    }
    let config = SyncConfig {
        enabled,
        interval: reader.duration("interval", brief, day),
        suppressions_full: reader.duration("suppressions_full", brief, 30 * day),
        shrink_guard: reader.duration("shrink_guard", Duration::ZERO, 30 * day),
        user_sign_in: knowledge.user_sign_in,
        knowledge,
    };
    if config.enabled && knowledge.stale_after <= config.interval {
        reader.wrong("stale_after", "a time longer than sync.interval");
    }
    reader.finish();
    config
}

fn ip(root: &Reader<'_>) -> IpConfig {
    let reader = root.table("ip");
    let config = IpConfig {
        source: reader.choice(
            "source",
            &[
                ("either", IpSource::Either),
                ("local", IpSource::Local),
                ("provider", IpSource::Provider),
                ("both", IpSource::Both),
            ],
        ),
        i_know_nat: reader.flag("i_know_nat"),
    };
    reader.finish();
    config
}

fn spool(root: &Reader<'_>) -> SpoolConfig {
    let reader = root.table("spool");
    let config = SpoolConfig {
        retention: reader.duration("retention", Duration::ZERO, TEN_YEARS),
        max_size: reader.number("max_size", 100_000, u64::MAX >> 1),
        max_size_per_device: reader.number("max_size_per_device", 100_000, u64::MAX >> 1),
        min_free_disk: reader.number("min_free_disk", 0, u64::MAX >> 1),
        require_persistent: reader.flag("require_persistent_spool"),
    };
    reader.finish();
    config
}

impl AdminConfig {
    /// Reads `[admin]` alone: for commands that talk to a gateway and need nothing else.
    ///
    /// # Errors
    /// All mistakes of this table.
    pub fn resolve(settings: &Settings) -> Result<Self, ConfigError> {
        let mistakes = Mistakes::default();
        let config = admin(&Reader::root(settings, &mistakes));
        match mistakes.into_vec() {
            mistakes if mistakes.is_empty() => Ok(config),
            mistakes => Err(ConfigError { mistakes }),
        }
    }
}

fn admin(root: &Reader<'_>) -> AdminConfig {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let reader = root.table("admin");
    let bind: Option<SocketAddr> =
        reader.parsed("bind", "an address and port such as \"127.0.0.1:8080\"");
    let token = reader.secret("token", "token_file");
    match (&bind, &token) {
        (Some(bind), None) if !bind.ip().is_loopback() => {
            reader.wrong(
                "token",
                "a token (or token_file), because admin.bind is not loopback",
            );
        }
        (_, Some(token)) if token.expose().len() < TOKEN_OCTETS_MIN => {
            reader.wrong("token", format!("at least {TOKEN_OCTETS_MIN} characters"));
        }
        _ => {}
    }
    reader.finish();
    AdminConfig {
        bind: bind.unwrap_or(nowhere),
        token,
    }
}

const TEN_YEARS: Duration = Duration::from_secs(10 * 31_557_600);

/// 50 MB of request less JSON and the largest header block we add to, as octets before base64.
const MESSAGE_OCTETS_MAX: u64 = 37_200_000;

/// Below this a token can be guessed.
const TOKEN_OCTETS_MIN: usize = 16;
