//! `api GROUP VERB`: what a person types reaches the provider, and comes back readable. The real binary against
//! the simulator.

use std::process::Stdio;

use base64::Engine as _;
use serde_json::{Value, json};
use smtp2go_gateway::provider::{Kind, operations};
use smtp2go_gateway::simulator::{
    Fault, Happening, HappeningKind, ScriptedFault, SimulatedAccount, Simulator, SimulatorOptions,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::support::eventually;
use crate::support::golden::assert_golden;
use crate::support::site::{KEY, simulator};

struct Desk {
    simulator: Simulator,
}

/// Exit code, standard output, standard error.
type Outcome = (i32, String, String);

impl Desk {
    async fn open() -> Self {
        Self {
            simulator: simulator().await,
        }
    }

    async fn run_as(&self, key: &str, arguments: &[&str], input: &str) -> Outcome {
        let mut child = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
            .arg("api")
            .args(arguments)
            .env_clear()
            .env("S2G__ACCOUNTS__DEFAULT__API_URL", self.simulator.api_url())
            .env("SMTP2GO_API_KEY", key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let done = child.wait_with_output().await.unwrap();
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
        (
            done.status.code().unwrap(),
            text(done.stdout),
            text(done.stderr),
        )
    }

    /// Must succeed; the answer.
    async fn api(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = self.run_as(KEY, arguments, "").await;
        assert_eq!(code, 0, "{arguments:?}: {err}");
        serde_json::from_str(&out).unwrap_or(Value::String(out))
    }

    /// The API answers, and the mail is refused: what it says.
    async fn mail_refused(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run_as(KEY, arguments, "").await;
        assert!(code == 1 && out.contains("\"failed\": 1"), "{out}{err}");
        assert!(err.starts_with("error: the mail was refused: "), "{err}");
        err
    }

    /// Must fail; what it says.
    async fn refused(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run_as(KEY, arguments, "").await;
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}: {err}");
        assert!(
            err.starts_with("error: ") && err.contains("\nhint: "),
            "{err}"
        );
        err
    }
}

#[tokio::test]
async fn users_are_added_viewed_edited_and_removed() {
    let desk = Desk::open().await;
    let refused = desk
        .refused(&["users", "add", "--username", "scanner9"])
        .await;
    assert!(refused.contains("--show-secrets"), "{refused}");
    desk.api(&[
        "users",
        "add",
        "--username",
        "scanner9",
        "--email_password",
        "not-real-12",
    ])
    .await;
    desk.api(&[
        "users",
        "patch",
        "--username",
        "scanner9",
        "--description",
        "2nd floor",
        "--status",
        "blocked",
    ])
    .await;
    let seen = desk.api(&["users", "view", "--username", "scanner9"]).await;
    let user = &seen["results"][0];
    assert_eq!(user["description"], "2nd floor");
    assert_eq!(user["sending_allowed"], false);
    assert_eq!(user["email_password"], "********", "secrets are masked");
    let seen = desk
        .api(&["users", "view", "--username", "scanner9", "--show-secrets"])
        .await;
    assert_eq!(seen["results"][0]["email_password"], "not-real-12");
    desk.api(&[
        "users",
        "edit",
        "--yes",
        "--username",
        "scanner9",
        "--audit_email",
        "a@example.com",
    ])
    .await;
    let seen = desk.api(&["users", "view", "--username", "scanner9"]).await;
    assert_eq!(
        seen["results"][0]["description"], "",
        "POST sets back what it leaves out"
    );
    let asked = desk
        .refused(&["users", "remove", "--username", "scanner9"])
        .await;
    assert!(asked.contains("--yes"), "{asked}");
    desk.api(&["users", "remove", "--username", "scanner9", "--yes"])
        .await;
    let gone = desk
        .refused(&["users", "remove", "--username", "scanner9", "--yes"])
        .await;
    assert!(
        gone.contains("There is no SMTP user") && gone.contains("request_id"),
        "{gone}"
    );
}

#[tokio::test]
async fn what_is_changed_changes_what_is_accepted() {
    let desk = Desk::open().await;
    let send = [
        "email",
        "send",
        "--sender",
        "shop@new.invalid",
        "--to",
        "ann@example.org",
        "--subject",
        "hello",
        "--text_body",
        "x",
    ];
    let refused = desk.mail_refused(&send).await;
    assert!(refused.contains("not verified"), "{refused}");
    let fast = desk.api(&[&send[..], &["--fastaccept"]].concat()).await;
    assert_eq!(
        fast.as_object().unwrap().len(),
        1,
        "a name and nothing else: {fast}"
    );
    let rejected = &desk.simulator.deliveries()[0];
    assert_eq!((rejected.recipients.len(), rejected.rejected.len()), (0, 1));
    desk.api(&["domain", "add", "--domain", "new.invalid"])
        .await;
    desk.mail_refused(&send).await;
    desk.api(&["domain", "verify", "--domain", "new.invalid"])
        .await;
    let sent = desk.api(&send).await;
    assert_eq!(
        (&sent["succeeded"], &sent["failed"]),
        (&json!(1), &json!(0))
    );

    desk.api(&["suppression", "add", "--email_address", "ann@example.org"])
        .await;
    let rejected = desk.api(&send).await;
    let id = rejected["email_id"].as_str().unwrap();
    let events = desk
        .api(&["activity", "search", "--search_email_id", id])
        .await;
    assert_eq!(events["events"][0]["event"], "rejected");
    desk.api(&[
        "suppression",
        "remove",
        "--email_address",
        "ann@example.org",
        "--reasons",
        "manual",
        "--yes",
    ])
    .await;
    desk.api(&[
        "allowed-senders",
        "update",
        "--allowed_senders",
        "example.com",
        "--mode",
        "whitelist",
        "--yes",
    ])
    .await;
    let refused = desk.mail_refused(&send).await;
    assert!(refused.contains("not on your allowed list"), "{refused}");
    desk.api(&["allowed-senders", "add", "--allowed_senders", "new.invalid"])
        .await;
    assert_eq!(desk.api(&send).await["succeeded"], 1);
    desk.api(&["domain", "remove", "--domain", "new.invalid", "--yes"])
        .await;
    assert_eq!(
        desk.api(&["stats", "cycle"]).await["cycle_used"],
        2,
        "a rejected one is not used"
    );
}

#[tokio::test]
async fn every_group_goes_round() {
    let desk = Desk::open().await;
    let api = async |line: &str| desk.api(&line.split(' ').collect::<Vec<_>>()).await;
    api("allowed-recipients update --allowed_recipients example.org --enabled true --yes").await;
    assert_eq!(api("allowed-recipients view").await["enabled"], true);
    api("allowed-recipients remove --allowed_recipients example.org --enabled=false --yes").await;
    api("single-senders add --email_address me@elsewhere.invalid").await;
    let senders = api("single-senders view").await;
    assert_eq!(
        senders["senders"][0]["email_address"],
        "me@elsewhere.invalid"
    );
    api("single-senders remove --email_address me@elsewhere.invalid --yes").await;
    api("ip-allow-list add --ip_address 192.0.2.0/24 --description office").await;
    api("ip-allow-list edit --ip_address 192.0.2.0/24 --new_ip_address 192.0.2.0/25").await;
    let list = api("ip-allow-list view").await;
    assert_eq!(
        list["ip_addresses"][0],
        json!({"ip_address": "192.0.2.0/25", "description": "office"})
    );
    api("ip-allow-list remove --ip_address 192.0.2.0/25 --yes").await;
    api("ip-auth edit --ip_address 192.0.2.9 --description printer").await;
    assert_eq!(
        api("ip-auth view").await["results"][0]["description"],
        "printer"
    );
    api("ip-auth remove --ip_address 192.0.2.9 --yes").await;
    api("template add --id hello --template_name Hello --subject Hi --html_body <b> --text_body {{name}}").await;
    api("template edit --id hello --tags one --tags two").await;
    assert_eq!(api("template view --id hello").await["name"], "Hello");
    let mail =
        "email send --sender a@example.com --to b@example.org --template_id hello --template_data";
    let mut words: Vec<&str> = mail.split(' ').collect();
    words.push(r#"{"name":"Ann"}"#);
    assert_eq!(desk.api(&words).await["succeeded"], 1);
    let raw = desk.simulator.deliveries()[0].raw.clone();
    assert!(String::from_utf8_lossy(&raw).contains("Ann"), "{raw:?}");
    assert_eq!(api("template search --tags one").await["total_count"], 1);
    api("template delete --id hello --yes").await;
    let added = api("subaccount add --fullname Branch --limit 500").await;
    let id = added["id"].as_str().unwrap();
    api(&format!("subaccount edit --id {id} --fullname Branch-2")).await;
    api(&format!("subaccount close --id {id} --yes")).await;
    let found = api("subaccount search --states closed").await;
    assert_eq!(found["subaccounts"][0]["name"], "Branch-2");
    api("sms send --destination +15555550100 --content hello").await;
    assert_eq!(api("sms summary").await["total_messages"], 1);
    let pools = api("dedicated-ips view").await;
    assert_eq!(pools[0]["ip_addresses"], json!(["192.0.2.10"]));
    assert!(api("api-keys index").await.as_array().unwrap().len() >= 70);
    let id = desk.simulator.deliveries()[0].email_id.clone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mail.eml");
    api(&format!(
        "archive email --email_id {id} --out {}",
        file.display()
    ))
    .await;
    assert!(std::fs::read(file).unwrap() == raw);
    assert_eq!(
        api("archive search --recipient b@example.org").await["email_count"],
        1
    );
    for verb in ["bounces", "history", "spam", "unsubs", "summary"] {
        api(&format!("stats {verb}")).await;
    }
}

#[tokio::test]
async fn a_key_does_what_its_permissions_say_and_its_text_is_shown_once() {
    let desk = Desk::open().await;
    let refused = desk
        .refused(&["api-keys", "add", "--description", "gateway"])
        .await;
    assert!(refused.contains("never shown again"), "{refused}");
    let added = desk
        .api(&[
            "api-keys",
            "add",
            "--endpoints",
            "/users/smtp/view",
            "--show-secrets",
        ])
        .await;
    let key = added[0]["api_key"].as_str().unwrap().to_owned();
    let (code, ..) = desk.run_as(&key, &["users", "view"], "").await;
    assert_eq!(code, 0);
    let (code, _, err) = desk.run_as(&key, &["domain", "view"], "").await;
    assert_eq!(code, 1);
    assert!(
        err.contains("hint: give the key permission for /domain/view"),
        "{err}"
    );
    let listed = desk.api(&["api-keys", "view", "--show-secrets"]).await;
    assert!(
        !listed.to_string().contains(&key),
        "masked by the provider itself"
    );
    desk.api(&["api-keys", "patch", "--id", &key, "--status", "blocked"])
        .await;
    let (code, _, err) = desk.run_as(&key, &["users", "view"], "").await;
    assert!(code == 1 && err.contains("401"), "{err}");
    desk.api(&["api-keys", "remove", "--id", &key, "--yes"])
        .await;
}

#[tokio::test]
async fn a_sandbox_accepts_and_delivers_nothing() {
    let desk = Desk::open().await;
    let added = desk
        .api(&[
            "api-keys",
            "add",
            "--endpoints",
            "*",
            "--status",
            "sandbox",
            "--show-secrets",
        ])
        .await;
    let key = added[0]["api_key"].as_str().unwrap();
    let send = [
        "email",
        "send",
        "--sender",
        "a@example.com",
        "--to",
        "b@example.org",
        "--subject",
        "s",
        "--text_body",
        "x",
    ];
    let (code, out, _) = desk.run_as(key, &send, "").await;
    assert!(code == 0 && out.contains("\"succeeded\": 1"), "{out}");
    assert!(desk.simulator.deliveries()[0].recipients.is_empty());
    let cycle = desk.api(&["stats", "cycle"]).await;
    assert_eq!(
        cycle["cycle_used"], 1,
        "it counts against the quota all the same"
    );
    let seen = desk.api(&["activity", "search"]).await;
    assert_eq!(seen["events"][0]["event"], "rejected");
    assert_eq!(
        seen["events"][0]["smtp_response"],
        "credential is sandboxed"
    );
}

/// One line of words, no quoting.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[tokio::test]
async fn every_other_verb_changes_what_the_next_view_shows() {
    let desk = Desk::open().await;
    let api = async |line: &str| desk.api(&words(line)).await;
    api("allowed-recipients add --allowed_recipients example.org").await;
    let listed = api("allowed-recipients view").await;
    assert_eq!(listed["allowed_recipients"], json!(["example.org"]));
    api("domain add --domain shop.example.org").await;
    api("domain tracking --domain shop.example.org --old_subdomain link --new_subdomain go").await;
    api(
        "domain returnpath --domain shop.example.org --old_subdomain em100001 --new_subdomain back",
    )
    .await;
    let seen = api("domain view --domain shop.example.org").await;
    assert_eq!(seen["domains"][0]["trackers"][0]["subdomain"], "go");
    assert_eq!(seen["domains"][0]["domain"]["rpath_selector"], "back");
    let access = "domain subaccount-access --domain shop.example.org --subaccounts sub1 --yes";
    assert_eq!(api(access).await["subaccounts"], json!(["sub1"]));
    api("webhook add --url https://gw.example/a --events bounce").await;
    api("webhook edit --id 1 --url https://gw.example/b --events spam").await;
    let seen = api("webhook view").await;
    assert_eq!(seen[0]["url"], "https://gw.example/b");
    assert_eq!(seen[0]["events"], json!(["spam"]));
    desk.refused(&words("webhook edit --id 1 --url gopher://gw.example/"))
        .await;
    let added = api("api-keys add --endpoints * --description old --show-secrets").await;
    let key = added[0]["api_key"].as_str().unwrap();
    api(&format!("api-keys edit --yes --id {key} --description new")).await;
    let seen = api("api-keys view --search new").await;
    assert_eq!(seen[0]["description"], "new");
    api("ip-allow-list set --enabled true --type smtp --yes").await;
    assert_eq!(api("ip-allow-list view --type smtp").await["enabled"], true);
    let over = "users add --username scanner9 --email_password not-real-12 --custom_ratelimit true";
    desk.refused(&words(&format!("{over} --custom_ratelimit_value 0")))
        .await;
    desk.refused(&words(&format!(
        "{over} --custom_ratelimit_value 5 --custom_ratelimit_period often"
    )))
    .await;
    let weak = desk
        .refused(&words(
            "users add --username scanner9 --email_password easy1",
        ))
        .await;
    assert!(
        weak.contains("entropy") && !weak.contains("easy1"),
        "{weak}"
    );
    desk.refused(&words("suppression add --email_address nonsense"))
        .await;
}

#[tokio::test]
async fn a_subaccount_has_books_of_its_own() {
    let desk = Desk::open().await;
    let api = async |line: &str| desk.api(&words(line)).await;
    let added =
        api("subaccount add --fullname Branch --limit 500 --subaccount_email b@example.com").await;
    let id = added["id"].as_str().unwrap().to_owned();
    api(&format!(
        "domain add --domain branch.invalid --subaccount_id {id}"
    ))
    .await;
    assert_eq!(
        api("domain view --domain branch.invalid").await["domains"],
        json!([])
    );
    let added = api(&format!(
        "api-keys add --endpoints * --show-secrets --subaccount_id {id}"
    ))
    .await;
    let key = added[0]["api_key"].as_str().unwrap().to_owned();
    let send =
        words("email send --sender a@branch.invalid --to b@example.org --subject s --text_body x");
    let (code, out, _) = desk.run_as(&key, &send, "").await;
    assert!(code == 1 && out.contains("not verified"), "{out}");
    let (code, ..) = desk
        .run_as(&key, &words("domain verify --domain branch.invalid"), "")
        .await;
    assert_eq!(code, 0);
    let (code, ..) = desk.run_as(&key, &send, "").await;
    assert_eq!(code, 0);
    assert_eq!(api("subaccount usage").await["used"], 1);
    let found = api("subaccount search").await;
    assert_eq!(found["subaccounts"][0]["plan_remaining"], 499);
    assert_eq!(
        api("stats cycle").await["cycle_used"],
        0,
        "not the main account's"
    );
    api(&format!("subaccount close --id {id} --yes")).await;
    let (code, _, err) = desk.run_as(&key, &send, "").await;
    assert!(code == 1 && err.contains("401"), "{err}");
    desk.refused(&words(&format!("domain view --subaccount_id {id}")))
        .await;
    api(&format!("subaccount reopen --id {id}")).await;
    let (code, ..) = desk.run_as(&key, &send, "").await;
    assert_eq!(code, 0);
    let unknown = words("subaccount reinvite --email nobody@example.com");
    desk.refused(&unknown).await;
}

#[tokio::test]
async fn what_happens_to_a_mail_later_shows_everywhere() {
    let desk = Desk::open().await;
    let api = async |line: &str| desk.api(&words(line)).await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    api(&format!(
        "webhook add --url {url} --events bounce --headers X-Tag"
    ))
    .await;
    let send = "email send --sender a@example.com --to gone@example.org --subject s --text_body x";
    let mut sending = words(send);
    sending.extend(["--custom_headers", r#"{"header":"X-Tag","value":"a b&c"}"#]);
    let sent = desk.api(&sending).await;
    let email_id = sent["email_id"].as_str().unwrap().to_owned();
    let happening = |event| Happening {
        event,
        email_id: email_id.clone(),
        rcpt: String::new(),
        message: String::new(),
        at: None,
    };
    for event in [HappeningKind::Open, HappeningKind::HardBounce] {
        desk.simulator.happen(happening(event)).unwrap();
    }
    let (mut stream, _) = receiver.accept().await.unwrap();
    let mut request = Vec::new();
    while !String::from_utf8_lossy(&request).contains("time=") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
    }
    let request = String::from_utf8(request).unwrap();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    for part in [
        "application/x-www-form-urlencoded",
        "event=bounce",
        "bounce=hard",
        "rcpt=gone%40example.org",
        "X-Tag=a%20b%26c",
    ] {
        assert!(request.contains(part), "{part}: {request}");
    }
    let seen = api("activity search --event_types hard-bounced").await;
    assert_eq!(seen["events"][0]["recipient"], "gone@example.org");
    let latest = api("activity search --only_latest true").await;
    assert_eq!(latest["total_events"], 1);
    let counts = api("stats summary").await;
    assert_eq!(
        (&counts["hardbounces"], &counts["opens"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(api("stats bounces").await["bounce_percent"], "100.00");
    let blocked = api("suppression view --reasons bounce").await;
    assert_eq!(blocked["results"][0]["email_address"], "gone@example.org");
    api(send).await;
    assert_eq!(
        desk.simulator.deliveries()[1].rejected,
        ["gone@example.org"]
    );
    let opened = api("email search --opened_only true").await;
    assert_eq!(opened["count"], 1);
    let found = api("email search --filter_query status:rejected").await;
    assert_eq!(found["count"], 1);
    assert!(
        desk.simulator
            .happen(Happening {
                rcpt: "x@example.org".to_owned(),
                ..happening(HappeningKind::Spam)
            })
            .is_err()
    );
}

#[tokio::test]
async fn calls_and_keys_have_limits() {
    let any = "127.0.0.1:0".parse().unwrap();
    let options = SimulatorOptions {
        call_limits: true,
        ..SimulatorOptions::default()
    };
    let account = SimulatedAccount::sample(KEY);
    let simulator = Simulator::start_with(any, account, options, CancellationToken::new());
    let desk = Desk {
        simulator: simulator.await.unwrap(),
    };
    let add = words(
        "api-keys add --endpoints * --show-secrets --custom_ratelimit true --custom_ratelimit_value 2 --custom_ratelimit_period",
    );
    let add = [&add[..], &["1 hour"]].concat();
    let mut key = String::new();
    for _ in 0..5 {
        key = desk.api(&add).await[0]["api_key"]
            .as_str()
            .unwrap()
            .to_owned();
    }
    let refused = desk.refused(&add).await;
    assert!(
        refused.contains("429") && refused.contains("try again in a minute"),
        "{refused}"
    );
    let send =
        words("email send --sender a@example.com --to b@example.org --subject s --text_body x");
    for expected in [0, 0, 1] {
        let (code, _, err) = desk.run_as(&key, &send, "").await;
        assert_eq!(code, expected, "{err}");
        assert_eq!(
            err.contains("API key ratelimit exceeded"),
            expected == 1,
            "{err}"
        );
    }
}

#[tokio::test]
async fn a_state_file_keeps_account_schedule_and_events_across_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let stop = CancellationToken::new();
    let open = async |stop: &CancellationToken| {
        let options = SimulatorOptions {
            state: Some(directory.path().join("state")),
            ..SimulatorOptions::default()
        };
        let account = SimulatedAccount::sample(KEY);
        let simulator = Simulator::start_with(any, account, options, stop.clone()).await;
        simulator.ok().map(|simulator| Desk { simulator })
    };
    let desk = open(&stop).await.unwrap();
    let api = async |line: &str| desk.api(&words(line)).await;
    api("domain add --domain kept.example.org").await;
    // So many changes that the file is written anew at the next start.
    for number in 0..110 {
        let change = json!({ "email_address": format!("r{number}@example.org") });
        let url = format!("{}/suppression/add", desk.simulator.api_url());
        let call = reqwest::Client::new()
            .post(url)
            .header("X-Smtp2go-Api-Key", KEY);
        let answer = call.body(change.to_string()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
    }
    let before = std::fs::metadata(directory.path().join("state"))
        .unwrap()
        .len();
    let sent =
        api("email send --sender a@example.com --to b@example.org --subject s --text_body x").await;
    desk.simulator
        .happen(Happening {
            event: HappeningKind::Spam,
            email_id: sent["email_id"].as_str().unwrap().to_owned(),
            rcpt: String::new(),
            message: String::new(),
            at: None,
        })
        .unwrap();
    let at = (smtp2go_gateway::clock::Clock.wall().0 / 1000 + 3600).to_string();
    api(&format!("email send --sender a@example.com --to c@example.org --subject s --text_body x --schedule {at}")).await;
    stop.cancel();
    drop(desk);
    // Nobody said goodbye: what is in the file is all there is. The lock ends with the last task.
    let again = CancellationToken::new();
    let desk = eventually("the file to be free", async || open(&again).await).await;
    let after = std::fs::metadata(directory.path().join("state"))
        .unwrap()
        .len();
    assert!(after < before / 10, "{before} octets became {after}");
    let api = async |line: &str| desk.api(&words(line)).await;
    assert_eq!(
        api("domain view --domain kept.example.org").await["domains"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        api("email scheduled-search")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(api("stats spam").await["spams"], 1);
    assert_eq!(
        api("suppression view --reasons spam").await["total_results"],
        1
    );
}

#[tokio::test]
async fn paging_is_followed_to_its_end() {
    let desk = Desk::open().await;
    let mails: Vec<Value> = (0..25)
        .map(|n| json!({"sender": "a@example.com", "to": [format!("r{n}@example.org")], "subject": "s", "text_body": "x"}))
        .collect();
    let request = json!({ "emails": mails }).to_string();
    let (code, _, err) = desk
        .run_as(KEY, &["email", "batch", "--body", "-"], &request)
        .await;
    assert_eq!(code, 0, "{err}");
    let one_page = desk.api(&["activity", "search", "--limit", "10"]).await;
    assert_eq!(one_page["events"].as_array().unwrap().len(), 10);
    let all = desk
        .api(&["activity", "search", "--limit", "10", "--all"])
        .await;
    assert_eq!(all["events"].as_array().unwrap().len(), 25);
    assert!(all.get("continue_token").is_none());
    let foreign = desk
        .refused(&["activity", "search", "--continue_token", "nonsense"])
        .await;
    assert!(foreign.contains("field continue_token"), "{foreign}");
}

#[tokio::test]
async fn scheduled_mail_leaves_on_time_or_is_cancelled() {
    let desk = Desk::open().await;
    let at = |seconds: i64| {
        let now = smtp2go_gateway::clock::Clock.wall().0 / 1000;
        (now + seconds).to_string()
    };
    let send = async |seconds: i64| {
        let when = at(seconds);
        let send = [
            "email",
            "send",
            "--sender",
            "a@example.com",
            "--to",
            "b@example.org",
            "--subject",
            "s",
            "--text_body",
            "x",
            "--schedule",
            &when,
        ];
        desk.api(&send).await["schedule_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let later = send(3600).await;
    let waiting = desk.api(&["email", "scheduled-search"]).await;
    assert_eq!(waiting[0]["schedule_id"], later);
    desk.api(&[
        "email",
        "scheduled-remove",
        "--schedule_id",
        &later,
        "--yes",
    ])
    .await;
    assert_eq!(desk.api(&["email", "scheduled-search"]).await, json!([]));
    send(2).await;
    eventually("the scheduled mail", async || {
        (!desk.simulator.deliveries().is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn webhooks_are_really_posted_and_again_when_refused() {
    let desk = Desk::open().await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    desk.api(&[
        "webhook",
        "add",
        "--url",
        &url,
        "--events",
        "delivered",
        "--output_format",
        "json",
        "--auth_header_type",
        "bearer",
        "--auth_header_value",
        "token-1",
    ])
    .await;
    let send = [
        "email",
        "send",
        "--sender",
        "a@example.com",
        "--to",
        "b@example.org",
        "--subject",
        "s",
        "--text_body",
        "x",
    ];
    desk.api(&send).await;
    let mut bodies = Vec::new();
    for status in ["500 Oops", "200 OK"] {
        let (mut stream, _) = receiver.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        bodies.push(String::from_utf8(request).unwrap());
    }
    for body in &bodies {
        assert!(
            body.to_lowercase()
                .contains("authorization: bearer token-1"),
            "{body}"
        );
        assert!(body.contains("\"rcpt\":\"b@example.org\""), "{body}");
    }
    let shown = desk.api(&["webhook", "view"]).await;
    assert_eq!(shown[0]["auth_header_value"], "********");
    desk.api(&["webhook", "remove", "--id", "1", "--yes"]).await;
}

#[tokio::test]
async fn a_webhook_may_be_switched_off_carry_headers_and_hear_of_opting_out() {
    let desk = Desk::open().await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    let add = format!("webhook add --url {url} --sms_events opt-out --disabled");
    desk.api(&words(&add)).await;
    let add = format!("webhook add --url {url} --sms_events opt-out --custom_headers");
    desk.api(&[&words(&add)[..], &[r#"{"X-Secret":"s1"}"#]].concat())
        .await;
    let seen = desk.api(&words("webhook view")).await;
    assert_eq!(
        (&seen[0]["disabled"], &seen[1]["disabled"]),
        (&json!(true), &json!(false))
    );
    let received = json!({"from": "+15555550100", "to": "+15555550199", "content": "Stop"});
    let sms = format!("{}/_sms", desk.simulator.api_url().trim_end_matches("/v3"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = http
        .post(sms)
        .header("content-type", "application/json")
        .body(received.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status().as_u16(), 204);
    let (mut stream, _) = receiver.accept().await.unwrap();
    let mut request = Vec::new();
    while !String::from_utf8_lossy(&request).contains("opt-out") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
    }
    let request = String::from_utf8(request).unwrap().to_lowercase();
    assert!(request.contains("x-secret: s1"), "{request}");
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    // The one that is switched off hears nothing.
    let second = tokio::time::timeout(std::time::Duration::from_millis(300), receiver.accept());
    assert!(second.await.is_err());
}

#[tokio::test]
async fn an_authenticated_address_may_be_a_network() {
    let desk = Desk::open().await;
    let api = async |line: &str| desk.api(&words(line)).await;
    api("ip-auth edit --ip_address 192.0.2.0/24 --description site").await;
    let seen = api("ip-auth view").await;
    assert_eq!(seen["results"][0]["ip_address"], "192.0.2.0/24");
    desk.refused(&words("ip-auth edit --ip_address office --description x"))
        .await;
}

#[tokio::test]
async fn what_goes_wrong_is_said_with_what_to_do() {
    let desk = Desk::open().await;
    let fault = |status: u16, body: &str| {
        desk.simulator.script([ScriptedFault {
            endpoint: None,
            times: 9,
            fault: Fault::Status {
                status,
                body: body.to_owned(),
                retry_after: (status == 429).then_some(77),
            },
        }]);
    };
    let mut said = String::new();
    for (status, body) in [
        (401, ""),
        (402, r#"{"data":{"error":"over"}}"#),
        (429, ""),
        (500, "<html>oops</html>"),
        (503, "<html>busy</html>"),
        (200, r#"{"data":{"domains":["#),
    ] {
        fault(status, body);
        let view = desk.refused(&["domain", "view"]).await;
        fault(status, body);
        let add = desk
            .refused(&["domain", "add", "--domain", "a.example"])
            .await;
        said.push_str(&format!("{status} {body}\n{view}{add}\n"));
    }
    desk.simulator.script([]);
    let short = [
        "users",
        "add",
        "--username",
        "abc",
        "--email_password",
        "not-real-12",
    ];
    let refused = desk.refused(&short).await;
    said.push_str(refused.split("request_id").next().unwrap());
    assert_golden("api-errors.txt", &said);
    let calls = desk.simulator.calls("/domain/add");
    assert_eq!(calls, 6, "nothing that changes something is repeated");
    let huge = "x".repeat(1_100_000);
    let request = json!({ "domain": huge }).to_string();
    let (code, _, err) = desk
        .run_as(KEY, &["domain", "add", "--body", "-"], &request)
        .await;
    assert!(
        code == 1 && err.contains("the provider takes 1000000"),
        "{err}"
    );
    let numbers: Vec<String> = (0..101).map(|n| format!("+1555555{n:04}")).collect();
    let mut words = vec!["sms", "send", "--content", "x"];
    for number in &numbers {
        words.extend(["--destination", number]);
    }
    let refused = desk.refused(&words).await;
    assert!(refused.contains("101 numbers"), "{refused}");
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_shows_no_key() {
    let desk = Desk::open().await;
    let out = desk
        .api(&[
            "users",
            "add",
            "--username",
            "scanner9",
            "--email_password",
            "not-real-12",
            "--dry-run",
        ])
        .await;
    let out = out.as_str().unwrap();
    let first = format!("POST {}/users/smtp/add\n", desk.simulator.api_url());
    assert!(out.starts_with(&first), "{out}");
    assert!(out.contains("\nX-Smtp2go-Api-Key: ********\n"), "{out}");
    assert!(!out.contains("not-real-12") && !out.contains(KEY), "{out}");
    assert_eq!(desk.simulator.calls("/users/smtp/add"), 0);
}

#[tokio::test]
async fn missing_and_unknown_flags_are_usage_errors() {
    let desk = Desk::open().await;
    for words in [
        &["domain", "add"][..],
        &["domain", "add", "--domain", "a.example", "--colour", "red"],
        &["domain", "paint"],
        &["stats", "cycle", "--limit", "many"],
    ] {
        let (code, _, err) = desk.run_as(KEY, words, "").await;
        assert_eq!(code, 2, "{words:?}: {err}");
    }
}

#[tokio::test]
async fn every_request_is_made_of_its_flags() {
    let desk = Desk::open().await;
    let mut text = String::new();
    for operation in operations() {
        let mut words = vec![operation.group.to_owned(), operation.verb.to_owned()];
        for field in operation.fields {
            let values: &[&str] = match field.kind {
                Kind::Text => &["a text"],
                Kind::Number => &["7"],
                Kind::Flag => &["true"],
                Kind::Texts => &["one", "-two"],
                Kind::Json => &[r#"{"a":[1]}"#],
                Kind::Objects => &[r#"{"b":2}"#],
            };
            for value in values {
                words.extend([format!("--{}", field.name), (*value).to_owned()]);
            }
        }
        words.push("--dry-run".to_owned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, out, err) = desk.run_as(KEY, &words, "").await;
        assert_eq!(code, 0, "{words:?}: {err}");
        let out = out.replace(&desk.simulator.api_url(), "");
        text.push_str(&format!("$ api {} {}\n{out}\n", words[0], words[1]));
    }
    assert_golden("api-requests.txt", &text);
}

#[tokio::test]
async fn answers_are_tables_for_people() {
    let desk = Desk::open().await;
    let send = "email send --sender a@example.com --to b@example.org --subject hello --text_body x";
    desk.api(&send.split(' ').collect::<Vec<_>>()).await;
    desk.api(&[
        "template",
        "add",
        "--id",
        "t1",
        "--template_name",
        "T",
        "--subject",
        "S",
        "--html_body",
        "<b>",
        "--text_body",
        "b",
    ])
    .await;
    desk.api(&[
        "webhook",
        "add",
        "--url",
        "https://me:secret@gw.example/hook",
        "--events",
        "bounce",
    ])
    .await;
    desk.api(&[
        "ip-allow-list",
        "add",
        "--ip_address",
        "192.0.2.0/24",
        "--description",
        "the office, second floor, left",
    ])
    .await;
    desk.api(&[
        "sms",
        "send",
        "--destination",
        "+15555550100",
        "--content",
        "hello",
    ])
    .await;
    let invited = [
        "--fullname",
        "Branch",
        "--subaccount_email",
        "me@example.com",
    ];
    desk.api(&[&["subaccount", "add"][..], &invited].concat())
        .await;
    let mut text = String::new();
    for line in [
        "users view",
        "allowed-senders view",
        "suppression view --start_date 2026-01-01 --email_address suppressed@example.com",
        "domain view --domain unverified.example",
        "domain verify --domain unverified.example",
        "ip-allow-list view",
        "template view --id t1",
        "webhook view",
        "single-senders view",
        "stats summary",
        "stats history",
        "subaccount search",
        "api-keys permissions",
        "sms summary",
        "single-senders add --email_address me@elsewhere.invalid",
        "subaccount reinvite --email me@example.com",
    ] {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.push("--table");
        let (code, out, err) = desk.run_as(KEY, &words, "").await;
        assert_eq!(code, 0, "{line}: {err}");
        text.push_str(&format!("$ api {line}\n{err}{out}\n"));
    }
    assert!(!text.contains("secret@"), "{text}");
    // Today's date, whichever it is.
    let year = &smtp2go_gateway::clock::Clock.wall().to_string()[..4];
    let undated: Vec<String> = text
        .lines()
        .map(|line| match line.find(year) {
            Some(start) if !line.contains("2026-01-01") => format!("{}(date)", &line[..start]),
            _ => line.to_owned(),
        })
        .collect();
    assert_golden("api-tables.txt", &(undated.join("\n") + "\n"));
}

#[tokio::test]
async fn a_scheduled_message_with_bare_line_feeds_arrives_like_any_other() {
    let desk = Desk::open().await;
    let raw = "From: a@example.com\nTo: lf@example.org\nSubject: lf\n\nhello\n";
    let mime = base64::engine::general_purpose::STANDARD.encode(raw);
    let mut waiting = Value::Null;
    // A slow machine needs more time between the look at the clock and the look at the list.
    for ahead in [1, 4, 16, 64] {
        let at = (smtp2go_gateway::clock::Clock.wall().0 / 1000 + ahead).to_string();
        let schedule = ["email", "mime", "--mime_email", &mime, "--schedule", &at];
        let (code, _, err) = desk.run_as(KEY, &schedule, "").await;
        assert!(code == 0 || err.contains("must lie in the future"), "{err}");
        waiting = desk.api(&words("email scheduled-search")).await;
        if waiting[0]["subject"] == "lf" {
            break;
        }
    }
    assert_eq!(waiting[0]["subject"], "lf");
    let delivered = eventually("the scheduled mail", async || {
        desk.simulator.deliveries().into_iter().next()
    })
    .await;
    assert_eq!(delivered.recipients, ["lf@example.org"]);
    let raw = String::from_utf8_lossy(&delivered.raw).into_owned();
    assert!(raw.starts_with("X-Smtp2go-Schedule-Id: "), "{raw}");
}

#[tokio::test]
async fn a_batch_over_the_limit_sends_nothing() {
    let desk = Desk::open().await;
    let add = words(
        "api-keys add --endpoints * --show-secrets --custom_ratelimit true --custom_ratelimit_value 2 --custom_ratelimit_period",
    );
    let added = desk.api(&[&add[..], &["1 hour"]].concat()).await;
    let key = added[0]["api_key"].as_str().unwrap();
    let mail = json!({"sender": "a@example.com", "to": ["b@example.org"], "subject": "s", "text_body": "x"});
    let batch = json!({ "emails": [mail, mail, mail] }).to_string();
    let (code, _, err) = desk
        .run_as(key, &words("email batch --body -"), &batch)
        .await;
    assert!(
        code == 1 && err.contains("API key ratelimit exceeded"),
        "{err}"
    );
    assert!(desk.simulator.deliveries().is_empty());
    let patched = desk
        .refused(&words(&format!(
            "api-keys patch --id {key} --custom_ratelimit_value 0"
        )))
        .await;
    assert!(patched.contains("custom_ratelimit_value"), "{patched}");
}

#[tokio::test]
async fn odd_answers_make_no_panic_and_show_no_address_of_a_mail() {
    let desk = Desk::open().await;
    for (body, code) in [
        (r#"{"data":[]}"#, 0),
        (r#"{"data":"text"}"#, 0),
        ("5", 0),
        (r#"{"data":{"emails":{"url":"http://secret/2"}}}"#, 0),
        (
            r#"{"data":{"emails":[{"data":{"url":"http://secret/3"}}]}}"#,
            0,
        ),
        (
            r#"{"data":{"emails":[{"attachments":[{"url":"http://secret/4"}]}]}}"#,
            0,
        ),
    ] {
        desk.simulator.script([ScriptedFault {
            endpoint: None,
            times: 1,
            fault: Fault::Status {
                status: 200,
                body: body.to_owned(),
                retry_after: None,
            },
        }]);
        let (was, out, err) = desk.run_as(KEY, &words("archive search"), "").await;
        assert_eq!(was, code, "{body}: {out}{err}");
        assert!(!out.contains("secret"), "{body}: {out}");
    }
}

#[tokio::test]
async fn an_account_sees_its_own_mail_and_templates_only() {
    let desk = Desk::open().await;
    let api = async |line: &str| desk.api(&words(line)).await;
    let added = api("subaccount add --fullname Branch --limit 1").await;
    let id = added["id"].as_str().unwrap().to_owned();
    let add = format!("api-keys add --endpoints * --show-secrets --subaccount_id {id}");
    let key = api(&add).await[0]["api_key"].as_str().unwrap().to_owned();
    let below = async |line: &str| desk.run_as(&key, &words(line), "").await;
    let sent =
        api("email send --sender a@example.com --to b@example.org --subject s --text_body x").await;
    let email_id = sent["email_id"].as_str().unwrap();
    let (code, _, err) = below(&format!(
        "archive email --email_id {email_id} --out /dev/null"
    ))
    .await;
    assert!(code == 1 && err.contains("no archived mail"), "{err}");
    api(&format!(
        "domain subaccount-access --domain example.com --subaccounts {id} --yes"
    ))
    .await;
    below("template add --id t --template_name T --subject Own --html_body h --text_body x").await;
    api("template add --id t --template_name T --subject Main --html_body h --text_body x").await;
    let send = "email send --sender a@example.com --to c@example.org --template_id t";
    let (code, _, err) = below(send).await;
    assert_eq!(code, 0, "{err}");
    let raw = desk.simulator.deliveries()[1].raw.clone();
    let raw = String::from_utf8_lossy(&raw).into_owned();
    assert!(
        raw.contains("Subject: Own") && raw.contains("@message-id.smtpcorp.com>"),
        "{raw}"
    );
    let (code, _, err) = below(send).await;
    assert!(
        code == 1 && err.contains("402") && err.contains("quota"),
        "its plan is used up: {err}"
    );
    let rows = api("stats history --group_by subaccount").await;
    assert_eq!(rows["count"], 2);
    let (code, _, err) = below("sms send --destination +15555550100 --content x").await;
    assert!(code == 1 && err.contains("SMS is not enabled"), "{err}");
}

#[tokio::test]
async fn a_dry_run_needs_no_key() {
    let out = Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
        .args(["api", "users", "view", "--dry-run"])
        .env_clear()
        .output();
    let out = out.await.unwrap();
    assert!(out.status.success());
    assert!(out.stdout.starts_with(b"POST /users/smtp/view\n"));
}
