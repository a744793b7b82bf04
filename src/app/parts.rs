//! Translates the configuration into each module's own settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{User, Verifier};
use crate::clock::Clock;
use crate::config::{
    AccountConfig, Config, ConfigError, Credential, ForwardConfig, ListenerConfig, Mistake,
    Profile, TlsConfig, TlsMode as Mode, UnknownPolicy,
};
use crate::forward::{ForwardSettings, Unknown};
use crate::http::{self, Bounds, ClientError, ClientSettings};
use crate::intake::IntakeSettings;
use crate::journal::ErrorChain;
use crate::listen::{Certificate, CertificateError, ListenerSettings, TlsMode};
use crate::message::{LoopLimits, PlanSettings};
use crate::provider::{Account, Deadlines, Provider};
use crate::resilience::Backoff;
use crate::rules::{DeviceRule, IpRule, ListenerRule, Rules};
use crate::session::{Leniency, Limits, Settings};
use crate::spool::{SpaceLimits, SpoolSettings};
use crate::sync::SyncSettings;

pub(super) fn rules(config: &Config) -> Rules {
    let shared = match config.ip.i_know_nat {
        true => Vec::new(),
        false => super::surroundings::shared_addresses(),
    };
    let listeners = config.listeners.iter().map(|(name, listener)| {
        let rule = ListenerRule {
            account: listener.account.as_str().into(),
            trust: listener.trust.clone(),
            require_tls: listener.require_tls,
        };
        (name.as_str().into(), rule)
    });
    let devices = config.devices.iter().map(|(name, device)| {
        let rule = DeviceRule {
            account: device.account.as_str().into(),
            has_credential: device.credential.is_some(),
            smtp_user: device.smtp_user.as_deref().map(Into::into),
            require_tls: device.require_tls,
            networks: device.networks.clone(),
            allowed_senders: device.allowed_senders.clone(),
            from_override: device.from_override.clone(),
        };
        (name.as_str().into(), rule)
    });
    Rules {
        listeners: listeners.collect(),
        devices: devices.collect(),
        accounts: BTreeMap::new(),
        ip: IpRule {
            source: config.ip.source,
            shared,
        },
        knowledge: config.sync.knowledge,
    }
}

pub(super) fn sync(config: &Config) -> SyncSettings {
    SyncSettings {
        interval: config.sync.interval,
        suppressions_full: config.sync.suppressions_full,
        shrink_guard: config.sync.shrink_guard,
        stale_after: config.sync.knowledge.stale_after,
        user_sign_in: config.sync.user_sign_in,
    }
}

pub(super) fn users(config: &Config) -> impl Iterator<Item = User> {
    config.devices.iter().filter_map(|(name, device)| {
        let (username, credential) = device.credential.clone()?;
        Some(User {
            device: name.as_str().into(),
            username,
            verifier: match credential {
                Credential::Password(password) => Verifier::Password(password),
                Credential::Hash(hash) => Verifier::Hash(hash),
            },
        })
    })
}

pub(super) fn intake(config: &Config) -> IntakeSettings {
    IntakeSettings {
        hostname: config.hostname.clone(),
        plan: PlanSettings {
            mismatch: config.mismatch,
            hidden: config.hidden,
        },
        received: config.headers.received,
        loops: LoopLimits {
            received_max: config.headers.max_received,
            passes_max: config.headers.max_passes,
        },
        // Ten times what the longest list of Received lines ever took; kept in memory.
        head_octets_max: 256 * 1024,
        space: SpaceLimits {
            spool_octets_max: config.spool.max_size,
            account_octets_max: config
                .accounts
                .iter()
                .filter_map(|(name, account)| Some((name.clone(), account.max_spool_size?)))
                .collect(),
            lane_octets_max: config.spool.max_size_per_device,
            free_octets_min: config.spool.min_free_disk,
            directory: config.data_dir.clone(),
        },
    }
}

pub(super) fn spool(config: &Config) -> SpoolSettings {
    let forward = &config.forward;
    let longest_attempt = deadlines(forward).whole(REQUEST_OCTETS_MAX);
    let defaults = SpoolSettings::default();
    SpoolSettings {
        confirm_after: forward.confirm_after,
        wait_max: defaults
            .wait_max
            .max(forward.retry_max * 2)
            .max(forward.confirm_after * 2)
            .max(forward.probe_interval * 2),
        // An attempt that outlived its lease would be repeated beside itself.
        lease_ttl: defaults.lease_ttl.max(longest_attempt * 2),
        history_from: config.spool.max_size / 10 * 9,
        ..defaults
    }
}

fn client(config: &ForwardConfig, account: &AccountConfig) -> ClientSettings {
    ClientSettings {
        connect_timeout: config.connect_timeout,
        ca_file: config.ca_file.clone(),
        // In clear means: on this machine, where no proxy leads.
        proxy: account.api_url.starts_with("https://"),
    }
}

fn account(account: &AccountConfig) -> Account {
    Account {
        base_url: account.api_url.clone(),
        key: account.api_key.clone(),
    }
}

fn deadlines(config: &ForwardConfig) -> Deadlines {
    Deadlines {
        connect: config.connect_timeout,
        answer: config.answer_timeout,
        upload_rate_min: config.min_upload_rate,
    }
}

/// A caller of an account's API.
///
/// # Errors
/// When the certificate authorities can't be read.
pub fn provider(config: &Config, of: &AccountConfig) -> Result<Provider, ClientError> {
    let client = http::client(&client(&config.forward, of))?;
    Ok(Provider::new(
        client,
        account(of),
        deadlines(&config.forward),
    ))
}

/// Loads every certificate, key and authority that the settings name, as a start would.
///
/// # Errors
/// All that can't be used, each under its key.
pub fn check_files(config: &Config) -> Result<(), ConfigError> {
    let mut mistakes = Vec::new();
    let mut add = |key: String, path: &Path, error: &dyn std::error::Error| {
        mistakes.push(Mistake {
            key,
            value: format!("{path:?}"),
            expected: format!("a file that can be used ({})", ErrorChain(error)),
        });
    };
    for (name, listener) in &config.listeners {
        let Some((cert, key)) = &listener.tls.files else {
            continue;
        };
        if let Err(error) = Certificate::load(cert, key, Clock) {
            let at_fault = match &error {
                CertificateError::File { path, .. } | CertificateError::Content { path, .. } => {
                    path
                }
                CertificateError::Generate(_) => cert,
            };
            let word = if at_fault == key {
                "key_file"
            } else {
                "cert_file"
            };
            add(format!("listeners.{name}.{word}"), at_fault, &error);
        }
    }
    if let Some(authorities) = &config.forward.ca_file {
        let settings = ClientSettings {
            connect_timeout: config.forward.connect_timeout,
            ca_file: Some(authorities.clone()),
            proxy: false,
        };
        if let Err(error) = http::client(&settings) {
            add("forward.ca_file".to_owned(), authorities, &error);
        }
    }
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(ConfigError { mistakes }),
    }
}

pub(super) fn forward(config: &ForwardConfig, account: &str, drain: Duration) -> ForwardSettings {
    ForwardSettings {
        account: account.to_owned(),
        concurrency: config.concurrency,
        backoff: Backoff {
            first: config.retry_first,
            max: config.retry_max,
        },
        give_up_after: config.give_up_after,
        confirm_after: config.confirm_after,
        probe_interval: config.probe_interval,
        unknown: match config.unknown {
            UnknownPolicy::Repeat => Unknown::Repeat,
            UnknownPolicy::Hold => Unknown::Hold,
        },
        drain_max: drain,
    }
}

/// How many connections each listener may have: what its settings say, as far as there are descriptors for all of them
/// when everything else has its own.
pub(super) fn connections(config: &Config, open_files: u64) -> BTreeMap<String, usize> {
    let calls = config.forward.concurrency * 2 + CALLS_MORE;
    let others = OWN_FILES + Bounds::DEFAULT.connections + config.accounts.len() * calls;
    let open_files = usize::try_from(open_files).unwrap_or(usize::MAX);
    // Calls that can't be made are made later; mail that can't be brought is somebody's trouble.
    let room = open_files.saturating_sub(others).max(open_files / 2);
    let wanted: usize = config
        .listeners
        .values()
        .map(|listener| listener.max_connections)
        .sum();
    if wanted > room {
        let hint =
            "raise the limit of open files (LimitNOFILE, ulimit -n), or lower max_connections";
        tracing::warn!(
            open_files,
            wanted,
            room,
            hint,
            "fewer connections than max_connections"
        );
    }
    let share = |most: usize| match wanted > room {
        true => (most.saturating_mul(room) / wanted).max(1),
        false => most,
    };
    let all = config.listeners.iter();
    all.map(|(name, listener)| (name.clone(), share(listener.max_connections)))
        .collect()
}

/// Beside `forward.concurrency`: looks at the rules, and connections that are just being made or closed.
const CALLS_MORE: usize = 16;
/// The spool, listening sockets, certificates, standard streams, the runtime; and connections that are just being turned away.
const OWN_FILES: usize = 64;

pub(super) fn listener(
    config: &Config,
    name: &str,
    listener: &ListenerConfig,
    connections_max: usize,
    clock: Clock,
) -> Result<ListenerSettings, CertificateError> {
    let leniency = match listener.profile {
        Profile::Strict => Leniency::STRICT,
        Profile::Device => Leniency::DEVICE,
        Profile::Legacy => Leniency::LEGACY,
    };
    Ok(ListenerSettings {
        name: name.into(),
        tls: tls(config, name, listener, clock)?,
        clear_auth: listener.clear_auth.clone(),
        connections_max,
        connections_per_address_max: listener.max_connections_per_address,
        session: Settings {
            hostname: config.hostname.clone(),
            // The listener sets these three from what it knows.
            starttls: false,
            auth_offered: false,
            auth_in_clear: false,
            leniency,
            limits: Limits {
                message_octets_max: listener.max_message_size,
                recipients_max: listener.max_recipients,
                command_idle_max: listener.command_timeout,
                data_idle_max: listener.data_timeout,
                data_rate_min: listener.min_rate,
                ..Limits::default()
            },
        },
    })
}

fn tls(
    config: &Config,
    name: &str,
    listener: &ListenerConfig,
    clock: Clock,
) -> Result<TlsMode, CertificateError> {
    let certificate = |tls: &TlsConfig| -> Result<Arc<Certificate>, CertificateError> {
        let certificate = match &tls.files {
            Some((cert, key)) => Certificate::load(cert, key, clock)?,
            None => {
                let directory = config.data_dir.join("tls").join(safe(name));
                let (hostname, bind) = (&config.hostname, &listener.bind);
                Certificate::load_or_generate(&directory, hostname, bind, clock)?
            }
        };
        Ok(Arc::new(certificate))
    };
    Ok(match listener.tls.mode {
        Mode::None => TlsMode::None,
        Mode::StartTls => TlsMode::StartTls(certificate(&listener.tls)?),
        Mode::Implicit => TlsMode::Implicit(certificate(&listener.tls)?),
    })
}

/// The keys that differ in something other than what a reload takes over.
pub(super) fn need_restart(old: &Config, new: &Config) -> Vec<String> {
    let mut keys = old.settings.differing_keys(&new.settings);
    keys.retain(|key| !is_reloaded(key));
    let token = |config: &Config| {
        let token = config.admin.token.as_ref();
        token.map(|token| token.expose().clone())
    };
    // A secret may change inside the file that holds it.
    if token(old) != token(new) && !keys.iter().any(|key| key.starts_with("admin.token")) {
        keys.insert("admin.token_file".to_owned());
    }
    for (name, account) in &new.accounts {
        let moved = keys.contains(&format!("accounts.{name}.api_url"));
        let old = old.accounts.get(name).map(|old| old.api_key.expose());
        if moved && old != Some(account.api_key.expose()) {
            keys.insert(format!("accounts.{name}.api_key"));
        }
    }
    keys.into_iter().collect()
}

/// Whether a reload takes this key over: devices with their users, what a listener trusts, and the keys of
/// accounts that there were before.
fn is_reloaded(key: &str) -> bool {
    let parts: Vec<&str> = key.split('.').collect();
    matches!(
        parts[..],
        ["devices", ..]
            | ["listeners", _, "trust" | "account" | "require_tls"]
            | ["ip", ..]
            | ["sync", "without_rules" | "when_stale"]
            | ["accounts", _, "api_key" | "api_key_file"]
    )
}

/// What the provider takes at most.
const REQUEST_OCTETS_MAX: u64 = 50_000_000;

/// A listener's name as the name of a directory.
fn safe(name: &str) -> std::path::PathBuf {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let name: String = name
        .chars()
        .map(|character| if plain(character) { character } else { '_' })
        .collect();
    Path::new(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings as Configured, Sources};

    #[test]
    fn listeners_share_the_descriptors_that_there_are() {
        let text = "data_dir = \"/tmp\"\n\
                    [listeners.a]\nbind = \"127.0.0.1:2525\"\nmax_connections = 1000\n\
                    [listeners.b]\nbind = \"127.0.0.1:2526\"\nmax_connections = 3000\n\
                    [accounts.default]\napi_key = \"api-1\"\n";
        let sources = Sources {
            built_in: vec![text],
            ..Sources::default()
        };
        let settings = Configured::load(&sources).expect("settings");
        let config = Config::resolve(&settings).expect("a configuration");
        let shares = |open_files: u64| {
            let all = connections(&config, open_files);
            (all["a"], all["b"])
        };
        assert_eq!(shares(1_000_000), (1000, 3000), "there are enough");
        let (a, b) = shares(2000);
        assert!((1000..2000).contains(&(a + b)), "{a} and {b}");
        assert_eq!(b / a, 3, "{a} and {b}");
        assert_eq!(shares(2), (1, 1), "nobody is left without");
    }
}
