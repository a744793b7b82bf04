//! Promise 5: never an open relay by accident. Promise 4: no leniency widens who may send.

use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use smtp2go_gateway::auth::{Authenticator, GeneratedCredential, User, Verifier, hash_password};
use smtp2go_gateway::clock::Clock;
use smtp2go_gateway::config::Secret;
use smtp2go_gateway::intake::{Intake, IntakeSettings, Reception};
use smtp2go_gateway::journal::Journal;
use smtp2go_gateway::listen::{Listener, ListenerSettings, TlsMode};
use smtp2go_gateway::mail::{
    Hidden, Mismatch, ReceivedDetail, SessionFacts, SessionId, SignIn, TlsFacts,
};
use smtp2go_gateway::message::{LoopLimits, PlanSettings};
use smtp2go_gateway::rules::{
    AccountRules, Confirmed, DeviceRule, FromOverride, ListenerRule, Rules, Section, Standing,
    UserRule, Users,
};
use smtp2go_gateway::session::{Answer, Leniency, Limits, Question, Settings};
use smtp2go_gateway::spool::{MemoryStore, SpaceLimits, Spool, SpoolSettings};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::site::{Site, config};

fn plain(user: &str, password: &str) -> String {
    format!(
        "AUTH PLAIN {}",
        STANDARD.encode(format!("\0{user}\0{password}"))
    )
}

async fn greeted(site: &Site, listener: &str) -> Client {
    let mut client = Client::connect(site.smtp(listener)).await;
    client.say("EHLO test").await.expect("250");
    client
}

const DEVICES: &str = r#"
[listeners.lan]
trust = []
[devices.scanner]
username = "scanner1"
password = "secret12"
allowed_senders = ["scan@example.com", "example.org"]
[devices.elsewhere]
username = "elsewhere"
password = "secret34"
networks = ["192.0.2.0/24"]
[devices.always]
username = "always1"
password = "secret56"
from_override = "always"
from_address = "fixed@example.com"
[devices.sometimes]
username = "sometimes1"
password = "secret78"
allowed_senders = ["example.org"]
from_override = "if_not_allowed"
from_address = "fixed@example.org"
"#;

#[tokio::test]
async fn a_stranger_may_not_submit() {
    let site = Site::start(DEVICES).await;
    let mut client = greeted(&site, "lan").await;
    client
        .say("MAIL FROM:<scan@example.com>")
        .await
        .expect("530 5.7.0");
    client.say("RCPT TO:<b@example.org>").await.expect("503");
    client.say("DATA").await.expect("503");
    client.say("AUTH PLAIN AAA=").await.expect("535 5.7.8");
    client
        .say(&plain("scanner1", "wrong"))
        .await
        .expect("535 5.7.8");
    client.say(&plain("scanner1", "")).await.expect("535 5.7.8");
    client
        .say(&plain("nobody", "secret12"))
        .await
        .expect("535 5.7.8");
    client
        .say("MAIL FROM:<scan@example.com>")
        .await
        .expect("530 5.7.0");
    site.stop().await;
}

#[tokio::test]
async fn a_device_may_send_as_its_allowed_senders_in_envelope_and_header() {
    let site = Site::start(DEVICES).await;
    let mut client = greeted(&site, "lan").await;
    client
        .say(&plain("scanner1", "secret12"))
        .await
        .expect("235");
    client
        .say("MAIL FROM:<boss@example.com>")
        .await
        .expect("550 5.7.1 sender boss@example.com not allowed");
    let to = ["b@example.org"];
    for (from, message, reply) in [
        ("Scan@Example.com", "From: scan@example.com\r\n\r\n", "250"),
        ("any@example.org", "From: other@example.org\r\n\r\n", "250"),
        (
            "scan@example.com",
            "From: boss@example.com\r\n\r\n",
            "550 5.7.1 header From boss@",
        ),
        (
            "scan@example.com",
            "From: scan@example.com\r\nSender: boss@example.com\r\n\r\n",
            "550 5.7.1",
        ),
        (
            "scan@example.com",
            "From: scan@example.com\r\nFrom: boss@example.com\r\n\r\n",
            "550 5.6.0",
        ),
        (
            "scan@example.com",
            "From: boss@example.com <scan@example.com>\r\n\r\n",
            "550 5.6.0",
        ),
        (
            "scan@example.com",
            "From: scan@sub.example.org\r\n\r\n",
            "550 5.7.1",
        ),
        (
            "scan@example.com",
            "Sender: boss@example.com\r\n\r\n",
            "550 5.7.1 header From boss@",
        ),
        (
            "scan@example.com",
            "From: scan@example.com\r\nResent-From: boss@example.com\r\n\r\n",
            "550 5.7.1",
        ),
        ("", "From: scan@example.com\r\n\r\n", "250"),
        ("", "From: boss@example.com\r\n\r\n", "550 5.7.1"),
        ("", "Subject: x\r\n\r\n", "550 5.6.0"),
    ] {
        client.try_send(from, &to, message).await.expect(reply);
    }
    site.stop().await;
}

#[tokio::test]
async fn a_credential_is_good_only_from_its_networks() {
    let site = Site::start(DEVICES).await;
    let mut client = greeted(&site, "lan").await;
    client
        .say(&plain("elsewhere", "secret34"))
        .await
        .expect("535 5.7.8");
    client.say("MAIL FROM:<a@example.com>").await.expect("530");
    site.stop().await;
}

#[tokio::test]
async fn an_override_replaces_envelope_from_and_sender_together() {
    let site = Site::start(DEVICES).await;
    let mut client = greeted(&site, "lan").await;
    client
        .say(&plain("always1", "secret56"))
        .await
        .expect("235");
    let message = "From: dev7@lan.test\r\nSender: dev7@lan.test\r\nTo: b@example.org\r\n\r\nx\r\n";
    let id = client
        .send("dev7@lan.test", &["b@example.org"], message)
        .await;
    let record = site.settled(id).await;
    assert_eq!(record.row.reverse_path, "fixed@example.com");
    assert_eq!(record.origin.accepted_with, ["from_override"]);
    let raw = String::from_utf8(site.delivered(1).await[0].raw.to_vec()).unwrap();
    assert!(raw.contains("\r\nFrom: fixed@example.com\r\nReply-To: dev7@lan.test\r\nX-Original-From: dev7@lan.test\r\nX-Original-Sender: "), "{raw}");

    let mut client = greeted(&site, "lan").await;
    client
        .say(&plain("sometimes1", "secret78"))
        .await
        .expect("235");
    let allowed = "From: dev@example.org\r\nTo: b@example.org\r\n\r\nx\r\n";
    let kept = client
        .send("dev@example.org", &["b@example.org"], allowed)
        .await;
    assert_eq!(site.settled(kept).await.row.reverse_path, "dev@example.org");
    let foreign = "From: dev@lan.test\r\nTo: b@example.org\r\n\r\nx\r\n";
    let replaced = client
        .send("dev@example.org", &["b@example.org"], foreign)
        .await;
    assert_eq!(
        site.settled(replaced).await.row.reverse_path,
        "fixed@example.org"
    );
    site.stop().await;
}

#[tokio::test]
async fn an_address_alone_can_identify_a_device_and_the_narrowest_network_wins() {
    let site = Site::start(
        r#"
[listeners.lan]
trust = ["127.0.0.0/8"]
[devices.wide]
networks = ["127.0.0.0/16"]
[devices.narrow]
networks = ["127.0.0.1"]
allowed_senders = ["cam@example.com"]
"#,
    )
    .await;
    let mut client = greeted(&site, "lan").await;
    client
        .say("MAIL FROM:<x@example.com>")
        .await
        .expect("550 5.7.1");
    let message = "From: cam@example.com\r\nTo: b@example.org\r\n\r\n";
    let id = client
        .send("cam@example.com", &["b@example.org"], message)
        .await;
    let record = site.settled(id).await;
    assert_eq!(record.row.device.as_deref(), Some("narrow"));
    assert_eq!(record.origin.basis, "address");
    site.stop().await;
}

#[tokio::test]
async fn blank_credentials_grant_what_the_address_grants_and_no_more() {
    let site = Site::start("[devices.other]\nusername = \"other1\"\npassword = \"secret12\"").await;
    let mut client = greeted(&site, "lan").await;
    client.say("AUTH PLAIN AAA=").await.expect("235");
    let id = client
        .send(
            "a@example.com",
            &["b@example.org"],
            "From: a@example.com\r\n\r\n",
        )
        .await;
    let record = site.settled(id).await;
    assert_eq!((record.row.device, &*record.origin.basis), (None, "trust"));
    site.stop().await;
}

#[tokio::test]
async fn a_generated_password_signs_in() {
    let made = GeneratedCredential::new("ricoh2").unwrap();
    let settings = format!(
        "[listeners.lan]\ntrust = []\n[devices.ricoh]\nusername = \"ricoh2\"\npassword_hash = \"{}\"",
        made.hash
    );
    let site = Site::start(&settings).await;
    for _ in 0..3 {
        let mut client = greeted(&site, "lan").await;
        client
            .say(&plain("ricoh2", made.password.expose()))
            .await
            .expect("235");
        client.say("MAIL FROM:<a@example.com>").await.expect("250");
    }
    let mut client = greeted(&site, "lan").await;
    client.say(&plain("ricoh2", "wrong")).await.expect("535");
    client.say(&plain("nobody", "wrong")).await.expect("535");
    site.stop().await;
}

#[tokio::test]
async fn a_wrong_name_is_logged_as_it_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start_with(
        directory.path(),
        "http://127.0.0.1:1/v3",
        &[],
        &[
            ("S2G__DEVICES__RICOH__USERNAME", "ricoh2"),
            ("S2G__DEVICES__RICOH__PASSWORD", "secret12"),
            ("S2G__SYNC__ENABLED", "false"),
        ],
    )
    .await;
    for (name, logged) in [
        ("Ricoh2", r#""name":"Ricoh2""#),
        ("ricoh2 ", r#""name":"ricoh2 ""#),
        ("ric\u{1b}oh", r#""name":"ric\\u{1b}oh""#),
        (
            &"x".repeat(200),
            &format!(r#""name":"{}…""#, "x".repeat(80)),
        ),
        ("ricoh2", r#""name":"ricoh2","device":"ricoh""#),
    ] {
        let mut client = Client::connect(process.smtp).await;
        client.say("EHLO test").await.expect("250");
        client.say(&plain(name, "not-it-42")).await.expect("535");
        process.says(logged).await;
    }
    let log = process.kill().await;
    assert!(
        !log.contains("not-it-42") && !log.contains("secret12"),
        "{log}"
    );
}

#[tokio::test]
async fn a_password_in_clear_is_taken_only_where_that_is_allowed() {
    let site = Site::start(
        "[listeners.lan]\nclear_auth = []\ntrust = []\n\
         [devices.cam]\nusername = \"camera1\"\npassword = \"secret12\"",
    )
    .await;
    let mut client = Client::connect(site.smtp("lan")).await;
    let greeted = client.say("EHLO test").await.expect("250");
    assert!(
        greeted.contains("STARTTLS") && !greeted.contains("AUTH"),
        "{greeted}"
    );
    client
        .say(&plain("camera1", "secret12"))
        .await
        .expect("538 5.7.11");
    site.stop().await;
}

#[tokio::test]
async fn devices_and_trust_are_reloaded_and_other_changes_are_named() {
    let mut site = Site::start("[listeners.lan]\ntrust = []").await;
    let mut client = Client::connect(site.smtp("lan")).await;
    assert!(!client.say("EHLO test").await.expect("250").contains("AUTH"));
    client.say("MAIL FROM:<a@example.com>").await.expect("530");

    let url = site.simulator.api_url();
    let changed = config(
        site.data_dir(),
        &url,
        "[listeners.lan]\ntrust = []\nmax_recipients = 7\n\
         [devices.cam]\nusername = \"camera1\"\npassword = \"secret12\"",
    );
    assert_eq!(
        site.gateway.reload(&changed).unwrap(),
        ["listeners.lan.max_recipients"]
    );
    let mut client = Client::connect(site.smtp("lan")).await;
    assert!(
        client
            .say("EHLO test")
            .await
            .expect("250")
            .contains("AUTH LOGIN PLAIN")
    );
    client
        .say(&plain("camera1", "secret12"))
        .await
        .expect("235");
    client.say("MAIL FROM:<a@example.com>").await.expect("250");

    // Nobody would forward the mail of an account that does not run yet.
    let foreign = config(
        site.data_dir(),
        &url,
        &format!(
            "[listeners.lan]\naccount = \"new\"\n[accounts.new]\napi_url = {url:?}\napi_key = \"api-1\""
        ),
    );
    let refused = site.gateway.reload(&foreign).unwrap_err().to_string();
    assert!(refused.contains("account new is new"), "{refused}");
    // Nor may a new key be shown to the address that it is not for.
    let moved = config(site.data_dir(), "http://127.0.0.1:1/v3", "");
    assert!(
        site.gateway
            .reload(&moved)
            .unwrap()
            .contains(&"accounts.default.api_url".to_owned())
    );

    let trusting = config(site.data_dir(), &url, "");
    assert!(site.gateway.reload(&trusting).unwrap().is_empty());
    // A session that has signed in as a device that is gone has no rights left.
    client.say("RSET").await.expect("250");
    client.say("MAIL FROM:<a@example.com>").await.expect("530");
    let mut client = Client::connect(site.smtp("lan")).await;
    client.say("EHLO test").await.expect("250");
    client.say("MAIL FROM:<a@example.com>").await.expect("250");
}

/// Of one account and one device; the directory is not written to.
fn intake(users: Users, verifier: Verifier) -> Arc<Intake> {
    let device = User {
        device: "cam".into(),
        username: "camera1".to_owned(),
        verifier,
    };
    let account = AccountRules {
        users: Section::known(Arc::new(users), Confirmed::new(Clock.wall())),
        ..AccountRules::default()
    };
    let mut rules = Rules::default();
    rules.accounts.insert("default".into(), Arc::new(account));
    let listener = ListenerRule {
        account: "default".into(),
        trust: Vec::new(),
        require_tls: false,
    };
    rules.listeners.insert("lan".into(), listener);
    rules.devices.insert(
        "cam".into(),
        DeviceRule {
            account: "default".into(),
            has_credential: true,
            smtp_user: None,
            require_tls: false,
            networks: Vec::new(),
            allowed_senders: Vec::new(),
            from_override: FromOverride::Off,
        },
    );
    Arc::new(Intake::new(
        Spool::start(
            Box::new(MemoryStore::default()),
            SpoolSettings::default(),
            Clock,
        )
        .unwrap(),
        tokio::sync::watch::channel(Arc::new(rules)).1,
        Arc::new(ArcSwap::from_pointee(Authenticator::new([device]).unwrap())),
        tokio::sync::mpsc::channel(1).0,
        (Journal, Clock),
        IntakeSettings {
            hostname: "relay.test".to_owned(),
            plan: PlanSettings {
                mismatch: Mismatch::Rewrite,
                hidden: Hidden::Separate,
            },
            received: ReceivedDetail::Full,
            loops: LoopLimits {
                received_max: 50,
                passes_max: 5,
            },
            head_octets_max: 1000,
            space: SpaceLimits {
                spool_octets_max: u64::MAX,
                account_octets_max: Default::default(),
                lane_octets_max: u64::MAX,
                free_octets_min: 0,
                directory: std::env::temp_dir(),
            },
        },
    ))
}

/// What a session of this client comes to, once it is waited for.
async fn signing_in(
    intake: &Arc<Intake>,
    peer: &str,
    tls: bool,
    user: &str,
    password: &str,
) -> u16 {
    let mut facts = SessionFacts::new(SessionId(1), "lan".into(), peer.parse().unwrap());
    facts.tls = tls.then(|| TlsFacts {
        version: "TLSv1.3",
        cipher: String::new(),
    });
    let question = Question::SignIn(SignIn {
        username: user.to_owned(),
        password: password.as_bytes().to_vec(),
    });
    let mut reception = Reception::new(Arc::clone(intake));
    let answer = reception.answer(&facts, question, std::future::pending());
    match answer.await {
        Answer::SignIn(Ok(_)) => 235,
        Answer::SignIn(Err(reply)) => reply.code(),
        other => panic!("{other:?}"),
    }
}

fn password() -> Verifier {
    Verifier::Password(Secret::new("right-2".to_owned()))
}

fn hash() -> Verifier {
    let made = GeneratedCredential::new("camera1").unwrap();
    Verifier::Hash(Secret::new(made.hash))
}

#[tokio::test]
async fn a_provider_users_password_is_taken_in_clear_from_this_machine_only() {
    let mut users = Users::default();
    users.insert(UserRule {
        name: "printer1".into(),
        standing: Standing::Allowed,
        limit: None,
        password: hash_password("right-1"),
    });
    let intake = intake(users, password());
    let sign_in = async |peer: &str, tls: bool, user: &str, password: &str| {
        signing_in(&intake, peer, tls, user, password).await
    };
    let (lan, here) = ("10.0.5.17:4711", "127.0.0.1:4711");
    assert_eq!(sign_in(lan, false, "printer1", "right-1").await, 538);
    assert_eq!(
        sign_in(lan, false, "printer1", "wrong").await,
        535,
        "no name is told"
    );
    assert_eq!(sign_in(lan, true, "printer1", "right-1").await, 235);
    assert_eq!(sign_in(here, false, "printer1", "right-1").await, 235);
    assert_eq!(
        sign_in(lan, false, "camera1", "right-2").await,
        235,
        "a device may"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_guesses_at_a_device_waits_a_second_for_each_refusal() {
    let intake = intake(Users::default(), password());
    let timed = async |user: &str, password: &str| {
        let began = tokio::time::Instant::now();
        let code = signing_in(&intake, "192.0.2.1:4711", false, user, password).await;
        (code, began.elapsed().as_secs())
    };
    assert_eq!(timed("camera1", "right-2").await, (235, 0));
    for _ in 0..10 {
        assert_eq!(timed("camera1", "wrong").await, (535, 0));
    }
    let paused = timed("camera1", "wrong").await;
    assert_eq!(paused, (454, 1), "as if its password had been looked at");
    assert_eq!(timed("camera1", "right-2").await, (235, 0));
}

type SigningIn<'a> = Pin<Box<dyn Future<Output = u16> + 'a>>;

/// With a name that nobody has, from this address: as far as it comes without waiting.
fn begun<'a>(intake: &'a Arc<Intake>, peer: &'a str) -> Result<SigningIn<'a>, u16> {
    let mut signing_in: SigningIn<'_> =
        Box::pin(signing_in(intake, peer, false, "nobody", "wrong"));
    match (&mut signing_in).now_or_never() {
        Some(code) => Err(code),
        None => Ok(signing_in),
    }
}

/// All turns at passwords, taken for good.
fn turns<'a>(intake: &'a Arc<Intake>, peer: &'a str) -> [SigningIn<'a>; 2] {
    [(); 2].map(|()| {
        loop {
            // It may be done at once.
            if let Ok(signing_in) = begun(intake, peer) {
                break signing_in;
            }
        }
    })
}

#[tokio::test]
async fn no_more_than_four_passwords_of_an_address_wait_for_their_turn() {
    let intake = intake(Users::default(), hash());
    let (here, there) = ("192.0.2.1:4711", "192.0.2.2:4711");
    let _turns = turns(&intake, here);
    let _waiting = [(); 2].map(|()| begun(&intake, here).unwrap());
    assert_eq!(begun(&intake, here).err(), Some(454));
    assert_eq!(begun(&intake, there).err(), None);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_wait_for_its_turn() {
    let intake = intake(Users::default(), hash());
    let _turns = turns(&intake, "192.0.2.1:4711");
    let settings = ListenerSettings {
        name: "lan".into(),
        tls: TlsMode::None,
        clear_auth: vec!["127.0.0.0/8".parse().unwrap()],
        connections_max: 10,
        connections_per_address_max: 10,
        session: Settings {
            hostname: "relay.test".to_owned(),
            starttls: false,
            auth_offered: false,
            auth_in_clear: false,
            leniency: Leniency::DEVICE,
            limits: Limits::default(),
        },
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&[any], settings, Arc::clone(&intake), Journal, Clock).unwrap();
    let address = listener.addresses()[0];
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    listener.start(&tasks, &stop);
    let mut client = Client::connect(address).await;
    client.say("EHLO test").await.expect("250");
    assert_eq!(tasks.len(), 2, "the listener and the session");
    client
        .write(format!("{}\r\n", plain("nobody", "wrong")).as_bytes())
        .await;
    drop(client);
    eventually("the session's end", async || {
        (tasks.len() == 1).then_some(())
    })
    .await;
    stop.cancel();
}
