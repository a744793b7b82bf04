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
            ("S2G__ENVELOPE__HIDDEN", ""),
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
