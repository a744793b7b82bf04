//! `doctor`: looks at everything that mail needs, and says what to do about what is wrong.
//!
//! It needs no running gateway; with one it also looks at the rules in force. What it makes to see whether it can be
//! made, it takes away again.

use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::header::DATE;
use serde::Serialize;

use crate::app::{self, Others};
use crate::clock::{Clock, Timestamp};
use crate::config::{AccountConfig, Config, DeviceConfig, Settings, Sources};
use crate::http::{ClientSettings, client};
use crate::journal::ErrorChain;
use crate::listen::try_bind;
use crate::mail::{AddressPattern, Mailbox};
use crate::provider::groups::activity::SearchActivity;
use crate::provider::groups::api_keys::{ApiKey, ViewApiKeys, ViewPermissions};
use crate::provider::groups::email::SendMimeEmail;
use crate::provider::groups::ip_allow_list::ViewIpAllowList;
use crate::provider::groups::users::ViewSmtpUsers;
use crate::provider::{Disposition, Endpoint, Permissions, Provider};
use crate::rules::{AccountRules, FromOverride, ListMode, SectionName, Standing};
use crate::spool::{free_octets, volatile_storage};
use crate::sync::{SectionState, SectionStatus, look, permission_for};

use super::api::printable;
use super::arguments::{DoctorOptions, RemoteOptions};
use super::failure::Failure;
use super::remote::Remote;
use super::terminal::{json, say};

/// What one look found.
#[derive(Debug, Serialize)]
struct Finding {
    result: Verdict,
    /// What was looked at.
    check: String,
    /// What was found.
    words: String,
    /// What to do about it; empty where there is nothing to do.
    hint: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, result: Verdict, check: &str, words: impl Into<String>, hint: &str) {
        self.0.push(Finding {
            result,
            check: check.to_owned(),
            words: words.into(),
            hint: hint.to_owned(),
        });
    }

    fn ok(&mut self, check: &str, words: impl Into<String>) {
        self.add(Verdict::Ok, check, words, "");
    }
}

/// Exit code 1 where something failed.
pub(super) async fn doctor(options: DoctorOptions) -> Result<(), Failure> {
    let sources = Sources::from_process(options.remote.config.config.clone());
    let settings = Settings::load(&sources)?;
    let config = Config::resolve(&settings)?;
    let mut findings = Findings::default();
    findings.ok("settings", "valid");
    files(&config, &mut findings);
    storage(&config, &mut findings);
    addresses(&config, &mut findings);
    for (name, of) in &config.accounts {
        account(&config, &sources, name, of, &mut findings).await;
    }
    let running = gateway(options.remote, &mut findings).await;
    bindings(&config, running, &mut findings);
    let failed = findings
        .0
        .iter()
        .filter(|one| one.result == Verdict::Fail)
        .count();
    if options.json {
        json(&findings.0)?;
    } else {
        for finding in &findings.0 {
            let word = match finding.result {
                Verdict::Ok => "ok  ",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            let line = |text: &str| printable(text);
            say(&format!(
                "{word}  {}: {}\n",
                line(&finding.check),
                line(&finding.words)
            ))?;
            if !finding.hint.is_empty() {
                say(&format!("      hint: {}\n", line(&finding.hint)))?;
            }
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::new("1 check failed")),
        count => Err(Failure::new(format!("{count} checks failed"))),
    }
}

/// Certificates, keys and authorities, loaded as a start would.
fn files(config: &Config, findings: &mut Findings) {
    match app::check_files(config) {
        Ok(()) => findings.ok("files", "every certificate and key can be used"),
        Err(error) => {
            for mistake in error.mistakes {
                findings.add(Verdict::Fail, "files", mistake.to_string(), "");
            }
        }
    }
}

/// Every address that mail or operators come to.
fn bindings(config: &Config, running: bool, findings: &mut Findings) {
    let mut wanted: Vec<(String, SocketAddr, &[SocketAddr])> = Vec::new();
    for (name, listener) in &config.listeners {
        for address in &listener.bind {
            wanted.push((format!("listener {name}"), *address, &listener.bind));
        }
    }
    wanted.push(("admin".to_owned(), config.admin.bind, &[]));
    for (check, address, all) in wanted {
        let error = match try_bind(address, all) {
            Ok(()) => {
                findings.ok(&check, format!("{address} can be listened on"));
                continue;
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::AddrInUse && running {
            let words = format!("{address} is taken, as it should be while a gateway runs");
            findings.ok(&check, words);
            continue;
        }
        let hint = match error.kind() {
            ErrorKind::AddrInUse => {
                "another program listens there: stop it, or choose another port"
            }
            ErrorKind::PermissionDenied => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
            ErrorKind::AddrNotAvailable => "this machine has no such address",
            _ => "",
        };
        let words = format!("{address} can't be listened on: {error}");
        findings.add(Verdict::Fail, &check, words, hint);
    }
}

/// Makes the directory as a start would, writes to it, and leaves everything as it was.
fn try_directory(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let missing = directory.ancestors().take_while(|path| !path.exists());
    let mut missing: Vec<&Path> = missing
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    missing.reverse();
    let mut made = Vec::new();
    let tried = (|| {
        for path in missing {
            std::fs::DirBuilder::new().mode(0o700).create(path)?;
            made.push(path);
        }
        let probe = directory.join(format!(".doctor-{}", uuid::Uuid::now_v7().simple()));
        let written = std::fs::File::create_new(&probe)
            .and_then(|mut file| file.write_all(b"x").and_then(|()| file.sync_all()));
        if written.is_ok() {
            std::fs::remove_file(&probe)?;
        }
        written
    })();
    for path in made.into_iter().rev() {
        drop(std::fs::remove_dir(path));
    }
    tried
}

fn storage(config: &Config, findings: &mut Findings) {
    let directory = &config.data_dir;
    // The gateway makes it at its first start: what counts until then is where it would be.
    let existing = directory.ancestors().find(|path| path.exists());
    let existing = existing.unwrap_or(Path::new("/"));
    let check = "data directory";
    let shown = directory.display();
    let others = app::other_writers(directory).unwrap_or(Others::Nobody);
    if let Err(error) = try_directory(directory) {
        let words = format!("{shown} can't be made or written by this user: {error}");
        let hint = "run doctor as the gateway's user, or set data_dir";
        findings.add(Verdict::Fail, check, words, hint);
    } else if others == Others::Everybody {
        let words = format!("{shown} may be written by everybody on this machine");
        findings.add(
            Verdict::Fail,
            check,
            words,
            "take that right away: chmod o-w",
        );
    } else if others == Others::Some {
        let words = format!("{shown} may be written by others, too");
        let hint = "give it to the gateway's user alone: chown and chmod 700";
        findings.add(Verdict::Warn, check, words, hint);
    } else if let Some(storage) = volatile_storage(existing) {
        let words = format!("{shown} lies in {storage}");
        let hint = "mount a volume there, or set data_dir to a disk";
        findings.add(Verdict::Warn, check, words, hint);
    } else {
        findings.ok(
            check,
            format!("{shown} can be written and survives a restart"),
        );
    }
    match free_octets(existing) {
        Err(error) => findings.add(Verdict::Warn, "disk", format!("{error}"), ""),
        Ok(free) => {
            let words = format!("{} MB free", free / 1_000_000);
            if free < config.spool.min_free_disk {
                let hint = "below spool.min_free_disk: devices get 452 until there is room";
                findings.add(Verdict::Fail, "disk", words, hint);
            } else {
                findings.ok("disk", words);
            }
        }
    }
}

/// Whether something rests on an address that many clients share.
fn addresses(config: &Config, findings: &mut Findings) {
    let check = "client addresses";
    let shared = app::shared_addresses();
    let covers = |address: &IpAddr| {
        let trust = config
            .listeners
            .iter()
            .map(|(name, listener)| (format!("listeners.{name}.trust"), &listener.trust));
        let devices = config
            .devices
            .iter()
            .filter(|(_, device)| device.credential.is_none())
            .map(|(name, device)| (format!("devices.{name}.networks"), &device.networks));
        trust
            .chain(devices)
            .find(|(_, networks)| networks.iter().any(|network| network.contains(address)))
            .map(|(key, _)| key)
    };
    let found = shared
        .iter()
        .find_map(|address| Some((address, covers(address)?)));
    match found {
        Some((address, key)) if config.ip.i_know_nat => {
            let words = format!(
                "{key} covers {address}, this container's gateway: whoever reaches the port may send"
            );
            findings.add(
                Verdict::Warn,
                check,
                words,
                "ip.i_know_nat is true: keep the port's own reach small",
            );
        }
        Some((address, key)) => {
            let words = format!(
                "{key} covers {address}, this container's gateway, which stands for every client behind it"
            );
            let hint = "it is refused: let devices sign in, use host networking, or set ip.i_know_nat = true";
            findings.add(Verdict::Warn, check, words, hint);
        }
        None if app::in_container() => {
            let hint = "if clients all come from one address, only credentials can tell them apart";
            findings.add(
                Verdict::Ok,
                check,
                "in a container; nothing rests on its gateway",
                hint,
            );
        }
        None => findings.ok(check, "nothing rests on an address that many share"),
    }
}

async fn account(
    config: &Config,
    sources: &Sources,
    name: &str,
    of: &AccountConfig,
    findings: &mut Findings,
) {
    let check = |what: &str| format!("account {name}: {what}");
    let Ok(url) = reqwest::Url::parse(&of.api_url) else {
        findings.add(Verdict::Fail, &check("api_url"), "no address", "");
        return;
    };
    let proxy = proxy_of(sources, &url);
    if let Some(variable) = &proxy {
        findings.ok(&check("proxy"), format!("{variable} of the environment"));
    } else if !resolves(&url, &check("dns"), findings).await {
        return;
    }
    if !answers(config, of, &check, findings).await {
        return;
    }
    let provider = match app::provider(config, of) {
        Ok(provider) => provider,
        Err(error) => {
            findings.add(
                Verdict::Fail,
                &check("client"),
                ErrorChain(&error).to_string(),
                "see forward.ca_file",
            );
            return;
        }
    };
    let permissions = match provider.call(&ViewPermissions::default()).await {
        Ok(permissions) => {
            findings.ok(&check("key"), "accepted");
            permissions
        }
        Err(error) => {
            let locked = error.to_string().contains("allow list");
            let hint = if locked {
                "the API's IP allow list does not have this machine's public address: add it on the provider's \
                 site; mail waits until then"
            } else if error.disposition() == Disposition::Halt {
                "check this account's api_key; mail waits until the key works"
            } else {
                "see api_url, and try again"
            };
            findings.add(
                Verdict::Fail,
                &check("key"),
                ErrorChain(&error).to_string(),
                hint,
            );
            return;
        }
    };
    features(config, &permissions, &check, findings);
    if permissions.cover(ViewApiKeys::PATH) {
        key_settings(&provider, of, &check, findings).await;
    } else {
        let hint = "with permission for /api_keys/view doctor shows what the key does to mail: tracking, footer, sandbox, \
                    bounces, copies";
        findings.add(Verdict::Ok, &check("key settings"), "not shown", hint);
    }
    devices(
        config,
        name,
        (&provider, &permissions),
        &check("devices"),
        findings,
    )
    .await;
    if permissions.cover(ViewSmtpUsers::PATH) && config.sync.user_sign_in {
        passwords(&provider, &check("users"), findings).await;
    }
    if permissions.cover(ViewIpAllowList::PATH) {
        allow_list(&provider, &check("API allow list"), findings).await;
    }
}

/// The variable that names a proxy for this address.
fn proxy_of(sources: &Sources, url: &reqwest::Url) -> Option<&'static str> {
    if url.scheme() != "https" {
        return None;
    }
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(|name| {
            sources
                .environment
                .get(*name)
                .is_some_and(|value| !value.is_empty())
        })
}

async fn resolves(url: &reqwest::Url, check: &str, findings: &mut Findings) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let looked_up = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let found = match looked_up {
        Ok(Ok(addresses)) => addresses.count(),
        _ => 0,
    };
    if found == 0 {
        let hint =
            "is DNS reachable from here? does a firewall or a proxy stand before it (HTTPS_PROXY)?";
        findings.add(Verdict::Fail, check, format!("{host} has no address"), hint);
        return false;
    }
    findings.ok(check, format!("{host} resolves"));
    true
}

/// Connects, and compares the clocks.
async fn answers(
    config: &Config,
    of: &AccountConfig,
    check: &impl Fn(&str) -> String,
    findings: &mut Findings,
) -> bool {
    let settings = ClientSettings {
        connect_timeout: PATIENCE,
        ca_file: config.forward.ca_file.clone(),
        proxy: of.api_url.starts_with("https://"),
    };
    let caller = match client(&settings) {
        Ok(caller) => caller,
        Err(error) => {
            findings.add(
                Verdict::Fail,
                &check("tls"),
                ErrorChain(&error).to_string(),
                "see forward.ca_file",
            );
            return false;
        }
    };
    let url = format!("{}/api/index", of.api_url);
    let answer = match caller.get(url).timeout(PATIENCE * 2).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let words = ErrorChain(&error.without_url()).to_string();
            let hint = "if it speaks of a certificate, a proxy inspects TLS: give its authority in \
                        forward.ca_file; else see firewall and HTTPS_PROXY";
            findings.add(Verdict::Fail, &check("connection"), words, hint);
            return false;
        }
    };
    let spoken = if of.api_url.starts_with("https://") {
        "TLS, certificate trusted"
    } else {
        "in clear, on this machine"
    };
    findings.ok(&check("connection"), spoken);
    let date = answer
        .headers()
        .get(DATE)
        .and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    match theirs.map(|theirs| Timestamp(theirs.timestamp().as_millisecond())) {
        None => findings.ok("clock", "the provider's answer has no date to compare"),
        Some(theirs) => {
            let ours = Clock.wall();
            let off = ours.since(theirs).max(theirs.since(ours));
            let words = format!("{} s off the provider's", off.as_secs());
            if off > CLOCK_OFF_MAX {
                let hint =
                    "set the clock (NTP): dates of mail and look-ups of lost answers depend on it";
                findings.add(Verdict::Warn, "clock", words, hint);
            } else {
                findings.ok("clock", words);
            }
        }
    }
    true
}

/// What the key may do, feature by feature.
fn features(
    config: &Config,
    permissions: &Permissions,
    check: &impl Fn(&str) -> String,
    findings: &mut Findings,
) {
    let may = |path: &str| permissions.cover(path);
    if may(SendMimeEmail::PATH) {
        findings.ok(&check("sending"), "permitted");
    } else {
        let hint = format!(
            "give the key permission for {}: without it no mail leaves",
            SendMimeEmail::PATH
        );
        findings.add(Verdict::Fail, &check("sending"), "not permitted", &hint);
    }
    if may(SearchActivity::PATH) {
        findings.ok(&check("look-ups"), "permitted");
    } else {
        let hint = format!(
            "give the key permission for {}: without it a mail whose answer was lost is repeated without being \
             looked up",
            SearchActivity::PATH
        );
        findings.add(Verdict::Warn, &check("look-ups"), "not permitted", &hint);
    }
    if !config.sync.enabled {
        findings.add(
            Verdict::Warn,
            &check("rules"),
            "sync.enabled is false",
            "only this configuration decides",
        );
        return;
    }
    let mut missing: Vec<&str> = crate::sync::needed_permissions()
        .into_iter()
        .filter(|path| !may(path))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        findings.ok(&check("rules"), "all sections are permitted");
    } else {
        let hint = "give the key these permissions, so that these rules are enforced here and offline; \
                    sync.without_rules decides until then";
        let words = format!("not permitted: {}", missing.join(", "));
        findings.add(Verdict::Warn, &check("rules"), words, hint);
    }
}

/// What the key does to mail beside sending it.
async fn key_settings(
    provider: &Provider,
    of: &AccountConfig,
    check: &impl Fn(&str) -> String,
    findings: &mut Findings,
) {
    let check = check("key settings");
    let key = of.api_key.expose();
    // What names a key are its first letters (provider-api 1).
    let name: String = key.chars().take(16).collect();
    let request = ViewApiKeys {
        id: Some(key.clone()),
        ..ViewApiKeys::default()
    };
    let found = match provider.call(&request).await {
        Ok(found) => found.items,
        Err(error) => {
            findings.add(Verdict::Warn, &check, ErrorChain(&error).to_string(), "");
            return;
        }
    };
    let named = |key: &&ApiKey| key.username.as_deref() == Some(&name);
    let Some(key) = found.iter().find(named) else {
        findings.ok(&check, "the provider does not list this key");
        return;
    };
    let before = findings.0.len();
    match key.status.as_deref() {
        Some("sandbox") => {
            let hint = "set the key's status to allowed: `api api-keys patch`";
            let words = "sandbox: mail is accepted, counted and thrown away";
            findings.add(Verdict::Fail, &check, words, hint);
        }
        Some("blocked") => findings.add(Verdict::Fail, &check, "the key is blocked", ""),
        _ => {}
    }
    for (on, what) in [
        (key.open_tracking_enabled, "open tracking"),
        (key.click_tracking_enabled, "click tracking"),
        (key.feedback_enabled, "the unsubscribe footer"),
    ] {
        if on == Some(true) {
            let hint = "it changes the bodies of mail, and so breaks their signatures: `api api-keys patch`";
            findings.add(Verdict::Warn, &check, format!("{what} is on"), hint);
        }
    }
    match key.bounce_notifications.as_deref() {
        Some("drop") => {
            let hint = "nobody hears of mail that bounces later: set bounce_notifications to from, or to an address";
            findings.add(Verdict::Warn, &check, "bounces are dropped", hint);
        }
        Some("from") | None => findings.ok(&check, "bounces go to the sender"),
        Some(address) => findings.ok(&check, format!("bounces go to {address}")),
    }
    if let Some(copies) = key
        .audit_email
        .as_deref()
        .filter(|copies| !copies.is_empty())
    {
        let hint = "each copy is a mail of the plan: clear audit_email where it is not wanted";
        let words = format!("every mail is copied to {copies}");
        findings.add(Verdict::Warn, &check, words, hint);
    }
    let standing = key.sending_status.as_ref();
    if let Some(standing) = standing.filter(|standing| !standing.is_null()) {
        let words = match standing.as_str() {
            Some(word) => word.to_owned(),
            None => standing.to_string(),
        };
        // Its words are not published; it tells of blocks for misuse.
        findings.ok(&check, format!("sending_status {words}"));
    }
    if findings.0.len() == before {
        findings.ok(&check, "nothing is added to mail");
    }
}

/// Whether the provider knows the users of devices, and whether what they may send as is verified there.
async fn devices(
    config: &Config,
    account: &str,
    (provider, permissions): (&Provider, &Permissions),
    check: &str,
    findings: &mut Findings,
) {
    let own = |device: &&DeviceConfig| device.account == account;
    if !config.devices.values().any(|device| own(&device)) {
        return;
    }
    let wanted = [
        SectionName::Users,
        SectionName::AllowedSenders,
        SectionName::Domains,
        SectionName::SingleSenders,
    ];
    let may = |section: &SectionName| permissions.cover(permission_for(*section));
    let sections: Vec<SectionName> = wanted.into_iter().filter(may).collect();
    let rules = match look(provider, &sections).await {
        Ok(rules) => rules,
        Err(why) => return findings.add(Verdict::Warn, check, why, ""),
    };
    let before = findings.0.len();
    for (name, device) in config.devices.iter().filter(|(_, device)| own(device)) {
        if let (Some(user), Some(users)) = (&device.smtp_user, rules.users.value()) {
            let hint = "its mail is refused: correct smtp_user, or see `api users`";
            let key = format!("devices.{name}.smtp_user = {user:?}");
            match users.get(user).map(|user| &user.standing) {
                None => {
                    let words = format!("{key}: the account has no such user");
                    findings.add(Verdict::Fail, check, words, hint);
                }
                Some(Standing::Blocked(why)) => {
                    findings.add(Verdict::Warn, check, format!("{key}: {why}"), hint);
                }
                Some(_) => {}
            }
        }
        for sender in unverified(device, &rules) {
            let words = format!("devices.{name} may send as {sender}, which is not verified");
            let hint = "mail as that sender is refused: `api domain add` and `verify`, or `api single-senders add`";
            findings.add(Verdict::Warn, check, words, hint);
        }
    }
    if findings.0.len() == before {
        findings.ok(check, "their users and senders are known to the provider");
    }
}

/// What a device may send as, and the account may not; nothing where the account has a list of its own instead.
fn unverified(device: &DeviceConfig, rules: &AccountRules) -> Vec<String> {
    let list = rules.allowed_senders.value().map(|list| list.mode);
    let (Some(ListMode::Disabled), Some(domains), Some(singles)) =
        (list, rules.domains.value(), rules.single_senders.value())
    else {
        return Vec::new();
    };
    let of_domain = |domain: &str| {
        domains
            .covering(domain)
            .is_some_and(|(_, verified)| verified)
    };
    let of_address = |address: &Mailbox| of_domain(address.domain()) || singles.verified(address);
    let listed = device
        .allowed_senders
        .iter()
        .filter_map(|sender| match sender {
            AddressPattern::Address(address) => (!of_address(address)).then(|| address.to_string()),
            AddressPattern::Domain(domain) => (!of_domain(domain)).then(|| domain.to_string()),
        });
    let replaced = match &device.from_override {
        FromOverride::IfNotAllowed(address) | FromOverride::Always(address) => Some(address),
        FromOverride::Off => None,
    };
    let replaced = replaced.filter(|address| !of_address(address));
    let mut all: Vec<String> = listed.chain(replaced.map(ToString::to_string)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

async fn passwords(provider: &Provider, check: &str, findings: &mut Findings) {
    let users = match provider.call(&ViewSmtpUsers::default()).await {
        Ok(answer) => answer.results.unwrap_or_default(),
        Err(error) => {
            findings.add(Verdict::Warn, check, ErrorChain(&error).to_string(), "");
            return;
        }
    };
    let shown = users.iter().filter(|user| {
        let password = user.email_password.as_ref();
        password.is_some_and(|password| !password.0.chars().all(|letter| letter == '*'))
    });
    let (shown, all) = (shown.count(), users.len());
    let hint = "the API may stop showing passwords at any time: devices that must not depend on it \
                get a credential of their own in [devices]";
    let words = format!(
        "the API shows the passwords of {shown} of {all}: those may sign in with their own names"
    );
    let result = if shown == all {
        Verdict::Ok
    } else {
        Verdict::Warn
    };
    findings.add(result, check, words, if all == 0 { "" } else { hint });
}

async fn allow_list(provider: &Provider, check: &str, findings: &mut Findings) {
    let request = ViewIpAllowList {
        r#type: Some("api".to_owned()),
    };
    match provider.call(&request).await {
        Err(error) => findings.add(Verdict::Warn, check, ErrorChain(&error).to_string(), ""),
        Ok(list) => {
            let entries = list.ip_addresses.map_or(0, |entries| entries.len());
            if list.enabled == Some(true) {
                // This very call came through.
                let words =
                    format!("switched on with {entries} entries; this machine's address is on it");
                findings.ok(check, words);
            } else if entries > 0 {
                let words = format!("switched off, with {entries} entries");
                let hint = "make sure that this site's public address is among them before anybody switches it on: \
                            it would lock the gateway out";
                findings.add(Verdict::Warn, check, words, hint);
            } else {
                findings.ok(check, "switched off; switching it on without this site's address would lock the gateway out");
            }
        }
    }
}

/// The running gateway, where there is one; whether there is.
async fn gateway(options: RemoteOptions, findings: &mut Findings) -> bool {
    let check = "running gateway";
    let sections: Result<Vec<SectionStatus>, Failure> = match Remote::new(options) {
        Ok(remote) => remote.get("/api/rules").await,
        Err(failure) => Err(failure),
    };
    let sections = match sections {
        Ok(sections) => sections,
        Err(_) => {
            let hint = "start it, or say where it is with --admin";
            findings.add(Verdict::Warn, check, "not reached", hint);
            return false;
        }
    };
    findings.ok(check, "answers");
    for section in &sections {
        let name = format!("rules {}/{}", section.account, section.section);
        let age = section.age.map_or_else(
            || "never fetched".to_owned(),
            |age| {
                format!(
                    "confirmed {} ago",
                    humantime::format_duration(Duration::from_secs(age))
                )
            },
        );
        if section.stale {
            findings.add(
                Verdict::Fail,
                &name,
                format!("too old: {age}"),
                &section.trouble,
            );
        } else if section.state == SectionState::Fresh && section.odd == 0 {
            findings.ok(&name, format!("{} entries, {age}", section.entries));
        } else {
            let odd = match section.odd {
                0 => String::new(),
                odd => format!(", {odd} entries not understood"),
            };
            let words = format!("{}, {age}{odd}", section.state.word());
            findings.add(Verdict::Warn, &name, words, &section.trouble);
        }
    }
    true
}

const PATIENCE: Duration = Duration::from_secs(10);
/// Beyond it dates in mail look odd, and look-ups miss.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(120);
