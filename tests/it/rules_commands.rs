//! `why`, `rules`, `refusals` and `doctor`: the real binary, asked as an operator asks.

use std::process::Stdio;

use serde_json::{Value, json};
use smtp2go_gateway::simulator::{Fault, ScriptedFault};
use tokio::process::Command;

use crate::support::eventually;
use crate::support::site::{KEY, Site};

const SETTINGS: &str = "[sync]\ninterval = \"1h\"\n[devices.ricoh]\nsmtp_user = \"printer1\"\nusername = \"ricoh2\"\n\
                        password = \"secret12\"\n";

async fn site() -> Site {
    let site = Site::start(SETTINGS).await;
    eventually("the rules", async || {
        let (_, out, _) = run(&site, KEY, &["rules", "show", "--json"]).await;
        let sections: Value = serde_json::from_str(&out).unwrap();
        let mut sections = sections.as_array().unwrap().iter();
        sections
            .all(|section| section["state"] == "fresh")
            .then_some(())
    })
    .await;
    site
}

/// Exit code, standard output, standard error.
async fn run(site: &Site, key: &str, arguments: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
        .args(arguments)
        .env_clear()
        .env("S2G__ADMIN__BIND", site.gateway.admin().to_string())
        .env("S2G__DATA_DIR", site.data_dir())
        .env("S2G__ACCOUNTS__DEFAULT__API_URL", site.simulator.api_url())
        .env("SMTP2GO_API_KEY", key)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (
        done.status.code().unwrap(),
        text(done.stdout),
        text(done.stderr),
    )
}

async fn owner(site: &Site, path: &str, request: Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}{path}", site.simulator.api_url());
    let post = http.post(url).header("X-Smtp2go-Api-Key", KEY);
    let answer = post.body(request.to_string()).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}");
}

#[tokio::test]
async fn why_says_what_would_become_of_a_message_and_by_which_rules() {
    let site = site().await;
    let ask = async |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        run(&site, KEY, &words).await
    };
    let (code, out, _) = ask("why --from-ip 10.0.5.17 --mail-from a@example.com").await;
    assert_eq!(code, 1, "for scripts");
    assert!(out.starts_with("refused: 530 5.7.0"), "{out}");
    assert!(
        out.contains("listeners.lan.trust 10.0.5.17: does not cover it"),
        "{out}"
    );
    let (_, out, _) = ask("why --user ricoh2 --mail-from a@unverified.example").await;
    assert!(
        out.starts_with("refused: 550 5.7.1 sender domain is not verified"),
        "{out}"
    );
    assert!(
        out.contains("default/domains a@unverified.example: unverified.example is not verified, "),
        "{out}"
    );
    assert!(out.contains("hint     "), "{out}");
    let whole = "why --user printer1 --mail-from a@example.com --header-from a@example.com --rcpt b@example.org";
    let (code, out, _) = ask(whole).await;
    assert_eq!(code, 0);
    assert!(out.starts_with("accepted: 250"), "{out}");
    for rule in [
        "default/users",
        "default/domains",
        "default/suppressions",
        "default/allowed-recipients",
    ] {
        assert!(out.contains(rule), "{rule}: {out}");
    }
    let (_, out, _) = ask(&format!("{whole} --json")).await;
    let explained: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(explained["accepted"], true);
    let (code, out, _) = ask("why --mail-from a@unverified.example --json").await;
    let explained: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &explained["accepted"]), (1, &json!(false)));
    for odd in [
        "why --user nobody",
        "why --mail-from nonsense",
        "why --listener moon",
    ] {
        let (code, _, err) = ask(odd).await;
        assert!(code == 1 && err.starts_with("error: "), "{odd}: {err}");
    }
    let (code, ..) = ask("why --from-ip printer").await;
    assert_eq!(code, 2);
    site.stop().await;
}

#[tokio::test]
async fn rules_are_shown_compared_and_fetched_on_demand() {
    let site = site().await;
    let (_, out, _) = run(&site, KEY, &["rules", "show"]).await;
    assert_eq!(out.lines().count(), 10, "a line a section:\n{out}");
    assert!(
        out.contains("users") && out.contains("fresh") && out.contains("disabled"),
        "{out}"
    );
    let (_, out, _) = run(&site, KEY, &["rules", "show", "default/suppressions"]).await;
    assert_eq!(
        out,
        "suppressed.example      manual\nsuppressed@example.com  manual\n"
    );
    let (_, out, _) = run(&site, KEY, &["rules", "show", "users"]).await;
    assert_eq!(out, "printer1  allowed\n");
    let (code, _, err) = run(&site, KEY, &["rules", "show", "colours"]).await;
    assert!(code == 1 && err.contains("no section"), "{err}");

    let (_, out, err) = run(&site, KEY, &["rules", "diff"]).await;
    assert!(
        out.is_empty() && err.contains("no differences"),
        "{out}{err}"
    );
    owner(
        &site,
        "/suppression/add",
        json!({"email_address": "gone@example.org"}),
    )
    .await;
    let list = json!({"mode": "whitelist", "allowed_senders": ["ann@example.com"]});
    owner(&site, "/allowed_senders/update", list).await;
    let (_, out, _) = run(&site, KEY, &["rules", "diff"]).await;
    let expected = "default/allowed-senders: disabled -> whitelist\n+ default/allowed-senders ann@example.com\n\
                    + default/suppressions gone@example.org (manual)\n";
    assert_eq!(out, expected);
    let (code, out, err) = run(&site, KEY, &["rules", "sync"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("whitelist"), "{out}");
    let (_, out, _) = run(&site, KEY, &["rules", "diff"]).await;
    assert!(out.is_empty(), "{out}");

    site.simulator.script([ScriptedFault {
        endpoint: Some("/domain/view".to_owned()),
        times: 9,
        fault: Fault::Status {
            status: 500,
            body: String::new(),
            retry_after: None,
        },
    }]);
    let (code, out, err) = run(&site, KEY, &["rules", "sync"]).await;
    assert!(
        code == 1 && err.contains("1 section could not be refreshed"),
        "{err}"
    );
    assert!(
        out.contains("last-known-good") && out.contains("the provider answered 500"),
        "{out}"
    );
    site.simulator.script([]);
    let (code, _, err) = run(&site, KEY, &["rules", "sync"]).await;
    assert_eq!(code, 0, "{err}");

    // Nothing can be asked with a key that is not permitted to ask: nothing is fresh then.
    site.simulator.script([ScriptedFault {
        endpoint: None,
        times: 99,
        fault: Fault::Status {
            status: 401,
            body: String::new(),
            retry_after: None,
        },
    }]);
    let (code, out, err) = run(&site, KEY, &["rules", "sync"]).await;
    assert!(
        code == 1 && err.contains("9 sections could not be refreshed"),
        "{err}"
    );
    assert!(!out.contains("fresh"), "{out}");
    assert_eq!(out.matches("not asked, because").count(), 8, "{out}");
    site.simulator.script([]);
    let (code, out, err) = run(&site, KEY, &["rules", "sync"]).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.matches(" fresh ").count(), 9, "{out}");
    site.stop().await;
}

#[tokio::test]
async fn what_was_refused_is_listed_with_the_rules_that_took_part() {
    let site = site().await;
    let (_, _, err) = run(&site, KEY, &["refusals"]).await;
    assert_eq!(err, "nothing was refused\n");
    let mut client = site.client().await;
    client.say("EHLO test").await.expect("250");
    client
        .say("MAIL FROM:<a@unverified.example>")
        .await
        .expect("550");
    let out = eventually("the refusal", async || {
        let (_, out, _) = run(&site, KEY, &["refusals", "--limit", "5"]).await;
        (!out.is_empty()).then_some(out)
    })
    .await;
    assert!(
        out.contains("127.0.0.1 on lan  sender: 550 5.7.1 sender domain"),
        "{out}"
    );
    assert!(
        out.contains("refuses      default/domains a@unverified.example"),
        "{out}"
    );
    let (code, out, err) = run(&site, KEY, &["refusals", "--limit", "0"]).await;
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("--limit 0 hides them"), "{err}");
    let id = site
        .send(
            "a@example.com",
            &["b@example.org"],
            "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n",
        )
        .await;
    site.settled(id).await;
    let (_, out, err) = run(&site, KEY, &["queue", "list", "--all", "--limit", "0"]).await;
    assert!(out.is_empty() && err.contains("older ones"), "{out}{err}");
    site.stop().await;
}

#[tokio::test]
async fn doctor_looks_at_everything_and_says_what_to_do() {
    let site = site().await;
    let find = |out: &str, check: &str| -> Value {
        let all: Value = serde_json::from_str(out).expect(out);
        let mut all = all.as_array().unwrap().iter();
        all.find(|one| one["check"] == check).cloned().expect(check)
    };
    let (code, out, err) = run(&site, KEY, &["doctor", "--json"]).await;
    assert_eq!(code, 0, "{out}{err}");
    for check in [
        "settings",
        "files",
        "data directory",
        "disk",
        "admin",
        "client addresses",
        "account default: dns",
        "account default: connection",
        "clock",
        "account default: key",
        "account default: sending",
        "account default: look-ups",
        "account default: rules",
        "account default: key settings",
        "account default: users",
        "account default: API allow list",
        "running gateway",
        "rules default/suppressions",
    ] {
        assert_eq!(find(&out, check)["result"], "ok", "{check}: {out}");
    }
    assert!(
        !out.contains("not-a-real-secret") && !out.contains(KEY),
        "{out}"
    );

    let (code, out, err) = run(&site, "api-WRONG000000000000000000000000000", &["doctor"]).await;
    assert!(code == 1 && err.contains("1 check failed"), "{err}");
    assert!(
        out.contains("FAIL  account default: key: the provider answered 401"),
        "{out}"
    );
    assert!(out.contains("hint: check this account's api_key"), "{out}");

    owner(
        &site,
        "/ip_allow_list",
        json!({"enabled": true, "type": "api"}),
    )
    .await;
    let (code, out, _) = run(&site, KEY, &["doctor"]).await;
    assert!(
        code == 1 && out.contains("API's IP allow list does not have this machine"),
        "{out}"
    );
    site.gateway.stop().await;
}

/// The same with more environment.
async fn doctor(site: &Site, key: &str, more: &[(&str, &str)]) -> (i32, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
        .arg("doctor")
        .env_clear()
        .env("S2G__ADMIN__BIND", site.gateway.admin().to_string())
        .env("S2G__LISTENERS__LAN__BIND", "127.0.0.1:0")
        .env("S2G__DATA_DIR", site.data_dir())
        .env("S2G__ACCOUNTS__DEFAULT__API_URL", site.simulator.api_url())
        .env("SMTP2GO_API_KEY", key)
        .envs(more.iter().copied())
        .output()
        .await
        .unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    (done.status.code().unwrap(), out)
}

#[tokio::test]
async fn doctor_tells_what_the_key_does_to_mail_and_which_devices_are_refused() {
    let site = site().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let settings = json!({
        "endpoints": ["*"], "open_tracking_enabled": true, "feedback_enabled": true, "status": "sandbox",
        "bounce_notifications": "drop", "audit_email": "audit@example.com,boss@example.com",
    });
    let url = format!("{}/api_keys/add", site.simulator.api_url());
    let post = http.post(url).header("X-Smtp2go-Api-Key", KEY);
    let added = post.body(settings.to_string()).send().await.unwrap();
    let added: Value = serde_json::from_str(&added.text().await.unwrap()).unwrap();
    let key = added["data"][0]["api_key"].as_str().unwrap().to_owned();
    let (code, out) = doctor(
        &site,
        &key,
        &[
            ("S2G__DEVICES__CAM__SMTP_USER", "printer2"),
            ("S2G__DEVICES__CAM__NETWORKS", "10.0.0.1"),
            (
                "S2G__DEVICES__CAM__ALLOWED_SENDERS",
                "cam@unverified.example,example.com,cam@nowhere.invalid",
            ),
        ],
    )
    .await;
    assert_eq!(code, 1, "{out}");
    for line in [
        "FAIL  account default: key settings: sandbox",
        "warn  account default: key settings: open tracking is on",
        "warn  account default: key settings: the unsubscribe footer is on",
        "warn  account default: key settings: bounces are dropped",
        "warn  account default: key settings: every mail is copied to audit@example.com,boss@example.com",
        "ok    account default: key settings: sending_status allowed",
        "FAIL  account default: devices: devices.cam.smtp_user = \"printer2\": the account has no such user",
        "warn  account default: devices: devices.cam may send as cam@nowhere.invalid",
        "warn  account default: devices: devices.cam may send as cam@unverified.example",
    ] {
        assert!(out.contains(line), "{line} in\n{out}");
    }
    assert!(
        !out.contains("may send as example.com") && !out.contains(&key),
        "{out}"
    );
    site.stop().await;
}

#[tokio::test]
async fn doctor_tells_of_blocked_users_and_of_files_that_cannot_be_used() {
    let site = site().await;
    let blocked = json!({"username": "printer1", "status": "blocked"});
    owner(&site, "/users/smtp/edit", blocked).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let settings = json!({"endpoints": ["*"], "click_tracking_enabled": true});
    let url = format!("{}/api_keys/add", site.simulator.api_url());
    let post = http.post(url).header("X-Smtp2go-Api-Key", KEY);
    let added = post.body(settings.to_string()).send().await.unwrap();
    let added: Value = serde_json::from_str(&added.text().await.unwrap()).unwrap();
    let key = added["data"][0]["api_key"].as_str().unwrap().to_owned();
    let more = [
        ("S2G__DEVICES__CAM__SMTP_USER", "printer1"),
        ("S2G__DEVICES__CAM__NETWORKS", "10.0.0.1"),
        ("S2G__DEVICES__CAM__FROM_OVERRIDE", "always"),
        ("S2G__DEVICES__CAM__FROM_ADDRESS", "cam@replaced.invalid"),
    ];
    let (_, out) = doctor(&site, KEY, &more).await;
    for line in [
        "warn  account default: devices: devices.cam.smtp_user = \"printer1\": ",
        "warn  account default: devices: devices.cam may send as cam@replaced.invalid",
    ] {
        assert!(out.contains(line), "{line} in\n{out}");
    }
    // Where the account has a list of its own, that decides.
    let list = json!({"mode": "whitelist", "allowed_senders": ["replaced.invalid"]});
    owner(&site, "/allowed_senders/update", list).await;
    let (_, out) = doctor(&site, KEY, &more).await;
    assert!(!out.contains("may send as"), "{out}");

    let none = site.data_dir().join("none.pem");
    std::fs::write(&none, "no certificate\n").unwrap();
    let none = none.to_str().unwrap();
    let more = [
        ("S2G__LISTENERS__LAN__TLS", "starttls"),
        ("S2G__LISTENERS__LAN__CERT_FILE", none),
        ("S2G__LISTENERS__LAN__KEY_FILE", none),
    ];
    let (code, out) = doctor(&site, &key, &more).await;
    assert_eq!(code, 1, "{out}");
    for line in [
        "warn  account default: key settings: click tracking is on",
        "FAIL  files: ",
    ] {
        assert!(out.contains(line), "{line} in\n{out}");
    }
    site.stop().await;
}

#[tokio::test]
async fn doctor_says_on_one_line_what_it_found() {
    let site = site().await;
    let directory = site.data_dir().join("a\nFAIL  b");
    let directory = [("S2G__DATA_DIR", directory.to_str().unwrap())];
    let (_, out) = doctor(&site, KEY, &directory).await;
    assert!(out.contains("/a FAIL  b "), "{out}");
    site.stop().await;
}

#[tokio::test]
async fn doctor_tries_every_address_and_the_directory() {
    let site = site().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let parent = tempfile::tempdir().unwrap();
    let (file, fresh) = (parent.path().join("file"), parent.path().join("a/b"));
    std::fs::write(&file, "").unwrap();
    let with = async |bind: &str, directory: &std::path::Path| {
        let more = [
            ("S2G__LISTENERS__LAN__BIND", bind),
            ("S2G__DATA_DIR", directory.to_str().unwrap()),
            // Nobody answers there: what is taken is taken by somebody else.
            ("S2G__ADMIN__BIND", "127.0.0.1:0"),
        ];
        doctor(&site, KEY, &more).await
    };
    let (code, out) = with("127.0.0.1:0", &fresh).await;
    assert_eq!(code, 0, "{out}");
    assert!(!parent.path().join("a").exists(), "left as it was");
    let (code, out) = with(&address, &fresh).await;
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains(&format!(
            "FAIL  listener lan: {address} can't be listened on"
        )),
        "{out}"
    );
    let (_, out) = with("192.0.2.1:25", &fresh).await;
    assert!(
        out.contains("hint: this machine has no such address"),
        "{out}"
    );
    let (code, out) = with("127.0.0.1:0", &file.join("below")).await;
    assert!(code == 1 && out.contains("FAIL  data directory"), "{out}");
    site.stop().await;
}
