//! Every mistake at once, each with key, value and expectation; and a reference that is true.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::process::Command;

use smtp2go_gateway::config::{Config, REFERENCE, Settings, Sources};

use crate::support::golden::assert_golden;

fn resolve(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    std::fs::write(&path, file).unwrap();
    let environment: HashMap<String, String> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let sources = Sources {
        file: Some(path),
        environment,
        ..Sources::default()
    };
    Settings::load(&sources)
        .and_then(|settings| Config::resolve(&settings))
        .map_err(|error| {
            error
                .to_string()
                .replace(&directory.path().display().to_string(), "DIR")
        })
}

const KEY: (&str, &str) = ("SMTP2GO_API_KEY", "api-00000000000000000000000000000000");

#[test]
fn broken_settings_are_reported_all_at_once() {
    let cases = [
        ("nothing at all", ""),
        ("no TOML", "hostname = "),
        (
            "every section wrong",
            r#"
hostname = "not a host"
data_dir = ""
colour = "red"
[log]
format = "xml"
level = "loud,,="
[listeners.lan]
bind = "nowhere"
tls = "maybe"
cert_file = "/cert.pem"
trust = ["10.0.0.0/33", "0.0.0.0/0"]
account = "missing"
max_message_size = 99000000
max_conections = 5
command_timeout = "soon"
[accounts.default]
api_url = "http://api.example.com/v3"
api_key = "has space SECRET"
api_key_file = "/does/not/exist"
[devices.nobody]
allowed_senders = ["not an address"]
[devices.half]
username = "half1"
[devices.other-half]
password = "SECRET"
[devices.both]
username = "both1"
password = "SECRET"
password_hash = "SECRET"
from_override = "always"
[devices.twin]
username = "both1"
password_file = "/does/not/exist"
[devices.contradiction]
networks = ["192.0.2.1"]
allowed_senders = ["example.com"]
from_override = "if_not_allowed"
from_address = "a@example.org"
[envelope]
mismatch = "shrug"
[forward]
retry_first = "1h"
concurrency = 0
[spool]
retention = 7
[admin]
bind = "0.0.0.0:8080"
"#,
        ),
        (
            "wrong types",
            "hostname = 7\nlisteners = 3\ndevices = \"x\"\nadmin = []\n[accounts]\ndefault = 1\n",
        ),
        (
            "two on one port",
            "[listeners.a]\nbind = \"127.0.0.1:25\"\n[listeners.b]\nbind = \"127.0.0.1:25\"\n[listeners.c]\n",
        ),
        (
            "one address, two devices",
            "[devices.a]\nnetworks = [\"192.0.2.1/32\"]\n[devices.b]\nnetworks = [\"192.0.2.1\"]\n",
        ),
        (
            "what would never work",
            r#"
[listeners.lan]
bind = "127.0.0.1:8080"
trust = ["0.0.0.0/1", "128.0.0.0/1"]
cert_file = "/does/not/exist"
key_file = "/does/not/exist"
[devices.scrypt]
username = "scrypt1"
password_hash = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
[devices.half-hash]
username = "hash12"
password_hash = "$argon2id$v=19$m=19456,t=2,p=1"
[devices.wildcard]
networks = ["192.0.2.1"]
allowed_senders = ["*@example.com"]
[devices.empty]
networks = []
"#,
        ),
        ("a short token", "[admin]\ntoken = \"short\"\n"),
    ];
    let mut text = String::new();
    for (name, file) in cases {
        let key: &[(&str, &str)] = if file.contains("api_key") || file.is_empty() {
            &[]
        } else {
            &[KEY]
        };
        let error = resolve(file, key).expect_err(name);
        writeln!(text, "## {name}\n{error}\n").unwrap();
    }
    assert!(!text.contains("SECRET"), "secrets are never shown");
    assert_golden("bad-configs.txt", &text);
}

#[test]
fn the_reference_is_the_defaults_and_needs_only_a_key() {
    let config = resolve("", &[KEY]).unwrap();
    let lan = &config.listeners["lan"];
    assert_eq!(lan.bind, ["0.0.0.0:2525".parse().unwrap()]);
    assert_eq!(lan.max_message_size, 37_000_000);
    assert_eq!(
        config.accounts["default"].api_url,
        "https://api.smtp2go.com/v3"
    );
    assert_eq!(config.forward.retry_first.as_secs(), 15);
    assert!(config.devices.is_empty());
    for key in ["bind", "trust", "hidden", "give_up_after", "token"] {
        assert!(REFERENCE.contains(&format!("{key} = ")), "{key}");
    }
}

#[test]
fn the_environment_sets_any_key_above_the_file() {
    let file = "hostname = \"file.example.com\"\n[listeners.lan]\nbind = \"127.0.0.1:1\"\n";
    let config = resolve(
        file,
        &[
            KEY,
            ("S2G__HOSTNAME", "env.example.com"),
            ("S2G__LISTENERS__LAN__BIND", "127.0.0.1:2,[::1]:2"),
            ("S2G__LISTENERS__TLS__BIND", "127.0.0.1:465"),
            ("S2G__LISTENERS__TLS__TLS", "implicit"),
            ("S2G__LISTENERS__LAN__TRUST", "10.0.0.0/8, 192.0.2.7"),
            ("S2G__LISTENERS__LAN__MAX_CONNECTIONS", "7"),
            ("S2G__DEVICES__CAM__NETWORKS", "192.0.2.9"),
            ("UNRELATED", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.hostname, "env.example.com");
    let lan = &config.listeners["lan"];
    assert_eq!(lan.bind.len(), 2);
    assert_eq!(lan.trust.len(), 2);
    assert_eq!(lan.max_connections, 7);
    let tls = &config.listeners["tls"];
    assert_eq!(
        tls.max_recipients, 1000,
        "defaults of `lan` hold for all listeners"
    );
    assert_eq!(config.devices["cam"].networks.len(), 1);
}

#[test]
fn mapped_networks_mean_their_ipv4_addresses() {
    let file = "[listeners.lan]\ntrust = [\"::ffff:10.0.0.5\", \"::ffff:192.0.2.0/120\"]\n";
    let config = resolve(file, &[KEY]).unwrap();
    let trust: Vec<String> = config.listeners["lan"]
        .trust
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(trust, ["10.0.0.5/32", "192.0.2.0/24"]);
}

#[test]
fn own_listeners_replace_the_default_one() {
    let config = resolve("[listeners.office]\nbind = \"127.0.0.1:25\"\n", &[KEY]).unwrap();
    assert_eq!(config.listeners.keys().collect::<Vec<_>>(), ["office"]);
}

#[test]
fn a_secret_can_stand_in_a_file_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "api-11111111111111111111111111111111\n").unwrap();
    let file = format!("[accounts.default]\napi_key_file = {path:?}\n");
    let config = resolve(&file, &[]).unwrap();
    let key = config.accounts["default"].api_key.expose();
    assert_eq!(key, "api-11111111111111111111111111111111");
    assert!(!format!("{config:?}").contains(key.as_str()));
}

/// The lines of a section of the reference, as key and value.
fn reference(section: &str) -> Vec<(&'static str, &'static str)> {
    let start = REFERENCE.find(&format!("\n[{section}]\n")).expect(section);
    let lines = REFERENCE[start + 1..].lines().skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .filter(|(key, _)| !key.starts_with('#'))
        .collect()
}

/// What `check` prints of a section.
fn printed(config: &Config, section: &str) -> HashMap<String, String> {
    let text = format!("\n{}", config.settings.masked());
    let start = text.find(&format!("\n[{section}]\n")).expect(section);
    let lines = text[start + 1..].lines().skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn every_value_of_the_first_listener_and_account_is_the_default_of_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let pem = directory.path().join("pem");
    std::fs::write(&pem, "x").unwrap();
    let pem = format!("{pem:?}");
    let changed = |key: &str| -> String {
        let value = match key {
            "bind" => "\"127.0.0.1:7\"",
            "tls" => "\"implicit\"",
            "cert_file" | "key_file" => &pem,
            "trust" | "clear_auth" => "[]",
            "account" => "\"branch\"",
            "require_tls" => "true",
            "profile" => "\"strict\"",
            "max_message_size"
            | "max_connections"
            | "max_connections_per_address"
            | "max_recipients"
            | "min_rate"
            | "max_spool_size" => "7777",
            "command_timeout" | "data_timeout" => "\"77s\"",
            "api_url" => "\"https://eu-api.smtp2go.com/v3\"",
            "api_key" => "\"api-1\"",
            other => panic!("{other} is new: give it another value here"),
        };
        value.to_owned()
    };
    let mut file = String::new();
    for section in ["listeners.lan", "accounts.default"] {
        writeln!(file, "[{section}]").unwrap();
        for (key, before) in reference(section) {
            assert_ne!(changed(key), before, "{key}");
            writeln!(file, "{key} = {}", changed(key)).unwrap();
        }
    }
    let own =
        "[listeners.office]\nbind = \"127.0.0.1:8\"\n[accounts.branch]\napi_key = \"api-2\"\n";
    let config = resolve(&format!("{file}{own}"), &[]).unwrap();
    for (section, entry, kept) in [
        ("listeners.lan", "listeners.office", "bind"),
        ("accounts.default", "accounts.branch", "api_key"),
    ] {
        let found = printed(&config, entry);
        for (key, _) in reference(section)
            .into_iter()
            .filter(|(key, _)| *key != kept)
        {
            let expected = format!("{}  # {section}, ", changed(key));
            assert!(
                found[key].starts_with(&expected),
                "{entry}.{key} = {}",
                found[key]
            );
        }
        assert!(!found[kept].contains(section), "{}", found[kept]);
    }
    // What is another's own is never taken over: no second account sends by the first one's key.
    let error = resolve(&format!("{file}[accounts.branch]\n[listeners.c]\n"), &[]).unwrap_err();
    for key in ["accounts.branch.api_key", "listeners.c.bind"] {
        assert!(error.contains(&format!("{key} = (missing)")), "{error}");
    }
    // What is written for itself counts.
    let own = "[listeners.c]\nbind = \"127.0.0.1:9\"\nrequire_tls = false\ntrust = [\"192.0.2.0/24\"]\n\
               [accounts.branch]\napi_key = \"api-2\"\n";
    let config = resolve(&format!("{file}{own}"), &[]).unwrap();
    let listener = &config.listeners["c"];
    assert_eq!((listener.require_tls, listener.trust.len()), (false, 1));
}

#[test]
fn every_value_is_printed_with_where_it_was_written() {
    let config = resolve(
        "hostname = \"a.example\"\n[accounts.default]\napi_key = \"api-1\"\n[listeners.lan]\nmax_connections = 7\n\
         [listeners.office]\nbind = \"127.0.0.1:1\"\n",
        &[("S2G__LISTENERS__LAN__TRUST", "192.0.2.1")],
    )
    .unwrap();
    let text = config.settings.masked();
    for line in [
        "data_dir = \"/var/lib/smtp2go-gateway\"  # default\n",
        "gateway.toml\n[accounts.default]",
        "trust = \"192.0.2.1\"  # S2G__LISTENERS__LAN__TRUST\n",
        "trust = \"192.0.2.1\"  # listeners.lan, S2G__LISTENERS__LAN__TRUST\n",
        "api_key = \"********\"  # ",
    ] {
        assert!(
            text.replace("\n\n", "\n").contains(line),
            "{line} in\n{text}"
        );
    }
    assert_eq!(text.matches("max_connections = 7  # ").count(), 2, "{text}");
    let values = text.lines().filter(|line| line.contains(" = "));
    assert!(
        values.into_iter().all(|line| line.contains("  # ")),
        "{text}"
    );
}

#[test]
fn an_empty_variable_empties_a_list_and_is_an_error_elsewhere() {
    let file = "[listeners.lan]\ntrust = [\"192.0.2.0/24\"]\n";
    let empty = |name| resolve(file, &[KEY, (name, "")]);
    assert!(
        empty("S2G__LISTENERS__LAN__TRUST").unwrap().listeners["lan"]
            .trust
            .is_empty()
    );
    assert!(
        empty("S2G__LISTENERS__LAN__CLEAR_AUTH").unwrap().listeners["lan"]
            .clear_auth
            .is_empty()
    );
    for name in [
        "S2G__HOSTNAME",
        "S2G__LISTENERS__LAN__BIND",
        "S2G__LISTENERS__LAN__TLS",
        "S2G__LISTENERS__LAN__CERT_FILE",
        "S2G__LISTENERS__LAN__REQUIRE_TLS",
        "S2G__LISTENERS__LAN__MAX_CONNECTIONS",
        "S2G__LISTENERS__LAN__COMMAND_TIMEOUT",
        "S2G__ACCOUNTS__DEFAULT__API_URL",
        "S2G__DEVICES__CAM__PASSWORD",
        "S2G__ENVELOPE__HIDDEN",
        "S2G__ADMIN__TOKEN",
        "SMTP2GO_API_KEY",
    ] {
        let error = empty(name).expect_err(name);
        let said = format!("= (empty): expected a value in {name}, or no such variable");
        assert!(error.contains(&said), "{error}");
    }
}

#[test]
fn no_mistake_shows_what_may_be_a_secret() {
    for file in [
        "colour = \"SECRET\"",
        "api_key = \"SECRET\"",
        "[accounts]\ndefault = \"SECRET\"",
        "[accounts.default]\napi_kee = \"SECRET\"",
        "[accounts.default]\napi_key = [\"SECRET\"]",
        "[accounts.default]\napi_key_file = \"SECRET\"",
        "[accounts.default]\napi_key = \"SECRET spaced\"",
        "[accounts.default]\napi_url = \"https://user:SECRET@api.smtp2go.com/v3\"",
        "[accounts.default]\napi_url = \"https://:SECRET@api.smtp2go.com/v3\"",
        "[accounts.default]\napi_url = \"https://api.smtp2go.com/v3?key=SECRET\"",
        "[devices.accounts.default]\napi_key = \"SECRET\"",
        "[hostname]\napi_key = \"SECRET\"",
        "[listeners.lan]\ntrust = [{ password = \"SECRET\" }]",
        "[listeners.lan]\nmax_connections = { password = \"SECRET\" }",
        "[listeners.lan]\nkey_file = \"SECRET\"\ncert_file = \"/cert.pem\"",
        "[devices.cam]\nusername = \"cam\"\npasword = \"SECRET\"",
        "[devices.cam]\nusername = \"cam\"\npassword_file = \"SECRET\"",
        "listeners = \"SECRET\"",
        "admin = \"SECRET\"",
        "[admin]\ntoken = \"SECRET\"",
        "[accounts.default]\napi_key = \"SECRET",
        "[accounts.default]\napi_key = SECRET",
        "[accounts.default]\napi_key = 'a' SECRET",
        "api_key = \"SECRET\"\napi_key = \"SECRET\"",
    ] {
        let error = resolve(file, &[]).expect_err(file);
        assert!(!error.contains("SECRET"), "{file}\n{error}");
        // The variable may take the place of what was wrong.
        let error = resolve(file, &[KEY]).err().unwrap_or_default();
        assert!(!error.contains("SECRET"), "{file}\n{error}");
    }
    for url in [
        "https://user:SECRET@api.smtp2go.com/v3",
        "https://:SECRET@api.smtp2go.com/v3",
    ] {
        let file = format!("[accounts.default]\napi_url = {url:?}");
        assert!(resolve(&file, &[KEY]).is_err(), "{url}");
    }
    let error = resolve("", &[("S2G__ACCOUNTS__DEFAULT", "SECRET")]).unwrap_err();
    assert!(!error.contains("SECRET"), "{error}");
    let error = resolve("[admin]\ntoken = 'a' b\n", &[KEY]).unwrap_err();
    assert!(
        error.contains("TOML parse error at line 2, column "),
        "{error}"
    );
}

#[test]
fn a_key_file_with_more_than_a_key_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let file = format!("[accounts.default]\napi_key_file = {path:?}\n");
    let with = |octets: &[u8]| {
        std::fs::write(&path, octets).unwrap();
        resolve(&file, &[]).map(|config| config.accounts["default"].api_key.expose().clone())
    };
    for good in ["api-1", "api-1\n", "api-1\r\n"] {
        assert_eq!(with(good.as_bytes()), Ok("api-1".to_owned()));
    }
    for (octets, said) in [
        (&b"\xef\xbb\xbfapi-1\n"[..], "without a byte order mark"),
        (b"\xff\xfea\0p\0i\0", "this one is in UTF-16"),
        (b"\xe4pi-1", "a file in UTF-8"),
        (b"", "not empty"),
        (b" \n\n", "not empty"),
        (b"\napi-1\n", "without blank lines"),
        (b"api-1\n\n", "without blank lines"),
        (b"api-1\napi-2\n", "of one line: this one has 2"),
        (b" api-1\n", "without spaces around"),
        (b"api-1 \n", "without spaces around"),
        (b"\"api-1\"\n", "without quotes around"),
        (b"'api-1'\n", "without quotes around"),
    ] {
        let error = with(octets).expect_err(said);
        assert!(
            error.contains(said) && !error.contains("api-1"),
            "{said}: {error}"
        );
    }
    // As a file of variables for a container leaves it.
    let error = resolve("", &[("SMTP2GO_API_KEY", "\"api-1\"")]).unwrap_err();
    assert!(error.contains("a key without quotes around"), "{error}");
}

#[test]
fn check_loads_certificates_keys_and_authorities() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let made = rcgen::generate_simple_self_signed(["relay.test".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["relay.test".to_owned()]).unwrap();
    let pem = made.cert.pem();
    std::fs::write(path("cert"), &pem).unwrap();
    std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(path("other"), other.signing_key.serialize_pem()).unwrap();
    std::fs::write(path("text"), "not a certificate").unwrap();
    let check = |cert: &str, key: &str, authorities: &str| {
        let file = path("gateway.toml");
        let text = format!(
            "[listeners.lan]\ncert_file = {:?}\nkey_file = {:?}\n[forward]\nca_file = {:?}\n\
             [accounts.default]\napi_key = \"api-1\"\n",
            path(cert),
            path(key),
            path(authorities)
        );
        std::fs::write(&file, text).unwrap();
        let (code, out, err) = program(&["check", "--config", file.to_str().unwrap()]);
        assert!(code == Some(0) || out.is_empty(), "{out}");
        (code, err)
    };
    assert_eq!(check("cert", "key", "cert").0, Some(0));
    for (cert, key, authorities, said) in [
        ("text", "key", "cert", "listeners.lan.cert_file = "),
        ("cert", "text", "cert", "listeners.lan.key_file = "),
        ("cert", "other", "cert", "listeners.lan.key_file = "),
        ("cert", "key", "text", "forward.ca_file = "),
    ] {
        let (code, err) = check(cert, key, authorities);
        assert!(code == Some(78) && err.contains(said), "{said}: {err}");
    }
}

#[test]
fn the_shipped_unit_can_read_the_key_file_of_the_readme() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let (readme, unit) = (read("README.md"), read("config/smtp2go-gateway.service"));
    let named = readme.split("api_key_file = \"").nth(1).unwrap();
    let named = named.split('"').next().unwrap();
    assert!(
        unit.contains(&format!("\nLoadCredential=api-key:{named}\n")),
        "{named}"
    );
    let place = "\nEnvironment=S2G__ACCOUNTS__DEFAULT__API_KEY_FILE=%t/credentials/%n/api-key\n";
    assert!(unit.contains(place), "{unit}");
}

fn program(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn check_masks_secrets_and_broken_settings_exit_78() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    let file = path.to_str().unwrap();
    std::fs::write(
        &path,
        "[accounts.default]\napi_key = \"api-SECRET\"\n[devices.cam]\nusername = \"camera1\"\npassword = \"SECRET\"\n",
    )
    .unwrap();
    let (code, out, err) = program(&["check", "--config", file]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("api_key = \"********\"") && out.contains("username = \"camera1\""),
        "{out}"
    );
    assert!(!out.contains("SECRET") && !err.contains("SECRET"));

    std::fs::write(&path, "hostnam = \"x\"\n").unwrap();
    for command in ["check", "run"] {
        let (code, out, err) = program(&[command, "--config", file]);
        assert_eq!((code, out.as_str()), (Some(78), ""));
        assert!(err.starts_with("error: 2 settings are wrong\n"), "{err}");
        assert!(
            err.contains("(did you mean hostname?)") && err.contains("\nhint: "),
            "{err}"
        );
    }
    let (code, _, err) = program(&["run", "--config", "/does/not/exist.toml"]);
    assert_eq!(code, Some(78), "{err}");
    assert_eq!(program(&["frobnicate"]).0, Some(2));
}

#[test]
fn every_help_fits_a_screen() {
    let mut text = String::new();
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["demo", "--help"],
        &["simulator", "--help"],
        &["check", "--help"],
        &["queue", "--help"],
        &["queue", "list", "--help"],
        &["queue", "hold", "--help"],
        &["trace", "--help"],
        &["why", "--help"],
        &["rules", "--help"],
        &["rules", "show", "--help"],
        &["rules", "sync", "--help"],
        &["rules", "diff", "--help"],
        &["refusals", "--help"],
        &["doctor", "--help"],
        &["device", "password", "--help"],
        &["health", "--help"],
    ] {
        let (code, out, _) = program(arguments);
        assert_eq!(code, Some(0));
        assert!(
            out.lines().count() <= 24,
            "{arguments:?} fills more than a screen:\n{out}"
        );
        writeln!(text, "$ smtp2go-gateway {}\n{out}", arguments.join(" ")).unwrap();
    }
    assert_golden("help.txt", &text);
}

#[test]
fn device_password_prints_settings_that_are_accepted() {
    let (code, out, _) = program(&[
        "device",
        "password",
        "--username",
        "ricoh2",
        "--device",
        "2nd floor",
    ]);
    assert_eq!(code, Some(0));
    let settings: Vec<&str> = out
        .lines()
        .skip_while(|line| !line.trim().starts_with('['))
        .map(str::trim)
        .collect();
    let config = resolve(&settings.join("\n"), &[KEY]).unwrap();
    assert!(config.devices["2nd floor"].credential.is_some());
}
