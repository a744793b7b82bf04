//! Promise 6: rules come from the provider and work offline. Promise 8: a refused key stops the account, not the
//! mail. The gateway against simulated providers, whose owner changes things as owners do: by their API.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use smtp2go_gateway::app::Gateway;
use smtp2go_gateway::config::Config;
use smtp2go_gateway::simulator::{Fault, ScriptedFault, SimulatedAccount, Simulator};
use smtp2go_gateway::spool::{RulesPart, State};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::site::{KEY, config};

const MESSAGE: &str = "From: a@example.com\r\nTo: b@example.org\r\nSubject: x\r\n\r\nhello\r\n";

/// Looks at the rules often.
const QUICK: &str = "[sync]\ninterval = \"50ms\"\n";

struct Place {
    gateway: Gateway,
    provider: Option<(Simulator, CancellationToken)>,
    directory: TempDir,
    settings: String,
    api_url: String,
}

async fn simulator() -> (Simulator, CancellationToken) {
    let stop = CancellationToken::new();
    let account = SimulatedAccount::sample(KEY);
    let any = "127.0.0.1:0".parse().unwrap();
    let started = Simulator::start(any, account, stop.clone()).await;
    (started.unwrap(), stop)
}

impl Place {
    async fn open(settings: &str) -> Self {
        let provider = simulator().await;
        let api_url = provider.0.api_url();
        Self::open_with(
            settings,
            Some(provider),
            api_url,
            tempfile::tempdir().unwrap(),
        )
        .await
    }

    async fn open_with(
        settings: &str,
        provider: Option<(Simulator, CancellationToken)>,
        api_url: String,
        directory: TempDir,
    ) -> Self {
        let config = config(directory.path(), &api_url, settings);
        Self {
            gateway: Gateway::start(&config).await.unwrap(),
            provider,
            directory,
            settings: settings.to_owned(),
            api_url,
        }
    }

    fn simulator(&self) -> &Simulator {
        &self.provider.as_ref().unwrap().0
    }

    /// Changes the account as its owner would.
    async fn owner(&self, path: &str, request: Value) -> Value {
        call(&self.api_url, KEY, path, &request).await
    }

    async fn client(&self) -> Client {
        let mut client = Client::connect(self.gateway.smtp()["lan"][0]).await;
        client.say("EHLO test").await.expect("250");
        client
    }

    /// The reply to MAIL in a new session.
    async fn mail_from(&self, sender: &str) -> String {
        self.client()
            .await
            .say(&format!("MAIL FROM:<{sender}>"))
            .await
            .text
    }

    async fn rcpt_to(&self, recipient: &str) -> String {
        let mut client = self.client().await;
        client.say("MAIL FROM:<a@example.com>").await.expect("250");
        client.say(&format!("RCPT TO:<{recipient}>")).await.text
    }

    async fn admin(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.gateway.admin());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.get(url).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    async fn order(&self, path: &str, question: Value) -> Value {
        let url = format!("http://{}{path}", self.gateway.admin());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(url).header("content-type", "application/json");
        let answer = request.body(question.to_string()).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// What is known of a section.
    async fn section(&self, name: &str) -> Value {
        let all = self.admin("/api/rules").await;
        let mut all = all.as_array().unwrap().iter();
        let found = all.find(|section| section["section"] == name);
        found.cloned().unwrap()
    }

    /// All sections have been fetched.
    async fn known(&self) {
        eventually("all sections", async || {
            let all = self.admin("/api/rules").await;
            let all = all.as_array().unwrap();
            all.iter()
                .all(|section| section["state"] == "fresh")
                .then_some(())
        })
        .await;
    }

    /// The provider is gone, and the gateway starts again.
    async fn restart_offline(self) -> Self {
        self.gateway.stop().await;
        if let Some((_, stop)) = &self.provider {
            stop.cancel();
        }
        let nowhere = "http://127.0.0.1:9/v3".to_owned();
        Self::open_with(&self.settings, None, nowhere, self.directory).await
    }

    async fn close(self) {
        self.gateway.stop().await;
        if let Some((_, stop)) = self.provider {
            stop.cancel();
        }
    }
}

async fn call(api_url: &str, key: &str, path: &str, request: &Value) -> Value {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = http.post(format!("{api_url}{path}"));
    let post = match path.ends_with("/edit") {
        true => http.patch(format!("{api_url}{path}")),
        false => post,
    };
    let answer = post
        .header("X-Smtp2go-Api-Key", key)
        .body(request.to_string())
        .send()
        .await
        .unwrap();
    let (status, body) = (answer.status(), answer.bytes().await.unwrap());
    assert!(
        status.is_success(),
        "{path}: {}",
        String::from_utf8_lossy(&body)
    );
    serde_json::from_slice(&body).unwrap()
}

fn auth(user: &str, password: &str) -> String {
    format!(
        "AUTH PLAIN {}",
        STANDARD.encode(format!("\0{user}\0{password}"))
    )
}

fn failing(endpoint: &str, status: u16, body: &str) -> ScriptedFault {
    ScriptedFault {
        endpoint: Some(endpoint.to_owned()),
        times: u32::MAX,
        fault: Fault::Status {
            status,
            body: body.to_owned(),
            retry_after: None,
        },
    }
}

#[tokio::test]
async fn a_user_that_is_blocked_at_the_provider_is_refused_here_within_an_interval() {
    let device = "[devices.ricoh]\nsmtp_user = \"printer1\"\nusername = \"ricoh2\"\npassword = \"secret12\"\n";
    let place = Place::open(&format!("{QUICK}{device}")).await;
    place.known().await;
    let sign_in = async |user: &str, password: &str| {
        place.client().await.say(&auth(user, password)).await.text
    };
    assert!(sign_in("ricoh2", "secret12").await.starts_with("235"));
    assert!(
        sign_in("printer1", "not-a-real-secret-1")
            .await
            .starts_with("235")
    );
    let blocked = json!({"username": "printer1", "status": "blocked"});
    place.owner("/users/smtp/edit", blocked).await;
    for (user, password) in [("ricoh2", "secret12"), ("printer1", "not-a-real-secret-1")] {
        eventually("the refusal", async || {
            let reply = sign_in(user, password).await;
            reply
                .starts_with("535 5.7.8 SMTP user is blocked")
                .then_some(())
        })
        .await;
    }
    let wrong = sign_in("printer1", "wrong").await;
    assert!(
        wrong.starts_with("535 5.7.8 username or password"),
        "{wrong}"
    );
    let allowed = json!({"username": "printer1", "status": "allowed"});
    place.owner("/users/smtp/edit", allowed).await;
    eventually("it may again", async || {
        sign_in("ricoh2", "secret12")
            .await
            .starts_with("235")
            .then_some(())
    })
    .await;
    place.close().await;
}

#[tokio::test]
async fn a_domain_that_is_verified_at_the_provider_is_accepted_here_at_the_next_try() {
    // An interval of an hour: only the refusal itself can have the section looked at.
    let place = Place::open("[sync]\ninterval = \"1h\"\n").await;
    place.known().await;
    let refused = place.mail_from("a@new.invalid").await;
    assert!(
        refused.starts_with("550 5.7.1 sender domain is not verified"),
        "{refused}"
    );
    place
        .owner("/domain/add", json!({"domain": "new.invalid"}))
        .await;
    place
        .owner("/domain/verify", json!({"domain": "new.invalid"}))
        .await;
    // Looked at a moment ago; the refusal after that moment brings the news.
    eventually("the new domain", async || {
        place
            .mail_from("a@new.invalid")
            .await
            .starts_with("250")
            .then_some(())
    })
    .await;
    place.close().await;
}

#[tokio::test]
async fn a_suppression_that_was_taken_away_is_asked_about_when_it_refuses() {
    let place = Place::open("[sync]\ninterval = \"1h\"\n").await;
    place.known().await;
    let refused = place.rcpt_to("suppressed@example.com").await;
    assert!(
        refused.starts_with("550 5.7.1 recipient is suppressed (manual)"),
        "{refused}"
    );
    let whole = place.rcpt_to("any@suppressed.example").await;
    assert!(
        whole.starts_with("550 5.7.1 recipient is suppressed"),
        "{whole}"
    );
    let end = json!({"email_address": "suppressed@example.com", "reasons": ["manual"]});
    place.owner("/suppression/remove", end).await;
    eventually("it gets mail again", async || {
        let reply = place.rcpt_to("suppressed@example.com").await;
        reply.starts_with("250").then_some(())
    })
    .await;
    let place = place.restart_offline().await;
    let again = place.rcpt_to("suppressed@example.com").await;
    assert!(
        again.starts_with("250"),
        "what has gone is stored, too: {again}"
    );
    assert!(
        place
            .rcpt_to("any@suppressed.example")
            .await
            .starts_with("550")
    );
    place.close().await;
}

#[tokio::test]
async fn new_suppressions_are_fetched_alone_and_count_at_once() {
    let place = Place::open(QUICK).await;
    place.known().await;
    let add = json!({"email_address": "Gone@Example.org"});
    place.owner("/suppression/add", add).await;
    eventually("the new suppression", async || {
        place
            .rcpt_to("gone@example.org")
            .await
            .starts_with("550")
            .then_some(())
    })
    .await;
    assert!(
        place
            .rcpt_to("any@suppressed.example")
            .await
            .starts_with("550"),
        "old ones stay"
    );
    let place = place.restart_offline().await;
    assert!(place.rcpt_to("gone@example.org").await.starts_with("550"));
    place.close().await;
}

#[tokio::test]
async fn yesterdays_rules_hold_while_the_provider_is_gone_and_after_a_restart() {
    let place = Place::open(QUICK).await;
    let rules = json!({"mode": "whitelist", "allowed_senders": ["ann@example.com"]});
    place.owner("/allowed_senders/update", rules).await;
    place.known().await;
    eventually("the whitelist", async || {
        let reply = place.mail_from("bob@example.com").await;
        reply
            .starts_with("550 5.7.1 sender not allowed by")
            .then_some(())
    })
    .await;
    place.provider.as_ref().unwrap().1.cancel();
    eventually("failed looks", async || {
        let all = place.admin("/api/rules").await;
        let stale = all.as_array().unwrap().iter();
        let kept = stale.filter(|section| section["state"] == "last-known-good");
        (kept.count() >= 1).then_some(())
    })
    .await;
    assert!(place.mail_from("bob@example.com").await.starts_with("550"));
    assert!(place.mail_from("ann@example.com").await.starts_with("250"));
    let place = place.restart_offline().await;
    assert!(place.mail_from("bob@example.com").await.starts_with("550"));
    assert!(place.mail_from("ann@example.com").await.starts_with("250"));
    let section = place.section("allowed-senders").await;
    assert_eq!(
        (&section["setting"], &section["entries"]),
        (&json!("whitelist"), &json!(1))
    );
    assert!(section["age"].is_number(), "its age is shown: {section}");
    let ready = place.admin("/readyz").await;
    assert_eq!(ready["ready"], true, "not too old yet");
    place.close().await;
}

#[tokio::test]
async fn an_hour_without_the_provider_changes_no_answer() {
    let place = Place::open(QUICK).await;
    let rules = json!({"mode": "whitelist", "allowed_senders": ["ann@example.com"]});
    place.owner("/allowed_senders/update", rules).await;
    place.known().await;
    eventually("the whitelist", async || {
        let reply = place.mail_from("bob@example.com").await;
        reply.starts_with("550").then_some(())
    })
    .await;
    place.provider.as_ref().unwrap().1.cancel();
    eventually("a failed look", async || {
        let section = place.section("allowed-senders").await;
        (section["state"] == "last-known-good").then_some(())
    })
    .await;
    for _ in 0..12 {
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(300)).await;
        tokio::time::resume();
        let refused = place.mail_from("bob@example.com").await;
        assert!(
            refused.starts_with("550 5.7.1 sender not allowed by"),
            "{refused}"
        );
        assert!(place.mail_from("ann@example.com").await.starts_with("250"));
    }
    let section = place.section("allowed-senders").await;
    assert_eq!(section["state"], "last-known-good", "{section}");
    place.close().await;
}

#[tokio::test]
async fn a_first_start_without_the_provider_does_what_the_settings_say() {
    let nowhere = "http://127.0.0.1:9/v3".to_owned();
    let start = async |settings: &str| {
        let directory = tempfile::tempdir().unwrap();
        Place::open_with(settings, None, nowhere.clone(), directory).await
    };
    let place = start("").await;
    assert!(
        place
            .mail_from("any@anything.invalid")
            .await
            .starts_with("250")
    );
    place.close().await;
    let place = start(QUICK).await;
    eventually("users to be waited for", async || {
        let mut client = place.client().await;
        let reply = client.say(&auth("printer1", "not-a-real-secret-1")).await;
        reply
            .text
            .starts_with("454 4.7.0 cannot check")
            .then_some(())
    })
    .await;
    place.close().await;
    let place = start("[sync]\nwithout_rules = \"refuse\"\n").await;
    let reply = place.mail_from("a@example.com").await;
    assert!(
        reply.starts_with("451 4.3.0 session: account rules are not known"),
        "{reply}"
    );
    place.close().await;
}

#[tokio::test]
async fn rules_that_are_too_old_make_the_gateway_unready_and_are_handled_as_configured() {
    let settings =
        "[sync]\ninterval = \"20ms\"\nstale_after = \"300ms\"\nwhen_stale = \"refuse\"\n";
    let place = Place::open(settings).await;
    place.known().await;
    // A slow machine may not refresh them in time, once.
    eventually("mail to be taken", async || {
        let reply = place.mail_from("a@example.com").await;
        reply.starts_with("250").then_some(())
    })
    .await;
    let (simulator, stop) = place.provider.as_ref().unwrap();
    stop.cancel();
    let _ = simulator;
    eventually("the rules to be too old", async || {
        let ready = place.admin("/readyz").await;
        let stale = ready["stale_rules"].as_array().map_or(0, Vec::len);
        (ready["ready"] == false && stale > 0).then_some(())
    })
    .await;
    eventually("the refusal", async || {
        let reply = place.mail_from("a@example.com").await;
        reply
            .starts_with("451 4.3.0 session: account rules are too old")
            .then_some(())
    })
    .await;
    place.close().await;
}

#[tokio::test]
async fn a_section_that_fails_keeps_what_it_had_and_the_others_go_on() {
    let place = Place::open(QUICK).await;
    place.known().await;
    place.simulator().script([
        failing("/domain/view", 500, "<html>oops</html>"),
        failing(
            "/single_sender_emails/view",
            200,
            r#"{"data":{"senders":"none"}}"#,
        ),
        failing("/allowed_recipients/view", 200, r#"{"data":{}}"#),
    ]);
    let rules = json!({"username": "printer1", "status": "blocked"});
    place.owner("/users/smtp/edit", rules).await;
    eventually("the failures, and the news", async || {
        let troubled = async |name: &str| place.section(name).await["state"] == "last-known-good";
        let users = place.admin("/api/rules/default/users").await;
        (troubled("domains").await
            && troubled("single-senders").await
            && troubled("allowed-recipients").await
            && users[0][1]
                .as_str()
                .is_some_and(|about| about.starts_with("blocked")))
        .then_some(())
    })
    .await;
    assert!(place.mail_from("a@example.com").await.starts_with("250"));
    assert!(
        place
            .mail_from("a@unverified.example")
            .await
            .starts_with("550")
    );
    place.close().await;
}

#[tokio::test]
async fn a_section_that_the_key_may_not_see_is_told_with_the_permission_and_asked_about_rarely() {
    let (simulator, stop) = simulator().await;
    let add = json!({"endpoints": ["/email/mime", "/activity/search", "/domain/view", "/allowed_senders/view",
        "/single_sender_emails/view"]});
    let added = call(&simulator.api_url(), KEY, "/api_keys/add", &add).await;
    let key = added["data"][0]["api_key"].as_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let settings = "[sync]\ninterval = \"30ms\"\n";
    let api_url = simulator.api_url();
    let mut config: Config = config(directory.path(), &api_url, settings);
    config.accounts.get_mut("default").unwrap().api_key =
        smtp2go_gateway::config::Secret::new(key.to_owned());
    let place = Place {
        gateway: Gateway::start(&config).await.unwrap(),
        provider: Some((simulator, stop)),
        directory,
        settings: settings.to_owned(),
        api_url,
    };
    eventually("what is permitted", async || {
        let users = place.section("users").await;
        let domains = place.section("domains").await;
        (users["state"] == "not-permitted" && domains["state"] == "fresh").then_some(users)
    })
    .await;
    let users = place.section("users").await;
    assert_eq!(
        users["trouble"],
        "give the key permission for /users/smtp/view"
    );
    let looks = place.simulator().calls("/domain/view");
    eventually("more looks at what is permitted", async || {
        (place.simulator().calls("/domain/view") > looks + 5).then_some(())
    })
    .await;
    assert_eq!(
        place.simulator().calls("/users/smtp/view"),
        1,
        "errors count against the site"
    );
    assert!(
        place
            .mail_from("a@unverified.example")
            .await
            .starts_with("550"),
        "what is known counts"
    );
    place.close().await;
}

#[tokio::test]
async fn a_list_that_is_suddenly_empty_is_not_believed_at_once() {
    let place = Place::open(QUICK).await;
    place.known().await;
    let empty = r#"{"request_id":"r","data":{"domains":[]}}"#;
    place
        .simulator()
        .script([failing("/domain/view", 200, empty)]);
    let trouble = eventually("the alarm", async || {
        let domains = place.section("domains").await;
        let trouble = domains["trouble"].as_str().unwrap().to_owned();
        trouble.contains("have become 0").then_some(trouble)
    })
    .await;
    assert!(trouble.contains("rules sync --accept"), "{trouble}");
    assert!(
        place.mail_from("a@example.com").await.starts_with("250"),
        "the old list counts"
    );
    let diff = place.order("/api/rules/diff", json!({})).await;
    let domains = diff
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["section"] == "domains");
    assert_eq!(
        domains.unwrap()["entries"].as_array().unwrap().len(),
        6,
        "{diff}"
    );
    place.order("/api/rules/sync?accept=true", json!({})).await;
    assert!(
        place.mail_from("a@example.com").await.starts_with("550"),
        "it is believed now"
    );
    place.close().await;
}

#[tokio::test]
async fn entries_that_can_not_be_understood_are_reported_and_never_widen() {
    let place = Place::open(QUICK).await;
    place.known().await;
    let odd = r#"{"data":{"mode":"whitelist","allowed_senders":["ann@example.com","*","","not an address",7]}}"#;
    place
        .simulator()
        .script([failing("/allowed_senders/view", 200, odd)]);
    eventually("the whitelist", async || {
        let section = place.section("allowed-senders").await;
        (section["setting"] == "whitelist" && section["odd"] == 4).then_some(())
    })
    .await;
    assert!(place.mail_from("ann@example.com").await.starts_with("250"));
    for other in ["bob@example.com", "x@anything.example"] {
        assert!(place.mail_from(other).await.starts_with("550"), "{other}");
    }
    place.close().await;
}

#[tokio::test]
async fn a_stored_section_that_is_spoilt_is_set_aside_not_trusted_not_deleted() {
    let place = Place::open(QUICK).await;
    let rules = json!({"mode": "whitelist", "allowed_senders": ["ann@example.com"]});
    place.owner("/allowed_senders/update", rules).await;
    eventually("the whitelist", async || {
        place
            .mail_from("bob@example.com")
            .await
            .starts_with("550")
            .then_some(())
    })
    .await;
    let spool = place.gateway.spool();
    let widened = RulesPart {
        section: "allowed-senders".to_owned(),
        number: 1,
        record: r#"{"mode":"whitelist","list":["ann@example.com","bob@example.com"]}"#.into(),
    };
    spool
        .put_rules("default", vec![widened], None)
        .await
        .unwrap();
    let place = place.restart_offline().await;
    let section = place.section("allowed-senders").await;
    assert_eq!(section["state"], "unknown", "{section}");
    let parts = place.gateway.spool().rules("default").await.unwrap();
    let aside = parts
        .iter()
        .filter(|part| part.section == "set-aside/allowed-senders");
    assert_eq!(aside.count(), 2);
    place.close().await;
}

#[tokio::test]
async fn a_revoked_key_stops_the_account_bounces_nothing_and_works_again_by_itself() {
    let place = Place::open(QUICK).await;
    place.known().await;
    place
        .simulator()
        .change_account(|account| account.api_keys.clear());
    let mut client = place.client().await;
    let id = client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    eventually("the halt", async || {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/metrics", place.gateway.admin());
        let text = http.get(url).send().await.unwrap().text().await.unwrap();
        text.contains("gateway_breaker_open{account=\"default\"} 1")
            .then_some(())
    })
    .await;
    assert!(
        place
            .mail_from("a@unverified.example")
            .await
            .starts_with("550"),
        "rules hold"
    );
    assert!(
        place.mail_from("a@example.com").await.starts_with("250"),
        "mail is still taken"
    );
    let record = place.gateway.spool().show(id).await.unwrap().unwrap();
    assert_eq!(record.row.unsettled, 1, "nothing bounced");
    place
        .simulator()
        .change_account(|account| account.api_keys.push(KEY.to_owned()));
    eventually("the mail", async || {
        let record = place.gateway.spool().show(id).await.unwrap().unwrap();
        (record.dispatches[0].state == State::Accepted).then_some(())
    })
    .await;
    place.known().await;
    place.close().await;
}

#[tokio::test]
async fn a_users_rate_limit_paces_the_mail_of_all_its_devices_and_refuses_none() {
    let devices = "[devices.a]\nsmtp_user = \"printer1\"\nusername = \"dev-a\"\npassword = \"secret12\"\n\
                   [devices.b]\nsmtp_user = \"printer1\"\nusername = \"dev-b\"\npassword = \"secret12\"\n\
                   [devices.free]\nusername = \"dev-c\"\npassword = \"secret12\"\n";
    let place = Place::open(&format!("{QUICK}{devices}")).await;
    let limit = json!({"username": "printer1", "custom_ratelimit": true, "custom_ratelimit_value": 3,
        "custom_ratelimit_period": "1 hour"});
    place.owner("/users/smtp/edit", limit).await;
    eventually("the limit", async || {
        let users = place.admin("/api/rules/default/users").await;
        users[0][1]
            .as_str()
            .unwrap_or_default()
            .contains("3 in 3600 s")
            .then_some(())
    })
    .await;
    let send = async |user: &str, count: usize| {
        let mut client = place.client().await;
        client.say(&auth(user, "secret12")).await.expect("235");
        for _ in 0..count {
            client
                .send("a@example.com", &["b@example.org"], MESSAGE)
                .await;
        }
    };
    send("dev-a", 5).await;
    send("dev-b", 5).await;
    send("dev-c", 4).await;
    eventually("what may go", async || {
        (place.simulator().deliveries().len() == 7).then_some(())
    })
    .await;
    let waiting = place.gateway.spool().counts().of(State::Queued);
    assert_eq!(waiting, 7, "the rest waits, and nothing bounced");
    // The limit ends: what waits goes on without a restart.
    let free = json!({"username": "printer1", "custom_ratelimit": false});
    place.owner("/users/smtp/edit", free).await;
    eventually("the limit's end", async || {
        let users = place.admin("/api/rules/default/users").await;
        (users[0][1] == "allowed").then_some(())
    })
    .await;
    eventually("the rest", async || {
        (place.simulator().deliveries().len() == 14).then_some(())
    })
    .await;
    place.close().await;
}

#[tokio::test]
async fn a_provider_users_password_is_kept_as_a_hash_and_works_offline() {
    let place = Place::open(QUICK).await;
    place.known().await;
    let place = place.restart_offline().await;
    let mut client = place.client().await;
    client.say(&auth("printer1", "wrong")).await.expect("535");
    client
        .say(&auth("PRINTER1", "not-a-real-secret-1"))
        .await
        .expect("235");
    let id = client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let record = place.gateway.spool().show(id).await.unwrap().unwrap();
    assert_eq!(record.origin.user.as_deref(), Some("printer1"));
    let directory = place.directory.path().to_owned();
    place.gateway.stop().await;
    for file in std::fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let octets = std::fs::read(&path).unwrap();
            let secret = b"not-a-real-secret-1";
            assert!(
                !octets.windows(secret.len()).any(|part| part == secret),
                "{path:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_rule_of_the_configuration_can_switch_sign_in_of_provider_users_off() {
    let settings = "[sync]\ninterval = \"50ms\"\nuser_sign_in = false\n";
    let place = Place::open(settings).await;
    place.known().await;
    let reply = place
        .client()
        .await
        .say(&auth("printer1", "not-a-real-secret-1"))
        .await
        .text;
    assert!(!reply.starts_with("235"), "{reply}");
    place.close().await;
}

#[tokio::test]
async fn guessing_is_slowed_for_the_pair_and_for_nobody_else() {
    let devices = "[devices.a]\nusername = \"dev-a\"\npassword = \"secret12\"\n\
                   [devices.b]\nusername = \"dev-b\"\npassword = \"secret12\"\n";
    let place = Place::open(devices).await;
    let mut replies = Vec::new();
    for _ in 0..12 {
        replies.push(place.client().await.say(&auth("dev-a", "wrong")).await.text);
    }
    assert!(
        replies[..10]
            .iter()
            .all(|reply| reply.starts_with("535 5.7.8")),
        "{replies:?}"
    );
    assert!(
        replies[11].starts_with("454 4.7.0 too many wrong passwords"),
        "{replies:?}"
    );
    place
        .client()
        .await
        .say(&auth("dev-a", "secret12"))
        .await
        .expect("454");
    place
        .client()
        .await
        .say(&auth("dev-b", "secret12"))
        .await
        .expect("235");
    let mut names = Vec::new();
    for _ in 0..12 {
        names.push(
            place
                .client()
                .await
                .say(&auth("nobody", "wrong"))
                .await
                .text,
        );
    }
    assert_eq!(names, replies, "a name that nobody has looks the same");
    place.close().await;
}

#[tokio::test]
async fn every_refusal_is_stored_with_the_rules_that_took_part_and_why_says_the_same() {
    let place = Place::open(QUICK).await;
    place.known().await;
    place.mail_from("a@unverified.example").await;
    place.rcpt_to("suppressed@example.com").await;
    let mut client = place.client().await;
    let from = "From: a@unverified.example\r\n\r\nx\r\n";
    client
        .try_send("a@example.com", &["b@example.org"], from)
        .await
        .expect("550");
    let stored = eventually("three refusals", async || {
        let stored = place.admin("/api/refusals").await;
        (stored.as_array().unwrap().len() == 3).then_some(stored)
    })
    .await;
    let stages: Vec<&str> = (0..3)
        .map(|n| stored[n]["stage"].as_str().unwrap())
        .collect();
    assert_eq!(stages, ["message", "recipient", "sender"]);
    let question = json!({"mail_from": "a@unverified.example"});
    let why = place.order("/api/why", question).await;
    assert_eq!(why["accepted"], false);
    assert_eq!(why["reply"], stored[2]["reply"]);
    let sources = |rules: &Value| -> Vec<String> {
        let rules = rules.as_array().unwrap().iter();
        rules
            .map(|rule| format!("{} {} {}", rule["source"], rule["says"], rule["value"]))
            .collect()
    };
    assert_eq!(sources(&why["rules"]), sources(&stored[2]["rules"]));
    let last = why["rules"].as_array().unwrap().last().unwrap();
    assert_eq!(last["source"], "default/single-senders");
    assert!(last["age"].is_number(), "{last}");
    let question = json!({"mail_from": "a@example.com", "header_from": ["a@example.com"], "rcpt": ["b@example.org"]});
    assert_eq!(place.order("/api/why", question).await["accepted"], true);
    let unknown = place.order("/api/why", json!({"user": "nobody"})).await;
    assert!(
        unknown["error"].as_str().unwrap().contains("nobody"),
        "{unknown}"
    );
    place.close().await;
}

#[tokio::test]
async fn an_override_asks_the_accounts_rules_and_is_not_above_them() {
    let device = "[listeners.lan]\ntrust = []\n[devices.old]\nnetworks = [\"127.0.0.1\"]\n\
                  from_override = \"if_not_allowed\"\nfrom_address = \"scan@example.com\"\n";
    let place = Place::open(&format!("{QUICK}{device}")).await;
    place.known().await;
    let mut client = place.client().await;
    let from = "From: printer@unverified.example\r\nTo: b@example.org\r\n\r\nx\r\n";
    client
        .send("printer@unverified.example", &["b@example.org"], from)
        .await;
    let delivered = eventually("the mail", async || place.simulator().deliveries().pop()).await;
    assert_eq!(delivered.sender, "scan@example.com");
    let rules =
        json!({"mode": "blacklist", "allowed_senders": ["scan@example.com", "unverified.example"]});
    place.owner("/allowed_senders/update", rules).await;
    eventually("the override to be refused", async || {
        let mut client = place.client().await;
        let reply = client
            .try_send("printer@unverified.example", &["b@example.org"], from)
            .await;
        reply
            .text
            .starts_with("550 5.7.1 sender not allowed by")
            .then_some(())
    })
    .await;
    place.close().await;
}

/// Two accounts at two providers, each with a listener of its own.
struct Tenants {
    gateway: Gateway,
    a: (Simulator, CancellationToken),
    b: (Simulator, CancellationToken),
    _directory: TempDir,
}

impl Tenants {
    async fn open(more: &str) -> Self {
        let (a, b) = (simulator().await, simulator().await);
        let directory = tempfile::tempdir().unwrap();
        let settings = format!(
            "{QUICK}[listeners.a]\nbind = \"127.0.0.1:0\"\ntrust = [\"127.0.0.0/8\"]\naccount = \"a\"\n\
             [listeners.b]\nbind = \"127.0.0.1:0\"\ntrust = [\"127.0.0.0/8\"]\naccount = \"b\"\n\
             [accounts.a]\napi_url = {:?}\napi_key = {KEY:?}\n[accounts.b]\napi_url = {:?}\napi_key = {KEY:?}\n{more}",
            a.0.api_url(),
            b.0.api_url(),
        );
        let nowhere = "http://127.0.0.1:9/v3";
        let config = config(directory.path(), nowhere, &settings);
        Self {
            gateway: Gateway::start(&config).await.unwrap(),
            a,
            b,
            _directory: directory,
        }
    }

    async fn client(&self, listener: &str) -> Client {
        let mut client = Client::connect(self.gateway.smtp()[listener][0]).await;
        client.say("EHLO test").await.expect("250");
        client
    }

    async fn close(self) {
        self.gateway.stop().await;
        self.a.1.cancel();
        self.b.1.cancel();
    }
}

#[tokio::test]
async fn one_accounts_rules_key_and_mail_are_no_business_of_another() {
    let place = Tenants::open("").await;
    let owner = async |of: &Simulator, path: &str, request: Value| {
        call(&of.api_url(), KEY, path, &request).await
    };
    let list = |entry: &str| json!({"mode": "whitelist", "allowed_senders": [entry]});
    owner(&place.a.0, "/allowed_senders/update", list("a.example")).await;
    owner(&place.b.0, "/allowed_senders/update", list("b.example")).await;
    let only_b = json!({"username": "user-of-b", "email_password": "not-a-real-secret-2"});
    owner(&place.b.0, "/users/smtp/add", only_b).await;
    let mail = async |listener: &str, sender: &str| {
        let mut client = place.client(listener).await;
        client.say(&format!("MAIL FROM:<{sender}>")).await.text
    };
    eventually("both lists", async || {
        let a = mail("a", "x@b.example").await;
        let b = mail("b", "x@a.example").await;
        (a.starts_with("550") && b.starts_with("550")).then_some(())
    })
    .await;
    // The account follows from the listener or the credential, never from what the mail says.
    let message = "From: x@b.example\r\nTo: r@example.org\r\n\r\nx\r\n";
    let mut client = place.client("a").await;
    client
        .try_send("x@a.example", &["r@example.org"], message)
        .await
        .expect("550");
    let mut client = place.client("a").await;
    let signed_in = eventually("the user of b", async || {
        let reply = client.say(&auth("user-of-b", "not-a-real-secret-2")).await;
        reply.text.starts_with("235").then_some(())
    });
    signed_in.await;
    client
        .send("x@b.example", &["r@example.org"], message)
        .await;
    eventually("the mail, at b", async || place.b.0.deliveries().pop()).await;
    assert!(place.a.0.deliveries().is_empty(), "nothing of b's at a");
    // One account's bad key stops only itself.
    place.a.0.change_account(|account| account.api_keys.clear());
    let of_a = "From: x@a.example\r\nTo: r@example.org\r\n\r\nx\r\n";
    place
        .client("a")
        .await
        .send("x@a.example", &["r@example.org"], of_a)
        .await;
    place
        .client("b")
        .await
        .send("x@b.example", &["r@example.org"], message)
        .await;
    eventually("b's mail", async || {
        (place.b.0.deliveries().len() == 2).then_some(())
    })
    .await;
    assert_eq!(
        place.gateway.spool().counts().of(State::Queued),
        1,
        "a's waits"
    );
    place.close().await;
}

#[tokio::test]
async fn one_accounts_share_of_the_spool_leaves_room_for_the_others() {
    let place = Tenants::open("").await;
    place.a.0.change_account(|account| account.api_keys.clear());
    // A limit of its own for account a, beside the spool's.
    let limited = Tenants::open(
        "[accounts.c]\napi_url = \"http://127.0.0.1:9/v3\"\napi_key = \"x\"\nmax_spool_size = 100\n\
        [listeners.c]\nbind = \"127.0.0.1:0\"\ntrust = [\"127.0.0.0/8\"]\naccount = \"c\"\n",
    )
    .await;
    let mut client = limited.client("c").await;
    client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let full = client.say("MAIL FROM:<a@example.com>").await.text;
    assert!(
        full.starts_with("452 4.3.1 too much mail of this account"),
        "{full}"
    );
    limited
        .client("b")
        .await
        .say("MAIL FROM:<a@example.com>")
        .await
        .expect("250");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ready = http.get(format!("http://{}/readyz", limited.gateway.admin()));
    let ready = ready.send().await.unwrap().text().await.unwrap();
    assert!(!ready.contains("turned away"), "{ready}");
    limited.close().await;
    place.close().await;
}

#[tokio::test]
async fn fifty_thousand_users_are_read_and_each_may_sign_in() {
    let place = Place::open("[sync]\ninterval = \"1h\"\n").await;
    place.known().await;
    let users: Vec<Value> = (0..50_000)
        .map(|n| json!({"username": format!("user-{n}"), "status": "allowed"}))
        .collect();
    let answer = json!({"data": {"results": users}}).to_string();
    place
        .simulator()
        .script([failing("/users/smtp/view", 200, &answer)]);
    place.order("/api/rules/sync", json!({})).await;
    assert_eq!(place.section("users").await["entries"], 50_000);
    let question = json!({"user": "USER-49999", "mail_from": "a@example.com"});
    assert_eq!(place.order("/api/why", question).await["accepted"], true);
    tokio::time::timeout(Duration::from_secs(20), place.close())
        .await
        .unwrap();
}

#[tokio::test]
async fn passwords_that_are_not_shown_any_more_go_on_working() {
    let place = Place::open(QUICK).await;
    place.known().await;
    let hidden = r#"{"data":{"results":[{"username":"printer1","status":"allowed"}]}}"#;
    place
        .simulator()
        .script([failing("/users/smtp/view", 200, hidden)]);
    eventually("the alarm", async || {
        let users = place.section("users").await;
        (users["odd_entries"][0] == "printer1: its password is not shown any more").then_some(())
    })
    .await;
    let mut client = place.client().await;
    client
        .say(&auth("printer1", "not-a-real-secret-1"))
        .await
        .expect("235");
    place.close().await;
}

#[tokio::test]
async fn a_restart_changes_no_rule_that_has_not_changed() {
    let place = Place::open(QUICK).await;
    place.known().await;
    let before = place.section("users").await["digest"].clone();
    place.gateway.stop().await;
    let (provider, api_url) = (place.provider, place.api_url);
    let place = Place::open_with(QUICK, provider, api_url, place.directory).await;
    place.known().await;
    assert_eq!(place.section("users").await["digest"], before);
    place.close().await;
}

#[tokio::test]
async fn a_header_of_thousands_of_senders_leaves_a_small_trace() {
    let place = Place::open(QUICK).await;
    place.known().await;
    let many = vec!["scan@example.com"; 5000].join(",\r\n ");
    let message = format!("From: {many}, a@unverified.example\r\n\r\nx\r\n");
    let mut client = place.client().await;
    let reply = client
        .try_send("a@example.com", &["b@example.org"], &message)
        .await;
    assert!(reply.text.starts_with("550"), "{}", reply.text);
    let stored = eventually("the refusal", async || {
        let stored = place.admin("/api/refusals").await;
        (stored.as_array().unwrap().len() == 1).then_some(stored)
    })
    .await;
    assert!(
        stored.to_string().len() < 50_000,
        "{} octets",
        stored.to_string().len()
    );
    let last = stored[0]["rules"].as_array().unwrap().last().unwrap();
    assert_eq!(last["says"], "refuse", "the rule that decided is kept");
    place.close().await;
}

#[tokio::test]
async fn the_only_domain_of_an_account_does_not_vanish_at_once_and_a_future_date_hides_nothing() {
    let place = Place::open(QUICK).await;
    place.known().await;
    let one =
        r#"{"data":{"domains":[{"domain":{"fulldomain":"example.com","dkim_verified":true}}]}}"#;
    place
        .simulator()
        .script([failing("/domain/view", 200, one)]);
    eventually("one domain", async || {
        (place.section("domains").await["entries"] == 1).then_some(())
    })
    .await;
    let none = r#"{"data":{"domains":[]}}"#;
    let future = r#"{"data":{"total_results":1,"results":[{"email_address":"x@example.org","reason":"spam",
        "timestamp":"2199-01-01 00:00:00"}]}}"#;
    place.simulator().script([
        failing("/domain/view", 200, none),
        failing("/suppression/view", 200, future),
    ]);
    eventually("the alarm, and the entry of the future", async || {
        let domains = place.section("domains").await;
        let suppressed = place.section("suppressions").await["entries"] == 3;
        let told = domains["trouble"]
            .as_str()
            .unwrap()
            .contains("have become 0");
        (told && suppressed).then_some(())
    })
    .await;
    assert!(place.mail_from("a@example.com").await.starts_with("250"));
    place.simulator().script([]);
    place
        .owner(
            "/suppression/add",
            json!({"email_address": "now@example.org"}),
        )
        .await;
    eventually("an entry of today", async || {
        place
            .rcpt_to("now@example.org")
            .await
            .starts_with("550")
            .then_some(())
    })
    .await;
    place.close().await;
}

#[tokio::test]
async fn users_of_one_name_at_two_accounts_have_shares_of_their_own() {
    let place = Tenants::open("[spool]\nmax_size_per_device = 100000\n").await;
    place.a.0.change_account(|account| account.api_keys.clear());
    let large = format!(
        "From: a@example.com\r\n\r\n{}\r\n",
        "x".repeat(900).repeat(120)
    );
    let signed_in = async |listener: &str| {
        eventually("the user", async || {
            let mut client = place.client(listener).await;
            let reply = client.say(&auth("printer1", "not-a-real-secret-1")).await;
            reply.text.starts_with("235").then_some(client)
        })
        .await
    };
    // Both providers have a user of this name; the keys of one don't work any more.
    let mut client = signed_in("b").await;
    client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let spool = place.gateway.spool();
    let wrapped: String = large
        .as_bytes()
        .chunks(900)
        .map(|part| String::from_utf8_lossy(part).into_owned() + "\r\n")
        .collect();
    let mut client = place.client("a").await;
    client
        .send("a@example.com", &["b@example.org"], &wrapped)
        .await;
    assert!(spool.lane_octets("a", "127.0.0.1") > 100_000);
    assert_eq!(spool.lane_octets("b", "127.0.0.1"), 0);
    client.say("MAIL FROM:<a@example.com>").await.expect("452");
    place
        .client("b")
        .await
        .say("MAIL FROM:<a@example.com>")
        .await
        .expect("250");
    place.close().await;
}

#[tokio::test]
async fn whoever_guesses_beside_a_device_does_not_lock_it_out() {
    let devices = "[devices.a]\nusername = \"dev-a\"\npassword = \"secret12\"\n";
    let place = Place::open(devices).await;
    let say = async |user: &str, password: &str| {
        place.client().await.say(&auth(user, password)).await.text
    };
    assert!(say("dev-a", "secret12").await.starts_with("235"));
    let mut paused = 0;
    for _ in 0..13 {
        paused += usize::from(say("dev-a", "wrong").await.starts_with("454"));
    }
    assert!(paused > 0, "the guesser waits");
    let mut paused = 0;
    for number in 0..130 {
        let reply = say(&format!("name{number}"), "wrong").await;
        paused += usize::from(reply.starts_with("454"));
    }
    assert!(paused > 0, "the address waits");
    assert!(
        say("dev-a", "secret12").await.starts_with("235"),
        "the device does not"
    );
    place.close().await;
}
