//! TLS on both kinds of listener, the generated certificate, and what happens when a client gets it
//! wrong.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::site::Site;

const LISTENERS: &str = "[listeners.tls]\nbind = \"127.0.0.1:0\"\ntls = \"implicit\"\n";
const MESSAGE: &str = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";

async fn handshake(stream: TcpStream, config: ClientConfig, name: &str) -> TlsStream<TcpStream> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.expect("a handshake")
}

/// A client that trusts exactly what stands in this file.
fn trusting(pem: &std::path::Path) -> ClientConfig {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(pem).unwrap())
        .unwrap();
    builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
}

#[tokio::test]
async fn starttls_and_implicit_tls_deliver_with_the_generated_certificate() {
    let site = Site::start(LISTENERS).await;

    let mut client = site.client().await;
    client.say("EHLO test").await.expect("250");
    client.say("STARTTLS").await.expect("220");
    let config = trusting(&site.data_dir().join("tls/lan/cert.pem"));
    // By address, as devices do: the certificate names it.
    let mut client = Client::over(handshake(client.stream, config, "127.0.0.1").await);
    let greeted = client.say("EHLO test").await.expect("250");
    assert!(!greeted.contains("STARTTLS"), "{greeted}");
    let id = client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let record = site.settled(id).await;
    assert_eq!(record.origin.protocol, "ESMTPS");
    assert_eq!(record.origin.tls.as_deref(), Some("TLSv1.3"));

    let config = trusting(&site.data_dir().join("tls/tls/cert.pem"));
    let stream = TcpStream::connect(site.smtp("tls")).await.unwrap();
    let mut client = Client::over(handshake(stream, config, "relay.test").await);
    client.reply().await.expect("220");
    client.say("EHLO test").await.expect("250");
    client
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    site.delivered(2).await;
    drop(client);
    site.stop().await;
}

#[tokio::test]
async fn the_private_key_and_the_spool_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::start("").await;
    let mode = |path: &str| {
        let metadata = std::fs::metadata(site.data_dir().join(path)).unwrap();
        metadata.permissions().mode() & 0o077
    };
    assert_eq!(mode("tls/lan/key.pem"), 0);
    assert_eq!(mode("spool.db"), 0);
    site.stop().await;
}

#[tokio::test]
async fn a_changed_certificate_is_served_without_a_restart_and_a_broken_one_is_not() {
    let site = Site::start(LISTENERS).await;
    let folder = site.data_dir().join("tls/tls");
    let served = async || {
        let seen = Arc::new(Seen::default());
        let verifier = Arc::clone(&seen);
        let config = builder()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let stream = TcpStream::connect(site.smtp("tls")).await.unwrap();
        drop(handshake(stream, config, "relay.test").await);
        seen.0.lock().unwrap().clone()
    };
    let first = served().await;

    std::fs::write(folder.join("cert.pem"), "broken").unwrap();
    let other = site.data_dir().join("tls/lan");
    eventually("the look at the files", async || {
        // Whatever is looked at meanwhile, the old certificate stays.
        assert_eq!(served().await, first);
        let seen = std::fs::metadata(folder.join("cert.pem"))
            .unwrap()
            .modified()
            .unwrap();
        (seen.elapsed().unwrap().as_millis() > 1100).then_some(())
    })
    .await;

    for name in ["key.pem", "cert.pem"] {
        std::fs::copy(other.join(name), folder.join(name)).unwrap();
    }
    eventually("the new certificate", async || {
        (served().await != first).then_some(())
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn a_tls_hello_on_a_plain_port_closes_at_once() {
    let site = Site::start("").await;
    let mut client = Client::connect(site.smtp("lan")).await;
    client
        .write(&[0x16, 0x03, 0x01, 0x00, 0x05, 1, 0, 0, 1, 0])
        .await;
    assert!(client.is_closed().await);
    site.stop().await;
}

#[tokio::test]
async fn a_plain_client_on_a_tls_port_is_closed_without_a_word() {
    let site = Site::start(LISTENERS).await;
    let mut client = Client::raw(site.smtp("tls")).await;
    client.write(b"EHLO x\r\n").await;
    assert_eq!(client.reply().await.text, "(closed) ");
    site.stop().await;
}

/// Remembers the certificate and trusts it.
#[derive(Debug, Default)]
struct Seen(std::sync::Mutex<Vec<u8>>);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = end_entity.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ]
    }
}

/// A client that has said STARTTLS.
async fn upgrading(process: &Process) -> TcpStream {
    let mut client = Client::connect(process.smtp).await;
    client.say("EHLO test").await.expect("250");
    client.say("STARTTLS").await.expect("220");
    client.stream
}

#[tokio::test]
async fn a_failed_handshake_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), "http://127.0.0.1:1/v3").await;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // The generated certificate is RSA.
    provider.cipher_suites =
        vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
    let suites = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Seen::default()))
        .with_no_client_auth();
    let distrusting = builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    for (config, cause) in [(suites, "suites"), (distrusting, "distrusted_certificate")] {
        let name = ServerName::try_from("relay.test").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let failed = connector.connect(name, upgrading(&process).await).await;
        assert!(failed.is_err(), "{cause}");
        process.says(&format!("\"cause\":\"{cause}\"")).await;
    }
    let old = [
        &[0x16, 3, 1, 0, 0x2d, 1, 0, 0, 0x29, 3, 1][..],
        &[7; 32],
        &[0, 0, 2, 0, 0x2f, 1, 0],
    ]
    .concat();
    for (octets, cause) in [
        (&old[..], "version"),
        (b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10", "sslv2_hello"),
        (b"EHLO test\r\n", "plain_text"),
        (b"\x16\x03\x01", "client_left"),
    ] {
        let mut stream = upgrading(&process).await;
        stream.write_all(octets).await.unwrap();
        drop(stream);
        process.says(&format!("\"cause\":\"{cause}\"")).await;
    }
    process.kill().await;
}

#[tokio::test]
async fn what_is_no_tls_on_a_tls_port_is_told_by_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let implicit = [("S2G__LISTENERS__LAN__TLS", "implicit")];
    let nobody = "http://127.0.0.1:1/v3";
    let process = Process::start_with(directory.path(), nobody, &[], &implicit).await;
    for (octets, event) in [
        (
            &b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10\0"[..],
            "sslv2_hello",
        ),
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 465\r\n",
            "speaks_proxy",
        ),
        (b"EHLO test\r\n", "plain_on_tls_port"),
    ] {
        let mut client = Client::raw(process.smtp).await;
        client.write(octets).await;
        assert_eq!(client.reply().await.text, "(closed) ", "{event}");
        process.says(&format!("\"event\":\"{event}\"")).await;
    }
    process.kill().await;
}
