//! The way to the provider: HTTPS with an own authority, proxies, and random mail through the whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use smtp2go_gateway::app::Gateway;
use smtp2go_gateway::http::ServerCertificate;
use smtp2go_gateway::mail::SpoolId;
use smtp2go_gateway::simulator::{
    CutWhen, Fault, ScriptedFault, SimulatedAccount, Simulator, SimulatorOptions,
};
use smtp2go_gateway::spool::State;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::site::{KEY, Site, config};

const MESSAGE: &str = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";

/// Sends one message through a gateway's own listener.
async fn submit(gateway: &Gateway) -> SpoolId {
    let mut client = Client::connect(gateway.smtp()["lan"][0]).await;
    client.say("EHLO test").await.expect("250");
    client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await
}

/// TLS in front of a plain server; returns its port and its authority as PEM.
async fn tls_in_front_of(server: SocketAddr) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us ends here; that is what one test wants to see.
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut behind = TcpStream::connect(server).await.unwrap();
                    drop(copy_bidirectional(&mut stream, &mut behind).await);
                }
            });
        }
    });
    (port, made.cert.pem())
}

#[tokio::test]
async fn the_api_is_called_over_https_with_a_custom_authority_and_not_without() {
    let site = Site::start("").await;
    let (port, pem) = tls_in_front_of(site.simulator.address()).await;
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("ca.pem");
    std::fs::write(&authority, pem).unwrap();
    let url = format!("https://localhost:{port}/v3");

    for (settings, word) in [
        (format!("[forward]\nca_file = {authority:?}"), "accepted"),
        (String::new(), "deferred"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(&config(data.path(), &url, &settings))
            .await
            .unwrap();
        let id = submit(&gateway).await;
        let record = eventually("an attempt", async || {
            let record = gateway.spool().show(id).await.unwrap().unwrap();
            (!record.events.is_empty()).then_some(record)
        })
        .await;
        assert_eq!(record.events[0].event, word, "{record:?}");
        gateway.stop().await;
    }
    assert_eq!(site.simulator.deliveries().len(), 1);
}

#[tokio::test]
async fn over_http2_a_mail_arrives_whole_and_a_lost_answer_is_looked_up() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let cert_file = directory.path().join("cert.pem");
    let key_file = directory.path().join("key.pem");
    std::fs::write(&cert_file, made.cert.pem()).unwrap();
    std::fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
    let options = SimulatorOptions {
        certificate: Some(ServerCertificate {
            cert_file: cert_file.clone(),
            key_file,
        }),
        state: Some(directory.path().join("state")),
        ..SimulatorOptions::default()
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let account = SimulatedAccount::sample(KEY);
    let stop = CancellationToken::new();
    let simulator = Simulator::start_with(any, account.clone(), options.clone(), stop)
        .await
        .unwrap();
    simulator.script([ScriptedFault {
        endpoint: Some("/email/mime".to_owned()),
        times: 1,
        fault: Fault::Cut {
            when: CutWhen::AfterAccepting,
        },
    }]);
    let url = format!("https://localhost:{}/v3", simulator.address().port());
    let settings = format!("[forward]\nca_file = {cert_file:?}");
    let gateway = Gateway::start(&config(directory.path(), &url, &settings))
        .await
        .unwrap();
    let mut client = Client::connect(gateway.smtp()["lan"][0]).await;
    client.say("EHLO test").await.expect("250");
    let long = format!("{MESSAGE}{}", "0123456789\r\n".repeat(300_000));
    for message in [MESSAGE, &long] {
        client
            .send("a@example.com", &["b@example.org"], message)
            .await;
        let waited = std::time::Duration::from_secs(30);
        let count = simulator.deliveries().len() as u64 + 1;
        let done = tokio::time::timeout(waited, simulator.delivered(count));
        done.await.expect("delivered within 30 s");
    }
    eventually("both to be settled", async || {
        let open = gateway.spool().list(false, None, 10).await.unwrap();
        open.is_empty().then_some(())
    })
    .await;
    gateway.stop().await;
    let deliveries = simulator.deliveries();
    assert_eq!(deliveries.len(), 2, "the first one was found, not repeated");
    assert!(
        deliveries[1]
            .raw
            .ends_with(&long.as_bytes()[MESSAGE.len()..])
    );

    // What it answered for is known to the next run; the first one still holds its file.
    let copy = directory.path().join("copy");
    std::fs::copy(directory.path().join("state"), &copy).unwrap();
    let options = SimulatorOptions {
        state: Some(copy),
        ..options
    };
    let stop = CancellationToken::new();
    let again = Simulator::start_with(any, account, options, stop)
        .await
        .unwrap();
    let raws = |simulator: &Simulator| -> Vec<bytes::Bytes> {
        let deliveries = simulator.deliveries().into_iter();
        deliveries.map(|delivery| delivery.raw).collect()
    };
    assert!(raws(&again) == raws(&simulator));
}

/// In front of a server: passes requests on, and loses the answer to the first one.
async fn losing_the_first_answer_of(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut first = true;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut behind = TcpStream::connect(server).await.unwrap();
            if std::mem::take(&mut first) {
                let (mut read, mut write) = stream.split();
                let (mut answers, mut requests) = behind.split();
                let mut octet = [0];
                tokio::select! {
                    _ = tokio::io::copy(&mut read, &mut requests) => {}
                    // The answer is here: the mail is delivered. Nobody else will see it.
                    _ = answers.read(&mut octet) => {}
                }
                drop(write.shutdown().await);
            } else {
                tokio::spawn(
                    async move { drop(copy_bidirectional(&mut stream, &mut behind).await) },
                );
            }
        }
    });
    address
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_is_looked_up_and_not_sent_again() {
    let site = Site::start("").await;
    let between = losing_the_first_answer_of(site.simulator.address()).await;
    let data = tempfile::tempdir().unwrap();
    let no_sync = "[sync]\nenabled = false";
    let config = config(data.path(), &format!("http://{between}/v3"), no_sync);
    let gateway = Gateway::start(&config).await.unwrap();
    let id = submit(&gateway).await;
    let record = eventually("the doubt to be settled", async || {
        let record = gateway.spool().show(id).await.unwrap().unwrap();
        record.settled_at.is_some().then_some(record)
    })
    .await;
    let words: Vec<&str> = record.events.iter().map(|event| &*event.event).collect();
    assert_eq!(words, ["unknown", "confirmed"]);
    assert!(!record.dispatches[0].possibly_duplicate && record.dispatches[0].attempts == 1);
    let deliveries = site.simulator.deliveries();
    assert_eq!(deliveries.len(), 1, "sent once");
    assert_eq!(
        record.events[1].email_id.as_deref(),
        Some(&*deliveries[0].email_id)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_proxy_in_the_environment_is_used_for_https() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let data = tempfile::tempdir().unwrap();
    let mut gateway = tokio::process::Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
        .arg("run")
        .env_clear()
        .env("HTTPS_PROXY", proxy)
        .env("S2G__DATA_DIR", data.path())
        .env("S2G__LISTENERS__LAN__BIND", "127.0.0.1:0")
        .env("S2G__ADMIN__BIND", "127.0.0.1:0")
        .env(
            "S2G__ACCOUNTS__DEFAULT__API_URL",
            "https://api.provider.invalid/v3",
        )
        .env("SMTP2GO_API_KEY", KEY)
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = tokio::io::BufReader::new(gateway.stderr.take().unwrap());
    let smtp: SocketAddr = loop {
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut log, &mut line)
            .await
            .unwrap();
        if let Some((_, address)) = line.split_once("address=") {
            break address.trim().parse().unwrap();
        }
    };
    let mut client = Client::connect(smtp).await;
    client.say("EHLO test").await.expect("250");
    client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = vec![0; 41];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&asked),
        "CONNECT api.provider.invalid:443 HTTP/1.1"
    );
    stream
        .write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        .await
        .unwrap();
    gateway.kill().await.unwrap();
}

#[tokio::test]
async fn both_wildcards_can_share_a_port() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    // Another test may take the port between finding it free and binding it: then the next one.
    for _ in 0..20 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let data = tempfile::tempdir().unwrap();
        let bind = format!("bind = [\"0.0.0.0:{port}\", \"[::]:{port}\"]");
        let settings = format!("[listeners.lan]\n{bind}");
        let config = config(data.path(), "http://127.0.0.1:1/v3", &settings);
        let Ok(gateway) = Gateway::start(&config).await else {
            continue;
        };
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            Client::connect(address.parse().unwrap()).await;
        }
        return gateway.stop().await;
    }
    panic!("both wildcards never shared a port");
}

#[tokio::test]
async fn one_listener_can_have_several_addresses_of_both_families() {
    let has_v6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let bind = if has_v6 {
        "[\"127.0.0.1:0\", \"[::1]:0\"]"
    } else {
        "[\"127.0.0.1:0\", \"127.0.0.2:0\"]"
    };
    let settings = format!("[listeners.lan]\nbind = {bind}\ntrust = [\"127.0.0.0/8\", \"::1\"]");
    let site = Site::start(&settings).await;
    let addresses = site.gateway.smtp()["lan"].clone();
    assert_eq!(addresses.len(), 2);
    for address in addresses {
        let mut client = Client::connect(address).await;
        client.say("EHLO test").await.expect("250");
        client
            .send("a@example.com", &["b@example.org"], MESSAGE)
            .await;
    }
    site.delivered(2).await;
}

/// A small generator: the same mail in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn addresses(&mut self) -> Vec<String> {
        let count = self.below(4);
        (0..count)
            .map(|_| format!("r{}@example.org", self.below(6)))
            .collect()
    }
}

#[tokio::test]
async fn random_envelopes_and_headers_reach_exactly_the_envelope_through_the_whole_gateway() {
    let site = Site::start("").await;
    let mut dice = Dice(1);
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ids = Vec::new();
    let mut client = site.client().await;
    client.say("EHLO test").await.expect("250");
    for _ in 0..150 {
        let mut envelope = dice.addresses();
        envelope.push(format!("r{}@example.org", dice.below(6)));
        envelope.sort();
        envelope.dedup();
        let mut message = "From: a@example.com\r\n".to_owned();
        for name in ["To", "Cc", "Bcc"] {
            let separator = [", ", ",\r\n\t", "; "][dice.below(3) as usize];
            let addresses = dice.addresses();
            if !addresses.is_empty() {
                message.push_str(&format!("{name}: {}\r\n", addresses.join(separator)));
            }
        }
        message.push_str("\r\nbody\r\n");
        let to: Vec<&str> = envelope.iter().map(String::as_str).collect();
        let id = client.send("a@example.com", &to, &message).await;
        wanted.insert(id.to_string(), envelope);
        ids.push(id);
    }
    for id in ids {
        let record = site.settled(id).await;
        assert!(
            record
                .dispatches
                .iter()
                .all(|part| part.state == State::Accepted),
            "{record:?}"
        );
    }
    let mut reached: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for delivery in site.simulator.deliveries() {
        let raw = String::from_utf8_lossy(&delivery.raw).into_owned();
        let id = raw
            .split("X-Gateway-Id: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next());
        reached
            .entry(id.unwrap().to_owned())
            .or_default()
            .extend(delivery.recipients);
    }
    for recipients in reached.values_mut() {
        recipients.sort();
    }
    assert_eq!(reached, wanted);
}
