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
    assert_eq!(code, 0);
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
    let (_, out, _) = ask(whole).await;
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
        "disk",
        "client addresses",
        "account default: dns",
        "account default: connection",
        "clock",
        "account default: key",
        "account default: sending",
        "account default: look-ups",
        "account default: rules",
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
